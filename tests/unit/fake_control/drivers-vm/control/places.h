/* Addresses of the test's own. */
#ifndef DRIVERS_VM_CONTROL_PLACES_H
#define DRIVERS_VM_CONTROL_PLACES_H

#include <stdint.h>

extern uint64_t fake_places; /* 8 GiB of addresses */

#define PLACES_LAPIC          fake_places
#define PLACES_BOOT_MODULES   0ull
#define PLACES_SHARE_TABLE    (fake_places + (7ull << 30))
#define PLACES_UPLOADS        fake_places
#define PLACES_UPLOADS_LIMIT  (fake_places + (6ull << 30))
#define PLACES_FOR_A_WHILE    0ull
#define PLACES_COREDUMP       (fake_places + (7ull << 30))
#define PLACES_DEBUGGED       fake_places
#define PLACES_DEBUGGED_LIMIT (fake_places + (6ull << 30))

#endif
