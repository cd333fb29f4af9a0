/*
 * A virtio disk outlives the driver VM: this one is stopped after each of its instructions that changes its state or the guest's memory,
 * and a fresh one goes on from there. Every request ends once, and well. The single steps are the CPU's own (the trap flag).
 *
 * UNIT_SOURCES: drivers-vm/driver/pci_host.c drivers-vm/driver/pci_function.c
 * UNIT_SOURCES: drivers-vm/driver/pci_msix.c drivers-vm/driver/virtio_pci.c
 * UNIT_SOURCES: drivers-vm/driver/virtio_device.c drivers-vm/driver/virtio_common.c
 * UNIT_SOURCES: drivers-vm/driver/virtio_adopt.c drivers-vm/driver/virtio_blk_adopt.c
 * UNIT_SOURCES: drivers-vm/driver/virtio_blk.c drivers-vm/driver/blk_device.c
 * UNIT_SOURCES: drivers-vm/driver/token_bucket.c drivers-vm/driver/virtqueue.c
 * UNIT_SOURCES: drivers-vm/driver/virtqueue_split.c drivers-vm/driver/virtqueue_packed.c
 * UNIT_SOURCES: drivers-vm/driver/io_segment.c
 * UNIT_FLAGS: -Itests/unit/fake_model -D_GNU_SOURCE
 */
#include "stop_anywhere.h"
#include "virtio_driver.h"
#include "drivers-vm/driver/virtio_blk.h"

#define SECTORS   64u
#define REQUESTS  4u
#define JOBS      4u
#define BLOCK     512u
#define TIMER     ((unsigned)MODEL_TIMER_DISK)
#define JOB_BYTES 0x800u /* of guest memory for each: header, status, data */
#define RAM_KEPT  (DRIVER_DATA + JOBS * JOB_BYTES)

/* What a driver VM has of the disk, in memory that outlives it. */
struct half {
	struct virtio_blk disk;
	struct virtio_blk_request request[REQUESTS];
};

/* The medium, and a controller that forgets what it was about when it is reset. */
struct slow {
	struct blk_device device;
	uint8_t medium[SECTORS * BLOCK];
	struct blk_request *waiting[16];
	unsigned count;
};

static struct driver d;
static struct half half[3];
static struct slow slow;

/* ---- The disk's controller ---------------------------------------------------------------------------------------------------------- */

static enum blk_status slow_submit(struct blk_device *device, struct blk_request *request)
{
	struct slow *s = (struct slow *)device;

	s->waiting[s->count++ % 16] = request;
	return BLK_PENDING;
}

static void slow_finish(unsigned index)
{
	struct blk_request *r = slow.waiting[index];
	uint8_t *at = slow.medium + r->sector * BLOCK;

	slow.waiting[index] = slow.waiting[--slow.count];
	if (r->operation == BLK_READ)
		io_segments_write(r->segment, r->segments, 0, at, r->sectors * BLOCK);
	else if (r->operation == BLK_WRITE)
		io_segments_read(r->segment, r->segments, 0, at, r->sectors * BLOCK);
	r->done(r, BLK_OK);
}

static void slow_reset(void)
{
	static const struct blk_device_ops ops = { .submit = slow_submit };

	slow.device = (struct blk_device){ .ops = &ops, .sectors = SECTORS, .physical_block_bytes = BLOCK, .flushes = true };
	slow.count = 0;
}

/* ---- A driver VM's start -------------------------------------------------------------------------------------------------------------- */

static void make(struct half *h)
{
	const struct virtio_blk_config config = {
		.device = &slow.device, .queues = 1, .packed = d.packed, .request = h->request, .requests = REQUESTS
	};

	memset(h, 0, sizeof(*h));
	slow_reset();
	pci_host_init(&d.bus);
	virtio_blk_init(&h->disk, &d.fake.host, &config, TIMER);
	driver_plug(&d, &h->disk.device);
}

static void adopt(struct half *h, struct half *old)
{
	make(h);
	virtio_blk_adopt(&h->disk, &old->disk, old->request);
}

/* ---- The guest's requests -------------------------------------------------------------------------------------------------------------- */

static uint64_t job_gpa(unsigned job)
{
	return DRIVER_DATA + job * JOB_BYTES;
}

