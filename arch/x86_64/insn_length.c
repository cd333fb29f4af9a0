/*
 * Instruction length by table: one byte per opcode says what follows it, and the few opcodes whose tail
 * depends on more than their number are marked SPECIAL. It must never read past `count`, and never decide
 * whether an instruction is legal: a caller asks only about instructions that the CPU has already accepted.
 */
#include "arch/x86_64/insn_length.h"

/* What follows an opcode; flags add up. */
enum {
	FORM_NONE = 0x00,
	FORM_MODRM = 0x01,
	FORM_IMM8 = 0x02,
	FORM_IMM16 = 0x04,
	FORM_IMM_Z = 0x08,   /* 2 bytes with 16-bit operands, else 4 */
	FORM_NOT_64 = 0x10,  /* undefined in 64-bit code */
	FORM_SPECIAL = 0x20, /* the opcode itself decides */
	FORM_UNDEFINED = 0x40,
	FORM_PREFIX = 0x80,
};

#define N_ FORM_NONE
#define M_ FORM_MODRM
#define B_ FORM_IMM8
#define W_ FORM_IMM16
#define Z_ FORM_IMM_Z
#define I_ FORM_NOT_64
#define S_ FORM_SPECIAL
#define X_ FORM_UNDEFINED
#define P_ FORM_PREFIX
#define MB (FORM_MODRM | FORM_IMM8)
#define MZ (FORM_MODRM | FORM_IMM_Z)
#define MI (FORM_MODRM | FORM_IMM8 | FORM_NOT_64)
#define BI (FORM_IMM8 | FORM_NOT_64)
#define FP (FORM_IMM_Z | FORM_IMM16 | FORM_NOT_64) /* far pointer */
#define WB (FORM_IMM16 | FORM_IMM8)		   /* ENTER */
#define R_ (FORM_MODRM | FORM_SPECIAL)		   /* ModRM names registers whatever its mod says */
#define J_ (FORM_IMM_Z | FORM_SPECIAL) /* near branch: 4 bytes in 64-bit code whatever the prefixes */

/* clang-format off */
static const uint8_t form_one_byte[256] = {
	/* 00 */ M_, M_, M_, M_, B_, Z_, I_, I_, M_, M_, M_, M_, B_, Z_, I_, S_,
	/* 10 */ M_, M_, M_, M_, B_, Z_, I_, I_, M_, M_, M_, M_, B_, Z_, I_, I_,
	/* 20 */ M_, M_, M_, M_, B_, Z_, P_, I_, M_, M_, M_, M_, B_, Z_, P_, I_,
	/* 30 */ M_, M_, M_, M_, B_, Z_, P_, I_, M_, M_, M_, M_, B_, Z_, P_, I_,
	/* 40 */ N_, N_, N_, N_, N_, N_, N_, N_, N_, N_, N_, N_, N_, N_, N_, N_,
	/* 50 */ N_, N_, N_, N_, N_, N_, N_, N_, N_, N_, N_, N_, N_, N_, N_, N_,
	/* 60 */ I_, I_, S_, M_, P_, P_, P_, P_, Z_, MZ, B_, MB, N_, N_, N_, N_,
	/* 70 */ B_, B_, B_, B_, B_, B_, B_, B_, B_, B_, B_, B_, B_, B_, B_, B_,
	/* 80 */ MB, MZ, MI, MB, M_, M_, M_, M_, M_, M_, M_, M_, M_, M_, M_, S_,
	/* 90 */ N_, N_, N_, N_, N_, N_, N_, N_, N_, N_, FP, N_, N_, N_, N_, N_,
	/* A0 */ S_, S_, S_, S_, N_, N_, N_, N_, B_, Z_, N_, N_, N_, N_, N_, N_,
	/* B0 */ B_, B_, B_, B_, B_, B_, B_, B_, S_, S_, S_, S_, S_, S_, S_, S_,
	/* C0 */ MB, MB, W_, N_, S_, S_, MB, MZ, WB, N_, W_, N_, N_, B_, I_, N_,
	/* D0 */ M_, M_, M_, M_, BI, BI, I_, N_, M_, M_, M_, M_, M_, M_, M_, M_,
	/* E0 */ B_, B_, B_, B_, B_, B_, B_, B_, J_, J_, FP, B_, N_, N_, N_, N_,
	/* F0 */ P_, N_, P_, P_, N_, N_, S_, S_, N_, N_, N_, N_, N_, N_, M_, M_,
};

