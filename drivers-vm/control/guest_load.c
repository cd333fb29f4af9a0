/* A guest's memory before its first instruction: boot image, ACPI tables, and vCPU 0's state. */
#include "drivers-vm/control/acpi_build.h"
#include "drivers-vm/control/guest.h"
#include "drivers-vm/control/loader.h"
#include <string.h>

struct hilum_vcpu_state guest_scratch_state;

static void *guest_ram(void *ctx, uint64_t gpa, size_t bytes)
{
	struct guest *g = ctx;

	if (!guest_map_is_ram(&g->map, gpa, bytes) && !(gpa >= PLATFORM_ACPI_BASE && gpa + bytes <= PLATFORM_ACPI_LIMIT))
		return NULL;
	return g->ram + (gpa < PLATFORM_HIGH_RAM_BASE ? gpa : gpa - PLATFORM_HIGH_RAM_BASE + g->map.low_bytes);
}

static void segment_in(struct hilum_segment *to, const struct load_segment *from)
{
	*to = (struct hilum_segment){ from->base, from->limit, from->selector, from->attributes };
}

static void state_of(const struct load_vcpu *v, struct hilum_vcpu_state *s)
{
	memset(s, 0, sizeof(*s));
	s->gpr[0] = v->rax;
	s->gpr[3] = v->rbx;
	s->gpr[4] = v->rsp;
	s->gpr[6] = v->rsi;
	s->gpr[7] = v->rdi;
	s->rip = v->rip;
	s->rflags = v->rflags;
	segment_in(&s->cs, &v->cs);
	segment_in(&s->ds, &v->data);
	s->es = s->fs = s->gs = s->ss = s->ds;
	segment_in(&s->tr, &v->tr);
	s->ldtr = (struct hilum_segment){ .attributes = 0x82 };
	s->gdtr_base = v->gdt_base;
	s->gdtr_limit = v->gdt_limit;
	s->cr0 = v->cr0;
	s->cr3 = v->cr3;
	s->cr4 = v->cr4;
	s->efer = v->efer;
	s->xcr0 = 1;
}

/*
 * What a real-mode jump to F000:FFF0 finds, where a PC has its firmware's start: the write to RESET_REG. Linux restarts so on
 * hardware-reduced ACPI without EFI.
 */
#define RESET_VECTOR_GPA 0xFFFF0ull
static const uint8_t reset_code[] = {
	0xBA,
	PLATFORM_RESET_PORT & 0xFF,
	PLATFORM_RESET_PORT >> 8, /* mov dx, RESET_REG */
	0xB0,
	PLATFORM_RESET_VALUE, /* mov al, RESET_VALUE */
	0xEE,                 /* out dx, al */
	0xF4,
	0xEB,
	0xFD, /* hlt; jmp to it */
};

static bool load_image(struct guest *g)
{
	const struct config_vm *c = g->config;
	const struct module *kernel = module_find(c->kernel);
	const struct module *initrd = c->initrd != NULL ? module_find(c->initrd) : NULL;
	struct load_result result;

	if (kernel == NULL || (c->initrd != NULL && initrd == NULL))
		return guest_fail(g, MANAGER_INVALID, kernel == NULL ? "kernel" : "initrd", "no boot module is named '%s'",
		                  kernel == NULL ? c->kernel : c->initrd);
	struct load_request request = {
		.kernel_name = kernel->name,
		.kernel = kernel->data,
		.kernel_bytes = kernel->bytes,
		.initrd_name = initrd != NULL ? initrd->name : NULL,
		.initrd = initrd != NULL ? initrd->data : NULL,
		.initrd_bytes = initrd != NULL ? initrd->bytes : 0,
		.cmdline = c->cmdline,
		.acpi_rsdp = ACPI_BUILD_RSDP_GPA,
		.map = &g->map,
		.ram = guest_ram,
		.ctx = g,
	};
	if (loader_load(&request, &result) != LOAD_OK)
		return guest_fail(g, MANAGER_INVALID, "kernel", "%s", result.message);
	const struct acpi_platform platform = {
		.vcpus = c->vcpus,
		.vcpus_max = c->vcpus_max,
		.watchdog = c->watchdog == CONFIG_WATCHDOG_WDAT,
		.serial = c->serial,
		.channel_base = c->channel_count != 0 ? guest_map_channel(&g->map, 0) : 0,
		.channel_bytes = c->channel_count * GUEST_MAP_CHANNEL_BYTES,
	};
	if (acpi_build_tables(&platform, guest_ram(g, PLATFORM_ACPI_BASE, ACPI_BUILD_BYTES_MAX), ACPI_BUILD_BYTES_MAX) == 0)
		return guest_fail(g, MANAGER_FAILED, "vcpus", "its ACPI tables do not fit");
	memcpy(guest_ram(g, RESET_VECTOR_GPA, sizeof(reset_code)), reset_code, sizeof(reset_code));
	state_of(&result.vcpu, &guest_scratch_state);
	service_log("vm %s: %s, %u vCPU%s, %lu MiB", c->name, loader_format_name(result.format), c->vcpus, c->vcpus == 1 ? "" : "s",
	            (unsigned long)(c->memory_bytes >> 20));
	return true;
}

bool guest_load(struct guest *g)
{
	if (!control_map_here(g->memory, g->config->memory_bytes, &g->ram))
		return guest_fail(g, MANAGER_NO_MEMORY, "memory", "mapping its memory: not enough memory");
	bool loaded = load_image(g);
	control_unmap_here(g->ram, g->config->memory_bytes);
	g->ram = NULL;
	return loaded;
}
