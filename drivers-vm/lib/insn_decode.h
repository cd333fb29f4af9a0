/*
 * Decodes the x86 instructions that touch memory-mapped registers or I/O ports into a form that insn_emulate
 * executes. Pure: no state, no guest access, bytes in, description out. The bytes come from a guest and may
 * be anything.
 */
#ifndef DRIVERS_VM_LIB_INSN_DECODE_H
#define DRIVERS_VM_LIB_INSN_DECODE_H

#include <stdbool.h>
#include <stdint.h>

#define INSN_MAX_BYTES 15u

/* Code size: CS.L in long mode, else CS.D. The value is the default address size in bytes. */
enum insn_mode { INSN_MODE_16 = 2, INSN_MODE_32 = 4, INSN_MODE_64 = 8 };

enum insn_operation {
	INSN_NONE = 0,
	/* group 1, in the order of its ModRM.reg */
	INSN_ADD,
	INSN_OR,
	INSN_ADC,
	INSN_SBB,
	INSN_AND,
	INSN_SUB,
	INSN_XOR,
	INSN_CMP,
	/* group 2, in the order of its ModRM.reg */
	INSN_ROL,
	INSN_ROR,
	INSN_RCL,
	INSN_RCR,
	INSN_SHL,
	INSN_SHR,
	INSN_SAL, /* the undocumented second code of SHL */
	INSN_SAR,
	/* group 8, in the order of its ModRM.reg from 4 */
	INSN_BT,
	INSN_BTS,
	INSN_BTR,
	INSN_BTC,
	INSN_TEST,
	INSN_NOT,
	INSN_NEG,
	INSN_INC,
	INSN_DEC,
	INSN_MOV,
	INSN_MOVNTI,           /* MOV to memory only */
	INSN_MOV_FROM_SEGMENT, /* stores a selector */
	INSN_MOVZX,
	INSN_MOVSX,
	INSN_MOVBE,
	INSN_XCHG,
	INSN_XADD,
	INSN_CMPXCHG,
	INSN_CMOV,
	INSN_SET,
	INSN_PUSH,
	INSN_POP,
	INSN_MOV_VECTOR, /* 16 bytes between an XMM register and memory; `aligned` ones fault when misaligned
			  */
	INSN_IN,
	INSN_OUT,
	/* string instructions, last */
	INSN_MOVS,
	INSN_CMPS,
	INSN_STOS,
	INSN_LODS,
	INSN_SCAS,
	INSN_INS,
	INSN_OUTS,
};

enum insn_operand {
	INSN_OPERAND_NONE = 0,
	INSN_OPERAND_RM, /* memory if has_memory, else register `rm` */
	INSN_OPERAND_REG,
	INSN_OPERAND_IMMEDIATE,
	INSN_OPERAND_ACCUMULATOR,
	INSN_OPERAND_CL,
	INSN_OPERAND_DX,
};

/* Segment registers in encoding order. */
enum insn_segment_register {
	INSN_ES = 0,
	INSN_CS = 1,
	INSN_SS = 2,
	INSN_DS = 3,
	INSN_FS = 4,
	INSN_GS = 5,
};

#define INSN_NO_REGISTER 0xFFu
#define INSN_RSP         4u
#define INSN_RBP         5u

/* Registers are numbered as encoded: RAX RCX RDX RBX RSP RBP RSI RDI R8 to R15. */
struct insn {
	uint8_t length;        /* bytes */
	uint8_t operation;     /* enum insn_operation */
	uint8_t destination;   /* enum insn_operand */
	uint8_t source;        /* enum insn_operand */
	uint8_t bytes;         /* operand size: 1, 2, 4, 8 or 16 */
	uint8_t source_bytes;  /* the source's size where it differs (MOVZX, MOVSX), else as `bytes` */
	uint8_t address_bytes; /* 2, 4 or 8 */
	uint8_t condition;     /* CMOV, SET: the condition code 0 to 15 */
	uint8_t repeat;        /* 0, or the prefix 0xF2 or 0xF3 */
	bool lock;
	bool has_rex; /* byte registers 4 to 7 are SPL to DIL, else AH to BH */
	bool aligned; /* MOV_VECTOR */
	uint8_t reg;  /* of ModRM.reg, REX.R included; a segment register for MOV_FROM_SEGMENT */
	uint8_t rm;   /* of ModRM.rm, REX.B included, when has_memory is false */

	/* memory operand: segment:[base + index * scale + displacement], cut to address_bytes */
	bool has_memory;
	bool rip_relative;
	uint8_t segment; /* the effective one, also of the string source */
	uint8_t base;    /* register or INSN_NO_REGISTER */
	uint8_t index;   /* register or INSN_NO_REGISTER */
	uint8_t scale;   /* 1, 2, 4 or 8 */
	int64_t displacement;

	uint64_t immediate; /* sign-extended to 64 bits */
};

enum insn_decode_result {
	INSN_DECODE_OK,
	INSN_DECODE_SHORT,       /* the instruction does not end within `count` bytes: more may help if count < 15
			    */
	INSN_DECODE_UNSUPPORTED, /* not one of the operations above, or longer than 15 bytes */
};

/*
 * Decodes the instruction at `bytes`, of which `count` may be read, in code of size `mode`. `*out` is written
 * on OK only. It assumes that the CPU has found the instruction legal (a guest exits on no other), and does
 * not check LOCK. Source: SDM vol. 2, "Instruction Format" and appendix A, "Opcode Map".
 */
enum insn_decode_result insn_decode(const uint8_t *bytes, unsigned count, enum insn_mode mode, struct insn *out);

#endif
