/*
 * Which boot modules a kernel with a key starts: OpenSSL makes the keys and signs, the real check judges.
 *
 * UNIT_SOURCES: kernel/signature.c
 * UNIT_FLAGS: -iquote tests/unit/fake_signature -Wno-deprecated-declarations -lcrypto
 */
#include "cmocka_all.h"

#include <openssl/bn.h>
#include <openssl/evp.h>
#include <openssl/rsa.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "arch/x86_64/log.h"
#include "arch/x86_64/panic.h"
#include "boot/boot.h"
#include "kernel/start.h"

#define WORDS     48u
#define SIGNATURE (WORDS * 8)
#define REFUSED   41
#define PAGES     3u

void signature_check(void);

uint64_t signature_key[WORDS], signature_padding[WORDS]; /* constant in a kernel */

static EVP_PKEY *key;
struct boot_info boot_info;
static uint8_t memory[8][PAGES * PAGE_SIZE] __attribute__((aligned(4096)));

/* ---- What the check calls ---- */

const struct boot_module *start_find_module(const struct boot_module *from, const char *name)
{
	for (const struct boot_module *m = from; m < boot_info.modules + boot_info.module_count; m++)
		if (!strcmp(m->name, name))
			return m;
	return NULL;
}

void boot_refuse(const char *fmt, ...)
{
	(void)fmt;
	_exit(REFUSED);
}

void log_info(const char *fmt, ...)
{
	(void)fmt;
}

/* ---- A medium ---- */

static struct boot_module *add(const char *name, size_t bytes)
{
	struct boot_module *m = &boot_info.modules[boot_info.module_count];

	m->base = (hpa_t)memory[boot_info.module_count++];
	m->bytes = bytes;
	strcpy(m->name, name);
	return m;
}

static uint8_t *content(const struct boot_module *m)
{
	return (uint8_t *)m->base;
}

static void sign(const char *name, const struct boot_module *m, struct boot_module *signature)
{
	EVP_MD_CTX *context = EVP_MD_CTX_new();
	size_t bytes = SIGNATURE;

	assert_int_equal(EVP_DigestSignInit(context, NULL, EVP_sha3_256(), NULL, key), 1);
	assert_int_equal(EVP_DigestSignUpdate(context, name, strlen(name) + 1), 1);
	assert_int_equal(EVP_DigestSignUpdate(context, content(m), m->bytes), 1);
	assert_int_equal(EVP_DigestSignFinal(context, content(signature), &bytes), 1);
	EVP_MD_CTX_free(context);
}

/* control, driver, hilum.toml and their signatures, in this order; the first of the given length. */
static void make_medium(size_t bytes)
{
	static const char *const names[] = { "control", "driver", "hilum.toml" };
	char name[32];

	memset(&boot_info, 0, sizeof(boot_info));
	for (unsigned i = 0; i < 3; i++) {
		struct boot_module *m = add(names[i], i ? 100 + i : bytes);

		for (size_t at = 0; at < m->bytes; at++)
			content(m)[at] = (uint8_t)(at * 7 + i + (at >> 8));
	}
	for (unsigned i = 0; i < 3; i++) {
		snprintf(name, sizeof(name), "%s.sig", names[i]);
		sign(names[i], &boot_info.modules[i], add(name, SIGNATURE));
	}
}

static bool starts(void)
{
	int status = 0;
	pid_t child = fork();

	if (!child) {
		signature_check();
		_exit(0);
	}
	waitpid(child, &status, 0);
	assert_true(WIFEXITED(status) && (WEXITSTATUS(status) == 0 || WEXITSTATUS(status) == REFUSED));
	return WEXITSTATUS(status) == 0;
}

/* ---- Tests ---- */

static void signed_medium__each_length_around_a_block__starts(void **state)
{
	(void)state;
	for (size_t bytes = 120; bytes < 145; bytes++) { /* "control", its zero byte and 128 bytes are a block */
		make_medium(bytes);
		assert_true(starts());
	}
	make_medium(PAGE_SIZE);
	assert_true(starts());
	make_medium(2 * PAGE_SIZE + 1);
	assert_true(starts());
}

static void one_bit_flipped__in_content_or_signature__is_refused(void **state)
{
	(void)state;
	for (unsigned i = 0; i < 6; i++) {
		for (unsigned k = 0; k < 3; k++) {
			make_medium(PAGE_SIZE + 17);
			uint64_t bits = boot_info.modules[i].bytes * 8, bit = k == 0 ? 0 : k == 1 ? bits - 1 : bits / 2;

			content(&boot_info.modules[i])[bit / 8] ^= (uint8_t)(1u << bit % 8);
			assert_false(starts());
		}
	}
}

