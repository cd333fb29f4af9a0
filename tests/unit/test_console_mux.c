/* console_mux on a recorded line: who is shown, what a switch prints, how the log gets in, and where input
 * goes. */
/* UNIT_SOURCES: drivers-vm/driver/console_mux.c */
#include "drivers-vm/driver/console_mux.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

static struct console_mux mux;
static char line[65536];
static size_t line_count;

static void line_write(void *ctx, const uint8_t *bytes, size_t count)
{
	assert_ptr_equal(ctx, line);
	assert_true(count > 0 && count < sizeof(line) - line_count);
	memcpy(line + line_count, bytes, count);
	line_count += count;
	line[line_count] = 0;
}

static void line_clear(void)
{
	line_count = 0;
	line[0] = 0;
}

static void output(unsigned guest, const char *text)
{
	console_mux_output(&mux, guest, (const uint8_t *)text, strlen(text));
}

static void log_text(const char *text)
{
	console_mux_log(&mux, (const uint8_t *)text, strlen(text));
}

static void type(const char *text)
{
	console_mux_input(&mux, (const uint8_t *)text, strlen(text));
}

static void expect_input(unsigned expected_guest, const char *text)
{
	uint8_t bytes[CONSOLE_MUX_INPUT_BYTES + 1] = { 0 };
	unsigned guest;
	size_t count = console_mux_peek_input(&mux, &guest, bytes, CONSOLE_MUX_INPUT_BYTES);

	assert_int_equal(guest, expected_guest);
	assert_string_equal((char *)bytes, text);
	console_mux_drop_input(&mux, guest, count);
}

static void start(const char *show)
{
	for (unsigned i = 0; i < CONSOLE_MUX_SOURCES; i++)
		free(mux.source[i].ring);
	console_mux_init(&mux, show, line_write, line);
	line_clear();
}

static void start_two(void)
{
	start("");
	console_mux_add(&mux, 0, "one");
	console_mux_add(&mux, 1, "two");
	line_clear();
}

static void console_mux_add__first_guest_nothing_wanted__comes_on_show_with_help(void **state)
{
	(void)state;
	start("");
	console_mux_add(&mux, 3, "linux");
	assert_string_equal(line, "(hilum) showing VM \"linux\"; Ctrl-A three times shows Hilum's log\r\n");
	line_clear();
	output(3, "login: ");
	assert_string_equal(line, "login: ");
}

static void console_mux_add__another_guest_is_wanted__stays_in_the_background(void **state)
{
	(void)state;
	start("two");
	console_mux_add(&mux, 0, "one");
	output(0, "unseen\r\n");
	assert_string_equal(line, "");
	console_mux_add(&mux, 1, "two");
	assert_non_null(strstr(line, "showing VM \"two\""));
}

static void console_mux_add__log_is_wanted__log_stays(void **state)
{
	(void)state;
	start(CONSOLE_MUX_LOG_NAME);
	console_mux_add(&mux, 0, "one");
	log_text("hilum: hello\n");
	assert_string_equal(line, "hilum: hello\r\n");
}

static void console_mux_add__hostile_name_and_number__printed_plain_or_ignored(void **state)
{
	(void)state;
	start("");
	console_mux_add(&mux, CONSOLE_MUX_GUESTS, "out");
	console_mux_add(&mux, ~0u, "out");
	assert_string_equal(line, "");
	console_mux_add(&mux, 0, "a\x1b[2Jb-and-much-more-than-there-is-room-for-in-a-name");
	assert_non_null(strstr(line, "\"a?[2Jb-and-much-more-than-there\""));
}

static void console_mux_add__guest_restarts__comes_on_show_again(void **state)
{
	(void)state;
	start_two();
	console_mux_remove(&mux, 0);
	assert_non_null(strstr(line, "showing Hilum's log; Ctrl-A three times shows VM \"two\""));
	console_mux_add(&mux, 5, "one");
	assert_non_null(strstr(line, "showing VM \"one\""));
	expect_input(5, "");
}

static void console_mux_remove__guest_on_show__log_takes_over_without_repeating(void **state)
{
	(void)state;
	start_two();
	log_text("hilum: old\n");
	line_clear();
	console_mux_remove(&mux, 0);
	log_text("hilum: new\n");
	assert_string_equal(line, "(hilum) showing Hilum's log; Ctrl-A three times shows VM \"two\"\r\nhilum: new\r\n");
	type("\x01\x01\x01");
	line_clear();
	type("\x01\x01\x01");
	assert_non_null(strstr(line, "\r\nhilum: old\r\nhilum: new\r\n"));
}

