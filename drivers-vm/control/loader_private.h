/* What the loaders share: the state of one load, claims on guest RAM, and the boot structures common to
 * several protocols. */
#ifndef DRIVERS_VM_CONTROL_LOADER_PRIVATE_H
#define DRIVERS_VM_CONTROL_LOADER_PRIVATE_H

#include "drivers-vm/control/loader.h"

#include <stdbool.h>

/* The loader's own area of guest RAM, one use per page (several where noted). */
#define LOADER_GDT_GPA     0x1000ull
#define LOADER_INFO_GPA    0x2000ull /* boot_params, hvm_start_info or Multiboot information */
#define LOADER_TABLES_GPA  0x3000ull /* PML4, PDPT and four page directories */
#define LOADER_STACK_TOP   0xA000ull /* one page downward */
#define LOADER_CMDLINE_GPA 0x10000ull

#define LOADER_CLAIMS 80u

struct load_claim {
	uint64_t base;
	uint64_t bytes;
	const char *what;
};

struct load {
	const struct load_request *request;
	struct load_result *out;
	const uint8_t *file;
	size_t file_bytes;
	unsigned claims;
	struct load_claim claim[LOADER_CLAIMS];
};

/* Formats the message, prefixed with the kernel's name, and returns `error`. */
enum load_error loader_fail(struct load *load, enum load_error error, const char *format, ...) __attribute__((format(printf, 3, 4)));

/* Takes [base, base + bytes) of guest RAM for `what` (static text), or fails: not RAM, or taken. */
enum load_error loader_claim_at(struct load *load, uint64_t base, uint64_t bytes, const char *what);

/* Takes the lowest (`highest` false) or highest free place for `bytes` in [from, limit), aligned;
 * LOAD_NO_ROOM if none. */
enum load_error loader_claim_free(struct load *load, uint64_t bytes, uint64_t align, uint64_t from, uint64_t limit, bool highest,
                                  const char *what, uint64_t *base);

/* Copy to and clear guest RAM, window by window; LOAD_RAM_ACCESS if the callback refuses. */
enum load_error loader_write(struct load *load, uint64_t gpa, const void *from, uint64_t bytes);
enum load_error loader_clear(struct load *load, uint64_t gpa, uint64_t bytes);

/* Writes the command line at LOADER_CMDLINE_GPA; `limit` is the image's own maximum without the NUL. */
enum load_error loader_put_cmdline(struct load *load, uint32_t limit);

/* Puts the initrd as high as possible below `limit`; *base is 0 when there is none. */
enum load_error loader_put_initrd(struct load *load, uint64_t limit, uint64_t *base);

/* Flat 32-bit protected mode without paging, and 64-bit mode with the first 4 GiB identity-mapped; both write
 * the GDT. */
enum load_error loader_enter_protected(struct load *load, uint64_t rip);
enum load_error loader_enter_long(struct load *load, uint64_t rip);

enum load_error loader_load_linux(struct load *load);
bool loader_is_linux(const struct load *load);

struct elf_image;

/* Writes an hvm_start_info with memory map, command line and module at LOADER_INFO_GPA. */
enum load_error loader_put_start_info(struct load *load);
bool loader_find_pvh_entry(const struct load *load, const struct elf_image *image, uint32_t *entry);
enum load_error loader_load_pvh(struct load *load, const struct elf_image *image, uint32_t entry);

#define MULTIBOOT_NOT_FOUND SIZE_MAX
size_t loader_find_multiboot(const struct load *load);
/* `image` is NULL when the file is no ELF file. */
enum load_error loader_load_multiboot(struct load *load, const struct elf_image *image, size_t header);

enum load_error loader_load_elf64(struct load *load, const struct elf_image *image);

#endif
