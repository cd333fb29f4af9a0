/* See nat_gateway.h. */
#include "drivers-vm/driver/nat_gateway.h"

#include "drivers-vm/driver/nat_dhcp.h"
#include "drivers-vm/driver/net_offload.h"

#include <string.h>

#define L3        NET_HEADER_BYTES
#define ARP_BYTES 28u
#define DNS_PORT  53u
#define EVERYBODY 0xFFFFFFFFu
#define HOP_NS    30000000000ull

static const uint8_t broadcast[NET_MAC_BYTES] = { 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF };

static void to_stack(struct nat_gateway *g, enum nat_stack_way way, struct net_frame *frame)
{
	net_offload_deliver(&g->stack[way].port, frame, L3);
}

static void stack_receive(struct net_port *port, struct net_frame *frame)
{
	struct nat_stack_port *stack = (struct nat_stack_port *)port;

	stack->gateway->ops->take(stack->gateway, stack->way, frame);
}

static uint16_t type_of(const struct net_frame *frame)
{
	return net_get16(frame->segment[0].bytes + 2 * NET_MAC_BYTES);
}

static bool is_to(const struct net_frame *frame, const uint8_t *mac)
{
	return memcmp(frame->segment[0].bytes, mac, NET_MAC_BYTES) == 0;
}

static void set_ethernet(struct net_frame *frame, const uint8_t *to, const uint8_t *from)
{
	memcpy(frame->segment[0].bytes, to, NET_MAC_BYTES);
	memcpy(frame->segment[0].bytes + NET_MAC_BYTES, from, NET_MAC_BYTES);
}

/* ---- From inside ---- */

/* The place of the guest that sends from `address`; -1: it is not its address. */
static int host_of(struct nat_gateway *g, uint32_t address, const struct net_frame *frame, uint64_t now_ns)
{
	bool fresh;
	int host = nat_hosts_use(&g->hosts, address, frame->segment[0].bytes + NET_MAC_BYTES, now_ns, &fresh);

	if (host >= 0 && fresh)
		nat_flow_drop_host(&g->flows, (uint8_t)host);
	return host;
}

/* RFC 826. The stack answers those who ask for the gateway, and say who they are. */
static void arp_from_inside(struct nat_gateway *g, struct net_frame *frame, uint64_t now_ns)
{
	const uint8_t *arp = frame->segment[0].bytes + L3;
	uint32_t sender;

	if (frame->segment[0].count < L3 + ARP_BYTES)
		return;
	sender = net_get32(arp + 14);
	if (memcmp(arp + 8, frame->segment[0].bytes + NET_MAC_BYTES, NET_MAC_BYTES) != 0 ||
	    (sender != 0 && host_of(g, sender, frame, now_ns) < 0))
		g->inside.counts.refused++;
	else if (net_get32(arp + 24) == nat_hosts_gateway(&g->hosts))
		to_stack(g, NAT_STACK_INSIDE, frame);
}

/* Nobody's address in the world: this network, loopback, the guests' own subnet, multicast, reserved. */
static bool is_reachable(const struct nat_gateway *g, uint32_t address)
{
	uint32_t top = address >> 24;

	return top != 0 && top != 127 && top < 224 && !nat_hosts_has(&g->hosts, address) && address != g->address;
}

static struct nat_hop *hop_of(struct nat_gateway *g, uint32_t address)
{
	return &g->hop[(address ^ address >> 8) % NAT_HOPS];
}

/* A neighbour's address is asked for now and then; while there is no new answer the old one is used a little
 * longer. */
static bool find_hop(struct nat_gateway *g, uint32_t peer, uint8_t *mac, uint64_t now_ns)
{
	uint32_t address = ((peer ^ g->address) & g->mask) == 0 ? peer : g->router;
	struct nat_hop *hop = hop_of(g, address);

	if (hop->address != address || now_ns >= hop->until_ns) {
		if (g->ops->find_neighbour(g, address, hop->mac))
			hop->until_ns = now_ns + HOP_NS;
		else if (hop->address != address || hop->until_ns == 0 || now_ns >= hop->until_ns + HOP_NS)
			return false;
		hop->address = address;
	}
	memcpy(mac, hop->mac, NET_MAC_BYTES);
	return true;
}

