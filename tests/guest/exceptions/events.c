/*
 * Interrupts and NMIs: when exactly they arrive.
 */
#include "tests/guest/exceptions/exceptions.h"
#include "tests/guest/lib/clock.h"
#include "tests/guest/lib/cpu.h"
#include "tests/guest/lib/lapic.h"
#include "tests/guest/lib/test.h"

#define VECTOR      0x61
#define VECTOR_HIGH 0x83
#define WAIT_US     2000000

static volatile uint64_t seen_rip;
static volatile unsigned nmis, nmi_depth, nmi_max_depth;

static void send_self_nmi(void)
{
	lapic_send(lapic_id(), LAPIC_ICR_NMI | LAPIC_ICR_ASSERT);
}

void events_nmi(void)
{
	trap_irq_reset();
	send_self_nmi();
	CHECK(CLOCK_WAIT(trap_irq_count(VEC_NMI) == 1, WAIT_US), "%u NMIs, not 1", trap_irq_count(VEC_NMI));
	clock_delay_us(1000);
	CHECK_EQ(trap_irq_count(VEC_NMI), 1);
}

static void nmi_that_sends_another(struct trap_frame *f)
{
	(void)f;
	nmi_depth++;
	if (nmi_depth > nmi_max_depth)
		nmi_max_depth = nmi_depth;
	if (nmis++ == 0) {
		send_self_nmi();
		clock_delay_us(2000);
	}
	nmi_depth--;
}

void events_nmi_blocked(void)
{
	nmis = nmi_depth = nmi_max_depth = 0;
	trap_set_handler(VEC_NMI, nmi_that_sends_another);
	send_self_nmi();
	CHECK(CLOCK_WAIT(nmis == 2, WAIT_US), "%u NMIs, not 2", nmis);
	trap_set_handler(VEC_NMI, NULL);
	CHECK(nmi_max_depth == 1, "an NMI came inside the NMI handler");
}

static void note_rip(struct trap_frame *f)
{
	seen_rip = f->rip;
	lapic_eoi();
}

/* Leaves an interrupt pending, with interrupts off. */
static bool make_pending(void)
{
	irq_disable();
	seen_rip = 0;
	trap_set_handler(VECTOR, note_rip);
	lapic_send(0, LAPIC_ICR_SELF | LAPIC_ICR_ASSERT | VECTOR);
	return CLOCK_WAIT(lapic_vector_bit(LAPIC_IRR, VECTOR), WAIT_US);
}

static void end_pending(uint64_t expected_rip)
{
	trap_set_handler(VECTOR, NULL);
	CHECK(seen_rip == expected_rip, "interrupt at %lx, not %lx", seen_rip, expected_rip);
}

/* The VMRUN of QEMU 7.2 does not load the interrupt shadow: it is lost where a host interrupt follows STI. Not each time. */
static unsigned shadow_attempts(void)
{
	return guest_on_tcg() ? 3 : 1;
}

void events_sti_shadow(void)
{
	uint64_t at = 0;

	for (unsigned left = shadow_attempts(); left > 0 && (!at || seen_rip != at); left--) {
		REQUIRE(make_pending(), "the self-IPI is not pending");
		__asm__ volatile("lea 1f(%%rip), %0; sti; nop; 1: nop; nop; cli" : "=&r"(at) : : "memory");
	}
	end_pending(at);
}

void events_sti_cli(void)
{
	for (unsigned left = shadow_attempts(); left > 0; left--) {
		REQUIRE(make_pending(), "the self-IPI is not pending");
		for (unsigned i = 0; i < 100; i++)
			__asm__ volatile("sti; cli" : : : "memory");
		if (!seen_rip)
			break;
	}
	CHECK(!seen_rip, "interrupt between STI and CLI");
	irq_enable();
	CHECK(CLOCK_WAIT(seen_rip, WAIT_US), "the interrupt got lost");
	irq_disable();
	trap_set_handler(VECTOR, NULL);
}

