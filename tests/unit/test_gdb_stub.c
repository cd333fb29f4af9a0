/*
 * The GDB stub against a VM that only pretends: packets, registers, memory, and what becomes of each stop.
 *
 * UNIT_SOURCES: drivers-vm/control/gdb/stub.c drivers-vm/control/gdb/packet.c drivers-vm/control/gdb/text.c
 * UNIT_SOURCES: drivers-vm/control/gdb/registers.c drivers-vm/control/gdb/memory.c drivers-vm/control/gdb/points.c
 * UNIT_SOURCES: drivers-vm/control/gdb/run.c drivers-vm/control/gdb/debug_registers.c drivers-vm/control/gdb/commands.c
 * UNIT_SOURCES: drivers-vm/control/gdb/queries.c drivers-vm/control/gdb/monitor.c drivers-vm/lib/guest_walk.c
 */
#include "tests/unit/cmocka_all.h"
#include "drivers-vm/control/gdb/inner.h"
#include "drivers-vm/control/gdb/registers.h"
#include "tests/unit/fake_gdb/vm.h"

#include <stdio.h>
#include <stdlib.h>

#define TF 0x100ull
#define IF (1ull << 9)
#define UD (1ull << 31 | 3ull << 8 | 6)
#define BP (1ull << 31 | 3ull << 8 | 3)
#define DB (1ull << 31 | 3ull << 8 | 1)
#define GP (1ull << 31 | 1ull << 11 | 3ull << 8 | 13)

static struct gdb_stub stub;
static char said[2 * GDB_OUTPUT_BYTES];

static void send_raw(const char *bytes, size_t count)
{
	gdb_stub_receive(&stub, (const uint8_t *)bytes, count);
}

/* All that the stub has said, acknowledgements included. */
static const char *hear(void)
{
	size_t n = 0, got;

	while ((got = gdb_stub_poll(&stub, (uint8_t *)said + n, 1000)) != 0)
		n += got;
	said[n] = '\0';
	return said;
}

static void send(const char *packet)
{
	static char framed[2 * GDB_PACKET_BYTES + 100];
	uint8_t sum = 0;

	for (const char *c = packet; *c != '\0'; c++)
		sum += (uint8_t)*c;
	send_raw(framed, (size_t)snprintf(framed, sizeof(framed), "$%s#%02x", packet, sum));
}

/* What comes next, out of its frame; "" if that is nothing, NULL if there is no packet. */
static const char *heard(void)
{
	static char content[GDB_PACKET_BYTES + 100];
	const char *text = hear();

	if (*text == '+')
		text++;
	if (*text == '\0')
		return NULL;
	assert_int_equal(*text, '$');
	size_t length = strlen(text);
	assert_true(length >= 4 && length - 4 < sizeof(content));
	uint8_t sum = 0;
	for (size_t i = 1; i < length - 3; i++)
		sum += (uint8_t)text[i];
	assert_int_equal(strtoul(text + length - 2, NULL, 16), sum);
	memcpy(content, text + 1, length - 4);
	content[length - 4] = '\0';
	return content;
}

static const char *ask(const char *packet)
{
	send(packet);
	const char *answer = heard();
	assert_non_null(answer);
	return answer;
}

#define ANSWER(packet, answer) assert_string_equal(ask(packet), (answer))
#define NO_ANSWER(packet)      (send(packet), assert_null(heard()))

static int set_up(void **state)
{
	(void)state;
	vm_init();
	vm.runs[0] = vm.runs[1] = true;
	gdb_stub_open(&stub, &vm_target);
	ANSWER("qSupported:multiprocess+;swbreak+;hwbreak+;vContSupported+",
	       "PacketSize=2000;qXfer:features:read+;QStartNoAckMode+;vContSupported+;swbreak+;hwbreak+");
	return 0;
}

static int tear_down(void **state)
{
	(void)state;
	assert_int_equal(vm.misuses, 0);
	return 0;
}

/* vCPU `n` has stopped for `bits`, and the control VM has been told. */
static void stop_for(unsigned n, uint64_t bits)
{
	vm_hit(n, bits);
	gdb_stub_check(&stub);
}

static uint64_t value_of(const char *hex)
{
	uint64_t value = 0;

	for (unsigned i = 0; hex[2 * i] != '\0' && i < 8; i++) {
		char byte[3] = { hex[2 * i], hex[2 * i + 1], '\0' };
		value |= (uint64_t)strtoul(byte, NULL, 16) << 8 * i;
	}
	return value;
}

/* ---- The link ---- */

static void link__good_packet__acknowledged(void **state)
{
	(void)state;
	send("qC");
	assert_string_equal(hear(), "+$QC1#c5");
}

static void link__wrong_sum__refused(void **state)
{
	(void)state;
	send_raw("$qC#00", 6);
	assert_string_equal(hear(), "-");
	send_raw("$qC#zz", 6);
	assert_string_equal(hear(), "-");
}

