/*
 * NVMe disks of the host, against a controller in memory that does what each test wants of it. It moves whenever the driver looks at
 * the clock, or when the test says so.
 *
 * UNIT_SOURCES: drivers-vm/driver/host_device_memory.c
 * UNIT_SOURCES: drivers-vm/driver/host_nvme.c drivers-vm/driver/host_nvme_io.c drivers-vm/driver/host_nvme_queue.c
 * UNIT_SOURCES: drivers-vm/driver/host_blk.c drivers-vm/driver/host_disk.c drivers-vm/driver/io_segment.c drivers-vm/driver/blk_device.c
 * UNIT_SOURCES: tests/unit/fake_host_pci/device.c
 * UNIT_FLAGS: -iquote tests/unit/fake_host_pci -Itests/unit
 * UNIT_FLAGS: -Wl,--wrap=calloc -Wl,--wrap=malloc -Wl,--wrap=aligned_alloc -Wl,--wrap=free
 */
#include "cmocka_all.h"
#include "driver_failures.h"

#include <stdlib.h>
#include <string.h>

#include "drivers-vm/driver/host_nvme.h"
#include "drivers-vm/runtime/service.h"

#define PAGE         4096u
#define DISK_SECTORS 4096u
#define QUEUES       (1 + NVME_IO_QUEUES)
#define SECOND       1000000000ull

static struct {
	uint8_t registers[0x2000] __attribute__((aligned(4096)));
	uint8_t medium[DISK_SECTORS * 512];
	unsigned tail[QUEUES], completed[QUEUES]; /* commands taken, completions written, of each queue */
	unsigned vectors, vector[QUEUES];         /* that it has, and which a queue raises */
	unsigned flushes, commands, pages_max;
	uint32_t pairs;   /* of I/O queues that it grants, 0's based, as in Set Features' result */
	unsigned refused; /* the I/O queue that cannot be made; 0: none */
	bool dead_at_reset, silent, forges, fails, ignores_io;
	uint8_t block_shift, mdts;
} hw;

static struct host_pci pci;
static struct host_device *device;
static struct nvme *nvme;

/* ---- The controller ---- */

static uint32_t get32(unsigned at)
{
	uint32_t v;

	memcpy(&v, hw.registers + at, 4);
	return v;
}

static void put32(unsigned at, uint32_t v)
{
	memcpy(hw.registers + at, &v, 4);
}

static uint64_t get64(unsigned at)
{
	return get32(at) | (uint64_t)get32(at + 4) << 32;
}

/* The byte at `at` of the command's data, by the rules for lists of pages. */
static uint8_t *data_at(const struct nvme_command *c, uint64_t at, uint64_t bytes)
{
	uint64_t offset = c->prp[0] % PAGE + at, page = offset / PAGE, pages = (c->prp[0] % PAGE + bytes + PAGE - 1) / PAGE;
	uint64_t address = c->prp[0] - c->prp[0] % PAGE;

	if (pages > hw.pages_max)
		hw.pages_max = (unsigned)pages;
	if (page != 0 && pages == 2)
		address = c->prp[1];
	else if (page != 0)
		address = ((uint64_t *)c->prp[1])[page - 1];
	assert_int_equal(c->prp[0] % 4, 0);
	assert_int_equal(address % PAGE, 0);
	return (uint8_t *)address + offset % PAGE;
}

static void move(const struct nvme_command *c, bool to_memory)
{
	uint64_t sector = c->cdw10 | (uint64_t)c->cdw11 << 32, bytes = ((uint64_t)(c->cdw12 & 0xFFFF) + 1) * 512;

	assert_true(sector * 512 + bytes <= sizeof(hw.medium));
	assert_true(hw.mdts == 0 || bytes <= PAGE << hw.mdts);
	for (uint64_t i = 0; i < bytes; i++) {
		if (to_memory)
			*data_at(c, i, bytes) = hw.medium[sector * 512 + i];
		else
			hw.medium[sector * 512 + i] = *data_at(c, i, bytes);
	}
}

