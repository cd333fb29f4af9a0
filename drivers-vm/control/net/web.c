/*
 * See web.h. lwIP's callbacks only note what has come; all work is done from web_run, so no connection ends while lwIP is using it. At most
 * one handshake goes on in a call of web_run: it is the dearest thing that a stranger can ask for, and those who are in come first.
 */
#include "drivers-vm/control/net/web_private.h"

#include "drivers-vm/runtime/service.h"

#include "lwip/priv/tcp_priv.h"

#include <string.h>

#define SECOND       1000000000ull
#define HANDSHAKE_NS (20 * SECOND)
#define FINISH_NS    (20 * SECOND)
#define STALL_NS     (60 * SECOND) /* a peer that takes nothing of what is sent */
#define POLL_NS      (SECOND / 10) /* http_poll's pace */
#define BACKLOG      255u
#define HALF_OPEN    128u /* connections whose peer has not even shown that it is there */
#define SPARE        16u  /* places that are free whenever web_run returns */
#define PEER_MAX     48u  /* connections of one peer */

static struct web_conn table[WEB_CONNECTIONS_MAX];
static struct tcp_pcb *listener;
static struct web_counts counts;

/* ---- What lwIP calls ----------------------------------------------------------------------------------------------------------------- */

static void on_error(void *arg, err_t error)
{
	struct web_conn *c = arg;

	(void)error;
	c->pcb = NULL; /* is gone already */
	c->state = WEB_BROKEN;
}

static err_t on_receive(void *arg, struct tcp_pcb *pcb, struct pbuf *p, err_t error)
{
	struct web_conn *c = arg;

	(void)error;
	if (p == NULL) {
		c->peer_closed = true;
		return ERR_OK;
	}
	if (c->state == WEB_FINISHING) {
		tcp_recved(pcb, p->tot_len);
		pbuf_free(p);
		return ERR_OK;
	}
	if (c->rx == NULL)
		c->rx = p;
	else
		pbuf_cat(c->rx, p);
	if (pbuf_clen(c->rx) > WEB_RX_PIECES_MAX)
		c->state = WEB_BROKEN;
	return ERR_OK;
}

static err_t on_sent(void *arg, struct tcp_pcb *pcb, u16_t count)
{
	struct web_conn *c = arg;

	(void)pcb;
	(void)count;
	c->progress = true;
	return ERR_OK;
}

static void set_peer(struct web_conn *c, const ip_addr_t *address)
{
	memset(c->peer, 0, sizeof(c->peer));
	if (IP_IS_V6(address)) {
		memcpy(c->peer, ip_2_ip6(address)->addr, 16);
		return;
	}
	c->peer[10] = c->peer[11] = 0xFF; /* IPv4-mapped: RFC 4291, 2.5.5.2 */
	memcpy(c->peer + 12, &ip_2_ip4(address)->addr, 4);
}

static err_t on_accept(void *arg, struct tcp_pcb *pcb, err_t error)
{
	(void)arg;
	if (error != ERR_OK || pcb == NULL)
		return ERR_VAL;
	for (struct web_conn *c = table; c < table + WEB_CONNECTIONS_MAX; c++) {
		if (c->state != WEB_FREE)
			continue;
		*c = (struct web_conn){ .state = WEB_HANDSHAKE, .pcb = pcb, .progress = true };
		set_peer(c, &pcb->remote_ip);
		tcp_arg(pcb, c);
		tcp_recv(pcb, on_receive);
		tcp_sent(pcb, on_sent);
		tcp_err(pcb, on_error);
		tcp_nagle_disable(pcb);
		counts.accepted++;
		return ERR_OK;
	}
	counts.refused++;
	return ERR_MEM; /* lwIP resets it */
}

/* ---- Room ---------------------------------------------------------------------------------------------------------------------------- */

static void forget_pcb(struct web_conn *c)
{
	tcp_arg(c->pcb, NULL);
	tcp_recv(c->pcb, NULL);
	tcp_sent(c->pcb, NULL);
	tcp_err(c->pcb, NULL);
}

