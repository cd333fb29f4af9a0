/*
 * virtio disks: virtio 1.2, 5.2. A command is one buffer of the queue: a table of descriptors in the command's page, which has the
 * header, the status, and room for data that the limits of the device forbid to describe, too.
 */
#include "drivers-vm/driver/host_blk.h"
#include "drivers-vm/driver/host_virtio.h"
#include "drivers-vm/driver/host_virtio_drivers.h"
#include "drivers-vm/driver/virtio_blk.h"
#include "drivers-vm/runtime/service.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

/* The command's page. */
struct page {
	struct host_virtq_descriptor table[128];
	struct virtio_blk_header header;
	struct virtio_blk_range range;
	uint8_t status;
	uint8_t pad[479];
	uint8_t bounce[3 * BLK_SECTOR_BYTES];
};
static_assert(sizeof(struct page) == 4096 && offsetof(struct page, bounce) == 2560, "a page");

#define DATA_MAX       126u /* descriptors of data, between header and status */
#define TRANSFER_BYTES 0x100000u
#define RANGE_SECTORS  0x100000u /* if the device sets no limit */

struct disk {
	struct host_blk blk; /* first */
	struct host_virtio virtio;
	struct host_virtqueue queue;
	unsigned segments;
	uint32_t segment_bytes, discard_sectors, zero_sectors;
};

static struct disk *disk_of(struct host_blk *blk)
{
	return (struct disk *)blk;
}

/* ---- Commands --------------------------------------------------------------------------------------------------------------------- */

struct filling {
	const struct disk *disk;
	struct page *page;
	uint64_t own; /* the page's address */
	unsigned count;
	uint32_t bytes; /* of data */
};

static void add(struct filling *f, uint64_t address, uint32_t bytes, uint16_t flags)
{
	f->page->table[f->count] = (struct host_virtq_descriptor){ address, bytes, flags, 0 };
	f->count++;
}

/* Up to `bytes` bytes from `at` on, as one piece; 0: no room. */
static uint32_t add_piece(struct filling *f, uint8_t *at, uint32_t bytes, uint16_t flags)
{
	const struct disk *disk = f->disk;
	uint32_t page_left = 4096 - (uint32_t)((uintptr_t)at % 4096), room = TRANSFER_BYTES - f->bytes;
	struct host_virtq_descriptor *last = &f->page->table[f->count - 1];
	uint64_t address;

	bytes = bytes < page_left ? bytes : page_left;
	bytes = bytes < room ? bytes : room;
	address = bytes != 0 ? host_pci_dma_address(disk->blk.device.pci, at) : 0;
	if (address == 0)
		return 0;
	if (f->count > 1 && last->address + last->bytes == address && last->bytes + bytes <= disk->segment_bytes) {
		last->bytes += bytes;
	} else {
		bytes = bytes < disk->segment_bytes ? bytes : disk->segment_bytes;
		if (f->count - 1 == disk->segments)
			return 0;
		add(f, address, bytes, flags);
	}
	f->bytes += bytes;
	return bytes;
}

static void fill_data(struct filling *f, const struct blk_request *r, uint64_t skip, uint16_t flags)
{
	for (unsigned i = 0; i < r->segments; i++) {
		const struct io_segment *s = &r->segment[i];
		if (skip >= s->count) {
			skip -= s->count;
			continue;
		}
		for (uint32_t at = (uint32_t)skip, done; at < s->count; at += done)
			if ((done = add_piece(f, s->bytes + at, s->count - at, flags)) == 0)
				return;
		skip = 0;
	}
}

/* Cuts the data down to whole sectors. */
static void trim(struct filling *f)
{
	uint32_t excess = f->bytes % BLK_SECTOR_BYTES;

	f->bytes -= excess;
	while (excess != 0) {
		struct host_virtq_descriptor *last = &f->page->table[f->count - 1];
		uint32_t cut = last->bytes < excess ? last->bytes : excess;
		last->bytes -= cut;
		excess -= cut;
		if (last->bytes == 0)
			f->count--;
	}
}

/* As much data from byte `at` on as one command can take; returns how many sectors. */
static uint32_t set_data(struct filling *f, struct host_blk_command *c, const struct blk_request *r, uint64_t at)
{
	uint16_t flags = r->operation == BLK_READ ? HOST_VIRTQ_WRITE : 0;
	uint64_t left = r->sectors * BLK_SECTOR_BYTES - at;

	fill_data(f, r, at, flags);
	trim(f);
	if (f->bytes == 0) {
		f->bytes = left < sizeof(f->page->bounce) ? (uint32_t)left : (uint32_t)sizeof(f->page->bounce);
		if (r->operation == BLK_WRITE)
			io_segments_read(r->segment, r->segments, at, f->page->bounce, f->bytes);
		else
			c->bounced = f->bytes;
		c->bounce = f->page->bounce;
		add(f, f->own + offsetof(struct page, bounce), f->bytes, flags);
	}
	return f->bytes / BLK_SECTOR_BYTES;
}

