/*
 * Kernel objects and the handle tables that name them.
 *
 * Life: an object is freed when its last reference (handle, mapping, binding, or a pointer held across exits) goes. Handle tables
 * and object life cycles change only under the object lock. Lookups on hot paths take no lock: they read an entry once, and what
 * it points to stays allocated until every core has passed a quiescent point (see object_quiesce), which no core does inside a
 * handler. The object lock is only ever tried: a call that does not get it is restarted by the caller's next VM entry, so a core
 * never waits in root mode for another core's control work.
 */
#ifndef KERNEL_OBJECT_H
#define KERNEL_OBJECT_H

#include <hilum/abi.h>
#include "mm/memory.h"

struct cpu;

enum object_type {
	OBJECT_NONE,
	OBJECT_HOST,
	OBJECT_VM,
	OBJECT_VCPU,
	OBJECT_MEMORY,
	OBJECT_EVENT,
	OBJECT_DEVICE,
};
_Static_assert((int)OBJECT_HOST == HILUM_OBJECT_HOST && (int)OBJECT_DEVICE == HILUM_OBJECT_DEVICE, "they are told by number");

struct object {
	uint32_t refs; /* changed with locked operations */
	uint8_t type;  /* enum object_type */
	bool dead;     /* destroyed; kept only until the last reference goes */
	struct object *next_dead;
};

/* The kernel's side of a memory handle. */
struct memory_object {
	struct object object;
	struct memory memory;
	void *pool_page; /* freed with it, or NULL */
};

/*
 * A memory object with one reference, into which *memory moves; `pool_page` belongs to it from now on, if not NULL. NULL: no memory;
 * *memory was destroyed, the page is still the caller's.
 */
struct memory_object *memory_object_create(struct memory *memory, void *pool_page);

/* The same over a fresh page of the pool, which is handed back in `page` for the kernel's own use. */
struct memory_object *memory_object_of_page(void **page);

/*@ requires \valid(object);
  @ assigns object->refs;
  @*/
static inline void object_ref(struct object *object)
{
	__atomic_add_fetch(&object->refs, 1, __ATOMIC_RELAXED);
}

/*
 * Drop a reference, in any context; NULL is allowed. An object without references is freed at the end of the next control call, after a grace
 * period: pointers that were looked up without a lock stay good until their handler returns.
 */
void object_unref(struct object *object);

bool object_lock_try(void);

/* Frees what has lost its last reference, then releases the lock. */
void object_unlock(struct cpu *self);

/*
 * Wait until each other core has left the handler it may be in: whatever was unpublished before the call is unreachable after it,
 * and every core has seen the new nested page tables. Object lock held. Bounded: no core waits for this one.
 */
void object_quiesce(struct cpu *self);

/* ---- Handle tables ---------------------------------------------------------------------------------------------------- */

#define HANDLES_MAX        4096u
#define HANDLE_TABLE_ORDER 4u /* pool pages: 1 << this */

struct handle_entry {
	struct object *object; /* NULL: free */
	uint16_t generation;
	uint16_t rights; /* HILUM_RIGHT_* */
	uint32_t reserved;
};

struct handle_table {
	struct handle_entry *entry; /* HANDLES_MAX, or NULL before the first */
	uint32_t hint;              /* no free index below it */
};
/*@ predicate handle_table_is_whole(struct handle_table *table) =
  @   table->hint <= HANDLES_MAX && (table->entry == \null || (\valid(table->entry + (0 .. HANDLES_MAX - 1)) &&
  @                                                             \separated(table, table->entry + (0 .. HANDLES_MAX - 1))));
  @ predicate handle_objects_exist(struct handle_table *table) =
  @   table->entry != \null ==> \forall integer i; 0 <= i < HANDLES_MAX && table->entry[i].object != \null ==>
  \valid(table->entry[i].object);
  @ predicate handle_names(struct handle_table *table, integer handle, struct object *object) =
  @   object != \null && table->entry != \null && 0 <= handle <= UINT32_MAX && (uint16_t)handle < HANDLES_MAX &&
  @   table->entry[(uint16_t)handle].object == object && table->entry[(uint16_t)handle].generation == handle >> 16;
  @*/
