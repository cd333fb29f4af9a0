#include "tools/cli/certificate.h"

#include <ctype.h>
#include <stdio.h>
#include <string.h>

#include <openssl/bio.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/sha.h>
#include <openssl/x509.h>

static void format_fingerprint(char *out, size_t size, const unsigned char *digest)
{
	size_t used = (size_t)snprintf(out, size, "sha256");

	for (unsigned i = 0; i < SHA256_DIGEST_LENGTH; i++)
		used += (size_t)snprintf(out + used, size - used, ":%02X", digest[i]);
}

static bool hash_public_key(const X509 *x509, unsigned char *digest)
{
	unsigned char *key = NULL;
	int length = i2d_X509_PUBKEY(X509_get_X509_PUBKEY(x509), &key);

	if (length <= 0)
		return false;
	SHA256(key, (size_t)length, digest);
	OPENSSL_free(key);
	return true;
}

bool certificate_read(const char *pem, size_t length, struct certificate *out)
{
	unsigned char whole[SHA256_DIGEST_LENGTH], key[SHA256_DIGEST_LENGTH];
	BIO *bio = length > 1 << 20 ? NULL : BIO_new_mem_buf(pem, (int)length);
	X509 *x509 = bio == NULL ? NULL : PEM_read_bio_X509(bio, NULL, NULL, NULL);
	bool valid = x509 != NULL && X509_digest(x509, EVP_sha256(), whole, NULL) == 1 && hash_public_key(x509, key);

	X509_free(x509);
	BIO_free(bio);
	if (!valid)
		return false;
	format_fingerprint(out->fingerprint, sizeof(out->fingerprint), whole);
	memcpy(out->pin, "sha256//", 8);
	EVP_EncodeBlock((unsigned char *)out->pin + 8, key, sizeof(key));
	return true;
}

/* The hexadecimal digits of a fingerprint, in upper case; false: there is something else in it. */
static bool strip_fingerprint(const char *text, char digits[65])
{
	size_t count = 0;

	if (strncasecmp(text, "sha256:", 7) == 0)
		text += 7;
	for (; *text != '\0'; text++) {
		if (*text == ':' || *text == ' ')
			continue;
		if (!isxdigit((unsigned char)*text) || count == 64)
			return false;
		digits[count++] = (char)toupper((unsigned char)*text);
	}
	digits[count] = '\0';
	return count == 64;
}

bool certificate_has_fingerprint(const struct certificate *certificate, const char *text)
{
	char own[65], other[65];

	return strip_fingerprint(certificate->fingerprint, own) && strip_fingerprint(text, other) && strcmp(own, other) == 0;
}
