/*
 * Requests of the block layer as ATA commands. A command's page holds its table: the command as a frame, and the places of its data.
 * What the rules for places cannot describe goes by way of the rest of the page. AHCI 1.3.1: 4.2 Port Memory Usage, 5.5 Communication
 * with the Device; Serial ATA 3.1: 10.3.4 Register Host to Device FIS; ACS-3: 7 Command Descriptions, A.11 IDENTIFY DEVICE data.
 */
#include "drivers-vm/driver/host_ahci.h"
#include "drivers-vm/driver/host_mmio.h"
#include "drivers-vm/runtime/service.h"

#include <string.h>

#define READ_DMA_EXT    0x25u
#define WRITE_DMA_EXT   0x35u
#define READ_FPDMA      0x60u /* queued */
#define WRITE_FPDMA     0x61u
#define DATA_SET        0x06u /* DATA SET MANAGEMENT */
#define FLUSH_CACHE_EXT 0xEAu
#define IDENTIFY_DEVICE 0xECu
#define DATA_SET_TRIM   1u
#define TRIM_SECTORS    65535u /* of one entry, whose count is in bits 63:48 */
#define TRIM_ENTRIES    (BLK_SECTOR_BYTES / 8)
#define IDENTIFY_NS     10000000000ull
#define PAGE            4096u

struct header {
	uint16_t flags, entries; /* length of the frame in dwords, direction */
	uint32_t moved;
	uint64_t table;
	uint32_t reserved[4];
};
static_assert(sizeof(struct header) == 32 && offsetof(struct header, table) == 8, "4.2.2 Command List Structure");
#define HEADER_FRAME_DWORDS 5u
#define HEADER_WRITE        (1u << 6)

struct frame {
	uint8_t type, flags, command, features;
	uint8_t lba_low[3], device;
	uint8_t lba_high[3], features_high;
	uint16_t count;
	uint8_t isochronous, control;
	uint32_t reserved;
};
static_assert(sizeof(struct frame) == 20 && offsetof(struct frame, lba_high) == 8 && offsetof(struct frame, count) == 12, "10.3.4");
#define FRAME_TO_DEVICE 0x27u
#define FRAME_COMMAND   0x80u
#define DEVICE_LBA      0x40u

struct entry {
	uint64_t address; /* even */
	uint32_t reserved;
	uint32_t last; /* number of bytes less one, which is odd */
};
static_assert(sizeof(struct entry) == 16 && offsetof(struct entry, last) == 12, "4.2.3.3 Physical Region Descriptor Table");
#define BOUNCE_ENTRIES 24u /* of the table, if the rest of the page is data */
#define ENTRIES        248u

struct table {
	struct frame frame;
	uint8_t unused[0x80 - sizeof(struct frame)];
	union {
		struct entry entry[ENTRIES];
		struct {
			struct entry bounce_entry[BOUNCE_ENTRIES];
			uint8_t bounce[PAGE - 0x80 - BOUNCE_ENTRIES * sizeof(struct entry)];
		};
	};
};
static_assert(sizeof(struct table) == PAGE && offsetof(struct table, entry) == 0x80 && offsetof(struct table, bounce) == 512, "a page");

/* IDENTIFY DEVICE data, in words of 16 bits */
enum {
	ID_SERIAL = 10,
	ID_DEPTH = 75,
	ID_SATA = 76,
	ID_SUPPORT_1 = 83,
	ID_SUPPORT_2 = 84,
	ID_SECTORS = 100,
	ID_SECTOR_SIZE = 106,
	ID_TRIM = 169,
	ID_WORDS = 256,
};
#define ID_VALID_MASK   0xC000u
#define ID_VALID        0x4000u
#define ID_LBA48        (1u << 10)
#define ID_NCQ          (1u << 8)
#define ID_LONG_SECTORS (1u << 12)                   /* not of 512 bytes */
#define ID_PHYSICAL(w)  ((w)&1u << 13 ? (w)&15u : 0) /* 2^n logical sectors */
#define CAP_NCQ         (1u << 30)
#define CAP_SLOTS(cap)  ((cap) >> 8 & 31) /* 0's based */

static struct ahci_port *port_of(struct host_blk *blk)
{
	return (struct ahci_port *)blk;
}

static struct table *table_of(const struct ahci_port *port, unsigned slot)
{
	return (struct table *)port->blk.command[slot].page;
}

static uint64_t dma_address(const struct ahci_port *port, const void *at)
{
	return host_pci_dma_address(port->blk.device.pci, at);
}

/* ---- Data ------------------------------------------------------------------------------------------------------------------------- */

struct places {
	struct entry *entry;
	unsigned count;
	uint32_t bytes;
};

