/*
 * The balloon: target, pages given up and taken back, and pages that are none.
 *
 * UNIT_SOURCES: drivers-vm/driver/pci_host.c drivers-vm/driver/pci_function.c
 * UNIT_SOURCES: drivers-vm/driver/pci_msix.c drivers-vm/driver/virtio_pci.c
 * UNIT_SOURCES: drivers-vm/driver/virtio_adopt.c
 * UNIT_SOURCES: drivers-vm/driver/virtio_device.c drivers-vm/driver/virtio_common.c
 * UNIT_SOURCES: drivers-vm/driver/virtio_balloon.c drivers-vm/driver/virtqueue.c
 * UNIT_SOURCES: drivers-vm/driver/virtqueue_split.c drivers-vm/driver/virtqueue_packed.c
 * UNIT_SOURCES: drivers-vm/driver/io_segment.c
 * UNIT_FLAGS: -Itests/unit/fake_model
 */
#include "virtio_driver.h"
#include "drivers-vm/driver/virtio_balloon.h"

static struct driver d;
static struct virtio_balloon balloon;

static int set_up(void **state)
{
	(void)state;
	driver_init(&d);
	virtio_balloon_init(&balloon, &d.fake.host, 77, false);
	driver_plug(&d, &balloon.device);
	driver_start(&d, VIRTIO_BALLOON_F_DEFLATE_ON_OOM);
	return 0;
}

static int tear_down(void **state)
{
	(void)state;
	driver_done(&d);
	return 0;
}

/* Tells of `count` pages from `page` on, in a buffer of `bytes` bytes. */
static bool tell(unsigned queue, uint32_t page, uint32_t count, uint32_t bytes)
{
	const struct driver_part parts[] = { { DRIVER_DATA, bytes / 2 / 4 * 4, false },
		                             { DRIVER_DATA + bytes / 2 / 4 * 4, bytes - bytes / 2 / 4 * 4, false } };
	uint32_t written;

	for (uint32_t i = 0; i < count; i++, page++)
		memcpy(d.ram + DRIVER_DATA + 4 * i, &page, 4);
	driver_offer(&d, queue, bytes > 4 ? parts : parts + 1, bytes > 4 ? 2 : 1);
	driver_kick(&d, queue);
	return driver_take(&d, queue, &written) >= 0;
}

static void config__target_and_actual__each_side_its_own(void **state)
{
	const uint32_t at = VIRTIO_PCI_DEVICE_OFFSET;

	(void)state;
	assert_int_equal(driver_get(&d, at + VIRTIO_BALLOON_NUM_PAGES, 4), 77);
	driver_set(&d, at + VIRTIO_BALLOON_NUM_PAGES, 4, 5);
	assert_int_equal(driver_get(&d, at + VIRTIO_BALLOON_NUM_PAGES, 4), 77);
	driver_set(&d, at + VIRTIO_BALLOON_ACTUAL, 4, 33);
	assert_int_equal(driver_get(&d, at + VIRTIO_BALLOON_ACTUAL, 4), 33);
	assert_int_equal(balloon.actual_pages, 33);
	virtio_balloon_set_target(&balloon, 77);
	assert_int_equal(d.fake.msi_count, 0);
	virtio_balloon_set_target(&balloon, 100);
	assert_int_equal(d.fake.msi_count, 1);
	assert_int_equal(d.fake.msi[0].data, DRIVER_VECTOR);
	assert_int_equal(driver_get(&d, at + VIRTIO_BALLOON_NUM_PAGES, 4), 100);
}

static void pages__given_up_and_taken_back__counted(void **state)
{
	(void)state;
	assert_true(tell(VIRTIO_BALLOON_INFLATE, 16, 256, 1024));
	assert_true(tell(VIRTIO_BALLOON_INFLATE, 1, 1, 4));
	assert_true(tell(VIRTIO_BALLOON_DEFLATE, 16, 130, 520));
	assert_int_equal(balloon.inflated, 257);
	assert_int_equal(balloon.deflated, 130);
	assert_int_equal(driver_status(&d), 0x0F);
	driver_start(&d, 0);
	assert_int_equal(balloon.inflated, 0);
}

