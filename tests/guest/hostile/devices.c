/*
 * Attempts on devices: ports, string I/O, guest-physical addresses without RAM, the local APIC.
 */
#include "tests/guest/hostile/local.h"
#include "tests/guest/lib/cpu.h"
#include "tests/guest/lib/lapic.h"
#include "tests/guest/lib/test.h"
#include "tests/guest/lib/text.h"
#include "tests/guest/lib/vm.h"

static uint8_t buffer[4096] __attribute__((aligned(4096)));

/* Ports that would end or reset the guest, or take away its console, are what it would do to itself. */
static bool port_is_own_end(uint16_t first, unsigned bytes)
{
	static const struct {
		uint16_t first, last;
	} ends[] = { { 0x64, 0x64 },   { 0x92, 0x92 },     { 0xF4, 0xF7 }, { 0x3F8, 0x3FF }, { 0x600, 0x604 },
		     { 0xCF9, 0xCF9 }, { 0x8900, 0x8900 }, { 0xB2, 0xB3 }, { 0x402, 0x402 }, { 0x510, 0x51B } };

	for (unsigned i = 0; i < sizeof(ends) / sizeof(ends[0]); i++)
		if (first <= ends[i].last && first + bytes > ends[i].first)
			return true;
	return false;
}

static uint16_t random_port(void)
{
	static const uint16_t areas[] = { 0x20, 0x40, 0x60, 0x70, 0xA0, 0x2E8, 0x3E8, 0x4D0, 0xCF8, 0xC000, 0xC040, 0xFFF0, 0x608 };
	uint64_t r = hostile_random();

	if (!(r & 3))
		return (uint16_t)(r >> 16);
	return (uint16_t)(areas[(r >> 8 & 0xFF) % (sizeof(areas) / sizeof(areas[0]))] + (r >> 16 & 0x1F));
}

void hostile_port(void)
{
	uint16_t port = random_port();
	uint32_t value = (uint32_t)hostile_value();
	unsigned kind = hostile_random() % 6;

	/* QEMU itself aborts on wide reads of its UART. */
	if ((kind >= 3 || guest_is_bare_tcg()) && port_is_own_end(port, 4))
		return;
	if (kind == 0)
		(void)inb(port);
	else if (kind == 1)
		(void)inw(port);
	else if (kind == 2)
		(void)inl(port);
	else if (kind == 3)
		outb(port, (uint8_t)value);
	else if (kind == 4)
		outw(port, (uint16_t)value);
	else
		outl(port, value);
}

/* INS and OUTS with counts, directions, and buffers that cross into nothing. */
void hostile_string_port(void)
{
	uint16_t port = random_port();
	uint64_t r = hostile_random(), count = r >> 8 & 0x7F;
	void *where = buffer + (r >> 16 & 0xF00);

	if (port_is_own_end(port, 4))
		return;
	if (r & 1)
		where = (void *)hostile_value();
	/* A wild address may hit this guest's own image or tables: read from there at most. */
	if (r & 2 && (uint64_t)where >= (uint64_t)buffer && (uint64_t)where < (uint64_t)buffer + sizeof(buffer))
		__asm__ volatile("cld; rep insw" : "+D"(where), "+c"(count) : "d"(port) : "memory");
	else if (r & 4)
		__asm__ volatile("std; rep outsb; cld" : "+S"(where), "+c"(count) : "d"(port) : "memory", "cc");
	else
		__asm__ volatile("cld; rep outsl" : "+S"(where), "+c"(count) : "d"(port) : "memory");
}

#define IOAPIC_BASE 0xFEC00000ull
#define IOAPIC_PINS 24
#define MSI_LIMIT   0xFEF00000ull

/* Guest-physical addresses: devices, holes, beyond RAM, beyond what the CPU can address. */
static uint64_t random_gpa(void)
{
	static const uint64_t areas[] = { 0xA0000,     IOAPIC_BASE, 0xFED00000,   LAPIC_BASE,   0xE0000000,   0xD0000000,  0xFFFF0000,
		                          0x100000000, 0x200000000, 0xFD00000000, 0x3FFFFFF000, 0x7FFFFFF000, 0xFFFFFFF000 };
	uint64_t r = hostile_random(), gpa;

	if (!(r & 3))
		return (hostile_random() & 0xFFFFFFF000ull) | guest_ram_end;
	gpa = areas[(r >> 8 & 0xFF) % (sizeof(areas) / sizeof(areas[0]))] + (r >> 16 & 0xF000);
	/* QEMU's bare CPU can send itself any MSI by storing here, an INIT too. */
	if (guest_is_bare_tcg() && gpa > LAPIC_BASE && gpa < MSI_LIMIT)
		gpa = LAPIC_BASE;
	return gpa;
}

