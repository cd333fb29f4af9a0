/*
 * Synchronous traps: direct switch, queues, answers, and handlers that die, are replaced or lie.
 */
/* clang-format off */
/* UNIT_SOURCES: build/unit/kernel_fake.a */
/* UNIT_FLAGS: @tests/unit/fake_kernel/fake.flags @tests/unit/fake_kernel/fake.wrap */
/* clang-format on */
#include "tests/unit/fake_kernel/fake.h"

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

#define BADGE 0x1234567890ull
#define PORT  0x70u

/* Guests g[0] and g[2] run on core 0, g[1] on core 1; the handler VM has a vCPU on core 0 alone. */
static hilum_handle_t guest_vm, handler_vm, guest_vcpu[3], handler_vcpu;
static struct vcpu *g[3], *h;
static struct vexit plan[3]; /* what each guest does once; kind HILUM_EXIT_PAUSE: nothing */
static unsigned finished[3]; /* entries after it */

static struct {
	unsigned count;
	struct vcpu *trapped[16];
	uint64_t badge, kind, address, size, write, value;
	unsigned wakes, timeouts;
} seen;

/* What the handler does with a trap; false: no answer. */
static bool (*answer)(struct hilum_trap *t);
static uint64_t wait_deadline;
static bool handler_is_interrupted; /* its turn ends once before it answers */

static bool answer_port(struct hilum_trap *t)
{
	t->value = 0xA1B2C3D4E5F60718ull;
	return true;
}

static void handler_look(struct vcpu *v)
{
	if (v->gpr[0] == HILUM_WAIT_TRAP) {
		seen.badge = v->gpr[2];
		seen.kind = v->gpr[7];
		seen.address = v->gpr[8];
		seen.size = v->gpr[9] & 0xFF;
		seen.write = v->gpr[9] >> 8;
		seen.value = v->gpr[10];
		seen.trapped[seen.count++ % 16] = vm_of(guest_vm)->vcpu[v->gpr[6]];
	} else if (v->gpr[0] == HILUM_WAIT_EVENT) {
		seen.wakes++;
		v->vm->shared->pending[v->index][0] = v->vm->shared->pending[v->index][1] = 0;
	} else if (v->gpr[0] == HILUM_WAIT_TIMEOUT) {
		seen.timeouts++;
		wait_deadline = 0;
	}
}

static void handler_step(struct vcpu *v)
{
	bool reply = false;

	if (handler_is_interrupted) {
		handler_is_interrupted = false;
		v->cpu->resched = true;
		return;
	}
	handler_look(v);
	if (v->gpr[0] == HILUM_WAIT_TRAP && answer != NULL)
		reply = answer(vm_of(guest_vm)->vcpu[v->gpr[6]]->trap);
	v->gpr[0] = HC_WAIT;
	v->gpr[7] = reply ? HILUM_WAIT_REPLY : 0;
	v->gpr[6] = wait_deadline;
	hypercall_handle(v, 3);
}

static uint64_t step(struct vcpu *v)
{
	if (v->vm != vm_of(guest_vm)) {
		handler_step(v);
		return 100;
	}
	struct vexit x = plan[v->index];
	plan[v->index].kind = HILUM_EXIT_PAUSE;
	if (x.kind == HILUM_EXIT_PAUSE) {
		finished[v->index]++;
		v->cpu->resched = true; /* let others in */
	} else {
		exit_handle(v, &x);
	}
	return 100;
}

static struct vexit port_in(uint8_t size)
{
	return (struct vexit){ .kind = HILUM_EXIT_PORT, .port = { .port = PORT, .size = size, .in = true, .next_rip = 0x1002 } };
}

static struct vexit mmio(bool write)
{
	return (struct vexit){ .kind = HILUM_EXIT_MMIO, .memory = { .gpa = 0xFEC00010, .write = write } };
}

