/*
 * hilum-sim: the control VM's API on a workstation, over plain HTTP on 127.0.0.1, with a manager that has no machine. The tests of the
 * command line and of the web console talk to it. It is no part of the appliance.
 *
 * usage: hilum-sim [--port N] [--vms N] [--routes]
 */
#define _GNU_SOURCE
#include "drivers-vm/control/api/api.h"
#include "drivers-vm/control/api/http.h"
#include "drivers-vm/control/events.h"
#include "tools/sim/sim.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define POLL_MS 20

/* A client's socket. Sockets that are to be closed after their last byte are closed at once: the kernel sends what it has. */
struct client {
	int fd; /* -1: free */
	struct http_conn *conn;
	size_t outstanding; /* received and not yet used */
	bool finished;      /* the API is done with it */
	bool blocked;       /* no room for more */
};

static struct client clients[HTTP_CONNECTIONS_MAX];

static uint64_t read_clock(clockid_t clock)
{
	struct timespec now;

	clock_gettime(clock, &now);
	return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

uint64_t sim_now_ns(void)
{
	return read_clock(CLOCK_MONOTONIC);
}

uint64_t sim_wall_ns(void)
{
	return read_clock(CLOCK_REALTIME);
}

static size_t client_write(void *ctx, const void *bytes, size_t count)
{
	struct client *client = ctx;
	ssize_t sent = send(client->fd, bytes, count, MSG_NOSIGNAL | MSG_DONTWAIT);

	if (sent >= 0)
		return (size_t)sent;
	client->blocked = errno == EAGAIN || errno == EWOULDBLOCK;
	return 0; /* another error shows when the socket is read */
}

static void client_finish(void *ctx)
{
	struct client *client = ctx;

	client->finished = true;
}

static void client_consumed(void *ctx, size_t count)
{
	struct client *client = ctx;

	client->outstanding -= count;
}

static const struct http_transport transport = { client_write, client_finish, client_consumed };

static void close_client(struct client *client)
{
	if (!client->finished)
		http_close(client->conn);
	close(client->fd);
	*client = (struct client){ .fd = -1 };
}

static void accept_client(int listener)
{
	static const uint8_t peer[16] = { [10] = 0xFF, [11] = 0xFF, [12] = 127, [15] = 1 };
	int fd = accept4(listener, NULL, NULL, SOCK_CLOEXEC), on = 1;

	for (unsigned i = 0; fd >= 0 && i < HTTP_CONNECTIONS_MAX; i++) {
		if (clients[i].fd >= 0)
			continue;
		clients[i] = (struct client){ .fd = fd };
		clients[i].conn = http_open(&transport, &clients[i], peer, sim_now_ns());
		setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
		if (clients[i].conn != NULL)
			return;
		clients[i].fd = -1;
		break;
	}
	if (fd >= 0)
		close(fd);
}

static void read_client(struct client *client)
{
	uint8_t bytes[HTTP_RECEIVE_WINDOW];
	size_t room = sizeof(bytes) - client->outstanding;
	ssize_t count = room == 0 ? -1 : recv(client->fd, bytes, room, MSG_DONTWAIT);

	if (count > 0) {
		client->outstanding += (size_t)count;
		http_receive(client->conn, bytes, (size_t)count, sim_now_ns());
	} else if (count == 0 || (room != 0 && errno != EAGAIN && errno != EINTR)) {
		close_client(client);
	}
}

static void serve_client(struct client *client, short events)
{
	if (client->fd >= 0 && !client->finished && (events & POLLOUT) != 0) {
		client->blocked = false;
		http_writable(client->conn, sim_now_ns());
	}
	if (client->fd >= 0 && !client->finished && (events & (POLLIN | POLLHUP | POLLERR)) != 0)
		read_client(client);
}

static void run(int listener)
{
	struct pollfd fds[HTTP_CONNECTIONS_MAX + 1];

	for (;;) {
		fds[0] = (struct pollfd){ .fd = listener, .events = POLLIN };
		for (unsigned i = 0; i < HTTP_CONNECTIONS_MAX; i++) {
			short wanted = (short)((clients[i].outstanding < HTTP_RECEIVE_WINDOW ? POLLIN : 0) |
			                       (clients[i].blocked ? POLLOUT : 0));

			fds[i + 1] = (struct pollfd){ .fd = clients[i].fd, .events = wanted };
		}
		if (poll(fds, HTTP_CONNECTIONS_MAX + 1, POLL_MS) < 0 && errno != EINTR)
			return;
		for (unsigned i = 0; i < HTTP_CONNECTIONS_MAX; i++)
			serve_client(&clients[i], fds[i + 1].revents);
		if ((fds[0].revents & POLLIN) != 0)
			accept_client(listener);
		fake_manager_poll();
		http_poll(sim_now_ns());
		for (unsigned i = 0; i < HTTP_CONNECTIONS_MAX; i++)
			if (clients[i].fd >= 0 && clients[i].finished)
				close_client(&clients[i]);
	}
}

/* Port 0: any that is free. Returns the socket and tells the port. */
static int listen_on(uint16_t *port)
{
	struct sockaddr_in address = { .sin_family = AF_INET, .sin_port = htons(*port), .sin_addr = { htonl(INADDR_LOOPBACK) } };
	socklen_t length = sizeof(address);
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0), on = 1;

	if (fd < 0 || setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on)) != 0 ||
	    bind(fd, (struct sockaddr *)&address, length) != 0 || listen(fd, 64) != 0 ||
	    getsockname(fd, (struct sockaddr *)&address, &length) != 0) {
		perror("hilum-sim");
		exit(1);
	}
	*port = ntohs(address.sin_port);
	return fd;
}

static int print_routes(void)
{
	const char *method, *path, *role, *socket_role;

	for (unsigned i = 0; api_route_at(i, &method, &path, &role, &socket_role); i++)
		printf("%s %s %s %s\n", method, path, role, socket_role[0] == '\0' ? "-" : socket_role);
	return 0;
}

int main(int argc, char **argv)
{
	uint16_t port = 8080;
	unsigned vms = 2;
	char token[API_TOKEN_BYTES];

	for (int i = 1; i < argc; i++) {
		if (strcmp(argv[i], "--routes") == 0)
			return print_routes();
		if (i + 1 < argc && strcmp(argv[i], "--port") == 0) {
			port = (uint16_t)strtoul(argv[++i], NULL, 10);
		} else if (i + 1 < argc && strcmp(argv[i], "--vms") == 0) {
			vms = (unsigned)strtoul(argv[++i], NULL, 10);
		} else {
			fprintf(stderr, "usage: hilum-sim [--port N] [--vms N] [--routes]\n");
			return 2;
		}
	}
	for (unsigned i = 0; i < HTTP_CONNECTIONS_MAX; i++)
		clients[i].fd = -1;
	signal(SIGPIPE, SIG_IGN);
	events_set_clock(sim_wall_ns);
	fake_manager_start(vms);
	api_start();
	api_load_definitions();
	int listener = listen_on(&port);

	printf("http://127.0.0.1:%u\n", port);
	if (api_first_token(token))
		printf("%s\n", token);
	fflush(stdout);
	run(listener);
	return 1;
}
