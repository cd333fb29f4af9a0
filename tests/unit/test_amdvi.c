/*
 * AMD-Vi against a model that reads the tables as the specification says, caches what it found, and forgets it only by command.
 * Two units: one of PCI segment 0, one of segment 1.
 */
/* clang-format off */
/* UNIT_SOURCES: mm/iommu.c mm/vtd.c mm/amdvi.c mm/mmio.c mm/memory.c mm/memory_frames.c mm/nested_pt.c mm/frame.c mm/pool.c tests/unit/fake_mm/machine.c tests/unit/fake_mm/fail.c */
/* UNIT_FLAGS: -iquote tests/unit/fake_iommu -iquote tests/unit/fake_mm @tests/unit/fake_mm/fail.wrap */
/* clang-format on */
#include "tests/unit/fake_iommu/iommu_failures.h"

static const struct nested_pt_format npt = { .table = 7, .leaf = { 0, 5, 0, 7, 0, 5, 0, 7 } };

/* Device table entries and interrupt entries that a unit has read. */
static struct {
	bool used;
	unsigned unit;
	uint16_t rid;
	uint64_t q[4];
} dtes[16];
static uint32_t cached_irte[256];
static uint16_t cached_irte_rid[256];
static unsigned log_restarts;

static void forget_dte(unsigned unit, uint16_t rid, bool all)
{
	for (unsigned i = 0; i < ARRAY_SIZE(dtes); i++)
		if (dtes[i].unit == unit && (all || dtes[i].rid == rid))
			dtes[i].used = false;
}

static const uint64_t *read_dte(unsigned unit, uint16_t rid)
{
	uint64_t at = (reg(unit, 0) & 0x000FFFFFFFFFF000ull) + 32ull * rid;

	assert_int_equal(reg(unit, 0) & 0x1FF, 0x1FF);
	for (unsigned i = 0; i < ARRAY_SIZE(dtes); i++)
		if (dtes[i].used && dtes[i].unit == unit && dtes[i].rid == rid)
			return dtes[i].q;
	for (unsigned i = 0; i < ARRAY_SIZE(dtes); i++) {
		if (dtes[i].used && i + 1 < ARRAY_SIZE(dtes))
			continue;
		dtes[i].used = true;
		dtes[i].unit = unit;
		dtes[i].rid = rid;
		for (unsigned n = 0; n < 4; n++)
			dtes[i].q[n] = table_word(at + 8 * n);
		return dtes[i].q;
	}
	return NULL;
}

static void run_commands(unsigned unit, uint64_t tail)
{
	uint64_t head = reg(unit, 0x2000), base = reg(unit, 8) & 0x000FFFFFFFFFF000ull;

	assert_int_equal(reg(unit, 8) >> 56, 8);
	assert_true(reg(unit, 0x18) & 1u << 12);
	for (; head != tail; head = (head + 16) % 4096) {
		uint64_t low = phys(base + head), high = phys(base + head + 8);

		switch (low >> 60) {
		case 1:
			assert_int_equal(low & 7, 1);
			iommu_wait_done = high;
			break;
		case 2:
			forget_dte(unit, (uint16_t)low, false);
			break;
		case 3: /* nothing but whole domains, tables included */
			assert_int_equal(high, 0x7FFFFFFFFFFFF003ull);
			cache_forget(unit, false, (uint16_t)(low >> 32));
			break;
		case 5:
			for (unsigned i = 0; i < 256; i++)
				if (cached_irte_rid[i] == (uint16_t)low)
					cached_irte[i] = 0;
			break;
		case 8:
			forget_dte(unit, 0, true);
			cache_forget(unit, true, 0);
			break;
		default:
			fail_msg("command %llx", (unsigned long long)low);
		}
	}
	set_reg(unit, 0x2000, head, 8);
}

uint64_t fake_mmio_read(const volatile void *p, unsigned bytes)
{
	unsigned offset, unit = unit_of(p, &offset);

	return bytes == 4 ? (uint32_t)reg(unit, offset) : reg(unit, offset);
}

void fake_mmio_write(volatile void *p, uint64_t value, unsigned bytes)
{
	unsigned offset, unit = unit_of(p, &offset);

	if (offset == 0x2020) {
		set_reg(unit, offset, reg(unit, offset) & ~value, 4);
		return;
	}
	log_restarts += offset == 0x18 && value & 4 && !(reg(unit, 0x18) & 4);
	set_reg(unit, offset, value, bytes);
	if (offset == 0x2008 && reg(unit, 0x18) & 1) {
		assert_false(iommu_wait_done); /* or the wait would end before the commands */
		run_commands(unit, value);
	}
}

