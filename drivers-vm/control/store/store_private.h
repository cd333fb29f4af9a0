/* What store.c, which has the values, gives store_sync.c, which keeps them on the disk. */
#ifndef DRIVERS_VM_CONTROL_STORE_STORE_PRIVATE_H
#define DRIVERS_VM_CONTROL_STORE_STORE_PRIVATE_H

#include "drivers-vm/control/store/store.h"

/* Grows with each change. */
uint64_t store_changes(void);

/* Something has changed that the watcher is to see: the value of this key, or NULL: where the state is on the disk. */
void store_tell_watcher(const char *key);

/* What store_serialize writes of one value, at `to`, if that is not NULL; returns its bytes, 0: there is no such value. */
size_t store_serialize_value(const char *key, uint8_t *to);
/* Puts a value that store_serialize_value has written; false: it is damaged, or there is no room. */
bool store_put_serialized(const uint8_t *from, size_t bytes);

/* Of all values, as store_format.h has them; at most STORE_BYTES. */
size_t store_serialized_bytes(void);
void store_serialize(uint8_t *to);

/* Adds what is there to what was put before, which wins. False: it is damaged and nothing was added, or there is no room. */
bool store_load(const uint8_t *from, size_t bytes);

#endif
