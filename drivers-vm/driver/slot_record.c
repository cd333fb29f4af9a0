/*
 * What the control VM sees of the guests, by the record that it shares for each: console output is kept there besides being shown,
 * typed input comes from there, and the devices' counts are copied to it about once a second.
 */
#include "drivers-vm/driver/slots.h"
#include <string.h>

#define PAGE 4096u

static uint32_t self; /* for HC_VM_STATUS */

_Static_assert(MODEL_DISKS == VM_RECORD_DISKS && MODEL_NICS == VM_RECORD_NICS, "one place each");

void slot_record_open(struct slot *s, bool resume)
{
	s->record = (struct vm_record *)channel_record_place(s->index);
	vm_record_open(s->record, resume);
	s->counted = s->record->counts;
	/* What was written has memory; of pages that nobody has written to yet it is asked for. */
	s->backed = s->record->written < VM_RECORD_OUTPUT_BYTES ? (s->record->written + PAGE - 1) & ~(PAGE - 1) : VM_RECORD_OUTPUT_BYTES;
}

void slot_record_init(uint32_t handle)
{
	self = handle;
}

/* How many of `count` bytes of output there is memory for. A page without any is the driver VM's end, but not for a call of its. */
static size_t back(struct slot *s, size_t count)
{
	uint64_t end = s->record->written + count;

	while (s->backed < VM_RECORD_OUTPUT_BYTES && s->backed < end) {
		uint8_t *page = s->record->output + s->backed;
		if (hc(HC_VM_STATUS, self, (uintptr_t)page) < 0)
			return s->backed - s->record->written;
		memset(page, 0, sizeof(struct hilum_vm_status));
		s->backed += PAGE;
	}
	return count;
}

bool slot_record_output(uint32_t index, const uint8_t *bytes, size_t count)
{
	struct slot *s = slot_at(index);

	if (s == NULL || s->record == NULL)
		return false;
	vm_record_append(s->record, bytes, back(s, count));
	return vm_record_must_tell(s->record);
}

static void offer(struct slot *s)
{
	uint8_t bytes[64];
	size_t n, taken;

	do {
		n = vm_record_peek_input(s->record, bytes, sizeof(bytes));
		taken = n != 0 ? slot_input(s->index, bytes, n) : 0;
		vm_record_drop_input(s->record, taken);
	} while (n != 0 && taken == n);
}

static uint64_t typed[CHANNEL_SLOTS / 64]; /* a bit for each slot that input waits for */

void slot_note_input(uint32_t index)
{
	__atomic_fetch_or(&typed[index / 64], 1ull << index % 64, __ATOMIC_ACQ_REL);
}

void slots_offer_input(void)
{
	for (unsigned word = 0; word < CHANNEL_SLOTS / 64; word++) {
		uint64_t bits = __atomic_load_n(&typed[word], __ATOMIC_RELAXED) != 0
		                        ? __atomic_exchange_n(&typed[word], 0, __ATOMIC_ACQ_REL)
		                        : 0;
		for (; bits != 0; bits &= bits - 1) {
			struct slot *s = slot_at(word * 64 + (unsigned)__builtin_ctzll(bits));
			if (s != NULL && s->attached)
				offer(s);
		}
	}
}

static void record_disk(struct vm_record_disk *to, const struct vm_record_disk *before, const struct virtio_blk_counts *now)
{
	to->read_requests = before->read_requests + now->read_requests;
	to->read_bytes = before->read_bytes + now->read_bytes;
	to->write_requests = before->write_requests + now->write_requests;
	to->write_bytes = before->write_bytes + now->write_bytes;
	to->flush_requests = before->flush_requests + now->flush_requests;
	to->errors = before->errors + now->errors;
}

static void record_nic(struct vm_record_nic *to, const struct vm_record_nic *before, const struct net_port_counts *now)
{
	to->sent_frames = before->sent_frames + now->sent_frames;
	to->sent_bytes = before->sent_bytes + now->sent_bytes;
	to->received_frames = before->received_frames + now->received_frames;
	to->received_bytes = before->received_bytes + now->received_bytes;
	to->refused = before->refused + now->refused;
	to->dropped = before->dropped + now->dropped;
}

void slots_record_counts(void)
{
	for (unsigned n = 0; n < CHANNEL_SLOTS; n++) {
		struct slot *s = slot_at(n);
		struct vm_record_counts *to;

		if (s == NULL || !s->attached)
			continue;
		to = &s->record->counts;
		for (unsigned i = 0; i < s->devices.disks; i++)
			record_disk(&to->disk[i], &s->counted.disk[i], &s->devices.blk[i].counts);
		for (unsigned i = 0; i < s->devices.nics; i++)
			record_nic(&to->nic[i], &s->counted.nic[i], &s->devices.net[i].port.counts);
		if (s->devices.balloon != NULL)
			to->balloon_bytes = (uint64_t)s->devices.balloon->actual_pages * VIRTIO_BALLOON_PAGE_BYTES;
	}
}
