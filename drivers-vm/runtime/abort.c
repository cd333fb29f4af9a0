/* The three ways in which the C library part gives up; each ends in runtime_abort(). */
#include "drivers-vm/runtime/runtime.h"

#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

int errno;

void runtime_fail_assert(const char *expression, const char *file, int line)
{
	char text[200];

	snprintf(text, sizeof(text), "%s:%d: assertion failed: %s", file, line, expression);
	runtime_abort(text);
}

void abort(void)
{
	runtime_abort("abort() called");
}
