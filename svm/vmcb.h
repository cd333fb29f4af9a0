/*
 * The virtual machine control block. APM vol. 2, Appendix B "Layout of VMCB"; intercept bits from table B-1, exit codes from
 * Appendix C. Fields are fixed-width integers; masks carry the manual's names. Writes to fields that a clean bit covers go through
 * VMCB_SET, which has the CPU load everything anew at the next entry.
 */
#ifndef SVM_VMCB_H
#define SVM_VMCB_H

#include <hilum/abi.h>
#include "arch/x86_64/types.h"

/*
 * The bit that intercepts what exits with `code`, in the word of 32 codes that it belongs to, byte offsets 000h to 014h:
 * CR accesses, DR accesses, exceptions, misc1 (codes from 60h), misc2 (from 80h).
 */
#define INTERCEPT(code)        (1u << ((code)&31))
#define INTERCEPT_DR_ADDRESSES 0x008F000Fu /* reads and writes of DR0 to DR3; writes of DR7, which would enable them */

/* 05Ch TLB_CONTROL */
#define TLB_CONTROL_NONE      0u
#define TLB_CONTROL_FLUSH_ALL 1u

/* 061h to 063h */
#define V_IRQ          (1u << 0)
#define V_IGN_TPR      (1u << 4)
#define V_INTR_MASKING (1u << 0)

#define INTERRUPT_SHADOW (1ull << 0) /* 068h */

#define NP_ENABLE (1ull << 0) /* 090h */

/*
 * 0C0h VMCB clean bits: all groups are unchanged since the last VMRUN of this VMCB on this core, but for 060h to 067h, which are written
 * without further ado; or (0) anything may have changed.
 */
#define CLEAN_ALL (0x7FFu & ~(1u << 3))

/* Exit codes, Appendix C */
#define VMEXIT_CR_READ(n)  (0x00u + (n))
#define VMEXIT_CR_WRITE(n) (0x10u + (n))
#define VMEXIT_DR_FIRST    0x20u /* reads, then writes */
#define VMEXIT_DR_LAST     0x3Fu
#define VMEXIT_EXCP(n)     (0x40u + (n))
#define VMEXIT_INVALID     0xFFFFFFFFu /* the low 32 bits of -1: QEMU zero-extends */
enum {
	VMEXIT_INTR = 0x60,
	VMEXIT_NMI,
	VMEXIT_VINTR = 0x64,
	VMEXIT_RDPMC = 0x6F,
	VMEXIT_CPUID = 0x72,
	VMEXIT_IRET = 0x74,
	VMEXIT_INVD = 0x76,
	VMEXIT_PAUSE,
	VMEXIT_HLT,
	VMEXIT_INVLPGA = 0x7A,
	VMEXIT_IOIO,
	VMEXIT_MSR,
	VMEXIT_SHUTDOWN = 0x7F,
	VMEXIT_VMRUN,
	VMEXIT_VMMCALL,
	VMEXIT_VMLOAD,
	VMEXIT_VMSAVE,
	VMEXIT_STGI,
	VMEXIT_CLGI,
	VMEXIT_SKINIT,
	VMEXIT_WBINVD = 0x89,
	VMEXIT_MONITOR,
	VMEXIT_MWAIT,
	VMEXIT_XSETBV = 0x8D,
	VMEXIT_NPF = 0x400,
};

/* EXITINFO1 of IOIO, 15.10.2 */
#define IOIO_IN         (1u << 0)
#define IOIO_STRING     (1u << 2)
#define IOIO_REP        (1u << 3)
#define IOIO_SIZE_SHIFT 4
#define IOIO_SIZE_MASK  7u
#define IOIO_PORT_SHIFT 16

/* EXITINFO1 of NPF, 15.25.6 */
#define NPF_WRITE (1ull << 1)
#define NPF_FETCH (1ull << 4)

/* Places in vmcb.segments */
enum { VMCB_ES, VMCB_CS, VMCB_SS, VMCB_DS, VMCB_FS, VMCB_GS, VMCB_GDTR, VMCB_LDTR, VMCB_IDTR, VMCB_TR };

struct vmcb_segment {
	uint16_t selector, attributes;
	uint32_t limit;
	uint64_t base;
};

