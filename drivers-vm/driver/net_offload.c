/* One piece at a time is built from a copy of the headers and the sender's own data. */
#include "drivers-vm/driver/net_offload.h"

#include "drivers-vm/driver/net_filter.h"

#include <string.h>

#define IP4_BYTES    20u
#define IP6_BYTES    40u
#define TCP_BYTES    20u
#define TCP_DATA_MIN 48u /* of a piece: smaller ones would make much work of one frame */
#define TCP_CSUM     16u
#define TCP_FLAGS    13u
#define TCP_FIN      0x01u
#define TCP_PUSH     0x08u
#define TCP_CWR      0x80u

/* The receiver gets these one by one, and has done with each when `receive` returns. */
struct piece {
	struct net_frame frame;
	struct io_segment segment[NET_SEGMENTS_MAX + 1];
	uint8_t head[NET_HEAD_BYTES + NET_TAG_BYTES];
};

/* ---- Checks ---- */

static unsigned head_bytes(const struct net_frame *frame)
{
	return frame->segment[0].count;
}

/* A TCP segment over IPv4 or IPv6 without extension headers, with all headers in the head. */
static bool is_tcp(const struct net_frame *frame, unsigned l3, uint16_t type)
{
	const uint8_t *ip = frame->segment[0].bytes + l3;
	unsigned l4 = frame->csum_start, tcp;

	if (type == NET_TYPE_IP4 && frame->gso == NET_GSO_TCP4) {
		if (l4 < l3 + IP4_BYTES || l4 != l3 + (ip[0] & 15u) * 4 || ip[9] != NET_IP_TCP)
			return false;
	} else if (type != NET_TYPE_IP6 || frame->gso != NET_GSO_TCP6 || l4 != l3 + IP6_BYTES || ip[6] != NET_IP_TCP) {
		return false;
	}
	if (frame->csum_offset != TCP_CSUM || l4 + TCP_BYTES > head_bytes(frame))
		return false;
	tcp = (frame->segment[0].bytes[l4 + 12] >> 4) * 4u;
	return tcp >= TCP_BYTES && l4 + tcp <= head_bytes(frame);
}

bool net_offload_check(const struct net_frame *frame, unsigned l3, uint16_t type)
{
	if (!frame->csum_partial)
		return frame->gso == NET_GSO_NONE;
	if (frame->csum_start < l3 || frame->csum_start + frame->csum_offset + 2u > head_bytes(frame))
		return false;
	return frame->gso == NET_GSO_NONE || (frame->gso_bytes >= TCP_DATA_MIN && is_tcp(frame, l3, type));
}

/* ---- Checksums: RFC 1071 ---- */

static uint64_t sum_add(uint64_t sum, const uint8_t *bytes, uint32_t count, bool odd)
{
	if (odd && count != 0) {
		sum += *bytes++;
		count--;
	}
	for (; count >= 2; count -= 2, bytes += 2)
		sum += net_get16(bytes);
	return count != 0 ? sum + (uint32_t)(*bytes << 8) : sum;
}

static uint16_t sum_fold(uint64_t sum)
{
	while (sum >> 16 != 0)
		sum = (sum & 0xFFFF) + (sum >> 16);
	return (uint16_t)sum;
}

/* Of a frame's bytes from `from` on; `sum` is what goes before. */
static uint16_t frame_sum(const struct net_frame *frame, uint32_t from, uint64_t sum)
{
	uint32_t skip = from, done = 0;

	for (unsigned i = 0; i < frame->segments; i++) {
		const struct io_segment *s = &frame->segment[i];
		if (skip >= s->count) {
			skip -= s->count;
			continue;
		}
		sum = sum_add(sum, s->bytes + skip, s->count - skip, done & 1);
		done += s->count - skip;
		skip = 0;
	}
	return sum_fold(sum);
}

static void checksum_fill(struct net_frame *frame)
{
	uint8_t *at = frame->segment[0].bytes + frame->csum_start + frame->csum_offset;
	uint16_t sum = (uint16_t)~frame_sum(frame, frame->csum_start, 0);

	/* What stood there, the sum of the pseudo header, counts in. For UDP, 0 would mean that there is
	 * none. */
	net_put16(at, sum != 0 ? sum : 0xFFFF);
	frame->csum_partial = false;
}

/* ---- Pieces ---- */

