/*
 * The fuzz target of the virtio devices under a fixed series of pseudo-random inputs, so that every run of
 * the tests covers it.
 *
 * UNIT_SOURCES: tests/fuzz/fuzz_virtio.c
 * UNIT_SOURCES: drivers-vm/driver/pci_host.c drivers-vm/driver/pci_function.c
 * UNIT_SOURCES: drivers-vm/driver/pci_msix.c drivers-vm/driver/virtio_pci.c
 * UNIT_SOURCES: drivers-vm/driver/virtio_adopt.c
 * UNIT_SOURCES: drivers-vm/driver/virtio_device.c drivers-vm/driver/virtio_common.c
 * UNIT_SOURCES: drivers-vm/driver/virtio_console.c drivers-vm/driver/virtio_blk.c
 * UNIT_SOURCES: drivers-vm/driver/virtio_net.c drivers-vm/driver/virtio_rng.c
 * UNIT_SOURCES: drivers-vm/driver/virtio_balloon.c drivers-vm/driver/blk_device.c
 * UNIT_SOURCES: drivers-vm/driver/blk_ram.c drivers-vm/driver/net_switch.c
 * UNIT_SOURCES: drivers-vm/driver/net_filter.c drivers-vm/driver/net_offload.c
 * UNIT_SOURCES: drivers-vm/driver/token_bucket.c drivers-vm/driver/virtqueue.c
 * UNIT_SOURCES: drivers-vm/driver/virtqueue_split.c drivers-vm/driver/virtqueue_packed.c
 * UNIT_SOURCES: drivers-vm/driver/io_segment.c
 */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#define RUNS        20000u
#define INPUT_BYTES 2048u

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static uint64_t seed = 88172645463325252ull;

static uint32_t random_next(void)
{
	seed ^= seed << 13;
	seed ^= seed >> 7;
	seed ^= seed << 17;
	return (uint32_t)(seed >> 16);
}

/* Half of the bytes are small, as those of rings and registers are. */
static void fill(uint8_t *data, size_t size)
{
	for (size_t i = 0; i < size; i++) {
		uint32_t r = random_next();
		data[i] = (uint8_t)(r & 0x100 ? r : r & 0x600 ? r & 0x0F : 0);
	}
}

static void devices__random_drivers__nothing_but_their_own_is_touched(void **state)
{
	uint8_t data[INPUT_BYTES];

	(void)state;
	for (unsigned i = 0; i < RUNS; i++) {
		size_t size = i % 2 ? INPUT_BYTES : 256 + random_next() % (INPUT_BYTES - 256);
		fill(data, size);
		data[0] = (uint8_t)random_next();
		assert_int_equal(LLVMFuzzerTestOneInput(data, size), 0);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(devices__random_drivers__nothing_but_their_own_is_touched),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
