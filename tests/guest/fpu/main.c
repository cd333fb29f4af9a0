/*
 * x87, SSE and AVX state of each CPU must be its own, whatever leaves the guest and whoever else runs on the
 * core meanwhile. Wants 2 to 4 vCPUs, some of them sharing a core. The compiler uses no such registers here,
 * so what is loaded stays.
 */
#include "tests/guest/lib/clock.h"
#include "tests/guest/lib/cpu.h"
#include "tests/guest/lib/lapic.h"
#include "tests/guest/lib/smp.h"
#include "tests/guest/lib/test.h"
#include "tests/guest/lib/text.h"
#include "tests/guest/lib/trap.h"

#define MAX_CPUS     4
#define ROUNDS       300
#define TIMEOUT_US   60000000
#define TICK_VECTOR  0x45
#define AREA_BYTES   4096
#define LEGACY_BYTES 512
#define HEADER_BV    512     /* XSTATE_BV */
#define XCR0_WANTED  0xE7ull /* x87, SSE, AVX, AVX-512 */

static uint8_t areas[GUEST_MAX_CPUS][2][AREA_BYTES] __attribute__((aligned(64)));
static uint64_t xcr0_of[GUEST_MAX_CPUS];
static bool have_xsave;

static void fpu_enable(void)
{
	write_cr0((read_cr0() & ~(CR0_EM | CR0_TS)) | CR0_MP | CR0_NE);
	write_cr4(read_cr4() | CR4_OSFXSR | CR4_OSXMMEXCPT | (have_xsave ? CR4_OSXSAVE : 0));
}

static void fpu_load(const uint8_t *area, uint64_t mask)
{
	if (have_xsave)
		__asm__ volatile("xrstor64 (%0)" : : "r"(area), "a"((uint32_t)mask), "d"((uint32_t)(mask >> 32)) : "memory");
	else
		__asm__ volatile("fxrstor64 (%0)" : : "r"(area) : "memory");
}

static void fpu_store(uint8_t *area, uint64_t mask)
{
	if (have_xsave)
		__asm__ volatile("xsave64 (%0)" : : "r"(area), "a"((uint32_t)mask), "d"((uint32_t)(mask >> 32)) : "memory");
	else
		__asm__ volatile("fxsave64 (%0)" : : "r"(area) : "memory");
}

static uint64_t pattern(uint64_t seed, unsigned i)
{
	return (seed * 0x9E3779B97F4A7C15ull + i) * 0xD1B54A32D192ED03ull;
}

/*
 * Fills a standard-format area (SDM vol. 1, "XSAVE-Managed State"): every register differs by CPU, round and
 * index.
 */
static void fpu_fill(uint8_t *area, uint64_t seed, uint64_t mask)
{
	uint64_t *words = (uint64_t *)area;

	memset(area, 0, AREA_BYTES);
	*(uint16_t *)(area + 0) = (uint16_t)(0x037F | (seed & 3) << 10);  /* FCW: rounding differs, all masked */
	area[4] = 0xFF;                                                   /* abridged tag word: all valid */
	*(uint32_t *)(area + 24) = (uint32_t)(0x1F80 | (seed & 3) << 13); /* MXCSR: rounding differs, all masked */
	for (unsigned st = 0; st < 8; st++) {
		words[4 + st * 2] = pattern(seed, st) | 1ull << 63;
		*(uint16_t *)(area + 32 + st * 16 + 8) = (uint16_t)(0x3FFF + st);
	}
	for (unsigned i = 20; i < 52; i++) /* XMM0..15 */
		words[i] = pattern(seed, i);
	*(uint64_t *)(area + HEADER_BV) = mask;
	for (unsigned c = 2; have_xsave && c < 8; c++) {
		struct cpuid_regs r = cpuid(0xD, c);

		for (unsigned i = 0; (mask >> c & 1) && i < r.eax / 8; i++)
			words[r.ebx / 8 + i] = pattern(seed, r.ebx + i);
	}
}

/*
 * Offset of the first byte of state that differs, or -1. Bytes that the CPU may change (FOP, FIP, FDP,
 * reserved) do not count.
 */
static int fpu_compare(const uint8_t *want, const uint8_t *have, uint64_t mask)
{
	for (int i = 0; i < LEGACY_BYTES - 96; i++) {
		bool counts = (i < 2) || i == 4 || (i >= 24 && i < 28) || (i >= 32 && i < 160 && (i & 15) < 10) || i >= 160;

		if (counts && want[i] != have[i])
			return i;
	}
	for (unsigned c = 2; have_xsave && c < 8; c++) {
		struct cpuid_regs r = cpuid(0xD, c);

		for (unsigned i = 0; (mask >> c & 1) && i < r.eax; i++)
			if (want[r.ebx + i] != have[r.ebx + i])
				return (int)(r.ebx + i);
	}
	return -1;
}

/* Things that leave the guest, by number. */
static void leave_guest(unsigned kind)
{
	switch (kind % 6) {
	case 0:
		(void)cpuid(1, 0);
		break;
	case 1:
		(void)inb(0x3FF);
		break;
	case 2:
		(void)rdmsr(MSR_APIC_BASE);
		break;
	case 3:
		__asm__ volatile("sti; hlt; cli" : : : "memory"); /* until the tick */
		break;
	case 4:
		lapic_send(0, LAPIC_ICR_SELF | LAPIC_ICR_ASSERT | TICK_VECTOR);
		irq_enable();
		cpu_relax();
		irq_disable();
		break;
	default:
		for (unsigned i = 0; i < 2000; i++)
			cpu_relax();
		break;
	}
}

