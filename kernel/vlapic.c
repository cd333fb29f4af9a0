/*
 * The local APIC's registers, by page and by MSR, its modes and the end of interrupt. Every value comes from
 * the guest; none is used as more than the bits that its register has. SDM vol. 3A, "Local APIC Register
 * Address Map", "x2APIC Register Address Space", "x2APIC State Transitions".
 */
#include "kernel/vlapic_internal.h"

#define BITS(first, count) (((1ull << (count)) - 1) << (first))
#define BIT(n)             (1ull << (n))

#define LVTS BITS(APIC_LVT_FIRST, 6)
#define READABLE_AS_MSR \
	(BIT(APIC_ID) | BIT(APIC_VERSION) | BIT(APIC_TPR) | BIT(APIC_PPR) | BIT(APIC_LDR) | BIT(APIC_SVR) | BITS(APIC_ISR, 24) | \
	 BIT(APIC_ESR) | BIT(APIC_ICR_LOW) | LVTS | BIT(APIC_INITIAL_COUNT) | BIT(APIC_CURRENT_COUNT) | BIT(APIC_DIVIDE))
/* EOI, ICR and SELF IPI are written apart. */
#define WRITABLE_AS_MSR (BIT(APIC_TPR) | BIT(APIC_SVR) | BIT(APIC_ESR) | LVTS | BIT(APIC_INITIAL_COUNT) | BIT(APIC_DIVIDE))
#define IN_PAGE         (READABLE_AS_MSR | BIT(APIC_APR) | BIT(APIC_EOI) | BIT(APIC_RRD) | BIT(APIC_DFR) | BIT(APIC_ICR_HIGH))

const uint32_t vlapic_writable[APIC_REGISTER_COUNT] = {
	[APIC_TPR] = 0xFF,
	[APIC_LDR] = 0xFF000000,
	[APIC_DFR] = 0xF0000000,
	[APIC_SVR] = APIC_SVR_WRITABLE,
	[APIC_ICR_LOW] = APIC_ICR_WRITABLE_LOW,
	[APIC_ICR_HIGH] = 0xFF000000,
	[APIC_LVT_TIMER] = 0x700FF,
	[APIC_LVT_THERMAL] = 0x107FF,
	[APIC_LVT_PERF] = 0x107FF,
	[APIC_LVT_LINT0] = 0x1A7FF,
	[APIC_LVT_LINT1] = 0x1A7FF,
	[APIC_LVT_ERROR] = 0x100FF,
	[APIC_INITIAL_COUNT] = 0xFFFFFFFF,
	[APIC_DIVIDE] = 0xB,
};

static const uint32_t reset_values[APIC_REGISTER_COUNT] = {
	[APIC_VERSION] = 0x14 | (APIC_LVT_LAST - APIC_LVT_FIRST) << 16, /* no EOI-broadcast suppression */
	[APIC_DFR] = 0xFFFFFFFF,
	[APIC_SVR] = 0xFF,
	[APIC_LVT_FIRST... APIC_LVT_LAST] = APIC_LVT_MASKED,
};

static inline bool is_lvt(unsigned reg)
{
	return reg >= APIC_LVT_FIRST && reg <= APIC_LVT_LAST;
}

void vlapic_eoi(struct vlapic *v)
{
	unsigned vector = v->isrv, next = 0;

	if (unlikely(!vector))
		return;
	v->isr[vector / 64] &= ~(1ull << (vector % 64));
	if (unlikely(v->isr[0] | v->isr[1] | v->isr[2] | v->isr[3]))
		next = (unsigned)vlapic_highest(v->isr);
	v->isrv = (uint8_t)next;
	vlapic_update_ppr(v);
	if (unlikely(__atomic_load_n(&v->tmr[vector / 64], __ATOMIC_RELAXED) >> (vector % 64) & 1))
		vlapic_eoi_level(v, (uint8_t)vector);
}

static uint32_t read_register(struct vlapic *v, unsigned reg)
{
	const uint64_t *const words[] = { v->isr, v->tmr, v->irr };

	if (reg >= APIC_ISR && reg < APIC_ESR)
		return (uint32_t)(PUBLISHED(words[reg / 8 - 2][reg % 8 / 2]) >> reg % 2 * 32);
	switch (reg) {
	case APIC_TPR:
	case APIC_PPR:
		vlapic_fetch_tpr(v);
		return reg == APIC_TPR ? v->tpr : v->ppr;
	case APIC_CURRENT_COUNT:
		return vlapic_timer_read_count(v);
	default: /* 0 in the slots of those that are write-only or not there */
		return v->reg[reg];
	}
}