static void link__begins_anew__last_one_counts(void **state)
{
	(void)state;
	send_raw("$qSuppor$qC#b4", 14);
	assert_string_equal(hear(), "+$QC1#c5");
}

static void link__too_long__refused_and_goes_on(void **state)
{
	static char text[GDB_PACKET_BYTES + 2];

	(void)state;
	memset(text, 'a', sizeof(text) - 1);
	send(text);
	assert_string_equal(hear(), "-");
	text[GDB_PACKET_BYTES] = '\0';
	ANSWER(text, "");
	ANSWER("qC", "QC1");
}

static void link__no_ack_mode__none_is_sent(void **state)
{
	(void)state;
	ANSWER("QStartNoAckMode", "OK");
	send("qC");
	assert_string_equal(hear(), "$QC1#c5");
}

static void link__nobody_reads__given_up_and_guest_runs(void **state)
{
	(void)state;
	ANSWER("Z0,ffffffff81000004,1", "OK");
	for (unsigned i = 0; i < 100; i++)
		send("mffffffff81000000,1000");
	assert_true(gdb_stub_is_done(&stub));
	assert_int_equal(vm.ram[VM_CODE_GPA + 4], 0x44);
	assert_true(vm.runs[0] && vm.runs[1]);
}

/* ---- Threads and registers ---- */

static void open__vm_runs__all_stopped_and_told(void **state)
{
	(void)state;
	assert_false(vm.runs[0] || vm.runs[1]);
	ANSWER("?", "T05thread:1;");
	ANSWER("qfThreadInfo", "m1,2");
	ANSWER("qsThreadInfo", "l");
	ANSWER("T2", "OK");
	ANSWER("T3", "E16");
	ANSWER("qAttached", "1");
}

static void registers__all__in_the_description_s_order(void **state)
{
	(void)state;
	for (unsigned i = 0; i < 16; i++)
		vm.state[0].gpr[i] = 0x1111111111111111ull * i;
	vm.state[0].fs.base = 0x1234;
	const char *all = ask("g");
	size_t digits = 0;
	for (unsigned i = 0; i < GDB_REGISTERS; i++)
		digits += 2 * gdb_register_bytes(i);
	assert_int_equal(strlen(all), digits);
	assert_memory_equal(all, "0000000000000000", 16);
	assert_memory_equal(all + 16, "3333333333333333", 16);     /* rbx */
	assert_memory_equal(all + 7 * 16, "4444444444444444", 16); /* rsp */
	assert_int_equal(value_of(ask("p10")), VM_CODE);           /* rip */
	assert_int_equal(value_of(ask("p11")), 0x202);
	assert_int_equal(value_of(ask("p12")), 0x10);   /* cs */
	assert_int_equal(value_of(ask("p39")), 0x1234); /* fs_base */
	assert_int_equal(value_of(ask("p3d")), 0x1000); /* cr3 */
	ANSWER("p40", "E16");
	ANSWER("p", "E16");
}

/* The description names as many registers, of the same sizes. */
static void description__each_register__has_its_size(void **state)
{
	const char *at = gdb_target_xml;
	unsigned n = 0;

	(void)state;
	for (; (at = strstr(at, "<reg ")) != NULL; at++, n++) {
		assert_true(n < GDB_REGISTERS);
		assert_int_equal(strtoul(strstr(at, "bitsize=\"") + 9, NULL, 10), 8 * gdb_register_bytes(n));
	}
	assert_int_equal(n, GDB_REGISTERS);
}

static void description__read_in_parts__whole(void **state)
{
	static char whole[16384];
	size_t length = 0;
	char packet[64];

	(void)state;
	for (bool more = true; more;) {
		snprintf(packet, sizeof(packet), "qXfer:features:read:target.xml:%zx,3e7", length);
		const char *part = ask(packet);
		more = *part == 'm';
		assert_true(more || *part == 'l');
		length += (size_t)snprintf(whole + length, sizeof(whole) - length, "%s", part + 1);
	}
	assert_string_equal(whole, gdb_target_xml);
	ANSWER("qXfer:features:read:target.xml:fffff,10", "E16");
}

static void registers__written__set_in_their_groups(void **state)
{
	(void)state;
	ANSWER("P10=0000008100000000", "OK");
	assert_int_equal(vm.state[0].rip, 0x81000000);
	assert_int_equal(vm.set_groups, HILUM_STATE_GPR);
	ANSWER("P3d=0050000000000000", "OK");
	assert_int_equal(vm.state[0].cr3, 0x5000);
	assert_int_equal(vm.set_groups, HILUM_STATE_CR);
	ANSWER("P12=18000000", "E0e"); /* a selector without its descriptor */
	ANSWER("P10=00", "E16");
	ANSWER("P50=00", "E16");
	assert_int_equal(vm.state[0].cs.selector, 0x10);
}

