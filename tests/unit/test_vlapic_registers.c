/*
 * The local APIC's registers in both modes, mode changes, priorities and the end of interrupt.
 * UNIT_SOURCES: kernel/vlapic.c kernel/vlapic_ipi.c kernel/vlapic_timer.c
 * UNIT_SOURCES: tests/unit/fake_vlapic/harness.c
 * UNIT_FLAGS: -iquote tests/unit/fake_vlapic -Wno-unused-parameter
 */
#include "tests/unit/fake_vlapic/harness.h"

#define V (&m.apic[0])
#define W (&m.apic[1])

/* After power-up and after writing all ones, as the SDM's register descriptions say. */
static const struct {
	uint8_t reg;
	uint32_t reset, ones;
} page[] = {
	{ 0x02, 1u << 24, 1u << 24 },
	{ 0x03, 0x00050014, 0x00050014 },
	{ 0x08, 0, 0xFF },
	{ 0x09, 0, 0 },
	{ 0x0A, 0, 0xFF },
	{ 0x0B, 0, 0 },
	{ 0x0C, 0, 0 },
	{ 0x0D, 0, 0xFF000000 },
	{ 0x0E, 0xFFFFFFFF, 0xFFFFFFFF },
	{ 0x0F, 0xFF, 0x3FF },
	{ 0x10, 0, 0 },
	{ 0x17, 0, 0 },
	{ 0x18, 0, 0 },
	{ 0x1F, 0, 0 },
	{ 0x20, 0, 0 },
	{ 0x27, 0, 0 },
	{ 0x28, 0, 0 },
	{ 0x30, 0, 0x000CCFFF },
	{ 0x31, 0, 0xFF000000 },
	{ 0x32, 0x10000, 0x700FF },
	{ 0x33, 0x10000, 0x107FF },
	{ 0x34, 0x10000, 0x107FF },
	{ 0x35, 0x10000, 0x1A7FF },
	{ 0x36, 0x10000, 0x1A7FF },
	{ 0x37, 0x10000, 0x100FF },
	{ 0x39, 0, 0 },
	{ 0x3E, 0, 0xB },
};

static void vlapic_mmio_read__after_reset__gives_documented_values(void **state)
{
	machine_init(2, false);
	vlapic_reset(W, true);
	for (unsigned i = 0; i < ARRAY_SIZE(page); i++)
		if (vlapic_mmio_read(W, page[i].reg * 16u) != page[i].reset)
			fail_msg("register %02x: %08x", page[i].reg, vlapic_mmio_read(W, page[i].reg * 16u));
}

static void vlapic_mmio_write__all_ones__keeps_writable_bits_only(void **state)
{
	machine_init(2, false);
	for (unsigned i = 0; i < ARRAY_SIZE(page); i++) {
		vlapic_mmio_write(W, page[i].reg * 16u, 0xFFFFFFFF);
		if (vlapic_mmio_read(W, page[i].reg * 16u) != page[i].ones)
			fail_msg("register %02x: %08x", page[i].reg, vlapic_mmio_read(W, page[i].reg * 16u));
		check_invariants(W);
	}
	vlapic_mmio_write(W, 0x380, 0xFFFFFFFF); /* the timer's mode is reserved now: ignored */
	assert_int_equal(vlapic_mmio_read(W, 0x380), 0);
	vlapic_mmio_write(W, 0xE0, 0);
	assert_int_equal(vlapic_mmio_read(W, 0xE0), 0x0FFFFFFF);
	vlapic_mmio_write(W, 0x300, 0xFFFFF3FF); /* delivery mode 3 is reserved: nothing is sent */
	assert_int_equal(vlapic_mmio_read(W, 0x300), 0x000CC3FF);
}

static void vlapic_mmio__no_register_there__reads_zero(void **state)
{
	static const uint32_t absent[] = { 0x000, 0x010, 0x040, 0x070, 0x290, 0x2F0, 0x3A0,     0x3D0,
		                           0x3F0, 0x400, 0xFF0, 0x084, 0x081, 0x30F, 0xFFFFFFF0 };

	for (unsigned i = 0; i < 2 * ARRAY_SIZE(absent); i++) {
		machine_init(1, false);
		if (i & 1)
			vlapic_mmio_write(V, absent[i / 2], 0xFFFFFFFF);
		else
			assert_int_equal(vlapic_mmio_read(V, absent[i / 2]), 0);
		assert_int_equal(vlapic_mmio_read(V, 0x280), 0);
		check_invariants(V);
	}
}

