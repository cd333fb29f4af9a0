/*
 * The boot-image loaders on made-up images: what lands where, entry states, and hostile files.
 * UNIT_SOURCES: drivers-vm/control/loader.c drivers-vm/control/loader_guest.c
 * UNIT_SOURCES: drivers-vm/control/loader_linux.c drivers-vm/control/loader_elf.c
 * UNIT_SOURCES: drivers-vm/control/loader_pvh.c drivers-vm/control/loader_multiboot.c
 * UNIT_SOURCES: drivers-vm/control/guest_map.c
 */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "drivers-vm/control/loader.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define RAM_BYTES  (16ull << 20)
#define MIB        0x100000ull
#define FILE_BYTES 8192u
#define INFO       0x2000u
#define CMDLINE    0x10000u

static uint8_t *ram;
static uint8_t *file; /* exactly file_bytes long on the heap, so that ASan sees every overrun */
static size_t file_bytes;
static struct guest_map map;
static struct load_request request;
static struct load_result result;
static uint64_t refused_gpa; /* the callback refuses this page; 0: none */

static void *get_ram(void *ctx, uint64_t gpa, size_t bytes)
{
	(void)ctx;
	assert_true(bytes > 0 && guest_map_is_ram(&map, gpa, bytes));
	assert_int_equal(gpa / LOADER_WINDOW_BYTES, (gpa + bytes - 1) / LOADER_WINDOW_BYTES);
	if (refused_gpa != 0 && gpa <= refused_gpa && refused_gpa - gpa < bytes)
		return NULL;
	return ram + gpa;
}

static void put16(size_t at, uint16_t value)
{
	memcpy(file + at, &value, sizeof(value));
}

static void put32(size_t at, uint32_t value)
{
	memcpy(file + at, &value, sizeof(value));
}

static void put64(size_t at, uint64_t value)
{
	memcpy(file + at, &value, sizeof(value));
}

static uint32_t ram32(uint64_t gpa)
{
	uint32_t value;

	memcpy(&value, ram + gpa, sizeof(value));
	return value;
}

static uint64_t ram64(uint64_t gpa)
{
	uint64_t value;

	memcpy(&value, ram + gpa, sizeof(value));
	return value;
}

static void new_file(size_t bytes)
{
	free(file);
	file = calloc(1, bytes);
	file_bytes = bytes;
}

static enum load_error load(void)
{
	request.kernel = file;
	request.kernel_bytes = file_bytes;
	return loader_load(&request, &result);
}

static void assert_fails(enum load_error error, const char *part)
{
	assert_int_equal(load(), error);
	if (strstr(result.message, part) == NULL)
		fail_msg("\"%s\" lacks \"%s\"", result.message, part);
	assert_memory_equal(result.message, "image: ", 7);
}

static int set_up(void **state)
{
	(void)state;
	ram = malloc(RAM_BYTES);
	memset(ram, 0xCC, RAM_BYTES);
	assert_true(guest_map_build(RAM_BYTES, &map));
	request = (struct load_request){
		.kernel_name = "image", .cmdline = "quiet x=1", .acpi_rsdp = 0xE0000, .map = &map, .ram = get_ram
	};
	refused_gpa = 0;
	return 0;
}

static int tear_down(void **state)
{
	(void)state;
	free(ram);
	free(file);
	file = NULL;
	return 0;
}

static const char initrd[] = "the initrd's content";

static void add_initrd(void)
{
	request.initrd_name = "initrd";
	request.initrd = initrd;
	request.initrd_bytes = sizeof(initrd);
}

/* ---- Linux ---- */

static void make_linux(void)
{
	new_file(FILE_BYTES);
	file[0x1F1] = 1; /* code from 1024 */
	put32(0x1F4, (FILE_BYTES - 1024) / 16);
	put16(0x1FE, 0xAA55);
	file[0x200] = 0xEB;
	file[0x201] = 0x66; /* header ends at 0x268 */
	memcpy(file + 0x202, "HdrS", 4);
	put16(0x206, 0x020F);
	file[0x211] = 0x81;
	put32(0x22C, 0x7FFFFFFF);
	put32(0x230, 0x200000);
	file[0x234] = 1;
	put16(0x236, 0x0001);
	put32(0x238, 2047);
	put64(0x250, 0x1234); /* setup_data: must not be passed on */
	put64(0x258, 2 * MIB);
	put32(0x260, 4 * MIB);
	memset(file + 1024, 0xAB, FILE_BYTES - 1024);
}

