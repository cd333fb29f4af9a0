/* Metrics of VMs, and the table of all. */
#include "drivers-vm/control/api/metrics.h"

#include "drivers-vm/control/api/routes.h"

#include <inttypes.h>
#include <stddef.h>

/* As libvirt numbers states (virDomainState). */
static unsigned libvirt_state(enum manager_state state)
{
	static const unsigned numbers[] = {
		[MANAGER_SHUTOFF] = 5, [MANAGER_RUNNING] = 1, [MANAGER_PAUSED] = 3, [MANAGER_CRASHED] = 6, [MANAGER_WAITING] = 5,
	};

	return numbers[state];
}

static bool runs(const struct manager_vm *vm)
{
	return vm->state == MANAGER_RUNNING || vm->state == MANAGER_PAUSED;
}

static void write_sample(struct text *text, const char *name, const struct manager_vm *vm, uint64_t value)
{
	text_format(text, "%s{domain=\"%s\"} %" PRIu64 "\n", name, vm->config->name, value);
}

static void write_state(struct text *text, const char *name, const struct manager_vm *vm, uint64_t tsc_hz)
{
	(void)tsc_hz;
	write_sample(text, name, vm, libvirt_state(vm->state));
}

static void write_max_memory(struct text *text, const char *name, const struct manager_vm *vm, uint64_t tsc_hz)
{
	(void)tsc_hz;
	write_sample(text, name, vm, vm->config->memory_bytes);
}

static void write_used_memory(struct text *text, const char *name, const struct manager_vm *vm, uint64_t tsc_hz)
{
	struct hilum_vm_status status;

	(void)tsc_hz;
	if (runs(vm) && manager_status(vm->config->name, &status))
		write_sample(text, name, vm, status.memory_bytes);
}

static void write_overhead(struct text *text, const char *name, const struct manager_vm *vm, uint64_t tsc_hz)
{
	struct hilum_vm_status status;

	(void)tsc_hz;
	if (runs(vm) && manager_status(vm->config->name, &status))
		write_sample(text, name, vm, status.kernel_bytes + status.table_bytes);
}

static void write_resident(struct text *text, const char *name, const struct manager_vm *vm, uint64_t tsc_hz)
{
	struct manager_vm_memory memory;

	(void)tsc_hz;
	if (runs(vm) && manager_vm_memory(vm->config->name, &memory))
		write_sample(text, name, vm, memory.resident);
}

/* What the guest has left of its memory. */
static void write_balloon(struct text *text, const char *name, const struct manager_vm *vm, uint64_t tsc_hz)
{
	uint64_t balloon = manager_balloon_bytes(vm->config->name), memory = vm->config->memory_bytes;

	(void)tsc_hz;
	if (runs(vm))
		write_sample(text, name, vm, balloon < memory ? memory - balloon : 0);
}

static void write_vcpu_count(struct text *text, const char *name, const struct manager_vm *vm, uint64_t tsc_hz)
{
	(void)tsc_hz;
	write_sample(text, name, vm, vm->vcpus);
}

static void write_cpu_time(struct text *text, const char *name, const struct manager_vm *vm, uint64_t tsc_hz)
{
	text_format(text, "%s{domain=\"%s\"} ", name, vm->config->name);
	text_add_seconds(text, vm_cpu_ns(vm->config->name, HILUM_MAX_VCPUS, tsc_hz));
	text_add(text, "\n", 1);
}

static void write_starts(struct text *text, const char *name, const struct manager_vm *vm, uint64_t tsc_hz)
{
	(void)tsc_hz;
	write_sample(text, name, vm, vm->starts);
}

static void write_crashes(struct text *text, const char *name, const struct manager_vm *vm, uint64_t tsc_hz)
{
	(void)tsc_hz;
	write_sample(text, name, vm, vm->crashes);
}

/* ---- vCPUs ------------------------------------------------------------------------------------------------------------------------- */

static void write_vcpu_seconds(struct text *text, const char *name, const struct manager_vm *vm, size_t offset, uint64_t tsc_hz)
{
	struct hilum_vcpu_stats stats;

	for (unsigned i = 0; i < HILUM_MAX_VCPUS && manager_vcpu_stats(vm->config->name, i, &stats); i++) {
		uint64_t ticks = *(const uint64_t *)((const char *)&stats + offset);

		text_format(text, "%s{domain=\"%s\",vcpu=\"%u\"} ", name, vm->config->name, i);
		text_add_seconds(text, vm_tsc_to_ns(ticks, tsc_hz));
		text_add(text, "\n", 1);
	}
}

