/*
 * From a buffer of the guest's to a frame for the switch, and back when all who got it have done with it. All of it runs on the driver
 * VM's vCPU 0, one frame at a time: what one frame needs for a moment is static, because the stack is small.
 */
#include "drivers-vm/driver/virtio_net_private.h"

#include <assert.h>
#include <string.h>

#define HEADER_BYTES sizeof(struct virtio_net_header)

static_assert(offsetof(struct virtio_net_frame, frame) == 0, "a frame is found by the switch's part");

static void set_progress(struct virtio_net_frame *f, enum virtio_net_progress progress)
{
	virtqueue_order();
	f->progress = (uint8_t)progress;
	virtqueue_order();
}

void virtio_net_give(struct virtio_net_frame *f)
{
	struct virtqueue *queue = &f->nic->device.queue[f->queue];

	f->used = virtqueue_used(queue);
	set_progress(f, VIRTIO_NET_GIVING);
	virtqueue_push(queue, f->buffer, 0);
}

void virtio_net_free(struct virtio_net_frame *f)
{
	set_progress(f, VIRTIO_NET_FREE);
	f->next = f->nic->free;
	f->nic->free = f;
}

/* The one timer serves the limit, the rest of a slice, and frames that were sent and not told: the earliest counts. */
static void timer_arm(struct virtio_net *nic, uint64_t at_ns)
{
	const struct model_host *host = nic->device.host;

	if (nic->timer_ns != 0 && nic->timer_ns <= at_ns)
		return;
	nic->timer_ns = at_ns;
	host->timer_arm(host->ctx, nic->timer, at_ns);
}

static void tell_sent(struct virtio_net *nic)
{
	for (unsigned i = 0; i < nic->pairs; i++)
		virtio_pci_signal(&nic->device, 2 * i + 1);
	nic->untold_frames = nic->untold_bytes = 0;
	nic->tell_ns = 0;
}

/*
 * That a frame was sent is no news: the driver only frees its memory then, and does so too when it receives a frame. So it is not
 * interrupted until so much has come together that it may need it, or for VIRTIO_NET_HOLD_NS.
 */
static void hold_sent(struct virtio_net *nic, unsigned queue)
{
	unsigned room = nic->device.queue[queue].size / 4u;
	uint64_t now;

	if (nic->untold_frames == 0)
		return;
	if (nic->untold_frames >= VIRTIO_NET_HOLD_FRAMES || nic->untold_frames >= room || nic->untold_bytes >= VIRTIO_NET_HOLD_BYTES) {
		tell_sent(nic);
		return;
	}
	if (nic->tell_ns != 0)
		return;
	now = model_now(nic->device.host);
	nic->tell_ns = now + VIRTIO_NET_HOLD_NS;
	timer_arm(nic, nic->tell_ns);
}

static void transmit_all(struct virtio_net *nic)
{
	for (unsigned i = 0; i < nic->pairs; i++)
		virtio_pci_notify(&nic->device, 2 * i + 1);
}

static void done(struct net_frame *frame)
{
	struct virtio_net_frame *f = (struct virtio_net_frame *)frame;
	struct virtio_net *nic = f->nic;
	const struct model_host *host = nic->device.host;

	if (host->enter != NULL)
		host->enter(host->ctx);
	nic->pending--;
	if (!f->orphan) {
		virtio_net_give(f);
		nic->untold_frames++;
		nic->untold_bytes += f->frame.bytes;
	}
	virtio_net_free(f);
	if (!nic->transmitting) {
		if (!f->orphan)
			hold_sent(nic, f->queue);
		if (nic->pending == 0)
			virtio_pci_idle(&nic->device);
		if (nic->starved) {
			nic->starved = false;
			transmit_all(nic);
		}
	}
	if (host->leave != NULL)
		host->leave(host->ctx);
}

