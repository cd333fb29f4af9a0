/*
 * From a buffer to a request of the block device and back. The guest's header and ranges are copied once; its
 * data is only pointed to.
 */
#include "drivers-vm/driver/virtio_blk.h"

#include <assert.h>
#include <string.h>

static_assert(offsetof(struct virtio_blk, device) == 0, "a device is found in its disk");
static_assert(offsetof(struct virtio_blk_request, request) == 0, "a request is found by the block device's part");

static struct virtio_blk *disk_of(struct virtio_pci *device)
{
	return (struct virtio_blk *)device;
}

/* ---- The end of a request ---- */

static void set_progress(struct virtio_blk_request *r, enum virtio_blk_progress progress)
{
	virtqueue_order();
	r->progress = (uint8_t)progress;
	virtqueue_order();
}

void virtio_blk_free(struct virtio_blk_request *r)
{
	set_progress(r, VIRTIO_BLK_FREE);
	r->next = r->disk->free;
	r->disk->free = r;
}

void virtio_blk_give(struct virtio_blk_request *r)
{
	struct virtqueue *queue = &r->disk->device.queue[r->queue];

	r->used = virtqueue_used(queue);
	set_progress(r, VIRTIO_BLK_GIVING);
	virtqueue_push(queue, r->buffer, r->answer);
}

static void complete(struct virtio_blk_request *r, enum blk_status status)
{
	static const uint8_t words[] = {
		[BLK_OK] = VIRTIO_BLK_S_OK,
		[BLK_IO_ERROR] = VIRTIO_BLK_S_IOERR,
		[BLK_UNSUPPORTED] = VIRTIO_BLK_S_UNSUPP,
	};

	r->disk->counts.errors += status == BLK_IO_ERROR;
	if (!r->orphan) {
		*(volatile uint8_t *)r->status = words[status];
		/* 2.7.8.2: what is said to be written is written from the first byte on. */
		r->answer = status == BLK_OK || r->written == 1 ? r->written : 0;
		virtio_blk_give(r);
	}
	virtio_blk_free(r);
}

static void serve_all(struct virtio_blk *disk)
{
	for (unsigned i = 0; i < disk->device.identity.queues; i++)
		virtio_pci_notify(&disk->device, i);
}

/* False: it goes on, as a flush. */
static bool is_done(struct virtio_blk_request *r, enum blk_status *status)
{
	if (*status != BLK_OK || !r->sync || r->request.operation == BLK_FLUSH)
		return true;
	r->request.operation = BLK_FLUSH;
	r->request.sector = r->request.sectors = 0;
	*status = r->disk->backend->ops->submit(r->disk->backend, &r->request);
	return *status != BLK_PENDING;
}

static void done(struct blk_request *request, enum blk_status status)
{
	struct virtio_blk_request *r = (struct virtio_blk_request *)request;
	struct virtio_blk *disk = r->disk;
	const struct model_host *host = disk->device.host;
	unsigned queue = r->queue;

	if (host->enter != NULL)
		host->enter(host->ctx);
	if (is_done(r, &status)) {
		disk->pending--;
		complete(r, status);
		virtio_pci_signal(&disk->device, queue);
		if (disk->pending == 0)
			virtio_pci_idle(&disk->device);
		if (disk->starved) {
			disk->starved = false;
			serve_all(disk);
		}
	}
	if (host->leave != NULL)
		host->leave(host->ctx);
}

/* ---- The start ---- */

static void count(struct virtio_blk_counts *counts, const struct blk_request *request)
{
	if (request->operation == BLK_READ) {
		counts->read_requests++;
		counts->read_bytes += request->sectors * BLK_SECTOR_BYTES;
	} else if (request->operation == BLK_WRITE) {
		counts->write_requests++;
		counts->write_bytes += request->sectors * BLK_SECTOR_BYTES;
	}
}

void virtio_blk_submit(struct virtio_blk_request *r)
{
	struct virtio_blk *disk = r->disk;
	enum blk_status status = blk_request_check(disk->backend, &r->request);

	if (r->request.sectors > VIRTIO_BLK_SEGMENTS * (VIRTIO_BLK_SEGMENT_BYTES / BLK_SECTOR_BYTES))
		status = BLK_IO_ERROR;
	disk->moved += r->request.sectors * BLK_SECTOR_BYTES;
	if (status != BLK_OK) {
		complete(r, status);
		return;
	}
	count(&disk->counts, &r->request);
	r->sync = r->request.operation == BLK_WRITE && disk->backend->flushes && !(disk->device.negotiated & VIRTIO_BLK_F_FLUSH);
	status = disk->backend->ops->submit(disk->backend, &r->request);
	if (status != BLK_PENDING && is_done(r, &status))
		complete(r, status);
	else
		disk->pending++;
}

