/* ELF executables as boot images: program headers only, both classes, into one neutral form. */
#ifndef DRIVERS_VM_CONTROL_LOADER_ELF_H
#define DRIVERS_VM_CONTROL_LOADER_ELF_H

#include "drivers-vm/control/loader_private.h"

#define ELF_SEGMENTS 32u

#define ELF_PT_LOAD 1u
#define ELF_PT_NOTE 4u

/* A PT_LOAD or PT_NOTE program header; its file range lies inside the file. */
struct elf_segment {
	uint32_t type;
	uint64_t offset;
	uint64_t file_bytes;
	uint64_t physical;
	uint64_t virtual;
	uint64_t memory_bytes; /* PT_LOAD: at least file_bytes */
	uint64_t align;
};

struct elf_image {
	bool is_64;
	uint64_t entry; /* virtual, as in the header */
	unsigned count;
	struct elf_segment segment[ELF_SEGMENTS];
};

bool elf_is_elf(const struct load *load);

/* Reads and checks the headers; on error the message says what is wrong. */
enum load_error elf_parse(struct load *load, struct elf_image *out);

/* Claims, copies and clears every PT_LOAD segment at its physical address. */
enum load_error elf_load_segments(struct load *load, const struct elf_image *image);

/* The entry's physical address by the segment that contains it, or the entry itself when none does. */
uint64_t elf_physical_entry(const struct elf_image *image);

#endif
