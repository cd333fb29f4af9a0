/*
 * IPIs by every destination and delivery mode that software uses (SDM vol. 3A, "Issuing Interprocessor
 * Interrupts"). The other CPUs poll for work with interrupts on, so what reaches them is counted in
 * guest_cpus[].irq_count.
 */
#include "tests/guest/lapic/local.h"
#include "tests/guest/lib/clock.h"
#include "tests/guest/lib/cpu.h"
#include "tests/guest/lib/lapic.h"
#include "tests/guest/lib/smp.h"
#include "tests/guest/lib/test.h"
#include "tests/guest/lib/trap.h"

#define VECTOR      0x6A
#define FIXED       (LAPIC_ICR_ASSERT | VECTOR)
#define LOGICAL     (LAPIC_ICR_ASSERT | LAPIC_ICR_LOGICAL | VECTOR)
#define DFR_FLAT    0xFFFFFFFFu
#define DFR_CLUSTER 0x0FFFFFFFu
#define ABSENT_ID   0xE0u

static unsigned count_of(unsigned cpu)
{
	return *(volatile uint32_t *)&guest_cpus[cpu].irq_count[VECTOR];
}

static unsigned count_total(void)
{
	unsigned total = 0;

	for (unsigned i = 0; i < smp_cpus; i++)
		total += count_of(i);
	return total;
}

static bool counts_are(uint32_t mask)
{
	for (unsigned i = 0; i < smp_cpus; i++)
		if (count_of(i) != (mask >> i & 1))
			return false;
	return true;
}

/* Sends and checks that exactly the CPUs of mask (by index) take the vector, once. */
static void expect_taken(const char *what, uint32_t destination, uint32_t icr, uint32_t mask)
{
	for (unsigned i = 0; i < smp_cpus; i++)
		guest_cpus[i].irq_count[VECTOR] = 0;
	irq_enable();
	lapic_send(destination, icr);
	(void)CLOCK_WAIT(counts_are(mask), WAIT_US);
	clock_delay_us(QUIET_US);
	irq_disable();
	CHECK(counts_are(mask), "%s: taken %u %u %u %u, want mask %x", what, count_of(0), count_of(1), count_of(2), count_of(3), mask);
}

static bool alone(void)
{
	if (smp_cpus > 1)
		return false;
	test_skip("one CPU");
	return true;
}

static uint32_t everyone(void)
{
	return (1u << smp_cpus) - 1;
}

void ipi_self(void)
{
	expect_taken("shorthand self", 0, LAPIC_ICR_SELF | FIXED, 1);
	expect_taken("own physical id", lapic_id(), FIXED, 1);
	if (guest_cpu_self()->x2apic) {
		guest_cpus[0].irq_count[VECTOR] = 0;
		irq_enable();
		lapic_write(LAPIC_SELF_IPI, VECTOR);
		CHECK(CLOCK_WAIT(count_of(0) == 1, WAIT_US), "self-IPI register");
		irq_disable();
	}
}

void ipi_physical(void)
{
	if (alone())
		return;
	for (unsigned i = 1; i < smp_cpus; i++)
		expect_taken("physical", guest_cpus[i].apic_id, FIXED, 1u << i);
	CHECK(!(lapic_read(LAPIC_ICR_LOW) & LAPIC_ICR_PENDING), "delivery status stays busy");
	CHECK_EQ(lapic_read(LAPIC_ICR_LOW) & 0xFF, VECTOR);
}

void ipi_shorthands(void)
{
	expect_taken("all including self", 0, LAPIC_ICR_ALL | FIXED, everyone());
	expect_taken("all but self", 0, LAPIC_ICR_OTHERS | FIXED, everyone() & ~1u);
}

void ipi_broadcast(void)
{
	uint32_t all = guest_cpu_self()->x2apic ? 0xFFFFFFFF : 0xFF;

	expect_taken("physical broadcast", all, FIXED, everyone());
	/*
	 * In x2APIC mode a logical broadcast; in xAPIC's flat model all ones reach every CPU that has a bit.
	 */
	if (guest_cpu_self()->x2apic)
		expect_taken("logical broadcast", all, LOGICAL, everyone());
}

