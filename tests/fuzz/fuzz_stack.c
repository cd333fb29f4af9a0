/*
 * Fuzz target of the control VM's network: lwIP as it is built for it, mDNS, DHCP, and the TLS listener, with everything between a frame and
 * HTTP. The input is a series of frames and pauses. Addresses, ports, sequence and transaction numbers are filled in as a peer on the same
 * wire would know them, so that what is behind them is reached; checksums are not looked at. Properties: no access out of bounds (the
 * sanitiser sees it), no failed assertion of lwIP's, and memory does not grow without end.
 *
 * FUZZ_SOURCES: drivers-vm/control/entropy.c drivers-vm/control/net/stack.c drivers-vm/control/net/web.c
 * FUZZ_SOURCES: drivers-vm/control/net/web_tls.c drivers-vm/control/net/identity.c drivers-vm/control/net/certificate.c
 * FUZZ_SOURCES: build/fuzz/lib/lwip-control.a build/fuzz/lib/mbedtls.a
 * FUZZ_FLAGS: -iquote tests/unit/fake_host_pci -Idrivers-vm/control/net/lwip -Idrivers-vm/lib/lwip -Icache/lwip/src/include -fno-sanitize=alignment
 * FUZZ_FLAGS: -Idrivers-vm/control/net/mbedtls -DMBEDTLS_CONFIG_FILE='<mbedtls_config.h>' -isystem cache/mbedtls/include
 * FUZZ_OPTIONS: -max_len=4096
 */
#include "drivers-vm/control/api/http.h"
#include "drivers-vm/control/entropy_cpu.h"
#include "drivers-vm/control/net/identity.h"
#include "drivers-vm/control/net/port.h"
#include "drivers-vm/control/net/stack.h"
#include "drivers-vm/control/net/web.h"
#include "drivers-vm/control/entropy.h"
#include "drivers-vm/control/store/store.h"
#include "drivers-vm/runtime/service.h"

#include <stdlib.h>
#include <string.h>

#define PAYLOAD_MAX 1000u
#define FRAMES_MAX  64u
#define PORT        443u
#define HTTP_MAX    64u

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const uint8_t own_mac[6] = { 0x72, 0x54, 0, 1, 2, 3 }, peer_mac[6] = { 0x52, 0x54, 0, 9, 9, 9 };
static const uint8_t own_ip6[16] = { 0xFE, 0x80, [8] = 0x70, 0x54, 0x00, 0xFF, 0xFE, 0x01, 0x02, 0x03 };
static const uint8_t peer_ip6[16] = { 0xFE, 0x80, [15] = 1 }, all_ip6[16] = { 0xFF, 2, [15] = 1 }, mdns_ip6[16] = { 0xFF, 2, [15] = 0xFB };

static uint64_t clock_ns = 1;
static bool card_there = true;
static uint8_t frame[320 + PAYLOAD_MAX]; /* DHCP has 282 bytes before its options */
static size_t frame_bytes;
/* What the peer has seen of the control VM. */
static uint32_t dhcp_xid, tcp_next, tcp_seen;
static uint16_t tcp_port = 1024;

/* ---- What the control VM's runtime gives --------------------------------------------------------------------------------------------- */

uint64_t service_tsc(void)
{
	return clock_ns;
}

uint64_t service_tsc_to_ns(uint64_t tsc)
{
	return tsc;
}

void service_log(const char *format, ...)
{
	(void)format;
}

/* Key and certificate of our own; nothing else is put. */
static struct {
	char key[STORE_KEY_BYTES];
	uint8_t bytes[1024];
	size_t count;
} values[2];

const void *store_get(const char *key, size_t *bytes)
{
	for (unsigned i = 0; i < 2; i++)
		if (strcmp(values[i].key, key) == 0) {
			*bytes = values[i].count;
			return values[i].bytes;
		}
	return NULL;
}

bool store_put(const char *key, const void *value, size_t bytes, uint32_t flags)
{
	unsigned at = values[0].count != 0;

	(void)flags;
	strcpy(values[at].key, key);
	memcpy(values[at].bytes, value, bytes);
	values[at].count = bytes;
	return true;
}

void store_remove(const char *key)
{
	(void)key;
}

/* ---- The card ------------------------------------------------------------------------------------------------------------------------ */

static uint32_t get32(const uint8_t *bytes)
{
	return (uint32_t)bytes[0] << 24 | (uint32_t)bytes[1] << 16 | (uint32_t)bytes[2] << 8 | bytes[3];
}

static void put32(uint8_t *bytes, uint32_t value)
{
	for (unsigned i = 0; i < 4; i++)
		bytes[i] = (uint8_t)(value >> (24 - 8 * i));
}

