/*
 * A virtio balloon: virtio 1.2, 5.5. The guest gives up as many pages as the target says, and takes them back
 * when it goes down or when it runs out of memory. And it reports memory that is free at the moment. Both go back
 * to the host by whole blocks of 2 MiB: pages that are given up are counted for each block, and the last one of
 * a block takes it along. What is taken back comes as zeroes when it is next touched.
 */
#ifndef DRIVERS_VM_DRIVER_VIRTIO_BALLOON_H
#define DRIVERS_VM_DRIVER_VIRTIO_BALLOON_H

#include "drivers-vm/driver/virtio_pci.h"

#define VIRTIO_BALLOON_TYPE       5u
#define VIRTIO_BALLOON_CLASS      0x00FF00u /* unclassified */
#define VIRTIO_BALLOON_QUEUE_SIZE 128u

#define VIRTIO_BALLOON_INFLATE 0u
#define VIRTIO_BALLOON_DEFLATE 1u
/*
 * Reports: 5.5.2 numbers the queue as if all others were there; Linux counts those that are. Queue 2 can be nothing
 * else, as statistics are not offered.
 */
#define VIRTIO_BALLOON_REPORT         2u
#define VIRTIO_BALLOON_REPORT_BY_SPEC 4u
#define VIRTIO_BALLOON_QUEUES         5u

#define VIRTIO_BALLOON_F_MUST_TELL_HOST (1ull << 0) /* before it uses a page again: without, none goes to the host */
#define VIRTIO_BALLOON_F_DEFLATE_ON_OOM (1ull << 2)
#define VIRTIO_BALLOON_F_REPORTING      (1ull << 5)

/* Configuration: 5.5.4. Pages have 4 KiB whatever the guest's have. */
#define VIRTIO_BALLOON_NUM_PAGES    0u
#define VIRTIO_BALLOON_ACTUAL       4u
#define VIRTIO_BALLOON_CONFIG_BYTES 8u
#define VIRTIO_BALLOON_PAGE_BYTES   4096u

#define VIRTIO_BALLOON_REQUEST_BYTES 65536u /* of page numbers in one buffer; Linux sends 1024 */
#define VIRTIO_BALLOON_SLICE         64u    /* buffers at one go */
#define VIRTIO_BALLOON_DISCARDS      32u    /* at one go: each stops all cores for a moment; what is beyond stays */
#define VIRTIO_BALLOON_SCAN          4096u  /* blocks looked at in one go for those that stayed */
#define VIRTIO_BALLOON_BLOCK_BYTES   0x200000u
#define VIRTIO_BALLOON_BLOCK_PAGES   (VIRTIO_BALLOON_BLOCK_BYTES / VIRTIO_BALLOON_PAGE_BYTES)

struct virtio_balloon {
	struct virtio_pci device;    /* first */
	uint32_t target_pages;       /* what the guest shall give up, */
	uint32_t actual_pages;       /* and what it says that it has */
	uint64_t inflated, deflated; /* pages that it has told of */
	unsigned discards;           /* at this go */
	/*
	 * For each block of RAM, by its place in the host's memory: pages given up, or one more than it has if it went to the host. At
	 * most what the guest has really given up: a driver VM that comes after this one begins at 0.
	 */
	uint16_t *block;
	uint64_t blocks;
	uint64_t staying, scanned; /* full blocks that did not go yet; the next one to be looked at */
	struct io_segment segment[VIRTIO_BALLOON_QUEUE_SIZE];
};

/* Sets up the power-on state, ready for pci_host_plug(&balloon->device.function). */
void virtio_balloon_init(struct virtio_balloon *balloon, const struct model_host *host, uint32_t target_pages, bool packed);

/* Room for the counts, zeroed: as many as RAM has blocks. Without it no page that is given up goes to the host. */
void virtio_balloon_set_blocks(struct virtio_balloon *balloon, uint16_t *block, uint64_t blocks);

/* A new target; the guest is told. */
void virtio_balloon_set_target(struct virtio_balloon *balloon, uint32_t target_pages);

/* Goes on where the same device stood in a driver VM that is gone; anything may be found in `old`. */
void virtio_balloon_adopt(struct virtio_balloon *balloon, const struct virtio_balloon *old);

#endif