static void send_outside(struct nat_gateway *g, struct net_frame *frame, uint32_t peer, uint64_t now_ns)
{
	uint8_t mac[NET_MAC_BYTES];

	if (!find_hop(g, peer, mac, now_ns)) {
		to_stack(g, NAT_STACK_RESOLVE, frame);
		return;
	}
	set_ethernet(frame, mac, g->outside.policy.mac);
	net_switch_forward(&g->uplink, &g->outside, frame, now_ns);
}

static void translate_outward(struct nat_gateway *g, struct net_frame *frame, const struct nat_packet *p, uint32_t peer, uint8_t host,
                              uint64_t now_ns)
{
	struct nat_flow *flow;

	if (!is_reachable(g, peer)) {
		g->inside.counts.dropped++;
		return;
	}
	if (g->address == 0 || p->ttl <= 1) {
		to_stack(g, g->address == 0 ? NAT_STACK_UNREACHABLE : NAT_STACK_EXPIRED, frame);
		return;
	}
	flow = nat_flow_outward(&g->flows, &p->tuple, p->tcp_flags, peer, host, now_ns);
	if (flow == NULL) {
		g->inside.counts.dropped++;
		return;
	}
	nat_flow_use(&g->flows, flow, false, p->tcp_flags, now_ns);
	nat_packet_age(frame);
	nat_packet_set_source(frame, p, g->address, flow->outside_port);
	if (peer != p->tuple.target)
		nat_packet_set_target(frame, p, peer, p->tuple.target_port);
	send_outside(g, frame, peer, now_ns);
}

/* To the gateway itself: an echo, or a question to the domain name server, which another one answers. */
static void to_gateway(struct nat_gateway *g, struct net_frame *frame, const struct nat_packet *p, uint8_t host, uint64_t now_ns)
{
	if (p->tuple.protocol == NAT_ICMP)
		to_stack(g, NAT_STACK_INSIDE, frame);
	else if (p->tuple.target_port == DNS_PORT && g->dns == 0)
		to_stack(g, NAT_STACK_UNREACHABLE, frame);
	else if (p->tuple.target_port == DNS_PORT)
		translate_outward(g, frame, p, g->dns, host, now_ns);
	else
		g->inside.counts.dropped++;
}

static bool is_dhcp_request(const struct nat_gateway *g, const struct nat_packet *p)
{
	return p->kind == NAT_PACKET_DATA && p->tuple.protocol == NET_IP_UDP && p->tuple.target_port == NAT_DHCP_SERVER_PORT &&
	       (p->tuple.target == EVERYBODY || p->tuple.target == nat_hosts_gateway(&g->hosts));
}

static void ip_from_inside(struct nat_gateway *g, struct net_frame *frame, uint64_t now_ns)
{
	const struct nat_packet p = nat_packet_read(frame);
	int host;

	if (is_dhcp_request(g, &p) && (is_to(frame, broadcast) || is_to(frame, g->inside.policy.mac))) {
		to_stack(g, NAT_STACK_INSIDE, frame);
		return;
	}
	if (!is_to(frame, g->inside.policy.mac))
		return;
	if (p.kind != NAT_PACKET_DATA || (p.tuple.protocol == NAT_ICMP && p.icmp_type != NAT_ICMP_ECHO)) {
		g->inside.counts.dropped++;
		return;
	}
	host = host_of(g, p.tuple.source, frame, now_ns);
	if (host < 0)
		g->inside.counts.refused++;
	else if (p.tuple.target == nat_hosts_gateway(&g->hosts))
		to_gateway(g, frame, &p, (uint8_t)host, now_ns);
	else
		translate_outward(g, frame, &p, p.tuple.target, (uint8_t)host, now_ns);
}

static struct nat_gateway *gateway_of_inside(struct net_port *port)
{
	return (struct nat_gateway *)((char *)port - offsetof(struct nat_gateway, inside));
}

