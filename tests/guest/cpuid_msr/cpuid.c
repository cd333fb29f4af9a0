/*
 * CPUID against the registers whose bits it announces.
 */
#include "tests/guest/cpuid_msr/local.h"
#include "tests/guest/lib/clock.h"
#include "tests/guest/lib/cpu.h"
#include "tests/guest/lib/lapic.h"
#include "tests/guest/lib/test.h"
#include "tests/guest/lib/text.h"
#include "tests/guest/lib/trap.h"

#include <hilum/abi.h>

static void print_signature(uint32_t leaf)
{
	struct cpuid_regs r = cpuid(leaf, 0);
	char text[13] = { 0 };

	memcpy(text, &r.ebx, 4);
	memcpy(text + 4, &r.ecx, 4);
	memcpy(text + 8, &r.edx, 4);
	for (unsigned i = 0; i < 12; i++)
		if (text[i] && (text[i] < ' ' || text[i] > '~'))
			text[i] = '?';
	text_print("cpuid %x: eax %x \"%s\"\n", leaf, r.eax, text);
}

void cpuid_hypervisor_leaves(void)
{
	uint64_t khz;

	print_signature(0);
	if (!(cpuid(1, 0).ecx >> 31)) {
		test_skip("no hypervisor shows itself");
		return;
	}
	print_signature(0x40000000);
	CHECK(cpuid(0x40000000, 0).eax >= 0x40000000, "highest hypervisor leaf %x", cpuid(0x40000000, 0).eax);
	if (!guest_is_hilum())
		return;
	print_signature(HILUM_CPUID_BASE);
	CHECK(cpuid(HILUM_CPUID_BASE, 0).eax >= HILUM_CPUID_FEATURES, "highest Hilum leaf %x", cpuid(HILUM_CPUID_BASE, 0).eax);
	CHECK_EQ(cpuid(HILUM_CPUID_FEATURES, 0).eax, HILUM_ABI_VERSION);
	khz = cpuid(HILUM_CPUID_FEATURES, 0).ebx;
	text_print("tsc: %lu kHz by CPUID, %lu by the PIT\n", khz, clock_tsc_hz / 1000);
	CHECK(khz * 1000 > clock_tsc_hz / 100 * 95 && khz * 1000 < clock_tsc_hz / 100 * 105, "%lu kHz by CPUID, %lu by the PIT", khz,
	      clock_tsc_hz / 1000);
}

void cpuid_limits(void)
{
	uint32_t bits;

	CHECK(cpuid(0, 0).eax >= 1 && cpuid(0, 0).eax < 0x100, "highest leaf %x", cpuid(0, 0).eax);
	REQUIRE(cpuid(0x80000000, 0).eax >= 0x80000008, "highest extended leaf %x", cpuid(0x80000000, 0).eax);
	bits = cpuid(0x80000008, 0).eax;
	CHECK((bits & 0xFF) >= 32 && (bits & 0xFF) <= 52, "%u physical address bits", bits & 0xFF);
	CHECK((bits >> 8 & 0xFF) == 48 || (bits >> 8 & 0xFF) == 57, "%u linear address bits", bits >> 8 & 0xFF);
	CHECK(cpuid(0x80000001, 0).edx >> 29 & 1, "long mode runs but is not announced");
	/* What Linux on x86-64 cannot do without. */
	CHECK((cpuid(1, 0).edx & 0x0700A371) == 0x0700A371, "CPUID.1.EDX %x lacks a bit of the x86-64 base", cpuid(1, 0).edx);
}

void cpuid_osxsave(void)
{
	uint64_t cr4 = read_cr4();

	if (!(cpuid(1, 0).ecx >> 26 & 1)) {
		test_skip("no XSAVE");
		return;
	}
	write_cr4(cr4 & ~CR4_OSXSAVE);
	CHECK(!(cpuid(1, 0).ecx >> 27 & 1), "OSXSAVE shown without CR4.OSXSAVE");
	write_cr4(cr4 | CR4_OSXSAVE);
	CHECK(cpuid(1, 0).ecx >> 27 & 1, "OSXSAVE not shown with CR4.OSXSAVE");
	write_cr4(cr4);
}

