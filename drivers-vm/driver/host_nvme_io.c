/*
 * Requests of the block layer as NVMe commands. A request becomes as many commands as the rules for lists of pages and the
 * controller's limits make it: what they cannot describe goes by way of a bounce buffer. NVM Express Base Specification 2.0, 4.1.1
 * Physical Region Page; NVM Command Set Specification 1.0, 3.2.
 *
 * A request under way has in tag[0] how many of its units were put into commands, and in tag[1] how many commands are out; FAILED
 * is set when one of them failed.
 */
#include "drivers-vm/driver/host_mmio.h"
#include "drivers-vm/driver/host_nvme.h"
#include "drivers-vm/runtime/service.h"

#define OPCODE_FLUSH	    0x00u
#define OPCODE_WRITE	    0x01u
#define OPCODE_READ	    0x02u
#define OPCODE_WRITE_ZEROES 0x08u
#define OPCODE_DATASET	    0x09u /* Dataset Management */
#define DATASET_DEALLOCATE  (1u << 2)

#define PAGE	   4096u
#define LIST_PAGES (PAGE / 8)
#define FAILED	   (1ull << 63)

struct dataset_range {
	uint32_t attributes, sectors;
	uint64_t sector;
};
static_assert(sizeof(struct dataset_range) == 16, "figure Dataset Management - Range Definition");
static_assert(NVME_TRANSFER_BYTES / PAGE + 1 <= LIST_PAGES, "one list is enough");

/* What a request is counted in: sectors, but a flush is one. */
static uint64_t units(const struct blk_request *r)
{
	return r->operation == BLK_FLUSH ? 1 : r->sectors;
}

static bool is_finished(const struct blk_request *r)
{
	return (r->tag[1] & ~FAILED) == 0 && (r->tag[1] & FAILED || r->tag[0] == units(r));
}

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
		address = host_pci_dma_address(nvme->pci, (const void *)at);
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

static uint64_t own_address(const struct nvme *nvme, const struct nvme_slot *slot)
{
	return host_pci_dma_address(nvme->pci, slot->page);
}

/* The command's data: as much from the request's byte `at` on as one command can take. Returns how much that is. */
static uint32_t set_data(const struct nvme *nvme, struct nvme_slot *slot, const struct blk_request *r, uint64_t at,
			 struct nvme_command *command)
{
	struct prps p = {.list = (uint64_t *)slot->page};
	uint64_t left = r->sectors * BLK_SECTOR_BYTES - at;