static void vlapic_mmio__outside_xapic_mode__nothing_answers(void **state)
{
	machine_init(1, true);
	assert_int_equal(vlapic_mmio_read(V, 0x30), 0xFFFFFFFF);
	vlapic_mmio_write(V, 0x80, 0x50);
	assert_int_equal(rd(V, APIC_TPR), 0);
	enter_mode(V, VLAPIC_DISABLED);
	assert_int_equal(vlapic_mmio_read(V, 0x30), 0xFFFFFFFF);
	vlapic_mmio_write(V, 0x80, 0x50);
	assert_int_equal(V->tpr, 0);
}

/* x2APIC: read and write ability, and the bits that may be set. */
static const struct {
	uint8_t reg;
	bool readable, writable;
	uint64_t settable;
} msrs[] = {
	{ 0x02, true, false, 0 },         { 0x03, true, false, 0 },      { 0x08, true, true, 0xFF },
	{ 0x0A, true, false, 0 },         { 0x0B, false, true, 0 },      { 0x0D, true, false, 0 },
	{ 0x0F, true, true, 0x3FF },      { 0x28, true, true, 0 },       { 0x30, true, true, 0xFFFFFFFF000CDFFF },
	{ 0x32, true, true, 0x750FF },    { 0x33, true, true, 0x157FF }, { 0x34, true, true, 0x157FF },
	{ 0x35, true, true, 0x1F7FF },    { 0x36, true, true, 0x1F7FF }, { 0x37, true, true, 0x150FF },
	{ 0x38, true, true, 0xFFFFFFFF }, { 0x39, true, false, 0 },      { 0x3E, true, true, 0xB },
	{ 0x3F, false, true, 0xFF },
};

static void expected_access(unsigned reg, bool *readable, bool *writable, uint64_t *settable)
{
	*readable = reg >= 0x10 && reg <= 0x27; /* ISR, TMR, IRR */
	*writable = false;
	*settable = 0;
	for (unsigned i = 0; i < ARRAY_SIZE(msrs); i++)
		if (msrs[i].reg == reg) {
			*readable = msrs[i].readable;
			*writable = msrs[i].writable;
			*settable = msrs[i].settable;
		}
}

static void vlapic_msr_read__each_x2apic_msr__fails_unless_readable(void **state)
{
	bool readable, writable;
	uint64_t settable, value;

	machine_init(2, true);
	for (uint32_t msr = 0x800; msr <= 0x8FF; msr++) {
		expected_access(msr - 0x800, &readable, &writable, &settable);
		if ((vlapic_msr_read(W, msr, &value) == STATUS_OK) != readable)
			fail_msg("MSR %x", msr);
	}
	assert_int_equal(vlapic_msr_read(W, 0x7FF, &value), STATUS_INVALID);
	assert_int_equal(vlapic_msr_read(W, 0x900, &value), STATUS_INVALID);
}

static void vlapic_msr_write__each_bit_of_each_x2apic_msr__fails_if_reserved(void **state)
{
	bool readable, writable;
	uint64_t settable;

	for (uint32_t msr = 0x800; msr <= 0x8FF; msr++) {
		expected_access(msr - 0x800, &readable, &writable, &settable);
		machine_init(2, true);
		assert_int_equal(wrmsr_of(W, msr, 0), writable ? STATUS_OK : STATUS_INVALID);
		for (unsigned bit = 0; bit < 64; bit++) {
			enum status want = writable && (settable >> bit & 1) ? STATUS_OK : STATUS_INVALID;

			if (wrmsr_of(W, msr, 1ull << bit) != want)
				fail_msg("MSR %x bit %u", msr, bit);
			check_invariants(W);
		}
	}
}

