/*
 * One end of a channel on its bus: registers, the BAR that does not move, doorbells, MSI-X, and its life over two driver VMs.
 * UNIT_SOURCES: drivers-vm/driver/ivshmem.c drivers-vm/driver/pci_host.c drivers-vm/driver/pci_function.c drivers-vm/driver/pci_msix.c
 * UNIT_FLAGS: -Itests/unit/fake_model
 */
#include "model_fake.h"
#include "drivers-vm/driver/ivshmem.h"
#include "drivers-vm/driver/pci_host.h"

#define DEVICE    5u
#define ECAM(reg) (PLATFORM_ECAM_BASE + DEVICE * 0x8000ull + (reg))
#define NUMBER    42u
#define PLACE     0x140000000ull
#define BYTES     0x200000ull
#define COMMAND   (PCI_COMMAND_MEMORY | PCI_COMMAND_BUS_MASTER)

static struct fake_model fake;
static struct pci_host bus;
static struct ivshmem device;
static uint32_t registers, table; /* the BARs' places */
static unsigned rung, rung_vector;

static void ring_peer(void *ctx, uint32_t number, unsigned vector)
{
	assert_ptr_equal(ctx, &fake);
	assert_int_equal(number, NUMBER);
	rung++;
	rung_vector = vector;
}

static uint32_t config(unsigned reg)
{
	return (uint32_t)pci_host_mmio_read(&bus, ECAM(reg), 4);
}

static void config_put(unsigned reg, uint32_t value)
{
	pci_host_mmio_write(&bus, ECAM(reg), 4, value);
}

static uint32_t get(uint32_t offset)
{
	return (uint32_t)pci_host_mmio_read(&bus, registers + offset, 4);
}

static void put(uint32_t offset, uint32_t value)
{
	pci_host_mmio_write(&bus, registers + offset, 4, value);
}

static void make(unsigned position, uint64_t bytes)
{
	const struct ivshmem_config c = { .number = NUMBER, .position = position, .gpa = PLACE, .bytes = bytes };

	fake_model_init(&fake);
	fake.host.ring_peer = ring_peer;
	rung = 0;
	pci_host_init(&bus);
	ivshmem_init(&device, &fake.host, &c);
	assert_true(pci_host_plug(&bus, DEVICE, &device.function));
	config_put(PCI_COMMAND, COMMAND);
	registers = config(PCI_BAR0) & ~0xFu;
	table = config(PCI_BAR0 + 4) & ~0xFu;
}

static int set_up(void **state)
{
	(void)state;
	make(0, BYTES);
	return 0;
}

static void enable_msix(unsigned vector, uint32_t data)
{
	uint32_t at = table + vector * PCI_MSIX_ENTRY_BYTES;

	pci_host_mmio_write(&bus, at, 4, 0xFEE01000);
	pci_host_mmio_write(&bus, at + 4, 4, 0);
	pci_host_mmio_write(&bus, at + 8, 4, data);
	pci_host_mmio_write(&bus, at + 12, 4, 0);
	config_put(device.msix.capability, PCI_MSIX_ENABLE << 16);
}

static void ivshmem__identity__is_what_drivers_look_for(void **state)
{
	(void)state;
	assert_int_equal(config(PCI_VENDOR_ID), 0x11101AF4);
	assert_int_equal(config(PCI_REVISION_ID), 0x05000001);
	assert_int_equal(config(PCI_INTERRUPT_LINE) >> 8 & 0xFF, 0); /* no pin */
	assert_int_equal(config(device.msix.capability) >> 16 & 0x7FF, IVSHMEM_VECTORS - 1);
	assert_int_equal(config(device.msix.capability + PCI_MSIX_TABLE), IVSHMEM_BAR_MSIX);
}

static void ivshmem__memory_bar__is_sized_but_stays_where_it_is(void **state)
{
	static const uint64_t sizes[] = { 0x1000, 0x100000, 0x40000000 };

	(void)state;
	for (unsigned i = 0; i < 3; i++) {
		make(0, sizes[i]);
		for (unsigned word = 0; word < 2; word++) {
			unsigned reg = PCI_BAR0 + 8 + 4 * word;
			uint32_t there = word == 0 ? (uint32_t)PLACE | 0xC : PLACE >> 32;
			assert_int_equal(config(reg), there);
			config_put(reg, ~0u);
			assert_int_equal(config(reg), word == 0 ? (uint32_t) ~(sizes[i] - 1) | 0xC : ~0u);
			config_put(reg, there);
			assert_int_equal(config(reg), there);
			config_put(reg, 0x51230000);
			assert_int_equal(config(reg), there);
			pci_host_mmio_write(&bus, ECAM(reg + 1), 1, 0x77);
			assert_int_equal(config(reg), there);
		}
		config_put(PCI_BAR0 + 8, ~0u);
		pci_function_reset(&device.function);
		assert_int_equal(config(PCI_BAR0 + 8), (uint32_t)PLACE | 0xC);
	}
}

