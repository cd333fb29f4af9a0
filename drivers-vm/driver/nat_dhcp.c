/* See nat_dhcp.h. A client is known by the Ethernet address that its frame came from, which the switch has
 * checked; what it says of itself must agree. */
#include "drivers-vm/driver/nat_dhcp.h"

#include "drivers-vm/driver/net_filter.h"

#include <string.h>

/* RFC 2131, figure 1. */
#define XID          4u
#define FLAGS        10u
#define CLIENT_IP    12u
#define YOUR_IP      16u
#define SERVER_IP    20u
#define CLIENT_MAC   28u
#define COOKIE       236u
#define OPTIONS      240u
#define COOKIE_VALUE 0x63825363u

enum {
	OPTION_PAD = 0,
	OPTION_SUBNET_MASK = 1,
	OPTION_ROUTER = 3,
	OPTION_DNS = 6,
	OPTION_BROADCAST = 28,
	OPTION_WANTED = 50,
	OPTION_LEASE = 51,
	OPTION_TYPE = 53,
	OPTION_SERVER = 54,
	OPTION_END = 255,
};

enum { DISCOVER = 1, OFFER = 2, REQUEST = 3, DECLINE = 4, ACK = 5, NAK = 6, RELEASE = 7, INFORM = 8 };

struct request {
	uint8_t type;                    /* 0: none */
	uint32_t wanted, server, client; /* 0: not given */
};

static uint32_t option32(const uint8_t *value, unsigned length)
{
	return length == 4 ? net_get32(value) : 0;
}

static struct request read_request(const uint8_t *message, unsigned bytes)
{
	struct request r = { .client = net_get32(message + CLIENT_IP) };
	unsigned at = OPTIONS;

	while (at < bytes && message[at] != OPTION_END) {
		const uint8_t *value = message + at + 2;
		unsigned code = message[at], length;
		if (code == OPTION_PAD) {
			at++;
			continue;
		}
		if (at + 2 > bytes || (length = message[at + 1]) > bytes - at - 2)
			break;
		if (code == OPTION_TYPE && length == 1)
			r.type = *value;
		else if (code == OPTION_WANTED)
			r.wanted = option32(value, length);
		else if (code == OPTION_SERVER)
			r.server = option32(value, length);
		at += 2 + length;
	}
	return r;
}

static uint8_t *put_option32(uint8_t *at, uint8_t code, uint32_t value)
{
	at[0] = code;
	at[1] = 4;
	net_put32(at + 2, value);
	return at + 6;
}

static void write_answer(const struct nat_hosts *hosts, const uint8_t *message, uint8_t type, uint32_t yours, uint8_t *answer)
{
	uint32_t gateway = nat_hosts_gateway(hosts);
	uint8_t *at = answer + OPTIONS;

	memset(answer, 0, NAT_DHCP_BYTES);
	answer[0] = 2; /* BOOTREPLY */
	answer[1] = 1; /* Ethernet */
	answer[2] = NET_MAC_BYTES;
	memcpy(answer + XID, message + XID, 4);
	memcpy(answer + FLAGS, message + FLAGS, 2);
	if (type != NAK)
		memcpy(answer + CLIENT_IP, message + CLIENT_IP, 4);
	net_put32(answer + YOUR_IP, yours);
	net_put32(answer + SERVER_IP, type == NAK ? 0 : gateway);
	memcpy(answer + CLIENT_MAC, message + CLIENT_MAC, 16);
	net_put32(answer + COOKIE, COOKIE_VALUE);
	*at++ = OPTION_TYPE;
	*at++ = 1;
	*at++ = type;
	at = put_option32(at, OPTION_SERVER, gateway);
	if (type != NAK) {
		if (yours != 0)
			at = put_option32(at, OPTION_LEASE, NAT_LEASE_SECONDS);
		at = put_option32(at, OPTION_SUBNET_MASK, -hosts->count);
		at = put_option32(at, OPTION_BROADCAST, hosts->subnet + hosts->count - 1);
		at = put_option32(at, OPTION_ROUTER, gateway);
		at = put_option32(at, OPTION_DNS, gateway);
	}
	*at = OPTION_END;
}

/* RFC 2131, 4.3.2: after an offer, after a restart, or to keep the address. */
static uint8_t grant(struct nat_hosts *hosts, const struct request *r, const uint8_t *mac, uint64_t now_ns, uint32_t *yours,
                     uint32_t *fresh)
{
	uint32_t address = r->wanted != 0 ? r->wanted : r->client;
	bool is_fresh;

	if (nat_hosts_use(hosts, address, mac, now_ns, &is_fresh) < 0)
		return NAK;
	*yours = address;
	*fresh = is_fresh ? address : 0;
	return ACK;
}

unsigned nat_dhcp_answer(struct nat_hosts *hosts, const uint8_t *message, unsigned bytes, const uint8_t *mac, uint64_t now_ns,
                         uint8_t answer[NAT_DHCP_BYTES], uint32_t *target, uint32_t *fresh)
{
	struct request r;
	uint32_t yours = 0;
	uint8_t type;

	*target = *fresh = 0;
	if (bytes < OPTIONS || message[0] != 1 || message[1] != 1 || message[2] != NET_MAC_BYTES ||
	    memcmp(message + CLIENT_MAC, mac, NET_MAC_BYTES) != 0 || net_get32(message + COOKIE) != COOKIE_VALUE)
		return 0;
	r = read_request(message, bytes);
	if (r.server != 0 && r.server != nat_hosts_gateway(hosts))
		return 0; /* it has chosen another server */
	switch (r.type) {
	case DISCOVER:
		type = OFFER;
		yours = nat_hosts_choose(hosts, mac, r.wanted, now_ns);
		if (yours == 0)
			return 0;
		break;
	case REQUEST:
		type = grant(hosts, &r, mac, now_ns, &yours, fresh);
		break;
	case INFORM:
		type = ACK;
		break;
	default:
		return 0;
	}
	/* What has an address already is answered there; a refusal goes to everybody, as the address may be
	 * no good. */
	*target = type == NAK ? 0 : r.client;
	write_answer(hosts, message, type, yours, answer);
	return NAT_DHCP_BYTES;
}