/* Within the limits: at once. Else it is held until the timer. */
static void start(struct virtio_blk_request *r)
{
	struct virtio_blk *disk = r->disk;
	const struct model_host *host = disk->device.host;
	uint64_t now = disk->operations.per_second | disk->bytes.per_second ? model_now(host) : 0;
	uint64_t first = token_bucket_wait(&disk->operations, now);
	uint64_t second = token_bucket_wait(&disk->bytes, now);

	if (first != 0 || second != 0) {
		disk->held = r;
		host->timer_arm(host->ctx, disk->timer, first > second ? first : second);
		return;
	}
	token_bucket_take(&disk->operations, 1);
	if (r->request.operation == BLK_READ || r->request.operation == BLK_WRITE)
		token_bucket_take(&disk->bytes, r->request.sectors * BLK_SECTOR_BYTES);
	virtio_blk_submit(r);
}

void virtio_blk_timer(struct virtio_blk *disk)
{
	struct virtio_blk_request *r = disk->held;

	disk->held = NULL;
	if (r != NULL)
		start(r);
	serve_all(disk);
}

/* ---- What the guest asks for ---- */

/* The data between header and status: 5.2.6.4 leaves it to the driver how its buffers are cut. */
static void take_data(struct virtio_blk_request *r, struct virtqueue_chain *chain, bool from_guest)
{
	struct io_segment *segment = chain->segment;
	unsigned segments = chain->readable;
	uint64_t bytes = chain->readable_bytes - sizeof(struct virtio_blk_header);

	if (from_guest) {
		io_segments_skip(&segment, &segments, sizeof(struct virtio_blk_header));
	} else {
		segment += chain->readable;
		segments = chain->writable;
		bytes = chain->writable_bytes - 1;
		if (--segment[segments - 1].count == 0)
			segments--;
	}
	r->request.segment = segment;
	r->request.segments = segments;
	r->request.sectors = bytes / BLK_SECTOR_BYTES;
}

/* One range a request: VIRTIO_BLK_MAX_DISCARD_SEG says so. */
static enum blk_status take_range(struct virtio_blk_request *r, const struct virtqueue_chain *chain)
{
	/* 5.2.6.2: no unknown flag, and none with a discard. */
	const uint32_t known = r->request.operation == BLK_WRITE_ZEROES ? VIRTIO_BLK_UNMAP : 0;
	struct virtio_blk_range range;

	if (chain->readable_bytes != sizeof(struct virtio_blk_header) + sizeof(range))
		return BLK_IO_ERROR;
	virtqueue_read(chain, sizeof(struct virtio_blk_header), &range, sizeof(range));
	r->request.sector = range.sector;
	r->request.sectors = range.sectors;
	if (range.flags & ~known)
		return BLK_UNSUPPORTED;
	return range.sectors <= VIRTIO_BLK_RANGE_SECTORS ? BLK_PENDING : BLK_IO_ERROR;
}

static enum blk_status get_id(const struct virtio_blk *disk, const struct virtqueue_chain *chain)
{
	if (chain->writable_bytes != BLK_SERIAL_BYTES + 1)
		return BLK_IO_ERROR;
	virtqueue_write(chain, 0, disk->serial, BLK_SERIAL_BYTES);
	return BLK_OK;
}

/* BLK_PENDING: `r` is to be started. Anything else is its end. */
static enum blk_status parse(struct virtio_blk_request *r, struct virtqueue_chain *chain)
{
	struct virtio_blk_header header;