/* What was sent may still arrive, or (abort) the peer is told that it will not. */
static void take_away(struct web_conn *c, bool abort)
{
	if (c->http != NULL)
		http_close(c->http);
	c->http = NULL;
	if (c->rx != NULL)
		pbuf_free(c->rx);
	if (c->pcb != NULL) {
		forget_pcb(c);
		tcp_setprio(c->pcb, TCP_PRIO_MIN); /* the first to go when lwIP needs one */
		if (abort || tcp_close(c->pcb) != ERR_OK)
			tcp_abort(c->pcb);
	}
	web_tls_end(c);
	memset(c, 0, sizeof(*c));
}

/* lwIP resets a connection that is closed with bytes not taken, and what was sent last would be lost. */
static void drop_received(struct web_conn *c)
{
	if (c->rx == NULL)
		return;
	c->taken += c->rx->tot_len;
	pbuf_free(c->rx);
	c->rx = NULL;
}

/* Whoever has one address of an IPv6 network has all. */
static bool same_peer(const struct web_conn *a, const struct web_conn *b)
{
	static const uint8_t mapped[12] = { [10] = 0xFF, [11] = 0xFF };
	bool v4 = memcmp(a->peer, mapped, sizeof(mapped)) == 0;

	return memcmp(a->peer, b->peer, v4 ? 16 : 8) == 0;
}

static bool is_busy(const struct web_conn *c)
{
	return c->state == WEB_OPEN && http_is_busy(c->http);
}

static unsigned count_peer(const struct web_conn *of, bool idle_only)
{
	unsigned count = 0;

	for (const struct web_conn *c = table; c < table + WEB_CONNECTIONS_MAX; c++)
		count += c->state != WEB_FREE && same_peer(c, of) && !(idle_only && is_busy(c));
	return count;
}

/* Of `peer`, or (NULL) of anybody. NULL: all are busy. */
static struct web_conn *find_victim(const struct web_conn *peer)
{
	struct web_conn *victim = NULL;
	unsigned most = 0;

	for (struct web_conn *c = table; c < table + WEB_CONNECTIONS_MAX; c++) {
		if (c->state == WEB_FREE || is_busy(c) || (peer != NULL && !same_peer(c, peer)))
			continue;
		unsigned count = peer != NULL ? 1 : count_peer(c, true);
		if (victim == NULL || count > most || (count == most && c->fresh_ns < victim->fresh_ns)) {
			victim = c;
			most = count;
		}
	}
	return victim;
}

static bool drop_one(const struct web_conn *peer)
{
	struct web_conn *victim = find_victim(peer);

	if (victim == NULL)
		return false;
	take_away(victim, true);
	counts.dropped++;
	return true;
}

static void drop_half_open(void)
{
	for (;;) {
		struct tcp_pcb *oldest = NULL;
		unsigned count = 0;
		for (struct tcp_pcb *pcb = tcp_active_pcbs; pcb != NULL; pcb = pcb->next) {
			if (pcb->state != SYN_RCVD)
				continue;
			count++;
			if (oldest == NULL || tcp_ticks - pcb->tmr > tcp_ticks - oldest->tmr)
				oldest = pcb;
		}
		if (count <= HALF_OPEN)
			return;
		tcp_abort(oldest);
		counts.dropped++;
	}
}

static unsigned count_open(void)
{
	unsigned count = 0;

	for (const struct web_conn *c = table; c < table + WEB_CONNECTIONS_MAX; c++)
		count += c->state != WEB_FREE;
	return count;
}

static void make_room(void)
{
	for (struct web_conn *c = table; c < table + WEB_CONNECTIONS_MAX; c++)
		if (c->state == WEB_HANDSHAKE && count_peer(c, false) > PEER_MAX && !drop_one(c))
			break;
	while (count_open() > WEB_CONNECTIONS_MAX - SPARE && drop_one(NULL))
		;
	drop_half_open();
}

/* ---- Work ---------------------------------------------------------------------------------------------------------------------------- */

static bool is_overdue(const struct web_conn *c, uint64_t now_ns)
{
	if (c->state == WEB_HANDSHAKE)
		return now_ns - c->fresh_ns > HANDSHAKE_NS;
	if (c->state == WEB_FINISHING)
		return now_ns - c->sent_ns > FINISH_NS;
	return now_ns - c->sent_ns > STALL_NS;
}

