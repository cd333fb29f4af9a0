/*
 * Walking of rings and descriptor chains. Pointers into guest RAM are computed when the queue starts or a
 * descriptor has been checked, always from the range that guest_ram confirmed as a whole.
 */
#include "drivers-vm/driver/virtqueue.h"

#include <string.h>

#define RING_FLAGS 0u
#define RING_IDX   2u

#define CHAIN_BYTES_MAX 0x100000000ull /* 2.7.5.1: at most 2^32 bytes in total */

/* ---- Guest memory: every access happens exactly once, in the order of the program ---- */

/* Indirect tables have no alignment. */
struct unaligned_u64 {
	uint64_t value;
} __attribute__((packed, may_alias));

static uint64_t load64(const void *from)
{
	return ((const volatile struct unaligned_u64 *)from)->value;
}

/* Rings are aligned. Acquire: what the driver wrote before it published an index is seen after it. */
static uint16_t load16(const void *from)
{
	return __atomic_load_n((const uint16_t *)from, __ATOMIC_ACQUIRE);
}

static void store16(void *to, uint16_t value)
{
	__atomic_store_n((uint16_t *)to, value, __ATOMIC_RELEASE);
}

static struct virtq_desc load_desc(const uint8_t *from)
{
	uint64_t rest = load64(from + 8);

	return (struct virtq_desc){
		.addr = load64(from),
		.len = (uint32_t)rest,
		.flags = (uint16_t)(rest >> 32),
		.next = (uint16_t)(rest >> 48),
	};
}

static uint8_t *avail_entry(const struct virtqueue *queue, uint16_t index)
{
	return queue->driver + VIRTQ_RING_HEAD + VIRTQ_AVAIL_ENTRY * (index & (queue->size - 1u));
}

static uint8_t *used_event(const struct virtqueue *queue)
{
	return queue->driver + VIRTQ_RING_HEAD + VIRTQ_AVAIL_ENTRY * queue->size;
}

static uint8_t *avail_event(const struct virtqueue *queue)
{
	return queue->device + VIRTQ_RING_HEAD + VIRTQ_USED_ENTRY * queue->size;
}

/* ---- Setting up ---- */

void virtqueue_init(struct virtqueue *queue, const struct model_host *host, uint16_t size)
{
	memset(queue, 0, sizeof(*queue));
	queue->host = host;
	queue->size = size;
}

static uint8_t *ring_map(const struct virtqueue *queue, uint64_t gpa, unsigned align, uint32_t bytes)
{
	return gpa % align == 0 ? queue->host->guest_ram(queue->host->ctx, gpa, bytes) : NULL;
}

bool virtqueue_enable(struct virtqueue *queue)
{
	uint32_t size = queue->size;
	const uint32_t ring = VIRTQ_RING_HEAD + VIRTQ_RING_TAIL;

	queue->enabled = true;
	queue->broken = true;
	if (size == 0 || size > VIRTQUEUE_SIZE_MAX || (size & (size - 1)) != 0)
		return false;
	queue->desc = ring_map(queue, queue->desc_gpa, 16, size * sizeof(struct virtq_desc));
	queue->driver = ring_map(queue, queue->driver_gpa, 2, size * VIRTQ_AVAIL_ENTRY + ring);
	queue->device = ring_map(queue, queue->device_gpa, 4, size * VIRTQ_USED_ENTRY + ring);
	if (queue->desc == NULL || queue->driver == NULL || queue->device == NULL)
		return false;
	queue->next_avail = queue->next_used = queue->signalled_used = 0;
	queue->broken = false;
	return true;
}

/* ---- Taking ---- */

static bool chain_add(const struct virtqueue *queue, struct virtqueue_chain *chain,
		      const struct virtq_desc *desc)
{
	bool write = desc->flags & VIRTQ_DESC_F_WRITE;
	unsigned count = chain->readable + chain->writable;
	uint8_t *bytes = queue->host->guest_ram(queue->host->ctx, desc->addr, desc->len);

	/* 2.7.4.2: all that the device reads comes before what it writes. */
	if (bytes == NULL || count >= queue->size || (!write && chain->writable != 0))
		return false;
	chain->segment[count] = (struct virtqueue_segment){.bytes = bytes, .count = desc->len};
	if (write) {
		chain->writable++;
		chain->writable_bytes += desc->len;
	} else {
		chain->readable++;
		chain->readable_bytes += desc->len;
	}
	return chain->readable_bytes + chain->writable_bytes <= CHAIN_BYTES_MAX;
}

/*
 * Follows a chain in a table of `size` descriptors from `index`. Each step uses one of the chain's segments,
 * so a loop ends at the limit. If it ends in an indirect descriptor, `indirect` says where its table is, else
 * its length is 0.
 */
static bool table_walk(const struct virtqueue *queue, struct virtqueue_chain *chain, const uint8_t *table,
		       uint32_t size, uint16_t index, struct virtq_desc *indirect)
{
	indirect->len = 0;
	for (;;) {
		if (index >= size)
			return false;
		const struct virtq_desc desc = load_desc(table + sizeof(desc) * index);
		if (desc.flags & VIRTQ_DESC_F_INDIRECT) {
			*indirect = desc;
			/* 2.7.5.3.1: never with NEXT, and of whole descriptors. */
			return !(desc.flags & VIRTQ_DESC_F_NEXT) && desc.len != 0 &&
			       desc.len % sizeof(desc) == 0;
		}
		/* An empty segment would be a step that nothing limits. */
		if (desc.len == 0 || !chain_add(queue, chain, &desc))
			return false;
		if (!(desc.flags & VIRTQ_DESC_F_NEXT))
			return true;
		index = desc.next;
	}
}