static void identify(const struct nvme_command *c)
{
	uint8_t *page = (uint8_t *)c->prp[0];

	memset(page, 0, PAGE);
	switch (c->cdw10) {
	case 0:
		page[0] = DISK_SECTORS & 0xFF;
		page[1] = DISK_SECTORS >> 8;
		page[130] = hw.block_shift;
		break;
	case 1:
		memcpy(page + 4, "SERIAL 1            ", 20);
		page[77] = hw.mdts;
		page[520] = 1 << 2 | 1 << 3;
		break;
	default:
		page[0] = 1;
	}
}

static void run_io(const struct nvme_command *c)
{
	const uint32_t *range = (const uint32_t *)c->prp[0];

	hw.commands++;
	assert_int_equal(c->nsid, 1);
	switch (c->opcode & 0xFF) {
	case 0:
		hw.flushes++;
		break;
	case 1:
		move(c, false);
		break;
	case 2:
		move(c, true);
		break;
	case 8:
		memset(hw.medium + c->cdw10 * 512ull, 0, ((c->cdw12 & 0xFFFF) + 1) * 512ull);
		break;
	case 9:
		assert_int_equal(c->cdw10, 0);
		assert_int_equal(c->cdw11, 4);
		memset(hw.medium + range[2] * 512ull, 0xDD, range[1] * 512ull);
		break;
	default:
		fail_msg("opcode %u", c->opcode & 0xFF);
	}
}

static void complete(unsigned queue, struct nvme_completion *ring, unsigned entries, uint16_t cid, uint16_t status)
{
	struct nvme_completion *at = &ring[hw.completed[queue] % entries];
	uint16_t phase = (hw.completed[queue] / entries) % 2 == 0;

	at->cid = cid;
	at->status = (uint16_t)(status << 1 | phase);
	hw.completed[queue]++;
}

static struct nvme_completion *io_completions[QUEUES];
static struct nvme_command *io_commands[QUEUES];

static uint16_t admin(const struct nvme_command *c)
{
	unsigned number = c->cdw10 & 0xFFFF;

	switch (c->opcode & 0xFF) {
	case 1:
		assert_int_equal(c->cdw11 >> 16, number); /* its completions come in the queue of the same number */
		io_commands[number] = (void *)c->prp[0];
		return 0;
	case 5:
		assert_in_range(number, 1, NVME_IO_QUEUES);
		if (number == hw.refused)
			return 0x101;
		io_completions[number] = (void *)c->prp[0];
		hw.vector[number] = c->cdw11 >> 16;
		return 0;
	case 6:
		identify(c);
		return 0;
	case 9:
		assert_int_equal(c->cdw10, 7);
		return hw.pairs == UINT32_MAX ? 2 : 0;
	default:
		fail_msg("admin opcode %u", c->opcode & 0xFF);
		return 1;
	}
}

static void serve(unsigned queue, struct nvme_command *sq, struct nvme_completion *cq, unsigned entries)
{
	unsigned tail = get32(0x1000 + 8 * queue);

	assert_true(tail < entries);
	while (hw.tail[queue] != tail) {
		const struct nvme_command *c = &sq[hw.tail[queue]];
		hw.tail[queue] = (hw.tail[queue] + 1) % entries;
		uint16_t status = queue == 0 ? admin(c) : hw.fails ? 0x281 : 0;
		if (queue != 0 && !hw.fails)
			run_io(c);
		cq[hw.completed[queue] % entries].result = hw.pairs;
		complete(queue, cq, entries, (uint16_t)(c->opcode >> 16), status);
	}
}

static void hardware_moves(void)
{
	bool enabled = get32(0x14) & 1;
	unsigned entries = (get32(0x24) & 0xFFF) + 1;

	if (!hw.dead_at_reset)
		put32(0x1C, enabled);
	if (!enabled || hw.silent)
		return;
	assert_true(fake_dma);
	serve(0, (void *)get64(0x28), (void *)get64(0x30), entries);
	if (hw.forges && io_completions[1] != NULL)
		complete(1, io_completions[1], entries, 5, 0);
	hw.forges = false;
	for (unsigned q = 1; !hw.ignores_io && q < QUEUES; q++)
		if (io_commands[q] != NULL)
			serve(q, io_commands[q], io_completions[q], entries);
}

