/* Consoles and debuggers of VMs: streams of bytes both ways, by WebSocket. */
#include "drivers-vm/control/api/routes.h"

#define PIECE_BYTES 4096u

/* x->route.cursor: where in the console's output this reader is. */
static void start_reading(struct http_exchange *x, uint64_t tail)
{
	uint64_t end = manager_console_end(x->route.name);

	if (tail > MANAGER_CONSOLE_BYTES)
		tail = MANAGER_CONSOLE_BYTES;
	x->route.cursor = end > tail ? end - tail : 0;
}

/* The scrollback up to where it ended when it was asked for. */
static bool write_scrollback(struct http_exchange *x)
{
	uint8_t piece[PIECE_BYTES];
	uint64_t left = x->route.cursor < x->route.index ? x->route.index - x->route.cursor : 0;
	size_t count = left == 0
	                       ? 0
	                       : manager_console_read(x->route.name, &x->route.cursor, piece, left < sizeof(piece) ? left : sizeof(piece));

	text_add(&x->body, piece, count);
	return count != 0;
}

void route_get_console(struct http_exchange *x)
{
	uint64_t tail = MANAGER_CONSOLE_BYTES;
	struct manager_vm vm;

	if (!routes_find_vm(x, &vm) || !routes_get_number(x, "tail", &tail))
		return;
	start_reading(x, tail);
	x->route.index = manager_console_end(x->route.name);
	http_answer_more(x, 200, "application/octet-stream", write_scrollback);
}

static size_t receive_console(struct http_exchange *x, const uint8_t *bytes, size_t count)
{
	return manager_console_write(x->route.name, bytes, count);
}

static size_t send_console(struct http_exchange *x, uint8_t *to, size_t size)
{
	struct manager_vm vm;
	size_t count = manager_console_read(x->route.name, &x->route.cursor, to, size);

	if (count == 0 && !manager_find(x->route.name, &vm))
		http_socket_end(x, HTTP_SOCKET_AWAY);
	return count;
}

void route_open_console(struct http_exchange *x)
{
	static const struct http_socket console = { .receive = receive_console, .send = send_console };
	uint64_t tail = MANAGER_CONSOLE_BYTES;
	struct manager_vm vm;

	if (!routes_find_vm(x, &vm) || !routes_get_number(x, "tail", &tail))
		return;
	start_reading(x, tail);
	http_answer_socket(x, &console, routes_protocol(x));
}

/* ---- Debuggers --------------------------------------------------------------------------------------------------------------------- */

void route_get_gdb(struct http_exchange *x)
{
	struct manager_vm vm;

	if (!routes_find_vm(x, &vm))
		return;
	http_add_header(x, "Upgrade", "websocket");
	problem_answer(x, 426, "", "a debugger is reached by a WebSocket only");
}

static size_t receive_gdb(struct http_exchange *x, const uint8_t *bytes, size_t count)
{
	return api_gdb_receive(x->route.session, bytes, count);
}

static size_t send_gdb(struct http_exchange *x, uint8_t *to, size_t size)
{
	size_t count = api_gdb_send(x->route.session, to, size);

	if (count == 0 && !api_gdb_is_open(x->route.session))
		http_socket_end(x, HTTP_SOCKET_AWAY);
	return count;
}

static void end_gdb(struct http_exchange *x)
{
	api_gdb_close(x->route.session);
}

void route_open_gdb(struct http_exchange *x)
{
	static const struct http_socket debugger = { .receive = receive_gdb, .send = send_gdb };
	char error[API_ERROR_BYTES] = "";
	struct manager_vm vm;

	if (!routes_find_vm(x, &vm))
		return;
	x->route.session = api_gdb_open(x->route.name, error);
	if (x->route.session < 0) {
		problem_answer(x, 409, "", "%s", error);
		return;
	}
	x->route.end = end_gdb;
	http_answer_socket(x, &debugger, routes_protocol(x));
}
