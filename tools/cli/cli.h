/*
 * `hilum`, the operator's command line: what all its parts share. It talks to nothing but the API of one machine (docs/openapi.yaml),
 * and what comes from there is not trusted: text.h says how it is printed.
 */
#ifndef TOOLS_CLI_CLI_H
#define TOOLS_CLI_CLI_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Exit statuses; docs/hilum.1 promises them to scripts. */
enum cli_exit {
	CLI_OK = 0,
	CLI_REFUSED = 1,     /* the API said no, or `check` found errors */
	CLI_USAGE = 2,       /* wrong words, or a file of this computer that cannot be read or written */
	CLI_UNREACHABLE = 3, /* no answer, or one that makes no sense */
	CLI_DENIED = 4,      /* no token, or one that does not suffice */
	CLI_UNTRUSTED = 5,   /* the machine's certificate has changed, or is not known and there is nobody to ask */
};

/* Every option of every verb; options.c has their names, and each verb says which it takes. */
struct cli_options {
	bool help, json, accept_new;
	const char *output, *host, *ca;
	bool all, inactive, names, console, force, follow, once, edit, log, reset, create, wait, disable, dedicated;
	const char *name, *role, *tail, *max, *min;
	int64_t timeout, delay, since, port, linger;
	int64_t weight, cap, reservation;
};

/* What an int64_t option has that was not given. */
#define CLI_NOT_GIVEN (-1)

struct verb {
	const char *name;
	const char *operands; /* for the synopsis, as "NAME" */
	const char *summary;  /* one line, no full stop */
	const char *help;     /* what more there is to know, and examples */
	const char *options;  /* those it takes beside the global ones: long names, with blanks between them */
	int least, most;      /* operands */
	enum cli_exit (*run)(const struct cli_options *options, char **operands, int count);
};

extern const struct verb *const cli_verbs[]; /* ends with NULL */

/* Prints "error: ..." with a line end on standard error. Strings from the network must have been made safe (text_safe) before. */
void cli_error(const char *format, ...) __attribute__((format(printf, 1, 2)));
/* While it is quiet nothing is said: what fails is tried again. */
void cli_be_quiet(bool quiet);

/* The version that `hilum --version` and the package have. */
extern const char cli_version[];

#endif
