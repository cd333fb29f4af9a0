/*
 * A control VM takes over: what the kernel lists has an owner or goes, and records in which a program has died are not believed.
 *
 * UNIT_SOURCES: drivers-vm/control/recover_objects.c drivers-vm/control/images_recover.c drivers-vm/control/modules.c
 * UNIT_SOURCES: drivers-vm/control/survivor.c drivers-vm/control/events.c
 * UNIT_FLAGS: -iquote tests/unit/fake_control
 */
#include "cmocka_all.h"

#include <stdlib.h>
#include <string.h>

#include "drivers-vm/control/control.h"
#include "drivers-vm/control/places.h"
#include "drivers-vm/control/recover.h"
#include "drivers-vm/control/recover_private.h"
#include "drivers-vm/control/survivor.h"

#define HANDLES 64u

/* ---- A kernel that knows handles and mappings ------------------------------------------------------------------------------------------ */

uint64_t fake_places = 0x5040000000ull;
static struct hilum_boot_info boot;
static struct object {
	hilum_handle_t handle; /* 0: free */
	uint16_t type;
	uint64_t bytes;
} table[HANDLES]; /* by index */
static unsigned destroyed, closed, mappings;

const struct hilum_boot_info *recover_boot_info(void)
{
	return &boot;
}

void service_log(const char *format, ...)
{
	(void)format;
}

bool service_map_memory(uint64_t gpa, uint64_t bytes)
{
	assert_true(gpa >= PLACES_UPLOADS && gpa + bytes >= gpa);
	return true;
}

void module_free(struct module *module)
{
	memset(module, 0, sizeof(*module));
}

static int64_t info(uint64_t index)
{
	while (index < HANDLES && table[index].handle == 0)
		index++;
	if (index >= HANDLES)
		return HILUM_E_NOT_FOUND;
	return (int64_t)table[index].type << 32 | table[index].handle;
}

static struct object *named(uint64_t handle)
{
	struct object *o = &table[handle & 0xFFFF];

	return (handle & 0xFFFF) < HANDLES && handle != 0 && o->handle == handle ? o : NULL;
}

int64_t fake_call(uint64_t number, uint64_t a, uint64_t b, uint64_t c, uint64_t d, uint64_t e, uint64_t f)
{
	(void)d, (void)f;
	switch (number) {
	case HC_OBJECT_INFO:
		return info(b);
	case HC_MEMORY_STATUS:
		assert_non_null(named(a));
		((struct hilum_memory_status *)b)->bytes = named(a)->bytes;
		return 0;
	case HC_VM_DESTROY:
		assert_non_null(named(a));
		assert_int_equal(closed, 0); /* while handles to its parts are there */
		memset(named(a), 0, sizeof(table[0]));
		destroyed++;
		return 0;
	case HC_HANDLE_CLOSE:
		if (named(a) == NULL)
			return HILUM_E_BAD_HANDLE;
		memset(named(a), 0, sizeof(table[0]));
		closed++;
		return 0;
	case HC_MEMORY_MAP:
		assert_true(named(b) != NULL && named(b)->type == HILUM_OBJECT_MEMORY);
		assert_true(c >= PLACES_UPLOADS && c + e <= PLACES_UPLOADS_LIMIT);
		mappings++;
		return 0;
	case HC_MEMORY_UNMAP:
		mappings--;
		return 0;
	default:
		fail_msg("call %#lx", number);
		return 0;
	}
}

static hilum_handle_t add(unsigned index, unsigned generation, uint16_t type, uint64_t bytes)
{
	table[index] = (struct object){ .handle = index | generation << 16, .type = type, .bytes = bytes };
	return table[index].handle;
}

static int set_up(void **state)
{
	(void)state;
	memset(table, 0, sizeof(table));
	destroyed = closed = mappings = 0;
	boot = (struct hilum_boot_info){ .restarts = 1, .module_count = 1, .module[0] = { .memory = 4, .bytes = 5000 } };
	add(HILUM_HANDLE_SELF, 0, HILUM_OBJECT_VM, 0);
	add(HILUM_HANDLE_HOST, 0, HILUM_OBJECT_HOST, 0);
	add(HILUM_HANDLE_LOG, 0, HILUM_OBJECT_MEMORY, 69632);
	add(4, 0, HILUM_OBJECT_MEMORY, 8192);
	return 0;
}

/* ---- Handles -------------------------------------------------------------------------------------------------------------------------- */

static void claim__stale_or_of_another_type__is_refused(void **state)
{
	hilum_handle_t memory = add(7, 3, HILUM_OBJECT_MEMORY, 4096);
	unsigned claimed;

	(void)state;
	objects_list();
	assert_true(recover_has(memory, HILUM_OBJECT_MEMORY));
	assert_false(recover_claim(memory, HILUM_OBJECT_VM));
	assert_false(recover_claim(memory + 0x10000, HILUM_OBJECT_MEMORY));
	assert_false(recover_claim(memory & 0xFFFF, HILUM_OBJECT_MEMORY));
	assert_false(recover_claim(0, HILUM_OBJECT_DEAD));
	assert_false(recover_claim(9, HILUM_OBJECT_MEMORY));
	assert_false(recover_claim(UINT32_MAX, HILUM_OBJECT_MEMORY));
	assert_int_equal(objects_end_unclaimed(&claimed), 1); /* none of these was a claim */
	assert_int_equal(claimed, 4);
}

