/*
 * What a guest gets to see and to set: MSRs, CPUID, XSETBV, ports, the paravirtual clock, lazy memory.
 */
/* clang-format off */
/* UNIT_SOURCES: build/unit/kernel_fake.a */
/* UNIT_FLAGS: @tests/unit/fake_kernel/fake.flags @tests/unit/fake_kernel/fake.wrap */
/* clang-format on */
#include "tests/unit/fake_kernel/fake.h"

#include "arch/x86_64/features.h"
#include "arch/x86_64/speculation.h"
#include "kernel/pvclock.h"

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

#define GP        (1ull << 31 | 1ull << 11 | 3 << 8 | 13)
#define MSR_TSC   0x10u
#define MSR_PAT   0x277u
#define MSR_EFER  0xC0000080u
#define RAM_BYTES (2 * MIB)

static hilum_handle_t vm, plain_vm;
static struct vcpu *v;

/* `v` of a VM with KVM's leaves and 2 MiB of lazy memory; plain_vm has neither. */
static int set_up(void **state)
{
	(void)state;
	fake_boot(1);
	vm = make_vm(HILUM_VM_KVM_LEAVES | HILUM_VM_X2APIC);
	plain_vm = make_vm(0);
	v = make_vcpu(vm, 0, 0, NULL);
	v->stopped = 0;
	hilum_handle_t memory = CALL_HANDLE(HC_MEMORY_CREATE, HOST_HANDLE, RAM_BYTES, HILUM_MEMORY_LAZY);
	CALL_OK(HC_MEMORY_MAP, vm, memory, 0, 0, RAM_BYTES, HILUM_MAP_READ | HILUM_MAP_WRITE);
	return 0;
}

static int tear_down(void **state)
{
	(void)state;
	fake_check_clean();
	return 0;
}

static void do_exit(struct vexit x)
{
	fake_self->current = v;
	v->paging_valid = false;
	v->pending_event = 0;
	exit_handle(v, &x);
	fake_self->current = NULL;
}

/* True: #GP was raised and the instruction not completed. */
static bool write_msr(uint32_t msr, uint64_t value)
{
	uint64_t rip = v->rip;

	v->gpr[1] = msr | 0xABCD00000000ull; /* the upper halves do not count */
	v->gpr[0] = (uint32_t)value | 0xABCD00000000ull;
	v->gpr[2] = value >> 32 | 0xABCD00000000ull;
	do_exit((struct vexit){ .kind = HILUM_EXIT_WRMSR, .length = 2 });
	bool faulted = v->pending_event == GP;
	assert_int_equal(v->rip, faulted ? rip : rip + 2);
	return faulted;
}

static bool read_msr(uint32_t msr, uint64_t *value)
{
	v->gpr[1] = msr;
	do_exit((struct vexit){ .kind = HILUM_EXIT_RDMSR, .length = 2 });
	if (v->pending_event == GP)
		return true;
	assert_int_equal((v->gpr[0] | v->gpr[2]) >> 32, 0);
	*value = v->gpr[2] << 32 | v->gpr[0];
	return false;
}

static uint8_t *guest(gpa_t gpa)
{
	hpa_t hpa;
	uint64_t bytes;

	assert_true(nested_pt_lookup(&v->vm->npt, gpa, HILUM_MAP_READ, &hpa, &bytes));
	return fake_ram + hpa;
}

/* ---- MSRs ---- */

static void msr__unknown__general_protection(void **state)
{
	static const uint32_t unknown[] = { 0,     0x3A,       0x48,       0x49,       0x174 + 0x1000, 0x480,
		                            0x570, 0xC0010114, 0xC0010117, 0xC0011020, 0x40000000,     UINT32_MAX };
	uint64_t value;

	(void)state;
	for (unsigned i = 0; i < ARRAY_SIZE(unknown); i++) {
		assert_true(write_msr(unknown[i], 0));
		assert_true(read_msr(unknown[i], &value));
	}
}

