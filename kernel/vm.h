/* The VM object: an address space, a handle table, trap maps, CPUID table and vCPUs. */
#ifndef KERNEL_VM_H
#define KERNEL_VM_H

#include "arch/x86_64/layout.h"
#include "kernel/object.h"
#include "kernel/range.h"
#include "kernel/vlapic.h"
#include "mm/nested_pt.h"

struct vcpu;
struct event;
struct iommu_domain;

struct cpuid_table {
	uint32_t count;        /* 0: what the kernel offers */
	uint8_t first[4 * 32]; /* of leaves by range (basic, hypervisor, extended) and low bits: index + 1, 0: no such leaf */
	struct hilum_cpuid_entry entry[HILUM_CPUID_MAX + 1]; /* sorted by leaf then subleaf; then one with leaf ~0 */
};

struct vm {
	struct object object;
	uint32_t id;
	uint32_t flags; /* HILUM_VM_* */
	char name[32];
	struct vm *next, **link; /* list of all VMs, and what points here in it */

	struct nested_pt npt;
	struct nested_pt_garbage garbage; /* of pages that kernel/vm_memory.c takes away */
	struct iommu_domain *domain;      /* of its devices: the same memory as npt; or NULL */
	struct range_map *regions;        /* target: struct memory_object *; aux: offset in it | HILUM_MAP_* */
	struct range_map *doorbells;      /* target: struct event * */
	struct handle_table handles;

	bool started;     /* a vCPU has run: CPUID table is fixed */
	bool extint;      /* the 8259A's INTR line */
	uint32_t devices; /* that are assigned to it */

	struct hilum_vm_status status; /* but for table_bytes */
	struct event *status_event;

	struct vm *handler; /* who answers synchronous traps */
	uint64_t badge;
	uint64_t wall_clock_ns; /* since 1970 at host TSC 0 */
	uint64_t clock[4];      /* as in struct hilum_vm_config: the same for each vCPU, so that their clocks agree to the tick */

	struct hilum_shared_page *shared;
	struct memory_object *shared_memory;
	void *io_bitmap; /* 3 pages, only once host ports were granted */

	struct vcpu *vcpu[HILUM_MAX_VCPUS];
	struct vcpu *by_core[CPU_MAX]; /* one that was made for that core, for synchronous traps; any other would do */
	uint8_t waiting[CPU_MAX];      /* vCPUs that wait for that core by weight; that core only */
	struct vlapic_bus bus;
	struct cpuid_table cpuid;
};

#define VM_ID_CONTROL 0u /* the first one that is made */

#define VM_EACH_VCPU(vm, v) \
	for (struct vcpu **v##_at = (vm)->vcpu, *v; v##_at != (vm)->vcpu + HILUM_MAX_VCPUS; v##_at++) \
		if ((v = *v##_at) != NULL)

/*
 * Copy between kernel memory and guest-physical memory of `vm`. Errors: STATUS_FAULT (not all mapped, or not writable); STATUS_BUSY: its
 * frames are being changed, the guest is to come again.
 */
must_check enum status vm_copy_in(struct vm *vm, gpa_t gpa, void *to, uint64_t bytes);
must_check enum status vm_copy_out(struct vm *vm, gpa_t gpa, const void *from, uint64_t bytes);

/*
 * Some pages are out of all VMs for a moment, while their frames change: nobody populates anything. What root mode cannot read of a guest then
 * may be there when the guest executes the instruction again; a core that has met such a page reads true until it leaves its handler.
 */
extern bool vm_pages_move;

/*
 * Give `gpa` a frame if a region with all of `rights` (HILUM_MAP_*) covers it. STATUS_NOT_FOUND: none does; STATUS_NO_MEMORY.
 * Any core, without the object lock.
 */
must_check enum status vm_populate(struct vm *vm, gpa_t gpa, uint32_t rights);

/* The host's address of `gpa`, which is populated if need be. STATUS_FAULT: nothing there with all of `rights`; STATUS_BUSY as above. Any core. */
must_check enum status vm_translate(struct vm *vm, gpa_t gpa, uint32_t rights, hpa_t *hpa);

/* The 8259A pair's INTR line: 0 or 1, anything else is STATUS_INVALID. Any core. */
must_check enum status vm_set_extint(struct vm *vm, uint64_t level);

/* Pool memory charged to `vm`, which will have it until its end; NULL when exhausted. */
void *vm_alloc_pages(struct vm *vm, unsigned order);

/* The rest runs under the object lock. `config->name` is NUL-terminated. */
must_check enum status vm_create(const struct hilum_vm_config *config, struct event *status_event, struct vm **out);
void vm_destroy(struct vm *vm, struct cpu *self); /* not the VM of the calling vCPU */
void vm_free(struct object *object);
must_check enum status vm_map(struct vm *vm, struct memory_object *object, gpa_t gpa, uint64_t offset, uint64_t bytes, uint64_t rights,
                              struct cpu *self);
must_check enum status vm_unmap(struct vm *vm, gpa_t gpa, uint64_t bytes, struct cpu *self);

/*
 * The memory that is mapped writable in [gpa, gpa + bytes) holds nothing of worth: the frames of its whole grains go, in all
 * VMs that map it and for their devices, and come back zeroed on the next use. STATUS_INVALID: size, no one mapping, or not lazy.
 */
must_check enum status vm_discard(struct vm *vm, gpa_t gpa, uint64_t bytes, struct cpu *self);

/* HC_MEMORY_SHARE and HC_MEMORY_MOVE: their results. */
int64_t vm_share(struct memory_object *a, uint64_t a_offset, struct memory_object *b, uint64_t b_offset, uint64_t flags, struct cpu *self);
int64_t vm_move(struct memory_object *object, uint64_t offset, uint64_t flags, uint64_t range, struct cpu *self);
must_check enum status vm_bind_trap(struct vm *vm, struct object *event, uint64_t first, uint64_t last, struct cpu *self);
must_check enum status vm_unbind_trap(struct vm *vm, uint64_t first, struct cpu *self);
must_check enum status vm_set_cpuid(struct vm *vm, const struct hilum_cpuid_entry *entries, uint32_t count);
must_check enum status vm_grant_ports(struct vm *vm, uint64_t first, uint64_t count);
void vm_set_handler(struct vm *vm, struct vm *handler, uint64_t badge);

/*
 * Stop the VM of `vcpu` for a reason of its own making; the register dump goes to the log, the status event fires. Any context. For want of
 * memory at guest-physical `detail` a VM with HILUM_VM_WAIT_MEMORY only waits.
 */
void vm_crash(struct vcpu *vcpu, enum hilum_crash reason, uint64_t detail);

/* A page that is about to be written gets a frame of its own, unless the object lock is taken: the guest comes again. STATUS_NO_MEMORY. */
must_check enum status vm_unshare(struct memory_object *object, uint64_t offset);

extern struct vm *vm_list;

#endif