static void loader_load__linux__places_kernel_and_boot_params(void **state)
{
	(void)state;
	make_linux();
	add_initrd();
	assert_int_equal(load(), LOAD_OK);
	assert_int_equal(result.format, LOAD_FORMAT_LINUX);
	assert_string_equal(result.message, "");
	assert_memory_equal(ram + 2 * MIB, file + 1024, FILE_BYTES - 1024);
	assert_int_equal(ram[2 * MIB + FILE_BYTES - 1024], 0xCC);

	assert_memory_equal(ram + INFO + 0x202, "HdrS", 4);
	assert_int_equal(ram[INFO + 0x210], 0xFF);
	assert_int_equal(ram[INFO + 0x211], 0x01);
	assert_int_equal(ram32(INFO + 0x228), CMDLINE);
	assert_string_equal((char *)ram + CMDLINE, "quiet x=1");
	assert_int_equal(ram64(INFO + 0x250), 0);
	assert_int_equal(ram64(INFO + 0x070), 0xE0000);
	uint32_t at = ram32(INFO + 0x218);

	assert_int_equal(ram32(INFO + 0x21C), sizeof(initrd));
	assert_int_equal(at, RAM_BYTES - 4096);
	assert_memory_equal(ram + at, initrd, sizeof(initrd));
	assert_int_equal(ram[INFO + 0x1E8], map.count);
	assert_int_equal(ram64(INFO + 0x2D0 + 40), MIB); /* third e820 entry: RAM from 1 MiB */
	assert_int_equal(ram64(INFO + 0x2D0 + 48), RAM_BYTES - MIB);
	assert_int_equal(ram32(INFO + 0x2D0 + 56), 1);
}

static void loader_load__linux__enters_in_long_mode(void **state)
{
	(void)state;
	make_linux();
	assert_int_equal(load(), LOAD_OK);
	const struct load_vcpu *vcpu = &result.vcpu;

	assert_int_equal(vcpu->rip, 2 * MIB + 0x200);
	assert_int_equal(vcpu->rsi, INFO);
	assert_int_equal(vcpu->rflags, 2);
	assert_int_equal(vcpu->cr0, 0x80000011);
	assert_int_equal(vcpu->cr4, 0x20);
	assert_int_equal(vcpu->efer, 0x500);
	assert_int_equal(vcpu->cs.selector, 0x10);
	assert_int_equal(vcpu->cs.attributes, 0xA9B);
	assert_int_equal(vcpu->data.selector, 0x18);
	assert_int_equal(ram64(vcpu->gdt_base + 0x10), 0x00AF9B000000FFFF);
	assert_int_equal(ram64(vcpu->gdt_base + 0x18), 0x00CF93000000FFFF);
	/* the tables map the last 2 MiB below 4 GiB to themselves */
	uint64_t pdpt = ram64(vcpu->cr3) & ~0xFFFull;
	uint64_t directory = ram64(pdpt + 3 * 8) & ~0xFFFull;

	assert_int_equal(ram64(directory + 511 * 8), 0xFFE00083);
}

static void loader_load__linux_without_room_at_its_address__is_moved_if_relocatable(void **state)
{
	(void)state;
	make_linux();
	put64(0x258, 64 * MIB);
	assert_int_equal(load(), LOAD_OK);
	assert_int_equal(result.vcpu.rip, 2 * MIB + 0x200);
	assert_string_equal(result.message, "");
	file[0x234] = 0;
	assert_fails(LOAD_NO_ROOM, "the kernel at 0x4000000, 4194304 bytes, does not fit the guest's RAM");
}

static void loader_load__linux_too_large__says_to_give_more_memory(void **state)
{
	(void)state;
	make_linux();
	put32(0x260, 15 * MIB);
	assert_fails(LOAD_NO_ROOM, "give the VM more memory");
}

static void loader_load__linux_initrd_without_room__names_it(void **state)
{
	(void)state;
	make_linux();
	add_initrd();
	put32(0x22C, 0xFFFF); /* initrd_addr_max */
	assert_fails(LOAD_NO_ROOM, "no room for the initrd");
}

