/* What both CPUs share: the common part of the backends, which in the real one is privileged instructions, and the FPU, which is the real one. */
#include "tests/unit/fake_cpus/cpus.h"

#include <cpuid.h>

#include "arch/x86_64/speculation.h"
#include "arch/x86_64/trap.h"

#define XSAVE_MASK 7u /* as the fake machine's CPUID has it */

struct fake_cpu fake_cpu;
struct virt_ops *virt;

static _Alignas(4096) uint8_t msr_bitmap[2 * PAGE_SIZE], io_bitmap[3 * PAGE_SIZE];
uint8_t *backend_msr_bitmap = msr_bitmap, *backend_io_bitmap = io_bitmap;
static struct desc_tables tables;

_Noreturn void fake_cpu_broken(const char *what)
{
	fprintf(stderr, "a promise is broken: %s\n", what);
	abort();
}

void fake_cpu_boot_core(void)
{
	cpu_table[0]->arch.desc = &tables;
	cpu_table[0]->asid_generation = 1;
	cpu_table[0]->asid_next = 1;
}

void fake_cpu_check_control(uint64_t cr0, uint64_t cr3, uint64_t cr4, uint64_t efer, bool long_mode)
{
	fake_cpu_want(!(cr0 >> 32), "CR0's upper half is 0");
	fake_cpu_want(!(cr0 & CR0_PG) || (cr0 & CR0_PE), "CR0.PG needs PE");
	fake_cpu_want(!(cr3 >> cpu_features.phys_bits), "CR3 has no more bits than there are addresses");
	fake_cpu_want(!(efer & ~(EFER_SCE | EFER_LME | EFER_LMA | EFER_NXE | EFER_SVME)), "EFER's reserved bits are 0");
	fake_cpu_want(!long_mode || (cr4 & CR4_PAE), "long mode needs CR4.PAE");
}

void fake_cpu_stop(struct vcpu *v)
{
	vcpu_request(v, VCPU_REQUEST_STOP);
}

/* ---- kernel/backend.c's ---- */

enum status backend_make_bitmaps(void (*pass)(uint32_t msr))
{
	(void)pass;
	return STATUS_NO_MEMORY;
}

void backend_release_fpu(struct cpu *cpu)
{
	fake_cpu_want(cpu->fpu == NULL, "no FPU is held");
}

static bool has_xsave(void)
{
	unsigned a, b, c, d;

	return __get_cpuid(1, &a, &b, &c, &d) && (c >> 27 & 1);
}

/* The CPU that this runs on says whether XRSTOR would take it: it ends the program where it does not. */
static __attribute__((noinline)) void try_fpu(const uint8_t *area)
{
	static _Alignas(64) uint8_t own[PAGE_SIZE];

	if (!has_xsave())
		return;
	__asm__ volatile("xsave64 (%0)\n\txrstor64 (%1)\n\txrstor64 (%0)" ::"r"(own), "r"(area), "a"(XSAVE_MASK), "d"(0) : "memory");
}

void backend_load_vcpu(struct vcpu *v)
{
	if (v->has_fpu)
		try_fpu(v->xsave);
	if (v->has_fpu && xsetbv_safe(0, v->xcr0) != STATUS_OK)
		fake_cpu_broken("XCR0 is a value that XSETBV takes");
	fake_cpu_want(v->tsc_aux <= UINT32_MAX, "TSC_AUX has 32 bits");
	fake_cpu_want(!(v->spec_ctrl & ~speculation_guest_bits), "SPEC_CTRL has bits of the guest's alone");
	fake_cpu_want(msr_pat_valid(v->pat), "PAT has memory types only");
	fetch_forget(v);
}

void backend_load_debug(const struct vcpu *v)
{
	memcpy(fake_dr, v->dr, sizeof(v->dr));
}

void backend_unload_debug(struct vcpu *v)
{
	memcpy(v->dr, fake_dr, sizeof(v->dr));
}

/* The registers of a VM that has crashed are read, at the least. */
void backend_log_vcpu(struct vcpu *v)
{
	virt->get_state(v, &cpu_self()->scratch.state, HILUM_STATE_SEGMENTS | HILUM_STATE_CR);
}

void irq_dispatch(unsigned vector)
{
	(void)vector;
}
