/*
 * Bringing up an AHCI controller: taking it over from firmware, reset, and a disk for each port that has one. AHCI 1.3.1: 3.1 Generic
 * Host Control, 10.1.2 System Software Specific Initialization, 10.4.3 HBA Reset, 10.6 BIOS/OS Handoff, 10.7 Interrupts.
 */
#include "drivers-vm/driver/host_ahci.h"

#include "drivers-vm/driver/host_mmio.h"
#include "drivers-vm/runtime/service.h"

#include <stdlib.h>

#define CLASS_AHCI 0x010601u
#define ABAR       5u

enum { CAP = 0x00, GHC = 0x04, IS = 0x08, PI = 0x0C, CAP2 = 0x24, BOHC = 0x28, PORTS = 0x100 };
#define CAP_64BIT      (1u << 31)
#define GHC_RESET      (1u << 0)
#define GHC_INTERRUPTS (1u << 1)
#define GHC_AHCI       (1u << 31)
#define CAP2_HANDOFF   (1u << 0)
#define BOHC_FIRMWARE  (1u << 0)
#define BOHC_OWN       (1u << 1)
#define BOHC_BUSY      (1u << 4)
#define SIGNATURE_DISK 0x00000101u
#define HANDOFF_NS     2000000000ull /* 10.6.3 */
#define RESET_NS       1000000000ull /* 10.4.3 */
#define STOP_NS        500000000ull  /* 10.3.1 */
#define GONE           UINT32_MAX

static bool matches(const struct host_pci *pci)
{
	return host_pci_read(pci, 8, 4) >> 8 == CLASS_AHCI;
}

static bool fail(const struct ahci *ahci, const char *what)
{
	host_device_log(ahci->device.pci, "AHCI: %s", what);
	return false;
}

void ahci_give_up(struct ahci *ahci, const char *why)
{
	if (ahci->dead)
		return;
	ahci->dead = true;
	host_pci_enable(ahci->device.pci, false, false);
	fail(ahci, why);
	/* First none does anything any more: whoever is told of an error may submit to another port. */
	for (unsigned i = 0; i < AHCI_PORTS; i++)
		if (ahci->port[i] != NULL)
			ahci->port[i]->state = AHCI_STOPPED;
	for (unsigned i = 0; i < AHCI_PORTS; i++)
		if (ahci->port[i] != NULL && !ahci->port[i]->blk.dead)
			host_blk_give_up(&ahci->port[i]->blk, "with its controller");
}

/* ---- Ports ------------------------------------------------------------------------------------------------------------------------ */

static struct ahci_port *open_port(struct ahci *ahci, unsigned number)
{
	struct ahci_port *port = host_device_state(ahci->device.pci, sizeof(*port));

	if (port == NULL)
		return NULL;
	host_blk_init(&port->blk, ahci->device.pci, &ahci_io_ops);
	port->blk.device.ops = &ahci_port_ops;
	port->blk.disk.port = number;
	port->controller = ahci;
	port->registers = ahci->registers + PORTS + AHCI_PX_BYTES * number;
	if (ahci_port_open(port))
		return port;
	host_device_log(ahci->device.pci, "AHCI: port %u: no memory for it", number);
	free(port);
	return NULL;
}

static void drop_port(struct ahci *ahci, unsigned number)
{
	uint64_t until = service_tsc() + service_ns_to_tsc(STOP_NS);
	bool closed;

	while (!(closed = ahci_port_close(ahci->port[number])) && service_tsc() < until)
		__asm__ volatile("pause");
	if (!closed)
		ahci_give_up(ahci, "a port of it does not stop");
	host_blk_free_pages(&ahci->port[number]->blk, 0);
	free(ahci->port[number]);
	ahci->port[number] = NULL;
}

/* All ports at once, since each may take seconds. */
static void open_ports(struct ahci *ahci)
{
	uint32_t implemented = mmio_read32(ahci->registers, PI), busy = 0;
	const char *why = NULL;

	for (unsigned i = 0; i < AHCI_PORTS && PORTS + AHCI_PX_BYTES * (i + 1ull) <= ahci->device.pci->bar_bytes[ABAR]; i++)
		if (implemented >> i & 1 && (ahci->port[i] = open_port(ahci, i)) != NULL)
			busy |= 1u << i;
	while (busy != 0) {
		unsigned i = (unsigned)__builtin_ctz(busy);
		for (; i < AHCI_PORTS; i++) {
			if (!(busy >> i & 1))
				continue;
			if (!ahci_port_step(ahci->port[i], service_tsc(), &why))
				drop_port(ahci, i);
			if (ahci->port[i] == NULL || ahci->port[i]->state == AHCI_READY || ahci->dead)
				busy &= ~(1u << i);
		}
		__asm__ volatile("pause");
	}
}

/* The disk behind a port that is ready; whatever else is there, as an optical drive, is left alone. */
static bool use_port(struct ahci_port *port)
{
	if (port->state != AHCI_READY || mmio_read32(port->registers, AHCI_PX_SIG) != SIGNATURE_DISK)
		return false;
	ahci_port_run(port);
	return ahci_identify(port);
}

