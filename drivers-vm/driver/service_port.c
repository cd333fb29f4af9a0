/* The card: one frame at a time is copied out of the area, or into it, whole. See service_port.h. */
#include "drivers-vm/driver/service_port.h"

#include <string.h>

#define HEADER_BYTES PORT_AREA_FRAME_HEADER_BYTES
#define HEADER_COUNT 10u        /* in it: buffers that the frame is in; 5.1.6.4 */
#define NO_GUEST     UINT32_MAX /* a tenant that no card of a guest has */

static void *area_at(void *ctx, uint64_t offset, uint64_t bytes)
{
	const struct service_port *p = ctx;

	return offset <= PORT_AREA_BYTES && bytes <= PORT_AREA_BYTES - offset ? p->area + offset : NULL;
}

void service_port_init(struct service_port *p, uint8_t *area, void (*signal)(void), uint64_t (*now_ns)(void))
{
	memset(p, 0, sizeof(*p));
	p->area = area;
	p->signal = signal;
	p->now_ns = now_ns;
	p->host = (struct model_host){ .ctx = p, .guest_ram = area_at };
}

static void make_queue(struct service_port *p, struct virtqueue *queue, enum port_area_queue which, uint16_t size)
{
	virtqueue_init(queue, &p->host, size);
	queue->desc_gpa = PORT_AREA_RINGS(which) + PORT_AREA_DESC;
	queue->driver_gpa = PORT_AREA_RINGS(which) + PORT_AREA_AVAIL;
	queue->device_gpa = PORT_AREA_RINGS(which) + PORT_AREA_USED;
	virtqueue_enable(queue);
}

static void tell(struct service_port *p, struct virtqueue *queue)
{
	if (virtqueue_should_signal(queue))
		p->signal();
}

/* ---- The card ---- */

static struct service_port *port_of(struct net_port *port)
{
	return (struct service_port *)((char *)port - offsetof(struct service_port, port));
}

/* Nothing passes between the control VM and the gateway of guests that share the uplink's address. */
static bool is_gateway(const struct service_port *p, const uint8_t *mac)
{
	return memcmp(mac, p->uplink, NET_MAC_BYTES) == 0;
}

/* The frame behind its header; false: the buffer is too small. */
static bool fill(const struct virtqueue_chain *chain, const struct net_frame *frame)
{
	uint8_t header[HEADER_BYTES] = { [HEADER_COUNT] = 1 };
	uint64_t at = sizeof(header);

	if (chain->writable_bytes < at + frame->bytes)
		return false;
	virtqueue_write(chain, 0, header, sizeof(header));
	for (unsigned i = 0; i < frame->segments; i++)
		at += virtqueue_write(chain, at, frame->segment[i].bytes, frame->segment[i].count);
	return true;
}

static void receive(struct net_port *port, struct net_frame *frame)
{
	static struct io_segment segment[VIRTQUEUE_SEGMENTS_MAX];
	struct service_port *p = port_of(port);
	struct virtqueue_chain chain = { .segment = segment };

	if (is_gateway(p, frame->segment[0].bytes + NET_MAC_BYTES))
		return;
	if (frame->bytes > PORT_AREA_FRAME_BYTES_MAX || virtqueue_pop(&p->receive, &chain) != VIRTQUEUE_CHAIN) {
		port->counts.dropped++;
		return;
	}
	uint32_t written = fill(&chain, frame) ? HEADER_BYTES + frame->bytes : 0;
	virtqueue_push(&p->receive, chain.buffer, written);
	p->filled = true;
}

static void flush(struct net_port *port)
{
	struct service_port *p = port_of(port);

	if (p->filled)
		tell(p, &p->receive);
	p->filled = false;
}

static void make_card_queues(struct service_port *p)
{
	make_queue(p, &p->receive, PORT_AREA_RECEIVE, PORT_AREA_NET_ENTRIES);
	make_queue(p, &p->transmit, PORT_AREA_TRANSMIT, PORT_AREA_NET_ENTRIES);
	virtqueue_want_kicks(&p->receive, false); /* a frame without a buffer is dropped: nobody waits for one */
}

bool service_port_join(struct service_port *p, struct net_switch *net, const struct net_policy *uplink, const uint8_t mac[NET_MAC_BYTES])
{
	static const struct net_port_ops ops = { .receive = receive, .flush = flush };

	p->port.ops = &ops;
	p->port.policy = (struct net_policy){ .bridge = uplink->bridge, .vlan = uplink->vlan, .tenant = NO_GUEST };
	memcpy(p->uplink, mac, NET_MAC_BYTES);
	memcpy(p->port.policy.mac, mac, NET_MAC_BYTES);
	/* Locally administered, and another one than the card's also if that is locally administered. */
	p->port.policy.mac[0] = (uint8_t)((mac[0] ^ 0x20) | 0x02);
	make_card_queues(p);
	p->net = net_switch_add(net, &p->port) ? net : NULL;
	return p->net != NULL;
}

