/* What has happened: events, the log, the audit log. */
#include "drivers-vm/control/api/routes.h"

#include "drivers-vm/control/api/audit.h"
#include "drivers-vm/control/events.h"

#include <inttypes.h>
#include <string.h>

#define PIECE_BYTES 4096u

/* x->route.cursor: the last id that was written; x->route.index: the last one that is; x->route.step: how many were written. */
static void write_event(struct json_out *json, const struct event *event)
{
	json_open(json, '{');
	json_put_uint(json, "id", event->id);
	json_put_time(json, "time", event->time_ns);
	json_put_string(json, "kind", event->kind);
	json_put_string(json, "name", event->name);
	json_put_string(json, "message", event->message);
	json_close(json, '}');
}

static bool write_end(struct http_exchange *x)
{
	text_format(&x->body, "],\"last\":%" PRIu64 "}\n", x->route.index);
	return false;
}

static bool write_next_event(struct http_exchange *x)
{
	struct json_out json = { .text = &x->body, .comma = x->route.step != 0 };
	struct event event;

	if (!event_after(x->route.cursor, &event) || event.id > x->route.index)
		return write_end(x);
	write_event(&json, &event);
	x->route.cursor = event.id;
	x->route.step++;
	return true;
}

void route_list_events(struct http_exchange *x)
{
	if (!routes_get_number(x, "since", &x->route.cursor))
		return;
	x->route.index = event_last_id();
	text_add_string(&x->body, "{\"events\":[");
	http_answer_more(x, 200, ROUTES_JSON, write_next_event);
}

static size_t send_event(struct http_exchange *x, uint8_t *to, size_t size)
{
	struct text text = { 0 };
	struct json_out json = { .text = &text };
	struct event event;
	size_t count = 0;

	if (!event_after(x->route.cursor, &event))
		return 0;
	write_event(&json, &event);
	if (!text.failed && text.length <= size) {
		memcpy(to, text.bytes, text.length);
		count = text.length;
		x->route.cursor = event.id;
	}
	text_free(&text);
	return count;
}

void route_open_events(struct http_exchange *x)
{
	static const struct http_socket events = { .send = send_event, .text = true };

	x->route.cursor = event_last_id();
	if (routes_get_number(x, "since", &x->route.cursor))
		http_answer_socket(x, &events, routes_protocol(x));
}

/* ---- The log ----------------------------------------------------------------------------------------------------------------------- */

/* Guests choose some of the log's bytes: what is no plain text is shown as a question mark. */
static size_t read_log(uint64_t *position, uint8_t *to, size_t size)
{
	size_t count = manager_log_read(position, to, size);

	for (size_t i = 0; i < count; i++)
		if ((to[i] < ' ' && to[i] != '\n' && to[i] != '\t') || to[i] >= 0x7F)
			to[i] = '?';
	return count;
}

static bool write_log(struct http_exchange *x)
{
	uint8_t piece[PIECE_BYTES];
	uint64_t left = x->route.cursor < x->route.index ? x->route.index - x->route.cursor : 0;
	size_t count = left == 0 ? 0 : read_log(&x->route.cursor, piece, left < sizeof(piece) ? left : sizeof(piece));

	text_add(&x->body, piece, count);
	return count != 0;
}

/* Where the log ends now: the header comes before the lines. */
static uint64_t find_log_end(uint64_t position)
{
	uint8_t piece[PIECE_BYTES];

	while (manager_log_read(&position, piece, sizeof(piece)) != 0)
		;
	return position;
}

void route_get_log(struct http_exchange *x)
{
	if (!routes_get_number(x, "since", &x->route.cursor))
		return;
	x->route.index = find_log_end(x->route.cursor);
	http_add_header(x, "Hilum-Log-Position", "%" PRIu64, x->route.index);
	http_answer_more(x, 200, "text/plain; charset=utf-8", write_log);
}

static size_t send_log(struct http_exchange *x, uint8_t *to, size_t size)
{
	return read_log(&x->route.cursor, to, size);
}

void route_open_log(struct http_exchange *x)
{
	static const struct http_socket log = { .send = send_log, .text = true };

	if (routes_get_number(x, "since", &x->route.cursor))
		http_answer_socket(x, &log, routes_protocol(x));
}

/* ---- The audit log ----------------------------------------------------------------------------------------------------------------- */

static bool write_next_entry(struct http_exchange *x)
{
	struct json_out json = { .text = &x->body, .comma = x->route.step != 0 };
	struct audit_entry entry;

	if (!audit_after(x->route.cursor, &entry) || entry.id > x->route.index)
		return write_end(x);
	json_open(&json, '{');
	json_put_uint(&json, "id", entry.id);
	json_put_time(&json, "time", entry.time_ns);
	json_put_string(&json, "token", entry.token);
	json_put_string(&json, "role", entry.role);
	json_put_string(&json, "peer", entry.peer);
	json_put_string(&json, "method", entry.method);
	json_put_string(&json, "path", entry.path);
	json_put_uint(&json, "status", entry.status);
	json_close(&json, '}');
	x->route.cursor = entry.id;
	x->route.step++;
	return true;
}

void route_list_audit(struct http_exchange *x)
{
	if (!routes_get_number(x, "since", &x->route.cursor))
		return;
	x->route.index = audit_last_id();
	text_add_string(&x->body, "{\"entries\":[");
	http_answer_more(x, 200, ROUTES_JSON, write_next_entry);
}
