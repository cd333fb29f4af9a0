/*
 * KVM's paravirtual interface, where its leaves are there: clock, steal time, IPIs; and hypercalls that
 * nobody has. Layouts are those of Linux's Documentation/virt/kvm/x86 (msr.rst, hypercalls.rst, cpuid.rst).
 */
#include "tests/guest/cpuid_msr/local.h"
#include "tests/guest/lib/clock.h"
#include "tests/guest/lib/cpu.h"
#include "tests/guest/lib/lapic.h"
#include "tests/guest/lib/test.h"
#include "tests/guest/lib/text.h"
#include "tests/guest/lib/trap.h"

#include <assert.h>
#include <hilum/abi.h>

#define KVM_FEATURE_CLOCK2     (1u << 3)
#define KVM_FEATURE_STEAL_TIME (1u << 5)
#define KVM_FEATURE_PV_EOI     (1u << 6)
#define KVM_FEATURE_SEND_IPI   (1u << 11)

#define MSR_KVM_WALL_CLOCK  0x4B564D00u
#define MSR_KVM_SYSTEM_TIME 0x4B564D01u
#define MSR_KVM_STEAL_TIME  0x4B564D03u
#define MSR_KVM_PV_EOI      0x4B564D04u

#define KVM_ENABLE  1u
#define SELF_VECTOR 0x59
#define LOW_VECTOR  0x41 /* of a lower class: held back as long as the other one is in service */
#define EOI_ROUNDS  200
#define READS       20000
#define RATE_US     20000

struct kvm_time {
	uint32_t version, pad0;
	uint64_t tsc_timestamp, system_time;
	uint32_t tsc_to_system_mul;
	int8_t tsc_shift;
	uint8_t flags, pad[2];
};
static_assert(sizeof(struct kvm_time) == 32, "msr.rst, MSR_KVM_SYSTEM_TIME_NEW");

struct kvm_wall {
	uint32_t version, seconds, nanoseconds;
};

struct kvm_steal {
	uint64_t steal;
	uint32_t version, flags;
	uint8_t preempted, pad[47];
};
static_assert(sizeof(struct kvm_steal) == 64, "msr.rst, MSR_KVM_STEAL_TIME");

static bool without(uint32_t feature)
{
	struct cpuid_regs r = cpuid(0x40000000, 0);
	char text[12];

	memcpy(text, &r.ebx, 4);
	memcpy(text + 4, &r.ecx, 4);
	memcpy(text + 8, &r.edx, 4);
	if ((cpuid(1, 0).ecx >> 31) && !memcmp(text, "KVMKVMKVM\0\0\0", 12) && (cpuid(0x40000001, 0).eax & feature))
		return false;
	test_skip("not offered here");
	return true;
}

static uint64_t clock_read(const volatile struct kvm_time *t)
{
	uint32_t version, mul;
	uint64_t stamp, time, delta;
	int8_t shift;

	do {
		version = t->version;
		compiler_barrier();
		stamp = t->tsc_timestamp;
		time = t->system_time;
		mul = t->tsc_to_system_mul;
		shift = t->tsc_shift;
		delta = rdtsc() - stamp;
		compiler_barrier();
	} while ((version & 1) || version != t->version);
	delta = shift < 0 ? delta >> -shift : delta << shift;
	return time + (uint64_t)((unsigned __int128)delta * mul >> 32);
}

void kvm_clock(void)
{
	volatile struct kvm_time *t = guest_alloc_pages(1);
	uint64_t last, before_start, after_start, before_end, start_ns, ns, least, most;

	if (without(KVM_FEATURE_CLOCK2))
		return;
	wrmsr(MSR_KVM_SYSTEM_TIME, (uint64_t)t | KVM_ENABLE);
	REQUIRE(t->version && t->tsc_to_system_mul, "the page stays empty");
	CHECK(!(t->version & 1), "version %u", t->version);
	last = clock_read(t);
	for (unsigned i = 0; i < READS; i++) {
		uint64_t now = clock_read(t);

		REQUIRE(now >= last, "from %lu to %lu ns", last, now);
		last = now;
	}
	/* Each reading of the clock lies between two of the TSC, however long the host took away in between. */
	before_start = rdtsc();
	start_ns = clock_read(t);
	after_start = rdtsc();
	clock_delay_us(RATE_US);
	before_end = rdtsc();
	ns = clock_read(t) - start_ns;
	least = clock_us(before_end - after_start) * 1000;
	most = clock_us(rdtsc() - before_start) * 1000;
	/* The guest's own TSC frequency is a measurement: 2 % for it. */
	CHECK(ns > least / 100 * 98 && ns < most / 100 * 102, "%lu ns by kvm-clock, %lu to %lu by the TSC", ns, least, most);
	wrmsr(MSR_KVM_SYSTEM_TIME, 0);
}

