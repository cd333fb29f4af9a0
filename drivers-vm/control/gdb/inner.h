/* What the stub's parts call of each other. */
#ifndef DRIVERS_VM_CONTROL_GDB_INNER_H
#define DRIVERS_VM_CONTROL_GDB_INNER_H

#include "drivers-vm/control/gdb/stub.h"
#include "drivers-vm/control/gdb/text.h"

#define GDB_RFLAGS_TF    (1ull << 8)
#define GDB_RFLAGS_IF    (1ull << 9)
#define GDB_CODE_IS_LONG (1u << 9) /* in a segment's attributes */

/* ---- memory.c: guest-virtual memory as the vCPU in `state` sees it, breakpoints hidden ---------------------------------------- */
/* The state of a paused vCPU, kept until another one is asked for or anything runs. NULL: it cannot be had. */
struct hilum_vcpu_state *gdb_state_of(struct gdb_stub *stub, unsigned vcpu);
/* False: the address is not mapped, or not to RAM. */
bool gdb_memory_translate(struct gdb_stub *stub, const struct hilum_vcpu_state *state, uint64_t gva, uint64_t *gpa);
bool gdb_memory_read(struct gdb_stub *stub, const struct hilum_vcpu_state *state, uint64_t gva, uint8_t *to, size_t count);
bool gdb_memory_write(struct gdb_stub *stub, const struct hilum_vcpu_state *state, uint64_t gva, const uint8_t *from, size_t count);
/* The same by guest-physical address. */
bool gdb_memory_read_physical(struct gdb_stub *stub, uint64_t gpa, uint8_t *to, size_t count);
/* RIP as a linear address. */
uint64_t gdb_linear_rip(const struct hilum_vcpu_state *state);
bool gdb_is_long(const struct hilum_vcpu_state *state);

/* ---- points.c: breakpoints and watchpoints ---------------------------------------- */
/* False: there is no room. */
bool gdb_break_insert(struct gdb_stub *stub, const struct hilum_vcpu_state *state, uint64_t gva);
void gdb_break_remove(struct gdb_stub *stub, uint64_t gva);
/* Plant those whose address is mapped by now. */
void gdb_break_plant_waiting(struct gdb_stub *stub, const struct hilum_vcpu_state *state);
/* Whether one of `opcode`'s kind is planted where the vCPU stands. */
bool gdb_break_is_hit(struct gdb_stub *stub, const struct hilum_vcpu_state *state);
bool gdb_breaks_exist(const struct gdb_stub *stub);
bool gdb_breaks_wait(const struct gdb_stub *stub);
/* INT3 is planted, or may be at any time. Else the guest's own are none of the stub's business. */
bool gdb_breaks_need_int3(const struct gdb_stub *stub);
/* `bytes` is 1, 2, 4 or 8, aligned. False: no room, or not possible. */
bool gdb_watch_insert(struct gdb_stub *stub, enum gdb_watch_kind kind, bool reads_only, uint64_t gva, uint64_t bytes);
void gdb_watch_remove(struct gdb_stub *stub, enum gdb_watch_kind kind, bool reads_only, uint64_t gva, uint64_t bytes);
bool gdb_watches_exist(const struct gdb_stub *stub);
uint64_t gdb_watch_dr7(const struct gdb_stub *stub);
void gdb_points_remove_all(struct gdb_stub *stub);

/* ---- debug_registers.c: the guest's, while the debugger has them ---------------------------------------- */
/* Executes the MOV at RIP on what `vcpu` keeps of the guest's, or has the guest take the exception that it raises. */
void gdb_debug_register_move(struct gdb_stub *stub, struct gdb_vcpu *vcpu, struct hilum_vcpu_state *state);

/* ---- run.c ---------------------------------------- */
enum gdb_action { GDB_ACTION_STAY, GDB_ACTION_CONTINUE, GDB_ACTION_STEP };
/* Let vCPUs go, each as `action` says; a stop is told at once if one is waiting to be. */
void gdb_run(struct gdb_stub *stub, const enum gdb_action action[HILUM_MAX_VCPUS]);
/* All vCPUs are paused. */
void gdb_stop_all(struct gdb_stub *stub);
/* Stop, for the reason `reason` of `vcpu`, and tell. */
void gdb_stop(struct gdb_stub *stub, unsigned vcpu);
void gdb_tell_stop(struct gdb_stub *stub, unsigned vcpu);

/* ---- commands.c, monitor.c ---------------------------------------- */
void gdb_command(struct gdb_stub *stub, const char *packet);
/* `command` is what follows "monitor"; the answer is text. */
void gdb_monitor(struct gdb_stub *stub, const char *command, struct gdb_answer *text);
/* qSupported, qXfer and the rest of q. */
void gdb_query(struct gdb_stub *stub, struct gdb_text *packet, struct gdb_answer *answer);

#endif
