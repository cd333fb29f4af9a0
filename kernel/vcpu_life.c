/* Life of a vCPU: made, reset and freed; running, stopped and moved to another core. */
#include "arch/x86_64/features.h"
#include "arch/x86_64/string.h"
#include "kernel/backend.h"
#include "kernel/sched.h"
#include "kernel/virt_ops.h"
#include "mm/pool.h"

/* ---- Made, reset, freed ------------------------------------------------------------------------------------------------------- */

enum status vcpu_create(struct vm *vm, uint64_t index, uint64_t core, uint64_t weight, struct vcpu **out)
{
	if (index >= HILUM_MAX_VCPUS || weight == 0 || weight > SCHED_WEIGHT_MAX || (core >= cpu_count && core != HILUM_CORE_ANY))
		return STATUS_INVALID;
	if (vm->vcpu[index] != NULL)
		return STATUS_EXISTS;
	struct vcpu *v = pool_alloc_pages(1);
	if (v == NULL)
		return STATUS_NO_MEMORY;
	v->object = (struct object){ .type = OBJECT_VCPU, .refs = 1 };
	v->vm = vm;
	object_ref(&vm->object);
	v->index = (uint32_t)index;
	v->stopped = 1;
	enum status placed = sched_init_vcpu(v, core, (uint32_t)weight);
	if (placed != STATUS_OK) {
		object_unref(&v->object);
		return placed;
	}
	v->apic_timer = (struct cpu_timer){ .vcpu = v, .request = VCPU_REQUEST_APIC_TIMER };
	v->wait_timer = (struct cpu_timer){ .vcpu = v, .request = VCPU_REQUEST_WAIT_TIMER };
	v->has_fpu = !(vm->flags & HILUM_VM_NO_FPU);
	v->trap_memory = memory_object_of_page((void **)&v->trap);
	if (v->trap_memory == NULL || virt->create_vcpu(v) != STATUS_OK) {
		object_unref(&v->object);
		return STATUS_NO_MEMORY;
	}
	vm->status.kernel_bytes += 3 * PAGE_SIZE;
	vlapic_init(&v->apic, &vm->bus, v->index, vm->flags & HILUM_VM_X2APIC); /* from here on interrupts find it */
	vcpu_reset(v, true);
	v->state = index == 0 ? VCPU_READY : VCPU_WAIT_SIPI;
	vm->vcpu[index] = v;
	vm->shared->vcpu_count = ++vm->status.vcpu_count;
	if (vm->by_core[v->cpu->arch.id] == NULL)
		vm->by_core[v->cpu->arch.id] = v;
	*out = v;
	return STATUS_OK;
}

/* Also of one that vcpu_create could not complete. */
void vcpu_free(struct object *object)
{
	struct vcpu *v = container_of(object, struct vcpu, object);

	if (v->backend != NULL)
		virt->destroy_vcpu(v);
	if (v->trap_memory != NULL)
		object_unref(&v->trap_memory->object);
	object_unref(&v->vm->object);
	pool_free_pages(v, 1);
}

/* What the backend holds, as a reset or a start-up IPI leaves it; CD and NW are of `cr0`. Not loaded. */
static void write_start(struct vcpu *v, uint64_t cr0, uint64_t cs_base)
{
	struct hilum_vcpu_state *s = &cpu_self()->scratch.state;
	const struct hilum_segment data = { .limit = 0xFFFF, .attributes = 0x93 };

	memset(s, 0, sizeof(*s));
	s->ds = s->es = s->fs = s->gs = s->ss = data;
	s->cs = (struct hilum_segment){ cs_base, 0xFFFF, (uint16_t)(cs_base >> 4), 0x9B };
	s->ldtr = (struct hilum_segment){ .limit = 0xFFFF, .attributes = 0x82 };
	s->tr = (struct hilum_segment){ .limit = 0xFFFF, .attributes = 0x8B };
	s->gdtr_limit = s->idtr_limit = 0xFFFF;
	s->cr0 = (cr0 & (CR0_CD | CR0_NW)) | CR0_ET;
	s->dr6 = 0xFFFF0FF0;
	s->dr7 = 0x400;
	virt->set_state(v, s, HILUM_STATE_SEGMENTS | HILUM_STATE_CR | HILUM_STATE_DR);
}

void vcpu_reset(struct vcpu *v, bool power_up)
{
	write_start(v, power_up ? CR0_CD | CR0_NW : vcpu_paging(v)->cr0, 0xFFFF0000); /* before the APIC: it is the last to take from it */
	memset(v->gpr, 0, sizeof(v->gpr));
	v->gpr[2] = 0x600; /* EDX: family 6 or later; the CPUID table says more */
	v->rip = 0xFFF0;
	v->rflags = 2;
	v->shadow = v->kicked = v->nmi_pending = v->nmi_blocked = v->nmi_stepping = v->extint_message = v->paging_valid = false;
	v->controls_stale = true;
	v->pending_event = 0;
	v->extint_vector = VCPU_NO_VECTOR;
	v->nmi_return = ~0ull;
	memset(v->eoi_pending, 0, sizeof(v->eoi_pending));
	v->kvm[KVM_PV_EOI] = 0; /* who starts anew knows of no word */
	if (power_up) {
		*(uint16_t *)v->xsave = 0x37F;         /* FCW; all else is 0 since the vCPU was made */
		*(uint32_t *)(v->xsave + 24) = 0x1F80; /* MXCSR */
		v->xcr0 = 1;
		v->pat = 0x0007040600070406ull;
	}
	vlapic_reset(&v->apic, power_up);
}