static void pages__not_of_the_guest__device_needs_reset(void **state)
{
	(void)state;
	assert_true(tell(VIRTIO_BALLOON_INFLATE, DRIVER_RAM_BYTES / 4096 - 1, 1, 4));
	assert_false(tell(VIRTIO_BALLOON_INFLATE, DRIVER_RAM_BYTES / 4096, 1, 4));
	assert_true(driver_status(&d) & VIRTIO_STATUS_NEEDS_RESET);
	driver_start(&d, 0);
	assert_false(tell(VIRTIO_BALLOON_DEFLATE, 0xFFFFFFFF, 1, 4));
	driver_start(&d, 0);
	assert_false(tell(VIRTIO_BALLOON_INFLATE, 16, 2, 7));
	driver_start(&d, 0);
	assert_false(tell(VIRTIO_BALLOON_INFLATE, 16, 2, VIRTIO_BALLOON_REQUEST_BYTES + 4));
}

static struct {
	unsigned count;
	uint64_t first, bytes; /* of the last, within the guest's memory */
} discarded;

static bool discard_fails;

static bool discard(void *ctx, void *bytes, uint64_t count)
{
	(void)ctx;
	if (discard_fails)
		return false;
	assert_true((uint8_t *)bytes >= d.ram && count <= DRIVER_RAM_BYTES - (uint64_t)((uint8_t *)bytes - d.ram));
	discarded.count++;
	discarded.first = (uint64_t)((uint8_t *)bytes - d.ram);
	discarded.bytes = count;
	return true;
}

/* ---- Pages given up: the guest's memory here is one block, of which the rings and page numbers are a part that a guest keeps ---- */

#define BLOCK_PAGES (DRIVER_RAM_BYTES / 4096)
_Static_assert(BLOCK_PAGES == VIRTIO_BALLOON_BLOCK_PAGES, "one block");

static uint16_t block[1];

static void start_counting(uint64_t features)
{
	d.fake.host.discard = discard;
	discard_fails = false;
	discarded.count = 0;
	block[0] = 0;
	virtio_balloon_set_blocks(&balloon, block, 1);
	driver_start(&d, features);
}

static void inflate__whole_block__goes_to_the_host(void **state)
{
	(void)state;
	start_counting(VIRTIO_BALLOON_F_MUST_TELL_HOST);
	for (unsigned round = 1; round < 4; round++) {
		assert_true(tell(VIRTIO_BALLOON_INFLATE, 0, BLOCK_PAGES - 1, 4 * (BLOCK_PAGES - 1)));
		assert_int_equal(discarded.count, round - 1);
		assert_true(tell(VIRTIO_BALLOON_INFLATE, BLOCK_PAGES - 1, 1, 4));
		assert_int_equal(discarded.count, round);
		assert_int_equal(discarded.first, 0);
		assert_int_equal(discarded.bytes, VIRTIO_BALLOON_BLOCK_BYTES);
		assert_true(tell(VIRTIO_BALLOON_DEFLATE, 7, 1, 4)); /* one page: the block is the guest's again */
		assert_int_equal(discarded.count, round);
		assert_true(tell(VIRTIO_BALLOON_DEFLATE, 0, BLOCK_PAGES - 1, 4 * (BLOCK_PAGES - 1)));
		assert_int_equal(block[0], 0);
	}
	assert_true(tell(VIRTIO_BALLOON_DEFLATE, 0, 8, 32)); /* more than it gave */
	assert_int_equal(block[0], 0);
}

static void inflate__host_cannot_take_it__goes_when_the_driver_tells_more(void **state)
{
	(void)state;
	start_counting(VIRTIO_BALLOON_F_MUST_TELL_HOST);
	discard_fails = true;
	assert_true(tell(VIRTIO_BALLOON_INFLATE, 0, BLOCK_PAGES, 4 * BLOCK_PAGES));
	assert_int_equal(balloon.staying, 1);
	discard_fails = false;
	assert_true(tell(VIRTIO_BALLOON_INFLATE, 0, 1, 4));
	assert_int_equal(discarded.count, 1);
	assert_int_equal(balloon.staying, 0);
	discard_fails = true;
	assert_true(tell(VIRTIO_BALLOON_DEFLATE, 0, 1, 4));
	assert_true(tell(VIRTIO_BALLOON_INFLATE, 0, 1, 4));
	assert_int_equal(balloon.staying, 1);
	discard_fails = false;
	assert_true(tell(VIRTIO_BALLOON_DEFLATE, 0, 1, 4)); /* taken back meanwhile: it must not go */
	assert_int_equal(balloon.staying, 0);
	assert_int_equal(discarded.count, 1);
}

