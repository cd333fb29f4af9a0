/*
 * The API when the control VM's heap is full: in a script of requests that use every kind of route, each allocation fails once. Each
 * request is answered or its connection ends, none is half done, what is asked for afterwards works, and no block of the heap is lost.
 *
 * UNIT_SOURCES: build/unit/api.a build/unit/api_fakes.a build/unit/api.a build/unit/mbedtls.a
 * UNIT_FLAGS: -Wl,--wrap=malloc -Wl,--wrap=calloc -Wl,--wrap=realloc -Wl,--wrap=free
 */
#define _GNU_SOURCE
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "drivers-vm/control/api/api.h"
#include "tests/unit/api_client.h"
#include "tools/sim/sim.h"

#define NEVER  1000000
#define SECOND 1000000000ull

void *__real_malloc(size_t bytes);
void *__real_calloc(size_t count, size_t bytes);
void *__real_realloc(void *p, size_t bytes);
void __real_free(void *p);

/* Volatile: a compiler knows that malloc reads no variables. */
static volatile int failing_after = -1; /* so many allocations succeed, the next one fails; negative: all succeed */
static volatile int blocks;             /* of the heap, in use */
static char admin[API_TOKEN_BYTES];

static bool fails_now(void)
{
	return failing_after >= 0 && failing_after-- == 0;
}

void *__wrap_malloc(size_t bytes)
{
	void *p = fails_now() ? NULL : __real_malloc(bytes);

	blocks += p != NULL;
	return p;
}

void *__wrap_calloc(size_t count, size_t bytes)
{
	void *p = fails_now() ? NULL : __real_calloc(count, bytes);

	blocks += p != NULL;
	return p;
}

void *__wrap_realloc(void *p, size_t bytes)
{
	void *q = fails_now() ? NULL : __real_realloc(p, bytes);

	blocks += p == NULL && q != NULL;
	return q;
}

void __wrap_free(void *p)
{
	blocks -= p != NULL;
	__real_free(p);
}

uint64_t sim_now_ns(void)
{
	return client_now_ns;
}

uint64_t sim_wall_ns(void)
{
	return 1700000000 * SECOND + client_now_ns;
}

/* ---- The script ---------------------------------------------------------------------------------------------------------------------- */

static const struct {
	const char *line, *type, *body;
	int status;
} requests[] = {
	{ "GET /api/v1/whoami", NULL, NULL, 200 },
	{ "GET /api/v1/host", NULL, NULL, 200 },
	{ "GET /api/v1/vms", NULL, NULL, 200 },
	{ "PUT /api/v1/images/mine", "application/octet-stream", "an image, of no use", 201 },
	{ "GET /api/v1/images", NULL, NULL, 200 },
	{ "PUT /api/v1/vms/new", "application/json", "{\"kernel\":\"vmlinuz\",\"memory\":\"16M\",\"cmdline\":\"quiet\"}", 201 },
	{ "PUT /api/v1/vms/new", "application/json", "{\"kernel\":\"vmlinuz\",\"memory\":\"32M\"}", 200 },
	{ "PUT /api/v1/vms/new/autostart", "application/json", "{\"enabled\":true}", 200 },
	{ "GET /api/v1/vms/new", NULL, NULL, 200 },
	{ "POST /api/v1/vms/new/boot", NULL, NULL, 202 },
	{ "POST /api/v1/vms/new/pause", NULL, NULL, 202 },
	{ "GET /api/v1/vms/new/console", NULL, NULL, 200 },
	{ "POST /api/v1/vms/new/resume", NULL, NULL, 202 },
	{ "POST /api/v1/vms/new/shutdown", "application/json", "{\"force\":true}", 202 },
	{ "POST /api/v1/tokens", "application/json", "{\"name\":\"one\",\"role\":\"viewer\"}", 201 },
	{ "GET /api/v1/tokens", NULL, NULL, 200 },
	{ "GET /api/v1/events", NULL, NULL, 200 },
	{ "GET /api/v1/audit", NULL, NULL, 200 },
	{ "GET /api/v1/log", NULL, NULL, 200 },
	{ "GET /metrics", NULL, NULL, 200 },
	{ "GET /api/v1/openapi.yaml", NULL, NULL, 200 },
	{ "POST /api/v1/host/reboot", "application/json", "{\"timeout_seconds\":9}", 202 },
	{ "DELETE /api/v1/tokens/one", NULL, NULL, 204 },
	{ "DELETE /api/v1/vms/new", NULL, NULL, 204 },
	{ "DELETE /api/v1/images/mine", NULL, NULL, 204 },
};
#define REQUESTS (sizeof(requests) / sizeof(requests[0]))

