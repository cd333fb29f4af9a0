/*
 * The virtio disk under a driver with split and with packed rings, on a RAM disk and on a device that takes
 * its time.
 *
 * UNIT_SOURCES: drivers-vm/driver/pci_host.c drivers-vm/driver/pci_function.c
 * UNIT_SOURCES: drivers-vm/driver/pci_msix.c drivers-vm/driver/virtio_pci.c
 * UNIT_SOURCES: drivers-vm/driver/virtio_device.c drivers-vm/driver/virtio_common.c
 * UNIT_SOURCES: drivers-vm/driver/virtio_blk.c drivers-vm/driver/blk_device.c drivers-vm/driver/blk_ram.c
 * UNIT_SOURCES: drivers-vm/driver/token_bucket.c drivers-vm/driver/virtqueue.c
 * UNIT_SOURCES: drivers-vm/driver/virtqueue_split.c drivers-vm/driver/virtqueue_packed.c
 * UNIT_SOURCES: drivers-vm/driver/io_segment.c
 * UNIT_FLAGS: -Itests/unit/fake_model
 */
#include "virtio_driver.h"
#include "drivers-vm/driver/blk_ram.h"
#include "drivers-vm/driver/virtio_blk.h"

#define SECTORS  64u
#define HEADER   DRIVER_DATA
#define STATUS   (DRIVER_DATA + 0x100)
#define BUFFER   (DRIVER_DATA + 0x1000)
#define TIMER    ((unsigned)MODEL_TIMER_DISK)
#define REQUESTS 4u
#define FEATURES (VIRTIO_BLK_F_FLUSH | VIRTIO_BLK_F_SEG_MAX | VIRTIO_BLK_F_DISCARD | VIRTIO_BLK_F_WRITE_ZEROES)

/* A device that keeps requests until the test lets it finish one. */
struct slow {
	struct blk_device device;
	struct blk_request *waiting[16];
	unsigned count, flushes;
};

static struct driver d;
static struct virtio_blk disk;
static struct virtio_blk_request requests[REQUESTS];
static struct blk_ram ram_disk;
static uint8_t *medium;
static struct slow slow;

static enum blk_status slow_submit(struct blk_device *device, struct blk_request *request)
{
	struct slow *s = (struct slow *)device;

	assert_int_equal(blk_request_check(device, request), BLK_OK);
	assert_true(s->count < 16);
	s->flushes += request->operation == BLK_FLUSH;
	s->waiting[s->count++] = request;
	return BLK_PENDING;
}

static void slow_finish(unsigned index, enum blk_status status)
{
	struct blk_request *request = slow.waiting[index];

	slow.waiting[index] = slow.waiting[--slow.count];
	request->done(request, status);
}

static void make(struct blk_device *device, bool packed, struct virtio_blk_config config)
{
	driver_init(&d);
	d.packed = packed;
	config.device = device;
	config.packed = packed;
	config.request = requests;
	config.requests = config.requests != 0 ? config.requests : REQUESTS;
	config.queues = config.queues != 0 ? config.queues : 1;
	virtio_blk_init(&disk, &d.fake.host, &config, TIMER);
	driver_plug(&d, &disk.device);
}

static int set_up_ram(bool packed)
{
	medium = malloc(SECTORS * 512);
	for (unsigned i = 0; i < SECTORS * 512; i++)
		medium[i] = (uint8_t)(i / 512 + 1);
	blk_ram_init(&ram_disk, medium, SECTORS * 512 + 17, false);
	make(&ram_disk.device, packed, (struct virtio_blk_config){ .serial = "abc" });
	driver_start(&d, FEATURES);
	return 0;
}

static int set_up_split(void **state)
{
	(void)state;
	return set_up_ram(false);
}

static int set_up_packed(void **state)
{
	(void)state;
	return set_up_ram(true);
}

static int set_up_slow(void **state)
{
	static const struct blk_device_ops ops = { .submit = slow_submit };

	(void)state;
	medium = NULL;
	slow = (struct slow){ .device = { .ops = &ops, .sectors = SECTORS, .physical_block_bytes = 512, .flushes = true } };
	make(&slow.device, false, (struct virtio_blk_config){ 0 });
	driver_start(&d, VIRTIO_BLK_F_FLUSH);
	return 0;
}

