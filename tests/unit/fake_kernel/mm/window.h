/* Windows onto the fake machine's memory: all of it is there anyway. Stands in for the real header by include order. */
#ifndef MM_WINDOW_H
#define MM_WINDOW_H

#include "arch/x86_64/layout.h"

#define WINDOW_SLOTS     16u
#define WINDOW_SLOT_ZERO 15u
#define WINDOW_SLOT_READ 14u

/* Fails the test for a frame that is not RAM. */
void *window_map(cpu_id_t cpu, unsigned slot, hpa_t frame);
void window_clear(cpu_id_t cpu);
void window_zero_frames(hpa_t hpa, unsigned order);

#endif