static int set_up(void **state)
{

	(void)state;
	fake_boot(2);
	memset(&seen, 0, sizeof(seen));
	memset(finished, 0, sizeof(finished));
	answer = answer_port;
	wait_deadline = 0;
	guest_vm = make_vm(0);
	handler_vm = make_vm(HILUM_VM_REALTIME);
	h = make_vcpu(handler_vm, 0, 0, &handler_vcpu);
	for (unsigned i = 0; i < 3; i++) {
		g[i] = make_vcpu(guest_vm, i, i == 1, &guest_vcpu[i]);
		g[i]->state = VCPU_READY;
		g[i]->rip = 0x1000;
		plan[i] = port_in(4);
	}
	CALL_OK(HC_VM_SET_HANDLER, guest_vm, handler_vm, BADGE);
	fake_guest = step;
	CALL_OK(HC_VCPU_RUN, handler_vcpu);
	fake_run(0, 1);
	assert_int_equal(h->state, VCPU_WAITING);
	return 0;
}

static int tear_down(void **state)
{
	(void)state;
	fake_check_clean();
	return 0;
}

static void start(unsigned i)
{
	CALL_OK(HC_VCPU_RUN, guest_vcpu[i]);
}

/* Both cores run until guest `i` has gone on, or for a while. */
static void run_all(void)
{
	for (unsigned n = 0; n < 20; n++) {
		fake_run(0, 2);
		fake_run(1, 2);
	}
}

/* ---- Delivery ---- */

/* It stays blocked, and what the handler held of it is given back. */
static void port__never_answered__next_trap_comes_and_nothing_is_held(void **state)
{
	(void)state;
	answer = NULL;
	start(0);
	fake_run(0, 3);
	assert_ptr_equal(h->trap_current, g[0]);
	uint32_t refs = g[0]->object.refs;
	start(2);
	fake_run(0, 3);
	assert_ptr_equal(h->trap_current, g[2]);
	assert_int_equal(g[0]->object.refs, refs - 1);
	assert_int_equal(g[0]->state, VCPU_TRAPPED);
}

static void port__handler_waits_on_this_core__switches_directly(void **state)
{
	(void)state;
	start(0);
	uint64_t switches = h->stats.switches;
	fake_run(0, 2); /* the guest, then the handler at once */
	assert_int_equal(seen.count, 1);
	assert_int_equal(seen.badge, BADGE);
	assert_int_equal(seen.kind, HILUM_TRAP_PORT);
	assert_int_equal(seen.address, PORT);
	assert_int_equal(seen.size, 4);
	assert_int_equal(seen.write, 0);
	assert_ptr_equal(seen.trapped[0], g[0]);
	assert_int_equal(h->stats.switches, switches);
	uint64_t guest_switches = g[0]->stats.switches;
	fake_run(0, 1); /* and back */
	assert_int_equal(finished[0], 1);
	assert_int_equal(g[0]->stats.switches, guest_switches);
	assert_int_equal(g[0]->rip, 0x1002);
}

static void port__each_size__rest_of_rax_as_the_architecture_says(void **state)
{
	static const struct {
		uint8_t size;
		uint64_t rax;
	} rows[] = { { 1, 0xFFFFFFFFFFFFFF18ull }, { 2, 0xFFFFFFFFFFFF0718ull }, { 4, 0xE5F60718ull } };

	(void)state;
	start(0);
	for (unsigned i = 0; i < ARRAY_SIZE(rows); i++) {
		plan[0] = port_in(rows[i].size);
		g[0]->rip = 0x1000;
		g[0]->gpr[0] = UINT64_MAX;
		run_all();
		assert_int_equal(g[0]->gpr[0], rows[i].rax);
	}
}

static void port_out__value__only_its_bytes_leave(void **state)
{
	static const uint64_t value[] = { [1] = 0x18, [2] = 0x0718, [4] = 0xE5F60718 };

	(void)state;
	start(0);
	for (unsigned size = 1; size <= 4; size *= 2) {
		plan[0] = port_in((uint8_t)size);
		plan[0].port.in = false;
		g[0]->rip = 0x1000;
		g[0]->gpr[0] = 0xA1B2C3D4E5F60718ull;
		run_all();
		assert_int_equal(seen.value, value[size]);
		assert_int_equal(seen.write, 1);
		assert_int_equal(g[0]->gpr[0], 0xA1B2C3D4E5F60718ull);
	}
}

