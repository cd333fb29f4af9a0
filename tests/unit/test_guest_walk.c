/* guest_walk on a small fake memory: every paging mode, every right, reserved bits, A/D bits, and tables that
 * change. */
/* UNIT_SOURCES: drivers-vm/lib/guest_walk.c */
#include "drivers-vm/lib/guest_walk.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <cmocka.h>

#define P   (1ull << 0)
#define RW  (1ull << 1)
#define US  (1ull << 2)
#define A   (1ull << 5)
#define D   (1ull << 6)
#define PS  (1ull << 7)
#define NX  (1ull << 63)
#define ALL (P | RW | US)

#define TOP_TABLE 0x1000ull
#define TABLE_2   0x2000ull
#define TABLE_3   0x3000ull
#define TABLE_4   0x4000ull
#define TABLE_5   0x5000ull

struct memory {
	uint8_t bytes[0x8000];
	unsigned writes;
	unsigned fail_exchanges; /* this many compare-and-exchanges fail, as if the guest had been there */
};

static struct memory memory;

static bool memory_read(void *opaque, uint64_t gpa, unsigned bytes, uint64_t *value)
{
	struct memory *m = opaque;

	assert_true(bytes == 4 || bytes == 8);
	assert_true(gpa % bytes == 0);
	if (gpa > sizeof(m->bytes) - bytes)
		return false;
	*value = 0;
	memcpy(value, m->bytes + gpa, bytes);
	return true;
}

static bool memory_compare_exchange(void *opaque, uint64_t gpa, unsigned bytes, uint64_t expected, uint64_t desired)
{
	struct memory *m = opaque;
	uint64_t now;

	assert_true(memory_read(opaque, gpa, bytes, &now));
	if (m->fail_exchanges > 0) {
		m->fail_exchanges--;
		return false;
	}
	if (now != expected)
		return false;
	memcpy(m->bytes + gpa, &desired, bytes);
	m->writes++;
	return true;
}

static const struct guest_walk_memory callbacks = { &memory, memory_read, memory_compare_exchange };

static void put_8(uint64_t gpa, uint64_t value)
{
	memcpy(memory.bytes + gpa, &value, 8);
}

static void put_4(uint64_t gpa, uint32_t value)
{
	memcpy(memory.bytes + gpa, &value, 4);
}

static uint64_t get_8(uint64_t gpa)
{
	uint64_t value;

	memcpy(&value, memory.bytes + gpa, 8);
	return value;
}

static uint32_t get_4(uint64_t gpa)
{
	return (uint32_t)get_8(gpa);
}

static struct guest_paging long_mode(void)
{
	return (struct guest_paging){ .cr0 = CR0_PE | CR0_PG | CR0_WP,
		                      .cr3 = TOP_TABLE,
		                      .cr4 = CR4_PAE,
		                      .efer = EFER_LMA | EFER_NXE,
		                      .physical_bits = 40,
		                      .has_1g_pages = true };
}

static struct guest_paging legacy_mode(uint64_t cr4)
{
	return (struct guest_paging){
		.cr0 = CR0_PE | CR0_PG | CR0_WP, .cr3 = TOP_TABLE, .cr4 = cr4, .efer = EFER_NXE, .physical_bits = 40
	};
}

/* Four levels for `gva` ending at 4 KiB page `leaf`. */
static void build_4_level(uint64_t gva, uint64_t leaf)
{
	memset(&memory, 0, sizeof(memory));
	put_8(TOP_TABLE + (gva >> 39 & 511) * 8, TABLE_2 | ALL);
	put_8(TABLE_2 + (gva >> 30 & 511) * 8, TABLE_3 | ALL);
	put_8(TABLE_3 + (gva >> 21 & 511) * 8, TABLE_4 | ALL);
	put_8(TABLE_4 + (gva >> 12 & 511) * 8, leaf);
}

#define GVA 0xFFFF812345678ABCull /* indices 258, 141, 43, 120 */

static enum guest_walk_result walk(const struct guest_paging *paging, uint64_t gva, unsigned access, struct guest_walk_output *out)
{
	memset(out, 0x5A, sizeof(*out));
	return guest_walk(paging, &callbacks, gva, access, out);
}

