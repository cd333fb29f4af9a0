/*
 * Several CPUs: all come up, their TSCs agree, IPIs arrive as often as they were sent, atomics are atomic,
 * TLB shoot-downs work. Wants 2 to 4 vCPUs; with one, most cases are skipped.
 */
#include "tests/guest/lib/clock.h"
#include "tests/guest/lib/cpu.h"
#include "tests/guest/lib/lapic.h"
#include "tests/guest/lib/smp.h"
#include "tests/guest/lib/test.h"
#include "tests/guest/lib/text.h"
#include "tests/guest/lib/trap.h"
#include "tests/guest/lib/vm.h"

#define MAX_CPUS     4
#define TIMEOUT_US   60000000
#define TSC_ROUNDS   20000
#define ATOMIC_ADDS  200000
#define PING_PONGS   500
#define STORM_IPIS   1000
#define SHOOT_DOWNS  200
#define VECTOR_PING  0x51
#define VECTOR_STORM 0x52
#define VECTOR_SHOOT 0x53

static bool alone(void)
{
	if (smp_cpus > 1)
		return false;
	test_skip("one CPU");
	return true;
}

static void all_come_up(void)
{
	uint64_t wanted = test_option("vcpus", 0);

	if (wanted && wanted <= MAX_CPUS)
		CHECK_EQ(smp_cpus, wanted);
	for (unsigned i = 0; i < smp_cpus; i++)
		for (unsigned j = 0; j < i; j++)
			CHECK(guest_cpus[i].apic_id != guest_cpus[j].apic_id, "CPUs %u and %u have APIC id %u", i, j,
			      guest_cpus[i].apic_id);
	text_print("cpus: %u\n", smp_cpus);
}

static void say_ids(void *arg)
{
	struct cpuid_regs r = cpuid(1, 0);

	(void)arg;
	CHECK(r.ebx >> 24 == (guest_cpu_self()->apic_id & 0xFF), "CPUID says APIC id %u, the APIC %u", r.ebx >> 24,
	      guest_cpu_self()->apic_id);
	CHECK(!(rdmsr(MSR_APIC_BASE) & APIC_BASE_BSP) == !!guest_cpu_self()->index, "CPU %u: BSP flag", guest_cpu_self()->index);
}

static void ids_agree(void)
{
	CHECK(smp_call_all(say_ids, NULL, TIMEOUT_US), "not all CPUs answered");
}

static uint64_t tsc_last;
static uint32_t tsc_lock, tsc_backward;

/* Each reading is made under the lock, so any reading must exceed the one before, whoever made it. */
static void read_tsc_in_turn(void *arg)
{
	(void)arg;
	for (unsigned i = 0; i < TSC_ROUNDS; i++) {
		uint64_t now;

		while (__atomic_exchange_n(&tsc_lock, 1, __ATOMIC_ACQUIRE))
			cpu_relax();
		now = rdtsc();
		tsc_backward += now < tsc_last;
		tsc_last = now;
		__atomic_store_n(&tsc_lock, 0, __ATOMIC_RELEASE);
		/* Gives the others a chance where CPUs take turns. */
		for (unsigned j = 0; j < 10; j++)
			cpu_relax();
	}
}

static void tsc_monotonic(void)
{
	if (alone())
		return;
	tsc_last = tsc_backward = 0;
	CHECK(smp_call_all(read_tsc_in_turn, NULL, TIMEOUT_US), "not all CPUs finished");
	CHECK(!tsc_backward, "%u readings were lower than one made before", tsc_backward);
}

static volatile uint64_t counter;

static void count_up(void *arg)
{
	(void)arg;
	for (unsigned i = 0; i < ATOMIC_ADDS; i++)
		__asm__ volatile("lock incq %0" : "+m"(counter) : : "memory");
}

static void atomic_counter(void)
{
	counter = 0;
	CHECK(smp_call_all(count_up, NULL, TIMEOUT_US), "not all CPUs finished");
	CHECK_EQ(counter, (uint64_t)ATOMIC_ADDS * smp_cpus);
}

static volatile unsigned pongs;

static void answer_ping(struct trap_frame *f)
{
	(void)f;
	pongs++;
	lapic_eoi();
}

static void ipi_round_trips(void)
{
	if (alone())
		return;
	trap_set_handler(VECTOR_PING, answer_ping);
	for (unsigned cpu = 1; cpu < smp_cpus; cpu++) {
		pongs = 0;
		for (unsigned i = 0; i < PING_PONGS; i++) {
			lapic_send(guest_cpus[cpu].apic_id, LAPIC_ICR_ASSERT | VECTOR_PING);
			REQUIRE(CLOCK_WAIT(pongs == i + 1, TIMEOUT_US), "CPU %u took %u of %u IPIs", cpu, pongs, i + 1);
		}
	}
	trap_set_handler(VECTOR_PING, NULL);
}

static uint32_t storm_taken, storm_sent;

static void take_storm(struct trap_frame *f)
{
	(void)f;
	__atomic_add_fetch(&storm_taken, 1, __ATOMIC_RELAXED);
	lapic_eoi();
}

static void send_storm(void *arg)
{
	unsigned self = guest_cpu_self()->index;

	(void)arg;
	irq_enable();
	for (unsigned i = 0; i < STORM_IPIS; i++) {
		lapic_send(guest_cpus[(self + 1 + i % (smp_cpus - 1)) % smp_cpus].apic_id, LAPIC_ICR_ASSERT | VECTOR_STORM);
		__atomic_add_fetch(&storm_sent, 1, __ATOMIC_RELAXED);
	}
	clock_delay_us(10000);
}

