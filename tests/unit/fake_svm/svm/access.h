/* SVM's instructions, of which only the number is kept. */
#ifndef SVM_ACCESS_H
#define SVM_ACCESS_H

#include "arch/x86_64/types.h"

extern unsigned fake_vmloads, fake_vmsaves;

static inline void svm_vmload(hpa_t vmcb)
{
	fake_vmloads += vmcb != 0;
}

static inline void svm_vmsave(hpa_t vmcb)
{
	fake_vmsaves += vmcb != 0;
}

#endif
