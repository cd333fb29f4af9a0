/* The fake machine's backend, which pretends to enter guests. A program that has a `virt` of its own does not get it. */
#include "tests/unit/fake_kernel/machine.h"
#include "kernel/backend.h"

static bool ready_to_enter(struct vcpu *v)
{
	struct fake_backend *b = v->backend;

	if (v->requests != 0 && !vcpu_prepare(v))
		return false;
	if (v->cpu->resched)
		return false;
	b->event = 0;
	if (v->check_interrupts || v->pending_event != 0)
		b->event = vcpu_next_event(v, (v->rflags & 0x200) && !v->shadow, &b->window);
	return true;
}

static void backend_run(struct vcpu *v)
{
	struct cpu *cpu = v->cpu;

	assert_ptr_equal(cpu, fake_self);
	assert_ptr_equal(cpu->loaded, v);
	while (v->state == VCPU_READY && ready_to_enter(v)) {
		assert_false(v->stopped);
		cpu->epoch++;
		backend_of(v)->entries++;
		v->paging_valid = false;
		fake_after_exit(v, fake_guest != NULL ? fake_guest(v) : 1000);
	}
}

static enum status backend_create_vcpu(struct vcpu *v)
{
	v->backend = vm_alloc_pages(v->vm, 2);
	return v->backend != NULL ? STATUS_OK : STATUS_NO_MEMORY;
}

static void backend_destroy_vcpu(struct vcpu *v)
{
	for (unsigned i = 0; i < cpu_count; i++) {
		assert_ptr_not_equal(cpu_table[i]->loaded, v);
		assert_ptr_not_equal(cpu_table[i]->next, v);
		for (struct vcpu *w = cpu_table[i]->inbox; w != NULL; w = w->inbox_next)
			assert_ptr_not_equal(w, v);
	}
	assert_false(queue_contains(&v->run_node));
	assert_false(queue_contains(&v->apic_timer.node));
	assert_false(queue_contains(&v->wait_timer.node));
	pool_free_pages(v->backend, 2);
}

static void backend_load(struct vcpu *v)
{
	assert_null(v->cpu->loaded);
	backend_of(v)->loads++;
	if (v->has_fpu) {
		backend_release_fpu(v->cpu);
		v->cpu->fpu = v;
	}
}

void backend_release_fpu(struct cpu *cpu)
{
	if (cpu->fpu != NULL)
		backend_of(cpu->fpu)->fpu_saves++;
	cpu->fpu = NULL;
}

static void backend_unload(struct vcpu *v)
{
	assert_ptr_equal(v->cpu->loaded, v);
	backend_of(v)->unloads++;
	v->cpu->loaded = NULL;
}

static void backend_fetch_paging(struct vcpu *v)
{
	v->paging = backend_of(v)->paging;
}

static void backend_set_cr2(struct vcpu *v, uint64_t value)
{
	backend_of(v)->cr2 = value;
}

static void backend_note_single_step(struct vcpu *v)
{
	backend_of(v)->single_steps++;
}

static void backend_set_efer(struct vcpu *v, uint64_t value)
{
	backend_of(v)->paging.efer = value;
}

static void backend_nothing(struct vcpu *v)
{
	(void)v;
}

static void backend_watch_pause(struct vcpu *v, bool watch)
{
	backend_of(v)->watches_pause = watch;
}

static void backend_get_state(struct vcpu *v, struct hilum_vcpu_state *s, uint32_t mask)
{
	(void)mask;
	*s = backend_of(v)->state;
}

static void backend_set_state(struct vcpu *v, const struct hilum_vcpu_state *s, uint32_t mask)
{
	assert_ptr_not_equal(v->cpu->loaded, v);
	backend_of(v)->state = *s;
	backend_of(v)->state_mask = mask;
	if (mask & HILUM_STATE_CR)
		backend_of(v)->paging = (struct vcpu_paging){ .cr0 = s->cr0, .cr3 = s->cr3, .cr4 = s->cr4, .efer = s->efer };
}

void backend_log_vcpu(struct vcpu *v)
{
	backend_of(v)->dumps++;
}

static struct virt_ops backend = {
	.name = "fake",
	.create_vcpu = backend_create_vcpu,
	.destroy_vcpu = backend_destroy_vcpu,
	.load = backend_load,
	.unload = backend_unload,
	.run = backend_run,
	.fetch_paging = backend_fetch_paging,
	.set_cr2 = backend_set_cr2,
	.note_single_step = backend_note_single_step,
	.set_efer = backend_set_efer,
	.write_offset_and_pat = backend_nothing,
	.watch_pause = backend_watch_pause,
	.get_state = backend_get_state,
	.set_state = backend_set_state,
	.idle = fake_idle,
};
struct virt_ops *virt = &backend;
