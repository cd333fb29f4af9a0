/*
 * Which defences root mode chooses, over what CPUs of both makers say of themselves; and what it then does at a change of VM. The rows are
 * CPUs as their makers' tables and Linux's list of affected ones have them.
 *
 * UNIT_SOURCES: arch/x86_64/speculation.c
 * UNIT_FLAGS: -iquote tests/unit/fake_kernel
 */
#include "cmocka_all.h"

#include <string.h>

#include "arch/x86_64/cpu.h"
#include "arch/x86_64/features.h"
#include "arch/x86_64/speculation.h"

#include <hilum/defences.h>

struct hilum_host_health host_health;
struct cpu_features cpu_features;
struct cpu *fake_self;
uint64_t fake_tsc, fake_msr_value, fake_xcr0, fake_port_value;
uint32_t fake_msr, fake_port;
extern uint8_t speculation_fills; /* otherwise for assembly only */
static struct cpu_arch core;
static const struct hilum_host_health *machine;

#define SKYLAKE_EDX (HILUM_LEAF7_MD_CLEAR | HILUM_LEAF7_IBRS | HILUM_LEAF7_STIBP | HILUM_LEAF7_L1D | HILUM_LEAF7_SSBD)
#define ICE_LAKE_ARCH \
	(HILUM_ARCH_RDCL_NO | HILUM_ARCH_IBRS_ALL | HILUM_ARCH_SKIP_L1D | HILUM_ARCH_MDS_NO | HILUM_ARCH_TAA_NO | HILUM_ARCH_PSCHANGE_NO)

static const struct {
	const char *name;
	struct hilum_host_health says;
	uint32_t defences;
	uint64_t guest_bits;
} cpus[] = {
	{ "Intel without new microcode", { .threads = 2 }, HILUM_DEFENCE_RSB, 0 },
	{ "Skylake",
	  { .threads = 2, .leaf7_edx = SKYLAKE_EDX },
	  HILUM_DEFENCE_IBPB | HILUM_DEFENCE_L1D_FLUSH | HILUM_DEFENCE_VERW | HILUM_DEFENCE_RSB | HILUM_DEFENCE_SSBD,
	  7 },
	{ "Cascade Lake",
	  { .leaf7_edx = SKYLAKE_EDX | HILUM_LEAF7_ARCH,
	    .arch_capabilities = HILUM_ARCH_RDCL_NO | HILUM_ARCH_IBRS_ALL | HILUM_ARCH_SKIP_L1D | HILUM_ARCH_MDS_NO },
	  HILUM_DEFENCE_IBRS | HILUM_DEFENCE_IBPB | HILUM_DEFENCE_VERW | HILUM_DEFENCE_RSB | HILUM_DEFENCE_SSBD,
	  7 },
	{ "Ice Lake",
	  { .leaf7_edx = SKYLAKE_EDX | HILUM_LEAF7_ARCH, .arch_capabilities = ICE_LAKE_ARCH | HILUM_ARCH_FB_CLEAR },
	  HILUM_DEFENCE_IBRS | HILUM_DEFENCE_IBPB | HILUM_DEFENCE_VERW | HILUM_DEFENCE_RSB | HILUM_DEFENCE_SSBD,
	  7 },
	{ "one of Intel's without known defects",
	  { .leaf7_edx = SKYLAKE_EDX | HILUM_LEAF7_ARCH, .arch_capabilities = ICE_LAKE_ARCH | HILUM_ARCH_PBRSB_NO },
	  HILUM_DEFENCE_IBRS | HILUM_DEFENCE_IBPB | HILUM_DEFENCE_SSBD,
	  7 },
	{ "one of Intel's that needs no L1D flush, though it has the fault", /* ARCH_CAPABILITIES bit 3: a hypervisor below flushes */
	  { .leaf7_edx = HILUM_LEAF7_L1D | HILUM_LEAF7_ARCH, .arch_capabilities = HILUM_ARCH_SKIP_L1D },
	  HILUM_DEFENCE_RSB,
	  0 },
	{ "Gracemont",
	  { .leaf7_edx = SKYLAKE_EDX | HILUM_LEAF7_ARCH, .arch_capabilities = ICE_LAKE_ARCH | HILUM_ARCH_PBRSB_NO | HILUM_ARCH_RFDS_CLEAR },
	  HILUM_DEFENCE_IBRS | HILUM_DEFENCE_IBPB | HILUM_DEFENCE_VERW | HILUM_DEFENCE_SSBD,
	  7 },
	{ "Zen 2",
	  { .leaf8_ebx = HILUM_LEAF8_IBPB | HILUM_LEAF8_STIBP | HILUM_LEAF8_SSBD },
	  HILUM_DEFENCE_IBPB | HILUM_DEFENCE_RSB | HILUM_DEFENCE_SSBD,
	  6 },
	{ "Zen 4",
	  { .leaf8_ebx = HILUM_LEAF8_IBPB | HILUM_LEAF8_IBRS | HILUM_LEAF8_STIBP | HILUM_LEAF8_SSBD, .leaf21_eax = HILUM_LEAF21_AUTO_IBRS },
	  HILUM_DEFENCE_IBRS | HILUM_DEFENCE_IBPB | HILUM_DEFENCE_SSBD,
	  7 },
};

