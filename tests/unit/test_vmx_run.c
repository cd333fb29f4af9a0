/*
 * The run loop against a VMCS that counts its accesses: what each exit costs, what is injected, how shadows and NMI blocking come
 * and go, when translations are flushed, and what becomes of an entry that fails.
 *
 * UNIT_SOURCES: vmx/run.c vmx/failure.c vmx/apic.c kernel/vlapic.c kernel/vlapic_ipi.c kernel/vlapic_timer.c
 * UNIT_FLAGS: -iquote tests/unit/fake_vmx
 */
#include "tests/unit/cmocka_all.h"
#include "arch/x86_64/features.h"
#include "arch/x86_64/log.h"
#include "arch/x86_64/trap.h"
#include "kernel/exit.h"
#include "kernel/vlapic_internal.h"
#include "vmx/vmx.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

uint8_t *backend_msr_bitmap;
uint64_t fake_vmcs[0x8000];
unsigned fake_reads, fake_writes, fake_invepts, fake_invvpids;
struct vmx_controls vmx_controls;

static struct vmx_vcpu backend;
static struct cpu cpu;
static struct vm vm = { .name = "victim" };
static struct vcpu vcpu, *const v = &vcpu;

static struct vexit seen; /* the first exit, and what waited for delivery then */
static uint64_t seen_event;
static unsigned exits, irqs, raised, windows, crash, collected;
static uint64_t crash_detail, event;
static bool window, refuse, prepare_answer;
static uint32_t apic_page[1024];
static struct vlapic_bus bus = { .present = 1, .apic = { &vcpu.apic } };
static unsigned ended, notices, unmapped, posting;
static char line[512];

/* What the guest does at the next entry, and the counts over it. */
static uint32_t reason;
static unsigned entries, reads, writes;
static uint32_t injected;

void exit_machine_check(struct vcpu *w)
{
	w->check_interrupts = true;
}

void exit_handle(struct vcpu *w, const struct vexit *x)
{
	if (exits++ == 0) {
		bool whole = x->kind == HILUM_EXIT_PORT || x->kind == HILUM_EXIT_MMIO || x->kind == HILUM_EXIT_CR;
		memcpy(&seen, x, whole ? sizeof(*x) : offsetof(struct vexit, port));
		seen_event = w->pending_event;
	}
	if (x->kind != HILUM_EXIT_MMIO && x->kind != HILUM_EXIT_PORT && x->kind != HILUM_EXIT_INVALID_OPCODE)
		vcpu_skip(w, x->length);
	else if (x->kind == HILUM_EXIT_PORT)
		w->rip = x->port.next_rip;
}

bool vmx_enter(struct vcpu *w, struct vmx_vcpu *x, bool launched)
{
	(void)w;
	assert_int_equal(launched, x->launched);
	posting = w->posting;
	if (refuse)
		return false;
	/* One round of exit and entry: from here, the exit, to the next entry. */
	if (entries++ == 0) {
		fake_reads = fake_writes = 0;
	} else {
		reads = fake_reads;
		writes = fake_writes;
		w->state = VCPU_HALTED; /* leave the loop after this one */
	}
	injected = (uint32_t)fake_vmcs[VMCS_ENTRY_EVENT];
	fake_vmcs[VMCS_ENTRY_EVENT] = 0;
	fake_vmcs[VMCS_EXIT_REASON] = entries == 1 ? reason : REASON_MWAIT;
	return true;
}

bool vcpu_prepare(struct vcpu *w)
{
	w->requests = 0;
	return prepare_answer;
}

uint64_t vcpu_next_event(struct vcpu *w, bool interruptible, bool *open)
{
	uint64_t e = event;

	(void)interruptible;
	event = 0;
	w->pending_event = 0;
	w->check_interrupts = false;
	*open = window;
	return e;
}

void pveoi_collect(struct vcpu *w)
{
	w->eoi_word = NULL;
	collected = exits;
}

void vcpu_raise(struct vcpu *w, unsigned vector, bool has_error, uint32_t error)
{
	(void)w;
	(void)has_error;
	(void)error;
	raised = vector;
}

static uint64_t stopped; /* bits that it has stopped for */

bool vcpu_stop_for_debugger(struct vcpu *w, unsigned bit)
{
	stopped |= (w->debug >> bit & 1) << bit;
	return w->debug >> bit & 1;
}

void vcpu_skip_slow(struct vcpu *w)
{
	w->shadow = false;
}

void vcpu_window_opened(struct vcpu *w)
{
	w->check_interrupts = true;
	windows++;
}

void irq_dispatch(unsigned vector)
{
	irqs = vector;
}

void vm_crash(struct vcpu *w, enum hilum_crash why, uint64_t detail)
{
	crash = why;
	crash_detail = detail;
	w->state = VCPU_HALTED;
}

void vlapic_eoi_level(struct vlapic *a, uint8_t vector)
{
	assert_ptr_equal(a, &vcpu.apic);
	ended = vector;
}

void vlapic_notify(struct vlapic *a, enum vlapic_notice what)
{
	assert_ptr_equal(a, &vcpu.apic);
	assert_int_equal(what, VLAPIC_NOTIFY_INTR);
	notices++;
}

void vlapic_timer_set(struct vlapic *a, uint64_t host_tsc)
{
	(void)a;
	(void)host_tsc;
}

void vlapic_timer_cancel(struct vlapic *a)
{
	(void)a;
}

struct nested_pt_format nested_pt_format;

enum status nested_pt_install(struct nested_pt *npt, gpa_t gpa, hpa_t hpa, unsigned order, unsigned rights)
{
	(void)hpa;
	(void)order;
	(void)rights;
	assert_ptr_equal(npt, &vm.npt);
	assert_int_equal(gpa, 0xFEE00000);
	return STATUS_OK;
}

