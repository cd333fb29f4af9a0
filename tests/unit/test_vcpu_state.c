/*
 * State from outside into a stopped vCPU: each field's limits, random states, and the way out and in again.
 */
/* clang-format off */
/* UNIT_SOURCES: build/unit/kernel_fake.a */
/* UNIT_FLAGS: @tests/unit/fake_kernel/fake.flags @tests/unit/fake_kernel/fake.wrap */
/* clang-format on */
#include "tests/unit/fake_kernel/fake.h"

#include "arch/x86_64/features.h"

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

#define NOT_CANONICAL 0x0000800000000000ull
#define OUT_AT        0x4000ull

static hilum_handle_t vm, handle;
static struct vcpu *v;
static struct hilum_vcpu_state s;

/* A state that is valid for every group. */
static void good_state(void)
{
	memset(&s, 0, sizeof(s));
	s.rflags = 2;
	s.cr0 = CR0_PE | CR0_ET;
	s.xcr0 = 1;
	s.pat = 0x0007040600070406ull;
	s.xsave_bytes = 576;
	s.xsave[24] = 0x80;
	s.xsave[25] = 0x1F;
}

static int set_up(void **state)
{
	(void)state;
	fake_boot(1);
	vm = make_vm(0);
	v = make_vcpu(vm, 0, 0, &handle);
	good_state();
	return 0;
}

static int tear_down(void **state)
{
	(void)state;
	fake_check_clean();
	return 0;
}

static void put(size_t offset, unsigned bytes, uint64_t value)
{
	memcpy((uint8_t *)&s + offset, &value, bytes);
}

struct row {
	uint32_t mask;
	size_t offset;
	unsigned bytes;
	uint64_t value;
};

#define FIELD(mask, field, value) \
	{ \
		HILUM_STATE_##mask, offsetof(struct hilum_vcpu_state, field), sizeof(s.field), (value) \
	}
#define XSAVE(at, bytes, value) \
	{ \
		HILUM_STATE_FPU, offsetof(struct hilum_vcpu_state, xsave) + (at), bytes, value \
	}

static const struct row refused[] = {
	FIELD(CR, cr0, 1ull << 32),
	FIELD(CR, cr0, CR0_PG),          /* without PE */
	FIELD(CR, cr0, CR0_PE | CR0_NW), /* without CD */
	FIELD(CR, cr2, NOT_CANONICAL),
	FIELD(CR, cr3, 1ull << 40), /* the fake machine has 40 bits */
	FIELD(CR, cr3, 1ull << 63),
	FIELD(CR, cr4, 1ull << 13), /* VMXE */
	FIELD(CR, cr4, CR4_LA57),
	FIELD(CR, cr4, 1ull << 32),
	FIELD(CR, cr4, 1ull << 23),
	FIELD(CR, cr4, CR4_PCIDE), /* outside long mode */
	FIELD(CR, efer, EFER_SVME),
	FIELD(CR, efer, 1ull << 1),
	FIELD(CR, efer, 1ull << 63),
	FIELD(CR, xcr0, 2),
	FIELD(CR, xcr0, 5), /* AVX without SSE */
	FIELD(CR, xcr0, 1 | 8),
	FIELD(CR, xcr0, 1 | 0xE0),
	FIELD(CR, xcr0, 1ull << 63 | 1),
	FIELD(SEGMENTS, cs.base, NOT_CANONICAL),
	FIELD(SEGMENTS, gs.base, 1ull << 63),
	FIELD(SEGMENTS, tr.base, NOT_CANONICAL),
	FIELD(SEGMENTS, ldtr.base, NOT_CANONICAL),
	FIELD(SEGMENTS, ss.attributes, 0x1000),
	FIELD(SEGMENTS, gdtr_base, NOT_CANONICAL),
	FIELD(SEGMENTS, idtr_base, NOT_CANONICAL),
	FIELD(SEGMENTS, gdtr_limit, 0x10000),
	FIELD(SEGMENTS, idtr_limit, UINT32_MAX),
	FIELD(DR, dr6, 1ull << 32),
	FIELD(DR, dr7, 1ull << 32),
	FIELD(MSR, pat, 2),
	FIELD(MSR, pat, 0x0300000000000000ull),
	FIELD(MSR, pat, 0x0800),
	FIELD(MSR, lstar, NOT_CANONICAL),
	FIELD(MSR, cstar, NOT_CANONICAL),
	FIELD(MSR, kernel_gs_base, NOT_CANONICAL),
	FIELD(MSR, sysenter_esp, NOT_CANONICAL),
	FIELD(MSR, sysenter_eip, NOT_CANONICAL),
	FIELD(MSR, tsc_aux, 1ull << 32),
	FIELD(EVENTS, pending_event, 1ull << 31 | 1 << 8), /* reserved type */
	FIELD(EVENTS, pending_event, 1ull << 31 | 4 << 8), /* software interrupt */
	FIELD(EVENTS, pending_event, 1ull << 31 | 7 << 8),
	FIELD(EVENTS, pending_event, 1ull << 31 | 3 << 8 | 32),
	FIELD(EVENTS, pending_event, 1ull << 31 | 3 << 8 | 2), /* no exception has an NMI's vector */
	FIELD(EVENTS, pending_event, 1ull << 31 | 1 << 12),
	FIELD(EVENTS, pending_event, 1ull << 31 | 3 << 8 | 14 | 1 << 11 | 1ull << 48), /* an error code has 16 bits */
	FIELD(EVENTS, activity, 3),
	FIELD(EVENTS, shadow, 4),
	FIELD(FPU, xsave_bytes, sizeof(s.xsave) + 1),
	FIELD(FPU, xsave_bytes, UINT32_MAX),
	XSAVE(24, 4, 0x10000),
	XSAVE(512, 8, 8),
	XSAVE(512, 8, 1ull << 63),
	XSAVE(520, 8, 1ull << 63), /* compacted */
	XSAVE(568, 8, 1),
};

