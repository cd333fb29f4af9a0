/*
 * The service VMs' memory and string functions and number conversion.
 * UNIT_SOURCES: drivers-vm/runtime/string.c drivers-vm/runtime/stdlib.c
 * UNIT_FLAGS: -Dmemcpy=rt_memcpy -Dmemmove=rt_memmove -Dmemset=rt_memset -Dmemcmp=rt_memcmp
 * -Dmemchr=rt_memchr UNIT_FLAGS: -Dstrlen=rt_strlen -Dstrnlen=rt_strnlen -Dstrcmp=rt_strcmp
 * -Dstrncmp=rt_strncmp -Dstrchr=rt_strchr UNIT_FLAGS: -Dstrrchr=rt_strrchr -Dstrstr=rt_strstr
 * -Dstrspn=rt_strspn -Dstrcspn=rt_strcspn -Dstrtol=rt_strtol UNIT_FLAGS: -Dstrtoul=rt_strtoul
 * -Dstrtoll=rt_strtoll -Dstrtoull=rt_strtoull -Datoi=rt_atoi -Dabs=rt_abs UNIT_FLAGS: -fno-builtin
 */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <errno.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>

#define ROOM 64u

static void fill(uint8_t *bytes)
{
	for (unsigned i = 0; i < ROOM; i++)
		bytes[i] = (uint8_t)(i + 1);
}

static void memmove__every_offset_and_length__moves_exactly_the_range(void **state)
{
	uint8_t moved[ROOM], expected[ROOM];

	(void)state;
	for (unsigned from = 0; from < 20; from++) {
		for (unsigned to = 0; to < 20; to++) {
			for (unsigned length = 0; length <= 40; length++) {
				fill(moved);
				fill(expected);
				for (unsigned i = 0; i < length; i++)
					expected[to + i] = (uint8_t)(from + i + 1);
				assert_ptr_equal(memmove(moved + to, moved + from, length), moved + to);
				assert_memory_equal(moved, expected, ROOM);
			}
		}
	}
}

static void memset__every_offset_and_length__sets_exactly_the_range(void **state)
{
	uint8_t bytes[ROOM];

	(void)state;
	for (unsigned at = 0; at < 9; at++) {
		for (unsigned length = 0; length < 40; length++) {
			fill(bytes);
			memset(bytes + at, 0x1A5, length);
			for (unsigned i = 0; i < ROOM; i++)
				assert_int_equal(bytes[i], i >= at && i < at + length ? 0xA5 : i + 1);
		}
	}
}

static void memcmp__differences__compares_unsigned(void **state)
{
	(void)state;
	assert_int_equal(memcmp("abc", "abd", 2), 0);
	assert_true(memcmp("abc", "abd", 3) < 0);
	assert_true(memcmp("\xff", "\x01", 1) > 0);
	assert_int_equal(memcmp("a", "b", 0), 0);
}

static void strings__searching__finds_first_and_last(void **state)
{
	const char *text = "hilum.toml";

	(void)state;
	assert_ptr_equal(strchr(text, 'l'), text + 2);
	assert_ptr_equal(strrchr(text, 'l'), text + 9);
	assert_ptr_equal(strchr(text, '\0'), text + 10);
	assert_null(strchr(text, 'x'));
	assert_null(strrchr(text, 'x'));
	assert_ptr_equal(strstr(text, "toml"), text + 6);
	assert_ptr_equal(strstr(text, ""), text);
	assert_null(strstr(text, "tomll"));
	assert_ptr_equal(memchr(text, '.', 10), text + 5);
	assert_null(memchr(text, '.', 5));
	assert_int_equal(strspn(text, "hil"), 3);
	assert_int_equal(strcspn(text, ".x"), 5);
	assert_int_equal(strspn(text, ""), 0);
}

static void strings__comparing__stops_at_end_or_limit(void **state)
{
	(void)state;
	assert_int_equal(strcmp("ab", "ab"), 0);
	assert_true(strcmp("ab", "abc") < 0);
	assert_true(strcmp("\xff", "a") > 0);
	assert_int_equal(strncmp("abx", "aby", 2), 0);
	assert_int_equal(strncmp("ab", "ab", 99), 0);
	assert_true(strncmp("ab", "aB", 2) > 0);
	assert_int_equal(strlen(""), 0);
	assert_int_equal(strnlen("abc", 2), 2);
	assert_int_equal(strnlen("abc", 9), 3);
}

static void strtoull__forms__parses_like_the_standard(void **state)
{
	char *end;

	(void)state;
	assert_int_equal(strtoull(" \t+42x", &end, 10), 42);
	assert_string_equal(end, "x");
	assert_int_equal(strtoull("0x1fG", &end, 0), 0x1f);
	assert_string_equal(end, "G");
	assert_int_equal(strtoull("0xg", &end, 0), 0);
	assert_string_equal(end, "xg");
	assert_int_equal(strtoull("0755", NULL, 0), 0755);
	assert_int_equal(strtoull("zz", NULL, 36), 35 * 36 + 35);
	assert_int_equal(strtoull("-1", NULL, 10), ULLONG_MAX);
	const char *none = "  none";

	strtoull(none, &end, 10);
	assert_ptr_equal(end, none);
}

static void strtoull__overflow__saturates_with_errno(void **state)
{
	char *end;

	(void)state;
	errno = 0;
	assert_int_equal(strtoull("18446744073709551615", NULL, 10), ULLONG_MAX);
	assert_int_equal(errno, 0);
	assert_int_equal(strtoull("18446744073709551616z", &end, 10), ULLONG_MAX);
	assert_int_equal(errno, ERANGE);
	assert_string_equal(end, "z");
}

static void strtoll__limits__saturates_with_errno(void **state)
{
	(void)state;
	errno = 0;
	assert_int_equal(strtoll("-9223372036854775808", NULL, 10), LLONG_MIN);
	assert_int_equal(errno, 0);
	assert_int_equal(strtoll("-9223372036854775809", NULL, 10), LLONG_MIN);
	assert_int_equal(errno, ERANGE);
	errno = 0;
	assert_int_equal(strtoll("9223372036854775808", NULL, 10), LLONG_MAX);
	assert_int_equal(errno, ERANGE);
	assert_int_equal(atoi("-17 apples"), -17);
	assert_int_equal(abs(-17), 17);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(memmove__every_offset_and_length__moves_exactly_the_range),
		cmocka_unit_test(memset__every_offset_and_length__sets_exactly_the_range),
		cmocka_unit_test(memcmp__differences__compares_unsigned),
		cmocka_unit_test(strings__searching__finds_first_and_last),
		cmocka_unit_test(strings__comparing__stops_at_end_or_limit),
		cmocka_unit_test(strtoull__forms__parses_like_the_standard),
		cmocka_unit_test(strtoull__overflow__saturates_with_errno),
		cmocka_unit_test(strtoll__limits__saturates_with_errno),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
