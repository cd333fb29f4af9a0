/*
 * The run loop and the classification of exits. APM vol. 2, 15.6 "#VMEXIT" and Appendix C "SVM Intercept Exit Codes".
 * Nothing here trusts what the guest left in a register; the VMCB's exit fields are the CPU's own.
 */
#include "kernel/exit.h"
#include "kernel/fetch.h"
#include "kernel/pveoi.h"
#include "svm/svm.h"

static void host_interrupt_window(void)
{
	__asm__ volatile("stgi; sti; nop; cli; clgi" ::: "memory");
}

void svm_idle(struct cpu *cpu)
{
	(void)cpu;
	__asm__ volatile("stgi; sti; hlt; cli; clgi" ::: "memory"); /* STI's shadow: no interrupt slips in before HLT */
}

/* A fresh tag: translations of the old one are never used again. Tags run out: all are flushed and a new generation starts. */
static void asid_assign(struct vcpu *v)
{
	struct cpu *cpu = v->cpu;
	struct vmcb *c = svm_vmcb(v);

	c->tlb_control = TLB_CONTROL_NONE;
	if (cpu->asid_next >= svm_features.asids) {
		cpu->asid_generation++;
		cpu->asid_next = 1;
		c->tlb_control = TLB_CONTROL_FLUSH_ALL;
	}
	v->asid_generation = cpu->asid_generation;
	v->npt_generation = __atomic_load_n(&v->vm->npt.generation, __ATOMIC_ACQUIRE);
	VMCB_SET(c, guest_asid, cpu->asid_next++);
}

/*
 * An interrupt waits: for a window, or (no `open`) for the guest's CR8 to let it through. A write of CR8 exits in both cases, so that V_TPR
 * and vcpu.apic agree as long as something is in IRR; and QEMU 7.2 aborts at one while V_IRQ is set.
 */
static void window_set(struct vmcb *c, bool open, bool waits)
{
	if (likely(!waits && !(c->intercept_cr & INTERCEPT(VMEXIT_CR_WRITE(8)))))
		return;
	c->v_irq = open ? V_IRQ : 0;
	VMCB_SET(c, intercept_cr, (c->intercept_cr & ~INTERCEPT(VMEXIT_CR_WRITE(8))) | (waits ? INTERCEPT(VMEXIT_CR_WRITE(8)) : 0));
	VMCB_SET(c, intercept_misc1, (c->intercept_misc1 & ~INTERCEPT(VMEXIT_VINTR)) | (open ? INTERCEPT(VMEXIT_VINTR) : 0));
}

static void inject(struct vcpu *v)
{
	struct vmcb *c = svm_vmcb(v);
	bool window;

	if (unlikely(c->v_tpr != v->apic.tpr >> 4))
		vlapic_fetch_tpr(&v->apic);
	uint64_t event = vcpu_next_event(v, (v->rflags & RFLAGS_IF) && !v->shadow, &window);
	c->eventinj = event;
	if ((event & (EVENT_VALID | EVENT_TYPE_MASK)) == (EVENT_VALID | EVENT_TYPE_NMI))
		VMCB_SET(c, intercept_misc1, c->intercept_misc1 | INTERCEPT(VMEXIT_IRET));
	window_set(c, window, window || vlapic_has_request(&v->apic));
	if (unlikely(v->nmi_pending && !v->nmi_blocked && event == 0))
		vcpu_step_for_nmi(v); /* held by a shadow, or at nmi_return */
}

static unsigned insn_length_of(struct vcpu *v, const struct vmcb *c)
{
	if (svm_features.nrip) {
		uint64_t length = c->nrip - v->rip;
		return length - 1 < INSN_MAX_BYTES ? (unsigned)length : 0;
	}
	if (!v->paging_valid) { /* what vcpu_paging would do, without the indirect call */
		svm_fetch_paging(v);
		v->paging_valid = true;
	}
	return fetch_insn_length(v);
}

/* Complete an instruction exit of `kind`, once its length is known. */
static void handle_insn(struct vcpu *v, const struct vmcb *c, uint32_t kind)
{
	struct vexit x; /* of which exits of instructions have these two fields only */

	x.kind = kind;
	x.length = insn_length_of(v, c);
	if (unlikely(x.length == 0)) { /* the guest took its own code away, unless we did */
		if (!vm_pages_move)
			VCPU_RAISE_UD(v);
		return;
	}
	exit_handle(v, &x);
}

