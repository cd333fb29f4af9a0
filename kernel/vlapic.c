/*
 * The local APIC's registers, by page and by MSR, its modes and the end of interrupt. Every value comes from the guest; none is
 * used as more than the bits that its register has. SDM vol. 3A, "Local APIC Register Address Map", "x2APIC Register Address
 * Space", "x2APIC State Transitions".
 */
#include "kernel/vlapic_internal.h"

#define VERSION (0x14u | (VLAPIC_LVT_COUNT - 1) << 16) /* no EOI-broadcast suppression, no AMD extended space */

#define BITS(first, count) (((1ull << (count)) - 1) << (first))
#define BIT(n)             (1ull << (n))

#define LVTS               (BIT(APIC_LVT_CMCI) | BITS(APIC_LVT_TIMER, 6))
#define READABLE_AS_MSR                                                                                       \
	(BIT(APIC_ID) | BIT(APIC_VERSION) | BIT(APIC_TPR) | BIT(APIC_PPR) | BIT(APIC_LDR) | BIT(APIC_SVR) |   \
	 BITS(APIC_ISR, 24) | BIT(APIC_ESR) | BIT(APIC_ICR_LOW) | LVTS | BIT(APIC_INITIAL_COUNT) |            \
	 BIT(APIC_CURRENT_COUNT) | BIT(APIC_DIVIDE))
#define WRITABLE_AS_MSR                                                                                       \
	(BIT(APIC_TPR) | BIT(APIC_EOI) | BIT(APIC_SVR) | BIT(APIC_ESR) | BIT(APIC_ICR_LOW) | LVTS |           \
	 BIT(APIC_INITIAL_COUNT) | BIT(APIC_DIVIDE) | BIT(APIC_SELF_IPI))
#define IN_PAGE                                                                                               \
	(READABLE_AS_MSR | BIT(APIC_APR) | BIT(APIC_EOI) | BIT(APIC_RRD) | BIT(APIC_DFR) | BIT(APIC_ICR_HIGH))

const uint32_t vlapic_writable[APIC_REGISTER_COUNT] = {
	[APIC_TPR] = 0xFF,
	[APIC_LDR] = 0xFF000000,
	[APIC_DFR] = 0xF0000000,
	[APIC_SVR] = APIC_SVR_WRITABLE,
	[APIC_LVT_CMCI] = 0x107FF,
	[APIC_LVT_TIMER] = 0x700FF,
	[0x33] = 0x107FF, /* thermal */
	[0x34] = 0x107FF, /* performance counters */
	[0x35] = 0x1A7FF, /* LINT0 */
	[0x36] = 0x1A7FF, /* LINT1 */
	[APIC_LVT_ERROR] = 0x100FF,
	[APIC_INITIAL_COUNT] = 0xFFFFFFFF,
	[APIC_DIVIDE] = APIC_DIVIDE_WRITABLE,
	[APIC_SELF_IPI] = 0xFF,
};

static inline bool is_lvt(unsigned reg)
{
	return LVTS >> reg & 1;
}

static inline enum vlapic_lvt lvt_of(unsigned reg)
{
	return reg == APIC_LVT_CMCI ? VLAPIC_LVT_CMCI : (enum vlapic_lvt)(reg - APIC_LVT_TIMER + VLAPIC_LVT_TIMER);
}

void vlapic_eoi(struct vlapic *v)
{
	unsigned vector = v->isrv, word = vector / 64;
	uint64_t rest;

	if (unlikely(!vector))
		return;
	rest = v->isr[word] &= ~(1ull << (vector % 64));
	while (!rest && word)
		rest = v->isr[--word];
	v->isrv = rest ? (uint8_t)(word * 64 + 63 - (unsigned)__builtin_clzll(rest)) : 0;
	vlapic_update_ppr(v);
	if (unlikely(__atomic_load_n(&v->tmr[vector / 64], __ATOMIC_RELAXED) >> (vector % 64) & 1))
		vlapic_eoi_level(v, (uint8_t)vector);
}

