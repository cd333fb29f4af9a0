/*
 * Faults of segment loads, far transfers and interrupt gates: the error code names selector or vector.
 */
#include "tests/guest/exceptions/exceptions.h"
#include "tests/guest/lib/clock.h"
#include "tests/guest/lib/cpu.h"
#include "tests/guest/lib/lapic.h"
#include "tests/guest/lib/test.h"

#define GATE_VECTOR 0x70u
#define SEL_BEYOND  0x1000

/* Error code bits (SDM vol. 3A, "Error Code"). */
#define ERROR_EXT 1u
#define ERROR_IDT 2u

#define DEFINE_LOAD(name, reg, sel) DEFINE_RAISE(name, "mov $" #sel ", %%eax; 1: mov %%eax, %%" #reg)

DEFINE_LOAD(load_ds_absent, ds, 0x50)
DEFINE_LOAD(load_ss_absent, ss, 0x50)
DEFINE_LOAD(load_es_beyond, es, 0x1000)
DEFINE_LOAD(load_ss_code, ss, 0x18)
DEFINE_LOAD(load_ss_dpl3, ss, 0x20)
DEFINE_RAISE(load_tss_busy, "mov $0x40, %%eax; 1: ltr %%ax")
DEFINE_RAISE(load_tss_data, "mov $0x10, %%eax; 1: ltr %%ax")
DEFINE_RAISE(load_ldt_data, "mov $0x10, %%eax; 1: lldt %%ax")
DEFINE_RAISE(return_to_null, "pushq $0; lea 2f(%%rip), %%rax; push %%rax; 1: lretq; 2:")
DEFINE_RAISE(return_to_data, "pushq $0x10; lea 2f(%%rip), %%rax; push %%rax; 1: lretq; 2:")

void faults_segments(void)
{
	expect_exception("ds: not present", load_ds_absent, VEC_NP, SEL_ABSENT_DATA);
	expect_exception("ss: not present", load_ss_absent, VEC_SS, SEL_ABSENT_DATA);
	expect_exception("es: beyond the limit", load_es_beyond, VEC_GP, SEL_BEYOND);
	expect_exception("ss: code segment", load_ss_code, VEC_GP, SEL_CODE32);
	expect_exception("ss: other privilege", load_ss_dpl3, VEC_GP, SEL_USER_DATA & ~3u);
	expect_exception("ltr: busy", load_tss_busy, VEC_GP, SEL_TSS);
	expect_exception("ltr: data segment", load_tss_data, VEC_GP, SEL_DATA);
	expect_exception("lldt: data segment", load_ldt_data, VEC_GP, SEL_DATA);
	expect_exception("far return to a null selector", return_to_null, VEC_GP, 0);
	expect_exception("far return to a data segment", return_to_data, VEC_GP, SEL_DATA);
}

DEFINE_RAISE(raise_int_gate, "1: int $0x70")
DEFINE_RAISE(raise_ud_gate, "1: ud2")

/* Error code of a bad gate; TCG counts 16 bytes a vector. */
static uint64_t gate_error(unsigned vector)
{
	return vector * (guest_on_tcg() ? 16 : 8) + ERROR_IDT;
}

void faults_gates(void)
{
	const uint64_t error = gate_error(GATE_VECTOR);
	struct trap_record r;

	trap_set_gate(GATE_VECTOR, 0, 0xE, 0, false);
	expect_exception("int through an absent gate", raise_int_gate, VEC_NP, error);
	trap_set_gate(GATE_VECTOR, 0, 0x5, 0, true);
	expect_exception("int through a task gate", raise_int_gate, VEC_GP, error);
	trap_set_gate(GATE_VECTOR, 0, 0xE, 0, true);
	/* Manuals and emulators differ on EXT for a fault while delivering a fault. */
	trap_set_gate(VEC_UD, 0, 0xE, 0, false);
	REQUIRE(trap_catch(raise_ud_gate, NULL, &r), "#UD through an absent gate: no exception");
	CHECK(r.vector == VEC_NP && (r.error & ~ERROR_EXT) == gate_error(VEC_UD), "#UD through an absent gate: vector %lu error %lx",
	      r.vector, r.error);
	trap_set_gate(VEC_UD, 0, 0xE, 0, true);
}

static void take_self_ipi(void *unused)
{
	(void)unused;
	lapic_send(0, LAPIC_ICR_SELF | LAPIC_ICR_ASSERT | GATE_VECTOR);
	irq_enable();
	clock_delay_us(100000);
	irq_disable();
}

void faults_gate_of_interrupt(void)
{
	struct trap_record r;
	bool trapped;

	trap_set_gate(GATE_VECTOR, 0, 0xE, 0, false);
	trapped = trap_catch(take_self_ipi, NULL, &r);
	trap_set_gate(GATE_VECTOR, 0, 0xE, 0, true);
	REQUIRE(trapped, "an interrupt through an absent gate raised nothing");
	CHECK(r.vector == VEC_NP && (r.error & ~ERROR_EXT) == gate_error(GATE_VECTOR), "vector %lu error %lx", r.vector, r.error);
	/* The interrupt was accepted: it is in service until its EOI. */
	CHECK(lapic_vector_bit(LAPIC_ISR, GATE_VECTOR), "the interrupt is not in service");
	lapic_eoi();
	CHECK(!lapic_vector_bit(LAPIC_ISR, GATE_VECTOR), "EOI left it in service");
}
