/* See nat_stack.h. */
#include "drivers-vm/driver/nat_stack.h"

#include "drivers-vm/driver/entropy.h"
#include "drivers-vm/driver/nat_dhcp.h"
#include "drivers-vm/runtime/service.h"

#include "lwip/dhcp.h"
#include "lwip/dns.h"
#include "lwip/etharp.h"
#include "lwip/icmp.h"
#include "lwip/init.h"
#include "lwip/sys.h"
#include "lwip/timeouts.h"
#include "netif/ethernet.h"

#include <string.h>

#define ADDRESS_WAIT_NS 10000000000ull /* until the log tells that there is none */
#define DOTTED(a)       (unsigned)((a) >> 24), (unsigned)((a) >> 16 & 255), (unsigned)((a) >> 8 & 255), (unsigned)((a)&255)

/* ---- What lwIP asks for
 * -------------------------------------------------------------------------------------------------------------
 */

uint32_t lwip_random(void)
{
	uint32_t value;

	if (entropy_read(&value, sizeof(value)) != sizeof(value))
		value = (uint32_t)(service_tsc() * 0x9E3779B97F4A7C15ull >> 32);
	return value;
}

u32_t sys_now(void)
{
	return (u32_t)(service_tsc_to_ns(service_tsc()) / 1000000);
}

static ip4_addr_t address_of(uint32_t value)
{
	return (ip4_addr_t){ lwip_htonl(value) };
}

static uint32_t value_of(const ip4_addr_t *address)
{
	return lwip_ntohl(address->addr);
}

/* ---- To the switch
 * ------------------------------------------------------------------------------------------------------------------
 */

static err_t send(struct net_switch *sw, struct net_port *port, const struct pbuf *p)
{
	static uint8_t bytes[NAT_FRAME_BYTES];
	uint32_t head = p->tot_len < NET_HEAD_BYTES ? p->tot_len : NET_HEAD_BYTES;
	struct io_segment segment[2] = { { bytes, head }, { bytes + head, p->tot_len - head } };
	struct net_frame frame = { .segment = segment, .segments = p->tot_len > head ? 2 : 1, .bytes = p->tot_len };

	if (p->tot_len > sizeof(bytes) || pbuf_copy_partial(p, bytes, p->tot_len, 0) != p->tot_len)
		return ERR_BUF;
	net_switch_forward(sw, port, &frame, service_tsc_to_ns(service_tsc()));
	return ERR_OK;
}

static err_t inside_send(struct netif *netif, struct pbuf *p)
{
	struct nat_stack *s = netif->state;

	return send(s->gateway.guests, &s->gateway.inside, p);
}

static err_t outside_send(struct netif *netif, struct pbuf *p)
{
	struct nat_stack *s = netif->state;

	return send(&s->gateway.uplink, &s->gateway.outside, p);
}

/* Who has an address inside is known without ARP; who is being leased one has none yet. */
static err_t inside_output(struct netif *netif, struct pbuf *p, const ip4_addr_t *address)
{
	struct nat_stack *s = netif->state;
	const struct nat_host *host = nat_hosts_find(&s->gateway.hosts, value_of(address));
	const uint8_t *mac = s->client != NULL ? s->client : host != NULL ? host->mac : NULL;
	struct eth_addr to;

	if (mac == NULL)
		return ERR_RTE;
	memcpy(&to, mac, sizeof(to));
	return ethernet_output(netif, p, (const struct eth_addr *)netif->hwaddr, &to, ETHTYPE_IP);
}

static err_t init_netif(struct netif *netif, const uint8_t *mac)
{
	netif->name[0] = 'h';
	netif->name[1] = 'l';
	netif->mtu = 1500;
	netif->hwaddr_len = NET_MAC_BYTES;
	memcpy(netif->hwaddr, mac, NET_MAC_BYTES);
	netif->hostname = "hilum";
	netif->flags = NETIF_FLAG_BROADCAST | NETIF_FLAG_ETHARP | NETIF_FLAG_ETHERNET;
	return ERR_OK;
}

static err_t init_inside(struct netif *netif)
{
	struct nat_stack *s = netif->state;

	netif->output = inside_output;
	netif->linkoutput = inside_send;
	return init_netif(netif, s->gateway.inside.policy.mac);
}

static err_t init_outside(struct netif *netif)
{
	struct nat_stack *s = netif->state;

	netif->output = etharp_output;
	netif->linkoutput = outside_send;
	return init_netif(netif, s->gateway.outside.policy.mac);
}

