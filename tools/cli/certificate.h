/* What a certificate is recognised by. Pure. */
#ifndef TOOLS_CLI_CERTIFICATE_H
#define TOOLS_CLI_CERTIFICATE_H

#include <stdbool.h>
#include <stddef.h>

struct certificate {
	char fingerprint[104]; /* "sha256:AB:CD:...", of the whole certificate: as the machine's screen and GET /host show it */
	char pin[56];          /* "sha256//BASE64", of its public key: as CURLOPT_PINNEDPUBLICKEY takes it */
};

/* Of the first certificate in PEM text. */
bool certificate_read(const char *pem, size_t length, struct certificate *out);

/* Whether `text`, typed by somebody, is this fingerprint: upper or lower case, with or without "sha256:" and colons. */
bool certificate_has_fingerprint(const struct certificate *certificate, const char *text);

#endif
