/* The fake machine's hardware: memory, cores, timers, interrupts, and what kernel/ calls in arch/, boot/ and mm/. */
#include "tests/unit/fake_kernel/machine.h"

#include <sys/mman.h>

#include "arch/x86_64/features.h"
#include "arch/x86_64/ioapic.h"
#include "arch/x86_64/log.h"
#include "arch/x86_64/speculation.h"
#include "arch/x86_64/lapic.h"
#include "arch/x86_64/trap.h"
#include "boot/boot.h"
#include "mm/frame.h"
#include "mm/host_pt.h"
#include "mm/window.h"

#define GIB            (1ull << 30)
#define RAM_BASE       (4 * MIB)
#define RAM_BYTES      (252 * MIB)
#define RAM_HIGH_BYTES (32 * MIB) /* from 1 GiB on */

uint8_t *fake_ram, *fake_frame_table;
uint8_t fake_image[FAKE_IMAGE_PAGES * PAGE_SIZE] __attribute__((aligned(4096)));
struct cpu *fake_self;
uint64_t fake_tsc, fake_msr_value, fake_xcr0, fake_port_value;
uint32_t fake_msr, fake_port;
uint64_t fake_cr[5], fake_dr[8];
void (*fake_wrmsr)(uint32_t msr, uint64_t value);
unsigned fake_kicks[CORES_MAX], fake_posts[CORES_MAX], fake_powered, fake_log_lines;
bool fake_kick_pending[CORES_MAX];
uint64_t fake_deadline[CORES_MAX];
char fake_log_last[256];
uint32_t fake_gsi_unmasked, fake_gsi_masked, fake_gsi_routed;
struct cpu_features cpu_features;
struct tsc_scale tsc_scale;
irq_handler_fn fake_irq[256];
struct log_ring log_ring;

const struct boot_info fake_boot_info = {
	.ranges = { { RAM_BASE, RAM_BYTES, BOOT_RANGE_FREE }, { GIB, RAM_HIGH_BYTES, BOOT_RANGE_FREE } },
	.range_count = 2,
};

