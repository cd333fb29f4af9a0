/*
 * Who receives an interrupt message, and what arrives: IPIs, MSIs, KVM's bitmap, local pins.
 * UNIT_SOURCES: kernel/vlapic.c kernel/vlapic_ipi.c kernel/vlapic_timer.c
 * UNIT_SOURCES: tests/unit/fake_vlapic/harness.c
 * UNIT_FLAGS: -iquote tests/unit/fake_vlapic -Wno-unused-parameter
 */
#include "tests/unit/fake_vlapic/harness.h"

#define MSI_BASE 0xFEE00000ull

static uint64_t msi_reaches(uint64_t address, uint32_t data)
{
	forget();
	assert_int_equal(vlapic_deliver_msi(&m.bus, MSI_BASE | address, data), STATUS_OK);
	return collect(data & 0xFF);
}

static uint64_t ipi_reaches(unsigned from, uint64_t icr)
{
	struct vlapic *v = &m.apic[from];

	forget();
	if (v->mode == VLAPIC_X2APIC) {
		assert_int_equal(vlapic_msr_write(v, MSR(APIC_ICR_LOW), icr), STATUS_OK);
	} else {
		vlapic_mmio_write(v, APIC_ICR_HIGH * 16, (uint32_t)(icr >> 32));
		vlapic_mmio_write(v, APIC_ICR_LOW * 16, (uint32_t)icr);
	}
	return collect(icr & 0xFF);
}

struct route {
	uint64_t where; /* MSI: address bits. IPI: ICR without the vector */
	uint64_t reached;
};

/* Four xAPICs with flat logical IDs 1, 2, 4, 8; then in clusters: 0x01, 0x02, 0x11, 0x12. */
static void init_flat(void)
{
	machine_init(4, false);
	for (unsigned i = 0; i < 4; i++)
		wr(&m.apic[i], APIC_LDR, 1u << (24 + i));
}

static void init_cluster(void)
{
	machine_init(4, false);
	for (unsigned i = 0; i < 4; i++) {
		wr(&m.apic[i], APIC_LDR, (i / 2) << 28 | 1u << (24 + i % 2));
		wr(&m.apic[i], APIC_DFR, 0);
	}
}

static void vlapic_deliver_msi__each_destination_form__reaches_those_meant(void **state)
{
	static const struct route flat[] = {
		{ 0x00000, 0x1 }, { 0x03000, 0x8 }, { 0x04000, 0x0 }, { 0x40000, 0x0 }, { 0xFF000, 0xF },                   /* physical */
		{ 0x01004, 0x1 }, { 0x0A004, 0xA }, { 0x10004, 0x0 }, { 0xF3004, 0x3 }, { 0xFF004, 0xF }, { 0x00004, 0x0 }, /* logical */
	};
	static const struct route cluster[] = {
		{ 0x01004, 0x1 }, { 0x03004, 0x3 }, { 0x13004, 0xC }, { 0x12004, 0x8 }, { 0x23004, 0 }, { 0x1C004, 0 }, { 0xFF004, 0xF },
	};
	static const struct route x2apic[] = {
		{ 0x05000, 0x20 }, { 0x05004, 0x5 }, { 0xFF000, 0xFFFFF }, { 0xFF004, 0xFFFFF }, { 0x80004, 0x80 },
	};

	init_flat();
	for (unsigned i = 0; i < ARRAY_SIZE(flat); i++)
		if (msi_reaches(flat[i].where, 0x31) != flat[i].reached)
			fail_msg("flat %lx", flat[i].where);
	init_cluster();
	for (unsigned i = 0; i < ARRAY_SIZE(cluster); i++)
		if (msi_reaches(cluster[i].where, 0x31) != cluster[i].reached)
			fail_msg("cluster %lx", cluster[i].where);
	machine_init(20, true);
	for (unsigned i = 0; i < ARRAY_SIZE(x2apic); i++)
		if (msi_reaches(x2apic[i].where, 0x31) != x2apic[i].reached)
			fail_msg("x2APIC %lx", x2apic[i].where);
}

