/*
 * How the machine's memory is shared out among guests. Pure: figures in, decisions out; guest_memory.c has the figures and acts.
 *
 * A guest is promised what it may ever have (`most`). One that is populated at start has it; another one has `resident` bytes, and gets the
 * rest when it touches it. Without overcommit all promises can be kept at once: free memory covers what is promised and not taken. With an
 * overcommit of N percent they may come to N percent of the memory there is for guests; what each is guaranteed (`least`) is there always.
 */
#ifndef DRIVERS_VM_CONTROL_MEMORY_POLICY_H
#define DRIVERS_VM_CONTROL_MEMORY_POLICY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Of free memory, for the kernel's tables and the service VMs. */
#define MEMORY_RESERVE_BYTES 0x1000000ull

/* A guest that is populated at first access. */
struct memory_guest {
	uint64_t memory;   /* its RAM, */
	uint64_t most;     /* what it may have of it, */
	uint64_t least;    /* what is guaranteed to it, */
	uint64_t resident; /* and what it has */
	bool balloon;
	uint64_t pressure; /* in and out: what its balloon is to hold because memory is short, bytes */
};

struct memory_figures {
	uint64_t total, free; /* of the machine */
	uint32_t overcommit;  /* percent; at least 100 */
	unsigned guests;
	struct memory_guest *guest;
};

/* Promised to them, and what they have. */
uint64_t memory_promised(const struct memory_figures *figures);
uint64_t memory_resident(const struct memory_figures *figures);

/* Bytes that can be taken for good without breaking what is promised. */
uint64_t memory_spare(const struct memory_figures *figures);

/*
 * Whether another guest may start: `at_once` bytes are taken for good, and `most` and `least` promised and guaranteed to it (zero
 * for one that is populated at start). Zero, or how many bytes are missing.
 */
uint64_t memory_missing(const struct memory_figures *figures, uint64_t at_once, uint64_t most, uint64_t least);

/* Below this much free memory balloons are pressed, and above twice as much let go. */
uint64_t memory_low_water(const struct memory_figures *figures);

/* Whether guests can use more than there is. */
bool memory_is_short_of_promises(const struct memory_figures *figures);

/*
 * New `pressure` of each guest; to be called at a steady pace. Where memory is short, guests give in proportion to what they have
 * above their guarantee. Where there is plenty, they get some back each time. True: a pressure has changed, or some is left.
 */
bool memory_balance(const struct memory_figures *figures);

#endif