/* A pin left open with INIT for its mode would end this guest at the next tick. */
static void mask_ioapic(void)
{
	for (uint32_t pin = 0; pin < IOAPIC_PINS; pin++) {
		*(volatile uint32_t *)IOAPIC_BASE = 0x10 + 2 * pin;
		*(volatile uint32_t *)(IOAPIC_BASE + 0x10) = 1u << 16;
	}
}

/* Accesses as compilers make them. */
static void mmio_plain(volatile uint8_t *at, unsigned kind, uint64_t value)
{
	switch (kind) {
	case 0:
		(void)*at;
		break;
	case 1:
		(void)*(volatile uint64_t *)at;
		break;
	case 2:
		*at = (uint8_t)value;
		break;
	case 3:
		*(volatile uint64_t *)at = value;
		break;
	default:
		*(volatile uint32_t *)((uint64_t)at & ~3ull) = (uint32_t)value;
		break;
	}
}

static void mmio_string(volatile uint8_t *at, bool store, uint64_t value)
{
	uint64_t count = value & 15;
	void *to = buffer;

	if (store)
		__asm__ volatile("cld; rep stosl" : "+D"(at), "+c"(count) : "a"((uint32_t)value) : "memory");
	else
		__asm__ volatile("cld; rep movsb" : "+S"(at), "+D"(to), "+c"(count) : : "memory");
}

/* Accesses as nobody makes them. */
static void mmio_odd(volatile uint8_t *at, unsigned kind, uint64_t value)
{
	uint32_t word = (uint32_t)value;

	switch (kind) {
	case 0:
		__asm__ volatile("lock addl %1, (%0)" : : "r"(at), "r"(word) : "memory", "cc");
		break;
	case 1:
		__asm__ volatile("xchgl %1, (%0)" : : "r"(at), "r"(word) : "memory");
		break;
	case 2:
		__asm__ volatile("lock cmpxchg8b (%0)" : : "r"(at), "a"(0), "b"(1), "c"(2), "d"(3) : "memory", "cc");
		break;
	case 3:
		__asm__ volatile("fxsave (%0)" : : "r"(at) : "memory");
		break;
	case 4:
		__asm__ volatile("push (%0); pop %%rax" : : "r"(at) : "rax", "memory");
		break;
	case 5:
		__asm__ volatile("lgdt (%0)" : : "r"(at) : "memory");
		break;
	case 6:
		__asm__ volatile("btsl %1, (%0)" : : "r"(at), "r"(word & 0x1F) : "memory", "cc");
		break;
	case 7:
		__asm__ volatile("movdqu (%0), %%xmm0" : : "r"(at) : "memory");
		break;
	case 8:
		/* Beyond everything, lest firmware runs. Zeros are ADD to where RAX points: nowhere. */
		at = (volatile uint8_t *)vm_map(0x20000000, 0xFD00000000, PTE_P) + (value & 0xFFF);
		__asm__ volatile("jmp *%0" : : "r"(at), "a"(1ull << 63) : "memory");
		break;
	default:
		mmio_string(at, kind & 1, value);
		break;
	}
}

void hostile_mmio(void)
{
	static uint64_t gpa, next;
	uint64_t r = hostile_random(), value = hostile_value();
	volatile uint8_t *at;

	if (gpa == IOAPIC_BASE || next == IOAPIC_BASE) /* the attempt before */
		mask_ioapic();
	gpa = random_gpa();
	next = random_gpa();
	at = vm_map(0x20000000, gpa, PTE_P | PTE_W | PTE_PCD);
	(void)vm_map(0x20001000, next, PTE_P | PTE_W | PTE_PCD);
	at += r >> 8 & (r & 0x80 ? 0xFFF : 0xFFC);
	/* An INIT for itself would end it: below the ICR, and not at 0, where QEMU takes writes for MSIs. */
	if (gpa == LAPIC_BASE)
		at = (volatile uint8_t *)(((uint64_t)at & ~0xE00ull) | 0x20);
	if (r & 1)
		mmio_plain(at, r >> 1 & 7, value);
	else
		mmio_odd(at, (r >> 1 & 15) % 12, value);
}

/* Register writes of every kind but those that end in this guest's own INIT or a stray NMI storm. */
void hostile_lapic(void)
{
	uint32_t value = (uint32_t)hostile_value(), reg = (uint32_t)(hostile_random() & 0xFF0);

	if (!reg) /* there QEMU takes writes for MSIs of any kind */
		reg = LAPIC_ID;
	if (reg == LAPIC_ICR_LOW) /* fixed or lowest priority only, and masked by interrupts off */
		value &= 0x000C08FF | LAPIC_ICR_LOWEST;
	/* Fixed delivery only: QEMU's timer would deliver even an SMI. */
	if (reg >= LAPIC_LVT_TIMER && reg <= LAPIC_LVT_ERROR)
		value &= ~0x700u;
	if (hostile_random() & 1)
		(void)*(volatile uint32_t *)(LAPIC_BASE + reg);
	else
		*(volatile uint32_t *)(LAPIC_BASE + reg) = value;
}
