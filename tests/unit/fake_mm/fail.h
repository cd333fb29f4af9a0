/*
 * The allocators with failures to order. A test links fail.c with the options in fail.wrap, and defines
 * fake_frames_taken.
 */
#ifndef TESTS_UNIT_FAKE_MM_FAIL_H
#define TESTS_UNIT_FAKE_MM_FAIL_H

#include "arch/x86_64/types.h"

#define FAILING_NONE (-1)
#define FAILING_DONE (-2) /* in failing_after: the failure has happened */

extern int failing_after;     /* so many allocations succeed, the next one fails, later ones succeed;
				 FAILING_NONE: all do */
extern int failing_order_min; /* frame_alloc fails for orders from here; FAILING_NONE: never */

/* Called for each block that frame_alloc gives out. */
void fake_frames_taken(hpa_t hpa, unsigned order);

#endif
