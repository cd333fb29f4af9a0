/* Verbs that move a VM from one state to another: one request each, and virsh's sentences. */
#include "tools/cli/console.h"
#include "tools/cli/http.h"
#include "tools/cli/json.h"
#include "tools/cli/show.h"
#include "tools/cli/verbs.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

struct action {
	const char *path;    /* the last part of it */
	const char *attempt; /* for "Failed to ..." */
	const char *success; /* for "Domain 'NAME' ..." */
};

/* What the request has as its body, or NULL. */
static json_t *make_body(const struct cli_options *options, bool force)
{
	json_t *body = force || options->timeout > 0 ? json_object() : NULL;

	if (force)
		json_object_set_new(body, "force", json_true());
	else if (options->timeout > 0)
		json_object_set_new(body, "timeout_seconds", json_integer(options->timeout));
	return body;
}

/* Asks again and again until the VM has ended. One that its definition starts again never does; the operator's Ctrl-C ends that. */
static enum cli_exit wait_for_end(struct http_session *session, const char *name)
{
	for (;;) {
		struct http_reply reply;
		enum cli_exit status = show_fetch_again(session, http_path("/vms/%s", name), NULL, &reply);
		const char *state = status == CLI_OK ? json_text(reply.json, "state") : NULL;
		bool ended = state != NULL && (strcmp(state, "shutoff") == 0 || strcmp(state, "crashed") == 0);

		http_free(&reply);
		if (status != CLI_OK || ended)
			return status;
		usleep(500000);
	}
}

static enum cli_exit act(struct http_session *session, const struct cli_options *options, const struct action *action, const char *name,
                         bool force)
{
	json_t *body = make_body(options, force);
	char *path = http_path("/vms/%s/%s", name, action->path),
	     *failure = memory_format("Failed to %s domain '%s'", action->attempt, name);
	const struct http_request request = { .method = "POST", .path = path, .json = body };
	struct http_reply reply;
	enum cli_exit status = http_call(session, &request, failure, &reply);

	if (status == CLI_OK && options->wait)
		status = wait_for_end(session, name);
	if (status == CLI_OK && options->json)
		json_print(reply.json);
	else if (status == CLI_OK)
		printf("Domain '%s' %s\n", name, action->success);
	fflush(stdout);
	http_free(&reply);
	json_decref(body);
	free(path);
	free(failure);
	return status;
}

/* For every operand; goes on after a refusal, and returns the first status that is not CLI_OK. */
static enum cli_exit act_on_all(const struct cli_options *options, const struct action *action, char **names, int count, bool force)
{
	struct http_session session;
	enum cli_exit result = http_open(&session, options);

	for (int i = 0; session.curl != NULL && i < count; i++) {
		enum cli_exit status = act(&session, options, action, names[i], force);

		result = result == CLI_OK ? status : result;
	}
	http_close(&session);
	return result;
}

static enum cli_exit start_with_console(const struct cli_options *options, const struct action *action, const char *name)
{
	struct cli_options fresh = *options;
	struct http_session session;
	struct websocket *console = NULL;
	enum cli_exit status = http_open(&session, options);

	/* The console first: nothing of the start is missed, and nothing of earlier ones is shown. */
	if (fresh.tail == NULL)
		fresh.tail = "0";
	if (status == CLI_OK)
		status = console_open(&session, &fresh, name, &console);
	if (status == CLI_OK)
		status = act(&session, options, action, name, false);
	if (status == CLI_OK)
		status = console_run(console, &fresh, name);
	console_close(console);
	http_close(&session);
	return status;
}

static enum cli_exit run_start(const struct cli_options *options, char **operands, int count)
{
	static const struct action start = { "boot", "start", "started" };

	if (options->console && count != 1) {
		cli_error("--console: one VM at a time");
		return CLI_USAGE;
	}
	return options->console ? start_with_console(options, &start, operands[0]) : act_on_all(options, &start, operands, count, false);
}

static enum cli_exit run_shutdown(const struct cli_options *options, char **operands, int count)
{
	static const struct action asked = { "shutdown", "shutdown", "is being shutdown" }, done = { "shutdown", "shutdown", "has ended" };

	return act_on_all(options, options->wait ? &done : &asked, operands, count, options->force);
}

static enum cli_exit run_destroy(const struct cli_options *options, char **operands, int count)
{
	static const struct action action = { "shutdown", "destroy", "destroyed" };

	return act_on_all(options, &action, operands, count, true);
}

