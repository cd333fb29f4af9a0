/*
 * Keeps a picture of the terminal's last line, so that a line of the log can be put in front of it. Control
 * sequences of a guest pass unread: they are that guest's screen; only at a switch is the terminal put back
 * into a plain state.
 */
#include "drivers-vm/driver/console_mux.h"

#include <assert.h>
#include <string.h>
#include <stdio.h>
#include <stdlib.h>

#define ESCAPE 0x1Bu

static_assert((CONSOLE_MUX_RING_BYTES & (CONSOLE_MUX_RING_BYTES - 1)) == 0, "counters wrap through it");
static_assert((CONSOLE_MUX_INPUT_BYTES & (CONSOLE_MUX_INPUT_BYTES - 1)) == 0, "counters wrap through it");

static void line_put(struct console_mux *mux, const void *bytes, size_t count)
{
	if (count != 0)
		mux->line_write(mux->ctx, bytes, count);
}

static void line_put_text(struct console_mux *mux, const char *text)
{
	line_put(mux, text, strlen(text));
}

static void name_copy(char to[CONSOLE_MUX_NAME_BYTES], const char *from)
{
	size_t i;

	for (i = 0; i < CONSOLE_MUX_NAME_BYTES - 1 && from[i] != 0; i++)
		to[i] = from[i] > ' ' && from[i] < 0x7F ? from[i] : '?';
	memset(to + i, 0, CONSOLE_MUX_NAME_BYTES - i);
}

/* ---- What the terminal shows ---- */

static void part_forget(struct console_mux *mux)
{
	mux->part_count = 0;
	mux->part_whole = true;
}

/* Follow what the source on show writes. After a carriage return the old text still stands there, about to be
 * overwritten. */
static void part_follow(struct console_mux *mux, const uint8_t *bytes, size_t count)
{
	for (size_t i = 0; i < count; i++) {
		if (bytes[i] == '\n') {
			mux->line_empty = true;
			part_forget(mux);
			continue;
		}
		if (bytes[i] == '\r') {
			part_forget(mux);
			continue;
		}
		mux->line_empty = false;
		if (bytes[i] == ESCAPE)
			mux->escapes = true;
		if (mux->part_count == CONSOLE_MUX_PART_BYTES)
			mux->part_whole = false;
		else
			mux->part[mux->part_count++] = bytes[i];
	}
}

static void shown_put(struct console_mux *mux, const uint8_t *bytes, size_t count)
{
	line_put(mux, bytes, count);
	part_follow(mux, bytes, count);
}

/*
 * Begin text of our own on a line of its own. A control sequence that the guest has not finished is cancelled
 * (CAN); when the unfinished line is put back, its beginning is, too.
 */
static void interrupt_begin(struct console_mux *mux)
{
	if (mux->escapes)
		line_put_text(mux, "\x18\x1b[m");
	if (!mux->line_empty)
		line_put_text(mux, "\r\n");
}

static void interrupt_end(struct console_mux *mux)
{
	if (mux->part_whole)
		line_put(mux, mux->part, mux->part_count);
	else
		mux->line_empty = true;
	if (mux->part_count == 0)
		mux->line_empty = true;
}

/* ---- What is kept ---- */

static void ring_put(struct console_source *source, const uint8_t *bytes, size_t count)
{
	if (source->ring == NULL)
		source->ring = malloc(CONSOLE_MUX_RING_BYTES);
	if (source->ring == NULL) {
		source->lost = true;
		return;
	}
	if (count > CONSOLE_MUX_RING_BYTES) {
		bytes += count - CONSOLE_MUX_RING_BYTES;
		count = CONSOLE_MUX_RING_BYTES;
	}
	for (size_t i = 0; i < count; i++)
		source->ring[source->written++ % CONSOLE_MUX_RING_BYTES] = bytes[i];
	/* Keeps "fewer than the ring holds" apart from "the counter has wrapped". */
	if (source->written > UINT32_MAX / 2)
		source->written = source->written % CONSOLE_MUX_RING_BYTES + CONSOLE_MUX_RING_BYTES;
}

