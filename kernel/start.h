/* How the cores come from boot into the main loop, and how the control VM comes to life. */
#ifndef KERNEL_START_H
#define KERNEL_START_H

#include "boot/boot_info.h"
#include "kernel/cpu.h"

void cpu_init_interrupts(void);
_Noreturn void cpu_loop(struct cpu *cpu);

/* The first of the boot modules, from `from` on, whose string begins with the word `name`; NULL: none. */
const struct boot_module *start_find_module(const struct boot_module *from, const char *name);

/* Create the control VM from its Multiboot2 module and make it ready to run on core 0; boot_refuse()s when that is impossible. */
void control_vm_start(void);

/*
 * It has crashed, and `v`, its vCPU on this core, is parked: it starts again as at boot, from the pristine image, in the same memory, which
 * it clears itself, with the handles and mappings that it had. Nothing is allocated: it cannot fail.
 */
void control_vm_restart(struct vcpu *v);

#endif
