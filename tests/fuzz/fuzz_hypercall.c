/*
 * Fuzz target of the hypercalls, on the real kernel core with a pretended machine under it: the input is a series of calls of the control
 * VM, with its handles, its memory, what earlier calls gave and any number as arguments, between which its memory is written, guests run,
 * time passes, and allocations fail. Properties: no access outside (the sanitisers see it; freed memory is poisoned), no assertion of the
 * kernel's fails, and when all VMs have ended nothing is left: every page, object, frame and reference is accounted for.
 *
 * FUZZ_SOURCES: build/fuzz/lib/kernel_fake.a
 * FUZZ_FLAGS: @tests/unit/fake_kernel/fake.flags @tests/unit/fake_kernel/fake.wrap -lcmocka
 * FUZZ_OPTIONS: -max_len=512
 */
#include "tests/unit/fake_kernel/fake.h"

#define STEPS_MAX  48u
#define OBJECTS    8u
#define RESULTS    8u
#define CORES      2u
#define ARGUMENTS  6u
#define STEP_BYTES 4u
#define DEVICE_RID 0x18

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes);

static const uint8_t *input;
static size_t left;
/* Of the world before the first step, and what the last calls gave. */
static hilum_handle_t object[OBJECTS];
static uint64_t result[RESULTS];
static unsigned results;

static uint8_t next8(void)
{
	if (left == 0)
		return 0;
	left--;
	return *input++;
}

static uint64_t next_bytes(unsigned count)
{
	uint64_t value = 0;

	for (unsigned i = 0; i < count; i++)
		value |= (uint64_t)next8() << (8 * i);
	return value;
}

/* A VM with a vCPU on the other core, memory and a device; another VM; an event, memory that it shares and memory that it gets when used.
 */
static void make_world(void)
{
	unsigned n = 0;

	sched_cores_are_one_vms = false; /* what an earlier input has asked for */
	fake_boot(CORES);
	object[n++] = HOST_HANDLE;
	object[n++] = make_vm(HILUM_VM_DEVICES);
	object[n++] = make_vm(0);
	make_vcpu(object[1], 0, 1, &object[n++]);
	object[n++] = CALL_HANDLE(HC_MEMORY_CREATE, HOST_HANDLE, 4 * MIB, HILUM_MEMORY_SHARE);
	object[n++] = CALL_HANDLE(HC_EVENT_CREATE, object[1], 0, 5, 0);
	object[n++] = CALL_HANDLE(HC_MEMORY_CREATE, HOST_HANDLE, 4 * MIB, HILUM_MEMORY_LAZY);
	object[n++] = CALL_HANDLE(HC_DEVICE_CREATE, HOST_HANDLE, DEVICE_RID, 0);
	CALL_OK(HC_DEVICE_ASSIGN, object[7], object[1], HILUM_DEVICE_UNPROTECTED);
	CALL_OK(HC_MEMORY_MAP, object[1], object[4], 4 * MIB, 0, 2 * MIB, HILUM_MAP_READ | HILUM_MAP_WRITE);
	CALL_OK(HC_MEMORY_MAP, object[1], object[6], 256 * MIB, 0, 2 * MIB, HILUM_MAP_READ | HILUM_MAP_WRITE);
	memset(result, 0, sizeof(result));
	results = 0;
}

/* One byte says what it is, and further ones how much. */
static uint64_t argument(void)
{
	uint8_t kind = next8();

	switch (kind >> 5) {
	case 0:
		return object[kind % OBJECTS];
	case 1:
		return result[kind % RESULTS];
	case 2:
		return kind & 31;
	case 3:
		return (uint64_t)(kind & 15) * KIB * 4; /* in the control VM's memory */
	case 4:
		return 1ull << (kind & 31);
	case 5:
		return ((uint64_t)(kind & 15) + 1) * MIB;
	case 6:
		return next_bytes(1 + (kind & 3));
	default:
		return kind & 1 ? ~next_bytes(1) : next_bytes(8);
	}
}

static void make_call(void)
{
	uint64_t words[1 + ARGUMENTS];
	unsigned count = next8();

	words[0] = HC_NOP + count % (HC_CALL_END - HC_NOP + 1);
	for (unsigned i = 1; i <= ARGUMENTS; i++)
		words[i] = argument();
	/* A reset ends the machine, and a wait the turn of the only vCPU that calls. */
	if (words[0] == HC_HOST_RESET || words[0] == HC_WAIT)
		words[0] = HC_NOP;
	int64_t got = call(words);
	if (got > 0)
		result[results++ % RESULTS] = (uint64_t)got;
}

/* Its own VM may have been ended, and its memory be gone. */
static bool control_is_there(void)
{
	return control->status.state == HILUM_VM_RUNNING;
}

static void write_memory(void)
{
	uint64_t at = next_bytes(2) % (CONTROL_BYTES - 64);
	unsigned count = next8() % 64;

	for (unsigned i = 0; i < count; i++)
		control_memory()[at + i] = next8();
}

/* Numbers where structures have handles and addresses. */
static void write_argument(void)
{
	uint64_t at = (uint64_t)(next8() % 16) * 4 * KIB + (next8() % 64) * 8u, value = argument();

	memcpy(control_memory() + at, &value, sizeof(value));
}

static void step(void)
{
	uint8_t kind = next8();

	switch (kind % 16) {
	case 0:
		write_memory();
		break;
	case 1:
	case 2:
		write_argument();
		break;
	case 3:
		fake_become(1);
		fake_run(1, 1 + kind / 64);
		fake_become(0);
		break;
	case 4:
		fake_advance(next_bytes(3));
		break;
	case 5:
		failing_after = kind / 16;
		make_call();
		failing_after = FAILING_NONE;
		break;
	default:
		make_call();
		break;
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes)
{
	input = data;
	left = bytes;
	make_world();
	for (unsigned i = 0; i < STEPS_MAX && left >= STEP_BYTES && control_is_there(); i++)
		step();
	fake_check_clean();
	return 0;
}
