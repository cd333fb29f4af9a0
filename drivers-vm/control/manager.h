/*
 * The VMs as an operator sees them: what the API asks of the control VM. Everything runs on the control VM's one vCPU, and nothing
 * here blocks for longer than making a VM takes. Strings that come in are checked by the caller (config_read_vm, names); strings
 * that go out live until the next call that changes a VM.
 */
#ifndef DRIVERS_VM_CONTROL_MANAGER_H
#define DRIVERS_VM_CONTROL_MANAGER_H

#include "drivers-vm/control/config.h"
#include "drivers-vm/control/vulnerabilities.h"
#include "include/hilum/abi.h"

/* A VM of the configuration file or of the API, running or not. More than can run at once. */
#define MANAGER_VMS_MAX 1024u

#define MANAGER_CONSOLE_BYTES (1u << 20) /* of output are kept for each VM */

enum manager_state {
	MANAGER_SHUTOFF,
	MANAGER_RUNNING,
	MANAGER_PAUSED,  /* by an operator, or by on_poweroff or on_reboot = "preserve" */
	MANAGER_CRASHED, /* preserved, or not started again */
	MANAGER_WAITING, /* will start as soon as there is a driver VM */
};

enum manager_result {
	MANAGER_OK,
	MANAGER_NOT_FOUND,
	MANAGER_CONFLICT, /* not in this state */
	MANAGER_INVALID,  /* what is asked for cannot be: a device, an image or an address that is not there */
	MANAGER_FULL,     /* too many VMs, images or tokens */
	MANAGER_NO_MEMORY,
	MANAGER_FAILED, /* the log says why */
};

/* Why a call failed, for the operator: a sentence, and the configuration's field that it concerns, or "". */
struct manager_error {
	char field[48];
	char detail[200];
};

/* A definition: the configuration with the memory that its strings live in. Made by malloc; free() of `arena` and of itself. */
struct manager_definition {
	struct config_vm config;
	void *arena;
};

struct manager_disk_counts {
	uint64_t read_requests, read_bytes, write_requests, write_bytes, flush_requests, errors;
};

struct manager_nic_counts {
	uint64_t sent_frames, sent_bytes;         /* by the guest */
	uint64_t received_frames, received_bytes; /* by the guest */
	uint64_t refused, dropped;                /* against its policy; without room in its ring */
};

struct manager_vm {
	const struct config_vm *config; /* what it runs with, or would start with */
	enum manager_state state;
	uint64_t version;    /* of the definition: grows with each change; the API's ETag */
	bool change_pending; /* the definition was changed since it was started */
	bool from_file;      /* defined by hilum.toml */
	bool autostart;      /* started with the machine */
	unsigned vcpus;      /* that it has now, or would start with */
	bool core_kept;      /* there is a core file of an earlier end */
	uint64_t started_ns; /* since 1970, or zero */
	char last_exit[64];  /* how it last ended, or "" */
	uint64_t starts, crashes;
};

/* ---- For main.c ---------------------------------------------------------------------------------------------------------------------- */
/* Defines the VMs of hilum.toml; `config` lives for ever. */
void manager_init(const struct config *config);
/* Starts those that shall be started with the machine: hilum.toml's in its order, then others by their names. */
void manager_start_all(void);
/* Time-outs; returns when it must be called again, as manager_clock_ns counts, or zero. */
uint64_t manager_poll(void);
uint64_t manager_clock_ns(void);
/* What is to be done with the machine, now; *next_ns: when to ask again, as manager_clock_ns counts, or zero. */
enum manager_host_end manager_host_end_due(uint64_t *next_ns);
/* That could not be done: VMs may be started again. */
void manager_host_stays(void);
/* There is a driver VM again: those that wait for it start. */
void manager_driver_is_back(void);
/* Whether any VM runs, is paused, or waits. */
bool manager_is_active(void);
/* The slot (guest.h) of a VM that has one; negative: it has none. */
int manager_slot(const char *name);
/* VMs that run and whose definition names this image. */
unsigned manager_image_users(const char *image);

/* ---- Definitions -------------------------------------------------------------------------------------------------------------------- */
unsigned manager_count(void);
/* In the order in which they were defined. False: there is none of this index. */
bool manager_at(unsigned index, struct manager_vm *out);
bool manager_find(const char *name, struct manager_vm *out);
/* Adds or replaces; *created says which. On MANAGER_OK the definition is the manager's, else still the caller's. */
enum manager_result manager_define(struct manager_definition *definition, bool *created, struct manager_error *error);
/* Whether it is started with the machine; changes nothing else of it. *config: its definition, until the next call that changes a VM. */
enum manager_result manager_set_autostart(const char *name, bool enabled, const struct config_vm **config);
/* MANAGER_CONFLICT while it is not shut off. */
enum manager_result manager_undefine(const char *name, struct manager_error *error);

/* What it starts with next: as in manager_find unless a change is pending. NULL: there is no such VM. */
const struct config_vm *manager_defined(const char *name);
/*
 * Changes weight, limits and cores at once, and in the definition: `now` has those of the VM as it runs, `next` those it starts with
 * next. On failure nothing has changed. Nothing is stored.
 */