/* The handler goes on at its own expense then, and the guest must not do so too. */
static void port__turn_ends_in_the_handler__guest_waits_for_its_own(void **state)
{
	(void)state;
	start(0);
	run_all();
	assert_true(finished[0] > 0);
	uint64_t switches = g[0]->stats.switches - finished[0];

	plan[0] = port_in(4);
	finished[0] = 0;
	g[0]->stats.switches = 0;
	handler_is_interrupted = true;
	run_all();
	assert_false(handler_is_interrupted);
	assert_true(finished[0] > 0 && seen.count == 2);
	assert_int_equal(g[0]->stats.switches - finished[0], switches + 1);
	assert_int_equal(g[0]->deferred, 0);
}

static void port__handler_on_other_core__is_kicked_and_answers(void **state)
{
	(void)state;
	start(1);
	fake_run(1, 1);
	assert_int_equal(g[1]->state, VCPU_TRAPPED);
	fake_run(0, 1);
	assert_int_equal(seen.count, 1);
	assert_int_equal(g[1]->state, VCPU_TRAPPED); /* its own core completes it */
	fake_run(1, 1);
	assert_int_equal(finished[1], 1);
	assert_int_equal(g[1]->gpr[0], 0xE5F60718ull);
}

static void port__handler_paused__served_oldest_first_later(void **state)
{
	(void)state;
	CALL_OK(HC_VCPU_PAUSE, handler_vcpu);
	start(2);
	fake_run(0, 1);
	start(1);
	fake_run(1, 1);
	start(0);
	fake_run(0, 1);
	assert_int_equal(g[0]->state + g[1]->state + g[2]->state, 3 * VCPU_TRAPPED);
	CALL_OK(HC_VCPU_RUN, handler_vcpu);
	run_all();
	assert_int_equal(seen.count, 3);
	assert_ptr_equal(seen.trapped[0], g[2]);
	assert_ptr_equal(seen.trapped[1], g[1]);
	assert_ptr_equal(seen.trapped[2], g[0]);
	for (unsigned i = 0; i < 3; i++)
		assert_true(finished[i] > 0);
}

/* ---- Without a handler ---- */

static void port__no_handler__floats_high(void **state)
{
	(void)state;
	CALL_OK(HC_VM_SET_HANDLER, guest_vm, 0, 0);
	g[0]->gpr[0] = 0;
	plan[0] = port_in(2);
	start(0);
	fake_run(0, 2);
	assert_int_equal(g[0]->gpr[0], 0xFFFF);
	assert_int_equal(g[0]->rip, 0x1002);
}

static void mmio__no_handler__crashes_and_signals(void **state)
{
	struct hilum_vm_status status;

	(void)state;
	CALL_OK(HC_VM_SET_HANDLER, guest_vm, 0, 0);
	vm_of(guest_vm)->status_event = event_of(CALL_HANDLE(HC_EVENT_CREATE, SELF_HANDLE, 0, 9, 0));
	object_ref(&vm_of(guest_vm)->status_event->object);
	plan[0] = mmio(true);
	start(0);
	fake_run(0, 5);
	status = vm_of(guest_vm)->status;
	assert_int_equal(status.state, HILUM_VM_CRASHED);
	assert_int_equal(status.crash, HILUM_CRASH_NO_HANDLER);
	assert_int_equal(status.detail, 0xFEC00010);
	assert_int_equal(backend_of(g[0])->dumps, 1);
	assert_true(g[0]->stopped);
	assert_int_equal(seen.wakes, 1);
}

/* ---- Answers ---- */

static uint64_t answer_rflags, answer_vector;
static uint32_t answer_reply;

static bool answer_state(struct hilum_trap *t)
{
	for (unsigned i = 0; i < 16; i++)
		t->gpr[i] = 100 + i;
	t->rip = 0x2000;
	t->rflags = answer_rflags;
	t->reply = answer_reply;
	t->vector = (uint32_t)answer_vector;
	t->error_code = 0x12345;
	t->cr2 = 0xC2;
	return true;
}

static void trap_once(struct vexit x)
{
	answer = answer_state;
	plan[0] = x;
	start(0);
	fake_run(0, 3);
}

static struct hilum_trap asked;

static bool note_question(struct hilum_trap *t)
{
	asked = *t;
	return true;
}