/* 0 and 2 write, 1 and 3 read; 3's data are in one part with its status, as a driver may have them. */
static int offer(unsigned job)
{
	bool reads = job & 1;
	const struct virtio_blk_header h = { .type = reads ? VIRTIO_BLK_T_IN : VIRTIO_BLK_T_OUT, .sector = 8 * job };
	const uint64_t at = job_gpa(job);
	const struct driver_part parts[] = { { at, 16, false }, { at + 0x200, 2 * BLOCK, reads }, { at + 0x100, 1, true } };
	const struct driver_part joined[] = { { at, 16, false }, { at + 0x200, 2 * BLOCK + 1, true } };

	memcpy(d.ram + at, &h, sizeof(h));
	memset(d.ram + at + 0x100, 0xEE, 0x700);
	if (!reads)
		memset(d.ram + at + 0x200, (int)(0xA0 + job), 2 * BLOCK);
	return (int)(job == 3 ? driver_offer(&d, 0, joined, 2) : driver_offer(&d, 0, parts, 3));
}

static void check_job(unsigned job)
{
	const uint8_t *at = d.ram + job_gpa(job);

	assert_int_equal(job == 3 ? at[0x200 + 2 * BLOCK] : at[0x100], VIRTIO_BLK_S_OK);
	for (unsigned i = 0; i < 2 * BLOCK; i++)
		if (job & 1)
			assert_int_equal(at[0x200 + i], 8 * job + i / BLOCK + 1);
		else
			assert_int_equal(slow.medium[8 * job * BLOCK + i], 0xA0 + job);
}

/* What the driver VM does: takes them, and finishes them in another order, the last one taken late for want of room. */
static void work(void)
{
	driver_kick(&d, 0);
	slow_finish(1);
	slow_finish(0);
	while (slow.count != 0)
		slow_finish(slow.count - 1);
}

static void finish(struct half *h)
{
	virtio_blk_resume(&h->disk);
	virtio_pci_serve(&h->disk.device);
	while (slow.count != 0)
		slow_finish(0);
}

/* The guest finds each of the buffers that it offered once. */
static void take_all(const int *ids, unsigned count)
{
	bool seen[DRIVER_SIZE] = { false };
	uint32_t bytes;

	for (unsigned i = 0; i < count; i++) {
		int id = driver_take(&d, 0, &bytes);
		assert_in_range(id, 0, DRIVER_SIZE - 1);
		assert_false(seen[id]);
		seen[id] = true;
	}
	assert_int_equal(driver_take(&d, 0, &bytes), -1);
	for (unsigned i = 0; i < count; i++)
		assert_true(seen[ids[i]]);
}

/* ---- Tests ---------------------------------------------------------------------------------------------------------------------------- */

static void warm_up(unsigned times)
{
	for (unsigned i = 0; i < times; i++) {
		int id = offer(i % JOBS);
		driver_kick(&d, 0);
		slow_finish(0);
		take_all(&id, 1);
	}
}

static void set_up(bool packed)
{
	driver_init(&d);
	d.packed = packed;
	memset(slow.medium, 0, sizeof(slow.medium));
	make(&half[0]);
	driver_start(&d, VIRTIO_BLK_F_FLUSH);
	warm_up(4); /* so that the rings wrap later */
	for (unsigned i = 0; i < sizeof(slow.medium); i++)
		slow.medium[i] = (uint8_t)(i / BLOCK + 1);
}

static void tear_down(void)
{
	stop_done();
	driver_done(&d);
}

/* All that a stopped driver VM leaves. */
static unsigned stop_in(struct half *h, void (*act)(void))
{
	const struct stop_region regions[] = { { h, sizeof(*h) }, { slow.medium, sizeof(slow.medium) }, { d.ram, RAM_KEPT } };

	return stop_everywhere(regions, 3, act);
}

/* From what `old` left. That a driver VM has already died while it looked at it changes nothing. */
static void goes_on(struct half *old, struct half *h, const int *ids)
{
	adopt(h, old);
	adopt(h, old);
	assert_int_equal(h->disk.device.status, 0x0F);
	finish(h);
	take_all(ids, JOBS);
	for (unsigned i = 0; i < JOBS; i++)
		check_job(i);
	warm_up(3);
	assert_int_equal(h->disk.device.status, 0x0F);
}

