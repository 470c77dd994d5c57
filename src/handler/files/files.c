// SPDX-License-Identifier: Apache-2.0
#include "handler/files.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/err.h"
#include "handler/files/state.h"
#include "handler/reply.h"
#include "http/server.h"

/* The root is asked for at least this often when anything is. */
#define ROOT_CHECK_MS 1000
/* An index of a longer path is looked up the slow way. */
#define INDEX_KEY_BYTES 512
/* Descriptors that a cache may hold in any case. */
#define FDS_MIN 16

static const struct str index_default[] = {{"index.html", 10}};

void files_config_init(struct files_config *config)
{
	*config = (struct files_config){
		.root = STR("."),
		.index = index_default,
		.index_count = 1,
		.compress = {.size_min = 512, .size_max = 4 * 1024 * 1024},
		.cache = {.entries_max = 1024,
			  .bytes_max = 32 * 1024 * 1024,
			  .file_bytes_max = 256 * 1024,
			  .revalidate_ms = 1000},
		.default_type = STR("application/octet-stream"),
		.charset = STR("utf-8"),
	};
}

int files_try_check(struct str element, const char **why)
{
	uint64_t status;

	*why = NULL;
	if (element.len == 0 || memchr(element.p, '\0', element.len)) {
		*why = "is empty";
	} else if (element.p[0] == '=') {
		if (str_to_u64(str_skip(element, 1), 599, &status) < 0 || status < 400)
			*why = "a status after '=' is 400 to 599";
	} else if (element.p[0] == '/') {
		if (str_find(element, STR("/../")) >= 0 || str_ends(element, STR("/..")))
			*why = "leads out of the root";
	} else if (!str_starts(element, STR("$path"))) {
		*why = "begins with neither '$path', '/' nor '='";
	} else if (element.len > 5 && element.p[5] != '.' && element.p[5] != '/' &&
		   element.p[5] != '-' && element.p[5] != '_') {
		*why = "after '$path' stands nothing, or '/', '.', '-' or '_'";
	}
	return *why ? -EINVAL : 0;
}

void files_unref(struct files *files)
{
	if (--files->refs > 0)
		return;
	file_cache_clear(&files->cache);
	hash_destroy(&files->cache.table);
	warm_free(&files->warm);
	if (files->root_fd >= 0)
		close(files->root_fd);
	free(files);
}

static void warm_hold(struct warm *warm)
{
	SL_CONTAINER(warm, struct files, warm)->refs++;
}

static void warm_release(struct warm *warm)
{
	files_unref(SL_CONTAINER(warm, struct files, warm));
}

static void warm_failed(struct warm *warm, const struct file_rep *rep, int error)
{
	struct files *files = SL_CONTAINER(warm, struct files, warm);

	files_log_error(files, error == -ESTALE ? "finish" : "read", rep->path, error);
}

static const struct warm_calls warm_calls = {
	.hold = warm_hold, .release = warm_release, .failed = warm_failed};

/*
 * How many descriptors the cache of one route may hold: an eighth of the process's, shared by as many workers as
 * there are processors, so that connections have the rest.
 */
static uint32_t descriptors_max(uint32_t entries_max)
{
	long processors = sysconf(_SC_NPROCESSORS_ONLN);
	struct rlimit limit;

	if (getrlimit(RLIMIT_NOFILE, &limit) < 0 || limit.rlim_cur == RLIM_INFINITY)
		return entries_max;
	uint64_t share = limit.rlim_cur / 8 / (uint64_t)SL_MAX(processors, 1);

	return (uint32_t)SL_MIN(SL_MAX(share, (uint64_t)FDS_MIN), (uint64_t)entries_max);
}

static void open_root(struct files *files)
{
	struct stat st;

	files->root_fd = open(files->config->root.p, O_PATH | O_DIRECTORY | O_CLOEXEC);
	if (files->root_fd >= 0 && fstat(files->root_fd, &st) == 0) {
		files->root_dev = st.st_dev;
		files->root_ino = st.st_ino;
		return;
	}
	files->root_gone = true;
	log_error("files: cannot open the folder %s (%s); answering 503 until it is there",
		  files->config->root.p, err_text(errno));
}