static void registers__value_refused__not_kept(void **state)
{
	(void)state;
	vm.refuse = true;
	ANSWER("P3c=0100000000000000", "E0e");
	assert_int_equal(value_of(ask("p3c")), 0);
}

static void registers__all_written_back__nothing_is_set(void **state)
{
	static char packet[4096];
	unsigned sets = vm.sets;

	(void)state;
	snprintf(packet, sizeof(packet), "G%s", ask("g"));
	ANSWER(packet, "OK");
	assert_int_equal(vm.sets, sets);
	packet[1] = packet[1] == '0' ? '1' : '0';
	ANSWER(packet, "OK");
	assert_int_equal(vm.set_groups, HILUM_STATE_GPR);
	ANSWER("G00", "E16");
}

static void fpu__not_in_use__initial_values(void **state)
{
	(void)state;
	memset(vm.state[0].xsave, 0xEE, 512);
	assert_int_equal(value_of(ask("p20")), 0x37F);     /* fctrl */
	assert_int_equal(value_of(ask("p22")), 0xFFFF);    /* ftag: all empty */
	ANSWER("p28", "00000000000000000000000000000000"); /* xmm0 */
	ANSWER("P28=000102030405060708090a0b0c0d0e0f", "OK");
	assert_int_equal(vm.set_groups, HILUM_STATE_FPU);
	assert_int_equal(vm.state[0].xsave[512], 2);
	ANSWER("p28", "000102030405060708090a0b0c0d0e0f");
	ANSWER("p29", "00000000000000000000000000000000");
	ANSWER("P18=0102030405060708090a", "OK"); /* st0 */
	assert_int_equal(vm.state[0].xsave[512], 3);
	ANSWER("p18", "0102030405060708090a");
	assert_int_equal(value_of(ask("p20")), 0x37F);
}

static void thread__chosen__its_registers(void **state)
{
	(void)state;
	ANSWER("Hg2", "OK");
	assert_int_equal(value_of(ask("p10")), VM_CODE + 0x10);
	ANSWER("Hg3", "E16");
	ANSWER("Hx1", "E16");
	ANSWER("Hg0", "OK");
	assert_int_equal(value_of(ask("p10")), VM_CODE + 0x10);
	ANSWER("qThreadExtraInfo,2", "76435055203120"
	                             "72756e73"); /* vCPU 1 runs */
	ANSWER("qThreadExtraInfo,0", "E16");
}

/* ---- Memory ---- */

static void memory__read__across_pages_to_the_end_of_what_is_mapped(void **state)
{
	(void)state;
	vm.ram[VM_CODE_GPA + 0xFFF] = 0xAA;
	vm.ram[VM_CODE_GPA + 0x1000] = 0xBB;
	ANSWER("mffffffff81000000,4", "40414243");
	ANSWER("mffffffff81000fff,2", "aabb");
	vm.ram[VM_CODE_GPA + 0x5FFF] = 0xCC;
	ANSWER("mffffffff81005f00,200", ask("mffffffff81005f00,100"));
	ANSWER("mffffffff81006000,1", "E0e"); /* not mapped */
	ANSWER("mffffffff81007000,1", "E0e"); /* a device's */
	ANSWER("m1000000000000,1", "E0e");    /* not canonical */
	ANSWER("m81000000", "E16");
	ANSWER("m,1", "E16");
	ANSWER("m11111111111111111,1", "E16"); /* 17 digits */
	ANSWER("mffffffff81000000,0", "");
}

static void memory__read__no_accessed_bit(void **state)
{
	static uint8_t before[VM_RAM_BYTES];

	(void)state;
	memcpy(before, vm.ram, sizeof(before));
	(void)ask("mffffffff81000000,100");
	assert_memory_equal(before, vm.ram, sizeof(before));
}

static void memory__written__or_not(void **state)
{
	(void)state;
	ANSWER("Mffffffff81000fff,2:1122", "OK");
	assert_int_equal(vm.ram[VM_CODE_GPA + 0xFFF], 0x11);
	assert_int_equal(vm.ram[VM_CODE_GPA + 0x1000], 0x22);
	ANSWER("Mffffffff81006000,1:11", "E0e");
	ANSWER("Mffffffff81000000,2:11", "E16");
	ANSWER("Mffffffff81000000,2", "E16");
	ANSWER("Mffffffff81000000,ffffffff:11", "E16");
}

static void memory__user_page_under_smap__read(void **state)
{
	(void)state;
	vm_entry(0x1000, 511, 0x2007);
	vm_entry(0x2000, 510, 0x3007);
	vm_entry(0x3000, 8, 0x4007);
	vm_entry(0x4000, 0, VM_CODE_GPA | 7);
	ANSWER("mffffffff81000000,2", "4041");
}

static void memory__paging_off__physical(void **state)
{
	(void)state;
	vm.state[0].cr0 = 0x33;
	vm.state[0].efer = 0;
	ANSWER("m8000,2", "4041");
	ANSWER("m10000,1", "E0e");
}