static void stamp(struct web_conn *c, uint64_t now_ns)
{
	if (c->fresh_ns == 0 || is_busy(c))
		c->fresh_ns = now_ns;
	if (c->progress || c->pcb == NULL || tcp_sndqueuelen(c->pcb) == 0)
		c->sent_ns = now_ns;
	c->progress = false;
}

static void work_on(struct web_conn *c, uint64_t now_ns)
{
	if (c->state == WEB_FREE)
		return;
	if (c->state == WEB_OPEN && (c->rx != NULL || c->peer_closed || mbedtls_ssl_get_bytes_avail(&c->ssl) != 0))
		web_tls_receive(c, now_ns);
	stamp(c, now_ns);
	if (c->state == WEB_FINISHING && web_tls_finish(c)) {
		drop_received(c);
		web_tls_tell_room(c, now_ns);
		take_away(c, false);
	}
}

/* The one that has waited longest of those that have sent something; true: there are more. */
static bool shake_one_hand(uint64_t now_ns)
{
	struct web_conn *first = NULL;
	unsigned ready = 0;

	for (struct web_conn *c = table; c < table + WEB_CONNECTIONS_MAX; c++) {
		if (c->state != WEB_HANDSHAKE || (c->rx == NULL && !c->peer_closed))
			continue;
		ready++;
		if (first == NULL || c->fresh_ns < first->fresh_ns)
			first = c;
	}
	if (first == NULL)
		return false;
	if (first->identity == NULL && !web_tls_begin(first)) {
		first->state = WEB_BROKEN;
		return ready > 1;
	}
	uint64_t began = service_tsc();
	web_tls_handshake(first, now_ns);
	counts.handshake_ns += service_tsc_to_ns(service_tsc() - began);
	counts.handshakes += first->state == WEB_OPEN;
	return ready > 1 || first->rx != NULL;
}

static void end_broken(uint64_t now_ns)
{
	for (struct web_conn *c = table; c < table + WEB_CONNECTIONS_MAX; c++) {
		if (c->state == WEB_FREE || (c->state != WEB_BROKEN && !is_overdue(c, now_ns)))
			continue;
		/* A peer that has closed gets what was sent before; and an alert that mbedTLS has made is worth sending. */
		counts.failed += !c->peer_closed;
		drop_received(c);
		web_tls_tell_room(c, now_ns);
		take_away(c, c->state != WEB_BROKEN);
	}
}

bool web_run(uint64_t now_ns, uint64_t *deadline_ns)
{
	bool more, any = false;

	if (listener == NULL)
		return false;
	for (struct web_conn *c = table; c < table + WEB_CONNECTIONS_MAX; c++)
		work_on(c, now_ns);
	more = shake_one_hand(now_ns);
	http_poll(now_ns);
	for (struct web_conn *c = table; c < table + WEB_CONNECTIONS_MAX; c++)
		if (c->state != WEB_FREE)
			web_tls_tell_room(c, now_ns);
	end_broken(now_ns);
	make_room();
	for (struct web_conn *c = table; c < table + WEB_CONNECTIONS_MAX; c++) {
		any |= c->state != WEB_FREE;
		more |= c->state == WEB_FINISHING && !c->notified;
	}
	if (any && now_ns + POLL_NS < *deadline_ns)
		*deadline_ns = now_ns + POLL_NS;
	return more;
}

bool web_start(uint16_t port)
{
	struct tcp_pcb *pcb = tcp_new_ip_type(IPADDR_TYPE_ANY);

	if (pcb == NULL || tcp_bind(pcb, IP_ANY_TYPE, port) != ERR_OK) {
		if (pcb != NULL)
			tcp_abort(pcb);
		return false;
	}
	listener = tcp_listen_with_backlog(pcb, BACKLOG);
	if (listener == NULL) {
		tcp_abort(pcb);
		return false;
	}
	tcp_accept(listener, on_accept);
	return true;
}

void web_counts(struct web_counts *out)
{
	*out = counts;
	out->open = count_open();
}
