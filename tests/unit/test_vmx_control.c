/*
 * The choice of VMCS controls, for machines that exist, machines that lack something, and random ones.
 *
 * UNIT_SOURCES: vmx/control.c
 */
#include "tests/unit/cmocka_all.h"
#include "arch/x86_64/features.h"
#include "vmx/control.h"
#include "vmx/vmcs.h"

#include <stdlib.h>
#include <string.h>

#define CR4_OFFERED     0x370FFFull
#define BOTH(may, must) ((uint64_t)(may) << 32 | (must))

static uint64_t cap[CAP_COUNT];
static struct vmx_controls chosen;
static const char *why;

/* A CPU of 2020, as its manual and other systems' logs describe it. */
static void modern(void)
{
	memset(cap, 0, sizeof(cap));
	cap[CAP_BASIC] = 1ull << 55 | 6ull << 50 | 4096ull << 32 | 4;
	cap[CAP_PIN] = BOTH(0xFF, 0x16);
	cap[CAP_PRIMARY] = BOTH(0xFFF9FFFE, 0x0401E172);
	cap[CAP_EXIT] = BOTH(0x01FFFFFF, 0x36DFF);
	cap[CAP_ENTRY] = BOTH(0x3FFFF, 0x11FF);
	cap[CAP_MISC] = 5;
	cap[CAP_CR0_FIXED0] = 0x80000021;
	cap[CAP_CR0_FIXED1] = 0xFFFFFFFF;
	cap[CAP_CR4_FIXED0] = 0x2000;
	cap[CAP_CR4_FIXED1] = 0x376FFF;
	cap[CAP_SECONDARY] = BOTH(0x005FFFFF, 0);
	cap[CAP_EPT_VPID] = 0xF0106734141ull;
	cap[CAP_TRUE_PIN] = BOTH(0xFF, 0x16);
	cap[CAP_TRUE_PIN + 1] = BOTH(0xFFF9FFFE, 0x04006172);
	cap[CAP_TRUE_PIN + 2] = BOTH(0x01FFFFFF, 0x36DFB);
	cap[CAP_TRUE_PIN + 3] = BOTH(0x3FFFF, 0x11FB);
}

static enum status choose(void)
{
	why = NULL;
	return vmx_choose_controls(cap, 5, CR4_OFFERED, &chosen, &why);
}

/* Refused, in one sentence that says `word`: it becomes the end of "cannot start: ". */
static void refused(const char *word)
{
	assert_int_equal(choose(), STATUS_UNSUPPORTED);
	assert_non_null(why);
	if (strstr(why, word) == NULL)
		fail_msg("\"%s\" does not say \"%s\"", why, word);
	if (strstr(why, "Hilum") == NULL && strstr(why, "VMX") == NULL)
		fail_msg("\"%s\" names nothing that a reader could look up", why);
	assert_true(strchr(why, '.') == NULL && strchr(why, '\n') == NULL && strlen(why) < 140);
}

static void choose__modern_cpu__everything_taken(void **state)
{
	(void)state;
	modern();
	assert_int_equal(choose(), STATUS_OK);
	assert_int_equal(chosen.revision, 4);
	assert_int_equal(chosen.pin, 0x16 | 0x69 | PIN_POSTED_INTERRUPTS);
	assert_int_equal(chosen.secondary, SECONDARY_EPT | SECONDARY_RDTSCP | SECONDARY_VPID | SECONDARY_WBINVD | SECONDARY_UNRESTRICTED |
	                                           SECONDARY_PAUSE_LOOP | SECONDARY_INVPCID | SECONDARY_ENCLS | SECONDARY_APIC_REGISTERS |
	                                           SECONDARY_INTERRUPT_DELIVERY);
	assert_int_equal(chosen.ept_flags, 0x5E); /* write-back, four levels, dirty bits */
	assert_int_equal(chosen.ept_levels, 3);
	assert_int_equal(chosen.invept_type, INVALIDATE_SINGLE);
	assert_int_equal(chosen.timer_shift, 5);
	/* CR3 accesses, PGE and WP belong to the guest. */
	assert_int_equal(chosen.primary & 0x18000, 0);
	assert_int_equal(chosen.cr4_mask & CR4_PGE, 0);
	assert_int_equal(chosen.cr0_mask, CR0_NE | CR0_CD | CR0_NW);
	assert_int_equal(chosen.cr0_ones, CR0_NE);
	assert_int_equal(chosen.cr4_ones, 0x2000 | CR4_MCE);
}

