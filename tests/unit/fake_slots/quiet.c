/* What test_slots.c has nothing to do with: machine, devices and console of guests that do nothing. */
#include "tests/unit/cmocka_all.h"

#include "drivers-vm/driver/entropy.h"
#include "drivers-vm/driver/slot_links.h"
#include "drivers-vm/driver/slots.h"
#include "drivers-vm/lib/insn_guest.h"

#include <string.h>

unsigned quiet_calls; /* of the machine's, by what is asked of its guest */

int64_t fake_call(uint64_t number, uint64_t a, uint64_t b, uint64_t c, uint64_t d, uint64_t e)
{
	(void)number;
	(void)a;
	(void)b;
	(void)c;
	(void)d;
	(void)e;
	return 0;
}

bool service_map_memory(uint64_t gpa, uint64_t bytes)
{
	(void)gpa;
	(void)bytes;
	return true;
}

uint64_t slots_wall_clock(void)
{
	return 0;
}

void console_output(uint32_t slot, unsigned console, const uint8_t *bytes, size_t count)
{
	(void)slot;
	(void)console;
	(void)bytes;
	(void)count;
}

void console_room(uint32_t slot, unsigned console)
{
	(void)slot;
	(void)console;
}

void slot_record_open(struct slot *s, bool resume)
{
	(void)s;
	(void)resume;
}

void slot_note_input(uint32_t index)
{
	(void)index;
}

void slot_links_join(struct slot *s)
{
	(void)s;
}

void slot_links_leave(struct slot *s)
{
	(void)s;
}

void slot_links_note(struct slot *s, uint32_t number, unsigned vector)
{
	(void)s;
	(void)number;
	(void)vector;
}

unsigned slot_links_take(struct slot *s, struct slot_ring rings[MODEL_LINKS])
{
	(void)s;
	(void)rings;
	return 0;
}

void slot_links_ring(const struct slot_ring *rings, unsigned count)
{
	(void)rings;
	assert_int_equal(count, 0);
}

void slot_devices_add_disk(struct slot_devices *devices, const struct channel_message *m)
{
	(void)devices;
	(void)m;
}

void slot_devices_add_nic(struct slot_devices *devices, const struct channel_message *m)
{
	(void)devices;
	(void)m;
}

void slot_devices_add_link(struct slot_devices *devices, const struct channel_message *m)
{
	(void)devices;
	(void)m;
}

uint64_t slot_devices_layout(void)
{
	return 1;
}

void slot_devices_old(const struct state_area *area, const struct machine_config *config, struct machine_config *old)
{
	(void)area;
	(void)config;
	(void)old;
}

bool slot_devices_make(struct slot_devices *devices, struct state_area *area, const struct channel_message *m,
                       struct machine_config *config)
{
	(void)devices;
	(void)area;
	(void)m;
	(void)config;
	return true;
}

bool slot_devices_join(struct slot_devices *devices, const char *name)
{
	(void)devices;
	(void)name;
	return true;
}

void slot_devices_leave(struct slot_devices *devices)
{
	(void)devices;
}

void slot_devices_free(struct slot_devices *devices)
{
	memset(devices, 0, sizeof(*devices));
}

const void *state_area_old(const struct state_area *area, const void *mine)
{
	(void)area;
	return mine;
}

void state_area_commit(struct state_area *area)
{
	(void)area;
}

void state_area_forget(struct state_area *area)
{
	(void)area;
}

void machine_adopt(struct machine *m, const struct machine *old, const struct machine_config *behind)
{
	(void)m;
	(void)old;
	(void)behind;
}

void machine_resume(struct machine *m)
{
	(void)m;
}

uint64_t machine_mmio_read(struct machine *m, uint64_t gpa, unsigned size)
{
	(void)m;
	(void)gpa;
	(void)size;
	return 0;
}

void machine_mmio_write(struct machine *m, uint64_t gpa, unsigned size, uint64_t value)
{
	(void)m;
	(void)gpa;
	(void)size;
	(void)value;
}

uint32_t machine_port_read(struct machine *m, uint16_t port, unsigned size)
{
	(void)m;
	(void)port;
	(void)size;
	return 0;
}

void machine_eoi(struct machine *m, uint8_t vector)
{
	(void)m;
	(void)vector;
}

uint8_t machine_pic_acknowledge(struct machine *m)
{
	(void)m;
	return 0;
}

void machine_flush(struct machine *m)
{
	(void)m;
}

void machine_serve(struct machine *m)
{
	(void)m;
	quiet_calls++;
}

size_t machine_console_input(struct machine *m, unsigned console, const uint8_t *bytes, size_t count)
{
	(void)m;
	(void)console;
	(void)bytes;
	quiet_calls++;
	return count;
}

void machine_set_gsi(struct machine *m, unsigned gsi, bool level)
{
	(void)m;
	(void)gsi;
	(void)level;
	quiet_calls++;
}

void machine_set_vcpus(struct machine *m, uint64_t present, uint64_t shall_go)
{
	(void)m;
	(void)present;
	(void)shall_go;
	quiet_calls++;
}

void virtio_balloon_set_target(struct virtio_balloon *balloon, uint32_t pages)
{
	(void)balloon;
	(void)pages;
	quiet_calls++;
}

void watchdog_touch(struct watchdog *w)
{
	(void)w;
	quiet_calls++;
}

size_t entropy_read(void *to, size_t count)
{
	(void)to;
	return count;
}

enum insn_result insn_guest_emulate(const struct insn_guest_config *config, struct hilum_trap *trap)
{
	(void)config;
	(void)trap;
	return INSN_UNSUPPORTED;
}
