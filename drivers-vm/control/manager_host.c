/* The machine as an operator sees it: figures, clock, and the kernel's log. */
#include "drivers-vm/control/device.h"
#include "drivers-vm/control/guest.h"
#include "drivers-vm/control/host_health.h"
#include "drivers-vm/control/manager_private.h"
#include "drivers-vm/control/places.h"
#include "drivers-vm/control/recover.h"
#include "drivers-vm/runtime/heap.h"
#include <hilum/log_ring.h>
#include <string.h>

#define LOG_BYTES (LOG_RING_HEADER_BYTES + LOG_RING_DATA_BYTES)

uint64_t control_idle_tsc;

uint64_t manager_clock_ns(void)
{
	return service_tsc_to_ns(service_tsc());
}

uint64_t manager_wall_clock_ns(void)
{
	return driver_wall_clock_ns != 0 ? driver_wall_clock_ns + manager_clock_ns() : 0;
}

/* CPUID 80000002h to 80000004h: the name, 48 bytes. */
static void brand(char out[49])
{
	uint32_t r[4];

	memset(out, 0, 49);
	guest_host_cpuid(0x80000000, 0, r);
	if (r[0] < 0x80000004)
		return;
	for (uint32_t i = 0; i < 3; i++) {
		guest_host_cpuid(0x80000002 + i, 0, r);
		memcpy(out + 16 * i, r, sizeof(r));
	}
}

/* CPUID 0 and 1: the maker, and the family. */
static void describe_cpu(struct vulnerability_cpu *out)
{
	uint32_t r[4];

	guest_host_cpuid(0, 0, r);
	out->intel = r[1] == 0x756E6547; /* "Genu" */
	guest_host_cpuid(1, 0, r);
	out->family = (r[0] >> 8 & 15) + (r[0] >> 20 & 255);
}

void manager_host(struct manager_host *out)
{
	memset(out, 0, sizeof(*out));
	hc(HC_HOST_INFO, HILUM_HANDLE_HOST, (uintptr_t)&out->info);
	brand(out->cpu);
	out->uptime_ns = manager_clock_ns(); /* the TSC starts with the machine */
	out->wall_clock_ns = manager_wall_clock_ns();
	out->driver_state = driver_state();
	out->driver_restarts = driver_restart_count();
	out->control_heap_free = heap_global_free_bytes();
	out->driver_heap_free = driver_heap_free();
	out->control_busy_ns = service_tsc_to_ns(service_tsc() - control_idle_tsc);
	out->device_faults = devices_fault_count();
	out->health = *host_health_now();
	out->last_log = host_health_last_log();
	out->watchdog_seconds = host_health_watchdog();
	describe_cpu(&out->vulnerable);
	out->vulnerable.core_scheduling = control_cores_are_one_vms;
	out->control_restarts = recover_restarts();
}

void manager_restart_driver(void)
{
	driver_request_restart();
}

static const struct log_ring *log_ring(void)
{
	static bool mapped;

	if (!mapped)
		mapped = hc(HC_MEMORY_MAP, HILUM_HANDLE_SELF, HILUM_HANDLE_LOG, PLACES_LOG, 0, LOG_BYTES, HILUM_MAP_READ) >= 0;
	return mapped ? (const struct log_ring *)PLACES_LOG : NULL;
}

static uint64_t hidden_from, hidden_to;

void manager_log_secret(const char *before, const char *secret)
{
	const struct log_ring *ring = log_ring();

	hidden_from = ring != NULL ? __atomic_load_n(&ring->write_seq, __ATOMIC_ACQUIRE) : 0;
	hidden_to = UINT64_MAX;
	service_log("%s%s", before, secret);
	hidden_to = ring != NULL ? __atomic_load_n(&ring->write_seq, __ATOMIC_ACQUIRE) : UINT64_MAX;
}

void log_keep(struct recover_kept *kept)
{
	RECOVER_KEEP(kept, hidden_from);
	RECOVER_KEEP(kept, hidden_to);
}

static uint8_t shown(uint8_t byte, uint64_t position)
{
	return position >= hidden_from && position < hidden_to && byte != '\n' ? '*' : byte;
}

/* See <hilum/log_ring.h> for the protocol. */
size_t manager_log_read(uint64_t *position, uint8_t *to, size_t size)
{
	const struct log_ring *ring = log_ring();
	uint64_t end = ring != NULL ? __atomic_load_n(&ring->write_seq, __ATOMIC_ACQUIRE) : 0;
	uint64_t at = *position < end ? *position : end;

	if (end - at > LOG_RING_DATA_BYTES)
		at = end - LOG_RING_DATA_BYTES;
	size_t n = end - at < size ? end - at : size;
	for (size_t i = 0; i < n; i++)
		to[i] = shown((uint8_t)ring->data[(at + i) % LOG_RING_DATA_BYTES], at + i);
	end = ring != NULL ? __atomic_load_n(&ring->write_seq, __ATOMIC_ACQUIRE) : 0;
	uint64_t lost = end - at > LOG_RING_DATA_BYTES ? end - LOG_RING_DATA_BYTES - at : 0;
	lost = lost < n ? lost : n;
	memmove(to, to + lost, n - lost);
	*position = at + n;
	return n - lost;
}