static void loader_load__linux_headers_out_of_order__are_refused(void **state)
{
	(void)state;
	make_linux();
	file[0x1F1] = 200;
	assert_fails(LOAD_BAD_IMAGE, "setup_sects 200 exceeds the file (8192 bytes)");
	make_linux();
	put32(0x1F4, 0x10000);
	assert_fails(LOAD_BAD_IMAGE, "truncated");
	make_linux();
	put16(0x206, 0x020B);
	assert_fails(LOAD_UNSUPPORTED, "protocol 2.11 is older than 2.12");
	make_linux();
	put16(0x236, 0);
	assert_fails(LOAD_UNSUPPORTED, "32-bit Linux");
	make_linux();
	file[0x211] = 0;
	assert_fails(LOAD_UNSUPPORTED, "zImage");
	make_linux();
	file[0x201] = 0;
	assert_fails(LOAD_BAD_IMAGE, "the setup header ends at 0x202");
	make_linux();
	put32(0x230, 3);
	assert_fails(LOAD_BAD_IMAGE, "kernel_alignment");
	make_linux();
	put64(0x258, UINT64_MAX - 4095);
	file[0x234] = 0;
	assert_fails(LOAD_NO_ROOM, "does not fit");
}

static void loader_load__cmdline_longer_than_the_kernel_takes__is_refused(void **state)
{
	(void)state;
	make_linux();
	put32(0x238, 8);
	assert_fails(LOAD_BAD_CMDLINE, "the command line has 9 bytes, the limit is 8");
	put32(0x238, 9);
	assert_int_equal(load(), LOAD_OK);
}

/* ---- ELF ---- */

#define PHDRS 64u

static void make_elf64(void)
{
	new_file(FILE_BYTES);
	memcpy(file, "\177ELF\2\1\1", 7);
	put16(16, 2);
	put16(18, 62);
	put64(24, MIB + 0x10); /* entry */
	put64(32, PHDRS);
	put16(54, 56);
	put16(56, 1);
	put32(PHDRS, 1);
	put64(PHDRS + 8, 4096);
	put64(PHDRS + 16, MIB);
	put64(PHDRS + 24, MIB);
	put64(PHDRS + 32, 100);
	put64(PHDRS + 40, 5000);
	memset(file + 4096, 0xAB, 4096);
}

/* A second program header: a note with the 32-bit entry, as Xen's ABI has it. */
static void add_pvh_note(uint32_t entry)
{
	put16(56, 2);
	put32(PHDRS + 56, 4);
	put64(PHDRS + 56 + 8, 512);
	put64(PHDRS + 56 + 32, 20 + 20);
	put32(512, 4); /* another owner's note first */
	put32(516, 4);
	put32(520, 18);
	memcpy(file + 524, "GNU", 4);
	put32(532, 4);
	put32(536, 4);
	put32(540, 18);
	memcpy(file + 544, "Xen", 4);
	put32(548, entry);
}

static void make_elf32(void)
{
	new_file(FILE_BYTES);
	memcpy(file, "\177ELF\1\1\1", 7);
	put16(16, 2);
	put16(18, 3);
	put32(24, 0xC0100010); /* entry, virtual */
	put32(28, PHDRS);
	put16(42, 32);
	put16(44, 1);
	put32(PHDRS, 1);
	put32(PHDRS + 4, 4096);
	put32(PHDRS + 8, 0xC0100000);
	put32(PHDRS + 12, MIB);
	put32(PHDRS + 16, 100);
	put32(PHDRS + 20, 5000);
	memset(file + 4096, 0xAB, 4096);
}

static void add_multiboot(size_t at, uint32_t flags)
{
	put32(at, 0x1BADB002);
	put32(at + 4, flags);
	put32(at + 8, 0 - (0x1BADB002 + flags));
}

static void assert_segment_loaded(void)
{
	assert_memory_equal(ram + MIB, file + 4096, 100);
	for (unsigned i = 100; i < 5000; i++)
		assert_int_equal(ram[MIB + i], 0);
	assert_int_equal(ram[MIB + 5000], 0xCC);
}

static void assert_protected_mode(uint64_t rip)
{
	assert_int_equal(result.vcpu.rip, rip);
	assert_int_equal(result.vcpu.cr0, 0x11);
	assert_int_equal(result.vcpu.cr4, 0);
	assert_int_equal(result.vcpu.efer, 0);
	assert_int_equal(result.vcpu.cs.attributes, 0xC9B);
	assert_int_equal(result.vcpu.cs.limit, 0xFFFFFFFF);
	assert_int_equal(result.vcpu.tr.attributes, 0x8B);
}

