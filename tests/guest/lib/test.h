/*
 * The frame of every test guest: start-up, the list of tests, their verdicts, the end.
 *
 * Output: "PASS name", "FAIL name: why", "SKIP name: reason" per test, then "guest: N passed, N failed"; the
 * machine is then left through isa-debug-exit (port 0xF4) with 0 when nothing failed and 1 otherwise. Command
 * line words: only=TEXT runs the tests whose names contain TEXT; vcpus=N, seed=N and others belong to the
 * guests.
 */
#ifndef TESTS_GUEST_LIB_TEST_H
#define TESTS_GUEST_LIB_TEST_H

#include <stdbool.h>
#include <stdint.h>

struct test_case {
	const char *name;
	void (*run)(void);
};

/* Each guest defines this; it runs on the first CPU with traps set up and interrupts off. */
void guest_main(void);

/* Runs the cases one after another; an unexpected exception fails its case. */
void test_run(const struct test_case *cases, unsigned count);
#define TEST_RUN(cases) test_run(cases, sizeof(cases) / sizeof((cases)[0]))

/*
 * Whether only=TEXT is absent or TEXT occurs in name; and one case whatever only= says, for guests that
 * filter on their own.
 */
bool test_wants(const char *name);
void test_run_always(const struct test_case *c);

/* Says "SKIP": the platform lacks what this case needs. The caller returns after it. */
void test_skip(const char *format, ...) __attribute__((format(printf, 1, 2)));

/*
 * Records a failure of the running case; only the first is printed with the verdict, the rest in lines of
 * their own.
 */
void test_fail(const char *format, ...) __attribute__((format(printf, 1, 2)));

#define CHECK(condition, ...) \
	do { \
		if (!(condition)) \
			test_fail(__VA_ARGS__); \
	} while (0)

/* CHECK that also leaves the calling function, which returns nothing. */
#define REQUIRE(condition, ...) \
	do { \
		if (!(condition)) { \
			test_fail(__VA_ARGS__); \
			return; \
		} \
	} while (0)

#define CHECK_EQ(actual, expected) \
	do { \
		uint64_t check_a = (uint64_t)(actual), check_e = (uint64_t)(expected); \
		if (check_a != check_e) \
			test_fail("line %d: " #actual " is %lx, not %lx", __LINE__, check_a, check_e); \
	} while (0)

/* Prints the totals and leaves the machine; never returns. */
void test_finish(void) __attribute__((noreturn));
void test_exit(bool good) __attribute__((noreturn));

/* A number (decimal, or hexadecimal after 0x) given as NAME=number on the command line, or otherwise. */
uint64_t test_option(const char *name, uint64_t otherwise);
/* Whether the word NAME=value or NAME stands on the command line. */
bool test_option_is(const char *name, const char *value);

/*
 * Whether NAME stands in the list flaws=NAME,NAME on the command line: what the emulator below is known to do wrong, however
 * right the hypervisor is. scripts/lib/platforms.py says which emulator has which.
 */
bool test_flaw_known(const char *name);

/* Upper end of usable RAM below 4 GiB in bytes, as the boot loader says. */
extern uint64_t guest_ram_end;

/* Zeroed 4 KiB pages, identity mapped, never given back. */
void *guest_alloc_pages(unsigned count);

/* Whether this is QEMU's own CPU and no hypervisor: some tests skip what its TCG is known to get wrong. */
bool guest_is_bare_tcg(void);
/*
 * Whether QEMU's TCG executes this guest, directly or below a hypervisor: known by its CPUID signature, or by
 * a flaw that shines through every hypervisor. Checks that it cannot pass accept its answer then, and only
 * then.
 */
bool guest_on_tcg(void);
/* Whether Hilum's leaves are there. */
bool guest_is_hilum(void);
/* Whether KVM's, or Xen's, are. */
bool guest_is_kvm(void);
bool guest_is_xen(void);

#endif
