/* The web console's files, compressed when the image is built. Each is served under its path only: there is no file system. */
#include "drivers-vm/control/api/files.h"
#include "drivers-vm/control/api/routes.h"

#include <string.h>

/* Only what comes from here, no inline scripts, no frames, no forms: what a VM's console or an event says is never run. */
#define POLICY \
	"default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src 'self' data:; font-src 'self'; " \
	"frame-ancestors 'none'; base-uri 'none'; form-action 'none'"

static const struct api_file *find_file(const char *path)
{
	for (unsigned i = 0; i < api_file_count; i++)
		if (strcmp(api_files[i].path, path) == 0)
			return &api_files[i];
	return NULL;
}

bool files_answer(struct http_exchange *x)
{
	const char *path = strcmp(x->request.path, "/index.html") == 0 ? "/" : x->request.path;
	const char *known = http_find_header(&x->request, "if-none-match");
	const struct api_file *file = find_file(path);

	if (file == NULL)
		return false;
	if (x->request.method != HTTP_GET) {
		http_add_header(x, "Allow", "GET, HEAD");
		problem_answer(x, 405, "", "this can be asked with GET, HEAD only");
		return true;
	}
	http_add_header(x, "Content-Security-Policy", "%s", POLICY);
	http_add_header(x, "Referrer-Policy", "no-referrer");
	http_add_header(x, "X-Frame-Options", "DENY");
	http_add_header(x, "Cache-Control", file->immutable ? "public, max-age=31536000, immutable" : "no-cache");
	http_add_header(x, "ETag", "%s", file->etag);
	if (file->encoding != NULL)
		http_add_header(x, "Content-Encoding", "%s", file->encoding);
	if (known != NULL && http_has_element(known, file->etag))
		http_answer(x, 304, NULL);
	else
		http_answer_constant(x, 200, file->type, file->bytes, file->count);
	return true;
}