static int tear_down(void **state)
{
	(void)state;
	driver_done(&d);
	free(medium);
	return 0;
}

static void header(uint32_t type, uint64_t sector)
{
	const struct virtio_blk_header h = { .type = type, .sector = sector };

	memcpy(d.ram + HEADER, &h, sizeof(h));
	d.ram[STATUS] = 0xEE;
}

/* One request with `bytes` of data in one part, and its status. */
static uint8_t request(uint32_t type, uint64_t sector, uint32_t bytes, bool to_guest)
{
	const struct driver_part parts[] = { { HEADER, 16, false }, { BUFFER, bytes, to_guest }, { STATUS, 1, true } };
	const struct driver_part none[] = { parts[0], parts[2] };
	uint32_t written;
	int id;

	header(type, sector);
	id = (int)(bytes != 0 ? driver_offer(&d, 0, parts, 3) : driver_offer(&d, 0, none, 2));
	driver_kick(&d, 0);
	assert_int_equal(driver_take(&d, 0, &written), id);
	if (d.ram[STATUS] == VIRTIO_BLK_S_OK)
		assert_int_equal(written, (to_guest ? bytes : 0) + 1);
	return d.ram[STATUS];
}

static uint8_t range(uint32_t type, uint64_t sector, uint32_t sectors, uint32_t flags)
{
	const struct virtio_blk_range r = { sector, sectors, flags };

	memcpy(d.ram + BUFFER, &r, sizeof(r));
	return request(type, 0, sizeof(r), false);
}

/* ---- What works ---- */

static void config__read__size_and_limits(void **state)
{
	(void)state;
	assert_int_equal(driver_get(&d, VIRTIO_PCI_DEVICE_OFFSET + VIRTIO_BLK_CAPACITY, 4), SECTORS);
	assert_int_equal(driver_get(&d, VIRTIO_PCI_DEVICE_OFFSET + VIRTIO_BLK_CAPACITY + 4, 4), 0);
	assert_int_equal(driver_get(&d, VIRTIO_PCI_DEVICE_OFFSET + VIRTIO_BLK_SEG_MAX, 4), VIRTIO_BLK_SEGMENTS);
	assert_int_equal(driver_get(&d, VIRTIO_PCI_DEVICE_OFFSET + VIRTIO_BLK_PHYSICAL_BLOCK_EXP, 1), 3);
	assert_int_equal(driver_get(&d, VIRTIO_PCI_DEVICE_OFFSET + VIRTIO_BLK_NUM_QUEUES, 2), 1);
	assert_int_equal(driver_get(&d, VIRTIO_PCI_DEVICE_OFFSET + VIRTIO_BLK_MAX_DISCARD_SEG, 4), 1);
	assert_true((driver_features(&d) & FEATURES) == FEATURES);
	assert_false(driver_features(&d) & VIRTIO_BLK_F_RO);
}

static void request__read_and_write__data_as_it_is(void **state)
{
	(void)state;
	for (unsigned round = 0; round < 50; round++) {
		unsigned sector = round % (SECTORS - 3);
		assert_int_equal(request(VIRTIO_BLK_T_IN, sector, 3 * 512, true), VIRTIO_BLK_S_OK);
		assert_memory_equal(d.ram + BUFFER, medium + sector * 512, 3 * 512);
		memset(d.ram + BUFFER, (int)round, 1024);
		assert_int_equal(request(VIRTIO_BLK_T_OUT, sector, 1024, false), VIRTIO_BLK_S_OK);
		assert_int_equal(medium[sector * 512], round);
		assert_int_equal(medium[sector * 512 + 1023], round);
	}
	assert_int_equal(d.fake.msi_count, 100);
	assert_int_equal(d.fake.msi[0].data, DRIVER_VECTOR + 1);
}

