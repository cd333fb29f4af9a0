/*
 * Key and certificate: made, kept, replaced by an operator's, and what is refused. openssl's view of them is in tests/system/test_web.py.
 *
 * UNIT_SOURCES: drivers-vm/control/net/identity.c drivers-vm/control/net/certificate.c drivers-vm/control/entropy.c build/unit/mbedtls.a
 * UNIT_FLAGS: -iquote tests/unit/fake_host_pci -Idrivers-vm/control/net/mbedtls -DMBEDTLS_CONFIG_FILE='<mbedtls_config.h>'
 * UNIT_FLAGS: -isystem cache/mbedtls/include
 */
#define _GNU_SOURCE
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "drivers-vm/control/entropy.h"
#include "drivers-vm/control/net/certificate.h"
#include "drivers-vm/control/net/identity.h"
#include "drivers-vm/control/store/store.h"

#include "mbedtls/base64.h"
#include "mbedtls/ecp.h"
#include "mbedtls/x509_crt.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- A store in memory --------------------------------------------------------------------------------------------------------------- */

#define VALUES 8u
static struct {
	char key[STORE_KEY_BYTES];
	uint8_t *bytes;
	size_t count;
	uint32_t flags;
} values[VALUES];
static unsigned puts_left;

static int find(const char *key)
{
	for (unsigned i = 0; i < VALUES; i++)
		if (strcmp(values[i].key, key) == 0 && values[i].bytes != NULL)
			return (int)i;
	return -1;
}

const void *store_get(const char *key, size_t *bytes)
{
	int at = find(key);

	if (at < 0)
		return NULL;
	*bytes = values[at].count;
	return values[at].bytes;
}

void store_remove(const char *key)
{
	int at = find(key);

	if (at < 0)
		return;
	free(values[at].bytes);
	memset(&values[at], 0, sizeof(values[at]));
}

bool store_put(const char *key, const void *value, size_t bytes, uint32_t flags)
{
	if (puts_left == 0)
		return false;
	puts_left--;
	store_remove(key);
	for (unsigned i = 0; i < VALUES; i++)
		if (values[i].bytes == NULL) {
			snprintf(values[i].key, sizeof(values[i].key), "%s", key);
			values[i].bytes = malloc(bytes);
			memcpy(values[i].bytes, value, bytes);
			values[i].count = bytes;
			values[i].flags = flags;
			return true;
		}
	return false;
}

void service_log(const char *format, ...)
{
	(void)format;
}

static const struct tls_names names = {
	.name = "hilum",
	.ip4s = 2,
	.ip4 = { { 10, 0, 2, 20 }, { 192, 168, 1, 9 } },
	.ip6s = 1,
	.ip6 = { { 0xFE, 0xC0, [15] = 0x14 } },
	.now_seconds = 1795219200, /* 2026-11-21 */
};

static int begin(void **state)
{
	(void)state;
	for (unsigned i = 0; i < VALUES; i++)
		if (values[i].bytes != NULL)
			store_remove(values[i].key);
	puts_left = 100;
	assert_true(entropy_start());
	return 0;
}

/* ---- Making -------------------------------------------------------------------------------------------------------------------------- */

static void read_own(const struct tls_names *of, mbedtls_x509_crt *crt)
{
	uint8_t key[CERTIFICATE_KEY_BYTES], certificate[CERTIFICATE_BYTES];
	size_t key_bytes, certificate_bytes;

	assert_true(certificate_make_key(key, &key_bytes));
	assert_true(certificate_make(of, key, key_bytes, certificate, &certificate_bytes));
	mbedtls_x509_crt_init(crt);
	assert_int_equal(mbedtls_x509_crt_parse_der(crt, certificate, certificate_bytes), 0);
}

static void certificate_make__names__for_ten_years_and_verifies_itself(void **state)
{
	mbedtls_x509_crt crt;
	uint32_t flags = 0;
	char text[64];

	(void)state;
	read_own(&names, &crt);
	assert_int_equal(mbedtls_x509_crt_verify(&crt, &crt, NULL, "hilum.local", &flags, NULL, NULL), 0);
	assert_int_equal(mbedtls_x509_crt_verify(&crt, &crt, NULL, "hilum", &flags, NULL, NULL), 0);
	assert_int_not_equal(mbedtls_x509_crt_verify(&crt, &crt, NULL, "other.local", &flags, NULL, NULL), 0);
	mbedtls_x509_dn_gets(text, sizeof(text), &crt.subject);
	assert_string_equal(text, "CN=hilum");
	assert_int_equal(crt.valid_from.year, 2026);
	assert_int_equal(crt.valid_from.mon, 11);
	assert_int_equal(crt.valid_from.day, 20);
	assert_int_equal(crt.valid_to.year, 2036);
	assert_int_equal(crt.valid_to.mon, 11);
	assert_int_equal(crt.valid_to.day, 19);
	assert_int_equal(crt.ca_istrue, 0);
	assert_non_null(memmem(crt.raw.p, crt.raw.len, "\x2B\x06\x01\x05\x05\x07\x03\x01", 8)); /* of a server */
	mbedtls_x509_crt_free(&crt);
}

