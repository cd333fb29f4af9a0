/*
 * Parts of the hostile guest.
 */
#ifndef TESTS_GUEST_HOSTILE_LOCAL_H
#define TESTS_GUEST_HOSTILE_LOCAL_H

#include <stdbool.h>
#include <stdint.h>

/* Random bits; and a random value of the kind that breaks things. */
uint64_t hostile_random(void);
uint64_t hostile_value(void);

/* attempt.c: runs fn, then puts this CPU's state right; whether fn raised an exception. */
void hostile_prepare(void);
bool hostile_attempt(void (*fn)(void));
void hostile_restore(void);

/* kinds.c and devices.c: one attempt each */
void hostile_hypercall(void);
void hostile_msr(void);
void hostile_control(void);
void hostile_descriptor(void);
void hostile_page_table(void);
void hostile_instruction(void);
void hostile_lapic(void);
void hostile_port(void);
void hostile_string_port(void);
void hostile_mmio(void);

#endif
