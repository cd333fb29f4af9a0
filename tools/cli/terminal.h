/* The operator's terminal. */
#ifndef TOOLS_CLI_TERMINAL_H
#define TOOLS_CLI_TERMINAL_H

#include <stdbool.h>
#include <stddef.h>

/* Questions can be asked: standard input and standard error are terminals. */
bool terminal_is_there(void);
/* Asks on standard error and reads a line from standard input, without showing it if it is `secret`. False: there is none. */
bool terminal_ask(const char *question, bool secret, char *answer, size_t size);
/* A yes or no; false at anything but yes. */
bool terminal_confirm(const char *question);

/* Every key goes to the program as it is, until terminal_leave_raw; also when a signal or exit() ends it. False: `fd` is no terminal. */
bool terminal_enter_raw(int fd);
/* Keys come at once and are not shown; Ctrl-C still ends the program. terminal_leave_raw as well. */
bool terminal_enter_quiet(int fd);
void terminal_leave_raw(void);

/* Columns and lines of standard output's terminal; 80 and 24 if nobody says. */
void terminal_measure(unsigned *columns, unsigned *lines);

#endif
