/* login and forget: which machines this computer knows. */
#include "tools/cli/json.h"
#include "tools/cli/show.h"
#include "tools/cli/terminal.h"
#include "tools/cli/text.h"
#include "tools/cli/trust.h"
#include "tools/cli/verbs.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* From HILUM_TOKEN, or typed, or the first line of standard input. */
static enum cli_exit obtain_token(char **out)
{
	const char *given = getenv("HILUM_TOKEN");
	char line[128];
	bool here = given != NULL && *given != '\0';

	if (!here && !terminal_ask(isatty(STDIN_FILENO) ? "Token (it is not shown): " : "", isatty(STDIN_FILENO), line, sizeof(line))) {
		cli_error("there is no token: give it by HILUM_TOKEN or standard input");
		return CLI_USAGE;
	}
	if (!settings_is_token(here ? given : line)) {
		cli_error("that is no token: those begin with \"hilum_\", and 43 characters follow");
		return CLI_USAGE;
	}
	*out = memory_copy_string(here ? given : line);
	return CLI_OK;
}

/* Asks the machine what the token may do; it is stored only if that works. */
static enum cli_exit try_token(struct http_session *session, char **role)
{
	struct http_reply reply;
	enum cli_exit status = show_fetch_again(session, http_path("/whoami"), "Failed to log in", &reply);
	const char *text = json_text(reply.json, "role");

	*role = NULL;
	if (status == CLI_OK)
		*role = text_safe(text == NULL ? "-" : text, text == NULL ? 1 : strlen(text), false);
	http_free(&reply);
	return status;
}

static enum cli_exit log_in(struct http_session *session, struct settings *settings, const struct cli_options *options)
{
	const char *name = options->name != NULL ? options->name : session->target.address.host;
	char *role;
	enum cli_exit status = obtain_token(&session->target.token);

	if (status == CLI_OK)
		status = try_token(session, &role);
	if (status != CLI_OK)
		return status;
	status = settings_store(settings, name, &session->target, true);
	if (status == CLI_OK)
		printf("Logged in to %s with the role %s; it is stored as '%s', and the default now\n", session->target.address.authority,
		       role, name);
	free(role);
	return status;
}

static enum cli_exit run_login(const struct cli_options *options, char **operands, int count)
{
	struct target target = { .ca = options->ca == NULL ? NULL : memory_copy_string(options->ca) };
	struct http_session session = { 0 };
	struct settings settings;
	enum cli_exit status;

	(void)count;
	if (!address_parse(operands[0], &target.address)) {
		cli_error("\"%s\" is no address such as 192.168.1.20, hilum.local:8443 or https://[fd00::1]", operands[0]);
		settings_free_target(&target);
		return CLI_USAGE;
	}
	status = settings_read(&settings);
	if (status == CLI_OK)
		status = http_open_target(&session, &target, options->accept_new);
	if (status == CLI_OK)
		status = log_in(&session, &settings, options);
	http_close(&session);
	settings_free_target(&target);
	settings_free(&settings);
	return status;
}

const struct verb verb_login = {
	.name = "login",
	.operands = "HOST",
	.summary = "Store a machine and a token for it",
	.help = "HOST is an address, with a port if that is not 443. Shows the certificate's fingerprint, asks for the token (or takes "
		"HILUM_TOKEN, or a\n"
		"line of standard input), tries it, and stores both in ~/.config/hilum/config, which only you can read. It is then the "
		"default;\n"
		"--host chooses among several.\n"
		"\nExamples:\n"
		"  hilum login 192.168.1.20 --name lab\n"
		"  HILUM_FINGERPRINT=sha256:3A:5B:... hilum login hilum.local <token.txt\n",
	.options = "name",
	.least = 1,
	.most = 1,
	.run = run_login,
};

static enum cli_exit run_forget(const struct cli_options *options, char **operands, int count)
{
	struct cli_options named = *options;
	struct settings settings;
	struct target target;
	bool found;
	enum cli_exit status = settings_read(&settings);

	(void)count;
	if (status != CLI_OK)
		return status;
	named.host = operands[0];
	status = settings_choose(&settings, &named, &target);
	settings_free(&settings);
	if (status == CLI_OK) {
		if (!trust_forget(target.address.authority, &found))
			status = CLI_USAGE;
		else
			printf(found ? "Forgot the key of %s; the next connection asks again\n" : "The key of %s was not known\n",
			       target.address.authority);
	}
	settings_free_target(&target);
	return status;
}

const struct verb verb_forget = {
	.name = "forget",
	.operands = "HOST",
	.summary = "Forget the key of a machine's certificate",
	.help = "The next connection shows the fingerprint again and asks. For a machine that was set up anew. Its token stays stored.\n"
		"\nExample:\n"
		"  hilum forget lab\n",
	.options = "",
	.least = 1,
	.most = 1,
	.run = run_forget,
};
