/*
 * 4 KiB mappings of a test guest's own, from VM_BASE up (PML4 slot 1), beside the identity map of the first 4
 * GiB.
 */
#ifndef TESTS_GUEST_LIB_VM_H
#define TESTS_GUEST_LIB_VM_H

#include <stdint.h>

#define VM_BASE 0x8000000000ull

#define PTE_P       (1ull << 0)
#define PTE_W       (1ull << 1)
#define PTE_U       (1ull << 2)
#define PTE_PWT     (1ull << 3)
#define PTE_PCD     (1ull << 4)
#define PTE_A       (1ull << 5)
#define PTE_D       (1ull << 6)
#define PTE_PS      (1ull << 7)
#define PTE_G       (1ull << 8)
#define PTE_NX      (1ull << 63)
#define PTE_ADDRESS 0x000FFFFFFFFFF000ull

/*
 * The leaf entry of VM_BASE + offset; tables above it are made as needed, with user and write rights. No
 * flush.
 */
volatile uint64_t *vm_entry(uint64_t offset);

/* Maps a page at VM_BASE + offset and flushes it; returns the virtual address. */
void *vm_map(uint64_t offset, uint64_t physical, uint64_t flags);

extern uint64_t boot_pml4[512];

#endif