/* ---- Leases
 * -------------------------------------------------------------------------------------------------------------------------
 */

static void answer_dhcp(void *arg, struct udp_pcb *pcb, struct pbuf *p, const ip_addr_t *from, u16_t port)
{
	static uint8_t message[NAT_DHCP_IN_MAX], answer[NAT_DHCP_BYTES];
	struct nat_stack *s = arg;
	uint16_t bytes = pbuf_copy_partial(p, message, sizeof(message), 0);
	uint32_t target, fresh;
	unsigned length;
	struct pbuf *out;
	ip4_addr_t to, own = address_of(nat_hosts_gateway(&s->gateway.hosts));

	(void)from;
	(void)port;
	pbuf_free(p);
	if (s->client == NULL)
		return;
	length = nat_dhcp_answer(&s->gateway.hosts, message, bytes, s->client, s->gateway.ops->now_ns(&s->gateway), answer, &target,
	                         &fresh);
	if (fresh != 0)
		nat_flow_drop_host(&s->gateway.flows, (uint8_t)(fresh - s->gateway.hosts.subnet));
	out = length != 0 ? pbuf_alloc(PBUF_TRANSPORT, (u16_t)length, PBUF_RAM) : NULL;
	if (out == NULL)
		return;
	pbuf_take(out, answer, (u16_t)length);
	to = target != 0 ? address_of(target) : address_of(0xFFFFFFFF);
	udp_sendto_if_src(pcb, out, &to, NAT_DHCP_CLIENT_PORT, &s->inside, &own);
	pbuf_free(out);
}

/* ---- What the gateway asks for
 * -------------------------------------------------------------------------------------------------------- */

static uint64_t now_ns(struct nat_gateway *g)
{
	(void)g;
	return service_tsc_to_ns(service_tsc()) | 1;
}

static void take(struct nat_gateway *g, enum nat_stack_way way, const struct net_frame *frame)
{
	struct nat_stack *s = (struct nat_stack *)g;
	unsigned place = s->put % NAT_STACK_QUEUE;
	struct pbuf *p;
	uint16_t done = 0;

	/* The last quarter of the queue is the uplink's: guests cannot keep its address from being renewed.
	 */
	if (s->put - s->taken >= (way == NAT_STACK_OUTSIDE ? NAT_STACK_QUEUE : NAT_STACK_QUEUE * 3 / 4) || frame->bytes > NAT_FRAME_BYTES)
		return;
	p = pbuf_alloc(PBUF_RAW, (u16_t)frame->bytes, PBUF_POOL);
	if (p == NULL)
		return;
	for (unsigned i = 0; i < frame->segments; i++) {
		pbuf_take_at(p, frame->segment[i].bytes, (u16_t)frame->segment[i].count, done);
		done = (uint16_t)(done + frame->segment[i].count);
	}
	memcpy(s->queue[place].mac, frame->segment[0].bytes + NET_MAC_BYTES, NET_MAC_BYTES);
	s->queue[place].peer = net_get32(frame->segment[0].bytes + NET_HEADER_BYTES + 16);
	s->queue[place].way = way;
	s->queue[place].data = p;
	s->put++;
}

static bool find_neighbour(struct nat_gateway *g, uint32_t address, uint8_t *mac)
{
	struct nat_stack *s = (struct nat_stack *)g;
	const ip4_addr_t ip = address_of(address), *found_ip;
	struct eth_addr *found;

	if (etharp_find_addr(&s->outside, &ip, &found, &found_ip) < 0)
		return false;
	memcpy(mac, found, NET_MAC_BYTES);
	return true;
}

const struct nat_gateway_ops nat_stack_ops = { .now_ns = now_ns, .take = take, .find_neighbour = find_neighbour };

/* ---- Running
 * ------------------------------------------------------------------------------------------------------------------------
 */

/* Its address at the uplink, when it has come, changed or gone. */
static void watch_address(struct nat_stack *s)
{
	struct nat_gateway *g = &s->gateway;
	uint32_t address = value_of(netif_ip4_addr(&s->outside)), mask = value_of(netif_ip4_netmask(&s->outside));
	uint32_t dns = value_of(&s->dns);

	if (address == 0 && !s->complained && now_ns(g) - s->started_ns > ADDRESS_WAIT_NS) {
		s->complained = true;
		service_log("nat: no DHCP server at uplink %s has given an address yet; is its cable in?", s->name);
	}
	if (address == g->address && dns == g->dns)
		return;
	nat_gateway_set_uplink(g, address, mask, value_of(netif_ip4_gw(&s->outside)), dns);
	if (address == 0) {
		service_log("nat: uplink %s has lost its address", s->name);
		return;
	}
	service_log("nat: guests with %u.%u.%u.%u/%u reach the outside by uplink %s as %u.%u.%u.%u", DOTTED(g->hosts.subnet),
	            32u - (unsigned)__builtin_ctz(g->hosts.count), s->name, DOTTED(address));
	if (((address ^ g->hosts.subnet) & mask) == 0 || nat_hosts_has(&g->hosts, address))
		service_log("nat: uplink %s has addresses that the guests' subnet has too: hilum.toml must "
		            "give another subnet",
		            s->name);
}