void kvm_wall_clock(void)
{
	volatile struct kvm_wall *w = guest_alloc_pages(1);

	if (without(KVM_FEATURE_CLOCK2))
		return;
	wrmsr(MSR_KVM_WALL_CLOCK, (uint64_t)w);
	CHECK(w->version && !(w->version & 1), "version %u", w->version);
	CHECK(w->nanoseconds < 1000000000, "%u ns", w->nanoseconds);
}

void kvm_steal_time(void)
{
	volatile struct kvm_steal *s = guest_alloc_pages(1);
	uint64_t first;

	if (without(KVM_FEATURE_STEAL_TIME))
		return;
	wrmsr(MSR_KVM_STEAL_TIME, (uint64_t)s | KVM_ENABLE);
	clock_delay_us(1000);
	first = s->steal;
	clock_delay_us(RATE_US);
	CHECK(s->steal >= first, "steal time went from %lu to %lu", first, s->steal);
	CHECK(!(s->version & 1), "version %u", s->version);
	wrmsr(MSR_KVM_STEAL_TIME, 0);
}

static int64_t hypercall4(uint64_t rax, uint64_t rbx, uint64_t rcx, uint64_t rdx, uint64_t rsi)
{
	if (cpuid(0, 0).ebx == 0x756E6547) /* "Genu" */
		__asm__ volatile("vmcall" : "+a"(rax), "+b"(rbx), "+c"(rcx), "+d"(rdx), "+S"(rsi) : : "memory");
	else
		__asm__ volatile("vmmcall" : "+a"(rax), "+b"(rbx), "+c"(rcx), "+d"(rdx), "+S"(rsi) : : "memory");
	return (int64_t)rax;
}

void kvm_send_ipi(void)
{
	if (without(KVM_FEATURE_SEND_IPI))
		return;
	trap_irq_reset();
	irq_enable();
	(void)hypercall4(HILUM_KVM_HC_SEND_IPI, 1, 0, lapic_id(), SELF_VECTOR);
	CHECK(CLOCK_WAIT(trap_irq_count(SELF_VECTOR) == 1, 1000000), "no interrupt");
	irq_disable();
}

static volatile uint32_t *eoi_word;
static unsigned eoi_offered, eoi_taken;

/* Ends the interrupt as Linux does: by the word if there is an offer, by the register otherwise. */
static void end_by_word(struct trap_frame *frame)
{
	(void)frame;
	if (__atomic_fetch_and(eoi_word, ~1u, __ATOMIC_RELAXED) & 1) { /* in one instruction: an exit takes the offer back */
		eoi_offered++;
	} else {
		lapic_eoi();
	}
	eoi_taken++;
}

/* Leaves the guest first, so that the offer is gone: one that was made use of afterwards would be lost. */
static void end_after_an_exit(struct trap_frame *frame)
{
	(void)cpuid(0, 0);
	CHECK(!(*eoi_word & 1), "an offer survives an exit");
	end_by_word(frame);
}

/* Every interrupt is taken once, whether its end was told or not, and one of a lower class comes in after it. */
void kvm_pv_eoi(void)
{
	if (without(KVM_FEATURE_PV_EOI))
		return;
	eoi_word = guest_alloc_pages(1);
	*eoi_word = 0;
	wrmsr(MSR_KVM_PV_EOI, (uint64_t)eoi_word | KVM_ENABLE);
	trap_irq_reset();
	irq_enable();
	for (unsigned round = 0; round < EOI_ROUNDS; round++) {
		trap_set_handler(SELF_VECTOR, round % 2 == 0 ? end_by_word : end_after_an_exit);
		lapic_send(lapic_id(), SELF_VECTOR);
		REQUIRE(CLOCK_WAIT(eoi_taken == round + 1, 1000000), "round %u: the interrupt does not come", round);
		CHECK(!lapic_vector_bit(LAPIC_ISR, SELF_VECTOR), "round %u: it is still in service", round);
		lapic_send(lapic_id(), LOW_VECTOR);
		REQUIRE(CLOCK_WAIT(trap_irq_count(LOW_VECTOR) == round + 1, 1000000), "round %u: the lower one is held back", round);
	}
	irq_disable();
	trap_set_handler(SELF_VECTOR, NULL);
	wrmsr(MSR_KVM_PV_EOI, 0);
	CHECK(!(*eoi_word & 1), "an offer is left");
}

void hypercall_unknown(void)
{
	static const uint64_t numbers[] = { 0xDEADBEEF, HC_CALL_END, HC_CALL_END + 1000, ~0ull };

	if (!guest_is_hilum()) {
		test_skip("not under Hilum");
		return;
	}
	CHECK_EQ(hypercall4(HC_NOP, 1, 2, 3, 4), 0);
	for (unsigned i = 0; i < sizeof(numbers) / sizeof(numbers[0]); i++)
		CHECK(hypercall4(numbers[i], 1, 2, 3, 4) < 0, "call %lx succeeds", numbers[i]);
}
