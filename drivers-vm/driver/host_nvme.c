/*
 * Bringing up an NVMe controller: reset, admin queues, identify, the pairs of I/O queues. NVM Express Base Specification 2.0, 3.1.3
 * Controller Properties, 3.5.1 Memory-based Controller Initialization, 5.17 Identify. What identify data says is bounded before it is
 * used.
 */
#include "drivers-vm/driver/host_nvme.h"

#include "drivers-vm/driver/host_mmio.h"
#include "drivers-vm/runtime/service.h"

#include <stdlib.h>
#include <string.h>

#define CLASS_NVME 0x010802u

enum { CAP = 0x00, CC = 0x14, CSTS = 0x1C, AQA = 0x24, ASQ = 0x28, ACQ = 0x30, DOORBELLS = 0x1000 };
#define CAP_ENTRIES(cap)  ((uint32_t)(cap)&0xFFFF) /* 0's based */
#define CAP_TIMEOUT(cap)  ((cap) >> 24 & 0xFF)     /* of 500 ms */
#define CAP_STRIDE(cap)   ((cap) >> 32 & 0xF)
#define CAP_PAGE_MIN(cap) ((cap) >> 48 & 0xF) /* of 2^(12 + n) bytes */
#define CC_ENABLE         1u
#define CC_ENTRY_SIZES    (6u << 16 | 4u << 20) /* 2^n: struct nvme_command, struct nvme_completion */
#define CSTS_READY        1u
#define CSTS_FATAL        2u
#define READY_UNIT_NS     500000000ull
#define READY_UNITS_MAX   20u        /* 10 s: guests wait for the driver VM meanwhile */
#define GONE              UINT32_MAX /* what the registers of a device that does not answer read as */

#define OPCODE_CREATE_SQ    0x01u
#define OPCODE_CREATE_CQ    0x05u
#define OPCODE_IDENTIFY     0x06u
#define OPCODE_SET_FEATURES 0x09u
#define FEATURE_QUEUES      0x07u /* 5.27.1.5 Number of Queues: submission in 15:0, completion in 31:16, both 0's based */
#define IDENTIFY_NAMESPACE  0u
#define IDENTIFY_CONTROLLER 1u
#define IDENTIFY_ACTIVE     2u
#define QUEUE_CONTIGUOUS    1u
#define QUEUE_INTERRUPTS    2u

/* Identify Controller */
#define ID_SERIAL        4u   /* 20 bytes of ASCII, padded with spaces */
#define ID_MDTS          77u  /* 2^n pages; 0: no limit */
#define ID_COMMANDS      520u /* Optional NVM Command Support */
#define COMMANDS_DATASET (1u << 2)
#define COMMANDS_ZEROES  (1u << 3)
/* Identify Namespace */
#define ID_SIZE        0u /* in blocks */
#define ID_FORMAT      26u
#define ID_FORMAT_LIST 128u

static bool matches(const struct host_pci *pci)
{
	return host_pci_read(pci, 8, 4) >> 8 == CLASS_NVME;
}

static bool fail(const struct nvme *nvme, const char *what)
{
	host_device_log(nvme->blk.device.pci, "NVMe: %s", what);
	return false;
}

/* ---- Registers -------------------------------------------------------------------------------------------------------------------- */

static bool wait_ready(const struct nvme *nvme, uint64_t cap, uint32_t ready)
{
	uint64_t unit = CAP_TIMEOUT(cap) + 1 < READY_UNITS_MAX ? CAP_TIMEOUT(cap) + 1 : READY_UNITS_MAX;
	uint64_t until = service_tsc() + service_ns_to_tsc(unit * READY_UNIT_NS);

	do {
		uint32_t status = mmio_read32(nvme->registers, CSTS);
		if (status == GONE || (ready && status & CSTS_FATAL))
			return false;
		if ((status & CSTS_READY) == ready)
			return true;
		__asm__ volatile("pause");
	} while (service_tsc() < until);
	return false;
}

static volatile uint8_t *doorbell(const struct nvme *nvme, unsigned queue, unsigned completion)
{
	return nvme->registers + DOORBELLS + (2 * queue + completion) * nvme->doorbell_stride;
}

static bool make_queue(const struct nvme *nvme, struct nvme_queue *queue, unsigned number, unsigned entries)
{
	void *commands = host_device_page(), *completions = host_device_page();

	if (commands == NULL || completions == NULL)
		return false;
	nvme_queue_init(queue, commands, completions, entries, doorbell(nvme, number, 0), doorbell(nvme, number, 1));
	return true;
}

static uint64_t address_of(const struct nvme *nvme, const volatile void *page)
{
	return host_pci_dma_address(nvme->blk.device.pci, (const void *)page);
}

