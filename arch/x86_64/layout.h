/*
 * The host's virtual address space: 4-level tables (LA57 off). Every region starts on a PML4 slot of its own,
 * so that no two can share a table by accident. Also included by boot's nasm code through layout.inc, which
 * states the same two constants.
 */
#ifndef ARCH_X86_64_LAYOUT_H
#define ARCH_X86_64_LAYOUT_H

#include "arch/x86_64/types.h"

#define POOL_BASE        0xFFFF800000000000ull /* + hpa; present only for frames of the kernel's pool */
#define FRAME_TABLE_BASE 0xFFFFA00000000000ull
#define WINDOW_BASE      0xFFFFB00000000000ull /* short-lived per-CPU windows to guest pages */
#define MMIO_BASE        0xFFFFC00000000000ull /* LAPIC, IOAPIC, HPET, framebuffer; uncached */
#define STACK_BASE       0xFFFFD00000000000ull /* kernel stacks, each above an unmapped guard */
#define KERNEL_BASE      0xFFFFFFFF80000000ull /* + hpa; the kernel image only */

/*
 * A kernel stack is 16 KiB, aligned to 16 KiB; its lowest eight bytes hold the address of its core's struct
 * cpu (see cpu_self). Slot i of the stack region is 32 KiB, of which the upper half is the stack and the
 * lower half never mapped.
 */
#define STACK_BYTES      0x4000ull
#define STACK_SLOT_BYTES 0x8000ull
#define STACK_OF_CPU(id) (STACK_BASE + (uint64_t)(id)*STACK_SLOT_BYTES + STACK_BYTES)

#define CPU_MAX 64u /* cores; further ones are left asleep */

/* The image's sections, from linker.ld; each boundary is page-aligned. Text is RX, rodata R, sealed (up to data) RW until mm_seal
 * and R from then on, data (with .bss) RW. */
extern uint8_t kernel_image_start[], kernel_text_start[], kernel_text_end[];
extern uint8_t kernel_rodata_start[], kernel_rodata_end[];
extern uint8_t kernel_sealed_start[], kernel_data_start[], kernel_data_end[], kernel_image_end[];

static inline hpa_t kernel_virt_to_hpa(const void *p)
{
	return (uint64_t)p - KERNEL_BASE;
}

#endif
