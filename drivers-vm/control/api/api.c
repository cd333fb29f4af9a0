/*
 * From a request's head to its route: path, then token, then role, then method, then body. Nothing that a client without a valid token
 * sends is kept, but what the audit log says of it.
 */
#include "drivers-vm/control/api/api.h"

#include "drivers-vm/control/api/audit.h"
#include "drivers-vm/control/api/routes.h"
#include "drivers-vm/control/store/store.h"

#include <ctype.h>
#include <stdio.h>
#include <string.h>

void api_start(void)
{
	auth_load();
}

const struct auth_token *routes_caller(const struct http_exchange *x)
{
	const struct auth_token *token = auth_at(x->route.token);

	return x->route.token_serial != 0 && token != NULL && token->serial == x->route.token_serial ? token : NULL;
}

bool api_is_allowed(const struct http_exchange *x)
{
	return routes_caller(x) != NULL;
}

/* ---- Who asks ---------------------------------------------------------------------------------------------------------------------- */

/* The token of an Authorization header, or of a WebSocket's subprotocols. *length is zero if there is none. */
static const char *find_secret(const struct http_request *request, size_t *length)
{
	const char *header = http_find_header(request, "authorization");
	const char *offered = http_find_header(request, "sec-websocket-protocol");

	*length = 0;
	if (header != NULL) {
		for (unsigned i = 0; i < 7; i++)
			if (tolower((unsigned char)header[i]) != "bearer "[i])
				return NULL;
		*length = strlen(header + 7);
		return header + 7;
	}
	while (offered != NULL && *offered != '\0') {
		offered += strspn(offered, " ,\t");
		size_t size = strcspn(offered, " ,\t");

		if (size > 7 && strncmp(offered, "bearer.", 7) == 0) {
			*length = size - 7;
			return offered + 7;
		}
		offered += size;
	}
	return NULL;
}

/* False: it has been answered. */
static bool authenticate(struct http_exchange *x)
{
	unsigned wait = auth_wait_seconds(x->peer, x->now_ns);
	size_t length;
	const char *secret = find_secret(&x->request, &length);
	int token;

	if (secret == NULL) {
		problem_answer(x, 401, "", "a token is needed");
		return false;
	}
	if (wait != 0) {
		http_add_header(x, "Retry-After", "%u", wait);
		problem_answer(x, 429, "", "too many wrong tokens; wait %u s", wait);
		return false;
	}
	token = auth_check(secret, length);
	if (token < 0) {
		auth_note_failure(x->peer, x->now_ns);
		problem_answer(x, 401, "", "this token is not valid");
		return false;
	}
	x->route.token = (unsigned)token;
	x->route.token_serial = auth_at((unsigned)token)->serial;
	return true;
}

const char *routes_protocol(const struct http_exchange *x)
{
	return http_has_element(http_find_header(&x->request, "sec-websocket-protocol"), "hilum.v1") ? "hilum.v1" : NULL;
}

/* ---- What for ---------------------------------------------------------------------------------------------------------------------- */

/* Whether the path is of this pattern; its {name} is copied. */
static bool match(const char *pattern, const char *path, char name[EXCHANGE_NAME_BYTES])
{
	size_t length;

	for (; *pattern != '{'; pattern++, path++) {
		if (*pattern != *path)
			return false;
		if (*pattern == '\0')
			return true;
	}
	length = strcspn(path, "/");
	if (length == 0 || length >= EXCHANGE_NAME_BYTES || strcmp(pattern + strlen("{name}"), path + length) != 0)
		return false;
	memcpy(name, path, length);
	name[length] = '\0';
	return true;
}

/* The route for the request; NULL with *allowed empty: no such path; else the methods that it has. */
static const struct route *find_route(struct http_exchange *x, char *allowed, size_t bytes)
{
	static const char *const methods[] = { "GET, HEAD", "HEAD", "PUT", "POST", "DELETE" };
	size_t used = 0;

	allowed[0] = '\0';
	for (unsigned i = 0; i < route_count; i++) {
		if (!match(routes[i].path, x->request.path, x->route.name))
			continue;
		if (routes[i].method == x->request.method)
			return &routes[i];
		used += (size_t)snprintf(allowed + used, bytes - used, "%s%s", used == 0 ? "" : ", ", methods[routes[i].method]);
	}
	return NULL;
}

