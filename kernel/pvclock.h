/*
 * KVM's paravirtual clock, as Linux guests know it: a page in guest memory with the TSC's rate and offset, one for each vCPU, and
 * the wall-clock time of boot. Documented in the kernel's virt/kvm/x86/msr.rst.
 */
#ifndef KERNEL_PVCLOCK_H
#define KERNEL_PVCLOCK_H

#include "kernel/vcpu.h"

/* What the MSR reads as; NULL: not one of these, or not the VM's. */
uint64_t *pvclock_register(struct vcpu *v, uint32_t msr);

/* The guest writes it. An error: #GP. */
must_check enum status pvclock_write(struct vcpu *v, uint64_t *reg, uint64_t value);

/* Bring the vCPU's stolen time up to date; it has asked for that. From the core's loop, when it waited for the core. */
void pvclock_update_steal(struct vcpu *v);

#endif
