/* Chooses the loader by the file's contents and keeps the claims on guest RAM that keep its parts from
 * overlapping. */
#include "drivers-vm/control/loader.h"

#include "drivers-vm/control/loader_elf.h"
#include "drivers-vm/control/loader_private.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

enum load_error loader_fail(struct load *load, enum load_error error, const char *format, ...)
{
	va_list args;
	int used = snprintf(load->out->message, LOADER_MESSAGE_MAX, "%.64s: ", load->request->kernel_name);

	va_start(args, format);
	vsnprintf(load->out->message + used, (size_t)(LOADER_MESSAGE_MAX - used), format, args);
	va_end(args);
	return error;
}

static bool overlaps(const struct load_claim *claim, uint64_t base, uint64_t bytes)
{
	return base < claim->base + claim->bytes && claim->base < base + bytes;
}

/* Caller knows that [base, base + bytes) is RAM, so base + bytes does not overflow. */
static const struct load_claim *find_overlap(const struct load *load, uint64_t base, uint64_t bytes)
{
	for (unsigned i = 0; i < load->claims; i++)
		if (overlaps(&load->claim[i], base, bytes))
			return &load->claim[i];
	return NULL;
}

static enum load_error add_claim(struct load *load, uint64_t base, uint64_t bytes, const char *what)
{
	if (load->claims == LOADER_CLAIMS)
		return loader_fail(load, LOAD_UNSUPPORTED, "more than %u parts to load", LOADER_CLAIMS);
	load->claim[load->claims++] = (struct load_claim){ base, bytes, what };
	return LOAD_OK;
}

enum load_error loader_claim_at(struct load *load, uint64_t base, uint64_t bytes, const char *what)
{
	if (!guest_map_is_ram(load->request->map, base, bytes))
		return loader_fail(load, LOAD_NO_ROOM, "%s at 0x%" PRIx64 ", %" PRIu64 " bytes, does not fit the guest's RAM", what, base,
		                   bytes);
	const struct load_claim *other = find_overlap(load, base, bytes);

	if (other != NULL)
		return loader_fail(load, LOAD_NO_ROOM, "%s at 0x%" PRIx64 ", %" PRIu64 " bytes, overlaps %s at 0x%" PRIx64, what, base,
		                   bytes, other->what, other->base);
	return add_claim(load, base, bytes, what);
}

/* One RAM entry's part of loader_claim_free(): true and *base if there is room in [from, limit). */
static bool find_free_up(const struct load *load, uint64_t bytes, uint64_t align, uint64_t from, uint64_t limit, uint64_t *base)
{
	uint64_t at = (from + align - 1) & ~(align - 1);

	while (at >= from && at < limit && bytes <= limit - at) {
		const struct load_claim *other = find_overlap(load, at, bytes);

		if (other == NULL) {
			*base = at;
			return true;
		}
		at = (other->base + other->bytes + align - 1) & ~(align - 1);
	}
	return false;
}

static bool find_free_down(const struct load *load, uint64_t bytes, uint64_t align, uint64_t from, uint64_t limit, uint64_t *base)
{
	while (limit > from && bytes <= limit - from) {
		uint64_t at = (limit - bytes) & ~(align - 1);

		if (at < from)
			return false;
		const struct load_claim *other = find_overlap(load, at, bytes);

		if (other == NULL) {
			*base = at;
			return true;
		}
		limit = other->base;
	}
	return false;
}

enum load_error loader_claim_free(struct load *load, uint64_t bytes, uint64_t align, uint64_t from, uint64_t limit, bool highest,
                                  const char *what, uint64_t *base)
{
	const struct guest_map *map = load->request->map;

	for (unsigned i = 0; i < map->count; i++) {
		const struct guest_map_entry *entry = &map->entry[highest ? map->count - 1 - i : i];
		uint64_t low = entry->base > from ? entry->base : from;
		uint64_t high = entry->base + entry->bytes < limit ? entry->base + entry->bytes : limit;

		if (entry->type != GUEST_MAP_RAM || low >= high)
			continue;
		if (highest ? find_free_down(load, bytes, align, low, high, base) : find_free_up(load, bytes, align, low, high, base))
			return add_claim(load, *base, bytes, what);
	}
	return loader_fail(load, LOAD_NO_ROOM,
	                   "no room for %s (%" PRIu64 " bytes) in the guest's RAM below 0x%" PRIx64 ": give the VM more memory", what,
	                   bytes, limit);
}

static enum load_error load_elf(struct load *load, size_t multiboot)
{
	struct elf_image image;
	uint32_t entry;
	enum load_error error = elf_parse(load, &image);

	if (error != LOAD_OK)
		return error;
	if (loader_find_pvh_entry(load, &image, &entry))
		return loader_load_pvh(load, &image, entry);
	if (multiboot != MULTIBOOT_NOT_FOUND)
		return loader_load_multiboot(load, &image, multiboot);
	if (image.is_64)
		return loader_load_elf64(load, &image);
	return loader_fail(load, LOAD_UNSUPPORTED, "a 32-bit ELF file with neither a PVH note nor a Multiboot header cannot be started");
}

static enum load_error load_by_content(struct load *load)
{
	if (loader_is_linux(load))
		return loader_load_linux(load);
	size_t multiboot = loader_find_multiboot(load);

	if (elf_is_elf(load))
		return load_elf(load, multiboot);
	if (multiboot != MULTIBOOT_NOT_FOUND)
		return loader_load_multiboot(load, NULL, multiboot);
	return loader_fail(load, LOAD_UNKNOWN_FORMAT, "not a Linux bzImage, an ELF file or a Multiboot image (%zu bytes)",
	                   load->file_bytes);
}

enum load_error loader_load(const struct load_request *request, struct load_result *out)
{
	struct load load = {
		.request = request,
		.out = out,
		.file = request->kernel,
		.file_bytes = request->kernel_bytes,
	};

	memset(out, 0, sizeof(*out));
	enum load_error error = loader_claim_at(&load, LOADER_AREA_BASE, LOADER_AREA_LIMIT - LOADER_AREA_BASE,
	                                        "the loader's boot information");
	if (error != LOAD_OK)
		return error;
	error = load_by_content(&load);
	if (error == LOAD_OK)
		out->message[0] = '\0'; /* a first attempt may have failed */
	return error;
}

const char *loader_format_name(enum load_format format)
{
	static const char *const names[] = {
		[LOAD_FORMAT_LINUX] = "Linux bzImage",
		[LOAD_FORMAT_PVH] = "PVH ELF",
		[LOAD_FORMAT_MULTIBOOT] = "Multiboot",
		[LOAD_FORMAT_ELF64] = "ELF64",
	};

	return (unsigned)format < sizeof(names) / sizeof(names[0]) ? names[format] : "unknown";
}
