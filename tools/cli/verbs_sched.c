/* schedinfo, vcpupin, vcpuinfo: which share of which cores a VM gets, and what it got. */
#include "tools/cli/http.h"
#include "tools/cli/json.h"
#include "tools/cli/show.h"
#include "tools/cli/table.h"
#include "tools/cli/text.h"
#include "tools/cli/verbs.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void print_schedule(const json_t *schedule)
{
	static const char *const numbers[] = { "weight", "cap", "reservation" };
	const char *cpus = json_text(schedule, "cpus");
	char *safe = text_safe(cpus == NULL ? "-" : cpus, cpus == NULL ? 1 : strlen(cpus), false);

	for (unsigned i = 0; i < 3; i++)
		table_print_pair(stdout, numbers[i], "%" PRIu64, json_number(schedule, numbers[i]));
	table_print_pair(stdout, "cpus", "%s", safe);
	table_print_pair(stdout, "dedicated", "%s", json_flag(schedule, "dedicated") ? "yes" : "no");
	free(safe);
}

/* Shows the schedule, or changes it by `changes`, which is taken over, if that has members. */
static enum cli_exit schedule(const struct cli_options *options, const char *name, json_t *changes)
{
	char *path = http_path("/vms/%s/schedule", name);
	bool asks = json_object_size(changes) == 0;
	const struct http_request request = { .method = asks ? "GET" : "PUT", .path = path, .json = asks ? NULL : changes };
	struct http_reply reply = { 0 };
	struct http_session session;
	enum cli_exit status = http_open(&session, options);

	if (status == CLI_OK)
		status = http_call(&session, &request, asks ? NULL : "Failed to change the schedule", &reply);
	if (status == CLI_OK && options->json)
		json_print(reply.json);
	else if (status == CLI_OK)
		print_schedule(reply.json);
	http_free(&reply);
	http_close(&session);
	json_decref(changes);
	free(path);
	return status;
}

static enum cli_exit run_schedinfo(const struct cli_options *options, char **operands, int count)
{
	json_t *changes = json_object();

	(void)count;
	if (options->weight != CLI_NOT_GIVEN)
		json_object_set_new(changes, "weight", json_integer(options->weight));
	if (options->cap != CLI_NOT_GIVEN)
		json_object_set_new(changes, "cap", json_integer(options->cap));
	if (options->reservation != CLI_NOT_GIVEN)
		json_object_set_new(changes, "reservation", json_integer(options->reservation));
	return schedule(options, operands[0], changes);
}

static enum cli_exit run_vcpupin(const struct cli_options *options, char **operands, int count)
{
	json_t *changes = json_object();

	if (count == 2) {
		json_object_set_new(changes, "cpus", json_string(operands[1]));
		json_object_set_new(changes, "dedicated", json_boolean(options->dedicated));
	} else if (options->dedicated) {
		cli_error("--dedicated wants the cores named");
		json_decref(changes);
		return CLI_USAGE;
	}
	return schedule(options, operands[0], changes);
}

static void format_seconds(char *to, size_t bytes, uint64_t ns)
{
	snprintf(to, bytes, "%" PRIu64 ".%" PRIu64 "s", ns / 1000000000u, ns / 100000000u % 10);
}

static void print_vcpus(const json_t *vcpus)
{
	static const char *const times[] = { "run_ns", "ready_ns", "capped_ns" };
	struct table table;
	const json_t *vcpu;
	size_t i;

	table_init(&table, (const char *const[]){ ">VCPU", ">CPU", ">CPU time", ">Waited", ">Capped", ">Moved", NULL });
	json_array_foreach(vcpus, i, vcpu)
	{
		char cells[6][32];

		snprintf(cells[0], sizeof(cells[0]), "%zu", i);
		snprintf(cells[1], sizeof(cells[1]), "%" PRIu64, json_number(vcpu, "core"));
		for (unsigned k = 0; k < 3; k++)
			format_seconds(cells[2 + k], sizeof(cells[0]), json_number(vcpu, times[k]));
		snprintf(cells[5], sizeof(cells[5]), "%" PRIu64, json_number(vcpu, "migrations"));
		table_add_row(&table, (const char *[]){ cells[0], cells[1], cells[2], cells[3], cells[4], cells[5] });
	}
	table_print(&table, stdout);
	table_free(&table);
}

static enum cli_exit run_vcpuinfo(const struct cli_options *options, char **operands, int count)
{
	struct http_reply reply;
	enum cli_exit status = show_fetch(options, http_path("/vms/%s", operands[0]), NULL, &reply);
	const json_t *vcpus = json_object_get(json_object_get(reply.json, "stats"), "vcpus");

	(void)count;
	if (status == CLI_OK && vcpus == NULL) {
		cli_error("it does not run");
		status = CLI_REFUSED;
	} else if (status == CLI_OK && options->json) {
		json_print(vcpus);
	} else if (status == CLI_OK) {
		print_vcpus(vcpus);
	}
	http_free(&reply);
	return status;
}

const struct verb verb_schedinfo = {
	.name = "schedinfo",
	.operands = "NAME",
	.summary = "Show or change which share of the cores a VM gets",
	.help = "A change takes effect at once if the VM runs, and stays in its definition. cap and reservation are percent of one core for all "
		"its\n"
		"vCPUs together; 0 takes them away.\n"
		"\nExamples:\n"
		"  hilum schedinfo linux\n"
		"  hilum schedinfo linux --weight 512 --cap 150\n",
	.options = "weight cap reservation",
	.least = 1,
	.most = 1,
	.run = run_schedinfo,
};

const struct verb verb_vcpupin = {
	.name = "vcpupin",
	.operands = "NAME [CORES]",
	.summary = "Show or change on which cores a VM runs",
	.help = "CORES is a list as in \"0-3,6\", or all. It holds for each of its vCPUs, at once and in its definition. With --dedicated "
		"nobody\n"
		"else runs there, and each vCPU has one of them.\n"
		"\nExamples:\n"
		"  hilum vcpupin linux 2-3\n"
		"  hilum vcpupin linux 2,3 --dedicated\n"
		"  hilum vcpupin linux all\n",
	.options = "dedicated",
	.least = 1,
	.most = 2,
	.run = run_vcpupin,
};

const struct verb verb_vcpuinfo = {
	.name = "vcpuinfo",
	.operands = "NAME",
	.summary = "Show where the vCPUs of a VM are and what they got",
	.help = "CPU is the core; Waited is time that the vCPU could have run while others did, Capped time that its cap forbade; Moved, "
		"how often\n"
		"it went to another core.\n"
		"\nExample:\n"
		"  hilum vcpuinfo linux\n",
	.options = "",
	.least = 1,
	.most = 1,
	.run = run_vcpuinfo,
};
