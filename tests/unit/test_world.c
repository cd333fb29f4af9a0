/*
 * A world at random: guests and handlers on four cores that trap, halt, send interrupts and answer anything, while the control VM
 * starts, stops, replaces and destroys them. Freed pages are poisoned; after each round nothing may be left.
 */
/* clang-format off */
/* UNIT_SOURCES: build/unit/kernel_fake.a */
/* UNIT_FLAGS: @tests/unit/fake_kernel/fake.flags @tests/unit/fake_kernel/fake.wrap */
/* clang-format on */
#include "tests/unit/fake_kernel/fake.h"

#define VMS    5u /* the first two are made as handlers */
#define VCPUS  3u
#define ROUNDS 150u
#define STEPS  300u

static struct {
	hilum_handle_t vm, vcpu[VCPUS], event;
} w[VMS];
static unsigned entries_total;

static unsigned pick(unsigned n)
{
	return (unsigned)(fake_random() % n);
}

/* ---- What runs ---- */

static void touch_apic(struct vcpu *v)
{
	static const uint16_t registers[] = { 0x80, 0xB0, 0xD0, 0xF0, 0x300, 0x310, 0x320, 0x350, 0x360, 0x380, 0x3E0 };

	vlapic_mmio_write(&v->apic, registers[pick(ARRAY_SIZE(registers))], (uint32_t)fake_random());
	vcpu_apic_changed(v);
}

static void send_ipi(struct vcpu *v)
{
	static const uint32_t modes[] = { 0, 0, 0, 1 << 8, 4 << 8, 5 << 8 | 1 << 14, 6 << 8 };

	vlapic_mmio_write(&v->apic, 0xF0, 0x1FF);
	vlapic_mmio_write(&v->apic, 0x310, pick(VCPUS) << 24);
	vlapic_mmio_write(&v->apic, 0x300, modes[pick(ARRAY_SIZE(modes))] | pick(4) << 18 | (32 + pick(200)));
	vcpu_apic_changed(v);
}

static void trap(struct vcpu *v)
{
	struct vexit port = { .kind = HILUM_EXIT_PORT,
		              .port = { .port = (uint16_t)pick(256),
		                        .size = (uint8_t)(1 << pick(3)),
		                        .in = pick(2),
		                        .string = !pick(8),
		                        .next_rip = v->rip + 1 } };
	struct vexit mmio = { .kind = HILUM_EXIT_MMIO, .memory = { .gpa = fake_random() >> pick(50), .write = pick(2) } };

	exit_handle(v, pick(2) ? &port : &mmio);
}

static void wait(struct vcpu *v)
{
	memset(v->vm->shared->pending[v->index], 0, sizeof(v->vm->shared->pending[0]));
	if (v->trap_current != NULL) { /* an answer of any kind */
		v->trap_current->trap->reply = pick(20) ? pick(2) : pick(5);
		v->trap_current->trap->vector = pick(20) ? 14 : pick(40);
		v->trap_current->trap->value = fake_random() >> pick(64);
	}
	v->gpr[0] = HC_WAIT;
	v->gpr[7] = pick(8) ? HILUM_WAIT_REPLY : 0;
	v->gpr[6] = pick(3) ? 0 : fake_tsc + pick(100000);
	hypercall_handle(v, 3);
}

static uint64_t step(struct vcpu *v)
{
	struct vexit halt = { .kind = HILUM_EXIT_HALT, .length = 1 };
	static const uint32_t kinds[] = { HILUM_EXIT_CPUID, HILUM_EXIT_HYPERCALL, HILUM_EXIT_RDMSR,         HILUM_EXIT_WRMSR,
		                          HILUM_EXIT_PAUSE, HILUM_EXIT_CR,        HILUM_EXIT_INVALID_OPCODE };
	struct vexit other = { .kind = pick(200) ? kinds[pick(ARRAY_SIZE(kinds))] : HILUM_EXIT_OTHER, .length = 1 + pick(15) };

	entries_total++;
	assert_false(v->stopped);
	if (pick(8) == 0)
		v->rflags ^= 0x200;
	switch (pick(10)) {
	case 0:
		exit_handle(v, &halt);
		break;
	case 1:
		touch_apic(v);
		break;
	case 2:
		send_ipi(v);
		break;
	case 3:
	case 4:
		trap(v);
		break;
	case 5:
		v->gpr[0] = pick(2) ? HILUM_CALL_BASE + pick(40) : pick(12);
		exit_handle(v, &other);
		break;
	case 6:
		vlapic_eoi(&v->apic);
		break;
	default:
		if (v->vm->flags & HILUM_VM_REALTIME)
			wait(v);
		break;
	}
	if (backend_of(v)->window && (v->rflags & 0x200))
		vcpu_window_opened(v);
	if (pick(4) == 0)
		v->nmi_blocked = false; /* IRET */
	return pick(100000);
}

