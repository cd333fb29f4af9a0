/* A request's head, parsed in place. */
#include "drivers-vm/control/api/http_parse.h"

#include <ctype.h>
#include <stdlib.h>
#include <string.h>

#define LENGTH_DIGITS_MAX 18u

size_t http_head_length(const uint8_t *bytes, size_t count)
{
	for (size_t i = 3; i < count; i++)
		if (bytes[i] == '\n' && bytes[i - 1] == '\r' && bytes[i - 2] == '\n' && bytes[i - 3] == '\r')
			return i + 1;
	return 0;
}

/* RFC 9110, 5.6.2 */
static bool is_token_character(char c)
{
	return isalnum((unsigned char)c) || (c != '\0' && strchr("!#$%&'*+-.^_`|~", c) != NULL);
}

static bool is_token(const char *text)
{
	const char *at = text;

	while (is_token_character(*at))
		at++;
	return *at == '\0' && at != text;
}

/* Ends the line at `at` and returns the next one; NULL: it has a character that no line of a head has. */
static char *cut_line(char *at)
{
	for (; *at != '\r'; at++)
		if ((unsigned char)*at < ' ' && *at != '\t')
			return NULL;
	if (at[1] != '\n')
		return NULL;
	*at = '\0';
	return at + 2;
}

static int hex_digit(char c)
{
	return isdigit((unsigned char)c) ? c - '0' : isxdigit((unsigned char)c) ? tolower((unsigned char)c) - 'a' + 10 : -1;
}

/* Resolves %XX in place; false: a NUL, a control character or no hexadecimal digits. */
static bool decode_path(char *path)
{
	char *to = path;

	for (const char *at = path; *at != '\0'; at++) {
		unsigned char c = (unsigned char)*at;

		if (c == '%') {
			int high = hex_digit(at[1]), low = high < 0 ? -1 : hex_digit(at[2]);

			if (low < 0)
				return false;
			c = (unsigned char)(high << 4 | low);
			at += 2;
		}
		if (c <= ' ' || c >= 0x7F)
			return false;
		*to++ = (char)c;
	}
	*to = '\0';
	return true;
}

/* A target in absolute form (RFC 9112, 3.2.2) is read as its path. */
static char *skip_authority(char *target)
{
	char *at = strncmp(target, "https://", 8) == 0 ? target + 8 : strncmp(target, "http://", 7) == 0 ? target + 7 : NULL;

	return at == NULL ? target : strchr(at, '/');
}

static enum http_method method_of(const char *text)
{
	static const char *const names[] = { "GET", "HEAD", "PUT", "POST", "DELETE" };

	for (unsigned i = 0; i < sizeof(names) / sizeof(names[0]); i++)
		if (strcmp(text, names[i]) == 0)
			return (enum http_method)i;
	return HTTP_OTHER;
}

static unsigned parse_request_line(char *line, struct http_request *request)
{
	char *target = strchr(line, ' '), *version = target == NULL ? NULL : strchr(target + 1, ' ');

	if (version == NULL)
		return 400;
	*target++ = '\0';
	*version++ = '\0';
	if (!is_token(line))
		return 400;
	if (strcmp(version, "HTTP/1.1") != 0 && strcmp(version, "HTTP/1.0") != 0)
		return strncmp(version, "HTTP/", 5) == 0 && strchr(version, ' ') == NULL ? 505 : 400;
	request->http10 = version[7] == '0';
	request->method_text = line;
	request->method = method_of(line);
	target = skip_authority(target);
	if (target == NULL || target[0] != '/')
		return 400;
	char *query = strchr(target, '?');

	if (query != NULL)
		*query++ = '\0';
	request->query = query == NULL ? "" : query;
	request->path = target;
	return decode_path(target) ? 0 : 400;
}

static bool parse_header(char *line, struct http_header *header)
{
	char *colon = strchr(line, ':'), *value, *end;

	if (colon == NULL)
		return false;
	*colon = '\0';
	for (char *at = line; *at != '\0'; at++)
		*at = (char)tolower((unsigned char)*at);
	value = colon + 1 + strspn(colon + 1, " \t");
	for (end = value + strlen(value); end != value && (end[-1] == ' ' || end[-1] == '\t');)
		*--end = '\0';
	*header = (struct http_header){ line, value };
	return is_token(line); /* a blank before the colon, or a folded line, is none */
}

const char *http_find_header(const struct http_request *request, const char *name)
{
	for (unsigned i = 0; i < request->header_count; i++)
		if (strcmp(request->header[i].name, name) == 0)
			return request->header[i].value;
	return NULL;
}

