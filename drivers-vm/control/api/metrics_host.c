/* Metrics of the host. */
#include "drivers-vm/control/api/metrics.h"

#include "drivers-vm/control/api/platform.h"
#include "drivers-vm/control/store/store.h"

#include <inttypes.h>
#include <string.h>

static void write_number(struct text *text, const char *name, uint64_t value)
{
	text_format(text, "%s %" PRIu64 "\n", name, value);
}

static void write_seconds(struct text *text, const char *name, uint64_t ns)
{
	text_format(text, "%s ", name);
	text_add_seconds(text, ns);
	text_add(text, "\n", 1);
}

/* A label's value: what would end it is left out. */
static void write_label(struct text *text, const char *label, const char *value)
{
	text_format(text, "%s=\"", label);
	for (; *value != '\0'; value++)
		if (*value >= ' ' && *value != '"' && *value != '\\' && *value != 0x7F)
			text_add(text, value, 1);
	text_add(text, "\"", 1);
}

void metrics_write_info(struct text *text, const char *name, const struct manager_host *host)
{
	text_format(text, "%s{", name);
	write_label(text, "version", api_version());
	text_add(text, ",", 1);
	write_label(text, "cpu", host->cpu);
	text_add_string(text, "} 1\n");
}

void metrics_write_boot_reason(struct text *text, const char *name, const struct manager_host *host)
{
	(void)host;
	text_format(text, "%s{", name);
	write_label(text, "reason", api_boot_reason());
	text_add_string(text, "} 1\n");
}

void metrics_write_machine_faults(struct text *text, const char *name, const struct manager_host *host)
{
	const struct hilum_host_health *h = &host->health;

	text_format(text, "%s{kind=\"nmi\"} %" PRIu64 "\n", name, h->nmis);
	text_format(text, "%s{kind=\"spurious_interrupt\"} %" PRIu64 "\n", name, h->spurious);
	text_format(text, "%s{kind=\"interrupt_storm\"} %" PRIu64 "\n", name, h->storms);
	text_format(text, "%s{kind=\"machine_check_corrected\"} %" PRIu64 "\n", name, h->checks_corrected);
	text_format(text, "%s{kind=\"machine_check_contained\"} %" PRIu64 "\n", name, h->checks_contained);
}

void metrics_write_time(struct text *text, const char *name, const struct manager_host *host)
{
	write_seconds(text, name, host->wall_clock_ns);
}

void metrics_write_boot_time(struct text *text, const char *name, const struct manager_host *host)
{
	write_seconds(text, name, host->wall_clock_ns > host->uptime_ns ? host->wall_clock_ns - host->uptime_ns : 0);
}

/* node_exporter's name for the machine; its labels that Hilum has nothing to say of are left out. */
void metrics_write_uname(struct text *text, const char *name, const struct manager_host *host)
{
	(void)host;
	text_format(text, "%s{sysname=\"Hilum\",machine=\"x86_64\",", name);
	write_label(text, "release", api_version());
	text_add_string(text, "} 1\n");
}

void metrics_write_memory(struct text *text, const char *name, const struct manager_host *host)
{
	const struct hilum_host_info *info = &host->info;

	text_format(text, "%s{kind=\"total\"} %" PRIu64 "\n", name, info->memory_bytes);
	text_format(text, "%s{kind=\"free\"} %" PRIu64 "\n", name, info->free_bytes);
	text_format(text, "%s{kind=\"hilum\"} %" PRIu64 "\n", name, info->pool_bytes + info->kernel_bytes);
	text_format(text, "%s{kind=\"pool_free\"} %" PRIu64 "\n", name, info->pool_free_bytes);
}