static void end_unclaimed__some_claimed__only_the_others_go(void **state)
{
	hilum_handle_t vm = add(10, 1, HILUM_OBJECT_VM, 0), orphan = add(11, 2, HILUM_OBJECT_VM, 0);
	hilum_handle_t vcpu = add(12, 0, HILUM_OBJECT_VCPU, 0), memory = add(13, 0, HILUM_OBJECT_MEMORY, 1 << 20);
	unsigned claimed;

	(void)state;
	add(14, 0, HILUM_OBJECT_VCPU, 0);
	add(15, 0, HILUM_OBJECT_DEAD, 0);
	add(16, 9, HILUM_OBJECT_EVENT, 0);
	objects_list();
	assert_int_equal(objects_find_memory(1 << 20), memory);
	assert_true(recover_claim(vm, HILUM_OBJECT_VM) && recover_claim(vcpu, HILUM_OBJECT_VCPU) &&
	            recover_claim(memory, HILUM_OBJECT_MEMORY));
	assert_int_equal(objects_find_memory(1 << 20), 0); /* it is somebody's */
	assert_int_equal(objects_end_unclaimed(&claimed), 4);
	assert_int_equal(claimed, 7); /* with its own four */
	assert_int_equal(destroyed, 1);
	assert_int_equal(closed, 3);
	assert_null(named(orphan));
	assert_true(named(vm) != NULL && named(vcpu) != NULL && named(memory) != NULL);
	for (unsigned i = 1; i <= 4; i++)
		assert_int_equal(table[i].handle, i);
	add(17, 0, HILUM_OBJECT_EVENT, 0); /* made later: not in the list */
	assert_int_equal(objects_end_unclaimed(&claimed), 0);
	assert_int_equal(closed, 3);
}

/* ---- Images ---------------------------------------------------------------------------------------------------------------------------- */

static struct module good(void)
{
	struct module m = { .name = "mine",
		            .data = (const uint8_t *)PLACES_UPLOADS,
		            .bytes = 3 << 20,
		            .parts = 2,
		            .part_bytes = 2 << 20,
		            .filled = 3 << 20,
		            .uploaded = true,
		            .complete = true,
		            .holders = 7 };

	m.memory[0] = add(20, 1, HILUM_OBJECT_MEMORY, 2 << 20);
	m.memory[1] = add(21, 1, HILUM_OBJECT_MEMORY, 1 << 20);
	return m;
}

static bool fill_page(void *page)
{
	(void)page;
	return true;
}

static void recover_images(const struct module *m)
{
	struct module kept[MODULES_UPLOADED_MAX] = { { .bytes = 0 } };
	uint8_t *memory = calloc(1, survivor_bytes());
	unsigned claimed;

	assert_non_null(memory);
	assert_true(survivor_make(memory, fill_page));
	kept[2] = *m;
	survivor_put(SURVIVOR_IMAGES, 0, kept, sizeof(kept));
	objects_list();
	images_recover();
	objects_end_unclaimed(&claimed);
	free(memory);
}

static void images_recover__all_there__mapped_and_unused(void **state)
{
	const struct module m = good();

	(void)state;
	recover_images(&m);
	const struct module *found = module_find("mine");
	assert_non_null(found);
	assert_int_equal(found->holders, 0);
	assert_int_equal(mappings, 2);
	assert_non_null(named(m.memory[1]));
	memset(modules_uploaded(), 0, sizeof(*modules_uploaded()) * MODULES_UPLOADED_MAX);
}

static void images_recover__not_complete_or_a_part_gone__is_given_back(void **state)
{
	(void)state;
	struct module m = good();
	m.complete = false;
	recover_images(&m);
	assert_null(module_at(HILUM_BOOT_MODULES_MAX + 2));
	assert_null(named(m.memory[0]));
	set_up(NULL);
	m = good();
	memset(&table[21], 0, sizeof(table[21]));
	recover_images(&m);
	assert_null(module_at(HILUM_BOOT_MODULES_MAX + 2));
	assert_int_equal(mappings, 0);
}

/* Any bytes: what is mapped is memory, and where uploads are (fake_call looks). */
static void images_recover__random_damage__nothing_is_mapped_elsewhere(void **state)
{
	unsigned there = 0;

	(void)state;
	srand(1);
	for (unsigned i = 0; i < 2000; i++) {
		set_up(NULL);
		struct module m = good();
		for (unsigned n = 1 + (unsigned)rand() % 3; n != 0; n--)
			((uint8_t *)&m)[sizeof(m.name) + (unsigned)rand() % (sizeof(m) - sizeof(m.name))] = (uint8_t)rand();
		recover_images(&m);
		there += module_at(HILUM_BOOT_MODULES_MAX + 2) != NULL;
		memset(modules_uploaded(), 0, sizeof(*modules_uploaded()) * MODULES_UPLOADED_MAX);
	}
	assert_in_range(there, 1, 1999);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup(name, set_up)
	const struct CMUnitTest tests[] = {
		TEST(claim__stale_or_of_another_type__is_refused),
		TEST(end_unclaimed__some_claimed__only_the_others_go),
		TEST(images_recover__all_there__mapped_and_unused),
		TEST(images_recover__not_complete_or_a_part_gone__is_given_back),
		TEST(images_recover__random_damage__nothing_is_mapped_elsewhere),
	};

	return cmocka_run_group_tests_name("recover", tests, NULL, NULL);
}
