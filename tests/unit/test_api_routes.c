/*
 * The routes over the simulator's manager and store, in virtual time: tokens, their limits, the audit log, what is stored, uploads.
 *
 * UNIT_SOURCES: build/unit/api.a build/unit/api_fakes.a build/unit/api.a build/unit/mbedtls.a
 */
#define _GNU_SOURCE
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "drivers-vm/control/api/api.h"
#include "drivers-vm/control/api/audit.h"
#include "drivers-vm/control/api/auth.h"
#include "drivers-vm/control/events.h"
#include "drivers-vm/control/store/store.h"
#include "tests/unit/api_client.h"
#include "tools/sim/sim.h"

#define SECOND 1000000000ull

static char admin[API_TOKEN_BYTES];

uint64_t sim_now_ns(void)
{
	return client_now_ns;
}

uint64_t sim_wall_ns(void)
{
	return 1700000000 * SECOND + client_now_ns;
}

/* Sends a request with a token and a JSON body, which may both be NULL; the answer is client->got. */
static int ask_from(uint8_t peer, const char *line, const char *token, const char *body, char answer[4096])
{
	static char request[200000];
	struct client client;
	int status = 0;

	snprintf(request, sizeof(request),
	         "%s HTTP/1.1\r\nHost: h\r\n%s%s%sContent-Type: application/json\r\nContent-Length: %zu\r\n\r\n%s", line,
	         token == NULL ? "" : "Authorization: Bearer ", token == NULL ? "" : token, token == NULL ? "" : "\r\n",
	         body == NULL ? 0 : strlen(body), body == NULL ? "" : body);
	if (!client_open_from(&client, peer))
		fail_msg("no connection");
	for (size_t at = 0, length = strlen(request); at < length; at += 8192)
		client_send_bytes(&client, request + at, length - at < 8192 ? length - at : 8192);
	sscanf(client.got, "HTTP/1.1 %d", &status);
	snprintf(answer, 4096, "%s", client.got);
	client_close(&client);
	return status;
}

static char got[4096];

static int ask(const char *line, const char *body)
{
	return ask_from(1, line, admin, body, got);
}

static int set_up(void **state)
{
	static bool started;

	(void)state;
	client_now_ns += 3600 * SECOND; /* earlier wrong tokens are forgotten */
	if (started)
		return 0;
	started = true;
	fake_manager_start(2);
	api_start();
	return api_first_token(admin) ? 0 : -1;
}

/* ---- Tokens ------------------------------------------------------------------------------------------------------------------------ */

static void api_first_token__there_is_one__none_is_made(void **state)
{
	char token[API_TOKEN_BYTES];

	(void)state;
	assert_int_equal(strlen(admin), API_TOKEN_BYTES - 1);
	assert_false(api_first_token(token));
}

static void auth_load__store_has_tokens__they_are_valid_again(void **state)
{
	size_t bytes;
	const char *record = store_get("token/first", &bytes);

	(void)state;
	assert_non_null(record);
	assert_null(memmem(record, bytes, admin, 20)); /* the secret is not in it */
	assert_int_equal(ask("POST /api/v1/tokens", "{\"name\":\"kept\",\"role\":\"viewer\"}"), 201);
	auth_load();
	assert_true(auth_check(admin, strlen(admin)) >= 0);
	assert_int_equal(ask("DELETE /api/v1/tokens/kept", NULL), 204);
	auth_load();
	assert_null(store_get("token/kept", &bytes));
}

static void auth_load__hostile_records__are_left_out(void **state)
{
	static const char digest[] = "0000000000000000000000000000000000000000000000000000000000000000";
	char record[200];

	(void)state;
	store_put("token/a", "1 admin 5", 9, 0);
	snprintf(record, sizeof(record), "1 root 5 %s", digest);
	store_put("token/b", record, strlen(record), 0);
	snprintf(record, sizeof(record), "2 admin 5 %s", digest);
	store_put("token/c", record, strlen(record), 0);
	snprintf(record, sizeof(record), "1 admin 5 %sx", digest);
	store_put("token/d", record, strlen(record), 0);
	snprintf(record, sizeof(record), "1 admin 5 %s", digest);
	store_put("token/bad name", record, strlen(record), 0);
	store_put("token/", record, strlen(record), 0);
	auth_load();
	unsigned count = 0;

	for (unsigned i = 0; i < AUTH_TOKENS_MAX; i++)
		count += auth_at(i) != NULL;
	assert_int_equal(count, 1);
	for (const char *key; (key = store_next("token/", "")) != NULL && strcmp(key, "token/first") != 0;)
		store_remove(key);
}