struct cpuid_regs fake_cpuid(uint32_t leaf, uint32_t subleaf)
{
	struct cpuid_regs r = { 0 };

	(void)subleaf;
	r.edx = leaf == 7 ? machine->leaf7_edx : 0;
	r.ebx = leaf == 0x80000008   ? machine->leaf8_ebx
	        : leaf == 0xB        ? machine->threads | 0xABCD0000
	        : leaf == 0x8000001E ? (machine->threads - 1) << 8 | 0xABCD00EF
	                             : 0;
	r.eax = leaf == 0x80000021 ? machine->leaf21_eax : 0;
	return r;
}

uint64_t fake_rdmsr(uint32_t msr)
{
	return msr == MSR_ARCH_CAPABILITIES ? machine->arch_capabilities : 0;
}

void fake_others_run(void)
{
}

/* As speculation_init finds the machine. */
static void boot(const struct hilum_host_health *says, bool amd, bool tcg)
{
	machine = says;
	memset(&host_health, 0, sizeof(host_health));
	memset(&core, 0, sizeof(core));
	fake_self = (struct cpu *)&core;
	fake_msr = 0;
	cpu_features = (struct cpu_features){
		.vendor = amd ? CPU_VENDOR_AMD : CPU_VENDOR_INTEL, .max_leaf = 0x20, .max_ext_leaf = 0x80000021, .tcg = tcg
	};
	speculation_init();
}

static void speculation_choose__each_cpu__what_it_needs_and_offers(void **state)
{
	(void)state;
	for (unsigned i = 0; i < ARRAY_SIZE(cpus); i++)
		if (speculation_choose(&cpus[i].says) != cpus[i].defences)
			fail_msg("%s: %#x", cpus[i].name, speculation_choose(&cpus[i].says));
}

static void speculation_init__each_cpu__facts_and_guest_bits(void **state)
{
	(void)state;
	for (unsigned i = 0; i < ARRAY_SIZE(cpus); i++) {
		boot(&cpus[i].says, cpus[i].says.leaf8_ebx != 0, false);
		assert_int_equal(host_health.defences, cpus[i].defences);
		assert_int_equal(speculation_guest_bits, cpus[i].guest_bits);
		assert_int_equal(host_health.arch_capabilities, cpus[i].says.arch_capabilities);
	}
}

static void speculation_init__return_stack__as_many_as_the_cpu_needs(void **state)
{
	(void)state;
	boot(&cpus[1].says, false, false);
	assert_int_equal(speculation_fills, 32); /* a guest's entries are all that it holds */
	boot(&cpus[3].says, false, false);
	assert_int_equal(speculation_fills, 1);
	boot(&cpus[4].says, false, false);
	assert_int_equal(speculation_fills, 0);
}