/* ---- What the driver stands on ---- */

uint64_t service_tsc(void)
{
	hardware_moves();
	return fake_now += 1000;
}

uint32_t host_pci_read(const struct host_pci *p, unsigned offset, unsigned bytes)
{
	(void)p, (void)bytes;
	return offset == 8 ? 0x01080202 : 0;
}

bool host_pci_bind_irq(const struct host_pci *p, unsigned index, uint32_t vcpu, unsigned bit)
{
	(void)p;
	return index < hw.vectors && vcpu == 0 && bit == 40;
}

uint64_t host_pci_dma_address(const struct host_pci *p, const void *at)
{
	(void)p;
	assert_true(fake_bar);
	return (uintptr_t)at;
}

/* ---- The tests ---- */

static void start(void)
{
	device = host_nvme_driver.start(&pci, 40);
	host_device_started(device != NULL);
	nvme = (struct nvme *)device;
}

static int set_up(void **state)
{
	(void)state;
	memset(&hw, 0, sizeof(hw));
	for (unsigned i = 0; i < sizeof(hw.medium); i++)
		hw.medium[i] = (uint8_t)(i * 7 + i / 512);
	hw.block_shift = 9;
	hw.mdts = 3;
	hw.vectors = 1;
	memset(io_commands, 0, sizeof(io_commands));
	memset(io_completions, 0, sizeof(io_completions));
	pci = (struct host_pci){ .rid = 0x20, .same_addresses = true, .bar[0] = hw.registers, .bar_bytes[0] = sizeof(hw.registers) };
	put32(0, 0x0F000000 | 1023); /* CAP: 1024 entries, 7.5 s; doorbells 4 bytes apart */
	return 0;
}

static int tear_down(void **state)
{
	(void)state;
	host_disk_forget_all();
	free(nvme);
	nvme = NULL;
	device = NULL;
	driver_memory_forget();
	return 0;
}

struct answer {
	struct blk_request request; /* first */
	unsigned answers;
	enum blk_status status;
};

static void note(struct blk_request *request, enum blk_status status)
{
	struct answer *a = (struct answer *)request;

	a->answers++;
	a->status = status;
}

static unsigned lane; /* of what is submitted */

static enum blk_status submit(struct answer *a, enum blk_operation operation, uint64_t sector, uint64_t sectors,
                              const struct io_segment *segment, unsigned segments)
{
	*a = (struct answer){ .request = { .operation = operation,
		                           .sector = sector,
		                           .sectors = sectors,
		                           .segment = segment,
		                           .segments = segments,
		                           .done = note,
		                           .lane = lane } };
	assert_int_equal(blk_request_check(&nvme->blk.disk.device, &a->request), BLK_OK);
	return nvme->blk.disk.device.ops->submit(&nvme->blk.disk.device, &a->request);
}

static void finish(struct answer *a)
{
	for (unsigned i = 0; a->answers == 0 && i < 10000; i++)
		nvme->blk.disk.device.ops->poll(&nvme->blk.disk.device);
	assert_int_equal(a->answers, 1);
}

static enum blk_status transfer(enum blk_operation operation, uint64_t sector, const struct io_segment *segment, unsigned segments)
{
	struct answer a;
	uint64_t bytes = 0;

	for (unsigned i = 0; i < segments; i++)
		bytes += segment[i].count;
	assert_int_equal(submit(&a, operation, sector, bytes / 512, segment, segments), BLK_PENDING);
	finish(&a);
	return a.status;
}

