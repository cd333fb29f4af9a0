/*
 * CPUID: the VM's own table, or the limits of this kernel where a VM has none (the control VM, which builds the others' tables
 * from what it sees). Every table is cut down to these limits when it is uploaded, so a table can hide features, never invent them.
 * SDM vol. 2A, CPUID; APM vol. 3, Appendix E.
 */
#include "arch/x86_64/cpu.h"
#include "arch/x86_64/features.h"
#include "arch/x86_64/string.h"
#include "kernel/exit.h"
#include "kernel/vm.h"

sealed uint64_t cpuid_xcr0_mask;

/* Feature words that may pass, by what the kernel virtualises; bits not named here are hidden. */
#define LEAF1_ECX            0x7EDA3203u /* SSE3 PCLMUL SSSE3 FMA CX16 PCID SSE4.1 SSE4.2 MOVBE POPCNT AES XSAVE OSXSAVE AVX F16C RDRAND */
#define LEAF1_EDX            0x078BAB7Fu /* FPU VME DE PSE TSC MSR PAE CX8 APIC SEP PGE CMOV PAT PSE36 CLFSH MMX FXSR SSE SSE2 */
#define LEAF7_EBX            0xF1BF07A9u /* FSGSBASE BMI1 AVX2 SMEP BMI2 ERMS INVPCID AVX512* RDSEED ADX SMAP IFMA CLFLUSHOPT CLWB SHA */
#define LEAF7_ECX            0x00405F46u /* VBMI UMIP VBMI2 GFNI VAES VPCLMUL VNNI BITALG VPOPCNTDQ RDPID */
#define LEAF7_EDX            0xAC000510u /* FSRM VP2INTERSECT MD_CLEAR IBRS STIBP ARCH_CAPABILITIES SSBD */
#define LEAFD1_EAX           0x00000007u /* XSAVEOPT XSAVEC XGETBV1 */
#define EXT1_ECX             0x000001E1u /* LAHF ABM SSE4A MisAlignSse 3DNowPrefetch */
#define EXT1_EDX             0x2DD3AB7Fu /* SysCallSysRet NX MmxExt Page1GB RDTSCP LM, and the copies of leaf 1 */
#define EXT8_EBX             0x050FD000u /* IBPB IBRS STIBP and what is to be known of them, SSBD SSB_NO */
#define LEAF1_ECX_X2APIC     (1u << 21)
#define LEAF1_ECX_DEADLINE   (1u << 24)
#define LEAF1_ECX_OSXSAVE    (1u << 27)
#define LEAF1_ECX_HYPERVISOR (1u << 31)
#define LEAF1_EDX_APIC       (1u << 9)

#define ALL 0xFFFFFFFFu

/* Leaves that pass, from 0 and from 80000000h; all others are hidden. */
#define BASIC_PASSED    (1u << 0 | 1u << 1 | 1u << 2 | 1u << 4 | 1u << 7 | 1u << 0xD)
#define EXTENDED_PASSED 0x1FFu

/* What of them does not pass whole, ANDed with these words. */
static const struct {
	uint32_t leaf;
	struct cpuid_regs mask;
} masked[] = {
	{ 1, { ALL, 0x0000FF00, LEAF1_ECX, LEAF1_EDX } }, { 7, { 0, LEAF7_EBX, LEAF7_ECX, LEAF7_EDX } },
	{ 0x80000001, { ALL, 0, EXT1_ECX, EXT1_EDX } },   { 0x80000007, { 0, 0, 0, 1u << 8 } },
	{ 0x80000008, { 0xFFFF, EXT8_EBX, 0, 0 } },
};

static struct cpuid_regs limit(uint32_t leaf, uint32_t subleaf)
{
	struct cpuid_regs r = { 0 };

	if ((leaf < 32 && BASIC_PASSED >> leaf & 1) || (leaf - 0x80000000 < 32 && EXTENDED_PASSED >> (leaf & 31) & 1))
		r = cpuid(leaf, subleaf);
	for (unsigned i = 0; i < ARRAY_SIZE(masked); i++) {
		const struct cpuid_regs *mask = &masked[i].mask;
		if (masked[i].leaf == leaf)
			r = (struct cpuid_regs){ r.eax & mask->eax, r.ebx & mask->ebx, r.ecx & mask->ecx, r.edx & mask->edx };
	}
	if (leaf == 1) {
		r.ecx |= LEAF1_ECX_X2APIC | LEAF1_ECX_DEADLINE | LEAF1_ECX_HYPERVISOR;
		r.edx |= LEAF1_EDX_APIC;
	}
	if (leaf == 0xD && subleaf < 2 && cpuid_xcr0_mask != 0)
		return (struct cpuid_regs){ r.eax & (subleaf == 0 ? (uint32_t)cpuid_xcr0_mask : LEAFD1_EAX), r.ebx, 0, 0 };
	bool passed = leaf == 0xD ? subleaf < 64 && cpuid_xcr0_mask >> subleaf & 1 : leaf != 7 || subleaf == 0;
	return passed ? r : (struct cpuid_regs){ 0 };
}

void cpuid_init(void)
{
	if (!cpu_features.xsave)
		return;
	struct cpuid_regs r = cpuid(0xD, 0);
	cpuid_xcr0_mask = r.eax & 7u; /* x87, SSE, AVX */
	if (cpuid_xcr0_mask == 7 && (r.eax & 0xE0) == 0xE0)
		cpuid_xcr0_mask |= 0xE0; /* AVX-512: still inside one page */
}

static bool leaf_is_hypervisor(uint32_t leaf)
{
	return leaf - 0x40000000u < 0x200;
}

/* What a table's entry may say at most: AND with the limits for feature words; free choice where nothing depends on it. */
static void entry_limit(struct hilum_cpuid_entry *e)
{
	struct cpuid_regs max = limit(e->leaf, e->subleaf);

	if (e->leaf == 1 || e->leaf == 7 || e->leaf == 0x80000001) {
		e->ecx &= max.ecx;
		e->edx &= max.edx;
	}
	if (e->leaf == 7 || e->leaf == 0x80000001 || e->leaf == 0x80000008)
		e->ebx &= max.ebx;
	if (e->leaf == 0xD)
		e->eax &= max.eax;
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
		bool known_range = (e->leaf & 0x3FFFFFFF) < 32 || leaf_is_hypervisor(e->leaf);
		if (e->leaf >> 30 == 3 || !known_range || (e->flags & ~HILUM_CPUID_SUBLEAF) ||
		    (i > 0 && (e->leaf < e[-1].leaf || (e->leaf == e[-1].leaf && e->subleaf <= e[-1].subleaf))))
			return STATUS_INVALID;
	}
	memset(table->first, 0, sizeof(table->first));
	for (uint32_t i = 0; i < count; i++) {
		table->entry[i] = entries[i];
		entry_limit(&table->entry[i]);
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
		r = limit(leaf, subleaf);
	}
	if (leaf <= 0xD)
		cpuid_dynamic(v, leaf, subleaf, &r);
	v->gpr[0] = r.eax;
	v->gpr[3] = r.ebx;
	v->gpr[1] = r.ecx;
	v->gpr[2] = r.edx;
	vcpu_skip(v, length);
}
