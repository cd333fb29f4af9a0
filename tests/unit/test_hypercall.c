/*
 * The hypercalls on the real kernel core: every call with every wrong handle, missing right and wrong value, and with every
 * allocation failing once. After each test nothing may be left behind.
 */
/* clang-format off */
/* UNIT_SOURCES: build/unit/kernel_fake.a */
/* UNIT_FLAGS: @tests/unit/fake_kernel/fake.flags @tests/unit/fake_kernel/fake.wrap */
/* clang-format on */
#include "tests/unit/fake_kernel/fake.h"

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

/* Arguments that stand for handles of the test's objects; the control VM's memory from SCRATCH on is filled before each call. */
#define PLACE(n)    (0xAA00000000000000ull + (n))
#define IS_PLACE(x) ((x)-PLACE(0) < PLACES)
enum { VM_PLACE, OTHER_PLACE, VCPU_PLACE, MEMORY_PLACE, EVENT_PLACE, HOST_PLACE, DEVICE_PLACE, PLACES };
#define VM     PLACE(VM_PLACE)
#define OTHER  PLACE(OTHER_PLACE)
#define VCPU   PLACE(VCPU_PLACE)
#define MEMORY PLACE(MEMORY_PLACE)
#define EVENT  PLACE(EVENT_PLACE)
#define HOST   PLACE(HOST_PLACE)
#define DEVICE PLACE(DEVICE_PLACE)

#define CONFIG_AT    0x1000ull
#define CPUID_AT     0x2000ull
#define STATE_AT     0x4000ull
#define SCHEDULE_AT  0x7000ull
#define ZEROES_AT    0x7800ull
#define OUT_AT       0x8000ull
#define BATCH_AT     0x9000ull
#define TEXT_AT      0xA000ull
#define MAPPED_GPA   0x400000ull
#define MAPPED_BYTES 0x200000ull
#define LAZY_GPA     0x10000000ull
#define RIGHTS_RW    (HILUM_MAP_READ | HILUM_MAP_WRITE)
#define NOWHERE      (CONTROL_BYTES - 8)
#define DEVICE_RID   0x18
#define REGISTERS    0xFD000000ull /* where the machine has no RAM */

static hilum_handle_t place[PLACES];

static void *at(uint64_t gpa)
{
	return control_memory() + gpa;
}

static void fill_arguments(void)
{
	struct hilum_vm_config config = { .status_event = place[EVENT_PLACE], .name = "new" };
	struct hilum_cpuid_entry cpuid[2] = { { .leaf = 0, .eax = 1 }, { .leaf = 1, .edx = 1 } };
	struct hilum_vcpu_state state = { .rip = 0x1234, .rflags = 2, .pat = 6 };
	struct hilum_schedule schedule = { .cores = 3, .weight = 100, .cap = 500, .reservation = 100 };

	memcpy(at(SCHEDULE_AT), &schedule, sizeof(schedule));
	memcpy(at(CONFIG_AT), &config, sizeof(config));
	memcpy(at(CPUID_AT), cpuid, sizeof(cpuid));
	memcpy(at(STATE_AT), &state, sizeof(state));
	memcpy(at(TEXT_AT), "hello\n%s", 8);
}

/* A VM with a vCPU on the other core, mapped memory, and an event of it; another VM; a memory object of 4 MiB of zeroes. */
static int set_up(void **state)
{
	(void)state;
	fake_boot(2);
	place[HOST_PLACE] = HOST_HANDLE;
	place[VM_PLACE] = make_vm(HILUM_VM_DEVICES);
	place[OTHER_PLACE] = make_vm(0);
	make_vcpu(place[VM_PLACE], 0, 1, &place[VCPU_PLACE]);
	place[MEMORY_PLACE] = CALL_HANDLE(HC_MEMORY_CREATE, HOST_HANDLE, 4 * MIB, HILUM_MEMORY_SHARE);
	place[EVENT_PLACE] = CALL_HANDLE(HC_EVENT_CREATE, place[VM_PLACE], 0, 5, 0);
	place[DEVICE_PLACE] = CALL_HANDLE(HC_DEVICE_CREATE, HOST_HANDLE, DEVICE_RID, 0);
	CALL_OK(HC_DEVICE_ASSIGN, place[DEVICE_PLACE], place[VM_PLACE], HILUM_DEVICE_UNPROTECTED);
	CALL_OK(HC_MEMORY_MAP, place[VM_PLACE], place[MEMORY_PLACE], MAPPED_GPA, 0, MAPPED_BYTES, RIGHTS_RW);
	hilum_handle_t lazy = CALL_HANDLE(HC_MEMORY_CREATE, HOST_HANDLE, 4 * MIB, HILUM_MEMORY_LAZY);
	CALL_OK(HC_MEMORY_MAP, place[VM_PLACE], lazy, LAZY_GPA, 0, 2 * MIB, RIGHTS_RW);
	CALL_OK(HC_MEMORY_MAP, place[VM_PLACE], lazy, LAZY_GPA + 2 * MIB, 0, 2 * MIB, HILUM_MAP_READ);
	CALL_OK(HC_HANDLE_CLOSE, lazy);
	CALL_OK(HC_IRQ_BIND, HOST_HANDLE, 9, place[EVENT_PLACE]);
	CALL_OK(HC_VM_BIND_TRAP, place[VM_PLACE], place[EVENT_PLACE], 0x70, 0x77);
	fill_arguments();
	return 0;
}

static int tear_down(void **state)
{
	(void)state;
	fake_check_clean();
	return 0;
}

/* A call that succeeds, and the rights that it needs on each argument that is a handle. */
struct valid {
	uint64_t words[7];
	uint32_t rights[7]; /* by word */
	int64_t result;     /* HANDLE: any */
};
#define HANDLE 1000000
#define ANY    1000001

#define R_C HILUM_RIGHT_CONTROL
#define R_M HILUM_RIGHT_MAP
#define R_W HILUM_RIGHT_WRITE
#define R_S HILUM_RIGHT_SIGNAL
#define R_R HILUM_RIGHT_READ
#define R_G HILUM_RIGHT_GRANT
#define R_B HILUM_RIGHT_BIND

