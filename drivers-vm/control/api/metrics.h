/* The families of metrics. */
#ifndef DRIVERS_VM_CONTROL_API_METRICS_H
#define DRIVERS_VM_CONTROL_API_METRICS_H

#include "drivers-vm/control/api/text.h"
#include "drivers-vm/control/manager.h"

/* One of the two writes the samples, each a line that begins with the family's name. */
struct metric_family {
	const char *name, *type, *help;
	void (*write_host)(struct text *text, const char *name, const struct manager_host *host);
	void (*write_vm)(struct text *text, const char *name, const struct manager_vm *vm, uint64_t tsc_hz);
};

extern const struct metric_family metric_families[];
extern const unsigned metric_family_count;

/* Of the host, in metrics_host.c. */
void metrics_write_info(struct text *text, const char *name, const struct manager_host *host);
void metrics_write_machine_faults(struct text *text, const char *name, const struct manager_host *host);
void metrics_write_boot_reason(struct text *text, const char *name, const struct manager_host *host);
void metrics_write_uname(struct text *text, const char *name, const struct manager_host *host);
void metrics_write_time(struct text *text, const char *name, const struct manager_host *host);
void metrics_write_boot_time(struct text *text, const char *name, const struct manager_host *host);
void metrics_write_guest_memory(struct text *text, const char *name, const struct manager_host *host);
void metrics_write_merged(struct text *text, const char *name, const struct manager_host *host);
void metrics_write_moved(struct text *text, const char *name, const struct manager_host *host);
void metrics_write_memory(struct text *text, const char *name, const struct manager_host *host);
void metrics_write_cores(struct text *text, const char *name, const struct manager_host *host);
void metrics_write_iommu(struct text *text, const char *name, const struct manager_host *host);
void metrics_write_faults(struct text *text, const char *name, const struct manager_host *host);
void metrics_write_driver_up(struct text *text, const char *name, const struct manager_host *host);
void metrics_write_driver_restarts(struct text *text, const char *name, const struct manager_host *host);
void metrics_write_control_restarts(struct text *text, const char *name, const struct manager_host *host);
void metrics_write_state_kept(struct text *text, const char *name, const struct manager_host *host);
void metrics_write_connections(struct text *text, const char *name, const struct manager_host *host);
void metrics_write_accepted(struct text *text, const char *name, const struct manager_host *host);
void metrics_write_dropped(struct text *text, const char *name, const struct manager_host *host);
void metrics_write_handshakes(struct text *text, const char *name, const struct manager_host *host);
void metrics_write_heaps(struct text *text, const char *name, const struct manager_host *host);
void metrics_write_control_busy(struct text *text, const char *name, const struct manager_host *host);
void metrics_write_handshake_time(struct text *text, const char *name, const struct manager_host *host);
void metrics_write_up(struct text *text, const char *name, const struct manager_host *host);

#endif
