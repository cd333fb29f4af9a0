/*
 * SATA disks of the host, against a controller in memory: two disks on ports 0 and 3, an optical drive on port 1, nothing on port 2.
 * It does what each test wants of it whenever the driver looks at the clock, or when the test says so.
 *
 * UNIT_SOURCES: drivers-vm/driver/host_device_memory.c
 * UNIT_SOURCES: drivers-vm/driver/host_ahci.c drivers-vm/driver/host_ahci_port.c drivers-vm/driver/host_ahci_io.c
 * UNIT_SOURCES: drivers-vm/driver/host_blk.c drivers-vm/driver/host_disk.c drivers-vm/driver/io_segment.c drivers-vm/driver/blk_device.c
 * UNIT_SOURCES: tests/unit/fake_host_pci/device.c
 * UNIT_FLAGS: -iquote tests/unit/fake_mmio -iquote tests/unit/fake_host_pci -Itests/unit
 * UNIT_FLAGS: -Wl,--wrap=calloc -Wl,--wrap=malloc -Wl,--wrap=aligned_alloc -Wl,--wrap=free
 */
#include "cmocka_all.h"
#include "driver_failures.h"

#include <stdlib.h>
#include <string.h>

#include "drivers-vm/driver/host_ahci.h"
#include "drivers-vm/runtime/service.h"

#define PAGE         4096u
#define DISK_SECTORS 8192u
#define SECOND       1000000000ull
#define NOWHERE      UINT64_MAX
#define PORTS        4u
#define CD           1u
#define EMPTY        2u

enum { CAP = 0x00, GHC = 0x04, IS = 0x08, PI = 0x0C };

struct model_port {
	uint32_t is, ie, cmd, tfd, sctl, serr, sact, ci;
	uint64_t list, frames;
	uint32_t queued; /* of ci and sact */
	unsigned commands, resets, flushes;
	bool has_reset; /* its first frame has come since */
	uint8_t medium[DISK_SECTORS * 512];
};

static struct {
	uint8_t bar[0x100 + 0x80 * PORTS];
	uint32_t cap, ghc, is;
	struct model_port port[PORTS];
	/* What it does wrong. */
	bool gone, never_resets, never_stops, stops_late, never_comes, silent, forgets_command, identify_fails;
	uint64_t bad_sector;
	unsigned bad_times;
	unsigned most_out;
	bool lies; /* so that the driver cannot know what it may do */
	uint16_t id[256];
} hw;

static struct host_pci pci;
static struct host_device *device;
static unsigned seed;

/* ---- The controller ---- */

static void raise(unsigned n, uint32_t what)
{
	hw.port[n].is |= what;
	if (hw.port[n].is & hw.port[n].ie)
		hw.is |= 1u << n;
}

static uint64_t lba(const uint8_t *f)
{
	return f[4] | f[5] << 8 | (uint64_t)f[6] << 16 | (uint64_t)f[8] << 24 | (uint64_t)f[9] << 32 | (uint64_t)f[10] << 40;
}

/* Moves a command's data and returns how much there was. */
static uint64_t move(const uint32_t *header, uint8_t *with, bool to_memory)
{
	const uint8_t *table = (const uint8_t *)(*(const uint64_t *)(header + 2));
	uint64_t bytes = 0;

	assert_true(fake_dma);
	assert_int_equal((uintptr_t)table % 128, 0);
	for (unsigned i = 0; i < header[0] >> 16; i++) {
		uint64_t address;
		uint32_t count;
		memcpy(&address, table + 0x80 + 16 * i, 8);
		memcpy(&count, table + 0x80 + 16 * i + 12, 4);
		assert_true(count < 0x400000 && count % 2 == 1 && address % 2 == 0);
		if (to_memory)
			memcpy((void *)address, with + bytes, count + 1);
		else
			memcpy(with + bytes, (void *)address, count + 1);
		bytes += count + 1;
	}
	return bytes;
}

