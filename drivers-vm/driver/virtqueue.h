/*
 * The device's side of a virtqueue: virtio 1.2, 2.7 split and 2.8 packed, with indirect descriptors and
 * EVENT_IDX. All of it lies in guest memory that the guest may change at any time: each field is read once,
 * into a local, checked, and only then used. A queue that breaks a rule is broken until it is set up anew.
 */
#ifndef DRIVERS_VM_DRIVER_VIRTQUEUE_H
#define DRIVERS_VM_DRIVER_VIRTQUEUE_H

#include "drivers-vm/driver/io_segment.h"
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
#define VIRTQ_USED_F_NO_NOTIFY     1u

/* Bytes before and behind the entries of the available and of the used ring: flags, idx; event. */
#define VIRTQ_RING_HEAD   4u
#define VIRTQ_RING_TAIL   2u
#define VIRTQ_AVAIL_ENTRY 2u
#define VIRTQ_USED_ENTRY  8u

/* 2.8.13: a descriptor of a packed ring has id and flags where a split one has flags and next. */
struct virtq_packed_desc {
	uint64_t addr;
	uint32_t len;
	uint16_t id;
	uint16_t flags;
};
_Static_assert(sizeof(struct virtq_packed_desc) == 16, "2.8.13");

#define VIRTQ_PACKED_F_AVAIL 0x0080u /* in flags: equals the driver's wrap counter, */
#define VIRTQ_PACKED_F_USED  0x8000u /* and the device's */

/* 2.8.14: the event suppression structures: offset and wrap counter of a descriptor; flags. */
#define VIRTQ_EVENT_BYTES   4u
#define VIRTQ_EVENT_WRAP    0x8000u
#define VIRTQ_EVENT_ENABLE  0u
#define VIRTQ_EVENT_DISABLE 1u
#define VIRTQ_EVENT_DESC    2u

/* What a taken buffer is given back by. */
struct virtqueue_buffer {
	uint16_t id;
	uint16_t places; /* packed: that it takes in the ring */
};

#define VIRTQUEUE_PUSH_MAX 64u /* buffers that are given back at once */

/* Where in the ring the next used buffer goes. */
struct virtqueue_used {
	uint16_t next_used, taken;
	bool wrap;
};

struct virtqueue {
	/* What the transport sets, while the queue is not enabled. */
	uint16_t size;                             /* at most VIRTQUEUE_SIZE_MAX; a power of two if split */
	uint64_t desc_gpa, driver_gpa, device_gpa; /* the ring, and event suppression, if packed */
	bool event_idx;                            /* VIRTIO_F_EVENT_IDX was negotiated */
	bool indirect;                             /* VIRTIO_F_INDIRECT_DESC was */
	bool packed;                               /* VIRTIO_F_RING_PACKED was */
	/* The queue's own. */
	bool enabled, broken;
	bool avail_wrap, used_wrap; /* packed: the wrap counters */
	uint16_t next_avail;        /* split: free-running, as in the rings; packed: a place in the ring */
	uint16_t next_used;
	uint16_t taken;  /* packed: places in the ring that were taken and not given back */
	uint32_t unsaid; /* used since the driver was last asked about: entries, or places in the ring */
	/* Buffers that are being given back, from `given` on: should the program end here, virtqueue_adopt ends it. */
	uint16_t giving;
	struct virtqueue_used given;
	struct virtqueue_buffer given_buffer[VIRTQUEUE_PUSH_MAX];
	uint32_t given_bytes[VIRTQUEUE_PUSH_MAX];
	const struct model_host *host;
	uint8_t *desc, *driver, *device; /* in guest RAM */
};

/* A buffer that the driver offers: first the segments that the device reads, then those that it writes. */
struct virtqueue_chain {
	struct virtqueue_buffer buffer;
	unsigned readable, writable; /* segments */
	uint64_t readable_bytes, writable_bytes;
	struct io_segment *segment; /* the caller's, room for as many as the queue has descriptors */
};

/* What virtqueue_mark keeps. */
struct virtqueue_place {
	uint16_t next_avail, taken;
	bool avail_wrap;
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

/*
 * Gives a buffer back; `written` bytes, from the first writable one on, hold data. virtqueue_push_many gives
 * back several, at most VIRTQUEUE_PUSH_MAX, that the driver must not see one by one.
 */
void virtqueue_push(struct virtqueue *queue, struct virtqueue_buffer buffer, uint32_t written);
void virtqueue_push_many(struct virtqueue *queue, const struct virtqueue_buffer *buffer, const uint32_t *written, unsigned count);

/* The next buffer to take, and back there: what was taken since, with nothing pushed in between, is taken
 * again. */
struct virtqueue_place virtqueue_mark(const struct virtqueue *queue);
void virtqueue_rewind(struct virtqueue *queue, struct virtqueue_place place);

/* Where the next push goes: a buffer's owner who notes it before knows later, after virtqueue_adopt too, whether it was pushed. */
struct virtqueue_used virtqueue_used(const struct virtqueue *queue);
bool virtqueue_is_at(const struct virtqueue *queue, struct virtqueue_used used);

/* What keeps the parts of a state that outlives the program in step: the compiler moves no memory access over it. A vCPU that is
 * stopped anywhere has done all before, and nothing after. */
static inline void virtqueue_order(void)
{
	__atomic_signal_fence(__ATOMIC_SEQ_CST);
}

/*
 * Starts the queue where the same queue of a driver VM that is gone stood: `old` is its state, in which anything may be found; what the
 * transport sets is set. A push that was under way is brought to its end. Queues that hold no buffer between calls are `in_order`: what
 * was taken and not given back is taken again. False: the state is nonsense, and the queue broken.
 */
bool virtqueue_adopt(struct virtqueue *queue, const struct virtqueue *old, bool in_order);

/* Whether a buffer can have been taken from it. */
bool virtqueue_could_hold(const struct virtqueue *queue, struct virtqueue_buffer buffer);

/* Whether its places in the ring are such as can be. */
bool virtqueue_is_sane(const struct virtqueue *queue);

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
