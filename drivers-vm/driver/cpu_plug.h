/*
 * Processors that come and go while the guest runs. The control VM says which are there and which shall go; the guest's ACPI tables
 * (drivers-vm/control/acpi_cpus.c) read it from the registers here when an interrupt has told them to look, and say when the guest has
 * let go of one (ACPI 6.4, 6.3.3 _EJx).
 */
#ifndef DRIVERS_VM_DRIVER_CPU_PLUG_H
#define DRIVERS_VM_DRIVER_CPU_PLUG_H

#include "drivers-vm/driver/model_host.h"
#include "drivers-vm/lib/platform.h"

struct cpu_plug {
	const struct model_host *host;
	uint64_t present, came, shall_go; /* bit n: processor n */
};

void cpu_plug_init(struct cpu_plug *plug, const struct model_host *host, uint64_t present);
/* Goes on where it stood in a driver VM that is gone; anything may be found there. */
void cpu_plug_adopt(struct cpu_plug *plug, const struct cpu_plug *old);

/* These are there now, and of them those shall go. True: the guest is to be told. */
bool cpu_plug_set(struct cpu_plug *plug, uint64_t present, uint64_t shall_go);

/* A byte of its registers, at PLATFORM_CPU_... (platform.h); `offset` is below PLATFORM_CPU_PORTS. */
uint8_t cpu_plug_read(const struct cpu_plug *plug, unsigned offset);
void cpu_plug_write(struct cpu_plug *plug, unsigned offset, uint8_t value);

#endif
