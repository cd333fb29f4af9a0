/*
 * Intel 82574 network cards (QEMU's e1000e) as uplinks: Intel 82574 GbE Controller Family Datasheet 3.4, whose sections the comments
 * name. One ring each way, of legacy receive and extended transmit descriptors; checksums are the card's work, the cutting of large TCP
 * segments is not.
 */
#ifndef DRIVERS_VM_DRIVER_HOST_E1000E_H
#define DRIVERS_VM_DRIVER_HOST_E1000E_H

#include "drivers-vm/driver/host_nic.h"

#include <assert.h>

#define E1000E_ENTRIES      128u /* of each ring: 2 KiB */
#define E1000E_BUFFER_BYTES 2048u

struct e1000e_receive {
	uint64_t address;
	uint16_t bytes, checksum;
	uint32_t status; /* 7:0 status, 15:8 errors, 31:16 VLAN */
};
static_assert(sizeof(struct e1000e_receive) == 16 && offsetof(struct e1000e_receive, status) == 12, "3.2.4 legacy receive descriptor");

struct e1000e_transmit {
	uint64_t address; /* of a context descriptor: where checksums begin and go */
	uint32_t command;
	uint32_t status; /* 3:0 status, 15:8 options */
};
static_assert(sizeof(struct e1000e_transmit) == 16 && offsetof(struct e1000e_transmit, status) == 12, "7.2.10.2");

struct e1000e {
	struct host_device device; /* first */
	struct host_nic nic;
	volatile uint8_t *registers;
	struct e1000e_receive *receive; /* both rings are in one page */
	struct e1000e_transmit *transmit;
	uint8_t *received[E1000E_ENTRIES];       /* half a page each */
	uint8_t *copy[E1000E_ENTRIES];           /* of frames that are not held, by their first descriptor */
	bool last[E1000E_ENTRIES];               /* descriptor of a frame to be sent */
	struct net_frame *frame[E1000E_ENTRIES]; /* held while it is sent, by its last descriptor */
	unsigned tail, told, clean;              /* of transmit: next to be put, told to the card, next to be sent */
	unsigned next;                           /* of receive */
	bool skip;                               /* the frame that comes is too long: up to its end */
	bool dead;
	uint64_t deadline_tsc, check_tsc; /* 0: none */
	uint64_t reset_tsc;               /* a reset is over then; 0: none */
};

extern const struct host_driver host_e1000e_driver;

/* ---- host_e1000e_ring.c ---- */

/* Empties both rings: all buffers are the card's to fill. */
void e1000e_ring_init(struct e1000e *card);

/* A frame of the switch's. False: there is no room for it. */
bool e1000e_ring_send(struct e1000e *card, struct net_frame *frame);

/* Takes back what was sent; returns how many frames it was. */
unsigned e1000e_ring_clean(struct e1000e *card);

/* Hands what came to the switch, at most `most` frames; in *frames how many it was. False: the card breaks the rules. */
bool e1000e_ring_receive(struct e1000e *card, unsigned most, unsigned *frames);

/* Gives all frames back that were to be sent. */
void e1000e_ring_release(struct e1000e *card);

static inline unsigned e1000e_ring_outstanding(const struct e1000e *card)
{
	return (card->tail - card->clean) % E1000E_ENTRIES;
}

#endif
