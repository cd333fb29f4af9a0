/*
 * The driver VM when memory is short, apart from the drivers (test_host_*.c): while a guest with two disks, a card, a channel, a balloon
 * and a source of entropy comes, writes and goes, and while a gateway is opened, each allocation fails once, from the heap, of tables for
 * the memory that the control VM maps, and of the memory that outlives the driver VM. Whatever fails is said; a guest has all of its
 * devices or does not come; what was handed over is given back; and the next try works.
 *
 * UNIT_SOURCES: drivers-vm/driver/slots.c drivers-vm/driver/slot_host.c drivers-vm/driver/slot_timers.c drivers-vm/driver/slot_traps.c
 * UNIT_SOURCES: drivers-vm/driver/slot_devices.c drivers-vm/driver/slot_links.c
 * UNIT_SOURCES: drivers-vm/driver/state_area.c drivers-vm/driver/deadlines.c drivers-vm/driver/console_mux.c
 * UNIT_SOURCES: drivers-vm/driver/host_disk.c drivers-vm/driver/host_pci.c drivers-vm/driver/gpt.c drivers-vm/driver/blk_ram.c
 * UNIT_SOURCES: drivers-vm/driver/nat.c drivers-vm/driver/nat_gateway.c drivers-vm/driver/nat_packet.c drivers-vm/driver/nat_flow.c
 * UNIT_SOURCES: drivers-vm/driver/nat_hosts.c drivers-vm/driver/host_nic.c
 * UNIT_SOURCES: drivers-vm/driver/machine.c drivers-vm/driver/machine_adopt.c drivers-vm/driver/acpi_pm.c
 * UNIT_SOURCES: drivers-vm/driver/watchdog.c drivers-vm/driver/cpu_plug.c drivers-vm/driver/ioapic.c drivers-vm/driver/pic.c
 * UNIT_SOURCES: drivers-vm/driver/pit.c drivers-vm/driver/rtc.c drivers-vm/driver/uart16550.c drivers-vm/driver/pci_host.c
 * UNIT_SOURCES: drivers-vm/driver/pci_function.c drivers-vm/driver/pci_msix.c drivers-vm/driver/ivshmem.c
 * UNIT_SOURCES: drivers-vm/driver/virtio_pci.c drivers-vm/driver/virtio_device.c drivers-vm/driver/virtio_adopt.c
 * UNIT_SOURCES: drivers-vm/driver/virtio_blk_adopt.c drivers-vm/driver/virtio_net_adopt.c
 * UNIT_SOURCES: drivers-vm/driver/virtio_common.c drivers-vm/driver/virtio_console.c drivers-vm/driver/virtio_blk.c
 * UNIT_SOURCES: drivers-vm/driver/blk_device.c drivers-vm/driver/token_bucket.c drivers-vm/driver/virtio_rng.c
 * UNIT_SOURCES: drivers-vm/driver/virtio_balloon.c drivers-vm/driver/virtio_net.c drivers-vm/driver/virtio_net_send.c
 * UNIT_SOURCES: drivers-vm/driver/virtio_net_receive.c drivers-vm/driver/net_switch.c
 * UNIT_SOURCES: drivers-vm/driver/net_filter.c drivers-vm/driver/net_offload.c drivers-vm/driver/virtqueue.c
 * UNIT_SOURCES: drivers-vm/driver/virtqueue_split.c drivers-vm/driver/virtqueue_packed.c drivers-vm/driver/io_segment.c
 * UNIT_FLAGS: -iquote tests/unit/fake_slots -Itests/unit/fake_nat -Itests/unit -Wl,--wrap=state_area_open -Wl,--wrap=state_area_take
 * UNIT_FLAGS: -Wl,--wrap=calloc -Wl,--wrap=malloc -Wl,--wrap=aligned_alloc -Wl,--wrap=free
 */
#include "cmocka_all.h"
#include "driver_memory.h"

#include <stdarg.h>
#include <stdio.h>

#include "drivers-vm/driver/console_mux.h"
#include "drivers-vm/driver/entropy.h"
#include "drivers-vm/driver/host_disk.h"
#include "drivers-vm/driver/host_nic.h"
#include "drivers-vm/driver/nat.h"
#include "drivers-vm/driver/nat_stack.h"
#include "drivers-vm/driver/slots.h"
#include "drivers-vm/lib/insn_guest.h"

