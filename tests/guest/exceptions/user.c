/*
 * Ring 3: privileged instructions, gates, the I/O permission map, page rights, SYSCALL.
 */
#include "tests/guest/exceptions/exceptions.h"
#include "tests/guest/lib/cpu.h"
#include "tests/guest/lib/test.h"
#include "tests/guest/lib/text.h"
#include "tests/guest/lib/vm.h"

#define USER_CODE  0x20000
#define USER_STACK 0x22000
#define USER_PAGE  0x24000

extern const uint8_t user_code[], user_code_end[];
void user_enter(uint64_t rip, uint64_t rsp, uint64_t rflags, uint64_t rdi);
void user_syscall_entry(void);
uint64_t syscall_seen_rcx, syscall_seen_r11;
uint16_t syscall_seen_cs;

struct user_call {
	uint64_t rip, rflags, rdi;
};

static void user_go(void *arg)
{
	const struct user_call *c = arg;

	user_enter(c->rip, VM_BASE + USER_STACK + 0xF00, c->rflags, c->rdi);
}

static uint64_t user_address(const uint8_t *snippet)
{
	return VM_BASE + USER_CODE + (uint64_t)(snippet - user_code);
}

static void user_prepare(void)
{
	static void *code;

	if (code)
		return;
	code = guest_alloc_pages(1);
	memcpy(code, user_code, (size_t)(user_code_end - user_code));
	vm_map(USER_CODE, (uint64_t)code, PTE_P | PTE_U);
	vm_map(USER_STACK, (uint64_t)guest_alloc_pages(1), PTE_P | PTE_U | PTE_W | PTE_NX);
}

static bool user_run(const uint8_t *snippet, uint64_t rflags, uint64_t rdi, struct trap_record *r)
{
	struct user_call call = { user_address(snippet), rflags, rdi };

	user_prepare();
	return trap_catch(user_go, &call, r);
}

static void expect_user(const char *what, const uint8_t *snippet, const uint8_t *at, unsigned vector, uint64_t error)
{
	struct trap_record r;

	if (!user_run(snippet, 2, VM_BASE + USER_PAGE, &r)) {
		test_fail("%s: no exception", what);
		return;
	}
	CHECK(r.vector == vector && r.error == error, "%s: vector %lu error %lx, not %u and %lx", what, r.vector, r.error, vector, error);
	CHECK(r.rip == user_address(at), "%s: RIP %lx, not %lx", what, r.rip, user_address(at));
	CHECK(r.cs == SEL_USER_CODE64 && r.ss == SEL_USER_DATA, "%s: CS %lx SS %lx", what, r.cs, r.ss);
}

#define SNIPPET(name) extern const uint8_t user_##name[], user_##name##_at[]
SNIPPET(hlt);
SNIPPET(cli);
SNIPPET(cr0);
SNIPPET(rdmsr);
SNIPPET(int);
SNIPPET(int3);
SNIPPET(in);
SNIPPET(outw);
SNIPPET(read);
SNIPPET(write);
SNIPPET(rdtsc);
SNIPPET(sgdt);
SNIPPET(align);
extern const uint8_t user_execute[], user_syscall_code[];

void user_privileged(void)
{
	uint64_t cr4 = read_cr4();

	expect_user("hlt", user_hlt, user_hlt_at, VEC_GP, 0);
	expect_user("cli", user_cli, user_cli_at, VEC_GP, 0);
	expect_user("mov from cr0", user_cr0, user_cr0_at, VEC_GP, 0);
	expect_user("rdmsr", user_rdmsr, user_rdmsr_at, VEC_GP, 0);
	expect_user("in", user_in, user_in_at, VEC_GP, 0);
	write_cr4(cr4 | CR4_TSD);
	expect_user("rdtsc with CR4.TSD", user_rdtsc, user_rdtsc_at, VEC_GP, 0);
	write_cr4(cr4);
	if (cpuid(7, 0).ecx >> 2 & 1) {
		write_cr4(cr4 | CR4_UMIP);
		expect_user("sgdt with CR4.UMIP", user_sgdt, user_sgdt_at, VEC_GP, 0);
		write_cr4(cr4);
	}
}

void user_gates(void)
{
	expect_user("int 0x21 through a ring-0 gate", user_int, user_int_at, VEC_GP, 0x21 * (guest_on_tcg() ? 16 : 8) + 2);
	expect_user("int3 through a ring-3 gate", user_int3, user_int3_at, VEC_BP, 0);
}

