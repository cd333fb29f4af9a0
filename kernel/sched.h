/*
 * Scheduling, per core. vCPUs of service VMs run first, within their budget; then those that have a reservation left, each in order of
 * arrival; the others share by weight: each advances in virtual time at a pace inverse to its weight, and the one that is furthest
 * behind runs. Caps hold over any second. Time comes in as a parameter. A core's queues are touched by that core only; what others may
 * read of it are estimates (kernel/cpu.h).
 *
 * Between cores: a core that has nothing to do gets what waits elsewhere and may move, at once or within a slice; and among busy cores
 * vCPUs change places every SCHED_BALANCE_NS, so that those that may move get shares by weight of the whole machine, not of one core.
 */
#ifndef KERNEL_SCHED_H
#define KERNEL_SCHED_H

#include "kernel/cpu.h"

#define SCHED_WEIGHT_DEFAULT 256u
#define SCHED_WEIGHT_MAX     65535u
#define SCHED_BUDGET_DEFAULT 900u /* of service VMs */
#define SCHED_SLICE_NS       4000000ull
#define SCHED_BALANCE_NS     20000000ull
#define SCHED_SPUN_NS        250000ull /* where each PAUSE exits: the turn after one in which it did, in which none does */

/*
 * A vCPU of a higher rank that becomes ready waits this long at most for a guest on its core: long enough for a guest to ring a doorbell
 * and go on, short against anything a device does.
 */
#define SCHED_REALTIME_DELAY_NS 20000ull
#define SCHED_PROMPT_MAX        63u /* times at most that it does not wait for one that mostly halts before the delay is over */

enum sched_rank { SCHED_SERVICE, SCHED_RESERVED, SCHED_BY_WEIGHT };
enum sched_capped { SCHED_FREE, SCHED_CAPPED, SCHED_CAPPED_AND_READY };

/* Cores that have nothing to do and would take a vCPU, by bit; cores that are one vCPU's alone (object lock). */
extern uint64_t sched_idle_cores, sched_dedicated_cores;

/* Put a vCPU of this core into its queue unless it is there, or is the one that runs. */
void sched_wake(struct cpu *cpu, struct vcpu *v, uint64_t now_tsc);

/* A guest of this core halts: if one of a higher rank waits for it, it was not worth the wait. */
void sched_guest_halts(struct vcpu *guest);

/* The one that runs spins: let another of its VM run, which may have what it spins for. */
void sched_spins(struct vcpu *v) rare;

/* It will wait no longer, or elsewhere: if it has waited in its queue that is counted. */
void sched_end_wait(struct vcpu *v, uint64_t now_tsc);

/* Take it out of the queues. */
void sched_remove(struct cpu *cpu, struct vcpu *v);

/* Choose who runs next and take it out of its queue, or NULL; arms the slice if somebody else waits. */
struct vcpu *sched_pick(struct cpu *cpu, uint64_t now_tsc);

/* Charge the time since the last switch to `cpu->charged`'s account. */
void sched_account(struct cpu *cpu, uint64_t now_tsc);

/* Another core has kicked: it may want what waits here, or the other half of this one. */
void sched_look(struct cpu *cpu);

/* ---- Limits: kernel/sched_limit.c. Own core -------------------------------------------------------------------------------- */

/* Take weight, cap and right from `v->schedule`. */
void sched_limit_init(struct vcpu *v, uint64_t now_tsc) rare;

/* It has run for so many ticks up to now: whether it is capped, its rank, and when to look again. */
void sched_limit(struct cpu *cpu, struct vcpu *v, uint64_t ran_tsc, uint64_t now_tsc);

/*
 * How long one that has a cap may run. A right to run before others has no such end: who uses it up goes on until his slice ends, which
 * there is if anybody waits.
 */
uint64_t sched_limit_left(const struct vcpu *v);

/* ---- Places: kernel/sched_place.c ------------------------------------------------------------------------------------------- */

/* A new vCPU's parameters and core (HILUM_CORE_ANY: one with little to do). STATUS_BUSY: that, or each, is another's alone. */
must_check enum status sched_init_vcpu(struct vcpu *v, uint64_t core, uint32_t weight) rare;

/*
 * HC_VCPU_SCHEDULE. STATUS_INVALID: a value, or no such core; STATUS_BUSY: no core can promise that. Object lock held.
 */
must_check enum status sched_set(struct vcpu *v, const struct hilum_schedule *schedule) rare;

/* It ends: what was promised to it is free. Object lock held. */
void sched_release(struct vcpu *v) rare;

/* Whether `v` may run on this core; if not, where it should go, `from` before others that have no more to do. */
bool sched_fits(const struct cpu *cpu, const struct vcpu *v);
struct cpu *sched_place(const struct vcpu *v, uint32_t from) rare;

/* Own core: give `v` away, with a start of `credit` in virtual time. */
void sched_give(struct cpu *cpu, struct vcpu *v, struct cpu *to, uint64_t credit, uint64_t now_tsc) rare;
/* ... what waits, to idle cores; when a vCPU was chosen, to one that is further ahead. */
void sched_share(struct cpu *cpu, uint64_t now_tsc) rare;
void sched_balance(struct cpu *cpu, uint64_t now_tsc) rare;
/* This core has nothing to do, others may have. */
void sched_rest(struct cpu *cpu) rare;

/* ---- Hyper-threads: kernel/sched_smt.c ------------------------------------------------------------------------------------- */

/* Whether threads of one core run one VM only. */
extern bool sched_cores_are_one_vms;
void sched_core_set(bool on) rare;
/* Thread `cpu` is about to run `v`: false if it may not now; it is kicked when it is worth another try. _leave: it runs it no more. */
bool sched_core_enter(struct cpu *cpu, const struct vcpu *v) rare;
void sched_core_leave(struct cpu *cpu) rare;
/* It has nothing to run: it does not wait for the core any more. */
void sched_core_forget(struct cpu *cpu) rare;

#endif
