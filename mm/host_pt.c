/*
 * The host's page tables. All tables are pages of the pool, or of the seed that becomes the pool's first
 * part. Must never map guest memory, nor anything both writable and executable. No lock: see host_pt.h.
 */
#include "mm/host_pt.h"

#include "arch/x86_64/cpu.h"
#include "arch/x86_64/features.h"
#include "arch/x86_64/log.h"
#include "boot/hooks.h"
#include "mm/entry.h"
#include "mm/frame.h"
#include "mm/nested_pt.h"
#include "mm/pool.h"

#define MMIO_END (MMIO_BASE + (1ull << 39)) /* of its PML4 slot */

#define RIGHTS_RW (HILUM_MAP_READ | HILUM_MAP_WRITE)
#define RIGHTS_RX (HILUM_MAP_READ | HILUM_MAP_EXECUTE)

/* APM vol. 2, 5.3 "Long-Mode Page Translation". */
static const struct nested_pt_format format = {
	.table = 0x23, /* present, writable, accessed */
	.leaf = { [HILUM_MAP_READ] = HOST_PT_LEAF | HOST_PT_NO_EXECUTE,
	          [RIGHTS_RW] = HOST_PT_LEAF | HOST_PT_WRITE | HOST_PT_NO_EXECUTE,
	          [RIGHTS_RX] = HOST_PT_LEAF },
	.uncached = HOST_PT_UNCACHED,
	.levels = 4,
	.max_leaf_level = 2,
};
static struct nested_pt host;
static uint64_t mmio_next = MMIO_BASE;

uint64_t *host_pt_entry(uint64_t va, unsigned level)
{
	uint64_t *entry;

	return nested_pt_entry(&host, va, level, &entry) == STATUS_OK ? entry : NULL;
}

void host_pt_map_block(uint64_t va, hpa_t hpa)
{
	enum status status = nested_pt_install(&host, va, hpa, FRAME_ORDER_2M, RIGHTS_RW);

	assert(status == STATUS_OK);
}

static void map_image_part(const uint8_t *start, const uint8_t *end, unsigned rights)
{
	enum status status = nested_pt_map(&host, (uint64_t)start, kernel_virt_to_hpa(start), ALIGN_UP((uint64_t)(end - start), PAGE_SIZE),
	                                   rights);

	assert(status == STATUS_OK);
}

void host_pt_init(hpa_t seed, hpa_t seed_end)
{
	enum status status = nested_pt_init(&host, &format);

	assert(status == STATUS_OK);
	map_image_part((uint8_t *)KERNEL_BASE + LOG_BOX_HPA, (uint8_t *)KERNEL_BASE + LOG_BOX_HPA + sizeof(log_last_run), RIGHTS_RW);
	map_image_part(kernel_text_start, kernel_text_end, RIGHTS_RX);
	map_image_part(kernel_rodata_start, kernel_rodata_end, HILUM_MAP_READ);
	map_image_part(kernel_sealed_start, kernel_data_end, RIGHTS_RW);
	for (hpa_t at = seed; at < seed_end; at += LARGE_PAGE_SIZE)
		host_pt_map_block(POOL_BASE + at, at);
	cpu_write_cr3(host.root);
}

/* ---- What boot asks for ---- */

void mm_seal(void)
{
	for (uint64_t at = (uint64_t)kernel_sealed_start; at < (uint64_t)kernel_data_start; at += PAGE_SIZE) {
		uint64_t *entry = host_pt_entry(at, 1);

		entry_write(entry, entry_read(entry) & ~HOST_PT_WRITE);
	}
}

void *mm_map_mmio(hpa_t base, uint64_t bytes)
{
	hpa_t first = base & ~PAGE_MASK, last = base + bytes - 1;
	uint64_t va = mmio_next, mapped = ALIGN_UP(last + 1, PAGE_SIZE) - first;

	if (!bytes || last < base || last >= HPA_LIMIT || bytes > MMIO_END - 2 * PAGE_SIZE - va || !mmio_claim(first, last))
		return NULL;
	mmio_next += mapped; /* what is mapped in vain stays so */
	if (nested_pt_map(&host, va, first, mapped, RIGHTS_RW | NESTED_PT_UNCACHED) != STATUS_OK)
		return NULL;
	return (void *)(va + (base & PAGE_MASK));
}

enum status mm_map_stack(cpu_id_t id)
{
	uint8_t *pages = pool_alloc_pages(2);

	_Static_assert(STACK_BYTES == PAGE_SIZE << 2, "four pages");
	if (!pages)
		return STATUS_NO_MEMORY;
	/* What is mapped when that fails cannot go back, and boot leaves this core out anyway. */
	return nested_pt_map(&host, STACK_OF_CPU(id), pool_hpa(pages), STACK_BYTES, RIGHTS_RW);
}