static void write_vcpu_time(struct text *text, const char *name, const struct manager_vm *vm, uint64_t tsc_hz)
{
	write_vcpu_seconds(text, name, vm, offsetof(struct hilum_vcpu_stats, run_tsc), tsc_hz);
}

static void write_vcpu_delay(struct text *text, const char *name, const struct manager_vm *vm, uint64_t tsc_hz)
{
	write_vcpu_seconds(text, name, vm, offsetof(struct hilum_vcpu_stats, ready_tsc), tsc_hz);
}

static void write_vcpu_capped(struct text *text, const char *name, const struct manager_vm *vm, uint64_t tsc_hz)
{
	write_vcpu_seconds(text, name, vm, offsetof(struct hilum_vcpu_stats, capped_tsc), tsc_hz);
}

static void write_vcpu_core(struct text *text, const char *name, const struct manager_vm *vm, uint64_t tsc_hz)
{
	struct hilum_vcpu_stats stats;

	(void)tsc_hz;
	for (unsigned i = 0; i < vm->config->vcpus && manager_vcpu_stats(vm->config->name, i, &stats); i++)
		text_format(text, "%s{domain=\"%s\",vcpu=\"%u\"} %u\n", name, vm->config->name, i, (unsigned)stats.core);
}

static void write_exits(struct text *text, const char *name, const struct manager_vm *vm, uint64_t tsc_hz)
{
	struct hilum_vcpu_stats stats;

	(void)tsc_hz;
	for (unsigned i = 0; i < HILUM_MAX_VCPUS && manager_vcpu_stats(vm->config->name, i, &stats); i++)
		for (unsigned reason = 0; reason < HILUM_EXIT_COUNT; reason++)
			text_format(text, "%s{vm=\"%s\",vcpu=\"%u\",reason=\"%s\"} %" PRIu64 "\n", name, vm->config->name, i,
			            vm_exit_name(reason), stats.exits[reason]);
}

static void write_vcpu_counts(struct text *text, const char *name, const struct manager_vm *vm, size_t offset)
{
	struct hilum_vcpu_stats stats;

	for (unsigned i = 0; i < HILUM_MAX_VCPUS && manager_vcpu_stats(vm->config->name, i, &stats); i++)
		text_format(text, "%s{vm=\"%s\",vcpu=\"%u\"} %" PRIu64 "\n", name, vm->config->name, i,
		            *(const uint64_t *)((const char *)&stats + offset));
}

static void write_interrupts(struct text *text, const char *name, const struct manager_vm *vm, uint64_t tsc_hz)
{
	(void)tsc_hz;
	write_vcpu_counts(text, name, vm, offsetof(struct hilum_vcpu_stats, injected));
}

static void write_switches(struct text *text, const char *name, const struct manager_vm *vm, uint64_t tsc_hz)
{
	(void)tsc_hz;
	write_vcpu_counts(text, name, vm, offsetof(struct hilum_vcpu_stats, switches));
}

static void write_migrations(struct text *text, const char *name, const struct manager_vm *vm, uint64_t tsc_hz)
{
	(void)tsc_hz;
	write_vcpu_counts(text, name, vm, offsetof(struct hilum_vcpu_stats, migrations));
}

/* ---- Disks and cards --------------------------------------------------------------------------------------------------------------- */

/* The letters are Linux's of virtio disks. */
static void write_disk(struct text *text, const char *name, const struct manager_vm *vm, size_t offset)
{
	struct manager_disk_counts counts;

	for (unsigned i = 0; i < vm->config->disk_count && manager_disk_counts(vm->config->name, i, &counts); i++)
		text_format(text, "%s{domain=\"%s\",target_device=\"vd%c\"} %" PRIu64 "\n", name, vm->config->name, 'a' + (int)i,
		            *(const uint64_t *)((const char *)&counts + offset));
}

static void write_nic(struct text *text, const char *name, const struct manager_vm *vm, size_t offset)
{
	struct manager_nic_counts counts;

	for (unsigned i = 0; i < vm->config->nic_count && manager_nic_counts(vm->config->name, i, &counts); i++)
		text_format(text, "%s{domain=\"%s\",target_device=\"nic%u\"} %" PRIu64 "\n", name, vm->config->name, i,
		            *(const uint64_t *)((const char *)&counts + offset));
}

