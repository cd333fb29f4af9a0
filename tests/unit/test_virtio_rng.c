/*
 * The entropy device.
 *
 * UNIT_SOURCES: drivers-vm/driver/pci_host.c drivers-vm/driver/pci_function.c
 * UNIT_SOURCES: drivers-vm/driver/pci_msix.c drivers-vm/driver/virtio_pci.c
 * UNIT_SOURCES: drivers-vm/driver/virtio_device.c drivers-vm/driver/virtio_common.c
 * UNIT_SOURCES: drivers-vm/driver/virtio_rng.c drivers-vm/driver/virtqueue.c
 * UNIT_SOURCES: drivers-vm/driver/virtqueue_split.c drivers-vm/driver/virtqueue_packed.c
 * UNIT_SOURCES: drivers-vm/driver/io_segment.c
 * UNIT_FLAGS: -Itests/unit/fake_model
 */
#include "virtio_driver.h"
#include "drivers-vm/driver/virtio_rng.h"

static struct driver d;
static struct virtio_rng rng;
static size_t left; /* what the source still has */
static uint8_t last;

static size_t entropy(void *ctx, void *to, size_t count)
{
	(void)ctx;
	if (count > left)
		count = left;
	left -= count;
	for (size_t i = 0; i < count; i++)
		((uint8_t *)to)[i] = ++last;
	return count;
}

static int set_up(bool packed)
{
	driver_init(&d);
	d.packed = packed;
	d.fake.host.entropy = entropy;
	left = 1u << 20;
	last = 0;
	virtio_rng_init(&rng, &d.fake.host, d.packed);
	driver_plug(&d, &rng.device);
	driver_start(&d, 0);
	return 0;
}

static int set_up_split(void **state)
{
	(void)state;
	return set_up(false);
}

static int set_up_packed(void **state)
{
	(void)state;
	return set_up(true);
}

static int tear_down(void **state)
{
	(void)state;
	driver_done(&d);
	return 0;
}

static uint32_t ask(uint32_t first, uint32_t second)
{
	const struct driver_part parts[] = { { DRIVER_DATA, first, true }, { DRIVER_DATA + first, second, true } };
	uint32_t written;

	driver_offer(&d, 0, parts, second != 0 ? 2 : 1);
	driver_kick(&d, 0);
	assert_true(driver_take(&d, 0, &written) >= 0);
	return written;
}

static void fill__buffers_of_any_shape__full_in_order(void **state)
{
	(void)state;
	assert_int_equal(ask(1, 0), 1);
	assert_int_equal(ask(63, 2), 65);
	assert_int_equal(ask(100, 200), 300);
	for (uint32_t i = 1; i < 300; i++)
		if (i % 64 != 0)
			assert_int_equal(d.ram[DRIVER_DATA + i], (uint8_t)(d.ram[DRIVER_DATA + i - 1] + 1));
}

static void fill__large_buffer__some_of_it(void **state)
{
	(void)state;
	assert_int_equal(ask(100000, 0), VIRTIO_RNG_BUFFER_BYTES);
	assert_int_equal(d.ram[DRIVER_DATA + VIRTIO_RNG_BUFFER_BYTES], 0);
}

static void fill__source_runs_dry__what_there_was(void **state)
{
	(void)state;
	left = 70;
	assert_int_equal(ask(100, 0), 70);
	assert_int_equal(ask(100, 0), 0);
}

static void fill__buffer_to_be_read__nothing_written(void **state)
{
	const struct driver_part part = { DRIVER_DATA, 64, false };
	uint32_t written;

	(void)state;
	driver_offer(&d, 0, &part, 1);
	driver_kick(&d, 0);
	assert_true(driver_take(&d, 0, &written) >= 0);
	assert_int_equal(written, 0);
	assert_int_equal(d.ram[DRIVER_DATA], 0);
}

#define BOTH(name) \
	{ #name "/split", name, set_up_split, tear_down, NULL }, \
	{ \
#name "/packed", name, set_up_packed, tear_down, NULL \
	}

int main(void)
{
	const struct CMUnitTest tests[] = {
		BOTH(fill__buffers_of_any_shape__full_in_order),
		BOTH(fill__large_buffer__some_of_it),
		BOTH(fill__source_runs_dry__what_there_was),
		BOTH(fill__buffer_to_be_read__nothing_written),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
