/*
 * What is injected before an entry, and what wakes a vCPU: exceptions that meet, NMIs, interrupts, windows, INIT and SIPI.
 */
/* clang-format off */
/* UNIT_SOURCES: build/unit/kernel_fake.a */
/* UNIT_FLAGS: @tests/unit/fake_kernel/fake.flags @tests/unit/fake_kernel/fake.wrap */
/* clang-format on */
#include "tests/unit/fake_kernel/fake.h"

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

#define VALID        (1ull << 31)
#define EXCEPTION(n) (VALID | 3 << 8 | (n))
#define ERROR(code)  (1ull << 11 | (uint64_t)(code) << 32)
#define NMI          (VALID | 2 << 8 | 2)
#define INTERRUPT(n) (VALID | (n))
#define IF           0x200ull
#define TF           0x100ull

static hilum_handle_t vm;
static struct vcpu *v;
static bool window;

static int set_up(void **state)
{
	hilum_handle_t h;

	(void)state;
	fake_boot(1);
	vm = make_vm(0);
	v = make_vcpu(vm, 0, 0, &h);
	v->stopped = 0;
	vlapic_mmio_write(&v->apic, 0xF0, 0x1FF);
	v->requests = 0;
	return 0;
}

static int tear_down(void **state)
{
	(void)state;
	fake_check_clean();
	return 0;
}

static bool prepare(uint32_t requests)
{
	fake_self->current = v;
	v->requests |= requests;
	bool ready = vcpu_prepare(v);
	fake_self->current = NULL;
	return ready;
}

static uint64_t next(void)
{
	return vcpu_next_event(v, (v->rflags & IF) && !v->shadow, &window);
}

static void interrupt(unsigned vector)
{
	assert_int_equal(vlapic_deliver_msi(&v->vm->bus, 0xFEE00000, vector), STATUS_OK);
}

/* ---- Exceptions ---- */

static bool contributory(unsigned vector)
{
	return vector == 0 || (vector >= 10 && vector <= 13);
}

/* SDM vol. 3A, tables 6-4 and 6-5: every pair. */
static void raise__second_exception__as_the_double_fault_table_says(void **state)
{
	(void)state;
	for (unsigned first = 0; first < 20; first++) {
		for (unsigned second = 0; second < 20; second++) {
			bool severe = contributory(second) || second == 14;
			bool doubled = (contributory(first) && contributory(second)) || (first == 14 && severe);
			if (first == 2 || second == 2 || (first == 8 && severe))
				continue;
			v->pending_event = 0;
			vcpu_raise(v, first, vcpu_vector_has_error(first), 0x11);
			vcpu_raise(v, second, vcpu_vector_has_error(second), 0x22);
			if (doubled)
				assert_int_equal(next(), EXCEPTION(8) | ERROR(0));
			else
				assert_int_equal(next(), EXCEPTION(second) | (vcpu_vector_has_error(second) ? ERROR(0x22) : 0));
		}
	}
	assert_int_equal(v->vm->status.crash, 0);
}

static void raise__during_double_fault__shuts_down(void **state)
{
	(void)state;
	v->vm->status.state = HILUM_VM_RUNNING;
	vcpu_raise(v, 8, true, 0);
	vcpu_raise(v, 1, false, 0); /* benign: served in turn */
	assert_int_equal(v->vm->status.crash, 0);
	v->pending_event = EXCEPTION(8) | ERROR(0);
	vcpu_raise(v, 13, true, 0);
	assert_int_equal(v->vm->status.crash, HILUM_CRASH_TRIPLE_FAULT);
	assert_true(v->requests & VCPU_REQUEST_STOP);
}

static void raise__error_code_vectors__are_those_of_the_architecture(void **state)
{
	(void)state;
	for (unsigned vector = 0; vector < 64; vector++) {
		bool expected = vector == 8 || (vector >= 10 && vector <= 14) || vector == 17 || vector == 21 || vector == 29 ||
		                vector == 30;
		assert_int_equal(vcpu_vector_has_error(vector), expected);
	}
}

static void raise__over_a_requeued_interrupt__interrupt_follows(void **state)
{
	(void)state;
	v->rflags = IF | 2;
	v->pending_event = INTERRUPT(0x40);
	vcpu_raise(v, 14, true, 2);
	assert_int_equal(next(), EXCEPTION(14) | ERROR(2));
	assert_true(window);
	assert_int_equal(next(), INTERRUPT(0x40));
}

