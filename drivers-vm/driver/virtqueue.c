/*
 * What both kinds of ring have in common. Pointers into guest RAM are computed when the queue starts or a
 * descriptor has been checked, always from the range that guest_ram confirmed as a whole.
 */
#include "drivers-vm/driver/virtqueue_private.h"

#include <string.h>

void virtqueue_init(struct virtqueue *queue, const struct model_host *host, uint16_t size)
{
	memset(queue, 0, sizeof(*queue));
	queue->host = host;
	queue->size = size;
}

uint8_t *virtqueue_map(const struct virtqueue *queue, uint64_t gpa, unsigned align, uint32_t bytes)
{
	return gpa % align == 0 ? queue->host->guest_ram(queue->host->ctx, gpa, bytes) : NULL;
}

bool virtqueue_enable(struct virtqueue *queue)
{
	queue->enabled = true;
	queue->broken = true;
	if (queue->size == 0 || queue->size > VIRTQUEUE_SIZE_MAX ||
	    !(queue->packed ? virtqueue_packed_enable(queue) : virtqueue_split_enable(queue)))
		return false;
	queue->next_avail = queue->next_used = queue->taken = 0;
	queue->unsaid = 0;
	queue->avail_wrap = queue->used_wrap = true;
	queue->broken = false;
	return true;
}

bool virtqueue_chain_add(const struct virtqueue *queue, struct virtqueue_chain *chain, uint64_t addr, uint32_t len, bool write)
{
	unsigned count = chain->readable + chain->writable;
	uint8_t *bytes = queue->host->guest_ram(queue->host->ctx, addr, len);

	/* 2.7.4.2: all that the device reads comes before what it writes. */
	if (bytes == NULL || count >= queue->size || (!write && chain->writable != 0))
		return false;
	chain->segment[count] = (struct io_segment){ .bytes = bytes, .count = len };
	if (write) {
		chain->writable++;
		chain->writable_bytes += len;
	} else {
		chain->readable++;
		chain->readable_bytes += len;
	}
	return chain->readable_bytes + chain->writable_bytes <= CHAIN_BYTES_MAX;
}

enum virtqueue_result virtqueue_pop(struct virtqueue *queue, struct virtqueue_chain *chain)
{
	enum virtqueue_result result;

	if (!queue->enabled)
		return VIRTQUEUE_EMPTY;
	if (queue->broken)
		return VIRTQUEUE_BROKEN;
	chain->readable = chain->writable = 0;
	chain->readable_bytes = chain->writable_bytes = 0;
	result = queue->packed ? virtqueue_packed_pop(queue, chain) : virtqueue_split_pop(queue, chain);
	if (result == VIRTQUEUE_BROKEN)
		queue->broken = true;
	return result;
}

static void ring_push(struct virtqueue *queue, const struct virtqueue_buffer *buffer, const uint32_t *written, unsigned count)
{
	if (queue->packed)
		virtqueue_packed_push(queue, buffer, written, count);
	else
		virtqueue_split_push(queue, buffer, written, count);
}

void virtqueue_push_many(struct virtqueue *queue, const struct virtqueue_buffer *buffer, const uint32_t *written, unsigned count)
{
	if (!queue->enabled || queue->broken || count == 0 || count > VIRTQUEUE_PUSH_MAX)
		return;
	queue->given = virtqueue_used(queue);
	for (unsigned i = 0; i < count; i++) {
		queue->given_buffer[i] = buffer[i];
		queue->given_bytes[i] = written[i];
	}
	virtqueue_order();
	queue->giving = (uint16_t)count;
	virtqueue_order();
	ring_push(queue, buffer, written, count);
	virtqueue_order();
	queue->giving = 0;
	virtqueue_order();
}

void virtqueue_push(struct virtqueue *queue, struct virtqueue_buffer buffer, uint32_t written)
{
	virtqueue_push_many(queue, &buffer, &written, 1);
}

struct virtqueue_place virtqueue_mark(const struct virtqueue *queue)
{
	return (struct virtqueue_place){ queue->next_avail, queue->taken, queue->avail_wrap };
}

