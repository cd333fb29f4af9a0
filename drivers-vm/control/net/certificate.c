/* See certificate.h. mbedTLS writes DER from the end of a buffer to its beginning. */
#include "drivers-vm/control/net/certificate.h"

#include "drivers-vm/control/entropy.h"

#include "mbedtls/asn1write.h"
#include "mbedtls/ecp.h"
#include "mbedtls/oid.h"
#include "mbedtls/x509_crt.h"

#include <stdio.h>
#include <string.h>

#define DAY_SECONDS   86400ull
#define LIFE_DAYS     3652ull
#define EARLIEST_DAYS 20454ull               /* 2026-01-01: a clock that says less is wrong */
#define LATEST_DAYS   (47482ull - LIFE_DAYS) /* 2100-01-01 */
#define SERIAL_BYTES  16u
#define SAN_BYTES     512u

/* Context-specific tags of GeneralName: RFC 5280, 4.2.1.6 Subject Alternative Name. */
#define SAN_DNS     0x82u
#define SAN_ADDRESS 0x87u

static bool read_key(mbedtls_pk_context *pk, const uint8_t *key, size_t bytes)
{
	mbedtls_pk_init(pk);
	return mbedtls_pk_parse_key(pk, key, bytes, NULL, 0) == 0;
}

bool certificate_make_key(uint8_t key[CERTIFICATE_KEY_BYTES], size_t *key_bytes)
{
	mbedtls_pk_context pk;
	int length = -1;

	mbedtls_pk_init(&pk);
	if (mbedtls_pk_setup(&pk, mbedtls_pk_info_from_type(MBEDTLS_PK_ECKEY)) == 0 &&
	    mbedtls_ecp_gen_key(MBEDTLS_ECP_DP_SECP256R1, mbedtls_pk_ec(pk), entropy_random, NULL) == 0)
		length = mbedtls_pk_write_key_der(&pk, key, CERTIFICATE_KEY_BYTES);
	mbedtls_pk_free(&pk);
	if (length <= 0)
		return false;
	memmove(key, key + CERTIFICATE_KEY_BYTES - length, (size_t)length);
	*key_bytes = (size_t)length;
	return true;
}

static int write_name(uint8_t **at, uint8_t *start, uint8_t tag, const void *bytes, size_t count)
{
	int length = mbedtls_asn1_write_raw_buffer(at, start, bytes, count);

	if (length >= 0 && (mbedtls_asn1_write_len(at, start, count) < 0 || mbedtls_asn1_write_tag(at, start, tag) < 0))
		length = -1;
	return length;
}

/* The extension's value lies at the end of `san`; returns its length, or zero. */
static size_t make_alternative_names(const struct tls_names *names, uint8_t san[SAN_BYTES])
{
	uint8_t *at = san + SAN_BYTES;
	char local[80];
	int ok = 0;
	size_t length;

	snprintf(local, sizeof(local), "%s.local", names->name);
	for (unsigned i = 0; i < names->ip6s && ok >= 0; i++)
		ok = write_name(&at, san, SAN_ADDRESS, names->ip6[i], 16);
	for (unsigned i = 0; i < names->ip4s && ok >= 0; i++)
		ok = write_name(&at, san, SAN_ADDRESS, names->ip4[i], 4);
	if (ok >= 0)
		ok = write_name(&at, san, SAN_DNS, names->name, strlen(names->name));
	if (ok >= 0)
		ok = write_name(&at, san, SAN_DNS, local, strlen(local));
	length = (size_t)(san + SAN_BYTES - at);
	if (ok < 0 || mbedtls_asn1_write_len(&at, san, length) < 0 ||
	    mbedtls_asn1_write_tag(&at, san, MBEDTLS_ASN1_CONSTRUCTED | MBEDTLS_ASN1_SEQUENCE) < 0)
		return 0;
	return (size_t)(san + SAN_BYTES - at);
}

/* YYYYMMDD of a day since 1970-01-01: March is the first month, so that a leap day is a year's last one. */
static void write_date(uint64_t days, char text[15])
{
	uint64_t shifted = days + 719468, era = shifted / 146097, of_era = shifted % 146097;
	uint64_t year = (of_era - of_era / 1460 + of_era / 36524 - of_era / 146096) / 365;
	uint64_t of_year = of_era - (365 * year + year / 4 - year / 100), month = (5 * of_year + 2) / 153;
	uint64_t day = of_year - (153 * month + 2) / 5 + 1;

	month = month < 10 ? month + 3 : month - 9;
	year += 400 * era + (month <= 2);
	snprintf(text, 15, "%04u%02u%02u000000", (unsigned)(year % 10000), (unsigned)(month % 100), (unsigned)(day % 100));
}

