/* The split ring: a table of descriptors, a ring of what is available, a ring of what is used.
 * Virtio 1.2, 2.7. */
#include "drivers-vm/driver/virtqueue_private.h"

#define RING_FLAGS 0u
#define RING_IDX   2u

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

bool virtqueue_split_enable(struct virtqueue *queue)
{
	uint32_t size = queue->size;
	const uint32_t ring = VIRTQ_RING_HEAD + VIRTQ_RING_TAIL;

	if ((size & (size - 1)) != 0)
		return false;
	queue->desc = virtqueue_map(queue, queue->desc_gpa, 16, size * sizeof(struct virtq_desc));
	queue->driver = virtqueue_map(queue, queue->driver_gpa, 2, size * VIRTQ_AVAIL_ENTRY + ring);
	queue->device = virtqueue_map(queue, queue->device_gpa, 4, size * VIRTQ_USED_ENTRY + ring);
	return queue->desc != NULL && queue->driver != NULL && queue->device != NULL;
}

/* ---- Taking ---- */

/*
 * Follows a chain in a table of `size` descriptors from `index`. Each step uses one of the chain's segments,
 * so a loop ends at the limit. If it ends in an indirect descriptor, `indirect` says where its table is, else
 * its length is 0.
 */
static bool table_walk(const struct virtqueue *queue, struct virtqueue_chain *chain, const uint8_t *table, uint32_t size, uint16_t index,
                       struct virtq_desc *indirect)
{
	indirect->len = 0;
	for (;;) {
		if (index >= size)
			return false;
		const struct virtq_desc desc = load_desc(table + sizeof(desc) * index);
		if (desc.flags & VIRTQ_DESC_F_INDIRECT) {
			*indirect = desc;
			/* 2.7.5.3.1: never with NEXT, and of whole descriptors. */
			return !(desc.flags & VIRTQ_DESC_F_NEXT) && desc.len != 0 && desc.len % sizeof(desc) == 0;
		}
		/* An empty segment would be a step that nothing limits. */
		if (desc.len == 0 || !virtqueue_chain_add(queue, chain, desc.addr, desc.len, desc.flags & VIRTQ_DESC_F_WRITE))
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

	if (!table_walk(queue, chain, queue->desc, queue->size, chain->buffer.id, &indirect))
		return false;
	if (indirect.len == 0)
		return true;
	if (!queue->indirect)
		return false;
	table = queue->host->guest_ram(queue->host->ctx, indirect.addr, indirect.len);
	return table != NULL && table_walk(queue, chain, table, indirect.len / sizeof(indirect), 0, &nested) && nested.len == 0;
}

/* How many buffers wait; false: more than the ring can hold. */
static bool count_available(const struct virtqueue *queue, uint16_t *count)
{
	*count = (uint16_t)(load16(queue->driver + RING_IDX) - queue->next_avail);
	return *count <= queue->size;
}

enum virtqueue_result virtqueue_split_pop(struct virtqueue *queue, struct virtqueue_chain *chain)
{
	uint16_t count;

	if (!count_available(queue, &count))
		return VIRTQUEUE_BROKEN;
	if (count == 0)
		return VIRTQUEUE_EMPTY;
	chain->buffer = (struct virtqueue_buffer){ .id = load16(avail_entry(queue, queue->next_avail)) };
	if (!chain_walk(queue, chain))
		return VIRTQUEUE_BROKEN;
	queue->next_avail++;
	return VIRTQUEUE_CHAIN;
}

/* ---- Giving back ---- */

void virtqueue_split_push(struct virtqueue *queue, const struct virtqueue_buffer *buffer, const uint32_t *written, unsigned count)
{
	for (unsigned i = 0; i < count; i++) {
		uint8_t *entry = queue->device + VIRTQ_RING_HEAD + VIRTQ_USED_ENTRY * (queue->next_used & (queue->size - 1u));
		store32(entry, buffer[i].id);
		store32(entry + 4, written[i]);
		queue->next_used++;
	}
	queue->unsaid += count;
	store16(queue->device + RING_IDX, queue->next_used);
}

bool virtqueue_split_published(const struct virtqueue *queue, unsigned count)
{
	return load16(queue->device + RING_IDX) == (uint16_t)(queue->next_used + count);
}

bool virtqueue_split_should_signal(const struct virtqueue *queue)
{
	if (!queue->event_idx)
		return !(load16(queue->driver + RING_FLAGS) & VIRTQ_AVAIL_F_NO_INTERRUPT);
	/* 2.7.10: did this step over the entry that the driver waits for? */
	return (uint16_t)(queue->next_used - load16(used_event(queue)) - 1) < queue->unsaid;
}

bool virtqueue_split_want_kicks(struct virtqueue *queue, bool want)
{
	uint16_t count;

	if (!queue->event_idx)
		store16(queue->device + RING_FLAGS, want ? 0 : VIRTQ_USED_F_NO_NOTIFY);
	else if (want)
		store16(avail_event(queue), queue->next_avail);
	/* else: the event stays behind at an index that has been passed */
	__atomic_thread_fence(__ATOMIC_SEQ_CST);
	/* One entry too many is found by the next pop. */
	return !count_available(queue, &count) || count != 0;
}
