/*
 * A virtio disk: virtio 1.2, 5.2. Requests go to a block device as they are, with the guest's buffers; those
 * that wait for it, or for the I/O limits, hold up nothing else.
 */
#ifndef DRIVERS_VM_DRIVER_VIRTIO_BLK_H
#define DRIVERS_VM_DRIVER_VIRTIO_BLK_H

#include "drivers-vm/driver/blk_device.h"
#include "drivers-vm/driver/token_bucket.h"
#include "drivers-vm/driver/virtio_pci.h"

#define VIRTIO_BLK_TYPE       2u
#define VIRTIO_BLK_CLASS      0x018000u /* mass storage controller, other */
#define VIRTIO_BLK_QUEUE_SIZE 128u
#define VIRTIO_BLK_QUEUES_MAX 8u
#define VIRTIO_BLK_SEGMENTS   (VIRTIO_BLK_QUEUE_SIZE - 2u) /* of data, beside header and status */

/* Feature bits: 5.2.3. */
#define VIRTIO_BLK_F_SIZE_MAX     (1ull << 1)
#define VIRTIO_BLK_F_SEG_MAX      (1ull << 2)
#define VIRTIO_BLK_F_RO           (1ull << 5)
#define VIRTIO_BLK_F_BLK_SIZE     (1ull << 6)
#define VIRTIO_BLK_F_FLUSH        (1ull << 9)
#define VIRTIO_BLK_F_TOPOLOGY     (1ull << 10)
#define VIRTIO_BLK_F_MQ           (1ull << 12)
#define VIRTIO_BLK_F_DISCARD      (1ull << 13)
#define VIRTIO_BLK_F_WRITE_ZEROES (1ull << 14)

/* Configuration: 5.2.4. */
#define VIRTIO_BLK_CAPACITY                 0u
#define VIRTIO_BLK_SIZE_MAX                 8u
#define VIRTIO_BLK_SEG_MAX                  12u
#define VIRTIO_BLK_BLK_SIZE                 20u
#define VIRTIO_BLK_PHYSICAL_BLOCK_EXP       24u
#define VIRTIO_BLK_OPT_IO_SIZE              28u
#define VIRTIO_BLK_NUM_QUEUES               34u
#define VIRTIO_BLK_MAX_DISCARD_SECTORS      36u
#define VIRTIO_BLK_MAX_DISCARD_SEG          40u
#define VIRTIO_BLK_DISCARD_SECTOR_ALIGNMENT 44u
#define VIRTIO_BLK_MAX_WRITE_ZEROES_SECTORS 48u
#define VIRTIO_BLK_MAX_WRITE_ZEROES_SEG     52u
#define VIRTIO_BLK_WRITE_ZEROES_MAY_UNMAP   56u
#define VIRTIO_BLK_CONFIG_BYTES             60u

/* Requests: 5.2.6. */
#define VIRTIO_BLK_T_IN           0u
#define VIRTIO_BLK_T_OUT          1u
#define VIRTIO_BLK_T_FLUSH        4u
#define VIRTIO_BLK_T_GET_ID       8u
#define VIRTIO_BLK_T_DISCARD      11u
#define VIRTIO_BLK_T_WRITE_ZEROES 13u
#define VIRTIO_BLK_S_OK           0u
#define VIRTIO_BLK_S_IOERR        1u
#define VIRTIO_BLK_S_UNSUPP       2u
#define VIRTIO_BLK_UNMAP          1u /* the only flag of a range */

struct virtio_blk_header {
	uint32_t type, reserved;
	uint64_t sector;
};
_Static_assert(sizeof(struct virtio_blk_header) == 16, "5.2.6");

struct virtio_blk_range {
	uint64_t sector;
	uint32_t sectors, flags;
};
_Static_assert(sizeof(struct virtio_blk_range) == 16, "5.2.6");

