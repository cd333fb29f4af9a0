/*
 * The task priority as the CPU's register (SDM vol. 3A, "Task Priority in IA-32e Mode"): a hypervisor may leave CR8 to the CPU, and
 * must all the same know of each value when an interrupt comes.
 */
#include "tests/guest/lapic/local.h"
#include "tests/guest/lib/clock.h"
#include "tests/guest/lib/cpu.h"
#include "tests/guest/lib/lapic.h"
#include "tests/guest/lib/test.h"
#include "tests/guest/lib/trap.h"

#define VECTOR_LOW  0x61
#define VECTOR_HIGH 0x81
#define TIMER_TICKS 50000 /* divided by 1 */

static void send_self(unsigned vector)
{
	lapic_send(0, LAPIC_ICR_SELF | LAPIC_ICR_ASSERT | vector);
}

void cr8_is_tpr(void)
{
	for (unsigned level = 16; level-- > 0;) {
		write_cr8(level);
		CHECK_EQ(read_cr8(), level);
		CHECK_EQ(lapic_read(LAPIC_TPR), level << 4);
		lapic_write(LAPIC_TPR, (15 - level) << 4 | 7);
		CHECK_EQ(read_cr8(), 15 - level);
		write_cr8(level ^ 1);
		CHECK_EQ(lapic_read(LAPIC_PPR), (level ^ 1) << 4);
	}
	write_cr8(0);
}

/* Lowers CR8, and says how often the low vector has come one instruction later. */
static unsigned lower_and_count(uint64_t cr8)
{
	write_cr8(cr8);
	__asm__ volatile("nop");
	return trap_irq_count(VECTOR_LOW);
}

void cr8_holds(void)
{
	trap_irq_reset();
	irq_enable();
	for (unsigned round = 0; round < 50; round++) {
		unsigned low = round % 6;
		write_cr8(6 + round % 10);
		send_self(VECTOR_LOW);
		clock_delay_us(round == 0 ? QUIET_US : 0);
		CHECK_EQ(trap_irq_count(VECTOR_LOW), round);
		write_cr8(15);
		write_cr8(6);
		CHECK_EQ(trap_irq_count(VECTOR_LOW), round);
		CHECK_EQ(lower_and_count(low), round + 1);
		CHECK_EQ(read_cr8(), low);
		write_cr8(0);
	}
	irq_disable();
}

/* CR8 falls before anybody has asked what it was; a hypervisor that remembers the higher one holds back too much. */
void cr8_lowered_before(void)
{
	trap_irq_reset();
	irq_enable();
	write_cr8(15);
	CHECK_EQ(lapic_read(LAPIC_TPR), 0xF0);
	write_cr8(0);
	send_self(VECTOR_LOW);
	CHECK(CLOCK_WAIT(trap_irq_count(VECTOR_LOW) == 1, WAIT_US), "held by what CR8 was");
	irq_disable();
}

/* Interrupts off and CR8 up: both must go. */
void cr8_and_if(void)
{
	trap_irq_reset();
	irq_disable();
	send_self(VECTOR_LOW);
	write_cr8(8);
	irq_enable();
	clock_delay_us(QUIET_US);
	CHECK_EQ(trap_irq_count(VECTOR_LOW), 0);
	irq_disable();
	write_cr8(0);
	CHECK_EQ(trap_irq_count(VECTOR_LOW), 0);
	irq_enable();
	__asm__ volatile("nop; nop");
	CHECK_EQ(trap_irq_count(VECTOR_LOW), 1);
	irq_disable();
}

static void timer_start(unsigned vector)
{
	lapic_write(LAPIC_TIMER_DIVIDE, 0xB);
	lapic_write(LAPIC_LVT_TIMER, vector);
	lapic_write(LAPIC_TIMER_INITIAL, TIMER_TICKS);
}

static void timer_stop_all(void)
{
	lapic_write(LAPIC_LVT_TIMER, LAPIC_LVT_MASKED | VECTOR_LOW);
	lapic_write(LAPIC_TIMER_INITIAL, 0);
}

/* An interrupt that comes from outside while the guest runs. */
void cr8_holds_timer(void)
{
	trap_irq_reset();
	irq_enable();
	write_cr8(6);
	timer_start(VECTOR_LOW);
	REQUIRE(CLOCK_WAIT(lapic_vector_bit(LAPIC_IRR, VECTOR_LOW) || trap_irq_count(VECTOR_LOW), WAIT_US), "the timer does not come");
	CHECK_EQ(trap_irq_count(VECTOR_LOW), 0);
	CHECK_EQ(lapic_read(LAPIC_PPR), 0x60);
	CHECK_EQ(lower_and_count(5), 1);
	irq_disable();
	timer_stop_all();
	write_cr8(0);
}

/* HLT goes on until something comes that CR8 lets through. */
void cr8_halt(void)
{
	trap_irq_reset();
	irq_disable();
	timer_start(VECTOR_HIGH);
	write_cr8(7);
	send_self(VECTOR_LOW);
	__asm__ volatile("sti; hlt; cli" : : : "memory");
	CHECK_EQ(trap_irq_count(VECTOR_HIGH), 1);
	CHECK_EQ(trap_irq_count(VECTOR_LOW), 0);
	timer_stop_all();
	irq_enable();
	CHECK_EQ(lower_and_count(0), 1);
	irq_disable();
}

static volatile unsigned high_inside, high_after;

static void raise_inside(struct trap_frame *f)
{
	(void)f;
	write_cr8(9);
	irq_enable();
	send_self(VECTOR_HIGH);
	lapic_eoi();
	clock_delay_us(QUIET_US);
	high_inside = trap_irq_count(VECTOR_HIGH);
	write_cr8(7);
	__asm__ volatile("nop");
	high_after = trap_irq_count(VECTOR_HIGH);
	irq_disable();
	write_cr8(0);
}

/* A handler may end its interrupt and go on behind CR8. */
void cr8_in_handler(void)
{
	trap_irq_reset();
	trap_set_handler(VECTOR_LOW, raise_inside);
	high_after = high_inside = 99;
	irq_enable();
	send_self(VECTOR_LOW);
	CHECK(CLOCK_WAIT(high_after != 99, WAIT_US), "no interrupt");
	irq_disable();
	trap_set_handler(VECTOR_LOW, NULL);
	CHECK_EQ(high_inside, 0);
	CHECK_EQ(high_after, 1);
}
