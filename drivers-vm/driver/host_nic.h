/*
 * The host's network cards: found by PCI address or MAC address, and joined to the switch as uplinks; and what their drivers have in
 * common. All of it runs on vCPU 0.
 */
#ifndef DRIVERS_VM_DRIVER_HOST_NIC_H
#define DRIVERS_VM_DRIVER_HOST_NIC_H

#include "drivers-vm/driver/host_device.h"
#include "drivers-vm/driver/net_switch.h"

struct host_nic {
	struct net_port port; /* its driver fills in ops and abilities */
	uint8_t mac[NET_MAC_BYTES];
	bool link; /* as its driver last told: without it nothing is sent */
	uint32_t rid;
	struct net_switch *joined; /* NULL: to none; what it receives is dropped */
	struct host_nic *next;
};

#define HOST_NIC_PIECES 20u

/* The driver has a card that works. It stays as long as the driver VM does. `kind` is for the log. */
void host_nic_add(struct host_nic *nic, const struct host_pci *pci, const char *kind);

/* Whether the link is up: the log says so when that changes. `mbits`: its speed, 0: not known. */
void host_nic_set_link(struct host_nic *nic, const struct host_pci *pci, bool up, unsigned mbits);

/* A frame that came, in up to HOST_NIC_PIECES pieces of memory that the device may still write: to the switch. */
void host_nic_forward(struct host_nic *nic, struct io_segment *piece, unsigned pieces);

/* There are no cards, as at the start. */
void host_nic_forget_all(void);

/*
 * Joins the card that CHANNEL_UPLINK names, or if it names none the first one that is free, to the switch. NULL: that cannot be, and the
 * log says why.
 */
const struct host_nic *host_nic_join(struct net_switch *sw, const struct channel_message *m);

/* Whether a card is joined to no switch. */
bool host_nic_is_free(void);

/* The card of that name that is joined to a switch, or if the name is empty the first one on the bus. NULL: there is none. */
const struct host_nic *host_nic_joined(const char name[20]);

#endif