/*
 * IPIs of one vector merge while pending: at least one arrives, never more than were sent, and nobody hangs.
 */
static void ipi_storm(void)
{
	if (alone())
		return;
	storm_taken = storm_sent = 0;
	trap_set_handler(VECTOR_STORM, take_storm);
	CHECK(smp_call_all(send_storm, NULL, TIMEOUT_US), "not all CPUs finished");
	clock_delay_us(10000);
	irq_disable();
	CHECK_EQ(storm_sent, STORM_IPIS * smp_cpus);
	CHECK(storm_taken >= smp_cpus && storm_taken <= storm_sent, "%u sent, %u taken", storm_sent, storm_taken);
}

static volatile uint32_t *shot_page;
static uint32_t flushed, wrong_reads;
static volatile bool shooting;
static volatile uint32_t expected_value;

static void flush_page(struct trap_frame *f)
{
	(void)f;
	invlpg(shot_page);
	__atomic_add_fetch(&flushed, 1, __ATOMIC_SEQ_CST);
	lapic_eoi();
}

static void keep_reading(void *arg)
{
	(void)arg;
	while (shooting)
		(void)*shot_page;
}

static void check_read(void *arg)
{
	(void)arg;
	if (*shot_page != expected_value)
		__atomic_add_fetch(&wrong_reads, 1, __ATOMIC_SEQ_CST);
}

/*
 * Two frames take turns behind one address; after everyone confirmed the flush, nobody may see the old one.
 */
static void tlb_shoot_down(void)
{
	uint32_t *frames[2] = { guest_alloc_pages(1), guest_alloc_pages(1) };

	if (alone())
		return;
	*frames[0] = 100;
	*frames[1] = 101;
	shot_page = vm_map(0, (uint64_t)frames[0], PTE_P | PTE_W);
	trap_set_handler(VECTOR_SHOOT, flush_page);
	wrong_reads = 0;
	for (unsigned i = 0; i < SHOOT_DOWNS; i++) {
		shooting = true;
		for (unsigned cpu = 1; cpu < smp_cpus; cpu++)
			smp_call(cpu, keep_reading, NULL);
		clock_delay_us(20);
		flushed = 0;
		vm_map(0, (uint64_t)frames[(i + 1) % 2], PTE_P | PTE_W);
		lapic_send(0, LAPIC_ICR_OTHERS | LAPIC_ICR_ASSERT | VECTOR_SHOOT);
		REQUIRE(CLOCK_WAIT(__atomic_load_n(&flushed, __ATOMIC_SEQ_CST) == smp_cpus - 1, TIMEOUT_US), "%u of %u CPUs flushed",
		        flushed, smp_cpus - 1);
		shooting = false;
		expected_value = 100 + (i + 1) % 2;
		for (unsigned cpu = 1; cpu < smp_cpus; cpu++)
			REQUIRE(smp_wait(cpu, TIMEOUT_US), "CPU %u does not stop reading", cpu);
		REQUIRE(smp_call_all(check_read, NULL, TIMEOUT_US), "not all CPUs answered");
	}
	CHECK(!wrong_reads, "%u reads of the old frame", wrong_reads);
}

static void nmi_wakes_hlt_body(void *arg)
{
	volatile bool *ready = arg;

	trap_irq_reset();
	irq_disable();
	*ready = true;
	__asm__ volatile("hlt" : : : "memory");
	*ready = false;
}

/* HLT with interrupts off ends on an NMI only. */
static void nmi_wakes_hlt(void)
{
	static volatile bool ready;

	if (alone())
		return;
	ready = false;
	smp_call(1, nmi_wakes_hlt_body, (void *)&ready);
	REQUIRE(CLOCK_WAIT(ready, TIMEOUT_US), "CPU 1 does not begin");
	lapic_send(guest_cpus[1].apic_id, LAPIC_ICR_ASSERT | VECTOR_PING);
	clock_delay_us(20000);
	CHECK(ready, "an interrupt ended HLT with interrupts off");
	lapic_send(guest_cpus[1].apic_id, LAPIC_ICR_NMI | LAPIC_ICR_ASSERT);
	CHECK(smp_wait(1, TIMEOUT_US), "an NMI did not end HLT");
}

static void cpus_restart(void)
{
	if (alone())
		return;
	for (unsigned cpu = 1; cpu < smp_cpus; cpu++) {
		REQUIRE(smp_restart(cpu), "CPU %u does not come back after INIT and SIPI", cpu);
		smp_call(cpu, say_ids, NULL);
		REQUIRE(smp_wait(cpu, TIMEOUT_US), "CPU %u does not work after INIT and SIPI", cpu);
	}
}

void guest_main(void)
{
	static const struct test_case cases[] = {
		{ "all_come_up", all_come_up },       { "ids_agree", ids_agree },         { "tsc_monotonic", tsc_monotonic },
		{ "atomic_counter", atomic_counter }, { "ipi_storm", ipi_storm },         { "ipi_round_trips", ipi_round_trips },
		{ "tlb_shoot_down", tlb_shoot_down }, { "nmi_wakes_hlt", nmi_wakes_hlt }, { "cpus_restart", cpus_restart },
	};

	smp_start(MAX_CPUS);
	TEST_RUN(cases);
}
