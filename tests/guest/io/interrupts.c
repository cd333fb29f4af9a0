/*
 * Device interrupts by the 8259A pair and by the IOAPIC, edge and level.
 */
#include "tests/guest/io/local.h"
#include "tests/guest/lib/clock.h"
#include "tests/guest/lib/cpu.h"
#include "tests/guest/lib/lapic.h"
#include "tests/guest/lib/test.h"
#include "tests/guest/lib/trap.h"

#define COM1        0x3F8
#define VECTOR_PIC  0x20
#define VECTOR_PIT  0x42
#define VECTOR_UART 0x44
#define VECTOR_RTC  0x48
#define PIN_PIT     2
#define PIN_UART    4
#define PIN_RTC     8
#define RTE_LEVEL   (1u << 15)
#define RTE_REMOTE  (1u << 14)
#define RTE_MASKED  (1u << 16)
#define LVT_EXTINT  0x700
#define IER_THRI    0x02
#define MCR_OUT2    0x08
#define PIT_1_KHZ   1193

static volatile unsigned taken;

void ioapic_route(unsigned pin, uint32_t low)
{
	ioapic_write(0x11 + 2 * pin, lapic_id() << 24);
	ioapic_write(0x10 + 2 * pin, low);
}

static void pit_start(uint8_t control, uint16_t count)
{
	outb(0x43, control);
	outb(0x40, (uint8_t)count);
	outb(0x40, (uint8_t)(count >> 8));
}

static void take_by_pic(struct trap_frame *f)
{
	(void)f;
	taken++;
	outb(0x20, 0x20);
}

static void take_by_lapic(struct trap_frame *f)
{
	(void)f;
	taken++;
	lapic_eoi();
}

static void pic_init(void)
{
	outb(0x20, 0x11);
	outb(0x21, VECTOR_PIC);
	outb(0x21, 0x04);
	outb(0x21, 0x01);
	outb(0xA0, 0x11);
	outb(0xA1, VECTOR_PIC + 8);
	outb(0xA1, 0x02);
	outb(0xA1, 0x01);
	outb(0x21, 0xFF);
	outb(0xA1, 0xFF);
}

void interrupts_pit_by_pic(void)
{
	pic_init();
	taken = 0;
	trap_set_handler(VECTOR_PIC, take_by_pic);
	lapic_write(LAPIC_LVT_LINT0, LVT_EXTINT);
	pit_start(0x34, PIT_1_KHZ);
	outb(0x21, 0xFE);
	irq_enable();
	CHECK(CLOCK_WAIT(taken >= 10, WAIT_US), "%u interrupts, not 10", taken);
	outb(0x21, 0xFF);
	clock_delay_us(2000);
	taken = 0;
	clock_delay_us(QUIET_US);
	irq_disable();
	CHECK(!taken, "%u interrupts while masked", taken);
	lapic_write(LAPIC_LVT_LINT0, LAPIC_LVT_MASKED);
	trap_set_handler(VECTOR_PIC, NULL);
}

void interrupts_pit_by_ioapic(void)
{
	taken = 0;
	trap_set_handler(VECTOR_PIT, take_by_lapic);
	pit_start(0x34, PIT_1_KHZ);
	ioapic_route(PIN_PIT, VECTOR_PIT);
	irq_enable();
	CHECK(CLOCK_WAIT(taken >= 10, WAIT_US), "%u interrupts, not 10", taken);
	ioapic_route(PIN_PIT, RTE_MASKED | VECTOR_PIT);
	clock_delay_us(2000);
	taken = 0;
	clock_delay_us(QUIET_US);
	irq_disable();
	CHECK(!taken, "%u interrupts while masked", taken);
}

void interrupts_one_shot(void)
{
	taken = 0;
	pit_start(0x30, 30000); /* mode 0: 25 ms, long enough to route the pin before the end */
	ioapic_route(PIN_PIT, VECTOR_PIT);
	irq_enable();
	CHECK(CLOCK_WAIT(taken, WAIT_US), "no interrupt");
	clock_delay_us(QUIET_US);
	irq_disable();
	CHECK(taken == 1, "%u interrupts, not 1", taken);
	ioapic_route(PIN_PIT, RTE_MASKED | VECTOR_PIT);
	trap_set_handler(VECTOR_PIT, NULL);
}

