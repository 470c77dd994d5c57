// SPDX-License-Identifier: Apache-2.0
/*
 * Sends one file over loopback again and again with different strategies, and says what each costs.
 *
 * The server side is a child process on CPU 0, the client its parent on CPU 1. A request is one byte, a
 * response is a head of 240 bytes and the file. Two costs are shown: the CPU time the kernel charges
 * to the server's process, and the time CPU 0 was not idle. They differ where the kernel sends from a
 * timer or an interrupt while the process sleeps.
 */
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <linux/errqueue.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sched.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/sendfile.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum { CONNS_MAX = 4096, HEAD_BYTES = 240, PIPE_BYTES = 1 << 20, EVENTS_MAX = 256 };

enum how {
	HOW_SENDFILE,      /* head with MSG_MORE, then sendfile */
	HOW_SENDFILE_CORK, /* TCP_CORK round head and sendfile */
	HOW_MEMORY,        /* head and body in one sendmsg, body from private memory */
	HOW_MMAP,          /* the same, body from a shared mapping of the file */
	HOW_ZEROCOPY,      /* the same with MSG_ZEROCOPY */
	HOW_PREAD,         /* pread into a buffer of the chunk's size, then send */
	HOW_SPLICE,        /* file to pipe to socket */
	HOW_VMSPLICE,      /* memory to pipe to socket, head with MSG_MORE */
};

struct strategy {
	const char *name;
	enum how how;
	size_t chunk_bytes;   /* the most given to one call; 0: all that is left */
	bool stop_when_short; /* a short write ends the turn, without asking for EAGAIN */
	bool one_per_turn;    /* one call, then the next connection */
	int sndbuf_bytes;     /* SO_SNDBUF; 0: the kernel tunes it */
	int notsent_bytes;    /* TCP_NOTSENT_LOWAT; 0: left alone */
};

static const struct strategy strategies[] = {
	{"sendfile all, until EAGAIN", HOW_SENDFILE, 0, false, false, 0, 0},
	{"sendfile all, until short", HOW_SENDFILE, 0, true, false, 0, 0},
	{"sendfile 4M, until EAGAIN", HOW_SENDFILE, 4 << 20, false, false, 0, 0},
	{"sendfile 2M, until EAGAIN", HOW_SENDFILE, 2 << 20, false, false, 0, 0},
	{"sendfile 2M, until short", HOW_SENDFILE, 2 << 20, true, false, 0, 0},
	{"sendfile 2M, one a turn", HOW_SENDFILE, 2 << 20, true, true, 0, 0},
	{"sendfile 512K, until short", HOW_SENDFILE, 512 << 10, true, false, 0, 0},
	{"sendfile 512K, one a turn", HOW_SENDFILE, 512 << 10, true, true, 0, 0},
	{"sendfile 128K, until short", HOW_SENDFILE, 128 << 10, true, false, 0, 0},
	{"sendfile 128K, one a turn", HOW_SENDFILE, 128 << 10, true, true, 0, 0},
	{"sendfile 64K, one a turn", HOW_SENDFILE, 64 << 10, true, true, 0, 0},
	{"sendfile all, cork", HOW_SENDFILE_CORK, 0, true, false, 0, 0},
	{"sendfile all, SNDBUF 128K", HOW_SENDFILE, 0, true, false, 128 << 10, 0},
	{"sendfile all, SNDBUF 512K", HOW_SENDFILE, 0, true, false, 512 << 10, 0},
	{"sendfile all, SNDBUF 1M", HOW_SENDFILE, 0, true, false, 1 << 20, 0},
	{"sendfile all, SNDBUF 2M", HOW_SENDFILE, 0, true, false, 2 << 20, 0},
	{"sendfile all, SNDBUF 4M", HOW_SENDFILE, 0, true, false, 4 << 20, 0},
	{"sendfile all, LOWAT 16K", HOW_SENDFILE, 0, true, false, 0, 16 << 10},
	{"sendfile all, LOWAT 128K", HOW_SENDFILE, 0, true, false, 0, 128 << 10},
	{"sendfile all, LOWAT 512K", HOW_SENDFILE, 0, true, false, 0, 512 << 10},
	{"sendfile all, LOWAT 2M", HOW_SENDFILE, 0, true, false, 0, 2 << 20},
	{"memory all, until short", HOW_MEMORY, 0, true, false, 0, 0},
	{"memory 512K, until short", HOW_MEMORY, 512 << 10, true, false, 0, 0},
	{"memory 128K, until short", HOW_MEMORY, 128 << 10, true, false, 0, 0},
	{"memory 64K, until short", HOW_MEMORY, 64 << 10, true, false, 0, 0},
	{"memory 64K, one a turn", HOW_MEMORY, 64 << 10, true, true, 0, 0},
	{"memory all, SNDBUF 4M", HOW_MEMORY, 0, true, false, 4 << 20, 0},
	{"memory all, LOWAT 128K", HOW_MEMORY, 0, true, false, 0, 128 << 10},
	{"mmap all, until short", HOW_MMAP, 0, true, false, 0, 0},
	{"mmap 128K, until short", HOW_MMAP, 128 << 10, true, false, 0, 0},
	{"zerocopy all, until short", HOW_ZEROCOPY, 0, true, false, 0, 0},
	{"zerocopy 512K, until short", HOW_ZEROCOPY, 512 << 10, true, false, 0, 0},
	{"pread+send 64K, until short", HOW_PREAD, 64 << 10, true, false, 0, 0},
	{"pread+send 64K, one a turn", HOW_PREAD, 64 << 10, true, true, 0, 0},
	{"pread+send 256K, until short", HOW_PREAD, 256 << 10, true, false, 0, 0},
	{"splice 64K, until short", HOW_SPLICE, 64 << 10, true, false, 0, 0},
	{"splice 1M, until short", HOW_SPLICE, 1 << 20, true, false, 0, 0},
	{"vmsplice 1M, until short", HOW_VMSPLICE, 1 << 20, true, false, 0, 0},
};
enum { STRATEGIES = sizeof(strategies) / sizeof(strategies[0]) };

