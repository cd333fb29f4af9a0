/* From boot into the main loop; the control VM's first moment. */
#include "kernel/start.h"
#include "arch/x86_64/log.h"
#include "arch/x86_64/panic.h"
#include "arch/x86_64/speculation.h"
#include "arch/x86_64/string.h"
#include "arch/x86_64/lapic.h"
#include "boot/boot.h"
#include "boot/hooks.h"
#include "kernel/backend.h"
#include "kernel/device.h"
#include "kernel/exit.h"
#include "kernel/host.h"
#include "kernel/sched.h"
#include "kernel/signature.h"
#include "kernel/virt_ops.h"
#include "mm/pool.h"
#include "mm/window.h"

#define SOURCE_WINDOW  9u  /* slot; vm_copy_out has 8 */
#define ENDS_ALONE_MAX 16u /* in a row, while the control VM is the only one: nobody loses anything by a machine that says so and stops */

sealed struct virt_ops *virt;
static uint32_t cores_ready;

/* What the control VM is made of, each time. */
static const struct boot_module *control_module;
static struct hilum_image_header control_header;
static struct hilum_boot_info *control_boot;

struct cpu *cpu_create(cpu_id_t id)
{
	_Static_assert(sizeof(struct cpu) <= PAGE_SIZE << 2, "four pool pages");
	struct cpu *cpu = pool_alloc_pages(2);

	if (cpu == NULL)
		return NULL;
	cpu_table[id] = cpu;
	cpu_count = id + 1;
	return cpu;
}

static void choose_backend(void)
{
	const char *why = "this CPU has no virtualization extension that Hilum knows";

	for (struct virt_ops *const *backend = kernel_backends_start; backend < kernel_backends_end; backend++) {
		if ((*backend)->probe(&why) == STATUS_OK) {
			virt = *backend;
			return;
		}
	}
	boot_refuse("%s", why);
}

/* Both the module and its place are page-aligned. */
static void copy_image(struct vm *vm, const struct boot_module *module, gpa_t to)
{
	for (uint64_t at = 0, n; at < module->bytes; at += n) {
		n = module->bytes - at < PAGE_SIZE ? module->bytes - at : PAGE_SIZE;
		if (vm_copy_out(vm, to + at, window_map(cpu_self()->arch.id, SOURCE_WINDOW, module->base + at), n) != STATUS_OK)
			panic("the control VM's fresh memory has a hole");
	}
}

static struct memory_object *object_of(struct memory *memory)
{
	struct memory_object *m = memory_object_create(memory, NULL);

	if (m == NULL)
		boot_refuse("no memory left to start the control VM");
	return m;
}

static struct memory_object *new_memory(uint64_t bytes)
{
	struct memory memory;

	if (memory_create(bytes, 0, FRAME_OWNER_KERNEL, &memory) != STATUS_OK)
		boot_refuse("the control VM needs %lu KiB of memory, and there is not so much left", bytes >> 10);
	return object_of(&memory);
}

const struct boot_module *start_find_module(const struct boot_module *from, const char *name)
{
	size_t n = strlen(name);

	for (const struct boot_module *m = from; m < boot_info.modules + boot_info.module_count; m++)
		if (strncmp(m->name, name, n) == 0 && (m->name[n] == ' ' || m->name[n] == '\0'))
			return m;
	return NULL;
}

static void read_header(const struct boot_module *module, struct hilum_image_header *h)
{
	const uint64_t limit = 1ull << 30;

	if (module->bytes < sizeof(*h))
		boot_refuse("boot module 'control' is no service image: it has %lu bytes only", module->bytes);
	memcpy(h, window_map(cpu_self()->arch.id, SOURCE_WINDOW, module->base), sizeof(*h));
	if (h->magic != HILUM_IMAGE_MAGIC)
		boot_refuse("boot module 'control' is no service image: use the control.bin that was built with this kernel");
	if (h->abi_version != HILUM_ABI_VERSION)
		boot_refuse("boot module 'control' speaks ABI version %u, this kernel %u: use the two of one build", h->abi_version,
		            HILUM_ABI_VERSION);
	if ((h->load_gpa | h->memory_bytes) & 0x1FFFFF || h->memory_bytes > limit || h->load_gpa >= h->memory_bytes ||
	    h->image_bytes != module->bytes || h->image_bytes > h->memory_bytes - h->load_gpa || h->entry >= h->memory_bytes)
		boot_refuse("boot module 'control' is damaged: its header contradicts itself");
}

