/* See recover_private.h: the kernel's list of handles, and whose they are. */
#include "drivers-vm/control/recover_private.h"

#include "drivers-vm/control/control.h"
#include "drivers-vm/control/recover.h"

#include <stdlib.h>

struct known {
	hilum_handle_t handle;
	uint16_t type;
	bool claimed;
};

static struct known *known; /* by ascending index */
static unsigned count;

/* How many there are, and where there is room for them, all of them. */
static unsigned walk(struct known *to, unsigned room)
{
	uint64_t index = 0;
	unsigned n = 0;
	int64_t info;

	while ((info = hc(HC_OBJECT_INFO, HILUM_HANDLE_SELF, index)) > 0) {
		index = (info & 0xFFFF) + 1;
		if (to != NULL && n < room)
			to[n] = (struct known){ .handle = (hilum_handle_t)info, .type = (uint16_t)(info >> 32) };
		n++;
	}
	return n;
}

static struct known *find(hilum_handle_t handle, unsigned type)
{
	for (unsigned low = 0, high = count; low < high;) {
		unsigned middle = (low + high) / 2;
		if ((known[middle].handle & 0xFFFF) == (handle & 0xFFFF))
			return known[middle].handle == handle && known[middle].type == type ? &known[middle] : NULL;
		if ((known[middle].handle & 0xFFFF) < (handle & 0xFFFF))
			low = middle + 1;
		else
			high = middle;
	}
	return NULL;
}

void objects_list(void)
{
	const struct hilum_boot_info *info = recover_boot_info();
	unsigned there = walk(NULL, 0);

	known = calloc(there, sizeof(*known));
	count = known != NULL ? walk(known, there) : 0;
	recover_claim(HILUM_HANDLE_SELF, HILUM_OBJECT_VM);
	recover_claim(HILUM_HANDLE_HOST, HILUM_OBJECT_HOST);
	recover_claim(HILUM_HANDLE_LOG, HILUM_OBJECT_MEMORY);
	for (uint32_t i = 0; i < info->module_count && i < HILUM_BOOT_MODULES_MAX; i++)
		recover_claim(info->module[i].memory, HILUM_OBJECT_MEMORY);
}

bool recover_has(hilum_handle_t handle, unsigned type)
{
	return handle != 0 && find(handle, type) != NULL;
}

bool recover_claim(hilum_handle_t handle, unsigned type)
{
	struct known *k = handle != 0 ? find(handle, type) : NULL;

	if (k != NULL)
		k->claimed = true;
	return k != NULL;
}

hilum_handle_t objects_find_memory(uint64_t bytes)
{
	struct hilum_memory_status status;

	for (unsigned i = 0; i < count; i++)
		if (known[i].type == HILUM_OBJECT_MEMORY && !known[i].claimed &&
		    hc(HC_MEMORY_STATUS, known[i].handle, (uintptr_t)&status) >= 0 && status.bytes == bytes)
			return known[i].handle;
	return 0;
}

unsigned objects_end_unclaimed(unsigned *claimed)
{
	unsigned ended = 0, there = count;

	/* A VM's end closes the handle that names it here. */
	for (unsigned i = 0; i < count; i++)
		if (!known[i].claimed && known[i].type == HILUM_OBJECT_VM)
			hc(HC_VM_DESTROY, known[i].handle);
	for (unsigned i = 0; i < count; i++) {
		ended += !known[i].claimed;
		if (!known[i].claimed)
			hc(HC_HANDLE_CLOSE, known[i].handle);
	}
	free(known);
	known = NULL;
	count = 0;
	*claimed = there - ended;
	return ended;
}
