/* A vCPU's VMCB: creation, reset values, and the state that is switched with the vCPU rather than at each exit. */
#include "mm/pool.h"
#include "svm/svm.h"

#define DR7_ENABLES 0xFFu

static void intercepts_init(struct vmcb *c)
{
	c->intercept_dr = INTERCEPT_DR_ADDRESSES;
	c->intercept_misc1 = INTERCEPT(VMEXIT_INTR) | INTERCEPT(VMEXIT_NMI) | INTERCEPT(VMEXIT_RDPMC) | INTERCEPT(VMEXIT_CPUID) |
	                     INTERCEPT(VMEXIT_INVD) | INTERCEPT(VMEXIT_HLT) | INTERCEPT(VMEXIT_INVLPGA) | INTERCEPT(VMEXIT_IOIO) |
	                     INTERCEPT(VMEXIT_MSR) | INTERCEPT(VMEXIT_SHUTDOWN);
	c->intercept_misc2 = INTERCEPT(VMEXIT_VMRUN) | INTERCEPT(VMEXIT_VMMCALL) | INTERCEPT(VMEXIT_VMLOAD) | INTERCEPT(VMEXIT_VMSAVE) |
	                     INTERCEPT(VMEXIT_STGI) | INTERCEPT(VMEXIT_CLGI) | INTERCEPT(VMEXIT_SKINIT) | INTERCEPT(VMEXIT_WBINVD) |
	                     INTERCEPT(VMEXIT_MONITOR) | INTERCEPT(VMEXIT_MWAIT) | INTERCEPT(VMEXIT_XSETBV);
	if (svm_features.pause_filter) {
		c->intercept_misc1 |= INTERCEPT(VMEXIT_PAUSE);
		c->pause_filter_count = 3000;
		c->pause_filter_threshold = svm_features.pause_threshold ? 128 : 0;
	}
}

enum status svm_create_vcpu(struct vcpu *v)
{
	struct vmcb *c = vm_alloc_pages(v->vm, 0);

	if (c == NULL)
		return STATUS_NO_MEMORY;
	intercepts_init(c);
	c->msrpm_base_pa = pool_hpa(backend_msr_bitmap);
	c->v_intr_masking = V_INTR_MASKING;
	c->v_intr_prio = V_IGN_TPR;
	v->apic.cr8 = &c->v_tpr;
	c->np_enable = NP_ENABLE;
	c->n_cr3 = v->vm->npt.root;
	v->backend = c;
	v->backend_hpa = pool_hpa(c);
	return STATUS_OK;
}

void svm_destroy_vcpu(struct vcpu *v)
{
	pool_free_page(v->backend);
}

void svm_dr_take(struct vcpu *v)
{
	VMCB_SET(svm_vmcb(v), intercept_dr, v->debug & HILUM_DEBUG_DR ? ~0u : 0);
	backend_load_debug(v);
}

static void dr_unload(struct vcpu *v, struct vmcb *c)
{
	backend_unload_debug(v);
	if (!(c->dr7 & DR7_ENABLES))
		VMCB_SET(c, intercept_dr, INTERCEPT_DR_ADDRESSES);
}

void svm_write_offset_and_pat(struct vcpu *v)
{
	struct vmcb *c = svm_vmcb(v);

	c->tsc_offset = v->apic.tsc_offset;
	c->g_pat = v->pat;
	c->clean = 0;
}

static never_inline void take_controls(struct vcpu *v, struct vmcb *c)
{
	v->controls_stale = false;
	c->iopm_base_pa = pool_hpa(v->vm->io_bitmap != NULL ? v->vm->io_bitmap : backend_io_bitmap);
	/* #MC is the machine's own. #DB and #AC are passed on; taking them stops a guest from locking the core up in endless delivery. */
	c->intercept_exceptions = INTERCEPT(VMEXIT_EXCP(1)) | INTERCEPT(VMEXIT_EXCP(17)) | INTERCEPT(VMEXIT_EXCP(18)) | (uint32_t)v->debug;
	c->intercept_cr = (c->intercept_cr & INTERCEPT(VMEXIT_CR_WRITE(8))) |
	                  (v->debug & HILUM_DEBUG_CR3 ? INTERCEPT(VMEXIT_CR_WRITE(3)) : 0);
	svm_write_offset_and_pat(v);
}

void svm_load(struct vcpu *v)
{
	struct vmcb *c = svm_vmcb(v);

	svm_vmload(v->backend_hpa);
	backend_load_vcpu(v);
	if (unlikely(c->intercept_dr != INTERCEPT_DR_ADDRESSES))
		svm_dr_take(v);
	c->clean = 0; /* another VMCB may have run here since */
	if (unlikely(v->controls_stale))
		take_controls(v, c);
}

void svm_unload(struct vcpu *v)
{
	struct vmcb *c = svm_vmcb(v);

	if (unlikely(c->intercept_dr != INTERCEPT_DR_ADDRESSES))
		dr_unload(v, c);
	svm_vmsave(v->backend_hpa);
}
