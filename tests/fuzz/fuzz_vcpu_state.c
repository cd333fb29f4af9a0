/*
 * Fuzz target of state that is put into a vCPU from outside, by hypercalls, through the real kernel core and the real backends onto
 * pretended CPUs (tests/unit/fake_cpus). The first byte says which of them; then come rounds: what is put over the state as it is, which
 * groups of it are asked for, and what comes of the entries that follow. Properties: it is refused and nothing has changed, or it reads
 * back as it was put, but for bits that a register does not have, and no other group has changed; no control, no host state and no value
 * that the kernel says it checks makes an entry fail, or an instruction of root mode fault; an entry that the CPU does refuse, for what is
 * the guest's own affair, stops that VM with a word of it.
 *
 * FUZZ_SOURCES: build/fuzz/lib/backends_fake.a build/fuzz/lib/kernel_fake.a
 * FUZZ_FLAGS: -iquote tests/unit/fake_cpus @tests/unit/fake_kernel/fake.flags @tests/unit/fake_kernel/fake.wrap -lcmocka
 * FUZZ_OPTIONS: -max_len=512
 */
#include "tests/unit/fake_cpus/cpus.h"

#define KIND_VMX    0x01u
#define KIND_MODERN 0x02u

#define STATE_AT    (16 * KIB) /* in the control VM's memory */
#define ROUNDS_MAX  8u
#define ROUND_BYTES 4u /* groups, what the entries do, RFLAGS then, pieces; each piece is where and what */
#define PIECE_BYTES 9u
#define PLAIN_WORDS (offsetof(struct hilum_vcpu_state, xsave) / 8)
#define XSAVE_WORDS (576u / 8) /* what root mode reads of it ends with the header */

#define RFLAGS_KEPT 0x3F7FD7ull
#define ENTRY_FLAGS 0x304u /* TF, IF, PF */

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes);

static bool is_vmx;
static hilum_handle_t vm, handle;
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
	s->cs.attributes = 0xC9B;
	s->tr.attributes = 0x8B;
}

static struct hilum_vcpu_state *control_state(void)
{
	return (struct hilum_vcpu_state *)(control_memory() + STATE_AT);
}

static int64_t put(const struct hilum_vcpu_state *s, uint32_t mask)
{
	memcpy(control_state(), s, sizeof(*s));
	return CALL(HC_VCPU_SET_STATE, handle, STATE_AT, mask);
}

static void get(struct hilum_vcpu_state *s)
{
	CALL_OK(HC_VCPU_GET_STATE, handle, STATE_AT, HILUM_STATE_ALL);
	memcpy(s, control_state(), sizeof(*s));
}

/* ---- What is to be read back ---- */

/* On VMX segments are accessed and the TSS is busy, as a CPU has them when it has loaded them; bits that there are not are gone. */
static void expect_vmx(struct hilum_vcpu_state *e, uint32_t mask)
{
	for (unsigned n = 0; n < 8 && (mask & HILUM_STATE_SEGMENTS); n++)
		(&e->es)[n].attributes |= ((&e->es)[n].attributes >> 4 & 1) | (n == 7 ? 2 : 0);
	if (mask & HILUM_STATE_CR)
		e->efer = (e->efer & ~EFER_LMA) | ((e->efer & EFER_LME) && (e->cr0 & CR0_PG) ? EFER_LMA : 0);
	if (mask & HILUM_STATE_MSR) {
		e->sfmask = (uint32_t)e->sfmask;
		e->sysenter_cs = (uint32_t)e->sysenter_cs;
	}
}

#define COPY(first, last) \
	memcpy(&e->first, &in->first, offsetof(struct hilum_vcpu_state, last) + sizeof(in->last) - offsetof(struct hilum_vcpu_state, first))

/* *e: what was there before; then with the groups of `in` that were taken. */
static void expect(struct hilum_vcpu_state *e, const struct hilum_vcpu_state *in, uint32_t mask)
{
	if (mask & HILUM_STATE_GPR) {
		COPY(gpr, rflags);
		e->rflags = (in->rflags & RFLAGS_KEPT) | 2;
	}
	if (mask & HILUM_STATE_SEGMENTS)
		COPY(es, idtr_limit);
	if (mask & HILUM_STATE_CR) {
		COPY(cr0, xcr0);
		e->xcr0 = in->xcr0 != 0 ? in->xcr0 : 1;
	}
	if (mask & HILUM_STATE_DR)
		COPY(dr, dr7);
	if (mask & HILUM_STATE_MSR)
		COPY(star, spec_ctrl);
	if (mask & HILUM_STATE_EVENTS) {
		e->pending_event = in->pending_event >> 31 & 1 ? in->pending_event : 0;
		e->activity = in->activity;
		e->shadow = in->shadow;
	}
	if (mask & HILUM_STATE_FPU)
		memcpy(e->xsave, in->xsave, sizeof(e->xsave));
	if (is_vmx)
		expect_vmx(e, mask);
}