static void speculation_init__threads_of_a_core__from_the_leaf_of_the_maker(void **state)
{
	struct hilum_host_health says = { .threads = 2, .leaf7_edx = SKYLAKE_EDX };

	(void)state;
	boot(&says, false, false);
	assert_int_equal(host_health.threads, 2);
	boot(&says, true, false);
	assert_int_equal(host_health.threads, 2);
	says.threads = 0xFFFF;
	boot(&says, false, false);
	assert_int_equal(host_health.threads, 0xFFFF);
	says.threads = 256;
	boot(&says, true, false);
	assert_int_equal(host_health.threads, 256);
	cpu_features.max_leaf = 6;
	cpu_features.max_ext_leaf = 0x80000020;
	cpu_features.vendor = CPU_VENDOR_INTEL;
	speculation_init();
	assert_int_equal(host_health.threads, 1);
	assert_int_equal(host_health.leaf7_edx, 0);
	cpu_features.vendor = CPU_VENDOR_AMD;
	speculation_init();
	assert_int_equal(host_health.leaf21_eax, 0);
}

static void speculation_init__emulated_cpu__nothing(void **state)
{
	(void)state;
	boot(&cpus[1].says, false, true);
	assert_int_equal(host_health.defences, 0);
}

static void speculation_set_control__enhanced_ibrs__stays_on_and_is_written_once(void **state)
{
	(void)state;
	boot(&cpus[3].says, false, false);
	speculation_init_core();
	assert_int_equal(fake_msr, MSR_SPEC_CTRL);
	assert_int_equal(fake_msr_value, 1);
	speculation_set_control(4);
	assert_int_equal(fake_msr_value, 5);
	fake_msr = 0;
	speculation_set_control(4);
	assert_int_equal(fake_msr, 0);
	speculation_set_control(0);
	assert_int_equal(fake_msr_value, 1);
}

static void speculation_set_control__cpu_without_the_msr__never_touches_it(void **state)
{
	(void)state;
	boot(&cpus[0].says, false, false);
	speculation_init_core();
	speculation_set_control(0);
	assert_int_equal(fake_msr, 0);
}

static void speculation_init_core__zen_4__automatic_ibrs(void **state)
{
	(void)state;
	boot(&cpus[8].says, true, false);
	speculation_init_core();
	assert_int_equal(fake_msr, EFER_MSR);
	assert_int_equal(fake_msr_value, 1ull << 21);
}

static void speculation_change_vm__by_the_last_guest__barrier_or_not(void **state)
{
	(void)state;
	boot(&cpus[7].says, true, false);
	speculation_change_vm(false);
	assert_int_equal(fake_msr, 0);
	speculation_change_vm(true);
	assert_int_equal(fake_msr, MSR_PRED_CMD);
	boot(&cpus[1].says, false, false);
	speculation_change_vm(false);
	assert_int_equal(fake_msr, 0x10B); /* L1D */
	fake_msr = 0;
	host_health.defences = 0;
	speculation_change_vm(true);
	assert_int_equal(fake_msr, 0); /* a CPU without the MSRs would raise #GP */
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(speculation_choose__each_cpu__what_it_needs_and_offers),
		cmocka_unit_test(speculation_init__each_cpu__facts_and_guest_bits),
		cmocka_unit_test(speculation_init__return_stack__as_many_as_the_cpu_needs),
		cmocka_unit_test(speculation_init__threads_of_a_core__from_the_leaf_of_the_maker),
		cmocka_unit_test(speculation_init__emulated_cpu__nothing),
		cmocka_unit_test(speculation_set_control__enhanced_ibrs__stays_on_and_is_written_once),
		cmocka_unit_test(speculation_set_control__cpu_without_the_msr__never_touches_it),
		cmocka_unit_test(speculation_init_core__zen_4__automatic_ibrs),
		cmocka_unit_test(speculation_change_vm__by_the_last_guest__barrier_or_not),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
