/*
 * Earlier output of a console: no question in it reaches the terminal, and all else does.
 *
 * UNIT_SOURCES: tools/cli/replay.c
 */
#include "tools/cli/replay.h"

#include "cmocka_all.h"

#include <stdbool.h>
#include <stdio.h>
#include <string.h>

/* In pieces of each size, since sequences are cut anywhere. */
static void check_replay(const char *in, size_t length, const char *expected)
{
	for (size_t piece = 1; piece <= length; piece++) {
		struct replay replay = { 0 };
		uint8_t out[1024];
		size_t used = 0;

		for (size_t at = 0; at < length; at += piece)
			used += replay_filter(&replay, (const uint8_t *)in + at, length - at < piece ? length - at : piece, out + used);
		used += replay_finish(&replay, out + used);
		assert_int_equal(used, strlen(expected));
		assert_memory_equal(out, expected, used);
	}
}

static void check_text(const char *in, const char *expected)
{
	check_replay(in, strlen(in), expected);
}

static void replay_filter__what_a_terminal_only_shows__stays(void **state)
{
	static const char *const harmless[] = {
		"plain\r\n\ttext \xc3\xbc",
		"\x1b[1;31mred\x1b[0m",
		"\x1b[2J\x1b[H",
		"\x1b[?25l\x1b[?2004h",
		"\x1b(B\x1b=",
		"\x1b[3 q",
		"\x1b[!p",
		"\x1b[u\x1b[s",
		"\x1b"
		"7\x1b"
		"8",
		"\x1b[1;2r",
		"\x1b",
		"\x1b[",
		"\x1b[12",
	};

	(void)state;
	for (unsigned i = 0; i < sizeof(harmless) / sizeof(harmless[0]); i++)
		check_text(harmless[i], harmless[i]);
}

static void replay_filter__questions__are_left_out(void **state)
{
	static const char *const questions[] = {
		"\x1b[6n",        "\x1b[?6n",          "\x1b[5n",         "\x1b[c",
		"\x1b[>0c",       "\x1b[=c",           "\x1bZ",           "\x05",
		"\x1b[18t",       "\x1b[21t",          "\x1b[?1$p",       "\x1b[>q",
		"\x1b[?u",        "\x1b[0x",           "\x1b]52;c;?\x07", "\x1b]10;?\x1b\\",
		"\x1bP$qm\x1b\\", "\x1bP+q544e\x1b\\", "\x1b[1$w",        "\x1b_Gi=1,a=q;AAAA\x1b\\",
	};
	char in[64], out[64];

	(void)state;
	for (unsigned i = 0; i < sizeof(questions) / sizeof(questions[0]); i++) {
		check_text(questions[i], "");
		snprintf(in, sizeof(in), "a%sb%sc", questions[i], questions[i]);
		snprintf(out, sizeof(out), "abc");
		check_text(in, out);
	}
}

static void replay_filter__sequences_that_break_off__lose_nothing_that_follows(void **state)
{
	char sequence[600] = "\x1b[";

	(void)state;
	check_text("\x1b]0;title\x1b[31mred", "\x1b[31mred");
	check_text("\x1b]0;title\x1b[6nx", "x");
	check_text("\x1b]0;title\x18text", "text");
	check_text("\x1b[1\x1b[6nx", "\x1b[1x");
	check_text("\x1b\x1b[6nx", "\x1bx");
	check_text("\x1b[6\r\nnx", "x");
	check_text("\x1b\n[6nx", "x");
	check_text("\x1b[1\x18[6nx", "\x1b[1\x18[6nx");
	memset(sequence + 2, '1', 150);
	memcpy(sequence + 152, "mtext", 6);
	check_text(sequence, sequence);
	memset(sequence + 2, '1', 500);
	memcpy(sequence + 502, "ntext", 6);
	check_text(sequence, "text");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(replay_filter__what_a_terminal_only_shows__stays),
		cmocka_unit_test(replay_filter__questions__are_left_out),
		cmocka_unit_test(replay_filter__sequences_that_break_off__lose_nothing_that_follows),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
