/* See host_virtqueue.h. */
#include "drivers-vm/driver/host_virtqueue.h"

#include "drivers-vm/driver/host_mmio.h"

#include <assert.h>

#define RING_INDEX       2u /* in both areas; flags are before it */
#define RING_ENTRIES     4u
#define USED_NO_NOTIFY   1u
#define USED_ENTRY_BYTES 8u

static_assert(HOST_VIRTQUEUE_ENTRIES * sizeof(struct host_virtq_descriptor) <= HOST_VIRTQ_DRIVER_AREA &&
                      HOST_VIRTQ_DRIVER_AREA + RING_ENTRIES + 2 * HOST_VIRTQUEUE_ENTRIES <= HOST_VIRTQ_DEVICE_AREA &&
                      HOST_VIRTQ_DEVICE_AREA + RING_ENTRIES + USED_ENTRY_BYTES * HOST_VIRTQUEUE_ENTRIES <= 4096,
              "a queue is a page");

void host_virtqueue_init(struct host_virtqueue *q, uint8_t *page, uint16_t number, uint16_t entries, volatile uint8_t *notify)
{
	assert(entries != 0 && entries <= HOST_VIRTQUEUE_ENTRIES && (entries & (entries - 1)) == 0);
	*q = (struct host_virtqueue){ .page = page, .notify = notify, .number = number, .entries = entries };
}

int host_virtqueue_free(const struct host_virtqueue *q)
{
	for (unsigned i = 0; i * 64 < q->entries; i++)
		if (~q->busy[i] != 0) {
			unsigned id = i * 64 + (unsigned)__builtin_ctzll(~q->busy[i]);
			return id < q->entries ? (int)id : -1;
		}
	return -1;
}

void host_virtqueue_put(struct host_virtqueue *q, unsigned id, uint64_t address, uint32_t bytes, uint16_t flags)
{
	struct host_virtq_descriptor *d = (struct host_virtq_descriptor *)q->page + id;
	volatile uint8_t *ring = q->page + HOST_VIRTQ_DRIVER_AREA;

	assert(id < q->entries);
	*d = (struct host_virtq_descriptor){ address, bytes, flags, 0 };
	q->busy[id / 64] |= 1ull << id % 64;
	mmio_write16(ring, RING_ENTRIES + 2 * (q->available % q->entries), (uint16_t)id);
	q->available++;
	mmio_publish();
	mmio_write16(ring, RING_INDEX, q->available);
}

void host_virtqueue_notify(struct host_virtqueue *q)
{
	if (q->told == q->available)
		return;
	q->told = q->available;
	__atomic_thread_fence(__ATOMIC_SEQ_CST); /* the index is there before the flag is read: 2.7.10 */
	if (!(mmio_read16(q->page, HOST_VIRTQ_DEVICE_AREA) & USED_NO_NOTIFY))
		mmio_write16(q->notify, 0, q->number);
}

enum host_virtq_taken host_virtqueue_take(struct host_virtqueue *q, unsigned *id, uint32_t *bytes)
{
	const volatile uint8_t *ring = q->page + HOST_VIRTQ_DEVICE_AREA;
	uint64_t at = RING_ENTRIES + USED_ENTRY_BYTES * (uint64_t)(q->used % q->entries);
	uint32_t number;

	if (mmio_read16(ring, RING_INDEX) == q->used)
		return HOST_VIRTQ_NONE;
	mmio_observe(); /* the entry, and the data, are not older than the index */
	number = mmio_read32(ring, at);
	*bytes = mmio_read32(ring, at + 4);
	if (number >= q->entries || !(q->busy[number / 64] >> number % 64 & 1))
		return HOST_VIRTQ_BROKEN;
	q->busy[number / 64] &= ~(1ull << number % 64);
	q->used++;
	*id = number;
	return HOST_VIRTQ_ONE;
}
