/* See harness.h. */
#include "tests/unit/fake_vlapic/harness.h"

struct machine m;
uint64_t fake_tsc;
static uint64_t random_state;

void vlapic_notify(struct vlapic *target, enum vlapic_notice what)
{
	m.notified[what] |= 1ull << target->id;
	m.notices++;
}

void vlapic_timer_set(struct vlapic *v, uint64_t host_tsc)
{
	assert_int_not_equal(host_tsc, 0);
	m.timer[v->id] = host_tsc;
}

void vlapic_timer_cancel(struct vlapic *v)
{
	m.timer[v->id] = 0;
}

void vlapic_eoi_level(struct vlapic *v, uint8_t vector)
{
	check_invariants(v);
	m.eoi_vector = vector;
	m.eois++;
}

void machine_init(unsigned count, bool x2apic)
{
	memset(&m, 0, sizeof(m));
	m.eoi_vector = -1;
	m.bus.timer_min_period_tsc = 100;
	fake_tsc = 1000;
	random_state = 0x9E3779B97F4A7C15ull;
	for (unsigned i = 0; i < count; i++) {
		vlapic_init(&m.apic[i], &m.bus, i, true);
		if (x2apic)
			enter_mode(&m.apic[i], VLAPIC_X2APIC);
		wr(&m.apic[i], APIC_SVR, 0x1FF);
	}
	forget();
}

void forget(void)
{
	memset(m.notified, 0, sizeof(m.notified));
	m.notices = 0;
	m.eoi_vector = -1;
	m.eois = 0;
}

void advance(uint64_t ticks)
{
	uint64_t end = fake_tsc + ticks;

	for (;;) {
		unsigned first = HILUM_MAX_VCPUS;

		for (unsigned i = 0; i < HILUM_MAX_VCPUS; i++)
			if (m.timer[i] && m.timer[i] <= end && (first == HILUM_MAX_VCPUS || m.timer[i] < m.timer[first]))
				first = i;
		if (first == HILUM_MAX_VCPUS)
			break;
		if (m.timer[first] > fake_tsc)
			fake_tsc = m.timer[first];
		m.timer[first] = 0;
		vlapic_timer_expired(&m.apic[first]);
	}
	fake_tsc = end;
}

uint32_t rd(struct vlapic *v, unsigned reg)
{
	if (v->mode == VLAPIC_X2APIC)
		return (uint32_t)rdmsr_of(v, MSR(reg));
	return vlapic_mmio_read(v, reg * 16);
}

void wr(struct vlapic *v, unsigned reg, uint32_t value)
{
	if (v->mode == VLAPIC_X2APIC)
		assert_int_equal(vlapic_msr_write(v, MSR(reg), value), STATUS_OK);
	else
		vlapic_mmio_write(v, reg * 16, value);
}

enum status wrmsr_of(struct vlapic *v, uint32_t msr, uint64_t value)
{
	return vlapic_msr_write(v, msr, value);
}

uint64_t rdmsr_of(struct vlapic *v, uint32_t msr)
{
	uint64_t value = 0;

	assert_int_equal(vlapic_msr_read(v, msr, &value), STATUS_OK);
	return value;
}

void enter_mode(struct vlapic *v, enum vlapic_mode mode)
{
	assert_int_equal(wrmsr_of(v, MSR_IA32_APIC_BASE, VLAPIC_DEFAULT_BASE), STATUS_OK);
	if (mode != VLAPIC_DISABLED)
		assert_int_equal(wrmsr_of(v, MSR_IA32_APIC_BASE, VLAPIC_DEFAULT_BASE | APIC_BASE_EN), STATUS_OK);
	if (mode == VLAPIC_X2APIC)
		assert_int_equal(wrmsr_of(v, MSR_IA32_APIC_BASE, VLAPIC_DEFAULT_BASE | APIC_BASE_EN | APIC_BASE_EXTD), STATUS_OK);
	assert_int_equal(v->mode, mode);
}

bool irr_has(const struct vlapic *v, unsigned vector)
{
	return v->irr[vector / 64] >> (vector % 64) & 1;
}

uint64_t collect(unsigned vector)
{
	uint64_t found = 0;

	for (unsigned i = 0; i < HILUM_MAX_VCPUS; i++)
		if (irr_has(&m.apic[i], vector)) {
			found |= 1ull << i;
			m.apic[i].irr[vector / 64] &= ~(1ull << (vector % 64));
		}
	return found;
}

int accept_next(struct vlapic *v)
{
	int vector = vlapic_pending(v);

	if (vector >= 0)
		vlapic_take(v, (unsigned)vector);
	return vector;
}

void check_invariants(const struct vlapic *v)
{
	int highest = 0;
	uint8_t ppr;

	for (int i = 0; i < 256; i++)
		if (v->isr[i / 64] >> (i % 64) & 1)
			highest = i;
	assert_int_equal(v->isrv, highest);
	ppr = (v->tpr & 0xF0) >= (highest & 0xF0) ? v->tpr : (uint8_t)(highest & 0xF0);
	assert_int_equal(v->ppr, ppr);
	assert_int_equal((v->irr[0] | v->isr[0]) & 0xFFFF, 0);
	assert_true(v->mode <= VLAPIC_X2APIC);
	for (unsigned reg = APIC_LVT_FIRST; reg <= APIC_LVT_LAST; reg++)
		assert_true((v->reg[APIC_SVR] & APIC_SVR_ENABLE) || (v->reg[reg] & APIC_LVT_MASKED));
	if (v->mode == VLAPIC_DISABLED)
		assert_int_equal(v->deadline_tsc, 0);
	assert_int_equal(v->timer_armed, v->deadline_tsc && !(v->reg[APIC_LVT_TIMER] & APIC_LVT_MASKED));
	assert_true(v->divide_shift <= 7);
}

/* xorshift64* */
uint64_t random64(void)
{
	random_state ^= random_state >> 12;
	random_state ^= random_state << 25;
	random_state ^= random_state >> 27;
	return random_state * 0x2545F4914F6CDD1Dull;
}
