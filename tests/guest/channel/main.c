/*
 * One end of a channel between two VMs, which both run this: their memory, and doorbells that interrupt. rounds=N says how often (default
 * 500); the one with id 0 begins.
 */
#include "tests/guest/lib/clock.h"
#include "tests/guest/lib/cpu.h"
#include "tests/guest/lib/lapic.h"
#include "tests/guest/lib/pci.h"
#include "tests/guest/lib/test.h"
#include "tests/guest/lib/text.h"
#include "tests/guest/lib/trap.h"
#include "tests/guest/lib/vm.h"

#define DEVICE_ID      0x11101AF4u
#define PCI_COMMAND    0x04u
#define PCI_BAR(n)     (0x10u + 4 * (n))
#define MEMORY_MASTER  0x6u
#define CAP_MSIX       0x11u
#define MSIX_ENABLE    (1u << 31)
#define DOORBELL       3u /* words */
#define POSITION       2u
#define BELL           5u /* vector of the device that is rung */
#define VECTOR         0x61
#define WAIT_US        60000000u
#define DEFAULT_ROUNDS 500u
#define GREETING       0x4C4E4148ull

static volatile uint32_t *registers, *table;
static volatile uint64_t *memory; /* words: 0 and 1 greetings, 2 the round, 3 farewells */
static unsigned device, me;
static volatile uint64_t taken;

static void take(struct trap_frame *frame)
{
	(void)frame;
	taken++;
	lapic_eoi();
}

static bool find(void)
{
	for (device = 0; device < 32; device++)
		if (pci_read(device, 0, 0) == DEVICE_ID)
			return true;
	return false;
}

static void enable_msix(void)
{
	unsigned at = pci_read(device, 0, 0x34) & 0xFC;

	while (at != 0 && (pci_read(device, 0, at) & 0xFF) != CAP_MSIX)
		at = pci_read(device, 0, at) >> 8 & 0xFC;
	REQUIRE(at != 0, "no MSI-X");
	table[4 * BELL] = 0xFEE00000u | lapic_id() << 12;
	table[4 * BELL + 1] = 0;
	table[4 * BELL + 2] = VECTOR;
	table[4 * BELL + 3] = 0;
	pci_write(device, 0, at, MSIX_ENABLE);
}

static void open(void)
{
	uint64_t place;

	pci_write(device, 0, PCI_COMMAND, MEMORY_MASTER);
	registers = (volatile uint32_t *)(uintptr_t)(pci_read(device, 0, PCI_BAR(0)) & ~0xFu);
	table = (volatile uint32_t *)(uintptr_t)(pci_read(device, 0, PCI_BAR(1)) & ~0xFu);
	place = (pci_read(device, 0, PCI_BAR(2)) & ~0xFu) | (uint64_t)pci_read(device, 0, PCI_BAR(3)) << 32;
	memory = vm_map(0, place, PTE_P | PTE_W);
	me = registers[POSITION];
	trap_set_handler(VECTOR, take);
	enable_msix();
	irq_enable();
}

static void ring(void)
{
	registers[DOORBELL] = (uint32_t)!me << 16 | BELL;
}

/* Each writes the round and rings; the other one waits for its interrupt, and answers. */
static void doorbells(void)
{
	uint64_t rounds = test_option("rounds", DEFAULT_ROUNDS);

	if (!find()) {
		test_skip("there is no channel");
		return;
	}
	open();
	REQUIRE(me < 2, "id %u", me);
	memory[me] = GREETING;
	REQUIRE(CLOCK_WAIT(memory[!me] == GREETING, WAIT_US), "the other one is not there");
	for (uint64_t i = 0; i < rounds; i++) {
		if (i % 2 == me) {
			memory[2] = i;
			ring();
			continue;
		}
		REQUIRE(CLOCK_WAIT(taken > i / 2, WAIT_US), "no interrupt in round %lu", i);
		REQUIRE(memory[2] == i, "round %lu, and the memory says %lu", i, memory[2]);
		REQUIRE(taken == i / 2 + 1, "%lu interrupts after round %lu", taken, i);
	}
	text_print("channel: %u: %lu rounds\n", me, rounds);
	__atomic_fetch_add(&memory[3], 1, __ATOMIC_SEQ_CST);
	REQUIRE(CLOCK_WAIT(memory[3] == 2, WAIT_US), "the other one has not come so far");
}

/* The place of the memory is fixed, and nobody executes from there. */
static void return_from(void *at)
{
	((void (*)(void))at)();
}

static void not_code(void)
{
	struct trap_record record;

	if (!find()) {
		test_skip("there is no channel");
		return;
	}
	uint32_t place = pci_read(device, 0, PCI_BAR(2));
	pci_write(device, 0, PCI_BAR(2), 0x12340000);
	CHECK_EQ(pci_read(device, 0, PCI_BAR(2)), place);
	*(volatile uint8_t *)&memory[8 + me] = 0xC3; /* RET */
	CHECK(trap_catch(return_from, (void *)&memory[8 + me], &record), "it was executed");
}

void guest_main(void)
{
	static const struct test_case cases[] = { { "doorbells", doorbells }, { "not_code", not_code } };

	TEST_RUN(cases);
}
