/* See registers.h. */
#include "drivers-vm/control/gdb/registers.h"

#include <string.h>

/* The FXSAVE image, which the standard form of an XSAVE area begins with: SDM vol. 1, 10.5.1 and 13.4. */
#define FX_FCW      0u
#define FX_FSW      2u
#define FX_FTW      4u
#define FX_FOP      6u
#define FX_FIP      8u
#define FX_FDP      16u
#define FX_MXCSR    24u
#define FX_ST(n)    (32u + 16 * (n))
#define FX_XMM(n)   (160u + 16 * (n))
#define XSTATE_BV   512u
#define XSTATE_X87  1u
#define XSTATE_SSE  2u
#define FCW_INITIAL 0x37Fu

enum register_kind {
	KIND_STATE,    /* a field of the state */
	KIND_SELECTOR, /* read only */
	KIND_ST,
	KIND_X87, /* a field of 16 or 32 bits in the FXSAVE image, as 32 bits */
	KIND_TAG,
	KIND_XMM,
	KIND_MXCSR,
};

struct register_place {
	uint8_t kind, bytes; /* in GDB's numbering all are of 4, 8, 10 or 16 bytes */
	uint8_t held;        /* bytes where it is kept */
	uint16_t offset;     /* in the state, or in the FXSAVE image */
	uint32_t group;
};

#define AT(member) offsetof(struct hilum_vcpu_state, member)
#define GPR(n) \
	{ \
		KIND_STATE, 8, 8, AT(gpr) + 8 * (n), HILUM_STATE_GPR \
	}
#define FIELD(member, group) \
	{ \
		KIND_STATE, 8, 8, AT(member), (group) \
	}
#define SELECTOR(member) \
	{ \
		KIND_SELECTOR, 4, 2, AT(member), 0 \
	}
#define ST(n) \
	{ \
		KIND_ST, 10, 10, FX_ST(n), HILUM_STATE_FPU \
	}
#define X87(at, held) \
	{ \
		KIND_X87, 4, (held), (at), HILUM_STATE_FPU \
	}
#define XMM(n) \
	{ \
		KIND_XMM, 16, 16, FX_XMM(n), HILUM_STATE_FPU \
	}

static const struct register_place places[GDB_REGISTERS] = {
	GPR(0),
	GPR(3),
	GPR(1),
	GPR(2),
	GPR(6),
	GPR(7),
	GPR(5),
	GPR(4), /* rax rbx rcx rdx rsi rdi rbp rsp */
	GPR(8),
	GPR(9),
	GPR(10),
	GPR(11),
	GPR(12),
	GPR(13),
	GPR(14),
	GPR(15),
	FIELD(rip, HILUM_STATE_GPR),
	{ KIND_STATE, 4, 4, AT(rflags), HILUM_STATE_GPR },
	SELECTOR(cs.selector),
	SELECTOR(ss.selector),
	SELECTOR(ds.selector),
	SELECTOR(es.selector),
	SELECTOR(fs.selector),
	SELECTOR(gs.selector),
	ST(0),
	ST(1),
	ST(2),
	ST(3),
	ST(4),
	ST(5),
	ST(6),
	ST(7),
	X87(FX_FCW, 2),
	X87(FX_FSW, 2),
	{ KIND_TAG, 4, 1, FX_FTW, HILUM_STATE_FPU }, /* fctrl fstat ftag */
	X87(FX_FIP + 4, 2),
	X87(FX_FIP, 4),
	X87(FX_FDP + 4, 2),
	X87(FX_FDP, 4),
	X87(FX_FOP, 2), /* fiseg fioff foseg fooff fop */
	XMM(0),
	XMM(1),
	XMM(2),
	XMM(3),
	XMM(4),
	XMM(5),
	XMM(6),
	XMM(7),
	XMM(8),
	XMM(9),
	XMM(10),
	XMM(11),
	XMM(12),
	XMM(13),
	XMM(14),
	XMM(15),
	{ KIND_MXCSR, 4, 4, FX_MXCSR, HILUM_STATE_FPU },
	FIELD(fs.base, HILUM_STATE_SEGMENTS),
	FIELD(gs.base, HILUM_STATE_SEGMENTS),
	FIELD(cr0, HILUM_STATE_CR),
	FIELD(cr2, HILUM_STATE_CR),
	FIELD(cr3, HILUM_STATE_CR),
	FIELD(cr4, HILUM_STATE_CR),
	FIELD(efer, HILUM_STATE_CR),
};

