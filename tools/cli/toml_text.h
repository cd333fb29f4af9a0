/* TOML as text: parsing with memory from the heap, and writing. Pure. */
#ifndef TOOLS_CLI_TOML_TEXT_H
#define TOOLS_CLI_TOML_TEXT_H

#include "drivers-vm/control/toml.h"
#include "tools/cli/memory.h"

/* As toml_parse; the tree lives until free(arena->base), which is always to be called. */
struct toml_value *toml_text_parse(const char *text, size_t length, struct toml_arena *arena, struct toml_error *error);

void toml_text_add(struct memory_buffer *to, const char *text);
/* A key, in quotes where it must be. */
void toml_text_add_key(struct memory_buffer *to, const char *key);
/* A basic string in quotes, with what no terminal should see escaped. */
void toml_text_add_string(struct memory_buffer *to, const char *text);
/* key = "text" and a line end. */
void toml_text_add_pair(struct memory_buffer *to, const char *key, const char *text);

#endif
