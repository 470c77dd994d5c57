// SPDX-License-Identifier: Apache-2.0
#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <linux/openat2.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/err.h"
#include "base/slab.h"
#include "handler/files/compress.h"
#include "handler/files/listing.h"
#include "handler/files/mime.h"
#include "handler/files/state.h"
#include "handler/reply.h"
#include "http/path.h"
#include "http/server.h"

/* A FIFO without a writer, or a device, must not hold the loop; neither becomes a terminal. */
#define OPEN_FILE (O_RDONLY | O_NONBLOCK | O_NOCTTY | O_CLOEXEC)
#define OPEN_ROOT (O_PATH | O_DIRECTORY | O_CLOEXEC)
/* Descriptors taken from the cache when the process has none left. */
#define SHED_FDS 32

static _Thread_local struct slab req_pool = SLAB_INIT("files_req", sizeof(struct files_req), 1024);

void files_req_free(struct files_req *req)
{
	struct files *files = req->files;

	assert(!req->in_flight && !req->listing);
	file_entry_unref(req->entry);
	slab_free(&req_pool, req);
	files_unref(files);
}

struct http_stream *files_req_end(struct files_req *req)
{
	struct http_stream *s = req->stream;
	struct files_stream *fs = s->data;

	fs->req = NULL;
	files_req_free(req);
	return s;
}

void files_req_fail(struct files_req *req, unsigned status)
{
	http_stream_refuse(files_req_end(req), status);
}

static void req_opened(struct io_op *op, int result);

/* Opens without waiting what the kernel has at hand; otherwise the loop opens it, and -EINPROGRESS. */
static int req_open(struct files_req *req)
{
	int fd = io_try_openat(req->files->loop, &req->open);

	if (fd != -EAGAIN)
		return fd;
	req->op = (struct io_op){.cb = req_opened, .code = IO_OPENAT};
	req->op.u.open = &req->open;
	req->in_flight = true;
	io_submit(req->files->loop, &req->op);
	return -EINPROGRESS;
}

static void prepare_below_root(struct files_req *req, enum req_state state)
{
	const struct files *files = req->files;
	uint64_t resolve = RESOLVE_BENEATH | RESOLVE_NO_MAGICLINKS;

	if (files->config->no_symlinks)
		resolve |= RESOLVE_NO_SYMLINKS;
	req->state = state;
	req->open = (struct io_openat){
		.dirfd = files->root_fd,
		.path = req->path,
		.flags = OPEN_FILE,
		.resolve = resolve,
	};
}

unsigned files_open_status(int error)
{
	switch (-error) {
	case ENOENT:
	case ENOTDIR:
	case ENAMETOOLONG:
	case ELOOP: /* a symlink where none may be, or too many */
	case EXDEV: /* out of the root */
	case ENXIO: /* a socket, or a device without a driver */
	case ENODEV:
	case EISDIR:
		return 0;
	case EACCES:
	case EPERM:
		return 403;
	case EMFILE:
	case ENFILE:
	case ENOMEM:
	case EAGAIN: /* names are changing under the look-up */
		return 503;
	default:
		return 500;
	}
}

void files_log_error(struct files *files, const char *what, struct str path, int error)
{
	/* It changed while it was sent: Linux calls that a stale handle, people do not. */
	const char *why = error == -ESTALE ? "it changed meanwhile" : err_text(error);
	uint64_t suppressed;

	/* Once detached, the configuration is gone, and nobody waits for an answer. */
	if (files->detached || !log_rate_allow(&files->log, io_now_ns(files->loop), &suppressed))
		return;
	log_error("files: cannot %s \"%.*s\" below %s: %s", what, STR_ARG(path),
		  files->config->root.p, why);
	if (suppressed)
		log_error("files: %" PRIu64 " errors like it were not logged", suppressed);
}

static void req_redirect(struct files_req *req)
{
	struct http_stream *s = files_req_end(req);
	struct str path = http_path_encode(s->request.path, s->arena);
	struct str query = reply_query_encode(s->request.query, s->arena);

	if (!path.p || !query.p ||
	    reply_redirect(s, 301,
			   arena_printf(s->arena, "%.*s/%s%.*s", STR_ARG(path),
					s->request.query.p ? "?" : "", STR_ARG(query))) < 0)
		http_stream_refuse(s, 503);
}

