/* What hypercall.c and call_objects.c share. */
#ifndef KERNEL_CALL_H
#define KERNEL_CALL_H

#include "kernel/device.h"
#include "kernel/event.h"
#include "kernel/vcpu.h"

/* Results and errors are what RAX gets: the values of enum status are the ABI's. */
#define TRY(expression) \
	do { \
		enum status try_status = (expression); \
		if (try_status != STATUS_OK) \
			return try_status; \
	} while (0)

static inline struct event *as_event(struct object *o)
{
	return o != NULL ? container_of(o, struct event, object) : NULL;
}

static inline struct vm *as_vm(struct object *o)
{
	return o != NULL ? container_of(o, struct vm, object) : NULL;
}

static inline enum status call_resolve(struct vcpu *v, uint64_t handle, enum object_type type, uint32_t rights, struct object **out)
{
	return handle_resolve(&v->vm->handles, handle, type, rights, out);
}

/* For an argument that may be 0 for none. */
static inline enum status call_resolve_optional(struct vcpu *v, uint64_t handle, enum object_type type, uint32_t rights,
                                                struct object **out)
{
	*out = NULL;
	return handle != 0 ? call_resolve(v, handle, type, rights, out) : STATUS_OK;
}

/* A handle for an object that has an owner. */
static inline int64_t call_name_owned(struct vcpu *v, struct object *object)
{
	hilum_handle_t handle;

	TRY(handle_insert(&v->vm->handles, object, HILUM_RIGHT_ALL, &handle));
	return handle;
}

/* A new object's first reference becomes the handle's; on failure the object goes. */
static inline int64_t call_name_new(struct vcpu *v, struct object *object)
{
	int64_t handle = call_name_owned(v, object);

	object_unref(object);
	return handle;
}

/* What HC_* call `number` of `v` does with the object that its first argument has named; `a` are all six. The result, or an error. */
int64_t call_on_host(struct vcpu *v, uint64_t number, const uint64_t *a);
int64_t call_on_memory(struct vcpu *v, struct memory_object *m, uint64_t number, const uint64_t *a);
int64_t call_on_vcpu(struct vcpu *v, struct vcpu *vcpu, uint64_t number, const uint64_t *a);
int64_t call_on_device(struct vcpu *v, struct device *device, uint64_t number, const uint64_t *a);

#endif
