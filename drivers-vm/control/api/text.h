/*
 * Text that grows, for answers and request bodies. All texts together have at most TEXT_TOTAL_BYTES: a client cannot make the control VM
 * run out of heap. What does not fit is left out and remembered in `failed`.
 */
#ifndef DRIVERS_VM_CONTROL_API_TEXT_H
#define DRIVERS_VM_CONTROL_API_TEXT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define TEXT_TOTAL_BYTES (2u << 20)

/* All zero: empty. */
struct text {
	char *bytes; /* not NUL-terminated */
	size_t length, capacity;
	bool failed;
};

void text_add(struct text *text, const void *bytes, size_t count);
void text_add_string(struct text *text, const char *string);
/* At most TEXT_FORMAT_BYTES at once; what is longer is cut off. */
#define TEXT_FORMAT_BYTES 512u
void text_format(struct text *text, const char *format, ...) __attribute__((format(printf, 2, 3)));
/* Nanoseconds as a decimal number of seconds. */
void text_add_seconds(struct text *text, uint64_t ns);
/* Empty again, with its memory and without. */
void text_clear(struct text *text);
void text_free(struct text *text);
/* What all texts have taken of the bound. */
size_t text_total_bytes(void);

#endif
