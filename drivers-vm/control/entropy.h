/*
 * Random numbers of the control VM: keys, tokens, sequence numbers. Sources are the CPU's generator and how long accesses to memory take;
 * each is watched by the health tests of NIST SP 800-90B, 4.4, and what they give goes through SHA-512 into AES-256 in counter mode
 * (mbedTLS's entropy pool and CTR_DRBG). Nothing comes from the driver VM: on a real machine it has the
 * same instructions and no source besides, and what it offers it also knows.
 */
#ifndef DRIVERS_VM_CONTROL_ENTROPY_H
#define DRIVERS_VM_CONTROL_ENTROPY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Finds and tests the sources, and seeds. False: there is none that passes, and no random number is to be had. */
bool entropy_start(void);
/* What the numbers come from, or why there are none, in words for the log. */
const char *entropy_describe(void);
/* Fills with random bytes; false: none are to be had, and the bytes are zero. */
bool entropy_fill(void *to, size_t count);
/* The same as mbedTLS calls it; `ctx` is not used. Zero, or negative. */
int entropy_random(void *ctx, unsigned char *to, size_t count);

/* ---- Health tests, for tests of them ------------------------------------------------------------------------------------------------- */
/* All zero but the limits: nothing has come yet. */
struct entropy_health {
	uint32_t repeat_limit; /* so many equal samples in a row fail */
	uint32_t window_limit; /* so many of a window's samples equal to its first fail */
	uint64_t last, first;
	uint32_t repeats, seen, matches;
	bool failed; /* for good */
};
#define ENTROPY_WINDOW 512u

/* Looks at the next sample; false: the source has failed, now or before. */
bool entropy_health_feed(struct entropy_health *health, uint64_t sample);

#endif
