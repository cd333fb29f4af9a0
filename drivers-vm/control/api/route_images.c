/* Images: what kernel, initrd and module of a definition name. An upload goes to the manager piece by piece as it comes. */
#include "drivers-vm/control/api/routes.h"

#include "drivers-vm/control/events.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

static void write_image(struct json_out *json, const struct manager_image *image)
{
	json_open(json, '{');
	json_put_string(json, "name", image->name);
	json_put_uint(json, "bytes", image->bytes);
	json_put_string(json, "source", image->uploaded ? "upload" : "boot");
	json_put_bool(json, "complete", image->complete);
	json_put_uint(json, "users", image->users);
	json_close(json, '}');
}

static bool write_next_image(struct http_exchange *x)
{
	struct json_out json = { .text = &x->body, .comma = x->route.cursor != 0 };
	struct manager_image image;

	if (!manager_image_at((unsigned)x->route.cursor, &image)) {
		text_add_string(&x->body, "]}\n");
		return false;
	}
	write_image(&json, &image);
	x->route.cursor++;
	return true;
}

void route_list_images(struct http_exchange *x)
{
	text_add_string(&x->body, "{\"images\":[");
	http_answer_more(x, 200, ROUTES_JSON, write_next_image);
}

static bool find_image(const char *name, struct manager_image *image)
{
	for (unsigned i = 0; manager_image_at(i, image); i++)
		if (image->complete && strcmp(image->name, name) == 0)
			return true;
	return false;
}

static bool append(struct http_exchange *x, const uint8_t *bytes, size_t count)
{
	struct manager_error error = { 0 };
	enum manager_result result = manager_image_append(x->route.session, bytes, count);

	if (result == MANAGER_OK)
		return true;
	problem_answer_manager(x, result, &error);
	return false;
}

static void end_upload(struct http_exchange *x)
{
	struct manager_error error = { 0 };

	if (x->route.busy)
		manager_image_end(x->route.session, false, &error);
	x->route.busy = false;
}

static void complete(struct http_exchange *x)
{
	struct json_out json = { .text = &x->body };
	struct manager_error error = { 0 };
	struct manager_image image;
	bool replaced = find_image(x->route.name, &image), allowed = api_is_allowed(x);
	enum manager_result result = manager_image_end(x->route.session, allowed, &error);

	x->route.busy = false;
	if (!allowed) {
		problem_answer(x, 401, "", "this token is not valid any more");
	} else if (result != MANAGER_OK) {
		problem_answer_manager(x, result, &error);
	} else if (!find_image(x->route.name, &image)) {
		problem_answer(x, 500, "", "the image is gone already");
	} else {
		event_add("image.uploaded", image.name, "%" PRIu64 " bytes", image.bytes);
		write_image(&json, &image);
		routes_answer_json(x, replaced ? 200 : 201);
	}
}

void route_put_image(struct http_exchange *x)
{
	const struct http_request *request = &x->request;
	struct manager_error error = { 0 };

	if (!auth_is_name(x->route.name, CONFIG_MODULE_BYTES)) {
		problem_answer(x, 422, "name", "must be 1 to %u letters, digits, '.', '_' or '-', not starting with '.' or '-'",
		               CONFIG_MODULE_BYTES - 1);
		return;
	}
	if (!request->has_length) {
		problem_answer(x, 411, "", "an upload needs Content-Length");
		return;
	}
	if (request->length == 0) {
		problem_answer(x, 422, "", "an image has at least one byte");
		return;
	}
	x->route.session = manager_image_begin(x->route.name, request->length, &error);
	if (x->route.session < 0) {
		problem_answer_manager(x, (enum manager_result) - x->route.session, &error);
		return;
	}
	x->route.busy = true;
	x->route.end = end_upload;
	http_take_body(x, append, complete);
}

void route_delete_image(struct http_exchange *x)
{
	struct manager_error error = { 0 };
	enum manager_result result = manager_image_remove(x->route.name, &error);

	if (result != MANAGER_OK) {
		problem_answer_manager(x, result, &error);
		return;
	}
	event_add("image.removed", x->route.name, "%s", "");
	http_answer(x, 204, NULL);
}
