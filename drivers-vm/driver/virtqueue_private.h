/* What the two kinds of ring share. Accesses to guest memory happen exactly once, in the order of the
 * program. */
#ifndef DRIVERS_VM_DRIVER_VIRTQUEUE_PRIVATE_H
#define DRIVERS_VM_DRIVER_VIRTQUEUE_PRIVATE_H

#include "drivers-vm/driver/virtqueue.h"

#define CHAIN_BYTES_MAX 0x100000000ull /* 2.7.5.1: at most 2^32 bytes in total */

/* Indirect tables have no alignment. */
struct unaligned_u64 {
	uint64_t value;
} __attribute__((packed, may_alias));

static inline uint64_t load64(const void *from)
{
	return ((const volatile struct unaligned_u64 *)from)->value;
}

/* Rings are aligned. Acquire: what the driver wrote before it published an index is seen after it. */
static inline uint16_t load16(const void *from)
{
	return __atomic_load_n((const uint16_t *)from, __ATOMIC_ACQUIRE);
}

static inline void store16(void *to, uint16_t value)
{
	__atomic_store_n((uint16_t *)to, value, __ATOMIC_RELEASE);
}

static inline void store32(void *to, uint32_t value)
{
	__atomic_store_n((uint32_t *)to, value, __ATOMIC_RELAXED);
}

/* Guest memory of a ring; NULL: misaligned or not RAM. */
uint8_t *virtqueue_map(const struct virtqueue *queue, uint64_t gpa, unsigned align, uint32_t bytes);

/* Adds a buffer's piece to the chain; false: that is against the rules. `len` is not 0. */
bool virtqueue_chain_add(const struct virtqueue *queue, struct virtqueue_chain *chain, uint64_t addr, uint32_t len, bool write);

bool virtqueue_split_enable(struct virtqueue *queue);
enum virtqueue_result virtqueue_split_pop(struct virtqueue *queue, struct virtqueue_chain *chain);
void virtqueue_split_push(struct virtqueue *queue, const struct virtqueue_buffer *buffer, const uint32_t *written, unsigned count);
/* Whether the driver sees the `count` buffers that were pushed from where `queue` stands now. */
bool virtqueue_split_published(const struct virtqueue *queue, unsigned count);
bool virtqueue_split_should_signal(const struct virtqueue *queue);
bool virtqueue_split_want_kicks(struct virtqueue *queue, bool want);

bool virtqueue_packed_enable(struct virtqueue *queue);
enum virtqueue_result virtqueue_packed_pop(struct virtqueue *queue, struct virtqueue_chain *chain);
void virtqueue_packed_push(struct virtqueue *queue, const struct virtqueue_buffer *buffer, const uint32_t *written, unsigned count);
bool virtqueue_packed_published(const struct virtqueue *queue);
/* The places behind those that were pushed. */
void virtqueue_packed_pass(struct virtqueue *queue, const struct virtqueue_buffer *buffer, unsigned count);
bool virtqueue_packed_should_signal(const struct virtqueue *queue);
bool virtqueue_packed_want_kicks(struct virtqueue *queue, bool want);

#endif
