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
#include "virtio_driver.h"
#include "drivers-vm/driver/virtio_blk.h"

#include <signal.h>
#include <stdio.h>
#include <ucontext.h>

#define SECTORS	   64u
#define REQUESTS   4u
#define JOBS	   4u
#define BLOCK	   512u
#define TIMER	   ((unsigned)MODEL_TIMER_DISK)
#define JOB_BYTES  0x800u /* of guest memory for each: header, status, data */
#define RAM_KEPT   (DRIVER_DATA + JOBS * JOB_BYTES)
#define SNAPSHOTS  1000u
#define TRAP_FLAG  0x100
#define RED_ZONE   128

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

/* All that a stopped driver VM leaves. */
struct remains {
	struct half half;
	uint8_t medium[SECTORS * BLOCK];
	uint8_t ram[RAM_KEPT];
};

static struct driver d;
static struct half half[3];
static struct slow slow;
static struct half *watched;
static struct remains *snapshot, last;
static unsigned snapshots;

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
	static const struct blk_device_ops ops = {.submit = slow_submit};

	slow.device = (struct blk_device){.ops = &ops, .sectors = SECTORS, .physical_block_bytes = BLOCK, .flushes = true};
	slow.count = 0;
}

/* ---- A driver VM's start -------------------------------------------------------------------------------------------------------------- */

static void make(struct half *h)
{
	const struct virtio_blk_config config = {
		.device = &slow.device, .queues = 1, .packed = d.packed, .request = h->request, .requests = REQUESTS};

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
	const struct virtio_blk_header h = {.type = reads ? VIRTIO_BLK_T_IN : VIRTIO_BLK_T_OUT, .sector = 8 * job};
	const uint64_t at = job_gpa(job);
	const struct driver_part parts[] = {{at, 16, false}, {at + 0x200, 2 * BLOCK, reads}, {at + 0x100, 1, true}};
	const struct driver_part joined[] = {{at, 16, false}, {at + 0x200, 2 * BLOCK + 1, true}};

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
	bool seen[DRIVER_SIZE] = {false};
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

/* ---- Stopping anywhere ---------------------------------------------------------------------------------------------------------------- */

static void save(struct remains *to)
{
	memcpy(&to->half, watched, sizeof(to->half));
	memcpy(to->medium, slow.medium, sizeof(to->medium));
	memcpy(to->ram, d.ram, sizeof(to->ram));
}

static bool has_changed(void)
{
	return memcmp(&last.half, watched, sizeof(last.half)) != 0 || memcmp(last.ram, d.ram, sizeof(last.ram)) != 0;
}

static void single_step(int signal, siginfo_t *info, void *context)
{
	(void)signal;
	(void)info;
	(void)context;
	if (!has_changed())
		return;
	save(&last);
	if (snapshots < SNAPSHOTS)
		snapshot[snapshots] = last;
	snapshots++;
}

static void set_trap_flag(uint64_t flag)
{
	__asm__ volatile("lea %c1(%%rsp), %%rsp\n\tpushfq\n\tandq %2, (%%rsp)\n\torq %0, (%%rsp)\n\tpopfq\n\tlea %c3(%%rsp), %%rsp"
			 : : "r"(flag), "i"(-RED_ZONE), "i"(~TRAP_FLAG), "i"(RED_ZONE) : "memory", "cc");
}

/* Snapshots of `h` as it is before `act`, and after each instruction in it that changes something. */
static void stop_everywhere(struct half *h, void (*act)(struct half *h))
{
	const struct sigaction on = {.sa_sigaction = single_step, .sa_flags = SA_SIGINFO};
	struct sigaction before;

	watched = h;
	save(&last);
	snapshot[0] = last;
	snapshots = 1;
	sigaction(SIGTRAP, &on, &before);
	set_trap_flag(TRAP_FLAG);
	act(h);
	set_trap_flag(0);
	sigaction(SIGTRAP, &before, NULL);
	assert_in_range(snapshots, 100, SNAPSHOTS);
}

static void restore(const struct remains *from, struct half *h, const struct driver_queue *guest)
{
	memcpy(h, &from->half, sizeof(*h));
	memcpy(slow.medium, from->medium, sizeof(slow.medium));
	memcpy(d.ram, from->ram, sizeof(from->ram));
	d.queue[0] = *guest;
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
	snapshot = calloc(SNAPSHOTS, sizeof(*snapshot));
	assert_non_null(snapshot);
}

static void tear_down(void)
{
	free(snapshot);
	driver_done(&d);
}

static void act_work(struct half *h)
{
	(void)h;
	work();
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
	stop_everywhere(&half[0], act_work);
	for (unsigned i = 0; i < snapshots; i++) {
		restore(&snapshot[i], &half[0], &guest);
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

static void act_finish(struct half *h)
{
	finish(h);
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
	stop_everywhere(&half[1], act_finish);
	for (unsigned i = 0; i < snapshots; i++) {
		restore(&snapshot[i], &half[1], &guest);
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

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(virtio_blk_adopt__stopped_after_any_instruction_split__every_request_ends_once),
		cmocka_unit_test(virtio_blk_adopt__stopped_after_any_instruction_packed__every_request_ends_once),
		cmocka_unit_test(virtio_blk_resume__stopped_after_any_instruction_split__every_request_ends_once),
		cmocka_unit_test(virtio_blk_resume__stopped_after_any_instruction_packed__every_request_ends_once),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
