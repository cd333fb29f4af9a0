#include "tools/cli/address.h"
#include "tools/cli/text.h"

#include <ctype.h>
#include <stdio.h>
#include <string.h>

#define HTTPS_PORT 443

static bool is_host_character(char c, bool bracketed)
{
	return isalnum((unsigned char)c) || c == '.' || c == '-' || c == '_' || (bracketed && c == ':');
}

/* Bytes of the host at the start of `text`, brackets included; 0: there is none. */
static size_t measure_host(const char *text)
{
	bool bracketed = text[0] == '[';
	size_t length = bracketed;

	while (is_host_character(text[length], bracketed))
		length++;
	if (bracketed)
		return text[length] == ']' && length > 1 ? length + 1 : 0;
	return text[0] == '-' ? 0 : length;
}

bool address_parse(const char *text, struct address *out)
{
	int64_t port = HTTPS_PORT;
	char digits[8];
	size_t length;

	if (strncasecmp(text, "https://", 8) == 0)
		text += 8;
	length = measure_host(text);
	if (length == 0 || length >= sizeof(out->host))
		return false;
	for (size_t i = 0; i < length; i++)
		out->host[i] = (char)tolower((unsigned char)text[i]);
	out->host[length] = '\0';
	text += length;
	if (*text == ':') {
		length = strcspn(++text, "/");
		if (length >= sizeof(digits))
			return false;
		snprintf(digits, sizeof(digits), "%.*s", (int)length, text);
		if (!text_parse_number(digits, 65535, &port) || port == 0)
			return false;
		text += length;
	}
	if (*text != '\0' && strcmp(text, "/") != 0)
		return false;
	out->port = (unsigned)port;
	snprintf(out->authority, sizeof(out->authority), "%s:%u", out->host, out->port);
	snprintf(out->url, sizeof(out->url), "https://%s:%u", out->host, out->port);
	return true;
}
