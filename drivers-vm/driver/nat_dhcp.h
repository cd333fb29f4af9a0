/*
 * The answers of a DHCP server: from the bytes of a message to those of another. Pure. RFC 2131 (messages),
 * RFC 2132 (options).
 */
#ifndef DRIVERS_VM_DRIVER_NAT_DHCP_H
#define DRIVERS_VM_DRIVER_NAT_DHCP_H

#include "drivers-vm/driver/nat_hosts.h"

#define NAT_DHCP_SERVER_PORT 67u
#define NAT_DHCP_CLIENT_PORT 68u
#define NAT_DHCP_BYTES       300u /* of an answer: what the oldest clients expect at least */
#define NAT_DHCP_IN_MAX      1024u

/*
 * Answers `message` of the card `mac`; what it gives is the card's from then on. 0: there is no answer, else
 * the length of *answer. *target: the address that it goes to, 0: the client has none yet. *fresh: an address
 * that has another owner now, 0: none.
 */
unsigned nat_dhcp_answer(struct nat_hosts *hosts, const uint8_t *message, unsigned bytes, const uint8_t *mac, uint64_t now_ns,
                         uint8_t answer[NAT_DHCP_BYTES], uint32_t *target, uint32_t *fresh);

#endif
