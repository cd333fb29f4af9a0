/* What an answer of the API means for the operator: sentences and exit statuses; and the paths that are asked for. */
#include "tools/cli/http.h"
#include "tools/cli/text.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void say_member(const json_t *problem, const char *key, const char *prefix)
{
	const json_t *member = json_object_get(problem, key);
	char *safe;

	if (!json_is_string(member))
		return;
	safe = text_safe(json_string_value(member), json_string_length(member), false);
	fprintf(stderr, "%s%s", prefix, safe);
	free(safe);
}

/* RFC 9457: the detail says more than the title. */
static void say_problem(const struct http_reply *reply)
{
	const json_t *problem = reply->json;

	fputs("error: ", stderr);
	if (json_is_string(json_object_get(problem, "field"))) {
		say_member(problem, "field", "");
		fputs(": ", stderr);
	}
	if (json_is_string(json_object_get(problem, "detail")))
		say_member(problem, "detail", "");
	else if (json_is_string(json_object_get(problem, "title")))
		say_member(problem, "title", "");
	else
		fprintf(stderr, "the machine answered with status %ld", reply->status);
	if (reply->status == 429 && reply->retry_after[0] != '\0') {
		char *safe = text_safe(reply->retry_after, strlen(reply->retry_after), false);

		fprintf(stderr, " (try again in %s s)", safe);
		free(safe);
	}
	fputc('\n', stderr);
}

enum cli_exit http_judge(const struct http_reply *reply, const char *failure)
{
	if (reply->status >= 200 && reply->status < 300)
		return CLI_OK;
	if (failure != NULL)
		cli_error("%s", failure);
	say_problem(reply);
	if (reply->status == 401)
		fputs("HILUM_TOKEN, or `hilum login`, tells hilum the token. The first one was printed on the machine's screen.\n", stderr);
	return reply->status == 401 || reply->status == 403 ? CLI_DENIED : CLI_REFUSED;
}

enum cli_exit http_call(struct http_session *session, const struct http_request *request, const char *failure, struct http_reply *reply)
{
	enum cli_exit status = http_send(session, request, reply);

	return status == CLI_OK ? http_judge(reply, failure) : status;
}

static void add_escaped(struct memory_buffer *path, const char *name)
{
	char *escaped = curl_easy_escape(NULL, name, 0);

	if (escaped == NULL || !memory_append(path, escaped, strlen(escaped), SIZE_MAX / 4))
		memory_exhausted();
	curl_free(escaped);
}

char *http_path(const char *format, ...)
{
	struct memory_buffer path = { 0 };
	va_list arguments;

	memory_append(&path, HTTP_API, strlen(HTTP_API), SIZE_MAX / 4);
	va_start(arguments, format);
	for (; *format != '\0'; format++) {
		if (format[0] == '%' && format[1] == 's') {
			add_escaped(&path, va_arg(arguments, const char *));
			format++;
		} else {
			memory_append(&path, format, 1, SIZE_MAX / 4);
		}
	}
	va_end(arguments);
	return path.bytes;
}
