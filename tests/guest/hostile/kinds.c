/*
 * Attempts on the CPU's own interfaces. What would only stop this guest (a triple fault, a page table that
 * unmaps its code) is left out or undone within a few instructions that need no memory but what is cached in
 * registers and the TLB.
 */
#include "tests/guest/hostile/local.h"
#include "tests/guest/lib/cpu.h"
#include "tests/guest/lib/test.h"
#include "tests/guest/lib/trap.h"
#include "tests/guest/lib/vm.h"

#include <hilum/abi.h>

#define DR7_GD (1u << 13)

static uint64_t hypercall_number(void)
{
	uint64_t r = hostile_random();

	switch (r & 3) {
	case 0:
		return hostile_value();
	case 1:
		return r >> 8 & 15; /* KVM's */
	default:
		return HILUM_CALL_BASE + (r >> 8) % (HC_CALL_END - HILUM_CALL_BASE + 8);
	}
}

void hostile_hypercall(void)
{
	uint64_t number = hypercall_number();
	register uint64_t r10 __asm__("r10") = hostile_value();
	register uint64_t r8 __asm__("r8") = hostile_value();
	register uint64_t r9 __asm__("r9") = hostile_value();
	uint64_t rdi = hostile_value(), rsi = hostile_value(), rdx = hostile_value(), rbx = hostile_value(), rcx = hostile_value();

	/* A guest that asks to wait for ever gets what it asked for. */
	if (number == HC_WAIT)
		rsi = rdtsc() + (rsi & 0xFFFF);
	if (hostile_random() & 7)
		__asm__ volatile("vmmcall"
		                 : "+a"(number), "+D"(rdi), "+S"(rsi), "+d"(rdx), "+r"(r10), "+r"(r8), "+r"(r9), "+b"(rbx), "+c"(rcx)
		                 :
		                 : "memory", "cc");
	else
		__asm__ volatile("vmcall"
		                 : "+a"(number), "+D"(rdi), "+S"(rsi), "+d"(rdx), "+r"(r10), "+r"(r8), "+r"(r9), "+b"(rbx), "+c"(rcx)
		                 :
		                 : "memory", "cc");
}

static uint32_t random_msr(void)
{
	static const uint32_t areas[] = { 0x0,        0x170,      0x200,      0x400,      0x480,      0x800,     0xDA0,
		                          0x4B564D00, 0xC0000080, 0xC0000100, 0xC0010000, 0xC0010100, 0x40000000 };
	uint64_t r = hostile_random();

	if (!(r & 7))
		return (uint32_t)(r >> 32);
	return areas[(r >> 8 & 0xFF) % (sizeof(areas) / sizeof(areas[0]))] + (uint32_t)(r >> 16 & 0xFF);
}

/* KVM's area of guest-chosen addresses that the hypervisor writes would overwrite this guest itself. */
static bool msr_is_suicide(uint32_t msr)
{
	return msr >= 0x4B564D00 && msr < 0x4B564E00;
}

void hostile_msr(void)
{
	uint32_t msr = random_msr();
	uint64_t value = hostile_value();

	if (hostile_random() & 1) {
		(void)rdmsr(msr);
		return;
	}
	if (msr_is_suicide(msr))
		value = (value & ~0x7FFFFFFull) | 0x4000000; /* above this guest's image, or beyond RAM */
	/* EFER and the segment bases hold until the attempt is over; IA32_APIC_BASE is put back. */
	wrmsr(msr, value);
}

void hostile_control(void)
{
	uint64_t value = hostile_value(), keep = hostile_random();

	/* On a bare TCG some of these stop the emulator itself. */
	if (guest_is_bare_tcg())
		return;
	switch (hostile_random() % 6) {
	case 0:
		write_cr0(read_cr0() ^ (value & ~(CR0_PE | CR0_PG)));
		break;
	case 1:
		write_cr4(read_cr4() ^ (value & ~CR4_PAE));
		break;
	case 2:
		write_cr8(value);
		break;
	case 3:
		/* An emulator that leaves GD set sends the first handler that reads DR6 into a triple fault. */
		write_dr7(test_flaw_known("debug_exits") ? value & ~DR7_GD : value);
		break;
	case 4:
		write_xcr((uint32_t)(keep & 1), value);
		break;
	default:
		write_cr3(read_cr3() | (value & 0xFFF0000000000000ull));
		break;
	}
}