static void vlapic_ipi__each_destination_form__reaches_those_meant(void **state)
{
	/* sent by APIC 1 */
	static const struct route flat[] = {
		{ 0x0000000000004000, 0x1 }, { 0x0200000000004000, 0x4 }, { 0x0500000000004000, 0x0 }, { 0xFF00000000004000, 0xF },
		{ 0x0C00000000004800, 0xC }, { 0xFF00000000004800, 0xF }, { 0x0000000000044000, 0x2 }, { 0x0000000000084000, 0xF },
		{ 0x00000000000C4000, 0xD }, { 0x0100000000004000, 0x2 }, { 0x0200000000004800, 0x2 },
	};
	static const struct route wide[] = {
		{ 0x0000000000004000, 1 },
		{ 0x0000002600004000, 1ull << 38 },
		{ 0x0000004000004000, 0 },
		{ 0x000000FF00004000, 0 },
		{ 0xFFFFFFFF00004000, (1ull << 40) - 1 },
		{ 0xFFFFFFFF00004800, (1ull << 40) - 1 },
		{ 0x0000800100004800, 0x8001 },
		{ 0x0001000300004800, 3ull << 16 },
		{ 0x000281FF00004800, 0xFFull << 32 }, /* 41 and 47 are not there */
		{ 0x0003FFFF00004800, 0 },
		{ 0x0004FFFF00004800, 0 },
		{ 0xFFFF000100004800, 0 },
		{ 0x0000000000044000, 2 },
		{ 0x0000000000084000, (1ull << 40) - 1 },
		{ 0x00000000000C4000, ((1ull << 40) - 1) & ~2ull },
	};

	init_flat();
	for (unsigned i = 0; i < ARRAY_SIZE(flat); i++)
		if (ipi_reaches(1, flat[i].where | 0x41) != flat[i].reached)
			fail_msg("flat %lx", flat[i].where);
	machine_init(40, true);
	for (unsigned i = 0; i < ARRAY_SIZE(wide); i++)
		if (ipi_reaches(1, wide[i].where | 0x41) != wide[i].reached)
			fail_msg("x2APIC %lx", wide[i].where);
}

/* Each APIC asks "is it me?" as the manual tells it to; the sender's search by sets must agree. */
static bool is_me(const struct vlapic *v, uint32_t destination, bool logical, bool wide)
{
	if (v->mode == VLAPIC_DISABLED || !(v->reg[APIC_SVR] & 0x100))
		return false;
	if (destination == (wide ? 0xFFFFFFFF : 0xFF))
		return true;
	if (!logical)
		return destination == v->id;
	if (v->mode == VLAPIC_X2APIC)
		return destination >> 16 == v->id / 16 && (destination & 0xFFFF & (1u << v->id % 16));
	if (wide)
		return false;
	if (v->reg[APIC_DFR] >> 28 == 0)
		return v->reg[APIC_LDR] >> 28 == destination >> 4 && (v->reg[APIC_LDR] >> 24 & destination & 15);
	return v->reg[APIC_LDR] >> 24 & destination;
}

static void vlapic_ipi__random_modes_and_destinations__agrees_with_a_plain_model(void **state)
{
	static const enum vlapic_mode modes[] = { VLAPIC_DISABLED, VLAPIC_XAPIC, VLAPIC_X2APIC };

	for (unsigned round = 0; round < 400; round++) {
		unsigned count = 1 + (unsigned)(random64() % 64);
		uint64_t seed = random64();

		machine_init(count, false);
		for (unsigned i = 0; i < round; i++)
			random64();
		for (unsigned i = 0; i < count; i++) {
			enter_mode(&m.apic[i], modes[(seed + random64()) % 3]);
			if (m.apic[i].mode == VLAPIC_DISABLED)
				continue;
			if (m.apic[i].mode == VLAPIC_XAPIC) {
				wr(&m.apic[i], APIC_LDR, (uint32_t)random64());
				wr(&m.apic[i], APIC_DFR, random64() % 2 ? 0xFFFFFFFF : 0);
			}
			wr(&m.apic[i], APIC_SVR, random64() % 8 ? 0x1FF : 0xFF);
		}
		for (unsigned i = 0; i < 200; i++) {
			unsigned from = (unsigned)(random64() % count);
			bool logical = random64() % 2, wide = m.apic[from].mode == VLAPIC_X2APIC;
			uint32_t destination = (uint32_t)(random64() >> (random64() % 32));
			uint64_t want = 0, icr;

			if (m.apic[from].mode == VLAPIC_DISABLED)
				continue;
			if (!wide)
				destination = (uint32_t)(random64() % 4 ? random64() % 64 : random64() % 256);
			else if (random64() % 2)
				destination &= 0x3FFFF;
			icr = (uint64_t)destination << (wide ? 32 : 56) | (logical ? 0x800 : 0) | 0x40F1;
			for (unsigned n = 0; n < count; n++)
				if (is_me(&m.apic[n], destination, logical, wide))
					want |= 1ull << n;
			assert_int_equal(ipi_reaches(from, icr), want);
			/* Each was told; the sender itself needs no notice. */
			assert_int_equal(m.notified[VLAPIC_NOTIFY_INTR] | (want & 1ull << from), want);
		}
	}
}