static void request__header_data_and_status_cut_anywhere__same(void **state)
{
	const struct driver_part parts[] = { { HEADER, 7, false },
		                             { HEADER + 7, 9, false },
		                             { BUFFER, 100, true },
		                             { BUFFER + 100, 400, true },
		                             { BUFFER + 500, 13, true } };
	uint32_t written;

	(void)state;
	header(VIRTIO_BLK_T_IN, 9);
	driver_offer(&d, 0, parts, 5);
	driver_kick(&d, 0);
	assert_true(driver_take(&d, 0, &written) >= 0);
	assert_int_equal(written, 513);
	assert_memory_equal(d.ram + BUFFER, medium + 9 * 512, 512);
	assert_int_equal(d.ram[BUFFER + 512], VIRTIO_BLK_S_OK);
}

static void request__data_of_a_write_behind_the_header_in_one_part__written(void **state)
{
	const struct driver_part parts[] = { { HEADER, 16 + 512, false }, { BUFFER, 1, true } };
	uint32_t written;

	(void)state;
	header(VIRTIO_BLK_T_OUT, 63);
	memset(d.ram + HEADER + 16, 0x5A, 512);
	driver_offer(&d, 0, parts, 2);
	driver_kick(&d, 0);
	assert_true(driver_take(&d, 0, &written) >= 0);
	assert_int_equal(d.ram[BUFFER], VIRTIO_BLK_S_OK);
	assert_int_equal(medium[63 * 512], 0x5A);
	assert_int_equal(medium[63 * 512 + 511], 0x5A);
}

static void request__flush_id_discard_zeroes__as_the_specification_says(void **state)
{
	(void)state;
	assert_int_equal(request(VIRTIO_BLK_T_FLUSH, 0, 0, false), VIRTIO_BLK_S_OK);
	assert_int_equal(request(VIRTIO_BLK_T_GET_ID, 0, BLK_SERIAL_BYTES, true), VIRTIO_BLK_S_OK);
	assert_string_equal((char *)d.ram + BUFFER, "abc");
	assert_int_equal(range(VIRTIO_BLK_T_WRITE_ZEROES, 4, 2, VIRTIO_BLK_UNMAP), VIRTIO_BLK_S_OK);
	assert_int_equal(medium[4 * 512 - 1], 4);
	assert_int_equal(medium[4 * 512] | medium[6 * 512 - 1], 0);
	assert_int_equal(medium[6 * 512], 7);
	assert_int_equal(range(VIRTIO_BLK_T_DISCARD, 10, 1, 0), VIRTIO_BLK_S_OK);
}

static void counts__requests_of_all_kinds__each_as_what_it_is(void **state)
{
	(void)state;
	request(VIRTIO_BLK_T_IN, 0, 3 * 512, true);
	request(VIRTIO_BLK_T_IN, 5, 512, true);
	request(VIRTIO_BLK_T_OUT, 1, 1024, false);
	request(VIRTIO_BLK_T_FLUSH, 0, 0, false);
	request(VIRTIO_BLK_T_GET_ID, 0, BLK_SERIAL_BYTES, true);
	request(VIRTIO_BLK_T_IN, SECTORS, 512, true);
	assert_int_equal(disk.counts.read_requests, 2);
	assert_int_equal(disk.counts.read_bytes, 4 * 512);
	assert_int_equal(disk.counts.write_requests, 1);
	assert_int_equal(disk.counts.write_bytes, 1024);
	assert_int_equal(disk.counts.flush_requests, 1);
	assert_int_equal(disk.counts.errors, 1);
}

/* ---- What a driver may not ---- */

static void request__outside_of_the_disk_or_no_whole_sectors__error(void **state)
{
	(void)state;
	assert_int_equal(request(VIRTIO_BLK_T_IN, SECTORS, 512, true), VIRTIO_BLK_S_IOERR);
	assert_int_equal(request(VIRTIO_BLK_T_IN, SECTORS - 1, 1024, true), VIRTIO_BLK_S_IOERR);
	assert_int_equal(request(VIRTIO_BLK_T_OUT, ~0ull, 512, false), VIRTIO_BLK_S_IOERR);
	assert_int_equal(request(VIRTIO_BLK_T_OUT, 1ull << 55, 512, false), VIRTIO_BLK_S_IOERR);
	assert_int_equal(request(VIRTIO_BLK_T_IN, 0, 511, true), VIRTIO_BLK_S_IOERR);
	assert_int_equal(request(VIRTIO_BLK_T_OUT, 0, 513, false), VIRTIO_BLK_S_IOERR);
	assert_int_equal(request(VIRTIO_BLK_T_IN, 0, 0, true), VIRTIO_BLK_S_IOERR);
	assert_int_equal(request(VIRTIO_BLK_T_OUT, 0, 0, false), VIRTIO_BLK_S_IOERR);
	assert_int_equal(request(VIRTIO_BLK_T_GET_ID, 0, 19, true), VIRTIO_BLK_S_IOERR);
	assert_int_equal(range(VIRTIO_BLK_T_DISCARD, SECTORS - 1, 2, 0), VIRTIO_BLK_S_IOERR);
	assert_int_equal(range(VIRTIO_BLK_T_WRITE_ZEROES, 0, VIRTIO_BLK_RANGE_SECTORS + 1, 0), VIRTIO_BLK_S_IOERR);
	assert_int_equal(medium[0], 1);
	assert_int_equal(driver_status(&d), 0x0F);
}

