/*
 * The I/O APIC against the 82093AA datasheet and the MSI format of the SDM.
 * UNIT_SOURCES: drivers-vm/driver/ioapic.c
 * UNIT_FLAGS: -Itests/unit/fake_model
 */
#include "model_fake.h"
#include "drivers-vm/driver/ioapic.h"

static struct fake_model fake;
static struct ioapic ioapic;

static int setup(void **state)
{
	(void)state;
	fake_model_init(&fake);
	ioapic_init(&ioapic, &fake.host, 4);
	return 0;
}

static uint32_t rd(uint8_t reg)
{
	ioapic_write(&ioapic, IOAPIC_IOREGSEL, 4, reg);
	return ioapic_read(&ioapic, IOAPIC_IOWIN, 4);
}

static void wr(uint8_t reg, uint32_t value)
{
	ioapic_write(&ioapic, IOAPIC_IOREGSEL, 4, reg);
	ioapic_write(&ioapic, IOAPIC_IOWIN, 4, value);
}

static void rte(unsigned pin, uint64_t value)
{
	wr(IOAPIC_REDTBL + 2 * pin + 1, value >> 32);
	wr(IOAPIC_REDTBL + 2 * pin, (uint32_t)value);
}

static void ioapic_read__identification__is_right(void **state)
{
	(void)state;
	assert_int_equal(rd(IOAPIC_VER), 0x00170020);
	assert_int_equal(rd(IOAPIC_ID), 0x04000000);
	wr(IOAPIC_ID, 0xFFFFFFFF);
	assert_int_equal(rd(IOAPIC_ID), 0x0F000000);
	assert_int_equal(rd(0x05), 0);
	assert_int_equal(rd(0xFF), 0);
	wr(0xFF, 0xFFFFFFFF);
}

static void ioapic_write__rte__keeps_read_only_bits(void **state)
{
	(void)state;
	rte(5, ~0ull);
	assert_int_equal(rd(IOAPIC_REDTBL + 10), 0x0001AFFF);
	assert_int_equal(rd(IOAPIC_REDTBL + 11), 0xFF000000);
}

static void ioapic_set_line__edge__delivers_once_per_edge(void **state)
{
	(void)state;
	rte(4, 0x0200000000000031ull);
	ioapic_set_line(&ioapic, 4, true);
	ioapic_set_line(&ioapic, 4, true);
	assert_int_equal(fake.msi_count, 1);
	assert_int_equal(fake.msi[0].address, 0xFEE02000);
	assert_int_equal(fake.msi[0].data, 0x4031);
	ioapic_set_line(&ioapic, 4, false);
	ioapic_set_line(&ioapic, 4, true);
	assert_int_equal(fake.msi_count, 2);
}

static void ioapic_set_line__edge_while_masked__is_lost(void **state)
{
	(void)state;
	rte(4, IOAPIC_RTE_MASK | 0x31);
	ioapic_set_line(&ioapic, 4, true);
	rte(4, 0x31);
	assert_int_equal(fake.msi_count, 0);
}

static void ioapic_set_line__logical_lowest__sets_dm_and_rh(void **state)
{
	(void)state;
	rte(9, 0x0300000000000000ull | IOAPIC_RTE_DESTMOD | 1 << IOAPIC_RTE_DELMOD_SHIFT | 0x40);
	ioapic_set_line(&ioapic, 9, true);
	assert_int_equal(fake.msi[0].address, 0xFEE0300C);
	assert_int_equal(fake.msi[0].data, 0x4140);
}

static void ioapic_set_line__level__waits_for_eoi(void **state)
{
	(void)state;
	rte(16, IOAPIC_RTE_TRIGGER_LEVEL | 0x51);
	ioapic_set_line(&ioapic, 16, true);
	assert_int_equal(fake.msi_count, 1);
	assert_int_equal(fake.msi[0].data, 0xC051);
	assert_true(rd(IOAPIC_REDTBL + 32) & IOAPIC_RTE_REMOTE_IRR);
	ioapic_set_line(&ioapic, 16, false);
	ioapic_set_line(&ioapic, 16, true);
	assert_int_equal(fake.msi_count, 1);
	ioapic_end_of_interrupt(&ioapic, 0x52);
	assert_int_equal(fake.msi_count, 1);
	ioapic_end_of_interrupt(&ioapic, 0x51);
	assert_int_equal(fake.msi_count, 2);
	ioapic_set_line(&ioapic, 16, false);
	ioapic_write(&ioapic, IOAPIC_EOIR, 4, 0x51);
	assert_int_equal(fake.msi_count, 2);
	assert_false(rd(IOAPIC_REDTBL + 32) & IOAPIC_RTE_REMOTE_IRR);
}