static void start__well_behaved__offers_the_disk(void **state)
{
	struct blk_device *found;

	(void)state;
	assert_true(host_nvme_driver.matches(&pci));
	start();
	assert_non_null(device);
	assert_null(host_disk_find("SERIAL 1\0\0\0\0\0\0\0\0\0\0\0\0", &found));
	assert_int_equal(found->sectors, DISK_SECTORS);
	assert_true(found->flushes && found->discards && found->writes_zeroes);
	assert_null(host_disk_find("00:04.0\0\0\0\0\0\0\0\0\0\0\0\0\0", &found));
	assert_non_null(host_disk_find("SERIAL 2\0\0\0\0\0\0\0\0\0\0\0\0", &found));
}

static void start__misbehaving__is_refused_with_dma_off(void **state)
{
	(void)state;
	hw.dead_at_reset = true;
	put32(0x1C, 1); /* for ever ready */
	start();
	assert_null(device);
	assert_string_equal(fake_log, "NVMe: it cannot be reset");
	hw.dead_at_reset = false;
	hw.silent = true;
	start();
	assert_null(device);
	assert_false(fake_dma);
	assert_string_equal(fake_log, "NVMe: it does not describe itself");
	hw.silent = false;
	hw.block_shift = 12;
	memset(hw.tail, 0, sizeof(hw.tail));
	memset(hw.completed, 0, sizeof(hw.completed));
	put32(0x1000, 0);
	start();
	assert_null(device);
	assert_false(fake_dma);
	memset(hw.registers, 0xFF, sizeof(hw.registers)); /* it is gone */
	start();
	assert_null(device);
	assert_string_equal(fake_log, "NVMe: its capabilities make no sense");
	pci.bar_bytes[0] = 0x1000; /* no doorbells */
	start();
	assert_null(device);
}

/* Buffers cut in every way that a guest may choose come through, whole and in place. */
static void submit__any_cut_of_the_buffer__moves_the_data(void **state)
{
	static const struct {
		unsigned offset, count[6];
	} cuts[] = {
		{ 0, { 4096 } },
		{ 0, { 512 } },
		{ 512, { 3584, 4096 } },
		{ 1024, { 1024, 1024, 1024 } },
		{ 2, { 512 } },
		{ 4, { 4096, 4096 } },
		{ 0, { 100, 412, 512 } },
		{ 0, { 1, 1, 1, 1, 508 } },
		{ 100, { 65536, 65536 } },
		{ 0, { 4096 * 20 } },
		{ 8, { 700, 324, 4096 } },
		{ 0, { 3 * 4096, 1024, 3 * 4096 } },
		{ 4000, { 96, 4096, 4096, 3 * 512 + 320, 96 } },
	};
	static uint8_t arena[64 * PAGE] __attribute__((aligned(4096)));

	(void)state;
	start();
	for (unsigned i = 0; i < sizeof(cuts) / sizeof(cuts[0]); i++)
		for (unsigned gap = 0; gap < 3; gap++) {
			struct io_segment segment[6];
			unsigned n = 0, bytes = 0, at = cuts[i].offset, check = 0;
			for (; n < 6 && cuts[i].count[n] != 0; n++) {
				segment[n] = (struct io_segment){ arena + at, cuts[i].count[n] };
				at += cuts[i].count[n] + gap * 1372;
				bytes += cuts[i].count[n];
			}
			if (bytes % 512 != 0)
				fail_msg("cut %u has %u bytes", i, bytes);
			memset(arena, 0xEE, sizeof(arena));
			assert_int_equal(transfer(BLK_READ, 100 + i, segment, n), BLK_OK);
			for (unsigned s = 0; s < n; s++)
				for (unsigned b = 0; b < segment[s].count; b++, check++)
					assert_int_equal(segment[s].bytes[b], hw.medium[(100 + i) * 512 + check]);
			unsigned touched = 0;
			for (unsigned b = 0; b < sizeof(arena); b++)
				touched += arena[b] != 0xEE;
			assert_true(touched <= bytes);
			for (unsigned s = 0; s < n; s++)
				memset(segment[s].bytes, (int)(s + gap + 1), segment[s].count);
			assert_int_equal(transfer(BLK_WRITE, 2000, segment, n), BLK_OK);
			check = 0;
			for (unsigned s = 0; s < n; s++)
				for (unsigned b = 0; b < segment[s].count; b++, check++)
					assert_int_equal(hw.medium[2000 * 512 + check], s + gap + 1);
		}
	assert_true(hw.pages_max > 2);
}

