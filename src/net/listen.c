// SPDX-License-Identifier: Apache-2.0
/* Opening and inheriting listening sockets. */
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/err.h"
#include "net/listener.h"

/* sd_listen_fds(3): the first inherited descriptor, and the most that are looked at. */
#define INHERITED_FIRST 3
#define INHERITED_MAX 64

static int listen_refuse(int error, const struct net_addr *a, char *why, size_t why_len)
{
	char text[NET_ADDR_TEXT];
	bool is_unix = a->u.sa.sa_family == AF_UNIX;

	net_addr_print(a, text);
	if (error == -EADDRINUSE)
		snprintf(
			why, why_len,
			"%s is in use: another program listens there; stop it or choose another %s",
			text, is_unix ? "path" : "port");
	else if (error == -EACCES && !is_unix)
		snprintf(
			why, why_len,
			"%s needs root or CAP_NET_BIND_SERVICE (ports below 1024); choose a higher port or start "
			"as root with a user to change to",
			text);
	else if (error == -EACCES || error == -EPERM)
		snprintf(why, why_len,
			 "%s: permission denied; its folder must be writable for this user", text);
	else if (error == -EADDRNOTAVAIL)
		snprintf(why, why_len, "%s is not an address of this machine", text);
	else
		snprintf(why, why_len, "cannot listen on %s: %s", text, err_text(error));
	return error;
}

static void set_int(int fd, int level, int name, int value)
{
	/* Options that this kernel lacks are not worth a refusal: the socket works without them. */
	(void)setsockopt(fd, level, name, &value, sizeof(value));
}

static void listen_set_tcp(int fd, const struct net_options *o)
{
	set_int(fd, IPPROTO_TCP, TCP_NODELAY, 1);
	if (o->keepalive_s > 0) {
		set_int(fd, SOL_SOCKET, SO_KEEPALIVE, 1);
		set_int(fd, IPPROTO_TCP, TCP_KEEPIDLE, o->keepalive_s);
	}
	if (o->user_timeout_ms > 0)
		set_int(fd, IPPROTO_TCP, TCP_USER_TIMEOUT, o->user_timeout_ms);
	if (o->notsent_lowat > 0)
		set_int(fd, IPPROTO_TCP, TCP_NOTSENT_LOWAT, o->notsent_lowat);
	if (o->fastopen > 0)
		set_int(fd, IPPROTO_TCP, TCP_FASTOPEN, o->fastopen);
	if (o->defer_accept_s > 0)
		set_int(fd, IPPROTO_TCP, TCP_DEFER_ACCEPT, o->defer_accept_s);
}

static void listen_set_all(int fd, const struct net_addr *a, const struct net_options *o)
{
	if (o->recv_bytes > 0)
		set_int(fd, SOL_SOCKET, SO_RCVBUF, o->recv_bytes);
	if (o->send_bytes > 0)
		set_int(fd, SOL_SOCKET, SO_SNDBUF, o->send_bytes);
	if (a->u.sa.sa_family == AF_UNIX)
		return;
	set_int(fd, SOL_SOCKET, SO_REUSEADDR, 1);
	if (o->reuseport)
		set_int(fd, SOL_SOCKET, SO_REUSEPORT, 1);
	if (a->u.sa.sa_family == AF_INET6)
		set_int(fd, IPPROTO_IPV6, IPV6_V6ONLY, o->v6only);
}

/* A socket file that nobody answers on is left over from a crash. */
static void listen_remove_stale(const struct net_addr *a)
{
	struct stat st;
	const char *path = a->u.un.sun_path;

	if (!path[0] || stat(path, &st) || !S_ISSOCK(st.st_mode))
		return;
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd < 0)
		return;
	if (connect(fd, &a->u.sa, a->len) && errno == ECONNREFUSED)
		unlink(path);
	close(fd);
}

static int listen_bind(int fd, const struct net_addr *a, const struct net_options *o)
{
	bool is_unix = a->u.sa.sa_family == AF_UNIX;
	mode_t mask = 0;

	listen_set_all(fd, a, o);
	if (!is_unix)
		listen_set_tcp(fd, o);
	if (is_unix) {
		listen_remove_stale(a);
		mask = umask(0777 & ~(o->unix_mode > 0 ? (mode_t)o->unix_mode : 0666));
	}
	int err = bind(fd, &a->u.sa, a->len) ? -errno : 0;
	if (is_unix)
		umask(mask);
	if (!err && listen(fd, o->backlog > 0 ? o->backlog : SOMAXCONN))
		err = -errno;
	return err;
}

