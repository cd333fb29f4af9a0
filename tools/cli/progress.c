#include "tools/cli/progress.h"
#include "tools/cli/terminal.h"
#include "tools/cli/text.h"

#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define UPDATE_SECONDS 0.1
#define NAME_COLUMNS   20
#define OTHER_COLUMNS  50 /* name, percentage, rate, time that is left */

static double now_seconds(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (double)now.tv_sec + (double)now.tv_nsec * 1e-9;
}

void progress_format_bar(char *out, size_t size, unsigned width, int64_t sent, int64_t total)
{
	unsigned full = total <= 0 || sent >= total ? width : (unsigned)((double)sent / (double)total * width);

	if (size < 3)
		return;
	if (width > size - 3)
		width = (unsigned)size - 3;
	if (full > width)
		full = width;
	out[0] = '[';
	memset(out + 1, '#', full);
	memset(out + 1 + full, '.', width - full);
	out[width + 1] = ']';
	out[width + 2] = '\0';
}

void progress_begin(struct progress *progress, const char *name)
{
	*progress = (struct progress){ .name = name, .shown = isatty(STDERR_FILENO), .began = now_seconds() };
}

void progress_show(struct http_upload *upload, int64_t sent)
{
	struct progress *progress = upload->ctx;
	char bar[128], rate[16], left[40] = "--:--:--";
	double now = now_seconds(), seconds = now - progress->began;
	double speed = seconds > 0 ? (double)sent / seconds : 0;
	unsigned columns, lines;

	if (!progress->shown || now - progress->updated < UPDATE_SECONDS)
		return;
	progress->updated = now;
	terminal_measure(&columns, &lines);
	progress_format_bar(bar, sizeof(bar), columns > OTHER_COLUMNS + 10 ? columns - OTHER_COLUMNS : 10, sent, upload->bytes);
	text_format_short(rate, sizeof(rate), speed);
	if (speed > 0 && seconds > 1)
		text_format_duration(left, sizeof(left), (uint64_t)((double)(upload->bytes - sent) / speed));
	fprintf(stderr, "\r%-*.*s %s %3d%% %5sB/s %s", NAME_COLUMNS, NAME_COLUMNS, progress->name, bar,
	        upload->bytes <= 0 ? 100 : (int)(sent * 100 / upload->bytes), rate, left);
	fflush(stderr);
}

void progress_end(struct progress *progress)
{
	if (progress->shown && progress->updated > 0)
		fputs("\r\033[K", stderr);
	progress->shown = false;
}