uint32_t vlapic_read_register(struct vlapic *v, unsigned reg)
{
	bool x2apic = v->mode == VLAPIC_X2APIC;

	if (reg >= APIC_ISR && reg < APIC_TMR)
		return vlapic_word(v->isr, reg - APIC_ISR);
	if (reg >= APIC_TMR && reg < APIC_IRR)
		return vlapic_word(v->tmr, reg - APIC_TMR);
	if (reg >= APIC_IRR && reg < APIC_ESR)
		return vlapic_word(v->irr, reg - APIC_IRR);
	if (is_lvt(reg))
		return v->lvt[lvt_of(reg)];
	switch (reg) {
	case APIC_ID:
		return x2apic ? v->id : v->id << 24;
	case APIC_VERSION:
		return VERSION;
	case APIC_TPR:
		return v->tpr;
	case APIC_PPR:
		return v->ppr;
	case APIC_LDR:
		return x2apic ? vlapic_x2apic_ldr(v->id) : v->ldr;
	case APIC_DFR:
		return v->dfr;
	case APIC_SVR:
		return v->svr;
	case APIC_ESR:
		return v->esr;
	case APIC_ICR_LOW:
		return (uint32_t)v->icr;
	case APIC_ICR_HIGH:
		return (uint32_t)(v->icr >> 32);
	case APIC_INITIAL_COUNT:
		return v->initial_count;
	case APIC_CURRENT_COUNT:
		return vlapic_timer_read_count(v);
	case APIC_DIVIDE:
		return v->dcr;
	default: /* write-only, or not there */
		return 0;
	}
}

static void write_lvt(struct vlapic *v, enum vlapic_lvt which, uint32_t value)
{
	if (!v->software_enabled)
		value |= APIC_LVT_MASKED;
	if (which == VLAPIC_LVT_TIMER)
		vlapic_timer_write_lvt(v, value);
	else
		__atomic_store_n(&v->lvt[which], value, __ATOMIC_RELAXED);
}

/* Disabling by software masks the local vectors and accepts no more; what was accepted stays. SDM, "Local APIC Software State". */
static void write_svr(struct vlapic *v, uint32_t value)
{
	v->svr = value;
	__atomic_store_n(&v->software_enabled, (value & APIC_SVR_ENABLE) != 0, __ATOMIC_RELAXED);
	if (!v->software_enabled)
		for (unsigned i = 0; i < VLAPIC_LVT_COUNT; i++)
			write_lvt(v, (enum vlapic_lvt)i, v->lvt[i]);
}

/* `value` has only bits of vlapic_writable[reg], except for ICR, which is 64 bits wide and not written here. */
static void write_register(struct vlapic *v, unsigned reg, uint32_t value)
{
	if (is_lvt(reg)) {
		write_lvt(v, lvt_of(reg), value);
		return;
	}
	switch (reg) {
	case APIC_TPR:
		vlapic_set_tpr(v, (uint8_t)value);
		break;
	case APIC_EOI:
		vlapic_eoi(v);
		break;
	case APIC_LDR:
		__atomic_store_n(&v->ldr, value, __ATOMIC_RELAXED);
		break;
	case APIC_DFR:
		__atomic_store_n(&v->dfr, value | APIC_DFR_FIXED_BITS, __ATOMIC_RELAXED);
		break;
	case APIC_SVR:
		write_svr(v, value);
		break;
	case APIC_ESR:
		v->esr = __atomic_exchange_n(&v->errors, 0, __ATOMIC_SEQ_CST);
		break;
	case APIC_INITIAL_COUNT:
		vlapic_timer_write_initial(v, value);
		break;
	case APIC_DIVIDE:
		vlapic_timer_write_divide(v, value);
		break;
	case APIC_SELF_IPI:
		vlapic_ipi(v, value | (uint64_t)APIC_TO_SELF << APIC_ICR_SHORTHAND_SHIFT);
		break;
	default: /* read-only */
		break;
	}
}