static void slice__much_data_in_few_requests__rest_after_the_others(void **state)
{
	const uint32_t half = 512 * (VIRTIO_BLK_SLICE_BYTES / 512 / 2);
	struct driver_part parts[12] = { { HEADER, 16, false } };
	uint32_t written;

	(void)state;
	tear_down(state);
	medium = calloc(1, half);
	blk_ram_init(&ram_disk, medium, half, false);
	make(&ram_disk.device, false, (struct virtio_blk_config){ 0 });
	driver_start(&d, 0);
	header(VIRTIO_BLK_T_IN, 0);
	for (unsigned i = 1; i <= 2; i++) /* the same memory twice: a disk of half a slice is more than the guest has */
		parts[i] = (struct driver_part){ BUFFER, half / 2, true };
	parts[3] = (struct driver_part){ STATUS, 1, true };
	for (unsigned i = 0; i < 3; i++)
		driver_offer(&d, 0, parts, 4);
	driver_kick(&d, 0);
	assert_true(driver_take(&d, 0, &written) >= 0);
	assert_true(driver_take(&d, 0, &written) >= 0);
	assert_int_equal(driver_take(&d, 0, &written), -1);
	assert_int_equal(d.fake.deadline[TIMER], d.fake.now);
	virtio_blk_timer(&disk);
	assert_true(driver_take(&d, 0, &written) >= 0);
	assert_int_equal(written, half + 1);
}

static void request__more_than_segments_of_the_largest_size__error(void **state)
{
	const uint64_t bytes = (uint64_t)VIRTIO_BLK_SEGMENTS * VIRTIO_BLK_SEGMENT_BYTES + 512;
	struct driver_part parts[DRIVER_SIZE] = { { HEADER, 16, false } };
	uint32_t written;

	(void)state;
	((struct blk_device *)&ram_disk)->sectors = bytes; /* of which nothing is touched */
	for (unsigned i = 1; i < 14; i++)
		parts[i] = (struct driver_part){ BUFFER, (uint32_t)(bytes / 13 / 512 * 512), true };
	parts[14] = (struct driver_part){ BUFFER, (uint32_t)(bytes % (bytes / 13 / 512 * 512) + 512), true };
	parts[15] = (struct driver_part){ STATUS, 1, true };
	header(VIRTIO_BLK_T_IN, 0);
	driver_offer(&d, 0, parts, DRIVER_SIZE);
	driver_kick(&d, 0);
	assert_true(driver_take(&d, 0, &written) >= 0);
	assert_int_equal(d.ram[STATUS], VIRTIO_BLK_S_IOERR);
}

static void request__unknown_kind_or_flag__unsupported(void **state)
{
	(void)state;
	for (uint32_t type = 2; type < 300; type++)
		if (type != 4 && type != 8 && type != 11 && type != 13)
			assert_int_equal(request(type, 0, 512, true), VIRTIO_BLK_S_UNSUPP);
	assert_int_equal(range(VIRTIO_BLK_T_DISCARD, 0, 1, VIRTIO_BLK_UNMAP), VIRTIO_BLK_S_UNSUPP);
	assert_int_equal(range(VIRTIO_BLK_T_WRITE_ZEROES, 0, 1, 2), VIRTIO_BLK_S_UNSUPP);
}

