/* See stack.h. */
#include "drivers-vm/control/net/stack.h"

#include "drivers-vm/control/entropy.h"
#include "drivers-vm/control/net/port.h"
#include "drivers-vm/control/net/stack_hooks.h"
#include "drivers-vm/runtime/service.h"

#include "lwip/apps/mdns.h"
#include "lwip/dhcp.h"
#include "lwip/dns.h"
#include "lwip/etharp.h"
#include "lwip/ethip6.h"
#include "lwip/init.h"
#include "lwip/sys.h"
#include "lwip/timeouts.h"
#include "mbedtls/sha256.h"
#include "netif/ethernet.h"

#include <ctype.h>
#include <string.h>

#define BATCH       16u /* frames between two looks at everything else */
#define PIECES      8u
#define MDNS_TTL    120u           /* seconds: RFC 6762, 10 Resource Record TTL Values */
#define WAIT_NS     15000000000ull /* for an address by DHCP */
#define ISN_TICK_NS 4000ull        /* RFC 6528, 3: the clock of sequence numbers */

static const struct config_api *config;
static struct netif card;
static bool added;
static uint64_t started_ns; /* then the card's */
static uint8_t secret[32];
static struct stack_counts counts;
static uint32_t shown; /* the IPv4 address that the log has told of */

/* ---- What lwIP asks for -------------------------------------------------------------------------------------------------------------- */

u32_t sys_now(void)
{
	return (u32_t)(service_tsc_to_ns(service_tsc()) / 1000000);
}

uint32_t lwip_random(void)
{
	uint32_t value;

	entropy_fill(&value, sizeof(value));
	return value;
}

u32_t stack_tcp_isn(const ip_addr_t *local_ip, u16_t local_port, const ip_addr_t *remote_ip, u16_t remote_port)
{
	struct {
		ip_addr_t local, remote;
		u16_t local_port, remote_port;
		uint8_t secret[sizeof(secret)];
	} of;
	uint8_t digest[32];
	uint32_t number;

	memset(&of, 0, sizeof(of)); /* padding too */
	ip_addr_copy(of.local, *local_ip);
	ip_addr_copy(of.remote, *remote_ip);
	of.local_port = local_port;
	of.remote_port = remote_port;
	memcpy(of.secret, secret, sizeof(secret));
	mbedtls_sha256_ret((const unsigned char *)&of, sizeof(of), digest, 0);
	memcpy(&number, digest, sizeof(number));
	return number + (u32_t)(service_tsc_to_ns(service_tsc()) / ISN_TICK_NS);
}

/* ---- Frames -------------------------------------------------------------------------------------------------------------------------- */

static err_t send(struct netif *netif, struct pbuf *p)
{
	struct port_piece piece[PIECES];
	unsigned pieces = 0;

	(void)netif;
	for (; p != NULL && pieces < PIECES; p = p->next)
		piece[pieces++] = (struct port_piece){ p->payload, p->len };
	if (p != NULL || !port_net_send(piece, pieces)) {
		counts.dropped++;
		return ERR_MEM;
	}
	counts.sent++;
	return ERR_OK;
}

static void receive(const uint8_t *bytes, size_t count)
{
	struct pbuf *p = added && count <= PORT_FRAME_BYTES ? pbuf_alloc(PBUF_RAW, (u16_t)count, PBUF_POOL) : NULL;

	counts.received++;
	if (p == NULL) {
		counts.dropped++;
		return;
	}
	pbuf_take(p, bytes, (u16_t)count);
	if (card.input(p, &card) != ERR_OK)
		pbuf_free(p);
}

/* ---- The card ------------------------------------------------------------------------------------------------------------------------ */

static err_t init_card(struct netif *netif)
{
	netif->name[0] = 'h';
	netif->name[1] = 'l';
	netif->mtu = 1500;
	netif->hwaddr_len = ETH_HWADDR_LEN;
	netif->hostname = config->name;
	netif->output = etharp_output;
	netif->output_ip6 = ethip6_output;
	netif->linkoutput = send;
	netif_set_ip6_autoconfig_enabled(netif, 1);
	netif->flags = NETIF_FLAG_BROADCAST | NETIF_FLAG_ETHARP | NETIF_FLAG_ETHERNET | NETIF_FLAG_IGMP | NETIF_FLAG_MLD6;
	return ERR_OK;
}

static ip4_addr_t address_of(uint32_t value)
{
	return (ip4_addr_t){ lwip_htonl(value) };
}

static void set_dns(void)
{
	ip_addr_t server = IPADDR4_INIT(lwip_htonl(config->dns));

	if (config->dns != 0)
		dns_setserver(0, &server);
}

