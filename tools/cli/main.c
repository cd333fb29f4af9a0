/* `hilum`: finds the verb, reads its options, runs it. */
#include "tools/cli/cli.h"
#include "tools/cli/options.h"

#include <locale.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <curl/curl.h>

#ifndef HILUM_VERSION
#error "mk/tools.mk says which version this is"
#endif
const char cli_version[] = HILUM_VERSION;

static bool is_quiet;

void cli_be_quiet(bool quiet)
{
	is_quiet = quiet;
}

void cli_error(const char *format, ...)
{
	va_list arguments;

	if (is_quiet)
		return;
	fflush(stdout);
	fputs("error: ", stderr);
	va_start(arguments, format);
	vfprintf(stderr, format, arguments);
	va_end(arguments);
	fputc('\n', stderr);
}

static const struct verb *find_verb(const char *name)
{
	for (unsigned i = 0; cli_verbs[i] != NULL; i++) {
		if (strcmp(cli_verbs[i]->name, name) == 0)
			return cli_verbs[i];
	}
	return NULL;
}

static void print_help(FILE *to)
{
	fputs("usage: hilum [--host HOST] VERB [OPTIONS] [OPERANDS]\n"
	      "Operates a machine that runs Hilum, through its API. `hilum VERB --help` says more about each verb.\n\n",
	      to);
	for (unsigned i = 0; cli_verbs[i] != NULL; i++)
		fprintf(to, "  %-15s %s\n", cli_verbs[i]->name, cli_verbs[i]->summary);
	fputs("\nOptions of all verbs:\n", to);
	options_print(to, NULL);
	fputs("  -V, --version              print the version\n"
	      "\nEnvironment: HILUM_HOST and HILUM_TOKEN say which machine and with which token; HILUM_FINGERPRINT, which certificate a\n"
	      "new machine must have. `hilum login HOST` stores them in ~/.config/hilum/config instead.\n"
	      "\nExit status: 0 done, 1 refused by the machine, 2 wrong usage or a file of this computer, 3 machine not reached,\n"
	      "4 no token or not enough rights, 5 the machine's certificate is not the one that is known.\n"
	      "\nExamples:\n"
	      "  hilum login 192.168.1.20           # once: compares the fingerprint, stores the token\n"
	      "  hilum list --all\n"
	      "  hilum start linux --console        # Ctrl-] leaves the console\n",
	      to);
}

static void print_verb_help(FILE *to, const struct verb *verb)
{
	fprintf(to, "usage: hilum %s%s%s%s%s\n%s.\n\n%s", verb->name, verb->options[0] == '\0' ? "" : " [OPTIONS]",
	        verb->operands[0] == '\0' ? "" : " ", verb->operands, "", verb->summary, verb->help);
	if (verb->options[0] != '\0') {
		fputs("\nOptions:\n", to);
		options_print(to, verb);
	}
	fputs("\nOptions of all verbs:\n", to);
	options_print(to, NULL);
}

static enum cli_exit run_verb(const struct verb *verb, char **words, int count, struct cli_options *options)
{
	enum cli_exit status = options_parse(verb, words, &count, options);

	if (status != CLI_OK) {
		fprintf(stderr, "`hilum %s --help` says what there is.\n", verb->name);
		return status;
	}
	if (options->help) {
		print_verb_help(stdout, verb);
		return CLI_OK;
	}
	if (count < verb->least || count > verb->most) {
		fprintf(stderr, "usage: hilum %s%s %s\n`hilum %s --help` says more.\n", verb->name,
		        verb->options[0] == '\0' ? "" : " [OPTIONS]", verb->operands, verb->name);
		return CLI_USAGE;
	}
	return verb->run(options, words, count);
}

/* For shell completion: `hilum __verbs`, `hilum __options VERB`. */
static bool complete(char **words, int count)
{
	const struct verb *verb = count == 2 ? find_verb(words[1]) : NULL;

	if (count == 1 && strcmp(words[0], "__verbs") == 0) {
		for (unsigned i = 0; cli_verbs[i] != NULL; i++)
			printf("%s\t%s\n", cli_verbs[i]->name, cli_verbs[i]->summary);
		return true;
	}
	if (verb != NULL && strcmp(words[0], "__options") == 0)
		options_print_names(stdout, verb);
	return verb != NULL && strcmp(words[0], "__options") == 0;
}

static enum cli_exit run(char **words, int count)
{
	struct cli_options options = { .timeout = CLI_NOT_GIVEN,
		                       .delay = CLI_NOT_GIVEN,
		                       .since = CLI_NOT_GIVEN,
		                       .port = CLI_NOT_GIVEN,
		                       .linger = CLI_NOT_GIVEN,
		                       .weight = CLI_NOT_GIVEN,
		                       .cap = CLI_NOT_GIVEN,
		                       .reservation = CLI_NOT_GIVEN };
	const struct verb *verb;
	enum cli_exit status;

	if (count == 1 && (strcmp(words[0], "--version") == 0 || strcmp(words[0], "-V") == 0)) {
		printf("hilum %s\n", cli_version);
		return CLI_OK;
	}
	status = options_parse(NULL, words, &count, &options);
	if (status != CLI_OK)
		return status;
	if (count == 0) {
		print_help(options.help ? stdout : stderr);
		return options.help ? CLI_OK : CLI_USAGE;
	}
	if (complete(words, count))
		return CLI_OK;
	verb = find_verb(words[0]);
	if (verb == NULL) {
		cli_error("there is no verb \"%s\"; `hilum --help` lists them", words[0]);
		return CLI_USAGE;
	}
	return run_verb(verb, words + 1, count - 1, &options);
}

int main(int argc, char **argv)
{
	enum cli_exit status;

	setlocale(LC_CTYPE, "");
	signal(SIGPIPE, SIG_IGN);
	if (curl_global_init(CURL_GLOBAL_DEFAULT) != CURLE_OK) {
		cli_error("libcurl does not start");
		return CLI_USAGE;
	}
	status = run(argv + 1, argc - 1);
	curl_global_cleanup();
	/* Output that went nowhere is no success; a reader that had enough (head) is. */
	if (fflush(stdout) != 0 || ferror(stdout))
		status = status == CLI_OK ? CLI_USAGE : status;
	return (int)status;
}
