/* See identity.h. An identity that was replaced lives on until the last of its connections has ended. */
#include "drivers-vm/control/net/identity.h"

#include "drivers-vm/control/entropy.h"
#include "drivers-vm/control/net/certificate.h"
#include "drivers-vm/control/store/store.h"
#include "drivers-vm/runtime/service.h"

#include "mbedtls/platform_util.h"
#include "mbedtls/sha256.h"
#include "mbedtls/ssl_cache.h"
#include "mbedtls/x509_crt.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define KEY                  "tls/key"
#define CERTIFICATE          "tls/certificate"
#define OPERATOR_KEY         "tls/operator-key"
#define OPERATOR_CERTIFICATE "tls/operator-certificate"
#define SESSIONS_MAX         64                                  /* the oldest makes room */
#define CHAIN_BYTES          (MBEDTLS_SSL_OUT_CONTENT_LEN - 64u) /* they are sent as one message in one record */

struct tls_identity {
	unsigned users; /* connections, and being the one in use */
	mbedtls_ssl_config config;
	mbedtls_ssl_cache_context sessions; /* those of this identity only */
	mbedtls_x509_crt chain;
	mbedtls_pk_context key;
};

static struct tls_identity *current;
static struct tls_names own_names;
static char fingerprint[TLS_FINGERPRINT_BYTES];

struct tls_identity *tls_identity_take(void)
{
	if (current != NULL)
		current->users++;
	return current;
}

void tls_identity_give(struct tls_identity *identity)
{
	if (identity == NULL || --identity->users != 0)
		return;
	mbedtls_ssl_config_free(&identity->config);
	mbedtls_ssl_cache_free(&identity->sessions);
	mbedtls_x509_crt_free(&identity->chain);
	mbedtls_pk_free(&identity->key);
	free(identity);
}

const mbedtls_ssl_config *tls_identity_config(const struct tls_identity *identity)
{
	return &identity->config;
}

const char *tls_fingerprint(void)
{
	return fingerprint;
}

/* What is wrong with a chain and a key, or NULL. */
static const char *find_fault(struct tls_identity *identity)
{
	size_t bytes = 0;

	for (const mbedtls_x509_crt *crt = &identity->chain; crt != NULL; crt = crt->next)
		bytes += crt->raw.len + 3;
	if (bytes > CHAIN_BYTES)
		return "the certificate and its chain are too long: 8 KiB together is the limit";
	if (!mbedtls_pk_can_do(&identity->key, MBEDTLS_PK_ECDSA))
		return "the key must be one on an elliptic curve, P-256 or P-384";
	if (mbedtls_pk_check_pair(&identity->chain.pk, &identity->key) != 0)
		return "the key is not that of the first certificate";
	return NULL;
}

static const char *configure(struct tls_identity *identity)
{
	static const char *protocols[] = { "http/1.1", NULL };

	if (mbedtls_ssl_config_defaults(&identity->config, MBEDTLS_SSL_IS_SERVER, MBEDTLS_SSL_TRANSPORT_STREAM,
	                                MBEDTLS_SSL_PRESET_DEFAULT) != 0 ||
	    mbedtls_ssl_conf_own_cert(&identity->config, &identity->chain, &identity->key) != 0 ||
	    mbedtls_ssl_conf_alpn_protocols(&identity->config, protocols) != 0)
		return "no memory";
	mbedtls_ssl_cache_set_max_entries(&identity->sessions, SESSIONS_MAX);
	mbedtls_ssl_conf_session_cache(&identity->config, &identity->sessions, mbedtls_ssl_cache_get, mbedtls_ssl_cache_set);
	mbedtls_ssl_conf_rng(&identity->config, entropy_random, NULL);
	mbedtls_ssl_conf_authmode(&identity->config, MBEDTLS_SSL_VERIFY_NONE);
	mbedtls_ssl_conf_min_version(&identity->config, MBEDTLS_SSL_MAJOR_VERSION_3, MBEDTLS_SSL_MINOR_VERSION_3);
	return NULL;
}

