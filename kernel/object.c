/* References, the object lock, the grace period, and handle tables. */
#include "kernel/object.h"
#include "arch/x86_64/panic.h"
#include "kernel/cpu.h"
#include "kernel/device.h"
#include "kernel/event.h"
#include "kernel/vcpu.h"
#include "kernel/vm.h"
#include "mm/pool.h"

static uint32_t object_locked;
static struct object *graveyard; /* no references left; freed after a grace period. A stack, pushed from any core. */

static void memory_object_free(struct object *object)
{
	struct memory_object *m = container_of(object, struct memory_object, object);

	memory_destroy(&m->memory);
	pool_free_page(m->pool_page);
	pool_free(m);
}

/* The host is never freed: it keeps a reference to itself. */
static void (*const free_object[])(struct object *object) = {
	[OBJECT_VM] = vm_free,       [OBJECT_VCPU] = vcpu_free,     [OBJECT_MEMORY] = memory_object_free,
	[OBJECT_EVENT] = event_free, [OBJECT_DEVICE] = device_free,
};

struct memory_object *memory_object_create(struct memory *memory, void *pool_page)
{
	struct memory_object *m = pool_alloc(sizeof(*m));

	if (m == NULL) {
		memory_destroy(memory);
		return NULL;
	}
	*m = (struct memory_object){ .object = { .type = OBJECT_MEMORY, .refs = 1 }, .memory = *memory, .pool_page = pool_page };
	return m;
}

struct memory_object *memory_object_of_page(void **page)
{
	void *fresh = pool_alloc_page();
	struct memory_object *m = NULL;
	struct memory memory;

	if (fresh != NULL && memory_wrap_frames(pool_hpa(fresh), PAGE_SIZE, true, &memory) == STATUS_OK)
		m = memory_object_create(&memory, fresh);
	if (m == NULL)
		pool_free_page(fresh);
	*page = fresh;
	return m;
}

/*@ requires object == \null || (\valid(object) && \separated(object, &graveyard));
  @ assigns object->refs, object->next_dead, graveyard;
  @*/
void object_unref(struct object *object)
{
	if (object == NULL || __atomic_sub_fetch(&object->refs, 1, __ATOMIC_ACQ_REL) != 0)
		return;
	object->next_dead = __atomic_load_n(&graveyard, __ATOMIC_RELAXED);
	/*@ loop assigns object->next_dead, graveyard; */
	while (!__atomic_compare_exchange_n(&graveyard, &object->next_dead, object, false, __ATOMIC_RELEASE, __ATOMIC_RELAXED))
		;
}

bool object_lock_try(void)
{
	return __atomic_exchange_n(&object_locked, 1, __ATOMIC_ACQUIRE) == 0;
}

void object_unlock(struct cpu *self)
{
	struct object *dead;

	while ((dead = __atomic_exchange_n(&graveyard, NULL, __ATOMIC_ACQUIRE)) != NULL) {
		object_quiesce(self);
		while (dead != NULL) {
			struct object *next = dead->next_dead;
			assert(dead->type < ARRAY_SIZE(free_object) && free_object[dead->type] != NULL);
			free_object[dead->type](dead); /* may bury others */
			dead = next;
		}
	}
	__atomic_store_n(&object_locked, 0, __ATOMIC_RELEASE);
}

void object_quiesce(struct cpu *self)
{
	uint64_t seen[CPU_MAX];

	self->epoch++;
	__atomic_thread_fence(__ATOMIC_SEQ_CST); /* what was unpublished is so for everybody before an epoch is read */
	for (uint32_t i = 0; i < cpu_count; i++) {
		seen[i] = __atomic_load_n(&cpu_table[i]->epoch, __ATOMIC_ACQUIRE);
		if (cpu_table[i] != self)
			cpu_kick(cpu_table[i]);
	}
	for (uint32_t i = 0; i < cpu_count; i++)
		while (cpu_table[i] != self && __atomic_load_n(&cpu_table[i]->epoch, __ATOMIC_ACQUIRE) == seen[i])
			cpu_pause();
}

/* ---- Handle tables: index in bits 15:0, generation in bits 31:16; a generation moves on at each close ------------------------- */

/*
 * The object that `handle` names, or NULL. A close moves the generation on before it clears the pointer, and an insertion stores
 * the pointer last: whoever reads a newer object than the handle's also reads a newer generation.
 */
