// SPDX-License-Identifier: Apache-2.0
/*
 * The least an HTTP server on epoll can do: find the blank line, send a constant. No parser, no timers,
 * no write queue. What a real server is worth is its distance from this.
 *
 * Edge-triggered, one recv and one send a request. A read that did not fill the buffer has emptied the
 * socket, so nobody asks for EAGAIN. A send that is short closes the connection: it means that the client
 * does not read, and the load client always does.
 */
#include <errno.h>
#include <signal.h>
#include <stdbool.h>
#include <sys/epoll.h>

#include "limit.h"

enum { EVENTS_MAX = 512 };

static uint32_t tails[LIMIT_FDS_MAX];

static void accept_all(int ep, int listener)
{
	for (;;) {
		int fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
		struct epoll_event ev = {.events = EPOLLIN | EPOLLRDHUP | EPOLLET, .data.fd = fd};

		if (fd < 0)
			return;
		if (fd >= LIMIT_FDS_MAX || epoll_ctl(ep, EPOLL_CTL_ADD, fd, &ev)) {
			close(fd);
			continue;
		}
		tails[fd] = 0;
	}
}

/* False when the connection is over. */
static bool answer(int fd, const char *responses)
{
	char buf[LIMIT_RECV_BYTES];
	ssize_t n;

	do {
		n = recv(fd, buf, sizeof(buf), 0);
		if (n <= 0)
			return n < 0 && errno == EAGAIN;
		unsigned lines = limit_blank_lines(&tails[fd], buf, (size_t)n);

		while (lines) {
			unsigned batch = lines < LIMIT_BATCH_MAX ? lines : LIMIT_BATCH_MAX;
			size_t bytes = (size_t)batch * LIMIT_RESPONSE_BYTES;

			if (send(fd, responses, bytes, MSG_NOSIGNAL) != (ssize_t)bytes)
				return false;
			lines -= batch;
		}
	} while (n == (ssize_t)sizeof(buf));
	return true;
}

int main(int argc, char **argv)
{
	int listener = limit_listen(argc, argv, SOCK_NONBLOCK), ep = epoll_create1(EPOLL_CLOEXEC);
	struct epoll_event evs[EVENTS_MAX], ev = {.events = EPOLLIN, .data.fd = listener};
	const char *responses = limit_responses();

	if (ep < 0 || epoll_ctl(ep, EPOLL_CTL_ADD, listener, &ev)) {
		perror("epoll");
		return 1;
	}
	for (;;) {
		int n = epoll_wait(ep, evs, EVENTS_MAX, -1);

		for (int i = 0; i < n; i++) {
			int fd = evs[i].data.fd;

			if (fd == listener)
				accept_all(ep, listener);
			else if (!answer(fd, responses) ||
				 (evs[i].events & (EPOLLRDHUP | EPOLLHUP)))
				close(fd);
		}
	}
}
