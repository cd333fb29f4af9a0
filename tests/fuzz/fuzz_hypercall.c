/*
 * Fuzz target of the hypercalls and of all that guests make root mode do, on the real kernel core with a pretended machine under it. The
 * input says which core runs, what time passes, and what each vCPU does when it is entered: the control VM calls, with its handles, its
 * memory, what earlier calls gave and any number as arguments, waits, and answers traps; a guest with few handles and one with none call
 * likewise, and touch memory, ports, MSRs and more. Between that the control VM's memory is written, and allocations fail; where the first
 * byte says so, that memory, pages of traps and shared pages change before any load of them, too. Properties: no access outside (the
 * sanitisers see it; freed memory is poisoned), no assertion of the kernel's fails, who has no handle makes nothing that would be one, and
 * when all VMs have ended nothing is left: every page, object, frame and reference is accounted for.
 *
 * FUZZ_SOURCES: kernel/event.c kernel/fetch.c kernel/forward.c kernel/pvclock.c kernel/pveoi.c kernel/vm.c build/fuzz/lib/kernel_fake.a
 * FUZZ_FLAGS: -fsanitize-coverage=trace-loads -Wl,--wrap=__asan_memcpy
 * FUZZ_FLAGS: @tests/unit/fake_kernel/fake.flags @tests/unit/fake_kernel/fake.wrap -lcmocka
 * FUZZ_OPTIONS: -max_len=768
 */
#include <hilum/abi.h>

/* The number of the call that ends the machine is never made so. */
#define RACING_VALUE(byte) ((byte) == (HC_HOST_RESET & 0xFF) ? 0 : (byte))
#include "tests/fuzz/racing.h"
#include "tests/unit/fake_kernel/fake.h"

#define STEPS_MAX  64u
#define OBJECTS    8u
#define RESULTS    8u
#define CORES      2u
#define ARGUMENTS  6u
#define DEVICE_RID 0x18

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes);

static const uint8_t *input;
static size_t left;
/* Of the world before the first step, and what the last calls gave. */
static hilum_handle_t object[OBJECTS];
static uint64_t result[RESULTS];
static unsigned results;

static uint8_t next8(void)
{
	if (left == 0)
		return 0;
	left--;
	return *input++;
}

static uint64_t next_bytes(unsigned count)
{
	uint64_t value = 0;

	for (unsigned i = 0; i < count; i++)
		value |= (uint64_t)next8() << (8 * i);
	return value;
}

/* The control VM's vCPU, which has called from nowhere so far, runs as others do. */
static void start_control(void)
{
	CALL_OK(HC_VM_SET_HANDLER, object[1], SELF_HANDLE, 77);
	CALL_OK(HC_VCPU_RUN, object[3]);
	sched_wake(caller->cpu, caller, fake_tsc);
}

/*
 * A VM with a vCPU on the other core, memory and a device, whose traps are the control VM's, and which may signal an event and map memory;
 * another VM with a vCPU beside the control VM's and no handle; an event, memory that it shares and memory that it gets when used.
 */
static void make_world(void)
{
	unsigned n = 0;

	sched_cores_are_one_vms = false; /* what an earlier input has asked for */
	memset(result, 0, sizeof(result));
	fake_boot(CORES);
	object[n++] = HOST_HANDLE;
	object[n++] = make_vm(HILUM_VM_DEVICES);
	object[n++] = make_vm(HILUM_VM_KVM_LEAVES);
	make_vcpu(object[1], 0, 1, &object[n++]);
	object[n++] = CALL_HANDLE(HC_MEMORY_CREATE, HOST_HANDLE, 4 * MIB, HILUM_MEMORY_SHARE);
	object[n++] = CALL_HANDLE(HC_EVENT_CREATE, object[1], 0, 5, 0);
	object[n++] = CALL_HANDLE(HC_MEMORY_CREATE, HOST_HANDLE, 4 * MIB, HILUM_MEMORY_LAZY);
	object[n++] = CALL_HANDLE(HC_DEVICE_CREATE, HOST_HANDLE, DEVICE_RID, 0);
	CALL_OK(HC_DEVICE_ASSIGN, object[7], object[1], HILUM_DEVICE_UNPROTECTED);
	CALL_OK(HC_MEMORY_MAP, object[1], object[4], 4 * MIB, 0, 2 * MIB, HILUM_MAP_READ | HILUM_MAP_WRITE);
	CALL_OK(HC_MEMORY_MAP, object[1], object[6], 256 * MIB, 0, 2 * MIB, HILUM_MAP_READ | HILUM_MAP_WRITE);
	(void)CALL_HANDLE(HC_HANDLE_GRANT, object[1], object[5], HILUM_RIGHT_SIGNAL);
	(void)CALL_HANDLE(HC_HANDLE_GRANT, object[1], object[6], HILUM_RIGHT_MAP | HILUM_RIGHT_READ);
	make_vcpu(object[2], 0, 0, &result[0]);
	CALL_OK(HC_VCPU_RUN, result[0]);
	results = 1;
	start_control();
}

