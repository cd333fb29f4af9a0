/*
 * KVM's paravirtual end of interrupt: when it is offered, what the local APIC holds after the guest has made use of it or not, and that
 * the guest's word is its own again outside of a run.
 */
/* clang-format off */
/* UNIT_SOURCES: build/unit/kernel_fake.a */
/* UNIT_FLAGS: @tests/unit/fake_kernel/fake.flags @tests/unit/fake_kernel/fake.wrap */
/* clang-format on */
#include "tests/unit/fake_kernel/fake.h"

#include "kernel/pvclock.h"
#include "kernel/pveoi.h"

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

#define IF           0x200ull
#define INTERRUPT(n) (1ull << 31 | (n))
#define WORD         0x1FFCu /* the last one of a page */
#define RAM_BYTES    (2 * MIB)

static hilum_handle_t vm;
static struct vcpu *v;
static bool window;

static uint32_t *word(void)
{
	uint64_t bytes;
	hpa_t hpa;

	assert_true(nested_pt_lookup(&v->vm->npt, WORD, HILUM_MAP_READ, &hpa, &bytes));
	return (uint32_t *)(fake_ram + hpa);
}

static void tell_address(uint64_t value)
{
	assert_int_equal(pvclock_write(v, &v->kvm[KVM_PV_EOI], value), STATUS_OK);
}

static int set_up(void **state)
{
	(void)state;
	fake_boot(1);
	vm = make_vm(HILUM_VM_KVM_LEAVES);
	v = make_vcpu(vm, 0, 0, NULL);
	v->stopped = 0;
	v->rflags = IF | 2;
	vlapic_mmio_write(&v->apic, 0xF0, 0x1FF);
	hilum_handle_t memory = CALL_HANDLE(HC_MEMORY_CREATE, HOST_HANDLE, RAM_BYTES, HILUM_MEMORY_LAZY);
	CALL_OK(HC_MEMORY_MAP, vm, memory, 0, 0, RAM_BYTES, HILUM_MAP_READ | HILUM_MAP_WRITE);
	tell_address(WORD | 1);
	v->requests = 0;
	return 0;
}

static int tear_down(void **state)
{
	(void)state;
	v->requests = 0;
	fake_check_clean();
	return 0;
}

static void interrupt(unsigned vector, uint32_t flags)
{
	assert_int_equal(vlapic_deliver_msi(&v->vm->bus, 0xFEE00000, vector | flags), STATUS_OK);
}

static uint64_t enter(void)
{
	return vcpu_next_event(v, (v->rflags & IF) && !v->shadow, &window);
}

static void offer__edge_triggered__ended_without_an_exit(void **state)
{
	(void)state;
	interrupt(0x40, 0);
	assert_int_equal(enter(), INTERRUPT(0x40));
	assert_int_equal(*word(), 1);
	*word() = 0; /* the guest does */
	pveoi_after_exit(v);
	assert_int_equal(v->apic.isrv, 0);
	assert_int_equal(v->apic.ppr, 0);
	assert_null(v->eoi_word);
	pveoi_after_exit(v); /* nothing more to collect */
	interrupt(0x31, 0);
	assert_int_equal(enter(), INTERRUPT(0x31));
}

static void offer__not_taken__withdrawn_and_end_comes_by_the_register(void **state)
{
	(void)state;
	interrupt(0x40, 0);
	assert_int_equal(enter(), INTERRUPT(0x40));
	pveoi_after_exit(v);
	assert_int_equal(*word(), 0); /* the guest finds no offer, and writes to EOI */
	assert_int_equal(v->apic.isrv, 0x40);
	interrupt(0x31, 0);
	assert_int_equal(enter(), 0);
	vlapic_eoi(&v->apic);
	assert_int_equal(enter(), INTERRUPT(0x31));
}

static void offer__in_a_handler__ends_the_inner_one(void **state)
{
	(void)state;
	interrupt(0x40, 0);
	assert_int_equal(enter(), INTERRUPT(0x40));
	pveoi_after_exit(v);
	interrupt(0x80, 0);
	assert_int_equal(enter(), INTERRUPT(0x80));
	assert_int_equal(*word(), 1);
	*word() = 0;
	pveoi_after_exit(v);
	assert_int_equal(v->apic.isrv, 0x40);
	vlapic_eoi(&v->apic);
	assert_int_equal(v->apic.isrv, 0);
}

static void offer__level_triggered_or_another_waits__not_made(void **state)
{
	(void)state;
	interrupt(0x40, 1u << 15 | 1u << 14);
	assert_int_equal(enter(), INTERRUPT(0x40));
	assert_int_equal(*word(), 0);
	assert_null(v->eoi_word);
	vlapic_eoi(&v->apic);
	v->requests = 0;
	interrupt(0x50, 0);
	interrupt(0x51, 0);
	assert_int_equal(enter(), INTERRUPT(0x51));
	assert_int_equal(*word(), 0); /* its end lets 50h in: it must exit */
	vlapic_eoi(&v->apic);
	assert_int_equal(enter(), INTERRUPT(0x50));
	assert_int_equal(*word(), 1);
	*word() = 0;
	pveoi_after_exit(v);
	assert_int_equal(v->apic.isrv, 0);
}

static void offer__no_address_or_memory_taken_away__not_made(void **state)
{
	(void)state;
	tell_address(WORD); /* bit 0 clear: off */
	interrupt(0x40, 0);
	assert_int_equal(enter(), INTERRUPT(0x40));
	assert_null(v->eoi_word);
	vlapic_eoi(&v->apic);
	tell_address(WORD | 1);
	CALL_OK(HC_MEMORY_UNMAP, vm, 0, RAM_BYTES);
	interrupt(0x40, 0);
	assert_int_equal(enter(), INTERRUPT(0x40));
	assert_null(v->eoi_word);
	vlapic_eoi(&v->apic);
}

static void offer__after_init__not_made(void **state)
{
	(void)state;
	vcpu_reset(v, false);
	v->rflags = IF | 2;
	vlapic_mmio_write(&v->apic, 0xF0, 0x1FF);
	interrupt(0x40, 0);
	assert_int_equal(enter(), INTERRUPT(0x40));
	assert_int_equal(*word(), 0);
	vlapic_eoi(&v->apic);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(offer__edge_triggered__ended_without_an_exit),     TEST(offer__not_taken__withdrawn_and_end_comes_by_the_register),
		TEST(offer__in_a_handler__ends_the_inner_one),          TEST(offer__level_triggered_or_another_waits__not_made),
		TEST(offer__no_address_or_memory_taken_away__not_made), TEST(offer__after_init__not_made),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
