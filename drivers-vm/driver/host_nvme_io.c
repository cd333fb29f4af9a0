/*
 * Requests of the block layer as NVMe commands. A request becomes as many commands as the rules for lists of pages and the
 * controller's limits make it: what they cannot describe goes by way of a bounce buffer. NVM Express Base Specification 2.0, 4.1.1
 * Physical Region Page; NVM Command Set Specification 1.0, 3.2.
 */
#include "drivers-vm/driver/host_mmio.h"
#include "drivers-vm/driver/host_nvme.h"
#include "drivers-vm/runtime/service.h"

#define OPCODE_FLUSH        0x00u
#define OPCODE_WRITE        0x01u
#define OPCODE_READ         0x02u
#define OPCODE_WRITE_ZEROES 0x08u
#define OPCODE_DATASET      0x09u /* Dataset Management */
#define DATASET_DEALLOCATE  (1u << 2)

#define PAGE       4096u
#define LIST_PAGES (PAGE / 8)

struct dataset_range {
	uint32_t attributes, sectors;
	uint64_t sector;
};
static_assert(sizeof(struct dataset_range) == 16, "figure Dataset Management - Range Definition");
static_assert(NVME_QUEUE_ENTRIES == HOST_BLK_QUEUE, "commands have numbers");
static_assert(NVME_TRANSFER_BYTES / PAGE + 1 <= LIST_PAGES, "one list is enough");

/* ---- Data ------------------------------------------------------------------------------------------------------------------------- */

/* A list of pages in the making. */
struct prps {
	uint64_t *list;
	uint64_t first;
	unsigned count;
	uintptr_t end; /* of the last piece */
	uint32_t bytes;
};

/* A piece that lies in one page: false if the rules do not let it follow. */
static bool prps_add(const struct nvme *nvme, struct prps *p, uintptr_t at, uint32_t bytes)
{
	bool continues = p->count != 0 && at == p->end && at % PAGE != 0;

	if (!continues) {
		uint64_t address;
		if (p->count == 0 ? at % 4 != 0 : (at | p->end) % PAGE != 0)
			return false;
		address = host_pci_dma_address(nvme->blk.device.pci, (const void *)at);
		if (address == 0)
			return false;
		if (p->count == 0)
			p->first = address;
		else
			p->list[p->count - 1] = address;
		p->count++;
	}
	p->end = at + bytes;
	p->bytes += bytes;
	return true;
}

static void prps_fill(const struct nvme *nvme, struct prps *p, const struct blk_request *r, uint64_t skip)
{
	for (unsigned i = 0; i < r->segments; i++) {
		const struct io_segment *s = &r->segment[i];
		if (skip >= s->count) {
			skip -= s->count;
			continue;
		}
		uintptr_t at = (uintptr_t)s->bytes + skip;
		uint32_t left = s->count - (uint32_t)skip;
		skip = 0;
		while (left != 0) {
			uint32_t piece = PAGE - at % PAGE;
			uint32_t room = nvme->transfer_bytes - p->bytes;
			piece = piece < left ? piece : left;
			piece = piece < room ? piece : room;
			if (piece == 0 || !prps_add(nvme, p, at, piece))
				return;
			at += piece;
			left -= piece;
		}
	}
}

static uint64_t own_address(const struct nvme *nvme, const struct host_blk_command *own)
{
	return host_pci_dma_address(nvme->blk.device.pci, own->page);
}

/* The command's data: as much from the request's byte `at` on as one command can take. Returns how much that is. */
static uint32_t set_data(const struct nvme *nvme, struct host_blk_command *slot, const struct blk_request *r, uint64_t at,
                         struct nvme_command *command)
{
	struct prps p = { .list = (uint64_t *)slot->page };
	uint64_t left = r->sectors * BLK_SECTOR_BYTES - at;

	prps_fill(nvme, &p, r, at);
	p.bytes -= p.bytes % BLK_SECTOR_BYTES;
	if (p.bytes == 0) {
		p.bytes = left < PAGE ? (uint32_t)left : PAGE;
		if (r->operation == BLK_WRITE)
			io_segments_read(r->segment, r->segments, at, slot->page, p.bytes);
		else
			slot->bounced = p.bytes;
		slot->bounce = slot->page;
		command->prp[0] = own_address(nvme, slot);
		return p.bytes;
	}
	unsigned pages = (p.first % PAGE + p.bytes + PAGE - 1) / PAGE;
	command->prp[0] = p.first;
	command->prp[1] = pages == 1 ? 0 : pages == 2 ? p.list[0] : own_address(nvme, slot);
	return p.bytes;
}

