/* token: who may do what. */
#include "tools/cli/json.h"
#include "tools/cli/show.h"
#include "tools/cli/table.h"
#include "tools/cli/text.h"
#include "tools/cli/verbs.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static enum cli_exit list_tokens(struct http_session *session, const struct cli_options *options)
{
	struct http_reply reply;
	struct table table;
	const json_t *token;
	size_t i;
	enum cli_exit status = show_fetch_again(session, http_path("/tokens"), NULL, &reply);

	if (status == CLI_OK && options->json) {
		json_print(reply.json);
	} else if (status == CLI_OK) {
		table_init(&table, (const char *const[]){ "Name", "Role", "Created", NULL });
		json_array_foreach(json_object_get(reply.json, "tokens"), i, token) table_add_row(
			&table, (const char *[]){ json_text(token, "name"), json_text(token, "role"), json_text(token, "created") });
		table_print(&table, stdout);
		table_free(&table);
	}
	http_free(&reply);
	return status;
}

static enum cli_exit create_token(struct http_session *session, const struct cli_options *options, const char *name)
{
	json_t *body = json_pack("{s:s, s:s}", "name", name, "role", options->role == NULL ? "viewer" : options->role);
	char *path = http_path("/tokens"), *failure = memory_format("Failed to create token '%s'", name);
	const struct http_request request = { .method = "POST", .path = path, .json = body };
	struct http_reply reply = { 0 };
	enum cli_exit status = CLI_USAGE;

	if (body == NULL)
		cli_error("a token's name is ASCII");
	else
		status = http_call(session, &request, failure, &reply);
	if (status == CLI_OK && options->json)
		json_print(reply.json);
	else if (status == CLI_OK) /* the token alone: $(hilum token create NAME) is then what scripts want */
		show_line(json_text(reply.json, "token"));
	if (status == CLI_OK && !options->json)
		fputs("hilum: this is the only time that it is shown\n", stderr);
	http_free(&reply);
	json_decref(body);
	free(failure);
	free(path);
	return status;
}

static enum cli_exit delete_token(struct http_session *session, const struct cli_options *options, const char *name)
{
	char *path = http_path("/tokens/%s", name), *failure = memory_format("Failed to delete token '%s'", name);
	const struct http_request request = { .method = "DELETE", .path = path };
	struct http_reply reply;
	enum cli_exit status = http_call(session, &request, failure, &reply);

	if (status == CLI_OK)
		options->json ? (void)puts("{}") : (void)printf("Token '%s' deleted\n", name);
	http_free(&reply);
	free(failure);
	free(path);
	return status;
}

static enum cli_exit run_token(const struct cli_options *options, char **operands, int count)
{
	bool list = strcmp(operands[0], "list") == 0 && count == 1, create = strcmp(operands[0], "create") == 0 && count == 2;
	bool delete = strcmp(operands[0], "delete") == 0 && count == 2;
	struct http_session session;
	enum cli_exit status;

	if (!list && !create && !delete) {
		cli_error("token list, token create NAME or token delete NAME");
		return CLI_USAGE;
	}
	status = http_open(&session, options);
	if (status == CLI_OK)
		status = list     ? list_tokens(&session, options)
		         : create ? create_token(&session, options, operands[1])
		                  : delete_token(&session, options, operands[1]);
	http_close(&session);
	return status;
}

const struct verb verb_token = {
	.name = "token",
	.operands = "list | create NAME | delete NAME",
	.summary = "List, create or delete tokens",
	.help = "A viewer looks, an operator also starts, stops and types at consoles, an admin does everything. `create` prints the "
		"token, once; the\n"
		"default role is viewer. Wants a token with the role admin.\n"
		"\nExamples:\n"
		"  hilum token list\n"
		"  hilum token create grafana --role viewer\n"
		"  hilum token delete grafana\n",
	.options = "role",
	.least = 1,
	.most = 2,
	.run = run_token,
};
