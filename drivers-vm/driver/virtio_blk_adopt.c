/*
 * A virtio disk goes on where it stood in a driver VM that is gone. Requests that were under way are begun
 * again: reading, writing, zeroing twice is as good as once. They say in their own words what is to be done,
 * because the guest's descriptors may be gone: a packed ring's entries are overwritten by other buffers that
 * come back first.
 */
#include "drivers-vm/driver/virtio_blk.h"

#include "drivers-vm/lib/platform.h"

/* Whether the guest's own RAM is all of [bytes, bytes + count). */
static bool is_ram(const struct model_host *host, const uint8_t *bytes, uint64_t count)
{
	static const uint64_t bases[] = { 0, PLATFORM_HIGH_RAM_BASE };

	for (unsigned i = 0; i < sizeof(bases) / sizeof(bases[0]); i++) {
		const uint8_t *base = host->guest_ram(host->ctx, bases[i], 1);
		uint64_t offset = (uint64_t)(uintptr_t)bytes - (uint64_t)(uintptr_t)base;
		if (base != NULL && offset <= UINT64_MAX - bases[i] && host->guest_ram(host->ctx, bases[i] + offset, count) == bytes)
			return true;
	}
	return false;
}

static bool copy_segments(struct virtio_blk_request *r, const struct virtio_blk_request *old)
{
	const struct model_host *host = r->disk->device.host;
	/* Where in the array its data begin. */
	uint64_t first = ((uint64_t)(uintptr_t)old->request.segment - (uint64_t)(uintptr_t)old->segment) / sizeof(old->segment[0]);
	unsigned count = old->request.segments;

	r->request.segment = r->segment;
	r->request.segments = count;
	if (count > VIRTIO_BLK_QUEUE_SIZE || first > VIRTIO_BLK_QUEUE_SIZE - count)
		return false;
	for (unsigned i = 0; i < count; i++) {
		r->segment[i] = old->segment[first + i];
		if (!is_ram(host, r->segment[i].bytes, r->segment[i].count))
			return false;
	}
	return true;
}

static bool copy(struct virtio_blk_request *r, const struct virtio_blk_request *old)
{
	unsigned operation = (unsigned)old->request.operation;
	const struct virtqueue *queue = &r->disk->device.queue[old->queue];
	bool moves = operation == BLK_READ || operation == BLK_WRITE;

	r->buffer = old->buffer;
	r->queue = old->queue;
	r->used = old->used;
	r->used.wrap = model_flag(&old->used.wrap);
	r->place = old->place;
	r->place.avail_wrap = model_flag(&old->place.avail_wrap);
	r->answer = old->answer;
	r->written = old->written;
	r->status = old->status;
	r->progress = old->progress;
	r->orphan = false;
	r->request.operation = (enum blk_operation)operation;
	r->request.sector = old->request.sector;
	r->request.sectors = old->request.sectors;
	r->request.segments = 0;
	if (operation == BLK_FLUSH)
		r->request.sector = r->request.sectors = 0; /* a write that had become one */
	if (r->progress > VIRTIO_BLK_GIVING || (r->progress != VIRTIO_BLK_TAKING && !virtqueue_could_hold(queue, r->buffer)))
		return false;
	if (r->progress != VIRTIO_BLK_ACTIVE)
		return true;
	return operation <= BLK_WRITE_ZEROES && is_ram(r->disk->device.host, r->status, 1) && (!moves || copy_segments(r, old));
}

/* False: it is over, one way or the other. */
static bool goes_on(struct virtio_blk_request *r)
{
	struct virtqueue *queue = &r->disk->device.queue[r->queue];

	if (!queue->enabled)
		return false; /* a reset was under way, and comes again */
	if (r->progress == VIRTIO_BLK_TAKING)
		virtqueue_rewind(queue, r->place);
	return r->progress == VIRTIO_BLK_ACTIVE || (r->progress == VIRTIO_BLK_GIVING && virtqueue_is_at(queue, r->used));
}

void virtio_blk_adopt(struct virtio_blk *disk, const struct virtio_blk *old, const struct virtio_blk_request *old_request)
{
	virtio_pci_adopt(&disk->device, &old->device, 0);
	disk->free = NULL;
	for (unsigned i = 0; i < disk->requests; i++) {
		struct virtio_blk_request *r = &disk->all[i];
		const struct virtio_blk_request *from = &old_request[i];
		bool used = from->progress != VIRTIO_BLK_FREE && !model_flag(&from->orphan);

		if (used && (from->queue >= disk->device.identity.queues || !copy(r, from))) {
			virtio_pci_refuse(&disk->device);
			used = false;
		}
		if (!used || !goes_on(r))
			virtio_blk_free(r);
	}
	for (unsigned i = 0; i < disk->device.identity.queues; i++)
		if (!virtqueue_is_sane(&disk->device.queue[i]))
			virtio_pci_refuse(&disk->device);
}

void virtio_blk_resume(struct virtio_blk *disk)
{
	bool works = !(disk->device.status & VIRTIO_STATUS_NEEDS_RESET);

	for (unsigned i = 0; i < disk->requests; i++) {
		struct virtio_blk_request *r = &disk->all[i];

		if (r->progress != VIRTIO_BLK_FREE && !works) {
			virtio_blk_free(r);
		} else if (r->progress == VIRTIO_BLK_ACTIVE) {
			virtio_blk_submit(r);
		} else if (r->progress == VIRTIO_BLK_GIVING) {
			virtio_blk_give(r);
			virtio_blk_free(r);
		}
	}
	virtio_pci_resume(&disk->device);
}
