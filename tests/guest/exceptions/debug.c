/*
 * Debug exceptions: single step, ICEBP, breakpoint registers, and DR6 afterwards (SDM vol. 3B, "Debug
 * Exceptions").
 */
#include "tests/guest/exceptions/exceptions.h"
#include "tests/guest/lib/cpu.h"
#include "tests/guest/lib/test.h"

#define DR6_B0           (1u << 0)
#define DR6_B1           (1u << 1)
#define DR6_BD           (1u << 13)
#define DR6_BS           (1u << 14)
#define DR7_G0           (1u << 1)
#define DR7_G1           (1u << 3)
#define DR7_GD           (1u << 13)
#define DR7_RW_WRITE(n)  (1u << (16 + 4 * (n)))
#define DR7_RW_IO(n)     (2u << (16 + 4 * (n)))
#define DR7_RW_ACCESS(n) (3u << (16 + 4 * (n)))
#define DR7_LEN4(n)      (3u << (18 + 4 * (n)))
#define DR6_RESET        0xFFFF0FF0u
#define DR7_RESET        0x400u

#define LOG_SIZE 32

static uint64_t log_rip[LOG_SIZE], log_dr6[LOG_SIZE];
static unsigned logged;
static bool resume_past_fault;

static void debug_log(struct trap_frame *f)
{
	if (logged < LOG_SIZE) {
		log_rip[logged] = f->rip;
		log_dr6[logged] = read_dr6();
	}
	logged++;
	write_dr6(DR6_RESET);
	if (resume_past_fault)
		f->rflags |= RFLAGS_RF;
}

static void debug_begin(void)
{
	logged = 0;
	resume_past_fault = false;
	write_dr6(DR6_RESET);
	trap_set_handler(VEC_DB, debug_log);
}

static void debug_end(void)
{
	write_dr7(DR7_RESET);
	write_dr6(DR6_RESET);
	trap_set_handler(VEC_DB, NULL);
}

/* Checks entry n of the log. */
static void expect_debug(unsigned n, uint64_t rip, uint64_t dr6_bits)
{
	if (n >= logged) {
		test_fail("only %u #DB, not %u", logged, n + 1);
		return;
	}
	CHECK(log_rip[n] == rip, "#DB %u at %lx, not %lx", n, log_rip[n], rip);
	CHECK((log_dr6[n] & 0xE00F) == dr6_bits || test_flaw_known("debug_exits"), "#DB %u: DR6 %lx, not %lx", n, log_dr6[n], dr6_bits);
}

void debug_single_step(void)
{
	uint64_t at[4];

	debug_begin();
	__asm__ volatile("lea 1f(%%rip), %%rax; mov %%rax, (%0); lea 2f(%%rip), %%rax; mov %%rax, 8(%0)\n"
	                 "lea 3f(%%rip), %%rax; mov %%rax, 16(%0); lea 4f(%%rip), %%rax; mov %%rax, 24(%0)\n"
	                 "pushfq; orl $0x100, (%%rsp); popfq\n"
	                 "nop; 1: inc %%ecx; 2: jmp 3f; nop; 3: pushfq; 4: andl $~0x100, (%%rsp); popfq"
	                 :
	                 : "r"(at)
	                 : "rax", "rcx", "memory", "cc");
	debug_end();
	/*
	 * One trap per instruction: nop, inc, jmp, pushfq, and, popfq (which clears TF but began with it
	 * set).
	 */
	CHECK(logged == 6, "%u #DB, not 6", logged);
	for (unsigned i = 0; i < 4; i++)
		expect_debug(i, at[i], DR6_BS);
}

/* Instructions that leave the guest must trap like any other. */
void debug_step_over_exit(void)
{
	uint64_t at[3];

	if (test_flaw_known("debug_exits")) {
		test_skip("the emulator gives the trap to the hypervisor");
		return;
	}
	debug_begin();
	__asm__ volatile("mov %0, %%rdi; lea 1f(%%rip), %%rax; mov %%rax, (%0); lea 2f(%%rip), %%rax; mov %%rax, "
	                 "8(%0)\n"
	                 "lea 3f(%%rip), %%rax; mov %%rax, 16(%0); xor %%eax, %%eax; mov $0x3FD, %%edx\n"
	                 "pushfq; orl $0x100, (%%rsp); popfq\n"
	                 "cpuid; 1: mov $0x3FD, %%edx; 2: in %%dx, %%al; 3: pushfq; andl $~0x100, (%%rsp); popfq"
	                 :
	                 : "S"(at)
	                 : "rax", "rbx", "rcx", "rdx", "rdi", "memory", "cc");
	debug_end();
	CHECK(logged == 6, "%u #DB, not 6", logged);
	for (unsigned i = 0; i < 3; i++)
		expect_debug(i, at[i], DR6_BS);
}

void debug_icebp(void)
{
	uint64_t at;

	if (guest_on_tcg()) {
		test_skip("TCG has no ICEBP");
		return;
	}
	debug_begin();
	__asm__ volatile("lea 1f(%%rip), %0; .byte 0xF1; 1:" : "=&r"(at) : : "memory");
	debug_end();
	CHECK(logged == 1, "%u #DB, not 1", logged);
	expect_debug(0, at, 0);
}

