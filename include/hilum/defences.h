/*
 * What a CPU says about what it does ahead of time, as struct hilum_host_health passes it on: read by the kernel, which chooses its
 * defences by it, and by whoever explains them. SDM vol. 2A, CPUID, and vol. 4, 2.1; APM vol. 3, Appendix E.
 */
#ifndef HILUM_DEFENCES_H
#define HILUM_DEFENCES_H

/* leaf7_edx */
#define HILUM_LEAF7_MD_CLEAR (1u << 10)
#define HILUM_LEAF7_IBRS     (1u << 26) /* and IBPB */
#define HILUM_LEAF7_STIBP    (1u << 27)
#define HILUM_LEAF7_L1D      (1u << 28)
#define HILUM_LEAF7_ARCH     (1u << 29) /* there is an IA32_ARCH_CAPABILITIES */
#define HILUM_LEAF7_SSBD     (1u << 31)
/* leaf8_ebx */
#define HILUM_LEAF8_IBPB   (1u << 12)
#define HILUM_LEAF8_IBRS   (1u << 14)
#define HILUM_LEAF8_STIBP  (1u << 15)
#define HILUM_LEAF8_SSBD   (1u << 24)
#define HILUM_LEAF8_SSB_NO (1u << 26)
/* leaf21_eax */
#define HILUM_LEAF21_AUTO_IBRS (1u << 8)
/* arch_capabilities: which defects the CPU has not, and what VERW does */
#define HILUM_ARCH_RDCL_NO     (1u << 0)
#define HILUM_ARCH_IBRS_ALL    (1u << 1)
#define HILUM_ARCH_SKIP_L1D    (1u << 3)
#define HILUM_ARCH_SSB_NO      (1u << 4)
#define HILUM_ARCH_MDS_NO      (1u << 5)
#define HILUM_ARCH_PSCHANGE_NO (1u << 6)
#define HILUM_ARCH_TAA_NO      (1u << 8)
#define HILUM_ARCH_SBDR_NO     (1u << 13)
#define HILUM_ARCH_FBSDP_NO    (1u << 14)
#define HILUM_ARCH_PSDP_NO     (1u << 15)
#define HILUM_ARCH_FB_CLEAR    (1u << 17)
#define HILUM_ARCH_PBRSB_NO    (1u << 24)
#define HILUM_ARCH_GDS_NO      (1u << 26)
#define HILUM_ARCH_RFDS_NO     (1u << 27)
#define HILUM_ARCH_RFDS_CLEAR  (1u << 28)
#define HILUM_ARCH_SHOWN       0x1D1AE17Full /* statements that guests see too: no bit among them offers an MSR */

#endif
