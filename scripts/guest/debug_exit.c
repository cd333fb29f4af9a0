/*
 * debug-exit PORT VALUE: writes a byte to an I/O port, as the isa-debug-exit device wants it, so that a command's exit status
 * leaves the virtual machine. Freestanding: it must be a static binary of a few hundred bytes in an initramfs.
 */
enum { SYSCALL_EXIT = 60, SYSCALL_IOPERM = 173 };

static long syscall3(long number, long a, long b, long c)
{
	long result;

	__asm__ volatile("syscall" : "=a"(result) : "a"(number), "D"(a), "S"(b), "d"(c) : "rcx", "r11", "memory");
	return result;
}

/* Decimal or 0x-hexadecimal; anything else ends the number. */
static unsigned long parse_number(const char *text)
{
	unsigned long base = 10, value = 0;

	if (text[0] == '0' && text[1] == 'x') {
		base = 16;
		text += 2;
	}
	for (;; text++) {
		unsigned long digit = 99;

		if (*text >= '0' && *text <= '9')
			digit = (unsigned long)(*text - '0');
		else if (*text >= 'a' && *text <= 'f')
			digit = (unsigned long)(*text - 'a') + 10;
		if (digit >= base)
			return value;
		value = value * base + digit;
	}
}

__attribute__((noreturn, used)) static void run(const unsigned long *stack)
{
	const char *const *argv = (const char *const *)(stack + 1);
	long status = 2;

	if (stack[0] == 3) {
		unsigned long port = parse_number(argv[1]);

		status = syscall3(SYSCALL_IOPERM, (long)port, 1, 1) != 0;
		if (!status)
			__asm__ volatile("outb %b0, %w1" : : "a"(parse_number(argv[2])), "d"(port));
	}
	for (;;)
		syscall3(SYSCALL_EXIT, status, 0, 0);
}

__asm__(".globl _start\n_start: mov %rsp, %rdi\n\tand $-16, %rsp\n\tcall run\n");
