/* check: validates a hilum.toml with the very code that reads it at boot. It speaks to no machine. */
#include "drivers-vm/control/config.h"
#include "tools/cli/files.h"
#include "tools/cli/memory.h"
#include "tools/cli/verbs.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define FILE_BYTES_MAX (1u << 20)

static void print_error(void *ctx, const char *message)
{
	(void)ctx;
	fprintf(stderr, "%s\n", message);
}

static void print_summary(const char *path, const struct config *config)
{
	printf("%s: %u VM%s\n", path, config->vm_count, config->vm_count == 1 ? "" : "s");
	for (unsigned i = 0; i < config->vm_count; i++) {
		const struct config_vm *vm = &config->vm[i];

		printf("  %s: kernel %s%s%s, %" PRIu64 "M, %" PRIu32 " vCPU%s\n", vm->name, vm->kernel,
		       vm->initrd == NULL ? "" : ", initrd ", vm->initrd == NULL ? "" : vm->initrd, vm->memory_bytes >> 20, vm->vcpus,
		       vm->vcpus == 1 ? "" : "s");
	}
}

static enum cli_exit check_text(const char *path, const char *text, size_t length)
{
	const struct config_report report = { .error = print_error };
	struct toml_arena arena = { .bytes = CONFIG_ARENA_BYTES(length) };
	static struct config config;
	unsigned errors;

	arena.base = memory_resize(NULL, arena.bytes);
	errors = config_read(path, text, length, &arena, &report, &config);
	if (errors == 0)
		print_summary(path, &config);
	else
		fprintf(stderr, "%s: %u error%s\n", path, errors, errors == 1 ? "" : "s");
	free(arena.base);
	return errors == 0 ? CLI_OK : CLI_REFUSED;
}

static enum cli_exit run_check(const struct cli_options *options, char **operands, int count)
{
	size_t length;
	int error;
	char *text = files_read(operands[0], FILE_BYTES_MAX, &length, &error);
	enum cli_exit status;

	(void)options, (void)count;
	if (text == NULL) {
		cli_error("%s: %s", operands[0], strerror(error));
		return CLI_USAGE;
	}
	status = check_text(operands[0], text, length);
	free(text);
	return status;
}

const struct verb verb_check = {
	.name = "check",
	.operands = "FILE",
	.summary = "Check a hilum.toml, without any machine",
	.help = "Syntax, keys, types and ranges, by the code that reads the file at boot; - is standard input. Exit status: 0 if it is "
		"valid, 1 if it has\n"
		"errors (each on a line of its own), 2 if it cannot be read.\n"
		"\nExample:\n"
		"  hilum check hilum.toml\n",
	.options = "",
	.least = 1,
	.most = 1,
	.run = run_check,
};
