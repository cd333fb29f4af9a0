/* Digests and text forms of bytes; the digests are mbedTLS's. Pure. */
#ifndef DRIVERS_VM_CONTROL_API_DIGEST_H
#define DRIVERS_VM_CONTROL_API_DIGEST_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define DIGEST_SHA256_BYTES 32u

void digest_sha256(const void *bytes, size_t count, uint8_t digest[DIGEST_SHA256_BYTES]);

/* The answer to a WebSocket's key (RFC 6455, 4.2.2, step 5.4): 28 characters and a NUL. */
#define DIGEST_ACCEPT_BYTES 29u
void digest_websocket_accept(const char *key, char accept[DIGEST_ACCEPT_BYTES]);

/* 32 bytes in base64url without padding (RFC 4648, 5): 43 characters and a NUL. */
#define DIGEST_BASE64URL_BYTES 44u
void digest_base64url(const uint8_t bytes[32], char text[DIGEST_BASE64URL_BYTES]);

/* Whether two digests are the same; takes the same time whatever they are. */
bool digest_equal(const uint8_t a[DIGEST_SHA256_BYTES], const uint8_t b[DIGEST_SHA256_BYTES]);

#endif
