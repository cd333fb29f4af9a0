/* Frames for tests of the address translation: made and checked by arithmetic that is not the translation's
 * own. */
#ifndef TESTS_UNIT_NAT_FRAMES_H
#define TESTS_UNIT_NAT_FRAMES_H

#include "drivers-vm/driver/nat_packet.h"

#include <string.h>

#define IP4(a, b, c, d) ((uint32_t)(a) << 24 | (uint32_t)(b) << 16 | (uint32_t)(c) << 8 | (uint32_t)(d))

/* A frame and its memory. */
struct frame {
	struct net_frame frame;
	struct io_segment segment[2];
	uint8_t bytes[2048];
};

/* RFC 1071, by the definition: the complement of the sum of 16-bit words. `sum` is what goes before. */
static inline uint16_t plain_csum(const uint8_t *bytes, unsigned count, uint32_t sum)
{
	for (unsigned i = 0; i < count; i++)
		sum += i % 2 == 0 ? (uint32_t)bytes[i] << 8 : bytes[i];
	while (sum > 0xFFFF)
		sum = (sum & 0xFFFF) + (sum >> 16);
	return (uint16_t)~sum;
}

static inline uint32_t pseudo_sum(const uint8_t *ip, unsigned l4_bytes)
{
	uint32_t sum = ip[9] + l4_bytes;

	for (unsigned i = 12; i < 20; i += 2)
		sum += net_get16(ip + i);
	return sum;
}

static inline unsigned csum_at(uint8_t protocol)
{
	return protocol == NET_IP_TCP ? 16 : protocol == NET_IP_UDP ? 6 : 2;
}

/* Writes an IPv4 packet at `ip`; returns its length. */
static inline unsigned packet_make(uint8_t *ip, const struct nat_tuple *t, uint8_t flags, unsigned data)
{
	unsigned header = t->protocol == NET_IP_TCP ? 20 : 8, bytes = header + data;
	uint8_t *l4 = ip + 20;

	memset(ip, 0, 20 + header);
	ip[0] = 0x45;
	net_put16(ip + 2, (uint16_t)(20 + bytes));
	ip[8] = 64;
	ip[9] = t->protocol;
	net_put32(ip + 12, t->source);
	net_put32(ip + 16, t->target);
	net_put16(ip + 10, plain_csum(ip, 20, 0));
	for (unsigned i = 0; i < data; i++)
		l4[header + i] = (uint8_t)(i * 5 + 1);
	if (t->protocol == NAT_ICMP) {
		l4[0] = flags;
		net_put16(l4 + 4, t->source_port);
	} else {
		net_put16(l4, t->source_port);
		net_put16(l4 + 2, t->target_port);
	}
	if (t->protocol == NET_IP_TCP) {
		l4[12] = 5 << 4;
		l4[13] = flags;
	}
	if (t->protocol == NET_IP_UDP)
		net_put16(l4 + 4, (uint16_t)bytes);
	net_put16(l4 + csum_at(t->protocol), plain_csum(l4, bytes, t->protocol == NAT_ICMP ? 0 : pseudo_sum(ip, bytes)));
	return 20 + bytes;
}

static inline void frame_finish(struct frame *f, unsigned bytes)
{
	uint32_t head = bytes < NET_HEAD_BYTES ? bytes : NET_HEAD_BYTES;

	f->segment[0] = (struct io_segment){ f->bytes, head };
	f->segment[1] = (struct io_segment){ f->bytes + head, bytes - head };
	f->frame = (struct net_frame){ .segment = f->segment, .segments = bytes > head ? 2 : 1, .bytes = bytes };
}

static inline void frame_ethernet(struct frame *f, const uint8_t *to, const uint8_t *from, uint16_t type)
{
	memcpy(f->bytes, to, 6);
	memcpy(f->bytes + 6, from, 6);
	net_put16(f->bytes + 12, type);
}

/* flags: TCP's, or ICMP's type. */
static inline void frame_make(struct frame *f, const uint8_t *to, const uint8_t *from, struct nat_tuple t, uint8_t flags, unsigned data)
{
	frame_ethernet(f, to, from, NET_TYPE_IP4);
	frame_finish(f, 14 + packet_make(f->bytes + 14, &t, flags, data));
}

/* An ICMP error from `source` to `target` that quotes what `about` is, with 8 bytes behind its header and all
 * checksums. */
static inline void frame_make_error(struct frame *f, const uint8_t *to, const uint8_t *from, uint32_t source, uint32_t target,
                                    const struct nat_tuple *about, uint8_t flags)
{
	uint8_t *ip = f->bytes + 14, *icmp = ip + 20;
	unsigned quoted = packet_make(icmp + 8, about, flags, 20);

	quoted = quoted < 28 ? quoted : 28;
	frame_ethernet(f, to, from, NET_TYPE_IP4);
	memset(ip, 0, 28);
	ip[0] = 0x45;
	net_put16(ip + 2, (uint16_t)(28 + quoted));
	ip[8] = 60;
	ip[9] = NAT_ICMP;
	net_put32(ip + 12, source);
	net_put32(ip + 16, target);
	net_put16(ip + 10, plain_csum(ip, 20, 0));
	icmp[0] = 3;
	icmp[1] = 3;
	net_put16(icmp + 2, plain_csum(icmp, 8 + quoted, 0));
	frame_finish(f, 14 + 28 + quoted);
}

/* Whether the checksums of the packet at `ip` are right, but for an absent one of UDP. */
static inline bool packet_is_sound(const uint8_t *ip)
{
	unsigned header = (ip[0] & 15u) * 4, bytes = net_get16(ip + 2) - header;
	const uint8_t *l4 = ip + header;

	if (plain_csum(ip, header, 0) != 0)
		return false;
	if (ip[9] == NET_IP_UDP && net_get16(l4 + 6) == 0)
		return true;
	return plain_csum(l4, bytes, ip[9] == NAT_ICMP ? 0 : pseudo_sum(ip, bytes)) == 0;
}

#endif
