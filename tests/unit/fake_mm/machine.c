/* The machine of machine.h, and what mm/ calls outside itself. */
#include "machine.h"

#include <stdio.h>
#include <sys/mman.h>
#include <sys/wait.h>

#include "arch/x86_64/cpu.h"
#include "arch/x86_64/features.h"
#include "arch/x86_64/log.h"
#include "arch/x86_64/panic.h"
#include "boot/boot.h"
#include "mm/frame.h"

#define GIB (1ull << 30)

uint8_t *fake_ram, *fake_frame_table;
uint8_t fake_image[FAKE_IMAGE_PAGES * PAGE_SIZE] __attribute__((aligned(4096)));
struct cpu_features cpu_features = { .phys_bits = 46 };
__thread struct cpu_arch fake_cpu = { .id = 3 };
uint64_t fake_cr3, fake_invlpg_count, fake_invlpg_last;
bool fake_panic_expected;

const struct boot_info fake_boot_info = {
	.ranges =
		{
			{0, 0x1000, BOOT_RANGE_KERNEL},
			{0x1000, 0x9E000, BOOT_RANGE_FREE},
			{0x9F000, 0x1000, BOOT_RANGE_RESERVED},
			{0xF0000, 0x10000, BOOT_RANGE_RESERVED},
			{0x100000, 0x100000, BOOT_RANGE_FREE},
			{0x200000, 0x9000, BOOT_RANGE_KERNEL},
			{0x209000, 0x11F7000, BOOT_RANGE_FREE},
			{FAKE_MODULE_BASE, FAKE_MODULE_END - FAKE_MODULE_BASE, BOOT_RANGE_MODULE},
			{FAKE_MODULE_END, 3 * GIB - 0x123000 - FAKE_MODULE_END, BOOT_RANGE_FREE},
			{3 * GIB - 0x123000, 0x123000, BOOT_RANGE_RESERVED}, /* ACPI tables */
			{0xFEC00000, 0x1000, BOOT_RANGE_RESERVED},
			{4 * GIB, 2 * GIB + 0x7000, BOOT_RANGE_FREE},
		},
	.range_count = 12,
};

static void *reserve(uint64_t bytes, uint64_t align)
{
	uint8_t *p = mmap(NULL, bytes + align, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

	assert_true(p != MAP_FAILED);
	return p + (align - (uint64_t)p % align) % align;
}

void fake_machine_reserve(void)
{
	fake_ram = reserve(FAKE_RAM_BYTES, GIB);
	fake_frame_table = reserve(FAKE_RAM_BYTES / PAGE_SIZE * sizeof(struct frame), GIB);
}

void fake_machine_boot(void)
{
	fake_machine_reserve();
	frame_note_ranges(&fake_boot_info);
	frame_init(&fake_boot_info);
}

uint64_t fake_random(void)
{
	static uint64_t state = 0x9E3779B97F4A7C15ull;

	state ^= state << 13;
	state ^= state >> 7;
	state ^= state << 17;
	return state;
}

void *early_map(hpa_t hpa, uint64_t bytes)
{
	assert_true(hpa + bytes <= FAKE_RAM_BYTES);
	return fake_ram + hpa;
}

static void print_line(const char *fmt, va_list args)
{
	vfprintf(stderr, fmt, args);
	fputc('\n', stderr);
}

#define PANIC_EXIT 42

bool fake_has_panicked(pid_t child)
{
	int status = 0;

	waitpid(child, &status, 0);
	return WIFEXITED(status) && WEXITSTATUS(status) == PANIC_EXIT;
}

_Noreturn static void stop(const char *fmt, va_list args)
{
	if (fake_panic_expected)
		_exit(PANIC_EXIT);
	print_line(fmt, args);
	abort();
}

void panic(const char *fmt, ...)
{
	va_list args;

	va_start(args, fmt);
	stop(fmt, args);
}

void boot_refuse(const char *fmt, ...)
{
	va_list args;

	va_start(args, fmt);
	stop(fmt, args);
}

__attribute__((weak)) void log_info(const char *fmt, ...)
{
	(void)fmt;
}

void log_error(const char *fmt, ...)
{
	va_list args;

	va_start(args, fmt);
	print_line(fmt, args);
	va_end(args);
}
