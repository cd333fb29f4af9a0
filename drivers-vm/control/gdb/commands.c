/* The debugger's commands, by the letter that each begins with. GDB manual, "Packets". An empty answer: no such command here. */
#include "drivers-vm/control/gdb/inner.h"
#include "drivers-vm/control/gdb/registers.h"

#include <string.h>

#define MEMORY_BYTES_MAX (GDB_PACKET_BYTES / 2)
#define ALL              HILUM_MAX_VCPUS

static const char error_syntax[] = "E16";
static const char error_fault[] = "E0e";
static const char error_full[] = "E1c";

/* ---- Registers ------------------------------------------------------------------------------------------------ */

static void get_all_registers(struct gdb_stub *stub, struct gdb_answer *out)
{
	const struct hilum_vcpu_state *s = gdb_state_of(stub, stub->general);
	uint8_t bytes[GDB_REGISTER_BYTES];

	if (s == NULL)
		gdb_answer_put(out, error_fault);
	for (unsigned i = 0; s != NULL && i < GDB_REGISTERS; i++)
		gdb_answer_bytes(out, bytes, gdb_register_get(s, i, bytes));
}

static void put_state(struct gdb_stub *stub, uint32_t groups, struct gdb_answer *out)
{
	bool done = groups == 0 || stub->target.set_state(stub->target.opaque, stub->general, &stub->state, groups);

	if (!done)
		stub->held = ALL; /* what was refused is not kept */
	gdb_answer_put(out, done ? "OK" : error_fault);
}

/* Only what differs is set: no other group's values come back as they were read. */
static void set_all_registers(struct gdb_stub *stub, struct gdb_text *text, struct gdb_answer *out)
{
	struct hilum_vcpu_state *s = gdb_state_of(stub, stub->general);
	uint8_t is[GDB_REGISTER_BYTES], wanted[GDB_REGISTER_BYTES];
	uint32_t groups = 0;

	for (unsigned i = 0; s != NULL && i < GDB_REGISTERS; i++) {
		size_t bytes = gdb_register_get(s, i, is);
		memset(wanted, 0, sizeof(wanted));
		if (!gdb_text_bytes(text, wanted, bytes)) {
			s = NULL;
			stub->held = ALL;
		} else if (memcmp(is, wanted, bytes) != 0) {
			groups |= gdb_register_set(s, i, wanted);
		}
	}
	if (s == NULL)
		gdb_answer_put(out, error_syntax);
	else
		put_state(stub, groups, out);
}

static void get_register(struct gdb_stub *stub, struct gdb_text *text, struct gdb_answer *out)
{
	const struct hilum_vcpu_state *s = gdb_state_of(stub, stub->general);
	uint8_t bytes[GDB_REGISTER_BYTES];
	uint64_t number;

	if (s == NULL || !gdb_text_number(text, &number) || number >= GDB_REGISTERS)
		gdb_answer_put(out, error_syntax);
	else
		gdb_answer_bytes(out, bytes, gdb_register_get(s, (unsigned)number, bytes));
}

static void set_register(struct gdb_stub *stub, struct gdb_text *text, struct gdb_answer *out)
{
	struct hilum_vcpu_state *s = gdb_state_of(stub, stub->general);
	uint8_t bytes[GDB_REGISTER_BYTES] = { 0 };
	uint64_t number;

	if (s == NULL || !gdb_text_number(text, &number) || number >= GDB_REGISTERS || !gdb_text_take(text, "=") ||
	    !gdb_text_bytes(text, bytes, gdb_register_bytes((unsigned)number))) {
		gdb_answer_put(out, error_syntax);
		return;
	}
	uint32_t groups = gdb_register_set(s, (unsigned)number, bytes);
	if (groups == 0)
		gdb_answer_put(out, error_fault);
	else
		put_state(stub, groups, out);
}

/* ---- Memory ------------------------------------------------------------------------------------------------ */

static bool take_range(struct gdb_text *text, uint64_t *address, uint64_t *count)
{
	return gdb_text_number(text, address) && gdb_text_take(text, ",") && gdb_text_number(text, count);
}

/* As much as there is before the first page that is not there: GDB asks for the rest again. */
static void read_memory(struct gdb_stub *stub, struct gdb_text *text, struct gdb_answer *out)
{
	const struct hilum_vcpu_state *s = gdb_state_of(stub, stub->general);
	uint8_t bytes[256];
	uint64_t at, count;

	if (!take_range(text, &at, &count)) {
		gdb_answer_put(out, error_syntax);
		return;
	}
	count = count < MEMORY_BYTES_MAX ? count : MEMORY_BYTES_MAX;
	while (s != NULL && count != 0) {
		uint64_t n = sizeof(bytes) - at % sizeof(bytes);
		n = n < count ? n : count;
		if (!gdb_memory_read(stub, s, at, bytes, n))
			break;
		gdb_answer_bytes(out, bytes, n);
		at += n;
		count -= n;
	}
	if (out->length == 0 && count != 0)
		gdb_answer_put(out, error_fault);
}

