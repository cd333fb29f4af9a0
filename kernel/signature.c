/*
 * Refuses to start with service images or a configuration that were not signed with the key whose public half the kernel was built with.
 * Only in kernels made with SIGNING_KEY. Module NAME has its signature in module NAME.sig: RSA of 3072 bits with exponent 65537, PKCS #1
 * v1.5 (RFC 8017, 8.2.2) over SHA3-256 (FIPS 202) of NAME, a zero byte and the content. All of it is public, so nothing here minds how long
 * it takes.
 */
#include "kernel/signature.h"
#include "arch/x86_64/log.h"
#include "arch/x86_64/panic.h"
#include "arch/x86_64/string.h"
#include "boot/boot.h"
#include "kernel/start.h"
#include "mm/window.h"

#define BOOT_CORE  0u   /* which runs all this */
#define WINDOW     9u   /* slot, as that of kernel/start.c */
#define RATE_BYTES 136u /* of SHA3-256 */
#define HASH_WORDS 4u

struct sha3 {
	uint64_t word[25];
	unsigned at; /* the byte where the next one goes */
};

static uint64_t rotate(uint64_t word, unsigned bits)
{
	return word << bits | word >> (64 - bits);
}

/* FIPS 202, 3.2: theta, rho with pi, chi, iota. */
static void sha3_permute(uint64_t s[25])
{
	uint8_t lfsr = 1;

	for (unsigned round = 0; round < 24; round++) {
		uint64_t c[5], moved, next;

		for (unsigned x = 0; x < 5; x++)
			c[x] = s[x] ^ s[x + 5] ^ s[x + 10] ^ s[x + 15] ^ s[x + 20];
		for (unsigned i = 0; i < 25; i++)
			s[i] ^= c[(i + 4) % 5] ^ rotate(c[(i + 1) % 5], 1);
		moved = s[1];
		for (unsigned i = 1, at = 1; i <= 24; i++, moved = next) {
			at = at / 5 + 5 * ((2 * at + 3 * (at / 5)) % 5);
			next = s[at];
			s[at] = rotate(moved, i * (i + 1) / 2 % 64);
		}
		for (unsigned y = 0; y < 25; y += 5) {
			memcpy(c, s + y, sizeof(c));
			for (unsigned x = 0; x < 5; x++)
				s[y + x] ^= ~c[(x + 1) % 5] & c[(x + 2) % 5];
		}
		for (unsigned i = 0; i < 7; i++, lfsr = (uint8_t)(lfsr << 1 ^ (lfsr >> 7) * 0x71))
			s[0] ^= (uint64_t)(lfsr & 1) << ((1u << i) - 1);
	}
}

static void sha3_absorb(struct sha3 *h, const uint8_t *bytes, uint64_t count)
{
	while (count--) {
		((uint8_t *)h->word)[h->at++] ^= *bytes++;
		if (h->at == RATE_BYTES)
			sha3_permute(h->word);
		h->at %= RATE_BYTES;
	}
}

/* a + b modulo the key, to a; both are less than it. */
static void add(uint64_t *a, const uint64_t *b)
{
	uint64_t sum[SIGNATURE_WORDS], rest[SIGNATURE_WORDS];
	unsigned __int128 carry = 0, borrow = 0;

	for (unsigned i = 0; i < SIGNATURE_WORDS; i++) {
		carry += (unsigned __int128)a[i] + b[i];
		sum[i] = (uint64_t)carry;
		carry >>= 64;
		borrow = (unsigned __int128)sum[i] - signature_key[i] - borrow;
		rest[i] = (uint64_t)borrow;
		borrow = borrow >> 64 & 1;
	}
	memcpy(a, carry || !borrow ? rest : sum, sizeof(sum));
}

static void multiply(uint64_t *a, const uint64_t *b)
{
	uint64_t product[SIGNATURE_WORDS] = { 0 };

	for (unsigned bit = SIGNATURE_WORDS * 64; bit-- > 0;) {
		add(product, product);
		if (b[bit / 64] >> bit % 64 & 1)
			add(product, a);
	}
	memcpy(a, product, sizeof(product));
}

/* out: the signature, a big-endian number, to the power of 65537 modulo the key. */
static void open_signature(const uint64_t *bytes, uint64_t out[SIGNATURE_WORDS])
{
	uint64_t s[SIGNATURE_WORDS];

	for (unsigned i = 0; i < SIGNATURE_WORDS; i++)
		s[i] = __builtin_bswap64(bytes[SIGNATURE_WORDS - 1 - i]);
	memset(out, 0, sizeof(s));
	add(out, s); /* less than the key from here on, as the key's highest bit is set */
	memcpy(s, out, sizeof(s));
	for (unsigned i = 0; i < 16; i++)
		multiply(out, out);
	multiply(out, s);
}

static bool is_signed(const struct boot_module *m, const char *name, const struct boot_module *signature)
{
	uint64_t opened[SIGNATURE_WORDS], differ = 0;
	struct sha3 hash = { .at = 0 };

	sha3_absorb(&hash, (const uint8_t *)name, strlen(name) + 1);
	for (uint64_t at = 0; at < m->bytes; at += PAGE_SIZE)
		sha3_absorb(&hash, window_map(BOOT_CORE, WINDOW, m->base + at), m->bytes - at < PAGE_SIZE ? m->bytes - at : PAGE_SIZE);
	((uint8_t *)hash.word)[hash.at] ^= 6;
	hash.word[RATE_BYTES / 8 - 1] ^= 1ull << 63;
	sha3_permute(hash.word);
	open_signature(window_map(BOOT_CORE, WINDOW, signature->base), opened);
	for (unsigned i = 0; i < SIGNATURE_WORDS; i++)
		differ |= opened[i] ^ (i < HASH_WORDS ? __builtin_bswap64(hash.word[HASH_WORDS - 1 - i]) : signature_padding[i]);
	return !differ;
}

/* Every module of the name: the control VM takes the first that is not empty. */
static void check(const char *name, const char *signature_name)
{
	const struct boot_module *first = boot_info.modules, *m = start_find_module(first, name);
	const struct boot_module *signature = start_find_module(first, signature_name);

	if (!m || !signature || signature->bytes != SIGNATURE_WORDS * 8)
		boot_refuse("this kernel starts what is signed only, and boot module '%s' or its signature '%s' is missing", name,
		            signature_name);
	for (; m; m = start_find_module(m + 1, name))
		if (!is_signed(m, name, signature))
			boot_refuse("boot module '%s' is not what was signed with this kernel's key", name);
}

void signature_check(void)
{
	check("control", "control.sig");
	check("driver", "driver.sig");
	check("hilum.toml", "hilum.toml.sig");
	log_info("control VM, driver VM and configuration are signed with this kernel's key");
}