static never_inline void handle_io(struct vcpu *v, const struct vmcb *c)
{
	uint32_t info = (uint32_t)c->exitinfo1;
	struct vexit x; /* its other fields have no meaning here */

	x.kind = HILUM_EXIT_PORT;
	x.port.port = (uint16_t)(info >> IOIO_PORT_SHIFT);
	x.port.size = info >> IOIO_SIZE_SHIFT & IOIO_SIZE_MASK;
	x.port.in = info & IOIO_IN;
	x.port.string = info & (IOIO_STRING | IOIO_REP);
	x.port.next_rip = c->exitinfo2;
	exit_handle(v, &x);
}

static never_inline void handle_npf(struct vcpu *v, const struct vmcb *c)
{
	struct vexit x = {
		.kind = HILUM_EXIT_MMIO,
		.memory = {
			.gpa = c->exitinfo2,
			.write = c->exitinfo1 & NPF_WRITE,
			.fetch = c->exitinfo1 & NPF_FETCH,
			.insn = svm_features.decode_assists && c->insn_bytes_fetched != 0 ? c->insn_bytes : NULL,
			.insn_bytes = c->insn_bytes_fetched & 15,
		},
	};
	exit_handle(v, &x);
}

/*
 * MOV to or from a control register, from the bytes alone: 0F 20 reads, 0F 22 writes; LOCK selects CR8 on AMD (APM vol. 3, MOV
 * CRn). Returns the length, 0 for anything else.
 */
static unsigned decode_mov_cr(struct vcpu *v, uint8_t *reg, unsigned *cr, bool *write)
{
	uint8_t bytes[INSN_MAX_BYTES];
	unsigned n = fetch_instruction(v, bytes);
	enum insn_mode mode = fetch_mode(vcpu_paging(v));
	unsigned length = insn_length(bytes, n, mode);
	struct insn_prefixes p;

	if (length == 0 || !insn_read_prefixes(bytes, length, mode, &p) || length - p.bytes != 3)
		return 0;
	const uint8_t *op = bytes + p.bytes;
	if (op[0] != 0x0F || (op[1] & 0xFD) != 0x20)
		return 0;
	*write = op[1] == 0x22;
	*reg = (op[2] & 7) | (p.rex & 1) << 3;
	*cr = (op[2] >> 3 & 7) | (p.rex & 4) << 1 | (p.lock_or_repeat ? 8 : 0);
	return length;
}

/* A write, while an interrupt waits. The bytes may be others by now: what comes of that is the guest's own affair. */
static void handle_cr8(struct vcpu *v)
{
	uint8_t reg;
	unsigned cr, length;
	bool write;

	v->stats.exits[HILUM_EXIT_CR]++;
	length = decode_mov_cr(v, &reg, &cr, &write);
	if (length == 0) {
		if (!vm_pages_move)
			VCPU_RAISE_UD(v);
	} else if (v->gpr[reg] > 15) {
		VCPU_RAISE_GP(v);
	} else {
		vlapic_set_tpr(&v->apic, (uint8_t)(v->gpr[reg] << 4));
		v->check_interrupts = true;
		vcpu_skip(v, length);
	}
}

/* QEMU answers a guest's write of reserved CR3 or CR4 bits with this code, where a CPU raises #GP; anything else is a state nobody can run. */
static void handle_invalid(struct vcpu *v, const struct vmcb *c)
{
	uint8_t reg;
	unsigned cr;
	bool write;

	if (decode_mov_cr(v, &reg, &cr, &write) != 0 && write && (cr == 3 || cr == 4))
		VCPU_RAISE_GP(v);
	else if (!vm_pages_move)
		vm_crash(v, HILUM_CRASH_INVALID_STATE, c->exitcode);
}

/* The NMI handler is about to end: the next NMI, whether it waits or comes meanwhile, comes after the IRET. */
static void handle_iret(struct vcpu *v, struct vmcb *c)
{
	VMCB_SET(c, intercept_misc1, c->intercept_misc1 & ~INTERCEPT(VMEXIT_IRET));
	v->nmi_blocked = false;
	v->nmi_return = v->rip;
	v->check_interrupts = true;
}

