/*
 * One conventional PCI function of a guest: its 256 bytes of configuration space, its BARs and its
 * capabilities (PCI Local Bus Specification 3.0, chapter 6). Device models embed it and answer accesses to
 * their BARs.
 */
#ifndef DRIVERS_VM_DRIVER_PCI_FUNCTION_H
#define DRIVERS_VM_DRIVER_PCI_FUNCTION_H

#include "drivers-vm/driver/model_host.h"

#define PCI_CONFIG_BYTES 256u
#define PCI_BARS         6u

/* Configuration space header, type 0. */
#define PCI_VENDOR_ID           0x00u
#define PCI_DEVICE_ID           0x02u
#define PCI_COMMAND             0x04u
#define PCI_STATUS              0x06u
#define PCI_REVISION_ID         0x08u
#define PCI_CLASS_CODE          0x09u
#define PCI_CACHE_LINE_SIZE     0x0Cu
#define PCI_BAR0                0x10u
#define PCI_SUBSYSTEM_VENDOR_ID 0x2Cu
#define PCI_SUBSYSTEM_ID        0x2Eu
#define PCI_CAPABILITIES        0x34u
#define PCI_INTERRUPT_LINE      0x3Cu
#define PCI_HEADER_BYTES        0x40u

#define PCI_COMMAND_IO           0x0001u
#define PCI_COMMAND_MEMORY       0x0002u
#define PCI_COMMAND_BUS_MASTER   0x0004u
#define PCI_COMMAND_INTX_DISABLE 0x0400u
#define PCI_STATUS_CAPABILITIES  0x0010u
#define PCI_BAR_IO               0x1u

#define PCI_CAPABILITY_VENDOR 0x09u
#define PCI_CAPABILITY_MSIX   0x11u

struct pci_function;

/* `bar_read` and `bar_write` get accesses of 1, 2 or 4 bytes that lie inside the BAR, at any alignment. */
struct pci_function_ops {
	uint32_t (*bar_read)(struct pci_function *function, unsigned bar, uint32_t offset, unsigned size);
	void (*bar_write)(struct pci_function *function, unsigned bar, uint32_t offset, unsigned size, uint32_t value);
	/* Optional. Bytes [offset, offset + size) of configuration space are about to be read: put them
	 * there. */
	void (*config_reading)(struct pci_function *function, unsigned offset, unsigned size);
	/* Optional. Those bytes have been written (what is not writable has kept its value). */
	void (*config_written)(struct pci_function *function, unsigned offset, unsigned size);
	/* The function's own state to power-on; configuration space already is. */
	void (*reset)(struct pci_function *function);
};

struct pci_bar {
	uint32_t bytes; /* a power of two; 0: no such BAR */
	uint32_t base;
	bool io;
	bool decodes; /* the command register lets it answer */
};

struct pci_function {
	const struct pci_function_ops *ops; /* NULL: configuration space is all there is */
	struct pci_bar bar[PCI_BARS];
	uint8_t last_capability; /* the register that points to the next one to come */
	uint8_t capability_end;
	uint8_t config[PCI_CONFIG_BYTES];
	uint8_t writable[PCI_CONFIG_BYTES]; /* bits of `config` that the guest can change */
	uint8_t power_on[PCI_CONFIG_BYTES];
};

struct pci_identity {
	uint16_t vendor, device, subsystem_vendor, subsystem;
	uint32_t class_code; /* 24 bits: class, subclass, programming interface */
	uint8_t revision;
};

/* An empty function; then come BARs and capabilities, then pci_function_finish. */
void pci_function_init(struct pci_function *function, const struct pci_identity *identity, const struct pci_function_ops *ops);

/* Adds BAR `bar` of `bytes` bytes, a power of two, at least 4 for ports and 16 for memory. */
void pci_function_add_bar(struct pci_function *function, unsigned bar, bool io, uint32_t bytes);

/* Adds a capability of `bytes` bytes, its two-byte head included; returns its offset in configuration space.
 */
uint8_t pci_function_add_capability(struct pci_function *function, uint8_t id, unsigned bytes);

/* What configuration space holds now is the state after power-on, with the BARs that the bus has assigned. */
void pci_function_finish(struct pci_function *function);

void pci_function_reset(struct pci_function *function);

/* What the guest has written to the same function's `config` in a driver VM that is gone: any bytes will do. After finish. */
void pci_function_adopt(struct pci_function *function, const uint8_t *config);

/* Little-endian access for the owner of the function, past what the guest may do; 1, 2 or 4 bytes inside the
 * space. */
uint32_t pci_config_get(const struct pci_function *function, unsigned offset, unsigned size);
void pci_config_set(struct pci_function *function, unsigned offset, unsigned size, uint32_t value);
void pci_config_set_writable(struct pci_function *function, unsigned offset, unsigned size, uint32_t mask);

/* The guest's access; `size` is 1, 2 or 4. Past the end reads give all ones and writes nothing. */
uint32_t pci_config_read(struct pci_function *function, unsigned offset, unsigned size);
void pci_config_write(struct pci_function *function, unsigned offset, unsigned size, uint32_t value);

/* Access of 1, 2 or 4 bytes to a BAR by its number, whether or not it decodes; false: outside of it. */
bool pci_bar_read(struct pci_function *function, unsigned bar, uint32_t offset, unsigned size, uint32_t *value);
bool pci_bar_write(struct pci_function *function, unsigned bar, uint32_t offset, unsigned size, uint32_t value);

/* Whether the function may read and write memory and send interrupts. */
static inline bool pci_function_is_master(const struct pci_function *function)
{
	return function->config[PCI_COMMAND] & PCI_COMMAND_BUS_MASTER;
}

/* All ones for an access of `size` bytes: what nobody answers. */
static inline uint32_t pci_no_answer(unsigned size)
{
	return size >= 4 ? ~0u : (1u << (8 * size)) - 1;
}

#endif
