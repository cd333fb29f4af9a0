/*
 * Who has a channel with whom: only two that both say so; what is told of the others; one memory for both, for as long as one of them is
 * there; and another control VM.
 *
 * UNIT_SOURCES: drivers-vm/control/guest_channels.c drivers-vm/control/guest_map.c
 * UNIT_SOURCES: drivers-vm/control/events.c drivers-vm/control/api/audit.c
 * UNIT_FLAGS: -iquote tests/unit/fake_control
 */
#include "cmocka_all.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "drivers-vm/control/api/audit.h"
#include "drivers-vm/control/events.h"
#include "drivers-vm/control/guard.h"
#include "drivers-vm/control/guest.h"
#include "drivers-vm/control/guest_channels.h"
#include "drivers-vm/control/guest_memory.h"
#include "drivers-vm/control/recover.h"

#define MIB     0x100000ull
#define GIB     0x40000000ull
#define VMS     4u
#define FIRST   1000u /* handle of memory */
#define OBJECTS 16u

static struct config_vm config[VMS]; /* of the slot of the same number */
static struct guest guests[VMS];
static struct {
	uint64_t bytes;
	bool open;
} object[OBJECTS];
static unsigned objects;
static struct {
	uint64_t vm, memory, gpa, bytes, rights;
} mapped;
static unsigned maps;
static struct channel_message sent;
static uint64_t spare;
static char refusal[256], field[32];
static enum manager_result refused_with;
static int64_t map_error;

int64_t fake_call(uint64_t number, uint64_t a, uint64_t b, uint64_t c, uint64_t d, uint64_t e, uint64_t f)
{
	if (number == HC_HANDLE_CLOSE) {
		assert_true(a >= FIRST && a < FIRST + objects && object[a - FIRST].open);
		object[a - FIRST].open = false;
		return 0;
	}
	assert_int_equal(number, HC_MEMORY_MAP);
	assert_int_equal(d, 0);
	mapped.vm = a;
	mapped.memory = b;
	mapped.gpa = c;
	mapped.bytes = e;
	mapped.rights = f;
	maps++;
	return map_error;
}

int64_t control_memory_create(uint64_t bytes, uint32_t flags)
{
	assert_int_equal(flags, 0);
	assert_true(objects < OBJECTS);
	object[objects].bytes = bytes;
	object[objects].open = true;
	return FIRST + objects++;
}

const char *control_error(int64_t error)
{
	(void)error;
	return "error";
}

void guard_rest(void)
{
}

void guard_go_on(void)
{
}

uint64_t guest_memory_spare(void)
{
	return spare;
}

void guest_host_cpuid(uint32_t leaf, uint32_t subleaf, uint32_t r[4])
{
	assert_int_equal(leaf, 0x80000008);
	(void)subleaf;
	r[0] = 0x3028; /* 40 bits */
}

void driver_send(const struct channel_message *message)
{
	sent = *message;
}

bool manager_find(const char *name, struct manager_vm *out)
{
	for (unsigned i = 0; i < VMS; i++)
		if (strcmp(config[i].name, name) == 0) {
			out->config = &config[i];
			return true;
		}
	return false;
}

void manager_host(struct manager_host *out)
{
	memset(out, 0, sizeof(*out));
	out->wall_clock_ns = 77;
}

bool recover_claim(hilum_handle_t handle, unsigned type)
{
	assert_int_equal(type, HILUM_OBJECT_MEMORY);
	return handle >= FIRST && handle < FIRST + objects && object[handle - FIRST].open;
}

bool guest_fail(const struct guest *g, enum manager_result result, const char *at, const char *format, ...)
{
	va_list args;

	(void)g;
	refused_with = result;
	snprintf(field, sizeof(field), "%s", at);
	va_start(args, format);
	vsnprintf(refusal, sizeof(refusal), format, args);
	va_end(args);
	return false;
}

static struct config_channel *declare(unsigned vm, const char *name, const char *peer, uint64_t bytes)
{
	struct config_channel *c = &config[vm].channel[config[vm].channel_count++];