static uint32_t ring_last_screen(const struct console_source *source)
{
	uint32_t oldest = source->written > CONSOLE_MUX_RING_BYTES ? source->written - CONSOLE_MUX_RING_BYTES : 0;
	uint32_t at = source->written;
	unsigned lines = 0;

	while (at != oldest) {
		if (source->ring[(at - 1) % CONSOLE_MUX_RING_BYTES] == '\n' && lines++ == CONSOLE_MUX_SCREEN)
			break;
		at--;
	}
	return at;
}

static void ring_replay(struct console_mux *mux, const struct console_source *source)
{
	uint32_t at = ring_last_screen(source);

	if (source->lost)
		line_put_text(mux, "(hilum) there was no memory to keep all that it wrote before\r\n");
	while (at != source->written) {
		size_t offset = at % CONSOLE_MUX_RING_BYTES;
		size_t count = source->written - at;
		if (count > CONSOLE_MUX_RING_BYTES - offset)
			count = CONSOLE_MUX_RING_BYTES - offset;
		shown_put(mux, source->ring + offset, count);
		at += (uint32_t)count;
	}
}

/* ---- Which source is on show ---- */

static unsigned next_source(const struct console_mux *mux, unsigned source)
{
	do
		source = (source + 1) % CONSOLE_MUX_SOURCES;
	while (!mux->source[source].present);
	return source;
}

static void describe(const struct console_mux *mux, unsigned source, char *to, size_t size)
{
	if (source == CONSOLE_MUX_LOG)
		snprintf(to, size, "Hilum's log");
	else
		snprintf(to, size, "VM \"%s\"", mux->source[source].name);
}

static void announce(struct console_mux *mux)
{
	char shown[48], next[48], text[200];

	describe(mux, mux->shown, shown, sizeof(shown));
	describe(mux, next_source(mux, mux->shown), next, sizeof(next));
	if (next_source(mux, mux->shown) == mux->shown)
		snprintf(text, sizeof(text), "(hilum) showing %s\r\n", shown);
	else
		snprintf(text, sizeof(text), "(hilum) showing %s; Ctrl-A three times shows %s\r\n", shown, next);
	line_put_text(mux, text);
}

static void show(struct console_mux *mux, unsigned source)
{
	interrupt_begin(mux);
	if (mux->escapes)
		line_put_text(mux, "\x0f\x1b[?25h"); /* plain characters, a visible cursor */
	mux->shown = source;
	mux->escapes = false;
	mux->line_empty = true;
	part_forget(mux);
	mux->input_out = mux->input_in;
	announce(mux);
}

static void show_next(struct console_mux *mux)
{
	unsigned next = next_source(mux, mux->shown);

	name_copy(mux->wanted, mux->source[next].name);
	show(mux, next);
	ring_replay(mux, &mux->source[next]);
}

void console_mux_init(struct console_mux *mux, const char *wanted, console_mux_write line_write, void *ctx)
{
	struct console_source *log = &mux->source[CONSOLE_MUX_LOG];

	memset(mux, 0, sizeof(*mux));
	mux->line_write = line_write;
	mux->ctx = ctx;
	mux->shown = CONSOLE_MUX_LOG;
	mux->line_empty = true;
	mux->part_whole = true;
	name_copy(mux->wanted, wanted);
	log->present = true;
	name_copy(log->name, CONSOLE_MUX_LOG_NAME);
}

void console_mux_add(struct console_mux *mux, unsigned guest, const char *name)
{
	struct console_source *source;

	if (guest >= CONSOLE_MUX_GUESTS)
		return;
	source = &mux->source[guest];
	source->present = true;
	source->written = 0;
	source->lost = false;
	name_copy(source->name, name);
	if (mux->wanted[0] == 0)
		name_copy(mux->wanted, source->name);
	if (guest == mux->shown || (mux->shown == CONSOLE_MUX_LOG && strcmp(mux->wanted, source->name) == 0))
		show(mux, guest); /* it has no output yet */
}

