/* What the driver VM gets of a guest: its memory, its trap pages, what is kept of it, and the message that makes its devices. */
#include "drivers-vm/control/guest.h"
#include "drivers-vm/control/guest_channels.h"
#include <stdio.h>
#include <string.h>

/* What the driver VM may take; a disk that hangs is given up in less. */
#define ATTACH_NS 30000000000ull

static bool fail(const struct guest *g, const char *what, int64_t error)
{
	return guest_fail(g, error == HILUM_E_NO_MEMORY ? MANAGER_NO_MEMORY : MANAGER_FAILED, "", "%s: %s", what, control_error(error));
}

bool guest_share_trap_page(const struct guest *g, uint32_t slot, uint32_t index)
{
	int64_t page = hc(HC_VCPU_TRAP_MEMORY, g->vcpu[index]);
	int64_t error = page < 0 ? page : driver_map((hilum_handle_t)page, channel_trap_page(slot, index), 4096);

	if (page >= 0)
		hc(HC_HANDLE_CLOSE, page);
	return error >= 0 || fail(g, "its trap page", error);
}

static bool share_trap_pages(const struct guest *g, uint32_t slot)
{
	for (uint32_t i = 0; i < g->vcpus; i++)
		if (!guest_share_trap_page(g, slot, i))
			return false;
	return true;
}

bool guest_share(const struct guest *g, uint32_t slot)
{
	int64_t error = driver_map(g->memory, g->driver_ram, g->config->memory_bytes);

	if (error >= 0)
		error = driver_map(g->state, channel_state_place(slot), CHANNEL_STATE_BYTES);
	if (error >= 0)
		error = driver_map(g->record, channel_record_place(slot), sizeof(struct vm_record));
	if (error < 0)
		return fail(g, "giving its memory to the driver VM", error);
	return share_trap_pages(g, slot);
}

void guest_unshare(const struct guest *g, uint32_t slot)
{
	driver_unmap(g->driver_ram, g->config->memory_bytes);
	driver_unmap(channel_state_place(slot), CHANNEL_STATE_BYTES);
	driver_unmap(channel_record_place(slot), sizeof(struct vm_record));
	for (uint32_t i = 0; i < g->vcpus; i++)
		driver_unmap(channel_trap_page(slot, i), 4096);
}

bool guest_attach(struct guest *g, uint32_t slot, uint32_t flags)
{
	const struct config_vm *c = g->config;
	struct channel_message m = { .kind = CHANNEL_ATTACH, .slot = slot };

	int64_t doorbell = hc(HC_EVENT_CREATE, driver_vm, 0, CHANNEL_EVENT_DOORBELL + slot % CHANNEL_DOORBELLS, 0);
	if (doorbell < 0)
		return fail(g, "its doorbell", doorbell);
	int64_t rung = hc(HC_HANDLE_GRANT, driver_vm, doorbell, HILUM_RIGHT_SIGNAL);
	hc(HC_HANDLE_CLOSE, doorbell);
	if (rung < 0)
		return fail(g, "giving its doorbell to the driver VM", rung);
	int64_t vm = hc(HC_HANDLE_GRANT, driver_vm, g->vm, HILUM_RIGHT_SIGNAL | HILUM_RIGHT_BIND);
	if (vm < 0)
		return fail(g, "giving its handle to the driver VM", vm);
	snprintf(m.attach.name, sizeof(m.attach.name), "%s", c->name);
	m.attach.doorbell_event = (uint32_t)rung;
	m.attach.vm_handle = (uint32_t)vm;
	m.attach.vcpus = c->vcpus_max;
	m.attach.present = g->plugged;
	m.attach.ram_gpa = g->driver_ram;
	m.attach.low_bytes = g->map.low_bytes;
	m.attach.high_bytes = g->map.high_bytes;
	m.attach.serial = c->serial;
	m.attach.console = c->console == CONFIG_CONSOLE_VIRTIO ? CHANNEL_CONSOLE_VIRTIO : 0;
	m.attach.debug_exit = c->debug_exit;
	m.attach.debug_crash = c->debug_crash;
	m.attach.flags = flags | (c->packed ? CHANNEL_VM_PACKED : 0) | (c->rng ? CHANNEL_VM_RNG : 0) |
	                 (c->watchdog == CONFIG_WATCHDOG_WDAT ? CHANNEL_VM_WATCHDOG : 0) |
	                 (c->balloon_bytes != CONFIG_NO_BALLOON ? CHANNEL_VM_BALLOON : 0);
	m.attach.balloon_pages = (uint32_t)(guest_balloon_target(g) / 4096);
	uint32_t r[4];
	guest_host_cpuid(0x80000008, 0, r);
	m.attach.physical_bits = r[0] & 0xFF;
	if (!guest_devices_send(g, slot))
		return false;
	guest_channels_send(g, slot);
	if (!driver_call(&m, CHANNEL_ATTACHED, ATTACH_NS))
		return guest_fail(g, MANAGER_INVALID, "", "the driver VM does not make its devices; its log line before this one says why");
	int64_t error = hc(HC_VM_SET_HANDLER, g->vm, driver_vm, channel_badge(slot, (uint32_t)vm));
	return error >= 0 || fail(g, "its driver VM", error);
}