	snprintf(c->name, sizeof(c->name), "%s", name);
	snprintf(c->peer, sizeof(c->peer), "%s", peer);
	c->bytes = bytes;
	return c;
}

static int set_up(void **state)
{
	static const char *const names[VMS] = { "a", "b", "c", "d" };

	(void)state;
	for (unsigned i = 0; i < VMS; i++) {
		memset(&config[i], 0, sizeof(config[i]));
		memset(&guests[i], 0, sizeof(guests[i]));
		snprintf(config[i].name, sizeof(config[i].name), "%s", names[i]);
		guests[i].config = &config[i];
		guests[i].vm = 10 + i;
		assert_true(guest_map_build(64 * MIB, &guests[i].map));
	}
	memset(object, 0, sizeof(object));
	objects = maps = 0;
	map_error = 0;
	spare = 8 * GIB;
	refusal[0] = field[0] = '\0';
	return 0;
}

static int tear_down(void **state)
{
	(void)state;
	for (unsigned i = 0; i < VMS; i++)
		guest_channels_free(i);
	for (unsigned i = 0; i < objects; i++)
		assert_false(object[i].open);
	return 0;
}

static bool start(unsigned vm)
{
	return guest_channels_open(&guests[vm], vm);
}

static void assert_refused(unsigned vm, const char *where)
{
	uint64_t event = event_last_id(), audit = audit_last_id();
	struct event e;
	struct audit_entry entry;
	char path[AUDIT_PATH_BYTES];

	assert_false(start(vm));
	assert_string_equal(field, where);
	assert_ptr_equal(strstr(refusal, where), refusal);
	assert_true(event_after(event, &e));
	assert_string_equal(e.kind, "vm.channel-refused");
	assert_string_equal(e.name, config[vm].name);
	assert_true(audit_after(audit, &entry));
	snprintf(path, sizeof(path), "%s %s %s", config[vm].name, where, config[vm].channel[where[8] - '0'].peer);
	assert_string_equal(entry.path, path);
	assert_string_equal(entry.method, "CHANNEL");
	assert_int_equal(entry.status, 409);
	assert_int_equal(entry.time_ns, 77);
}

static void guest_channels_open__both_declare_it__both_have_the_same_memory(void **state)
{
	(void)state;
	declare(0, "x", "b", MIB);
	declare(1, "x", "a", MIB);
	assert_true(start(1));
	assert_int_equal(objects, 1);
	assert_int_equal(object[0].bytes, MIB);
	assert_true(start(0));
	assert_int_equal(objects, 1);
	assert_int_equal(mapped.vm, 10);
	assert_int_equal(mapped.memory, FIRST);
	assert_int_equal(mapped.gpa, 4 * GIB);
	assert_int_equal(mapped.bytes, MIB);
	assert_int_equal(mapped.rights, HILUM_MAP_READ | HILUM_MAP_WRITE);
	guest_channels_send(&guests[0], 0);
	const uint32_t number = sent.link.number;
	assert_int_equal(sent.kind, CHANNEL_LINK);
	assert_int_equal(sent.link.position, 0);
	assert_int_equal(sent.link.gpa, 4 * GIB);
	guest_channels_send(&guests[1], 1);
	assert_int_equal(sent.link.number, number);
	assert_int_equal(sent.link.position, 1);
	assert_int_equal(sent.slot, 1);
}

static void guest_channels_open__others__have_memory_of_their_own(void **state)
{
	(void)state;
	declare(0, "x", "b", MIB);
	declare(0, "y", "b", MIB);
	declare(0, "x2", "c", MIB);
	declare(1, "y", "a", MIB);
	declare(1, "x", "a", MIB);
	declare(2, "x2", "a", MIB);
	declare(2, "x", "d", MIB);
	declare(3, "x", "c", MIB);
	for (unsigned i = 0; i < VMS; i++)
		assert_true(start(i));
	assert_int_equal(objects, 4);
	assert_int_equal(maps, 8);
	assert_int_equal(guest_channels_of(0)[0].memory, guest_channels_of(1)[1].memory);
	assert_int_equal(guest_channels_of(0)[1].memory, guest_channels_of(1)[0].memory);
	assert_int_equal(guest_channels_of(0)[2].memory, guest_channels_of(2)[0].memory);
	assert_int_equal(guest_channels_of(2)[1].memory, guest_channels_of(3)[0].memory);
	assert_int_not_equal(guest_channels_of(0)[0].memory, guest_channels_of(3)[0].memory);
}

