/*
 * The emulated local APIC of one vCPU: xAPIC and x2APIC registers, interrupt acceptance and priority, IPIs
 * and MSIs, the timer. Vendor-neutral; knows guest registers only, no guest memory and no host APIC. Sources:
 * SDM vol. 3A, chapter "Advanced Programmable Interrupt Controller (APIC)"; APM vol. 2, chapter 16 of the
 * same name.
 *
 * Model: the APIC ID is the vCPU's index and read-only; version 14h with six local vectors; no EOI-broadcast
 * suppression. The timer's input clock is the TSC: one count per TSC tick at divide by 1, so a guest that is
 * told the bus frequency is told tsc_hz.
 *
 * Concurrency, no locks: irr, tmr and sipi_vector are changed by locked operations from any core, TMR
 * before IRR. Fields marked "published" have one writer, the owner, and are read anywhere. All else belongs
 * to the owner: the core that runs the vCPU, or whoever holds the vCPU while it does not run. Functions
 * without a word on it are the owner's.
 */
#ifndef KERNEL_VLAPIC_H
#define KERNEL_VLAPIC_H

#include <hilum/abi.h>
#include "arch/x86_64/cpu.h"
#include "arch/x86_64/lapic_registers.h"
#include "arch/x86_64/status.h"

#define VLAPIC_DEFAULT_BASE 0xFEE00000ull /* IA32_APIC_BASE's page after power-up */
#define VLAPIC_TIMER_MIN_US 20u           /* shortest period that a guest's periodic timer gets */

#define MSR_X2APIC_LAST 0x8FFu

/* Bits 11:10 of IA32_APIC_BASE, EN and EXTD; 1 is none. */
enum vlapic_mode {
	VLAPIC_DISABLED, /* accepts nothing; INTR and NMI lines reach the CPU directly */
	VLAPIC_XAPIC = 2,
	VLAPIC_X2APIC,
};

struct vlapic;

/*
 * The local APICs of one VM, found by their APIC ID. Zeroed, then timer_min_period_tsc set, before the first
 * vlapic_init.
 */
struct vlapic_bus {
	uint64_t present;              /* bit n: apic[n] is there. Set with release order, not cleared while a vCPU runs */
	uint64_t timer_min_period_tsc; /* VLAPIC_TIMER_MIN_US in TSC ticks: the defence against floods */
	struct vlapic *apic[HILUM_MAX_VCPUS];
};

struct vlapic {
	/* any core, locked operations */
	/* vector n is bit n % 64 of word n / 64; vectors 0 to 15 are never set. A CPU may take them by itself: so aligned, */
	uint64_t irr[4] __attribute__((aligned(64)));
	uint64_t notification[4]; /* and this its own, 0 elsewhere */
	uint64_t tmr[4];          /* level-triggered when accepted */
	uint32_t sipi_vector;     /* start page of the last SIPI */

	/* the owner's; `published` ones also read by senders */
	uint64_t isr[4];
	uint8_t isrv;         /* highest vector in service, 0 for none */
	uint8_t tpr;          /* published */
	uint8_t ppr;          /* published */
	uint8_t mode;         /* published: enum vlapic_mode */
	uint8_t divide_shift; /* log2 of the timer's divisor */
	bool timer_armed;     /* the host timer is set for `deadline_tsc` */
	bool x2apic_allowed;
	uint32_t id;             /* constant */
	uint32_t reg[64];        /* published: the other registers, by offset in the page / 16 */
	uint64_t apic_base;      /* IA32_APIC_BASE */
	uint64_t deadline_tsc;   /* host TSC at which the timer reaches zero next; 0: it does not run */
	uint64_t period_tsc;     /* of the periodic timer */
	uint64_t guest_deadline; /* IA32_TSC_DEADLINE while it is armed */
	uint64_t tsc_offset;     /* guest TSC - host TSC; change it through vlapic_set_tsc_offset */
	uint8_t *cr8; /* where the CPU keeps a running guest's CR8; NULL: not so. `tpr` is as old as the last vlapic_fetch_tpr then */
	struct vlapic_bus *bus;
};

