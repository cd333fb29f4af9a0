/*
 * Device registers by other instructions than MOV. The IOAPIC's index register is plain read-write memory to
 * these: it holds eight bits (82093AA, IOREGSEL); every access is 32 bits, as the chip demands.
 */
#include "tests/guest/io/local.h"
#include "tests/guest/lib/acpi.h"
#include "tests/guest/lib/cpu.h"
#include "tests/guest/lib/pci.h"
#include "tests/guest/lib/test.h"
#include "tests/guest/lib/text.h"
#include "tests/guest/lib/vm.h"

#define INDEX  ((volatile uint32_t *)IOAPIC_BASE)
#define WINDOW ((volatile uint32_t *)(IOAPIC_BASE + 0x10))
#define ID     0
#define PIN    23

uint32_t ioapic_read(unsigned reg)
{
	*INDEX = reg;
	return *WINDOW;
}

void ioapic_write(unsigned reg, uint32_t value)
{
	*INDEX = reg;
	*WINDOW = value;
}

void mmio_ioapic_registers(void)
{
	uint32_t version = ioapic_read(1), id = ioapic_read(ID);

	CHECK((version & 0xFF) == 0x11 || (version & 0xFF) == 0x20, "version %x", version);
	CHECK_EQ(version >> 16 & 0xFF, 23);
	ioapic_write(0x10 + 2 * PIN, 0x0001A777);
	CHECK_EQ(ioapic_read(0x10 + 2 * PIN), 0x0001A777);
	ioapic_write(0x11 + 2 * PIN, 0x5A000000);
	CHECK_EQ(ioapic_read(0x11 + 2 * PIN) & 0xFF000000, 0x5A000000);
	ioapic_write(0x10 + 2 * PIN, 0x10000);
	ioapic_write(ID, 0x0B000000);
	CHECK_EQ(ioapic_read(ID) & 0x0F000000, 0x0B000000);
	ioapic_write(ID, id);
}

void mmio_arithmetic(void)
{
	uint64_t flags;
	uint32_t low;

	*INDEX = 0x10;
	__asm__ volatile("addl $5, %0" : "+m"(*INDEX) : : "cc");
	CHECK_EQ(*INDEX, 0x15);
	__asm__ volatile("subl %1, %0" : "+m"(*INDEX) : "r"(3) : "cc");
	CHECK_EQ(*INDEX, 0x12);
	__asm__ volatile("orl $0x21, %0" : "+m"(*INDEX) : : "cc");
	CHECK_EQ(*INDEX, 0x33);
	__asm__ volatile("andl $0x1F, %0" : "+m"(*INDEX) : : "cc");
	CHECK_EQ(*INDEX, 0x13);
	__asm__ volatile("xorl $0x03, %0" : "+m"(*INDEX) : : "cc");
	CHECK_EQ(*INDEX, 0x10);
	__asm__ volatile("incl %0; incl %0; decl %0" : "+m"(*INDEX) : : "cc");
	CHECK_EQ(*INDEX, 0x11);
	__asm__ volatile("stc; adcl $1, %0" : "+m"(*INDEX) : : "cc");
	CHECK_EQ(*INDEX, 0x13);
	low = 0x100;
	__asm__ volatile("addl %1, %0" : "+r"(low) : "m"(*INDEX) : "cc");
	CHECK_EQ(low, 0x113);
	__asm__ volatile("cmpl $0x13, %1; pushfq; pop %0" : "=r"(flags) : "m"(*INDEX) : "cc");
	CHECK_EQ(flags & 0x8D5, 0x44); /* ZF, PF */
	__asm__ volatile("cmpl $0x14, %1; pushfq; pop %0" : "=r"(flags) : "m"(*INDEX) : "cc");
	CHECK_EQ(flags & 0x8D5, 0x95); /* CF, SF, AF, PF: 0x13 - 0x14 */
	__asm__ volatile("testl $0x20, %1; pushfq; pop %0" : "=r"(flags) : "m"(*INDEX) : "cc");
	CHECK_EQ(flags & 0x8C5, 0x44);
	__asm__ volatile("negl %0; notl %0" : "+m"(*INDEX) : : "cc");
	CHECK_EQ(*INDEX, 0x12); /* of eight bits: -0x13 = 0xED, ~0xED = 0x12 */
}

