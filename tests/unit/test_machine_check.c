/*
 * Exceptions and interrupts that nobody asked for: machine-check banks read, judged, counted and cleared; NMIs and spurious vectors counted.
 *
 * UNIT_SOURCES: arch/x86_64/trap.c
 * UNIT_FLAGS: -iquote tests/unit/fake_kernel
 */
#include "cmocka_all.h"

#include <setjmp.h>
#include <string.h>

#include "arch/x86_64/cpu.h"
#include "arch/x86_64/lapic.h"
#include "arch/x86_64/panic.h"
#include "arch/x86_64/trap.h"

#define BANKS       3u
#define VALID       (1ull << 63)
#define UNCORRECTED (1ull << 61)
#define HAS_ADDR    (1ull << 58)
#define CORRUPT     (1ull << 57)
#define CONSUMED    (1ull << 55)

struct fixup_of_test {
	int32_t fault, resume;
};
extern const struct fixup_of_test kernel_fixup_start[], kernel_fixup_end[];
const struct fixup_of_test kernel_fixup_start[1], kernel_fixup_end[1];

struct cpu *fake_self;
uint64_t fake_tsc, fake_msr_value, fake_xcr0, fake_port_value;
uint32_t fake_msr, fake_port;
static uint64_t status[BANKS];
static unsigned ends_of_interrupt, reads;
static jmp_buf panicked;

/* What machine_check_take writes is the clearing of the bank that it has just read. */
uint64_t fake_rdmsr(uint32_t msr)
{
	unsigned bank = (msr - 0x401) / 4;

	if (msr == 0x179)
		return 0x1000000 | BANKS;
	reads++;
	return (msr - 0x401) % 4 == 0 ? status[bank] : 0x1000 * (bank + 1);
}

struct cpuid_regs fake_cpuid(uint32_t leaf, uint32_t subleaf)
{
	(void)leaf;
	(void)subleaf;
	return (struct cpuid_regs){ 0 };
}

void fake_others_run(void)
{
}

void lapic_eoi(void)
{
	ends_of_interrupt++;
}

void panic_halt(void)
{
	__builtin_trap();
}

bool panic_is_active(void)
{
	return false;
}

void panic_at(const struct trap_frame *frame, const char *fmt, ...)
{
	(void)frame;
	(void)fmt;
	longjmp(panicked, 1);
}

void panic(const char *fmt, ...)
{
	(void)fmt;
	longjmp(panicked, 1);
}

static int set_up(void **state)
{
	(void)state;
	memset(&host_health, 0, sizeof(host_health));
	memset(status, 0, sizeof(status));
	ends_of_interrupt = 0;
	fake_msr = 0;
	return 0;
}

static void machine_check_judge__each_kind__by_what_is_lost(void **state)
{
	(void)state;
	assert_int_equal(machine_check_judge(VALID), MACHINE_CHECK_CORRECTED);
	assert_int_equal(machine_check_judge(VALID | HAS_ADDR), MACHINE_CHECK_CORRECTED);
	assert_int_equal(machine_check_judge(VALID | UNCORRECTED | HAS_ADDR), MACHINE_CHECK_CORRECTED); /* a scrubber has found it */
	assert_int_equal(machine_check_judge(VALID | UNCORRECTED | CONSUMED | HAS_ADDR), MACHINE_CHECK_MEMORY);
	assert_int_equal(machine_check_judge(VALID | UNCORRECTED | CONSUMED), MACHINE_CHECK_FATAL);
	assert_int_equal(machine_check_judge(VALID | UNCORRECTED | HAS_ADDR | CORRUPT), MACHINE_CHECK_FATAL);
}

static void machine_check_take__banks__worst_counts_and_address(void **state)
{
	(void)state;
	assert_int_equal(machine_check_take(true), MACHINE_CHECK_CORRECTED);
	assert_int_equal(host_health.checks_corrected, 0);
	status[0] = VALID;
	status[1] = VALID | UNCORRECTED | CONSUMED | HAS_ADDR;
	assert_int_equal(machine_check_take(true), MACHINE_CHECK_MEMORY);
	assert_int_equal(host_health.checks_corrected, 1);
	assert_int_equal(host_health.check_address, 0x2000);
	assert_int_equal(host_health.check_status, status[1]);
	assert_int_equal(fake_msr, 0x17A); /* MCG_STATUS last: a second one while it is set would stop the machine */
}

static void machine_check_take__polled__uncorrected_is_only_counted(void **state)
{
	(void)state;
	status[2] = VALID | UNCORRECTED | CORRUPT;
	assert_int_equal(machine_check_take(false), MACHINE_CHECK_CORRECTED);
	assert_int_equal(host_health.checks_corrected, 1);
	assert_int_equal(fake_msr, 0x401 + 8);
	assert_int_equal(fake_msr_value, 0);
}

static void trap_handle__machine_check_in_root_mode__panics_unless_corrected(void **state)
{
	struct trap_frame frame = { .vector = 18 };

	(void)state;
	status[0] = VALID;
	trap_handle(&frame);
	status[0] = VALID | UNCORRECTED | CONSUMED | HAS_ADDR;
	if (setjmp(panicked) == 0) {
		trap_handle(&frame);
		fail_msg("root mode went on");
	}
}

static void trap_handle__nmi__counted(void **state)
{
	struct trap_frame frame = { .vector = 2 };

	(void)state;
	trap_handle(&frame);
	trap_handle(&frame);
	assert_int_equal(host_health.nmis, 2);
	assert_int_equal(ends_of_interrupt, 0);
}

static void handler(unsigned vector)
{
	assert_int_equal(vector, 0x40);
}

static void irq_dispatch__no_handler__counted_and_ended_if_in_service(void **state)
{
	(void)state;
	irq_set_handler(0x40, handler);
	irq_dispatch(0x40);
	assert_int_equal(host_health.spurious, 0);
	irq_dispatch(0x41);
	assert_int_equal(ends_of_interrupt, 2);
	irq_dispatch(0xFF);
	irq_dispatch(0xF7);
	assert_int_equal(ends_of_interrupt, 2); /* nothing is in service */
	assert_int_equal(host_health.spurious, 3);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(machine_check_judge__each_kind__by_what_is_lost, set_up),
		cmocka_unit_test_setup(machine_check_take__banks__worst_counts_and_address, set_up),
		cmocka_unit_test_setup(machine_check_take__polled__uncorrected_is_only_counted, set_up),
		cmocka_unit_test_setup(trap_handle__machine_check_in_root_mode__panics_unless_corrected, set_up),
		cmocka_unit_test_setup(trap_handle__nmi__counted, set_up),
		cmocka_unit_test_setup(irq_dispatch__no_handler__counted_and_ended_if_in_service, set_up),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
