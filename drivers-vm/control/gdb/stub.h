/*
 * A GDB remote stub for one VM. Pure: the VM is reached through struct gdb_target only, so unit tests put one of their own there.
 * Everything the debugger sends is hostile, and so is what the guest has in its memory and registers.
 *
 * All-stop: while the debugger looks, no vCPU runs; its threads are the vCPUs, thread n + 1 is vCPU n. Every stop is made of
 * HC_VCPU_DEBUG's: software breakpoints are an opcode that raises #UD, steps are RFLAGS.TF and #DB, watchpoints are the debug
 * registers and #DB. What is the guest's own of these is given to the guest.
 */
#ifndef DRIVERS_VM_CONTROL_GDB_STUB_H
#define DRIVERS_VM_CONTROL_GDB_STUB_H

#include "drivers-vm/control/gdb/packet.h"
#include "include/hilum/abi.h"

#define GDB_BREAKS_MAX  64u
#define GDB_WATCHES_MAX 4u /* DR0 to DR3 */

/* The VM. All of it is for vCPUs below `vcpus`; a vCPU is paused whenever its state is read or set. */
struct gdb_target {
	void *opaque;
	unsigned vcpus;         /* at most HILUM_MAX_VCPUS */
	unsigned physical_bits; /* as its CPUID says */
	/* The groups GDB_STATE_GROUPS of it. False: it cannot be had. */
	bool (*get_state)(void *opaque, unsigned vcpu, struct hilum_vcpu_state *out);
	/* The groups of `mask`. False: a value is not possible. */
	bool (*set_state)(void *opaque, unsigned vcpu, const struct hilum_vcpu_state *state, uint32_t mask);
	void (*pause)(void *opaque, unsigned vcpu); /* returns once it runs no more */
	void (*run)(void *opaque, unsigned vcpu);
	int64_t (*set_debug)(void *opaque, unsigned vcpu, uint64_t stops); /* HC_VCPU_DEBUG */
	uint64_t (*stops)(void *opaque);                                   /* debug_stops of struct hilum_vm_status */
	bool (*has_debug_registers)(void *opaque);                         /* they work: hardware breakpoints and watchpoints do */
	/* Guest RAM within one page; NULL: there is none, or something else. */
	uint8_t *(*ram)(void *opaque, uint64_t gpa, size_t bytes);
};

/* Why a vCPU stands still. */
enum gdb_reason {
	GDB_REASON_NONE,   /* nothing that the debugger wants to know of */
	GDB_REASON_PAUSED, /* it asked for it, or another vCPU has stopped */
	GDB_REASON_STEP,
	GDB_REASON_BREAK, /* a software breakpoint */
	GDB_REASON_HARDWARE_BREAK,
	GDB_REASON_WATCH, /* `address` */
	GDB_REASON_CRASH,
};

struct gdb_vcpu {
	bool runs;
	bool steps;        /* for the debugger */
	bool detour;       /* one step of the stub's own: a MOV to CR3 is executed, breakpoints are looked at, and it goes on */
	bool traced;       /* TF was the guest's already */
	bool pushes_flags; /* the instruction under way, and TF with them */
	bool masked;       /* IF was set, and is clear for the step */
	bool lent;         /* DR0 to DR3 and DR7 are the debugger's; its own are here: */
	uint64_t dr[4], dr6, dr7;
	enum gdb_reason reason;
	uint64_t address;
	bool untold; /* the debugger does not know of `reason` yet */
};

/* A software breakpoint. It is planted in memory when its address is mapped; until then it waits for CR3 to change. */
struct gdb_break {
	bool used, planted;
	uint64_t gva, gpa;
	uint8_t original, opcode;
};

enum gdb_watch_kind { GDB_WATCH_EXECUTE = 0, GDB_WATCH_WRITE = 1, GDB_WATCH_ACCESS = 3 }; /* as in DR7 */

struct gdb_watch {
	bool used, reads_only; /* reads_only: asked for as such; the CPU knows accesses only */
	enum gdb_watch_kind kind;
	uint64_t gva;
	unsigned bytes;
};

struct gdb_stub {
	struct gdb_target target;
	struct gdb_link link;
	struct gdb_vcpu vcpu[HILUM_MAX_VCPUS];
	struct gdb_break breaks[GDB_BREAKS_MAX];
	struct gdb_watch watches[GDB_WATCHES_MAX];
	bool waits;            /* the debugger has let it run and waits for a stop */
	bool detached;         /* it goes, or has gone */
	bool crashed;          /* the VM cannot go on */
	bool swbreak, hwbreak; /* the debugger wants stops told apart */
	unsigned general;      /* the vCPU of `g`, `m` and the like */
	unsigned resumed;      /* ... of `c` and `s`; HILUM_MAX_VCPUS: all */
	unsigned listed;       /* threads told so far */
	unsigned held;         /* the vCPU whose state is in `state`; HILUM_MAX_VCPUS: none */
	struct hilum_vcpu_state state;
	char answer[GDB_PACKET_BYTES];
};

/* The debugger is there: every vCPU is paused. */
void gdb_stub_open(struct gdb_stub *stub, const struct gdb_target *target);
/* Bytes from the debugger. */
void gdb_stub_receive(struct gdb_stub *stub, const uint8_t *bytes, size_t count);
/* Bytes for it; returns how many. */
size_t gdb_stub_poll(struct gdb_stub *stub, uint8_t *to, size_t size);
/* The VM's status event has fired. */
void gdb_stub_check(struct gdb_stub *stub);
/* It has crashed, on `vcpu`; its state can still be read. */
void gdb_stub_crash(struct gdb_stub *stub, unsigned vcpu);
/* It has ended and is gone. */
void gdb_stub_end(struct gdb_stub *stub);
/* The debugger has gone, or is sent away: breakpoints are taken out, and all vCPUs run. Nothing if that has been done. */
void gdb_stub_close(struct gdb_stub *stub);
/* Nothing more is to be expected but what gdb_stub_poll still has. */
bool gdb_stub_is_done(const struct gdb_stub *stub);

#endif
