/*
 * The local APIC by the CPU: TPR, interrupt delivery and EOI without exits, the other registers read without one in x2APIC mode.
 * SDM vol. 3C, chapter 30 "APIC Virtualization and Virtual Interrupts". The neutral vcpu.apic stays the truth for all registers that
 * only software changes, and whenever the vCPU is not loaded; what the CPU changes lives in the virtual-APIC page from an entry until
 * somebody wants to look (vmx_fetch_apic). IRR in vcpu.apic then holds what has come since.
 */
#include "kernel/vlapic_internal.h"
#include "arch/x86_64/string.h"
#include "mm/pool.h"
#include "vmx/vmx.h"

static uint64_t page_get(const struct vmx_vcpu *x, unsigned reg)
{
	return x->apic_page[reg * 4] | (uint64_t)x->apic_page[reg * 4 + 4] << 32;
}

static void page_put(struct vmx_vcpu *x, unsigned reg, uint64_t value)
{
	x->apic_page[reg * 4] = (uint32_t)value;
	x->apic_page[reg * 4 + 4] = (uint32_t)(value >> 32);
}

void vmx_write_apic_controls(struct vcpu *v)
{
	struct vmx_vcpu *x = vmx_of(v);

	x->apic_in_page = !vmx_has_apic();
	if (!vmx_has_apic())
		return;
	x->apic_page = (uint32_t *)((uint8_t *)x + PAGE_SIZE);
	vmx_write(VMCS_VIRTUAL_APIC, v->backend_hpa + 2 * PAGE_SIZE);
	for (unsigned i = 0; i < 4; i++)
		vmx_write(VMCS_EOI_EXIT(i), 0);
	if (vmx_controls.pin & PIN_POSTED_INTERRUPTS) {
		vmx_write(VMCS_POSTED_VECTOR, CPU_IRQ_POSTED);
		vmx_write(VMCS_POSTED_DESCRIPTOR, pool_hpa(v->apic.irr)); /* 30.6: 256 bits, then the CPU's own */
	}
}
_Static_assert(offsetof(struct vlapic, notification) - offsetof(struct vlapic, irr) == 32, "a posted-interrupt descriptor");

static void page_enter(struct vcpu *v, struct vmx_vcpu *x)
{
	struct vlapic *a = &v->apic;
	bool x2apic = a->mode == VLAPIC_X2APIC;

	for (unsigned reg = 0; x2apic && reg < APIC_REGISTER_COUNT; reg++) /* else no read finds them there */
		if (reg < APIC_ISR || reg >= APIC_ESR)
			x->apic_page[reg * 4] = a->reg[reg];
	for (unsigned i = 0; i < 4 && a->isrv != 0; i++)
		page_put(x, APIC_ISR + 2 * i, a->isr[i]);
	x->apic_page[APIC_TPR * 4] = a->tpr;
	if (x2apic != x->x2apic) {
		vmx_write(VMCS_SECONDARY_CONTROLS, vmx_controls.secondary | (x2apic ? SECONDARY_X2APIC : 0));
		vmx_write(VMCS_MSR_BITMAP, pool_hpa(vmx_msr_bitmap) + (x2apic ? PAGE_SIZE : 0));
	}
	x->x2apic = x2apic;
	x->apic_in_page = true;
	PUBLISH(a->ppr, 0xFF); /* nothing is vlapic_take's to take */
}

/*
 * A vector that has just become level-triggered may have been delivered and ended before the CPU was told to exit for its end: that
 * end is told now. It may also be about to come: then its sender hears of an end too early, and as its line is up, sends it again.
 */
static void tell_ends(struct vcpu *v, unsigned word, uint64_t vectors)
{
	for (; vectors; vectors &= vectors - 1)
		vlapic_eoi_level(&v->apic, (uint8_t)(word * 64 + (unsigned)__builtin_ctzll(vectors)));
}

