#include "tools/cli/known_hosts.h"
#include "tools/cli/memory.h"

#include <stdint.h>
#include <stdio.h>
#include <string.h>

/* Whether the line is the machine's: its name, a blank, a pin. */
static bool is_line_of(const char *line, size_t length, const char *authority)
{
	size_t name = strlen(authority);

	return length > name + 1 && memcmp(line, authority, name) == 0 && line[name] == ' ';
}

bool known_hosts_find(const char *text, const char *authority, char *pin, size_t size)
{
	bool found = false;

	while (*text != '\0') {
		size_t length = strcspn(text, "\r\n"), name = strlen(authority) + 1;

		if (is_line_of(text, length, authority) && length - name < size) {
			snprintf(pin, size, "%.*s", (int)(length - name), text + name);
			found = true;
		}
		text += length + (text[length] != '\0');
	}
	return found;
}

char *known_hosts_remove(const char *text, const char *authority, bool *found)
{
	struct memory_buffer kept = { 0 };

	*found = false;
	memory_append(&kept, "", 0, SIZE_MAX / 4);
	while (*text != '\0') {
		size_t length = strcspn(text, "\n");
		size_t whole = length + (text[length] != '\0');

		if (is_line_of(text, length, authority))
			*found = true;
		else
			memory_append(&kept, text, whole, SIZE_MAX / 4);
		text += whole;
	}
	return kept.bytes;
}
