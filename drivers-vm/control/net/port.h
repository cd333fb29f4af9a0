/*
 * The control VM's own network card and disk: virtqueues in memory that it shares with the driver VM, which is hostile here. Whatever the
 * driver VM writes there, the worst is that frames are lost or wrong and requests fail.
 */
#ifndef DRIVERS_VM_CONTROL_NET_PORT_H
#define DRIVERS_VM_CONTROL_NET_PORT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define PORT_FRAME_BYTES 1514u /* the longest Ethernet frame either way, without checksum */

struct port_piece {
	const void *bytes;
	size_t count;
};

/* False: there is no card (no uplink, or no driver VM at the moment). Else its address. */
bool port_net_mac(uint8_t mac[6]);
/* Copies the frame out; false: there is no room, port_net_poll makes some. */
bool port_net_send(const struct port_piece *piece, unsigned pieces);
/* Hands over each frame that has come, at most `limit`; `bytes` is memory of the control VM's own and valid during the call. Returns how
 * many there were. To be called when CONTROL_EVENT_DRIVER has fired. */
unsigned port_net_poll(unsigned limit, void (*frame)(const uint8_t *bytes, size_t count));

#endif