void nested_pt_unmap(struct nested_pt *npt, gpa_t gpa, uint64_t bytes, struct nested_pt_garbage *garbage)
{
	(void)garbage;
	assert_ptr_equal(npt, &vm.npt);
	assert_int_equal(gpa, 0xFEE00000);
	assert_int_equal(bytes, PAGE_SIZE);
	unmapped++;
	npt->generation++;
}

void vmx_fetch_rsp(struct vcpu *w)
{
	w->gpr[4] = backend.rsp = vmx_read(VMCS_GUEST_RSP);
	backend.rsp_known = true;
}

void vmx_write_timer(const struct vcpu *w)
{
	(void)w;
}

void vmx_take_debug(struct vcpu *w)
{
	backend.debug_taken = true;
	w->check_interrupts = true;
}

void log_info(const char *fmt, ...)
{
	va_list args;

	va_start(args, fmt);
	vsnprintf(line, sizeof(line), fmt, args);
	va_end(args);
}

static int set_up(void **state)
{
	(void)state;
	memset(fake_vmcs, 0, sizeof(fake_vmcs));
	memset(&backend, 0, sizeof(backend));
	memset(&vcpu, 0, sizeof(vcpu));
	memset(&seen, 0, sizeof(seen));
	cpu = (struct cpu){ .asid_generation = 1, .asid_next = 5 };
	vm.npt.generation = 3;
	vmx_controls = (struct vmx_controls){ .primary = 0x80000000,
		                              .secondary = SECONDARY_VPID,
		                              .cr0_mask = CR0_NE | CR0_CD | CR0_NW,
		                              .cr4_mask = ~0x370FBFull,
		                              .invept_type = 1 };
	vcpu.backend = &backend;
	vcpu.cpu = &cpu;
	vcpu.vm = &vm;
	vcpu.asid_generation = 1;
	vcpu.npt_generation = 3;
	vcpu.rip = fake_vmcs[VMCS_GUEST_RIP] = 0x1000;
	vcpu.rflags = fake_vmcs[VMCS_GUEST_RFLAGS] = 2;
	backend.primary = vmx_controls.primary;
	backend.apic_page = apic_page;
	backend.apic_in_page = true;
	vcpu.apic.bus = &bus;
	vcpu.apic.mode = VLAPIC_XAPIC;
	vcpu.apic.apic_base = VLAPIC_DEFAULT_BASE;
	vcpu.apic.reg[APIC_SVR] = 0x1FF;
	vcpu.apic.reg[APIC_LVT_ERROR] = APIC_LVT_MASKED;
	backend.rip = 0x1000;
	backend.rflags = 2;
	fake_vmcs[VMCS_INSN_LENGTH] = 2;
	exits = irqs = raised = windows = crash = entries = reads = writes = fake_invepts = fake_invvpids = 0;
	event = injected = 0;
	collected = 99;
	ended = notices = unmapped = posting = 0;
	memset(apic_page, 0, sizeof(apic_page));
	window = refuse = false;
	prepare_answer = true;
	line[0] = '\0';
	return 0;
}

static void run(uint32_t why)
{
	reason = why;
	v->state = VCPU_READY;
	vmx_run(v);
}

#define PAGE_IRR(word) apic_page[(0x20 + (word)) * 4]
#define PAGE_ISR(word) apic_page[(0x10 + (word)) * 4]
#define PAGE_TPR       apic_page[0x08 * 4]

#define PAGE(reg) apic_page[(reg)*4]

/* In the guest it is in the page; what `vcpu.apic` holds at the end of the round has been fetched. */
static void with_apic(enum vlapic_mode mode, bool in_page)
{
	vmx_controls.secondary |= SECONDARY_INTERRUPT_DELIVERY;
	if (in_page)
		backend.secondary = vmx_controls.secondary | (mode == VLAPIC_X2APIC ? SECONDARY_X2APIC : SECONDARY_APIC_ACCESSES);
	backend.apic_in_page = in_page;
	vcpu.apic.mode = mode;
}

static void run__cpuid__five_reads_and_rip_written(void **state)
{
	(void)state;
	run(REASON_CPUID);
	assert_int_equal(exits, 2); /* and the MWAIT that ends the round */
	assert_int_equal(reads, 5); /* RIP, RFLAGS, interruptibility, reason, length */
	assert_int_equal(writes, 1);
	assert_int_equal(fake_vmcs[VMCS_GUEST_RIP], 0x1002);
}

static void run__call__tells_who_makes_it(void **state)
{
	(void)state;
	for (unsigned cpl = 0; cpl < 4; cpl++) {
		exits = entries = 0;
		fake_vmcs[VMCS_GUEST_ACCESS(SEGMENT_SS)] = 0x93 | cpl << 5;
		v->cpl = 7;
		run(REASON_VMCALL);
		assert_int_equal(v->cpl, cpl);
	}
}