static void ioapic_write__unmask_asserted_level__delivers(void **state)
{
	(void)state;
	rte(16, IOAPIC_RTE_MASK | IOAPIC_RTE_TRIGGER_LEVEL | 0x51);
	ioapic_set_line(&ioapic, 16, true);
	assert_int_equal(fake.msi_count, 0);
	rte(16, IOAPIC_RTE_TRIGGER_LEVEL | 0x51);
	assert_int_equal(fake.msi_count, 1);
}

/* How software ends an interrupt on parts without an EOI register. */
static void ioapic_write__edge_and_back__clears_remote_irr(void **state)
{
	(void)state;
	rte(16, IOAPIC_RTE_TRIGGER_LEVEL | 0x51);
	ioapic_set_line(&ioapic, 16, true);
	ioapic_set_line(&ioapic, 16, false);
	rte(16, IOAPIC_RTE_MASK | 0x51);
	rte(16, IOAPIC_RTE_TRIGGER_LEVEL | 0x51);
	assert_false(rd(IOAPIC_REDTBL + 32) & IOAPIC_RTE_REMOTE_IRR);
}

static void ioapic_set_line__nmi_with_level_bit__is_an_edge(void **state)
{
	(void)state;
	rte(2, IOAPIC_RTE_TRIGGER_LEVEL | IOAPIC_DELIVER_NMI << IOAPIC_RTE_DELMOD_SHIFT);
	ioapic_set_line(&ioapic, 2, true);
	assert_int_equal(fake.msi[0].data, 0x4400);
	assert_false(rd(IOAPIC_REDTBL + 4) & IOAPIC_RTE_REMOTE_IRR);
}

static void ioapic_set_line__reserved_mode_or_pin__delivers_nothing(void **state)
{
	(void)state;
	rte(2, 3 << IOAPIC_RTE_DELMOD_SHIFT);
	ioapic_set_line(&ioapic, 2, true);
	ioapic_set_line(&ioapic, 24, true);
	ioapic_set_line(&ioapic, 0xFFFFFFFF, true);
	assert_int_equal(fake.msi_count, 0);
}

static void ioapic_write__narrow_or_odd_access__is_harmless(void **state)
{
	unsigned offset, size;

	(void)state;
	for (offset = 0; offset < IOAPIC_BYTES; offset++) {
		for (size = 1; size <= 8; size *= 2) {
			if (offset == IOAPIC_IOREGSEL || size == 4)
				continue;
			ioapic_write(&ioapic, offset, size, 0xFFFFFFFF);
			assert_int_equal(ioapic_read(&ioapic, offset, size), 0);
		}
	}
	assert_int_equal(rd(IOAPIC_ID), 0x04000000);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(ioapic_read__identification__is_right, setup),
		cmocka_unit_test_setup(ioapic_write__rte__keeps_read_only_bits, setup),
		cmocka_unit_test_setup(ioapic_set_line__edge__delivers_once_per_edge, setup),
		cmocka_unit_test_setup(ioapic_set_line__edge_while_masked__is_lost, setup),
		cmocka_unit_test_setup(ioapic_set_line__logical_lowest__sets_dm_and_rh, setup),
		cmocka_unit_test_setup(ioapic_set_line__level__waits_for_eoi, setup),
		cmocka_unit_test_setup(ioapic_write__unmask_asserted_level__delivers, setup),
		cmocka_unit_test_setup(ioapic_write__edge_and_back__clears_remote_irr, setup),
		cmocka_unit_test_setup(ioapic_set_line__nmi_with_level_bit__is_an_edge, setup),
		cmocka_unit_test_setup(ioapic_set_line__reserved_mode_or_pin__delivers_nothing, setup),
		cmocka_unit_test_setup(ioapic_write__narrow_or_odd_access__is_harmless, setup),
	};

	return cmocka_run_group_tests_name("ioapic", tests, NULL, NULL);
}
