/*
 * The fuzz target of the GDB stub under a fixed series of pseudo-random dialogues, so that every run of the tests covers it.
 *
 * UNIT_SOURCES: tests/fuzz/fuzz_gdb.c drivers-vm/control/gdb/stub.c drivers-vm/control/gdb/packet.c
 * UNIT_SOURCES: drivers-vm/control/gdb/text.c drivers-vm/control/gdb/registers.c drivers-vm/control/gdb/memory.c
 * UNIT_SOURCES: drivers-vm/control/gdb/points.c drivers-vm/control/gdb/run.c drivers-vm/control/gdb/debug_registers.c
 * UNIT_SOURCES: drivers-vm/control/gdb/commands.c drivers-vm/control/gdb/queries.c drivers-vm/control/gdb/monitor.c
 * UNIT_SOURCES: drivers-vm/lib/guest_walk.c
 */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <string.h>
#include <cmocka.h>

#define RUNS        20000u
#define INPUT_BYTES 1024u

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static uint64_t seed = 88172645463325252ull;

static uint32_t random_next(void)
{
	seed ^= seed << 13;
	seed ^= seed >> 7;
	seed ^= seed << 17;
	return (uint32_t)(seed >> 16);
}

static const char *const likely[] = {
	"g",
	"c",
	"s",
	"?",
	"vCont;c",
	"vCont;s:1;c",
	"vCont;s:2",
	"Hg1",
	"Hg2",
	"Hc-1",
	"p10",
	"qC",
	"qfThreadInfo",
	"qsThreadInfo",
	"mffffffff81000000,100",
	"mffffffff81005ff0,40",
	"Mffffffff81000000,2:9c9c",
	"Mffffffff81000010,4:0f23f80f",
	"m1000,8",
	"Z0,ffffffff81000000,1",
	"z0,ffffffff81000000,1",
	"Z0,ffffffff81006000,1",
	"Z2,ffffffff81002000,8",
	"z2,ffffffff81002000,8",
	"Z1,ffffffff81000010,1",
	"Z4,ffffffff81001000,2",
	"P11=02030000",
	"P3d=0010000000000000",
	"P10=0000008100000000",
	"P12=00000000",
	"qXfer:features:read:target.xml:0,1000",
	"qRcmd,68656c70",
	"qSupported:swbreak+;hwbreak+",
	"%\3",
	"!\2",
	"!\3",
	"!\4",
	"!\5",
	"!\6",
	"!\7",
	"!\x10",
	"!\x11",
	"!\x22",
	"!\x08",
	"!\x09",
	"qThreadExtraInfo,2",
	"T1",
	"D",
	"k",
};
#define LIKELY (sizeof(likely) / sizeof(*likely))

/* Lines that mean something, some of them spoilt. */
static size_t fill(uint8_t *data)
{
	size_t size = 0;

	while (size + 64 < INPUT_BYTES && random_next() % 40 != 0) {
		unsigned spare = random_next() % 20 == 0 ? 0 : 2; /* the debugger goes rarely */
		const char *line = likely[random_next() % (LIKELY - spare)];
		size_t length = strlen(line);
		memcpy(data + size, line, length);
		if (random_next() % 4 == 0)
			data[size + random_next() % length] = (uint8_t)random_next();
		size += length;
		if (random_next() % 16 != 0)
			data[size++] = '\n';
	}
	return size;
}

static void gdb_stub__random_dialogues__guest_runs_in_the_end(void **state)
{
	uint8_t data[INPUT_BYTES];

	(void)state;
	for (unsigned i = 0; i < RUNS; i++)
		assert_int_equal(LLVMFuzzerTestOneInput(data, fill(data)), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(gdb_stub__random_dialogues__guest_runs_in_the_end),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
