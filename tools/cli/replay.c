/* Control sequences as ECMA-48, section 5.4, has them, and the questions among them as xterm answers them. */
#include "tools/cli/replay.h"

#include <stdbool.h>
#include <string.h>

#define ENQUIRY 0x05
#define BELL    0x07
#define CANCEL  0x18
#define ESCAPE  0x1b

/* Whether a terminal answers held[0 .. count): ESC [, parameters, and a last byte. */
static bool is_question(const uint8_t *held, size_t count)
{
	uint8_t first = held[2], before = held[count - 2], last = held[count - 1];

	switch (last) {
	case 'c': /* device attributes */
	case 'n': /* status, place of the cursor */
	case 't': /* size of the window, its title */
	case 'x': /* terminal parameters */
	case 'y': /* checksums */
		return true;
	case 'p': /* modes; without "$" it is a reset */
		return before == '$';
	case 'q': /* version; else the cursor's shape */
		return first == '>';
	case 'u': /* keyboard; else the cursor's place is restored */
		return first == '?';
	case 'w': /* rectangles, presentation */
		return before == '$' || before == '\'';
	default:
		return false;
	}
}

/* The held bytes, and no more are held. */
static size_t release(struct replay *replay, uint8_t *out)
{
	size_t count = replay->count;

	memcpy(out, replay->held, count);
	replay->count = 0;
	replay->state = REPLAY_TEXT;
	return count;
}

static size_t take_text(struct replay *replay, uint8_t byte, uint8_t *out)
{
	if (byte == ESCAPE) {
		replay->held[replay->count++] = byte;
		replay->state = REPLAY_ESCAPE;
		return 0;
	}
	out[0] = byte;
	return byte != ENQUIRY;
}

/* An escape character within a sequence breaks that off and begins another. */
static size_t begin_again(struct replay *replay, uint8_t *out)
{
	size_t count = release(replay, out);

	take_text(replay, ESCAPE, out);
	return count;
}

static void leave_out(struct replay *replay, enum replay_state next)
{
	replay->count = 0;
	replay->state = next;
}

static size_t take_escape(struct replay *replay, uint8_t byte, uint8_t *out)
{
	if (byte == ESCAPE)
		return begin_again(replay, out);
	replay->held[replay->count++] = byte;
	if (byte == '[')
		replay->state = REPLAY_CONTROL;
	else if (memchr("]PX^_", byte, 5) != NULL)
		leave_out(replay, REPLAY_STRING);
	else if (byte == 'Z') /* what are you, of old */
		leave_out(replay, REPLAY_TEXT);
	else if (byte >= 0x20 || byte == CANCEL || replay->count == REPLAY_HELD_BYTES)
		return release(replay, out);
	return 0;
}

/* Other control characters within a sequence are part of it here: a terminal obeys them and reads on. */
static size_t take_control(struct replay *replay, uint8_t byte, uint8_t *out)
{
	if (byte == ESCAPE)
		return begin_again(replay, out);
	replay->held[replay->count++] = byte;
	if (byte < 0x40 && byte != CANCEL) {
		if (replay->count == REPLAY_HELD_BYTES)
			leave_out(replay, REPLAY_OVERLONG);
		return 0;
	}
	if (byte < 0x7f && byte != CANCEL && is_question(replay->held, replay->count)) {
		leave_out(replay, REPLAY_TEXT);
		return 0;
	}
	return release(replay, out);
}

size_t replay_filter(struct replay *replay, const uint8_t *in, size_t count, uint8_t *out)
{
	size_t used = 0;

	for (size_t i = 0; i < count; i++) {
		uint8_t byte = in[i];

		switch (replay->state) {
		case REPLAY_TEXT:
			used += take_text(replay, byte, out + used);
			break;
		case REPLAY_ESCAPE:
			used += take_escape(replay, byte, out + used);
			break;
		case REPLAY_CONTROL:
			used += take_control(replay, byte, out + used);
			break;
		case REPLAY_OVERLONG:
			replay->state = byte >= 0x40 || byte == CANCEL ? REPLAY_TEXT : REPLAY_OVERLONG;
			break;
		case REPLAY_STRING:
			replay->state = byte == BELL || byte == CANCEL ? REPLAY_TEXT
			                : byte == ESCAPE               ? REPLAY_STRING_ESCAPE
			                                               : REPLAY_STRING;
			break;
		case REPLAY_STRING_ESCAPE: /* ESC ends the string whatever follows; "\" belongs to it */
			replay->state = REPLAY_TEXT;
			if (byte != '\\') {
				replay->held[replay->count++] = ESCAPE;
				used += take_escape(replay, byte, out + used);
			}
			break;
		}
	}
	return used;
}

size_t replay_finish(struct replay *replay, uint8_t *out)
{
	return release(replay, out);
}
