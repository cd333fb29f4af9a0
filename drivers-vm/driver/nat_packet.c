/* See nat_packet.h. A change of two bytes is put into every checksum that covers them, in whatever state that
 * checksum is. */
#include "drivers-vm/driver/nat_packet.h"

#define L3         NET_HEADER_BYTES
#define IP_BYTES   20u
#define IP_TTL     8u
#define IP_CSUM    10u
#define IP_SOURCE  12u
#define IP_TARGET  16u
#define TCP_BYTES  20u
#define TCP_FLAGS  13u
#define TCP_CSUM   16u
#define UDP_CSUM   6u
#define ICMP_BYTES 8u
#define ICMP_CSUM  2u
#define ICMP_ID    4u
#define QUOTED_MIN 8u /* bytes of the quoted packet behind its IP header: RFC 792 */

static uint8_t *at(const struct net_frame *frame, unsigned offset)
{
	return frame->segment[0].bytes + offset;
}

/* ---- Reading ---- */

/*
 * The IPv4 header at `ip` with at least `room` bytes of frame from there; returns where what follows it
 * begins, 0: there is none. `whole`: all of the packet must be there.
 */
static unsigned read_ip(const struct net_frame *frame, unsigned ip, uint32_t room, bool whole, struct nat_tuple *t)
{
	const uint8_t *h = at(frame, ip);
	unsigned head = frame->segment[0].count, header;

	if (head < ip + IP_BYTES || room < IP_BYTES || h[0] >> 4 != 4)
		return 0;
	header = (h[0] & 15u) * 4;
	if (header < IP_BYTES || head < ip + header || net_get16(h + 2) < header || (whole && net_get16(h + 2) > room))
		return 0;
	/* Only a packet that is no fragment, or the first one, has ports; and of one in fragments the rest
	 * would not follow. */
	if ((net_get16(h + 6) & 0x3FFF) != 0)
		return 0;
	t->protocol = h[9];
	t->source = net_get32(h + IP_SOURCE);
	t->target = net_get32(h + IP_TARGET);
	return ip + header;
}

static bool is_error(uint8_t type)
{
	return type == 3 || type == 11 || type == 12; /* unreachable, time exceeded, parameter problem */
}

/* Ports, or an echo's identifier, from `l4` on, of which `bytes` are there. */
static bool read_ports(const struct net_frame *frame, unsigned l4, uint32_t bytes, struct nat_tuple *t)
{
	const uint8_t *h = at(frame, l4);

	if (bytes < QUOTED_MIN || frame->segment[0].count < l4 + QUOTED_MIN)
		return false;
	if (t->protocol == NET_IP_TCP || t->protocol == NET_IP_UDP) {
		t->source_port = net_get16(h);
		t->target_port = net_get16(h + 2);
		return true;
	}
	if (t->protocol != NAT_ICMP || (h[0] != NAT_ICMP_ECHO && h[0] != NAT_ICMP_ECHO_REPLY))
		return false;
	t->source_port = t->target_port = net_get16(h + ICMP_ID);
	return true;
}

static void read_error(const struct net_frame *frame, uint32_t bytes, struct nat_packet *p)
{
	p->quoted_ip = p->l4 + ICMP_BYTES;
	p->quoted_l4 = read_ip(frame, p->quoted_ip, bytes - ICMP_BYTES, false, &p->quoted);
	if (p->quoted_l4 != 0 && bytes >= p->quoted_l4 - p->l4 &&
	    read_ports(frame, p->quoted_l4, bytes - (p->quoted_l4 - p->l4), &p->quoted))
		p->kind = NAT_PACKET_ICMP_ERROR;
}

/* What the sender left undone is just what its protocol would have: nothing else could be passed on
 * translated. */
static bool is_offload_plain(const struct net_frame *frame, const struct nat_packet *p)
{
	unsigned csum = p->tuple.protocol == NET_IP_TCP ? TCP_CSUM : UDP_CSUM;

	if (!frame->csum_partial)
		return frame->gso == NET_GSO_NONE;
	return p->tuple.protocol != NAT_ICMP && frame->csum_start == p->l4 && frame->csum_offset == csum &&
	       (frame->gso == NET_GSO_NONE || (frame->gso == NET_GSO_TCP4 && p->tuple.protocol == NET_IP_TCP));
}

struct nat_packet nat_packet_read(const struct net_frame *frame)
{
	struct nat_packet p = { .kind = NAT_PACKET_BAD };
	const uint8_t *ip = at(frame, L3);
	uint32_t bytes;

	if (frame->segment[0].count < L3 + IP_BYTES || frame->bytes < L3 + IP_BYTES)
		return p;
	p.l4 = read_ip(frame, L3, frame->bytes - L3, true, &p.tuple);
	if (p.l4 == 0)
		return p;
	p.ttl = ip[IP_TTL];
	bytes = net_get16(ip + 2) - (p.l4 - L3);
	if (frame->segment[0].count < p.l4 + ICMP_BYTES || bytes < ICMP_BYTES || !is_offload_plain(frame, &p))
		return p;
	if (p.tuple.protocol == NAT_ICMP) {
		p.icmp_type = *at(frame, p.l4);
		if (is_error(p.icmp_type)) {
			read_error(frame, bytes, &p);
			return p;
		}
	}
	if (p.tuple.protocol == NET_IP_TCP) {
		if (bytes < TCP_BYTES || frame->segment[0].count < p.l4 + TCP_BYTES)
			return p;
		p.tcp_flags = *at(frame, p.l4 + TCP_FLAGS);
	}
	if (read_ports(frame, p.l4, bytes, &p.tuple))
		p.kind = NAT_PACKET_DATA;
	return p;
}

