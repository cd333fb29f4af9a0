/*
 * Fuzz target of the instruction decoder, emulator and page-table walker: the input is a trap's state and the
 * guest's RAM, which, where the state says so, another vCPU changes before any load of it. Properties: no read
 * outside what is given (the sanitisers see it), bounded work, and RIP moves only when an instruction is done.
 *
 * FUZZ_SOURCES: drivers-vm/lib/insn_alu.c drivers-vm/lib/insn_decode.c drivers-vm/lib/insn_emulate.c drivers-vm/lib/insn_guest.c
 * FUZZ_SOURCES: drivers-vm/lib/insn_operand.c drivers-vm/lib/insn_string.c drivers-vm/lib/insn_table.c
 * FUZZ_SOURCES: drivers-vm/lib/guest_walk.c
 * FUZZ_FLAGS: -fsanitize-coverage=trace-loads -Wl,--wrap=__asan_memcpy
 * FUZZ_OPTIONS: -max_len=36864
 */
#include "drivers-vm/lib/insn_guest.h"
#include "tests/fuzz/racing.h"

#include <stdlib.h>
#include <string.h>

#define RAM_BYTES 0x8000ull

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static _Alignas(4096) uint8_t fuzz_ram[RAM_BYTES];
static unsigned accesses;

static void *ram(void *opaque, uint64_t gpa, uint64_t bytes)
{
	(void)opaque;
	return bytes <= RAM_BYTES && gpa <= RAM_BYTES - bytes ? fuzz_ram + gpa : NULL;
}

static uint64_t mmio_read(void *opaque, uint64_t gpa, unsigned bytes)
{
	(void)opaque;
	if (gpa % bytes != 0)
		abort();
	accesses++;
	return gpa * 0x9E3779B97F4A7C15ull;
}

static void mmio_write(void *opaque, uint64_t gpa, unsigned bytes, uint64_t value)
{
	(void)value;
	mmio_read(opaque, gpa, bytes);
}

static uint32_t port_read(void *opaque, uint16_t port, unsigned bytes)
{
	(void)opaque;
	if (bytes != 1 && bytes != 2 && bytes != 4)
		abort();
	accesses++;
	return port;
}

static void port_write(void *opaque, uint16_t port, unsigned bytes, uint32_t value)
{
	(void)value;
	port_read(opaque, port, bytes);
}

static void xmm_read(void *opaque, unsigned number, uint8_t value[16])
{
	(void)opaque;
	memset(value, (int)number, 16);
}

static void xmm_write(void *opaque, unsigned number, const uint8_t value[16])
{
	(void)opaque;
	(void)value;
	if (number > 15)
		abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const struct insn_guest_host host = { ram, mmio_read, mmio_write, port_read, port_write, xmm_read, xmm_write };
	const struct insn_guest_config config = { .host = &host, .physical_bits = 40, .has_1g_pages = true };
	struct hilum_trap trap;
	enum insn_result result;
	uint64_t rip;

	if (size < sizeof(trap))
		return 0;
	memcpy(&trap, data, sizeof(trap));
	data += sizeof(trap);
	size -= sizeof(trap);
	memset(fuzz_ram, 0, sizeof(fuzz_ram));
	memcpy(fuzz_ram, data, size < RAM_BYTES ? size : RAM_BYTES);
	rip = trap.rip;
	accesses = 0;
	racing_share(fuzz_ram, sizeof(fuzz_ram));
	if (trap.reserved & 1)
		racing_start(data, size);
	result = insn_guest_emulate(&config, &trap);
	racing_end();
	if (accesses > 4 * INSN_REPEAT_BYTES_MAX || (result != INSN_DONE && trap.rip != rip))
		abort();
	return 0;
}