static int set_validity(mbedtls_x509write_cert *crt, uint64_t now_seconds)
{
	uint64_t today = now_seconds / DAY_SECONDS;
	char from[15], until[15];

	/* A day earlier: the operator's clock need not agree to the hour. */
	today = today <= EARLIEST_DAYS ? EARLIEST_DAYS : today > LATEST_DAYS ? LATEST_DAYS : today - 1;
	write_date(today, from);
	write_date(today + LIFE_DAYS, until);
	return mbedtls_x509write_crt_set_validity(crt, from, until);
}

static int set_serial(mbedtls_x509write_cert *crt)
{
	uint8_t bytes[SERIAL_BYTES];
	mbedtls_mpi serial;
	int failed = -1;

	mbedtls_mpi_init(&serial);
	if (entropy_fill(bytes, sizeof(bytes))) {
		bytes[0] = (bytes[0] & 0x7F) | 0x40; /* positive, and of full length */
		failed = mbedtls_mpi_read_binary(&serial, bytes, sizeof(bytes));
	}
	if (failed == 0)
		failed = mbedtls_x509write_crt_set_serial(crt, &serial);
	mbedtls_mpi_free(&serial);
	return failed;
}

static int set_extensions(mbedtls_x509write_cert *crt, const struct tls_names *names)
{
	/* A sequence of one object identifier, id-kp-serverAuth: RFC 5280, 4.2.1.12 Extended Key Usage. */
	static const uint8_t server[] = { 0x30, 0x0A, 0x06, 0x08, 0x2B, 0x06, 0x01, 0x05, 0x05, 0x07, 0x03, 0x01 };
	uint8_t san[SAN_BYTES];
	size_t length = make_alternative_names(names, san);

	if (length == 0)
		return -1;
	if (mbedtls_x509write_crt_set_basic_constraints(crt, 0, -1) != 0 ||
	    mbedtls_x509write_crt_set_key_usage(crt, MBEDTLS_X509_KU_DIGITAL_SIGNATURE) != 0 ||
	    mbedtls_x509write_crt_set_extension(crt, MBEDTLS_OID_EXTENDED_KEY_USAGE, MBEDTLS_OID_SIZE(MBEDTLS_OID_EXTENDED_KEY_USAGE), 0,
	                                        server, sizeof(server)) != 0)
		return -1;
	return mbedtls_x509write_crt_set_extension(crt, MBEDTLS_OID_SUBJECT_ALT_NAME, MBEDTLS_OID_SIZE(MBEDTLS_OID_SUBJECT_ALT_NAME), 0,
	                                           san + SAN_BYTES - length, length);
}

static bool describe(mbedtls_x509write_cert *crt, mbedtls_pk_context *key, const struct tls_names *names)
{
	char subject[80];

	snprintf(subject, sizeof(subject), "CN=%s", names->name);
	mbedtls_x509write_crt_set_version(crt, MBEDTLS_X509_CRT_VERSION_3);
	mbedtls_x509write_crt_set_md_alg(crt, MBEDTLS_MD_SHA256);
	mbedtls_x509write_crt_set_subject_key(crt, key);
	mbedtls_x509write_crt_set_issuer_key(crt, key);
	return mbedtls_x509write_crt_set_subject_name(crt, subject) == 0 && mbedtls_x509write_crt_set_issuer_name(crt, subject) == 0 &&
	       set_serial(crt) == 0 && set_validity(crt, names->now_seconds) == 0 && set_extensions(crt, names) == 0;
}

bool certificate_make(const struct tls_names *names, const uint8_t *key, size_t key_bytes, uint8_t certificate[CERTIFICATE_BYTES],
                      size_t *certificate_bytes)
{
	mbedtls_x509write_cert crt;
	mbedtls_pk_context pk;
	int length = -1;

	mbedtls_x509write_crt_init(&crt);
	if (read_key(&pk, key, key_bytes) && describe(&crt, &pk, names))
		length = mbedtls_x509write_crt_der(&crt, certificate, CERTIFICATE_BYTES, entropy_random, NULL);
	mbedtls_x509write_crt_free(&crt);
	mbedtls_pk_free(&pk);
	if (length <= 0)
		return false;
	memmove(certificate, certificate + CERTIFICATE_BYTES - length, (size_t)length);
	*certificate_bytes = (size_t)length;
	return true;
}