static void trim(struct model_port *p, const uint32_t *header)
{
	static uint64_t range[64];

	assert_int_equal(move(header, (uint8_t *)range, false), 512);
	for (unsigned i = 0; i < 64; i++)
		for (uint64_t n = 0; n < range[i] >> 48; n++)
			p->medium[((range[i] & 0xFFFFFFFFFFFFull) + n) % DISK_SECTORS * 512] = 0xDD;
}

/* False: it fails. */
static bool run(struct model_port *p, const uint32_t *header)
{
	const uint8_t *f = (const uint8_t *)(*(const uint64_t *)(header + 2));
	bool queued = f[2] == 0x60 || f[2] == 0x61, write = f[2] == 0x35 || f[2] == 0x61;
	uint64_t sector = lba(f), sectors = queued ? f[3] | f[11] << 8 : f[12] | f[13] << 8;

	p->commands++;
	assert_int_equal(header[0] & 0x1F, 5);
	assert_true(f[0] == 0x27 && f[1] == 0x80);
	switch (f[2]) {
	case 0xEC:
		assert_int_equal(move(header, (uint8_t *)hw.id, true), 512);
		return !hw.identify_fails;
	case 0xEA:
		p->flushes++;
		return true;
	case 0x06:
		assert_true(f[3] == 1 && sectors == 1 && header[0] & 0x40);
		trim(p, header);
		return true;
	case 0x25:
	case 0x35:
	case 0x60:
	case 0x61:
		assert_int_equal(!!(header[0] & 0x40), write);
		assert_true(sectors != 0 && sector + sectors <= DISK_SECTORS);
		if (hw.bad_sector >= sector && hw.bad_sector < sector + sectors && hw.bad_times != 0) {
			hw.bad_times--;
			return false;
		}
		assert_int_equal(move(header, p->medium + sector * 512, !write), sectors * 512);
		return true;
	default:
		fail_msg("command %x", f[2]);
		return false;
	}
}

static void serve(unsigned n)
{
	struct model_port *p = &hw.port[n];

	while (p->cmd & 1 && p->ci != 0 && !hw.silent && !(p->tfd & 1)) {
		unsigned slot = 31 - (unsigned)__builtin_clz(p->ci); /* the last one first */
		if ((unsigned)__builtin_popcount(p->ci) > hw.most_out)
			hw.most_out = (unsigned)__builtin_popcount(p->ci);
		bool queued = p->queued >> slot & 1, good = run(p, (const uint32_t *)(p->list + 32 * slot));
		if (good || queued)
			p->ci &= ~(1u << slot);
		if (good) {
			p->sact &= ~(1u << slot);
			p->tfd = 0x50;
			raise(n, queued ? 8 : 1);
		} else {
			p->tfd = 0x4041;
			if (hw.forgets_command)
				p->ci &= ~(1u << slot);
			raise(n, 1u << 30);
		}
	}
}

static void hardware_moves(void)
{
	for (unsigned n = 0; n < PORTS; n++) {
		if (hw.stops_late && !(hw.port[n].cmd & 1))
			hw.port[n].cmd &= ~(1u << 15);
		serve(n);
	}
}

static void reset_ports(void)
{
	for (unsigned n = 0; n < PORTS; n++) {
		struct model_port *p = &hw.port[n];
		p->is = p->ie = p->tfd = p->sctl = p->serr = p->sact = p->ci = p->queued = 0;
		p->has_reset = false;
		if (!hw.never_stops)
			p->cmd = 0;
	}
}

