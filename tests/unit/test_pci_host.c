/*
 * Bus 0 through both ways to configuration space: header, BARs, capabilities, MSI-X.
 * UNIT_SOURCES: drivers-vm/driver/pci_host.c drivers-vm/driver/pci_function.c drivers-vm/driver/pci_msix.c
 * UNIT_FLAGS: -Itests/unit/fake_model
 */
#include "model_fake.h"
#include "drivers-vm/driver/pci_host.h"
#include "drivers-vm/driver/pci_msix.h"

#define DEVICE     3u
#define IO_BYTES   32u
#define MEM_BYTES  0x2000u
#define MSIX_TABLE 0x1000u
#define VECTORS    3u
#define ECAM(reg)  (PLATFORM_ECAM_BASE + DEVICE * 0x8000ull + (reg))

static struct fake_model fake;
static struct pci_host bus;
static struct pci_function function;
static struct pci_msix msix;
static struct {
	unsigned reads, writes, resets, bar, size;
	uint32_t offset, value;
} seen;

static uint32_t bar_read(struct pci_function *f, unsigned bar, uint32_t offset, unsigned size)
{
	assert_ptr_equal(f, &function);
	seen.reads++;
	seen.bar = bar;
	seen.offset = offset;
	seen.size = size;
	if (bar == 1 && offset >= MSIX_TABLE)
		return pci_msix_read(&msix, offset - MSIX_TABLE, size);
	return 0x01020304 + offset;
}

static void bar_write(struct pci_function *f, unsigned bar, uint32_t offset, unsigned size, uint32_t value)
{
	assert_ptr_equal(f, &function);
	seen.writes++;
	seen.bar = bar;
	seen.offset = offset;
	seen.size = size;
	seen.value = value;
	if (bar == 1 && offset >= MSIX_TABLE)
		pci_msix_write(&msix, offset - MSIX_TABLE, size, value);
}

static void config_written(struct pci_function *f, unsigned offset, unsigned size)
{
	(void)f;
	(void)offset;
	(void)size;
	pci_msix_config_written(&msix);
}

static void reset(struct pci_function *f)
{
	(void)f;
	seen.resets++;
	pci_msix_reset(&msix);
}

static const struct pci_function_ops ops = {
	.bar_read = bar_read,
	.bar_write = bar_write,
	.config_written = config_written,
	.reset = reset,
};

static int set_up(void **state)
{
	static const struct pci_identity identity = {
		.vendor = 0x1234,
		.device = 0x5678,
		.subsystem_vendor = 0x9ABC,
		.subsystem = 0xDEF0,
		.class_code = 0x078000,
		.revision = 7,
	};

	(void)state;
	memset(&seen, 0, sizeof(seen));
	fake_model_init(&fake);
	pci_host_init(&bus);
	pci_function_init(&function, &identity, &ops);
	pci_function_add_bar(&function, 0, true, IO_BYTES);
	pci_function_add_bar(&function, 1, false, MEM_BYTES);
	pci_function_add_capability(&function, PCI_CAPABILITY_VENDOR, 9);
	pci_msix_init(&msix, &function, &fake.host, VECTORS, 1, MSIX_TABLE);
	assert_true(pci_host_plug(&bus, DEVICE, &function));
	return 0;
}

static void address(uint32_t value)
{
	pci_host_port_write(&bus, PCI_HOST_ADDRESS_PORT, 4, value);
}

static uint32_t ecam_read(unsigned reg, unsigned size)
{
	return (uint32_t)pci_host_mmio_read(&bus, ECAM(reg), size);
}

static void ecam_write(unsigned reg, unsigned size, uint32_t value)
{
	pci_host_mmio_write(&bus, ECAM(reg), size, value);
}