/* A piece that lies in one page; false: the rules do not allow it, or there is no room. */
static bool places_add(const struct ahci_port *port, struct places *p, const uint8_t *at, uint32_t bytes)
{
	uint64_t address = dma_address(port, at);
	struct entry *last = p->count != 0 ? &p->entry[p->count - 1] : NULL;

	if (address == 0 || address % 2 != 0 || bytes % 2 != 0)
		return false;
	if (last != NULL && last->address + last->last + 1 == address) {
		last->last += bytes;
	} else {
		if (p->count == ENTRIES)
			return false;
		p->entry[p->count++] = (struct entry){ address, 0, bytes - 1 };
	}
	p->bytes += bytes;
	return true;
}

static void places_fill(const struct ahci_port *port, struct places *p, const struct blk_request *r, uint64_t skip)
{
	for (unsigned i = 0; i < r->segments; i++) {
		const struct io_segment *s = &r->segment[i];
		if (skip >= s->count) {
			skip -= s->count;
			continue;
		}
		const uint8_t *at = s->bytes + skip;
		uint32_t left = s->count - (uint32_t)skip;
		skip = 0;
		while (left != 0) {
			uint32_t piece = PAGE - (uint32_t)((uintptr_t)at % PAGE);
			uint32_t room = AHCI_TRANSFER_BYTES - p->bytes;
			piece = piece < left ? piece : left;
			piece = piece < room ? piece : room;
			if (piece == 0 || !places_add(port, p, at, piece))
				return;
			at += piece;
			left -= piece;
		}
	}
}

/* Takes away what is more than whole sectors. */
static void places_cut(struct places *p)
{
	uint32_t over = p->bytes % BLK_SECTOR_BYTES;

	p->bytes -= over;
	while (over != 0 && p->entry[p->count - 1].last < over)
		over -= p->entry[--p->count].last + 1;
	if (over != 0)
		p->entry[p->count - 1].last -= over;
}

/* One place: the page's own room, for `bytes` bytes. */
static void set_own(const struct ahci_port *port, unsigned slot, uint32_t bytes)
{
	struct table *table = table_of(port, slot);

	table->bounce_entry[0] = (struct entry){ dma_address(port, table->bounce), 0, bytes - 1 };
}

/* The command's data: as much from the request's byte `at` on as one command can take. Returns how much that is. */
static uint32_t set_data(struct ahci_port *port, unsigned slot, const struct blk_request *r, uint64_t at)
{
	struct table *table = table_of(port, slot);
	struct host_blk_command *c = &port->blk.command[slot];
	struct places p = { .entry = table->entry };
	uint64_t left = r->sectors * BLK_SECTOR_BYTES - at;

	places_fill(port, &p, r, at);
	places_cut(&p);
	port->command[slot].entries = (uint16_t)p.count;
	if (p.bytes != 0)
		return p.bytes;
	uint32_t bytes = left < sizeof(table->bounce) ? (uint32_t)left : sizeof(table->bounce);
	if (r->operation == BLK_WRITE)
		io_segments_read(r->segment, r->segments, at, table->bounce, bytes);
	else
		c->bounced = bytes;
	c->bounce = table->bounce;
	set_own(port, slot, bytes);
	port->command[slot].entries = 1;
	return bytes;
}

/* As much as one block of ranges can name; what is left of that is 0, which names nothing. */
static uint64_t set_trim(struct ahci_port *port, unsigned slot, uint64_t first, uint64_t sectors)
{
	uint64_t *range = (uint64_t *)table_of(port, slot)->bounce, done = 0;

	memset(range, 0, BLK_SECTOR_BYTES);
	for (unsigned i = 0; i < TRIM_ENTRIES && done < sectors; i++) {
		uint64_t count = sectors - done < TRIM_SECTORS ? sectors - done : TRIM_SECTORS;
		range[i] = count << 48 | (first + done);
		done += count;
	}
	set_own(port, slot, BLK_SECTOR_BYTES);
	port->command[slot] = (struct ahci_command){ .sectors = 1, .opcode = DATA_SET, .write = true, .entries = 1 };
	return done;
}

/* ---- Commands --------------------------------------------------------------------------------------------------------------------- */

