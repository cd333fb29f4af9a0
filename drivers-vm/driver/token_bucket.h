/*
 * A limit on a rate, with room for bursts of a tenth of a second. Pure: the caller gives the time.
 */
#ifndef DRIVERS_VM_DRIVER_TOKEN_BUCKET_H
#define DRIVERS_VM_DRIVER_TOKEN_BUCKET_H

#include <stdbool.h>
#include <stdint.h>

struct token_bucket {
	uint64_t per_second; /* 0: no limit */
	int64_t tokens;      /* below 0: taken in advance */
	uint64_t filled_ns;  /* up to when the tokens have been counted */
};

/* At most TOKEN_RATE_MAX a second; 0 is no limit. The bucket is full. */
#define TOKEN_RATE_MAX 1000000000000ull
void token_bucket_init(struct token_bucket *bucket, uint64_t per_second, uint64_t now_ns);

/*
 * Whether anything may pass now: 0, or the time when to ask again. What passes is taken with
 * token_bucket_take and may be more than there is; the next has to wait for that.
 */
uint64_t token_bucket_wait(struct token_bucket *bucket, uint64_t now_ns);
void token_bucket_take(struct token_bucket *bucket, uint64_t amount);

#endif
