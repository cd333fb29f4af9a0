/* What all block devices have in common: the check before a request is submitted, and waiting for one. */
#include "drivers-vm/driver/blk_device.h"

#define READ_SECTORS_MAX 0x400000ull /* in one segment */

static bool moves_data(enum blk_operation operation)
{
	return operation == BLK_READ || operation == BLK_WRITE;
}

static bool is_supported(const struct blk_device *device, enum blk_operation operation)
{
	switch (operation) {
	case BLK_READ:
	case BLK_WRITE:
		return true;
	case BLK_FLUSH:
		return device->flushes;
	case BLK_DISCARD:
		return device->discards;
	case BLK_WRITE_ZEROES:
		return device->writes_zeroes;
	}
	return false;
}

static bool data_fits(const struct blk_device *device, const struct blk_request *request)
{
	uint64_t bytes = 0;

	if (device->segments_max != 0 && request->segments > device->segments_max)
		return false;
	if (device->sectors_max != 0 && request->sectors > device->sectors_max)
		return false;
	for (unsigned i = 0; i < request->segments; i++)
		bytes += request->segment[i].count;
	return bytes == request->sectors * BLK_SECTOR_BYTES;
}

enum blk_status blk_request_check(const struct blk_device *device, const struct blk_request *request)
{
	enum blk_operation operation = request->operation;

	if (!is_supported(device, operation))
		return BLK_UNSUPPORTED;
	if (operation == BLK_FLUSH)
		return request->sector == 0 && request->sectors == 0 ? BLK_OK : BLK_IO_ERROR;
	if (operation != BLK_READ && device->read_only)
		return BLK_IO_ERROR;
	if (request->sectors == 0 || request->sector > device->sectors || request->sectors > device->sectors - request->sector)
		return BLK_IO_ERROR;
	return !moves_data(operation) || data_fits(device, request) ? BLK_OK : BLK_IO_ERROR;
}

static void note_status(struct blk_request *request, enum blk_status status)
{
	request->tag[0] = status;
	request->next = request;
}

bool blk_read_wait(struct blk_device *device, uint64_t sector, uint64_t sectors, void *to)
{
	const struct io_segment segment = { to, (uint32_t)(sectors * BLK_SECTOR_BYTES) };
	struct blk_request request = {
		.operation = BLK_READ,
		.sector = sector,
		.sectors = sectors,
		.segment = &segment,
		.segments = 1,
		.done = note_status,
	};
	enum blk_status status;

	if (sectors > READ_SECTORS_MAX || blk_request_check(device, &request) != BLK_OK)
		return false;
	status = device->ops->submit(device, &request);
	if (status != BLK_PENDING)
		return status == BLK_OK;
	while (*(struct blk_request *volatile *)&request.next != &request)
		device->ops->poll(device);
	return request.tag[0] == BLK_OK;
}