static void write_port(unsigned n, unsigned at, uint32_t v)
{
	struct model_port *p = &hw.port[n];
	uint64_t low;

	switch (at) {
	case AHCI_PX_CLB:
		p->list = v;
		break;
	case AHCI_PX_CLB + 4:
		low = p->list & UINT32_MAX;
		p->list = (uint64_t)v << 32 | low;
		assert_int_equal(p->list % 1024, 0);
		break;
	case AHCI_PX_IS:
		p->is &= ~v;
		break;
	case AHCI_PX_IE:
		p->ie = v;
		break;
	case AHCI_PX_CMD:
		if (v & 1) {
			assert_true(hw.lies || (p->has_reset && p->sctl == 0x300 && p->serr == 0 && v & 0x10));
		} else if (!hw.never_stops) {
			p->ci = p->sact = p->queued = 0;
			v &= ~(1u << 15);
		}
		p->cmd = v | (v & 1 ? 1u << 15 : 0) | (hw.never_stops || hw.stops_late ? p->cmd & 1u << 15 : 0);
		break;
	case AHCI_PX_SCTL:
		assert_true(hw.lies || !(p->cmd & 1u << 15));
		if ((v & 15) == 1) {
			p->tfd = 0x7F;
			p->has_reset = false;
			p->resets++;
		} else if (p->sctl % 16 == 1) {
			p->serr = 1u << 26;
			p->is |= 1u << 6 | 1u << 22;
		}
		p->sctl = v;
		break;
	case AHCI_PX_SERR:
		p->serr &= ~v;
		if (v & 1u << 26 && p->sctl == 0x300 && n != EMPTY && !hw.never_comes) {
			p->has_reset = true;
			p->tfd = 0x150;
		}
		break;
	case AHCI_PX_SACT:
		assert_true(hw.lies || p->cmd & 1);
		p->sact |= v;
		p->queued |= v;
		break;
	case AHCI_PX_CI:
		assert_true(hw.lies || (p->cmd & 1 && n != CD && !(p->ci & v)));
		p->ci |= v;
		p->queued &= p->sact;
		if (p->ci & ~p->queued && !hw.lies)
			assert_int_equal(__builtin_popcount(p->ci | p->sact), 1); /* it is alone */
		break;
	default:
		break;
	}
}

static uint32_t read_port(unsigned n, unsigned at)
{
	const struct model_port *p = &hw.port[n];

	switch (at) {
	case AHCI_PX_IS:
		return p->is;
	case AHCI_PX_IE:
		return p->ie;
	case AHCI_PX_CMD:
		return p->cmd;
	case AHCI_PX_TFD:
		return p->tfd;
	case AHCI_PX_SIG:
		return !p->has_reset ? UINT32_MAX : n == CD ? 0xEB140101 : 0x101;
	case AHCI_PX_SSTS:
		return n == EMPTY ? 0 : 0x113;
	case AHCI_PX_SERR:
		return p->serr;
	case AHCI_PX_SACT:
		return p->sact;
	case AHCI_PX_CI:
		return p->ci;
	default:
		fail_msg("register %x", at);
		return 0;
	}
}

uint32_t fake_mmio_read(const volatile uint8_t *base, uint64_t offset)
{
	uint64_t at = (uint64_t)(base - hw.bar) + offset;

	assert_true(at + 4 <= sizeof(hw.bar));
	if (hw.gone || !fake_bar)
		return UINT32_MAX;
	if (seed != 0 && rand_r(&seed) % 16 == 0)
		return (uint32_t)rand_r(&seed) << 16 ^ (uint32_t)rand_r(&seed);
	if (at >= 0x100)
		return read_port((unsigned)(at - 0x100) / 0x80, at % 0x80);
	return at == CAP ? hw.cap : at == GHC ? hw.ghc : at == IS ? hw.is : at == PI ? (1u << PORTS) - 1 : 0;
}

void fake_mmio_write(volatile uint8_t *base, uint64_t offset, uint32_t value)
{
	uint64_t at = (uint64_t)(base - hw.bar) + offset;

	assert_true(at + 4 <= sizeof(hw.bar));
	if (hw.gone || !fake_bar)
		return;
	if (at >= 0x100)
		write_port((unsigned)(at - 0x100) / 0x80, at % 0x80, value);
	else if (at == GHC) {
		hw.ghc = hw.never_resets ? value : value & ~1u;
		if (value & 1)
			reset_ports();
	} else if (at == IS)
		hw.is &= ~value;
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
	return offset == 8 ? 0x01060102 : 0;
}

