/*
 * Fuzz target of the address translation with lwIP beside it: the input is frames of a guest and of the
 * uplink, one after the other, each given the Ethernet addresses of its side. Properties: no access out of
 * bounds (the sanitiser sees it), no failed assertion of lwIP's, the table of connections stays whole, and no
 * packet leaves with another address than the uplink's.
 *
 * FUZZ_SOURCES: drivers-vm/driver/nat_stack.c drivers-vm/driver/nat_gateway.c drivers-vm/driver/nat_packet.c
 * FUZZ_SOURCES: drivers-vm/driver/nat_flow.c drivers-vm/driver/nat_hosts.c drivers-vm/driver/nat_dhcp.c
 * FUZZ_SOURCES: drivers-vm/driver/net_switch.c drivers-vm/driver/net_filter.c drivers-vm/driver/net_offload.c
 * FUZZ_SOURCES: drivers-vm/driver/io_segment.c build/fuzz/lib/lwip.a
 * FUZZ_FLAGS: -Idrivers-vm/driver/lwip -Idrivers-vm/lib/lwip -Icache/lwip/src/include -fno-sanitize=alignment
 * FUZZ_OPTIONS: -max_len=2048
 */
#include "drivers-vm/driver/entropy.h"
#include "drivers-vm/driver/nat_stack.h"
#include "drivers-vm/runtime/service.h"

#include "lwip/dhcp.h"

#include <stdlib.h>
#include <string.h>

#define FRAME_MAX 400u
#define SIDE_OUT  0x80u /* the first byte of a frame in the input: its side, and how much time passes before it */
#define TIME_MASK 0x0Fu

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static struct net_switch guests;
static struct nat_stack stack;
static struct nat_store store;
static struct net_port guest, uplink;
static uint64_t clock_ns = 1;
static const uint8_t guest_mac[6] = { 2, 0, 0, 0, 0, 7 }, uplink_mac[6] = { 0x52, 0x54, 0, 1, 2, 3 }, other_mac[6] = { 0, 1, 1, 1, 1, 1 };

/* ---- What the driver VM's runtime gives ---- */

size_t entropy_read(void *to, size_t count)
{
	memset(to, 0x5A, count); /* a run repeats exactly */
	return count;
}

uint64_t service_tsc_to_ns(uint64_t tsc)
{
	(void)tsc;
	return clock_ns;
}

void service_log(const char *fmt, ...)
{
	(void)fmt;
}

/* ---- Ports ---- */

static void guest_receive(struct net_port *port, struct net_frame *frame)
{
	(void)port;
	(void)frame;
}

static void uplink_receive(struct net_port *port, struct net_frame *frame)
{
	const uint8_t *bytes = frame->segment[0].bytes;
	uint32_t source;

	(void)port;
	if (memcmp(bytes + 6, uplink_mac, 6) != 0)
		abort();
	if (net_get16(bytes + 12) != NET_TYPE_IP4)
		return;
	source = net_get32(bytes + 26);
	if (source != 0 && source != store.address && source != ntohl(netif_ip4_addr(&stack.outside)->addr))
		abort();
}

static void add_port(struct net_switch *sw, struct net_port *port, const struct net_port_ops *ops, bool is_uplink)
{
	*port = (struct net_port){ .ops = ops, .policy = { .bridge = 1, .uplink = is_uplink } };
	if (!is_uplink)
		memcpy(port->policy.mac, guest_mac, 6);
	net_switch_add(sw, port);
}

static void start(void)
{
	static const struct net_port_ops guest_ops = { .receive = guest_receive }, uplink_ops = { .receive = uplink_receive };
	const struct nat_gateway_config config = { 1, 0, 0x0A006400, 24, 42, &guests, &store };
	const struct nat_stack_static fixed = { 0xC0000205, 0xC0000201, 0xC0000235, 24 };

	nat_gateway_init(&stack.gateway, &nat_stack_ops, &config);
	add_port(&guests, &guest, &guest_ops, false);
	add_port(&stack.gateway.uplink, &uplink, &uplink_ops, true);
	net_switch_add(&guests, &stack.gateway.inside);
	net_switch_add(&stack.gateway.uplink, &stack.gateway.outside);
	/* An address from the start, so that packets pass, and a client that waits for another one. */
	if (!nat_stack_start(&stack, uplink_mac, &fixed) || dhcp_start(&stack.outside) != ERR_OK)
		abort();
}

static void feed(const uint8_t *data, unsigned count, bool out)
{
	uint8_t bytes[FRAME_MAX] = { 0 };
	uint32_t length = count < 60 ? 60 : count, head = length < NET_HEAD_BYTES ? length : NET_HEAD_BYTES;
	struct io_segment segment[2] = { { bytes, head }, { bytes + head, length - head } };
	struct net_frame frame = { .segment = segment, .segments = length > head ? 2 : 1, .bytes = length };
	const uint8_t *to = out ? stack.gateway.inside.policy.mac : uplink_mac;

	memcpy(bytes, data, count);
	if (!(bytes[0] & 1)) /* else it is for a group, or everybody */
		memcpy(bytes, to, 6);
	memcpy(bytes + 6, out ? guest_mac : other_mac, 6);
	if (out)
		net_switch_forward(&guests, &guest, &frame, clock_ns);
	else
		net_switch_forward(&stack.gateway.uplink, &uplink, &frame, clock_ns);
}

static void check_table(void)
{
	const struct nat_flows *flows = &stack.gateway.flows;
	unsigned of_hosts = 0;

	for (unsigned i = 0; i < NAT_HOSTS; i++)
		of_hosts += flows->host[i].flows;
	if (of_hosts != flows->used || flows->used > NAT_FLOWS)
		abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static bool started;

	if (!started)
		start();
	started = true;
	while (size >= 2) {
		uint8_t kind = data[0];
		unsigned count = data[1] * 2u < FRAME_MAX ? data[1] * 2u : FRAME_MAX;
		data += 2;
		size -= 2;
		count = count < size ? count : (unsigned)size;
		clock_ns += (kind & TIME_MASK) * 100000000ull;
		feed(data, count, kind & SIDE_OUT);
		nat_stack_timers();
		nat_stack_run(&stack);
		data += count;
		size -= count;
	}
	check_table();
	return 0;
}