static void vlapic_ipi__fixed__is_requested_with_one_notice(void **state)
{
	machine_init(2, true);
	assert_int_equal(wrmsr_of(&m.apic[0], 0x830, 0x100000041), STATUS_OK);
	assert_int_equal(m.notified[VLAPIC_NOTIFY_INTR], 2);
	assert_int_equal(wrmsr_of(&m.apic[0], 0x830, 0x100000041), STATUS_OK);
	assert_int_equal(m.notices, 1); /* it is requested already */
	assert_int_equal(vlapic_pending(&m.apic[1]), 0x41);
	vlapic_take(&m.apic[1], 0x41);
	assert_int_equal(wrmsr_of(&m.apic[0], 0x830, 0x100000041), STATUS_OK);
	assert_int_equal(m.notices, 2);
}

static void vlapic_ipi__to_itself__needs_no_notice(void **state)
{
	machine_init(2, true);
	assert_int_equal(ipi_reaches(0, 0x44041), 1);
	assert_int_equal(m.notices, 0);
	assert_int_equal(ipi_reaches(0, 0x4041), 1);
	assert_int_equal(m.notices, 0);
	assert_int_equal(wrmsr_of(&m.apic[0], 0x83F, 0x42), STATUS_OK);
	assert_int_equal(collect(0x42), 1);
	assert_int_equal(m.notices, 0);
	assert_int_equal(ipi_reaches(0, 0x84041), 3);
	assert_int_equal(m.notified[VLAPIC_NOTIFY_INTR], 3);
}

static void vlapic_ipi__level_trigger__is_ignored(void **state)
{
	machine_init(2, true);
	assert_int_equal(wrmsr_of(&m.apic[0], 0x830, 0x10000C041), STATUS_OK);
	assert_int_equal(rdmsr_of(&m.apic[1], MSR(APIC_TMR + 2)), 0);
}

static void vlapic_ipi__vector_below_16__reaches_nobody(void **state)
{
	machine_init(2, true);
	assert_int_equal(ipi_reaches(0, 0x10000400F), 0);
	assert_int_equal(wrmsr_of(&m.apic[0], 0x83F, 0x0F), STATUS_OK);
	for (unsigned i = 0; i < 2; i++)
		assert_int_equal(rdmsr_of(&m.apic[i], MSR(APIC_IRR)), 0);
	assert_int_equal(m.notices, 0);
}

static void vlapic_deliver_msi__vector_below_16__is_lost(void **state)
{
	machine_init(1, true);
	assert_int_equal(msi_reaches(0, 0x4003), 0);
	assert_int_equal(rdmsr_of(&m.apic[0], MSR(APIC_IRR)), 0);
}