static bool append_json(struct http_exchange *x, const uint8_t *bytes, size_t count)
{
	struct text *input = &x->route.input;

	if (count > ROUTES_JSON_BYTES - input->length) {
		problem_answer(x, 413, "", "a JSON body may have %u bytes", ROUTES_JSON_BYTES);
		return false;
	}
	text_add(input, bytes, count);
	if (input->failed)
		problem_answer(x, 503, "", "there is no memory for the request at the moment");
	return !input->failed;
}

static void handle_json(struct http_exchange *x)
{
	const struct route *route = x->route.route;

	if (!api_is_allowed(x))
		problem_answer(x, 401, "", "this token is not valid any more");
	else
		route->handle(x);
}

static void take_json(struct http_exchange *x)
{
	const struct http_request *request = &x->request;
	const char *type = http_find_header(request, "content-type");
	bool empty = !request->chunked && request->length == 0;

	if (!empty &&
	    (type == NULL || strncmp(type, ROUTES_JSON, strlen(ROUTES_JSON)) != 0 || strchr("; \t", type[strlen(ROUTES_JSON)]) == NULL))
		problem_answer(x, 415, "", "the body must be " ROUTES_JSON);
	else if (request->length > ROUTES_JSON_BYTES)
		problem_answer(x, 413, "", "a JSON body may have %u bytes", ROUTES_JSON_BYTES);
	else
		http_take_body(x, append_json, handle_json);
}

static bool check_role(struct http_exchange *x, enum auth_role needed)
{
	const struct auth_token *token = routes_caller(x);

	if (needed == AUTH_NONE || (token != NULL && token->role >= needed))
		return true;
	problem_answer(x, 403, "", "this needs the role %s", auth_role_name(needed));
	return false;
}

static void run_route(struct http_exchange *x, const struct route *route)
{
	bool socket = route->open != NULL && http_wants_socket(&x->request);

	x->route.route = route;
	if (!check_role(x, socket ? route->socket_role : route->role))
		return;
	if (socket)
		route->open(x);
	else if (route->json)
		take_json(x);
	else
		route->handle(x);
}

void api_begin(struct http_exchange *x)
{
	char allowed[64];
	const struct route *route = find_route(x, allowed, sizeof(allowed));
	const char *path = x->request.path;

	if (route != NULL && route->role == AUTH_NONE) {
		run_route(x, route);
		return;
	}
	/* What is there and what is not, only a token's owner learns; the web console's files are no secret. */
	if (route == NULL && allowed[0] == '\0' && strncmp(path, "/api/", 5) != 0) {
		if (!files_answer(x))
			problem_answer(x, 404, "", "there is no such page");
		return;
	}
	if (!authenticate(x))
		return;
	if (route != NULL) {
		run_route(x, route);
	} else if (allowed[0] != '\0') {
		http_add_header(x, "Allow", "%s", allowed);
		problem_answer(x, 405, "", "this can be asked with %s only", allowed);
	} else {
		problem_answer(x, 404, "", "there is no such path");
	}
}

/* ---- What came of it --------------------------------------------------------------------------------------------------------------- */

/* Refused tokens beyond the limit are not noted one by one: their number is the attacker's choice. */
static bool is_audited(const struct http_exchange *x)
{
	unsigned status = x->answer.status;

	if (strncmp(x->request.path, "/api/", 5) != 0 && strcmp(x->request.path, "/metrics") != 0)
		return false;
	if (x->request.method == HTTP_GET && (status < 400 || status == 404 || status == 426))
		return status == 101 && x->answer.socket->receive != NULL; /* consoles and debuggers */
	return status != 429;
}

bool api_may_answer(const struct http_exchange *x)
{
	return x->request.method == HTTP_GET || x->answer.status >= 300 || !store_is_kept() || store_is_clean();
}

void api_note_answer(struct http_exchange *x)
{
	const struct auth_token *token = routes_caller(x);
	struct audit_entry entry = { .status = x->answer.status };
	struct manager_host host;

	if (!is_audited(x))
		return;
	manager_host(&host);
	entry.time_ns = host.wall_clock_ns;
	snprintf(entry.token, sizeof(entry.token), "%s", token == NULL ? "" : token->name);
	snprintf(entry.role, sizeof(entry.role), "%s", token == NULL ? "" : auth_role_name(token->role));
	snprintf(entry.method, sizeof(entry.method), "%s", x->request.method_text);
	snprintf(entry.path, sizeof(entry.path), "%s", x->request.path);
	audit_format_peer(x->peer, entry.peer);
	audit_add(&entry);
}

void api_end(struct http_exchange *x)
{
	if (x->route.end != NULL)
		x->route.end(x);
	text_free(&x->route.input);
}
