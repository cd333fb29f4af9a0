/*
 * Parts of the paging guest, and the interface to modes.asm.
 */
#ifndef TESTS_GUEST_PAGING_LOCAL_H
#define TESTS_GUEST_PAGING_LOCAL_H

#include <assert.h>
#include <stddef.h>
#include <stdint.h>

/* long_mode.c */
void paging_page_sizes(void);
void paging_accessed_dirty(void);
void paging_large_accessed_dirty(void);
void paging_smep(void);
void paging_smap(void);
void paging_invlpg(void);
void paging_cr3_flush(void);
void paging_global_flush(void);
void paging_pcid(void);
void paging_write_protect(void);
void paging_cr3_switch(void);

/* legacy.c */
void modes_protected_flat(void);
void modes_protected_exceptions(void);
void modes_paging_32(void);
void modes_paging_32_large(void);
void modes_paging_pae(void);
void modes_pae_pdptes(void);
void modes_real(void);
void modes_real_interrupt(void);
void modes_switching(void);

/* One call into another mode. Everything lies below 4 GiB. */
struct mode_request {
	uint32_t entry; /* 32-bit code: mode_ops32 or mode_real */
	uint32_t cr0, cr3, cr4, efer;
	uint32_t ops; /* struct mode_op[] */
	uint16_t idt_limit;
	uint32_t idt_base;
	uint16_t pad;
} __attribute__((packed));
static_assert(offsetof(struct mode_request, idt_limit) == 24, "modes.asm");

enum mode_op_kind {
	OP_END,
	OP_READ,   /* value = doubleword at address */
	OP_WRITE,  /* doubleword at address = value */
	OP_INVLPG, /* address */
	OP_CR3,    /* CR3 = address */
	OP_CPUID,  /* value = EBX of leaf address */
	OP_PORT,   /* value to byte port address, then value = what it reads */
	OP_CALL,   /* value = EAX returned by the code at address */
	OP_DIVIDE, /* value = address / value */
	OP_COPY,   /* 16 bytes from address to value */
};

struct mode_op {
	uint32_t kind, address, value;
};
static_assert(sizeof(struct mode_op) == 12, "modes.asm");

/* What an operation's value becomes when it raises an exception; its address is CR2 then. */
#define OP_EXCEPTION(vector, error) (0xEE000000u | (uint32_t)(vector) << 16 | (error))

struct real_results {
	uint32_t done, cpuid_ebx, lapic_version, ioapic_version;
	uint16_t int60, int61, faults, port, ins_di, msw;
	uint8_t ins[4], outs, pad[3];
};
static_assert(sizeof(struct real_results) == 36, "modes.asm, results");

#define REAL_BASE 0x7000u
#define REAL_DONE 0x600D600Du

void mode_call(const struct mode_request *request);
void mode_ops32(void);
void mode_real(void);
extern const uint8_t mode_trap_stubs32[32][16], real_code[], real_code_end[];

#endif
