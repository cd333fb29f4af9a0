/* Copies between lists of segments and plain memory. */
#include "drivers-vm/driver/io_segment.h"

#include <string.h>

/* Out of the segments to `to`, or, if that is NULL, into them from `from`. */
static size_t copy(const struct io_segment *segment, unsigned segments, uint64_t offset, uint8_t *to, const uint8_t *from, size_t count)
{
	size_t done = 0;

	for (unsigned i = 0; i < segments && done < count; i++) {
		if (offset >= segment[i].count) {
			offset -= segment[i].count;
			continue;
		}
		size_t part = segment[i].count - (size_t)offset;
		if (part > count - done)
			part = count - done;
		if (to != NULL)
			memcpy(to + done, segment[i].bytes + offset, part);
		else
			memcpy(segment[i].bytes + offset, from + done, part);
		done += part;
		offset = 0;
	}
	return done;
}

size_t io_segments_read(const struct io_segment *segment, unsigned segments, uint64_t offset, void *to, size_t count)
{
	return copy(segment, segments, offset, to, NULL, count);
}

size_t io_segments_write(const struct io_segment *segment, unsigned segments, uint64_t offset, const void *from, size_t count)
{
	return copy(segment, segments, offset, NULL, from, count);
}

void io_segments_skip(struct io_segment **segment, unsigned *segments, uint64_t bytes)
{
	while (*segments != 0 && bytes >= (*segment)->count) {
		bytes -= (*segment)->count;
		(*segment)++;
		(*segments)--;
	}
	if (*segments != 0) {
		(*segment)->bytes += bytes;
		(*segment)->count -= (uint32_t)bytes;
	}
}