/* One byte says what it is, and further ones how much. */
static uint64_t argument(void)
{
	uint8_t kind = next8();

	switch (kind >> 5) {
	case 0:
		return object[kind % OBJECTS];
	case 1:
		return result[kind % RESULTS];
	case 2:
		return kind & 31;
	case 3:
		return (uint64_t)(kind & 15) * KIB * 4; /* in the control VM's memory */
	case 4:
		return 1ull << (kind & 31);
	case 5:
		return ((uint64_t)(kind & 15) + 1) * MIB;
	case 6:
		return next_bytes(1 + (kind & 3));
	default:
		return kind & 1 ? ~next_bytes(1) : next_bytes(8);
	}
}

/* What stands in memory as a number of a call that ends the machine becomes another. */
static void keep_the_machine(uint64_t from, uint64_t to)
{
	for (uint8_t *at = control_memory() + (from > 3 ? from - 3 : 0); at < control_memory() + to; at++)
		if (memcmp(at, &(uint32_t){ HC_HOST_RESET }, 4) == 0)
			*at = 0;
}

static uint64_t number_of_call(void)
{
	uint64_t number = HC_NOP + next8() % (HC_CALL_END - HC_NOP + 1);

	return number == HC_HOST_RESET ? HC_WAIT : number;
}

/* Registers as the ABI has them: number and arguments. */
static void make_call(struct vcpu *v, uint64_t number)
{
	static const uint8_t registers[ARGUMENTS] = { 7, 6, 2, 10, 8, 9 };

	v->gpr[0] = number;
	for (unsigned i = 0; i < ARGUMENTS; i++)
		v->gpr[registers[i]] = argument();
	if (number == HC_WAIT) {
		uint8_t kind = next8();
		v->gpr[7] = kind & 3;
		v->gpr[6] = kind & 4 ? 0 : fake_tsc + ((uint64_t)kind << 8);
	}
	v->cpl = 0;
	hypercall_handle(v, 3);
}

/* ---- What the control VM does in its turn ---- */

/* The bits that it has been told of, and the trap that it has taken: what it writes there before it waits again. */
static void answer(struct vcpu *v)
{
	uint8_t kind = next8();

	if (kind & 1)
		memset(v->vm->shared->pending[v->index], 0, sizeof(v->vm->shared->pending[v->index]));
	if (!(kind & 2) || v->trap_current == NULL)
		return;
	struct hilum_trap *t = v->trap_current->trap;
	t->reply = kind >> 2 & 7;
	t->value = argument();
	t->vector = next8() & 0x3F;
	t->error_code = next8();
	t->rip = argument();
	t->rflags = argument();
}

static void control_turn(struct vcpu *v)
{
	uint8_t kind = next8();
	uint64_t rip = v->rip, number = HC_WAIT;

	if (kind % 4 == 0)
		answer(v);
	else
		number = number_of_call();
	if (kind % 16 == 5)
		failing_after = kind / 16;
	make_call(v, number);
	failing_after = FAILING_NONE;
	int64_t got = (int64_t)v->gpr[0];
	if (number != HC_WAIT && v->rip != rip && got > 0)
		result[results++ % RESULTS] = (uint64_t)got;
}

/* ---- What a guest does in its turn ---- */

static void guest_call(struct vcpu *v, uint8_t kind)
{
	bool has_handles = v->vm->handles.entry != NULL;
	uint64_t number = kind & 0x40 ? (kind & 0x20 ? HILUM_KVM_HC_KICK_CPU : HILUM_KVM_HC_SEND_IPI) : number_of_call();

	if ((kind & 0xA0) == 0xA0) { /* one of its programs */
		v->gpr[0] = number;
		v->cpl = 3;
		hypercall_handle(v, 3);
		if (v->gpr[0] != 0 && v->gpr[0] != (uint64_t)HILUM_E_DENIED)
			abort();
		return;
	}
	make_call(v, number);
	if (!has_handles && v->vm->handles.entry != NULL)
		abort();
}

static void guest_memory(struct vcpu *v)
{
	static uint8_t instruction[15];
	struct vexit x = { .kind = HILUM_EXIT_MMIO };
	uint8_t kind = next8();

	x.memory.gpa = kind & 1 ? 0xFEE00000u | (next8() << 4) : argument() & 0xFFFFFFFFFFull;
	x.memory.write = kind & 2;
	x.memory.fetch = !(kind & 2) && kind & 4;
	if (kind & 8) {
		x.memory.insn = instruction;
		x.memory.insn_bytes = kind >> 4;
		for (unsigned i = 0; i < x.memory.insn_bytes; i++)
			instruction[i] = next8();
	}
	exit_handle(v, &x);
}