static void certificate_make__addresses__are_all_in_the_alternative_names(void **state)
{
	static const uint8_t four[] = { 0x87, 4, 10, 0, 2, 20 }, other[] = { 0x87, 4, 192, 168, 1, 9 };
	static const uint8_t six[] = { 0x87, 16, 0xFE, 0xC0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0x14 };
	mbedtls_x509_crt crt;

	(void)state;
	read_own(&names, &crt);
	assert_non_null(memmem(crt.raw.p, crt.raw.len, four, sizeof(four)));
	assert_non_null(memmem(crt.raw.p, crt.raw.len, other, sizeof(other)));
	assert_non_null(memmem(crt.raw.p, crt.raw.len, six, sizeof(six)));
	mbedtls_x509_crt_free(&crt);
}

static void certificate_make__most_and_longest_names__fit(void **state)
{
	struct tls_names most = { .name = "a234567890123456789012345678901", .ip4s = TLS_ADDRESSES_MAX, .ip6s = TLS_ADDRESSES_MAX };
	mbedtls_x509_crt crt;

	(void)state;
	memset(most.ip6, 0xFD, sizeof(most.ip6));
	read_own(&most, &crt);
	mbedtls_x509_crt_free(&crt);
}

static void certificate_make__clock_that_is_wrong__dates_that_are_possible(void **state)
{
	static const struct {
		uint64_t now;
		int year, month, day;
	} cases[] = { { 0, 2026, 1, 1 },           { 86400, 2026, 1, 1 },       { 1830211200, 2027, 12, 30 },
		      { 1835395200, 2028, 2, 28 }, { 1835481600, 2028, 2, 29 }, { UINT64_MAX, 2090, 1, 1 } };

	(void)state;
	for (unsigned i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct tls_names at = names;
		mbedtls_x509_crt crt;
		at.now_seconds = cases[i].now;
		read_own(&at, &crt);
		assert_int_equal(crt.valid_from.year, cases[i].year);
		assert_int_equal(crt.valid_from.mon, cases[i].month);
		assert_int_equal(crt.valid_from.day, cases[i].day);
		mbedtls_x509_crt_free(&crt);
	}
}

/* ---- Keeping ------------------------------------------------------------------------------------------------------------------------- */

static void start__empty_store__makes_and_keeps_key_secretly(void **state)
{
	(void)state;
	assert_true(tls_start(&names));
	assert_int_equal(values[find("tls/key")].flags, STORE_SECRET);
	assert_int_equal(values[find("tls/certificate")].flags, 0);
	assert_int_equal(strlen(tls_fingerprint()), TLS_FINGERPRINT_BYTES - 2);
	assert_memory_equal(tls_fingerprint(), "sha256:", 7);
}

static void start__kept__same_certificate_again(void **state)
{
	char before[TLS_FINGERPRINT_BYTES];

	(void)state;
	assert_true(tls_start(&names));
	strcpy(before, tls_fingerprint());
	assert_true(tls_start(&names));
	assert_string_equal(tls_fingerprint(), before);
	begin(NULL);
	assert_true(tls_start(&names));
	assert_string_not_equal(tls_fingerprint(), before);
}

static void start__store_has_nonsense__makes_new_ones(void **state)
{
	(void)state;
	assert_true(store_put("tls/key", "abc", 3, STORE_SECRET));
	assert_true(store_put("tls/certificate", "", 0, 0));
	assert_true(tls_start(&names));
	assert_true(values[find("tls/key")].count > 100);
}

static void start__key_of_another_certificate__makes_new_ones(void **state)
{
	uint8_t key[CERTIFICATE_KEY_BYTES];
	size_t bytes;

	(void)state;
	assert_true(tls_start(&names));
	assert_true(certificate_make_key(key, &bytes));
	assert_true(store_put("tls/key", key, bytes, STORE_SECRET));
	assert_true(tls_start(&names));
	assert_int_not_equal(memcmp(values[find("tls/key")].bytes, key, bytes), 0);
}

static void start__store_is_full__false(void **state)
{
	(void)state;
	puts_left = 0;
	assert_false(tls_start(&names));
}

/* ---- An operator's own ---------------------------------------------------------------------------------------------------------------- */

static void write_pem(char *to, const char *label, const uint8_t *der, size_t bytes)
{
	uint8_t text[2048];
	size_t length;

	assert_int_equal(mbedtls_base64_encode(text, sizeof(text), &length, der, bytes), 0);
	to += sprintf(to, "-----BEGIN %s-----\n", label);
	for (size_t at = 0; at < length; at += 64)
		to += sprintf(to, "%.*s\n", length - at < 64 ? (int)(length - at) : 64, (char *)text + at);
	sprintf(to, "-----END %s-----\n", label);
}

