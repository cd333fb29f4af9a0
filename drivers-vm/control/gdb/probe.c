/* See probe.h. */
#include "drivers-vm/control/gdb/probe.h"

#include "drivers-vm/control/control.h"

#include <string.h>

/* Power-up: real mode at FFFFFFF0. SDM vol. 3A, "First Instruction Executed". */
#define PAGE_BYTES   4096u
#define FIRST_GPA    0xFFFFF000ull
#define FIRST_OFFSET 0xFF0u
#define DR7_FIRST    0x402ull /* DR0, at an instruction */

static const uint8_t code[] = { 0x90, 0xF4 }; /* nop; hlt, with interrupts off */

static enum { PROBE_UNKNOWN, PROBE_RUNS, PROBE_YES, PROBE_NO } found;
static hilum_handle_t vm, vcpu;

static void end(void)
{
	if (vcpu != 0)
		hc(HC_HANDLE_CLOSE, vcpu);
	if (vm != 0)
		hc(HC_VM_DESTROY, vm);
	vm = vcpu = 0;
}

static bool give_memory(void)
{
	int64_t memory = control_memory_create(PAGE_BYTES, 0);
	uint8_t *here;
	bool good = memory > 0 && control_map_here((hilum_handle_t)memory, PAGE_BYTES, &here);

	if (good) {
		memcpy(here + FIRST_OFFSET, code, sizeof(code));
		control_unmap_here(here, PAGE_BYTES);
		good = hc(HC_MEMORY_MAP, vm, memory, FIRST_GPA, 0, PAGE_BYTES, HILUM_MAP_READ | HILUM_MAP_EXECUTE) >= 0;
	}
	if (memory > 0)
		hc(HC_HANDLE_CLOSE, memory);
	return good;
}

static bool begin(void)
{
	static struct hilum_vcpu_state state;
	const struct hilum_vm_config config = { .name = "debug-probe" };
	int64_t handle = hc(HC_VM_CREATE, HILUM_HANDLE_HOST, (uintptr_t)&config);

	if (handle < 0)
		return false;
	vm = (hilum_handle_t)handle;
	if (!give_memory() || (handle = hc(HC_VCPU_CREATE, vm, 0, HILUM_CORE_ANY, 256)) < 0)
		return false;
	vcpu = (hilum_handle_t)handle;
	memset(&state, 0, sizeof(state));
	state.dr[0] = FIRST_GPA + FIRST_OFFSET;
	state.dr6 = 0xFFFF0FF0;
	state.dr7 = DR7_FIRST;
	return hc(HC_VCPU_SET_STATE, vcpu, (uintptr_t)&state, HILUM_STATE_DR) >= 0 && hc(HC_VCPU_DEBUG, vcpu, HILUM_DEBUG_TRAP) >= 0 &&
	       hc(HC_VCPU_RUN, vcpu) >= 0;
}

void gdb_probe_start(void)
{
	if (found != PROBE_UNKNOWN)
		return;
	if (begin())
		found = PROBE_RUNS;
	else
		end(); /* the next debugger has more luck */
}

bool gdb_probe_says_yes(void)
{
	static struct hilum_vm_status status;
	static struct hilum_vcpu_stats stats;

	if (found == PROBE_RUNS && hc(HC_VM_STATUS, vm, (uintptr_t)&status) >= 0 && hc(HC_VCPU_STATS, vcpu, (uintptr_t)&stats) >= 0) {
		if (status.debug_stops != 0)
			found = PROBE_YES;
		else if (stats.exits[HILUM_EXIT_HALT] != 0)
			found = PROBE_NO;
		if (found != PROBE_RUNS)
			end();
	}
	return found != PROBE_NO;
}