static void vlapic_ipi__delivery_modes__become_their_notices(void **state)
{
	static const struct {
		uint32_t icr;
		int notice; /* -1: nothing */
	} modes[] = {
		{ 0x4400, VLAPIC_NOTIFY_NMI },
		{ 0x4405, VLAPIC_NOTIFY_NMI },
		{ 0x4500, VLAPIC_NOTIFY_INIT },
		{ 0xC500, VLAPIC_NOTIFY_INIT },
		{ 0x8500, -1 },
		{ 0x46AB, VLAPIC_NOTIFY_SIPI },
		{ 0x4200, -1 },
		{ 0x4300, -1 },
		{ 0x4741, -1 },
	};

	for (unsigned x2apic = 0; x2apic < 2; x2apic++)
		for (unsigned i = 0; i < ARRAY_SIZE(modes); i++) {
			machine_init(3, x2apic);
			ipi_reaches(0, (1ull << (x2apic ? 32 : 56)) | modes[i].icr);
			assert_int_equal(m.notices, modes[i].notice >= 0);
			if (modes[i].notice >= 0)
				assert_int_equal(m.notified[modes[i].notice], 2);
			ipi_reaches(0, 0xC0000 | modes[i].icr);
			if (modes[i].notice >= 0)
				assert_int_equal(m.notified[modes[i].notice], 6);
		}
	machine_init(2, true);
	ipi_reaches(0, 0x1000046AB);
	assert_int_equal(m.apic[1].sipi_vector, 0xAB);
}

static void vlapic_ipi__target_disabled__hears_what_its_state_lets_through(void **state)
{
	machine_init(2, true);
	wr(&m.apic[1], APIC_SVR, 0xFF);
	assert_int_equal(ipi_reaches(0, 0x100004041), 0);
	ipi_reaches(0, 0x100004400);
	assert_int_equal(m.notified[VLAPIC_NOTIFY_NMI], 2);
	ipi_reaches(0, 0x100004500);
	assert_int_equal(m.notified[VLAPIC_NOTIFY_INIT], 2);
	ipi_reaches(0, 0x100004600);
	assert_int_equal(m.notified[VLAPIC_NOTIFY_SIPI], 2);
	enter_mode(&m.apic[1], VLAPIC_DISABLED);
	ipi_reaches(0, 0x100004400);
	assert_int_equal(m.notices, 0);
	wr(&m.apic[0], APIC_SVR, 0xFF); /* disabled by software: still sends, but to itself nothing arrives */
	assert_int_equal(ipi_reaches(0, 0x44041), 0);
}

static void vlapic_deliver_msi__delivery_modes__become_their_notices(void **state)
{
	static const struct {
		uint32_t data;
		int notice;
	} modes[] = {
		{ 0x0400, VLAPIC_NOTIFY_NMI },
		{ 0x0500, VLAPIC_NOTIFY_INIT },
		{ 0x0700, VLAPIC_NOTIFY_EXTINT },
		{ 0x0600, -1 },
		{ 0x0200, -1 },
		{ 0x0300, -1 },
		{ 0x8041, -1 }, /* level, de-asserted */
	};

	for (unsigned i = 0; i < ARRAY_SIZE(modes); i++) {
		machine_init(2, false);
		assert_int_equal(msi_reaches(0x1000, modes[i].data), 0);
		assert_int_equal(m.notices, modes[i].notice >= 0);
		if (modes[i].notice >= 0)
			assert_int_equal(m.notified[modes[i].notice], 2);
	}
}

static void vlapic_deliver_msi__address_elsewhere__fails(void **state)
{
	static const uint64_t elsewhere[] = { 0, 0xFEC00000, 0xFED00000, 0xFEF00000, 0x1FEE00000, 0xFFFFFFFFFEE00000 };

	machine_init(1, false);
	for (unsigned i = 0; i < ARRAY_SIZE(elsewhere); i++)
		assert_int_equal(vlapic_deliver_msi(&m.bus, elsewhere[i], 0x41), STATUS_INVALID);
	assert_int_equal(collect(0x41), 0);
}

static void vlapic_deliver_msi__lowest_priority__reaches_one_of_those_enabled(void **state)
{
	uint64_t seen = 0;

	init_flat();
	for (unsigned vector = 0x31; vector < 0x39; vector++) {
		uint64_t reached = msi_reaches(0x0F004, 0x100 | vector);

		assert_true(reached && !(reached & (reached - 1)));
		seen |= reached;
	}
	assert_int_equal(seen, 0xF);                   /* spread by vector */
	uint64_t hinted = msi_reaches(0x0F00C, 0x031); /* fixed with the redirection hint: one, by the same rule */
	assert_true(hinted && !(hinted & (hinted - 1)));
	wr(&m.apic[1], APIC_SVR, 0xFF);
	enter_mode(&m.apic[3], VLAPIC_DISABLED);
	seen = 0;
	for (unsigned vector = 0x31; vector < 0x39; vector++)
		seen |= msi_reaches(0x0F004, 0x100 | vector);
	assert_int_equal(seen, 0x5);
	assert_int_equal(msi_reaches(0x02004, 0x131), 0);
	assert_int_equal(ipi_reaches(0, 0x0900000000004931), 0x1);
}

