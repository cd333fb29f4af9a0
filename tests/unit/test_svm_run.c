/*
 * SVM's real run loop and the real kernel on the fake machine, over a pretended CPU that does what the emulators never do: it keeps
 * translations by their tag until they are flushed, and goes by its own copy of every part of the VMCB that is marked clean. Entering a
 * guest with a translation of another one, of older nested tables, or with a part that is marked clean but has changed, fails.
 */
/* clang-format off */
/* UNIT_SOURCES: svm/run.c svm/state.c svm/vcpu.c build/unit/kernel_fake.a */
/* UNIT_FLAGS: -iquote tests/unit/fake_svm @tests/unit/fake_kernel/fake.flags @tests/unit/fake_kernel/fake.wrap */
/* clang-format on */
#include "tests/unit/fake_kernel/fake.h"

#include "tests/unit/fake_svm/backend.h"

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
#define ASIDS      5u /* 0 is the host's */
#define VMS        3u
#define RAM_GPA    0x100000ull
#define RW         (HILUM_MAP_READ | HILUM_MAP_WRITE)
#define HALTS      0u /* no exit code of an exit that the tests have */

struct svm_features svm_features;
unsigned fake_vmloads, fake_vmsaves;

static hilum_handle_t vm[VMS], vcpu_handle[VMS];
static struct vcpu *v[VMS];

/* ---- The pretended CPU ---- */

/* Whose translations a tag has, and from which state of its nested tables. */
static struct {
	const struct vcpu *of;
	uint32_t generation;
} tlb[CORES_MAX][ASIDS];

/* The VMCB that a core ran last, as it was then. */
static struct {
	hpa_t vmcb;
	struct vmcb copy;
} cached[CORES_MAX];

static unsigned entries, flushes;
static uint64_t injected;     /* at the last entry */
static uint32_t next_exit;    /* code of the first entry's exit; the second halts */
static uint64_t exit_info[2]; /* of that */
static uint8_t length;        /* of the instruction that exits */

#define SAME(field) assert_memory_equal(&old->field, &c->field, sizeof(c->field))

/* APM vol. 2, 15.15.3 VMCB Clean Field. */
static void check_clean(const struct vmcb *c, hpa_t hpa)
{
	const struct vmcb *old = &cached[fake_self->arch.id].copy;

	if (cached[fake_self->arch.id].vmcb != hpa)
		assert_int_equal(c->clean, 0);
	if (c->clean & 1u << 0) {
		SAME(intercept_cr);
		SAME(intercept_dr);
		SAME(intercept_exceptions);
		SAME(intercept_misc1);
		SAME(intercept_misc2);
		SAME(tsc_offset);
		SAME(pause_filter_count);
	}
	if (c->clean & 1u << 1) {
		SAME(iopm_base_pa);
		SAME(msrpm_base_pa);
	}
	if (c->clean & 1u << 2)
		SAME(guest_asid);
	if (c->clean & 1u << 3) {
		SAME(v_irq);
		SAME(v_intr_prio);
		SAME(v_intr_masking);
		SAME(v_tpr);
	}
	if (c->clean & 1u << 4) {
		SAME(np_enable);
		SAME(n_cr3);
		SAME(g_pat);
	}
}

static void check_translations(const struct vcpu *w, const struct vmcb *c)
{
	unsigned core = fake_self->arch.id;
	uint32_t asid = c->guest_asid;

	assert_in_range(asid, 1, ASIDS - 1);
	assert_int_equal(c->np_enable & 1, 1);
	assert_int_equal(c->n_cr3, w->vm->npt.root);
	if (c->tlb_control == 1) { /* all */
		memset(tlb[core], 0, sizeof(tlb[core]));
		flushes++;
	} else {
		assert_int_equal(c->tlb_control, 0); /* by tag is not offered here */
	}
	if (tlb[core][asid].of != NULL) {
		assert_ptr_equal(tlb[core][asid].of, w);
		assert_int_equal(tlb[core][asid].generation, w->vm->npt.generation);
	}
	tlb[core][asid].of = w;
	tlb[core][asid].generation = w->vm->npt.generation;
}

void svm_enter(struct vcpu *w, hpa_t vmcb)
{
	struct vmcb *c = svm_vmcb(w);
	bool first = entries++ == 0 && next_exit != HALTS;

	assert_int_equal(vmcb, pool_hpa(c));
	check_clean(c, vmcb);
	check_translations(w, c);
	injected = c->eventinj;
	cached[fake_self->arch.id].vmcb = vmcb;
	cached[fake_self->arch.id].copy = *c;
	c->eventinj = c->exitintinfo = 0;
	c->exitcode = first ? next_exit : VMEXIT_HLT;
	c->exitinfo1 = first ? exit_info[0] : 0;
	c->exitinfo2 = first ? exit_info[1] : 0;
	c->nrip = c->rip + (first ? length : 1);
}

