/*
 * CR8 without an exit: SVM's real run loop and the real kernel on the fake machine. A pretended CPU executes a program of operations,
 * keeps V_TPR as APM vol. 2, 15.21.2 has it, and exits where the VMCB says so.
 */
/* clang-format off */
/* UNIT_SOURCES: svm/run.c svm/state.c svm/vcpu.c build/unit/kernel_fake.a */
/* UNIT_FLAGS: -iquote tests/unit/fake_svm @tests/unit/fake_kernel/fake.flags @tests/unit/fake_kernel/fake.wrap */
/* clang-format on */
#include "tests/unit/fake_kernel/fake.h"

#include "arch/x86_64/features.h"
#include "tests/unit/fake_svm/backend.h"

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

#define RFLAGS_IF_2  0x202ull
#define CODE         0x1000u /* where the program is: 8 bytes for each operation */
#define SLOT         8u
#define TPR          0x808u
#define PPR          0x80Au
#define SELF_IPI     0x83Fu
#define GP           (1ull << 31 | 1ull << 11 | 3 << 8 | 13)
#define CR8_WRITES   INTERCEPT(VMEXIT_CR_WRITE(8))
#define PROGRAM_MAX  32u
#define DO(...)      run((const struct op[PROGRAM_MAX]){ __VA_ARGS__ })
#define VECTORS(...) assert_vectors((const unsigned[8]){ __VA_ARGS__ })

#define OP(...)       ((struct op){ __VA_ARGS__ })
#define END           OP(.kind = HALT)
#define LEAVE         OP(.kind = CPUID)
#define CR8(n)        OP(.kind = MOV_TO_CR8, .value = n)
#define READ_CR8      OP(.kind = MOV_FROM_CR8)
#define IF(on)        OP(.kind = SET_IF, .value = on)
#define READ(n)       OP(.kind = READ_MSR, .msr = n)
#define WRITE_TPR(n)  OP(.kind = WRITE_MSR, .value = n, .msr = TPR)
#define SELF(vector)  OP(.kind = WRITE_MSR, .value = vector, .msr = SELF_IPI)
#define COMES(vector) OP(.kind = MSI, .value = vector)
#define TAKEN         OP(.kind = COUNT)

struct op {
	enum { HALT, MOV_TO_CR8, MOV_FROM_CR8, WRITE_MSR, READ_MSR, SET_IF, MSI, CPUID, COUNT } kind;
	uint64_t value;
	uint32_t msr;
};

struct svm_features svm_features = { .asids = 16, .nrip = true, .clean = true };
unsigned fake_vmloads, fake_vmsaves;

static hilum_handle_t vm;
static struct vcpu *v;
static const struct op *program;
static unsigned taken[8], taken_count;   /* vectors that the guest was given; ended at once */
static unsigned cr8_exits, taken_by_now; /* this: at the program's last TAKEN */
static uint64_t cr8_read, gp_raised;

static bool exits(struct vmcb *c, uint32_t code)
{
	c->exitcode = code;
	c->nrip = c->rip + SLOT;
	return true;
}

/* True: it has exited. */
static bool execute(struct vmcb *c, struct vcpu *w, const struct op *op)
{
	switch (op->kind) {
	case HALT:
		return exits(c, VMEXIT_HLT);
	case MOV_TO_CR8:
		if (c->intercept_cr & CR8_WRITES) {
			cr8_exits++;
			c->rax = op->value;
			return exits(c, VMEXIT_CR_WRITE(8));
		}
		assert_int_equal(c->v_irq, 0); /* QEMU 7.2 would abort */
		c->v_tpr = (uint8_t)op->value;
		break;
	case MOV_FROM_CR8:
		assert_false(c->intercept_cr & INTERCEPT(VMEXIT_CR_READ(8)));
		cr8_read = c->v_tpr;
		break;
	case WRITE_MSR:
	case READ_MSR:
		w->gpr[1] = op->msr;
		w->gpr[2] = 0;
		c->rax = op->kind == WRITE_MSR ? op->value : 0;
		c->exitinfo1 = op->kind == WRITE_MSR;
		return exits(c, VMEXIT_MSR);
	case SET_IF:
		c->rflags = op->value ? RFLAGS_IF_2 : 2;
		break;
	case MSI: /* another core's or a device's, which comes now */
		assert_int_equal(vlapic_deliver_msi(&v->vm->bus, 0xFEE00000, (uint32_t)op->value), STATUS_OK);
		break;
	case COUNT:
		taken_by_now = taken_count;
		break;
	case CPUID:
		w->gpr[1] = 0;
		return exits(c, VMEXIT_CPUID);
	}
	c->rip += SLOT;
	return false;
}