static void vlapic_msr_write__timer_mode_3__fails(void **state)
{
	machine_init(1, true);
	assert_int_equal(wrmsr_of(V, MSR(APIC_LVT_TIMER), 0x60040), STATUS_INVALID);
	assert_int_equal(rd(V, APIC_LVT_TIMER), 0x10000);
}

static void vlapic_msr__outside_x2apic_mode__fails(void **state)
{
	uint64_t value;

	machine_init(1, false);
	assert_int_equal(vlapic_msr_read(V, 0x803, &value), STATUS_INVALID);
	assert_int_equal(wrmsr_of(V, 0x808, 0), STATUS_INVALID);
	enter_mode(V, VLAPIC_DISABLED);
	assert_int_equal(vlapic_msr_read(V, 0x803, &value), STATUS_INVALID);
	assert_int_equal(wrmsr_of(V, 0x808, 0), STATUS_INVALID);
}

static void vlapic_msr_read__x2apic_ids__follow_from_index(void **state)
{
	machine_init(64, true);
	for (unsigned i = 0; i < 64; i++) {
		assert_int_equal(rdmsr_of(&m.apic[i], 0x802), i);
		assert_int_equal(rdmsr_of(&m.apic[i], 0x80D), (i / 16) << 16 | 1u << (i % 16));
	}
}

static void vlapic_msr_read__icr__gives_64_bits_back(void **state)
{
	machine_init(2, true);
	assert_int_equal(wrmsr_of(V, 0x830, 0x0000000700001040), STATUS_OK);
	assert_int_equal(rdmsr_of(V, 0x830), 0x0000000700000040);
}

static void vlapic_msr_write__apic_base__allows_legal_transitions_only(void **state)
{
	/*
	 * by current mode, then by the mode asked for in EN and EXTD: 0 disabled, 1 EXTD without EN, 2 xAPIC,
	 * 3 x2APIC
	 */
	static const bool allowed[4][4] = {
		[VLAPIC_DISABLED] = { true, false, true, false },
		[VLAPIC_XAPIC] = { true, false, true, true },
		[VLAPIC_X2APIC] = { true, false, false, true },
	};
	static const uint64_t bits[4] = { 0, APIC_BASE_EXTD, APIC_BASE_EN, APIC_BASE_EN | APIC_BASE_EXTD };

	for (unsigned from = 0; from < 4; from += from == 0 ? 2 : 1)
		for (unsigned to = 0; to < 4; to++) {
			machine_init(1, false);
			enter_mode(V, (enum vlapic_mode)from);
			assert_int_equal(wrmsr_of(V, 0x1B, VLAPIC_DEFAULT_BASE | bits[to]), allowed[from][to] ? STATUS_OK : STATUS_INVALID);
			assert_int_equal(V->mode, allowed[from][to] ? to : from);
			check_invariants(V);
		}
}

static void vlapic_msr_write__apic_base_reserved_bit__fails(void **state)
{
	machine_init(1, false);
	for (unsigned bit = 0; bit < 64; bit++) {
		bool ok = bit == 8 || (bit >= 11 && bit < 52) || bit == 10;

		machine_init(1, false);
		assert_int_equal(wrmsr_of(V, 0x1B, VLAPIC_DEFAULT_BASE | APIC_BASE_EN | 1ull << bit), ok ? STATUS_OK : STATUS_INVALID);
	}
	vlapic_init(W, &m.bus, 1, false);
	assert_int_equal(wrmsr_of(W, 0x1B, VLAPIC_DEFAULT_BASE | APIC_BASE_EN | APIC_BASE_EXTD), STATUS_INVALID);
}

static void vlapic_msr_read__apic_base__bsp_bit_is_of_apic_0_and_stays(void **state)
{
	machine_init(2, false);
	assert_int_equal(rdmsr_of(V, 0x1B), 0xFEE00900);
	assert_int_equal(rdmsr_of(W, 0x1B), 0xFEE00800);
	assert_int_equal(wrmsr_of(V, 0x1B, 0x12345800), STATUS_OK);
	assert_int_equal(wrmsr_of(W, 0x1B, 0xFEE00900), STATUS_OK);
	assert_int_equal(rdmsr_of(V, 0x1B), 0x12345900);
	assert_int_equal(vlapic_mmio_base(V), 0x12345000);
	assert_int_equal(rdmsr_of(W, 0x1B), 0xFEE00800);
}

