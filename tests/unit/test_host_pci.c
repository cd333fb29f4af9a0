/*
 * The host's PCI functions as the driver VM handles them, on configuration space in memory.
 * UNIT_SOURCES: drivers-vm/driver/host_pci.c
 * UNIT_FLAGS: -iquote tests/unit/fake_host_pci -Itests/unit
 */
#include "cmocka_all.h"

#include <string.h>

#include "drivers-vm/driver/host_pci.h"
#include "drivers-vm/runtime/service.h"

#define MESSAGE (0xFEE00A10u | 0x33ull << 32)

static uint8_t config[4096] __attribute__((aligned(4096)));
static uint8_t bar[4096] __attribute__((aligned(4096)));
static struct host_pci *pci;
static uint64_t bound_index, bound_event, closed, now;
static int64_t bind_result, event_result;

int64_t fake_call(uint64_t number, uint64_t a, uint64_t b, uint64_t c, uint64_t d, uint64_t e)
{
	(void)e;
	switch (number) {
	case HC_EVENT_CREATE:
		assert_int_equal(a, 77); /* itself */
		return event_result < 0 ? event_result : (int64_t)(100 + b * 10 + c + d);
	case HC_DEVICE_BIND_IRQ:
		assert_int_equal(a, 5);
		bound_index = b;
		bound_event = c;
		return bind_result;
	case HC_HANDLE_CLOSE:
		closed = a;
		return 0;
	case HC_DEVICE_DMA_ADDRESS:
		return b % 4096 ? HILUM_E_FAULT : (int64_t)b + 1;
	default:
		fail_msg("call %lx", (unsigned long)number);
		return 0;
	}
}

uint64_t service_tsc(void)
{
	return now += 1000000;
}

static void put(unsigned at, unsigned bytes, uint64_t value)
{
	memcpy(config + at, &value, bytes);
}

static uint32_t get(unsigned at, unsigned bytes)
{
	uint32_t v = 0;

	memcpy(&v, config + at, bytes);
	return v;
}

/* Capabilities: PCI Express at 40h, MSI at 60h or MSI-X at 80h. */
static void add_capability(unsigned at, uint8_t id, unsigned next)
{
	put(at, 1, id);
	put(at + 1, 1, next);
}

static int set_up(void **state)
{
	static bool added;
	struct channel_message m = { .device = { .rid = 0x20, .handle = 5, .config_gpa = (uintptr_t)config } };

	(void)state;
	memset(config, 0, sizeof(config));
	memset(bar, 0, sizeof(bar));
	m.device.bar[2] = (uintptr_t)bar;
	m.device.bar_bytes[2] = sizeof(bar);
	host_pci_init(77);
	if (!added)
		pci = host_pci_add(&m);
	added = true;
	put(0x06, 2, 1 << 4);
	put(0x34, 1, 0x40);
	add_capability(0x40, HOST_PCI_CAP_EXPRESS, 0);
	bind_result = MESSAGE;
	event_result = 0;
	closed = bound_event = 0;
	return 0;
}

static void capability__list__is_walked_and_bounded(void **state)
{
	(void)state;
	assert_int_equal(host_pci_capability(pci, HOST_PCI_CAP_EXPRESS, 0), 0x40);
	assert_int_equal(host_pci_capability(pci, HOST_PCI_CAP_MSI, 0), 0);
	add_capability(0x40, HOST_PCI_CAP_EXPRESS, 0x60);
	add_capability(0x60, HOST_PCI_CAP_MSI, 0x40); /* a ring */
	assert_int_equal(host_pci_capability(pci, HOST_PCI_CAP_MSI, 0), 0x60);
	assert_int_equal(host_pci_capability(pci, HOST_PCI_CAP_MSIX, 0), 0);
	put(0x34, 1, 0x10); /* into the header */
	assert_int_equal(host_pci_capability(pci, HOST_PCI_CAP_EXPRESS, 0), 0);
	put(0x34, 1, 0x40);
	put(0x06, 2, 0); /* no list */
	assert_int_equal(host_pci_capability(pci, HOST_PCI_CAP_EXPRESS, 0), 0);
}

static void read_write__any_offset__stays_in_the_page(void **state)
{
	(void)state;
	host_pci_write(pci, 4096 + 0x13, 4, 0x12345678); /* wraps, and is aligned */
	assert_int_equal(get(0x10, 4), 0x12345678);
	assert_int_equal(host_pci_read(pci, 0x11, 2), 0x5678);
	assert_int_equal(host_pci_read(pci, 0x13, 1), 0x12);
}

static void enable__dma_and_decode__are_separate_bits(void **state)
{
	(void)state;
	put(0x04, 2, 1);
	host_pci_enable(pci, true, false);
	assert_int_equal(get(0x04, 2), 1 | 2 | 1 << 10);
	host_pci_enable(pci, true, true);
	assert_int_equal(get(0x04, 2), 1 | 2 | 4 | 1 << 10);
	host_pci_enable(pci, false, false);
	assert_int_equal(get(0x04, 2), 1 | 1 << 10);
}