static bool add_card(const uint8_t mac[6])
{
	const ip4_addr_t ip = address_of(config->ip.address), gateway = address_of(config->gateway);
	const ip4_addr_t mask = address_of(config->ip.prefix != 0 ? ~0u << (32 - config->ip.prefix) : 0);

	lwip_init();
	if (netif_add(&card, &ip, &mask, &gateway, NULL, init_card, netif_input) == NULL)
		return false;
	memcpy(card.hwaddr, mac, ETH_HWADDR_LEN);
	netif_set_default(&card);
	netif_create_ip6_linklocal_address(&card, 1);
	mdns_resp_init();
	netif_set_up(&card);
	netif_set_link_up(&card);
	if (config->ip.prefix == 0)
		dhcp_start(&card);
	set_dns();
	if (mdns_resp_add_netif(&card, config->name, MDNS_TTL) == ERR_OK)
		mdns_resp_add_service(&card, config->name, "_https", DNSSD_PROTO_TCP, (u16_t)config->port, MDNS_TTL, NULL, NULL);
	return true;
}

static void watch_card(uint64_t now_ns)
{
	uint8_t mac[6];
	bool there = port_net_mac(mac);

	if (!added && there) {
		added = add_card(mac);
		started_ns = now_ns;
	}
	if (!added || there == (netif_is_link_up(&card) != 0))
		return;
	if (!there) {
		netif_set_link_down(&card);
		return;
	}
	memcpy(card.hwaddr, mac, ETH_HWADDR_LEN);
	netif_set_link_up(&card); /* tells the neighbours, and asks DHCP whether the address still holds */
}

static void watch_address(uint64_t now_ns)
{
	static bool complained_of_card, complained_of_address;
	const ip4_addr_t *ip = netif_ip4_addr(&card);
	bool waited = now_ns - started_ns > WAIT_NS;

	if (!added && waited && !complained_of_card)
		service_log("api: there is no network card: no HTTPS");
	if (added && waited && ip4_addr_get_u32(ip) == 0 && !complained_of_address)
		service_log("api: no DHCP server has given an address yet; hilum.toml can say one ([api] ip)");
	complained_of_card |= !added && waited;
	complained_of_address |= added && waited;
	if (!added || ip4_addr_get_u32(ip) == shown)
		return;
	shown = ip4_addr_get_u32(ip);
	if (shown != 0)
		service_log("api: the address is %u.%u.%u.%u", ip4_addr1(ip), ip4_addr2(ip), ip4_addr3(ip), ip4_addr4(ip));
	else
		service_log("api: the address has been lost");
}

/* ---- Running ------------------------------------------------------------------------------------------------------------------------- */

void stack_start(const struct config_api *of)
{
	config = of;
	entropy_fill(secret, sizeof(secret));
	started_ns = service_tsc_to_ns(service_tsc());
}

bool stack_run(uint64_t now_ns, uint64_t *deadline_ns)
{
	bool more = false;
	uint64_t next = started_ns + WAIT_NS + 1;

	if (config == NULL)
		return false;
	watch_card(now_ns);
	watch_address(now_ns);
	if (added) {
		more = port_net_poll(BATCH, receive) == BATCH;
		sys_check_timeouts();
		next = now_ns + sys_timeouts_sleeptime() * 1000000ull;
	} else if (next <= now_ns) {
		return false; /* a card that comes yet brings an event with it */
	}
	if (next < *deadline_ns)
		*deadline_ns = next;
	return more;
}

bool stack_is_settled(uint64_t now_ns)
{
	return added && (!ip4_addr_isany_val(*netif_ip4_addr(&card)) || now_ns - started_ns > WAIT_NS);
}

/* As RFC 5952, 4.3 wants it; lwIP writes capital letters. */
static void write_ip6(const ip6_addr_t *address, char *text, int size)
{
	ip6addr_ntoa_r(address, text, size);
	for (; *text != '\0'; text++)
		*text = (char)tolower((unsigned char)*text);
}

unsigned stack_addresses(struct stack_address out[STACK_ADDRESSES_MAX])
{
	unsigned count = 0;

	if (!added)
		return 0;
	if (!ip4_addr_isany_val(*netif_ip4_addr(&card))) {
		out[count] = (struct stack_address){ .v6 = false };
		memcpy(out[count].bytes, netif_ip4_addr(&card), 4);
		ip4addr_ntoa_r(netif_ip4_addr(&card), out[count++].text, sizeof(out->text));
	}
	for (s8_t i = 1; i < LWIP_IPV6_NUM_ADDRESSES && count < STACK_ADDRESSES_MAX; i++) {
		if (!ip6_addr_isvalid(netif_ip6_addr_state(&card, i)))
			continue;
		out[count] = (struct stack_address){ .v6 = true };
		memcpy(out[count].bytes, netif_ip6_addr(&card, i)->addr, 16);
		write_ip6(netif_ip6_addr(&card, i), out[count++].text, sizeof(out->text));
	}
	return count;
}

void stack_counts(struct stack_counts *out)
{
	*out = counts;
}