_Static_assert(HANDLES_MAX * sizeof(struct handle_entry) == PAGE_SIZE << HANDLE_TABLE_ORDER, "a full table");

/*
 * Name `object`, of which the table takes a reference, by the lowest free index. Errors: STATUS_NO_MEMORY (pool, or table full).
 * Object lock held.
 */
/*@ requires \valid(table) && handle_table_is_whole(table) && \valid(object) && \valid(out);
  @ requires \separated(out, table, object);
  @ requires table->entry == \null || \separated(table->entry + (0 .. HANDLES_MAX - 1), out, object);
  @ ensures handle_table_is_whole(table);
  @ ensures \result == STATUS_OK || \result == STATUS_NO_MEMORY;
  @ ensures \result == STATUS_OK ==> handle_names(table, *out, object) && table->entry[(uint16_t)*out].rights == (uint16_t)rights;
  @*/
must_check enum status handle_insert(struct handle_table *table, struct object *object, uint32_t rights, hilum_handle_t *out);

/* Make sure that the next handle_insert succeeds. Errors as there. Object lock held. */
/*@ requires \valid(table) && handle_table_is_whole(table);
  @ assigns *table;
  @ ensures handle_table_is_whole(table);
  @ ensures \result == STATUS_OK || \result == STATUS_NO_MEMORY;
  @ ensures \result == STATUS_OK ==> table->entry != \null && 1 <= table->hint < HANDLES_MAX && table->entry[table->hint].object == \null;
  @*/
must_check enum status handle_reserve(struct handle_table *table);

/*
 * Look up `handle`: it must name an object of `type` (OBJECT_NONE: any) that is not dead, with all of `rights`. No reference is
 * taken: the result is valid until this handler returns. Errors: STATUS_BAD_HANDLE, STATUS_DENIED.
 */
/*@ requires \valid_read(table) && handle_table_is_whole(table) && \valid(out);
  @ requires \separated(out, table) && (table->entry == \null || \separated(out, table->entry + (0 .. HANDLES_MAX - 1)));
  @ requires handle_objects_exist(table);
  @ requires table->entry != \null ==> \forall integer i; 0 <= i < HANDLES_MAX ==> \separated(out, table->entry[i].object);
  @ assigns *out;
  @ ensures \result == STATUS_OK || \result == STATUS_BAD_HANDLE || \result == STATUS_DENIED;
  @ ensures \result == STATUS_OK ==> handle_names(table, handle, *out) && !(*out)->dead && (type == OBJECT_NONE || (*out)->type == type);
  @ ensures \result == STATUS_OK ==> (table->entry[(uint16_t)handle].rights & rights) == rights;
  @ ensures \result != STATUS_OK ==> *out == \old(*out);
  @*/
must_check enum status handle_resolve(const struct handle_table *table, uint64_t handle, enum object_type type, uint32_t rights,
                                      struct object **out);

/* Remove a handle and drop its reference. Error: STATUS_BAD_HANDLE. Object lock held. */
/*@ requires \valid(table) && handle_table_is_whole(table) && handle_objects_exist(table);
  @ requires table->entry != \null ==> \forall integer i; 0 <= i < HANDLES_MAX ==>
  @            \separated(table->entry[i].object, table, table->entry + (0 .. HANDLES_MAX - 1));
  @ ensures handle_table_is_whole(table);
  @ ensures \result == STATUS_BAD_HANDLE || \result == STATUS_OK;
  @ ensures \result == STATUS_OK ==> \forall struct object *o; !handle_names(table, handle, o);
  @*/
must_check enum status handle_close(struct handle_table *table, uint64_t handle);

/* The rights of a valid handle; 0 if it is not valid. */
/*@ requires \valid_read(table) && handle_table_is_whole(table);
  @ assigns \nothing;
  @*/
uint32_t handle_rights(const struct handle_table *table, uint64_t handle);

/* Close all and free the table's pages. Object lock held. */
void handle_table_clear(struct handle_table *table);

#endif