/*
 * Disabling by software masks the local vectors and accepts no more; what was accepted stays. SDM, "Local
 * APIC Software State".
 */
static void write_svr(struct vlapic *v, uint32_t value)
{
	PUBLISH(v->reg[APIC_SVR], value);
	if (value & APIC_SVR_ENABLE)
		return;
	vlapic_timer_write_lvt(v, v->reg[APIC_LVT_TIMER] | APIC_LVT_MASKED);
	for (unsigned reg = APIC_LVT_FIRST; reg <= APIC_LVT_LAST; reg++)
		PUBLISH(v->reg[reg], v->reg[reg] | APIC_LVT_MASKED);
}

/*
 * `value` has only bits of vlapic_writable[reg]. EOI, ICR and SELF IPI are not written here; read-only
 * registers stay.
 */
static void write_register(struct vlapic *v, unsigned reg, uint32_t value)
{
	if (is_lvt(reg) && !vlapic_is_software_enabled(v))
		value |= APIC_LVT_MASKED;
	switch (reg) {
	case APIC_TPR:
		vlapic_set_tpr(v, (uint8_t)value);
		break;
	case APIC_DFR:
		PUBLISH(v->reg[reg], value | APIC_DFR_FIXED_BITS);
		break;
	case APIC_SVR:
		write_svr(v, value);
		break;
	case APIC_LVT_TIMER:
		vlapic_timer_write_lvt(v, value);
		break;
	case APIC_INITIAL_COUNT:
		vlapic_timer_write_initial(v, value);
		break;
	case APIC_DIVIDE:
		vlapic_timer_write_divide(v, value);
		break;
	default:
		if (vlapic_writable[reg])
			PUBLISH(v->reg[reg], value);
	}
}

/* ---- The register page ---- */
static bool is_register(uint32_t offset)
{
	return offset < APIC_REGISTER_COUNT * 16 && !(offset & 15) && (IN_PAGE >> (offset / 16) & 1);
}

uint32_t vlapic_mmio_read(struct vlapic *v, uint32_t offset)
{
	if (v->mode != VLAPIC_XAPIC)
		return 0xFFFFFFFF;
	return is_register(offset) ? read_register(v, offset / 16) : 0;
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
		v->reg[APIC_ICR_LOW] = value;
		vlapic_ipi(v, (uint64_t)(v->reg[APIC_ICR_HIGH] >> 24) << 32 | value);
		return;
	default:
		if (is_register(offset))
			write_register(v, offset / 16, value & vlapic_writable[offset / 16]);
	}
}

/* ---- Modes and reset ---- */
/* Registers that follow from ID and mode. SDM vol. 3A, "Logical x2APIC ID". */
static void set_identity(struct vlapic *v)
{
	bool x2apic = v->mode == VLAPIC_X2APIC;

	v->reg[APIC_ID] = x2apic ? v->id : v->id << 24;
	if (x2apic)
		PUBLISH(v->reg[APIC_LDR], v->id / 16 << 16 | 1u << v->id % 16);
}

/* Registers as after power-up in the present mode; IA32_APIC_BASE stays. */
static void clear(struct vlapic *v)
{
	vlapic_timer_stop(v);
	for (unsigned i = 0; i < 4; i++) {
		PUBLISH(v->irr[i], 0);
		PUBLISH(v->tmr[i], 0);
		v->isr[i] = 0;
	}
	v->isrv = 0;
	vlapic_set_tpr(v, 0);
	for (unsigned reg = 0; reg < APIC_REGISTER_COUNT; reg++)
		PUBLISH(v->reg[reg], reset_values[reg]);
	v->divide_shift = 1; /* what DCR = 0 means */
	set_identity(v);
}

/* Takes over IA32_APIC_BASE, already checked, and the mode it asks for. */
static void set_base(struct vlapic *v, uint64_t base)
{
	enum vlapic_mode mode = (enum vlapic_mode)(base >> 10 & 3), old = (enum vlapic_mode)v->mode;

	v->apic_base = (base & ~APIC_BASE_BSP) | (v->id ? 0 : APIC_BASE_BSP);
	if (mode == old)
		return;
	__atomic_store_n(&v->mode, (uint8_t)mode, __ATOMIC_SEQ_CST);
	/*
	 * Both ways through "disabled" lead to the registers' power-up state; on the way back for what
	 * senders left in between.
	 */
	if (mode == VLAPIC_DISABLED || old == VLAPIC_DISABLED)
		clear(v);
	v->reg[APIC_ICR_LOW] = 0; /* its layout changes */
	v->reg[APIC_ICR_HIGH] = 0;
	set_identity(v);
}

