/*
 * The kernel log's formatter, compared with the C library's.
 * UNIT_SOURCES: arch/x86_64/format.c
 * UNIT_FLAGS: -Itests/unit
 */
#include "cmocka_all.h"

#include <stdio.h>
#include <string.h>

#include "arch/x86_64/format.h"

static size_t format_text(char *out, size_t size, const char *fmt, ...) __attribute__((format(printf, 3, 4)));
static size_t format_text(char *out, size_t size, const char *fmt, ...)
{
	va_list args;

	va_start(args, fmt);
	size_t n = format_text_va(out, size, fmt, args);

	va_end(args);
	return n;
}

/* Formats with both and demands the same text and length. */
#define SAME(...) \
	do { \
		char ours[128], theirs[128]; \
		size_t n = format_text(ours, sizeof(ours), __VA_ARGS__); \
		int m = snprintf(theirs, sizeof(theirs), __VA_ARGS__); \
		assert_string_equal(ours, theirs); \
		assert_int_equal(n, m); \
	} while (0)

static void format_text__numbers__match_the_c_library(void **state)
{
	(void)state;
	SAME("%u %u", 0u, 4000000000u);
	SAME("%lu %lx %llu", UINT64_MAX, UINT64_MAX, 6ull);
	SAME("%x %#x %#lx", 0xBEEFu, 0xBEEFu, 1ul << 40);
}

static void format_text__width_and_zero__match_the_c_library(void **state)
{
	(void)state;
	SAME("[%05u][%012u]", 42u, 42u);
	SAME("[%08x][%016lx]", 0xABu, 0xABul);
	SAME("[%03u]", 12345u);
}

static void format_text__strings__match_the_c_library(void **state)
{
	(void)state;
	SAME("[%s][%s] 100%%", "abc", "");
}

static void format_text__too_long__cut_with_nul(void **state)
{
	char out[8] = "zzzzzzz";

	(void)state;
	assert_int_equal(format_text(out, 4, "%s", "abcdef"), 3);
	assert_memory_equal(out, "abc\0zzz", 8);
	assert_int_equal(format_text(out, 1, "%u", 99u), 0);
	assert_int_equal(out[0], 0);
	assert_int_equal(format_text(out, 5, "%08u", 1u), 4);
}

static void format_text__unknown_or_cut_directive__no_harm(void **state)
{
	char out[16];
	const char *volatile odd = "a%qb%";

	(void)state;
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wformat-nonliteral"
#pragma GCC diagnostic ignored "-Wformat-security"
	format_text(out, sizeof(out), odd);
#pragma GCC diagnostic pop
	assert_string_equal(out, "a%qb");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(format_text__numbers__match_the_c_library),
		cmocka_unit_test(format_text__width_and_zero__match_the_c_library),
		cmocka_unit_test(format_text__strings__match_the_c_library),
		cmocka_unit_test(format_text__too_long__cut_with_nul),
		cmocka_unit_test(format_text__unknown_or_cut_directive__no_harm),
	};

	return cmocka_run_group_tests_name("format", tests, NULL, NULL);
}