static void submit__flush_discard_zeroes__are_commands(void **state)
{
	struct answer a;

	(void)state;
	start();
	assert_int_equal(submit(&a, BLK_FLUSH, 0, 0, NULL, 0), BLK_PENDING);
	finish(&a);
	assert_int_equal(a.status, BLK_OK);
	assert_int_equal(hw.flushes, 1);
	submit(&a, BLK_DISCARD, 5, 3, NULL, 0);
	finish(&a);
	submit(&a, BLK_WRITE_ZEROES, 6, 1, NULL, 0);
	finish(&a);
	assert_int_equal(hw.medium[5 * 512], 0xDD);
	assert_int_equal(hw.medium[6 * 512], 0);
	assert_int_equal(hw.medium[7 * 512 + 511], 0xDD);
	assert_int_not_equal(hw.medium[8 * 512 + 1], 0xDD);
}

/* More requests than the queue has room for, three times over so that it wraps: each is answered once. */
static void submit__more_than_fit__all_are_done(void **state)
{
	static struct answer a[200];
	static uint8_t data[200][512] __attribute__((aligned(4096)));
	static struct io_segment segment[200];

	(void)state;
	start();
	for (unsigned round = 0; round < 3; round++) {
		hw.ignores_io = true;
		for (unsigned i = 0; i < 200; i++) {
			segment[i] = (struct io_segment){ data[i], 512 };
			submit(&a[i], BLK_READ, i, 1, &segment[i], 1);
		}
		assert_int_equal(__builtin_popcountll(nvme->io[0].busy), NVME_QUEUE_ENTRIES - 1);
		hw.ignores_io = false;
		for (unsigned i = 0; i < 200; i++) {
			finish(&a[i]);
			assert_int_equal(a[i].status, BLK_OK);
			assert_memory_equal(data[i], hw.medium + i * 512, 512);
		}
	}
}

/* As many pairs as both sides can, each with a vector of its own, and none for a machine with less. */
static void start__several_queues__as_many_as_both_can(void **state)
{
	static const struct {
		uint32_t pairs;
		unsigned vectors, refused, bar_bytes, expected;
	} table[] = {
		{ 3 << 16 | 3, 8, 0, 0x2000, 4 }, { 63 << 16 | 63, 8, 0, 0x2000, 4 }, { 0, 8, 0, 0x2000, 1 },
		{ 1 << 16 | 3, 8, 0, 0x2000, 2 }, { 3 << 16 | 2, 8, 0, 0x2000, 3 },   { UINT32_MAX, 8, 0, 0x2000, 1 },
		{ 3 << 16 | 3, 3, 0, 0x2000, 3 }, { 3 << 16 | 3, 1, 0, 0x2000, 1 },   { 3 << 16 | 3, 8, 3, 0x2000, 2 },
		{ 3 << 16 | 3, 8, 0, 0x1018, 2 }, { 3 << 16 | 3, 8, 0, 0x1010, 1 },   { 0xFFFF << 16 | 0xFFFF, 8, 0, 0x2000, 1 },
	};

	for (unsigned i = 0; i < sizeof(table) / sizeof(table[0]); i++) {
		set_up(state);
		hw.pairs = table[i].pairs;
		hw.vectors = table[i].vectors;
		hw.refused = table[i].refused;
		pci.bar_bytes[0] = table[i].bar_bytes;
		start();
		assert_non_null(device);
		if (nvme->blk.lanes != table[i].expected)
			fail_msg("row %u: %u queues", i, nvme->blk.lanes);
		for (unsigned q = 1; q <= nvme->blk.lanes; q++)
			assert_int_equal(hw.vector[q], q - 1);
		tear_down(state);
	}
	set_up(state);
	hw.vectors = 0;
	start();
	assert_null(device);
	set_up(state);
	hw.vectors = 8;
	hw.refused = 1;
	start();
	assert_null(device);
	assert_false(fake_dma);
}