	if (virtqueue_read(chain, 0, &header, sizeof(header)) != sizeof(header))
		return BLK_IO_ERROR;
	r->request.sector = header.sector;
	r->request.sectors = 0;
	switch (header.type) {
	case VIRTIO_BLK_T_IN:
	case VIRTIO_BLK_T_OUT:
		r->request.operation = header.type == VIRTIO_BLK_T_IN ? BLK_READ : BLK_WRITE;
		take_data(r, chain, header.type == VIRTIO_BLK_T_OUT);
		return BLK_PENDING;
	case VIRTIO_BLK_T_FLUSH:
		r->request.operation = BLK_FLUSH;
		r->request.sector = 0;
		r->disk->counts.flush_requests++;
		return r->disk->backend->flushes ? BLK_PENDING : BLK_OK;
	case VIRTIO_BLK_T_DISCARD:
	case VIRTIO_BLK_T_WRITE_ZEROES:
		r->request.operation = header.type == VIRTIO_BLK_T_DISCARD ? BLK_DISCARD : BLK_WRITE_ZEROES;
		return take_range(r, chain);
	case VIRTIO_BLK_T_GET_ID:
		return get_id(r->disk, chain);
	default:
		return BLK_UNSUPPORTED;
	}
}

/* False: there is no buffer, or no room, or the driver broke a rule. */
static bool serve_one(struct virtio_blk *disk, unsigned queue)
{
	struct virtio_blk_request *r = disk->free;
	struct virtqueue_chain chain;
	enum blk_status status;

	if (r == NULL) {
		disk->starved = true;
		return false;
	}
	chain.segment = r->segment;
	r->orphan = false;
	r->queue = (uint16_t)queue;
	r->request.lane = disk->lane + queue;
	r->place = virtqueue_mark(&disk->device.queue[queue]);
	set_progress(r, VIRTIO_BLK_TAKING);
	bool taken = virtio_pci_take(&disk->device, queue, &chain);
	if (!taken || chain.writable == 0) { /* else an answer has no place */
		if (taken)
			virtio_pci_fail(&disk->device);
		set_progress(r, VIRTIO_BLK_FREE);
		return false;
	}
	disk->free = r->next;
	const struct io_segment *last = &r->segment[chain.readable + chain.writable - 1];
	r->status = last->bytes + last->count - 1;
	r->written = (uint32_t)chain.writable_bytes;
	r->buffer = chain.buffer;
	r->sync = false;
	status = parse(r, &chain);
	if (status != BLK_PENDING) {
		complete(r, status);
		return true;
	}
	set_progress(r, VIRTIO_BLK_ACTIVE);
	start(r);
	return true;
}

static void serve(struct virtio_blk *disk, unsigned queue)
{
	const struct model_host *host = disk->device.host;
	unsigned left = VIRTIO_BLK_SLICE;

	disk->moved = 0;
	while (left != 0 && disk->held == NULL && serve_one(disk, queue))
		left = disk->moved < VIRTIO_BLK_SLICE_BYTES ? left - 1 : 0;
	virtio_pci_signal(&disk->device, queue);
	if (left == 0)
		host->timer_arm(host->ctx, disk->timer, model_now(host));
}

/* ---- The device ---- */

static void queue_notify(struct virtio_pci *device, unsigned queue)
{
	serve(disk_of(device), queue);
}

static uint32_t config_read(struct virtio_pci *device, uint32_t offset, unsigned size)
{
	return virtio_config_get(disk_of(device)->config, offset, size);
}

static void config_write(struct virtio_pci *device, uint32_t offset, unsigned size, uint32_t value)
{
	(void)device;
	(void)offset;
	(void)size;
	(void)value; /* there is no writable field: VIRTIO_BLK_F_CONFIG_WCE is not offered */
}

static bool busy(struct virtio_pci *device)
{
	return virtio_blk_is_busy(disk_of(device));
}

static void reset(struct virtio_pci *device)
{
	struct virtio_blk *disk = disk_of(device);

	for (unsigned i = 0; i < disk->requests; i++)
		disk->all[i].orphan = true;
	if (disk->held != NULL)
		virtio_blk_free(disk->held);
	disk->held = NULL;
	disk->starved = false;
	device->host->timer_arm(device->host->ctx, disk->timer, 0);
}

static void config_set(struct virtio_blk *disk, unsigned offset, unsigned size, uint64_t value)
{
	for (unsigned i = 0; i < size; i++)
		disk->config[offset + i] = (uint8_t)(value >> (8 * i));
}