static void ivshmem__registers__read_as_they_are_documented(void **state)
{
	(void)state;
	put(IVSHMEM_INTR_MASK, 0x12345678);
	assert_int_equal(get(IVSHMEM_INTR_MASK), 0x12345678);
	assert_int_equal(get(IVSHMEM_INTR_STATUS), 0);
	assert_int_equal(get(IVSHMEM_POSITION), 0);
	assert_int_equal(get(IVSHMEM_DOORBELL), 0);
	make(1, BYTES);
	assert_int_equal(get(IVSHMEM_POSITION), 1);
	pci_function_reset(&device.function);
	config_put(PCI_COMMAND, COMMAND);
	assert_int_equal(get(IVSHMEM_INTR_MASK), 0);
}

static void ivshmem_doorbell__of_the_peer__names_channel_and_vector(void **state)
{
	(void)state;
	for (unsigned vector = 0; vector < IVSHMEM_VECTORS; vector++) {
		put(IVSHMEM_DOORBELL, 1u << 16 | vector);
		assert_int_equal(rung, vector + 1);
		assert_int_equal(rung_vector, vector);
	}
	make(1, BYTES);
	put(IVSHMEM_DOORBELL, 3);
	assert_int_equal(rung, 1);
}

static void ivshmem_doorbell__hostile_values__ring_nobody(void **state)
{
	static const uint32_t values[] = { 0, 7, 1u << 16 | 8, 1u << 16 | 0xFFFF, 2u << 16, 0xFFFF0000, 0xFFFFFFFF, 0x80010000 };

	(void)state;
	for (unsigned i = 0; i < sizeof(values) / sizeof(values[0]); i++)
		put(IVSHMEM_DOORBELL, values[i]);
	pci_host_mmio_write(&bus, registers + IVSHMEM_DOORBELL, 2, 0);
	pci_host_mmio_write(&bus, registers + IVSHMEM_DOORBELL + 2, 2, 1);
	pci_host_mmio_write(&bus, registers + IVSHMEM_DOORBELL - 1, 4, 0x1000000);
	assert_int_equal(rung, 0);
	fake.host.ring_peer = NULL;
	put(IVSHMEM_DOORBELL, 1u << 16);
}

static void ivshmem__every_access__stays_inside(void **state)
{
	(void)state;
	for (unsigned bar = 0; bar < PCI_BARS; bar++)
		for (uint32_t offset = 0; offset < 0x1010; offset++)
			for (unsigned size = 1; size <= 4; size *= 2) {
				uint32_t value;
				pci_bar_write(&device.function, bar, offset, size, offset * 0x9E3779B9u);
				pci_bar_read(&device.function, bar, offset, size, &value);
			}
	assert_false(pci_bar_write(&device.function, IVSHMEM_BAR_MEMORY, 0, 4, 1));
	assert_int_equal(get(IVSHMEM_POSITION), 0);
}

static void ivshmem_ring__msix_off__is_seen_in_the_status_once(void **state)
{
	(void)state;
	ivshmem_ring(&device, 3);
	assert_int_equal(fake.msi_count, 0);
	assert_int_equal(get(IVSHMEM_INTR_STATUS), 1);
	assert_int_equal(get(IVSHMEM_INTR_STATUS), 0);
}

static void ivshmem_ring__msix_on__sends_that_vector(void **state)
{
	(void)state;
	enable_msix(2, 0x4042);
	ivshmem_ring(&device, 2);
	assert_int_equal(fake.msi_count, 1);
	assert_int_equal(fake.msi[0].address, 0xFEE01000);
	assert_int_equal(fake.msi[0].data, 0x4042);
	assert_int_equal(get(IVSHMEM_INTR_STATUS), 0);
	ivshmem_ring(&device, IVSHMEM_VECTORS);
	ivshmem_ring(&device, ~0u);
	assert_int_equal(fake.msi_count, 1);
}

