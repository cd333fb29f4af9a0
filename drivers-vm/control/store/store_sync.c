/* See store_sync.h. One operation of the disk at a time; what follows it is begun when it is done. */
#include "drivers-vm/control/store/store_sync.h"

#include "drivers-vm/control/store/store_format.h"
#include "drivers-vm/control/store/store_private.h"
#include "drivers-vm/runtime/service.h"

#include <stdlib.h>
#include <string.h>

#define PIECE_BYTES 65536u        /* of one operation */
#define RETRY_NS    5000000000ull /* after an error */
#define FIRST       1u            /* the sector of a slot with the first values */

static const struct store_disk *disk;
static bool ready, kept;

static struct {
	enum store_header_kind kind[STORE_SLOTS];
	struct store_header header[STORE_SLOTS];
	unsigned slot; /* whose header or values are being read */
	bool failed;   /* the disk could not read all */
} reading;

static struct {
	unsigned newest; /* the slot that counts */
	uint64_t sequence;
	uint64_t changes; /* that are on the disk */
	bool under_way, complained;
	uint64_t writing; /* changes that are being written */
	bool again;       /* after an error, at: */
	uint64_t again_ns;
} writing;

/* A slot's values, or a header, on their way. */
static uint8_t *body, sector[STORE_SECTOR_BYTES];
static size_t body_bytes, body_at; /* whole sectors */

static uint64_t sector_of(unsigned slot, uint64_t offset)
{
	return (uint64_t)slot * STORE_SLOT_SECTORS + offset;
}

static bool take_body(size_t bytes)
{
	body_bytes = (bytes + STORE_SECTOR_BYTES - 1) & ~(size_t)(STORE_SECTOR_BYTES - 1);
	body_at = 0;
	body = calloc(1, body_bytes != 0 ? body_bytes : 1);
	return body != NULL;
}

static void drop_body(void)
{
	if (body != NULL)
		memset(body, 0, body_bytes);
	free(body);
	body = NULL;
}

static size_t next_piece(void)
{
	size_t left = body_bytes - body_at;

	return left < PIECE_BYTES ? left : PIECE_BYTES;
}

/* ---- Reading ---- */

static void read_slot(void);

static void finish_reading(bool keep)
{
	drop_body();
	ready = true;
	kept = keep;
	writing.changes = 0;
	if (keep && store_changes() != 0)
		writing.changes = store_changes() - 1; /* what was put before is to be written too */
}

/* The valid slot with the higher number; STORE_SLOTS: there is none. */
static unsigned best_slot(void)
{
	unsigned best = STORE_SLOTS;

	for (unsigned i = 0; i < STORE_SLOTS; i++)
		if (reading.kind[i] == STORE_HEADER_VALID &&
		    (best == STORE_SLOTS || reading.header[i].sequence > reading.header[best].sequence))
			best = i;
	return best;
}

static void give_up_reading(void)
{
	bool all_empty = true, foreign = false;

	for (unsigned i = 0; i < STORE_SLOTS; i++) {
		all_empty &= reading.kind[i] == STORE_HEADER_NONE;
		foreign |= reading.kind[i] == STORE_HEADER_FOREIGN;
	}
	if (reading.failed)
		service_log("state: the disk cannot be read: nothing will be kept");
	else if (foreign)
		service_log("state: written by another version of Hilum: left alone, nothing will be kept");
	else if (!all_empty)
		service_log("state: both copies are damaged: begun afresh");
	finish_reading(!reading.failed && !foreign);
}

/* This slot's values are no good: perhaps the other's. */
static void skip_slot(const char *why)
{
	service_log("state: copy %u, number %lu: %s", reading.slot, (unsigned long)reading.header[reading.slot].sequence, why);
	reading.kind[reading.slot] = STORE_HEADER_DAMAGED;
	drop_body();
	read_slot();
}

static void body_is_read(void)
{
	const struct store_header *header = &reading.header[reading.slot];

	if (store_crc(0, body, header->body_bytes) != header->body_crc || !store_load(body, header->body_bytes)) {
		skip_slot("damaged");
		return;
	}
	writing.newest = reading.slot;
	writing.sequence = header->sequence;
	finish_reading(true);
}

static void read_piece(void);

static void piece_is_read(bool ok)
{
	if (ready) {
		drop_body(); /* not before: the disk may have been at it */
		return;
	}
	if (!ok) {
		reading.failed = true;
		skip_slot("cannot be read");
		return;
	}
	body_at += next_piece();
	read_piece();
}

static void read_piece(void)
{
	if (body_at == body_bytes)
		body_is_read();
	else
		disk->read(disk->ctx, sector_of(reading.slot, FIRST + body_at / STORE_SECTOR_BYTES), body + body_at, next_piece(),
		           piece_is_read);
}

