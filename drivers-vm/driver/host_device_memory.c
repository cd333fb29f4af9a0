/* See host_device.h. Memory of the host's devices: what one that does not work had taken goes back, for others need it. */
#include "drivers-vm/driver/host_device.h"

#include <stdlib.h>
#include <string.h>

#define PAGE 4096u

/* Pages of the device that is being started. */
struct noted {
	struct noted *before;
	unsigned count;
	void *page[62];
};
static struct noted *noted;

void *host_device_state(const struct host_pci *pci, size_t bytes)
{
	void *state = calloc(1, bytes);

	if (state == NULL)
		host_device_log(pci, "not used: no memory for it in the driver VM");
	return state;
}

void *host_device_page(void)
{
	if (noted == NULL || noted->count == sizeof(noted->page) / sizeof(noted->page[0])) {
		struct noted *more = calloc(1, sizeof(*more));
		if (more == NULL)
			return NULL;
		more->before = noted;
		noted = more;
	}
	void *page = aligned_alloc(PAGE, PAGE);
	if (page == NULL)
		return NULL;
	noted->page[noted->count++] = page;
	return memset(page, 0, PAGE);
}

void host_device_page_free(void *page)
{
	for (struct noted *list = page != NULL ? noted : NULL; list != NULL; list = list->before)
		for (unsigned i = 0; i < list->count; i++)
			if (list->page[i] == page) {
				free(page);
				list->page[i] = NULL;
				return;
			}
}

void host_device_started(bool works)
{
	for (struct noted *before; noted != NULL; noted = before) {
		before = noted->before;
		for (unsigned i = 0; !works && i < noted->count; i++)
			free(noted->page[i]);
		free(noted);
	}
}