/* All that an emulator goes by, and nothing of the trap before it. */
static void with_state__question__is_in_the_page(void **state)
{
	static const uint8_t insn[15] = { 0x67, 0x8B, 0x03, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15 };
	struct hilum_vcpu_state *s = &backend_of(g[0])->state;
	struct vexit x = mmio(true);

	(void)state;
	s->cr0 = 0x80000011;
	s->cr2 = 2;
	s->cr3 = 0x3000;
	s->cr4 = 0x20;
	s->efer = 0x500;
	for (unsigned i = 0; i < 6; i++)
		(&s->es)[i] = (struct hilum_segment){ .base = i, .limit = 10 + i, .selector = (uint16_t)(20 + i), .attributes = 0x93 };
	for (unsigned i = 0; i < 16; i++)
		g[0]->gpr[i] = 50 + i;
	g[0]->rflags = 0x246;
	x.memory.insn = insn;
	x.memory.insn_bytes = sizeof(insn);
	memset(g[0]->trap, 0xEE, sizeof(*g[0]->trap));
	answer = note_question;
	plan[0] = x;
	start(0);
	fake_run(0, 3);
	assert_int_equal(asked.kind, HILUM_TRAP_MMIO);
	assert_int_equal(asked.write, 1);
	assert_int_equal(asked.address, 0xFEC00010);
	assert_int_equal(asked.insn_bytes, sizeof(insn));
	assert_memory_equal(asked.insn, insn, sizeof(insn));
	assert_int_equal(asked.reply, 0);
	assert_memory_equal(asked.gpr, g[0]->gpr, sizeof(asked.gpr));
	assert_int_equal(asked.rip, 0x1000);
	assert_int_equal(asked.rflags, 0x246);
	assert_memory_equal(&asked.cr0, &s->cr0, 5 * sizeof(uint64_t));
	assert_memory_equal(&asked.es, &s->es, 6 * sizeof(s->es));

	plan[0] = port_in(2);
	plan[0].port.string = true;
	fake_run(0, 3);
	assert_int_equal(asked.kind, HILUM_TRAP_STRING);
	assert_int_equal(asked.write, 0);
	assert_int_equal(asked.address, PORT);
	assert_int_equal(asked.size, 2);
	assert_int_equal(asked.value, 0);
	assert_int_equal(asked.next_rip, 0x1002);
	assert_int_equal(asked.insn_bytes, 0);
}

static void mmio__state_reply__registers_and_harmless_flags_only(void **state)
{
	(void)state;
	answer_reply = HILUM_REPLY_STATE;
	answer_rflags = UINT64_MAX;
	g[0]->rflags = 2;
	trap_once(mmio(false));
	assert_int_equal(seen.kind, HILUM_TRAP_MMIO);
	for (unsigned i = 0; i < 16; i++)
		assert_int_equal(g[0]->gpr[i], 100 + i);
	assert_int_equal(g[0]->rip, 0x2000);
	assert_int_equal(g[0]->rflags, 0xCD5 | 2); /* CF PF AF ZF SF DF OF; neither IF, IOPL, VM nor TF */
}

/* SDM vol. 3A, 6.8.3: the shadow is over the instruction that was emulated, and ends with it. */
static void mmio__state_reply_behind_sti__shadow_ends(void **state)
{
	(void)state;
	answer_reply = HILUM_REPLY_STATE;
	answer_rflags = 2;
	g[0]->shadow = true;
	trap_once(mmio(false));
	assert_int_equal(g[0]->rip, 0x2000);
	assert_false(g[0]->shadow);
}

static void mmio__no_reply_bits__nothing_changes(void **state)
{
	(void)state;
	answer_reply = 0;
	g[0]->gpr[3] = 7;
	trap_once(mmio(false));
	assert_int_equal(g[0]->gpr[3], 7);
	assert_int_equal(g[0]->rip, 0x1000); /* it is executed again */
}

static void mmio__inject_reply__exception_is_raised(void **state)
{
	(void)state;
	answer_reply = HILUM_REPLY_STATE | HILUM_REPLY_INJECT;
	answer_vector = 14;
	backend_of(g[0])->paging.cr0 = 1;
	trap_once(mmio(false));
	assert_int_equal(backend_of(g[0])->event, 1ull << 31 | 1ull << 11 | 3 << 8 | 14 | 0x12345ull << 32);
	assert_int_equal(backend_of(g[0])->cr2, 0xC2);
	assert_int_equal(backend_of(g[0])->single_steps, 0);
}

