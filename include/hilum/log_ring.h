/*
 * The kernel's log as a service VM sees it: one header page, then `size` bytes of text, mapped read-only.
 *
 * Byte number n of the log, counted from boot, lies at data[n % size]. A reader keeps its own position `pos`, reads write_seq
 * (acquire), copies [max(pos, write_seq - size), write_seq), then reads write_seq again: bytes older than the new write_seq -
 * size may have been overwritten while they were copied and must be dropped.
 */
#ifndef HILUM_LOG_RING_H
#define HILUM_LOG_RING_H

#include <stdint.h>

#define LOG_RING_MAGIC        0x474F4C4D554C4948ull /* "HILUMLOG" */
#define LOG_RING_VERSION      1u
#define LOG_RING_HEADER_BYTES 4096u
#define LOG_RING_DATA_BYTES   65536u /* a power of two */

struct log_ring {
	uint64_t magic;
	uint32_t version;
	uint32_t size;      /* bytes of data[] */
	uint64_t write_seq; /* bytes ever written; data is stored before it */
	uint8_t reserved[LOG_RING_HEADER_BYTES - 24];
	char data[LOG_RING_DATA_BYTES];
};

_Static_assert(__builtin_offsetof(struct log_ring, write_seq) == 16, "log ring layout is ABI");
_Static_assert(__builtin_offsetof(struct log_ring, data) == LOG_RING_HEADER_BYTES, "log ring layout is ABI");

#endif