void metrics_write_guest_memory(struct text *text, const char *name, const struct manager_host *host)
{
	struct manager_memory memory;

	(void)host;
	manager_memory(&memory);
	text_format(text, "%s{kind=\"promised\"} %" PRIu64 "\n", name, memory.promised);
	text_format(text, "%s{kind=\"resident\"} %" PRIu64 "\n", name, memory.resident);
	text_format(text, "%s{kind=\"spare\"} %" PRIu64 "\n", name, memory.spare);
	text_format(text, "%s{kind=\"saved\"} %" PRIu64 "\n", name, memory.saved);
	text_format(text, "%s{kind=\"largest_free\"} %" PRIu64 "\n", name, memory.largest_free);
}

void metrics_write_merged(struct text *text, const char *name, const struct manager_host *host)
{
	struct manager_memory memory;

	(void)host;
	manager_memory(&memory);
	text_format(text, "%s{what=\"scanned\"} %" PRIu64 "\n", name, memory.scanned);
	text_format(text, "%s{what=\"merged\"} %" PRIu64 "\n", name, memory.merged);
}

void metrics_write_moved(struct text *text, const char *name, const struct manager_host *host)
{
	struct manager_memory memory;

	(void)host;
	manager_memory(&memory);
	write_number(text, name, memory.compaction.moved_bytes);
}

void metrics_write_cores(struct text *text, const char *name, const struct manager_host *host)
{
	write_number(text, name, host->info.core_count);
}

void metrics_write_iommu(struct text *text, const char *name, const struct manager_host *host)
{
	write_number(text, name, (host->info.features & HILUM_HOST_IOMMU) != 0);
}

void metrics_write_faults(struct text *text, const char *name, const struct manager_host *host)
{
	write_number(text, name, host->device_faults);
}

void metrics_write_driver_up(struct text *text, const char *name, const struct manager_host *host)
{
	write_number(text, name, strcmp(host->driver_state, "running") == 0);
}

void metrics_write_driver_restarts(struct text *text, const char *name, const struct manager_host *host)
{
	write_number(text, name, host->driver_restarts);
}

void metrics_write_control_restarts(struct text *text, const char *name, const struct manager_host *host)
{
	write_number(text, name, host->control_restarts);
}

void metrics_write_heaps(struct text *text, const char *name, const struct manager_host *host)
{
	text_format(text, "%s{vm=\"control\"} %" PRIu64 "\n", name, host->control_heap_free);
	text_format(text, "%s{vm=\"driver\"} %" PRIu64 "\n", name, host->driver_heap_free);
}

void metrics_write_control_busy(struct text *text, const char *name, const struct manager_host *host)
{
	write_seconds(text, name, host->control_busy_ns);
}

void metrics_write_state_kept(struct text *text, const char *name, const struct manager_host *host)
{
	(void)host;
	write_number(text, name, store_is_kept());
}

static struct api_connections connections(void)
{
	struct api_connections counts;

	api_connections(&counts);
	return counts;
}

void metrics_write_connections(struct text *text, const char *name, const struct manager_host *host)
{
	(void)host;
	write_number(text, name, connections().open);
}

void metrics_write_accepted(struct text *text, const char *name, const struct manager_host *host)
{
	(void)host;
	write_number(text, name, connections().accepted);
}

void metrics_write_dropped(struct text *text, const char *name, const struct manager_host *host)
{
	struct api_connections counts = connections();

	(void)host;
	text_format(text, "%s{why=\"refused\"} %" PRIu64 "\n", name, counts.refused);
	text_format(text, "%s{why=\"room\"} %" PRIu64 "\n", name, counts.dropped);
	text_format(text, "%s{why=\"failed\"} %" PRIu64 "\n", name, counts.failed);
}

void metrics_write_handshakes(struct text *text, const char *name, const struct manager_host *host)
{
	(void)host;
	write_number(text, name, connections().handshakes);
}

void metrics_write_handshake_time(struct text *text, const char *name, const struct manager_host *host)
{
	(void)host;
	write_seconds(text, name, connections().handshake_ns);
}

void metrics_write_up(struct text *text, const char *name, const struct manager_host *host)
{
	(void)host;
	write_number(text, name, 1);
}
