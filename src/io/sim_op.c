// SPDX-License-Identifier: Apache-2.0

/* Operations of loops in the simulated world: served when their socket or their file is due. */

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/uio.h>
#include <unistd.h>

#include "io/sim_net.h"

/* What an operation without an io_fd takes on a good day. */
#define SIM_FILE_MIN_NS 10000
#define SIM_FILE_MAX_NS 200000
/* What one simulated splice moves: it fits into every pipe. */
#define SIM_SPLICE_BYTES 16384
/* What a served op answers when there is nothing for it yet. */
#define SIM_LATER (-EAGAIN)

static struct sim *world_of(const struct io_loop *loop)
{
	return ((struct sim_loop *)loop->state)->world;
}

static struct sim_socket *socket_of(const struct io_fd *fd)
{
	return sim_socket_of(world_of(fd->loop), fd->fd);
}

/* Wakes. */

static struct io_op *slot_op(const struct sim_slot *slot)
{
	const struct io_fd *io = slot->socket->io;

	if (!io)
		return NULL;
	return slot->side == SIM_RD ? io->rd : io->wr;
}

static void slot_ready(struct sim_slot *slot)
{
	struct sim_loop *l = slot->socket->io->loop->state;

	if (list_empty(&slot->ready))
		list_add(&l->ready, &slot->ready);
}

static void late_fire(struct sim *w, struct sim_event *e)
{
	struct sim_slot *slot = SL_CONTAINER(e, struct sim_slot, late);

	(void)w;
	if (slot_op(slot))
		slot_ready(slot);
}

void sim_wake(struct sim_socket *s, enum sim_side side)
{
	struct sim *w = s->world;
	struct sim_slot *slot = &s->slot[side];

	/* A wake that is late brings whatever is there when it comes. */
	if (!slot_op(slot) || slot->late.at)
		return;
	if (!sim_chance(w, w->o.faults.delay)) {
		slot_ready(slot);
		return;
	}
	slot->late.fire = late_fire;
	sim_event_at(w, &slot->late, w->now_ns + sim_between(w, 1, w->o.delay_max_ns));
}

void sim_connected(struct sim_socket *s, int result)
{
	struct io_op *op = s->io ? s->io->wr : NULL;

	if (op && op->code == IO_CONNECT) {
		io_op_finish(op, result);
		return;
	}
	s->error = -result;
	sim_wake(s, SIM_WR);
}

/* The served ops. Each answers its result, or SIM_LATER. */

static int serve_recv(struct sim_socket *s, struct io_op *op)
{
	struct sim *w = s->world;
	struct buf *buf;
	ssize_t n;

	if (op->u.recv.mem)
		return (int)sim_take(s, op->u.recv.mem, op->u.recv.cap);
	if (!sim_can_take(s))
		return SIM_LATER;
	if (sim_chance(w, w->o.faults.no_bufs))
		return -ENOBUFS;
	buf = buf_alloc();
	if (!buf)
		return -ENOMEM;
	n = sim_take(s, buf->data, BUF_CAPACITY);
	if (n <= 0) {
		buf_unref(buf);
		buf = NULL;
	} else {
		buf->start = 0;
		buf->end = (uint32_t)n;
	}
	op->u.recv.buf = buf;
	return (int)n;
}

static size_t iov_bytes(const struct iovec *iov, unsigned n)
{
	size_t bytes = 0;

	for (unsigned i = 0; i < n; i++)
		bytes += iov[i].iov_len;
	return bytes;
}

/* Fills the room, which is not larger than what is in iov. */
static void iov_copy(const struct iovec room[2], const struct iovec *iov)
{
	size_t from = 0;

	for (unsigned i = 0; i < 2; i++) {
		uint8_t *to = room[i].iov_base;
		size_t left = room[i].iov_len;

		while (left) {
			size_t n = SL_MIN(left, iov->iov_len - from);

			memcpy(to, (const uint8_t *)iov->iov_base + from, n);
			to += n;
			left -= n;
			from += n;
			if (from == iov->iov_len) {
				iov++;
				from = 0;
			}
		}
	}
}