static void inside_receive(struct net_port *port, struct net_frame *frame)
{
	struct nat_gateway *g = gateway_of_inside(port);
	uint64_t now_ns = g->ops->now_ns(g);

	if (type_of(frame) == NET_TYPE_ARP)
		arp_from_inside(g, frame, now_ns);
	else if (type_of(frame) == NET_TYPE_IP4)
		ip_from_inside(g, frame, now_ns);
}

static void inside_flush(struct net_port *port)
{
	net_switch_flush(&gateway_of_inside(port)->uplink);
}

static void inside_poll(struct net_port *port)
{
	net_switch_poll(&gateway_of_inside(port)->uplink);
}

/* ---- From outside ---- */

static void send_inside(struct nat_gateway *g, struct net_frame *frame, const struct nat_flow *flow, uint64_t now_ns)
{
	const struct nat_host *host = nat_hosts_find(&g->hosts, flow->inside);

	if (host == NULL)
		return;
	set_ethernet(frame, host->mac, g->inside.policy.mac);
	net_switch_forward(g->guests, &g->inside, frame, now_ns);
}

static struct nat_flow *translate_data(struct nat_gateway *g, struct net_frame *frame, const struct nat_packet *p, uint64_t now_ns)
{
	struct nat_flow *flow;

	if (p->tuple.protocol == NAT_ICMP && p->icmp_type != NAT_ICMP_ECHO_REPLY)
		return NULL;
	flow = nat_flow_inward(&g->flows, &p->tuple, now_ns);
	if (flow == NULL)
		return NULL;
	nat_flow_use(&g->flows, flow, true, p->tcp_flags, now_ns);
	nat_packet_set_target(frame, p, flow->inside, flow->inside_port);
	if (flow->seen != flow->peer)
		nat_packet_set_source(frame, p, flow->seen, p->tuple.source_port);
	return flow;
}

/* A router, or the peer, tells of a packet of ours. It keeps nothing open. */
static struct nat_flow *translate_error(struct nat_gateway *g, struct net_frame *frame, const struct nat_packet *p, uint64_t now_ns)
{
	const struct nat_tuple back = {
		.protocol = p->quoted.protocol,
		.source = p->quoted.target,
		.source_port = p->quoted.target_port,
		.target_port = p->quoted.source_port,
	};
	struct nat_flow *flow = p->quoted.source == g->address ? nat_flow_inward(&g->flows, &back, now_ns) : NULL;

	if (flow != NULL)
		nat_packet_set_error(frame, p, flow->inside, flow->inside_port, flow->seen);
	return flow;
}

static void ip_from_outside(struct nat_gateway *g, struct net_frame *frame, uint64_t now_ns)
{
	const struct nat_packet p = nat_packet_read(frame);
	struct nat_flow *flow = NULL;

	if (p.kind == NAT_PACKET_DATA && p.tuple.protocol == NET_IP_UDP && p.tuple.source_port == NAT_DHCP_SERVER_PORT &&
	    p.tuple.target_port == NAT_DHCP_CLIENT_PORT) {
		to_stack(g, NAT_STACK_OUTSIDE, frame);
		return;
	}
	if (!is_to(frame, g->outside.policy.mac) || p.kind == NAT_PACKET_BAD || g->address == 0 || p.tuple.target != g->address ||
	    !is_reachable(g, p.tuple.source) || p.ttl <= 1)
		return;
	flow = p.kind == NAT_PACKET_DATA ? translate_data(g, frame, &p, now_ns) : translate_error(g, frame, &p, now_ns);
	if (flow == NULL) {
		g->outside.counts.refused++;
		return;
	}
	nat_packet_age(frame);
	send_inside(g, frame, flow, now_ns);
}

static struct nat_gateway *gateway_of_outside(struct net_port *port)
{
	return (struct nat_gateway *)((char *)port - offsetof(struct nat_gateway, outside));
}

static void outside_receive(struct net_port *port, struct net_frame *frame)
{
	struct nat_gateway *g = gateway_of_outside(port);

	if (type_of(frame) == NET_TYPE_ARP)
		to_stack(g, NAT_STACK_OUTSIDE, frame);
	else if (type_of(frame) == NET_TYPE_IP4)
		ip_from_outside(g, frame, g->ops->now_ns(g));
}