static void make_pem(char *certificate, char *key)
{
	uint8_t key_der[CERTIFICATE_KEY_BYTES], crt_der[CERTIFICATE_BYTES];
	size_t key_bytes, crt_bytes;

	assert_true(certificate_make_key(key_der, &key_bytes));
	assert_true(certificate_make(&names, key_der, key_bytes, crt_der, &crt_bytes));
	write_pem(certificate, "CERTIFICATE", crt_der, crt_bytes);
	write_pem(key, "EC PRIVATE KEY", key_der, key_bytes);
}

static void set_certificate__good__used_kept_and_reset(void **state)
{
	char certificate[2048], key[2048], error[TLS_ERROR_BYTES], own[TLS_FINGERPRINT_BYTES], theirs[TLS_FINGERPRINT_BYTES];
	struct tls_identity *before;

	(void)state;
	assert_true(tls_start(&names));
	strcpy(own, tls_fingerprint());
	before = tls_identity_take();
	make_pem(certificate, key);
	assert_true(tls_set_certificate(certificate, key, error));
	strcpy(theirs, tls_fingerprint());
	assert_string_not_equal(theirs, own);
	assert_int_equal(values[find("tls/operator-key")].flags, STORE_SECRET);
	tls_identity_give(before); /* the last connection of the old one: freed now, as the sanitizer sees */
	assert_true(tls_start(&names));
	assert_string_equal(tls_fingerprint(), theirs);
	assert_true(tls_reset_certificate());
	assert_string_equal(tls_fingerprint(), own);
	assert_int_equal(find("tls/operator-key"), -1);
	assert_true(tls_start(&names));
	assert_string_equal(tls_fingerprint(), own);
}

static void set_certificate__a_chain__is_sent_whole_unless_too_long(void **state)
{
	char certificate[2048], other[2048], key[2048], unused[2048], error[TLS_ERROR_BYTES];
	char *chain = calloc(1, 65536);

	(void)state;
	assert_true(tls_start(&names));
	make_pem(certificate, key);
	make_pem(other, unused);
	strcat(strcpy(chain, certificate), other);
	assert_true(tls_set_certificate(chain, key, error));
	for (unsigned i = 0; i < 20; i++)
		strcat(chain, other);
	assert_false(tls_set_certificate(chain, key, error));
	assert_non_null(strstr(error, "too long"));
	free(chain);
}

static void set_certificate__bad__told_and_nothing_changes(void **state)
{
	char certificate[2048], other[2048], key[2048], unused[2048], error[TLS_ERROR_BYTES], own[TLS_FINGERPRINT_BYTES];

	(void)state;
	assert_true(tls_start(&names));
	strcpy(own, tls_fingerprint());
	make_pem(certificate, key);
	make_pem(other, unused);
	assert_false(tls_set_certificate(other, key, error));
	assert_string_equal(error, "the key is not that of the first certificate");
	assert_false(tls_set_certificate("", key, error));
	assert_false(tls_set_certificate(certificate, "", error));
	assert_false(tls_set_certificate(key, certificate, error));
	certificate[40] = '!';
	assert_false(tls_set_certificate(certificate, key, error));
	assert_int_equal(find("tls/operator-certificate"), -1);
	assert_string_equal(tls_fingerprint(), own);
}

static void set_certificate__store_is_full__told_and_nothing_changes(void **state)
{
	char certificate[2048], key[2048], error[TLS_ERROR_BYTES], own[TLS_FINGERPRINT_BYTES];

	(void)state;
	assert_true(tls_start(&names));
	strcpy(own, tls_fingerprint());
	make_pem(certificate, key);
	for (unsigned puts = 0; puts < 2; puts++) {
		puts_left = puts;
		assert_false(tls_set_certificate(certificate, key, error));
		assert_string_equal(error, "the state store has no room for it");
		assert_string_equal(tls_fingerprint(), own);
		assert_int_equal(find("tls/operator-certificate"), -1);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(certificate_make__names__for_ten_years_and_verifies_itself, begin),
		cmocka_unit_test_setup(certificate_make__addresses__are_all_in_the_alternative_names, begin),
		cmocka_unit_test_setup(certificate_make__most_and_longest_names__fit, begin),
		cmocka_unit_test_setup(certificate_make__clock_that_is_wrong__dates_that_are_possible, begin),
		cmocka_unit_test_setup(start__empty_store__makes_and_keeps_key_secretly, begin),
		cmocka_unit_test_setup(start__kept__same_certificate_again, begin),
		cmocka_unit_test_setup(start__store_has_nonsense__makes_new_ones, begin),
		cmocka_unit_test_setup(start__key_of_another_certificate__makes_new_ones, begin),
		cmocka_unit_test_setup(start__store_is_full__false, begin),
		cmocka_unit_test_setup(set_certificate__good__used_kept_and_reset, begin),
		cmocka_unit_test_setup(set_certificate__a_chain__is_sent_whole_unless_too_long, begin),
		cmocka_unit_test_setup(set_certificate__bad__told_and_nothing_changes, begin),
		cmocka_unit_test_setup(set_certificate__store_is_full__told_and_nothing_changes, begin),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
