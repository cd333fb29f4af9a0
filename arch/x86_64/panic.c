/* See panic.h. */
#include "arch/x86_64/panic.h"
#include "arch/x86_64/format.h"
#include "arch/x86_64/lapic.h"
#include "arch/x86_64/log.h"
#include "arch/x86_64/string.h"
#include "arch/x86_64/trap.h"
#include "arch/x86_64/tsc.h"
#include "boot/boot.h"

#define BACKTRACE_MAX     24u
#define TEXT_MAX          200u
#define RESET_SECONDS     5u
#define RESET_SECONDS_MAX 3600u
#define STOP_DELAY_ROUNDS 100000u /* for the other cores to take their NMI: about a millisecond */

/* Names of the kernel's functions, made from the linked image (mk/symbols.awk); the first of the link's two passes has none. */
extern const struct symbol {
	uint32_t address; /* from KERNEL_BASE; ascending */
	uint32_t name;    /* offset in symbol_names */
} symbol_table[];
extern const uint32_t symbol_count;
extern const char symbol_names[];

static uint32_t panic_owner; /* 1 + id of the core that panics; 0: none */

sealed uint64_t __stack_chk_guard;

bool panic_is_active(void)
{
	return __atomic_load_n(&panic_owner, __ATOMIC_ACQUIRE);
}

void panic_halt(void)
{
	for (;;)
		__asm__ volatile("cli; hlt" ::: "memory");
}

/* One core prints; a second one that panics stops, a panic within the panic resets at once. */
static void enter(void)
{
	uint32_t owner = 0, me = cpu_arch_self()->id + 1;

	if (!__atomic_compare_exchange_n(&panic_owner, &owner, me, false, __ATOMIC_ACQ_REL, __ATOMIC_ACQUIRE)) {
		if (owner == me)
			machine_reset();
		panic_halt();
	}
	lapic_send(0, LAPIC_NMI_OTHERS);
	for (uint32_t i = 0; i < STOP_DELAY_ROUNDS; i++)
		cpu_pause();
	log_enter_panic();
}

static void print_address(uint64_t address)
{
	uint64_t at = address - KERNEL_BASE;
	uint32_t i = symbol_count;

	while (i && symbol_table[i - 1].address > at)
		i--;
	if (i && address < (uint64_t)kernel_text_end)
		log_info("  %016lx %s+%#lx", address, symbol_names + symbol_table[i - 1].name, at - symbol_table[i - 1].address);
	else
		log_info("  %016lx", address);
}

/* Follows saved frame pointers as long as they stay on this stack and rise. */
static void print_backtrace(uint64_t rip, uint64_t rbp)
{
	uint64_t low = (uint64_t)__builtin_frame_address(0), limit = ALIGN_DOWN(low, STACK_BYTES) + STACK_BYTES;

	log_info("called from:");
	print_address(rip);
	for (uint32_t i = 0; i < BACKTRACE_MAX && !(rbp & 7) && rbp >= low && rbp + 16 <= limit; i++) {
		const uint64_t *frame = (const uint64_t *)rbp;

		if (!frame[1])
			break;
		print_address(frame[1] - 1); /* the call, not what follows: that may be another function */
		low = rbp + 16;
		rbp = frame[0];
	}
}

static void print_registers(const struct trap_frame *f)
{
	log_info("rax %016lx  rbx %016lx  rcx %016lx  rdx %016lx", f->rax, f->rbx, f->rcx, f->rdx);
	log_info("rsi %016lx  rdi %016lx  rbp %016lx  rsp %016lx", f->rsi, f->rdi, f->rbp, f->rsp);
	log_info("r8  %016lx  r9  %016lx  r10 %016lx  r11 %016lx", f->r8, f->r9, f->r10, f->r11);
	log_info("r12 %016lx  r13 %016lx  r14 %016lx  r15 %016lx", f->r12, f->r13, f->r14, f->r15);
	log_info("rip %016lx  flags %08lx  cs %02lx  ss %02lx", f->rip, f->rflags, f->cs, f->ss);
}

/* `frame`: NULL if there is none. */
static _Noreturn void report(const struct trap_frame *frame, uint64_t rip, uint64_t rbp, const char *fmt, va_list args)
{
	const char *option = boot_option("panic");
	char text[TEXT_MAX];

	enter();
	log_set_end(HILUM_END_PANIC);
	format_text_va(text, sizeof(text), fmt, args);
	log_info("panic: %s (core %u)", text, cpu_arch_self()->id);
	log_info("cr0 %08lx  cr2 %016lx  cr3 %012lx  cr4 %08lx", cpu_read_cr0(), cpu_read_cr2(), cpu_read_cr3(), cpu_read_cr4());
	if (frame)
		print_registers(frame);
	print_backtrace(rip, rbp);
	if (option && !strncmp(option, "halt", 4)) {
		log_info("halted");
		panic_halt();
	}
	uint32_t seconds = option && *option >= '0' && *option <= '9' ? 0 : RESET_SECONDS;

	for (; option && *option >= '0' && *option <= '9' && seconds < RESET_SECONDS_MAX; option++)
		seconds = seconds * 10 + (uint32_t)(*option - '0');
	log_info("reset in %u seconds", seconds);
	tsc_delay_us(seconds * 1000000ull);
	machine_reset();
}

void panic_at(const struct trap_frame *frame, const char *fmt, ...)
{
	va_list args;

	va_start(args, fmt);
	report(frame, frame->rip, frame->rbp, fmt, args);
}

void panic(const char *fmt, ...)
{
	va_list args;

	va_start(args, fmt);
	report(NULL, (uint64_t)__builtin_return_address(0) - 1, *(const uint64_t *)__builtin_frame_address(0), fmt, args);
}

void __stack_chk_fail(void)
{
	panic("a function has written beyond its variables on the stack");
}

void boot_refuse(const char *fmt, ...)
{
	char text[TEXT_MAX];
	va_list args;

	va_start(args, fmt);
	format_text_va(text, sizeof(text), fmt, args);
	log_info("cannot start: %s", text);
	__atomic_store_n(&panic_owner, cpu_arch_self()->id + 1, __ATOMIC_RELEASE);
	lapic_send(0, LAPIC_NMI_OTHERS);
	panic_halt();
}

/* Tries the ways from the most to the least civil, with time for each to work. */
void machine_reset(void)
{
	struct desc_pointer no_idt = { 0, 0 };

	if (boot_acpi.reset)
		outb(boot_acpi.reset, boot_acpi.reset_value);
	tsc_delay_us(50000);
	outb(0xCF9, 0x02);
	outb(0xCF9, 0x06);
	tsc_delay_us(50000);
	__asm__ volatile("lidt %0; int3" ::"m"(no_idt));
	panic_halt();
}