/* Every CPU takes its part of LDR and DFR from here. */
static uint32_t ldr_of[GUEST_MAX_CPUS], dfr;

static void set_logical(void *unused)
{
	(void)unused;
	lapic_write(LAPIC_DFR, dfr);
	lapic_write(LAPIC_LDR, ldr_of[guest_cpu_self()->index] << 24);
}

void ipi_logical_flat(void)
{
	dfr = DFR_FLAT;
	for (unsigned i = 0; i < smp_cpus; i++)
		ldr_of[i] = 0x10u << i;
	REQUIRE(smp_call_all(set_logical, NULL, WAIT_US), "not all CPUs answered");
	CHECK_EQ(lapic_read(LAPIC_LDR), 0x10000000);
	CHECK_EQ(lapic_read(LAPIC_DFR), DFR_FLAT);
	for (uint32_t mask = 0; mask <= everyone(); mask++)
		expect_taken("flat", mask << 4, LOGICAL, mask);
	expect_taken("flat, bits of nobody", 0x0F, LOGICAL, 0);
	expect_taken("flat, all", 0xFF, LOGICAL, everyone());
}

void ipi_logical_cluster(void)
{
	dfr = DFR_CLUSTER;
	for (unsigned i = 0; i < smp_cpus; i++)
		ldr_of[i] = (i / 2) << 4 | 1u << (i % 2);
	REQUIRE(smp_call_all(set_logical, NULL, WAIT_US), "not all CPUs answered");
	for (uint32_t bits = 0; bits < 4; bits++) {
		expect_taken("cluster 0", bits, LOGICAL, bits & everyone());
		expect_taken("cluster 1", 0x10 | bits, LOGICAL, bits << 2 & everyone());
	}
	expect_taken("cluster of nobody", 0x53, LOGICAL, 0);
	if (!guest_is_bare_tcg()) /* whose APIC reads cluster 15 as an ordinary one */
		expect_taken("all of every cluster", 0xFF, LOGICAL, everyone());
	dfr = DFR_FLAT;
	smp_call_all(set_logical, NULL, WAIT_US);
}

static uint32_t ldr_seen[GUEST_MAX_CPUS];

static void note_ldr(void *unused)
{
	(void)unused;
	ldr_seen[guest_cpu_self()->index] = lapic_read(LAPIC_LDR);
}

void ipi_logical_x2apic(void)
{
	uint32_t both;

	REQUIRE(smp_call_all(note_ldr, NULL, WAIT_US), "not all CPUs answered");
	for (unsigned i = 0; i < smp_cpus; i++) {
		uint32_t id = guest_cpus[i].apic_id;

		CHECK_EQ(ldr_seen[i], id >> 4 << 16 | 1u << (id & 15));
		expect_taken("logical", ldr_seen[i], LOGICAL, 1u << i);
	}
	if (smp_cpus > 1 && ldr_seen[0] >> 16 == ldr_seen[1] >> 16) {
		both = ldr_seen[0] | ldr_seen[1];
		expect_taken("logical, two of a cluster", both, LOGICAL, 3);
	}
	expect_taken("logical, cluster of nobody", 0x00550001, LOGICAL, 0);
}

/* Whoever is chosen, it is one, and only one. */
void ipi_lowest_priority(void)
{
	uint32_t destination = 0;

	if (guest_cpu_self()->x2apic) {
		REQUIRE(smp_call_all(note_ldr, NULL, WAIT_US), "not all CPUs answered");
		for (unsigned i = 0; i < smp_cpus; i++)
			destination |= ldr_seen[i];
	} else {
		dfr = DFR_FLAT;
		for (unsigned i = 0; i < smp_cpus; i++)
			ldr_of[i] = 1u << i;
		REQUIRE(smp_call_all(set_logical, NULL, WAIT_US), "not all CPUs answered");
		destination = everyone();
	}
	for (unsigned round = 0; round < 8; round++) {
		for (unsigned i = 0; i < smp_cpus; i++)
			guest_cpus[i].irq_count[VECTOR] = 0;
		irq_enable();
		lapic_send(destination, LOGICAL | LAPIC_ICR_LOWEST);
		(void)CLOCK_WAIT(count_total(), WAIT_US);
		clock_delay_us(QUIET_US);
		irq_disable();
		CHECK(count_total() == 1, "taken %u times", count_total());
	}
}