static void guest_channels_open__another_peer_from_now_on__has_not_what_the_first_one_knows(void **state)
{
	(void)state;
	struct config_channel *a = declare(0, "x", "b", MIB);
	declare(1, "x", "a", MIB);
	assert_true(start(0) && start(1));
	guest_channels_free(0);
	strcpy(a->peer, "c");
	declare(2, "x", "a", MIB);
	assert_true(start(0));
	assert_true(start(2)); /* while b still has the first one's */
	assert_int_equal(guest_channels_of(1)[0].memory, FIRST);
	assert_int_equal(guest_channels_of(0)[0].memory, FIRST + 1);
	assert_int_equal(guest_channels_of(2)[0].memory, FIRST + 1);
}

static void guest_channels_open__peer_does_not_declare_it__is_refused_and_audited(void **state)
{
	(void)state;
	declare(0, "x", "nobody", MIB);
	assert_refused(0, "channel[0].peer");
	config[0].channel_count = 0;
	declare(0, "x", "b", MIB);
	assert_refused(0, "channel[0].peer"); /* none at all */
	struct config_channel *other = declare(1, "y", "a", MIB);
	assert_refused(0, "channel[0].peer"); /* another name */
	strcpy(other->name, "x");
	strcpy(other->peer, "c");
	assert_refused(0, "channel[0].peer"); /* another peer */
	strcpy(other->peer, "a");
	other->bytes = 2 * MIB;
	assert_refused(0, "channel[0].peer"); /* another size */
	other->bytes = MIB;
	assert_true(start(0));
	declare(0, "z", "b", MIB);
	assert_refused(0, "channel[1].peer");
	assert_int_equal(objects, 1);
}

static void guest_channels_open__no_memory__is_told(void **state)
{
	(void)state;
	declare(0, "x", "b", 64 * MIB);
	declare(1, "x", "a", 64 * MIB);
	spare = 63 * MIB;
	assert_false(start(0));
	assert_int_equal(refused_with, MANAGER_NO_MEMORY);
	assert_string_equal(field, "channel[0].size");
	assert_int_equal(objects, 0);
	spare = 64 * MIB;
	map_error = HILUM_E_NO_MEMORY;
	assert_false(start(0));
	assert_int_equal(refused_with, MANAGER_NO_MEMORY);
	map_error = 0;
	assert_true(start(0));
	assert_int_equal(objects, 1);
}

static void guest_channels_open__above_the_cpus_addresses__is_refused(void **state)
{
	(void)state;
	declare(0, "x", "b", MIB);
	declare(1, "x", "a", MIB);
	assert_true(guest_map_build(1023 * GIB, &guests[0].map)); /* RAM to 2^40 */
	assert_false(start(0));
	assert_int_equal(objects, 0);
	assert_true(guest_map_build(1022 * GIB, &guests[0].map));
	assert_true(start(0));
	assert_int_equal(mapped.gpa, 1023 * GIB);
}

static void guest_channels_free__one_of_two__keeps_the_memory_for_the_other(void **state)
{
	(void)state;
	declare(0, "x", "b", MIB);
	declare(1, "x", "a", MIB);
	assert_true(start(0) && start(1));
	assert_true(start(0)); /* again in its slot */
	assert_int_equal(objects, 1);
	guest_channels_free(0);
	assert_true(object[0].open);
	assert_true(start(0));
	assert_int_equal(mapped.memory, FIRST);
	guest_channels_free(1);
	assert_true(object[0].open);
	guest_channels_free(0);
	assert_false(object[0].open);
	assert_true(start(1));
	assert_int_equal(mapped.memory, FIRST + 1);
}

