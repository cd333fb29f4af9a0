/*
 * The local APIC by the CPU. At least TPR (CR8); with virtual-interrupt delivery also interrupts, EOI and the registers, by MSR in
 * x2APIC mode and by the APIC-access page in xAPIC mode. SDM vol. 3C, chapter 30 "APIC Virtualization and Virtual Interrupts".
 * The neutral vcpu.apic stays the truth for all registers that only software changes. What the CPU changes lives in the virtual-APIC
 * page from an entry until somebody wants to look (vmx_fetch_apic), also while the vCPU is not loaded. IRR in vcpu.apic then holds
 * what has come since.
 */
#include "kernel/vlapic_internal.h"
#include "mm/pool.h"
#include "vmx/vmx.h"

/* What the guest reads from the page and only software changes: ID, VERSION, LDR, DFR, SVR, ESR, ICR, LVTs, initial count, divisor. */
#define SOFTWARE_REGISTERS (3ull << APIC_ID | 7ull << APIC_LDR | 1ull << APIC_ESR | 0x1FFull << APIC_ICR_LOW | 1ull << APIC_DIVIDE)

static uint64_t page_get(const struct vmx_vcpu *x, unsigned reg)
{
	return x->apic_page[reg * 4] | (uint64_t)x->apic_page[reg * 4 + 4] << 32;
}

static void page_put(struct vmx_vcpu *x, unsigned reg, uint64_t value)
{
	x->apic_page[reg * 4] = (uint32_t)value;
	x->apic_page[reg * 4 + 4] = (uint32_t)(value >> 32);
}

/* In xAPIC mode the guest writes these without an exit, or with one that tells of the lower half only. */
static void take_icr(const struct vmx_vcpu *x, struct vlapic *a)
{
	a->reg[APIC_ICR_LOW] = x->apic_page[APIC_ICR_LOW * 4] & vlapic_writable[APIC_ICR_LOW];
	a->reg[APIC_ICR_HIGH] = x->apic_page[APIC_ICR_HIGH * 4] & vlapic_writable[APIC_ICR_HIGH];
}

static void page_put_registers(struct vmx_vcpu *x, const struct vlapic *a)
{
	for (uint64_t rest = SOFTWARE_REGISTERS; rest; rest &= rest - 1) {
		unsigned reg = (unsigned)__builtin_ctzll(rest);
		x->apic_page[reg * 4] = a->reg[reg];
	}
}

/*
 * 30.4: the APIC-access page is the first vCPU's, which lives as long as the VM, for all of them. Nobody ever sees what is in it, but
 * calls of the VM itself that name its address.
 */
enum status vmx_init_apic(struct vcpu *v)
{
	struct vmx_vcpu *x = vmx_of(v);
	hpa_t page = v->backend_hpa + 3 * PAGE_SIZE;
	uint64_t bytes;

	x->apic_page = (uint32_t *)((uint8_t *)x + PAGE_SIZE);
	vmx_write(VMCS_VIRTUAL_APIC, v->backend_hpa + 2 * PAGE_SIZE);
	if (!vmx_has_apic())
		return STATUS_OK;
	for (unsigned i = 0; i < 4; i++)
		vmx_write(VMCS_EOI_EXIT(i), 0);
	if (vmx_controls.pin & PIN_POSTED_INTERRUPTS) {
		vmx_write(VMCS_POSTED_VECTOR, CPU_IRQ_POSTED);
		vmx_write(VMCS_POSTED_DESCRIPTOR, pool_hpa(v->apic.irr)); /* 30.6: 256 bits, then the CPU's own */
	}
	if (v->vm->status.vcpu_count != 0) /* if it is not there any more, any page will do */
		(void)nested_pt_lookup(&v->vm->npt, VLAPIC_DEFAULT_BASE, HILUM_MAP_READ, &page, &bytes);
	vmx_write(VMCS_APIC_ACCESS, page);
	return v->vm->status.vcpu_count != 0
	               ? STATUS_OK
	               : nested_pt_install(&v->vm->npt, VLAPIC_DEFAULT_BASE, page, 0, HILUM_MAP_READ | HILUM_MAP_WRITE);
}
_Static_assert(offsetof(struct vlapic, notification) - offsetof(struct vlapic, irr) == 32, "a posted-interrupt descriptor");

/*
 * The controls follow the mode. With APIC accesses virtualised the page at the default address is never read nor written, whatever
 * the nested tables say; a vCPU without must not find it there, so the first one takes it out, before the look at the generation that
 * makes this core forget it. The others lose nothing but the short way. What vm_map refuses to cover may be unmapped without a lock:
 * no other core changes this entry, or frees a table above it.
 */
