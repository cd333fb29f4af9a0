/* The VMX instructions on a VMCS that is an array, with a count of the accesses. */
#ifndef VMX_ACCESS_H
#define VMX_ACCESS_H

#include "arch/x86_64/types.h"

extern uint64_t fake_vmcs[0x8000];
extern unsigned fake_reads, fake_writes, fake_invepts, fake_invvpids;

static inline uint64_t vmx_read(uint32_t field)
{
	fake_reads++;
	return fake_vmcs[field];
}

static inline void vmx_write(uint32_t field, uint64_t value)
{
	fake_writes++;
	fake_vmcs[field] = value;
}

static inline bool vmx_make_current(hpa_t vmcs)
{
	return vmcs != 0;
}

static inline void vmx_invept(uint64_t type, uint64_t ept_pointer)
{
	(void)type;
	(void)ept_pointer;
	fake_invepts++;
}

static inline void vmx_invvpid(uint64_t type)
{
	(void)type;
	fake_invvpids++;
}

#endif