static uint64_t access_at(unsigned unit, uint16_t rid, uint64_t address, bool write)
{
	const uint64_t *dte = read_dte(unit, rid);
	uint64_t *cached = cache_find(unit, rid, address >> 12), entry = dte[0], rights = ~0ull;
	unsigned level = dte[0] >> 9 & 7;

	assert_true(reg(unit, 0x18) & 1);
	if (!(dte[0] & 1))
		return address; /* 2.2.2.2: passed on as it is */
	assert_true(dte[0] & 2 && !(dte[0] & 0x80300000000000FCull));
	if (!(dte[0] & 1ull << (write ? 62 : 61)) || !level)
		return BLOCKED;
	if (!cached) {
		while (level) {
			uint64_t e = table_word((entry & 0x000FFFFFFFFFF000ull) + (address >> 9 * level & 0xFF8));
			unsigned next = e >> 9 & 7;

			if (!(e & 1))
				return BLOCKED;
			assert_true(next < level && (next == 0 || next == level - 1));
			rights &= e;
			entry = e;
			if (!next) {
				uint64_t mask = (1ull << (3 + 9 * level)) - 1;

				assert_int_equal(e & 0x000FFFFFFFFFF000ull & mask, 0);
				entry = (e & 0x000FFFFFFFFFF000ull) | (address & mask & ~0xFFFull) | (rights & 3ull << 61);
			}
			level = next;
		}
		cache_put(unit, rid, (uint16_t)dte[1], address >> 12, entry);
		cached = &entry;
	}
	if (!(*cached & 1ull << (write ? 62 : 61)))
		return BLOCKED;
	return (*cached & 0x000FFFFFFFFFF000ull) | (address & 0xFFF);
}

static uint64_t interrupt(uint16_t rid, uint64_t message)
{
	const uint64_t *dte = read_dte(0, rid);
	unsigned index = message >> 32 & 0x7FF;

	if (!(dte[2] & 1))
		return message; /* not remapped at all */
	assert_int_equal(message & 0xFFF00000, 0xFEE00000);
	if (dte[2] >> 60 != 2 || index >= 1u << (dte[2] >> 1 & 15))
		return BLOCKED;
	if (!cached_irte[index] || cached_irte_rid[index] != rid) {
		cached_irte[index] = *(uint32_t *)(fake_ram + (dte[2] & 0x000FFFFFFFFFFFC0ull) + 4 * index);
		cached_irte_rid[index] = rid;
	}
	uint32_t e = cached_irte[index];

	return e & 1 ? (e >> 8 & 0xFF) << 8 | (e >> 16 & 0xFF) : BLOCKED;
}

/* ---- The machine ---- */

static void boot(void)
{
	static struct acpi_info acpi;

	acpi = (struct acpi_info){ .ivrs = { 1, 48 },
		                   .iommu_count = 2,
		                   .iommus = { { .base = UNIT_BASE, .rid = 2 }, { .base = UNIT_BASE + 0x1000, .segment = 1, .rid = 2 } },
		                   .reserved_count = 1,
		                   .reserved = { { 0xFC000000, 0xFC000FFF, 0xE8, 0xEA } } };
	set_reg(0, 0x30, 1u << 6, 8);
	iommu_init(&acpi, 0);
}

static struct iommu_domain *domain;
static struct memory ram_object, *const ram = &ram_object;

static int make_domain(void **state)
{
	(void)state;
	assert_int_equal(iommu_domain_create(&domain), STATUS_OK);
	assert_int_equal(memory_create(4 * MIB, 0, 1, ram), STATUS_OK);
	return 0;
}

static int end_domain(void **state)
{
	(void)state;
	assert_int_equal(iommu_set_device(RID, NULL, false), STATUS_OK);
	iommu_domain_destroy(domain);
	memory_destroy(ram);
	return 0;
}

static hpa_t host(uint64_t offset)
{
	uint64_t bytes;
	hpa_t hpa;

	assert_int_equal(memory_get(ram, offset, 0, &hpa, &bytes), STATUS_OK);
	return hpa;
}