static void outside_flush(struct net_port *port)
{
	net_switch_flush(gateway_of_outside(port)->guests);
}

/* ---- The gateway ---- */

/* An address that the configuration gives one card is no other's, and the card has no others. */
static bool is_allowed(void *ctx, uint32_t address, const uint8_t *mac)
{
	const struct nat_gateway *g = ctx;
	uint8_t ip[4];

	net_put32(ip, address);
	for (unsigned i = 0; i < g->guests->ports; i++) {
		const struct net_policy *policy = &g->guests->port[i]->policy;
		bool own = memcmp(policy->mac, mac, NET_MAC_BYTES) == 0, listed = false;
		for (unsigned k = 0; k < policy->ip4s; k++)
			listed |= memcmp(policy->ip4[k], ip, 4) == 0;
		if (policy->bridge == g->inside.policy.bridge && !policy->uplink &&
		    (own ? policy->ip4s + policy->ip6s != 0 && !listed : listed))
			return false;
	}
	return true;
}

void nat_gateway_init(struct nat_gateway *g, const struct nat_gateway_ops *ops, const struct nat_gateway_config *config)
{
	static const struct net_port_ops inside_ops = { .receive = inside_receive, .flush = inside_flush, .poll = inside_poll };
	static const struct net_port_ops outside_ops = { .receive = outside_receive, .flush = outside_flush };
	static const struct net_port_ops stack_ops = { .receive = stack_receive };
	/* Locally administered, "HG", and the bridge: the same at each start, as guests remember it. */
	const uint8_t mac[NET_MAC_BYTES] = {
		0x02, 0x48, 0x47, (uint8_t)(config->bridge >> 8), (uint8_t)config->bridge, (uint8_t)config->vlan
	};

	memset(g, 0, sizeof(*g));
	g->ops = ops;
	g->guests = config->guests;
	/* Everybody on the bridge may reach it, whatever their tenant: it hands nothing from guest to guest.
	 */
	g->inside.policy = (struct net_policy){ .bridge = config->bridge, .vlan = config->vlan, .uplink = true };
	memcpy(g->inside.policy.mac, mac, sizeof(mac));
	g->inside.ops = &inside_ops;
	g->inside.can = g->outside.can = NET_CAN_CSUM | NET_CAN_TCP4;
	/* Bridge and VLAN are the uplink's too: on its own switch they mean nothing, and its frames have no
	 * tags. */
	g->outside.policy = (struct net_policy){ .bridge = config->bridge, .vlan = config->vlan, .uplink = true };
	g->outside.ops = &outside_ops;
	for (unsigned i = 0; i < NAT_STACK_WAYS; i++)
		g->stack[i] = (struct nat_stack_port){ { .ops = &stack_ops }, g, (enum nat_stack_way)i };
	g->store = config->store;
	nat_hosts_init(&g->hosts, g->store->host, config->subnet, config->prefix);
	g->hosts.allowed = is_allowed;
	g->hosts.ctx = g;
	if (g->store->magic == NAT_STORE_MAGIC) {
		nat_hosts_check(&g->hosts, ops->now_ns(g));
		nat_flows_adopt(&g->flows, g->store->flow, config->secret, g->hosts.subnet, ops->now_ns(g));
	} else {
		memset(g->store, 0, sizeof(*g->store));
		nat_flows_init(&g->flows, g->store->flow, config->secret);
		g->store->magic = NAT_STORE_MAGIC;
	}
}

void nat_gateway_set_uplink(struct nat_gateway *g, uint32_t address, uint32_t mask, uint32_t router, uint32_t dns)
{
	if (address != 0 && address != g->store->address) {
		nat_flows_init(&g->flows, g->store->flow, g->flows.secret);
		g->store->address = address;
	}
	memset(g->hop, 0, sizeof(g->hop));
	g->address = address;
	g->mask = mask;
	g->router = router;
	g->dns = dns;
}
