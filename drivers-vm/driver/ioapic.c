/* Redirection table, edge and level inputs, remote IRR. Every message goes out through host->inject_msi. */
#include "drivers-vm/driver/ioapic.h"

#include <string.h>

#define MSI_ADDRESS_BASE    0xFEE00000ull
#define MSI_ADDRESS_RH      0x00000008ull
#define MSI_ADDRESS_DM      0x00000004ull
#define MSI_DEST_SHIFT      12
#define MSI_DATA_ASSERT     0x00004000u
#define MSI_DATA_LEVEL      0x00008000u
#define MSI_DATA_MODE_SHIFT 8

static unsigned rte_delivery(uint64_t rte)
{
	return (rte & IOAPIC_RTE_DELMOD) >> IOAPIC_RTE_DELMOD_SHIFT;
}

/* SMI, NMI, INIT and ExtINT are edges whatever the trigger bit says: 82093AA, 3.2.4, delivery mode. */
static bool rte_is_level(uint64_t rte)
{
	unsigned mode = rte_delivery(rte);

	return (rte & IOAPIC_RTE_TRIGGER_LEVEL) && (mode == IOAPIC_DELIVER_FIXED || mode == IOAPIC_DELIVER_LOWEST);
}

static void pin_deliver(struct ioapic *ioapic, unsigned pin)
{
	uint64_t rte = ioapic->rte[pin];
	uint64_t address = MSI_ADDRESS_BASE | (rte >> IOAPIC_RTE_DEST_SHIFT) << MSI_DEST_SHIFT;
	unsigned mode = rte_delivery(rte);
	uint32_t data = (uint32_t)(rte & IOAPIC_RTE_VECTOR) | mode << MSI_DATA_MODE_SHIFT | MSI_DATA_ASSERT;

	if (mode == 3 || mode == 6)
		return; /* reserved delivery modes reach nobody */
	if (rte & IOAPIC_RTE_DESTMOD)
		address |= MSI_ADDRESS_DM;
	if (mode == IOAPIC_DELIVER_LOWEST)
		address |= MSI_ADDRESS_RH;
	if (rte_is_level(rte)) {
		data |= MSI_DATA_LEVEL;
		ioapic->rte[pin] |= IOAPIC_RTE_REMOTE_IRR;
	}
	ioapic->host->inject_msi(ioapic->host->ctx, address, data);
}

/* A level pin delivers whenever it is asserted, unmasked and not already in service. */
static void pin_check_level(struct ioapic *ioapic, unsigned pin)
{
	uint64_t rte = ioapic->rte[pin];

	if (rte_is_level(rte) && (ioapic->lines >> pin & 1) && !(rte & (IOAPIC_RTE_MASK | IOAPIC_RTE_REMOTE_IRR)))
		pin_deliver(ioapic, pin);
}

void ioapic_set_line(struct ioapic *ioapic, unsigned pin, bool asserted)
{
	uint32_t bit;

	if (pin >= PLATFORM_IOAPIC_PINS)
		return;
	bit = 1u << pin;
	if (!asserted) {
		ioapic->lines &= ~bit;
		return;
	}
	if (ioapic->lines & bit)
		return;
	ioapic->lines |= bit;
	if (rte_is_level(ioapic->rte[pin]))
		pin_check_level(ioapic, pin);
	else if (!(ioapic->rte[pin] & IOAPIC_RTE_MASK)) /* an edge on a masked pin is lost: 3.2.4, interrupt mask */
		pin_deliver(ioapic, pin);
}

void ioapic_resume(struct ioapic *ioapic)
{
	for (unsigned pin = 0; pin < PLATFORM_IOAPIC_PINS; pin++)
		if ((ioapic->lines >> pin & 1) && !(ioapic->rte[pin] & IOAPIC_RTE_MASK))
			pin_deliver(ioapic, pin);
}

void ioapic_end_of_interrupt(struct ioapic *ioapic, uint8_t vector)
{
	unsigned pin;

	for (pin = 0; pin < PLATFORM_IOAPIC_PINS; pin++) {
		uint64_t rte = ioapic->rte[pin];

		if (!(rte & IOAPIC_RTE_REMOTE_IRR) || (rte & IOAPIC_RTE_VECTOR) != vector)
			continue;
		ioapic->rte[pin] &= ~IOAPIC_RTE_REMOTE_IRR;
		pin_check_level(ioapic, pin);
	}
}

static void rte_write(struct ioapic *ioapic, unsigned pin, bool high, uint32_t value)
{
	uint64_t old = ioapic->rte[pin];
	uint64_t new = high ? (uint64_t)value << 32 | (uint32_t)old : (old & 0xFFFFFFFF00000000ull) | value;

	new = (new &IOAPIC_RTE_WRITABLE) | (old & ~IOAPIC_RTE_WRITABLE);
	/* Remote IRR has no meaning for edges; software without the EOI register clears it by this very
	 * switch. */
	if (!rte_is_level(new))
		new &= ~IOAPIC_RTE_REMOTE_IRR;
	ioapic->rte[pin] = new;
	pin_check_level(ioapic, pin);
}

static uint32_t indirect_read(const struct ioapic *ioapic)
{
	unsigned pin = (ioapic->select - IOAPIC_REDTBL) / 2;

	switch (ioapic->select) {
	case IOAPIC_ID:
	case IOAPIC_ARB:
		return (uint32_t)ioapic->id << 24;
	case IOAPIC_VER:
		return (PLATFORM_IOAPIC_PINS - 1) << 16 | IOAPIC_VERSION;
	}
	if (ioapic->select < IOAPIC_REDTBL || pin >= PLATFORM_IOAPIC_PINS)
		return 0;
	return (uint32_t)(ioapic->rte[pin] >> ((ioapic->select & 1) ? 32 : 0));
}

static void indirect_write(struct ioapic *ioapic, uint32_t value)
{
	unsigned pin = (ioapic->select - IOAPIC_REDTBL) / 2;

	if (ioapic->select == IOAPIC_ID)
		ioapic->id = value >> 24 & 0x0F;
	else if (ioapic->select >= IOAPIC_REDTBL && pin < PLATFORM_IOAPIC_PINS)
		rte_write(ioapic, pin, ioapic->select & 1, value);
}

uint32_t ioapic_read(struct ioapic *ioapic, uint32_t offset, unsigned size)
{
	/* A byte or word of IOREGSEL is harmless and some software reads it so. */
	if (offset == IOAPIC_IOREGSEL)
		return ioapic->select;
	if (offset == IOAPIC_IOWIN && size == 4)
		return indirect_read(ioapic);
	return 0;
}

void ioapic_write(struct ioapic *ioapic, uint32_t offset, unsigned size, uint32_t value)
{
	if (offset == IOAPIC_IOREGSEL)
		ioapic->select = (uint8_t)value;
	else if (offset == IOAPIC_IOWIN && size == 4)
		indirect_write(ioapic, value);
	else if (offset == IOAPIC_EOIR && size == 4)
		ioapic_end_of_interrupt(ioapic, (uint8_t)value);
}

void ioapic_reset(struct ioapic *ioapic)
{
	unsigned pin;

	for (pin = 0; pin < PLATFORM_IOAPIC_PINS; pin++)
		ioapic->rte[pin] = IOAPIC_RTE_MASK;
	ioapic->select = 0;
}

void ioapic_init(struct ioapic *ioapic, const struct model_host *host, uint8_t id)
{
	memset(ioapic, 0, sizeof(*ioapic));
	ioapic->host = host;
	ioapic->id = id & 0x0F;
	ioapic_reset(ioapic);
}
