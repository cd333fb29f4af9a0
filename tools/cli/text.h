/* Text for people: sizes, times, and strings from the network that may not move the cursor. Pure. */
#ifndef TOOLS_CLI_TEXT_H
#define TOOLS_CLI_TEXT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/*
 * Copies UTF-8 text[0 .. length) so that no terminal takes any of it for a command: control characters (C0, DEL, C1), characters that
 * change the direction of text, and bytes that are no UTF-8 become "\xNN" for each byte. With `lines`, newlines and tabs stay.
 * Returns a string for free(); it ends the program when there is no memory.
 */
char *text_safe(const char *text, size_t length, bool lines);

/* Bytes of the well-formed UTF-8 sequence at `text` (RFC 3629, section 4), or 0; *code is what it stands for. `length` is not 0. */
size_t text_decode_utf8(const char *text, size_t length, uint32_t *code);
/* A terminal shows this character and does nothing else. */
bool text_is_harmless(uint32_t code);

/* Columns that a string from text_safe takes: its code points. */
size_t text_width(const char *text);

/* Exactly `columns` of a string from text_safe: cut, or followed by blanks. For free(). */
char *text_fit(const char *text, size_t columns);

/* "512 MiB", "1.5 GiB", "17 B": powers of 1024, at most one decimal. */
void text_format_bytes(char *out, size_t size, uint64_t bytes);

/* The same in at most 5 columns: "512M", "1.5G", "17". */
void text_format_short(char *out, size_t size, double value);

/* "00:01:05", or "3d 00:01:05". */
void text_format_duration(char *out, size_t size, uint64_t seconds);

/* A number with nothing, K, M, G or T (powers of 1024) behind it. False: it is none, or does not fit. */
bool text_parse_size(const char *text, uint64_t *out);

/* A decimal number from 0 to `most`. */
bool text_parse_number(const char *text, int64_t most, int64_t *out);

#endif