static void monitor__questions__answered(void **state)
{
	static char packet[600];
	const char *command = "translate ffffffff81000123";
	char text[200] = "";

	(void)state;
	strcpy(packet, "qRcmd,");
	for (const char *c = command; *c != '\0'; c++)
		sprintf(packet + strlen(packet), "%02x", *c);
	const char *hex = ask(packet);
	for (unsigned i = 0; hex[2 * i] != '\0'; i++) {
		char byte[3] = { hex[2 * i], hex[2 * i + 1], '\0' };
		text[i] = (char)strtoul(byte, NULL, 16);
	}
	assert_string_equal(text, "ffffffff81000123 -> 8123\n");
	assert_true(strlen(ask("qRcmd,68656c70")) > 100);                           /* help */
	ANSWER("qRcmd,706879736963616c20383030302032", "383030303a2034302034310a"); /* physical 8000 2 */
	ANSWER("qRcmd,zz", "E16");
}

/* ---- Breakpoints ---- */

static void breakpoint__in_64_bit_code__planted_and_hidden(void **state)
{
	(void)state;
	ANSWER("Z0,ffffffff81000004,1", "OK");
	ANSWER("Z0,ffffffff81000004,1", "OK"); /* once more */
	assert_int_equal(vm.ram[VM_CODE_GPA + 4], 0x06);
	ANSWER("mffffffff81000003,3", "434445");
	ANSWER("Mffffffff81000003,3:616263", "OK"); /* the breakpoint stays */
	assert_int_equal(vm.ram[VM_CODE_GPA + 3], 0x61);
	assert_int_equal(vm.ram[VM_CODE_GPA + 4], 0x06);
	ANSWER("z0,ffffffff81000004,1", "OK");
	assert_int_equal(vm.ram[VM_CODE_GPA + 4], 0x62);
	ANSWER("z0,ffffffff81000004,1", "OK");
	ANSWER("Z5,0,0", "");
	ANSWER("Z0,0", "E16");
}

static void breakpoint__in_32_bit_code__int3(void **state)
{
	(void)state;
	vm.state[0].cs.attributes = 0xC9B;
	vm.state[0].efer = 0;
	vm.state[0].cr0 = 0x33;
	ANSWER("Z0,8004,1", "OK");
	assert_int_equal(vm.ram[0x8004], 0xCC);
	NO_ANSWER("c");
	assert_int_equal(vm.debug[0], HILUM_DEBUG_OPCODE | HILUM_DEBUG_BREAK);
	vm.state[0].rip = 0x8004;
	stop_for(0, HILUM_DEBUG_BREAK);
	assert_string_equal(heard(), "T05thread:1;swbreak:;");
	ANSWER("z0,8004,1", "OK");
	assert_int_equal(vm.ram[0x8004], 0x44);
}

static void breakpoint__same_byte_by_two_addresses__restored_after_the_last(void **state)
{
	(void)state;
	vm_map(6, VM_CODE_GPA);
	ANSWER("Z0,ffffffff81000004,1", "OK");
	ANSWER("Z0,ffffffff81006004,1", "OK");
	ANSWER("z0,ffffffff81000004,1", "OK");
	assert_int_equal(vm.ram[VM_CODE_GPA + 4], 0x06);
	ANSWER("mffffffff81000004,1", "44");
	ANSWER("z0,ffffffff81006004,1", "OK");
	assert_int_equal(vm.ram[VM_CODE_GPA + 4], 0x44);
}

static void breakpoint__guest_wrote_there__keeps_it(void **state)
{
	(void)state;
	ANSWER("Z0,ffffffff81000004,1", "OK");
	vm.ram[VM_CODE_GPA + 4] = 0x90;
	ANSWER("mffffffff81000004,1", "90");
	ANSWER("z0,ffffffff81000004,1", "OK");
	assert_int_equal(vm.ram[VM_CODE_GPA + 4], 0x90);
}

static void breakpoint__too_many__refused(void **state)
{
	char packet[64];

	(void)state;
	for (unsigned i = 0; i < GDB_BREAKS_MAX; i++) {
		snprintf(packet, sizeof(packet), "Z0,ffffffff8100%04x,1", i);
		ANSWER(packet, "OK");
	}
	ANSWER("Z0,ffffffff81000100,1", "E1c");
	ANSWER("z0,ffffffff81000000,1", "OK");
	ANSWER("Z0,ffffffff81000100,1", "OK");
}

static void breakpoint__hit__all_stop_and_told(void **state)
{
	(void)state;
	ANSWER("Z0,ffffffff81000010,1", "OK");
	NO_ANSWER("vCont;c");
	assert_true(vm.runs[0] && vm.runs[1]);
	assert_int_equal(vm.debug[0], HILUM_DEBUG_OPCODE);
	stop_for(1, HILUM_DEBUG_OPCODE);
	assert_string_equal(heard(), "T05thread:2;swbreak:;");
	assert_false(vm.runs[0] || vm.runs[1]);
	assert_int_equal(vm.debug[0] | vm.debug[1], 0);
	assert_int_equal(vm.state[1].pending_event, 0);
	assert_int_equal(value_of(ask("p10")), VM_CODE + 0x10);
}

