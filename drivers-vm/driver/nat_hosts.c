/* See nat_hosts.h. */
#include "drivers-vm/driver/nat_hosts.h"

#include "drivers-vm/driver/net_filter.h"

#include <string.h>

#define LEASE_NS (NAT_LEASE_SECONDS * 1000000000ull)

void nat_hosts_init(struct nat_hosts *hosts, struct nat_host *host, uint32_t subnet, unsigned prefix)
{
	memset(hosts, 0, sizeof(*hosts));
	hosts->host = host;
	hosts->count = 1u << (32 - prefix);
	hosts->subnet = subnet & -hosts->count;
}

void nat_hosts_check(struct nat_hosts *hosts, uint64_t now_ns)
{
	for (unsigned i = 0; i < NAT_HOSTS_MAX; i++)
		if (hosts->host[i].used_ns > now_ns || (hosts->host[i].mac[0] & 1))
			hosts->host[i] = (struct nat_host){ 0 };
}

/* Neither the subnet's own address, nor the gateway's, nor the broadcast address. */
static bool is_for_guests(const struct nat_hosts *hosts, uint32_t address)
{
	return nat_hosts_has(hosts, address) && address - hosts->subnet >= 2 && address - hosts->subnet != hosts->count - 1;
}

static bool is_of(const struct nat_host *host, const uint8_t *mac)
{
	return host->used_ns != 0 && memcmp(host->mac, mac, NET_MAC_BYTES) == 0;
}

/* Nobody's, or of one who has been silent for longer than any lease. */
static bool is_free(const struct nat_host *host, uint64_t now_ns)
{
	return host->used_ns == 0 || now_ns - host->used_ns > LEASE_NS;
}

static bool may_have(const struct nat_hosts *hosts, uint32_t address, const uint8_t *mac)
{
	return hosts->allowed == NULL || hosts->allowed(hosts->ctx, address, mac);
}

/* A card that has as many as it can have loses the one it used longest ago. */
static void make_room(struct nat_hosts *hosts, const uint8_t *mac)
{
	struct nat_host *oldest = NULL;
	unsigned count = 0;

	for (unsigned i = 0; i < hosts->count; i++) {
		struct nat_host *host = &hosts->host[i];
		if (!is_of(host, mac))
			continue;
		count++;
		if (oldest == NULL || host->used_ns < oldest->used_ns)
			oldest = host;
	}
	if (count >= NAT_HOSTS_OF_CARD)
		oldest->used_ns = 0;
}

int nat_hosts_use(struct nat_hosts *hosts, uint32_t address, const uint8_t *mac, uint64_t now_ns, bool *fresh)
{
	uint32_t place = address - hosts->subnet;
	struct nat_host *host;

	*fresh = false;
	if (!is_for_guests(hosts, address))
		return -1;
	host = &hosts->host[place];
	if (!is_of(host, mac)) {
		if (!is_free(host, now_ns) || !may_have(hosts, address, mac))
			return -1;
		make_room(hosts, mac);
		memcpy(host->mac, mac, NET_MAC_BYTES);
		*fresh = true;
	}
	host->used_ns = now_ns;
	return (int)place;
}

const struct nat_host *nat_hosts_find(const struct nat_hosts *hosts, uint32_t address)
{
	const struct nat_host *host = nat_hosts_has(hosts, address) ? &hosts->host[address - hosts->subnet] : NULL;

	return host != NULL && host->used_ns != 0 ? host : NULL;
}

static bool could_use(const struct nat_hosts *hosts, uint32_t address, const uint8_t *mac, uint64_t now_ns)
{
	const struct nat_host *host = &hosts->host[address - hosts->subnet];

	return (is_of(host, mac) || is_free(host, now_ns)) && may_have(hosts, address, mac);
}

uint32_t nat_hosts_choose(const struct nat_hosts *hosts, const uint8_t *mac, uint32_t wanted, uint64_t now_ns)
{
	uint32_t most = hosts->count - 3, start = (net_get32(mac + 2) * 0x9E3779B1u >> 8) % most;
	const struct nat_host *own = NULL;

	for (unsigned i = 0; i < hosts->count; i++)
		if (is_of(&hosts->host[i], mac) && (own == NULL || hosts->host[i].used_ns > own->used_ns))
			own = &hosts->host[i];
	if (is_for_guests(hosts, wanted) && could_use(hosts, wanted, mac, now_ns))
		return wanted;
	if (own != NULL && may_have(hosts, hosts->subnet + (uint32_t)(own - hosts->host), mac))
		return hosts->subnet + (uint32_t)(own - hosts->host);
	for (uint32_t i = 0; i < most; i++) {
		uint32_t address = hosts->subnet + 2 + (start + i) % most;
		if (could_use(hosts, address, mac, now_ns))
			return address;
	}
	return 0;
}
