/* The exits that are more than a call into another file: ports, memory, halt. */
#include "kernel/exit.h"
#include "arch/x86_64/trap.h"
#include "kernel/event.h"
#include "kernel/fetch.h"
#include "kernel/forward.h"
#include "kernel/sched.h"
#include "kernel/vm.h"

/* The handlers stay out of exit_handle, so that the short ones do not pay for the registers that the long ones save. */
static never_inline void exit_port(struct vcpu *v, const struct vexit *x)
{
	struct vm *vm = v->vm;
	const struct range *doorbell = x->port.in || x->port.string ? NULL : range_find(vm->doorbells, x->port.port);

	if (doorbell != NULL) {
		event_signal(container_of(doorbell->target, struct event, object));
		vcpu_skip(v, (unsigned)(x->port.next_rip - v->rip));
		return;
	}
	if (vm->handler == NULL) { /* nobody there: the bus floats high */
		if (x->port.in && !x->port.string)
			v->gpr[0] = x->port.size == 4 ? 0xFFFFFFFF : v->gpr[0] | (x->port.size == 2 ? 0xFFFF : 0xFF);
		vcpu_skip(v, (unsigned)(x->port.next_rip - v->rip));
		return;
	}
	struct forward *f = &v->trapped; /* by its fields: a whole one is built on the stack first */
	f->kind = HILUM_TRAP_PORT;
	f->size = x->port.size;
	f->write = !x->port.in;
	f->address = x->port.port;
	f->value = x->port.in ? 0 : v->gpr[0] & (0xFFFFFFFFull >> (32 - 8 * x->port.size));
	f->next_rip = x->port.next_rip;
	if (unlikely(x->port.string)) {
		f->kind = HILUM_TRAP_STRING;
		f->insn = NULL;
		forward_trap_with_state(v);
		return;
	}
	forward_trap(v);
}

/* A plain move to or from the local APIC's page. False: not one; the full emulator of the handler must do it. */
static bool exit_apic(struct vcpu *v, const struct vexit *x)
{
	uint8_t fetched[INSN_MAX_BYTES];
	const uint8_t *insn = x->memory.insn;
	unsigned count = x->memory.insn_bytes;
	struct lapic_move move;
	uint32_t offset = x->memory.gpa & PAGE_MASK;

	if (insn == NULL) {
		count = fetch_instruction(v, fetched);
		insn = fetched;
	}
	if (!lapic_move_decode(insn, count, fetch_mode(vcpu_paging(v)), &move) || move.write != x->memory.write)
		return vm_pages_move; /* true: it comes again */
	if (move.write) {
		uint32_t value = move.reg == LAPIC_MOVE_NO_REGISTER ? move.imm : (uint32_t)v->gpr[move.reg];
		vlapic_mmio_write(&v->apic, offset, value);
		vcpu_apic_changed(v);
	} else {
		v->gpr[move.reg] = vlapic_mmio_read(&v->apic, offset);
	}
	vcpu_skip(v, move.length);
	return true;
}

static never_inline void exit_memory(struct vcpu *v, const struct vexit *x)
{
	gpa_t gpa = x->memory.gpa;
	uint32_t rights = x->memory.write ? HILUM_MAP_WRITE : x->memory.fetch ? HILUM_MAP_EXECUTE : HILUM_MAP_READ;
	enum status populated = vm_populate(v->vm, gpa, rights); /* also of a page that is there, but shared */

	if (populated != STATUS_NOT_FOUND) {
		v->stats.exits[HILUM_EXIT_MMIO]--; /* it was none */
		v->stats.exits[HILUM_EXIT_PAGE_FAULT]++;
		if (populated != STATUS_OK)
			vm_crash(v, HILUM_CRASH_NO_MEMORY, gpa);
		return;
	}
	if (v->apic.mode == VLAPIC_XAPIC && ALIGN_DOWN(gpa, PAGE_SIZE) == vlapic_mmio_base(&v->apic)) {
		if (exit_apic(v, x)) {
			v->stats.exits[HILUM_EXIT_MMIO]--;
			v->stats.exits[HILUM_EXIT_APIC]++;
			return;
		}
	}
	if (v->vm->handler == NULL) {
		vm_crash(v, HILUM_CRASH_NO_HANDLER, gpa);
		return;
	}
	v->trapped = (struct forward){
		.kind = HILUM_TRAP_MMIO,
		.write = x->memory.write,
		.address = gpa,
		.insn = x->memory.insn,
		.insn_bytes = x->memory.insn_bytes,
	};
	forward_trap_with_state(v);
}