static void guest_port(struct vcpu *v)
{
	uint8_t kind = next8();
	struct vexit x = { .kind = HILUM_EXIT_PORT };

	x.port.port = (uint16_t)next_bytes(2);
	x.port.size = kind % 4 == 3 ? 4 : 1 << kind % 4;
	x.port.in = kind & 4;
	x.port.string = kind & 8;
	x.port.next_rip = v->rip + 1 + (kind >> 4);
	exit_handle(v, &x);
}

static void guest_msr(struct vcpu *v, bool write)
{
	static const uint32_t bases[] = { 0x10, 0x1B, 0x48, 0x277, 0x6E0, 0x800, 0x830, 0x4B564D00, 0xC0000080, 0xC0000103 };
	uint8_t kind = next8();
	uint64_t value = argument();

	v->gpr[1] = bases[kind % ARRAY_SIZE(bases)] + kind / 16;
	v->gpr[0] = (uint32_t)value;
	v->gpr[2] = value >> 32;
	exit_handle(v, &(struct vexit){ .kind = write ? HILUM_EXIT_WRMSR : HILUM_EXIT_RDMSR, .length = 2 });
}

static void guest_turn(struct vcpu *v)
{
	static const uint8_t plain[] = { HILUM_EXIT_CPUID, HILUM_EXIT_HALT,           HILUM_EXIT_PAUSE, HILUM_EXIT_XSETBV,
		                         HILUM_EXIT_CACHE, HILUM_EXIT_INVALID_OPCODE, HILUM_EXIT_RDPMC, HILUM_EXIT_SHUTDOWN };
	uint8_t kind = next8();
	struct vexit x = { .length = 1 };

	switch (kind % 16) {
	case 0:
	case 1:
		guest_memory(v);
		break;
	case 2:
		guest_port(v);
		break;
	case 3:
	case 4:
		guest_msr(v, kind & 1);
		break;
	case 5:
		vlapic_set_tpr(&v->apic, kind & 0xF0);
		v->check_interrupts = true;
		break;
	case 6:
		x.kind = plain[kind / 16 % ARRAY_SIZE(plain)];
		exit_handle(v, &x);
		break;
	case 7:
		v->rflags = 2 | (kind & 0x20 ? RFLAGS_IF : 0) | (kind & 0x40 ? 0x100 : 0);
		v->shadow = kind & 0x80;
		break;
	default:
		guest_call(v, kind);
		break;
	}
}

static uint64_t turn(struct vcpu *v)
{
	if (left == 0)
		v->cpu->resched = true;
	else if (v->vm == control)
		control_turn(v);
	else
		guest_turn(v);
	return 1000;
}

/* ---- Steps ---- */

/* Its own VM may have been ended, and its memory be gone. */
static bool control_is_there(void)
{
	return control->status.state == HILUM_VM_RUNNING;
}

static void write_memory(void)
{
	uint64_t at = next_bytes(2) % (CONTROL_BYTES - 64);
	unsigned count = next8() % 64;

	for (unsigned i = 0; i < count; i++)
		control_memory()[at + i] = next8();
	keep_the_machine(at, at + count);
}

/* Numbers where structures have handles and addresses. */
static void write_argument(void)
{
	uint64_t at = (uint64_t)(next8() % 16) * 4 * KIB + (next8() % 64) * 8u, value = argument();

	memcpy(control_memory() + at, &value, sizeof(value));
	keep_the_machine(at, at + sizeof(value));
}

static void run_core(unsigned id, unsigned entries)
{
	fake_become(id);
	fake_run(id, entries);
	fake_become(0);
}

static void step(void)
{
	uint8_t kind = next8();

	switch (kind % 8) {
	case 0:
		write_memory();
		break;
	case 1:
	case 2:
		write_argument();
		break;
	case 3:
		fake_advance(next_bytes(3));
		break;
	case 4:
	case 5:
		run_core(1, 1 + kind / 64);
		break;
	default:
		run_core(0, 1 + kind / 64);
		break;
	}
}

/* What VMs may write while the kernel reads it. */
static void share_memory(void)
{
	racing_share(control_memory(), CONTROL_BYTES);
	for (struct vm *vm = vm_list; vm != NULL; vm = vm->next)
		racing_share(vm->shared, sizeof(*vm->shared));
	VM_EACH_VCPU(vm_of(object[1]), v)
	racing_share(v->trap, sizeof(*v->trap));
	VM_EACH_VCPU(vm_of(object[2]), v)
	racing_share(v->trap, sizeof(*v->trap));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes)
{
	bool changes = bytes != 0 && *data & 1;

	input = data;
	left = bytes;
	make_world();
	fake_guest = turn;
	share_memory();
	if (changes)
		racing_start(data, bytes);
	for (unsigned i = 0; i < STEPS_MAX && left != 0 && control_is_there(); i++)
		step();
	left = 0;
	racing_end();
	fake_check_clean();
	return 0;
}
