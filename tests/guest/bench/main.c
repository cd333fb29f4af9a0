/*
 * What exits cost, as a guest sees it: TSC ticks per operation. With QEMU's -icount shift=0 a tick is one
 * instruction, host's and guest's alike, and the figures repeat exactly; otherwise they are just ticks.
 * Options: count=N rounds per operation, only=TEXT operations whose names contain TEXT, doorbell=PORT for the
 * doorbell write, vm_call=1 where the handler knows its port; hold=1 to measure nothing and stay there, asleep.
 */
#include "tests/guest/bench/bench.h"
#include "tests/guest/lib/cpu.h"
#include "tests/guest/lib/lapic.h"
#include "tests/guest/lib/test.h"
#include "tests/guest/lib/text.h"

#define BENCH_COUNT 200

static unsigned rounds;

static void __attribute__((noinline)) op_empty(void)
{
	compiler_barrier();
}

uint64_t bench_overhead(void)
{
	static const struct bench_op empty = { "empty", op_empty, NULL, NULL };
	static uint64_t least;
	uint64_t mean;

	if (!least)
		bench_rounds(&empty, BENCH_COUNT, &least, &mean);
	return least;
}

void __attribute__((noinline)) bench_report(const char *name, uint64_t least, uint64_t mean)
{
	text_print("bench: %s %lu instructions\n", name, least);
	text_print("bench: %s_mean %lu instructions\n", name, mean);
}

void bench_measure(const struct bench_op *op, unsigned count)
{
	uint64_t overhead = bench_overhead(), least, mean;

	if (op->offered && !op->offered()) {
		text_print("SKIP %s: not offered here\n", op->name);
		return;
	}
	bench_rounds(op, count, &least, &mean);
	bench_report(op->name, least > overhead ? least - overhead : 0, mean > overhead ? mean - overhead : 0);
}

static void bench_all(const struct bench_op *op)
{
	for (; op->name; op++)
		if (test_wants(op->name))
			bench_measure(op, rounds);
}

static void bench_cpu(void)
{
	bench_all(bench_cpu_ops);
}

static void bench_ports(void)
{
	bench_all(bench_port_ops);
	if (test_option("vm_call", 0))
		bench_measure(&bench_vm_call, rounds);
}

static void bench_fresh_pages(void)
{
	if (test_wants(bench_fresh_page.name))
		bench_measure(&bench_fresh_page, rounds);
}

static void bench_xapic(void)
{
	if (rdmsr(MSR_APIC_BASE) & APIC_BASE_X2APIC)
		lapic_enter_xapic();
	bench_all(bench_xapic_ops);
	if (test_wants("tsc_deadline"))
		bench_tsc_deadline(rounds);
}

static void bench_x2apic(void)
{
	if (!lapic_has_x2apic()) {
		test_skip("no x2APIC");
		return;
	}
	lapic_enter_x2apic();
	bench_all(bench_x2apic_ops);
	if (test_wants("tsc_deadline"))
		bench_tsc_deadline(rounds);
}

static void __attribute__((noreturn)) hold(void)
{
	text_print("bench: holding\n");
	irq_enable();
	for (;;)
		__asm__ volatile("hlt" : : : "memory");
}

void guest_main(void)
{
	static const struct test_case cases[] = {
		{ "bench_cpu", bench_cpu },
		{ "bench_ports", bench_ports },
		{ "bench_xapic", bench_xapic },
		{ "bench_x2apic", bench_x2apic },
		{ "bench_fresh_pages", bench_fresh_pages },
	};

	if (test_option("hold", 0))
		hold();
	rounds = (unsigned)test_option("count", BENCH_COUNT);
	if (!rounds)
		rounds = 1;
	for (unsigned i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
		test_run_always(&cases[i]);
}
