/*
 * The TOML parser: what TOML 1.0 allows is read, what it forbids is refused with line and column.
 * UNIT_SOURCES: drivers-vm/control/toml.c drivers-vm/control/toml_scalar.c drivers-vm/control/toml_string.c
 * UNIT_SOURCES: drivers-vm/control/toml_value.c
 */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "drivers-vm/control/toml.h"

#include <stdlib.h>
#include <string.h>

static _Alignas(8) uint8_t memory[1 << 16];
static struct toml_error error;

/* Parses a copy of exactly the given length, so that reading past it is caught. */
static const struct toml_value *parse_bytes(const char *text, size_t length)
{
	struct toml_arena arena = { .base = memory, .bytes = sizeof(memory) };
	static char *copy;

	free(copy);
	copy = malloc(length == 0 ? 1 : length);
	memcpy(copy, text, length);
	return toml_parse(copy, length, &arena, &error);
}

static const struct toml_value *parse(const char *text)
{
	return parse_bytes(text, strlen(text));
}

static const struct toml_value *get(const char *text, const char *key)
{
	const struct toml_value *root = parse(text);

	if (root == NULL)
		fail_msg("%u:%u: %s in: %s", error.line, error.column, error.message, text);
	const struct toml_value *value = toml_find(root, key);

	assert_non_null(value);
	return value;
}

static void assert_text(const char *document, const char *expected, size_t length)
{
	const struct toml_value *value = get(document, "a");

	assert_int_equal(value->type, TOML_STRING);
	assert_int_equal(value->text.length, length);
	assert_memory_equal(value->text.bytes, expected, length);
	assert_int_equal(value->text.bytes[length], '\0');
}

static void toml_parse__strings__decodes_them(void **state)
{
	(void)state;
	assert_text("a = \"b\\t\\u00e9\\U0001F600\\\"\\\\\"", "b\t\xc3\xa9\xf0\x9f\x98\x80\"\\", 10);
	assert_text("a = ''", "", 0);
	assert_text("a = 'C:\\n'", "C:\\n", 4);
	assert_text("a = \"x\\u0000y\"", "x\0y", 3);
	assert_text("a = \"\"\"\r\none\\\n   two\n\"\"three\"\"\"\"\"", "onetwo\n\"\"three\"\"", 16);
	assert_text("a = '''\n'it''s'''''", "'it''s''", 8);
}

static void toml_parse__numbers__gives_values_and_types(void **state)
{
	static const struct {
		const char *text;
		int64_t value;
	} integers[] = {
		{ "a=0", 0 },
		{ "a=+99", 99 },
		{ "a=-17", -17 },
		{ "a=1_000", 1000 },
		{ "a=0xDead_Beef", 0xDEADBEEF },
		{ "a=0o755", 0755 },
		{ "a=0b1101", 13 },
		{ "a=-0", 0 },
		{ "a=9223372036854775807", INT64_MAX },
		{ "a=-9223372036854775808", INT64_MIN },
	};
	static const char *const floats[] = { "a=1.0", "a=-3.14e+10", "a=626e-34", "a=5E22", "a=inf", "a=-nan", "a=1_0.0_1", "a=0e0" };

	(void)state;
	for (size_t i = 0; i < sizeof(integers) / sizeof(integers[0]); i++) {
		assert_int_equal(get(integers[i].text, "a")->type, TOML_INTEGER);
		assert_int_equal(get(integers[i].text, "a")->integer, integers[i].value);
	}
	for (size_t i = 0; i < sizeof(floats) / sizeof(floats[0]); i++)
		assert_int_equal(get(floats[i], "a")->type, TOML_FLOAT);
	assert_true(get("a=true", "a")->boolean);
	assert_false(get("a=false", "a")->boolean);
}

