/* Requests become copies. Discarded sectors read as zeroes, so that nothing of what was there stays. */
#include "drivers-vm/driver/blk_ram.h"

#include <string.h>

static enum blk_status submit(struct blk_device *device, struct blk_request *request)
{
	struct blk_ram *disk = (struct blk_ram *)device;
	uint8_t *at = disk->memory + request->sector * BLK_SECTOR_BYTES;
	uint64_t bytes = request->sectors * BLK_SECTOR_BYTES;

	switch (request->operation) {
	case BLK_READ:
		io_segments_write(request->segment, request->segments, 0, at, bytes);
		return BLK_OK;
	case BLK_WRITE:
		io_segments_read(request->segment, request->segments, 0, at, bytes);
		return BLK_OK;
	case BLK_DISCARD:
	case BLK_WRITE_ZEROES:
		memset(at, 0, bytes);
		return BLK_OK;
	case BLK_FLUSH:
		return BLK_OK;
	}
	return BLK_UNSUPPORTED;
}

void blk_ram_init(struct blk_ram *disk, void *memory, uint64_t bytes, bool read_only)
{
	static const struct blk_device_ops ops = { .submit = submit };

	*disk = (struct blk_ram){
		.device =
			{
				.ops = &ops,
				.sectors = bytes / BLK_SECTOR_BYTES,
				.physical_block_bytes = 4096,
				.read_only = read_only,
				.flushes = true,
				.discards = !read_only,
				.writes_zeroes = !read_only,
			},
		.memory = memory,
	};
}
