/* A vCPU's VMCB: creation, reset values, and the state that is switched with the vCPU rather than at each exit. */
#include "arch/x86_64/features.h"
#include "kernel/exit.h"
#include "kernel/fetch.h"
#include "mm/pool.h"
#include "svm/svm.h"

#define MSR_TSC_AUX 0xC0000103u

static void intercepts_init(struct vmcb *c)
{
	c->intercept_cr = INTERCEPT(VMEXIT_CR_READ(8)) | INTERCEPT(VMEXIT_CR_WRITE(8));
	/* #DB and #AC are passed on; taking them stops a guest from locking the core up in endless delivery. */
	c->intercept_exceptions = INTERCEPT(VMEXIT_EXCP(1)) | INTERCEPT(VMEXIT_EXCP(17));
	c->intercept_misc1 = INTERCEPT(VMEXIT_INTR) | INTERCEPT(VMEXIT_NMI) | INTERCEPT(VMEXIT_RDPMC) | INTERCEPT(VMEXIT_CPUID) |
			     INTERCEPT(VMEXIT_INVD) | INTERCEPT(VMEXIT_HLT) | INTERCEPT(VMEXIT_INVLPGA) | INTERCEPT(VMEXIT_IOIO) |
			     INTERCEPT(VMEXIT_MSR) | INTERCEPT(VMEXIT_SHUTDOWN);
	c->intercept_misc2 = INTERCEPT(VMEXIT_VMRUN) | INTERCEPT(VMEXIT_VMMCALL) | INTERCEPT(VMEXIT_VMLOAD) |
			     INTERCEPT(VMEXIT_VMSAVE) | INTERCEPT(VMEXIT_STGI) | INTERCEPT(VMEXIT_CLGI) |
			     INTERCEPT(VMEXIT_SKINIT) | INTERCEPT(VMEXIT_WBINVD) | INTERCEPT(VMEXIT_MONITOR) |
			     INTERCEPT(VMEXIT_MWAIT) | INTERCEPT(VMEXIT_XSETBV);
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
	c->iopm_base_pa = pool_hpa(v->vm->io_bitmap != NULL ? v->vm->io_bitmap : svm_io_bitmap);
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

/* SDM vol. 3A, table 9-1, which AMD's INIT follows too. */
void svm_reset(struct vcpu *v, bool power_up)
{
	struct vmcb *c = svm_vmcb(v);
	const struct vmcb_segment data = { 0, 0x93, 0xFFFF, 0 };

	c->cs = (struct vmcb_segment){ 0xF000, 0x9B, 0xFFFF, 0xFFFF0000 };
	c->ds = c->es = c->fs = c->gs = c->ss = data;
	c->ldtr = (struct vmcb_segment){ 0, 0x82, 0xFFFF, 0 };
	c->tr = (struct vmcb_segment){ 0, 0x8B, 0xFFFF, 0 };
	c->gdtr = c->idtr = (struct vmcb_segment){ 0, 0, 0xFFFF, 0 };
	c->cpl = 0;
	c->cr0 = power_up ? CR0_CD | CR0_NW | CR0_ET : (c->cr0 & (CR0_CD | CR0_NW)) | CR0_ET;
	c->cr2 = c->cr3 = c->cr4 = 0;
	c->efer = EFER_SVME;
	c->dr6 = 0xFFFF0FF0;
	c->dr7 = 0x400;
	c->eventinj = 0;
	if (power_up)
		c->g_pat = v->pat;
	vmcb_dirty(c, CLEAN_ALL);
}

void svm_start_at(struct vcpu *v, uint8_t page)
{
	struct vmcb *c = svm_vmcb(v);

	c->cs.selector = (uint16_t)(page << 8);
	c->cs.base = (uint64_t)page << 12;
	vmcb_dirty(c, CLEAN_SEG);
	v->rip = 0;
}

static void fpu_restore(const struct vcpu *v)
{
	if (!cpu_features.xsave) {
		__asm__ volatile("fxrstor64 (%0)" ::"r"(v->xsave) : "memory");
		return;
	}
	enum status bad;
	__asm__ volatile("xsetbv" ::"c"(0), "a"((uint32_t)cpuid_xcr0_mask), "d"(0) : "memory");
	__asm__ volatile("xrstor64 (%0)" ::"r"(v->xsave), "a"(0xFFFFFFFF), "d"(0xFFFFFFFF) : "memory");
	bad = xsetbv_safe(0, v->xcr0);
	(void)bad; /* validated when it was set, or read back from the CPU */
}

static void fpu_save(struct vcpu *v)
{
	if (!cpu_features.xsave) {
		__asm__ volatile("fxsave64 (%0)" ::"r"(v->xsave) : "memory");
		return;
	}
	v->xcr0 = xgetbv(0);
	__asm__ volatile("xsetbv" ::"c"(0), "a"((uint32_t)cpuid_xcr0_mask), "d"(0) : "memory");
	__asm__ volatile("xsave64 (%0)" ::"r"(v->xsave), "a"(0xFFFFFFFF), "d"(0xFFFFFFFF) : "memory");
}

void svm_load(struct vcpu *v)
{
	svm_vmload(v->backend_hpa);
	fpu_restore(v);
	cpu_write_dr0(v->dr[0]);
	cpu_write_dr1(v->dr[1]);
	cpu_write_dr2(v->dr[2]);
	cpu_write_dr3(v->dr[3]);
	if (cpu_features.rdtscp)
		wrmsr(MSR_TSC_AUX, v->tsc_aux);
	vmcb_dirty(svm_vmcb(v), CLEAN_ALL); /* another VMCB may have run here since */
	fetch_forget(v);
	if (unlikely(svm_vmcb(v)->virtual_interrupt & V_IRQ))
		cpu_timer_tick(v->cpu, true);
}

void svm_unload(struct vcpu *v)
{
	if (unlikely(svm_vmcb(v)->virtual_interrupt & V_IRQ))
		cpu_timer_tick(v->cpu, false);
	fpu_save(v);
	v->dr[0] = cpu_read_dr0();
	v->dr[1] = cpu_read_dr1();
	v->dr[2] = cpu_read_dr2();
	v->dr[3] = cpu_read_dr3();
	svm_vmsave(v->backend_hpa);
}
