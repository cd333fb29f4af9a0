/* The card: frames in and out of the area's buffers. A buffer has the number of its descriptor. See port.h. */
#include "drivers-vm/control/net/port.h"

#include "drivers-vm/control/net/port_private.h"
#include "drivers-vm/control/net/port_queue.h"

#include <string.h>

_Static_assert(PORT_FRAME_BYTES == PORT_AREA_FRAME_BYTES_MAX, "they speak of the same frames");

#define HEADER_BYTES PORT_AREA_FRAME_HEADER_BYTES
#define ENTRIES      PORT_AREA_NET_ENTRIES

static struct {
	bool up;
	uint8_t mac[6];
	uint8_t *area;
	void (*kick)(void);
	struct port_queue receive, transmit;
	uint16_t free[ENTRIES], frees; /* buffers to send from */
	bool full;                     /* the device tells when it has sent some */
} card;

void port_net_start(uint8_t *area, const uint8_t mac[6], void (*kick)(void))
{
	memset(&card, 0, sizeof(card));
	card.area = area;
	card.kick = kick;
	memcpy(card.mac, mac, sizeof(card.mac));
	port_queue_init(&card.receive, area, PORT_AREA_RECEIVE, ENTRIES);
	port_queue_init(&card.transmit, area, PORT_AREA_TRANSMIT, ENTRIES);
	port_queue_want_interrupts(&card.transmit, false);
	for (uint16_t i = 0; i < ENTRIES; i++) {
		port_queue_describe(&card.receive, i, PORT_AREA_RECEIVED(i), PORT_AREA_BUFFER_BYTES, PORT_QUEUE_WRITE, 0);
		port_queue_offer(&card.receive, i);
		card.free[card.frees++] = i;
	}
	card.up = true;
}

void port_net_stop(void)
{
	card.up = false;
}

bool port_net_mac(uint8_t mac[6])
{
	memcpy(mac, card.mac, sizeof(card.mac));
	return card.up;
}

static void take_sent(void)
{
	uint16_t id;
	uint32_t bytes;

	while (port_queue_take(&card.transmit, &id, &bytes))
		card.free[card.frees++] = id;
	if (card.full && card.frees != 0) {
		card.full = false;
		port_queue_want_interrupts(&card.transmit, false);
	}
}

/* Whether there is a buffer; if not, there will be word of the next one. */
static bool has_room(void)
{
	take_sent();
	if (card.frees != 0)
		return true;
	card.full = true;
	port_queue_want_interrupts(&card.transmit, true);
	take_sent(); /* the device may have done so just before */
	return card.frees != 0;
}

bool port_net_send(const struct port_piece *piece, unsigned pieces)
{
	size_t bytes = 0;

	for (unsigned i = 0; i < pieces; i++) {
		if (piece[i].count > PORT_FRAME_BYTES - bytes)
			return false;
		bytes += piece[i].count;
	}
	if (!card.up || bytes < PORT_AREA_FRAME_BYTES_MIN || !has_room())
		return false;
	uint16_t id = card.free[--card.frees];
	uint8_t *at = card.area + PORT_AREA_SENT(id);
	memset(at, 0, HEADER_BYTES);
	at += HEADER_BYTES;
	for (unsigned i = 0; i < pieces; i++) {
		memcpy(at, piece[i].bytes, piece[i].count);
		at += piece[i].count;
	}
	port_queue_describe(&card.transmit, id, PORT_AREA_SENT(id), HEADER_BYTES + (uint32_t)bytes, 0, 0);
	port_queue_offer(&card.transmit, id);
	if (port_queue_wants_kick(&card.transmit))
		card.kick();
	return true;
}

unsigned port_net_poll(unsigned limit, void (*frame)(const uint8_t *bytes, size_t count))
{
	static uint8_t copy[PORT_FRAME_BYTES];
	unsigned frames = 0;
	uint16_t id;
	uint32_t bytes;

	if (!card.up)
		return 0;
	take_sent();
	while (frames < limit && port_queue_take(&card.receive, &id, &bytes)) {
		bool fits = bytes >= HEADER_BYTES + PORT_AREA_FRAME_BYTES_MIN && bytes <= HEADER_BYTES + PORT_FRAME_BYTES;
		if (fits)
			memcpy(copy, card.area + PORT_AREA_RECEIVED(id) + HEADER_BYTES, bytes - HEADER_BYTES);
		port_queue_offer(&card.receive, id);
		if (!fits)
			continue;
		frames++;
		frame(copy, bytes - HEADER_BYTES);
		if (!card.up) /* the callee has done something that ended the driver VM */
			break;
	}
	return frames;
}
