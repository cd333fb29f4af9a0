/*
 * Images that come over the network: complete or not at all, within the memory that there is, and none lost while a VM uses it.
 *
 * UNIT_SOURCES: drivers-vm/control/images.c drivers-vm/control/modules.c
 * UNIT_FLAGS: -iquote tests/unit/fake_control
 */
#include "cmocka_all.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "drivers-vm/control/control.h"
#include "drivers-vm/control/guest_memory.h"
#include "drivers-vm/control/manager.h"
#include "drivers-vm/control/places.h"

#define MIB     (1ull << 20)
#define OBJECTS 4096u

uint64_t fake_places;
static uint64_t memory_free, object_bytes[OBJECTS];
static unsigned objects, mappings, users;
static struct manager_error error;

/* ---- A kernel: objects take memory, mappings make addresses usable ------------------------------------------------------------------- */

static int64_t create(uint64_t bytes)
{
	if (bytes > memory_free)
		return HILUM_E_NO_MEMORY;
	for (unsigned i = 1; i < OBJECTS; i++)
		if (object_bytes[i] == 0) {
			object_bytes[i] = bytes;
			memory_free -= bytes;
			objects++;
			return i;
		}
	return HILUM_E_NO_MEMORY;
}

static int64_t map(uint64_t object, uint64_t gpa, uint64_t bytes)
{
	assert_int_equal(object_bytes[object], bytes);
	assert_true(gpa >= fake_places && gpa + bytes <= PLACES_UPLOADS_LIMIT);
	assert_int_equal(mprotect((void *)gpa, bytes, PROT_READ | PROT_WRITE), 0);
	mappings++;
	return 0;
}

static int64_t unmap(uint64_t gpa, uint64_t bytes)
{
	assert_ptr_equal(mmap((void *)gpa, bytes, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED | MAP_NORESERVE, -1, 0), (void *)gpa);
	mappings--;
	return 0;
}

uint64_t guest_memory_spare(void)
{
	return memory_free > (16ull << 20) ? memory_free - (16ull << 20) : 0;
}

int64_t fake_call(uint64_t number, uint64_t a, uint64_t b, uint64_t c, uint64_t d, uint64_t e, uint64_t f)
{
	(void)d;
	(void)f;
	switch (number) {
	case HC_HOST_INFO:
		((struct hilum_host_info *)b)->free_bytes = memory_free;
		return 0;
	case HC_MEMORY_CREATE:
		return create(b);
	case HC_MEMORY_MAP:
		return map(b, c, e);
	case HC_MEMORY_UNMAP:
		return unmap(b, c);
	case HC_HANDLE_CLOSE:
		assert_true(object_bytes[a] != 0);
		memory_free += object_bytes[a];
		object_bytes[a] = 0;
		objects--;
		return 0;
	default:
		return HILUM_E_UNSUPPORTED;
	}
}

bool service_map_memory(uint64_t gpa, uint64_t bytes)
{
	return gpa + bytes <= fake_places + (8ull << 30);
}

void service_log(const char *format, ...)
{
	(void)format;
}

unsigned manager_image_users(const char *name)
{
	(void)name;
	return users;
}

/* ---- Help ----------------------------------------------------------------------------------------------------------------------------- */

static uint8_t pattern(uint64_t at, unsigned seed)
{
	return (uint8_t)(at * 31 + at / 4096 + seed);
}

static enum manager_result append(int upload, uint64_t from, uint64_t bytes, unsigned seed)
{
	uint8_t piece[4096];

	for (uint64_t done = 0; done < bytes;) {
		uint64_t n = bytes - done < sizeof(piece) ? bytes - done : sizeof(piece);
		for (uint64_t i = 0; i < n; i++)
			piece[i] = pattern(from + done + i, seed);
		enum manager_result result = manager_image_append(upload, piece, n);
		if (result != MANAGER_OK)
			return result;
		done += n;
	}
	return MANAGER_OK;
}

static int upload(const char *name, uint64_t bytes, unsigned seed)
{
	int number = manager_image_begin(name, bytes, &error);

	assert_true(number >= 0);
	assert_int_equal(append(number, 0, bytes, seed), MANAGER_OK);
	return number;
}

static void content_is(const struct module *m, uint64_t bytes, unsigned seed)
{
	assert_non_null(m);
	assert_int_equal(m->bytes, bytes);
	for (uint64_t i = 0; i < bytes; i += 509)
		assert_int_equal(m->data[i], pattern(i, seed));
	assert_int_equal(m->data[bytes - 1], pattern(bytes - 1, seed));
}