/* What operating systems read or write without asking: a value that is the same for ever. */
static void msr__of_no_meaning__reads_what_it_did_and_drops_writes(void **state)
{
	static const struct {
		uint32_t msr;
		uint64_t value;
	} inert[] = { { 0x17, 0 }, { 0x8B, 0 }, { 0x1A0, 1 }, { 0xC0010010, 0 }, { 0xC0010015, 0 }, { 0xC0011029, 2 } };

	(void)state;
	for (unsigned i = 0; i < ARRAY_SIZE(inert); i++) {
		uint64_t value = ~0ull;

		assert_false(write_msr(inert[i].msr, 0x1234));
		assert_false(read_msr(inert[i].msr, &value));
		assert_int_equal(value, inert[i].value);
	}
}

static void msr__each_number_with_random_values__value_or_general_protection(void **state)
{
	static const uint32_t first[] = { 0, 0x400, 0x800, 0xC0000000, 0xC0010000, 0xC0011000, 0x4B564D00, 0x40000000 };
	uint64_t value;

	(void)state;
	for (unsigned range = 0; range < ARRAY_SIZE(first); range++)
		for (uint32_t i = 0; i < 0x400; i++)
			for (unsigned n = 0; n < 4; n++) {
				(void)write_msr(first[range] + i, fake_random() >> fake_random() % 64);
				(void)read_msr(first[range] + i, &value);
			}
	assert_int_equal(v->vm->status.crash, 0);
}

static void efer__reserved_bits_and_svme__general_protection(void **state)
{
	(void)state;
	for (unsigned bit = 0; bit < 64; bit++) {
		bool known = bit == 0 || bit == 8 || bit == 10 || bit == 11;
		assert_int_equal(write_msr(MSR_EFER, 1ull << bit), !known);
	}
}

static void efer__lme_while_paging__general_protection_and_lma_is_the_cpus(void **state)
{
	uint64_t value;

	(void)state;
	backend_of(v)->paging.efer = EFER_LME | EFER_LMA;
	backend_of(v)->paging.cr0 = CR0_PE | CR0_PG;
	assert_true(write_msr(MSR_EFER, 0));
	assert_false(write_msr(MSR_EFER, EFER_LME | EFER_NXE | EFER_SCE));
	assert_false(read_msr(MSR_EFER, &value));
	assert_int_equal(value, EFER_LME | EFER_LMA | EFER_NXE | EFER_SCE);
	backend_of(v)->paging.cr0 = CR0_PE;
	backend_of(v)->paging.efer = 0;
	assert_false(write_msr(MSR_EFER, EFER_LMA));
	assert_int_equal(backend_of(v)->paging.efer, 0);
}

static void pat__each_type__only_those_that_exist(void **state)
{
	uint64_t value;

	(void)state;
	for (unsigned type = 0; type < 256; type++) {
		bool valid = type <= 7 && type != 2 && type != 3;
		for (unsigned at = 0; at < 64; at += 8)
			assert_int_equal(write_msr(MSR_PAT, (uint64_t)type << at), !valid);
	}
	for (unsigned i = 0; i < 2; i++) {
		const uint64_t pat = i == 0 ? 0x0007040600070405 : 0x0007040600070406;

		assert_false(write_msr(MSR_PAT, pat));
		assert_false(read_msr(MSR_PAT, &value));
		assert_int_equal(value, pat);
	}
}

static void tsc__written__counts_from_there(void **state)
{
	uint64_t value;

	(void)state;
	assert_false(write_msr(MSR_TSC, 5));
	fake_tsc += 1000;
	assert_false(read_msr(MSR_TSC, &value));
	assert_int_equal(value, 1005);
}

static void tsc_aux__without_rdtscp__general_protection(void **state)
{
	uint64_t value;

	(void)state;
	assert_false(write_msr(0xC0000103, 7));
	assert_int_equal(fake_msr_value, 7);
	assert_false(read_msr(0xC0000103, &value));
	assert_int_equal(value, 7);
	assert_true(write_msr(0xC0000103, 1ull << 32));
	cpu_features.rdtscp = false;
	assert_true(write_msr(0xC0000103, 7));
	assert_true(read_msr(0xC0000103, &value));
}

/* ---- Speculation ---- */

static void spec_ctrl__offered_bits__reach_the_cpu_and_are_read_back(void **state)
{
	uint64_t value = 1;

	(void)state;
	host_health = (struct hilum_host_health){ 0 };
	speculation_guest_bits = 0;
	assert_true(write_msr(0x48, 0));
	assert_true(read_msr(0x48, &value));
	speculation_guest_bits = 5;
	assert_true(write_msr(0x48, 2));
	assert_false(write_msr(0x48, 4));
	assert_int_equal(fake_spec_ctrl, 4);
	assert_false(read_msr(0x48, &value));
	assert_int_equal(value, 4);
	speculation_guest_bits = 0;
}

