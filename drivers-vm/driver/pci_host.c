/* Routing on bus 0. BARs that the guest puts on top of each other answer in the order of their device
 * numbers. */
#include "drivers-vm/driver/pci_host.h"

#include <string.h>

#define BRIDGE_VENDOR    0x1B36u /* Red Hat's generic host bridge, which no driver claims */
#define BRIDGE_DEVICE    0x0008u
#define BRIDGE_SUBSYSTEM 0x1100u
#define BRIDGE_CLASS     0x060000u

#define ECAM_FUNCTION_BYTES 0x1000u

void pci_host_init(struct pci_host *bus)
{
	static const struct pci_identity identity = {
		.vendor = BRIDGE_VENDOR,
		.device = BRIDGE_DEVICE,
		.subsystem_vendor = BRIDGE_VENDOR,
		.subsystem = BRIDGE_SUBSYSTEM,
		.class_code = BRIDGE_CLASS,
	};

	memset(bus, 0, sizeof(*bus));
	bus->next_io = PLATFORM_PCI_IO_BASE;
	bus->next_memory = PLATFORM_PCI_MMIO_BASE;
	pci_function_init(&bus->bridge, &identity, NULL);
	pci_function_finish(&bus->bridge);
	bus->device[0] = &bus->bridge;
}

static bool bar_assign(struct pci_host *bus, struct pci_function *function, unsigned bar)
{
	uint32_t bytes = function->bar[bar].bytes;
	bool io = function->bar[bar].io;
	uint32_t *next = io ? &bus->next_io : &bus->next_memory;
	uint64_t limit = io ? PLATFORM_PCI_IO_LIMIT + 1 : PLATFORM_PCI_MMIO_LIMIT;
	uint64_t base = ((uint64_t)*next + bytes - 1) & ~((uint64_t)bytes - 1);

	if (base + bytes > limit)
		return false;
	*next = (uint32_t)(base + bytes);
	pci_config_set(function, PCI_BAR0 + 4 * bar, 4, (uint32_t)base | (io ? PCI_BAR_IO : 0));
	return true;
}

bool pci_host_plug(struct pci_host *bus, unsigned device, struct pci_function *function)
{
	if (device >= PCI_HOST_DEVICES || bus->device[device] != NULL)
		return false;
	for (unsigned i = 0; i < PCI_BARS; i++)
		if (function->bar[i].bytes != 0 && !bar_assign(bus, function, i))
			return false;
	pci_function_finish(function);
	bus->device[device] = function;
	return true;
}

void pci_host_reset(struct pci_host *bus)
{
	bus->address = 0;
	for (unsigned i = 0; i < PCI_HOST_DEVICES; i++)
		if (bus->device[i] != NULL)
			pci_function_reset(bus->device[i]);
}

/* ---- Configuration space ---- */

static uint32_t config_read(struct pci_host *bus, unsigned devfn, unsigned offset, unsigned size)
{
	struct pci_function *function = devfn % 8 == 0 ? bus->device[devfn / 8] : NULL;

	return function != NULL ? pci_config_read(function, offset, size) : pci_no_answer(size);
}

static void config_write(struct pci_host *bus, unsigned devfn, unsigned offset, unsigned size, uint32_t value)
{
	struct pci_function *function = devfn % 8 == 0 ? bus->device[devfn / 8] : NULL;

	if (function != NULL)
		pci_config_write(function, offset, size, value);
}

/* Mechanism #1: where the data port points. False: it is off, at another bus, or past the register's four
 * bytes. */
static bool data_port_target(const struct pci_host *bus, uint16_t port, unsigned size, unsigned *devfn, unsigned *offset)
{
	unsigned byte = port % PCI_HOST_DATA_PORTS;

	*devfn = bus->address >> 8 & 0xFF;
	*offset = (bus->address & 0xFC) + byte;
	return (bus->address & PCI_HOST_ADDRESS_ENABLE) && (bus->address >> 16 & 0xFF) == 0 && byte + size <= PCI_HOST_DATA_PORTS;
}

/* ---- BARs ---- */