static void set__impossible_value__refused_and_nothing_changed(void **state)
{
	(void)state;
	for (unsigned i = 0; i < ARRAY_SIZE(refused); i++) {
		const struct row *r = &refused[i];
		good_state();
		s.rip = 0x77;
		backend_of(v)->state_mask = 0;
		put(r->offset, r->bytes, r->value);
		if (vcpu_set_state(v, &s, r->mask | HILUM_STATE_GPR) != STATUS_INVALID)
			fail_msg("row %u was taken", i);
		assert_int_equal(v->rip, 0xFFF0);
		assert_int_equal(backend_of(v)->state_mask, 0);
	}
}

static void set__group_not_asked_for__is_not_looked_at(void **state)
{
	(void)state;
	for (unsigned i = 0; i < ARRAY_SIZE(refused); i++) {
		const struct row *r = &refused[i];
		good_state();
		put(r->offset, r->bytes, r->value);
		if (vcpu_set_state(v, &s, HILUM_STATE_ALL & ~r->mask) != STATUS_OK)
			fail_msg("row %u", i);
	}
}

static const struct row taken[] = {
	FIELD(CR, cr0, CR0_PE | CR0_PG | CR0_CD | CR0_NW),
	FIELD(CR, cr3, (1ull << 40) - 1),
	FIELD(CR, xcr0, 7),
	FIELD(CR, xcr0, 0),
	FIELD(SEGMENTS, fs.base, 0xFFFF800000000000ull),
	FIELD(SEGMENTS, gdtr_limit, 0xFFFF),
	FIELD(DR, dr7, UINT32_MAX),
	FIELD(MSR, lstar, 0xFFFFFFFF81000000ull),
	FIELD(MSR, tsc_offset, UINT64_MAX),
	FIELD(EVENTS, pending_event, 1ull << 31 | 3 << 8 | 14 | 1 << 11 | 5ull << 32),
	FIELD(EVENTS, pending_event, 1ull << 31 | 2 << 8 | 2),
	FIELD(EVENTS, pending_event, 7 << 8), /* not valid: none */
	FIELD(EVENTS, activity, HILUM_ACTIVITY_WAIT_SIPI),
	XSAVE(512, 8, 7),
	XSAVE(24, 4, 0xFFFF),
};

static void set__values_at_the_limits__taken(void **state)
{
	(void)state;
	for (unsigned i = 0; i < ARRAY_SIZE(taken); i++) {
		good_state();
		put(taken[i].offset, taken[i].bytes, taken[i].value);
		if (vcpu_set_state(v, &s, HILUM_STATE_ALL) != STATUS_OK)
			fail_msg("row %u", i);
	}
}

static void set__rflags__reserved_bits_are_what_they_must_be(void **state)
{
	(void)state;
	s.rflags = UINT64_MAX;
	assert_int_equal(vcpu_set_state(v, &s, HILUM_STATE_GPR), STATUS_OK);
	assert_int_equal(v->rflags, 0x3F7FD7);
	s.rflags = 0;
	assert_int_equal(vcpu_set_state(v, &s, HILUM_STATE_GPR), STATUS_OK);
	assert_int_equal(v->rflags, 2);
}