/* ---- The machine ---- */

static int set_up(void **state)
{
	(void)state;
	svm_features = (struct svm_features){ .asids = ASIDS, .nrip = true, .clean = true };
	memset(tlb, 0, sizeof(tlb));
	memset(cached, 0, sizeof(cached));
	memset(exit_info, 0, sizeof(exit_info));
	svm_backend_take();
	fake_boot(2);
	for (unsigned i = 0; i < cpu_count; i++)
		cpu_table[i]->asid_generation = cpu_table[i]->asid_next = 1; /* as kernel_main has them */
	for (unsigned i = 0; i < VMS; i++) {
		hilum_handle_t memory = make_memory(2 * MIB);

		vm[i] = make_vm(0);
		v[i] = make_vcpu(vm[i], 0, 0, &vcpu_handle[i]);
		CALL_OK(HC_MEMORY_MAP, vm[i], memory, RAM_GPA, 0, MIB, RW);
		CALL_OK(HC_VCPU_RUN, vcpu_handle[i]);
	}
	next_exit = HALTS;
	length = 1;
	entries = 0;
	fake_run(0, 100);
	entries = flushes = 0;
	return 0;
}

static int tear_down(void **state)
{
	(void)state;
	for (unsigned i = 0; i < cpu_count; i++)
		cpu_table[i]->loaded = NULL;
	fake_check_clean();
	virt = fake_ops;
	return 0;
}

/* The guest executes something and halts. */
static void run(unsigned i)
{
	v[i]->state = VCPU_READY;
	v[i]->rip = 0x1000;
	entries = 0;
	injected = 0;
	sched_wake(v[i]->cpu, v[i], fake_tsc);
	fake_run(v[i]->cpu->arch.id, 100);
}

static void remap(unsigned i)
{
	hilum_handle_t memory = make_memory(MIB);

	CALL_OK(HC_MEMORY_UNMAP, vm[i], RAM_GPA, MIB);
	CALL_OK(HC_MEMORY_MAP, vm[i], memory, RAM_GPA, 0, MIB, RW);
	CALL_OK(HC_HANDLE_CLOSE, memory);
}

/* ---- Tags ---- */

static void run__tables_as_before__tag_is_kept(void **state)
{
	uint32_t asid;

	(void)state;
	run(0);
	asid = svm_vmcb(v[0])->guest_asid;
	run(1);
	run(0);
	assert_int_equal(svm_vmcb(v[0])->guest_asid, asid);
	assert_int_not_equal(svm_vmcb(v[1])->guest_asid, asid);
	assert_int_equal(flushes, 0);
}

/* More often than there are tags, by all VMs in turn; the CPU looks. */
static void run__memory_goes__never_with_an_old_translation(void **state)
{
	(void)state;
	for (unsigned n = 0; n < 40; n++) {
		remap(n % VMS);
		for (unsigned i = 0; i < VMS; i++)
			run((n + i) % VMS);
	}
	assert_true(flushes >= 40 / (ASIDS - 1) && flushes <= 40);
}

static void run__controls_change__cpu_is_told(void **state)
{
	(void)state;
	for (unsigned n = 0; n < 4; n++) {
		run(0);
		v[0]->pat = 0x0007040600070406ull + n;
		v[0]->controls_stale = true;
		run(1);
		if (n == 2)
			CALL_OK(HC_VM_GRANT_PORTS, vm[0], HOST_HANDLE, 0x80, 4);
		run(0);
		assert_int_equal(svm_vmcb(v[0])->g_pat, v[0]->pat);
	}
	assert_int_not_equal(svm_vmcb(v[0])->iopm_base_pa, pool_hpa(ports));
	assert_int_equal(svm_vmcb(v[1])->iopm_base_pa, pool_hpa(ports));
}

/* ---- Exits ---- */

#define RAISED(vector)         ((uint64_t)EVENT_VALID | EVENT_TYPE_EXCEPTION | (vector))
#define VECTOR_AND_KIND(event) ((event) & (EVENT_VALID | EVENT_TYPE_MASK | 0xFF))