static void put16(uint8_t *bytes, uint32_t value)
{
	bytes[0] = (uint8_t)(value >> 8);
	bytes[1] = (uint8_t)value;
}

bool port_net_mac(uint8_t mac[6])
{
	memcpy(mac, own_mac, 6);
	return card_there;
}

bool port_net_send(const struct port_piece *piece, unsigned pieces)
{
	uint8_t bytes[PORT_FRAME_BYTES];
	size_t count = 0;

	for (unsigned i = 0; i < pieces; i++) {
		if (piece[i].count > sizeof(bytes) - count)
			abort();
		memcpy(bytes + count, piece[i].bytes, piece[i].count);
		count += piece[i].count;
	}
	if (count >= 74 && bytes[12] == 0x86 && bytes[20] == 6) { /* TCP over IPv6 */
		tcp_seen = get32(bytes + 58) + (uint32_t)(count - 54 - (bytes[66] >> 4) * 4u) + (bytes[67] & 3 ? 1 : 0);
		tcp_next = get32(bytes + 62);
	} else if (count >= 50 && bytes[12] == 8 && bytes[23] == 17 && bytes[35] == 68) {
		dhcp_xid = get32(bytes + 46);
	}
	return card_there;
}

unsigned port_net_poll(unsigned limit, void (*take)(const uint8_t *bytes, size_t count))
{
	(void)limit;
	if (frame_bytes == 0)
		return 0;
	/* A copy of just its length, so that the sanitiser sees reads behind it. */
	uint8_t *copy = malloc(frame_bytes);
	memcpy(copy, frame, frame_bytes);
	take(copy, frame_bytes);
	free(copy);
	frame_bytes = 0;
	return 1;
}

/* ---- HTTP that answers each piece with as much as it was --------------------------------------------------------------------------------- */

struct http_conn {
	bool used;
	const struct http_transport *transport;
	void *ctx;
	size_t held;
};
static struct http_conn conns[HTTP_MAX];

struct http_conn *http_open(const struct http_transport *transport, void *ctx, const uint8_t peer[16], uint64_t now_ns)
{
	(void)peer;
	(void)now_ns;
	for (struct http_conn *c = conns; c < conns + HTTP_MAX; c++)
		if (!c->used) {
			*c = (struct http_conn){ true, transport, ctx, 0 };
			return c;
		}
	return NULL;
}

void http_receive(struct http_conn *conn, const void *bytes, size_t count, uint64_t now_ns)
{
	(void)now_ns;
	conn->transport->write(conn->ctx, bytes, count);
	conn->held += count;
	if (conn->held < HTTP_RECEIVE_WINDOW)
		return;
	conn->used = false;
	conn->transport->finish(conn->ctx);
}

void http_writable(struct http_conn *conn, uint64_t now_ns)
{
	(void)now_ns;
	conn->transport->consumed(conn->ctx, conn->held);
	conn->held = 0;
}

void http_close(struct http_conn *conn)
{
	if (!conn->used)
		abort();
	conn->used = false;
}

bool http_is_busy(const struct http_conn *conn)
{
	return conn->held % 3 == 1;
}

void http_poll(uint64_t now_ns)
{
	(void)now_ns;
}

/* ---- Frames -------------------------------------------------------------------------------------------------------------------------- */

static uint8_t *ethernet(const uint8_t *to, uint16_t type)
{
	memcpy(frame, to, 6);
	memcpy(frame + 6, peer_mac, 6);
	put16(frame + 12, type);
	return frame + 14;
}

static uint8_t *ip4(uint8_t protocol, uint32_t to, size_t payload)
{
	uint8_t *at = ethernet(own_mac, 0x0800);

	memset(at, 0, 20);
	at[0] = 0x45;
	put16(at + 2, (uint32_t)(20 + payload));
	at[8] = 255;
	at[9] = protocol;
	put32(at + 12, 0x0A000202);
	put32(at + 16, to);
	return at + 20;
}

static uint8_t *ip6(uint8_t next, const uint8_t *to, size_t payload)
{
	uint8_t *at = ethernet(own_mac, 0x86DD);

	memset(at, 0, 8);
	at[0] = 0x60;
	put16(at + 4, (uint32_t)payload);
	at[6] = next;
	at[7] = 255;
	memcpy(at + 8, peer_ip6, 16);
	memcpy(at + 24, to, 16);
	return at + 40;
}

static uint8_t *udp(uint8_t *at, uint16_t from, uint16_t to, size_t payload)
{
	put16(at, from);
	put16(at + 2, to);
	put16(at + 4, (uint32_t)(8 + payload));
	put16(at + 6, 0);
	return at + 8;
}

static void run(void)
{
	uint64_t deadline = UINT64_MAX;

	for (unsigned i = 0; i < 4; i++) {
		bool more = stack_run(clock_ns, &deadline);
		more |= web_run(clock_ns, &deadline);
		if (!more)
			return;
	}
}

