/* See ioapic.h. */
#include "arch/x86_64/ioapic.h"
#include "arch/x86_64/acpi.h"
#include "arch/x86_64/spinlock.h"
#include "arch/x86_64/trap.h"

#define IOREGSEL	0x00u
#define IOWIN		0x10u
#define REG_VERSION	1u
#define REG_REDIRECT(n) (0x10u + 2 * (n))
#define REDIRECT_LOW	(1u << 13) /* active low */
#define REDIRECT_LEVEL	(1u << 15)
#define REDIRECT_MASKED (1u << 16)
#define PINS_MAX	240u

struct ioapic {
	volatile uint8_t *mmio;
	uint32_t gsi_base, pins;
};

/* Protects each IOAPIC's register pair; the table itself is written before the other cores start. */
static struct spinlock ioapic_lock = SPINLOCK_INIT(LOCK_RANK_IRQ);
static struct ioapic ioapics[ACPI_IOAPICS_MAX];
static uint32_t ioapic_count;

static uint32_t read_register(const struct ioapic *io, uint32_t reg)
{
	*(volatile uint32_t *)(io->mmio + IOREGSEL) = reg;
	return *(volatile uint32_t *)(io->mmio + IOWIN);
}

static void write_register(const struct ioapic *io, uint32_t reg, uint32_t value)
{
	*(volatile uint32_t *)(io->mmio + IOREGSEL) = reg;
	*(volatile uint32_t *)(io->mmio + IOWIN) = value;
}

enum status ioapic_add(volatile void *mmio, uint32_t gsi_base)
{
	struct ioapic io = {.mmio = mmio, .gsi_base = gsi_base};
	uint32_t version;

	if (ioapic_count == ARRAY_SIZE(ioapics))
		return STATUS_NO_MEMORY;
	version = read_register(&io, REG_VERSION);
	io.pins = (version >> 16 & 0xFF) + 1;
	if (version == UINT32_MAX || !version || io.pins > PINS_MAX)
		return STATUS_INVALID;
	for (uint32_t pin = 0; pin < io.pins; pin++) {
		write_register(&io, REG_REDIRECT(pin), REDIRECT_MASKED);
		write_register(&io, REG_REDIRECT(pin) + 1, 0);
	}
	ioapics[ioapic_count++] = io;
	return STATUS_OK;
}

void ioapic_disable_8259(void)
{
	outb(0x20, 0x11); /* ICW1: edge, cascade, ICW4 follows */
	outb(0xA0, 0x11);
	outb(0x21, TRAP_PIC_BASE);
	outb(0xA1, TRAP_PIC_BASE + 8);
	outb(0x21, 4); /* the slave is on pin 2 */
	outb(0xA1, 2);
	outb(0x21, 1); /* ICW4: 8086 mode */
	outb(0xA1, 1);
	outb(0x21, 0xFF); /* all masked */
	outb(0xA1, 0xFF);
}

static struct ioapic *find(uint32_t gsi, uint32_t *pin)
{
	for (uint32_t i = 0; i < ioapic_count; i++) {
		if (gsi - ioapics[i].gsi_base >= ioapics[i].pins)
			continue;
		*pin = gsi - ioapics[i].gsi_base;
		return &ioapics[i];
	}
	return NULL;
}

enum status ioapic_route(uint32_t gsi, unsigned vector, uint32_t high, bool level, bool active_low)
{
	uint32_t pin;
	struct ioapic *io = find(gsi, &pin);

	if (!io)
		return STATUS_NOT_FOUND;
	if (vector < TRAP_IRQ_FIRST || vector > TRAP_IRQ_LAST)
		return STATUS_INVALID;
	spin_lock(&ioapic_lock);
	write_register(io, REG_REDIRECT(pin), REDIRECT_MASKED);
	write_register(io, REG_REDIRECT(pin) + 1, high);
	write_register(io, REG_REDIRECT(pin),
		       REDIRECT_MASKED | vector | (level ? REDIRECT_LEVEL : 0) |
			       (active_low ? REDIRECT_LOW : 0));
	spin_unlock(&ioapic_lock);
	return STATUS_OK;
}

enum status ioapic_set_mask(uint32_t gsi, bool masked)
{
	uint32_t pin;
	struct ioapic *io = find(gsi, &pin);

	if (!io)
		return STATUS_NOT_FOUND;
	spin_lock(&ioapic_lock);
	write_register(io, REG_REDIRECT(pin),
		       (read_register(io, REG_REDIRECT(pin)) & ~REDIRECT_MASKED) |
			       (masked ? REDIRECT_MASKED : 0));
	spin_unlock(&ioapic_lock);
	return STATUS_OK;
}
