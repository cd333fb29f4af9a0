/*
 * A virtio network card goes on where it stood in a driver VM that is gone. A frame that was being sent
 * counts as sent: whether it reached anybody is for those to find out who talk, as on any wire. Receive and
 * control queues hold nothing between calls.
 */
#include "drivers-vm/driver/virtio_net_private.h"

/* False: there is nothing to give back. */
static bool goes_on(struct virtio_net_frame *f)
{
	struct virtqueue *queue = &f->nic->device.queue[f->queue];

	if (!queue->enabled)
		return false; /* a reset was under way, and comes again */
	if (f->progress == VIRTIO_NET_TAKING)
		virtqueue_rewind(queue, f->place);
	return f->progress == VIRTIO_NET_ACTIVE || (f->progress == VIRTIO_NET_GIVING && virtqueue_is_at(queue, f->used));
}

/* False: it makes no sense. */
static bool copy(struct virtio_net_frame *f, const struct virtio_net_frame *old)
{
	struct virtio_net *nic = f->nic;

	if (old->queue >= nic->device.identity.queues || old->queue % 2 != 1 || old->progress > VIRTIO_NET_GIVING)
		return false;
	f->queue = old->queue;
	f->buffer = old->buffer;
	f->place = old->place;
	f->place.avail_wrap = model_flag(&old->place.avail_wrap);
	f->used = old->used;
	f->used.wrap = model_flag(&old->used.wrap);
	f->progress = old->progress;
	f->orphan = false;
	return f->progress == VIRTIO_NET_TAKING || virtqueue_could_hold(&nic->device.queue[f->queue], f->buffer);
}

static uint32_t in_order_queues(const struct virtio_net *nic)
{
	uint32_t transmit = 0;

	for (unsigned i = 0; i < nic->pairs; i++)
		transmit |= 2u << 2 * i;
	return ~transmit;
}

void virtio_net_adopt(struct virtio_net *nic, const struct virtio_net *old, const struct virtio_net_frame *old_frame)
{
	virtio_pci_adopt(&nic->device, &old->device, in_order_queues(nic));
	nic->active_pairs = old->active_pairs >= 1 && old->active_pairs <= nic->pairs ? old->active_pairs : 1;
	nic->free = NULL;
	for (unsigned i = 0; i < nic->frames; i++) {
		struct virtio_net_frame *f = &nic->all[i];
		bool used = old_frame[i].progress != VIRTIO_NET_FREE && !model_flag(&old_frame[i].orphan);

		if (used && !copy(f, &old_frame[i])) {
			virtio_pci_refuse(&nic->device);
			used = false;
		}
		if (!used || !goes_on(f))
			virtio_net_free(f);
	}
	for (unsigned i = 0; i < nic->device.identity.queues; i++)
		if (!virtqueue_is_sane(&nic->device.queue[i]))
			virtio_pci_refuse(&nic->device);
}

void virtio_net_resume(struct virtio_net *nic)
{
	bool works = !(nic->device.status & VIRTIO_STATUS_NEEDS_RESET);

	for (unsigned i = 0; i < nic->frames; i++) {
		struct virtio_net_frame *f = &nic->all[i];

		if (f->progress == VIRTIO_NET_FREE)
			continue;
		if (works)
			virtio_net_give(f);
		virtio_net_free(f);
	}
	virtio_pci_resume(&nic->device);
}
