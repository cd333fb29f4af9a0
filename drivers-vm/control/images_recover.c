/* Uploaded images from one control VM to the next: their memory is there, and is mapped where it was. One that was not complete is not kept. */
#include "drivers-vm/control/control.h"
#include "drivers-vm/control/places.h"
#include "drivers-vm/control/recover.h"
#include "drivers-vm/control/survivor.h"
#include <string.h>

_Static_assert(MODULES_UPLOADED_MAX * sizeof(struct module) <= SURVIVOR_IMAGES_BYTES, "they fit");

void images_note(void)
{
	survivor_put(SURVIVOR_IMAGES, 0, modules_uploaded(), MODULES_UPLOADED_MAX * sizeof(struct module));
}

static bool is_possible(const struct module *m)
{
	uint64_t gpa = (uintptr_t)m->data;

	return recover_bool(&m->uploaded) && recover_bool(&m->complete) && m->parts != 0 && m->parts <= MODULE_PARTS_MAX &&
	       m->part_bytes != 0 && (m->part_bytes & 4095) == 0 &&
	       m->part_bytes <= (PLACES_UPLOADS_LIMIT - PLACES_UPLOADS) / MODULE_PARTS_MAX && m->bytes <= m->parts * m->part_bytes &&
	       m->bytes > (m->parts - 1) * m->part_bytes && gpa >= PLACES_UPLOADS &&
	       gpa <= PLACES_UPLOADS_LIMIT - m->parts * m->part_bytes && m->name[sizeof(m->name) - 1] == '\0';
}

static bool recover_one(const struct module *m)
{
	uint64_t gpa = (uintptr_t)m->data;
	bool all = true;

	for (unsigned i = 0; i < m->parts; i++)
		all &= recover_claim(m->memory[i], HILUM_OBJECT_MEMORY);
	return all && service_map_memory(gpa, m->part_bytes * MODULE_PARTS_MAX) &&
	       module_map(m, HILUM_HANDLE_SELF, gpa, HILUM_MAP_READ | HILUM_MAP_WRITE) >= 0;
}

void images_recover(void)
{
	size_t bytes;
	const struct module *kept = survivor_get(SURVIVOR_IMAGES, 0, &bytes);

	for (unsigned i = 0; kept != NULL && i < bytes / sizeof(*kept) && i < MODULES_UPLOADED_MAX; i++) {
		struct module *m = &modules_uploaded()[i];
		if (kept[i].bytes == 0 || !is_possible(&kept[i]))
			continue;
		memcpy(m, &kept[i], sizeof(*m));
		m->holders = 0;
		m->uploaded = m->complete = true;
		m->gone = recover_bool(&kept[i].gone);
		if (!recover_one(m))
			memset(m, 0, sizeof(*m));
	}
}

void images_recover_end(void)
{
	for (unsigned i = 0; i < MODULES_UPLOADED_MAX; i++)
		if (modules_uploaded()[i].gone && modules_uploaded()[i].holders == 0)
			module_free(&modules_uploaded()[i]);
}