static void piece_init(struct piece *p, const struct net_frame *frame, unsigned head)
{
	memcpy(p->head, frame->segment[0].bytes, head);
	p->segment[0] = (struct io_segment){ p->head, head };
	p->frame = (struct net_frame){
		.segment = p->segment,
		.segments = 1,
		.bytes = head,
		.csum_partial = frame->csum_partial,
		.csum_start = frame->csum_start,
		.csum_offset = frame->csum_offset,
	};
}

/* Adds [from, from + count) of the frame, from its segment *index on, of which *skip bytes are used. */
static void piece_add(struct piece *p, const struct net_frame *frame, unsigned *index, uint32_t *skip, uint32_t count)
{
	while (count != 0 && *index < frame->segments) {
		const struct io_segment *s = &frame->segment[*index];
		uint32_t part = s->count - *skip;
		if (part > count)
			part = count;
		if (part != 0)
			p->segment[p->frame.segments++] = (struct io_segment){ s->bytes + *skip, part };
		p->frame.bytes += part;
		count -= part;
		*skip += part;
		if (*skip == s->count) {
			++*index;
			*skip = 0;
		}
	}
}

static void deliver(struct net_port *port, struct net_frame *frame)
{
	if (frame->csum_partial && !(port->can & NET_CAN_CSUM))
		checksum_fill(frame);
	port->ops->receive(port, frame);
}

/* The piece's own lengths, numbers and flags: RFC 9293, 3.1; RFC 791, 3.1. The old sum was of the whole
 * length. */
static void fix_headers(struct piece *p, const struct net_frame *frame, unsigned l3, unsigned number, uint32_t offset, bool last)
{
	unsigned l4 = frame->csum_start;
	uint8_t *ip = p->head + l3, *tcp = p->head + l4;
	uint32_t old_bytes = frame->bytes - l4, new_bytes = p->frame.bytes - l4;
	uint64_t sum;

	if (frame->gso == NET_GSO_TCP4) {
		net_put16(ip + 2, (uint16_t)(p->frame.bytes - l3));
		net_put16(ip + 4, (uint16_t)(net_get16(ip + 4) + number));
		net_put16(ip + 10, 0);
		net_put16(ip + 10, (uint16_t)~sum_fold(sum_add(0, ip, l4 - l3, false)));
	} else {
		net_put16(ip + 4, (uint16_t)new_bytes);
	}
	net_put32(tcp + 4, net_get32(tcp + 4) + offset);
	if (number != 0)
		tcp[TCP_FLAGS] &= (uint8_t)~TCP_CWR;
	if (!last)
		tcp[TCP_FLAGS] &= (uint8_t) ~(TCP_FIN | TCP_PUSH);
	/* The pseudo header's sum: its length changes. */
	sum = net_get16(tcp + TCP_CSUM);
	sum += 0xFFFF - sum_fold(old_bytes) + new_bytes;
	net_put16(tcp + TCP_CSUM, sum_fold(sum));
}

static void deliver_cut(struct net_port *port, const struct net_frame *frame, unsigned l3)
{
	static struct piece piece; /* not on the stack, which is small; there is one at a time */
	const unsigned head = frame->csum_start + (frame->segment[0].bytes[frame->csum_start + 12] >> 4) * 4u;
	uint32_t left = frame->bytes - head, offset = 0, skip = head;
	unsigned index = 0;

	for (unsigned number = 0; left != 0; number++) {
		uint32_t part = left < frame->gso_bytes ? left : frame->gso_bytes;
		piece_init(&piece, frame, head);
		piece_add(&piece, frame, &index, &skip, part);
		left -= part;
		fix_headers(&piece, frame, l3, number, offset, left == 0);
		offset += part;
		deliver(port, &piece.frame);
	}
}

static void deliver_summed(struct net_port *port, const struct net_frame *frame)
{
	static struct piece piece;
	unsigned index = 1;
	uint32_t skip = 0;

	piece_init(&piece, frame, head_bytes(frame));
	piece_add(&piece, frame, &index, &skip, frame->bytes - head_bytes(frame));
	deliver(port, &piece.frame);
}

void net_offload_deliver(struct net_port *port, struct net_frame *frame, unsigned l3)
{
	uint32_t needs = frame->gso == NET_GSO_TCP4   ? NET_CAN_CSUM | NET_CAN_TCP4
	                 : frame->gso == NET_GSO_TCP6 ? NET_CAN_CSUM | NET_CAN_TCP6
	                 : frame->csum_partial        ? NET_CAN_CSUM
	                                              : 0;

	if ((port->can & needs) == needs)
		port->ops->receive(port, frame);
	else if (frame->gso != NET_GSO_NONE)
		deliver_cut(port, frame, l3);
	else
		deliver_summed(port, frame);
}
