/* Between the parts of the fake machine. */
#ifndef TESTS_UNIT_FAKE_KERNEL_MACHINE_H
#define TESTS_UNIT_FAKE_KERNEL_MACHINE_H

#include "tests/unit/fake_kernel/fake.h"

#include "arch/x86_64/trap.h"

#define FAKE_GSIS 24u

/* Memory the first time; everything else as after power-up each time. */
void fake_machine_boot(void);

void fake_cores_boot(unsigned cores);
/* Of a backend: after each exit of a guest that took so long, and where no guest runs. Both leave the core's loop when fake_run is over. */
void fake_after_exit(struct vcpu *v, uint64_t ticks);
void fake_idle(struct cpu *cpu);
/* Nothing may be left in their queues. */
void fake_cores_end(void);

/* Of the pool, in use. */
extern uint64_t fake_pages_used, fake_objects_used;

extern bool fake_kick_pending[CORES_MAX];
extern irq_handler_fn fake_irq[256];

#endif
