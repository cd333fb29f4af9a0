/*
 * Packed rings on fake guest memory: what a driver may do, everything it may not, and rings of random bytes.
 *
 * UNIT_SOURCES: drivers-vm/driver/virtqueue.c drivers-vm/driver/virtqueue_split.c
 * UNIT_SOURCES: drivers-vm/driver/virtqueue_packed.c drivers-vm/driver/io_segment.c
 */
#include "drivers-vm/driver/virtqueue.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#define RAM_BYTES 0x10000u
#define SIZE      6u /* need not be a power of two: 2.8.10.1 */
#define RING      0x1000u
#define DRIVER    0x2000u
#define DEVICE    0x3000u
#define TABLE     0x4002u
#define DATA      0x8000u

static uint8_t *ram; /* exactly RAM_BYTES, so that the sanitizer sees each byte beyond */
static struct model_host host;
static struct virtqueue queue;
static struct io_segment segments[SIZE];
static struct virtqueue_chain chain = { .segment = segments };
static unsigned next; /* the driver's place, */
static bool wrap;     /* and its wrap counter */

static void *guest_ram(void *ctx, uint64_t gpa, uint64_t bytes)
{
	(void)ctx;
	return gpa <= RAM_BYTES && bytes <= RAM_BYTES - gpa ? ram + gpa : NULL;
}

static void put16(unsigned at, uint16_t value)
{
	memcpy(ram + at, &value, 2);
}

static uint16_t get16(unsigned at)
{
	uint16_t value;

	memcpy(&value, ram + at, 2);
	return value;
}

static void put_desc(unsigned table, unsigned index, uint64_t addr, uint32_t len, uint16_t id, uint16_t flags)
{
	struct virtq_packed_desc desc = { addr, len, id, flags };

	memcpy(ram + table + 16 * index, &desc, 16);
}

static struct virtq_packed_desc used_at(unsigned place)
{
	struct virtq_packed_desc desc;

	memcpy(&desc, ram + RING + 16 * place, 16);
	return desc;
}

static void offer(uint64_t addr, uint32_t len, uint16_t id, uint16_t flags)
{
	put_desc(RING, next, addr, len, id, flags | (wrap ? VIRTQ_PACKED_F_AVAIL : VIRTQ_PACKED_F_USED));
	if (++next == SIZE) {
		next = 0;
		wrap = !wrap;
	}
}

static void enable(bool event_idx)
{
	memset(ram + RING, 0, 16 * SIZE);
	virtqueue_init(&queue, &host, SIZE);
	queue.desc_gpa = RING;
	queue.driver_gpa = DRIVER;
	queue.device_gpa = DEVICE;
	queue.event_idx = event_idx;
	queue.indirect = true;
	queue.packed = true;
	assert_true(virtqueue_enable(&queue));
	next = 0;
	wrap = true;
}

static int set_up(void **state)
{
	(void)state;
	ram = calloc(1, RAM_BYTES);
	host.guest_ram = guest_ram;
	enable(false);
	return 0;
}

static int tear_down(void **state)
{
	(void)state;
	free(ram);
	return 0;
}

/* ---- What a driver may do ---- */

static void virtqueue_enable__areas_misaligned_or_outside_ram__refused(void **state)
{
	const uint64_t places[][3] = {
		{ RING + 8, DRIVER, DEVICE },       { RING, DRIVER + 2, DEVICE }, { RING, DRIVER, DEVICE + 1 },
		{ RAM_BYTES - 16, DRIVER, DEVICE }, { RING, RAM_BYTES, DEVICE },  { RING, DRIVER, ~0ull - 3 },
	};

	(void)state;
	for (unsigned i = 0; i < sizeof(places) / sizeof(*places); i++) {
		virtqueue_init(&queue, &host, SIZE);
		queue.packed = true;
		queue.desc_gpa = places[i][0];
		queue.driver_gpa = places[i][1];
		queue.device_gpa = places[i][2];
		assert_false(virtqueue_enable(&queue));
		assert_int_equal(virtqueue_pop(&queue, &chain), VIRTQUEUE_BROKEN);
	}
}

