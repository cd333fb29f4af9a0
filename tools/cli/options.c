#include "tools/cli/options.h"
#include "tools/cli/text.h"

#include <string.h>

enum kind {
	FLAG,
	TEXT,
	NUMBER,
};

struct option {
	const char *name;
	char letter; /* or zero */
	enum kind kind;
	size_t place;      /* in struct cli_options */
	const char *value; /* what it is called in the help */
	const char *meaning;
};

#define PLACE(field) offsetof(struct cli_options, field)

/* The first ones are global. */
#define GLOBALS 5
static const struct option all_options[] = {
	{ "host", 'H', TEXT, PLACE(host), "HOST", "the machine: a stored name, or an address (HILUM_HOST)" },
	{ "output", 'o', TEXT, PLACE(output), "table|json", "how results are printed; json is what the API answers" },
	{ "ca", 0, TEXT, PLACE(ca), "FILE|system", "the certificate is signed by one of these CAs; its key is not pinned" },
	{ "accept-new", 0, FLAG, PLACE(accept_new), NULL, "accept the certificate of a machine that is seen for the first time" },
	{ "help", 'h', FLAG, PLACE(help), NULL, "print this help" },
	{ "all", 'a', FLAG, PLACE(all), NULL, "also those that do not run" },
	{ "inactive", 0, FLAG, PLACE(inactive), NULL, "only those that do not run" },
	{ "name", 'n', TEXT, PLACE(name), "NAME", "the name to store it by" },
	{ "names", 0, FLAG, PLACE(names), NULL, "print the names alone, one a line" },
	{ "console", 'c', FLAG, PLACE(console), NULL, "attach to its console at once" },
	{ "force", 'f', FLAG, PLACE(force), NULL, "do not wait for the guest, and ask nothing" },
	{ "timeout", 't', NUMBER, PLACE(timeout), "SECONDS", "pull the plug if the guest has not ended after this time" },
	{ "wait", 'w', FLAG, PLACE(wait), NULL, "come back when it has ended" },
	{ "follow", 'F', FLAG, PLACE(follow), NULL, "go on with what comes, until Ctrl-C" },
	{ "since", 0, NUMBER, PLACE(since), "N", "begin behind the one of this number" },
	{ "once", '1', FLAG, PLACE(once), NULL, "measure once, print, and end" },
	{ "delay", 'd', NUMBER, PLACE(delay), "SECONDS", "time between two measurements" },
	{ "edit", 'e', TEXT, PLACE(name), "NAME", "edit this VM's definition in $VISUAL or $EDITOR" },
	{ "new", 0, FLAG, PLACE(create), NULL, "refuse if there is a VM of that name" },
	{ "tail", 0, TEXT, PLACE(tail), "SIZE|all", "how much of the earlier output is shown first (16K)" },
	{ "log", 0, FLAG, PLACE(log), NULL, "print what is kept of the output, and end" },
	{ "linger", 0, NUMBER, PLACE(linger), "SECONDS", "with input from a pipe: end after so long without output (1)" },
	{ "port", 'p', NUMBER, PLACE(port), "PORT", "local port (default: a free one)" },
	{ "delete", 0, TEXT, PLACE(name), "NAME", "remove this uploaded image" },
	{ "role", 'r', TEXT, PLACE(role), "ROLE", "viewer, operator or admin" },
	{ "max", 0, TEXT, PLACE(max), "SIZE", "what it may have at most" },
	{ "min", 0, TEXT, PLACE(min), "SIZE", "what is left to it where memory is short" },
	{ "disable", 0, FLAG, PLACE(disable), NULL, "no longer" },
	{ "weight", 0, NUMBER, PLACE(weight), "N", "its share beside others: 1 to 65535, 256 is usual" },
	{ "cap", 0, NUMBER, PLACE(cap), "PERCENT", "it gets no more; 0: no limit" },
	{ "reservation", 0, NUMBER, PLACE(reservation), "PERCENT", "it gets that whenever it wants it; 0: none" },
	{ "dedicated", 0, FLAG, PLACE(dedicated), NULL, "the cores are its alone" },
	{ "reset", 0, FLAG, PLACE(reset), NULL, "back to the machine's own certificate" },
};
#define OPTIONS    (sizeof(all_options) / sizeof(all_options[0]))
#define NUMBER_MAX INT64_MAX

static bool is_in_list(const char *list, const char *name)
{
	size_t length = strlen(name);

	for (const char *at = list; at != NULL && *at != '\0';) {
		size_t word = strcspn(at, " ");

		if (word == length && memcmp(at, name, length) == 0)
			return true;
		at += word + strspn(at + word, " ");
	}
	return false;
}

