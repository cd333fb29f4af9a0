/*
 * Multiboot 1 (Multiboot Specification 0.6.96): ELF32, the a.out kludge, and ELF64 images that carry the
 * header and start in 32-bit code.
 */
#include "drivers-vm/control/bytes.h"
#include "drivers-vm/control/loader_elf.h"

#include <inttypes.h>
#include <string.h>

#define HEADER_MAGIC        0x1BADB002u
#define SEARCH_BYTES        8192u
#define HEADER_BYTES        12u
#define HEADER_KLUDGE_BYTES 32u

#define FLAG_PAGE_ALIGN  0x00000001u
#define FLAG_MEMORY_INFO 0x00000002u
#define FLAG_KLUDGE      0x00010000u
#define FLAGS_REQUIRED   0x0000FFFFu /* bits that a loader must understand or refuse */

#define ENTRY_MAGIC      0x2BADB002u
#define INFO_MEMORY      0x001u
#define INFO_CMDLINE     0x004u
#define INFO_MODS        0x008u
#define INFO_MMAP        0x040u
#define INFO_LOADER_NAME 0x200u
#define MODS_OFFSET      0x080u /* from LOADER_INFO_GPA */
#define NAME_OFFSET      0x0A0u
#define MMAP_OFFSET      0x0C0u
#define MMAP_ENTRY_BYTES 24u
#define INFO_BYTES       (MMAP_OFFSET + GUEST_MAP_ENTRIES * MMAP_ENTRY_BYTES)
#define LOADER_NAME      "Hilum"

#define LOWER_KIB  640u
#define UPPER_BASE 0x100000ull
#define FOUR_GIB   0x100000000ull

size_t loader_find_multiboot(const struct load *load)
{
	size_t limit = load->file_bytes < SEARCH_BYTES ? load->file_bytes : SEARCH_BYTES;

	for (size_t at = 0; at + HEADER_BYTES <= limit; at += 4) {
		const uint8_t *header = load->file + at;
		uint32_t sum = bytes_read_u32(header) + bytes_read_u32(header + 4) + bytes_read_u32(header + 8);

		if (bytes_read_u32(header) == HEADER_MAGIC && sum == 0)
			return at;
	}
	return MULTIBOOT_NOT_FOUND;
}

struct kludge {
	uint64_t file_offset;
	uint64_t file_bytes;
	uint64_t load_addr;
	uint64_t memory_bytes;
	uint32_t entry;
};

/* The header's address fields; 3.1.3 The address fields of Multiboot header. */
static enum load_error parse_kludge(struct load *load, size_t header, struct kludge *out)
{
	const uint8_t *at = load->file + header;

	if (load->file_bytes - header < HEADER_KLUDGE_BYTES)
		return loader_fail(load, LOAD_BAD_IMAGE, "the Multiboot header exceeds the file");
	uint64_t header_addr = bytes_read_u32(at + 12);
	uint64_t load_end = bytes_read_u32(at + 20);
	uint64_t bss_end = bytes_read_u32(at + 24);

	out->load_addr = bytes_read_u32(at + 16);
	out->entry = bytes_read_u32(at + 28);
	if (out->load_addr > header_addr || header_addr - out->load_addr > header)
		return loader_fail(load, LOAD_BAD_IMAGE,
		                   "Multiboot load_addr 0x%" PRIx64 ", header_addr 0x%" PRIx64 ", header at 0x%zx do not fit",
		                   out->load_addr, header_addr, header);
	out->file_offset = header - (header_addr - out->load_addr);
	out->file_bytes = load->file_bytes - out->file_offset;
	if (load_end != 0) {
		if (load_end < out->load_addr || load_end - out->load_addr > out->file_bytes)
			return loader_fail(load, LOAD_BAD_IMAGE, "Multiboot load_end_addr 0x%" PRIx64 " exceeds the file", load_end);
		out->file_bytes = load_end - out->load_addr;
	}
	out->memory_bytes = out->file_bytes;
	if (bss_end > out->load_addr && bss_end - out->load_addr > out->memory_bytes)
		out->memory_bytes = bss_end - out->load_addr;
	return LOAD_OK;
}

static enum load_error load_kludge(struct load *load, size_t header, uint64_t *entry)
{
	struct kludge kludge = { 0 };
	enum load_error error = parse_kludge(load, header, &kludge);

