/*
 * A VM of local APICs and a kernel that writes down what they ask of it. Time stands still but for advance(),
 * which calls vlapic_timer_expired at each deadline as the core's timer would.
 */
#ifndef TESTS_UNIT_FAKE_VLAPIC_HARNESS_H
#define TESTS_UNIT_FAKE_VLAPIC_HARNESS_H

#include "kernel/vlapic_internal.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#define MSR(reg) (MSR_X2APIC_FIRST + (reg))

struct machine {
	struct vlapic_bus bus;
	struct vlapic apic[HILUM_MAX_VCPUS];
	uint64_t notified[VLAPIC_NOTIFY_EXTINT + 1]; /* by notice: the targets, as a set of IDs */
	unsigned notices;
	uint64_t timer[HILUM_MAX_VCPUS]; /* host TSC, 0: not set */
	int eoi_vector;                  /* the last level-triggered one, or -1 */
	unsigned eois;
};

extern struct machine m;

/*
 * A fresh VM of `count` APICs, software-enabled, in x2APIC mode if `x2apic`; x2APIC is always allowed. Time
 * starts at 1000.
 */
void machine_init(unsigned count, bool x2apic);
/* Forgets what was noted, not the APICs' state. */
void forget(void);
/* Steps to each deadline on the way. */
void advance(uint64_t ticks);

uint32_t rd(struct vlapic *v, unsigned reg);
void wr(struct vlapic *v, unsigned reg, uint32_t value);
enum status wrmsr_of(struct vlapic *v, uint32_t msr, uint64_t value);
uint64_t rdmsr_of(struct vlapic *v, uint32_t msr);
/* Puts one APIC into `mode` by legal steps. */
void enter_mode(struct vlapic *v, enum vlapic_mode mode);
bool irr_has(const struct vlapic *v, unsigned vector);
/* The set of APICs whose IRR has `vector`; clears it there. */
uint64_t collect(unsigned vector);
/* Takes the next interrupt, or -1. */
int accept_next(struct vlapic *v);
/* What must hold of every APIC at any time. */
void check_invariants(const struct vlapic *v);

uint64_t random64(void);

#endif
