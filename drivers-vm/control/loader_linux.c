/*
 * Linux bzImage by its 64-bit entry point (Documentation/arch/x86/boot.rst, protocol 2.12 and later). The
 * real-mode setup code is not run: its header is copied into boot_params, which the kernel gets in RSI.
 */
#include "drivers-vm/control/bytes.h"
#include "drivers-vm/control/loader_private.h"

#include <inttypes.h>
#include <string.h>

/* Offsets in the file, and, for the header, the same in boot_params. */
#define SETUP_HEADER       0x1F1u
#define SETUP_SECTS        0x1F1u
#define SYSSIZE            0x1F4u /* protected-mode code in 16-byte units */
#define BOOT_FLAG          0x1FEu
#define JUMP_LENGTH        0x201u /* the header ends this far after 0x202 */
#define HEADER_MAGIC       0x202u
#define VERSION            0x206u
#define TYPE_OF_LOADER     0x210u
#define LOADFLAGS          0x211u
#define CODE32_START       0x214u
#define RAMDISK_IMAGE      0x218u
#define RAMDISK_SIZE       0x21Cu
#define CMD_LINE_PTR       0x228u
#define INITRD_ADDR_MAX    0x22Cu
#define KERNEL_ALIGNMENT   0x230u
#define RELOCATABLE_KERNEL 0x234u
#define XLOADFLAGS         0x236u
#define CMDLINE_SIZE       0x238u
#define SETUP_DATA         0x250u
#define PREF_ADDRESS       0x258u
#define INIT_SIZE          0x260u
#define HEADER_NEEDED      0x264u /* the file must hold the header as far as init_size */
#define HEADER_END_MAX     0x290u /* boot_params has other fields from here */

/* boot_params outside the header (arch/x86/include/uapi/asm/bootparam.h) */
#define BOOT_PARAMS_BYTES 0x1000u
#define ACPI_RSDP_ADDR    0x070u
#define EXT_RAMDISK_IMAGE 0x0C0u
#define EXT_RAMDISK_SIZE  0x0C4u
#define E820_ENTRIES      0x1E8u
#define E820_TABLE        0x2D0u
#define E820_ENTRY_BYTES  20u

#define BOOT_FLAG_VALUE    0xAA55u
#define HEADER_MAGIC_VALUE 0x53726448u /* "HdrS" */
#define VERSION_MIN        0x020Cu
#define SECTOR_BYTES       512u
#define SETUP_SECTS_OF_0   4u /* what 0 means, for old kernels */
#define LOADED_HIGH        0x01u
#define CAN_USE_HEAP       0x80u
#define XLF_KERNEL_64      0x0001u
#define XLF_ABOVE_4G       0x0002u
#define LOADER_UNDEFINED   0xFFu
#define ENTRY_64_OFFSET    0x200u
#define LOWEST_KERNEL      0x100000ull
#define FOUR_GIB           0x100000000ull

struct linux_header {
	uint64_t code_offset; /* protected-mode code in the file */
	uint64_t code_bytes;
	uint64_t pref_address;
	uint64_t room_bytes; /* from the load address; the kernel decompresses itself inside */
	uint32_t alignment;
	uint32_t initrd_addr_max;
	uint32_t cmdline_size;
	unsigned header_end;
	uint16_t xloadflags;
	bool relocatable;
};

bool loader_is_linux(const struct load *load)
{
	return load->file_bytes >= HEADER_NEEDED && bytes_read_u16(load->file + BOOT_FLAG) == BOOT_FLAG_VALUE &&
	       bytes_read_u32(load->file + HEADER_MAGIC) == HEADER_MAGIC_VALUE;
}

static enum load_error check_protocol(struct load *load)
{
	const uint8_t *file = load->file;
	unsigned version = bytes_read_u16(file + VERSION);

	if (version < VERSION_MIN)
		return loader_fail(load, LOAD_UNSUPPORTED, "Linux boot protocol %u.%02u is older than 2.12 (Linux 3.8)", version >> 8,
		                   version & 0xFF);
	if ((bytes_read_u16(file + XLOADFLAGS) & XLF_KERNEL_64) == 0)
		return loader_fail(load, LOAD_UNSUPPORTED, "a 32-bit Linux kernel: it has no 64-bit entry point");
	if ((file[LOADFLAGS] & LOADED_HIGH) == 0)
		return loader_fail(load, LOAD_UNSUPPORTED, "a zImage, not a bzImage");
	return LOAD_OK;
}

static enum load_error check_code_range(struct load *load, struct linux_header *header)
{
	unsigned sectors = load->file[SETUP_SECTS] == 0 ? SETUP_SECTS_OF_0 : load->file[SETUP_SECTS];
	uint64_t announced = bytes_read_u32(load->file + SYSSIZE) * 16ull;

	header->code_offset = (sectors + 1ull) * SECTOR_BYTES;
	if (header->code_offset >= load->file_bytes)
		return loader_fail(load, LOAD_BAD_IMAGE, "setup_sects %u exceeds the file (%zu bytes)", sectors, load->file_bytes);
	header->code_bytes = load->file_bytes - header->code_offset;
	if (announced > header->code_bytes + 15)
		return loader_fail(load, LOAD_BAD_IMAGE,
		                   "truncated: the header announces %" PRIu64 " bytes of kernel, the file has %" PRIu64, announced,
		                   header->code_bytes);
	if (header->code_bytes <= ENTRY_64_OFFSET)
		return loader_fail(load, LOAD_BAD_IMAGE, "no code at the 64-bit entry point");
	return LOAD_OK;
}