static unsigned nmi_count(unsigned cpu)
{
	return *(volatile uint32_t *)&guest_cpus[cpu].irq_count[VEC_NMI];
}

void ipi_nmi(void)
{
	if (alone())
		return;
	for (unsigned i = 0; i < smp_cpus; i++)
		guest_cpus[i].irq_count[VEC_NMI] = 0;
	lapic_send(guest_cpus[1].apic_id, LAPIC_ICR_NMI | LAPIC_ICR_ASSERT);
	CHECK(CLOCK_WAIT(nmi_count(1) == 1, WAIT_US), "CPU 1 took %u NMIs", nmi_count(1));
	CHECK_EQ(nmi_count(0), 0);
	lapic_send(0, LAPIC_ICR_OTHERS | LAPIC_ICR_NMI | LAPIC_ICR_ASSERT);
	for (unsigned i = 1; i < smp_cpus; i++)
		CHECK(CLOCK_WAIT(nmi_count(i) == 1u + (i == 1), WAIT_US), "CPU %u took %u NMIs", i, nmi_count(i));
	CHECK_EQ(nmi_count(0), 0);
}

static void do_nothing(void *unused)
{
	(void)unused;
}

/* Each comes when it likes, also while the last one's handler is about to return; none may come before that has. */
void ipi_nmi_storm(void)
{
	if (alone())
		return;
	guest_cpus[1].irq_count[VEC_NMI] = 0;
	for (unsigned i = 0; i < STORM; i++) {
		lapic_send(guest_cpus[1].apic_id, LAPIC_ICR_NMI | LAPIC_ICR_ASSERT);
		clock_delay_us(i % 8);
	}
	CHECK(smp_call_all(do_nothing, NULL, WAIT_US), "CPU 1 does not come back");
	CHECK(nmi_count(1) > 0 && nmi_count(1) <= STORM, "CPU 1 took %u NMIs of %u", nmi_count(1), STORM);
}

static void halt_until_taken(void *ready)
{
	struct guest_cpu *cpu = guest_cpu_self();

	irq_disable();
	*(volatile bool *)ready = true;
	while (!*(volatile uint32_t *)&cpu->irq_count[VECTOR])
		__asm__ volatile("sti; hlt; cli" : : : "memory");
	irq_enable();
}

void ipi_wakes_hlt(void)
{
	static volatile bool ready;

	if (alone())
		return;
	ready = false;
	guest_cpus[1].irq_count[VECTOR] = 0;
	smp_call(1, halt_until_taken, (void *)&ready);
	REQUIRE(CLOCK_WAIT(ready, WAIT_US), "CPU 1 does not begin");
	clock_delay_us(QUIET_US);
	lapic_send(guest_cpus[1].apic_id, FIXED);
	CHECK(smp_wait(1, WAIT_US), "CPU 1 sleeps on");
	CHECK_EQ(count_of(1), 1);
}

void ipi_absent(void)
{
	expect_taken("physical id of nobody", ABSENT_ID, FIXED, 0);
	CHECK(!(lapic_read(LAPIC_ICR_LOW) & LAPIC_ICR_PENDING), "delivery status stays busy");
}

void ipi_init_sipi(void)
{
	if (alone())
		return;
	for (unsigned i = 1; i < smp_cpus; i++) {
		/* A SIPI to a CPU that runs is ignored. */
		lapic_send(guest_cpus[i].apic_id, LAPIC_ICR_STARTUP | LAPIC_ICR_ASSERT | 0x77);
		clock_delay_us(QUIET_US);
		expect_taken("after a stray SIPI", guest_cpus[i].apic_id, FIXED, 1u << i);
		CHECK(smp_restart(i), "CPU %u does not come back", i);
		expect_taken("after INIT and SIPI", guest_cpus[i].apic_id, FIXED, 1u << i);
	}
}
