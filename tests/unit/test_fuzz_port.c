/*
 * The fuzz target of the memory between control VM and driver VM under a fixed series of pseudo-random inputs; and the control VM's side
 * while another thread writes into the area without pause, so that it changes between any two reads.
 *
 * UNIT_SOURCES: tests/fuzz/fuzz_port.c drivers-vm/control/net/port.c drivers-vm/control/net/port_queue.c
 * UNIT_SOURCES: drivers-vm/control/net/port_disk.c drivers-vm/driver/service_port.c drivers-vm/driver/virtqueue.c
 * UNIT_SOURCES: drivers-vm/driver/virtqueue_split.c drivers-vm/driver/virtqueue_packed.c drivers-vm/driver/io_segment.c
 * UNIT_SOURCES: drivers-vm/driver/blk_device.c drivers-vm/driver/blk_ram.c drivers-vm/driver/net_switch.c
 * UNIT_SOURCES: drivers-vm/driver/net_filter.c drivers-vm/driver/net_offload.c
 * UNIT_FLAGS: -Itests/unit -pthread
 */
#include "cmocka_all.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "drivers-vm/control/net/port.h"
#include "drivers-vm/control/net/port_private.h"
#include "drivers-vm/lib/port_area.h"

#define RUNS        6000u
#define INPUT_BYTES 2049u
#define ROUNDS      20000u

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static uint64_t random_next(uint64_t *seed)
{
	*seed ^= *seed << 13;
	*seed ^= *seed >> 7;
	*seed ^= *seed << 17;
	return *seed >> 16;
}

/* Half of the values are small, as those of indices and flags are. */
static void port__random_steps__nothing_but_their_own_is_touched(void **state)
{
	static uint8_t data[INPUT_BYTES];
	uint64_t seed = 88172645463325252ull;

	(void)state;
	for (unsigned i = 0; i < RUNS; i++) {
		for (size_t k = 0; k < INPUT_BYTES; k++) {
			uint64_t r = random_next(&seed);
			data[k] = (uint8_t)(r & 0x100 || k % 8 == 1 ? r : r & 0x600 ? r & 0x0F : 0);
		}
		assert_int_equal(LLVMFuzzerTestOneInput(data, INPUT_BYTES), 0);
	}
}

static uint8_t *area;
static bool stop;
static unsigned finished, asked;

static void *scribble(void *unused)
{
	uint64_t seed = 4711;

	while (!__atomic_load_n(&stop, __ATOMIC_RELAXED)) {
		uint64_t r = random_next(&seed);
		unsigned queue = r % PORT_AREA_QUEUES, at = (r >> 8) % 0x20 * 2;
		uint16_t value = (uint16_t)(r & 0x100000 ? (r >> 24) % 70 : r >> 24);
		if (r & 0x80000)
			at = (r >> 8) % 0x1000 & ~1u;
		else
			at += PORT_AREA_USED;
		__atomic_store_n((uint16_t *)(area + PORT_AREA_RINGS(queue) + at), value, __ATOMIC_RELAXED);
	}
	return unused;
}

static void kick(void)
{
}

static void frame(const uint8_t *bytes, size_t count)
{
	static uint8_t copy[PORT_FRAME_BYTES];

	assert_in_range(count, PORT_AREA_FRAME_BYTES_MIN, PORT_FRAME_BYTES);
	memcpy(copy, bytes, count);
}

static void done(bool ok)
{
	(void)ok;
	finished++;
}

static void port__area_changes_all_the_time__nothing_but_its_own_is_touched(void **state)
{
	static const uint8_t mac[6] = { 2, 0, 0, 0, 0, 1 };
	static uint8_t sector[512], data[1500];
	const struct port_piece piece = { data, sizeof(data) };
	pthread_t thread;

	(void)state;
	area = calloc(1, PORT_AREA_BYTES);
	assert_non_null(area);
	assert_int_equal(pthread_create(&thread, NULL, scribble, NULL), 0);
	for (unsigned i = 0; i < ROUNDS; i++) {
		if (i % 16 == 0) {
			port_net_start(area, mac, kick);
			port_disk_start(area, 8, kick);
		}
		port_net_send(&piece, 1);
		assert_true(port_net_poll(64, frame) <= 64);
		if (finished == asked) {
			asked++;
			port_disk()->read(port_disk()->ctx, i % 8, sector, sizeof(sector), done);
		}
		port_disk_poll();
	}
	__atomic_store_n(&stop, true, __ATOMIC_RELAXED);
	pthread_join(thread, NULL);
	port_net_stop();
	port_disk_end();
	port_disk_poll();
	assert_int_equal(finished, asked);
	free(area);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(port__random_steps__nothing_but_their_own_is_touched),
		cmocka_unit_test(port__area_changes_all_the_time__nothing_but_its_own_is_touched),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
