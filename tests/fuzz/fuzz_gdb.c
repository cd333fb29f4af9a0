/*
 * Fuzz target of the GDB stub: the input is what a debugger sends, between stops of the guest that it also asks for. Properties: no
 * access outside of the stub's memory and the guest's RAM (the sanitisers see it), no state read or set of a vCPU that runs, and
 * when the debugger has gone the guest runs with all its memory but what the debugger wrote.
 *
 * FUZZ_SOURCES: drivers-vm/control/gdb/stub.c drivers-vm/control/gdb/packet.c drivers-vm/control/gdb/text.c
 * FUZZ_SOURCES: drivers-vm/control/gdb/registers.c drivers-vm/control/gdb/memory.c drivers-vm/control/gdb/points.c
 * FUZZ_SOURCES: drivers-vm/control/gdb/run.c drivers-vm/control/gdb/debug_registers.c drivers-vm/control/gdb/commands.c
 * FUZZ_SOURCES: drivers-vm/control/gdb/queries.c drivers-vm/control/gdb/monitor.c drivers-vm/lib/guest_walk.c
 * FUZZ_OPTIONS: -max_len=2048
 */
#include "tests/unit/fake_gdb/vm.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static struct gdb_stub stub;

static void drain(void)
{
	uint8_t out[512];

	while (gdb_stub_poll(&stub, out, sizeof(out)) != 0)
		;
}

/* A packet whose sum is right, so that what it guards is reached. */
static void send_packet(const uint8_t *content, size_t count)
{
	static const char digits[] = "0123456789abcdef";
	uint8_t sum = 0, end[3] = { '#' };

	for (size_t i = 0; i < count; i++)
		sum += content[i];
	end[1] = (uint8_t)digits[sum >> 4];
	end[2] = (uint8_t)digits[sum & 15];
	gdb_stub_receive(&stub, (const uint8_t *)"$", 1);
	gdb_stub_receive(&stub, content, count);
	gdb_stub_receive(&stub, end, 3);
}

/* A vCPU that runs stops for one of the reasons that it is to stop for. */
static void stop_one(uint8_t choice)
{
	static const unsigned bits[] = { 1, 3, 6, 32, 33 };
	unsigned n = choice & 1;
	uint64_t bit = 1ull << bits[(choice >> 1) % 5];

	if (!vm.runs[n] || !(vm.debug[n] & bit))
		return;
	vm.state[n].dr6 ^= (uint64_t)(choice >> 4);
	vm_hit(n, bit);
	gdb_stub_check(&stub);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	size_t at = 0;

	vm_init();
	vm.runs[0] = vm.runs[1] = true;
	gdb_stub_open(&stub, &vm_target);
	while (at < size) {
		uint8_t op = data[at++];
		size_t count = 0;
		while (at + count < size && data[at + count] != '\n')
			count++;
		if (op == '!')
			stop_one(at < size ? data[at] : 0);
		else if (op == '%')
			gdb_stub_receive(&stub, data + at, count);
		else
			send_packet(data + at - 1, count + 1);
		if (op & 1)
			drain();
		at += count < size - at ? count + 1 : count;
	}
	gdb_stub_close(&stub);
	drain();
	if (vm.misuses != 0 || !gdb_stub_is_done(&stub) || !vm.runs[0] || !vm.runs[1] || (vm.debug[0] | vm.debug[1]) != 0)
		abort();
	for (unsigned i = 0; i < GDB_BREAKS_MAX; i++)
		if (stub.breaks[i].used)
			abort();
	return 0;
}