bool host_pci_bind_irq(const struct host_pci *p, unsigned index, uint32_t vcpu, unsigned bit)
{
	(void)p;
	return index == 0 && vcpu == 0 && bit == 40;
}

uint64_t host_pci_dma_address(const struct host_pci *p, const void *at)
{
	(void)p;
	return (uintptr_t)at;
}

/* ---- The tests ---- */

static void put_serial(uint16_t *at, const char *text)
{
	for (unsigned i = 0; i < BLK_SERIAL_BYTES / 2; i++, text += 2)
		*at++ = (uint16_t)(text[0] << 8 | text[1]);
}

static int set_up(void **state)
{
	(void)state;
	memset(&hw, 0, sizeof(hw));
	for (unsigned n = 0; n < PORTS; n++)
		for (unsigned i = 0; i < sizeof(hw.port[n].medium); i++)
			hw.port[n].medium[i] = (uint8_t)(i * 7 + i / 512 + n);
	hw.cap = 1u << 31 | 1u << 30 | 31u << 8;
	hw.bad_sector = NOWHERE;
	put_serial(&hw.id[10], "   SERIAL 1         ");
	hw.id[75] = 31;
	hw.id[76] = 1 << 8;
	hw.id[83] = 1 << 14 | 1 << 10;
	hw.id[100] = DISK_SECTORS;
	hw.id[106] = 1 << 14 | 1 << 13 | 3;
	hw.id[169] = 1;
	seed = 0;
	fake_log[0] = '\0';
	pci = (struct host_pci){ .rid = 0x20, .same_addresses = true, .bar[5] = hw.bar, .bar_bytes[5] = sizeof(hw.bar) };
	return 0;
}

static void forget_device(void)
{
	host_disk_forget_all();
	for (unsigned i = 0; device != NULL && i < AHCI_PORTS; i++)
		free(((struct ahci *)device)->port[i]);
	free(device);
	device = NULL;
	reset_ports();
	driver_memory_forget();
}

static int tear_down(void **state)
{
	(void)state;
	forget_device();
	return 0;
}

