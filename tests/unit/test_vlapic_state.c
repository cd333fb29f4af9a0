/*
 * Saved and loaded local APICs: nothing is lost, nothing impossible gets in.
 * UNIT_SOURCES: kernel/vlapic.c kernel/vlapic_ipi.c kernel/vlapic_timer.c kernel/vlapic_state.c
 * UNIT_SOURCES: tests/unit/fake_vlapic/harness.c
 * UNIT_FLAGS: -iquote tests/unit/fake_vlapic -Wno-unused-parameter
 */
#include "tests/unit/fake_vlapic/harness.h"

#define V (&m.apic[3])

static struct hilum_vcpu_state saved, again;

static void put(struct hilum_vcpu_state *state, unsigned reg, uint32_t value)
{
	memcpy(state->apic_page + reg * 16, &value, 4);
}

static uint32_t get(const struct hilum_vcpu_state *state, unsigned reg)
{
	uint32_t value;

	memcpy(&value, state->apic_page + reg * 16, 4);
	return value;
}

/* An APIC with something in every register. */
static void fill(bool x2apic, uint32_t timer)
{
	machine_init(8, x2apic);
	wr(V, APIC_LVT_TIMER, timer);
	wr(V, APIC_LVT_ERROR, 0x42);
	wr(V, 0x35, 0x700);
	wr(V, APIC_DIVIDE, 3);
	if (timer >> 18 & 1)
		assert_int_equal(wrmsr_of(V, MSR_IA32_TSC_DEADLINE, 99999), STATUS_OK);
	else
		wr(V, APIC_INITIAL_COUNT, 5000);
	if (!x2apic) {
		wr(V, APIC_LDR, 0x08000000);
		wr(V, APIC_DFR, 0);
		wr(V, APIC_ICR_HIGH, 0x05000000);
		wr(V, APIC_ICR_LOW, 0x4041);
		vlapic_mmio_read(V, 0x3A0);
		collect(0x42);
	} else {
		assert_int_equal(wrmsr_of(V, MSR(APIC_ICR_LOW), 0x500004041), STATUS_OK);
	}
	wr(V, APIC_ESR, 0);
	assert_int_equal(vlapic_deliver_msi(&m.bus, 0xFEE03000, 0xC050), STATUS_OK);
	assert_int_equal(accept_next(V), 0x50);
	assert_int_equal(vlapic_deliver_msi(&m.bus, 0xFEE03000, 0xC0F3), STATUS_OK);
	assert_int_equal(accept_next(V), 0xF3);
	assert_int_equal(vlapic_deliver_msi(&m.bus, 0xFEE03000, 0xC081), STATUS_OK);
	assert_int_equal(vlapic_deliver_msi(&m.bus, 0xFEE03000, 0x4012), STATUS_OK);
	wr(V, APIC_TPR, 0x13);
	advance(160);
	vlapic_save(V, &saved);
}

static void vlapic_save__loaded_elsewhere__is_the_same_apic(void **state)
{
	static const uint32_t timers[] = { 0x60, 0x20060, 0x40060, 0x10060, 0x30060, 0x50060 };

	for (unsigned i = 0; i < 2 * ARRAY_SIZE(timers); i++) {
		uint64_t timer;

		fill(i & 1, timers[i / 2]);
		timer = m.timer[3];
		assert_int_equal(get(&saved, APIC_ID), i & 1 ? 3 : 3u << 24);
		assert_int_equal(saved.apic_timer_remaining, timers[i / 2] >> 18 & 1 ? 0 : 4990);
		assert_int_equal(saved.apic_tsc_deadline, timers[i / 2] >> 18 & 1 ? 99999 : 0);
		vlapic_init(V, &m.bus, 3, true);
		m.timer[3] = 0;
		forget();
		assert_int_equal(vlapic_load(V, &saved), STATUS_OK);
		check_invariants(V);
		assert_int_equal(m.timer[3], timer);
		assert_int_equal(m.notices, 0);
		memset(&again, 0xAA, sizeof(again));
		vlapic_save(V, &again);
		assert_memory_equal(saved.apic_page, again.apic_page, sizeof(saved.apic_page));
		assert_int_equal(saved.apic_base, again.apic_base);
		assert_int_equal(saved.apic_timer_remaining, again.apic_timer_remaining);
		assert_int_equal(saved.apic_tsc_deadline, again.apic_tsc_deadline);
		/* and it goes on as it would have */
		wr(V, APIC_EOI, 0);
		assert_int_equal(m.eoi_vector, 0xF3);
		assert_int_equal(accept_next(V), 0x81);
	}
}

static void vlapic_save__disabled_apic__loads_back(void **state)
{
	machine_init(8, false);
	enter_mode(V, VLAPIC_DISABLED);
	vlapic_save(V, &saved);
	vlapic_init(V, &m.bus, 3, true);
	assert_int_equal(vlapic_load(V, &saved), STATUS_OK);
	assert_int_equal(V->mode, VLAPIC_DISABLED);
	memset(saved.apic_page, 0, sizeof(saved.apic_page));
	put(&saved, APIC_TPR, 0x20);
	put(&saved, APIC_SVR, 0x1FF);
	put(&saved, APIC_INITIAL_COUNT, 100);
	saved.apic_timer_remaining = 100;
	assert_int_equal(vlapic_load(V, &saved), STATUS_OK);
	check_invariants(V);
	assert_int_equal(V->tpr, 0);
}

