/*
 * Short-lived windows of a core onto single frames that the host tables do not map otherwise: guest pages.
 * Each core has WINDOW_SLOTS of them, writable and never executable, used by itself alone: no lock, no
 * shoot-down. The caller has the right to the frame (a reference, or the guest's nested tables say so) for as
 * long as it uses the address.
 */
#ifndef MM_WINDOW_H
#define MM_WINDOW_H

#include "arch/x86_64/layout.h"

#define WINDOW_SLOTS      16u
#define WINDOW_SLOT_ZERO  15u /* mm's own, for zeroing frames; overwritten by every allocation of memory */
#define WINDOW_SLOT_READ  14u /* mm's own, too */
#define WINDOW_CORE_BYTES (WINDOW_SLOTS * PAGE_SIZE)

struct window_core {
	hpa_t shown[WINDOW_SLOTS]; /* frame a slot shows; 0: none, for frame 0 is never shown */
	uint64_t *entry;           /* the core's WINDOW_SLOTS leaf entries */
	uint32_t used;             /* bit n: slot n shows a frame */
};
extern struct window_core window_cores[CPU_MAX];

/* Points the slot at the frame: writes the entry, then INVLPG. window_map's slow half. */
void *window_show(struct window_core *w, cpu_id_t cpu, unsigned slot, hpa_t frame);

/*
 * An address for `frame` (page-aligned) in slot `slot` < WINDOW_SLOTS of the calling core, whose id is `cpu`.
 * Valid until the slot is mapped to something else or window_clear. Free of cost when the slot shows that
 * frame already.
 */
static inline void *window_map(cpu_id_t cpu, unsigned slot, hpa_t frame)
{
	struct window_core *w = &window_cores[cpu];

	if (likely(w->shown[slot] == frame))
		return (void *)(WINDOW_BASE + cpu * WINDOW_CORE_BYTES + slot * PAGE_SIZE);
	return window_show(w, cpu, slot, frame);
}

/* window_clear's slow half. */
void window_clear_used(cpu_id_t cpu);

/* Unmaps every slot in use on the calling core: at each change of vCPU, so that no window outlives its
 * guest's turn. */
static inline void window_clear(cpu_id_t cpu)
{
	if (window_cores[cpu].used)
		window_clear_used(cpu);
}

/* Zeroes 2^order frames from hpa (not mapped otherwise) through WINDOW_SLOT_ZERO of the calling core. */
void window_zero_frames(hpa_t hpa, unsigned order);

/* For mm/ alone: makes the tables of all cores' windows. */
must_check bool window_init(void);

#endif
