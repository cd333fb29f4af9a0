/* What the backends make of an exit, and the one handler that takes it. */
#ifndef KERNEL_EXIT_H
#define KERNEL_EXIT_H

#include "arch/x86_64/features.h"
#include "kernel/vcpu.h"

/*
 * A VM exit in vendor-neutral terms. `length` is the instruction's length in bytes where the kind has an instruction that is
 * completed here; the backend has verified it to be 1 .. 15. Of a hypercall the backend has put the privilege level into the
 * vCPU's `cpl`.
 */
struct vexit {
	uint32_t kind; /* enum hilum_exit */
	uint32_t length;
	union {
		struct {
			uint16_t port;
			uint8_t size; /* bytes */
			bool in, string;
			uint64_t next_rip;
		} port;
		struct { /* MMIO and PAGE_FAULT: the backend does not tell them apart */
			gpa_t gpa;
			bool write, fetch;
			const uint8_t *insn; /* delivered by the CPU, or NULL */
			uint32_t insn_bytes;
		} memory;
		uint64_t detail; /* OTHER: the vendor's exit code */
	};
};

/* Handle it. Afterwards the backend enters again unless requests or resched are up, or the vCPU is not ready any more. */
void exit_handle(struct vcpu *v, const struct vexit *x);

/* #MC has ended the guest's turn: it costs this VM its life if what is lost was a guest's. */
void exit_machine_check(struct vcpu *v);

/* ---- The parts, each in its own file -------------------------------------------------------------------------------------------- */
void cpuid_handle(struct vcpu *v, unsigned length);
void msr_handle_read(struct vcpu *v, unsigned length);
void msr_handle_write(struct vcpu *v, unsigned length);
void hypercall_handle(struct vcpu *v, unsigned length);

/* Eight memory types that a CPU knows: SDM vol. 3A, table 12-10. */
bool msr_pat_valid(uint64_t value);

/* What XCR0 may hold. Boot core, once. */
void cpuid_init(void);

/* XCR0 and CR4 bits that guests may set. */
extern uint64_t cpuid_xcr0_mask;
#define CR4_GUEST \
	(CR4_VME | CR4_PVI | CR4_TSD | CR4_DE | CR4_PSE | CR4_PAE | CR4_MCE | CR4_PGE | CR4_PCE | CR4_OSFXSR | CR4_OSXMMEXCPT | CR4_UMIP | \
	 CR4_FSGSBASE | CR4_PCIDE | CR4_OSXSAVE | CR4_SMEP | CR4_SMAP)

#endif