static int setup(void **state)
{
	(void)state;
	void *at = mmap(NULL, 8ull << 30, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	fake_places = (uint64_t)at;
	memory_free = 256 * MIB;
	users = 0;
	return at == MAP_FAILED;
}

static int teardown(void **state)
{
	struct manager_image image;

	(void)state;
	users = 0;
	while (manager_image_at(0, &image))
		assert_int_equal(manager_image_remove(image.name, &error), MANAGER_OK);
	assert_int_equal(objects, 0);
	assert_int_equal(mappings, 0);
	assert_int_equal(memory_free, 256 * MIB);
	munmap((void *)fake_places, 8ull << 30);
	return 0;
}

/* ---- Cases --------------------------------------------------------------------------------------------------------------------------- */

static void manager_image_end__all_came__is_found(void **state)
{
	uint64_t bytes = 50 * MIB + 12345;
	int number = upload("k", bytes, 1);

	(void)state;
	assert_null(module_find("k"));
	assert_int_equal(manager_image_end(number, true, &error), MANAGER_OK);
	content_is(module_find("k"), bytes, 1);
}

static void manager_image_end__bytes_are_missing__nothing_is_left(void **state)
{
	int number = manager_image_begin("k", 10 * MIB, &error);

	(void)state;
	append(number, 0, 3 * MIB + 1, 1);
	assert_true(objects != 0);
	assert_int_equal(manager_image_end(number, true, &error), MANAGER_INVALID);
	assert_int_equal(objects, 0);
	assert_null(module_find("k"));
	assert_int_equal(manager_image_end(number, true, &error), MANAGER_NOT_FOUND);
}

static void manager_image_append__upload_is_dropped__memory_comes_back(void **state)
{
	int number = manager_image_begin("k", 10 * MIB, &error);

	(void)state;
	assert_int_equal(objects, 0); /* what has not come costs nothing */
	append(number, 0, 5 * MIB, 1);
	assert_int_equal(manager_image_end(number, false, &error), MANAGER_OK);
	assert_int_equal(memory_free, 256 * MIB);
}

static void manager_image_append__more_than_announced__refused(void **state)
{
	int number = upload("k", 5000, 1);

	(void)state;
	assert_int_equal(manager_image_append(number, "x", 1), MANAGER_INVALID);
	assert_int_equal(manager_image_append(number + 1, "x", 1), MANAGER_INVALID);
	assert_int_equal(manager_image_append(-1, "x", 1), MANAGER_INVALID);
	assert_int_equal(manager_image_append(0, "x", 1), MANAGER_INVALID);
	assert_int_equal(manager_image_end(number, true, &error), MANAGER_OK);
	assert_int_equal(manager_image_append(number, "x", 1), MANAGER_INVALID);
}

static void manager_image_begin__larger_than_memory__no_memory(void **state)
{
	(void)state;
	assert_int_equal(manager_image_begin("k", 250 * MIB, &error), -MANAGER_NO_MEMORY);
	assert_int_equal(manager_image_begin("k", UINT64_MAX, &error), -MANAGER_NO_MEMORY);
	assert_int_equal(manager_image_begin("k", 0, &error), -MANAGER_INVALID);
}

static void manager_image_append__memory_goes_meanwhile__no_memory_and_no_harm(void **state)
{
	int number = manager_image_begin("k", 200 * MIB, &error);

	(void)state;
	memory_free -= 180 * MIB;
	assert_int_equal(append(number, 0, 200 * MIB, 1), MANAGER_NO_MEMORY);
	assert_int_equal(manager_image_end(number, false, &error), MANAGER_OK);
	memory_free += 180 * MIB;
}

static void manager_image_end__replaces_one_in_use__the_old_one_lives_until_released(void **state)
{
	(void)state;
	assert_int_equal(manager_image_end(upload("d", 3 * MIB, 1), true, &error), MANAGER_OK);
	struct module *old = module_find("d");
	module_hold(old);
	int number = upload("d", 2 * MIB, 2);
	content_is(module_find("d"), 3 * MIB, 1);
	assert_int_equal(manager_image_end(number, true, &error), MANAGER_OK);
	content_is(module_find("d"), 2 * MIB, 2);
	content_is(old, 3 * MIB, 1);
	module_release(old);
	assert_int_equal(memory_free, 254 * MIB);
}

static void manager_image_remove__in_use__conflict(void **state)
{
	(void)state;
	manager_image_end(upload("k", 10, 1), true, &error);
	users = 1;
	assert_int_equal(manager_image_remove("k", &error), MANAGER_CONFLICT);
	assert_int_equal(manager_image_remove("other", &error), MANAGER_NOT_FOUND);
}

/* Many at once, of all sizes, kept and dropped: they never share an address or a byte. */
static void all_of_it__random_order__contents_stay_apart(void **state)
{
	static uint64_t size[40], filled[40];
	int number[40];
	char name[8];

	(void)state;
	srand(3);
	memset(number, -1, sizeof(number));
	for (unsigned i = 0; i < 3000; i++) {
		unsigned n = (unsigned)rand() % 40;
		snprintf(name, sizeof(name), "i%u", n);
		if (number[n] < 0) {
			size[n] = 1 + (uint64_t)rand() % (4 * MIB);
			filled[n] = 0;
			number[n] = manager_image_begin(name, size[n], &error);
		} else if (rand() % 8 == 0) {
			bool keep = rand() % 2 == 0;
			enum manager_result result = manager_image_end(number[n], keep, &error);
			assert_int_equal(result, keep && filled[n] != size[n] ? MANAGER_INVALID : MANAGER_OK);
			if (keep && result == MANAGER_OK)
				content_is(module_find(name), size[n], n);
			number[n] = -1;
		} else {
			uint64_t more = rand() % 2 == 0 ? size[n] - filled[n] : (size[n] - filled[n]) / 2;
			if (append(number[n], filled[n], more, n) == MANAGER_OK)
				filled[n] += more;
		}
	}
	for (unsigned n = 0; n < 40; n++)
		if (number[n] >= 0)
			manager_image_end(number[n], false, &error);
}

int main(void)
{
#define CASE(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
	const struct CMUnitTest tests[] = {
		CASE(manager_image_end__all_came__is_found),
		CASE(manager_image_end__bytes_are_missing__nothing_is_left),
		CASE(manager_image_append__upload_is_dropped__memory_comes_back),
		CASE(manager_image_append__more_than_announced__refused),
		CASE(manager_image_begin__larger_than_memory__no_memory),
		CASE(manager_image_append__memory_goes_meanwhile__no_memory_and_no_harm),
		CASE(manager_image_end__replaces_one_in_use__the_old_one_lives_until_released),
		CASE(manager_image_remove__in_use__conflict),
		CASE(all_of_it__random_order__contents_stay_apart),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
