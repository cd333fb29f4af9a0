/*
 * Mode changes by IA32_APIC_BASE, and what each mode refuses (SDM vol. 3A, "x2APIC State Transitions", table
 * "Local APIC Register Address Map Supported by x2APIC").
 */
#include "tests/guest/lapic/local.h"
#include "tests/guest/lib/clock.h"
#include "tests/guest/lib/cpu.h"
#include "tests/guest/lib/lapic.h"
#include "tests/guest/lib/test.h"
#include "tests/guest/lib/trap.h"

#define VECTOR 0x6C

static void expect_wrmsr_gp(const char *what, uint32_t msr, uint64_t value)
{
	unsigned vector = 0;

	if (trap_wrmsr(msr, value, &vector))
		test_fail("%s: accepted", what);
	else
		CHECK(vector == VEC_GP, "%s: vector %u", what, vector);
}

static void expect_rdmsr_gp(const char *what, uint32_t msr)
{
	unsigned vector = 0;
	uint64_t value;

	if (trap_rdmsr(msr, &value, &vector))
		test_fail("%s: reads %lx", what, value);
	else
		CHECK(vector == VEC_GP, "%s: vector %u", what, vector);
}

static bool without_x2apic(void)
{
	if (lapic_has_x2apic())
		return false;
	test_skip("no x2APIC");
	return true;
}

void mode_refused_transitions(void)
{
	uint64_t base = rdmsr(MSR_APIC_BASE);

	if (without_x2apic())
		return;
	expect_wrmsr_gp("reserved bit 9", MSR_APIC_BASE, base | 1ull << 9);
	expect_wrmsr_gp("reserved bit 63", MSR_APIC_BASE, base | 1ull << 63);
	expect_wrmsr_gp("x2APIC without enable", MSR_APIC_BASE, (base & ~APIC_BASE_ENABLE) | APIC_BASE_X2APIC);
	lapic_enter_x2apic();
	base = rdmsr(MSR_APIC_BASE);
	expect_wrmsr_gp("x2APIC straight to xAPIC", MSR_APIC_BASE, base & ~APIC_BASE_X2APIC);
	wrmsr(MSR_APIC_BASE, base & ~(APIC_BASE_ENABLE | APIC_BASE_X2APIC));
	expect_wrmsr_gp("disabled straight to x2APIC", MSR_APIC_BASE, base);
	wrmsr(MSR_APIC_BASE, base & ~APIC_BASE_X2APIC);
	lapic_init();
	CHECK_EQ(rdmsr(MSR_APIC_BASE), base & ~APIC_BASE_X2APIC);
}

void mode_round_trip(void)
{
	uint32_t id = lapic_id();

	if (without_x2apic())
		return;
	for (unsigned i = 0; i < 3; i++) {
		lapic_write(LAPIC_TPR, 0x40);
		lapic_enter_x2apic();
		CHECK_EQ(lapic_id(), id);
		trap_irq_reset();
		irq_enable();
		lapic_write(LAPIC_SELF_IPI, VECTOR);
		CHECK(CLOCK_WAIT(trap_irq_count(VECTOR) == 1, WAIT_US), "no self-IPI in x2APIC mode");
		irq_disable();
		lapic_enter_xapic();
		CHECK_EQ(lapic_id(), id);
		CHECK_EQ(lapic_read(LAPIC_TPR), 0);
		trap_irq_reset();
		irq_enable();
		lapic_send(0, LAPIC_ICR_SELF | LAPIC_ICR_ASSERT | VECTOR);
		CHECK(CLOCK_WAIT(trap_irq_count(VECTOR) == 1, WAIT_US), "no self-IPI in xAPIC mode");
		irq_disable();
	}
}

/*
 * Disabled: CPUID hides it; enabled again: reset values. Real Intel CPUs before x2APIC never allowed the way
 * back.
 */
void mode_disabled(void)
{
	uint64_t base = rdmsr(MSR_APIC_BASE);

	if (without_x2apic())
		return;
	lapic_write(LAPIC_LVT_TIMER, LAPIC_LVT_MASKED | 0x55);
	wrmsr(MSR_APIC_BASE, base & ~APIC_BASE_ENABLE);
	CHECK(!(cpuid(1, 0).edx >> 9 & 1), "CPUID still shows an APIC");
	wrmsr(MSR_APIC_BASE, base);
	CHECK(cpuid(1, 0).edx >> 9 & 1, "CPUID shows no APIC");
	CHECK_EQ(lapic_read(LAPIC_SVR) & 0x1FF, 0xFF);
	CHECK_EQ(lapic_read(LAPIC_LVT_TIMER), LAPIC_LVT_MASKED);
	CHECK_EQ(lapic_read(LAPIC_TPR), 0);
	lapic_init();
}

void mode_x2apic_refused_in_xapic(void)
{
	if (without_x2apic())
		return;
	expect_rdmsr_gp("x2APIC id", MSR_X2APIC + LAPIC_ID / 16);
	expect_wrmsr_gp("x2APIC EOI", MSR_X2APIC + LAPIC_EOI / 16, 0);
}

void mode_x2apic_registers(void)
{
	expect_rdmsr_gp("MSR 0x801", MSR_X2APIC + 1);
	expect_rdmsr_gp("DFR", MSR_X2APIC + LAPIC_DFR / 16);
	expect_wrmsr_gp("DFR", MSR_X2APIC + LAPIC_DFR / 16, 0);
	expect_rdmsr_gp("upper half of the ICR", MSR_X2APIC + LAPIC_ICR_HIGH / 16);
	expect_rdmsr_gp("EOI", MSR_X2APIC + LAPIC_EOI / 16);
	expect_wrmsr_gp("EOI with a value", MSR_X2APIC + LAPIC_EOI / 16, 1);
	expect_rdmsr_gp("self-IPI", MSR_X2APIC + LAPIC_SELF_IPI / 16);
	expect_wrmsr_gp("id", MSR_X2APIC + LAPIC_ID / 16, 0);
	expect_wrmsr_gp("version", MSR_X2APIC + LAPIC_VERSION / 16, 0);
	expect_wrmsr_gp("LDR", MSR_X2APIC + LAPIC_LDR / 16, 0);
	expect_wrmsr_gp("ISR", MSR_X2APIC + LAPIC_ISR / 16, 0);
	expect_wrmsr_gp("current count", MSR_X2APIC + LAPIC_TIMER_CURRENT / 16, 0);
	expect_wrmsr_gp("TPR above 255", MSR_X2APIC + LAPIC_TPR / 16, 0x100);
	expect_wrmsr_gp("ESR with a value", MSR_X2APIC + LAPIC_ESR / 16, 1);
	expect_wrmsr_gp("TPR's upper half", MSR_X2APIC + LAPIC_TPR / 16, 1ull << 32);
}
