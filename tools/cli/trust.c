#include "tools/cli/trust.h"
#include "tools/cli/certificate.h"
#include "tools/cli/files.h"
#include "tools/cli/known_hosts.h"
#include "tools/cli/terminal.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define FILE_NAME      "known_hosts"
#define FILE_BYTES_MAX (1u << 20)

/* known_hosts' text, for free(); empty if there is no such file. NULL: it cannot be read, and that was said. */
static char *read_known(char **path)
{
	size_t length;
	char *text;
	int error;

	*path = files_path(FILE_NAME);
	if (*path == NULL)
		return NULL;
	text = files_read(*path, FILE_BYTES_MAX, &length, &error);
	if (text == NULL && error == ENOENT)
		return memory_copy_string("");
	if (text == NULL)
		cli_error("%s: %s", *path, strerror(error));
	return text;
}

/* The machine's certificate, by a connection over which nothing is sent. */
static CURLcode fetch_certificate(const struct http_session *session, struct certificate *out)
{
	struct http_session open = *session;
	struct curl_certinfo *info = NULL;
	CURLcode code;
	CURL *curl;

	open.pin[0] = '\0'; /* any certificate, this time */
	curl = http_make_handle(&open, "/");
	curl_easy_setopt(curl, CURLOPT_CERTINFO, 1L);
	curl_easy_setopt(curl, CURLOPT_CONNECT_ONLY, 1L);
	code = curl_easy_perform(curl);
	if (code == CURLE_OK)
		code = curl_easy_getinfo(curl, CURLINFO_CERTINFO, &info);
	if (code == CURLE_OK) {
		code = CURLE_SSL_CERTPROBLEM;
		for (struct curl_slist *line = info->num_of_certs < 1 ? NULL : info->certinfo[0]; line != NULL; line = line->next) {
			if (strncmp(line->data, "Cert:", 5) == 0 && certificate_read(line->data + 5, strlen(line->data) - 5, out))
				code = CURLE_OK;
		}
	}
	curl_easy_cleanup(curl);
	return code;
}

static bool remember(const struct http_session *session, const char *path, const char *pin)
{
	char *line = memory_format("%s %s\n", session->target.address.authority, pin);
	bool written = files_append_private(path, line);

	free(line);
	return written;
}

static bool ask_operator(const struct http_session *session, const struct certificate *certificate)
{
	char answer[128];

	fprintf(stderr,
	        "%s is not known yet. Its certificate's fingerprint is\n  %s\n"
	        "Compare it with the one on the machine's screen.\n",
	        session->target.address.authority, certificate->fingerprint);
	while (terminal_ask("Is it the same (yes, no, or the fingerprint)? ", false, answer, sizeof(answer))) {
		if (strcasecmp(answer, "yes") == 0 || certificate_has_fingerprint(certificate, answer))
			return true;
		if (strcasecmp(answer, "no") == 0 || strchr(answer, ':') != NULL)
			break;
		fputs("Please type yes, no or the fingerprint.\n", stderr);
	}
	cli_error("%s is not trusted", session->target.address.authority);
	return false;
}

/* Whether a machine that is seen for the first time is to be spoken to. */
static bool agree(const struct http_session *session, const struct certificate *certificate, bool accept_new)
{
	const char *expected = getenv("HILUM_FINGERPRINT"), *authority = session->target.address.authority;

	if (expected != NULL && *expected != '\0') {
		if (certificate_has_fingerprint(certificate, expected))
			return true;
		cli_error("%s has the certificate %s, not that of HILUM_FINGERPRINT", authority, certificate->fingerprint);
		return false;
	}
	if (accept_new) {
		fprintf(stderr, "hilum: %s is new; its certificate %s is accepted\n", authority, certificate->fingerprint);
		return true;
	}
	if (terminal_is_there())
		return ask_operator(session, certificate);
	cli_error("%s is not known yet, and there is no terminal to ask at. Its certificate is\n  %s\n"
	          "If that is what the machine's screen shows, set HILUM_FINGERPRINT to it; --accept-new takes any.",
	          authority, certificate->fingerprint);
	return false;
}

enum cli_exit trust_establish(struct http_session *session, bool accept_new)
{
	struct certificate certificate;
	char *path, *text = read_known(&path);
	enum cli_exit status = CLI_USAGE;
	CURLcode code;

	if (text == NULL) {
		free(path);
		return status;
	}
	if (known_hosts_find(text, session->target.address.authority, session->pin, sizeof(session->pin))) {
		status = CLI_OK;
	} else {
		code = fetch_certificate(session, &certificate);
		if (code != CURLE_OK) {
			status = http_report_curl(session, code);
		} else if (!agree(session, &certificate, accept_new)) {
			status = CLI_UNTRUSTED;
		} else {
			snprintf(session->pin, sizeof(session->pin), "%s", certificate.pin);
			status = remember(session, path, certificate.pin) ? CLI_OK : CLI_USAGE;
		}
	}
	free(text);
	free(path);
	return status;
}

enum cli_exit trust_report_change(const struct http_session *session)
{
	const char *authority = session->target.address.authority;
	struct certificate certificate;
	bool fetched = fetch_certificate(session, &certificate) == CURLE_OK;

	fprintf(stderr,
	        "*** THE CERTIFICATE OF %s HAS CHANGED ***\n"
	        "error: this is another key than the one that was accepted for this machine. Nothing was sent to it.\n"
	        "Its certificate now: %s\n"
	        "Either somebody is between you and the machine, or it was set up anew. Compare this fingerprint with the one on\n"
	        "the machine's screen. Only if they are the same, forget the old key and connect again:\n"
	        "  hilum forget %s\n",
	        authority, fetched ? certificate.fingerprint : "cannot be read any more", authority);
	return CLI_UNTRUSTED;
}

bool trust_forget(const char *authority, bool *found)
{
	char *path, *text = read_known(&path), *kept;
	bool written = false;

	*found = false;
	if (text != NULL) {
		kept = known_hosts_remove(text, authority, found);
		written = !*found || files_write_private(path, kept, strlen(kept));
		free(kept);
	}
	free(text);
	free(path);
	return written;
}

bool trust_replace(const struct http_session *session, const char *pin)
{
	char *path = NULL;
	bool found, written;

	if (!trust_forget(session->target.address.authority, &found))
		return false;
	path = files_path(FILE_NAME);
	written = path != NULL && remember(session, path, pin);
	free(path);
	return written;
}