static bool chain_walk(const struct virtqueue *queue, struct virtqueue_chain *chain)
{
	struct virtq_desc indirect, nested;
	const uint8_t *table;

	if (!table_walk(queue, chain, queue->desc, queue->size, chain->head, &indirect))
		return false;
	if (indirect.len == 0)
		return true;
	if (!queue->indirect)
		return false;
	table = queue->host->guest_ram(queue->host->ctx, indirect.addr, indirect.len);
	return table != NULL &&
	       table_walk(queue, chain, table, indirect.len / sizeof(indirect), 0, &nested) &&
	       nested.len == 0;
}

/* How many buffers wait; false: more than the ring can hold. */
static bool count_available(const struct virtqueue *queue, uint16_t *count)
{
	*count = (uint16_t)(load16(queue->driver + RING_IDX) - queue->next_avail);
	return *count <= queue->size;
}

enum virtqueue_result virtqueue_pop(struct virtqueue *queue, struct virtqueue_chain *chain)
{
	uint16_t count;

	if (!queue->enabled)
		return VIRTQUEUE_EMPTY;
	if (queue->broken)
		return VIRTQUEUE_BROKEN;
	if (!count_available(queue, &count)) {
		queue->broken = true;
		return VIRTQUEUE_BROKEN;
	}
	if (count == 0)
		return VIRTQUEUE_EMPTY;
	chain->readable = chain->writable = 0;
	chain->readable_bytes = chain->writable_bytes = 0;
	chain->head = load16(avail_entry(queue, queue->next_avail));
	if (!chain_walk(queue, chain)) {
		queue->broken = true;
		return VIRTQUEUE_BROKEN;
	}
	queue->next_avail++;
	return VIRTQUEUE_CHAIN;
}

/* ---- Giving back ---- */

void virtqueue_push(struct virtqueue *queue, uint16_t head, uint32_t written)
{
	uint8_t *entry;

	if (!queue->enabled || queue->broken)
		return;
	entry = queue->device + VIRTQ_RING_HEAD + VIRTQ_USED_ENTRY * (queue->next_used & (queue->size - 1u));
	__atomic_store_n((uint32_t *)entry, head, __ATOMIC_RELAXED);
	__atomic_store_n((uint32_t *)(entry + 4), written, __ATOMIC_RELAXED);
	queue->next_used++;
	store16(queue->device + RING_IDX, queue->next_used);
}

bool virtqueue_should_signal(struct virtqueue *queue)
{
	uint16_t before = queue->signalled_used, now = queue->next_used;

	if (!queue->enabled || queue->broken || before == now)
		return false;
	queue->signalled_used = now;
	/* The driver publishes its wish, then looks at the used index; we do both the other way round. */
	__atomic_thread_fence(__ATOMIC_SEQ_CST);
	if (!queue->event_idx)
		return !(load16(queue->driver + RING_FLAGS) & VIRTQ_AVAIL_F_NO_INTERRUPT);
	/* 2.7.10: did this step over the entry that the driver waits for? */
	return (uint16_t)(now - load16(used_event(queue)) - 1) < (uint16_t)(now - before);
}

bool virtqueue_want_kicks(struct virtqueue *queue, bool want)
{
	uint16_t count;

	if (!queue->enabled || queue->broken)
		return false;
	if (!queue->event_idx)
		store16(queue->device + RING_FLAGS, want ? 0 : VIRTQ_USED_F_NO_NOTIFY);
	else if (want)
		store16(avail_event(queue), queue->next_avail);
	/* else: the event stays behind at an index that has been passed */
	__atomic_thread_fence(__ATOMIC_SEQ_CST);
	/* One entry too many is found by the next pop. */
	return !count_available(queue, &count) || count != 0;
}

/* ---- Data ---- */

static size_t chain_copy(const struct virtqueue_segment *segment, unsigned segments, uint64_t offset,
			 uint8_t *to, const uint8_t *from, size_t count)
{
	size_t done = 0;

	for (unsigned i = 0; i < segments && done < count; i++) {
		if (offset >= segment[i].count) {
			offset -= segment[i].count;
			continue;
		}
		size_t part = segment[i].count - (size_t)offset;
		if (part > count - done)
			part = count - done;
		if (to != NULL)
			memcpy(to + done, segment[i].bytes + offset, part);
		else
			memcpy(segment[i].bytes + offset, from + done, part);
		done += part;
		offset = 0;
	}
	return done;
}

size_t virtqueue_read(const struct virtqueue_chain *chain, uint64_t offset, void *to, size_t count)
{
	return chain_copy(chain->segment, chain->readable, offset, to, NULL, count);
}

size_t virtqueue_write(const struct virtqueue_chain *chain, uint64_t offset, const void *from, size_t count)
{
	return chain_copy(chain->segment + chain->readable, chain->writable, offset, NULL, from, count);
}