static void run__frequent_exits__counts_stay(void **state)
{
	static const struct {
		const char *name;
		uint32_t reason;
		unsigned reads, writes;
	} table[] = {
		{ "cpuid", REASON_CPUID, 5, 1 },
		{ "hypercall", REASON_VMCALL, 5, 1 },
		{ "port", REASON_IO, 6, 1 },
		{ "rdmsr", REASON_RDMSR, 5, 1 },
		{ "wrmsr", REASON_WRMSR, 5, 1 },
		{ "hlt", REASON_HLT, 5, 2 },
		{ "interrupt", REASON_INTERRUPT, 5, 0 },
		{ "ept_violation", REASON_EPT_VIOLATION, 8, 0 },
		{ "interrupt_window", REASON_INTERRUPT_WINDOW, 5, 0 },
		{ "apic_write", REASON_APIC_WRITE, 6, 0 },
		{ "virtual_eoi", REASON_VIRTUAL_EOI, 5, 0 },
	};

	for (unsigned i = 0; i < ARRAY_SIZE(table); i++) {
		set_up(state);
		with_apic(VLAPIC_XAPIC, true);
		run(table[i].reason);
		if (reads > table[i].reads || writes > table[i].writes)
			fail_msg("reason %u: %u reads, %u writes", table[i].reason, reads, writes);
		print_message("vmcs accesses: %s %u reads %u writes\n", table[i].name, reads, writes); /* for scripts/bench */
	}
}

static void run__interrupt__acknowledged_vector_dispatched(void **state)
{
	(void)state;
	fake_vmcs[VMCS_EXIT_EVENT] = EVENT_VALID | 0xE8;
	run(REASON_INTERRUPT);
	assert_int_equal(irqs, 0xE8);
	assert_int_equal(v->stats.exits[HILUM_EXIT_INTERRUPT], 1);
}

static void run__io__decoded(void **state)
{
	(void)state;
	fake_vmcs[VMCS_QUALIFICATION] = 0x3F8u << 16 | IO_IN | 3;
	run(REASON_IO);
	assert_int_equal(seen.kind, HILUM_EXIT_PORT);
	assert_int_equal(seen.port.port, 0x3F8);
	assert_int_equal(seen.port.size, 4);
	assert_true(seen.port.in);
	assert_false(seen.port.string);
	assert_int_equal(seen.port.next_rip, 0x1002);
	set_up(state);
	fake_vmcs[VMCS_QUALIFICATION] = 0xFFFFu << 16 | IO_STRING;
	run(REASON_IO);
	assert_int_equal(seen.port.port, 0xFFFF);
	assert_int_equal(seen.port.size, 1);
	assert_false(seen.port.in);
	assert_true(seen.port.string);
}

static void run__ept_violation__told_apart(void **state)
{
	(void)state;
	fake_vmcs[VMCS_QUALIFICATION] = EPT_FETCH | 1 << 3;
	fake_vmcs[VMCS_GUEST_PHYSICAL] = 0x12345;
	fake_vmcs[VMCS_GUEST_RSP] = 0x7000;
	run(REASON_EPT_VIOLATION);
	assert_int_equal(seen.memory.gpa, 0x12345);
	assert_true(seen.memory.fetch);
	assert_false(seen.memory.write);
	assert_null(seen.memory.insn);
	assert_int_equal(v->gpr[4], 0x7000);
}

/* ---- Injection ---- */

static void inject__page_fault__with_error_code_in_protected_mode_only(void **state)
{
	for (unsigned pe = 0; pe < 2; pe++) {
		set_up(state);
		fake_vmcs[VMCS_GUEST_CR0] = pe;
		v->check_interrupts = true;
		event = EVENT_VALID | EVENT_ERROR_VALID | EVENT_TYPE_EXCEPTION | 14 | 7ull << 32;
		run(REASON_CPUID);
		assert_int_equal(fake_vmcs[VMCS_ENTRY_ERROR_CODE], pe ? 7 : 0);
	}
}

static void entry_event(uint64_t e)
{
	v->check_interrupts = true;
	event = e;
	fake_vmcs[VMCS_GUEST_CR0] = CR0_PE;
	refuse = true; /* look at what would have been injected */
	run(REASON_CPUID);
	injected = (uint32_t)fake_vmcs[VMCS_ENTRY_EVENT];
}

static void inject__any_event__in_the_form_that_entries_check(void **state)
{
	static const struct {
		uint64_t event;
		uint32_t written;
	} table[] = {
		{ EVENT_VALID | 0x41, EVENT_VALID | 0x41 },
		{ EVENT_VALID | EVENT_TYPE_NMI | 9, EVENT_VALID | EVENT_TYPE_NMI | 2 },
		{ EVENT_VALID | EVENT_TYPE_EXCEPTION | 6 | EVENT_ERROR_VALID, EVENT_VALID | EVENT_TYPE_EXCEPTION | 6 },
		{ EVENT_VALID | EVENT_TYPE_EXCEPTION | 13, EVENT_VALID | EVENT_TYPE_EXCEPTION | EVENT_ERROR_VALID | 13 },
		{ EVENT_VALID | EVENT_TYPE_EXCEPTION | 8, EVENT_VALID | EVENT_TYPE_EXCEPTION | EVENT_ERROR_VALID | 8 },
		{ EVENT_VALID | EVENT_TYPE_EXCEPTION | 30, EVENT_VALID | EVENT_TYPE_EXCEPTION | 30 },
	};

	for (unsigned i = 0; i < ARRAY_SIZE(table); i++) {
		set_up(state);
		entry_event(table[i].event);
		assert_int_equal(injected, table[i].written);
	}
}

static void inject__nmi__entered_unblocked(void **state)
{
	(void)state;
	v->nmi_blocked = true;
	entry_event(EVENT_VALID | EVENT_TYPE_NMI | 2);
	assert_int_equal(fake_vmcs[VMCS_GUEST_INTERRUPTIBILITY], 0);
}

static void inject__waiting__windows_opened_and_closed(void **state)
{
	(void)state;
	v->check_interrupts = true;
	v->nmi_pending = true;
	window = true;
	run(REASON_CPUID);
	assert_int_equal(fake_vmcs[VMCS_PRIMARY_CONTROLS], 0x80000000 | PRIMARY_INTERRUPT_WINDOW | PRIMARY_NMI_WINDOW);
	entries = 0;
	window = v->nmi_pending = false;
	run(REASON_INTERRUPT_WINDOW);
	assert_int_equal(windows, 1);
	assert_int_equal(fake_vmcs[VMCS_PRIMARY_CONTROLS], 0x80000000);
}

