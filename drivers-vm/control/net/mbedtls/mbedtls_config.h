/*
 * mbedTLS as the control VM uses it: a TLS 1.2 server with elliptic curves, and what makes and reads its certificate. No file, no clock, no
 * FPU or vector instruction: AES-NI needs those registers, so ChaCha20-Poly1305, which takes the same time for any key, is preferred.
 */
#ifndef DRIVERS_VM_CONTROL_NET_MBEDTLS_CONFIG_H
#define DRIVERS_VM_CONTROL_NET_MBEDTLS_CONFIG_H

/* Inline assembly for the multiplication of big numbers; general registers only. */
#define MBEDTLS_HAVE_ASM
#define MBEDTLS_NO_UDBL_DIVISION /* it needs a function of libgcc */

/* Random numbers: the source is drivers-vm/control/entropy.c. */
#define MBEDTLS_NO_PLATFORM_ENTROPY
#define MBEDTLS_ENTROPY_C
#define MBEDTLS_CTR_DRBG_C

/* Digests, ciphers, curves. */
#define MBEDTLS_MD_C
#define MBEDTLS_SHA1_C /* of WebSocket's handshake (RFC 6455); no certificate and no TLS message is signed with it */
#define MBEDTLS_SHA256_C
#define MBEDTLS_SHA512_C
#define MBEDTLS_CIPHER_C
#define MBEDTLS_AES_C
#define MBEDTLS_AES_ROM_TABLES
#define MBEDTLS_GCM_C
#define MBEDTLS_CHACHA20_C
#define MBEDTLS_POLY1305_C
#define MBEDTLS_CHACHAPOLY_C
#define MBEDTLS_BIGNUM_C
#define MBEDTLS_ECP_C
#define MBEDTLS_ECP_DP_SECP256R1_ENABLED
#define MBEDTLS_ECP_DP_SECP384R1_ENABLED
#define MBEDTLS_ECP_NIST_OPTIM
#define MBEDTLS_ECDH_C
#define MBEDTLS_ECDSA_C
#define MBEDTLS_ECDSA_DETERMINISTIC /* a weak random number does not give the key away (RFC 6979) */
#define MBEDTLS_HMAC_DRBG_C

/* Certificates and keys. */
#define MBEDTLS_OID_C
#define MBEDTLS_ASN1_PARSE_C
#define MBEDTLS_ASN1_WRITE_C
#define MBEDTLS_BASE64_C
#define MBEDTLS_PEM_PARSE_C
#define MBEDTLS_PK_C
#define MBEDTLS_PK_PARSE_C
#define MBEDTLS_PK_WRITE_C
#define MBEDTLS_X509_USE_C
#define MBEDTLS_X509_CRT_PARSE_C
#define MBEDTLS_X509_CREATE_C
#define MBEDTLS_X509_CRT_WRITE_C

/* TLS. */
#define MBEDTLS_SSL_TLS_C
#define MBEDTLS_SSL_SRV_C
#define MBEDTLS_SSL_PROTO_TLS1_2
#define MBEDTLS_KEY_EXCHANGE_ECDHE_ECDSA_ENABLED
#define MBEDTLS_SSL_EXTENDED_MASTER_SECRET
#define MBEDTLS_SSL_SERVER_NAME_INDICATION
#define MBEDTLS_SSL_ALPN
#define MBEDTLS_SSL_CACHE_C /* who comes back need not prove and agree on everything anew */
/* A client may send records of any legal size; what goes out is cut smaller. A certificate's chain must fit into one of them. */
#define MBEDTLS_SSL_IN_CONTENT_LEN  16384
#define MBEDTLS_SSL_OUT_CONTENT_LEN 8192
#define MBEDTLS_SSL_CIPHERSUITES \
	MBEDTLS_TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256, MBEDTLS_TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256, \
		MBEDTLS_TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384

#include "mbedtls/check_config.h"

#endif