static void take_mode(struct vcpu *v, struct vmx_vcpu *x)
{
	bool x2apic = v->apic.mode == VLAPIC_X2APIC;
	bool accesses = v->apic.mode == VLAPIC_XAPIC && vlapic_mmio_base(&v->apic) == VLAPIC_DEFAULT_BASE;
	uint32_t secondary = vmx_controls.secondary | (x2apic ? SECONDARY_X2APIC : accesses ? SECONDARY_APIC_ACCESSES : 0);
	struct nested_pt_garbage none = { 0 };

	if (secondary == x->secondary)
		return;
	x->secondary = secondary;
	vmx_write(VMCS_SECONDARY_CONTROLS, secondary);
	vmx_write(VMCS_MSR_BITMAP, pool_hpa(backend_msr_bitmap) + (x2apic ? PAGE_SIZE : 0));
	if (!accesses)
		nested_pt_unmap(&v->vm->npt, VLAPIC_DEFAULT_BASE, PAGE_SIZE, &none);
}

static void page_enter(struct vcpu *v, struct vmx_vcpu *x)
{
	struct vlapic *a = &v->apic;

	x->apic_page[APIC_TPR * 4] = a->tpr;
	x->apic_in_page = true;
	if (!vmx_has_apic())
		return;
	page_put_registers(x, a);
	for (unsigned i = 0; i < 4; i++) {
		page_put(x, APIC_ISR + 2 * i, a->isr[i]);
		page_put(x, APIC_IRR + 2 * i, 0);
	}
	take_mode(v, x);
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

/* What is in IRR goes on to the CPU, and the vectors whose end it has to tell. */
static void pass_requests(struct vcpu *v, struct vmx_vcpu *x, bool was_in_page)
{
	struct vlapic *a = &v->apic;
	uint64_t old = was_in_page ? vmx_read(VMCS_GUEST_INTERRUPT_STATUS) : (uint64_t)a->isrv << 8, status = old;

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

void vmx_commit_apic(struct vcpu *v)
{
	struct vmx_vcpu *x = vmx_of(v);
	bool was_in_page = x->apic_in_page;

	if (!was_in_page)
		page_enter(v, x);
	if (vmx_has_apic())
		pass_requests(v, x, was_in_page);
	else if (v->apic.tpr != (uint8_t)x->apic_page[APIC_TPR * 4])
		vlapic_set_tpr(&v->apic, (uint8_t)x->apic_page[APIC_TPR * 4]);
}

bool vmx_apic_must_commit(struct vcpu *v)
{
	struct vmx_vcpu *x = vmx_of(v);

	x->apic_in_page = !vmx_has_apic() && x->apic_page[APIC_TPR * 4] == v->apic.tpr && x->tpr_threshold == 0 &&
	                  vlapic_highest(v->apic.irr) < 0;
	return !x->apic_in_page;
}

void vmx_write_tpr_threshold(struct vcpu *v)
{
	struct vmx_vcpu *x = vmx_of(v);
	int class = vlapic_highest(v->apic.irr) >> 4;                                        /* -1: there is none */
	uint32_t threshold = class >= 0 && class <= v->apic.tpr >> 4 ? (uint32_t) class : 0; /* above TPR: it waits for something else */

	if (threshold != x->tpr_threshold)
		vmx_write(VMCS_TPR_THRESHOLD, threshold);
	x->tpr_threshold = threshold;
}

void vmx_fetch_apic(struct vcpu *v)
{
	struct vmx_vcpu *x = vmx_of(v);
	struct vlapic *a = &v->apic;

	if (!x->apic_in_page)
		return;
	x->apic_in_page = false;
	if (vmx_has_apic()) {
		for (unsigned i = 0; i < 4; i++) {
			a->isr[i] = page_get(x, APIC_ISR + 2 * i);
			__atomic_fetch_or(&a->irr[i], page_get(x, APIC_IRR + 2 * i), __ATOMIC_SEQ_CST);
		}
		int in_service = vlapic_highest(a->isr);
		a->isrv = in_service < 0 ? 0 : (uint8_t)in_service;
	}
	if (x->secondary & SECONDARY_APIC_ACCESSES) /* which the CPU takes writes to, too */
		take_icr(x, a);
	vlapic_set_tpr(a, (uint8_t)x->apic_page[APIC_TPR * 4]);
}

void vmx_prepare_apic_msr(struct vcpu *v)
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
	struct vmx_vcpu *x = vmx_of(v);
	struct vlapic *a = &v->apic;
	unsigned which = vmx_read(VMCS_QUALIFICATION) & PAGE_MASK;

	if (is_eoi) {
		if (PUBLISHED(a->tmr[which / 64 & 3]) >> which % 64 & 1)
			vlapic_eoi_level(a, (uint8_t)which);
		return;
	}
	uint32_t value = x->apic_page[which / 4];
	if (a->mode == VLAPIC_X2APIC) { /* a SELF IPI that the CPU does not like */
		vlapic_ipi(a, (value & 0xFF) | (uint64_t)APIC_TO_SELF << APIC_ICR_SHORTHAND_SHIFT);
	} else {
		take_icr(x, a);
		vlapic_mmio_write(a, which, value);
		page_put_registers(x, a); /* not all bits can be written, and SVR masks the local vectors */
	}
	v->check_interrupts |= which == APIC_ICR_LOW * 16; /* an interrupt to itself has no notice */
}
