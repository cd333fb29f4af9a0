/*
 * One attempt at a time: what it changes in control registers, MSRs and tables is undone, so that the next
 * one still runs.
 */
#include "tests/guest/hostile/local.h"
#include "tests/guest/lib/cpu.h"
#include "tests/guest/lib/lapic.h"
#include "tests/guest/lib/text.h"
#include "tests/guest/lib/trap.h"

static uint64_t cr0, cr3, cr4, efer, apic_base;

void hostile_prepare(void)
{
	cr0 = read_cr0();
	cr3 = read_cr3();
	cr4 = read_cr4();
	efer = rdmsr(MSR_EFER);
	apic_base = rdmsr(MSR_APIC_BASE);
}

static void reset_dr7(void *unused)
{
	(void)unused;
	write_dr7(0x400);
}

void hostile_restore(void)
{
	struct trap_record r;
	uint64_t value;

	irq_disable();
	write_cr4(cr4);
	write_cr0(cr0);
	write_cr3(cr3);
	trap_reload_tables(guest_cpu_self());
	if (trap_catch(reset_dr7, NULL, &r)) /* general detection; the CPU has cleared it before the handler ran */
		reset_dr7(NULL);
	(void)trap_wrmsr(MSR_EFER, efer, NULL);
	if (trap_rdmsr(MSR_APIC_BASE, &value, NULL) && value != apic_base) {
		(void)trap_wrmsr(MSR_APIC_BASE, apic_base & ~(APIC_BASE_ENABLE | APIC_BASE_X2APIC), NULL);
		(void)trap_wrmsr(MSR_APIC_BASE, apic_base, NULL);
	}
}

static void attempt_call(void *arg)
{
	((void (*)(void))arg)();
}

bool hostile_attempt(void (*fn)(void))
{
	struct trap_record r;
	bool refused = trap_catch(attempt_call, (void *)fn, &r);

	hostile_restore();
	return refused;
}