void virtqueue_rewind(struct virtqueue *queue, struct virtqueue_place place)
{
	queue->next_avail = place.next_avail;
	queue->taken = place.taken;
	queue->avail_wrap = place.avail_wrap;
}

struct virtqueue_used virtqueue_used(const struct virtqueue *queue)
{
	return (struct virtqueue_used){ queue->next_used, queue->taken, queue->used_wrap };
}

bool virtqueue_is_at(const struct virtqueue *queue, struct virtqueue_used used)
{
	return queue->next_used == used.next_used && (!queue->packed || queue->used_wrap == used.wrap);
}

static void take_places(struct virtqueue *queue, const struct virtqueue *old)
{
	queue->next_avail = old->next_avail;
	queue->avail_wrap = model_flag(&old->avail_wrap);
	queue->next_used = old->next_used;
	queue->used_wrap = model_flag(&old->used_wrap);
	queue->taken = old->taken;
}

bool virtqueue_could_hold(const struct virtqueue *queue, struct virtqueue_buffer buffer)
{
	return !queue->packed || (buffer.places != 0 && buffer.places <= queue->size);
}

bool virtqueue_is_sane(const struct virtqueue *queue)
{
	if (!queue->enabled)
		return true;
	if (!queue->packed)
		return (uint16_t)(queue->next_avail - queue->next_used) <= queue->size;
	return queue->next_avail < queue->size && queue->next_used < queue->size && queue->taken <= queue->size;
}

/* A push that was under way is brought to its end; false: it makes no sense. */
static bool settle_push(struct virtqueue *queue, const struct virtqueue *old)
{
	unsigned count = old->giving, places = 0;

	if (count == 0)
		return true;
	queue->next_used = old->given.next_used;
	queue->used_wrap = model_flag(&old->given.wrap);
	queue->taken = old->given.taken;
	for (unsigned i = 0; i < count && i < VIRTQUEUE_PUSH_MAX; i++) {
		if (!virtqueue_could_hold(queue, old->given_buffer[i]))
			return false;
		places += old->given_buffer[i].places;
	}
	if (count > VIRTQUEUE_PUSH_MAX || !virtqueue_is_sane(queue) || (queue->packed && places > queue->taken))
		return false;
	if (!(queue->packed ? virtqueue_packed_published(queue) : virtqueue_split_published(queue, count)))
		ring_push(queue, old->given_buffer, old->given_bytes, count);
	else if (queue->packed)
		virtqueue_packed_pass(queue, old->given_buffer, count);
	else
		queue->next_used = (uint16_t)(queue->next_used + count);
	return true;
}

bool virtqueue_adopt(struct virtqueue *queue, const struct virtqueue *old, bool in_order)
{
	if (!virtqueue_enable(queue))
		return false;
	take_places(queue, old);
	queue->broken = model_flag(&old->broken) || !settle_push(queue, old);
	if (in_order) {
		queue->next_avail = queue->next_used;
		queue->avail_wrap = queue->used_wrap;
		queue->taken = 0;
	}
	queue->broken |= !virtqueue_is_sane(queue);
	return !queue->broken;
}

bool virtqueue_should_signal(struct virtqueue *queue)
{
	bool wants;

	if (!queue->enabled || queue->broken || queue->unsaid == 0)
		return false;
	/* The driver publishes its wish, then looks at what is used; we do both the other way round. */
	__atomic_thread_fence(__ATOMIC_SEQ_CST);
	wants = queue->packed ? virtqueue_packed_should_signal(queue) : virtqueue_split_should_signal(queue);
	queue->unsaid = 0;
	return wants;
}

bool virtqueue_want_kicks(struct virtqueue *queue, bool want)
{
	if (!queue->enabled || queue->broken)
		return false;
	return queue->packed ? virtqueue_packed_want_kicks(queue, want) : virtqueue_split_want_kicks(queue, want);
}

size_t virtqueue_read(const struct virtqueue_chain *chain, uint64_t offset, void *to, size_t count)
{
	return io_segments_read(chain->segment, chain->readable, offset, to, count);
}

size_t virtqueue_write(const struct virtqueue_chain *chain, uint64_t offset, const void *from, size_t count)
{
	return io_segments_write(chain->segment + chain->readable, chain->writable, offset, from, count);
}
