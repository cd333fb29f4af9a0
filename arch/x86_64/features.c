/* See features.h. */
#include "arch/x86_64/features.h"
#include "arch/x86_64/cpu.h"

#define MSR_XSS      0xDA0u
#define CPUID_XSAVES (1u << 3)
#define CPUID_RDRAND (1u << 30)

sealed struct cpu_features cpu_features;

static enum cpu_vendor vendor_of(const struct cpuid_regs *r)
{
	if (r->ebx == 0x756E6547 && r->edx == 0x49656E69 && r->ecx == 0x6C65746E) /* GenuineIntel */
		return CPU_VENDOR_INTEL;
	if (r->ebx == 0x68747541 && r->edx == 0x69746E65 && r->ecx == 0x444D4163) /* AuthenticAMD */
		return CPU_VENDOR_AMD;
	if (r->ebx == 0x6F677948 && r->edx == 0x6E65476E && r->ecx == 0x656E6975) /* HygonGenuine */
		return CPU_VENDOR_AMD;
	return CPU_VENDOR_OTHER;
}

static struct cpuid_regs leaf(uint32_t number, uint32_t max)
{
	return number <= max ? cpuid(number, 0) : (struct cpuid_regs){ 0, 0, 0, 0 };
}

static void read_basic(struct cpu_features *f)
{
	struct cpuid_regs r = leaf(1, f->max_leaf), r7 = leaf(7, f->max_leaf);

	f->vmx = r.ecx >> 5 & 1;
	f->tcg = (r.ecx >> 31 & 1) && cpuid(0x40000000, 0).ebx == 0x54474354; /* "TCGT", QEMU's signature */
	f->x2apic = r.ecx >> 21 & 1;
	f->tsc_deadline = r.ecx >> 24 & 1;
	f->xsave = r.ecx >> 26 & 1;
	f->cr4 = CR4_PAE | CR4_MCE | CR4_OSFXSR | CR4_OSXMMEXCPT | (r.edx >> 13 & 1 ? CR4_PGE : 0) | (r7.ebx >> 7 & 1 ? CR4_SMEP : 0) |
	         (r7.ebx >> 20 & 1 ? CR4_SMAP : 0) | (r7.ecx >> 2 & 1 ? CR4_UMIP : 0) | (f->xsave ? CR4_OSXSAVE : 0);
}

static void read_extended(struct cpu_features *f)
{
	struct cpuid_regs r1 = leaf(0x80000001, f->max_ext_leaf);
	struct cpuid_regs r8 = leaf(0x80000008, f->max_ext_leaf);
	uint8_t phys = (uint8_t)r8.eax;

	f->svm = f->vendor == CPU_VENDOR_AMD && (r1.ecx >> 2 & 1);
	f->page_1g = r1.edx >> 26 & 1;
	f->rdtscp = r1.edx >> 27 & 1;
	f->phys_bits = phys < 36 ? 36 : phys > 52 ? 52 : phys;
}

void features_detect(void)
{
	struct cpu_features *f = &cpu_features;
	struct cpuid_regs r = cpuid(0, 0);

	f->vendor = vendor_of(&r);
	f->max_leaf = r.eax;
	r = cpuid(0x80000000, 0);
	f->max_ext_leaf = r.eax;
	read_basic(f);
	read_extended(f);
}

uint64_t features_draw_guard(void)
{
	uint64_t drawn = 0;

	if (cpuid(1, 0).ecx & CPUID_RDRAND)
		__asm__ volatile("rdrand %0" : "=r"(drawn)::"cc");
	return (drawn ^ rdtsc() * 0x9E3779B97F4A7C15) << 8; /* its lowest byte ends a string that is copied too far */
}

void features_enable(void)
{
	wrmsr(EFER_MSR, EFER_LME | EFER_LMA | EFER_NXE);
	cpu_write_cr0(CR0_PE | CR0_MP | CR0_ET | CR0_NE | CR0_WP | CR0_PG);
	cpu_write_cr4(cpu_features.cr4);
	if (cpu_features.xsave && (cpuid(0xD, 1).eax & CPUID_XSAVES))
		wrmsr(MSR_XSS, 0); /* not every CPU can keep a guest from XSAVES and XRSTORS */
}
