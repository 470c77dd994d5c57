// SPDX-License-Identifier: Apache-2.0
#include "handler/files/listing.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/source.h"
#include "handler/files/state.h"
#include "handler/reply.h"
#include "http/server.h"

#define SYMLINK_PATH_MAX 4096
/* Of the answer: FILES_LISTING_MAX names of the longest kind, escaped. */
#define LISTING_BYTES_MAX (32u * 1024 * 1024)

/* Owned by the loop while the folder is read, then by the segment of the response. */
struct listing {
	struct seg_owner owner;
	struct io_op op;
	struct files *files;
	struct files_req *req; /* NULL: nobody waits */
	struct arena arena;    /* shared: filled on the helper thread */
	struct str folder;     /* below the root */
	struct listing_view view;
	struct text text;
	int root_fd; /* our own */
	bool json, hidden, no_symlinks;
};

static void listing_free(struct seg_owner *owner)
{
	struct listing *listing = SL_CONTAINER(owner, struct listing, owner);

	text_free(&listing->text);
	arena_free(&listing->arena);
	if (listing->root_fd >= 0)
		close(listing->root_fd);
	free(listing);
}

void listing_sort_parse(struct str value, struct listing_view *view)
{
	view->descending = value.len > 0 && value.p[0] == '-';
	if (view->descending)
		value = str_skip(value, 1);
	view->sort = LISTING_NAME;
	if (str_eq(value, STR("size")))
		view->sort = LISTING_SIZE;
	else if (str_eq(value, STR("time")))
		view->sort = LISTING_TIME;
}

static int compare_names(struct str a, struct str b)
{
	int c = strncasecmp(a.p, b.p, SL_MIN(a.len, b.len));

	if (c == 0)
		c = (a.len > b.len) - (a.len < b.len);
	return c ? c : memcmp(a.p, b.p, a.len);
}

static int compare_items(const void *left, const void *right, void *arg)
{
	const struct listing_item *a = left, *b = right;
	const struct listing_view *view = arg;
	int c = 0;

	if (a->folder != b->folder)
		return a->folder ? -1 : 1;
	if (view->sort == LISTING_SIZE)
		c = (a->size > b->size) - (a->size < b->size);
	else if (view->sort == LISTING_TIME)
		c = (a->modified_s > b->modified_s) - (a->modified_s < b->modified_s);
	if (c == 0)
		c = compare_names(a->name, b->name);
	return view->descending ? -c : c;
}

void listing_sort_items(struct listing_view *view)
{
	if (view->count > 0)
		qsort_r(view->items, view->count, sizeof(view->items[0]), compare_items, view);
}

/* --- on the helper thread: touches only the listing --- */

static int open_below(const struct listing *listing, const char *path, uint64_t flags)
{
	struct open_how how = {
		.flags = flags | O_CLOEXEC,
		.resolve = RESOLVE_BENEATH | RESOLVE_NO_MAGICLINKS |
			   (listing->no_symlinks ? RESOLVE_NO_SYMLINKS : 0),
	};
	long fd = syscall(SYS_openat2, listing->root_fd, path, &how, sizeof(how));

	return fd < 0 ? -errno : (int)fd;
}

/* A symlink shows as what it leads to, when that is within the root. */
static int stat_symlink(const struct listing *listing, const char *name, struct stat *st)
{
	char path[SYMLINK_PATH_MAX];
	size_t folder = listing->folder.len, len = strlen(name);

	if (listing->no_symlinks || folder + len >= sizeof(path))
		return -ENOENT;
	if (folder)
		memcpy(path, listing->folder.p, folder);
	memcpy(path + folder, name, len + 1);
	int fd = open_below(listing, path, O_PATH);

	if (fd < 0)
		return fd;
	int error = fstat(fd, st) < 0 ? -errno : 0;

	close(fd);
	return error;
}

/* False when it is not shown. */
static bool look_at(const struct listing *listing, int dir_fd, const char *name, struct stat *st)
{
	if (strcmp(name, ".") == 0 || strcmp(name, "..") == 0 ||
	    (name[0] == '.' && !listing->hidden))
		return false;
	if (fstatat(dir_fd, name, st, AT_SYMLINK_NOFOLLOW) < 0)
		return false;
	if (S_ISLNK(st->st_mode) && stat_symlink(listing, name, st) < 0)
		return false;
	return S_ISREG(st->st_mode) || S_ISDIR(st->st_mode);
}

static int read_items(struct listing *listing, DIR *dir)
{
	struct listing_view *view = &listing->view;
	struct dirent *d;
	struct stat st;

	view->items = arena_alloc(&listing->arena, FILES_LISTING_MAX * sizeof(view->items[0]));
	if (!view->items)
		return -ENOMEM;
	for (errno = 0; (d = readdir(dir)) != NULL; errno = 0) {
		if (!look_at(listing, dirfd(dir), d->d_name, &st))
			continue;
		if (view->count == FILES_LISTING_MAX) {
			view->more = true;
			return 0;
		}
		struct listing_item *item = &view->items[view->count];

		item->name = arena_dup(&listing->arena, str_from(d->d_name));
		if (!item->name.p)
			return -ENOMEM;
		item->size = (uint64_t)st.st_size;
		item->modified_s = st.st_mtim.tv_sec;
		item->folder = S_ISDIR(st.st_mode);
		view->folders += item->folder;
		view->count++;
	}
	return -errno;
}