/* ---- What the kernel supplies ---- */
enum vlapic_notice {
	VLAPIC_NOTIFY_INTR, /* IRR has a new bit: wake or interrupt the vCPU, it looks at vlapic_pending */
	VLAPIC_NOTIFY_NMI,
	VLAPIC_NOTIFY_INIT,   /* the vCPU calls vlapic_reset(v, false); all but the BSP await a SIPI */
	VLAPIC_NOTIFY_SIPI,   /* start at v->sipi_vector << 12, if awaiting a SIPI */
	VLAPIC_NOTIFY_EXTINT, /* one ExtINT message: acknowledge the 8259A as for its INTR line */
};

/*
 * Asks the vCPU of `target` to act on `what`. From any core, at any time; IRR or sipi_vector was stored
 * before, by a locked operation. Not called for an interrupt that the running vCPU sends to itself: the owner
 * looks at vlapic_pending before each entry.
 */
void vlapic_notify(struct vlapic *target, enum vlapic_notice what);

/*
 * Calls vlapic_timer_expired once the host TSC has reached `host_tsc`; replaces an earlier setting. By the
 * owner. The guest's clock has been taken into account: host_tsc needs no offset.
 */
void vlapic_timer_set(struct vlapic *v, uint64_t host_tsc);
void vlapic_timer_cancel(struct vlapic *v);

/*
 * The guest ended the level-triggered interrupt `vector`; ISR and PPR are up to date. By the owner, from
 * vlapic_eoi.
 */
void vlapic_eoi_level(struct vlapic *v, uint8_t vector);

/* ---- Life ---- */
/*
 * Power-up state; then senders on `bus` find it. `apic_id` < HILUM_MAX_VCPUS is the vCPU's index; 0 is the
 * bootstrap processor.
 */
void vlapic_init(struct vlapic *v, struct vlapic_bus *bus, uint32_t apic_id, bool x2apic_allowed);

/* Power-up state; without `power_up` that after INIT, which keeps IA32_APIC_BASE, and so the mode. */
void vlapic_reset(struct vlapic *v, bool power_up);

/* ---- Accesses of the guest ---- */
/*
 * A 32-bit access at `offset` < 4096 of the register page. Never fails: where the page has no register it
 * reads 0 and ignores the write; ESR reads 0; outside xAPIC mode nothing answers (reads
 * all ones).
 */
uint32_t vlapic_mmio_read(struct vlapic *v, uint32_t offset);
void vlapic_mmio_write(struct vlapic *v, uint32_t offset, uint32_t value);

/*
 * MSRs 1Bh, 6E0h and 800h to 8FFh. STATUS_INVALID means #GP: no such MSR (in this mode), wrong direction, a
 * reserved bit, or a forbidden change of mode. The interrupts that a write sends are on their way when it
 * returns.
 */
must_check enum status vlapic_msr_read(struct vlapic *v, uint32_t msr, uint64_t *value);
must_check enum status vlapic_msr_write(struct vlapic *v, uint32_t msr, uint64_t value);

/* A write to the EOI register, for exit handlers that know it is one. */
void vlapic_eoi(struct vlapic *v);

/* A write of `icr`, in the x2APIC layout (destination in bits 63:32), by the running vCPU of `v`. */
void vlapic_ipi(struct vlapic *v, uint64_t icr);

/* ---- Interrupts ---- */
/*
 * A message signalled interrupt, from any core. SDM vol. 3A, "Message Signalled Interrupts". STATUS_INVALID:
 * `address` is not in FEExxxxxh. A message that no APIC takes, or of a reserved delivery mode, is lost as in
 * hardware.
 */
must_check enum status vlapic_deliver_msi(struct vlapic_bus *bus, uint64_t address, uint32_t data);

/*
 * KVM's paravirtual send-IPI: fixed interrupt or NMI as in `icr` to the APIC IDs min_id + n for each bit n of
 * `bitmap`; KVM's second word starts beyond every APIC ID. Returns the number of vCPUs reached, or -1 if `icr`
 * asks for anything else.
 */