/* --- which path comes next --- */

/* Rule of the house: /.well-known/ (RFC 8615) is meant for everybody, other dotted names for nobody. */
static bool is_hidden(struct str path)
{
	struct str segment;

	for (bool first = true; path.len > 0; first = false) {
		ptrdiff_t slash = str_find_byte(path, '/');

		segment = slash < 0 ? path : str_head(path, (size_t)slash);
		if (segment.len && segment.p[0] == '.' &&
		    !(first && str_eq(segment, STR(".well-known"))))
			return true;
		path = str_skip(path, slash < 0 ? path.len : (size_t)slash + 1);
	}
	return false;
}

bool files_request_path(const struct files_config *config, const struct http_stream *s,
			struct str *path)
{
	struct str rest = s->request.path;

	if (config->strip.len > 1) {
		size_t strip = config->strip.len - (config->strip.p[config->strip.len - 1] == '/');

		if (!str_starts(rest, str_head(config->strip, strip)))
			return false;
		rest = str_skip(rest, strip);
	}
	if (rest.len > 0 && rest.p[0] != '/')
		return false;
	*path = rest.len > 0 ? str_skip(rest, 1) : rest;
	return true;
}

static bool set_path(struct files_req *req, struct str a, struct str b)
{
	if (a.len + b.len >= sizeof(req->path))
		return false;
	if (a.len && a.p != req->path)
		memcpy(req->path, a.p, a.len);
	if (b.len)
		memcpy(req->path + a.len, b.p, b.len);
	req->path_len = a.len + b.len;
	req->path[req->path_len] = '\0';
	return true;
}

static struct str req_path(const struct files_req *req)
{
	return (struct str){req->path, req->path_len};
}

static bool is_folder_path(struct str path)
{
	return path.len == 0 || path.p[path.len - 1] == '/';
}

static struct str try_at(const struct files_config *config, unsigned at)
{
	return config->try_count ? config->tries[at] : STR("$path");
}

static bool is_plain_path(struct str element)
{
	return str_eq(element, STR("$path")) || str_eq(element, STR("$path/"));
}

/* Makes req->path from an element of `tries`. False: it means nothing for this path. */
static bool expand(struct files_req *req, struct str element)
{
	const struct files_config *config = req->files->config;
	struct str path;

	if (!str_starts(element, STR("$path")))
		return set_path(req, str_skip(element, 1), STR_NONE);
	if (!files_request_path(config, req->stream, &path))
		return false;
	if (is_plain_path(element))
		return set_path(req, path, STR_NONE);
	struct str suffix = str_skip(element, 5);

	if (suffix.p[0] == '/' && path.len && path.p[path.len - 1] == '/')
		path.len--;
	else if (is_folder_path(path))
		return false;
	if (path.len == 0)
		suffix = str_skip(suffix, 1);
	return set_path(req, path, suffix);
}

/* A fresh entry answers; otherwise the file is to be opened: true. */
static bool look_up(struct files_req *req)
{
	struct file_entry *entry = file_cache_get(&req->files->cache, req_path(req));

	if (entry && io_now_ns(req->files->loop) < entry->fresh_until_ns) {
		req->files->cache.hits++;
		files_answer(req, entry);
		return false;
	}
	req->files->cache.misses++;
	prepare_below_root(req, REQ_FILE);
	return true;
}

static bool wants_slash(const struct files_req *req, struct str element)
{
	struct str path = req->stream->request.path;

	return is_plain_path(element) && path.p[path.len - 1] != '/';
}