static void pci_host_port__mechanism_1__reaches_registers_of_every_width(void **state)
{
	(void)state;
	address(0x80000000u | DEVICE << 11);
	assert_int_equal(pci_host_port_read(&bus, PCI_HOST_ADDRESS_PORT, 4), 0x80000000u | DEVICE << 11);
	assert_int_equal(pci_host_port_read(&bus, PCI_HOST_DATA_PORT, 4), 0x56781234);
	assert_int_equal(pci_host_port_read(&bus, PCI_HOST_DATA_PORT + 2, 2), 0x5678);
	assert_int_equal(pci_host_port_read(&bus, PCI_HOST_DATA_PORT + 1, 1), 0x12);
	address(0x80000000u | DEVICE << 11 | 8);
	assert_int_equal(pci_host_port_read(&bus, PCI_HOST_DATA_PORT, 4), 0x07800007);
	pci_host_port_write(&bus, PCI_HOST_DATA_PORT + 4, 1, 5);
	assert_int_equal(ecam_read(PCI_CACHE_LINE_SIZE, 1), 0);
	address(0x80000000u | DEVICE << 11 | PCI_CACHE_LINE_SIZE);
	pci_host_port_write(&bus, PCI_HOST_DATA_PORT, 1, 16);
	assert_int_equal(ecam_read(PCI_CACHE_LINE_SIZE, 1), 16);
}

static void pci_host_port__disabled_other_bus_or_no_device__all_ones(void **state)
{
	const uint32_t wrong[] = {
		DEVICE << 11,
		0x80010000u | DEVICE << 11,
		0x80000000u | 9 << 11,
		0x80000000u | DEVICE << 11 | 1 << 8,
	};

	(void)state;
	for (unsigned i = 0; i < sizeof(wrong) / sizeof(*wrong); i++) {
		address(wrong[i]);
		assert_int_equal(pci_host_port_read(&bus, PCI_HOST_DATA_PORT, 4), 0xFFFFFFFF);
		assert_int_equal(pci_host_port_read(&bus, PCI_HOST_DATA_PORT, 2), 0xFFFF);
		pci_host_port_write(&bus, PCI_HOST_DATA_PORT, 4, 0);
	}
	address(0x80000000u | DEVICE << 11);
	assert_int_equal(pci_host_port_read(&bus, PCI_HOST_DATA_PORT + 2, 4), 0xFFFFFFFF);
}

static void pci_host_owns_port__address_port_narrow__left_to_others(void **state)
{
	(void)state;
	assert_true(pci_host_owns_port(0xCF8, 4));
	assert_false(pci_host_owns_port(0xCF8, 1));
	assert_false(pci_host_owns_port(0xCF9, 1));
	assert_false(pci_host_owns_port(0xCFB, 1));
	assert_true(pci_host_owns_port(0xCFC, 1));
	assert_true(pci_host_owns_port(0xCFF, 1));
	assert_false(pci_host_owns_port(0xD00, 1));
	assert_true(pci_host_owns_port(0xC000, 1));
	assert_false(pci_host_owns_port(0xBFFF, 1));
}

static void pci_host_mmio__every_register_of_every_function__one_answer(void **state)
{
	(void)state;
	assert_int_equal(pci_host_mmio_read(&bus, PLATFORM_ECAM_BASE + 0x0A, 2), 0x0600);
	for (uint64_t at = 0; at < PLATFORM_ECAM_BYTES; at += 4) {
		uint64_t function_at = at / 0x1000;
		uint32_t value = (uint32_t)pci_host_mmio_read(&bus, PLATFORM_ECAM_BASE + at, 4);
		if ((function_at != 0 && function_at != DEVICE * 8) || at % 0x1000 >= 256)
			assert_int_equal(value, 0xFFFFFFFF);
	}
	assert_int_equal(pci_host_mmio_read(&bus, ECAM(0), 8), 0x0010000056781234ull);
	assert_int_equal(pci_host_mmio_read(&bus, PLATFORM_ECAM_BASE + PLATFORM_ECAM_BYTES - 4, 8), ~0ull);
}

static void pci_config_write__read_only_registers__keep_their_value(void **state)
{
	uint32_t before[16];

	(void)state;
	for (unsigned i = 0; i < 16; i++)
		before[i] = ecam_read(4 * i, 4);
	for (unsigned i = 0; i < 16; i++) {
		ecam_write(4 * i, 4, ~before[i]);
		ecam_write(4 * i, 4, before[i]);
		assert_int_equal(ecam_read(4 * i, 4), before[i]);
	}
	ecam_write(0, 4, 0);
	ecam_write(PCI_CLASS_CODE, 1, 0xFF);
	ecam_write(PCI_STATUS, 2, 0xFFFF);
	ecam_write(PCI_CAPABILITIES, 1, 0);
	assert_int_equal(ecam_read(0, 4), 0x56781234);
	assert_int_equal(ecam_read(8, 4), 0x07800007);
	assert_int_equal(ecam_read(PCI_STATUS, 2), PCI_STATUS_CAPABILITIES);
	assert_int_equal(ecam_read(PCI_CAPABILITIES, 1), 0x40);
	ecam_write(PCI_COMMAND, 2, 0xFFFF);
	assert_int_equal(ecam_read(PCI_COMMAND, 2), 0x0407);
}