/* What the controller and the disk are told about a command that is described already. */
static void describe(const struct ahci_port *port, unsigned slot, bool queued)
{
	const struct ahci_command *c = &port->command[slot];
	struct table *table = table_of(port, slot);
	struct frame *f = &table->frame;
	uint8_t opcode = c->opcode;

	if (queued)
		opcode = c->write ? WRITE_FPDMA : READ_FPDMA;
	*f = (struct frame){ .type = FRAME_TO_DEVICE, .flags = FRAME_COMMAND, .command = opcode, .device = DEVICE_LBA };
	for (unsigned i = 0; i < 3; i++) {
		f->lba_low[i] = (uint8_t)(c->sector >> 8 * i);
		f->lba_high[i] = (uint8_t)(c->sector >> (24 + 8 * i));
	}
	if (queued) {
		f->features = (uint8_t)c->sectors;
		f->features_high = (uint8_t)(c->sectors >> 8);
		f->count = (uint16_t)(slot << 3);
	} else {
		f->features = opcode == DATA_SET ? DATA_SET_TRIM : 0;
		f->count = c->sectors;
	}
	((struct header *)port->page)[slot] = (struct header){
		.flags = HEADER_FRAME_DWORDS | (c->write ? HEADER_WRITE : 0),
		.entries = c->entries,
		.table = dma_address(port, table),
	};
}

static void tell(struct ahci_port *port, uint32_t slots)
{
	mmio_publish();
	if (port->queued)
		mmio_write32(port->registers, AHCI_PX_SACT, slots);
	mmio_write32(port->registers, AHCI_PX_CI, slots);
}

static bool can_queue(const struct ahci_port *port, const struct blk_request *r)
{
	return port->ncq && (r->operation == BLK_READ || r->operation == BLK_WRITE);
}

void ahci_put_again(struct ahci_port *port)
{
	if (port->state != AHCI_RUNNING || port->out != 0 || port->again == 0)
		return;
	unsigned slot = (unsigned)__builtin_ctz(port->again);

	port->again &= port->again - 1;
	port->out = 1u << slot;
	port->queued = false;
	port->blk.command[slot].deadline_tsc = service_tsc() + service_ns_to_tsc(HOST_BLK_TIMEOUT_NS);
	describe(port, slot, false);
	tell(port, port->out);
}

void ahci_collect(struct ahci_port *port)
{
	uint32_t told = port->out & ~port->put, open;

	if (port->state != AHCI_RUNNING || told == 0)
		return;
	open = mmio_read32(port->registers, port->queued ? AHCI_PX_SACT : AHCI_PX_CI) & told;
	mmio_observe();
	if (ahci_port_has_error(port)) {
		/* A queued command that failed stays open; one that is alone may or may not. */
		port->finished |= port->queued ? told & ~open : 0;
		port->out &= ~port->finished;
		ahci_port_recover(port, port->out & ~port->put, "the disk reports an error");
		return;
	}
	port->finished |= told & ~open;
	port->out &= ~port->finished;
}

/* ---- host_blk_ops ----------------------------------------------------------------------------------------------------------------- */

static int free_command(const struct host_blk *blk, const struct blk_request *request)
{
	const struct ahci_port *port = (const struct ahci_port *)blk;
	uint32_t all = port->slots == AHCI_SLOTS ? UINT32_MAX : (1u << port->slots) - 1;
	uint32_t free = all & ~port->busy;

	if (port->state != AHCI_RUNNING || port->again != 0 || free == 0)
		return -1;
	if (port->out != 0 && !(port->queued && can_queue(port, request)))
		return -1;
	return __builtin_ctz(free);
}

static uint32_t put(struct host_blk *blk, unsigned slot, const struct blk_request *r, uint64_t done)
{
	struct ahci_port *port = port_of(blk);
	uint64_t first = r->sector + done;
	uint32_t units = 1;

	port->queued = can_queue(port, r);
	switch (r->operation) {
	case BLK_READ:
	case BLK_WRITE:
		units = set_data(port, slot, r, done * BLK_SECTOR_BYTES) / BLK_SECTOR_BYTES;
		port->command[slot].sector = first;
		port->command[slot].sectors = (uint16_t)units;
		port->command[slot].write = r->operation == BLK_WRITE;
		port->command[slot].opcode = r->operation == BLK_WRITE ? WRITE_DMA_EXT : READ_DMA_EXT;
		break;
	case BLK_DISCARD:
		units = (uint32_t)set_trim(port, slot, first, r->sectors - done);
		break;
	default: /* the disk offers no BLK_WRITE_ZEROES */
		port->command[slot] = (struct ahci_command){ .opcode = FLUSH_CACHE_EXT };
		break;
	}
	describe(port, slot, port->queued);
	port->busy |= 1u << slot;
	port->out |= 1u << slot;
	port->put |= 1u << slot;
	return units;
}

static void ring(struct host_blk *blk)
{
	struct ahci_port *port = port_of(blk);
	uint32_t slots = port->put;

	port->put = 0;
	if (slots != 0)
		tell(port, slots);
}

static enum host_blk_taken take(struct host_blk *blk, unsigned *number)
{
	struct ahci_port *port = port_of(blk);