static ssize_t put_iov(struct sim_socket *s, const struct iovec *iov, unsigned n)
{
	struct iovec room[2];
	ssize_t bytes = sim_put_room(s, iov_bytes(iov, n), room);

	if (bytes > 0) {
		iov_copy(room, iov);
		sim_put_commit(s, (size_t)bytes);
	}
	return bytes;
}

static int serve(struct sim_socket *s, struct io_op *op)
{
	struct sim *w = s->world;

	switch ((enum io_code)op->code) {
	case IO_ACCEPT:
		return sim_accept(s);
	case IO_RECV:
		return serve_recv(s, op);
	case IO_WAIT_IN:
		return sim_can_take(s) || sim_chance(w, w->o.faults.again) ? 0 : SIM_LATER;
	case IO_SEND:
		return (int)put_iov(s, op->u.send.iov, op->u.send.n);
	case IO_WAIT_OUT:
		return sim_can_put(s) || sim_chance(w, w->o.faults.again) ? 0 : SIM_LATER;
	default:
		/* IO_CONNECT ends in sim_connected. */
		return SIM_LATER;
	}
}

static void serve_cancelled(struct sim_socket *s, struct io_op *op)
{
	struct sim *w = s->world;
	int result = SIM_LATER;

	if (op->code != IO_CONNECT && sim_chance(w, w->o.faults.cancel_race))
		result = serve(s, op);
	if (op->code == IO_CONNECT)
		sim_connect_stop(s);
	io_op_finish(op, result == SIM_LATER ? -ECANCELED : result);
}

static void serve_slot(struct sim_loop *l, struct sim_slot *slot)
{
	struct io_op *op = slot_op(slot);
	int result;

	if (!op)
		return;
	if (op->state == IO_CANCELING) {
		serve_cancelled(slot->socket, op);
		l->progress = true;
		return;
	}
	result = serve(slot->socket, op);
	if (result == SIM_LATER)
		return;
	l->progress = true;
	l->loop->stats.events++;
	sim_trace(l->world, "served", slot->socket->fd, result);
	if (op->flags & IO_MULTI && result >= 0 && (op->code == IO_ACCEPT || result > 0)) {
		/* It goes on in the next turn: nobody may keep a loop for himself. */
		slot_ready(slot);
		io_op_more(op, result);
		return;
	}
	io_op_finish(op, result);
}

void sim_drain(struct sim_loop *l)
{
	struct list now;

	if (list_empty(&l->ready))
		return;
	/* What becomes ready meanwhile waits for the next turn. */
	now = l->ready;
	now.next->prev = now.prev->next = &now;
	list_init(&l->ready);
	while (!list_empty(&now)) {
		bool last = sim_chance(l->world, l->world->o.faults.reorder);
		struct list *at = last ? now.prev : now.next;

		list_del(at);
		serve_slot(l, SL_CONTAINER(at, struct sim_slot, ready));
	}
}

/* Files and work: performed when their time has come, in the order of their times. */

static ssize_t job_read(struct sim *w, int fd, const struct iovec *to, size_t len, int64_t off)
{
	const struct sim_faults *f = &w->o.faults;
	struct iovec part[2] = {to[0], to[1]};
	ssize_t n;
	int error;

	if (sim_rule_hits(w, SIM_READ, &error))
		return -error;
	if (sim_chance(w, f->read_eio))
		return -EIO;
	if (sim_chance(w, f->read_end))
		return 0;
	if (len > 1 && sim_chance(w, f->read_short))
		len = 1 + sim_random(w, len);
	part[0].iov_len = SL_MIN(len, part[0].iov_len);
	part[1].iov_len = len - part[0].iov_len;
	n = preadv(fd, part, part[1].iov_len ? 2 : 1, off);
	return n < 0 ? -errno : n;
}

