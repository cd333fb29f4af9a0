/*
 * One serial line for many consoles: shows the output of one guest at a time, keeps the last output of the
 * others, lets Hilum's log through at line boundaries, and sends what is typed to the guest on show. Ctrl-A
 * three times shows the next one. No lock: the caller serialises calls, and no call comes back to a guest's
 * device model. What is kept of a source costs memory from its first output on.
 */
#ifndef DRIVERS_VM_DRIVER_CONSOLE_MUX_H
#define DRIVERS_VM_DRIVER_CONSOLE_MUX_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define CONSOLE_MUX_GUESTS      512u
#define CONSOLE_MUX_LOG         CONSOLE_MUX_GUESTS /* the log's number among the sources */
#define CONSOLE_MUX_SOURCES     (CONSOLE_MUX_GUESTS + 1)
#define CONSOLE_MUX_LOG_NAME    "hilum"
#define CONSOLE_MUX_NAME_BYTES  32u
#define CONSOLE_MUX_RING_BYTES  4096u /* kept of each source; a power of two */
#define CONSOLE_MUX_LINE_BYTES  512u  /* longer lines of the log are cut in pieces */
#define CONSOLE_MUX_PART_BYTES  256u  /* an unfinished line up to this length is shown again after a line of the log */
#define CONSOLE_MUX_INPUT_BYTES 1024u /* typed ahead of the guest; a power of two */
#define CONSOLE_MUX_SCREEN      24u   /* lines shown again when a source comes on show */

#define CONSOLE_MUX_SWITCH_KEY   0x01u /* Ctrl-A */
#define CONSOLE_MUX_SWITCH_COUNT 3u

/* Takes all of it. */
typedef void (*console_mux_write)(void *ctx, const uint8_t *bytes, size_t count);

struct console_source {
	bool present;
	char name[CONSOLE_MUX_NAME_BYTES];
	uint32_t written; /* bytes ever put in the ring */
	uint8_t *ring;    /* CONSOLE_MUX_RING_BYTES, or NULL: nothing was written yet, or there was no memory for it */
	bool lost;        /* there was none for something that was written */
};

struct console_mux {
	console_mux_write line_write;
	void *ctx;
	unsigned shown;                      /* source on show */
	char wanted[CONSOLE_MUX_NAME_BYTES]; /* comes on show when it appears; empty: whichever comes first */
	/* What the terminal shows in its last line. */
	bool line_empty;
	bool escapes;    /* the source on show has sent control sequences */
	bool part_whole; /* `part` holds all of the unfinished line */
	size_t part_count;
	uint8_t part[CONSOLE_MUX_PART_BYTES];
	/* The log's unfinished line. */
	size_t log_count;
	uint8_t log_line[CONSOLE_MUX_LINE_BYTES];
	/* Typed, for the source on show. */
	unsigned switch_keys; /* held back until it is clear whether three come */
	uint32_t input_in, input_out;
	uint8_t input[CONSOLE_MUX_INPUT_BYTES];
	struct console_source source[CONSOLE_MUX_SOURCES];
};

/*
 * Only the log exists and is on show. `show` names the guest that comes on show once it is added,
 * CONSOLE_MUX_LOG_NAME for the log, or is empty for the first guest; at most CONSOLE_MUX_NAME_BYTES are read.
 * `line_write` gets all output.
 */
void console_mux_init(struct console_mux *mux, const char *show, console_mux_write line_write, void *ctx);

/*
 * A guest's console appears or goes; numbers from CONSOLE_MUX_GUESTS up are ignored. A guest of the same name
 * as the one that was on show when it went comes on show again.
 */
void console_mux_add(struct console_mux *mux, unsigned guest, const char *name);
void console_mux_remove(struct console_mux *mux, unsigned guest);

/* A guest has written. Of a guest that was not added: ignored. */
void console_mux_output(struct console_mux *mux, unsigned guest, const uint8_t *bytes, size_t count);

/* Text of Hilum's log, lines ending in '\n', in pieces of any size; a line is shown once it is complete. */
void console_mux_log(struct console_mux *mux, const uint8_t *bytes, size_t count);

/*
 * Typed bytes. All are taken, so that the switch keys work when a guest reads nothing; what a guest has no
 * room for is dropped, with a bell. They wait for console_mux_peek_input.
 */
void console_mux_input(struct console_mux *mux, const uint8_t *bytes, size_t count);

/*
 * What was typed for the guest on show: copies at most `size` bytes and says whose they are in `guest`.
 * Returns the count; the bytes stay until console_mux_drop_input says how many of them that guest took.
 * Between the two calls anything may happen.
 */
size_t console_mux_peek_input(const struct console_mux *mux, unsigned *guest, uint8_t *bytes, size_t size);
void console_mux_drop_input(struct console_mux *mux, unsigned guest, size_t count);

#endif