static void toml_parse__dates__accepts_the_four_forms(void **state)
{
	static const char *const dates[] = { "a=1979-05-27T07:32:00Z", "a=1979-05-27 07:32:00.999-08:00", "a=1979-05-27T07:32:00.5",
		                             "a=2000-02-29", "a=23:59:60" };

	(void)state;
	for (size_t i = 0; i < sizeof(dates) / sizeof(dates[0]); i++)
		assert_int_equal(get(dates[i], "a")->type, TOML_DATETIME);
}

static void toml_parse__tables__builds_the_tree(void **state)
{
	const char *text = "top = 1\n[a.b]\nc.d = 2 # dotted\n[a]\ne = {f = [1, [2,\n], ], g.h = 3}\n"
			   "[[vm]]\nname = 'x'\n[vm.disk]\nsize = 1\n[[vm]]\nname = 'y'\n";
	const struct toml_value *root = parse(text);

	(void)state;
	assert_non_null(root);
	const struct toml_value *a = toml_find(root, "a");
	const struct toml_value *d = toml_find(toml_find(toml_find(a, "b"), "c"), "d");
	const struct toml_value *f = toml_find(toml_find(a, "e"), "f");
	const struct toml_value *vm = toml_find(root, "vm");

	assert_int_equal(d->integer, 2);
	assert_int_equal(d->key_line, 3);
	assert_int_equal(f->children.count, 2);
	assert_int_equal(f->children.last->type, TOML_ARRAY);
	assert_int_equal(vm->type, TOML_ARRAY);
	assert_int_equal(vm->children.count, 2);
	assert_int_equal(vm->children.first->line, 7);
	assert_int_equal(toml_find(toml_find(vm->children.first, "disk"), "size")->integer, 1);
	assert_null(toml_find(vm->children.last, "disk"));
}

static void toml_parse__keys__accepts_bare_and_quoted(void **state)
{
	const struct toml_value *root = parse("1-_a = 1\n\"\" = 2\n'q k' . \"\\u0041\" = 3\n");

	(void)state;
	assert_non_null(root);
	assert_int_equal(toml_find(root, "1-_a")->integer, 1);
	assert_int_equal(toml_find(root, "")->integer, 2);
	assert_int_equal(toml_find(toml_find(root, "q k"), "A")->integer, 3);
}

static void toml_parse__forbidden__is_an_error(void **state)
{
	static const char *const bad[] = {
		"a",
		"a =",
		"= 1",
		"a = 1 b = 2",
		"a = 1\na = 2",
		"a = \"\n\"",
		"a = 'x",
		"a = \"\\q\"",
		"a = \"\\ud800\"",
		"a = \"\\u12\"",
		"a = \"\"\"x",
		"a = \"\"\"x\"\"\"\"\"\"",
		"a = 01",
		"a = 1__0",
		"a = _1",
		"a = 1_",
		"a = 0x",
		"a = -0x1",
		"a = 1.",
		"a = .5",
		"a = 1e",
		"a = 9223372036854775808",
		"a = +",
		"a = True",
		"a = 2001-02-29",
		"a = 24:00:00",
		"a = 1979-13-01",
		"a = 1979-05-27T",
		"a = [1",
		"a = [1 2]",
		"a = [,]",
		"a = {b = 1,}",
		"a = {b = 1\n}",
		"a = {b = 1, b = 2}",
		"[a]\n[a]",
		"[a]\nb = 1\n[a.b]",
		"a = 1\n[a]",
		"a = {}\n[a.b]",
		"a = {}\na.b = 1",
		"a.b = 1\n[a]",
		"[a.b]\n[a]\nb.c = 1",
		"a = []\n[[a]]",
		"[[a]]\n[a]",
		"[a]\n[[a]]",
		"[a",
		"[]",
		"[[a]",
		"[a]]",
		"[a] b = 1",
		"\"\"\"a\"\"\" = 1",
		"a.b = 1\na = 2",
		"a.b = 1\na.b.c = 2",
		"a = 1\rb = 2",
		"a = \x01",
		"# \x7f",
		"# \xff",
		"a = '\xc0\x80'",
		"a = '\xed\xa0\x80'",
		"a = '\xf4\x90\x80\x80'",
		"a = '\xe2\x82",
	};

	(void)state;
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		error.message[0] = '\0';
		if (parse(bad[i]) != NULL)
			fail_msg("accepted: %s", bad[i]);
		assert_true(error.message[0] != '\0');
		assert_true(error.line >= 1 && error.column >= 1);
	}
}

