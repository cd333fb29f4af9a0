/*
 * `hilum check FILE`: validates a hilum.toml on a workstation with the very code that reads it at boot.
 * Exit status: 0 valid, 1 errors in the file (each on a line of its own on standard error), 2 usage or file
 * not readable.
 */
#include "drivers-vm/control/config.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define FILE_BYTES_MAX (1u << 20)

enum exit_status {
	EXIT_VALID = 0,
	EXIT_ERRORS = 1,
	EXIT_USAGE = 2,
};

static void print_usage(FILE *to)
{
	fprintf(to, "usage: hilum check FILE\n"
		    "Checks a hilum.toml: syntax, keys, types and ranges. FILE may be - for standard input.\n"
		    "Exit status: 0 if it is valid, 1 if it has errors, 2 if it cannot be read.\n");
}

static void print_error(void *ctx, const char *message)
{
	(void)ctx;
	fprintf(stderr, "%s\n", message);
}

/* The whole file in a malloc()ed buffer, or NULL after saying why not. */
static char *read_file(const char *path, size_t *length)
{
	FILE *file = strcmp(path, "-") == 0 ? stdin : fopen(path, "rb");
	char *text = malloc(FILE_BYTES_MAX + 1);

	if (file == NULL || text == NULL) {
		fprintf(stderr, "hilum: %s: %s\n", path, strerror(errno));
		free(text);
		return NULL;
	}
	*length = fread(text, 1, FILE_BYTES_MAX + 1, file);
	if (ferror(file) || *length > FILE_BYTES_MAX) {
		fprintf(stderr, "hilum: %s: %s\n", path,
			ferror(file) ? strerror(errno) : "larger than 1 MiB");
		free(text);
		text = NULL;
	}
	if (file != stdin)
		fclose(file);
	return text;
}

static void print_summary(const char *path, const struct config *config)
{
	printf("%s: %u VM%s\n", path, config->vm_count, config->vm_count == 1 ? "" : "s");
	for (unsigned i = 0; i < config->vm_count; i++) {
		const struct config_vm *vm = &config->vm[i];

		printf("  %s: kernel %s%s%s, %" PRIu64 "M, %" PRIu32 " vCPU%s\n", vm->name, vm->kernel,
		       vm->initrd == NULL ? "" : ", initrd ", vm->initrd == NULL ? "" : vm->initrd,
		       vm->memory_bytes >> 20, vm->vcpus, vm->vcpus == 1 ? "" : "s");
	}
}

static int check_text(const char *path, const char *text, size_t length)
{
	const struct config_report report = {.error = print_error};
	struct toml_arena arena = {.bytes = CONFIG_ARENA_BYTES(length)};
	struct config config;
	unsigned errors;

	arena.base = malloc(arena.bytes);
	if (arena.base == NULL) {
		fprintf(stderr, "hilum: out of memory\n");
		return EXIT_USAGE;
	}
	errors = config_read(path, text, length, &arena, &report, &config);
	if (errors == 0)
		print_summary(path, &config);
	else
		fprintf(stderr, "%s: %u error%s\n", path, errors, errors == 1 ? "" : "s");
	free(arena.base);
	return errors == 0 ? EXIT_VALID : EXIT_ERRORS;
}

int main(int argc, char **argv)
{
	size_t length;
	char *text;
	int status;

	if (argc == 2 && (strcmp(argv[1], "--help") == 0 || strcmp(argv[1], "-h") == 0)) {
		print_usage(stdout);
		return EXIT_VALID;
	}
	if (argc == 3 && strcmp(argv[1], "check") == 0 && strcmp(argv[2], "--help") == 0) {
		print_usage(stdout);
		return EXIT_VALID;
	}
	if (argc != 3 || strcmp(argv[1], "check") != 0) {
		print_usage(stderr);
		return EXIT_USAGE;
	}
	text = read_file(argv[2], &length);
	if (text == NULL)
		return EXIT_USAGE;
	status = check_text(argv[2], text, length);
	free(text);
	return status;
}
