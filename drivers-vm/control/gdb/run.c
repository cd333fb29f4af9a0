/*
 * How vCPUs go and stop. A vCPU that stops by itself is looked at: what concerns the debugger stops the others too and is told; all
 * else is given to the guest, or was the stub's own affair, and the vCPU goes on without the others having noticed.
 */
#include "drivers-vm/control/gdb/inner.h"
#include "drivers-vm/control/gdb/registers.h"

#include <string.h>

#define OPCODE_PUSHF 0x9C
#define OPCODE_TWO   0x0F
#define OPCODE_REX   0x40 /* to 4F, in 64-bit mode */
#define DR6_BS       (1ull << 14)
#define DR6_HITS     15ull

/* pending_event's layout: APM vol. 2, 15.20. */
#define EXCEPTION(vector) (1ull << 31 | 3ull << 8 | (vector))
#define VECTOR_DB         1u
#define VECTOR_BP         3u
#define VECTOR_UD         6u

#define INSTRUCTION_BYTES_MAX 15u

static const uint8_t prefixes[] = { 0x26, 0x2E, 0x36, 0x3E, 0x64, 0x65, 0x66, 0x67, 0xF0, 0xF2, 0xF3 };

/* ---- Going ------------------------------------------------------------------------------------------------ */

/* The opcode at RIP, behind prefixes; of two bytes 0F00 and the second. Zero: it cannot be read. */
static unsigned opcode_at(struct gdb_stub *stub, struct hilum_vcpu_state *s)
{
	uint8_t byte;

	for (uint64_t at = gdb_linear_rip(s), end = at + INSTRUCTION_BYTES_MAX; at != end && gdb_memory_read(stub, s, at, &byte, 1); at++) {
		if (byte == OPCODE_TWO)
			return gdb_memory_read(stub, s, at + 1, &byte, 1) ? OPCODE_TWO << 8 | byte : 0;
		if (byte != 0 && memchr(prefixes, byte, sizeof(prefixes)) == NULL && !(gdb_is_long(s) && (byte & 0xF0) == OPCODE_REX))
			return byte;
	}
	return 0;
}

/* What reads or writes IF, or waits: PUSHF, POPF, INT3, INT, INTO, IRET, INT1, HLT, CLI, STI, SYSCALL, SYSRET, SYSENTER, SYSEXIT. */
static bool opcode_concerns_if(unsigned opcode)
{
	static const uint16_t those[] = {
		OPCODE_PUSHF, 0x9D, 0xCC, 0xCD, 0xCE, 0xCF, 0xF1, 0xF4, 0xFA, 0xFB, 0x0F05, 0x0F07, 0x0F34, 0x0F35,
	};

	for (unsigned i = 0; i < sizeof(those) / sizeof(those[0]); i++)
		if (opcode == those[i])
			return true;
	return false;
}

/*
 * One instruction, by TF. No interrupt comes before it: its handler could wait for a vCPU that stands still while this one steps over a
 * breakpoint, for ever. What concerns IF itself is let alone.
 */
static void begin_step(struct gdb_stub *stub, struct gdb_vcpu *v, struct hilum_vcpu_state *s)
{
	unsigned opcode = opcode_at(stub, s);

	v->traced = s->rflags & GDB_RFLAGS_TF;
	v->pushes_flags = opcode == OPCODE_PUSHF;
	v->masked = (s->rflags & GDB_RFLAGS_IF) && s->activity == HILUM_ACTIVITY_RUN && opcode != 0 && !opcode_concerns_if(opcode);
	s->rflags |= GDB_RFLAGS_TF;
	if (v->masked)
		s->rflags &= ~GDB_RFLAGS_IF;
}

static void lend_debug_registers(struct gdb_stub *stub, struct gdb_vcpu *v, struct hilum_vcpu_state *s)
{
	memcpy(v->dr, s->dr, sizeof(v->dr));
	v->dr7 = s->dr7;
	v->lent = true;
	for (unsigned i = 0; i < GDB_WATCHES_MAX; i++)
		s->dr[i] = stub->watches[i].used ? stub->watches[i].gva : 0;
	s->dr7 = gdb_watch_dr7(stub);
}

