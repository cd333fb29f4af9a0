/*
 * The CPUID table of a guest: what the machine has and the kernel virtualises, with the guest's own topology, and the hypervisor leaves
 * of its profile. SDM vol. 2A, CPUID; APM vol. 3, Appendix E. KVM's leaves are documented in Linux' virt/kvm/x86/cpuid.rst.
 */
#include "drivers-vm/control/control.h"
#include <string.h>

#define KVM_NOP_IO_DELAY       (1u << 1)
#define KVM_CLOCKSOURCE2       (1u << 3)
#define KVM_STEAL_TIME         (1u << 5)
#define KVM_PV_EOI             (1u << 6)
#define KVM_PV_UNHALT          (1u << 7)
#define KVM_PV_SEND_IPI        (1u << 11)
#define KVM_CLOCKSOURCE_STABLE (1u << 24)

/* Feature words that pass, by what the kernel virtualises; bits not named here are hidden. */
#define LEAF1_ECX  0x7EDA3203u /* SSE3 PCLMUL SSSE3 FMA CX16 PCID SSE4.1 SSE4.2 MOVBE POPCNT AES XSAVE OSXSAVE AVX F16C RDRAND */
#define LEAF1_EDX  0x078BAB7Fu /* FPU VME DE PSE TSC MSR PAE CX8 APIC SEP PGE CMOV PAT PSE36 CLFSH MMX FXSR SSE SSE2 */
#define LEAF7_EBX  0xF1BF07A9u /* FSGSBASE BMI1 AVX2 SMEP BMI2 ERMS INVPCID AVX512* RDSEED ADX SMAP IFMA CLFLUSHOPT CLWB SHA */
#define LEAF7_ECX  0x00405F46u /* VBMI UMIP VBMI2 GFNI VAES VPCLMUL VNNI BITALG VPOPCNTDQ RDPID */
#define LEAF7_EDX  0xAC000510u /* FSRM VP2INTERSECT MD_CLEAR IBRS STIBP ARCH_CAPABILITIES SSBD */
#define LEAFD1_EAX 0x00000007u /* XSAVEOPT XSAVEC XGETBV1 */
#define EXT1_ECX   0x000001E1u /* LAHF ABM SSE4A MisAlignSse 3DNowPrefetch */
#define EXT1_EDX   0x2DD3AB7Fu /* SysCallSysRet NX MmxExt Page1GB RDTSCP LM, and the copies of leaf 1 */
#define EXT7_EDX   0x00000100u /* invariant TSC */
#define EXT8_EBX   0x050FD000u /* IBPB IBRS STIBP and what is to be known of them, SSBD SSB_NO */

/* What is there whatever the machine has: x2APIC, the deadline timer, "a hypervisor"; the local APIC. */
#define LEAF1_ECX_OURS (1u << 21 | 1u << 24 | 1u << 31)
#define LEAF1_EDX_OURS (1u << 9)
#define LEAF1_EDX_HTT  (1u << 28)

#define ALL 0xFFFFFFFFu

#define HILUM_SIGNATURE 0x756C6948, 0x6C69486D, 0x69486D75 /* "HilumHilumHi": EBX, ECX, EDX */
#define XSAVE_LEGACY    576u                               /* legacy region and header */

struct builder {
	cpuid_source source;
	uint32_t components; /* XCR0 bits that guests may use; all of them are below 32 */
	struct hilum_cpuid_entry *out;
	unsigned count;
};

/* The leaves that do not pass whole: EAX, EBX, ECX, EDX. */
static const struct {
	uint32_t leaf, subleaf, mask[4];
} limits[] = {
	{ 1, 0, { ALL, 0x0000FF00, LEAF1_ECX, LEAF1_EDX } },
	{ 7, 0, { 0, LEAF7_EBX, LEAF7_ECX, LEAF7_EDX } },
	{ 0xD, 1, { LEAFD1_EAX, ALL, 0, 0 } },
	{ 0x80000001, 0, { ALL, 0, EXT1_ECX, EXT1_EDX } },
	{ 0x80000007, 0, { 0, 0, 0, EXT7_EDX } },
	{ 0x80000008, 0, { 0xFFFF, EXT8_EBX, 0, 0 } },
};

static struct hilum_cpuid_entry *add(struct builder *b, uint32_t leaf, uint32_t subleaf, bool by_subleaf)
{
	struct hilum_cpuid_entry *e = &b->out[b->count++];
	uint32_t r[4];

