/*
 * From a buffer to a frame and back. All of it runs on the driver VM's vCPU 0, one frame at a time: what one
 * frame needs for a moment is static, because the stack is small.
 */
#include "drivers-vm/driver/virtio_net.h"

#include <assert.h>
#include <string.h>

static_assert(offsetof(struct virtio_net, device) == 0, "a device is found in its card");
static_assert(offsetof(struct virtio_net_frame, frame) == 0, "a frame is found by the switch's part");

#define HEADER_BYTES sizeof(struct virtio_net_header)

static struct virtio_net *nic_of(struct virtio_pci *device)
{
	return (struct virtio_net *)device;
}

static struct virtio_net *nic_of_port(struct net_port *port)
{
	return (struct virtio_net *)((uint8_t *)port - offsetof(struct virtio_net, port));
}

static bool has(const struct virtio_net *nic, uint64_t feature)
{
	return nic->device.negotiated & feature;
}

/* 5.1.2: behind all pairs if the driver knows of more than one. */
static unsigned control_queue(const struct virtio_net *nic)
{
	return has(nic, VIRTIO_NET_F_MQ) ? 2 * nic->pairs : 2;
}

/* ---- From the guest ---- */

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
	if ((header->flags & VIRTIO_NET_HDR_F_NEEDS_CSUM) && !has(nic, VIRTIO_NET_F_CSUM))
		return false;
	switch (header->gso_type) {
	case NET_GSO_NONE:
		return true;
	case NET_GSO_TCP4:
		return has(nic, VIRTIO_NET_F_HOST_TSO4);
	case NET_GSO_TCP6:
		return has(nic, VIRTIO_NET_F_HOST_TSO6);
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

static void transmit(struct virtio_net *nic, unsigned queue)
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

/* ---- To the guest ---- */

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
		if (buffers == VIRTIO_NET_BUFFERS || !has(nic, VIRTIO_NET_F_MRG_RXBUF) || !virtio_pci_pop(&nic->device, queue, &more))
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

static uint32_t offloads(const struct virtio_net *nic)
{
	return (has(nic, VIRTIO_NET_F_GUEST_CSUM) ? NET_CAN_CSUM : 0) | (has(nic, VIRTIO_NET_F_GUEST_TSO4) ? NET_CAN_TCP4 : 0) |
	       (has(nic, VIRTIO_NET_F_GUEST_TSO6) ? NET_CAN_TCP6 : 0);
}

static void receive(struct net_port *port, struct net_frame *frame)
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

static void flush(struct net_port *port)
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

/* ---- Control ---- */

static uint8_t command(struct virtio_net *nic, const struct virtqueue_chain *chain)
{
	uint8_t bytes[4];
	unsigned pairs;

	if (virtqueue_read(chain, 0, bytes, sizeof(bytes)) != sizeof(bytes) || bytes[0] != VIRTIO_NET_CTRL_MQ ||
	    bytes[1] != VIRTIO_NET_CTRL_MQ_VQ_PAIRS_SET)
		return VIRTIO_NET_ERR;
	pairs = bytes[2] | bytes[3] << 8;
	if (pairs == 0 || pairs > nic->pairs)
		return VIRTIO_NET_ERR;
	nic->active_pairs = pairs;
	return VIRTIO_NET_OK;
}

static void control(struct virtio_net *nic, unsigned queue)
{
	static struct io_segment segment[VIRTIO_NET_QUEUE_SIZE];
	struct virtqueue_chain chain = { .segment = segment };

	for (unsigned i = 0; i < VIRTIO_NET_SLICE && virtio_pci_take(&nic->device, queue, &chain); i++) {
		uint8_t answer = command(nic, &chain);
		virtqueue_push(&nic->device.queue[queue], chain.buffer, (uint32_t)virtqueue_write(&chain, 0, &answer, sizeof(answer)));
	}
	virtio_pci_signal(&nic->device, queue);
}

/* ---- The device ---- */

static void queue_notify(struct virtio_pci *device, unsigned queue)
{
	struct virtio_net *nic = nic_of(device);

	nic->port.can = offloads(nic);
	if (queue == control_queue(nic))
		control(nic, queue);
	else if (queue % 2 == 1)
		transmit(nic, queue);
	else /* a frame that finds no buffer is dropped: nobody waits for one */
		virtqueue_want_kicks(&device->queue[queue], false);
}

static uint32_t config_read(struct virtio_pci *device, uint32_t offset, unsigned size)
{
	return virtio_config_get(nic_of(device)->config, offset, size);
}

static void config_write(struct virtio_pci *device, uint32_t offset, unsigned size, uint32_t value)
{
	(void)device;
	(void)offset;
	(void)size;
	(void)value; /* the address can be read only: 5.1.4 */
}

static bool busy(struct virtio_pci *device)
{
	return virtio_net_is_busy(nic_of(device));
}

static void reset(struct virtio_pci *device)
{
	struct virtio_net *nic = nic_of(device);

	for (unsigned i = 0; i < nic->frames; i++)
		nic->all[i].orphan = true;
	nic->starved = false;
	nic->active_pairs = 1;
	nic->filled = 0;
	nic->port.can = 0;
	nic->untold_frames = nic->untold_bytes = 0;
	nic->tell_ns = nic->timer_ns = 0;
	device->host->timer_arm(device->host->ctx, nic->timer, 0);
}

void virtio_net_set_link(struct virtio_net *nic, bool up)
{
	uint8_t status = up ? VIRTIO_NET_S_LINK_UP : 0;

	if (nic->config[VIRTIO_NET_STATUS] == status)
		return;
	nic->config[VIRTIO_NET_STATUS] = status;
	virtio_pci_config_changed(&nic->device);
}

static void frames_init(struct virtio_net *nic, const struct virtio_net_config *config)
{
	nic->all = config->frame;
	nic->frames = config->frames;
	nic->free = NULL;
	for (unsigned i = 0; i < nic->frames; i++) {
		memset(&nic->all[i], 0, sizeof(nic->all[i]));
		nic->all[i].nic = nic;
		virtio_net_free(&nic->all[i]);
	}
}

static void config_fill(struct virtio_net *nic)
{
	memset(nic->config, 0, sizeof(nic->config));
	memcpy(nic->config + VIRTIO_NET_MAC, nic->port.policy.mac, NET_MAC_BYTES);
	nic->config[VIRTIO_NET_STATUS] = VIRTIO_NET_S_LINK_UP;
	nic->config[VIRTIO_NET_MAX_PAIRS] = (uint8_t)nic->pairs;
	nic->config[VIRTIO_NET_MTU] = (uint8_t)nic->mtu;
	nic->config[VIRTIO_NET_MTU + 1] = (uint8_t)(nic->mtu >> 8);
}

void virtio_net_init(struct virtio_net *nic, const struct model_host *host, const struct virtio_net_config *config, unsigned timer)
{
	static const struct virtio_device_ops ops = {
		.config_read = config_read,
		.config_write = config_write,
		.queue_notify = queue_notify,
		.reset = reset,
		.busy = busy,
	};
	static const struct net_port_ops port_ops = { .receive = receive, .flush = flush };
	const struct virtio_identity identity = {
		.type = VIRTIO_NET_TYPE,
		.class_code = VIRTIO_NET_CLASS,
		.features = VIRTIO_NET_F_MTU | VIRTIO_NET_F_MAC | VIRTIO_NET_F_MRG_RXBUF | VIRTIO_NET_F_STATUS |
		            (config->plain ? 0 : VIRTIO_NET_F_OFFLOADS) | (config->pairs > 1 ? VIRTIO_NET_F_CTRL_VQ | VIRTIO_NET_F_MQ : 0),
		.config_bytes = VIRTIO_NET_CONFIG_BYTES,
		.queues = config->pairs > 1 ? 2 * config->pairs + 1 : 2,
		.queue_size = VIRTIO_NET_QUEUE_SIZE,
		.packed = config->packed,
	};

	assert(config->pairs >= 1 && config->pairs <= VIRTIO_NET_PAIRS_MAX && config->frames != 0);
	memset(&nic->port, 0, sizeof(nic->port));
	nic->port.ops = &port_ops;
	nic->port.policy = config->policy;
	nic->net = config->net;
	nic->timer = timer;
	nic->pairs = config->pairs;
	nic->mtu = config->mtu;
	nic->pending = 0;
	nic->transmitting = false;
	token_bucket_init(&nic->bytes, config->bytes_per_second, model_now(host));
	frames_init(nic, config);
	virtio_pci_init(&nic->device, host, &identity, &ops);
	config_fill(nic);
}
