/*
 * VT-d against a model that reads the tables as the specification says, caches what it found, and forgets it only by command.
 * Two units: one of PCI segment 0, one of segment 1.
 */
/* clang-format off */
/* UNIT_SOURCES: mm/iommu.c mm/vtd.c mm/amdvi.c mm/mmio.c mm/memory.c mm/memory_frames.c mm/nested_pt.c mm/frame.c mm/pool.c tests/unit/fake_mm/machine.c tests/unit/fake_mm/fail.c */
/* UNIT_FLAGS: -iquote tests/unit/fake_iommu -iquote tests/unit/fake_mm @tests/unit/fake_mm/fail.wrap */
/* clang-format on */
#include "tests/unit/fake_iommu/iommu_failures.h"

#define CAP  (1ull << 34 | 1ull << 35 | 1ull << 10 | 1ull << 9 | 2ull | 0x20ull << 24 | 3ull << 40) /* 4 records from 0x200 */
#define ECAP 0x1Full

static const struct nested_pt_format npt = { .table = 7, .leaf = { 0, 5, 0, 7, 0, 5, 0, 7 } };
static uint64_t cached_irte[256][2];
static bool irte_cached[256];

/* Context entries that a unit has read. */
static struct {
	bool used;
	unsigned unit;
	uint16_t rid;
	uint64_t low, high;
} contexts[16];

/* ---- The model ---- */

static void run_queue(unsigned unit, uint64_t tail)
{
	uint64_t head = reg(unit, 0x80), base = reg(unit, 0x90) & ~0xFFFull;

	assert_true(reg(unit, 0x1C) & 1u << 26);
	for (; head != tail; head = (head + 16) % 4096) {
		uint64_t low = phys(base + head), high = phys(base + head + 8);

		switch (low & 0xF) {
		case 1: /* context cache: nothing but the global form is used */
			assert_int_equal(low, 0x11);
			for (unsigned i = 0; i < ARRAY_SIZE(contexts); i++)
				contexts[i].used = contexts[i].used && contexts[i].unit != unit;
			break;
		case 2: /* with both drains */
			assert_int_equal(low & 0xC0, 0xC0);
			assert_true((low >> 4 & 3) == 1 || (low >> 4 & 3) == 2);
			cache_forget(unit, (low >> 4 & 3) == 1, (uint16_t)(low >> 16));
			break;
		case 4:
			memset(irte_cached, 0, sizeof(irte_cached));
			break;
		case 5:
			assert_int_equal(low & 0x20, 0x20);
			assert_true(high % 4 == 0);
			iommu_wait_done = low >> 32;
			break;
		default:
			fail_msg("command %llx", (unsigned long long)low);
		}
	}
	set_reg(unit, 0x80, head, 8);
}

uint64_t fake_mmio_read(const volatile void *p, unsigned bytes)
{
	unsigned offset, unit = unit_of(p, &offset);

	return bytes == 4 ? (uint32_t)reg(unit, offset) : reg(unit, offset);
}

void fake_mmio_write(volatile void *p, uint64_t value, unsigned bytes)
{
	unsigned offset, unit = unit_of(p, &offset);
	uint32_t status = (uint32_t)reg(unit, 0x1C);

	if (offset == 0x18) { /* one bit may differ from the status */
		uint32_t steady = status & 0x96FFFFFF, changed = (uint32_t)value ^ steady;

		assert_true((changed & (changed - 1)) == 0);
		set_reg(unit, 0x1C, (status & ~0x96FFFFFFu) | (uint32_t)value, 4);
		if (changed == 1u << 26 && !(value & changed))
			set_reg(unit, 0x80, 0, 8);
	} else if (offset == 0x88) {
		set_reg(unit, offset, value, 8);
		if (status & 1u << 26) {
			assert_false(iommu_wait_done); /* or the wait would end before the commands */
			run_queue(unit, value);
		}
	} else if (offset >= 0x200 && offset < 0x240) { /* write 1 to clear */
		set_reg(unit, offset, (uint32_t)reg(unit, offset) & ~(uint32_t)value, 4);
	} else if (offset != 0x34) {
		set_reg(unit, offset, value, bytes);
	}
}