	b->source(leaf, subleaf, r);
	for (unsigned i = 0; i < sizeof(limits) / sizeof(limits[0]); i++)
		for (unsigned k = 0; k < 4 && limits[i].leaf == leaf && limits[i].subleaf == subleaf; k++)
			r[k] &= limits[i].mask[k];
	if (leaf == 0xD && b->components == 0)
		memset(r, 0, sizeof(r)); /* without XSAVE it may be another leaf's */
	*e = (struct hilum_cpuid_entry){
		.leaf = leaf,
		.subleaf = subleaf,
		.flags = by_subleaf ? HILUM_CPUID_SUBLEAF : 0,
		.eax = r[0],
		.ebx = r[1],
		.ecx = r[2],
		.edx = r[3],
	};
	return e;
}

static void add_literal(struct builder *b, uint32_t leaf, uint32_t eax, uint32_t ebx, uint32_t ecx, uint32_t edx)
{
	b->out[b->count++] = (struct hilum_cpuid_entry){ .leaf = leaf, .eax = eax, .ebx = ebx, .ecx = ecx, .edx = edx };
}

static unsigned bits_for(unsigned n)
{
	unsigned bits = 0;

	while ((1u << bits) < n)
		bits++;
	return bits;
}

/* One thread a core, all cores in one package. SDM vol. 2A, CPUID leaf 0BH. */
static void add_topology(struct builder *b, unsigned vcpus)
{
	struct hilum_cpuid_entry *thread = add(b, 0xB, 0, true);
	thread->eax = 0;
	thread->ebx = 1;
	thread->ecx = 1u << 8;
	struct hilum_cpuid_entry *core = add(b, 0xB, 1, true);
	core->eax = bits_for(vcpus);
	core->ebx = vcpus;
	core->ecx = 2u << 8 | 1;
}

static void add_basic(struct builder *b, unsigned vcpus)
{
	struct hilum_cpuid_entry *last = add(b, 0, 0, false);
	last->eax = last->eax < 0xD ? last->eax : 0xD;
	struct hilum_cpuid_entry *features = add(b, 1, 0, false);
	features->ebx = (features->ebx & 0xFF00) | (vcpus & 0xFF) << 16;
	features->ecx |= LEAF1_ECX_OURS;
	features->edx |= LEAF1_EDX_OURS | (vcpus > 1 ? LEAF1_EDX_HTT : 0);
	add(b, 7, 0, true);
	add_topology(b, vcpus);
	struct hilum_cpuid_entry *xsave = add(b, 0xD, 0, true);
	uint32_t components = xsave->eax &= b->components;
	xsave->ecx = components != 0 ? XSAVE_LEGACY : 0; /* size of the area for all of them; EBX, for XCR0's, is the kernel's */
	xsave->edx = 0;
	add(b, 0xD, 1, true);
	for (unsigned i = 2; i < 32; i++) {
		if (!(components >> i & 1))
			continue;
		const struct hilum_cpuid_entry *c = add(b, 0xD, i, true);
		xsave->ecx = c->ebx + c->eax > xsave->ecx ? c->ebx + c->eax : xsave->ecx;
	}
}

unsigned cpuid_build(cpuid_source source, uint64_t xcr0_mask, unsigned vcpus, bool kvm_leaves, uint64_t tsc_hz,
                     struct hilum_cpuid_entry *out)
{
	struct builder b = { .source = source, .components = (uint32_t)xcr0_mask, .out = out };

	add_basic(&b, vcpus);
	if (kvm_leaves) {
		add_literal(&b, 0x40000000, 0x40000001, 0x4B4D564B, 0x564B4D56, 0x0000004D); /* "KVMKVMKVM" */
		add_literal(&b, 0x40000001,
		            KVM_NOP_IO_DELAY | KVM_CLOCKSOURCE2 | KVM_STEAL_TIME | KVM_PV_EOI | KVM_PV_UNHALT | KVM_PV_SEND_IPI |
		                    KVM_CLOCKSOURCE_STABLE,
		            0, 0, 0);
	} else {
		add_literal(&b, 0x40000000, 0x40000000, HILUM_SIGNATURE);
	}
	add_literal(&b, HILUM_CPUID_BASE, HILUM_CPUID_FEATURES, HILUM_SIGNATURE);
	add_literal(&b, HILUM_CPUID_FEATURES, HILUM_ABI_VERSION, (uint32_t)(tsc_hz / 1000), 0, 0);
	for (uint32_t leaf = 0x80000000; leaf <= 0x80000008; leaf++) {
		struct hilum_cpuid_entry *e = add(&b, leaf, 0, false);
		if (leaf == 0x80000000)
			e->eax = e->eax < 0x80000008 ? e->eax : 0x80000008;
		if (leaf == 0x80000008)
			e->ecx = vcpus > 1 ? (vcpus - 1) | bits_for(vcpus) << 12 : 0; /* APM vol. 3, Fn8000_0008_ECX */
	}
	return b.count;
}
