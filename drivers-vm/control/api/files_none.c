/* The table of static files of a build without the web console: one page that says so. */
#include "drivers-vm/control/api/files.h"

static const char page[] = "<!doctype html><html lang=\"en\"><meta charset=\"utf-8\"><title>Hilum</title>"
			   "<p>This build has no web console. The API is below <code>/api/v1</code>.</p></html>\n";

__attribute__((weak)) const struct api_file api_files[] = {
	{ "/", "text/html; charset=utf-8", NULL, (const uint8_t *)page, sizeof(page) - 1, "\"none\"", false },
};
__attribute__((weak)) const unsigned api_file_count = 1;
