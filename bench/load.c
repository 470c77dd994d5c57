// SPDX-License-Identifier: Apache-2.0
/*
 * The load client of the benchmarks: one thread, epoll, GET requests to one address, answers counted
 * and checked (status and length of every response), the result as one line of JSON.
 *
 *   keepalive  N connections, --active of them with --depth requests outstanding (default: all); an
 *              answered connection hands its turn to the next one in the ring
 *   connect    N connections at a time, each opened for one request with Connection: close
 *   idle       N connections, one request each, then held open until stdin closes
 *
 * Around the measured time it prints "ready" (idle) or "start", so that a script can read the clocks of the
 * server at the same moments. Every run ends by itself after --seconds (idle: at most --seconds of holding).
 */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum {
	CONNS_MAX = 60000,
	DEPTH_MAX = 64,
	HEAD_BYTES_MAX = 1024,
	REQUEST_BYTES_MAX = 512,
	EVENTS_MAX = 512,
	SOURCES_MAX = 200,
};

enum mode { MODE_KEEPALIVE, MODE_CONNECT, MODE_IDLE };
static const char *const mode_names[] = {"keepalive", "connect", "idle"};

enum conn_state {
	CONN_CLOSED,     /* no descriptor */
	CONN_CONNECTING, /* connect(2) is under way */
	CONN_IDLE,       /* open, nothing outstanding */
	CONN_HEAD,       /* reading the head of a response */
	CONN_BODY,       /* reading the body of a response */
	CONN_EOF,        /* nothing more will come; the server has still to close */
};

struct conn {
	int fd;
	enum conn_state state;
	uint16_t outstanding;
	uint16_t head_len;
	bool last; /* the server said that it will close after this response */
	uint64_t body_left;
	char *head; /* what came of a head that was split between two reads */
};

struct errors {
	uint64_t connect, read, write, status, length, head, closed;
};

struct load {
	enum mode mode;
	struct sockaddr_in to;
	const char *path;
	unsigned conns, active, depth, sources;
	double seconds, warmup;
	uint64_t requests_max;
	size_t recv_bytes;
	int cpu, expect_status;
	long long expect_length;

	int ep;
	char *buffer;
	char requests[REQUEST_BYTES_MAX * DEPTH_MAX];
	size_t requests_len;
	struct conn *ring;
	unsigned next, next_source;
	uint64_t done, bytes, opened, reopened;
	unsigned open_now, busy; /* connections, and those of them with requests outstanding */
	struct errors errors;
};

static void die(const char *what)
{
	fprintf(stderr, "load: %s: %s\n", what, strerror(errno));
	exit(1);
}