static void choose__older_cpu__does_without(void **state)
{
	(void)state;
	modern();
	cap[CAP_TRUE_PIN] = BOTH(0x3F, 0x16);
	cap[CAP_SECONDARY] = BOTH(SECONDARY_EPT | SECONDARY_UNRESTRICTED | SECONDARY_VPID, 0);
	cap[CAP_EPT_VPID] = 1ull << 6 | 1ull << 14 | 1ull << 16 | 1ull << 20 | 1ull << 26;
	assert_int_equal(choose(), STATUS_OK);
	assert_int_equal(chosen.pin & PIN_PREEMPTION_TIMER, 0);
	assert_int_equal(chosen.secondary, SECONDARY_EPT | SECONDARY_UNRESTRICTED); /* no INVVPID: no tags */
	assert_int_equal(chosen.ept_flags, 0x1E);
	assert_int_equal(chosen.ept_levels, 2);
	assert_int_equal(chosen.invept_type, INVALIDATE_ALL);
}

static void choose__part_of_the_virtual_apic_missing__none_taken(void **state)
{
	static const uint32_t parts[] = { SECONDARY_X2APIC, SECONDARY_APIC_ACCESSES, SECONDARY_APIC_REGISTERS,
		                          SECONDARY_INTERRUPT_DELIVERY };

	(void)state;
	for (unsigned i = 0; i < 4; i++) {
		modern();
		cap[CAP_SECONDARY] &= ~BOTH(parts[i], 0);
		assert_int_equal(choose(), STATUS_OK);
		assert_int_equal(chosen.pin & PIN_POSTED_INTERRUPTS, 0);
		assert_int_equal(chosen.primary & PRIMARY_TPR_SHADOW, PRIMARY_TPR_SHADOW);
		assert_int_equal(chosen.secondary & (SECONDARY_X2APIC | SECONDARY_APIC_ACCESSES | SECONDARY_APIC_REGISTERS |
		                                     SECONDARY_INTERRUPT_DELIVERY),
		                 0);
	}
	modern();
	cap[CAP_TRUE_PIN] &= ~BOTH(PIN_POSTED_INTERRUPTS, 0);
	assert_int_equal(choose(), STATUS_OK);
	assert_int_equal(chosen.secondary & SECONDARY_INTERRUPT_DELIVERY, SECONDARY_INTERRUPT_DELIVERY);
	assert_int_equal(chosen.pin & PIN_POSTED_INTERRUPTS, 0);
}

static void choose__missing_feature__one_sentence(void **state)
{
	(void)state;
	modern();
	cap[CAP_SECONDARY] = 0; /* the register does not exist */
	refused("(EPT)");
	cap[CAP_SECONDARY] = BOTH(SECONDARY_EPT | SECONDARY_VPID, 0);
	refused("unrestricted guests");
	static const struct {
		unsigned word;
		uint32_t bit;
		const char *kind;
	} needed[] = {
		{ CAP_TRUE_PIN, PIN_VIRTUAL_NMI, "a pin-based control" },
		{ CAP_TRUE_PIN + 1, PRIMARY_HLT, "a primary processor-based control" },
		{ CAP_TRUE_PIN + 1, PRIMARY_IO_BITMAPS, "a primary processor-based control" },
		{ CAP_TRUE_PIN + 1, PRIMARY_MSR_BITMAPS, "a primary processor-based control" },
		{ CAP_TRUE_PIN + 1, PRIMARY_TSC_OFFSETTING, "a primary processor-based control" },
		{ CAP_TRUE_PIN + 1, PRIMARY_TPR_SHADOW, "a primary processor-based control" },
		{ CAP_TRUE_PIN + 1, PRIMARY_NMI_WINDOW, "lacks interrupt windows" },
		{ CAP_TRUE_PIN + 1, PRIMARY_INTERRUPT_WINDOW, "lacks interrupt windows" },
		{ CAP_TRUE_PIN + 2, EXIT_ACKNOWLEDGE_INTERRUPT, "a VM-exit control" },
		{ CAP_TRUE_PIN + 3, ENTRY_LOAD_PAT, "a VM-entry control" },
		{ CAP_TRUE_PIN + 3, ENTRY_IA32E, "64-bit guests" },
	};
	for (unsigned i = 0; i < sizeof(needed) / sizeof(needed[0]); i++) {
		modern();
		cap[needed[i].word] &= ~BOTH(needed[i].bit, 0);
		refused(needed[i].kind);
	}
	for (unsigned i = 0; i < 4; i++) {
		modern();
		cap[CAP_EPT_VPID] &= ~(1ull << (const unsigned[]){ 6, 14, 16, 20 }[i]);
		refused("EPT lacks");
	}
}

static void choose__feature_control__locked_off_refused(void **state)
{
	(void)state;
	modern();
	assert_int_equal(vmx_choose_controls(cap, 1, CR4_OFFERED, &chosen, &why), STATUS_UNSUPPORTED);
	assert_non_null(strstr(why, "locked"));
	assert_int_equal(vmx_choose_controls(cap, 1 | 2, CR4_OFFERED, &chosen, &why), STATUS_UNSUPPORTED); /* inside SMX only */
	assert_int_equal(vmx_choose_controls(cap, 0, CR4_OFFERED, &chosen, &why), STATUS_OK);              /* ours to lock */
}