static void read_slot(void)
{
	reading.slot = best_slot();
	if (reading.slot == STORE_SLOTS) {
		give_up_reading();
	} else if (!take_body(reading.header[reading.slot].body_bytes)) {
		reading.failed = true;
		give_up_reading();
	} else {
		read_piece();
	}
}

static void header_is_read(bool ok)
{
	unsigned slot = reading.slot++;

	if (ready)
		return; /* nobody waits for it any more */
	reading.failed |= !ok;
	reading.kind[slot] = ok ? store_header_read(sector, &reading.header[slot]) : STORE_HEADER_DAMAGED;
	if (reading.slot < STORE_SLOTS)
		disk->read(disk->ctx, sector_of(reading.slot, 0), sector, sizeof(sector), header_is_read);
	else
		read_slot();
}

void store_open(const struct store_disk *of)
{
	drop_body();
	disk = of;
	memset(&reading, 0, sizeof(reading));
	memset(&writing, 0, sizeof(writing));
	ready = kept = false;
	if (disk != NULL && disk->sectors < STORE_SECTORS_MIN) {
		service_log("state: the partition has less than 4 MiB: nothing will be kept");
		disk = NULL;
	}
	if (disk == NULL)
		ready = true;
	else
		disk->read(disk->ctx, sector_of(0, 0), sector, sizeof(sector), header_is_read);
}

void store_get_position(struct store_position *out)
{
	*out = (struct store_position){ .sequence = writing.sequence, .newest = writing.newest, .kept = kept };
}

void store_set_position(const struct store_position *position)
{
	writing.sequence = position->sequence;
	writing.newest = position->newest % STORE_SLOTS;
	kept = position->kept;
}

void store_resume(const struct store_disk *of)
{
	disk = of;
	ready = true;
	kept &= of != NULL && of->sectors >= STORE_SECTORS_MIN;
	writing.changes = UINT64_MAX; /* nobody knows how many of them are on the disk */
}

void store_abandon(void)
{
	ready = true;
}

/* ---- Writing ---- */

static unsigned older_slot(void)
{
	return writing.sequence != 0 ? !writing.newest : 0;
}

static void finish_writing(bool ok)
{
	drop_body();
	writing.under_way = false;
	if (ok) {
		writing.newest = older_slot();
		writing.sequence++;
		writing.changes = writing.writing;
	} else {
		writing.again = true;
		writing.again_ns = 0;
	}
	store_tell_watcher(NULL);
	if (ok == writing.complained)
		service_log("state: %s", ok ? "written again" : "it cannot be written: tried again and again");
	writing.complained = !ok;
}

static void header_is_flushed(bool ok)
{
	finish_writing(ok);
}

static void header_is_written(bool ok)
{
	if (ok)
		disk->flush(disk->ctx, header_is_flushed);
	else
		finish_writing(false);
}

static void body_is_flushed(bool ok)
{
	if (ok)
		disk->write(disk->ctx, sector_of(older_slot(), 0), sector, sizeof(sector), header_is_written);
	else
		finish_writing(false);
}

static void write_piece(void);

static void piece_is_written(bool ok)
{
	if (!ok) {
		finish_writing(false);
		return;
	}
	body_at += next_piece();
	write_piece();
}

static void write_piece(void)
{
	if (body_at == body_bytes)
		disk->flush(disk->ctx, body_is_flushed);
	else
		disk->write(disk->ctx, sector_of(older_slot(), FIRST + body_at / STORE_SECTOR_BYTES), body + body_at, next_piece(),
		            piece_is_written);
}

static void begin_writing(void)
{
	struct store_header header = { .sequence = writing.sequence + 1, .body_bytes = (uint32_t)store_serialized_bytes() };

	writing.writing = store_changes();
	writing.under_way = true;
	if (!take_body(header.body_bytes)) {
		finish_writing(false);
		return;
	}
	store_serialize(body);
	header.body_crc = store_crc(0, body, header.body_bytes);
	store_header_make(&header, sector);
	write_piece();
}

uint64_t store_poll(uint64_t now_ns)
{
	if (!kept || writing.under_way || store_is_clean())
		return 0;
	if (writing.again) {
		if (writing.again_ns == 0)
			writing.again_ns = now_ns + RETRY_NS;
		if (now_ns < writing.again_ns)
			return writing.again_ns;
		writing.again = false;
	}
	begin_writing();
	return 0;
}

bool store_is_ready(void)
{
	return ready;
}

bool store_is_kept(void)
{
	return kept;
}

bool store_is_clean(void)
{
	return kept && !writing.under_way && writing.changes == store_changes();
}