static bool starts(void)
{
	forget_device();
	device = host_ahci_driver.start(&pci, 40);
	host_device_started(device != NULL);
	return device != NULL;
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

static struct blk_device *disk(unsigned n)
{
	return &((struct ahci *)device)->port[n]->blk.disk.device;
}

static enum blk_status submit(struct answer *a, enum blk_operation operation, uint64_t sector, uint64_t sectors,
                              const struct io_segment *segment, unsigned segments)
{
	*a = (struct answer){ .request = { .operation = operation,
		                           .sector = sector,
		                           .sectors = sectors,
		                           .segment = segment,
		                           .segments = segments,
		                           .done = note } };
	assert_int_equal(blk_request_check(disk(0), &a->request), BLK_OK);
	return disk(0)->ops->submit(disk(0), &a->request);
}

/* What the event loop does, for a while. */
static void turn(uint64_t ns)
{
	hardware_moves();
	if (hw.is != 0 && hw.ghc & 2)
		device->ops->interrupt(device);
	device->ops->check(device, fake_now);
	fake_now += ns;
}

static void finish(struct answer *a)
{
	for (unsigned i = 0; a->answers == 0 && i < 100000; i++)
		turn(100000);
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

static void start__well_behaved__offers_disks_and_leaves_the_rest_alone(void **state)
{
	struct blk_device *found;

	(void)state;
	assert_true(host_ahci_driver.matches(&pci));
	assert_true(starts());
	assert_int_equal(disk(0)->sectors, DISK_SECTORS);
	assert_true(disk(0)->flushes && disk(0)->discards && !disk(0)->writes_zeroes);
	assert_int_equal(disk(0)->physical_block_bytes, 4096);
	assert_memory_equal(disk(0)->serial, "SERIAL 1\0\0\0\0\0\0\0\0\0\0\0\0", BLK_SERIAL_BYTES);
	assert_null(host_disk_find("00:04.0/3\0\0\0\0\0\0\0\0\0\0", &found));
	assert_ptr_equal(found, disk(3));
	assert_null(host_disk_find("00:04.0/00\0\0\0\0\0\0\0\0\0", &found));
	assert_ptr_equal(found, disk(0));
	assert_non_null(host_disk_find("00:04.0\0\0\0\0\0\0\0\0\0\0\0\0", &found)); /* which one? */
	assert_non_null(host_disk_find("00:04.0/1\0\0\0\0\0\0\0\0\0\0", &found));
	assert_non_null(host_disk_find("00:04.0/\0\0\0\0\0\0\0\0\0\0\0", &found));
	assert_non_null(host_disk_find("00:04.0/030\0\0\0\0\0\0\0\0", &found));
	assert_int_equal(hw.port[CD].commands, 0);
	assert_int_equal(hw.port[CD].cmd & 0x11, 0);
}

static void start__misbehaving__is_refused_with_dma_off(void **state)
{
	static const struct {
		bool *wrong;
		const char *says;
	} cases[] = {
		{ &hw.gone, "AHCI: its capabilities make no sense" },        { &hw.never_resets, "AHCI: it cannot be reset" },
		{ &hw.never_comes, "AHCI: no disk is at any of its ports" }, { &hw.identify_fails, "AHCI: no disk is at any of its ports" },
		{ &hw.silent, "AHCI: no disk is at any of its ports" },
	};

	(void)state;
	for (unsigned i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		*cases[i].wrong = true;
		assert_false(starts());
		assert_string_equal(fake_log, cases[i].says);
		assert_false(fake_dma);
		*cases[i].wrong = false;
	}
	hw.port[0].cmd = 1u << 15;
	hw.never_stops = true;
	assert_false(starts());
	hw.never_stops = false;
	hw.port[0].cmd = 0;
	hw.cap &= ~(1u << 31);
	assert_false(starts());
	assert_string_equal(fake_log, "AHCI: it has no 64-bit addresses: not supported");
	hw.cap |= 1u << 31;
	pci.bar_bytes[5] = 0x100; /* no ports */
	assert_false(starts());
	pci.bar_bytes[5] = 0x80;
	assert_false(starts());
	pci.bar[5] = NULL;
	assert_false(starts());
	assert_false(fake_dma);
}

static void start__disk_not_supported__is_left_out(void **state)
{
	static const struct {
		unsigned word;
		uint16_t value;
	} bad[] = { { 83, 1 << 14 }, { 83, 0xFFFF }, { 106, 1 << 14 | 1 << 12 }, { 100, 0 }, { 103, 1 } };

	(void)state;
	for (unsigned i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		uint16_t good = hw.id[bad[i].word];
		hw.id[bad[i].word] = bad[i].value;
		assert_false(starts());
		hw.id[bad[i].word] = good;
	}
	assert_true(starts());
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
		{ 1, { 512 } },
		{ 4, { 4096, 4096 } },
		{ 0, { 100, 412, 512 } },
		{ 0, { 1, 1, 1, 1, 508 } },
		{ 100, { 65536, 65536 } },
		{ 0, { 4096 * 300 } },
		{ 8, { 700, 324, 4096 } },
		{ 0, { 3 * 4096, 1024 } },
		{ 4000, { 96, 4096, 4096, 3 * 512 + 320, 96 } },
		{ 0, { 510, 2, 511, 1 } },
		{ 4095, { 2, 510 } },
	};
	static uint8_t arena[400 * PAGE] __attribute__((aligned(4096)));

	(void)state;
	for (unsigned ncq = 0; ncq < 2; ncq++) {
		hw.id[76] = (uint16_t)(ncq << 8);
		assert_true(starts());
		for (unsigned i = 0; i < sizeof(cuts) / sizeof(cuts[0]); i++)
			for (unsigned gap = 0; gap < 3; gap++) {
				struct io_segment segment[6];
				unsigned n = 0, bytes = 0, at = cuts[i].offset, check = 0;
				for (; n < 6 && cuts[i].count[n] != 0; n++) {
					segment[n] = (struct io_segment){ arena + at, cuts[i].count[n] };
					at += cuts[i].count[n] + gap * 1371;
					bytes += cuts[i].count[n];
				}
				assert_int_equal(bytes % 512, 0);
				assert_int_equal(transfer(BLK_READ, 100 + i, segment, n), BLK_OK);
				for (unsigned s = 0; s < n; s++) {
					assert_memory_equal(segment[s].bytes, hw.port[0].medium + (100 + i) * 512 + check,
					                    segment[s].count);
					check += segment[s].count;
				}
				for (unsigned s = 0; s < n; s++)
					memset(segment[s].bytes, (int)(s + gap + 1), segment[s].count);
				assert_int_equal(transfer(BLK_WRITE, 4000, segment, n), BLK_OK);
				check = 0;
				for (unsigned s = 0; s < n; s++) {
					assert_memory_equal(segment[s].bytes, hw.port[0].medium + 4000 * 512 + check, segment[s].count);
					check += segment[s].count;
				}
			}
	}
}

static void submit__flush_and_discard__are_commands(void **state)
{
	struct answer a;

	(void)state;
	assert_true(starts());
	submit(&a, BLK_FLUSH, 0, 0, NULL, 0);
	finish(&a);
	assert_int_equal(a.status, BLK_OK);
	assert_int_equal(hw.port[0].flushes, 1);
	submit(&a, BLK_DISCARD, 5, 3, NULL, 0);
	finish(&a);
	assert_int_equal(a.status, BLK_OK);
	assert_int_equal(hw.port[0].medium[5 * 512], 0xDD);
	assert_int_equal(hw.port[0].medium[7 * 512], 0xDD);
	assert_int_not_equal(hw.port[0].medium[8 * 512], 0xDD);
	unsigned before = hw.port[0].commands;
	disk(0)->sectors = 10000000;
	submit(&a, BLK_DISCARD, 1, 64 * 65535 + 7, NULL, 0);
	finish(&a);
	assert_int_equal(a.status, BLK_OK);
	assert_int_equal(hw.port[0].commands, before + 2);
}

static struct answer many[300];
static uint8_t data[300][512] __attribute__((aligned(4096)));
static struct io_segment piece[300];

/* Reads, with flushes between them. */
static void submit_many(void)
{
	memset(data, 0xEE, sizeof(data));
	for (unsigned i = 0; i < 300; i++) {
		piece[i] = (struct io_segment){ data[i], 512 };
		if (i % 50 == 49)
			assert_int_equal(submit(&many[i], BLK_FLUSH, 0, 0, NULL, 0), BLK_PENDING);
		else
			assert_int_equal(submit(&many[i], BLK_READ, i, 1, &piece[i], 1), BLK_PENDING);
	}
}

static void expect_all_but(unsigned bad)
{
	for (unsigned i = 0; i < 300; i++) {
		finish(&many[i]);
		assert_int_equal(many[i].status, i == bad ? BLK_IO_ERROR : BLK_OK);
		if (i % 50 != 49 && i != bad)
			assert_memory_equal(data[i], hw.port[0].medium + i * 512, 512);
	}
}

static void submit__more_than_fit__all_are_done(void **state)
{
	(void)state;
	for (unsigned ncq = 0; ncq < 2; ncq++) {
		hw.id[76] = (uint16_t)(ncq << 8);
		hw.id[75] = 20;
		hw.most_out = 0;
		assert_true(starts());
		submit_many();
		expect_all_but(UINT32_MAX);
		assert_int_equal(hw.most_out, ncq ? 21 : 1);
		assert_int_equal(hw.port[0].flushes, 6 * (ncq + 1));
	}
}

/* A sector that stays bad costs its own request, one that is bad once costs nothing; with NCQ and without, and whether the controller
 * leaves the bit of a failed command set or not. */
static void submit__command_fails__only_its_request_does(void **state)
{
	(void)state;
	for (unsigned i = 0; i < 8; i++) {
		hw.id[76] = (uint16_t)((i & 1) << 8);
		hw.forgets_command = i & 2;
		assert_true(starts());
		hw.bad_sector = 123;
		hw.bad_times = i & 4 ? 1 : 1000;
		unsigned resets = hw.port[0].resets;
		submit_many();
		expect_all_but(i & 4 ? UINT32_MAX : 123);
		assert_int_equal(hw.port[0].resets - resets, i & 4 ? 1 : 2);
		assert_true(fake_dma);
		hw.bad_sector = NOWHERE;
		submit_many();
		expect_all_but(UINT32_MAX);
	}
}

static void expect_given_up(unsigned count)
{
	struct answer late;

	for (unsigned i = 0; i < count; i++) {
		assert_int_equal(many[i].answers, 1);
		assert_int_equal(many[i].status, BLK_IO_ERROR);
	}
	assert_int_equal(submit(&late, BLK_FLUSH, 0, 0, NULL, 0), BLK_IO_ERROR);
	assert_true(!fake_bar || !(hw.port[0].cmd & 1));
}

static void check__no_answer__is_reset_once_and_given_up(void **state)
{
	(void)state;
	assert_true(starts());
	hw.silent = true;
	submit_many();
	unsigned resets = hw.port[0].resets;
	for (unsigned i = 0; i < 19; i++)
		turn(SECOND);
	assert_int_equal(hw.port[0].resets, resets + 1);
	assert_int_equal(many[0].answers, 0);
	for (unsigned i = 0; i < 12; i++)
		turn(SECOND);
	expect_given_up(300);
	assert_string_equal(fake_log, "given up: commands take longer than 10 s");
	assert_true(fake_dma); /* the other disk's */
	hw.silent = false;
	struct answer other = { .request = { .operation = BLK_FLUSH, .done = note } };
	assert_int_equal(disk(3)->ops->submit(disk(3), &other.request), BLK_PENDING);
	finish(&other);
	assert_int_equal(other.status, BLK_OK);
}

static void check__no_answer_once__is_tried_again(void **state)
{
	(void)state;
	assert_true(starts());
	for (unsigned round = 0; round < 3; round++) {
		hw.silent = true;
		submit_many();
		for (unsigned i = 0; i < 12; i++)
			turn(SECOND);
		hw.silent = false;
		expect_all_but(UINT32_MAX);
	}
}

static void check__interrupt_lost__completion_is_found(void **state)
{
	struct answer a;

	(void)state;
	assert_true(starts());
	submit(&a, BLK_FLUSH, 0, 0, NULL, 0);
	hardware_moves();
	fake_now += 2 * SECOND;
	device->ops->check(device, fake_now);
	assert_int_equal(a.answers, 1);
	assert_int_equal(a.status, BLK_OK);
}

static void interrupt__unplugged_or_gone__is_given_up(void **state)
{
	(void)state;
	for (unsigned i = 0; i < 3; i++) {
		hw.gone = hw.silent = false;
		assert_true(starts());
		hw.silent = true;
		submit_many();
		if (i == 0) {
			raise(0, 1u << 6);
			device->ops->interrupt(device);
		} else if (i == 1) {
			hw.gone = true;
			device->ops->interrupt(device);
			assert_false(fake_dma);
		} else { /* it does not come back from a reset */
			hw.never_comes = true;
			raise(0, 1u << 27);
			for (unsigned s = 0; s < 15; s++)
				turn(SECOND);
		}
		expect_given_up(300);
	}
}

static void interrupt__port_does_not_stop__controller_is_given_up(void **state)
{
	struct answer other = { .request = { .operation = BLK_FLUSH, .done = note } };

	(void)state;
	assert_true(starts());
	hw.silent = hw.never_stops = true;
	submit_many();
	assert_int_equal(disk(3)->ops->submit(disk(3), &other.request), BLK_PENDING);
	raise(0, 1u << 30);
	for (unsigned i = 0; i < 3; i++)
		turn(SECOND);
	for (unsigned i = 0; i < 300; i++)
		assert_int_equal(many[i].status, BLK_IO_ERROR);
	assert_int_equal(other.answers, 1);
	assert_int_equal(other.status, BLK_IO_ERROR);
	assert_false(fake_dma);
}

/* Registers that read as anything now and then: each request is answered once, whatever else happens. */
static void interrupt__registers_lie__all_are_answered(void **state)
{
	(void)state;
	for (unsigned round = 1; round <= 60; round++) {
		hw.lies = false;
		assert_true(starts());
		hw.lies = true;
		submit_many();
		seed = round;
		for (unsigned i = 0; i < 3000; i++) {
			turn(10000000);
			device->ops->interrupt(device);
		}
		seed = 0;
		for (unsigned i = 0; i < 60; i++)
			turn(SECOND);
		for (unsigned i = 0; i < 300; i++)
			finish(&many[i]);
	}
}

static void power_up(void)
{
	set_up(NULL);
	reset_ports();
	hw.stops_late = true; /* one port that has to do without memory is no reason to give up the others */
}

/* With the disks that there was memory for. */
static void check_disks(struct host_device *started)
{
	static uint8_t sectors[16 * 512];
	const struct io_segment segment = { sectors, sizeof(sectors) };
	unsigned found = 0;

	device = started;
	for (unsigned n = 0; n < PORTS; n++) {
		struct answer a = {
			.request = { .operation = BLK_READ, .sector = 40, .sectors = 16, .segment = &segment, .segments = 1, .done = note }
		};
		if (((struct ahci *)device)->port[n] == NULL)
			continue;
		found++;
		assert_int_equal(disk(n)->ops->submit(disk(n), &a.request), BLK_PENDING);
		for (unsigned i = 0; a.answers == 0 && i < 10000; i++)
			turn(1000000);
		assert_int_equal(a.status, BLK_OK);
		assert_memory_equal(sectors, hw.port[n].medium + 40 * 512, sizeof(sectors));
	}
	assert_true(found != 0);
	device = NULL;
}

static void start__an_allocation_fails__is_said_and_leaves_nothing(void **state)
{
	const struct driver_failures f = { power_up, &host_ahci_driver, &pci, 40, check_disks, host_disk_forget_all };

	(void)state;
	assert_true(driver_failures_each(&f) > 64);
}

#define CASE(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		CASE(start__well_behaved__offers_disks_and_leaves_the_rest_alone),
		CASE(start__misbehaving__is_refused_with_dma_off),
		CASE(start__disk_not_supported__is_left_out),
		CASE(submit__any_cut_of_the_buffer__moves_the_data),
		CASE(submit__flush_and_discard__are_commands),
		CASE(submit__more_than_fit__all_are_done),
		CASE(submit__command_fails__only_its_request_does),
		CASE(check__no_answer__is_reset_once_and_given_up),
		CASE(check__no_answer_once__is_tried_again),
		CASE(check__interrupt_lost__completion_is_found),
		CASE(interrupt__unplugged_or_gone__is_given_up),
		CASE(interrupt__port_does_not_stop__controller_is_given_up),
		CASE(interrupt__registers_lie__all_are_answered),
		CASE(start__an_allocation_fails__is_said_and_leaves_nothing),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