static void virtqueue_pop__chains_over_many_rounds__each_once_and_back_where_they_belong(void **state)
{
	unsigned used_place = 0;
	bool used_wrap = true;

	(void)state;
	for (unsigned i = 0; i < 1000; i++) {
		unsigned parts = i % 3 + 1;
		assert_int_equal(virtqueue_pop(&queue, &chain), VIRTQUEUE_EMPTY);
		for (unsigned p = 0; p < parts; p++)
			offer(DATA + 16 * p, 8 + p, (uint16_t)(i % 7),
			      (p + 1 < parts ? VIRTQ_DESC_F_NEXT : 0) | (p == 2 ? VIRTQ_DESC_F_WRITE : 0));
		assert_int_equal(virtqueue_pop(&queue, &chain), VIRTQUEUE_CHAIN);
		assert_int_equal(chain.buffer.id, i % 7);
		assert_int_equal(chain.buffer.places, parts);
		assert_int_equal(chain.readable, parts == 3 ? 2 : parts);
		assert_int_equal(chain.writable, parts == 3);
		assert_ptr_equal(chain.segment[0].bytes, ram + DATA);
		virtqueue_push(&queue, chain.buffer, i % 2 * 5);
		const struct virtq_packed_desc used = used_at(used_place);
		assert_int_equal(used.id, i % 7);
		assert_int_equal(used.len, i % 2 * 5);
		assert_int_equal(used.flags,
		                 (used_wrap ? VIRTQ_PACKED_F_AVAIL | VIRTQ_PACKED_F_USED : 0) | (i % 2 ? VIRTQ_DESC_F_WRITE : 0));
		used_place += parts;
		if (used_place >= SIZE) {
			used_place -= SIZE;
			used_wrap = !used_wrap;
		}
	}
}

static void virtqueue_pop__indirect_table__followed(void **state)
{
	(void)state;
	put_desc(TABLE, 0, DATA, 4, 99, VIRTQ_DESC_F_NEXT); /* NEXT means nothing there: 2.8.7 */
	put_desc(TABLE, 1, DATA + 4, 5, 98, VIRTQ_DESC_F_WRITE);
	offer(TABLE, 32, 3, VIRTQ_DESC_F_INDIRECT);
	assert_int_equal(virtqueue_pop(&queue, &chain), VIRTQUEUE_CHAIN);
	assert_int_equal(chain.buffer.id, 3);
	assert_int_equal(chain.buffer.places, 1);
	assert_int_equal(chain.readable_bytes, 4);
	assert_int_equal(chain.writable_bytes, 5);
}

static void virtqueue_push_many__several__driver_sees_them_at_once(void **state)
{
	struct virtqueue_buffer buffer[3];
	const uint32_t written[3] = { 1, 2, 3 };

	(void)state;
	for (uint16_t i = 0; i < 3; i++) {
		offer(DATA, 4, i, VIRTQ_DESC_F_WRITE);
		virtqueue_pop(&queue, &chain);
		buffer[i] = chain.buffer;
	}
	virtqueue_push_many(&queue, buffer, written, 3);
	for (unsigned i = 0; i < 3; i++) {
		assert_int_equal(used_at(i).id, i);
		assert_int_equal(used_at(i).len, i + 1);
		assert_true(used_at(i).flags & VIRTQ_PACKED_F_USED);
	}
}

static void virtqueue_rewind__taken_but_not_used__taken_again(void **state)
{
	(void)state;
	for (unsigned round = 0; round < 20; round++) {
		const struct virtqueue_place mark = virtqueue_mark(&queue);
		offer(DATA, 4, 1, 0);
		offer(DATA + 8, 4, 2, 0);
		assert_int_equal(virtqueue_pop(&queue, &chain), VIRTQUEUE_CHAIN);
		assert_int_equal(virtqueue_pop(&queue, &chain), VIRTQUEUE_CHAIN);
		virtqueue_rewind(&queue, mark);
		for (uint16_t id = 1; id <= 2; id++) {
			assert_int_equal(virtqueue_pop(&queue, &chain), VIRTQUEUE_CHAIN);
			assert_int_equal(chain.buffer.id, id);
			virtqueue_push(&queue, chain.buffer, 0);
		}
	}
}

