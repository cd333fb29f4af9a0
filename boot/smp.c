/*
 * Starts application processors one by one: INIT to all, then SIPI to each, which must report before the next
 * one's turn, as the ap_start_* variables describe one core. SDM vol. 3A, 8.4 Multiple-Processor (MP)
 * Initialization.
 */
#include "boot/boot.h"
#include "boot/hooks.h"
#include "boot/memory_map.h"
#include "arch/x86_64/features.h"
#include "arch/x86_64/lapic.h"
#include "arch/x86_64/log.h"
#include "arch/x86_64/panic.h"
#include "arch/x86_64/string.h"
#include "arch/x86_64/tsc.h"

#define LOW_LIMIT     0xA0000ull
#define INIT_DELAY_US 10000u
#define XAPIC_ID_MAX  0xFEu

extern const uint8_t ap_trampoline[], ap_trampoline_end[]; /* ap_start.asm */

/* Read by ap_start.asm. */
sealed uint64_t ap_start_cr3, ap_start_stack_top;
sealed struct cpu *ap_start_cpu;

static hpa_t trampoline; /* 0: none */
static uint32_t cpu_count = 1;

void smp_prepare(struct boot_info *info)
{
	hpa_t page = memory_map_find(info, PAGE_SIZE, PAGE_SIZE, LOW_LIMIT);

	if (page == HPA_INVALID || memory_map_add(info, page, PAGE_SIZE, BOOT_RANGE_KERNEL) != STATUS_OK)
		return;
	memcpy(early_map(page, PAGE_SIZE), ap_trampoline, (size_t)(ap_trampoline_end - ap_trampoline));
	trampoline = page;
}

struct cpu_arch *core_create(cpu_id_t id, uint32_t apic_id)
{
	static struct cpu_arch *created[CPU_MAX];

	if (!created[id]) {
		created[id] = (struct cpu_arch *)cpu_create(id);
		if (!created[id] || mm_map_stack(id) != STATUS_OK)
			return NULL;
	}
	created[id]->id = id;
	created[id]->apic_id = apic_id;
	created[id]->stack_top = STACK_OF_CPU(id) + STACK_BYTES;
	*(struct cpu_arch **)STACK_OF_CPU(id) = created[id];
	return created[id];
}

void core_init(struct cpu_arch *arch)
{
	sealed static struct desc_tables tables[CPU_MAX];

	arch->desc = &tables[arch->id];
	desc_init_core(arch->desc);
	features_enable();
}

/* First C of an application processor, on its own stack and the final tables. */
_Noreturn void ap_main(struct cpu *cpu);
_Noreturn void ap_main(struct cpu *cpu)
{
	struct cpu_arch *arch = (struct cpu_arch *)cpu;

	core_init(arch);
	lapic_init_core();
	__atomic_store_n(&arch->online, true, __ATOMIC_RELEASE);
	kernel_main(cpu);
}

static bool wait_online(const struct cpu_arch *arch, uint64_t us)
{
	uint64_t end = rdtsc() + tsc_from_ns(us * 1000);

	while ((int64_t)(end - rdtsc()) > 0) {
		if (__atomic_load_n(&arch->online, __ATOMIC_ACQUIRE))
			return true;
		cpu_pause();
	}
	return false;
}

/* For each start-up IPI. The SDM's 200 microseconds before the second are too short for emulators, and 64 emulated cores on two real ones need seconds. */
static const uint32_t start_timeouts_us[] = { 20000, 10000000 };

static bool start_core(uint32_t apic_id)
{
	struct cpu_arch *arch = core_create(cpu_count, apic_id);

	if (!arch)
		boot_refuse("no memory left for core %u", cpu_count);
	ap_start_cr3 = cpu_read_cr3();
	ap_start_stack_top = arch->stack_top;
	ap_start_cpu = (struct cpu *)arch;
	for (unsigned try = 0; try < ARRAY_SIZE(start_timeouts_us); try++) {
		lapic_send(apic_id, LAPIC_STARTUP | (uint32_t)(trampoline >> PAGE_SHIFT));
		if (wait_online(arch, start_timeouts_us[try]))
			return true;
	}
	lapic_send(apic_id, LAPIC_INIT); /* whatever it is doing, it must not use these variables any more */
	log_warn("core with APIC id %u does not start", apic_id);
	return false;
}

static bool wanted(uint32_t apic_id)
{
	return apic_id != lapic_id() && (cpu_features.x2apic || apic_id <= XAPIC_ID_MAX);
}

void smp_start(void)
{
	const struct acpi_info *acpi = &boot_acpi;

	if (!trampoline) {
		log_warn("no free page below 640 KiB: only one core is used");
		return;
	}
	for (uint32_t i = 0; i < acpi->cpu_count; i++)
		if (wanted(acpi->apic_ids[i]))
			lapic_send(acpi->apic_ids[i], LAPIC_INIT);
	tsc_delay_us(INIT_DELAY_US);
	for (uint32_t i = 0; i < acpi->cpu_count && cpu_count < CPU_MAX; i++)
		if (wanted(acpi->apic_ids[i]) && start_core(acpi->apic_ids[i]))
			cpu_count++;
	if (acpi->cpus_over)
		log_warn("%u cores beyond %u stay asleep", acpi->cpus_over, CPU_MAX);
}