static void compare(const struct hilum_vcpu_state *e, const struct hilum_vcpu_state *out)
{
	const uint8_t *a = (const uint8_t *)e, *b = (const uint8_t *)out;

	for (size_t i = 0; i < sizeof(*e); i++)
		if (a[i] != b[i]) {
			fprintf(stderr, "byte %zu of the state is %#x and was to be %#x\n", i, b[i], a[i]);
			abort();
		}
}

/* ---- Rounds ---- */

/* Pieces of the state: one byte says which eight, then come these. Returns how much was used. */
static size_t write_over(struct hilum_vcpu_state *s, unsigned pieces, const uint8_t *data, size_t bytes)
{
	size_t used = 0;

	for (; pieces != 0 && bytes - used >= PIECE_BYTES; pieces--, used += PIECE_BYTES) {
		unsigned word = data[used];
		uint8_t *at = word < PLAIN_WORDS ? (uint8_t *)s + word * 8 : s->xsave + (word - PLAIN_WORDS) % XSAVE_WORDS * 8;
		memcpy(at, data + used + 1, 8);
	}
	return used;
}

/* False: the VM has ended. */
static bool enter(const uint8_t *round)
{
	fake_cpu.halts = round[1] & 1;
	fake_cpu.refuses = (round[1] & 6) == 6;
	fake_cpu.shadow = round[1] & 8;
	fake_cpu.nmi_blocked = round[1] & 16;
	fake_cpu.cr8 = round[1] >> 5;
	fake_cpu.rflags = 2 | ((uint64_t)round[2] << 2 & ENTRY_FLAGS);
	fake_cpu.failed = false;
	fake_cpu.entries = 0;
	CALL_OK(HC_VCPU_RUN, handle);
	fake_run(0, 1);
	CALL_OK(HC_VCPU_PAUSE, handle);
	const struct hilum_vm_status *status = &vm_of(vm)->status;
	bool ended = status->state == HILUM_VM_CRASHED;
	fake_cpu_want(!fake_cpu.failed || (ended && status->crash == HILUM_CRASH_INVALID_STATE), "a VM that cannot be entered ends so");
	fake_cpu_want(!ended || fake_cpu.failed || status->crash == HILUM_CRASH_TRIPLE_FAULT, "a VM that can be entered goes on");
	return !ended;
}

static void boot(uint8_t kind)
{
	is_vmx = kind & KIND_VMX;
	if (is_vmx)
		fake_cpu_boot_vmx(kind & KIND_MODERN);
	else
		fake_cpu_boot_svm(kind & KIND_MODERN);
	fake_boot(1);
	fake_cpu_boot_core();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes)
{
	static struct hilum_vcpu_state in, before, out;
	size_t at = 1;

	if (bytes < 1 + ROUND_BYTES)
		return 0;
	boot(data[0]);
	vm = make_vm(0);
	v = make_vcpu(vm, 0, 0, &handle);
	make_good(&in);
	CALL_OK(HC_VCPU_RUN, handle);
	CALL_OK(HC_VCPU_PAUSE, handle);
	for (unsigned n = 0; n < ROUNDS_MAX && bytes - at >= ROUND_BYTES; n++) {
		const uint8_t *round = data + at;
		uint32_t mask = round[0] & 0x80 ? HILUM_STATE_ALL : round[0];
		at += ROUND_BYTES;
		at += write_over(&in, round[3] % 16, data + at, bytes - at);
		get(&before);
		bool taken = put(&in, mask) == 0;
		fake_cpu.tlb_is_old |= taken;
		if (taken)
			expect(&before, &in, mask);
		get(&out);
		compare(&before, &out);
		if (taken && !enter(round))
			break;
		get(&in);
	}
	fake_check_clean();
	return 0;
}
