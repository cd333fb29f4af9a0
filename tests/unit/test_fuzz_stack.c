/*
 * The fuzz target of the control VM's network under a fixed series of inputs: dialogues that get as far as TLS, mDNS, DHCP and SLAAC, with a few
 * bytes changed in each.
 *
 * UNIT_SOURCES: tests/fuzz/fuzz_stack.c drivers-vm/control/entropy.c drivers-vm/control/net/stack.c drivers-vm/control/net/web.c
 * UNIT_SOURCES: drivers-vm/control/net/web_tls.c drivers-vm/control/net/identity.c drivers-vm/control/net/certificate.c
 * UNIT_SOURCES: build/unit/lwip-control.a build/unit/mbedtls.a
 * UNIT_FLAGS: -Itests/unit -iquote tests/unit/fake_host_pci -Idrivers-vm/control/net/lwip -isystem cache/lwip/src/include
 * UNIT_FLAGS: -Idrivers-vm/control/net/mbedtls -DMBEDTLS_CONFIG_FILE='<mbedtls_config.h>' -isystem cache/mbedtls/include
 * UNIT_FLAGS: -fno-sanitize=alignment
 */
#include "cmocka_all.h"

#include "drivers-vm/control/net/web.h"

#include <stdlib.h>
#include <string.h>

#define RUNS        3000u
#define INPUT_BYTES 2048u

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

struct input {
	uint8_t bytes[INPUT_BYTES];
	size_t count;
};

static uint64_t random_next(uint64_t *seed)
{
	*seed ^= *seed << 13;
	*seed ^= *seed >> 7;
	*seed ^= *seed << 17;
	return *seed >> 16;
}

/* As fuzz_stack.c reads them. */
static void add_frame(struct input *in, uint8_t kind, uint8_t time, const void *payload, size_t count)
{
	const uint8_t head[4] = { kind, time, (uint8_t)(count >> 2), (uint8_t)(count & 3) };

	assert_true(in->count + 4 + count <= INPUT_BYTES);
	memcpy(in->bytes + in->count, head, 4);
	memcpy(in->bytes + in->count + 4, payload, count);
	in->count += 4 + count;
}
#define ADD(in, kind, time, text) add_frame((in), (kind), (time), (text), sizeof(text) - 1)

/* A client hello (RFC 5246, 7.4.1.2) with one cipher suite, P-256, and ECDSA with SHA-256. */
static const char client_hello[] =
	"\x18\x16\x03\x01\x00\x4b\x01\x00\x00\x47\x03\x03"
	"0123456789abcdef0123456789abcdef\x00\x00\x02\xcc\xa9\x01\x00\x00\x1c"
	"\x00\x0a\x00\x04\x00\x02\x00\x17\x00\x0b\x00\x02\x01\x00\x00\x0d\x00\x04\x00\x02\x04\x03\x00\x17\x00\x00";

static void make_tls(struct input *in)
{
	ADD(in, 9, 1, "\x02");
	ADD(in, 9, 1, "\x10");
	ADD(in, 9, 1, client_hello);
	ADD(in, 9, 1, "\x18\x16\x03\x03\x00\x05\x10\x00\x00\x01\x04\x14\x03\x03\x00\x01\x01");
	ADD(in, 9, 1, "\x11");
}

static void make_names(struct input *in)
{
	ADD(in, 4, 1, "\0\0\0\0\0\1\0\0\0\0\0\0\5hilum\5local\0\0\1\0\1");
	ADD(in, 7, 1, "\0\0\0\0\0\2\0\0\0\0\0\0\6_https\4_tcp\5local\0\0\x0c\0\1\xc0\x0c\0\xff\0\1");
	ADD(in, 4, 1, "\0\0\x84\0\0\0\0\1\0\0\0\0\5hilum\5local\0\0\1\0\1\0\0\0\x78\0\4\1\2\3\4");
}

static void make_addresses(struct input *in)
{
	ADD(in, 5, 0x41, "\x35\1\2\x36\4\n\0\2\2\1\4\xff\xff\xff\0\3\4\n\0\2\2\x33\4\0\0\x0e\x10\xff");
	ADD(in, 5, 0x41, "\x35\1\5\x36\4\n\0\2\2\1\4\xff\xff\xff\0\3\4\n\0\2\2\x33\4\0\0\x0e\x10\xff");
	ADD(in, 8, 1,
	    "\x86\0\0\0\x40\0\7\x08\0\0\0\0\0\0\0\0\3\4\x40\xc0\0\0\7\x08\0\0\7\x08\0\0\0\0\x20\1\x0d\xb8\0\0\0\0\0\0\0\0\0\0\0\0");
	ADD(in, 3, 0x42, "\1\x08\0\0\0\0\0");
}

static void stack__dialogues_with_bytes_changed__nothing_breaks(void **state)
{
	void (*const make[])(struct input *) = { make_tls, make_names, make_addresses };
	uint64_t seed = 88172645463325252ull;
	struct web_counts counts;

	(void)state;
	for (unsigned run = 0; run < RUNS; run++) {
		struct input in = { .count = 0 };
		make[run % 3](&in);
		make[random_next(&seed) % 3](&in);
		for (unsigned changes = run < 3 ? 0 : random_next(&seed) % 6; changes > 0; changes--)
			in.bytes[random_next(&seed) % in.count] = (uint8_t)random_next(&seed);
		/* A copy of just its length, so that the sanitizer sees reads behind it. */
		uint8_t *copy = malloc(in.count);
		memcpy(copy, in.bytes, in.count);
		assert_int_equal(LLVMFuzzerTestOneInput(copy, in.count), 0);
		free(copy);
	}
	web_counts(&counts);
	assert_true(counts.accepted > RUNS / 6); /* the dialogues got somewhere */
	assert_true(counts.failed > RUNS / 20);  /* as far as TLS: nobody here knows a secret */
	assert_true(counts.open <= 80);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(stack__dialogues_with_bytes_changed__nothing_breaks),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
