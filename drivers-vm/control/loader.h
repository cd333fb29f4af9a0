/*
 * Boot-image loaders: puts a guest kernel, its initrd, command line and boot information into guest RAM and
 * says in which state its first vCPU starts. The kind of image is found by looking at the file. Files and
 * guest RAM are the only inputs and outputs: no hypercalls, no globals. Every byte of a file is hostile.
 *
 * Guest RAM in [LOADER_AREA_BASE, LOADER_AREA_LIMIT) is the loader's own; an image may not lie there.
 */
#ifndef DRIVERS_VM_CONTROL_LOADER_H
#define DRIVERS_VM_CONTROL_LOADER_H

#include "drivers-vm/control/guest_map.h"

#include <stddef.h>
#include <stdint.h>

#define LOADER_AREA_BASE  0x1000ull
#define LOADER_AREA_LIMIT 0x20000ull
#define LOADER_CMDLINE_MAX \
	0xFFFFu /* bytes without the final NUL; a Linux kernel's own limit may be lower                      \
		 */
#define LOADER_WINDOW_BYTES 0x200000ull
#define LOADER_MESSAGE_MAX  200

enum load_error {
	LOAD_OK = 0,
	LOAD_UNKNOWN_FORMAT, /* no loader knows this file */
	LOAD_BAD_IMAGE,      /* the file contradicts itself or its own length */
	LOAD_UNSUPPORTED,    /* well-formed, but asks for something that is not here */
	LOAD_NO_ROOM,        /* the guest has no RAM where something must go, or two things would overlap */
	LOAD_BAD_CMDLINE,    /* the command line is longer than the image or the loader can take */
	LOAD_RAM_ACCESS,     /* the ram callback refused a range that the memory map calls RAM */
};

enum load_format {
	LOAD_FORMAT_LINUX,     /* bzImage, 64-bit entry */
	LOAD_FORMAT_PVH,       /* ELF with a Xen PHYS32_ENTRY note */
	LOAD_FORMAT_MULTIBOOT, /* Multiboot 1: ELF32, ELF64 or a.out kludge */
	LOAD_FORMAT_ELF64,     /* ELF64 without any boot header */
};

/* A segment register. `attributes` has descriptor bits 40-47 in 7:0 and 52-55 in 11:8 (APM vol. 2, 15.5 VMCB
 * layout). */
struct load_segment {
	uint16_t selector;
	uint16_t attributes;
	uint32_t limit;
	uint64_t base;
};

/* Initial state of the boot vCPU. Registers not named are zero; IDTR has limit 0; EFLAGS is `rflags`. */
struct load_vcpu {
	uint64_t rip, rflags, rsp;
	uint64_t rax, rbx, rsi, rdi;
	uint64_t cr0, cr3, cr4, efer;
	struct load_segment cs;
	struct load_segment data; /* DS, ES, FS, GS and SS */
	struct load_segment tr;
	uint64_t gdt_base;
	uint16_t gdt_limit;
};

struct load_request {
	const char *kernel_name; /* for messages */
	const void *kernel;
	size_t kernel_bytes;
	const char *initrd_name; /* NULL: no initrd */
	const void *initrd;
	size_t initrd_bytes;
	const char *cmdline; /* NULL: empty */
	uint64_t acpi_rsdp;  /* guest-physical address of the RSDP, announced where the protocol has a field;
				0: none */
	const struct guest_map *map;
	/*
	 * Returns where guest RAM [gpa, gpa + bytes) can be written, or NULL if it cannot. Never asked for a
	 * range that crosses a LOADER_WINDOW_BYTES boundary; the pointer is not used after the next call.
	 */
	void *(*ram)(void *ctx, uint64_t gpa, size_t bytes);
	void *ctx;
};

struct load_result {
	enum load_format format;
	struct load_vcpu vcpu;
	char message[LOADER_MESSAGE_MAX]; /* on error: one line that begins with the file's name */
};

/*
 * Loads the guest. On success fills out->format and out->vcpu; otherwise out->message says what is wrong with
 * which file, and guest RAM may hold part of the image.
 */
enum load_error loader_load(const struct load_request *request, struct load_result *out) __attribute__((warn_unused_result));

/* A word for the log: "Linux bzImage", "PVH ELF", ... */
const char *loader_format_name(enum load_format format);

#endif