/* ---- Changing ---- */

/* RFC 1624, equation 3. `partial`: the field holds the sum itself, not its complement. */
static void csum_change(uint8_t *csum, uint16_t before, uint16_t after, bool partial)
{
	uint16_t field = net_get16(csum);
	uint32_t sum = (uint32_t)(partial ? field : (uint16_t)~field) + (uint16_t)~before + after;

	sum = (sum & 0xFFFF) + (sum >> 16);
	sum = (sum & 0xFFFF) + (sum >> 16);
	net_put16(csum, (uint16_t)(partial ? sum : ~sum));
}

/* What covers a field that changes: offsets of checksums in the frame, 0: none. */
struct covers {
	unsigned ip, l4, icmp;
	bool partial; /* l4 is the sum of the pseudo header only: ports are no part of it */
};

static void change16(struct net_frame *frame, unsigned offset, uint16_t value, const struct covers *c, bool address)
{
	uint8_t *field = at(frame, offset);
	uint16_t before = net_get16(field), csum;

	net_put16(field, value);
	if (c->icmp != 0)
		csum_change(at(frame, c->icmp), before, value, false);
	if (c->ip != 0 && address) {
		csum = net_get16(at(frame, c->ip));
		csum_change(at(frame, c->ip), before, value, false);
		if (c->icmp != 0)
			csum_change(at(frame, c->icmp), csum, net_get16(at(frame, c->ip)), false);
	}
	if (c->l4 != 0 && (address || !c->partial)) {
		csum = net_get16(at(frame, c->l4));
		csum_change(at(frame, c->l4), before, value, c->partial);
		if (c->icmp != 0)
			csum_change(at(frame, c->icmp), csum, net_get16(at(frame, c->l4)), false);
	}
}

static void change32(struct net_frame *frame, unsigned offset, uint32_t value, const struct covers *c)
{
	change16(frame, offset, (uint16_t)(value >> 16), c, true);
	change16(frame, offset + 2, (uint16_t)value, c, true);
}

static struct covers covers_of(const struct net_frame *frame, const struct nat_packet *p)
{
	struct covers c = { .ip = L3 + IP_CSUM, .partial = frame->csum_partial };

	if (p->tuple.protocol == NET_IP_TCP)
		c.l4 = p->l4 + TCP_CSUM;
	else if (p->tuple.protocol == NET_IP_UDP && (c.partial || net_get16(at(frame, p->l4 + UDP_CSUM)) != 0))
		c.l4 = p->l4 + UDP_CSUM; /* 0: the sender made none (RFC 768) */
	return c;
}

/* An echo's identifier is covered by its own checksum, which no address is part of. */
static void change_port(struct net_frame *frame, const struct nat_packet *p, struct covers c, unsigned offset, uint16_t port)
{
	if (p->tuple.protocol == NAT_ICMP) {
		c.l4 = p->l4 + ICMP_CSUM;
		offset = ICMP_ID;
	}
	change16(frame, p->l4 + offset, port, &c, false);
}

static void change(struct net_frame *frame, const struct nat_packet *p, unsigned address_at, uint32_t address, unsigned port_at,
                   uint16_t port)
{
	const struct covers c = covers_of(frame, p);
	uint8_t *csum = at(frame, p->l4 + UDP_CSUM);

	change32(frame, L3 + address_at, address, &c);
	change_port(frame, p, c, port_at, port);
	/* A computed sum of 0 is sent as all ones: RFC 768. */
	if (p->tuple.protocol == NET_IP_UDP && c.l4 != 0 && !c.partial && net_get16(csum) == 0)
		net_put16(csum, 0xFFFF);
}

void nat_packet_set_source(struct net_frame *frame, const struct nat_packet *p, uint32_t address, uint16_t port)
{
	change(frame, p, IP_SOURCE, address, 0, port);
}

void nat_packet_set_target(struct net_frame *frame, const struct nat_packet *p, uint32_t address, uint16_t port)
{
	change(frame, p, IP_TARGET, address, 2, port);
}

void nat_packet_set_error(struct net_frame *frame, const struct nat_packet *p, uint32_t source, uint16_t source_port, uint32_t target)
{
	const struct covers outer = { .ip = L3 + IP_CSUM };
	struct covers c = { .ip = p->quoted_ip + IP_CSUM, .icmp = p->l4 + ICMP_CSUM };
	unsigned port_at = p->quoted_l4;

	/* The quoted checksum of TCP lies behind what must be quoted, and nobody checks it. */
	if (p->quoted.protocol == NET_IP_UDP && net_get16(at(frame, p->quoted_l4 + UDP_CSUM)) != 0)
		c.l4 = p->quoted_l4 + UDP_CSUM;
	change32(frame, L3 + IP_TARGET, source, &outer);
	change32(frame, p->quoted_ip + IP_SOURCE, source, &c);
	change32(frame, p->quoted_ip + IP_TARGET, target, &c);
	if (p->quoted.protocol == NAT_ICMP) {
		c.l4 = p->quoted_l4 + ICMP_CSUM;
		port_at += ICMP_ID;
	}
	change16(frame, port_at, source_port, &c, false);
}

void nat_packet_age(struct net_frame *frame)
{
	const struct covers c = { .ip = L3 + IP_CSUM };
	uint16_t word = net_get16(at(frame, L3 + IP_TTL));

	change16(frame, L3 + IP_TTL, (uint16_t)(word - 0x100), &c, true);
}
