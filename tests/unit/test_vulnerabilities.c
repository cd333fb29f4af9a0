/*
 * What is said of the machine's defects: every statement over CPUs of both makers, and the same form for all.
 *
 * UNIT_SOURCES: drivers-vm/control/vulnerabilities.c
 */
#include "cmocka_all.h"

#include <string.h>

#include "drivers-vm/control/vulnerabilities.h"

#include <hilum/defences.h>

static char text[VULNERABILITY_TEXT_BYTES];

static const char *say(const char *name, const struct hilum_host_health *health, const struct vulnerability_cpu *cpu)
{
	unsigned i = 0;

	while (vulnerability_name(i) != NULL && strcmp(vulnerability_name(i), name) != 0)
		i++;
	assert_non_null(vulnerability_name(i));
	vulnerability_describe(i, health, cpu, text);
	return text;
}

static void vulnerability_describe__old_intel__mitigated_or_said(void **state)
{
	const struct vulnerability_cpu intel = { .intel = true, .family = 6 };
	const struct hilum_host_health skylake = { .threads = 2,
		                                   .defences = HILUM_DEFENCE_IBPB | HILUM_DEFENCE_L1D_FLUSH | HILUM_DEFENCE_VERW |
		                                               HILUM_DEFENCE_RSB | HILUM_DEFENCE_SSBD };
	const struct hilum_host_health bare = { .threads = 1, .defences = HILUM_DEFENCE_RSB };

	(void)state;
	assert_string_equal(say("l1tf", &skylake, &intel), "Mitigation: VMX: cache flushes at changes of VM, SMT vulnerable");
	assert_string_equal(say("mds", &skylake, &intel), "Mitigation: Clear CPU buffers; SMT vulnerable");
	assert_string_equal(say("spectre_v2", &skylake, &intel), "Mitigation: Retpolines; IBPB: between guests; RSB filling");
	assert_string_equal(say("meltdown", &skylake, &intel), "Mitigation: no shared address spaces");
	assert_string_equal(say("l1tf", &bare, &intel), "Vulnerable: no microcode, SMT disabled");
	assert_string_equal(say("mds", &bare, &intel), "Vulnerable: Clear CPU buffers attempted, no microcode; SMT disabled");
	assert_string_equal(say("spectre_v2", &bare, &intel), "Vulnerable: Retpolines; no IBPB: no microcode; RSB filling");
	assert_string_equal(say("spec_store_bypass", &bare, &intel), "Vulnerable");
}

static void vulnerability_describe__core_scheduling__shown_where_threads_count(void **state)
{
	const struct vulnerability_cpu intel = { .intel = true, .core_scheduling = true };
	const struct hilum_host_health h = { .threads = 2, .defences = HILUM_DEFENCE_VERW };

	(void)state;
	assert_string_equal(say("mds", &h, &intel), "Mitigation: Clear CPU buffers; SMT mitigated by core scheduling");
}

static void vulnerability_describe__new_intel__not_affected(void **state)
{
	const struct vulnerability_cpu intel = { .intel = true, .family = 6 };
	const struct hilum_host_health h = { .threads = 2,
		                             .arch_capabilities = HILUM_ARCH_SHOWN & ~(uint64_t)HILUM_ARCH_RFDS_CLEAR,
		                             .defences = HILUM_DEFENCE_IBRS | HILUM_DEFENCE_IBPB };

	(void)state;
	for (unsigned i = 0; vulnerability_name(i) != NULL; i++) {
		vulnerability_describe(i, &h, &intel, text);
		if (strncmp(vulnerability_name(i), "spectre", 7) != 0)
			assert_string_equal(text, "Not affected");
	}
	assert_string_equal(say("spectre_v2", &h, &intel), "Mitigation: Retpolines / Enhanced IBRS; IBPB: between guests");
}

static void vulnerability_describe__amd__by_family(void **state)
{
	const struct vulnerability_cpu zen2 = { .family = 0x17 }, zen3 = { .family = 0x19 }, zen5 = { .family = 0x1A };
	const struct hilum_host_health h = { .threads = 1,
		                             .leaf8_ebx = HILUM_LEAF8_IBPB,
		                             .defences = HILUM_DEFENCE_IBPB | HILUM_DEFENCE_RSB };

	(void)state;
	assert_string_equal(say("meltdown", &h, &zen2), "Not affected");
	assert_string_equal(say("mds", &h, &zen2), "Not affected");
	assert_string_equal(say("retbleed", &h, &zen2), "Vulnerable");
	assert_string_equal(say("retbleed", &h, &zen3), "Not affected");
	assert_string_equal(say("spec_rstack_overflow", &h, &zen3), "Vulnerable: IBPB between guests only");
	assert_string_equal(say("spec_rstack_overflow", &h, &zen5), "Not affected");
}

/* Whatever a CPU says: one of Linux's beginnings, and no cut-off text. */
static void vulnerability_describe__any_facts__form_of_linux(void **state)
{
	(void)state;
	for (uint32_t n = 0; n < 4096; n++) {
		struct hilum_host_health h = { .threads = n & 3,
			                       .defences = n >> 2 & 0x7F,
			                       .arch_capabilities = (uint64_t)n * 0x9E3779B97F4A7C15u };
		struct vulnerability_cpu cpu = { .intel = n >> 9 & 1, .core_scheduling = n >> 10 & 1, .family = n % 32 };
		for (unsigned i = 0; vulnerability_name(i) != NULL; i++) {
			vulnerability_describe(i, &h, &cpu, text);
			assert_true(strlen(text) < sizeof(text) - 1);
			assert_true(strcmp(text, "Not affected") == 0 || strncmp(text, "Mitigation: ", 12) == 0 ||
			            strncmp(text, "Vulnerable", 10) == 0 || strncmp(text, "Unknown: ", 9) == 0);
		}
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(vulnerability_describe__old_intel__mitigated_or_said),
		cmocka_unit_test(vulnerability_describe__core_scheduling__shown_where_threads_count),
		cmocka_unit_test(vulnerability_describe__new_intel__not_affected),
		cmocka_unit_test(vulnerability_describe__amd__by_family),
		cmocka_unit_test(vulnerability_describe__any_facts__form_of_linux),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
