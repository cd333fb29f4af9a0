/* Writes JSON. */
#include "drivers-vm/control/api/json_out.h"

#include "drivers-vm/control/api/calendar.h"
#include "drivers-vm/control/api/utf8.h"

#include <inttypes.h>
#include <string.h>

static void begin_value(struct json_out *json)
{
	if (json->comma)
		text_add(json->text, ",", 1);
	json->comma = true;
}

void json_open(struct json_out *json, char bracket)
{
	begin_value(json);
	text_add(json->text, &bracket, 1);
	json->comma = false;
}

void json_close(struct json_out *json, char bracket)
{
	text_add(json->text, &bracket, 1);
	json->comma = true;
}

void json_key(struct json_out *json, const char *key)
{
	json_string(json, key);
	text_add(json->text, ":", 1);
	json->comma = false;
}

void json_open_member(struct json_out *json, const char *key, char bracket)
{
	json_key(json, key);
	json_open(json, bracket);
}

static void add_escaped(struct text *text, unsigned char c)
{
	if (c == '"' || c == '\\')
		text_format(text, "\\%c", c);
	else if (c == '\n')
		text_add(text, "\\n", 2);
	else
		text_format(text, "\\u%04x", c);
}

void json_string_n(struct json_out *json, const char *string, size_t length)
{
	size_t plain = 0; /* bytes from `string` on that are written as they are */

	begin_value(json);
	text_add(json->text, "\"", 1);
	while (plain < length) {
		unsigned char c = (unsigned char)string[plain];
		unsigned bytes = utf8_length(string + plain, length - plain);

		if (bytes != 0 && c >= ' ' && c != '"' && c != '\\' && c != 0x7F) {
			plain += bytes;
			continue;
		}
		text_add(json->text, string, plain);
		if (bytes == 0)
			text_add(json->text, "\xEF\xBF\xBD", 3);
		else
			add_escaped(json->text, c);
		string += plain + 1;
		length -= plain + 1;
		plain = 0;
	}
	text_add(json->text, string, plain);
	text_add(json->text, "\"", 1);
}

void json_string(struct json_out *json, const char *string)
{
	json_string_n(json, string, strlen(string));
}

void json_uint(struct json_out *json, uint64_t value)
{
	begin_value(json);
	text_format(json->text, "%" PRIu64, value);
}

void json_bool(struct json_out *json, bool value)
{
	begin_value(json);
	text_add_string(json->text, value ? "true" : "false");
}

void json_time(struct json_out *json, uint64_t since_1970_ns)
{
	char time[CALENDAR_TEXT_BYTES];

	calendar_format(since_1970_ns / 1000000000u, time);
	json_string(json, time);
}

void json_put_string(struct json_out *json, const char *key, const char *value)
{
	json_key(json, key);
	json_string(json, value);
}

void json_put_uint(struct json_out *json, const char *key, uint64_t value)
{
	json_key(json, key);
	json_uint(json, value);
}

void json_put_bool(struct json_out *json, const char *key, bool value)
{
	json_key(json, key);
	json_bool(json, value);
}

void json_put_time(struct json_out *json, const char *key, uint64_t since_1970_ns)
{
	json_key(json, key);
	json_time(json, since_1970_ns);
}
