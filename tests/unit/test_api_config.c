/*
 * JSON: what is none is refused, and definitions go round between TOML, JSON and struct config_vm.
 *
 * UNIT_SOURCES: build/unit/api.a
 */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "drivers-vm/control/config_json_write.h"
#include "drivers-vm/control/json.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void *memory;
static struct toml_error error;
static char problems[4096];

/* The text without a byte behind it, so that a step too far is seen. */
static const struct toml_value *parse_n(const char *text, size_t length)
{
	char *exact = malloc(length == 0 ? 1 : length);
	struct toml_arena arena = { .bytes = json_measure(text, length) };
	const struct toml_value *value;

	memcpy(exact, text, length);
	free(memory);
	arena.base = memory = malloc(arena.bytes);
	value = json_parse(exact, length, &arena, &error);
	if (value != NULL && value->type == TOML_FLOAT)
		value = NULL; /* its text would be the freed one's */
	free(exact);
	return value;
}

static const struct toml_value *parse(const char *text)
{
	return parse_n(text, strlen(text));
}

static void json_parse__no_json__is_refused(void **state)
{
	static const char *const bad[] = {
		"",
		" ",
		"{",
		"}",
		"[",
		"{]",
		"[}",
		"{\"a\"}",
		"{\"a\":}",
		"{\"a\" 1}",
		"{\"a\":1,}",
		"{,}",
		"[1,]",
		"[,1]",
		"[1 2]",
		"{\"a\":1 \"b\":2}",
		"{a:1}",
		"{1:2}",
		"{\"a\":1}}",
		"1 2",
		"{\"a\":1}x",
		"tru",
		"nul",
		"True",
		"01",
		"-",
		"+1",
		"1.",
		".5",
		"1e",
		"0x1",
		"NaN",
		"'a'",
		"\"a",
		"\"\\x\"",
		"\"\\u12\"",
		"\"\\ud800\"",
		"\"\\udc00x\"",
		"\"\\ud800\\u0041\"",
		"\"\x01\"",
		"\"\xff\"",
		"\"\xc0\x80\"",
		"\"\xed\xa0\x80\"",
		"{\"a\":1,\"a\":2}",
		"[null]",
		"null",
		"{\"a\":[1}]",
		"[[]",
		"{\"a\":1,\"b\"}",
		"[\"a\":1]",
		"{\"a\":\"b\":1}",
		"\xEF\xBB\xBF{}",
		"// x\n{}",
		"[1]]",
		":",
		",",
		"{\"a\",\"b\"}",
	};

	(void)state;
	for (unsigned i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		if (parse(bad[i]) != NULL)
			fail_msg("taken: %s", bad[i]);
	assert_null(parse_n("{\"a\":\"b\0c\"}", 11));
	assert_null(parse_n("{\0}", 3));
}

static void json_parse__values__as_they_are(void **state)
{
	const struct toml_value *root = parse(
		" {\"s\":\"a\\\"\\\\\\/\\b\\f\\n\\r\\t\\u0041\\u00e9\\u20ac\\ud83d\\ude00\", \"i\": -9223372036854775808,"
		"\r\n\t\"t\":true,\"f\":false,\"n\":null,\"a\":[],\"o\":{},\"l\":[1,[2],{\"x\":\"\"}]} ");
	const struct toml_value *list;

	(void)state;
	assert_non_null(root);
	assert_int_equal(root->type, TOML_TABLE);
	assert_string_equal(toml_find(root, "s")->text.bytes, "a\"\\/\b\f\n\r\tA\u00e9\u20ac\U0001f600");
	assert_true(toml_find(root, "i")->integer == INT64_MIN);
	assert_true(toml_find(root, "t")->boolean);
	assert_false(toml_find(root, "f")->boolean);
	assert_null(toml_find(root, "n"));
	assert_int_equal(toml_find(root, "a")->children.count, 0);
	assert_int_equal(toml_find(root, "o")->type, TOML_TABLE);
	list = toml_find(root, "l");
	assert_int_equal(list->children.count, 3);
	assert_int_equal(list->children.first->next->children.first->integer, 2);
	assert_int_equal(list->children.last->children.first->text.length, 0);
	assert_int_equal(toml_find(root, "t")->line, 2);
}

static void json_parse__numbers_that_are_no_integer__are_floats(void **state)
{
	static const char *const floats[] = { "[9223372036854775808]", "[1.5]", "[1e3]", "[-0.0E+1]" };

	(void)state;
	for (unsigned i = 0; i < sizeof(floats) / sizeof(floats[0]); i++) {
		const struct toml_value *list = parse(floats[i]);

		assert_non_null(list);
		assert_int_equal(list->children.first->type, TOML_FLOAT);
	}
}

static void json_parse__too_deep_or_too_many__is_refused(void **state)
{
	char text[20000];

	(void)state;
	memset(text, '[', 1000);
	memset(text + 1000, ']', 1000);
	assert_null(parse_n(text, 2000));
	assert_null(parse_n(text, 1000));
	for (unsigned i = 0; i < 10000; i++)
		memcpy(text + 2 * i, i == 0 ? "[1" : ",1", 2);
	text[sizeof(text) - 1] = ']';
	assert_null(parse_n(text, sizeof(text)));
	assert_string_equal(error.message, "too many values");
}

static void json_parse__wrong__says_where(void **state)
{
	(void)state;
	assert_null(parse("{\n  \"a\": 1,\n  \"a\": 2\n}"));
	assert_int_equal(error.line, 3);
}

/* ---- Definitions ------------------------------------------------------------------------------------------------------------------- */

static void collect(void *ctx, const char *field, const char *detail)
{
	size_t used = strlen(problems);

	(void)ctx;
	snprintf(problems + used, sizeof(problems) - used, "%s: %s\n", field, detail);
}

static void ignore(void *ctx, const char *message)
{
	(void)ctx;
	fail_msg("%s", message);
}

static unsigned read_json(const char *text, size_t length, struct config_vm *vm)
{
	const struct config_report report = { .problem = collect };
	struct toml_arena arena = { .bytes = config_json_arena_bytes(text, length) };

	free(memory);
	arena.base = memory = malloc(arena.bytes);
	problems[0] = '\0';
	return config_read_json("web", text, length, &arena, &report, vm);
}

static void write(const struct config_vm *vm, struct text *text)
{
	struct json_out json = { .text = text };

	text_clear(text);
	config_write_json(&json, vm);
	assert_false(text->failed);
}

static const char every_key[] =
	"[[vm]]\nname = 'web'\nkernel = 'k'\ninitrd = 'i'\ncmdline = 'a \"b\" \\ \u20ac'\nmemory = '1536M'\nprefault = false\n"
	"hugepages = false\nvcpus = 3\nweight = 7\ncpus = '0-2,5,62-63'\ncap = 150\nreservation = 20\nserial = false\nconsole = 'virtio'\ndebug_exit = 0xf4\n"
	"debug_crash = 0xf5\nrng = true\nballoon = '4K'\nmemory_max = '1G'\nmemory_min = '4K'\nshare = true\ntenant = 'x'\npacked = true\nprofile = 'bare'\non_poweroff = 'restart'\non_reboot = 'destroy'\n"
	"on_crash = 'coredump-restart'\nvcpus_max = 5\nwatchdog = 'wdat'\non_watchdog = 'inject-nmi'\nautostart = false\n"
	"[[vm.disk]]\nmodule = 'm'\nreadonly = true\nserial = 's'\npartition = 128\nnum_queues = 8\niops = 5\nbandwidth = '1Gb/s'\n"
	"[[vm.disk]]\ndevice = '00:04.0'\npartlabel = 'l\u00e9'\n"
	"[[vm.disk]]\ndevice = 'd'\npartuuid = '0fc63daf-8483-4772-8e79-3d69d8477de4'\nbandwidth = '1001B/s'\n"
	"[[vm.nic]]\nmac = '02:00:00:00:00:01'\nbridge = 'b'\ntenant = 't'\nvlan = 4094\ntrunk = true\nip = ['10.0.0.1', 'fd00::1']\n"
	"rate = '3MB/s'\nmtu = 576\nnum_queues = 4\noffload = false\n"
	"[[vm.nic]]\nspoof = true\n";

static void read_toml(const char *text, struct config *config, void **toml_memory)
{
	const struct config_report report = { .error = ignore };
	struct toml_arena arena = { .bytes = CONFIG_ARENA_BYTES(strlen(text)) };

	arena.base = *toml_memory = malloc(arena.bytes);
	assert_int_equal(config_read("f", text, strlen(text), &arena, &report, config), 0);
	assert_int_equal(config->vm_count, 1);
}

static void assert_same_text(const char *a, const char *b)
{
	assert_true((a == NULL) == (b == NULL));
	if (a != NULL)
		assert_string_equal(a, b);
}

static void assert_same_disk(const struct config_disk *a, const struct config_disk *b)
{
	assert_same_text(a->module, b->module);
	assert_same_text(a->device, b->device);
	assert_same_text(a->serial, b->serial);
	assert_same_text(a->partlabel, b->partlabel);
	assert_same_text(a->partuuid, b->partuuid);
	assert_true(a->readonly == b->readonly && a->partition == b->partition && a->num_queues == b->num_queues && a->iops == b->iops &&
	            a->bandwidth == b->bandwidth);
}

static void assert_same_nic(const struct config_nic *a, const struct config_nic *b)
{
	assert_memory_equal(a->mac, b->mac, 6);
	assert_same_text(a->bridge, b->bridge);
	assert_same_text(a->tenant, b->tenant);
	assert_memory_equal(a->ip4, b->ip4, sizeof(a->ip4));
	assert_memory_equal(a->ip6, b->ip6, sizeof(a->ip6));
	assert_true(a->vlan == b->vlan && a->trunk == b->trunk && a->spoof == b->spoof && a->offload == b->offload && a->ip4s == b->ip4s &&
	            a->ip6s == b->ip6s && a->rate == b->rate && a->mtu == b->mtu && a->num_queues == b->num_queues);
}

static void assert_same_vm(const struct config_vm *a, const struct config_vm *b)
{
	assert_string_equal(a->name, b->name);
	assert_same_text(a->kernel, b->kernel);
	assert_same_text(a->initrd, b->initrd);
	assert_same_text(a->cmdline, b->cmdline);
	assert_true(a->memory_bytes == b->memory_bytes && a->vcpus == b->vcpus && a->weight == b->weight && a->cpus == b->cpus);
	assert_true(a->cap == b->cap && a->reservation == b->reservation && a->dedicated == b->dedicated);
	assert_true(a->prefault == b->prefault && a->hugepages == b->hugepages && a->serial == b->serial && a->console == b->console);
	assert_true(a->debug_exit == b->debug_exit && a->debug_crash == b->debug_crash && a->profile == b->profile);
	assert_true(a->on_poweroff == b->on_poweroff && a->on_reboot == b->on_reboot && a->on_crash == b->on_crash);
	assert_true(a->vcpus_max == b->vcpus_max && a->watchdog == b->watchdog && a->on_watchdog == b->on_watchdog &&
	            a->autostart == b->autostart);
	assert_true(a->packed == b->packed && a->rng == b->rng && a->balloon_bytes == b->balloon_bytes);
	assert_true(a->memory_max == b->memory_max && a->memory_min == b->memory_min && a->share == b->share);
	assert_same_text(a->tenant, b->tenant);
	assert_int_equal(a->disk_count, b->disk_count);
	assert_int_equal(a->nic_count, b->nic_count);
	for (unsigned i = 0; i < a->disk_count; i++)
		assert_same_disk(&a->disk[i], &b->disk[i]);
	for (unsigned i = 0; i < a->nic_count; i++)
		assert_same_nic(&a->nic[i], &b->nic[i]);
}

static void go_round(const char *toml)
{
	struct text text = { 0 }, again = { 0 };
	static struct config config;
	struct config_vm vm;
	void *toml_memory;

	read_toml(toml, &config, &toml_memory);
	write(&config.vm[0], &text);
	if (read_json(text.bytes, text.length, &vm) != 0)
		fail_msg("%.*s\n%s", (int)text.length, text.bytes, problems);
	assert_same_vm(&config.vm[0], &vm);
	write(&vm, &again);
	assert_int_equal(text.length, again.length);
	assert_memory_equal(text.bytes, again.bytes, text.length);
	text_free(&text);
	text_free(&again);
	free(toml_memory);
}

static void config_write_json__every_key_or_none__reads_back_equal(void **state)
{
	(void)state;
	go_round(every_key);
	go_round("[[vm]]\nname = 'web'\nkernel = 'k'\n");
}

static void assert_problem(const char *text, const char *expected)
{
	struct config_vm vm;

	assert_int_not_equal(read_json(text, strlen(text), &vm), 0);
	if (strcmp(problems, expected) != 0)
		fail_msg("%s\nsays\n%sinstead of\n%s", text, problems, expected);
}

static void config_read_json__wrong_value__names_its_field(void **state)
{
	(void)state;
	assert_problem("{\"kernel\":\"k\",\"memory\":\"3M\"}", "memory: \"3M\" is not a multiple of 2M between 2M and 1T\n");
	assert_problem("{\"kernel\":\"k\",\"memory\":3000000}", "memory: 3000000 is not a multiple of 2M between 2M and 1T\n");
	assert_problem("{\"kernel\":\"k\",\"memory\":-1}", "memory: -1 is not a multiple of 2M between 2M and 1T\n");
	assert_problem("{\"kernel\":\"k\",\"disk\":[{\"module\":\"m\"},{\"module\":7}]}",
	               "disk[1].module: must be a string, not an integer\n");
	assert_problem("{\"kernel\":\"k\",\"disk\":[{}]}", "disk[0]: needs one of module and device\n");
	assert_problem("{\"kernel\":\"k\",\"disk\":[1]}", "disk: must be a table, [[vm.disk]]\n");
	assert_problem("{\"kernel\":\"k\",\"nic\":[{},{\"mut\":1500}]}", "nic[1].mut: unknown key (did you mean mtu?)\n");
	assert_problem("{\"kernel\":\"k\",\"nic\":[{\"mac\":\"02:00:00:00:00:01\"},{\"mac\":\"02:00:00:00:00:01\"}]}",
	               "nic: VM \"web\" has a card with the same address: give this one another mac\n");
	assert_problem("{\"memroy\":\"2M\"}", "memroy: unknown key (did you mean memory?)\nkernel: missing\n");
	assert_problem("{\"name\":\"other\",\"kernel\":\"k\"}", "name: is not \"web\"\n");
	assert_problem("{\"name\":7,\"kernel\":\"k\"}", "name: must be a string, not an integer\n");
	assert_problem("[]", ": must be an object\n");
	assert_problem("{", ": line 1, column 2: no JSON\n");
	assert_problem("{\"kernel\":\"k\",\"balloon\":\"1G\"}", "balloon: is not smaller than memory\n");
}

static void config_read_json__null__is_not_given(void **state)
{
	static const char text[] = "{\"kernel\":\"k\",\"initrd\":null,\"memory\":null,\"balloon\":null,\"disk\":null}";
	struct config_vm vm;

	(void)state;
	assert_int_equal(read_json(text, strlen(text), &vm), 0);
	assert_null(vm.initrd);
	assert_int_equal(vm.memory_bytes, 256u << 20);
	assert_true(vm.balloon_bytes == CONFIG_NO_BALLOON);
}

/* As many tables as an array may have, and one more: the second "disk" is a duplicate, which would not be counted with the first. */
static void config_read_json__too_many_disks__is_refused(void **state)
{
	char text[1024] = "{\"kernel\":\"k\",\"disk\":[";

	(void)state;
	for (unsigned i = 0; i < 9; i++)
		strcat(text, i == 0 ? "{\"module\":\"m\"}" : ",{\"module\":\"m\"}");
	strcat(text, "]}");
	assert_problem(text, "disk: more than 8\n");
	assert_problem("{\"kernel\":\"k\",\"disk\":[],\"disk\":[]}", ": line 1, column 32: the same name twice\n");
}

static void json_string__hostile_bytes__are_escaped(void **state)
{
	struct text text = { 0 };
	struct json_out json = { .text = &text };

	(void)state;
	json_string(&json, "a\"\\\n\x1b[31m\x7f\xff\xc3\xa9\xed\xa0\x80z");
	text_add(&text, "", 1);
	assert_string_equal(text.bytes, "\"a\\\"\\\\\\n\\u001b[31m\\u007f\xef\xbf\xbd\u00e9\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbdz\"");
	text_free(&text);
}

static void json_time__known_days__as_rfc_3339(void **state)
{
	static const struct {
		uint64_t seconds;
		const char *text;
	} days[] = {
		{ 0, "\"1970-01-01T00:00:00Z\"" },           { 951782400, "\"2000-02-29T00:00:00Z\"" },
		{ 951868799, "\"2000-02-29T23:59:59Z\"" },   { 951868800, "\"2000-03-01T00:00:00Z\"" },
		{ 1732190591, "\"2024-11-21T12:03:11Z\"" },  { 1735689599, "\"2024-12-31T23:59:59Z\"" },
		{ 4107542400, "\"2100-03-01T00:00:00Z\"" },  { 4107542399, "\"2100-02-28T23:59:59Z\"" },
		{ 18446744073, "\"2554-07-21T23:34:33Z\"" },
	};

	(void)state;
	for (unsigned i = 0; i < sizeof(days) / sizeof(days[0]); i++) {
		struct text text = { 0 };
		struct json_out json = { .text = &text };

		json_time(&json, days[i].seconds * 1000000000u);
		text_add(&text, "", 1);
		assert_string_equal(text.bytes, days[i].text);
		text_free(&text);
	}
}

static int tear_down(void **state)
{
	(void)state;
	free(memory);
	return 0;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(json_parse__no_json__is_refused),
		cmocka_unit_test(json_parse__values__as_they_are),
		cmocka_unit_test(json_parse__numbers_that_are_no_integer__are_floats),
		cmocka_unit_test(json_parse__too_deep_or_too_many__is_refused),
		cmocka_unit_test(json_parse__wrong__says_where),
		cmocka_unit_test(config_write_json__every_key_or_none__reads_back_equal),
		cmocka_unit_test(config_read_json__wrong_value__names_its_field),
		cmocka_unit_test(config_read_json__null__is_not_given),
		cmocka_unit_test(config_read_json__too_many_disks__is_refused),
		cmocka_unit_test(json_string__hostile_bytes__are_escaped),
		cmocka_unit_test(json_time__known_days__as_rfc_3339),
	};

	return cmocka_run_group_tests(tests, NULL, tear_down);
}
