/* Traps of the guests: what one did that only its machine can answer. */
#include "drivers-vm/driver/slot_links.h"
#include "drivers-vm/driver/slot_private.h"
#include "drivers-vm/lib/insn_guest.h"

#define UNSUPPORTED_LOGGED 8u /* lines a guest may cause so */

static uint64_t emulate_mmio_read(void *opaque, uint64_t gpa, unsigned bytes)
{
	struct slot *s = opaque;

	return machine_mmio_read(&s->state->machine, gpa, bytes);
}

static void emulate_mmio_write(void *opaque, uint64_t gpa, unsigned bytes, uint64_t value)
{
	struct slot *s = opaque;

	machine_mmio_write(&s->state->machine, gpa, bytes, value);
}

static uint32_t emulate_port_read(void *opaque, uint16_t port, unsigned bytes)
{
	struct slot *s = opaque;

	return machine_port_read(&s->state->machine, port, bytes);
}

static void emulate_port_write(void *opaque, uint16_t port, unsigned bytes, uint32_t value)
{
	struct slot *s = opaque;

	machine_port_write(&s->state->machine, port, bytes, value);
}

static void emulate(struct slot *s, struct hilum_trap *page)
{
	static const struct insn_guest_host host = {
		.ram = slot_ram,
		.mmio_read = emulate_mmio_read,
		.mmio_write = emulate_mmio_write,
		.port_read = emulate_port_read,
		.port_write = emulate_port_write,
	};
	const struct insn_guest_config config = {
		.host = &host,
		.opaque = s,
		.physical_bits = s->physical_bits,
		.has_1g_pages = true,
	};
	uint64_t rip = page->rip;

	if (insn_guest_emulate(&config, page) == INSN_UNSUPPORTED && s->unsupported++ < UNSUPPORTED_LOGGED)
		service_log("vm %s: instruction at %#lx cannot be emulated: #UD", s->name, (unsigned long)rip);
}

bool slot_trap(const struct hypercall_trap *t)
{
	struct slot *s = slot_at((uint32_t)t->badge);
	struct hilum_trap *page = (struct hilum_trap *)channel_trap_page((uint32_t)t->badge, t->vcpu);
	struct slot_ring rings[MODEL_LINKS];

	if (s == NULL)
		return false;
	service_lock(&s->lock);
	/* It may have come for the guest that was in the slot before, and been overtaken by that one's end. */
	if (!s->attached || s->ending || t->badge != channel_badge(s->index, s->vm_handle)) {
		service_unlock(&s->lock);
		return false;
	}
	switch (t->kind) {
	case HILUM_TRAP_PORT:
		if (t->write)
			machine_port_write(&s->state->machine, (uint16_t)t->address, t->size, (uint32_t)t->value);
		else
			page->value = machine_port_read(&s->state->machine, (uint16_t)t->address, t->size);
		break;
	case HILUM_TRAP_STRING:
	case HILUM_TRAP_MMIO:
		emulate(s, page);
		break;
	case HILUM_TRAP_EOI:
		machine_eoi(&s->state->machine, (uint8_t)t->value);
		break;
	case HILUM_TRAP_INTACK:
		page->value = (uint64_t)machine_pic_acknowledge(&s->state->machine);
		break;
	default:
		break;
	}
	if (s->doorbells_changed)
		slot_rebind_doorbells(s);
	bool answer = !s->ending;
	unsigned rung = s->rings != 0 ? slot_links_take(s, rings) : 0;
	service_unlock(&s->lock);
	slot_links_ring(rings, rung);
	return answer;
}
