/* What the parts of the control VM's port have between them: the card (port.c) and the disk (port_disk.c), both pure, and what sets
 * them up (port_setup.c). */
#ifndef DRIVERS_VM_CONTROL_NET_PORT_PRIVATE_H
#define DRIVERS_VM_CONTROL_NET_PORT_PRIVATE_H

#include "drivers-vm/control/store/store.h"

/* The card: `area` is the shared memory, `kick` rings the driver VM's doorbell. */
void port_net_start(uint8_t *area, const uint8_t mac[6], void (*kick)(void));
/* What was under way is lost. */
void port_net_stop(void);

/* The disk, of `sectors`; an operation that was under way when it stopped is begun again. */
void port_disk_start(uint8_t *area, uint64_t sectors, void (*kick)(void));
/* It was there with another control VM, and will be again: operations wait. */
void port_disk_expect(uint64_t sectors);
/* It may come back: operations wait. */
void port_disk_stop(void);
/* It does not come back: operations fail. */
void port_disk_end(void);
/* Finishes what is done; true: something was, and its owner may have begun another one. */
bool port_disk_poll(void);
/* The disk to be given to store_open: valid from the first port_disk_start on. */
const struct store_disk *port_disk(void);

#endif