#define RAM_BYTES     0x400000u
#define RAM_DISK      0x10000u
#define VM_HANDLE     0x101u
#define DOORBELL      0x102u
#define SECTORS       128u
#define FAILING_SLOTS 64u

static uint8_t ram[RAM_BYTES] __attribute__((aligned(4096))), ram_disk[RAM_DISK] __attribute__((aligned(4096)));
static uint8_t state[CHANNEL_STATE_BYTES] __attribute__((aligned(4096)));
static unsigned closed; /* of the two handles of a guest */
static bool said;       /* that memory is short, to the log or to the terminal */
static struct console_mux mux;

/* ---- What is around them ------------------------------------------------------------------------------------------------------ */

int64_t fake_call(uint64_t number, uint64_t a, uint64_t b, uint64_t c, uint64_t d, uint64_t e)
{
	(void)b, (void)c, (void)d, (void)e;
	if (number == HC_HANDLE_CLOSE) {
		assert_true(a == VM_HANDLE || a == DOORBELL);
		closed++;
	}
	return 0;
}

uint64_t service_tsc(void)
{
	return 1000;
}

void runtime_abort(const char *reason)
{
	fail_msg("%s", reason);
	abort();
}

void service_lock(struct service_lock *lock)
{
	assert_int_equal(lock->held++, 0);
}

void service_unlock(struct service_lock *lock)
{
	assert_int_equal(lock->held--, 1);
}

static void hear(const char *line)
{
	said |= strstr(line, "memory") != NULL;
}

void service_log(const char *format, ...)
{
	char line[200];
	va_list args;

	va_start(args, format);
	vsnprintf(line, sizeof(line), format, args);
	va_end(args);
	hear(line);
}

void host_device_log(const struct host_pci *pci, const char *format, ...)
{
	(void)pci, (void)format;
}

/* Tables for what the control VM maps are memory too. */
bool service_map_memory(uint64_t gpa, uint64_t bytes)
{
	(void)gpa, (void)bytes;
	return !driver_memory_fails_now();
}

bool __real_state_area_open(struct state_area *area, void *base, size_t bytes, uint64_t layout, bool resume);
void *__real_state_area_take(struct state_area *area, size_t count, size_t bytes);

bool __wrap_state_area_open(struct state_area *area, void *base, size_t bytes, uint64_t layout, bool resume)
{
	(void)base;
	assert_int_equal(bytes, sizeof(state));
	return __real_state_area_open(area, state, bytes, layout, resume);
}

void *__wrap_state_area_take(struct state_area *area, size_t count, size_t bytes)
{
	return driver_memory_fails_now() ? NULL : __real_state_area_take(area, count, bytes);
}

void slot_record_open(struct slot *s, bool resume)
{
	(void)s, (void)resume;
}

void slot_note_input(uint32_t index)
{
	(void)index;
}

uint64_t slots_wall_clock(void)
{
	return 0;
}

void console_output(uint32_t slot, unsigned console, const uint8_t *bytes, size_t count)
{
	(void)console;
	console_mux_output(&mux, slot, bytes, count);
}

void console_room(uint32_t slot, unsigned console)
{
	(void)slot, (void)console;
}

void control_request(uint32_t slot, enum channel_request request, uint64_t value)
{
	(void)slot, (void)request, (void)value;
}

void timers_changed(uint64_t deadline_tsc)
{
	(void)deadline_tsc;
}

bool entropy_is_available(void)
{
	return true;
}

size_t entropy_read(void *to, size_t count)
{
	memset(to, 1, count);
	return count;
}

enum insn_result insn_guest_emulate(const struct insn_guest_config *config, struct hilum_trap *trap)
{
	(void)config, (void)trap;
	return INSN_UNSUPPORTED;
}

/* ---- A guest ------------------------------------------------------------------------------------------------------------------ */

static struct host_disk disk;

static enum blk_status read_nothing(struct blk_device *device, struct blk_request *request)
{
	(void)device, (void)request;
	return BLK_IO_ERROR;
}

static void line_write(void *ctx, const uint8_t *bytes, size_t count)
{
	char line[512] = { 0 };

	(void)ctx;
	memcpy(line, bytes, count < sizeof(line) ? count : sizeof(line) - 1);
	hear(line);
}

