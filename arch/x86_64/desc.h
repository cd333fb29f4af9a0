/*
 * Descriptor tables. Each core has a GDT and TSS of its own (VMX wants a valid host TR); one IDT serves all.
 * No IST, no ring 3. SDM vol. 3A, 3.5 System Descriptor Types; 7.7 Task Management in 64-bit Mode.
 */
#ifndef ARCH_X86_64_DESC_H
#define ARCH_X86_64_DESC_H

#include "arch/x86_64/types.h"

#define SELECTOR_CODE 0x08u
#define SELECTOR_DATA 0x10u
#define SELECTOR_TSS  0x18u /* two slots */

#define DESC_TSS_WORDS 26u

struct desc_tables {
	uint64_t gdt[5];
	uint32_t tss[DESC_TSS_WORDS]; /* of it only the last word is not 0: in its upper half, where the I/O permission map would begin */
};

struct desc_pointer {
	uint16_t limit;
	uint64_t base;
} __attribute__((packed));

_Static_assert(sizeof(struct desc_pointer) == 10, "pseudo-descriptor");

/* Fills `t`, which is zeroed, and loads GDTR, LDTR (none), TR and IDTR on this core. */
void desc_init_core(struct desc_tables *t);

/* Fills the IDT that all cores share; once, before the first desc_init_core. */
void desc_init_idt(void);

#endif