void console_mux_remove(struct console_mux *mux, unsigned guest)
{
	if (guest >= CONSOLE_MUX_GUESTS || !mux->source[guest].present)
		return;
	mux->source[guest].present = false;
	free(mux->source[guest].ring);
	mux->source[guest].ring = NULL;
	/* The log's lines have been shown as they came. */
	if (guest == mux->shown)
		show(mux, CONSOLE_MUX_LOG);
}

/* ---- Output ---- */

void console_mux_output(struct console_mux *mux, unsigned guest, const uint8_t *bytes, size_t count)
{
	if (guest >= CONSOLE_MUX_GUESTS || !mux->source[guest].present)
		return;
	ring_put(&mux->source[guest], bytes, count);
	if (guest == mux->shown)
		shown_put(mux, bytes, count);
}

static void log_put_line(struct console_mux *mux)
{
	static const uint8_t end[2] = { '\r', '\n' };

	ring_put(&mux->source[CONSOLE_MUX_LOG], mux->log_line, mux->log_count);
	ring_put(&mux->source[CONSOLE_MUX_LOG], end, sizeof(end));
	line_put(mux, mux->log_line, mux->log_count);
	line_put(mux, end, sizeof(end));
	mux->log_count = 0;
}

void console_mux_log(struct console_mux *mux, const uint8_t *bytes, size_t count)
{
	bool interrupted = false;

	for (size_t i = 0; i < count; i++) {
		if (bytes[i] != '\n' && bytes[i] != '\r')
			mux->log_line[mux->log_count++] = bytes[i];
		if (bytes[i] != '\n' && mux->log_count < CONSOLE_MUX_LINE_BYTES)
			continue;
		if (!interrupted)
			interrupt_begin(mux);
		interrupted = true;
		log_put_line(mux);
	}
	if (interrupted)
		interrupt_end(mux);
}

/* ---- Input ---- */

static void input_put(struct console_mux *mux, uint8_t byte)
{
	if (mux->shown == CONSOLE_MUX_LOG)
		return;
	if (mux->input_in - mux->input_out == CONSOLE_MUX_INPUT_BYTES)
		line_put_text(mux, "\a");
	else
		mux->input[mux->input_in++ % CONSOLE_MUX_INPUT_BYTES] = byte;
}

void console_mux_input(struct console_mux *mux, const uint8_t *bytes, size_t count)
{
	for (size_t i = 0; i < count; i++) {
		if (bytes[i] == CONSOLE_MUX_SWITCH_KEY) {
			if (++mux->switch_keys == CONSOLE_MUX_SWITCH_COUNT) {
				mux->switch_keys = 0;
				show_next(mux);
			}
			continue;
		}
		for (; mux->switch_keys != 0; mux->switch_keys--)
			input_put(mux, CONSOLE_MUX_SWITCH_KEY);
		input_put(mux, bytes[i]);
	}
}

size_t console_mux_peek_input(const struct console_mux *mux, unsigned *guest, uint8_t *bytes, size_t size)
{
	size_t count = mux->input_in - mux->input_out;

	if (count > size)
		count = size;
	for (size_t i = 0; i < count; i++)
		bytes[i] = mux->input[(mux->input_out + i) % CONSOLE_MUX_INPUT_BYTES];
	*guest = mux->shown;
	return count;
}

void console_mux_drop_input(struct console_mux *mux, unsigned guest, size_t count)
{
	/* Another guest came on show in between: its input is not what was offered. */
	if (guest == mux->shown && count <= mux->input_in - mux->input_out)
		mux->input_out += (uint32_t)count;
}
