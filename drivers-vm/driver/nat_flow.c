/*
 * See nat_flow.h. Times as RFC 4787, REQ-5 (UDP), RFC 5382, REQ-5 (TCP) and RFC 5508, REQ-1 (ICMP) want them
 * at least. What has run out is removed when it is found, or its place is needed: there is no timer.
 */
#include "drivers-vm/driver/nat_flow.h"

#include <stddef.h>
#include <string.h>

#define SECOND       1000000000ull
#define NEW_NS       (60 * SECOND)
#define UDP_OPEN_NS  (300 * SECOND)
#define TCP_OPEN_NS  (7440 * SECOND)
#define CLOSING_NS   (240 * SECOND)
#define PORT_FIRST   1024u /* the lower ones are the gateway's own */
#define PORT_TRIES   64u
#define FINISHED_ALL 3u

static uint64_t mix(uint64_t x)
{
	x = (x ^ x >> 32) * 0x9E3779B97F4A7C15ull;
	x = (x ^ x >> 29) * 0xBF58476D1CE4E5B9ull;
	return x ^ x >> 32;
}

static uint64_t hash_of(const struct nat_flows *flows, uint8_t protocol, uint32_t a, uint16_t a_port, uint32_t b, uint16_t b_port)
{
	return mix(mix(flows->secret ^ ((uint64_t)a << 32 | b)) ^ ((uint64_t)protocol << 32 | (uint32_t)a_port << 16 | b_port));
}

static uint16_t *bucket_inside(struct nat_flows *flows, uint8_t protocol, uint32_t inside, uint16_t inside_port, uint32_t seen,
                               uint16_t peer_port)
{
	return &flows->inside[hash_of(flows, protocol, inside, inside_port, seen, peer_port) % NAT_FLOW_BUCKETS];
}

static uint16_t *bucket_outside(struct nat_flows *flows, uint8_t protocol, uint32_t peer, uint16_t peer_port, uint16_t outside_port)
{
	return &flows->outside[hash_of(flows, protocol, peer, peer_port, 0, outside_port) % NAT_FLOW_BUCKETS];
}

/* An echo has an identifier and no port of the peer's. */
static uint16_t peer_port_of(uint8_t protocol, uint16_t port)
{
	return protocol == NAT_ICMP ? 0 : port;
}

/* ---- Lists ---- */

static uint16_t index_of(const struct nat_flows *flows, const struct nat_flow *flow)
{
	return (uint16_t)(flow - flows->flow);
}

static struct nat_list *list_of(struct nat_flows *flows, const struct nat_flow *flow)
{
	return flow->state == NAT_STATE_OPEN ? &flows->host[flow->host].open : &flows->host[flow->host].passing;
}

static void list_remove(struct nat_flows *flows, struct nat_flow *flow)
{
	struct nat_list *list = list_of(flows, flow);

	*(flow->order.older != NAT_NONE ? &flows->flow[flow->order.older].order.newer : &list->oldest) = flow->order.newer;
	*(flow->order.newer != NAT_NONE ? &flows->flow[flow->order.newer].order.older : &list->newest) = flow->order.older;
}

static void list_append(struct nat_flows *flows, struct nat_flow *flow)
{
	struct nat_list *list = list_of(flows, flow);
	uint16_t index = index_of(flows, flow);

	flow->order = (struct nat_link){ list->newest, NAT_NONE };
	*(list->newest != NAT_NONE ? &flows->flow[list->newest].order.newer : &list->oldest) = index;
	list->newest = index;
}

static void unchain(struct nat_flows *flows, uint16_t *head, uint16_t index, size_t next)
{
	while (*head != index)
		head = (uint16_t *)((char *)&flows->flow[*head] + next);
	*head = *(uint16_t *)((char *)&flows->flow[index] + next);
}

/* Heads of all lists, with nothing in them. */
static void clear_heads(struct nat_flows *flows, struct nat_flow *flow, uint64_t secret)
{
	memset(flows, 0, sizeof(*flows));
	memset(flows->inside, 0xFF, sizeof(flows->inside));
	memset(flows->outside, 0xFF, sizeof(flows->outside));
	flows->secret = secret;
	flows->flow = flow;
	flows->free = NAT_NONE;
	for (unsigned i = 0; i < NAT_HOSTS; i++)
		flows->host[i].passing = flows->host[i].open = (struct nat_list){ NAT_NONE, NAT_NONE };
}

static void give_back(struct nat_flows *flows, uint16_t index)
{
	flows->flow[index].state = NAT_STATE_FREE;
	flows->flow[index].next_inside = flows->free;
	flows->free = index;
}

