/*
 * The service VMs' snprintf, compared with the host's for every conversion it has.
 * UNIT_SOURCES: drivers-vm/runtime/printf.c
 * UNIT_FLAGS: -Dsnprintf=runtime_snprintf -Dvsnprintf=runtime_vsnprintf
 * UNIT_FLAGS: -Wno-format -Wno-format-truncation -Wno-format-zero-length
 */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <limits.h>
#include <stdio.h>
#include <string.h>

#define ROOM 64

static void check(const char *format, ...)
{
	char ours[ROOM], theirs[ROOM];
	va_list args;

	for (size_t bytes = 0; bytes <= ROOM; bytes += bytes < 8 ? 1 : 8) {
		memset(ours, '#', ROOM);
		memset(theirs, '#', ROOM);
		va_start(args, format);
		int length = vsnprintf(ours, bytes, format, args);

		va_end(args);
		va_start(args, format);
		int expected = __builtin_vsnprintf(theirs, bytes, format, args);

		va_end(args);
		assert_int_equal(length, expected);
		assert_memory_equal(ours, theirs, ROOM);
	}
}

static void vsnprintf__integers_with_every_flag__equals_host(void **state)
{
	static const char *const flags[] = { "", "-", "+", " ", "0", "-0", "+0", " 0", "+-" };
	static const char *const widths[] = { "", "1", "7", "20", ".0", ".3", "8.3", "3.8", "." };
	static const int values[] = { 0, 1, -1, 42, -123456, INT_MAX, INT_MIN };
	char format[32];

	(void)state;
	for (size_t f = 0; f < sizeof(flags) / sizeof(flags[0]); f++) {
		for (size_t w = 0; w < sizeof(widths) / sizeof(widths[0]); w++) {
			for (size_t v = 0; v < sizeof(values) / sizeof(values[0]); v++) {
				__builtin_snprintf(format, sizeof(format), "<%%%s%sd>", flags[f], widths[w]);
				check(format, values[v]);
				__builtin_snprintf(format, sizeof(format), "<%%%s%su>", flags[f], widths[w]);
				check(format, values[v]);
				__builtin_snprintf(format, sizeof(format), "<%%#%s%sx>", flags[f], widths[w]);
				check(format, values[v]);
				__builtin_snprintf(format, sizeof(format), "<%%#%s%so>", flags[f], widths[w]);
				check(format, values[v]);
			}
		}
	}
}

static void vsnprintf__sizes__equals_host(void **state)
{
	(void)state;
	check("%hhd %hhu %hd %hu", 300, 300, 70000, 70000);
	check("%ld %lu %lld %llu %zu %jd %td", LONG_MIN, ULONG_MAX, LLONG_MIN, ULLONG_MAX, SIZE_MAX, INT64_MIN, (ptrdiff_t)-5);
	check("%lx %lX %llo", ULONG_MAX, 0xABCDEFul, ULLONG_MAX);
	check("%X %#X", 0xbeef, 0xbeef);
	check("%p", (void *)0x1234);
}

static void vsnprintf__strings_and_characters__equals_host(void **state)
{
	(void)state;
	check("%s|%8s|%-8s|%.2s|%8.2s|%-8.2s|%.0s", "abc", "abc", "abc", "abc", "abc", "abc", "abc");
	check("%c|%3c|%-3c|%%", 'x', 'y', 'z');
	check("%*d|%-*d|%*d|%.*s|%.*d", 5, 1, 5, 2, -5, 3, 2, "abc", -1, 7);
	check("");
	check("no conversion at all");
}

static void vsnprintf__string_without_end__reads_no_further_than_precision(void **state)
{
	const char text[3] = { 'a', 'b', 'c' };
	char out[8];

	(void)state;
	assert_int_equal(snprintf(out, sizeof(out), "%.3s", text), 3);
	assert_string_equal(out, "abc");
}

static void vsnprintf__unknown_conversion__returns_minus_one_and_terminates(void **state)
{
	char out[8] = "xxxxxxx";

	(void)state;
	assert_int_equal(snprintf(out, sizeof(out), "a%y", 1), -1);
	assert_string_equal(out, "a");
	assert_int_equal(snprintf(out, sizeof(out), "%"), -1);
	assert_int_equal(snprintf(out, sizeof(out), "%n", NULL), -1);
}

static void vsnprintf__null_string__prints_a_word(void **state)
{
	char out[16];

	(void)state;
	snprintf(out, sizeof(out), "%s", (char *)NULL);
	assert_string_equal(out, "(null)");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(vsnprintf__integers_with_every_flag__equals_host),
		cmocka_unit_test(vsnprintf__sizes__equals_host),
		cmocka_unit_test(vsnprintf__strings_and_characters__equals_host),
		cmocka_unit_test(vsnprintf__string_without_end__reads_no_further_than_precision),
		cmocka_unit_test(vsnprintf__unknown_conversion__returns_minus_one_and_terminates),
		cmocka_unit_test(vsnprintf__null_string__prints_a_word),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
