/* Images by name, and small services of the control VM. Images that are uploaded are images.c's. */
#include "drivers-vm/control/control.h"
#include "drivers-vm/control/places.h"
#include <string.h>

struct hilum_host_info control_host;
static struct module modules[MODULES_MAX]; /* the machine's boot modules first */

const char *control_error(int64_t error)
{
	static const char *const words[] = {
		"no error",
		"invalid argument",
		"not enough memory",
		"bad handle",
		"access denied",
		"already exists",
		"not found",
		"busy",
		"not supported on this machine",
		"bad address",
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
	uint64_t at = PLACES_BOOT_MODULES;
	unsigned count = 0;

	for (uint32_t i = 0; i < info->module_count && i < HILUM_BOOT_MODULES_MAX; i++) {
		const struct hilum_boot_module *m = &info->module[i];
		uint64_t bytes = round_up(m->bytes);
		int64_t error = hc(HC_MEMORY_MAP, HILUM_HANDLE_SELF, m->memory, at, 0, bytes, HILUM_MAP_READ);
		if (error < 0 || !service_map_memory(at, bytes)) {
			service_log("module %s: cannot be mapped: %s", m->name, control_error(error));
			continue;
		}
		struct module *module = &modules[count++];
		*module = (struct module){ .data = (const uint8_t *)at,
			                   .bytes = m->bytes,
			                   .parts = 1,
			                   .memory = { m->memory },
			                   .part_bytes = bytes,
			                   .complete = true };
		for (unsigned n = 0; n + 1 < sizeof(module->name) && m->name[n] != ' ' && m->name[n] != '\0'; n++)
			module->name[n] = m->name[n]; /* the first word */
		at += (bytes + 0x1FFFFF) & ~0x1FFFFFull;
	}
}

struct module *module_at(unsigned index)
{
	return modules[index].bytes != 0 ? &modules[index] : NULL;
}

bool module_is_there(const struct module *module)
{
	for (unsigned i = 0; i < MODULES_MAX; i++)
		if (module == &modules[i])
			return module->bytes != 0;
	return false;
}

struct module *modules_uploaded(void)
{
	return &modules[HILUM_BOOT_MODULES_MAX];
}

unsigned module_index(const struct module *module)
{
	return (unsigned)(module - modules);
}

struct module *module_find(const char *name)
{
	for (unsigned i = 0; i < MODULES_MAX; i++)
		if (modules[i].bytes != 0 && modules[i].complete && !modules[i].gone && strcmp(modules[i].name, name) == 0)
			return &modules[i];
	return NULL;
}

struct module *module_place(void)
{
	for (unsigned i = HILUM_BOOT_MODULES_MAX; i < MODULES_MAX; i++)
		if (modules[i].bytes == 0)
			return &modules[i];
	return NULL;
}

void module_hold(struct module *module)
{
	module->holders++;
}

void module_release(struct module *module)
{
	if (module->holders != 0)
		module->holders--;
	if (module->holders == 0 && module->gone)
		module_free(module);
}

static uint64_t part_bytes(const struct module *module, unsigned part)
{
	uint64_t left = round_up(module->bytes) - part * module->part_bytes;

	return left < module->part_bytes ? left : module->part_bytes;
}

void module_unmap(const struct module *module, hilum_handle_t vm, uint64_t gpa)
{
	for (unsigned i = 0; i < module->parts; i++)
		hc(HC_MEMORY_UNMAP, vm, gpa + i * module->part_bytes, part_bytes(module, i));
}

int64_t module_map(const struct module *module, hilum_handle_t vm, uint64_t gpa, uint32_t rights)
{
	for (unsigned i = 0; i < module->parts; i++) {
		uint64_t at = gpa + i * module->part_bytes;
		int64_t error = hc(HC_MEMORY_MAP, vm, module->memory[i], at, 0, part_bytes(module, i), rights);
		if (error >= 0)
			continue;
		for (unsigned done = 0; done < i; done++)
			hc(HC_MEMORY_UNMAP, vm, gpa + done * module->part_bytes, module->part_bytes);
		return error;
	}
	return 0;
}

int64_t control_event(unsigned bit)
{
	return hc(HC_EVENT_CREATE, HILUM_HANDLE_SELF, 0, bit, 0);
}

int64_t control_memory_create(uint64_t bytes, uint32_t flags)
{
	return hc(HC_MEMORY_CREATE, HILUM_HANDLE_HOST, bytes, flags);
}

bool control_fill_page(void *page)
{
	if (hc(HC_VM_STATUS, HILUM_HANDLE_SELF, (uintptr_t)page) < 0)
		return false;
	memset(page, 0, 4096);
	return true;
}

bool control_map_here(hilum_handle_t memory, uint64_t bytes, uint8_t **at)
{
	static uint64_t next = PLACES_FOR_A_WHILE;

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