/* From whatever state it is in to one in which it takes admin commands. */
static bool reset(struct nvme *nvme, uint64_t cap)
{
	unsigned entries = CAP_ENTRIES(cap) + 1 < NVME_QUEUE_ENTRIES ? CAP_ENTRIES(cap) + 1 : NVME_QUEUE_ENTRIES;

	mmio_write32(nvme->registers, CC, mmio_read32(nvme->registers, CC) & ~CC_ENABLE);
	if (!wait_ready(nvme, cap, 0))
		return fail(nvme, "it cannot be reset");
	if (!make_queue(nvme, &nvme->admin, 0, entries))
		return fail(nvme, "no memory for its queues");
	mmio_write32(nvme->registers, AQA, (entries - 1) << 16 | (entries - 1));
	mmio_write64(nvme->registers, ASQ, address_of(nvme, nvme->admin.commands));
	mmio_write64(nvme->registers, ACQ, address_of(nvme, nvme->admin.completions));
	host_pci_enable(nvme->blk.device.pci, true, true);
	mmio_write32(nvme->registers, CC, CC_ENTRY_SIZES | CC_ENABLE);
	return wait_ready(nvme, cap, CSTS_READY) || fail(nvme, "it does not become ready");
}

/* ---- Admin commands, one at a time ------------------------------------------------------------------------------------------------- */

static bool admin(struct nvme *nvme, const struct nvme_command *command)
{
	uint64_t until = service_tsc() + service_ns_to_tsc(HOST_BLK_TIMEOUT_NS);
	enum nvme_taken taken;
	unsigned cid;
	uint16_t status;

	nvme_queue_put(&nvme->admin, 0, command);
	nvme_queue_ring(&nvme->admin);
	do {
		taken = nvme_queue_take(&nvme->admin, &cid, &status);
		__asm__ volatile("pause");
	} while (taken == NVME_TAKEN_NONE && service_tsc() < until);
	if (taken != NVME_TAKEN_ONE)
		return fail(nvme, "it does not answer an admin command");
	nvme_queue_taken(&nvme->admin);
	return status == 0;
}

static bool identify(struct nvme *nvme, uint32_t what, uint32_t nsid, const uint8_t *page)
{
	return admin(nvme,
	             &(struct nvme_command){ .opcode = OPCODE_IDENTIFY, .nsid = nsid, .prp[0] = address_of(nvme, page), .cdw10 = what });
}

static uint32_t get32(const uint8_t *at)
{
	return *(const volatile uint32_t *)at;
}

static void take_controller(struct nvme *nvme, const uint8_t *id)
{
	struct blk_device *device = &nvme->blk.disk.device;
	uint32_t commands = get32(id + ID_COMMANDS);
	uint8_t limit = id[ID_MDTS];

	memcpy(device->serial, id + ID_SERIAL, BLK_SERIAL_BYTES);
	host_disk_clean_serial(device->serial);
	device->flushes = true; /* mandatory */
	device->discards = commands & COMMANDS_DATASET;
	device->writes_zeroes = commands & COMMANDS_ZEROES;
	nvme->transfer_bytes = NVME_TRANSFER_BYTES;
	if (limit != 0 && limit < 8)
		nvme->transfer_bytes = 4096u << limit;
}

/* False: it is no namespace that can be used. */
static bool take_namespace(struct nvme *nvme, const uint8_t *id)
{
	uint64_t blocks = (uint64_t)get32(id + ID_SIZE + 4) << 32 | get32(id + ID_SIZE);
	uint32_t format = get32(id + ID_FORMAT_LIST + 4 * (id[ID_FORMAT] & 15u));

	if ((format & 0xFFFF) != 0 || (format >> 16 & 0xFF) != 9)
		return fail(nvme, "its blocks are not of 512 bytes without metadata: not supported");
	if (blocks == 0 || blocks > UINT64_MAX / BLK_SECTOR_BYTES)
		return fail(nvme, "its size makes no sense");
	nvme->blk.disk.device.sectors = blocks;
	nvme->blk.disk.device.physical_block_bytes = 4096;
	return true;
}

static bool identify_all(struct nvme *nvme)
{
	uint8_t *page = host_device_page();
	uint32_t second;

	if (page == NULL)
		return fail(nvme, "no memory for its description");
	if (!identify(nvme, IDENTIFY_CONTROLLER, 0, page))
		return fail(nvme, "it does not describe itself");
	take_controller(nvme, page);
	if (!identify(nvme, IDENTIFY_ACTIVE, 0, page))
		return fail(nvme, "it does not list its namespaces");
	nvme->nsid = get32(page);
	second = get32(page + 4);
	if (nvme->nsid == 0)
		return fail(nvme, "it has no namespace");
	if (second != 0)
		host_device_log(nvme->blk.device.pci, "NVMe: of its namespaces only %u is used", nvme->nsid);
	if (!identify(nvme, IDENTIFY_NAMESPACE, nvme->nsid, page))
		return fail(nvme, "it does not describe its namespace");
	bool usable = take_namespace(nvme, page);
	host_device_page_free(page);
	return usable;
}