/* Asks for the control VM's address, and so tells the peer's: RFC 4861, 4.3 Neighbor Solicitation. */
static void introduce_peer(void)
{
	uint8_t *at = ip6(58, own_ip6, 32);

	memset(at, 0, 32);
	at[0] = 135;
	memcpy(at + 8, own_ip6, 16);
	at[24] = at[25] = 1;
	memcpy(at + 26, peer_mac, 6);
	frame_bytes = (size_t)(at + 32 - frame);
	run();
}

/* The first byte of the payload is the flags; SYN begins a connection. */
static uint8_t *tcp(const uint8_t *payload, size_t *count)
{
	uint8_t flags = *count > 0 ? payload[0] : 2;
	size_t data = *count > 0 ? *count - 1 : 0;
	uint8_t *at;

	if (flags & 2) {
		introduce_peer();
		tcp_port = (uint16_t)(1024 + (tcp_port + 1) % 256);
		tcp_next = 1000;
	}
	at = ip6(6, own_ip6, 20 + data);
	put16(at, tcp_port);
	put16(at + 2, PORT);
	put32(at + 4, tcp_next);
	put32(at + 8, tcp_seen);
	at[12] = 5 << 4;
	at[13] = flags;
	put16(at + 14, 0x4000);
	put32(at + 16, 0);
	*count = data;
	return at + 20;
}

/* A DHCP answer (RFC 2131, 2) that belongs to what was asked; the payload is its options. */
static uint8_t *dhcp(size_t payload)
{
	uint8_t *at = udp(ip4(17, 0xFFFFFFFF, 8 + 240 + payload), 67, 68, 240 + payload);

	memset(at, 0, 240);
	at[0] = 2;
	at[1] = 1;
	at[2] = 6;
	put32(at + 4, dhcp_xid);
	put32(at + 16, 0x0A000210);
	memcpy(at + 28, own_mac, 6);
	put32(at + 236, 0x63825363);
	return at + 240;
}

static void make_frame(unsigned kind, const uint8_t *payload, size_t count)
{
	uint8_t first = count > 0 ? payload[0] : 0, *at;
	bool is_tcp = kind > 8;

	switch (kind) {
	case 0:
		at = ethernet(first & 1 ? own_mac : (const uint8_t *)"\xFF\xFF\xFF\xFF\xFF\xFF", 0x0800);
		break;
	case 1:
		at = ethernet(own_mac, 0x86DD);
		break;
	case 2:
		at = ethernet(own_mac, 0x0806);
		break;
	case 3:
		at = ip4(first, 0x0A000210, count);
		break;
	case 4:
		at = udp(ip4(17, 0xE00000FB, 8 + count), 5353, 5353, count);
		break;
	case 5:
		at = dhcp(count);
		break;
	case 6:
		at = ip6(first, first & 1 ? own_ip6 : all_ip6, count);
		break;
	case 7:
		at = udp(ip6(17, mdns_ip6, 8 + count), 5353, 5353, count);
		break;
	case 8:
		at = ip6(58, first & 1 ? own_ip6 : all_ip6, count);
		break;
	default:
		at = tcp(payload, &count);
		break;
	}
	if (count > 0)
		memcpy(at, payload + is_tcp, count);
	frame_bytes = (size_t)(at - frame) + count;
}

static void start(void)
{
	static const struct config_api config = { .enabled = true, .port = PORT, .name = "hilum" };
	static const struct tls_names names = { .name = "hilum" };

	if (!entropy_start())
		abort();
	stack_start(&config);
	run();
	if (!tls_start(&names) || !web_start(PORT))
		abort();
	for (unsigned i = 0; i < 40; i++) { /* until the address of the link counts */
		clock_ns += 100000000;
		run();
	}
}

/* Byte 0 of a frame: its kind, and whether the card goes; byte 1: the time before it; bytes 2 and 3: the length of what follows. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static bool started;

	if (!started)
		start();
	started = true;
	for (unsigned frames = 0; size >= 4 && frames < FRAMES_MAX; frames++) {
		size_t count = (size_t)data[2] << 2 | (data[3] & 3);
		unsigned kind = data[0] % 14;
		clock_ns += (uint64_t)(data[1] & 0x3F) * (data[1] & 0x40 ? 500000000 : 1000000) + 1000;
		card_there = data[0] < 250;
		data += 4;
		size -= 4;
		if (count > size)
			count = size;
		if (count > PAYLOAD_MAX)
			count = PAYLOAD_MAX;
		make_frame(kind, data, count);
		run();
		data += count;
		size -= count;
	}
	card_there = true;
	clock_ns += 1000000;
	run();
	return 0;
}