static void map_at(struct vm *vm, struct memory_object *m, gpa_t gpa, uint32_t rights)
{
	if (vm_map(vm, m, gpa, 0, m->memory.bytes, rights, cpu_self()) != STATUS_OK)
		boot_refuse("no memory left to start the control VM");
}

/* The control VM's handles are numbered from 1 in the order in which they are given: HILUM_HANDLE_SELF and so on. */
static hilum_handle_t give(struct vm *vm, struct object *object, uint32_t rights)
{
	hilum_handle_t handle;

	if (handle_insert(&vm->handles, object, rights, &handle) != STATUS_OK)
		boot_refuse("no memory left to start the control VM");
	return handle;
}

/* Frames of the kernel's or the boot loader's, to be read. */
static hilum_handle_t give_frames(struct vm *vm, hpa_t hpa, uint64_t bytes)
{
	struct memory memory;

	if (memory_wrap_frames(hpa, bytes, false, &memory) != STATUS_OK)
		boot_refuse("no memory left to start the control VM");
	return give(vm, &object_of(&memory)->object, HILUM_RIGHT_READ | HILUM_RIGHT_MAP | HILUM_RIGHT_GRANT);
}

static void give_modules(struct vm *vm, const struct boot_info *info, struct hilum_boot_info *out)
{
	for (uint32_t i = 0; i < info->module_count && i < HILUM_BOOT_MODULES_MAX; i++) {
		const struct boot_module *module = &info->modules[i];
		struct hilum_boot_module *entry = &out->module[out->module_count];
		uint64_t bytes = ALIGN_UP(module->bytes, PAGE_SIZE);
		if (bytes == 0)
			continue;
		if (bytes != module->bytes) { /* what follows in the last page is not the module's */
			uint8_t *last = window_map(cpu_self()->arch.id, SOURCE_WINDOW, module->base + bytes - PAGE_SIZE);
			memset(last + (module->bytes & PAGE_MASK), 0, bytes - module->bytes);
		}
		out->module_count++;
		entry->bytes = module->bytes;
		string_copy(entry->name, sizeof(entry->name), module->name, sizeof(module->name));
		entry->memory = give_frames(vm, module->base, bytes);
	}
}

/* 32-bit protected mode, flat, paging off: SDM vol. 3A, 9.8. */
static void start_state(struct vcpu *v)
{
	struct hilum_vcpu_state *s = &cpu_self()->scratch.state;
	const struct hilum_segment data = { .limit = 0xFFFFFFFF, .selector = 0x10, .attributes = 0xC93 };

	memset(s, 0, sizeof(*s));
	vcpu_get_state(v, s, HILUM_STATE_SEGMENTS | HILUM_STATE_CR); /* that of a reset */
	s->gpr[0] = control_boot->restarts;
	s->rip = control_header.entry;
	s->rflags = 2;
	s->cr0 = 0x11;
	s->cs = (struct hilum_segment){ .limit = 0xFFFFFFFF, .selector = 0x08, .attributes = 0xC9B };
	s->ds = s->es = s->fs = s->gs = s->ss = data;
	if (vcpu_set_state(v, s, HILUM_STATE_GPR | HILUM_STATE_SEGMENTS | HILUM_STATE_CR) != STATUS_OK)
		panic("the control VM's first state is refused");
}