static void remove_flow(struct nat_flows *flows, struct nat_flow *flow)
{
	uint16_t index = index_of(flows, flow);

	unchain(flows, bucket_inside(flows, flow->protocol, flow->inside, flow->inside_port, flow->seen, flow->peer_port), index,
	        offsetof(struct nat_flow, next_inside));
	unchain(flows, bucket_outside(flows, flow->protocol, flow->peer, flow->peer_port, flow->outside_port), index,
	        offsetof(struct nat_flow, next_outside));
	list_remove(flows, flow);
	flows->host[flow->host].flows--;
	flows->used--;
	give_back(flows, index);
}

void nat_flows_init(struct nat_flows *flows, struct nat_flow *flow, uint64_t secret)
{
	clear_heads(flows, flow, secret);
	for (unsigned i = NAT_FLOWS; i-- != 0;)
		give_back(flows, (uint16_t)i);
}

/* ---- Finding ---- */

static struct nat_flow *find_inside(struct nat_flows *flows, const struct nat_tuple *t, uint64_t now_ns)
{
	uint16_t peer_port = peer_port_of(t->protocol, t->target_port);
	uint16_t i = *bucket_inside(flows, t->protocol, t->source, t->source_port, t->target, peer_port);

	for (; i != NAT_NONE; i = flows->flow[i].next_inside) {
		struct nat_flow *f = &flows->flow[i];
		if (f->protocol != t->protocol || f->inside != t->source || f->inside_port != t->source_port || f->seen != t->target ||
		    f->peer_port != peer_port)
			continue;
		if (f->until_ns > now_ns)
			return f;
		remove_flow(flows, f);
		return NULL;
	}
	return NULL;
}

static struct nat_flow *find_outside(struct nat_flows *flows, uint8_t protocol, uint32_t peer, uint16_t peer_port, uint16_t outside_port,
                                     uint64_t now_ns)
{
	uint16_t i = *bucket_outside(flows, protocol, peer, peer_port, outside_port);

	for (; i != NAT_NONE; i = flows->flow[i].next_outside) {
		struct nat_flow *f = &flows->flow[i];
		if (f->protocol != protocol || f->peer != peer || f->peer_port != peer_port || f->outside_port != outside_port)
			continue;
		if (f->until_ns > now_ns)
			return f;
		remove_flow(flows, f);
		return NULL;
	}
	return NULL;
}

struct nat_flow *nat_flow_inward(struct nat_flows *flows, const struct nat_tuple *t, uint64_t now_ns)
{
	return find_outside(flows, t->protocol, t->source, peer_port_of(t->protocol, t->source_port), t->target_port, now_ns);
}

/* ---- Making ---- */

/* The guest's own port if that can be, since a driver VM that starts afresh finds it again; else one that
 * nobody can foresee. 0: none. */
static uint16_t choose_port(struct nat_flows *flows, const struct nat_tuple *t, uint32_t peer, uint64_t now_ns)
{
	uint16_t peer_port = peer_port_of(t->protocol, t->target_port), port = t->source_port;
	uint64_t start = hash_of(flows, t->protocol, t->source, t->source_port, peer, peer_port) ^ now_ns;

	for (unsigned i = 0; i < PORT_TRIES; i++) {
		if (port >= (t->protocol == NAT_ICMP ? 1 : PORT_FIRST) &&
		    find_outside(flows, t->protocol, peer, peer_port, port, now_ns) == NULL)
			return port;
		port = (uint16_t)(PORT_FIRST + mix(start + i) % (65536 - PORT_FIRST));
	}
	return 0;
}

static void remove_oldest(struct nat_flows *flows, uint8_t host)
{
	const struct nat_list *passing = &flows->host[host].passing;

	remove_flow(flows, &flows->flow[passing->oldest != NAT_NONE ? passing->oldest : flows->host[host].open.oldest]);
}

static void make_room(struct nat_flows *flows, uint8_t host)
{
	unsigned from = host;

	if (flows->host[host].flows < NAT_FLOWS_OF_HOST) {
		if (flows->used < NAT_FLOWS)
			return;
		for (unsigned i = 0; i < NAT_HOSTS; i++)
			if (flows->host[i].flows > flows->host[from].flows)
				from = i;
	}
	remove_oldest(flows, (uint8_t)from);
	flows->evicted++;
}

/* Into all lists that it belongs to, by what it says. */
static void link_flow(struct nat_flows *flows, struct nat_flow *f)
{
	uint16_t *inside = bucket_inside(flows, f->protocol, f->inside, f->inside_port, f->seen, f->peer_port);
	uint16_t *outside = bucket_outside(flows, f->protocol, f->peer, f->peer_port, f->outside_port);

	f->next_inside = *inside;
	f->next_outside = *outside;
	*inside = *outside = index_of(flows, f);
	list_append(flows, f);
	flows->host[f->host].flows++;
	flows->used++;
}

