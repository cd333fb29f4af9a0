/*
 * Page-table entries below PML4 slot 1. Tables are never freed.
 */
#include "tests/guest/lib/vm.h"
#include "tests/guest/lib/cpu.h"
#include "tests/guest/lib/test.h"

volatile uint64_t *vm_entry(uint64_t offset)
{
	uint64_t address = VM_BASE + offset;
	volatile uint64_t *table = boot_pml4;

	for (unsigned shift = 39; shift > 12; shift -= 9) {
		volatile uint64_t *entry = &table[address >> shift & 511];

		if (!(*entry & PTE_P))
			*entry = (uint64_t)guest_alloc_pages(1) | PTE_P | PTE_W | PTE_U;
		table = (volatile uint64_t *)(*entry & PTE_ADDRESS);
	}
	return &table[address >> 12 & 511];
}

void *vm_map(uint64_t offset, uint64_t physical, uint64_t flags)
{
	void *address = (void *)(VM_BASE + offset);

	*vm_entry(offset) = physical | flags;
	invlpg(address);
	return address;
}
