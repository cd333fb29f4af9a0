/*
 * What the control VM shows to prove who it is: a key and a certificate of its own making, or those that an operator has installed. Kept in
 * the state store as "tls/key" and "tls/certificate", the operator's as "tls/operator-key" and "tls/operator-certificate".
 */
#ifndef DRIVERS_VM_CONTROL_NET_IDENTITY_H
#define DRIVERS_VM_CONTROL_NET_IDENTITY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "mbedtls/ssl.h"

#define TLS_FINGERPRINT_BYTES 104u /* "sha256:" and 32 bytes in hexadecimal with colons, with the NUL */
#define TLS_ERROR_BYTES       120u
#define TLS_ADDRESSES_MAX     8u

/* What a certificate of our own is made for. */
struct tls_names {
	const char *name; /* "hilum": also NAME.local */
	unsigned ip4s, ip6s;
	uint8_t ip4[TLS_ADDRESSES_MAX][4], ip6[TLS_ADDRESSES_MAX][16];
	uint64_t now_seconds; /* since 1970; zero: not known */
};

struct tls_identity;

/* Takes from the store what is there, else makes key and certificate and puts them there. After entropy_start. False: it cannot be; the
 * log says why. */
bool tls_start(const struct tls_names *names);
/* The operator's own, in PEM with its chain, from the next connection on; kept. False: `error` says why, and nothing has changed. */
bool tls_set_certificate(const char *certificate, const char *key, char error[TLS_ERROR_BYTES]);
/* Back to the one of our own making. */
bool tls_reset_certificate(void);
/* Of the certificate in use; "" before tls_start. */
const char *tls_fingerprint(void);

/* The identity of a connection that begins now: lives until it is given back. */
struct tls_identity *tls_identity_take(void);
void tls_identity_give(struct tls_identity *identity);
const mbedtls_ssl_config *tls_identity_config(const struct tls_identity *identity);

#endif
