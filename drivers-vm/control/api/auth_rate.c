/*
 * The limit on wrong tokens: a bucket of tries for each address, and one for all. An IPv6 host has a whole /64 to choose addresses from, so
 * that counts as one.
 */
#include "drivers-vm/control/api/auth.h"

#include <string.h>

#define PEERS     64u
#define SECOND_NS 1000000000ull

/* Failures that count: each one is forgotten after a while. */
struct bucket {
	uint64_t since_ns; /* when `count` was right */
	unsigned count;
};

static struct {
	uint8_t address[16];
	struct bucket bucket;
} peers[PEERS];
static struct bucket all;

static void forget_old(struct bucket *bucket, uint64_t each_ns, uint64_t now_ns)
{
	uint64_t gone = now_ns < bucket->since_ns ? 0 : (now_ns - bucket->since_ns) / each_ns;

	if (gone >= bucket->count) {
		*bucket = (struct bucket){ .since_ns = now_ns };
		return;
	}
	bucket->count -= (unsigned)gone;
	bucket->since_ns += gone * each_ns;
}

static void address_of(const uint8_t peer[16], uint8_t address[16])
{
	static const uint8_t mapped[12] = { 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xFF, 0xFF };

	memcpy(address, peer, 16);
	if (memcmp(peer, mapped, sizeof(mapped)) != 0)
		memset(address + 8, 0, 8);
}

static struct bucket *find_bucket(const uint8_t peer[16])
{
	uint8_t address[16];

	address_of(peer, address);
	for (unsigned i = 0; i < PEERS; i++)
		if (peers[i].bucket.count != 0 && memcmp(peers[i].address, address, 16) == 0)
			return &peers[i].bucket;
	return NULL;
}

unsigned auth_wait_seconds(const uint8_t peer[16], uint64_t now_ns)
{
	struct bucket *bucket = find_bucket(peer);
	uint64_t due;

	if (bucket == NULL)
		return 0; /* who has failed at nothing is looked at even when others fail much */
	forget_old(bucket, AUTH_PEER_NS, now_ns);
	forget_old(&all, AUTH_ALL_NS, now_ns);
	if (bucket->count >= AUTH_PEER_BURST)
		due = bucket->since_ns + AUTH_PEER_NS;
	else if (bucket->count != 0 && all.count >= AUTH_ALL_BURST)
		due = all.since_ns + AUTH_ALL_NS;
	else
		return 0;
	return due <= now_ns ? 1 : (unsigned)((due - now_ns + SECOND_NS - 1) / SECOND_NS);
}

/* A place for an address: a free one, or that of who has failed least. */
static struct bucket *make_bucket(const uint8_t peer[16], uint64_t now_ns)
{
	unsigned best = 0;

	for (unsigned i = 0; i < PEERS; i++) {
		forget_old(&peers[i].bucket, AUTH_PEER_NS, now_ns);
		if (peers[i].bucket.count < peers[best].bucket.count)
			best = i;
	}
	address_of(peer, peers[best].address);
	peers[best].bucket = (struct bucket){ .since_ns = now_ns };
	return &peers[best].bucket;
}

void auth_note_failure(const uint8_t peer[16], uint64_t now_ns)
{
	struct bucket *bucket = find_bucket(peer);

	if (bucket == NULL)
		bucket = make_bucket(peer, now_ns);
	forget_old(bucket, AUTH_PEER_NS, now_ns);
	forget_old(&all, AUTH_ALL_NS, now_ns);
	bucket->count += bucket->count < AUTH_PEER_BURST;
	all.count += all.count < AUTH_ALL_BURST;
}
