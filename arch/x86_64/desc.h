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

struct desc_tss {
	uint32_t reserved0;
	uint64_t rsp[3];
	uint64_t reserved1;
	uint64_t ist[7];
	uint64_t reserved2;
	uint16_t reserved3;
	uint16_t iomap_base; /* beyond the limit: no I/O permission map */
} __attribute__((packed));

_Static_assert(sizeof(struct desc_tss) == 104, "64-bit TSS");
_Static_assert(__builtin_offsetof(struct desc_tss, iomap_base) == 102, "64-bit TSS");

struct desc_tables {
	uint64_t gdt[5];
	struct desc_tss tss;
};

struct desc_pointer {
	uint16_t limit;
	uint64_t base;
} __attribute__((packed));

_Static_assert(sizeof(struct desc_pointer) == 10, "pseudo-descriptor");

/* Fills `t` and loads GDTR, LDTR (none), TR and IDTR on this core. */
void desc_init_core(struct desc_tables *t);

/* Fills the IDT that all cores share; once, before the first desc_init_core. */
void desc_init_idt(void);

#endif
