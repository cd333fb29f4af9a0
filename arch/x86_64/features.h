/* What this machine's cores offer, as far as root mode and the vendor backends ask; every entry is CPUID's,
 * none assumed. */
#ifndef ARCH_X86_64_FEATURES_H
#define ARCH_X86_64_FEATURES_H

#include "arch/x86_64/types.h"

enum cpu_vendor { CPU_VENDOR_OTHER, CPU_VENDOR_INTEL, CPU_VENDOR_AMD /* and Hygon */ };

struct cpu_features {
	enum cpu_vendor vendor;
	uint32_t max_leaf, max_ext_leaf;
	uint8_t phys_bits; /* 52 at most are used */
	uint64_t cr4;      /* of root mode */
	bool page_1g;
	bool x2apic, tsc_deadline;
	bool xsave, rdtscp, svm, vmx;
	bool tcg; /* QEMU's software emulation of a CPU */
};

/* Filled by features_detect; read-only afterwards. */
extern struct cpu_features cpu_features;

#define HPA_LIMIT (1ull << cpu_features.phys_bits) /* this machine has no address beyond: a page table with one faults */

/* Once, on the boot core. */
void features_detect(void);

/* A value that a guest cannot know, for __stack_chk_guard: the CPU's random number, if it has one, and the time stamp. */
uint64_t features_draw_guard(void);

/*
 * On every core: EFER.NXE (entry.asm has asked for it), CR0.WP, CR4's PGE, SMEP, SMAP, UMIP, OSFXSR, OSXSAVE and MCE where offered;
 * everything that guests could inherit unwanted is cleared.
 */
void features_enable(void);

#define MSR_TSC_AUX 0xC0000103u

#define EFER_MSR  0xC0000080u
#define EFER_SCE  (1ull << 0)
#define EFER_LME  (1ull << 8)
#define EFER_LMA  (1ull << 10)
#define EFER_NXE  (1ull << 11)
#define EFER_SVME (1ull << 12)

#define CR0_PE (1ull << 0)
#define CR0_MP (1ull << 1)
#define CR0_ET (1ull << 4)
#define CR0_NE (1ull << 5)
#define CR0_WP (1ull << 16)
#define CR0_NW (1ull << 29)
#define CR0_CD (1ull << 30)
#define CR0_PG (1ull << 31)

#define CR4_VME        (1ull << 0)
#define CR4_PVI        (1ull << 1)
#define CR4_TSD        (1ull << 2)
#define CR4_DE         (1ull << 3)
#define CR4_PSE        (1ull << 4)
#define CR4_PAE        (1ull << 5)
#define CR4_MCE        (1ull << 6)
#define CR4_PGE        (1ull << 7)
#define CR4_PCE        (1ull << 8)
#define CR4_OSFXSR     (1ull << 9)
#define CR4_OSXMMEXCPT (1ull << 10)
#define CR4_UMIP       (1ull << 11)
#define CR4_LA57       (1ull << 12)
#define CR4_FSGSBASE   (1ull << 16)
#define CR4_PCIDE      (1ull << 17)
#define CR4_OSXSAVE    (1ull << 18)
#define CR4_SMEP       (1ull << 20)
#define CR4_SMAP       (1ull << 21)

#endif
