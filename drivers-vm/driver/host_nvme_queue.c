/* See host_nvme_queue.h. */
#include "drivers-vm/driver/host_nvme_queue.h"

#include "drivers-vm/driver/host_mmio.h"

#include <string.h>

void nvme_queue_init(struct nvme_queue *queue, void *commands, void *completions, unsigned entries, volatile uint8_t *tail_doorbell,
                     volatile uint8_t *head_doorbell)
{
	assert(entries >= 2 && entries <= NVME_QUEUE_ENTRIES);
	*queue = (struct nvme_queue){
		.commands = commands,
		.completions = completions,
		.tail_doorbell = tail_doorbell,
		.head_doorbell = head_doorbell,
		.entries = entries,
		.phase = 1,
	};
}

int nvme_queue_free(const struct nvme_queue *queue)
{
	/* One entry stays free: a queue whose tail reaches its head is empty. */
	uint64_t all = queue->entries == 64 ? UINT64_MAX >> 1 : (1ull << (queue->entries - 1)) - 1;
	uint64_t free = all & ~queue->busy;

	return free != 0 ? __builtin_ctzll(free) : -1;
}

void nvme_queue_put(struct nvme_queue *queue, unsigned cid, const struct nvme_command *command)
{
	struct nvme_command *at = &queue->commands[queue->tail];

	memcpy(at, command, sizeof(*at));
	at->opcode |= cid << 16;
	queue->busy |= 1ull << cid;
	queue->tail = (queue->tail + 1) % queue->entries;
	queue->dirty = true;
}

void nvme_queue_ring(struct nvme_queue *queue)
{
	if (!queue->dirty)
		return;
	queue->dirty = false;
	mmio_publish();
	mmio_write32(queue->tail_doorbell, 0, queue->tail);
}

enum nvme_taken nvme_queue_take(struct nvme_queue *queue, unsigned *cid, uint16_t *status)
{
	const volatile uint8_t *at = queue->completions + queue->head * sizeof(struct nvme_completion);
	uint32_t last = mmio_read32(at, offsetof(struct nvme_completion, cid));
	uint16_t number = (uint16_t)last;

	if ((last >> 16 & 1) != queue->phase)
		return NVME_TAKEN_NONE;
	mmio_observe(); /* data that the command read is in memory */
	if (number >= queue->entries || !(queue->busy >> number & 1))
		return NVME_TAKEN_BROKEN;
	queue->busy &= ~(1ull << number);
	queue->head = (queue->head + 1) % queue->entries;
	if (queue->head == 0)
		queue->phase ^= 1;
	queue->result = mmio_read32(at, offsetof(struct nvme_completion, result));
	*cid = number;
	*status = (uint16_t)(last >> 17);
	return NVME_TAKEN_ONE;
}

void nvme_queue_taken(struct nvme_queue *queue)
{
	queue->head_told = queue->head;
	mmio_write32(queue->head_doorbell, 0, queue->head);
}
