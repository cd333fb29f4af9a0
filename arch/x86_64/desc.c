/* See desc.h. */
#include "arch/x86_64/desc.h"

#define GDT_CODE_64    0x00AF9B000000FFFFull
#define GDT_DATA       0x00CF93000000FFFFull
#define TSS_AVAILABLE  (0x89ull << 40)
#define GATE_INTERRUPT 0x8E00u /* present, DPL 0: interrupts stay off inside */
#define ISR_STUB_BYTES 8u

struct idt_gate {
	uint16_t offset_low, selector, attributes, offset_middle;
	uint32_t offset_high, reserved;
};

_Static_assert(sizeof(struct idt_gate) == 16, "64-bit gate");

extern const uint8_t isr_stubs[]; /* isr.asm */

sealed static struct idt_gate idt[256] __attribute__((aligned(4096)));

void desc_init_idt(void)
{
	for (unsigned i = 0; i < ARRAY_SIZE(idt); i++) {
		uint64_t offset = (uint64_t)isr_stubs + i * ISR_STUB_BYTES;

		idt[i] = (struct idt_gate){
			.offset_low = (uint16_t)offset,
			.selector = SELECTOR_CODE,
			.attributes = GATE_INTERRUPT,
			.offset_middle = (uint16_t)(offset >> 16),
			.offset_high = (uint32_t)(offset >> 32),
		};
	}
}

void desc_init_core(struct desc_tables *t)
{
	uint64_t tss = (uint64_t)&t->tss;
	struct desc_pointer gdtr = { sizeof(t->gdt) - 1, (uint64_t)t->gdt };
	struct desc_pointer idtr = { sizeof(idt) - 1, (uint64_t)idt };

	t->tss[DESC_TSS_WORDS - 1] = sizeof(t->tss) << 16; /* beyond the limit: there is none */
	t->gdt[SELECTOR_CODE / 8] = GDT_CODE_64;
	t->gdt[SELECTOR_DATA / 8] = GDT_DATA;
	t->gdt[SELECTOR_TSS / 8] = TSS_AVAILABLE | (tss & 0xFF000000) << 32 | (tss & 0xFFFFFF) << 16 | (sizeof(t->tss) - 1);
	t->gdt[SELECTOR_TSS / 8 + 1] = tss >> 32;
	__asm__ volatile("lgdt %0" ::"m"(gdtr) : "memory");
	/* The segment registers need no load: their descriptors are those of the boot GDT (entry.asm). */
	__asm__ volatile("lldt %w0" ::"r"(0) : "memory");
	__asm__ volatile("ltr %w0" ::"r"(SELECTOR_TSS) : "memory");
	__asm__ volatile("lidt %0" ::"m"(idtr) : "memory");
}