static void vcpu_unload(struct vcpu *v)
{
	if (v->cpu->fpu == v)
		backend_release_fpu(v->cpu);
	if (v->cpu->loaded != v)
		return;
	virt->unload(v);
	v->cpu->loaded = NULL;
}

void vcpu_reload(struct vcpu *v)
{
	v->cpu->resched |= v->cpu->loaded == v;
	vcpu_unload(v);
}

void vcpu_start_up(struct vcpu *v, uint32_t requests)
{
	if (v->state == VCPU_TRAPPED) {
		v->deferred |= requests & (VCPU_REQUEST_INIT | VCPU_REQUEST_SIPI);
		return;
	}
	if (requests & VCPU_REQUEST_INIT) {
		vcpu_reload(v); /* a bootstrap processor goes on at once */
		vcpu_reset(v, false);
		v->state = v->index == 0 ? VCPU_READY : VCPU_WAIT_SIPI; /* the bootstrap processor starts again at once */
	}
	if ((requests & VCPU_REQUEST_SIPI) && v->state == VCPU_WAIT_SIPI) {
		write_start(v, vcpu_paging(v)->cr0, v->apic.sipi_vector << 12);
		v->rip = 0;
		v->state = VCPU_READY;
	}
}

/* ---- Running, stopped, on another core ----------------------------------------------------------------------------------------- */

void vcpu_run(struct vcpu *v)
{
	v->vm->started = true;
	if (v->vm->status.state == HILUM_VM_STOPPED)
		v->vm->status.state = HILUM_VM_RUNNING;
	__atomic_fetch_and(&v->vm->status.memory_stops, ~(1ull << v->index), __ATOMIC_RELAXED);
	vcpu_request(v, VCPU_REQUEST_RUN);
}

/* A vCPU that was told to run and whose core has not looked yet is as good as running. Pairs with the exchange in vcpu_prepare. */
bool vcpu_is_stopped(const struct vcpu *v)
{
	return !(__atomic_load_n(&v->requests, __ATOMIC_ACQUIRE) & VCPU_REQUEST_RUN) && __atomic_load_n(&v->stopped, __ATOMIC_ACQUIRE);
}

/* Take everything of it off its core. */
static void vcpu_detach(struct vcpu *v)
{
	struct cpu *cpu = v->cpu;

	queue_remove(&v->apic_timer.node);
	queue_remove(&v->wait_timer.node);
	if (cpu->charged == v)
		sched_account(cpu, rdtsc());
	sched_remove(cpu, v);
	vcpu_unload(v);
}

void vcpu_park(struct vcpu *v)
{
	vcpu_detach(v);
	__atomic_store_n(&v->stopped, 1, __ATOMIC_RELEASE);
}

static void timer_unpark(struct vcpu *v, struct cpu_timer *timer)
{
	if (timer->node.key != 0)
		cpu_timer_set(v->cpu, timer, timer->node.key);
}

void vcpu_unpark(struct vcpu *v)
{
	timer_unpark(v, &v->apic_timer);
	timer_unpark(v, &v->wait_timer);
}

void vcpu_stop(struct vcpu *v, struct cpu *self)
{
	if (__atomic_load_n(&v->cpu, __ATOMIC_ACQUIRE) != self && !vcpu_is_stopped(v))
		vcpu_request(v, VCPU_REQUEST_STOP);
	while (__atomic_load_n(&v->cpu, __ATOMIC_ACQUIRE) != self) {
		if (vcpu_is_stopped(v))
			return;
		cpu_take_inbox(self); /* it may lie there, to be handed on */
		cpu_pause();
	}
	sched_remove(self, v);
	v->deferred |= __atomic_fetch_and(&v->requests, VCPU_REQUEST_SCHEDULE, __ATOMIC_ACQUIRE) &
	               ~(VCPU_REQUEST_RUN | VCPU_REQUEST_STOP | VCPU_REQUEST_SCHEDULE);
	if (!v->stopped)
		vcpu_park(v);
}

void vcpu_move(struct vcpu *v, struct cpu *to)
{
	vcpu_detach(v);
	v->asid_generation = 0; /* what that core's TLB holds of it is old */
	v->arrives = true;
	v->stats.migrations++;
	v->stats.core = to->arch.id;
	(void)__atomic_fetch_or(&v->requests, VCPU_REQUEST_SCHEDULE, __ATOMIC_RELAXED);
	__atomic_store_n(&v->cpu, to, __ATOMIC_RELEASE);
	vcpu_post(v, to);
}

void vcpu_arrive(struct vcpu *v)
{
	v->arrives = false;
	vcpu_unpark(v);
}
