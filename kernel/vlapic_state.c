/*
 * The local APIC's state as the ABI carries it: struct hilum_vcpu_state's apic fields. Loading takes foreign
 * bytes: all is checked before anything changes.
 */
#include "kernel/vlapic_internal.h"
#include "arch/x86_64/string.h"

static uint32_t page_get(const uint8_t *page, unsigned reg)
{
	uint32_t value;

	memcpy(&value, page + reg * 16, sizeof(value));
	return value;
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

/*
 * Bits that a register which is software's own may have; 0 for the others. In x2APIC mode LDR follows from the ID
 * and ICR has 64 bits.
 */
static uint32_t own_bits(unsigned reg, enum vlapic_mode mode)
{
	if (mode == VLAPIC_X2APIC && (reg == APIC_LDR || reg == APIC_ICR_HIGH))
		return reg == APIC_LDR ? 0 : 0xFFFFFFFF;
	return reg == APIC_ESR ? APIC_ESR_VALID : reg == APIC_DFR ? 0xFFFFFFFF : vlapic_writable[reg];
}

static bool is_valid_page(const uint8_t *page, enum vlapic_mode mode)
{
	bool masked = !(page_get(page, APIC_SVR) & APIC_SVR_ENABLE);

	if ((page_get(page, APIC_ISR) | page_get(page, APIC_TMR) | page_get(page, APIC_IRR)) & 0xFFFF)
		return false;
	for (unsigned reg = 0; reg < APIC_REGISTER_COUNT; reg++)
		if (own_bits(reg, mode) && (page_get(page, reg) & ~own_bits(reg, mode)))
			return false;
	for (unsigned reg = APIC_LVT_FIRST; masked && reg <= APIC_LVT_LAST; reg++)
		if (!(page_get(page, reg) & APIC_LVT_MASKED))
			return false;
	return vlapic_timer_mode(page_get(page, APIC_LVT_TIMER)) != APIC_TIMER_RESERVED;
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
		PUBLISH(v->tmr[i], page_get_pair(page, APIC_TMR + 2 * i));
		PUBLISH(v->irr[i], page_get_pair(page, APIC_IRR + 2 * i));
		if (v->isr[i])
			v->isrv = (uint8_t)vlapic_highest(v->isr);
	}
	vlapic_set_tpr(v, (uint8_t)page_get(page, APIC_TPR));
}

enum status vlapic_load(struct vlapic *v, const struct hilum_vcpu_state *state)
{
	const uint8_t *page = state->apic_page;
	enum vlapic_mode mode = vlapic_mode_of(state->apic_base);

	if (!vlapic_is_valid_base(v, state->apic_base) || !is_valid_page(page, mode) ||
	    state->apic_timer_remaining > page_get(page, APIC_INITIAL_COUNT))
		return STATUS_INVALID;
	vlapic_set_base(v, state->apic_base);
	vlapic_clear(v);
	if (mode == VLAPIC_DISABLED) /* holds nothing but its power-up state */
		return STATUS_OK;
	load_interrupts(v, page);
	for (unsigned reg = 0; reg < APIC_REGISTER_COUNT; reg++)
		if (own_bits(reg, mode))
			PUBLISH(v->reg[reg], page_get(page, reg));
	PUBLISH(v->reg[APIC_DFR], v->reg[APIC_DFR] | APIC_DFR_FIXED_BITS);
	vlapic_timer_write_divide(v, page_get(page, APIC_DIVIDE));
	vlapic_timer_resume(v, state->apic_timer_remaining, state->apic_tsc_deadline);
	return STATUS_OK;
}
