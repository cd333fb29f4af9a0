/* See kernel.h. A wrong handle, a mapping that is taken or not there, and a call on a thing of another type fail the test. */
#include "cmocka_all.h"

#include "kernel.h"

#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "drivers-vm/control/compact.h"
#include "drivers-vm/control/console.h"
#include "drivers-vm/control/device.h"
#include "drivers-vm/control/gdb/gdb.h"
#include "drivers-vm/control/guard.h"
#include "drivers-vm/control/guest.h"
#include "drivers-vm/control/guest_channels.h"
#include "drivers-vm/control/guest_memory.h"
#include "drivers-vm/control/manager_private.h"
#include "drivers-vm/control/places.h"
#include "drivers-vm/control/recover.h"
#include "drivers-vm/control/share_scan.h"

#define OBJECTS  512u
#define HANDLES  512u
#define FIRST    16u /* below are those that are always there */
#define MAPPINGS 1024u
#define DRIVER   7u
#define PAGE     4096u

enum type { FREE, VM, VCPU, MEMORY, EVENT };

struct object {
	enum type type;
	unsigned refs;
	uint64_t bytes;              /* of memory */
	struct object *vm, *trap;    /* of a vCPU */
	bool running, crashed, gone; /* a vCPU; a VM */
};

static struct object objects[OBJECTS];
static struct object *handles[HANDLES];
static struct {
	const void *vm; /* an object, or &driver_vm, or &handles for the control VM itself */
	uint64_t gpa, bytes;
	struct object *memory;
} mappings[MAPPINGS];
static struct object *driver_handles[CHANNEL_SLOTS][8];

unsigned kernel_failures;
volatile int kernel_failing_after = -1;
bool kernel_driver_dies, kernel_driver_gone;
uint64_t kernel_now_ns;
uint64_t fake_places;
hilum_handle_t driver_vm = DRIVER;
uint64_t driver_wall_clock_ns = 1;
struct hilum_host_info control_host = { .core_count = 2, .tsc_hz = 1000000000, .free_bytes = 1ull << 30 };

bool kernel_fails_now(void)
{
	return kernel_failing_after >= 0 && kernel_failing_after-- == 0;
}

/* ---- Objects ------------------------------------------------------------------------------------------------------------------------- */

static struct object *object_make(enum type type)
{
	for (unsigned i = 0; i < OBJECTS; i++)
		if (objects[i].type == FREE) {
			objects[i] = (struct object){ .type = type, .refs = 1 };
			return &objects[i];
		}
	fail_msg("more objects than this kernel has");
	return NULL;
}

static void object_unref(struct object *object)
{
	assert_true(object->refs != 0);
	if (--object->refs != 0)
		return;
	if (object->type == VCPU) {
		object_unref(object->trap);
		object_unref(object->vm);
	}
	object->type = FREE;
}

static int64_t handle_make(struct object *object)
{
	for (unsigned i = FIRST; i < HANDLES; i++)
		if (handles[i] == NULL) {
			handles[i] = object;
			return i;
		}
	fail_msg("more handles than this kernel has");
	return -1;
}

static struct object *resolve(uint64_t handle, enum type type)
{
	assert_true(handle >= FIRST && handle < HANDLES && handles[handle] != NULL);
	assert_int_equal(handles[handle]->type, type);
	return handles[handle];
}

static int64_t handle_close(uint64_t handle)
{
	assert_true(handle >= FIRST && handle < HANDLES && handles[handle] != NULL);
	object_unref(handles[handle]);
	handles[handle] = NULL;
	return 0;
}

static int64_t grant(uint64_t to, uint64_t handle)
{
	assert_true(handle >= FIRST && handle < HANDLES && handles[handle] != NULL);
	struct object *object = handles[handle];

	object->refs++;
	if (to == HILUM_HANDLE_SELF)
		return handle_make(object);
	assert_int_equal(to, DRIVER);
	if (kernel_driver_gone) {
		object_unref(object);
		return HILUM_E_BAD_HANDLE;
	}
	for (unsigned slot = 0; slot < CHANNEL_SLOTS; slot++) /* to whose guest it belongs is said with the message */
		for (unsigned i = 0; i < 8; i++)
			if (driver_handles[slot][i] == NULL) {
				driver_handles[slot][i] = object;
				return (int64_t)(slot * 8 + i + 1);
			}
	fail_msg("more handles than the driver VM has");
	return -1;
}