static void mmio__inject_debug_reply__single_step_is_noted(void **state)
{
	(void)state;
	answer_reply = HILUM_REPLY_STATE | HILUM_REPLY_INJECT;
	answer_vector = 1;
	backend_of(g[0])->cr2 = 7;
	trap_once(mmio(false));
	assert_int_equal(backend_of(g[0])->single_steps, 1);
	assert_int_equal(backend_of(g[0])->event & 0xFFF, 3 << 8 | 1);
	assert_int_equal(backend_of(g[0])->cr2, 7);
}

static void mmio__inject_in_real_mode__no_error_code(void **state)
{
	(void)state;
	answer_reply = HILUM_REPLY_INJECT;
	answer_vector = 13;
	trap_once(mmio(false));
	assert_int_equal(backend_of(g[0])->event, 1ull << 31 | 3 << 8 | 13);
}

static void mmio__inject_impossible_vector__crashes_that_vm(void **state)
{
	static const uint64_t vectors[] = { 2, 32, 255, UINT32_MAX };

	(void)state;
	for (unsigned i = 0; i < ARRAY_SIZE(vectors); i++) {
		if (i > 0)
			set_up(NULL);
		answer_reply = HILUM_REPLY_INJECT;
		answer_vector = vectors[i];
		trap_once(mmio(false));
		assert_int_equal(vm_of(guest_vm)->status.crash, HILUM_CRASH_BAD_REPLY);
		assert_int_equal(vm_of(handler_vm)->status.state, HILUM_VM_RUNNING);
		if (i + 1 < ARRAY_SIZE(vectors))
			tear_down(NULL);
	}
}

static void port__reply_asks_for_state__is_ignored(void **state)
{
	(void)state;
	answer_reply = HILUM_REPLY_STATE | HILUM_REPLY_INJECT;
	answer_vector = 2;
	g[0]->gpr[3] = 7;
	trap_once(port_in(1));
	assert_int_equal(g[0]->gpr[3], 7);
	assert_int_equal(g[0]->rip, 0x1002);
	assert_int_equal(vm_of(guest_vm)->status.crash, 0);
}

/* ---- Waiting ---- */

static void wait__deadline__times_out_then(void **state)
{
	(void)state;
	wait_deadline = fake_tsc + 5000;
	vcpu_request(h, VCPU_REQUEST_EVENT);
	h->vm->shared->pending[0][1] = 1;
	fake_run(0, 2);
	assert_int_equal(seen.wakes, 1);
	assert_int_equal(h->state, VCPU_WAITING);
	fake_advance(wait_deadline - fake_tsc - 1);
	fake_run(0, 2);
	assert_int_equal(seen.timeouts, 0);
	fake_advance(1);
	fake_run(0, 2);
	assert_int_equal(seen.timeouts, 1);
	assert_null(fake_self->timers.first);
}

static void wait__deadline_passed__times_out_at_once(void **state)
{
	(void)state;
	wait_deadline = 1;
	h->vm->shared->pending[0][0] = 1;
	vcpu_request(h, VCPU_REQUEST_EVENT);
	fake_run(0, 3);
	assert_int_equal(seen.timeouts, 1);
}

/* A handler that is called again and again pays for its timer once. */
static void wait__same_deadline_after_a_trap__timer_stays_armed(void **state)
{
	(void)state;
	wait_deadline = fake_tsc + 1000000;
	h->vm->shared->pending[0][0] = 1;
	vcpu_request(h, VCPU_REQUEST_EVENT);
	fake_run(0, 1);
	start(0);
	fake_run(0, 3);
	assert_int_equal(seen.count, 1);
	assert_true(queue_contains(&h->wait_timer.node));
	assert_int_equal(h->wait_timer.node.key, wait_deadline);
	assert_int_equal(seen.timeouts, 0);
}

static void wait__deadline_while_the_handler_runs__next_call_times_out(void **state)
{
	(void)state;
	wait_deadline = fake_tsc + 1000000;
	h->vm->shared->pending[0][0] = 1;
	vcpu_request(h, VCPU_REQUEST_EVENT);
	fake_run(0, 1);
	cpu_timer_cancel(&h->wait_timer); /* it has fired while the handler was busy */
	fake_tsc = wait_deadline;
	start(0);
	fake_run(0, 3);
	assert_int_equal(seen.timeouts, 1);
	assert_false(queue_contains(&h->wait_timer.node));
}

