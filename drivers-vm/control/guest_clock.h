/* KVM's paravirtual system time, as guests read it. Pure. Linux, Documentation/virt/kvm/x86/msr.rst, MSR_KVM_SYSTEM_TIME_NEW. */
#ifndef DRIVERS_VM_CONTROL_GUEST_CLOCK_H
#define DRIVERS_VM_CONTROL_GUEST_CLOCK_H

#include <stdint.h>

/* For a TSC of `tsc_hz`, not 0: guest TSC zero is time zero, for each vCPU alike. */
void guest_clock_build(uint64_t tsc_hz, uint64_t out[4]);

#endif
