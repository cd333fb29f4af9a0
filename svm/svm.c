/* SVM: what the machine offers, the shared permission maps, and entering root operation. APM vol. 2, chapter 15. */
#include "svm/svm.h"
#include "arch/x86_64/features.h"
#include "arch/x86_64/log.h"
#include "mm/pool.h"

#define MSR_VM_CR       0xC0010114u
#define VM_CR_SVMDIS    (1ull << 4)
#define MSR_VM_HSAVE_PA 0xC0010117u

sealed struct svm_features svm_features;

static enum status svm_probe(const char **why)
{
	uint64_t vm_cr = 0;

	if (cpu_features.vendor != CPU_VENDOR_AMD)
		return STATUS_UNSUPPORTED;
	if (!cpu_features.svm) {
		*why = "this AMD CPU does not offer SVM; under an emulator choose a CPU model that has it (QEMU: -cpu max or EPYC,+svm)";
		return STATUS_UNSUPPORTED;
	}
	if (rdmsr_safe(MSR_VM_CR, &vm_cr) == STATUS_OK && (vm_cr & VM_CR_SVMDIS)) {
		*why = "the firmware has locked SVM off: enable virtualization (SVM Mode) in its set-up";
		return STATUS_UNSUPPORTED;
	}
	struct cpuid_regs r = cpuid(0x8000000A, 0);
	if (!(r.edx & 1u << 0)) {
		*why = "this CPU has SVM but no nested paging, which Hilum needs: use a CPU from 2007 or later (QEMU: -cpu max or EPYC,+svm)";
		return STATUS_UNSUPPORTED;
	}
	svm_features = (struct svm_features){
		.asids = r.ebx,
		.nrip = r.edx >> 3 & 1,
		.clean = r.edx >> 5 & 1,
		.decode_assists = r.edx >> 7 & 1,
		.pause_filter = r.edx >> 10 & 1,
		.pause_threshold = r.edx >> 12 & 1,
	};
	if (svm_features.asids < 2) {
		*why = "this CPU's SVM offers no address space identifiers";
		return STATUS_UNSUPPORTED;
	}
	return STATUS_OK;
}

/* 15.11: two bits an MSR, read then write, in three ranges of 8192 MSRs. */
static void msr_pass(uint32_t msr)
{
	uint32_t bit = msr < 0x2000 ? msr * 2 : 0x800 * 8 + (msr - 0xC0000000) * 2;

	backend_msr_bitmap[bit >> 3] &= (uint8_t) ~(3u << (bit & 7));
}

static enum status svm_init(void)
{
	/* APM vol. 2, 5.3 and 15.25.5: nested walks are user accesses, so U/S is set everywhere. */
	static const struct nested_pt_format format = {
		.table = 0x7,
		.leaf = {
			[HILUM_MAP_READ] = 0x5 | 1ull << 63,
			[HILUM_MAP_READ | HILUM_MAP_WRITE] = 0x7 | 1ull << 63,
			[HILUM_MAP_READ | HILUM_MAP_EXECUTE] = 0x5,
			[HILUM_MAP_READ | HILUM_MAP_WRITE | HILUM_MAP_EXECUTE] = 0x7,
		},
		.flip = 1ull << 63,
		.uncached = 0x18, /* PCD, PWT: entry 3 of the host's PAT, UC */
	};

	nested_pt_set_format(&format, cpu_features.page_1g ? 3 : 2);
	log_info("SVM: %u ASIDs%s%s%s%s", svm_features.asids, svm_features.nrip ? ", next RIP" : "",
	         svm_features.decode_assists ? ", decode assists" : "", svm_features.clean ? ", clean bits" : "",
	         svm_features.pause_filter ? ", pause filter" : "");
	return backend_make_bitmaps(msr_pass);
}

static enum status svm_enable_core(struct cpu *cpu)
{
	wrmsr(EFER_MSR, rdmsr(EFER_MSR) | EFER_SVME);
	wrmsr(MSR_VM_HSAVE_PA, pool_hpa(cpu->virt_page));
	__asm__ volatile("clgi" ::: "memory"); /* interrupts come in svm_run's and svm_idle's windows only, from here on */
	return STATUS_OK;
}

static void svm_set_cr2(struct vcpu *v, uint64_t value)
{
	VMCB_SET(svm_vmcb(v), cr2, value);
}

static void svm_note_single_step(struct vcpu *v)
{
	struct vmcb *c = svm_vmcb(v);

	VMCB_SET(c, dr6, c->dr6 | 1u << 14);
}

static void svm_set_efer(struct vcpu *v, uint64_t value)
{
	VMCB_SET(svm_vmcb(v), efer, value | EFER_SVME); /* 15.5.1: SVME must be set for VMRUN */
}

static void svm_watch_pause(struct vcpu *v, bool watch)
{
	struct vmcb *c = svm_vmcb(v);

	v->pauses_unfiltered = !svm_features.pause_filter;
	if (v->pauses_unfiltered)
		VMCB_SET(c, intercept_misc1, (c->intercept_misc1 & ~INTERCEPT(VMEXIT_PAUSE)) | (watch ? INTERCEPT(VMEXIT_PAUSE) : 0));
}

sealed static struct virt_ops svm_ops = {
	.name = "SVM",
	.probe = svm_probe,
	.init = svm_init,
	.enable_core = svm_enable_core,
	.create_vcpu = svm_create_vcpu,
	.destroy_vcpu = svm_destroy_vcpu,
	.load = svm_load,
	.unload = svm_unload,
	.run = svm_run,
	.fetch_paging = svm_fetch_paging,
	.set_cr2 = svm_set_cr2,
	.note_single_step = svm_note_single_step,
	.set_efer = svm_set_efer,
	.write_offset_and_pat = svm_write_offset_and_pat,
	.watch_pause = svm_watch_pause,
	.get_state = svm_get_state,
	.set_state = svm_set_state,
	.idle = svm_idle,
};
VIRT_BACKEND(svm_ops);
