/*
 * What a vCPU's VMCB takes over when it is loaded: PAT, TSC offset and port permissions that changed while it was not.
 *
 * UNIT_SOURCES: svm/vcpu.c
 * UNIT_FLAGS: -iquote tests/unit/fake_svm
 */
#include "tests/unit/cmocka_all.h"
#include "kernel/backend.h"
#include "mm/pool.h"
#include "svm/svm.h"

#include <string.h>

struct svm_features svm_features;
unsigned fake_vmloads, fake_vmsaves;

static uint8_t ports[3 * PAGE_SIZE], msrs[2 * PAGE_SIZE], granted[3 * PAGE_SIZE];
uint8_t *backend_io_bitmap = ports, *backend_msr_bitmap = msrs;

static struct vmcb vmcb;
static struct cpu cpu;
static struct vm vm;
static struct vcpu vcpu, *const v = &vcpu;

void *vm_alloc_pages(struct vm *of, unsigned order)
{
	assert_ptr_equal(of, &vm);
	assert_int_equal(order, 0);
	return &vmcb;
}

void pool_free_page(void *page)
{
	assert_ptr_equal(page, &vmcb);
}

void backend_load_vcpu(struct vcpu *w)
{
	assert_ptr_equal(w, v);
}

void backend_unload_vcpu(struct vcpu *w)
{
	assert_ptr_equal(w, v);
}

static unsigned debug_loads;

void backend_load_debug(const struct vcpu *w)
{
	debug_loads++;
	assert_ptr_equal(w, v);
}

void backend_unload_debug(struct vcpu *w)
{
	assert_ptr_equal(w, v);
}

static int set_up(void **state)
{
	(void)state;
	memset(&vmcb, 0, sizeof(vmcb));
	vm = (struct vm){ .id = 1 };
	vcpu = (struct vcpu){ .vm = &vm, .cpu = &cpu, .pat = 0x0007040600070406ull, .controls_stale = true };
	assert_int_equal(svm_create_vcpu(v), STATUS_OK);
	return 0;
}

static void load__first_time__takes_all_controls(void **state)
{
	(void)state;
	v->apic.tsc_offset = 0 - 12345ull;
	svm_load(v);
	assert_int_equal(vmcb.g_pat, 0x0007040600070406ull);
	assert_int_equal(vmcb.tsc_offset, 0 - 12345ull);
	assert_int_equal(vmcb.iopm_base_pa, pool_hpa(ports));
	assert_false(v->controls_stale);
}

static void load__controls_changed_while_unloaded__taken_over(void **state)
{
	(void)state;
	svm_load(v);
	svm_unload(v);
	v->pat = 0x0606060606060606ull;
	v->apic.tsc_offset = 777;
	vm.io_bitmap = granted;
	v->controls_stale = true;
	vmcb.clean = CLEAN_ALL;
	svm_load(v);
	assert_int_equal(vmcb.g_pat, 0x0606060606060606ull);
	assert_int_equal(vmcb.tsc_offset, 777);
	assert_int_equal(vmcb.iopm_base_pa, pool_hpa(granted));
	assert_int_equal(vmcb.clean, 0); /* or the CPU would go on with what it has cached */
	assert_false(v->controls_stale);
}

static void load__and_unload__switch_the_hidden_state_once_each(void **state)
{
	unsigned loads = fake_vmloads, saves = fake_vmsaves;

	(void)state;
	svm_load(v);
	assert_int_equal(fake_vmloads, loads + 1);
	assert_int_equal(fake_vmsaves, saves);
	svm_unload(v);
	assert_int_equal(fake_vmloads, loads + 1);
	assert_int_equal(fake_vmsaves, saves + 1);
}

static void load__debugged__what_it_stops_for_is_intercepted(void **state)
{
	const uint32_t always = INTERCEPT(VMEXIT_EXCP(1)) | INTERCEPT(VMEXIT_EXCP(17)) | INTERCEPT(VMEXIT_EXCP(18));
	uint32_t cr;

	(void)state;
	svm_load(v);
	cr = vmcb.intercept_cr;
	assert_int_equal(vmcb.intercept_exceptions, always);
	assert_int_equal(cr & INTERCEPT(VMEXIT_CR_WRITE(3)), 0);
	svm_unload(v);
	v->debug = HILUM_DEBUG_OPCODE | HILUM_DEBUG_CR3;
	v->controls_stale = true;
	svm_load(v);
	assert_int_equal(vmcb.intercept_exceptions, always | 1u << 6);
	assert_int_equal(vmcb.intercept_cr, cr | INTERCEPT(VMEXIT_CR_WRITE(3)));
	svm_unload(v);
	v->debug = 0;
	v->controls_stale = true;
	svm_load(v);
	assert_int_equal(vmcb.intercept_exceptions, always);
	assert_int_equal(vmcb.intercept_cr, cr);
}

static void load__debugger_has_the_debug_registers__loaded_and_intercepted(void **state)
{
	(void)state;
	v->debug = HILUM_DEBUG_DR;
	vmcb.dr7 = 0x401;
	vmcb.intercept_dr = 0; /* as set_state leaves it */
	debug_loads = 0;
	svm_load(v);
	assert_int_equal(debug_loads, 1);
	assert_int_equal(vmcb.intercept_dr, ~0u);
	svm_unload(v);
	svm_load(v);
	assert_int_equal(debug_loads, 2);
	assert_int_equal(vmcb.intercept_dr, ~0u);
	svm_unload(v);
	v->debug = 0;
	vmcb.dr7 = 0x400;
	vmcb.intercept_dr = 0;
	svm_load(v);
	assert_int_equal(vmcb.intercept_dr, 0);
	svm_unload(v);
	assert_int_equal(vmcb.intercept_dr, INTERCEPT_DR_ADDRESSES);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(load__first_time__takes_all_controls, set_up),
		cmocka_unit_test_setup(load__controls_changed_while_unloaded__taken_over, set_up),
		cmocka_unit_test_setup(load__and_unload__switch_the_hidden_state_once_each, set_up),
		cmocka_unit_test_setup(load__debugged__what_it_stops_for_is_intercepted, set_up),
		cmocka_unit_test_setup(load__debugger_has_the_debug_registers__loaded_and_intercepted, set_up),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