static void ivshmem_ring__masked__is_pending_until_unmasked(void **state)
{
	(void)state;
	enable_msix(1, 0x51);
	pci_host_mmio_write(&bus, table + PCI_MSIX_ENTRY_BYTES + 12, 4, PCI_MSIX_MASKED);
	ivshmem_ring(&device, 1);
	ivshmem_ring(&device, 1);
	assert_int_equal(fake.msi_count, 0);
	assert_int_equal(pci_host_mmio_read(&bus, table + PCI_MSIX_PBA_OFFSET, 4), 2);
	pci_host_mmio_write(&bus, table + PCI_MSIX_ENTRY_BYTES + 12, 4, 0);
	assert_int_equal(fake.msi_count, 1);
	config_put(device.msix.capability, (PCI_MSIX_ENABLE | PCI_MSIX_FUNCTION_MASK) << 16);
	ivshmem_ring(&device, 1);
	assert_int_equal(fake.msi_count, 1);
	config_put(device.msix.capability, PCI_MSIX_ENABLE << 16);
	assert_int_equal(fake.msi_count, 2);
}

static void ivshmem_ring__message_that_is_no_interrupt__goes_nowhere(void **state)
{
	(void)state;
	enable_msix(0, 0x40);
	pci_host_mmio_write(&bus, table, 4, 0x00100000);
	ivshmem_ring(&device, 0);
	pci_host_mmio_write(&bus, table, 4, 0xFEE00000);
	pci_host_mmio_write(&bus, table + 4, 4, 1);
	ivshmem_ring(&device, 0);
	assert_int_equal(fake.msi_count, 0);
}

static void ivshmem_adopt__after_another_driver_vm__goes_on_and_rings(void **state)
{
	struct ivshmem old;

	(void)state;
	enable_msix(4, 0x77);
	put(IVSHMEM_INTR_MASK, 9);
	config_put(PCI_BAR0, 0xD4000000);
	old = device;
	make(0, BYTES);
	config_put(PCI_COMMAND, 0);
	ivshmem_adopt(&device, &old);
	registers = 0xD4000000;
	assert_int_equal(get(IVSHMEM_INTR_MASK), 9);
	ivshmem_resume(&device);
	assert_int_equal(fake.msi_count, 1); /* of the vectors only that one is unmasked */
	assert_int_equal(fake.msi[0].data, 0x77);
}

static void ivshmem_adopt__garbage__changes_neither_place_nor_peer(void **state)
{
	struct ivshmem old;

	(void)state;
	for (unsigned byte = 0; byte < 256; byte += 51) {
		make(1, BYTES);
		memset(&old, (int)byte, sizeof(old));
		ivshmem_adopt(&device, &old);
		ivshmem_resume(&device);
		config_put(PCI_COMMAND, COMMAND);
		config_put(PCI_BAR0, 0xD8000000);
		registers = 0xD8000000;
		config_put(PCI_BAR0 + 12, 0);
		config_put(PCI_BAR0 + 8, 0);
		assert_int_equal(config(PCI_BAR0 + 8), (uint32_t)PLACE | 0xC);
		assert_int_equal(config(PCI_BAR0 + 12), PLACE >> 32);
		assert_int_equal(get(IVSHMEM_POSITION), 1);
		put(IVSHMEM_DOORBELL, 0);
		assert_int_equal(rung, 1);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(ivshmem__identity__is_what_drivers_look_for, set_up),
		cmocka_unit_test_setup(ivshmem__memory_bar__is_sized_but_stays_where_it_is, set_up),
		cmocka_unit_test_setup(ivshmem__registers__read_as_they_are_documented, set_up),
		cmocka_unit_test_setup(ivshmem_doorbell__of_the_peer__names_channel_and_vector, set_up),
		cmocka_unit_test_setup(ivshmem_doorbell__hostile_values__ring_nobody, set_up),
		cmocka_unit_test_setup(ivshmem__every_access__stays_inside, set_up),
		cmocka_unit_test_setup(ivshmem_ring__msix_off__is_seen_in_the_status_once, set_up),
		cmocka_unit_test_setup(ivshmem_ring__msix_on__sends_that_vector, set_up),
		cmocka_unit_test_setup(ivshmem_ring__masked__is_pending_until_unmasked, set_up),
		cmocka_unit_test_setup(ivshmem_ring__message_that_is_no_interrupt__goes_nowhere, set_up),
		cmocka_unit_test_setup(ivshmem_adopt__after_another_driver_vm__goes_on_and_rings, set_up),
		cmocka_unit_test_setup(ivshmem_adopt__garbage__changes_neither_place_nor_peer, set_up),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