/*@ requires \valid_read(table) && handle_table_is_whole(table) && \valid(out);
  @ requires \separated(out, table) && (table->entry == \null || \separated(out, table->entry + (0 .. HANDLES_MAX - 1)));
  @ assigns *out;
  @ ensures \result != \null ==> handle_names(table, handle, \result) && *out == &table->entry[(uint16_t)handle];
  @ ensures \result == \null ==> *out == \old(*out);
  @ ensures \result == \null ==> \forall struct object *o; !handle_names(table, handle, o);
  @*/
static struct object *object_named(const struct handle_table *table, uint64_t handle, struct handle_entry **out)
{
	bool possible = table->entry != NULL && handle <= UINT32_MAX && (uint16_t)handle < HANDLES_MAX;
	struct handle_entry *entry = possible ? &table->entry[(uint16_t)handle] : NULL;
	struct object *object = possible ? __atomic_load_n(&entry->object, __ATOMIC_ACQUIRE) : NULL;

	if (object == NULL || __atomic_load_n(&entry->generation, __ATOMIC_ACQUIRE) != handle >> 16)
		return NULL;
	*out = entry;
	return object;
}

enum status handle_reserve(struct handle_table *table)
{
	uint32_t index = table->hint != 0 ? table->hint : 1;

	if (table->entry == NULL)
		table->entry = pool_alloc_pages(HANDLE_TABLE_ORDER);
	/*@ admit pool_gives_a_table: handle_table_is_whole(table); */
	/*@ loop invariant 1 <= index <= HANDLES_MAX;
	  @ loop invariant table->entry != \null ==> \forall integer i; \max(1, \at(table->hint, LoopEntry)) <= i < index ==>
	  table->entry[i].object != \null;
	  @ loop assigns index;
	  @ loop variant HANDLES_MAX - index;
	  @*/
	while (table->entry != NULL && index < HANDLES_MAX && table->entry[index].object != NULL)
		index++;
	table->hint = index;
	return table->entry != NULL && index < HANDLES_MAX ? STATUS_OK : STATUS_NO_MEMORY;
}

enum status handle_insert(struct handle_table *table, struct object *object, uint32_t rights, hilum_handle_t *out)
{
	enum status status = handle_reserve(table);

	if (status != STATUS_OK)
		return status;
	struct handle_entry *entry = &table->entry[table->hint];
	entry->rights = (uint16_t)rights;
	object_ref(object);
	__atomic_store_n(&entry->object, object, __ATOMIC_RELEASE);
	*out = table->hint++ + ((uint32_t)entry->generation << 16);
	return STATUS_OK;
}

enum status handle_resolve(const struct handle_table *table, uint64_t handle, enum object_type type, uint32_t rights, struct object **out)
{
	struct handle_entry *entry;
	struct object *object = object_named(table, handle, &entry);

	if (object == NULL || (type != OBJECT_NONE && object->type != type) || object->dead)
		return STATUS_BAD_HANDLE;
	if ((entry->rights & rights) != rights)
		return STATUS_DENIED;
	*out = object;
	return STATUS_OK;
}

uint32_t handle_rights(const struct handle_table *table, uint64_t handle)
{
	struct handle_entry *entry;

	return object_named(table, handle, &entry) != NULL ? entry->rights : 0;
}

/*@ requires \valid(entry) && \valid(entry->object) && \separated(entry, entry->object, &graveyard);
  @ assigns entry->generation, entry->object, entry->object->refs, entry->object->next_dead, graveyard;
  @ ensures entry->object == \null && entry->generation == (uint16_t)(\old(entry->generation) + 1);
  @*/
static void entry_close(struct handle_entry *entry)
{
	struct object *object = entry->object;

	entry->generation++;
	__atomic_store_n(&entry->object, NULL, __ATOMIC_RELEASE);
	object_unref(object);
}

enum status handle_close(struct handle_table *table, uint64_t handle)
{
	struct handle_entry *entry;

	if (object_named(table, handle, &entry) == NULL)
		return STATUS_BAD_HANDLE;
	uint16_t index = (uint16_t)handle;
	if (index < table->hint)
		table->hint = index;
	entry_close(entry);
	return STATUS_OK;
}

void handle_table_clear(struct handle_table *table)
{
	/*@ loop invariant 1 <= i <= HANDLES_MAX;
	  @ loop variant HANDLES_MAX - i;
	  @*/
	for (unsigned i = 1; table->entry != NULL && i < HANDLES_MAX; i++)
		if (table->entry[i].object != NULL)
			entry_close(&table->entry[i]);
	pool_free_pages(table->entry, HANDLE_TABLE_ORDER);
	table->entry = NULL;
	table->hint = 0;
}
