/*
 * The local APIC in both modes: registers, priorities, IPIs, timers, mode changes. Best with 2 to 4 vCPUs
 * (vcpus=N).
 */
#include "tests/guest/lapic/local.h"
#include "tests/guest/lib/cpu.h"
#include "tests/guest/lib/lapic.h"
#include "tests/guest/lib/smp.h"
#include "tests/guest/lib/test.h"

/* Cases of either mode, named for it. */
#define COMMON_CASES(mode) \
	{ mode "id_version", regs_id_version }, { mode "tpr_cr8", regs_tpr }, { mode "ppr", regs_ppr }, \
		{ mode "priority_blocks", regs_priority_blocks }, { mode "nested_interrupts", regs_nested }, \
		{ mode "pending_merge", regs_merge }, { mode "eoi_when_idle", regs_eoi_idle }, { mode "lvt_registers", regs_lvt }, \
		{ mode "software_disable", regs_software_disable }, { mode "illegal_vector", regs_illegal_vector }, \
		{ mode "cr8_is_tpr", cr8_is_tpr }, { mode "cr8_holds", cr8_holds }, { mode "cr8_lowered_before", cr8_lowered_before }, \
		{ mode "cr8_and_if", cr8_and_if }, { mode "cr8_holds_timer", cr8_holds_timer }, { mode "cr8_halt", cr8_halt }, \
		{ mode "cr8_in_handler", cr8_in_handler }, { mode "self_ipi", ipi_self }, { mode "physical_ipi", ipi_physical }, \
		{ mode "shorthands", ipi_shorthands }, { mode "broadcast", ipi_broadcast }, \
		{ mode "lowest_priority", ipi_lowest_priority }, { mode "nmi_to_other", ipi_nmi }, { mode "nmi_storm", ipi_nmi_storm }, \
		{ mode "ipi_wakes_hlt", ipi_wakes_hlt }, { mode "ipi_to_nobody", ipi_absent }, { mode "timer_dividers", timer_dividers }, \
		{ mode "timer_one_shot", timer_one_shot }, { mode "timer_periodic", timer_periodic }, \
		{ mode "timer_masked", timer_masked }, { mode "timer_stop", timer_stop }, { mode "timer_restart", timer_restart }, \
		{ mode "tsc_deadline", timer_deadline }, { mode "tsc_deadline_past", timer_deadline_past }, \
		{ mode "tsc_deadline_disarm", timer_deadline_disarm }, \
	{ \
		mode "tsc_deadline_modes", timer_deadline_modes \
	}

static const struct test_case xapic_cases[] = {
	COMMON_CASES("xapic."),
	{ "xapic.logical_flat", ipi_logical_flat },
	{ "xapic.logical_cluster", ipi_logical_cluster },
	{ "xapic.init_sipi", ipi_init_sipi },
	{ "xapic.refuses_x2apic_msrs", mode_x2apic_refused_in_xapic },
};

static const struct test_case x2apic_cases[] = {
	COMMON_CASES("x2apic."),
	{ "x2apic.logical", ipi_logical_x2apic },
	{ "x2apic.refused_registers", mode_x2apic_registers },
};

/* Started by INIT, a CPU comes up in xAPIC mode: this one is last. */
static const struct test_case mode_cases[] = {
	{ "mode.refused_transitions", mode_refused_transitions },
	{ "mode.round_trip", mode_round_trip },
	{ "mode.disabled", mode_disabled },
};

static void enter_x2apic(void *unused)
{
	(void)unused;
	lapic_enter_x2apic();
}

static void enter_xapic(void *unused)
{
	(void)unused;
	lapic_enter_xapic();
}

void guest_main(void)
{
	smp_idle_polls = true;
	smp_start(4);
	if (rdmsr(MSR_APIC_BASE) & APIC_BASE_X2APIC)
		smp_call_all(enter_xapic, NULL, WAIT_US);
	TEST_RUN(xapic_cases);
	if (lapic_has_x2apic()) {
		smp_call_all(enter_x2apic, NULL, WAIT_US);
		TEST_RUN(x2apic_cases);
		smp_call_all(enter_xapic, NULL, WAIT_US);
	}
	TEST_RUN(mode_cases);
}
