/*
 * The virtual-machine control structure: field encodings (SDM vol. 3D, Appendix B), control bits (vol. 3C, 25.6 to 25.8), exit
 * reasons (Appendix C). Fields are reached through vmx/access.h only.
 */
#ifndef VMX_VMCS_H
#define VMX_VMCS_H

#include "arch/x86_64/types.h"

/* Segment n: ES, CS, SS, DS, FS, GS, LDTR, TR, in the order of struct hilum_vcpu_state. */
#define VMCS_GUEST_SELECTOR(n) (0x0800u + 2 * (n))
#define VMCS_GUEST_LIMIT(n)    (0x4800u + 2 * (n))
#define VMCS_GUEST_ACCESS(n)   (0x4814u + 2 * (n))
#define VMCS_GUEST_BASE(n)     (0x6806u + 2 * (n))
#define VMCS_HOST_SELECTOR(n)  (0x0C00u + 2 * (n)) /* ES to GS, TR */
#define SEGMENT_CS             1u
#define SEGMENT_SS             2u
#define SEGMENT_TR             7u
#define VMCS_GUEST_PDPTE(n)    (0x280Au + 2 * (n))
#define VMCS_EOI_EXIT(n)       (0x201Cu + 2 * (n)) /* 64 vectors each */

enum vmcs_field {
	/* 16 bits: control, guest state */
	VMCS_VPID = 0x0000,
	VMCS_POSTED_VECTOR = 0x0002,
	VMCS_GUEST_INTERRUPT_STATUS = 0x0810, /* RVI, then SVI */
	/* 64 bits: control, read-only, guest, host */
	VMCS_IO_BITMAP_A = 0x2000,
	VMCS_IO_BITMAP_B = 0x2002,
	VMCS_MSR_BITMAP = 0x2004,
	VMCS_TSC_OFFSET = 0x2010,
	VMCS_VIRTUAL_APIC = 0x2012,
	VMCS_APIC_ACCESS = 0x2014,
	VMCS_POSTED_DESCRIPTOR = 0x2016,
	VMCS_EPT_POINTER = 0x201A,
	VMCS_ENCLS_EXITING = 0x202E,
	VMCS_GUEST_PHYSICAL = 0x2400,
	VMCS_LINK_POINTER = 0x2800,
	VMCS_GUEST_PAT = 0x2804,
	VMCS_GUEST_EFER = 0x2806,
	VMCS_HOST_PAT = 0x2C00,
	VMCS_HOST_EFER = 0x2C02,
	/* 32 bits: control, read-only, guest, host */
	VMCS_PIN_CONTROLS = 0x4000,
	VMCS_PRIMARY_CONTROLS = 0x4002,
	VMCS_EXCEPTION_BITMAP = 0x4004,
	VMCS_EXIT_CONTROLS = 0x400C,
	VMCS_ENTRY_CONTROLS = 0x4012,
	VMCS_ENTRY_EVENT = 0x4016,
	VMCS_ENTRY_ERROR_CODE = 0x4018,
	VMCS_TPR_THRESHOLD = 0x401C,
	VMCS_SECONDARY_CONTROLS = 0x401E,
	VMCS_PLE_GAP = 0x4020,
	VMCS_PLE_WINDOW = 0x4022,
	VMCS_INSTRUCTION_ERROR = 0x4400,
	VMCS_EXIT_REASON = 0x4402,
	VMCS_EXIT_EVENT = 0x4404,
	VMCS_VECTORING_EVENT = 0x4408,
	VMCS_VECTORING_ERROR_CODE = 0x440A,
	VMCS_INSN_LENGTH = 0x440C,
	VMCS_GUEST_GDTR_LIMIT = 0x4810,
	VMCS_GUEST_IDTR_LIMIT = 0x4812,
	VMCS_GUEST_INTERRUPTIBILITY = 0x4824,
	VMCS_GUEST_SYSENTER_CS = 0x482A,
	VMCS_PREEMPTION_TIMER = 0x482E,
	/* natural width: control, read-only, guest, host */
	VMCS_CR0_MASK = 0x6000,
	VMCS_CR4_MASK = 0x6002,
	VMCS_CR0_SHADOW = 0x6004,
	VMCS_CR4_SHADOW = 0x6006,
	VMCS_QUALIFICATION = 0x6400,
	VMCS_GUEST_CR0 = 0x6800,
	VMCS_GUEST_CR3 = 0x6802,
	VMCS_GUEST_CR4 = 0x6804,
	VMCS_GUEST_GDTR_BASE = 0x6816,
	VMCS_GUEST_IDTR_BASE = 0x6818,
	VMCS_GUEST_DR7 = 0x681A,
	VMCS_GUEST_RSP = 0x681C,
	VMCS_GUEST_RIP = 0x681E,
	VMCS_GUEST_RFLAGS = 0x6820,
	VMCS_GUEST_PENDING_DEBUG = 0x6822,
	VMCS_GUEST_SYSENTER_ESP = 0x6824,
	VMCS_GUEST_SYSENTER_EIP = 0x6826,
	VMCS_HOST_CR0 = 0x6C00,
	VMCS_HOST_CR3 = 0x6C02,
	VMCS_HOST_CR4 = 0x6C04,
	VMCS_HOST_TR_BASE = 0x6C0A,
	VMCS_HOST_GDTR_BASE = 0x6C0C,
	VMCS_HOST_IDTR_BASE = 0x6C0E,
	VMCS_HOST_RIP = 0x6C16,
};