#define DEVICE_METRIC(function, writer, type, member) \
	static void function(struct text *text, const char *name, const struct manager_vm *vm, uint64_t tsc_hz) \
	{ \
		(void)tsc_hz; \
		writer(text, name, vm, offsetof(struct type, member)); \
	}

DEVICE_METRIC(write_disk_read_bytes, write_disk, manager_disk_counts, read_bytes)
DEVICE_METRIC(write_disk_reads, write_disk, manager_disk_counts, read_requests)
DEVICE_METRIC(write_disk_write_bytes, write_disk, manager_disk_counts, write_bytes)
DEVICE_METRIC(write_disk_writes, write_disk, manager_disk_counts, write_requests)
DEVICE_METRIC(write_disk_flushes, write_disk, manager_disk_counts, flush_requests)
DEVICE_METRIC(write_disk_errors, write_disk, manager_disk_counts, errors)
DEVICE_METRIC(write_nic_rx_bytes, write_nic, manager_nic_counts, received_bytes)
DEVICE_METRIC(write_nic_rx_packets, write_nic, manager_nic_counts, received_frames)
DEVICE_METRIC(write_nic_rx_drops, write_nic, manager_nic_counts, dropped)
DEVICE_METRIC(write_nic_tx_bytes, write_nic, manager_nic_counts, sent_bytes)
DEVICE_METRIC(write_nic_tx_packets, write_nic, manager_nic_counts, sent_frames)
DEVICE_METRIC(write_nic_tx_errors, write_nic, manager_nic_counts, refused)

#define HOST(name, type, help, function) \
	{ \
		name, type, help, function, NULL \
	}
#define VM(name, type, help, function) \
	{ \
		"libvirt_domain_" name, type, help, NULL, function \
	}
#define HILUM(name, type, help, function) \
	{ \
		"hilum_vm_" name, type, help, NULL, function \
	}

