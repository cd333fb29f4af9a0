/* Seconds since 1970 as a date (RFC 3339). Pure. */
#ifndef DRIVERS_VM_CONTROL_API_CALENDAR_H
#define DRIVERS_VM_CONTROL_API_CALENDAR_H

#include <stdint.h>

#define CALENDAR_TEXT_BYTES 40u /* enough for the compiler; 21 are used; years from 10000 on are shown as 9999-12-31T23:59:59Z */

/* "2026-11-21T14:03:11Z" */
void calendar_format(uint64_t seconds, char text[CALENDAR_TEXT_BYTES]);

#endif
