/* Tokens are whole units; time that is worth less than one token stays uncounted until it is worth one. */
#include "drivers-vm/driver/token_bucket.h"

#define NS_PER_SECOND     1000000000ull
#define BURSTS_PER_SECOND 10u

static int64_t burst(const struct token_bucket *bucket)
{
	uint64_t tokens = bucket->per_second / BURSTS_PER_SECOND;

	return tokens != 0 ? (int64_t)tokens : 1;
}

void token_bucket_init(struct token_bucket *bucket, uint64_t per_second, uint64_t now_ns)
{
	bucket->per_second = per_second < TOKEN_RATE_MAX ? per_second : TOKEN_RATE_MAX;
	bucket->tokens = burst(bucket);
	bucket->filled_ns = now_ns;
}

/* 128 bits: a rate of 10^12 times hours of nanoseconds. */
static uint64_t scale(uint64_t value, uint64_t multiplier, uint64_t divisor)
{
	unsigned __int128 scaled = (unsigned __int128)value * multiplier;
	uint64_t high = (uint64_t)(scaled >> 64), low = (uint64_t)scaled;

	if (high >= divisor)
		return UINT64_MAX;
	__asm__("divq %2" : "+a"(low), "+d"(high) : "r"(divisor) : "cc");
	return low;
}

static void fill(struct token_bucket *bucket, uint64_t now_ns)
{
	uint64_t due = scale(now_ns - bucket->filled_ns, bucket->per_second, NS_PER_SECOND);

	if (now_ns <= bucket->filled_ns || due == 0)
		return;
	if (bucket->tokens >= burst(bucket) || due >= (uint64_t)(burst(bucket) - bucket->tokens)) {
		bucket->tokens = burst(bucket);
		bucket->filled_ns = now_ns;
		return;
	}
	bucket->tokens += (int64_t)due;
	bucket->filled_ns += scale(due, NS_PER_SECOND, bucket->per_second);
}

uint64_t token_bucket_wait(struct token_bucket *bucket, uint64_t now_ns)
{
	if (bucket->per_second == 0)
		return 0;
	fill(bucket, now_ns);
	if (bucket->tokens > 0)
		return 0;
	return bucket->filled_ns + scale((uint64_t)(1 - bucket->tokens), NS_PER_SECOND, bucket->per_second) + 1;
}

void token_bucket_take(struct token_bucket *bucket, uint64_t amount)
{
	const uint64_t most = 1ull << 62;

	if (bucket->per_second != 0)
		bucket->tokens -= (int64_t)(amount < most ? amount : most);
}