static uint32_t set_range(struct filling *f, const struct blk_request *r, uint64_t done, uint32_t most)
{
	uint64_t left = r->sectors - done;
	uint32_t sectors = left < most ? (uint32_t)left : most;

	f->page->range = (struct virtio_blk_range){ r->sector + done, sectors, 0 };
	add(f, f->own + offsetof(struct page, range), sizeof(f->page->range), 0);
	return sectors;
}

static uint32_t fill(struct filling *f, struct host_blk_command *c, const struct blk_request *r, uint64_t done)
{
	struct virtio_blk_header *header = &f->page->header;

	*header = (struct virtio_blk_header){ 0 };
	switch (r->operation) {
	case BLK_READ:
	case BLK_WRITE:
		header->type = r->operation == BLK_READ ? VIRTIO_BLK_T_IN : VIRTIO_BLK_T_OUT;
		header->sector = r->sector + done;
		return set_data(f, c, r, done * BLK_SECTOR_BYTES);
	case BLK_DISCARD:
		header->type = VIRTIO_BLK_T_DISCARD;
		return set_range(f, r, done, f->disk->discard_sectors);
	case BLK_WRITE_ZEROES:
		header->type = VIRTIO_BLK_T_WRITE_ZEROES;
		return set_range(f, r, done, f->disk->zero_sectors);
	case BLK_FLUSH:
		header->type = VIRTIO_BLK_T_FLUSH;
	}
	return 1;
}

static uint32_t put(struct host_blk *blk, unsigned number, const struct blk_request *r, uint64_t done)
{
	struct disk *disk = disk_of(blk);
	struct page *page = (struct page *)blk->command[number].page;
	struct filling f = { disk, page, host_pci_dma_address(blk->device.pci, page), 0, 0 };
	uint32_t units;

	page->status = UINT8_MAX;
	add(&f, f.own + offsetof(struct page, header), sizeof(page->header), 0);
	units = fill(&f, &blk->command[number], r, done);
	add(&f, f.own + offsetof(struct page, status), 1, HOST_VIRTQ_WRITE);
	for (unsigned i = 0; i + 1 < f.count; i++) {
		page->table[i].flags |= HOST_VIRTQ_NEXT;
		page->table[i].next = (uint16_t)(i + 1);
	}
	host_virtqueue_put(&disk->queue, number, f.own, f.count * sizeof(page->table[0]), HOST_VIRTQ_INDIRECT);
	return units;
}

static int free_command(const struct host_blk *blk, const struct blk_request *request)
{
	(void)request;
	return host_virtqueue_free(&((const struct disk *)blk)->queue);
}

static void ring(struct host_blk *blk)
{
	host_virtqueue_notify(&disk_of(blk)->queue);
}

static enum host_blk_taken take(struct host_blk *blk, unsigned *number)
{
	uint32_t bytes;

	switch (host_virtqueue_take(&disk_of(blk)->queue, number, &bytes)) {
	case HOST_VIRTQ_NONE:
		return HOST_BLK_NONE;
	case HOST_VIRTQ_ONE:
		return *(volatile uint8_t *)&((struct page *)blk->command[*number].page)->status == VIRTIO_BLK_S_OK ? HOST_BLK_DONE
		                                                                                                    : HOST_BLK_FAILED;
	default:
		return HOST_BLK_BROKEN;
	}
}

static void taken(struct host_blk *blk)
{
	(void)blk; /* the device does not want to know */
}

/* ---- The driver ------------------------------------------------------------------------------------------------------------------- */

static bool matches(const struct host_pci *pci)
{
	return host_virtio_matches(pci, VIRTIO_BLK_TYPE);
}

static uint32_t limit(const struct host_virtio *v, uint64_t feature, unsigned offset, uint32_t most)
{
	uint64_t value = v->features & feature ? host_virtio_config(v, offset, 4) : most;

	return value < most ? (uint32_t)value : most;
}

