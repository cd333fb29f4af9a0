/*
 * The run loop and the classification of exits. SDM vol. 3C, chapter 28 "VM Exits" and Appendix C "VMX Basic Exit Reasons".
 * Nothing here trusts what the guest left in a register. Of the VMCS only what an exit needs is read, and only what changed is
 * written: each access costs.
 */
#include "arch/x86_64/features.h"
#include "arch/x86_64/trap.h"
#include "kernel/exit.h"
#include "kernel/pveoi.h"
#include "vmx/vmx.h"

#define VPID_LAST 0xFFFFu

/* Exceptions whose frames hold an error code, as the check of 27.2.1.3 counts them. */
#define HAS_ERROR_CODE(vector) (0x27D00u >> (vector)&1)

/* The core's TLB forgets what the vCPU's nested tables said; a vCPU that is new here gets a tag that was never used since a flush. */
static void tlb_update(struct vcpu *v)
{
	struct cpu *cpu = v->cpu;

	if (v->asid_generation != cpu->asid_generation) {
		if ((vmx_controls.secondary & SECONDARY_VPID) && cpu->asid_next > VPID_LAST) {
			cpu->asid_generation++;
			cpu->asid_next = 1;
			vmx_invvpid(INVALIDATE_ALL);
		}
		if (vmx_controls.secondary & SECONDARY_VPID)
			vmx_write(VMCS_VPID, cpu->asid_next++);
		v->asid_generation = cpu->asid_generation;
	}
	v->npt_generation = __atomic_load_n(&v->vm->npt.generation, __ATOMIC_ACQUIRE);
	vmx_invept(vmx_controls.invept_type, vmx_of(v)->ept_pointer);
}

static void event_write(struct vcpu *v, uint64_t event)
{
	uint32_t info = (uint32_t)event & (EVENT_VALID | EVENT_TYPE_MASK | 0xFF);

	if ((info & EVENT_TYPE_MASK) == EVENT_TYPE_NMI) {
		info = EVENT_VALID | EVENT_TYPE_NMI | 2;
		v->nmi_blocked = false; /* the CPU blocks the next one itself */
	} else if ((info & EVENT_TYPE_MASK) == EVENT_TYPE_EXCEPTION && HAS_ERROR_CODE(info & 31) && (vmx_read(VMCS_GUEST_CR0) & CR0_PE)) {
		info |= EVENT_ERROR_VALID;
		vmx_write(VMCS_ENTRY_ERROR_CODE, event >> 32);
	}
	vmx_write(VMCS_ENTRY_EVENT, info);
	v->shadow = false; /* the handler's first instruction is in nobody's shadow */
}

static void inject(struct vcpu *v)
{
	struct vmx_vcpu *x = vmx_of(v);
	bool window;

	vmx_commit_apic(v);
	uint64_t event = vcpu_next_event(v, (v->rflags & RFLAGS_IF) && !v->shadow, &window);
	uint32_t primary = vmx_controls.primary;

	if (!vmx_has_apic())
		vmx_write_tpr_threshold(v);
	if (event != 0)
		event_write(v, event);
	if (window)
		primary |= PRIMARY_INTERRUPT_WINDOW;
	if (v->nmi_pending)
		primary |= PRIMARY_NMI_WINDOW;
	if (unlikely(x->debug_taken && !(v->debug & HILUM_DEBUG_DR)))
		primary &= ~PRIMARY_MOV_DR;
	if (unlikely(v->debug & HILUM_DEBUG_CR3))
		primary |= PRIMARY_CR3_LOAD;
	if (primary != x->primary)
		vmx_write(VMCS_PRIMARY_CONTROLS, primary);
	x->primary = primary;
}

/* The event whose delivery the exit interrupted, if any. True: there was one. */
static bool requeue(struct vcpu *v)
{
	uint32_t event = (uint32_t)vmx_read(VMCS_VECTORING_EVENT);
	uint64_t error = event & EVENT_ERROR_VALID ? vmx_read(VMCS_VECTORING_ERROR_CODE) << 32 : 0;

	if (likely(!(event & EVENT_VALID)))
		return false;
	backend_requeue_event(v, error | (event & (EVENT_VALID | EVENT_ERROR_VALID | EVENT_TYPE_MASK | 0xFF)));
	return true;
}

/* Complete an instruction exit of `kind`. */
static void handle_insn(struct vcpu *v, uint32_t kind)
{
	struct vexit x; /* of which exits of instructions have these two fields only */

	x.kind = kind;
	x.length = (uint32_t)vmx_read(VMCS_INSN_LENGTH);
	exit_handle(v, &x);
}

