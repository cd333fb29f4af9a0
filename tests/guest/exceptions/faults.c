/*
 * Faults that ring 0 can raise, one by one, and what their delivery says.
 */
#include "tests/guest/exceptions/exceptions.h"
#include "tests/guest/lib/cpu.h"
#include "tests/guest/lib/test.h"

#define NONCANONICAL 0x8000000000000000ull

uint64_t expect_rip;

void expect_exception(const char *what, void (*fn)(void *), unsigned vector, uint64_t error)
{
	struct trap_record r;

	expect_rip = 0;
	if (!trap_catch(fn, NULL, &r)) {
		test_fail("%s: no exception", what);
		return;
	}
	CHECK(r.vector == vector, "%s: vector %lu, not %u (error %lx)", what, r.vector, vector, r.error);
	CHECK(r.error == error, "%s: error code %lx, not %lx", what, r.error, error);
	CHECK(r.rip == expect_rip, "%s: RIP %lx, not %lx", what, r.rip, expect_rip);
	CHECK(r.cs == SEL_CODE64 && r.ss == SEL_DATA, "%s: CS %lx SS %lx", what, r.cs, r.ss);
}

static void raise_div_zero(void *unused)
{
	(void)unused;
	RAISE("xor %%ecx, %%ecx; xor %%edx, %%edx; 1: div %%rcx", "i"(0));
}

static void raise_div_overflow(void *unused)
{
	(void)unused;
	RAISE("mov $1, %%ecx; mov $1, %%edx; 1: divl %%ecx", "i"(0));
}

static void raise_idiv_overflow(void *unused)
{
	(void)unused;
	RAISE("mov $0x80000000, %%eax; cdq; mov $-1, %%ecx; 1: idivl %%ecx", "i"(0));
}

void faults_divide(void)
{
	expect_exception("div by 0", raise_div_zero, VEC_DE, 0);
	expect_exception("div overflow", raise_div_overflow, VEC_DE, 0);
	expect_exception("idiv overflow", raise_idiv_overflow, VEC_DE, 0);
}

DEFINE_RAISE(raise_ud2, "1: ud2")
DEFINE_RAISE(raise_ud0, "1: .byte 0x0F, 0xFF, 0xC0")
DEFINE_RAISE(raise_into, "1: .byte 0xCE")
DEFINE_RAISE(raise_mov_cs, "1: .byte 0x8E, 0xC8")
DEFINE_RAISE(raise_lock_nop, "1: .byte 0xF0, 0x90")
DEFINE_RAISE(raise_push_es, "1: .byte 0x06")

void faults_invalid_opcode(void)
{
	expect_exception("ud2", raise_ud2, VEC_UD, 0);
	expect_exception("ud0", raise_ud0, VEC_UD, 0);
	expect_exception("into in 64-bit mode", raise_into, VEC_UD, 0);
	expect_exception("mov to cs", raise_mov_cs, VEC_UD, 0);
	expect_exception("lock nop", raise_lock_nop, VEC_UD, 0);
	expect_exception("push es in 64-bit mode", raise_push_es, VEC_UD, 0);
}

DEFINE_RAISE(raise_int3, "int3; 1:")
DEFINE_RAISE(raise_int_3, ".byte 0xCD, 0x03; 1:")

void faults_breakpoint(void)
{
	expect_exception("int3", raise_int3, VEC_BP, 0);
	expect_exception("int 3", raise_int_3, VEC_BP, 0);
}

DEFINE_RAISE(raise_fnop, "1: fnop")
DEFINE_RAISE(raise_movaps, "1: movaps %%xmm0, %%xmm0")
DEFINE_RAISE(raise_fwait, "1: fwait")

void faults_device_not_available(void)
{
	uint64_t cr0 = read_cr0(), cr4 = read_cr4();

	write_cr4(cr4 | CR4_OSFXSR);
	write_cr0((cr0 | CR0_TS | CR0_MP) & ~CR0_EM);
	expect_exception("x87 with CR0.TS", raise_fnop, VEC_NM, 0);
	expect_exception("SSE with CR0.TS", raise_movaps, VEC_NM, 0);
	expect_exception("fwait with TS and MP", raise_fwait, VEC_NM, 0);
	write_cr0((cr0 | CR0_EM) & ~CR0_TS);
	expect_exception("x87 with CR0.EM", raise_fnop, VEC_NM, 0);
	expect_exception("SSE with CR0.EM", raise_movaps, VEC_UD, 0);
	write_cr0(cr0 & ~(CR0_TS | CR0_EM));
	__asm__ volatile("fnop; movaps %%xmm0, %%xmm0" : : : "memory");
	write_cr0(cr0);
	write_cr4(cr4);
}

static void raise_load_noncanonical(void *unused)
{
	(void)unused;
	RAISE("mov %[a], %%rcx; 1: mov (%%rcx), %%rdx", [a] "i"(NONCANONICAL));
}

static void raise_stack_noncanonical(void *unused)
{
	(void)unused;
	RAISE("mov %[a], %%rcx; push %%rbp; mov %%rcx, %%rbp; 1: mov (%%rbp), %%rdx; pop %%rbp", [a] "i"(NONCANONICAL));
}

static void raise_jump_noncanonical(void *unused)
{
	(void)unused;
	RAISE("mov %[a], %%rcx; 1: jmp *%%rcx", [a] "i"(NONCANONICAL));
}

DEFINE_RAISE(raise_iret_nt, "pushfq; pop %%rax; or $0x4000, %%eax; push %%rax; popfq; 1: iretq")