static void *files_attach(const void *config, struct http_worker *worker)
{
	struct files *files = calloc(1, sizeof(*files));

	if (!files)
		return NULL;
	files->config = config;
	files->loop = worker->loop;
	files->refs = 1;
	files->direct =
		files->config->try_count == 0 || str_eq(files->config->tries[0], STR("$path"));
	files->revalidate_ns = files->config->cache.revalidate_ms * CLOCK_NS_PER_MS;
	files->root_check_ns =
		SL_MIN(files->config->cache.revalidate_ms, ROOT_CHECK_MS) * CLOCK_NS_PER_MS;
	files->root_checked_ns = io_now_ns(files->loop);
	file_cache_init(&files->cache, files->config->cache.entries_max,
			descriptors_max(files->config->cache.entries_max),
			files->config->cache.bytes_max);
	warm_init(&files->warm, files->loop, &warm_calls);
	open_root(files);
	return files;
}

static void files_detach(void *state)
{
	struct files *files = state;

	files->detached = true;
	file_cache_clear(&files->cache);
	files_unref(files);
}

/* The entry of the path itself, or of its first index; NULL when there is none or it must be looked at again. */
static struct file_entry *find_direct(struct files *files, const struct http_stream *s)
{
	const struct files_config *config = files->config;
	char with_index[INDEX_KEY_BYTES];
	struct str key;

	if (!files->direct || !files_request_path(config, s, &key))
		return NULL;
	if (key.len == 0 || key.p[key.len - 1] == '/') {
		struct str index = config->index_count ? config->index[0] : STR_NONE;

		/* Without its slash the top folder is to be redirected. */
		if (index.len == 0 || key.len + index.len > sizeof(with_index) ||
		    s->request.path.p[s->request.path.len - 1] != '/')
			return NULL;
		memcpy(mempcpy(with_index, key.p, key.len), index.p, index.len);
		key = (struct str){with_index, key.len + index.len};
	}
	struct file_entry *entry = file_cache_get(&files->cache, key);

	if (!entry || entry->hidden || io_now_ns(files->loop) >= entry->fresh_until_ns)
		return NULL;
	return entry;
}

static int files_open(void *state, struct http_stream *s)
{
	struct files *files = state;
	struct files_stream *fs;
	int result;

	if (SL_UNLIKELY(s->request.method != HTTP_GET && s->request.method != HTTP_HEAD))
		return reply_error_with(s, 405, HTTP_ALLOW, STR("GET, HEAD"));
	fs = arena_alloc(s->arena, sizeof(*fs));
	if (SL_UNLIKELY(!fs))
		return -ENOMEM;
	fs->rep = NULL;
	fs->req = NULL;
	s->data = fs;
	struct file_entry *entry = find_direct(files, s);

	if (SL_LIKELY(entry) && files_answer_now(files, s, entry, &result))
		return result;
	return files_req_start(files, s);
}

/* What is in flight ends by itself; its result is dropped. */
static void files_gone(struct http_stream *s)
{
	struct files_stream *fs = s->data;

	if (!fs || !fs->req)
		return;
	files_req_abandon(fs->req);
	http_reset(s, HTTP_ERROR_CANCEL);
}

static void files_on_close(struct http_stream *s, int why)
{
	struct files_stream *fs = s->data;

	if (!fs)
		return;
	assert(!fs->req);
	file_rep_unref(fs->rep);
	s->data = NULL;
}

const struct handler_ops files_handler = {
	.name = "files",
	.skips_body = true,
	.methods = 1u << HTTP_GET | 1u << HTTP_HEAD,
	.attach = files_attach,
	.detach = files_detach,
	.open = files_open,
	.gone = files_gone,
	.on_close = files_on_close,
};