static void init__every_device__is_blocked_and_may_not_interrupt(void **state)
{
	(void)state;
	for (unsigned u = 0; u < UNITS; u++) {
		for (uint32_t rid = 0; rid < 65536; rid++) {
			forget_dte(u, 0, true);
			bool reserved = !u && rid >= 0xE8 && rid <= 0xEA;
			assert_int_equal(access_at(u, (uint16_t)rid, 0xFC000010, true), reserved ? 0xFC000010 : BLOCKED);
			assert_int_equal(access_at(u, (uint16_t)rid, 0x1000, true), BLOCKED);
			cache_forget(u, true, 0);
		}
	}
	assert_int_equal(interrupt(RID, 0xFEE00000ull | 0x51ull << 32), BLOCKED);
	assert_true(iommu_device_is_reserved(2)); /* the IOMMU itself */
	assert_int_equal(iommu_features, HILUM_HOST_IOMMU | HILUM_HOST_IRQ_REMAPPING);
}

static void set_device__domain__reaches_its_memory_at_its_addresses(void **state)
{
	(void)state;
	assert_int_equal(iommu_map(domain, ram, 0x100000, 0, MIB, RW), STATUS_OK);
	assert_int_equal(iommu_map(domain, ram, 0x40000000, MIB, MIB, HILUM_MAP_READ | HILUM_MAP_EXECUTE), STATUS_OK);
	assert_int_equal(iommu_map(domain, ram, 0x80000000, 0, 4 * MIB, RW), STATUS_OK);
	assert_int_equal(access_at(0, RID, 0x100000, false), BLOCKED);
	assert_int_equal(iommu_set_device(RID, domain, false), STATUS_OK);
	for (uint64_t at = 0; at < MIB; at += 0x11000)
		assert_int_equal(access_at(0, RID, 0x100000 + at, true), host(at));
	assert_int_equal(access_at(0, RID, 0x803FFFFF, true), host(4 * MIB - 1));
	assert_int_equal(access_at(0, RID, 0x40000FFF, false), host(MIB) + 0xFFF);
	assert_int_equal(access_at(0, RID, 0x40000FFF, true), BLOCKED);
	assert_int_equal(access_at(0, RID, 0xFFFFF, false), BLOCKED);
	assert_int_equal(access_at(0, RID, 0x200000, false), BLOCKED);
	assert_int_equal(access_at(0, OTHER_RID, 0x100000, false), BLOCKED);
	assert_int_equal(access_at(1, RID, 0x100000, false), BLOCKED);
}

static void unmap__cached_translation__is_gone(void **state)
{
	(void)state;
	assert_int_equal(iommu_set_device(RID, domain, false), STATUS_OK);
	assert_int_equal(iommu_map(domain, ram, 0x200000, 0, 2 * MIB, RW), STATUS_OK);
	assert_int_equal(access_at(0, RID, 0x234567, true), host(0x34000) + 0x567);
	iommu_unmap(domain, 0x200000, 2 * MIB);
	assert_int_equal(access_at(0, RID, 0x234567, true), BLOCKED);
}

static void set_device__taken_away_and_given_to_another__caches_forget_it(void **state)
{
	struct iommu_domain *second;

	(void)state;
	assert_int_equal(iommu_domain_create(&second), STATUS_OK);
	assert_int_equal(iommu_map(domain, ram, 0, 0, MIB, RW), STATUS_OK);
	assert_int_equal(iommu_map(second, ram, 0, MIB, MIB, RW), STATUS_OK);
	assert_int_equal(iommu_set_device(RID, domain, false), STATUS_OK);
	assert_int_equal(access_at(0, RID, 0x1000, true), host(0x1000));
	assert_int_equal(iommu_set_device(RID, NULL, true), STATUS_OK);
	assert_int_equal(access_at(0, RID, 0x1000, true), BLOCKED);
	assert_int_equal(read_dte(0, RID)[1], 1ull << 34); /* no events */
	assert_true(read_dte(0, RID)[2] & 1u << 5);        /* of interrupts neither */
	assert_int_equal(iommu_set_device(RID, second, false), STATUS_OK);
	assert_int_equal(access_at(0, RID, 0x1000, true), host(MIB + 0x1000));
	assert_int_equal(read_dte(0, RID)[2] & 1u << 5, 0);
	iommu_domain_destroy(second);
}

