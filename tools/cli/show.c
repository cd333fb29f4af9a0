#include "tools/cli/show.h"
#include "tools/cli/text.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum cli_exit show_fetch_again(struct http_session *session, char *path, const char *failure, struct http_reply *reply)
{
	const struct http_request request = { .method = "GET", .path = path };
	enum cli_exit status = http_call(session, &request, failure, reply);

	free(path);
	if (status == CLI_OK && !json_is_object(reply->json)) {
		cli_error("%s: the answer is no JSON object", session->target.address.authority);
		return CLI_UNREACHABLE;
	}
	return status;
}

enum cli_exit show_fetch(const struct cli_options *options, char *path, const char *failure, struct http_reply *reply)
{
	struct http_session session;
	enum cli_exit status = http_open(&session, options);

	*reply = (struct http_reply){ 0 };
	if (status == CLI_OK)
		status = show_fetch_again(&session, path, failure, reply);
	else
		free(path);
	http_close(&session);
	return status;
}

void show_line(const char *text)
{
	char *safe = text_safe(text == NULL ? "" : text, text == NULL ? 0 : strlen(text), false);

	puts(safe);
	free(safe);
}
