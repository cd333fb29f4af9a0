/* Static files, which the control VM serves without a token. */
#ifndef DRIVERS_VM_CONTROL_API_FILES_H
#define DRIVERS_VM_CONTROL_API_FILES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct api_file {
	const char *path;     /* "/main.js"; "/" is the page itself */
	const char *type;     /* "text/javascript; charset=utf-8" */
	const char *encoding; /* "gzip", or NULL */
	const uint8_t *bytes;
	size_t count;
	const char *etag; /* with its quotation marks */
	bool immutable;   /* its path changes with its bytes: browsers may keep it for ever */
};

/* The web console's, which the build makes; in files_none.c, for builds without it, one page that says so. */
extern const struct api_file api_files[];
extern const unsigned api_file_count;

#endif
