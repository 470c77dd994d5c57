// SPDX-License-Identifier: Apache-2.0
#include <assert.h>
#include <errno.h>

#include "base/clock.h"
#include "handler/files/ranges.h"
#include "handler/files/state.h"
#include "handler/reply.h"
#include "http/server.h"

/* What stands between an entry and its response. */
enum need {
	NEED_NOTHING,
	NEED_LOAD,     /* its bytes belong in memory and are not there */
	NEED_COMPRESS, /* the coding is still to be made */
	NEED_OPEN,     /* the open file is not what it was */
};

static enum need rep_need(struct files *files, const struct http_stream *s, struct file_rep *rep)
{
	uint64_t now_ns = io_now_ns(files->loop);

	if (rep->content || s->request.method == HTTP_HEAD)
		return NEED_NOTHING;
	if (rep->in_memory)
		return NEED_LOAD;
	if (rep->looked_ns != now_ns) {
		if (file_rep_look(rep) < 0)
			return NEED_OPEN;
		rep->looked_ns = now_ns;
	}
	return NEED_NOTHING;
}

/* Chooses the representation for a client, and says what it needs. */
static enum need pick(struct files *files, const struct http_stream *s, struct file_entry *entry,
		      enum http_coding *coding, struct file_rep **rep)
{
	struct file_rep *identity = entry->reps[HTTP_IDENTITY];

	assert(identity);
	*coding = HTTP_IDENTITY;
	if (entry->offered != 1u << HTTP_IDENTITY)
		*coding = http_coding_choose(&s->request, entry->offered);
	*rep = entry->reps[*coding];
	if (*rep)
		return rep_need(files, s, *rep);
	*rep = identity;
	return identity->in_memory && !identity->content ? NEED_LOAD : NEED_COMPRESS;
}

/* What fails from here on is the wire's to show; the stream may be gone. */
static int respond(struct http_stream *s, const struct http_head *head, struct source *body)
{
	(void)http_respond(s, head, body);
	return 0;
}

static struct source *body_of(struct files *files, struct http_stream *s, struct file_rep *rep,
			      uint64_t off, uint64_t len)
{
	struct files_stream *fs = s->data;

	if (len == 0 || s->request.method == HTTP_HEAD)
		return NULL;
	return file_body_init_range(&fs->body, &files->warm, rep, off, len, rep->looked_ns);
}

static int send_whole(struct files *files, struct http_stream *s, struct file_rep *rep)
{
	struct http_head head = {
		.status = 200,
		.block = &rep->full,
		.content_length = (int64_t)rep->size,
	};

	return respond(s, &head, body_of(files, s, rep, 0, rep->size));
}

static int send_range(struct files *files, struct http_stream *s, struct file_rep *rep,
		      const struct http_range *range)
{
	uint64_t len = range->last - range->first + 1;
	struct http_head head = {
		.status = 206,
		.block = &rep->full,
		.content_length = (int64_t)len,
	};
	struct str where = ranges_content_range(s->arena, range, rep->size);

	if (!where.p || http_fields_add(&head.fields, s->arena, HTTP_CONTENT_RANGE, where) < 0)
		return -ENOMEM;
	return respond(s, &head, body_of(files, s, rep, range->first, len));
}

static int send_ranges(struct files *files, struct http_stream *s, struct file_rep *rep,
		       const struct http_range *ranges, unsigned count)
{
	struct files_stream *fs = s->data;
	struct ranges_multipart multi;
	struct http_head head = {.status = 206, .block = &rep->meta};

	if (ranges_multipart(s->arena, rep, ranges, count, &multi) < 0 ||
	    http_fields_add(&head.fields, s->arena, HTTP_CONTENT_TYPE, multi.type) < 0 ||
	    http_fields_add(&head.fields, s->arena, HTTP_ACCEPT_RANGES, STR("bytes")) < 0)
		return -ENOMEM;
	if (rep->coding != HTTP_IDENTITY &&
	    http_fields_add(&head.fields, s->arena, HTTP_CONTENT_ENCODING,
			    http_coding_name(rep->coding)) < 0)
		return -ENOMEM;
	head.content_length = (int64_t)multi.length;
	return respond(s, &head,
		       file_body_init(&fs->body, &files->warm, rep, multi.pieces, multi.count,
				      rep->looked_ns));
}