static const struct valid valid_calls[] = {
	{ { HC_HANDLE_CLOSE, EVENT }, { 0 }, 0 },
	{ { HC_HANDLE_GRANT, VM, MEMORY, R_R }, { 0, R_C, R_G }, HANDLE },
	{ { HC_MEMORY_CREATE, HOST, 2 * MIB + 8 * KIB, 0 }, { 0, R_C }, HANDLE },
	{ { HC_MEMORY_CREATE, HOST, 2 * MIB, HILUM_MEMORY_LAZY }, { 0, R_C }, HANDLE },
	{ { HC_MEMORY_CREATE, HOST, 2 * MIB, HILUM_MEMORY_MOVES }, { 0, R_C }, HANDLE },
	{ { HC_MEMORY_MAP, VM, MEMORY, 0x200000, 0, 0x2000, RIGHTS_RW }, { 0, R_M, R_M | R_W }, 0 },
	{ { HC_MEMORY_MAP, VM, MEMORY, 0x200000, 0x1000, 0x1000, HILUM_MAP_READ }, { 0, R_M, R_M }, 0 },
	{ { HC_MEMORY_UNMAP, VM, MAPPED_GPA, MAPPED_BYTES }, { 0, R_M }, 0 },
	{ { HC_MEMORY_DISCARD, VM, LAZY_GPA, 2 * MIB }, { 0, R_B }, 0 },
	{ { HC_VM_CREATE, HOST, CONFIG_AT }, { 0, R_C }, HANDLE },
	{ { HC_VM_DESTROY, VM }, { 0, R_C }, 0 },
	{ { HC_VM_SET_CPUID, VM, CPUID_AT, 2 }, { 0, R_C }, 0 },
	{ { HC_VM_BIND_TRAP, VM, EVENT, 0x60, 0x64 }, { 0, R_B, R_S }, 0 },
	{ { HC_VM_UNBIND_TRAP, VM, 0x70 }, { 0, R_B }, 0 },
	{ { HC_VM_SET_HANDLER, VM, OTHER, 7 }, { 0, R_C, R_C }, 0 },
	{ { HC_VM_SET_HANDLER, VM, 0, 7 }, { 0, R_C }, 0 },
	{ { HC_VM_SHARED_MEMORY, VM }, { 0, R_C }, HANDLE },
	{ { HC_VM_STATUS, VM, OUT_AT }, { 0, R_R }, 0 },
	{ { HC_VM_INJECT_MSI, VM, 0xFEE00000, 0x31 }, { 0, R_S }, 0 },
	{ { HC_VM_SET_EXTINT, VM, 1 }, { 0, R_S }, 0 },
	{ { HC_VM_GRANT_PORTS, VM, HOST, 0xFFFF, 1 }, { 0, R_C, R_C }, 0 },
	{ { HC_VCPU_CREATE, VM, 63, HILUM_CORE_ANY, 65535 }, { 0, R_C }, HANDLE },
	{ { HC_VCPU_SET_STATE, VCPU, STATE_AT, HILUM_STATE_GPR }, { 0, R_C }, 0 },
	{ { HC_VCPU_GET_STATE, VCPU, STATE_AT, HILUM_STATE_ALL }, { 0, R_R }, 0 },
	{ { HC_VCPU_RUN, VCPU }, { 0, R_C }, 0 },
	{ { HC_VCPU_PAUSE, VCPU }, { 0, R_C }, 0 },
	{ { HC_VCPU_TRAP_MEMORY, VCPU }, { 0, R_C }, HANDLE },
	{ { HC_VCPU_STATS, VCPU, OUT_AT }, { 0, R_R }, 0 },
	{ { HC_VCPU_SCHEDULE, VCPU, SCHEDULE_AT }, { 0, R_C }, 0 },
	{ { HC_EVENT_CREATE, VM, 0, 127, 255 }, { 0, R_B }, HANDLE },
	{ { HC_EVENT_SIGNAL, EVENT }, { 0, R_S }, 0 },
	{ { HC_IRQ_BIND, HOST, 4, EVENT }, { 0, R_C, 0, R_S }, 0 },
	{ { HC_IRQ_BIND, HOST, 9, EVENT }, { 0, R_C, 0, R_S }, 0 }, /* which is bound: anew */
	{ { HC_IRQ_ACK, EVENT }, { 0, R_S }, 0 },
	{ { HC_HOST_INFO, HOST, OUT_AT }, { 0, R_C }, 0 },
	{ { HC_HOST_LOG_TAKE, HOST, EVENT }, { 0, R_C, R_S }, ANY },
	{ { HC_HOST_LOG_TAKE, HOST, 0 }, { 0, R_C }, ANY },
	{ { HC_MEMORY_CREATE, HOST, 2 * PAGE_SIZE, HILUM_MEMORY_DEVICE, REGISTERS }, { 0, R_C }, HANDLE },
	{ { HC_HOST_SCHEDULE, HOST, 0 }, { 0, R_C }, 0 },
	{ { HC_DEVICE_CREATE, HOST, 0x20, EVENT }, { 0, R_C, 0, R_S }, HANDLE },
	{ { HC_DEVICE_ASSIGN, DEVICE, 0, 0 }, { 0, R_C }, 0 },
	{ { HC_MEMORY_DIGEST, MEMORY, 0x1000 }, { 0, R_R }, ANY },
	{ { HC_MEMORY_SHARE, MEMORY, 0, MEMORY, 0x1000, HILUM_MEMORY_QUIET }, { 0, R_C, 0, R_C }, 1 },
	{ { HC_MEMORY_SHARE, MEMORY, 2 * MIB, MEMORY, 4 * MIB - 0x1000, 0 }, { 0, R_C, 0, R_C }, 1 },
	{ { HC_MEMORY_MOVE, MEMORY, 2 * MIB, HILUM_MOVE_GATHER | HILUM_MEMORY_QUIET, 0 }, { 0, R_C }, 0 },
	{ { HC_MEMORY_MOVE, MEMORY, 2 * MIB, HILUM_MOVE_LEAVE, 9 }, { 0, R_C }, 0 },
	{ { HC_MEMORY_STATUS, MEMORY, OUT_AT }, { 0, R_R }, 0 },
	{ { HC_MEMORY_LIMIT, MEMORY, MIB }, { 0, R_C }, 0 },
	{ { HC_HOST_FRAMES, HOST, OUT_AT, 0, HILUM_FRAMES_BYTES_MAX }, { 0, R_C }, 0 },
	{ { HC_DEVICE_BIND_IRQ, DEVICE, 3, EVENT }, { 0, R_B, 0, R_S }, ANY },
	{ { HC_DEVICE_BIND_IRQ, DEVICE, 3, 0 }, { 0, R_B }, 0 },
	{ { HC_DEVICE_STATUS, DEVICE, OUT_AT }, { 0, R_R }, 0 },
	{ { HC_OBJECT_INFO, SELF_HANDLE, 0 }, { 0 }, ANY },
	{ { HC_VM_REGION, VM, 0, OUT_AT }, { 0, R_M }, 0 },
};

static void put_handles(uint64_t words[7])
{
	for (unsigned i = 1; i < 7; i++)
		if (IS_PLACE(words[i]))
			words[i] = place[words[i] - PLACE(0)];
}

static int64_t call_with(const uint64_t words[7])
{
	uint64_t filled[7];

	memcpy(filled, words, sizeof(filled));
	put_handles(filled);
	return call(filled);
}

/* Each test body gets a fresh world for each row. */
static void each_valid_call(void (*body)(const struct valid *v))
{
	for (unsigned i = 0; i < ARRAY_SIZE(valid_calls); i++) {
		set_up(NULL);
		body(&valid_calls[i]);
		tear_down(NULL);
	}
}

static void check_result(const struct valid *v, int64_t result)
{
	if (v->result == HANDLE)
		assert_true(result > 0 && (handle_rights(&control->handles, (uint64_t)result) != 0 || v->words[0] == HC_HANDLE_GRANT));
	else if (v->result == ANY)
		assert_true(result >= 0);
	else
		assert_int_equal(result, v->result);
}

static void succeed(const struct valid *v)
{
	check_result(v, call_with(v->words));
}

static void each_call__valid_arguments__succeeds_and_leaves_nothing(void **state)
{
	(void)state;
	each_valid_call(succeed);
}

static void expect_bad_handle(const struct valid *v, unsigned word, uint64_t handle)
{
	uint64_t words[7];

	memcpy(words, v->words, sizeof(words));
	words[word] = handle;
	assert_int_equal(call_with(words), HILUM_E_BAD_HANDLE);
}

static hilum_handle_t stale_handle(void)
{
	hilum_handle_t h = CALL_HANDLE(HC_EVENT_CREATE, place[VM_PLACE], 0, 1, 0);

	CALL_OK(HC_HANDLE_CLOSE, h);
	return h;
}

/* An optional handle may be zero: those calls have a row of their own. */
static bool is_optional(const struct valid *v, unsigned word)
{
	if (word == 3)
		return v->words[0] == HC_DEVICE_CREATE || v->words[0] == HC_DEVICE_BIND_IRQ;
	return word == 2 && (v->words[0] == HC_VM_SET_HANDLER || v->words[0] == HC_HOST_LOG_TAKE);
}

static void bad_handles(const struct valid *v)
{
	hilum_handle_t stale = stale_handle();

	for (unsigned i = 1; i < 7; i++) {
		if (!IS_PLACE(v->words[i]))
			continue;
		uint64_t good = place[v->words[i] - PLACE(0)];
		if (!is_optional(v, i))
			expect_bad_handle(v, i, 0);
		expect_bad_handle(v, i, stale);
		expect_bad_handle(v, i, good | 1ull << 32);
		expect_bad_handle(v, i, good + 0x10000);
		expect_bad_handle(v, i, good | 0x1000);
		expect_bad_handle(v, i, 0xFFFF);
		expect_bad_handle(v, i, UINT64_MAX);
		bool any_type = v->words[0] == HC_HANDLE_CLOSE || (v->words[0] == HC_HANDLE_GRANT && i == 2);
		for (unsigned p = 0; p < PLACES && !any_type; p++)
			if (p != v->words[i] - PLACE(0) && !(p <= OTHER_PLACE && v->words[i] - PLACE(0) <= OTHER_PLACE))
				expect_bad_handle(v, i, place[p]);
	}
}

