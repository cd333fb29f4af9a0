/*
 * From a frame of the switch to buffers of the guest's: all of it, or it is dropped. What one frame needs for a moment is static, as in
 * virtio_net_send.c.
 */
#include "drivers-vm/driver/virtio_net_private.h"

static struct virtio_net *nic_of_port(struct net_port *port)
{
	return (struct virtio_net *)((uint8_t *)port - offsetof(struct virtio_net, port));
}

static struct virtio_net_header header_of(const struct net_frame *frame)
{
	struct virtio_net_header header = { .buffers = 1 };

	if (frame->csum_partial) {
		header.flags = VIRTIO_NET_HDR_F_NEEDS_CSUM;
		header.csum_start = frame->csum_start;
		header.csum_offset = frame->csum_offset;
	}
	if (frame->gso != NET_GSO_NONE) {
		header.gso_type = frame->gso;
		header.gso_bytes = frame->gso_bytes;
		header.header_bytes = (uint16_t)(frame->csum_start + (frame->segment[0].bytes[frame->csum_start + 12] >> 4) * 4u);
	}
	return header;
}

/* Where in a frame's data the copy stands. */
struct reading {
	const struct net_frame *frame;
	unsigned index;
	uint32_t offset;
};

/* Copies what is left of the frame behind `at` bytes of the chain's writable part, as far as it goes; returns
 * how much. */
static uint32_t chain_fill(const struct virtqueue_chain *chain, uint64_t at, struct reading *r)
{
	uint32_t copied = 0;

	while (r->index < r->frame->segments) {
		const struct io_segment *s = &r->frame->segment[r->index];
		size_t part = virtqueue_write(chain, at + copied, s->bytes + r->offset, s->count - r->offset);
		copied += (uint32_t)part;
		r->offset += (uint32_t)part;
		if (r->offset < s->count)
			break;
		r->index++;
		r->offset = 0;
	}
	return copied;
}

/* Puts the frame into buffers of the queue; false: there are not enough, and none is used. */
static bool place(struct virtio_net *nic, unsigned queue, const struct net_frame *frame)
{
	static struct io_segment first_segment[VIRTIO_NET_QUEUE_SIZE], more_segment[VIRTIO_NET_QUEUE_SIZE];
	static struct virtqueue_buffer buffer[VIRTIO_NET_BUFFERS];
	static uint32_t written[VIRTIO_NET_BUFFERS];
	struct virtqueue_chain first = { .segment = first_segment }, more = { .segment = more_segment };
	struct virtqueue *q = &nic->device.queue[queue];
	const struct virtqueue_place mark = virtqueue_mark(q);
	struct virtio_net_header header = header_of(frame);
	struct reading reading = { .frame = frame };
	unsigned buffers = 1;

	if (!virtio_pci_pop(&nic->device, queue, &first))
		return false;
	buffer[0] = first.buffer;
	written[0] = (uint32_t)virtqueue_write(&first, 0, &header, sizeof(header));
	if (written[0] == sizeof(header))
		written[0] += chain_fill(&first, sizeof(header), &reading);
	while (written[0] >= sizeof(header) && reading.index < frame->segments) {
		if (buffers == VIRTIO_NET_BUFFERS || !virtio_net_has(nic, VIRTIO_NET_F_MRG_RXBUF) ||
		    !virtio_pci_pop(&nic->device, queue, &more))
			break;
		buffer[buffers] = more.buffer;
		written[buffers++] = chain_fill(&more, 0, &reading);
	}
	if (reading.index < frame->segments) {
		virtqueue_rewind(q, mark);
		return false;
	}
	header.buffers = (uint16_t)buffers;
	virtqueue_write(&first, VIRTIO_NET_HEADER_BUFFERS, &header.buffers, sizeof(header.buffers));
	virtqueue_push_many(q, buffer, written, buffers);
	nic->filled |= 1u << queue;
	return true;
}

uint32_t virtio_net_offloads(const struct virtio_net *nic)
{
	return (virtio_net_has(nic, VIRTIO_NET_F_GUEST_CSUM) ? NET_CAN_CSUM : 0) |
	       (virtio_net_has(nic, VIRTIO_NET_F_GUEST_TSO4) ? NET_CAN_TCP4 : 0) |
	       (virtio_net_has(nic, VIRTIO_NET_F_GUEST_TSO6) ? NET_CAN_TCP6 : 0);
}

void virtio_net_receive(struct net_port *port, struct net_frame *frame)
{
	struct virtio_net *nic = nic_of_port(port);
	const struct model_host *host = nic->device.host;

	if (host->enter != NULL)
		host->enter(host->ctx);
	if (!virtio_pci_is_live(&nic->device) || !place(nic, 2 * net_frame_flow(frame, nic->active_pairs), frame))
		port->counts.dropped++;
	if (host->leave != NULL)
		host->leave(host->ctx);
}

void virtio_net_flush(struct net_port *port)
{
	struct virtio_net *nic = nic_of_port(port);
	const struct model_host *host = nic->device.host;

	if (host->enter != NULL)
		host->enter(host->ctx);
	for (unsigned i = 0; i < nic->pairs; i++)
		if (nic->filled & 1u << 2 * i)
			virtio_pci_signal(&nic->device, 2 * i);
	nic->filled = 0;
	if (host->leave != NULL)
		host->leave(host->ctx);
}