static void choose__forced_control__refused(void **state)
{
	static const unsigned words[] = { CAP_TRUE_PIN, CAP_TRUE_PIN + 1, CAP_TRUE_PIN + 2, CAP_TRUE_PIN + 3, CAP_SECONDARY };
	static const uint32_t forced[] = { 1u << 7, 1u << 15, 1u << 30, 1u << 9, 1u << 17 };
	static const char *const kinds[] = { " pin-based ", " primary ", " VM-exit ", " VM-entry ", " secondary " };

	(void)state;
	for (unsigned i = 0; i < 5; i++) {
		modern();
		cap[words[i]] |= BOTH(forced[i], forced[i]);
		refused(kinds[i]);
	}
	modern();
	cap[CAP_BASIC] &= ~(1ull << 55); /* without the TRUE registers CR3 accesses must exit */
	refused("control");
}

static void choose__contradiction__refused(void **state)
{
	(void)state;
	modern();
	cap[CAP_CR4_FIXED0] |= CR4_PGE; /* what guests should own */
	refused("contradicts");
	modern();
	cap[CAP_CR0_FIXED1] &= ~CR0_PE;
	refused("contradicts");
	modern();
	cap[CAP_BASIC] &= ~(0x1FFFull << 32);
	refused("contradicts");
	modern();
	cap[CAP_TRUE_PIN] &= ~(1ull << 33); /* must be 1, may not be 1 */
	refused("control");
}

/* Whatever a machine says: a choice that is made keeps its rules. */
static void check_invariants(void)
{
	const uint64_t *word = cap + (cap[CAP_BASIC] >> 55 & 1 ? CAP_TRUE_PIN : CAP_PIN);
	const uint64_t msrs[] = { word[0], word[1], word[2], word[3], cap[CAP_SECONDARY] };
	const uint32_t values[] = { chosen.pin, chosen.primary, chosen.exit, chosen.entry, chosen.secondary };

	for (unsigned i = 0; i < 5; i++) {
		assert_int_equal(values[i] & ~(msrs[i] >> 32), 0);
		if (i != 4 || (cap[CAP_EPT_VPID] >> 32 & 1)) /* VPID may be left out where INVVPID is missing */
			assert_int_equal((uint32_t)msrs[i] & ~values[i] & ~SECONDARY_VPID, 0);
	}
	assert_int_equal(chosen.primary & 0x18000, 0);
	assert_int_equal(chosen.entry & ENTRY_IA32E, 0);
	assert_int_equal(chosen.cr0_mask & (CR0_PE | CR0_PG), 0);
	assert_int_equal(chosen.cr4_ones & ~chosen.cr4_mask, 0);
	assert_int_equal(chosen.cr0_ones & ~chosen.cr0_mask, 0);
	assert_int_equal(~chosen.cr4_mask & ~CR4_OFFERED, 0);
	assert_true(chosen.ept_levels == 2 || chosen.ept_levels == 3);
}

static void choose__random_capabilities__rules_kept(void **state)
{
	unsigned taken = 0;

	(void)state;
	srandom(7);
	for (unsigned i = 0; i < 300000; i++) {
		modern();
		for (unsigned flips = (unsigned)random() % 4; flips > 0; flips--)
			cap[random() % CAP_COUNT] ^= 1ull << random() % 64;
		if (random() % 8 == 0)
			cap[random() % CAP_COUNT] = (uint64_t)random() << 42 ^ (uint64_t)random() << 21 ^ (uint64_t)random();
		if (choose() == STATUS_OK) {
			check_invariants();
			taken++;
		} else {
			assert_non_null(why);
		}
	}
	assert_true(taken > 30000 && taken < 290000);
}

static void fix_bits__value__inside_both_limits(void **state)
{
	(void)state;
	assert_int_equal(vmx_fix_bits(0, 0x21, 0xFF), 0x21);
	assert_int_equal(vmx_fix_bits(0xFFF, 0x21, 0xFF), 0xFF);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(choose__modern_cpu__everything_taken),
		cmocka_unit_test(choose__older_cpu__does_without),
		cmocka_unit_test(choose__part_of_the_virtual_apic_missing__none_taken),
		cmocka_unit_test(choose__missing_feature__one_sentence),
		cmocka_unit_test(choose__feature_control__locked_off_refused),
		cmocka_unit_test(choose__forced_control__refused),
		cmocka_unit_test(choose__contradiction__refused),
		cmocka_unit_test(choose__random_capabilities__rules_kept),
		cmocka_unit_test(fix_bits__value__inside_both_limits),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