static void request__header_too_short__error(void **state)
{
	const struct driver_part parts[] = { { HEADER, 15, false }, { STATUS, 1, true } };
	uint32_t written;

	(void)state;
	header(VIRTIO_BLK_T_FLUSH, 0);
	driver_offer(&d, 0, parts, 2);
	driver_kick(&d, 0);
	assert_true(driver_take(&d, 0, &written) >= 0);
	assert_int_equal(d.ram[STATUS], VIRTIO_BLK_S_IOERR);
}

static void request__no_place_for_the_status__device_needs_reset(void **state)
{
	const struct driver_part parts[] = { { HEADER, 16, false } };

	(void)state;
	header(VIRTIO_BLK_T_FLUSH, 0);
	driver_offer(&d, 0, parts, 1);
	driver_kick(&d, 0);
	assert_true(driver_status(&d) & VIRTIO_STATUS_NEEDS_RESET);
	assert_int_equal(d.fake.msi[0].data, DRIVER_VECTOR);
	driver_start(&d, FEATURES);
	assert_int_equal(request(VIRTIO_BLK_T_FLUSH, 0, 0, false), VIRTIO_BLK_S_OK);
}

static void request__write_to_a_read_only_disk__error(void **state)
{
	(void)state;
	tear_down(state);
	medium = calloc(1, 512);
	blk_ram_init(&ram_disk, medium, 512, true);
	make(&ram_disk.device, false, (struct virtio_blk_config){ 0 });
	driver_start(&d, VIRTIO_BLK_F_RO);
	assert_int_equal(request(VIRTIO_BLK_T_OUT, 0, 512, false), VIRTIO_BLK_S_IOERR);
	assert_int_equal(range(VIRTIO_BLK_T_DISCARD, 0, 1, 0), VIRTIO_BLK_S_UNSUPP);
	assert_int_equal(request(VIRTIO_BLK_T_IN, 0, 512, true), VIRTIO_BLK_S_OK);
}

/* ---- Limits ---- */

static void limits__more_requests_than_allowed__rest_waits_for_its_time(void **state)
{
	const struct driver_part parts[] = { { HEADER, 16, false }, { BUFFER, 512, true }, { STATUS, 1, true } };
	uint32_t written;
	unsigned done = 0;

	(void)state;
	tear_down(state);
	medium = calloc(1, 512);
	blk_ram_init(&ram_disk, medium, 512, false);
	make(&ram_disk.device, false, (struct virtio_blk_config){ .operations_per_second = 10, .requests = 2 });
	driver_start(&d, 0);
	header(VIRTIO_BLK_T_IN, 0);
	for (unsigned i = 0; i < 5; i++)
		driver_offer(&d, 0, parts, 3);
	driver_kick(&d, 0);
	while (driver_take(&d, 0, &written) >= 0)
		done++;
	assert_int_equal(done, 1); /* the burst */
	for (unsigned i = 0; i < 4; i++) {
		uint64_t at = d.fake.deadline[TIMER];
		assert_in_range(at, d.fake.now + 90000000, d.fake.now + 101000000);
		driver_kick(&d, 0); /* nothing comes of asking again */
		assert_int_equal(driver_take(&d, 0, &written), -1);
		d.fake.now = at;
		d.fake.deadline[TIMER] = 0;
		virtio_blk_timer(&disk);
		assert_true(driver_take(&d, 0, &written) >= 0);
		assert_int_equal(d.ram[STATUS], VIRTIO_BLK_S_OK);
	}
}

/* ---- A device that takes its time ---- */

static void offer_reads(unsigned count)
{
	const struct driver_part parts[] = { { HEADER, 16, false }, { BUFFER, 512, true }, { STATUS, 1, true } };

	header(VIRTIO_BLK_T_IN, 3);
	for (unsigned i = 0; i < count; i++)
		driver_offer(&d, 0, parts, 3);
	driver_kick(&d, 0);
}

