/*
 * Reads JSON (RFC 8259) into the tree that the TOML parser makes, so that one schema checks both. jsmn finds the tokens; what it lets
 * through that is no JSON is refused here, and so are two members of the same name. A member that is null is left out. Pure.
 */
#ifndef DRIVERS_VM_CONTROL_JSON_H
#define DRIVERS_VM_CONTROL_JSON_H

#include "drivers-vm/control/toml.h"

#define JSON_TOKENS_MAX 4096u

/* How many bytes of arena json_parse needs for this text; enough for any answer that it gives. */
size_t json_measure(const char *text, size_t length);

/*
 * Parses text[0 .. length). Strings in the tree end with a NUL, and live in the arena. NULL with *error filled: what is wrong first, and
 * where. Integers beyond 64 bits, fractions and exponents are TOML_FLOAT.
 */
struct toml_value *json_parse(const char *text, size_t length, struct toml_arena *arena, struct toml_error *error);

#endif