void debug_execute_breakpoint(void)
{
	uint64_t at, count = 0;

	debug_begin();
	resume_past_fault = true;
	__asm__ volatile("lea 1f(%%rip), %0; mov %0, %%dr0; mov %2, %%dr7; 1: inc %1; mov %3, %%dr7"
	                 : "=&r"(at), "+r"(count)
	                 : "r"((uint64_t)DR7_RESET | DR7_G0), "r"((uint64_t)DR7_RESET)
	                 : "memory", "cc");
	debug_end();
	CHECK(logged == 1, "%u #DB, not 1", logged);
	expect_debug(0, at, DR6_B0);
	CHECK(count == 1, "the instruction ran %lu times", count);
}

void debug_watchpoint(void)
{
	static volatile uint32_t watched;
	uint64_t at[2];

	debug_begin();
	write_dr1((uint64_t)&watched);
	write_dr7(DR7_RESET | DR7_G1 | DR7_RW_WRITE(1) | DR7_LEN4(1));
	__asm__ volatile("lea 1f(%%rip), %0; movl $5, %1; 1: nop" : "=&r"(at[0]), "=m"(watched) : : "memory");
	(void)watched;
	write_dr7(DR7_RESET | DR7_G1 | DR7_RW_ACCESS(1) | DR7_LEN4(1));
	__asm__ volatile("lea 1f(%%rip), %0; movb 3+%1, %%cl; 1: nop" : "=&r"(at[1]) : "m"(watched) : "rcx", "memory");
	debug_end();
	CHECK(logged == 2, "%u #DB, not 2", logged);
	expect_debug(0, at[0], DR6_B1);
	expect_debug(1, at[1], DR6_B1);
	CHECK_EQ(watched, 5);
}

void debug_io_breakpoint(void)
{
	uint64_t cr4 = read_cr4(), at;

	debug_begin();
	write_cr4(cr4 | CR4_DE);
	write_dr0(0x3FD);
	write_dr7(DR7_RESET | DR7_G0 | DR7_RW_IO(0));
	__asm__ volatile("lea 1f(%%rip), %0; in %%dx, %%al; 1: nop" : "=&r"(at) : "d"(0x3FD) : "rax", "memory");
	debug_end();
	write_cr4(cr4);
	if (!logged && cpuid(1, 0).ecx >> 31) {
		test_skip("no #DB: a hypervisor that answers the port may leave it out");
		return;
	}
	CHECK(logged == 1, "%u #DB, not 1", logged);
	expect_debug(0, at, DR6_B0);
}

void debug_general_detect(void)
{
	uint64_t at;

	if (guest_on_tcg()) {
		test_skip("TCG has no general detect");
		return;
	}
	if (test_flaw_known("debug_exits")) {
		test_skip("the emulator leaves GD set");
		return;
	}
	debug_begin();
	write_dr7(DR7_RESET | DR7_GD);
	/* The CPU clears GD on entry to the handler, so the access goes through when the handler returns. */
	__asm__ volatile("lea 1f(%%rip), %0; 1: mov %%dr3, %%rax" : "=&r"(at) : : "rax", "memory");
	debug_end();
	CHECK(logged == 1, "%u #DB, not 1", logged);
	expect_debug(0, at, DR6_BD);
}

DEFINE_RAISE(read_dr4, "1: mov %%db4, %%rax")

void debug_register_alias(void)
{
	uint64_t cr4 = read_cr4(), value;

	write_dr6(DR6_RESET);
	write_cr4(cr4 & ~CR4_DE);
	__asm__ volatile("mov %%db4, %0" : "=r"(value));
	CHECK(value == read_dr6(), "DR4 %lx, DR6 %lx", value, read_dr6());
	write_cr4(cr4 | CR4_DE);
	expect_exception("DR4 with CR4.DE", read_dr4, VEC_UD, 0);
	write_cr4(cr4);
	write_dr0(0x123456789ABCull);
	write_dr3(0xFEDCBA987654ull);
	CHECK_EQ(read_dr0(), 0x123456789ABCull);
	CHECK_EQ(read_dr3(), 0xFEDCBA987654ull);
	write_dr0(0);
	write_dr3(0);
}

static void expect_addresses(const char *when)
{
	CHECK(read_dr0() == 0x1110 && read_dr1() == 0x2220 && read_dr2() == 0x3330 && read_dr3() == 0x4440,
	      "%s: DR0 to DR3 %lx %lx %lx %lx", when, read_dr0(), read_dr1(), read_dr2(), read_dr3());
}

/* A port of a device model: the core may run another VM until it is answered. */
void debug_registers_kept(void)
{
	write_dr0(0x1110);
	write_dr1(0x2220);
	write_dr2(0x3330);
	write_dr3(0x4440);
	(void)inb(0x3FD);
	expect_addresses("no breakpoint enabled");
	write_dr7(DR7_RESET | DR7_G1 | DR7_RW_WRITE(1) | DR7_LEN4(1));
	(void)inb(0x3FD);
	(void)inb(0x3FD);
	expect_addresses("one enabled");
	CHECK_EQ(read_dr7(), DR7_RESET | DR7_G1 | DR7_RW_WRITE(1) | DR7_LEN4(1));
	write_dr7(DR7_RESET);
	(void)inb(0x3FD);
	expect_addresses("disabled again");
	write_dr0(0);
	write_dr1(0);
	write_dr2(0);
	write_dr3(0);
}