/* ---- Mappings ------------------------------------------------------------------------------------------------------------------------ */

static const void *space_of(uint64_t vm)
{
	return vm == HILUM_HANDLE_SELF ? (const void *)handles : vm == DRIVER ? (const void *)&driver_vm : resolve(vm, VM);
}

static int64_t map(const void *vm, uint64_t handle, uint64_t gpa, uint64_t offset, uint64_t bytes)
{
	struct object *memory = resolve(handle, MEMORY);
	unsigned place = MAPPINGS;

	assert_true(bytes != 0 && bytes % PAGE == 0 && offset + bytes <= memory->bytes);
	for (unsigned i = 0; i < MAPPINGS; i++) {
		if (mappings[i].memory == NULL)
			place = i;
		else
			assert_false(mappings[i].vm == vm && gpa < mappings[i].gpa + mappings[i].bytes && mappings[i].gpa < gpa + bytes);
	}
	assert_true(place != MAPPINGS);
	mappings[place].vm = vm;
	mappings[place].gpa = gpa;
	mappings[place].bytes = bytes;
	mappings[place].memory = memory;
	memory->refs++;
	return 0;
}

static int64_t unmap(const void *vm, uint64_t gpa, uint64_t bytes)
{
	for (unsigned i = 0; i < MAPPINGS; i++)
		if (mappings[i].memory != NULL && mappings[i].vm == vm && mappings[i].gpa == gpa) {
			assert_int_equal(mappings[i].bytes, bytes);
			object_unref(mappings[i].memory);
			mappings[i].memory = NULL;
			return 0;
		}
	return HILUM_E_NOT_FOUND;
}

static void unmap_all(const void *vm)
{
	for (unsigned i = 0; i < MAPPINGS; i++)
		if (mappings[i].memory != NULL && mappings[i].vm == vm) {
			object_unref(mappings[i].memory);
			mappings[i].memory = NULL;
		}
}

/* ---- Calls --------------------------------------------------------------------------------------------------------------------------- */

static int64_t memory_create(uint64_t bytes)
{
	struct object *memory = object_make(MEMORY);

	memory->bytes = (bytes + PAGE - 1) & ~(uint64_t)(PAGE - 1);
	return handle_make(memory);
}

static int64_t vm_create(void)
{
	if (kernel_failures != 0) {
		kernel_failures--;
		return HILUM_E_NO_MEMORY;
	}
	return handle_make(object_make(VM));
}

static int64_t vm_destroy(uint64_t handle)
{
	struct object *vm = resolve(handle, VM);

	unmap_all(vm);
	vm->gone = true;
	return handle_close(handle);
}

static int64_t vcpu_create(uint64_t vm, uint64_t index, uint64_t weight)
{
	struct object *vcpu = object_make(VCPU);

	assert_true(index < HILUM_MAX_VCPUS && weight != 0);
	vcpu->vm = resolve(vm, VM);
	vcpu->vm->refs++;
	vcpu->trap = object_make(MEMORY);
	vcpu->trap->bytes = PAGE;
	return handle_make(vcpu);
}

static int64_t vm_status(uint64_t vm, struct hilum_vm_status *status)
{
	*status = (struct hilum_vm_status){ .state = resolve(vm, VM)->crashed ? HILUM_VM_CRASHED : HILUM_VM_RUNNING,
		                            .crash = HILUM_CRASH_TRIPLE_FAULT };
	return 0;
}

static bool needs_memory(uint64_t number)
{
	return number == HC_HANDLE_GRANT || number == HC_MEMORY_CREATE || number == HC_MEMORY_MAP || number == HC_VM_CREATE ||
	       number == HC_VCPU_CREATE || number == HC_VCPU_TRAP_MEMORY || number == HC_EVENT_CREATE || number == HC_VM_BIND_TRAP;
}