static void pred_cmd__offered_or_not__barrier_now_or_general_protection(void **state)
{
	uint64_t value;

	(void)state;
	host_health = (struct hilum_host_health){ 0 };
	assert_true(write_msr(0x49, 1));
	host_health.defences = HILUM_DEFENCE_IBPB;
	fake_msr = 0;
	assert_false(write_msr(0x49, 0));
	assert_int_equal(fake_msr, 0);
	assert_false(write_msr(0x49, 1));
	assert_int_equal(fake_msr, 0x49);
	assert_true(write_msr(0x49, 3));
	assert_true(read_msr(0x49, &value));
}

static void arch_capabilities__statements_only__shown(void **state)
{
	uint64_t value;

	(void)state;
	host_health = (struct hilum_host_health){ .arch_capabilities = ~0ull };
	assert_true(read_msr(0x10A, &value));
	host_health.leaf7_edx = 1u << 29;
	assert_false(read_msr(0x10A, &value));
	assert_int_equal(value & (1u << 7 | 1u << 10 | 1u << 18),
	                 0); /* TSX_CTRL, MISC_PACKAGE_CTLS, FB_CLEAR_CTRL: MSRs that no guest has */
	assert_int_equal(value & 0x21, 0x21);
	assert_true(write_msr(0x10A, 0));
	host_health = (struct hilum_host_health){ 0 };
}

/* ---- Machine checks ---- */

static void machine_check__in_a_guests_memory__costs_that_vm_alone(void **state)
{
	(void)state;
	v->vm->status.state = HILUM_VM_RUNNING;
	assert_int_equal(vm_populate(v->vm, 0, HILUM_MAP_WRITE), STATUS_OK);
	fake_machine_check = MACHINE_CHECK_CORRECTED;
	exit_machine_check(v);
	assert_int_equal(v->vm->status.state, HILUM_VM_RUNNING);
	fake_machine_check = MACHINE_CHECK_MEMORY;
	assert_int_equal(vm_translate(v->vm, 0x123, HILUM_MAP_READ, &host_health.check_address), STATUS_OK);
	exit_machine_check(v);
	assert_int_equal(v->vm->status.state, HILUM_VM_CRASHED);
	assert_int_equal(v->vm->status.crash, HILUM_CRASH_MACHINE_CHECK);
	assert_int_equal(v->vm->status.detail, host_health.check_address);
	assert_int_equal(host_health.checks_contained, 1);
}

/* ---- KVM's clock ---- */

static void pvclock__system_time__page_is_written(void **state)
{
	static const uint64_t clock[4] = { 2, 0x1122334455667788, 0x99AABBCCDDEEFF00, 0x01F0000012345678 };
	uint64_t seen[4];

	(void)state;
	memcpy(v->vm->clock, clock, sizeof(clock));
	assert_false(write_msr(MSR_KVM_FIRST + KVM_SYSTEM_TIME, 0x1FF0 | 1)); /* across two pages */
	memcpy(seen, guest(0x1FF0), 16);
	memcpy(seen + 2, guest(0x2000), 16);
	assert_memory_equal(seen, clock, sizeof(clock));
}

static void pvclock__address_without_memory__general_protection(void **state)
{
	static const uint64_t nowhere[] = { RAM_BYTES, RAM_BYTES - 8, 1ull << 47, 1ull << 48, 1ull << 63, UINT64_MAX & ~0x3Eull };

	(void)state;
	for (unsigned i = 0; i < ARRAY_SIZE(nowhere); i++) {
		assert_true(write_msr(MSR_KVM_FIRST + KVM_SYSTEM_TIME, nowhere[i] | 1));
		assert_true(write_msr(MSR_KVM_FIRST + KVM_WALL_CLOCK, nowhere[i]));
		(void)write_msr(MSR_KVM_FIRST + KVM_STEAL_TIME, nowhere[i] | 1);
	}
	assert_true(write_msr(MSR_KVM_FIRST + KVM_PV_EOI, RAM_BYTES | 1));
	assert_true(write_msr(MSR_KVM_FIRST + KVM_PV_EOI, 0x1002 | 1));      /* not of four bytes */
	assert_false(write_msr(MSR_KVM_FIRST + KVM_SYSTEM_TIME, RAM_BYTES)); /* off: no page */
}