const struct metric_family metric_families[] = {
	HOST("hilum_info", "gauge", "Hilum's version and the machine's CPU.", metrics_write_info),
	HOST("hilum_boot_reason", "gauge", "Why the machine was started last.", metrics_write_boot_reason),
	HOST("node_time_seconds", "gauge", "System time in seconds since epoch (1970).", metrics_write_time),
	HOST("node_boot_time_seconds", "gauge", "Node boot time, in unixtime.", metrics_write_boot_time),
	HOST("node_uname_info", "gauge", "What runs on the machine, in the words of uname.", metrics_write_uname),
	HOST("hilum_host_memory_bytes", "gauge", "Memory of the machine: all, free, and what Hilum itself has.", metrics_write_memory),
	HOST("hilum_host_guest_memory_bytes", "gauge",
	     "Memory for guests: promised and resident of those populated at first access, spare, what sharing saves, largest free block.",
	     metrics_write_guest_memory),
	HOST("hilum_host_shared_pages_total", "counter", "Pages looked at for sharing, and pages that were merged.", metrics_write_merged),
	HOST("hilum_host_compaction_moved_bytes_total", "counter", "Memory of guests that was moved to make larger free blocks.",
	     metrics_write_moved),
	HOST("hilum_host_cores", "gauge", "Cores of the machine that run VMs.", metrics_write_cores),
	HOST("hilum_iommu_enabled", "gauge", "Whether devices reach only the memory that they are given.", metrics_write_iommu),
	HOST("hilum_iommu_faults_total", "counter", "Accesses of devices that the IOMMU stopped.", metrics_write_faults),
	HOST("hilum_machine_faults_total", "counter", "NMIs, interrupts that nobody or too many asked for, and machine checks.",
	     metrics_write_machine_faults),
	HOST("hilum_driver_vm_up", "gauge", "Whether the driver VM runs.", metrics_write_driver_up),
	HOST("hilum_driver_vm_restarts_total", "counter", "Restarts of the driver VM.", metrics_write_driver_restarts),
	HOST("hilum_control_vm_restarts_total", "counter", "Restarts of the control VM.", metrics_write_control_restarts),
	HOST("hilum_service_vm_heap_free_bytes", "gauge", "What the heaps of the control VM and the driver VM have left.",
	     metrics_write_heaps),
	HOST("hilum_control_vm_busy_seconds_total", "counter", "Time in which the control VM did not wait for something to do.",
	     metrics_write_control_busy),
	HOST("hilum_state_kept", "gauge", "Whether definitions and tokens survive a restart of the machine.", metrics_write_state_kept),
	HOST("hilum_api_connections", "gauge", "Connections to the API, those that have not shaken hands yet among them.",
	     metrics_write_connections),
	HOST("hilum_api_connections_accepted_total", "counter", "Connections to the API that were accepted.", metrics_write_accepted),
	HOST("hilum_api_connections_dropped_total", "counter", "Connections to the API that ended early: no room, or failed.",
	     metrics_write_dropped),
	HOST("hilum_api_handshakes_total", "counter", "TLS handshakes that were completed.", metrics_write_handshakes),
	HOST("hilum_api_handshake_seconds_total", "counter", "Time spent on TLS handshakes.", metrics_write_handshake_time),
	HOST("libvirt_up", "gauge", "Whether the figures of the VMs could be read.", metrics_write_up),

	VM("info_vstate", "gauge", "State as libvirt numbers it: 1 running, 3 paused, 5 shut off, 6 crashed.", write_state),
	VM("info_maximum_memory_bytes", "gauge", "Memory that the VM is defined with.", write_max_memory),
	VM("info_memory_usage_bytes", "gauge", "Memory that is mapped into the VM.", write_used_memory),
	VM("info_virtual_cpus", "gauge", "Virtual CPUs of the VM.", write_vcpu_count),
	VM("info_cpu_time_seconds_total", "counter", "Time that the VM's virtual CPUs have run.", write_cpu_time),
	VM("memory_stats_actual_balloon_bytes", "gauge", "Memory that the balloon leaves to the guest.", write_balloon),
	VM("memory_stats_rss_bytes", "gauge", "Memory of the machine that the VM has.", write_resident),
	VM("vcpu_time_seconds_total", "counter", "Time that the virtual CPU has run.", write_vcpu_time),
	VM("vcpu_delay_seconds_total", "counter", "Time that the virtual CPU could have run but waited for a core.", write_vcpu_delay),
	VM("vcpu_cpu", "gauge", "Core where the virtual CPU is.", write_vcpu_core),

	VM("block_stats_read_bytes_total", "counter", "Bytes read from the disk.", write_disk_read_bytes),
	VM("block_stats_read_requests_total", "counter", "Read requests to the disk.", write_disk_reads),
	VM("block_stats_write_bytes_total", "counter", "Bytes written to the disk.", write_disk_write_bytes),
	VM("block_stats_write_requests_total", "counter", "Write requests to the disk.", write_disk_writes),
	VM("block_stats_flush_requests_total", "counter", "Flush requests to the disk.", write_disk_flushes),
	HILUM("disk_errors_total", "counter", "Requests of the disk that failed.", write_disk_errors),

	VM("interface_stats_receive_bytes_total", "counter", "Bytes that the guest received.", write_nic_rx_bytes),
	VM("interface_stats_receive_packets_total", "counter", "Packets that the guest received.", write_nic_rx_packets),
	VM("interface_stats_receive_drops_total", "counter", "Packets that found no room in the guest's ring.", write_nic_rx_drops),
	VM("interface_stats_transmit_bytes_total", "counter", "Bytes that the guest sent.", write_nic_tx_bytes),
	VM("interface_stats_transmit_packets_total", "counter", "Packets that the guest sent.", write_nic_tx_packets),
	VM("interface_stats_transmit_errors_total", "counter", "Packets that the card's policy refused.", write_nic_tx_errors),

	HILUM("exits_total", "counter", "VM exits by reason.", write_exits),
	HILUM("interrupts_total", "counter", "Interrupts delivered to the virtual CPU.", write_interrupts),
	HILUM("switches_total", "counter", "Times that the virtual CPU was switched to.", write_switches),
	HILUM("capped_seconds_total", "counter", "Time that the virtual CPU could have run but its cap forbade.", write_vcpu_capped),
	HILUM("migrations_total", "counter", "Times that the virtual CPU went to another core.", write_migrations),
	HILUM("overhead_bytes", "gauge", "Memory that the kernel spends on the VM.", write_overhead),
	HILUM("starts_total", "counter", "Starts of the VM.", write_starts),
	HILUM("crashes_total", "counter", "Crashes of the VM.", write_crashes),
};

const unsigned metric_family_count = sizeof(metric_families) / sizeof(metric_families[0]);
