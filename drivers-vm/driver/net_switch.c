/* Checks a frame, finds its VLAN, learns where it came from, and hands it on, with or without a tag. */
#include "drivers-vm/driver/net_switch.h"

#include "drivers-vm/driver/net_filter.h"
#include "drivers-vm/driver/net_offload.h"

#include <string.h>

#define VLAN_MASK 0x0FFFu

/* A frame on its way. */
struct transit {
	struct net_port *from;
	struct net_frame *frame;
	uint16_t vlan; /* that it belongs to; 0: none */
	bool tagged;
	unsigned l3; /* where the header of `type` begins */
	uint16_t type;
	struct net_frame *retagged; /* with the tag put in or taken out; NULL: not made yet */
};

/* Which of the two a frame has become; there is one at a time. */
static struct {
	struct net_frame frame;
	struct io_segment segment[NET_SEGMENTS_MAX + 1];
	uint8_t head[NET_HEAD_BYTES + NET_TAG_BYTES];
} other;

static struct net_port **list_of(struct net_switch *sw, const uint8_t *mac)
{
	return &sw->of_mac[(net_get32(mac + 2) ^ net_get16(mac)) * 0x9E3779B1u >> 24];
}
_Static_assert(NET_SWITCH_LISTS == 256, "eight bits of the hash");

bool net_switch_add(struct net_switch *sw, struct net_port *port)
{
	struct net_port **link = list_of(sw, port->policy.mac);

	if (sw->ports == NET_SWITCH_PORTS)
		return false;
	while (*link != NULL)
		link = &(*link)->next_of_mac;
	*link = port;
	port->next_of_mac = NULL;
	port->waiting = false;
	sw->port[sw->ports++] = port;
	return true;
}

static void forget_waiting(struct net_switch *sw, struct net_port *port)
{
	struct net_port **link = &sw->waiting;

	if (!port->waiting)
		return;
	while (*link != port)
		link = &(*link)->next_waiting;
	*link = port->next_waiting;
	if (*link == NULL)
		sw->waiting_end = link;
	port->waiting = false;
}

void net_switch_remove(struct net_switch *sw, struct net_port *port)
{
	for (unsigned i = 0; i < NET_SWITCH_LEARNED; i++)
		if (sw->learned[i].port == port)
			sw->learned[i] = (struct net_learned){ 0 };
	forget_waiting(sw, port);
	struct net_port **link = list_of(sw, port->policy.mac);
	while (*link != NULL && *link != port)
		link = &(*link)->next_of_mac;
	if (*link == port)
		*link = port->next_of_mac;
	for (unsigned i = 0; i < sw->ports; i++) {
		if (sw->port[i] == port) {
			sw->port[i] = sw->port[--sw->ports];
			return;
		}
	}
}

/* ---- Addresses ---- */

static uint64_t key_of(const uint8_t *mac, uint16_t vlan)
{
	return (uint64_t)vlan << 48 | (uint64_t)net_get16(mac) << 32 | net_get32(mac + 2);
}

/* The places for an address: a few neighbours. */
static struct net_learned *places_of(struct net_switch *sw, uint64_t key, uint32_t bridge)
{
	uint64_t hash = (key ^ (uint64_t)bridge << 40) * 0x9E3779B97F4A7C15ull;

	return &sw->learned[hash >> 32 & (NET_SWITCH_LEARNED - NET_SWITCH_WAYS)];
}

static void learn(struct net_switch *sw, const struct transit *t, uint64_t now_ns)
{
	const struct net_policy *policy = &t->from->policy;
	uint64_t key = key_of(t->frame->segment[0].bytes + NET_MAC_BYTES, t->vlan);
	struct net_learned *places = places_of(sw, key, policy->bridge), *place = &places[0];

	if (!policy->uplink && !policy->trunk && !policy->spoof)
		return;
	/* Its own place, else a free one (key 0), else the oldest. */
	for (unsigned i = 0; i < NET_SWITCH_WAYS; i++) {
		if (places[i].key == key && places[i].bridge == policy->bridge) {
			place = &places[i];
			break;
		}
		if (places[i].seen_ns < place->seen_ns)
			place = &places[i];
	}
	*place = (struct net_learned){ key, policy->bridge, t->from, now_ns };
}