static void write_memory(struct gdb_stub *stub, struct gdb_text *text, struct gdb_answer *out)
{
	const struct hilum_vcpu_state *s = gdb_state_of(stub, stub->general);
	static uint8_t bytes[MEMORY_BYTES_MAX];
	uint64_t at, count;

	if (!take_range(text, &at, &count) || !gdb_text_take(text, ":") || count > sizeof(bytes) || !gdb_text_bytes(text, bytes, count))
		gdb_answer_put(out, error_syntax);
	else
		gdb_answer_put(out, s != NULL && gdb_memory_write(stub, s, at, bytes, count) ? "OK" : error_fault);
}

/* ---- Breakpoints ------------------------------------------------------------------------------------------------ */

static bool change_point(struct gdb_stub *stub, char kind, bool insert, uint64_t at, uint64_t bytes)
{
	static const enum gdb_watch_kind kinds[] = { GDB_WATCH_EXECUTE, GDB_WATCH_WRITE, GDB_WATCH_ACCESS, GDB_WATCH_ACCESS };
	const struct hilum_vcpu_state *s;

	if (kind == '0' && !insert) {
		gdb_break_remove(stub, at);
		return true;
	}
	if (kind == '0')
		return (s = gdb_state_of(stub, stub->general)) != NULL && gdb_break_insert(stub, s, at);
	if (insert)
		return gdb_watch_insert(stub, kinds[kind - '1'], kind == '3', at, bytes);
	gdb_watch_remove(stub, kinds[kind - '1'], kind == '3', at, bytes);
	return true;
}

/* Z or z: kind, address, and bytes or the breakpoint's kind. */
static void point_command(struct gdb_stub *stub, struct gdb_text *text, bool insert, struct gdb_answer *out)
{
	char kind = *text->at;
	uint64_t at, bytes;

	if (kind < '0' || kind > '4' || (kind != '0' && insert && !stub->target.has_debug_registers(stub->target.opaque)))
		return; /* not here */
	text->at++;
	if (!gdb_text_take(text, ",") || !take_range(text, &at, &bytes))
		gdb_answer_put(out, error_syntax);
	else
		gdb_answer_put(out, change_point(stub, kind, insert, at, bytes) ? "OK" : error_full);
}

/* ---- Running ------------------------------------------------------------------------------------------------ */

/* A thread: 0 any, -1 all, n vCPU n - 1. */
static bool take_thread(struct gdb_stub *stub, struct gdb_text *text, unsigned any, unsigned *vcpu)
{
	uint64_t number;

	if (gdb_text_take(text, "-1")) {
		*vcpu = ALL;
		return true;
	}
	if (!gdb_text_number(text, &number) || number > stub->target.vcpus)
		return false;
	*vcpu = number == 0 ? any : (unsigned)number - 1;
	return true;
}

/* False: the answer comes with the next stop. */
static bool let_go(struct gdb_stub *stub, const enum gdb_action *action, struct gdb_answer *out)
{
	if (stub->crashed) {
		gdb_answer_put(out, "X06");
		stub->detached = true;
		return true;
	}
	gdb_run(stub, action);
	return false;
}

/* "c" and "s", for what Hc said; an address to go on from may follow. */
static bool plain_run(struct gdb_stub *stub, struct gdb_text *text, enum gdb_action what, struct gdb_answer *out)
{
	enum gdb_action action[HILUM_MAX_VCPUS] = { GDB_ACTION_STAY };
	struct hilum_vcpu_state *s;
	uint64_t rip;

	if (gdb_text_number(text, &rip) && (s = gdb_state_of(stub, stub->general)) != NULL) {
		s->rip = rip;
		stub->target.set_state(stub->target.opaque, stub->general, s, HILUM_STATE_GPR);
	}
	for (unsigned i = 0; i < stub->target.vcpus; i++) /* who steps takes the others along: they may hold its locks */
		action[i] = what == GDB_ACTION_STEP
		                    ? (i == (stub->resumed < ALL ? stub->resumed : stub->general) ? what : GDB_ACTION_CONTINUE)
		            : stub->resumed < ALL && i != stub->resumed ? GDB_ACTION_STAY
		                                                        : what;
	return let_go(stub, action, out);
}

