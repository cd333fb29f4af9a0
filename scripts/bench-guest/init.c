/*
 * /init of the boot measurement: reads the time stamp counter with its first instruction, and prints how far that is from the
 * kernel's first instruction, whose counter the entry stub of scripts/lib/bootcost.py has left at STUB_GPA. Then it ends the
 * machine by debug-exit. Freestanding, so that nothing runs before it.
 */
#define STUB_GPA   0x4F0 /* the BIOS data area's 16 bytes for communication between programs */
#define DEBUG_EXIT 0xF4

enum { SYSCALL_WRITE = 1, SYSCALL_OPEN = 2, SYSCALL_PREAD = 17, SYSCALL_EXIT = 60, SYSCALL_IOPERM = 173 };

static long syscall4(long number, long a, long b, long c, long d)
{
	register long r10 __asm__("r10") = d;
	long result;

	__asm__ volatile("syscall" : "=a"(result) : "a"(number), "D"(a), "S"(b), "d"(c), "r"(r10) : "rcx", "r11", "memory");
	return result;
}

static void print(const char *text)
{
	long n = 0;

	while (text[n])
		n++;
	syscall4(SYSCALL_WRITE, 1, (long)text, n, 0);
}

static void print_number(unsigned long value)
{
	char text[24];
	int at = sizeof(text) - 1;

	text[at] = 0;
	do {
		text[--at] = (char)('0' + value % 10);
		value /= 10;
	} while (value);
	print(text + at);
}

__attribute__((noreturn, used)) static void run(unsigned long now)
{
	unsigned long start = 0;
	long fd = syscall4(SYSCALL_OPEN, (long)"/dev/mem", 0, 0, 0);
	int ok = fd >= 0 && syscall4(SYSCALL_PREAD, fd, (long)&start, sizeof(start), STUB_GPA) == sizeof(start) && start != 0;

	print("bench: linux_to_init ");
	print_number(ok ? now - start : 0);
	print(" instructions\n");
	syscall4(SYSCALL_IOPERM, DEBUG_EXIT, 1, 1, 0);
	__asm__ volatile("outb %b0, %w1" : : "a"(ok ? 0 : 1), "Nd"((unsigned short)DEBUG_EXIT));
	for (;;)
		syscall4(SYSCALL_EXIT, 1, 0, 0, 0);
}

__asm__(".globl _start\n_start: rdtsc\n\tshl $32, %rdx\n\tor %rdx, %rax\n\tmov %rax, %rdi\n\tand $-16, %rsp\n\tcall run\n");