/* A slot of the GDT gets random bits and is loaded. */
void hostile_descriptor(void)
{
	struct guest_cpu *cpu = guest_cpu_self();
	uint64_t saved = cpu->gdt[SEL_ABSENT_DATA / 8];
	uint32_t selector = SEL_ABSENT_DATA | (hostile_random() & 3);

	cpu->gdt[SEL_ABSENT_DATA / 8] = hostile_random() | (hostile_random() & 1 ? 1ull << 47 : 0);
	switch (hostile_random() % 5) {
	case 0:
		__asm__ volatile("mov %0, %%es" : : "r"(selector));
		break;
	case 1:
		__asm__ volatile("mov %0, %%fs; mov %1, %%fs" : : "r"(selector), "r"(0));
		break;
	case 2:
		__asm__ volatile("lldt %w0; lldt %w1" : : "r"(selector), "r"(0));
		break;
	case 3:
		__asm__ volatile("verr %w0; lsl %w0, %%eax; lar %w0, %%eax" : : "r"(selector) : "rax", "cc");
		break;
	default:
		__asm__ volatile("ltr %w0" : : "r"(selector));
		break;
	}
	cpu->gdt[SEL_ABSENT_DATA / 8] = saved;
}

/* Random entries at a random level of a region that nothing else uses; then it is touched. */
void hostile_page_table(void)
{
	uint64_t offset = 0x10000000, entry = hostile_random(), kind = hostile_random();
	volatile uint64_t *leaf;

	leaf = vm_entry(offset + (kind >> 16 & 0x1FF000));
	if (kind & 1)
		entry |= PTE_P;
	if (kind & 2)
		entry &= ~0x000FFF0000000000ull;
	if (kind & 4)
		entry = (entry & 0xFFF) | (hostile_value() & PTE_ADDRESS);
	*leaf = entry;
	invlpg((void *)(VM_BASE + offset + (kind >> 16 & 0x1FF000)));
	if (kind & 8)
		*(volatile uint64_t *)(VM_BASE + offset + (kind >> 16 & 0x1FF000));
	*leaf = 0;
	invlpg((void *)(VM_BASE + offset + (kind >> 16 & 0x1FF000)));
}

static uint8_t code_buffer[64];

/* System instructions with random operands; they fault, or change what is put right later. */
void hostile_instruction(void)
{
	static const uint8_t starts[][3] = {
		{ 0x0F, 0x01, 0xD8 }, /* vmrun */
		{ 0x0F, 0x01, 0xDA }, /* vmload */
		{ 0x0F, 0x01, 0xDB }, /* vmsave */
		{ 0x0F, 0x01, 0xDC }, /* stgi */
		{ 0x0F, 0x01, 0xDD }, /* clgi */
		{ 0x0F, 0x01, 0xDE }, /* skinit */
		{ 0x0F, 0x01, 0xDF }, /* invlpga */
		{ 0x0F, 0x01, 0xC2 }, /* vmlaunch */
		{ 0x0F, 0x01, 0xC3 }, /* vmresume */
		{ 0x0F, 0x01, 0xC4 }, /* vmxoff */
		{ 0x0F, 0x01, 0xC8 }, /* monitor */
		{ 0x0F, 0x01, 0xD0 }, /* xgetbv */
		{ 0x0F, 0x08, 0x90 }, /* invd */
		{ 0x0F, 0x09, 0x90 }, /* wbinvd */
		{ 0x0F, 0x33, 0x90 }, /* rdpmc */
		{ 0x0F, 0x37, 0x90 }, /* getsec */
		{ 0x0F, 0xAA, 0x90 }, /* rsm */
		{ 0x0F, 0x78, 0xC0 }, /* vmread */
	};
	const uint8_t *start = starts[hostile_random() % (sizeof(starts) / sizeof(starts[0]))];
	uint64_t rax = hostile_value(), rcx = hostile_value() & 0xFFFF, rdx = hostile_value();

	if (guest_is_bare_tcg() && start[1] == 0x01)
		return; /* there SVM is the guest's own: vmrun with a random address is its own end */
	for (unsigned i = 0; i < 3; i++)
		code_buffer[i] = start[i];
	code_buffer[3] = 0xC3;
	__asm__ volatile("call *%3" : "+a"(rax), "+c"(rcx), "+d"(rdx) : "r"(code_buffer) : "memory", "cc", "rbx", "rsi", "rdi");
}
