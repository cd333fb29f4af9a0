/* See trap.h. */
#include "arch/x86_64/trap.h"
#include "arch/x86_64/cpu.h"
#include "arch/x86_64/lapic.h"
#include "arch/x86_64/panic.h"

#define VECTOR_NMI 2u
#define VECTOR_GP  13u
#define VECTOR_MC  18u

#define MSR_MCG_CAP    0x179u
#define MSR_MCG_STATUS 0x17Au
#define MSR_MC_STATUS  0x401u /* of bank 0; the banks' MSRs are 4 apart */
#define MSR_MC_ADDR    0x402u
#define MC_VALID       (1ull << 63)
#define MC_UNCORRECTED (1ull << 61)
#define MC_HAS_ADDR    (1ull << 58)
#define MC_CORRUPT     (1ull << 57) /* the context of the processor */
#define MC_CONSUMED    (1ull << 55) /* Intel: action required; AMD: the thread's context is corrupt */

struct fixup {
	int32_t fault, resume; /* each relative to its own address */
};

extern const struct fixup kernel_fixup_start[], kernel_fixup_end[]; /* linker.ld */

struct hilum_host_health host_health;
sealed static irq_handler_fn irq_handlers[256];

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

enum machine_check machine_check_judge(uint64_t status)
{
	if (!(status & MC_UNCORRECTED) || !(status & (MC_CORRUPT | MC_CONSUMED))) /* found before anybody used it */
		return MACHINE_CHECK_CORRECTED;
	return (status & (MC_CORRUPT | MC_HAS_ADDR)) == MC_HAS_ADDR ? MACHINE_CHECK_MEMORY : MACHINE_CHECK_FATAL;
}

enum machine_check machine_check_take(bool exception)
{
	enum machine_check worst = MACHINE_CHECK_CORRECTED;
	uint64_t banks = 0, status;

	if (rdmsr_safe(MSR_MCG_CAP, &banks) != STATUS_OK)
		return worst;
	for (uint32_t i = 0; i < (banks & 0xFF); i++) {
		status = rdmsr(MSR_MC_STATUS + 4 * i);
		if (!(status & MC_VALID))
			continue;
		enum machine_check kind = exception ? machine_check_judge(status) : MACHINE_CHECK_CORRECTED;
		host_health.check_status = status;
		host_health.check_address = status & MC_HAS_ADDR ? rdmsr(MSR_MC_ADDR + 4 * i) : 0;
		host_health.checks_corrected += kind == MACHINE_CHECK_CORRECTED;
		worst = kind > worst ? kind : worst;
		wrmsr(MSR_MC_STATUS + 4 * i, 0);
	}
	if (exception)
		wrmsr(MSR_MCG_STATUS, 0); /* the next one may come */
	return worst;
}

static void handle_nmi(void)
{
	host_health.nmis++;
	if (panic_is_active())
		panic_halt();
}

static void handle_exception(struct trap_frame *frame)
{
	uint64_t vector = frame->vector;

	if (vector == VECTOR_GP && resume_by_fixup(frame))
		return;
	/* Root mode stands on nothing that may be lost; what has ended a guest's turn goes to exit_machine_check. */
	if (vector == VECTOR_MC && machine_check_take(true) == MACHINE_CHECK_CORRECTED)
		return;
	panic_at(frame, "exception %lu, error 0x%lx", vector, frame->error);
}

void irq_set_handler(unsigned vector, irq_handler_fn fn)
{
	assert(vector >= TRAP_IRQ_FIRST && vector <= TRAP_IRQ_LAST);
	__atomic_store_n(&irq_handlers[vector], fn, __ATOMIC_RELEASE);
}

void irq_dispatch(unsigned vector)
{
	irq_handler_fn fn = __atomic_load_n(&irq_handlers[vector & 0xFF], __ATOMIC_ACQUIRE);

	if (fn)
		fn(vector);
	else /* nobody routed it, or it was gone again */
		host_health.spurious++;
	if (vector <= TRAP_IRQ_LAST) /* else nothing is in service */
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
