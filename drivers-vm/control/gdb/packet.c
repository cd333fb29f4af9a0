/* See packet.h. */
#include "drivers-vm/control/gdb/packet.h"

#include "drivers-vm/control/gdb/text.h"

#define INTERRUPT_BYTE 0x03

void gdb_link_init(struct gdb_link *link)
{
	link->state = GDB_LINK_IDLE;
	link->no_ack = link->broken = link->too_long = false;
	link->length = 0;
	link->out_first = link->out_count = 0;
}

static void put(struct gdb_link *link, uint8_t byte)
{
	if (link->out_count == GDB_OUTPUT_BYTES) {
		link->broken = true;
		return;
	}
	link->out[(link->out_first + link->out_count++) % GDB_OUTPUT_BYTES] = byte;
}

static void acknowledge(struct gdb_link *link, bool good)
{
	if (!link->no_ack)
		put(link, good ? '+' : '-');
}

static enum gdb_input take_end(struct gdb_link *link)
{
	bool good = link->told == link->sum && !link->too_long;

	link->state = GDB_LINK_IDLE;
	acknowledge(link, good);
	if (!good)
		return GDB_INPUT_NONE;
	link->packet[link->length] = '\0';
	return GDB_INPUT_PACKET;
}

static void take_content(struct gdb_link *link, uint8_t byte)
{
	link->sum += byte;
	if (link->length == GDB_PACKET_BYTES)
		link->too_long = true;
	else
		link->packet[link->length++] = (char)byte;
}

static enum gdb_input take_sum(struct gdb_link *link, uint8_t byte)
{
	int digit = gdb_hex_digit((char)byte);

	if (digit < 0) {
		link->state = GDB_LINK_IDLE;
		acknowledge(link, false);
		return GDB_INPUT_NONE;
	}
	link->told = (uint8_t)(link->told << 4 | digit);
	if (link->state == GDB_LINK_SUM_LOW)
		return take_end(link);
	link->state = GDB_LINK_SUM_LOW;
	return GDB_INPUT_NONE;
}

enum gdb_input gdb_link_take(struct gdb_link *link, uint8_t byte)
{
	if (byte == '$') { /* never within a packet: also how both sides find together again */
		link->state = GDB_LINK_CONTENT;
		link->length = 0;
		link->sum = link->told = 0;
		link->too_long = false;
		return GDB_INPUT_NONE;
	}
	switch (link->state) {
	case GDB_LINK_IDLE:
		return byte == INTERRUPT_BYTE ? GDB_INPUT_INTERRUPT : GDB_INPUT_NONE; /* nothing is ever sent twice: '-' is idle talk */
	case GDB_LINK_CONTENT:
		if (byte == '#')
			link->state = GDB_LINK_SUM_HIGH;
		else
			take_content(link, byte);
		return GDB_INPUT_NONE;
	default:
		return take_sum(link, byte);
	}
}

void gdb_link_send(struct gdb_link *link, const char *content, size_t count)
{
	static const char digits[] = "0123456789abcdef";
	uint8_t sum = 0;

	if (count > GDB_PACKET_BYTES || GDB_OUTPUT_BYTES - link->out_count < 2 * count + 4)
		link->broken = true;
	if (link->broken)
		return;
	put(link, '$');
	for (size_t i = 0; i < count; i++) {
		uint8_t byte = (uint8_t)content[i];
		if (byte == '$' || byte == '#' || byte == '}' || byte == '*') {
			put(link, '}');
			sum += '}';
			byte ^= 0x20;
		}
		put(link, byte);
		sum += byte;
	}
	put(link, '#');
	put(link, (uint8_t)digits[sum >> 4]);
	put(link, (uint8_t)digits[sum & 15]);
}

size_t gdb_link_read(struct gdb_link *link, uint8_t *to, size_t size)
{
	size_t n = 0;

	for (; n < size && link->out_count != 0; n++) {
		to[n] = link->out[link->out_first];
		link->out_first = (link->out_first + 1) % GDB_OUTPUT_BYTES;
		link->out_count--;
	}
	return n;
}
