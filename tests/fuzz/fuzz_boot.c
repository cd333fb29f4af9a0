/*
 * libFuzzer target for what boot reads: first byte even, the rest is Multiboot2 information; odd, it is
 * physical memory from address 4096 on with an RSDP at its start. Every block is copied to an allocation of
 * its exact size for ASan.
 *
 * FUZZ_SOURCES: boot/multiboot2.c boot/memory_map.c arch/x86_64/acpi.c arch/x86_64/acpi_tables.c arch/x86_64/acpi_iommu.c
 * FUZZ_SOURCES: arch/x86_64/string_copy.c
 * FUZZ_OPTIONS: -max_len=4096
 */
#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "arch/x86_64/acpi.h"
#include "arch/x86_64/features.h"
#include "boot/multiboot2.h"

struct cpu_features cpu_features = { .phys_bits = 52 };

#define MEMORY_BASE 4096u

static const uint8_t *memory;
static size_t memory_bytes;
static void *mapped[1024];
static unsigned mapped_count;

static void *map(hpa_t base, uint64_t bytes)
{
	if (base < MEMORY_BASE || base - MEMORY_BASE > memory_bytes || bytes > memory_bytes - (base - MEMORY_BASE) ||
	    mapped_count == sizeof(mapped) / sizeof(mapped[0]))
		return NULL;
	void *copy = malloc(bytes);

	assert(copy);
	memcpy(copy, memory + (base - MEMORY_BASE), bytes);
	/* Most damage should reach the parsers: a whole table gets the checksum right. */
	uint8_t sum = 0;

	for (uint64_t i = 0; i < bytes; i++)
		sum = (uint8_t)(sum + ((uint8_t *)copy)[i]);
	if (bytes > 36)
		((uint8_t *)copy)[9] = (uint8_t)(((uint8_t *)copy)[9] - sum);
	mapped[mapped_count++] = copy;
	return copy;
}

static void complain(const char *name, const char *what)
{
	assert(name && what);
}

static void fuzz_acpi(const uint8_t *data, size_t bytes)
{
	static const struct acpi_access access = { map, complain };
	static struct acpi_info info;
	uint8_t rsdp[36] = { 0 }, sum = 0;

	memory = data;
	memory_bytes = bytes;
	memcpy(rsdp, data, bytes < sizeof(rsdp) ? bytes : sizeof(rsdp));
	memcpy(rsdp, "RSD PTR ", 8);
	rsdp[8] = 0;
	for (int i = 0; i < 20; i++)
		sum = (uint8_t)(sum + rsdp[i]);
	rsdp[8] = (uint8_t)-sum;
	(void)!acpi_scan(rsdp, sizeof(rsdp), &access, &info);
	assert(info.cpu_count <= CPU_MAX && info.ioapic_count <= ACPI_IOAPICS_MAX);
	assert(info.iommu_count <= ACPI_IOMMUS_MAX && info.reserved_count <= ACPI_RESERVED_MAX);
	while (mapped_count)
		free(mapped[--mapped_count]);
}

static void fuzz_multiboot2(const uint8_t *data, size_t bytes)
{
	static struct boot_info info;
	uint8_t *copy = malloc(bytes);

	assert(copy);
	memcpy(copy, data, bytes);
	const char *defect = multiboot2_parse(copy, bytes, &info);
	assert(!defect || *defect);

	free(copy);
	for (uint32_t i = 0; i < info.range_count; i++) {
		const struct boot_range *r = &info.ranges[i];

		assert(r->bytes && !((r->base | r->bytes) & PAGE_MASK) && r->type != BOOT_RANGE_NONE);
		assert(!i || r[-1].base + r[-1].bytes <= r->base);
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes)
{
	if (bytes < 16)
		return 0;
	if (data[0] & 1)
		fuzz_acpi(data + 1, bytes - 1);
	else
		fuzz_multiboot2(data + 1, bytes - 1);
	return 0;
}