static void vlapic_msr_write__apic_disabled__loses_its_state(void **state)
{
	machine_init(2, false);
	wr(V, APIC_LDR, 0x01000000);
	wr(V, APIC_TPR, 0x20);
	assert_int_equal(vlapic_deliver_msi(&m.bus, 0xFEE00000, 0x50), STATUS_OK);
	enter_mode(V, VLAPIC_DISABLED);
	assert_int_equal(vlapic_pending(V), -1);
	assert_int_equal(vlapic_deliver_msi(&m.bus, 0xFEE00000, 0x51), STATUS_OK);
	assert_int_equal(vlapic_pending(V), -1);
	enter_mode(V, VLAPIC_XAPIC);
	assert_int_equal(rd(V, APIC_LDR), 0);
	assert_int_equal(rd(V, APIC_TPR), 0);
	assert_int_equal(rd(V, APIC_SVR), 0xFF);
}

static void vlapic_msr_write__xapic_to_x2apic__keeps_what_the_modes_share(void **state)
{
	machine_init(2, false);
	wr(W, APIC_TPR, 0x35);
	wr(W, APIC_LVT_ERROR, 0x42);
	wr(W, APIC_ICR_HIGH, 0x05000000);
	assert_int_equal(wrmsr_of(W, 0x1B, 0xFEE00C00), STATUS_OK);
	assert_int_equal(rdmsr_of(W, 0x808), 0x35);
	assert_int_equal(rdmsr_of(W, 0x837), 0x42);
	assert_int_equal(rdmsr_of(W, 0x830), 0);
	assert_int_equal(rdmsr_of(W, 0x80F), 0x1FF);
}

static void vlapic_reset__init__keeps_base_and_id_clears_the_rest(void **state)
{
	machine_init(3, true);
	struct vlapic *v = &m.apic[2];

	wr(v, APIC_TPR, 0x35);
	wr(v, APIC_LVT_ERROR, 0x42);
	assert_int_equal(vlapic_deliver_msi(&m.bus, 0xFEE02000, 0x80), STATUS_OK);
	accept_next(v);
	assert_int_equal(vlapic_deliver_msi(&m.bus, 0xFEE02000, 0x81), STATUS_OK);
	vlapic_reset(v, false);
	check_invariants(v);
	assert_int_equal(vlapic_pending(v), -1);
	assert_int_equal(rdmsr_of(v, 0x1B), 0xFEE00C00);
	assert_int_equal(rdmsr_of(v, 0x802), 2);
	assert_int_equal(rdmsr_of(v, 0x808), 0);
	assert_int_equal(rdmsr_of(v, 0x80F), 0xFF);
	assert_int_equal(rdmsr_of(v, 0x837), 0x10000);
	vlapic_reset(v, true);
	assert_int_equal(rdmsr_of(v, 0x1B), 0xFEE00800);
}

static void vlapic_write_svr__disabling__masks_local_vectors_and_accepts_no_more(void **state)
{
	machine_init(1, false);
	wr(V, APIC_LVT_ERROR, 0x42);
	assert_int_equal(vlapic_deliver_msi(&m.bus, 0xFEE00000, 0x50), STATUS_OK);
	wr(V, APIC_SVR, 0x0FF);
	check_invariants(V);
	assert_int_equal(rd(V, APIC_LVT_ERROR), 0x10042);
	wr(V, APIC_LVT_ERROR, 0x43);
	assert_int_equal(rd(V, APIC_LVT_ERROR), 0x10043);
	assert_int_equal(vlapic_deliver_msi(&m.bus, 0xFEE00000, 0x60), STATUS_OK);
	assert_int_equal(vlapic_pending(V), 0x50); /* accepted before: held */
	wr(V, APIC_SVR, 0x1FF);
	assert_int_equal(rd(V, APIC_LVT_ERROR), 0x10043); /* software unmasks */
	wr(V, APIC_LVT_ERROR, 0x43);
	assert_int_equal(rd(V, APIC_LVT_ERROR), 0x43);
}

