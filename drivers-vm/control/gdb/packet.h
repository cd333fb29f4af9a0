/*
 * GDB's remote serial protocol, its lowest layer: bytes to packets and back, acknowledgements, the interrupt byte. Pure. What comes
 * in is hostile: packets that are too long, broken or wrongly summed never come out. GDB manual, "Overview" and "Packet
 * Acknowledgment" of its remote protocol.
 */
#ifndef DRIVERS_VM_CONTROL_GDB_PACKET_H
#define DRIVERS_VM_CONTROL_GDB_PACKET_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define GDB_PACKET_BYTES 8192u  /* the longest packet's content, either way: PacketSize */
#define GDB_OUTPUT_BYTES 32768u /* that wait to be read; more breaks the link */

enum gdb_input {
	GDB_INPUT_NONE,
	GDB_INPUT_PACKET,    /* link.packet, link.length; until the next byte */
	GDB_INPUT_INTERRUPT, /* Ctrl-C */
};

struct gdb_link {
	enum { GDB_LINK_IDLE, GDB_LINK_CONTENT, GDB_LINK_SUM_HIGH, GDB_LINK_SUM_LOW } state;
	bool no_ack;
	bool broken; /* the other side sends and does not read: to be closed */
	bool too_long;
	uint8_t sum, told; /* of the packet that is coming, and what its end says */
	size_t length;
	char packet[GDB_PACKET_BYTES + 1]; /* NUL-terminated */
	size_t out_first, out_count;
	uint8_t out[GDB_OUTPUT_BYTES]; /* a ring */
};

void gdb_link_init(struct gdb_link *link);

/* One byte from the debugger. */
enum gdb_input gdb_link_take(struct gdb_link *link, uint8_t byte);

/* A packet to it; bytes that mean something in the protocol are escaped. More than GDB_PACKET_BYTES breaks the link. */
void gdb_link_send(struct gdb_link *link, const char *content, size_t count);

/* Moves up to `size` bytes of output to `to`; returns how many. */
size_t gdb_link_read(struct gdb_link *link, uint8_t *to, size_t size);

#endif
