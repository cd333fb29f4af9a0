/*
 * The fuzz target of partition tables under a fixed series of pseudo-random inputs, so that every run of the
 * tests covers it.
 *
 * UNIT_SOURCES: tests/fuzz/fuzz_gpt.c drivers-vm/driver/gpt.c
 * UNIT_SOURCES: drivers-vm/driver/blk_device.c drivers-vm/driver/blk_ram.c
 * UNIT_SOURCES: drivers-vm/driver/io_segment.c
 */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#define RUNS        20000u
#define INPUT_BYTES 2048u

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static uint64_t seed = 88172645463325252ull;

static uint32_t random_next(void)
{
	seed ^= seed << 13;
	seed ^= seed >> 7;
	seed ^= seed << 17;
	return (uint32_t)(seed >> 16);
}

/* Half of the bytes are small, as those of rings and registers are. */
static void fill(uint8_t *data, size_t size)
{
	for (size_t i = 0; i < size; i++) {
		uint32_t r = random_next();
		data[i] = (uint8_t)(r & 0x100 ? r : r & 0x600 ? r & 0x0F : 0);
	}
}

static void gpt_find__random_tables__nothing_beyond_the_disk(void **state)
{
	uint8_t data[INPUT_BYTES];

	(void)state;
	for (unsigned i = 0; i < RUNS; i++) {
		size_t size = i % 2 ? INPUT_BYTES : 256 + random_next() % (INPUT_BYTES - 256);
		fill(data, size);
		/* The size of the header, its own place, that of the entries, their number and size: near
		 * what is right. */
		if (i % 4 != 0) {
			static const uint8_t likely[][2] = {
				{ 12, 92 }, { 24, 1 }, { 40, 3 }, { 48, 60 }, { 72, 2 }, { 80, 8 }, { 84, 128 }
			};
			for (unsigned j = 0; j < sizeof(likely) / sizeof(*likely); j++) {
				for (unsigned k = 0; k < (j == 0 || j > 4 ? 4 : 8); k++)
					data[likely[j][0] + k] = k == 0 ? likely[j][1] : 0;
			}
			data[size - 1] |= 1;
			if (i % 4 == 1)
				data[random_next() % 92] ^= (uint8_t)(1u << random_next() % 8);
		}
		assert_int_equal(LLVMFuzzerTestOneInput(data, size), 0);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(gpt_find__random_tables__nothing_beyond_the_disk),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