/* ---- A debugger ---- */

static void inject__debugged__control_registers_exit(void **state)
{
	(void)state;
	v->check_interrupts = true;
	v->debug = HILUM_DEBUG_CR3 | HILUM_DEBUG_DR;
	backend.debug_taken = true; /* DR0 to DR3 are loaded, and the guest does not get at them */
	vmx_controls.primary |= PRIMARY_MOV_DR;
	run(REASON_CPUID);
	assert_int_equal(fake_vmcs[VMCS_PRIMARY_CONTROLS], 0x80000000 | PRIMARY_CR3_LOAD | PRIMARY_MOV_DR);
	entries = 0;
	v->debug = 0;
	v->check_interrupts = true;
	run(REASON_CPUID);
	assert_int_equal(fake_vmcs[VMCS_PRIMARY_CONTROLS], 0x80000000);
	vmx_controls.primary &= ~PRIMARY_MOV_DR;
}

static void run__what_a_debugger_waits_for__neither_raised_nor_executed(void **state)
{
	static const struct {
		uint32_t reason, qualification;
		uint64_t debug;
	} table[] = {
		{ REASON_CR, 3 | 6 << 8, HILUM_DEBUG_CR3 },
		{ REASON_DR, 7, HILUM_DEBUG_DR },
	};

	for (unsigned i = 0; i < ARRAY_SIZE(table); i++) {
		set_up(state);
		stopped = 0;
		v->debug = table[i].debug;
		fake_vmcs[VMCS_QUALIFICATION] = table[i].qualification;
		run(table[i].reason);
		assert_int_equal(stopped, table[i].debug);
		assert_int_equal(v->rip, 0x1000);
		assert_false(backend.debug_taken);
		assert_int_equal(raised, 0);
	}
}

static void run__invalid_opcode_and_breakpoint__raised(void **state)
{
	for (unsigned vector = 3; vector <= 6; vector += 3) {
		set_up(state);
		fake_vmcs[VMCS_EXIT_EVENT] = EVENT_VALID | EVENT_TYPE_EXCEPTION | vector;
		run(REASON_EXCEPTION_OR_NMI);
		assert_int_equal(raised, vector);
		assert_int_equal(v->stats.exits[HILUM_EXIT_EXCEPTION], 1);
	}
}

/* ---- Interrupted deliveries ---- */

static void ept_violation__in_a_delivery__event_comes_again(void **state)
{
	(void)state;
	fake_vmcs[VMCS_VECTORING_EVENT] = EVENT_VALID | EVENT_ERROR_VALID | EVENT_TYPE_EXCEPTION | 14;
	fake_vmcs[VMCS_VECTORING_ERROR_CODE] = 2;
	fake_vmcs[VMCS_QUALIFICATION] = EPT_WRITE;
	fake_vmcs[VMCS_GUEST_PHYSICAL] = 0x5000;
	run(REASON_EPT_VIOLATION);
	assert_int_equal(seen_event, EVENT_VALID | EVENT_ERROR_VALID | EVENT_TYPE_EXCEPTION | 14 | 2ull << 32);
}

static void ept_violation__software_interrupt__executed_again(void **state)
{
	static const uint32_t instructions[] = { 4u << 8 | 0x80, 5u << 8 | 1, 6u << 8 | 3 };

	for (unsigned i = 0; i < ARRAY_SIZE(instructions); i++) {
		set_up(state);
		fake_vmcs[VMCS_VECTORING_EVENT] = EVENT_VALID | instructions[i];
		run(REASON_EPT_VIOLATION);
		assert_int_equal(seen_event, 0);
	}
}

static void ept_violation__of_iret__nmis_stay_blocked(void **state)
{
	(void)state;
	fake_vmcs[VMCS_QUALIFICATION] = EPT_NMI_UNBLOCKED;
	run(REASON_EPT_VIOLATION);
	assert_int_equal(backend.interruptibility & BLOCKING_BY_NMI, BLOCKING_BY_NMI);
	assert_int_equal(fake_vmcs[VMCS_GUEST_INTERRUPTIBILITY], BLOCKING_BY_NMI);
}

/* ---- Shadows ---- */

static void shadow__left_by_the_exit__ends_with_the_instruction(void **state)
{
	(void)state;
	v->shadow = true;
	v->rflags = fake_vmcs[VMCS_GUEST_RFLAGS] = 0x202;
	fake_vmcs[VMCS_GUEST_INTERRUPTIBILITY] = BLOCKING_BY_STI;
	run(REASON_CPUID);
	assert_int_equal(fake_vmcs[VMCS_GUEST_INTERRUPTIBILITY], 0);
}

static void shadow__given_from_outside__in_the_form_that_if_allows(void **state)
{
	(void)state;
	v->shadow = true;
	refuse = true;
	run(REASON_CPUID);
	assert_int_equal(fake_vmcs[VMCS_GUEST_INTERRUPTIBILITY], BLOCKING_BY_MOV_SS);
	set_up(state);
	v->shadow = refuse = true;
	v->rflags = 0x302; /* IF, TF */
	run(REASON_CPUID);
	assert_int_equal(fake_vmcs[VMCS_GUEST_INTERRUPTIBILITY], BLOCKING_BY_STI);
	assert_int_equal(fake_vmcs[VMCS_GUEST_PENDING_DEBUG], DR6_BS);
}

/* ---- The CPU's local APIC ---- */

