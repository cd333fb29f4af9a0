/*
 * The fuzz target of definitions as JSON under a fixed series of pseudo-random inputs: right ones with pieces changed, cut out, doubled and
 * joined.
 *
 * UNIT_SOURCES: tests/fuzz/fuzz_api_json.c build/unit/api.a
 */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "tests/unit/fuzz_mutate.h"

#define RUNS 100000u

static const struct fuzz_seed seeds[] = {
	FUZZ_SEED("{\"kernel\":\"vmlinuz\",\"memory\":\"64M\",\"vcpus\":2,\"cpus\":\"0-3,6\",\"balloon\":4096}"),
	FUZZ_SEED("{\"kernel\":\"k\",\"disk\":[{\"module\":\"m\",\"iops\":5},{\"device\":\"d\",\"partlabel\":\"l\"}]}"),
	FUZZ_SEED("{\"kernel\":\"k\",\"nic\":[{\"mac\":\"02:00:00:00:00:01\",\"ip\":[\"10.0.0.1\",\"fd00::1\"],\"rate\":\"1Gb/s\"}]}"),
	FUZZ_SEED("{\"kernel\":\"k\",\"cmdline\":\"a\\\"\\\\\\u00e9\\ud83d\\ude00\xC3\xA9\",\"serial\":true,\"name\":\"vm\",\"rng\":null}"),
	FUZZ_SEED(
		"{\"kernel\":\"k\",\"serial\":false,\"console\":\"virtio\",\"on_crash\":\"restart\",\"profile\":\"bare\",\"cpus\":[0,63]}"),
	FUZZ_SEED("{ \"kernel\" : \"k\" , \"weight\" : -1.5e3 , \"disk\" : [ [ [ ] ] ] }"),
};

static void config_read_json__random_text__taken_means_written_and_read_again(void **state)
{
	(void)state;
	fuzz_run(seeds, sizeof(seeds) / sizeof(seeds[0]), RUNS);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(config_read_json__random_text__taken_means_written_and_read_again),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