static never_inline void handle_io(struct vcpu *v)
{
	uint32_t info = (uint32_t)vmx_read(VMCS_QUALIFICATION);
	struct vexit x = {
		.kind = HILUM_EXIT_PORT,
		.port = {
			.port = (uint16_t)(info >> IO_PORT_SHIFT),
			.size = (info & IO_SIZE_MASK) + 1,
			.in = info & IO_IN,
			.string = info & IO_STRING,
			.next_rip = v->rip + vmx_read(VMCS_INSN_LENGTH),
		},
	};
	exit_handle(v, &x);
}

/*
 * An EPT violation, or (`apic`, a constant) what the CPU does not do by itself at the APIC-access page: registers that it does not
 * have, and instructions beyond a plain move.
 */
static inline __attribute__((always_inline)) void handle_memory(struct vcpu *v, bool apic)
{
	uint64_t info = vmx_read(VMCS_QUALIFICATION);
	unsigned access = info >> APIC_ACCESS_SHIFT & 15;
	struct vexit x = {
		.kind = HILUM_EXIT_MMIO,
		.memory = {
			.gpa = apic ? VLAPIC_DEFAULT_BASE | (info & PAGE_MASK) : vmx_read(VMCS_GUEST_PHYSICAL),
			.write = apic ? access == 1 : info & EPT_WRITE,
			.fetch = apic ? access == 2 : info & EPT_FETCH,
		},
	};

	if (!requeue(v) && !apic && (info & EPT_NMI_UNBLOCKED))
		v->nmi_blocked = true; /* the IRET that would end the blocking will be executed again */
	vmx_fetch_rsp(v);
	if (apic || ALIGN_DOWN(x.memory.gpa, PAGE_SIZE) == vlapic_mmio_base(&v->apic))
		vmx_fetch_apic(v);
	exit_handle(v, &x);
}

static never_inline void handle_ept(struct vcpu *v)
{
	handle_memory(v, false);
}

/*
 * CR0 bits that the guest does not own change in the shadow only; then the guest executes the instruction again and, as nothing
 * differs any more, the CPU itself changes the rest with all that belongs to it. CR4 likewise, but a bit that the VM does not
 * have raises #GP.
 */
static void handle_cr(struct vcpu *v, struct vmx_vcpu *x)
{
	uint32_t info = (uint32_t)vmx_read(VMCS_QUALIFICATION);
	unsigned reg = info >> CR_REGISTER_SHIFT & 15;
	uint64_t cr0_mask = vmx_controls.cr0_mask, cr4_mask = vmx_controls.cr4_mask;

	v->stats.exits[HILUM_EXIT_CR]++;
	if (unlikely((info & CR_NUMBER_MASK) == 3 && vcpu_stop_for_debugger(v, 32)))
		return;
	vmx_fetch_rsp(v);
	uint64_t value = v->gpr[reg];
	if ((info & CR_NUMBER_MASK) == 0 && !((value & CR0_NW) && !(value & CR0_CD))) {
		x->cr0_shadow = (x->cr0_shadow & ~cr0_mask) | (value & cr0_mask);
		vmx_write(VMCS_CR0_SHADOW, x->cr0_shadow);
	} else if ((info & CR_NUMBER_MASK) == 4 && !(value & cr4_mask & ~CR4_MCE)) {
		x->cr4_shadow = value & cr4_mask;
		vmx_write(VMCS_CR4_SHADOW, x->cr4_shadow);
	} else {
		VCPU_RAISE_GP(v);
	}
}

/* 28.2: an exit leaves DR6 and DR7 as they were before the exception. */
static void handle_debug(struct vcpu *v, uint32_t event)
{
	uint32_t causes = (uint32_t)vmx_read(VMCS_QUALIFICATION) & DEBUG_CAUSES;

	if (!vmx_of(v)->debug_taken)
		vmx_take_debug(v);
	cpu_write_dr6((cpu_read_dr6() & ~15ull) | causes);
	if (causes & DEBUG_BD)
		vmx_write(VMCS_GUEST_DR7, vmx_read(VMCS_GUEST_DR7) & ~(uint64_t)DR7_GD);
	if ((event & EVENT_TYPE_MASK) == EVENT_TYPE_ICEBP)
		v->rip += vmx_read(VMCS_INSN_LENGTH);
	vcpu_raise(v, 1, false, 0);
}