static void vlapic_write_esr__anything__reads_zero(void **state)
{
	machine_init(1, false);
	wr(V, APIC_LVT_ERROR, 0x44);
	vlapic_mmio_read(V, 0x3A0);
	wr(V, APIC_ICR_LOW, 0x40005); /* illegal vector to itself */
	wr(V, APIC_ESR, 0xFFFFFFFF);
	assert_int_equal(rd(V, APIC_ESR), 0);
	assert_int_equal(vlapic_pending(V), -1);
}

static void vlapic_set_tpr__each_value__blocks_its_class_and_below(void **state)
{
	machine_init(1, false);
	for (unsigned tpr = 0; tpr < 256; tpr++) {
		vlapic_set_tpr(V, (uint8_t)tpr);
		check_invariants(V);
		assert_int_equal(V->tpr, tpr);
		for (unsigned vector = 16; vector < 256; vector += 7) {
			assert_int_equal(vlapic_deliver_msi(&m.bus, 0xFEE00000, vector), STATUS_OK);
			assert_int_equal(vlapic_pending(V), vector >> 4 > tpr >> 4 ? (int)vector : -1);
			assert_int_equal(collect(vector), 1);
		}
	}
}

static void vlapic_eoi__nothing_in_service__changes_nothing(void **state)
{
	machine_init(1, false);
	wr(V, APIC_TPR, 0x20);
	vlapic_eoi(V);
	check_invariants(V);
	assert_int_equal(rd(V, APIC_PPR), 0x20);
	assert_int_equal(m.eois, 0);
}

static void vlapic_eoi__level_triggered__is_reported_with_state_up_to_date(void **state)
{
	machine_init(1, false);
	assert_int_equal(vlapic_deliver_msi(&m.bus, 0xFEE00000, 0xC050), STATUS_OK);
	assert_int_equal(rd(V, APIC_TMR + 2), 1u << 16);
	assert_int_equal(accept_next(V), 0x50);
	assert_int_equal(rd(V, APIC_ISR + 2), 1u << 16);
	wr(V, APIC_EOI, 0);
	assert_int_equal(m.eoi_vector, 0x50);
	assert_int_equal(vlapic_deliver_msi(&m.bus, 0xFEE00000, 0x4050), STATUS_OK); /* the same vector by edge */
	assert_int_equal(rd(V, APIC_TMR + 2), 0);
	assert_int_equal(accept_next(V), 0x50);
	wr(V, APIC_EOI, 0);
	assert_int_equal(m.eois, 1);
}

/* Against a model that keeps plain arrays of 256 and searches them. */
static void vlapic_pending__random_requests_and_eois__agrees_with_a_plain_model(void **state)
{
	bool irr[256] = { 0 }, isr[256] = { 0 };
	unsigned tpr = 0;

	machine_init(1, true);
	for (unsigned step = 0; step < 200000; step++) {
		unsigned vector = 16 + (unsigned)(random64() % 240);
		int highest_irr = -1, highest_isr = -1;

		switch (random64() % 8) {
		case 0:
			tpr = (unsigned)(random64() % 256);
			wr(V, APIC_TPR, tpr);
			break;
		case 1:
		case 2:
			wr(V, APIC_EOI, 0);
			for (int i = 255; i >= 0; i--)
				if (isr[i]) {
					isr[i] = false;
					break;
				}
			break;
		case 3:
			accept_next(V);
			break;
		default:
			if (step % 64 < 40) {
				wr(V, APIC_SELF_IPI, vector);
				irr[vector] = true;
			}
		}
		/* take in the model what the APIC took */
		for (int i = 0; i < 256; i++)
			if (irr[i] && !irr_has(V, (unsigned)i)) {
				irr[i] = false;
				isr[i] = true;
			}
		for (int i = 0; i < 256; i++) {
			highest_irr = irr[i] ? i : highest_irr;
			highest_isr = isr[i] ? i : highest_isr;
		}
		check_invariants(V);
		assert_int_equal(V->isrv, highest_isr < 0 ? 0 : highest_isr);
		if (highest_irr >= 0 && (highest_irr >> 4 <= (int)tpr >> 4 || highest_irr >> 4 <= highest_isr >> 4))
			highest_irr = -1;
		assert_int_equal(vlapic_pending(V), highest_irr);
	}
}