static void input(struct nat_stack *s, unsigned place)
{
	struct pbuf *p = s->queue[place].data;
	const ip4_addr_t peer = address_of(s->queue[place].peer);

	switch (s->queue[place].way) {
	case NAT_STACK_INSIDE:
		s->client = s->queue[place].mac;
		if (s->inside.input(p, &s->inside) != ERR_OK)
			pbuf_free(p);
		s->client = NULL;
		etharp_cleanup_netif(&s->inside); /* guests' addresses are kept elsewhere, and shall not push out others */
		break;
	case NAT_STACK_OUTSIDE:
		if (s->outside.input(p, &s->outside) != ERR_OK)
			pbuf_free(p);
		break;
	case NAT_STACK_RESOLVE:
		pbuf_remove_header(p, NET_HEADER_BYTES);
		etharp_output(&s->outside, p, &peer);
		pbuf_free(p);
		break;
	case NAT_STACK_UNREACHABLE:
	case NAT_STACK_EXPIRED:
		pbuf_remove_header(p, NET_HEADER_BYTES);
		if (s->queue[place].way == NAT_STACK_EXPIRED)
			icmp_time_exceeded(p, ICMP_TE_TTL);
		else
			icmp_dest_unreach(p, ICMP_DUR_NET);
		pbuf_free(p);
		break;
	default:
		pbuf_free(p);
		break;
	}
}

void nat_stack_run(struct nat_stack *s)
{
	/* lwIP has one list of servers, whatever the interface. */
	dns_setserver(0, &s->dns);
	for (; s->taken != s->put; s->taken++)
		input(s, s->taken % NAT_STACK_QUEUE);
	s->dns = *dns_getserver(0);
	watch_address(s);
	net_switch_flush(s->gateway.guests);
	net_switch_flush(&s->gateway.uplink);
}

uint64_t nat_stack_timers(void)
{
	sys_check_timeouts();
	return sys_timeouts_sleeptime() * 1000000ull;
}

static bool start_leases(struct nat_stack *s)
{
	s->dhcp = udp_new();
	if (s->dhcp == NULL)
		return false;
	udp_bind_netif(s->dhcp, &s->inside);
	udp_recv(s->dhcp, answer_dhcp, s);
	return udp_bind(s->dhcp, netif_ip_addr4(&s->inside), NAT_DHCP_SERVER_PORT) == ERR_OK;
}

static bool start_outside(struct nat_stack *s, const struct nat_stack_static *fixed)
{
	const ip4_addr_t address = address_of(fixed->address), router = address_of(fixed->router);
	const ip4_addr_t mask = address_of(fixed->prefix != 0 ? ~0u << (32 - fixed->prefix) : 0);

	if (netif_add(&s->outside, &address, &mask, &router, s, init_outside, netif_input) == NULL)
		return false;
	netif_set_link_up(&s->outside);
	netif_set_up(&s->outside);
	s->dns = address_of(fixed->dns);
	return fixed->address != 0 || dhcp_start(&s->outside) == ERR_OK;
}

bool nat_stack_start(struct nat_stack *s, const uint8_t *mac, const struct nat_stack_static *fixed)
{
	static bool initialised;
	const ip4_addr_t own = address_of(nat_hosts_gateway(&s->gateway.hosts)), mask = address_of(-s->gateway.hosts.count);

	if (!initialised)
		lwip_init();
	initialised = true;
	memcpy(s->gateway.outside.policy.mac, mac, NET_MAC_BYTES);
	s->started_ns = now_ns(&s->gateway);
	if (netif_add(&s->inside, &own, &mask, IP4_ADDR_ANY4, s, init_inside, netif_input) == NULL)
		return false;
	netif_set_link_up(&s->inside);
	netif_set_up(&s->inside);
	return start_leases(s) && start_outside(s, fixed);
}