static ssize_t job_write(struct sim *w, const struct io_op *op)
{
	const struct sim_faults *f = &w->o.faults;
	size_t len = op->u.file.len;
	ssize_t n;
	int error = 0;

	if (sim_rule_hits(w, SIM_WRITE, &error)) {
		if (error)
			return -error;
		len = SL_MIN(len, 1u);
	}
	if (sim_chance(w, f->write_eio))
		return -EIO;
	if (len && (!w->disk_room || sim_chance(w, f->write_full)))
		return -ENOSPC;
	if (len > 1 && sim_chance(w, f->write_short))
		len = 1 + sim_random(w, len);
	len = SL_MIN(len, w->disk_room);
	n = op->u.file.off == -1 ? write(op->u.file.fd, op->u.file.mem, len)
				 : pwrite(op->u.file.fd, op->u.file.mem, len, op->u.file.off);
	if (n < 0)
		return -errno;
	if (w->disk_room != UINT64_MAX)
		w->disk_room -= (uint64_t)n;
	return n;
}

static int job_open(struct sim *w, const struct io_openat *o)
{
	int error;

	if (sim_rule_hits(w, SIM_OPEN, &error))
		return -error;
	if (sim_chance(w, w->o.faults.open_enoent))
		return -ENOENT;
	if (sim_chance(w, w->o.faults.open_eacces))
		return -EACCES;
	return io_sys_openat(o);
}

static int job_sync(struct sim *w, int fd)
{
	int error;

	if (sim_rule_hits(w, SIM_SYNC, &error))
		return -error;
	if (sim_chance(w, w->o.faults.sync_eio))
		return -EIO;
	return fsync(fd) < 0 ? -errno : 0;
}

static int job_perform(struct sim *w, struct io_op *op)
{
	switch ((enum io_code)op->code) {
	case IO_READ: {
		struct iovec to[2] = {{op->u.file.mem, op->u.file.len}, {NULL, 0}};

		return (int)job_read(w, op->u.file.fd, to, op->u.file.len, op->u.file.off);
	}
	case IO_WRITE:
		return (int)job_write(w, op);
	case IO_FSYNC:
		return job_sync(w, op->u.file.fd);
	case IO_OPENAT:
		return job_open(w, op->u.open);
	default:
		return op->u.work.run(op);
	}
}

static void job_free(struct sim *w, struct sim_job *job)
{
	sim_event_stop(w, &job->event);
	list_del(&job->in_world);
	w->job_count--;
	sim_events_reserve(w, -1);
	free(job);
}

static void job_fire(struct sim *w, struct sim_event *e)
{
	struct sim_job *job = SL_CONTAINER(e, struct sim_job, event);
	struct io_op *op = job->op;
	int result = job_perform(w, op);

	job_free(w, job);
	/* Numbers of the kernel's descriptors are not part of the world. */
	sim_trace(w, "file op", op->code, op->code == IO_OPENAT && result > 0 ? 0 : result);
	io_op_finish(op, result);
}

static void job_begin(struct sim *w, struct io_op *op)
{
	struct sim_job *job = calloc(1, sizeof(*job));
	uint64_t ns = sim_between(w, SIM_FILE_MIN_NS, SIM_FILE_MAX_NS);

	if (!job || sim_events_reserve(w, 1) < 0) {
		free(job);
		io_op_finish(op, -ENOMEM);
		return;
	}
	if (sim_chance(w, w->o.faults.slow_file))
		ns += sim_between(w, 1, w->o.slow_max_ns);
	job->op = op;
	job->event.fire = job_fire;
	list_init(&job->in_world);
	list_add(&w->jobs, &job->in_world);
	w->job_count++;
	sim_event_at(w, &job->event, w->now_ns + ns);
}