/* Pin-based controls */
#define PIN_EXTERNAL_INTERRUPT (1u << 0)
#define PIN_NMI                (1u << 3)
#define PIN_VIRTUAL_NMI        (1u << 5)
#define PIN_PREEMPTION_TIMER   (1u << 6)
#define PIN_POSTED_INTERRUPTS  (1u << 7)

/* Primary processor-based controls */
#define PRIMARY_INTERRUPT_WINDOW (1u << 2)
#define PRIMARY_TSC_OFFSETTING   (1u << 3)
#define PRIMARY_HLT              (1u << 7)
#define PRIMARY_MWAIT            (1u << 10)
#define PRIMARY_RDPMC            (1u << 11)
#define PRIMARY_CR3_LOAD         (1u << 15)
#define PRIMARY_TPR_SHADOW       (1u << 21)
#define PRIMARY_NMI_WINDOW       (1u << 22)
#define PRIMARY_MOV_DR           (1u << 23)
#define PRIMARY_IO_BITMAPS       (1u << 25)
#define PRIMARY_MSR_BITMAPS      (1u << 28)
#define PRIMARY_MONITOR          (1u << 29)
#define PRIMARY_SECONDARY        (1u << 31)

/* Secondary processor-based controls */
#define SECONDARY_APIC_ACCESSES      (1u << 0)
#define SECONDARY_EPT                (1u << 1)
#define SECONDARY_RDTSCP             (1u << 3)
#define SECONDARY_X2APIC             (1u << 4)
#define SECONDARY_VPID               (1u << 5)
#define SECONDARY_WBINVD             (1u << 6)
#define SECONDARY_UNRESTRICTED       (1u << 7)
#define SECONDARY_APIC_REGISTERS     (1u << 8)
#define SECONDARY_INTERRUPT_DELIVERY (1u << 9)
#define SECONDARY_PAUSE_LOOP         (1u << 10)
#define SECONDARY_INVPCID            (1u << 12)
#define SECONDARY_ENCLS              (1u << 15)

/* Exit and entry controls */
#define EXIT_SAVE_DEBUG            (1u << 2)
#define EXIT_HOST_64               (1u << 9)
#define EXIT_ACKNOWLEDGE_INTERRUPT (1u << 15)
#define EXIT_SAVE_PAT              (1u << 18)
#define EXIT_LOAD_PAT              (1u << 19)
#define EXIT_SAVE_EFER             (1u << 20)
#define EXIT_LOAD_EFER             (1u << 21)
#define EXIT_SAVE_TIMER            (1u << 22)
#define ENTRY_LOAD_DEBUG           (1u << 2)
#define ENTRY_IA32E                (1u << 9)
#define ENTRY_LOAD_PAT             (1u << 14)
#define ENTRY_LOAD_EFER            (1u << 15)