static void loader_load__plain_elf64__enters_in_long_mode_with_start_info(void **state)
{
	(void)state;
	make_elf64();
	assert_int_equal(load(), LOAD_OK);
	assert_int_equal(result.format, LOAD_FORMAT_ELF64);
	assert_segment_loaded();
	assert_int_equal(result.vcpu.rip, MIB + 0x10);
	assert_int_equal(result.vcpu.rdi, INFO);
	assert_int_equal(result.vcpu.rsp % 16, 8);
	assert_int_equal(ram64(result.vcpu.rsp), 0);
	assert_int_equal(result.vcpu.efer, 0x500);
	assert_int_equal(ram32(INFO), 0x336EC578);
}

static void loader_load__pvh__enters_in_protected_mode_with_start_info(void **state)
{
	(void)state;
	make_elf64();
	add_pvh_note(MIB + 0x20);
	add_multiboot(600, 0); /* PVH wins over Multiboot */
	add_initrd();
	assert_int_equal(load(), LOAD_OK);
	assert_int_equal(result.format, LOAD_FORMAT_PVH);
	assert_segment_loaded();
	assert_protected_mode(MIB + 0x20);
	assert_int_equal(result.vcpu.rbx, INFO);
	assert_int_equal(ram32(INFO), 0x336EC578);
	assert_int_equal(ram32(INFO + 4), 1);
	assert_int_equal(ram32(INFO + 12), 1);
	uint64_t module = ram64(INFO + 16);

	assert_memory_equal(ram + ram64(module), initrd, sizeof(initrd));
	assert_int_equal(ram64(module + 8), sizeof(initrd));
	assert_string_equal((char *)ram + ram64(INFO + 24), "quiet x=1");
	assert_int_equal(ram64(INFO + 32), 0xE0000);
	uint64_t memmap = ram64(INFO + 40);

	assert_int_equal(ram32(INFO + 48), map.count);
	assert_int_equal(ram64(memmap + 48), MIB);
	assert_int_equal(ram32(memmap + 64), 1);
}

static void loader_load__elf_segments_out_of_bounds__are_refused(void **state)
{
	(void)state;
	make_elf64();
	put64(PHDRS + 32, 4097);
	assert_fails(LOAD_BAD_IMAGE, "exceed the file");
	make_elf64();
	put64(PHDRS + 8, UINT64_MAX - 50);
	assert_fails(LOAD_BAD_IMAGE, "exceed the file");
	make_elf64();
	put64(PHDRS + 40, 99);
	assert_fails(LOAD_BAD_IMAGE, "smaller in memory");
	make_elf64();
	put64(PHDRS + 40, RAM_BYTES);
	assert_fails(LOAD_NO_ROOM, "does not fit the guest's RAM");
	make_elf64();
	put64(PHDRS + 24, UINT64_MAX - 100);
	assert_fails(LOAD_NO_ROOM, "does not fit");
	make_elf64();
	put64(PHDRS + 24, 0xE0000); /* the ACPI area */
	assert_fails(LOAD_NO_ROOM, "does not fit");
	make_elf64();
	put64(PHDRS + 24, 0x1F000);
	assert_fails(LOAD_NO_ROOM, "overlaps the loader's boot information");
	make_elf64();
	put64(32, FILE_BYTES - 55);
	assert_fails(LOAD_BAD_IMAGE, "program headers");
	make_elf64();
	put64(32, UINT64_MAX);
	assert_fails(LOAD_BAD_IMAGE, "program headers");
	make_elf64();
	put16(54, 55);
	assert_fails(LOAD_BAD_IMAGE, "program headers of 55 bytes");
	make_elf64();
	put32(PHDRS, 0);
	assert_fails(LOAD_BAD_IMAGE, "no PT_LOAD segment");
	make_elf64();
	put64(24, 0xA0000);
	assert_fails(LOAD_BAD_IMAGE, "the entry point 0xa0000 is outside");
}

static void loader_load__elf_of_another_kind__is_refused(void **state)
{
	(void)state;
	make_elf64();
	put16(18, 183);
	assert_fails(LOAD_UNSUPPORTED, "machine 183 is not x86");
	make_elf64();
	put16(16, 3);
	assert_fails(LOAD_UNSUPPORTED, "type 3");
	make_elf64();
	file[5] = 2;
	assert_fails(LOAD_BAD_IMAGE, "byte order 2");
	make_elf32();
	assert_fails(LOAD_UNSUPPORTED, "neither a PVH note nor a Multiboot header");
}

static void loader_load__overlapping_segments__are_refused(void **state)
{
	(void)state;
	make_elf64();
	put16(56, 2);
	memcpy(file + PHDRS + 56, file + PHDRS, 56);
	put64(PHDRS + 56 + 24, MIB + 4999);
	assert_fails(LOAD_NO_ROOM, "overlaps a segment at 0x100000");
}

