/*
 * Registers behind ports. Datasheets: 16550D, 8254, 8259A, MC146818; PCI 3.0, 3.2.2.3.
 */
#include "tests/guest/io/local.h"
#include "tests/guest/lib/clock.h"
#include "tests/guest/lib/cpu.h"
#include "tests/guest/lib/pci.h"
#include "tests/guest/lib/test.h"

#define COM1     0x3F8
#define LSR_DR   0x01
#define MCR_LOOP 0x10

void ports_unclaimed(void)
{
	static const uint16_t ports[] = { 0x2E0, 0x300, 0x1234, 0xABC0 };

	for (unsigned i = 0; i < sizeof(ports) / sizeof(ports[0]); i++) {
		outb(ports[i], 0x12);
		outw(ports[i], 0x1234);
		outl(ports[i], 0x12345678);
		CHECK_EQ(inb(ports[i]), 0xFF);
		CHECK_EQ(inw(ports[i]), 0xFFFF);
		CHECK_EQ(inl(ports[i]), 0xFFFFFFFF);
	}
}

/* An 8-bit IN must leave the rest of EAX alone, a 32-bit one clears the upper half of RAX. */
void ports_uart_registers(void)
{
	uint64_t rax = 0x1122334455667788;
	uint8_t lcr = inb(COM1 + 3);

	for (unsigned v = 0; v < 256; v += 51) {
		outb(COM1 + 7, (uint8_t)v);
		CHECK_EQ(inb(COM1 + 7), v);
	}
	outb(COM1 + 7, 0x5C);
	__asm__ volatile("inb %%dx, %%al" : "+a"(rax) : "d"(COM1 + 7));
	CHECK_EQ(rax, 0x112233445566775C);
	rax = 0x1122334455667788;
	__asm__ volatile("inl %%dx, %%eax" : "+a"(rax) : "d"(0x300));
	CHECK_EQ(rax, 0xFFFFFFFF);
	rax = 0x1122334455667788;
	__asm__ volatile("inw %%dx, %%ax" : "+a"(rax) : "d"(0x300));
	CHECK_EQ(rax, 0x112233445566FFFF);
	outb(COM1 + 3, lcr | 0x80);
	CHECK_EQ(inb(COM1), 1); /* the divisor that text_init() set */
	outb(COM1 + 3, lcr);
	CHECK_EQ(inb(COM1 + 3), lcr);
}

void ports_uart_loopback(void)
{
	uint8_t mcr = inb(COM1 + 4);

	clock_delay_us(2000); /* the transmitter must be idle, or its last byte comes back */
	outb(COM1 + 4, MCR_LOOP);
	(void)inb(COM1);
	outb(COM1, 0xA7);
	CHECK(CLOCK_WAIT(inb(COM1 + 5) & LSR_DR, WAIT_US), "nothing received");
	CHECK_EQ(inb(COM1), 0xA7);
	CHECK(!(inb(COM1 + 5) & LSR_DR), "data ready stays");
	/* Modem outputs appear at the inputs: DTR at DSR, OUT2 at DCD. */
	outb(COM1 + 4, MCR_LOOP | 0x01);
	CHECK_EQ(inb(COM1 + 6) & 0xF0, 0x20);
	outb(COM1 + 4, MCR_LOOP | 0x08);
	CHECK_EQ(inb(COM1 + 6) & 0xF0, 0x80);
	outb(COM1 + 4, mcr);
}

void ports_pci_config(void)
{
	uint32_t id = pci_read(0, 0, 0);

	REQUIRE(id != 0xFFFFFFFF && (id & 0xFFFF), "no host bridge: %x", id);
	CHECK_EQ(inl(0xCF8), 0x80000000);
	for (unsigned i = 0; i < 4; i++)
		CHECK_EQ(inb((uint16_t)(0xCFC + i)), id >> (8 * i) & 0xFF);
	CHECK_EQ(inw(0xCFC), id & 0xFFFF);
	CHECK_EQ(inw(0xCFE), id >> 16);
	CHECK_EQ(pci_read(31, 7, 0) == 0xFFFFFFFF || pci_read(31, 7, 0) != id, 1);
	CHECK_EQ(pci_read(0, 0, 8) >> 24, 6); /* class: bridge */
	outl(0xCF8, 0);
	CHECK_EQ(inl(0xCFC), 0xFFFFFFFF); /* not enabled */
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

void ports_rtc(void)
{
	uint8_t saved, seconds;

	CHECK(CLOCK_WAIT(!(rtc_read(0xA) & 0x80), WAIT_US), "update in progress for ever");
	seconds = rtc_read(0);
	CHECK((seconds & 0xF) < 10 && seconds < 0x60, "second %x", seconds);
	CHECK(rtc_read(7) >= 0x01 && rtc_read(7) <= 0x31, "day %x", rtc_read(7));
	CHECK(rtc_read(8) >= 0x01 && rtc_read(8) <= 0x12, "month %x", rtc_read(8));
	CHECK_EQ(rtc_read(0xD) & 0x80, 0x80);
	saved = rtc_read(0x50);
	rtc_write(0x50, 0x3A);
	CHECK_EQ(rtc_read(0x50), 0x3A);
	rtc_write(0x50, saved);
	CHECK(CLOCK_WAIT(!(rtc_read(0xA) & 0x80) && rtc_read(0) != seconds, WAIT_US), "the seconds stand still");
}

void ports_pic_registers(void)
{
	outb(0x21, 0xA5);
	outb(0xA1, 0x5A);
	CHECK_EQ(inb(0x21), 0xA5);
	CHECK_EQ(inb(0xA1), 0x5A);
	outb(0x21, 0xFF);
	outb(0xA1, 0xFF);
	outb(0x4D0, 0x00);
	outb(0x4D1, 0x08);
	CHECK_EQ(inb(0x4D1), 0x08);
	outb(0x4D1, 0x00);
	CHECK_EQ(inb(0x4D1), 0x00);
}

static uint16_t pit_latched(unsigned channel)
{
	uint16_t low;

	outb(0x43, (uint8_t)(channel << 6));
	low = inb((uint16_t)(0x40 + channel));
	return (uint16_t)(low | inb((uint16_t)(0x40 + channel)) << 8);
}

void ports_pit_counts(void)
{
	uint16_t first, second;

	outb(0x43, 0x34); /* channel 0, both bytes, mode 2 */
	outb(0x40, 0xFF);
	outb(0x40, 0xFF);
	clock_delay_us(500);
	first = pit_latched(0);
	clock_delay_us(5000);
	second = pit_latched(0);
	CHECK(first > second, "from %u to %u", first, second);
	CHECK(first - second >= 5960 / 20 * 19 || first < 5960, "%u counts in 5 ms, not 5966", first - second);
}

void ports_pit_readback(void)
{
	uint8_t status;

	outb(0x43, 0xB6); /* channel 2, both bytes, mode 3 */
	outb(0x42, 0x00);
	outb(0x42, 0x10);
	outb(0x43, 0xE8); /* read-back: status of channel 2 */
	status = inb(0x42);
	CHECK_EQ(status & 0x3F, 0x36);
	outb(0x61, inb(0x61) & 0xFC);
	CHECK_EQ(inb(0x61) & 3, 0);
	outb(0x61, inb(0x61) | 1);
	CHECK_EQ(inb(0x61) & 3, 1);
}
