/*
 * A piece of a buffer in the driver VM's memory: the contents are the guest's, who may change them at any
 * time. What a device has to be told to find it is host_pci_dma_address, page by page.
 */
#ifndef DRIVERS_VM_DRIVER_IO_SEGMENT_H
#define DRIVERS_VM_DRIVER_IO_SEGMENT_H

#include <stddef.h>
#include <stdint.h>

struct io_segment {
	uint8_t *bytes;
	uint32_t count;
};

/* Copies out of, or into, a list of segments, beginning `offset` bytes into it; returns how many bytes there
 * were. */
size_t io_segments_read(const struct io_segment *segment, unsigned segments, uint64_t offset, void *to, size_t count);
size_t io_segments_write(const struct io_segment *segment, unsigned segments, uint64_t offset, const void *from, size_t count);

/*
 * Leaves out the first `bytes` bytes of *segment[0 .. *segments), which has at least as many: moves the
 * pointer past whole segments and shortens the next one.
 */
void io_segments_skip(struct io_segment **segment, unsigned *segments, uint64_t bytes);

#endif
