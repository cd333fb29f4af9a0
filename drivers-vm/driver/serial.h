/*
 * The host's serial line: the port that the kernel's early log used, driven by interrupts from here on. TL16C550C datasheet.
 * Callers hold the console lock.
 */
#ifndef DRIVERS_VM_DRIVER_SERIAL_H
#define DRIVERS_VM_DRIVER_SERIAL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Take over `port`, which keeps its speed; 0: there is none, output is dropped. `event` is bound to its interrupt. */
void serial_init(uint16_t port, uint32_t event);

/* Queue bytes; waits for the line when the queue is full. */
void serial_write(const uint8_t *bytes, size_t count);

/* Whether `count` bytes could be queued without waiting; true where no interrupt would tell when they can. */
bool serial_has_room(size_t count);

/* The interrupt came: take what arrived into `bytes`, send what waits. Returns the count received, at most `size`. */
size_t serial_interrupt(uint8_t *bytes, size_t size);

/* Send all that is queued, by polling. */
void serial_flush(void);

#endif