static enum cli_exit run_suspend(const struct cli_options *options, char **operands, int count)
{
	static const struct action action = { "pause", "suspend", "suspended" };

	return act_on_all(options, &action, operands, count, false);
}

static enum cli_exit run_resume(const struct cli_options *options, char **operands, int count)
{
	static const struct action action = { "resume", "resume", "resumed" };

	return act_on_all(options, &action, operands, count, false);
}

static enum cli_exit run_reboot(const struct cli_options *options, char **operands, int count)
{
	static const struct action action = { "reboot", "reboot", "is being rebooted" };

	return act_on_all(options, &action, operands, count, options->force);
}

static enum cli_exit run_reset(const struct cli_options *options, char **operands, int count)
{
	static const struct action action = { "reset", "reset", "was reset" };

	return act_on_all(options, &action, operands, count, false);
}

static enum cli_exit run_nmi(const struct cli_options *options, char **operands, int count)
{
	static const struct action action = { "nmi", "send an NMI to", "has been sent an NMI" };

	return act_on_all(options, &action, operands, count, false);
}

#define NAMES      "NAME..."
#define NAMES_MOST 64

const struct verb verb_start = {
	.name = "start",
	.operands = NAMES,
	.summary = "Start VMs",
	.help = "With --console the console shows what it prints from the first byte on.\n"
		"\nExamples:\n"
		"  hilum start linux\n"
		"  hilum start linux --console        # Ctrl-] leaves the console; the VM goes on\n",
	.options = "console",
	.least = 1,
	.most = NAMES_MOST,
	.run = run_start,
};

const struct verb verb_shutdown = {
	.name = "shutdown",
	.operands = NAMES,
	.summary = "Press the power button of VMs",
	.help = "The guest's operating system decides what follows; most end. --timeout pulls the plug of one that has not ended by then.\n"
		"\nExamples:\n"
		"  hilum shutdown linux\n"
		"  hilum shutdown linux --timeout 60 --wait\n",
	.options = "timeout wait force",
	.least = 1,
	.most = NAMES_MOST,
	.run = run_shutdown,
};

const struct verb verb_destroy = {
	.name = "destroy",
	.operands = NAMES,
	.summary = "Pull the plug of VMs",
	.help = "What the guest has not written to its disks is lost, and so is its memory. Its definition stays; `undefine` removes "
		"that.\n"
		"\nExample:\n"
		"  hilum destroy linux\n",
	.options = "",
	.least = 1,
	.most = NAMES_MOST,
	.run = run_destroy,
};

const struct verb verb_suspend = {
	.name = "suspend",
	.operands = NAMES,
	.summary = "Stop VMs where they are",
	.help = "They keep their memory; `resume` lets them go on.\n"
		"\nExample:\n"
		"  hilum suspend linux\n",
	.options = "",
	.least = 1,
	.most = NAMES_MOST,
	.run = run_suspend,
};

const struct verb verb_resume = {
	.name = "resume",
	.operands = NAMES,
	.summary = "Let suspended VMs go on",
	.help = "\nExample:\n"
		"  hilum resume linux\n",
	.options = "",
	.least = 1,
	.most = NAMES_MOST,
	.run = run_resume,
};

const struct verb verb_reboot = {
	.name = "reboot",
	.operands = NAMES,
	.summary = "Shut VMs down and start them again",
	.help = "As `shutdown`, and starts the VM again then, with its definition as it is now.\n"
		"\nExamples:\n"
		"  hilum reboot linux --timeout 60\n"
		"  hilum reboot linux --force\n",
	.options = "timeout force",
	.least = 1,
	.most = NAMES_MOST,
	.run = run_reboot,
};

const struct verb verb_reset = {
	.name = "reset",
	.operands = NAMES,
	.summary = "Press the reset button of VMs",
	.help = "What the guest has not written to its disks is lost.\n"
		"\nExample:\n"
		"  hilum reset linux\n",
	.options = "",
	.least = 1,
	.most = NAMES_MOST,
	.run = run_reset,
};

const struct verb verb_nmi = {
	.name = "nmi",
	.operands = NAMES,
	.summary = "Send a non-maskable interrupt to VMs",
	.help = "To all its vCPUs. Linux says so in its log, or panics with a dump where it was told to (kernel.unknown_nmi_panic=1).\n"
		"\nExample:\n"
		"  hilum nmi linux\n",
	.options = "",
	.least = 1,
	.most = NAMES_MOST,
	.run = run_nmi,
};
