/*
 * Port and device-register accesses: answered outside root mode, or a doorbell.
 */
#include "tests/guest/bench/bench.h"
#include "tests/guest/lib/cpu.h"
#include "tests/guest/lib/pci.h"
#include "tests/guest/lib/test.h"

#define IOAPIC_BASE 0xFEC00000ull

static uint16_t doorbell_port;

static void op_inb_scratch(void)
{
	(void)inb(0x3FF);
}

static void op_outb_scratch(void)
{
	outb(0x3FF, 0);
}

static void op_inb_lsr(void)
{
	(void)inb(0x3FD);
}

static void op_inb_nothing(void)
{
	(void)inb(0x2E0);
}

/* Answered by tests/service/null_handler.c, where that runs. */
static void op_vm_call(void)
{
	(void)inb(0x510);
}

static void op_doorbell(void)
{
	outw(doorbell_port, 0);
}

static bool have_doorbell(void)
{
	doorbell_port = (uint16_t)test_option("doorbell", 0);
	if (!doorbell_port)
		doorbell_port = pci_find_virtio_notify_port();
	return doorbell_port;
}

static void op_ioapic_read(void)
{
	(void)*(volatile uint32_t *)(IOAPIC_BASE + 0x10);
}

static void op_ioapic_write(void)
{
	*(volatile uint32_t *)IOAPIC_BASE = 1;
}

const struct bench_op bench_vm_call = { "vm_call", op_vm_call, NULL, NULL };

const struct bench_op bench_port_ops[] = {
	{ "port_read_outside_root", op_inb_scratch, NULL, NULL },
	{ "port_write_outside_root", op_outb_scratch, NULL, NULL },
	{ "port_read_uart_lsr", op_inb_lsr, NULL, NULL },
	{ "port_read_unclaimed", op_inb_nothing, NULL, NULL },
	{ "doorbell_port_write", op_doorbell, NULL, have_doorbell },
	{ "mmio_read_outside_root", op_ioapic_read, NULL, NULL },
	{ "mmio_write_outside_root", op_ioapic_write, NULL, NULL },
	{ NULL, NULL, NULL, NULL },
};