/* The requester's context entry, which is remembered if it is present; false: it is not. */
static bool context_of(unsigned unit, uint16_t rid, uint64_t *low, uint64_t *high)
{
	unsigned free = ARRAY_SIZE(contexts);

	for (unsigned i = 0; i < ARRAY_SIZE(contexts); i++) {
		if (!contexts[i].used) {
			free = i;
		} else if (contexts[i].unit == unit && contexts[i].rid == rid) {
			*low = contexts[i].low;
			*high = contexts[i].high;
			return true;
		}
	}
	uint64_t root = table_word((reg(unit, 0x20) & ~0xFFFull) + 16u * (rid >> 8));
	uint64_t at = (root & ~0xFFFull) + 16u * (rid & 0xFF);

	if (!(root & 1) || !(table_word(at) & 1))
		return false;
	*low = table_word(at);
	*high = table_word(at + 8);
	assert_true(free < ARRAY_SIZE(contexts));
	contexts[free].used = true;
	contexts[free].unit = unit;
	contexts[free].rid = rid;
	contexts[free].low = *low;
	contexts[free].high = *high;
	return true;
}

/* Where an access of the requester to `address` goes. */
static uint64_t access_at(unsigned unit, uint16_t rid, uint64_t address, bool write)
{
	uint64_t *cached = cache_find(unit, rid, address >> 12), entry = 0;

	assert_true(reg(unit, 0x1C) & 1u << 31);
	if (!cached) {
		uint64_t low, high;

		if (!context_of(unit, rid, &low, &high))
			return BLOCKED;
		unsigned levels = (unsigned)(high & 7) + 2;

		assert_true(levels == iommu_vtd.format.levels);
		if (address >> (12 + 9 * levels))
			return BLOCKED;
		entry = low & ~0xFFFull;
		for (unsigned level = levels; level; level--) {
			entry = table_word((entry & 0x000FFFFFFFFFF000ull) + (address >> 9 * level & 0xFF8));
			if (!(entry & 3))
				return BLOCKED;
			if (level > 1 && entry & 0x80) {
				assert_true(level <= iommu_vtd.format.max_leaf_level);
				entry = (entry & 3) | ((entry & ~0xFFFull) + (address & ((1ull << (3 + 9 * level)) - 1) & ~0xFFFull));
				break;
			}
		}
		cache_put(unit, rid, (uint16_t)(high >> 8), address >> 12, entry);
		cached = &entry;
	}
	if (!(*cached & (write ? 2 : 1)))
		return BLOCKED;
	return (*cached & 0x000FFFFFFFFFF000ull) | (address & 0xFFF);
}

/* Vector and core that a message comes to: core << 8 | vector. */
static uint64_t interrupt(uint16_t rid, uint64_t message)
{
	unsigned index = (unsigned)(message >> 5 & 0x7FFF);
	uint64_t table = reg(0, 0xB8), entry[2];

	assert_int_equal(message & 0xFFF00018, 0xFEE00010);
	assert_int_equal(table & 0xF, 7);
	if (index > 255)
		return BLOCKED;
	if (!irte_cached[index]) {
		cached_irte[index][0] = table_word((table & ~0xFFFull) + 16 * index);
		cached_irte[index][1] = table_word((table & ~0xFFFull) + 16 * index + 8);
		irte_cached[index] = cached_irte[index][0] & 1;
	}
	memcpy(entry, cached_irte[index], sizeof(entry));
	if (!(entry[0] & 1) || (entry[1] >> 18 & 3) != 1 || (entry[1] >> 16 & 3) || (uint16_t)entry[1] != rid)
		return BLOCKED;
	return (table & 1u << 11 ? entry[0] >> 32 : entry[0] >> 40 & 0xFF) << 8 | (entry[0] >> 16 & 0xFF);
}

/* ---- The machine ---- */

static struct acpi_info acpi;

