#include "tools/cli/http.h"
#include "tools/cli/text.h"
#include "tools/cli/trust.h"

#include <ctype.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define BODY_BYTES_MAX  (32u << 20)
#define CONNECT_SECONDS 60L
#define SILENCE_SECONDS 120L /* no byte moves for so long: the machine is gone */

CURL *http_make_handle(const struct http_session *session, const char *path)
{
	CURL *curl = curl_easy_init();
	const char *ca = session->target.ca;
	char *url = memory_format("%s%s", session->target.address.url, path);

	if (curl == NULL)
		memory_exhausted();
	curl_easy_setopt(curl, CURLOPT_URL, url);
	curl_easy_setopt(curl, CURLOPT_PATH_AS_IS, 1L);
	curl_easy_setopt(curl, CURLOPT_PROTOCOLS_STR, "https");
	curl_easy_setopt(curl, CURLOPT_HTTP_VERSION, CURL_HTTP_VERSION_1_1);
	curl_easy_setopt(curl, CURLOPT_PROXY, ""); /* it talks to nothing but the machine */
	curl_easy_setopt(curl, CURLOPT_NOSIGNAL, 1L);
	curl_easy_setopt(curl, CURLOPT_SSLVERSION, CURL_SSLVERSION_TLSv1_2);
	curl_easy_setopt(curl, CURLOPT_CONNECTTIMEOUT, CONNECT_SECONDS);
	curl_easy_setopt(curl, CURLOPT_TCP_KEEPALIVE,
	                 1L); /* a control VM that was restarted knows nothing of the connection, and says so */
	curl_easy_setopt(curl, CURLOPT_TCP_KEEPIDLE, 5L);
	curl_easy_setopt(curl, CURLOPT_TCP_KEEPINTVL, 5L);
	if (ca == NULL) {
		curl_easy_setopt(curl, CURLOPT_SSL_VERIFYPEER, 0L);
		curl_easy_setopt(curl, CURLOPT_SSL_VERIFYHOST, 0L);
		if (session->pin[0] != '\0')
			curl_easy_setopt(curl, CURLOPT_PINNEDPUBLICKEY, session->pin);
	} else if (strcmp(ca, "system") != 0) {
		curl_easy_setopt(curl, CURLOPT_CAINFO, ca);
		curl_easy_setopt(curl, CURLOPT_CAPATH, NULL);
	}
	free(url);
	return curl;
}

enum cli_exit http_report_curl(const struct http_session *session, CURLcode code)
{
	const char *authority = session->target.address.authority;

	switch (code) {
	case CURLE_SSL_PINNEDPUBKEYNOTMATCH:
		return trust_report_change(session);
	case CURLE_PEER_FAILED_VERIFICATION:
		cli_error("%s: its certificate is not signed by the CA that you named, or is for another name", authority);
		return CLI_UNTRUSTED;
	case CURLE_SSL_CACERT_BADFILE:
		cli_error("%s: no certificates to read there", session->target.ca);
		return CLI_USAGE;
	default:
		cli_error("cannot reach %s: %s", authority, curl_easy_strerror(code));
		return CLI_UNREACHABLE;
	}
}

enum cli_exit http_open_target(struct http_session *session, struct target *target, bool accept_new)
{
	enum cli_exit status;

	*session = (struct http_session){ .target = *target };
	*target = (struct target){ 0 };
	status = session->target.ca == NULL ? trust_establish(session, accept_new) : CLI_OK;
	if (status != CLI_OK)
		return status;
	session->curl = http_make_handle(session, "/");
	curl_easy_setopt(session->curl, CURLOPT_LOW_SPEED_LIMIT, 1L);
	curl_easy_setopt(session->curl, CURLOPT_LOW_SPEED_TIME, SILENCE_SECONDS);
	return CLI_OK;
}

enum cli_exit http_open(struct http_session *session, const struct cli_options *options)
{
	struct settings settings;
	struct target target;
	enum cli_exit status;

	*session = (struct http_session){ 0 };
	status = settings_read(&settings);
	if (status != CLI_OK)
		return status;
	status = settings_choose(&settings, options, &target);
	settings_free(&settings);
	if (status == CLI_OK)
		status = http_open_target(session, &target, options->accept_new);
	return status;
}

void http_close(struct http_session *session)
{
	if (session->curl != NULL)
		curl_easy_cleanup(session->curl);
	settings_free_target(&session->target);
	*session = (struct http_session){ 0 };
}

static size_t take_body(char *bytes, size_t size, size_t count, void *ctx)
{
	struct http_reply *reply = ctx;
	long status = 0;

	curl_easy_getinfo(reply->curl, CURLINFO_RESPONSE_CODE, &status);
	if (reply->download != NULL && status == 200)
		return fwrite(bytes, 1, size * count, reply->download);
	return memory_append(&reply->body, bytes, size * count, BODY_BYTES_MAX) ? size * count : 0;
}

/* Copies the value of "NAME: value" if this is that header and the value fits. */
static void match_header(const char *line, size_t length, const char *name, char *out, size_t size)
{
	size_t at = strlen(name);

	if (length <= at || strncasecmp(line, name, at) != 0 || line[at] != ':')
		return;
	for (at++; at < length && (line[at] == ' ' || line[at] == '\t');)
		at++;
	while (length > at && isspace((unsigned char)line[length - 1]))
		length--;
	if (length - at < size && memchr(line + at, '\0', length - at) == NULL)
		snprintf(out, size, "%.*s", (int)(length - at), line + at);
}