/* One of vCont's actions; the first that fits a vCPU counts. */
static bool take_action(struct gdb_stub *stub, struct gdb_text *text, enum gdb_action *action, bool *chosen)
{
	char letter = *text->at;
	unsigned vcpu = ALL;
	uint64_t signal;

	if (letter == '\0' || strchr("cCsS", letter) == NULL)
		return false;
	text->at++;
	if ((letter == 'C' || letter == 'S') && !gdb_text_number(text, &signal))
		return false; /* a VM takes no signals: it just goes on */
	if (gdb_text_take(text, ":") && !take_thread(stub, text, stub->general, &vcpu))
		return false;
	for (unsigned i = 0; i < stub->target.vcpus; i++) {
		if (chosen[i] || (vcpu != ALL && vcpu != i))
			continue;
		chosen[i] = true;
		action[i] = letter == 's' || letter == 'S' ? GDB_ACTION_STEP : GDB_ACTION_CONTINUE;
	}
	return true;
}

/* False: as of let_go. */
static bool v_command(struct gdb_stub *stub, struct gdb_text *text, struct gdb_answer *out)
{
	enum gdb_action action[HILUM_MAX_VCPUS] = { GDB_ACTION_STAY };
	bool chosen[HILUM_MAX_VCPUS] = { false };

	if (gdb_text_take(text, "Cont?")) {
		gdb_answer_put(out, "vCont;c;C;s;S");
		return true;
	}
	if (!gdb_text_take(text, "Cont"))
		return true; /* vKill among others: to end a VM is its manager's affair */
	while (gdb_text_take(text, ";")) {
		if (!take_action(stub, text, action, chosen)) {
			gdb_answer_put(out, error_syntax);
			return true;
		}
	}
	return let_go(stub, action, out);
}

static void choose_thread(struct gdb_stub *stub, struct gdb_text *text, struct gdb_answer *out)
{
	bool general = gdb_text_take(text, "g");
	unsigned vcpu;

	if ((!general && !gdb_text_take(text, "c")) || !take_thread(stub, text, general ? stub->general : ALL, &vcpu)) {
		gdb_answer_put(out, error_syntax);
		return;
	}
	if (!general)
		stub->resumed = vcpu;
	else if (vcpu != ALL)
		stub->general = vcpu;
	gdb_answer_put(out, "OK");
}

static void is_thread_alive(struct gdb_stub *stub, struct gdb_text *text, struct gdb_answer *out)
{
	unsigned vcpu;

	gdb_answer_put(out, take_thread(stub, text, 0, &vcpu) && vcpu != ALL ? "OK" : error_syntax);
}

/* ---- All of them ------------------------------------------------------------------------------------------------ */

/* True: the answer, even an empty one, is to be sent; otherwise it comes with the next stop. */
static bool answer_command(struct gdb_stub *stub, char letter, struct gdb_text *text, struct gdb_answer *out)
{
	switch (letter) {
	case '?':
		gdb_tell_stop(stub, stub->general);
		return false;
	case 'g':
		get_all_registers(stub, out);
		return true;
	case 'G':
		set_all_registers(stub, text, out);
		return true;
	case 'p':
		get_register(stub, text, out);
		return true;
	case 'P':
		set_register(stub, text, out);
		return true;
	case 'm':
		read_memory(stub, text, out);
		return true;
	case 'M':
		write_memory(stub, text, out);
		return true;
	case 'Z':
	case 'z':
		point_command(stub, text, letter == 'Z', out);
		return true;
	case 'H':
		choose_thread(stub, text, out);
		return true;
	case 'T':
		is_thread_alive(stub, text, out);
		return true;
	case 'c':
	case 's':
		return plain_run(stub, text, letter == 's' ? GDB_ACTION_STEP : GDB_ACTION_CONTINUE, out);
	case 'v':
		return v_command(stub, text, out);
	default: /* q and Q */
		gdb_query(stub, text, out);
		return true;
	}
}

void gdb_command(struct gdb_stub *stub, const char *packet)
{
	struct gdb_text text = { packet + 1 };
	struct gdb_answer out = { stub->answer, sizeof(stub->answer), 0 };

	if (stub->waits || stub->detached)
		return; /* until it has stopped there is nothing to say but Ctrl-C */
	if (*packet == 'k' || *packet == 'D') {
		gdb_stub_close(stub); /* a VM's end is its manager's affair: k lets it run, too */
		if (*packet == 'D')
			gdb_link_send(&stub->link, "OK", 2);
		return;
	}
	if (*packet == '\0' || strchr("?gGpPmMZzHTcsvqQ", *packet) == NULL) {
		gdb_link_send(&stub->link, "", 0);
		return;
	}
	if (answer_command(stub, *packet, &text, &out))
		gdb_link_send(&stub->link, out.to, out.length);
}