/* True: there is something to open. False: it was answered, or somebody else goes on. */
static bool next_candidate(struct files_req *req)
{
	const struct files_config *config = req->files->config;
	unsigned count = config->try_count ? config->try_count : 1;

	while (req->try_at < count) {
		struct str element = try_at(config, req->try_at);

		if (element.p[0] == '=') {
			uint64_t status = 404;

			str_to_u64(str_skip(element, 1), 599, &status);
			files_req_fail(req, (unsigned)status);
			return false;
		}
		if (!expand(req, element)) {
			req->try_at++;
			continue;
		}
		if (!is_folder_path(req_path(req))) {
			req->try_at++;
			return look_up(req);
		}
		if (wants_slash(req, element)) {
			req_redirect(req);
			return false;
		}
		if (req->index_at < config->index_count) {
			if (set_path(req, (struct str){req->path, req->path_len},
				     config->index[req->index_at++]))
				return look_up(req);
			continue;
		}
		req->try_at++;
		req->index_at = 0;
		if (config->listing) {
			req->state = REQ_LIST;
			listing_start(req);
			return false;
		}
	}
	files_req_fail(req, 404);
	return false;
}

/* --- what came of an open --- */

static void root_lost(struct files *files, int error)
{
	if (!files->root_gone)
		log_error("files: the folder %s is gone (%s); answering 503 until it is back",
			  files->config->root.p, err_text(error));
	files->root_gone = true;
	file_cache_clear(&files->cache);
}

/* Takes over fd, an O_PATH descriptor of what is now at the root's path. */
static void root_found(struct files *files, int fd)
{
	struct stat st;

	if (fstat(fd, &st) < 0) {
		root_lost(files, -errno);
		close(fd);
		return;
	}
	bool same =
		files->root_fd >= 0 && st.st_dev == files->root_dev && st.st_ino == files->root_ino;

	if (files->root_gone)
		log_info("files: the folder %s is back", files->config->root.p);
	files->root_gone = false;
	if (same) {
		close(fd);
		return;
	}
	file_cache_clear(&files->cache);
	files->root_dev = st.st_dev;
	files->root_ino = st.st_ino;
	if (files->root_fd < 0) {
		files->root_fd = fd;
		return;
	}
	/* The number stays, so that opens in flight do not meet a stranger's descriptor. */
	dup3(fd, files->root_fd, O_CLOEXEC);
	close(fd);
}

static bool root_opened(struct files_req *req, int fd)
{
	struct files *files = req->files;
	bool passing = files_open_status(fd) == 503;

	files->root_checked_ns = io_now_ns(files->loop);
	if (fd >= 0)
		root_found(files, fd);
	else if (!passing || files->root_fd < 0)
		root_lost(files, fd);
	if (files->root_gone) {
		files_req_fail(req, 503);
		return false;
	}
	return next_candidate(req);
}

static struct file_rep *make_rep(struct files *files, const struct file_id *id, struct str path,
				 enum http_coding coding, int fd)
{
	const struct files_config *config = files->config;
	const struct files_cache *cache = &config->cache;
	struct str type = mime_find(config, path).type;
	struct file_rep_make make = {
		.config = config,
		.path = path,
		.id = *id,
		.size = id->size,
		.coding = coding,
		.negotiated = config->precompressed || compress_offered(config, type, id->size),
		.now_ns = (int64_t)clock_realtime_ns(),
	};
	struct file_rep *rep = file_rep_new(&make);

	if (!rep)
		return NULL;
	rep->fd = fd;
	rep->looked_ns = io_now_ns(files->loop);
	rep->in_memory = cache->entries_max > 0 && id->size <= cache->file_bytes_max &&
			 id->size <= cache->bytes_max;
	return rep;
}

/* Makes req->entry from the open file, or finds that the cached one still holds. False without memory. */
static bool take_file(struct files_req *req, int fd, const struct file_id *id)
{
	struct files *files = req->files;
	struct file_entry *old = file_cache_get(&files->cache, req_path(req));

	if (old && file_id_same(&old->reps[HTTP_IDENTITY]->id, id) &&
	    !old->reps[HTTP_IDENTITY]->racy) {
		close(fd);
		old->reps[HTTP_IDENTITY]->looked_ns = io_now_ns(files->loop);
		old->refs++;
		req->entry = old;
		return true;
	}
	struct file_rep *rep = make_rep(files, id, req_path(req), HTTP_IDENTITY, fd);

	if (!rep) {
		close(fd);
		return false;
	}
	req->entry = file_entry_new(req_path(req), rep);
	if (!req->entry) {
		file_rep_unref(rep);
		return false;
	}
	req->entry->hidden = !files->config->hidden && is_hidden(req->entry->key);
	return true;
}

