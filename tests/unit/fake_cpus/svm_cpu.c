/* A CPU with SVM. APM vol. 2, 15.5.1 "Basic Operation: Canonicalization and Consistency Checks", 15.5.2, 15.20. */
#include "svm/svm.c"
#include "tests/unit/fake_cpus/cpus.h"
#include "tests/unit/fake_kernel/machine.h"

#define CS_LONG    (1u << 9)
#define CS_DEFAULT (1u << 10)

static hpa_t loaded;
static uint32_t last_asid;

static const struct vmcb *vmcb_at(hpa_t hpa)
{
	return pool_va(hpa);
}

void svm_vmload(hpa_t hpa)
{
	const struct vmcb *c = vmcb_at(hpa);

	fake_cpu_want(fake_cpu_canonical(c->segments[VMCB_FS].base) && fake_cpu_canonical(c->segments[VMCB_GS].base) &&
	                      fake_cpu_canonical(c->segments[VMCB_TR].base) && fake_cpu_canonical(c->segments[VMCB_LDTR].base),
	              "bases that VMLOAD takes are canonical");
	fake_cpu_want(fake_cpu_canonical(c->lstar) && fake_cpu_canonical(c->cstar) && fake_cpu_canonical(c->kernel_gs_base) &&
	                      fake_cpu_canonical(c->sysenter_esp) && fake_cpu_canonical(c->sysenter_eip),
	              "MSRs that VMLOAD takes are canonical");
	loaded = hpa;
}

void svm_vmsave(hpa_t hpa)
{
	fake_cpu_want(hpa == loaded, "VMSAVE goes where VMLOAD came from");
}

static void check_controls(const struct vcpu *v, const struct vmcb *c)
{
	fake_cpu_want(c->intercept_misc2 & INTERCEPT(VMEXIT_VMRUN), "VMRUN is intercepted");
	fake_cpu_want((c->intercept_misc1 & INTERCEPT(VMEXIT_INTR)) && (c->intercept_misc1 & INTERCEPT(VMEXIT_NMI)) &&
	                      (c->intercept_misc1 & INTERCEPT(VMEXIT_MSR)) && (c->intercept_misc1 & INTERCEPT(VMEXIT_IOIO)),
	              "interrupts, MSRs and ports are intercepted");
	fake_cpu_want(c->guest_asid != 0 && c->guest_asid < svm_features.asids, "the ASID is one");
	fake_cpu_want(!fake_cpu.tlb_is_old || c->guest_asid != last_asid, "the ASID is new");
	fake_cpu_want(c->np_enable == NP_ENABLE && c->n_cr3 == v->vm->npt.root, "nested tables are the VM's");
	fake_cpu_want(c->v_intr_masking & V_INTR_MASKING, "the guest masks its own interrupts only");
	fake_cpu_want(c->v_tpr < 16, "V_TPR is a CR8");
	fake_cpu_want(!(c->v_irq & V_IRQ) || (c->intercept_cr & INTERCEPT(VMEXIT_CR_WRITE(8))), "writes of CR8 exit beside V_IRQ");
	fake_cpu_want(c->msrpm_base_pa == pool_hpa(backend_msr_bitmap) && c->iopm_base_pa == pool_hpa(backend_io_bitmap),
	              "permission maps are the kernel's");
	fake_cpu_want(c->g_pat == v->pat && c->tsc_offset == v->apic.tsc_offset, "PAT and TSC offset are the vCPU's");
	last_asid = c->guest_asid;
}

/* 15.20: an exception's vector is one of an exception. */
static void check_event(uint64_t event)
{
	unsigned type = event >> 8 & 7, vector = event & 0xFF;

	fake_cpu_want(type == 0 || type == 2 || type == 3, "an event's type is interrupt, NMI or exception");
	fake_cpu_want(type != 3 || (vector < 32 && vector != 2), "an exception's vector is one of an exception");
	fake_cpu_want(!(event & 0x7FFFF000), "an event's reserved bits are 0");
}

static void check_state(const struct vmcb *c)
{
	bool long_mode = (c->efer & EFER_LME) && (c->cr0 & CR0_PG);

	fake_cpu_check_control(c->cr0, c->cr3, c->cr4, c->efer, long_mode);
	fake_cpu_want(c->efer & EFER_SVME, "EFER.SVME is set");
	fake_cpu_want((c->cr0 & CR0_CD) || !(c->cr0 & CR0_NW), "CR0.NW needs CD");
	fake_cpu_want(!(c->cr4 & ~CR4_GUEST), "CR4 has bits of the guest's alone");
	fake_cpu_want(!(c->dr6 >> 32) && !(c->dr7 >> 32), "the upper halves of DR6 and DR7 are 0");
	if (c->dr7 & 0xFF)
		fake_cpu_want(c->intercept_dr == 0 || c->intercept_dr == ~0u, "breakpoints are on with the registers in place only");
}

void svm_enter(struct vcpu *v, hpa_t hpa)
{
	struct vmcb *c = v->backend;
	bool long_code = (c->efer & EFER_LME) && (c->cr0 & CR0_PG) && (c->segments[VMCB_CS].attributes & CS_LONG);

	fake_cpu_want(hpa == loaded && hpa == pool_hpa(c), "the VMCB is the one that is loaded");
	check_controls(v, c);
	if (c->eventinj & EVENT_VALID)
		check_event(c->eventinj);
	check_state(c);
	fake_cpu.tlb_is_old = false;
	fake_cpu.entries++;
	c->exitintinfo = c->exitinfo1 = c->exitinfo2 = 0;
	fake_cpu.failed = fake_cpu.refuses || (long_code && (c->segments[VMCB_CS].attributes & CS_DEFAULT));
	if (fake_cpu.failed) {
		c->exitcode = ~0ull;
		return;
	}
	c->eventinj &= ~EVENT_VALID;
	c->rflags = fake_cpu.rflags;
	c->interrupt_shadow = fake_cpu.shadow;
	if (!(c->intercept_cr & INTERCEPT(VMEXIT_CR_WRITE(8))))
		c->v_tpr = fake_cpu.cr8 & 15;
	c->nrip = c->rip + 1;
	c->exitcode = fake_cpu.entries > MACHINE_ENTRIES_MAX ? VMEXIT_SHUTDOWN : fake_cpu.halts ? VMEXIT_HLT : VMEXIT_VINTR;
	if (!fake_cpu.halts)
		fake_cpu_stop(v);
}

void fake_cpu_boot_svm(bool clean_bits)
{
	memset(&fake_cpu, 0, sizeof(fake_cpu));
	svm_features = (struct svm_features){ .asids = 16, .nrip = true, .clean = clean_bits, .decode_assists = true };
	fake_wrmsr = NULL;
	loaded = 0;
	last_asid = 0;
	svm_ops.idle = fake_idle;
	virt = &svm_ops;
}