/* How many pairs of I/O queues there are, of those wanted: the controller may have fewer, or doorbells for fewer in its BAR. */
static unsigned ask_for_queues(struct nvme *nvme)
{
	unsigned wanted = (unsigned)((nvme->blk.device.pci->bar_bytes[0] - DOORBELLS) / (2 * nvme->doorbell_stride)) - 1;

	wanted = wanted < NVME_IO_QUEUES ? wanted : NVME_IO_QUEUES;
	if (wanted == 1 ||
	    !admin(nvme, &(struct nvme_command){
				 .opcode = OPCODE_SET_FEATURES, .cdw10 = FEATURE_QUEUES, .cdw11 = (wanted - 1) << 16 | (wanted - 1) }))
		return 1; /* which every controller has */
	unsigned submission = (nvme->admin.result & 0xFFFF) + 1, completion = (nvme->admin.result >> 16) + 1;
	wanted = submission < wanted ? submission : wanted;
	return completion < wanted ? completion : wanted;
}

/* Pair number `q` + 1 with interrupt `q`. False: it cannot be. */
static bool make_io_queue(struct nvme *nvme, unsigned q, unsigned event)
{
	struct nvme_queue *io = &nvme->io[q];
	uint32_t number = q + 1, size = (nvme->admin.entries - 1) << 16 | number;

	if (!host_pci_bind_irq(nvme->blk.device.pci, q, 0, event))
		return q == 0 && fail(nvme, "its interrupt cannot be bound"); /* the others do without it */
	if (!make_queue(nvme, io, number, nvme->admin.entries) ||
	    !host_blk_make_pages(&nvme->blk, q * NVME_QUEUE_ENTRIES + io->entries - 1))
		return fail(nvme, "no memory for its commands");
	struct nvme_command completion = { .opcode = OPCODE_CREATE_CQ,
		                           .prp[0] = address_of(nvme, io->completions),
		                           .cdw10 = size,
		                           .cdw11 = QUEUE_CONTIGUOUS | QUEUE_INTERRUPTS | q << 16 };
	struct nvme_command submission = { .opcode = OPCODE_CREATE_SQ,
		                           .prp[0] = address_of(nvme, io->commands),
		                           .cdw10 = size,
		                           .cdw11 = QUEUE_CONTIGUOUS | number << 16 };
	return (admin(nvme, &completion) && admin(nvme, &submission)) || fail(nvme, "it refuses I/O queues");
}

/* At least one; with those that can be made. */
static bool make_io_queues(struct nvme *nvme, unsigned event)
{
	unsigned queues = ask_for_queues(nvme), made = 0;

	while (made < queues && make_io_queue(nvme, made, event))
		made++;
	nvme->blk.lanes = made;
	host_blk_free_pages(&nvme->blk, made * NVME_QUEUE_ENTRIES); /* of a pair that could not be made */
	return made != 0;
}

/* ---- The driver ------------------------------------------------------------------------------------------------------------------- */

static bool bring_up(struct nvme *nvme, unsigned event)
{
	const struct host_pci *pci = nvme->blk.device.pci;

	nvme->registers = pci->bar[0];
	if (nvme->registers == NULL || pci->bar_bytes[0] < DOORBELLS)
		return fail(nvme, "it has no registers");
	host_pci_enable(pci, true, false);
	uint64_t cap = mmio_read64(nvme->registers, CAP);
	nvme->doorbell_stride = 4u << CAP_STRIDE(cap);
	if (cap == UINT64_MAX || CAP_ENTRIES(cap) == 0 || CAP_PAGE_MIN(cap) != 0 ||
	    pci->bar_bytes[0] - DOORBELLS < 4ull * nvme->doorbell_stride) /* admin and one I/O queue's */
		return fail(nvme, "its capabilities make no sense");
	return reset(nvme, cap) && identify_all(nvme) && make_io_queues(nvme, event);
}

static struct host_device *start(const struct host_pci *pci, unsigned event)
{
	struct nvme *nvme = host_device_state(pci, sizeof(*nvme));

	if (nvme == NULL)
		return NULL;
	host_blk_init(&nvme->blk, pci, &nvme_io_ops);
	if (!bring_up(nvme, event)) {
		host_pci_enable(pci, false, false);
		free(nvme);
		return NULL;
	}
	host_blk_start(&nvme->blk, "NVMe");
	host_device_log(pci, "NVMe: %u pairs of I/O queues", nvme->blk.lanes);
	return &nvme->blk.device;
}

const struct host_driver host_nvme_driver = { .name = "nvme", .matches = matches, .start = start };