/* The status of the answer; 0: the connection has ended without one, or there was none. */
static int ask(unsigned i)
{
	char request[2048];
	struct client client;
	static char got[CLIENT_BYTES + 1];
	int status = 0;
	uint8_t peer[16] = { [10] = 0xFF, [11] = 0xFF, [12] = 10, [15] = 1 };

	snprintf(request, sizeof(request),
	         "%s HTTP/1.1\r\nHost: h\r\nAuthorization: Bearer %s\r\nContent-Type: %s\r\nContent-Length: %zu\r\n\r\n%s",
	         requests[i].line, admin, requests[i].type != NULL ? requests[i].type : "application/json",
	         requests[i].body != NULL ? strlen(requests[i].body) : 0, requests[i].body != NULL ? requests[i].body : "");
	client = (struct client){ .got = got, .room = CLIENT_BYTES };
	client.got[0] = '\0';
	client.conn = http_open(&client_transport, &client, peer, client_now_ns);
	client_send(&client, request);
	for (unsigned n = 0; n < 3 && client.conn != NULL; n++)
		client_wait(SECOND / 10);
	sscanf(client.got, "HTTP/1.1 %d", &status);
	if (client.conn != NULL)
		http_close(client.conn);
	return status;
}

/* The whole script; returns how many requests were not answered as they are in a quiet hour. */
static unsigned run_script(int nth)
{
	unsigned refused = 0;

	failing_after = nth;
	for (unsigned i = 0; i < REQUESTS; i++) {
		bool fresh = failing_after >= 0;
		int status = ask(i);
		bool hit = fresh && failing_after < 0;

		refused += status != requests[i].status;
		if (hit && status != requests[i].status && status != 0 && status != 503 && status != 507)
			fail_msg("failure %d, in %s: status %d", nth, requests[i].line, status);
		if (hit && status != requests[i].status)
			ask(i); /* an operator asks again */
	}
	failing_after = -1;
	for (unsigned i = REQUESTS - 3; i < REQUESTS; i++)
		ask(i);
	client_now_ns += SECOND;
	http_poll(client_now_ns);
	return refused;
}

static void each_allocation__fails_once__requests_are_answered_and_nothing_is_lost(void **state)
{
	unsigned refusals = 0;
	int count, before;

	(void)state;
	run_script(-1); /* fills the rings of events and entries as far as they grow */
	before = blocks;
	assert_int_equal(run_script(NEVER), 0);
	assert_int_equal(blocks, before);
	failing_after = NEVER;
	for (unsigned i = 0; i < REQUESTS; i++)
		ask(i);
	count = NEVER - failing_after;
	failing_after = -1;
	for (int nth = 0; nth < count; nth++) {
		refusals += run_script(nth) != 0;
		if (blocks != before)
			fail_msg("failure %d: %d blocks more than before", nth, blocks - before);
	}
	assert_int_equal(run_script(-1), 0);
	print_message("%d allocations fail once each: a request is refused in %u of these runs\n", count, refusals);
	assert_true(count > 30 && refusals > 20);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(each_allocation__fails_once__requests_are_answered_and_nothing_is_lost),
	};

	fake_manager_start(2);
	api_start();
	if (!api_first_token(admin))
		return 1;
	return cmocka_run_group_tests_name("the API without memory", tests, NULL, NULL);
}
