/* SVM's instructions on a VMCB. Tests put a recording version in this header's place. APM vol. 2, 15.5.2 "VMSAVE and VMLOAD". */
#ifndef SVM_ACCESS_H
#define SVM_ACCESS_H

#include "arch/x86_64/types.h"

/* FS, GS, TR, LDTR and the system-call MSRs: from the VMCB onto the core, and back. */
static inline void svm_vmload(hpa_t vmcb)
{
	__asm__ volatile("vmload %%rax" ::"a"(vmcb) : "memory");
}

static inline void svm_vmsave(hpa_t vmcb)
{
	__asm__ volatile("vmsave %%rax" ::"a"(vmcb) : "memory");
}

#endif
