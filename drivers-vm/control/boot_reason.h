/* How the last run of this machine ended, as far as memory and the state know: "setting/running" stands there from start to power-off. */
#ifndef DRIVERS_VM_CONTROL_BOOT_REASON_H
#define DRIVERS_VM_CONTROL_BOOT_REASON_H

#define BOOT_REASON_BYTES 16u

/* It is known, from an earlier control VM of the same run. Before boot_reason_begin. */
void boot_reason_set(const char *text);
/* Once, when the store is ready. */
void boot_reason_begin(void);
/* The machine is about to be powered off or reset; the store is to be written after that. */
void boot_reason_end(void);
/*
 * What a warm reset has left in memory says most: "watchdog", "panic", "requested" or "reset" (nobody said why: its button, or a fault).
 * Else "power-on" after a power-off or a reboot by Hilum, "recovery" after an end that nobody had asked for, or "unknown": nothing is kept.
 */
const char *boot_reason(void);

#endif
