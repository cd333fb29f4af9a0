/*
 * One guest's platform: every device model that it sees, and the way from a port or an address to the right
 * one. The caller serialises all calls on one machine; different machines share nothing.
 */
#ifndef DRIVERS_VM_DRIVER_MACHINE_H
#define DRIVERS_VM_DRIVER_MACHINE_H

#include "drivers-vm/driver/acpi_pm.h"
#include "drivers-vm/driver/cpu_plug.h"
#include "drivers-vm/driver/ioapic.h"
#include "drivers-vm/driver/ivshmem.h"
#include "drivers-vm/driver/model_host.h"
#include "drivers-vm/driver/pci_host.h"
#include "drivers-vm/driver/pic.h"
#include "drivers-vm/driver/pit.h"
#include "drivers-vm/driver/rtc.h"
#include "drivers-vm/driver/uart16550.h"
#include "drivers-vm/driver/virtio_blk.h"
#include "drivers-vm/driver/virtio_balloon.h"
#include "drivers-vm/driver/virtio_console.h"
#include "drivers-vm/driver/virtio_net.h"
#include "drivers-vm/driver/virtio_rng.h"
#include "drivers-vm/driver/watchdog.h"

/* Console numbers of a machine, as in model_host's console_write and console_ready. */
#define MACHINE_CONSOLE_SERIAL 0u
#define MACHINE_CONSOLE_VIRTIO 1u

#define MACHINE_VIRTIOS (1u + MODEL_DISKS + MODEL_NICS + 2u) /* console, disks, cards, entropy, balloon */

struct machine_config {
	uint32_t vcpus;   /* the IOAPIC's id follows the last vCPU's */
	uint64_t present; /* bit n: vCPU n is there to begin with */
	bool serial;      /* COM1 exists */
	bool watchdog;
	bool virtio_console;
	uint16_t debug_exit_port;   /* isa-debug-exit; 0: none */
	uint16_t debug_crash_port;  /* likewise: writes crash the driver VM, for tests */
	uint64_t rtc_epoch_seconds; /* calendar time at machine_init */
	/* Virtio disks, at most MODEL_DISKS: room for them, which must outlive the machine, and what they are. */
	unsigned disks;
	struct virtio_blk *disk;
	const struct virtio_blk_config *disk_config; /* read by machine_init only */
	/* Virtio network cards, at most MODEL_NICS, likewise. Joining them to the switch is the caller's. */
	unsigned nics;
	struct virtio_net *nic;
	const struct virtio_net_config *nic_config;
	/* Ends of channels to other machines, at most MODEL_LINKS, likewise. */
	unsigned links;
	struct ivshmem *link;
	const struct ivshmem_config *link_config;
	struct virtio_rng *rng;         /* room for one; NULL: none */
	struct virtio_balloon *balloon; /* likewise */
	uint32_t balloon_pages;
	uint16_t *balloon_block; /* for its counts, zeroed: see virtio_balloon_set_blocks; or NULL */
	uint64_t balloon_blocks;
	bool packed; /* these two, and the console, offer packed rings */
};

struct machine {
	struct machine_config config;
	const struct model_host *host;
	struct uart16550 uart;
	struct ioapic ioapic;
	struct pic pic;
	struct pit pit;
	struct rtc rtc;
	struct acpi_pm acpi_pm;
	struct watchdog watchdog;
	struct cpu_plug cpu_plug;
	struct pci_host pci;
	struct virtio_console virtio_console;
	unsigned virtios;
	struct virtio_pci *virtio[MACHINE_VIRTIOS]; /* all virtio devices, in the order of their places on the bus */
};

/* Sets up the power-on state; `host` must outlive the machine. */
void machine_init(struct machine *m, const struct machine_config *config, const struct model_host *host);

/*
 * After machine_init with the same configuration: goes on where the machine `old` stood in a driver VM that is gone. Anything may be
 * found there, and in what was behind it: `behind` says where its disks and cards, their configurations, and with these their requests
 * and frames were. Nothing reaches the guest before machine_resume, with which the new machine counts.
 */
void machine_adopt(struct machine *m, const struct machine *old, const struct machine_config *behind);
void machine_resume(struct machine *m);

/* As the RESET line of a PC does: all devices to the power-on state, the clock keeps its time. */
void machine_reset(struct machine *m);

/*
 * One port access of 1, 2 or 4 bytes. What nobody claims reads all ones and ignores writes. Byte-wide devices
 * see a wider access as consecutive byte accesses, as the ISA bus makes them.
 */
uint32_t machine_port_read(struct machine *m, uint16_t port, unsigned size);
void machine_port_write(struct machine *m, uint16_t port, unsigned size, uint32_t value);

/* One memory access of 1, 2, 4 or 8 bytes outside RAM. */
uint64_t machine_mmio_read(struct machine *m, uint64_t gpa, unsigned size);
void machine_mmio_write(struct machine *m, uint64_t gpa, unsigned size, uint64_t value);

/* These vCPUs are there now, and of them those shall go: the guest is told. */
void machine_set_vcpus(struct machine *m, uint64_t present, uint64_t shall_go);

/* The timer `id` (enum model_timer) has reached its deadline. Unknown ids are ignored. */
void machine_timer(struct machine *m, unsigned id);

/* Does the work that virtqueues have: after model_host's kick, or when a doorbell has rung. */
void machine_serve(struct machine *m);

/* The other end of the channel `number` has rung; nothing if the machine has none of that number. */
void machine_ring(struct machine *m, uint32_t number, unsigned vector);

/* Whether a real device still uses the guest's memory. */
bool machine_is_busy(const struct machine *m);

/* Input for a console; returns how many bytes were taken. A console that does not exist swallows everything.
 */
size_t machine_console_input(struct machine *m, unsigned console, const uint8_t *bytes, size_t count);

/* Writes out what the consoles have gathered: call it before the guest's memory or the machine goes. */
void machine_flush(struct machine *m);

/* A local APIC ended the level-triggered interrupt `vector`. */
void machine_eoi(struct machine *m, uint8_t vector);

/* The vector that the 8259A pair answers an ExtINT acknowledge with. */
uint8_t machine_pic_acknowledge(struct machine *m);

/* Drives IOAPIC input `gsi` and, below 16, the ISA interrupt of that number. GSI 2 is the timer's. */
void machine_set_gsi(struct machine *m, unsigned gsi, bool level);

#endif