void vmx_commit_apic(struct vcpu *v)
{
	struct vmx_vcpu *x = vmx_of(v);
	struct vlapic *a = &v->apic;
	bool was_in_page = x->apic_in_page;
	uint64_t old = was_in_page ? vmx_read(VMCS_GUEST_INTERRUPT_STATUS) : (uint64_t)a->isrv << 8, status = old;

	if (!was_in_page)
		page_enter(v, x);
	for (unsigned i = 0; i < 4; i++) {
		if (PUBLISHED(a->irr[i]) != 0) {
			uint64_t irr = __atomic_exchange_n(&a->irr[i], 0, __ATOMIC_SEQ_CST);
			unsigned highest = i * 64 + 63 - (unsigned)__builtin_clzll(irr);
			page_put(x, APIC_IRR + 2 * i, page_get(x, APIC_IRR + 2 * i) | irr);
			if (highest > (status & 0xFF))
				status = (status & 0xFF00) | highest;
		}
		uint64_t tmr = PUBLISHED(a->tmr[i]); /* after IRR: see vlapic_request */
		if (likely(tmr == v->eoi_exits[i]))
			continue;
		if (was_in_page)
			tell_ends(v, i, tmr & ~(v->eoi_exits[i] | page_get(x, APIC_IRR + 2 * i) | page_get(x, APIC_ISR + 2 * i)));
		page_put(x, APIC_TMR + 2 * i, tmr);
		vmx_write(VMCS_EOI_EXIT(i), tmr);
		PUBLISH(v->eoi_exits[i], tmr);
	}
	if (status != old || !was_in_page)
		vmx_write(VMCS_GUEST_INTERRUPT_STATUS, status);
}

void vmx_fetch_apic(struct vcpu *v)
{
	struct vmx_vcpu *x = vmx_of(v);
	struct vlapic *a = &v->apic;

	if (!vmx_has_apic() || !x->apic_in_page)
		return;
	bool idle = vmx_read(VMCS_GUEST_INTERRUPT_STATUS) == 0; /* nothing waits and nothing is in service */
	for (unsigned i = 0; i < 4 && !idle; i++) {
		a->isr[i] = page_get(x, APIC_ISR + 2 * i);
		page_put(x, APIC_ISR + 2 * i, 0);
		__atomic_fetch_or(&a->irr[i], page_get(x, APIC_IRR + 2 * i), __ATOMIC_SEQ_CST);
		page_put(x, APIC_IRR + 2 * i, 0);
	}
	if (idle)
		memset(a->isr, 0, sizeof(a->isr));
	int in_service = vlapic_highest(a->isr);
	a->isrv = in_service < 0 ? 0 : (uint8_t)in_service;
	vlapic_set_tpr(a, (uint8_t)x->apic_page[APIC_TPR * 4]);
	x->apic_in_page = false;
}

void vmx_prepare_apic_wrmsr(struct vcpu *v)
{
	uint32_t msr = (uint32_t)v->gpr[1];

	if (msr == MSR_X2APIC_FIRST + APIC_ICR_LOW)
		v->check_interrupts = true; /* an interrupt to itself is in IRR */
	else if (msr - MSR_X2APIC_FIRST <= MSR_X2APIC_LAST - MSR_X2APIC_FIRST || msr == MSR_IA32_APIC_BASE)
		vmx_fetch_apic(v);
}

/* 30.1.4 and 30.4.3: both exits come after the instruction. */
void vmx_handle_apic_write(struct vcpu *v, bool is_eoi)
{
	unsigned which = vmx_read(VMCS_QUALIFICATION) & PAGE_MASK;

	if (!is_eoi) { /* a SELF IPI that the CPU does not like */
		vmx_fetch_apic(v);
		vlapic_ipi(&v->apic, (vmx_of(v)->apic_page[which / 4] & 0xFF) | (uint64_t)APIC_TO_SELF << APIC_ICR_SHORTHAND_SHIFT);
	} else if (PUBLISHED(v->apic.tmr[which / 64 & 3]) >> which % 64 & 1) {
		vlapic_eoi_level(&v->apic, (uint8_t)which);
	}
}