static void get__after_set__the_same(void **state)
{
	struct hilum_vcpu_state *out = (void *)(control_memory() + OUT_AT);

	(void)state;
	for (unsigned i = 0; i < 16; i++)
		s.gpr[i] = fake_random();
	s.rip = fake_random();
	s.dr[2] = 0x1234;
	s.tsc_aux = 9;
	s.xcr0 = 3;
	s.activity = HILUM_ACTIVITY_HALT;
	s.shadow = 3;
	s.pending_event = 1ull << 31 | 3 << 8 | 6;
	s.xsave[700] = 0x5A;
	memcpy(out, &s, sizeof(s));
	CALL_OK(HC_VCPU_SET_STATE, handle, OUT_AT, HILUM_STATE_ALL);
	memset(out, 0xEE, sizeof(s));
	CALL_OK(HC_VCPU_GET_STATE, handle, OUT_AT, HILUM_STATE_ALL);
	assert_memory_equal(out->gpr, s.gpr, sizeof(s.gpr));
	assert_int_equal(out->rip, s.rip);
	assert_int_equal(out->dr[2], 0x1234);
	assert_int_equal(out->tsc_aux, 9);
	assert_int_equal(out->xcr0, 3);
	assert_int_equal(out->activity, HILUM_ACTIVITY_HALT);
	assert_int_equal(out->shadow, 3);
	assert_int_equal(out->pending_event, s.pending_event);
	assert_memory_equal(out->xsave, s.xsave, sizeof(s.xsave));
	assert_int_equal(out->xsave_bytes, sizeof(s.xsave));
	CALL_OK(HC_VCPU_SET_STATE, handle, OUT_AT, HILUM_STATE_ALL); /* what comes out can go in */
}

static void get__groups_not_asked_for__no_fpu(void **state)
{
	struct hilum_vcpu_state *out = (void *)(control_memory() + OUT_AT);

	(void)state;
	memset(out, 0xEE, sizeof(s));
	CALL_OK(HC_VCPU_GET_STATE, handle, OUT_AT, HILUM_STATE_GPR);
	assert_int_equal(out->xsave_bytes, 0);
}

static void set__fpu_of_a_vm_without_one__is_invalid(void **state)
{
	(void)state;
	good_state();
	v->has_fpu = false;
	assert_int_equal(vcpu_set_state(v, &s, HILUM_STATE_FPU), STATUS_INVALID);
	assert_int_equal(vcpu_set_state(v, &s, HILUM_STATE_GPR), STATUS_OK);
	v->has_fpu = true;
	assert_int_equal(vcpu_set_state(v, &s, HILUM_STATE_FPU), STATUS_OK);
}

/* Whatever is taken can be entered, asked for again, and given back. */
static void set__random_states__no_harm(void **state)
{
	(void)state;
	unsigned accepted = 0;
	for (unsigned n = 0; n < 20000; n++) {
		good_state();
		for (unsigned i = fake_random() % 6; i != 0; i--)
			put(fake_random() % (sizeof(s) - 8), 1 + fake_random() % 8, fake_random() >> fake_random() % 64);
		uint32_t mask = fake_random() & HILUM_STATE_ALL;
		if (vcpu_set_state(v, &s, mask) != STATUS_OK)
			continue;
		accepted++;
		memset(&s, 0, sizeof(s));
		vcpu_get_state(v, &s, HILUM_STATE_ALL);
		assert_int_equal(vcpu_set_state(v, &s, HILUM_STATE_GPR | HILUM_STATE_EVENTS | HILUM_STATE_FPU), STATUS_OK);
	}
	assert_true(accepted > 1000);
}

/* ---- What the backend takes over at the next load ---- */

static void controls__changed_while_not_loaded__are_stale(void **state)
{
	struct vcpu *second = make_vcpu(vm, 1, 0, NULL);

	(void)state;
	assert_true(v->controls_stale); /* a new vCPU's */
	v->controls_stale = second->controls_stale = false;
	s.pat = 0x0606060606060606ull;
	s.tsc_offset = 12345;
	memcpy(control_memory(), &s, sizeof(s));
	CALL_OK(HC_VCPU_SET_STATE, handle, 0, HILUM_STATE_GPR | HILUM_STATE_EVENTS);
	assert_false(v->controls_stale);
	CALL_OK(HC_VCPU_SET_STATE, handle, 0, HILUM_STATE_MSR);
	assert_true(v->controls_stale);
	assert_int_equal(v->pat, 0x0606060606060606ull);
	assert_int_equal(v->apic.tsc_offset, 12345);
	assert_false(second->controls_stale);
	v->controls_stale = false;
	CALL_OK(HC_VM_GRANT_PORTS, vm, HOST_HANDLE, 0x70, 2);
	assert_true(v->controls_stale && second->controls_stale); /* the map is theirs from now on */
}

static void controls__init__are_stale(void **state)
{
	(void)state;
	v->controls_stale = false;
	vcpu_reset(v, false);
	assert_true(v->controls_stale);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(set__impossible_value__refused_and_nothing_changed),
		TEST(set__group_not_asked_for__is_not_looked_at),
		TEST(set__values_at_the_limits__taken),
		TEST(set__rflags__reserved_bits_are_what_they_must_be),
		TEST(get__after_set__the_same),
		TEST(get__groups_not_asked_for__no_fpu),
		TEST(set__fpu_of_a_vm_without_one__is_invalid),
		TEST(set__random_states__no_harm),
		TEST(controls__changed_while_not_loaded__are_stale),
		TEST(controls__init__are_stale),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
