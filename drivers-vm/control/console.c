/* See console.h. */
#include "drivers-vm/control/console.h"
#include "drivers-vm/control/control.h"
#include "drivers-vm/control/manager.h"
#include "drivers-vm/control/places.h"

#define CONSOLE_STRIDE 0x200000ull
#define RIGHTS         (HILUM_MAP_READ | HILUM_MAP_WRITE)

#define SPARE_BYTES (4ull << 20) /* of the machine, before pages are touched that may be empty */

/* NOLINTNEXTLINE(bugprone-sizeof-expression): it takes the constant, a size, for a number that no size can reach */
_Static_assert(sizeof(struct vm_record) <= CONSOLE_STRIDE && PLACES_CONSOLES + MANAGER_VMS_MAX * CONSOLE_STRIDE <= PLACES_UPLOADS,
               "each has a place");

bool console_open(struct console *console, unsigned place)
{
	uint64_t at = PLACES_CONSOLES + place * CONSOLE_STRIDE;

	if (console->memory != 0)
		return true;
	if (!service_map_memory(PLACES_CONSOLES, MANAGER_VMS_MAX * CONSOLE_STRIDE))
		return false;
	/* The output comes page by page: one that writes little costs little. The driver VM asks for each page before it writes there. */
	int64_t memory = control_memory_create(sizeof(struct vm_record), HILUM_MEMORY_LAZY | HILUM_MEMORY_4K_PAGES);
	if (memory < 0)
		return false;
	if (hc(HC_MEMORY_MAP, HILUM_HANDLE_SELF, memory, at, 0, sizeof(struct vm_record), RIGHTS) < 0) {
		hc(HC_HANDLE_CLOSE, memory);
		return false;
	}
	*console = (struct console){ .memory = (hilum_handle_t)memory, .record = (struct vm_record *)at };
	if (control_fill_page(console->record))
		return true;
	console_close(console);
	return false;
}

bool console_can_read(struct console *console)
{
	uint64_t end = vm_record_end(console->record);

	if (end <= console->there)
		return true;
	if (hc(HC_HOST_INFO, HILUM_HANDLE_HOST, (uintptr_t)&control_host) < 0 || control_host.free_bytes < SPARE_BYTES)
		return false;
	console->there = end;
	return true;
}

bool console_recover(struct console *console, unsigned place, hilum_handle_t memory)
{
	uint64_t at = PLACES_CONSOLES + place * CONSOLE_STRIDE;

	if (!service_map_memory(PLACES_CONSOLES, MANAGER_VMS_MAX * CONSOLE_STRIDE) ||
	    hc(HC_MEMORY_MAP, HILUM_HANDLE_SELF, memory, at, 0, sizeof(struct vm_record), RIGHTS) < 0)
		return false;
	console->memory = memory;
	console->record = (struct vm_record *)at;
	return true;
}

void console_close(struct console *console)
{
	if (console->memory == 0)
		return;
	hc(HC_MEMORY_UNMAP, HILUM_HANDLE_SELF, (uintptr_t)console->record, sizeof(struct vm_record));
	hc(HC_HANDLE_CLOSE, console->memory);
	*console = (struct console){ 0 };
}
