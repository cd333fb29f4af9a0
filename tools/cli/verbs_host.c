/* host, audit, restart-driver, reboot-host, poweroff-host: the machine itself. */
#include "tools/cli/json.h"
#include "tools/cli/show.h"
#include "tools/cli/table.h"
#include "tools/cli/text.h"
#include "tools/cli/verbs.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char *text_or_dash(const json_t *object, const char *key)
{
	const char *text = json_text(object, key);

	return text == NULL || *text == '\0' ? "-" : text;
}

static void print_bytes(const char *key, uint64_t bytes)
{
	char text[24];

	text_format_bytes(text, sizeof(text), bytes);
	table_print_pair(stdout, key, "%s", text);
}

static void print_faults(const json_t *host)
{
	const json_t *faults = json_object_get(host, "faults");

	table_print_pair(stdout, "Machine faults",
	                 "%" PRIu64 " NMIs, %" PRIu64 " machine checks corrected, %" PRIu64 " contained, %" PRIu64 " interrupt storms",
	                 json_number(faults, "nmis"), json_number(faults, "machine_checks_corrected"),
	                 json_number(faults, "machine_checks_contained"), json_number(faults, "interrupt_storms"));
	if (json_number(host, "watchdog_seconds") != 0)
		table_print_pair(stdout, "Watchdog", "%" PRIu64 " s", json_number(host, "watchdog_seconds"));
}

static void print_vulnerabilities(const json_t *host)
{
	json_t *all = json_object_get(host, "vulnerabilities"), *text;
	const char *log = json_text(json_object_get(host, "last_boot"), "log"), *name;
	char *safe;

	json_object_foreach(all, name, text)
	{
		if (json_is_string(text))
			table_print_pair(stdout, name, "%s", json_string_value(text));
	}
	if (log == NULL || *log == '\0')
		return;
	safe = text_safe(log, strlen(log), true);
	printf("\nThe last lines of the run before this one:\n%s", safe);
	free(safe);
}

/* How guests share it. */
static void print_memory(const json_t *memory)
{
	const json_t *compaction = json_object_get(memory, "compaction");
	uint64_t overcommit = json_number(memory, "overcommit_percent");

	print_bytes("Not promised", json_number(memory, "spare_bytes"));
	print_bytes("Largest block", json_number(memory, "largest_free_bytes"));
	if (overcommit > 100)
		table_print_pair(stdout, "Overcommit", "%" PRIu64 " %%", overcommit);
	if (json_number(memory, "pages_scanned") != 0)
		print_bytes("Saved by sharing", json_number(memory, "saved_bytes"));
	if (json_number(compaction, "runs") != 0)
		table_print_pair(stdout, "Compaction", "%s, %" PRIu64 " %%", text_or_dash(compaction, "state"),
		                 json_number(compaction, "progress_percent"));
}

static void print_host(const json_t *host)
{
	const json_t *memory = json_object_get(host, "memory"), *driver = json_object_get(host, "driver_vm"),
		     *vms = json_object_get(host, "vms");
	const json_t *address;
	char uptime[40];
	size_t i;

	text_format_duration(uptime, sizeof(uptime), json_number(host, "uptime_seconds"));
	table_print_pair(stdout, "Name", "%s", text_or_dash(host, "name"));
	table_print_pair(stdout, "Version", "Hilum %s", text_or_dash(host, "version"));
	table_print_pair(stdout, "Time", "%s", text_or_dash(host, "time"));
	table_print_pair(stdout, "Uptime", "%s", uptime);
	table_print_pair(stdout, "Boot reason", "%s", text_or_dash(host, "boot_reason"));
	table_print_pair(stdout, "CPU model", "%s", text_or_dash(host, "cpu"));
	table_print_pair(stdout, "CPU(s)", "%" PRIu64, json_number(host, "cores"));
	table_print_pair(stdout, "TSC frequency", "%" PRIu64 " MHz", json_number(host, "tsc_hz") / 1000000);
	print_bytes("Memory size", json_number(memory, "total_bytes"));
	print_bytes("Free memory", json_number(memory, "free_bytes"));
	print_bytes("Hilum's own", json_number(memory, "hilum_bytes"));
	print_memory(memory);
	table_print_pair(stdout, "IOMMU", "%s%s", json_flag(host, "iommu") ? "yes" : "no",
	                 json_flag(host, "interrupt_remapping") ? ", interrupts too" : "");
	table_print_pair(stdout, "Device faults", "%" PRIu64, json_number(host, "device_faults"));
	table_print_pair(stdout, "Driver VM", "%s, restarted %" PRIu64 " times", text_or_dash(driver, "state"),
	                 json_number(driver, "restarts"));
	table_print_pair(stdout, "Control VM", "restarted %" PRIu64 " times", json_number(json_object_get(host, "control_vm"), "restarts"));
	print_faults(host);
	table_print_pair(stdout, "State is kept", "%s",
	                 json_flag(host, "state_kept") ? "yes" : "no: definitions and tokens go with the next restart");
	table_print_pair(stdout, "VMs", "%" PRIu64 " of %" PRIu64 " running", json_number(vms, "running"), json_number(vms, "defined"));
	json_array_foreach(json_object_get(host, "addresses"), i, address)
	{
		if (json_is_string(address))
			table_print_pair(stdout, "Address", "%s", json_string_value(address));
	}
	table_print_pair(stdout, "Fingerprint", "%s", text_or_dash(host, "fingerprint"));
	print_vulnerabilities(host);
}

static enum cli_exit run_host(const struct cli_options *options, char **operands, int count)
{
	struct http_reply reply;
	enum cli_exit status;

