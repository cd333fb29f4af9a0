/* See console.h. */
#include "drivers-vm/control/console.h"
#include "drivers-vm/control/control.h"
#include "drivers-vm/control/manager.h"
#include "drivers-vm/control/places.h"

#define CONSOLE_STRIDE 0x200000ull
#define RIGHTS	       (HILUM_MAP_READ | HILUM_MAP_WRITE)

_Static_assert(sizeof(struct vm_record) <= CONSOLE_STRIDE && CONSOLE_STRIDE <= CHANNEL_RECORD_STRIDE, "each has a place");

bool console_open(struct console *console, unsigned place)
{
	uint64_t at = PLACES_CONSOLES + place * CONSOLE_STRIDE;

	if (console->memory != 0)
		return true;
	if (!service_map_memory(PLACES_CONSOLES, MANAGER_VMS_MAX * CONSOLE_STRIDE))
		return false;
	/* Not lazy: what it holds is written by the driver VM, which must not stop for want of memory. */
	int64_t memory = control_memory_create(sizeof(struct vm_record), HILUM_MEMORY_4K_PAGES);
	if (memory < 0)
		return false;
	if (hc(HC_MEMORY_MAP, HILUM_HANDLE_SELF, memory, at, 0, sizeof(struct vm_record), RIGHTS) < 0) {
		hc(HC_HANDLE_CLOSE, memory);
		return false;
	}
	console->memory = (hilum_handle_t)memory;
	console->record = (struct vm_record *)at;
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
