/*
 * A CPU with SVM and one with VMX for the real backends, as far as their entries go: each checks what its manual says that it checks of the
 * state, the controls and the values that root mode's instructions take, and then pretends that the guest has run. What the kernel promises
 * to keep right ends the program where it is wrong; what is the guest's own affair makes the entry fail as the CPU would.
 */
#ifndef TESTS_UNIT_FAKE_CPUS_CPUS_H
#define TESTS_UNIT_FAKE_CPUS_CPUS_H

#include "tests/unit/fake_kernel/fake.h"

#include "arch/x86_64/features.h"
#include "kernel/backend.h"
#include "kernel/exit.h"
#include "kernel/fetch.h"

struct fake_cpu {
	/* What comes of the next entries: how they end, and what RFLAGS, shadow and NMI blocking are then. */
	bool halts, refuses, shadow, nmi_blocked;
	uint64_t rflags;
	uint8_t cr8; /* which SVM's guest writes without an exit, if it may */
	/* What has come of them. */
	unsigned entries;
	bool failed;     /* the last one, for the guest's own state */
	bool tlb_is_old; /* set by the target: the next entry must use no translation from before */
};
extern struct fake_cpu fake_cpu;

#define MACHINE_ENTRIES_MAX 8u /* until the guest faults three times */

/* Before fake_boot: `virt` is the backend's; and after it. */
void fake_cpu_boot_svm(bool clean_bits);
void fake_cpu_boot_vmx(bool delivers_interrupts);
void fake_cpu_boot_core(void);

/* Ends the program. */
_Noreturn void fake_cpu_broken(const char *what);

static inline void fake_cpu_want(bool holds, const char *what)
{
	if (!holds)
		fake_cpu_broken(what);
}

static inline bool fake_cpu_canonical(uint64_t address)
{
	return (uint64_t)((int64_t)(address << 16) >> 16) == address;
}

/* What both check, of registers that both have. */
void fake_cpu_check_control(uint64_t cr0, uint64_t cr3, uint64_t cr4, uint64_t efer, bool long_mode);

/* The guest ends its turn at this exit, as if another core had paused it. */
void fake_cpu_stop(struct vcpu *v);

#endif