static void one_byte_more_or_less__is_refused(void **state)
{
	(void)state;
	make_medium(1000);
	boot_info.modules[0].bytes++;
	assert_false(starts());
	make_medium(1000);
	boot_info.modules[0].bytes--;
	assert_false(starts());
	make_medium(1000);
	boot_info.modules[3].bytes--;
	assert_false(starts());
}

static void module_or_signature__missing__is_refused(void **state)
{
	(void)state;
	for (unsigned i = 0; i < 6; i++) {
		make_medium(1000);
		boot_info.modules[i].name[0] = 'x';
		assert_false(starts());
	}
}

static void signed_under_another_name__is_refused(void **state)
{
	(void)state;
	make_medium(1000);
	memcpy(content(&boot_info.modules[1]), content(&boot_info.modules[2]),
	       102); /* the configuration and its signature as the driver VM */
	boot_info.modules[1].bytes = 102;
	memcpy(content(&boot_info.modules[4]), content(&boot_info.modules[5]), SIGNATURE);
	assert_false(starts());
}

static void second_module_of_a_name__is_looked_at_too(void **state)
{
	struct boot_module *second;

	(void)state;
	make_medium(1000);
	second = add("driver", 101);
	memcpy(content(second), content(&boot_info.modules[1]), 101);
	assert_true(starts());
	content(second)[5]++;
	assert_false(starts());
}

static void signature__no_number_below_the_key__is_no_other_way_in(void **state)
{
	(void)state;
	for (unsigned k = 0; k < 3; k++) {
		make_medium(1000);
		uint8_t *s = content(&boot_info.modules[3]);

		if (k < 2)
			memset(s, k ? 0xFF : 0, SIGNATURE);
		else
			for (unsigned i = 0; i < SIGNATURE; i++) /* the key itself, which is 0 */
				s[i] = (uint8_t)(signature_key[(SIGNATURE - 1 - i) / 8] >> (SIGNATURE - 1 - i) % 8 * 8);
		assert_false(starts());
	}
}

static void other_key__is_refused(void **state)
{
	(void)state;
	make_medium(1000);
	signature_key[0] ^= 2;
	assert_false(starts());
	signature_key[0] ^= 2;
	assert_true(starts());
}

/* ---- The key ---- */

static void put_words(uint64_t *words, const uint8_t *bytes)
{
	for (unsigned i = 0; i < SIGNATURE; i++)
		words[(SIGNATURE - 1 - i) / 8] = words[(SIGNATURE - 1 - i) / 8] << 8 | bytes[i];
}

static int make_key(void **state)
{
	static const uint8_t kind[] = { 0x30, 0x31, 0x30, 0x0D, 0x06, 0x09, 0x60, 0x86, 0x48, 0x01,
		                        0x65, 0x03, 0x04, 0x02, 0x08, 0x05, 0x00, 0x04, 0x20 };
	uint8_t bytes[SIGNATURE];
	BIGNUM *n = NULL;

	(void)state;
	key = EVP_RSA_gen(3072);
	assert_non_null(key);
	assert_int_equal(EVP_PKEY_get_bn_param(key, "n", &n), 1);
	assert_int_equal(BN_bn2binpad(n, bytes, sizeof(bytes)), SIGNATURE);
	put_words(signature_key, bytes);
	BN_free(n);
	memset(bytes, 0xFF, sizeof(bytes));
	bytes[0] = 0;
	bytes[1] = 1;
	bytes[SIGNATURE - 32 - sizeof(kind) - 1] = 0;
	memcpy(bytes + SIGNATURE - 32 - sizeof(kind), kind, sizeof(kind));
	memset(bytes + SIGNATURE - 32, 0, 32);
	put_words(signature_padding, bytes);
	return 0;
}

static int free_key(void **state)
{
	(void)state;
	EVP_PKEY_free(key);
	return 0;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(signed_medium__each_length_around_a_block__starts),
		cmocka_unit_test(one_bit_flipped__in_content_or_signature__is_refused),
		cmocka_unit_test(one_byte_more_or_less__is_refused),
		cmocka_unit_test(module_or_signature__missing__is_refused),
		cmocka_unit_test(signed_under_another_name__is_refused),
		cmocka_unit_test(second_module_of_a_name__is_looked_at_too),
		cmocka_unit_test(signature__no_number_below_the_key__is_no_other_way_in),
		cmocka_unit_test(other_key__is_refused),
	};

	return cmocka_run_group_tests(tests, make_key, free_key);
}
