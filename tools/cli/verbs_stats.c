/* domstats: every figure of a VM as key=value, with virsh's keys where it has them. */
#include "tools/cli/json.h"
#include "tools/cli/show.h"
#include "tools/cli/text.h"
#include "tools/cli/verbs.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void print_figure(const char *group, const char *key, uint64_t value)
{
	printf("  %s.%s=%" PRIu64 "\n", group, key, value);
}

/* The numbers that `domstats --state` has in virsh. */
static unsigned number_state(const char *state)
{
	static const struct {
		const char *state;
		unsigned number;
	} states[] = { { "running", 1 }, { "waiting", 2 }, { "paused", 3 }, { "shutoff", 5 }, { "crashed", 6 } };

	for (unsigned i = 0; state != NULL && i < sizeof(states) / sizeof(states[0]); i++) {
		if (strcmp(states[i].state, state) == 0)
			return states[i].number;
	}
	return 0;
}

static void print_exits(const char *group, const json_t *exits)
{
	const char *reason;
	const json_t *count;

	json_object_foreach((json_t *)exits, reason, count)
	{
		char *safe = text_safe(reason, strlen(reason), false);

		printf("  %s.exits.%s=%" PRIu64 "\n", group, safe, json_is_integer(count) ? (uint64_t)json_integer_value(count) : 0);
		free(safe);
	}
}

static void print_vcpus(const json_t *vcpus)
{
	const json_t *vcpu;
	char group[32];
	size_t i;

	print_figure("vcpu", "current", json_array_size(vcpus));
	json_array_foreach(vcpus, i, vcpu)
	{
		snprintf(group, sizeof(group), "vcpu.%zu", i);
		print_figure(group, "time", json_number(vcpu, "run_ns"));
		print_figure(group, "wait", json_number(vcpu, "ready_ns"));
		print_figure(group, "delay", json_number(vcpu, "ready_ns"));
		print_figure(group, "capped", json_number(vcpu, "capped_ns"));
		print_figure(group, "core", json_number(vcpu, "core"));
		print_figure(group, "migrations", json_number(vcpu, "migrations"));
		print_figure(group, "switches", json_number(vcpu, "switches"));
		print_figure(group, "interrupts", json_number(vcpu, "interrupts"));
		print_exits(group, json_object_get(vcpu, "exits"));
	}
}

/* Each figure of `table` (pairs of our key and the API's, ended by NULL) of each member of the array. */
static void print_devices(const char *kind, const json_t *devices, const char *const (*table)[2])
{
	const json_t *device;
	char group[32];
	size_t i;

	print_figure(kind, "count", json_array_size(devices));
	json_array_foreach(devices, i, device)
	{
		snprintf(group, sizeof(group), "%s.%zu", kind, i);
		for (unsigned k = 0; table[k][0] != NULL; k++)
			print_figure(group, table[k][0], json_number(device, table[k][1]));
	}
}

static void print_stats(const json_t *vm)
{
	static const char *const disk[][2] = {
		{ "rd.reqs", "read_requests" },
		{ "rd.bytes", "read_bytes" },
		{ "wr.reqs", "write_requests" },
		{ "wr.bytes", "write_bytes" },
		{ "fl.reqs", "flush_requests" },
		{ "errors", "errors" },
		{ NULL, NULL },
	};
	static const char *const nic[][2] = {
		{ "rx.bytes", "rx_bytes" },
		{ "rx.pkts", "rx_packets" },
		{ "rx.drop", "rx_dropped" },
		{ "tx.bytes", "tx_bytes" },
		{ "tx.pkts", "tx_packets" },
		{ "tx.drop", "tx_refused" },
		{ NULL, NULL },
	};
	const json_t *stats = json_object_get(vm, "stats"), *memory = json_object_get(stats, "memory");
	uint64_t bytes = json_number(memory, "bytes"), balloon = json_number(memory, "balloon_bytes");
	char *safe = text_safe(json_text(vm, "name") == NULL ? "" : json_text(vm, "name"),
	                       json_text(vm, "name") == NULL ? 0 : strlen(json_text(vm, "name")), false);

	printf("Domain: '%s'\n", safe);
	free(safe);
	print_figure("state", "state", number_state(json_text(vm, "state")));
	if (stats == NULL)
		return;
	print_figure("cpu", "time", json_number(stats, "cpu_ns"));
	print_figure("balloon", "current", (bytes > balloon ? bytes - balloon : 0) / 1024);
	print_figure("balloon", "maximum", bytes / 1024);
	print_figure("memory", "kernel", json_number(memory, "kernel_bytes") / 1024);
	print_figure("memory", "tables", json_number(memory, "table_bytes") / 1024);
	print_vcpus(json_object_get(stats, "vcpus"));
	print_devices("net", json_object_get(stats, "nics"), nic);
	print_devices("block", json_object_get(stats, "disks"), disk);
}

static enum cli_exit show_one(struct http_session *session, const struct cli_options *options, const char *name)
{
	struct http_reply reply;
	enum cli_exit status = show_fetch_again(session, http_path("/vms/%s", name), NULL, &reply);

	if (status == CLI_OK && options->json)
		json_print(json_object_get(reply.json, "stats") == NULL ? reply.json : json_object_get(reply.json, "stats"));
	else if (status == CLI_OK)
		print_stats(reply.json);
	http_free(&reply);
	return status;
}

static enum cli_exit show_all(struct http_session *session, const struct cli_options *options)
{
	struct http_reply reply;
	enum cli_exit status = show_fetch_again(session, http_path("/vms"), NULL, &reply);
	const json_t *vm;
	size_t i;

	json_array_foreach(json_object_get(reply.json, "vms"), i, vm)
	{
		if (status == CLI_OK && json_text(vm, "name") != NULL) {
			if (i != 0 && !options->json)
				putchar('\n');
			status = show_one(session, options, json_text(vm, "name"));
		}
	}
	http_free(&reply);
	return status;
}

static enum cli_exit run_domstats(const struct cli_options *options, char **operands, int count)
{
	struct http_session session;
	enum cli_exit status = http_open(&session, options);

	if (status == CLI_OK && count == 0)
		status = show_all(&session, options);
	for (int i = 0; i < count && status == CLI_OK; i++) {
		if (i != 0 && !options->json)
			putchar('\n');
		status = show_one(&session, options, operands[i]);
	}
	http_close(&session);
	return status;
}

const struct verb verb_domstats = {
	.name = "domstats",
	.operands = "[NAME...]",
	.summary = "Show all figures of VMs",
	.help = "Of all VMs if none is named, as key=value with virsh's keys; times are nanoseconds, memory is in KiB. vcpu.N.exits.REASON "
		"counts\n"
		"how often the guest left for the hypervisor; vcpu.N.wait is time that it could have run and did not.\n"
		"-o json prints an object for each VM: its figures while it runs, the VM otherwise.\n"
		"\nExamples:\n"
		"  hilum domstats linux\n"
		"  hilum domstats | grep cpu.time\n",
	.options = "",
	.most = 64,
	.run = run_domstats,
};
