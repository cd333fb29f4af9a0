/* Finds the host firmware's values for "soft off" in its DSDT, without an AML interpreter. */
#ifndef DRIVERS_VM_CONTROL_S5_H
#define DRIVERS_VM_CONTROL_S5_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct s5 {
	uint8_t slp_typ_a; /* SLP_TYP for PM1a_CNT, 0 .. 7 */
	uint8_t slp_typ_b;
};

/*
 * Scans `bytes` bytes of AML, which may be anything, for Name (\_S5_, Package () { a, b, ... }) with
 * constants (ACPI 6.4, 7.4.2 _Sx). False, and *out untouched, if there is none: some firmware computes the
 * package in a method.
 */
bool s5_find(const uint8_t *aml, size_t bytes, struct s5 *out) __attribute__((warn_unused_result));

#endif