int vlapic_send_ipi_bitmap(struct vlapic_bus *bus, uint32_t min_id, uint64_t bitmap, uint32_t icr);

/* True if the 8259A's INTR reaches the CPU: the APIC is disabled, or LINT0 is unmasked in ExtINT mode. */
bool vlapic_accepts_extint(const struct vlapic *v);

/* The host timer reached the deadline of vlapic_timer_set. By the owner. Early calls re-arm. */
void vlapic_timer_expired(struct vlapic *v);

/*
 * The guest's TSC now differs from the host's by `offset`: an armed TSC deadline moves with it, counts do
 * not.
 */
void vlapic_set_tsc_offset(struct vlapic *v, uint64_t offset);

static inline uint64_t vlapic_guest_tsc(const struct vlapic *v)
{
	return rdtsc() + v->tsc_offset;
}

/* The base of the register page, meaningful in xAPIC mode. */
static inline uint64_t vlapic_mmio_base(const struct vlapic *v)
{
	return v->apic_base & ~PAGE_MASK;
}

/* PPR: the higher class of TPR and the vector in service. SDM vol. 3A, "Task and Processor Priorities". */
static inline void vlapic_update_ppr(struct vlapic *v)
{
	uint8_t ppr = v->isrv & 0xF0;

	if (v->tpr >= ppr)
		ppr = v->tpr;
	__atomic_store_n(&v->ppr, ppr, __ATOMIC_RELAXED);
}

/* The whole register; CR8 is its bits 7:4. */
static inline void vlapic_set_tpr(struct vlapic *v, uint8_t tpr)
{
	__atomic_store_n(&v->tpr, tpr, __ATOMIC_RELAXED);
	vlapic_update_ppr(v);
	if (v->cr8 != NULL)
		*v->cr8 = tpr >> 4;
}

/*
 * Before a look at TPR, PPR or what is pending: takes over what the guest has written to CR8 without an exit. The subclass in bits 3:0, which
 * a write of the class that is there already would clear, stays then.
 */
static inline void vlapic_fetch_tpr(struct vlapic *v)
{
	if (v->cr8 != NULL && unlikely(*v->cr8 != v->tpr >> 4))
		vlapic_set_tpr(v, (uint8_t)(*v->cr8 << 4));
}

/* Highest vector in the 256-bit register `from`, or -1. */
static inline int vlapic_highest(const uint64_t *from)
{
#pragma GCC unroll 4
	for (int word = 3; word >= 0; word--) {
		uint64_t bits = __atomic_load_n(&from[word], __ATOMIC_RELAXED);
		if (bits)
			return word * 64 + 63 - __builtin_clzll(bits);
	}
	return -1;
}

/* Whether anything is in IRR. */
static inline bool vlapic_has_request(const struct vlapic *v)
{
	const uint64_t *irr = v->irr;

	return __atomic_load_n(&irr[0], __ATOMIC_RELAXED) | __atomic_load_n(&irr[1], __ATOMIC_RELAXED) |
	       __atomic_load_n(&irr[2], __ATOMIC_RELAXED) | __atomic_load_n(&irr[3], __ATOMIC_RELAXED);
}

/*
 * The vector to inject next: the highest in IRR if its class is above PPR's; else -1. Interrupt flag and
 * shadow are the caller's.
 */
static inline int vlapic_pending(const struct vlapic *v)
{
	int vector;

	if (likely(!vlapic_has_request(v)))
		return -1;
	vector = vlapic_highest(v->irr);
	return (vector & 0xF0) > (v->ppr & 0xF0) ? vector : -1;
}

/* The CPU accepts `vector`, which vlapic_pending just gave: from IRR into service. */
static inline void vlapic_take(struct vlapic *v, unsigned vector)
{
	uint64_t bit = 1ull << (vector % 64);

	__atomic_fetch_and(&v->irr[vector / 64], ~bit, __ATOMIC_SEQ_CST);
	v->isr[vector / 64] |= bit;
	v->isrv = (uint8_t)vector;
	__atomic_store_n(&v->ppr, (uint8_t)(vector & 0xF0), __ATOMIC_RELAXED);
}

#endif
