/* Members of the API's answers, which may be missing or of another type: then they are zero, false or NULL. */
#ifndef TOOLS_CLI_JSON_H
#define TOOLS_CLI_JSON_H

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

const char *json_text(const json_t *object, const char *key);
uint64_t json_number(const json_t *object, const char *key);
bool json_flag(const json_t *object, const char *key);

/* A VM's state in virsh's words: "shut off". */
const char *json_state(const json_t *vm);

/* As -o json prints it: indented, ASCII alone, so that no terminal takes any of it for a command. */
void json_print(const json_t *json);

#endif