static void fpu_rounds(void *unused)
{
	unsigned self = guest_cpu_self()->index;
	uint8_t *want = areas[self][0], *have = areas[self][1];
	uint64_t mask = xcr0_of[self];

	(void)unused;
	irq_disable();
	fpu_enable();
	if (have_xsave)
		write_xcr(0, mask);
	lapic_write(LAPIC_TIMER_DIVIDE, 0xB);
	lapic_write(LAPIC_LVT_TIMER, LAPIC_TIMER_PERIODIC | TICK_VECTOR);
	lapic_write(LAPIC_TIMER_INITIAL, 300000);
	for (unsigned round = 0; round < ROUNDS; round++) {
		int at;

		fpu_fill(want, (uint64_t)round << 8 | self, mask);
		fpu_load(want, mask);
		for (unsigned i = 0; i < 3; i++)
			leave_guest(round + i * 2 + self);
		memset(have, 0, AREA_BYTES);
		fpu_store(have, mask);
		at = fpu_compare(want, have, mask);
		if (at >= 0) {
			test_fail("CPU %u round %u: byte %d is %x, not %x", self, round, at, have[at], want[at]);
			break;
		}
		if (have_xsave && read_xcr0() != mask) {
			test_fail("CPU %u round %u: XCR0 is %lx, not %lx", self, round, read_xcr0(), mask);
			break;
		}
	}
	lapic_write(LAPIC_TIMER_INITIAL, 0);
	lapic_write(LAPIC_LVT_TIMER, LAPIC_LVT_MASKED | TICK_VECTOR);
}

static uint64_t xcr0_offered(void)
{
	struct cpuid_regs r;

	if (!have_xsave)
		return 3;
	r = cpuid(0xD, 0);
	return (((uint64_t)r.edx << 32) | r.eax) & XCR0_WANTED;
}

static void alone(void)
{
	xcr0_of[0] = xcr0_offered();
	fpu_rounds(NULL);
}

static void together(void)
{
	for (unsigned i = 0; i < smp_cpus; i++)
		xcr0_of[i] = xcr0_offered();
	CHECK(smp_call_all(fpu_rounds, NULL, TIMEOUT_US), "not all CPUs finished");
}

/*
 * Different components enabled: XCR0 itself must follow the CPU, and the larger state must survive beside the
 * smaller.
 */
static void together_unlike(void)
{
	static const uint64_t masks[4] = { 7, 3, 0xE7, 1 };

	if (!have_xsave) {
		test_skip("no XSAVE");
		return;
	}
	for (unsigned i = 0; i < smp_cpus; i++) {
		uint64_t mask = masks[i % 4] & xcr0_offered();

		xcr0_of[i] = (mask & 0xE0) == 0xE0 ? mask : mask & 7;
		if (xcr0_of[i] == 1)
			xcr0_of[i] = 3; /* XMM registers are compared too */
	}
	CHECK(smp_call_all(fpu_rounds, NULL, TIMEOUT_US), "not all CPUs finished");
}

static void xcr0_changes(void)
{
	uint64_t offered = xcr0_offered();
	uint8_t *want = areas[0][0], *have = areas[0][1];

	if (!have_xsave || !(offered & 4)) {
		test_skip("no AVX");
		return;
	}
	fpu_enable();
	for (unsigned i = 0; i < 200; i++) {
		uint64_t mask = i & 1 ? 3 : offered;
		int at;

		write_xcr(0, mask);
		(void)cpuid(0, 0);
		REQUIRE(read_xcr0() == mask, "XCR0 is %lx, not %lx", read_xcr0(), mask);
		fpu_fill(want, i, mask);
		fpu_load(want, mask);
		(void)inb(0x3FF);
		memset(have, 0, AREA_BYTES);
		fpu_store(have, mask);
		at = fpu_compare(want, have, mask);
		REQUIRE(at < 0, "round %u: byte %d is %x, not %x", i, at, have[at], want[at]);
	}
}

static void touch_xmm(void *unused)
{
	(void)unused;
	__asm__ volatile("movaps %%xmm0, %%xmm0" : : : "memory");
}

/* With CR0.TS set, exits must neither lose the trap nor the state behind it. */
static void task_switched(void)
{
	uint64_t mask = xcr0_offered();
	uint8_t *want = areas[0][0], *have = areas[0][1];
	struct trap_record r;
	int at;

	fpu_enable();
	if (have_xsave)
		write_xcr(0, mask);
	for (unsigned i = 0; i < 50; i++) {
		fpu_fill(want, i + 1000, mask);
		fpu_load(want, mask);
		write_cr0(read_cr0() | CR0_TS);
		leave_guest(i % 3);
		REQUIRE(trap_catch(touch_xmm, NULL, &r) && r.vector == VEC_NM, "no #NM with CR0.TS");
		leave_guest(i % 3);
		__asm__ volatile("clts" : : : "memory");
		memset(have, 0, AREA_BYTES);
		fpu_store(have, mask);
		at = fpu_compare(want, have, mask);
		REQUIRE(at < 0, "round %u: byte %d is %x, not %x", i, at, have[at], want[at]);
	}
}

void guest_main(void)
{
	static const struct test_case cases[] = {
		{ "state_survives_exits", xcr0_changes }, { "task_switched_flag", task_switched },      { "state_survives_alone", alone },
		{ "state_survives_together", together },  { "state_survives_unlike", together_unlike },
	};

	have_xsave = cpuid(1, 0).ecx >> 26 & 1;
	smp_start(MAX_CPUS);
	text_print("cpus: %u, XCR0 components offered: %lx\n", smp_cpus, xcr0_offered());
	TEST_RUN(cases);
}