static enum load_error parse_header(struct load *load, struct linux_header *header)
{
	const uint8_t *file = load->file;
	enum load_error error = check_protocol(load);

	if (error == LOAD_OK)
		error = check_code_range(load, header);
	if (error != LOAD_OK)
		return error;
	header->pref_address = bytes_read_u64(file + PREF_ADDRESS);
	header->room_bytes = bytes_read_u32(file + INIT_SIZE);
	header->alignment = bytes_read_u32(file + KERNEL_ALIGNMENT);
	header->initrd_addr_max = bytes_read_u32(file + INITRD_ADDR_MAX);
	header->cmdline_size = bytes_read_u32(file + CMDLINE_SIZE);
	header->xloadflags = bytes_read_u16(file + XLOADFLAGS);
	header->relocatable = file[RELOCATABLE_KERNEL] != 0;
	header->header_end = HEADER_MAGIC + file[JUMP_LENGTH];
	if (header->room_bytes < header->code_bytes)
		header->room_bytes = header->code_bytes;
	if (header->header_end < HEADER_NEEDED || header->header_end > load->file_bytes)
		return loader_fail(load, LOAD_BAD_IMAGE, "the setup header ends at 0x%x", header->header_end);
	if (header->header_end > HEADER_END_MAX)
		header->header_end = HEADER_END_MAX;
	if (header->relocatable && (header->alignment == 0 || (header->alignment & (header->alignment - 1)) != 0))
		return loader_fail(load, LOAD_BAD_IMAGE, "kernel_alignment 0x%" PRIx32 " is not a power of two", header->alignment);
	return LOAD_OK;
}

/* At its preferred address if there is room, else wherever it fits if it can be moved. */
static enum load_error place_kernel(struct load *load, const struct linux_header *header, uint64_t *base)
{
	enum load_error error = loader_claim_at(load, header->pref_address, header->room_bytes, "the kernel");

	*base = header->pref_address;
	if (error == LOAD_NO_ROOM && header->relocatable)
		error = loader_claim_free(load, header->room_bytes, header->alignment, LOWEST_KERNEL, FOUR_GIB, false, "the kernel", base);
	if (error == LOAD_OK && *base >= FOUR_GIB)
		return loader_fail(load, LOAD_UNSUPPORTED, "pref_address 0x%" PRIx64 " is above 4 GiB", *base);
	return error;
}

static void put_e820(uint8_t *params, const struct guest_map *map)
{
	for (unsigned i = 0; i < map->count; i++) {
		uint8_t *entry = params + E820_TABLE + i * E820_ENTRY_BYTES;

		bytes_write_u64(entry, map->entry[i].base);
		bytes_write_u64(entry + 8, map->entry[i].bytes);
		bytes_write_u32(entry + 16, map->entry[i].type);
	}
	params[E820_ENTRIES] = (uint8_t)map->count;
}

static enum load_error put_boot_params(struct load *load, const struct linux_header *header, uint64_t kernel, uint64_t initrd)
{
	uint8_t params[BOOT_PARAMS_BYTES] = { 0 };
	uint64_t initrd_bytes = initrd == 0 ? 0 : load->request->initrd_bytes;

	memcpy(params + SETUP_HEADER, load->file + SETUP_HEADER, header->header_end - SETUP_HEADER);
	params[TYPE_OF_LOADER] = LOADER_UNDEFINED;
	params[LOADFLAGS] &= (uint8_t)~CAN_USE_HEAP;
	bytes_write_u32(params + CODE32_START, (uint32_t)kernel);
	bytes_write_u32(params + RAMDISK_IMAGE, (uint32_t)initrd);
	bytes_write_u32(params + RAMDISK_SIZE, (uint32_t)initrd_bytes);
	bytes_write_u32(params + EXT_RAMDISK_IMAGE, (uint32_t)(initrd >> 32));
	bytes_write_u32(params + EXT_RAMDISK_SIZE, (uint32_t)(initrd_bytes >> 32));
	bytes_write_u32(params + CMD_LINE_PTR, (uint32_t)LOADER_CMDLINE_GPA);
	bytes_write_u64(params + SETUP_DATA, 0);
	bytes_write_u64(params + ACPI_RSDP_ADDR, load->request->acpi_rsdp);
	put_e820(params, load->request->map);
	return loader_write(load, LOADER_INFO_GPA, params, sizeof(params));
}

enum load_error loader_load_linux(struct load *load)
{
	struct linux_header header = { 0 };
	uint64_t kernel;
	uint64_t initrd;
	enum load_error error = parse_header(load, &header);

	if (error == LOAD_OK)
		error = place_kernel(load, &header, &kernel);
	if (error == LOAD_OK)
		error = loader_write(load, kernel, load->file + header.code_offset, header.code_bytes);
	if (error == LOAD_OK)
		error = loader_put_cmdline(load, header.cmdline_size);
	if (error != LOAD_OK)
		return error;
	bool above = (header.xloadflags & XLF_ABOVE_4G) != 0;

	error = loader_put_initrd(load, above ? FOUR_GIB : header.initrd_addr_max + 1ull, &initrd);
	if (error == LOAD_OK)
		error = put_boot_params(load, &header, kernel, initrd);
	if (error != LOAD_OK)
		return error;
	load->out->format = LOAD_FORMAT_LINUX;
	load->out->vcpu.rsi = LOADER_INFO_GPA;
	load->out->vcpu.rsp = LOADER_STACK_TOP;
	return loader_enter_long(load, kernel + ENTRY_64_OFFSET);
}