struct setup {
	size_t file_bytes;
	unsigned conns;
	unsigned rounds;
	double seconds;
	size_t recv_bytes;
	bool discard, drain;
	const char *congestion;
	const char *dir;
	const char *only;
};

struct flow {
	int fd;
	size_t head_left, body_left;
	size_t piped; /* bytes of the body that sit in this flow's pipe */
	int pipe[2];
};

struct server {
	const struct setup *setup;
	const struct strategy *s;
	int file, ep;
	char *memory, *mapping, *buffer;
	struct flow flows[CONNS_MAX];
	uint64_t calls, wakeups;
};

struct cost {
	double process_s, cpu0_s, client_s, wall_s;
	uint64_t requests, calls, wakeups;
};

static char head[HEAD_BYTES];

static void die(const char *what)
{
	perror(what);
	exit(1);
}

static double now_s(clockid_t clock)
{
	struct timespec t;

	clock_gettime(clock, &t);
	return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static void pin(int cpu)
{
	cpu_set_t set;

	CPU_ZERO(&set);
	CPU_SET(cpu, &set);
	if (sched_setaffinity(0, sizeof(set), &set))
		die("sched_setaffinity");
}

/* Seconds CPU 0 was idle, from the kernel's precise idle accounting in /proc/stat. */
static double idle_s(void)
{
	unsigned long long v[5] = {0};
	char line[256];
	FILE *f = fopen("/proc/stat", "r");

	if (!f)
		die("/proc/stat");
	while (fgets(line, sizeof(line), f)) {
		if (sscanf(line, "cpu0 %llu %llu %llu %llu %llu", v, v + 1, v + 2, v + 3, v + 4) ==
		    5)
			break;
	}
	fclose(f);
	return (double)(v[3] + v[4]) / (double)sysconf(_SC_CLK_TCK);
}

static ssize_t send_vec(struct server *sv, struct flow *fl, const char *body, size_t body_bytes,
			int flags)
{
	struct iovec iov[2] = {
		{head + HEAD_BYTES - fl->head_left, fl->head_left},
		{(void *)(uintptr_t)body, body_bytes},
	};
	struct msghdr msg = {.msg_iov = fl->head_left ? iov : iov + 1,
			     .msg_iovlen = fl->head_left ? 2 : 1};
	ssize_t n;

	sv->calls++;
	n = sendmsg(fl->fd, &msg, MSG_DONTWAIT | MSG_NOSIGNAL | flags);
	if (n > 0) {
		size_t h = (size_t)n < fl->head_left ? (size_t)n : fl->head_left;

		fl->head_left -= h;
		fl->body_left -= (size_t)n - h;
	}
	return n;
}

static void drain_errors(struct flow *fl)
{
	char control[128];
	struct msghdr msg = {.msg_control = control, .msg_controllen = sizeof(control)};

	while (recvmsg(fl->fd, &msg, MSG_ERRQUEUE | MSG_DONTWAIT) >= 0)
		msg.msg_controllen = sizeof(control);
}

/* Fills the pipe when it is empty and gives it to the socket. */
static ssize_t send_piped(struct server *sv, struct flow *fl, size_t want, off_t off)
{
	ssize_t n;

	if (!fl->piped) {
		sv->calls++;
		if (sv->s->how == HOW_VMSPLICE) {
			struct iovec iov = {sv->memory + off, want};
			n = vmsplice(fl->pipe[1], &iov, 1, 0);
		} else {
			n = splice(sv->file, &off, fl->pipe[1], NULL, want, SPLICE_F_MOVE);
		}
		if (n <= 0)
			return n;
		fl->piped = (size_t)n;
	}
	sv->calls++;
	n = splice(fl->pipe[0], NULL, fl->fd, NULL, fl->piped,
		   SPLICE_F_MOVE | SPLICE_F_NONBLOCK |
			   (fl->piped < fl->body_left ? SPLICE_F_MORE : 0));
	if (n > 0) {
		fl->piped -= (size_t)n;
		fl->body_left -= (size_t)n;
	}
	return n;
}

static ssize_t send_head(struct server *sv, struct flow *fl)
{
	int one = 1;
	ssize_t n;

	if (sv->s->how == HOW_SENDFILE_CORK)
		setsockopt(fl->fd, IPPROTO_TCP, TCP_CORK, &one, sizeof(one));
	sv->calls++;
	n = send(fl->fd, head + HEAD_BYTES - fl->head_left, fl->head_left,
		 MSG_DONTWAIT | MSG_NOSIGNAL | MSG_MORE);
	if (n > 0)
		fl->head_left -= (size_t)n;
	return n;
}

/* One call's worth. Returns what the kernel took, or -1 with errno; *wanted is what was offered. */
static ssize_t send_some(struct server *sv, struct flow *fl, size_t *wanted)
{
	const struct strategy *s = sv->s;
	off_t off = (off_t)(sv->setup->file_bytes - fl->body_left);
	size_t want = fl->body_left;
	int more;

	if (s->chunk_bytes && want > s->chunk_bytes)
		want = s->chunk_bytes;
	more = want < fl->body_left ? MSG_MORE : 0;
	*wanted = want + fl->head_left;
	switch (s->how) {
	case HOW_MEMORY:
		return send_vec(sv, fl, sv->memory + off, want, more);
	case HOW_MMAP:
		return send_vec(sv, fl, sv->mapping + off, want, more);
	case HOW_ZEROCOPY:
		return send_vec(sv, fl, sv->memory + off, want, more | MSG_ZEROCOPY);
	case HOW_PREAD:
		sv->calls++;
		if (pread(sv->file, sv->buffer, want, off) != (ssize_t)want)
			die("pread");
		return send_vec(sv, fl, sv->buffer, want, more);
	default:
		break;
	}
	if (fl->head_left) {
		ssize_t n = send_head(sv, fl);

		if (n <= 0)
			return n;
		*wanted = want;
	}
	if (s->how == HOW_SPLICE || s->how == HOW_VMSPLICE) {
		ssize_t n = send_piped(sv, fl, want, off);

		*wanted = n > 0 ? (size_t)n + fl->piped : want;
		return n;
	}
	sv->calls++;
	ssize_t n = sendfile(fl->fd, sv->file, &off, want);
	if (n > 0)
		fl->body_left -= (size_t)n;
	return n;
}

static void flow_push(struct server *sv, struct flow *fl)
{
	while (fl->body_left) {
		size_t wanted;
		ssize_t n = send_some(sv, fl, &wanted);

		if (n < 0 && errno == ENOBUFS && sv->s->how == HOW_ZEROCOPY) {
			drain_errors(fl);
			return;
		}
		if (n < 0 && errno != EAGAIN && errno != EPIPE && errno != ECONNRESET)
			die("send");
		if (n <= 0 || sv->s->one_per_turn || (sv->s->stop_when_short && (size_t)n < wanted))
			break;
	}
	if (!fl->body_left && sv->s->how == HOW_SENDFILE_CORK) {
		int zero = 0;

		setsockopt(fl->fd, IPPROTO_TCP, TCP_CORK, &zero, sizeof(zero));
	}
}

static void flow_event(struct server *sv, struct flow *fl, uint32_t events)
{
	char byte[16];

	if ((events & EPOLLERR) && sv->s->how == HOW_ZEROCOPY)
		drain_errors(fl);
	if ((events & EPOLLIN) && !fl->body_left) {
		sv->calls++;
		if (recv(fl->fd, byte, sizeof(byte), MSG_DONTWAIT) > 0) {
			fl->head_left = HEAD_BYTES;
			fl->body_left = sv->setup->file_bytes;
		}
	}
	if (fl->body_left)
		flow_push(sv, fl);
}

static void flow_open(struct server *sv, struct flow *fl, int fd)
{
	const struct strategy *s = sv->s;
	int one = 1;
	struct epoll_event ev = {.events = EPOLLIN | EPOLLOUT | EPOLLET, .data.ptr = fl};

	fl->fd = fd;
	setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
	if (s->sndbuf_bytes)
		setsockopt(fd, SOL_SOCKET, SO_SNDBUF, &s->sndbuf_bytes, sizeof(int));
	if (s->notsent_bytes)
		setsockopt(fd, IPPROTO_TCP, TCP_NOTSENT_LOWAT, &s->notsent_bytes, sizeof(int));
	if (s->how == HOW_ZEROCOPY && setsockopt(fd, SOL_SOCKET, SO_ZEROCOPY, &one, sizeof(one)))
		die("SO_ZEROCOPY");
	if (s->how == HOW_SPLICE || s->how == HOW_VMSPLICE) {
		if (pipe2(fl->pipe, O_NONBLOCK) || fcntl(fl->pipe[1], F_SETPIPE_SZ, PIPE_BYTES) < 0)
			die("pipe");
	}
	/* One call a turn needs the level-triggered kind: nothing else would bring the flow back. */
	if (s->one_per_turn)
		ev.events = EPOLLIN | EPOLLOUT;
	if (epoll_ctl(sv->ep, EPOLL_CTL_ADD, fd, &ev))
		die("epoll_ctl");
}

/* With one call a turn, a level-triggered flow that is done must not report EPOLLOUT for ever. */
static void flow_interest(struct server *sv, struct flow *fl, bool was_sending)
{
	bool sending = fl->body_left > 0;
	struct epoll_event ev = {.events = sending ? EPOLLOUT : EPOLLIN, .data.ptr = fl};

	if (sv->s->one_per_turn && sending != was_sending)
		epoll_ctl(sv->ep, EPOLL_CTL_MOD, fl->fd, &ev);
}

static void serve(struct server *sv, int listener, int control)
{
	struct epoll_event evs[EVENTS_MAX], ev = {.events = EPOLLIN, .data.ptr = NULL};
	double start, idle;

	sv->ep = epoll_create1(0);
	for (unsigned i = 0; i < sv->setup->conns; i++) {
		int fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK);

		if (fd < 0)
			die("accept");
		flow_open(sv, &sv->flows[i], fd);
	}
	if (epoll_ctl(sv->ep, EPOLL_CTL_ADD, control, &ev))
		die("epoll_ctl");
	start = now_s(CLOCK_PROCESS_CPUTIME_ID);
	idle = idle_s();
	double wall = now_s(CLOCK_MONOTONIC);

	for (bool run = true; run;) {
		int n = epoll_wait(sv->ep, evs, EVENTS_MAX, -1);

		sv->wakeups++;
		for (int i = 0; i < n; i++) {
			struct flow *fl = evs[i].data.ptr;

			if (!fl) {
				run = false;
				break;
			}
			bool was = fl->body_left > 0;

			flow_event(sv, fl, evs[i].events);
			flow_interest(sv, fl, was);
		}
	}
	struct cost c = {.process_s = now_s(CLOCK_PROCESS_CPUTIME_ID) - start,
			 .calls = sv->calls,
			 .wakeups = sv->wakeups};

	c.wall_s = now_s(CLOCK_MONOTONIC) - wall;
	c.cpu0_s = c.wall_s - (idle_s() - idle);
	if (write(control, &c, sizeof(c)) != (ssize_t)sizeof(c))
		die("write");
}