static void go(struct gdb_stub *stub, unsigned n)
{
	struct gdb_vcpu *v = &stub->vcpu[n];
	struct hilum_vcpu_state *s = gdb_state_of(stub, n);
	uint32_t groups = 0;
	uint64_t stops = 0;

	if (s == NULL)
		return;
	v->dr6 = s->dr6;
	if (v->steps || v->detour) {
		begin_step(stub, v, s);
		groups |= HILUM_STATE_GPR;
		stops |= HILUM_DEBUG_TRAP;
	}
	if (gdb_watches_exist(stub)) {
		lend_debug_registers(stub, v, s);
		groups |= HILUM_STATE_DR;
		stops |= HILUM_DEBUG_TRAP | HILUM_DEBUG_DR;
	}
	if (gdb_breaks_exist(stub))
		stops |= HILUM_DEBUG_OPCODE;
	if (gdb_breaks_need_int3(stub))
		stops |= HILUM_DEBUG_BREAK;
	if (gdb_breaks_wait(stub) && !v->detour)
		stops |= HILUM_DEBUG_CR3;
	if (groups != 0)
		stub->target.set_state(stub->target.opaque, n, s, groups);
	stub->held = HILUM_MAX_VCPUS;
	stub->target.set_debug(stub->target.opaque, n, stops);
	v->runs = true;
	v->reason = GDB_REASON_NONE;
	v->untold = false;
	stub->target.run(stub->target.opaque, n);
}

void gdb_run(struct gdb_stub *stub, const enum gdb_action action[HILUM_MAX_VCPUS])
{
	stub->waits = true;
	for (unsigned i = 0; i < stub->target.vcpus; i++) {
		if (action[i] == GDB_ACTION_STAY || !stub->vcpu[i].untold || !gdb_watches_exist(stub))
			continue;
		gdb_tell_stop(stub, i); /* it has stopped at the same time as the one that was told */
		return;
	}
	for (unsigned i = 0; i < stub->target.vcpus; i++) {
		stub->vcpu[i].steps = action[i] == GDB_ACTION_STEP;
		stub->vcpu[i].detour = false;
		if (action[i] != GDB_ACTION_STAY)
			go(stub, i);
	}
}

/* ---- Stopping ------------------------------------------------------------------------------------------------ */

/* An exception that is the guest's own. None is in its way: what stopped the vCPU was to be the next. */
static enum gdb_reason reflect(struct hilum_vcpu_state *s, unsigned vector, uint32_t *groups)
{
	s->pending_event = EXCEPTION(vector);
	*groups |= HILUM_STATE_EVENTS;
	return GDB_REASON_NONE;
}

static enum gdb_reason look_at_trap(struct gdb_stub *stub, struct gdb_vcpu *v, struct hilum_vcpu_state *s, uint32_t *groups)
{
	uint64_t hits = v->lent ? s->dr6 & DR6_HITS : 0;
	bool stepped = v->steps || v->detour;

	for (unsigned i = 0; i < GDB_WATCHES_MAX; i++) {
		const struct gdb_watch *w = &stub->watches[i];
		bool here = v->lent && w->kind == GDB_WATCH_EXECUTE && w->gva == gdb_linear_rip(s); /* Bochs's SVM loses DR6 */
		if (!w->used || !(here || (hits >> i & 1)))
			continue;
		v->address = w->gva;
		s->dr6 = v->dr6;
		*groups |= HILUM_STATE_DR;
		return w->kind == GDB_WATCH_EXECUTE ? GDB_REASON_HARDWARE_BREAK : GDB_REASON_WATCH;
	}
	if (!stepped)
		return reflect(s, VECTOR_DB, groups);
	if (v->traced) { /* its own debugger traces it, too */
		reflect(s, VECTOR_DB, groups);
	} else {
		s->dr6 = v->dr6;
		*groups |= HILUM_STATE_DR;
	}
	if (v->detour)
		gdb_break_plant_waiting(stub, s);
	return v->steps ? GDB_REASON_STEP : GDB_REASON_NONE;
}

static enum gdb_reason look_at(struct gdb_stub *stub, struct gdb_vcpu *v, struct hilum_vcpu_state *s, uint64_t hits, uint32_t *groups)
{
	if (hits & HILUM_DEBUG_OPCODE)
		return gdb_break_is_hit(stub, s) ? GDB_REASON_BREAK : reflect(s, VECTOR_UD, groups);
	if (hits & HILUM_DEBUG_BREAK) {
		if (gdb_break_is_hit(stub, s))
			return GDB_REASON_BREAK;
		s->rip++;
		*groups |= HILUM_STATE_GPR;
		return reflect(s, VECTOR_BP, groups);
	}
	if (hits & HILUM_DEBUG_TRAP)
		return look_at_trap(stub, v, s, groups);
	if (hits & HILUM_DEBUG_DR) {
		*groups |= HILUM_STATE_GPR | HILUM_STATE_EVENTS;
		gdb_debug_register_move(stub, v, s);
		return v->steps ? GDB_REASON_STEP : GDB_REASON_NONE;
	}
	return GDB_REASON_NONE;
}

/* TF and IF as the guest had them, and TF in what it has just pushed. */
static void end_step(struct gdb_stub *stub, struct gdb_vcpu *v, struct hilum_vcpu_state *s)
{
	uint64_t pushed;
	uint64_t top = s->gpr[4] + (gdb_is_long(s) ? 0 : s->ss.base);

	if (v->masked)
		s->rflags |= GDB_RFLAGS_IF;
	if (v->traced)
		return;
	s->rflags &= ~GDB_RFLAGS_TF;
	if (!v->pushes_flags || !gdb_memory_read(stub, s, top, (uint8_t *)&pushed, 2))
		return;
	pushed &= ~GDB_RFLAGS_TF;
	gdb_memory_write(stub, s, top, (const uint8_t *)&pushed, 2);
}