static size_t take_header(char *line, size_t size, size_t count, void *ctx)
{
	struct http_reply *reply = ctx;

	match_header(line, size * count, "ETag", reply->etag, sizeof(reply->etag));
	match_header(line, size * count, "Hilum-Log-Position", reply->log_position, sizeof(reply->log_position));
	match_header(line, size * count, "Retry-After", reply->retry_after, sizeof(reply->retry_after));
	return size * count;
}

static size_t give_upload(char *bytes, size_t size, size_t count, void *ctx)
{
	struct http_upload *upload = ctx;
	size_t read = fread(bytes, size, count, upload->file);

	return ferror(upload->file) ? CURL_READFUNC_ABORT : read;
}

static int tell_progress(void *ctx, curl_off_t down_total, curl_off_t down, curl_off_t up_total, curl_off_t up)
{
	struct http_upload *upload = ctx;

	(void)down_total, (void)down, (void)up_total;
	if (upload->progress != NULL)
		upload->progress(upload, up);
	return 0;
}

static struct curl_slist *add_header(struct curl_slist *list, const char *header)
{
	struct curl_slist *longer = curl_slist_append(list, header);

	if (longer == NULL)
		memory_exhausted();
	return longer;
}

static struct curl_slist *make_headers(const struct http_session *session, const struct http_request *request)
{
	struct curl_slist *headers = add_header(NULL, "Accept: application/json, */*");

	if (session->target.token != NULL) {
		char *authorization = memory_format("Authorization: Bearer %s", session->target.token);

		headers = add_header(headers, authorization);
		free(authorization);
	}
	if (request->json != NULL)
		headers = add_header(headers, "Content-Type: application/json");
	if (request->upload != NULL)
		headers = add_header(headers, "Content-Type: application/octet-stream");
	else
		headers = add_header(headers, "Expect:"); /* a small body follows at once */
	if (request->header != NULL)
		headers = add_header(headers, request->header);
	return headers;
}

static void set_body(CURL *curl, const struct http_request *request, const char *text)
{
	if (request->upload != NULL) {
		curl_easy_setopt(curl, CURLOPT_UPLOAD, 1L);
		curl_easy_setopt(curl, CURLOPT_READFUNCTION, give_upload);
		curl_easy_setopt(curl, CURLOPT_READDATA, request->upload);
		curl_easy_setopt(curl, CURLOPT_INFILESIZE_LARGE, (curl_off_t)request->upload->bytes);
		curl_easy_setopt(curl, CURLOPT_XFERINFOFUNCTION, tell_progress);
		curl_easy_setopt(curl, CURLOPT_XFERINFODATA, request->upload);
		curl_easy_setopt(curl, CURLOPT_NOPROGRESS, 0L);
	} else if (text != NULL || strcmp(request->method, "GET") != 0) {
		curl_easy_setopt(curl, CURLOPT_POSTFIELDS, text == NULL ? "" : text);
		curl_easy_setopt(curl, CURLOPT_POSTFIELDSIZE, text == NULL ? 0L : (long)strlen(text));
	} else {
		curl_easy_setopt(curl, CURLOPT_HTTPGET, 1L);
	}
	curl_easy_setopt(curl, CURLOPT_CUSTOMREQUEST, request->method);
}

enum cli_exit http_send(struct http_session *session, const struct http_request *request, struct http_reply *reply)
{
	struct curl_slist *headers = make_headers(session, request);
	char *url = memory_format("%s%s", session->target.address.url, request->path);
	char *text = request->json == NULL ? NULL : json_dumps(request->json, JSON_COMPACT);
	CURL *curl = session->curl;
	CURLcode code;

	*reply = (struct http_reply){ .curl = curl, .download = request->download };
	curl_easy_setopt(curl, CURLOPT_URL, url);
	curl_easy_setopt(curl, CURLOPT_HTTPHEADER, headers);
	curl_easy_setopt(curl, CURLOPT_WRITEFUNCTION, take_body);
	curl_easy_setopt(curl, CURLOPT_WRITEDATA, reply);
	curl_easy_setopt(curl, CURLOPT_HEADERFUNCTION, take_header);
	curl_easy_setopt(curl, CURLOPT_HEADERDATA, reply);
	set_body(curl, request, text);
	code = curl_easy_perform(curl);
	curl_easy_getinfo(curl, CURLINFO_RESPONSE_CODE, &reply->status);
	curl_easy_setopt(curl, CURLOPT_HTTPHEADER, NULL);
	curl_slist_free_all(headers);
	free(text);
	free(url);
	if (code != CURLE_OK && !(request->upload != NULL && reply->status >= 400))
		return http_report_curl(session, code);
	if (reply->body.length != 0)
		reply->json = json_loadb(reply->body.bytes, reply->body.length, JSON_REJECT_DUPLICATES, NULL);
	return CLI_OK;
}

void http_free(struct http_reply *reply)
{
	json_decref(reply->json);
	free(reply->body.bytes);
	*reply = (struct http_reply){ 0 };
}
