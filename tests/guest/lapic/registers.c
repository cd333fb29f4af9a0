/*
 * Registers of the calling CPU's APIC, acceptance and priority (SDM vol. 3A, "Interrupt, Task, and Processor
 * Priority").
 */
#include "tests/guest/lapic/local.h"
#include "tests/guest/lib/clock.h"
#include "tests/guest/lib/cpu.h"
#include "tests/guest/lib/lapic.h"
#include "tests/guest/lib/test.h"
#include "tests/guest/lib/trap.h"

#define VECTOR_LOW  0x61
#define VECTOR_SAME 0x65
#define VECTOR_HIGH 0x81

static void send_self(unsigned vector)
{
	lapic_send(0, LAPIC_ICR_SELF | LAPIC_ICR_ASSERT | vector);
}

void regs_id_version(void)
{
	uint32_t version = lapic_read(LAPIC_VERSION);

	CHECK((version & 0xFF) >= 0x10 && (version & 0xFF) <= 0x1F, "version %x", version);
	CHECK((version >> 16 & 0xFF) >= 3, "highest LVT entry %u", version >> 16 & 0xFF);
	CHECK_EQ(lapic_id() & 0xFF, cpuid(1, 0).ebx >> 24);
}

void regs_tpr(void)
{
	static const uint8_t values[] = { 0x00, 0x5A, 0xF0, 0xFF };

	for (unsigned i = 0; i < sizeof(values); i++) {
		lapic_write(LAPIC_TPR, values[i]);
		CHECK_EQ(lapic_read(LAPIC_TPR), values[i]);
		CHECK_EQ(read_cr8(), values[i] >> 4);
	}
	write_cr8(9);
	CHECK_EQ(lapic_read(LAPIC_TPR), 0x90);
	lapic_write(LAPIC_TPR, 0);
	CHECK_EQ(read_cr8(), 0);
}

static uint32_t ppr_in_service[3];

static void note_ppr(struct trap_frame *f)
{
	(void)f;
	ppr_in_service[0] = lapic_read(LAPIC_PPR);
	lapic_write(LAPIC_TPR, 0x23);
	ppr_in_service[1] = lapic_read(LAPIC_PPR);
	lapic_write(LAPIC_TPR, 0x63);
	ppr_in_service[2] = lapic_read(LAPIC_PPR);
	lapic_eoi();
}

void regs_ppr(void)
{
	lapic_write(LAPIC_TPR, 0x35);
	CHECK_EQ(lapic_read(LAPIC_PPR), 0x35);
	lapic_write(LAPIC_TPR, 0);
	CHECK_EQ(lapic_read(LAPIC_PPR), 0);
	trap_set_handler(VECTOR_LOW, note_ppr);
	ppr_in_service[2] = 0;
	irq_enable();
	send_self(VECTOR_LOW);
	CHECK(CLOCK_WAIT(*(volatile uint32_t *)&ppr_in_service[2], WAIT_US), "no interrupt");
	irq_disable();
	trap_set_handler(VECTOR_LOW, NULL);
	CHECK_EQ(ppr_in_service[0], 0x60);
	CHECK_EQ(ppr_in_service[1], 0x60);
	CHECK_EQ(ppr_in_service[2], 0x63);
	CHECK_EQ(lapic_read(LAPIC_PPR), 0x63);
	lapic_write(LAPIC_TPR, 0);
}

void regs_priority_blocks(void)
{
	trap_irq_reset();
	lapic_write(LAPIC_TPR, 0x60);
	irq_enable();
	send_self(VECTOR_LOW);
	REQUIRE(CLOCK_WAIT(lapic_vector_bit(LAPIC_IRR, VECTOR_LOW), WAIT_US), "not pending");
	clock_delay_us(QUIET_US);
	CHECK_EQ(trap_irq_count(VECTOR_LOW), 0);
	send_self(VECTOR_HIGH);
	CHECK(CLOCK_WAIT(trap_irq_count(VECTOR_HIGH) == 1, WAIT_US), "a higher class is blocked too");
	CHECK_EQ(trap_irq_count(VECTOR_LOW), 0);
	write_cr8(5);
	CHECK(CLOCK_WAIT(trap_irq_count(VECTOR_LOW) == 1, WAIT_US), "lowering CR8 does not let it through");
	irq_disable();
	CHECK(!lapic_vector_bit(LAPIC_IRR, VECTOR_LOW) && !lapic_vector_bit(LAPIC_ISR, VECTOR_LOW), "IRR or ISR bit stays");
	write_cr8(0);
}

static volatile unsigned nested_high, nested_same, same_inside, high_inside;
static volatile bool isr_low, isr_high, isr_low_after, isr_high_after, tmr_low;

static void take_high(struct trap_frame *f)
{
	(void)f;
	nested_high++;
	isr_low = lapic_vector_bit(LAPIC_ISR, VECTOR_LOW);
	isr_high = lapic_vector_bit(LAPIC_ISR, VECTOR_HIGH);
	lapic_eoi();
	isr_low_after = lapic_vector_bit(LAPIC_ISR, VECTOR_LOW);
	isr_high_after = lapic_vector_bit(LAPIC_ISR, VECTOR_HIGH);
}

static void take_same(struct trap_frame *f)
{
	(void)f;
	nested_same++;
	lapic_eoi();
}