static void pci_config_write__bar_of_all_ones__reads_its_size(void **state)
{
	(void)state;
	assert_int_equal(ecam_read(PCI_BAR0, 4), PLATFORM_PCI_IO_BASE | PCI_BAR_IO);
	assert_int_equal(ecam_read(PCI_BAR0 + 4, 4), PLATFORM_PCI_MMIO_BASE);
	ecam_write(PCI_BAR0, 4, 0xFFFFFFFF);
	ecam_write(PCI_BAR0 + 4, 4, 0xFFFFFFFF);
	ecam_write(PCI_BAR0 + 8, 4, 0xFFFFFFFF);
	assert_int_equal(ecam_read(PCI_BAR0, 4), ~(IO_BYTES - 1) | PCI_BAR_IO);
	assert_int_equal(ecam_read(PCI_BAR0 + 4, 4), ~(MEM_BYTES - 1));
	assert_int_equal(ecam_read(PCI_BAR0 + 8, 4), 0);
}

static void pci_host__bars__answer_only_when_the_command_register_says_so(void **state)
{
	(void)state;
	assert_int_equal(pci_host_port_read(&bus, PLATFORM_PCI_IO_BASE + 4, 4), 0xFFFFFFFF);
	assert_int_equal(pci_host_mmio_read(&bus, PLATFORM_PCI_MMIO_BASE, 4), 0xFFFFFFFF);
	ecam_write(PCI_COMMAND, 2, PCI_COMMAND_IO);
	assert_int_equal(pci_host_port_read(&bus, PLATFORM_PCI_IO_BASE + 4, 4), 0x01020308);
	assert_int_equal(seen.bar, 0);
	assert_int_equal(pci_host_mmio_read(&bus, PLATFORM_PCI_MMIO_BASE, 4), 0xFFFFFFFF);
	ecam_write(PCI_COMMAND, 2, PCI_COMMAND_MEMORY);
	assert_int_equal(pci_host_port_read(&bus, PLATFORM_PCI_IO_BASE + 4, 2), 0xFFFF);
	pci_host_mmio_write(&bus, PLATFORM_PCI_MMIO_BASE + 8, 8, 0x1122334455667788ull);
	assert_int_equal(seen.writes, 2);
	assert_int_equal(seen.offset, 12);
	assert_int_equal(seen.size, 4);
	assert_int_equal(seen.value, 0x11223344);
}

static void pci_host__bar_moved__answers_there_and_not_beyond_its_end(void **state)
{
	(void)state;
	ecam_write(PCI_COMMAND, 2, PCI_COMMAND_IO | PCI_COMMAND_MEMORY);
	ecam_write(PCI_BAR0, 4, 0xE000);
	assert_int_equal(pci_host_port_read(&bus, PLATFORM_PCI_IO_BASE, 1), 0xFF);
	assert_int_equal(pci_host_port_read(&bus, 0xE000, 4), 0x01020304);
	assert_int_equal(pci_host_port_read(&bus, 0xE000 + IO_BYTES - 2, 4), 0xFFFFFFFF);
	assert_int_equal(pci_host_port_read(&bus, 0xE000 + IO_BYTES, 1), 0xFF);
	/* At the last address that there is, an access that would wrap is nobody's. */
	ecam_write(PCI_BAR0 + 4, 4, 0xFFFFFFFF);
	assert_int_equal(pci_host_mmio_read(&bus, 0xFFFFFFFE, 4), 0xFFFFFFFF);
	ecam_write(PCI_BAR0, 4, 0xFFFFFFFF);
	assert_int_equal(pci_host_port_read(&bus, 0xFFFF, 4), 0xFFFFFFFF);
}