static void send(struct service_port *p, const struct virtqueue_chain *chain)
{
	static uint8_t bytes[PORT_AREA_FRAME_BYTES_MAX];
	struct io_segment segment = { .bytes = bytes };
	struct net_frame frame = { .segment = &segment, .segments = 1 };

	if (chain->readable_bytes < HEADER_BYTES + PORT_AREA_FRAME_BYTES_MIN || chain->readable_bytes > HEADER_BYTES + sizeof(bytes)) {
		p->port.counts.refused++;
		return;
	}
	frame.bytes = (uint32_t)chain->readable_bytes - HEADER_BYTES;
	segment.count = (uint32_t)virtqueue_read(chain, HEADER_BYTES, bytes, frame.bytes);
	if (!is_gateway(p, bytes))
		net_switch_forward(p->net, &p->port, &frame, p->now_ns());
}

bool service_port_send(struct service_port *p)
{
	static struct io_segment segment[VIRTQUEUE_SEGMENTS_MAX];
	struct virtqueue_chain chain = { .segment = segment };
	unsigned sent = 0;

	if (p->net == NULL)
		return false;
	for (; sent < SERVICE_PORT_SLICE && virtqueue_pop(&p->transmit, &chain) == VIRTQUEUE_CHAIN; sent++) {
		send(p, &chain);
		virtqueue_push(&p->transmit, chain.buffer, 0);
	}
	if (sent == 0)
		return false;
	tell(p, &p->transmit);
	net_switch_flush(p->net);
	return sent == SERVICE_PORT_SLICE;
}

/* ---- The disk ---- */

#define STATUS_IO_ERROR 1u /* VIRTIO_BLK_S_IOERR */

static void finish(struct service_port *p, enum blk_status status)
{
	p->busy = false;
	if (p->stale) {
		p->stale = false;
		return;
	}
	*(volatile uint8_t *)p->status = status == BLK_OK ? PORT_AREA_DISK_OK : STATUS_IO_ERROR;
	virtqueue_push(&p->requests, p->buffer, p->written + 1);
	tell(p, &p->requests);
}

static void done(struct blk_request *request, enum blk_status status)
{
	struct service_port *p = (struct service_port *)((char *)request - offsetof(struct service_port, request));

	finish(p, status);
	service_port_run_disk(p);
}

/* What the chain asks for, as a request; false: nothing that could be done. */
static bool read_request(struct service_port *p, const struct virtqueue_chain *chain)
{
	uint64_t header[2] = { 0 };
	const struct io_segment *data = &chain->segment[1];

	virtqueue_read(chain, 0, header, sizeof(header));
	p->written = 0;
	p->request = (struct blk_request){ .sector = header[1], .segment = &p->data, .segments = 1, .done = done };
	p->data = *data;
	switch ((uint32_t)header[0]) {
	case PORT_AREA_DISK_FLUSH:
		p->request.operation = BLK_FLUSH;
		p->request.segments = 0;
		p->request.sector = 0;
		return chain->readable == 1 && chain->writable == 1;
	case PORT_AREA_DISK_READ:
		p->request.operation = BLK_READ;
		p->written = data->count;
		break;
	case PORT_AREA_DISK_WRITE:
		p->request.operation = BLK_WRITE;
		break;
	default:
		return false;
	}
	p->request.sectors = data->count / BLK_SECTOR_BYTES;
	return chain->readable + chain->writable == 3 && chain->readable == (p->request.operation == BLK_WRITE ? 2u : 1u);
}

/* A chain with its status byte's place, which is the last one that is written; false: it has none. */
static bool take_request(struct service_port *p, struct virtqueue_chain *chain)
{
	p->buffer = chain->buffer;
	if (chain->writable == 0 || chain->readable == 0 || chain->segment[0].count != PORT_AREA_DISK_HEADER_BYTES)
		return false;
	const struct io_segment *last = &chain->segment[chain->readable + chain->writable - 1];
	p->status = last->bytes;
	return last->count == 1;
}

static enum blk_status submit(struct service_port *p, const struct virtqueue_chain *chain)
{
	enum blk_status status;

	if (!read_request(p, chain))
		return BLK_IO_ERROR;
	if (p->request.operation == BLK_FLUSH && !p->disk->flushes)
		return BLK_OK; /* it has no cache that loses anything */
	status = blk_request_check(p->disk, &p->request);
	return status == BLK_OK ? p->disk->ops->submit(p->disk, &p->request) : status;
}

void service_port_run_disk(struct service_port *p)
{
	struct virtqueue_chain chain = { .segment = p->segment };

	for (unsigned i = 0; i < PORT_AREA_DISK_ENTRIES && p->disk != NULL && !p->busy; i++) {
		if (virtqueue_pop(&p->requests, &chain) != VIRTQUEUE_CHAIN)
			return;
		if (!take_request(p, &chain)) {
			p->requests.broken = true; /* nobody would know what became of it */
			return;
		}
		p->busy = true;
		enum blk_status status = submit(p, &chain);
		if (status != BLK_PENDING)
			finish(p, status);
	}
}

void service_port_give_disk(struct service_port *p, struct blk_device *disk)
{
	make_queue(p, &p->requests, PORT_AREA_DISK, PORT_AREA_DISK_ENTRIES);
	p->disk = disk;
}

/* ---- Both ---- */

void service_port_begin_anew(struct service_port *p)
{
	memset(p->area, 0, PORT_AREA_BYTES);
	p->stale = p->busy; /* a device may be at it: its data lands in the buffer, its end is told to nobody */
	if (p->net != NULL)
		make_card_queues(p);
	if (p->disk != NULL)
		make_queue(p, &p->requests, PORT_AREA_DISK, PORT_AREA_DISK_ENTRIES);
}
