/* The VMX backend's own declarations; nothing outside vmx/ includes this. */
#ifndef VMX_VMX_H
#define VMX_VMX_H

#include "kernel/backend.h"
#include "kernel/virt_ops.h"
#include "vmx/access.h"
#include "vmx/control.h"
#include "vmx/vmcs.h"

extern struct vmx_controls vmx_controls;

/* MSRs that are the guest's while its vCPU is loaded, beside those in the VMCS: STAR, LSTAR, CSTAR, SFMASK, KERNEL_GS_BASE. */
#define VMX_MSR_COUNT 5

/*
 * What belongs to a vCPU beside its VMCS: what the VMCS is known to hold, so that only changes are written, and the registers
 * that are neither in it nor in struct vcpu. The VMCS is active on a core only while its vCPU is loaded there, or borrowed.
 */
struct vmx_vcpu {
	uint64_t host_rsp; /* offset 0: entry.asm */
	uint64_t rip, rsp, rflags;
	bool rsp_known; /* rsp, and the vCPU's gpr[4], hold the guest's */
	bool launched;
	bool debug_taken;  /* the guest uses DR0 to DR3 and DR6: they are the CPU's while it is loaded; else their use exits */
	bool pdptes_stale; /* the four PAE entries must be read from the guest's memory */
	uint32_t interruptibility;
	uint32_t primary; /* controls */
	uint64_t cr0_shadow, cr4_shadow;
	uint64_t ept_pointer;
	volatile uint32_t *apic_page; /* the virtual-APIC page (30.1) */
	bool apic_in_page; /* TPR is there, not in vcpu.apic; where the CPU delivers interrupts, also ISR and what was accepted of IRR */
	uint32_t secondary, tpr_threshold;     /* as in the VMCS; secondary only where the CPU delivers interrupts */
	uint64_t cr2, dr6, msr[VMX_MSR_COUNT]; /* while it is not loaded */
};
_Static_assert(offsetof(struct vmx_vcpu, host_rsp) == 0, "entry.asm");

static inline struct vmx_vcpu *vmx_of(const struct vcpu *v)
{
	return v->backend;
}

/* entry.asm. False: the CPU refused, and the guest has not run. */
bool vmx_enter(struct vcpu *v, struct vmx_vcpu *x, bool launched);
void vmx_exit(void);

/* vcpu.c */
enum status vmx_create_vcpu(struct vcpu *v);
void vmx_destroy_vcpu(struct vcpu *v);
void vmx_load(struct vcpu *v);
void vmx_unload(struct vcpu *v);
void vmx_write_offset_and_pat(struct vcpu *v);
void vmx_take_debug(struct vcpu *v);        /* loaded */
void vmx_write_timer(const struct vcpu *v); /* the preemption timer starts again; VMCS current */
/* Make the VMCS of `v`, whether loaded or not, current; _return undoes it. Returns what _return wants. */
bool vmx_borrow(struct vcpu *v);
void vmx_return(struct vcpu *v, bool borrowed);

/* apic.c */
/* The CPU delivers interrupts, and has the registers in both modes. Else it has TPR. */
static inline bool vmx_has_apic(void)
{
	return vmx_controls.secondary & SECONDARY_INTERRUPT_DELIVERY;
}
must_check enum status vmx_init_apic(struct vcpu *v); /* of a new vCPU. STATUS_NO_MEMORY. VMCS current */
void vmx_commit_apic(struct vcpu *v);                 /* before an entry: what is in vcpu.apic goes to the page. VMCS current */
bool vmx_apic_must_commit(struct vcpu *v);            /* it has been fetched: false if nothing has come of that */
void vmx_fetch_apic(struct vcpu *v);                  /* and back: vcpu.apic is the truth until the next entry */
void vmx_write_tpr_threshold(struct vcpu *v);         /* where the CPU does not deliver: an exit when TPR lets the highest in IRR pass */
void vmx_prepare_apic_msr(struct vcpu *v);            /* RDMSR or WRMSR has exited: fetch what it may be about */
void vmx_handle_apic_write(struct vcpu *v, bool is_eoi);

/* state.c */
void vmx_fetch_paging(struct vcpu *v);
void vmx_fetch_rsp(struct vcpu *v); /* VMCS current */
void vmx_get_state(struct vcpu *v, struct hilum_vcpu_state *state, uint32_t mask);
void vmx_set_state(struct vcpu *v, const struct hilum_vcpu_state *state, uint32_t mask);

/* run.c */
void vmx_run(struct vcpu *v);

/* failure.c: an entry failed; the VM stops. */
void vmx_entry_refused(struct vcpu *v);
void vmx_entry_failed(struct vcpu *v, uint32_t reason);

#endif
