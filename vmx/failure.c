/* When the CPU refuses to enter a guest: what it says about why, into the log; the VM stops, nothing else does. SDM vol. 3C, 27.8 and 31.4. */
#include "arch/x86_64/log.h"
#include "vmx/vmx.h"

/* The CPU has not entered: it does not like a control or the host state. The VMCS is current. */
void vmx_entry_refused(struct vcpu *v)
{
	uint64_t error = vmx_read(VMCS_INSTRUCTION_ERROR);

	log_warn("vm %s: VM entry refused: VM-instruction error %lu (SDM vol. 3C, 31.4)", v->vm->name, error);
	vm_crash(v, HILUM_CRASH_INVALID_STATE, error);
}

/* 27.3.1.2: the rules that every usable segment keeps. */
static bool segment_is_odd(unsigned n)
{
	uint64_t access = vmx_read(VMCS_GUEST_ACCESS(n)), limit = vmx_read(VMCS_GUEST_LIMIT(n));
	bool pages = access >> 15 & 1;

	if (access & ACCESS_UNUSABLE)
		return n == SEGMENT_TR || n == SEGMENT_CS;
	return !(access & ACCESS_PRESENT) || (access & 0xF00) != 0 || (access >> 13 & 3) == 3 || ((limit & 0xFFF) != 0xFFF && pages) ||
	       ((limit >> 20) != 0 && !pages);
}

/* The first group of guest-state fields that looks wrong; the CPU says only that one is. */
static const char *odd_group(void)
{
	static const char *const segments[] = { "ES", "CS", "SS", "DS", "FS", "GS", "LDTR", "TR" };
	uint64_t rip = vmx_read(VMCS_GUEST_RIP), rflags = vmx_read(VMCS_GUEST_RFLAGS), cr0 = vmx_read(VMCS_GUEST_CR0);
	bool long_mode = vmx_read(VMCS_ENTRY_CONTROLS) & ENTRY_IA32E;
	bool wide = long_mode && (vmx_read(VMCS_GUEST_ACCESS(SEGMENT_CS)) >> 13 & 1);

	if ((cr0 >> 31 & 1) > (cr0 & 1) || (long_mode && !(vmx_read(VMCS_GUEST_CR4) >> 5 & 1)))
		return "control registers";
	if ((!wide && rip >> 32) || !(rflags & 2) || (rflags & 0xFFFFFFFFFFC08028) || ((rflags >> 17 & 1) && (long_mode || !(cr0 & 1))))
		return "RIP and RFLAGS";
	for (unsigned n = 0; n < 8; n++)
		if (segment_is_odd(n))
			return segments[n];
	if ((vmx_read(VMCS_GUEST_ACCESS(SEGMENT_CS)) >> 5 & 3) != (vmx_read(VMCS_GUEST_ACCESS(SEGMENT_SS)) >> 5 & 3))
		return "CS and SS";
	if ((vmx_read(VMCS_GUEST_INTERRUPTIBILITY) & BLOCKING_BY_STI) && !(rflags >> 9 & 1))
		return "interruptibility";
	return "segments, descriptor tables or MSRs";
}

/* The CPU has tried, and is back with the host state: the guest's is what it does not like (27.8). The VMCS is current. */
void vmx_entry_failed(struct vcpu *v, uint32_t reason)
{
	static const char *const told[] = { NULL, NULL, "the PAE page-directory pointers", "the event to inject", "the link pointer" };
	uint64_t qualification = vmx_read(VMCS_QUALIFICATION);
	const char *group = "nothing: a machine check came";

	if ((reason & 0xFFFF) == REASON_BAD_MSR_LIST)
		group = "the MSR list";
	else if ((reason & 0xFFFF) == REASON_BAD_GUEST_STATE)
		group = qualification < ARRAY_SIZE(told) && told[qualification] ? told[qualification] : odd_group();
	log_warn("vm %s: VM entry failed: reason %u, qualification %lu: invalid guest state, group: %s", v->vm->name, reason & 0xFFFF,
	         qualification, group);
	vm_crash(v, HILUM_CRASH_INVALID_STATE, reason);
}
