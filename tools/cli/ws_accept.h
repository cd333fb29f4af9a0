/* The answer to a WebSocket's opening handshake, as text (RFC 6455, section 4.1). Pure. */
#ifndef TOOLS_CLI_WS_ACCEPT_H
#define TOOLS_CLI_WS_ACCEPT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define WS_ACCEPT_KEY_BYTES 32 /* 24 characters and a NUL, rounded up */

/* The value of Sec-WebSocket-Key for 16 random bytes. */
void ws_accept_make_key(const uint8_t nonce[16], char key[WS_ACCEPT_KEY_BYTES]);
/* The status of an answer whose head is text[0 .. length); 0: it is none of HTTP/1.1. */
long ws_accept_status(const char *text, size_t length);
/* Upgrade, Connection and Sec-WebSocket-Accept are as they must be for that key, and no extension is claimed. */
bool ws_accept_check(const char *text, size_t length, const char *key);
/* Content-Length, or 0. */
size_t ws_accept_content_length(const char *text, size_t length);

#endif
