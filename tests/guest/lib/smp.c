/*
 * Finding, starting and using the other CPUs. The first CPU owns the start-up mailbox; CPUs are started one
 * after another.
 */
#include "tests/guest/lib/smp.h"
#include "tests/guest/lib/acpi.h"
#include "tests/guest/lib/clock.h"
#include "tests/guest/lib/cpu.h"
#include "tests/guest/lib/lapic.h"
#include "tests/guest/lib/test.h"
#include "tests/guest/lib/text.h"
#include "tests/guest/lib/trap.h"

#define SMP_START_TIMEOUT_US 5000000

/* Tail of ap.asm. */
struct ap_mailbox {
	uint64_t cr0, cr3, cr4, efer, rsp, cpu;
};

unsigned smp_cpus = 1;
bool smp_idle_polls;
static uint32_t smp_ids[GUEST_MAX_CPUS];
extern uint8_t ap_code[], ap_code_end[];

/* Enabled local APICs and x2APICs of the MADT (ACPI 6.4, 5.2.12), the caller's own left out. */
static unsigned smp_read_madt(unsigned limit)
{
	const uint8_t *madt = acpi_find_table("APIC");
	uint32_t self = guest_cpu_self()->apic_id;
	unsigned count = 1;

	for (unsigned at = 44; madt && at + 2 <= *(const uint32_t *)(madt + 4) && madt[at + 1] && count < limit; at += madt[at + 1]) {
		const uint8_t *e = madt + at;
		uint32_t id = e[0] == 9 ? *(const uint32_t *)(e + 4) : e[3];
		uint32_t flags = *(const uint32_t *)(e + (e[0] == 9 ? 8 : 4));

		if ((e[0] == 0 || e[0] == 9) && (flags & 1) && id != self)
			smp_ids[count++] = id;
	}
	return count;
}

static void smp_write_mailbox(unsigned index)
{
	unsigned bytes = (unsigned)(ap_code_end - ap_code);
	struct ap_mailbox *box = (struct ap_mailbox *)(AP_BASE + bytes - sizeof(*box));

	memcpy((void *)AP_BASE, ap_code, bytes);
	*box = (struct ap_mailbox){
		.cr0 = read_cr0(),
		.cr3 = read_cr3(),
		.cr4 = read_cr4(),
		.efer = rdmsr(MSR_EFER) & ~EFER_LMA,
		.rsp = trap_stack_top(index),
		.cpu = (uint64_t)&guest_cpus[index],
	};
}

static bool smp_online(unsigned index)
{
	return *(volatile bool *)&guest_cpus[index].online;
}

bool smp_restart(unsigned index)
{
	guest_cpus[index].online = false;
	guest_cpus[index].work = NULL;
	smp_write_mailbox(index);
	lapic_send(smp_ids[index], LAPIC_ICR_INIT | LAPIC_ICR_ASSERT);
	clock_delay_us(10000);
	lapic_send(smp_ids[index], LAPIC_ICR_STARTUP | LAPIC_ICR_ASSERT | (uint32_t)(AP_BASE >> 12));
	/* The second SIPI is for CPUs that missed the first; one that runs must ignore it. */
	if (!CLOCK_WAIT(smp_online(index), 1000))
		lapic_send(smp_ids[index], LAPIC_ICR_STARTUP | LAPIC_ICR_ASSERT | (uint32_t)(AP_BASE >> 12));
	return CLOCK_WAIT(smp_online(index), SMP_START_TIMEOUT_US);
}

unsigned smp_start(unsigned limit)
{
	unsigned wanted = (unsigned)test_option("vcpus", 0), found;

	if (limit > GUEST_MAX_CPUS)
		limit = GUEST_MAX_CPUS;
	smp_ids[0] = guest_cpu_self()->apic_id;
	found = smp_read_madt(limit);
	for (; found < wanted && found < limit; found++)
		smp_ids[found] = found;
	for (unsigned i = 1; i < found; i++) {
		if (!smp_restart(i)) {
			text_print("cpu %u (APIC id %u) does not start\n", i, smp_ids[i]);
			break;
		}
		smp_cpus = i + 1;
	}
	return smp_cpus;
}

static void smp_idle(struct guest_cpu *cpu)
{
	while (!__atomic_load_n(&cpu->work, __ATOMIC_ACQUIRE)) {
		if (*(volatile bool *)&smp_idle_polls) {
			irq_enable();
			cpu_relax();
			continue;
		}
		irq_disable();
		if (__atomic_load_n(&cpu->work, __ATOMIC_ACQUIRE))
			break;
		__asm__ volatile("sti; hlt" : : : "memory");
	}
	irq_enable();
}

static void smp_run_work(void *arg)
{
	struct guest_cpu *cpu = arg;

	cpu->work(cpu->work_arg);
}

void ap_main(struct guest_cpu *cpu);
void ap_main(struct guest_cpu *cpu)
{
	struct trap_record r;

	trap_init_cpu((unsigned)(cpu - guest_cpus));
	cpu->catch_rsp = NULL;
	lapic_init();
	__atomic_store_n(&cpu->online, true, __ATOMIC_RELEASE);
	for (;;) {
		smp_idle(cpu);
		if (trap_catch(smp_run_work, cpu, &r))
			test_fail("cpu %u: unexpected vector %lu error %lx at rip %lx, cr2 %lx", cpu->index, r.vector, r.error, r.rip,
			          r.cr2);
		__atomic_store_n(&cpu->work, NULL, __ATOMIC_RELEASE);
	}
}

void smp_call(unsigned index, void (*fn)(void *), void *arg)
{
	struct guest_cpu *cpu = &guest_cpus[index];

	cpu->work_arg = arg;
	__atomic_store_n(&cpu->work, fn, __ATOMIC_RELEASE);
	if (!smp_idle_polls)
		lapic_send(cpu->apic_id, LAPIC_ICR_ASSERT | VEC_WAKE);
}

bool smp_wait(unsigned index, uint64_t timeout_us)
{
	return CLOCK_WAIT(!__atomic_load_n(&guest_cpus[index].work, __ATOMIC_ACQUIRE), timeout_us);
}

bool smp_call_all(void (*fn)(void *), void *arg, uint64_t timeout_us)
{
	bool all = true;

	for (unsigned i = 1; i < smp_cpus; i++)
		smp_call(i, fn, arg);
	fn(arg);
	for (unsigned i = 1; i < smp_cpus; i++)
		all &= smp_wait(i, timeout_us);
	return all;
}
