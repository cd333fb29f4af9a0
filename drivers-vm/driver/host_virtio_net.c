/*
 * virtio network cards as uplinks: virtio 1.2, 5.1. The frames of a flow are sent by one pair of queues, and the device chooses likewise.
 * Received frames come in pages of the driver's own, merged if they are long; frames to be sent are sent from the sender's buffers, which
 * it gets back when the device has done with them.
 */
#include "drivers-vm/driver/host_virtio_net.h"

#include "drivers-vm/runtime/service.h"

#define PAGE          4096u
#define RECEIVE_PAGES 17u /* of one frame at most */
_Static_assert(RECEIVE_PAGES <= HOST_NIC_PIECES, "a frame");
#define RECEIVE_BURST 128u           /* frames taken at one go */
#define TIMEOUT_NS    10000000000ull /* without a frame sent, while some are to be */
#define CHECK_NS      1000000000ull

static void give_up(struct host_virtio_net *card, const char *why)
{
	host_pci_enable(card->device.pci, false, false);
	card->dead = true;
	card->deadline_tsc = card->check_tsc = 0;
	host_device_log(card->device.pci, "given up: %s", why);
	for (unsigned i = 0; i < HOST_VIRTIO_NET_PAIRS * HOST_VIRTIO_NET_ENTRIES; i++) {
		struct net_frame **held = &card->pair[i / HOST_VIRTIO_NET_ENTRIES].frame[i % HOST_VIRTIO_NET_ENTRIES], *frame = *held;
		*held = NULL;
		if (frame != NULL)
			net_frame_release(frame);
	}
}

/* ---- From the switch to the wire -------------------------------------------------------------------------------------------------- */

static struct host_virtio_net *card_of(struct net_port *port)
{
	return (struct host_virtio_net *)((char *)port - offsetof(struct host_virtio_net, nic.port));
}

/* [at, at + bytes) as descriptors behind those that are there; their number, 0: no room. */
static unsigned add(const struct host_virtio_net *card, struct host_virtio_net_page *page, unsigned count, const uint8_t *at,
                    uint32_t bytes)
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
			page->table[count++] = (struct host_virtq_descriptor){ address, piece, 0, 0 };
		}
		at += piece;
		bytes -= piece;
	}
	return count;
}

static unsigned add_held(const struct host_virtio_net *card, struct host_virtio_net_page *page, const struct net_frame *frame)
{
	unsigned count = 1;

	for (unsigned i = 0; i < frame->segments && count != 0; i++)
		count = add(card, page, count, frame->segment[i].bytes, frame->segment[i].count);
	return count;
}

static unsigned add_copy(const struct host_virtio_net *card, struct host_virtio_net_page *page, const struct net_frame *frame)
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

/* The frame as buffer `id` of the pair; false: it cannot be described. */
static bool put_frame(struct host_virtio_net *card, struct host_virtio_net_pair *pair, unsigned id, struct net_frame *frame)
{
	struct host_virtio_net_page *page = pair->sent[id];
	uint64_t own = host_pci_dma_address(card->device.pci, page);
	bool held = net_frame_hold(frame);

	page->table[0] = (struct host_virtq_descriptor){ own + offsetof(struct host_virtio_net_page, header), sizeof(page->header), 0, 0 };
	set_header(&page->header, frame);
	unsigned count = held ? add_held(card, page, frame) : add_copy(card, page, frame);
	if (count == 0 && held)
		net_frame_release(frame);
	for (unsigned i = 0; i + 1 < count; i++) {
		page->table[i].flags = HOST_VIRTQ_NEXT;
		page->table[i].next = (uint16_t)(i + 1);
	}
	if (count == 0)
		return false;
	pair->frame[id] = held ? frame : NULL;
	host_virtqueue_put(&pair->transmit, id, own, count * sizeof(page->table[0]), HOST_VIRTQ_INDIRECT);
	return true;
}

static void receive_from_switch(struct net_port *port, struct net_frame *frame)
{
	struct host_virtio_net *card = card_of(port);
	struct host_virtio_net_pair *pair = &card->pair[net_frame_flow(frame, card->pairs)];
	int id = card->dead || !card->nic.link ? -1 : host_virtqueue_free(&pair->transmit);

	if (id < 0 || !put_frame(card, pair, (unsigned)id, frame)) {
		port->counts.dropped++;
		return;
	}
	if (card->sending++ == 0) {
		uint64_t now = service_tsc();
		card->deadline_tsc = now + service_ns_to_tsc(TIMEOUT_NS);
		card->check_tsc = now + service_ns_to_tsc(CHECK_NS);
	}
}

static void flush(struct net_port *port)
{
	struct host_virtio_net *card = card_of(port);

	for (unsigned i = 0; i < card->pairs && !card->dead; i++)
		host_virtqueue_notify(&card->pair[i].transmit);
}

/* Returns how many frames it was. */
static unsigned take_sent_by(struct host_virtio_net *card, struct host_virtio_net_pair *pair)
{
	unsigned id, frames = 0;
	uint32_t bytes;

	while (!card->dead) {
		enum host_virtq_taken taken = host_virtqueue_take(&pair->transmit, &id, &bytes);
		if (taken == HOST_VIRTQ_NONE)
			return frames;
		if (taken == HOST_VIRTQ_BROKEN) {
			give_up(card, "it says that it has sent what nobody gave it");
			return frames;
		}
		struct net_frame *frame = pair->frame[id];
		pair->frame[id] = NULL;
		card->sending--;
		frames++;
		card->deadline_tsc = card->sending != 0 ? service_tsc() + service_ns_to_tsc(TIMEOUT_NS) : 0;
		if (frame != NULL)
			net_frame_release(frame); /* its sender may send another one at once */
	}
	return frames;
}