static int set_up(void **unused)
{
	static const struct blk_device_ops ops = { .submit = read_nothing };
	static const struct host_pci pci = { .rid = 0x20 };

	(void)unused;
	host_disk_forget_all();
	disk = (struct host_disk){ .device = { .ops = &ops, .sectors = SECTORS, .physical_block_bytes = 512 } };
	host_disk_add(&disk, &pci);
	console_mux_init(&mux, CONSOLE_MUX_LOG_NAME, line_write, NULL);
	return 0;
}

static int tear_down(void **unused)
{
	(void)unused;
	driver_memory_failing_after = DRIVER_MEMORY_NEVER;
	return 0;
}

/* Switches the terminal over to the guest and back to the log. */
static void look_at_guest(void)
{
	static const uint8_t keys[2 * CONSOLE_MUX_SWITCH_COUNT] = { 1, 1, 1, 1, 1, 1 };

	console_mux_input(&mux, keys, sizeof(keys));
	assert_int_equal(mux.shown, CONSOLE_MUX_LOG);
}

static struct channel_message attach_message(uint32_t slot)
{
	return (struct channel_message){ .kind = CHANNEL_ATTACH,
		                         .slot = slot,
		                         .attach = { .name = "g",
		                                     .vm_handle = VM_HANDLE,
		                                     .doorbell_event = DOORBELL,
		                                     .vcpus = 1,
		                                     .present = 1,
		                                     .serial = 1,
		                                     .ram_gpa = (uintptr_t)ram,
		                                     .low_bytes = RAM_BYTES,
		                                     .flags = CHANNEL_VM_RNG | CHANNEL_VM_BALLOON } };
}

static void add_devices(uint32_t slot)
{
	const struct channel_message devices[] = {
		{ .kind = CHANNEL_DISK, .slot = slot, .disk = { .gpa = (uintptr_t)ram_disk, .bytes = RAM_DISK } },
		{ .kind = CHANNEL_DISK, .slot = slot, .disk = { .device = "00:04.0" } },
		{ .kind = CHANNEL_NIC, .slot = slot, .nic = { .bridge = 1, .mac = { 2, 0, 0, 0, 0, 1 } } },
		{ .kind = CHANNEL_LINK, .slot = slot, .link = { .number = 1, .gpa = 0xC0000000, .bytes = 0x1000 } },
	};

	for (unsigned i = 0; i < sizeof(devices) / sizeof(devices[0]); i++)
		slot_add_device(slot, &devices[i]);
}

static void has_all_devices(uint32_t slot)
{
	const struct machine_config *config = &slot_at(slot)->state->machine.config;

	assert_int_equal(config->disks, 2);
	assert_int_equal(config->nics, 1);
	assert_int_equal(config->links, 1);
	assert_non_null(config->rng);
	assert_non_null(config->balloon);
	assert_int_equal(driver_switch.ports, 1);
}

/* As main.c and the control VM do it: who is refused is detached, too. True: the guest has come. */
static bool guest_comes_and_goes(uint32_t slot)
{
	const struct channel_message m = attach_message(slot);
	struct host_disk_claim claim = { 0 };

	closed = 0;
	add_devices(slot);
	console_mux_add(&mux, slot, m.attach.name);
	bool came = slot_attach(slot, &m);
	if (came) {
		has_all_devices(slot);
		machine_port_write(&slot_at(slot)->state->machine, 0x3F8, 1, 'x');
		machine_flush(&slot_at(slot)->state->machine);
		console_output(slot, 0, (const uint8_t *)"x", 1);
		look_at_guest();
	}
	slot_detach(slot);
	console_mux_remove(&mux, slot);
	assert_int_equal(closed, 2);
	assert_int_equal(driver_switch.ports, 0);
	assert_true(host_disk_claim(&claim, &disk.device, 0, SECTORS, false));
	host_disk_release(&claim);
	return came;
}

/* With the n-th allocation failing. Each failing guest has a slot that nobody has used. */
static bool guest_with_failure(uint32_t slot, int nth)
{
	bool was = slot_at(slot) != NULL;
	unsigned before = driver_memory_blocks;

	said = false;
	driver_memory_failing_after = nth;
	bool came = guest_comes_and_goes(slot);
	unsigned stays = slot_at(slot) != NULL && !was; /* the slot, not what is in it; the log's ring was made before */
	if (driver_memory_blocks != before + stays)
		fail_msg("failure %d leaves %d blocks", nth, (int)(driver_memory_blocks - before - stays));
	return came;
}