static void take_low_and_send(struct trap_frame *f)
{
	(void)f;
	tmr_low = lapic_vector_bit(LAPIC_TMR, VECTOR_LOW);
	irq_enable();
	send_self(VECTOR_SAME);
	send_self(VECTOR_HIGH);
	(void)CLOCK_WAIT(nested_high, WAIT_US);
	clock_delay_us(QUIET_US);
	irq_disable();
	high_inside = nested_high;
	same_inside = nested_same;
	lapic_eoi();
}

void regs_nested(void)
{
	nested_high = nested_same = high_inside = same_inside = 0;
	trap_set_handler(VECTOR_LOW, take_low_and_send);
	trap_set_handler(VECTOR_HIGH, take_high);
	trap_set_handler(VECTOR_SAME, take_same);
	irq_enable();
	send_self(VECTOR_LOW);
	CHECK(CLOCK_WAIT(nested_same, WAIT_US), "the vector of the same class never came");
	irq_disable();
	trap_set_handler(VECTOR_LOW, NULL);
	trap_set_handler(VECTOR_HIGH, NULL);
	trap_set_handler(VECTOR_SAME, NULL);
	CHECK(high_inside == 1, "the higher class came %u times inside the handler", high_inside);
	CHECK(same_inside == 0, "the same class interrupted its own");
	CHECK(isr_low && isr_high, "ISR inside: low %u high %u", isr_low, isr_high);
	CHECK(isr_low_after && !isr_high_after, "EOI ended the wrong one: low %u high %u", isr_low_after, isr_high_after);
	CHECK(!tmr_low, "TMR says level for an IPI");
}

void regs_merge(void)
{
	trap_irq_reset();
	irq_disable();
	for (unsigned i = 0; i < 3; i++)
		send_self(VECTOR_LOW);
	irq_enable();
	CHECK(CLOCK_WAIT(trap_irq_count(VECTOR_LOW), WAIT_US), "no interrupt");
	clock_delay_us(QUIET_US);
	irq_disable();
	CHECK_EQ(trap_irq_count(VECTOR_LOW), 1);
}

void regs_eoi_idle(void)
{
	for (unsigned i = 0; i < 3; i++)
		lapic_eoi();
	for (unsigned v = 0; v < 256; v += 32)
		CHECK(!lapic_read(LAPIC_ISR + v / 2), "ISR word %u is %x", v / 32, lapic_read(LAPIC_ISR + v / 2));
}

void regs_lvt(void)
{
	static const uint16_t entries[] = { LAPIC_LVT_TIMER, LAPIC_LVT_LINT0, LAPIC_LVT_LINT1, LAPIC_LVT_ERROR };

	for (unsigned i = 0; i < sizeof(entries) / sizeof(entries[0]); i++) {
		uint32_t before = lapic_read(entries[i]);

		lapic_write(entries[i], LAPIC_LVT_MASKED | 0x77);
		CHECK(lapic_read(entries[i]) == (LAPIC_LVT_MASKED | 0x77), "LVT %x reads %x", entries[i], lapic_read(entries[i]));
		lapic_write(entries[i], before);
	}
	lapic_write(LAPIC_SVR, LAPIC_SVR_ENABLE | VEC_SPURIOUS);
	CHECK_EQ(lapic_read(LAPIC_SVR) & 0x1FF, LAPIC_SVR_ENABLE | VEC_SPURIOUS);
	lapic_write(LAPIC_TIMER_DIVIDE, 0xA);
	CHECK_EQ(lapic_read(LAPIC_TIMER_DIVIDE), 0xA);
}

/* SDM vol. 3A, "Local APIC State After It Has Been Software Disabled". */
void regs_software_disable(void)
{
	trap_irq_reset();
	irq_disable();
	send_self(VECTOR_LOW);
	REQUIRE(CLOCK_WAIT(lapic_vector_bit(LAPIC_IRR, VECTOR_LOW), WAIT_US), "not pending");
	lapic_write(LAPIC_LVT_TIMER, VECTOR_HIGH);
	lapic_write(LAPIC_SVR, VEC_SPURIOUS);
	if (!guest_is_bare_tcg()) { /* whose APIC leaves the entries alone */
		CHECK(lapic_read(LAPIC_LVT_TIMER) & LAPIC_LVT_MASKED, "disabling leaves the timer's entry unmasked");
		lapic_write(LAPIC_LVT_TIMER, VECTOR_HIGH);
		CHECK(lapic_read(LAPIC_LVT_TIMER) & LAPIC_LVT_MASKED, "the mask can be cleared while disabled");
	}
	lapic_write(LAPIC_SVR, LAPIC_SVR_ENABLE | VEC_SPURIOUS);
	CHECK(lapic_vector_bit(LAPIC_IRR, VECTOR_LOW), "disabling lost a pending interrupt");
	irq_enable();
	CHECK(CLOCK_WAIT(trap_irq_count(VECTOR_LOW) == 1, WAIT_US), "the pending interrupt does not come");
	irq_disable();
	lapic_write(LAPIC_LVT_TIMER, LAPIC_LVT_MASKED | VECTOR_HIGH);
}

/* Whether it is an error that is told is the APIC's affair; it is never an interrupt. */
void regs_illegal_vector(void)
{
	if (guest_is_bare_tcg()) {
		test_skip("QEMU's APIC delivers illegal vectors");
		return;
	}
	trap_irq_reset();
	irq_enable();
	send_self(5);
	clock_delay_us(QUIET_US);
	irq_disable();
	CHECK_EQ(trap_irq_count(5), 0);
	lapic_write(LAPIC_ESR, 0);
	(void)lapic_read(LAPIC_ESR);
	lapic_write(LAPIC_ESR, 0);
	CHECK_EQ(lapic_read(LAPIC_ESR), 0);
}