static void pvclock__vm_without_the_leaves__general_protection(void **state)
{
	uint64_t value;

	(void)state;
	v->vm->flags &= ~HILUM_VM_KVM_LEAVES;
	assert_true(write_msr(MSR_KVM_FIRST + KVM_SYSTEM_TIME, 0x1001));
	assert_true(read_msr(MSR_KVM_FIRST + KVM_WALL_CLOCK, &value));
}

static void pvclock__wall_clock__boot_time_and_what_passed(void **state)
{
	uint32_t wall[3];

	(void)state;
	v->vm->wall_clock_ns = 1772323198500000000ull - fake_tsc;
	fake_tsc += 5 * TSC_HZ;
	assert_false(write_msr(MSR_TSC, 0)); /* the guest starts now */
	assert_false(write_msr(MSR_KVM_FIRST + KVM_WALL_CLOCK, 0x1000));
	memcpy(wall, guest(0x1000), sizeof(wall));
	assert_int_equal(wall[1], 1772323203);
}

/* ---- CPUID ---- */

static struct hilum_cpuid_entry ask(uint32_t leaf, uint32_t subleaf)
{
	v->gpr[0] = leaf | 0xABCD00000000ull;
	v->gpr[1] = subleaf | 0xABCD00000000ull;
	do_exit((struct vexit){ .kind = HILUM_EXIT_CPUID, .length = 2 });
	for (unsigned i = 0; i < 4; i++)
		assert_int_equal(v->gpr[i] >> 32, 0);
	return (struct hilum_cpuid_entry){
		.eax = (uint32_t)v->gpr[0], .ebx = (uint32_t)v->gpr[3], .ecx = (uint32_t)v->gpr[1], .edx = (uint32_t)v->gpr[2]
	};
}

static void cpuid__vm_without_a_table__sees_the_machine(void **state)
{
	(void)state;
	assert_int_equal(ask(7, 0).ebx, 0xFFFFFFFF);
	assert_int_equal(ask(0x80000000, 0).eax, 0x80000020);
}

static void cpuid__full_table__each_entry_found(void **state)
{
	static struct hilum_cpuid_entry e[HILUM_CPUID_MAX];
	unsigned n = 0;

	(void)state;
	for (uint32_t leaf = 2; leaf < 32; leaf++)
		if (leaf != 7 && leaf != 0xB && leaf != 0xD)
			e[n++] = (struct hilum_cpuid_entry){ .leaf = leaf, .eax = leaf * 3 };
	for (uint32_t leaf = 0x400000F0; n < HILUM_CPUID_MAX - 10; leaf++)
		e[n++] = (struct hilum_cpuid_entry){ .leaf = leaf, .eax = leaf * 3 };
	for (uint32_t leaf = 0x80000002; n < HILUM_CPUID_MAX; leaf++)
		e[n++] = (struct hilum_cpuid_entry){ .leaf = leaf, .eax = leaf * 3 };
	memcpy(control_memory(), e, sizeof(e));
	CALL_OK(HC_VM_SET_CPUID, vm, 0, HILUM_CPUID_MAX);
	for (unsigned i = 0; i < n; i++)
		assert_int_equal(ask(e[i].leaf, fake_random() & 0xFFFF).eax, e[i].leaf * 3);
	assert_int_equal(ask(0, 0).eax, 0);
	assert_int_equal(ask(0x40000000, 0).eax, 0);
	assert_int_equal(ask(0x80000022, 0).eax, 0);
	for (unsigned i = 0; i < 10000; i++)
		(void)ask((uint32_t)fake_random(), (uint32_t)fake_random());
}

static void cpuid__state_of_the_vcpu__shows(void **state)
{
	(void)state;
	assert_int_equal(ask(1, 0).ecx >> 27 & 1, 0);
	backend_of(v)->paging.cr4 = CR4_OSXSAVE;
	assert_int_equal(ask(1, 0).ecx >> 27 & 1, 1);
	assert_int_equal(ask(1, 0).ebx >> 24, 0);
	v = make_vcpu(vm, 5, 0, NULL);
	assert_int_equal(ask(1, 0).ebx >> 24, 5);
	assert_int_equal(ask(0xB, 0).edx, 5);
}