void user_io_bitmap(void)
{
	uint8_t *map = guest_cpu_self()->tss.io_map;
	struct trap_record r;

	map[0x3FD / 8] = (uint8_t) ~(1 << (0x3FD % 8));
	REQUIRE(user_run(user_in, 2, 0, &r), "no exception");
	CHECK(r.vector == VEC_UD, "allowed port: vector %lu", r.vector);
	map[0x3FD / 8] = 0xFF;
	/* A word access needs both ports' bits, here in two bytes of the map. */
	map[0x4F7 / 8] = 0x7F;
	expect_user("out, second port of the word denied", user_outw, user_outw_at, VEC_GP, 0);
	map[0x4F8 / 8] = 0xFE;
	REQUIRE(user_run(user_outw, 2, 0, &r), "no exception");
	CHECK(r.vector == VEC_UD, "both ports allowed: vector %lu", r.vector);
	map[0x4F7 / 8] = map[0x4F8 / 8] = 0xFF;
}

void user_page(void)
{
	uint64_t frame = (uint64_t)guest_alloc_pages(1), page = VM_BASE + USER_PAGE;
	struct trap_record r;

	vm_map(USER_PAGE, frame, PTE_P | PTE_W);
	expect_user("read of a supervisor page", user_read, user_read_at, VEC_PF, 5);
	expect_user("write to a supervisor page", user_write, user_write_at, VEC_PF, 7);
	vm_map(USER_PAGE, 0, 0);
	expect_user("read of an absent page", user_read, user_read_at, VEC_PF, 4);
	vm_map(USER_PAGE, frame, PTE_P | PTE_U | PTE_NX);
	expect_user("write to a read-only page", user_write, user_write_at, VEC_PF, 7);
	REQUIRE(user_run(user_execute, 2, page, &r), "no exception");
	CHECK(r.vector == VEC_PF && r.error == 0x15 && r.rip == page && r.cr2 == page, "execute NX: vector %lu error %lx rip %lx", r.vector,
	      r.error, r.rip);
	vm_map(USER_PAGE, frame, PTE_P);
	REQUIRE(user_run(user_execute, 2, page, &r), "no exception");
	CHECK(r.vector == VEC_PF && r.error == 0x15, "execute supervisor page: vector %lu error %lx", r.vector, r.error);
}

void user_alignment(void)
{
	uint64_t cr0 = read_cr0();
	struct trap_record r;

	write_cr0(cr0 | CR0_AM);
	if (!user_run(user_align, 2 | RFLAGS_AC, 0, &r))
		test_fail("no exception");
	else if (r.vector == VEC_UD)
		test_skip("this CPU checks no alignment");
	else
		CHECK(r.vector == VEC_AC && r.error == 0 && r.rip == user_address(user_align_at), "vector %lu error %lx", r.vector,
		      r.error);
	write_cr0(cr0);
}

void user_syscall(void)
{
	extern const uint8_t user_syscall_at[];
	uint64_t efer = rdmsr(MSR_EFER);
	struct trap_record r;
	bool trapped;

	wrmsr(MSR_EFER, efer | EFER_SCE);
	wrmsr(MSR_STAR, (uint64_t)(SEL_CODE32 | 3) << 48 | (uint64_t)SEL_CODE64 << 32);
	wrmsr(MSR_LSTAR, (uint64_t)user_syscall_entry);
	wrmsr(MSR_SFMASK, RFLAGS_IF | RFLAGS_DF | RFLAGS_TF);
	trapped = user_run(user_syscall_code, 2 | RFLAGS_DF | RFLAGS_CF, 0, &r);
	wrmsr(MSR_EFER, efer);
	REQUIRE(trapped, "no exception after SYSRET");
	CHECK(r.vector == VEC_UD && r.rip == user_address(user_syscall_at), "after SYSRET: vector %lu rip %lx", r.vector, r.rip);
	CHECK(r.cs == SEL_USER_CODE64 && r.ss == SEL_USER_DATA, "after SYSRET: CS %lx SS %lx", r.cs, r.ss);
	CHECK_EQ(syscall_seen_rcx, user_address(user_syscall_at));
	CHECK_EQ(syscall_seen_cs, SEL_CODE64);
	CHECK((syscall_seen_r11 & (RFLAGS_DF | RFLAGS_CF)) == (RFLAGS_DF | RFLAGS_CF), "R11 %lx", syscall_seen_r11);
	CHECK((r.rflags & (RFLAGS_DF | RFLAGS_CF)) == (RFLAGS_DF | RFLAGS_CF), "RFLAGS after SYSRET %lx", r.rflags);
}
