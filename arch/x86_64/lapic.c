/* See lapic.h. */
#include "arch/x86_64/lapic.h"
#include "arch/x86_64/features.h"
#include "arch/x86_64/lapic_registers.h"
#include "arch/x86_64/trap.h"
#include "arch/x86_64/tsc.h"

#define LVT_NMI         0x400u
#define DIVIDE_BY_1     0xBu
#define ICR_WAIT_ROUNDS 1000000u

sealed static volatile uint8_t *registers; /* NULL: x2APIC, or not yet initialised */
static bool ready;

static uint32_t apic_read(enum lapic_register reg)
{
	return registers ? *(volatile uint32_t *)(registers + reg * 16) : (uint32_t)rdmsr(MSR_X2APIC_FIRST + reg);
}

static void apic_write(enum lapic_register reg, uint32_t value)
{
	if (registers)
		*(volatile uint32_t *)(registers + reg * 16) = value;
	else
		wrmsr(MSR_X2APIC_FIRST + reg, value);
}

void lapic_init(volatile void *mmio)
{
	registers = cpu_features.x2apic ? NULL : mmio;
	ready = true;
}

void lapic_init_core(void)
{
	uint64_t base = rdmsr(MSR_IA32_APIC_BASE);

	wrmsr(MSR_IA32_APIC_BASE, base | APIC_BASE_EN);
	if (cpu_features.x2apic)
		wrmsr(MSR_IA32_APIC_BASE, base | APIC_BASE_EN | APIC_BASE_EXTD);
	apic_write(APIC_SVR, APIC_SVR_ENABLE | TRAP_LAPIC_SPURIOUS);
	apic_write(APIC_LVT_TIMER, APIC_LVT_MASKED);
	apic_write(APIC_LVT_LINT0, APIC_LVT_MASKED);
	apic_write(APIC_LVT_ERROR, APIC_LVT_MASKED);
	/* Thermal and performance entries keep what firmware set (they may be SMIs). The NMI button is wired
	 * to LINT1. */
	apic_write(APIC_LVT_LINT1, LVT_NMI);
	apic_write(APIC_TPR, 0);
	apic_write(APIC_ESR, 0);
}

uint32_t lapic_id(void)
{
	uint32_t id = apic_read(APIC_ID);

	return registers ? id >> 24 : id;
}

void lapic_eoi(void)
{
	apic_write(APIC_EOI, 0);
}

void lapic_send(uint32_t apic_id, uint32_t command)
{
	if (!ready)
		return;
	if (!registers) {
		/* A WRMSR here does not wait for earlier stores, which the target must see. SDM vol.
		 * 3A, 11.12.3. */
		__asm__ volatile("mfence; lfence" ::: "memory");
		wrmsr(MSR_X2APIC_FIRST + APIC_ICR_LOW, (uint64_t)apic_id << 32 | command);
		return;
	}
	for (uint32_t i = 0; i < ICR_WAIT_ROUNDS && (apic_read(APIC_ICR_LOW) & APIC_ICR_STATUS); i++)
		cpu_pause();
	apic_write(APIC_ICR_HIGH, apic_id << 24);
	apic_write(APIC_ICR_LOW, command);
}

void lapic_timer_setup(unsigned vector, uint32_t mode)
{
	apic_write(APIC_DIVIDE, DIVIDE_BY_1);
	apic_write(APIC_LVT_TIMER, vector ? vector | mode : APIC_LVT_MASKED);
	/* The mode must be in place before the first write of the deadline MSR. SDM vol. 3A, 11.5.4.1. */
	__asm__ volatile("mfence" ::: "memory");
}

void lapic_timer_start(uint32_t initial)
{
	apic_write(APIC_INITIAL_COUNT, initial);
}

uint32_t lapic_timer_count(void)
{
	return apic_read(APIC_CURRENT_COUNT);
}

/* ---- The core's timer ---- */

/* Of a ticking timer. A period that is too short never ends under QEMU, which makes up for each one that passes. */
#define TICK_NS_MIN 50000ull
#define TICK_NS_MAX 2000000ull

/* Under QEMU's TCG: see lapic.h. */
static bool timer_ticks(void)
{
	return cpu_features.tcg && !cpu_features.tsc_deadline;
}

void timer_init_core(unsigned vector)
{
	lapic_timer_setup(vector, cpu_features.tsc_deadline ? APIC_LVT_TIMER_DEADLINE : timer_ticks() ? APIC_LVT_TIMER_PERIODIC : 0);
	timer_set_deadline_tsc(TIMER_NEVER);
}

void timer_set_deadline_tsc(uint64_t tsc)
{
	if (cpu_features.tsc_deadline) {
		wrmsr(MSR_IA32_TSC_DEADLINE, tsc ? tsc : 1); /* 0 would disarm */
		return;
	}
	int64_t left = (int64_t)(tsc - rdtsc());
	if (timer_ticks()) {
		int64_t least = (int64_t)tsc_from_ns(TICK_NS_MIN), most = (int64_t)tsc_from_ns(TICK_NS_MAX);
		left = left < least ? least : left > most ? most : left;
	}
	/* One tick more, so that rounding never makes it early. */
	uint64_t ticks = left > 0 ? tsc_scale_by((uint64_t)left, tsc_scale.lapic_mul) + 1 : 1;

	lapic_timer_start(ticks < UINT32_MAX ? (uint32_t)ticks : UINT32_MAX);
}