static double now_s(clockid_t clock)
{
	struct timespec t;

	clock_gettime(clock, &t);
	return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static void conn_close(struct load *l, struct conn *c)
{
	if (c->fd >= 0) {
		close(c->fd);
		l->open_now -= c->state != CONN_CONNECTING;
	}
	l->busy -= c->outstanding > 0;
	c->fd = -1;
	c->state = CONN_CLOSED;
	c->outstanding = 0;
	c->head_len = 0;
	c->last = false;
}

/* Opens without waiting. The source address takes turns, because one address has only 28,000 ports. */
static void conn_open(struct load *l, struct conn *c)
{
	struct sockaddr_in from = {.sin_family = AF_INET};
	struct epoll_event ev = {.events = EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLET,
				 .data.ptr = c};
	int one = 1;

	c->fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (c->fd < 0)
		die("socket");
	setsockopt(c->fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
	if (l->sources > 1) {
		from.sin_addr.s_addr = htonl(INADDR_LOOPBACK + l->next_source++ % l->sources);
		setsockopt(c->fd, IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, &one, sizeof(one));
		if (bind(c->fd, (struct sockaddr *)&from, sizeof(from)))
			die("bind");
	}
	c->state = CONN_CONNECTING;
	if (connect(c->fd, (struct sockaddr *)&l->to, sizeof(l->to)) && errno != EINPROGRESS) {
		l->errors.connect++;
		conn_close(l, c);
		return;
	}
	if (epoll_ctl(l->ep, EPOLL_CTL_ADD, c->fd, &ev))
		die("epoll_ctl");
}

static void conn_request(struct load *l, struct conn *c)
{
	size_t bytes = l->requests_len * l->depth;

	if (send(c->fd, l->requests, bytes, MSG_NOSIGNAL) != (ssize_t)bytes) {
		l->errors.write++;
		conn_close(l, c);
		return;
	}
	c->outstanding = (uint16_t)l->depth;
	l->busy++;
	c->state = CONN_HEAD;
}

/* An answered connection gives its turn to the next idle one in the ring. With all active that is itself. */
static void turn_over(struct load *l, struct conn *c)
{
	if (l->active >= l->conns) {
		conn_request(l, c);
		return;
	}
	for (unsigned i = 0; i < l->conns; i++) {
		struct conn *next = &l->ring[l->next++ % l->conns];

		if (next->state == CONN_IDLE) {
			conn_request(l, next);
			return;
		}
	}
}

static bool line_starts(const char *line, const char *end, const char *name, size_t len)
{
	return (size_t)(end - line) > len && strncasecmp(line, name, len) == 0;
}

/* Reads status, Content-Length and Connection: close. False when we do not understand the head. */
static bool head_read(struct load *l, struct conn *c, const char *head, size_t len)
{
	static const char length[] = "content-length:", last[] = "connection: close";
	const char *end = head + len;
	bool found = false;

	if (len < 13 || memcmp(head, "HTTP/1.1 ", 9) != 0)
		return false;
	if (l->expect_status && atoi(head + 9) != l->expect_status)
		l->errors.status++;
	for (const char *p = head; (p = memchr(p, '\n', (size_t)(end - p))) != NULL;) {
		p++;
		if (line_starts(p, end, length, sizeof(length) - 1)) {
			c->body_left = strtoull(p + sizeof(length) - 1, NULL, 10);
			found = true;
		} else if (line_starts(p, end, last, sizeof(last) - 1)) {
			c->last = true;
		}
	}
	if (found && l->expect_length >= 0 && c->body_left != (uint64_t)l->expect_length)
		l->errors.length++;
	return found;
}

/* Requests behind a last response get no answer and are no error: RFC 9112, section 9.6. */
static void response_done(struct load *l, struct conn *c)
{
	l->done++;
	c->last |= l->mode == MODE_CONNECT;
	c->outstanding = c->last ? 0 : (uint16_t)(c->outstanding - 1);
	l->busy -= c->outstanding == 0;
	c->state = c->outstanding ? CONN_HEAD : c->last ? CONN_EOF : CONN_IDLE;
}

/* Takes head bytes from p, together with what an earlier read left. Returns the bytes used, or 0 on an error. */
static size_t take_head(struct load *l, struct conn *c, const char *p, size_t n)
{
	const char *head = p, *end;
	size_t len = n, before = c->head_len;

	if (before) {
		len = n < HEAD_BYTES_MAX - before ? n : HEAD_BYTES_MAX - before;
		memcpy(c->head + before, p, len);
		head = c->head;
		len += before;
	}
	end = memmem(head, len, "\r\n\r\n", 4);
	if (!end) {
		if (len >= HEAD_BYTES_MAX || (!c->head && !(c->head = malloc(HEAD_BYTES_MAX))))
			return 0;
		if (!before)
			memcpy(c->head, p, n);
		c->head_len = (uint16_t)len;
		return n;
	}
	len = (size_t)(end + 4 - head);
	c->head_len = 0;
	if (!head_read(l, c, head, len))
		return 0;
	c->state = CONN_BODY;
	if (!c->body_left)
		response_done(l, c);
	return len - before;
}

/* False when the connection had to be closed. */
static bool take(struct load *l, struct conn *c, const char *p, size_t n)
{
	while (n) {
		size_t used;

		if (c->state == CONN_HEAD) {
			used = take_head(l, c, p, n);
		} else if (c->state == CONN_BODY) {
			used = n < c->body_left ? n : (size_t)c->body_left;
			c->body_left -= used;
			if (!c->body_left)
				response_done(l, c);
		} else {
			used = 0; /* bytes nobody asked for */
		}
		if (!used) {
			l->errors.head++;
			conn_close(l, c);
			return false;
		}
		p += used;
		n -= used;
	}
	return true;
}

/* A close that was announced is no error; the connection is opened again. */
static void conn_over(struct load *l, struct conn *c, bool is_error)
{
	bool announced = c->state == CONN_EOF && !is_error;

	l->errors.closed += !announced;
	conn_close(l, c);
	if (announced) {
		l->reopened++;
		conn_open(l, c);
	}
}

static void conn_readable(struct load *l, struct conn *c, bool hung_up)
{
	for (;;) {
		ssize_t n = recv(c->fd, l->buffer, l->recv_bytes, 0);

		if (n < 0 && errno == EAGAIN)
			break;
		if (n <= 0) {
			l->errors.read += n < 0;
			conn_over(l, c, n < 0);
			return;
		}
		l->bytes += (uint64_t)n;
		if (!take(l, c, l->buffer, (size_t)n))
			return;
		if ((size_t)n < l->recv_bytes && !hung_up)
			break;
	}
	if (c->state == CONN_IDLE && l->mode == MODE_KEEPALIVE)
		turn_over(l, c);
}

static void conn_event(struct load *l, struct conn *c, uint32_t events)
{
	if (c->state == CONN_CONNECTING) {
		int error = 0;
		socklen_t len = sizeof(error);

		getsockopt(c->fd, SOL_SOCKET, SO_ERROR, &error, &len);
		if (error) {
			l->errors.connect++;
			conn_close(l, c);
			return;
		}
		if (!(events & EPOLLOUT))
			return;
		l->opened++;
		l->open_now++;
		c->state = CONN_IDLE;
		if (l->mode == MODE_KEEPALIVE && l->busy >= l->active)
			return;
		conn_request(l, c);
		return;
	}
	if (c->fd >= 0 && (events & (EPOLLIN | EPOLLRDHUP | EPOLLHUP | EPOLLERR)))
		conn_readable(l, c, events & (EPOLLRDHUP | EPOLLHUP | EPOLLERR));
}

/* Runs until `until`, the request limit, or (stop_done > 0) that many answers. */
static void run(struct load *l, double until, uint64_t stop_done)
{
	struct epoll_event evs[EVENTS_MAX];

	while (now_s(CLOCK_MONOTONIC) < until) {
		int n = epoll_wait(l->ep, evs, EVENTS_MAX, 50);

		for (int i = 0; i < n; i++)
			conn_event(l, evs[i].data.ptr, evs[i].events);
		if ((l->requests_max && l->done >= l->requests_max) ||
		    (stop_done && l->done >= stop_done))
			return;
		if (!n && !l->open_now && l->errors.connect)
			return;
	}
}

/* Opens in groups, so that the listener's backlog never overflows. */
static void open_all(struct load *l)
{
	double until = now_s(CLOCK_MONOTONIC) + 30;

	for (unsigned i = 0; i < l->conns; i++) {
		conn_open(l, &l->ring[i]);
		if (i % 128 != 127 && i + 1 < l->conns)
			continue;
		while (l->mode != MODE_CONNECT && l->opened + l->errors.connect < i + 1 &&
		       now_s(CLOCK_MONOTONIC) < until)
			run(l, now_s(CLOCK_MONOTONIC) + 0.002, 0);
	}
}

static void print_result(const struct load *l, double seconds, double cpu_s)
{
	const struct errors *e = &l->errors;
	uint64_t all =
		e->connect + e->read + e->write + e->status + e->length + e->head + e->closed;

	printf("{\"mode\": \"%s\", \"connections\": %u, \"open\": %u, \"reopened\": %llu, \"requests\": %llu, \"bytes\": %llu, \"seconds\": %.6f, "
	       "\"client_cpu_seconds\": %.6f, \"errors\": %llu, \"error_kinds\": {\"connect\": %llu, \"read\": %llu, "
	       "\"write\": %llu, \"status\": %llu, \"length\": %llu, \"head\": %llu, \"closed\": %llu}}\n",
	       mode_names[l->mode], l->conns, l->open_now, (unsigned long long)l->reopened,
	       (unsigned long long)l->done, (unsigned long long)l->bytes, seconds, cpu_s,
	       (unsigned long long)all, (unsigned long long)e->connect, (unsigned long long)e->read,
	       (unsigned long long)e->write, (unsigned long long)e->status,
	       (unsigned long long)e->length, (unsigned long long)e->head,
	       (unsigned long long)e->closed);
	fflush(stdout);
}

static void say(const char *word)
{
	puts(word);
	fflush(stdout);
}

static void measure(struct load *l)
{
	double start, cpu;

	open_all(l);
	run(l, now_s(CLOCK_MONOTONIC) + l->warmup, 0);
	l->done = l->bytes = l->reopened = 0;
	say("start");
	start = now_s(CLOCK_MONOTONIC);
	cpu = now_s(CLOCK_PROCESS_CPUTIME_ID);
	run(l, start + l->seconds, 0);
	print_result(l, now_s(CLOCK_MONOTONIC) - start, now_s(CLOCK_PROCESS_CPUTIME_ID) - cpu);
}

/* Opens, asks once on each, says "ready", and holds until stdin closes or the time is up. */
static void hold(struct load *l)
{
	double start = now_s(CLOCK_MONOTONIC);
	struct pollfd in = {.fd = STDIN_FILENO, .events = POLLIN};

	open_all(l);
	run(l, now_s(CLOCK_MONOTONIC) + 30, l->conns);
	say("ready");
	(void)poll(&in, 1, (int)(l->seconds * 1000));
	run(l, now_s(CLOCK_MONOTONIC) + 0.01, 0);
	print_result(l, now_s(CLOCK_MONOTONIC) - start, now_s(CLOCK_PROCESS_CPUTIME_ID));
}

static const struct option options[] = {
	{"mode", required_argument, NULL, 'm'},
	{"path", required_argument, NULL, 'p'},
	{"conns", required_argument, NULL, 'c'},
	{"active", required_argument, NULL, 'a'},
	{"depth", required_argument, NULL, 'd'},
	{"seconds", required_argument, NULL, 's'},
	{"warmup", required_argument, NULL, 'w'},
	{"requests", required_argument, NULL, 'n'},
	{"recv", required_argument, NULL, 'r'},
	{"sources", required_argument, NULL, 'S'},
	{"cpu", required_argument, NULL, 'C'},
	{"expect-status", required_argument, NULL, 't'},
	{"expect-length", required_argument, NULL, 'l'},
	{NULL, 0, NULL, 0},
};

static void usage(void)
{
	fprintf(stderr,
		"usage: load [--mode keepalive|connect|idle] [--conns N] [--active N] [--depth N] [--path PATH]\n"
		"            [--seconds S] [--warmup S] [--requests N] [--recv BYTES] [--sources N] [--cpu N]\n"
		"            [--expect-status N] [--expect-length N] IPV4 PORT\n");
	exit(2);
}

static enum mode mode_read(const char *name)
{
	for (unsigned i = 0; i < sizeof(mode_names) / sizeof(mode_names[0]); i++) {
		if (!strcmp(name, mode_names[i]))
			return (enum mode)i;
	}
	usage();
	return MODE_IDLE;
}

static void options_read(struct load *l, int argc, char **argv)
{
	for (int o; (o = getopt_long(argc, argv, "", options, NULL)) != -1;) {
		switch (o) {
		case 'm':
			l->mode = mode_read(optarg);
			break;
		case 'p':
			l->path = optarg;
			break;
		case 'c':
			l->conns = (unsigned)strtoul(optarg, NULL, 10);
			break;
		case 'a':
			l->active = (unsigned)strtoul(optarg, NULL, 10);
			break;
		case 'd':
			l->depth = (unsigned)strtoul(optarg, NULL, 10);
			break;
		case 's':
			l->seconds = strtod(optarg, NULL);
			break;
		case 'w':
			l->warmup = strtod(optarg, NULL);
			break;
		case 'n':
			l->requests_max = strtoull(optarg, NULL, 10);
			break;
		case 'r':
			l->recv_bytes = strtoul(optarg, NULL, 10);
			break;
		case 'S':
			l->sources = (unsigned)strtoul(optarg, NULL, 10);
			break;
		case 'C':
			l->cpu = atoi(optarg);
			break;
		case 't':
			l->expect_status = atoi(optarg);
			break;
		case 'l':
			l->expect_length = strtoll(optarg, NULL, 10);
			break;
		default:
			usage();
		}
	}
	if (argc - optind != 2 || inet_pton(AF_INET, argv[optind], &l->to.sin_addr) != 1)
		usage();
	l->to.sin_family = AF_INET;
	l->to.sin_port = htons((uint16_t)atoi(argv[optind + 1]));
	if (!l->active || l->active > l->conns)
		l->active = l->conns;
	if (!l->conns || l->conns > CONNS_MAX || !l->depth || l->depth > DEPTH_MAX ||
	    l->sources > SOURCES_MAX || !l->recv_bytes || l->seconds <= 0 ||
	    strlen(l->path) > REQUEST_BYTES_MAX / 2)
		usage();
}

/* The machine's hard limit is the limit: say so before a run fails in its middle. */
static void descriptors_raise(const struct load *l)
{
	struct rlimit r;

	getrlimit(RLIMIT_NOFILE, &r);
	r.rlim_cur = r.rlim_max;
	setrlimit(RLIMIT_NOFILE, &r);
	if (r.rlim_cur < l->conns + 16) {
		fprintf(stderr,
			"load: %u connections need more than the %llu descriptors allowed\n",
			l->conns, (unsigned long long)r.rlim_cur);
		exit(1);
	}
}

static void requests_build(struct load *l, const char *address, const char *port)
{
	char one[REQUEST_BYTES_MAX];

	snprintf(one, sizeof(one), "GET %s HTTP/1.1\r\nHost: %s:%s\r\n%s\r\n", l->path, address,
		 port, l->mode == MODE_CONNECT ? "Connection: close\r\n" : "");
	l->requests_len = strlen(one);
	for (unsigned i = 0; i < l->depth; i++)
		memcpy(l->requests + i * l->requests_len, one, l->requests_len);
}

int main(int argc, char **argv)
{
	static struct load l = {.path = "/",
				.conns = 64,
				.depth = 1,
				.sources = 1,
				.seconds = 1,
				.warmup = 0.2,
				.recv_bytes = 65536,
				.cpu = -1,
				.expect_length = -1};

	signal(SIGPIPE, SIG_IGN);
	options_read(&l, argc, argv);
	descriptors_raise(&l);
	if (l.cpu >= 0) {
		cpu_set_t set;

		CPU_ZERO(&set);
		CPU_SET(l.cpu, &set);
		if (sched_setaffinity(0, sizeof(set), &set))
			die("sched_setaffinity");
	}
	requests_build(&l, argv[argc - 2], argv[argc - 1]);
	l.ep = epoll_create1(EPOLL_CLOEXEC);
	l.buffer = malloc(l.recv_bytes);
	l.ring = calloc(l.conns, sizeof(*l.ring));
	if (l.ep < 0 || !l.buffer || !l.ring)
		die("memory");
	for (unsigned i = 0; i < l.conns; i++)
		l.ring[i].fd = -1;
	if (l.mode == MODE_IDLE)
		hold(&l);
	else
		measure(&l);
	return l.errors.connect + l.errors.read + l.errors.write + l.errors.status +
			       l.errors.length + l.errors.head + l.errors.closed
		     ? 1
		     : 0;
}