static void auth_check__nearly_right__is_wrong(void **state)
{
	char token[API_TOKEN_BYTES + 1];

	(void)state;
	for (unsigned i = 0; i < strlen(admin); i++) {
		strcpy(token, admin);
		token[i] ^= 1;
		assert_int_equal(auth_check(token, strlen(token)), -1);
	}
	assert_int_equal(auth_check(admin, strlen(admin) - 1), -1);
	assert_int_equal(auth_check("", 0), -1);
	strcat(strcpy(token, admin), "x");
	assert_int_equal(auth_check(token, strlen(token)), -1);
}

static void auth_create__more_than_there_is_room_for__507(void **state)
{
	char body[80], line[80];
	unsigned made = 0;

	(void)state;
	for (;; made++) {
		snprintf(body, sizeof(body), "{\"name\":\"t%u\",\"role\":\"viewer\"}", made);
		if (ask("POST /api/v1/tokens", body) != 201)
			break;
	}
	assert_int_equal(made, AUTH_TOKENS_MAX - 1);
	assert_non_null(strstr(got, "HTTP/1.1 507 "));
	for (unsigned i = 0; i < made; i++) {
		snprintf(line, sizeof(line), "DELETE /api/v1/tokens/t%u", i);
		assert_int_equal(ask(line, NULL), 204);
	}
}

static void authenticate__wrong_tokens__only_their_address_has_to_wait(void **state)
{
	(void)state;
	for (unsigned i = 0; i < AUTH_PEER_BURST; i++)
		assert_int_equal(ask_from(7, "GET /api/v1/host", "hilum_wrong", NULL, got), 401);
	assert_int_equal(ask_from(7, "GET /api/v1/host", "hilum_wrong", NULL, got), 429);
	assert_non_null(strstr(got, "Retry-After: 6\r\n"));
	assert_int_equal(ask_from(7, "GET /api/v1/host", admin, NULL, got), 429); /* no guessing behind a wrong answer's back */
	assert_int_equal(ask_from(8, "GET /api/v1/host", admin, NULL, got), 200);
	client_now_ns += 6 * SECOND;
	assert_int_equal(ask_from(7, "GET /api/v1/host", admin, NULL, got), 200);
}

static void authenticate__many_addresses_fail__who_has_not_failed_is_heard(void **state)
{
	unsigned refused = 0;

	(void)state;
	for (unsigned i = 0; i < 200; i++)
		refused += ask_from((uint8_t)(20 + i % 40), "GET /api/v1/host", "hilum_wrong", NULL, got) == 429;
	assert_in_range(refused, 90, 110);
	assert_int_equal(ask_from(9, "GET /api/v1/host", admin, NULL, got), 200);
}

static void auth_wait_seconds__one_network_of_ipv6__counts_as_one(void **state)
{
	uint8_t peer[16] = { 0x20, 0x01, 0x0D, 0xB8 };

	(void)state;
	for (unsigned i = 0; i < AUTH_PEER_BURST; i++) {
		peer[15] = (uint8_t)i;
		assert_int_equal(auth_wait_seconds(peer, client_now_ns), 0);
		auth_note_failure(peer, client_now_ns);
	}
	peer[15] = 200;
	assert_int_not_equal(auth_wait_seconds(peer, client_now_ns), 0);
	peer[7] = 1;
	assert_int_equal(auth_wait_seconds(peer, client_now_ns), 0);
}

/* ---- The audit log ----------------------------------------------------------------------------------------------------------------- */

static void audit_add__flood_of_refusals__what_was_done_stays(void **state)
{
	struct audit_entry done = { .token = "first", .path = "/the-deed", .status = 200 }, refused = { .status = 401 }, entry;
	uint64_t id = 0, before = audit_last_id(), refusals = 0;
	bool found = false;

	(void)state;
	audit_add(&done);
	for (unsigned i = 0; i < 5000; i++)
		audit_add(&refused);
	while (audit_after(id, &entry)) {
		assert_true(entry.id > id);
		id = entry.id;
		found |= strcmp(entry.path, "/the-deed") == 0;
		refusals += entry.id > before && entry.status == 401;
	}
	assert_true(found);
	assert_int_equal(refusals, AUDIT_REFUSED_KEPT);
	assert_int_equal(audit_last_id(), before + 5001);
}

