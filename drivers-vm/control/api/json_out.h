/* Writes JSON (RFC 8259) piece by piece into a text. Pure. */
#ifndef DRIVERS_VM_CONTROL_API_JSON_OUT_H
#define DRIVERS_VM_CONTROL_API_JSON_OUT_H

#include "drivers-vm/control/api/text.h"

struct json_out {
	struct text *text;
	bool comma; /* a value stands before the next one */
};

/* `bracket` is '{' or '['; json_close takes the other one. */
void json_open(struct json_out *json, char bracket);
void json_close(struct json_out *json, char bracket);
/* The next value's name in its object. */
void json_key(struct json_out *json, const char *key);
/* Both, for a member that is an object or an array. */
void json_open_member(struct json_out *json, const char *key, char bracket);

/* Bytes that are no UTF-8 become U+FFFD. */
void json_string_n(struct json_out *json, const char *string, size_t length);
void json_string(struct json_out *json, const char *string);
void json_uint(struct json_out *json, uint64_t value);
void json_bool(struct json_out *json, bool value);
/* RFC 3339 in UTC, to the second. */
void json_time(struct json_out *json, uint64_t since_1970_ns);

/* A key and its value. */
void json_put_string(struct json_out *json, const char *key, const char *value);
void json_put_uint(struct json_out *json, const char *key, uint64_t value);
void json_put_bool(struct json_out *json, const char *key, bool value);
void json_put_time(struct json_out *json, const char *key, uint64_t since_1970_ns);

#endif
