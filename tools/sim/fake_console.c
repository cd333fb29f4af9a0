/* A guest's console: a shell that echoes what is typed, and knows a few commands. */
#include "tools/sim/sim.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define PROMPT "~ # "

bool fake_console_init(struct fake_console *console)
{
	*console = (struct fake_console){ .ring = malloc(MANAGER_CONSOLE_BYTES) };
	return console->ring != NULL;
}

static void put(struct fake_console *console, const char *bytes, size_t count)
{
	for (size_t i = 0; i < count; i++)
		console->ring[console->written++ % MANAGER_CONSOLE_BYTES] = (uint8_t)bytes[i];
}

void fake_console_print(struct fake_console *console, const char *text)
{
	put(console, text, strlen(text));
}

void fake_console_boot(struct fake_console *console, const char *name)
{
	char banner[200];

	console->length = 0;
	snprintf(banner, sizeof(banner),
	         "[    0.000000] Linux version 6.1.0 (simulated)\r\n[    0.412000] Run /init as init process\r\n"
	         "Welcome to \033[1m%s\033[0m\r\n" PROMPT,
	         name);
	fake_console_print(console, banner);
}

static void print_number(struct fake_console *console, unsigned number)
{
	char text[24];

	snprintf(text, sizeof(text), "line %u\r\n", number);
	fake_console_print(console, text);
}

/* `flood N` prints N lines, so that the scrollback can be filled. */
static enum fake_request run_line(struct fake_console *console, const char *line)
{
	if (strcmp(line, "poweroff") == 0)
		return FAKE_POWEROFF;
	if (strcmp(line, "reboot") == 0)
		return FAKE_REBOOT;
	if (strcmp(line, "crash") == 0)
		return FAKE_CRASH;
	if (strncmp(line, "echo ", 5) == 0) {
		fake_console_print(console, line + 5);
		fake_console_print(console, "\r\n");
	} else if (strcmp(line, "uname") == 0) {
		fake_console_print(console, "Linux\r\n");
	} else if (strncmp(line, "flood ", 6) == 0) {
		for (unsigned i = 0, count = (unsigned)strtoul(line + 6, NULL, 10); i < count && i < 1000000; i++)
			print_number(console, i);
	} else if (line[0] != '\0') {
		fake_console_print(console, line);
		fake_console_print(console, ": not found\r\n");
	}
	fake_console_print(console, PROMPT);
	return FAKE_NOTHING;
}

static enum fake_request type_one(struct fake_console *console, char c)
{
	if (c == '\r' || c == '\n') {
		fake_console_print(console, "\r\n");
		console->line[console->length] = '\0';
		console->length = 0;
		return run_line(console, console->line);
	}
	if ((c == '\b' || c == 0x7F) && console->length != 0) {
		console->length--;
		fake_console_print(console, "\b \b");
	} else if ((unsigned char)c >= ' ' && c != 0x7F && console->length < sizeof(console->line) - 1) {
		console->line[console->length++] = c;
		put(console, &c, 1);
	}
	return FAKE_NOTHING;
}

enum fake_request fake_console_type(struct fake_console *console, const uint8_t *bytes, size_t count)
{
	enum fake_request request = FAKE_NOTHING;

	for (size_t i = 0; i < count && request == FAKE_NOTHING; i++)
		request = type_one(console, (char)bytes[i]);
	return request;
}

size_t fake_console_read(const struct fake_console *console, uint64_t *position, uint8_t *to, size_t size)
{
	size_t count = 0;

	if (*position > console->written)
		*position = console->written;
	if (console->written - *position > MANAGER_CONSOLE_BYTES)
		*position = console->written - MANAGER_CONSOLE_BYTES;
	while (count < size && *position < console->written)
		to[count++] = console->ring[(*position)++ % MANAGER_CONSOLE_BYTES];
	return count;
}
