/*
 * virtio network cards as uplinks: virtio 1.2, 5.1. One pair of queues. Received frames come in pages of the driver's own, merged if
 * they are long; frames to be sent are sent from the sender's buffers, which it gets back when the device has done with them.
 */
#include "drivers-vm/driver/host_nic.h"
#include "drivers-vm/driver/host_virtio.h"
#include "drivers-vm/driver/host_virtio_drivers.h"
#include "drivers-vm/driver/virtio_net.h"
#include "drivers-vm/runtime/service.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#define QUEUE_RECEIVE	 0u
#define QUEUE_TRANSMIT	 1u
#define ENTRIES		 64u /* of each queue */
#define PAGE		 4096u
#define RECEIVE_PAGES	 17u  /* of one frame at most */
_Static_assert(RECEIVE_PAGES <= HOST_NIC_PIECES, "a frame");
#define RECEIVE_BURST	 128u /* frames taken at one go */
#define TIMEOUT_NS	 10000000000ull /* without a frame sent, while some are to be */
#define CHECK_NS	 1000000000ull

/* The page of a frame to be sent. */
struct page {
	struct host_virtq_descriptor table[96];
	struct virtio_net_header header;
	uint8_t pad[500];
	uint8_t copy[2048]; /* of a frame that cannot be held */
};
static_assert(sizeof(struct page) == PAGE && offsetof(struct page, copy) == 2048, "a page");

struct card {
	struct host_device device; /* first */
	struct host_nic nic;
	struct host_virtio virtio;
	struct host_virtqueue receive, transmit;
	uint8_t *received[ENTRIES];	  /* pages for frames */
	struct page *sent[ENTRIES];
	struct net_frame *frame[ENTRIES]; /* held while it is sent; NULL: it was copied */
	unsigned sending;
	uint64_t deadline_tsc, check_tsc; /* 0: none */
	bool dead;
};

static void give_up(struct card *card, const char *why)
{
	host_pci_enable(card->device.pci, false, false);
	card->dead = true;
	card->deadline_tsc = card->check_tsc = 0;
	host_device_log(card->device.pci, "given up: %s", why);
	for (unsigned i = 0; i < ENTRIES; i++) {
		struct net_frame *frame = card->frame[i];
		card->frame[i] = NULL;
		if (frame != NULL)
			net_frame_release(frame);
	}
}

/* ---- From the switch to the wire -------------------------------------------------------------------------------------------------- */

static struct card *card_of(struct net_port *port)
{
	return (struct card *)((char *)port - offsetof(struct card, nic.port));
}

/* [at, at + bytes) as descriptors behind those that are there; their number, 0: no room. */
static unsigned add(const struct card *card, struct page *page, unsigned count, const uint8_t *at, uint32_t bytes)
{
	while (bytes != 0) {
		uint32_t piece = PAGE - (uint32_t)((uintptr_t)at % PAGE);
		uint64_t address = host_pci_dma_address(card->device.pci, at);
		struct host_virtq_descriptor *last = &page->table[count - 1];
		piece = piece < bytes ? piece : bytes;
		if (address == 0)
			return 0;
		if (count > 1 && last->address + last->bytes == address) {
			last->bytes += piece;
		} else {
			if (count == sizeof(page->table) / sizeof(page->table[0]))
				return 0;
			page->table[count++] = (struct host_virtq_descriptor){address, piece, 0, 0};
		}
		at += piece;
		bytes -= piece;
	}
	return count;
}

static unsigned add_held(const struct card *card, struct page *page, const struct net_frame *frame)
{
	unsigned count = 1;

	for (unsigned i = 0; i < frame->segments && count != 0; i++)
		count = add(card, page, count, frame->segment[i].bytes, frame->segment[i].count);
	return count;
}

static unsigned add_copy(const struct card *card, struct page *page, const struct net_frame *frame)
{
	if (frame->bytes > sizeof(page->copy))
		return 0;
	io_segments_read(frame->segment, frame->segments, 0, page->copy, frame->bytes);
	return add(card, page, 1, page->copy, frame->bytes);
}

static void set_header(struct virtio_net_header *header, const struct net_frame *frame)
{
	*header = (struct virtio_net_header){
		.flags = frame->csum_partial ? VIRTIO_NET_HDR_F_NEEDS_CSUM : 0,
		.gso_type = frame->gso,
		.gso_bytes = frame->gso_bytes,
		.csum_start = frame->csum_partial ? frame->csum_start : 0,
		.csum_offset = frame->csum_partial ? frame->csum_offset : 0,
	};
	if (frame->gso != NET_GSO_NONE) {
		uint8_t words = frame->segment[0].bytes[frame->csum_start + 12] >> 4; /* of the TCP header */
		header->header_bytes = (uint16_t)(frame->csum_start + 4 * words);
	}
}

