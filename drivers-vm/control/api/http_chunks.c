/* The chunked coding of a request's body. */
#include "drivers-vm/control/api/http_parse.h"

#include <ctype.h>

#define LINE_BYTES_MAX    256u
#define TRAILER_BYTES_MAX 4096u
#define SIZE_DIGITS_MAX   15u

/* A line's end is CR LF; a CR or a LF alone is neither. Returns whether this byte ends it; *bad if it is malformed. */
static bool ends_line(struct http_chunks *chunks, uint8_t byte, bool *bad)
{
	if (chunks->carriage_return) {
		*bad = byte != '\n';
		chunks->carriage_return = false;
		return true;
	}
	chunks->carriage_return = byte == '\r';
	*bad = byte == '\n' || ++chunks->line > LINE_BYTES_MAX;
	return false;
}

static bool take_size(struct http_chunks *chunks, uint8_t byte)
{
	bool bad, end = ends_line(chunks, byte, &bad);

	if (bad)
		return false;
	if (end) {
		if (chunks->digits == 0)
			return false;
		chunks->state = chunks->left == 0 ? HTTP_CHUNK_TRAILER : HTTP_CHUNK_DATA;
		chunks->line = chunks->digits = 0;
		chunks->extension = false;
		return true;
	}
	if (chunks->carriage_return || chunks->extension)
		return true;
	if (byte == ';' && chunks->digits != 0) {
		chunks->extension = true;
		return true;
	}
	if (!isxdigit(byte) || ++chunks->digits > SIZE_DIGITS_MAX)
		return false;
	chunks->left = chunks->left << 4 | (uint64_t)(isdigit(byte) ? byte - '0' : tolower(byte) - 'a' + 10);
	return true;
}

static bool take_data_end(struct http_chunks *chunks, uint8_t byte)
{
	bool bad, end = ends_line(chunks, byte, &bad);

	if (bad || (!end && !chunks->carriage_return))
		return false;
	if (end) {
		chunks->state = HTTP_CHUNK_SIZE;
		chunks->line = 0;
	}
	return true;
}

/* Trailers are skipped; an empty line is the end. */
static bool take_trailer(struct http_chunks *chunks, uint8_t byte)
{
	bool bad, end = ends_line(chunks, byte, &bad);

	if (bad || ++chunks->trailer > TRAILER_BYTES_MAX)
		return false;
	if (end) {
		if (chunks->line == 1)
			chunks->state = HTTP_CHUNK_END;
		chunks->line = 0;
	}
	return true;
}

long http_take_chunk_frame(struct http_chunks *chunks, const uint8_t *bytes, size_t count)
{
	size_t taken = 0;

	while (taken < count && chunks->state != HTTP_CHUNK_END) {
		bool valid;

		if (chunks->state == HTTP_CHUNK_DATA) {
			if (chunks->left != 0)
				break;
			chunks->state = HTTP_CHUNK_DATA_END;
		}
		if (chunks->state == HTTP_CHUNK_SIZE)
			valid = take_size(chunks, bytes[taken]);
		else if (chunks->state == HTTP_CHUNK_DATA_END)
			valid = take_data_end(chunks, bytes[taken]);
		else
			valid = take_trailer(chunks, bytes[taken]);
		if (!valid)
			return -1;
		taken++;
	}
	return (long)taken;
}