void cpuid_apic_id(void)
{
	CHECK_EQ(cpuid(1, 0).ebx >> 24, lapic_id() & 0xFF);
	if (cpuid(0, 0).eax >= 0xB && cpuid(0xB, 0).ebx)
		CHECK_EQ(cpuid(0xB, 0).edx, lapic_id());
}

struct cr4_bit {
	const char *name;
	uint64_t bit;
	bool announced;
};

static void set_cr4(void *arg)
{
	write_cr4(read_cr4() | *(const uint64_t *)arg);
}

/* A CR4 bit can be set if and only if CPUID announces its feature. */
void cpuid_cr4_bits(void)
{
	const struct cpuid_regs one = cpuid(1, 0), seven = cpuid(0, 0).eax >= 7 ? cpuid(7, 0) : (struct cpuid_regs){ 0 };
	const struct cr4_bit bits[] = {
		{ "UMIP", CR4_UMIP, seven.ecx >> 2 & 1 },    { "VMXE", CR4_VMXE, one.ecx >> 5 & 1 },
		{ "SMXE", 1ull << 14, one.ecx >> 6 & 1 },    { "FSGSBASE", CR4_FSGSBASE, seven.ebx & 1 },
		{ "PCIDE", CR4_PCIDE, one.ecx >> 17 & 1 },   { "OSXSAVE", CR4_OSXSAVE, one.ecx >> 26 & 1 },
		{ "SMEP", CR4_SMEP, seven.ebx >> 7 & 1 },    { "SMAP", CR4_SMAP, seven.ebx >> 20 & 1 },
		{ "PKE", CR4_PKE, seven.ecx >> 3 & 1 },      { "CET", 1ull << 23, seven.ecx >> 7 & 1 },
		{ "bit 30, of nothing", 1ull << 30, false },
	};
	uint64_t cr4 = read_cr4();

	for (unsigned i = 0; i < sizeof(bits) / sizeof(bits[0]); i++) {
		uint64_t bit = bits[i].bit;
		struct trap_record r;
		bool refused;

		if (guest_on_tcg() && !bits[i].announced)
			continue; /* TCG takes what it has, and SVM has no mask to hide a single CR4 bit */
		if (bit == CR4_VMXE && bits[i].announced)
			continue;
		refused = trap_catch(set_cr4, &bit, &r);
		CHECK(refused == !bits[i].announced, "CR4.%s is %s by CPUID and %s by MOV", bits[i].name,
		      bits[i].announced ? "offered" : "not offered", refused ? "refused" : "accepted");
		CHECK(!refused || (r.vector == VEC_GP && !r.error), "CR4.%s: vector %lu error %lx", bits[i].name, r.vector, r.error);
		CHECK(refused || (read_cr4() & bit), "CR4.%s does not stay set", bits[i].name);
		write_cr4(cr4);
	}
	CHECK_EQ(read_cr4(), cr4);
}

static void do_vmrun(void *unused)
{
	(void)unused;
	__asm__ volatile("xor %%eax, %%eax; vmrun" : : : "rax", "memory");
}

static void do_vmxon(void *unused)
{
	static uint64_t region;

	(void)unused;
	__asm__ volatile("vmxon %0" : : "m"(region) : "memory", "cc");
}

static void do_stgi(void *unused)
{
	(void)unused;
	__asm__ volatile("stgi" : : : "memory");
}

static void expect_ud(const char *what, void (*fn)(void *))
{
	struct trap_record r;

	if (!trap_catch(fn, NULL, &r))
		test_fail("%s runs", what);
	else
		CHECK(r.vector == VEC_UD, "%s: vector %lu", what, r.vector);
}

void cpuid_no_virtualization(void)
{
	if (!guest_is_hilum()) {
		test_skip("not under Hilum");
		return;
	}
	CHECK(!(cpuid(1, 0).ecx >> 5 & 1), "VMX is announced");
	CHECK(!(cpuid(0x80000001, 0).ecx >> 2 & 1), "SVM is announced");
	expect_ud("vmrun", do_vmrun);
	expect_ud("vmxon", do_vmxon);
	expect_ud("stgi", do_stgi);
	expect_wrmsr_gp("EFER.SVME", MSR_EFER, rdmsr(MSR_EFER) | EFER_SVME);
	expect_rdmsr_gp("VMX_BASIC", 0x480);
	expect_wrmsr_gp("VM_HSAVE_PA", 0xC0010117, 0x1000);
}