static void slot_attach__an_allocation_fails__guest_has_all_or_does_not_come(void **unused)
{
	unsigned refusals = 0;
	int count;

	(void)unused;
	assert_true(guest_with_failure(FAILING_SLOTS, DRIVER_MEMORY_NEVER));
	assert_false(said);
	count = DRIVER_MEMORY_NEVER - driver_memory_failing_after;
	assert_true(count > 10 && count < (int)FAILING_SLOTS);
	for (int nth = 0; nth < count; nth++) {
		refusals += !guest_with_failure((uint32_t)nth, nth);
		assert_int_equal(driver_memory_failing_after, -1);
		if (!said)
			fail_msg("failure %d is not said", nth);
		if (!guest_with_failure((uint32_t)nth, DRIVER_MEMORY_NEVER) || said)
			fail_msg("after failure %d the guest does not come", nth);
	}
	print_message("%d allocations for a guest fail once each: %u times it is refused\n", count, refusals);
}

/* ---- A gateway ------------------------------------------------------------------------------------------------------------------ */

const struct nat_gateway_ops nat_stack_ops;
static bool stack_starts;

uint32_t lwip_random(void)
{
	return 5;
}

bool nat_stack_start(struct nat_stack *s, const uint8_t *mac, const struct nat_stack_static *fixed)
{
	(void)s, (void)mac, (void)fixed;
	return stack_starts && !driver_memory_fails_now();
}

void nat_stack_run(struct nat_stack *s)
{
	(void)s;
}

uint64_t nat_stack_timers(void)
{
	return 1;
}

static struct host_nic nic;

static void drop(struct net_port *port, struct net_frame *frame)
{
	(void)port, (void)frame;
}

/* How many ports are joined to the guests' switch then. */
static unsigned gateway_with_failure(int nth, uint8_t prefix)
{
	static const struct net_port_ops ops = { .receive = drop };
	static const struct host_pci pci = { .rid = 0x38 };
	const struct channel_message m = {
		.kind = CHANNEL_UPLINK, .uplink = { .bridge = 1, .flags = CHANNEL_NIC_NAT, .subnet = 0x0A000000, .subnet_prefix = prefix }
	};

	host_nic_forget_all();
	nic = (struct host_nic){ .port.ops = &ops, .mac = { 2, 0, 0, 0, 0, 7 } };
	host_nic_add(&nic, &pci, "test");
	said = false;
	stack_starts = true;
	driver_memory_failing_after = nth;
	nat_add(&m);
	return driver_switch.ports;
}

static void nat_add__an_allocation_fails__is_said_and_guests_see_no_gateway(void **unused)
{
	int nth = 0;

	(void)unused;
	for (;; nth++) {
		unsigned before = driver_memory_blocks;
		if (gateway_with_failure(nth, 24) != 0)
			break;
		assert_true(said);
		assert_int_equal(driver_memory_failing_after, -1);
		if (nic.joined == NULL)
			assert_int_equal(driver_memory_blocks, before);
	}
	assert_false(said);
	assert_int_equal(nth, 3); /* its connections, itself, and lwIP's */
	assert_int_equal(nat_run(), 1000 + 1 + 1);
	driver_switch.ports = 0;
}

static void nat_add__no_uplink_or_no_subnet__takes_no_memory(void **unused)
{
	const struct channel_message m = { .kind = CHANNEL_UPLINK,
		                           .uplink = { .bridge = 1, .flags = CHANNEL_NIC_NAT, .subnet_prefix = 24 } };
	unsigned before = driver_memory_blocks;

	(void)unused;
	assert_int_equal(gateway_with_failure(DRIVER_MEMORY_NEVER, 8), 0);
	host_nic_forget_all();
	nat_add(&m);
	assert_int_equal(driver_memory_blocks, before);
}

#define CASE(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		CASE(slot_attach__an_allocation_fails__guest_has_all_or_does_not_come),
		CASE(nat_add__an_allocation_fails__is_said_and_guests_see_no_gateway),
		CASE(nat_add__no_uplink_or_no_subnet__takes_no_memory),
	};
	int failed = cmocka_run_group_tests(tests, NULL, NULL);

	driver_memory_forget(); /* slots that were used once stay */
	return failed;
}