static void pci_host_plug__place_taken_or_windows_full__refused(void **state)
{
	static struct pci_function other;
	static const struct pci_identity identity = { .vendor = 1 };

	(void)state;
	pci_function_init(&other, &identity, &ops);
	assert_false(pci_host_plug(&bus, DEVICE, &other));
	assert_false(pci_host_plug(&bus, 0, &other));
	assert_false(pci_host_plug(&bus, PCI_HOST_DEVICES, &other));
	pci_function_add_bar(&other, 0, false, 0x10000000);
	assert_false(pci_host_plug(&bus, 4, &other));
	pci_function_init(&other, &identity, &ops);
	pci_function_add_bar(&other, 5, true, 0x4000);
	assert_false(pci_host_plug(&bus, 4, &other));
	pci_function_init(&other, &identity, &ops);
	pci_function_add_bar(&other, 5, false, 0x8000);
	assert_true(pci_host_plug(&bus, 4, &other));
	assert_int_equal(pci_config_get(&other, PCI_BAR0 + 20, 4), PLATFORM_PCI_MMIO_BASE + 0x8000);
}

static void pci_host_reset__guest_has_set_everything__power_on_state(void **state)
{
	(void)state;
	ecam_write(PCI_COMMAND, 2, 7);
	ecam_write(PCI_BAR0, 4, 0xE000);
	address(0x80000000);
	pci_host_reset(&bus);
	assert_int_equal(seen.resets, 1);
	assert_int_equal(ecam_read(PCI_COMMAND, 2), 0);
	assert_int_equal(ecam_read(PCI_BAR0, 4), PLATFORM_PCI_IO_BASE | PCI_BAR_IO);
	assert_int_equal(pci_host_port_read(&bus, PCI_HOST_ADDRESS_PORT, 4), 0);
	assert_int_equal(pci_host_port_read(&bus, 0xE000, 1), 0xFF);
}

static void pci_function_add_capability__two__linked_in_order(void **state)
{
	unsigned first = ecam_read(PCI_CAPABILITIES, 1), second = ecam_read(first + 1, 1);

	(void)state;
	assert_int_equal(ecam_read(first, 1), PCI_CAPABILITY_VENDOR);
	assert_int_equal(second, first + 12);
	assert_int_equal(ecam_read(second, 1), PCI_CAPABILITY_MSIX);
	assert_int_equal(ecam_read(second + 1, 1), 0);
	assert_int_equal(ecam_read(second + 2, 2), VECTORS - 1);
	assert_int_equal(ecam_read(second + 4, 4), MSIX_TABLE | 1);
}

/* ---- MSI-X ---- */

static void entry_write(unsigned vector, unsigned word, uint32_t value)
{
	pci_host_mmio_write(&bus, PLATFORM_PCI_MMIO_BASE + MSIX_TABLE + 16 * vector + 4 * word, 4, value);
}

static uint32_t pending_bits(void)
{
	return (uint32_t)pci_host_mmio_read(&bus, PLATFORM_PCI_MMIO_BASE + MSIX_TABLE + PCI_MSIX_PBA_OFFSET, 4);
}

static void msix_start(uint16_t control)
{
	ecam_write(PCI_COMMAND, 2, PCI_COMMAND_MEMORY | PCI_COMMAND_BUS_MASTER);
	ecam_write(msix.capability + PCI_MSIX_CONTROL, 2, control);
	for (unsigned i = 0; i < VECTORS; i++) {
		entry_write(i, PCI_MSIX_ADDRESS, 0xFEE01000u + 0x1000 * i);
		entry_write(i, PCI_MSIX_DATA, 0x4040 + i);
		entry_write(i, PCI_MSIX_VECTOR, 0);
	}
}

static void pci_msix_notify__enabled__sends_the_entry(void **state)
{
	(void)state;
	msix_start(PCI_MSIX_ENABLE);
	pci_msix_notify(&msix, 1);
	assert_int_equal(fake.msi_count, 1);
	assert_int_equal(fake.msi[0].address, 0xFEE02000);
	assert_int_equal(fake.msi[0].data, 0x4041);
	pci_msix_notify(&msix, VECTORS);
	pci_msix_notify(&msix, 0xFFFF);
	assert_int_equal(fake.msi_count, 1);
}

static void pci_msix_notify__disabled__nothing_is_sent_or_remembered(void **state)
{
	(void)state;
	msix_start(0);
	pci_msix_notify(&msix, 0);
	ecam_write(msix.capability + PCI_MSIX_CONTROL, 2, PCI_MSIX_ENABLE);
	assert_int_equal(fake.msi_count, 0);
}