static void raise__over_a_requeued_nmi__nmi_follows(void **state)
{
	(void)state;
	v->nmi_blocked = true;
	v->pending_event = NMI;
	vcpu_raise(v, 14, true, 2);
	assert_int_equal(next(), EXCEPTION(14) | ERROR(2));
	assert_int_equal(next(), NMI);
	assert_true(v->nmi_blocked);
}

/* ---- NMI ---- */

static void nmi__requested__injected_once_and_blocks_the_next(void **state)
{
	(void)state;
	assert_true(prepare(VCPU_REQUEST_NMI));
	assert_int_equal(next(), NMI);
	assert_true(prepare(VCPU_REQUEST_NMI));
	assert_int_equal(next(), 0);
	v->nmi_blocked = false; /* IRET */
	assert_int_equal(next(), NMI);
	v->nmi_blocked = false;
	assert_int_equal(next(), 0);
}

static void nmi__before_the_iret_of_the_last_handler__waits_for_one_instruction(void **state)
{
	(void)state;
	v->nmi_return = v->rip;
	assert_true(prepare(VCPU_REQUEST_NMI));
	assert_int_equal(next(), 0);
	assert_true(v->nmi_pending);
	v->rip += 2;
	assert_int_equal(next(), NMI);
	vcpu_reset(v, false);
	v->rip = 0;
	assert_true(prepare(VCPU_REQUEST_NMI));
	assert_int_equal(next(), NMI); /* who starts anew returns from nowhere */
}

static void nmi__interrupts_off__injected_all_the_same(void **state)
{
	(void)state;
	v->rflags = 2;
	interrupt(0x40);
	assert_true(prepare(VCPU_REQUEST_NMI));
	assert_int_equal(next(), NMI);
}

static void nmi__before_interrupt__first(void **state)
{
	(void)state;
	v->rflags = IF | 2;
	interrupt(0x40);
	assert_true(prepare(VCPU_REQUEST_NMI));
	assert_int_equal(next(), NMI);
	assert_true(v->check_interrupts);
	assert_int_equal(next(), INTERRUPT(0x40));
}

/* ---- Interrupts ---- */

static void interrupt__if_clear__window_until_set(void **state)
{
	(void)state;
	v->rflags = 2;
	interrupt(0x40);
	assert_true(prepare(0));
	assert_int_equal(next(), 0);
	assert_true(window);
	v->rflags |= IF;
	v->shadow = true;
	assert_int_equal(next(), 0);
	assert_true(window);
	v->shadow = false;
	assert_int_equal(next(), INTERRUPT(0x40));
	assert_false(window);
	assert_int_equal(v->stats.injected, 1);
}

static void interrupt__with_exception__window_stays_open(void **state)
{
	(void)state;
	v->rflags = IF | 2;
	interrupt(0x40);
	vcpu_raise(v, 6, false, 0);
	assert_true(prepare(0));
	assert_int_equal(next(), EXCEPTION(6));
	assert_true(window); /* nothing else may make the guest exit while the handler runs and returns */
}

static void interrupt__lower_than_one_in_service__waits_without_window(void **state)
{
	(void)state;
	v->rflags = IF | 2;
	interrupt(0x80);
	assert_int_equal(next(), INTERRUPT(0x80));
	interrupt(0x40);
	assert_int_equal(next(), 0);
	assert_false(window);
	vlapic_eoi(&v->apic);
	assert_int_equal(next(), INTERRUPT(0x40));
}

static void interrupt__several__highest_first(void **state)
{
	static const unsigned order[] = { 0xE1, 0xC0, 0x91, 0x30 };

	(void)state;
	v->rflags = IF | 2;
	interrupt(0x91);
	interrupt(0x30);
	interrupt(0xE1);
	interrupt(0xC0);
	for (unsigned i = 0; i < ARRAY_SIZE(order); i++) {
		assert_int_equal(next(), INTERRUPT(order[i]));
		vlapic_eoi(&v->apic);
	}
	assert_int_equal(next(), 0);
}

