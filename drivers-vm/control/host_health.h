/*
 * The machine's health: whether every core still runs, which is what its watchdog waits to hear, what has gone wrong since it was started, and
 * how the run before this one ended.
 */
#ifndef DRIVERS_VM_CONTROL_HOST_HEALTH_H
#define DRIVERS_VM_CONTROL_HOST_HEALTH_H

#include "drivers-vm/control/config.h"
#include <hilum/abi.h>

/* First of all: reads what is left of the last run, and says so in the log. `config` lives for ever. */
void host_health_begin(const struct config *config);
/* There is a fresh driver VM: it is told to set the watchdog. */
void host_health_driver_started(void);
/* There is a watchdog; `fired`: which has ended the last run. */
void host_health_watchdog_told(bool fired);
/* Looks at the cores once a second; returns when it must be called again, in TSC ticks. */
uint64_t host_health_poll(void);

/* Counts and facts as of the last look. */
const struct hilum_host_health *host_health_now(void);
/* Seconds after which the watchdog resets this machine if it hangs; 0: it does not. */
uint32_t host_health_watchdog(void);

/* How the last run ended. _NONE: it was reset, and nobody said why. */
enum hilum_end host_health_last_end(void);
bool host_health_watchdog_has_fired(void);
/* Its last lines, each ended by "\n"; empty: they are lost. */
const char *host_health_last_log(void);

/* Pure: `run` as text into to[], which has room for HILUM_LAST_RUN_BYTES + 1, from the beginning of a line on, with tokens hidden. */
void host_health_read_log(const struct hilum_last_run *run, char *to);

#endif
