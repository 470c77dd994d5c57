// SPDX-License-Identifier: Apache-2.0
#include "base/err.h"

#include <errno.h>

#include "base/compiler.h"

/*
 * What a server meets. A table of our own: strerror() shares a buffer between threads, and its words change
 * with the locale and the library.
 */
#define NAMED(code, text) [code] = {#code, text}

static const struct {
	const char *name, *text;
} errors[] = {
	NAMED(EPERM, "operation not permitted"),
	NAMED(ENOENT, "no such file or directory"),
	NAMED(ESRCH, "no such process"),
	NAMED(EINTR, "interrupted system call"),
	NAMED(EIO, "input/output error"),
	NAMED(ENXIO, "no such device or address"),
	NAMED(E2BIG, "argument list too long"),
	NAMED(ENOEXEC, "exec format error"),
	NAMED(EBADF, "bad file descriptor"),
	NAMED(ECHILD, "no child processes"),
	NAMED(EAGAIN, "would block"),
	NAMED(ENOMEM, "out of memory"),
	NAMED(EACCES, "permission denied"),
	NAMED(EFAULT, "bad address"),
	NAMED(EBUSY, "device or resource busy"),
	NAMED(EEXIST, "file exists"),
	NAMED(EXDEV, "on another file system"),
	NAMED(ENODEV, "no such device"),
	NAMED(ENOTDIR, "not a directory"),
	NAMED(EISDIR, "is a directory"),
	NAMED(EINVAL, "invalid argument"),
	NAMED(ENFILE, "too many open files in the system"),
	NAMED(EMFILE, "too many open files"),
	NAMED(ENOTTY, "inappropriate ioctl for device"),
	NAMED(ETXTBSY, "executable is being written"),
	NAMED(EFBIG, "file too large"),
	NAMED(ENOSPC, "no space left on device"),
	NAMED(ESPIPE, "illegal seek"),
	NAMED(EROFS, "read-only file system"),
	NAMED(EMLINK, "too many links"),
	NAMED(EPIPE, "broken pipe"),
	NAMED(EDOM, "numerical argument out of domain"),
	NAMED(ERANGE, "out of range"),
	NAMED(EDEADLK, "deadlock avoided"),
	NAMED(ENAMETOOLONG, "file name too long"),
	NAMED(ENOLCK, "no locks available"),
	NAMED(ENOSYS, "function not implemented"),
	NAMED(ENOTEMPTY, "directory not empty"),
	NAMED(ELOOP, "too many levels of symbolic links"),
	NAMED(ENODATA, "no data available"),
	NAMED(ETIME, "timer expired"),
	NAMED(EPROTO, "protocol error"),
	NAMED(EBADMSG, "bad message"),
	NAMED(EOVERFLOW, "value too large"),
	NAMED(EILSEQ, "invalid byte sequence"),
	NAMED(ENOTSOCK, "socket operation on non-socket"),
	NAMED(EDESTADDRREQ, "destination address required"),
	NAMED(EMSGSIZE, "message too long"),
	NAMED(EPROTOTYPE, "protocol wrong type for socket"),
	NAMED(ENOPROTOOPT, "protocol not available"),
	NAMED(EPROTONOSUPPORT, "protocol not supported"),
	NAMED(ESOCKTNOSUPPORT, "socket type not supported"),
	NAMED(EOPNOTSUPP, "operation not supported"),
	NAMED(EPFNOSUPPORT, "protocol family not supported"),
	NAMED(EAFNOSUPPORT, "address family not supported by protocol"),
	NAMED(EADDRINUSE, "address already in use"),
	NAMED(EADDRNOTAVAIL, "cannot assign requested address"),
	NAMED(ENETDOWN, "network is down"),
	NAMED(ENETUNREACH, "network is unreachable"),
	NAMED(ENETRESET, "network dropped connection on reset"),
	NAMED(ECONNABORTED, "connection aborted"),
	NAMED(ECONNRESET, "connection reset by peer"),
	NAMED(ENOBUFS, "no buffer space available"),
	NAMED(EISCONN, "already connected"),
	NAMED(ENOTCONN, "not connected"),
	NAMED(ESHUTDOWN, "already shut down for sending"),
	NAMED(ETIMEDOUT, "connection timed out"),
	NAMED(ECONNREFUSED, "connection refused"),
	NAMED(EHOSTDOWN, "host is down"),
	NAMED(EHOSTUNREACH, "no route to host"),
	NAMED(EALREADY, "operation already in progress"),
	NAMED(EINPROGRESS, "operation now in progress"),
	NAMED(ESTALE, "stale file handle"),
	NAMED(EREMOTEIO, "remote I/O error"),
	NAMED(EDQUOT, "disk quota exceeded"),
	NAMED(ECANCELED, "cancelled"),
	NAMED(EKEYEXPIRED, "key has expired"),
	NAMED(EKEYREJECTED, "key was rejected by service"),
	NAMED(EOWNERDEAD, "owner died"),
};

static unsigned index_of(int error)
{
	unsigned code = error < 0 ? 0u - (unsigned)error : (unsigned)error;

	return code < SL_ARRAY_SIZE(errors) && errors[code].name ? code : 0;
}

const char *err_name(int error)
{
	unsigned i = index_of(error);

	return i ? errors[i].name : "E?";
}

const char *err_text(int error)
{
	unsigned i = index_of(error);

	return i ? errors[i].text : "unknown error";
}
