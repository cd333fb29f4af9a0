/* Digests and text forms of bytes. */
#include "drivers-vm/control/api/digest.h"

#include <mbedtls/base64.h>
#include <mbedtls/sha1.h>
#include <mbedtls/sha256.h>

#include <stdio.h>
#include <string.h>

#define SHA1_BYTES 20u

/* mbedTLS's software digests cannot fail. */
void digest_sha256(const void *bytes, size_t count, uint8_t digest[DIGEST_SHA256_BYTES])
{
	(void)mbedtls_sha256_ret(bytes, count, digest, 0);
}

void digest_websocket_accept(const char *key, char accept[DIGEST_ACCEPT_BYTES])
{
	uint8_t digest[SHA1_BYTES];
	size_t length = 0;
	char text[64];
	int used = snprintf(text, sizeof(text), "%.24s258EAFA5-E914-47DA-95CA-C5AB0DC85B11", key);

	(void)mbedtls_sha1_ret((const uint8_t *)text, (size_t)used, digest);
	(void)mbedtls_base64_encode((uint8_t *)accept, DIGEST_ACCEPT_BYTES, &length, digest, sizeof(digest));
}

void digest_base64url(const uint8_t bytes[32], char text[DIGEST_BASE64URL_BYTES])
{
	uint8_t padded[48];
	size_t length = 0;

	(void)mbedtls_base64_encode(padded, sizeof(padded), &length, bytes, 32);
	for (unsigned i = 0; i < DIGEST_BASE64URL_BYTES - 1; i++)
		text[i] = padded[i] == '+' ? '-' : padded[i] == '/' ? '_' : (char)padded[i];
	text[DIGEST_BASE64URL_BYTES - 1] = '\0';
}

bool digest_equal(const uint8_t a[DIGEST_SHA256_BYTES], const uint8_t b[DIGEST_SHA256_BYTES])
{
	volatile uint8_t difference = 0;

	for (unsigned i = 0; i < DIGEST_SHA256_BYTES; i++)
		difference |= a[i] ^ b[i];
	return difference == 0;
}
