/* Boot modules and small services of the control VM. */
#include "drivers-vm/control/control.h"
#include <string.h>

#define MODULES_GPA 0x4000000000ull /* 256 GiB: modules from here up */
#define HERE_GPA    0x6000000000ull /* 384 GiB: memory that is mapped for a while */

struct hilum_host_info control_host;
static struct module modules[HILUM_BOOT_MODULES_MAX];
static unsigned module_count;

const char *control_error(int64_t error)
{
	static const char *const words[] = {
		"no error", "invalid argument", "not enough memory", "bad handle", "access denied", "already exists",
		"not found", "busy", "not supported on this machine", "bad address",
	};
	uint64_t i = (uint64_t)-error;

	return i < sizeof(words) / sizeof(words[0]) ? words[i] : "unknown error";
}

static uint64_t round_up(uint64_t bytes)
{
	return (bytes + 4095) & ~4095ull;
}

void modules_init(void)
{
	const struct hilum_boot_info *info = (const struct hilum_boot_info *)HILUM_SERVICE_BOOT_INFO_GPA;
	uint64_t at = MODULES_GPA;

	for (uint32_t i = 0; i < info->module_count && i < HILUM_BOOT_MODULES_MAX; i++) {
		const struct hilum_boot_module *m = &info->module[i];
		uint64_t bytes = round_up(m->bytes);
		int64_t error = hc(HC_MEMORY_MAP, HILUM_HANDLE_SELF, m->memory, at, 0, bytes, HILUM_MAP_READ);
		if (error < 0 || !service_map_memory(at, bytes)) {
			service_log("module %s: cannot be mapped: %s", m->name, control_error(error));
			continue;
		}
		struct module *module = &modules[module_count++];
		*module = (struct module){ .memory = m->memory, .data = (const uint8_t *)at, .bytes = m->bytes };
		for (unsigned n = 0; n + 1 < sizeof(module->name) && m->name[n] != ' ' && m->name[n] != '\0'; n++)
			module->name[n] = m->name[n]; /* the first word */
		at += (bytes + 0x1FFFFF) & ~0x1FFFFFull;
	}
}

const struct module *module_find(const char *name)
{
	for (unsigned i = 0; i < module_count; i++)
		if (strcmp(modules[i].name, name) == 0)
			return &modules[i];
	return NULL;
}

int64_t control_event(unsigned bit)
{
	return hc(HC_EVENT_CREATE, HILUM_HANDLE_SELF, 0, bit, 0);
}

int64_t control_memory_create(uint64_t bytes, uint32_t flags)
{
	return hc(HC_MEMORY_CREATE, HILUM_HANDLE_HOST, bytes, flags);
}

bool control_map_here(hilum_handle_t memory, uint64_t bytes, uint8_t **at)
{
	static uint64_t next = HERE_GPA;

	if (hc(HC_MEMORY_MAP, HILUM_HANDLE_SELF, memory, next, 0, bytes, HILUM_MAP_READ | HILUM_MAP_WRITE) < 0)
		return false;
	*at = (uint8_t *)next;
	if (!service_map_memory(next, bytes)) {
		control_unmap_here(*at, bytes);
		return false;
	}
	return true; /* the place is used again: one mapping at a time, but for those that stay and move it on */
}

void control_unmap_here(uint8_t *at, uint64_t bytes)
{
	hc(HC_MEMORY_UNMAP, HILUM_HANDLE_SELF, (uintptr_t)at, bytes);
}
