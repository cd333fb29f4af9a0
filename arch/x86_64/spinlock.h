/*
 * Ticket locks with ranks. A core takes locks in rising rank only, so no cycle of waiting can form; each
 * acquisition checks it. Root mode runs with interrupts off wherever it holds a lock, so handlers never
 * compete with the code they interrupted. Pairing: the acquire load of `serving` in spin_lock pairs with the
 * release store in spin_unlock.
 */
#ifndef ARCH_X86_64_SPINLOCK_H
#define ARCH_X86_64_SPINLOCK_H

#include "arch/x86_64/cpu.h"
#include "arch/x86_64/panic.h"

/* Each lock's definition names the fields it protects. Leave gaps: ranks are compared, never counted. */
enum lock_rank {
	LOCK_RANK_IOMMU = 60, /* device tables, invalidation */
	LOCK_RANK_POOL = 70,  /* lists of small objects */
	LOCK_RANK_FRAME = 80, /* frame allocator, frame table */
	LOCK_RANK_IRQ = 90,   /* interrupt routing */
	LOCK_RANK_LOG = 100,
};

struct spinlock {
	uint16_t next, serving;
	uint8_t rank, holder_rank; /* holder_rank: the rank the holder had before */
};

#define SPINLOCK_INIT(lock_rank) ((struct spinlock){ .rank = (lock_rank) })

/* Waits until the lock is this core's. Interrupts must be off. */
static inline void spin_lock(struct spinlock *l)
{
	struct cpu_arch *cpu = cpu_arch_self();
	uint8_t held = cpu->lock_rank;

	assert(held < l->rank);
	uint16_t ticket = __atomic_fetch_add(&l->next, 1, __ATOMIC_RELAXED);

	while (__atomic_load_n(&l->serving, __ATOMIC_ACQUIRE) != ticket)
		cpu_pause();
	l->holder_rank = held;
	cpu->lock_rank = l->rank;
}

/* Gives back the lock taken last. */
static inline void spin_unlock(struct spinlock *l)
{
	struct cpu_arch *cpu = cpu_arch_self();

	assert(cpu->lock_rank == l->rank);
	cpu->lock_rank = l->holder_rank;
	__atomic_store_n(&l->serving, (uint16_t)(l->serving + 1), __ATOMIC_RELEASE);
}

#endif
