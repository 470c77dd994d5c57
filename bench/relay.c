// SPDX-License-Identifier: Apache-2.0
/*
 * Both ends of a relay in one thread: clients that connect to the relay on 127.0.0.1:PORT, and the server that the
 * relay connects to on 127.0.0.1:BACKEND. What it costs the relay is for the caller to read from its clocks.
 *
 *   bulk     the server sends --bytes to each connection, the client reads them away and begins another
 *   echo     --size bytes there and back, on connections that stay
 *   connect  a connection for each byte there and back
 *   idle     one byte there and back on each connection, which are then held until stdin closes
 *
 * Prints "start" when the measured time begins (idle: "ready"), and one line of JSON at its end. Every run ends
 * by itself after --seconds (idle: at most --seconds of holding).
 */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sched.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum {
	FDS_MAX = 65536,
	SIZE_MAX_BYTES = 65536,
	CHUNK = 262144,
	BULK_READ = 1 << 20,
	EVENTS_MAX = 512
};
enum mode { BULK, ECHO, CONNECT, IDLE, MODES };
static const char *const mode_names[MODES] = {"bulk", "echo", "connect", "idle"};
enum role { NOBODY, LISTENER, SERVER, CLIENT };

struct end {
	enum role role;
	bool connecting;
	uint64_t left; /* SERVER in bulk: to send; CLIENT: to receive of this turn */
};

static struct end ends[FDS_MAX];
static uint8_t bytes[BULK_READ];
static int epoll_fd, listen_fd;
static struct {
	enum mode mode;
	unsigned conns, size, port, backend;
	double seconds;
	uint64_t bytes;
} opt = {.mode = ECHO, .conns = 64, .size = 64, .seconds = 2, .bytes = 1u << 30};
static uint64_t done, moved, errors;
static unsigned open_clients, sources;

