// SPDX-License-Identifier: Apache-2.0
/*
 * The server behind the proxies of bench/proxies: answers every request on 127.0.0.1:PORT with a body of SIZE bytes from
 * memory, over kept connections, with as little work as one thread of epoll can. Requests have no body.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <unistd.h>

enum { FDS_MAX = 65536, HEAD_MAX = 8192, EVENTS_MAX = 256 };

static struct {
	uint16_t have;   /* bytes of an unfinished head */
	uint8_t matched; /* of the four that end it */
	size_t left;     /* of answers that did not fit into the socket */
} conns[FDS_MAX];

static char *answer;
static size_t answer_len;
static int epoll_fd;

static void forget(int fd)
{
	memset(&conns[fd], 0, sizeof(conns[fd]));
	close(fd);
}

/* One answer, from its byte answer_len - left on. False when the connection is gone. */
static int push(int fd)
{
	while (conns[fd].left) {
		size_t at = (answer_len - conns[fd].left % answer_len) % answer_len;
		size_t n = answer_len - at;
		ssize_t sent = send(fd, answer + at, n, MSG_NOSIGNAL);

		if (sent < 0 && errno == EAGAIN)
			return 1;
		if (sent <= 0) {
			forget(fd);
			return 0;
		}
		conns[fd].left -= (size_t)sent;
	}
	return 1;
}

static void serve(int fd)
{
	static const char end[] = "\r\n\r\n";
	char in[HEAD_MAX];
	ssize_t n = recv(fd, in, sizeof(in), 0);

	if (n < 0 && errno == EAGAIN)
		return;
	/* A proxy has no reason to send more than a few heads at once. */
	if (n <= 0 || n == sizeof(in)) {
		forget(fd);
		return;
	}
	for (ssize_t i = 0; i < n; i++) {
		uint8_t m = conns[fd].matched;
		conns[fd].matched = in[i] == end[m] ? m + 1 : in[i] == '\r';
		if (conns[fd].matched == 4) {
			conns[fd].matched = 0;
			conns[fd].left += answer_len;
		}
	}
	(void)push(fd);
}

static void accept_all(int listener)
{
	int one = 1, fd;

	while ((fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC)) >= 0) {
		struct epoll_event e = {.events = EPOLLIN | EPOLLOUT | EPOLLET, .data.fd = fd};
		setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
		if (fd >= FDS_MAX || epoll_ctl(epoll_fd, EPOLL_CTL_ADD, fd, &e))
			close(fd);
	}
}

static int open_listener(unsigned port)
{
	struct sockaddr_in a = {.sin_family = AF_INET,
				.sin_port = htons((uint16_t)port),
				.sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	int one = 1, fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	struct epoll_event e = {.events = EPOLLIN, .data.fd = fd};

	setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
	if (fd < 0 || bind(fd, (struct sockaddr *)&a, sizeof(a)) || listen(fd, 4096) ||
	    epoll_ctl(epoll_fd, EPOLL_CTL_ADD, fd, &e)) {
		perror("bench-origin");
		exit(1);
	}
	return fd;
}

int main(int argc, char **argv)
{
	size_t size = argc == 3 ? strtoul(argv[2], NULL, 10) : 0;
	struct epoll_event events[EVENTS_MAX];
	char head[128];

	if (!size) {
		fputs("usage: bench-origin PORT SIZE\n", stderr);
		return 2;
	}
	int n = snprintf(
		head, sizeof(head),
		"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: %zu\r\n\r\n", size);
	answer_len = (size_t)n + size;
	answer = malloc(answer_len);
	epoll_fd = epoll_create1(EPOLL_CLOEXEC);
	if (!answer || epoll_fd < 0)
		return 1;
	memcpy(answer, head, (size_t)n);
	memset(answer + n, 'x', size);
	int listener = open_listener((unsigned)strtoul(argv[1], NULL, 10));
	for (;;) {
		int got = epoll_wait(epoll_fd, events, EVENTS_MAX, -1);
		for (int i = 0; i < got; i++) {
			int fd = events[i].data.fd;
			if (fd == listener)
				accept_all(listener);
			else if (push(fd))
				serve(fd);
		}
	}
}
