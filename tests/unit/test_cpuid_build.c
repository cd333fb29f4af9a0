/*
 * The CPUID tables of guests: nothing that is not virtualised, and what the kernel takes.
 *
 * UNIT_SOURCES: drivers-vm/control/cpuid_build.c
 */
#include "tests/unit/cmocka_all.h"

#include "drivers-vm/control/control.h"

#define ALL_COMPONENTS 0xE7u

static struct hilum_cpuid_entry table[HILUM_CPUID_MAX];
static unsigned count;

/* A machine with every bit there is. */
static void every_bit(uint32_t leaf, uint32_t subleaf, uint32_t r[4])
{
	(void)subleaf;
	r[0] = leaf == 0 ? 0x20 : leaf == 0x80000000 ? 0x80000020 : 0xFFFFFFFF;
	r[1] = r[2] = r[3] = 0xFFFFFFFF;
}

static void nothing(uint32_t leaf, uint32_t subleaf, uint32_t r[4])
{
	every_bit(leaf, subleaf, r);
	if (leaf != 0 && leaf != 0x80000000)
		r[0] = r[1] = r[2] = r[3] = 0;
}

static const struct hilum_cpuid_entry *entry(uint32_t leaf, uint32_t subleaf)
{
	for (unsigned i = 0; i < count; i++)
		if (table[i].leaf == leaf && table[i].subleaf == subleaf)
			return &table[i];
	fail_msg("no leaf %x.%x", leaf, subleaf);
	return NULL;
}

static void cpuid_build__machine_with_every_bit__hides_what_is_not_virtualised(void **state)
{
	(void)state;
	count = cpuid_build(every_bit, ALL_COMPONENTS, 2, true, 1000000000, table);
	const struct hilum_cpuid_entry *one = entry(1, 0), *seven = entry(7, 0), *ext = entry(0x80000001, 0), *xsave = entry(0xD, 0);
	assert_int_equal(one->ecx & (1u << 3 | 1u << 5 | 1u << 6), 0);                                    /* MONITOR VMX SMX */
	assert_int_equal(one->ecx >> 31, 1);                                                              /* hypervisor */
	assert_int_equal(one->edx & (1u << 7 | 1u << 12 | 1u << 14 | 1u << 21 | 1u << 22 | 1u << 29), 0); /* MCE MTRR MCA DS ACPI TM */
	assert_int_equal(seven->eax, 0);                                                                  /* no further subleaves */
	assert_int_equal(seven->ebx & (1u << 2 | 1u << 4 | 1u << 11 | 1u << 12 | 1u << 25), 0);           /* SGX HLE RTM PQM PT */
	assert_int_equal(seven->ecx & (1u << 3 | 1u << 7 | 1u << 16), 0);                                 /* PKU SHSTK LA57 */
	assert_int_equal(seven->edx & (1u << 20 | 1u << 28 | 1u << 30), 0); /* IBT L1D_FLUSH CORE_CAPABILITIES */
	assert_int_equal(ext->ecx & (1u << 2 | 1u << 10 | 1u << 12), 0);    /* SVM IBS SKINIT */
	assert_int_equal(entry(0x80000007, 0)->edx, 1u << 8);
	assert_int_equal(xsave->eax, ALL_COMPONENTS);
	assert_int_equal(xsave->edx, 0);
	assert_int_equal(entry(0xD, 1)->eax, 7); /* not XSAVES */
	assert_int_equal(entry(0, 0)->eax, 0xD);
	assert_int_equal(entry(0x80000000, 0)->eax, 0x80000008);
}

static void cpuid_build__machine_with_nothing__has_the_local_apic(void **state)
{
	(void)state;
	count = cpuid_build(nothing, 0, 1, false, 1000000000, table);
	assert_int_equal(entry(1, 0)->ecx, 1u << 21 | 1u << 24 | 1u << 31);
	assert_int_equal(entry(1, 0)->edx, 1u << 9);
}

static void cpuid_build__no_xsave__leaf_13_is_empty(void **state)
{
	(void)state;
	count = cpuid_build(every_bit, 0, 1, false, 1000000000, table);
	for (uint32_t subleaf = 0; subleaf < 2; subleaf++) {
		const struct hilum_cpuid_entry *e = entry(0xD, subleaf);
		assert_int_equal(e->eax | e->ebx | e->ecx | e->edx, 0);
	}
}

/* As HC_VM_SET_CPUID wants it. */
static void cpuid_build__largest_table__is_sorted_and_fits(void **state)
{
	(void)state;
	count = cpuid_build(every_bit, ALL_COMPONENTS, HILUM_MAX_VCPUS, true, 1000000000, table);
	assert_true(count <= HILUM_CPUID_MAX);
	for (unsigned i = 1; i < count; i++)
		assert_true(table[i - 1].leaf < table[i].leaf ||
		            (table[i - 1].leaf == table[i].leaf && table[i - 1].subleaf < table[i].subleaf));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(cpuid_build__machine_with_every_bit__hides_what_is_not_virtualised),
		cmocka_unit_test(cpuid_build__machine_with_nothing__has_the_local_apic),
		cmocka_unit_test(cpuid_build__no_xsave__leaf_13_is_empty),
		cmocka_unit_test(cpuid_build__largest_table__is_sorted_and_fits),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