static double now_s(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static void die(const char *what)
{
	fprintf(stderr, "bench-relay: %s: %s\n", what, strerror(errno));
	exit(1);
}

static void watch(int fd, enum role role, uint32_t events)
{
	struct epoll_event e = {.events = events, .data.fd = fd};

	if (fd >= FDS_MAX || epoll_ctl(epoll_fd, EPOLL_CTL_ADD, fd, &e))
		die("epoll_ctl");
	ends[fd] = (struct end){.role = role};
}

static struct sockaddr_in local(unsigned port)
{
	return (struct sockaddr_in){.sin_family = AF_INET,
				    .sin_port = htons((uint16_t)port),
				    .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
}

static void open_listener(void)
{
	struct sockaddr_in a = local(opt.backend);
	int one = 1;

	listen_fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	setsockopt(listen_fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
	if (listen_fd < 0 || bind(listen_fd, (struct sockaddr *)&a, sizeof(a)) ||
	    listen(listen_fd, 4096))
		die("the server's address");
	watch(listen_fd, LISTENER, EPOLLIN);
}

/* A reset in place of a FIN keeps ports out of TIME_WAIT when connections are made by the thousand. */
static void drop(int fd)
{
	struct linger hard = {.l_onoff = 1};

	if (ends[fd].role == CLIENT && opt.mode == CONNECT)
		setsockopt(fd, SOL_SOCKET, SO_LINGER, &hard, sizeof(hard));
	if (ends[fd].role == CLIENT)
		open_clients--;
	ends[fd].role = NOBODY;
	close(fd);
}

static void open_client(void)
{
	/* More than one address of the loopback has more than one range of ports. */
	struct sockaddr_in from = {.sin_family = AF_INET,
				   .sin_addr.s_addr = htonl(INADDR_LOOPBACK + sources++ % 8)};
	struct sockaddr_in to = local(opt.port);
	int one = 1, fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);

	if (fd < 0)
		die("socket");
	setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
	setsockopt(fd, IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, &one, sizeof(one));
	if (bind(fd, (struct sockaddr *)&from, sizeof(from)) ||
	    (connect(fd, (struct sockaddr *)&to, sizeof(to)) && errno != EINPROGRESS))
		die("connect");
	watch(fd, CLIENT, EPOLLIN | EPOLLOUT);
	ends[fd].connecting = true;
	open_clients++;
}

static void client_ask(int fd)
{
	struct end *e = &ends[fd];
	unsigned n = opt.mode == ECHO ? opt.size : 1;

	e->left = opt.mode == BULK ? opt.bytes : n;
	if (opt.mode != BULK && send(fd, bytes, n, MSG_NOSIGNAL) != (ssize_t)n)
		errors++;
}

static void client_connected(int fd)
{
	struct epoll_event e = {.events = EPOLLIN, .data.fd = fd};
	int err = 0;
	socklen_t len = sizeof(err);

	getsockopt(fd, SOL_SOCKET, SO_ERROR, &err, &len);
	if (err) {
		errors++;
		drop(fd);
		return;
	}
	ends[fd].connecting = false;
	epoll_ctl(epoll_fd, EPOLL_CTL_MOD, fd, &e);
	client_ask(fd);
}

static void client_finished(int fd)
{
	done++;
	if (opt.mode == ECHO) {
		client_ask(fd);
	} else if (opt.mode != IDLE) {
		drop(fd);
		open_client();
	}
}

static void client_read(int fd)
{
	struct end *e = &ends[fd];
	/* MSG_TRUNC throws the bytes away in the kernel: the client must not be what is measured. */
	ssize_t n = recv(fd, bytes, opt.mode == BULK ? BULK_READ : CHUNK,
			 opt.mode == BULK ? MSG_TRUNC : 0);

	if (n < 0 && errno == EAGAIN)
		return;
	if (n <= 0 || (uint64_t)n > e->left) {
		errors++;
		drop(fd);
		return;
	}
	moved += (uint64_t)n;
	e->left -= (uint64_t)n;
	if (!e->left)
		client_finished(fd);
}

static void server_write(int fd)
{
	struct end *e = &ends[fd];

	while (e->left) {
		ssize_t n = send(fd, bytes, e->left < CHUNK ? e->left : CHUNK, MSG_NOSIGNAL);
		if (n < 0 && errno == EAGAIN)
			return;
		if (n <= 0) {
			drop(fd);
			return;
		}
		e->left -= (uint64_t)n;
	}
}

static void server_read(int fd)
{
	ssize_t n = recv(fd, bytes, CHUNK, 0);

	if (n < 0 && errno == EAGAIN)
		return;
	if (n <= 0)
		drop(fd);
	else if (send(fd, bytes, (size_t)n, MSG_NOSIGNAL) != n)
		errors++;
}

static void server_accept(void)
{
	for (unsigned i = 0; i < 64; i++) {
		int one = 1, fd = accept4(listen_fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
		if (fd < 0)
			return;
		setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
		watch(fd, SERVER, opt.mode == BULK ? EPOLLIN | EPOLLOUT | EPOLLET : EPOLLIN);
		ends[fd].left = opt.mode == BULK ? opt.bytes : 0;
	}
}

static void turn(const struct epoll_event *e)
{
	int fd = e->data.fd;

	switch (ends[fd].role) {
	case NOBODY:
		break;
	case LISTENER:
		server_accept();
		break;
	case SERVER:
		if (opt.mode == BULK && e->events & EPOLLOUT)
			server_write(fd);
		if (ends[fd].role == SERVER && e->events & (EPOLLIN | EPOLLHUP | EPOLLERR))
			server_read(fd);
		break;
	case CLIENT:
		if (ends[fd].connecting)
			client_connected(fd);
		else
			client_read(fd);
		break;
	}
}

static bool stdin_closed(void)
{
	struct pollfd p = {.fd = 0, .events = POLLIN};
	char c;

	return poll(&p, 1, 0) > 0 && read(0, &c, 1) <= 0;
}

static void run(double until)
{
	struct epoll_event events[EVENTS_MAX];

	while (now_s() < until) {
		int n = epoll_wait(epoll_fd, events, EVENTS_MAX, 10);
		for (int i = 0; i < n; i++)
			turn(&events[i]);
		if (opt.mode == IDLE && done == opt.conns)
			return;
	}
}

static void measure(void)
{
	double begin, cpu;
	struct rusage u;

	for (unsigned i = 0; i < opt.conns; i++) {
		open_client();
		if (i % 64 == 63)
			run(now_s() + 0.002);
	}
	run(now_s() + (opt.mode == IDLE ? 10 : 0.3));
	if (opt.mode == IDLE) {
		puts("ready");
		fflush(stdout);
		for (begin = now_s(); now_s() < begin + opt.seconds && !stdin_closed();)
			usleep(20000);
	} else {
		done = moved = errors = 0;
		puts("start");
		fflush(stdout);
		begin = now_s();
		run(begin + opt.seconds);
	}
	getrusage(RUSAGE_SELF, &u);
	cpu = (double)(u.ru_utime.tv_sec + u.ru_stime.tv_sec) +
	      (double)(u.ru_utime.tv_usec + u.ru_stime.tv_usec) / 1e6;
	printf("{\"mode\":\"%s\",\"done\":%llu,\"bytes\":%llu,\"errors\":%llu,\"open\":%u,"
	       "\"seconds\":%.4f,\"client_cpu_seconds\":%.3f}\n",
	       mode_names[opt.mode], (unsigned long long)done, (unsigned long long)moved,
	       (unsigned long long)errors, open_clients, now_s() - begin, cpu);
}

static void usage(void)
{
	fputs("usage: bench-relay --mode bulk|echo|connect|idle [--conns N] [--seconds S] [--size BYTES]\n"
	      "                   [--bytes BYTES] [--cpu N] --port PORT --backend PORT\n",
	      stderr);
	exit(2);
}

static void parse(int argc, char **argv)
{
	static const struct option options[] = {
		{"mode", 1, NULL, 'm'}, {"conns", 1, NULL, 'n'},   {"seconds", 1, NULL, 's'},
		{"size", 1, NULL, 'z'}, {"bytes", 1, NULL, 'b'},   {"cpu", 1, NULL, 'c'},
		{"port", 1, NULL, 'p'}, {"backend", 1, NULL, 'B'}, {0},
	};
	cpu_set_t set;
	int c;

	while ((c = getopt_long(argc, argv, "", options, NULL)) != -1) {
		unsigned long n = optarg ? strtoul(optarg, NULL, 10) : 0;
		switch (c) {
		case 'm':
			for (opt.mode = BULK; opt.mode < MODES; opt.mode++)
				if (!strcmp(optarg, mode_names[opt.mode]))
					break;
			break;
		case 'n':
			opt.conns = (unsigned)n;
			break;
		case 's':
			opt.seconds = strtod(optarg, NULL);
			break;
		case 'z':
			opt.size = (unsigned)n;
			break;
		case 'b':
			opt.bytes = n;
			break;
		case 'p':
			opt.port = (unsigned)n;
			break;
		case 'B':
			opt.backend = (unsigned)n;
			break;
		case 'c':
			CPU_ZERO(&set);
			CPU_SET(n, &set);
			if (sched_setaffinity(0, sizeof(set), &set))
				die("sched_setaffinity");
			break;
		default:
			usage();
		}
	}
	if (opt.mode == MODES || !opt.port || !opt.backend || !opt.conns || !opt.size ||
	    opt.size > SIZE_MAX_BYTES || opt.conns > FDS_MAX / 3 || optind != argc)
		usage();
}

int main(int argc, char **argv)
{
	struct rlimit files;

	parse(argc, argv);
	getrlimit(RLIMIT_NOFILE, &files);
	files.rlim_cur = files.rlim_max;
	setrlimit(RLIMIT_NOFILE, &files);
	memset(bytes, 'x', sizeof(bytes));
	epoll_fd = epoll_create1(EPOLL_CLOEXEC);
	if (epoll_fd < 0)
		die("epoll_create1");
	open_listener();
	measure();
	return 0;
}