static void guest_walk__paging_off__is_identity(void **state)
{
	struct guest_paging paging = { .cr0 = CR0_PE, .physical_bits = 36 };
	struct guest_walk_output out;

	(void)state;
	assert_int_equal(walk(&paging, 0x1FFFFF123ull, GUEST_ACCESS_WRITE, &out), GUEST_WALK_OK);
	assert_int_equal(out.gpa, 0xFFFFF123ull);
	assert_int_equal(out.page_bytes, 4096);
}

static void guest_walk__four_levels__finds_page_and_sets_accessed(void **state)
{
	struct guest_paging paging = long_mode();
	struct guest_walk_output out;

	(void)state;
	build_4_level(GVA, 0x1234567000ull | ALL);
	assert_int_equal(walk(&paging, GVA, 0, &out), GUEST_WALK_OK);
	assert_true(out.gpa == 0x1234567ABCull);
	assert_int_equal(out.page_bytes, 4096);
	assert_int_equal(memory.writes, 4);
	assert_true(get_8(TOP_TABLE + 258 * 8) == (TABLE_2 | ALL | A));
	assert_true(get_8(TABLE_4 + 120 * 8) == (0x1234567000ull | ALL | A));
	assert_int_equal(walk(&paging, GVA, GUEST_ACCESS_WRITE, &out), GUEST_WALK_OK);
	assert_int_equal(memory.writes, 5);
	assert_true(get_8(TABLE_4 + 120 * 8) == (0x1234567000ull | ALL | A | D));
	assert_int_equal(walk(&paging, GVA, GUEST_ACCESS_WRITE, &out), GUEST_WALK_OK);
	assert_int_equal(memory.writes, 5);
}

static void guest_walk__large_pages__give_offset_and_size(void **state)
{
	struct guest_paging paging = long_mode();
	struct guest_walk_output out;

	(void)state;
	build_4_level(GVA, 0);
	put_8(TABLE_3 + 43 * 8, 0x55AAE00000ull | ALL | PS);
	assert_int_equal(walk(&paging, GVA, GUEST_ACCESS_WRITE, &out), GUEST_WALK_OK);
	assert_true(out.gpa == 0x55AAE00000ull + (GVA & 0x1FFFFF));
	assert_int_equal(out.page_bytes, 0x200000);
	assert_true(get_8(TABLE_3 + 43 * 8) == (0x55AAE00000ull | ALL | PS | A | D));
	put_8(TABLE_2 + 141 * 8, 0x7FC0000000ull | ALL | PS);
	assert_int_equal(walk(&paging, GVA, 0, &out), GUEST_WALK_OK);
	assert_true(out.gpa == 0x7FC0000000ull + (GVA & 0x3FFFFFFF));
	assert_int_equal(out.page_bytes, 0x40000000);
	paging.has_1g_pages = false;
	assert_int_equal(walk(&paging, GVA, 0, &out), GUEST_WALK_FAULT);
	assert_int_equal(out.error_code, PAGE_FAULT_PRESENT | PAGE_FAULT_RESERVED);
}

static void guest_walk__five_levels__uses_the_fifth(void **state)
{
	struct guest_paging paging = long_mode();
	struct guest_walk_output out;
	uint64_t gva = 0x00AB812345678ABCull;

	(void)state;
	paging.cr4 |= CR4_LA57;
	build_4_level(gva, 0x9000 | ALL);
	memmove(memory.bytes + TABLE_5, memory.bytes + TOP_TABLE, 0x1000);
	memset(memory.bytes + TOP_TABLE, 0, 0x1000);
	put_8(TOP_TABLE + (gva >> 48 & 511) * 8, TABLE_5 | ALL);
	assert_int_equal(walk(&paging, gva, 0, &out), GUEST_WALK_OK);
	assert_true(out.gpa == 0x9ABC);
	assert_int_equal(memory.writes, 5);
}