static struct pci_function *bar_find(struct pci_host *bus, bool io, uint32_t address, unsigned size, unsigned *number)
{
	for (unsigned i = 0; i < PCI_HOST_DEVICES; i++) {
		struct pci_function *function = bus->device[i];
		for (unsigned j = 0; function != NULL && j < PCI_BARS; j++) {
			const struct pci_bar *bar = &function->bar[j];
			uint32_t offset = address - bar->base;
			if (bar->decodes && bar->io == io && offset < bar->bytes && size <= bar->bytes - offset) {
				*number = j;
				return function;
			}
		}
	}
	return NULL;
}

static uint32_t bar_read(struct pci_host *bus, bool io, uint32_t address, unsigned size)
{
	unsigned bar;
	uint32_t value = pci_no_answer(size);
	struct pci_function *function = bar_find(bus, io, address, size, &bar);

	if (function != NULL)
		pci_bar_read(function, bar, address - function->bar[bar].base, size, &value);
	return value;
}

static void bar_write(struct pci_host *bus, bool io, uint32_t address, unsigned size, uint32_t value)
{
	unsigned bar;
	struct pci_function *function = bar_find(bus, io, address, size, &bar);

	if (function != NULL)
		pci_bar_write(function, bar, address - function->bar[bar].base, size, value);
}

/* ---- The guest's accesses ---- */

uint32_t pci_host_port_read(struct pci_host *bus, uint16_t port, unsigned size)
{
	unsigned devfn, offset;

	if (port >= PLATFORM_PCI_IO_BASE)
		return bar_read(bus, true, port, size);
	if (port == PCI_HOST_ADDRESS_PORT && size == 4)
		return bus->address;
	if (data_port_target(bus, port, size, &devfn, &offset))
		return config_read(bus, devfn, offset, size);
	return pci_no_answer(size);
}

void pci_host_port_write(struct pci_host *bus, uint16_t port, unsigned size, uint32_t value)
{
	unsigned devfn, offset;

	if (port >= PLATFORM_PCI_IO_BASE)
		bar_write(bus, true, port, size, value);
	else if (port == PCI_HOST_ADDRESS_PORT && size == 4)
		bus->address = value & PCI_HOST_ADDRESS_MASK;
	else if (data_port_target(bus, port, size, &devfn, &offset))
		config_write(bus, devfn, offset, size, value);
}

static uint32_t word_read(struct pci_host *bus, uint32_t gpa, unsigned size)
{
	uint32_t offset = gpa - (uint32_t)PLATFORM_ECAM_BASE;

	if (gpa < PLATFORM_ECAM_BASE)
		return bar_read(bus, false, gpa, size);
	return offset < PLATFORM_ECAM_BYTES ? config_read(bus, offset / ECAM_FUNCTION_BYTES, offset % ECAM_FUNCTION_BYTES, size)
	                                    : pci_no_answer(size);
}

static void word_write(struct pci_host *bus, uint32_t gpa, unsigned size, uint32_t value)
{
	uint32_t offset = gpa - (uint32_t)PLATFORM_ECAM_BASE;

	if (gpa < PLATFORM_ECAM_BASE)
		bar_write(bus, false, gpa, size, value);
	else if (offset < PLATFORM_ECAM_BYTES)
		config_write(bus, offset / ECAM_FUNCTION_BYTES, offset % ECAM_FUNCTION_BYTES, size, value);
}

/* Eight bytes reach the bus as two words, the lower first. */
uint64_t pci_host_mmio_read(struct pci_host *bus, uint64_t gpa, unsigned size)
{
	uint64_t low = word_read(bus, (uint32_t)gpa, size < 4 ? size : 4);

	return size <= 4 ? low : low | (uint64_t)word_read(bus, (uint32_t)gpa + 4, 4) << 32;
}

void pci_host_mmio_write(struct pci_host *bus, uint64_t gpa, unsigned size, uint64_t value)
{
	word_write(bus, (uint32_t)gpa, size < 4 ? size : 4, (uint32_t)value);
	if (size > 4)
		word_write(bus, (uint32_t)gpa + 4, 4, (uint32_t)(value >> 32));
}
