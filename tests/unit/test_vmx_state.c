/*
 * State between the VMCS and the neutral forms: bits that the guest does not own, segments, and where the local APIC's state is.
 *
 * UNIT_SOURCES: vmx/state.c vmx/apic.c kernel/vlapic.c kernel/vlapic_ipi.c kernel/vlapic_timer.c
 * UNIT_FLAGS: -iquote tests/unit/fake_vmx
 */
#include "tests/unit/cmocka_all.h"
#include "arch/x86_64/features.h"
#include "kernel/vlapic_internal.h"
#include "vmx/vmx.h"

#include <string.h>

uint8_t *backend_msr_bitmap;
uint64_t fake_vmcs[0x8000];
unsigned fake_reads, fake_writes, fake_invepts, fake_invvpids;
struct vmx_controls vmx_controls;
struct nested_pt_format nested_pt_format;

static struct vmx_vcpu backend;
static struct vm vm;
static struct vcpu vcpu, *const v = &vcpu;
static struct hilum_vcpu_state state;
static uint32_t apic_page[1024];
static unsigned borrowed;

bool vmx_borrow(struct vcpu *w)
{
	assert_ptr_equal(w, v);
	borrowed++;
	return true;
}

void vmx_return(struct vcpu *w, bool was_borrowed)
{
	assert_ptr_equal(w, v);
	assert_true(was_borrowed);
	borrowed--;
}

enum status nested_pt_install(struct nested_pt *npt, gpa_t gpa, hpa_t hpa, unsigned order, unsigned rights)
{
	(void)npt;
	(void)gpa;
	(void)hpa;
	(void)order;
	(void)rights;
	return STATUS_NO_MEMORY;
}

void nested_pt_unmap(struct nested_pt *npt, gpa_t gpa, uint64_t bytes, struct nested_pt_garbage *garbage)
{
	(void)npt;
	(void)gpa;
	(void)bytes;
	(void)garbage;
}

void vlapic_eoi_level(struct vlapic *a, uint8_t vector)
{
	(void)a;
	(void)vector;
}

void vlapic_notify(struct vlapic *a, enum vlapic_notice what)
{
	(void)a;
	(void)what;
}

void vlapic_timer_set(struct vlapic *a, uint64_t host_tsc)
{
	(void)a;
	(void)host_tsc;
}

void vlapic_timer_cancel(struct vlapic *a)
{
	(void)a;
}

static int set_up(void **unused)
{
	(void)unused;
	memset(fake_vmcs, 0, sizeof(fake_vmcs));
	memset(&backend, 0, sizeof(backend));
	memset(&vcpu, 0, sizeof(vcpu));
	memset(&state, 0, sizeof(state));
	memset(apic_page, 0, sizeof(apic_page));
	vmx_controls = (struct vmx_controls){ .secondary = SECONDARY_INTERRUPT_DELIVERY,
		                              .entry = ENTRY_LOAD_PAT,
		                              .cr0_mask = CR0_NE | CR0_CD | CR0_NW,
		                              .cr0_ones = CR0_NE,
		                              .cr4_mask = ~(uint64_t)(CR4_PAE | CR4_PGE),
		                              .cr4_ones = 1u << 13 | CR4_MCE };
	vcpu.backend = &backend;
	vcpu.vm = &vm;
	backend.apic_page = apic_page;
	backend.apic_in_page = true;
	borrowed = 0;
	return 0;
}

static int tear_down(void **unused)
{
	(void)unused;
	return borrowed != 0;
}

/* ---- The local APIC ---- */

/* In service 49, requested 65, TPR 20h; the CPU has them. */
static void fill_page(void)
{
	apic_page[(APIC_ISR + 1) * 4] = 1u << 17;
	apic_page[(APIC_IRR + 2) * 4] = 1u << 1;
	apic_page[APIC_TPR * 4] = 0x20;
	v->apic.ppr = 0xFF;
}