static void *reserve(uint64_t bytes)
{
	uint8_t *p = mmap(NULL, bytes + GIB, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

	assert_true(p != MAP_FAILED);
	return p + (GIB - (uint64_t)p % GIB) % GIB;
}

void fake_machine_boot(void)
{
	if (fake_ram == NULL) {
		fake_ram = reserve(2 * GIB);
		fake_frame_table = reserve(2 * GIB / PAGE_SIZE * sizeof(struct frame));
		frame_note_ranges(&fake_boot_info);
		frame_init(&fake_boot_info);
	}
	tsc_scale = (struct tsc_scale){ .hz = TSC_HZ, .ns_mul = 1ull << 32, .tsc_mul = 1ull << 32 };
	cpu_features = (struct cpu_features){
		.vendor = CPU_VENDOR_AMD, .phys_bits = 40, .xsave = true, .rdtscp = true, .tsc_deadline = true
	};
	fake_tsc = 1000000;
	memset(fake_kicks, 0, sizeof(fake_kicks));
	memset(fake_kick_pending, 0, sizeof(fake_kick_pending));
	memset(fake_deadline, 0, sizeof(fake_deadline));
	fake_powered = fake_log_lines = 0;
	fake_log_last[0] = '\0';
	fake_gsi_unmasked = fake_gsi_masked = fake_gsi_routed = 0;
}

uint64_t fake_random(void)
{
	static uint64_t state = 0x9E3779B97F4A7C15ull;

	state ^= state << 13;
	state ^= state >> 7;
	state ^= state << 17;
	return state;
}

/* ---- Memory ---- */

void *window_map(cpu_id_t cpu, unsigned slot, hpa_t frame)
{
	assert_int_equal(cpu, fake_self->arch.id);
	assert_true(slot < WINDOW_SLOTS);
	assert_true(frame % PAGE_SIZE == 0 && (frame - RAM_BASE < RAM_BYTES || frame - GIB < RAM_HIGH_BYTES));
	return fake_ram + frame;
}

void window_clear(cpu_id_t cpu)
{
	assert_int_equal(cpu, fake_self->arch.id);
}

void window_zero_frames(hpa_t hpa, unsigned order)
{
	memset(fake_ram + hpa, 0, PAGE_SIZE << order);
}

void host_pt_map_block(uint64_t va, hpa_t hpa)
{
	(void)va;
	(void)hpa;
}

/* ---- Processor ---- */

struct cpuid_regs fake_cpuid(uint32_t leaf, uint32_t subleaf)
{
	(void)subleaf;
	switch (leaf) {
	case 0:
		return (struct cpuid_regs){ 0x20, 0x68747541, 0x444D4163, 0x69746E65 };
	case 0xD:
		return subleaf == 0 ? (struct cpuid_regs){ 7, 832, 832, 0 } : (struct cpuid_regs){ 0xF, 64, 0, 0 };
	case 0x80000000:
		return (struct cpuid_regs){ 0x80000020, 0, 0, 0 };
	default:
		return (struct cpuid_regs){ 0xFFFFFFFF, 0xFFFFFFFF, 0xFFFFFFFF, 0xFFFFFFFF };
	}
}

void timer_set_deadline_tsc(uint64_t tsc)
{
	fake_deadline[fake_self->arch.id] = tsc == TIMER_NEVER ? 0 : tsc;
}

void lapic_send(uint32_t apic_id, uint32_t command)
{
	assert_true(apic_id < cpu_count);
	if (command == LAPIC_FIXED + CPU_IRQ_POSTED) { /* the CPU's own affair */
		fake_posts[apic_id]++;
		return;
	}
	assert_int_equal(command, LAPIC_FIXED + CPU_IRQ_KICK);
	fake_kick_pending[apic_id] = true;
	fake_kicks[apic_id]++;
}

void irq_set_handler(unsigned vector, irq_handler_fn fn)
{
	assert_true(vector >= TRAP_IRQ_FIRST && vector <= TRAP_IRQ_LAST);
	fake_irq[vector] = fn;
}

enum status ioapic_route(uint32_t gsi, unsigned vector, uint32_t high)
{
	assert_true(vector >= CPU_IRQ_DEVICE_FIRST && vector <= CPU_IRQ_DEVICE_LAST && high >> 24 < cpu_count);
	if (gsi >= FAKE_GSIS)
		return STATUS_NOT_FOUND;
	fake_gsi_routed |= 1u << gsi;
	return STATUS_OK;
}

enum status ioapic_set_mask(uint32_t gsi, bool masked)
{
	if (gsi >= FAKE_GSIS)
		return STATUS_NOT_FOUND;
	if (masked)
		fake_gsi_masked |= 1u << gsi;
	else
		fake_gsi_unmasked |= 1u << gsi;
	return STATUS_OK;
}

void tsc_delay_us(uint64_t us)
{
	fake_tsc += us * (TSC_HZ / 1000000);
}

_Noreturn void machine_reset(void)
{
	fail_msg("the machine was reset");
	abort();
}

/* ---- Boot and log ---- */

static void log_line(const char *fmt, va_list args)
{
	vsnprintf(fake_log_last, sizeof(fake_log_last), fmt, args);
	fake_log_lines++;
	log_ring.write_seq++;
}

#define LOG_FUNCTION(name) \
	void name(const char *fmt, ...) \
	{ \
		va_list args; \
		va_start(args, fmt); \
		log_line(fmt, args); \
		va_end(args); \
	}
LOG_FUNCTION(log_info)
LOG_FUNCTION(log_error)

void log_serial_release(void)
{
}

uint16_t log_serial_port = 0x3F8;

void panic(const char *fmt, ...)
{
	va_list args;

	va_start(args, fmt);
	vfprintf(stderr, fmt, args);
	fputc('\n', stderr);
	abort();
}

void *early_map(hpa_t hpa, uint64_t bytes)
{
	(void)bytes;
	return fake_ram + hpa;
}

/* ---- The machine's health ---- */

struct hilum_host_health host_health;
struct hilum_last_run log_last_run;
uint64_t speculation_guest_bits, fake_spec_ctrl;
unsigned fake_vm_changes, fake_predictor_barriers;
enum machine_check fake_machine_check;
enum hilum_end fake_end;

void speculation_set_control(uint64_t guest)
{
	fake_spec_ctrl = guest;
}

void speculation_change_vm(bool predictors)
{
	fake_vm_changes++;
	fake_predictor_barriers += predictors;
}

enum machine_check machine_check_take(bool exception)
{
	return exception ? fake_machine_check : MACHINE_CHECK_CORRECTED;
}

void log_set_end(enum hilum_end end)
{
	fake_end = end;
}