static void server_main(const struct setup *setup, const struct strategy *s, int file, int listener,
			int control)
{
	struct server *sv = calloc(1, sizeof(*sv));
	size_t size = setup->file_bytes;

	pin(0);
	sv->setup = setup;
	sv->s = s;
	sv->file = file;
	sv->memory = mmap(NULL, size, PROT_READ | PROT_WRITE,
			  MAP_PRIVATE | MAP_ANONYMOUS | MAP_POPULATE, -1, 0);
	sv->mapping = mmap(NULL, size, PROT_READ, MAP_SHARED | MAP_POPULATE, file, 0);
	sv->buffer = malloc(s->chunk_bytes ? s->chunk_bytes : 1);
	if (sv->memory == MAP_FAILED || sv->mapping == MAP_FAILED || !sv->buffer)
		die("mmap");
	memcpy(sv->memory, sv->mapping, size);
	serve(sv, listener, control);
	exit(0);
}

struct client {
	int fd;
	size_t left;
};

/* One read, or with --drain all that there is. Returns the responses that became whole: 0 or 1. */
static unsigned client_read(const struct setup *setup, struct client *c, char *buffer)
{
	int flags = MSG_DONTWAIT | (setup->discard ? MSG_TRUNC : 0);
	ssize_t got;

	do {
		got = recv(c->fd, buffer, setup->recv_bytes, flags);
		if (got > 0)
			c->left -= (size_t)got;
	} while (setup->drain && got == (ssize_t)setup->recv_bytes && c->left);
	if (c->left)
		return 0;
	c->left = HEAD_BYTES + setup->file_bytes;
	if (send(c->fd, "r", 1, 0) != 1)
		die("send");
	return 1;
}