static void each_call__bad_handle__is_refused(void **state)
{
	(void)state;
	each_valid_call(bad_handles);
}

static void missing_rights(const struct valid *v)
{
	for (unsigned i = 1; i < 7; i++) {
		for (uint32_t right = 1; right < HILUM_RIGHT_ALL; right <<= 1) {
			if (!IS_PLACE(v->words[i]) || !(v->rights[i] & right))
				continue;
			uint64_t words[7];
			memcpy(words, v->words, sizeof(words));
			words[i] = CALL_HANDLE(HC_HANDLE_GRANT, SELF_HANDLE, place[v->words[i] - PLACE(0)], HILUM_RIGHT_ALL & ~right);
			assert_int_equal(call_with(words), HILUM_E_DENIED);
		}
	}
}

static void each_call__missing_right__is_denied(void **state)
{
	(void)state;
	each_valid_call(missing_rights);
}

static void needed_rights(const struct valid *v)
{
	uint64_t words[7];

	if (v->words[0] == HC_HANDLE_CLOSE || v->words[0] == HC_HANDLE_GRANT)
		return;
	memcpy(words, v->words, sizeof(words));
	for (unsigned i = 1; i < 7; i++)
		if (IS_PLACE(words[i]))
			words[i] = CALL_HANDLE(HC_HANDLE_GRANT, SELF_HANDLE, place[v->words[i] - PLACE(0)], v->rights[i]);
	check_result(v, call_with(words));
}

static void each_call__only_needed_rights__succeeds(void **state)
{
	(void)state;
	each_valid_call(needed_rights);
}

static void each_call__guest_user_mode__is_denied(void **state)
{
	(void)state;
	caller->cpl = 3;
	for (unsigned i = 0; i < ARRAY_SIZE(valid_calls); i++)
		assert_int_equal(call_with(valid_calls[i].words), HILUM_E_DENIED);
	CALL_OK(HC_NOP);
	caller->cpl = 0;
}

/* ---- Wrong values ---- */

struct wrong {
	uint64_t words[7];
	int64_t result;
};

