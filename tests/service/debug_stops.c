/*
 * A control VM that debugs a guest of its own by the GDB stub, without a network: what tests/system looks for in the log, on every
 * CPU that the emulators have. The stub is the appliance's, its VM a real one.
 */
#include "drivers-vm/control/gdb/registers.h"
#include "drivers-vm/control/gdb/stub.h"
#include "drivers-vm/runtime/service.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define HOST         HILUM_HANDLE_HOST
#define MEMORY_BYTES 0x20000u
#define HERE         0xC0000000ull /* where the guest's memory is in this VM */
#define PML4         0x1000u
#define PDPT         0x2000u
#define PD           0x3000u
#define IDT          0x4000u
#define GDT          0x5000u
#define CODE         0x10000u
#define VALUE        0x18000u
#define STACK        0x1F000u
#define ALIAS        0x40000000ull /* the same memory, once the guest's tables say so */
#define WAIT_MS      2000u

extern const uint8_t debug_guest[], debug_guest_end[];
extern const uint32_t debug_guest_places[];
enum place { AGAIN, STORED, PUSHED, HANDLE_DEBUG, HANDLE_BREAKPOINT, HANDLE_INVALID, START_32, AGAIN_32, PUSHING };
enum { REG_RAX = 0, REG_RBX = 1, REG_RDX = 3, REG_RSI = 4, REG_RDI = 5, REG_RSP = 7, REG_R8 = 8, REG_RIP = 16 };

static uint8_t *const memory = (uint8_t *)HERE;
static hilum_handle_t vm, vcpu, memory_handle;
static struct gdb_stub stub;
static struct hilum_vcpu_state state;
static char heard[GDB_PACKET_BYTES + 1];
static unsigned failed;

/* ---- The guest ---------------------------------------- */

static bool get_state(void *opaque, unsigned n, struct hilum_vcpu_state *out)
{
	(void)opaque;
	(void)n;
	return hc(HC_VCPU_GET_STATE, vcpu, out, GDB_STATE_GROUPS) >= 0;
}

static bool set_state(void *opaque, unsigned n, const struct hilum_vcpu_state *from, uint32_t mask)
{
	(void)opaque;
	(void)n;
	return hc(HC_VCPU_SET_STATE, vcpu, from, mask) >= 0;
}

static void pause_vcpu(void *opaque, unsigned n)
{
	(void)opaque;
	(void)n;
	hc(HC_VCPU_PAUSE, vcpu);
}

static void run_vcpu(void *opaque, unsigned n)
{
	(void)opaque;
	(void)n;
	hc(HC_VCPU_RUN, vcpu);
}

static int64_t set_debug(void *opaque, unsigned n, uint64_t stops)
{
	(void)opaque;
	(void)n;
	return hc(HC_VCPU_DEBUG, vcpu, stops);
}

static struct hilum_vm_status status_of(void)
{
	struct hilum_vm_status status = { 0 };

	hc(HC_VM_STATUS, vm, &status);
	return status;
}

static uint64_t stops_of(void *opaque)
{
	(void)opaque;
	return status_of().debug_stops;
}

static bool has_debug_registers(void *opaque)
{
	(void)opaque;
	return true; /* the cases tell */
}

static uint8_t *ram_at(void *opaque, uint64_t gpa, size_t bytes)
{
	(void)opaque;
	return gpa <= MEMORY_BYTES && bytes <= MEMORY_BYTES - gpa ? memory + gpa : NULL;
}

static const struct gdb_target target = {
	.vcpus = 1,
	.physical_bits = 36,
	.get_state = get_state,
	.set_state = set_state,
	.pause = pause_vcpu,
	.run = run_vcpu,
	.set_debug = set_debug,
	.stops = stops_of,
	.has_debug_registers = has_debug_registers,
	.ram = ram_at,
};

static void put(uint32_t gpa, uint64_t value)
{
	memcpy(memory + gpa, &value, sizeof(value));
}

static void put_gate(unsigned vector, enum place handler)
{
	uint64_t at = CODE + debug_guest_places[handler];

	put(IDT + 16 * vector, (at & 0xFFFF) | 8ull << 16 | 0x8E00ull << 32 | (at >> 16) << 48);
	put(IDT + 16 * vector + 8, 0);
}

static void fill_memory(void)
{
	memset(memory, 0, MEMORY_BYTES);
	memcpy(memory + CODE, debug_guest, (size_t)(debug_guest_end - debug_guest));
	put(PML4, PDPT | 3);
	put(PDPT, PD | 3);
	put(PD, 0x83);
	put(GDT + 8, 0x00AF9B000000FFFFull);
	put(GDT + 16, 0x00CF93000000FFFFull);
	put_gate(1, HANDLE_DEBUG);
	put_gate(3, HANDLE_BREAKPOINT);
	put_gate(6, HANDLE_INVALID);
}

