/* list and dominfo: what there is, in virsh's layout. */
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

static bool is_active(const json_t *vm)
{
	const char *state = json_text(vm, "state");

	return state != NULL && (strcmp(state, "running") == 0 || strcmp(state, "paused") == 0 || strcmp(state, "waiting") == 0);
}

static bool is_wanted(const struct cli_options *options, const json_t *vm)
{
	if (options->all)
		return true;
	return is_active(vm) != options->inactive;
}

static void add_vm(struct table *table, const json_t *vm)
{
	char vcpus[24], memory[24], uptime[40] = "", cpu[40] = "";

	snprintf(vcpus, sizeof(vcpus), "%" PRIu64, json_number(vm, "vcpus"));
	text_format_bytes(memory, sizeof(memory), json_number(vm, "memory_bytes"));
	if (is_active(vm)) {
		text_format_duration(uptime, sizeof(uptime), json_number(vm, "uptime_seconds"));
		text_format_duration(cpu, sizeof(cpu), json_number(vm, "cpu_ns") / 1000000000u);
	}
	table_add_row(table, (const char *[]){ json_text(vm, "name"), json_state(vm), vcpus, memory, cpu, uptime });
}

static void print_list(const struct cli_options *options, const json_t *vms)
{
	struct table table;
	const json_t *vm;
	size_t i;

	table_init(&table, (const char *const[]){ "Name", "State", ">vCPUs", ">Memory", ">CPU time", ">Uptime", NULL });
	json_array_foreach(vms, i, vm)
	{
		if (!is_wanted(options, vm))
			continue;
		if (options->names)
			show_line(json_text(vm, "name"));
		else
			add_vm(&table, vm);
	}
	if (!options->names)
		table_print(&table, stdout);
	table_free(&table);
}

static void print_list_json(const struct cli_options *options, const json_t *vms)
{
	json_t *kept = json_array(), *out = json_object();
	const json_t *vm;
	size_t i;

	json_array_foreach(vms, i, vm)
	{
		if (is_wanted(options, vm))
			json_array_append(kept, (json_t *)vm);
	}
	json_object_set_new(out, "vms", kept);
	json_print(out);
	json_decref(out);
}

static enum cli_exit run_list(const struct cli_options *options, char **operands, int count)
{
	struct http_reply reply;
	enum cli_exit status;

	(void)operands, (void)count;
	status = show_fetch(options, http_path("/vms"), "Failed to list the VMs", &reply);
	if (status == CLI_OK && options->json)
		print_list_json(options, json_object_get(reply.json, "vms"));
	else if (status == CLI_OK)
		print_list(options, json_object_get(reply.json, "vms"));
	http_free(&reply);
	return status;
}

const struct verb verb_list = {
	.name = "list",
	.operands = "",
	.summary = "List the VMs that run",
	.help = "Without an option those that run, are paused or wait for the driver VM.\n"
		"\nExamples:\n"
		"  hilum list --all\n"
		"  hilum list --inactive --names | xargs -n1 hilum start\n"
		"  hilum list -o json | jq -r '.vms[].name'\n",
	.options = "all inactive names",
	.run = run_list,
};

static void print_dominfo(const json_t *vm)
{
	const json_t *memory = json_object_get(json_object_get(vm, "stats"), "memory");
	uint64_t cpu_ns = json_number(vm, "cpu_ns"), bytes = json_number(vm, "memory_bytes"),
		 balloon = json_number(memory, "balloon_bytes");
	char uptime[40];

	table_print_pair(stdout, "Name", "%s", json_text(vm, "name") == NULL ? "-" : json_text(vm, "name"));
	table_print_pair(stdout, "State", "%s", json_state(vm));
	table_print_pair(stdout, "CPU(s)", "%" PRIu64, json_number(vm, "vcpus"));
	if (is_active(vm))
		table_print_pair(stdout, "CPU time", "%" PRIu64 ".%" PRIu64 "s", cpu_ns / 1000000000u, cpu_ns / 100000000u % 10);
	table_print_pair(stdout, "Max memory", "%" PRIu64 " KiB", bytes / 1024);
	if (is_active(vm)) {
		table_print_pair(stdout, "Used memory", "%" PRIu64 " KiB", (bytes > balloon ? bytes - balloon : 0) / 1024);
		text_format_duration(uptime, sizeof(uptime), json_number(vm, "uptime_seconds"));
		table_print_pair(stdout, "Uptime", "%s", uptime);
		if (json_text(vm, "started") != NULL)
			table_print_pair(stdout, "Started", "%s", json_text(vm, "started"));
	}
	table_print_pair(stdout, "Starts", "%" PRIu64, json_number(vm, "starts"));
	table_print_pair(stdout, "Crashes", "%" PRIu64, json_number(vm, "crashes"));
	if (json_text(vm, "last_exit") != NULL && *json_text(vm, "last_exit") != '\0')
		table_print_pair(stdout, "Last exit", "%s", json_text(vm, "last_exit"));
	table_print_pair(stdout, "Defined by", "%s", json_flag(vm, "from_file") ? "hilum.toml" : "API");
	table_print_pair(stdout, "Version", "%" PRIu64 "%s", json_number(vm, "version"),
	                 json_flag(vm, "change_pending") ? ", changed since it was started" : "");
}

static enum cli_exit run_dominfo(const struct cli_options *options, char **operands, int count)
{
	struct http_reply reply;
	enum cli_exit status;

	(void)count;
	status = show_fetch(options, http_path("/vms/%s", operands[0]), NULL, &reply);
	if (status == CLI_OK && options->json)
		json_print(reply.json);
	else if (status == CLI_OK)
		print_dominfo(reply.json);
	http_free(&reply);
	return status;
}

const struct verb verb_dominfo = {
	.name = "dominfo",
	.operands = "NAME",
	.summary = "Show a VM",
	.help = "State, memory, starts and crashes. With -o json also its definition and all figures.\n"
		"\nExamples:\n"
		"  hilum dominfo linux\n"
		"  hilum dominfo linux -o json | jq .config.memory\n",
	.options = "",
	.least = 1,
	.most = 1,
	.run = run_dominfo,
};