static void loader_load__multiboot_elf32__enters_at_the_physical_entry(void **state)
{
	(void)state;
	make_elf32();
	add_multiboot(4096 + 48, 3);
	add_initrd();
	assert_int_equal(load(), LOAD_OK);
	assert_int_equal(result.format, LOAD_FORMAT_MULTIBOOT);
	assert_segment_loaded();
	assert_protected_mode(MIB + 0x10);
	assert_int_equal(result.vcpu.rax, 0x2BADB002);
	assert_int_equal(result.vcpu.rbx, INFO);
	assert_int_equal(ram32(INFO) & 0x24D, 0x24D);
	assert_int_equal(ram32(INFO + 4), 640);
	assert_int_equal(ram32(INFO + 8), (RAM_BYTES - MIB) / 1024);
	assert_string_equal((char *)ram + ram32(INFO + 16), "quiet x=1");
	assert_int_equal(ram32(INFO + 20), 1);
	uint32_t module = ram32(INFO + 24);

	assert_memory_equal(ram + ram32(module), initrd, sizeof(initrd));
	assert_int_equal(ram32(module + 4) - ram32(module), sizeof(initrd));
	uint32_t mmap = ram32(INFO + 48);

	assert_int_equal(ram32(INFO + 44), map.count * 24);
	assert_int_equal(ram32(mmap), 20);
	assert_int_equal(ram64(mmap + 2 * 24 + 4), MIB);
	assert_string_equal((char *)ram + ram32(INFO + 64), "Hilum");
}

static void loader_load__multiboot_elf64__enters_in_protected_mode(void **state)
{
	(void)state;
	make_elf64();
	add_multiboot(4096 + 48, 0);
	assert_int_equal(load(), LOAD_OK);
	assert_int_equal(result.format, LOAD_FORMAT_MULTIBOOT);
	assert_segment_loaded();
	assert_protected_mode(MIB + 0x10);
}

static void make_kludge(void)
{
	new_file(FILE_BYTES);
	memset(file, 0xAB, FILE_BYTES);
	add_multiboot(64, 0x10000);
	put32(64 + 12, MIB + 32); /* header_addr */
	put32(64 + 16, MIB);      /* load_addr: file offset 32 */
	put32(64 + 20, MIB + 1000);
	put32(64 + 24, MIB + 2000);
	put32(64 + 28, MIB + 4);
}

static void loader_load__multiboot_kludge__loads_by_its_addresses(void **state)
{
	(void)state;
	make_kludge();
	assert_int_equal(load(), LOAD_OK);
	assert_memory_equal(ram + MIB, file + 32, 1000);
	for (unsigned i = 1000; i < 2000; i++)
		assert_int_equal(ram[MIB + i], 0);
	assert_int_equal(ram[MIB + 2000], 0xCC);
	assert_protected_mode(MIB + 4);
	make_kludge();
	put32(64 + 20, 0); /* all of the file, no bss */
	put32(64 + 24, 0);
	assert_int_equal(load(), LOAD_OK);
	assert_memory_equal(ram + MIB, file + 32, FILE_BYTES - 32);
}

static void loader_load__multiboot_kludge_out_of_bounds__is_refused(void **state)
{
	(void)state;
	make_kludge();
	put32(64 + 16, MIB + 33);
	assert_fails(LOAD_BAD_IMAGE, "do not fit");
	make_kludge();
	put32(64 + 12, MIB + 65);
	assert_fails(LOAD_BAD_IMAGE, "do not fit");
	make_kludge();
	put32(64 + 20, MIB + FILE_BYTES);
	assert_fails(LOAD_BAD_IMAGE, "load_end_addr");
	make_kludge();
	put32(64 + 24, 0xFFFFFFFF);
	assert_fails(LOAD_NO_ROOM, "does not fit");
	make_kludge();
	put32(64 + 28, 0xFFFFFFFF);
	assert_fails(LOAD_BAD_IMAGE, "entry point");
	new_file(80);
	add_multiboot(64, 0x10000);
	assert_fails(LOAD_BAD_IMAGE, "exceeds the file");
}

static void loader_load__multiboot_requirements__are_refused_by_name(void **state)
{
	(void)state;
	make_elf32();
	add_multiboot(4096, 4);
	assert_fails(LOAD_UNSUPPORTED, "0x4 (a video mode)");
	new_file(FILE_BYTES);
	add_multiboot(0, 0);
	assert_fails(LOAD_BAD_IMAGE, "not ELF");
}

