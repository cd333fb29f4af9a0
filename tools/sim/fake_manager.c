/*
 * VMs that are only states: what manager.h promises, without a machine. A guest reacts to its power button after a moment, unless its
 * command line has "ignore-button".
 */
#include "tools/sim/fake_manager.h"

#include "drivers-vm/control/events.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define REACTION_NS 300000000ull

static struct fake_vm vms[MANAGER_VMS_MAX];

struct fake_vm *fake_vm_at(unsigned index)
{
	for (unsigned i = 0; i < MANAGER_VMS_MAX; i++)
		if (vms[i].used && index-- == 0)
			return &vms[i];
	return NULL;
}

struct fake_vm *fake_vm_find(const char *name)
{
	for (unsigned i = 0; i < MANAGER_VMS_MAX; i++)
		if (vms[i].used && strcmp(vms[i].definition->config.name, name) == 0)
			return &vms[i];
	return NULL;
}

uint64_t fake_vm_run_ns(const struct fake_vm *vm)
{
	return vm->run_ns + (vm->run_since_ns == 0 ? 0 : sim_now_ns() - vm->run_since_ns);
}

bool fake_vm_has_figures(const struct fake_vm *vm)
{
	return vm->view.state == MANAGER_RUNNING || vm->view.state == MANAGER_PAUSED;
}

/* ---- Definitions ------------------------------------------------------------------------------------------------------------------- */

unsigned manager_count(void)
{
	unsigned count = 0;

	for (unsigned i = 0; i < MANAGER_VMS_MAX; i++)
		count += vms[i].used;
	return count;
}

bool manager_at(unsigned index, struct manager_vm *out)
{
	const struct fake_vm *vm = fake_vm_at(index);

	if (vm != NULL)
		*out = vm->view;
	return vm != NULL;
}

bool manager_find(const char *name, struct manager_vm *out)
{
	const struct fake_vm *vm = fake_vm_find(name);

	if (vm != NULL)
		*out = vm->view;
	return vm != NULL;
}

static void free_definition(struct manager_definition *definition)
{
	if (definition != NULL)
		free(definition->arena);
	free(definition);
}

static struct fake_vm *add_vm(struct manager_definition *definition)
{
	for (unsigned i = 0; i < MANAGER_VMS_MAX; i++) {
		if (vms[i].used || !fake_console_init(&vms[i].console))
			continue;
		vms[i] = (struct fake_vm){ .used = true, .definition = definition, .console = vms[i].console };
		vms[i].view = (struct manager_vm){ .config = &definition->config, .version = 1 };
		vms[i].view.vcpus = definition->config.vcpus;
		vms[i].view.autostart = definition->config.autostart == CONFIG_AUTOSTART_YES;
		return &vms[i];
	}
	return NULL;
}

enum manager_result manager_define(struct manager_definition *definition, bool *created, struct manager_error *error)
{
	struct fake_vm *vm = fake_vm_find(definition->config.name);

	(void)error;
	*created = vm == NULL;
	if (vm == NULL) {
		if (add_vm(definition) == NULL)
			return MANAGER_FULL;
		event_add("vm.defined", definition->config.name, "%s", "");
		return MANAGER_OK;
	}
	if (vm->definition != vm->running)
		free_definition(vm->definition);
	vm->definition = definition;
	vm->view.version++;
	vm->view.autostart = definition->config.autostart == CONFIG_AUTOSTART_YES;
	vm->view.change_pending = fake_vm_has_figures(vm);
	if (!vm->view.change_pending) {
		free_definition(vm->running);
		vm->running = NULL;
		vm->view.config = &definition->config;
		vm->view.vcpus = definition->config.vcpus;
	}
	event_add("vm.changed", definition->config.name, "%s", "");
	return MANAGER_OK;
}

const struct config_vm *manager_defined(const char *name)
{
	const struct fake_vm *vm = fake_vm_find(name);

	return vm != NULL ? &vm->definition->config : NULL;
}

static void take_schedule(struct config_vm *to, const struct config_vm *from)
{
	to->weight = from->weight;
	to->cpus = from->cpus;
	to->cap = from->cap;
	to->reservation = from->reservation;
	to->dedicated = from->dedicated;
}

/* The machine has four cores. */
enum manager_result manager_schedule(const char *name, const struct config_vm *now, const struct config_vm *next,
                                     struct manager_error *error)
{
	struct fake_vm *vm = fake_vm_find(name);

	if (vm == NULL)
		return MANAGER_NOT_FOUND;
	if (now->cpus != 0 && (now->cpus & 0xF) == 0) {
		snprintf(error->field, sizeof(error->field), "cpus");
		snprintf(error->detail, sizeof(error->detail), "none of these cores is there for it");
		return MANAGER_INVALID;
	}
	if (vm->running != NULL)
		take_schedule(&vm->running->config, now);
	if (vm->definition != vm->running)
		take_schedule(&vm->definition->config, next);
	vm->view.version++;
	vm->view.from_file = false;
	event_add("vm.changed", name, "its schedule");
	return MANAGER_OK;
}