static bool applies(const struct option *option, const struct verb *verb)
{
	return option < all_options + GLOBALS || (verb != NULL && is_in_list(verb->options, option->name));
}

/* The option of this name (of `length` bytes), or of this letter if `name` is NULL. */
static const struct option *find_option(const struct verb *verb, const char *name, size_t length, char letter)
{
	for (unsigned i = 0; i < OPTIONS; i++) {
		const struct option *option = &all_options[i];

		if (!applies(option, verb))
			continue;
		if (name == NULL ? option->letter == letter : strlen(option->name) == length && memcmp(option->name, name, length) == 0)
			return option;
	}
	return NULL;
}

static enum cli_exit set_option(const struct option *option, const char *value, struct cli_options *options)
{
	void *place = (char *)options + option->place;

	if (option->kind == FLAG)
		*(bool *)place = true;
	else if (option->kind == TEXT)
		*(const char **)place = value;
	else if (!text_parse_number(value, NUMBER_MAX, place)) {
		cli_error("--%s: \"%s\" is not a number", option->name, value);
		return CLI_USAGE;
	}
	return CLI_OK;
}

/* An option at words[at]; *used is set to the words it takes, 1 or 2. */
static enum cli_exit take_option(const struct verb *verb, char **words, int at, int count, struct cli_options *options, int *used)
{
	const char *word = words[at], *value = NULL;
	bool named = word[1] == '-';
	size_t length = named ? strcspn(word + 2, "=") : 1;
	const struct option *option = find_option(verb, named ? word + 2 : NULL, length, word[1]);

	*used = 1;
	if (option == NULL) {
		cli_error("there is no option %.*s%s%s", named ? (int)length + 2 : 2, word, verb == NULL ? "" : " of ",
		          verb == NULL ? "" : verb->name);
		return CLI_USAGE;
	}
	if (named && word[length + 2] == '=')
		value = word + length + 3;
	else if (!named && word[2] != '\0')
		value = word + 2;
	if (option->kind == FLAG && value != NULL) {
		cli_error("--%s takes no value", option->name);
		return CLI_USAGE;
	}
	if (option->kind != FLAG && value == NULL) {
		if (at + 1 == count) {
			cli_error("--%s wants a value", option->name);
			return CLI_USAGE;
		}
		value = words[at + 1];
		*used = 2;
	}
	return set_option(option, value, options);
}

enum cli_exit options_parse(const struct verb *verb, char **words, int *count, struct cli_options *options)
{
	int kept = 0, used;
	bool ended = false;

	for (int at = 0; at < *count; at += used) {
		used = 1;
		if (!ended && strcmp(words[at], "--") == 0) {
			ended = true;
		} else if (!ended && words[at][0] == '-' && words[at][1] != '\0') {
			enum cli_exit status = take_option(verb, words, at, *count, options, &used);

			if (status != CLI_OK)
				return status;
		} else {
			ended = ended || verb == NULL;
			words[kept++] = words[at];
		}
	}
	*count = kept;
	if (options->output != NULL && strcmp(options->output, "json") != 0 && strcmp(options->output, "table") != 0) {
		cli_error("--output: \"%s\" is neither json nor table", options->output);
		return CLI_USAGE;
	}
	options->json = options->output != NULL && strcmp(options->output, "json") == 0;
	return CLI_OK;
}

static void print_option(FILE *to, const struct option *option)
{
	char word[48];

	snprintf(word, sizeof(word), "%c%c%s--%s%s%s", option->letter == 0 ? ' ' : '-', option->letter == 0 ? ' ' : option->letter,
	         option->letter == 0 ? "  " : ", ", option->name, option->value == NULL ? "" : " ",
	         option->value == NULL ? "" : option->value);
	fprintf(to, "  %-26s %s\n", word, option->meaning);
}

void options_print(FILE *to, const struct verb *verb)
{
	for (unsigned i = verb == NULL ? 0 : GLOBALS; i < OPTIONS && (verb != NULL || i < GLOBALS); i++) {
		if (applies(&all_options[i], verb))
			print_option(to, &all_options[i]);
	}
}

void options_print_names(FILE *to, const struct verb *verb)
{
	for (unsigned i = 0; i < OPTIONS; i++) {
		if (applies(&all_options[i], verb))
			fprintf(to, "--%s\n", all_options[i].name);
	}
}