/* EPT pointer, INVEPT and INVVPID */
#define EPTP_WALK_4       (3u << 3)
#define EPTP_DIRTY        (1u << 6)
#define INVALIDATE_SINGLE 1u
#define INVALIDATE_ALL    2u

/* Segment access rights: VMCB attributes 7:0 lie in the same place, 11:8 in 15:12. */
#define ACCESS_ACCESSED 0x01u
#define ACCESS_BUSY     0x02u
#define ACCESS_S        0x10u
#define ACCESS_PRESENT  0x80u
#define ACCESS_UNUSABLE (1u << 16)

/* Interruptibility state */
#define BLOCKING_BY_STI    (1u << 0)
#define BLOCKING_BY_MOV_SS (1u << 1)
#define BLOCKING_BY_NMI    (1u << 3)
#define BLOCKING_SHADOW    (BLOCKING_BY_STI | BLOCKING_BY_MOV_SS)

/* Entry, exit and vectoring event information: EVENTINJ's layout, but that the error code is a field of its own. */
#define EVENT_TYPE_ICEBP    (5u << 8)
#define EVENT_NMI_UNBLOCKED (1u << 12) /* by the IRET that the exit interrupted */

/* Exit reasons; bit 31: the entry failed */
#define REASON_ENTRY_FAILED     (1u << 31)
#define REASON_EXCEPTION_OR_NMI 0u
#define REASON_INTERRUPT        1u
#define REASON_TRIPLE_FAULT     2u
#define REASON_INTERRUPT_WINDOW 7u
#define REASON_NMI_WINDOW       8u
#define REASON_CPUID            10u
#define REASON_GETSEC           11u
#define REASON_HLT              12u
#define REASON_INVD             13u
#define REASON_RDPMC            15u
#define REASON_VMCALL           18u
#define REASON_VMCLEAR          19u
#define REASON_VMXON            27u
#define REASON_CR               28u
#define REASON_DR               29u
#define REASON_IO               30u
#define REASON_RDMSR            31u
#define REASON_WRMSR            32u
#define REASON_BAD_GUEST_STATE  33u
#define REASON_BAD_MSR_LIST     34u
#define REASON_MWAIT            36u
#define REASON_MONITOR          39u
#define REASON_PAUSE            40u
#define REASON_TPR_THRESHOLD    43u
#define REASON_APIC_ACCESS      44u
#define REASON_VIRTUAL_EOI      45u
#define REASON_EPT_VIOLATION    48u
#define REASON_INVEPT           50u
#define REASON_PREEMPTION_TIMER 52u
#define REASON_INVVPID          53u
#define REASON_WBINVD           54u
#define REASON_XSETBV           55u
#define REASON_APIC_WRITE       56u
#define REASON_VMFUNC           59u
#define REASON_ENCLS            60u

/* Exit qualifications, 28.2.1 */
#define CR_NUMBER_MASK    15u
#define CR_REGISTER_SHIFT 8
#define IO_SIZE_MASK      7u
#define IO_IN             (1u << 3)
#define IO_STRING         (1u << 4)
#define IO_PORT_SHIFT     16
#define EPT_WRITE         (1u << 1)
#define EPT_FETCH         (1u << 2)
#define EPT_NMI_UNBLOCKED (1u << 12)
#define APIC_ACCESS_SHIFT 12      /* 0: a read, 1: a write, 2: a fetch */
#define DEBUG_CAUSES      0x600Fu /* bits of DR6 */
#define DEBUG_BD          (1u << 13)

#define DR7_GD      (1u << 13)
#define DR7_ENABLES 0xFFu
#define DR6_BS      (1u << 14)

#endif
