/* See lapic.h. */
#include "arch/x86_64/lapic.h"
#include "arch/x86_64/cpu.h"
#include "arch/x86_64/features.h"
#include "arch/x86_64/trap.h"

#define MSR_APIC_BASE	 0x1Bu
#define APIC_BASE_X2APIC (1ull << 10)
#define APIC_BASE_ENABLE (1ull << 11)
#define MSR_X2APIC	 0x800u /* + register offset / 16 */

enum {
	APIC_ID = 0x20,
	APIC_TPR = 0x80,
	APIC_EOI = 0xB0,
	APIC_SVR = 0xF0,
	APIC_ESR = 0x280,
	APIC_ICR = 0x300,
	APIC_ICR_HIGH = 0x310,
	APIC_LVT_TIMER = 0x320,
	APIC_LVT_LINT0 = 0x350,
	APIC_LVT_LINT1 = 0x360,
	APIC_LVT_ERROR = 0x370,
	APIC_TIMER_INITIAL = 0x380,
	APIC_TIMER_CURRENT = 0x390,
	APIC_TIMER_DIVIDE = 0x3E0,
};

#define SVR_ENABLE	 0x100u
#define LVT_MASKED	 0x10000u
#define LVT_NMI		 0x400u
#define LVT_TIMER_MODE_SHIFT 17
#define DIVIDE_BY_1	 0xBu
#define ICR_PENDING	 0x1000u
#define ICR_ASSERT	 0x4000u
#define ICR_WAIT_ROUNDS	 1000000u

static volatile uint8_t *registers; /* NULL: x2APIC, or not yet initialised */
static bool ready;

static uint32_t apic_read(uint32_t reg)
{
	return registers ? *(volatile uint32_t *)(registers + reg) : (uint32_t)rdmsr(MSR_X2APIC + reg / 16);
}

static void apic_write(uint32_t reg, uint32_t value)
{
	if (registers)
		*(volatile uint32_t *)(registers + reg) = value;
	else
		wrmsr(MSR_X2APIC + reg / 16, value);
}

bool lapic_is_x2apic(void)
{
	return cpu_features.x2apic;
}

void lapic_init(volatile void *mmio)
{
	registers = lapic_is_x2apic() ? NULL : mmio;
	ready = true;
}

void lapic_init_core(void)
{
	uint64_t base = rdmsr(MSR_APIC_BASE);

	wrmsr(MSR_APIC_BASE, base | APIC_BASE_ENABLE);
	if (lapic_is_x2apic())
		wrmsr(MSR_APIC_BASE, base | APIC_BASE_ENABLE | APIC_BASE_X2APIC);
	apic_write(APIC_SVR, SVR_ENABLE | TRAP_LAPIC_SPURIOUS);
	apic_write(APIC_LVT_TIMER, LVT_MASKED);
	apic_write(APIC_LVT_LINT0, LVT_MASKED);
	apic_write(APIC_LVT_ERROR, LVT_MASKED);
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
		wrmsr(MSR_X2APIC + APIC_ICR / 16, (uint64_t)apic_id << 32 | command);
		return;
	}
	for (uint32_t i = 0; i < ICR_WAIT_ROUNDS && (apic_read(APIC_ICR) & ICR_PENDING); i++)
		cpu_pause();
	apic_write(APIC_ICR_HIGH, apic_id << 24);
	apic_write(APIC_ICR, command);
}

void lapic_send_ipi(uint32_t apic_id, unsigned vector)
{
	lapic_send(apic_id, ICR_ASSERT | vector);
}

void lapic_timer_setup(unsigned vector, enum lapic_timer_mode mode)
{
	apic_write(APIC_TIMER_DIVIDE, DIVIDE_BY_1);
	apic_write(APIC_LVT_TIMER, vector ? vector | (uint32_t)mode << LVT_TIMER_MODE_SHIFT : LVT_MASKED);
	/* The mode must be in place before the first write of the deadline MSR. SDM vol. 3A, 11.5.4.1. */
	__asm__ volatile("mfence" ::: "memory");
}

void lapic_timer_start(uint32_t initial)
{
	apic_write(APIC_TIMER_INITIAL, initial);
}

uint32_t lapic_timer_count(void)
{
	return apic_read(APIC_TIMER_CURRENT);
}
