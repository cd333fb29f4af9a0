/* The VMX instructions, one function each. The VMCS functions act on the core's current VMCS. Tests put a fake in this header's place. */
#ifndef VMX_ACCESS_H
#define VMX_ACCESS_H

#include "arch/x86_64/types.h"

/* A field that the capabilities promise does not exist: the CPU, or the hypervisor under us, lies. Panics. */
_Noreturn void vmx_write_failed(uint32_t field);

static inline uint64_t vmx_read(uint32_t field)
{
	uint64_t value;

	__asm__ volatile("vmread %1, %0" : "=rm"(value) : "r"((uint64_t)field) : "cc");
	return value;
}

static inline void vmx_write(uint32_t field, uint64_t value)
{
	__asm__ goto("vmwrite %1, %0; jna %l[failed]" ::"r"((uint64_t)field), "rm"(value) : "cc" : failed);
	return;
failed:
	vmx_write_failed(field);
}

/* On a physical address; false where the CPU refuses. */
#define VMX_ADDRESS_INSN(name, insn) \
	static inline bool name(hpa_t address) \
	{ \
		bool ok; \
		__asm__ volatile(insn " %1" : "=@cca"(ok) : "m"(address) : "memory"); \
		return ok; \
	}

VMX_ADDRESS_INSN(vmx_on, "vmxon")
VMX_ADDRESS_INSN(vmx_clear, "vmclear")
VMX_ADDRESS_INSN(vmx_make_current, "vmptrld")

/* Types that the capability MSR offers: they cannot fail. */
static inline void vmx_invept(uint64_t type, uint64_t ept_pointer)
{
	const uint64_t descriptor[2] = { ept_pointer, 0 };

	__asm__ volatile("invept %0, %1" ::"m"(descriptor), "r"(type) : "cc", "memory");
}

static inline void vmx_invvpid(uint64_t type)
{
	const uint64_t descriptor[2] = { 0, 0 };

	__asm__ volatile("invvpid %0, %1" ::"m"(descriptor), "r"(type) : "cc", "memory");
}

#endif
