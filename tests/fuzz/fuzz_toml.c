/*
 * Fuzz target of hilum.toml: the input is the file. Properties: no access outside (the sanitisers see it), each error is one line with a
 * place, the number of errors is what was reported, and a file that is taken has only VMs that can be told as JSON and are taken again as
 * such.
 *
 * FUZZ_SOURCES: build/fuzz/lib/api.a
 * FUZZ_OPTIONS: -max_len=4096
 */
#include "drivers-vm/control/config_json_write.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static unsigned reported;

static void take_error(void *ctx, const char *message)
{
	(void)ctx;
	if (strncmp(message, "f:", 2) != 0 || strchr(message, '\n') != NULL || strlen(message) >= CONFIG_MESSAGE_MAX)
		abort();
	reported++;
}

static void check_vm(const struct config_vm *vm)
{
	static const struct config_report silent = { .error = take_error };
	struct text text = { 0 };
	struct json_out out = { .text = &text };
	struct config_vm again;

	config_write_json(&out, vm);
	if (text.failed)
		abort();
	struct toml_arena arena = { .bytes = config_json_arena_bytes(text.bytes, text.length) };
	arena.base = malloc(arena.bytes);
	if (arena.base == NULL || config_read_json(vm->name, text.bytes, text.length, &arena, &silent, &again) != 0)
		abort();
	free(arena.base);
	text_free(&text);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const struct config_report report = { .error = take_error };
	static struct config config;
	struct toml_arena arena = { .bytes = CONFIG_ARENA_BYTES(size) };
	char *exact = malloc(size + 1);

	arena.base = malloc(arena.bytes);
	if (exact == NULL || arena.base == NULL)
		abort();
	memcpy(exact, data, size);
	reported = 0;
	memset(&config, 0, sizeof(config));
	unsigned errors = config_read("f", exact, size, &arena, &report, &config);
	if (errors != reported || config.vm_count > CONFIG_VMS_MAX || arena.used > arena.bytes)
		abort();
	for (unsigned i = 0; errors == 0 && i < config.vm_count; i++)
		check_vm(&config.vm[i]);
	free(arena.base);
	free(exact);
	return 0;
}
