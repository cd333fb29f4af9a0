/* See trap.h. */
#include "arch/x86_64/trap.h"
#include "arch/x86_64/cpu.h"
#include "arch/x86_64/lapic.h"
#include "arch/x86_64/panic.h"

#define VECTOR_NMI 2u
#define VECTOR_GP  13u

struct fixup {
	int32_t fault, resume; /* each relative to its own address */
};

extern const struct fixup kernel_fixup_start[], kernel_fixup_end[]; /* linker.ld */

static irq_handler_fn irq_handlers[256];

/* SDM vol. 3A, table "Protected-Mode Exceptions and Interrupts"; empty: reserved. */
static const char exception_names[32][4] = {
	"#DE", "#DB", "NMI", "#BP", "#OF", "#BR", "#UD", "#NM", "#DF", "",    "#TS",
	"#NP", "#SS", "#GP", "#PF", "",	   "#MF", "#AC", "#MC", "#XM", "#VE", "#CP",
};

static bool resume_by_fixup(struct trap_frame *frame)
{
	for (const struct fixup *f = kernel_fixup_start; f < kernel_fixup_end; f++) {
		if ((uint64_t)&f->fault + (uint64_t)(int64_t)f->fault != frame->rip)
			continue;
		frame->rip = (uint64_t)&f->resume + (uint64_t)(int64_t)f->resume;
		frame->rsi = 1;
		return true;
	}
	return false;
}

static void handle_nmi(void)
{
	while (panic_is_active()) {
		cpu_irq_disable();
		cpu_halt();
	}
}

static void handle_exception(struct trap_frame *frame)
{
	uint64_t vector = frame->vector;

	if (vector == VECTOR_GP && resume_by_fixup(frame))
		return;
	panic_at(frame, "exception %lu %s, error 0x%lx", vector, exception_names[vector & 31], frame->error);
}

void irq_set_handler(unsigned vector, irq_handler_fn fn)
{
	assert(vector >= TRAP_IRQ_FIRST && vector <= TRAP_IRQ_LAST);
	__atomic_store_n(&irq_handlers[vector], fn, __ATOMIC_RELEASE);
}

void irq_dispatch(unsigned vector)
{
	irq_handler_fn fn = __atomic_load_n(&irq_handlers[vector & 0xFF], __ATOMIC_ACQUIRE);

	if (vector > TRAP_IRQ_LAST) /* spurious: nothing is in service */
		return;
	if (fn) /* else nobody routed it: acknowledged and forgotten */
		fn(vector);
	lapic_eoi();
}

void trap_handle(struct trap_frame *frame)
{
	if (frame->vector >= TRAP_IRQ_FIRST)
		irq_dispatch((unsigned)frame->vector);
	else if (frame->vector == VECTOR_NMI)
		handle_nmi();
	else
		handle_exception(frame);
}
