#include "tools/cli/toml_text.h"
#include "drivers-vm/control/config.h"
#include "tools/cli/text.h"

#include <stdint.h>
#include <stdio.h>
#include <string.h>

struct toml_value *toml_text_parse(const char *text, size_t length, struct toml_arena *arena, struct toml_error *error)
{
	*arena = (struct toml_arena){ .bytes = CONFIG_ARENA_BYTES(length) };
	arena->base = memory_resize(NULL, arena->bytes);
	return toml_parse(text, length, arena, error);
}

void toml_text_add(struct memory_buffer *to, const char *text)
{
	if (!memory_append(to, text, strlen(text), SIZE_MAX / 4))
		memory_exhausted();
}

void toml_text_add_key(struct memory_buffer *to, const char *key)
{
	static const char bare[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

	if (*key != '\0' && key[strspn(key, bare)] == '\0')
		toml_text_add(to, key);
	else
		toml_text_add_string(to, key);
}

void toml_text_add_string(struct memory_buffer *to, const char *text)
{
	size_t length = strlen(text);

	toml_text_add(to, "\"");
	for (size_t at = 0; at < length;) {
		uint32_t code = 0xfffd; /* what stands for bytes that are no UTF-8 */
		size_t bytes = text_decode_utf8(text + at, length - at, &code);
		char piece[16];

		if (code == '"' || code == '\\')
			snprintf(piece, sizeof(piece), "\\%c", (char)code);
		else if (bytes == 0 || !text_is_harmless(code))
			snprintf(piece, sizeof(piece), "\\u%04x", (unsigned)code);
		else
			snprintf(piece, sizeof(piece), "%.*s", (int)bytes, text + at);
		toml_text_add(to, piece);
		at += bytes == 0 ? 1 : bytes;
	}
	toml_text_add(to, "\"");
}

void toml_text_add_pair(struct memory_buffer *to, const char *key, const char *text)
{
	toml_text_add_key(to, key);
	toml_text_add(to, " = ");
	toml_text_add_string(to, text);
	toml_text_add(to, "\n");
}