/* SDM vol. 3A, figure "Local x2APIC State Transitions with IA32_APIC_BASE, INIT, and Reset". */
static __attribute__((noinline)) enum status write_base(struct vlapic *v, uint64_t base)
{
	unsigned mode = base >> 10 & 3;

	if ((base & ~(APIC_BASE_ADDR | APIC_BASE_BSP | APIC_BASE_EXTD | APIC_BASE_EN)) || mode == 1 ||
	    (mode == VLAPIC_X2APIC && (!v->x2apic_allowed || v->mode == VLAPIC_DISABLED)) ||
	    (mode == VLAPIC_XAPIC && v->mode == VLAPIC_X2APIC))
		return STATUS_INVALID;
	set_base(v, base);
	return STATUS_OK;
}

void vlapic_reset(struct vlapic *v, bool power_up)
{
	if (power_up)
		set_base(v, VLAPIC_DEFAULT_BASE | APIC_BASE_EN);
	clear(v);
}

void vlapic_init(struct vlapic *v, struct vlapic_bus *bus, uint32_t apic_id, bool x2apic_allowed)
{
	*v = (struct vlapic){ .id = apic_id, .x2apic_allowed = x2apic_allowed, .bus = bus, .cr8 = v->cr8 };
	vlapic_reset(v, true);
	bus->apic[apic_id] = v;
	__atomic_fetch_or(&bus->present, 1ull << apic_id, __ATOMIC_RELEASE);
}

/* ---- MSRs ---- */
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
	*value = read_register(v, reg);
	if (reg == APIC_ICR_LOW)
		*value |= (uint64_t)v->reg[APIC_ICR_HIGH] << 32;
	return STATUS_OK;
}

/*
 * Status bits that only the APIC sets may be written back as they were read: here they always read 0, and so
 * what is set is dropped.
 */
static __attribute__((noinline)) enum status write_msr_register(struct vlapic *v, unsigned reg, uint64_t value)
{
	uint32_t droppable = is_lvt(reg) ? APIC_LVT_STATUS | APIC_LVT_REMOTE_IRR : 0;

	if (!(WRITABLE_AS_MSR >> reg & 1) || (value & ~(uint64_t)(vlapic_writable[reg] | droppable)))
		return STATUS_INVALID;
	if (reg == APIC_LVT_TIMER && vlapic_timer_mode((uint32_t)value) == APIC_TIMER_RESERVED)
		return STATUS_INVALID;
	write_register(v, reg, (uint32_t)value & vlapic_writable[reg]);
	return STATUS_OK;
}

enum status vlapic_msr_write(struct vlapic *v, uint32_t msr, uint64_t value)
{
	unsigned reg = msr - MSR_X2APIC_FIRST;

	if (msr == MSR_IA32_TSC_DEADLINE) {
		vlapic_timer_write_deadline(v, value);
		return STATUS_OK;
	}
	if (unlikely(v->mode != VLAPIC_X2APIC || reg >= APIC_REGISTER_COUNT))
		return msr == MSR_IA32_APIC_BASE ? write_base(v, value) : STATUS_INVALID;
	switch (reg) {
	case APIC_EOI:
		if (value)
			return STATUS_INVALID;
		vlapic_eoi(v);
		return STATUS_OK;
	case APIC_ICR_LOW:
		if (value & APIC_ICR_X2APIC_RESERVED)
			return STATUS_INVALID;
		v->reg[APIC_ICR_LOW] = (uint32_t)value & ~APIC_ICR_STATUS;
		v->reg[APIC_ICR_HIGH] = (uint32_t)(value >> 32);
		vlapic_ipi(v, value);
		return STATUS_OK;
	case APIC_SELF_IPI:
		if (value >> 8)
			return STATUS_INVALID;
		vlapic_ipi(v, value | (uint64_t)APIC_TO_SELF << APIC_ICR_SHORTHAND_SHIFT);
		return STATUS_OK;
	default:
		return write_msr_register(v, reg, value);
	}
}
