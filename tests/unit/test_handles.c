/*
 * Handle tables: generations, exhaustion, random use against a plain list.
 */
/* clang-format off */
/* UNIT_SOURCES: build/unit/kernel_fake.a */
/* UNIT_FLAGS: @tests/unit/fake_kernel/fake.flags @tests/unit/fake_kernel/fake.wrap */
/* clang-format on */
#include "tests/unit/fake_kernel/fake.h"

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

static struct handle_table table;
static struct object object[8];

static int set_up(void **state)
{
	(void)state;
	fake_boot(1);
	memset(&table, 0, sizeof(table));
	for (unsigned i = 0; i < ARRAY_SIZE(object); i++)
		object[i] = (struct object){ .type = OBJECT_EVENT, .refs = 1 };
	return 0;
}

static int tear_down(void **state)
{
	(void)state;
	handle_table_clear(&table);
	for (unsigned i = 0; i < ARRAY_SIZE(object); i++)
		assert_int_equal(object[i].refs, 1);
	fake_check_clean();
	return 0;
}

static hilum_handle_t insert(unsigned i, uint32_t rights)
{
	hilum_handle_t handle = 0;

	assert_int_equal(handle_insert(&table, &object[i], rights, &handle), STATUS_OK);
	assert_int_not_equal(handle, 0);
	return handle;
}

static void insert__place_used_again__old_handle_is_stale(void **state)
{
	struct object *found;

	(void)state;
	hilum_handle_t old = insert(0, HILUM_RIGHT_ALL);
	for (unsigned i = 0; i < 1000; i++) {
		assert_int_equal(handle_close(&table, old), STATUS_OK);
		assert_int_equal(handle_close(&table, old), STATUS_BAD_HANDLE);
		hilum_handle_t fresh = insert(1, HILUM_RIGHT_READ);
		assert_int_equal(fresh & 0xFFFF, old & 0xFFFF);
		assert_int_equal(handle_resolve(&table, old, OBJECT_NONE, 0, &found), STATUS_BAD_HANDLE);
		assert_int_equal(handle_rights(&table, old), 0);
		assert_int_equal(handle_resolve(&table, fresh, OBJECT_EVENT, HILUM_RIGHT_READ, &found), STATUS_OK);
		assert_ptr_equal(found, &object[1]);
		old = fresh;
	}
}

static void insert__table_full__no_memory_until_one_is_closed(void **state)
{
	hilum_handle_t handle = 0, last = 0;

	(void)state;
	for (unsigned i = 1; i < HANDLES_MAX; i++)
		last = insert(0, HILUM_RIGHT_READ);
	assert_int_equal(last, HANDLES_MAX - 1);
	assert_int_equal(handle_insert(&table, &object[1], 1, &handle), STATUS_NO_MEMORY);
	assert_int_equal(handle_reserve(&table), STATUS_NO_MEMORY);
	assert_int_equal(object[1].refs, 1);
	assert_int_equal(handle_close(&table, 777), STATUS_OK);
	assert_int_equal(handle_reserve(&table), STATUS_OK);
	assert_int_equal(insert(1, 1), 777 | 1u << 16);
}

/* What lies behind the table looks like an entry that grants everything. */
static void resolve__index_behind_the_table__is_bad(void **state)
{
	struct handle_entry *entry = pool_alloc_pages(HANDLE_TABLE_ORDER + 1);
	struct object *found;

	(void)state;
	for (unsigned i = 0; i < 2 * HANDLES_MAX; i++)
		entry[i] = (struct handle_entry){ .object = &object[0], .rights = HILUM_RIGHT_ALL };
	table.entry = entry;
	assert_int_equal(handle_resolve(&table, HANDLES_MAX - 1, OBJECT_EVENT, HILUM_RIGHT_ALL, &found), STATUS_OK);
	assert_int_equal(handle_resolve(&table, HANDLES_MAX, OBJECT_EVENT, 0, &found), STATUS_BAD_HANDLE);
	assert_int_equal(handle_resolve(&table, 1ull << 32 | 1, OBJECT_EVENT, 0, &found), STATUS_BAD_HANDLE);
	assert_int_equal(handle_rights(&table, HANDLES_MAX), 0);
	assert_int_equal(handle_close(&table, HANDLES_MAX), STATUS_BAD_HANDLE);
	table.entry = NULL;
	pool_free_pages(entry, HANDLE_TABLE_ORDER + 1);
}

