#include "tools/cli/ws_accept.h"
#include "tools/cli/text.h"

#include <ctype.h>
#include <stdio.h>
#include <string.h>

#include <openssl/evp.h>
#include <openssl/sha.h>

#define GUID        "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
#define VALUE_BYTES 128

void ws_accept_make_key(const uint8_t nonce[16], char key[WS_ACCEPT_KEY_BYTES])
{
	EVP_EncodeBlock((unsigned char *)key, nonce, 16);
}

long ws_accept_status(const char *text, size_t length)
{
	if (length < 12 || memcmp(text, "HTTP/1.1 ", 9) != 0)
		return 0;
	for (unsigned i = 9; i < 12; i++) {
		if (!isdigit((unsigned char)text[i]))
			return 0;
	}
	return (text[9] - '0') * 100 + (text[10] - '0') * 10 + (text[11] - '0');
}

/* The value of the header `name` without blanks around it; false: there is none, or it is too long. */
static bool find_header(const char *text, size_t length, const char *name, char *value, size_t size)
{
	size_t name_length = strlen(name);
	const char *end = text + length;

	for (const char *line = text; line < end;) {
		const char *line_end = memchr(line, '\n', (size_t)(end - line)), *stop = line_end == NULL ? end : line_end;

		if ((size_t)(stop - line) > name_length && line[name_length] == ':' && strncasecmp(line, name, name_length) == 0) {
			for (line += name_length + 1; line < stop && (*line == ' ' || *line == '\t');)
				line++;
			while (stop > line && isspace((unsigned char)stop[-1]))
				stop--;
			if ((size_t)(stop - line) >= size)
				return false;
			snprintf(value, size, "%.*s", (int)(stop - line), line);
			return true;
		}
		line = line_end == NULL ? end : line_end + 1;
	}
	return false;
}

static void make_accept(const char *key, char *out)
{
	unsigned char digest[SHA_DIGEST_LENGTH];
	char both[WS_ACCEPT_KEY_BYTES + sizeof(GUID)];

	snprintf(both, sizeof(both), "%s" GUID, key);
	SHA1((const unsigned char *)both, strlen(both), digest);
	EVP_EncodeBlock((unsigned char *)out, digest, sizeof(digest));
}

bool ws_accept_check(const char *text, size_t length, const char *key)
{
	char value[VALUE_BYTES], expected[32];

	make_accept(key, expected);
	return find_header(text, length, "Upgrade", value, sizeof(value)) && strcasecmp(value, "websocket") == 0 &&
	       find_header(text, length, "Connection", value, sizeof(value)) && strcasestr(value, "upgrade") != NULL &&
	       find_header(text, length, "Sec-WebSocket-Accept", value, sizeof(value)) && strcmp(value, expected) == 0 &&
	       !find_header(text, length, "Sec-WebSocket-Extensions", value, sizeof(value));
}

size_t ws_accept_content_length(const char *text, size_t length)
{
	char value[VALUE_BYTES];
	int64_t number;

	return find_header(text, length, "Content-Length", value, sizeof(value)) && text_parse_number(value, 1 << 20, &number)
	               ? (size_t)number
	               : 0;
}