static unsigned take_sent(struct host_virtio_net *card)
{
	unsigned frames = 0;

	for (unsigned i = 0; i < card->pairs; i++)
		frames += take_sent_by(card, &card->pair[i]);
	return frames;
}

/* ---- From the wire to the switch -------------------------------------------------------------------------------------------------- */

/* A frame in the pages of `count` buffers, the first one after the header. */
static void forward(struct host_virtio_net *card, const struct host_virtio_net_pair *pair, const unsigned *id, const uint32_t *bytes,
                    unsigned count)
{
	struct io_segment piece[RECEIVE_PAGES];

	for (unsigned i = 0; i < count; i++) {
		uint32_t skip = i == 0 ? sizeof(struct virtio_net_header) : 0;
		piece[i] = (struct io_segment){ pair->received[id[i]] + skip, bytes[i] - skip };
	}
	host_nic_forward(&card->nic, piece, count);
}

/* One buffer; false: there is none, or the device lies. */
static bool take_buffer(struct host_virtio_net *card, struct host_virtio_net_pair *pair, unsigned *id, uint32_t *bytes, bool must)
{
	enum host_virtq_taken taken = host_virtqueue_take(&pair->receive, id, bytes);

	if (taken == HOST_VIRTQ_NONE && !must)
		return false;
	if (taken != HOST_VIRTQ_ONE || *bytes > PAGE) {
		give_up(card, "it fills buffers that it was not given");
		return false;
	}
	return true;
}

void host_virtio_net_put_buffer(struct host_virtio_net *card, struct host_virtio_net_pair *pair, unsigned id)
{
	host_virtqueue_put(&pair->receive, id, host_pci_dma_address(card->device.pci, pair->received[id]), PAGE, HOST_VIRTQ_WRITE);
}

static bool take_frame(struct host_virtio_net *card, struct host_virtio_net_pair *pair)
{
	unsigned id[RECEIVE_PAGES], count = 1;
	uint32_t bytes[RECEIVE_PAGES];

	if (card->dead || !take_buffer(card, pair, &id[0], &bytes[0], false))
		return false;
	if (card->virtio.features & VIRTIO_NET_F_MRG_RXBUF)
		count = *(volatile uint16_t *)(pair->received[id[0]] + VIRTIO_NET_HEADER_BUFFERS);
	if (count == 0 || count > RECEIVE_PAGES || bytes[0] < sizeof(struct virtio_net_header)) {
		give_up(card, "it receives frames of no possible length");
		return false;
	}
	for (unsigned i = 1; i < count; i++)
		if (!take_buffer(card, pair, &id[i], &bytes[i], true))
			return false;
	forward(card, pair, id, bytes, count);
	for (unsigned i = 0; i < count; i++)
		host_virtio_net_put_buffer(card, pair, id[i]);
	return true;
}

/* Returns how many frames it was. */
static unsigned take_received(struct host_virtio_net *card)
{
	unsigned frames = 0;
	bool more = false;

	for (unsigned i = 0; i < card->pairs; i++) {
		unsigned before = frames;
		while (frames - before < RECEIVE_BURST / card->pairs && take_frame(card, &card->pair[i]))
			frames++;
		more |= frames - before == RECEIVE_BURST / card->pairs;
		if (!card->dead && frames != before)
			host_virtqueue_notify(&card->pair[i].receive);
	}
	if (card->dead || frames == 0)
		return 0;
	if (card->nic.joined != NULL)
		net_switch_flush(card->nic.joined);
	if (more)
		card->check_tsc = service_tsc(); /* the rest after the others' turn */
	return frames;
}

/* ---- The device ------------------------------------------------------------------------------------------------------------------- */

void host_virtio_net_look_at_link(struct host_virtio_net *card)
{
	const struct host_virtio *v = &card->virtio;
	bool told = v->features & VIRTIO_NET_F_STATUS;

	host_nic_set_link(&card->nic, card->device.pci, !told || host_virtio_config(v, VIRTIO_NET_STATUS, 2) & VIRTIO_NET_S_LINK_UP, 0);
}

/* One without any frames is about the link; one about both leaves that to the next check. */
static void interrupt(struct host_device *device)
{
	struct host_virtio_net *card = (struct host_virtio_net *)device;
	unsigned frames = take_sent(card);

	frames += take_received(card);
	if (card->dead)
		return;
	if (frames == 0)
		host_virtio_net_look_at_link(card);
	else if (card->check_tsc == 0)
		card->check_tsc = service_tsc() + service_ns_to_tsc(CHECK_NS);
}

static uint64_t check(struct host_device *device, uint64_t now_tsc)
{
	struct host_virtio_net *card = (struct host_virtio_net *)device;

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
	host_virtio_net_look_at_link(card);
	if (card->check_tsc == 0 && card->sending != 0)
		card->check_tsc = now_tsc + service_ns_to_tsc(CHECK_NS);
	return card->check_tsc;
}

static void poll(struct net_port *port)
{
	struct host_virtio_net *card = card_of(port);

	take_sent(card);
	check(&card->device, service_tsc());
}

const struct host_device_ops host_virtio_net_ops = { .interrupt = interrupt, .check = check };
const struct net_port_ops host_virtio_net_port_ops = { .receive = receive_from_switch, .flush = flush, .poll = poll };