/* ---- What the control VM does ---- */

static void make(unsigned i)
{
	w[i].vm = make_vm(i < 2 ? HILUM_VM_REALTIME : HILUM_VM_KVM_LEAVES);
	for (unsigned n = 0; n < VCPUS; n++)
		make_vcpu(w[i].vm, n, pick(cpu_count), &w[i].vcpu[n]);
	w[i].event = CALL_HANDLE(HC_EVENT_CREATE, w[i].vm, pick(VCPUS), pick(128), pick(2) ? 0x40 + pick(100) : 0);
	if (i >= 2 && w[i % 2].vm != 0)
		CALL_OK(HC_VM_SET_HANDLER, w[i].vm, w[i % 2].vm, i);
	for (unsigned n = 0; n < VCPUS; n++)
		CALL_OK(HC_VCPU_RUN, w[i].vcpu[n]);
}

static void unmake(unsigned i)
{
	CALL_OK(HC_VM_DESTROY, w[i].vm);
	for (unsigned n = 0; n < VCPUS; n++)
		CALL_OK(HC_HANDLE_CLOSE, w[i].vcpu[n]);
	CALL_OK(HC_HANDLE_CLOSE, w[i].event);
	w[i].vm = 0;
}

static void write_state(hilum_handle_t vcpu)
{
	struct hilum_vcpu_state s = { .rflags = 2 | pick(2) << 9, .activity = pick(3), .shadow = pick(4) };

	memcpy(control_memory() + PAGE_SIZE, &s, sizeof(s));
	int64_t result = CALL(HC_VCPU_SET_STATE, vcpu, PAGE_SIZE, HILUM_STATE_GPR | HILUM_STATE_EVENTS);
	assert_true(result == 0 || result == HILUM_E_BUSY);
}

static void act(void)
{
	unsigned i = pick(VMS);
	hilum_handle_t vcpu = w[i].vcpu[pick(VCPUS)];

	if (w[i].vm == 0) {
		make(i);
		return;
	}
	if (vm_of(w[i].vm)->status.state == HILUM_VM_CRASHED) {
		unmake(i);
		return;
	}
	switch (pick(12)) {
	case 0:
		unmake(i);
		break;
	case 1:
	case 2:
		CALL_OK(HC_VCPU_PAUSE, vcpu);
		if (pick(2))
			write_state(vcpu);
		if (pick(2))
			CALL_OK(HC_VCPU_RUN, vcpu);
		break;
	case 3:
	case 4:
		CALL_OK(HC_VCPU_RUN, vcpu);
		break;
	case 5:
		if (i >= 2 && w[i % 2].vm != 0)
			CALL_OK(HC_VM_SET_HANDLER, w[i].vm, w[i % 2].vm, fake_random());
		break;
	case 6:
		if (i >= 2 && (w[0].vm != 0 && w[1].vm != 0))
			CALL_OK(HC_VM_SET_HANDLER, w[i].vm, pick(10) ? w[pick(2)].vm : 0, fake_random());
		break;
	case 7:
		CALL_OK(HC_VM_SET_EXTINT, w[i].vm, pick(2));
		break;
	case 8:
		(void)CALL(HC_VM_INJECT_MSI, w[i].vm, 0xFEE00000 | pick(256) << 12, fake_random() & 0xFFFF);
		break;
	default:
		CALL_OK(HC_EVENT_SIGNAL, w[i].event);
		break;
	}
}

static void world__random__nothing_breaks_and_nothing_is_left(void **state)
{
	(void)state;
	for (unsigned round = 0; round < ROUNDS; round++) {
		fake_boot(1 + round % CORES_MAX);
		fake_guest = step;
		memset(w, 0, sizeof(w));
		for (unsigned n = 0; n < STEPS; n++) {
			fake_become(0);
			act();
			fake_others_are_late = false;
			for (unsigned core = pick(2); core < cpu_count; core++)
				fake_run(core, 1 + pick(6));
			fake_advance(pick(200000));
		}
		fake_guest = NULL;
		fake_check_clean();
	}
	print_message("%u entries\n", entries_total);
	assert_true(entries_total > ROUNDS * STEPS / 3);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(world__random__nothing_breaks_and_nothing_is_left),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