static void stopped_anywhere(bool packed)
{
	struct driver_queue guest;
	int ids[JOBS];

	set_up(packed);
	for (unsigned i = 0; i < JOBS; i++)
		ids[i] = offer(i);
	guest = d.queue[0];
	for (unsigned i = 0, count = stop_in(&half[0], work); i < count; i++) {
		stop_restore(i);
		d.queue[0] = guest;
		goes_on(&half[0], &half[1], ids);
	}
	tear_down();
}

static void virtio_blk_adopt__stopped_after_any_instruction_split__every_request_ends_once(void **state)
{
	(void)state;
	stopped_anywhere(false);
}

static void virtio_blk_adopt__stopped_after_any_instruction_packed__every_request_ends_once(void **state)
{
	(void)state;
	stopped_anywhere(true);
}

static void go_on_second(void)
{
	finish(&half[1]);
}

/* The second driver VM dies as well, while it goes on. */
static void stopped_twice(bool packed)
{
	struct driver_queue guest;
	int ids[JOBS];

	set_up(packed);
	for (unsigned i = 0; i < JOBS; i++)
		ids[i] = offer(i);
	guest = d.queue[0];
	driver_kick(&d, 0);
	slow_finish(2);
	adopt(&half[1], &half[0]);
	for (unsigned i = 0, count = stop_in(&half[1], go_on_second); i < count; i++) {
		stop_restore(i);
		d.queue[0] = guest;
		goes_on(&half[1], &half[2], ids);
	}
	tear_down();
}

static void virtio_blk_resume__stopped_after_any_instruction_split__every_request_ends_once(void **state)
{
	(void)state;
	stopped_twice(false);
}

static void virtio_blk_resume__stopped_after_any_instruction_packed__every_request_ends_once(void **state)
{
	(void)state;
	stopped_twice(true);
}

/* A byte somewhere, mostly where it matters. */
static void spoil(uint32_t *seed)
{
	struct virtio_blk_request *r = &half[0].request[*seed >> 20 & 3];
	const struct stop_region regions[] = {
		{ &half[0].disk.device.queue[0], offsetof(struct virtqueue, given_bytes) },
		{ r, offsetof(struct virtio_blk_request, segment) + 4 * sizeof(r->segment[0]) },
		{ &half[0].disk.device, offsetof(struct virtio_pci, queue) },
		{ &half[0], sizeof(half[0]) },
	};
	const struct stop_region *region = &regions[*seed >> 28 & 3];

	*seed = *seed * 1664525 + 1013904223;
	((uint8_t *)region->at)[(*seed >> 4) % region->bytes] = (uint8_t)(*seed & 0x80000000 ? *seed >> 20 : 0xFF);
	*seed = *seed * 1664525 + 1013904223;
}

/* Whatever is in the old state: no byte beyond the guest's RAM and the medium is touched (ASan looks), and nothing hangs. */
static void nonsense(bool packed)
{
	static struct half good;
	static uint8_t ram[RAM_KEPT];
	uint32_t seed = 1;

	set_up(packed);
	for (unsigned i = 0; i < JOBS; i++)
		offer(i);
	driver_kick(&d, 0);
	slow_finish(2);
	good = half[0];
	memcpy(ram, d.ram, sizeof(ram));
	for (unsigned round = 0; round < 20000; round++) {
		half[0] = good;
		memcpy(d.ram, ram, sizeof(ram));
		for (unsigned i = 0; i <= round % 4; i++)
			spoil(&seed);
		adopt(&half[1], &half[0]);
		finish(&half[1]);
		driver_set(&d, VIRTIO_COMMON_DEVICE_STATUS, 1, 0);
	}
	tear_down();
}

static void virtio_blk_adopt__nonsense_split__stays_within_the_guest(void **state)
{
	(void)state;
	nonsense(false);
}

static void virtio_blk_adopt__nonsense_packed__stays_within_the_guest(void **state)
{
	(void)state;
	nonsense(true);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(virtio_blk_adopt__stopped_after_any_instruction_split__every_request_ends_once),
		cmocka_unit_test(virtio_blk_adopt__stopped_after_any_instruction_packed__every_request_ends_once),
		cmocka_unit_test(virtio_blk_resume__stopped_after_any_instruction_split__every_request_ends_once),
		cmocka_unit_test(virtio_blk_resume__stopped_after_any_instruction_packed__every_request_ends_once),
		cmocka_unit_test(virtio_blk_adopt__nonsense_split__stays_within_the_guest),
		cmocka_unit_test(virtio_blk_adopt__nonsense_packed__stays_within_the_guest),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