static int send_not_modified(struct http_stream *s, struct file_rep *rep)
{
	struct http_head head = {.status = 304, .block = &rep->meta, .content_length = -1};

	return respond(s, &head, NULL);
}

/* RFC 9110 sections 13.2.2 and 14.2: first the conditions, then the range. */
static int send_conditional(struct files *files, struct http_stream *s, struct file_rep *rep)
{
	struct http_range ranges[HTTP_RANGES_MAX];
	int64_t now_s = (int64_t)(clock_realtime_ns() / CLOCK_NS_PER_S);

	switch (http_precondition(&s->request, rep->etag, rep->modified_s, now_s)) {
	case HTTP_PRE_NOT_MODIFIED:
		return send_not_modified(s, rep);
	case HTTP_PRE_FAILED:
		http_stream_refuse(s, 412);
		return 0;
	case HTTP_PRE_SEND:
		break;
	}
	struct str range = http_fields_get(&s->request.fields, HTTP_RANGE);

	if (!range.p || s->request.method != HTTP_GET ||
	    !http_if_range(&s->request, rep->etag, rep->modified_s, now_s))
		return send_whole(files, s, rep);
	int count = http_range_parse(range, rep->size, ranges);

	if (count == -ERANGE)
		return reply_error_with(s, 416, HTTP_CONTENT_RANGE,
					ranges_content_range(s->arena, NULL, rep->size));
	if (count <= 0)
		return send_whole(files, s, rep);
	if (count == 1)
		return send_range(files, s, rep, &ranges[0]);
	return send_ranges(files, s, rep, ranges, (unsigned)count);
}

static int send_rep(struct files *files, struct http_stream *s, struct file_rep *rep)
{
	struct files_stream *fs = s->data;
	const uint8_t *first = s->request.fields.first;

	fs->rep = file_rep_ref(rep);
	if (SL_UNLIKELY(first[HTTP_RANGE] | first[HTTP_IF_NONE_MATCH] |
			first[HTTP_IF_MODIFIED_SINCE] | first[HTTP_IF_MATCH] |
			first[HTTP_IF_UNMODIFIED_SINCE]))
		return send_conditional(files, s, rep);
	return send_whole(files, s, rep);
}

bool files_answer_now(struct files *files, struct http_stream *s, struct file_entry *entry,
		      int *result)
{
	enum http_coding coding;
	struct file_rep *rep;

	if (pick(files, s, entry, &coding, &rep) != NEED_NOTHING)
		return false;
	entry->used = true;
	files->cache.hits++;
	*result = send_rep(files, s, rep);
	return true;
}

/* Ends the request, then sends: the stream may be gone when http_respond returns. */
static void end_and_send(struct files_req *req, struct file_rep *rep)
{
	struct files *files = req->files;
	struct file_rep *held = file_rep_ref(rep);
	struct http_stream *s = files_req_end(req);
	int result = send_rep(files, s, rep);

	if (result < 0 && !s->responded)
		http_stream_refuse(s, result == -ENOMEM ? 503 : 500);
	file_rep_unref(held);
}

void files_answer(struct files_req *req, struct file_entry *entry)
{
	struct files *files = req->files;
	enum http_coding coding;
	struct file_rep *rep;
	enum need need = pick(files, req->stream, entry, &coding, &rep);

	entry->used = true;
	if (req->entry != entry) {
		entry->refs++;
		file_entry_unref(req->entry);
		req->entry = entry;
	}
	if (need == NEED_COMPRESS) {
		if (files_compress(req, coding))
			return;
		need = rep_need(files, req->stream, rep);
	}
	if (need == NEED_LOAD)
		files_load(req, rep);
	else if (need == NEED_OPEN)
		files_req_restart(req);
	else
		end_and_send(req, rep);
}
