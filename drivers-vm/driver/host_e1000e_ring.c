/*
 * The rings of an 82574: Intel 82574 GbE Controller Family Datasheet 3.4, 7.1 Receive, 7.2 Transmit. What the card writes is a status for
 * each descriptor and a length for what it received; which descriptors belong together is remembered here.
 */
#include "drivers-vm/driver/host_e1000e.h"
#include "drivers-vm/driver/host_mmio.h"

#include <string.h>

#define PAGE              4096u
#define FRAME_BYTES_MAX   1518u /* what the wire carries, with a VLAN tag and without the checksum that the card adds */
#define PIECES_MAX        8u    /* of a frame that is sent from where it is: more are not worth it */
#define STATUS_DONE       (1u << 0)
#define STATUS_END        (1u << 1)
#define RECEIVE_ERRORS    (0x97u << 8) /* CE, SE, SEQ, CXE, RXE; not those of checksums, which are for the receiver to judge */
#define TRANSMIT_DATA     (1u << 20)
#define TRANSMIT_END      (1u << 24)
#define TRANSMIT_TCP      (1u << 24) /* of a context */
#define TRANSMIT_FCS      (1u << 25) /* the card adds the frame's checksum */
#define TRANSMIT_REPORT   (1u << 27)
#define TRANSMIT_EXTENDED (1u << 29)
#define OPTION_CSUM       (1u << 9) /* TXSM */
#define TCP_CSUM          16u       /* offset in its header */

static uint64_t dma_address(const struct e1000e *card, const void *at)
{
	return host_pci_dma_address(card->device.pci, at);
}

static unsigned after(unsigned index)
{
	return (index + 1) % E1000E_ENTRIES;
}

static void put_buffer(struct e1000e *card, unsigned i)
{
	card->receive[i] = (struct e1000e_receive){ .address = dma_address(card, card->received[i]) };
}

void e1000e_ring_init(struct e1000e *card)
{
	memset(card->transmit, 0, E1000E_ENTRIES * sizeof(card->transmit[0]));
	for (unsigned i = 0; i < E1000E_ENTRIES; i++)
		put_buffer(card, i);
	card->tail = card->told = card->clean = card->next = 0;
	card->skip = false;
}

/* ---- Transmit --------------------------------------------------------------------------------------------------------------------- */

/* Descriptors of a frame in the making: the card has not been told of them. */
struct filling {
	struct e1000e *card;
	unsigned at, room, count;
	uint32_t options;
};

static bool put(struct filling *f, const struct e1000e_transmit *descriptor)
{
	if (f->count == f->room)
		return false;
	f->card->transmit[f->at] = *descriptor;
	f->card->last[f->at] = false;
	f->at = after(f->at);
	f->count++;
	return true;
}

static bool put_data(struct filling *f, const uint8_t *at, uint32_t bytes)
{
	while (bytes != 0) {
		uint32_t piece = PAGE - (uint32_t)((uintptr_t)at % PAGE);
		uint64_t address = dma_address(f->card, at);
		piece = piece < bytes ? piece : bytes;
		if (address == 0 ||
		    !put(f, &(struct e1000e_transmit){ address, piece | TRANSMIT_DATA | TRANSMIT_FCS | TRANSMIT_EXTENDED, f->options }))
			return false;
		at += piece;
		bytes -= piece;
	}
	return true;
}

/* 7.2.11: what is left undone in the frame, for the descriptors that follow. The field holds the sum of the pseudo header. */
static bool put_context(struct filling *f, const struct net_frame *frame)
{
	uint32_t start = frame->csum_start, to = start + frame->csum_offset;
	uint32_t tcp = frame->csum_offset == TCP_CSUM ? TRANSMIT_TCP : 0;

	f->options = OPTION_CSUM;
	return to <= UINT8_MAX && put(f, &(struct e1000e_transmit){ (uint64_t)(start | to << 8) << 32, TRANSMIT_EXTENDED | tcp, 0 });
}

static bool put_frame(struct filling *f, const struct net_frame *frame, bool hold)
{
	uint8_t *copy = f->card->copy[f->card->tail];

	f->at = f->card->tail;
	f->count = 0;
	if (frame->csum_partial && !put_context(f, frame))
		return false;
	for (unsigned i = 0; i < frame->segments && hold; i++)
		if (!put_data(f, frame->segment[i].bytes, frame->segment[i].count))
			return false;
	if (hold)
		return true;
	io_segments_read(frame->segment, frame->segments, 0, copy, frame->bytes);
	return put_data(f, copy, frame->bytes);
}

bool e1000e_ring_send(struct e1000e *card, struct net_frame *frame)
{
	struct filling f = { .card = card, .room = E1000E_ENTRIES - 1 - e1000e_ring_outstanding(card) };

	if (frame->bytes == 0 || frame->bytes > FRAME_BYTES_MAX)
		return false;
	bool held = frame->segments <= PIECES_MAX && net_frame_hold(frame);
	if (!put_frame(&f, frame, held)) {
		if (held)
			net_frame_release(frame);
		return false;
	}
	unsigned last = (f.at - 1) % E1000E_ENTRIES;
	card->transmit[last].command |= TRANSMIT_END | TRANSMIT_REPORT;
	card->last[last] = true;
	card->frame[last] = held ? frame : NULL;
	card->tail = f.at;
	return true;
}

/* The frame whose last descriptor is this one is the card's no more. */
static void give_back(struct e1000e *card, unsigned last)
{
	struct net_frame *frame = card->frame[last];

	card->frame[last] = NULL;
	card->clean = after(last);
	if (frame != NULL)
		net_frame_release(frame); /* its sender may send another one at once */
}

static unsigned first_last(const struct e1000e *card)
{
	unsigned i = card->clean;

	while (!card->last[i])
		i = after(i);
	return i;
}

unsigned e1000e_ring_clean(struct e1000e *card)
{
	unsigned frames = 0;

	/* There may be no end to it while senders go on: one round. */
	for (unsigned i = 0; i < E1000E_ENTRIES && e1000e_ring_outstanding(card) != 0; i++) {
		unsigned last = first_last(card);
		if (!(*(volatile uint32_t *)&card->transmit[last].status & STATUS_DONE))
			break;
		give_back(card, last);
		frames++;
	}
	return frames;
}

void e1000e_ring_release(struct e1000e *card)
{
	while (e1000e_ring_outstanding(card) != 0)
		give_back(card, first_last(card));
}

/* ---- Receive ---------------------------------------------------------------------------------------------------------------------- */

bool e1000e_ring_receive(struct e1000e *card, unsigned most, unsigned *frames)
{
	for (*frames = 0; *frames < most; ++*frames) {
		volatile struct e1000e_receive *d = &card->receive[card->next];
		uint32_t status = d->status;
		if (!(status & STATUS_DONE))
			break;
		mmio_observe();
		struct io_segment piece = { card->received[card->next], d->bytes };
		if (piece.count > E1000E_BUFFER_BYTES)
			return false;
		if (!(status & (RECEIVE_ERRORS)) && status & STATUS_END && !card->skip)
			host_nic_forward(&card->nic, &piece, 1);
		card->skip = !(status & STATUS_END);
		put_buffer(card, card->next);
		card->next = after(card->next);
	}
	return true;
}
