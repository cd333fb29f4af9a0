/* A core file of a VM that has none: the first bytes of one, for whoever only passes it on; and the mark for autostart. */
#include "tools/sim/fake_manager.h"

#include <stdio.h>
#include <string.h>

#define CORE_BYTES 20000u

static struct {
	bool used;
	size_t offset;
	char name[CONFIG_NAME_BYTES];
} session;

int manager_core_open(const char *name, uint64_t *bytes, struct manager_error *error)
{
	const struct fake_vm *vm = fake_vm_find(name);

	if (vm == NULL)
		return -(int)MANAGER_NOT_FOUND;
	if (vm->view.state != MANAGER_PAUSED || session.used) {
		snprintf(error->detail, sizeof(error->detail), "no core file is kept, and it is neither paused nor kept for a look");
		return -(int)MANAGER_CONFLICT;
	}
	session.used = true;
	session.offset = 0;
	snprintf(session.name, sizeof(session.name), "%s", name);
	*bytes = CORE_BYTES;
	return 0;
}

size_t manager_core_read(int number, uint8_t *to, size_t size, bool *failed)
{
	static const uint8_t head[] = { 0x7F, 'E', 'L', 'F', 2, 1, 1 };
	const struct fake_vm *vm = fake_vm_find(session.name);
	size_t left = CORE_BYTES - session.offset, count = left < size ? left : size;

	(void)number;
	*failed = vm == NULL || vm->view.state != MANAGER_PAUSED;
	if (*failed)
		return 0;
	memset(to, 0, count);
	if (session.offset == 0)
		memcpy(to, head, sizeof(head));
	session.offset += count;
	return count;
}

void manager_core_close(int number, bool fetched)
{
	(void)number, (void)fetched;
	session.used = false;
}

enum manager_result manager_set_autostart(const char *name, bool enabled, const struct config_vm **config)
{
	struct fake_vm *vm = fake_vm_find(name);

	if (vm == NULL)
		return MANAGER_NOT_FOUND;
	vm->definition->config.autostart = enabled ? CONFIG_AUTOSTART_YES : CONFIG_AUTOSTART_NO;
	vm->view.autostart = enabled;
	vm->view.version++;
	*config = &vm->definition->config;
	return MANAGER_OK;
}

enum manager_result manager_set_memory(const char *name, uint64_t bytes, struct manager_error *error)
{
	struct fake_vm *vm = fake_vm_find(name);

	if (vm == NULL)
		return MANAGER_NOT_FOUND;
	if (!fake_vm_has_figures(vm) || vm->running->config.balloon_bytes == CONFIG_NO_BALLOON) {
		snprintf(error->detail, sizeof(error->detail), "its definition has no balloon, or it does not run");
		return MANAGER_CONFLICT;
	}
	if (bytes == 0 || bytes > vm->running->config.memory_bytes || bytes % 4096 != 0) {
		snprintf(error->field, sizeof(error->field), "bytes");
		snprintf(error->detail, sizeof(error->detail), "must be a multiple of 4 KiB up to its memory");
		return MANAGER_INVALID;
	}
	vm->running->config.balloon_bytes = vm->running->config.memory_bytes - bytes;
	return MANAGER_OK;
}

enum manager_result manager_set_vcpus(const char *name, unsigned count, struct manager_error *error)
{
	struct fake_vm *vm = fake_vm_find(name);

	if (vm == NULL)
		return MANAGER_NOT_FOUND;
	if (!fake_vm_has_figures(vm) || vm->running->config.vcpus_max <= vm->running->config.vcpus) {
		snprintf(error->detail, sizeof(error->detail), "its definition has no vcpus_max beyond its vcpus, or it does not run");
		return MANAGER_CONFLICT;
	}
	if (count < 1 || count > vm->running->config.vcpus_max) {
		snprintf(error->field, sizeof(error->field), "count");
		snprintf(error->detail, sizeof(error->detail), "must be a number from 1 to %u", vm->running->config.vcpus_max);
		return MANAGER_INVALID;
	}
	vm->view.vcpus = count;
	return MANAGER_OK;
}