static void invalid_opcode__the_guest_s_own__given_to_it(void **state)
{
	(void)state;
	ANSWER("Z0,ffffffff81000004,1", "OK");
	NO_ANSWER("c");
	stop_for(0, HILUM_DEBUG_OPCODE);
	assert_null(heard());
	assert_int_equal(vm.state[0].pending_event, UD);
	assert_int_equal(vm.state[0].rip, VM_CODE);
	assert_int_equal(vm.set_groups, HILUM_STATE_EVENTS);
	assert_true(vm.runs[0] && vm.runs[1]);
	assert_int_equal(vm.runs_count, 3);
}

static void int3__the_guest_s_own__given_to_it_behind_it(void **state)
{
	(void)state;
	ANSWER("Z0,ffffffff81006004,1", "OK"); /* it waits: nobody knows yet for which kind of code */
	NO_ANSWER("c");
	stop_for(0, HILUM_DEBUG_BREAK);
	assert_null(heard());
	assert_int_equal(vm.state[0].pending_event, BP);
	assert_int_equal(vm.state[0].rip, VM_CODE + 1);
	assert_true(vm.runs[0]);
}

/* A kernel that has not set up its page tables yet. */
static void breakpoint__page_not_mapped__planted_when_cr3_has_mapped_it(void **state)
{
	(void)state;
	vm.ram[0xF008] = 0x77;
	ANSWER("Z0,ffffffff81006008,1", "OK");
	NO_ANSWER("c");
	assert_true(vm.debug[0] & HILUM_DEBUG_CR3);
	stop_for(0, HILUM_DEBUG_CR3);
	assert_null(heard());
	assert_true(vm.runs[0] && vm.runs[1]); /* one step over it; the other has not noticed */
	assert_true(vm.state[0].rflags & TF);
	assert_int_equal(vm.debug[0], HILUM_DEBUG_OPCODE | HILUM_DEBUG_BREAK | HILUM_DEBUG_TRAP);
	vm_map(6, 0xF000);
	vm.state[0].dr6 |= 1 << 14;
	stop_for(0, HILUM_DEBUG_TRAP);
	assert_null(heard());
	assert_int_equal(vm.ram[0xF008], 0x06);
	assert_false(vm.state[0].rflags & TF);
	assert_int_equal(vm.state[0].dr6, 0xFFFF0FF0);
	assert_int_equal(vm.debug[0], HILUM_DEBUG_OPCODE); /* INT3 is the guest's own again */
	vm.state[0].rip = VM_CODE + 0x6008;
	stop_for(0, HILUM_DEBUG_OPCODE);
	assert_string_equal(heard(), "T05thread:1;swbreak:;");
}

/* ---- Steps ---- */

static void step__done__flags_as_they_were(void **state)
{
	(void)state;
	NO_ANSWER("vCont;s:1;c");
	assert_true(vm.state[0].rflags & TF);
	assert_false(vm.state[1].rflags & TF);
	assert_true(vm.runs[1]);
	vm.state[0].rip++;
	vm.state[0].dr6 |= 1 << 14;
	stop_for(0, HILUM_DEBUG_TRAP);
	assert_string_equal(heard(), "T05thread:1;");
	assert_false(vm.state[0].rflags & TF);
	assert_int_equal(vm.state[0].dr6, 0xFFFF0FF0);
	assert_int_equal(vm.state[0].pending_event, 0);
}

static void step_once(const void *code, size_t bytes)
{
	memcpy(vm.ram + VM_CODE_GPA, code, bytes);
	vm.state[0].rflags |= IF;
	NO_ANSWER("s");
}

static void step__interrupts_on__none_comes_before(void **state)
{
	(void)state;
	step_once("\x66\x48\x90", 3);
	assert_false(vm.state[0].rflags & IF);
	vm.state[0].rip += 3;
	stop_for(0, HILUM_DEBUG_TRAP);
	(void)heard();
	assert_true(vm.state[0].rflags & IF);
}

static void step__of_what_concerns_interrupts__lets_them_be(void **state)
{
	static const char *const codes[] = { "\x48\xCF", "\xFA", "\xF4", "\x0F\x05", "\x66\x9D" };

	(void)state;
	for (unsigned i = 0; i < sizeof(codes) / sizeof(codes[0]); i++) {
		step_once(codes[i], strlen(codes[i]));
		assert_true(vm.state[0].rflags & IF);
		vm.state[0].rflags &= ~IF; /* as CLI would */
		stop_for(0, HILUM_DEBUG_TRAP);
		(void)heard();
		assert_false(vm.state[0].rflags & IF);
	}
	vm.state[0].activity = HILUM_ACTIVITY_HALT;
	step_once("\x90", 1);
	assert_true(vm.state[0].rflags & IF); /* or it would never go on */
}

