/*
 * Instructions: those that must leave the guest, and those that must not but might.
 */
#include <hilum/abi.h>

#include "tests/guest/bench/bench.h"
#include "tests/guest/lib/cpu.h"
#include "tests/guest/lib/test.h"
#include "tests/guest/lib/text.h"
#include "tests/guest/lib/trap.h"

static uint64_t saved_cr0, saved_cr3, saved_cr4;

static void op_cpuid(void)
{
	uint32_t a = 0, b, c = 0, d;

	__asm__ volatile("cpuid" : "+a"(a), "=b"(b), "+c"(c), "=d"(d) : : "memory");
}

static bool cpu_is_intel(void)
{
	return cpuid(0, 0).ebx == 0x756E6547; /* "Genu" */
}

/* Of each host the call that does least: Linux's KVM_HC_VAPIC_POLL_IRQ, Xen's xen_version with XENVER_version (0) as its first argument. */
#define KVM_CALL 1
#define XEN_CALL 17

static bool use_vmcall;
static uint64_t hypercall_number;

static void op_hypercall(void)
{
	uint64_t rax = hypercall_number, argument = 0;

	if (use_vmcall)
		__asm__ volatile("vmcall" : "+a"(rax), "+D"(argument) : : "memory");
	else
		__asm__ volatile("vmmcall" : "+a"(rax), "+D"(argument) : : "memory");
}

static bool have_hypercall(void)
{
	use_vmcall = cpu_is_intel();
	hypercall_number = guest_is_hilum() ? HC_NOP : guest_is_xen() ? XEN_CALL : KVM_CALL;
	return guest_is_hilum() || guest_is_xen() || guest_is_kvm();
}

static void op_rdmsr(void)
{
	(void)rdmsr(MSR_APIC_BASE);
}

static void op_wrmsr_lstar(void)
{
	wrmsr(MSR_LSTAR, 0);
}

static void op_wrmsr_fs_base(void)
{
	wrmsr(MSR_FS_BASE, 0);
}

static void save_registers(void)
{
	saved_cr0 = read_cr0();
	saved_cr3 = read_cr3();
	saved_cr4 = read_cr4();
}

static void op_cr0_wp(void)
{
	uint64_t cr0 = saved_cr0;

	write_cr0(cr0 & ~CR0_WP);
	write_cr0(cr0);
}

static void op_cr0_ts(void)
{
	write_cr0(saved_cr0 | CR0_TS);
	__asm__ volatile("clts" : : : "memory");
}

static void op_cr4_pge(void)
{
	uint64_t cr4 = saved_cr4;

	write_cr4(cr4 ^ CR4_PGE);
	write_cr4(cr4);
}

static void op_cr3(void)
{
	write_cr3(saved_cr3);
}

static void op_cr8(void)
{
	write_cr8(0);
}

static void op_dr7(void)
{
	write_dr7(0x400);
}

static void op_invlpg(void)
{
	invlpg((void *)0x200000);
}

static void op_pause(void)
{
	cpu_relax();
}

static void op_rdtscp(void)
{
	__asm__ volatile("rdtscp" : : : "rax", "rcx", "rdx", "memory");
}

static bool have_rdtscp(void)
{
	return cpuid(0x80000001, 0).edx >> 27 & 1;
}

static void skip_ud2(struct trap_frame *f)
{
	f->rip += 2;
}

static void set_ud_handler(void)
{
	trap_set_handler(VEC_UD, skip_ud2);
}

static void op_ud2(void)
{
	__asm__ volatile("ud2" : : : "memory");
}

const struct bench_op bench_cpu_ops[] = {
	{ "cpuid_exit", op_cpuid, NULL, NULL },
	{ "hypercall_empty", op_hypercall, NULL, have_hypercall },
	{ "rdmsr_exit", op_rdmsr, NULL, NULL },
	{ "wrmsr_lstar", op_wrmsr_lstar, NULL, NULL },
	{ "wrmsr_fs_base", op_wrmsr_fs_base, NULL, NULL },
	{ "cr0_wp_toggle", op_cr0_wp, save_registers, NULL },
	{ "cr0_ts_toggle", op_cr0_ts, save_registers, NULL },
	{ "cr4_pge_toggle", op_cr4_pge, save_registers, NULL },
	{ "cr3_write", op_cr3, save_registers, NULL },
	{ "cr8_write", op_cr8, NULL, NULL },
	{ "dr7_write", op_dr7, NULL, NULL },
	{ "invlpg", op_invlpg, NULL, NULL },
	{ "pause", op_pause, NULL, NULL },
	{ "rdtscp", op_rdtscp, NULL, have_rdtscp },
	{ "exception_in_guest", op_ud2, set_ud_handler, NULL },
	{ NULL, NULL, NULL, NULL },
};

/* The first touch of a 4 KiB page, downwards from the end of RAM, which nothing has used. */
static uint64_t fresh_page;

static void prepare_fresh_page(void)
{
	if (!fresh_page)
		fresh_page = guest_ram_end & ~0xFFFull;
	fresh_page -= 4096;
}

static void op_touch(void)
{
	*(volatile uint8_t *)fresh_page;
}

const struct bench_op bench_fresh_page = { "npf", op_touch, prepare_fresh_page, NULL };