static void apic__first_entry__registers_are_in_the_page(void **state)
{
	(void)state;
	with_apic(VLAPIC_X2APIC, false);
	v->apic.isr[1] = 1ull << 33; /* vector 97 */
	v->apic.isrv = 97;
	v->apic.tpr = 0x40;
	v->apic.irr[3] = 1ull << 63 | 1;
	v->apic.reg[0x0F] = 0x1FF;
	run(REASON_CPUID);
	assert_int_equal(PAGE_ISR(3), 2);
	assert_int_equal(PAGE_TPR, 0x40);
	assert_int_equal(PAGE_IRR(7), 1u << 31);
	assert_int_equal(PAGE_IRR(6), 1);
	assert_int_equal(apic_page[0x0F * 4], 0x1FF);
	assert_int_equal(v->apic.irr[3], 0);
	assert_int_equal(fake_vmcs[VMCS_GUEST_INTERRUPT_STATUS], 97 << 8 | 255);
	assert_int_equal(fake_vmcs[VMCS_SECONDARY_CONTROLS], vmx_controls.secondary | SECONDARY_X2APIC);
	assert_int_equal(vlapic_pending(&v->apic), -1);
}

static void apic__interrupt_while_it_runs__joins_those_in_the_page(void **state)
{
	(void)state;
	with_apic(VLAPIC_XAPIC, true);
	v->check_interrupts = true;
	v->apic.irr[0] = 1ull << 50;
	PAGE_IRR(2) = 1;                                 /* 64 */
	fake_vmcs[VMCS_GUEST_INTERRUPT_STATUS] = 0x3140; /* 49 is in service, 64 waits */
	run(REASON_CPUID);
	assert_int_equal(fake_vmcs[VMCS_GUEST_INTERRUPT_STATUS], 0x3140);
	assert_int_equal(PAGE_IRR(1), 1u << 18);
	assert_int_equal(PAGE_IRR(2), 1);
}

static void apic__halt__fetched_and_put_back(void **state)
{
	(void)state;
	with_apic(VLAPIC_X2APIC, true);
	v->apic.ppr = 0xFF;
	PAGE_ISR(1) = 1u << 17; /* 49 */
	PAGE_IRR(2) = 1u << 1;  /* 65 */
	PAGE_TPR = 0x20;
	fake_vmcs[VMCS_GUEST_INTERRUPT_STATUS] = 49 << 8 | 65;
	fake_reads = 0;
	vmx_fetch_apic(v);
	assert_int_equal(fake_reads, 0); /* another core's VMCS may be current, or none */
	assert_int_equal(v->apic.isrv, 49);
	assert_int_equal(v->apic.isr[0], 1ull << 49);
	assert_int_equal(v->apic.tpr, 0x20);
	assert_int_equal(v->apic.ppr, 0x30);
	assert_int_equal(vlapic_pending(&v->apic), 65);
	v->apic.irr[1] = 0; /* and taken back by its sender's reset */
	run(REASON_HLT);
	assert_int_equal(PAGE_IRR(2), 0);
	assert_int_equal(PAGE_ISR(1), 1u << 17);
	assert_int_equal(fake_vmcs[VMCS_GUEST_INTERRUPT_STATUS], 49 << 8);
}

static void apic__level_triggered__end_is_told_once_it_is_known(void **state)
{
	(void)state;
	with_apic(VLAPIC_X2APIC, true);
	v->check_interrupts = true;
	v->apic.tmr[1] = 1; /* 64: delivered and ended before the CPU knew */
	run(REASON_CPUID);
	assert_int_equal(fake_vmcs[VMCS_EOI_EXIT(1)], 1);
	assert_int_equal(v->eoi_exits[1], 1);
	assert_int_equal(ended, 64);
	ended = entries = 0;
	v->apic.tmr[0] = 1ull << 40; /* still to be delivered: an exit tells its end */
	v->apic.irr[0] = 1ull << 40;
	v->check_interrupts = true;
	fake_vmcs[VMCS_QUALIFICATION] = 40;
	run(REASON_CPUID);
	assert_int_equal(ended, 0);
	entries = 0;
	run(REASON_VIRTUAL_EOI);
	assert_int_equal(ended, 40);
	ended = entries = 0;
	v->apic.tmr[0] = 0; /* it came again, as an edge */
	run(REASON_VIRTUAL_EOI);
	assert_int_equal(ended, 0);
}

static void apic__msrs__fetched_if_they_need_it(void **state)
{
	(void)state;
	with_apic(VLAPIC_X2APIC, true);
	PAGE_TPR = 0x50;
	v->gpr[1] = MSR_IA32_TSC_DEADLINE;
	run(REASON_WRMSR);
	assert_int_equal(v->apic.tpr, 0);
	entries = 0;
	v->gpr[1] = 0x83F;
	PAGE(APIC_SELF_IPI) = 0x47;
	fake_vmcs[VMCS_QUALIFICATION] = 0x3F0;
	run(REASON_APIC_WRITE);
	assert_int_equal(v->apic.irr[1], 1ull << 7); /* it has sent it, to itself */
	entries = 0;
	v->gpr[1] = 0x80F;
	PAGE_TPR = 0x60;
	run(REASON_WRMSR);
	assert_int_equal(v->apic.tpr, 0x60);
}