static bool take_config(struct disk *disk)
{
	struct blk_device *device = &disk->blk.disk.device;
	const struct host_virtio *v = &disk->virtio;

	device->sectors = host_virtio_config(v, VIRTIO_BLK_CAPACITY, 8);
	device->physical_block_bytes = 4096;
	disk->segments = limit(v, VIRTIO_BLK_F_SEG_MAX, VIRTIO_BLK_SEG_MAX, DATA_MAX);
	disk->segment_bytes = limit(v, VIRTIO_BLK_F_SIZE_MAX, VIRTIO_BLK_SIZE_MAX, TRANSFER_BYTES);
	disk->discard_sectors = limit(v, VIRTIO_BLK_F_DISCARD, VIRTIO_BLK_MAX_DISCARD_SECTORS, RANGE_SECTORS);
	disk->zero_sectors = limit(v, VIRTIO_BLK_F_WRITE_ZEROES, VIRTIO_BLK_MAX_WRITE_ZEROES_SECTORS, RANGE_SECTORS);
	device->read_only = v->features & VIRTIO_BLK_F_RO;
	device->flushes = v->features & VIRTIO_BLK_F_FLUSH;
	device->discards = v->features & VIRTIO_BLK_F_DISCARD && disk->discard_sectors != 0;
	device->writes_zeroes = v->features & VIRTIO_BLK_F_WRITE_ZEROES && disk->zero_sectors != 0;
	if (disk->segments == 0 || disk->segment_bytes < sizeof(((struct page *)0)->bounce) || device->sectors == 0 ||
	    device->sectors > UINT64_MAX / BLK_SECTOR_BYTES) {
		host_device_log(v->pci, "virtio: its configuration makes no sense");
		return false;
	}
	return true;
}

/* The serial number: a request of its own kind (5.2.6, VIRTIO_BLK_T_GET_ID), before anybody else uses the queue. */
static void read_serial(struct disk *disk)
{
	uint64_t until = service_tsc() + service_ns_to_tsc(HOST_BLK_CHECK_NS);
	struct page *page = (struct page *)disk->blk.command[0].page;
	struct filling f = { disk, page, host_pci_dma_address(disk->virtio.pci, page), 0, 0 };
	enum host_virtq_taken taken;
	uint32_t bytes;
	unsigned id;

	page->header = (struct virtio_blk_header){ .type = VIRTIO_BLK_T_GET_ID };
	page->status = UINT8_MAX;
	add(&f, f.own + offsetof(struct page, header), sizeof(page->header), HOST_VIRTQ_NEXT);
	add(&f, f.own + offsetof(struct page, bounce), BLK_SERIAL_BYTES, HOST_VIRTQ_NEXT | HOST_VIRTQ_WRITE);
	add(&f, f.own + offsetof(struct page, status), 1, HOST_VIRTQ_WRITE);
	page->table[0].next = 1;
	page->table[1].next = 2;
	host_virtqueue_put(&disk->queue, 0, f.own, f.count * sizeof(page->table[0]), HOST_VIRTQ_INDIRECT);
	host_virtqueue_notify(&disk->queue);
	do
		taken = host_virtqueue_take(&disk->queue, &id, &bytes);
	while (taken == HOST_VIRTQ_NONE && service_tsc() < until);
	if (taken == HOST_VIRTQ_ONE && *(volatile uint8_t *)&page->status == VIRTIO_BLK_S_OK)
		memcpy(disk->blk.disk.device.serial, page->bounce, BLK_SERIAL_BYTES);
	host_disk_clean_serial(disk->blk.disk.device.serial);
}

static bool bring_up(struct disk *disk, const struct host_pci *pci, unsigned event)
{
	const uint64_t wanted = VIRTIO_BLK_F_SIZE_MAX | VIRTIO_BLK_F_SEG_MAX | VIRTIO_BLK_F_RO | VIRTIO_BLK_F_FLUSH | VIRTIO_BLK_F_DISCARD |
	                        VIRTIO_BLK_F_WRITE_ZEROES;

	if (!host_virtio_open(&disk->virtio, pci, wanted, HOST_VIRTIO_F_INDIRECT) || !take_config(disk))
		return false;
	if (!host_pci_bind_irq(pci, 0, 0, event) || !host_blk_make_pages(&disk->blk, HOST_BLK_QUEUE)) {
		host_device_log(pci, "virtio: no interrupt or no memory for it");
		return false;
	}
	if (!host_virtio_make_queue(&disk->virtio, &disk->queue, 0, HOST_BLK_QUEUE, 0))
		return false;
	host_virtio_start(&disk->virtio);
	read_serial(disk);
	return true;
}

static struct host_device *start(const struct host_pci *pci, unsigned event)
{
	static const struct host_blk_ops ops = {
		.free = free_command, .put = put, .ring = ring, .take = take, .taken = taken, .stop = host_blk_stop_device
	};
	struct disk *disk = host_device_state(pci, sizeof(*disk));

	if (disk == NULL)
		return NULL;
	host_blk_init(&disk->blk, pci, &ops);
	if (!bring_up(disk, pci, event)) {
		host_pci_enable(pci, false, false);
		free(disk);
		return NULL;
	}
	host_blk_start(&disk->blk, "virtio");
	return &disk->blk.device;
}

const struct host_driver host_virtio_blk_driver = { .name = "virtio-blk", .matches = matches, .start = start };