static void toml_parse__error__names_line_and_column(void **state)
{
	(void)state;
	assert_null(parse("ok = 1\r\n\r\nbad = [1,\n  2 3]\n"));
	assert_int_equal(error.line, 4);
	assert_int_equal(error.column, 5);
	assert_string_equal(error.message, "',' or ']' is expected here");
	assert_null(parse("x = 1\nx = 2\n"));
	assert_int_equal(error.line, 2);
	assert_string_equal(error.message, "x: defined twice");
}

static void toml_parse__nul_in_the_document__is_an_error(void **state)
{
	(void)state;
	assert_null(parse_bytes("a = 1\0", 6));
	assert_null(parse_bytes("# \0", 3));
	assert_null(parse_bytes("a = \"\0\"", 7));
}

static void toml_parse__deep_nesting__is_refused(void **state)
{
	char text[300];
	size_t used = 0;

	(void)state;
	memcpy(text, "a=", 2);
	for (used = 2; used < 2 + TOML_DEPTH_MAX; used++)
		text[used] = '[';
	memset(text + used, ']', TOML_DEPTH_MAX);
	assert_non_null(parse_bytes(text, used + TOML_DEPTH_MAX));
	memset(text + 2, '[', 200);
	assert_null(parse_bytes(text, 202));
	for (size_t i = 0; i < 200; i += 2)
		memcpy(text + i, "a.", 2);
	assert_null(parse_bytes(text, 200));
}

static void toml_parse__any_arena_size__fails_cleanly_or_succeeds(void **state)
{
	const char *text = "[[vm]]\nname = \"x\\ty\"\nlist = [1, {a = 'b'}]\n\"q\".k = 1\n[t]\n";
	size_t needed = 0;

	(void)state;
	for (size_t bytes = 0; bytes < 2048; bytes++) {
		struct toml_arena arena = { .base = memory, .bytes = bytes };

		error.message[0] = '\0';
		if (toml_parse(text, strlen(text), &arena, &error) == NULL)
			assert_string_equal(error.message, "the document is too large");
		else if (needed == 0)
			needed = bytes;
		else
			assert_true(bytes > needed);
	}
	assert_in_range(needed, 400, 1500);
}

static void toml_parse__every_prefix__never_reads_past_it(void **state)
{
	const char *text = "a.'b' = \"\\u00e9\" # c\nd = [1.5e3, 1979-05-27 07:32:00Z, \"\"\"x\\\n "
			   "y\"\"\"]\n[[e]]\nf = {g = 'h'}\r\n";

	(void)state;
	for (size_t length = 0; length <= strlen(text); length++)
		parse_bytes(text, length);
	assert_non_null(parse(text));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(toml_parse__strings__decodes_them),
		cmocka_unit_test(toml_parse__numbers__gives_values_and_types),
		cmocka_unit_test(toml_parse__dates__accepts_the_four_forms),
		cmocka_unit_test(toml_parse__tables__builds_the_tree),
		cmocka_unit_test(toml_parse__keys__accepts_bare_and_quoted),
		cmocka_unit_test(toml_parse__forbidden__is_an_error),
		cmocka_unit_test(toml_parse__error__names_line_and_column),
		cmocka_unit_test(toml_parse__nul_in_the_document__is_an_error),
		cmocka_unit_test(toml_parse__deep_nesting__is_refused),
		cmocka_unit_test(toml_parse__any_arena_size__fails_cleanly_or_succeeds),
		cmocka_unit_test(toml_parse__every_prefix__never_reads_past_it),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