static void entry_complete(struct files_req *req)
{
	struct files *files = req->files;
	struct file_entry *entry = req->entry;
	const struct file_rep *identity = entry->reps[HTTP_IDENTITY];
	unsigned offered = 1u << HTTP_IDENTITY;

	for (unsigned c = 0; c < HTTP_CODING_COUNT; c++)
		offered |= entry->reps[c] ? 1u << c : 0;
	offered |=
		compress_offered(files->config, identity->type, identity->size) & ~entry->refused;
	entry->offered = (uint8_t)offered;
	entry->fresh_until_ns = io_now_ns(files->loop) + files->revalidate_ns;
	if (entry->cached)
		file_cache_recount(&files->cache, entry);
	else
		file_cache_put(&files->cache, entry);
	files_answer(req, entry);
}

static const char *side_extension(enum http_coding coding)
{
	static const char *const extensions[HTTP_CODING_COUNT] = {
		[HTTP_GZIP] = ".gz", [HTTP_BR] = ".br", [HTTP_ZSTD] = ".zst"};

	return extensions[coding];
}

/* True: a compressed file is to be looked for beside the one that was found. */
static bool next_side(struct files_req *req)
{
	while (req->sides) {
		enum http_coding coding = (enum http_coding)__builtin_ctz(req->sides);
		struct str key = req->entry->key;

		req->sides &= (uint8_t)(req->sides - 1);
		if (!set_path(req, key, str_from(side_extension(coding))))
			continue;
		req->coding = (uint8_t)coding;
		prepare_below_root(req, REQ_SIDE);
		return true;
	}
	entry_complete(req);
	return false;
}

/* 0 and *id for a regular file; -EISDIR; -ENXIO for anything else; -errno. */
static int stat_regular(int fd, struct file_id *id)
{
	struct stat st;

	if (fstat(fd, &st) < 0)
		return -errno;
	if (S_ISDIR(st.st_mode))
		return -EISDIR;
	if (!S_ISREG(st.st_mode))
		return -ENXIO;
	file_id_from_stat(id, &st);
	return 0;
}

static bool file_refused(struct files_req *req, int error)
{
	unsigned status = files_open_status(error);
	struct file_entry *old = file_cache_get(&req->files->cache, req_path(req));

	if ((error == -EMFILE || error == -ENFILE) && !req->shed) {
		req->shed = true;
		if (file_cache_shed_fds(&req->files->cache, SHED_FDS) > 0)
			return true;
	}
	if (old)
		file_cache_drop(&req->files->cache, old);
	if (status == 0)
		return next_candidate(req);
	if (status >= 500)
		files_log_error(req->files, "open", req_path(req), error);
	files_req_fail(req, status);
	return false;
}

static bool file_opened(struct files_req *req, int fd)
{
	struct file_id id = {0};
	int error = fd < 0 ? fd : stat_regular(fd, &id);

	if (error < 0 && fd >= 0)
		close(fd);
	/* index_at is 0 unless a name inside a folder was tried. */
	if (error == -EISDIR && req->index_at == 0 &&
	    is_plain_path(try_at(req->files->config, req->try_at - 1u))) {
		req_redirect(req);
		return false;
	}
	if (error < 0)
		return file_refused(req, error);
	if (!take_file(req, fd, &id)) {
		files_req_fail(req, 503);
		return false;
	}
	req->sides = (uint8_t)(req->files->config->precompressed & ~(1u << HTTP_IDENTITY) &
			       ((1u << HTTP_CODING_COUNT) - 1));
	return next_side(req);
}

/* A compressed file counts when it is at least as new as the original; times are compared in whole seconds. */
static bool side_counts(const struct file_id *side, const struct file_rep *identity)
{
	int64_t second = (int64_t)CLOCK_NS_PER_S;

	return side->size > 0 && side->mtime_ns / second >= identity->id.mtime_ns / second;
}

