/* A connection, shared by web.c (which there are) and web_tls.c (what each does). */
#ifndef DRIVERS_VM_CONTROL_NET_WEB_PRIVATE_H
#define DRIVERS_VM_CONTROL_NET_WEB_PRIVATE_H

#include "drivers-vm/control/api/http.h"
#include "drivers-vm/control/net/identity.h"
#include "drivers-vm/control/net/web.h"

#include "lwip/tcp.h"

#define WEB_CONNECTIONS_MAX (HTTP_CONNECTIONS_MAX + 16u)
#define WEB_RX_PIECES_MAX   64u /* segments that wait for their turn; more is nobody who means well */

enum web_state {
	WEB_FREE,
	WEB_HANDSHAKE, /* or nothing has come yet: then it has no TLS context */
	WEB_OPEN,
	WEB_FINISHING, /* what was written is being sent; nothing is read any more */
	WEB_BROKEN,    /* to be taken away */
};

struct web_conn {
	enum web_state state;
	struct tcp_pcb *pcb; /* NULL: lwIP has given it up */
	struct tls_identity *identity;
	mbedtls_ssl_context ssl;
	struct http_conn *http; /* while WEB_OPEN */
	struct pbuf *rx;        /* encrypted, as it came */
	uint8_t peer[16];
	uint64_t fresh_ns;  /* when it was opened, or last had an authenticated request under way */
	uint64_t sent_ns;   /* when the peer was last seen to have taken something, or nothing was under way */
	uint64_t taken;     /* bytes of rx that went into TLS, ever */
	uint64_t announced; /* bytes of these that the peer may send anew */
	size_t outstanding; /* bytes that `http` has not used yet */
	bool progress;      /* the peer has acknowledged something since web_run looked */
	bool peer_closed, blocked, notified;
};

/* ---- web_tls.c --------------------------------------------------------------------------------------------------------------------- */
/* Gives it a TLS context. False: no memory. */
bool web_tls_begin(struct web_conn *c);
void web_tls_end(struct web_conn *c);
/* As far as what has come allows; the state says how it ended. */
void web_tls_handshake(struct web_conn *c, uint64_t now_ns);
void web_tls_receive(struct web_conn *c, uint64_t now_ns);
/* While finishing; true: all is with lwIP. */
bool web_tls_finish(struct web_conn *c);
/* Tells the peer of room, and `http` likewise. */
void web_tls_tell_room(struct web_conn *c, uint64_t now_ns);

#endif