static const struct wrong wrong_calls[] = {
	{ { HC_HANDLE_GRANT, VM, MEMORY, 0 }, HILUM_E_DENIED },
	{ { HC_HANDLE_GRANT, VM, MEMORY, HILUM_RIGHT_ALL + 1 }, HILUM_E_DENIED },
	{ { HC_HANDLE_GRANT, VM, MEMORY, 1ull << 32 | 1 }, HILUM_E_DENIED },
	{ { HC_MEMORY_CREATE, HOST, 0, 0 }, HILUM_E_INVALID },
	{ { HC_MEMORY_CREATE, HOST, 4095, 0 }, HILUM_E_INVALID },
	{ { HC_MEMORY_CREATE, HOST, UINT64_MAX, 0 }, HILUM_E_INVALID },
	{ { HC_MEMORY_CREATE, HOST, 0 - PAGE_SIZE, 0 }, HILUM_E_INVALID },
	{ { HC_MEMORY_CREATE, HOST, PAGE_SIZE, 4 }, HILUM_E_INVALID },
	{ { HC_MEMORY_CREATE, HOST, PAGE_SIZE, 1ull << 32 }, HILUM_E_INVALID },
	{ { HC_MEMORY_CREATE, HOST, PAGE_SIZE, 32 }, HILUM_E_INVALID },
	{ { HC_MEMORY_DIGEST, MEMORY, 1 }, HILUM_E_INVALID },
	{ { HC_MEMORY_DIGEST, MEMORY, 4 * MIB }, HILUM_E_INVALID },
	{ { HC_MEMORY_DIGEST, MEMORY, 0 - PAGE_SIZE }, HILUM_E_INVALID },
	{ { HC_MEMORY_SHARE, MEMORY, 0, MEMORY, 0x1000, 0 }, HILUM_E_BUSY }, /* the VM that maps them has a device */
	{ { HC_MEMORY_SHARE, MEMORY, 0, MEMORY, 0x1000, 1 }, HILUM_E_INVALID },
	{ { HC_MEMORY_SHARE, MEMORY, 0x800, MEMORY, 0x1000, 0 }, HILUM_E_INVALID },
	{ { HC_MEMORY_SHARE, MEMORY, 0, MEMORY, 4 * MIB, 0 }, HILUM_E_INVALID },
	{ { HC_MEMORY_MOVE, MEMORY, 0, 0, 18 }, HILUM_E_INVALID },
	{ { HC_MEMORY_MOVE, MEMORY, 0, HILUM_MOVE_GATHER | HILUM_MOVE_LEAVE, 18 }, HILUM_E_INVALID },
	{ { HC_MEMORY_MOVE, MEMORY, PAGE_SIZE, HILUM_MOVE_LEAVE, 18 }, HILUM_E_INVALID },
	{ { HC_MEMORY_MOVE, MEMORY, 4 * MIB, HILUM_MOVE_LEAVE, 18 }, HILUM_E_INVALID },
	{ { HC_MEMORY_MOVE, MEMORY, 0, HILUM_MOVE_LEAVE, 8 }, HILUM_E_INVALID },
	{ { HC_MEMORY_MOVE, MEMORY, 0, HILUM_MOVE_LEAVE, 19 }, HILUM_E_INVALID },
	{ { HC_MEMORY_MOVE, MEMORY, 0, HILUM_MOVE_LEAVE, 1ull << 44 | 18 }, HILUM_E_INVALID },
	{ { HC_HOST_FRAMES, HOST, OUT_AT, PAGE_SIZE, 0 }, HILUM_E_INVALID },
	{ { HC_HOST_FRAMES, HOST, OUT_AT, 0, HILUM_FRAMES_BYTES_MAX + 2 * MIB }, HILUM_E_INVALID },
	{ { HC_HOST_FRAMES, HOST, OUT_AT, 1ull << 44, 2 * MIB }, HILUM_E_INVALID },
	{ { HC_HOST_FRAMES, HOST, NOWHERE, 0, 0 }, HILUM_E_FAULT },
	{ { HC_MEMORY_CREATE, HOST, 1024 * MIB, 0 }, HILUM_E_NO_MEMORY },
	{ { HC_MEMORY_MAP, VM, MEMORY, 1, 0, PAGE_SIZE, RIGHTS_RW }, HILUM_E_INVALID },
	{ { HC_MEMORY_MAP, VM, MEMORY, 0, 1, PAGE_SIZE, RIGHTS_RW }, HILUM_E_INVALID },
	{ { HC_MEMORY_MAP, VM, MEMORY, 0, 0, 1, RIGHTS_RW }, HILUM_E_INVALID },
	{ { HC_MEMORY_MAP, VM, MEMORY, 0, 0, 0, RIGHTS_RW }, HILUM_E_INVALID },
	{ { HC_MEMORY_MAP, VM, MEMORY, 0, 0, 4 * MIB + PAGE_SIZE, RIGHTS_RW }, HILUM_E_INVALID },
	{ { HC_MEMORY_MAP, VM, MEMORY, 0, 4 * MIB, PAGE_SIZE, RIGHTS_RW }, HILUM_E_INVALID },
	{ { HC_MEMORY_MAP, VM, MEMORY, 0, 0 - PAGE_SIZE, 2 * PAGE_SIZE, RIGHTS_RW }, HILUM_E_INVALID },
	{ { HC_MEMORY_MAP, VM, MEMORY, 0, PAGE_SIZE, 0 - PAGE_SIZE, RIGHTS_RW }, HILUM_E_INVALID },
	{ { HC_MEMORY_MAP, VM, MEMORY, 1ull << 47, 0, PAGE_SIZE, RIGHTS_RW }, HILUM_E_INVALID },
	{ { HC_MEMORY_MAP, VM, MEMORY, 0 - PAGE_SIZE, 0, 2 * PAGE_SIZE, RIGHTS_RW }, HILUM_E_INVALID },
	{ { HC_MEMORY_MAP, VM, MEMORY, 0, 0, PAGE_SIZE, 0 }, HILUM_E_INVALID },
	{ { HC_MEMORY_MAP, VM, MEMORY, 0, 0, PAGE_SIZE, HILUM_MAP_WRITE }, HILUM_E_INVALID },
	{ { HC_MEMORY_MAP, VM, MEMORY, 0, 0, PAGE_SIZE, HILUM_MAP_READ | 8 }, HILUM_E_INVALID },
	{ { HC_MEMORY_MAP, VM, MEMORY, 0, 0, PAGE_SIZE, HILUM_MAP_READ | 1ull << 32 }, HILUM_E_INVALID },
	{ { HC_MEMORY_MAP, VM, MEMORY, MAPPED_GPA, 0, PAGE_SIZE, RIGHTS_RW }, HILUM_E_EXISTS },
	{ { HC_MEMORY_MAP, VM, MEMORY, MAPPED_GPA - PAGE_SIZE, 0, 2 * PAGE_SIZE, RIGHTS_RW }, HILUM_E_EXISTS },
	{ { HC_MEMORY_MAP, VM, MEMORY, 0xFEE00000, 0, PAGE_SIZE, RIGHTS_RW }, HILUM_E_EXISTS },
	{ { HC_MEMORY_MAP, VM, MEMORY, 0xFEC00000, 0, 2 * MIB + PAGE_SIZE, RIGHTS_RW }, HILUM_E_EXISTS },
	{ { HC_MEMORY_MAP, VM, MEMORY, 0xFED00000, 0, 4 * MIB, RIGHTS_RW }, HILUM_E_EXISTS },
	{ { HC_MEMORY_UNMAP, VM, 0, PAGE_SIZE }, HILUM_E_NOT_FOUND },
	{ { HC_MEMORY_UNMAP, VM, MAPPED_GPA, PAGE_SIZE }, HILUM_E_NOT_FOUND },
	{ { HC_MEMORY_UNMAP, VM, MAPPED_GPA + PAGE_SIZE, MAPPED_BYTES - PAGE_SIZE }, HILUM_E_NOT_FOUND },
	{ { HC_MEMORY_UNMAP, VM, UINT64_MAX, UINT64_MAX }, HILUM_E_NOT_FOUND },
	{ { HC_MEMORY_DISCARD, VM, MAPPED_GPA, 2 * MIB }, HILUM_E_INVALID }, /* not lazy */
	{ { HC_MEMORY_DISCARD, VM, LAZY_GPA, 0 }, HILUM_E_INVALID },
	{ { HC_MEMORY_DISCARD, VM, LAZY_GPA, 2 * MIB + 1 }, HILUM_E_INVALID },
	{ { HC_MEMORY_DISCARD, VM, LAZY_GPA - 1, 2 }, HILUM_E_INVALID },
	{ { HC_MEMORY_DISCARD, VM, LAZY_GPA, UINT64_MAX }, HILUM_E_INVALID },
	{ { HC_MEMORY_DISCARD, VM, LAZY_GPA + 2 * MIB, 2 * MIB }, HILUM_E_INVALID }, /* read-only */
	{ { HC_MEMORY_DISCARD, VM, UINT64_MAX, UINT64_MAX }, HILUM_E_INVALID },
	{ { HC_VM_CREATE, HOST, NOWHERE }, HILUM_E_FAULT },
	{ { HC_VM_CREATE, HOST, UINT64_MAX }, HILUM_E_FAULT },
	{ { HC_VM_DESTROY, SELF_HANDLE }, HILUM_E_BUSY },
	{ { HC_VM_SET_CPUID, VM, CPUID_AT, 0 }, HILUM_E_INVALID },
	{ { HC_VM_SET_CPUID, VM, CPUID_AT, HILUM_CPUID_MAX + 1 }, HILUM_E_INVALID },
	{ { HC_VM_SET_CPUID, VM, CPUID_AT, 1ull << 32 | 1 }, HILUM_E_INVALID },
	{ { HC_VM_SET_CPUID, VM, NOWHERE, 2 }, HILUM_E_FAULT },
	{ { HC_VM_BIND_TRAP, VM, EVENT, 0, 0x10000 }, HILUM_E_INVALID },
	{ { HC_VM_BIND_TRAP, VM, EVENT, 5, 4 }, HILUM_E_INVALID },
	{ { HC_VM_BIND_TRAP, VM, EVENT, UINT64_MAX, 4 }, HILUM_E_INVALID },
	{ { HC_VM_BIND_TRAP, VM, HOST_HANDLE, 0, 1 }, HILUM_E_BAD_HANDLE },
	{ { HC_VM_BIND_TRAP, VM, 0, 0, 1 }, HILUM_E_BAD_HANDLE },
	{ { HC_VM_BIND_TRAP, VM, EVENT, 0x77, 0x80 }, HILUM_E_EXISTS },
	{ { HC_VM_UNBIND_TRAP, VM, 0x71 }, HILUM_E_NOT_FOUND },
	{ { HC_VM_UNBIND_TRAP, VM, 0x6F }, HILUM_E_NOT_FOUND },
	{ { HC_VM_UNBIND_TRAP, VM, 1ull << 32 | 0x70 }, HILUM_E_NOT_FOUND },
	{ { HC_VM_SET_HANDLER, VM, VM, 0 }, HILUM_E_INVALID },
	{ { HC_VM_STATUS, VM, NOWHERE }, HILUM_E_FAULT },
	{ { HC_VM_INJECT_MSI, VM, 0xFEE00000, 1ull << 32 | 0x31 }, HILUM_E_INVALID },
	{ { HC_VM_INJECT_MSI, VM, 0x1000, 0x31 }, HILUM_E_INVALID },
	{ { HC_VM_SET_EXTINT, VM, 2 }, HILUM_E_INVALID },
	{ { HC_VM_GRANT_PORTS, VM, HOST, 0, 0 }, HILUM_E_INVALID },
	{ { HC_VM_GRANT_PORTS, VM, HOST, 0x10000, 1 }, HILUM_E_INVALID },
	{ { HC_VM_GRANT_PORTS, VM, HOST, 0xFFFF, 2 }, HILUM_E_INVALID },
	{ { HC_VM_GRANT_PORTS, VM, HOST, 1, UINT64_MAX }, HILUM_E_INVALID },
	{ { HC_VCPU_CREATE, VM, 0, 0, 256 }, HILUM_E_EXISTS },
	{ { HC_VCPU_CREATE, VM, HILUM_MAX_VCPUS, 0, 256 }, HILUM_E_INVALID },
	{ { HC_VCPU_CREATE, VM, 1ull << 32 | 1, 0, 256 }, HILUM_E_INVALID },
	{ { HC_VCPU_CREATE, VM, 1, 2, 256 }, HILUM_E_INVALID },
	{ { HC_VCPU_CREATE, VM, 1, 1ull << 32, 256 }, HILUM_E_INVALID },
	{ { HC_VCPU_CREATE, VM, 1, 0, 0 }, HILUM_E_INVALID },
	{ { HC_VCPU_CREATE, VM, 1, 0, 65536 }, HILUM_E_INVALID },
	{ { HC_VCPU_CREATE, VM, 1, 0, 1ull << 32 | 256 }, HILUM_E_INVALID },
	{ { HC_VCPU_SET_STATE, VCPU, NOWHERE, HILUM_STATE_GPR }, HILUM_E_FAULT },
	{ { HC_VCPU_SET_STATE, VCPU, STATE_AT, HILUM_STATE_ALL + 1 }, HILUM_E_INVALID },
	{ { HC_VCPU_SET_STATE, VCPU, STATE_AT, 1ull << 32 }, HILUM_E_INVALID },
	{ { HC_VCPU_GET_STATE, VCPU, NOWHERE, HILUM_STATE_GPR }, HILUM_E_FAULT },
	{ { HC_VCPU_GET_STATE, VCPU, STATE_AT, HILUM_STATE_ALL + 1 }, HILUM_E_INVALID },
	{ { HC_VCPU_STATS, VCPU, NOWHERE }, HILUM_E_FAULT },
	{ { HC_VCPU_SCHEDULE, VCPU, NOWHERE }, HILUM_E_FAULT },
	{ { HC_VCPU_SCHEDULE, VCPU, ZEROES_AT }, HILUM_E_INVALID },
	{ { HC_EVENT_CREATE, VM, 0, HILUM_EVENTS_PER_VCPU, 0 }, HILUM_E_INVALID },
	{ { HC_EVENT_CREATE, VM, 0, 0, 15 }, HILUM_E_INVALID },
	{ { HC_EVENT_CREATE, VM, 0, 0, 256 }, HILUM_E_INVALID },
	{ { HC_EVENT_CREATE, VM, 1, 0, 0 }, HILUM_E_NOT_FOUND },
	{ { HC_EVENT_CREATE, VM, HILUM_MAX_VCPUS, 0, 0 }, HILUM_E_NOT_FOUND },
	{ { HC_EVENT_CREATE, VM, UINT64_MAX, 0, 0 }, HILUM_E_NOT_FOUND },
	{ { HC_IRQ_BIND, HOST, 24, EVENT }, HILUM_E_NOT_FOUND },
	{ { HC_IRQ_BIND, HOST, 1ull << 32, EVENT }, HILUM_E_INVALID },
	{ { HC_MEMORY_CREATE, HOST, PAGE_SIZE, HILUM_MEMORY_DEVICE, 0 }, HILUM_E_INVALID },
	{ { HC_MEMORY_CREATE, HOST, PAGE_SIZE, HILUM_MEMORY_DEVICE, REGISTERS + 1 }, HILUM_E_INVALID },
	{ { HC_MEMORY_CREATE, HOST, 0, HILUM_MEMORY_DEVICE, REGISTERS }, HILUM_E_INVALID },
	{ { HC_MEMORY_CREATE, HOST, PAGE_SIZE, HILUM_MEMORY_DEVICE | HILUM_MEMORY_LAZY, REGISTERS }, HILUM_E_INVALID },
	{ { HC_MEMORY_CREATE, HOST, PAGE_SIZE, HILUM_MEMORY_DEVICE, 1ull << 52 }, HILUM_E_INVALID },
	{ { HC_MEMORY_CREATE, HOST, PAGE_SIZE, HILUM_MEMORY_DEVICE, 0 - PAGE_SIZE }, HILUM_E_INVALID },
	{ { HC_MEMORY_CREATE, HOST, PAGE_SIZE, HILUM_MEMORY_DEVICE, 8 * MIB }, HILUM_E_DENIED },    /* RAM */
	{ { HC_MEMORY_CREATE, HOST, PAGE_SIZE, HILUM_MEMORY_DEVICE, 0xFEE00000 }, HILUM_E_DENIED }, /* interrupts */
	{ { HC_MEMORY_CREATE, HOST, MIB, HILUM_MEMORY_DEVICE, 0xFED80000 }, HILUM_E_DENIED },
	{ { HC_HOST_SCHEDULE, HOST, 2 }, HILUM_E_INVALID },
	{ { HC_DEVICE_CREATE, HOST, DEVICE_RID, 0 }, HILUM_E_EXISTS },
	{ { HC_DEVICE_CREATE, HOST, 0, 0 }, HILUM_E_DENIED }, /* the host bridge */
	{ { HC_DEVICE_CREATE, HOST, 0x10018, 0 }, HILUM_E_UNSUPPORTED },
	{ { HC_DEVICE_ASSIGN, DEVICE, VM, HILUM_DEVICE_UNPROTECTED }, HILUM_E_BUSY },
	{ { HC_DEVICE_ASSIGN, DEVICE, OTHER, HILUM_DEVICE_UNPROTECTED }, HILUM_E_INVALID },
	{ { HC_DEVICE_ASSIGN, DEVICE, VM, 2 }, HILUM_E_INVALID },
	{ { HC_DEVICE_ASSIGN, DEVICE, VM, 1ull << 32 }, HILUM_E_INVALID },
	{ { HC_DEVICE_ASSIGN, DEVICE, MEMORY, 0 }, HILUM_E_BAD_HANDLE },
	{ { HC_DEVICE_BIND_IRQ, DEVICE, 2048, EVENT }, HILUM_E_INVALID },
	{ { HC_DEVICE_STATUS, DEVICE, NOWHERE }, HILUM_E_FAULT },
	{ { HC_DEVICE_DMA_ADDRESS, DEVICE, 0 }, HILUM_E_DENIED }, /* another VM's */
	{ { HC_HOST_INFO, HOST, NOWHERE }, HILUM_E_FAULT },
	{ { HC_OBJECT_INFO, VM, 0 }, HILUM_E_NOT_FOUND }, /* it has no handles */
	{ { HC_OBJECT_INFO, SELF_HANDLE, HANDLES_MAX }, HILUM_E_NOT_FOUND },
	{ { HC_OBJECT_INFO, SELF_HANDLE, UINT64_MAX }, HILUM_E_NOT_FOUND },
	{ { HC_OBJECT_INFO, MEMORY, 0 }, HILUM_E_BAD_HANDLE },
	{ { HC_VM_REGION, VM, 0, NOWHERE }, HILUM_E_FAULT },
	{ { HC_VM_REGION, VM, LAZY_GPA + 4 * MIB, OUT_AT }, HILUM_E_NOT_FOUND },
	{ { HC_VM_REGION, VM, UINT64_MAX, OUT_AT }, HILUM_E_NOT_FOUND },
	{ { HC_LOG_WRITE, TEXT_AT, 0 }, HILUM_E_INVALID },
	{ { HC_LOG_WRITE, TEXT_AT, HILUM_LOG_LINE_MAX + 1 }, HILUM_E_INVALID },
	{ { HC_LOG_WRITE, UINT64_MAX - 1, 8 }, HILUM_E_FAULT },
	{ { HC_BATCH, BATCH_AT, HILUM_BATCH_MAX + 1 }, HILUM_E_INVALID },
	{ { HC_BATCH, UINT64_MAX - 63, 2 }, HILUM_E_FAULT },
	{ { HC_CALL_END }, HILUM_E_UNSUPPORTED },
	{ { HC_NOP | 0xFFFF }, HILUM_E_UNSUPPORTED },
	{ { HILUM_KVM_HC_KICK_CPU }, HILUM_E_UNSUPPORTED },
	{ { UINT64_MAX }, HILUM_E_UNSUPPORTED },
	{ { 1ull << 32 | HC_HOST_INFO, HOST, OUT_AT }, HILUM_E_UNSUPPORTED },
};