static struct net_port *find_learned(struct net_switch *sw, const struct transit *t, const uint8_t *mac, uint64_t now_ns)
{
	uint64_t key = key_of(mac, t->vlan);
	uint32_t bridge = t->from->policy.bridge;
	const struct net_learned *places = places_of(sw, key, bridge);

	for (unsigned i = 0; i < NET_SWITCH_WAYS; i++)
		if (places[i].key == key && places[i].bridge == bridge && now_ns - places[i].seen_ns < NET_SWITCH_AGING_NS)
			return places[i].port;
	return NULL;
}

/* ---- Who may reach whom ---- */

static bool is_member(const struct net_policy *policy, uint16_t vlan)
{
	return policy->trunk || policy->vlan == vlan;
}

static bool may_reach(const struct transit *t, const struct net_port *to)
{
	const struct net_policy *a = &t->from->policy, *b = &to->policy;

	return to != t->from && a->bridge == b->bridge && is_member(b, t->vlan) && (a->tenant == b->tenant || a->uplink || b->uplink);
}

/* Whether it is for the port although nobody knows the address. */
static bool takes_unknown(const struct net_policy *policy)
{
	return policy->uplink || policy->trunk || policy->spoof;
}

/* ---- Handing on ---- */

/* The frame with a tag, or without, as `tag` says; the original is the other way. */
static struct net_frame *retag(struct transit *t, bool tag)
{
	const struct net_frame *frame = t->frame;
	const struct io_segment *head = &frame->segment[0];
	const unsigned addresses = 2 * NET_MAC_BYTES;
	int by = tag ? (int)NET_TAG_BYTES : -(int)NET_TAG_BYTES;

	if (t->retagged != NULL)
		return t->retagged;
	other.frame = *frame;
	other.frame.segment = other.segment;
	other.frame.done = NULL;
	memcpy(other.segment, frame->segment, frame->segments * sizeof(*frame->segment));
	memcpy(other.head, head->bytes, addresses);
	if (tag) {
		net_put16(other.head + addresses, NET_TYPE_TAG);
		net_put16(other.head + addresses + 2, t->vlan);
		memcpy(other.head + addresses + NET_TAG_BYTES, head->bytes + addresses, head->count - addresses);
	} else {
		memcpy(other.head + addresses, head->bytes + addresses + NET_TAG_BYTES, head->count - addresses - NET_TAG_BYTES);
	}
	other.segment[0] = (struct io_segment){ other.head, head->count + (unsigned)by };
	other.frame.bytes += (unsigned)by;
	other.frame.csum_start = (uint16_t)(frame->csum_start + by);
	t->retagged = &other.frame;
	return t->retagged;
}

static void hand_on(struct net_switch *sw, struct transit *t, struct net_port *to)
{
	bool tag = to->policy.trunk && t->vlan != to->policy.vlan;
	struct net_frame *frame = tag == t->tagged ? t->frame : retag(t, tag);
	unsigned l3 = t->l3 + (tag ? NET_TAG_BYTES : 0) - (t->tagged ? NET_TAG_BYTES : 0);

	if (!to->waiting && to->ops->flush != NULL) {
		if (sw->waiting == NULL)
			sw->waiting_end = &sw->waiting;
		to->waiting = true;
		to->next_waiting = NULL;
		*sw->waiting_end = to;
		sw->waiting_end = &to->next_waiting;
	}
	to->counts.received_frames++;
	to->counts.received_bytes += frame->bytes;
	net_offload_deliver(to, frame, l3);
}

/* 802.1Q, table 8-1: addresses that no bridge forwards. */
static bool is_reserved(const uint8_t *mac)
{
	static const uint8_t reserved[5] = { 0x01, 0x80, 0xC2, 0x00, 0x00 };

	return memcmp(mac, reserved, sizeof(reserved)) == 0 && mac[5] < 0x10;
}

static void hand_to_all(struct net_switch *sw, struct transit *t, bool everybody)
{
	for (unsigned i = 0; i < sw->ports; i++) {
		struct net_port *to = sw->port[i];
		if (may_reach(t, to) && (everybody || takes_unknown(&to->policy)))
			hand_on(sw, t, to);
	}
}

