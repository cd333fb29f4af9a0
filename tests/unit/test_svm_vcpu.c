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

#define NPT_ROOT 0x1234000ull

static bool out_of_memory;
static struct vmcb vmcb;
static struct cpu cpu;
static struct vm vm;
static struct vcpu vcpu, *const v = &vcpu;

void *vm_alloc_pages(struct vm *of, unsigned order)
{
	assert_ptr_equal(of, &vm);
	assert_int_equal(order, 0);
	return out_of_memory ? NULL : &vmcb;
}

void pool_free_page(void *page)
{
	assert_ptr_equal(page, &vmcb);
}

static unsigned vcpu_loads, debug_unloads;

void backend_load_vcpu(struct vcpu *w)
{
	vcpu_loads++;
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
	debug_unloads++;
	assert_ptr_equal(w, v);
}

static int set_up(void **state)
{
	(void)state;
	memset(&vmcb, 0, sizeof(vmcb));
	vm = (struct vm){ .id = 1, .npt.root = NPT_ROOT };
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

/* APM vol. 2, 15.9 Instruction Intercepts: what a guest could reach the machine by, or another guest, instead of its own. */
static void create__what_reaches_past_the_guest__is_intercepted(void **state)
{
	const uint32_t misc1 = INTERCEPT(VMEXIT_INTR) | INTERCEPT(VMEXIT_NMI) | INTERCEPT(VMEXIT_CPUID) | INTERCEPT(VMEXIT_INVD) |
	                       INTERCEPT(VMEXIT_HLT) | INTERCEPT(VMEXIT_INVLPGA) | INTERCEPT(VMEXIT_IOIO) | INTERCEPT(VMEXIT_MSR) |
	                       INTERCEPT(VMEXIT_SHUTDOWN) | INTERCEPT(VMEXIT_RDPMC);
	const uint32_t misc2 = INTERCEPT(VMEXIT_VMRUN) | INTERCEPT(VMEXIT_VMMCALL) | INTERCEPT(VMEXIT_VMLOAD) | INTERCEPT(VMEXIT_VMSAVE) |
	                       INTERCEPT(VMEXIT_STGI) | INTERCEPT(VMEXIT_CLGI) | INTERCEPT(VMEXIT_SKINIT) | INTERCEPT(VMEXIT_XSETBV) |
	                       INTERCEPT(VMEXIT_MONITOR) | INTERCEPT(VMEXIT_MWAIT) | INTERCEPT(VMEXIT_WBINVD);

	(void)state;
	assert_int_equal(vmcb.intercept_misc1 & misc1, misc1);
	assert_int_equal(vmcb.intercept_misc2 & misc2, misc2);
	assert_int_equal(vmcb.intercept_dr, INTERCEPT_DR_ADDRESSES);
	assert_int_equal(vmcb.v_intr_masking, V_INTR_MASKING); /* else its flag would hold back the machine's interrupts */
	assert_int_equal(vmcb.np_enable, NP_ENABLE);
	assert_int_equal(vmcb.n_cr3, NPT_ROOT);
	assert_int_equal(vmcb.msrpm_base_pa, pool_hpa(msrs));
	assert_int_equal(v->backend_hpa, pool_hpa(&vmcb));
}

static void create__cpu_has_the_pause_filter__loops_of_pause_exit(void **state)
{
	(void)state;
	assert_int_equal(vmcb.intercept_misc1 & INTERCEPT(VMEXIT_PAUSE), 0);
	svm_features.pause_filter = true;
	assert_int_equal(svm_create_vcpu(v), STATUS_OK);
	assert_true(vmcb.intercept_misc1 & INTERCEPT(VMEXIT_PAUSE));
	assert_true(vmcb.pause_filter_count > 1);
	assert_int_equal(vmcb.pause_filter_threshold, 0);
	svm_features.pause_threshold = true;
	assert_int_equal(svm_create_vcpu(v), STATUS_OK);
	assert_true(vmcb.pause_filter_threshold > 0);
	memset(&svm_features, 0, sizeof(svm_features));
}

static void create__no_memory__is_refused(void **state)
{
	(void)state;
	out_of_memory = true;
	assert_int_equal(svm_create_vcpu(v), STATUS_NO_MEMORY);
	out_of_memory = false;
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
	vmcb.clean = CLEAN_ALL;
	svm_write_offset_and_pat(v);
	assert_int_equal(vmcb.clean, 0);
}

static void load__and_unload__switch_the_hidden_state_once_each(void **state)
{
	unsigned loads, saves;

	(void)state;
	svm_load(v); /* with the controls, so that the next one can do without them */
	svm_unload(v);
	loads = fake_vmloads, saves = fake_vmsaves;
	vcpu_loads = 0;
	vmcb.clean = CLEAN_ALL;
	svm_load(v);
	assert_int_equal(vcpu_loads, 1);
	assert_int_equal(vmcb.clean, 0); /* another VMCB may have run on this core, or this one on another */
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
	debug_unloads = 0;
	debug_loads = 0;
	svm_load(v);
	assert_int_equal(debug_loads, 1);
	assert_int_equal(vmcb.intercept_dr, ~0u);
	svm_unload(v);
	assert_int_equal(debug_unloads, 1);
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
		cmocka_unit_test_setup(create__what_reaches_past_the_guest__is_intercepted, set_up),
		cmocka_unit_test_setup(create__cpu_has_the_pause_filter__loops_of_pause_exit, set_up),
		cmocka_unit_test_setup(create__no_memory__is_refused, set_up),
		cmocka_unit_test_setup(load__first_time__takes_all_controls, set_up),
		cmocka_unit_test_setup(load__controls_changed_while_unloaded__taken_over, set_up),
		cmocka_unit_test_setup(load__and_unload__switch_the_hidden_state_once_each, set_up),
		cmocka_unit_test_setup(load__debugged__what_it_stops_for_is_intercepted, set_up),
		cmocka_unit_test_setup(load__debugger_has_the_debug_registers__loaded_and_intercepted, set_up),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