static void receive_from_switch(struct net_port *port, struct net_frame *frame)
{
	struct card *card = card_of(port);
	int id = card->dead || !card->nic.link ? -1 : host_virtqueue_free(&card->transmit);
	unsigned count = 0;

	if (id >= 0) {
		struct page *page = card->sent[id];
		bool held = net_frame_hold(frame);
		uint64_t own = host_pci_dma_address(card->device.pci, page), now = service_tsc();
		page->table[0] = (struct host_virtq_descriptor){own + offsetof(struct page, header), sizeof(page->header), 0, 0};
		set_header(&page->header, frame);
		count = held ? add_held(card, page, frame) : add_copy(card, page, frame);
		if (count == 0 && held)
			net_frame_release(frame);
		for (unsigned i = 0; i + 1 < count; i++) {
			page->table[i].flags = HOST_VIRTQ_NEXT;
			page->table[i].next = (uint16_t)(i + 1);
		}
		if (count != 0) {
			card->frame[id] = held ? frame : NULL;
			host_virtqueue_put(&card->transmit, (unsigned)id, own, count * sizeof(page->table[0]), HOST_VIRTQ_INDIRECT);
			if (card->sending++ == 0) {
				card->deadline_tsc = now + service_ns_to_tsc(TIMEOUT_NS);
				card->check_tsc = now + service_ns_to_tsc(CHECK_NS);
			}
		}
	}
	if (count == 0)
		port->counts.dropped++;
}

static void flush(struct net_port *port)
{
	struct card *card = card_of(port);

	if (!card->dead)
		host_virtqueue_notify(&card->transmit);
}

/* Returns how many frames it was. */
static unsigned take_sent(struct card *card)
{
	unsigned id, frames = 0;
	uint32_t bytes;

	while (!card->dead) {
		enum host_virtq_taken taken = host_virtqueue_take(&card->transmit, &id, &bytes);
		if (taken == HOST_VIRTQ_NONE)
			return frames;
		if (taken == HOST_VIRTQ_BROKEN) {
			give_up(card, "it says that it has sent what nobody gave it");
			return frames;
		}
		struct net_frame *frame = card->frame[id];
		card->frame[id] = NULL;
		card->sending--;
		frames++;
		card->deadline_tsc = card->sending != 0 ? service_tsc() + service_ns_to_tsc(TIMEOUT_NS) : 0;
		if (frame != NULL)
			net_frame_release(frame); /* its sender may send another one at once */
	}
	return frames;
}

/* ---- From the wire to the switch -------------------------------------------------------------------------------------------------- */

/* A frame in the pages of `count` buffers, the first one after the header. */
static void forward(struct card *card, const unsigned *id, const uint32_t *bytes, unsigned count)
{
	struct io_segment piece[RECEIVE_PAGES];

	for (unsigned i = 0; i < count; i++) {
		uint32_t skip = i == 0 ? sizeof(struct virtio_net_header) : 0;
		piece[i] = (struct io_segment){card->received[id[i]] + skip, bytes[i] - skip};
	}
	host_nic_forward(&card->nic, piece, count);
}

/* One buffer; false: there is none, or the device lies. */
static bool take_buffer(struct card *card, unsigned *id, uint32_t *bytes, bool must)
{
	enum host_virtq_taken taken = host_virtqueue_take(&card->receive, id, bytes);

	if (taken == HOST_VIRTQ_NONE && !must)
		return false;
	if (taken != HOST_VIRTQ_ONE || *bytes > PAGE) {
		give_up(card, "it fills buffers that it was not given");
		return false;
	}
	return true;
}

static void put_buffer(struct card *card, unsigned id)
{
	host_virtqueue_put(&card->receive, id, host_pci_dma_address(card->device.pci, card->received[id]), PAGE, HOST_VIRTQ_WRITE);
}

static bool take_frame(struct card *card)
{
	unsigned id[RECEIVE_PAGES], count = 1;
	uint32_t bytes[RECEIVE_PAGES];

	if (card->dead || !take_buffer(card, &id[0], &bytes[0], false))
		return false;
	if (card->virtio.features & VIRTIO_NET_F_MRG_RXBUF)
		count = *(volatile uint16_t *)(card->received[id[0]] + VIRTIO_NET_HEADER_BUFFERS);
	if (count == 0 || count > RECEIVE_PAGES || bytes[0] < sizeof(struct virtio_net_header)) {
		give_up(card, "it receives frames of no possible length");
		return false;
	}
	for (unsigned i = 1; i < count; i++)
		if (!take_buffer(card, &id[i], &bytes[i], true))
			return false;
	forward(card, id, bytes, count);
	for (unsigned i = 0; i < count; i++)
		put_buffer(card, id[i]);
	return true;
}

/* Returns how many frames it was. */
static unsigned take_received(struct card *card)
{
	unsigned frames = 0;

	while (frames < RECEIVE_BURST && take_frame(card))
		frames++;
	if (card->dead || frames == 0)
		return 0;
	host_virtqueue_notify(&card->receive);
	if (card->nic.joined != NULL)
		net_switch_flush(card->nic.joined);
	if (frames == RECEIVE_BURST)
		card->check_tsc = service_tsc(); /* the rest after the others' turn */
	return frames;
}

