/* ELF headers, segments, and the plain ELF64 image (System V ABI, Object Files; AMD64 supplement). */
#include "drivers-vm/control/loader_elf.h"

#include "drivers-vm/control/bytes.h"

#include <inttypes.h>
#include <string.h>

#define ELF_MAGIC    0x464C457Fu
#define EI_CLASS     4u
#define EI_DATA      5u
#define CLASS_32     1u
#define CLASS_64     2u
#define DATA_LITTLE  1u
#define ET_EXEC      2u
#define EM_386       3u
#define EM_X86_64    62u
#define EHDR32_BYTES 52u
#define EHDR64_BYTES 64u
#define PHDR32_BYTES 32u
#define PHDR64_BYTES 56u

struct elf_table {
	uint64_t offset;
	unsigned entry_bytes;
	unsigned count;
};

bool elf_is_elf(const struct load *load)
{
	return load->file_bytes >= EHDR32_BYTES && bytes_read_u32(load->file) == ELF_MAGIC;
}

static enum load_error check_ident(struct load *load, bool *is_64)
{
	const uint8_t *file = load->file;
	unsigned machine = bytes_read_u16(file + 18);

	*is_64 = file[EI_CLASS] == CLASS_64;
	if ((file[EI_CLASS] != CLASS_32 && !*is_64) || file[EI_DATA] != DATA_LITTLE)
		return loader_fail(load, LOAD_BAD_IMAGE, "ELF class %u, byte order %u", file[EI_CLASS], file[EI_DATA]);
	if (machine != EM_X86_64 && (machine != EM_386 || *is_64))
		return loader_fail(load, LOAD_UNSUPPORTED, "ELF machine %u is not x86", machine);
	if (bytes_read_u16(file + 16) != ET_EXEC)
		return loader_fail(load, LOAD_UNSUPPORTED, "ELF type %u is not an executable with fixed addresses",
		                   bytes_read_u16(file + 16));
	if (*is_64 && load->file_bytes < EHDR64_BYTES)
		return loader_fail(load, LOAD_BAD_IMAGE, "the ELF header exceeds the file");
	return LOAD_OK;
}

static enum load_error find_table(struct load *load, bool is_64, struct elf_table *table)
{
	const uint8_t *file = load->file;
	uint64_t bytes;

	table->offset = is_64 ? bytes_read_u64(file + 32) : bytes_read_u32(file + 28);
	table->entry_bytes = bytes_read_u16(file + (is_64 ? 54 : 42));
	table->count = bytes_read_u16(file + (is_64 ? 56 : 44));
	bytes = (uint64_t)table->count * table->entry_bytes;
	if (table->entry_bytes < (is_64 ? PHDR64_BYTES : PHDR32_BYTES))
		return loader_fail(load, LOAD_BAD_IMAGE, "program headers of %u bytes", table->entry_bytes);
	if (table->offset > load->file_bytes || bytes > load->file_bytes - table->offset)
		return loader_fail(load, LOAD_BAD_IMAGE, "%u program headers at 0x%" PRIx64 " exceed the file", table->count,
		                   table->offset);
	return LOAD_OK;
}

static struct elf_segment read_segment(const uint8_t *at, bool is_64)
{
	struct elf_segment out = { .type = bytes_read_u32(at) };

	if (is_64) {
		out.offset = bytes_read_u64(at + 8);
		out.virtual = bytes_read_u64(at + 16);
		out.physical = bytes_read_u64(at + 24);
		out.file_bytes = bytes_read_u64(at + 32);
		out.memory_bytes = bytes_read_u64(at + 40);
		out.align = bytes_read_u64(at + 48);
	} else {
		out.offset = bytes_read_u32(at + 4);
		out.virtual = bytes_read_u32(at + 8);
		out.physical = bytes_read_u32(at + 12);
		out.file_bytes = bytes_read_u32(at + 16);
		out.memory_bytes = bytes_read_u32(at + 20);
		out.align = bytes_read_u32(at + 28);
	}
	return out;
}