static void each_call__wrong_value__is_refused(void **state)
{
	(void)state;
	for (unsigned i = 0; i < ARRAY_SIZE(wrong_calls); i++) {
		int64_t result = call_with(wrong_calls[i].words);
		if (result != wrong_calls[i].result)
			fail_msg("row %u, call %#lx: %ld instead of %ld", i, wrong_calls[i].words[0], result, wrong_calls[i].result);
	}
}

/* ---- Allocations that fail ---- */

/* The handle table is full but for one. */
static void fill_handles(void)
{
	hilum_handle_t handle;

	do
		assert_int_equal(handle_insert(&control->handles, &host_object, HILUM_RIGHT_READ, &handle), STATUS_OK);
	while (handle != HANDLES_MAX - 2);
}

static bool succeeded(const struct valid *v, int64_t result)
{
	return result >= 0 || result == v->result;
}

static bool fail_nth(const struct valid *v, int n, bool full)
{
	set_up(NULL);
	if (full)
		fill_handles();
	struct vm *vm = vm_of(place[VM_PLACE]);
	uint64_t apics = vm->bus.present, bytes = vm->status.kernel_bytes;
	failing_after = n;
	int64_t result = call_with(v->words);
	bool hit = failing_after == FAILING_DONE;
	failing_after = FAILING_NONE;
	if (!succeeded(v, result)) {
		assert_int_equal(vm->bus.present, apics); /* no interrupt goes to what was freed */
		assert_int_equal(vm->status.kernel_bytes, bytes);
		if (!hit || result != HILUM_E_NO_MEMORY)
			fail_msg("call %#lx, failure %d: %ld", v->words[0], n, result);
		result = call_with(v->words); /* nothing has changed: now it works */
		if (!succeeded(v, result))
			fail_msg("call %#lx again after failure %d: %ld", v->words[0], n, result);
	}
	tear_down(NULL);
	return hit;
}