static void pci_msix_notify__entry_masked__sent_once_when_unmasked(void **state)
{
	(void)state;
	msix_start(PCI_MSIX_ENABLE);
	entry_write(2, PCI_MSIX_VECTOR, 0xFFFFFFFF);
	pci_msix_notify(&msix, 2);
	pci_msix_notify(&msix, 2);
	assert_int_equal(fake.msi_count, 0);
	assert_int_equal(pending_bits(), 4);
	entry_write(2, PCI_MSIX_VECTOR, 0);
	assert_int_equal(fake.msi_count, 1);
	assert_int_equal(pending_bits(), 0);
}

static void pci_msix_notify__function_masked_or_no_master__sent_afterwards(void **state)
{
	(void)state;
	msix_start(PCI_MSIX_ENABLE | PCI_MSIX_FUNCTION_MASK);
	pci_msix_notify(&msix, 0);
	assert_int_equal(fake.msi_count, 0);
	ecam_write(msix.capability + PCI_MSIX_CONTROL, 2, PCI_MSIX_ENABLE);
	assert_int_equal(fake.msi_count, 1);
	ecam_write(PCI_COMMAND, 2, PCI_COMMAND_MEMORY);
	pci_msix_notify(&msix, 0);
	assert_int_equal(fake.msi_count, 1);
	ecam_write(PCI_COMMAND, 2, PCI_COMMAND_MEMORY | PCI_COMMAND_BUS_MASTER);
	assert_int_equal(fake.msi_count, 2);
}

static void pci_msix_notify__address_that_is_no_interrupt__nothing_is_written(void **state)
{
	(void)state;
	msix_start(PCI_MSIX_ENABLE);
	entry_write(0, PCI_MSIX_ADDRESS, 0x1000);
	pci_msix_notify(&msix, 0);
	entry_write(0, PCI_MSIX_ADDRESS, 0xFED00000);
	pci_msix_notify(&msix, 0);
	entry_write(0, PCI_MSIX_ADDRESS, 0xFEE00000);
	entry_write(0, PCI_MSIX_ADDRESS_HI, 1);
	pci_msix_notify(&msix, 0);
	assert_int_equal(fake.msi_count, 0);
}

static void pci_msix_write__wrong_width_or_place__ignored(void **state)
{
	(void)state;
	msix_start(PCI_MSIX_ENABLE);
	pci_msix_write(&msix, 0, 2, 0xAAAA);
	pci_msix_write(&msix, 2, 4, 0xAAAAAAAA);
	pci_msix_write(&msix, VECTORS * 16, 4, 0xAAAAAAAA);
	pci_msix_write(&msix, PCI_MSIX_PBA_OFFSET, 4, 0xFF);
	assert_int_equal(pci_msix_read(&msix, 0, 4), 0xFEE01000);
	assert_int_equal(pci_msix_read(&msix, 0, 1), 0);
	assert_int_equal(pci_msix_read(&msix, VECTORS * 16, 4), 0);
	assert_int_equal(pending_bits(), 0);
	assert_int_equal(fake.msi_count, 0);
}

#define CASE(name) cmocka_unit_test_setup(name, set_up)

int main(void)
{
	const struct CMUnitTest tests[] = {
		CASE(pci_host_port__mechanism_1__reaches_registers_of_every_width),
		CASE(pci_host_port__disabled_other_bus_or_no_device__all_ones),
		CASE(pci_host_owns_port__address_port_narrow__left_to_others),
		CASE(pci_host_mmio__every_register_of_every_function__one_answer),
		CASE(pci_config_write__read_only_registers__keep_their_value),
		CASE(pci_config_write__bar_of_all_ones__reads_its_size),
		CASE(pci_host__bars__answer_only_when_the_command_register_says_so),
		CASE(pci_host__bar_moved__answers_there_and_not_beyond_its_end),
		CASE(pci_host_plug__place_taken_or_windows_full__refused),
		CASE(pci_host_reset__guest_has_set_everything__power_on_state),
		CASE(pci_function_add_capability__two__linked_in_order),
		CASE(pci_msix_notify__enabled__sends_the_entry),
		CASE(pci_msix_notify__disabled__nothing_is_sent_or_remembered),
		CASE(pci_msix_notify__entry_masked__sent_once_when_unmasked),
		CASE(pci_msix_notify__function_masked_or_no_master__sent_afterwards),
		CASE(pci_msix_notify__address_that_is_no_interrupt__nothing_is_written),
		CASE(pci_msix_write__wrong_width_or_place__ignored),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
