/*
 * The packed ring: one ring of descriptors, in which driver and device take turns; flags and a wrap counter
 * on each side say whose turn it is. Virtio 1.2, 2.8.
 */
#include "drivers-vm/driver/virtqueue_private.h"

#define DESC_LEN    8u
#define DESC_ID     12u
#define DESC_FLAGS  14u
#define EVENT_FLAGS 2u

#define TURN (VIRTQ_PACKED_F_AVAIL | VIRTQ_PACKED_F_USED)

bool virtqueue_packed_enable(struct virtqueue *queue)
{
	queue->desc = virtqueue_map(queue, queue->desc_gpa, 16, queue->size * sizeof(struct virtq_packed_desc));
	queue->driver = virtqueue_map(queue, queue->driver_gpa, 4, VIRTQ_EVENT_BYTES);
	queue->device = virtqueue_map(queue, queue->device_gpa, 4, VIRTQ_EVENT_BYTES);
	return queue->desc != NULL && queue->driver != NULL && queue->device != NULL;
}

static uint8_t *entry_at(const struct virtqueue *queue, uint16_t place)
{
	return queue->desc + sizeof(struct virtq_packed_desc) * place;
}

static bool is_available(const struct virtqueue *queue, uint16_t flags)
{
	return (flags & TURN) == (queue->avail_wrap ? VIRTQ_PACKED_F_AVAIL : VIRTQ_PACKED_F_USED);
}

/* `flags` were read before, alone: the rest is valid only once they are. */
static struct virtq_packed_desc load_desc(const uint8_t *from, uint16_t flags)
{
	uint64_t rest = load64(from + DESC_LEN);

	return (struct virtq_packed_desc){
		.addr = load64(from),
		.len = (uint32_t)rest,
		.id = (uint16_t)(rest >> 32),
		.flags = flags,
	};
}

static void advance(const struct virtqueue *queue, uint16_t *place, bool *wrap, unsigned by)
{
	unsigned next = *place + by;

	if (next >= queue->size) {
		next -= queue->size;
		*wrap = !*wrap;
	}
	*place = (uint16_t)next;
}

/* 2.8.7: an indirect table's descriptors follow each other; of their flags only WRITE counts. */
static bool table_walk(const struct virtqueue *queue, struct virtqueue_chain *chain, const struct virtq_packed_desc *indirect)
{
	unsigned count = indirect->len / sizeof(*indirect);
	const uint8_t *table;

	if (!queue->indirect || (indirect->flags & VIRTQ_DESC_F_NEXT) || count == 0 || indirect->len % sizeof(*indirect) != 0 ||
	    count > queue->size)
		return false;
	table = queue->host->guest_ram(queue->host->ctx, indirect->addr, indirect->len);
	if (table == NULL)
		return false;
	for (unsigned i = 0; i < count; i++) {
		const uint8_t *at = table + sizeof(*indirect) * i;
		const struct virtq_packed_desc desc = load_desc(at, (uint16_t)(load64(at + DESC_LEN) >> 48));
		if (desc.len == 0 || !virtqueue_chain_add(queue, chain, desc.addr, desc.len, desc.flags & VIRTQ_DESC_F_WRITE))
			return false;
	}
	return true;
}

enum virtqueue_result virtqueue_packed_pop(struct virtqueue *queue, struct virtqueue_chain *chain)
{
	uint16_t place = queue->next_avail, flags = load16(entry_at(queue, place) + DESC_FLAGS);
	bool wrap = queue->avail_wrap;
	unsigned places = 0;

