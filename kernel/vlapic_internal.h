/*
 * What the parts of the local APIC share beside arch/x86_64/lapic_registers.h: further bits in the manual's names, and acceptance of
 * interrupts. vlapic.c registers and modes, vlapic_ipi.c messages, vlapic_timer.c the timer.
 * For kernel/vlapic*.c, and backends whose CPU has the registers.
 */
#ifndef KERNEL_VLAPIC_INTERNAL_H
#define KERNEL_VLAPIC_INTERNAL_H

#include "kernel/vlapic.h"

#define APIC_LVT_FIRST APIC_LVT_TIMER
#define APIC_LVT_LAST  APIC_LVT_ERROR

#define APIC_BASE_BSP  (1ull << 8)
#define APIC_BASE_ADDR 0x000FFFFFFFFFF000ull

#define APIC_SVR_WRITABLE 0x3FFu /* vector, enable, focus checking (kept, without effect) */

#define APIC_DFR_FIXED_BITS  0x0FFFFFFFu
#define APIC_DFR_MODEL_SHIFT 28 /* 0: cluster, 15: flat, all else reserved and taken for flat */

#define APIC_LVT_MODE_SHIFT  8
#define APIC_LVT_STATUS      (1u << 12) /* delivery status: read-only, never set here */
#define APIC_LVT_REMOTE_IRR  (1u << 14) /* likewise */
#define APIC_LVT_TIMER_SHIFT 17
#define APIC_LVT_TIMER_MASK  (3u << APIC_LVT_TIMER_SHIFT)

enum apic_timer_mode { APIC_TIMER_ONE_SHOT, APIC_TIMER_PERIODIC, APIC_TIMER_TSC_DEADLINE, APIC_TIMER_RESERVED };

#define APIC_VECTOR_MIN 16u

/* Delivery modes: bits 10:8 of ICR, LVT and MSI data */
enum apic_delivery {
	APIC_DELIVER_FIXED,
	APIC_DELIVER_LOWEST,
	APIC_DELIVER_SMI,
	APIC_DELIVER_RESERVED,
	APIC_DELIVER_NMI,
	APIC_DELIVER_INIT,
	APIC_DELIVER_SIPI,
	APIC_DELIVER_EXTINT,
};

#define APIC_ICR_MODE_SHIFT      8
#define APIC_ICR_LOGICAL         (1u << 11)
#define APIC_ICR_LEVEL           (1u << 15)
#define APIC_ICR_SHORTHAND_SHIFT 18
#define APIC_ICR_WRITABLE_LOW    0x000CCFFFu
#define APIC_ICR_X2APIC_RESERVED (0xFFFFFFFFull & ~(APIC_ICR_WRITABLE_LOW | APIC_ICR_STATUS))

enum apic_shorthand { APIC_TO_DESTINATION, APIC_TO_SELF, APIC_TO_ALL, APIC_TO_OTHERS };

/*
 * Bits of a register that software may set; in x2APIC mode any other raises #GP. Zero where nothing may be
 * set.
 */
extern const uint32_t vlapic_writable[APIC_REGISTER_COUNT];

#define PUBLISHED(field)      __atomic_load_n(&(field), __ATOMIC_RELAXED)
#define PUBLISH(field, value) __atomic_store_n(&(field), value, __ATOMIC_RELAXED)

_Static_assert(ARRAY_SIZE(((struct vlapic *)NULL)->reg) == APIC_REGISTER_COUNT, "one slot for each register");

static inline bool vlapic_is_software_enabled(const struct vlapic *v)
{
	return PUBLISHED(v->reg[APIC_SVR]) & APIC_SVR_ENABLE;
}

/*
 * Sets `vector` (16 to 255) in IRR, TMR first: whoever sees the request finds its trigger mode. Any core.
 * True if it was not yet requested: an earlier request has had its notice already.
 */
static inline bool vlapic_request(struct vlapic *v, unsigned vector, bool level)
{
	uint64_t bit = 1ull << (vector % 64);
	uint64_t *tmr = &v->tmr[vector / 64];

	if (unlikely(level))
		__atomic_fetch_or(tmr, bit, __ATOMIC_SEQ_CST);
	else if (unlikely(__atomic_load_n(tmr, __ATOMIC_RELAXED) & bit))
		__atomic_fetch_and(tmr, ~bit, __ATOMIC_SEQ_CST);
	return !(__atomic_fetch_or(&v->irr[vector / 64], bit, __ATOMIC_SEQ_CST) & bit);
}

/* vlapic_ipi.c: one message or local interrupt to one APIC, from any core; false if it takes none. */
bool vlapic_accept(struct vlapic *v, enum apic_delivery mode, unsigned vector, bool level);
/* Does what the local vector in register `reg` says, unless it is masked. Any core. */
void vlapic_fire_lvt(struct vlapic *v, enum lapic_register reg);

/* vlapic_timer.c */
static inline enum apic_timer_mode vlapic_timer_mode(uint32_t lvt)
{
	return (enum apic_timer_mode)((lvt & APIC_LVT_TIMER_MASK) >> APIC_LVT_TIMER_SHIFT);
}
/* Delivers what fell due, then stops the timer. */
void vlapic_timer_stop(struct vlapic *v);
void vlapic_timer_write_lvt(struct vlapic *v, uint32_t lvt);
void vlapic_timer_write_divide(struct vlapic *v, uint32_t dcr);
void vlapic_timer_write_initial(struct vlapic *v, uint32_t count);
uint32_t vlapic_timer_read_count(struct vlapic *v);
void vlapic_timer_write_deadline(struct vlapic *v, uint64_t guest_tsc);
uint64_t vlapic_timer_read_deadline(struct vlapic *v);

#endif