static void step__others_to_stay__do(void **state)
{
	(void)state;
	NO_ANSWER("vCont;s:2");
	assert_true(vm.runs[1]);
	assert_false(vm.runs[0]);
	stop_for(1, HILUM_DEBUG_TRAP);
	assert_string_equal(heard(), "T05thread:2;");
	ANSWER("vCont;r1,2", "E16");
	ANSWER("vCont?", "vCont;c;C;s;S");
	ANSWER("vMustReplyEmpty", "");
	ANSWER("vKill;1", "");
}

static void step__pushes_flags__without_the_trap_flag(void **state)
{
	uint64_t pushed = 0x302;

	(void)state;
	vm.ram[VM_CODE_GPA] = 0x9C;
	NO_ANSWER("s");
	vm.state[0].rip++;
	vm.state[0].gpr[4] -= 8;
	memcpy(vm.ram + VM_CODE_GPA + 0x1800 - 8, &pushed, 8);
	stop_for(0, HILUM_DEBUG_TRAP);
	(void)heard();
	assert_int_equal(vm.ram[VM_CODE_GPA + 0x1800 - 7], 0x02);
}

static void step__guest_traces_itself__gets_its_trap(void **state)
{
	(void)state;
	vm.state[0].rflags |= TF;
	NO_ANSWER("s");
	vm.state[0].dr6 |= 1 << 14;
	stop_for(0, HILUM_DEBUG_TRAP);
	assert_string_equal(heard(), "T05thread:1;");
	assert_true(vm.state[0].rflags & TF);
	assert_int_equal(vm.state[0].pending_event, DB);
	assert_true(vm.state[0].dr6 & 1 << 14);
}

static void step__interrupted__trap_flag_is_gone(void **state)
{
	(void)state;
	vm.ram[VM_CODE_GPA] = 0x9C; /* it has not pushed */
	vm.ram[VM_CODE_GPA + 0x1801] = 0xFF;
	NO_ANSWER("s");
	send_raw("\3", 1);
	assert_string_equal(heard(), "T02thread:1;");
	assert_false(vm.state[0].rflags & TF);
	assert_int_equal(vm.ram[VM_CODE_GPA + 0x1801], 0xFF);
}

static void debug_exception__nobody_s_step__given_to_the_guest(void **state)
{
	(void)state;
	ANSWER("Z2,ffffffff81002000,8", "OK");
	NO_ANSWER("c");
	stop_for(0, HILUM_DEBUG_TRAP); /* ICEBP, or its own TF */
	assert_null(heard());
	assert_int_equal(vm.state[0].pending_event, DB);
	assert_true(vm.runs[0]);
}

/* ---- Watchpoints ---- */

static void watchpoint__hit__told_and_the_guest_has_its_registers_back(void **state)
{
	(void)state;
	vm.state[0].dr[0] = 0x1234;
	ANSWER("Z2,ffffffff81002000,8", "OK");
	ANSWER("Z3,ffffffff81003000,4", "OK");
	ANSWER("Z1,ffffffff81000020,1", "OK");
	ANSWER("Z4,ffffffff81004000,2", "OK");
	ANSWER("Z4,ffffffff81004010,2", "E1c"); /* there are four */
	NO_ANSWER("c");
	assert_int_equal(vm.state[0].dr[0], VM_CODE + 0x2000);
	assert_int_equal(vm.state[0].dr7, 0x700 | 0xAA | 0x9ull << 16 | 0xFull << 20 | 0x0ull << 24 | 0x7ull << 28);
	assert_int_equal(vm.debug[0], HILUM_DEBUG_TRAP | HILUM_DEBUG_DR);
	vm.state[0].dr6 |= 1;
	stop_for(0, HILUM_DEBUG_TRAP);
	assert_string_equal(heard(), "T05thread:1;watch:ffffffff81002000;");
	assert_int_equal(vm.state[0].dr[0], 0x1234);
	assert_int_equal(vm.state[0].dr7, 0x400);
	assert_int_equal(vm.state[0].dr6, 0xFFFF0FF0);
	NO_ANSWER("c");
	vm.state[0].dr6 |= 2;
	stop_for(0, HILUM_DEBUG_TRAP);
	assert_string_equal(heard(), "T05thread:1;rwatch:ffffffff81003000;");
	NO_ANSWER("c");
	vm.state[0].dr6 |= 4;
	stop_for(0, HILUM_DEBUG_TRAP);
	assert_string_equal(heard(), "T05thread:1;hwbreak:;");
	ANSWER("z3,ffffffff81003000,4", "OK");
	ANSWER("Z4,ffffffff81004010,2", "OK");
}