static void each_call__nth_allocation_fails__leaves_nothing_and_works_again(void **state)
{
	(void)state;
	for (unsigned i = 0; i < ARRAY_SIZE(valid_calls); i++)
		for (int full = 0; full < 2; full++)
			for (int n = 0; fail_nth(&valid_calls[i], n, full); n++)
				;
}

/* ---- Structures in memory ---- */

static void vm_create__bad_config__is_invalid(void **state)
{
	static const struct {
		struct hilum_vm_config config;
		int64_t result;
	} rows[] = {
		{ { .flags = 64 }, HILUM_E_INVALID },
		{ { .reserved = 1 }, HILUM_E_INVALID },
		{ { .reserved2 = 1 }, HILUM_E_INVALID },
		{ { .name = "a\nb" }, HILUM_E_INVALID },
		{ { .name = "a\x7f" }, HILUM_E_INVALID },
		{ { .name = "a\xFF" }, HILUM_E_INVALID },
		{ { .status_event = 0x1234 }, HILUM_E_BAD_HANDLE },
		{ { .status_event = HOST_HANDLE }, HILUM_E_BAD_HANDLE },
	};

	(void)state;
	for (unsigned i = 0; i < ARRAY_SIZE(rows); i++) {
		memcpy(at(CONFIG_AT), &rows[i].config, sizeof(rows[i].config));
		assert_int_equal(CALL(HC_VM_CREATE, HOST_HANDLE, CONFIG_AT), rows[i].result);
	}
}

static int64_t told(hilum_handle_t handle, uint64_t type)
{
	return (int64_t)(type << 32 | handle);
}

static void object_info__each_kind__is_told(void **state)
{
	static const struct {
		unsigned place;
		uint16_t type;
	} rows[] = {
		{ HOST_PLACE, HILUM_OBJECT_HOST },     { VM_PLACE, HILUM_OBJECT_VM },       { VCPU_PLACE, HILUM_OBJECT_VCPU },
		{ MEMORY_PLACE, HILUM_OBJECT_MEMORY }, { EVENT_PLACE, HILUM_OBJECT_EVENT }, { DEVICE_PLACE, HILUM_OBJECT_DEVICE },
	};

	(void)state;
	for (unsigned i = 0; i < ARRAY_SIZE(rows); i++) {
		hilum_handle_t handle = place[rows[i].place];
		assert_int_equal(CALL(HC_OBJECT_INFO, SELF_HANDLE, handle & 0xFFFF), told(handle, rows[i].type));
	}
	hilum_handle_t other = CALL_HANDLE(HC_HANDLE_GRANT, SELF_HANDLE, place[OTHER_PLACE], HILUM_RIGHT_READ);
	CALL_OK(HC_VM_DESTROY, place[OTHER_PLACE]);
	assert_int_equal(CALL(HC_OBJECT_INFO, SELF_HANDLE, other & 0xFFFF), told(other, HILUM_OBJECT_DEAD));
}

static void object_info__walk__finds_each_handle_once(void **state)
{
	uint64_t index = 0;
	unsigned count = 0, there = 0;

	(void)state;
	for (int64_t info; (info = CALL(HC_OBJECT_INFO, SELF_HANDLE, index)) > 0; index = (info & 0xFFFF) + 1)
		count++;
	for (unsigned i = 1; i < HANDLES_MAX; i++)
		there += control->handles.entry[i].object != NULL;
	assert_int_equal(count, there);
}

static void vm_region__walk__finds_each_mapping(void **state)
{
	static const struct hilum_region expected[] = {
		{ MAPPED_GPA, MAPPED_BYTES, 0, RIGHTS_RW },
		{ LAZY_GPA, 2 * MIB, 0, RIGHTS_RW },
		{ LAZY_GPA + 2 * MIB, 2 * MIB, 0, HILUM_MAP_READ },
	};
	const struct hilum_region *region = at(OUT_AT);
	uint64_t from = 0;

	(void)state;
	for (unsigned i = 0; i < ARRAY_SIZE(expected); i++) {
		CALL_OK(HC_VM_REGION, place[VM_PLACE], from, OUT_AT);
		assert_memory_equal(region, &expected[i], sizeof(expected[i]));
		from = region->gpa + region->bytes;
	}
	CALL_OK(HC_VM_REGION, place[VM_PLACE], MAPPED_GPA + MAPPED_BYTES - 1, OUT_AT);
	assert_int_equal(region->gpa, MAPPED_GPA);
	CALL_OK(HC_MEMORY_UNMAP, place[VM_PLACE], MAPPED_GPA, MAPPED_BYTES);
	CALL_OK(HC_VM_REGION, place[VM_PLACE], 0, OUT_AT);
	assert_int_equal(region->gpa, LAZY_GPA);
}

static void vm_create__name_without_end__is_cut(void **state)
{
	struct hilum_vm_config config = { 0 };

	(void)state;
	memset(config.name, 'n', sizeof(config.name));
	memcpy(at(CONFIG_AT), &config, sizeof(config));
	hilum_handle_t h = CALL_HANDLE(HC_VM_CREATE, HOST_HANDLE, CONFIG_AT);
	assert_int_equal(strlen(vm_of(h)->name), sizeof(config.name) - 1);
}

static void vm_create__configuration__is_in_force(void **state)
{
	struct hilum_vm_config config = { .name = "n", .flags = HILUM_VM_REALTIME, .wall_clock_ns = 123456789, .clock = { 2, 4, 6, 8 } };
	struct hilum_vm_status status;

	(void)state;
	memcpy(at(CONFIG_AT), &config, sizeof(config));
	hilum_handle_t h = CALL_HANDLE(HC_VM_CREATE, HOST_HANDLE, CONFIG_AT);
	const struct vm *vm = vm_of(h);
	assert_int_equal(vm->flags, HILUM_VM_REALTIME);
	assert_int_equal(vm->wall_clock_ns, 123456789);
	assert_memory_equal(vm->clock, config.clock, sizeof(config.clock));
	assert_int_equal(vm->shared->tsc_hz, TSC_HZ);
	assert_int_equal(vm->shared->vm_id, vm->id);
	assert_int_equal(vm->bus.timer_min_period_tsc, VLAPIC_TIMER_MIN_US * (TSC_HZ / 1000000)); /* or a timer of 0 ns floods its core */
	CALL_OK(HC_VM_STATUS, h, OUT_AT);
	memcpy(&status, at(OUT_AT), sizeof(status));
	assert_int_equal(status.kernel_bytes, 3 * PAGE_SIZE); /* two for the VM, one that it shares */
	CALL_HANDLE(HC_VCPU_CREATE, h, 0, 0, 100);
	uint64_t before = vm->status.kernel_bytes;
	CALL_OK(HC_VM_GRANT_PORTS, h, HOST_HANDLE, 0x80, 1);
	assert_int_equal(vm->status.kernel_bytes, before + 4 * PAGE_SIZE);
}

/* The log is a terminal's: nothing that steers one gets into it, and no format is read from it. */
static void log_write__bytes_that_steer_a_terminal__are_dots(void **state)
{
	static const char text[] = "a\x1B[2J\n\x7F\x9B~ %s%n";

	(void)state;
	memcpy(at(TEXT_AT), text, sizeof(text));
	unsigned lines = fake_log_lines;
	CALL_OK(HC_LOG_WRITE, TEXT_AT, sizeof(text) - 1);
	assert_int_equal(fake_log_lines, lines + 1);
	assert_string_equal(fake_log_last, "a.[2J...~ %s%n");
	CALL_OK(HC_LOG_WRITE, TEXT_AT, 1);
	assert_string_equal(fake_log_last, "a");
}

