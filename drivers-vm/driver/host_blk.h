/*
 * What drivers of the host's disks have in common: requests of the block layer become commands, as many as the controller has room
 * for; the rest waits. Commands have deadlines; a controller that misses one, or breaks a rule, is given up, and everything that it
 * was asked or will be asked is an I/O error. A driver says what a command of its controller is.
 */
#ifndef DRIVERS_VM_DRIVER_HOST_BLK_H
#define DRIVERS_VM_DRIVER_HOST_BLK_H

#include "drivers-vm/driver/host_device.h"
#include "drivers-vm/driver/host_disk.h"

#define HOST_BLK_QUEUE      64u /* commands under way in one queue at most */
#define HOST_BLK_LANES      4u  /* queues of one disk at most */
#define HOST_BLK_COMMANDS   (HOST_BLK_LANES * HOST_BLK_QUEUE)
#define HOST_BLK_TIMEOUT_NS 10000000000ull /* of a command */
#define HOST_BLK_CHECK_NS   1000000000ull  /* how often it is looked for */

struct host_blk_command {
	struct blk_request *request; /* NULL: not under way */
	uint8_t *page;               /* for what the controller has to find in memory; the driver's, zeroed by host_blk_start */
	uint64_t deadline_tsc;
	uint64_t byte;    /* of the request, where the command begins; and ... */
	uint32_t bounced; /* ... so many bytes go from `bounce` to the request when it has succeeded */
	const uint8_t *bounce;
};

enum host_blk_taken {
	HOST_BLK_NONE,
	HOST_BLK_DONE,
	HOST_BLK_FAILED, /* the command; the controller is well */
	HOST_BLK_BROKEN, /* the controller says that something is done which nobody asked for */
};

struct host_blk;

struct host_blk_ops {
	/* Number of a command that is not under way and can do some of `request` now; -1: none. */
	int (*free)(const struct host_blk *blk, const struct blk_request *request);
	/*
	 * Puts command `number`: `request` from unit `done` on (sectors; a flush has one), as much of it as one command can do.
	 * Returns how many units that is, at least 1. The controller need not see it before `ring`.
	 */
	uint32_t (*put)(struct host_blk *blk, unsigned number, const struct blk_request *request, uint64_t done);
	void (*ring)(struct host_blk *blk);
	/* The number of a command that is over, if there is one; `taken` tells the controller that they were seen. */
	enum host_blk_taken (*take)(struct host_blk *blk, unsigned *number);
	void (*taken)(struct host_blk *blk);
	/* It is given up: from now on it reads and writes no memory. */
	void (*stop)(struct host_blk *blk);
};

/* Requests that use one of the disk's queues wait for each other only. */
struct host_blk_lane {
	struct blk_request *waiting, **waiting_end; /* not all of their commands were put */
};

struct host_blk {
	struct host_device device; /* first */
	struct host_disk disk;     /* the driver fills in size, abilities and serial number */
	const struct host_blk_ops *ops;
	struct host_blk_command command[HOST_BLK_COMMANDS];
	struct host_blk_lane lane[HOST_BLK_LANES];
	unsigned lanes;     /* as many queues as the disk has: 1, unless its driver says more before host_blk_start */
	uint64_t check_tsc; /* 0: nothing is under way */
	unsigned under_way;
	bool dead; /* given up */
};

/* Whose queue a request goes to. */
static inline unsigned host_blk_lane_of(const struct host_blk *blk, const struct blk_request *request)
{
	return request->lane % blk->lanes;
}

/* First of all: who it is. */
void host_blk_init(struct host_blk *blk, const struct host_pci *pci, const struct host_blk_ops *ops);

/* Pages for the first `commands` commands, as far as they have none. False: no memory. */
bool host_blk_make_pages(struct host_blk *blk, unsigned commands);

/* Those of commands from number `first` on go back: the controller does not know of them, or has stopped. */
void host_blk_free_pages(struct host_blk *blk, unsigned first);

/* The device works: guests can find it. `kind` is for the log. */
void host_blk_start(struct host_blk *blk, const char *kind);

/* It does not behave: no DMA from now on, errors for all requests. `why` goes into the log. */
void host_blk_give_up(struct host_blk *blk, const char *why);

/* `stop` of a device that is one disk: no DMA. */
void host_blk_stop_device(struct host_blk *blk);

/* Commands have room, or can do again what they could not before. */
void host_blk_put_waiting(struct host_blk *blk);

/* What host_blk_init makes the disk's device operations. */
void host_blk_interrupt(struct host_device *device);
uint64_t host_blk_check(struct host_device *device, uint64_t now_tsc);

#endif