	if ((port->finished | port->failed) == 0)
		ahci_collect(port);
	uint32_t *from = port->failed != 0 ? &port->failed : &port->finished;
	bool failed = port->failed != 0;
	if (*from == 0)
		return HOST_BLK_NONE;
	unsigned slot = (unsigned)__builtin_ctz(*from);
	*from &= *from - 1;
	port->busy &= ~(1u << slot);
	port->retried &= ~(1u << slot);
	if (!failed)
		port->late = 0;
	ahci_put_again(port);
	*number = slot;
	return failed ? HOST_BLK_FAILED : HOST_BLK_DONE;
}

static void taken(struct host_blk *blk)
{
	(void)blk; /* the controller does not want to know */
}

static void stop(struct host_blk *blk)
{
	struct ahci_port *port = port_of(blk);

	if (!ahci_port_close(port))
		ahci_give_up(port->controller, "a port of it does not stop");
}

const struct host_blk_ops ahci_io_ops = { .free = free_command, .put = put, .ring = ring, .take = take, .taken = taken, .stop = stop };

/* ---- Identify --------------------------------------------------------------------------------------------------------------------- */

/* Two letters a word, the first in the upper half; some disks begin with blanks. */
static void take_serial(char serial[BLK_SERIAL_BYTES], const uint16_t *id)
{
	unsigned blanks = 0;

	for (unsigned i = 0; i < BLK_SERIAL_BYTES; i++)
		serial[i] = (char)(id[ID_SERIAL + i / 2] >> (i % 2 != 0 ? 0 : 8));
	while (blanks < BLK_SERIAL_BYTES && serial[blanks] == ' ')
		blanks++;
	memmove(serial, serial + blanks, BLK_SERIAL_BYTES - blanks);
	memset(serial + BLK_SERIAL_BYTES - blanks, 0, blanks);
	host_disk_clean_serial(serial);
}

static const char *take_identity(struct ahci_port *port, const uint16_t *id)
{
	struct blk_device *device = &port->blk.disk.device;
	uint64_t sectors = id[ID_SECTORS] | (uint64_t)id[ID_SECTORS + 1] << 16 | (uint64_t)id[ID_SECTORS + 2] << 32;
	bool sizes = (id[ID_SECTOR_SIZE] & ID_VALID_MASK) == ID_VALID;
	unsigned depth = (id[ID_DEPTH] & 31u) + 1;

	if ((id[ID_SUPPORT_1] & ID_VALID_MASK) != ID_VALID || !(id[ID_SUPPORT_1] & ID_LBA48))
		return "it has no 48-bit addresses: not supported";
	if (sizes && id[ID_SECTOR_SIZE] & ID_LONG_SECTORS)
		return "its sectors are not of 512 bytes: not supported";
	if (sectors == 0 || id[ID_SECTORS + 3] != 0)
		return "its size makes no sense";
	device->sectors = sectors;
	device->physical_block_bytes = BLK_SECTOR_BYTES
	                               << (sizes && ID_PHYSICAL(id[ID_SECTOR_SIZE]) <= 3 ? ID_PHYSICAL(id[ID_SECTOR_SIZE]) : 3);
	device->flushes = true; /* mandatory with 48-bit addresses */
	device->discards = id[ID_TRIM] & 1;
	take_serial(device->serial, id);
	port->ncq = port->controller->capabilities & CAP_NCQ && id[ID_SATA] != 0xFFFF && id[ID_SATA] & ID_NCQ;
	port->slots = CAP_SLOTS(port->controller->capabilities) + 1;
	if (port->ncq && depth < port->slots)
		port->slots = depth;
	return NULL;
}

static const char *identify(struct ahci_port *port)
{
	uint64_t until = service_tsc() + service_ns_to_tsc(IDENTIFY_NS);
	struct table *table = table_of(port, 0);
	uint16_t id[ID_WORDS];
	bool open = true;

	port->command[0] = (struct ahci_command){ .opcode = IDENTIFY_DEVICE, .entries = 1 };
	set_own(port, 0, sizeof(id));
	describe(port, 0, false);
	tell(port, 1);
	do {
		open = mmio_read32(port->registers, AHCI_PX_CI) & 1;
		__asm__ volatile("pause");
	} while (open && !ahci_port_has_error(port) && service_tsc() < until);
	mmio_observe();
	if (open || ahci_port_has_error(port))
		return "it does not describe itself";
	memcpy(id, table->bounce, sizeof(id));
	return take_identity(port, id);
}

bool ahci_identify(struct ahci_port *port)
{
	const char *error = "no memory for its commands";

	if (host_blk_make_pages(&port->blk, 1) && (error = identify(port)) == NULL && !host_blk_make_pages(&port->blk, port->slots))
		error = "no memory for its commands";
	if (error != NULL)
		host_device_log(port->blk.device.pci, "AHCI: port %u: %s", port->blk.disk.port, error);
	return error == NULL;
}