static void log_write__vm_without_its_own_name__is_denied(void **state)
{
	struct handle_table none = { 0 }, own = control->handles;
	unsigned lines = fake_log_lines;

	(void)state;
	control->handles = none;
	int64_t result = CALL(HC_LOG_WRITE, TEXT_AT, 8);
	control->handles = own;
	assert_int_equal(result, HILUM_E_DENIED);
	assert_int_equal(fake_log_lines, lines);
}

static struct hilum_vm_status status_of_vm(void)
{
	struct hilum_vm_status status;

	CALL_OK(HC_VM_STATUS, place[VM_PLACE], OUT_AT);
	memcpy(&status, at(OUT_AT), sizeof(status));
	return status;
}

/* Once so that no core populates the range, and once so that no TLB has it, before its tables are used for something else. */
static void memory_unmap__mapped__every_core_passes_twice(void **state)
{
	const struct vm *vm = vm_of(place[VM_PLACE]);
	uint64_t epoch = cpu_table[0]->epoch, bytes = status_of_vm().memory_bytes;
	uint32_t kicks = fake_kicks[1], generation = vm->npt.generation;

	(void)state;
	CALL_OK(HC_MEMORY_UNMAP, place[VM_PLACE], MAPPED_GPA, MAPPED_BYTES);
	assert_true(cpu_table[0]->epoch >= epoch + 2 && fake_kicks[1] >= kicks + 2); /* a wait of the caller's counts one */
	assert_int_not_equal(vm->npt.generation, generation);                        /* it enters with a fresh tag */
	assert_int_equal(status_of_vm().memory_bytes, bytes - MAPPED_BYTES);
	CALL_OK(HC_MEMORY_MAP, place[VM_PLACE], place[MEMORY_PLACE], MAPPED_GPA, 0, MAPPED_BYTES, RIGHTS_RW);
	assert_int_equal(status_of_vm().memory_bytes, bytes);
}

/* The VM itself stays for as long as somebody has a handle: all that it had does not. */
static void vm_destroy__still_named__nothing_that_it_had_is_held(void **state)
{
	struct hilum_vm_config config = { .name = "n" };
	const struct event *event = event_of(place[EVENT_PLACE]);
	const struct vm *handler = vm_of(place[OTHER_PLACE]);
	uint32_t events = event->object.refs, handlers = handler->object.refs;
	hilum_handle_t vcpu;

	(void)state;
	config.status_event = place[EVENT_PLACE];
	memcpy(at(CONFIG_AT), &config, sizeof(config));
	hilum_handle_t h = CALL_HANDLE(HC_VM_CREATE, HOST_HANDLE, CONFIG_AT);
	hilum_handle_t second = CALL_HANDLE(HC_HANDLE_GRANT, SELF_HANDLE, h, HILUM_RIGHT_ALL);
	make_vcpu(h, 0, 1, &vcpu);
	struct vm *vm = vm_of(h);
	CALL_HANDLE(HC_HANDLE_GRANT, h, place[EVENT_PLACE], HILUM_RIGHT_SIGNAL);
	CALL_OK(HC_VM_BIND_TRAP, h, place[EVENT_PLACE], 0x60, 0x64);
	CALL_OK(HC_VM_SET_HANDLER, h, place[OTHER_PLACE], 7);
	assert_int_equal(event->object.refs, events + 3);
	assert_int_equal(handler->object.refs, handlers + 1);
	uint64_t epoch = cpu_table[1]->epoch;
	CALL_OK(HC_VM_DESTROY, h);
	assert_int_not_equal(cpu_table[1]->epoch, epoch); /* nobody was in a handler that had found it */
	assert_int_equal(event->object.refs, events);
	assert_int_equal(handler->object.refs, handlers);
	assert_int_equal(CALL(HC_VM_STATUS, second, OUT_AT), HILUM_E_BAD_HANDLE);
	assert_int_equal(CALL(HC_VCPU_RUN, vcpu), HILUM_E_BAD_HANDLE);
	for (const struct vm *listed = vm_list; listed != NULL; listed = listed->next)
		assert_ptr_not_equal(listed, vm);
	CALL_OK(HC_HANDLE_CLOSE, vcpu);
	CALL_OK(HC_HANDLE_CLOSE, second);
}

static void vm_bind_trap__overlap__exists_until_unbound(void **state)
{
	(void)state;
	CALL_OK(HC_VM_BIND_TRAP, place[VM_PLACE], place[EVENT_PLACE], 0x60, 0x64);
	assert_int_equal(CALL(HC_VM_BIND_TRAP, place[VM_PLACE], place[EVENT_PLACE], 0x64, 0x6F), HILUM_E_EXISTS);
	CALL_OK(HC_VM_BIND_TRAP, place[OTHER_PLACE], place[EVENT_PLACE], 0x64, 0x6F);
	assert_int_equal(CALL(HC_VM_UNBIND_TRAP, place[VM_PLACE], 0x61), HILUM_E_NOT_FOUND);
	CALL_OK(HC_VM_UNBIND_TRAP, place[VM_PLACE], 0x60);
	CALL_OK(HC_VM_BIND_TRAP, place[VM_PLACE], place[EVENT_PLACE], 0x64, 0x6F);
}

static void vm_set_cpuid__bad_table__is_invalid(void **state)
{
	static const struct hilum_cpuid_entry rows[][2] = {
		{ { .leaf = 1 }, { .leaf = 0 } },
		{ { .leaf = 1 }, { .leaf = 1 } },
		{ { .leaf = 1, .subleaf = 1 }, { .leaf = 1 } },
		{ { .leaf = 0 }, { .leaf = 32 } },
		{ { .leaf = 0 }, { .leaf = 0x40000200 } },
		{ { .leaf = 0 }, { .leaf = 0xC0000000 } },
		{ { .leaf = 0 }, { .leaf = 1, .flags = 2 } },
	};

	(void)state;
	for (unsigned i = 0; i < ARRAY_SIZE(rows); i++) {
		memcpy(at(CPUID_AT), rows[i], sizeof(rows[i]));
		if (CALL(HC_VM_SET_CPUID, place[VM_PLACE], CPUID_AT, 2) != HILUM_E_INVALID)
			fail_msg("row %u", i);
	}
	assert_int_equal(vm_of(place[VM_PLACE])->cpuid.count, 0);
}

static void vm_set_cpuid__after_first_run__is_busy(void **state)
{
	(void)state;
	CALL_OK(HC_VCPU_RUN, place[VCPU_PLACE]);
	assert_int_equal(CALL(HC_VM_SET_CPUID, place[VM_PLACE], CPUID_AT, 2), HILUM_E_BUSY);
}

static void memory_map__read_only_memory_writable__is_denied(void **state)
{
	struct memory_object *m = pool_alloc(sizeof(*m));
	hilum_handle_t handle;

	(void)state;
	assert_int_equal(memory_wrap_frames(8 * MIB, 2 * PAGE_SIZE, false, &m->memory), STATUS_OK);
	m->object = (struct object){ .type = OBJECT_MEMORY, .refs = 1 };
	assert_int_equal(handle_insert(&control->handles, &m->object, HILUM_RIGHT_ALL, &handle), STATUS_OK);
	object_unref(&m->object);
	assert_int_equal(CALL(HC_MEMORY_MAP, place[VM_PLACE], handle, 0, 0, PAGE_SIZE, RIGHTS_RW), HILUM_E_DENIED);
	CALL_OK(HC_MEMORY_MAP, place[VM_PLACE], handle, 0, 0, PAGE_SIZE, HILUM_MAP_READ);
}

static void irq_bind__event_of_a_destroyed_vm__is_not_found(void **state)
{
	(void)state;
	CALL_OK(HC_VM_DESTROY, place[VM_PLACE]);
	CALL_OK(HC_HANDLE_CLOSE, place[VCPU_PLACE]);
	assert_int_equal(CALL(HC_IRQ_BIND, HOST_HANDLE, 4, place[EVENT_PLACE]), HILUM_E_NOT_FOUND);
	assert_int_equal(CALL(HC_IRQ_ACK, place[EVENT_PLACE]), HILUM_E_NOT_FOUND);
	CALL_OK(HC_EVENT_SIGNAL, place[EVENT_PLACE]);
}

