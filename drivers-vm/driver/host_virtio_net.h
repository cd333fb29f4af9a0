/*
 * A virtio network card of the host's: host_virtio_net.c moves frames, host_virtio_net_start.c brings the card up. For these two alone.
 */
#ifndef DRIVERS_VM_DRIVER_HOST_VIRTIO_NET_H
#define DRIVERS_VM_DRIVER_HOST_VIRTIO_NET_H

#include "drivers-vm/driver/host_nic.h"
#include "drivers-vm/driver/host_virtio.h"
#include "drivers-vm/driver/virtio_net.h"

#include <assert.h>

#define HOST_VIRTIO_NET_PAIRS   4u  /* at most: queues 2 n and 2 n + 1 receive and transmit; the device's last one is for control */
#define HOST_VIRTIO_NET_ENTRIES 64u /* of each queue */

/* The page of a frame to be sent. */
struct host_virtio_net_page {
	struct host_virtq_descriptor table[96];
	struct virtio_net_header header;
	uint8_t pad[500];
	uint8_t copy[2048]; /* of a frame that cannot be held */
};
static_assert(sizeof(struct host_virtio_net_page) == 4096 && offsetof(struct host_virtio_net_page, copy) == 2048, "a page");

struct host_virtio_net_pair {
	struct host_virtqueue receive, transmit;
	uint8_t *received[HOST_VIRTIO_NET_ENTRIES]; /* pages for frames */
	struct host_virtio_net_page *sent[HOST_VIRTIO_NET_ENTRIES];
	struct net_frame *frame[HOST_VIRTIO_NET_ENTRIES]; /* held while it is sent; NULL: it was copied */
};

struct host_virtio_net {
	struct host_device device; /* first */
	struct host_nic nic;
	struct host_virtio virtio;
	struct host_virtio_net_pair pair[HOST_VIRTIO_NET_PAIRS];
	unsigned pairs;
	unsigned sending;
	uint64_t deadline_tsc, check_tsc; /* 0: none */
	bool dead;
};

extern const struct host_device_ops host_virtio_net_ops;
extern const struct net_port_ops host_virtio_net_port_ops;

/* Gives the device a buffer for received frames. */
void host_virtio_net_put_buffer(struct host_virtio_net *card, struct host_virtio_net_pair *pair, unsigned id);

/* The log is told if the link has changed. */
void host_virtio_net_look_at_link(struct host_virtio_net *card);

#endif
