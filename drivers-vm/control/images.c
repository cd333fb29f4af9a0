/*
 * Images that come over the network. Each is made of memory objects that are taken as the bytes come, so that what never comes costs
 * nothing, and a machine without memory says so instead of stopping. One that is replaced while a VM uses it lives on until that VM goes.
 */
#include "drivers-vm/control/control.h"
#include "drivers-vm/control/guest_memory.h"
#include "drivers-vm/control/manager.h"
#include "drivers-vm/control/places.h"
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#define BIG_PAGE 0x200000ull

static enum manager_result fail(struct manager_error *error, enum manager_result result, const char *format, ...)
	__attribute__((format(printf, 3, 4)));

static enum manager_result fail(struct manager_error *error, enum manager_result result, const char *format, ...)
{
	va_list args;

	memset(error, 0, sizeof(*error));
	va_start(args, format);
	vsnprintf(error->detail, sizeof(error->detail), format, args);
	va_end(args);
	return result;
}

static uint64_t place_bytes(const struct module *m)
{
	return m->part_bytes * MODULE_PARTS_MAX;
}

/* Addresses for `bytes`, where no other upload is; 0: there are none. */
static uint64_t place_find(uint64_t bytes)
{
	uint64_t at = PLACES_UPLOADS;

	for (unsigned i = 0; i < MODULES_MAX; i++) {
		const struct module *m = module_at(i);
		uint64_t gpa = m != NULL ? (uintptr_t)m->data : 0;
		if (m == NULL || !m->uploaded || gpa >= at + bytes || gpa + place_bytes(m) <= at)
			continue;
		at = gpa + place_bytes(m);
		i = (unsigned)-1; /* those before may be in the way of the new place */
	}
	return at + bytes <= PLACES_UPLOADS_LIMIT ? at : 0;
}

int manager_image_begin(const char *name, uint64_t bytes, struct manager_error *error)
{
	const struct module *there = module_find(name);
	struct module *m = module_place();

	if (there != NULL && !there->uploaded)
		return -(int)fail(error, MANAGER_CONFLICT, "a boot module has this name");
	if (bytes == 0 || strlen(name) >= sizeof(m->name))
		return -(int)fail(error, MANAGER_INVALID, "an image has at least one byte, and a name of at most %u",
		                  CONFIG_MODULE_BYTES - 1);
	if (m == NULL)
		return -(int)fail(error, MANAGER_FULL, "there are as many images as there can be");
	if (bytes > guest_memory_spare())
		return -(int)fail(error, MANAGER_NO_MEMORY, "%lu MiB are wanted, %lu MiB are free and not promised to VMs",
		                  (unsigned long)(bytes >> 20), (unsigned long)(guest_memory_spare() >> 20));
	uint64_t part = ((bytes + MODULE_PARTS_MAX - 1) / MODULE_PARTS_MAX + BIG_PAGE - 1) & ~(BIG_PAGE - 1);
	uint64_t gpa = place_find(part * MODULE_PARTS_MAX);
	if (gpa == 0 || !service_map_memory(gpa, part * MODULE_PARTS_MAX))
		return -(int)fail(error, MANAGER_NO_MEMORY, "there is no place for so large an image");
	*m = (struct module){ .data = (const uint8_t *)gpa, .bytes = bytes, .part_bytes = part, .uploaded = true };
	snprintf(m->name, sizeof(m->name), "%s", name);
	return (int)module_index(m);
}

/* The upload of that number; NULL: there is none. */
static struct module *upload_at(int upload)
{
	struct module *m = upload >= 0 && upload < (int)MODULES_MAX ? module_at((unsigned)upload) : NULL;

	return m != NULL && m->uploaded && !m->complete ? m : NULL;
}

/* Memory for the byte that comes next. */
static bool grow(struct module *m)
{
	uint64_t at = m->parts * m->part_bytes;
	uint64_t left = (m->bytes - at + 4095) & ~4095ull, bytes = left < m->part_bytes ? left : m->part_bytes;
	int64_t memory = guest_memory_spare() < bytes ? HILUM_E_NO_MEMORY : control_memory_create(bytes, 0);

	if (memory < 0)
		return false;
	if (hc(HC_MEMORY_MAP, HILUM_HANDLE_SELF, memory, (uintptr_t)m->data + at, 0, bytes, HILUM_MAP_READ | HILUM_MAP_WRITE) < 0) {
		hc(HC_HANDLE_CLOSE, memory);
		return false;
	}
	m->memory[m->parts++] = (hilum_handle_t)memory;
	return true;
}

enum manager_result manager_image_append(int upload, const void *bytes, size_t count)
{
	struct module *m = upload_at(upload);
	const uint8_t *from = bytes;

	if (m == NULL || count > m->bytes - m->filled)
		return MANAGER_INVALID;
	while (count != 0) {
		uint64_t room = m->parts * m->part_bytes - m->filled;
		if (room == 0 && !grow(m))
			return MANAGER_NO_MEMORY;
		room = m->parts * m->part_bytes - m->filled;
		size_t n = room < count ? room : count;
		memcpy((uint8_t *)(uintptr_t)m->data + m->filled, from, n);
		m->filled += n;
		from += n;
		count -= n;
	}
	return MANAGER_OK;
}

void module_free(struct module *m)
{
	module_unmap(m, HILUM_HANDLE_SELF, (uintptr_t)m->data);
	for (unsigned i = 0; i < m->parts; i++)
		hc(HC_HANDLE_CLOSE, m->memory[i]);
	memset(m, 0, sizeof(*m));
}

static void let_go(struct module *m)
{
	m->gone = true;
	if (m->holders == 0)
		module_free(m);
}

enum manager_result manager_image_end(int upload, bool keep, struct manager_error *error)
{
	struct module *m = upload_at(upload);

	if (m == NULL)
		return fail(error, MANAGER_NOT_FOUND, "there is no such upload");
	if (!keep || m->filled != m->bytes) {
		uint64_t filled = m->filled, bytes = m->bytes;
		module_free(m);
		return keep ? fail(error, MANAGER_INVALID, "%lu of %lu bytes came", (unsigned long)filled, (unsigned long)bytes)
		            : MANAGER_OK;
	}
	struct module *old = module_find(m->name);
	if (old != NULL)
		let_go(old);
	m->complete = true;
	return MANAGER_OK;
}

enum manager_result manager_image_remove(const char *name, struct manager_error *error)
{
	struct module *m = module_find(name);

	if (m == NULL)
		return fail(error, MANAGER_NOT_FOUND, "there is no image of this name");
	if (!m->uploaded)
		return fail(error, MANAGER_CONFLICT, "a boot module cannot be removed");
	if (manager_image_users(name) != 0)
		return fail(error, MANAGER_CONFLICT, "a VM that runs uses it");
	let_go(m);
	return MANAGER_OK;
}

bool manager_image_at(unsigned index, struct manager_image *out)
{
	for (unsigned i = 0; i < MODULES_MAX; i++) {
		const struct module *m = module_at(i);
		if (m == NULL || m->gone || index-- != 0)
			continue;
		*out = (struct manager_image){ .bytes = m->bytes, .uploaded = m->uploaded, .complete = m->complete };
		snprintf(out->name, sizeof(out->name), "%s", m->name);
		out->users = m->complete ? manager_image_users(m->name) : 0;
		return true;
	}
	return false;
}