static struct net_port *find_fixed(struct net_switch *sw, const struct transit *t, const uint8_t *mac)
{
	for (struct net_port *port = *list_of(sw, mac); port != NULL; port = port->next_of_mac) {
		if (memcmp(port->policy.mac, mac, NET_MAC_BYTES) == 0 && port->policy.bridge == t->from->policy.bridge &&
		    is_member(&port->policy, t->vlan))
			return port;
	}
	return NULL;
}

/* ---- The way in ---- */

/* Tag, VLAN and type; false: the frame has no business at this port. Only trunks carry tags: nobody can
 * choose a VLAN elsewhere. */
static bool classify(struct transit *t)
{
	const struct net_policy *policy = &t->from->policy;
	const struct io_segment *head = &t->frame->segment[0];
	const unsigned at = 2 * NET_MAC_BYTES;
	uint16_t tci;

	t->type = net_get16(head->bytes + at);
	t->l3 = NET_HEADER_BYTES;
	t->vlan = policy->vlan;
	t->tagged = t->type == NET_TYPE_TAG;
	if (!t->tagged)
		return true;
	if (head->count < NET_HEADER_BYTES + NET_TAG_BYTES)
		return false;
	tci = net_get16(head->bytes + at + 2);
	t->type = net_get16(head->bytes + at + NET_TAG_BYTES);
	t->l3 += NET_TAG_BYTES;
	t->vlan = tci & VLAN_MASK; /* 0: it has a priority only */
	return policy->trunk && t->vlan <= NET_VLAN_MAX && (t->vlan != 0 || policy->vlan == 0) && t->type != NET_TYPE_TAG;
}

void net_switch_forward(struct net_switch *sw, struct net_port *port, struct net_frame *frame, uint64_t now_ns)
{
	struct transit t = { .from = port, .frame = frame };
	const uint8_t *to_mac = frame->segment[0].bytes;
	struct net_port *to;

	if (frame->segment[0].count < NET_HEADER_BYTES || !classify(&t) ||
	    !net_filter_allows(&port->policy, to_mac, frame->segment[0].count, t.l3, t.type) || !net_offload_check(frame, t.l3, t.type)) {
		port->counts.refused++;
		return;
	}
	port->counts.sent_frames++;
	port->counts.sent_bytes += frame->bytes;
	learn(sw, &t, now_ns);
	if (is_reserved(to_mac))
		return;
	if (to_mac[0] & 1) {
		hand_to_all(sw, &t, true);
		return;
	}
	to = find_fixed(sw, &t, to_mac);
	if (to == NULL)
		to = find_learned(sw, &t, to_mac, now_ns);
	if (to == NULL)
		hand_to_all(sw, &t, false);
	else if (may_reach(&t, to))
		hand_on(sw, &t, to);
}

void net_switch_flush(struct net_switch *sw)
{
	/* A flush may hand frames to others. No more turns than ports: two that answer each other wait for the next time. */
	for (unsigned turns = sw->ports; sw->waiting != NULL && turns != 0; turns--) {
		struct net_port *port = sw->waiting;
		sw->waiting = port->next_waiting;
		port->waiting = false;
		port->ops->flush(port);
	}
}

void net_switch_poll(struct net_switch *sw)
{
	for (unsigned i = 0; i < sw->ports; i++)
		if (sw->port[i]->ops->poll != NULL)
			sw->port[i]->ops->poll(sw->port[i]);
}

unsigned net_frame_flow(const struct net_frame *frame, unsigned ways)
{
	const struct io_segment *head = &frame->segment[0];
	uint32_t hash = 0, bytes = head->count < 38 ? head->count : 38;

	if (ways <= 1)
		return 0;
	for (uint32_t i = 26; i < bytes; i++)
		hash = hash * 31 + head->bytes[i];
	for (uint32_t i = 0; i < 2 * NET_MAC_BYTES; i++)
		hash = hash * 31 + head->bytes[i];
	return (hash * 0x9E3779B1u >> 16) % ways; /* 2^32 by the golden ratio: neighbouring ports spread */
}