int64_t fake_call(uint64_t number, uint64_t a, uint64_t b, uint64_t c, uint64_t d, uint64_t e, uint64_t f)
{
	(void)f;
	if (needs_memory(number) && kernel_fails_now())
		return HILUM_E_NO_MEMORY;
	switch (number) {
	case HC_HANDLE_CLOSE:
		return handle_close(a);
	case HC_HANDLE_GRANT:
		return grant(a, b);
	case HC_MEMORY_CREATE:
		return memory_create(b);
	case HC_MEMORY_MAP:
		return map(space_of(a), b, c, d, e);
	case HC_MEMORY_UNMAP:
		return unmap(space_of(a), b, c);
	case HC_VM_CREATE:
		return vm_create();
	case HC_VM_DESTROY:
		return vm_destroy(a);
	case HC_VM_STATUS:
		return vm_status(a, (struct hilum_vm_status *)b);
	case HC_VCPU_CREATE:
		return vcpu_create(a, b, d);
	case HC_VCPU_TRAP_MEMORY:
		resolve(a, VCPU)->trap->refs++;
		return handle_make(resolve(a, VCPU)->trap);
	case HC_VCPU_RUN:
		assert_false(resolve(a, VCPU)->vm->gone);
		resolve(a, VCPU)->running = true;
		return 0;
	case HC_VCPU_PAUSE:
		resolve(a, VCPU)->running = false;
		return 0;
	case HC_VCPU_GET_STATE:
		assert_false(resolve(a, VCPU)->running);
		memset((void *)b, 0, sizeof(struct hilum_vcpu_state));
		return 0;
	case HC_VCPU_SET_STATE:
		assert_false(resolve(a, VCPU)->running);
		return 0;
	case HC_EVENT_CREATE:
		return handle_make(object_make(EVENT));
	default:
		return 0;
	}
}

/* ---- The driver VM ------------------------------------------------------------------------------------------------------------------- */

void kernel_end_driver(void)
{
	kernel_driver_gone = true;
	unmap_all(&driver_vm);
	for (unsigned i = 0; i < CHANNEL_SLOTS * 8; i++) {
		struct object **handle = &driver_handles[i / 8][i % 8];
		if (*handle != NULL)
			object_unref(*handle);
		*handle = NULL;
	}
}

static void driver_close(uint32_t handle)
{
	struct object **at = handle != 0 ? &driver_handles[(handle - 1) / 8][(handle - 1) % 8] : NULL;

	if (at == NULL || *at == NULL)
		return;
	object_unref(*at);
	*at = NULL;
}

static uint32_t attached[CHANNEL_SLOTS][2]; /* the handles that came with the message */

bool driver_call(const struct channel_message *m, enum channel_kind kind, uint64_t timeout_ns)
{
	(void)kind;
	(void)timeout_ns;
	if (!kernel_driver_gone && m->kind == CHANNEL_ATTACH && kernel_driver_dies && !(m->attach.flags & CHANNEL_VM_RESUME)) {
		kernel_driver_dies = false;
		kernel_end_driver();
	}
	if (kernel_driver_gone)
		return false;
	if (m->kind == CHANNEL_ATTACH) {
		attached[m->slot][0] = m->attach.vm_handle;
		attached[m->slot][1] = m->attach.doorbell_event;
	} else if (m->kind == CHANNEL_DETACH) {
		for (unsigned i = 0; i < 2; i++) {
			driver_close(attached[m->slot][i]);
			attached[m->slot][i] = 0;
		}
	}
	return true;
}

void driver_send(const struct channel_message *m)
{
	assert_true(m->slot < CHANNEL_SLOTS);
}

int64_t driver_map(hilum_handle_t memory, uint64_t gpa, uint64_t bytes)
{
	if (kernel_fails_now())
		return HILUM_E_NO_MEMORY;
	return kernel_driver_gone ? HILUM_E_BAD_HANDLE : map(&driver_vm, memory, gpa, 0, bytes);
}

int64_t driver_unmap(uint64_t gpa, uint64_t bytes)
{
	return kernel_driver_gone ? HILUM_E_BAD_HANDLE : unmap(&driver_vm, gpa, bytes);
}

bool driver_is_lost(void)
{
	return kernel_driver_gone;
}

const char *driver_state(void)
{
	return kernel_driver_gone ? "restarting" : "running";
}

/* ---- Neighbours ----------------------------------------------------------------------------------------------------------------------- */

bool guest_devices_send(const struct guest *g, uint32_t slot)
{
	(void)slot;
	return g->config != NULL;
}

bool guest_devices_resume(uint32_t slot)
{
	(void)slot;
	return true;
}

void guest_devices_free(uint32_t slot)
{
	(void)slot;
}

bool guest_channels_open(const struct guest *g, uint32_t slot)
{
	(void)slot;
	return g->config != NULL;
}

void guest_channels_send(const struct guest *g, uint32_t slot)
{
	(void)g;
	(void)slot;
}

void guest_channels_free(uint32_t slot)
{
	(void)slot;
}

