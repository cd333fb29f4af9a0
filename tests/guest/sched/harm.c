/*
 * mode=harm: in window K, up to to= + 1, every CPU does what kinds[K % count] says, as fast as it can. One or two CPUs; of two,
 * the other one does the same, or takes the IPIs.
 */
#include "tests/guest/sched/local.h"
#include "tests/guest/lib/cpu.h"
#include "tests/guest/lib/lapic.h"
#include "tests/guest/lib/smp.h"
#include "tests/guest/lib/test.h"
#include "tests/guest/lib/trap.h"

#define VECTOR_TIMER 0x41
#define VECTOR_IPI   0x42
#define PIT_CHANNEL2 0x42

static void spin(void)
{
	cpu_relax();
}

/* To the other CPU; or to itself. */
static void send_ipi(void)
{
	const struct guest_cpu *self = guest_cpu_self();

	if (smp_cpus == 1)
		lapic_send(0, LAPIC_ICR_SELF | LAPIC_ICR_ASSERT | VECTOR_IPI);
	else if (self->index == 0)
		lapic_send(guest_cpus[1].apic_id, LAPIC_ICR_ASSERT | VECTOR_IPI);
	else
		cpu_relax();
}

static void arm_timer(void)
{
	lapic_write(LAPIC_TIMER_INITIAL, 1);
}

static void read_port(void)
{
	inb(PIT_CHANNEL2);
}

static void (*const kinds[])(void) = { spin, send_ipi, arm_timer, read_port };

#define KINDS (sizeof(kinds) / sizeof(kinds[0]))

static uint64_t window, last;

static void harm(void *arg)
{
	(void)arg;
	lapic_write(LAPIC_TIMER_DIVIDE, 0xB); /* by 1 */
	lapic_write(LAPIC_LVT_TIMER, VECTOR_TIMER);
	irq_enable();
	for (uint64_t number = rdtsc() / window; number <= last; number++) {
		while (rdtsc() < (number + 1) * window)
			kinds[number % KINDS]();
	}
}

void harm_in_windows(void)
{
	window = test_option("window", SCHED_WINDOW);
	last = test_option("to", 0) + 1;
	smp_start(2);
	if (smp_cpus == 2)
		smp_call(1, harm, NULL);
	harm(NULL);
	if (smp_cpus == 2)
		CHECK(smp_wait(1, 60000000), "CPU 1 does not come back");
}
