/*
 * Fuzz target of definitions: JSON that a client sends. Properties: no access outside (the sanitisers see it); what is taken is written as
 * JSON that is taken again, and says the same.
 *
 * FUZZ_SOURCES: build/fuzz/lib/api.a
 * FUZZ_OPTIONS: -max_len=2048
 */
#include "drivers-vm/control/config_json_write.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void ignore(void *ctx, const char *field, const char *detail)
{
	volatile size_t length = strlen(field) + strlen(detail);

	(void)ctx;
	(void)length;
}

/* False: it is no definition. *arena is free()d by the caller. */
static bool read_definition(const char *text, size_t length, struct config_vm *vm, struct toml_arena *arena)
{
	static const struct config_report report = { .problem = ignore };

	*arena = (struct toml_arena){ .bytes = config_json_arena_bytes(text, length) };
	arena->base = malloc(arena->bytes);
	if (arena->base == NULL)
		abort();
	return config_read_json("vm", text, length, arena, &report, vm) == 0;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char *exact = malloc(size + 1);
	struct text first = { 0 }, second = { 0 };
	struct json_out one = { .text = &first }, other = { .text = &second };
	struct toml_arena arena, again_arena;
	struct config_vm vm, again;

	if (exact == NULL)
		abort();
	if (size != 0)
		memcpy(exact, data, size);
	if (read_definition(exact, size, &vm, &arena)) {
		config_write_json(&one, &vm);
		if (first.failed || !read_definition(first.bytes, first.length, &again, &again_arena))
			abort();
		config_write_json(&other, &again);
		if (first.length != second.length || memcmp(first.bytes, second.bytes, first.length) != 0)
			abort();
		free(again_arena.base);
	}
	text_free(&first);
	text_free(&second);
	free(arena.base);
	free(exact);
	return 0;
}