static void guest_walk__pae__top_entries_are_neither_checked_for_rights_nor_marked(void **state)
{
	struct guest_paging paging = legacy_mode(CR4_PAE);
	struct guest_walk_output out;

	(void)state;
	memset(&memory, 0, sizeof(memory));
	paging.cr3 = TOP_TABLE + 0x20; /* 32-byte aligned only */
	put_8(TOP_TABLE + 0x20 + 3 * 8, TABLE_2 | P);
	put_8(TABLE_2 + 5 * 8, TABLE_3 | ALL);
	put_8(TABLE_3 + 7 * 8, 0x8899AA000ull | ALL);
	assert_int_equal(walk(&paging, 0xC0A07123, GUEST_ACCESS_WRITE | GUEST_ACCESS_USER, &out), GUEST_WALK_OK);
	assert_true(out.gpa == 0x8899AA123ull);
	assert_true(get_8(TOP_TABLE + 0x20 + 3 * 8) == (TABLE_2 | P));
	put_8(TABLE_2 + 5 * 8, 0x123400000ull | ALL | PS);
	assert_int_equal(walk(&paging, 0xC0A07123, 0, &out), GUEST_WALK_OK);
	assert_true(out.gpa == 0x123407123ull);
	assert_int_equal(out.page_bytes, 0x200000);
	put_8(TOP_TABLE + 0x20 + 3 * 8, TABLE_2 | P | RW);
	assert_int_equal(walk(&paging, 0xC0A07123, 0, &out), GUEST_WALK_FAULT);
	assert_int_equal(out.error_code, PAGE_FAULT_PRESENT | PAGE_FAULT_RESERVED);
}

static void guest_walk__two_levels__four_byte_entries_and_4m_pages(void **state)
{
	struct guest_paging paging = legacy_mode(0);
	struct guest_walk_output out;

	(void)state;
	memset(&memory, 0, sizeof(memory));
	put_4(TOP_TABLE + 0x3FF * 4, TABLE_2 | ALL | PS); /* PS without CR4.PSE: ignored */
	put_4(TABLE_2 + 0x155 * 4, 0xFEE00000u | ALL);
	assert_int_equal(walk(&paging, 0xFFD55ABC, GUEST_ACCESS_WRITE, &out), GUEST_WALK_OK);
	assert_true(out.gpa == 0xFEE00ABC);
	assert_int_equal(get_4(TABLE_2 + 0x155 * 4), 0xFEE00000u | ALL | A | D);
	assert_int_equal(get_4(TOP_TABLE + 0x3FF * 4), TABLE_2 | ALL | PS | A);
	paging.cr4 = CR4_PSE;
	put_4(TOP_TABLE + 0x3FF * 4, 0xC0000000u | 0x12u << 13 | ALL | PS);
	assert_int_equal(walk(&paging, 0xFFD55ABC, 0, &out), GUEST_WALK_OK);
	assert_true(out.gpa == 0x12C0155ABCull);
	assert_int_equal(out.page_bytes, 0x400000);
	paging.physical_bits = 36;
	assert_int_equal(walk(&paging, 0xFFD55ABC, 0, &out), GUEST_WALK_FAULT);
	assert_int_equal(out.error_code, PAGE_FAULT_PRESENT | PAGE_FAULT_RESERVED);
}

/* SDM vol. 3A, 4.6.1, told as a list of reasons to refuse. */
static bool refused(bool user_page, bool writable, bool no_execute, unsigned access, const struct guest_paging *paging)
{
	bool user = access & GUEST_ACCESS_USER, write = access & GUEST_ACCESS_WRITE, fetch = access & GUEST_ACCESS_FETCH;

	if (fetch && no_execute)
		return true;
	if (user && !user_page)
		return true;
	if (user && write && !writable)
		return true;
	if (!user && write && !writable && (paging->cr0 & CR0_WP))
		return true;
	if (!user && fetch && user_page && (paging->cr4 & CR4_SMEP))
		return true;
	if (!user && !fetch && user_page && (paging->cr4 & CR4_SMAP))
		return (access & GUEST_ACCESS_IMPLICIT) || !(paging->rflags & RFLAGS_AC);
	return false;
}

