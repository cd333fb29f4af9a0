/*
 * Where the control VM maps what it shares and what it fills: docs/architecture.md, section 10, has all. Some CPUs have 39 bits of guest-physical address,
 * so that everything lies below 512 GiB.
 */
#ifndef DRIVERS_VM_CONTROL_PLACES_H
#define DRIVERS_VM_CONTROL_PLACES_H

#define PLACES_LAPIC          0xFEE00000ull   /* not mapped: the kernel's model of it */
#define PLACES_LOG            0x91000000ull   /* the kernel's */
#define PLACES_SHARE_TABLE    0x3F00000000ull /* share_scan.c */
#define PLACES_SURVIVOR       0x94000000ull   /* what outlives the control VM: survivor.h */
#define PLACES_SURVIVOR_LIMIT 0x9A000000ull
#define PLACES_BOOT_MODULES   0x4000000000ull
#define PLACES_CONSOLES       0x5000000000ull /* 2 MiB each */
#define PLACES_UPLOADS        0x5080000000ull
#define PLACES_UPLOADS_LIMIT  0x5FC0000000ull
#define PLACES_COREDUMP       0x5FC0000000ull /* 2 MiB of the memory of a guest whose core file is read */
#define PLACES_FOR_A_WHILE    0x6000000000ull /* memory that is mapped to be filled */
#define PLACES_DEBUGGED       0x7000000000ull /* RAM of guests that have debuggers */
#define PLACES_DEBUGGED_LIMIT 0x8000000000ull

#endif
