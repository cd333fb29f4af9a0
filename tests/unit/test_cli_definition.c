/*
 * Definitions between TOML and JSON, and the figures that top shows.
 *
 * UNIT_SOURCES: tools/cli/definition.c tools/cli/definition_text.c tools/cli/sample.c tools/cli/json.c tools/cli/text.c
 * UNIT_SOURCES: tools/cli/memory.c tools/cli/toml_text.c drivers-vm/control/toml.c drivers-vm/control/toml_scalar.c
 * UNIT_SOURCES: drivers-vm/control/toml_string.c drivers-vm/control/toml_value.c
 * UNIT_FLAGS: -D_GNU_SOURCE -ljansson
 */
#include "tools/cli/cli.h"
#include "tools/cli/definition.h"
#include "tools/cli/sample.h"

#include "cmocka_all.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

void cli_error(const char *format, ...)
{
	(void)format;
}

static void check_json(const json_t *json, const char *expected)
{
	char *text = json_dumps(json, JSON_COMPACT | JSON_SORT_KEYS);

	assert_string_equal(text, expected);
	free(text);
}

static void definition_read__values_of_every_type__are_json_s(void **state)
{
	static const char text[] = "[[vm]]\nname = \"a\"\ni = -5\nb = true\nf = 1_0.5\nn = inf\nd = 2026-11-21\nl = [1, \"x\"]\nt = {k = "
				   "1}\n[[vm.disk]]\n[[vm.disk]]\nm = 1\n";
	struct definitions definitions;

	(void)state;
	assert_true(definition_read("f", text, strlen(text), &definitions));
	check_json(definitions.vms,
	           "[{\"b\":true,\"d\":\"2026-11-21\",\"disk\":[{},{\"m\":1}],\"f\":10.5,\"i\":-5,\"l\":[1,\"x\"],\"n\":\"inf\",\"name\":"
	           "\"a\",\"t\":{\"k\":1}}]");
	definition_free(&definitions);
}

static void definition_format__any_definition__is_read_as_it_was(void **state)
{
	static const char *const configs[] = {
		"{}",
		"{\"cmdline\":\"a\\\"b\\\\c\\u0007\\u001b\\u009b\\u202e\\u00fc\\n\",\"memory\":\"1G\",\"name\":\"n\"}",
		"{\"b\":false,\"cpus\":[0,1],\"disk\":[{\"a b\":1},{}],\"i\":9223372036854775807,\"nic\":[{\"ip\":[\"::1\"]}]}",
	};

	(void)state;
	for (unsigned i = 0; i < sizeof(configs) / sizeof(configs[0]); i++) {
		json_t *config = json_loads(configs[i], 0, NULL);
		struct definitions definitions;
		char *text;

		json_object_del(config, "name");
		text = definition_format("n", config);
		json_object_set_new(config, "name", json_string("n"));
		assert_true(definition_read("f", text, strlen(text), &definitions));
		assert_true(json_equal(json_array_get(definitions.vms, 0), config));
		definition_free(&definitions);
		json_decref(config);
		free(text);
	}
}

static void definition_find_line__paths_of_any_form__stay_inside(void **state)
{
	static const char text[] =
		"[[vm]]\nname = \"a\"\nmemory = 1\n[[vm]]\nname = \"b\"\n[[vm.disk]]\nmodule = 1\n[[vm.nic]]\nip = [\n\"x\",\n\"y\"]\n";
	static const struct {
		size_t index;
		const char *field;
		uint32_t line;
	} cases[] = { { 0, "memory", 3 },
		      { 0, "kernel", 1 },
		      { 0, "", 1 },
		      { 1, "disk[0].module", 7 },
		      { 1, "disk[0]", 6 },
		      { 1, "disk[7].module", 6 },
		      { 1, "nic[0].ip[1]", 11 },
		      { 1, "nic[0].ip[", 9 },
		      { 1, "nic[-1]", 8 },
		      { 1, "[0]", 4 },
		      { 1, "...", 4 },
		      { 1, "disk[0]]", 6 },
		      { 1, "name.x.y", 5 },
		      { 2, "memory", 0 },
		      { 1, "disk[99999999999999999999]", 6 } };
	struct definitions definitions;

	(void)state;
	assert_true(definition_read("f", text, strlen(text), &definitions));
	for (unsigned i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
		assert_int_equal(definition_find_line(&definitions, cases[i].index, cases[i].field), cases[i].line);
	definition_free(&definitions);
}

static void add_sample(struct sample_set *set, double seconds, const char *text)
{
	json_t *vm = json_loads(text, 0, NULL);

	assert_non_null(vm);
	sample_add(set, vm, seconds);
	json_decref(vm);
}

static void sample_rate__two_samples__have_what_happened_a_second(void **state)
{
	struct sample_set before = { 0 }, now = { 0 };
	struct sample_rates rates;

	(void)state;
	add_sample(&before, 10, "{\"name\":\"b\",\"cpu_ns\":5}");
	add_sample(&before, 10,
	           "{\"name\":\"a\",\"cpu_ns\":1000000000,\"stats\":{\"vcpus\":[{\"exits\":{\"hlt\":5}}],\"disks\":[{\"read_bytes\":1}]}}");
	add_sample(
		&now, 12,
		"{\"name\":\"a\",\"cpu_ns\":4000000000,\"stats\":{\"vcpus\":[{\"ready_ns\":500000000,\"exits\":{\"hlt\":10,\"io\":4}},{\"exits\":{\"hlt\":1}}],"
		"\"disks\":[{\"read_bytes\":101},{\"read_bytes\":100}],\"nics\":[{\"rx_bytes\":8,\"tx_bytes\":6}]}}");
	rates = sample_rate(&before, &now.samples[0]);
	assert_true(rates.cpu_percent == 150 && rates.exits == 5 && rates.read_bytes == 100 && rates.write_bytes == 0);
	assert_true(rates.rx_bytes == 4 && rates.tx_bytes == 3 && rates.steal_percent == 25);
	sample_free(&before);
	sample_free(&now);
}

static void sample_rate__counts_that_went_back_or_no_sample_before__is_zero(void **state)
{
	struct sample_set before = { 0 }, now = { 0 };
	struct sample_rates rates;

	(void)state;
	add_sample(&before, 10, "{\"name\":\"a\",\"cpu_ns\":18446744073709551}");
	add_sample(&now, 11, "{\"name\":\"a\",\"cpu_ns\":5}");
	add_sample(&now, 11, "{\"name\":\"new\",\"cpu_ns\":5}");
	rates = sample_rate(&before, &now.samples[0]);
	assert_true(rates.cpu_percent == 0);
	rates = sample_rate(&before, &now.samples[1]);
	assert_true(rates.cpu_percent == 0);
	sample_free(&before);
	sample_free(&now);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(definition_read__values_of_every_type__are_json_s),
		cmocka_unit_test(definition_format__any_definition__is_read_as_it_was),
		cmocka_unit_test(definition_find_line__paths_of_any_form__stay_inside),
		cmocka_unit_test(sample_rate__two_samples__have_what_happened_a_second),
		cmocka_unit_test(sample_rate__counts_that_went_back_or_no_sample_before__is_zero),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