static bool side_opened(struct files_req *req, int fd)
{
	struct file_rep **place = &req->entry->reps[req->coding];
	struct file_id id = {0};
	int error = fd < 0 ? fd : stat_regular(fd, &id);

	if (error < 0 || !side_counts(&id, req->entry->reps[HTTP_IDENTITY])) {
		if (*place && !(*place)->generated) {
			file_rep_unref(*place);
			*place = NULL;
		}
	} else if (!*place || (*place)->generated || (*place)->racy ||
		   !file_id_same(&(*place)->id, &id)) {
		struct file_rep *rep = make_rep(req->files, &id, req->entry->key, req->coding, fd);

		if (rep) {
			file_rep_unref(*place);
			*place = rep;
			fd = -1;
		}
	} else {
		(*place)->looked_ns = io_now_ns(req->files->loop);
	}
	if (fd >= 0)
		close(fd);
	return next_side(req);
}

/* --- the driver --- */

static void req_run(struct files_req *req, int fd)
{
	bool more = true;

	for (;;) {
		switch (req->state) {
		case REQ_ROOT:
			more = root_opened(req, fd);
			break;
		case REQ_FILE:
			more = file_opened(req, fd);
			break;
		case REQ_SIDE:
			more = side_opened(req, fd);
			break;
		case REQ_LOAD:
		case REQ_COMPRESS:
		case REQ_LIST:
			assert(!"an open belongs to another state");
		}
		if (!more)
			return;
		fd = req_open(req);
		if (fd == -EINPROGRESS)
			return;
	}
}

static void req_opened(struct io_op *op, int result)
{
	struct files_req *req = SL_CONTAINER(op, struct files_req, op);

	req->in_flight = false;
	if (req->stream) {
		req_run(req, result);
		return;
	}
	if (result >= 0)
		close(result);
	files_req_free(req);
}

void files_req_next(struct files_req *req)
{
	if (!next_candidate(req))
		return;
	int fd = req_open(req);

	if (fd != -EINPROGRESS)
		req_run(req, fd);
}

void files_req_restart(struct files_req *req)
{
	if (req->restarts++ == FILES_RESTARTS_MAX) {
		files_req_fail(req, 503);
		return;
	}
	if (req->entry) {
		file_cache_drop(&req->files->cache, req->entry);
		file_entry_unref(req->entry);
		req->entry = NULL;
	}
	req->try_at = 0;
	req->index_at = 0;
	files_req_next(req);
}

int files_req_start(struct files *files, struct http_stream *s)
{
	struct files_stream *fs = s->data;
	bool check_root = io_now_ns(files->loop) - files->root_checked_ns >= files->root_check_ns;
	struct str path;

	if (!files_request_path(files->config, s, &path) ||
	    (!files->config->hidden && is_hidden(path)))
		return http_respond_error(s, 404);
	if (!check_root && files->root_gone)
		return http_respond_error(s, 503);
	struct files_req *req = slab_alloc(&req_pool);

	if (!req)
		return -ENOMEM;
	memset(req, 0, offsetof(struct files_req, path));
	req->files = files;
	req->stream = s;
	list_init(&req->waiter);
	files->refs++;
	fs->req = req;
	if (!check_root) {
		files_req_next(req);
		return 0;
	}
	req->state = REQ_ROOT;
	req->open = (struct io_openat){
		.dirfd = AT_FDCWD, .path = files->config->root.p, .flags = OPEN_ROOT};
	int fd = req_open(req);

	if (fd != -EINPROGRESS)
		req_run(req, fd);
	return 0;
}

void files_req_abandon(struct files_req *req)
{
	struct files_stream *fs = req->stream->data;

	fs->req = NULL;
	req->stream = NULL;
	list_del(&req->waiter);
	if (req->state == REQ_LIST) {
		listing_stop(req->listing);
		req->listing = NULL;
	}
	if (req->in_flight)
		io_cancel(&req->op);
	else
		files_req_free(req);
}