enum manager_result manager_undefine(const char *name, struct manager_error *error)
{
	struct fake_vm *vm = fake_vm_find(name);

	if (vm == NULL)
		return MANAGER_NOT_FOUND;
	if (vm->view.state != MANAGER_SHUTOFF && vm->view.state != MANAGER_CRASHED) {
		snprintf(error->detail, sizeof(error->detail), "the VM is not shut off");
		return MANAGER_CONFLICT;
	}
	if (vm->running != vm->definition)
		free_definition(vm->running);
	free_definition(vm->definition);
	free(vm->console.ring);
	memset(vm, 0, sizeof(*vm));
	event_add("vm.undefined", name, "%s", "");
	return MANAGER_OK;
}

/* ---- Life -------------------------------------------------------------------------------------------------------------------------- */

static void stand_still(struct fake_vm *vm)
{
	vm->run_ns = fake_vm_run_ns(vm);
	vm->run_since_ns = 0;
}

static enum manager_result start(struct fake_vm *vm, struct manager_error *error)
{
	const struct config_vm *config = &vm->definition->config;
	const char *const image[] = { config->kernel, config->initrd };
	static const char *const field[] = { "kernel", "initrd" };

	for (unsigned i = 0; i < 2; i++) {
		if (image[i] == NULL || fake_image_exists(image[i]))
			continue;
		snprintf(error->field, sizeof(error->field), "%s", field[i]);
		snprintf(error->detail, sizeof(error->detail), "there is no image \"%.40s\"", image[i]);
		return MANAGER_INVALID;
	}
	if (vm->running != vm->definition)
		free_definition(vm->running);
	vm->running = vm->definition;
	vm->view.config = &vm->running->config;
	vm->memory_max = config->memory_max;
	vm->memory_min = config->memory_min;
	vm->view.vcpus = vm->running->config.vcpus;
	vm->view.state = MANAGER_RUNNING;
	vm->view.change_pending = false;
	vm->view.started_ns = sim_wall_ns();
	vm->view.starts++;
	vm->run_ns = 0;
	vm->run_since_ns = sim_now_ns();
	vm->button_ns = vm->plug_ns = 0;
	vm->again = false;
	fake_console_boot(&vm->console, config->name);
	event_add("vm.started", config->name, "%s", "");
	return MANAGER_OK;
}

static void stop(struct fake_vm *vm, enum manager_state state, const char *why)
{
	struct manager_error error = { 0 };
	bool again = vm->again;

	stand_still(vm);
	vm->view.state = state;
	vm->view.crashes += state == MANAGER_CRASHED;
	vm->view.config = &vm->definition->config;
	vm->view.vcpus = vm->definition->config.vcpus;
	vm->view.change_pending = false;
	vm->button_ns = vm->plug_ns = 0;
	snprintf(vm->view.last_exit, sizeof(vm->view.last_exit), "%s", why);
	fake_console_print(&vm->console, "\r\n");
	event_add(state == MANAGER_CRASHED ? "vm.crashed" : "vm.stopped", vm->definition->config.name, "%s", why);
	if (again)
		start(vm, &error);
}

static void press_button(struct fake_vm *vm, uint64_t timeout_ns)
{
	if (strstr(vm->running->config.cmdline, "ignore-button") == NULL)
		vm->button_ns = sim_now_ns() + REACTION_NS;
	if (timeout_ns != 0)
		vm->plug_ns = sim_now_ns() + timeout_ns;
}

static bool fits(const struct fake_vm *vm, enum manager_action action)
{
	enum manager_state state = vm->view.state;

	switch (action) {
	case MANAGER_BOOT:
		return state == MANAGER_SHUTOFF || state == MANAGER_CRASHED;
	case MANAGER_RESUME:
		return state == MANAGER_PAUSED;
	case MANAGER_DESTROY:
	case MANAGER_RESET:
		return state == MANAGER_RUNNING || state == MANAGER_PAUSED;
	default:
		return state == MANAGER_RUNNING;
	}
}

static enum manager_result do_action(struct fake_vm *vm, enum manager_action action, uint64_t timeout_ns, struct manager_error *error)
{
	switch (action) {
	case MANAGER_BOOT:
		return start(vm, error);
	case MANAGER_POWER_BUTTON:
		press_button(vm, 0);
		break;
	case MANAGER_REBOOT:
	case MANAGER_SHUTDOWN:
		vm->again = action == MANAGER_REBOOT;
		press_button(vm, timeout_ns);
		break;
	case MANAGER_DESTROY:
		vm->again = false;
		stop(vm, MANAGER_SHUTOFF, "destroyed");
		break;
	case MANAGER_RESET:
		vm->again = true;
		stop(vm, MANAGER_SHUTOFF, "reset");
		break;
	case MANAGER_PAUSE:
		stand_still(vm);
		vm->view.state = MANAGER_PAUSED;
		event_add("vm.paused", vm->view.config->name, "%s", "");
		break;
	case MANAGER_RESUME:
		vm->run_since_ns = sim_now_ns();
		vm->view.state = MANAGER_RUNNING;
		event_add("vm.resumed", vm->view.config->name, "%s", "");
		break;
	case MANAGER_NMI:
		fake_console_print(&vm->console, "\r\nUhhuh. NMI received for unknown reason 00 on CPU 0.\r\n");
		break;
	}
	return MANAGER_OK;
}

