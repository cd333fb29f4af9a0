/*
 * Caps, reservations and budgets: buckets of CPU time that fill at a rate while time passes and empty while the vCPU runs. A cap's
 * fills a little slower than the cap says, and is so much smaller, that no second sees more than the cap.
 */
#include "kernel/sched.h"
#include "kernel/vcpu.h"

#define MILLION       1000000ull
#define CAP_RATE      983u     /* of 1000: with the bucket below 997 of what the cap allows in any second, and 3 for late timers */
#define CAP_SIZE_NS   14000ull /* for each per mille: 14 of 1000 of a second's */
#define RIGHT_SIZE_NS 20000ull

static void bucket_set(struct sched_bucket *b, uint32_t rate, uint64_t size, bool full, uint64_t now)
{
	if (b->rate == rate && b->size == (int64_t)size)
		return; /* what was used stays used */
	*b = (struct sched_bucket){ .left = full ? (int64_t)size : 0, .size = (int64_t)size, .since = now, .rate = rate };
}

static void bucket_take(struct sched_bucket *b, uint64_t ran, uint64_t now)
{
	uint64_t passed = now - b->since, old = passed > tsc_hz() ? passed - tsc_hz() : 0; /* a second's worth is as good as more */

	b->left += (int64_t)((passed - old) * b->rate / MILLION) - (int64_t)(ran > old ? ran - old : 0);
	if (b->left > b->size)
		b->left = b->size;
	b->since = now;
}

/* Ticks until the bucket has so much, which it has not. */
static uint64_t bucket_wait(const struct sched_bucket *b, int64_t wanted)
{
	return (uint64_t)(wanted - b->left) * MILLION / b->rate + 1;
}

void sched_limit_init(struct vcpu *v, uint64_t now_tsc)
{
	const struct hilum_schedule *s = &v->schedule;
	uint32_t right = v->is_service ? s->budget : s->reservation;

	v->weight = s->weight;
	bucket_set(&v->cap, s->cap % 1000 * CAP_RATE, tsc_from_ns(s->cap * CAP_SIZE_NS), false, now_tsc);
	bucket_set(&v->right, right * 1000, tsc_from_ns(right * RIGHT_SIZE_NS), true, now_tsc);
	v->is_limited = (v->cap.rate | v->right.rate) != 0;
	v->rank = v->is_service ? SCHED_SERVICE : right != 0 ? SCHED_RESERVED : SCHED_BY_WEIGHT;
}

/* Both ends are apart, so that it is not switched for every little that comes back. */
void sched_limit(struct cpu *cpu, struct vcpu *v, uint64_t ran_tsc, uint64_t now_tsc)
{
	uint64_t wait = UINT64_MAX;

	queue_remove(&v->refill_node);
	if (v->cap.rate != 0) {
		bucket_take(&v->cap, ran_tsc, now_tsc);
		v->capped = v->capped != SCHED_FREE ? v->capped : SCHED_CAPPED;
		if (v->cap.left >= v->cap.size / 16)
			v->capped = SCHED_FREE;
		else
			wait = bucket_wait(&v->cap, v->cap.size / 2); /* the other half is for the time until its turn */
	}
	if (v->right.rate != 0) {
		bucket_take(&v->right, v->rank == SCHED_BY_WEIGHT ? 0 : ran_tsc, now_tsc);
		if (v->right.left < v->right.size / 64)
			v->rank = SCHED_BY_WEIGHT;
		else if (v->right.left >= v->right.size / 2)
			v->rank = v->is_service ? SCHED_SERVICE : SCHED_RESERVED;
		if (v->rank == SCHED_BY_WEIGHT && bucket_wait(&v->right, v->right.size / 2) < wait)
			wait = bucket_wait(&v->right, v->right.size / 2);
	}
	if (wait != UINT64_MAX)
		queue_insert(&cpu->refills, &v->refill_node, now_tsc + wait);
}

uint64_t sched_limit_left(const struct vcpu *v)
{
	return v->cap.left > 0 ? (uint64_t)v->cap.left * MILLION / (MILLION - v->cap.rate) : 0;
}
