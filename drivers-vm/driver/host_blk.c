/*
 * See host_blk.h. A request under way has in tag[0] how many of its units were put into commands, and in tag[1] how many commands
 * are out; FAILED is set when one of them failed.
 */
#include "drivers-vm/driver/host_blk.h"

#include "drivers-vm/runtime/service.h"

#define FAILED      (1ull << 63)
#define TAKEN_BURST 16u /* completions taken before the controller is told */

/* What a request is counted in: sectors, but a flush is one. */
static uint64_t units(const struct blk_request *r)
{
	return r->operation == BLK_FLUSH ? 1 : r->sectors;
}

static bool is_put(const struct blk_request *r)
{
	return r->tag[1] & FAILED || r->tag[0] == units(r);
}

static bool is_out(const struct blk_request *r)
{
	return (r->tag[1] & ~FAILED) != 0;
}

/* ---- Commands --------------------------------------------------------------------------------------------------------------------- */

/* Puts the request's commands; false: some of them have to wait for room. */
static bool put(struct host_blk *blk, struct blk_request *r)
{
	while (!is_put(r)) {
		int number = blk->ops->free(blk, r);
		if (number < 0)
			return false;
		struct host_blk_command *c = &blk->command[number];
		uint64_t now = service_tsc();
		c->byte = r->tag[0] * BLK_SECTOR_BYTES;
		c->bounced = 0;
		c->request = r;
		c->deadline_tsc = now + service_ns_to_tsc(HOST_BLK_TIMEOUT_NS);
		r->tag[0] += blk->ops->put(blk, (unsigned)number, r, r->tag[0]);
		r->tag[1]++;
		if (blk->under_way++ == 0)
			blk->check_tsc = now + service_ns_to_tsc(HOST_BLK_CHECK_NS);
	}
	return true;
}

static void put_waiting_in(struct host_blk *blk, struct host_blk_lane *lane)
{
	while (lane->waiting != NULL && put(blk, lane->waiting)) {
		lane->waiting = lane->waiting->next;
		if (lane->waiting == NULL)
			lane->waiting_end = &lane->waiting;
	}
}

void host_blk_put_waiting(struct host_blk *blk)
{
	for (unsigned i = 0; i < blk->lanes; i++)
		put_waiting_in(blk, &blk->lane[i]);
	blk->ops->ring(blk);
}

static struct host_blk *host_blk_of(struct blk_device *device)
{
	return (struct host_blk *)((char *)device - offsetof(struct host_blk, disk.device));
}

static enum blk_status submit(struct blk_device *device, struct blk_request *r)
{
	struct host_blk *blk = host_blk_of(device);

	if (blk->dead)
		return BLK_IO_ERROR;
	struct host_blk_lane *lane = &blk->lane[host_blk_lane_of(blk, r)];
	r->tag[0] = r->tag[1] = 0;
	r->next = NULL;
	*lane->waiting_end = r;
	lane->waiting_end = &r->next;
	put_waiting_in(blk, lane);
	blk->ops->ring(blk);
	return BLK_PENDING;
}

/* One command of a request is over. `done` may submit again. */
static void finish(struct host_blk *blk, struct host_blk_command *c, bool failed)
{
	struct blk_request *r = c->request;

	c->request = NULL;
	blk->under_way--;
	if (failed)
		r->tag[1] |= FAILED;
	else if (c->bounced != 0)
		io_segments_write(r->segment, r->segments, c->byte, c->bounce, c->bounced);
	r->tag[1]--;
	if (blk->lane[host_blk_lane_of(blk, r)].waiting == r)
		host_blk_put_waiting(blk); /* goes on, or leaves the list */
	if (is_put(r) && !is_out(r))
		r->done(r, r->tag[1] & FAILED ? BLK_IO_ERROR : BLK_OK);
}

static void take_all(struct host_blk *blk)
{
	unsigned taken = 0, number;

	while (!blk->dead) {
		enum host_blk_taken what = blk->ops->take(blk, &number);
		if (what == HOST_BLK_NONE)
			break;
		if (what == HOST_BLK_BROKEN || number >= HOST_BLK_COMMANDS || blk->command[number].request == NULL) {
			host_blk_give_up(blk, "it completes what nobody asked for");
			return;
		}
		finish(blk, &blk->command[number], what == HOST_BLK_FAILED);
		/* Now and then: whoever is done may submit again, so that there may be no end to this. */
		if (++taken % TAKEN_BURST == 0 && !blk->dead)
			blk->ops->taken(blk);
	}
	if (blk->dead)
		return;
	if (taken % TAKEN_BURST != 0)
		blk->ops->taken(blk);
	if (taken != 0)
		host_blk_put_waiting(blk);
	if (blk->under_way == 0)
		blk->check_tsc = 0;
}