static void job_cancel(struct sim *w, struct io_op *op)
{
	struct list *at = w->jobs.next;

	while (SL_CONTAINER(at, struct sim_job, in_world)->op != op)
		at = at->next;
	/* It had begun, and ends with its own result. */
	if (sim_chance(w, w->o.faults.cancel_race))
		return;
	job_free(w, SL_CONTAINER(at, struct sim_job, in_world));
	io_op_finish(op, -ECANCELED);
}

void sim_jobs_drop(struct sim *w)
{
	for (struct list *at = w->jobs.next, *next; at != &w->jobs; at = next) {
		next = at->next;
		job_free(w, SL_CONTAINER(at, struct sim_job, in_world));
	}
}

/* The backend. */

static int op_attach(struct io_loop *loop, struct io_fd *fd)
{
	struct sim_socket *s = sim_socket_of(world_of(loop), fd->fd);

	if (!s)
		return -EBADF;
	if (s->io)
		return -EBUSY;
	s->io = fd;
	return 0;
}

static void op_detach(struct io_loop *loop, struct io_fd *fd)
{
	(void)loop;
	sim_socket_close(socket_of(fd));
}

static void op_submit(struct io_loop *loop, struct io_op *op)
{
	struct sim_socket *s;

	io_op_set_state(op, IO_INFLIGHT);
	if (!io_code_has_fd(op->code)) {
		job_begin(world_of(loop), op);
		return;
	}
	s = socket_of(op->fd);
	if (op->code == IO_CONNECT)
		sim_connect_begin(s, op->u.connect.addr, op->u.connect.len);
	else
		slot_ready(&s->slot[io_code_reads(op->code) ? SIM_RD : SIM_WR]);
}

static void op_cancel(struct io_loop *loop, struct io_op *op)
{
	if (!io_code_has_fd(op->code))
		job_cancel(world_of(loop), op);
	else
		slot_ready(&socket_of(op->fd)->slot[io_code_reads(op->code) ? SIM_RD : SIM_WR]);
}

static ssize_t op_try_send(struct io_fd *fd, const struct iovec *iov, unsigned n, unsigned flags)
{
	struct sim *w = world_of(fd->loop);

	(void)flags;
	return sim_chance(w, w->o.faults.again) ? -EAGAIN : put_iov(socket_of(fd), iov, n);
}

static ssize_t op_try_sendfile(struct io_fd *fd, int file, int64_t off, size_t len)
{
	struct sim_socket *s = socket_of(fd);
	struct iovec room[2];
	ssize_t n;

	if (sim_chance(s->world, s->world->o.faults.again))
		return -EAGAIN;
	n = sim_put_room(s, len, room);
	if (n > 0)
		n = job_read(s->world, file, room, (size_t)n, off);
	if (n > 0)
		sim_put_commit(s, (size_t)n);
	return n;
}

static ssize_t op_try_read(struct io_loop *loop, int file, void *mem, size_t len, int64_t off)
{
	struct sim *w = world_of(loop);
	const struct iovec to[2] = {{mem, len}, {NULL, 0}};

	return sim_chance(w, w->o.faults.cold) ? -EAGAIN : job_read(w, file, to, len, off);
}

static int op_try_openat(struct io_loop *loop, const struct io_openat *o)
{
	struct sim *w = world_of(loop);

	return sim_chance(w, w->o.faults.cold) ? -EAGAIN : job_open(w, o);
}

/* The first piece alone: callers expect a short read. */
static ssize_t op_try_recv(struct io_fd *fd, const struct iovec *iov, unsigned n)
{
	struct sim_socket *s = socket_of(fd);

	(void)n;
	if (sim_chance(s->world, s->world->o.faults.again))
		return -EAGAIN;
	return sim_take(s, iov->iov_base, iov->iov_len);
}

