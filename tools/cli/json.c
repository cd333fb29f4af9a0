#include "tools/cli/json.h"
#include "tools/cli/memory.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

const char *json_text(const json_t *object, const char *key)
{
	return json_string_value(json_object_get(object, key));
}

uint64_t json_number(const json_t *object, const char *key)
{
	const json_t *member = json_object_get(object, key);

	if (json_is_integer(member))
		return json_integer_value(member) < 0 ? 0 : (uint64_t)json_integer_value(member);
	return json_is_real(member) && json_real_value(member) > 0 && json_real_value(member) < 1e18 ? (uint64_t)json_real_value(member)
	                                                                                             : 0;
}

bool json_flag(const json_t *object, const char *key)
{
	return json_is_true(json_object_get(object, key));
}

const char *json_state(const json_t *vm)
{
	const char *state = json_text(vm, "state");

	if (state == NULL)
		return "no state";
	return strcmp(state, "shutoff") == 0 ? "shut off" : state;
}

void json_print(const json_t *json)
{
	/* DEL is ASCII, and jansson leaves it as it is; outside of strings there is none. */
	char *text = json_dumps(json, JSON_INDENT(2) | JSON_ENSURE_ASCII | JSON_ENCODE_ANY);

	if (text == NULL)
		memory_exhausted();
	for (const char *at = text; *at != '\0'; at++) {
		if (*at == 0x7f)
			fputs("\\u007f", stdout);
		else
			putchar(*at);
	}
	putchar('\n');
	free(text);
}