static int listing_run(struct io_op *op)
{
	struct listing *listing = SL_CONTAINER(op, struct listing, op);
	const char *path = listing->folder.len ? listing->folder.p : ".";
	int fd = open_below(listing, path, O_RDONLY | O_DIRECTORY);

	if (fd < 0)
		return fd;
	DIR *dir = fdopendir(fd);

	if (!dir) {
		close(fd);
		return -ENOMEM;
	}
	int error = read_items(listing, dir);

	closedir(dir);
	if (error < 0)
		return error;
	listing_sort_items(&listing->view);
	if (listing->json)
		listing_json(&listing->text, &listing->view);
	else
		listing_html(&listing->text, &listing->view, &listing->arena);
	return listing->text.full ? -ENOMEM : 0;
}

/* --- on the loop --- */

/* Nothing in a listing loads or runs anything but its own style. */
#define LISTING_POLICY                                                                         \
	"default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'; " \
	"frame-ancestors 'none'"

static int add_fields(struct http_stream *s, const struct listing *listing, struct http_head *head)
{
	struct str type = listing->json ? STR("application/json") : STR("text/html; charset=utf-8");
	const struct {
		enum http_name id;
		struct str value;
	} own[] = {
		{HTTP_CONTENT_TYPE, type},
		{HTTP_CACHE_CONTROL, STR("no-cache")},
		{HTTP_VARY, STR("Accept")},
		{HTTP_X_CONTENT_TYPE_OPTIONS, STR("nosniff")},
	};

	for (unsigned i = 0; i < SL_ARRAY_SIZE(own); i++) {
		if (http_fields_add(&head->fields, s->arena, own[i].id, own[i].value) < 0)
			return -ENOMEM;
	}
	return http_fields_add_named(&head->fields, s->arena, STR("Content-Security-Policy"),
				     STR(LISTING_POLICY));
}

static void listing_send(struct listing *listing, struct http_stream *s)
{
	struct http_head head = {.status = 200, .content_length = (int64_t)listing->text.len};
	struct source_seg *body = arena_alloc(s->arena, sizeof(*body));

	if (!body || add_fields(s, listing, &head) < 0) {
		http_stream_refuse(s, 503);
		return;
	}
	struct seg seg =
		seg_mem(listing->text.p, listing->text.len, seg_owner_ref(&listing->owner));

	http_respond(s, &head, source_seg_init(body, seg));
}

static void listing_done(struct io_op *op, int result)
{
	struct listing *listing = SL_CONTAINER(op, struct listing, op);
	struct files_req *req = listing->req;
	struct files *files = listing->files;

	files->listings--;
	if (req) {
		req->listing = NULL;
		unsigned status = result < 0 ? files_open_status(result) : 200;

		if (status >= 500)
			files_log_error(files, "list", listing->folder, result);
		if (status == 0)
			files_req_next(req);
		else if (result < 0)
			files_req_fail(req, status);
		else
			listing_send(listing, files_req_end(req));
	}
	seg_owner_unref(&listing->owner);
	files_unref(files);
}

static struct listing *listing_new(struct files_req *req)
{
	struct files *files = req->files;
	const struct http_stream *s = req->stream;
	struct listing *listing = calloc(1, sizeof(*listing));

	if (!listing)
		return NULL;
	listing->owner = (struct seg_owner){.refs = 1, .free = listing_free};
	listing->root_fd = fcntl(files->root_fd, F_DUPFD_CLOEXEC, 0);
	arena_init_shared(&listing->arena);
	text_init(&listing->text, LISTING_BYTES_MAX);
	listing->folder = arena_dup(&listing->arena, (struct str){req->path, req->path_len});
	listing->view.path = arena_dup(&listing->arena, s->request.path);
	listing->view.top = SL_MIN(files->config->strip.len, s->request.path.len);
	listing_sort_parse(reply_query_value(s->request.query, STR("sort")), &listing->view);
	listing->json = reply_wants_json(s);
	listing->hidden = files->config->hidden;
	listing->no_symlinks = files->config->no_symlinks;
	if (listing->root_fd < 0 || !listing->folder.p || !listing->view.path.p) {
		seg_owner_unref(&listing->owner);
		return NULL;
	}
	return listing;
}

void listing_start(struct files_req *req)
{
	struct files *files = req->files;
	struct listing *listing = files->listings < FILES_LISTINGS_MAX ? listing_new(req) : NULL;

	if (!listing) {
		files_req_fail(req, 503);
		return;
	}
	listing->files = files;
	listing->req = req;
	req->listing = listing;
	files->refs++;
	files->listings++;
	listing->op = (struct io_op){.cb = listing_done, .code = IO_WORK};
	listing->op.u.work.run = listing_run;
	io_submit(files->loop, &listing->op);
}

void listing_stop(struct listing *listing)
{
	listing->req = NULL;
}