static void run__instruction_that_the_vm_does_not_have__is_undefined(void **state)
{
	static const uint32_t codes[] = { VMEXIT_INVLPGA, VMEXIT_VMRUN,  VMEXIT_VMLOAD,  VMEXIT_VMSAVE, VMEXIT_STGI,
		                          VMEXIT_CLGI,    VMEXIT_SKINIT, VMEXIT_MONITOR, VMEXIT_MWAIT };

	(void)state;
	for (unsigned i = 0; i < ARRAY_SIZE(codes); i++) {
		next_exit = codes[i];
		length = 3;
		run(0);
		assert_int_equal(entries, 2);
		assert_int_equal(VECTOR_AND_KIND(injected), RAISED(6));
		assert_int_equal(v[0]->rip, 0x1001); /* the HLT behind it: RIP was not moved */
	}
}

static void run__call_of_a_guests_program__is_denied(void **state)
{
	(void)state;
	next_exit = VMEXIT_VMMCALL;
	for (uint8_t cpl = 1; cpl <= 3; cpl++) {
		svm_vmcb(v[0])->cpl = cpl;
		v[0]->cpl = 0;
		v[0]->gpr[0] = HC_MEMORY_CREATE;
		run(0);
		assert_int_equal((int64_t)v[0]->gpr[0], HILUM_E_DENIED);
	}
	svm_vmcb(v[0])->cpl = 0;
	v[0]->gpr[0] = HC_NOP + 0x10000;
	run(0);
	assert_int_equal((int64_t)v[0]->gpr[0], HILUM_E_UNSUPPORTED);
}

static void run__exception_that_is_taken__is_given_back(void **state)
{
	(void)state;
	next_exit = VMEXIT_EXCP(1);
	run(0);
	assert_int_equal(VECTOR_AND_KIND(injected), RAISED(1));
	next_exit = VMEXIT_EXCP(17);
	run(0);
	assert_int_equal(VECTOR_AND_KIND(injected), RAISED(17));
	next_exit = VMEXIT_RDPMC;
	length = 2;
	run(0);
	assert_int_equal(VECTOR_AND_KIND(injected), RAISED(13));
}

static void run__length_that_no_instruction_has__is_undefined(void **state)
{
	static const uint8_t bad[] = { 0, 16, 200 };

	(void)state;
	for (unsigned i = 0; i < ARRAY_SIZE(bad); i++) {
		next_exit = VMEXIT_CPUID;
		length = bad[i];
		run(0);
		assert_int_equal(VECTOR_AND_KIND(injected), RAISED(6));
	}
	length = 15;
	run(0);
	assert_int_equal(injected, 0);
	assert_int_equal(v[0]->rip, 0x1000 + 15 + 1);
}

static void run__state_or_exit_that_cannot_be__costs_that_vm_alone(void **state)
{
	static const struct {
		uint32_t code;
		enum hilum_crash crash;
	} cases[VMS - 1] = { { 0x4321, HILUM_CRASH_UNKNOWN_EXIT }, { VMEXIT_SHUTDOWN, HILUM_CRASH_TRIPLE_FAULT } };

	(void)state;
	for (unsigned i = 0; i < VMS - 1; i++) {
		next_exit = cases[i].code;
		run(i);
		assert_int_equal(vm_of(vm[i])->status.state, HILUM_VM_CRASHED);
		assert_int_equal(vm_of(vm[i])->status.crash, cases[i].crash);
		assert_int_not_equal(vm_of(vm[VMS - 1])->status.state, HILUM_VM_CRASHED);
	}
}

static void run__fault_of_nested_tables__tells_address_and_kind(void **state)
{
	(void)state;
	next_exit = VMEXIT_NPF;
	exit_info[0] = 2;
	exit_info[1] = 0x80000010;
	run(0);
	assert_int_equal(vm_of(vm[0])->status.crash, HILUM_CRASH_NO_HANDLER);
	assert_int_equal(vm_of(vm[0])->status.detail, 0x80000010);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(run__tables_as_before__tag_is_kept),
		TEST(run__memory_goes__never_with_an_old_translation),
		TEST(run__controls_change__cpu_is_told),
		TEST(run__instruction_that_the_vm_does_not_have__is_undefined),
		TEST(run__call_of_a_guests_program__is_denied),
		TEST(run__exception_that_is_taken__is_given_back),
		TEST(run__length_that_no_instruction_has__is_undefined),
		TEST(run__state_or_exit_that_cannot_be__costs_that_vm_alone),
		TEST(run__fault_of_nested_tables__tells_address_and_kind),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