static void watchpoint__impossible__refused(void **state)
{
	(void)state;
	ANSWER("Z2,ffffffff81002001,8", "E1c");
	ANSWER("Z2,ffffffff81002000,3", "E1c");
	ANSWER("Z2,ffffffff81002000,0", "E1c");
	ANSWER("Z2,ffffffff81002000,ffffffff", "E1c");
	ANSWER("Z1,ffffffff81002000,2", "E1c");
}

static void watchpoint__debug_registers_do_not_work__not_known(void **state)
{
	(void)state;
	vm.no_debug_registers = true;
	for (char kind = '1'; kind <= '4'; kind++) {
		char packet[] = "Z0,ffffffff81002000,1";
		packet[1] = kind;
		ANSWER(packet, "");
	}
	ANSWER("Z0,ffffffff81002000,1", "OK");
	NO_ANSWER("c");
	assert_int_equal(vm.state[0].dr7, 0x400);
}

static void watchpoint__two_vcpus_at_once__second_is_told_next(void **state)
{
	(void)state;
	ANSWER("Z2,ffffffff81002000,8", "OK");
	NO_ANSWER("c");
	vm.state[0].dr6 |= 1;
	vm.state[1].dr6 |= 1;
	vm_hit(1, HILUM_DEBUG_TRAP);
	stop_for(0, HILUM_DEBUG_TRAP);
	assert_string_equal(heard(), "T05thread:1;watch:ffffffff81002000;");
	unsigned runs = vm.runs_count;
	ANSWER("vCont;c", "T05thread:2;watch:ffffffff81002000;");
	assert_int_equal(vm.runs_count, runs);
}

static void debug_registers__guest_moves__its_own_values(void **state)
{
	static const uint8_t write_dr7[] = { 0x0F, 0x23, 0xF8 }, read_dr7[] = { 0x41, 0x0F, 0x21, 0xFA };

	(void)state;
	ANSWER("Z2,ffffffff81002000,8", "OK");
	vm.state[0].gpr[0] = 0x501;
	memcpy(vm.ram + VM_CODE_GPA, write_dr7, sizeof(write_dr7));
	memcpy(vm.ram + VM_CODE_GPA + 3, read_dr7, sizeof(read_dr7));
	NO_ANSWER("c");
	stop_for(0, HILUM_DEBUG_DR);
	assert_null(heard());
	assert_int_equal(vm.state[0].rip, VM_CODE + 3);
	assert_int_equal(vm.state[0].dr[0], VM_CODE + 0x2000); /* the debugger's still */
	stop_for(0, HILUM_DEBUG_DR);
	assert_int_equal(vm.state[0].rip, VM_CODE + 7);
	assert_int_equal(vm.state[0].gpr[10], 0x501);
	send_raw("\3", 1);
	(void)heard();
	assert_int_equal(vm.state[0].dr7, 0x501);
}

static void debug_registers__guest_moves_nonsense__its_exception(void **state)
{
	static const uint8_t write_dr6[] = { 0x0F, 0x23, 0xF0 }, write_dr5[] = { 0x0F, 0x23, 0xE8 },
			     nonsense[] = { 0xF0, 0x0F, 0x23, 0xF0 };

	(void)state;
	ANSWER("Z2,ffffffff81002000,8", "OK");
	vm.state[0].gpr[0] = 1ull << 32;
	memcpy(vm.ram + VM_CODE_GPA, write_dr6, sizeof(write_dr6));
	NO_ANSWER("c");
	stop_for(0, HILUM_DEBUG_DR);
	assert_int_equal(vm.state[0].pending_event, GP);
	assert_int_equal(vm.state[0].rip, VM_CODE);
	vm.state[0].cr4 |= 8;
	memcpy(vm.ram + VM_CODE_GPA, write_dr5, sizeof(write_dr5));
	stop_for(0, HILUM_DEBUG_DR);
	assert_int_equal(vm.state[0].pending_event, UD);
	vm.state[0].pending_event = 0;
	memcpy(vm.ram + VM_CODE_GPA, nonsense, sizeof(nonsense));
	stop_for(0, HILUM_DEBUG_DR);
	assert_int_equal(vm.state[0].pending_event, UD);
	assert_true(vm.runs[0]);
}

/* ---- Coming and going ---- */

static void interrupt__while_it_runs__stops(void **state)
{
	(void)state;
	send_raw("\3", 1);
	assert_string_equal(hear(), ""); /* it stands still */
	NO_ANSWER("c");
	NO_ANSWER("g"); /* nothing is answered while it runs */
	send_raw("\3", 1);
	assert_string_equal(heard(), "T02thread:1;");
	assert_false(vm.runs[0] || vm.runs[1]);
}

static void detach__breakpoints_out_and_guest_runs(void **state)
{
	(void)state;
	ANSWER("Z0,ffffffff81000004,1", "OK");
	ANSWER("Z2,ffffffff81002000,8", "OK");
	ANSWER("D", "OK");
	assert_true(gdb_stub_is_done(&stub));
	assert_int_equal(vm.ram[VM_CODE_GPA + 4], 0x44);
	assert_true(vm.runs[0] && vm.runs[1]);
	assert_int_equal(vm.debug[0] | vm.debug[1], 0);
	assert_int_equal(vm.state[0].dr7, 0x400);
	NO_ANSWER("g");
}

