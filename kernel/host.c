/* Facts about the machine, and the hand-over of the log. */
#include "kernel/host.h"
#include "arch/x86_64/log.h"
#include "arch/x86_64/trap.h"
#include "arch/x86_64/tsc.h"
#include "kernel/cpu.h"
#include "kernel/device.h"
#include "kernel/event.h"
#include "kernel/exit.h"
#include "mm/frame.h"
#include "mm/iommu.h"

struct object host_object = { .refs = 1, .type = OBJECT_HOST };

static struct event *log_event;

void host_get_info(struct hilum_host_info *out)
{
	*out = (struct hilum_host_info){
		.abi_version = HILUM_ABI_VERSION,
		.core_count = cpu_count,
		.tsc_hz = tsc_hz(),
		.memory_bytes = frame_total * PAGE_SIZE,
		.free_bytes = frame_count(FRAME_FREE) * PAGE_SIZE,
		.pool_bytes = (frame_count(FRAME_POOL) + frame_count(FRAME_POOL_FREE)) * PAGE_SIZE,
		.pool_free_bytes = frame_count(FRAME_POOL_FREE) * PAGE_SIZE,
		.kernel_bytes = frame_count(FRAME_KERNEL) * PAGE_SIZE,
		.xcr0_mask = cpuid_xcr0_mask,
		.serial_port = log_serial_port,
		.features = iommu_features,
		.fault_message = device_fault_message,
	};
}

void host_get_health(struct hilum_host_health *out)
{
	*out = host_health;
	for (uint32_t i = 0; i < cpu_count; i++) {
		/* One that is a guest's alone is left in peace: if it hangs, the next grace period does, and with it whoever asks here. */
		bool alone = __atomic_load_n(&cpu_table[i]->dedicated, __ATOMIC_RELAXED) != NULL;
		out->passed[i] = alone ? rdtsc() : cpu_table[i]->epoch;
		if (alone)
			continue;
		cpu_table[i]->health_asked = true;
		cpu_kick(cpu_table[i]);
	}
}

uint64_t host_log_take(struct event *event)
{
	struct event *old = log_event;

	if (event != NULL)
		object_ref(&event->object);
	__atomic_store_n(&log_event, event, __ATOMIC_RELEASE);
	if (old != NULL)
		object_unref(&old->object);
	log_serial_release();
	return __atomic_load_n(&log_ring.write_seq, __ATOMIC_ACQUIRE);
}

void host_log_notify(void)
{
	struct event *event = __atomic_load_n(&log_event, __ATOMIC_ACQUIRE);

	if (event != NULL)
		event_signal(event);
}