static void set_xcr(void *arg)
{
	const uint64_t *v = arg;

	write_xcr((uint32_t)v[0], v[1]);
}

static void expect_xcr_gp(const char *what, uint64_t index, uint64_t value)
{
	uint64_t v[2] = { index, value };
	struct trap_record r;

	if (!trap_catch(set_xcr, v, &r))
		test_fail("%s: accepted", what);
	else
		CHECK(r.vector == VEC_GP && !r.error, "%s: vector %lu error %lx", what, r.vector, r.error);
}

static uint64_t xcr0_supported(void)
{
	struct cpuid_regs r = cpuid(0xD, 0);

	return (uint64_t)r.edx << 32 | r.eax;
}

/*
 * Size of the standard-format area for these components, from their subleaves (SDM vol. 1, "Standard
 * Format").
 */
static uint32_t xsave_size(uint64_t xcr0)
{
	uint32_t size = 576;

	for (unsigned i = 2; i < 63; i++) {
		struct cpuid_regs r = cpuid(0xD, i);

		if ((xcr0 >> i & 1) && r.ebx + r.eax > size)
			size = r.ebx + r.eax;
	}
	return size;
}

void xcr0_sizes(void)
{
	uint64_t cr4 = read_cr4(), supported = xcr0_supported();

	if (!(cpuid(1, 0).ecx >> 26 & 1)) {
		test_skip("no XSAVE");
		return;
	}
	write_cr4(cr4 | CR4_OSXSAVE);
	CHECK((supported & 3) == 3, "XCR0 supports %lx", supported);
	write_xcr(0, 1);
	CHECK_EQ(cpuid(0xD, 0).ebx, 576);
	write_xcr(0, 3);
	CHECK_EQ(cpuid(0xD, 0).ebx, 576);
	write_xcr(0, supported);
	CHECK_EQ(read_xcr0(), supported);
	CHECK(cpuid(0xD, 0).ebx >= xsave_size(supported), "area of %x bytes for components up to %x", cpuid(0xD, 0).ebx,
	      xsave_size(supported));
	CHECK_EQ(cpuid(0xD, 0).ecx, cpuid(0xD, 0).ebx);
	if (supported & 4) {
		write_xcr(0, 7);
		CHECK_EQ(cpuid(0xD, 0).ebx, xsave_size(7));
		if ((cpuid(0xD, 1).eax >> 1 & 1) && !test_flaw_known("xsavec_size")) /* the compacted format */
			CHECK_EQ(cpuid(0xD, 1).ebx, 576 + cpuid(0xD, 2).eax);
	}
	write_xcr(0, 1);
	write_cr4(cr4);
}

static void set_xcr0_one(void *unused)
{
	(void)unused;
	write_xcr(0, 1);
}

void xcr0_refused(void)
{
	uint64_t cr4 = read_cr4(), supported = xcr0_supported();

	if (!(cpuid(1, 0).ecx >> 26 & 1)) {
		test_skip("no XSAVE");
		return;
	}
	write_cr4(cr4 | CR4_OSXSAVE);
	expect_xcr_gp("XCR0 = 0", 0, 0);
	expect_xcr_gp("XCR0 without x87", 0, 2);
	expect_xcr_gp("XCR0 AVX without SSE", 0, 5);
	expect_xcr_gp("XCR0 with every bit", 0, ~0ull);
	for (unsigned i = 3; i < 63; i++)
		if (!(supported >> i & 1) && !guest_on_tcg()) /* whose SVM does not intercept XSETBV */
			expect_xcr_gp("XCR0 with a bit not offered", 0, 3 | 1ull << i);
	expect_xcr_gp("XCR1", 1, 1);
	CHECK_EQ(read_xcr0(), 1);
	write_cr4(cr4);
	expect_ud("xsetbv without CR4.OSXSAVE", set_xcr0_one);
}
