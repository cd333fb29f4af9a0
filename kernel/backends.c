/* The vendor backends that this build holds: the one place in kernel/ that lists them. */
#include "kernel/virt_ops.h"

extern struct virt_ops svm_ops, vmx_ops;

struct virt_ops *const virt_backends[] = { &svm_ops, &vmx_ops, NULL };