enum manager_result manager_act(const char *name, enum manager_action action, uint64_t timeout_ns, struct manager_error *error)
{
	static const char *const states[] = { "shut off", "running", "paused", "crashed", "waiting for the driver VM" };
	struct fake_vm *vm = fake_vm_find(name);

	if (vm == NULL)
		return MANAGER_NOT_FOUND;
	if (fits(vm, action))
		return do_action(vm, action, timeout_ns, error);
	snprintf(error->detail, sizeof(error->detail), "the VM is %s", states[vm->view.state]);
	return MANAGER_CONFLICT;
}

void fake_manager_poll(void)
{
	uint64_t now = sim_now_ns();

	for (unsigned i = 0; i < MANAGER_VMS_MAX; i++) {
		struct fake_vm *vm = &vms[i];

		if (!vm->used || vm->view.state != MANAGER_RUNNING)
			continue;
		if (vm->button_ns != 0 && now >= vm->button_ns)
			stop(vm, MANAGER_SHUTOFF, "powered off");
		else if (vm->plug_ns != 0 && now >= vm->plug_ns)
			stop(vm, MANAGER_SHUTOFF, "destroyed after the time-out");
	}
}

/* ---- Consoles ---------------------------------------------------------------------------------------------------------------------- */

size_t manager_console_read(const char *name, uint64_t *position, uint8_t *to, size_t size)
{
	const struct fake_vm *vm = fake_vm_find(name);

	return vm == NULL ? 0 : fake_console_read(&vm->console, position, to, size);
}

uint64_t manager_console_end(const char *name)
{
	const struct fake_vm *vm = fake_vm_find(name);

	return vm == NULL ? 0 : vm->console.written;
}

size_t manager_console_write(const char *name, const uint8_t *bytes, size_t count)
{
	struct fake_vm *vm = fake_vm_find(name);

	if (vm == NULL || vm->view.state != MANAGER_RUNNING)
		return count; /* nobody reads it */
	switch (fake_console_type(&vm->console, bytes, count)) {
	case FAKE_POWEROFF:
		stop(vm, MANAGER_SHUTOFF, "powered off");
		break;
	case FAKE_REBOOT:
		vm->again = true;
		stop(vm, MANAGER_SHUTOFF, "reset");
		break;
	case FAKE_CRASH:
		stop(vm, MANAGER_CRASHED, "triple fault");
		break;
	case FAKE_NOTHING:
		break;
	}
	return count;
}

/* ---- Start ------------------------------------------------------------------------------------------------------------------------- */

static void define_first(unsigned i)
{
	struct manager_definition *definition = calloc(1, sizeof(*definition));
	struct config_vm *config = &definition->config;

	*config = (struct config_vm){ .kernel = "vmlinuz",
		                      .initrd = "initrd",
		                      .cmdline = "console=ttyS0 quiet",
		                      .memory_bytes = 512ull << 20,
		                      .memory_max = 512ull << 20,
		                      .memory_min = 512ull << 20,
		                      .vcpus = 2,
		                      .vcpus_max = 2,
		                      .weight = 256,
		                      .prefault = true,
		                      .hugepages = true,
		                      .serial = true,
		                      .balloon_bytes = CONFIG_NO_BALLOON,
		                      .on_reboot = CONFIG_ACTION_RESTART,
		                      .disk_count = 1,
		                      .nic_count = 1 };
	snprintf(config->name, sizeof(config->name), i == 0 ? "linux" : i == 1 ? "spare" : "vm%u", i);
	config->disk[0] = (struct config_disk){ .module = "disk.img", .num_queues = 1 };
	config->nic[0] = (struct config_nic){
		.mac = { 2, 0x48, 0x4C, 0, 0, (uint8_t)i }, .bridge = "default", .mtu = 1500, .num_queues = 1, .offload = true
	};
	struct fake_vm *vm = add_vm(definition);

	if (vm == NULL)
		abort();
	vm->view.from_file = vm->view.autostart = true;
}

void fake_manager_start(unsigned count)
{
	struct manager_error error = { 0 };

	fake_images_start();
	for (unsigned i = 0; i < count && i < MANAGER_VMS_MAX; i++)
		define_first(i);
	if (count != 0)
		start(&vms[0], &error);
}
