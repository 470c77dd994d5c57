// SPDX-License-Identifier: Apache-2.0
#include "handler/files/rep.h"

#include <fnmatch.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/clock.h"
#include "handler/files.h"
#include "handler/files/mime.h"
#include "http/date.h"

/*
 * Times of files advance with the kernel's tick (4 to 10 ms), on some file systems by seconds: two changes
 * within one step look like one. What changed less than this ago is read again at the next look.
 */
#define REP_RACY_NS (2 * (int64_t)CLOCK_NS_PER_S)

#define ETAG_BYTES_MAX 64
#define REP_FIELDS_FIXED \
	7 /* ETag, Last-Modified, Vary, Cache-Control, Content-Type, -Encoding, Accept-Ranges */

void file_id_from_stat(struct file_id *id, const struct stat *st)
{
	*id = (struct file_id){
		.dev = st->st_dev,
		.ino = st->st_ino,
		.size = (uint64_t)st->st_size,
		.mtime_ns = st->st_mtim.tv_sec * (int64_t)CLOCK_NS_PER_S + st->st_mtim.tv_nsec,
		.ctime_ns = st->st_ctim.tv_sec * (int64_t)CLOCK_NS_PER_S + st->st_ctim.tv_nsec,
	};
}

bool file_id_same(const struct file_id *a, const struct file_id *b)
{
	return a->ino == b->ino && a->dev == b->dev && a->size == b->size &&
	       a->mtime_ns == b->mtime_ns && a->ctime_ns == b->ctime_ns;
}

static void rep_free(struct seg_owner *owner)
{
	struct file_rep *rep = SL_CONTAINER(owner, struct file_rep, owner);

	if (rep->fd >= 0)
		close(rep->fd);
	if (rep->size > 0)
		free((void *)rep->content);
	free(rep);
}

/*
 * Size and time, not the inode, so that mirrors of one tree agree. Bytes compressed here carry another mark than
 * those found beside the file: the same file may be seen both ways.
 */
static size_t etag_print(const struct file_rep_make *make, char out[ETAG_BYTES_MAX])
{
	char *at = out;

	*at++ = '"';
	at += str_put_hex(at, (uint64_t)make->id.mtime_ns);
	*at++ = '-';
	at += str_put_hex(at, make->id.size);
	if (make->coding != HTTP_IDENTITY) {
		struct str name = http_coding_name(make->coding);
		*at++ = make->generated ? '.' : '-';
		memcpy(at, name.p, name.len);
		at += name.len;
	}
	*at++ = '"';
	return (size_t)(at - out);
}

static struct str cache_control_of(const struct files_config *config, struct str path)
{
	char whole[4096];
	size_t name = path.len;

	if (config->cache_control_count == 0 || path.len + 2 > sizeof(whole))
		return STR_NONE;
	whole[0] = '/';
	memcpy(whole + 1, path.p, path.len);
	whole[path.len + 1] = '\0';
	while (name > 0 && whole[name] != '/')
		name--;
	for (unsigned i = 0; i < config->cache_control_count; i++) {
		const struct files_pattern *pattern = &config->cache_control[i];
		const char *text = strchr(pattern->glob.p, '/') ? whole : whole + name + 1;

		if (fnmatch(pattern->glob.p, text, 0) == 0)
			return pattern->value;
	}
	return STR_NONE;
}

/* The text of the fields, which are gathered first so that one allocation holds everything. */
struct rep_draft {
	char etag[ETAG_BYTES_MAX], date[HTTP_DATE_BYTES], type[256];
	struct str etag_text, type_text;
	struct http_field *fields;
	unsigned count, meta_count;
	size_t bytes; /* of the HTTP/1 form */
};

static void draft_add(struct rep_draft *draft, enum http_name id, struct str value)
{
	struct str name = http_name_h1(id);

	draft->fields[draft->count++] = (struct http_field){.name = name, .value = value, .id = id};
	draft->bytes += name.len + value.len + 4;
}

static void draft_type(struct rep_draft *draft, const struct file_rep_make *make)
{
	struct mime mime = mime_find(make->config, make->path);
	struct str charset = make->config->charset;
	struct str infix = STR("; charset=");

	draft->type_text = mime.type;
	if (!mime.text || charset.len == 0 ||
	    mime.type.len + infix.len + charset.len > sizeof(draft->type))
		return;
	char *at = draft->type;
	at = mempcpy(at, mime.type.p, mime.type.len);
	at = mempcpy(at, infix.p, infix.len);
	at = mempcpy(at, charset.p, charset.len);
	draft->type_text = (struct str){draft->type, (size_t)(at - draft->type)};
}