/* ---- The register page ----------------------------------------------------------------------------------------------------- */
/* True if `offset` is that of a register; records an illegal access otherwise. */
static bool check_offset(struct vlapic *v, uint32_t offset)
{
	if (likely(offset < APIC_REGISTER_COUNT * 16 && !(offset & 15) && (IN_PAGE >> (offset / 16) & 1)))
		return true;
	vlapic_record_error(v, APIC_ESR_ILLEGAL_REGISTER);
	return false;
}

uint32_t vlapic_mmio_read(struct vlapic *v, uint32_t offset)
{
	if (v->mode != VLAPIC_XAPIC)
		return 0xFFFFFFFF;
	return check_offset(v, offset) ? vlapic_read_register(v, offset / 16) : 0;
}

void vlapic_mmio_write(struct vlapic *v, uint32_t offset, uint32_t value)
{
	if (v->mode != VLAPIC_XAPIC)
		return;
	switch (offset) {
	case APIC_EOI * 16:
		vlapic_eoi(v);
		return;
	case APIC_ICR_LOW * 16:
		value &= APIC_ICR_WRITABLE_LOW;
		v->icr = (v->icr & ~0xFFFFFFFFull) | value;
		vlapic_ipi(v, (v->icr >> 56) << 32 | value);
		return;
	case APIC_ICR_HIGH * 16:
		v->icr = (uint32_t)v->icr | (uint64_t)(value & 0xFF000000) << 32;
		return;
	default:
		if (check_offset(v, offset))
			write_register(v, offset / 16, value & vlapic_writable[offset / 16]);
	}
}

/* ---- MSRs ------------------------------------------------------------------------------------------------------------------- */
enum status vlapic_msr_read(struct vlapic *v, uint32_t msr, uint64_t *value)
{
	unsigned reg = msr - MSR_X2APIC_FIRST;

	if (msr == MSR_IA32_APIC_BASE) {
		*value = v->apic_base;
		return STATUS_OK;
	}
	if (msr == MSR_IA32_TSC_DEADLINE) {
		*value = vlapic_timer_read_deadline(v);
		return STATUS_OK;
	}
	if (reg >= APIC_REGISTER_COUNT || v->mode != VLAPIC_X2APIC || !(READABLE_AS_MSR >> reg & 1))
		return STATUS_INVALID;
	*value = reg == APIC_ICR_LOW ? v->icr : vlapic_read_register(v, reg);
	return STATUS_OK;
}

enum status vlapic_check_base(const struct vlapic *v, uint64_t base, enum vlapic_mode *mode)
{
	if ((base & ~(APIC_BASE_ADDR | APIC_BASE_BSP | APIC_BASE_EXTD | APIC_BASE_EN)) ||
	    ((base & APIC_BASE_EXTD) && (!(base & APIC_BASE_EN) || !v->x2apic_allowed)))
		return STATUS_INVALID;
	*mode = !(base & APIC_BASE_EN)    ? VLAPIC_DISABLED
		: (base & APIC_BASE_EXTD) ? VLAPIC_X2APIC
					  : VLAPIC_XAPIC;
	return STATUS_OK;
}

/* SDM vol. 3A, figure "Local x2APIC State Transitions with IA32_APIC_BASE, INIT, and Reset". */
static enum status write_base(struct vlapic *v, uint64_t base)
{
	enum vlapic_mode mode;
	enum status status = vlapic_check_base(v, base, &mode);

	if (status != STATUS_OK)
		return status;
	if ((v->mode == VLAPIC_X2APIC && mode == VLAPIC_XAPIC) || (v->mode == VLAPIC_DISABLED && mode == VLAPIC_X2APIC))
		return STATUS_INVALID;
	vlapic_set_base(v, base);
	return STATUS_OK;
}

/* Status bits that only the APIC sets may be written back as they were read: here they always read 0, and so what is set is dropped. */
static inline uint32_t droppable(unsigned reg)
{
	return is_lvt(reg) ? APIC_LVT_STATUS | APIC_LVT_REMOTE_IRR : 0;
}

enum status vlapic_msr_write(struct vlapic *v, uint32_t msr, uint64_t value)
{
	unsigned reg = msr - MSR_X2APIC_FIRST;

