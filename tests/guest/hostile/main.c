/*
 * A guest that means harm: random hypercalls, port and MMIO accesses, MSRs, control registers, descriptors
 * and page tables, bounded in number and repeatable.
 * Options: seed=N; count=N attempts of each kind; only=TEXT kinds whose names contain TEXT; end=triple to die
 * by a triple fault instead of a debug exit; end=loop to spin with interrupts off for ever.
 * On a bare machine it may well reset the machine by a register of the chipset (seed=1 does not in QEMU).
 * It proves nothing by itself but that the machine answers to the end: what it must not do shows in its
 * neighbours.
 */
#include "tests/guest/hostile/local.h"
#include "tests/guest/lib/test.h"
#include "tests/guest/lib/text.h"
#include "tests/guest/lib/trap.h"

#define DEFAULT_COUNT 2000

static uint64_t state;
static unsigned count;

/* xorshift64* */
uint64_t hostile_random(void)
{
	state ^= state >> 12;
	state ^= state << 25;
	state ^= state >> 27;
	return state * 0x2545F4914F6CDD1Dull;
}

/* Values that break things more often than uniform ones do. */
uint64_t hostile_value(void)
{
	static const uint64_t special[] = {
		0, 1, 0xFFF, 0x1000, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFF, 0x100000000, 0x7FFFFFFFFFFFFFFF, 0x8000000000000000, ~0ull,
	};
	uint64_t r = hostile_random();

	switch (r & 7) {
	case 0:
	case 1:
		return special[(r >> 8) % (sizeof(special) / sizeof(special[0]))];
	case 2:
		return r >> 8 & 0xFF;
	case 3:
		return (r >> 8 & 0xFFFFFF) << 12;
	case 4:
		return 1ull << (r >> 8 & 63);
	default:
		return hostile_random();
	}
}

static void run_kind(const char *name, void (*fn)(void))
{
	unsigned refused = 0;

	if (!test_wants(name))
		return;
	for (unsigned i = 0; i < count; i++)
		refused += hostile_attempt(fn);
	text_print("hostile: %s: %u attempts, %u raised exceptions\n", name, count, refused);
}

static void triple_fault(void)
{
	static const struct {
		uint16_t limit;
		uint64_t base;
	} __attribute__((packed)) nothing = { 0, 0 };

	__asm__ volatile("lidt %0; ud2" : : "m"(nothing));
}

void guest_main(void)
{
	state = test_option("seed", 1) * 0x9E3779B97F4A7C15ull | 1;
	count = (unsigned)test_option("count", DEFAULT_COUNT);
	hostile_prepare();
	run_kind("hypercalls", hostile_hypercall);
	run_kind("msrs", hostile_msr);
	run_kind("control registers", hostile_control);
	run_kind("descriptors", hostile_descriptor);
	run_kind("page tables", hostile_page_table);
	run_kind("lapic", hostile_lapic);
	run_kind("ports", hostile_port);
	run_kind("string ports", hostile_string_port);
	run_kind("mmio", hostile_mmio);
	run_kind("instructions", hostile_instruction);
	hostile_restore();
	text_print("hostile: done\n");
	if (test_option_is("end", "triple"))
		triple_fault();
	if (test_option_is("end", "loop"))
		for (;;)
			__asm__ volatile("cli; pause");
	test_exit(true);
}