/* ---- What it may not ---- */

static void expect_broken(void)
{
	assert_int_equal(virtqueue_pop(&queue, &chain), VIRTQUEUE_BROKEN);
	enable(false);
	offer(DATA, 4, 0, 0);
	assert_int_equal(virtqueue_pop(&queue, &chain), VIRTQUEUE_CHAIN);
	enable(false);
}

static void virtqueue_pop__against_the_rules__broken(void **state)
{
	(void)state;
	offer(RAM_BYTES - 3, 4, 0, 0);
	expect_broken();
	offer(DATA, 0, 0, 0);
	expect_broken();
	offer(DATA, 4, 0, VIRTQ_DESC_F_WRITE | VIRTQ_DESC_F_NEXT);
	offer(DATA, 4, 0, 0);
	expect_broken();
	for (unsigned i = 0; i < SIZE; i++) /* a chain without an end */
		offer(DATA, 4, 0, VIRTQ_DESC_F_NEXT);
	expect_broken();
	offer(DATA, 4, 0, VIRTQ_DESC_F_NEXT);
	offer(TABLE, 16, 0, VIRTQ_DESC_F_INDIRECT); /* not alone */
	expect_broken();
	offer(TABLE, 0, 0, VIRTQ_DESC_F_INDIRECT);
	expect_broken();
	offer(TABLE, 24, 0, VIRTQ_DESC_F_INDIRECT);
	expect_broken();
	offer(TABLE, 16 * (SIZE + 1), 0, VIRTQ_DESC_F_INDIRECT);
	expect_broken();
	offer(RAM_BYTES - 16, 32, 0, VIRTQ_DESC_F_INDIRECT);
	expect_broken();
	queue.indirect = false;
	put_desc(TABLE, 0, DATA, 4, 0, 0);
	offer(TABLE, 16, 0, VIRTQ_DESC_F_INDIRECT);
	expect_broken();
}

static void virtqueue_pop__more_on_offer_than_the_ring_holds__broken(void **state)
{
	(void)state;
	for (unsigned i = 0; i < SIZE; i++) {
		offer(DATA, 4, (uint16_t)i, 0);
		assert_int_equal(virtqueue_pop(&queue, &chain), VIRTQUEUE_CHAIN);
	}
	offer(DATA, 4, 0, 0); /* none was given back */
	assert_int_equal(virtqueue_pop(&queue, &chain), VIRTQUEUE_BROKEN);
}

/* ---- Notifications ---- */

static void use(unsigned count)
{
	for (unsigned i = 0; i < count; i++) {
		offer(DATA, 4, 0, 0);
		assert_int_equal(virtqueue_pop(&queue, &chain), VIRTQUEUE_CHAIN);
		virtqueue_push(&queue, chain.buffer, 0);
	}
}

static void virtqueue_should_signal__flags__as_the_driver_says(void **state)
{
	(void)state;
	assert_false(virtqueue_should_signal(&queue));
	use(1);
	assert_true(virtqueue_should_signal(&queue));
	assert_false(virtqueue_should_signal(&queue));
	put16(DRIVER + 2, VIRTQ_EVENT_DISABLE);
	use(1);
	assert_false(virtqueue_should_signal(&queue));
}

static void virtqueue_should_signal__event__just_when_its_descriptor_is_passed(void **state)
{
	(void)state;
	enable(true);
	put16(DRIVER + 2, VIRTQ_EVENT_DESC);
	for (unsigned place = 0; place < 4 * SIZE; place++) {
		/* The driver waits for the third one from here. */
		unsigned wanted = place + 2;
		put16(DRIVER, (uint16_t)(wanted % SIZE | (wanted / SIZE % 2 == 0 ? VIRTQ_EVENT_WRAP : 0)));
		use(1);
		assert_false(virtqueue_should_signal(&queue));
		use(1);
		assert_false(virtqueue_should_signal(&queue));
		use(1);
		assert_true(virtqueue_should_signal(&queue));
		use(1);
		assert_false(virtqueue_should_signal(&queue));
		place += 3;
	}
}

