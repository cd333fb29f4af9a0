/*
 * An IPv4 packet as address translation sees it, and the change of one address and port. Pure: it reads and
 * writes the frame's first segment only. RFC 791, RFC 792, RFC 1624 (incremental checksums).
 */
#ifndef DRIVERS_VM_DRIVER_NAT_PACKET_H
#define DRIVERS_VM_DRIVER_NAT_PACKET_H

#include "drivers-vm/driver/net_filter.h"

#define NAT_ICMP            1u
#define NAT_ICMP_ECHO_REPLY 0u
#define NAT_ICMP_ECHO       8u

#define NAT_TCP_FIN 0x01u
#define NAT_TCP_SYN 0x02u
#define NAT_TCP_RST 0x04u

enum nat_kind {
	NAT_PACKET_BAD,        /* malformed, or a later fragment, or of a protocol that is not translated */
	NAT_PACKET_DATA,       /* TCP, UDP, ICMP echo */
	NAT_PACKET_ICMP_ERROR, /* it quotes one of those */
};

/* Addresses and ports in the CPU's byte order. */
struct nat_tuple {
	uint8_t protocol; /* NET_IP_TCP, NET_IP_UDP, NAT_ICMP */
	uint32_t source, target;
	uint16_t source_port, target_port; /* of an echo: the identifier in both */
};

struct nat_packet {
	enum nat_kind kind;
	struct nat_tuple tuple;            /* of an error: addresses only */
	struct nat_tuple quoted;           /* of an error: the packet that it is about */
	unsigned l4, quoted_ip, quoted_l4; /* offsets in the frame */
	uint8_t tcp_flags, icmp_type;
	uint8_t ttl;
};

/* Reads a frame without tag whose type is IPv4. */
struct nat_packet nat_packet_read(const struct net_frame *frame);

/* Changes source or target of a NAT_PACKET_DATA; an echo has one identifier, which either changes. */
void nat_packet_set_source(struct net_frame *frame, const struct nat_packet *p, uint32_t address, uint16_t port);
void nat_packet_set_target(struct net_frame *frame, const struct nat_packet *p, uint32_t address, uint16_t port);

/* Changes the target of an error, and the source and target that it quotes. */
void nat_packet_set_error(struct net_frame *frame, const struct nat_packet *p, uint32_t source, uint16_t source_port, uint32_t target);

/* One hop more. */
void nat_packet_age(struct net_frame *frame);

#endif
