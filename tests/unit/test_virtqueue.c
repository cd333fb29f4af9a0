/* virtqueue on fake guest memory: what a driver may do, everything it may not, and rings of random bytes. */
/*
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
#define SIZE      8u
#define DESC      0x1000u
#define AVAIL     0x2000u
#define USED      0x3000u
#define TABLE     0x4002u /* indirect tables need no alignment */
#define DATA      0x8000u

static uint8_t *ram; /* exactly RAM_BYTES, so that the sanitizer sees each byte beyond */
static struct model_host host;
static struct virtqueue queue;
static struct io_segment segments[SIZE];
static struct virtqueue_chain chain = { .segment = segments };

static void *guest_ram(void *ctx, uint64_t gpa, uint64_t bytes)
{
	assert_ptr_equal(ctx, &host);
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

static uint32_t get32(unsigned at)
{
	uint32_t value;

	memcpy(&value, ram + at, 4);
	return value;
}

static void put_desc(unsigned table, unsigned index, uint64_t addr, uint32_t len, uint16_t flags, uint16_t next)
{
	struct virtq_desc desc = { addr, len, flags, next };

	memcpy(ram + table + 16 * index, &desc, 16);
}

static void offer(uint16_t head)
{
	uint16_t index = get16(AVAIL + 2);

	put16(AVAIL + 4 + 2 * (index % SIZE), head);
	put16(AVAIL + 2, (uint16_t)(index + 1));
}

static void enable(bool event_idx)
{
	virtqueue_init(&queue, &host, SIZE);
	queue.desc_gpa = DESC;
	queue.driver_gpa = AVAIL;
	queue.device_gpa = USED;
	queue.event_idx = event_idx;
	queue.indirect = true;
	assert_true(virtqueue_enable(&queue));
}

static int set_up(void **state)
{
	(void)state;
	ram = calloc(1, RAM_BYTES);
	host.ctx = &host;
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

static void expect_broken(void)
{
	assert_int_equal(virtqueue_pop(&queue, &chain), VIRTQUEUE_BROKEN);
	/* For good: also when the ring looks right again. */
	put_desc(DESC, 0, DATA, 16, 0, 0);
	assert_int_equal(virtqueue_pop(&queue, &chain), VIRTQUEUE_BROKEN);
	virtqueue_push(&queue, (struct virtqueue_buffer){ 0 }, 0);
	assert_int_equal(get16(USED + 2), 0);
}

/* ---- Setting up ---- */

static void virtqueue_enable__wrong_size__refused(void **state)
{
	const uint16_t sizes[] = { 0, 3, 2 * VIRTQUEUE_SIZE_MAX, 0xFFFF };

	(void)state;
	for (unsigned i = 0; i < sizeof(sizes) / sizeof(*sizes); i++) {
		virtqueue_init(&queue, &host, sizes[i]);
		assert_false(virtqueue_enable(&queue));
		assert_int_equal(virtqueue_pop(&queue, &chain), VIRTQUEUE_BROKEN);
	}
}

static void virtqueue_enable__ring_misaligned_or_outside_ram__refused(void **state)
{
	const uint64_t places[][3] = {
		{ DESC + 8, AVAIL, USED },       { DESC, AVAIL + 1, USED },     { DESC, AVAIL, USED + 2 },
		{ RAM_BYTES - 16, AVAIL, USED }, { DESC, RAM_BYTES - 2, USED }, { DESC, AVAIL, ~0ull - 3 },
	};

	(void)state;
	for (unsigned i = 0; i < sizeof(places) / sizeof(*places); i++) {
		virtqueue_init(&queue, &host, SIZE);
		queue.desc_gpa = places[i][0];
		queue.driver_gpa = places[i][1];
		queue.device_gpa = places[i][2];
		assert_false(virtqueue_enable(&queue));
		virtqueue_push(&queue, (struct virtqueue_buffer){ 0 }, 0);
		assert_false(virtqueue_should_signal(&queue));
		assert_false(virtqueue_want_kicks(&queue, true));
	}
}

static void virtqueue_enable__rings_end_with_ram__works_to_the_last_byte(void **state)
{
	(void)state;
	virtqueue_init(&queue, &host, SIZE);
	queue.desc_gpa = DESC;
	queue.driver_gpa = AVAIL;
	queue.device_gpa = RAM_BYTES - (6 + 8 * SIZE + 2);
	queue.event_idx = true;
	assert_true(virtqueue_enable(&queue));
	for (unsigned i = 0; i < SIZE; i++)
		virtqueue_push(&queue, (struct virtqueue_buffer){ .id = (uint16_t)i }, 1);
	assert_false(virtqueue_want_kicks(&queue, true));
}

static void virtqueue_pop__not_enabled__empty(void **state)
{
	(void)state;
	virtqueue_init(&queue, &host, SIZE);
	assert_int_equal(virtqueue_pop(&queue, &chain), VIRTQUEUE_EMPTY);
	virtqueue_push(&queue, (struct virtqueue_buffer){ 0 }, 0);
	assert_false(virtqueue_should_signal(&queue));
}

/* ---- What a driver may do ---- */

static void virtqueue_pop__chain_of_both_kinds__segments_in_order(void **state)
{
	uint8_t bytes[16];

	(void)state;
	memcpy(ram + DATA, "abcdef", 6);
	put_desc(DESC, 5, DATA, 4, VIRTQ_DESC_F_NEXT, 2);
	put_desc(DESC, 2, DATA + 4, 2, VIRTQ_DESC_F_NEXT, 7);
	put_desc(DESC, 7, DATA + 0x100, 3, VIRTQ_DESC_F_WRITE | VIRTQ_DESC_F_NEXT, 0);
	put_desc(DESC, 0, DATA + 0x200, 8, VIRTQ_DESC_F_WRITE, 0);
	offer(5);
	assert_int_equal(virtqueue_pop(&queue, &chain), VIRTQUEUE_CHAIN);
	assert_int_equal(chain.buffer.id, 5);
	assert_int_equal(chain.readable, 2);
	assert_int_equal(chain.writable, 2);
	assert_int_equal(chain.readable_bytes, 6);
	assert_int_equal(chain.writable_bytes, 11);
	assert_int_equal(virtqueue_read(&chain, 0, bytes, sizeof(bytes)), 6);
	assert_memory_equal(bytes, "abcdef", 6);
	assert_int_equal(virtqueue_read(&chain, 3, bytes, 2), 2);
	assert_memory_equal(bytes, "de", 2);
	assert_int_equal(virtqueue_read(&chain, 6, bytes, 2), 0);
	assert_int_equal(virtqueue_write(&chain, 2, "0123456789", 10), 9);
	assert_memory_equal(ram + DATA + 0x100, "\0\0000", 3);
	assert_memory_equal(ram + DATA + 0x200, "12345678", 9);
	assert_int_equal(virtqueue_pop(&queue, &chain), VIRTQUEUE_EMPTY);
}

static void virtqueue_pop__indirect_table__followed(void **state)
{
	(void)state;
	/* 2.7.5.3.2: the write flag of the descriptor that refers to the table is ignored. */
	put_desc(DESC, 1, DATA, 4, VIRTQ_DESC_F_NEXT, 3);
	put_desc(DESC, 3, TABLE, 48, VIRTQ_DESC_F_INDIRECT | VIRTQ_DESC_F_WRITE, 0);
	put_desc(TABLE, 0, DATA + 4, 5, VIRTQ_DESC_F_NEXT, 2);
	put_desc(TABLE, 2, DATA + 9, 6, VIRTQ_DESC_F_WRITE, 1);
	offer(1);
	assert_int_equal(virtqueue_pop(&queue, &chain), VIRTQUEUE_CHAIN);
	assert_int_equal(chain.readable_bytes, 9);
	assert_int_equal(chain.writable_bytes, 6);
}

static void virtqueue_pop__more_rounds_than_the_ring_and_its_index_hold__each_buffer_once(void **state)
{
	(void)state;
	put_desc(DESC, 0, DATA, 4, 0, 0);
	put_desc(DESC, 1, DATA, 4, 0, 0);
	for (unsigned i = 0; i < 0x10010; i++) {
		offer(i % 2);
		assert_int_equal(virtqueue_pop(&queue, &chain), VIRTQUEUE_CHAIN);
		assert_int_equal(chain.buffer.id, i % 2);
		assert_int_equal(virtqueue_pop(&queue, &chain), VIRTQUEUE_EMPTY);
		virtqueue_push(&queue, chain.buffer, i);
		assert_int_equal(get16(USED + 2), (uint16_t)(i + 1));
		assert_int_equal(get32(USED + 4 + 8 * (i % SIZE)), i % 2);
		assert_int_equal(get32(USED + 8 + 8 * (i % SIZE)), i);
	}
}

/* ---- What it may not ---- */

static void virtqueue_pop__index_ahead_of_the_ring__broken(void **state)
{
	(void)state;
	put_desc(DESC, 0, DATA, 4, 0, 0);
	put16(AVAIL + 2, SIZE + 1);
	expect_broken();
}

static void virtqueue_pop__head_outside_the_table__broken(void **state)
{
	(void)state;
	offer(SIZE);
	expect_broken();
}

static void virtqueue_pop__next_outside_the_table__broken(void **state)
{
	(void)state;
	put_desc(DESC, 0, DATA, 4, VIRTQ_DESC_F_NEXT, 0xFFFF);
	offer(0);
	expect_broken();
}

static void virtqueue_pop__loop__broken(void **state)
{
	(void)state;
	put_desc(DESC, 0, DATA, 4, VIRTQ_DESC_F_NEXT, 1);
	put_desc(DESC, 1, DATA, 4, VIRTQ_DESC_F_NEXT, 0);
	offer(0);
	expect_broken();
}

static void virtqueue_pop__loop_in_indirect_table__broken(void **state)
{
	(void)state;
	put_desc(DESC, 0, TABLE, 16 * 600, VIRTQ_DESC_F_INDIRECT, 0);
	put_desc(TABLE, 0, DATA, 4, VIRTQ_DESC_F_NEXT, 0);
	offer(0);
	expect_broken();
}

static void virtqueue_pop__chain_longer_than_the_queue__broken(void **state)
{
	(void)state;
	put_desc(DESC, 0, TABLE, 16 * (SIZE + 1), VIRTQ_DESC_F_INDIRECT, 0);
	for (uint16_t i = 0; i <= SIZE; i++)
		put_desc(TABLE, i, DATA, 4, i < SIZE ? VIRTQ_DESC_F_NEXT : 0, i + 1);
	offer(0);
	expect_broken();
}

static void virtqueue_pop__chain_as_long_as_the_queue__taken(void **state)
{
	(void)state;
	for (uint16_t i = 0; i < SIZE; i++)
		put_desc(DESC, i, DATA, 4, i < SIZE - 1 ? VIRTQ_DESC_F_NEXT : 0, i + 1);
	offer(0);
	assert_int_equal(virtqueue_pop(&queue, &chain), VIRTQUEUE_CHAIN);
	assert_int_equal(chain.readable, SIZE);
}

static void virtqueue_pop__buffer_outside_ram__broken(void **state)
{
	const struct {
		uint64_t addr;
		uint32_t len;
	} wrong[] = { { RAM_BYTES - 3, 4 }, { ~0ull - 1, 4 }, { DATA, 0xFFFFFFFF }, { 1ull << 63, 1 } };

	for (unsigned i = 0; i < sizeof(wrong) / sizeof(*wrong); i++) {
		tear_down(state);
		set_up(state);
		put_desc(DESC, 0, wrong[i].addr, wrong[i].len, 0, 0);
		offer(0);
		expect_broken();
	}
}

static void virtqueue_pop__empty_buffer__broken(void **state)
{
	(void)state;
	put_desc(DESC, 0, DATA, 0, VIRTQ_DESC_F_NEXT, 0);
	offer(0);
	expect_broken();
}

static void virtqueue_pop__readable_behind_writable__broken(void **state)
{
	(void)state;
	put_desc(DESC, 0, DATA, 4, VIRTQ_DESC_F_WRITE | VIRTQ_DESC_F_NEXT, 1);
	put_desc(DESC, 1, DATA, 4, 0, 0);
	offer(0);
	expect_broken();
}

static void virtqueue_pop__indirect_against_the_rules__broken(void **state)
{
	const struct {
		uint64_t addr;
		uint32_t len;
		uint16_t flags, inner;
	} wrong[] = {
		{ TABLE, 32, VIRTQ_DESC_F_INDIRECT | VIRTQ_DESC_F_NEXT, 0 },
		{ TABLE, 0, VIRTQ_DESC_F_INDIRECT, 0 },
		{ TABLE, 24, VIRTQ_DESC_F_INDIRECT, 0 },
		{ TABLE, 16, VIRTQ_DESC_F_INDIRECT, VIRTQ_DESC_F_INDIRECT },
		{ RAM_BYTES - 16, 32, VIRTQ_DESC_F_INDIRECT, 0 },
		{ TABLE, 16, VIRTQ_DESC_F_INDIRECT, VIRTQ_DESC_F_NEXT },
	};

	for (unsigned i = 0; i < sizeof(wrong) / sizeof(*wrong); i++) {
		tear_down(state);
		set_up(state);
		put_desc(DESC, 0, wrong[i].addr, wrong[i].len, wrong[i].flags, 0);
		put_desc(TABLE, 0, DATA, 16, wrong[i].inner, 1);
		offer(0);
		expect_broken();
	}
}

static void virtqueue_pop__indirect_not_negotiated__broken(void **state)
{
	(void)state;
	queue.indirect = false;
	put_desc(DESC, 0, TABLE, 16, VIRTQ_DESC_F_INDIRECT, 0);
	put_desc(TABLE, 0, DATA, 4, 0, 0);
	offer(0);
	expect_broken();
}

/* ---- Notifications ---- */

static void virtqueue_should_signal__flags__as_the_driver_says(void **state)
{
	(void)state;
	assert_false(virtqueue_should_signal(&queue));
	virtqueue_push(&queue, (struct virtqueue_buffer){ 0 }, 0);
	assert_true(virtqueue_should_signal(&queue));
	assert_false(virtqueue_should_signal(&queue));
	put16(AVAIL, VIRTQ_AVAIL_F_NO_INTERRUPT);
	virtqueue_push(&queue, (struct virtqueue_buffer){ 0 }, 0);
	assert_false(virtqueue_should_signal(&queue));
}

static void virtqueue_should_signal__event_index__once_it_is_passed(void **state)
{
	(void)state;
	enable(true);
	put16(AVAIL, VIRTQ_AVAIL_F_NO_INTERRUPT); /* means nothing here */
	put16(AVAIL + 4 + 2 * SIZE, 2);
	virtqueue_push(&queue, (struct virtqueue_buffer){ 0 }, 0);
	virtqueue_push(&queue, (struct virtqueue_buffer){ 0 }, 0);
	assert_false(virtqueue_should_signal(&queue));
	virtqueue_push(&queue, (struct virtqueue_buffer){ 0 }, 0);
	assert_true(virtqueue_should_signal(&queue));
	virtqueue_push(&queue, (struct virtqueue_buffer){ 0 }, 0);
	assert_false(virtqueue_should_signal(&queue));
	put16(AVAIL + 4 + 2 * SIZE, 5);
	virtqueue_push(&queue, (struct virtqueue_buffer){ 0 }, 0);
	virtqueue_push(&queue, (struct virtqueue_buffer){ 0 }, 0);
	assert_true(virtqueue_should_signal(&queue));
}

static void virtqueue_should_signal__event_index_at_the_wrap__once_it_is_passed(void **state)
{
	(void)state;
	enable(true);
	for (unsigned i = 0; i < 0xFFFF; i++)
		virtqueue_push(&queue, (struct virtqueue_buffer){ 0 }, 0);
	virtqueue_should_signal(&queue);
	put16(AVAIL + 4 + 2 * SIZE, 0xFFFF);
	virtqueue_push(&queue, (struct virtqueue_buffer){ 0 }, 0);
	assert_int_equal(get16(USED + 2), 0);
	assert_true(virtqueue_should_signal(&queue));
}

static void virtqueue_want_kicks__flags__written(void **state)
{
	(void)state;
	put_desc(DESC, 0, DATA, 4, 0, 0);
	assert_false(virtqueue_want_kicks(&queue, false));
	assert_int_equal(get16(USED), VIRTQ_USED_F_NO_NOTIFY);
	offer(0);
	assert_true(virtqueue_want_kicks(&queue, true));
	assert_int_equal(get16(USED), 0);
}

static void virtqueue_want_kicks__event_index__at_the_next_buffer(void **state)
{
	(void)state;
	enable(true);
	put_desc(DESC, 0, DATA, 4, 0, 0);
	offer(0);
	virtqueue_pop(&queue, &chain);
	assert_false(virtqueue_want_kicks(&queue, true));
	assert_int_equal(get16(USED + 4 + 8 * SIZE), 1);
	assert_int_equal(get16(USED), 0);
}

/* ---- Memory that changes, and anything at all ---- */

/* Changes the descriptor each time its buffer's place is looked up: it must have been read before, and not
 * again. */
static void *guest_ram_that_changes(void *ctx, uint64_t gpa, uint64_t bytes)
{
	put_desc(DESC, 0, ~0ull, 0xFFFFFFFF, VIRTQ_DESC_F_NEXT | VIRTQ_DESC_F_INDIRECT, 0xFFFF);
	put_desc(TABLE, 0, ~0ull, 0xFFFFFFFF, VIRTQ_DESC_F_NEXT | VIRTQ_DESC_F_INDIRECT, 0xFFFF);
	put16(AVAIL + 4, 0xFFFF);
	return guest_ram(ctx, gpa, bytes);
}

static void virtqueue_pop__descriptor_changes_after_the_check__first_reading_counts(void **state)
{
	(void)state;
	put_desc(DESC, 0, DATA, 4, 0, 0);
	offer(0);
	host.guest_ram = guest_ram_that_changes;
	assert_int_equal(virtqueue_pop(&queue, &chain), VIRTQUEUE_CHAIN);
	host.guest_ram = guest_ram;
	assert_int_equal(chain.buffer.id, 0);
	assert_int_equal(chain.readable_bytes, 4);
	assert_ptr_equal(chain.segment[0].bytes, ram + DATA);
	assert_int_equal(chain.segment[0].count, 4);
}

static uint32_t random_next(uint32_t *seed)
{
	*seed = *seed * 1664525u + 1013904223u;
	return *seed >> 8;
}

static void check_chain(void)
{
	uint64_t bytes[2] = { 0, 0 };

	assert_true(chain.readable + chain.writable <= SIZE);
	assert_true(chain.readable + chain.writable > 0);
	for (unsigned i = 0; i < chain.readable + chain.writable; i++) {
		const struct io_segment *s = &chain.segment[i];
		assert_true(s->bytes >= ram && s->count > 0 && s->count <= RAM_BYTES);
		assert_true((size_t)(s->bytes - ram) <= RAM_BYTES - s->count);
		bytes[i >= chain.readable] += s->count;
	}
	assert_true(bytes[0] == chain.readable_bytes && bytes[1] == chain.writable_bytes);
}

static void virtqueue_pop__random_rings__every_chain_lies_in_ram(void **state)
{
	uint32_t seed = 1;
	unsigned chains = 0;

	(void)state;
	for (unsigned round = 0; round < 20000; round++) {
		enable(round % 2);
		for (unsigned table = DESC; table <= TABLE; table += TABLE - DESC)
			for (unsigned i = 0; i < SIZE; i++)
				put_desc(table, i, random_next(&seed) % 8 ? random_next(&seed) % RAM_BYTES : TABLE,
				         random_next(&seed) % 2 ? random_next(&seed) % 6 * 16 : random_next(&seed) % 0x9000,
				         (uint16_t)(random_next(&seed) % 4 ? random_next(&seed) % 4 : random_next(&seed)),
				         (uint16_t)(random_next(&seed) % (SIZE + 1)));
		for (unsigned i = 0; i < SIZE; i++)
			put16(AVAIL + 4 + 2 * i, (uint16_t)(random_next(&seed) % (SIZE + 1)));
		put16(AVAIL + 2, (uint16_t)(random_next(&seed) % (SIZE + 2)));
		while (virtqueue_pop(&queue, &chain) == VIRTQUEUE_CHAIN) {
			check_chain();
			chains++;
			virtqueue_write(&chain, random_next(&seed) % 64, "some text", 9);
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
		CASE(virtqueue_enable__wrong_size__refused),
		CASE(virtqueue_enable__ring_misaligned_or_outside_ram__refused),
		CASE(virtqueue_enable__rings_end_with_ram__works_to_the_last_byte),
		CASE(virtqueue_pop__not_enabled__empty),
		CASE(virtqueue_pop__chain_of_both_kinds__segments_in_order),
		CASE(virtqueue_pop__indirect_table__followed),
		CASE(virtqueue_pop__more_rounds_than_the_ring_and_its_index_hold__each_buffer_once),
		CASE(virtqueue_pop__index_ahead_of_the_ring__broken),
		CASE(virtqueue_pop__head_outside_the_table__broken),
		CASE(virtqueue_pop__next_outside_the_table__broken),
		CASE(virtqueue_pop__loop__broken),
		CASE(virtqueue_pop__loop_in_indirect_table__broken),
		CASE(virtqueue_pop__chain_longer_than_the_queue__broken),
		CASE(virtqueue_pop__chain_as_long_as_the_queue__taken),
		CASE(virtqueue_pop__buffer_outside_ram__broken),
		CASE(virtqueue_pop__empty_buffer__broken),
		CASE(virtqueue_pop__readable_behind_writable__broken),
		CASE(virtqueue_pop__indirect_against_the_rules__broken),
		CASE(virtqueue_pop__indirect_not_negotiated__broken),
		CASE(virtqueue_should_signal__flags__as_the_driver_says),
		CASE(virtqueue_should_signal__event_index__once_it_is_passed),
		CASE(virtqueue_should_signal__event_index_at_the_wrap__once_it_is_passed),
		CASE(virtqueue_want_kicks__flags__written),
		CASE(virtqueue_want_kicks__event_index__at_the_next_buffer),
		CASE(virtqueue_pop__descriptor_changes_after_the_check__first_reading_counts),
		CASE(virtqueue_pop__random_rings__every_chain_lies_in_ram),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