void mmio_exchange(void)
{
	uint32_t value = 0x24, expected, old;
	uint8_t equal;

	*INDEX = 0x11;
	__asm__ volatile("xchgl %1, %0" : "+m"(*INDEX), "+r"(value));
	CHECK_EQ(value, 0x11);
	CHECK_EQ(*INDEX, 0x24);
	value = 2;
	__asm__ volatile("lock xaddl %1, %0" : "+m"(*INDEX), "+r"(value) : : "cc");
	CHECK_EQ(value, 0x24);
	CHECK_EQ(*INDEX, 0x26);
	expected = 0x26;
	__asm__ volatile("lock cmpxchgl %3, %0; sete %2" : "+m"(*INDEX), "+a"(expected), "=q"(equal) : "r"(0x2A) : "cc");
	CHECK_EQ(equal, 1);
	CHECK_EQ(*INDEX, 0x2A);
	old = 0x99;
	__asm__ volatile("lock cmpxchgl %3, %0; sete %2" : "+m"(*INDEX), "+a"(old), "=q"(equal) : "r"(0x2B) : "cc");
	CHECK_EQ(equal, 0);
	CHECK_EQ(old, 0x2A);
	CHECK_EQ(*INDEX, 0x2A);
}

void mmio_stack(void)
{
	uint64_t ecam = acpi_ecam_base(), value, id = pci_read(0, 0, 0);

	if (!ecam || ecam >= 1ull << 32) {
		test_skip("no ECAM below 4 GiB");
		return;
	}
	__asm__ volatile("pushq (%1); popq %0" : "=r"(value) : "r"(ecam) : "memory");
	CHECK_EQ(value & 0xFFFFFFFF, id);
}

void mmio_string(void)
{
	static uint32_t words[4];
	uint32_t version = ioapic_read(1), eax = 0;
	const void *from = words;
	void *to = (void *)INDEX;
	uint64_t count;

	words[0] = 0x3C;
	__asm__ volatile("cld; movsl" : "+S"(from), "+D"(to) : : "memory");
	CHECK_EQ(*INDEX, 0x3C);
	CHECK_EQ((uint64_t)from, (uint64_t)words + 4);
	CHECK_EQ((uint64_t)to, IOAPIC_BASE + 4);
	*INDEX = 1;
	from = (const void *)WINDOW;
	to = words;
	__asm__ volatile("cld; movsl" : "+S"(from), "+D"(to) : : "memory");
	CHECK_EQ(words[0], version);
	from = (const void *)WINDOW;
	__asm__ volatile("cld; lodsl" : "+S"(from), "=a"(eax) : : "memory");
	CHECK_EQ(eax, version);
	CHECK_EQ((uint64_t)from, IOAPIC_BASE + 0x14);
	to = (void *)INDEX;
	__asm__ volatile("cld; stosl" : "+D"(to) : "a"(0x2D) : "memory");
	CHECK_EQ(*INDEX, 0x2D);
	words[0] = 0x31;
	words[1] = 0x32;
	from = words + 1;
	to = (void *)INDEX;
	count = 1;
	__asm__ volatile("std; rep movsl; cld" : "+S"(from), "+D"(to), "+c"(count) : : "memory", "cc");
	CHECK_EQ(count, 0);
	CHECK_EQ((uint64_t)to, IOAPIC_BASE - 4);
	CHECK_EQ((uint64_t)from, (uint64_t)words);
	CHECK_EQ(*INDEX, 0x32);
}

void mmio_bits(void)
{
	uint8_t carry;

	*INDEX = 0x10;
	__asm__ volatile("btsl $2, %0; setc %1" : "+m"(*INDEX), "=q"(carry) : : "cc");
	CHECK_EQ(carry, 0);
	CHECK_EQ(*INDEX, 0x14);
	__asm__ volatile("lock btrl $4, %0; setc %1" : "+m"(*INDEX), "=q"(carry) : : "cc");
	CHECK_EQ(carry, 1);
	CHECK_EQ(*INDEX, 0x04);
	__asm__ volatile("btl $2, %1; setc %0" : "=q"(carry) : "m"(*INDEX) : "cc");
	CHECK_EQ(carry, 1);
	__asm__ volatile("shll $2, %0" : "+m"(*INDEX) : : "cc");
	CHECK_EQ(*INDEX, 0x10);
}

