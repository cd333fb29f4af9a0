/* The machine's MC146818 clock, read once: after that the TSC tells the time. */
#ifndef DRIVERS_VM_DRIVER_CMOS_H
#define DRIVERS_VM_DRIVER_CMOS_H

#include <stdint.h>

#define CMOS_PORT_INDEX 0x70u
#define CMOS_PORT_DATA  0x71u

/* Seconds since 1970 that the clock behind `read` (register number to value) shows; 0 if it shows no date of 2000 to 2099. */
uint64_t cmos_read_seconds(uint8_t (*read)(uint8_t reg));

#endif
