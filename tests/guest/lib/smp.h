/*
 * The other CPUs: found in the ACPI MADT (or by number, vcpus=N on the command line), started by INIT and
 * SIPI, given work.
 */
#ifndef TESTS_GUEST_LIB_SMP_H
#define TESTS_GUEST_LIB_SMP_H

#include <stdbool.h>
#include <stdint.h>

#define AP_BASE 0x8000ull /* ap.asm's own figure too */

/*
 * Starts every other CPU, at most limit CPUs in all; returns how many run. Those that do not answer are named
 * in a line.
 */
unsigned smp_start(unsigned limit);

/* CPUs that run, the first included. */
extern unsigned smp_cpus;

/* An idle CPU waits by HLT for VEC_WAKE; tests that take its APIC away set this and it polls. */
extern bool smp_idle_polls;

/*
 * Has CPU index (not the caller) run fn(arg) with interrupts on; returns at once. smp_wait(): false after the
 * time-out.
 */
void smp_call(unsigned index, void (*fn)(void *), void *arg);
bool smp_wait(unsigned index, uint64_t timeout_us);

/* fn(arg) on all other CPUs, then, or at the same time, on this one; waits for all. */
bool smp_call_all(void (*fn)(void *), void *arg, uint64_t timeout_us);

/* INIT, then SIPI twice, to one CPU that will come up in the idle loop again. */
bool smp_restart(unsigned index);

#endif