static void guest_walk__every_combination_of_rights__is_as_the_manual_says(void **state)
{
	(void)state;
	for (unsigned bits = 0; bits < 1u << 13; bits++) {
		struct guest_paging paging = long_mode();
		struct guest_walk_output out;
		bool leaf_user = bits & 1, upper_user = bits & 2, leaf_writable = bits & 4, upper_writable = bits & 8;
		bool upper_nx = bits & 16, leaf_nx = bits & 32;
		unsigned access = bits >> 6 & 7;
		bool want_refused;

		if ((access & GUEST_ACCESS_FETCH) && (access & GUEST_ACCESS_WRITE))
			continue;
		if (!(access & GUEST_ACCESS_USER) && (bits & 1u << 9))
			access |= GUEST_ACCESS_IMPLICIT;
		if (bits & 1u << 10)
			paging.cr0 &= ~CR0_WP;
		if (bits & 1u << 11)
			paging.cr4 |= CR4_SMEP | CR4_SMAP;
		if (bits & 1u << 12)
			paging.rflags |= RFLAGS_AC;
		build_4_level(GVA, 0x9000 | P | (leaf_user ? US : 0) | (leaf_writable ? RW : 0) | (leaf_nx ? NX : 0));
		put_8(TABLE_3 + 43 * 8, TABLE_4 | P | (upper_user ? US : 0) | (upper_writable ? RW : 0) | (upper_nx ? NX : 0));
		want_refused = refused(leaf_user && upper_user, leaf_writable && upper_writable, leaf_nx || upper_nx, access, &paging);
		assert_int_equal(walk(&paging, GVA, access, &out), want_refused ? GUEST_WALK_FAULT : GUEST_WALK_OK);
		if (!want_refused)
			continue;
		assert_int_equal(out.error_code, PAGE_FAULT_PRESENT | (access & GUEST_ACCESS_WRITE ? PAGE_FAULT_WRITE : 0) |
		                                         (access & GUEST_ACCESS_USER ? PAGE_FAULT_USER : 0) |
		                                         (access & GUEST_ACCESS_FETCH ? PAGE_FAULT_FETCH : 0));
		assert_int_equal(memory.writes, 0);
	}
}

static void guest_walk__entry_not_present__faults_at_every_level_without_marks(void **state)
{
	static const uint64_t tables[] = { TOP_TABLE + 258 * 8, TABLE_2 + 141 * 8, TABLE_3 + 43 * 8, TABLE_4 + 120 * 8 };
	struct guest_paging paging = long_mode();
	struct guest_walk_output out;

	(void)state;
	for (unsigned i = 0; i < 4; i++) {
		build_4_level(GVA, 0x9000 | ALL);
		put_8(tables[i], get_8(tables[i]) & ~P);
		assert_int_equal(walk(&paging, GVA, GUEST_ACCESS_WRITE | GUEST_ACCESS_USER, &out), GUEST_WALK_FAULT);
		assert_int_equal(out.error_code, PAGE_FAULT_WRITE | PAGE_FAULT_USER);
		assert_int_equal(memory.writes, 0);
	}
}

static void guest_walk__reserved_bit__faults_with_reserved_code(void **state)
{
	struct guest_paging paging = long_mode();
	struct guest_walk_output out;

	(void)state;
	for (unsigned bit = 40; bit < 52; bit++) { /* above MAXPHYADDR, in a table and in the leaf */
		build_4_level(GVA, 0x9000 | ALL | 1ull << bit);
		assert_int_equal(walk(&paging, GVA, 0, &out), GUEST_WALK_FAULT);
		assert_int_equal(out.error_code, PAGE_FAULT_PRESENT | PAGE_FAULT_RESERVED);
		build_4_level(GVA, 0x9000 | ALL);
		put_8(TABLE_2 + 141 * 8, TABLE_3 | ALL | 1ull << bit);
		assert_int_equal(walk(&paging, GVA, 0, &out), GUEST_WALK_FAULT);
	}
	for (unsigned bit = 13; bit < 21; bit++) { /* below a 2 MiB page's address */
		build_4_level(GVA, 0);
		put_8(TABLE_3 + 43 * 8, ALL | PS | 1ull << bit);
		assert_int_equal(walk(&paging, GVA, 0, &out), GUEST_WALK_FAULT);
		assert_int_equal(out.error_code, PAGE_FAULT_PRESENT | PAGE_FAULT_RESERVED);
	}
	build_4_level(GVA, 0x9000 | ALL | NX);
	assert_int_equal(walk(&paging, GVA, 0, &out), GUEST_WALK_OK);
	paging.efer &= ~EFER_NXE;
	assert_int_equal(walk(&paging, GVA, 0, &out), GUEST_WALK_FAULT);
	assert_int_equal(out.error_code, PAGE_FAULT_PRESENT | PAGE_FAULT_RESERVED);
	paging = long_mode();
	build_4_level(GVA, 0x9000 | ALL);
	put_8(TOP_TABLE + 258 * 8, TABLE_2 | ALL | PS);
	assert_int_equal(walk(&paging, GVA, 0, &out), GUEST_WALK_FAULT);
}