static void apic__mode__controls_follow_and_access_page_is_for_xapic_only(void **state)
{
	static const struct {
		enum vlapic_mode mode;
		uint64_t base;
		uint32_t bit;
	} table[] = {
		{ VLAPIC_X2APIC, VLAPIC_DEFAULT_BASE, SECONDARY_X2APIC },
		{ VLAPIC_DISABLED, VLAPIC_DEFAULT_BASE, 0 },
		{ VLAPIC_XAPIC, 0xD0000000, 0 },
	};

	for (unsigned i = 0; i < ARRAY_SIZE(table); i++) {
		set_up(state);
		with_apic(VLAPIC_XAPIC, false);
		run(REASON_CPUID);
		assert_int_equal(fake_vmcs[VMCS_SECONDARY_CONTROLS], vmx_controls.secondary | SECONDARY_APIC_ACCESSES);
		assert_int_equal(PAGE(APIC_SVR), 0x1FF);
		assert_int_equal(unmapped, 0);
		vmx_fetch_apic(v);
		v->apic.mode = table[i].mode;
		v->apic.apic_base = table[i].base;
		entries = fake_invepts = 0;
		run(REASON_CPUID);
		assert_int_equal(fake_vmcs[VMCS_SECONDARY_CONTROLS], vmx_controls.secondary | table[i].bit);
		assert_int_equal(unmapped, 1);
		assert_int_equal(fake_invepts, 1); /* before the guest runs again */
	}
}

static void apic__never_in_xapic_mode__access_page_is_unmapped(void **state)
{
	(void)state;
	with_apic(VLAPIC_DISABLED, false);
	run(REASON_CPUID);
	assert_int_equal(fake_vmcs[VMCS_SECONDARY_CONTROLS], vmx_controls.secondary);
	assert_int_equal(unmapped, 1);
}

static void apic__register_written__taken_without_bits_that_are_not_there(void **state)
{
	static const struct {
		unsigned reg;
		uint32_t written, taken;
	} table[] = {
		{ APIC_SVR, 0xFFFFFFFF, 0x3FF },         { APIC_ID, 0x12345678, 0 },
		{ APIC_LDR, 0x12345678, 0x12000000 },    { APIC_DFR, 0x12345678, 0x1FFFFFFF },
		{ APIC_LVT_ERROR, 0xFFFFFFFF, 0x100FF }, { APIC_DIVIDE, 0xFF, 0xB },
	};

	for (unsigned i = 0; i < ARRAY_SIZE(table); i++) {
		set_up(state);
		with_apic(VLAPIC_XAPIC, true);
		fake_vmcs[VMCS_QUALIFICATION] = table[i].reg * 16;
		PAGE(table[i].reg) = table[i].written;
		run(REASON_APIC_WRITE);
		assert_int_equal(v->apic.reg[table[i].reg], table[i].taken);
		assert_int_equal(PAGE(table[i].reg), table[i].taken);
		assert_true(backend.apic_in_page);
		assert_int_equal(v->stats.exits[HILUM_EXIT_APIC], 1);
	}
	PAGE(APIC_SVR) = 0xFF; /* disabled by software: the local vectors are masked */
	PAGE(APIC_LVT_ERROR) = v->apic.reg[APIC_LVT_ERROR] = 0xFE;
	fake_vmcs[VMCS_QUALIFICATION] = APIC_SVR * 16;
	entries = 0;
	run(REASON_APIC_WRITE);
	assert_int_equal(PAGE(APIC_LVT_ERROR), APIC_LVT_MASKED | 0xFE);
}

static void apic__icr_written__sent_with_the_destination_in_the_page(void **state)
{
	(void)state;
	with_apic(VLAPIC_XAPIC, true);
	fake_vmcs[VMCS_QUALIFICATION] = APIC_ICR_LOW * 16;
	PAGE(APIC_ICR_HIGH) = 0xFF000000; /* all, of whom there is one: no notice is due */
	PAGE(APIC_ICR_LOW) = 0x51;
	run(REASON_APIC_WRITE);
	assert_int_equal(v->apic.reg[APIC_ICR_HIGH], 0xFF000000);
	assert_int_equal(PAGE_IRR(2), 1u << 17);
	assert_int_equal(fake_vmcs[VMCS_GUEST_INTERRUPT_STATUS], 0x51);
	entries = 0;
	PAGE(APIC_ICR_HIGH) = 0x01000000; /* nobody */
	PAGE(APIC_ICR_LOW) = 0x61;
	run(REASON_APIC_WRITE);
	assert_int_equal(PAGE_IRR(3), 0);
}

static void apic__icr_that_the_cpu_has_taken__fetched(void **state)
{
	(void)state;
	with_apic(VLAPIC_XAPIC, true);
	PAGE(APIC_ICR_LOW) = 0x40051;
	vmx_fetch_apic(v);
	assert_int_equal(v->apic.reg[APIC_ICR_LOW], 0x40051);
	set_up(state);
	with_apic(VLAPIC_X2APIC, true);
	v->apic.reg[APIC_ICR_LOW] = 0x40052; /* by MSR: the page has none */
	vmx_fetch_apic(v);
	assert_int_equal(v->apic.reg[APIC_ICR_LOW], 0x40052);
}

static void apic_access__not_done_by_the_cpu__told_to_the_kernel(void **state)
{
	(void)state;
	with_apic(VLAPIC_XAPIC, true);
	PAGE_TPR = 0x70;
	fake_vmcs[VMCS_QUALIFICATION] = 1 << APIC_ACCESS_SHIFT | 0x90;
	fake_vmcs[VMCS_GUEST_RSP] = 0x7000;
	fake_vmcs[VMCS_VECTORING_EVENT] = EVENT_VALID | 0x41;
	run(REASON_APIC_ACCESS);
	assert_int_equal(seen.kind, HILUM_EXIT_MMIO);
	assert_int_equal(seen.memory.gpa, 0xFEE00090);
	assert_true(seen.memory.write);
	assert_null(seen.memory.insn);
	assert_int_equal(seen_event, EVENT_VALID | 0x41);
	assert_int_equal(v->gpr[4], 0x7000);
	assert_int_equal(v->apic.tpr, 0x70);
}

