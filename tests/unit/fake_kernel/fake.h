/*
 * A machine for the tests of kernel/: the real objects, VMs, scheduler and memory management on one to CORES_MAX pretended cores,
 * with a recording backend in SVM's and VMX's place. Time moves by fake_advance and by what a pretended guest takes. Freed pool
 * pages are poisoned, so that ASan sees a use after free.
 */
#ifndef TESTS_UNIT_FAKE_KERNEL_FAKE_H
#define TESTS_UNIT_FAKE_KERNEL_FAKE_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "kernel/event.h"
#include "kernel/exit.h"
#include "arch/x86_64/trap.h"
#include "kernel/forward.h"
#include "kernel/host.h"
#include "kernel/sched.h"
#include "kernel/start.h"
#include "kernel/virt_ops.h"
#include "mm/memory.h"
#include "mm/pool.h"

#define CORES_MAX 4u
#define TSC_HZ    1000000000ull /* a tick is a nanosecond */

#define KIB 1024ull
#define MIB (1024 * KIB)

/* The backend's part of a vCPU, and what was done to it. */
struct fake_backend {
	struct vcpu_paging paging;
	uint64_t cr2;
	unsigned loads, unloads, fpu_saves, single_steps, dumps, entries;
	uint64_t event; /* injected at the last entry, and whether a window was open */
	bool window, watches_pause;
	struct hilum_vcpu_state state; /* as set_state left it */
	uint32_t state_mask;
};

/* Boots `cores` cores and makes the control VM `control` with one vCPU `caller` on core 0, which holds the handles below. */
void fake_boot(unsigned cores);
/* Ends every VM but the control VM and checks that nothing is left behind: pool, frames, references. Then forgets the machine. */
void fake_check_clean(void);

extern struct vm *control;
extern struct vcpu *caller;

#define SELF_HANDLE HILUM_HANDLE_SELF
#define HOST_HANDLE HILUM_HANDLE_HOST

/* Where the control VM keeps arguments: CONTROL_BYTES of memory from guest-physical 0. */
#define CONTROL_BYTES (64 * KIB)
uint8_t *control_memory(void);

/* A hypercall of `caller` with number and up to six arguments; its result. */
int64_t call(const uint64_t words[7]);
#define CALL(...)        call((const uint64_t[7]){ __VA_ARGS__ })
#define CALL_OK(...)     assert_int_equal(CALL(__VA_ARGS__), 0)
#define CALL_HANDLE(...) fake_handle(CALL(__VA_ARGS__))
/* A result that must be a handle. */
hilum_handle_t fake_handle(int64_t result);

/* Objects by hypercall. */
hilum_handle_t make_vm(uint32_t flags);
hilum_handle_t make_memory(uint64_t bytes);
/* A vCPU of the VM and its handle. */
struct vcpu *make_vcpu(hilum_handle_t vm, uint32_t index, uint32_t core, hilum_handle_t *handle);
struct vm *vm_of(hilum_handle_t handle);
struct event *event_of(hilum_handle_t handle);

/* ---- Cores and time ---- */

/* What a pretended guest does each time its vCPU is entered. Returns the ticks that it takes; NULL: 1000 and nothing else. */
extern uint64_t (*fake_guest)(struct vcpu *v);

/* Be core `id` from now on. */
void fake_become(unsigned id);
/* Run core `id`'s main loop until it idles, or for `entries` (at least 1) entries of a guest. Pending interrupts are taken. */
void fake_run(unsigned id, unsigned entries);
/* All cores until all idle. */
void fake_settle(void);
/* Time passes; the timers of all cores that fall due are taken. */
void fake_advance(uint64_t ticks);
/* While one core spins the others pass a quiescent point; first they take their interrupts, unless this says they do it later. */
extern bool fake_others_are_late;
extern void (*fake_on_spin)(void); /* NULL, or called each time that root mode looks again */

extern unsigned fake_kicks[CORES_MAX], fake_posts[CORES_MAX], fake_powered;
extern uint64_t fake_deadline[CORES_MAX];
extern unsigned fake_log_lines, fake_control_restarts;
extern char fake_log_last[256];
/* What root mode did about speculation; what the banks say at the next #MC; how the run is said to end. */
extern uint64_t fake_spec_ctrl;
extern unsigned fake_vm_changes, fake_predictor_barriers;
extern enum machine_check fake_machine_check;
extern enum hilum_end fake_end;
extern uint32_t fake_gsi_unmasked, fake_gsi_masked, fake_gsi_routed;

static inline struct fake_backend *backend_of(const struct vcpu *v)
{
	return v->backend;
}

/* Allocations of pages, objects and guest frames: so many succeed, the next one fails, later ones succeed or, with failing_on, do
 * not. */
extern int failing_after;
extern bool failing_on;
#define FAILING_NONE (-1)
#define FAILING_DONE (-2) /* the failure has happened */

/* Repeatable. */
uint64_t fake_random(void);

#endif