/* ---- Definitions ------------------------------------------------------------------------------------------------------------------- */

static void api_load_definitions__stored__defined_again(void **state)
{
	static const char wins[] = "{\"kernel\":\"vmlinuz\",\"memory\":\"32M\"}", bad[] = "{\"kernel\":\"vmlinuz\",\"memory\":\"33M\"}";
	struct manager_vm vm;
	size_t bytes;

	(void)state;
	assert_int_equal(ask("PUT /api/v1/vms/kept", "{\"kernel\":\"vmlinuz\",\"memory\":\"16M\"}"), 201);
	assert_non_null(store_get("vm/kept", &bytes));
	struct manager_error error;

	assert_int_equal(manager_undefine("kept", &error), MANAGER_OK); /* as by a restart of the machine */
	store_put("vm/spare", wins, strlen(wins), 0);
	store_put("vm/broken", bad, strlen(bad), 0);
	uint64_t last = event_last_id();
	struct event event;
	bool told = false;

	assert_int_equal(api_load_definitions(), 2);
	assert_true(manager_find("kept", &vm));
	assert_int_equal(vm.config->memory_bytes, 16u << 20);
	assert_true(manager_find("spare", &vm));
	assert_int_equal(vm.config->memory_bytes, 32u << 20);
	assert_false(manager_find("broken", &vm));
	for (; event_after(last, &event); last = event.id)
		told |= strcmp(event.kind, "vm.invalid") == 0 && strcmp(event.name, "broken") == 0 &&
		        strstr(event.message, "memory: ") != NULL;
	assert_true(told);
	assert_non_null(store_get("vm/broken", &bytes)); /* what a later version may understand is not thrown away */
	store_remove("vm/broken");
	assert_int_equal(ask("DELETE /api/v1/vms/kept", NULL), 204);
	assert_null(store_get("vm/kept", &bytes));
}

static void route_put_vm__does_not_fit_the_store__nothing_changes(void **state)
{
	static char body[70000];
	struct manager_vm vm;
	size_t used = (size_t)sprintf(body, "{\"kernel\":\"vmlinuz\",\"cmdline\":\"");

	(void)state;
	assert_int_equal(ask("PUT /api/v1/vms/big", "{\"kernel\":\"vmlinuz\",\"memory\":\"16M\"}"), 201);
	memset(body + used, '"', 65530); /* each takes two bytes in JSON */
	for (unsigned i = 0; i < 65530; i += 2)
		body[used + i] = '\\';
	strcpy(body + used + 65530, "\"}");
	assert_int_equal(ask("PUT /api/v1/vms/big", body), 507);
	assert_true(manager_find("big", &vm));
	assert_int_equal(vm.config->memory_bytes, 16u << 20);
	size_t bytes;

	assert_non_null(store_get("vm/big", &bytes));
	assert_true(bytes < 1000);
	assert_int_equal(ask("DELETE /api/v1/vms/big", NULL), 204);
}

static void route_put_vm__same_definition__same_version(void **state)
{
	struct manager_vm before, after;

	(void)state;
	assert_int_equal(ask("PUT /api/v1/vms/linux", "{\"kernel\":\"vmlinuz\",\"memory\":\"16M\"}"), 200);
	assert_true(manager_find("linux", &before));
	assert_true(before.change_pending);
	/* It runs with another one: this is a change again, and is noticed as one. */
	assert_int_equal(ask("PUT /api/v1/vms/linux", "{\"kernel\":\"vmlinuz\",\"memory\":\"32M\"}"), 200);
	assert_true(manager_find("linux", &after));
	assert_true(after.version > before.version);
}

/* ---- Bodies ------------------------------------------------------------------------------------------------------------------------ */

static void take_json__token_withdrawn_meanwhile__401(void **state)
{
	struct client client;
	char token[API_TOKEN_BYTES], head[300];

	(void)state;
	assert_int_equal(auth_create("brief", AUTH_ADMIN, token), AUTH_OK);
	snprintf(
		head, sizeof(head),
		"PUT /api/v1/vms/x HTTP/1.1\r\nHost: h\r\nAuthorization: bearer %s\r\nContent-Type: application/json\r\nContent-Length: 20\r\n\r\n",
		token);
	client_open(&client);
	client_send(&client, head);
	assert_true(http_is_busy(client.conn));
	assert_int_equal(auth_remove("brief"), AUTH_OK);
	client_send(&client, "{\"kernel\":\"vmlinuz\"}");
	assert_int_equal(strncmp(client.got, "HTTP/1.1 401 ", 13), 0);
	client_close(&client);
}