/* ---- Registers ---- */

static bool set_xcr(uint64_t index, uint64_t value)
{
	v->gpr[1] = index;
	v->gpr[0] = (uint32_t)value;
	v->gpr[2] = value >> 32;
	do_exit((struct vexit){ .kind = HILUM_EXIT_XSETBV, .length = 3 });
	assert_true(v->pending_event == 0 || v->pending_event == GP);
	return v->pending_event == 0;
}

static void xsetbv__combinations__only_valid_ones_reach_the_cpu(void **state)
{
	(void)state;
	assert_true(set_xcr(0, 1) && set_xcr(0, 3) && set_xcr(0, 7));
	fake_xcr0 = 0;
	for (unsigned bit = 3; bit < 64; bit++)
		assert_false(set_xcr(0, 7 | 1ull << bit));
	assert_false(set_xcr(1, 7) || set_xcr(0, 0) || set_xcr(0, 2) || set_xcr(0, 5));
	assert_int_equal(fake_xcr0, 0);
}

static void cache_and_counter_instructions__from_the_guest__do_nothing_or_fault(void **state)
{
	uint64_t rip = v->rip;

	(void)state;
	do_exit((struct vexit){ .kind = HILUM_EXIT_CACHE, .length = 2 });
	assert_int_equal(v->rip, rip + 2);
	assert_int_equal(v->pending_event, 0);
	do_exit((struct vexit){ .kind = HILUM_EXIT_RDPMC, .length = 2 });
	assert_int_equal(v->rip, rip + 2);
	assert_int_equal(v->pending_event, GP);
	v->vm->status.state = HILUM_VM_RUNNING;
	do_exit((struct vexit){ .kind = HILUM_EXIT_SHUTDOWN });
	assert_int_equal(v->vm->status.crash, HILUM_CRASH_TRIPLE_FAULT);
}

static void invalid_opcode__instruction_the_vm_does_not_have__is_raised(void **state)
{
	(void)state;
	do_exit((struct vexit){ .kind = HILUM_EXIT_INVALID_OPCODE });
	assert_int_equal(v->pending_event, 1ull << 31 | 3 << 8 | 6);
}

static void unknown_exit__crashes_the_vm_alone(void **state)
{
	(void)state;
	v->vm->status.state = HILUM_VM_RUNNING;
	do_exit((struct vexit){ .kind = HILUM_EXIT_OTHER, .detail = 0x1234 });
	assert_int_equal(v->vm->status.crash, HILUM_CRASH_UNKNOWN_EXIT);
	assert_int_equal(v->vm->status.detail, 0x1234);
}

/* ---- Memory and doorbells ---- */

static void lazy_memory__touched__populated_and_counted(void **state)
{
	hpa_t hpa;
	uint64_t bytes;

	(void)state;
	assert_false(nested_pt_lookup(&v->vm->npt, 0x5000, HILUM_MAP_READ, &hpa, &bytes));
	do_exit((struct vexit){ .kind = HILUM_EXIT_MMIO, .memory = { .gpa = 0x5123, .write = true } });
	assert_true(nested_pt_lookup(&v->vm->npt, 0x5000, HILUM_MAP_WRITE, &hpa, &bytes));
	assert_int_equal(v->stats.exits[HILUM_EXIT_PAGE_FAULT], 1);
	assert_int_equal(v->stats.exits[HILUM_EXIT_MMIO], 0);
}

static void lazy_memory__no_frame_left__crashes_the_vm(void **state)
{
	(void)state;
	v->vm->status.state = HILUM_VM_RUNNING;
	failing_after = 0;
	do_exit((struct vexit){ .kind = HILUM_EXIT_MMIO, .memory = { .gpa = 0x1000, .write = true } });
	assert_int_equal(v->vm->status.crash, 0); /* a large frame failed, a small one was there */
	failing_after = 0;
	failing_on = true;
	do_exit((struct vexit){ .kind = HILUM_EXIT_MMIO, .memory = { .gpa = 0x2000, .write = true } });
	assert_int_equal(v->vm->status.crash, HILUM_CRASH_NO_MEMORY);
}

