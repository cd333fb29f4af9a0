/* See ioapic.h. */
#include "arch/x86_64/ioapic.h"
#include "arch/x86_64/acpi.h"
#include "arch/x86_64/spinlock.h"
#include "arch/x86_64/trap.h"

#define IOREGSEL        0x00u
#define IOWIN           0x10u
#define REG_VERSION     1u
#define REG_REDIRECT(n) (0x10u + 2 * (n))
#define REDIRECT_MASKED (1u << 16)
#define PINS_MAX        240u

struct ioapic {
	volatile uint8_t *mmio;
	uint32_t gsi_base, pins;
};

/* Protects each IOAPIC's register pair; the table itself is written before the other cores start. */
static struct spinlock ioapic_lock = SPINLOCK_INIT(LOCK_RANK_IRQ);
sealed static struct ioapic ioapics[ACPI_IOAPICS_MAX];
static uint32_t ioapic_count;

/* The register `reg`, as long as no other one is selected. */
static volatile uint32_t *select_register(const struct ioapic *io, uint32_t reg)
{
	*(volatile uint32_t *)(io->mmio + IOREGSEL) = reg;
	return (volatile uint32_t *)(io->mmio + IOWIN);
}

enum status ioapic_add(volatile void *mmio, uint32_t gsi_base)
{
	struct ioapic io = { .mmio = mmio, .gsi_base = gsi_base };
	uint32_t version;

	if (ioapic_count == ARRAY_SIZE(ioapics))
		return STATUS_NO_MEMORY;
	version = *select_register(&io, REG_VERSION);
	io.pins = (version >> 16 & 0xFF) + 1;
	if (version == UINT32_MAX || !version || io.pins > PINS_MAX)
		return STATUS_INVALID;
	for (uint32_t pin = 0; pin < io.pins; pin++)
		*select_register(&io, REG_REDIRECT(pin)) = REDIRECT_MASKED;
	ioapics[ioapic_count++] = io;
	return STATUS_OK;
}

void ioapic_disable_8259(void)
{
	for (uint8_t slave = 0; slave < 2; slave++) {
		uint16_t port = slave ? 0xA0 : 0x20;

		outb(port, 0x11); /* ICW1: edge, cascade, ICW4 follows */
		outb(port + 1, TRAP_PIC_BASE + 8 * slave);
		outb(port + 1, slave ? 2 : 4); /* the slave is on pin 2 */
		outb(port + 1, 1);             /* ICW4: 8086 mode */
		outb(port + 1, 0xFF);          /* all masked */
	}
}

/* Changes bits of the low half of a pin's entry; `destination` is the high half, NULL: it stays. */
static enum status change(uint32_t gsi, uint32_t clear, uint32_t set, const uint32_t *destination)
{
	for (uint32_t i = 0; i < ioapic_count; i++) {
		const struct ioapic *io = &ioapics[i];
		uint32_t reg = REG_REDIRECT(gsi - io->gsi_base);

		if (gsi - io->gsi_base >= io->pins)
			continue;
		spin_lock(&ioapic_lock);
		uint32_t low = *select_register(io, reg);

		if (destination)
			*select_register(io, reg + 1) = *destination;
		*select_register(io, reg) = (low & ~clear) | set;
		spin_unlock(&ioapic_lock);
		return STATUS_OK;
	}
	return STATUS_NOT_FOUND;
}

enum status ioapic_route(uint32_t gsi, unsigned vector, uint32_t high)
{
	if (vector < TRAP_IRQ_FIRST || vector > TRAP_IRQ_LAST)
		return STATUS_INVALID;
	return change(gsi, UINT32_MAX, vector | REDIRECT_MASKED, &high);
}

enum status ioapic_set_mask(uint32_t gsi, bool masked)
{
	return change(gsi, REDIRECT_MASKED, masked ? REDIRECT_MASKED : 0, NULL);
}