static void virtqueue_want_kicks__with_and_without_events__written_for_the_driver(void **state)
{
	(void)state;
	assert_false(virtqueue_want_kicks(&queue, false));
	assert_int_equal(get16(DEVICE + 2), VIRTQ_EVENT_DISABLE);
	offer(DATA, 4, 0, 0);
	assert_true(virtqueue_want_kicks(&queue, true));
	assert_int_equal(get16(DEVICE + 2), VIRTQ_EVENT_ENABLE);
	enable(true);
	use(SIZE + 2);
	assert_false(virtqueue_want_kicks(&queue, true));
	assert_int_equal(get16(DEVICE + 2), VIRTQ_EVENT_DESC);
	assert_int_equal(get16(DEVICE), 2);
	use(SIZE);
	virtqueue_want_kicks(&queue, true);
	assert_int_equal(get16(DEVICE), 2 | VIRTQ_EVENT_WRAP);
}

/* ---- Anything at all ---- */

static uint32_t random_next(uint32_t *seed)
{
	*seed = *seed * 1664525u + 1013904223u;
	return *seed >> 8;
}

static void check_chain(void)
{
	assert_in_range(chain.readable + chain.writable, 1, SIZE);
	for (unsigned i = 0; i < chain.readable + chain.writable; i++) {
		const struct io_segment *s = &chain.segment[i];
		assert_true(s->bytes >= ram && s->count > 0 && s->count <= RAM_BYTES);
		assert_true((size_t)(s->bytes - ram) <= RAM_BYTES - s->count);
	}
}

static void virtqueue_pop__random_rings__every_chain_lies_in_ram(void **state)
{
	uint32_t seed = 1;
	unsigned chains = 0;

	(void)state;
	for (unsigned round = 0; round < 20000; round++) {
		enable(round % 2);
		for (unsigned table = RING; table <= TABLE; table += TABLE - RING)
			for (unsigned i = 0; i < SIZE; i++)
				put_desc(table, i, random_next(&seed) % 4 ? DATA + random_next(&seed) % 0x7000 : TABLE,
				         random_next(&seed) % 2 ? random_next(&seed) % 6 * 16 : random_next(&seed) % 0x1200,
				         (uint16_t)random_next(&seed),
				         (uint16_t)((random_next(&seed) % 4 ? random_next(&seed) % 8 : random_next(&seed)) |
				                    VIRTQ_PACKED_F_AVAIL));
		for (unsigned i = 0; i < 4 * SIZE && virtqueue_pop(&queue, &chain) == VIRTQUEUE_CHAIN; i++) {
			check_chain();
			chains++;
			virtqueue_write(&chain, random_next(&seed) % 64, "some text", 9);
			if (random_next(&seed) % 2)
				virtqueue_push(&queue, chain.buffer, 9);
			virtqueue_should_signal(&queue);
			virtqueue_want_kicks(&queue, chains % 2);
		}
	}
	assert_true(chains > 1000);
}

#define CASE(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		CASE(virtqueue_enable__areas_misaligned_or_outside_ram__refused),
		CASE(virtqueue_pop__chains_over_many_rounds__each_once_and_back_where_they_belong),
		CASE(virtqueue_pop__indirect_table__followed),
		CASE(virtqueue_push_many__several__driver_sees_them_at_once),
		CASE(virtqueue_rewind__taken_but_not_used__taken_again),
		CASE(virtqueue_pop__against_the_rules__broken),
		CASE(virtqueue_pop__more_on_offer_than_the_ring_holds__broken),
		CASE(virtqueue_should_signal__flags__as_the_driver_says),
		CASE(virtqueue_should_signal__event__just_when_its_descriptor_is_passed),
		CASE(virtqueue_want_kicks__with_and_without_events__written_for_the_driver),
		CASE(virtqueue_pop__random_rings__every_chain_lies_in_ram),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
