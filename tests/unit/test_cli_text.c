/*
 * Text of the command line: strings from the network, sizes, times, and tables of them.
 *
 * UNIT_SOURCES: tools/cli/text.c tools/cli/memory.c tools/cli/table.c tools/cli/progress.c tools/cli/terminal.c
 * UNIT_FLAGS: -D_GNU_SOURCE
 */
#include "tools/cli/table.h"
#include "tools/cli/text.h"
#include "tools/cli/progress.h"

#include "cmocka_all.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void check_safe(const char *in, size_t length, bool lines, const char *expected)
{
	char *out = text_safe(in, length, lines);

	assert_string_equal(out, expected);
	free(out);
}

static void text_safe__plain_text_and_letters_of_any_script__stay(void **state)
{
	static const char text[] = "name-1 \xc3\xbc \xe2\x82\xac \xf0\x9f\x90\xa7 ~";

	(void)state;
	check_safe(text, strlen(text), false, text);
	check_safe("", 0, false, "");
}

static void text_safe__control_characters_and_marks_of_direction__are_written_out(void **state)
{
	(void)state;
	check_safe("\x1b[2J\x07\r", 6, false, "\\x1b[2J\\x07\\x0d");
	check_safe("a\0b", 3, false, "a\\x00b");
	check_safe("\x7f", 1, false, "\\x7f");
	check_safe("\xc2\x9b"
	           "2J",
	           4, false, "\\xc2\\x9b2J");
	check_safe("\xe2\x80\xae", 3, false, "\\xe2\\x80\\xae");
	check_safe("\xef\xbb\xbf", 3, false, "\\xef\\xbb\\xbf");
	check_safe("a\n\tb", 4, false, "a\\x0a\\x09b");
	check_safe("a\n\tb\r", 5, true, "a\n\tb\\x0d");
}

static void text_safe__bytes_that_are_no_utf8__are_written_out_one_by_one(void **state)
{
	(void)state;
	check_safe("\xff\xfe", 2, false, "\\xff\\xfe");
	check_safe("\xc0\xaf", 2, false, "\\xc0\\xaf");
	check_safe("\xe0\x80\x9b", 3, false, "\\xe0\\x80\\x9b");
	check_safe("\xed\xa0\x80", 3, false, "\\xed\\xa0\\x80");
	check_safe("\xf4\x90\x80\x80", 4, false, "\\xf4\\x90\\x80\\x80");
	check_safe("\xe2\x82", 2, false, "\\xe2\\x82");
	check_safe("\xc3(", 2, false, "\\xc3(");
}

static void text_fit__longer_and_shorter__have_the_columns(void **state)
{
	static const struct {
		const char *text;
		size_t columns;
		const char *expected;
	} cases[] = {
		{ "abc", 5, "abc  " }, { "abc", 2, "ab" }, { "", 2, "  " }, { "\xc3\xbc\xc3\xb6x", 2, "\xc3\xbc\xc3\xb6" }, { "a", 0, "" }
	};

	(void)state;
	for (unsigned i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		char *out = text_fit(cases[i].text, cases[i].columns);

		assert_string_equal(out, cases[i].expected);
		free(out);
	}
}

static void text_format_bytes__sizes__have_the_largest_unit_that_fits(void **state)
{
	static const struct {
		uint64_t bytes;
		const char *expected;
	} cases[] = { { 0, "0 B" },
		      { 1023, "1023 B" },
		      { 1024, "1 KiB" },
		      { 1536, "1.5 KiB" },
		      { 512ull << 20, "512 MiB" },
		      { (1ull << 30) - 1, "1023 MiB" },
		      { (10ull << 30) + (1ull << 29), "10.5 GiB" },
		      { UINT64_MAX, "15.9 EiB" } };
	char text[24];

	(void)state;
	for (unsigned i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		text_format_bytes(text, sizeof(text), cases[i].bytes);
		assert_string_equal(text, cases[i].expected);
	}
}

static void text_format_short__any_value__has_at_most_five_columns(void **state)
{
	static const struct {
		double value;
		const char *expected;
	} cases[] = { { 0, "0" },       { -5, "0" },      { 999.4, "999" },      { 999.6, "1.0K" },
		      { 1536, "1.5K" }, { 10230, "10K" }, { 536870912, "512M" }, { 1e18, "888P" } };
	char text[16];

	(void)state;
	for (unsigned i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		text_format_short(text, sizeof(text), cases[i].value);
		assert_string_equal(text, cases[i].expected);
	}
	for (double value = 1; value < 1e21; value *= 1.37) {
		text_format_short(text, sizeof(text), value);
		assert_true(strlen(text) <= 5);
	}
}

