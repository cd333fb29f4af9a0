/* SVM's instructions on the pretended CPU. Stands in for the real header by include order. */
#ifndef SVM_ACCESS_H
#define SVM_ACCESS_H

#include "arch/x86_64/types.h"

void svm_vmload(hpa_t vmcb);
void svm_vmsave(hpa_t vmcb);

#endif
