/*
 * SATA disks behind an AHCI controller: Serial ATA AHCI 1.3.1, Serial ATA 3.x for frames (FIS), ATA/ATAPI Command Set (ACS-3) for
 * commands. Reads and writes are queued (NCQ) where disk and controller can. Any other command is alone on its port, so that an error
 * is its own. After an error or a missed deadline the port stops, its link is reset, and what was under way is tried once more, one
 * command at a time: what fails again was it, and the rest comes through. Ports with anything but an ATA disk are left alone.
 */
#ifndef DRIVERS_VM_DRIVER_HOST_AHCI_H
#define DRIVERS_VM_DRIVER_HOST_AHCI_H

#include "drivers-vm/driver/host_blk.h"

#include <assert.h>

#define AHCI_PORTS          32u
#define AHCI_SLOTS          32u
#define AHCI_TRANSFER_BYTES 0x100000u /* of one command at most */

/* Port registers: 3.3. */
enum {
	AHCI_PX_CLB = 0x00,
	AHCI_PX_FB = 0x08,
	AHCI_PX_IS = 0x10,
	AHCI_PX_IE = 0x14,
	AHCI_PX_CMD = 0x18,
	AHCI_PX_TFD = 0x20,
	AHCI_PX_SIG = 0x24,
	AHCI_PX_SSTS = 0x28,
	AHCI_PX_SCTL = 0x2C,
	AHCI_PX_SERR = 0x30,
	AHCI_PX_SACT = 0x34,
	AHCI_PX_CI = 0x38,
	AHCI_PX_BYTES = 0x80,
};
#define AHCI_CMD_START       (1u << 0)
#define AHCI_CMD_SPIN_UP     (1u << 1)
#define AHCI_CMD_POWER       (1u << 2)
#define AHCI_CMD_FIS_RECEIVE (1u << 4)
#define AHCI_CMD_RUNNING     (1u << 15)

/* What a command is told about, kept to tell it again. */
struct ahci_command {
	uint64_t sector;
	uint16_t sectors; /* of the count field */
	uint8_t opcode;
	bool write;       /* to the device */
	uint16_t entries; /* of its table */
};

enum ahci_state {
	AHCI_STOPPED,   /* nothing is done, nor will be */
	AHCI_STOPPING,  /* the engine that takes commands is to stop */
	AHCI_RESETTING, /* the link is held in reset */
	AHCI_COMING,    /* the disk is to report */
	AHCI_READY,     /* it has; the engine does not run yet */
	AHCI_RUNNING,
};

struct ahci;

struct ahci_port {
	struct host_blk blk; /* first */
	struct ahci *controller;
	volatile uint8_t *registers;
	uint8_t *page; /* struct ahci_port_page */
	unsigned slots;
	bool ncq;
	enum ahci_state state;
	uint64_t until_tsc; /* of the state */
	/* Slots, a bit each. */
	uint32_t busy;             /* with a command of host_blk's */
	uint32_t out;              /* of those: the device has it, or will at the next doorbell; ... */
	uint32_t put;              /* ... has not been told yet */
	uint32_t again;            /* of those: to be tried once more, alone */
	uint32_t retried;          /* of those: it is the second time */
	uint32_t finished, failed; /* of those: to be taken */
	bool queued;               /* `out` are NCQ commands */
	unsigned late;             /* times in a row that a deadline was missed */
	uint64_t logged_tsc;
	struct ahci_command command[AHCI_SLOTS];
};

struct ahci {
	struct host_device device; /* first */
	volatile uint8_t *registers;
	uint32_t capabilities;
	bool dead;                          /* no DMA any more */
	struct ahci_port *port[AHCI_PORTS]; /* NULL: no disk */
};

extern const struct host_driver host_ahci_driver;

/* The whole controller is given up. */
void ahci_give_up(struct ahci *ahci, const char *why);

/* ---- host_ahci_port.c: a port's states ---- */

/* Sets its memory up and begins to reset its link. False: no memory. */
bool ahci_port_open(struct ahci_port *port);

/* Goes on with a reset: to AHCI_READY in the end. False: it does not come back; *why says what is wrong. */
bool ahci_port_step(struct ahci_port *port, uint64_t now_tsc, const char **why);

/* From AHCI_READY to AHCI_RUNNING; what was under way starts again. */
void ahci_port_run(struct ahci_port *port);

/* The last command that ended did so with an error. */
bool ahci_port_has_error(const struct ahci_port *port);

/* Stops for good. False: it cannot be stopped but with the whole controller. */
bool ahci_port_close(struct ahci_port *port);

/* Notes that the commands `guilty` have failed and the rest of `out` has not been done, and resets the link. */
void ahci_port_recover(struct ahci_port *port, uint32_t guilty, const char *why);

extern const struct host_device_ops ahci_port_ops;

/* ---- host_ahci_io.c: requests as commands ---- */

extern const struct host_blk_ops ahci_io_ops;

/* Describes the disk to host_blk, waiting for it. False: it is none that can be used, and the log says why. */
bool ahci_identify(struct ahci_port *port);

/* Starts the next command that is to be tried again, if there is one and the port is free. */
void ahci_put_again(struct ahci_port *port);

/* Takes note of what is done, or went wrong, since the last time. */
void ahci_collect(struct ahci_port *port);

#endif