static void bind_irq__msi__message_is_programmed(void **state)
{
	(void)state;
	add_capability(0x40, HOST_PCI_CAP_EXPRESS, 0x60);
	add_capability(0x60, HOST_PCI_CAP_MSI, 0);
	put(0x62, 2, 7 << 4 | 1 << 7); /* 64-bit, several asked for */
	assert_true(host_pci_bind_irq(pci, 0, 1, 8));
	assert_int_equal(bound_event, 118);
	assert_int_equal(closed, 118);
	assert_int_equal(get(0x64, 4), 0xFEE00A10);
	assert_int_equal(get(0x6C, 2), 0x33);
	assert_int_equal(get(0x62, 2), 1 << 7 | 1);
	put(0x62, 2, 0); /* 32-bit */
	assert_true(host_pci_bind_irq(pci, 0, 0, 8));
	assert_int_equal(get(0x68, 2), 0x33);
	assert_false(host_pci_bind_irq(pci, 1, 0, 8)); /* it has one */
}

static void bind_irq__msix__entry_in_its_bar(void **state)
{
	uint32_t entry[4];

	(void)state;
	add_capability(0x40, HOST_PCI_CAP_EXPRESS, 0x80);
	add_capability(0x80, HOST_PCI_CAP_MSIX, 0);
	put(0x82, 2, 3); /* 4 vectors */
	put(0x84, 4, 0x100 | 2);
	assert_true(host_pci_bind_irq(pci, 3, 0, 8));
	memcpy(entry, bar + 0x100 + 3 * 16, sizeof(entry));
	assert_int_equal(entry[0], 0xFEE00A10);
	assert_int_equal(entry[1], 0);
	assert_int_equal(entry[2], 0x33);
	assert_int_equal(entry[3], 0);
	assert_int_equal(get(0x82, 2) >> 14, 2);
	assert_false(host_pci_bind_irq(pci, 4, 0, 8));
	put(0x84, 4, 0xFF0 | 2); /* beyond the BAR */
	assert_false(host_pci_bind_irq(pci, 3, 0, 8));
	put(0x84, 4, 0x100 | 7); /* no such BAR */
	assert_false(host_pci_bind_irq(pci, 0, 0, 8));
	put(0x84, 4, 0x100 | 1); /* no memory BAR */
	assert_false(host_pci_bind_irq(pci, 0, 0, 8));
}

static void bind_irq__kernel_refuses__says_so(void **state)
{
	(void)state;
	add_capability(0x40, HOST_PCI_CAP_MSI, 0);
	event_result = HILUM_E_NO_MEMORY;
	assert_false(host_pci_bind_irq(pci, 0, 0, 8));
	event_result = 0;
	bind_result = HILUM_E_NO_MEMORY;
	assert_false(host_pci_bind_irq(pci, 0, 0, 8));
	assert_int_equal(closed, 108);
	assert_int_equal(get(0x44, 4), 0);
}

static void reset__with_and_without_flr__bars_are_restored(void **state)
{
	(void)state;
	put(0x04, 2, 6);
	put(0x10, 4, 0xFE000000);
	assert_false(host_pci_reset(pci));
	assert_int_equal(get(0x04, 2) & 6, 2); /* but DMA is off */
	put(0x04, 2, 6);
	put(0x44, 4, 1u << 28);
	uint64_t start = now;
	assert_true(host_pci_reset(pci));
	assert_true(now - start >= 100000000);
	assert_int_equal(get(0x48, 2), 1 << 15);
	assert_int_equal(get(0x10, 4), 0xFE000000);
	assert_int_equal(get(0x04, 2), 2);
}

static void dma_address__refused__is_zero(void **state)
{
	(void)state;
	assert_int_equal(host_pci_dma_address(pci, (void *)0x2000), 0x2001);
	assert_int_equal(host_pci_dma_address(pci, (void *)0x2001), 0);
}

static void add__too_many__is_refused(void **state)
{
	struct channel_message m = { .device = { .rid = 0x28, .handle = 6, .config_gpa = 0 } };

	(void)state;
	assert_null(host_pci_add(&m)); /* damaged */
	m.device.config_gpa = (uintptr_t)config;
	for (unsigned i = 1; i < CHANNEL_DEVICES; i++) {
		const struct host_pci *added = host_pci_add(&m);

		assert_non_null(added);
		assert_ptr_equal(added, host_pci_get(i));
	}
	assert_null(host_pci_add(&m));
	assert_null(host_pci_get(CHANNEL_DEVICES));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(capability__list__is_walked_and_bounded, set_up),
		cmocka_unit_test_setup(read_write__any_offset__stays_in_the_page, set_up),
		cmocka_unit_test_setup(enable__dma_and_decode__are_separate_bits, set_up),
		cmocka_unit_test_setup(bind_irq__msi__message_is_programmed, set_up),
		cmocka_unit_test_setup(bind_irq__msix__entry_in_its_bar, set_up),
		cmocka_unit_test_setup(bind_irq__kernel_refuses__says_so, set_up),
		cmocka_unit_test_setup(reset__with_and_without_flr__bars_are_restored, set_up),
		cmocka_unit_test_setup(dma_address__refused__is_zero, set_up),
		cmocka_unit_test_setup(add__too_many__is_refused, set_up),
	};

	return cmocka_run_group_tests_name("host_pci", tests, NULL, NULL);
}
