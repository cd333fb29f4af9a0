/* The one error type of root mode. hypercall.c holds the one table that maps it to the ABI's negative codes. */
#ifndef ARCH_X86_64_STATUS_H
#define ARCH_X86_64_STATUS_H

#include "arch/x86_64/types.h"

enum status {
	STATUS_OK = 0,
	STATUS_INVALID,     /* an argument is out of range, misaligned, or has reserved bits set */
	STATUS_NO_MEMORY,   /* frames or pool are exhausted */
	STATUS_BAD_HANDLE,  /* no such handle, stale generation, or wrong type */
	STATUS_DENIED,      /* the handle lacks a right */
	STATUS_EXISTS,      /* the place is taken */
	STATUS_NOT_FOUND,   /* nothing there */
	STATUS_BUSY,        /* the object's state forbids it now */
	STATUS_UNSUPPORTED, /* this machine or build cannot do it */
	STATUS_FAULT,       /* a guest address is not mapped with the rights asked */
	STATUS_COUNT
};

#endif