	if (error == LOAD_OK)
		error = loader_claim_at(load, kludge.load_addr, kludge.memory_bytes, "the Multiboot image");
	if (error == LOAD_OK)
		error = loader_write(load, kludge.load_addr, load->file + kludge.file_offset, kludge.file_bytes);
	if (error == LOAD_OK)
		error = loader_clear(load, kludge.load_addr + kludge.file_bytes, kludge.memory_bytes - kludge.file_bytes);
	*entry = kludge.entry;
	return error;
}

static void put_mmap(uint8_t *info, const struct guest_map *map)
{
	for (unsigned i = 0; i < map->count; i++) {
		uint8_t *entry = info + MMAP_OFFSET + i * MMAP_ENTRY_BYTES;

		bytes_write_u32(entry, MMAP_ENTRY_BYTES - 4); /* the size field does not count itself */
		bytes_write_u64(entry + 4, map->entry[i].base);
		bytes_write_u64(entry + 12, map->entry[i].bytes);
		bytes_write_u32(entry + 20, map->entry[i].type);
	}
}

/* 3.3 Boot information format */
static enum load_error put_info(struct load *load, uint64_t initrd)
{
	const struct guest_map *map = load->request->map;
	uint8_t info[INFO_BYTES] = { 0 };
	uint32_t flags = INFO_MEMORY | INFO_CMDLINE | INFO_MMAP | INFO_LOADER_NAME;

	bytes_write_u32(info + 4, LOWER_KIB);
	bytes_write_u32(info + 8, (uint32_t)((map->low_bytes - UPPER_BASE) / 1024));
	bytes_write_u32(info + 16, (uint32_t)LOADER_CMDLINE_GPA);
	if (initrd != 0) {
		flags |= INFO_MODS;
		bytes_write_u32(info + 20, 1);
		bytes_write_u32(info + 24, (uint32_t)LOADER_INFO_GPA + MODS_OFFSET);
		bytes_write_u32(info + MODS_OFFSET, (uint32_t)initrd);
		bytes_write_u32(info + MODS_OFFSET + 4, (uint32_t)(initrd + load->request->initrd_bytes));
	}
	bytes_write_u32(info + 44, map->count * MMAP_ENTRY_BYTES);
	bytes_write_u32(info + 48, (uint32_t)LOADER_INFO_GPA + MMAP_OFFSET);
	bytes_write_u32(info + 64, (uint32_t)LOADER_INFO_GPA + NAME_OFFSET);
	memcpy(info + NAME_OFFSET, LOADER_NAME, sizeof(LOADER_NAME));
	put_mmap(info, map);
	bytes_write_u32(info, flags);
	return loader_write(load, LOADER_INFO_GPA, info, sizeof(info));
}

static enum load_error load_image(struct load *load, const struct elf_image *image, size_t header, uint64_t *entry)
{
	uint32_t flags = bytes_read_u32(load->file + header + 4);
	uint32_t unknown = flags & FLAGS_REQUIRED & ~(FLAG_PAGE_ALIGN | FLAG_MEMORY_INFO);

	if (unknown != 0)
		return loader_fail(load, LOAD_UNSUPPORTED, "the Multiboot header requires feature bits 0x%" PRIx32 "%s", unknown,
		                   (unknown & 4) != 0 ? " (a video mode)" : "");
	if ((flags & FLAG_KLUDGE) != 0)
		return load_kludge(load, header, entry);
	if (image == NULL)
		return loader_fail(load, LOAD_BAD_IMAGE, "a Multiboot header without addresses in a file that is not ELF");
	*entry = elf_physical_entry(image);
	return elf_load_segments(load, image);
}

enum load_error loader_load_multiboot(struct load *load, const struct elf_image *image, size_t header)
{
	uint64_t entry = 0;
	uint64_t initrd;
	enum load_error error = load_image(load, image, header, &entry);

	if (error == LOAD_OK && (entry >= FOUR_GIB || !guest_map_is_ram(load->request->map, entry, 1)))
		error = loader_fail(load, LOAD_BAD_IMAGE, "the entry point 0x%" PRIx64 " is outside the guest's RAM", entry);
	if (error == LOAD_OK)
		error = loader_put_cmdline(load, LOADER_CMDLINE_MAX);
	if (error == LOAD_OK)
		error = loader_put_initrd(load, FOUR_GIB, &initrd);
	if (error == LOAD_OK)
		error = put_info(load, initrd);
	if (error != LOAD_OK)
		return error;
	load->out->format = LOAD_FORMAT_MULTIBOOT;
	load->out->vcpu.rax = ENTRY_MAGIC;
	load->out->vcpu.rbx = LOADER_INFO_GPA;
	return loader_enter_protected(load, entry);
}