static void text_format_duration__days__come_first(void **state)
{
	char text[40];

	(void)state;
	text_format_duration(text, sizeof(text), 59);
	assert_string_equal(text, "00:00:59");
	text_format_duration(text, sizeof(text), 86399);
	assert_string_equal(text, "23:59:59");
	text_format_duration(text, sizeof(text), 3 * 86400 + 3661);
	assert_string_equal(text, "3d 01:01:01");
	text_format_duration(text, sizeof(text), UINT64_MAX);
	assert_string_equal(text, "213503982334601d 07:00:15");
}

static void text_parse_size__what_is_no_size__is_refused(void **state)
{
	static const char *const bad[] = {
		"", "K", "-1", "+1", " 1", "1 K", "1k", "1KB", "1.5G", "99999999999999999999", "18014398509481984K", "0x10"
	};
	uint64_t size = 7;

	(void)state;
	for (unsigned i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		assert_false(text_parse_size(bad[i], &size));
	assert_int_equal(size, 7);
	assert_true(text_parse_size("0", &size) && size == 0);
	assert_true(text_parse_size("16K", &size) && size == 16384);
	assert_true(text_parse_size("2T", &size) && size == 2ull << 40);
	assert_true(text_parse_size("18014398509481983K", &size) && size == UINT64_MAX - 1023);
}

static void text_parse_number__beyond_the_limit__is_refused(void **state)
{
	int64_t number = 7;

	(void)state;
	assert_false(text_parse_number("65536", 65535, &number));
	assert_false(text_parse_number("-1", 65535, &number));
	assert_false(text_parse_number("1x", 65535, &number));
	assert_false(text_parse_number("9223372036854775808", INT64_MAX, &number));
	assert_int_equal(number, 7);
	assert_true(text_parse_number("65535", 65535, &number));
	assert_int_equal(number, 65535);
}

static char *print_table(const struct table *table)
{
	char *text = NULL;
	size_t length;
	FILE *to = open_memstream(&text, &length);

	table_print(table, to);
	fclose(to);
	return text;
}

static void table_print__cells_of_any_width__are_in_columns(void **state)
{
	struct table table;
	char *text;

	(void)state;
	table_init(&table, (const char *const[]){ "Name", ">Size", "State", NULL });
	table_add_row(&table, (const char *[]){ "a-long-name", "1 B", "running" });
	table_add_row(&table, (const char *[]){ "\xc3\xbc\x1b", "1023 MiB", NULL });
	table_add_row(&table, (const char *[]){ "", "", "x" });
	text = print_table(&table);
	assert_string_equal(text, " Name              Size   State\n"
	                          "-----------------------------------\n"
	                          " a-long-name        1 B   running\n"
	                          " \xc3\xbc\\x1b         1023 MiB   -\n"
	                          " -                    -   x\n");
	free(text);
	table_free(&table);
}

static void table_print__no_rows__has_titles(void **state)
{
	struct table table;
	char *text;

	(void)state;
	table_init(&table, (const char *const[]){ "Name", "State", NULL });
	text = print_table(&table);
	assert_string_equal(text, " Name   State\n---------------\n");
	free(text);
	table_free(&table);
}

static void progress_format_bar__parts_of_the_whole__fill_it(void **state)
{
	char bar[16];

	(void)state;
	progress_format_bar(bar, sizeof(bar), 10, 0, 100);
	assert_string_equal(bar, "[..........]");
	progress_format_bar(bar, sizeof(bar), 10, 55, 100);
	assert_string_equal(bar, "[#####.....]");
	progress_format_bar(bar, sizeof(bar), 10, 101, 100);
	assert_string_equal(bar, "[##########]");
	progress_format_bar(bar, sizeof(bar), 10, 0, 0);
	assert_string_equal(bar, "[##########]");
	progress_format_bar(bar, sizeof(bar), 100, 1, 2);
	assert_int_equal(strlen(bar), 15);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(text_safe__plain_text_and_letters_of_any_script__stay),
		cmocka_unit_test(text_safe__control_characters_and_marks_of_direction__are_written_out),
		cmocka_unit_test(text_safe__bytes_that_are_no_utf8__are_written_out_one_by_one),
		cmocka_unit_test(text_fit__longer_and_shorter__have_the_columns),
		cmocka_unit_test(text_format_bytes__sizes__have_the_largest_unit_that_fits),
		cmocka_unit_test(text_format_short__any_value__has_at_most_five_columns),
		cmocka_unit_test(text_format_duration__days__come_first),
		cmocka_unit_test(text_parse_size__what_is_no_size__is_refused),
		cmocka_unit_test(text_parse_number__beyond_the_limit__is_refused),
		cmocka_unit_test(table_print__cells_of_any_width__are_in_columns),
		cmocka_unit_test(table_print__no_rows__has_titles),
		cmocka_unit_test(progress_format_bar__parts_of_the_whole__fill_it),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
