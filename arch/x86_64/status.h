/* The one error type of root mode. Its values are the ABI's codes, so that a hypercall returns what its parts return. */
#ifndef ARCH_X86_64_STATUS_H
#define ARCH_X86_64_STATUS_H

#include <hilum/abi.h>
#include "arch/x86_64/types.h"

enum status {
	STATUS_OK = HILUM_OK,
	STATUS_INVALID = HILUM_E_INVALID,         /* an argument is out of range, misaligned, or has reserved bits set */
	STATUS_NO_MEMORY = HILUM_E_NO_MEMORY,     /* frames or pool are exhausted */
	STATUS_BAD_HANDLE = HILUM_E_BAD_HANDLE,   /* no such handle, stale generation, or wrong type */
	STATUS_DENIED = HILUM_E_DENIED,           /* the handle lacks a right */
	STATUS_EXISTS = HILUM_E_EXISTS,           /* the place is taken */
	STATUS_NOT_FOUND = HILUM_E_NOT_FOUND,     /* nothing there */
	STATUS_BUSY = HILUM_E_BUSY,               /* the object's state forbids it now */
	STATUS_UNSUPPORTED = HILUM_E_UNSUPPORTED, /* this machine or build cannot do it */
	STATUS_FAULT = HILUM_E_FAULT,             /* a guest address is not mapped with the rights asked */
};

#endif