static void config_fill(struct virtio_blk *disk)
{
	const struct blk_device *backend = disk->backend;
	unsigned segments = VIRTIO_BLK_SEGMENTS;

	if (backend->segments_max != 0 && backend->segments_max < segments)
		segments = backend->segments_max;
	memset(disk->config, 0, sizeof(disk->config));
	config_set(disk, VIRTIO_BLK_CAPACITY, 8, backend->sectors);
	config_set(disk, VIRTIO_BLK_SIZE_MAX, 4, VIRTIO_BLK_SEGMENT_BYTES);
	config_set(disk, VIRTIO_BLK_SEG_MAX, 4, segments);
	config_set(disk, VIRTIO_BLK_BLK_SIZE, 4, BLK_SECTOR_BYTES);
	config_set(disk, VIRTIO_BLK_PHYSICAL_BLOCK_EXP, 1, (unsigned)__builtin_ctz(backend->physical_block_bytes / BLK_SECTOR_BYTES));
	config_set(disk, VIRTIO_BLK_NUM_QUEUES, 2, disk->device.identity.queues);
	if (backend->discards) {
		config_set(disk, VIRTIO_BLK_MAX_DISCARD_SECTORS, 4, VIRTIO_BLK_RANGE_SECTORS);
		config_set(disk, VIRTIO_BLK_MAX_DISCARD_SEG, 4, 1);
		config_set(disk, VIRTIO_BLK_DISCARD_SECTOR_ALIGNMENT, 4, 1);
	}
	if (backend->writes_zeroes) {
		config_set(disk, VIRTIO_BLK_MAX_WRITE_ZEROES_SECTORS, 4, VIRTIO_BLK_RANGE_SECTORS);
		config_set(disk, VIRTIO_BLK_MAX_WRITE_ZEROES_SEG, 4, 1);
		config_set(disk, VIRTIO_BLK_WRITE_ZEROES_MAY_UNMAP, 1, backend->discards);
	}
}

static void requests_init(struct virtio_blk *disk, const struct virtio_blk_config *config)
{
	disk->all = config->request;
	disk->requests = config->requests;
	disk->free = NULL;
	for (unsigned i = 0; i < disk->requests; i++) {
		struct virtio_blk_request *r = &disk->all[i];
		memset(r, 0, sizeof(*r));
		r->disk = disk;
		r->request.done = done;
		virtio_blk_free(r);
	}
}

void virtio_blk_init(struct virtio_blk *disk, const struct model_host *host, const struct virtio_blk_config *config, unsigned timer)
{
	static const struct virtio_device_ops ops = {
		.config_read = config_read,
		.config_write = config_write,
		.queue_notify = queue_notify,
		.reset = reset,
		.busy = busy,
	};
	const struct blk_device *backend = config->device;
	const struct virtio_identity identity = {
		.type = VIRTIO_BLK_TYPE,
		.class_code = VIRTIO_BLK_CLASS,
		.features = VIRTIO_BLK_F_SIZE_MAX | VIRTIO_BLK_F_SEG_MAX | VIRTIO_BLK_F_BLK_SIZE | VIRTIO_BLK_F_TOPOLOGY | VIRTIO_BLK_F_MQ |
		            (backend->read_only ? VIRTIO_BLK_F_RO : 0) | (backend->flushes ? VIRTIO_BLK_F_FLUSH : 0) |
		            (backend->discards ? VIRTIO_BLK_F_DISCARD : 0) | (backend->writes_zeroes ? VIRTIO_BLK_F_WRITE_ZEROES : 0),
		.config_bytes = VIRTIO_BLK_CONFIG_BYTES,
		.queues = config->queues,
		.queue_size = VIRTIO_BLK_QUEUE_SIZE,
		.packed = config->packed,
	};

	assert(config->queues >= 1 && config->queues <= VIRTIO_BLK_QUEUES_MAX && config->requests != 0);
	static unsigned lanes;

	disk->backend = config->device;
	disk->timer = timer;
	disk->lane = lanes++; /* disks of one device begin at unlike queues of its */
	disk->held = NULL;
	disk->pending = 0;
	disk->starved = false;
	memset(&disk->counts, 0, sizeof(disk->counts));
	memcpy(disk->serial, config->serial[0] != '\0' ? config->serial : backend->serial, BLK_SERIAL_BYTES);
	token_bucket_init(&disk->operations, config->operations_per_second, model_now(host));
	token_bucket_init(&disk->bytes, config->bytes_per_second, model_now(host));
	requests_init(disk, config);
	virtio_pci_init(&disk->device, host, &identity, &ops);
	config_fill(disk);
}
