/*
 * See vulnerabilities.h. Which defect a CPU has it says itself, in IA32_ARCH_CAPABILITIES; one of Intel's that says nothing is taken to have
 * it. docs/isolation.md has the reasons for what is said of Hilum.
 */
#include "drivers-vm/control/vulnerabilities.h"

#include <hilum/defences.h>
#include <stdio.h>
#include <string.h>

#define NOT_AFFECTED "Not affected"

struct facts {
	const struct hilum_host_health *health;
	const struct vulnerability_cpu *cpu;
};

static bool says(const struct facts *f, uint32_t bits)
{
	return (f->health->arch_capabilities & bits) == bits;
}

static bool defends(const struct facts *f, uint32_t bits)
{
	return f->health->defences & bits;
}

static const char *threads(const struct facts *f)
{
	if (f->health->threads <= 1)
		return "SMT disabled";
	return f->cpu->core_scheduling ? "SMT mitigated by core scheduling" : "SMT vulnerable";
}

static void put(char *text, const char *format, const char *more)
{
	snprintf(text, VULNERABILITY_TEXT_BYTES, format, more);
}

/* What VERW does at a change of VM. */
static void buffers(const struct facts *f, bool affected, char *text)
{
	if (!affected)
		put(text, "%s", NOT_AFFECTED);
	else if (defends(f, HILUM_DEFENCE_VERW))
		put(text, "Mitigation: Clear CPU buffers; %s", threads(f));
	else
		put(text, "Vulnerable: Clear CPU buffers attempted, no microcode; %s", threads(f));
}

static void gds(const struct facts *f, char *text)
{
	put(text, "%s", !f->cpu->intel || says(f, HILUM_ARCH_GDS_NO) ? NOT_AFFECTED : "Unknown: Dependent on microcode");
}

static void itlb(const struct facts *f, char *text)
{
	put(text, "%s", !f->cpu->intel || says(f, HILUM_ARCH_PSCHANGE_NO) ? NOT_AFFECTED : "Vulnerable");
}

static void l1tf(const struct facts *f, char *text)
{
	if (!f->cpu->intel || says(f, HILUM_ARCH_RDCL_NO))
		put(text, "%s", NOT_AFFECTED);
	else if (says(f, HILUM_ARCH_SKIP_L1D))
		put(text, "%s", "Mitigation: VMX: flush not necessary");
	else
		put(text,
		    defends(f, HILUM_DEFENCE_L1D_FLUSH) ? "Mitigation: VMX: cache flushes at changes of VM, %s"
		                                        : "Vulnerable: no microcode, %s",
		    threads(f));
}

static void mds(const struct facts *f, char *text)
{
	buffers(f, f->cpu->intel && !says(f, HILUM_ARCH_MDS_NO), text);
}

static void meltdown(const struct facts *f, char *text)
{
	put(text, "%s", !f->cpu->intel || says(f, HILUM_ARCH_RDCL_NO) ? NOT_AFFECTED : "Mitigation: no shared address spaces");
}

static void mmio(const struct facts *f, char *text)
{
	buffers(f, f->cpu->intel && !says(f, HILUM_ARCH_SBDR_NO | HILUM_ARCH_FBSDP_NO | HILUM_ARCH_PSDP_NO), text);
}

static void rfds(const struct facts *f, char *text)
{
	buffers(f, f->cpu->intel && says(f, HILUM_ARCH_RFDS_CLEAR) && !says(f, HILUM_ARCH_RFDS_NO), text);
}

/* Zen 1 and 2 (families 17h, 18h) mispredict returns; Intel's that have no enhanced IBRS do when the return stack runs empty. */
static void retbleed(const struct facts *f, char *text)
{
	bool affected = f->cpu->intel ? !says(f, HILUM_ARCH_IBRS_ALL) : f->cpu->family == 0x17 || f->cpu->family == 0x18;

	put(text, "%s", affected ? "Vulnerable" : NOT_AFFECTED);
}

static void srso(const struct facts *f, char *text)
{
	bool affected = !f->cpu->intel && (f->cpu->family == 0x17 || f->cpu->family == 0x18 || f->cpu->family == 0x19);

	put(text, "%s",
	    !affected                        ? NOT_AFFECTED
	    : defends(f, HILUM_DEFENCE_IBPB) ? "Vulnerable: IBPB between guests only"
	                                     : "Vulnerable: no microcode");
}

static void ssb(const struct facts *f, char *text)
{
	bool affected = f->cpu->intel ? !says(f, HILUM_ARCH_SSB_NO) : !(f->health->leaf8_ebx & HILUM_LEAF8_SSB_NO);

	put(text, "%s",
	    !affected                        ? NOT_AFFECTED
	    : defends(f, HILUM_DEFENCE_SSBD) ? "Mitigation: Speculative Store Bypass disabled by guests"
	                                     : "Vulnerable");
}

static void spectre_v1(const struct facts *f, char *text)
{
	(void)f;
	put(text, "%s", "Mitigation: no guest memory mapped in root mode");
}

static void spectre_v2(const struct facts *f, char *text)
{
	const char *ibrs = !defends(f, HILUM_DEFENCE_IBRS) ? "" : f->cpu->intel ? " / Enhanced IBRS" : " / Automatic IBRS";

	snprintf(text, VULNERABILITY_TEXT_BYTES, "%s: Retpolines%s%s%s", defends(f, HILUM_DEFENCE_IBPB) ? "Mitigation" : "Vulnerable", ibrs,
	         defends(f, HILUM_DEFENCE_IBPB) ? "; IBPB: between guests" : "; no IBPB: no microcode",
	         defends(f, HILUM_DEFENCE_RSB) ? "; RSB filling" : "");
}

static void srbds(const struct facts *f, char *text)
{
	put(text, "%s", !f->cpu->intel || says(f, HILUM_ARCH_RDCL_NO) ? NOT_AFFECTED : "Unknown: Dependent on microcode");
}

static void taa(const struct facts *f, char *text)
{
	buffers(f, f->cpu->intel && !says(f, HILUM_ARCH_TAA_NO) && !says(f, HILUM_ARCH_MDS_NO), text);
}

static const struct {
	const char *name;
	void (*describe)(const struct facts *f, char *text);
} all[] = {
	{ "gather_data_sampling", gds },
	{ "itlb_multihit", itlb },
	{ "l1tf", l1tf },
	{ "mds", mds },
	{ "meltdown", meltdown },
	{ "mmio_stale_data", mmio },
	{ "reg_file_data_sampling", rfds },
	{ "retbleed", retbleed },
	{ "spec_rstack_overflow", srso },
	{ "spec_store_bypass", ssb },
	{ "spectre_v1", spectre_v1 },
	{ "spectre_v2", spectre_v2 },
	{ "srbds", srbds },
	{ "tsx_async_abort", taa },
};

const char *vulnerability_name(unsigned index)
{
	return index < sizeof(all) / sizeof(all[0]) ? all[index].name : NULL;
}

void vulnerability_describe(unsigned index, const struct hilum_host_health *health, const struct vulnerability_cpu *cpu,
                            char text[VULNERABILITY_TEXT_BYTES])
{
	const struct facts f = { health, cpu };

	all[index].describe(&f, text);
}
