/* The runtime's part that knows the hypervisor. */
#include "drivers-vm/runtime/service.h"
#include "drivers-vm/runtime/heap.h"
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

bool hypercall_is_intel;

extern uint64_t service_pml4[512], service_pdpt[512];
extern uint8_t _end[], __heap_bytes[];

#define NO_EXECUTE (1ull << 63)

static uint64_t ns_mul, tsc_mul; /* 32.32 fixed point */

void service_main(uint32_t vcpu);

static void cpuid(uint32_t leaf, uint32_t out[4])
{
	__asm__ volatile("cpuid" : "=a"(out[0]), "=b"(out[1]), "=c"(out[2]), "=d"(out[3]) : "a"(leaf), "c"(0));
}

/* By each vCPU: whoever comes second changes nothing, and nobody waits for another. */
static void init_constants(void)
{
	uint32_t r[4];
	uint64_t hz = service_shared()->tsc_hz;

	cpuid(0, r);
	hypercall_is_intel = r[1] == 0x756E6547; /* "Genu" of GenuineIntel */
	ns_mul = (1000000000ull << 32) / hz;
	tsc_mul = ((hz / 1000000000) << 32) + ((hz % 1000000000) << 32) / 1000000000;
}

void service_main(uint32_t vcpu)
{
	init_constants();
	if (vcpu == 0)
		heap_init_global(_end, (size_t)__heap_bytes);
	service_start(vcpu);
}

uint64_t service_tsc_to_ns(uint64_t tsc)
{
	return (uint64_t)((unsigned __int128)tsc * ns_mul >> 32);
}

uint64_t service_ns_to_tsc(uint64_t ns)
{
	return (uint64_t)((unsigned __int128)ns * tsc_mul >> 32);
}

void service_log(const char *fmt, ...)
{
	char line[HILUM_LOG_LINE_MAX + 1];
	va_list args;

	va_start(args, fmt);
	int n = vsnprintf(line, sizeof(line), fmt, args);
	va_end(args);
	if (n > 0)
		hc(HC_LOG_WRITE, (uintptr_t)line, strlen(line));
}

_Noreturn void runtime_abort(const char *reason)
{
	service_log("service VM stops: %s", reason);
	for (;;)
		__asm__ volatile("ud2"); /* no exception handler: a triple fault, which the kernel reports and acts on */
}

static bool has_1g_pages(void)
{
	uint32_t r[4];

	cpuid(0x80000001, r);
	return r[3] >> 26 & 1;
}

/* A table's page; the first use of an entry fills it for ever. */
static uint64_t *table_of(uint64_t *entry)
{
	if (*entry == 0) {
		void *page = aligned_alloc(4096, 4096);
		if (page == NULL)
			return NULL;
		memset(page, 0, 4096);
		*entry = (uintptr_t)page | 3;
	}
	return (uint64_t *)(uintptr_t)(*entry & 0x000FFFFFFFFFF000ull);
}

bool service_map_memory(uint64_t gpa, uint64_t bytes)
{
	static struct service_lock lock;
	const uint64_t gib = 1ull << 30;
	bool large = has_1g_pages(), ok = true;

	service_lock(&lock);
	for (uint64_t at = gpa & ~(gib - 1); at < gpa + bytes && ok; at += gib) {
		if (at < 4 * gib)
			continue;
		uint64_t *pdpt = table_of(&service_pml4[at >> 39 & 511]);
		uint64_t *entry = pdpt != NULL ? &pdpt[at >> 30 & 511] : NULL;
		if (entry == NULL) {
			ok = false;
		} else if (large) {
			*entry = at | 0x83 | NO_EXECUTE;
		} else if (*entry == 0) {
			uint64_t *pd = table_of(entry);
			for (unsigned i = 0; pd != NULL && i < 512; i++)
				pd[i] = (at + i * 0x200000ull) | 0x83 | NO_EXECUTE;
			ok = pd != NULL;
		}
	}
	service_unlock(&lock);
	return ok;
}