	if (msr == MSR_IA32_TSC_DEADLINE) {
		vlapic_timer_write_deadline(v, value);
		return STATUS_OK;
	}
	if (msr == MSR_IA32_APIC_BASE)
		return write_base(v, value);
	if (reg >= APIC_REGISTER_COUNT || v->mode != VLAPIC_X2APIC || !(WRITABLE_AS_MSR >> reg & 1))
		return STATUS_INVALID;
	if (reg == APIC_ICR_LOW) {
		if (value & APIC_ICR_X2APIC_RESERVED)
			return STATUS_INVALID;
		v->icr = value & ~(uint64_t)APIC_ICR_STATUS;
		vlapic_ipi(v, value);
		return STATUS_OK;
	}
	if (value & ~(uint64_t)(vlapic_writable[reg] | droppable(reg)))
		return STATUS_INVALID;
	if (reg == APIC_LVT_TIMER && vlapic_timer_mode((uint32_t)value) == APIC_TIMER_RESERVED)
		return STATUS_INVALID;
	write_register(v, reg, (uint32_t)value & vlapic_writable[reg]);
	return STATUS_OK;
}

/* ---- Modes and reset ------------------------------------------------------------------------------------------------------- */
void vlapic_clear(struct vlapic *v)
{
	vlapic_timer_stop(v);
	for (unsigned i = 0; i < 4; i++) {
		__atomic_store_n(&v->irr[i], 0, __ATOMIC_SEQ_CST);
		__atomic_store_n(&v->tmr[i], 0, __ATOMIC_SEQ_CST);
		v->isr[i] = 0;
	}
	v->isrv = 0;
	vlapic_set_tpr(v, 0);
	__atomic_store_n(&v->errors, 0, __ATOMIC_SEQ_CST);
	v->esr = 0;
	v->icr = 0;
	__atomic_store_n(&v->ldr, 0, __ATOMIC_RELAXED);
	__atomic_store_n(&v->dfr, 0xFFFFFFFF, __ATOMIC_RELAXED);
	v->svr = APIC_SVR_RESET;
	__atomic_store_n(&v->software_enabled, false, __ATOMIC_RELAXED);
	for (unsigned i = 0; i < VLAPIC_LVT_COUNT; i++)
		__atomic_store_n(&v->lvt[i], APIC_LVT_MASKED, __ATOMIC_RELAXED);
	v->initial_count = 0;
	v->dcr = 0;
	v->divide_shift = 1; /* DCR 0: divide by 2 */
}

void vlapic_set_base(struct vlapic *v, uint64_t base)
{
	enum vlapic_mode mode, old = (enum vlapic_mode)v->mode;

	if (vlapic_check_base(v, base, &mode) != STATUS_OK)
		return;
	v->apic_base = (base & ~APIC_BASE_BSP) | (v->id ? 0 : APIC_BASE_BSP);
	__atomic_store_n(&v->mode, (uint8_t)mode, __ATOMIC_SEQ_CST);
	/* Both ways through "disabled" lead to the registers' power-up state; on the way back for what senders left in between. */
	if (mode != old && (mode == VLAPIC_DISABLED || old == VLAPIC_DISABLED))
		vlapic_clear(v);
	else if (mode != old)
		v->icr = 0; /* its layout changes */
}

void vlapic_reset(struct vlapic *v, enum vlapic_reset_kind kind)
{
	if (kind == VLAPIC_RESET_POWER_UP)
		vlapic_set_base(v, VLAPIC_DEFAULT_BASE | APIC_BASE_EN);
	vlapic_clear(v);
}

void vlapic_init(struct vlapic *v, struct vlapic_bus *bus, uint32_t apic_id, bool x2apic_allowed)
{
	*v = (struct vlapic){.id = apic_id, .x2apic_allowed = x2apic_allowed, .bus = bus};
	vlapic_reset(v, VLAPIC_RESET_POWER_UP);
	bus->apic[apic_id] = v;
	__atomic_fetch_or(&bus->present, 1ull << apic_id, __ATOMIC_RELEASE);
}