static void vlapic_send_ipi_bitmap__bits__reach_their_ids(void **state)
{
	machine_init(40, true);
	assert_int_equal(vlapic_send_ipi_bitmap(&m.bus, 0, 0x5, 0x41), 2);
	assert_int_equal(collect(0x41), 0x5);
	assert_int_equal(vlapic_send_ipi_bitmap(&m.bus, 36, ~0ull, 0x41), 4);
	assert_int_equal(collect(0x41), 0xFull << 36);
	assert_int_equal(vlapic_send_ipi_bitmap(&m.bus, 64, ~0ull, 0x41), 0);
	assert_int_equal(vlapic_send_ipi_bitmap(&m.bus, 0xFFFFFFFF, ~0ull, 0x41), 0);
	assert_int_equal(vlapic_send_ipi_bitmap(&m.bus, 1, 1, 0x400), 1);
	assert_int_equal(m.notified[VLAPIC_NOTIFY_NMI], 2);
	assert_int_equal(vlapic_send_ipi_bitmap(&m.bus, 0, 1, 0x0F), -1);    /* vector */
	assert_int_equal(vlapic_send_ipi_bitmap(&m.bus, 0, 1, 0x500), -1);   /* INIT */
	assert_int_equal(vlapic_send_ipi_bitmap(&m.bus, 0, 1, 0x841), -1);   /* logical */
	assert_int_equal(vlapic_send_ipi_bitmap(&m.bus, 0, 1, 0x40041), -1); /* shorthand */
	assert_int_equal(collect(0x41), 0);
}

static void vlapic_accepts_extint__lint0_and_modes__decide(void **state)
{
	struct vlapic *v = &m.apic[0];

	machine_init(1, false);
	assert_false(vlapic_accepts_extint(v));
	wr(v, 0x35, 0x00700);
	assert_true(vlapic_accepts_extint(v));
	wr(v, 0x35, 0x10700);
	assert_false(vlapic_accepts_extint(v));
	wr(v, 0x35, 0x00041);
	assert_false(vlapic_accepts_extint(v));
	wr(v, 0x35, 0x00700);
	wr(v, APIC_SVR, 0xFF);
	assert_false(vlapic_accepts_extint(v));
	enter_mode(v, VLAPIC_DISABLED);
	assert_true(vlapic_accepts_extint(v));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(vlapic_deliver_msi__each_destination_form__reaches_those_meant),
		cmocka_unit_test(vlapic_ipi__each_destination_form__reaches_those_meant),
		cmocka_unit_test(vlapic_ipi__random_modes_and_destinations__agrees_with_a_plain_model),
		cmocka_unit_test(vlapic_ipi__fixed__is_requested_with_one_notice),
		cmocka_unit_test(vlapic_ipi__to_itself__needs_no_notice),
		cmocka_unit_test(vlapic_ipi__level_trigger__is_ignored),
		cmocka_unit_test(vlapic_ipi__vector_below_16__reaches_nobody),
		cmocka_unit_test(vlapic_deliver_msi__vector_below_16__is_lost),
		cmocka_unit_test(vlapic_ipi__delivery_modes__become_their_notices),
		cmocka_unit_test(vlapic_ipi__target_disabled__hears_what_its_state_lets_through),
		cmocka_unit_test(vlapic_deliver_msi__delivery_modes__become_their_notices),
		cmocka_unit_test(vlapic_deliver_msi__address_elsewhere__fails),
		cmocka_unit_test(vlapic_deliver_msi__lowest_priority__reaches_one_of_those_enabled),
		cmocka_unit_test(vlapic_send_ipi_bitmap__bits__reach_their_ids),
		cmocka_unit_test(vlapic_accepts_extint__lint0_and_modes__decide),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