static void guest_walk__ignored_bits__do_not_fault(void **state)
{
	struct guest_paging paging = long_mode();
	struct guest_walk_output out;

	(void)state;
	build_4_level(GVA, 0x9000 | ALL | 0x7FFull << 52 | 7ull << 9 | 1ull << 8 | 1ull << 7 | 3ull << 3);
	paging.cr3 |= 0x8000000000000FFFull; /* PCID and the no-flush bit are no address */
	assert_int_equal(walk(&paging, GVA, 0, &out), GUEST_WALK_OK);
	assert_true(out.gpa == 0x9ABC);
}

static void guest_walk__fetch_without_nx_and_smep__hides_the_fetch_bit(void **state)
{
	struct guest_paging paging = long_mode();
	struct guest_walk_output out;

	(void)state;
	build_4_level(GVA, 0);
	paging.efer &= ~EFER_NXE;
	assert_int_equal(walk(&paging, GVA, GUEST_ACCESS_FETCH, &out), GUEST_WALK_FAULT);
	assert_int_equal(out.error_code, 0);
	paging.cr4 |= CR4_SMEP;
	assert_int_equal(walk(&paging, GVA, GUEST_ACCESS_FETCH, &out), GUEST_WALK_FAULT);
	assert_int_equal(out.error_code, PAGE_FAULT_FETCH);
}

static void guest_walk__entry_changes_under_the_walk__starts_again_a_bounded_number_of_times(void **state)
{
	struct guest_paging paging = long_mode();
	struct guest_walk_output out;

	(void)state;
	build_4_level(GVA, 0x9000 | ALL);
	memory.fail_exchanges = 3;
	assert_int_equal(walk(&paging, GVA, 0, &out), GUEST_WALK_OK);
	assert_int_equal(memory.fail_exchanges, 0);
	build_4_level(GVA, 0x9000 | ALL);
	memory.fail_exchanges = 1000;
	assert_int_equal(walk(&paging, GVA, 0, &out), GUEST_WALK_RETRY);
	assert_true(memory.fail_exchanges > 900);
}

static void guest_walk__table_outside_ram__says_so(void **state)
{
	struct guest_paging paging = long_mode();
	struct guest_walk_output out;

	(void)state;
	build_4_level(GVA, 0x9000 | ALL);
	put_8(TABLE_2 + 141 * 8, 0xFEE00000ull | ALL);
	assert_int_equal(walk(&paging, GVA, 0, &out), GUEST_WALK_NO_RAM);
	paging.cr3 = 0xFFFFFFF000ull;
	assert_int_equal(walk(&paging, GVA, 0, &out), GUEST_WALK_NO_RAM);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(guest_walk__paging_off__is_identity),
		cmocka_unit_test(guest_walk__four_levels__finds_page_and_sets_accessed),
		cmocka_unit_test(guest_walk__large_pages__give_offset_and_size),
		cmocka_unit_test(guest_walk__five_levels__uses_the_fifth),
		cmocka_unit_test(guest_walk__pae__top_entries_are_neither_checked_for_rights_nor_marked),
		cmocka_unit_test(guest_walk__two_levels__four_byte_entries_and_4m_pages),
		cmocka_unit_test(guest_walk__every_combination_of_rights__is_as_the_manual_says),
		cmocka_unit_test(guest_walk__entry_not_present__faults_at_every_level_without_marks),
		cmocka_unit_test(guest_walk__reserved_bit__faults_with_reserved_code),
		cmocka_unit_test(guest_walk__ignored_bits__do_not_fault),
		cmocka_unit_test(guest_walk__fetch_without_nx_and_smep__hides_the_fetch_bit),
		cmocka_unit_test(guest_walk__entry_changes_under_the_walk__starts_again_a_bounded_number_of_times),
		cmocka_unit_test(guest_walk__table_outside_ram__says_so),
	};

	return cmocka_run_group_tests_name("guest_walk", tests, NULL, NULL);
}
