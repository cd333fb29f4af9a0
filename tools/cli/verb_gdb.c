/* gdb: a local port that leads to the debugger's door of a VM. Only this computer can reach it. */
#include "tools/cli/http.h"
#include "tools/cli/relay.h"
#include "tools/cli/show.h"
#include "tools/cli/verbs.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

/* A listening socket at 127.0.0.1, and its port; -1 after saying why not. */
static int listen_locally(unsigned wanted, unsigned *port)
{
	struct sockaddr_in address = { .sin_family = AF_INET,
		                       .sin_port = htons((uint16_t)wanted),
		                       .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	socklen_t length = sizeof(address);
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), on = 1;

	if (fd >= 0)
		setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
	if (fd < 0 || bind(fd, (struct sockaddr *)&address, sizeof(address)) != 0 || listen(fd, 1) != 0 ||
	    getsockname(fd, (struct sockaddr *)&address, &length) != 0) {
		cli_error("port %u: %s", wanted, strerror(errno));
		if (fd >= 0)
			close(fd);
		return -1;
	}
	*port = ntohs(address.sin_port);
	return fd;
}

static int accept_debugger(int listener)
{
	int fd, on = 1;

	do
		fd = accept4(listener, NULL, NULL, SOCK_CLOEXEC);
	while (fd < 0 && errno == EINTR);
	if (fd < 0)
		cli_error("%s", strerror(errno));
	else
		setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
	return fd;
}

static enum cli_exit relay_debugger(const struct http_session *session, const char *name, int fd)
{
	struct websocket *socket = memory_resize(NULL, sizeof(*socket));
	struct relay relay = { .in_fd = fd, .out_fd = fd, .escape = -1, .linger_ms = 0 };
	char *path = http_path("/vms/%s/gdb", name), *failure = memory_format("Failed to debug domain '%s'", name);
	enum cli_exit status = websocket_open(socket, session, path, failure);
	enum relay_end end;

	if (status == CLI_OK) {
		end = relay_run(&relay, socket);
		if (end == RELAY_CLOSED)
			cli_error("the machine ended the debugging (%u)", socket->close_code);
		status = end == RELAY_CLOSED || end == RELAY_LOST ? CLI_UNREACHABLE : CLI_OK;
	}
	websocket_close(socket);
	free(socket);
	free(failure);
	free(path);
	return status;
}

static enum cli_exit run_gdb(const struct cli_options *options, char **operands, int count)
{
	struct http_session session;
	struct http_reply reply = { 0 };
	enum cli_exit status;
	unsigned port;
	int listener = -1, fd = -1;

	(void)count;
	if (options->port > 65535) {
		cli_error("--port: 0 to 65535");
		return CLI_USAGE;
	}
	status = http_open(&session, options);
	if (status == CLI_OK) /* there is such a VM: said now, not when gdb connects */
		status = show_fetch_again(&session, http_path("/vms/%s", operands[0]), NULL, &reply);
	if (status == CLI_OK) {
		listener = listen_locally(options->port == CLI_NOT_GIVEN ? 0 : (unsigned)options->port, &port);
		status = listener < 0 ? CLI_USAGE : CLI_OK;
	}
	if (status == CLI_OK) {
		printf("Waiting for gdb; connect it by: target remote 127.0.0.1:%u\n", port);
		fflush(stdout);
		fd = accept_debugger(listener);
		status = fd < 0 ? CLI_USAGE : relay_debugger(&session, operands[0], fd);
	}
	if (fd >= 0)
		close(fd);
	if (listener >= 0)
		close(listener);
	http_free(&reply);
	http_close(&session);
	return status;
}

const struct verb verb_gdb = {
	.name = "gdb",
	.operands = "NAME",
	.summary = "Open a local port to debug a VM by gdb",
	.help = "Listens at 127.0.0.1, prints the port, passes one connection of gdb on to the VM, and ends with it. Wants a token with "
		"the role admin.\n"
		"\nExample:\n"
		"  hilum gdb linux --port 4444 &\n"
		"  gdb vmlinux -ex 'target remote 127.0.0.1:4444'\n",
	.options = "port",
	.least = 1,
	.most = 1,
	.run = run_gdb,
};