void svm_enter(struct vcpu *w, hpa_t vmcb)
{
	struct vmcb *c = svm_vmcb(w);

	assert_int_equal(vmcb, pool_hpa(c));
	assert_false(c->clean & 1u << 3); /* V_TPR may have been written */
	w->gpr[2] = 0;
	if (c->eventinj == GP) {
		gp_raised++;
		c->rip += SLOT;
	} else if (c->eventinj & EVENT_VALID) {
		assert_true(c->rflags & 0x200);
		assert_true((c->eventinj & 0xF0) >> 4 > c->v_tpr);
		taken[taken_count++] = c->eventinj & 0xFF;
		vlapic_eoi(&w->apic);
	}
	c->eventinj = c->exitintinfo = 0;
	for (;;) {
		if (c->v_irq && (c->rflags & 0x200) && (c->intercept_misc1 & INTERCEPT(VMEXIT_VINTR))) {
			exits(c, VMEXIT_VINTR);
			return;
		}
		if (execute(c, w, &program[(c->rip - CODE) / SLOT]))
			return;
	}
}

/* Runs the program to its END. */
static void run(const struct op *with)
{
	program = with;
	taken_count = 0;
	v->rip = CODE;
	v->state = VCPU_READY;
	sched_wake(v->cpu, v, fake_tsc);
	fake_run(v->cpu->arch.id, 100);
	assert_int_equal(v->state, VCPU_HALTED);
}

static void assert_vectors(const unsigned *vectors)
{
	for (unsigned i = 0; i < taken_count || vectors[i] != 0; i++)
		assert_int_equal(i < taken_count ? taken[i] : 0, vectors[i]);
}

static uint64_t eax(void)
{
	return (uint32_t)v->gpr[0];
}

static struct vmcb *vmcb(void)
{
	return svm_vmcb(v);
}

/* Its memory is full of MOV CR8, EAX as a CPU in real mode takes it, each filling a slot. */
static void fill_memory(void)
{
	static const uint8_t mov[SLOT] = { 0x3E, 0x3E, 0x3E, 0x3E, 0xF0, 0x0F, 0x22, 0xC0 };
	hilum_handle_t memory = make_memory(2 * MIB);

	CALL_OK(HC_MEMORY_MAP, vm, memory, 0, 0, 2 * MIB, HILUM_MAP_READ | HILUM_MAP_WRITE | HILUM_MAP_EXECUTE);
	for (unsigned i = 0; i < PROGRAM_MAX; i++)
		assert_int_equal(vm_copy_out(v->vm, CODE + i * SLOT, mov, SLOT), STATUS_OK);
}

static int set_up(void **state)
{
	(void)state;
	svm_backend_take();
	fake_boot(2);
	vm = make_vm(HILUM_VM_X2APIC);
	v = make_vcpu(vm, 0, 0, NULL);
	fill_memory();
	v->stopped = 0;
	v->requests = 0;
	v->rflags = RFLAGS_IF_2;
	vmcb()->segments[VMCB_CS].base = 0;
	assert_int_equal(vlapic_msr_write(&v->apic, MSR_IA32_APIC_BASE, VLAPIC_DEFAULT_BASE | 3 << 10), STATUS_OK);
	assert_int_equal(vlapic_msr_write(&v->apic, 0x80F, 0x1FF), STATUS_OK);
	cr8_exits = gp_raised = 0;
	return 0;
}