static void vlapic__random_accesses__keep_the_invariants(void **state)
{
	machine_init(8, false);
	for (unsigned step = 0; step < 300000; step++) {
		struct vlapic *v = &m.apic[random64() % 8];
		uint64_t value = random64() >> (random64() % 64);
		uint32_t reg = (uint32_t)(random64() % 0x42);
		uint64_t out;

		switch (random64() % 12) {
		case 0:
			(void)!wrmsr_of(v, 0x1B, VLAPIC_DEFAULT_BASE | (value & 0xD00));
			break;
		case 1:
			(void)!wrmsr_of(v, 0x6E0, fake_tsc + value % 5000 - 100);
			break;
		case 2:
			(void)!vlapic_deliver_msi(&m.bus, 0xFEE00000 | (value & 0xFFFFF), (uint32_t)random64());
			break;
		case 3:
			accept_next(v);
			break;
		case 4:
			advance(value % 3000);
			break;
		case 5:
			(void)!vlapic_msr_read(v, 0x800 + reg, &out);
			vlapic_mmio_read(v, (uint32_t)random64());
			break;
		case 6:
			vlapic_set_tsc_offset(v, value);
			break;
		case 7:
			wr(v, APIC_SVR, 0x1FF);
			break;
		default:
			vlapic_mmio_write(v, reg * 16, (uint32_t)value);
			(void)!wrmsr_of(v, 0x800 + reg, value & vlapic_writable[reg % 64]);
		}
		for (unsigned i = 0; i < 8; i++)
			check_invariants(&m.apic[i]);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(vlapic_mmio_read__after_reset__gives_documented_values),
		cmocka_unit_test(vlapic_mmio_write__all_ones__keeps_writable_bits_only),
		cmocka_unit_test(vlapic_mmio__no_register_there__reads_zero),
		cmocka_unit_test(vlapic_mmio__outside_xapic_mode__nothing_answers),
		cmocka_unit_test(vlapic_msr_read__each_x2apic_msr__fails_unless_readable),
		cmocka_unit_test(vlapic_msr_write__each_bit_of_each_x2apic_msr__fails_if_reserved),
		cmocka_unit_test(vlapic_msr_write__timer_mode_3__fails),
		cmocka_unit_test(vlapic_msr__outside_x2apic_mode__fails),
		cmocka_unit_test(vlapic_msr_read__x2apic_ids__follow_from_index),
		cmocka_unit_test(vlapic_msr_read__icr__gives_64_bits_back),
		cmocka_unit_test(vlapic_msr_write__apic_base__allows_legal_transitions_only),
		cmocka_unit_test(vlapic_msr_write__apic_base_reserved_bit__fails),
		cmocka_unit_test(vlapic_msr_read__apic_base__bsp_bit_is_of_apic_0_and_stays),
		cmocka_unit_test(vlapic_msr_write__apic_disabled__loses_its_state),
		cmocka_unit_test(vlapic_msr_write__xapic_to_x2apic__keeps_what_the_modes_share),
		cmocka_unit_test(vlapic_reset__init__keeps_base_and_id_clears_the_rest),
		cmocka_unit_test(vlapic_write_svr__disabling__masks_local_vectors_and_accepts_no_more),
		cmocka_unit_test(vlapic_write_esr__anything__reads_zero),
		cmocka_unit_test(vlapic_set_tpr__each_value__blocks_its_class_and_below),
		cmocka_unit_test(vlapic_eoi__nothing_in_service__changes_nothing),
		cmocka_unit_test(vlapic_eoi__level_triggered__is_reported_with_state_up_to_date),
		cmocka_unit_test(vlapic_pending__random_requests_and_eois__agrees_with_a_plain_model),
		cmocka_unit_test(vlapic__random_accesses__keep_the_invariants),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