/* A closed loop over all connections until the time is up. Returns the responses that were complete. */
static uint64_t client_run(const struct setup *setup, struct client *cs, int ep, char *buffer)
{
	struct epoll_event evs[EVENTS_MAX];
	double end = now_s(CLOCK_MONOTONIC) + setup->seconds;
	uint64_t done = 0;

	for (unsigned i = 0; i < setup->conns; i++) {
		cs[i].left = HEAD_BYTES + setup->file_bytes;
		if (send(cs[i].fd, "r", 1, 0) != 1)
			die("send");
	}
	while (now_s(CLOCK_MONOTONIC) < end) {
		int n = epoll_wait(ep, evs, EVENTS_MAX, 100);

		for (int i = 0; i < n; i++)
			done += client_read(setup, evs[i].data.ptr, buffer);
	}
	/* The part of each unfinished response that did arrive counts as that part. */
	double part = 0;

	for (unsigned i = 0; i < setup->conns; i++)
		part += 1.0 - (double)cs[i].left / (double)(HEAD_BYTES + setup->file_bytes);
	return done + (uint64_t)part;
}

static void client_connect(const struct setup *setup, const struct sockaddr_in *to,
			   struct client *cs, int ep)
{
	for (unsigned i = 0; i < setup->conns; i++) {
		struct epoll_event ev = {.events = EPOLLIN, .data.ptr = &cs[i]};
		int one = 1;

		cs[i].fd = socket(AF_INET, SOCK_STREAM, 0);
		if (cs[i].fd < 0 || connect(cs[i].fd, (const struct sockaddr *)to, sizeof(*to)))
			die("connect");
		setsockopt(cs[i].fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
		if (epoll_ctl(ep, EPOLL_CTL_ADD, cs[i].fd, &ev))
			die("epoll_ctl");
	}
}

static struct cost measure(const struct setup *setup, const struct strategy *s, int file)
{
	struct sockaddr_in at = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	socklen_t len = sizeof(at);
	static struct client cs[CONNS_MAX];
	int control[2], ep = epoll_create1(0), listener = socket(AF_INET, SOCK_STREAM, 0);
	char *buffer = malloc(setup->recv_bytes);
	struct cost c;