static void get__apic__stays_with_the_cpu(void **unused)
{
	(void)unused;
	fill_page();
	vmx_get_state(v, &state, HILUM_STATE_SEGMENTS | HILUM_STATE_CR);
	assert_true(backend.apic_in_page);
	assert_int_equal(v->apic.tpr, 0);
}

static void set__any_state__apic_is_kept(void **unused)
{
	(void)unused;
	fill_page();
	vmx_set_state(v, &state, HILUM_STATE_EVENTS); /* it may be halted now, and wait for what has been requested */
	assert_false(backend.apic_in_page);
	assert_int_equal(v->apic.tpr, 0x20);
	assert_int_equal(vlapic_pending(&v->apic), 65);
	assert_int_equal(v->apic.isrv, 49);
}

static void set__then_reset__what_the_cpu_had_is_forgotten(void **unused)
{
	(void)unused;
	fill_page();
	vmx_set_state(v, &state, HILUM_STATE_CR);
	memset(v->apic.irr, 0, sizeof(v->apic.irr)); /* as vlapic_reset does now */
	memset(v->apic.isr, 0, sizeof(v->apic.isr));
	v->apic.isrv = 0;
	v->apic.tpr = 0x50;
	vmx_commit_apic(v);
	assert_int_equal(apic_page[(APIC_ISR + 1) * 4], 0);
	assert_int_equal(apic_page[(APIC_IRR + 2) * 4], 0);
	assert_int_equal(apic_page[APIC_TPR * 4], 0x50);
	assert_int_equal(fake_vmcs[VMCS_GUEST_INTERRUPT_STATUS], 0);
}

/* ---- Control registers ---- */

static void control__bits_of_vmx__are_set_and_not_seen(void **unused)
{
	(void)unused;
	state.cr0 = CR0_PE | CR0_PG | CR0_CD;
	state.cr4 = CR4_PAE;
	state.efer = EFER_LME;
	vmx_set_state(v, &state, HILUM_STATE_CR);
	assert_int_equal(fake_vmcs[VMCS_GUEST_CR0], CR0_PE | CR0_PG | CR0_NE); /* caches stay on */
	assert_int_equal(fake_vmcs[VMCS_GUEST_CR4], CR4_PAE | 1u << 13 | CR4_MCE);
	assert_int_equal(fake_vmcs[VMCS_GUEST_EFER], EFER_LME | EFER_LMA);
	assert_int_equal(fake_vmcs[VMCS_ENTRY_CONTROLS], ENTRY_LOAD_PAT | ENTRY_IA32E);
	fake_vmcs[VMCS_GUEST_CR4] |= CR4_PGE; /* the guest's own */
	vmx_get_state(v, &state, HILUM_STATE_CR);
	assert_int_equal(state.cr0, CR0_PE | CR0_PG | CR0_CD);
	assert_int_equal(state.cr4, CR4_PAE | CR4_PGE);
	vmx_fetch_paging(v);
	assert_int_equal(v->paging.cr0, CR0_PE | CR0_PG | CR0_CD);
	assert_int_equal(v->paging.cr4, CR4_PAE | CR4_PGE);
}

static void control__pae_paging__its_four_entries_are_to_be_read(void **unused)
{
	static const struct {
		uint64_t cr0, cr4, efer;
		bool stale;
	} table[] = {
		{ CR0_PE | CR0_PG, CR4_PAE, 0, true },
		{ CR0_PE | CR0_PG, CR4_PAE, EFER_LME, false },
		{ CR0_PE | CR0_PG, 0, 0, false },
		{ CR0_PE, CR4_PAE, 0, false },
	};

	(void)unused;
	for (unsigned i = 0; i < ARRAY_SIZE(table); i++) {
		state.cr0 = table[i].cr0;
		state.cr4 = table[i].cr4;
		state.efer = table[i].efer;
		vmx_set_state(v, &state, HILUM_STATE_CR);
		assert_int_equal(backend.pdptes_stale, table[i].stale);
	}
}

/* ---- Segments ---- */