static const uint8_t form_0f[256] = {
	/* 00 */ M_, M_, M_, M_, X_, N_, N_, N_, N_, N_, X_, N_, X_, M_, N_, MB,
	/* 10 */ M_, M_, M_, M_, M_, M_, M_, M_, M_, M_, M_, M_, M_, M_, M_, M_,
	/* 20 */ R_, R_, R_, R_, X_, X_, X_, X_, M_, M_, M_, M_, M_, M_, M_, M_,
	/* 30 */ N_, N_, N_, N_, N_, N_, X_, N_, S_, X_, S_, X_, X_, X_, X_, X_,
	/* 40 */ M_, M_, M_, M_, M_, M_, M_, M_, M_, M_, M_, M_, M_, M_, M_, M_,
	/* 50 */ M_, M_, M_, M_, M_, M_, M_, M_, M_, M_, M_, M_, M_, M_, M_, M_,
	/* 60 */ M_, M_, M_, M_, M_, M_, M_, M_, M_, M_, M_, M_, M_, M_, M_, M_,
	/* 70 */ MB, MB, MB, MB, M_, M_, M_, N_, S_, M_, X_, X_, M_, M_, M_, M_,
	/* 80 */ J_, J_, J_, J_, J_, J_, J_, J_, J_, J_, J_, J_, J_, J_, J_, J_,
	/* 90 */ M_, M_, M_, M_, M_, M_, M_, M_, M_, M_, M_, M_, M_, M_, M_, M_,
	/* A0 */ N_, N_, N_, M_, MB, M_, M_, M_, N_, N_, N_, M_, MB, M_, M_, M_,
	/* B0 */ M_, M_, M_, M_, M_, M_, M_, M_, M_, M_, MB, M_, M_, M_, M_, M_,
	/* C0 */ M_, M_, MB, M_, MB, MB, MB, M_, N_, N_, N_, N_, N_, N_, N_, N_,
	/* D0 */ M_, M_, M_, M_, M_, M_, M_, M_, M_, M_, M_, M_, M_, M_, M_, M_,
	/* E0 */ M_, M_, M_, M_, M_, M_, M_, M_, M_, M_, M_, M_, M_, M_, M_, M_,
	/* F0 */ M_, M_, M_, M_, M_, M_, M_, M_, M_, M_, M_, M_, M_, M_, M_, M_,
};
/* clang-format on */

/* One instruction being measured. `at` indexes the byte looked at; it never exceeds `count`. */
struct measure {
	const uint8_t *bytes;
	unsigned count;
	unsigned at;
	enum insn_mode mode;
	unsigned address_bytes;
	bool operand_prefix;
	bool repne_prefix;
	bool rex_w;
};

unsigned insn_length_modrm(const uint8_t *bytes, unsigned count, unsigned address_bytes)
{
	unsigned mod, rm, length = 1;

	if (count == 0)
		return 0;
	mod = bytes[0] >> 6;
	rm = bytes[0] & 7;
	if (address_bytes == 2) {
		if (mod == 1)
			length += 1;
		else if (mod == 2 || (mod == 0 && rm == 6))
			length += 2;
	} else if (mod != 3) {
		if (rm == 4) {
			if (count < 2)
				return 0;
			rm = bytes[1] & 7; /* a SIB base of 5 takes a displacement as rm 5 does */
			length += 1;
		}
		if (mod == 1)
			length += 1;
		else if (mod == 2 || rm == 5)
			length += 4;
	}
	return length <= count ? length : 0;
}

/* Ends the measurement: the opcode ends before m->at, `form` and `immediate_bytes` say what follows. */
static unsigned measure_tail(const struct measure *m, unsigned form, unsigned immediate_bytes)
{
	unsigned at = m->at, modrm;
	bool operands_16 = !m->rex_w && (m->mode == INSN_MODE_16) != m->operand_prefix;

	if (form & (FORM_UNDEFINED | (m->mode == INSN_MODE_64 ? FORM_NOT_64 : 0)))
		return 0;
	if (form & FORM_MODRM) {
		modrm = insn_length_modrm(m->bytes + at, m->count - at, m->address_bytes);
		if (modrm == 0)
			return 0;
		at += modrm;
	}
	if (form & FORM_IMM8)
		at += 1;
	if (form & FORM_IMM16)
		at += 2;
	if (form & FORM_IMM_Z)
		at += operands_16 ? 2 : 4;
	at += immediate_bytes;
	return at <= m->count ? at : 0;
}

/*
 * VEX (C4, C5), EVEX (62) and XOP (8F): payload bytes, opcode, ModRM, and an immediate that the opcode map
 * decides; m->at is past the first byte. Opcodes of map 1 take an immediate where their legacy namesakes do.
 */
static unsigned measure_vector(struct measure *m, uint8_t escape)
{
	unsigned payload_bytes = escape == 0xC5 ? 1 : escape == 0x62 ? 3 : 2;
	unsigned map;
	uint8_t opcode;

	if (m->count - m->at <= payload_bytes)
		return 0;
	map = escape == 0xC5 ? 1 : m->bytes[m->at] & (escape == 0x62 ? 0x07 : 0x1F);
	opcode = m->bytes[m->at + payload_bytes];
	m->at += payload_bytes + 1;
	if (map == 1 && opcode == 0x77 && escape != 0x62)
		return m->at; /* VZEROUPPER, VZEROALL */
	switch (map) {
	case 1:
		return measure_tail(m, FORM_MODRM | (form_0f[opcode] & FORM_IMM8), 0);
	case 2:
	case 5:
	case 6:
	case 9:
		return measure_tail(m, FORM_MODRM, 0);
	case 3:
	case 8:
		return measure_tail(m, FORM_MODRM | FORM_IMM8, 0);
	case 10:
		return measure_tail(m, FORM_MODRM, 4);
	}
	return 0;
}