static void draft_meta(struct rep_draft *draft, const struct file_rep_make *make)
{
	const struct files_config *config = make->config;
	struct str control = cache_control_of(config, make->path);

	if (!config->no_etag) {
		draft->etag_text = (struct str){draft->etag, etag_print(make, draft->etag)};
		draft_add(draft, HTTP_ETAG, draft->etag_text);
	}
	/* RFC 9110 section 8.8.2.1: no time that is later than the response itself. */
	if (make->id.mtime_ns <= make->now_ns && make->id.mtime_ns >= 0) {
		http_date_print(make->id.mtime_ns / (int64_t)CLOCK_NS_PER_S, draft->date);
		draft_add(draft, HTTP_LAST_MODIFIED, (struct str){draft->date, HTTP_DATE_BYTES});
	}
	if (make->negotiated)
		draft_add(draft, HTTP_VARY, STR("Accept-Encoding"));
	if (control.p)
		draft_add(draft, HTTP_CACHE_CONTROL, control);
	draft->meta_count = draft->count;
}

static void draft_content(struct rep_draft *draft, const struct file_rep_make *make)
{
	draft_type(draft, make);
	draft_add(draft, HTTP_CONTENT_TYPE, draft->type_text);
	if (make->coding != HTTP_IDENTITY)
		draft_add(draft, HTTP_CONTENT_ENCODING, http_coding_name(make->coding));
	draft_add(draft, HTTP_ACCEPT_RANGES, STR("bytes"));
}

/* Prints "Name: value" lines at `text` and makes the fields views of them. */
static void rep_print(struct file_rep *rep, const struct rep_draft *draft, char *text)
{
	char *at = text, *meta_end = text;

	for (unsigned i = 0; i < draft->count; i++) {
		const struct http_field *from = &draft->fields[i];
		struct http_field *to = &rep->fields[i];

		*to = *from;
		to->name.p = at;
		at = mempcpy(at, from->name.p, from->name.len);
		at = mempcpy(at, ": ", 2);
		to->value.p = at;
		at = mempcpy(at, from->value.p, from->value.len);
		at = mempcpy(at, "\r\n", 2);
		if (i + 1 == draft->meta_count)
			meta_end = at;
		if (from->id == HTTP_ETAG && draft->etag_text.p)
			rep->etag = to->value;
		else if (from->id == HTTP_CONTENT_TYPE)
			rep->type = to->value;
	}
	rep->full = (struct http_block){rep->fields, draft->count, {text, (size_t)(at - text)}};
	rep->meta = (struct http_block){
		rep->fields, draft->meta_count, {text, (size_t)(meta_end - text)}};
}

struct file_rep *file_rep_new(const struct file_rep_make *make)
{
	struct http_field fields[REP_FIELDS_FIXED];
	struct rep_draft draft;

	draft.fields = fields;
	draft.count = 0;
	draft.bytes = 0;
	draft.etag_text = STR_NONE;
	draft_meta(&draft, make);
	draft_content(&draft, make);

	size_t head = sizeof(struct file_rep) + draft.count * sizeof(struct http_field);
	struct file_rep *rep = malloc(head + draft.bytes + make->path.len);

	if (!rep)
		return NULL;
	*rep = (struct file_rep){
		.owner = {.refs = 1, .free = rep_free},
		.fd = -1,
		.coding = (uint8_t)make->coding,
		.generated = make->generated,
		.id = make->id,
		.size = make->size,
		.racy = make->now_ns - make->id.mtime_ns < REP_RACY_NS,
		.modified_s = -1,
	};
	if (make->id.mtime_ns <= make->now_ns && make->id.mtime_ns >= 0)
		rep->modified_s = make->id.mtime_ns / (int64_t)CLOCK_NS_PER_S;
	if (make->size == 0)
		rep->content = (const uint8_t *)"";
	rep_print(rep, &draft, (char *)rep + head);
	rep->path = (struct str){(char *)rep + head + draft.bytes, make->path.len};
	memcpy((char *)rep->path.p, make->path.p, make->path.len);
	return rep;
}

static void close_unneeded(struct file_rep *rep)
{
	if (!rep->content || rep->reads > 0 || rep->fd < 0)
		return;
	close(rep->fd);
	rep->fd = -1;
}

void file_rep_adopt(struct file_rep *rep, uint8_t *content)
{
	rep->content = content;
	close_unneeded(rep);
}

void file_rep_read_begin(struct file_rep *rep)
{
	rep->reads++;
}

void file_rep_read_end(struct file_rep *rep)
{
	rep->reads--;
	close_unneeded(rep);
}