	(void)operands, (void)count;
	status = show_fetch(options, http_path("/host"), NULL, &reply);
	if (status == CLI_OK && options->json)
		json_print(reply.json);
	else if (status == CLI_OK)
		print_host(reply.json);
	http_free(&reply);
	return status;
}

const struct verb verb_host = {
	.name = "host",
	.operands = "",
	.summary = "Show the machine",
	.help = "Cores, memory, IOMMU, driver VM, faults, addresses, the fingerprint of its certificate, the CPU's vulnerabilities,\n"
		"and the last log of the run before this one, if a reset has left it.\n"
		"\nExamples:\n"
		"  hilum host\n"
		"  hilum --host lab host -o json\n",
	.options = "",
	.run = run_host,
};

static void print_audit(const json_t *entries)
{
	struct table table;
	const json_t *entry;
	size_t i;

	table_init(&table, (const char *const[]){ ">Id", "Time", "Token", "Role", "From", ">Status", "Request", NULL });
	json_array_foreach(entries, i, entry)
	{
		char id[24], status[24], *request = memory_format("%s %s", text_or_dash(entry, "method"), text_or_dash(entry, "path"));

		snprintf(id, sizeof(id), "%" PRIu64, json_number(entry, "id"));
		snprintf(status, sizeof(status), "%" PRIu64, json_number(entry, "status"));
		table_add_row(&table, (const char *[]){ id, json_text(entry, "time"), json_text(entry, "token"), json_text(entry, "role"),
		                                        json_text(entry, "peer"), status, request });
		free(request);
	}
	table_print(&table, stdout);
	table_free(&table);
}

static enum cli_exit run_audit(const struct cli_options *options, char **operands, int count)
{
	struct http_reply reply;
	enum cli_exit status;
	char *path = http_path("/audit"), *whole;

	(void)operands, (void)count;
	whole = memory_format("%s?since=%" PRId64, path, options->since == CLI_NOT_GIVEN ? 0 : options->since);
	free(path);
	status = show_fetch(options, whole, NULL, &reply);
	if (status == CLI_OK && options->json)
		json_print(reply.json);
	else if (status == CLI_OK)
		print_audit(json_object_get(reply.json, "entries"));
	http_free(&reply);
	return status;
}

const struct verb verb_audit = {
	.name = "audit",
	.operands = "",
	.summary = "Show who changed what, and what was refused",
	.help = "Every request since the machine's start that changed something or was refused. Wants a token with the role admin.\n"
		"\nExample:\n"
		"  hilum audit --since 40\n",
	.options = "since",
	.run = run_audit,
};

enum cli_exit host_ask(const struct cli_options *options, const char *place, json_t *body, const char *failure, const char *done)
{
	char *path = http_path(place);
	const struct http_request request = { .method = "POST", .path = path, .json = body };
	struct http_session session;
	struct http_reply reply = { 0 };
	enum cli_exit status = http_open(&session, options);

	if (status == CLI_OK)
		status = http_call(&session, &request, failure, &reply);
	if (status == CLI_OK && options->json && reply.json != NULL)
		json_print(reply.json);
	else if (status == CLI_OK)
		puts(options->json ? "{}" : done);
	http_free(&reply);
	http_close(&session);
	json_decref(body);
	free(path);
	return status;
}

static enum cli_exit run_restart_driver(const struct cli_options *options, char **operands, int count)
{
	(void)operands, (void)count;
	return host_ask(options, "/driver/restart", NULL, "Failed to restart the driver VM", "The driver VM is being restarted");
}

const struct verb verb_restart_driver = {
	.name = "restart-driver",
	.operands = "",
	.summary = "Restart the VM with the device drivers",
	.help = "Guests wait for their disks and cards meanwhile, and lose nothing. So does this connection.\n"
		"\nExample:\n"
		"  hilum restart-driver\n",
	.options = "",
	.run = run_restart_driver,
};

/* How long VMs have: as the machine thinks right, if nothing is given. */
static json_t *end_body(const struct cli_options *options)
{
	json_t *body = json_object();

	if (options->force)
		json_object_set_new(body, "force", json_true());
	else if (options->timeout != CLI_NOT_GIVEN)
		json_object_set_new(body, "timeout_seconds", json_integer(options->timeout));
	return body;
}

static enum cli_exit run_reboot_host(const struct cli_options *options, char **operands, int count)
{
	(void)operands, (void)count;
	return host_ask(options, "/host/reboot", end_body(options), "Failed to reboot the machine",
	                "The machine reboots as soon as its VMs have ended");
}

const struct verb verb_reboot_host = {
	.name = "reboot-host",
	.operands = "",
	.summary = "End all VMs in order, and reboot the machine",
	.help = "Each VM's power button is pressed. Those that still run after --timeout, or else a minute, have their plug pulled, as have\n"
		"paused ones, and with --force all at once. VMs that are started with the machine come back with it. Wants the role admin.\n"
		"\nExamples:\n"
		"  hilum reboot-host\n"
		"  hilum --host lab reboot-host --timeout 300\n",
	.options = "timeout force",
	.run = run_reboot_host,
};

static enum cli_exit run_poweroff_host(const struct cli_options *options, char **operands, int count)
{
	(void)operands, (void)count;
	return host_ask(options, "/host/poweroff", end_body(options), "Failed to power the machine off",
	                "The machine is switched off as soon as its VMs have ended");
}

const struct verb verb_poweroff_host = {
	.name = "poweroff-host",
	.operands = "",
	.summary = "End all VMs in order, and switch the machine off",
	.help = "As reboot-host, but somebody has to switch it on again.\n"
		"\nExample:\n"
		"  hilum poweroff-host --force\n",
	.options = "timeout force",
	.run = run_poweroff_host,
};