static uint8_t rtc_read(uint8_t reg)
{
	outb(0x70, reg);
	return inb(0x71);
}

static void rtc_write(uint8_t reg, uint8_t value)
{
	outb(0x70, reg);
	outb(0x71, value);
}

static void take_rtc(struct trap_frame *f)
{
	(void)f;
	taken++;
	(void)rtc_read(0xC); /* or no other comes */
	lapic_eoi();
}

void interrupts_rtc(void)
{
	uint8_t b = rtc_read(0xB), a = rtc_read(0xA);

	taken = 0;
	trap_set_handler(VECTOR_RTC, take_rtc);
	ioapic_route(PIN_RTC, VECTOR_RTC);
	rtc_write(0xA, 0x26); /* 1,024 Hz */
	rtc_write(0xB, b | 0x40);
	(void)rtc_read(0xC);
	irq_enable();
	CHECK(CLOCK_WAIT(taken >= 5, WAIT_US), "%u interrupts, not 5", taken);
	irq_disable();
	rtc_write(0xB, b);
	rtc_write(0xA, a);
	(void)rtc_read(0xC);
	ioapic_route(PIN_RTC, RTE_MASKED | VECTOR_RTC);
	trap_set_handler(VECTOR_RTC, NULL);
}

static void uart_begin(void)
{
	clock_delay_us(2000);
	outb(COM1 + 1, 0);
	outb(COM1 + 4, 0x03 | MCR_OUT2);
	(void)inb(COM1 + 2);
	taken = 0;
}

static void uart_end(void)
{
	irq_disable();
	outb(COM1 + 1, 0);
	outb(COM1 + 4, 0x03);
	ioapic_route(PIN_UART, RTE_MASKED | VECTOR_UART);
	trap_set_handler(VECTOR_UART, NULL);
}

/* Enabling the transmitter interrupt while the transmitter is empty raises the line at once. */
void interrupts_uart_edge(void)
{
	uart_begin();
	trap_set_handler(VECTOR_UART, take_by_lapic);
	ioapic_route(PIN_UART, VECTOR_UART);
	irq_enable();
	outb(COM1 + 1, IER_THRI);
	CHECK(CLOCK_WAIT(taken, WAIT_US), "no interrupt");
	clock_delay_us(QUIET_US);
	CHECK(taken == 1, "%u interrupts of one edge", taken);
	CHECK_EQ(inb(COM1 + 2) & 0x0F, 0x02); /* transmitter empty; this read takes it back */
	CHECK_EQ(inb(COM1 + 2) & 0x0F, 0x01);
	uart_end();
}

static volatile bool level_tmr, level_remote;

static void take_level(struct trap_frame *f)
{
	(void)f;
	taken++;
	level_tmr = lapic_vector_bit(LAPIC_TMR, VECTOR_UART);
	level_remote = ioapic_read(0x10 + 2 * PIN_UART) & RTE_REMOTE;
	if (taken == 3)
		(void)inb(COM1 + 2); /* the line falls */
	lapic_eoi();
}

/* A level interrupt comes again after each EOI for as long as the line is up. */
void interrupts_uart_level(void)
{
	uart_begin();
	trap_set_handler(VECTOR_UART, take_level);
	ioapic_route(PIN_UART, RTE_LEVEL | VECTOR_UART);
	irq_enable();
	outb(COM1 + 1, IER_THRI);
	CHECK(CLOCK_WAIT(taken >= 3, WAIT_US), "%u interrupts, not 3", taken);
	clock_delay_us(QUIET_US);
	CHECK(taken == 3, "%u interrupts, not 3", taken);
	CHECK(level_tmr, "TMR says edge");
	CHECK(level_remote, "no remote IRR while in service");
	CHECK(!(ioapic_read(0x10 + 2 * PIN_UART) & RTE_REMOTE), "remote IRR stays after EOI");
	uart_end();
}