/* The instruction after STI leaves the guest: the shadow ends with it, not before and not later. */
void events_sti_then_exit(void)
{
	uint64_t at;

	REQUIRE(make_pending(), "the self-IPI is not pending");
	__asm__ volatile("lea 1f(%%rip), %0; xor %%eax, %%eax; sti; cpuid; 1: nop; nop; cli"
	                 : "=&S"(at)
	                 :
	                 : "rax", "rbx", "rcx", "rdx", "memory");
	end_pending(at);
	REQUIRE(make_pending(), "the self-IPI is not pending");
	__asm__ volatile("lea 1f(%%rip), %0; mov $0x3FD, %%edx; sti; in %%dx, %%al; 1: nop; nop; cli"
	                 : "=&S"(at)
	                 :
	                 : "rax", "rdx", "memory");
	end_pending(at);
}

static uint64_t mov_ss_rip;
static volatile unsigned ticks, ticks_in_shadow;

static void note_shadow(struct trap_frame *f)
{
	ticks++;
	ticks_in_shadow += f->rip == mov_ss_rip;
	lapic_eoi();
}

/*
 * No interrupt may come right after MOV SS: timer ticks fall on a loop that is half MOV SS. (Of shadows in a
 * row only the first counts, hence the NOP after STI.)
 */
void events_mov_ss_shadow(void)
{
	uint64_t deadline = clock_after_us(WAIT_US);

	ticks = ticks_in_shadow = 0;
	trap_set_handler(VECTOR, note_shadow);
	lapic_write(LAPIC_TIMER_DIVIDE, 0xB);
	lapic_write(LAPIC_LVT_TIMER, LAPIC_TIMER_PERIODIC | VECTOR);
	lapic_write(LAPIC_TIMER_INITIAL, 50000);
	while (ticks < 200 && !clock_passed(deadline))
		__asm__ volatile("lea 1f(%%rip), %%rax; mov %%rax, %0; mov $1000, %%ecx; mov %%ss, %%eax; sti; nop\n"
		                 "2: mov %%eax, %%ss; 1: nop; dec %%ecx; jnz 2b; cli"
		                 : "=m"(mov_ss_rip)
		                 :
		                 : "rax", "rcx", "memory", "cc");
	lapic_write(LAPIC_TIMER_INITIAL, 0);
	lapic_write(LAPIC_LVT_TIMER, LAPIC_LVT_MASKED | VECTOR);
	trap_set_handler(VECTOR, NULL);
	CHECK(ticks > 0, "no timer interrupts");
	CHECK(!ticks_in_shadow, "%u of %u interrupts right after MOV SS", ticks_in_shadow, ticks);
}

void events_hlt(void)
{
	uint64_t at;

	seen_rip = 0;
	trap_set_handler(VECTOR, note_rip);
	lapic_write(LAPIC_TIMER_DIVIDE, 0xB);
	lapic_write(LAPIC_LVT_TIMER, VECTOR);
	irq_disable();
	lapic_write(LAPIC_TIMER_INITIAL, 5000000);
	__asm__ volatile("lea 1f(%%rip), %0; sti; hlt; 1: cli" : "=&r"(at) : : "memory");
	lapic_write(LAPIC_LVT_TIMER, LAPIC_LVT_MASKED | VECTOR);
	end_pending(at);
	/* Something pending already: HLT does not stop at all. */
	REQUIRE(make_pending(), "the self-IPI is not pending");
	__asm__ volatile("lea 1f(%%rip), %0; sti; hlt; 1: cli" : "=&r"(at) : : "memory");
	end_pending(at);
}

void events_priority(void)
{
	struct guest_cpu *cpu = guest_cpu_self();

	trap_irq_reset();
	irq_disable();
	lapic_send(0, LAPIC_ICR_SELF | LAPIC_ICR_ASSERT | VECTOR);
	lapic_send(0, LAPIC_ICR_SELF | LAPIC_ICR_ASSERT | VECTOR_HIGH);
	REQUIRE(CLOCK_WAIT(lapic_vector_bit(LAPIC_IRR, VECTOR_HIGH), WAIT_US), "the self-IPI is not pending");
	irq_enable();
	CHECK(CLOCK_WAIT(trap_irq_count(VECTOR) && trap_irq_count(VECTOR_HIGH), WAIT_US), "not both arrived");
	irq_disable();
	CHECK(cpu->irq_log[0] == VECTOR_HIGH && cpu->irq_log[1] == VECTOR, "order %x, %x", cpu->irq_log[0], cpu->irq_log[1]);
}
