/* See port_queue.h. */
#include "drivers-vm/control/net/port_queue.h"

#include <string.h>

#define RING_FLAGS   0u /* 2.7.6 and 2.7.8: flags, idx, entries */
#define RING_IDX     2u
#define RING_ENTRIES 4u
#define NO_INTERRUPT 1u /* VIRTQ_AVAIL_F_NO_INTERRUPT */
#define NO_NOTIFY    1u /* VIRTQ_USED_F_NO_NOTIFY */

struct descriptor {
	uint64_t address;
	uint32_t bytes;
	uint16_t flags, next;
};
_Static_assert(sizeof(struct descriptor) == 16, "2.7.5");
_Static_assert(PORT_AREA_NET_ENTRIES * sizeof(struct descriptor) <= PORT_AREA_AVAIL, "they fit");
_Static_assert(PORT_AREA_AVAIL + 6 + 2 * PORT_AREA_NET_ENTRIES <= PORT_AREA_USED, "they fit");

/* Acquire: what the device wrote before it moved an index is seen after it. */
static uint16_t load16(const uint8_t *from)
{
	return __atomic_load_n((const uint16_t *)from, __ATOMIC_ACQUIRE);
}

static void store16(uint8_t *to, uint16_t value)
{
	__atomic_store_n((uint16_t *)to, value, __ATOMIC_RELEASE);
}

void port_queue_init(struct port_queue *queue, uint8_t *area, enum port_area_queue which, uint16_t size)
{
	*queue = (struct port_queue){ .rings = area + PORT_AREA_RINGS(which), .size = size };
	memset(queue->rings, 0, PORT_AREA_RINGS(1));
}

void port_queue_describe(struct port_queue *queue, uint16_t index, uint32_t offset, uint32_t bytes, uint16_t flags, uint16_t next)
{
	const struct descriptor descriptor = { offset, bytes, flags, next };

	memcpy(queue->rings + PORT_AREA_DESC + sizeof(descriptor) * index, &descriptor, sizeof(descriptor));
}

void port_queue_offer(struct port_queue *queue, uint16_t head)
{
	uint8_t *avail = queue->rings + PORT_AREA_AVAIL;

	queue->away[head] = true;
	store16(avail + RING_ENTRIES + 2 * (queue->offered & (queue->size - 1u)), head);
	store16(avail + RING_IDX, ++queue->offered);
}

bool port_queue_take(struct port_queue *queue, uint16_t *head, uint32_t *bytes)
{
	const uint8_t *used = queue->rings + PORT_AREA_USED;
	uint16_t ready, away = (uint16_t)(queue->offered - queue->taken);

	if (queue->broken)
		return false;
	ready = (uint16_t)(load16(used + RING_IDX) - queue->taken);
	if (ready == 0)
		return false;
	const volatile uint32_t *entry = (const uint32_t *)(used + RING_ENTRIES + 8 * (queue->taken & (queue->size - 1u)));
	uint32_t id = entry[0], written = entry[1];
	queue->broken = ready > away || id >= queue->size || !queue->away[id];
	if (queue->broken)
		return false;
	queue->away[id] = false;
	queue->taken++;
	*head = (uint16_t)id;
	*bytes = written;
	return true;
}

bool port_queue_wants_kick(const struct port_queue *queue)
{
	/* What was offered is seen by a device that then says that it wants no kicks, or we see that it wants them: 2.7.13.4. */
	__atomic_thread_fence(__ATOMIC_SEQ_CST);
	return !(load16(queue->rings + PORT_AREA_USED + RING_FLAGS) & NO_NOTIFY);
}

void port_queue_want_interrupts(struct port_queue *queue, bool want)
{
	store16(queue->rings + PORT_AREA_AVAIL + RING_FLAGS, want ? 0 : NO_INTERRUPT);
	__atomic_thread_fence(__ATOMIC_SEQ_CST);
}
