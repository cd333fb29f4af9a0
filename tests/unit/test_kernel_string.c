/*
 * The kernel's memory functions, under other names beside the C library's.
 * UNIT_SOURCES: arch/x86_64/string.c arch/x86_64/string_copy.c
 * UNIT_FLAGS: -Itests/unit -fno-builtin -Dmemcpy=k_memcpy -Dmemset=k_memset
 * UNIT_FLAGS: -Dstrlen=k_strlen -Dstrncmp=k_strncmp
 */
#include "cmocka_all.h"

#include "arch/x86_64/string.h"

static void memset_and_memcpy__some_bytes__no_more(void **state)
{
	uint8_t a[8] = { 1, 2, 3, 4, 5, 6, 7, 8 }, b[8] = { 0 };

	(void)state;
	assert_ptr_equal(memset(a + 2, 0x1FF, 3), a + 2);
	assert_ptr_equal(memcpy(b, a, 7), b);
	assert_int_equal(b[1], 2);
	assert_int_equal(b[2], 0xFF);
	assert_int_equal(b[4], 0xFF);
	assert_int_equal(b[5], 6);
	assert_int_equal(b[7], 0);
}

static void strncmp__prefixes__as_c(void **state)
{
	(void)state;
	assert_int_equal(strncmp("serial=1", "serial", 6), 0);
	assert_true(strncmp("seri", "serial", 6) < 0);
	assert_int_equal(strncmp("x", "x", 9), 0);
	assert_int_equal(strlen("four"), 4);
}

static void string_copy__fits_or_not__always_terminated(void **state)
{
	char out[4];

	(void)state;
	assert_true(string_copy(out, sizeof(out), "abc", 4));
	assert_string_equal(out, "abc");
	assert_true(string_copy(out, sizeof(out), "abcdef", 3));
	assert_string_equal(out, "abc");
	assert_false(string_copy(out, sizeof(out), "abcd", 5));
	assert_string_equal(out, "abc");
	assert_true(string_copy(out, sizeof(out), "", 0));
	assert_string_equal(out, "");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(memset_and_memcpy__some_bytes__no_more),
		cmocka_unit_test(strncmp__prefixes__as_c),
		cmocka_unit_test(string_copy__fits_or_not__always_terminated),
	};

	return cmocka_run_group_tests_name("kernel_string", tests, NULL, NULL);
}
