/*
 * Interrupt messages between local APICs: who is meant, and what each does with it. Senders run on any core;
 * they touch a target's shared and published fields only. SDM vol. 3A, "Issuing Interprocessor Interrupts"
 * and "Message Signalled Interrupts".
 */
#include "kernel/vlapic_internal.h"

#define MSI_ADDRESS_PREFIX 0xFEEull /* bits 63:20 */
#define MSI_LOGICAL        (1u << 2)
#define MSI_REDIRECT       (1u << 3) /* RH: to one processor */
#define MSI_DATA_ASSERT    (1u << 14)
#define MSI_DATA_LEVEL     (1u << 15)

bool vlapic_accept(struct vlapic *v, enum apic_delivery mode, unsigned vector, bool level)
{
	if (PUBLISHED(v->mode) == VLAPIC_DISABLED)
		return false;
	switch (mode) {
	case APIC_DELIVER_FIXED:
	case APIC_DELIVER_LOWEST:
		if (!vlapic_is_software_enabled(v))
			return false;
		if (likely(vector >= APIC_VECTOR_MIN) && vlapic_request(v, vector, level))
			vlapic_notify(v, VLAPIC_NOTIFY_INTR);
		return true;
	case APIC_DELIVER_NMI:
		vlapic_notify(v, VLAPIC_NOTIFY_NMI);
		return true;
	case APIC_DELIVER_INIT:
		vlapic_notify(v, VLAPIC_NOTIFY_INIT);
		return true;
	case APIC_DELIVER_SIPI:
		__atomic_store_n(&v->sipi_vector, vector, __ATOMIC_SEQ_CST);
		vlapic_notify(v, VLAPIC_NOTIFY_SIPI);
		return true;
	case APIC_DELIVER_EXTINT:
		vlapic_notify(v, VLAPIC_NOTIFY_EXTINT);
		return true;
	case APIC_DELIVER_SMI: /* there is no system management mode */
	case APIC_DELIVER_RESERVED:
		break;
	}
	return false;
}

void vlapic_fire_lvt(struct vlapic *v, enum lapic_register reg)
{
	uint32_t lvt = PUBLISHED(v->reg[reg]);

	/* The timer's vector has no delivery mode: the bits are never set, which is Fixed. */
	if (!(lvt & APIC_LVT_MASKED))
		vlapic_accept(v, (enum apic_delivery)(lvt >> APIC_LVT_MODE_SHIFT & 7), lvt & 0xFF, false);
}

bool vlapic_accepts_extint(const struct vlapic *v)
{
	uint32_t lvt = v->reg[APIC_LVT_LINT0];

	return v->mode == VLAPIC_DISABLED || (!(lvt & APIC_LVT_MASKED) && (lvt >> APIC_LVT_MODE_SHIFT & 7) == APIC_DELIVER_EXTINT);
}

static inline uint64_t present(const struct vlapic_bus *bus)
{
	return __atomic_load_n(&bus->present, __ATOMIC_ACQUIRE);
}

/*
 * SDM vol. 3A, "Logical Destination Mode in xAPIC Mode" and "in x2APIC Mode". A `wide` destination has 32
 * bits and comes from an x2APIC; it does not reach an APIC still in xAPIC mode. A narrow one, of 8 bits, is
 * to an x2APIC a part of cluster 0.
 */
static bool matches_logical(const struct vlapic *v, uint32_t destination, bool wide)
{
	uint32_t ldr;

	if (PUBLISHED(v->mode) == VLAPIC_X2APIC)
		return v->id / 16 == destination >> 16 && (destination >> v->id % 16 & 1);
	if (wide)
		return false;
	ldr = PUBLISHED(v->reg[APIC_LDR]) >> 24;
	if (PUBLISHED(v->reg[APIC_DFR]) >> APIC_DFR_MODEL_SHIFT)
		return ldr & destination;
	return ldr >> 4 == destination >> 4 && (ldr & destination & 0xF);
}

static __attribute__((noinline)) uint64_t find_logical(const struct vlapic_bus *bus, uint32_t destination, bool wide)
{
	uint64_t found = 0, rest = present(bus);

	if (wide) /* x2APIC's logical IDs follow from the ID: only this cluster can match */
		rest &= destination >> 18 ? 0 : 0xFFFFull << (destination >> 16) * 16;
	for (; rest; rest &= rest - 1)
		if (matches_logical(bus->apic[__builtin_ctzll(rest)], destination, wide))
			found |= rest & -rest;
	return found;
}

/* The APICs that a destination names, as a set of IDs. */
static inline uint64_t find(const struct vlapic_bus *bus, uint32_t destination, bool logical, bool wide)
{
	if (unlikely(destination == (wide ? 0xFFFFFFFF : 0xFF)))
		return present(bus);
	if (logical)
		return find_logical(bus, destination, wide);
	return destination < HILUM_MAX_VCPUS ? present(bus) & 1ull << destination : 0;
}