/* ---- Commands --------------------------------------------------------------------------------------------------------------------- */

static uint32_t at_most(uint64_t left, uint32_t most)
{
	return left < most ? (uint32_t)left : most;
}

/* The next command of the request; returns how many units it does. */
static uint32_t next_command(const struct nvme *nvme, struct host_blk_command *slot, const struct blk_request *r, uint64_t done,
                             struct nvme_command *c)
{
	uint64_t first = r->sector + done, left = r->sectors - done;
	struct dataset_range *range = (struct dataset_range *)slot->page;
	uint32_t sectors = 0;

	*c = (struct nvme_command){ .opcode = OPCODE_FLUSH, .nsid = nvme->nsid };
	switch (r->operation) {
	case BLK_FLUSH:
		return 1;
	case BLK_DISCARD:
		sectors = at_most(left, NVME_DISCARD_SECTORS);
		*range = (struct dataset_range){ 0, sectors, first };
		c->opcode = OPCODE_DATASET;
		c->prp[0] = own_address(nvme, slot);
		c->cdw11 = DATASET_DEALLOCATE; /* and in CDW10 one range, 0's based */
		return sectors;
	case BLK_WRITE_ZEROES:
		sectors = at_most(left, NVME_ZERO_SECTORS);
		c->opcode = OPCODE_WRITE_ZEROES;
		break;
	case BLK_READ:
	case BLK_WRITE:
		sectors = set_data(nvme, slot, r, done * BLK_SECTOR_BYTES, c) / BLK_SECTOR_BYTES;
		c->opcode = r->operation == BLK_READ ? OPCODE_READ : OPCODE_WRITE;
		break;
	}
	c->cdw10 = (uint32_t)first;
	c->cdw11 = (uint32_t)(first >> 32);
	c->cdw12 = sectors - 1;
	return sectors;
}

/* ---- host_blk_ops ----------------------------------------------------------------------------------------------------------------- */

static struct nvme *nvme_of(struct host_blk *blk)
{
	return (struct nvme *)blk;
}

/* Command n of queue q is the disk's number q * NVME_QUEUE_ENTRIES + n. */
static int free_command(const struct host_blk *blk, const struct blk_request *request)
{
	unsigned q = host_blk_lane_of(blk, request);
	int cid = nvme_queue_free(&((const struct nvme *)blk)->io[q]);

	return cid < 0 ? -1 : (int)(q * NVME_QUEUE_ENTRIES) + cid;
}

static uint32_t put(struct host_blk *blk, unsigned number, const struct blk_request *r, uint64_t done)
{
	struct nvme *nvme = nvme_of(blk);
	struct nvme_command command;
	uint32_t units = next_command(nvme, &blk->command[number], r, done, &command);

	nvme_queue_put(&nvme->io[number / NVME_QUEUE_ENTRIES], number % NVME_QUEUE_ENTRIES, &command);
	return units;
}

static void ring(struct host_blk *blk)
{
	struct nvme *nvme = nvme_of(blk);

	for (unsigned q = 0; q < blk->lanes; q++)
		if (nvme->io[q].dirty)
			nvme_queue_ring(&nvme->io[q]);
}

static enum host_blk_taken take(struct host_blk *blk, unsigned *number)
{
	struct nvme *nvme = nvme_of(blk);
	uint16_t status;

	for (unsigned i = 0; i < blk->lanes; i++) {
		unsigned q = nvme->next;
		nvme->next = q + 1 < blk->lanes ? q + 1 : 0;
		if (nvme->io[q].busy == 0)
			continue; /* what is in there nobody asked for: it is found out when somebody does */
		enum nvme_taken taken = nvme_queue_take(&nvme->io[q], number, &status);
		if (taken == NVME_TAKEN_BROKEN)
			return HOST_BLK_BROKEN;
		if (taken == NVME_TAKEN_ONE) {
			*number += q * NVME_QUEUE_ENTRIES;
			return status == 0 ? HOST_BLK_DONE : HOST_BLK_FAILED;
		}
	}
	return HOST_BLK_NONE;
}

static void taken(struct host_blk *blk)
{
	struct nvme *nvme = nvme_of(blk);

	for (unsigned q = 0; q < blk->lanes; q++)
		if (nvme->io[q].head_told != nvme->io[q].head)
			nvme_queue_taken(&nvme->io[q]);
}

const struct host_blk_ops nvme_io_ops = {
	.free = free_command, .put = put, .ring = ring, .take = take, .taken = taken, .stop = host_blk_stop_device
};