static never_inline void handle_rare(struct vcpu *v, struct vmcb *c, uint32_t code)
{
	switch (code) {
	case VMEXIT_VINTR:
		v->stats.exits[HILUM_EXIT_WINDOW]++;
		window_set(c, false, true);
		vcpu_window_opened(v);
		return;
	case VMEXIT_EXCP(1):
		v->stats.exits[HILUM_EXIT_EXCEPTION]++;
		if (v->nmi_stepping)
			vcpu_step_done(v);
		else
			vcpu_raise(v, 1, false, 0);
		return;
	case VMEXIT_EXCP(3): /* this and the next for a debugger only */
	case VMEXIT_EXCP(6):
	case VMEXIT_EXCP(17):
		v->stats.exits[HILUM_EXIT_EXCEPTION]++;
		vcpu_raise(v, code & 31, code == VMEXIT_EXCP(17), 0);
		return;
	case VMEXIT_EXCP(18):
		exit_machine_check(v);
		return;
	case VMEXIT_CR_WRITE(3):
		v->stats.exits[HILUM_EXIT_CR]++;
		(void)vcpu_stop_for_debugger(v, 32);
		return;
	case VMEXIT_CR_WRITE(8):
		handle_cr8(v);
		return;
	case VMEXIT_IRET:
		handle_iret(v, c);
		return;
	case VMEXIT_XSETBV:
		handle_insn(v, c, HILUM_EXIT_XSETBV);
		return;
	case VMEXIT_INVD:
	case VMEXIT_WBINVD:
		handle_insn(v, c, HILUM_EXIT_CACHE);
		return;
	case VMEXIT_RDPMC:
		handle_insn(v, c, HILUM_EXIT_RDPMC);
		return;
	case VMEXIT_INVLPGA: /* instructions that the VM does not have */
	case VMEXIT_VMRUN ... VMEXIT_SKINIT:
	case VMEXIT_MONITOR ... VMEXIT_MWAIT:
		handle_insn(v, c, HILUM_EXIT_INVALID_OPCODE);
		return;
	case VMEXIT_SHUTDOWN:
		exit_handle(v, &(struct vexit){ .kind = HILUM_EXIT_SHUTDOWN });
		return;
	case VMEXIT_INVALID:
		handle_invalid(v, c);
		return;
	case VMEXIT_NMI:
		v->stats.exits[HILUM_EXIT_NMI]++;
		host_interrupt_window(); /* the NMI was held by GIF = 0 */
		return;
	case VMEXIT_PAUSE:
		host_interrupt_window(); /* Bochs makes no exit for one where the guest was entered with IF clear */
		handle_insn(v, c, HILUM_EXIT_PAUSE);
		return;
	case VMEXIT_DR_FIRST ... VMEXIT_DR_LAST:
		if (!vcpu_stop_for_debugger(v, 33))
			svm_dr_take(v);
		return;
	default:
		exit_handle(v, &(struct vexit){ .kind = HILUM_EXIT_OTHER, .detail = c->exitcode });
		return;
	}
}

static void classify(struct vcpu *v, struct vmcb *c)
{
	/* The ABI knows VMMCALL without prefixes only: its length is no question. */
	static const struct vexit vmmcall = { .kind = HILUM_EXIT_HYPERCALL, .length = 3 };
	uint32_t code = (uint32_t)c->exitcode;

	switch (code) {
	case VMEXIT_INTR:
		v->stats.exits[HILUM_EXIT_INTERRUPT]++;
		host_interrupt_window();
		if (c->v_irq & V_IRQ) /* the window may be open by now; and Bochs ignores V_IRQ where IF is set at VMRUN */
			v->check_interrupts = true;
		break;
	case VMEXIT_CPUID:
		handle_insn(v, c, HILUM_EXIT_CPUID);
		break;
	case VMEXIT_HLT:
		handle_insn(v, c, HILUM_EXIT_HALT);
		break;
	case VMEXIT_IOIO:
		handle_io(v, c);
		break;
	case VMEXIT_MSR:
		handle_insn(v, c, c->exitinfo1 & 1 ? HILUM_EXIT_WRMSR : HILUM_EXIT_RDMSR);
		break;
	case VMEXIT_VMMCALL:
		v->cpl = c->cpl;
		exit_handle(v, &vmmcall);
		break;
	case VMEXIT_NPF:
		handle_npf(v, c);
		break;
	default:
		handle_rare(v, c, code);
		break;
	}
}

void svm_run(struct vcpu *v)
{
	struct vmcb *c = svm_vmcb(v);

	while (v->state == VCPU_READY) {
		if (!backend_ready_to_enter(v, inject, asid_assign))
			break;
		c->rax = v->gpr[0];
		c->rsp = v->gpr[4];
		c->rip = v->rip;
		c->rflags = v->rflags;
		c->interrupt_shadow = v->shadow;
		svm_enter(v, v->backend_hpa);
		v->gpr[0] = c->rax;
		v->gpr[4] = c->rsp;
		v->rip = c->rip;
		v->rflags = c->rflags;
		v->shadow = c->interrupt_shadow & INTERRUPT_SHADOW;
		v->paging_valid = false;
		if (svm_features.clean)
			c->clean = CLEAN_ALL;
		c->tlb_control = TLB_CONTROL_NONE;
		pveoi_after_exit(v);
		if (unlikely(c->exitintinfo & EVENT_VALID))
			backend_requeue_event(v, c->exitintinfo);
		classify(v, c);
	}
}
