/*
 * An I/O APIC: Intel 82093AA datasheet, section 3, with the EOI register of version 20h (ICH9
 * datasheet, 13.5.7). Messages leave in the xAPIC MSI format (SDM vol. 3A, 11.11), which is what the wire to
 * the local APICs carries on chipsets with a 20h part.
 */
#ifndef DRIVERS_VM_DRIVER_IOAPIC_H
#define DRIVERS_VM_DRIVER_IOAPIC_H

#include "drivers-vm/driver/model_host.h"
#include "drivers-vm/lib/platform.h"

#define IOAPIC_BYTES   0x1000u
#define IOAPIC_VERSION 0x20u

/* Memory-mapped registers, offsets from the base. */
#define IOAPIC_IOREGSEL 0x00u
#define IOAPIC_IOWIN    0x10u
#define IOAPIC_EOIR     0x40u

/* Indirect registers. */
#define IOAPIC_ID     0x00u
#define IOAPIC_VER    0x01u
#define IOAPIC_ARB    0x02u
#define IOAPIC_REDTBL 0x10u

/* Redirection table entry. */
#define IOAPIC_RTE_VECTOR        0x00000000000000FFull
#define IOAPIC_RTE_DELMOD        0x0000000000000700ull
#define IOAPIC_RTE_DELMOD_SHIFT  8
#define IOAPIC_RTE_DESTMOD       0x0000000000000800ull
#define IOAPIC_RTE_DELIVS        0x0000000000001000ull
#define IOAPIC_RTE_INTPOL        0x0000000000002000ull
#define IOAPIC_RTE_REMOTE_IRR    0x0000000000004000ull
#define IOAPIC_RTE_TRIGGER_LEVEL 0x0000000000008000ull
#define IOAPIC_RTE_MASK          0x0000000000010000ull
#define IOAPIC_RTE_DEST_SHIFT    56
#define IOAPIC_RTE_WRITABLE      0xFF0000000001AFFFull

enum ioapic_delivery {
	IOAPIC_DELIVER_FIXED = 0,
	IOAPIC_DELIVER_LOWEST = 1,
	IOAPIC_DELIVER_SMI = 2,
	IOAPIC_DELIVER_NMI = 4,
	IOAPIC_DELIVER_INIT = 5,
	IOAPIC_DELIVER_EXTINT = 7,
};

struct ioapic {
	const struct model_host *host;
	uint64_t rte[PLATFORM_IOAPIC_PINS];
	uint32_t lines; /* asserted inputs, one bit a pin */
	uint8_t select;
	uint8_t id;
};

void ioapic_init(struct ioapic *ioapic, const struct model_host *host, uint8_t id);

/* Masks every pin and forgets remote IRR; the input lines keep the level that the devices drive. */
void ioapic_reset(struct ioapic *ioapic);

/* Register window; `offset` from the base. Registers are 32 bits wide: other accesses read zero and write
 * nothing. */
uint32_t ioapic_read(struct ioapic *ioapic, uint32_t offset, unsigned size);
void ioapic_write(struct ioapic *ioapic, uint32_t offset, unsigned size, uint32_t value);

/* A device asserts or releases pin `pin`; pins past the last are ignored. The pin's polarity bit is the
 * wire's matter. */
void ioapic_set_line(struct ioapic *ioapic, unsigned pin, bool asserted);

/* A local APIC has broadcast the end of a level-triggered interrupt with this vector. */
void ioapic_end_of_interrupt(struct ioapic *ioapic, uint8_t vector);

/* After a driver VM that is gone: an interrupt that it had begun to send goes out again. */
void ioapic_resume(struct ioapic *ioapic);

#endif