static void loader_load__anything_else__is_an_unknown_format(void **state)
{
	(void)state;
	new_file(FILE_BYTES);
	assert_fails(LOAD_UNKNOWN_FORMAT, "not a Linux bzImage");
	new_file(1);
	assert_fails(LOAD_UNKNOWN_FORMAT, "(1 bytes)");
	file_bytes = 0;
	assert_fails(LOAD_UNKNOWN_FORMAT, "(0 bytes)");
	make_elf32();
	file = realloc(file, FILE_BYTES + 64);
	file_bytes = FILE_BYTES + 64;
	memset(file + FILE_BYTES, 0, 64);
	add_multiboot(FILE_BYTES - 8, 0); /* not wholly in the first 8 KiB */
	assert_fails(LOAD_UNSUPPORTED, "neither");
}

static void loader_load__ram_refused__is_an_error_wherever_it_happens(void **state)
{
	static const uint64_t pages[] = { 0x1000, 0x2000, 0x3000, 0x4000, 0x8000, 0x10000, 2 * MIB, RAM_BYTES - 4096 };

	(void)state;
	for (size_t i = 0; i < sizeof(pages) / sizeof(pages[0]); i++) {
		make_linux();
		add_initrd();
		refused_gpa = pages[i];
		assert_fails(LOAD_RAM_ACCESS, "is not accessible");
	}
}

static void loader_load__little_memory__is_an_error(void **state)
{
	(void)state;
	make_linux();
	assert_true(guest_map_build(2 * MIB, &map));
	assert_fails(LOAD_NO_ROOM, "no room for the kernel");
}

/* Every format with random bytes changed: get_ram() and ASan judge. */
static void loader_load__damaged_images__stay_in_bounds(void **state)
{
	static void (*const makers[])(void) = { make_linux, make_elf32, make_elf64, make_kludge };
	static const uint32_t nasty[] = { 0, 1, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFF, 0xFFFFF000, 4095, 8192, MIB };

	(void)state;
	srand(7);
	add_initrd();
	for (unsigned round = 0; round < 4000; round++) {
		makers[round % 4]();
		if (round % 3 == 0 && round % 4 == 2)
			add_pvh_note(MIB);
		if (round % 3 == 1 && round % 4 != 0)
			add_multiboot(4096, 0);
		for (int changes = rand() % 6; changes >= 0; changes--) {
			unsigned at = (unsigned)rand() % (round % 4 == 0 ? 0x280 : 0x240);

			if (rand() % 2)
				put32(at & ~3u, nasty[(unsigned)rand() % (sizeof(nasty) / sizeof(nasty[0]))]);
			else
				file[at] = (uint8_t)rand();
		}
		if (rand() % 4 == 0) {
			file_bytes = 1 + (size_t)rand() % FILE_BYTES;
			file = realloc(file, file_bytes);
		}
		if (load() == LOAD_OK)
			assert_true(guest_map_is_ram(&map, result.vcpu.rip, 1));
	}
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(loader_load__linux__places_kernel_and_boot_params),
		TEST(loader_load__linux__enters_in_long_mode),
		TEST(loader_load__linux_without_room_at_its_address__is_moved_if_relocatable),
		TEST(loader_load__linux_too_large__says_to_give_more_memory),
		TEST(loader_load__linux_initrd_without_room__names_it),
		TEST(loader_load__linux_headers_out_of_order__are_refused),
		TEST(loader_load__cmdline_longer_than_the_kernel_takes__is_refused),
		TEST(loader_load__plain_elf64__enters_in_long_mode_with_start_info),
		TEST(loader_load__pvh__enters_in_protected_mode_with_start_info),
		TEST(loader_load__elf_segments_out_of_bounds__are_refused),
		TEST(loader_load__elf_of_another_kind__is_refused),
		TEST(loader_load__overlapping_segments__are_refused),
		TEST(loader_load__multiboot_elf32__enters_at_the_physical_entry),
		TEST(loader_load__multiboot_elf64__enters_in_protected_mode),
		TEST(loader_load__multiboot_kludge__loads_by_its_addresses),
		TEST(loader_load__multiboot_kludge_out_of_bounds__is_refused),
		TEST(loader_load__multiboot_requirements__are_refused_by_name),
		TEST(loader_load__anything_else__is_an_unknown_format),
		TEST(loader_load__ram_refused__is_an_error_wherever_it_happens),
		TEST(loader_load__little_memory__is_an_error),
		TEST(loader_load__damaged_images__stay_in_bounds),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