static void bind_irq__message__comes_to_the_core_from_that_requester_only(void **state)
{
	uint64_t message = 0, other;

	(void)state;
	assert_int_equal(iommu_bind_irq(RID, 0x51, 3, false, &message), STATUS_OK);
	assert_int_equal(interrupt(RID, message), 0x351);
	assert_int_equal(interrupt(OTHER_RID, message), BLOCKED);
	assert_int_equal(interrupt(RID, message + (1ull << 32)), BLOCKED);
	assert_int_equal(interrupt(RID, message | 4ull << 40), BLOCKED); /* as an NMI */
	assert_int_equal(iommu_bind_irq(RID, 0x52, 300, false, &other), STATUS_UNSUPPORTED);
	assert_int_equal(iommu_bind_irq(OTHER_RID, 0x60, 2, false, &other), STATUS_OK);
	assert_int_equal(interrupt(RID, other), BLOCKED);
	assert_int_equal(interrupt(OTHER_RID, other), 0x260);
	assert_int_equal(iommu_bind_irq(RID, 0x51, IOMMU_NO_CORE, false, &other), STATUS_OK);
	assert_int_equal(interrupt(RID, message), BLOCKED);
	assert_int_equal(iommu_set_device(RID, NULL, true), STATUS_OK); /* which leaves interrupts as they are */
	assert_int_equal(read_dte(0, RID)[2] >> 60, 2);
	assert_int_equal(iommu_set_device(RID, NULL, false), STATUS_OK);
}

static void put_event(unsigned at, uint64_t low, uint64_t address)
{
	uint64_t base = reg(0, 0x10) & 0x000FFFFFFFFFF000ull, event[2] = { low, address };

	memcpy(fake_ram + base + 16 * at, event, sizeof(event));
	set_reg(0, 0x2018, 16 * ((at + 1) % 256), 8);
}

static void take_faults__log__is_decoded_and_goes_on_after_an_overflow(void **state)
{
	struct iommu_fault f[3];

	(void)state;
	put_event(0, 2ull << 60 | 1ull << 53 | RID, 0x7F000010);
	put_event(1, 5ull << 60, 0x1234); /* an illegal command: nobody's */
	put_event(2, 2ull << 60 | 1ull << 51 | 9, 0xFEE00000);
	put_event(3, 3ull << 60 | 8, 0);
	put_event(4, 1ull << 60 | 7, 0);
	assert_int_equal(iommu_take_faults(f, 3), 3);
	assert_int_equal(f[0].rid, RID);
	assert_int_equal(f[0].what.address, 0x7F000010);
	assert_true(f[0].what.write && f[0].what.kind == HILUM_FAULT_DMA && f[0].what.reason == 2);
	assert_true(f[1].rid == 9 && f[1].what.kind == HILUM_FAULT_INTERRUPT);
	assert_true(f[2].rid == 8 && f[2].what.kind == HILUM_FAULT_OTHER);
	set_reg(0, 0x2020, 3, 4);
	log_restarts = 0;
	assert_int_equal(iommu_take_faults(f, 3), 1);
	assert_int_equal(f[0].rid, 7);
	assert_int_equal(log_restarts, 1);
	assert_int_equal((uint32_t)reg(0, 0x2020), 0);
	assert_int_equal(iommu_take_faults(f, 3), 0);
}

static void take_faults__indices_that_cannot_be__stay_in_the_log(void **state)
{
	struct iommu_fault f[3];

	(void)state;
	set_reg(0, 0x2010, 0xFFFFFFF0, 8);
	set_reg(0, 0x2018, 0x20, 8);
	(void)iommu_take_faults(f, 3);
	assert_true(reg(0, 0x2010) < 4096);
	set_reg(0, 0x2010, reg(0, 0x2018), 8);
}

static void boot_units(void)
{
	boot();
}

static uint64_t write_of_device(uint64_t address)
{
	return access_at(0, RID, address, true);
}

static void init_and_set_device__each_allocation_fails_once__is_refused_and_works_again(void **state)
{
	(void)state;
	each_allocation_fails(boot_units, write_of_device);
}

int main(void)
{
	const struct CMUnitTest before[] = {
		cmocka_unit_test(init_and_set_device__each_allocation_fails_once__is_refused_and_works_again),
	};
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(init__every_device__is_blocked_and_may_not_interrupt),
		cmocka_unit_test_setup_teardown(set_device__domain__reaches_its_memory_at_its_addresses, make_domain, end_domain),
		cmocka_unit_test_setup_teardown(unmap__cached_translation__is_gone, make_domain, end_domain),
		cmocka_unit_test_setup_teardown(set_device__taken_away_and_given_to_another__caches_forget_it, make_domain, end_domain),
		cmocka_unit_test(bind_irq__message__comes_to_the_core_from_that_requester_only),
		cmocka_unit_test(take_faults__log__is_decoded_and_goes_on_after_an_overflow),
		cmocka_unit_test(take_faults__indices_that_cannot_be__stay_in_the_log),
	};

	fake_machine_boot();
	nested_pt_set_format(&npt, 3);
	int failed = cmocka_run_group_tests_name("AMD-Vi units", before, NULL, NULL);

	boot();
	return failed + cmocka_run_group_tests_name("AMD-Vi", tests, NULL, NULL);
}