static void start_with_queues(unsigned queues)
{
	hw.vectors = 8;
	hw.pairs = (queues - 1) << 16 | (queues - 1);
	start();
}

/* A lane that is full holds up nobody else's requests; all are answered, whatever queue they go by. */
static void submit__several_queues__lanes_do_not_wait_for_each_other(void **state)
{
	static struct answer a[400], other[4];
	static uint8_t data[400][512] __attribute__((aligned(4096)));
	static struct io_segment segment[400];

	(void)state;
	start_with_queues(4);
	for (unsigned round = 0; round < 3; round++) {
		hw.ignores_io = true;
		for (unsigned i = 0; i < 400; i++) { /* 100 of them wait; all in lane 2 */
			segment[i] = (struct io_segment){ data[i], 512 };
			lane = i < 300 ? 2 : 3;
			submit(&a[i], BLK_READ, i, 1, &segment[i], 1);
		}
		assert_int_equal(__builtin_popcountll(nvme->io[2].busy), NVME_QUEUE_ENTRIES - 1);
		assert_int_equal(nvme->io[0].busy | nvme->io[1].busy, 0);
		for (unsigned i = 0; i < 4; i++) {
			lane = 4 * i + i % 2; /* lanes 0 and 1, which are free */
			submit(&other[i], BLK_FLUSH, 0, 0, NULL, 0);
		}
		assert_int_equal(__builtin_popcountll(nvme->io[0].busy) + __builtin_popcountll(nvme->io[1].busy), 4);
		hw.ignores_io = false;
		for (unsigned i = 0; i < 400; i++) {
			finish(&a[i]);
			assert_int_equal(a[i].status, BLK_OK);
			assert_memory_equal(data[i], hw.medium + i * 512, 512);
		}
		for (unsigned i = 0; i < 4; i++)
			finish(&other[i]);
	}
	lane = 0;
}

static void give_up__several_queues__all_are_failed(void **state)
{
	static struct answer a[600];
	static uint8_t data[512] __attribute__((aligned(4096)));
	static const struct io_segment segment = { data, 512 };

	(void)state;
	start_with_queues(4);
	hw.ignores_io = true;
	for (unsigned i = 0; i < 600; i++) {
		lane = i;
		submit(&a[i], BLK_READ, i, 1, &segment, 1);
	}
	lane = 0;
	fake_now += 12 * SECOND;
	device->ops->check(device, fake_now);
	for (unsigned i = 0; i < 600; i++) {
		assert_int_equal(a[i].answers, 1);
		assert_int_equal(a[i].status, BLK_IO_ERROR);
	}
	assert_false(fake_dma);
}

static void submit__command_fails__only_its_request_does(void **state)
{
	uint8_t data[512] __attribute__((aligned(4096)));
	const struct io_segment segment = { data, 512 };

	(void)state;
	start();
	hw.fails = true;
	assert_int_equal(transfer(BLK_READ, 1, &segment, 1), BLK_IO_ERROR);
	hw.fails = false;
	assert_int_equal(transfer(BLK_READ, 1, &segment, 1), BLK_OK);
}

static void expect_given_up(struct answer *a, unsigned count)
{
	struct answer late;

	for (unsigned i = 0; i < count; i++) {
		assert_int_equal(a[i].answers, 1);
		assert_int_equal(a[i].status, BLK_IO_ERROR);
	}
	assert_false(fake_dma);
	assert_int_equal(submit(&late, BLK_FLUSH, 0, 0, NULL, 0), BLK_IO_ERROR);
	assert_int_equal(device->ops->check(device, fake_now), 0);
}