/* A look-up takes no reference: what it found stays until every core has left its handler. */
static void close__last_handle__goes_when_every_core_has_passed(void **state)
{
	uint64_t epochs[3];
	unsigned kicks[3];

	(void)state;
	fake_check_clean();
	fake_boot(3);
	hilum_handle_t vm = make_vm(0);
	make_vcpu(vm, 0, 0, NULL);
	hilum_handle_t event = CALL_HANDLE(HC_EVENT_CREATE, vm, 0, 1, 0);
	for (unsigned i = 0; i < 3; i++) {
		epochs[i] = cpu_table[i]->epoch;
		kicks[i] = fake_kicks[i];
	}
	CALL_OK(HC_HANDLE_CLOSE, event);
	for (unsigned i = 0; i < 3; i++)
		assert_int_not_equal(cpu_table[i]->epoch, epochs[i]);
	assert_true(fake_kicks[1] > kicks[1] && fake_kicks[2] > kicks[2]); /* one that runs a guest would not pass by itself */
	assert_int_equal(fake_kicks[0], kicks[0]);
}

static void reserve__then_the_pool_is_empty__insert_succeeds(void **state)
{
	(void)state;
	assert_int_equal(handle_reserve(&table), STATUS_OK);
	failing_after = 0;
	(void)insert(0, 1);
	failing_after = FAILING_NONE;
}

static void insert__no_memory__nothing_is_named(void **state)
{
	hilum_handle_t handle;
	struct object *found;

	(void)state;
	failing_after = 0;
	assert_int_equal(handle_insert(&table, &object[0], 1, &handle), STATUS_NO_MEMORY);
	failing_after = FAILING_NONE;
	assert_int_equal(object[0].refs, 1);
	assert_int_equal(handle_resolve(&table, 1, OBJECT_NONE, 0, &found), STATUS_BAD_HANDLE);
	assert_int_equal(insert(0, 1), 1);
}

static void resolve__dead_object__is_a_bad_handle(void **state)
{
	struct object *found;
	hilum_handle_t handle = insert(0, HILUM_RIGHT_ALL);

	(void)state;
	object[0].dead = true;
	assert_int_equal(handle_resolve(&table, handle, OBJECT_EVENT, 0, &found), STATUS_BAD_HANDLE);
	assert_int_equal(handle_close(&table, handle), STATUS_OK);
}

static void random_use__against_a_list__agrees(void **state)
{
	static hilum_handle_t handle[600];
	static unsigned named[600];

	(void)state;
	memset(handle, 0, sizeof(handle));
	for (unsigned n = 0; n < 20000; n++) {
		unsigned i = fake_random() % ARRAY_SIZE(handle);
		struct object *found = NULL;
		if (handle[i] == 0) {
			named[i] = fake_random() % ARRAY_SIZE(object);
			handle[i] = insert(named[i], HILUM_RIGHT_MAP | HILUM_RIGHT_READ);
			continue;
		}
		assert_int_equal(handle_resolve(&table, handle[i], OBJECT_EVENT, HILUM_RIGHT_MAP, &found), STATUS_OK);
		assert_ptr_equal(found, &object[named[i]]);
		assert_int_equal(handle_resolve(&table, handle[i], OBJECT_EVENT, HILUM_RIGHT_WRITE, &found), STATUS_DENIED);
		assert_int_equal(handle_resolve(&table, handle[i], OBJECT_VM, 0, &found), STATUS_BAD_HANDLE);
		if (fake_random() % 3 == 0) {
			assert_int_equal(handle_close(&table, handle[i]), STATUS_OK);
			assert_int_equal(handle_resolve(&table, handle[i], OBJECT_NONE, 0, &found), STATUS_BAD_HANDLE);
			handle[i] = 0;
		}
	}
}

static void resolve__random_numbers__never_more_than_was_inserted(void **state)
{
	struct object *found;
	hilum_handle_t handle = insert(3, HILUM_RIGHT_READ);

	(void)state;
	for (unsigned n = 0; n < 100000; n++) {
		uint64_t guess = fake_random() >> fake_random() % 64;
		if (guess != handle)
			assert_int_equal(handle_resolve(&table, guess, OBJECT_NONE, 0, &found), STATUS_BAD_HANDLE);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(insert__place_used_again__old_handle_is_stale),
		TEST(insert__table_full__no_memory_until_one_is_closed),
		TEST(resolve__index_behind_the_table__is_bad),
		TEST(close__last_handle__goes_when_every_core_has_passed),
		TEST(reserve__then_the_pool_is_empty__insert_succeeds),
		TEST(insert__no_memory__nothing_is_named),
		TEST(resolve__dead_object__is_a_bad_handle),
		TEST(random_use__against_a_list__agrees),
		TEST(resolve__random_numbers__never_more_than_was_inserted),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
