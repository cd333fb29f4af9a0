/*
 * The address space as the tests of mm/ see it: physical memory is an anonymous reservation, of which only
 * touched pages exist. Stands in for the real header by include order.
 */
#ifndef ARCH_X86_64_LAYOUT_H
#define ARCH_X86_64_LAYOUT_H

#include "arch/x86_64/types.h"

extern uint8_t *fake_ram, *fake_frame_table;
extern uint8_t fake_image[];

#define POOL_BASE        ((uint64_t)fake_ram)
#define FRAME_TABLE_BASE ((uint64_t)fake_frame_table)
#define WINDOW_BASE      0xFFFFB00000000000ull
#define MMIO_BASE        0xFFFFC00000000000ull
#define STACK_BASE       0xFFFFD00000000000ull
#define KERNEL_BASE      0xFFFFFFFF80000000ull

#define STACK_BYTES      0x4000ull
#define STACK_SLOT_BYTES 0x8000ull
#define STACK_OF_CPU(id) (STACK_BASE + (uint64_t)(id)*STACK_SLOT_BYTES + STACK_BYTES)

#define CPU_MAX 64u

/* Eight pages: two of text, one of rodata, two sealed after boot, three of data. */
#define FAKE_IMAGE_PAGES    8u
#define FAKE_IMAGE_HPA      0x200000ull
#define kernel_text_start   (fake_image)
#define kernel_text_end     (fake_image + 0x1800)
#define kernel_rodata_start (fake_image + 0x2000)
#define kernel_rodata_end   (fake_image + 0x2123)
#define kernel_sealed_start (fake_image + 0x3000)
#define kernel_data_start   (fake_image + 0x5000)
#define kernel_data_end     (fake_image + 0x8000)

static inline hpa_t kernel_virt_to_hpa(const void *p)
{
	uint64_t offset = (uint64_t)p - (uint64_t)fake_image;

	return FAKE_IMAGE_HPA + (offset < FAKE_IMAGE_PAGES * PAGE_SIZE ? offset : FAKE_IMAGE_PAGES * PAGE_SIZE);
}

#endif