static void guest_channels_open__other_size_while_it_is_there__waits_for_its_end(void **state)
{
	(void)state;
	struct config_channel *a = declare(0, "x", "b", MIB), *b = declare(1, "x", "a", MIB);
	assert_true(start(0));
	a->bytes = b->bytes = 2 * MIB;
	assert_false(start(1));
	assert_int_equal(refused_with, MANAGER_CONFLICT);
	guest_channels_free(0);
	assert_true(start(1));
	assert_int_equal(object[1].bytes, 2 * MIB);
}

static void guest_channels_recover__another_control_vm__goes_on_with_what_is_there(void **state)
{
	struct guest_channel kept[2][CONFIG_CHANNELS_MAX];

	(void)state;
	declare(0, "x", "b", MIB);
	declare(1, "x", "a", MIB);
	assert_true(start(0) && start(1));
	for (unsigned i = 0; i < 2; i++)
		memcpy(kept[i], guest_channels_of(i), sizeof(kept[i]));
	for (unsigned i = 0; i < 2; i++)
		guest_channels_free(i);
	object[0].open = true; /* that control VM did not close it */
	assert_true(guest_channels_recover(1, &config[1], kept[1]));
	assert_true(guest_channels_recover(0, &config[0], kept[0]));
	assert_true(start(0));
	assert_int_equal(mapped.memory, FIRST);
	assert_int_equal(objects, 1);
	guest_channels_free(0);
	assert_true(object[0].open);
	guest_channels_free(1);
	assert_false(object[0].open);
}

static void guest_channels_recover__records_that_make_no_sense__are_not_believed(void **state)
{
	struct guest_channel kept[CONFIG_CHANNELS_MAX] = { { .number = 5, .memory = FIRST } };

	(void)state;
	declare(0, "x", "b", MIB);
	declare(1, "x", "a", MIB);
	declare(2, "x", "d", MIB);
	assert_false(guest_channels_recover(0, &config[0], kept)); /* no such memory */
	control_memory_create(MIB, 0);
	kept[0].number = CHANNEL_LINKS + 1;
	assert_false(guest_channels_recover(0, &config[0], kept));
	kept[0].number = 0;
	assert_false(guest_channels_recover(0, &config[0], kept));
	kept[0].number = CHANNEL_LINKS;
	assert_true(guest_channels_recover(0, &config[0], kept));
	assert_false(guest_channels_recover(2, &config[2], kept)); /* of two others */
	assert_int_equal(guest_channels_of(2)[0].number, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(guest_channels_open__both_declare_it__both_have_the_same_memory, set_up, tear_down),
		cmocka_unit_test_setup_teardown(guest_channels_open__others__have_memory_of_their_own, set_up, tear_down),
		cmocka_unit_test_setup_teardown(guest_channels_open__another_peer_from_now_on__has_not_what_the_first_one_knows, set_up,
		                                tear_down),
		cmocka_unit_test_setup_teardown(guest_channels_open__peer_does_not_declare_it__is_refused_and_audited, set_up, tear_down),
		cmocka_unit_test_setup_teardown(guest_channels_open__no_memory__is_told, set_up, tear_down),
		cmocka_unit_test_setup_teardown(guest_channels_open__above_the_cpus_addresses__is_refused, set_up, tear_down),
		cmocka_unit_test_setup_teardown(guest_channels_free__one_of_two__keeps_the_memory_for_the_other, set_up, tear_down),
		cmocka_unit_test_setup_teardown(guest_channels_open__other_size_while_it_is_there__waits_for_its_end, set_up, tear_down),
		cmocka_unit_test_setup_teardown(guest_channels_recover__another_control_vm__goes_on_with_what_is_there, set_up, tear_down),
		cmocka_unit_test_setup_teardown(guest_channels_recover__records_that_make_no_sense__are_not_believed, set_up, tear_down),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
