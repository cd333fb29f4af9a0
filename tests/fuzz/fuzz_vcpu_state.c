/*
 * Fuzz target of state that is put into a vCPU from outside, on the real kernel core with a pretended machine: four bytes of the input say
 * which groups, the rest is written over a state that is right. Properties: it is refused and nothing has changed, or what is asked for
 * afterwards is what was put, but for bits that a register does not have; that can be put again; and the vCPU can be entered.
 *
 * FUZZ_SOURCES: build/fuzz/lib/kernel_fake.a
 * FUZZ_FLAGS: @tests/unit/fake_kernel/fake.flags @tests/unit/fake_kernel/fake.wrap -lcmocka
 * FUZZ_OPTIONS: -max_len=1024
 */
#include "tests/unit/fake_kernel/fake.h"

#include "arch/x86_64/features.h"

#define RFLAGS_KEPT 0x3F7FD5ull
#define PUT_AGAIN   (HILUM_STATE_GPR | HILUM_STATE_EVENTS | HILUM_STATE_FPU)

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes);

static hilum_handle_t handle;
static struct vcpu *v;

static void make_good(struct hilum_vcpu_state *s)
{
	memset(s, 0, sizeof(*s));
	s->rflags = 2;
	s->cr0 = CR0_PE | CR0_ET;
	s->xcr0 = 1;
	s->pat = 0x0007040600070406ull;
	s->xsave_bytes = 576;
	s->xsave[24] = 0x80;
	s->xsave[25] = 0x1F;
}

/* Pieces of the state: two bytes say where, one how long, then what. */
static void write_over(struct hilum_vcpu_state *s, const uint8_t *data, size_t bytes)
{
	while (bytes >= 3) {
		size_t at = (data[0] | (size_t)data[1] << 8) % sizeof(*s), count = data[2] % 17;

		data += 3;
		bytes -= 3;
		count = count < bytes ? count : bytes;
		count = count < sizeof(*s) - at ? count : sizeof(*s) - at;
		memcpy((uint8_t *)s + at, data, count);
		data += count;
		bytes -= count;
	}
}

static void check_put(const struct hilum_vcpu_state *in, const struct hilum_vcpu_state *out, uint32_t mask)
{
	if (mask & HILUM_STATE_GPR) {
		assert_memory_equal(out->gpr, in->gpr, sizeof(in->gpr));
		assert_int_equal(out->rip, in->rip);
		assert_int_equal(out->rflags, (in->rflags & RFLAGS_KEPT) | 2);
	}
	if (mask & HILUM_STATE_CR)
		assert_int_equal(out->xcr0, in->xcr0 != 0 ? in->xcr0 : 1);
	if (mask & HILUM_STATE_DR)
		assert_memory_equal(out->dr, in->dr, sizeof(in->dr));
	if (mask & HILUM_STATE_MSR) {
		assert_int_equal(out->pat, in->pat);
		assert_int_equal(out->tsc_aux, in->tsc_aux);
	}
	if (mask & HILUM_STATE_EVENTS) {
		assert_int_equal(out->activity, in->activity);
		if (in->pending_event >> 31 & 1)
			assert_int_equal(out->pending_event, in->pending_event);
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes)
{
	static struct hilum_vcpu_state in, before, out;
	uint32_t mask;

	if (bytes < sizeof(mask))
		return 0;
	memcpy(&mask, data, sizeof(mask));
	mask = mask % 2 ? HILUM_STATE_ALL : mask & HILUM_STATE_ALL;
	fake_boot(1);
	v = make_vcpu(make_vm(0), 0, 0, &handle);
	make_good(&in);
	write_over(&in, data + sizeof(mask), bytes - sizeof(mask));
	vcpu_get_state(v, &before, HILUM_STATE_ALL);
	bool taken = vcpu_set_state(v, &in, mask) == STATUS_OK;
	vcpu_get_state(v, &out, HILUM_STATE_ALL);
	if (!taken) {
		assert_memory_equal(&out, &before, sizeof(out));
	} else {
		check_put(&in, &out, mask);
		assert_int_equal(vcpu_set_state(v, &out, PUT_AGAIN), STATUS_OK);
		CALL_OK(HC_VCPU_RUN, handle);
		fake_run(0, 4);
	}
	fake_check_clean();
	return 0;
}