static unsigned count_images(void)
{
	struct manager_image image;
	unsigned count = 0;

	while (manager_image_at(count, &image))
		count++;
	return count;
}

static void route_put_image__connection_lost__nothing_stays(void **state)
{
	struct client client;
	char head[300];
	unsigned before = count_images();

	(void)state;
	snprintf(head, sizeof(head),
	         "PUT /api/v1/images/part HTTP/1.1\r\nHost: h\r\nAuthorization: Bearer %s\r\nContent-Length: 100\r\n\r\nabc", admin);
	client_open(&client);
	client_send(&client, head);
	assert_int_equal(count_images(), before + 1);
	client_close(&client);
	assert_int_equal(count_images(), before);
	/* The same for one that stalls. */
	client_open(&client);
	client_send(&client, head);
	client_wait(31 * SECOND);
	assert_int_equal(strncmp(client.got, "HTTP/1.1 408 ", 13), 0);
	client_wait(3 * SECOND);
	assert_int_equal(count_images(), before);
	client_close(&client);
}

static void http_is_busy__without_a_valid_token__is_not(void **state)
{
	struct client client;

	(void)state;
	client_open(&client);
	assert_false(http_is_busy(client.conn));
	client_send(&client, "GET /api/v1/host HTTP/1.1\r\nHost: h\r\n\r\n");
	assert_false(http_is_busy(client.conn));
	client_close(&client);
}

static void take_json__many_large_bodies_at_once__503_and_the_rest_is_served(void **state)
{
	struct client clients[40];
	static char piece[30000];
	char head[300];
	unsigned refused = 0;

	(void)state;
	memset(piece, ' ', sizeof(piece));
	snprintf(
		head, sizeof(head),
		"PUT /api/v1/vms/x HTTP/1.1\r\nHost: h\r\nAuthorization: Bearer %s\r\nContent-Type: application/json\r\nContent-Length: 131072\r\n\r\n",
		admin);
	for (unsigned i = 0; i < 40; i++) {
		client_open(&clients[i]);
		client_send(&clients[i], head);
		for (unsigned k = 0; k < 4; k++)
			client_send_bytes(&clients[i], piece, sizeof(piece));
		refused += strncmp(clients[i].got, "HTTP/1.1 503 ", 13) == 0;
	}
	assert_in_range(refused, 20, 30);
	for (unsigned i = 0; i < 40; i++)
		client_close(&clients[i]);
	assert_int_equal(ask("GET /api/v1/vms", NULL), 200);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(api_first_token__there_is_one__none_is_made, set_up),
		cmocka_unit_test_setup(auth_load__store_has_tokens__they_are_valid_again, set_up),
		cmocka_unit_test_setup(auth_load__hostile_records__are_left_out, set_up),
		cmocka_unit_test_setup(auth_check__nearly_right__is_wrong, set_up),
		cmocka_unit_test_setup(auth_create__more_than_there_is_room_for__507, set_up),
		cmocka_unit_test_setup(authenticate__wrong_tokens__only_their_address_has_to_wait, set_up),
		cmocka_unit_test_setup(authenticate__many_addresses_fail__who_has_not_failed_is_heard, set_up),
		cmocka_unit_test_setup(auth_wait_seconds__one_network_of_ipv6__counts_as_one, set_up),
		cmocka_unit_test_setup(audit_add__flood_of_refusals__what_was_done_stays, set_up),
		cmocka_unit_test_setup(api_load_definitions__stored__defined_again, set_up),
		cmocka_unit_test_setup(route_put_vm__does_not_fit_the_store__nothing_changes, set_up),
		cmocka_unit_test_setup(route_put_vm__same_definition__same_version, set_up),
		cmocka_unit_test_setup(take_json__token_withdrawn_meanwhile__401, set_up),
		cmocka_unit_test_setup(route_put_image__connection_lost__nothing_stays, set_up),
		cmocka_unit_test_setup(http_is_busy__without_a_valid_token__is_not, set_up),
		cmocka_unit_test_setup(take_json__many_large_bodies_at_once__503_and_the_rest_is_served, set_up),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