void control_vm_start(void)
{
	const struct boot_info *info = &boot_info;
	const struct acpi_info *acpi = &boot_acpi;
	const struct hilum_vm_config config = { .flags = HILUM_VM_REALTIME | HILUM_VM_NO_FPU, .name = "control" };
	struct hilum_boot_info *boot;
	struct memory_object *boot_page = memory_object_of_page((void **)&boot);
	struct vm *vm;
	struct vcpu *v;

	control_module = start_find_module(info->modules, "control");
	if (control_module == NULL)
		boot_refuse("no boot module is named 'control': add 'module2 /boot/control.bin control' to the boot loader's menu");
	read_header(control_module, &control_header);
	if (boot_page == NULL || vm_create(&config, NULL, &vm) != STATUS_OK || vcpu_create(vm, 0, 0, SCHED_WEIGHT_DEFAULT, &v) != STATUS_OK)
		boot_refuse("no memory left to start the control VM");
	map_at(vm, new_memory(control_header.memory_bytes), 0, HILUM_MAP_READ | HILUM_MAP_WRITE | HILUM_MAP_EXECUTE);
	copy_image(vm, control_module, control_header.load_gpa); /* image_bytes are all of it */
	map_at(vm, vm->shared_memory, HILUM_SERVICE_SHARED_GPA, HILUM_MAP_READ | HILUM_MAP_WRITE);
	map_at(vm, boot_page, HILUM_SERVICE_BOOT_INFO_GPA, HILUM_MAP_READ);
	give(vm, &vm->object, HILUM_RIGHT_ALL);
	give(vm, &host_object, HILUM_RIGHT_ALL);
	give_frames(vm, kernel_virt_to_hpa(&log_ring), sizeof(struct log_ring));
	boot->abi_version = HILUM_ABI_VERSION;
	boot->fadt = (struct hilum_boot_table){ acpi->fadt.base, acpi->fadt.bytes };
	boot->madt = (struct hilum_boot_table){ acpi->madt.base, acpi->madt.bytes };
	boot->mcfg = (struct hilum_boot_table){ acpi->mcfg.base, acpi->mcfg.bytes };
	give_modules(vm, info, boot);
	control_boot = boot;
	start_state(v);
	vcpu_run(v);
}

void control_vm_restart(struct vcpu *v)
{
	static uint32_t ends_alone;
	struct vm *vm = v->vm;

	ends_alone = vm_list == vm ? ends_alone + 1 : 0;
	if (ends_alone == ENDS_ALONE_MAX)
		boot_refuse("the control VM has ended %u times before it made a VM: boot module 'control' is damaged", ends_alone);
	control_boot->restarts++;
	control_boot->crash = vm->status.crash;
	log_warn("vm %s: it is restarted from its module, for the %u. time", vm->name, control_boot->restarts);
	copy_image(vm, control_module, control_header.load_gpa);
	v->deferred = 0;
	v->wait_timer.node.key = 0;
	vcpu_reset(v, true);
	v->state = VCPU_READY;
	start_state(v);
	vm->status.state = HILUM_VM_RUNNING;
	vcpu_run(v);
}

_Noreturn void kernel_main(struct cpu *cpu)
{
	if (cpu->arch.id == 0) {
		if (!cpu_table[cpu_count - 1]->arch.online)
			cpu_count--; /* the last one did not start, and no other took its place */
		choose_backend();
		cpu_init_interrupts();
		cpuid_init();
		if (virt->init() != STATUS_OK)
			boot_refuse("no memory left for the tables of %s", virt->name);
		device_init();
		if (signature_check != NULL)
			signature_check(); /* now that DMA is off, and no VM exists yet */
		mm_seal();
		__atomic_store_n(&cores_ready, 1, __ATOMIC_RELEASE);
	}
	while (__atomic_load_n(&cores_ready, __ATOMIC_ACQUIRE) == 0)
		cpu_pause();
	cpu_write_cr3(cpu_read_cr3()); /* no translation is left from before mm_seal */
	speculation_init_core();
	timer_init_core(CPU_IRQ_TIMER);
	cpu->virt_page = pool_alloc_page();
	cpu->asid_generation = 1;
	cpu->asid_next = 1;
	backend_open_fpu();
	if (cpu->virt_page == NULL || virt->enable_core(cpu) != STATUS_OK)
		boot_refuse("core %u cannot enter %s root mode, though others can: check the firmware's settings", cpu->arch.id,
		            virt->name);
	__atomic_add_fetch(&cores_ready, 1, __ATOMIC_ACQ_REL);
	if (cpu->arch.id == 0) {
		while (__atomic_load_n(&cores_ready, __ATOMIC_ACQUIRE) != cpu_count + 1)
			cpu_pause();
		log_info("%s root mode on %u core%s", virt->name, cpu_count, cpu_count == 1 ? "" : "s");
		control_vm_start();
	}
	cpu_loop(cpu);
}
