/*
 * What is kept of a VM outside of itself: its console's output, what was typed for it, and its devices' counts. Memory of the control
 * VM's, mapped into each driver VM that serves the VM (CHANNEL_RECORD_GPA), so that it outlives VM and driver VM. Each side writes its
 * own fields only; the control VM takes every number as one that anybody may have written, and copies bytes without looking at them.
 */
#ifndef DRIVERS_VM_LIB_VM_RECORD_H
#define DRIVERS_VM_LIB_VM_RECORD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define VM_RECORD_OUTPUT_BYTES (1u << 20) /* kept; a power of two */
#define VM_RECORD_INPUT_BYTES  1024u      /* typed ahead of the VM; a power of two */
#define VM_RECORD_DISKS        8u
#define VM_RECORD_NICS         4u

struct vm_record_disk {
	uint64_t read_requests, read_bytes, write_requests, write_bytes, flush_requests, errors;
};

struct vm_record_nic {
	uint64_t sent_frames, sent_bytes, received_frames, received_bytes, refused, dropped;
};

/* Since the VM was started. */
struct vm_record_counts {
	uint64_t balloon_bytes; /* that it has given up for now */
	struct vm_record_disk disk[VM_RECORD_DISKS];
	struct vm_record_nic nic[VM_RECORD_NICS];
};

struct vm_record {
	/* The driver VM's. */
	uint64_t written;     /* bytes of output ever; byte n lies at output[n % VM_RECORD_OUTPUT_BYTES], stored before it is counted */
	uint64_t input_taken; /* of what was typed */
	struct vm_record_counts counts;
	/* The control VM's. */
	uint64_t input_written; /* bytes ever typed, as with `written` */
	/* The control VM sets it to learn of new output; the driver VM clears it as it tells. */
	uint32_t watched;
	uint32_t reserved;
	uint8_t input[VM_RECORD_INPUT_BYTES];
	uint8_t output[VM_RECORD_OUTPUT_BYTES] __attribute__((aligned(4096)));
};
_Static_assert(sizeof(struct vm_record) == 4096 + VM_RECORD_OUTPUT_BYTES, "one page and the output");

/* ---- The driver VM's side --------------------------------------------------------------------------------------------------- */
/* Numbers that make no sense, as a driver VM that went mad leaves them, are set right. `resume`: the VM has not ended in between. */
void vm_record_open(struct vm_record *record, bool resume);
void vm_record_append(struct vm_record *record, const uint8_t *bytes, size_t count);
/* True once for each time that somebody waits for output. */
bool vm_record_must_tell(struct vm_record *record);
/* Typed bytes, at most `size`; they stay until vm_record_drop_input says how many of them were taken. */
size_t vm_record_peek_input(const struct vm_record *record, uint8_t *to, size_t size);
void vm_record_drop_input(struct vm_record *record, size_t count);

/* ---- The control VM's side -------------------------------------------------------------------------------------------------- */
/* Bytes written so far, whatever that is. */
uint64_t vm_record_end(const struct vm_record *record);
/*
 * Copies output from *position on, at most `size` bytes, and moves it behind them; what is older than is kept is skipped, and a position
 * beyond the end becomes the end. Zero: there is no more; the next output is then told.
 */
size_t vm_record_read(struct vm_record *record, uint64_t *position, uint8_t *to, size_t size);
/* Types; returns how many bytes there was room for. */
size_t vm_record_type(struct vm_record *record, const uint8_t *bytes, size_t count);

#endif
