/*
 * The host's page tables. All tables are pages of the pool, or of the seed that becomes the pool's first
 * part. Must never map guest memory, nor anything both writable and executable. No lock: see host_pt.h.
 */
#include "mm/host_pt.h"

#include "arch/x86_64/cpu.h"
#include "arch/x86_64/panic.h"
#include "arch/x86_64/string.h"
#include "boot/boot.h"
#include "boot/hooks.h"
#include "mm/entry.h"
#include "mm/mmio.h"
#include "mm/pool.h"

/* APM vol. 2, 5.3 "Long-Mode Page Translation". */
#define PT_TABLE    0x23ull /* present, writable, accessed */
#define PT_LARGE    0x80ull
#define PT_ADDRESS  0x000FFFFFFFFFF000ull
#define PT_ENTRIES  512u
#define LARGE_BYTES (1ull << 21)
#define EARLY_BYTES LARGE_BYTES	 /* of the seed, for the tables built before CR3 is loaded */
#define MMIO_END    (MMIO_BASE + (1ull << 39)) /* of its PML4 slot */

static hpa_t root;
static uint64_t mmio_next = MMIO_BASE;
static hpa_t seed_next, seed_end; /* rest of the seed; empty once the pool works */
static uint64_t tables_va;	  /* tables are reached at this + hpa */

static uint64_t *table_at(hpa_t hpa)
{
	return (uint64_t *)(tables_va + hpa);
}

/* A zeroed page of the pool, or of the seed; 0: no memory. */
static hpa_t alloc_page(void)
{
	if (!seed_end) {
		void *page = pool_alloc_page();

		return page ? pool_hpa(page) : 0;
	}
	hpa_t hpa = seed_next;

	assert(hpa < seed_end);
	seed_next += PAGE_SIZE;
	memset(table_at(hpa), 0, PAGE_SIZE);
	return hpa;
}

static unsigned index_at(uint64_t va, unsigned level)
{
	return va >> (PAGE_SHIFT + 9 * (level - 1)) & (PT_ENTRIES - 1);
}

uint64_t *host_pt_entry(uint64_t va, unsigned level)
{
	uint64_t *table = table_at(root);

	for (unsigned l = 4; l > level; l--) {
		uint64_t *entry = &table[index_at(va, l)];

		if (!*entry) {
			hpa_t next = alloc_page();

			if (!next)
				return NULL;
			entry_write(entry, next | PT_TABLE);
		}
		assert(!(*entry & PT_LARGE));
		table = table_at(*entry & PT_ADDRESS);
	}
	return &table[index_at(va, level)];
}

/* The place must be empty. STATUS_NO_MEMORY: no page for a table. */
static enum status map_page(uint64_t va, hpa_t hpa, uint64_t flags)
{
	uint64_t *entry = host_pt_entry(va, 1);

	if (!entry)
		return STATUS_NO_MEMORY;
	assert(!*entry);
	entry_write(entry, hpa | HOST_PT_LEAF | flags);
	return STATUS_OK;
}

void host_pt_map_block(uint64_t va, hpa_t hpa)
{
	uint64_t *entry = host_pt_entry(va, 2);

	assert(entry && !*entry);
	entry_write(entry, hpa | HOST_PT_LEAF | PT_LARGE | HOST_PT_WRITE | HOST_PT_NO_EXECUTE);
}

static void map_image_part(const uint8_t *start, const uint8_t *end, uint64_t flags)
{
	for (; start < end; start += PAGE_SIZE) {
		enum status status = map_page((uint64_t)start, kernel_virt_to_hpa(start), flags);

		assert(status == STATUS_OK);
	}
}

void host_pt_init(hpa_t seed, uint64_t seed_bytes)
{
	uint8_t *early = early_map(seed, EARLY_BYTES);

	assert(early && seed_bytes >= EARLY_BYTES);
	tables_va = (uint64_t)early - seed;
	seed_next = seed;
	seed_end = seed + seed_bytes;
	root = alloc_page();
	map_image_part(kernel_text_start, kernel_text_end, 0);
	map_image_part(kernel_rodata_start, kernel_rodata_end, HOST_PT_NO_EXECUTE);
	map_image_part(kernel_data_start, kernel_data_end, HOST_PT_WRITE | HOST_PT_NO_EXECUTE);
	for (hpa_t at = seed; at < seed_end; at += LARGE_BYTES)
		host_pt_map_block(POOL_BASE + at, at);
	assert(seed_next - seed <= EARLY_BYTES);
	tables_va = POOL_BASE;
	cpu_write_cr3(root);
}

hpa_t host_pt_use_pool(void)
{
	seed_end = 0;
	return seed_next;
}

/* ---- What boot asks for ---- */

void *mm_map_mmio(hpa_t base, uint64_t bytes)
{
	hpa_t first = base & ~PAGE_MASK, last = base + bytes - 1;
	uint64_t va = mmio_next;

	if (!bytes || last < base || last >= 1ull << 52 || bytes > MMIO_END - 2 * PAGE_SIZE - va ||
	    !mmio_claim(first, last))
		return NULL;
	for (hpa_t at = first; at <= last; at += PAGE_SIZE, mmio_next += PAGE_SIZE) {
		/* What was mapped in vain stays so. */
		if (map_page(mmio_next, at, HOST_PT_WRITE | HOST_PT_UNCACHED | HOST_PT_NO_EXECUTE) != STATUS_OK)
			return NULL;
	}
	return (void *)(va + (base & PAGE_MASK));
}

enum status mm_map_stack(cpu_id_t id)
{
	uint64_t va = STACK_OF_CPU(id);
	uint8_t *pages = pool_alloc_pages(2);

	static_assert(STACK_BYTES == PAGE_SIZE << 2, "four pages");
	if (!pages)
		return STATUS_NO_MEMORY;
	for (uint64_t at = 0; at < STACK_BYTES; at += PAGE_SIZE) {
		enum status status =
			map_page(va + at, pool_hpa(pages + at), HOST_PT_WRITE | HOST_PT_NO_EXECUTE);

		/* The pages that are mapped by now cannot go back, and boot leaves this core out anyway. */
		if (status != STATUS_OK)
			return status;
	}
	return STATUS_OK;
}