static never_inline void handle_exception(struct vcpu *v)
{
	uint32_t event = (uint32_t)vmx_read(VMCS_EXIT_EVENT);

	if ((event & EVENT_TYPE_MASK) == EVENT_TYPE_NMI) {
		v->stats.exits[HILUM_EXIT_NMI]++;
		__asm__ volatile("int $2" ::: "memory"); /* its IRET lets the next one come */
		return;
	}
	v->stats.exits[HILUM_EXIT_EXCEPTION]++;
	if (!requeue(v) && (event & EVENT_NMI_UNBLOCKED))
		v->nmi_blocked = true;
	if ((event & 0xFF) == 18)
		exit_machine_check(v); /* the machine's own, not the guest's */
	else if ((event & 0xFF) == 1)
		handle_debug(v, event);
	else /* #AC; #BP and #UD for a debugger only */
		vcpu_raise(v, event & 31, (event & 31) == 17, 0);
}

static void host_interrupt_window(void)
{
	__asm__ volatile("sti; nop; cli" ::: "memory");
}

/* Instructions that need no more of their exit than a length; then those that the VM does not have. */
static const uint8_t insn_kinds[] = {
	[REASON_XSETBV] = HILUM_EXIT_XSETBV,
	[REASON_INVD] = HILUM_EXIT_CACHE,
	[REASON_WBINVD] = HILUM_EXIT_CACHE,
	[REASON_RDPMC] = HILUM_EXIT_RDPMC,
#define UD HILUM_EXIT_INVALID_OPCODE
	[REASON_GETSEC] = UD,
	[REASON_VMCLEAR... REASON_VMXON] = UD,
	[REASON_MWAIT] = UD,
	[REASON_MONITOR] = UD,
	[REASON_INVEPT] = UD,
	[REASON_INVVPID] = UD,
	[REASON_VMFUNC] = UD,
	[REASON_ENCLS] = UD,
};

static never_inline void handle_rare(struct vcpu *v, struct vmx_vcpu *x, uint32_t reason)
{
	switch (reason) {
	case REASON_EXCEPTION_OR_NMI:
		handle_exception(v);
		return;
	case REASON_PREEMPTION_TIMER:
		v->stats.exits[HILUM_EXIT_INTERRUPT]++;
		vmx_write_timer(v);
		host_interrupt_window();
		return;
	case REASON_INTERRUPT_WINDOW:
	case REASON_NMI_WINDOW:
		v->stats.exits[HILUM_EXIT_WINDOW]++;
		vcpu_window_opened(v);
		return;
	case REASON_TPR_THRESHOLD:
		v->stats.exits[HILUM_EXIT_CR]++;
		v->check_interrupts = true;
		return;
	case REASON_APIC_ACCESS:
		handle_memory(v, true);
		return;
	case REASON_VIRTUAL_EOI:
	case REASON_APIC_WRITE:
		v->stats.exits[HILUM_EXIT_APIC]++;
		vmx_handle_apic_write(v, reason == REASON_VIRTUAL_EOI);
		return;
	case REASON_CR:
		handle_cr(v, x);
		return;
	case REASON_DR: /* executed again, with the registers in place */
		v->stats.exits[HILUM_EXIT_DR]++;
		if (!vcpu_stop_for_debugger(v, 33))
			vmx_take_debug(v);
		return;
	case REASON_PAUSE:
		host_interrupt_window(); /* as in svm/run.c: Bochs holds them back where the guest was entered with IF clear */
		handle_insn(v, HILUM_EXIT_PAUSE);
		return;
	case REASON_TRIPLE_FAULT:
		exit_handle(v, &(struct vexit){ .kind = HILUM_EXIT_SHUTDOWN });
		return;
	default:
		if (reason < ARRAY_SIZE(insn_kinds) && insn_kinds[reason] != 0)
			handle_insn(v, insn_kinds[reason]);
		else if (reason & REASON_ENTRY_FAILED)
			vmx_entry_failed(v, reason);
		else /* a task switch among others, which no system of this century makes */
			exit_handle(v, &(struct vexit){ .kind = HILUM_EXIT_OTHER, .detail = reason });
		return;
	}
}

