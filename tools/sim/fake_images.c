/* Images: two boot modules, and what is uploaded. */
#include "tools/sim/fake_manager.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define IMAGES_MAX   32u
#define MEMORY_BYTES (1ull << 30) /* for all uploads together */

static struct fake_image {
	struct manager_image view;
	uint64_t received;
	bool used;
} images[IMAGES_MAX];

static unsigned count_users(const char *name)
{
	unsigned users = 0;
	const struct fake_vm *vm;

	for (unsigned i = 0; (vm = fake_vm_at(i)) != NULL; i++) {
		const struct config_vm *config = vm->view.config;
		bool uses = strcmp(config->kernel, name) == 0 || (config->initrd != NULL && strcmp(config->initrd, name) == 0);

		for (unsigned k = 0; k < config->disk_count; k++)
			uses |= config->disk[k].module != NULL && strcmp(config->disk[k].module, name) == 0;
		users += uses && fake_vm_has_figures(vm);
	}
	return users;
}

static struct fake_image *find(const char *name, bool complete)
{
	for (unsigned i = 0; i < IMAGES_MAX; i++)
		if (images[i].used && images[i].view.complete == complete && strcmp(images[i].view.name, name) == 0)
			return &images[i];
	return NULL;
}

bool fake_image_exists(const char *name)
{
	return find(name, true) != NULL;
}

bool manager_image_at(unsigned index, struct manager_image *out)
{
	for (unsigned i = 0; i < IMAGES_MAX; i++) {
		if (!images[i].used || index-- != 0)
			continue;
		*out = images[i].view;
		out->users = out->complete ? count_users(out->name) : 0;
		return true;
	}
	return false;
}

static int add(const char *name, uint64_t bytes, bool uploaded)
{
	for (unsigned i = 0; i < IMAGES_MAX; i++) {
		if (images[i].used)
			continue;
		images[i] = (struct fake_image){ .used = true, .view = { .bytes = bytes, .uploaded = uploaded, .complete = !uploaded } };
		snprintf(images[i].view.name, sizeof(images[i].view.name), "%s", name);
		return (int)i;
	}
	return -MANAGER_FULL;
}

int manager_image_begin(const char *name, uint64_t bytes, struct manager_error *error)
{
	const struct fake_image *old = find(name, true);
	uint64_t taken = 0;

	for (unsigned i = 0; i < IMAGES_MAX; i++)
		taken += images[i].used && images[i].view.uploaded ? images[i].view.bytes : 0;
	if (old != NULL && !old->view.uploaded) {
		snprintf(error->detail, sizeof(error->detail), "\"%s\" is a boot module", name);
		return -MANAGER_CONFLICT;
	}
	if (find(name, false) != NULL) {
		snprintf(error->detail, sizeof(error->detail), "\"%s\" is being uploaded", name);
		return -MANAGER_CONFLICT;
	}
	if (bytes > MEMORY_BYTES - taken) {
		snprintf(error->detail, sizeof(error->detail), "there is not enough memory for the image");
		return -MANAGER_NO_MEMORY;
	}
	return add(name, bytes, true);
}

enum manager_result manager_image_append(int upload, const void *bytes, size_t count)
{
	struct fake_image *image = &images[upload];

	(void)bytes;
	if (count > image->view.bytes - image->received)
		return MANAGER_INVALID;
	image->received += count;
	return MANAGER_OK;
}

enum manager_result manager_image_end(int upload, bool keep, struct manager_error *error)
{
	struct fake_image *image = &images[upload], *old = find(image->view.name, true);

	if (!keep || image->received != image->view.bytes) {
		image->used = false;
		snprintf(error->detail, sizeof(error->detail), "the image is not complete");
		return keep ? MANAGER_INVALID : MANAGER_OK;
	}
	if (old != NULL)
		old->used = false;
	image->view.complete = true;
	return MANAGER_OK;
}

enum manager_result manager_image_remove(const char *name, struct manager_error *error)
{
	struct fake_image *image = find(name, true);

	if (image == NULL)
		return MANAGER_NOT_FOUND;
	if (!image->view.uploaded || count_users(name) != 0) {
		snprintf(error->detail, sizeof(error->detail), image->view.uploaded ? "a VM that runs has it" : "it is a boot module");
		return MANAGER_CONFLICT;
	}
	image->used = false;
	return MANAGER_OK;
}

void fake_images_start(void)
{
	add("vmlinuz", 14186432, false);
	add("initrd", 8388608, false);
	add("disk.img", 67108864, false);
}