	if (!is_available(queue, flags))
		return VIRTQUEUE_EMPTY;
	for (;; flags = load16(entry_at(queue, place) + DESC_FLAGS)) {
		const struct virtq_packed_desc desc = load_desc(entry_at(queue, place), flags);
		/* What was taken and not given back cannot be on offer: so this ends, too. */
		if (queue->taken + ++places > queue->size)
			return VIRTQUEUE_BROKEN;
		advance(queue, &place, &wrap, 1);
		if (flags & VIRTQ_DESC_F_INDIRECT) {
			if (places != 1 || !table_walk(queue, chain, &desc))
				return VIRTQUEUE_BROKEN;
		} else if (desc.len == 0 || !virtqueue_chain_add(queue, chain, desc.addr, desc.len, flags & VIRTQ_DESC_F_WRITE)) {
			return VIRTQUEUE_BROKEN;
		}
		chain->buffer = (struct virtqueue_buffer){ desc.id, (uint16_t)places };
		if (!(flags & VIRTQ_DESC_F_NEXT))
			break;
	}
	queue->next_avail = place;
	queue->avail_wrap = wrap;
	queue->taken = (uint16_t)(queue->taken + places);
	return VIRTQUEUE_CHAIN;
}

/* ---- Giving back ---- */

/* The first one's flags are written last: with them the driver sees all. */
void virtqueue_packed_push(struct virtqueue *queue, const struct virtqueue_buffer *buffer, const uint32_t *written, unsigned count)
{
	uint8_t *first = entry_at(queue, queue->next_used);
	uint16_t first_flags = 0;

	for (unsigned i = 0; i < count; i++) {
		uint8_t *entry = entry_at(queue, queue->next_used);
		uint16_t flags = (uint16_t)((queue->used_wrap ? TURN : 0) | (written[i] != 0 ? VIRTQ_DESC_F_WRITE : 0));
		store32(entry + DESC_LEN, written[i]);
		__atomic_store_n((uint16_t *)(entry + DESC_ID), buffer[i].id, __ATOMIC_RELAXED);
		if (i == 0)
			first_flags = flags;
		else
			store16(entry + DESC_FLAGS, flags);
		advance(queue, &queue->next_used, &queue->used_wrap, buffer[i].places);
		queue->taken = (uint16_t)(queue->taken - buffer[i].places);
		queue->unsaid += buffer[i].places;
	}
	store16(first + DESC_FLAGS, first_flags);
}

/*
 * The place of the first one: USED differs from the wrap counter as long as the driver's descriptor is there, and is the same from then
 * on until we come round again.
 */
bool virtqueue_packed_published(const struct virtqueue *queue)
{
	return !!(load16(entry_at(queue, queue->next_used) + DESC_FLAGS) & VIRTQ_PACKED_F_USED) == queue->used_wrap;
}

void virtqueue_packed_pass(struct virtqueue *queue, const struct virtqueue_buffer *buffer, unsigned count)
{
	for (unsigned i = 0; i < count; i++) {
		advance(queue, &queue->next_used, &queue->used_wrap, buffer[i].places);
		queue->taken = (uint16_t)(queue->taken - buffer[i].places);
	}
}

bool virtqueue_packed_should_signal(const struct virtqueue *queue)
{
	uint16_t flags = load16(queue->driver + EVENT_FLAGS);
	unsigned place, ahead;

	if (flags != VIRTQ_EVENT_DESC || !queue->event_idx)
		return flags != VIRTQ_EVENT_DISABLE;
	/* 2.8.10: did this step over the descriptor that the driver waits for? Counted back from the next one
	 * to be used. */
	flags = load16(queue->driver);
	place = flags & ~VIRTQ_EVENT_WRAP;
	ahead = queue->next_used + (!!(flags & VIRTQ_EVENT_WRAP) != queue->used_wrap ? queue->size : 0);
	return place < ahead && ahead - place <= queue->unsaid;
}

bool virtqueue_packed_want_kicks(struct virtqueue *queue, bool want)
{
	if (want && queue->event_idx)
		store16(queue->device, queue->next_avail | (queue->avail_wrap ? VIRTQ_EVENT_WRAP : 0));
	if (want || !queue->event_idx)
		store16(queue->device + EVENT_FLAGS, !want              ? VIRTQ_EVENT_DISABLE
		                                     : queue->event_idx ? VIRTQ_EVENT_DESC
		                                                        : VIRTQ_EVENT_ENABLE);
	/* else: the event stays behind at a descriptor that has been passed */
	__atomic_thread_fence(__ATOMIC_SEQ_CST);
	return is_available(queue, load16(entry_at(queue, queue->next_avail) + DESC_FLAGS));
}
