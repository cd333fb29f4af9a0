/* A fixed series of inputs for a fuzz target, made from right ones; libFuzzer does this better, and takes longer. */
#ifndef TESTS_UNIT_FUZZ_MUTATE_H
#define TESTS_UNIT_FUZZ_MUTATE_H

#include <stdint.h>
#include <string.h>

#define FUZZ_INPUT_BYTES 2048u

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

struct fuzz_seed {
	const char *bytes;
	size_t count;
};
#define FUZZ_SEED(text) \
	{ \
		text, sizeof(text) - 1 \
	}

static uint64_t fuzz_state = 88172645463325252ull;

static uint32_t fuzz_random(void)
{
	fuzz_state ^= fuzz_state << 13;
	fuzz_state ^= fuzz_state >> 7;
	fuzz_state ^= fuzz_state << 17;
	return (uint32_t)(fuzz_state >> 16);
}

static size_t fuzz_change_byte(uint8_t *data, size_t size)
{
	static const uint8_t likely[] = "{}[]\",:\\\r\n \0\x80\xFF"
					"0195-+.eaATtx%?/\x01\x02\x03\x7F";

	if (size != 0)
		data[fuzz_random() % size] = fuzz_random() % 4 == 0 ? (uint8_t)fuzz_random() : likely[fuzz_random() % (sizeof(likely) - 1)];
	return size;
}

static size_t fuzz_cut(uint8_t *data, size_t size)
{
	size_t at = size == 0 ? 0 : fuzz_random() % size, count = size == at ? 0 : fuzz_random() % (size - at);

	if (count > 20)
		count %= 20;
	memmove(data + at, data + at + count, size - at - count);
	return size - count;
}

static size_t fuzz_double(uint8_t *data, size_t size)
{
	size_t at = size == 0 ? 0 : fuzz_random() % size, count = size == at ? 0 : fuzz_random() % (size - at);

	if (size + count > FUZZ_INPUT_BYTES)
		return size;
	memmove(data + at + count, data + at, size - at);
	return size + count;
}

static size_t fuzz_join(uint8_t *data, size_t size, const struct fuzz_seed *seed)
{
	size_t at = seed->count == 0 ? 0 : fuzz_random() % seed->count, count = seed->count - at;

	if (size + count > FUZZ_INPUT_BYTES)
		return size;
	memcpy(data + size, seed->bytes + at, count);
	return size + count;
}

static void fuzz_run(const struct fuzz_seed *seeds, unsigned count, unsigned runs)
{
	uint8_t data[FUZZ_INPUT_BYTES];

	for (unsigned i = 0; i < runs; i++) {
		const struct fuzz_seed *seed = &seeds[i % count];
		size_t size = seed->count;

		memcpy(data, seed->bytes, size);
		for (unsigned k = i < count ? 0 : 1 + fuzz_random() % 4; k != 0; k--) {
			switch (fuzz_random() % 5) {
			case 0:
				size = fuzz_cut(data, size);
				break;
			case 1:
				size = fuzz_double(data, size);
				break;
			case 2:
				size = fuzz_join(data, size, &seeds[fuzz_random() % count]);
				break;
			default:
				size = fuzz_change_byte(data, size);
				break;
			}
		}
		LLVMFuzzerTestOneInput(data, size);
	}
}

#endif
