/*
 * Who has which address inside: an address belongs to one card's Ethernet address until that has been silent
 * for long. DHCP gives addresses, and a card that takes a free one by itself has it too; one that is
 * another's it cannot use. Pure.
 */
#ifndef DRIVERS_VM_DRIVER_NAT_HOSTS_H
#define DRIVERS_VM_DRIVER_NAT_HOSTS_H

#include "drivers-vm/driver/net_port.h"

#define NAT_HOSTS_OF_CARD 4u /* addresses that one card can have */
#define NAT_LEASE_SECONDS 3600u
#define NAT_HOSTS_MAX     256u
#define NAT_PREFIX_MIN    24u
#define NAT_PREFIX_MAX    29u

struct nat_host {
	uint64_t used_ns; /* 0: nobody's */
	uint8_t mac[NET_MAC_BYTES];
};

struct nat_hosts {
	uint32_t subnet; /* its first address */
	uint32_t count;  /* addresses in it, gateway (the second) and broadcast (the last) included */
	/* Whether the configuration lets that card have the address; asked when it is to get it. */
	bool (*allowed)(void *ctx, uint32_t address, const uint8_t *mac);
	void *ctx;
	struct nat_host *host; /* NAT_HOSTS_MAX of them, by the address's place in the subnet */
};

/* Over the memory `host`, which outlives the driver VM, with what is there. */
void nat_hosts_init(struct nat_hosts *hosts, struct nat_host *host, uint32_t subnet, unsigned prefix);

/* After a driver VM that has crashed: what it cannot have meant is gone. */
void nat_hosts_check(struct nat_hosts *hosts, uint64_t now_ns);

static inline uint32_t nat_hosts_gateway(const struct nat_hosts *hosts)
{
	return hosts->subnet + 1;
}

static inline bool nat_hosts_has(const struct nat_hosts *hosts, uint32_t address)
{
	return address - hosts->subnet < hosts->count;
}

/*
 * The card `mac` uses `address`: its place, or -1: it is not the card's to use. *fresh: it was somebody
 * else's before, or nobody's.
 */
int nat_hosts_use(struct nat_hosts *hosts, uint32_t address, const uint8_t *mac, uint64_t now_ns, bool *fresh);

/* Whose the address is now; NULL: nobody's. */
const struct nat_host *nat_hosts_find(const struct nat_hosts *hosts, uint32_t address);

/* An address that the card could use: `wanted`, else its own, else a free one, always the same if that can
 * be. 0: there is none. */
uint32_t nat_hosts_choose(const struct nat_hosts *hosts, const uint8_t *mac, uint32_t wanted, uint64_t now_ns);

#endif
