/* Problem details. */
#include "drivers-vm/control/api/problem.h"

#include "drivers-vm/control/api/json_out.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

static const char *type_of(unsigned status)
{
	switch (status) {
	case 409:
		return "/problems/state";
	case 412:
		return "/problems/version";
	case 422:
		return "/problems/invalid";
	case 507:
		return "/problems/memory";
	default:
		return "about:blank";
	}
}

void problem_answer(struct http_exchange *x, unsigned status, const char *field, const char *format, ...)
{
	struct json_out json = { .text = &x->body };
	char detail[300];
	va_list args;

	va_start(args, format);
	vsnprintf(detail, sizeof(detail), format, args);
	va_end(args);
	text_clear(&x->body);
	json_open(&json, '{');
	json_put_string(&json, "type", type_of(status));
	json_put_string(&json, "title", http_status_text(status));
	json_put_uint(&json, "status", status);
	json_put_string(&json, "detail", detail);
	if (field[0] != '\0')
		json_put_string(&json, "field", field);
	json_close(&json, '}');
	text_add(&x->body, "\n", 1);
	if (status == 401)
		http_add_header(x, "WWW-Authenticate", "Bearer");
	if (status == 503)
		http_add_header(x, "Retry-After", "1");
	http_answer(x, status, "application/problem+json");
}

void problem_answer_manager(struct http_exchange *x, enum manager_result result, const struct manager_error *error)
{
	static const struct {
		unsigned status;
		const char *detail; /* if the manager gives none */
	} answers[] = {
		[MANAGER_OK] = { 500, "it was done, but not answered" },
		[MANAGER_NOT_FOUND] = { 404, "there is nothing of this name" },
		[MANAGER_CONFLICT] = { 409, "that cannot be done in this state" },
		[MANAGER_INVALID] = { 422, "what is asked for is not there" },
		[MANAGER_FULL] = { 507, "there are too many" },
		[MANAGER_NO_MEMORY] = { 507, "there is not enough memory" },
		[MANAGER_FAILED] = { 500, "it failed; the log says why" },
	};
	unsigned i = (unsigned)result < sizeof(answers) / sizeof(answers[0]) ? (unsigned)result : MANAGER_FAILED;

	problem_answer(x, answers[i].status, result == MANAGER_INVALID ? error->field : "", "%.*s", (int)sizeof(error->detail) - 1,
	               error->detail[0] != '\0' ? error->detail : answers[i].detail);
}