	if (!buffer || ep < 0 || listener < 0 || socketpair(AF_UNIX, SOCK_STREAM, 0, control))
		die("socket");
	if (setup->congestion &&
	    setsockopt(listener, IPPROTO_TCP, TCP_CONGESTION, setup->congestion,
		       (socklen_t)strlen(setup->congestion)))
		die("TCP_CONGESTION");
	if (bind(listener, (struct sockaddr *)&at, sizeof(at)) || listen(listener, CONNS_MAX) ||
	    getsockname(listener, (struct sockaddr *)&at, &len))
		die("listen");
	pid_t pid = fork();

	if (pid < 0)
		die("fork");
	if (!pid) {
		close(control[0]);
		server_main(setup, s, file, listener, control[1]);
	}
	close(control[1]);
	pin(1);
	client_connect(setup, &at, cs, ep);
	usleep(50000);
	double client = now_s(CLOCK_PROCESS_CPUTIME_ID);
	uint64_t requests = client_run(setup, cs, ep, buffer);

	client = now_s(CLOCK_PROCESS_CPUTIME_ID) - client;
	if (write(control[0], "x", 1) != 1 || read(control[0], &c, sizeof(c)) != (ssize_t)sizeof(c))
		die("control");
	c.requests = requests;
	c.client_s = client;
	for (unsigned i = 0; i < setup->conns; i++)
		close(cs[i].fd);
	close(ep);
	close(listener);
	close(control[0]);
	free(buffer);
	waitpid(pid, NULL, 0);
	return c;
}

static int by_value(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;

	return (x > y) - (x < y);
}

static double median(double *v, unsigned n)
{
	qsort(v, n, sizeof(*v), by_value);
	return n % 2 ? v[n / 2] : (v[n / 2 - 1] + v[n / 2]) / 2;
}

static void report(const struct setup *setup, const struct strategy *s, const struct cost *rounds)
{
	double v[6][64], gib = (double)setup->file_bytes / (1 << 30);

	for (unsigned r = 0; r < setup->rounds; r++) {
		const struct cost *c = &rounds[r];
		double moved = (double)c->requests * gib;

		v[0][r] = c->process_s * 1e3 / moved;
		v[1][r] = c->cpu0_s * 1e3 / moved;
		v[2][r] = c->client_s * 1e3 / moved;
		v[3][r] = (double)c->requests / c->process_s;
		v[4][r] = (double)c->requests / c->wall_s;
		v[5][r] = (double)c->calls / (double)c->requests;
	}
	for (unsigned i = 0; i < 6; i++)
		v[i][0] = median(v[i], setup->rounds);
	printf("%-30s %9.1f %9.1f %9.1f %10.0f %9.0f %8.1f\n", s->name, v[0][0], v[1][0], v[2][0],
	       v[3][0], v[4][0], v[5][0]);
	fflush(stdout);
}

static int open_file(const struct setup *setup)
{
	char path[4096];
	size_t size = setup->file_bytes;
	char *bytes = malloc(size);

	snprintf(path, sizeof(path), "%s/sendfile.XXXXXX", setup->dir);
	int fd = mkstemp(path);

	if (fd < 0 || !bytes)
		die(path);
	unlink(path);
	memset(bytes, 'x', size);
	if (write(fd, bytes, size) != (ssize_t)size)
		die("write");
	free(bytes);
	return fd;
}

static const struct option options[] = {
	{"size", required_argument, NULL, 's'},
	{"conns", required_argument, NULL, 'c'},
	{"seconds", required_argument, NULL, 't'},
	{"rounds", required_argument, NULL, 'r'},
	{"recv", required_argument, NULL, 'b'},
	{"discard", no_argument, NULL, 'd'},
	{"drain", no_argument, NULL, 'e'},
	{"cc", required_argument, NULL, 'g'},
	{"dir", required_argument, NULL, 'D'},
	{"only", required_argument, NULL, 'o'},
	{NULL, 0, NULL, 0},
};

static void setup_read(struct setup *setup, int argc, char **argv)
{
	for (int o; (o = getopt_long(argc, argv, "", options, NULL)) != -1;) {
		switch (o) {
		case 's':
			setup->file_bytes = strtoul(optarg, NULL, 10);
			break;
		case 'c':
			setup->conns = (unsigned)strtoul(optarg, NULL, 10);
			break;
		case 't':
			setup->seconds = strtod(optarg, NULL);
			break;
		case 'r':
			setup->rounds = (unsigned)strtoul(optarg, NULL, 10);
			break;
		case 'b':
			setup->recv_bytes = strtoul(optarg, NULL, 10);
			break;
		case 'd':
			setup->discard = true;
			break;
		case 'e':
			setup->drain = true;
			break;
		case 'g':
			setup->congestion = optarg;
			break;
		case 'D':
			setup->dir = optarg;
			break;
		case 'o':
			setup->only = optarg;
			break;
		default:
			fprintf(stderr,
				"usage: sendfile [--size BYTES] [--conns N] [--seconds S] [--rounds N] [--recv BYTES]\n"
				"                [--discard] [--drain] [--cc NAME] [--dir DIR] [--only TEXT]\n");
			exit(2);
		}
	}
	if (!setup->file_bytes || !setup->conns || setup->conns > CONNS_MAX || !setup->rounds ||
	    setup->rounds > 64 || !setup->recv_bytes || setup->seconds <= 0) {
		fprintf(stderr,
			"sendfile: 1 to %d connections, 1 to 64 rounds, sizes and seconds above 0\n",
			CONNS_MAX);
		exit(2);
	}
}

int main(int argc, char **argv)
{
	struct setup setup = {.file_bytes = 10 << 20,
			      .conns = 64,
			      .rounds = 3,
			      .seconds = 1.0,
			      .recv_bytes = 65536,
			      .dir = "/var/tmp"};
	static struct cost costs[STRATEGIES][64];
	int file;

	signal(SIGPIPE, SIG_IGN);
	setup_read(&setup, argc, argv);
	memset(head, 'h', sizeof(head));
	file = open_file(&setup);
	for (unsigned r = 0; r < setup.rounds; r++) {
		for (unsigned i = 0; i < STRATEGIES; i++) {
			if (!setup.only || strstr(strategies[i].name, setup.only))
				costs[i][r] = measure(&setup, &strategies[i], file);
		}
	}
	printf("%zu bytes, %u connections, client reads %zu%s, %s\n", setup.file_bytes, setup.conns,
	       setup.recv_bytes,
	       setup.discard ? " and discards"
	       : setup.drain ? " until empty"
			     : "",
	       setup.congestion ? setup.congestion : "default congestion control");
	printf("%-30s %9s %9s %9s %10s %9s %8s\n", "", "server", "CPU 0", "client", "req per",
	       "req", "calls");
	printf("%-30s %9s %9s %9s %10s %9s %8s\n", "strategy", "ms/GiB", "ms/GiB", "ms/GiB",
	       "server s", "/s", "/req");
	for (unsigned i = 0; i < STRATEGIES; i++) {
		if (!setup.only || strstr(strategies[i].name, setup.only))
			report(&setup, &strategies[i], costs[i]);
	}
	return 0;
}