static enum load_error add_segment(struct load *load, struct elf_image *out, const struct elf_segment *segment, unsigned index)
{
	if (segment->offset > load->file_bytes || segment->file_bytes > load->file_bytes - segment->offset)
		return loader_fail(load, LOAD_BAD_IMAGE, "program header %u: %" PRIu64 " bytes at 0x%" PRIx64 " exceed the file", index,
		                   segment->file_bytes, segment->offset);
	if (segment->type == ELF_PT_LOAD && segment->memory_bytes < segment->file_bytes)
		return loader_fail(load, LOAD_BAD_IMAGE, "program header %u: smaller in memory than in the file", index);
	if (out->count == ELF_SEGMENTS)
		return loader_fail(load, LOAD_UNSUPPORTED, "more than %u segments", ELF_SEGMENTS);
	out->segment[out->count++] = *segment;
	return LOAD_OK;
}

enum load_error elf_parse(struct load *load, struct elf_image *out)
{
	struct elf_table table;
	enum load_error error = check_ident(load, &out->is_64);

	if (error == LOAD_OK)
		error = find_table(load, out->is_64, &table);
	if (error != LOAD_OK)
		return error;
	out->entry = out->is_64 ? bytes_read_u64(load->file + 24) : bytes_read_u32(load->file + 24);
	out->count = 0;
	for (unsigned i = 0; i < table.count && error == LOAD_OK; i++) {
		struct elf_segment segment = read_segment(load->file + table.offset + i * table.entry_bytes, out->is_64);
		bool loads = segment.type == ELF_PT_LOAD && segment.memory_bytes > 0;

		if (loads || segment.type == ELF_PT_NOTE)
			error = add_segment(load, out, &segment, i);
	}
	return error;
}

enum load_error elf_load_segments(struct load *load, const struct elf_image *image)
{
	unsigned loaded = 0;

	for (unsigned i = 0; i < image->count; i++) {
		const struct elf_segment *segment = &image->segment[i];

		if (segment->type != ELF_PT_LOAD)
			continue;
		enum load_error error = loader_claim_at(load, segment->physical, segment->memory_bytes, "a segment");

		if (error == LOAD_OK)
			error = loader_write(load, segment->physical, load->file + segment->offset, segment->file_bytes);
		if (error == LOAD_OK)
			error = loader_clear(load, segment->physical + segment->file_bytes, segment->memory_bytes - segment->file_bytes);
		if (error != LOAD_OK)
			return error;
		loaded++;
	}
	return loaded > 0 ? LOAD_OK : loader_fail(load, LOAD_BAD_IMAGE, "nothing to load: no PT_LOAD segment");
}

uint64_t elf_physical_entry(const struct elf_image *image)
{
	for (unsigned i = 0; i < image->count; i++) {
		const struct elf_segment *segment = &image->segment[i];

		if (segment->type == ELF_PT_LOAD && image->entry >= segment->virtual &&
		    image->entry - segment->virtual < segment->memory_bytes)
			return segment->physical + (image->entry - segment->virtual);
	}
	return image->entry;
}

/*
 * No boot protocol: 64-bit mode, identity-mapped, RDI and RBX at an hvm_start_info (so that the image can
 * find memory map, command line and module), and a stack as at a function's entry with return address 0.
 */
enum load_error loader_load_elf64(struct load *load, const struct elf_image *image)
{
	const uint64_t return_address = 0;
	uint64_t entry = elf_physical_entry(image);
	enum load_error error = elf_load_segments(load, image);

	if (error == LOAD_OK && !guest_map_is_ram(load->request->map, entry, 1))
		error = loader_fail(load, LOAD_BAD_IMAGE, "the entry point 0x%" PRIx64 " is outside the guest's RAM", entry);
	if (error == LOAD_OK)
		error = loader_put_start_info(load);
	if (error == LOAD_OK)
		error = loader_write(load, LOADER_STACK_TOP - 8, &return_address, 8);
	if (error != LOAD_OK)
		return error;
	load->out->format = LOAD_FORMAT_ELF64;
	load->out->vcpu.rdi = LOADER_INFO_GPA;
	load->out->vcpu.rbx = LOADER_INFO_GPA;
	load->out->vcpu.rsp = LOADER_STACK_TOP - 8;
	return loader_enter_long(load, entry);
}