static void segments__set_and_got__the_same(void **unused)
{
	const struct hilum_segment code = { 0x1000, 0xFFFFFFFF, 0x08, 0xA9B }, none = { 0, 0, 0, 0 };

	(void)unused;
	state.cs = code;
	state.es = none;
	state.tr = (struct hilum_segment){ 0x2000, 0x67, 0x28, 0x89 };
	vmx_set_state(v, &state, HILUM_STATE_SEGMENTS);
	assert_int_equal(fake_vmcs[VMCS_GUEST_ACCESS(SEGMENT_CS)], 0xA09B);
	assert_int_equal(fake_vmcs[VMCS_GUEST_ACCESS(0)], ACCESS_UNUSABLE);
	assert_int_equal(fake_vmcs[VMCS_GUEST_ACCESS(SEGMENT_TR)], 0x8B); /* busy, as an entry wants it */
	memset(&state, 0xEE, sizeof(state));
	vmx_get_state(v, &state, HILUM_STATE_SEGMENTS);
	assert_memory_equal(&state.cs, &code, sizeof(code));
	assert_memory_equal(&state.es, &none, sizeof(none));
}

/* From the ABI's first register behind the segments to the last of the backend's; DR0 to DR3 and XCR0 are the kernel's. */
static void registers__set_and_got__the_same(void **unused)
{
	struct hilum_vcpu_state got = { 0 };
	uint64_t *word = &state.gdtr_base, *last = &state.sysenter_eip;

	(void)unused;
	for (uint64_t i = 1; word <= last; word++, i++)
		*word = i << 32 | 0x100 << i % 4 | i;
	state.cr0 = CR0_PE;
	state.cr4 = state.efer = state.xcr0 = state.sfmask = 0;
	memset(state.dr, 0, sizeof(state.dr));
	vmx_set_state(v, &state, HILUM_STATE_ALL);
	vmx_get_state(v, &got, HILUM_STATE_ALL);
	assert_memory_equal(&got.gdtr_base, &state.gdtr_base, (size_t)(last + 1 - &state.gdtr_base) * sizeof(*last));
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)

/* Nothing is left of the life before; groups that are not named stay. */
static void set__state_of_another_life__is_all_that_counts(void **unused)
{
	struct hilum_vcpu_state got = { 0 }, again = { 0 };

	(void)unused;
	fill_page();
	state.cr0 = CR0_PE;
	state.cr3 = 0x3000;
	state.dr7 = 0x403;
	state.star = 7;
	state.gdtr_limit = 0x67;
	state.cs.limit = 9;
	v->gpr[4] = 0x7770;
	v->asid_generation = 5;
	fake_vmcs[VMCS_ENTRY_EVENT] = fake_vmcs[VMCS_GUEST_PENDING_DEBUG] = 0xEE;
	vmx_set_state(v, &state, HILUM_STATE_ALL);
	assert_int_equal(v->asid_generation, 0);
	assert_int_equal(fake_vmcs[VMCS_ENTRY_EVENT] | fake_vmcs[VMCS_GUEST_PENDING_DEBUG], 0);
	assert_int_equal(fake_vmcs[VMCS_GUEST_RSP], 0x7770);
	assert_int_equal(fake_vmcs[VMCS_CR0_SHADOW], state.cr0);
	assert_int_equal(fake_vmcs[VMCS_CR4_SHADOW], state.cr4);
	vmx_get_state(v, &got, HILUM_STATE_ALL);
	assert_int_equal(got.cs.limit, 9);
	vmx_set_state(v, &again, HILUM_STATE_GPR);
	vmx_get_state(v, &again, HILUM_STATE_ALL);
	assert_memory_equal(&again, &got, sizeof(got));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(get__apic__stays_with_the_cpu),
		TEST(set__any_state__apic_is_kept),
		TEST(set__then_reset__what_the_cpu_had_is_forgotten),
		TEST(control__bits_of_vmx__are_set_and_not_seen),
		TEST(control__pae_paging__its_four_entries_are_to_be_read),
		TEST(segments__set_and_got__the_same),
		TEST(registers__set_and_got__the_same),
		TEST(set__state_of_another_life__is_all_that_counts),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
