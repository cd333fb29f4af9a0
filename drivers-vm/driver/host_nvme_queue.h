/*
 * A pair of NVMe queues: NVM Express Base Specification 2.0, 3.3.1 Memory-based Transport Queue Model, 4.1 Submission Queue Entry,
 * 4.2 Completion Queue Entry. What the controller writes is not believed: a completion of a command that is not under way breaks the
 * pair.
 */
#ifndef DRIVERS_VM_DRIVER_HOST_NVME_QUEUE_H
#define DRIVERS_VM_DRIVER_HOST_NVME_QUEUE_H

#include <assert.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define NVME_QUEUE_ENTRIES 64u /* a page of commands, and not more than there are bits in a word */

struct nvme_command {
	uint32_t opcode; /* bits 7:0; command identifier in 31:16 */
	uint32_t nsid;
	uint64_t reserved, metadata;
	uint64_t prp[2];
	uint32_t cdw10, cdw11, cdw12, cdw13, cdw14, cdw15;
};
static_assert(sizeof(struct nvme_command) == 64 && offsetof(struct nvme_command, prp) == 24 && offsetof(struct nvme_command, cdw10) == 40,
              "figure Common Command Format");

struct nvme_completion {
	uint32_t result, reserved;
	uint16_t sq_head, sq_id;
	uint16_t cid;
	uint16_t status; /* bit 0: phase; 8:1 code, 11:9 code type */
};
static_assert(sizeof(struct nvme_completion) == 16 && offsetof(struct nvme_completion, status) == 14,
              "figure Common Completion Queue Entry Layout");

struct nvme_queue {
	struct nvme_command *commands; /* one page */
	volatile uint8_t *completions; /* one page */
	volatile uint8_t *tail_doorbell, *head_doorbell;
	unsigned entries;
	unsigned tail, head; /* of submission, of completion */
	unsigned head_told;  /* how far the controller knows of */
	uint16_t phase;      /* of completions that are new */
	bool dirty;          /* commands were put since the doorbell rang */
	uint64_t busy;       /* bit n: command n is under way */
	uint32_t result;     /* what the last completion told besides its status */
};

enum nvme_taken {
	NVME_TAKEN_NONE,
	NVME_TAKEN_ONE,
	NVME_TAKEN_BROKEN, /* it is the completion of nothing */
};

/* Both pages are zeroed. entries: 2 to NVME_QUEUE_ENTRIES. */
void nvme_queue_init(struct nvme_queue *queue, void *commands, void *completions, unsigned entries, volatile uint8_t *tail_doorbell,
                     volatile uint8_t *head_doorbell);

/* Number of a command that is not under way, below `entries` - 1; -1: all are. */
int nvme_queue_free(const struct nvme_queue *queue);

/* Puts command `cid`, which is under way from now on; nvme_queue_ring tells the controller. */
void nvme_queue_put(struct nvme_queue *queue, unsigned cid, const struct nvme_command *command);
void nvme_queue_ring(struct nvme_queue *queue);

/* One completion, if there is one: its command is not under way any more, its status is 0 for success. */
enum nvme_taken nvme_queue_take(struct nvme_queue *queue, unsigned *cid, uint16_t *status);

/* Tells the controller how far completions were taken. */
void nvme_queue_taken(struct nvme_queue *queue);

#endif
