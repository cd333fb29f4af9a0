/*
 * MSRs: what reads back, what is refused.
 */
#include "tests/guest/cpuid_msr/local.h"
#include "tests/guest/lib/clock.h"
#include "tests/guest/lib/cpu.h"
#include "tests/guest/lib/lapic.h"
#include "tests/guest/lib/test.h"
#include "tests/guest/lib/trap.h"

#define NON_CANONICAL 0x0000900000000000ull
#define PAT_RESET     0x0007040600070406ull

void expect_rdmsr_gp(const char *what, uint32_t msr)
{
	unsigned vector = 0;
	uint64_t value;

	if (trap_rdmsr(msr, &value, &vector))
		test_fail("read of %s (%x): %lx", what, msr, value);
	else
		CHECK(vector == VEC_GP, "read of %s (%x): vector %u", what, msr, vector);
}

void expect_wrmsr_gp(const char *what, uint32_t msr, uint64_t value)
{
	unsigned vector = 0;

	if (trap_wrmsr(msr, value, &vector))
		test_fail("write of %s (%x): accepted", what, msr);
	else
		CHECK(vector == VEC_GP, "write of %s (%x): vector %u", what, msr, vector);
}

void msr_unknown(void)
{
	static const uint32_t unknown[] = { 0x2, 0x999, 0x12345678, 0x4B564DFE, 0xC0000200, 0xC0012345, 0xFFFFFFFF };

	if (guest_is_bare_tcg()) {
		test_skip("QEMU's bare CPU knows every MSR");
		return;
	}
	for (unsigned i = 0; i < sizeof(unknown) / sizeof(unknown[0]); i++) {
		expect_rdmsr_gp("an unknown MSR", unknown[i]);
		expect_wrmsr_gp("an unknown MSR", unknown[i], 0);
	}
}

void msr_efer(void)
{
	uint64_t efer = rdmsr(MSR_EFER);

	CHECK((efer & (EFER_LME | EFER_LMA)) == (EFER_LME | EFER_LMA), "EFER %lx in long mode", efer);
	wrmsr(MSR_EFER, efer | EFER_SCE);
	CHECK_EQ(rdmsr(MSR_EFER), efer | EFER_SCE);
	wrmsr(MSR_EFER, efer & ~EFER_NXE);
	CHECK_EQ(rdmsr(MSR_EFER), efer & ~EFER_NXE);
	wrmsr(MSR_EFER, efer);
	if (guest_is_bare_tcg())
		return; /* ignores what it should refuse */
	expect_wrmsr_gp("EFER reserved bit 1", MSR_EFER, efer | 1 << 1);
	expect_wrmsr_gp("EFER reserved bit 63", MSR_EFER, efer | 1ull << 63);
	expect_wrmsr_gp("EFER without LME while paging", MSR_EFER, efer & ~EFER_LME);
	CHECK_EQ(rdmsr(MSR_EFER), efer);
}

static void check_round_trip(const char *name, uint32_t msr, uint64_t value)
{
	uint64_t before = rdmsr(msr);

	wrmsr(msr, value);
	CHECK(rdmsr(msr) == value, "%s reads %lx, not %lx", name, rdmsr(msr), value);
	/* Leaves the guest in between. */
	(void)cpuid(0, 0);
	CHECK(rdmsr(msr) == value, "%s reads %lx after an exit, not %lx", name, rdmsr(msr), value);
	wrmsr(msr, before);
}

void msr_round_trips(void)
{
	check_round_trip("SYSENTER_CS", MSR_SYSENTER_CS, 0x1234);
	check_round_trip("SYSENTER_ESP", MSR_SYSENTER_ESP, 0x12345678);
	check_round_trip("SYSENTER_EIP", MSR_SYSENTER_EIP, 0x9ABCDEF0);
	check_round_trip("STAR", MSR_STAR, 0x0023001000000000);
	check_round_trip("LSTAR", MSR_LSTAR, 0xFFFF800012345678);
	check_round_trip("CSTAR", MSR_CSTAR, 0x7FFF12345678);
	check_round_trip("SFMASK", MSR_SFMASK, 0x47700);
	check_round_trip("FS_BASE", MSR_FS_BASE, 0xFFFF900012345678);
	check_round_trip("GS_BASE", MSR_GS_BASE, 0x123456789);
	check_round_trip("KERNEL_GS_BASE", MSR_KERNEL_GS_BASE, 0xFFFFA00000001000);
	if (cpuid(0x80000001, 0).edx >> 27 & 1) {
		uint32_t aux;

		check_round_trip("TSC_AUX", MSR_TSC_AUX, 0x4242);
		wrmsr(MSR_TSC_AUX, 0x77);
		__asm__ volatile("rdtscp" : "=c"(aux) : : "rax", "rdx", "memory");
		CHECK_EQ(aux, 0x77);
	}
}