static void pending__more_than_there_is_room_for__taken_as_others_finish(void **state)
{
	uint32_t written;

	(void)state;
	offer_reads(5);
	assert_int_equal(slow.count, REQUESTS);
	assert_true(virtio_blk_is_busy(&disk));
	assert_int_equal(driver_take(&d, 0, &written), -1);
	slow_finish(2, BLK_OK); /* in any order */
	assert_int_equal(driver_take(&d, 0, &written), 6);
	assert_int_equal(d.fake.msi_count, 1);
	assert_int_equal(slow.count, REQUESTS);
	while (slow.count != 0)
		slow_finish(0, BLK_IO_ERROR);
	assert_int_equal(d.ram[STATUS], VIRTIO_BLK_S_IOERR);
	for (unsigned i = 0; i < 4; i++) {
		assert_true(driver_take(&d, 0, &written) >= 0);
		assert_int_equal(written, 0);
	}
	assert_false(virtio_blk_is_busy(&disk));
}

static void reset__requests_under_way__over_only_when_they_are(void **state)
{
	uint8_t before[16];

	(void)state;
	offer_reads(3);
	driver_set(&d, VIRTIO_COMMON_DEVICE_STATUS, 1, 0);
	assert_int_not_equal(driver_status(&d), 0);
	driver_set(&d, VIRTIO_COMMON_DEVICE_STATUS, 1, 0x0F); /* too early: ignored */
	d.ram[STATUS] = 0xEE;
	memcpy(before, d.ram + DRIVER_RING(0) + DEVICE_AREA, 16);
	slow_finish(0, BLK_OK);
	slow_finish(0, BLK_OK);
	assert_int_not_equal(driver_status(&d), 0);
	slow_finish(0, BLK_OK);
	assert_int_equal(driver_status(&d), 0);
	/* Nothing of it reached the old rings. */
	assert_int_equal(d.ram[STATUS], 0xEE);
	assert_memory_equal(before, d.ram + DRIVER_RING(0) + DEVICE_AREA, 16);
	driver_start(&d, VIRTIO_BLK_F_FLUSH);
	offer_reads(1);
	slow_finish(0, BLK_OK);
	assert_int_equal(d.ram[STATUS], VIRTIO_BLK_S_OK);
}

static void write__driver_that_knows_no_flush__done_when_it_is_on_the_medium(void **state)
{
	const struct driver_part parts[] = { { HEADER, 16, false }, { BUFFER, 512, false }, { STATUS, 1, true } };
	uint32_t written;

	(void)state;
	driver_start(&d, 0);
	header(VIRTIO_BLK_T_OUT, 3);
	driver_offer(&d, 0, parts, 3);
	driver_kick(&d, 0);
	slow_finish(0, BLK_OK);
	assert_int_equal(slow.flushes, 1);
	assert_int_equal(driver_take(&d, 0, &written), -1);
	slow_finish(0, BLK_OK);
	assert_true(driver_take(&d, 0, &written) >= 0);
	assert_int_equal(d.ram[STATUS], VIRTIO_BLK_S_OK);
	assert_false(virtio_blk_is_busy(&disk));
}

#define BOTH(name) \
	{ #name "/split", name, set_up_split, tear_down, NULL }, \
	{ \
#name "/packed", name, set_up_packed, tear_down, NULL \
	}
#define SLOW(name) cmocka_unit_test_setup_teardown(name, set_up_slow, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		BOTH(config__read__size_and_limits),
		BOTH(request__read_and_write__data_as_it_is),
		BOTH(request__header_data_and_status_cut_anywhere__same),
		BOTH(request__data_of_a_write_behind_the_header_in_one_part__written),
		BOTH(request__flush_id_discard_zeroes__as_the_specification_says),
		BOTH(counts__requests_of_all_kinds__each_as_what_it_is),
		BOTH(request__outside_of_the_disk_or_no_whole_sectors__error),
		BOTH(request__more_than_segments_of_the_largest_size__error),
		BOTH(slice__much_data_in_few_requests__rest_after_the_others),
		BOTH(request__unknown_kind_or_flag__unsupported),
		BOTH(request__header_too_short__error),
		BOTH(request__no_place_for_the_status__device_needs_reset),
		BOTH(request__write_to_a_read_only_disk__error),
		BOTH(limits__more_requests_than_allowed__rest_waits_for_its_time),
		SLOW(pending__more_than_there_is_room_for__taken_as_others_finish),
		SLOW(reset__requests_under_way__over_only_when_they_are),
		SLOW(write__driver_that_knows_no_flush__done_when_it_is_on_the_medium),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
