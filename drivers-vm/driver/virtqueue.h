/*
 * The device's side of a split virtqueue: virtio 1.2, 2.7, with indirect descriptors (2.7.5.3) and EVENT_IDX
 * (2.7.10). All of it lies in guest memory that the guest may change at any time: each field is read once,
 * into a local, checked, and only then used. A queue that breaks a rule is broken until it is set up anew.
 */
#ifndef DRIVERS_VM_DRIVER_VIRTQUEUE_H
#define DRIVERS_VM_DRIVER_VIRTQUEUE_H

#include "drivers-vm/driver/model_host.h"

#define VIRTQUEUE_SIZE_MAX 256u
/* No chain may be longer than its queue: 2.7.5.3.1, and 2.7.5.1 for those without an indirect table. */
#define VIRTQUEUE_SEGMENTS_MAX VIRTQUEUE_SIZE_MAX

struct virtq_desc {
	uint64_t addr;
	uint32_t len;
	uint16_t flags;
	uint16_t next;
};
_Static_assert(sizeof(struct virtq_desc) == 16, "2.7.5");

#define VIRTQ_DESC_F_NEXT     1u
#define VIRTQ_DESC_F_WRITE    2u
#define VIRTQ_DESC_F_INDIRECT 4u

#define VIRTQ_AVAIL_F_NO_INTERRUPT 1u
#define VIRTQ_USED_F_NO_NOTIFY	   1u

/* Bytes before and behind the entries of the available and of the used ring: flags, idx; event. */
#define VIRTQ_RING_HEAD	  4u
#define VIRTQ_RING_TAIL	  2u
#define VIRTQ_AVAIL_ENTRY 2u
#define VIRTQ_USED_ENTRY  8u

struct virtqueue {
	/* What the transport sets, while the queue is not enabled. */
	uint16_t size; /* a power of two, at most VIRTQUEUE_SIZE_MAX */
	uint64_t desc_gpa, driver_gpa, device_gpa;
	bool event_idx; /* VIRTIO_F_EVENT_IDX was negotiated */
	bool indirect;	/* VIRTIO_F_INDIRECT_DESC was */
	/* The queue's own. */
	bool enabled, broken;
	uint16_t next_avail; /* free-running, as in the rings */
	uint16_t next_used;
	uint16_t signalled_used; /* next_used when the driver was last asked about */
	const struct model_host *host;
	uint8_t *desc, *driver, *device; /* in guest RAM */
};

struct virtqueue_segment {
	uint8_t *bytes; /* in guest RAM */
	uint32_t count;
};

/* A buffer that the driver offers: first the segments that the device reads, then those that it writes. */
struct virtqueue_chain {
	uint16_t head;
	unsigned readable, writable; /* segments */
	uint64_t readable_bytes, writable_bytes;
	struct virtqueue_segment segment[VIRTQUEUE_SEGMENTS_MAX];
};

enum virtqueue_result {
	VIRTQUEUE_EMPTY,
	VIRTQUEUE_CHAIN,
	VIRTQUEUE_BROKEN,
};

/* A queue that is not enabled, as after reset; `size` is the largest that the device offers. */
void virtqueue_init(struct virtqueue *queue, const struct model_host *host, uint16_t size);

/* Starts the queue with what the transport set; false (and broken): size, alignment or place of a ring is
 * wrong. */
bool virtqueue_enable(struct virtqueue *queue);

/*
 * Takes the next buffer. BROKEN: the driver broke a rule; the queue gives nothing any more. The chain's
 * segments stay valid as memory, their contents are the guest's.
 */
enum virtqueue_result virtqueue_pop(struct virtqueue *queue, struct virtqueue_chain *chain);

/* Gives a buffer back; `written` bytes, from the first writable one on, hold data. */
void virtqueue_push(struct virtqueue *queue, uint16_t head, uint32_t written);

/* After pushes: whether the driver wants an interrupt for what was pushed since the last call. */
bool virtqueue_should_signal(struct virtqueue *queue);

/*
 * Asks for a notification at the next available buffer, or says that none is needed. Returns true if buffers
 * are available already, which the driver may not notify again for.
 */
bool virtqueue_want_kicks(struct virtqueue *queue, bool want);

/*
 * Copies from the readable, or to the writable part, beginning `offset` bytes into it; returns how many bytes
 * there were.
 */
size_t virtqueue_read(const struct virtqueue_chain *chain, uint64_t offset, void *to, size_t count);
size_t virtqueue_write(const struct virtqueue_chain *chain, uint64_t offset, const void *from, size_t count);

#endif