static void vlapic_load__reserved_bit_or_impossible_value__changes_nothing(void **state)
{
	static const struct {
		uint8_t reg;
		uint32_t value;
	} bad[] = {
		{ APIC_TPR, 0x100 },         { APIC_SVR, 0x11FF },       { APIC_ESR, 0x100 },       { APIC_DIVIDE, 4 },
		{ APIC_LVT_TIMER, 0x60060 }, { APIC_LVT_TIMER, 0x1060 }, { APIC_LVT_ERROR, 0x142 }, { 0x33, 0x800 },
		{ 0x34, 0x80000 },           { APIC_ICR_LOW, 0x2000 },   { APIC_ICR_LOW, 0x1000 },  { APIC_LDR, 1 },
		{ APIC_ICR_HIGH, 1 },        { APIC_ISR, 0x8000 },       { APIC_IRR, 1 },           { APIC_TMR, 0x100 },
		{ APIC_SVR, 0xFF }, /* with unmasked local vectors */
	};

	for (unsigned i = 0; i < ARRAY_SIZE(bad); i++) {
		fill(false, 0x60);
		vlapic_save(V, &again);
		put(&saved, bad[i].reg, bad[i].value);
		if (vlapic_load(V, &saved) != STATUS_INVALID)
			fail_msg("case %u", i);
		vlapic_save(V, &saved);
		assert_memory_equal(saved.apic_page, again.apic_page, sizeof(saved.apic_page));
	}
	fill(false, 0x60);
	saved.apic_timer_remaining = 5001;
	assert_int_equal(vlapic_load(V, &saved), STATUS_INVALID);
	saved.apic_timer_remaining = 5000;
	saved.apic_base |= 1;
	assert_int_equal(vlapic_load(V, &saved), STATUS_INVALID);
	saved.apic_base = 0xFEE00400;
	assert_int_equal(vlapic_load(V, &saved), STATUS_INVALID);
	saved.apic_base = 0xFEE00C00;
	V->x2apic_allowed = false;
	assert_int_equal(vlapic_load(V, &saved), STATUS_INVALID);
}

static void vlapic_load__computed_registers__are_not_believed(void **state)
{
	fill(true, 0x60);
	put(&saved, APIC_ID, 77);
	put(&saved, APIC_VERSION, 77);
	put(&saved, APIC_PPR, 77);
	put(&saved, APIC_LDR, 77);
	put(&saved, APIC_CURRENT_COUNT, 77);
	assert_int_equal(vlapic_load(V, &saved), STATUS_OK);
	check_invariants(V);
	assert_int_equal(rd(V, APIC_ID), 3);
	assert_int_equal(rd(V, APIC_VERSION), 0x50014);
	assert_int_equal(rd(V, APIC_LDR), 8);
	assert_int_equal(rd(V, APIC_PPR), 0xF0);
	assert_int_equal(rd(V, APIC_CURRENT_COUNT), 4990);
}

/* Most bytes of a saved state as a fuzzer leaves them: refused, or an APIC as good as any. */
static void vlapic_load__random_damage__is_refused_or_harmless(void **state)
{
	unsigned loaded = 0;

	machine_init(8, false);
	fill(false, 0x20060);
	for (unsigned i = 0; i < 100000; i++) {
		struct hilum_vcpu_state *s = &again;
		unsigned changes = 1 + (unsigned)(random64() % 3);

		*s = saved;
		while (changes--) {
			s->apic_page[random64() % sizeof(s->apic_page)] ^= (uint8_t)(1u << random64() % 8);
			if (random64() % 8 == 0)
				s->apic_base ^= 1ull << random64() % 64;
			if (random64() % 8 == 0)
				s->apic_timer_remaining = (uint32_t)(random64() % 6000);
			if (random64() % 8 == 0)
				s->apic_tsc_deadline = random64();
		}
		if (vlapic_load(V, s) == STATUS_OK)
			loaded++;
		check_invariants(V);
		advance(random64() % 100);
		if (V->mode == VLAPIC_XAPIC)
			vlapic_mmio_write(V, (uint32_t)(random64() % 0x400) & ~15u, (uint32_t)random64());
		accept_next(V);
		check_invariants(V);
	}
	assert_in_range(loaded, 1000, 99000);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(vlapic_save__loaded_elsewhere__is_the_same_apic),
		cmocka_unit_test(vlapic_save__disabled_apic__loads_back),
		cmocka_unit_test(vlapic_load__reserved_bit_or_impossible_value__changes_nothing),
		cmocka_unit_test(vlapic_load__computed_registers__are_not_believed),
		cmocka_unit_test(vlapic_load__random_damage__is_refused_or_harmless),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