static ssize_t op_try_splice_in(struct io_fd *fd, int pipe, size_t len)
{
	struct sim_socket *s = socket_of(fd);
	uint8_t bytes[SIM_SPLICE_BYTES];
	ssize_t n;

	if (sim_chance(s->world, s->world->o.faults.again))
		return -EAGAIN;
	n = sim_take(s, bytes, SL_MIN(len, sizeof(bytes)));
	if (n > 0 && write(pipe, bytes, (size_t)n) != n)
		assert(!"an empty pipe takes this much");
	return n;
}

static ssize_t op_try_splice_out(struct io_fd *fd, int pipe, size_t len, bool more)
{
	struct sim_socket *s = socket_of(fd);
	struct iovec room[2];
	ssize_t n;

	(void)more;
	if (sim_chance(s->world, s->world->o.faults.again))
		return -EAGAIN;
	n = sim_put_room(s, SL_MIN(len, SIM_SPLICE_BYTES), room);
	if (n <= 0)
		return n;
	n = readv(pipe, room, room[1].iov_len ? 2 : 1);
	if (n < 0)
		return -errno;
	sim_put_commit(s, (size_t)n);
	return n;
}

static int op_try_connect(struct io_fd *fd, const struct sockaddr *addr, socklen_t len, bool first)
{
	(void)first;
	struct sim_socket *s = socket_of(fd);
	int error = s->error;

	s->error = 0;
	if (error)
		return -error;
	if (s->state == SIM_OPENED || s->state == SIM_BROKEN)
		return 0;
	if (s->state != SIM_CONNECTING)
		sim_connect_begin(s, addr, len);
	return -EINPROGRESS;
}

static int op_shutdown(struct io_fd *fd)
{
	return sim_send_end(socket_of(fd));
}

static void op_set_reset(struct io_fd *fd)
{
	socket_of(fd)->reset_at_close = true;
}

static int op_name(struct io_fd *fd, bool peer, struct sockaddr_storage *addr, socklen_t *len)
{
	const struct sim_socket *s = socket_of(fd);

	if (peer && s->state != SIM_OPENED && s->state != SIM_BROKEN)
		return -ENOTCONN;
	*addr = peer ? s->peer : s->name;
	*len = peer ? s->peer_len : s->name_len;
	return 0;
}

static bool op_quiet(struct io_fd *fd)
{
	return !sim_can_take(socket_of(fd));
}

static int op_socket(struct io_loop *loop, int domain, int type)
{
	struct sim_socket *s;
	int fd;

	if (domain != AF_INET && domain != AF_INET6 && domain != AF_UNIX)
		return -EAFNOSUPPORT;
	if (type != SOCK_STREAM)
		return -EPROTONOSUPPORT;
	s = sim_socket_new(world_of(loop), domain);
	if (!s)
		return -ENOMEM;
	fd = sim_socket_number(s);
	if (fd < 0)
		sim_socket_close(s);
	return fd;
}

/* Only threads need it, and a world has one. */
static void op_wakeup(struct io_loop *loop)
{
	(void)loop;
}

static const char *op_features(struct io_loop *loop)
{
	(void)loop;
	return "virtual_time faults";
}

const struct io_backend io_backend_sim = {
	.name = "sim",
	.init = sim_loop_init,
	.fini = sim_loop_fini,
	.attach = op_attach,
	.submit = op_submit,
	.cancel = op_cancel,
	.detach = op_detach,
	.wait = sim_loop_wait,
	.wakeup = op_wakeup,
	.now_ns = sim_loop_now_ns,
	.features = op_features,
	.try_send = op_try_send,
	.try_sendfile = op_try_sendfile,
	.try_recv = op_try_recv,
	.try_splice_in = op_try_splice_in,
	.try_splice_out = op_try_splice_out,
	.try_connect = op_try_connect,
	.shutdown = op_shutdown,
	.set_reset = op_set_reset,
	.sock_name = op_name,
	.quiet = op_quiet,
	.socket = op_socket,
	.try_read = op_try_read,
	.try_openat = op_try_openat,
};
