/*
 * CPUID: the VM's own table, or what the machine says where a VM has none: the control VM, which builds the others' tables from that.
 * Nothing in root mode relies on a guest's not knowing of a feature. SDM vol. 2A, CPUID; APM vol. 3, Appendix E.
 */
#include "arch/x86_64/cpu.h"
#include "arch/x86_64/features.h"
#include "arch/x86_64/string.h"
#include "kernel/exit.h"
#include "kernel/vm.h"

sealed uint64_t cpuid_xcr0_mask;

#define LEAF1_ECX_OSXSAVE (1u << 27)
#define LEAF1_EDX_APIC    (1u << 9)

void cpuid_init(void)
{
	if (!cpu_features.xsave)
		return;
	struct cpuid_regs r = cpuid(0xD, 0);
	cpuid_xcr0_mask = r.eax & 7u; /* x87, SSE, AVX */
	if (cpuid_xcr0_mask == 7 && (r.eax & 0xE0) == 0xE0)
		cpuid_xcr0_mask |= 0xE0; /* AVX-512: still inside one page */
}

static inline unsigned first_slot(uint32_t leaf)
{
	return leaf >> 30 << 5 | (leaf & 31);
}

enum status vm_set_cpuid(struct vm *vm, const struct hilum_cpuid_entry *entries, uint32_t count)
{
	struct cpuid_table *table = &vm->cpuid;

	if (vm->started)
		return STATUS_BUSY;
	for (uint32_t i = 0; i < count; i++) {
		const struct hilum_cpuid_entry *e = &entries[i];
		bool known_range = (e->leaf & 0x3FFFFFFF) < 32 || e->leaf - 0x40000000 < 0x200; /* the hypervisor's reach further */
		if (e->leaf >> 30 == 3 || !known_range || (e->flags & ~HILUM_CPUID_SUBLEAF) ||
		    (i > 0 && (e->leaf < e[-1].leaf || (e->leaf == e[-1].leaf && e->subleaf <= e[-1].subleaf))))
			return STATUS_INVALID;
	}
	memset(table->first, 0, sizeof(table->first));
	for (uint32_t i = 0; i < count; i++) {
		table->entry[i] = entries[i];
		uint8_t *first = &table->first[first_slot(entries[i].leaf)];
		if (*first == 0)
			*first = (uint8_t)(i + 1);
	}
	table->entry[count].leaf = UINT32_MAX;
	table->count = count;
	return STATUS_OK;
}

static const struct hilum_cpuid_entry *cpuid_find(const struct vm *vm, uint32_t leaf, uint32_t subleaf)
{
	const struct cpuid_table *table = &vm->cpuid;
	unsigned first = table->first[first_slot(leaf)];

	/* Leaves past 31 of a range (only the hypervisor's own at +100h) share a slot by their low bits: walk on from there. */
	if (first == 0)
		return NULL;
	for (const struct hilum_cpuid_entry *e = &table->entry[first - 1]; e->leaf <= leaf; e++)
		if (e->leaf == leaf && (!(e->flags & HILUM_CPUID_SUBLEAF) || e->subleaf == subleaf))
			return e;
	return NULL;
}

/* Parts that depend on the vCPU and its state. */
static void cpuid_dynamic(struct vcpu *v, uint32_t leaf, uint32_t subleaf, struct cpuid_regs *r)
{
	switch (leaf) {
	case 1:
		r->ebx = (r->ebx & 0x00FFFFFF) | v->index << 24;
		r->ecx &= ~LEAF1_ECX_OSXSAVE;
		if (vcpu_paging(v)->cr4 & CR4_OSXSAVE)
			r->ecx |= LEAF1_ECX_OSXSAVE;
		if (v->apic.mode == VLAPIC_DISABLED) /* SDM vol. 3A, "Enabling or Disabling the Local APIC" */
			r->edx &= ~LEAF1_EDX_APIC;
		break;
	case 0xB:
		r->edx = v->index;
		break;
	case 0xD:
		if (subleaf <= 1 && r->eax != 0)
			r->ebx = cpuid(0xD, subleaf).ebx; /* sizes for the XCR0 in force, which is the guest's */
		break;
	default:
		break;
	}
}

void cpuid_handle(struct vcpu *v, unsigned length)
{
	uint32_t leaf = (uint32_t)v->gpr[0], subleaf = (uint32_t)v->gpr[1];
	struct cpuid_regs r = { 0 };

	if (v->vm->cpuid.count != 0) {
		const struct hilum_cpuid_entry *e = cpuid_find(v->vm, leaf, subleaf);
		if (e != NULL)
			r = (struct cpuid_regs){ e->eax, e->ebx, e->ecx, e->edx };
	} else {
		r = cpuid(leaf, subleaf);
	}
	if (leaf <= 0xD)
		cpuid_dynamic(v, leaf, subleaf, &r);
	v->gpr[0] = r.eax;
	v->gpr[3] = r.ebx;
	v->gpr[1] = r.ecx;
	v->gpr[2] = r.edx;
	vcpu_skip(v, length);
}