#define VIRTIO_BLK_RANGE_SECTORS 0x8000u   /* discarded or zeroed by one request at most */
#define VIRTIO_BLK_SEGMENT_BYTES 0x20000u  /* so that one request moves 15.75 MiB at most */
#define VIRTIO_BLK_SLICE         64u       /* requests served at one go, */
#define VIRTIO_BLK_SLICE_BYTES   0x400000u /* and after so many bytes no further one */

struct virtio_blk;

/* What it is about, for a driver VM that comes after this one: each change is one store, in step with the queue's. */
enum virtio_blk_progress {
	VIRTIO_BLK_FREE,
	VIRTIO_BLK_TAKING, /* from `place` on, it may have been taken */
	VIRTIO_BLK_ACTIVE, /* all fields say what is to be done */
	VIRTIO_BLK_GIVING, /* done; pushed if the queue stands elsewhere than at `used` */
};

struct virtio_blk_request {
	struct blk_request request; /* first: the block device gives it back by this */
	struct virtio_blk *disk;
	struct virtio_blk_request *next; /* while it is free */
	struct virtqueue_buffer buffer;
	uint16_t queue;
	bool orphan;      /* the device was reset meanwhile: its buffer is not ours any more */
	bool sync;        /* a write that is only done when it has been flushed */
	uint8_t progress; /* enum virtio_blk_progress */
	struct virtqueue_place place;
	struct virtqueue_used used;
	uint32_t answer;  /* bytes that it is given back with */
	uint8_t *status;  /* in guest RAM */
	uint32_t written; /* if it succeeds */
	struct io_segment segment[VIRTIO_BLK_QUEUE_SIZE];
};

struct virtio_blk_config {
	struct blk_device *device;
	unsigned queues; /* 1 to VIRTIO_BLK_QUEUES_MAX */
	bool packed;
	uint64_t operations_per_second, bytes_per_second; /* limits; 0: none */
	char serial[BLK_SERIAL_BYTES];                    /* if empty, the block device's */
	/* How many requests may be under way, and room for them. */
	struct virtio_blk_request *request;
	unsigned requests;
};

/* Since the power-on. */
struct virtio_blk_counts {
	uint64_t read_requests, read_bytes, write_requests, write_bytes, flush_requests, errors;
};

struct virtio_blk {
	struct virtio_pci device; /* first: the transport's callbacks find the disk by it */
	struct blk_device *backend;
	unsigned timer;
	unsigned lane; /* of the backing device, for queue 0; the others follow */
	struct token_bucket operations, bytes;
	struct virtio_blk_request *free, *all;
	unsigned requests, pending;      /* pending: the block device has them */
	struct virtio_blk_request *held; /* by the limits */
	uint64_t moved;                  /* bytes of data in this slice */
	bool starved;                    /* buffers may wait for a free request */
	struct virtio_blk_counts counts;
	char serial[BLK_SERIAL_BYTES];
	uint8_t config[VIRTIO_BLK_CONFIG_BYTES];
};

/*
 * Sets up the power-on state, ready for pci_host_plug(&disk->device.function). `timer` is the id that the
 * model arms for itself. config->device and config->request must outlive the disk.
 */
void virtio_blk_init(struct virtio_blk *disk, const struct model_host *host, const struct virtio_blk_config *config, unsigned timer);

/*
 * Goes on where the same disk stood in a driver VM that is gone: first takes over what `old` says, in which anything may be found and
 * whose requests are at `old_request`; then, once all of the machine has been taken over, does what was under way.
 */
void virtio_blk_adopt(struct virtio_blk *disk, const struct virtio_blk *old, const struct virtio_blk_request *old_request);
void virtio_blk_resume(struct virtio_blk *disk);

/* The timer has expired. */
void virtio_blk_timer(struct virtio_blk *disk);

/* Whether the block device still uses guest memory for this disk. */
static inline bool virtio_blk_is_busy(const struct virtio_blk *disk)
{
	return disk->pending != 0;
}

/* ---- For virtio_blk_adopt.c ---- */
void virtio_blk_submit(struct virtio_blk_request *r);
void virtio_blk_give(struct virtio_blk_request *r);
void virtio_blk_free(struct virtio_blk_request *r);

#endif