static void wait__trap_before_deadline__timer_is_forgotten(void **state)
{
	(void)state;
	wait_deadline = fake_tsc + 1000000;
	h->vm->shared->pending[0][0] = 1;
	vcpu_request(h, VCPU_REQUEST_EVENT);
	fake_run(0, 1);
	wait_deadline = 0;
	start(0);
	fake_run(0, 3);
	assert_int_equal(seen.count, 1);
	assert_false(queue_contains(&h->wait_timer.node));
}

/* ---- Death and replacement ---- */

static hilum_handle_t new_handler(void)
{
	hilum_handle_t vm = make_vm(HILUM_VM_REALTIME), v;

	h = make_vcpu(vm, 0, 0, &v);
	CALL_OK(HC_VCPU_RUN, v);
	return vm;
}

static void destroy_handler(void)
{
	CALL_OK(HC_VM_DESTROY, handler_vm);
	CALL_OK(HC_HANDLE_CLOSE, handler_vcpu);
}

static void handler_dies__trap_in_hand__the_next_one_answers(void **state)
{
	(void)state;
	answer = NULL;
	start(0);
	start(1);
	fake_run(0, 3);
	fake_run(1, 1);
	assert_int_equal(g[0]->state, VCPU_TRAPPED);
	destroy_handler();
	run_all();
	assert_int_equal(finished[0] + finished[1], 0);
	answer = answer_port;
	CALL_OK(HC_VM_SET_HANDLER, guest_vm, new_handler(), BADGE + 1);
	run_all();
	assert_true(finished[0] > 0 && finished[1] > 0);
	assert_int_equal(seen.badge, BADGE + 1);
}

/* What it had written into the page half-way is neither question nor answer. */
static void handler_dies__page_half_answered__the_next_one_sees_the_question(void **state)
{
	(void)state;
	answer = NULL;
	plan[0] = mmio(false);
	g[0]->gpr[3] = 7;
	start(0);
	fake_run(0, 3);
	assert_int_equal(g[0]->state, VCPU_TRAPPED);
	answer_reply = HILUM_REPLY_STATE;
	answer_state(g[0]->trap);
	destroy_handler();
	CALL_OK(HC_VM_SET_HANDLER, guest_vm, new_handler(), BADGE + 1);
	run_all();
	assert_int_equal(g[0]->trap->reply, 0);
	assert_int_equal(g[0]->trap->rip, 0x1000);
	assert_int_equal(g[0]->trap->gpr[3], 7);
}

static void set_handler__again_while_queued__delivered_once(void **state)
{
	(void)state;
	start(1);
	fake_run(1, 1);
	for (unsigned i = 0; i < 3; i++) {
		CALL_OK(HC_VM_SET_HANDLER, guest_vm, handler_vm, BADGE);
		fake_run(1, 1);
	}
	run_all();
	assert_int_equal(seen.count, 1);
	assert_true(finished[1] > 0);
}

static void set_handler__other_while_queued__the_other_answers(void **state)
{
	struct vcpu *old = h;

	(void)state;
	start(1);
	fake_run(1, 1); /* in the old one's inbox */
	assert_non_null(old->trap_inbox);
	CALL_OK(HC_VM_SET_HANDLER, guest_vm, new_handler(), BADGE + 1);
	run_all();
	assert_true(finished[1] > 0);
	assert_int_equal(seen.count, 1);
	assert_int_equal(seen.badge, BADGE + 1);
	assert_null(old->trap_current);
}

static void set_handler__other_while_in_hand__late_answer_is_ignored(void **state)
{
	struct vcpu *old = h;

	(void)state;
	answer = NULL;
	start(0);
	fake_run(0, 2);
	assert_ptr_equal(old->trap_current, g[0]);
	vm_set_handler(vm_of(guest_vm), vm_of(handler_vm), BADGE); /* drops nothing */
	vm_set_handler(vm_of(guest_vm), vm_of(new_handler()), BADGE + 1);
	g[0]->requests = 0; /* the new one has not seen it yet */
	g[0]->trap->value = 0x666;
	fake_become(0);
	forward_wait(old, HILUM_WAIT_REPLY, 0);
	assert_int_equal(g[0]->state, VCPU_TRAPPED);
	answer = answer_port;
	vcpu_request(g[0], VCPU_REQUEST_RETRAP);
	run_all();
	assert_true(finished[0] > 0);
	assert_int_equal(g[0]->gpr[0], 0xE5F60718ull);
}