static void doorbell__write__signals_and_goes_on(void **state)
{
	hilum_handle_t event = CALL_HANDLE(HC_EVENT_CREATE, SELF_HANDLE, 0, 70, 0);

	(void)state;
	CALL_OK(HC_VM_BIND_TRAP, vm, event, 0x100, 0x10F);
	v->rip = 0x1000;
	do_exit((struct vexit){ .kind = HILUM_EXIT_PORT, .port = { .port = 0x10F, .size = 2, .next_rip = 0x1001 } });
	assert_int_equal(v->rip, 0x1001);
	assert_int_equal(control->shared->pending[0][1], 1ull << 6);
	assert_true(caller->requests & VCPU_REQUEST_EVENT);
	control->shared->pending[0][1] = 0;
	do_exit((struct vexit){ .kind = HILUM_EXIT_PORT, .port = { .port = 0x110, .size = 2, .next_rip = 0x1002 } });
	assert_int_equal(control->shared->pending[0][1], 0);
	v->gpr[0] = 0x1122334455667788;
	do_exit((struct vexit){ .kind = HILUM_EXIT_PORT, .port = { .port = 0x100, .size = 1, .in = true, .next_rip = 0x1003 } });
	assert_int_equal(v->gpr[0], 0x11223344556677FF);
	assert_int_equal(control->shared->pending[0][1], 0);
}

/* ---- KVM's calls ---- */

static void kvm_call__unknown_or_of_a_plain_vm__refused(void **state)
{
	(void)state;
	v->gpr[0] = 99;
	do_exit((struct vexit){ .kind = HILUM_EXIT_HYPERCALL, .length = 3 });
	assert_int_equal(v->gpr[0], (uint64_t)-1000);
	v->gpr[0] = HILUM_KVM_HC_KICK_CPU;
	v->gpr[1] = UINT64_MAX;
	do_exit((struct vexit){ .kind = HILUM_EXIT_HYPERCALL, .length = 3 });
	assert_int_equal(v->gpr[0], 0);
	v->vm->flags = 0;
	v->gpr[0] = HILUM_KVM_HC_KICK_CPU;
	do_exit((struct vexit){ .kind = HILUM_EXIT_HYPERCALL, .length = 3 });
	assert_int_equal(v->gpr[0], (uint64_t)HILUM_E_UNSUPPORTED);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(msr__unknown__general_protection),
		TEST(msr__of_no_meaning__reads_what_it_did_and_drops_writes),
		TEST(msr__each_number_with_random_values__value_or_general_protection),
		TEST(efer__reserved_bits_and_svme__general_protection),
		TEST(efer__lme_while_paging__general_protection_and_lma_is_the_cpus),
		TEST(pat__each_type__only_those_that_exist),
		TEST(tsc__written__counts_from_there),
		TEST(tsc_aux__without_rdtscp__general_protection),
		TEST(spec_ctrl__offered_bits__reach_the_cpu_and_are_read_back),
		TEST(pred_cmd__offered_or_not__barrier_now_or_general_protection),
		TEST(arch_capabilities__statements_only__shown),
		TEST(machine_check__in_a_guests_memory__costs_that_vm_alone),
		TEST(pvclock__system_time__page_is_written),
		TEST(pvclock__address_without_memory__general_protection),
		TEST(pvclock__vm_without_the_leaves__general_protection),
		TEST(pvclock__wall_clock__boot_time_and_what_passed),
		TEST(cpuid__vm_without_a_table__sees_the_machine),
		TEST(cpuid__full_table__each_entry_found),
		TEST(cpuid__state_of_the_vcpu__shows),
		TEST(xsetbv__combinations__only_valid_ones_reach_the_cpu),
		TEST(cache_and_counter_instructions__from_the_guest__do_nothing_or_fault),
		TEST(invalid_opcode__instruction_the_vm_does_not_have__is_raised),
		TEST(unknown_exit__crashes_the_vm_alone),
		TEST(lazy_memory__touched__populated_and_counted),
		TEST(lazy_memory__no_frame_left__crashes_the_vm),
		TEST(doorbell__write__signals_and_goes_on),
		TEST(kvm_call__unknown_or_of_a_plain_vm__refused),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
