/* internal: what the two bare loops share: the constant response, the search for blank lines, the listener. */
#ifndef BENCH_LIMIT_H
#define BENCH_LIMIT_H

#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

enum {
	LIMIT_RECV_BYTES = 4096, /* one read of a request, or of a pipeline of them */
	LIMIT_BATCH_MAX = 64,    /* requests answered by one send */
	LIMIT_BACKLOG = 4096,
	LIMIT_FDS_MAX = 65536,
};

/* The head is as long as the one nginx sends for the same file. */
#define LIMIT_RESPONSE                                     \
	"HTTP/1.1 200 OK\r\n"                              \
	"Server: limit\r\n"                                \
	"Date: Thu, 01 Jan 2026 00:00:00 GMT\r\n"          \
	"Content-Type: text/plain\r\n"                     \
	"Content-Length: 13\r\n"                           \
	"Last-Modified: Thu, 01 Jan 2026 00:00:00 GMT\r\n" \
	"ETag: \"6b014ca8-d\"\r\n"                         \
	"Accept-Ranges: bytes\r\n"                         \
	"\r\n"                                             \
	"Hello, world!"

enum { LIMIT_RESPONSE_BYTES = sizeof(LIMIT_RESPONSE) - 1 };

/* LIMIT_BATCH_MAX responses in a row, so that a pipeline is answered by one send. Call once. */
static inline char *limit_responses(void)
{
	char *all = malloc((size_t)LIMIT_RESPONSE_BYTES * LIMIT_BATCH_MAX);

	if (!all) {
		perror("malloc");
		exit(1);
	}
	for (size_t i = 0; i < LIMIT_BATCH_MAX; i++)
		memcpy(all + i * LIMIT_RESPONSE_BYTES, LIMIT_RESPONSE, LIMIT_RESPONSE_BYTES);
	return all;
}

/*
 * Counts the blank lines in one read. `tail` holds the last four bytes of the stream, so a blank line
 * that is split between two reads is found, too. The usual read is whole requests and takes the first loop only.
 */
static inline unsigned limit_blank_lines(uint32_t *tail, const char *p, size_t n)
{
	const uint32_t blank = 0x0d0a0d0a;
	const char *end = p + n, *found;
	unsigned lines = 0;

	if (*tail == 0) {
		while ((found = memmem(p, (size_t)(end - p), "\r\n\r\n", 4)) != NULL) {
			lines++;
			p = found + 4;
		}
	}
	for (; p < end; p++) {
		*tail = *tail << 8 | (uint8_t)*p;
		if (*tail == blank) {
			*tail = 0;
			lines++;
		}
	}
	return lines;
}

/* Reads the one argument, a port on 127.0.0.1, and listens there. Ends the program on any error. */
static inline int limit_listen(int argc, char **argv, int type_flags)
{
	struct sockaddr_in at = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	int one = 1, port = argc == 2 ? atoi(argv[1]) : 0, fd;

	if (port <= 0 || port > 65535) {
		fprintf(stderr, "usage: %s PORT\n", argv[0]);
		exit(2);
	}
	at.sin_port = htons((uint16_t)port);
	fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | type_flags, 0);
	/* Accepted sockets inherit TCP_NODELAY, which saves a call for each. */
	if (fd < 0 || setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one)) ||
	    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one)) ||
	    bind(fd, (struct sockaddr *)&at, sizeof(at)) || listen(fd, LIMIT_BACKLOG)) {
		perror("listen");
		exit(1);
	}
	return fd;
}

#endif