static int tear_down(void **state)
{
	(void)state;
	for (unsigned i = 0; i < cpu_count; i++)
		cpu_table[i]->loaded = NULL;
	fake_check_clean();
	virt = fake_ops;
	return 0;
}

/* ---- Nothing waits ---- */

static void cr8__nothing_waits__no_exit_and_shown_by_the_registers(void **state)
{
	(void)state;
	DO(CR8(9), READ(TPR), END);
	assert_int_equal(eax(), 0x90);
	DO(CR8(3), READ(PPR), END);
	assert_int_equal(eax(), 0x30);
	assert_int_equal(cr8_exits, 0);
	assert_int_equal(v->stats.exits[HILUM_EXIT_CR], 0);
}

static void tpr__written_by_msr__read_from_cr8(void **state)
{
	(void)state;
	DO(CR8(9), WRITE_TPR(0x5A), READ_CR8, READ(TPR), END);
	assert_int_equal(cr8_read, 5);
	assert_int_equal(eax(), 0x5A); /* the subclass is the register's alone */
	DO(CR8(15), WRITE_TPR(0), READ_CR8, READ(TPR), END);
	assert_int_equal(cr8_read, 0);
	assert_int_equal(eax(), 0);
}

static void cr8__lowered_since_the_last_look__interrupt_comes_at_once(void **state)
{
	(void)state;
	DO(CR8(8), READ(TPR), CR8(0), SELF(0x41), TAKEN, END);
	VECTORS(0x41);
	assert_int_equal(taken_by_now, 1);
	assert_int_equal(cr8_exits, 0);
	assert_int_equal(vmcb()->intercept_cr & CR8_WRITES, 0);
}

/* ---- Something waits ---- */

static void cr8__above_a_self_ipi__held_until_the_write_that_lowers_it(void **state)
{
	(void)state;
	DO(CR8(6), READ(TPR), SELF(0x61), LEAVE, END); /* TPR is known, and masks */
	VECTORS(0);
	assert_true(vmcb()->intercept_cr & CR8_WRITES);
	assert_int_equal(vmcb()->v_irq, 0); /* or it would exit again and again */
	DO(CR8(7), CR8(6), END);
	VECTORS(0);
	assert_int_equal(cr8_exits, 2);
	DO(CR8(5), TAKEN, READ_CR8, END);
	VECTORS(0x61);
	assert_int_equal(taken_by_now, 1);
	assert_int_equal(cr8_read, 5);
	assert_int_equal(cr8_exits, 3);
	DO(CR8(1), END);
	assert_int_equal(cr8_exits, 3); /* for that time only */
	assert_int_equal(v->stats.exits[HILUM_EXIT_CR], 3);
}

static void cr8__raised_before_an_interrupt_comes__held(void **state)
{
	(void)state;
	DO(CR8(8), COMES(0x51), LEAVE, READ(PPR), END);
	VECTORS(0);
	assert_int_equal(eax(), 0x80);
	DO(COMES(0x91), LEAVE, END);
	VECTORS(0x91); /* a class above */
	DO(CR8(4), END);
	VECTORS(0x51);
}

static void cr8__interrupts_off__window_and_writes_exit(void **state)
{
	(void)state;
	DO(IF(0), SELF(0x41), CR8(9), IF(1), LEAVE, END);
	VECTORS(0);
	assert_int_equal(cr8_exits, 1);
	assert_int_equal(vmcb()->v_irq, 0); /* masked: no window any more */
	assert_true(vmcb()->intercept_cr & CR8_WRITES);
	DO(IF(0), CR8(0), LEAVE, IF(1), LEAVE, END);
	VECTORS(0x41);
	assert_int_equal(vmcb()->v_irq, 0);
	assert_int_equal(vmcb()->intercept_cr & CR8_WRITES, 0);
	assert_int_equal(vmcb()->intercept_misc1 & INTERCEPT(VMEXIT_VINTR), 0);
}