/* ---- The driver ------------------------------------------------------------------------------------------------------------------- */

static void look_at_link(struct card *card)
{
	const struct host_virtio *v = &card->virtio;
	bool told = v->features & VIRTIO_NET_F_STATUS;

	host_nic_set_link(&card->nic, card->device.pci,
			  !told || host_virtio_config(v, VIRTIO_NET_STATUS, 2) & VIRTIO_NET_S_LINK_UP, 0);
}

/* One without any frames is about the link; one about both leaves that to the next check. */
static void interrupt(struct host_device *device)
{
	struct card *card = (struct card *)device;
	unsigned frames = take_sent(card);

	frames += take_received(card);
	if (card->dead)
		return;
	if (frames == 0)
		look_at_link(card);
	else if (card->check_tsc == 0)
		card->check_tsc = service_tsc() + service_ns_to_tsc(CHECK_NS);
}

static uint64_t check(struct host_device *device, uint64_t now_tsc)
{
	struct card *card = (struct card *)device;

	if (card->check_tsc == 0 || now_tsc < card->check_tsc)
		return card->check_tsc;
	card->check_tsc = 0;
	interrupt(device);
	if (card->dead)
		return 0;
	if (card->deadline_tsc != 0 && now_tsc > card->deadline_tsc) {
		give_up(card, "it has not sent a frame for 10 s");
		return 0;
	}
	look_at_link(card);
	if (card->check_tsc == 0 && card->sending != 0)
		card->check_tsc = now_tsc + service_ns_to_tsc(CHECK_NS);
	return card->check_tsc;
}

static void poll(struct net_port *port)
{
	struct card *card = card_of(port);

	take_sent(card);
	check(&card->device, service_tsc());
}

static bool matches(const struct host_pci *pci)
{
	return host_virtio_matches(pci, VIRTIO_NET_TYPE);
}

static bool make_buffers(struct card *card)
{
	for (unsigned i = 0; i < card->receive.entries; i++) {
		if ((card->received[i] = host_device_page()) == NULL)
			return false;
		put_buffer(card, i);
	}
	for (unsigned i = 0; i < card->transmit.entries; i++)
		if ((card->sent[i] = host_device_page()) == NULL)
			return false;
	return true;
}

static bool bring_up(struct card *card, const struct host_pci *pci, unsigned event)
{
	struct host_virtio *v = &card->virtio;

	if (!host_virtio_open(v, pci, VIRTIO_NET_F_CSUM | VIRTIO_NET_F_HOST_TSO4 | VIRTIO_NET_F_HOST_TSO6 | VIRTIO_NET_F_MRG_RXBUF | VIRTIO_NET_F_STATUS,
			      HOST_VIRTIO_F_INDIRECT | VIRTIO_NET_F_MAC))
		return false;
	for (unsigned i = 0; i < NET_MAC_BYTES; i++)
		card->nic.mac[i] = (uint8_t)host_virtio_config(v, VIRTIO_NET_MAC + i, 1);
	if (!host_pci_bind_irq(pci, 0, 0, event)) {
		host_device_log(pci, "virtio: its interrupt cannot be bound");
		return false;
	}
	if (!host_virtio_make_queue(v, &card->receive, QUEUE_RECEIVE, ENTRIES, 0) ||
	    !host_virtio_make_queue(v, &card->transmit, QUEUE_TRANSMIT, ENTRIES, 0))
		return false;
	if (!make_buffers(card)) {
		host_device_log(pci, "virtio: no memory for its buffers");
		return false;
	}
	card->nic.port.can = (v->features & VIRTIO_NET_F_CSUM ? NET_CAN_CSUM : 0) |
			     (v->features & VIRTIO_NET_F_HOST_TSO4 ? NET_CAN_TCP4 : 0) |
			     (v->features & VIRTIO_NET_F_HOST_TSO6 ? NET_CAN_TCP6 : 0);
	host_virtio_watch_config(v, 0); /* if it cannot, the link is looked at while there is traffic */
	host_virtio_start(v);
	look_at_link(card);
	host_virtqueue_notify(&card->receive);
	return true;
}

static struct host_device *start(const struct host_pci *pci, unsigned event)
{
	static const struct host_device_ops ops = {.interrupt = interrupt, .check = check};
	static const struct net_port_ops port_ops = {.receive = receive_from_switch, .flush = flush, .poll = poll};
	struct card *card = calloc(1, sizeof(*card));

	if (card == NULL)
		return NULL;
	card->device = (struct host_device){&ops, pci};
	card->nic.port.ops = &port_ops;
	if (!bring_up(card, pci, event)) {
		host_pci_enable(pci, false, false);
		free(card);
		return NULL;
	}
	host_nic_add(&card->nic, pci, "virtio");
	return &card->device;
}

const struct host_driver host_virtio_net_driver = {.name = "virtio-net", .matches = matches, .start = start};
