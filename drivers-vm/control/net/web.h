/*
 * HTTPS: TLS connections on a port of lwIP's, each joined to an http_conn. Bounded in number, in all and for each peer; where room is
 * needed, connections without an authenticated request go, the oldest of whoever has most of them first.
 */
#ifndef DRIVERS_VM_CONTROL_NET_WEB_H
#define DRIVERS_VM_CONTROL_NET_WEB_H

#include <stdbool.h>
#include <stdint.h>

/* Listens, on all addresses. After tls_start and stack_start. False: no memory, or the port is in use. */
bool web_start(uint16_t port);

/* Works on what has come. To be called after stack_run whenever the control VM has woken up. True: there is more to do, at once. Else
 * *deadline_ns, if it is later, becomes the time (as service_tsc_to_ns tells it) at which it wants to be called again. */
bool web_run(uint64_t now_ns, uint64_t *deadline_ns);

struct web_counts {
	uint64_t accepted, handshakes; /* the latter: completed */
	uint64_t handshake_ns;         /* spent on all of them, also those that failed */
	uint64_t refused, dropped;     /* for want of room: on arrival; later */
	uint64_t failed;               /* broken off by an error or by silence */
	unsigned open;                 /* now */
};
void web_counts(struct web_counts *out);

#endif