static int listen_open(const struct net_addr *a, const struct net_options *o)
{
	int fd = socket(a->u.sa.sa_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);

	if (fd < 0)
		return -errno;
	int err = listen_bind(fd, a, o);
	if (err) {
		close(fd);
		return err;
	}
	return fd;
}

static bool addr_is_any6(const struct net_addr *a)
{
	const struct sockaddr_in6 *in = (const struct sockaddr_in6 *)&a->u.storage;

	return a->u.sa.sa_family == AF_INET6 && IN6_IS_ADDR_UNSPECIFIED(&in->sin6_addr);
}

static int datagram_open(const struct net_addr *a, const struct net_options *o)
{
	int fd = socket(a->u.sa.sa_family, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);

	if (fd < 0)
		return -errno;
	listen_set_all(fd, a, o);
	/* For datagrams SO_REUSEADDR would let another program in. */
	set_int(fd, SOL_SOCKET, SO_REUSEADDR, 0);
	if (bind(fd, &a->u.sa, a->len)) {
		int err = -errno;
		close(fd);
		return err;
	}
	return fd;
}

/* The address without IPv6; false: that is not what it was. */
static bool addr_as_v4(const struct net_addr *a, const struct net_options *o, int error,
		       struct net_addr *v4)
{
	struct sockaddr_in *in = (struct sockaddr_in *)&v4->u.storage;

	*v4 = (struct net_addr){.len = sizeof(struct sockaddr_in)};
	in->sin_family = AF_INET;
	in->sin_port = htons((uint16_t)net_addr_port(a));
	return (error == -EAFNOSUPPORT || error == -EADDRNOTAVAIL) && addr_is_any6(a) && !o->v6only;
}

int net_bind_datagram(const struct net_addr *a, const struct net_options *o, char *why,
		      size_t why_len)
{
	struct net_addr v4;
	int fd = a->u.sa.sa_family == AF_UNIX ? -EOPNOTSUPP : datagram_open(a, o);

	if (fd < 0 && addr_as_v4(a, o, fd, &v4))
		fd = datagram_open(&v4, o);
	return fd < 0 ? listen_refuse(fd, a, why, why_len) : fd;
}

int net_listen(const struct net_addr *a, const struct net_options *o, char *why, size_t why_len)
{
	struct net_addr v4;
	int fd = listen_open(a, o);

	/* A machine without IPv6 still has every IPv4 address. */
	if (fd < 0 && addr_as_v4(a, o, fd, &v4))
		fd = listen_open(&v4, o);
	return fd < 0 ? listen_refuse(fd, a, why, why_len) : fd;
}

int net_listen_text(struct str text, const struct net_options *o, struct net_addr *bound, char *why,
		    size_t why_len)
{
	int fd = net_addr_parse(text, bound, why, why_len);

	if (!fd)
		fd = net_listen(bound, o, why, why_len);
	if (fd < 0)
		return fd;
	bound->len = sizeof(bound->u.storage);
	if (getsockname(fd, &bound->u.sa, &bound->len)) {
		int err = -errno;
		snprintf(why, why_len, "cannot tell where it listens: %s", err_text(err));
		close(fd);
		return err;
	}
	return fd;
}

static unsigned inherited_count(void)
{
	const char *pid = getenv("LISTEN_PID"), *fds = getenv("LISTEN_FDS");
	uint64_t value;

	if (!pid || !fds || str_to_u64(str_from(pid), INT32_MAX, &value) ||
	    (pid_t)value != getpid())
		return 0;
	if (str_to_u64(str_from(fds), INHERITED_MAX, &value))
		return 0;
	return (unsigned)value;
}

int net_inherited(const struct net_addr *want)
{
	static _Atomic uint64_t taken;
	unsigned count = inherited_count();

	for (unsigned i = 0; i < count; i++) {
		struct net_addr have = {.len = sizeof(have.u.storage)};
		int fd = INHERITED_FIRST + (int)i;
		if (getsockname(fd, &have.u.sa, &have.len) || !net_addr_eq(want, &have))
			continue;
		if (atomic_fetch_or(&taken, 1ull << i) & 1ull << i)
			continue;
		fcntl(fd, F_SETFD, FD_CLOEXEC);
		fcntl(fd, F_SETFL, fcntl(fd, F_GETFL) | O_NONBLOCK);
		return fd;
	}
	return -ENOENT;
}
