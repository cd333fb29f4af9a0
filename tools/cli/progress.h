/* A progress bar on standard error, if that is a terminal. */
#ifndef TOOLS_CLI_PROGRESS_H
#define TOOLS_CLI_PROGRESS_H

#include "tools/cli/http.h"

struct progress {
	const char *name;
	bool shown;
	double began, updated; /* seconds */
};

void progress_begin(struct progress *progress, const char *name);
/* As http_upload's `progress`; its ctx is the bar. */
void progress_show(struct http_upload *upload, int64_t sent);
/* Leaves the line empty for what is said next. */
void progress_end(struct progress *progress);

/* The bar alone: `[#####.....]`, `width` columns between the brackets, for sent of total. Pure. */
void progress_format_bar(char *out, size_t size, unsigned width, int64_t sent, int64_t total);

#endif
