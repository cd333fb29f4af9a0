/* What a CPU's own statements and Hilum's defences come to, in the words of Linux's /sys/devices/system/cpu/vulnerabilities. Pure. */
#ifndef DRIVERS_VM_CONTROL_VULNERABILITIES_H
#define DRIVERS_VM_CONTROL_VULNERABILITIES_H

#include <hilum/abi.h>
#include <stdbool.h>

#define VULNERABILITY_TEXT_BYTES 160u

struct vulnerability_cpu {
	bool intel;
	bool core_scheduling; /* hyper-threads of a core run one VM only */
	uint32_t family;      /* of AMD's */
};

/* By index, in alphabetical order; NULL past the last. */
const char *vulnerability_name(unsigned index);
/* "Not affected", "Vulnerable..." or "Mitigation: ...". */
void vulnerability_describe(unsigned index, const struct hilum_host_health *health, const struct vulnerability_cpu *cpu,
                            char text[VULNERABILITY_TEXT_BYTES]);

#endif