/*
 * One of `set`, by the vector, so that unlike interrupts spread. An empty set if none is enabled. SDM vol. 3A, "Lowest Priority Delivery
 * Mode", leaves the rule to the system; processors that heed no task priorities do it so.
 */
static uint64_t pick_one(const struct vlapic_bus *bus, uint64_t set, unsigned vector)
{
	uint64_t able = 0;
	unsigned count = 0;

	for (; set; set &= set - 1) {
		bool takes = vlapic_is_software_enabled(bus->apic[__builtin_ctzll(set)]); /* none does that is disabled altogether */
		able |= takes ? set & -set : 0;
		count += takes;
	}
	for (unsigned skip = count ? vector % count : 0; skip; skip--)
		able &= able - 1;
	return able & -able;
}

/* Returns how many APICs took it. */
static int send(const struct vlapic_bus *bus, uint64_t set, enum apic_delivery mode, unsigned vector, bool level)
{
	int taken = 0;

	if (mode == APIC_DELIVER_LOWEST)
		set = pick_one(bus, set, vector);
	for (; set; set &= set - 1)
		taken += vlapic_accept(bus->apic[__builtin_ctzll(set)], mode, vector, level);
	return taken;
}

static uint64_t find_icr(const struct vlapic *v, uint64_t icr)
{
	bool wide = v->mode == VLAPIC_X2APIC;

	switch ((enum apic_shorthand)(icr >> APIC_ICR_SHORTHAND_SHIFT & 3)) {
	case APIC_TO_SELF:
		return 1ull << v->id;
	case APIC_TO_ALL:
		return present(v->bus);
	case APIC_TO_OTHERS:
		return present(v->bus) & ~(1ull << v->id);
	case APIC_TO_DESTINATION:
		break;
	}
	return find(v->bus, (uint32_t)(icr >> 32), icr & APIC_ICR_LOGICAL, wide);
}

void vlapic_ipi(struct vlapic *v, uint64_t icr)
{
	enum apic_delivery mode = (enum apic_delivery)(icr >> APIC_ICR_MODE_SHIFT & 7);
	unsigned vector = (uint8_t)icr;
	uint64_t set = find_icr(v, icr);

	if (mode <= APIC_DELIVER_LOWEST) { /* or fixed */
		if (set == 1ull << v->id) {
			/*
			 * To itself alone: it looks at IRR before it enters the guest again, a notice would
			 * be wasted.
			 */
			if (vlapic_is_software_enabled(v) && likely(vector >= APIC_VECTOR_MIN))
				vlapic_request(v, vector, false);
			return;
		}
	} else if (mode == APIC_DELIVER_INIT && (icr & (APIC_ICR_ASSERT | APIC_ICR_LEVEL)) == APIC_ICR_LEVEL) {
		return; /* INIT level de-assert only synchronised arbitration IDs */
	} else if (mode == APIC_DELIVER_EXTINT) {
		return; /* reserved in ICR */
	}
	send(v->bus, set, mode, vector, false);
}

enum status vlapic_deliver_msi(struct vlapic_bus *bus, uint64_t address, uint32_t data)
{
	enum apic_delivery mode = (enum apic_delivery)(data >> APIC_ICR_MODE_SHIFT & 7);
	bool level = data & MSI_DATA_LEVEL;
	uint64_t set;

	if (address >> 20 != MSI_ADDRESS_PREFIX)
		return STATUS_INVALID;
	if (mode == APIC_DELIVER_SIPI || (level && !(data & MSI_DATA_ASSERT)))
		return STATUS_OK; /* reserved, and the end of a level: nothing to deliver */
	if ((address & MSI_REDIRECT) && mode == APIC_DELIVER_FIXED)
		mode = APIC_DELIVER_LOWEST;
	set = find(bus, address >> 12 & 0xFF, address & MSI_LOGICAL, false);
	send(bus, set, mode, (uint8_t)data, level);
	return STATUS_OK;
}

int vlapic_send_ipi_bitmap(struct vlapic_bus *bus, uint32_t min_id, uint64_t bitmap, uint32_t icr)
{
	enum apic_delivery mode = (enum apic_delivery)(icr >> APIC_ICR_MODE_SHIFT & 7);
	unsigned vector = (uint8_t)icr;

	_Static_assert(HILUM_MAX_VCPUS <= 64, "one word holds all");
	if ((icr & ~(0x7FFu | APIC_ICR_ASSERT)) || (mode != APIC_DELIVER_NMI && (mode != APIC_DELIVER_FIXED || vector < APIC_VECTOR_MIN)))
		return -1;
	return send(bus, min_id < 64 ? bitmap << min_id & present(bus) : 0, mode, vector, false);
}