static void extint__window_opens__vector_is_asked_for(void **state)
{
	hilum_handle_t handler = make_vm(HILUM_VM_REALTIME);

	(void)state;
	CALL_OK(HC_VM_SET_HANDLER, vm, handler, 0);
	v->apic.reg[0x35] = 0x700; /* LVT LINT0: ExtINT */
	v->rflags = 2;
	v->vm->extint = true;
	assert_true(prepare(VCPU_REQUEST_INTERRUPT));
	assert_int_equal(next(), 0);
	assert_true(window);
	v->rflags |= IF;
	fake_self->current = v;
	vcpu_window_opened(v);
	assert_true(v->requests != 0); /* or the loop would enter again */
	assert_false(prepare(0));
	assert_int_equal(v->state, VCPU_TRAPPED);
	assert_int_equal(v->trapped.kind, HILUM_TRAP_INTACK);
}

/* ---- Halt ---- */

static void halt(void)
{
	struct vexit x = { .kind = HILUM_EXIT_HALT, .length = 1 };

	fake_self->current = v;
	exit_handle(v, &x);
	fake_self->current = NULL;
}

static void halt__nothing_pending__sleeps_until_interrupt(void **state)
{
	(void)state;
	v->rflags = IF | 2;
	v->check_interrupts = false;
	halt();
	assert_int_equal(v->state, VCPU_HALTED);
	assert_int_equal(v->requests, 0);
	interrupt(0x40);
	assert_true(prepare(0));
	assert_int_equal(next(), INTERRUPT(0x40));
}

static void halt__interrupt_already_pending__goes_on(void **state)
{
	(void)state;
	v->rflags = IF | 2;
	interrupt(0x40);
	v->requests = 0; /* taken before the guest executed HLT */
	halt();
	assert_true(v->requests != 0);
	assert_true(prepare(0));
}

static void halt__if_clear__interrupt_does_not_wake_but_nmi_does(void **state)
{
	(void)state;
	v->rflags = 2;
	halt();
	interrupt(0x40);
	assert_false(prepare(0));
	assert_int_equal(v->state, VCPU_HALTED);
	assert_true(prepare(VCPU_REQUEST_NMI));
	assert_int_equal(next(), NMI);
}

static void halt__blocked_nmi__does_not_wake(void **state)
{
	(void)state;
	v->rflags = 2;
	v->nmi_blocked = true;
	halt();
	assert_false(prepare(VCPU_REQUEST_NMI));
}

static void halt__kick__wakes(void **state)
{
	(void)state;
	v->rflags = 2;
	halt();
	assert_true(prepare(VCPU_REQUEST_KICK));
}

/* A paravirtual spinlock's wake-up may overtake the HLT that it is meant for. */
static void halt__kicked_before__does_not_sleep(void **state)
{
	(void)state;
	v->rflags = 2;
	assert_true(prepare(VCPU_REQUEST_KICK));
	halt();
	assert_int_equal(v->state, VCPU_READY);
	halt(); /* one kick, one HLT */
	assert_int_equal(v->state, VCPU_HALTED);
}

static void halt__single_step__debug_exception_wakes(void **state)
{
	(void)state;
	v->rflags = TF | 2;
	halt();
	assert_true(prepare(0));
	assert_int_equal(next(), EXCEPTION(1));
	assert_int_equal(backend_of(v)->single_steps, 1);
}

static void halt__after_sti__shadow_ends(void **state)
{
	(void)state;
	v->rflags = IF | 2;
	v->shadow = true;
	interrupt(0x40);
	v->requests = 0;
	halt();
	assert_false(v->shadow);
	assert_true(prepare(0));
	assert_int_equal(next(), INTERRUPT(0x40));
}

/* ---- INIT and SIPI ---- */

static void init__bootstrap_processor__starts_at_the_reset_vector(void **state)
{
	(void)state;
	v->rip = 0x1234;
	v->gpr[3] = 1;
	v->dr[0] = 5;
	assert_true(prepare(VCPU_REQUEST_INIT));
	assert_int_equal(v->rip, 0xFFF0);
	assert_int_equal(v->rflags, 2);
	assert_int_equal(v->gpr[3], 0);
	assert_int_equal(backend_of(v)->state.cs.base, 0xFFFF0000);
	assert_int_equal(backend_of(v)->state.cr0, CR0_CD | CR0_NW | CR0_ET);
}