struct hilum_vcpu_state guest_scratch_state;

bool guest_load(struct guest *g)
{
	return g->memory != 0;
}

void gdb_guest_gone(uint32_t slot)
{
	(void)slot;
}

void gdb_guest_check(uint32_t slot)
{
	(void)slot;
}

bool gdb_guest_crashed(uint32_t slot, uint32_t vcpu)
{
	(void)slot;
	(void)vcpu;
	return false;
}

bool console_open(struct console *console, unsigned place)
{
	assert_true(place < MANAGER_VMS_MAX);
	if (kernel_fails_now())
		return false;
	if (console->memory == 0)
		console->memory = (hilum_handle_t)memory_create(sizeof(struct vm_record));
	return true;
}

void console_close(struct console *console)
{
	if (console->memory != 0)
		handle_close(console->memory);
	console->memory = 0;
}

const char *control_error(int64_t error)
{
	return error == HILUM_E_NO_MEMORY ? "not enough memory" : "error";
}

int64_t control_event(unsigned bit)
{
	(void)bit;
	return kernel_fails_now() ? HILUM_E_NO_MEMORY : handle_make(object_make(EVENT));
}

int64_t control_memory_create(uint64_t bytes, uint32_t flags)
{
	(void)flags;
	return kernel_fails_now() ? HILUM_E_NO_MEMORY : memory_create(bytes);
}

/* The window through which a core file is read, with memory of its own behind it. */
bool service_map_memory(uint64_t gpa, uint64_t bytes)
{
	static void *window;

	if (window == NULL)
		window = mmap(NULL, 8ull << 30, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	(void)bytes;
	(void)gpa;
	fake_places = (uint64_t)(uintptr_t)window;
	return window != MAP_FAILED;
}

void runtime_abort(const char *reason)
{
	fail_msg("%s", reason);
	abort();
}

uint64_t service_tsc(void)
{
	return kernel_now_ns;
}

void service_log(const char *format, ...)
{
	(void)format;
}

uint64_t manager_clock_ns(void)
{
	return kernel_now_ns;
}

uint64_t manager_wall_clock_ns(void)
{
	return kernel_now_ns;
}

void guard_rest(void)
{
}

void guard_go_on(void)
{
}

void compact_for(uint64_t bytes)
{
	(void)bytes;
}

bool guest_memory_admit(const struct guest *g)
{
	return g->config != NULL;
}

void guest_memory_limit(uint32_t slot)
{
	(void)slot;
}

void guest_memory_tell_shortage(uint32_t slot)
{
	(void)slot;
}

void guest_memory_waits(uint32_t slot)
{
	(void)slot;
}

void share_slot_changed(uint32_t slot)
{
	(void)slot;
}

void recover_keep(struct recover_kept *kept, void *value, size_t bytes)
{
	(void)kept, (void)value, (void)bytes;
}

void recover_note_making(int slot)
{
	(void)slot;
}

void recover_note_slot(uint32_t slot)
{
	(void)slot;
}

bool recover_has(hilum_handle_t handle, unsigned type)
{
	(void)type;
	return handle != 0;
}

bool recover_claim(hilum_handle_t handle, unsigned type)
{
	(void)type;
	return handle != 0;
}

/* ---- For the test ---------------------------------------------------------------------------------------------------------------------- */

void kernel_crash(uint32_t slot)
{
	resolve(guest_at(slot)->vm, VM)->crashed = true;
}

bool kernel_runs(uint32_t slot)
{
	const struct guest *g = guest_at(slot);
	bool runs = false;

	for (uint32_t i = 0; i < g->vcpus; i++)
		runs |= resolve(g->vcpu[i], VCPU)->running;
	return runs;
}

struct kernel_counts kernel_count(void)
{
	struct kernel_counts counts = { 0 };

	for (unsigned i = 0; i < HANDLES; i++)
		counts.handles += handles[i] != NULL;
	for (unsigned i = 0; i < MAPPINGS; i++)
		counts.mappings += mappings[i].memory != NULL;
	for (unsigned i = 0; i < CHANNEL_SLOTS * 8; i++)
		counts.driver_handles += driver_handles[i / 8][i % 8] != NULL;
	for (unsigned i = 0; i < OBJECTS; i++) {
		counts.objects += objects[i].type != FREE;
		counts.frames += objects[i].type == MEMORY ? objects[i].bytes / PAGE : 0;
	}
	return counts;
}