static bool same_word(const char *a, size_t length, const char *word)
{
	if (strlen(word) != length)
		return false;
	for (size_t i = 0; i < length; i++)
		if (tolower((unsigned char)a[i]) != tolower((unsigned char)word[i]))
			return false;
	return true;
}

bool http_has_element(const char *value, const char *element)
{
	while (value != NULL && *value != '\0') {
		size_t length;

		value += strspn(value, " \t,");
		length = strcspn(value, ",");
		while (length != 0 && (value[length - 1] == ' ' || value[length - 1] == '\t'))
			length--;
		if (length != 0 && same_word(value, length, element))
			return true;
		value += strcspn(value, ",");
	}
	return false;
}

/* Headers of which two would leave open which one counts. */
static bool has_duplicates(const struct http_request *request)
{
	static const char *const single[] = { "host",   "content-length", "transfer-encoding", "content-type",      "authorization",
		                              "expect", "if-match",       "if-none-match",     "sec-websocket-key", "upgrade" };

	for (unsigned i = 0; i < request->header_count; i++)
		for (unsigned k = 0; k < sizeof(single) / sizeof(single[0]); k++)
			if (strcmp(request->header[i].name, single[k]) == 0 &&
			    http_find_header(request, single[k]) != request->header[i].value)
				return true;
	return false;
}

static bool parse_length(const char *text, uint64_t *length)
{
	size_t digits = strspn(text, "0123456789");

	if (digits == 0 || digits > LENGTH_DIGITS_MAX || text[digits] != '\0')
		return false;
	*length = strtoull(text, NULL, 10);
	return true;
}

/* RFC 9112, 6: how long the body is. */
static bool parse_framing(struct http_request *request)
{
	const char *length = http_find_header(request, "content-length");
	const char *coding = http_find_header(request, "transfer-encoding");

	if (coding != NULL) {
		request->chunked = true;
		return length == NULL && !request->http10 && same_word(coding, strlen(coding), "chunked");
	}
	request->has_length = length != NULL;
	return length == NULL || parse_length(length, &request->length);
}

static unsigned parse_headers(char *line, const char *end, struct http_request *request)
{
	while (line != end) {
		char *next = cut_line(line);

		if (next == NULL)
			return 400;
		if (request->header_count == HTTP_HEADERS_MAX)
			return 431;
		if (!parse_header(line, &request->header[request->header_count++]))
			return 400;
		line = next;
	}
	return 0;
}

unsigned http_parse_head(char *head, size_t length, struct http_request *request)
{
	unsigned refused;

	*request = (struct http_request){ .method = HTTP_OTHER, .method_text = "", .path = "", .query = "" };
	if (length < 4 || memchr(head, '\0', length) != NULL)
		return 400;
	char *end = head + length - 2; /* the empty line */
	char *line = cut_line(head);

	if (line == NULL)
		return 400;
	refused = parse_request_line(head, request);
	if (refused == 0)
		refused = parse_headers(line, end, request);
	if (refused != 0)
		return refused;
	const char *host = http_find_header(request, "host"), *expect = http_find_header(request, "expect");

	if (has_duplicates(request) || !parse_framing(request) || (host == NULL && !request->http10))
		return 400;
	request->keep_alive = !request->http10 && !http_has_element(http_find_header(request, "connection"), "close");
	request->expect_continue = expect != NULL && !request->http10 && same_word(expect, strlen(expect), "100-continue");
	return expect != NULL && !request->expect_continue ? 417 : 0;
}

bool http_query_number(const struct http_request *request, const char *key, uint64_t *value)
{
	size_t length = strlen(key);

	for (const char *at = request->query; *at != '\0'; at += *at == '&') {
		size_t size = strcspn(at, "&");

		if (size > length && strncmp(at, key, length) == 0 && at[length] == '=') {
			size_t digits = strspn(at + length + 1, "0123456789");

			if (digits == 0 || digits > LENGTH_DIGITS_MAX || digits != size - length - 1)
				return false;
			*value = strtoull(at + length + 1, NULL, 10);
			return true;
		}
		at += size;
	}
	return true;
}

bool http_wants_socket(const struct http_request *request)
{
	const char *key = http_find_header(request, "sec-websocket-key"), *version = http_find_header(request, "sec-websocket-version");

	return request->method == HTTP_GET && !request->http10 && http_has_element(http_find_header(request, "upgrade"), "websocket") &&
	       http_has_element(http_find_header(request, "connection"), "upgrade") && version != NULL && strcmp(version, "13") == 0 &&
	       key != NULL && strlen(key) == 24 && strcmp(key + 22, "==") == 0 && !request->chunked && request->length == 0;
}