enum manager_result manager_schedule(const char *name, const struct config_vm *now, const struct config_vm *next,
                                     struct manager_error *error);

/*
 * What becomes of a VM, by what an operator asks for (left) and what it does itself (right):
 *
 *   state   | boot       destroy  reset      pause   resume   button, shutdown, reboot, nmi | power-off    reset      crash
 *   --------+-------------------------------------------------------------------------------+------------------------------------
 *   SHUTOFF | RUNNING *  -        -          -       -        -                             |
 *   RUNNING | -          SHUTOFF  RUNNING *  PAUSED  -        RUNNING                       | on_poweroff  on_reboot  on_crash
 *   PAUSED  | -          SHUTOFF  RUNNING *  -       RUNNING  -                             | the same, if it asked before
 *   CRASHED | RUNNING *  SHUTOFF  RUNNING *  -       -        -                             |
 *   WAITING | -          SHUTOFF  -          -       -        -                             | RUNNING * when there is a driver VM
 *
 * "-" is MANAGER_CONFLICT. *: WAITING while there is no driver VM; SHUTOFF, after a crash CRASHED, if it cannot be made. on_poweroff,
 * on_reboot and on_crash: "destroy" leads to SHUTOFF, after a crash to CRASHED; "restart" to RUNNING *, but not after the fourth crash in
 * a row, each within a minute of the start; "preserve" to PAUSED, after a crash to CRASHED, with its memory kept: such a VM can be
 * destroyed, reset and, if it crashed, booted. A CRASHED one of which nothing is kept can only be booted.
 *
 * A shutdown or reboot that was asked for decides instead of on_poweroff and on_reboot, until its time-out; without one, for five minutes.
 */
/* ---- Life ---------------------------------------------------------------------------------------------------------------------------- */
enum manager_action {
	MANAGER_BOOT,
	MANAGER_POWER_BUTTON, /* the guest's power button is pressed */
	MANAGER_SHUTDOWN,     /* the same; if it still runs after `timeout_ns` it ends as by MANAGER_DESTROY. Zero: never */
	MANAGER_DESTROY,      /* as if the plug were pulled */
	MANAGER_REBOOT,       /* as MANAGER_SHUTDOWN, and starts again then, whatever on_poweroff says */
	MANAGER_RESET,        /* as by the reset button */
	MANAGER_PAUSE,
	MANAGER_RESUME,
	MANAGER_NMI, /* to all its vCPUs */
};
enum manager_result manager_act(const char *name, enum manager_action action, uint64_t timeout_ns, struct manager_error *error);

/*
 * So many vCPUs, until it ends: from 1 to its definition's vcpus_max, which is more than its vcpus. Those that come are there at once;
 * those that shall go when the guest has let go of them. MANAGER_CONFLICT: it does not run, nor is it paused.
 */
enum manager_result manager_set_vcpus(const char *name, unsigned count, struct manager_error *error);

/* So much of its memory, until it ends, by its balloon: bytes. MANAGER_CONFLICT: as above, or it has no balloon. */
enum manager_result manager_set_memory(const char *name, uint64_t bytes, struct manager_error *error);

/* ---- The machine's end --------------------------------------------------------------------------------------------------------------- */
enum manager_host_end {
	MANAGER_HOST_STAYS,
	MANAGER_HOST_POWEROFF,
	MANAGER_HOST_REBOOT,
};
/*
 * All VMs that run end as by MANAGER_SHUTDOWN, without a time-out and where they do not run as by MANAGER_DESTROY; then the machine. Until
 * then whatever would start a VM or keep one from its end is MANAGER_CONFLICT. Asked for again, it is as if it were asked for now.
 */
void manager_end_host(enum manager_host_end how, uint64_t timeout_ns);

/* ---- A debugger ------------------------------------------------------------------------------------------------------------------------ */
/*
 * It wants the VM, which then has a slot, and is neither paused nor resumed by operators. One that is shut off or has crashed is started,
 * but for the first instruction; a paused one counts as running, and stays paused until the debugger lets it run; *ended: one that is
 * kept for a look never will. MANAGER_CONFLICT: it waits for the driver VM, or has a debugger.
 */
enum manager_result manager_debug_begin(const char *name, uint32_t *slot, bool *ended, struct manager_error *error);
/* It lets go. */
void manager_debug_end(uint32_t slot);

/* ---- Core files ------------------------------------------------------------------------------------------------------------------------ */
/*
 * The core file of a VM: the one that its last such end has left, else of the VM itself, if it is paused or kept for a look. Returns a
 * number for the next calls, and in *bytes its size; or negative: - enum manager_result.
 */
int manager_core_open(const char *name, uint64_t *bytes, struct manager_error *error);
/* The next bytes, at most `size`. Zero: that was all. *failed: it cannot be read on, as the VM runs again, or its memory is gone. */
size_t manager_core_read(int session, uint8_t *to, size_t size, bool *failed);
/* `fetched`: all of it was read, and the memory of one that was kept goes. */
void manager_core_close(int session, bool fetched);

