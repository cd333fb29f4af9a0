/*
 * TCP/IP of the control VM: lwIP over the port (port.h). Its card goes and comes back with the driver VM; connections outlive that. One
 * thread; lwIP is entered only from stack_run, web_run and what they call.
 */
#ifndef DRIVERS_VM_CONTROL_NET_STACK_H
#define DRIVERS_VM_CONTROL_NET_STACK_H

#include "drivers-vm/control/config.h"

/* Once, with what lives for ever. After entropy_start. */
void stack_start(const struct config_api *config);

/* Takes what has come, and runs timers. True: there is more, call again at once. Else *deadline_ns, if it is later, becomes the time (as
 * service_tsc_to_ns tells it) at which it wants to be called again. */
bool stack_run(uint64_t now_ns, uint64_t *deadline_ns);

/* Whether there is a card, and it has an IPv4 address or does not wait for one any longer. */
bool stack_is_settled(uint64_t now_ns);

#define STACK_ADDRESSES_MAX 8u
struct stack_address {
	bool v6;
	uint8_t bytes[16]; /* of IPv4 the first four */
	char text[40];
};
/* Those that are in use now, the best first; IPv6 addresses of the link alone are not among them. */
unsigned stack_addresses(struct stack_address out[STACK_ADDRESSES_MAX]);

struct stack_counts {
	uint64_t received, sent, dropped; /* frames; the last for want of memory or room */
};
void stack_counts(struct stack_counts *out);

#endif
