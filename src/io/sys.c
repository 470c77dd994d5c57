// SPDX-License-Identifier: Apache-2.0
#include <errno.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sys/sendfile.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "io/backend.h"

ssize_t io_sys_send(struct io_fd *fd, const struct iovec *iov, unsigned n, unsigned flags)
{
	int how = MSG_DONTWAIT | MSG_NOSIGNAL | (flags & IO_SEND_MORE ? MSG_MORE : 0);
	ssize_t sent;

	do {
		if (n == 1) {
			sent = send(fd->fd, iov->iov_base, iov->iov_len, how);
		} else {
			struct msghdr msg = {.msg_iov = (struct iovec *)iov, .msg_iovlen = n};

			sent = sendmsg(fd->fd, &msg, how);
		}
	} while (sent < 0 && errno == EINTR);
	if (sent >= 0)
		return sent;
	if (errno != EAGAIN)
		return -errno;
	fd->ready &= (uint8_t)~IO_READY_OUT;
	return -EAGAIN;
}

ssize_t io_sys_sendfile(struct io_fd *fd, int file, int64_t off, size_t len)
{
	off_t at = off;
	ssize_t sent;

	do {
		sent = sendfile(fd->fd, file, &at, len);
	} while (sent < 0 && errno == EINTR);
	if (sent >= 0)
		return sent;
	if (errno != EAGAIN)
		return -errno;
	fd->ready &= (uint8_t)~IO_READY_OUT;
	return -EAGAIN;
}

ssize_t io_sys_recv(struct io_fd *fd, const struct iovec *iov, unsigned n)
{
	struct msghdr message = {.msg_iov = (struct iovec *)iov, .msg_iovlen = n};
	ssize_t got;

	do {
		got = recvmsg(fd->fd, &message, 0);
	} while (got < 0 && errno == EINTR);
	if (got >= 0)
		return got;
	if (errno != EAGAIN)
		return -errno;
	fd->ready &= (uint8_t) ~(IO_READY_IN | IO_READY_EOF);
	return -EAGAIN;
}

ssize_t io_sys_splice_in(struct io_fd *fd, int pipe, size_t len)
{
	ssize_t n;

	do {
		n = splice(fd->fd, NULL, pipe, NULL, len, SPLICE_F_MOVE | SPLICE_F_NONBLOCK);
	} while (n < 0 && errno == EINTR);
	if (n >= 0)
		return n;
	if (errno != EAGAIN)
		return -errno;
	fd->ready &= (uint8_t) ~(IO_READY_IN | IO_READY_EOF);
	return -EAGAIN;
}

ssize_t io_sys_splice_out(struct io_fd *fd, int pipe, size_t len, bool more)
{
	unsigned flags = SPLICE_F_MOVE | SPLICE_F_NONBLOCK | (more ? SPLICE_F_MORE : 0u);
	ssize_t n;

	do {
		n = splice(pipe, NULL, fd->fd, NULL, len, flags);
	} while (n < 0 && errno == EINTR);
	if (n >= 0)
		return n;
	if (errno != EAGAIN)
		return -errno;
	fd->ready &= (uint8_t)~IO_READY_OUT;
	return -EAGAIN;
}

int io_sys_connect(struct io_fd *fd, const struct sockaddr *addr, socklen_t len, bool first)
{
	int off = 0;

	/* tcp(7): the acknowledgement then travels with the first bytes. Only a saving: a failure changes nothing. */
	if (first && addr->sa_family != AF_UNIX)
		(void)setsockopt(fd->fd, IPPROTO_TCP, TCP_QUICKACK, &off, sizeof(off));
	if (connect(fd->fd, addr, len) == 0 || errno == EISCONN)
		return 0;
	return errno == EALREADY || errno == EINTR ? -EINPROGRESS : -errno;
}

int io_sys_shutdown(struct io_fd *fd)
{
	return shutdown(fd->fd, SHUT_WR) < 0 ? -errno : 0;
}

void io_sys_set_reset(struct io_fd *fd)
{
	struct linger linger = {.l_onoff = 1, .l_linger = 0};

	/* Only TCP has resets; elsewhere the failure changes nothing. */
	(void)setsockopt(fd->fd, SOL_SOCKET, SO_LINGER, &linger, sizeof(linger));
}

int io_sys_name(struct io_fd *fd, bool peer, struct sockaddr_storage *addr, socklen_t *len)
{
	int rc;

	*len = sizeof(*addr);
	rc = peer ? getpeername(fd->fd, (struct sockaddr *)addr, len)
		  : getsockname(fd->fd, (struct sockaddr *)addr, len);
	return rc < 0 ? -errno : 0;
}

bool io_sys_quiet(struct io_fd *fd)
{
	/* POLLHUP and POLLERR come unasked. Unlike recv(2) it leaves a pending error where it is. */
	struct pollfd p = {.fd = fd->fd, .events = POLLIN | POLLRDHUP};

	return poll(&p, 1, 0) == 0;
}

int io_sys_socket(int domain, int type)
{
	int fd = socket(domain, type | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);

	return fd < 0 ? -errno : fd;
}

ssize_t io_sys_try_read(int file, void *mem, size_t len, int64_t off)
{
	struct iovec iov = {mem, len};
	ssize_t n;

	/* preadv2(2) takes -1 for the current position, pread(2) refuses it. */
	if (off < 0)
		return -EINVAL;
	n = preadv2(file, &iov, 1, off, RWF_NOWAIT);
	if (n >= 0)
		return n;
	return errno == EINTR ? -EAGAIN : -errno;
}

static int sys_openat2(const struct io_openat *open, uint64_t resolve)
{
	struct open_how how = {
		.flags = open->flags,
		.mode = open->mode,
		.resolve = open->resolve | resolve,
	};
	long fd = syscall(SYS_openat2, open->dirfd, open->path, &how, sizeof(how));

	return fd < 0 ? -errno : (int)fd;
}

int io_sys_try_openat(const struct io_openat *open)
{
	int fd = sys_openat2(open, RESOLVE_CACHED);

	/* EINVAL: a kernel before 5.12 does not know RESOLVE_CACHED. What else is wrong the plain call will tell. */
	return fd == -EINVAL || fd == -EINTR || fd == -EOPNOTSUPP ? -EAGAIN : fd;
}

int io_sys_openat(const struct io_openat *open)
{
	int fd;

	do {
		fd = sys_openat2(open, 0);
	} while (fd == -EINTR);
	return fd;
}

bool io_sys_accept_goes_on(int error)
{
	switch (error) {
	case EINTR:
	case ECONNABORTED:
	case EPROTO:
	case ENOPROTOOPT:
	case ENETDOWN:
	case ENETUNREACH:
	case EHOSTDOWN:
	case EHOSTUNREACH:
	case ENONET:
	case EOPNOTSUPP:
		return true;
	default:
		return false;
	}
}