/* DER, or PEM with its NUL. NULL: *fault says why. */
static struct tls_identity *make_identity(const void *certificate, size_t certificate_bytes, const void *key, size_t key_bytes,
                                          const char **fault)
{
	struct tls_identity *identity = calloc(1, sizeof(*identity));

	*fault = "no memory";
	if (identity == NULL)
		return NULL;
	identity->users = 1;
	mbedtls_ssl_config_init(&identity->config);
	mbedtls_ssl_cache_init(&identity->sessions);
	mbedtls_x509_crt_init(&identity->chain);
	mbedtls_pk_init(&identity->key);
	*fault = NULL;
	if (mbedtls_x509_crt_parse(&identity->chain, certificate, certificate_bytes) != 0)
		*fault = "the certificate cannot be read: PEM is expected, X.509 with a key on P-256 or P-384";
	else if (mbedtls_pk_parse_key(&identity->key, key, key_bytes, NULL, 0) != 0)
		*fault = "the key cannot be read: PEM without a password is expected, on P-256 or P-384";
	if (*fault == NULL)
		*fault = find_fault(identity);
	if (*fault == NULL)
		*fault = configure(identity);
	if (*fault == NULL)
		return identity;
	tls_identity_give(identity);
	return NULL;
}

static void use(struct tls_identity *identity)
{
	uint8_t digest[32];
	size_t at;

	tls_identity_give(current);
	current = identity;
	mbedtls_sha256_ret(identity->chain.raw.p, identity->chain.raw.len, digest, 0);
	at = (size_t)snprintf(fingerprint, sizeof(fingerprint), "sha256");
	for (unsigned i = 0; i < sizeof(digest); i++)
		at += (size_t)snprintf(fingerprint + at, sizeof(fingerprint) - at, ":%02X", digest[i]);
}

/* Uses what the store has by these keys. */
static bool load(const char *certificate_key, const char *key_key)
{
	size_t certificate_bytes, key_bytes;
	const void *certificate = store_get(certificate_key, &certificate_bytes), *key = store_get(key_key, &key_bytes);
	const char *fault;
	struct tls_identity *identity;

	if (certificate == NULL || key == NULL)
		return false;
	identity = make_identity(certificate, certificate_bytes, key, key_bytes, &fault);
	if (identity == NULL)
		service_log("api: '%s' of the state store is of no use: %s", certificate_key, fault);
	else
		use(identity);
	return identity != NULL;
}

static bool make_own(void)
{
	uint8_t key[CERTIFICATE_KEY_BYTES], certificate[CERTIFICATE_BYTES];
	size_t key_bytes, certificate_bytes;
	bool made = certificate_make_key(key, &key_bytes) &&
	            certificate_make(&own_names, key, key_bytes, certificate, &certificate_bytes) &&
	            store_put(KEY, key, key_bytes, STORE_SECRET) && store_put(CERTIFICATE, certificate, certificate_bytes, 0);

	mbedtls_platform_zeroize(key, sizeof(key));
	return made;
}

static bool use_own(void)
{
	if (load(CERTIFICATE, KEY))
		return true;
	if (make_own())
		return load(CERTIFICATE, KEY);
	service_log("api: no key and certificate could be made: no HTTPS");
	return false;
}

bool tls_start(const struct tls_names *names)
{
	own_names = *names;
	return load(OPERATOR_CERTIFICATE, OPERATOR_KEY) || use_own();
}

bool tls_set_certificate(const char *certificate, const char *key, char error[TLS_ERROR_BYTES])
{
	const char *fault;
	struct tls_identity *identity = make_identity(certificate, strlen(certificate) + 1, key, strlen(key) + 1, &fault);

	if (identity != NULL && store_put(OPERATOR_CERTIFICATE, certificate, strlen(certificate) + 1, 0)) {
		if (store_put(OPERATOR_KEY, key, strlen(key) + 1, STORE_SECRET)) {
			use(identity);
			return true;
		}
		store_remove(OPERATOR_CERTIFICATE);
		store_remove(OPERATOR_KEY);
	}
	if (identity != NULL)
		fault = "the state store has no room for it";
	tls_identity_give(identity);
	snprintf(error, TLS_ERROR_BYTES, "%s", fault);
	return false;
}

bool tls_reset_certificate(void)
{
	store_remove(OPERATOR_CERTIFICATE);
	store_remove(OPERATOR_KEY);
	return use_own();
}