static struct nat_flow *make_flow(struct nat_flows *flows, const struct nat_tuple *t, uint32_t peer, uint8_t host, uint16_t port)
{
	struct nat_flow *f = &flows->flow[flows->free];

	flows->free = f->next_inside;
	*f = (struct nat_flow){
		.inside = t->source,
		.seen = t->target,
		.peer = peer,
		.inside_port = t->source_port,
		.peer_port = peer_port_of(t->protocol, t->target_port),
		.outside_port = port,
		.protocol = t->protocol,
		.state = NAT_STATE_NEW,
		.host = host,
	};
	link_flow(flows, f);
	return f;
}

/* Whether what a driver VM left as a connection can be one beside those that are in the table. */
static bool is_plausible(struct nat_flows *flows, const struct nat_flow *f, uint32_t subnet, uint64_t now_ns)
{
	const struct nat_tuple t = { f->protocol, f->inside, f->seen, f->inside_port, f->peer_port };

	return f->state != NAT_STATE_FREE && f->state <= NAT_STATE_CLOSING && f->finished <= FINISHED_ALL &&
	       (f->protocol == NET_IP_TCP || f->protocol == NET_IP_UDP || (f->protocol == NAT_ICMP && f->peer_port == 0)) &&
	       f->inside - subnet == f->host && f->outside_port != 0 && f->until_ns > now_ns && f->until_ns - now_ns <= TCP_OPEN_NS &&
	       flows->host[f->host].flows < NAT_FLOWS_OF_HOST && find_inside(flows, &t, now_ns) == NULL &&
	       find_outside(flows, f->protocol, f->peer, f->peer_port, f->outside_port, now_ns) == NULL;
}

void nat_flows_adopt(struct nat_flows *flows, struct nat_flow *flow, uint64_t secret, uint32_t subnet, uint64_t now_ns)
{
	clear_heads(flows, flow, secret);
	for (unsigned i = NAT_FLOWS; i-- != 0;) {
		if (is_plausible(flows, &flow[i], subnet, now_ns))
			link_flow(flows, &flow[i]);
		else
			give_back(flows, (uint16_t)i);
	}
}

struct nat_flow *nat_flow_outward(struct nat_flows *flows, const struct nat_tuple *t, uint8_t tcp_flags, uint32_t peer, uint8_t host,
                                  uint64_t now_ns)
{
	struct nat_flow *f = find_inside(flows, t, now_ns);
	uint16_t port;

	if (f != NULL && f->peer == peer && f->host == host)
		return f;
	if (f != NULL)
		remove_flow(flows, f);
	/* A connection that nobody remembers is taken up: it may be from before the driver VM started. */
	if (t->protocol == NET_IP_TCP && (tcp_flags & NAT_TCP_RST))
		return NULL;
	make_room(flows, host);
	port = choose_port(flows, t, peer, now_ns);
	if (port == 0) {
		flows->refused++;
		return NULL;
	}
	f = make_flow(flows, t, peer, host, port);
	f->until_ns = now_ns + NEW_NS;
	return f;
}

/* ---- Use ---- */

static enum nat_state next_state(struct nat_flow *f, bool inward, uint8_t tcp_flags)
{
	if (f->protocol != NET_IP_TCP)
		return inward ? NAT_STATE_OPEN : f->state;
	if (tcp_flags & NAT_TCP_RST)
		return NAT_STATE_CLOSING;
	if (!inward && (tcp_flags & NAT_TCP_SYN)) { /* the same ports once more */
		f->finished = 0;
		return f->state == NAT_STATE_CLOSING ? NAT_STATE_NEW : f->state;
	}
	if (tcp_flags & NAT_TCP_FIN)
		f->finished |= inward ? 2 : 1;
	if (f->finished == FINISHED_ALL)
		return NAT_STATE_CLOSING;
	return inward && f->state == NAT_STATE_NEW ? NAT_STATE_OPEN : f->state;
}

static uint64_t time_of(const struct nat_flow *f)
{
	if (f->state == NAT_STATE_NEW || f->protocol == NAT_ICMP)
		return NEW_NS;
	if (f->state == NAT_STATE_CLOSING)
		return CLOSING_NS;
	return f->protocol == NET_IP_TCP ? TCP_OPEN_NS : UDP_OPEN_NS;
}

void nat_flow_use(struct nat_flows *flows, struct nat_flow *flow, bool inward, uint8_t tcp_flags, uint64_t now_ns)
{
	list_remove(flows, flow);
	flow->state = (uint8_t)next_state(flow, inward, tcp_flags);
	list_append(flows, flow);
	flow->until_ns = now_ns + time_of(flow);
}

void nat_flow_drop_host(struct nat_flows *flows, uint8_t host)
{
	while (flows->host[host].flows != 0)
		remove_oldest(flows, host);
}
