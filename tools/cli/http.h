/*
 * Requests to the API of one machine, over libcurl. A session keeps its connection. The certificate is checked before any byte of a request
 * is sent (trust.h). The answer is not trusted: it is bounded, and its strings are made safe where they are printed.
 */
#ifndef TOOLS_CLI_HTTP_H
#define TOOLS_CLI_HTTP_H

#include "tools/cli/cli.h"
#include "tools/cli/memory.h"
#include "tools/cli/settings.h"

#include <curl/curl.h>
#include <jansson.h>

#define HTTP_API "/api/v1"

struct http_session {
	CURL *curl;
	struct target target;
	char pin[56]; /* of the machine's key, or "" with a CA */
};

/* Where the bytes of a large body come from, and who is told how far it is. */
struct http_upload {
	FILE *file;
	int64_t bytes;
	void (*progress)(struct http_upload *upload, int64_t sent);
	void *ctx;
};

struct http_request {
	const char *method;
	const char *path;           /* from "/" on, with names made by http_path */
	const json_t *json;         /* body, or NULL */
	const char *header;         /* one more, or NULL */
	struct http_upload *upload; /* instead of json */
	FILE *download;             /* where the body of a success goes, or NULL: into the reply */
};

struct http_reply {
	long status;
	json_t *json;              /* NULL if it is none */
	struct memory_buffer body; /* as it came */
	char etag[64], log_position[32], retry_after[32];
	CURL *curl;     /* while it comes, */
	FILE *download; /* and where to */
};

/* Chooses the machine and makes sure that it is the right one. What goes wrong is said. `session` needs http_close in any case. */
enum cli_exit http_open(struct http_session *session, const struct cli_options *options);
/* The same for a target that is chosen already; takes it over. */
enum cli_exit http_open_target(struct http_session *session, struct target *target, bool accept_new);
void http_close(struct http_session *session);

/* Sends and waits for the answer, whatever its status is. Not CLI_OK: there is none, and that was said. `reply` needs http_free in any
 * case. */
enum cli_exit http_send(struct http_session *session, const struct http_request *request, struct http_reply *reply);
void http_free(struct http_reply *reply);

/* CLI_OK for 2xx. Else says first `failure` (or nothing if that is NULL), then what the API's problem says, and returns the exit status. */
enum cli_exit http_judge(const struct http_reply *reply, const char *failure);

/* Both: most verbs need no more. */
enum cli_exit http_call(struct http_session *session, const struct http_request *request, const char *failure, struct http_reply *reply);

/* "/api/v1/" and the path, in which each %s stands for a name that is escaped; for free(). */
char *http_path(const char *format, ...) __attribute__((format(printf, 1, 2)));

/* A handle with everything that concerns certificates and addresses set; url behind the authority. NULL ends the program. */
CURL *http_make_handle(const struct http_session *session, const char *path);
/* Says why curl did not get through to the machine, and returns the exit status for it. */
enum cli_exit http_report_curl(const struct http_session *session, CURLcode code);

#endif