static void first_state(bool is_long)
{
	const struct hilum_segment data = { .limit = 0xFFFFFFFF, .selector = 0x10, .attributes = 0xC93 };

	memset(&state, 0, sizeof(state));
	state.rip = CODE + (is_long ? 0 : debug_guest_places[START_32]);
	state.gpr[4] = STACK;
	state.rflags = 2;
	state.cr0 = is_long ? 0x80000011 : 0x11;
	state.cr3 = PML4;
	state.cr4 = is_long ? 0x20 : 0;
	state.efer = is_long ? 0x500 : 0;
	state.xcr0 = 1;
	state.cs = (struct hilum_segment){ .limit = 0xFFFFFFFF, .selector = 8, .attributes = is_long ? 0xA9B : 0xC9B };
	state.ds = state.es = state.fs = state.gs = state.ss = data;
	state.tr = (struct hilum_segment){ .limit = 0xFFFF, .attributes = 0x8B };
	state.ldtr = (struct hilum_segment){ .limit = 0xFFFF, .attributes = 0x82 };
	state.gdtr_base = GDT;
	state.gdtr_limit = 23;
	state.idtr_base = IDT;
	state.idtr_limit = 16 * 32 - 1;
}

/* A fresh one for each case, with a debugger. */
static void begin(bool is_long)
{
	struct hilum_vm_config config = { .name = "debugged" };
	int64_t handle = hc(HC_VM_CREATE, HOST, &config);

	vm = (hilum_handle_t)handle;
	fill_memory();
	first_state(is_long);
	if (handle < 0 ||
	    hc(HC_MEMORY_MAP, vm, memory_handle, 0, 0, MEMORY_BYTES, HILUM_MAP_READ | HILUM_MAP_WRITE | HILUM_MAP_EXECUTE) < 0)
		runtime_abort("no VM");
	handle = hc(HC_VCPU_CREATE, vm, 0, HILUM_CORE_ANY, 256);
	vcpu = (hilum_handle_t)handle;
	if (handle < 0 || hc(HC_VCPU_SET_STATE, vcpu, &state, HILUM_STATE_GPR | HILUM_STATE_SEGMENTS | HILUM_STATE_CR) < 0)
		runtime_abort("no vCPU");
	gdb_stub_open(&stub, &target);
}

static void end(void)
{
	gdb_stub_close(&stub);
	hc(HC_HANDLE_CLOSE, vcpu);
	hc(HC_VM_DESTROY, vm);
}

/* ---- The debugger ---------------------------------------- */

static void pause_ms(uint64_t ms)
{
	struct hypercall_trap trap;

	while (hypercall_wait(0, service_tsc() + service_ns_to_tsc(ms * 1000000), &trap) != HILUM_WAIT_TIMEOUT)
		;
}

/* The content of what the stub says, without acknowledgement and frame; "" if it says nothing. */
static const char *hear(void)
{
	static char raw[2 * GDB_PACKET_BYTES];
	size_t count = gdb_stub_poll(&stub, (uint8_t *)raw, sizeof(raw) - 1);
	const char *at = memchr(raw, '$', count);

	heard[0] = '\0';
	raw[count] = '\0';
	if (at != NULL)
		snprintf(heard, sizeof(heard), "%.*s", (int)strcspn(at + 1, "#"), at + 1);
	return heard;
}

static const char *ask(const char *packet)
{
	char framed[128];
	uint8_t sum = 0;

	for (const char *c = packet; *c != '\0'; c++)
		sum += (uint8_t)*c;
	int length = snprintf(framed, sizeof(framed), "$%s#%02x", packet, sum);
	gdb_stub_receive(&stub, (const uint8_t *)framed, (size_t)length);
	return hear();
}

/* An address into the packet. */
static const char *ask_at(const char *format, uint64_t address)
{
	char packet[64];

	snprintf(packet, sizeof(packet), format, (unsigned long)address);
	return ask(packet);
}

static uint64_t reg(unsigned number)
{
	const char *hex = ask_at("p%lx", number);
	uint64_t value = 0;

	for (unsigned i = 0; i < 8 && hex[2 * i] != '\0' && hex[2 * i + 1] != '\0'; i++) {
		char byte[3] = { hex[2 * i], hex[2 * i + 1], '\0' };
		value |= (uint64_t)strtoul(byte, NULL, 16) << 8 * i;
	}
	return value;
}

/* Waits for a stop, and interrupts the guest after a while without; returns whether there was one of itself. */
static bool wait_stop(unsigned ms)
{
	for (unsigned i = 0; i < ms; i++) {
		if (status_of().state == HILUM_VM_CRASHED) {
			gdb_stub_crash(&stub, 0);
			hear();
			return false;
		}
		gdb_stub_check(&stub);
		if (*hear() == 'T')
			return true;
		pause_ms(1);
	}
	gdb_stub_receive(&stub, (const uint8_t *)"\3", 1);
	hear();
	return false;
}

static bool run_to_stop(const char *packet)
{
	ask(packet);
	return wait_stop(WAIT_MS);
}

static uint64_t place(enum place p)
{
	return CODE + debug_guest_places[p];
}