static void console_mux_output__guest_not_on_show__kept_and_shown_at_switch(void **state)
{
	(void)state;
	start_two();
	output(1, "old\r\nprompt# ");
	output(0, "seen");
	assert_string_equal(line, "seen");
	line_clear();
	type("\x01\x01\x01");
	assert_string_equal(line, "\r\n(hilum) showing VM \"two\"; Ctrl-A three times shows Hilum's log\r\n"
	                          "old\r\nprompt# ");
}

static void console_mux_output__more_than_a_screen_unseen__last_lines_shown(void **state)
{
	char text[32];

	(void)state;
	start_two();
	for (unsigned i = 0; i < 5000; i++) {
		snprintf(text, sizeof(text), "line %u\r\n", i);
		output(1, text);
	}
	type("\x01\x01\x01");
	assert_null(strstr(line, "line 4975\r\n"));
	assert_non_null(strstr(line, "\r\nline 4976\r\n"));
	assert_string_equal(line + line_count - 11, "line 4999\r\n");
}

static void console_mux_output__one_line_longer_than_the_ring__last_bytes_shown(void **state)
{
	static uint8_t block[CONSOLE_MUX_RING_BYTES + 100];

	(void)state;
	start_two();
	memset(block, 'x', sizeof(block));
	block[99] = 'y';
	console_mux_output(&mux, 1, block, sizeof(block));
	type("\x01\x01\x01");
	assert_null(strchr(line, 'y'));
	assert_int_equal(strspn(strstr(line, "log\r\n") + 5, "x"), CONSOLE_MUX_RING_BYTES);
}

static void console_mux_output__guest_not_added__ignored(void **state)
{
	(void)state;
	start_two();
	output(7, "x");
	output(CONSOLE_MUX_LOG, "x");
	output(~0u, "x");
	assert_string_equal(line, "");
}

static void console_mux_log__at_line_start__shown_as_it_is(void **state)
{
	(void)state;
	start_two();
	output(0, "a\r\n");
	log_text("hilum: half ");
	assert_string_equal(line, "a\r\n");
	log_text("and half\nhilum: next\nhilum: un");
	assert_string_equal(line, "a\r\nhilum: half and half\r\nhilum: next\r\n");
}

static void console_mux_log__in_an_unfinished_line__line_is_put_back_behind(void **state)
{
	(void)state;
	start_two();
	output(0, "boot\r\nlogin: ro");
	log_text("hilum: one\nhilum: two\n");
	output(0, "ot");
	assert_string_equal(line, "boot\r\nlogin: ro\r\nhilum: one\r\nhilum: two\r\nlogin: root");
}

static void console_mux_log__in_a_control_sequence__cancelled_and_put_back(void **state)
{
	(void)state;
	start_two();
	output(0, "\x1b[3");
	log_text("hilum: one\n");
	output(0, "1mred");
	assert_string_equal(line, "\x1b[3\x18\x1b[m\r\nhilum: one\r\n\x1b[31mred");
}

static void console_mux_log__in_a_very_long_line__line_is_not_put_back(void **state)
{
	char text[CONSOLE_MUX_PART_BYTES + 2];

	(void)state;
	start_two();
	memset(text, 'z', sizeof(text) - 1);
	text[sizeof(text) - 1] = 0;
	output(0, text);
	line_clear();
	log_text("hilum: one\n");
	log_text("hilum: two\n");
	assert_string_equal(line, "\r\nhilum: one\r\nhilum: two\r\n");
}

static void console_mux_log__after_a_carriage_return__begins_a_line(void **state)
{
	(void)state;
	start_two();
	output(0, "50%\r");
	log_text("hilum: one\n");
	output(0, "51%");
	log_text("hilum: two\n");
	assert_string_equal(line, "50%\r\r\nhilum: one\r\n51%\r\nhilum: two\r\n51%");
}

