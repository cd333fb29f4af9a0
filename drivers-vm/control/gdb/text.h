/* Numbers and bytes in the debugger's packets, and answers of bounded length. Pure. */
#ifndef DRIVERS_VM_CONTROL_GDB_TEXT_H
#define DRIVERS_VM_CONTROL_GDB_TEXT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* -1: none. */
int gdb_hex_digit(char c);

/* What is left of a packet; it ends with NUL, which is never passed. */
struct gdb_text {
	const char *at;
};

/* Takes the text if it comes next. */
bool gdb_text_take(struct gdb_text *text, const char *what);
/* Takes a hexadecimal number of 1 to 16 digits. */
bool gdb_text_number(struct gdb_text *text, uint64_t *value);
/* Takes exactly `count` bytes, two digits each. */
bool gdb_text_bytes(struct gdb_text *text, uint8_t *to, size_t count);
static inline bool gdb_text_is_end(const struct gdb_text *text)
{
	return *text->at == '\0';
}

/* An answer under construction. What does not fit is left out. */
struct gdb_answer {
	char *to;
	size_t size, length;
};

void gdb_answer_put(struct gdb_answer *answer, const char *text);
/* Without leading zeros. */
void gdb_answer_number(struct gdb_answer *answer, uint64_t value);
/* Two digits each. */
void gdb_answer_bytes(struct gdb_answer *answer, const void *bytes, size_t count);

#endif