static void cr8__above_15_while_it_exits__general_protection(void **state)
{
	(void)state;
	DO(CR8(6), SELF(0x61), CR8(16), CR8(1ull << 60), READ_CR8, END);
	assert_int_equal(gp_raised, 2);
	assert_int_equal(cr8_read, 6);
	VECTORS(0);
}

/* ---- Others who look ---- */

static void halt__cr8_masks_what_comes__sleeps_on(void **state)
{
	(void)state;
	DO(CR8(8), END);
	DO(CR8(6), END);
	taken_count = 0;
	assert_int_equal(vlapic_deliver_msi(&v->vm->bus, 0xFEE00000, 0x61), STATUS_OK);
	fake_settle();
	assert_int_equal(v->rip, CODE + 2 * SLOT); /* it has not been entered again */
	program = (const struct op[]){ [2] = END };
	assert_int_equal(vlapic_deliver_msi(&v->vm->bus, 0xFEE00000, 0x71), STATUS_OK);
	fake_settle();
	VECTORS(0x71);
}

static void state__read_and_written_back__cr8_stays(void **state)
{
	static struct hilum_vcpu_state s;

	(void)state;
	DO(CR8(8), END);
	vcpu_reload(v);
	vcpu_get_state(v, &s, HILUM_STATE_CR | HILUM_STATE_SEGMENTS);
	assert_int_equal(vcpu_set_state(v, &s, HILUM_STATE_CR | HILUM_STATE_SEGMENTS), STATUS_OK);
	DO(SELF(0x71), READ(TPR), END);
	assert_int_equal(eax(), 0x80);
	VECTORS(0);
}

static void reset__cr8_was_raised__is_zero(void **state)
{
	(void)state;
	DO(CR8(8), SELF(0x71), END);
	vcpu_reload(v);
	vcpu_reset(v, false);
	assert_int_equal(vmcb()->v_tpr, 0);
	assert_int_equal(v->apic.tpr, 0);
	v->rflags = RFLAGS_IF_2;
	vmcb()->segments[VMCB_CS].base = 0;
	DO(CR8(3), CR8(2), READ(TPR), END);
	assert_int_equal(eax(), 0x20);
}

static void debugger__comes_while_something_waits__cr8_goes_on_exiting(void **state)
{
	(void)state;
	DO(CR8(6), SELF(0x61), END);
	vcpu_reload(v);
	assert_int_equal(vcpu_set_debug(v, HILUM_DEBUG_CR3), 0);
	v->check_interrupts = false;
	svm_load(v);
	assert_int_equal(vmcb()->intercept_cr, CR8_WRITES | INTERCEPT(VMEXIT_CR_WRITE(3)));
	svm_unload(v);
}

static void vcpu__goes_to_another_core__takes_cr8_along(void **state)
{
	(void)state;
	DO(CR8(6), END);
	vcpu_move(v, cpu_table[1]);
	fake_settle();
	fake_become(1);
	DO(SELF(0x61), READ(TPR), END);
	assert_int_equal(eax(), 0x60);
	VECTORS(0);
	DO(CR8(5), END);
	VECTORS(0x61);
	fake_become(0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(cr8__nothing_waits__no_exit_and_shown_by_the_registers),
		TEST(tpr__written_by_msr__read_from_cr8),
		TEST(cr8__lowered_since_the_last_look__interrupt_comes_at_once),
		TEST(cr8__above_a_self_ipi__held_until_the_write_that_lowers_it),
		TEST(cr8__raised_before_an_interrupt_comes__held),
		TEST(cr8__interrupts_off__window_and_writes_exit),
		TEST(cr8__above_15_while_it_exits__general_protection),
		TEST(halt__cr8_masks_what_comes__sleeps_on),
		TEST(state__read_and_written_back__cr8_stays),
		TEST(reset__cr8_was_raised__is_zero),
		TEST(debugger__comes_while_something_waits__cr8_goes_on_exiting),
		TEST(vcpu__goes_to_another_core__takes_cr8_along),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