/* ---- Time ------------------------------------------------------------------------------------------------------------------------- */

uint64_t host_blk_check(struct host_device *device, uint64_t now_tsc)
{
	struct host_blk *blk = (struct host_blk *)device;

	if (blk->check_tsc == 0 || now_tsc < blk->check_tsc)
		return blk->check_tsc;
	blk->check_tsc = now_tsc + service_ns_to_tsc(HOST_BLK_CHECK_NS);
	take_all(blk); /* an interrupt may have been lost */
	for (unsigned i = 0; i < HOST_BLK_COMMANDS && !blk->dead; i++)
		if (blk->command[i].request != NULL && now_tsc >= blk->command[i].deadline_tsc)
			host_blk_give_up(blk, "a command takes longer than 10 s");
	return blk->check_tsc;
}

void host_blk_interrupt(struct host_device *device)
{
	take_all((struct host_blk *)device);
}

static void poll(struct blk_device *device)
{
	struct host_blk *blk = host_blk_of(device);

	take_all(blk);
	blk->device.ops->check(&blk->device, service_tsc());
}

void host_blk_stop_device(struct host_blk *blk)
{
	host_pci_enable(blk->device.pci, false, false);
}

/* Takes the requests away that wait and have no command out; the first one may have some, and ends with the last of them. */
static struct blk_request *take_waiting(struct host_blk_lane *lane)
{
	struct blk_request *waiting = lane->waiting;

	if (waiting != NULL && is_out(waiting))
		waiting = waiting->next;
	lane->waiting = NULL;
	lane->waiting_end = &lane->waiting;
	return waiting;
}

void host_blk_give_up(struct host_blk *blk, const char *why)
{
	struct blk_request *waiting[HOST_BLK_LANES];

	blk->dead = true;
	blk->ops->stop(blk);
	blk->check_tsc = 0;
	host_device_log(blk->device.pci, "given up: %s", why);
	for (unsigned i = 0; i < blk->lanes; i++)
		waiting[i] = take_waiting(&blk->lane[i]);
	for (unsigned i = 0; i < HOST_BLK_COMMANDS; i++)
		if (blk->command[i].request != NULL)
			finish(blk, &blk->command[i], true);
	for (unsigned i = 0; i < blk->lanes; i++)
		while (waiting[i] != NULL) {
			struct blk_request *r = waiting[i];
			waiting[i] = r->next;
			r->done(r, BLK_IO_ERROR);
		}
}

/* ---- Set-up ----------------------------------------------------------------------------------------------------------------------- */

void host_blk_init(struct host_blk *blk, const struct host_pci *pci, const struct host_blk_ops *ops)
{
	static const struct host_device_ops device_ops = { .interrupt = host_blk_interrupt, .check = host_blk_check };
	static const struct blk_device_ops blk_ops = { .submit = submit, .poll = poll };

	*blk = (struct host_blk){ .device = { &device_ops, pci }, .disk.device.ops = &blk_ops, .ops = ops, .lanes = 1 };
	for (unsigned i = 0; i < HOST_BLK_LANES; i++)
		blk->lane[i].waiting_end = &blk->lane[i].waiting;
}

bool host_blk_make_pages(struct host_blk *blk, unsigned commands)
{
	for (unsigned i = 0; i < commands; i++)
		if (blk->command[i].page == NULL && (blk->command[i].page = host_device_page()) == NULL)
			return false;
	return true;
}

void host_blk_free_pages(struct host_blk *blk, unsigned first)
{
	for (unsigned i = first; i < HOST_BLK_COMMANDS; i++) {
		host_device_page_free(blk->command[i].page);
		blk->command[i].page = NULL;
	}
}

void host_blk_start(struct host_blk *blk, const char *kind)
{
	const struct blk_device *device = &blk->disk.device;

	host_disk_add(&blk->disk, blk->device.pci);
	host_device_log(blk->device.pci, "%s disk '%.20s', %lu MiB", kind, device->serial, (unsigned long)(device->sectors >> 11));
}