	prps_fill(nvme, &p, r, at);
	p.bytes -= p.bytes % BLK_SECTOR_BYTES;
	if (p.bytes == 0) {
		p.bytes = left < PAGE ? (uint32_t)left : PAGE;
		if (r->operation == BLK_WRITE)
			io_segments_read(r->segment, r->segments, at, slot->page, p.bytes);
		else
			slot->bounced = p.bytes;
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
static uint32_t next_command(const struct nvme *nvme, struct nvme_slot *slot, const struct blk_request *r, struct nvme_command *c)
{
	uint64_t first = r->sector + r->tag[0], left = r->sectors - r->tag[0];
	struct dataset_range *range = (struct dataset_range *)slot->page;
	uint32_t sectors = 0;

	*c = (struct nvme_command){.opcode = OPCODE_FLUSH, .nsid = nvme->nsid};
	switch (r->operation) {
	case BLK_FLUSH:
		return 1;
	case BLK_DISCARD:
		sectors = at_most(left, NVME_DISCARD_SECTORS);
		*range = (struct dataset_range){0, sectors, first};
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
		sectors = set_data(nvme, slot, r, slot->byte, c) / BLK_SECTOR_BYTES;
		c->opcode = r->operation == BLK_READ ? OPCODE_READ : OPCODE_WRITE;
		break;
	}
	c->cdw10 = (uint32_t)first;
	c->cdw11 = (uint32_t)(first >> 32);
	c->cdw12 = sectors - 1;
	return sectors;
}

/* Puts the request's commands; false: some of them have to wait for room. */
static bool issue(struct nvme *nvme, struct blk_request *r)
{
	while (!(r->tag[1] & FAILED) && r->tag[0] != units(r)) {
		struct nvme_command command;
		int cid = nvme_queue_free(&nvme->io);
		if (cid < 0)
			return false;
		struct nvme_slot *slot = &nvme->slot[cid];
		uint64_t now = service_tsc();
		slot->request = r;
		slot->byte = r->tag[0] * BLK_SECTOR_BYTES;
		slot->bounced = 0;
		slot->deadline_tsc = now + service_ns_to_tsc(NVME_TIMEOUT_NS);
		r->tag[0] += next_command(nvme, slot, r, &command);
		r->tag[1]++;
		nvme_queue_put(&nvme->io, (unsigned)cid, &command);
		if (nvme->check_tsc == 0)
			nvme->check_tsc = now + service_ns_to_tsc(NVME_CHECK_NS);
	}
	return true;
}

static void issue_waiting(struct nvme *nvme)
{
	while (nvme->waiting != NULL && issue(nvme, nvme->waiting)) {
		nvme->waiting = nvme->waiting->next;
		if (nvme->waiting == NULL)
			nvme->waiting_end = &nvme->waiting;
	}
	nvme_queue_ring(&nvme->io);
}

static enum blk_status submit(struct blk_device *device, struct blk_request *r)
{
	struct nvme *nvme = (struct nvme *)((char *)device - offsetof(struct nvme, disk.device));

	if (nvme->dead)
		return BLK_IO_ERROR;
	r->tag[0] = r->tag[1] = 0;
	r->next = NULL;
	*nvme->waiting_end = r;
	nvme->waiting_end = &r->next;
	issue_waiting(nvme);
	return BLK_PENDING;
}

/* ---- Completions ------------------------------------------------------------------------------------------------------------------ */

/* One command of a request is over. `done` may submit again. */
static void finish_command(struct nvme *nvme, struct nvme_slot *slot, bool failed)
{
	struct blk_request *r = slot->request;

	slot->request = NULL;
	if (failed)
		r->tag[1] |= FAILED;
	else if (slot->bounced != 0)
		io_segments_write(r->segment, r->segments, slot->byte, slot->page, slot->bounced);
	r->tag[1]--;
	if (!is_finished(r))
		return;
	if (nvme->waiting == r)
		issue_waiting(nvme); /* it has nothing left to put: this takes it off the list */
	r->done(r, r->tag[1] & FAILED ? BLK_IO_ERROR : BLK_OK);
}

void nvme_io_poll(struct nvme *nvme)
{
	unsigned taken = 0, cid;
	uint16_t status;

	while (!nvme->dead) {
		enum nvme_taken what = nvme_queue_take(&nvme->io, &cid, &status);
		if (what == NVME_TAKEN_BROKEN) {
			nvme_give_up(nvme, "it completes what nobody asked for");
			return;
		}
		if (what == NVME_TAKEN_NONE)
			break;
		finish_command(nvme, &nvme->slot[cid], status != 0);
		/* Tell it at times: whoever is done may submit again, and this loop is as long as they do. */
		if (++taken % 16 == 0)
			nvme_queue_taken(&nvme->io);
	}
	if (taken % 16 != 0 && !nvme->dead)
		nvme_queue_taken(&nvme->io);
	if (taken != 0 && !nvme->dead)
		issue_waiting(nvme);
	if (nvme->io.busy == 0)
		nvme->check_tsc = 0;
}

uint64_t nvme_io_check(struct host_device *device, uint64_t now_tsc)
{
	struct nvme *nvme = (struct nvme *)device;

	if (nvme->check_tsc == 0 || now_tsc < nvme->check_tsc)
		return nvme->check_tsc;
	nvme->check_tsc = now_tsc + service_ns_to_tsc(NVME_CHECK_NS);
	nvme_io_poll(nvme); /* an interrupt may have been lost */
	for (unsigned i = 0; i < NVME_QUEUE_ENTRIES && !nvme->dead; i++)
		if (nvme->slot[i].request != NULL && now_tsc >= nvme->slot[i].deadline_tsc)
			nvme_give_up(nvme, "a command takes longer than 10 s");
	return nvme->check_tsc;
}

static void poll(struct blk_device *device)
{
	struct nvme *nvme = (struct nvme *)((char *)device - offsetof(struct nvme, disk.device));

	nvme_io_poll(nvme);
	nvme_io_check(&nvme->device, service_tsc());
}

void nvme_give_up(struct nvme *nvme, const char *why)
{
	struct blk_request *waiting;

	host_pci_enable(nvme->pci, false, false);
	nvme->dead = true;
	nvme->check_tsc = 0;
	host_device_log(nvme->pci, "NVMe: given up: %s", why);
	/* One that is the first to wait may have commands out: it ends with the last of them. */
	if (nvme->waiting != NULL && (nvme->waiting->tag[1] & ~FAILED) != 0)
		nvme->waiting = nvme->waiting->next;
	waiting = nvme->waiting;
	nvme->waiting = NULL;
	nvme->waiting_end = &nvme->waiting;
	for (unsigned i = 0; i < NVME_QUEUE_ENTRIES; i++)
		if (nvme->slot[i].request != NULL)
			finish_command(nvme, &nvme->slot[i], true);
	while (waiting != NULL) {
		struct blk_request *r = waiting;
		waiting = r->next;
		r->done(r, BLK_IO_ERROR);
	}
}

void nvme_io_init(struct nvme *nvme)
{
	static const struct blk_device_ops ops = {.submit = submit, .poll = poll};

	nvme->waiting = NULL;
	nvme->waiting_end = &nvme->waiting;
	nvme->check_tsc = 0;
	nvme->disk.device.ops = &ops;
	nvme->disk.device.flushes = true;
}