static never_inline void exit_halt(struct vcpu *v, const struct vexit *x)
{
	vcpu_skip(v, x->length);
	vlapic_fetch_tpr(&v->apic); /* which decides what may end it */
	sched_guest_halts(v);
	v->state = v->kicked ? VCPU_READY : VCPU_HALTED;
	v->kicked = false;
	if (vcpu_has_wake_up(v))
		vcpu_request(v, VCPU_REQUEST_INTERRUPT); /* decides whether it sleeps */
}

static never_inline void exit_xsetbv(struct vcpu *v, const struct vexit *x)
{
	uint64_t value = v->gpr[2] << 32 | (uint32_t)v->gpr[0];

	if ((uint32_t)v->gpr[1] != 0 || !v->has_fpu || (value & ~cpuid_xcr0_mask) || xsetbv_safe(0, value) != STATUS_OK)
		VCPU_RAISE_GP(v);
	else
		vcpu_skip(v, x->length);
}

void exit_machine_check(struct vcpu *v)
{
	enum machine_check kind = machine_check_take(true);
	hpa_t address = host_health.check_address;
	const struct frame *frame = kind == MACHINE_CHECK_MEMORY ? frame_lookup(address, NULL) : NULL;

	if (kind == MACHINE_CHECK_CORRECTED)
		return;
	if (frame == NULL || frame->type != FRAME_GUEST)
		panic("machine check in vm %s: status %#lx, address %#lx", v->vm->name, host_health.check_status, address);
	host_health.checks_contained++;
	vm_crash(v, HILUM_CRASH_MACHINE_CHECK, address);
}

/* Every case ends in a jump, so that none pays for a stack frame here. */
void exit_handle(struct vcpu *v, const struct vexit *x)
{
	v->stats.exits[x->kind]++;
	switch (x->kind) {
	case HILUM_EXIT_CPUID:
		cpuid_handle(v, x->length);
		break;
	case HILUM_EXIT_HYPERCALL:
		hypercall_handle(v, x->length);
		break;
	case HILUM_EXIT_PORT:
		exit_port(v, x);
		break;
	case HILUM_EXIT_MMIO:
		exit_memory(v, x);
		break;
	case HILUM_EXIT_RDMSR:
		msr_handle_read(v, x->length);
		break;
	case HILUM_EXIT_WRMSR:
		msr_handle_write(v, x->length);
		break;
	case HILUM_EXIT_HALT:
		exit_halt(v, x);
		break;
	case HILUM_EXIT_PAUSE:
		sched_spins(v);
		vcpu_skip(v, x->length);
		break;
	case HILUM_EXIT_XSETBV:
		exit_xsetbv(v, x);
		break;
	case HILUM_EXIT_CACHE: /* no device of this VM is incoherent: nothing to write back, and never to be thrown away */
		vcpu_skip(v, x->length);
		break;
	case HILUM_EXIT_RDPMC:
		VCPU_RAISE_GP(v);
		break;
	case HILUM_EXIT_SHUTDOWN:
		vm_crash(v, HILUM_CRASH_TRIPLE_FAULT, 0);
		break;
	case HILUM_EXIT_INVALID_OPCODE:
		VCPU_RAISE_UD(v);
		break;
	default:
		vm_crash(v, HILUM_CRASH_UNKNOWN_EXIT, x->detail);
		break;
	}
}