static void init__other__waits_for_sipi_and_ignores_the_second(void **state)
{
	hilum_handle_t h;

	(void)state;
	v = make_vcpu(vm, 1, 0, &h);
	v->stopped = 0;
	v->state = VCPU_READY;
	assert_false(prepare(VCPU_REQUEST_INIT));
	assert_int_equal(v->state, VCPU_WAIT_SIPI);
	assert_false(prepare(VCPU_REQUEST_NMI | VCPU_REQUEST_KICK));
	v->apic.sipi_vector = 0x9A;
	assert_true(prepare(VCPU_REQUEST_SIPI));
	assert_int_equal(backend_of(v)->state.cs.base, 0x9A << 12);
	assert_int_equal(v->rip, 0);
	v->rip = 0x77;
	v->apic.sipi_vector = 0x10;
	assert_true(prepare(VCPU_REQUEST_SIPI));
	assert_int_equal(v->rip, 0x77);
	assert_int_equal(backend_of(v)->state.cs.base, 0x9A << 12);
}

static void sipi__to_the_reset_vectors_segment__starts_below_1_mib(void **state)
{
	hilum_handle_t h;

	(void)state;
	v = make_vcpu(vm, 1, 0, &h);
	v->stopped = 0;
	v->state = VCPU_WAIT_SIPI;
	v->apic.sipi_vector = 0xF0;
	assert_true(prepare(VCPU_REQUEST_SIPI));
	assert_int_equal(backend_of(v)->state.cs.selector, 0xF000);
	assert_int_equal(backend_of(v)->state.cs.base, 0xF0000);
}

static void init_and_sipi__at_once__starts(void **state)
{
	hilum_handle_t h;

	(void)state;
	v = make_vcpu(vm, 1, 0, &h);
	v->stopped = 0;
	v->state = VCPU_READY;
	v->apic.sipi_vector = 8;
	assert_true(prepare(VCPU_REQUEST_INIT | VCPU_REQUEST_SIPI));
	assert_int_equal(backend_of(v)->state.cs.base, 8 << 12);
}

static void init__event_pending__is_forgotten(void **state)
{
	(void)state;
	v->rflags = IF | 2;
	vcpu_raise(v, 14, true, 0);
	v->nmi_pending = true;
	v->nmi_stepping = true;
	interrupt(0x40);
	assert_true(prepare(VCPU_REQUEST_INIT));
	assert_int_equal(next(), 0);
	assert_false(v->nmi_stepping);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(raise__second_exception__as_the_double_fault_table_says),
		TEST(raise__during_double_fault__shuts_down),
		TEST(raise__error_code_vectors__are_those_of_the_architecture),
		TEST(raise__over_a_requeued_interrupt__interrupt_follows),
		TEST(raise__over_a_requeued_nmi__nmi_follows),
		TEST(nmi__requested__injected_once_and_blocks_the_next),
		TEST(nmi__before_the_iret_of_the_last_handler__waits_for_one_instruction),
		TEST(nmi__interrupts_off__injected_all_the_same),
		TEST(nmi__before_interrupt__first),
		TEST(interrupt__if_clear__window_until_set),
		TEST(interrupt__with_exception__window_stays_open),
		TEST(interrupt__lower_than_one_in_service__waits_without_window),
		TEST(interrupt__several__highest_first),
		TEST(extint__window_opens__vector_is_asked_for),
		TEST(halt__nothing_pending__sleeps_until_interrupt),
		TEST(halt__interrupt_already_pending__goes_on),
		TEST(halt__if_clear__interrupt_does_not_wake_but_nmi_does),
		TEST(halt__blocked_nmi__does_not_wake),
		TEST(halt__kick__wakes),
		TEST(halt__kicked_before__does_not_sleep),
		TEST(halt__single_step__debug_exception_wakes),
		TEST(halt__after_sti__shadow_ends),
		TEST(init__bootstrap_processor__starts_at_the_reset_vector),
		TEST(init__other__waits_for_sipi_and_ignores_the_second),
		TEST(sipi__to_the_reset_vectors_segment__starts_below_1_mib),
		TEST(init_and_sipi__at_once__starts),
		TEST(init__event_pending__is_forgotten),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
