/* define, undefine, dumpconfig: what a VM is. */
#include "tools/cli/define.h"
#include "tools/cli/files.h"
#include "tools/cli/json.h"
#include "tools/cli/show.h"
#include "tools/cli/text.h"
#include "tools/cli/verbs.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static char *make_safe(const char *text)
{
	return text_safe(text, strlen(text), false);
}

/* 422 with a field: as a compiler would say it. */
static void say_field(const char *path, const struct definitions *definitions, size_t index, const json_t *problem)
{
	const char *detail = json_text(problem, "detail");
	uint32_t line = definition_find_line(definitions, index, json_text(problem, "field"));
	char *safe_field = make_safe(json_text(problem, "field")), *safe_detail = make_safe(detail == NULL ? "invalid" : detail);
	char *safe_name = make_safe(json_text(json_array_get(definitions->vms, index), "name"));

	fprintf(stderr, "%s:%s: %s (VM \"%s\"", path, safe_field, safe_detail, safe_name);
	if (line != 0)
		fprintf(stderr, ", line %" PRIu32, line);
	fputs(")\n", stderr);
	free(safe_name);
	free(safe_detail);
	free(safe_field);
}

enum cli_exit define_send(struct http_session *session, const char *path, const struct definitions *definitions, size_t index,
                          const char *header, struct http_reply *reply)
{
	json_t *body = json_copy(json_array_get(definitions->vms, index));
	const char *name = json_text(body, "name");
	char *place = http_path("/vms/%s", name), *safe = make_safe(name),
	     *failure = memory_format("Failed to define domain '%s' from %s", safe, path);
	const struct http_request request = { .method = "PUT", .path = place, .json = body, .header = header };
	enum cli_exit status = http_send(session, &request, reply);

	if (status == CLI_OK && reply->status == 422 && json_text(reply->json, "field") != NULL) {
		cli_error("%s", failure);
		say_field(path, definitions, index, reply->json);
		status = CLI_REFUSED;
	} else if (status == CLI_OK) {
		status = http_judge(reply, failure);
	}
	free(failure);
	free(safe);
	free(place);
	json_decref(body);
	return status;
}

static void say_defined(const struct cli_options *options, const struct http_reply *reply, const char *path)
{
	const char *name = json_text(reply->json, "name");
	char *safe = make_safe(name == NULL ? "-" : name);

	if (options->json)
		json_print(reply->json);
	else
		printf("Domain '%s' defined from %s%s\n", safe, path,
		       json_flag(reply->json, "change_pending") ? "; it takes effect at its next start" : "");
	free(safe);
}

/* Every VM of the file; goes on after a refusal, and returns the first status that is not CLI_OK. */
static enum cli_exit define_all(const struct cli_options *options, const char *path, const struct definitions *definitions)
{
	struct http_session session;
	enum cli_exit result = http_open(&session, options);

	for (size_t i = 0; session.curl != NULL && i < json_array_size(definitions->vms); i++) {
		struct http_reply reply = { 0 };
		enum cli_exit status = define_send(&session, path, definitions, i, options->create ? "If-None-Match: *" : NULL, &reply);

		if (status == CLI_OK)
			say_defined(options, &reply, path);
		http_free(&reply);
		result = result == CLI_OK ? status : result;
	}
	http_close(&session);
	return result;
}

static enum cli_exit run_define(const struct cli_options *options, char **operands, int count)
{
	struct definitions definitions;
	enum cli_exit status = CLI_USAGE;
	size_t length;
	char *text;
	int error;

	if ((options->name != NULL) == (count == 1)) {
		cli_error("define FILE, or define --edit NAME");
		return CLI_USAGE;
	}
	if (options->name != NULL)
		return define_edit(options, options->name);
	text = files_read(operands[0], DEFINE_FILE_BYTES_MAX, &length, &error);
	if (text == NULL) {
		cli_error("%s: %s", operands[0], strerror(error));
		return CLI_USAGE;
	}
	if (definition_read(operands[0], text, length, &definitions))
		status = define_all(options, operands[0], &definitions);
	definition_free(&definitions);
	free(text);
	return status;
}

const struct verb verb_define = {
	.name = "define",
	.operands = "FILE | --edit NAME",
	.summary = "Define VMs, or change their definitions",
	.help = "FILE (- is standard input) has [[vm]] tables as hilum.toml has, or JSON: a VM, or an array of them. A VM of the same name "
		"has the new\n"
		"definition from its next start on. What is wrong with a field is said as FILE:FIELD: MESSAGE.\n"
		"\nExamples:\n"
		"  hilum define web.toml\n"
		"  hilum define --edit web\n"
		"  hilum dumpconfig web | sed 's/\"web\"/\"web2\"/; /^mac = /d' | hilum define -\n",
	.options = "edit new",
	.most = 1,
	.run = run_define,
};

static enum cli_exit undefine(struct http_session *session, const struct cli_options *options, const char *name)
{
	char *path = http_path("/vms/%s", name), *failure = memory_format("Failed to undefine domain '%s'", name);
	const struct http_request request = { .method = "DELETE", .path = path };
	struct http_reply reply;
	enum cli_exit status = http_call(session, &request, failure, &reply);

	if (status == CLI_OK)
		options->json ? (void)puts("{}") : (void)printf("Domain '%s' has been undefined\n", name);
	http_free(&reply);
	free(failure);
	free(path);
	return status;
}

static enum cli_exit run_undefine(const struct cli_options *options, char **operands, int count)
{
	struct http_session session;
	enum cli_exit result = http_open(&session, options);

	for (int i = 0; session.curl != NULL && i < count; i++) {
		enum cli_exit status = undefine(&session, options, operands[i]);

		result = result == CLI_OK ? status : result;
	}
	http_close(&session);
	return result;
}

const struct verb verb_undefine = {
	.name = "undefine",
	.operands = "NAME...",
	.summary = "Forget VMs that do not run",
	.help = "One that hilum.toml defines is there again after the machine's next start.\n"
		"\nExample:\n"
		"  hilum destroy web && hilum undefine web\n",
	.options = "",
	.least = 1,
	.most = 64,
	.run = run_undefine,
};

static enum cli_exit run_dumpconfig(const struct cli_options *options, char **operands, int count)
{
	struct http_reply reply;
	json_t *config;
	char *text;
	enum cli_exit status = show_fetch(options, http_path("/vms/%s", operands[0]), NULL, &reply);

	(void)count;
	config = json_object_get(reply.json, "config");
	if (status == CLI_OK && options->json) {
		json_object_set_new(config, "name", json_string(operands[0]));
		json_print(config);
	} else if (status == CLI_OK) {
		char *safe;

		text = definition_format(operands[0], config);
		safe = text_safe(text, strlen(text), true);
		fputs(safe, stdout);
		free(safe);
		free(text);
	}
	http_free(&reply);
	return status;
}

const struct verb verb_dumpconfig = {
	.name = "dumpconfig",
	.operands = "NAME",
	.summary = "Print a VM's definition as hilum.toml has it",
	.help = "Every key that has a value, its default too; with -o json as the API has it. `define` reads both.\n"
		"\nExample:\n"
		"  hilum dumpconfig web >web.toml\n",
	.options = "",
	.least = 1,
	.most = 1,
	.run = run_dumpconfig,
};
