/* Answers that say what went wrong (RFC 9457). */
#ifndef DRIVERS_VM_CONTROL_API_PROBLEM_H
#define DRIVERS_VM_CONTROL_API_PROBLEM_H

#include "drivers-vm/control/api/exchange.h"
#include "drivers-vm/control/manager.h"

/* `field` names the part of the body that is wrong, or is "". */
void problem_answer(struct http_exchange *x, unsigned status, const char *field, const char *format, ...)
	__attribute__((format(printf, 4, 5)));
/* Why the manager has refused. */
void problem_answer_manager(struct http_exchange *x, enum manager_result result, const struct manager_error *error);

#endif
