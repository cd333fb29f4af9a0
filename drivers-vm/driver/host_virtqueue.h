/*
 * The driver's side of a split virtqueue: virtio 1.2, 2.7. Each buffer takes one descriptor, which may be a table of further ones
 * (2.7.5.3), so that a buffer's number says all. What the device writes is not believed: a number that is not under way breaks the
 * queue.
 */
#ifndef DRIVERS_VM_DRIVER_HOST_VIRTQUEUE_H
#define DRIVERS_VM_DRIVER_HOST_VIRTQUEUE_H

#include <stdbool.h>
#include <stdint.h>

#define HOST_VIRTQUEUE_ENTRIES 128u /* at most: all of the queue is in one page */

#define HOST_VIRTQ_NEXT     1u
#define HOST_VIRTQ_WRITE    2u /* the device writes it */
#define HOST_VIRTQ_INDIRECT 4u

struct host_virtq_descriptor {
	uint64_t address;
	uint32_t bytes;
	uint16_t flags, next;
};
_Static_assert(sizeof(struct host_virtq_descriptor) == 16, "2.7.5");

struct host_virtqueue {
	uint8_t *page;
	volatile uint8_t *notify; /* its notification register */
	uint16_t number;
	uint16_t entries;         /* a power of two */
	uint16_t available, told; /* buffers ever put, and how many of them before the last notification */
	uint16_t used;            /* buffers ever taken */
	uint64_t busy[HOST_VIRTQUEUE_ENTRIES / 64];
};

enum host_virtq_taken {
	HOST_VIRTQ_NONE,
	HOST_VIRTQ_ONE,
	HOST_VIRTQ_BROKEN,
};

/* Where the device has to look for the three areas, from the start of the page. */
#define HOST_VIRTQ_DRIVER_AREA 2048u
#define HOST_VIRTQ_DEVICE_AREA 2560u

/* `page` is zeroed; entries: a power of two up to HOST_VIRTQUEUE_ENTRIES. */
void host_virtqueue_init(struct host_virtqueue *q, uint8_t *page, uint16_t number, uint16_t entries, volatile uint8_t *notify);

/* Number of a buffer that is not under way; -1: all are. */
int host_virtqueue_free(const struct host_virtqueue *q);

/* Buffer `id` at [address, address + bytes); flags: HOST_VIRTQ_WRITE or HOST_VIRTQ_INDIRECT. */
void host_virtqueue_put(struct host_virtqueue *q, unsigned id, uint64_t address, uint32_t bytes, uint16_t flags);

/* Tells the device, if there is something new and it wants to know. */
void host_virtqueue_notify(struct host_virtqueue *q);

/* A buffer that the device is done with, and how many bytes it says that it wrote. */
enum host_virtq_taken host_virtqueue_take(struct host_virtqueue *q, unsigned *id, uint32_t *bytes);

#endif
