/*
 * What the models of both vendors' IOMMUs share: registers, a cache that forgets only what it is told to forget, and the machine
 * around them. A test asks what a device's access comes to; the answer is the hardware's, from its tables in the fake memory.
 */
#ifndef TESTS_UNIT_FAKE_IOMMU_IOMMU_MODEL_H
#define TESTS_UNIT_FAKE_IOMMU_IOMMU_MODEL_H

#include "machine.h"

#include <stdio.h>
#include <string.h>
#include <sys/mman.h>

#include "arch/x86_64/log.h"
#include "arch/x86_64/features.h"
#include "boot/hooks.h"
#include "mm/host_pt.h"
#include "mm/iommu_private.h"
#include "mm/pool.h"
#include "mm/window.h"

#define UNITS      2u
#define UNIT_BASE  0xFED90000ull
#define UNIT_BYTES 0x4000u
#define RID        0x1234
#define OTHER_RID  0x1235
#define BLOCKED    (~0ull)
#define RW         (HILUM_MAP_READ | HILUM_MAP_WRITE)
#define MIB        (1ull << 20)
#define GIB        (1ull << 30)

static uint8_t model_regs[UNITS][UNIT_BYTES];
static unsigned log_lines;

/* One cached answer a page, for requester and domain. */
static struct {
	bool used;
	unsigned unit;
	uint16_t rid, domain;
	uint64_t page, entry;
} cache[64];

static uint64_t reg(unsigned unit, unsigned offset)
{
	uint64_t v;

	memcpy(&v, &model_regs[unit][offset], 8);
	return v;
}

static void set_reg(unsigned unit, unsigned offset, uint64_t value, unsigned bytes)
{
	memcpy(&model_regs[unit][offset], &value, bytes);
}

static uint64_t phys(hpa_t hpa)
{
	uint64_t v;

	assert_true(hpa % 8 == 0 && hpa + 8 <= FAKE_RAM_BYTES);
	memcpy(&v, fake_ram + hpa, 8);
	return v;
}

/*
 * A unit that walks past the caches reads of its tables what was flushed: the lines as they were then, and nonsense where none ever was.
 * Its queue it always sees as it is.
 */
#define LINE_BYTES 64u
static bool walks_past_caches;

struct flushed_line {
	bool once;
	uint64_t word[LINE_BYTES / 8];
};

static struct flushed_line *flushed_line(hpa_t hpa)
{
	static struct flushed_line *lines;
	const size_t bytes = FAKE_RAM_BYTES / LINE_BYTES * sizeof(*lines);

	if (!lines)
		lines = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	assert_ptr_not_equal(lines, MAP_FAILED);
	return &lines[hpa / LINE_BYTES];
}

void cpu_flush_line(const void *p)
{
	hpa_t hpa = (hpa_t)((const uint8_t *)p - fake_ram) & ~(uint64_t)(LINE_BYTES - 1);
	struct flushed_line *line = flushed_line(hpa);

	line->once = true;
	memcpy(line->word, fake_ram + hpa, LINE_BYTES);
}

/* What a unit reads of its tables. */
static uint64_t table_word(hpa_t hpa)
{
	assert_true(hpa < FAKE_RAM_BYTES);
	const struct flushed_line *line = walks_past_caches ? flushed_line(hpa) : NULL;

	if (!line)
		return phys(hpa);
	return line->once ? line->word[hpa / 8 % (LINE_BYTES / 8)] : UINT64_MAX;
}

static void cache_forget(unsigned unit, bool all, uint16_t domain)
{
	for (unsigned i = 0; i < ARRAY_SIZE(cache); i++)
		if (cache[i].unit == unit && (all || cache[i].domain == domain))
			cache[i].used = false;
}

static uint64_t *cache_find(unsigned unit, uint16_t rid, uint64_t page)
{
	for (unsigned i = 0; i < ARRAY_SIZE(cache); i++)
		if (cache[i].used && cache[i].unit == unit && cache[i].rid == rid && cache[i].page == page)
			return &cache[i].entry;
	return NULL;
}

static void cache_put(unsigned unit, uint16_t rid, uint16_t domain, uint64_t page, uint64_t entry)
{
	for (unsigned i = 0; i < ARRAY_SIZE(cache); i++) {
		if (cache[i].used)
			continue;
		cache[i].used = true;
		cache[i].unit = unit;
		cache[i].rid = rid;
		cache[i].domain = domain;
		cache[i].page = page;
		cache[i].entry = entry;
		return;
	}
}

static unsigned unit_of(const volatile void *p, unsigned *offset)
{
	size_t at = (size_t)((const volatile uint8_t *)p - model_regs[0]);

	assert_true(at < sizeof(model_regs));
	*offset = at % UNIT_BYTES;
	return (unsigned)(at / UNIT_BYTES);
}

void *mm_map_mmio(hpa_t base, uint64_t bytes)
{
	assert_true(base >= UNIT_BASE && base < UNIT_BASE + UNITS * 0x1000 && bytes <= UNIT_BYTES);
	return model_regs[(base - UNIT_BASE) / 0x1000];
}

void log_info(const char *fmt, ...)
{
	log_lines += !strncmp(fmt, "warning: ", 9);
}

struct window_core window_cores[CPU_MAX];

/* Frames under objects do not change here. */
void *window_show(struct window_core *w, cpu_id_t cpu, unsigned slot, hpa_t frame)
{
	(void)w;
	fail_msg("core %u shows frame %#lx in slot %u", cpu, frame, slot);
	return NULL;
}

void window_zero_frames(hpa_t hpa, unsigned order)
{
	memset(fake_ram + hpa, 0, PAGE_SIZE << order);
}

void host_pt_map_block(uint64_t va, hpa_t hpa)
{
	(void)va;
	(void)hpa;
}

#endif