static void check__no_answer__controller_is_given_up(void **state)
{
	static struct answer a[150];
	static uint8_t data[512] __attribute__((aligned(4096)));
	static const struct io_segment segment = { data, 512 };

	(void)state;
	start();
	hw.ignores_io = true;
	for (unsigned i = 0; i < 150; i++)
		submit(&a[i], BLK_READ, i, 1, &segment, 1);
	uint64_t next = device->ops->check(device, fake_now);
	assert_in_range(next, fake_now, fake_now + 2 * SECOND);
	fake_now = next;
	device->ops->check(device, fake_now);
	assert_int_equal(a[0].answers, 0);
	fake_now += 11 * SECOND;
	device->ops->check(device, fake_now);
	expect_given_up(a, 150);
	assert_string_equal(fake_log, "given up: a command takes longer than 10 s");
}

static void check__interrupt_lost__completion_is_found(void **state)
{
	struct answer a;

	(void)state;
	start();
	submit(&a, BLK_FLUSH, 0, 0, NULL, 0);
	hardware_moves();
	fake_now += 2 * SECOND;
	device->ops->check(device, fake_now);
	assert_int_equal(a.answers, 1);
	assert_int_equal(a.status, BLK_OK);
}

static void interrupt__forged_completion__controller_is_given_up(void **state)
{
	struct answer a;

	(void)state;
	start();
	hw.ignores_io = true;
	submit(&a, BLK_FLUSH, 0, 0, NULL, 0);
	hw.forges = true;
	hardware_moves();
	device->ops->interrupt(device);
	expect_given_up(&a, 1);
	assert_string_equal(fake_log, "given up: it completes what nobody asked for");
}

static void claim__overlap__only_among_readers(void **state)
{
	struct host_disk_claim a, b, c;
	const struct blk_device *disk;

	(void)state;
	start();
	disk = &nvme->blk.disk.device;
	assert_true(host_disk_claim(&a, disk, 100, 50, true));
	assert_true(host_disk_claim(&b, disk, 149, 1, true));
	assert_false(host_disk_claim(&c, disk, 149, 10, false));
	assert_true(host_disk_claim(&c, disk, 150, 10, false));
	host_disk_release(&c);
	host_disk_release(&b);
	assert_false(host_disk_claim(&c, disk, 0, 101, false));
	host_disk_release(&a);
	assert_true(host_disk_claim(&c, disk, 0, DISK_SECTORS, false));
	host_disk_release(&c);
	host_disk_release(&c); /* twice is no harm */
}

static void power_up_with_queues(void)
{
	set_up(NULL);
	hw.vectors = 8;
	hw.pairs = 3 << 16 | 3;
}

static void check_disk(struct host_device *started)
{
	static uint8_t sectors[16 * 512];
	const struct io_segment segment = { sectors, sizeof(sectors) };

	nvme = (struct nvme *)(device = started);
	for (lane = 0; lane < 4; lane++)
		assert_int_equal(transfer(BLK_READ, 40, &segment, 1), BLK_OK);
	lane = 0;
	assert_memory_equal(sectors, hw.medium + 40 * 512, sizeof(sectors));
	nvme = NULL;
	device = NULL;
}

static void start__an_allocation_fails__is_said_and_leaves_nothing(void **state)
{
	const struct driver_failures f = { power_up_with_queues, &host_nvme_driver, &pci, 40, check_disk, host_disk_forget_all };

	(void)state;
	assert_true(driver_failures_each(&f) > 64);
}

#define CASE(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		CASE(start__well_behaved__offers_the_disk),
		CASE(start__misbehaving__is_refused_with_dma_off),
		CASE(submit__any_cut_of_the_buffer__moves_the_data),
		CASE(submit__flush_discard_zeroes__are_commands),
		CASE(submit__more_than_fit__all_are_done),
		CASE(submit__command_fails__only_its_request_does),
		CASE(start__several_queues__as_many_as_both_can),
		CASE(submit__several_queues__lanes_do_not_wait_for_each_other),
		CASE(give_up__several_queues__all_are_failed),
		CASE(check__no_answer__controller_is_given_up),
		CASE(check__interrupt_lost__completion_is_found),
		CASE(interrupt__forged_completion__controller_is_given_up),
		CASE(claim__overlap__only_among_readers),
		CASE(start__an_allocation_fails__is_said_and_leaves_nothing),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
