/* certificate: the machine's own, or the operator's. */
#include "tools/cli/certificate.h"
#include "tools/cli/files.h"
#include "tools/cli/http.h"
#include "tools/cli/trust.h"
#include "tools/cli/verbs.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define PEM_BYTES_MAX 65536

static char *read_pem(const char *path)
{
	size_t length;
	int error;
	char *text = files_read(path, PEM_BYTES_MAX, &length, &error);

	if (text == NULL)
		cli_error("%s: %s", path, strerror(error));
	return text;
}

static enum cli_exit install(struct http_session *session, const char *certificate, const char *key, const struct certificate *read)
{
	json_t *body = json_pack("{s:s, s:s}", "certificate", certificate, "key", key);
	char *path = http_path("/host/certificate");
	const struct http_request request = { .method = "PUT", .path = path, .json = body };
	struct http_reply reply = { 0 };
	enum cli_exit status = CLI_USAGE;

	if (body == NULL)
		cli_error("the files are not PEM, which is ASCII");
	else
		status = http_call(session, &request, "Failed to install the certificate", &reply);
	/* Who knows the machine by its key knows it by the new one from here on. */
	if (status == CLI_OK && session->target.ca == NULL && !trust_replace(session, read->pin))
		status = CLI_USAGE;
	if (status == CLI_OK)
		printf("The next connection has the certificate %s\n", read->fingerprint);
	http_free(&reply);
	json_decref(body);
	free(path);
	return status;
}

static enum cli_exit install_files(struct http_session *session, char **operands)
{
	char *certificate = read_pem(operands[0]), *key = certificate == NULL ? NULL : read_pem(operands[1]);
	struct certificate read;
	enum cli_exit status = CLI_USAGE;

	if (key != NULL && !certificate_read(certificate, strlen(certificate), &read))
		cli_error("%s: there is no certificate in it (PEM)", operands[0]);
	else if (key != NULL)
		status = install(session, certificate, key, &read);
	if (key != NULL)
		explicit_bzero(key, strlen(key));
	free(key);
	free(certificate);
	return status;
}

static enum cli_exit reset(struct http_session *session)
{
	char *path = http_path("/host/certificate");
	const struct http_request request = { .method = "DELETE", .path = path };
	struct http_reply reply;
	enum cli_exit status = http_call(session, &request, "Failed to go back to the machine's own certificate", &reply);
	bool found;

	if (status == CLI_OK && session->target.ca == NULL && !trust_forget(session->target.address.authority, &found))
		status = CLI_USAGE;
	if (status == CLI_OK)
		puts("The next connection has the machine's own certificate, and asks for its fingerprint");
	http_free(&reply);
	free(path);
	return status;
}

static enum cli_exit run_certificate(const struct cli_options *options, char **operands, int count)
{
	struct http_session session;
	enum cli_exit status;

	if (options->reset ? count != 0 : count != 2) {
		cli_error("certificate CERTIFICATE KEY, or certificate --reset");
		return CLI_USAGE;
	}
	status = http_open(&session, options);
	if (status == CLI_OK)
		status = options->reset ? reset(&session) : install_files(&session, operands);
	http_close(&session);
	return status;
}

const struct verb verb_certificate = {
	.name = "certificate",
	.operands = "[CERTIFICATE KEY]",
	.summary = "Install a certificate of your own, or go back to the machine's",
	.help = "Both files are PEM; the key is not encrypted. This computer then knows the machine by the new key. Wants a token with the "
		"role admin.\n"
		"\nExamples:\n"
		"  hilum certificate hilum.pem hilum.key\n"
		"  hilum certificate --reset\n",
	.options = "reset",
	.most = 2,
	.run = run_certificate,
};