static void boot(uint64_t cap, uint64_t ecap)
{
	memset(model_regs, 0, sizeof(model_regs));
	memset(cache, 0, sizeof(cache));
	memset(irte_cached, 0, sizeof(irte_cached));
	memset(contexts, 0, sizeof(contexts));
	walks_past_caches = !(ecap & 1);
	acpi = (struct acpi_info){ .dmar = { 1, 48 },
		                   .iommu_count = 2,
		                   .iommus = { { .base = UNIT_BASE }, { .base = UNIT_BASE + 0x1000, .segment = 1 } },
		                   .ioapic_count = 2,
		                   .ioapics = { { 0xFEC00000, 0, 5 }, { 0xFEC01000, 24, 6 } },
		                   .ioapic_rid_count = 2,
		                   .ioapic_rids = { { 6, 0xF100 }, { 5, 0xF0F8 } },
		                   .reserved_count = 2,
		                   .reserved = { { 0xFC000000, 0xFC001FFF, 0xE8, 0xE8 }, { 8 * MIB, 8 * MIB + 0xFFF, 0xF0, 0xF0 } } };
	for (unsigned u = 0; u < UNITS; u++) {
		set_reg(u, 0x08, cap, 8);
		set_reg(u, 0x10, ecap, 8);
		set_reg(u, 0x64, 1u << 31, 4);
		set_reg(u, 0x1C, 1u << 31 | 1u << 26, 4); /* firmware has left it on */
	}
	set_reg(1, 0x10, ecap | 1ull << 6, 8);
	log_lines = 0;
	iommu_init(&acpi, 0xFEE00000ull | 0xEAull << 32);
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

static void init__firmware_left_it_on__everything_is_blocked(void **state)
{
	(void)state;
	for (unsigned u = 0; u < UNITS; u++) {
		assert_int_equal(reg(u, 0x1C) & 0x87000000, 0x87000000); /* TES, QIES, IRES, IRTPS */
		assert_int_equal(reg(u, 0x64) & 1u << 31, 0);
		assert_int_equal((uint32_t)reg(u, 0x3C), 0xEA);
		assert_int_equal((uint32_t)reg(u, 0x40), 0xFEE00000);
		assert_int_equal((uint32_t)reg(u, 0x38), 0);
	}
	for (uint32_t rid = 1; rid < 65536; rid += 77)
		assert_int_equal(access_at(0, (uint16_t)rid, 0x1000, false), BLOCKED);
	assert_int_equal(iommu_features, HILUM_HOST_IOMMU | HILUM_HOST_IRQ_REMAPPING);
}

static void init__reserved_memory__stays_open_for_its_device_only(void **state)
{
	(void)state;
	assert_int_equal(access_at(0, 0xE8, 0xFC000123, true), 0xFC000123);
	assert_int_equal(access_at(0, 0xE8, 0xFC002000, false), BLOCKED);
	assert_int_equal(access_at(0, 0xE9, 0xFC000000, false), BLOCKED);
	assert_int_equal(access_at(0, 0xF0, 8 * MIB, false), BLOCKED); /* RAM */
	assert_int_equal(log_lines, 1);
	assert_true(iommu_device_is_reserved(0xE8) && iommu_device_is_reserved(0xF0) && !iommu_device_is_reserved(RID));
	assert_int_equal(iommu_set_device(0xE8, NULL, false), STATUS_DENIED);
}

static void set_device__domain__reaches_its_memory_at_its_addresses(void **state)
{
	(void)state;
	assert_int_equal(iommu_map(domain, ram, 0x100000, 0, MIB, RW), STATUS_OK);
	assert_int_equal(iommu_map(domain, ram, 0x40000000, MIB, MIB, HILUM_MAP_READ), STATUS_OK);
	assert_int_equal(access_at(0, RID, 0x100000, false), BLOCKED);
	assert_int_equal(iommu_set_device(RID, domain, false), STATUS_OK);
	for (uint64_t at = 0; at < MIB; at += 0x11000)
		assert_int_equal(access_at(0, RID, 0x100000 + at, true), host(at));
	assert_int_equal(access_at(0, RID, 0x40000FFF, false), host(MIB) + 0xFFF);
	assert_int_equal(access_at(0, RID, 0x40000FFF, true), BLOCKED);
	assert_int_equal(access_at(0, RID, 0xFFFFF, false), BLOCKED);
	assert_int_equal(access_at(0, RID, 0x200000, false), BLOCKED);
	assert_int_equal(access_at(0, OTHER_RID, 0x100000, false), BLOCKED);
	assert_int_equal(access_at(1, RID, 0x100000, false), BLOCKED); /* the same numbers in another segment */
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

static void set_device__taken_away__caches_forget_it(void **state)
{
	(void)state;
	assert_int_equal(iommu_map(domain, ram, 0, 0, MIB, RW), STATUS_OK);
	assert_int_equal(iommu_set_device(RID, domain, false), STATUS_OK);
	assert_int_equal(access_at(0, RID, 0x1000, true), host(0x1000));
	assert_int_equal(iommu_set_device(RID, NULL, true), STATUS_OK);
	assert_int_equal(access_at(0, RID, 0x1000, true), BLOCKED);
	assert_int_equal(access_at(0, RID, 0x2000, true), BLOCKED); /* no translation of this one was known, but the domain */
	uint64_t root = phys((reg(0, 0x20) & ~0xFFFull) + 16u * (RID >> 8));
	assert_int_equal(phys((root & ~0xFFFull) + 16u * (RID & 0xFF)), 2); /* and its faults are not recorded */
}

static void bind_irq__message__comes_to_the_core_from_that_requester_only(void **state)
{
	uint64_t message = 0, other;

	(void)state;
	assert_int_equal(iommu_bind_irq(RID, 0x51, 3, false, &message), STATUS_OK);
	assert_int_equal(interrupt(RID, message), 0x351);
	assert_int_equal(interrupt(OTHER_RID, message), BLOCKED);
	assert_int_equal(interrupt(RID, message + 32), BLOCKED);
	assert_int_equal(interrupt(RID, message - 32), BLOCKED);
	assert_int_equal(interrupt(RID, message + 256 * 32), BLOCKED);
	assert_int_equal(iommu_bind_irq(RID, 0x51, 300, false, &other), STATUS_UNSUPPORTED);
	assert_int_equal(iommu_bind_irq(OTHER_RID, 0x51, 2, false, &message), STATUS_OK);
	assert_int_equal(interrupt(RID, message), BLOCKED);
	assert_int_equal(interrupt(OTHER_RID, message), 0x251);
	assert_int_equal(iommu_bind_irq(OTHER_RID, 0x51, IOMMU_NO_CORE, false, &message), STATUS_OK);
	assert_int_equal(interrupt(OTHER_RID, message), BLOCKED);
}

static void rid_of_gsi__two_ioapics__each_its_own(void **state)
{
	uint16_t rid;

	(void)state;
	assert_int_equal(iommu_rid_of_gsi(4, &rid), STATUS_OK);
	assert_int_equal(rid, 0xF0F8);
	assert_int_equal(iommu_rid_of_gsi(30, &rid), STATUS_OK);
	assert_int_equal(rid, 0xF100);
	acpi.ioapic_rid_count = 1;
	assert_int_equal(iommu_rid_of_gsi(4, &rid), STATUS_UNSUPPORTED);
	acpi.ioapic_rid_count = 2;
}

static void take_faults__records__are_decoded_and_cleared(void **state)
{
	struct iommu_fault f[3];

	(void)state;
	set_reg(0, 0x200, 0x7F000000, 8);
	set_reg(0, 0x208, 1ull << 63 | 5ull << 32 | RID, 8);            /* a write */
	set_reg(0, 0x218, 1ull << 63 | 1ull << 62 | 6ull << 32 | 9, 8); /* a read */
	set_reg(0, 0x238, 1ull << 63 | 0x26ull << 32 | 8, 8);           /* somebody else's interrupt */
	set_reg(1, 0x228, 1ull << 63 | 2ull << 32 | 7, 8);
	assert_int_equal(iommu_take_faults(f, 3), 3);
	assert_int_equal(f[0].rid, RID);
	assert_int_equal(f[0].what.address, 0x7F000000);
	assert_true(f[0].what.write && f[0].what.reason == 5 && f[0].what.kind == HILUM_FAULT_DMA);
	assert_true(!f[1].what.write && f[1].rid == 9);
	assert_true(f[2].what.kind == HILUM_FAULT_INTERRUPT);
	assert_int_equal(iommu_take_faults(f, 3), 1);
	assert_int_equal(f[0].rid, 7);
	assert_int_equal(iommu_take_faults(f, 3), 0);
}

/* ---- Other units: each boots in a process of its own ---- */

#define in_a_copy(statement) \
	do { \
		pid_t child = fork(); \
		int result = -1; \
		if (!child) { \
			bool good = false; \
			statement; \
			_exit(good ? 0 : 1); \
		} \
		waitpid(child, &result, 0); \
		assert_int_equal(result, 0); \
	} while (0)

static bool boots_with(uint64_t cap, uint64_t ecap)
{
	boot(cap, ecap);
	return iommu_features & HILUM_HOST_IOMMU;
}

static void init__units_without_what_is_needed__are_not_used(void **state)
{
	(void)state;
	in_a_copy(good = !boots_with(CAP, ECAP & ~2ull));          /* no queue */
	in_a_copy(good = !boots_with(CAP | 1ull << 4, ECAP));      /* write buffers */
	in_a_copy(good = !boots_with(CAP & ~(3ull << 9), ECAP));   /* depth */
	in_a_copy(good = !boots_with(UINT64_MAX, UINT64_MAX));     /* nobody there */
	in_a_copy(good = !boots_with(CAP | 0x3FFull << 24, ECAP)); /* records beyond the page */
}

static void init__other_capabilities__are_used_as_they_are(void **state)
{
	(void)state;
	in_a_copy(good = boots_with(CAP & ~(1ull << 10), ECAP) && iommu_vtd.format.levels == 3 &&
	                 iommu_domain_create(&domain) == STATUS_OK && memory_create(MIB, 0, 1, ram) == STATUS_OK &&
	                 iommu_map(domain, ram, 1ull << 39, 0, MIB, RW) == STATUS_INVALID &&
	                 iommu_map(domain, ram, (1ull << 39) - MIB, 0, MIB, RW) == STATUS_OK &&
	                 iommu_set_device(RID, domain, false) == STATUS_OK && access_at(0, RID, (1ull << 39) - 1, true) == host(MIB - 1));
	in_a_copy(good = boots_with(CAP & ~(3ull << 34), ECAP) && iommu_vtd.format.max_leaf_level == 1);
	in_a_copy(good = boots_with(CAP & ~(1ull << 35), ECAP) && iommu_vtd.format.max_leaf_level == 2);
	in_a_copy(good = boots_with(CAP | 1ull << 7, ECAP) && iommu_vtd.flush_on_map);
	in_a_copy(good = boots_with(CAP, ECAP & ~8ull) && iommu_features == HILUM_HOST_IOMMU);
	in_a_copy(uint64_t message; cpu_features.x2apic = true; good = boots_with(CAP, ECAP) &&
	                                                               iommu_bind_irq(RID, 0x51, 300, false, &message) == STATUS_OK &&
	                                                               interrupt(RID, message) == (300u << 8 | 0x51));
}

/* Tables are made, taken down and made again. */
static bool works_past_the_caches(void)
{
	uint64_t message;
	bool good = boots_with(CAP, ECAP & ~1ull) && iommu_domain_create(&domain) == STATUS_OK &&
	            memory_create(4 * MIB, 0, 1, ram) == STATUS_OK && iommu_map(domain, ram, 0x200000, 0, 2 * MIB, RW) == STATUS_OK &&
	            iommu_map(domain, ram, GIB, 2 * MIB + 0x5000, 0x3000, RW) == STATUS_OK &&
	            iommu_set_device(RID, domain, false) == STATUS_OK && access_at(0, RID, 0x234567, true) == host(0x34000) + 0x567 &&
	            access_at(0, RID, GIB + 0x2000, true) == host(2 * MIB + 0x7000) &&
	            iommu_bind_irq(RID, 0x51, 3, false, &message) == STATUS_OK && interrupt(RID, message) == 0x351;

	iommu_unmap(domain, 0x200000, 2 * MIB);
	good = good && access_at(0, RID, 0x203000, true) == BLOCKED && access_at(0, RID, GIB, true) == host(2 * MIB + 0x5000) &&
	       iommu_map(domain, ram, 0x200000, 0x1000, MIB, RW) == STATUS_OK && access_at(0, RID, 0x203000, true) == host(0x4000);
	iommu_unmap(domain, 0x200000, MIB);
	good = good && access_at(0, RID, 0x204000, true) == BLOCKED;
	/* In a line that nothing was stored into since the table was made, and of a bus that has no table. */
	good = good && access_at(0, RID ^ 0x80, GIB, true) == BLOCKED && access_at(0, RID ^ 0x8000, GIB, true) == BLOCKED;
	return good && iommu_set_device(RID, NULL, false) == STATUS_OK && access_at(0, RID, GIB, true) == BLOCKED &&
	       access_at(0, RID, GIB + 0x1000, true) == BLOCKED;
}

static void init__unit_past_the_caches__sees_all_that_is_stored(void **state)
{
	(void)state;
	in_a_copy(good = works_past_the_caches());
}

static void boot_units(void)
{
	boot(CAP, ECAP);
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
		cmocka_unit_test(init__units_without_what_is_needed__are_not_used),
		cmocka_unit_test(init__other_capabilities__are_used_as_they_are),
		cmocka_unit_test(init__unit_past_the_caches__sees_all_that_is_stored),
		cmocka_unit_test(init_and_set_device__each_allocation_fails_once__is_refused_and_works_again),
	};
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(init__firmware_left_it_on__everything_is_blocked),
		cmocka_unit_test(init__reserved_memory__stays_open_for_its_device_only),
		cmocka_unit_test_setup_teardown(set_device__domain__reaches_its_memory_at_its_addresses, make_domain, end_domain),
		cmocka_unit_test_setup_teardown(unmap__cached_translation__is_gone, make_domain, end_domain),
		cmocka_unit_test_setup_teardown(set_device__taken_away__caches_forget_it, make_domain, end_domain),
		cmocka_unit_test(bind_irq__message__comes_to_the_core_from_that_requester_only),
		cmocka_unit_test(rid_of_gsi__two_ioapics__each_its_own),
		cmocka_unit_test(take_faults__records__are_decoded_and_cleared),
	};

	fake_machine_boot();
	nested_pt_set_format(&npt, 3);
	int failed = cmocka_run_group_tests_name("VT-d units", before, NULL, NULL);

	boot(CAP, ECAP);
	return failed + cmocka_run_group_tests_name("VT-d", tests, NULL, NULL);
}