static void close__while_it_runs__breakpoints_out(void **state)
{
	(void)state;
	ANSWER("Z0,ffffffff81000004,1", "OK");
	ANSWER("Z2,ffffffff81002000,8", "OK");
	NO_ANSWER("vCont;s:1;c");
	gdb_stub_close(&stub);
	assert_int_equal(vm.ram[VM_CODE_GPA + 4], 0x44);
	assert_true(vm.runs[0] && vm.runs[1]);
	assert_false(vm.state[0].rflags & TF);
	assert_int_equal(vm.debug[0] | vm.debug[1], 0);
	unsigned runs = vm.runs_count;
	gdb_stub_close(&stub);
	assert_int_equal(vm.runs_count, runs);
}

static void kill__guest_lives(void **state)
{
	(void)state;
	NO_ANSWER("k");
	assert_true(vm.runs[0] && vm.runs[1]);
	assert_true(gdb_stub_is_done(&stub));
}

static void crash__told__and_it_cannot_go_on(void **state)
{
	(void)state;
	NO_ANSWER("c");
	gdb_stub_crash(&stub, 1);
	assert_string_equal(heard(), "T06thread:2;");
	assert_int_equal(value_of(ask("p10")), VM_CODE + 0x10);
	unsigned runs = vm.runs_count;
	ANSWER("c", "X06");
	assert_true(gdb_stub_is_done(&stub));
	assert_int_equal(vm.runs_count, runs);
}

static void end__told(void **state)
{
	(void)state;
	NO_ANSWER("c");
	gdb_stub_end(&stub);
	assert_string_equal(heard(), "W00");
	assert_true(gdb_stub_is_done(&stub));
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
	const struct CMUnitTest tests[] = {
		TEST(link__good_packet__acknowledged),
		TEST(link__wrong_sum__refused),
		TEST(link__begins_anew__last_one_counts),
		TEST(link__too_long__refused_and_goes_on),
		TEST(link__no_ack_mode__none_is_sent),
		TEST(link__nobody_reads__given_up_and_guest_runs),
		TEST(open__vm_runs__all_stopped_and_told),
		TEST(registers__all__in_the_description_s_order),
		TEST(description__each_register__has_its_size),
		TEST(description__read_in_parts__whole),
		TEST(registers__written__set_in_their_groups),
		TEST(registers__value_refused__not_kept),
		TEST(registers__all_written_back__nothing_is_set),
		TEST(fpu__not_in_use__initial_values),
		TEST(thread__chosen__its_registers),
		TEST(memory__read__across_pages_to_the_end_of_what_is_mapped),
		TEST(memory__read__no_accessed_bit),
		TEST(memory__written__or_not),
		TEST(memory__user_page_under_smap__read),
		TEST(memory__paging_off__physical),
		TEST(monitor__questions__answered),
		TEST(breakpoint__in_64_bit_code__planted_and_hidden),
		TEST(breakpoint__in_32_bit_code__int3),
		TEST(breakpoint__same_byte_by_two_addresses__restored_after_the_last),
		TEST(breakpoint__guest_wrote_there__keeps_it),
		TEST(breakpoint__too_many__refused),
		TEST(breakpoint__hit__all_stop_and_told),
		TEST(invalid_opcode__the_guest_s_own__given_to_it),
		TEST(int3__the_guest_s_own__given_to_it_behind_it),
		TEST(breakpoint__page_not_mapped__planted_when_cr3_has_mapped_it),
		TEST(step__done__flags_as_they_were),
		TEST(step__interrupts_on__none_comes_before),
		TEST(step__of_what_concerns_interrupts__lets_them_be),
		TEST(step__others_to_stay__do),
		TEST(step__pushes_flags__without_the_trap_flag),
		TEST(step__guest_traces_itself__gets_its_trap),
		TEST(step__interrupted__trap_flag_is_gone),
		TEST(debug_exception__nobody_s_step__given_to_the_guest),
		TEST(watchpoint__hit__told_and_the_guest_has_its_registers_back),
		TEST(watchpoint__impossible__refused),
		TEST(watchpoint__debug_registers_do_not_work__not_known),
		TEST(watchpoint__two_vcpus_at_once__second_is_told_next),
		TEST(debug_registers__guest_moves__its_own_values),
		TEST(debug_registers__guest_moves_nonsense__its_exception),
		TEST(interrupt__while_it_runs__stops),
		TEST(detach__breakpoints_out_and_guest_runs),
		TEST(close__while_it_runs__breakpoints_out),
		TEST(kill__guest_lives),
		TEST(crash__told__and_it_cannot_go_on),
		TEST(end__told),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