static void set_state__trapped_vcpu_runs_again__queue_stays_whole(void **state)
{
	struct hilum_vcpu_state s = { .activity = HILUM_ACTIVITY_RUN };

	(void)state;
	start(1);
	for (unsigned i = 0; i < 4; i++) {
		plan[1] = port_in(1);
		fake_run(1, 1);
		assert_int_equal(g[1]->state, VCPU_TRAPPED);
		CALL_OK(HC_VCPU_PAUSE, guest_vcpu[1]);
		assert_int_equal(vcpu_set_state(g[1], &s, HILUM_STATE_EVENTS), STATUS_OK);
		start(1);
	}
	start(0);
	fake_run(0, 1);
	plan[1] = port_in(1);
	run_all();
	assert_true(finished[0] > 0 && finished[1] > 0);
	assert_null(h->trap_queue);
}

static void guest_destroyed__trap_queued_or_in_hand__handler_goes_on(void **state)
{
	(void)state;
	answer = NULL;
	start(0);
	start(1);
	fake_run(0, 2);
	fake_run(1, 1);
	assert_ptr_equal(h->trap_current, g[0]);
	CALL_OK(HC_VM_DESTROY, guest_vm);
	for (unsigned i = 0; i < 3; i++)
		CALL_OK(HC_HANDLE_CLOSE, guest_vcpu[i]);
	fake_become(0);
	forward_wait(h, HILUM_WAIT_REPLY, 0); /* takes the second one, whose VM is gone too */
	h->state = VCPU_READY;
	forward_wait(h, HILUM_WAIT_REPLY, 0);
	assert_null(h->trap_current);
}

static void pause__trapped__answer_counts_after_run(void **state)
{
	(void)state;
	start(1);
	fake_run(1, 1);
	CALL_OK(HC_VCPU_PAUSE, guest_vcpu[1]);
	fake_run(0, 2);
	assert_int_equal(seen.count, 1);
	fake_run(1, 2);
	assert_int_equal(finished[1], 0);
	assert_int_equal(g[1]->rip, 0x1000);
	start(1);
	fake_run(1, 1);
	assert_int_equal(finished[1], 1);
	assert_int_equal(g[1]->rip, 0x1002);
}

static void init__while_trapped__waits_for_the_answer(void **state)
{
	(void)state;
	start(1);
	fake_run(1, 1);
	vcpu_request(g[1], VCPU_REQUEST_INIT);
	fake_run(1, 1);
	assert_int_equal(g[1]->state, VCPU_TRAPPED);
	fake_run(0, 2);
	fake_run(1, 1);
	assert_int_equal(g[1]->state, VCPU_WAIT_SIPI);
	assert_int_equal(finished[1], 0);
}

/* ---- Interrupts by way of the handler ---- */

static bool answer_vector_20(struct hilum_trap *t)
{
	t->value = seen.kind == HILUM_TRAP_INTACK ? 0x20 : 0;
	return true;
}

static bool answer_none(struct hilum_trap *t)
{
	t->value = HILUM_TRAP_NO_VECTOR;
	return true;
}

static void open_to_extint(struct vcpu *v)
{
	v->apic.reg[0x35] = 0x700; /* LVT LINT0: ExtINT */
	v->rflags |= 0x200;
	plan[v->index].kind = HILUM_EXIT_PAUSE;
}

static void extint__line_high__acknowledged_and_injected(void **state)
{
	(void)state;
	answer = answer_vector_20;
	open_to_extint(g[0]);
	start(0);
	CALL_OK(HC_VM_SET_EXTINT, guest_vm, 1);
	fake_run(0, 1); /* the handler is asked before the guest is entered */
	assert_int_equal(seen.kind, HILUM_TRAP_INTACK);
	CALL_OK(HC_VM_SET_EXTINT, guest_vm, 0);
	fake_run(0, 1);
	assert_int_equal(backend_of(g[0])->event, 1ull << 31 | 0x20);
	unsigned count = seen.count;
	backend_of(g[0])->event = 0;
	CALL_OK(HC_VM_SET_EXTINT, guest_vm, 1); /* the next one is acknowledged, too */
	fake_run(0, 2);
	CALL_OK(HC_VM_SET_EXTINT, guest_vm, 0);
	fake_run(0, 2);
	assert_int_equal(seen.count, count + 1);
}

