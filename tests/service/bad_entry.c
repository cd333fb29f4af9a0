/*
 * A control VM that gives vCPUs states which pass the kernel's checks but which no CPU enters, one VM each. Each of them must end
 * as crashed, and a good VM after them must run. Its lines in the log are what tests/system looks for.
 */
#include "drivers-vm/runtime/service.h"
#include <string.h>

#define PAGE_BYTES 4096u
#define CODE_GPA   0x10000u
#define TABLE      0x800u /* in the same page: page-directory pointers with reserved bits set */
#define HOST       HILUM_HANDLE_HOST

static struct hilum_vcpu_state state;

/* 32-bit protected mode without paging, flat, as a Multiboot kernel starts. */
static void good_state(void)
{
	const struct hilum_segment data = { .limit = 0xFFFFFFFF, .selector = 0x10, .attributes = 0xC93 };

	memset(&state, 0, sizeof(state));
	state.rip = CODE_GPA;
	state.rflags = 2;
	state.cr0 = 0x11;
	state.xcr0 = 1;
	state.cs = (struct hilum_segment){ .limit = 0xFFFFFFFF, .selector = 0x08, .attributes = 0xC9B };
	state.ds = state.es = state.fs = state.gs = state.ss = data;
	state.tr = (struct hilum_segment){ .limit = 0xFFFF, .attributes = 0x8B };
	state.ldtr = (struct hilum_segment){ .limit = 0xFFFF, .attributes = 0x82 };
}

/* 64-bit and 32-bit at once: AMD and Intel refuse it. The others only Intel checks. */
static void bad_code_segment(void)
{
	state.cr0 = 0x80000011;
	state.cr4 = 0x20;
	state.efer = 0x500;
	state.cs.attributes = 0xE9B;
}

static void bad_rip(void)
{
	state.rip = 1ull << 40;
}

static void bad_task_register(void)
{
	state.tr.attributes = 0;
}

static void bad_stack_segment(void)
{
	state.ss.attributes = 0xCF3; /* DPL 3, and CS has 0 */
}

static void bad_pae_table(void)
{
	state.cr0 = 0x80000011;
	state.cr4 = 0x20;
	state.cr3 = CODE_GPA + TABLE;
}

static const struct {
	const char *name;
	void (*make)(void);
	bool intel_only;
} cases[] = {
	{ "code segment", bad_code_segment, false },  { "rip", bad_rip, true },
	{ "task register", bad_task_register, true }, { "stack segment", bad_stack_segment, true },
	{ "pae table", bad_pae_table, true },
};

static void pause_ms(uint64_t ms)
{
	struct hypercall_trap trap;

	while (hypercall_wait(0, service_tsc() + service_ns_to_tsc(ms * 1000000), &trap) != HILUM_WAIT_TIMEOUT)
		;
}

/* Runs a VM in `state` until it has crashed or halted; returns its crash reason. Memory: `code` at CODE_GPA. */
static uint32_t run_vm(const char *name, hilum_handle_t code)
{
	struct hilum_vm_config config = { 0 };
	struct hilum_vm_status status = { 0 };
	struct hilum_vcpu_stats stats = { 0 };

	memcpy(config.name, name, strlen(name));
	int64_t vm = hc(HC_VM_CREATE, HOST, &config);
	int64_t map = hc(HC_MEMORY_MAP, vm, code, CODE_GPA, 0, PAGE_BYTES, HILUM_MAP_READ | HILUM_MAP_WRITE | HILUM_MAP_EXECUTE);
	int64_t vcpu = hc(HC_VCPU_CREATE, vm, 0, HILUM_CORE_ANY, 256);
	int64_t set = hc(HC_VCPU_SET_STATE, vcpu, &state, HILUM_STATE_GPR | HILUM_STATE_SEGMENTS | HILUM_STATE_CR);
	if (vm < 0 || map < 0 || vcpu < 0 || set < 0 || hc(HC_VCPU_RUN, vcpu) < 0)
		service_log("bad_entry: %s: set-up failed", name);
	for (unsigned i = 0; i < 1000 && status.state != HILUM_VM_CRASHED && stats.exits[HILUM_EXIT_HALT] == 0; i++) {
		pause_ms(1);
		hc(HC_VM_STATUS, vm, &status);
		hc(HC_VCPU_STATS, vcpu, &stats);
	}
	service_log("bad_entry: %s: crash %u, %lu halts", name, status.crash, (unsigned long)stats.exits[HILUM_EXIT_HALT]);
	hc(HC_VM_DESTROY, vm);
	return status.crash;
}

_Noreturn void service_start(uint32_t vcpu)
{
	static uint8_t code[PAGE_BYTES] __attribute__((aligned(PAGE_BYTES)));
	unsigned failed = 0;
	int64_t memory;

	(void)vcpu;
	memory = hc(HC_MEMORY_CREATE, HOST, PAGE_BYTES, 0);
	if (memory < 0 || hc(HC_MEMORY_MAP, HILUM_HANDLE_SELF, memory, 0xC0000000, 0, PAGE_BYTES, HILUM_MAP_READ | HILUM_MAP_WRITE) < 0)
		runtime_abort("no memory");
	memset(code, 0xF4, sizeof(code)); /* HLT */
	memset(code + TABLE, 0xFF, 32);
	memcpy((void *)(uintptr_t)0xC0000000, code, sizeof(code));
	for (unsigned i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		if (cases[i].intel_only && !hypercall_is_intel)
			continue;
		good_state();
		cases[i].make();
		failed += run_vm(cases[i].name, (hilum_handle_t)memory) != HILUM_CRASH_INVALID_STATE;
	}
	good_state();
	failed += run_vm("good", (hilum_handle_t)memory) != HILUM_CRASH_NONE;
	service_log("bad_entry: %u failed", failed);
	for (;;)
		pause_ms(1000);
}
