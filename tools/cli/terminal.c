#include "tools/cli/terminal.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <termios.h>
#include <unistd.h>

/* The terminal that is in raw mode, or -1; what it was before. A signal handler reads them. */
static volatile sig_atomic_t raw_fd = -1;
static struct termios before_raw;

static const int deadly_signals[] = { SIGHUP, SIGINT, SIGQUIT, SIGTERM, SIGABRT, SIGSEGV };

bool terminal_is_there(void)
{
	return isatty(STDIN_FILENO) && isatty(STDERR_FILENO);
}

static void restore(void)
{
	if (raw_fd >= 0)
		tcsetattr(raw_fd, TCSANOW, &before_raw);
	raw_fd = -1;
}

/* Restores, then dies of the same signal: SA_RESETHAND has put the default back. */
static void end_by_signal(int number)
{
	restore();
	raise(number);
}

static void catch_signals(void)
{
	struct sigaction action = { .sa_handler = end_by_signal, .sa_flags = SA_RESETHAND | SA_NODEFER };
	static bool registered;

	for (unsigned i = 0; i < sizeof(deadly_signals) / sizeof(deadly_signals[0]); i++)
		sigaction(deadly_signals[i], &action, NULL);
	if (!registered)
		atexit(restore);
	registered = true;
}

static bool change(int fd, void (*how)(struct termios *))
{
	struct termios mode;

	if (raw_fd >= 0 || tcgetattr(fd, &before_raw) != 0)
		return false;
	mode = before_raw;
	how(&mode);
	catch_signals();
	raw_fd = fd;
	if (tcsetattr(fd, TCSADRAIN, &mode) == 0)
		return true;
	raw_fd = -1;
	return false;
}

static void make_raw(struct termios *mode)
{
	cfmakeraw(mode);
	mode->c_cc[VMIN] = 1;
	mode->c_cc[VTIME] = 0;
}

static void make_silent(struct termios *mode)
{
	mode->c_lflag &= ~(tcflag_t)(ECHO);
}

bool terminal_enter_raw(int fd)
{
	return change(fd, make_raw);
}

static void make_quiet(struct termios *mode)
{
	mode->c_lflag &= ~(tcflag_t)(ECHO | ICANON);
	mode->c_cc[VMIN] = 1;
	mode->c_cc[VTIME] = 0;
}

bool terminal_enter_quiet(int fd)
{
	return change(fd, make_quiet);
}

void terminal_leave_raw(void)
{
	restore();
}

bool terminal_ask(const char *question, bool secret, char *answer, size_t size)
{
	bool silent, read;

	fputs(question, stderr);
	fflush(stderr);
	silent = secret && change(STDIN_FILENO, make_silent);
	read = fgets(answer, (int)size, stdin) != NULL;
	if (silent) {
		restore();
		fputc('\n', stderr);
	}
	if (read)
		answer[strcspn(answer, "\r\n")] = '\0';
	return read;
}

bool terminal_confirm(const char *question)
{
	char answer[16];

	return terminal_ask(question, false, answer, sizeof(answer)) && (strcasecmp(answer, "y") == 0 || strcasecmp(answer, "yes") == 0);
}

void terminal_measure(unsigned *columns, unsigned *lines)
{
	struct winsize size;

	*columns = 80;
	*lines = 24;
	if (ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_col != 0 && size.ws_row != 0) {
		*columns = size.ws_col;
		*lines = size.ws_row;
	}
}
