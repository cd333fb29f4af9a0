/* A vCPU's VMCB: creation, reset values, and the state that is switched with the vCPU rather than at each exit. */
#include "arch/x86_64/features.h"
#include "kernel/backend.h"
#include "mm/pool.h"
#include "svm/svm.h"

static void intercepts_init(struct vmcb *c)
{
	c->intercept_cr = INTERCEPT_CR_READ(8) | INTERCEPT_CR_WRITE(8);
	/* #DB and #AC are passed on; taking them stops a guest from locking the core up in endless delivery. */
	c->intercept_exceptions = INTERCEPT_EXCEPTION(1) | INTERCEPT_EXCEPTION(17);
	c->intercept_misc1 = INTERCEPT_INTR | INTERCEPT_NMI | INTERCEPT_RDPMC | INTERCEPT_CPUID | INTERCEPT_INVD | INTERCEPT_HLT |
			     INTERCEPT_INVLPGA | INTERCEPT_IOIO | INTERCEPT_MSR | INTERCEPT_SHUTDOWN;
	c->intercept_misc2 = INTERCEPT_VMRUN | INTERCEPT_VMMCALL | INTERCEPT_VMLOAD | INTERCEPT_VMSAVE | INTERCEPT_STGI |
			     INTERCEPT_CLGI | INTERCEPT_SKINIT | INTERCEPT_WBINVD | INTERCEPT_MONITOR | INTERCEPT_MWAIT |
			     INTERCEPT_XSETBV;
	if (svm_features.pause_filter) {
		c->intercept_misc1 |= INTERCEPT_PAUSE;
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
	c->msrpm_base_pa = pool_hpa(svm_msr_bitmap);
	c->virtual_interrupt = V_INTR_MASKING;
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

void svm_load(struct vcpu *v)
{
	struct vmcb *c = svm_vmcb(v);

	svm_vmload(v->backend_hpa);
	backend_load_vcpu(v);
	c->iopm_base_pa = pool_hpa(v->vm->io_bitmap != NULL ? v->vm->io_bitmap : svm_io_bitmap);
	c->g_pat = v->pat;
	c->tsc_offset = v->apic.tsc_offset;
	vmcb_dirty(c, CLEAN_ALL); /* another VMCB may have run here since */
}

void svm_unload(struct vcpu *v)
{
	backend_unload_vcpu(v);
	svm_vmsave(v->backend_hpa);
}
