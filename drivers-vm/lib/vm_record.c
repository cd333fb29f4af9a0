/* Two rings: one that overwrites what is oldest, and one that takes no more than there is room for. */
#include "drivers-vm/lib/vm_record.h"

#include <string.h>

#define OUTPUT_MASK (VM_RECORD_OUTPUT_BYTES - 1u)
#define INPUT_MASK  (VM_RECORD_INPUT_BYTES - 1u)
#define READ_TRIES  8u /* of a reader whom the writer overtakes */

_Static_assert((VM_RECORD_OUTPUT_BYTES & OUTPUT_MASK) == 0 && (VM_RECORD_INPUT_BYTES & INPUT_MASK) == 0, "counters wrap through them");

static uint64_t load(const uint64_t *counter)
{
	return __atomic_load_n(counter, __ATOMIC_ACQUIRE);
}

static void store(uint64_t *counter, uint64_t value)
{
	__atomic_store_n(counter, value, __ATOMIC_RELEASE);
}

/* ---- The driver VM's side --------------------------------------------------------------------------------------------------- */

void vm_record_open(struct vm_record *record, bool resume)
{
	uint64_t typed = load(&record->input_written);

	if (!resume || typed - load(&record->input_taken) > VM_RECORD_INPUT_BYTES)
		store(&record->input_taken, typed);
	if (!resume)
		memset(&record->counts, 0, sizeof(record->counts));
}

void vm_record_append(struct vm_record *record, const uint8_t *bytes, size_t count)
{
	uint64_t at = record->written;

	if (count > VM_RECORD_OUTPUT_BYTES) {
		at += count - VM_RECORD_OUTPUT_BYTES;
		bytes += count - VM_RECORD_OUTPUT_BYTES;
		count = VM_RECORD_OUTPUT_BYTES;
	}
	size_t first = VM_RECORD_OUTPUT_BYTES - (at & OUTPUT_MASK);
	if (first > count)
		first = count;
	memcpy(record->output + (at & OUTPUT_MASK), bytes, first);
	memcpy(record->output, bytes + first, count - first);
	store(&record->written, at + count);
}

bool vm_record_must_tell(struct vm_record *record)
{
	return __atomic_load_n(&record->watched, __ATOMIC_RELAXED) != 0 && __atomic_exchange_n(&record->watched, 0, __ATOMIC_ACQ_REL) != 0;
}

size_t vm_record_peek_input(const struct vm_record *record, uint8_t *to, size_t size)
{
	uint64_t at = record->input_taken, count = load(&record->input_written) - at;

	if (count > size)
		count = size;
	for (size_t i = 0; i < count; i++)
		to[i] = record->input[(at + i) & INPUT_MASK];
	return count;
}

void vm_record_drop_input(struct vm_record *record, size_t count)
{
	store(&record->input_taken, record->input_taken + count);
}

/* ---- The control VM's side -------------------------------------------------------------------------------------------------- */

uint64_t vm_record_end(const struct vm_record *record)
{
	return load(&record->written);
}

/* Where a reader at `position` goes on: at what is kept. */
static uint64_t clamp(uint64_t position, uint64_t end)
{
	if (position > end)
		return end;
	return end - position > VM_RECORD_OUTPUT_BYTES ? end - VM_RECORD_OUTPUT_BYTES : position;
}

/* Zero: there is no more, or all of it was overwritten meanwhile. */
static size_t read_once(struct vm_record *record, uint64_t *position, uint8_t *to, size_t size)
{
	uint64_t end = vm_record_end(record), at = clamp(*position, end);

	if (at == end) {
		__atomic_store_n(&record->watched, 1, __ATOMIC_SEQ_CST);
		end = __atomic_load_n(&record->written, __ATOMIC_SEQ_CST); /* what came before it was set is told to nobody */
		at = clamp(at, end);
	}
	uint64_t count = end - at < size ? end - at : size;
	for (uint64_t i = 0; i < count; i++)
		to[i] = record->output[(at + i) & OUTPUT_MASK];
	/* What was overwritten meanwhile is of a later time: it is left out here, and comes in its place. */
	uint64_t oldest = clamp(at, vm_record_end(record));
	uint64_t lost = oldest > at ? oldest - at : 0;
	if (lost > count)
		lost = count;
	memmove(to, to + lost, count - lost);
	*position = at + count;
	return count - lost;
}

size_t vm_record_read(struct vm_record *record, uint64_t *position, uint8_t *to, size_t size)
{
	size_t count = 0;

	for (unsigned tries = 0; tries < READ_TRIES && count == 0; tries++) {
		uint64_t before = *position;
		count = read_once(record, position, to, size);
		if (*position == before)
			break;
	}
	return count;
}

size_t vm_record_type(struct vm_record *record, const uint8_t *bytes, size_t count)
{
	uint64_t at = record->input_written, waits = at - load(&record->input_taken);
	size_t room = waits < VM_RECORD_INPUT_BYTES ? VM_RECORD_INPUT_BYTES - waits : 0;

	if (count > room)
		count = room;
	for (size_t i = 0; i < count; i++)
		record->input[(at + i) & INPUT_MASK] = bytes[i];
	store(&record->input_written, at + count);
	return count;
}
