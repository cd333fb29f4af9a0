/*
 * What the control VM sees of the guests, by the record that it shares for each: console output is kept there besides being shown,
 * typed input comes from there, and the devices' counts are copied to it about once a second.
 */
#include "drivers-vm/driver/slots.h"

_Static_assert(MODEL_DISKS == VM_RECORD_DISKS && MODEL_NICS == VM_RECORD_NICS, "one place each");

void slot_record_open(struct slot *s, bool resume)
{
	s->record = (struct vm_record *)(CHANNEL_RECORD_GPA + s->index * CHANNEL_RECORD_STRIDE);
	vm_record_open(s->record, resume);
	s->counted = s->record->counts;
}

bool slot_record_output(uint32_t index, const uint8_t *bytes, size_t count)
{
	struct slot *s = &slots[index];

	if (s->record == NULL)
		return false;
	vm_record_append(s->record, bytes, count);
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

void slots_offer_input(void)
{
	for (unsigned i = 0; i < CHANNEL_SLOTS; i++)
		if (slots[i].attached)
			offer(&slots[i]);
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
		struct slot *s = &slots[n];
		struct vm_record_counts *to;

		if (!s->attached)
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