static void extint__request_gone__nothing_injected(void **state)
{
	(void)state;
	answer = answer_none;
	open_to_extint(g[0]);
	start(0);
	CALL_OK(HC_VM_SET_EXTINT, guest_vm, 1);
	fake_run(0, 1);
	CALL_OK(HC_VM_SET_EXTINT, guest_vm, 0);
	fake_run(0, 2);
	assert_int_equal(seen.count, 1);
	assert_int_equal(backend_of(g[0])->event, 0);
}

static void extint__halted__wakes(void **state)
{
	(void)state;
	answer = answer_vector_20;
	open_to_extint(g[0]);
	g[0]->state = VCPU_HALTED;
	start(0);
	fake_run(0, 3);
	assert_int_equal(finished[0], 0);
	CALL_OK(HC_VM_SET_EXTINT, guest_vm, 1);
	fake_run(0, 1);
	CALL_OK(HC_VM_SET_EXTINT, guest_vm, 0);
	fake_run(0, 1);
	assert_int_equal(backend_of(g[0])->event, 1ull << 31 | 0x20);
}

static void eoi__level_vectors__each_is_reported_once(void **state)
{
	(void)state;
	plan[0].kind = HILUM_EXIT_PAUSE;
	start(0);
	fake_run(0, 1);
	vlapic_eoi_level(&g[0]->apic, 0x41);
	vlapic_eoi_level(&g[0]->apic, 0xE2);
	run_all();
	assert_int_equal(seen.count, 2);
	assert_int_equal(seen.kind, HILUM_TRAP_EOI);
	assert_int_equal(seen.value, 0xE2);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(port__never_answered__next_trap_comes_and_nothing_is_held),
		TEST(with_state__question__is_in_the_page),
		TEST(port__handler_waits_on_this_core__switches_directly),
		TEST(port__each_size__rest_of_rax_as_the_architecture_says),
		TEST(port_out__value__only_its_bytes_leave),
		TEST(port__turn_ends_in_the_handler__guest_waits_for_its_own),
		TEST(port__handler_on_other_core__is_kicked_and_answers),
		TEST(port__handler_paused__served_oldest_first_later),
		TEST(port__no_handler__floats_high),
		TEST(mmio__no_handler__crashes_and_signals),
		TEST(mmio__state_reply__registers_and_harmless_flags_only),
		TEST(mmio__no_reply_bits__nothing_changes),
		TEST(mmio__state_reply_behind_sti__shadow_ends),
		TEST(mmio__inject_reply__exception_is_raised),
		TEST(mmio__inject_debug_reply__single_step_is_noted),
		TEST(mmio__inject_in_real_mode__no_error_code),
		TEST(mmio__inject_impossible_vector__crashes_that_vm),
		TEST(port__reply_asks_for_state__is_ignored),
		TEST(wait__deadline__times_out_then),
		TEST(wait__deadline_passed__times_out_at_once),
		TEST(wait__same_deadline_after_a_trap__timer_stays_armed),
		TEST(wait__deadline_while_the_handler_runs__next_call_times_out),
		TEST(wait__trap_before_deadline__timer_is_forgotten),
		TEST(handler_dies__trap_in_hand__the_next_one_answers),
		TEST(handler_dies__page_half_answered__the_next_one_sees_the_question),
		TEST(set_handler__again_while_queued__delivered_once),
		TEST(set_handler__other_while_queued__the_other_answers),
		TEST(set_handler__other_while_in_hand__late_answer_is_ignored),
		TEST(set_state__trapped_vcpu_runs_again__queue_stays_whole),
		TEST(guest_destroyed__trap_queued_or_in_hand__handler_goes_on),
		TEST(pause__trapped__answer_counts_after_run),
		TEST(init__while_trapped__waits_for_the_answer),
		TEST(extint__line_high__acknowledged_and_injected),
		TEST(extint__request_gone__nothing_injected),
		TEST(extint__halted__wakes),
		TEST(eoi__level_vectors__each_is_reported_once),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
