/* The structures are written into guest memory through a window; nothing is ever read back from them. */
#include "kernel/pvclock.h"
#include "kernel/vm.h"

struct pvclock_wall {
	uint32_t version, seconds, nanoseconds;
};

struct pvclock_steal {
	uint64_t steal; /* ns */
	uint32_t version, flags;
	uint8_t preempted, pad[47];
};
_Static_assert(sizeof(struct pvclock_steal) == 64, "KVM's layout");

static enum status write_wall_clock(struct vcpu *v, gpa_t gpa)
{
	uint64_t guest_start_tsc = 0 - v->apic.tsc_offset; /* host TSC at guest TSC 0 */
	uint64_t ns = v->vm->wall_clock_ns + tsc_to_ns(guest_start_tsc);
	struct pvclock_wall w = { 2, (uint32_t)(ns / 1000000000ull), (uint32_t)(ns % 1000000000ull) };

	return vm_copy_out(v->vm, gpa, &w, sizeof(w));
}

void pvclock_update_steal(struct vcpu *v)
{
	struct pvclock_steal s = { .steal = tsc_to_ns(v->stats.ready_tsc), .version = 2 };

	if (vm_copy_out(v->vm, v->kvm[KVM_STEAL_TIME] & ~63ull, &s, sizeof(s)) == STATUS_FAULT)
		v->kvm[KVM_STEAL_TIME] = 0; /* the guest took the page away: nothing to tell any more */
}

uint64_t *pvclock_register(struct vcpu *v, uint32_t msr)
{
	uint32_t n = msr - MSR_KVM_FIRST;

	return v->vm->flags & HILUM_VM_KVM_LEAVES && n < KVM_MSR_COUNT && n != 2 ? &v->kvm[n] : NULL;
}

enum status pvclock_write(struct vcpu *v, uint64_t *reg, uint64_t value)
{
	static const uint32_t no_offer;

	if ((reg == &v->kvm[KVM_STEAL_TIME] && (value & 0x3E)) || (reg == &v->kvm[KVM_PV_EOI] && (value & 2)))
		return STATUS_INVALID;
	*reg = value;
	if (reg == &v->kvm[KVM_WALL_CLOCK])
		return write_wall_clock(v, value);
	if (!(value & 1))
		return STATUS_OK;
	if (reg == &v->kvm[KVM_SYSTEM_TIME])
		return vm_copy_out(v->vm, value & ~1ull, v->vm->clock, sizeof(v->vm->clock));
	if (reg == &v->kvm[KVM_PV_EOI])
		return vm_copy_out(v->vm, value & ~1ull, &no_offer, sizeof(no_offer));
	pvclock_update_steal(v);
	return STATUS_OK;
}
