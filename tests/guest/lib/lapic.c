/*
 * Local APIC access for the test guests. Uses plain 32-bit MOVs in xAPIC mode, as every real kernel does.
 */
#include "tests/guest/lib/lapic.h"
#include "tests/guest/lib/cpu.h"
#include "tests/guest/lib/trap.h"

static volatile uint32_t *lapic_mmio(unsigned reg)
{
	return (volatile uint32_t *)(LAPIC_BASE + reg);
}

uint32_t lapic_read(unsigned reg)
{
	if (guest_cpu_self()->x2apic)
		return (uint32_t)rdmsr(MSR_X2APIC + reg / 16);
	return *lapic_mmio(reg);
}

void lapic_write(unsigned reg, uint32_t value)
{
	if (guest_cpu_self()->x2apic)
		wrmsr(MSR_X2APIC + reg / 16, value);
	else
		*lapic_mmio(reg) = value;
}

void lapic_eoi(void)
{
	lapic_write(LAPIC_EOI, 0);
}

uint32_t lapic_id(void)
{
	uint32_t id = lapic_read(LAPIC_ID);

	return guest_cpu_self()->x2apic ? id : id >> 24;
}

void lapic_send(uint32_t destination, uint32_t icr_low)
{
	if (guest_cpu_self()->x2apic) {
		/*
		 * The MSR write does not order earlier stores; the MMIO write does (SDM vol. 3A, "x2APIC
		 * Register Address Space").
		 */
		__asm__ volatile("mfence; lfence" : : : "memory");
		wrmsr(MSR_X2APIC + LAPIC_ICR_LOW / 16, (uint64_t)destination << 32 | icr_low);
		return;
	}
	for (unsigned i = 0; i < 1000000 && (*lapic_mmio(LAPIC_ICR_LOW) & LAPIC_ICR_PENDING); i++)
		cpu_relax();
	*lapic_mmio(LAPIC_ICR_HIGH) = destination << 24;
	*lapic_mmio(LAPIC_ICR_LOW) = icr_low;
}

bool lapic_vector_bit(unsigned reg, unsigned vector)
{
	return lapic_read(reg + vector / 32 * 16) >> (vector % 32) & 1;
}

bool lapic_has_x2apic(void)
{
	return cpuid(1, 0).ecx >> 21 & 1;
}

bool lapic_has_tsc_deadline(void)
{
	return cpuid(1, 0).ecx >> 24 & 1;
}

void lapic_init(void)
{
	static const uint16_t lvts[] = { LAPIC_LVT_TIMER, LAPIC_LVT_PERF, LAPIC_LVT_LINT0, LAPIC_LVT_LINT1, LAPIC_LVT_ERROR };
	struct guest_cpu *cpu = guest_cpu_self();

	cpu->x2apic = rdmsr(MSR_APIC_BASE) & APIC_BASE_X2APIC;
	if (!cpu->index) {
		outb(0x21, 0xFF);
		outb(0xA1, 0xFF);
	}
	lapic_write(LAPIC_SVR, LAPIC_SVR_ENABLE | VEC_SPURIOUS);
	for (unsigned i = 0; i < sizeof(lvts) / sizeof(lvts[0]); i++)
		lapic_write(lvts[i], LAPIC_LVT_MASKED | VEC_SPURIOUS);
	lapic_write(LAPIC_TIMER_INITIAL, 0);
	lapic_write(LAPIC_TPR, 0);
	cpu->apic_id = lapic_id();
}

void lapic_enter_x2apic(void)
{
	wrmsr(MSR_APIC_BASE, rdmsr(MSR_APIC_BASE) | APIC_BASE_ENABLE | APIC_BASE_X2APIC);
	lapic_init();
}

void lapic_enter_xapic(void)
{
	uint64_t base = rdmsr(MSR_APIC_BASE);

	if (base & APIC_BASE_X2APIC)
		wrmsr(MSR_APIC_BASE, base & ~(APIC_BASE_ENABLE | APIC_BASE_X2APIC));
	wrmsr(MSR_APIC_BASE, (base & ~APIC_BASE_X2APIC) | APIC_BASE_ENABLE);
	lapic_init();
}