static void console_mux_log__line_without_end__cut(void **state)
{
	char text[CONSOLE_MUX_LINE_BYTES + 3];

	(void)state;
	start_two();
	memset(text, 'l', sizeof(text));
	memcpy(text + sizeof(text) - 2, "\n", 2);
	log_text(text);
	assert_int_equal(line_count, CONSOLE_MUX_LINE_BYTES + 2 + 1 + 2);
	assert_string_equal(line + line_count - 5, "\r\nl\r\n");
}

static void console_mux_input__switch_key_fewer_than_three_times__reaches_the_guest(void **state)
{
	(void)state;
	start_two();
	type("a\x01");
	expect_input(0, "a");
	type("\x01z");
	expect_input(0, "\x01\x01z");
	assert_string_equal(line, "");
}

static void console_mux_input__switch_key_three_times__goes_round(void **state)
{
	(void)state;
	start_two();
	type("\x01\x01\x01x");
	expect_input(1, "x");
	type("\x01\x01\x01y");
	expect_input(CONSOLE_MUX_LOG, "");
	type("\x01\x01\x01z");
	expect_input(0, "z");
}

static void console_mux_input__guest_takes_part__rest_is_offered_again(void **state)
{
	uint8_t bytes[8];
	unsigned guest;

	(void)state;
	start_two();
	type("hello");
	assert_int_equal(console_mux_peek_input(&mux, &guest, bytes, 3), 3);
	console_mux_drop_input(&mux, guest, 2);
	expect_input(0, "llo");
	console_mux_drop_input(&mux, 0, 1);
	expect_input(0, "");
}

static void console_mux_input__guest_reads_nothing__bell_and_switch_still_works(void **state)
{
	(void)state;
	start_two();
	for (unsigned i = 0; i < CONSOLE_MUX_INPUT_BYTES; i++)
		type("k");
	assert_string_equal(line, "");
	type("k");
	assert_string_equal(line, "\a");
	type("\x01\x01\x01");
	expect_input(1, "");
	console_mux_drop_input(&mux, 0, 5);
	type("x");
	expect_input(1, "x");
}

static void console_mux_input__switch_away_from_a_screen__terminal_is_made_plain(void **state)
{
	(void)state;
	start_two();
	output(0, "\x1b[?25l\x1b[31mred");
	line_clear();
	type("\x01\x01\x01");
	assert_memory_equal(line, "\x18\x1b[m\r\n\x0f\x1b[?25h(hilum)", 20);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(console_mux_add__first_guest_nothing_wanted__comes_on_show_with_help),
		cmocka_unit_test(console_mux_add__another_guest_is_wanted__stays_in_the_background),
		cmocka_unit_test(console_mux_add__log_is_wanted__log_stays),
		cmocka_unit_test(console_mux_add__hostile_name_and_number__printed_plain_or_ignored),
		cmocka_unit_test(console_mux_add__guest_restarts__comes_on_show_again),
		cmocka_unit_test(console_mux_remove__guest_on_show__log_takes_over_without_repeating),
		cmocka_unit_test(console_mux_output__guest_not_on_show__kept_and_shown_at_switch),
		cmocka_unit_test(console_mux_output__more_than_a_screen_unseen__last_lines_shown),
		cmocka_unit_test(console_mux_output__one_line_longer_than_the_ring__last_bytes_shown),
		cmocka_unit_test(console_mux_output__guest_not_added__ignored),
		cmocka_unit_test(console_mux_log__at_line_start__shown_as_it_is),
		cmocka_unit_test(console_mux_log__in_an_unfinished_line__line_is_put_back_behind),
		cmocka_unit_test(console_mux_log__in_a_control_sequence__cancelled_and_put_back),
		cmocka_unit_test(console_mux_log__in_a_very_long_line__line_is_not_put_back),
		cmocka_unit_test(console_mux_log__after_a_carriage_return__begins_a_line),
		cmocka_unit_test(console_mux_log__line_without_end__cut),
		cmocka_unit_test(console_mux_input__switch_key_fewer_than_three_times__reaches_the_guest),
		cmocka_unit_test(console_mux_input__switch_key_three_times__goes_round),
		cmocka_unit_test(console_mux_input__guest_takes_part__rest_is_offered_again),
		cmocka_unit_test(console_mux_input__guest_reads_nothing__bell_and_switch_still_works),
		cmocka_unit_test(console_mux_input__switch_away_from_a_screen__terminal_is_made_plain),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
