/*
 * The fuzz target of the API under a fixed series of pseudo-random requests, so that every run of the tests covers it: right ones with
 * pieces changed, cut out, doubled and joined.
 *
 * UNIT_SOURCES: tests/fuzz/fuzz_api_http.c build/unit/api.a build/unit/api_fakes.a build/unit/api.a build/unit/mbedtls.a
 */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "tests/unit/fuzz_mutate.h"

#define RUNS 4000u

/* 1, 2 and 3 stand for a token, an upgrade and a content type: see the target. */
static const struct fuzz_seed seeds[] = {
	FUZZ_SEED("\xFF\x08GET /api/v1/host \x01\r\n"),
	FUZZ_SEED("\x07\x20GET /api/v1/vms \x01\r\nGET /metrics \x01\r\n"),
	FUZZ_SEED("\xFF\x08PUT /api/v1/vms/x \x01\x03"
	          "Content-Length: 20\r\n\r\n{\"kernel\":\"vmlinuz\"}"),
	FUZZ_SEED(
		"\xFF\x08PUT /api/v1/vms/x \x01\x03Transfer-Encoding: chunked\r\n\r\n5\r\n{\"ker\r\nF\r\nnel\":\"vmlinuz\"}\r\n0\r\n\r\n"),
	FUZZ_SEED("\xFF\x08POST /api/v1/vms/linux/shutdown \x01\x03"
	          "Content-Length: 14\r\n\r\n{\"force\":true}"),
	FUZZ_SEED("\xFF\x08POST /api/v1/vms/linux/boot \x01"
	          "Content-Length: 0\r\n\r\nDELETE /api/v1/vms/x \x01\r\n"),
	FUZZ_SEED("\xFF\x08POST /api/v1/tokens \x01\x03"
	          "Content-Length: 28\r\n\r\n{\"name\":\"a\",\"role\":\"viewer\"}"),
	FUZZ_SEED("\xFF\x08PUT /api/v1/images/i \x01"
	          "Content-Length: 10\r\nExpect: 100-continue\r\n\r\n0123456789"),
	FUZZ_SEED("\x03\x40GET /api/v1/vms/linux/console?tail=9 \x01\x02\x82\x85\0\0\0\0ls\r\n\r\x89\x80\0\0\0\0\x88\x80\0\0\0\0"),
	FUZZ_SEED("\xFF\x40GET /api/v1/events?since=0 \x01\x02\x01\x81\0\0\0\0x\x80\xFE\0\x80\0\0\0\0"),
	FUZZ_SEED("\xFF\x40GET /api/v1/vms/linux/gdb \x01\x02\x82\x84\1\2\3\4$?#3f"),
	FUZZ_SEED("\xFF\x08GET /api/v1/log?since=10 \x01\r\nHEAD / HTTP/1.1\r\nHost: h\r\n\r\nGET /healthz HTTP/1.0\r\n\r\n"),
	FUZZ_SEED("\xFF\x08GET /api/v1/audit?since=1 \x01\r\nGET /api/v1/openapi.yaml HTTP/1.1\r\nHost: h\r\n\r\n"),
};

static void http_receive__random_requests__nothing_outside_and_nothing_kept(void **state)
{
	(void)state;
	fuzz_run(seeds, sizeof(seeds) / sizeof(seeds[0]), RUNS);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(http_receive__random_requests__nothing_outside_and_nothing_kept),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
