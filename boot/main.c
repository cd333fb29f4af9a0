/*
 * From the first C instruction to kernel_main on every core. Phases run strictly in order, each on what the
 * ones before it established; the layers above are called through boot/hooks.h.
 */
#include "boot/boot.h"
#include "boot/hooks.h"
#include "boot/memory_map.h"
#include "boot/multiboot2.h"
#include "arch/x86_64/features.h"
#include "arch/x86_64/ioapic.h"
#include "arch/x86_64/lapic.h"
#include "arch/x86_64/log.h"
#include "arch/x86_64/panic.h"
#include "arch/x86_64/speculation.h"
#include "arch/x86_64/string.h"
#include "arch/x86_64/tsc.h"

#define EARLY_BASE   0x100000000ull /* virtual: PDPT slot 4 of the first tables */
#define EARLY_PAGES  512u
#define PTE_LARGE_RW 0x83ull
#define HPET_BYTES   0x400u
#define LOW_BYTES    0x8000ull /* the BIOS's and the boot loader's low areas are left alone */

extern uint64_t boot_pd_early[EARLY_PAGES];                                                      /* entry.asm */
_Noreturn void boot_switch_stack(struct cpu *cpu, uint64_t stack_top, void (*fn)(struct cpu *)); /* ap_start.asm */
_Noreturn void boot_main(uint32_t magic, uint32_t mbi);

sealed struct cpu_arch boot_cpu; /* the boot core's until it gets its struct cpu */

sealed struct boot_info boot_info;
sealed struct acpi_info boot_acpi;

void *early_map(hpa_t hpa, uint64_t bytes)
{
	static uint32_t used;
	hpa_t first = ALIGN_DOWN(hpa, LARGE_PAGE_SIZE);
	uint64_t pages = (hpa + bytes - first + LARGE_PAGE_SIZE - 1) / LARGE_PAGE_SIZE, va;

	if (hpa + bytes < hpa || hpa + bytes > HPA_LIMIT)
		return NULL;
	if (hpa + bytes <= EARLY_BASE)
		return (void *)hpa;
	if (pages > EARLY_PAGES - used)
		return NULL;
	va = EARLY_BASE + used * LARGE_PAGE_SIZE;
	for (uint64_t i = 0; i < pages; i++)
		boot_pd_early[used++] = (first + i * LARGE_PAGE_SIZE) | PTE_LARGE_RW;
	return (void *)(va + (hpa - first));
}

const char *boot_option(const char *key)
{
	size_t n = strlen(key);

	for (const char *s = boot_info.cmdline; *s;) {
		if (!strncmp(s, key, n) && (s[n] == '=' || s[n] == ' ' || !s[n]))
			return s + n + (s[n] == '=');
		while (*s && *s != ' ')
			s++;
		while (*s == ' ')
			s++;
	}
	return NULL;
}

static void read_multiboot(uint32_t magic, uint32_t mbi)
{
	const void *p = (const void *)(uint64_t)mbi;
	uint32_t bytes = magic == MULTIBOOT2_LOADED ? multiboot2_size(p) : 0;
	const char *defect = bytes ? multiboot2_parse(p, bytes, &boot_info) : "its length is impossible";

	if (magic == MULTIBOOT2_LOADED && !defect)
		return;
	log_init_serial(NULL);
	if (magic != MULTIBOOT2_LOADED)
		boot_refuse("not loaded by a Multiboot2 boot loader (GRUB 2: use the multiboot2 command)");
	boot_refuse("the boot loader's Multiboot2 information is unusable: %s", defect);
}

static void claim_kernel(void)
{
	uint64_t bytes = kernel_virt_to_hpa(kernel_image_end) - LOG_BOX_HPA;

	if (memory_map_add(&boot_info, 0, LOW_BYTES, BOOT_RANGE_KERNEL) != STATUS_OK ||
	    memory_map_add(&boot_info, LOG_BOX_HPA, bytes, BOOT_RANGE_KERNEL) != STATUS_OK)
		boot_refuse("the memory map has more than %u ranges", BOOT_RANGES_MAX);
}

/* 0: there is none, and both maps give NULL for it. */
static uint64_t screen_bytes(void)
{
	return (uint64_t)boot_info.screen.height * boot_info.screen.pitch_bytes;
}

static void open_log(void)
{
	uint64_t box = sizeof(struct hilum_last_run);

	if (memory_map_find(&boot_info, box, PAGE_SIZE, LOG_BOX_HPA + box) == LOG_BOX_HPA)
		log_open_box((void *)(KERNEL_BASE + LOG_BOX_HPA));
	log_init_serial(boot_option("serial"));
	log_init_screen(&boot_info.screen, early_map(boot_info.screen.base, screen_bytes()));
}

static void complain(const char *name, const char *what)
{
	log_warn("ACPI table %s is skipped: %s", name, what);
}

static void read_acpi(void)
{
	const struct acpi_access access = { early_map, complain };

	if (!boot_info.has_rsdp)
		log_warn("the boot loader passes no ACPI root pointer: one core, no IOAPIC, no PCIe");
	else if (acpi_scan(boot_info.rsdp, sizeof(boot_info.rsdp), &access, &boot_acpi) != STATUS_OK)
		log_warn("no ACPI tables can be used: one core, no IOAPIC, no PCIe");
}

static void init_ioapics(void)
{
	ioapic_disable_8259();
	for (uint32_t i = 0; i < boot_acpi.ioapic_count; i++) {
		void *mmio = mm_map_mmio(boot_acpi.ioapics[i].base, PAGE_SIZE);

		if (!mmio || ioapic_add(mmio, boot_acpi.ioapics[i].gsi_base) != STATUS_OK)
			log_warn("IOAPIC %u at 0x%lx does not answer", boot_acpi.ioapics[i].id, boot_acpi.ioapics[i].base);
	}
}

static void init_time(void)
{
	void *lapic = NULL, *hpet = boot_acpi.hpet_base ? mm_map_mmio(boot_acpi.hpet_base, HPET_BYTES) : NULL;

	if (!cpu_features.x2apic) {
		lapic = mm_map_mmio(rdmsr(0x1B) & 0xFFFFFFFFFF000ull, PAGE_SIZE);
		if (!lapic)
			boot_refuse("the local APIC's registers cannot be mapped");
	}
	lapic_init(lapic);
	lapic_init_core();
	tsc_calibrate(&boot_acpi, hpet);
}

/* The boot core on its own stack, all tables final. */
static void boot_late(struct cpu *cpu)
{
	struct cpu_arch *arch = (struct cpu_arch *)cpu;

	core_init(arch);
	log_init_screen(&boot_info.screen, mm_map_mmio(boot_info.screen.base, screen_bytes()));
	init_ioapics();
	init_time();
	arch->apic_id = lapic_id();
	arch->online = true;
	smp_start();
	kernel_main(cpu);
}

void boot_main(uint32_t magic, uint32_t mbi)
{
	struct cpu_arch *arch;

	__stack_chk_guard = features_draw_guard(); /* this function never returns, so none that runs holds the old one */
	desc_init_idt();
	features_detect();
	read_multiboot(magic, mbi);
	open_log();
	log_info("Hilum for x86-64");
	core_init(&boot_cpu);
	speculation_init();
	claim_kernel();
	smp_prepare(&boot_info);
	read_acpi();
	mm_init(&boot_info);
	arch = core_create(0, 0);
	if (!arch)
		boot_refuse("no memory left for the boot core");
	boot_switch_stack((struct cpu *)arch, arch->stack_top, boot_late);
}