#define REG(name, bits, type) "<reg name=\"" name "\" bitsize=\"" bits "\" type=\"" type "\"/>"
#define REG64(name)           REG(name, "64", "int64")
#define REG32(name)           REG(name, "32", "int32")
#define REGX87(name)          "<reg name=\"" name "\" bitsize=\"32\" type=\"int\" group=\"float\"/>"
#define REGST(name)           REG(name, "80", "i387_ext")
#define REGXMM(name)          REG(name, "128", "vec128")

const char gdb_target_xml[] =
	"<?xml version=\"1.0\"?><!DOCTYPE target SYSTEM \"gdb-target.dtd\"><target><architecture>i386:x86-64</architecture>"
	"<feature name=\"org.gnu.gdb.i386.core\">" REG64("rax") REG64("rbx") REG64("rcx") REG64("rdx") REG64("rsi") REG64("rdi") REG(
		"rbp", "64",
		"data_ptr") REG("rsp", "64",
                                "data_ptr") REG64("r8") REG64("r9") REG64("r10") REG64("r11") REG64("r12") REG64("r13") REG64("r14")
		REG64("r15") REG("rip", "64", "code_ptr") REG32("eflags") REG32("cs") REG32("ss") REG32("ds") REG32("es") REG32("fs") REG32(
			"gs") REGST("st0") REGST("st1") REGST("st2") REGST("st3") REGST("st4") REGST("st5") REGST("st6")
			REGST("st7") REGX87("fctrl") REGX87("fstat") REGX87("ftag") REGX87("fiseg") REGX87("fioff") REGX87("foseg") REGX87("fooff") REGX87(
				"fop") "</feature><feature name=\"org.gnu.gdb.i386.sse\">"
				       "<vector id=\"v8i16\" type=\"int16\" count=\"8\"/><vector id=\"v4i32\" type=\"int32\" count=\"4\"/>"
				       "<vector id=\"v2i64\" type=\"int64\" count=\"2\"/><vector id=\"v16i8\" type=\"int8\" count=\"16\"/>"
				       "<vector id=\"v4f\" type=\"ieee_single\" count=\"4\"/><vector id=\"v2d\" type=\"ieee_double\" count=\"2\"/>"
				       "<union id=\"vec128\"><field name=\"v4_float\" type=\"v4f\"/><field name=\"v2_double\" type=\"v2d\"/>"
				       "<field name=\"v16_int8\" type=\"v16i8\"/><field name=\"v8_int16\" type=\"v8i16\"/><field name=\"v4_int32\" type=\"v4i32\"/>"
				       "<field name=\"v2_int64\" type=\"v2i64\"/><field name=\"uint128\" type=\"uint128\"/></union>" REGXMM(
					       "xmm0") REGXMM("xmm1") REGXMM("xmm2") REGXMM("xmm3") REGXMM("xmm4") REGXMM("xmm5")
					       REGXMM("xmm6") REGXMM("xmm7") REGXMM("xmm8") REGXMM("xmm9") REGXMM("xmm10") REGXMM(
						       "xmm11") REGXMM("xmm12") REGXMM("xmm13") REGXMM("xmm14")
						       REGXMM("xmm15") "<reg name=\"mxcsr\" bitsize=\"32\" type=\"int\" group=\"vector\"/>"
								       "</feature><feature name=\"org.gnu.gdb.i386.segments\">" REG64(
									       "fs_base")
									       REG64("gs_base") "</feature><feature name=\"org.hilum.control\">" REG64(
										       "cr0") REG64("cr2") REG64("cr3") REG64("cr4")
										       REG64("efer") "</feature></target>";

