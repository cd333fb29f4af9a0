/* Definitions of VMs between files (hilum.toml or JSON) and the API's JSON. What they may hold checks the machine, by its own schema. */
#ifndef TOOLS_CLI_DEFINITION_H
#define TOOLS_CLI_DEFINITION_H

#include "tools/cli/toml_text.h"

#include <jansson.h>
#include <stdint.h>

struct definitions {
	json_t *vms; /* an array of objects, each with a name */
	/* Of a TOML file, for line numbers: its memory, and the array [[vm]] or NULL. */
	struct toml_arena arena;
	const struct toml_value *tables;
};

/* Reads text of the file `path` (for messages). False: what is wrong was said. definition_free in any case. */
bool definition_read(const char *path, const char *text, size_t length, struct definitions *out);
void definition_free(struct definitions *definitions);

/* The line of `field` ("memory", "disk[0].module"), or of the table it should be in, of the VM of this index; 0: not known. */
uint32_t definition_find_line(const struct definitions *definitions, size_t index, const char *field);

/* A [[vm]] of hilum.toml, for free(). `config` is the API's, without a name. */
char *definition_format(const char *name, const json_t *config);

#endif
