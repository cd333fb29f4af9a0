/* The opcode tables behind insn_decode: what each supported opcode is. Constant data only. */
#ifndef DRIVERS_VM_LIB_INSN_TABLE_H
#define DRIVERS_VM_LIB_INSN_TABLE_H

#include <stdint.h>

/* Where an opcode's operands are. Destination first. */
enum insn_form {
	INSN_FORM_NONE = 0,
	INSN_FORM_RM_REG,
	INSN_FORM_REG_RM,
	INSN_FORM_RM, /* one operand */
	INSN_FORM_RM_IMM,
	INSN_FORM_RM_ONE, /* shifts by one */
	INSN_FORM_RM_CL,
	INSN_FORM_ACC_OFFSET, /* MOV with the address in the instruction */
	INSN_FORM_OFFSET_ACC,
	INSN_FORM_STRING,
	INSN_FORM_ACC_IMM, /* IN */
	INSN_FORM_IMM_ACC, /* OUT */
	INSN_FORM_ACC_DX,
	INSN_FORM_DX_ACC,
};

/* Flags of an opcode. */
#define INSN_TABLE_BYTE     0x01u /* operands of 1 byte */
#define INSN_TABLE_IMM8     0x02u /* 1-byte immediate, sign-extended; else full size, 4 bytes at most */
#define INSN_TABLE_STACK    0x04u /* operand size 64 by default in 64-bit code */
#define INSN_TABLE_SOURCE8  0x08u /* source of 1 byte */
#define INSN_TABLE_SOURCE16 0x10u /* source of 2 bytes */
#define INSN_TABLE_MOVSXD   0x20u /* source of 4 bytes at most; another instruction outside 64-bit code */
#define INSN_TABLE_MAX_32   0x40u /* operand size 4 at most (I/O) */
#define INSN_TABLE_MIN_32   0x80u /* operand size 4 at least */

/* Groups stand in the operation's place; ModRM.reg then chooses the operation. Above every enum
 * insn_operation. */
enum insn_group {
	INSN_GROUP_FIRST = 0x80,
	INSN_GROUP_1 = INSN_GROUP_FIRST, /* 80, 81, 83: arithmetic with an immediate */
	INSN_GROUP_1A,                   /* 8F: POP */
	INSN_GROUP_2,                    /* shifts */
	INSN_GROUP_3,                    /* F6, F7: TEST, NOT, NEG */
	INSN_GROUP_4,                    /* FE: INC, DEC */
	INSN_GROUP_5,                    /* FF: INC, DEC, PUSH */
	INSN_GROUP_8,                    /* 0F BA: bit tests */
	INSN_GROUP_11,                   /* C6, C7: MOV */
};

struct insn_table_entry {
	uint8_t operation; /* enum insn_operation or enum insn_group; 0: unsupported */
	uint8_t form;      /* enum insn_form */
	uint8_t flags;     /* INSN_TABLE_* */
};

/* Vector moves depend on the mandatory prefix. */
struct insn_vector_entry {
	uint8_t opcode; /* after 0F */
	uint8_t prefix; /* 0, 0x66 or 0xF3 */
	uint8_t form;
	uint8_t aligned;
};

extern const struct insn_table_entry insn_table_one_byte[256];
extern const struct insn_table_entry insn_table_0f[256];
extern const struct insn_vector_entry insn_table_vector[];
extern const unsigned insn_table_vector_count;

#endif
