/* VMX's instructions on the pretended CPU. Stands in for the real header by include order. */
#ifndef VMX_ACCESS_H
#define VMX_ACCESS_H

#include "arch/x86_64/types.h"

uint64_t vmx_read(uint32_t field);
void vmx_write(uint32_t field, uint64_t value);
bool vmx_on(hpa_t region);
bool vmx_clear(hpa_t vmcs);
bool vmx_make_current(hpa_t vmcs);
void vmx_invept(uint64_t type, uint64_t ept_pointer);
void vmx_invvpid(uint64_t type);

#endif
