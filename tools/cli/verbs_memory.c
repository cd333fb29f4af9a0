/* memtune, compact: memory of a VM, and of the machine. */
#include "tools/cli/http.h"
#include "tools/cli/json.h"
#include "tools/cli/memory.h"
#include "tools/cli/show.h"
#include "tools/cli/table.h"
#include "tools/cli/text.h"
#include "tools/cli/verbs.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

/* Adds an option's size to the request's body. False: it is none, and that was said. */
static bool add_size(json_t *body, const char *key, const char *option, const char *text)
{
	uint64_t bytes;

	if (text == NULL)
		return true;
	if (!text_parse_size(text, &bytes) || bytes > INT64_MAX) {
		cli_error("--%s: \"%s\" is not a size, as 512M", option, text);
		return false;
	}
	json_object_set_new(body, key, json_integer((json_int_t)bytes));
	return true;
}

static void print_limits(const json_t *limits)
{
	static const char *const names[][2] = {
		{ "hard_limit", "max_bytes" },
		{ "min_guarantee", "min_bytes" },
		{ "resident", "resident_bytes" },
		{ "balloon_target", "balloon_target_bytes" },
	};

	for (unsigned i = 0; i < sizeof(names) / sizeof(names[0]); i++)
		printf("%-15s: %" PRIu64 " KiB\n", names[i][0], json_number(limits, names[i][1]) / 1024);
}

static enum cli_exit run_memtune(const struct cli_options *options, char **operands, int count)
{
	bool change = options->max != NULL || options->min != NULL;
	json_t *body = json_object();
	struct http_session session;
	struct http_reply reply = { 0 };
	enum cli_exit status;

	(void)count;
	if (!add_size(body, "max_bytes", "max", options->max) || !add_size(body, "min_bytes", "min", options->min)) {
		json_decref(body);
		return CLI_USAGE;
	}
	char *path = http_path("/vms/%s/memory-limits", operands[0]),
	     *failure = memory_format("Failed to %s the memory limits of domain '%s'", change ? "set" : "get", operands[0]);
	const struct http_request request = { .method = change ? "PUT" : "GET", .path = path, .json = change ? body : NULL };

	status = http_open(&session, options);
	if (status == CLI_OK)
		status = http_call(&session, &request, failure, &reply);
	if (status == CLI_OK && options->json)
		json_print(reply.json);
	else if (status == CLI_OK)
		print_limits(reply.json);
	http_free(&reply);
	http_close(&session);
	json_decref(body);
	free(failure);
	free(path);
	return status;
}

const struct verb verb_memtune = {
	.name = "memtune",
	.operands = "NAME",
	.summary = "Show or change what a running VM may have of the machine's memory",
	.help = "With --max it may have no more, and its balloon asks it for the rest; --min is left to it where memory is overcommitted.\n"
		"Until it ends; its definition has memory_max and memory_min for ever.\n"
		"\nExamples:\n"
		"  hilum memtune web\n"
		"  hilum memtune web --max 512M --min 128M\n",
	.options = "max min",
	.least = 1,
	.most = 1,
	.run = run_memtune,
};

static enum cli_exit run_compact(const struct cli_options *options, char **operands, int count)
{
	(void)operands, (void)count;
	return host_ask(options, "/host/compact", NULL, "Failed to compact the machine's memory",
	                "Memory is being compacted; 'hilum host' shows how far it is");
}

const struct verb verb_compact = {
	.name = "compact",
	.operands = "",
	.summary = "Move guests' memory so that free memory comes together",
	.help = "VMs run on meanwhile. Large pages need blocks of 2 MiB and 1 GiB, which a machine that has run for long may lack.\n"
		"\nExample:\n"
		"  hilum compact\n",
	.options = "",
	.run = run_compact,
};