size_t gdb_register_bytes(unsigned number)
{
	return places[number].bytes;
}

/* Which of the XSAVE area's two parts it belongs to. What is not in use there has the initial values (13.5). */
static unsigned part_of(const struct register_place *p)
{
	return p->kind == KIND_XMM || p->kind == KIND_MXCSR ? XSTATE_SSE : XSTATE_X87;
}

static bool is_in_use(const struct hilum_vcpu_state *s, const struct register_place *p)
{
	return p->kind == KIND_MXCSR || (s->xsave[XSTATE_BV] & part_of(p));
}

static uint32_t tags_of(uint8_t abridged)
{
	uint32_t tags = 0;

	for (unsigned i = 0; i < 8; i++)
		tags |= (abridged >> i & 1 ? 0u : 3u) << 2 * i; /* valid or empty: that is all that is kept */
	return tags;
}

static uint8_t abridged_of(uint32_t tags)
{
	uint8_t abridged = 0;

	for (unsigned i = 0; i < 8; i++)
		abridged |= (uint8_t)(((tags >> 2 * i & 3) != 3) << i);
	return abridged;
}

static void get_fpu(const struct hilum_vcpu_state *s, const struct register_place *p, uint8_t *out)
{
	bool used = is_in_use(s, p);
	uint32_t value = 0;

	if (p->kind == KIND_TAG) {
		value = tags_of(used ? s->xsave[FX_FTW] : 0);
		memcpy(out, &value, sizeof(value));
	} else if (used) {
		memcpy(out, s->xsave + p->offset, p->held);
	} else if (p->kind == KIND_X87 && p->offset == FX_FCW) {
		value = FCW_INITIAL;
		memcpy(out, &value, sizeof(value));
	}
}

size_t gdb_register_get(const struct hilum_vcpu_state *s, unsigned number, uint8_t out[GDB_REGISTER_BYTES])
{
	const struct register_place *p = &places[number];

	memset(out, 0, GDB_REGISTER_BYTES);
	if (p->kind <= KIND_SELECTOR)
		memcpy(out, (const uint8_t *)s + p->offset, p->held);
	else
		get_fpu(s, p, out);
	return p->bytes;
}

static void take_into_use(struct hilum_vcpu_state *s, unsigned part)
{
	const uint16_t fcw = FCW_INITIAL;

	if (s->xsave[XSTATE_BV] & part)
		return;
	if (part == XSTATE_X87) {
		memset(s->xsave, 0, FX_MXCSR);
		memset(s->xsave + FX_ST(0), 0, 8 * 16);
		memcpy(s->xsave + FX_FCW, &fcw, sizeof(fcw));
	} else {
		memset(s->xsave + FX_XMM(0), 0, GDB_XMM_COUNT * 16);
	}
	s->xsave[XSTATE_BV] |= (uint8_t)part;
}

uint32_t gdb_register_set(struct hilum_vcpu_state *s, unsigned number, const uint8_t in[GDB_REGISTER_BYTES])
{
	const struct register_place *p = &places[number];
	uint32_t tags;

	switch (p->kind) {
	case KIND_STATE:
		memcpy((uint8_t *)s + p->offset, in, p->held);
		break;
	case KIND_SELECTOR:
		break;
	case KIND_TAG:
		take_into_use(s, XSTATE_X87);
		memcpy(&tags, in, sizeof(tags));
		s->xsave[FX_FTW] = abridged_of(tags);
		break;
	default:
		take_into_use(s, part_of(p));
		memcpy(s->xsave + p->offset, in, p->held);
		break;
	}
	return p->group;
}

_Static_assert(sizeof(gdb_target_xml) < 16384, "read in few packets");
