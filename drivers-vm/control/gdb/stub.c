/* See stub.h. */
#include "drivers-vm/control/gdb/inner.h"

#include <string.h>

void gdb_stub_open(struct gdb_stub *stub, const struct gdb_target *target)
{
	memset(stub, 0, sizeof(*stub));
	stub->target = *target;
	stub->resumed = stub->held = HILUM_MAX_VCPUS;
	gdb_link_init(&stub->link);
	for (unsigned i = 0; i < target->vcpus; i++) {
		target->pause(target->opaque, i);
		stub->vcpu[i].reason = GDB_REASON_STEP; /* a first stop that is nobody's signal */
	}
}

void gdb_stub_receive(struct gdb_stub *stub, const uint8_t *bytes, size_t count)
{
	for (size_t i = 0; i < count && !stub->detached && !stub->link.broken; i++) {
		switch (gdb_link_take(&stub->link, bytes[i])) {
		case GDB_INPUT_PACKET:
			gdb_command(stub, stub->link.packet);
			break;
		case GDB_INPUT_INTERRUPT:
			if (stub->waits)
				gdb_stop(stub, stub->general);
			break;
		default:
			break;
		}
	}
	if (stub->link.broken)
		gdb_stub_close(stub);
}

size_t gdb_stub_poll(struct gdb_stub *stub, uint8_t *to, size_t size)
{
	return gdb_link_read(&stub->link, to, size);
}

void gdb_stub_crash(struct gdb_stub *stub, unsigned vcpu)
{
	if (stub->detached || vcpu >= stub->target.vcpus)
		return;
	gdb_stop_all(stub);
	stub->crashed = true;
	stub->vcpu[vcpu].reason = GDB_REASON_CRASH;
	stub->general = vcpu;
	if (stub->waits)
		gdb_tell_stop(stub, vcpu);
}

void gdb_stub_end(struct gdb_stub *stub)
{
	if (!stub->detached)
		gdb_link_send(&stub->link, "W00", 3);
	stub->detached = true;
}

void gdb_stub_close(struct gdb_stub *stub)
{
	enum gdb_action all[HILUM_MAX_VCPUS];

	if (stub->detached)
		return;
	stub->detached = true;
	gdb_stop_all(stub);
	gdb_points_remove_all(stub);
	for (unsigned i = 0; i < HILUM_MAX_VCPUS; i++) {
		stub->vcpu[i].untold = false;
		all[i] = GDB_ACTION_CONTINUE;
	}
	if (!stub->crashed)
		gdb_run(stub, all);
}

bool gdb_stub_is_done(const struct gdb_stub *stub)
{
	return stub->detached;
}