/* ---- Batches ---- */

static struct hilum_call *batch(void)
{
	memset(at(BATCH_AT), 0, 0x1000);
	return at(BATCH_AT);
}

static void batch__mixed__each_has_its_result(void **state)
{
	struct hilum_call *b = batch();

	(void)state;
	b[0] = (struct hilum_call){ .number = HC_NOP, .result = 5 };
	b[1] = (struct hilum_call){ .number = HC_VM_DESTROY, .arg = { SELF_HANDLE } };
	b[2] = (struct hilum_call){ .number = HC_WAIT };
	b[3] = (struct hilum_call){ .number = HC_BATCH };
	b[4] = (struct hilum_call){ .number = HC_MEMORY_CREATE, .arg = { HOST_HANDLE, PAGE_SIZE } };
	b[5] = (struct hilum_call){ .number = HILUM_KVM_HC_KICK_CPU };
	CALL_OK(HC_BATCH, BATCH_AT, 6);
	assert_int_equal(b[0].result, 0);
	assert_int_equal(b[1].result, HILUM_E_BUSY);
	assert_int_equal(b[2].result, HILUM_E_INVALID);
	assert_int_equal(b[3].result, HILUM_E_INVALID);
	assert_true(b[4].result > 0);
	assert_int_equal(b[5].result, HILUM_E_UNSUPPORTED);
}

static void batch__ends_outside_memory__is_fault_after_what_could_be_read(void **state)
{
	uint64_t gpa = CONTROL_BYTES - sizeof(struct hilum_call);
	struct hilum_call *b = at(gpa);

	(void)state;
	*b = (struct hilum_call){ .number = HC_EVENT_SIGNAL, .arg = { place[EVENT_PLACE] }, .result = 9 };
	assert_int_equal(CALL(HC_BATCH, gpa, 2), HILUM_E_FAULT);
	assert_int_equal(b->result, 0);
}

/* ---- The object lock ---- */

static void locked_call__lock_taken__is_executed_again(void **state)
{
	uint64_t rip = caller->rip;

	(void)state;
	assert_true(object_lock_try());
	caller->gpr[0] = HC_MEMORY_CREATE;
	caller->gpr[7] = HOST_HANDLE;
	caller->gpr[6] = PAGE_SIZE;
	hypercall_handle(caller, 3);
	assert_int_equal(caller->rip, rip);
	assert_int_equal(caller->gpr[0], HC_MEMORY_CREATE);
	assert_int_equal(CALL(HC_EVENT_SIGNAL, place[EVENT_PLACE]), 0); /* needs no lock */
	object_unlock(fake_self);
	assert_true(CALL(HC_MEMORY_CREATE, HOST_HANDLE, PAGE_SIZE, 0) > 0);
}

static void batch__lock_taken__goes_on_where_it_stopped(void **state)
{
	struct hilum_call *b = batch();
	uint64_t rip = caller->rip;

	(void)state;
	b[0] = (struct hilum_call){ .number = HC_EVENT_SIGNAL, .arg = { place[EVENT_PLACE] }, .result = 9 };
	b[1] = (struct hilum_call){ .number = HC_MEMORY_CREATE, .arg = { HOST_HANDLE, PAGE_SIZE } };
	assert_true(object_lock_try());
	caller->gpr[0] = HC_BATCH;
	caller->gpr[7] = BATCH_AT;
	caller->gpr[6] = 2;
	hypercall_handle(caller, 3);
	assert_int_equal(caller->rip, rip);
	assert_int_equal(b[0].result, 0);
	b[0].result = 9;
	object_unlock(fake_self);
	hypercall_handle(caller, 3);
	assert_int_equal(caller->rip, rip + 3);
	assert_int_equal(caller->gpr[0], 0);
	assert_int_equal(b[0].result, 9); /* not made twice */
	assert_true(b[1].result > 0);
}

/* ---- Random calls ---- */

static uint64_t random_argument(void)
{
	static const uint64_t special[] = { 0, 1, 2, 255, 256, 4095, 4096, 0x10000, UINT32_MAX, 1ull << 32, UINT64_MAX, 1ull << 47 };

	switch (fake_random() % 8) {
	case 0:
		return special[fake_random() % ARRAY_SIZE(special)];
	case 1:
		return fake_random();
	case 2: /* addresses of the prepared structures */
		return (1 + fake_random() % 10) << 12;
	case 3:
		return fake_random() % 128;
	case 4:
		return PAGE_SIZE << fake_random() % 11;
	default: /* handles that are likely to exist */
		return (1 + fake_random() % 40) | (fake_random() % 4 == 0 ? (fake_random() % 3) << 16 : 0);
	}
}

static void random_call(void)
{
	uint64_t words[7] = { HILUM_CALL_BASE + fake_random() % (HC_CALL_END - HILUM_CALL_BASE + 1) };
	unsigned rounds = fake_random() % 4 == 0;

	for (unsigned i = 1; i < 7; i++)
		words[i] = random_argument();
	if (words[0] == HC_HOST_RESET || words[0] == HC_WAIT) /* a reset ends the test; waiting has tests of its own */
		return;
	if (words[0] == HC_MEMORY_CREATE && fake_random() % 2)
		words[1] = HOST_HANDLE;
	for (unsigned i = 1; i < 3 && rounds; i++) /* a call that is right but for what the world has become */
		memcpy(words, valid_calls[fake_random() % ARRAY_SIZE(valid_calls)].words, sizeof(words));
	if (words[0] == HC_HOST_RESET)
		return;
	put_handles(words);
	failing_after = fake_random() % 4 == 0 ? (int)(fake_random() % 6) : FAILING_NONE;
	int64_t result = call(words);
	failing_after = FAILING_NONE;
	assert_true(result >= HILUM_E_FAULT);
}

static void random_calls__many__leave_nothing(void **state)
{
	(void)state;
	for (unsigned round = 0; round < 60; round++) {
		set_up(NULL);
		for (unsigned i = 0; i < 400; i++) {
			random_call();
			if (i % 8 == 0)
				fake_run(1, 3);
			if (i % 64 == 0)
				fill_arguments();
			fake_tsc += 10000;
		}
		tear_down(NULL);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(each_call__valid_arguments__succeeds_and_leaves_nothing),
		cmocka_unit_test(each_call__bad_handle__is_refused),
		cmocka_unit_test(each_call__missing_right__is_denied),
		cmocka_unit_test(each_call__only_needed_rights__succeeds),
		TEST(each_call__guest_user_mode__is_denied),
		TEST(each_call__wrong_value__is_refused),
		cmocka_unit_test(each_call__nth_allocation_fails__leaves_nothing_and_works_again),
		TEST(vm_create__bad_config__is_invalid),
		TEST(vm_create__name_without_end__is_cut),
		TEST(vm_create__configuration__is_in_force),
		TEST(object_info__each_kind__is_told),
		TEST(object_info__walk__finds_each_handle_once),
		TEST(vm_region__walk__finds_each_mapping),
		TEST(log_write__bytes_that_steer_a_terminal__are_dots),
		TEST(log_write__vm_without_its_own_name__is_denied),
		TEST(memory_unmap__mapped__every_core_passes_twice),
		TEST(vm_destroy__still_named__nothing_that_it_had_is_held),
		TEST(vm_bind_trap__overlap__exists_until_unbound),
		TEST(vm_set_cpuid__bad_table__is_invalid),
		TEST(vm_set_cpuid__after_first_run__is_busy),
		TEST(memory_map__read_only_memory_writable__is_denied),
		TEST(irq_bind__event_of_a_destroyed_vm__is_not_found),
		TEST(batch__mixed__each_has_its_result),
		TEST(batch__ends_outside_memory__is_fault_after_what_could_be_read),
		TEST(locked_call__lock_taken__is_executed_again),
		TEST(batch__lock_taken__goes_on_where_it_stopped),
		cmocka_unit_test(random_calls__many__leave_nothing),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
