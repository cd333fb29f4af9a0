/*
 * Memory that outlives the control VM: records of what the kernel cannot tell its successor. Each record has two copies, of which the older
 * one is written and then made to count by one store, so that a control VM that ends after any instruction leaves the record as it was before
 * or as it is after. The successor believes a copy whose sum is right, and nothing else. Pure.
 */
#ifndef DRIVERS_VM_CONTROL_SURVIVOR_H
#define DRIVERS_VM_CONTROL_SURVIVOR_H

#include "drivers-vm/control/api/audit.h"
#include "drivers-vm/control/config.h"
#include "drivers-vm/control/events.h"
#include "drivers-vm/lib/channel.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum survivor_kind {
	SURVIVOR_HOST,    /* one: driver VM, port, and other single things */
	SURVIVOR_DEVICES, /* one: those of the machine */
	SURVIVOR_STORE,   /* one: all values (store.h) */
	SURVIVOR_IMAGES,  /* one: those that were uploaded */
	SURVIVOR_VM,      /* by the VM's place */
	SURVIVOR_KINDS,
};

#define SURVIVOR_HOST_BYTES   (65536u + 96u * CHANNEL_SLOTS * CONFIG_NICS_MAX) /* names of bridges and tenants grow with the slots */
#define SURVIVOR_IMAGES_BYTES 65536u
#define SURVIVOR_VM_BYTES     3072u

/* Single numbers, each changed by one store. */
struct survivor_head {
	uint64_t magic, bytes; /* of the whole: another build's is not believed */
	uint64_t attempts;     /* to recover, one after the other, of which nobody knows yet that they went well */
	uint64_t making;       /* place + 1 of the VM that is being made, 0: none; and ... */
	uint64_t making_died;  /* ... so many control VMs have died of making it, one after the other */
	uint64_t started_all;  /* 1: the VMs of hilum.toml were started */
	uint64_t clean;        /* so many times everything was begun afresh */
	uint64_t vms;          /* the records of so many VMs, from place 0 on, have memory */
};

/* Of the memory, whole pages. */
size_t survivor_bytes(void);

/* Gives a page that was never touched memory, all zero; false: there is none. */
typedef bool (*survivor_fill)(void *page);

/* Fresh memory, of which no page is there yet. What every control VM needs is filled at once, a VM's record with the first that is put.
 * False: there is not enough. */
bool survivor_make(void *memory, survivor_fill fill);
/* Memory that another control VM has made; false: it is not that. */
bool survivor_find(void *memory, survivor_fill fill);

/* NULL before survivor_make or survivor_find. */
struct survivor_head *survivor_head(void);
struct event_ring *survivor_events(void);
struct audit_rings *survivor_audit(void);

/* Replaces a record; zero bytes: there is none. Nothing happens if it is the same as before. `bytes` is at most what its kind has room for. */
void survivor_put(enum survivor_kind kind, unsigned index, const void *from, size_t bytes);
/* The same for one that is written in place: room for `bytes`, then, when they are there, the commit. NULL: there is no room. */
void *survivor_begin(enum survivor_kind kind, unsigned index, size_t bytes);
void survivor_commit(enum survivor_kind kind, unsigned index, size_t bytes);
/*
 * Adds an entry behind the store's record, without writing the rest anew: room for `bytes`, then, when they are there, the commit. NULL:
 * there is no room, or the record was not put yet; put as a whole it has no entries.
 */
void *survivor_add_begin(size_t bytes);
void survivor_add_commit(size_t bytes);
/* The entries of the record that counts, one after the other; *at is zero at first. NULL: there are no more. Aligned to 8. */
const void *survivor_added(size_t *at, size_t *bytes);
/* The record, which lives until the next change of it but one; NULL: there is none. */
const void *survivor_get(enum survivor_kind kind, unsigned index, size_t *bytes);

#endif
