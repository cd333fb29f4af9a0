/*
 * The driver's side of a split virtqueue (virtio 1.2, 2.7) in memory that a hostile device writes too. What the device writes is read
 * once and checked; nothing that the driver wrote is ever read back. A device that breaks a rule breaks the queue until it is set up
 * anew. Pure.
 */
#ifndef DRIVERS_VM_CONTROL_NET_PORT_QUEUE_H
#define DRIVERS_VM_CONTROL_NET_PORT_QUEUE_H

#include "drivers-vm/lib/port_area.h"

#include <stdbool.h>
#include <stdint.h>

#define PORT_QUEUE_NEXT  1u /* VIRTQ_DESC_F_NEXT */
#define PORT_QUEUE_WRITE 2u /* VIRTQ_DESC_F_WRITE: the device writes there */

struct port_queue {
	uint8_t *rings;          /* in the area */
	uint16_t size;           /* descriptors, a power of two, at most PORT_AREA_NET_ENTRIES */
	uint16_t offered, taken; /* buffers ever, free-running as in the rings */
	bool broken;
	bool away[PORT_AREA_NET_ENTRIES]; /* a chain that begins at this descriptor is the device's */
};

/* An empty queue, its rings zeroed. */
void port_queue_init(struct port_queue *queue, uint8_t *area, enum port_area_queue which, uint16_t size);

/* Descriptor `index`: `bytes` at `offset` of the area; flags PORT_QUEUE_*. */
void port_queue_describe(struct port_queue *queue, uint16_t index, uint32_t offset, uint32_t bytes, uint16_t flags, uint16_t next);

/* Gives the chain that begins at `head`, which the device does not have, to the device. */
void port_queue_offer(struct port_queue *queue, uint16_t head);

/* The next chain that the device has done with; *bytes is what it says to have written: believe it as far as it fits. False: none. */
bool port_queue_take(struct port_queue *queue, uint16_t *head, uint32_t *bytes);

/* Whether the device is to be told of what was offered. */
bool port_queue_wants_kick(const struct port_queue *queue);

/* Whether the device is to tell of what it has done with: a hint. */
void port_queue_want_interrupts(struct port_queue *queue, bool want);

#endif
