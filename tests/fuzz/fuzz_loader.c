/*
 * Fuzz target of the loaders of guests' kernels: bzImage, PVH, Multiboot, ELF. The first four bytes say how much memory the guest has, how
 * long its command line and its initrd are; the rest is the kernel's file. Properties: no access outside of the file, and of the guest's
 * RAM outside of what was asked for (the sanitisers see it); what is asked for is RAM, and within one window; a refusal has a reason.
 *
 * FUZZ_SOURCES: drivers-vm/control/loader.c drivers-vm/control/loader_guest.c drivers-vm/control/loader_linux.c
 * FUZZ_SOURCES: drivers-vm/control/loader_elf.c drivers-vm/control/loader_pvh.c drivers-vm/control/loader_multiboot.c
 * FUZZ_SOURCES: drivers-vm/control/guest_map.c
 * FUZZ_OPTIONS: -max_len=8192
 */
#include "drivers-vm/control/loader.h"

#include <stdlib.h>
#include <string.h>

#define RAM_BYTES    (16ull << 20)
#define CMDLINE_MAX  (LOADER_CMDLINE_MAX + 2u)
#define HEADER_BYTES 4u

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes);

static struct guest_map map;
static uint8_t *ram;

static void *get_ram(void *ctx, uint64_t gpa, size_t bytes)
{
	(void)ctx;
	if (bytes == 0 || !guest_map_is_ram(&map, gpa, bytes) || gpa / LOADER_WINDOW_BYTES != (gpa + bytes - 1) / LOADER_WINDOW_BYTES)
		abort();
	return gpa <= RAM_BYTES && bytes <= RAM_BYTES - gpa ? ram + gpa : NULL;
}

static void *copy(const uint8_t *from, size_t bytes)
{
	void *exact = malloc(bytes ? bytes : 1);

	if (!exact)
		abort();
	memcpy(exact, from, bytes);
	return exact;
}

static void load(const uint8_t *file, size_t bytes, size_t initrd_bytes, const char *cmdline)
{
	static const uint8_t initrd[64 << 8];
	struct load_result result = { .format = 0 };
	void *exact = copy(file, bytes), *second = copy(initrd, initrd_bytes);
	struct load_request request = { .kernel_name = "image",
		                        .kernel = exact,
		                        .kernel_bytes = bytes,
		                        .initrd_name = initrd_bytes ? "initrd" : NULL,
		                        .initrd = second,
		                        .initrd_bytes = initrd_bytes,
		                        .cmdline = cmdline,
		                        .acpi_rsdp = 0xE0000,
		                        .map = &map,
		                        .ram = get_ram };

	if (loader_load(&request, &result) == LOAD_OK) {
		if (!loader_format_name(result.format)[0] || !(result.vcpu.cr0 & 1))
			abort();
	} else if (strncmp(result.message, "image: ", 7) != 0 && strncmp(result.message, "initrd: ", 8) != 0) {
		abort();
	}
	free(exact);
	free(second);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes)
{
	static char cmdline[CMDLINE_MAX + 1];
	size_t words;

	if (bytes < HEADER_BYTES)
		return 0;
	if (!ram && !(ram = malloc(RAM_BYTES)))
		abort();
	if (!guest_map_build((uint64_t)(1 + data[0] % 16) << 20, &map))
		return 0;
	words = data[1] == 0xFF ? CMDLINE_MAX : data[1] * 16u;
	memset(cmdline, 'x', words);
	cmdline[words] = '\0';
	load(data + HEADER_BYTES, bytes - HEADER_BYTES, (size_t)(data[2] % 64) << (data[3] % 9), words ? cmdline : NULL);
	return 0;
}