struct vmcb {
	/* control area */
	uint32_t intercept_cr;         /* 000 reads in 15:0, writes in 31:16 */
	uint32_t intercept_dr;         /* 004 */
	uint32_t intercept_exceptions; /* 008 */
	uint32_t intercept_misc1;      /* 00C */
	uint32_t intercept_misc2;      /* 010 */
	uint8_t reserved_014[0x3C - 0x14];
	uint16_t pause_filter_threshold;                   /* 03C */
	uint16_t pause_filter_count;                       /* 03E */
	uint64_t iopm_base_pa;                             /* 040 */
	uint64_t msrpm_base_pa;                            /* 048 */
	uint64_t tsc_offset;                               /* 050 */
	uint32_t guest_asid;                               /* 058 */
	uint32_t tlb_control;                              /* 05C */
	uint8_t v_tpr, v_irq, v_intr_prio, v_intr_masking; /* 060 the guest's CR8, 061 .. 063 */
	uint32_t v_intr_vector;                            /* 064 */
	uint64_t interrupt_shadow;                         /* 068 */
	uint64_t exitcode;                                 /* 070 */
	uint64_t exitinfo1;                                /* 078 */
	uint64_t exitinfo2;                                /* 080 */
	uint64_t exitintinfo;                              /* 088 */
	uint64_t np_enable;                                /* 090 */
	uint8_t reserved_098[0xA8 - 0x98];
	uint64_t eventinj; /* 0A8 */
	uint64_t n_cr3;    /* 0B0 */
	uint64_t reserved_0b8;
	uint64_t clean;             /* 0C0 */
	uint64_t nrip;              /* 0C8 */
	uint8_t insn_bytes_fetched; /* 0D0 */
	uint8_t insn_bytes[15];     /* 0D1 */
	uint8_t reserved_0e0[0x400 - 0xE0];
	/* state save area, offsets relative to 400h */
	struct vmcb_segment segments[10]; /* 000 */
	uint8_t reserved_4a0[0xCB - 0xA0];
	uint8_t cpl; /* 0CB */
	uint32_t reserved_4cc;
	uint64_t efer; /* 0D0 */
	uint8_t reserved_4d8[0x148 - 0xD8];
	uint64_t cr4;    /* 148 */
	uint64_t cr3;    /* 150 */
	uint64_t cr0;    /* 158 */
	uint64_t dr7;    /* 160 */
	uint64_t dr6;    /* 168 */
	uint64_t rflags; /* 170 */
	uint64_t rip;    /* 178 */
	uint8_t reserved_580[0x1D8 - 0x180];
	uint64_t rsp; /* 1D8 */
	uint8_t reserved_5e0[0x1F8 - 0x1E0];
	uint64_t rax;  /* 1F8 */
	uint64_t star; /* 200 */
	uint64_t lstar;
	uint64_t cstar;
	uint64_t sfmask;
	uint64_t kernel_gs_base; /* 220 */
	uint64_t sysenter_cs;
	uint64_t sysenter_esp;
	uint64_t sysenter_eip;
	uint64_t cr2; /* 240 */
	uint8_t reserved_648[0x268 - 0x248];
	uint64_t g_pat; /* 268 */
	uint8_t reserved_670[0x1000 - 0x670];
};

_Static_assert(offsetof(struct vmcb, iopm_base_pa) == 0x40, "VMCB");
_Static_assert(offsetof(struct vmcb, guest_asid) == 0x58, "VMCB");
_Static_assert(offsetof(struct vmcb, v_intr_masking) == 0x63, "VMCB");
_Static_assert(offsetof(struct vmcb, exitcode) == 0x70, "VMCB");
_Static_assert(offsetof(struct vmcb, eventinj) == 0xA8, "VMCB");
_Static_assert(offsetof(struct vmcb, clean) == 0xC0, "VMCB");
_Static_assert(offsetof(struct vmcb, insn_bytes) == 0xD1, "VMCB");
_Static_assert(offsetof(struct vmcb, segments[VMCB_ES]) == 0x400, "VMCB");
_Static_assert(offsetof(struct vmcb, segments[VMCB_TR]) == 0x490, "VMCB");
_Static_assert(offsetof(struct vmcb, cpl) == 0x4CB, "VMCB");
_Static_assert(offsetof(struct vmcb, efer) == 0x4D0, "VMCB");
_Static_assert(offsetof(struct vmcb, cr4) == 0x548, "VMCB");
_Static_assert(offsetof(struct vmcb, rip) == 0x578, "VMCB");
_Static_assert(offsetof(struct vmcb, rsp) == 0x5D8, "VMCB");
_Static_assert(offsetof(struct vmcb, rax) == 0x5F8, "VMCB");
_Static_assert(offsetof(struct vmcb, cr2) == 0x640, "VMCB");
_Static_assert(offsetof(struct vmcb, g_pat) == 0x668, "VMCB");
_Static_assert(sizeof(struct vmcb) == PAGE_SIZE, "VMCB");

/* Change a field that a clean bit covers. */
#define VMCB_SET(vmcb, field, value) ((vmcb)->clean = 0, (vmcb)->field = (value))

#endif
