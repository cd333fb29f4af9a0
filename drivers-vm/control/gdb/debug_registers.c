/*
 * MOV to and from debug registers while these are the debugger's: executed on what the guest has in them as far as it knows. Its own
 * breakpoints do not work meanwhile. SDM vol. 2, "MOV - Move to/from Debug Registers"; vol. 3B, 18.2 "Debug Registers".
 */
#include "drivers-vm/control/gdb/inner.h"

#define INSN_BYTES_MAX 15u
#define CR4_DE         (1ull << 3)
#define DR6_FIXED      0xFFFF0FF0ull
#define DR6_WRITABLE   0xE00Full
#define DR7_FIXED      0x400ull
#define DR7_WRITABLE   0xFFFF2BFFull
#define UD             (1ull << 31 | 3ull << 8 | 6)
#define GP             (1ull << 31 | 1ull << 11 | 3ull << 8 | 13)

struct move {
	unsigned length, reg, dr;
	bool to_dr;
};

static bool is_prefix(uint8_t byte)
{
	return byte == 0x66 || byte == 0x67 || byte == 0xF2 || byte == 0xF3 || byte == 0x2E || byte == 0x36 || byte == 0x3E ||
	       byte == 0x26 || byte == 0x64 || byte == 0x65;
}

static bool decode(const uint8_t *b, unsigned count, bool is_long, struct move *m)
{
	unsigned n = 0, rex = 0;

	while (n < count && is_prefix(b[n]))
		n++;
	if (is_long && n < count && (b[n] & 0xF0) == 0x40)
		rex = b[n++];
	if (n + 3 > count || b[n] != 0x0F || (b[n + 1] & 0xFD) != 0x21)
		return false;
	m->to_dr = b[n + 1] == 0x23;
	m->reg = (b[n + 2] & 7) | (rex & 1) << 3;
	m->dr = (b[n + 2] >> 3 & 7) | (rex & 4) << 1;
	m->length = n + 3;
	return true;
}

/* The instruction may end with its page: as many bytes as there are. */
static unsigned fetch(struct gdb_stub *stub, const struct hilum_vcpu_state *s, uint8_t *to)
{
	unsigned n = 0;

	while (n < INSN_BYTES_MAX && gdb_memory_read(stub, s, gdb_linear_rip(s) + n, to + n, 1))
		n++;
	return n;
}

static void write_dr(struct gdb_vcpu *v, unsigned dr, uint64_t value)
{
	if (dr < 4)
		v->dr[dr] = value;
	else if (dr == 6)
		v->dr6 = (value & DR6_WRITABLE) | DR6_FIXED;
	else
		v->dr7 = (value & DR7_WRITABLE) | DR7_FIXED;
}

static uint64_t read_dr(const struct gdb_vcpu *v, unsigned dr)
{
	return dr < 4 ? v->dr[dr] : dr == 6 ? v->dr6 : v->dr7;
}

void gdb_debug_register_move(struct gdb_stub *stub, struct gdb_vcpu *v, struct hilum_vcpu_state *s)
{
	uint8_t bytes[INSN_BYTES_MAX];
	bool is_long = gdb_is_long(s);
	struct move m;

	if (!decode(bytes, fetch(stub, s, bytes), is_long, &m)) {
		s->pending_event = UD; /* LOCK, say */
		return;
	}
	unsigned dr = m.dr == 4 || m.dr == 5 ? m.dr + 2 : m.dr;
	uint64_t value = is_long ? s->gpr[m.reg] : (uint32_t)s->gpr[m.reg];
	if (m.dr > 7 || (m.dr != dr && (s->cr4 & CR4_DE))) {
		s->pending_event = UD;
		return;
	}
	if ((s->ss.attributes >> 5 & 3) != 0 || (m.to_dr && dr >= 6 && value >> 32)) {
		s->pending_event = GP;
		return;
	}
	if (m.to_dr)
		write_dr(v, dr, value);
	else
		s->gpr[m.reg] = is_long ? read_dr(v, dr) : (uint32_t)read_dr(v, dr);
	s->dr6 = v->dr6;
	s->rip += m.length;
}