void faults_general_protection(void)
{
	expect_exception("load from non-canonical address", raise_load_noncanonical, VEC_GP, 0);
	if (guest_on_tcg()) { /* #GP for the stack, and the jump is taken before it faults */
		expect_exception("iret with NT in long mode", raise_iret_nt, VEC_GP, 0);
		return;
	}
	expect_exception("stack access to non-canonical address", raise_stack_noncanonical, VEC_SS, 0);
	expect_exception("jump to non-canonical address", raise_jump_noncanonical, VEC_GP, 0);
	expect_exception("iret with NT in long mode", raise_iret_nt, VEC_GP, 0);
}

/* Where the CPU takes the value after all, the old one is back before anything else happens: no hypervisor could enter with it. */
static void raise_cr0(void *arg)
{
	const uint64_t *value = arg;
	uint64_t old = read_cr0();

	__asm__ volatile("leaq 1f(%%rip), %%rax; movq %%rax, %0; 1: mov %1, %%cr0; mov %2, %%cr0"
	                 : "=m"(expect_rip)
	                 : "r"(*value), "r"(old)
	                 : "rax", "memory");
}

static void raise_cr4(void *arg)
{
	const uint64_t *value = arg;

	__asm__ volatile("leaq 1f(%%rip), %%rax; movq %%rax, %0; 1: mov %1, %%cr4" : "=m"(expect_rip) : "r"(*value) : "rax", "memory");
}

static void raise_cr8(void *arg)
{
	const uint64_t *value = arg;

	__asm__ volatile("leaq 1f(%%rip), %%rax; movq %%rax, %0; 1: mov %1, %%cr8" : "=m"(expect_rip) : "r"(*value) : "rax", "memory");
}

static void expect_register_fault(const char *what, void (*fn)(void *), uint64_t value)
{
	struct trap_record r;

	if (!trap_catch(fn, &value, &r)) {
		test_fail("%s: no exception", what);
		return;
	}
	CHECK(r.vector == VEC_GP && !r.error && r.rip == expect_rip, "%s: vector %lu error %lx rip %lx", what, r.vector, r.error, r.rip);
}

/*
 * SDM vol. 3A, "Control Registers": the combinations that MOV refuses. QEMU lets most of them pass on its
 * bare CPU.
 */
void faults_control_registers(void)
{
	uint64_t cr0 = read_cr0(), cr4 = read_cr4();

	if (guest_is_bare_tcg()) {
		test_skip("QEMU's bare CPU checks few control-register bits");
		return;
	}
	struct trap_record r;
	uint64_t not_write_through = (cr0 | CR0_NW) & ~CR0_CD;
	if (trap_catch(raise_cr0, &not_write_through, &r)) {
		if (!test_flaw_known("paging_without_protection"))
			expect_register_fault("CR0 paging without protection", raise_cr0, cr0 & ~CR0_PE);
		expect_register_fault("CR0 NW without CD", raise_cr0, not_write_through);
		expect_register_fault("CR0 upper half", raise_cr0, cr0 | 1ull << 32);
		expect_register_fault("CR4 without PAE in long mode", raise_cr4, cr4 & ~CR4_PAE);
	} else {
		test_skip("this CPU, an emulator's, takes any CR0");
	}
	expect_register_fault("CR4 reserved bit 15", raise_cr4, cr4 | 1ull << 15);
	expect_register_fault("CR4 upper half", raise_cr4, cr4 | 1ull << 63);
	if (!guest_on_tcg()) /* which takes it, where no hypervisor looks */
		expect_register_fault("CR8 above 15", raise_cr8, 16);
	CHECK_EQ(read_cr0(), cr0);
	CHECK_EQ(read_cr4(), cr4);
}

static uint32_t control_word_zero_divide = 0x037B; /* x87: only the zero-divide exception unmasked */
static uint32_t mxcsr_zero_divide = 0x1D80;        /* the same for SSE */

static void raise_math(void *unused)
{
	(void)unused;
	RAISE("fninit; fldcw %[cw]; fld1; fldz; fdivrp; 1: fwait", [cw] "m"(control_word_zero_divide));
}

void faults_math(void)
{
	uint64_t cr0 = read_cr0();

	write_cr0((cr0 & ~(CR0_TS | CR0_EM)) | CR0_NE);
	expect_exception("x87 zero divide", raise_math, VEC_MF, 0);
	__asm__ volatile("fnclex; fninit");
	write_cr0(cr0);
}

static void raise_simd(void *unused)
{
	static const float one = 1.0f;

	(void)unused;
	RAISE("ldmxcsr %[cw]; movss %[one], %%xmm0; xorps %%xmm1, %%xmm1; 1: divss %%xmm1, %%xmm0", [cw] "m"(mxcsr_zero_divide),
	      [one] "m"(one));
}

void faults_simd(void)
{
	static const uint32_t mxcsr_default = 0x1F80;
	uint64_t cr0 = read_cr0(), cr4 = read_cr4();
	struct trap_record r;

	write_cr0((cr0 & ~(CR0_TS | CR0_EM)) | CR0_MP);
	write_cr4(cr4 | CR4_OSFXSR | CR4_OSXMMEXCPT);
	if (!trap_catch(raise_simd, NULL, &r))
		test_skip("this CPU raises no SIMD exceptions");
	else
		CHECK(r.vector == VEC_XM && r.rip == expect_rip, "vector %lu rip %lx, not %lx", r.vector, r.rip, expect_rip);
	__asm__ volatile("ldmxcsr %0" : : "m"(mxcsr_default));
	write_cr4(cr4);
	write_cr0(cr0);
}