static void classify(struct vcpu *v, struct vmx_vcpu *x, uint32_t reason)
{
	switch (reason) {
	case REASON_INTERRUPT:
		v->stats.exits[HILUM_EXIT_INTERRUPT]++;
		irq_dispatch(vmx_read(VMCS_EXIT_EVENT) & 0xFF);
		break;
	case REASON_CPUID:
		handle_insn(v, HILUM_EXIT_CPUID);
		break;
	case REASON_HLT:
		vmx_fetch_apic(v);
		handle_insn(v, HILUM_EXIT_HALT);
		break;
	case REASON_IO:
		handle_io(v);
		break;
	case REASON_RDMSR:
		if (!vmx_has_apic()) /* which is read without an exit */
			vmx_prepare_apic_msr(v);
		handle_insn(v, HILUM_EXIT_RDMSR);
		break;
	case REASON_WRMSR:
		vmx_prepare_apic_msr(v);
		handle_insn(v, HILUM_EXIT_WRMSR);
		break;
	case REASON_VMCALL:
		v->cpl = vmx_read(VMCS_GUEST_ACCESS(SEGMENT_SS)) >> 5 & 3;
		/* The ABI knows VMCALL without prefixes only: its length is no question. */
		exit_handle(v, &(struct vexit){ .kind = HILUM_EXIT_HYPERCALL, .length = 3 });
		break;
	case REASON_EPT_VIOLATION:
		handle_ept(v);
		break;
	default:
		handle_rare(v, x, reason);
		break;
	}
}

/* STI's shadow needs IF, MOV SS's does not; with TF set a shadow holds a single-step trap back (27.3.1.5). */
static never_inline void write_interruptibility(struct vcpu *v, struct vmx_vcpu *x)
{
	uint32_t shadow = x->interruptibility & BLOCKING_SHADOW;

	if (v->shadow != (shadow != 0))
		shadow = !v->shadow ? 0 : v->rflags & RFLAGS_IF ? BLOCKING_BY_STI : BLOCKING_BY_MOV_SS;
	x->interruptibility = shadow | (v->nmi_blocked ? BLOCKING_BY_NMI : 0);
	vmx_write(VMCS_GUEST_INTERRUPTIBILITY, x->interruptibility);
	if (shadow != 0 && (v->rflags & 1u << 8))
		vmx_write(VMCS_GUEST_PENDING_DEBUG, DR6_BS);
}

static void commit(struct vcpu *v, struct vmx_vcpu *x)
{
	uint32_t now = x->interruptibility;

	if (likely(v->rip != x->rip))
		vmx_write(VMCS_GUEST_RIP, v->rip);
	if (unlikely(v->rflags != x->rflags))
		vmx_write(VMCS_GUEST_RFLAGS, v->rflags);
	if (unlikely(x->rsp_known && v->gpr[4] != x->rsp))
		vmx_write(VMCS_GUEST_RSP, v->gpr[4]);
	if (unlikely(v->shadow != ((now & BLOCKING_SHADOW) != 0) || v->nmi_blocked != ((now & BLOCKING_BY_NMI) != 0)))
		write_interruptibility(v, x);
}

void vmx_run(struct vcpu *v)
{
	struct vmx_vcpu *x = vmx_of(v);
	bool posts = vmx_controls.pin & PIN_POSTED_INTERRUPTS;

	if (posts)
		(void)__atomic_exchange_n(&v->posting, 1, __ATOMIC_SEQ_CST);
	while (v->state == VCPU_READY) {
		if (unlikely(!x->apic_in_page)) /* it has to go there again */
			v->check_interrupts |= vmx_apic_must_commit(v);
		if (!backend_ready_to_enter(v, inject, tlb_update))
			break;
		commit(v, x);
		bool entered = vmx_enter(v, x, x->launched);
		pveoi_after_exit(v);
		if (unlikely(!entered)) {
			vmx_entry_refused(v);
			break;
		}
		x->launched = true;
		v->rip = x->rip = vmx_read(VMCS_GUEST_RIP);
		v->rflags = x->rflags = vmx_read(VMCS_GUEST_RFLAGS);
		x->interruptibility = (uint32_t)vmx_read(VMCS_GUEST_INTERRUPTIBILITY);
		v->shadow = x->interruptibility & BLOCKING_SHADOW;
		v->nmi_blocked = x->interruptibility & BLOCKING_BY_NMI;
		v->paging_valid = false;
		x->rsp_known = false;
		classify(v, x, (uint32_t)vmx_read(VMCS_EXIT_REASON));
	}
	if (posts)
		(void)__atomic_exchange_n(&v->posting, 0, __ATOMIC_SEQ_CST);
}