/* It stands still: put everything of the guest's back in place, and find out why. */
static uint64_t leave(struct gdb_stub *stub, unsigned n)
{
	struct gdb_vcpu *v = &stub->vcpu[n];
	uint32_t groups = 0;

	stub->target.pause(stub->target.opaque, n);
	v->runs = false;
	stub->held = HILUM_MAX_VCPUS;
	int64_t answer = stub->target.set_debug(stub->target.opaque, n, 0);
	struct hilum_vcpu_state *s = gdb_state_of(stub, n);
	uint64_t hits = answer > 0 ? (uint64_t)answer : 0;
	if (s == NULL)
		return 0;
	v->reason = look_at(stub, v, s, hits, &groups);
	if (v->steps || v->detour) {
		v->pushes_flags &= (hits & HILUM_DEBUG_TRAP) != 0; /* it has pushed them */
		end_step(stub, v, s);
		groups |= HILUM_STATE_GPR;
	}
	if (v->lent) {
		memcpy(s->dr, v->dr, sizeof(v->dr));
		s->dr7 = v->dr7;
		v->lent = false;
		groups |= HILUM_STATE_DR;
	}
	if (groups != 0)
		stub->target.set_state(stub->target.opaque, n, s, groups);
	v->untold = v->reason == GDB_REASON_WATCH; /* a breakpoint is met again, a step made again */
	return hits;
}

/* It goes on at once if nobody needs to know. */
static void check_vcpu(struct gdb_stub *stub, unsigned n)
{
	struct gdb_vcpu *v = &stub->vcpu[n];
	uint64_t hits = leave(stub, n);

	if (v->reason != GDB_REASON_NONE)
		return;
	v->detour = hits & HILUM_DEBUG_CR3;
	go(stub, n);
}

void gdb_stop_all(struct gdb_stub *stub)
{
	for (unsigned i = 0; i < stub->target.vcpus; i++)
		if (stub->vcpu[i].runs)
			leave(stub, i);
}

void gdb_stop(struct gdb_stub *stub, unsigned vcpu)
{
	gdb_stop_all(stub);
	gdb_tell_stop(stub, vcpu);
}

void gdb_stub_check(struct gdb_stub *stub)
{
	uint64_t stops = stub->target.stops(stub->target.opaque);
	unsigned told = HILUM_MAX_VCPUS;

	for (unsigned i = 0; i < stub->target.vcpus && told == HILUM_MAX_VCPUS; i++) {
		if (!(stops >> i & 1) || !stub->vcpu[i].runs)
			continue;
		check_vcpu(stub, i);
		if (!stub->vcpu[i].runs)
			told = i;
	}
	if (told != HILUM_MAX_VCPUS && !stub->detached)
		gdb_stop(stub, told);
}

static void put_kind(struct gdb_stub *stub, const struct gdb_vcpu *v, struct gdb_answer *answer)
{
	if (v->reason == GDB_REASON_BREAK && stub->swbreak)
		gdb_answer_put(answer, "swbreak:;");
	if (v->reason == GDB_REASON_HARDWARE_BREAK && stub->hwbreak)
		gdb_answer_put(answer, "hwbreak:;");
	if (v->reason != GDB_REASON_WATCH)
		return;
	const char *kind = "watch:";
	for (unsigned i = 0; i < GDB_WATCHES_MAX; i++) {
		const struct gdb_watch *w = &stub->watches[i];
		if (w->used && w->gva == v->address && w->kind == GDB_WATCH_ACCESS)
			kind = w->reads_only ? "rwatch:" : "awatch:";
	}
	gdb_answer_put(answer, kind);
	gdb_answer_number(answer, v->address);
	gdb_answer_put(answer, ";");
}

/* Signals: 2 SIGINT, 5 SIGTRAP, 6 SIGABRT. */
void gdb_tell_stop(struct gdb_stub *stub, unsigned vcpu)
{
	struct gdb_vcpu *v = &stub->vcpu[vcpu];
	char text[96];
	struct gdb_answer answer = { text, sizeof(text), 0 };

	gdb_answer_put(&answer, v->reason == GDB_REASON_CRASH ? "T06" : v->reason <= GDB_REASON_PAUSED ? "T02" : "T05");
	gdb_answer_put(&answer, "thread:");
	gdb_answer_number(&answer, vcpu + 1);
	gdb_answer_put(&answer, ";");
	put_kind(stub, v, &answer);
	gdb_link_send(&stub->link, text, answer.length);
	v->untold = false;
	stub->waits = false;
	stub->general = vcpu;
}
