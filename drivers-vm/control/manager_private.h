/* What the manager's files share: the table of VMs. */
#ifndef DRIVERS_VM_CONTROL_MANAGER_PRIVATE_H
#define DRIVERS_VM_CONTROL_MANAGER_PRIVATE_H

#include "drivers-vm/control/console.h"
#include "drivers-vm/control/manager.h"

/* What an operator has asked of the guest and is to come about by the guest itself. */
enum manager_intent {
	MANAGER_INTENT_NONE,
	MANAGER_INTENT_OFF,
	MANAGER_INTENT_AGAIN, /* off, and started again */
};

struct manager_entry {
	struct manager_definition *defined;
	struct manager_definition *taken; /* what its slot was taken for: `defined`, or an older one; NULL: it has no slot */
	uint64_t version;
	uint64_t order;                   /* of its definition among all */
	unsigned place;                   /* of its console; unique. By manager_entry_set_place */
	int slot;                         /* of guest.h; negative: none. By manager_entry_set_slot */
	struct manager_entry *next_named; /* in the table of names */
	bool from_file;                   /* `defined` is hilum.toml's */
	bool named;                       /* in hilum.toml */
	enum manager_state state;
	bool preserved;      /* its slot holds a guest that has ended */
	bool debugged;       /* by gdb.h: which runs and stops its vCPUs */
	uint64_t started_ns; /* wall clock */
	uint64_t made_ns;    /* manager_clock_ns at that time */
	char last_exit[64];
	uint64_t starts, crashes;
	uint64_t moves;          /* grows whenever its vCPUs may have begun to run */
	struct coredump *core;   /* of an end that asked for it; NULL: none */
	uint64_t core_ns;        /* manager_clock_ns when that was taken */
	unsigned crashes_in_row; /* each soon after a start */
	enum manager_intent intent;
	bool intent_forces; /* at its end: as if the plug were pulled; else it is forgotten */
	uint64_t intent_end_ns;
	struct console console;
};

struct manager_entry *manager_entry_find(const char *name);
struct manager_entry *manager_entry_of_slot(uint32_t slot);
/* It has this slot from now on; negative: none. */
void manager_entry_set_slot(struct manager_entry *e, int slot);
/* NULL behind the last one. */
struct manager_entry *manager_entry_at(unsigned index);
/* It has this place from now on, which is free; MANAGER_VMS_MAX: none, for now. */
void manager_entry_set_place(struct manager_entry *e, unsigned place);
/* Gives its slot back, if it has one, with all that is in it. */
void manager_entry_leave(struct manager_entry *e);

/* Whether it is started with the machine. */
bool manager_entry_starts(const struct manager_entry *e);

/* manager_end.c: an operator has asked for the machine's end. */
bool manager_host_ends(void);

/* ---- manager_core.c: core files that are kept --------------------------------------------------------------------------------- */
/* Of its guest, which stands still, instead of an older one. */
void manager_core_take(struct manager_entry *e);
/* Gives its memory back; nothing if there is none. */
void manager_core_drop(struct manager_entry *e, const char *why);
/* Gives the memory of the oldest one back; false: there is none. */
bool manager_core_drop_oldest(void);
/* Drops those that nobody has fetched for too long; returns when it must be called again, or zero. */
uint64_t manager_core_poll(uint64_t now_ns);
/* Versions that are given from now on are higher. */
void manager_skip_versions(uint64_t version);
uint64_t manager_next_version(void);
/* Into the order of their definition, when entries were given another control VM's numbers. */
void manager_sort_entries(void);
/* Leaves the definition out that hilum.toml has, and an operator has taken away in this run. */
void manager_entry_drop(struct manager_entry *e);

/* MANAGER_CONFLICT, and in *error which state it is in. */
enum manager_result manager_conflict(const struct manager_entry *e, struct manager_error *error);
/* Fills *error; returns `result`. */
enum manager_result manager_refuse(struct manager_error *error, enum manager_result result, const char *field, const char *format, ...)
	__attribute__((format(printf, 4, 5)));

/* Since 1970. */
uint64_t manager_wall_clock_ns(void);

#endif
