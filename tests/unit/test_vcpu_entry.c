/*
 * State from outside, onto pretended CPUs that check what real ones check at an entry: what the kernel takes, they enter, unless it is the
 * guest's own affair, which stops its VM.
 */
/* clang-format off */
/* UNIT_SOURCES: build/unit/backends_fake.a build/unit/kernel_fake.a */
/* UNIT_FLAGS: -iquote tests/unit/fake_cpus @tests/unit/fake_kernel/fake.flags @tests/unit/fake_kernel/fake.wrap */
/* clang-format on */
#include "tests/unit/fake_cpus/cpus.h"

#define EVENT(type, vector)             (EVENT_VALID | (type) << 8 | (vector))
#define EVENT_ERROR(type, vector, code) (EVENT(type, vector) | EVENT_ERROR_VALID | (uint64_t)(code) << 32)
#define TF                              (1ull << 8)

enum { SVM, VMX, VMX_OLD, CPUS };

static hilum_handle_t vm, handle;
static struct hilum_vcpu_state s;

static void boot(unsigned kind)
{
	if (kind == SVM)
		fake_cpu_boot_svm(false);
	else
		fake_cpu_boot_vmx(kind == VMX);
	fake_boot(1);
	fake_cpu_boot_core();
	vm = make_vm(0);
	make_vcpu(vm, 0, 0, &handle);
	memset(&s, 0, sizeof(s));
	s.rflags = 2;
	s.cr0 = CR0_PE | CR0_ET;
	s.xcr0 = 1;
	s.pat = 0x0007040600070406ull;
	s.cs.attributes = 0xC9B;
	s.tr.attributes = 0x8B;
	*(uint32_t *)(s.xsave + 24) = 0x1F80;
}

static int64_t put(uint32_t mask)
{
	memcpy(control_memory(), &s, sizeof(s));
	return CALL(HC_VCPU_SET_STATE, handle, 0, mask);
}

static void get(void)
{
	CALL_OK(HC_VCPU_GET_STATE, handle, 0, HILUM_STATE_ALL);
	memcpy(&s, control_memory(), sizeof(s));
}

/* The guest runs and is stopped again, perhaps by a CPU that does not like its state. */
static void enter(void)
{
	unsigned entries = fake_cpu.entries;

	CALL_OK(HC_VCPU_RUN, handle);
	fake_run(0, 1);
	CALL_OK(HC_VCPU_PAUSE, handle);
	assert_true(fake_cpu.entries > entries);
}

#define ON_EACH_CPU for (unsigned kind = 0; kind < CPUS; fake_check_clean(), kind++)

static void enter__taken_state__reads_back_and_runs(void **state)
{
	(void)state;
	ON_EACH_CPU
	{
		boot(kind);
		s.rip = 0x1234;
		s.gpr[4] = 0x5678;
		s.cr3 = 0x7000;
		s.lstar = 0xFFFFFFFF81000000ull;
		s.pending_event = EVENT_ERROR(3, 14, 0x8015);
		assert_int_equal(put(HILUM_STATE_ALL), 0);
		enter();
		assert_int_equal(vm_of(vm)->status.state, HILUM_VM_RUNNING);
		memset(&s, 0xEE, sizeof(s));
		get();
		assert_int_equal(s.rip, 0x1234);
		assert_int_equal(s.gpr[4], 0x5678);
		assert_int_equal(s.cr3, 0x7000);
		assert_int_equal(s.lstar, 0xFFFFFFFF81000000ull);
		assert_int_equal(s.pending_event, 0); /* the guest has it */
	}
}

static void enter__cpu_refuses__vm_ends_and_nothing_else(void **state)
{
	(void)state;
	ON_EACH_CPU
	{
		boot(kind);
		fake_cpu.refuses = true;
		assert_int_equal(put(HILUM_STATE_ALL), 0);
		enter();
		assert_int_equal(vm_of(vm)->status.state, HILUM_VM_CRASHED);
		assert_int_equal(vm_of(vm)->status.crash, HILUM_CRASH_INVALID_STATE);
		assert_int_equal(control->status.state, HILUM_VM_RUNNING);
	}
}

/* An entry with what a CPU had left in the VMCS of the shadow, but not of the step that the shadow held back, would fail. */
static void put__in_a_shadow_with_a_step_pending__step_stays_pending(void **state)
{
	(void)state;
	ON_EACH_CPU
	{
		boot(kind);
		fake_cpu.shadow = true;
		fake_cpu.rflags = 2 | TF;
		assert_int_equal(put(HILUM_STATE_ALL), 0);
		enter(); /* and is stopped in MOV SS's shadow */
		get();
		assert_int_equal(s.shadow, 1);
		assert_int_equal(put(HILUM_STATE_GPR), 0); /* as a debugger does that wants to change a register */
		enter();
		get();
		s.rflags |= RFLAGS_IF;
		assert_int_equal(put(HILUM_STATE_GPR), 0);
		enter();
		get();
		s.shadow = 0;
		assert_int_equal(put(HILUM_STATE_ALL), 0);
		enter();
		assert_int_equal(vm_of(vm)->status.state, HILUM_VM_RUNNING);
	}
}

/* ---- PAE paging: the four top entries are the VMCS's ---- */

#define TABLES (4 * MIB)

static void enter__pae_tables_are_not_there__reads_as_not_present(void **state)
{
	(void)state;
	ON_EACH_CPU
	{
		boot(kind);
		s.cr0 |= CR0_PG;
		s.cr4 = CR4_PAE;
		s.cr3 = TABLES; /* where this VM has nothing */
		assert_int_equal(put(HILUM_STATE_ALL), 0);
		enter(); /* the pretended CPU looks at them */
		assert_int_equal(vm_of(vm)->status.state, HILUM_VM_RUNNING);
	}
}

static unsigned spins;

static void end_move(void)
{
	spins++;
	vm_pages_move = false;
}

static void enter__frames_move_while_pae_tables_are_read__waits_and_lets_the_mover_go_on(void **state)
{
	(void)state;
	ON_EACH_CPU
	{
		boot(kind);
		s.cr0 |= CR0_PG;
		s.cr4 = CR4_PAE;
		s.cr3 = TABLES;
		CALL_OK(HC_MEMORY_MAP, vm, CALL_HANDLE(HC_MEMORY_CREATE, HOST_HANDLE, 2 * MIB, HILUM_MEMORY_LAZY), TABLES, 0, 2 * MIB,
		        HILUM_MAP_READ | HILUM_MAP_WRITE);
		assert_int_equal(put(HILUM_STATE_ALL), 0);
		uint64_t epoch = cpu_table[0]->epoch;
		spins = 0;
		fake_on_spin = end_move;
		vm_pages_move = true;
		enter();
		vm_pages_move = false;
		fake_on_spin = NULL;
		assert_int_equal(spins, kind == SVM ? 0 : 1);
		assert_true(cpu_table[0]->epoch > epoch + spins);
		assert_int_equal(vm_of(vm)->status.state, HILUM_VM_RUNNING);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(enter__taken_state__reads_back_and_runs),
		cmocka_unit_test(enter__cpu_refuses__vm_ends_and_nothing_else),
		cmocka_unit_test(put__in_a_shadow_with_a_step_pending__step_stays_pending),
		cmocka_unit_test(enter__pae_tables_are_not_there__reads_as_not_present),
		cmocka_unit_test(enter__frames_move_while_pae_tables_are_read__waits_and_lets_the_mover_go_on),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