void mmio_addressing(void)
{
	uint64_t base = IOAPIC_BASE - 0x1000, value;

	*INDEX = 1;
	__asm__ volatile("movl 0xFF0(%1,%2,2), %k0" : "=r"(value) : "r"(base), "r"(0x10ull) : "memory");
	CHECK_EQ(value, *WINDOW);
	__asm__ volatile("mov %1, %%r13; mov $4, %%r12d; movl 0x1000(%%r13,%%r12,4), %%r9d; mov %%r9, %0"
	                 : "=r"(value)
	                 : "r"(base)
	                 : "r9", "r12", "r13", "memory");
	CHECK_EQ(value, *WINDOW);
	__asm__ volatile("movslq (%1), %0" : "=r"(value) : "r"(WINDOW) : "memory");
	CHECK_EQ(value, (uint64_t)(int64_t)(int32_t)*WINDOW);
	__asm__ volatile("movl $0x17, (%0)" : : "r"(INDEX) : "memory");
	CHECK_EQ(*INDEX, 0x17);
	wrmsr(MSR_FS_BASE, IOAPIC_BASE);
	__asm__ volatile("movl $0x18, %%fs:0; movl %%fs:0, %k0" : "=r"(value) : : "memory");
	CHECK_EQ(value, 0x18);
	wrmsr(MSR_FS_BASE, 0);
}

void mmio_ecam_sizes(void)
{
	uint64_t base = acpi_ecam_base(), ax;
	uint32_t id = pci_read(0, 0, 0), class = pci_read(0, 0, 8);

	if (!base || base >= 1ull << 32) {
		test_skip("no ECAM below 4 GiB");
		return;
	}
	CHECK_EQ(*(volatile uint32_t *)base, id);
	for (unsigned i = 0; i < 4; i++)
		CHECK_EQ(*(volatile uint8_t *)(base + i), id >> (8 * i) & 0xFF);
	CHECK_EQ(*(volatile uint16_t *)(base + 2), id >> 16);
	CHECK_EQ(*(volatile uint32_t *)(base + 8), class);
	CHECK_EQ(*(volatile uint32_t *)(base + (31ull << 15 | 6 << 12)), 0xFFFFFFFF);
	ax = 0x1122334455667788;
	__asm__ volatile("movb (%1), %%al" : "+a"(ax) : "r"(base) : "memory");
	CHECK_EQ(ax, 0x1122334455667700 | (id & 0xFF));
	__asm__ volatile("movb 1(%1), %%ah" : "+a"(ax) : "b"(base) : "memory");
	CHECK_EQ(ax, 0x1122334455660000 | (id & 0xFFFF));
	__asm__ volatile("movzwl (%1), %k0" : "=r"(ax) : "r"(base + 2) : "memory");
	CHECK_EQ(ax, id >> 16);
	__asm__ volatile("movsbq 1(%1), %0" : "=r"(ax) : "r"(base) : "memory");
	CHECK_EQ(ax, (uint64_t)(int64_t)(int8_t)(id >> 8));
	CHECK_EQ(*(volatile uint64_t *)base & 0xFFFFFFFF, id);
	/* Unaligned, within a doubleword. */
	CHECK_EQ(*(volatile uint16_t *)(base + 1), id >> 8 & 0xFFFF);
}

/* A datum of which one half lies in a device page and the other in RAM. */
void mmio_page_crossing(void)
{
	uint64_t ecam = acpi_ecam_base();
	uint8_t *frame = guest_alloc_pages(1), *at;

	if (!ecam) {
		test_skip("no ECAM");
		return;
	}
	at = vm_map(0, (uint64_t)frame, PTE_P | PTE_W);
	(void)vm_map(0x1000, ecam, PTE_P | PTE_W | PTE_PCD);
	*(uint16_t *)(frame + 4094) = 0xBEEF;
	CHECK_EQ(*(volatile uint32_t *)(at + 4094), 0xBEEF | pci_read(0, 0, 0) << 16);
	*(volatile uint32_t *)(at + 4094) = 0x0000CAFE;
	CHECK_EQ(*(uint16_t *)(frame + 4094), 0xCAFE);
	CHECK_EQ(pci_read(0, 0, 0) & 0xFFFF, *(volatile uint16_t *)(at + 4096)); /* identity registers are read-only */
}

void mmio_nothing_there(void)
{
	volatile uint64_t *at = vm_map(0x2000, 0xFD000000, PTE_P | PTE_W | PTE_PCD);

	*at = 0x12345678;
	if (guest_is_bare_tcg()) {
		(void)*at; /* QEMU gives zeros */
		return;
	}
	CHECK_EQ(*at, ~0ull);
	CHECK_EQ(*(volatile uint32_t *)at, 0xFFFFFFFF);
	CHECK_EQ(*(volatile uint8_t *)at, 0xFF);
}