static unsigned use_ports(struct ahci *ahci)
{
	unsigned disks = 0;

	for (unsigned i = 0; i < AHCI_PORTS; i++) {
		if (ahci->port[i] == NULL)
			continue;
		if (use_port(ahci->port[i])) {
			host_blk_start(&ahci->port[i]->blk, "SATA");
			disks++;
		} else {
			drop_port(ahci, i);
		}
	}
	return disks;
}

/* ---- The controller --------------------------------------------------------------------------------------------------------------- */

/* Waits until none of `bits` is set in a register. */
static bool wait_clear(const struct ahci *ahci, unsigned offset, uint32_t bits, uint64_t ns)
{
	uint64_t until = service_tsc() + service_ns_to_tsc(ns);

	while (mmio_read32(ahci->registers, offset) & bits) {
		if (service_tsc() >= until)
			return false;
		__asm__ volatile("pause");
	}
	return true;
}

/* Firmware that does not let go is overruled: it runs no more. */
static void take_from_firmware(const struct ahci *ahci)
{
	if (!(mmio_read32(ahci->registers, CAP2) & CAP2_HANDOFF))
		return;
	mmio_write32(ahci->registers, BOHC, mmio_read32(ahci->registers, BOHC) | BOHC_OWN);
	if (!wait_clear(ahci, BOHC, BOHC_FIRMWARE | BOHC_BUSY, HANDOFF_NS))
		fail(ahci, "its firmware does not let go of it");
}

static bool reset(struct ahci *ahci)
{
	take_from_firmware(ahci);
	mmio_write32(ahci->registers, GHC, GHC_AHCI);
	mmio_write32(ahci->registers, GHC, GHC_AHCI | GHC_RESET);
	if (!wait_clear(ahci, GHC, GHC_RESET, RESET_NS))
		return fail(ahci, "it cannot be reset");
	mmio_write32(ahci->registers, GHC, GHC_AHCI);
	ahci->capabilities = mmio_read32(ahci->registers, CAP);
	return ahci->capabilities & CAP_64BIT || fail(ahci, "it has no 64-bit addresses: not supported");
}

static void interrupt(struct host_device *device)
{
	struct ahci *ahci = (struct ahci *)device;
	uint32_t pending = ahci->dead ? 0 : mmio_read32(ahci->registers, IS);

	for (uint32_t left = pending; left != 0; left &= left - 1) {
		struct ahci_port *port = ahci->port[__builtin_ctz(left)];
		if (port != NULL)
			port->blk.device.ops->interrupt(&port->blk.device);
	}
	/* After the ports: one in which something has happened since raises the interrupt again. */
	if (pending != 0 && !ahci->dead)
		mmio_write32(ahci->registers, IS, pending);
}

static uint64_t check(struct host_device *device, uint64_t now_tsc)
{
	struct ahci *ahci = (struct ahci *)device;
	uint64_t next = 0;

	for (unsigned i = 0; i < AHCI_PORTS; i++) {
		struct ahci_port *port = ahci->port[i];
		uint64_t at = port != NULL ? port->blk.device.ops->check(&port->blk.device, now_tsc) : 0;
		if (at != 0 && (next == 0 || at < next))
			next = at;
	}
	return next;
}

static bool bring_up(struct ahci *ahci, unsigned event)
{
	const struct host_pci *pci = ahci->device.pci;

	ahci->registers = pci->bar[ABAR];
	if (ahci->registers == NULL || pci->bar_bytes[ABAR] < PORTS)
		return fail(ahci, "it has no registers");
	host_pci_enable(pci, true, false);
	if (mmio_read32(ahci->registers, CAP) == GONE)
		return fail(ahci, "its capabilities make no sense");
	if (!reset(ahci))
		return false;
	if (!host_pci_bind_irq(pci, 0, 0, event))
		return fail(ahci, "its interrupt cannot be bound");
	host_pci_enable(pci, true, true);
	open_ports(ahci);
	if (use_ports(ahci) == 0)
		return fail(ahci, "no disk is at any of its ports");
	mmio_write32(ahci->registers, IS, UINT32_MAX);
	mmio_write32(ahci->registers, GHC, GHC_AHCI | GHC_INTERRUPTS);
	return true;
}

static struct host_device *start(const struct host_pci *pci, unsigned event)
{
	static const struct host_device_ops ops = { .interrupt = interrupt, .check = check };
	struct ahci *ahci = host_device_state(pci, sizeof(*ahci));

	if (ahci == NULL)
		return NULL;
	ahci->device = (struct host_device){ &ops, pci };
	if (bring_up(ahci, event))
		return &ahci->device;
	host_pci_enable(pci, false, false);
	free(ahci);
	return NULL;
}

const struct host_driver host_ahci_driver = { .name = "ahci", .matches = matches, .start = start };
