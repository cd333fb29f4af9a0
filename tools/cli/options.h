/* The words of the command line: options, which may stand anywhere, and operands. */
#ifndef TOOLS_CLI_OPTIONS_H
#define TOOLS_CLI_OPTIONS_H

#include "tools/cli/cli.h"

#include <stdio.h>

/*
 * Takes the options out of words[0 .. count) and leaves the operands there, *count of them. Which options there are says `verb`; NULL:
 * those before the verb, and what comes after the first operand is left as it is. "--" ends the options. What is wrong is said: CLI_USAGE.
 */
enum cli_exit options_parse(const struct verb *verb, char **words, int *count, struct cli_options *options);

/* A line for each option: of this verb, or the global ones. */
void options_print(FILE *to, const struct verb *verb);

/* Which options the verb takes, separated by line ends, as shell completion wants it. */
void options_print_names(FILE *to, const struct verb *verb);

#endif