/* A driver that uses pages before it says so, one that starts anew, and a driver VM that comes after this one. */
static void inflate__count_not_sure__stays(void **state)
{
	struct virtio_balloon old;

	(void)state;
	start_counting(0);
	assert_true(tell(VIRTIO_BALLOON_INFLATE, 0, BLOCK_PAGES, 4 * BLOCK_PAGES));
	assert_int_equal(block[0], 0);
	start_counting(VIRTIO_BALLOON_F_MUST_TELL_HOST);
	assert_true(tell(VIRTIO_BALLOON_INFLATE, 0, BLOCK_PAGES - 1, 4 * (BLOCK_PAGES - 1)));
	driver_start(&d, VIRTIO_BALLOON_F_MUST_TELL_HOST);
	assert_true(tell(VIRTIO_BALLOON_INFLATE, BLOCK_PAGES - 1, 1, 4));
	assert_int_equal(block[0], 1);
	memcpy(&old, &balloon, sizeof(old));
	block[0] = 0;
	virtio_balloon_adopt(&balloon, &old);
	assert_int_equal(block[0], 0);
	assert_int_equal(discarded.count, 0);
}

/* A report of one range, on either of the numbers that the queue may have; memory that the guest wants to be read is not reported. */
static void report__free_memory__goes_to_the_host(void **state)
{
	static const unsigned queues[] = { VIRTIO_BALLOON_REPORT, VIRTIO_BALLOON_REPORT_BY_SPEC };
	uint32_t written;

	(void)state;
	d.fake.host.discard = discard;
	for (unsigned i = 0; i < 2; i++) {
		const struct driver_part parts[] = { { DRIVER_DATA, 64, false }, { DRIVER_DATA + 4096, 8192, true } };
		discarded.count = 0;
		driver_offer(&d, queues[i], parts, 2);
		driver_kick(&d, queues[i]);
		assert_true(driver_take(&d, queues[i], &written) >= 0);
		assert_int_equal(discarded.count, 1);
		assert_int_equal(discarded.first, DRIVER_DATA + 4096);
		assert_int_equal(discarded.bytes, 8192);
		assert_int_equal(written, 0);
	}
	d.fake.host.discard = NULL;
	driver_offer(&d, VIRTIO_BALLOON_REPORT, &(struct driver_part){ DRIVER_DATA, 4096, true }, 1);
	driver_kick(&d, VIRTIO_BALLOON_REPORT);
	assert_true(driver_take(&d, VIRTIO_BALLOON_REPORT, &written) >= 0);
}

static void report__not_of_the_guest__device_needs_reset(void **state)
{
	uint32_t written;

	(void)state;
	d.fake.host.discard = discard;
	discarded.count = 0;
	driver_offer(&d, VIRTIO_BALLOON_REPORT, &(struct driver_part){ DRIVER_RAM_BYTES - 4096, 8192, true }, 1);
	driver_kick(&d, VIRTIO_BALLOON_REPORT);
	assert_true(driver_take(&d, VIRTIO_BALLOON_REPORT, &written) < 0);
	assert_true(driver_status(&d) & VIRTIO_STATUS_NEEDS_RESET);
	assert_int_equal(discarded.count, 0);
}

#define CASE(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		CASE(config__target_and_actual__each_side_its_own),
		CASE(pages__given_up_and_taken_back__counted),
		CASE(pages__not_of_the_guest__device_needs_reset),
		CASE(inflate__whole_block__goes_to_the_host),
		CASE(inflate__host_cannot_take_it__goes_when_the_driver_tells_more),
		CASE(inflate__count_not_sure__stays),
		CASE(report__free_memory__goes_to_the_host),
		CASE(report__not_of_the_guest__device_needs_reset),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