static unsigned measure_near_branch(const struct measure *m)
{
	return m->mode == INSN_MODE_64 ? measure_tail(m, FORM_NONE, 4) : measure_tail(m, FORM_IMM_Z, 0);
}

/* 0F is consumed. */
static unsigned measure_0f(struct measure *m)
{
	uint8_t opcode, form;

	if (m->at >= m->count)
		return 0;
	opcode = m->bytes[m->at++];
	form = form_0f[opcode];
	if (!(form & FORM_SPECIAL))
		return measure_tail(m, form, 0);
	if (form == J_)
		return measure_near_branch(m);
	if (form == R_) /* MOV to and from control and debug registers */
		return measure_tail(m, FORM_NONE, 1);
	switch (opcode) {
	case 0x38:
		m->at++;
		return m->at < m->count ? measure_tail(m, FORM_MODRM, 0) : 0;
	case 0x3A:
		m->at++;
		return m->at < m->count ? measure_tail(m, FORM_MODRM | FORM_IMM8, 0) : 0;
	default: /* 78: VMREAD; with a prefix EXTRQ and INSERTQ, which take two immediate bytes */
		return measure_tail(m, FORM_MODRM, m->operand_prefix || m->repne_prefix ? 2 : 0);
	}
}

/* One-byte opcodes marked SPECIAL; the opcode is consumed. */
static unsigned measure_special(struct measure *m, uint8_t opcode)
{
	uint8_t next = m->at < m->count ? m->bytes[m->at] : 0;

	switch (opcode) {
	case 0x0F:
		return measure_0f(m);
	case 0x62: /* BOUND, LES and LDS have no register form: outside 64-bit code it marks a vector prefix
		    */
	case 0xC4:
	case 0xC5:
		if (m->mode == INSN_MODE_64 || next >= 0xC0)
			return measure_vector(m, opcode);
		return measure_tail(m, FORM_MODRM, 0);
	case 0x8F: /* POP uses ModRM.reg 0; XOP's map numbers make it nonzero */
		return (next & 0x1F) >= 8 ? measure_vector(m, opcode) : measure_tail(m, FORM_MODRM, 0);
	case 0xA0 ... 0xA3:
		return measure_tail(m, FORM_NONE, m->address_bytes);
	case 0xE8:
	case 0xE9:
		return measure_near_branch(m);
	case 0xF6: /* group 3: TEST alone has an immediate */
		return measure_tail(m, next & 0x30 ? FORM_MODRM : FORM_MODRM | FORM_IMM8, 0);
	case 0xF7:
		return measure_tail(m, next & 0x30 ? FORM_MODRM : FORM_MODRM | FORM_IMM_Z, 0);
	default: /* B8 to BF: MOV register, immediate of full width */
		return m->rex_w ? measure_tail(m, FORM_NONE, 8) : measure_tail(m, FORM_IMM_Z, 0);
	}
}

/* Moves m->at to the opcode. False when the bytes end first. A REX counts only directly before the opcode. */
static bool measure_prefixes(struct measure *m)
{
	for (; m->at < m->count; m->at++) {
		uint8_t byte = m->bytes[m->at];

		if (m->mode == INSN_MODE_64 && (byte & 0xF0) == 0x40) {
			m->rex_w = byte & 0x08;
			continue;
		}
		if (!(form_one_byte[byte] & FORM_PREFIX))
			return true;
		m->rex_w = false;
		if (byte == 0x66)
			m->operand_prefix = true;
		else if (byte == 0x67)
			m->address_bytes = m->mode == INSN_MODE_32 ? 2 : 4;
		else if (byte == 0xF2)
			m->repne_prefix = true;
	}
	return false;
}

static __attribute__((noinline)) unsigned measure(const uint8_t *bytes, unsigned count, enum insn_mode mode)
{
	struct measure m = {.bytes = bytes,
			    .count = count < INSN_MAX_BYTES ? count : INSN_MAX_BYTES,
			    .mode = mode,
			    .address_bytes = (unsigned)mode};
	uint8_t opcode;

	if (!measure_prefixes(&m))
		return 0;
	opcode = bytes[m.at++];
	if (form_one_byte[opcode] & FORM_SPECIAL)
		return measure_special(&m, opcode);
	return measure_tail(&m, form_one_byte[opcode], 0);
}

unsigned insn_length(const uint8_t *bytes, unsigned count, enum insn_mode mode)
{
	/* CPUID, RDMSR, WRMSR, RDTSC, VMMCALL, MOV CR and the like: nearly every instruction that exits. */
	if (likely(count >= 3 && bytes[0] == 0x0F)) {
		uint8_t form = form_0f[bytes[1]];

		if (form == FORM_NONE)
			return 2;
		if (bytes[2] >= 0xC0 && (form | FORM_SPECIAL) == R_)
			return 3;
	}
	return measure(bytes, count, mode);
}