static void tpr__without_interrupt_delivery__threshold_while_it_holds_something_back(void **state)
{
	static const struct {
		uint32_t tpr, threshold;
	} table[] = { { 0x60, 5 }, { 0x50, 5 }, { 0x4F, 0 }, { 0, 0 } };

	for (unsigned i = 0; i < ARRAY_SIZE(table); i++) {
		set_up(state);
		v->check_interrupts = true;
		v->apic.irr[1] = 1ull << 17; /* 0x51 */
		PAGE_TPR = table[i].tpr;
		run(REASON_CPUID);
		assert_int_equal(v->apic.tpr, table[i].tpr); /* by which the choice was made */
		assert_int_equal(fake_vmcs[VMCS_TPR_THRESHOLD], table[i].threshold);
		assert_int_equal(v->apic.irr[1], 1ull << 17);
	}
	v->check_interrupts = true;
	PAGE_TPR = 0xF0;
	entries = 0;
	run(REASON_CPUID);
	PAGE_TPR = 0;
	entries = 0;
	run(REASON_TPR_THRESHOLD);
	assert_int_equal(fake_vmcs[VMCS_TPR_THRESHOLD], 0); /* looked at again */
	assert_int_equal(v->stats.exits[HILUM_EXIT_CR], 1);
}

static void tpr__changed_by_software__in_the_page_at_the_entry(void **state)
{
	(void)state;
	PAGE_TPR = 0x60;
	v->gpr[1] = MSR_X2APIC_FIRST + APIC_TPR;
	reason = REASON_RDMSR;
	run(REASON_RDMSR);
	assert_int_equal(v->apic.tpr, 0x60);
	vmx_fetch_apic(v);
	vlapic_set_tpr(&v->apic, 0x20);
	entries = 0;
	run(REASON_CPUID);
	assert_int_equal(PAGE_TPR, 0x20);
}

static void posting__in_the_loop_only(void **state)
{
	(void)state;
	run(REASON_CPUID);
	assert_int_equal(posting, 0);
	set_up(state);
	vmx_controls.pin = PIN_POSTED_INTERRUPTS;
	run(REASON_CPUID);
	assert_int_equal(posting, 1);
	assert_int_equal(v->posting, 0);
}

/* ---- Translations ---- */

static void tlb__nested_tables_changed__flushed_before_the_entry(void **state)
{
	(void)state;
	vm.npt.generation = 4;
	run(REASON_CPUID);
	assert_int_equal(fake_invepts, 1);
	assert_int_equal(v->npt_generation, 4);
	assert_int_equal(fake_vmcs[VMCS_VPID], 0); /* the tag stays */
}

static void tlb__new_here__gets_a_fresh_tag(void **state)
{
	(void)state;
	v->asid_generation = 0;
	run(REASON_CPUID);
	assert_int_equal(fake_vmcs[VMCS_VPID], 5);
	assert_int_equal(cpu.asid_next, 6);
	assert_int_equal(fake_invepts, 1);
	assert_int_equal(fake_invvpids, 0);
}

static void tlb__tags_used_up__all_flushed_and_begun_again(void **state)
{
	(void)state;
	v->asid_generation = 0;
	cpu.asid_next = 0x10000;
	run(REASON_CPUID);
	assert_int_equal(fake_invvpids, 1);
	assert_int_equal(fake_vmcs[VMCS_VPID], 1);
	assert_int_equal(v->asid_generation, 2);
}

/* ---- Control registers ---- */

static void cr0__guest_sets_ne__shadow_follows_and_instruction_runs_again(void **state)
{
	(void)state;
	v->gpr[1] = CR0_PE | CR0_NE | CR0_PG;
	fake_vmcs[VMCS_QUALIFICATION] = 1 << CR_REGISTER_SHIFT;
	run(REASON_CR);
	assert_int_equal(fake_vmcs[VMCS_CR0_SHADOW], CR0_NE);
	assert_int_equal(v->rip, 0x1000);
	assert_int_equal(raised, 0);
}

static void debug_register__used__taken_once(void **state)
{
	(void)state;
	vmx_controls.primary = backend.primary = 0x80000000 | PRIMARY_MOV_DR;
	run(REASON_DR);
	assert_int_equal(v->rip, 0x1000);
	assert_int_equal(fake_vmcs[VMCS_PRIMARY_CONTROLS], 0x80000000);
}

static void cr0__nw_without_cd__faults(void **state)
{
	(void)state;
	v->gpr[1] = CR0_PE | CR0_NW;
	fake_vmcs[VMCS_QUALIFICATION] = 1 << CR_REGISTER_SHIFT;
	run(REASON_CR);
	assert_int_equal(raised, 13);
	assert_int_equal(fake_vmcs[VMCS_CR0_SHADOW], 0);
}

static void cr4__bit_that_the_vm_has_not__faults(void **state)
{
	(void)state;
	v->gpr[1] = 1u << 13; /* VMXE */
	fake_vmcs[VMCS_QUALIFICATION] = 1 << CR_REGISTER_SHIFT | 4;
	run(REASON_CR);
	assert_int_equal(raised, 13);
	set_up(state);
	v->gpr[1] = CR4_MCE | CR4_PAE;
	fake_vmcs[VMCS_QUALIFICATION] = 1 << CR_REGISTER_SHIFT | 4;
	run(REASON_CR);
	assert_int_equal(raised, 0);
	assert_int_equal(fake_vmcs[VMCS_CR4_SHADOW], CR4_MCE);
}

/* ---- Entries that fail ---- */

