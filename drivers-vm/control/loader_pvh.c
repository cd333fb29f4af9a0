/* PVH (Xen's x86/HVM direct boot ABI): the entry from the ELF note, and hvm_start_info version 1. */
#include "drivers-vm/control/bytes.h"
#include "drivers-vm/control/loader_elf.h"

#include <string.h>

#define NOTE_HEADER_BYTES        12u
#define XEN_ELFNOTE_PHYS32_ENTRY 18u

#define START_INFO_MAGIC   0x336EC578u
#define START_INFO_VERSION 1u
#define MODULE_OFFSET      0x40u /* from LOADER_INFO_GPA */
#define MEMMAP_OFFSET      0x80u
#define MEMMAP_ENTRY_BYTES 24u
#define INFO_BYTES         (MEMMAP_OFFSET + GUEST_MAP_ENTRIES * MEMMAP_ENTRY_BYTES)

#define FOUR_GIB 0x100000000ull

static uint64_t align_up(uint64_t value, uint64_t align)
{
	return (value + align - 1) & ~(align - 1);
}

/* Walks one PT_NOTE segment, which lies inside the file; sizes in it are 32-bit, so 64-bit sums cannot
 * overflow. */
static bool find_entry_note(const uint8_t *notes, uint64_t bytes, uint64_t align, uint32_t *entry)
{
	uint64_t at = 0;

	while (at < bytes && bytes - at >= NOTE_HEADER_BYTES) {
		uint64_t name_bytes = bytes_read_u32(notes + at);
		uint64_t value_bytes = bytes_read_u32(notes + at + 4);
		uint32_t type = bytes_read_u32(notes + at + 8);
		uint64_t name = at + NOTE_HEADER_BYTES;
		uint64_t value = at + align_up(NOTE_HEADER_BYTES + name_bytes, align);

		if (value > bytes || value_bytes > bytes - value)
			return false;
		if (type == XEN_ELFNOTE_PHYS32_ENTRY && name_bytes == 4 && memcmp(notes + name, "Xen", 4) == 0 && value_bytes >= 4) {
			*entry = bytes_read_u32(notes + value);
			return true;
		}
		at = value + align_up(value_bytes, align);
	}
	return false;
}

bool loader_find_pvh_entry(const struct load *load, const struct elf_image *image, uint32_t *entry)
{
	for (unsigned i = 0; i < image->count; i++) {
		const struct elf_segment *segment = &image->segment[i];

		if (segment->type == ELF_PT_NOTE &&
		    find_entry_note(load->file + segment->offset, segment->file_bytes, segment->align == 8 ? 8 : 4, entry))
			return true;
	}
	return false;
}

static void put_memmap(uint8_t *info, const struct guest_map *map)
{
	for (unsigned i = 0; i < map->count; i++) {
		uint8_t *entry = info + MEMMAP_OFFSET + i * MEMMAP_ENTRY_BYTES;

		bytes_write_u64(entry, map->entry[i].base);
		bytes_write_u64(entry + 8, map->entry[i].bytes);
		bytes_write_u32(entry + 16, map->entry[i].type);
	}
}

enum load_error loader_put_start_info(struct load *load)
{
	uint8_t info[INFO_BYTES] = { 0 };
	uint64_t initrd;
	enum load_error error = loader_put_cmdline(load, LOADER_CMDLINE_MAX);

	if (error == LOAD_OK)
		error = loader_put_initrd(load, FOUR_GIB, &initrd);
	if (error != LOAD_OK)
		return error;
	bytes_write_u32(info, START_INFO_MAGIC);
	bytes_write_u32(info + 4, START_INFO_VERSION);
	if (initrd != 0) {
		bytes_write_u32(info + 12, 1);
		bytes_write_u64(info + 16, LOADER_INFO_GPA + MODULE_OFFSET);
		bytes_write_u64(info + MODULE_OFFSET, initrd);
		bytes_write_u64(info + MODULE_OFFSET + 8, load->request->initrd_bytes);
	}
	bytes_write_u64(info + 24, LOADER_CMDLINE_GPA);
	bytes_write_u64(info + 32, load->request->acpi_rsdp);
	bytes_write_u64(info + 40, LOADER_INFO_GPA + MEMMAP_OFFSET);
	bytes_write_u32(info + 48, load->request->map->count);
	put_memmap(info, load->request->map);
	return loader_write(load, LOADER_INFO_GPA, info, sizeof(info));
}

enum load_error loader_load_pvh(struct load *load, const struct elf_image *image, uint32_t entry)
{
	enum load_error error = elf_load_segments(load, image);

	if (error == LOAD_OK && !guest_map_is_ram(load->request->map, entry, 1))
		error = loader_fail(load, LOAD_BAD_IMAGE, "the PVH entry point 0x%x is outside the guest's RAM", entry);
	if (error == LOAD_OK)
		error = loader_put_start_info(load);
	if (error != LOAD_OK)
		return error;
	load->out->format = LOAD_FORMAT_PVH;
	load->out->vcpu.rbx = LOADER_INFO_GPA;
	return loader_enter_protected(load, entry);
}
