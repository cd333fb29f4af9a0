/* See nat.h. */
#include "drivers-vm/driver/nat.h"

#include "drivers-vm/driver/host_nic.h"
#include "drivers-vm/driver/nat_stack.h"
#include "drivers-vm/driver/slot_devices.h"
#include "drivers-vm/runtime/service.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static struct nat_stack *gateways;
static uint64_t timers_tsc;

static const char *start(struct nat_stack *s, const struct channel_message *m, const uint8_t *mac)
{
	const struct nat_stack_static fixed = { m->uplink.address, m->uplink.router, m->uplink.dns, m->uplink.address_prefix };

	snprintf(s->name, sizeof(s->name), "%02x:%02x:%02x:%02x:%02x:%02x", mac[0], mac[1], mac[2], mac[3], mac[4], mac[5]);
	memcpy(s->gateway.outside.policy.mac, mac, NET_MAC_BYTES); /* before the switch knows the port by it */
	if (!net_switch_add(&s->gateway.uplink, &s->gateway.outside) || !net_switch_add(&driver_switch, &s->gateway.inside))
		return "the switch has no port left";
	if (!nat_stack_start(s, mac, &fixed))
		return "another gateway has the same subnet, or there is no memory";
	s->next = gateways;
	gateways = s;
	timers_tsc = 0;
	return NULL;
}

/* The card and lwIP may know it, so it stays. But it gets no frames: nobody works off what it would queue. */
static void fail(struct nat_stack *s, const char *error)
{
	net_switch_remove(&s->gateway.uplink, &s->gateway.outside);
	net_switch_remove(&driver_switch, &s->gateway.inside);
	service_log("nat: %s", error);
}

/* What the driver VM before has left, or NULL. */
static struct nat_store *store_before(const struct channel_message *m)
{
	/* NOLINTNEXTLINE(bugprone-sizeof-expression): it takes the constant, a size, for a number that no size can reach */
	static_assert(sizeof(struct nat_store) <= CHANNEL_NAT_BYTES, "it fits what the control VM gives");

	if (m->uplink.state_gpa != 0 && service_map_memory(m->uplink.state_gpa, CHANNEL_NAT_BYTES))
		return (struct nat_store *)(uintptr_t)m->uplink.state_gpa;
	return NULL;
}

/* With the uplink, if there is one; else the log says why not. */
static const struct host_nic *open_gateway(struct nat_stack *s, const struct channel_message *m, struct nat_store *store)
{
	const struct nat_gateway_config config = {
		.bridge = m->uplink.bridge,
		.vlan = m->uplink.vlan,
		.subnet = m->uplink.subnet,
		.prefix = m->uplink.subnet_prefix,
		.guests = &driver_switch,
		.secret = (uint64_t)lwip_random() << 32 | lwip_random(),
		.store = store,
	};

	nat_gateway_init(&s->gateway, &nat_stack_ops, &config);
	return host_nic_join(&s->gateway.uplink, m);
}

void nat_add(const struct channel_message *m)
{
	struct nat_store *before = store_before(m);
	/* If the control VM has no memory for that, something that goes with this driver VM. */
	struct nat_store *store = before != NULL ? before : calloc(1, sizeof(*store));
	struct nat_stack *s = calloc(1, sizeof(*s));
	bool fits = m->uplink.subnet_prefix >= NAT_PREFIX_MIN && m->uplink.subnet_prefix <= NAT_PREFIX_MAX;
	const struct host_nic *nic = s != NULL && store != NULL && fits ? open_gateway(s, m, store) : NULL;
	const char *error = nic != NULL ? start(s, m, nic->mac) : NULL;

	if (s == NULL || store == NULL)
		service_log("nat: no memory for a gateway in the driver VM");
	else if (!fits)
		service_log("nat: no subnet has a prefix of %u bits", (unsigned)m->uplink.subnet_prefix);
	if (error != NULL)
		fail(s, error);
	if (nic != NULL)
		return;
	free(s);
	if (store != before)
		free(store);
}

uint64_t nat_run(void)
{
	uint64_t now = gateways != NULL ? service_tsc() : 0;

	if (gateways == NULL)
		return 0;
	if (now >= timers_tsc)
		timers_tsc = now + service_ns_to_tsc(nat_stack_timers()) + 1;
	for (struct nat_stack *s = gateways; s != NULL; s = s->next)
		nat_stack_run(s);
	return timers_tsc;
}