static void entry__refused__logged_with_the_error_and_vm_stopped(void **state)
{
	(void)state;
	refuse = true;
	fake_vmcs[VMCS_INSTRUCTION_ERROR] = 7;
	run(REASON_CPUID);
	assert_int_equal(crash, HILUM_CRASH_INVALID_STATE);
	assert_int_equal(crash_detail, 7);
	assert_non_null(strstr(line, "error 7"));
}

static void entry__failed__group_named_and_vm_stopped(void **state)
{
	static const struct {
		uint32_t field;
		uint64_t value;
		const char *group;
	} table[] = {
		{ VMCS_GUEST_RIP, 1ull << 40, "RIP" },           { VMCS_GUEST_RFLAGS, 0, "RFLAGS" },
		{ VMCS_GUEST_CR0, CR0_PG, "control registers" }, { VMCS_GUEST_ACCESS(3), 0x93 | 0x8000, "DS" },
		{ VMCS_GUEST_ACCESS(7), ACCESS_UNUSABLE, "TR" }, { VMCS_GUEST_ACCESS(2), 0x93 | 3 << 5, "CS and SS" },
	};

	for (unsigned i = 0; i < ARRAY_SIZE(table); i++) {
		set_up(state);
		fake_vmcs[VMCS_GUEST_CR0] = CR0_PE;
		for (unsigned n = 0; n < 8; n++)
			fake_vmcs[VMCS_GUEST_ACCESS(n)] = 0x93;
		fake_vmcs[table[i].field] = table[i].value;
		run(REASON_ENTRY_FAILED | REASON_BAD_GUEST_STATE);
		assert_int_equal(crash, HILUM_CRASH_INVALID_STATE);
		if (strstr(line, table[i].group) == NULL)
			fail_msg("row %u: %s", i, line);
	}
	set_up(state);
	fake_vmcs[VMCS_QUALIFICATION] = 2;
	run(REASON_ENTRY_FAILED | REASON_BAD_GUEST_STATE);
	assert_non_null(strstr(line, "page-directory"));
}

/* The handlers must find the local APIC as the guest left it; and a window must not outlive the vCPU's turn. */
static void offer__of_an_end__collected_before_the_exit_is_handled(void **state)
{
	uint32_t word = 1;

	for (unsigned refused = 0; refused < 2; refused++) {
		set_up(state);
		refuse = refused;
		v->eoi_word = &word;
		run(REASON_CPUID);
		assert_null(v->eoi_word);
		assert_int_equal(collected, 0); /* no exit was handled yet */
	}
}

static void run__unknown_exit__told_to_the_kernel(void **state)
{
	(void)state;
	run(9); /* task switch */
	assert_int_equal(seen.kind, HILUM_EXIT_OTHER);
}

#define TEST(f) cmocka_unit_test_setup(f, set_up)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(run__cpuid__five_reads_and_rip_written),
		TEST(run__call__tells_who_makes_it),
		TEST(run__frequent_exits__counts_stay),
		TEST(run__interrupt__acknowledged_vector_dispatched),
		TEST(run__io__decoded),
		TEST(run__ept_violation__told_apart),
		TEST(inject__page_fault__with_error_code_in_protected_mode_only),
		TEST(inject__any_event__in_the_form_that_entries_check),
		TEST(inject__nmi__entered_unblocked),
		TEST(inject__waiting__windows_opened_and_closed),
		TEST(inject__debugged__control_registers_exit),
		TEST(run__what_a_debugger_waits_for__neither_raised_nor_executed),
		TEST(run__invalid_opcode_and_breakpoint__raised),
		TEST(ept_violation__in_a_delivery__event_comes_again),
		TEST(ept_violation__software_interrupt__executed_again),
		TEST(ept_violation__of_iret__nmis_stay_blocked),
		TEST(shadow__left_by_the_exit__ends_with_the_instruction),
		TEST(shadow__given_from_outside__in_the_form_that_if_allows),
		TEST(apic__first_entry__registers_are_in_the_page),
		TEST(apic__interrupt_while_it_runs__joins_those_in_the_page),
		TEST(apic__halt__fetched_and_put_back),
		TEST(apic__level_triggered__end_is_told_once_it_is_known),
		TEST(apic__msrs__fetched_if_they_need_it),
		TEST(apic__mode__controls_follow_and_access_page_is_for_xapic_only),
		TEST(apic__never_in_xapic_mode__access_page_is_unmapped),
		TEST(apic__register_written__taken_without_bits_that_are_not_there),
		TEST(apic__icr_written__sent_with_the_destination_in_the_page),
		TEST(apic__icr_that_the_cpu_has_taken__fetched),
		TEST(apic_access__not_done_by_the_cpu__told_to_the_kernel),
		TEST(tpr__without_interrupt_delivery__threshold_while_it_holds_something_back),
		TEST(tpr__changed_by_software__in_the_page_at_the_entry),
		TEST(posting__in_the_loop_only),
		TEST(tlb__nested_tables_changed__flushed_before_the_entry),
		TEST(tlb__new_here__gets_a_fresh_tag),
		TEST(tlb__tags_used_up__all_flushed_and_begun_again),
		TEST(cr0__guest_sets_ne__shadow_follows_and_instruction_runs_again),
		TEST(debug_register__used__taken_once),
		TEST(cr0__nw_without_cd__faults),
		TEST(cr4__bit_that_the_vm_has_not__faults),
		TEST(entry__refused__logged_with_the_error_and_vm_stopped),
		TEST(entry__failed__group_named_and_vm_stopped),
		TEST(offer__of_an_end__collected_before_the_exit_is_handled),
		TEST(run__unknown_exit__told_to_the_kernel),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
