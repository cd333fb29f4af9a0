/* dump, autostart, setvcpus, setmem: a VM's core file, and what of it can be changed on its own. */
#include "tools/cli/show.h"
#include "tools/cli/json.h"
#include "tools/cli/text.h"
#include "tools/cli/verbs.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static enum cli_exit call(const struct cli_options *options, const struct http_request *request, const char *failure,
                          struct http_reply *reply)
{
	struct http_session session;
	enum cli_exit status = http_open(&session, options);

	*reply = (struct http_reply){ 0 };
	if (status == CLI_OK)
		status = http_call(&session, request, failure, reply);
	http_close(&session);
	return status;
}

/* ---- dump ----------------------------------------------------------------------------------------------------------------------- */

static enum cli_exit fetch_core(const struct cli_options *options, const char *name, FILE *file)
{
	char *path = http_path("/vms/%s/core", name), *failure = memory_format("Failed to dump domain '%s'", name);
	const struct http_request request = { .method = "GET", .path = path, .download = file };
	struct http_reply reply;
	enum cli_exit status = call(options, &request, failure, &reply);

	http_free(&reply);
	free(path);
	free(failure);
	return status;
}

static enum cli_exit run_dump(const struct cli_options *options, char **operands, int count)
{
	FILE *file = fopen(operands[1], "wb");
	enum cli_exit status;

	(void)count;
	if (file == NULL) {
		cli_error("%s: %s", operands[1], strerror(errno));
		return CLI_USAGE;
	}
	status = fetch_core(options, operands[0], file);
	if (fclose(file) != 0 && status == CLI_OK) {
		cli_error("%s: %s", operands[1], strerror(errno));
		status = CLI_USAGE;
	}
	if (status != CLI_OK)
		remove(operands[1]); /* half a core file is none */
	else if (options->json)
		puts("{}");
	else
		printf("Domain '%s' dumped to %s\n", operands[0], operands[1]);
	return status;
}

const struct verb verb_dump = {
	.name = "dump",
	.operands = "NAME FILE",
	.summary = "Fetch a VM's core file",
	.help = "An ELF core file for gdb, with the registers of each vCPU and the memory: of the crash that has left one (on_crash =\n"
		"\"coredump-destroy\" or \"coredump-restart\"), else of the VM as it stands, if it is suspended or kept for a look. A core file\n"
		"that was kept is gone from the machine then.\n"
		"\nExamples:\n"
		"  hilum dump linux linux.core\n"
		"  gdb vmlinux linux.core\n",
	.options = "",
	.least = 2,
	.most = 2,
	.run = run_dump,
};

/* A number from 1 on; 0: it is none. */
static json_int_t read_number(const char *text)
{
	char *end;
	long long number = strtoll(text, &end, 10);

	return end == text || *end != '\0' || number < 1 ? 0 : number;
}

/* ---- What can be changed -------------------------------------------------------------------------------------------------------------- */

/* PUT of `body`, which is freed, to the VM's `what`. */
static enum cli_exit put(const struct cli_options *options, const char *name, const char *what, json_t *body)
{
	char *path = http_path("/vms/%s/%s", name, what), *failure = memory_format("Failed to change domain '%s'", name);
	const struct http_request request = { .method = "PUT", .path = path, .json = body };
	struct http_reply reply;
	enum cli_exit status = call(options, &request, failure, &reply);

	if (status == CLI_OK && options->json)
		json_print(reply.json);
	http_free(&reply);
	json_decref(body);
	free(path);
	free(failure);
	return status;
}

static enum cli_exit run_autostart(const struct cli_options *options, char **operands, int count)
{
	enum cli_exit result = CLI_OK;

	for (int i = 0; i < count; i++) {
		enum cli_exit status = put(options, operands[i], "autostart", json_pack("{s:b}", "enabled", !options->disable));

		if (status == CLI_OK && !options->json)
			printf("Domain '%s' %s autostarted\n", operands[i], options->disable ? "unmarked as" : "marked as");
		result = result == CLI_OK ? status : result;
	}
	return result;
}

const struct verb verb_autostart = {
	.name = "autostart",
	.operands = "NAME...",
	.summary = "Start VMs with the machine, or no longer",
	.help = "Those that hilum.toml names start first, in its order, then the others by their names.\n"
		"\nExamples:\n"
		"  hilum autostart web\n"
		"  hilum autostart web --disable\n",
	.options = "disable",
	.least = 1,
	.most = 64,
	.run = run_autostart,
};

static enum cli_exit run_setvcpus(const struct cli_options *options, char **operands, int count)
{
	json_int_t vcpus = read_number(operands[1]);
	enum cli_exit status;

	(void)count;
	if (vcpus == 0) {
		cli_error("\"%s\" is no number of vCPUs", operands[1]);
		return CLI_USAGE;
	}
	status = put(options, operands[0], "vcpus", json_pack("{s:I}", "count", vcpus));
	if (status == CLI_OK && !options->json)
		printf("Domain '%s' is asked to have %s vCPUs\n", operands[0], operands[1]);
	return status;
}

const struct verb verb_setvcpus = {
	.name = "setvcpus",
	.operands = "NAME COUNT",
	.summary = "Change how many vCPUs a running VM has",
	.help = "Up to vcpus_max of its definition, until it ends. The guest starts those that come, and lets go of those that shall go.\n"
		"\nExample:\n"
		"  hilum setvcpus linux 4\n",
	.options = "",
	.least = 2,
	.most = 2,
	.run = run_setvcpus,
};

static enum cli_exit run_setmem(const struct cli_options *options, char **operands, int count)
{
	enum cli_exit status;
	uint64_t bytes;

	(void)count;
	if (!text_parse_size(operands[1], &bytes) || bytes > INT64_MAX) {
		cli_error("\"%s\" is not a size, as 512M", operands[1]);
		return CLI_USAGE;
	}
	status = put(options, operands[0], "memory", json_pack("{s:I}", "bytes", (json_int_t)bytes));
	if (status == CLI_OK && !options->json)
		printf("Domain '%s' is asked to have %s of its memory\n", operands[0], operands[1]);
	return status;
}

const struct verb verb_setmem = {
	.name = "setmem",
	.operands = "NAME SIZE",
	.summary = "Change how much of its memory a running VM has",
	.help = "By its balloon, both ways, up to the memory of its definition, until it ends.\n"
		"\nExample:\n"
		"  hilum setmem linux 256M\n",
	.options = "",
	.least = 2,
	.most = 2,
	.run = run_setmem,
};
