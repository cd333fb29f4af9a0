/*
 * The table of the scanner for identical pages: when two pages are worth sharing, and tenants apart.
 *
 * UNIT_SOURCES: drivers-vm/control/share_table.c
 */
#include "cmocka_all.h"

#include <stdlib.h>
#include <string.h>

#include "drivers-vm/control/share_table.h"

#define BUCKETS 64u

static struct share_entry entry[BUCKETS * SHARE_TABLE_WAYS];
static struct share_table table;

static int setup(void **state)
{
	(void)state;
	memset(entry, 0, sizeof(entry));
	table = (struct share_table){ .entry = entry, .buckets = BUCKETS };
	return 0;
}

static struct share_place place(uint32_t slot, uint32_t page)
{
	return (struct share_place){ .slot = slot, .page = page };
}

static void share_table_meet__twice_the_same__the_second_pass_shares(void **state)
{
	struct share_place other;

	(void)state;
	assert_false(share_table_meet(&table, 77, 1, place(0, 5), &other));
	assert_false(share_table_meet(&table, 77, 1, place(1, 9), &other)); /* it may change at once */
	share_table_next_pass(&table);
	assert_true(share_table_meet(&table, 77, 1, place(0, 5), &other));
	assert_int_equal(other.slot, 1);
	assert_int_equal(other.page, 9);
	share_table_shared(&table, 77, 1, place(0, 5), other);
	assert_true(share_table_meet(&table, 77, 1, place(2, 1), &other)); /* others join at once */
	assert_int_equal(other.slot, 1);
}

static void share_table_meet__other_tenant_or_digest__nothing(void **state)
{
	struct share_place other;

	(void)state;
	for (unsigned pass = 0; pass < 4; pass++) {
		assert_false(share_table_meet(&table, 77, 1, place(0, 5), &other));
		assert_false(share_table_meet(&table, 77, 2, place(1, 9), &other));
		assert_false(share_table_meet(&table, 78, 1, place(2, 9), &other));
		share_table_next_pass(&table);
	}
}

static void share_table_meet__contents_that_change__never_shared(void **state)
{
	struct share_place other;

	(void)state;
	for (unsigned pass = 0; pass < 50; pass++) {
		assert_false(share_table_meet(&table, 1000 + pass, 1, place(0, 5), &other));
		assert_false(share_table_meet(&table, 1000 + pass, 1, place(1, 5), &other));
		share_table_next_pass(&table);
	}
}

static void share_table_differed__another_page__it_is_forgotten(void **state)
{
	struct share_place other;

	(void)state;
	share_table_meet(&table, 77, 1, place(1, 9), &other);
	share_table_meet(&table, 77, 1, place(0, 5), &other);
	share_table_next_pass(&table);
	assert_true(share_table_meet(&table, 77, 1, place(0, 5), &other));
	share_table_differed(&table, 77, 1, other);
	assert_false(share_table_meet(&table, 77, 1, place(0, 5), &other));
}

static void share_table_forget__a_slot__its_pages_are_gone(void **state)
{
	struct share_place other;

	(void)state;
	share_table_meet(&table, 77, 1, place(1, 9), &other);
	share_table_meet(&table, 77, 1, place(0, 5), &other);
	share_table_next_pass(&table);
	share_table_forget(&table, 1);
	assert_false(share_table_meet(&table, 77, 1, place(0, 5), &other));
}

/* Far more pages than it has room for: what it proposes is always what it was told, and a common page is found all the same. */
static void share_table_meet__far_too_many_pages__only_true_pairs_and_the_common_ones(void **state)
{
	static uint64_t digest[4][1000];
	struct share_place other;
	unsigned shared = 0;

	(void)state;
	srandom(11);
	for (unsigned s = 0; s < 4; s++)
		for (unsigned p = 0; p < 1000; p++)
			digest[s][p] = p < 100 ? 5 : 1000000 * s + p;
	for (unsigned pass = 0; pass < 4; pass++) {
		for (unsigned s = 0; s < 4; s++)
			for (unsigned p = 0; p < 1000; p++) {
				if (digest[s][p] == 0 || !share_table_meet(&table, digest[s][p], 1, place(s, p), &other))
					continue;
				assert_int_equal(digest[other.slot][other.page], digest[s][p]);
				assert_true(other.slot != s || other.page != p);
				share_table_shared(&table, digest[s][p], 1, place(s, p), other);
				digest[s][p] = 0; /* shared: it is not met any more */
				shared++;
			}
		share_table_next_pass(&table);
	}
	assert_true(shared >= 350);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(share_table_meet__twice_the_same__the_second_pass_shares, setup),
		cmocka_unit_test_setup(share_table_meet__other_tenant_or_digest__nothing, setup),
		cmocka_unit_test_setup(share_table_meet__contents_that_change__never_shared, setup),
		cmocka_unit_test_setup(share_table_differed__another_page__it_is_forgotten, setup),
		cmocka_unit_test_setup(share_table_forget__a_slot__its_pages_are_gone, setup),
		cmocka_unit_test_setup(share_table_meet__far_too_many_pages__only_true_pairs_and_the_common_ones, setup),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
