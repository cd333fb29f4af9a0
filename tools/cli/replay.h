/*
 * What a console has shown earlier, shown again: a terminal would answer the questions in it (where is the cursor, what are you, what is in
 * the clipboard), and the answers would be typed into the guest, which asked long ago or not at all. They are left out. Pure.
 */
#ifndef TOOLS_CLI_REPLAY_H
#define TOOLS_CLI_REPLAY_H

#include <stddef.h>
#include <stdint.h>

#define REPLAY_HELD_BYTES 256u

struct replay {
	uint8_t held[REPLAY_HELD_BYTES]; /* a control sequence that is not complete */
	size_t count;
	enum replay_state {
		REPLAY_TEXT,
		REPLAY_ESCAPE,        /* after ESC */
		REPLAY_CONTROL,       /* after ESC [ */
		REPLAY_OVERLONG,      /* the same, of one that is left out for its length */
		REPLAY_STRING,        /* in a string that is left out: OSC, DCS, PM, APC, SOS */
		REPLAY_STRING_ESCAPE, /* after ESC in there */
	} state;
};

/* Copies in[0 .. count) without questions to `out`, which has room for REPLAY_HELD_BYTES more; returns how many bytes that are. */
size_t replay_filter(struct replay *replay, const uint8_t *in, size_t count, uint8_t *out);
/* What is held back, at the end of what is shown again. */
size_t replay_finish(struct replay *replay, uint8_t *out);

#endif
