/*
 * A machine for the tests of mm/: RAM from 0 to 3 GiB and from 4 to 6 GiB with the usual holes, a module,
 * ACPI tables. A test program boots it once.
 */
#ifndef TESTS_UNIT_FAKE_MM_MACHINE_H
#define TESTS_UNIT_FAKE_MM_MACHINE_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <unistd.h>
#include <cmocka.h>

#include "arch/x86_64/layout.h"
#include "arch/x86_64/status.h"
#include "boot/boot_info.h"

#define FAKE_RAM_BYTES   (8ull << 30)
#define FAKE_MODULE_BASE 0x1400000ull
#define FAKE_MODULE_END  0x2345000ull

extern const struct boot_info fake_boot_info;

/* Reserves memory and frame table, empty. */
void fake_machine_reserve(void);

/* The same, and fills the frame table from fake_boot_info. */
void fake_machine_boot(void);

/* Repeatable random numbers. */
uint64_t fake_random(void);

/* Runs the statement in a copy of this process, and fails unless it panics there. */
#define expect_panic(statement) \
	do { \
		pid_t child = fork(); \
		if (!child) { \
			fake_panic_expected = true; \
			statement; \
			_exit(0); \
		} \
		assert_true(fake_has_panicked(child)); \
	} while (0)
extern bool fake_panic_expected;
bool fake_has_panicked(pid_t child);

#endif
