/* See backend.h. */
#include "kernel/backend.h"
#include "arch/x86_64/features.h"
#include "arch/x86_64/log.h"
#include "arch/x86_64/string.h"
#include "arch/x86_64/speculation.h"
#include "kernel/exit.h"
#include "kernel/fetch.h"
#include "kernel/virt_ops.h"
#include "mm/pool.h"

sealed uint8_t *backend_msr_bitmap, *backend_io_bitmap;

enum status backend_make_bitmaps(void (*pass)(uint32_t msr))
{
	static const uint32_t passed[] = {
		0x174, 0x175, 0x176, 0xC0000081, 0xC0000082, 0xC0000083, 0xC0000084, 0xC0000100, 0xC0000101, 0xC0000102,
	};

	backend_msr_bitmap = pool_alloc_pages(1);
	backend_io_bitmap = pool_alloc_pages(2);
	if (backend_msr_bitmap == NULL || backend_io_bitmap == NULL)
		return STATUS_NO_MEMORY;
	memset(backend_msr_bitmap, 0xFF, 2 * PAGE_SIZE);
	memset(backend_io_bitmap, 0xFF, 3 * PAGE_SIZE);
	for (unsigned i = 0; i < ARRAY_SIZE(passed); i++)
		pass(passed[i]);
	return STATUS_OK;
}

void backend_open_fpu(void)
{
	if (cpu_features.xsave)
		__asm__ volatile("xsetbv" ::"c"(0), "a"((uint32_t)cpuid_xcr0_mask), "d"(0) : "memory");
}

void backend_release_fpu(struct cpu *cpu)
{
	struct vcpu *v = cpu->fpu;

	if (v == NULL)
		return;
	cpu->fpu = NULL;
	if (!cpu_features.xsave) {
		__asm__ volatile("fxsave64 (%0)" ::"r"(v->xsave) : "memory");
		return;
	}
	v->xcr0 = (uint32_t)xgetbv(0); /* no higher bit is in cpuid_xcr0_mask */
	backend_open_fpu();
	__asm__ volatile("xsave64 (%0)" ::"r"(v->xsave), "a"(0xFFFFFFFF), "d"(0xFFFFFFFF) : "memory");
}

static never_inline void take_fpu(struct vcpu *v)
{
	backend_release_fpu(v->cpu);
	v->cpu->fpu = v;
	if (!cpu_features.xsave) {
		__asm__ volatile("fxrstor64 (%0)" ::"r"(v->xsave) : "memory");
		return;
	}
	__asm__ volatile("xrstor64 (%0)" ::"r"(v->xsave), "a"(0xFFFFFFFF), "d"(0xFFFFFFFF) : "memory");
	enum status bad = xsetbv_safe(0, (uint32_t)v->xcr0);
	(void)bad; /* validated when it was set, or read back from the CPU */
}

void backend_load_vcpu(struct vcpu *v)
{
	if (v->cpu->fpu != v && v->has_fpu)
		take_fpu(v);
	if (cpu_features.rdtscp)
		wrmsr(MSR_TSC_AUX, (uint32_t)v->tsc_aux);
	if (unlikely(speculation_guest_bits != 0))
		speculation_set_control(v->spec_ctrl);
	fetch_forget(v);
}

void backend_load_debug(const struct vcpu *v)
{
	cpu_write_dr0(v->dr[0]);
	cpu_write_dr1(v->dr[1]);
	cpu_write_dr2(v->dr[2]);
	cpu_write_dr3(v->dr[3]);
}

void backend_unload_debug(struct vcpu *v)
{
	v->dr[0] = cpu_read_dr0();
	v->dr[1] = cpu_read_dr1();
	v->dr[2] = cpu_read_dr2();
	v->dr[3] = cpu_read_dr3();
}

void backend_log_vcpu(struct vcpu *v)
{
	uint64_t *g = v->gpr;
	struct hilum_vcpu_state *s = &cpu_self()->scratch.state;
	uint8_t b[INSN_MAX_BYTES];

	virt->get_state(v, s, HILUM_STATE_SEGMENTS | HILUM_STATE_CR);
	log_info("  rip %#lx rflags %#lx cs %#x ss %#x", v->rip, v->rflags, s->cs.selector, s->ss.selector);
	for (unsigned i = 0; i < 16; i += 4) /* RAX RCX RDX RBX, RSP RBP RSI RDI, R8 .. */
		log_info("  r%u.. %#lx %#lx %#lx %#lx", i, g[i], g[i + 1], g[i + 2], g[i + 3]);
	log_info("  cr0 %#lx cr2 %#lx cr3 %#lx cr4 %#lx efer %#lx", s->cr0, s->cr2, s->cr3, s->cr4, s->efer);
	log_info("  gdt %#lx/%#x idt %#lx/%#x", s->gdtr_base, s->gdtr_limit, s->idtr_base, s->idtr_limit);
	if (v->cpu == cpu_self() && fetch_instruction(v, b) >= 8)
		log_info("  code %02x %02x %02x %02x %02x %02x %02x %02x", b[0], b[1], b[2], b[3], b[4], b[5], b[6], b[7]);
}