static void tell(const char *name, bool good)
{
	service_log("debug_stops: %s: %s", name, good ? "works" : "does not work");
	if (!good)
		service_log("debug_stops: rip %#lx, last heard '%.60s'", (unsigned long)reg(REG_RIP), heard);
	failed += !good;
}

/* ---- Cases ---------------------------------------- */

static bool step(void)
{
	bool good = true;

	for (unsigned i = 0; i < 4; i++) /* MOV to CR3 and more: none is skipped */
		good &= run_to_stop("s");
	return good && reg(REG_RIP) == place(AGAIN) + 3 && reg(REG_RAX) == 1;
}

static bool break_in_long_mode(void)
{
	bool good = strcmp(ask_at("Z0,%lx,1", place(AGAIN)), "OK") == 0;

	good &= run_to_stop("c") && reg(REG_RIP) == place(AGAIN) && reg(REG_RAX) == 0;
	ask_at("z0,%lx,1", place(AGAIN));
	good &= run_to_stop("s");
	ask_at("Z0,%lx,1", place(AGAIN));
	return good && run_to_stop("c") && reg(REG_RIP) == place(AGAIN) && reg(REG_RAX) == 1;
}

static bool own_exceptions(void)
{
	ask_at("Z0,%lx,1", place(HANDLE_DEBUG)); /* never met: all that stops is the guest's own */
	bool stopped = run_to_stop("c");

	return !stopped && reg(REG_RBX) > 10 && reg(REG_RDI) > 10 && reg(REG_R8) == 0;
}

static bool flags_pushed_in_a_step(void)
{
	bool good = true;

	ask_at("Z0,%lx,1", place(PUSHING));
	good &= run_to_stop("c");
	ask_at("z0,%lx,1", place(PUSHING));
	good &= run_to_stop("s") && run_to_stop("s");
	return good && reg(REG_RIP) == place(PUSHED) + 1 && !(reg(REG_RSI) & 0x100);
}

static bool waiting_breakpoint(void)
{
	ask_at("Z0,%lx,1", ALIAS + place(AGAIN));
	ask("c");
	bool early = wait_stop(20);
	put(PDPT + 8, PD | 3);
	return !early && run_to_stop("c") && reg(REG_RIP) == place(AGAIN) && reg(REG_RDI) > 0; /* its own INT3s, meanwhile */
}

static bool watchpoint(void)
{
	ask("Z2,18000,8");
	return run_to_stop("c") && strstr(heard, "watch:18000;") != NULL && reg(REG_RIP) == place(STORED) && reg(REG_RAX) == 1;
}

static bool hardware_breakpoint(void)
{
	ask_at("Z1,%lx,1", place(AGAIN));
	return run_to_stop("c") && reg(REG_RIP) == place(AGAIN) && reg(REG_RAX) == 0;
}

/* The guest writes DR0 and reads it back, while the debugger has it. */
static bool guest_s_debug_registers(void)
{
	ask("Z2,1f800,8"); /* never written */
	bool stopped = run_to_stop("c");

	ask_at("Z0,%lx,1", place(PUSHED));
	return !stopped && run_to_stop("c") && reg(REG_RDX) == reg(REG_RAX) && reg(REG_RAX) > 10 && reg(REG_R8) == 0;
}

static bool break_in_32_bit_code(void)
{
	ask_at("Z0,%lx,1", place(AGAIN_32));
	return run_to_stop("c") && reg(REG_RIP) == place(AGAIN_32) && reg(REG_RAX) == 1;
}

static const struct {
	const char *name;
	bool (*try)(void);
	bool is_long;
} cases[] = {
	{ "step", step, true },
	{ "breakpoint", break_in_long_mode, true },
	{ "the guest's own exceptions", own_exceptions, true },
	{ "flags pushed in a step", flags_pushed_in_a_step, true },
	{ "breakpoint in a page that is not mapped yet", waiting_breakpoint, true },
	{ "the guest's debug registers", guest_s_debug_registers, true },
	{ "watchpoint", watchpoint, true },
	{ "hardware breakpoint", hardware_breakpoint, true },
	{ "breakpoint in 32-bit code", break_in_32_bit_code, false },
};

_Noreturn void service_start(uint32_t n)
{
	int64_t made = hc(HC_MEMORY_CREATE, HOST, MEMORY_BYTES, 0);

	(void)n;
	memory_handle = (hilum_handle_t)made;
	if (made < 0 || hc(HC_MEMORY_MAP, HILUM_HANDLE_SELF, made, HERE, 0, MEMORY_BYTES, HILUM_MAP_READ | HILUM_MAP_WRITE) < 0)
		runtime_abort("no memory");
	for (unsigned i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		begin(cases[i].is_long);
		tell(cases[i].name, cases[i].try());
		end();
	}
	service_log("debug_stops: %u of %u do not work", failed, (unsigned)(sizeof(cases) / sizeof(cases[0])));
	for (;;)
		pause_ms(1000);
}