void msr_non_canonical(void)
{
	static const uint32_t addresses[] = { MSR_LSTAR, MSR_CSTAR, MSR_FS_BASE, MSR_GS_BASE, MSR_KERNEL_GS_BASE };

	if (guest_on_tcg()) {
		test_skip("TCG takes any address, and these writes do not leave the guest");
		return;
	}
	for (unsigned i = 0; i < sizeof(addresses) / sizeof(addresses[0]); i++)
		expect_wrmsr_gp("a non-canonical address", addresses[i], NON_CANONICAL);
}

void msr_segment_bases(void)
{
	static const uint64_t words[2] = { 0x1111222233334444, 0x5555666677778888 };
	uint64_t value, cr4 = read_cr4();

	wrmsr(MSR_GS_BASE, (uint64_t)&words[0]);
	wrmsr(MSR_KERNEL_GS_BASE, (uint64_t)&words[1]);
	__asm__ volatile("movq %%gs:0, %0" : "=r"(value));
	CHECK_EQ(value, words[0]);
	__asm__ volatile("swapgs; movq %%gs:0, %0" : "=r"(value));
	CHECK_EQ(value, words[1]);
	CHECK_EQ(rdmsr(MSR_KERNEL_GS_BASE), (uint64_t)&words[0]);
	__asm__ volatile("swapgs");
	wrmsr(MSR_FS_BASE, (uint64_t)&words[1]);
	__asm__ volatile("movq %%fs:0, %0" : "=r"(value));
	CHECK_EQ(value, words[1]);
	if (cpuid(0, 0).eax >= 7 && (cpuid(7, 0).ebx & 1)) {
		write_cr4(cr4 | CR4_FSGSBASE);
		__asm__ volatile("wrfsbase %1; rdfsbase %0" : "=r"(value) : "r"(0x98765000ull));
		CHECK_EQ(value, 0x98765000);
		CHECK_EQ(rdmsr(MSR_FS_BASE), 0x98765000);
		write_cr4(cr4);
	}
	wrmsr(MSR_FS_BASE, 0);
	wrmsr(MSR_GS_BASE, 0);
	wrmsr(MSR_KERNEL_GS_BASE, 0);
}

void msr_pat(void)
{
	uint64_t before = rdmsr(MSR_PAT);

	if (!(cpuid(1, 0).edx >> 16 & 1)) {
		test_skip("no PAT");
		return;
	}
	CHECK_EQ(before, PAT_RESET);
	check_round_trip("PAT", MSR_PAT, 0x0407050600070106);
	if (!guest_is_bare_tcg()) {
		expect_wrmsr_gp("PAT with type 2", MSR_PAT, (PAT_RESET & ~7ull) | 0x02);
		expect_wrmsr_gp("PAT with type 8", MSR_PAT, 0x08);
	}
	CHECK_EQ(rdmsr(MSR_PAT), before);
}

void msr_tsc(void)
{
	uint64_t last = rdtsc();

	for (unsigned i = 0; i < 1000; i++) {
		/* QEMU's bare CPU has no such MSR. */
		uint64_t by_msr = guest_is_bare_tcg() ? last : rdmsr(MSR_TSC), by_instruction = rdtsc();

		REQUIRE(by_msr >= last, "RDMSR gives %lx after %lx", by_msr, last);
		REQUIRE(by_instruction >= by_msr, "RDTSC gives %lx after %lx", by_instruction, by_msr);
		last = by_instruction;
	}
}

void msr_apic_base(void)
{
	uint64_t base = rdmsr(MSR_APIC_BASE);

	CHECK_EQ(base & ~0xFFFull, LAPIC_BASE);
	CHECK(base & APIC_BASE_ENABLE, "disabled: %lx", base);
	CHECK(base & APIC_BASE_BSP, "the first CPU is not the boot CPU: %lx", base);
}

/* What an operating system reads without asking further once CPUID shows MTRRs or machine checks. */
void msr_mtrr(void)
{
	uint64_t value;

	if (cpuid(1, 0).edx >> 12 & 1) {
		CHECK(trap_rdmsr(0xFE, &value, NULL), "MTRRCAP raises #GP");
		CHECK((value & 0xFF) <= 16, "%lu variable MTRRs", value & 0xFF);
		CHECK(trap_rdmsr(0x2FF, &value, NULL), "MTRR_DEF_TYPE raises #GP");
	}
	if (cpuid(1, 0).edx >> 14 & 1) {
		CHECK(trap_rdmsr(0x179, &value, NULL), "MCG_CAP raises #GP");
		CHECK(trap_rdmsr(0x17A, &value, NULL), "MCG_STATUS raises #GP");
	}
}
