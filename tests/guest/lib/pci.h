/*
 * PCI configuration space by ports 0xCF8/0xCFC, bus 0 (PCI 3.0, 3.2.2.3.2).
 */
#ifndef TESTS_GUEST_LIB_PCI_H
#define TESTS_GUEST_LIB_PCI_H

#include <stdint.h>

#define PCI_ADDRESS_PORT 0xCF8
#define PCI_DATA_PORT    0xCFC

/* Aligned 32-bit register of device.function on bus 0. */
uint32_t pci_read(unsigned device, unsigned function, unsigned offset);
void pci_write(unsigned device, unsigned function, unsigned offset, uint32_t value);

/*
 * I/O port that notifies queue 0 of the first modern virtio device with its notify capability on an I/O BAR;
 * 0 if none.
 */
uint16_t pci_find_virtio_notify_port(void);

#endif
