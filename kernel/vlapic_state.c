/*
 * The local APIC's state as the ABI carries it: struct hilum_vcpu_state's apic fields. Loading takes foreign bytes: all is checked
 * before anything changes.
 */
#include "kernel/vlapic_internal.h"
#include "arch/x86_64/string.h"

static uint32_t page_get(const uint8_t *page, unsigned reg)
{
	uint32_t value;

	memcpy(&value, page + reg * 16, sizeof(value));
	return value;
}

static unsigned lvt_register(unsigned which)
{
	return which == VLAPIC_LVT_CMCI ? (unsigned)APIC_LVT_CMCI : APIC_LVT_TIMER + which - VLAPIC_LVT_TIMER;
}

void vlapic_save(struct vlapic *v, struct hilum_vcpu_state *state)
{
	state->apic_base = v->apic_base;
	state->apic_timer_remaining = vlapic_timer_read_count(v);
	state->apic_tsc_deadline = vlapic_timer_read_deadline(v);
	memset(state->apic_page, 0, sizeof(state->apic_page));
	for (unsigned reg = 0; reg < APIC_REGISTER_COUNT; reg++) {
		uint32_t value = vlapic_read_register(v, reg);

		memcpy(state->apic_page + reg * 16, &value, sizeof(value));
	}
}

/* Bits that a register may hold beyond those that software may write. */
static uint32_t loadable(unsigned reg)
{
	switch (reg) {
	case APIC_DFR:
		return 0xFFFFFFFF;
	case APIC_ESR:
		return APIC_ESR_VALID;
	case APIC_ICR_LOW:
		return APIC_ICR_WRITABLE_LOW;
	default:
		return vlapic_writable[reg];
	}
}

static bool is_valid_page(const uint8_t *page, enum vlapic_mode mode)
{
	static const uint8_t checked[] = {APIC_TPR, APIC_DFR, APIC_SVR, APIC_ESR, APIC_ICR_LOW, APIC_DIVIDE};
	bool masked = !(page_get(page, APIC_SVR) & APIC_SVR_ENABLE);

	for (unsigned i = 0; i < ARRAY_SIZE(checked); i++)
		if (page_get(page, checked[i]) & ~loadable(checked[i]))
			return false;
	for (unsigned i = 0; i < VLAPIC_LVT_COUNT; i++) {
		uint32_t lvt = page_get(page, lvt_register(i));

		if ((lvt & ~vlapic_writable[lvt_register(i)]) || (masked && !(lvt & APIC_LVT_MASKED)))
			return false;
	}
	if (vlapic_timer_mode(page_get(page, APIC_LVT_TIMER)) == APIC_TIMER_RESERVED)
		return false;
	if (mode != VLAPIC_X2APIC && ((page_get(page, APIC_LDR) & ~vlapic_writable[APIC_LDR]) ||
				      (page_get(page, APIC_ICR_HIGH) & 0x00FFFFFF)))
		return false;
	return !((page_get(page, APIC_ISR) | page_get(page, APIC_TMR) | page_get(page, APIC_IRR)) & 0xFFFF);
}

static uint64_t page_get_pair(const uint8_t *page, unsigned reg)
{
	return page_get(page, reg) | (uint64_t)page_get(page, reg + 1) << 32;
}

static void load_interrupts(struct vlapic *v, const uint8_t *page)
{
	v->isrv = 0;
	for (unsigned i = 0; i < 4; i++) {
		v->isr[i] = page_get_pair(page, APIC_ISR + 2 * i);
		__atomic_store_n(&v->tmr[i], page_get_pair(page, APIC_TMR + 2 * i), __ATOMIC_SEQ_CST);
		__atomic_store_n(&v->irr[i], page_get_pair(page, APIC_IRR + 2 * i), __ATOMIC_SEQ_CST);
		if (v->isr[i])
			v->isrv = (uint8_t)(i * 64 + 63 - (unsigned)__builtin_clzll(v->isr[i]));
	}
	vlapic_set_tpr(v, (uint8_t)page_get(page, APIC_TPR));
}

enum status vlapic_load(struct vlapic *v, const struct hilum_vcpu_state *state)
{
	const uint8_t *page = state->apic_page;
	enum vlapic_mode mode;

	if (vlapic_check_base(v, state->apic_base, &mode) != STATUS_OK || !is_valid_page(page, mode) ||
	    state->apic_timer_remaining > page_get(page, APIC_INITIAL_COUNT))
		return STATUS_INVALID;
	vlapic_set_base(v, state->apic_base);
	vlapic_clear(v);
	if (mode == VLAPIC_DISABLED) /* holds nothing but its power-up state */
		return STATUS_OK;
	load_interrupts(v, page);
	v->svr = page_get(page, APIC_SVR);
	__atomic_store_n(&v->software_enabled, (v->svr & APIC_SVR_ENABLE) != 0, __ATOMIC_RELAXED);
	v->esr = page_get(page, APIC_ESR);
	v->icr = page_get_pair(page, APIC_ICR_LOW);
	__atomic_store_n(&v->ldr, mode == VLAPIC_X2APIC ? 0 : page_get(page, APIC_LDR), __ATOMIC_RELAXED);
	__atomic_store_n(&v->dfr, page_get(page, APIC_DFR) | APIC_DFR_FIXED_BITS, __ATOMIC_RELAXED);
	for (unsigned i = 0; i < VLAPIC_LVT_COUNT; i++)
		__atomic_store_n(&v->lvt[i], page_get(page, lvt_register(i)), __ATOMIC_RELAXED);
	v->initial_count = page_get(page, APIC_INITIAL_COUNT);
	vlapic_timer_write_divide(v, page_get(page, APIC_DIVIDE));
	vlapic_timer_resume(v, state->apic_timer_remaining, state->apic_tsc_deadline);
	return STATUS_OK;
}