/* ---- Figures --------------------------------------------------------------------------------------------------------------------------- */
/* Counts since the VM was started; false: it does not run, or has no such vCPU, disk or card. */
bool manager_vcpu_stats(const char *name, unsigned vcpu, struct hilum_vcpu_stats *out);
bool manager_status(const char *name, struct hilum_vm_status *out);
bool manager_disk_counts(const char *name, unsigned disk, struct manager_disk_counts *out);
bool manager_nic_counts(const char *name, unsigned nic, struct manager_nic_counts *out);
/* What the balloon holds now, bytes. */
uint64_t manager_balloon_bytes(const char *name);

/* The memory of the machine, as guests share it. Bytes. */
struct manager_compaction {
	const char *state;                  /* "idle" or "running" */
	unsigned progress;                  /* percent */
	uint64_t runs, moved_bytes, busy;   /* ever; busy: pieces that could not move because a device was at them */
	uint64_t before_bytes, after_bytes; /* the largest free block, at the last run */
};

struct manager_memory {
	uint32_t overcommit;         /* percent; 100: none */
	uint64_t promised, resident; /* of guests that are populated at first access: what they may have, and what they have */
	uint64_t spare;              /* that can be taken without breaking a promise */
	uint64_t largest_free;       /* block */
	uint64_t saved;              /* by pages that several guests have */
	uint64_t scanned, merged;    /* pages ever, by the search for identical ones */
	struct manager_compaction compaction;
};
void manager_memory(struct manager_memory *out);
/* Moves guests' memory so that free memory comes together. MANAGER_CONFLICT: that goes on already. */
enum manager_result manager_compact(struct manager_error *error);

struct manager_vm_memory {
	uint64_t resident;    /* what it has of the machine's memory */
	uint64_t most, least; /* its limits in force */
	uint64_t balloon_target;
};
/* False: it does not run. */
bool manager_vm_memory(const char *name, struct manager_vm_memory *out);
/* Until it ends. MANAGER_INVALID, MANAGER_NO_MEMORY: they cannot be; MANAGER_CONFLICT: it does not run. */
enum manager_result manager_set_memory_limits(const char *name, uint64_t most, uint64_t least, struct manager_error *error);

struct manager_host {
	struct hilum_host_info info;
	char cpu[49]; /* its brand, from CPUID */
	uint64_t uptime_ns;
	uint64_t wall_clock_ns;   /* since 1970, now */
	const char *driver_state; /* "running", "restarting" or "lost" */
	uint64_t driver_restarts;
	uint64_t control_heap_free, driver_heap_free; /* bytes that the service VMs' heaps have left; the latter as the driver VM says */
	uint64_t control_busy_ns;                     /* that the control VM has not waited for something to do; 0: not counted */
	uint64_t control_restarts;
	uint64_t device_faults; /* accesses of devices that the IOMMU stopped */
	struct hilum_host_health health;
	struct vulnerability_cpu vulnerable; /* what its vulnerabilities depend on, beside that */
	const char *last_log;                /* of the run before this one; empty: nothing is left of it */
	uint32_t watchdog_seconds;           /* 0: there is none, or it is off */
};
void manager_host(struct manager_host *out);
void manager_restart_driver(void);

/* ---- Consoles -------------------------------------------------------------------------------------------------------------------------- */
/*
 * Output of a VM's console, kept over its ends and the driver VM's. Positions count bytes since the VM was defined. Copies up to `size`
 * bytes from *position on, moves it to behind them, and returns how many; what is older than is kept is skipped.
 */
size_t manager_console_read(const char *name, uint64_t *position, uint8_t *to, size_t size);
/* What was written so far; zero: no such VM. */
uint64_t manager_console_end(const char *name);
/* Types; returns how many bytes were taken. */
size_t manager_console_write(const char *name, const uint8_t *bytes, size_t count);

/* ---- Images: what `kernel`, `initrd` and `module` name ------------------------------------------------------------------------------------ */
struct manager_image {
	char name[CONFIG_MODULE_BYTES];
	uint64_t bytes;
	bool uploaded; /* else a boot module, which cannot be removed */
	bool complete;
	unsigned users; /* VMs that run and whose definition names it */
};
bool manager_image_at(unsigned index, struct manager_image *out);
/* Replaces an uploaded one of that name once it is complete. `bytes` is its whole size. Returns a number for the next calls, or negative:
 * - enum manager_result. */
int manager_image_begin(const char *name, uint64_t bytes, struct manager_error *error);
/* Appends; `bytes` beyond what was announced are refused. */
enum manager_result manager_image_append(int upload, const void *bytes, size_t count);
/* Complete when `keep` and all bytes came; else forgotten. */
enum manager_result manager_image_end(int upload, bool keep, struct manager_error *error);
enum manager_result manager_image_remove(const char *name, struct manager_error *error);

/* ---- The kernel's log -------------------------------------------------------------------------------------------------------------------- */
size_t manager_log_read(uint64_t *position, uint8_t *to, size_t size);
/* A line of the log, `before` and `secret`, for who stands at the machine: manager_log_read shows it as asterisks. One is remembered. */
void manager_log_secret(const char *before, const char *secret);

#endif
