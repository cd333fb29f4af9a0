/* See entropy.h. A source that fails its health test once is not used again; with the last one gone, nothing is given any more. */
#include "drivers-vm/control/entropy.h"

#include "drivers-vm/control/entropy_cpu.h"

#include "mbedtls/ctr_drbg.h"
#include "mbedtls/entropy.h"

#include <string.h>

/*
 * Limits for a false alarm once in 2^30 samples or less. Words of the CPU are 64 bits: three in a row do not happen by chance, but some
 * CPUs give the same word for ever after a sleep. Of a time difference's low byte one bit at least is taken to be unforeseeable.
 */
#define CPU_REPEATS   3u
#define CPU_WINDOW    4u
#define TIME_REPEATS  31u
#define TIME_WINDOW   325u
#define TIME_SAMPLES  1024u /* of the start-up test, and for one seed: a quarter of a bit each is enough */
#define CPU_SAMPLES   64u
#define SCRATCH_BYTES 65536u /* more than a first-level cache has */

static struct entropy_health cpu_health, time_health;
static enum entropy_cpu cpu;
static bool has_cpu, has_time, started;
static mbedtls_entropy_context pool;
static mbedtls_ctr_drbg_context generator;

bool entropy_health_feed(struct entropy_health *health, uint64_t sample)
{
	health->repeats = sample == health->last && health->repeats != 0 ? health->repeats + 1 : 1;
	health->last = sample;
	if (health->seen == 0) {
		health->first = sample;
		health->matches = 0;
	}
	health->matches += sample == health->first;
	health->seen = (health->seen + 1) % ENTROPY_WINDOW;
	if (health->repeats >= health->repeat_limit || health->matches >= health->window_limit)
		health->failed = true;
	return !health->failed;
}

static bool cpu_sample(uint64_t *word)
{
	if (entropy_cpu_word(cpu, word))
		return entropy_health_feed(&cpu_health, *word);
	cpu_health.failed = true;
	return false;
}

/* How long a few accesses to memory take that depend on each other. */
static uint8_t time_sample(void)
{
	static uint8_t scratch[SCRATCH_BYTES];
	static uint32_t at;
	uint64_t before = entropy_cpu_tsc();

	for (unsigned i = 0; i < 16; i++) {
		scratch[at] = (uint8_t)(scratch[at] * 5 + 1);
		at = (at * 1103515245u + 12345u + scratch[at]) % SCRATCH_BYTES;
	}
	return (uint8_t)(entropy_cpu_tsc() - before);
}

/* A source of mbedTLS's pool. One that has failed hurts only when it was the only one. */
static int gather_cpu(void *ctx, unsigned char *to, size_t count, size_t *given)
{
	uint64_t word;

	(void)ctx;
	for (*given = 0; *given < count; *given += sizeof(word)) {
		size_t part = count - *given < sizeof(word) ? count - *given : sizeof(word);
		if (cpu_health.failed || !cpu_sample(&word)) {
			*given = count;
			return has_time && !time_health.failed ? 0 : MBEDTLS_ERR_ENTROPY_SOURCE_FAILED;
		}
		memcpy(to + *given, &word, part);
		if (part < sizeof(word))
			break;
	}
	*given = count;
	return 0;
}

static int gather_time(void *ctx, unsigned char *to, size_t count, size_t *given)
{
	(void)ctx;
	for (size_t i = 0; i < count; i++) {
		to[i] = time_sample();
		entropy_health_feed(&time_health, to[i]);
	}
	*given = count;
	return !time_health.failed || (has_cpu && !cpu_health.failed) ? 0 : MBEDTLS_ERR_ENTROPY_SOURCE_FAILED;
}

static void find_sources(void)
{
	uint64_t word;

	cpu_health = (struct entropy_health){ .repeat_limit = CPU_REPEATS, .window_limit = CPU_WINDOW };
	time_health = (struct entropy_health){ .repeat_limit = TIME_REPEATS, .window_limit = TIME_WINDOW };
	cpu = entropy_cpu_find();
	for (unsigned i = 0; i < CPU_SAMPLES && cpu != ENTROPY_CPU_NONE && !cpu_health.failed; i++)
		cpu_sample(&word);
	for (unsigned i = 0; i < TIME_SAMPLES; i++)
		entropy_health_feed(&time_health, time_sample());
	has_cpu = cpu != ENTROPY_CPU_NONE && !cpu_health.failed;
	has_time = !time_health.failed;
}

bool entropy_start(void)
{
	if (started)
		return true;
	find_sources();
	if (!has_cpu && !has_time)
		return false;
	mbedtls_entropy_init(&pool);
	mbedtls_ctr_drbg_init(&generator);
	if (has_cpu)
		mbedtls_entropy_add_source(&pool, gather_cpu, NULL, 64, MBEDTLS_ENTROPY_SOURCE_STRONG);
	if (has_time)
		mbedtls_entropy_add_source(&pool, gather_time, NULL, TIME_SAMPLES, MBEDTLS_ENTROPY_SOURCE_STRONG);
	started = mbedtls_ctr_drbg_seed(&generator, mbedtls_entropy_func, &pool, NULL, 0) == 0;
	if (!started) {
		mbedtls_ctr_drbg_free(&generator);
		mbedtls_entropy_free(&pool);
	}
	return started;
}

const char *entropy_describe(void)
{
	static const char *const cpu_words[] = { "", "RDRAND", "RDSEED" }, *const both_words[] = { "", "RDRAND and timing",
		                                                                                   "RDSEED and timing" };

	if (!started && cpu != ENTROPY_CPU_NONE)
		return "the CPU's generator and the time that instructions take failed their tests";
	if (!started)
		return "the CPU has no generator, and its instructions always take the same time";
	if (!has_cpu)
		return "timing";
	return has_time ? both_words[cpu] : cpu_words[cpu];
}

bool entropy_fill(void *to, size_t count)
{
	uint8_t *at = to;

	for (size_t part; started && count > 0; at += part, count -= part) {
		part = count < MBEDTLS_CTR_DRBG_MAX_REQUEST ? count : MBEDTLS_CTR_DRBG_MAX_REQUEST;
		if (mbedtls_ctr_drbg_random(&generator, at, part) != 0)
			break;
	}
	memset(at, 0, count);
	return count == 0 && started;
}

int entropy_random(void *ctx, unsigned char *to, size_t count)
{
	(void)ctx;
	return entropy_fill(to, count) ? 0 : MBEDTLS_ERR_ENTROPY_SOURCE_FAILED;
}