/* The frame behind the header, its own head first; false: it is none that can be sent. */
static bool frame_fill(struct virtio_net_frame *f, struct virtqueue_chain *chain, const struct virtio_net_header *header)
{
	struct io_segment *rest = chain->segment;
	unsigned rests = chain->readable;
	uint32_t bytes = (uint32_t)(chain->readable_bytes - HEADER_BYTES);
	uint32_t head = bytes < NET_HEAD_BYTES ? bytes : NET_HEAD_BYTES;
	/* A segment that is to be cut may be large; all others fit the medium. */
	uint32_t most = header->gso_type != NET_GSO_NONE ? NET_FRAME_BYTES_MAX : f->nic->mtu + NET_HEADER_BYTES + NET_TAG_BYTES;

	if (bytes < NET_HEADER_BYTES || bytes > most)
		return false;
	virtqueue_read(chain, HEADER_BYTES, f->head, head);
	io_segments_skip(&rest, &rests, HEADER_BYTES + head);
	if (rests + 1 > NET_SEGMENTS_MAX)
		return false;
	f->segment[0] = (struct io_segment){ f->head, head };
	memcpy(f->segment + 1, rest, rests * sizeof(*rest));
	f->frame = (struct net_frame){
		.segment = f->segment,
		.segments = rests + 1,
		.bytes = bytes,
		.csum_partial = header->flags & VIRTIO_NET_HDR_F_NEEDS_CSUM,
		.gso = header->gso_type,
		.gso_bytes = header->gso_bytes,
		.csum_start = header->csum_start,
		.csum_offset = header->csum_offset,
		.references = 1,
		.done = done,
	};
	return true;
}

/* What was not offered is not done. */
static bool is_negotiated(const struct virtio_net *nic, const struct virtio_net_header *header)
{
	if ((header->flags & VIRTIO_NET_HDR_F_NEEDS_CSUM) && !virtio_net_has(nic, VIRTIO_NET_F_CSUM))
		return false;
	switch (header->gso_type) {
	case NET_GSO_NONE:
		return true;
	case NET_GSO_TCP4:
		return virtio_net_has(nic, VIRTIO_NET_F_HOST_TSO4);
	case NET_GSO_TCP6:
		return virtio_net_has(nic, VIRTIO_NET_F_HOST_TSO6);
	default:
		return false;
	}
}

static void send(struct virtio_net_frame *f, struct virtqueue_chain *chain)
{
	struct virtio_net *nic = f->nic;
	struct virtio_net_header header;

	nic->pending++;
	f->frame.bytes = 0;
	if (virtqueue_read(chain, 0, &header, sizeof(header)) != sizeof(header) || !is_negotiated(nic, &header) ||
	    !frame_fill(f, chain, &header)) {
		nic->port.counts.refused++;
		done(&f->frame);
		return;
	}
	token_bucket_take(&nic->bytes, f->frame.bytes);
	net_switch_forward(nic->net, &nic->port, &f->frame, model_now(nic->device.host));
	net_frame_release(&f->frame);
}

/* False: there is no buffer, no room, or the limit holds it up. */
static bool send_one(struct virtio_net *nic, unsigned queue)
{
	static struct io_segment segment[VIRTIO_NET_QUEUE_SIZE];
	const struct model_host *host = nic->device.host;
	struct virtqueue_chain chain = { .segment = segment };
	struct virtio_net_frame *f = nic->free;
	uint64_t wait = nic->bytes.per_second != 0 ? token_bucket_wait(&nic->bytes, model_now(host)) : 0;

	if (wait != 0) {
		timer_arm(nic, wait);
		return false;
	}
	if (f == NULL) {
		nic->starved = true;
		return false;
	}
	f->orphan = false;
	f->queue = (uint16_t)queue;
	f->place = virtqueue_mark(&nic->device.queue[queue]);
	set_progress(f, VIRTIO_NET_TAKING);
	if (!virtio_pci_take(&nic->device, queue, &chain)) {
		set_progress(f, VIRTIO_NET_FREE);
		return false;
	}
	nic->free = f->next;
	f->buffer = chain.buffer;
	set_progress(f, VIRTIO_NET_ACTIVE);
	send(f, &chain);
	return true;
}

void virtio_net_transmit(struct virtio_net *nic, unsigned queue)
{
	const struct model_host *host = nic->device.host;
	unsigned sent = 0;

	nic->transmitting = true;
	while (sent < VIRTIO_NET_SLICE && send_one(nic, queue))
		sent++;
	nic->transmitting = false;
	hold_sent(nic, queue);
	net_switch_flush(nic->net);
	if (sent == VIRTIO_NET_SLICE)
		timer_arm(nic, model_now(host));
}

void virtio_net_timer(struct virtio_net *nic)
{
	nic->timer_ns = 0;
	if (nic->tell_ns != 0 && model_now(nic->device.host) >= nic->tell_ns)
		tell_sent(nic);
	else if (nic->tell_ns != 0)
		timer_arm(nic, nic->tell_ns);
	transmit_all(nic);
}
