/*
 * MSRs that exit. Those which the vendor's backend switches or the CPU loads with the guest never come here; what is left is the
 * local APIC, paravirtual clocks, a few that need a check, and a short list that operating systems touch without asking.
 */
#include <hilum/defences.h>
#include "arch/x86_64/features.h"
#include "arch/x86_64/speculation.h"
#include "kernel/exit.h"
#include "kernel/pvclock.h"
#include "kernel/virt_ops.h"

#define MSR_TSC 0x10u
#define MSR_PAT 0x277u

/* Read as the value here, writes dropped: nothing that a guest could rely on. */
static const struct {
	uint32_t msr;
	uint64_t value;
} inert[] = {
	{ 0x17, 0 },       /* IA32_PLATFORM_ID */
	{ 0x8B, 0 },       /* microcode revision */
	{ 0x1A0, 1 },      /* IA32_MISC_ENABLE: fast strings */
	{ 0xC0010010, 0 }, /* SYSCFG */
	{ 0xC0010015, 0 }, /* HWCR */
	{ 0xC001001F, 0 }, /* NB_CFG */
	{ 0xC0010055, 0 }, /* INTPEND */
	{ 0xC0011029, 2 }, /* DE_CFG: LFENCE serialises */
};

static bool inert_find(uint32_t msr, uint64_t *value)
{
	for (unsigned i = 0; i < ARRAY_SIZE(inert); i++) {
		if (inert[i].msr != msr)
			continue;
		*value = inert[i].value;
		return true;
	}
	return false;
}

static bool is_apic_msr(uint32_t msr)
{
	return msr - MSR_X2APIC_FIRST <= MSR_X2APIC_LAST - MSR_X2APIC_FIRST || msr == MSR_IA32_APIC_BASE || msr == MSR_IA32_TSC_DEADLINE;
}

/* MSRs that are not the local APIC's. An error: #GP. Not inlined: the APIC's, which are the frequent ones, would pay for it. */
static never_inline enum status msr_read(struct vcpu *v, uint32_t msr, uint64_t *value)
{
	switch (msr) {
	case MSR_TSC:
		*value = vlapic_guest_tsc(&v->apic);
		return STATUS_OK;
	case MSR_PAT:
		*value = v->pat;
		return STATUS_OK;
	case EFER_MSR:
		*value = vcpu_paging(v)->efer;
		return STATUS_OK;
	case MSR_TSC_AUX:
		*value = v->tsc_aux;
		return cpu_features.rdtscp ? STATUS_OK : STATUS_INVALID;
	case MSR_SPEC_CTRL:
		*value = v->spec_ctrl;
		return speculation_guest_bits != 0 ? STATUS_OK : STATUS_INVALID;
	case MSR_ARCH_CAPABILITIES:
		*value = host_health.arch_capabilities & HILUM_ARCH_SHOWN;
		return host_health.leaf7_edx & HILUM_LEAF7_ARCH ? STATUS_OK : STATUS_INVALID;
	default:
		break;
	}
	const uint64_t *clock = pvclock_register(v, msr);
	if (clock != NULL)
		*value = *clock;
	return clock != NULL || inert_find(msr, value) ? STATUS_OK : STATUS_INVALID;
}

bool msr_pat_valid(uint64_t value)
{
	for (unsigned i = 0; i < 64; i += 8) {
		uint8_t type = (uint8_t)(value >> i);
		if (type > 7 || type == 2 || type == 3)
			return false;
	}
	return true;
}

/* SDM vol. 3A, 2.2.1: LMA is the CPU's; LME may not change while paging is on. */
static enum status write_efer(struct vcpu *v, uint64_t value)
{
	uint64_t old = vcpu_paging(v)->efer;
	uint64_t allowed = EFER_SCE | EFER_LME | EFER_LMA | EFER_NXE;

	if ((value & ~allowed) || (((value ^ old) & EFER_LME) && (v->paging.cr0 & CR0_PG)))
		return STATUS_INVALID;
	virt->set_efer(v, (value & ~EFER_LMA) | (old & EFER_LMA));
	v->paging_valid = false;
	return STATUS_OK;
}

static never_inline enum status msr_write(struct vcpu *v, uint32_t msr, uint64_t value)
{
	uint64_t ignored;

	switch (msr) {
	case MSR_TSC:
		vlapic_set_tsc_offset(&v->apic, value - rdtsc());
		virt->write_offset_and_pat(v);
		return STATUS_OK;
	case MSR_PAT:
		if (!msr_pat_valid(value))
			return STATUS_INVALID;
		v->pat = value;
		virt->write_offset_and_pat(v);
		return STATUS_OK;
	case EFER_MSR:
		return write_efer(v, value);
	case MSR_TSC_AUX:
		if (value > UINT32_MAX || !cpu_features.rdtscp)
			return STATUS_INVALID;
		v->tsc_aux = value;
		wrmsr(MSR_TSC_AUX, value);
		return STATUS_OK;
	case MSR_SPEC_CTRL:
		if (speculation_guest_bits == 0 || value & ~speculation_guest_bits)
			return STATUS_INVALID;
		v->spec_ctrl = value;
		speculation_set_control(value);
		return STATUS_OK;
	case MSR_PRED_CMD: /* IBPB, which is all that there is, acts here and now */
		if (!(host_health.defences & HILUM_DEFENCE_IBPB) || value > 1)
			return STATUS_INVALID;
		if (value != 0)
			wrmsr(MSR_PRED_CMD, value);
		return STATUS_OK;
	default:
		break;
	}
	uint64_t *clock = pvclock_register(v, msr);
	if (clock != NULL)
		return pvclock_write(v, clock, value);
	return inert_find(msr, &ignored) ? STATUS_OK : STATUS_INVALID;
}

void msr_handle_read(struct vcpu *v, unsigned length)
{
	uint32_t msr = (uint32_t)v->gpr[1];
	uint64_t value = 0;
	enum status status = is_apic_msr(msr) ? vlapic_msr_read(&v->apic, msr, &value) : msr_read(v, msr, &value);

	if (status != STATUS_OK) {
		VCPU_RAISE_GP(v);
		return;
	}
	v->gpr[0] = (uint32_t)value;
	v->gpr[2] = value >> 32;
	vcpu_skip(v, length);
}

void msr_handle_write(struct vcpu *v, unsigned length)
{
	uint32_t msr = (uint32_t)v->gpr[1];
	uint64_t value = v->gpr[2] << 32 | (uint32_t)v->gpr[0];
	enum status status;

	if (likely(is_apic_msr(msr))) {
		status = vlapic_msr_write(&v->apic, msr, value);
		vcpu_apic_changed(v);
	} else {
		status = msr_write(v, msr, value);
	}
	if (status == STATUS_OK)
		vcpu_skip(v, length);
	else if (status != STATUS_BUSY) /* then the guest comes again */
		VCPU_RAISE_GP(v);
}
