/* Tokens: who may do what. */
#include "drivers-vm/control/api/routes.h"

#include "drivers-vm/control/events.h"

#include <stdlib.h>

#define SECOND_NS 1000000000ull

static void write_token(struct json_out *json, const struct auth_token *token)
{
	json_open(json, '{');
	json_put_string(json, "name", token->name);
	json_put_string(json, "role", auth_role_name(token->role));
	json_put_time(json, "created", token->created_s * SECOND_NS);
	json_close(json, '}');
}

void route_list_tokens(struct http_exchange *x)
{
	struct json_out json = { .text = &x->body };

	json_open(&json, '{');
	json_open_member(&json, "tokens", '[');
	for (unsigned i = 0; i < AUTH_TOKENS_MAX; i++)
		if (auth_at(i) != NULL)
			write_token(&json, auth_at(i));
	json_close(&json, ']');
	json_close(&json, '}');
	routes_answer_json(x, 200);
}

void route_whoami(struct http_exchange *x)
{
	struct json_out json = { .text = &x->body };

	write_token(&json, routes_caller(x));
	routes_answer_json(x, 200);
}

static void answer_result(struct http_exchange *x, enum auth_result result, const char *name)
{
	switch (result) {
	case AUTH_EXISTS:
		problem_answer(x, 409, "", "there is a token \"%s\" already", name);
		break;
	case AUTH_NOT_FOUND:
		problem_answer(x, 404, "", "there is no token \"%s\"", name);
		break;
	case AUTH_LAST_ADMIN:
		problem_answer(x, 409, "", "it is the last token with the role admin");
		break;
	case AUTH_FULL:
		problem_answer(x, 507, "", "there can be %u tokens", AUTH_TOKENS_MAX);
		break;
	default:
		problem_answer(x, 503, "", "there are no random numbers, or the state has no room");
		break;
	}
}

static void create(struct http_exchange *x, const struct toml_value *body)
{
	static const char *const keys[] = { "name", "role", NULL };
	struct json_out json = { .text = &x->body };
	char token[API_TOKEN_BYTES];
	const char *name, *role_name;
	enum auth_role role;
	enum auth_result result;

	if (!routes_check_keys(x, body, keys) || (name = routes_get_string(x, body, "name")) == NULL ||
	    (role_name = routes_get_string(x, body, "role")) == NULL)
		return;
	if (!auth_is_name(name, AUTH_TOKEN_NAME_BYTES)) {
		problem_answer(x, 422, "name", "must be 1 to %u letters, digits, '.', '_' or '-', not starting with '.' or '-'",
		               AUTH_TOKEN_NAME_BYTES - 1);
		return;
	}
	if (!auth_find_role(role_name, &role)) {
		problem_answer(x, 422, "role", "must be \"viewer\", \"operator\" or \"admin\"");
		return;
	}
	result = auth_create(name, role, token);
	if (result != AUTH_OK) {
		answer_result(x, result, name);
		return;
	}
	event_add("token.created", name, "%s", role_name);
	json_open(&json, '{');
	json_put_string(&json, "name", name);
	json_put_string(&json, "role", role_name);
	json_put_string(&json, "token", token);
	json_close(&json, '}');
	routes_answer_json(x, 201);
}

void route_create_token(struct http_exchange *x)
{
	void *memory;
	const struct toml_value *body = routes_parse_body(x, &memory);

	if (body != NULL)
		create(x, body);
	free(memory);
}

void route_delete_token(struct http_exchange *x)
{
	enum auth_result result = auth_remove(x->route.name);

	if (result != AUTH_OK) {
		answer_result(x, result, x->route.name);
		return;
	}
	event_add("token.removed", x->route.name, "%s", "");
	http_answer(x, 204, NULL);
}
