/* RDSEED where there is one, else RDRAND: SDM vol. 1, 7.3.17 Random Number Generator Instructions; its retry
 * count. */
#include "drivers-vm/driver/entropy.h"

#include <stdint.h>
#include <string.h>

#define RDRAND_BIT 30u /* CPUID 1, ECX */
#define RDSEED_BIT 18u /* CPUID 7, EBX */
#define TRIES      100u

enum source { UNKNOWN, NONE, RDRAND, RDSEED };

static enum source source;

static void cpuid(uint32_t leaf, uint32_t r[4])
{
	__asm__ volatile("cpuid" : "=a"(r[0]), "=b"(r[1]), "=c"(r[2]), "=d"(r[3]) : "a"(leaf), "c"(0));
}

static enum source find_source(void)
{
	uint32_t r[4], last;

	cpuid(0, r);
	last = r[0];
	if (last >= 7) {
		cpuid(7, r);
		if (r[1] >> RDSEED_BIT & 1)
			return RDSEED;
	}
	cpuid(1, r);
	return r[2] >> RDRAND_BIT & 1 ? RDRAND : NONE;
}

bool entropy_is_available(void)
{
	if (source == UNKNOWN)
		source = find_source();
	return source != NONE;
}

static bool read_word(uint64_t *word)
{
	uint8_t ok = 0;

	for (unsigned i = 0; i < TRIES && !ok; i++) {
		if (source == RDSEED)
			__asm__ volatile("rdseed %0; setc %1" : "=r"(*word), "=qm"(ok)::"cc");
		else
			__asm__ volatile("rdrand %0; setc %1" : "=r"(*word), "=qm"(ok)::"cc");
	}
	return ok;
}

size_t entropy_read(void *to, size_t count)
{
	size_t done = 0;
	uint64_t word;

	while (done < count && entropy_is_available() && read_word(&word)) {
		size_t part = count - done < sizeof(word) ? count - done : sizeof(word);
		memcpy((uint8_t *)to + done, &word, part);
		done += part;
	}
	return done;
}
