// SPDX-License-Identifier: Apache-2.0
#include "net/client_hello.h"

#include <assert.h>
#include <errno.h>
#include <string.h>

/* RFC 8446 sections 4, 4.2 and 5.1; RFC 6066 section 3. */
#define RECORD_HANDSHAKE 22
#define RECORD_MAX 16384
#define HANDSHAKE_CLIENT_HELLO 1
#define HANDSHAKE_HEADER 4
#define EXTENSION_SERVER_NAME 0
#define EXTENSION_ALPN 16
#define NAME_HOST 0
#define NAME_MAX_BYTES 255

/* What is left to be read; ok falls when more is asked for than there is. */
struct cursor {
	const uint8_t *p;
	size_t len;
	bool ok;
};

static struct cursor cursor_take(struct cursor *c, size_t n)
{
	struct cursor part = {c->p, n, c->ok && n <= c->len};

	if (!part.ok) {
		*c = (struct cursor){0};
		return (struct cursor){0};
	}
	c->p += n;
	c->len -= n;
	return part;
}

static size_t cursor_number(struct cursor *c, unsigned bytes)
{
	struct cursor part = cursor_take(c, bytes);
	size_t n = 0;

	for (size_t i = 0; part.ok && i < bytes; i++)
		n = n << 8 | part.p[i];
	return n;
}

/* A vector with its length in front. */
static struct cursor cursor_vector(struct cursor *c, unsigned length_bytes)
{
	size_t n = cursor_number(c, length_bytes);

	return cursor_take(c, n);
}

static bool name_is_fit(const struct cursor *name)
{
	if (!name->ok || !name->len || name->len > NAME_MAX_BYTES)
		return false;
	for (size_t i = 0; i < name->len; i++)
		if (name->p[i] <= ' ' || name->p[i] >= 0x7f)
			return false;
	return true;
}

static const char *read_server_name(struct client_hello *h, struct cursor ext)
{
	static const char *const broken = "the server_name extension is broken";
	struct cursor list = cursor_vector(&ext, 2);

	if (h->server_name.len)
		return "server_name comes twice";
	if (!list.ok || !list.len || ext.len)
		return broken;
	while (list.len) {
		size_t type = cursor_number(&list, 1);
		struct cursor name = cursor_vector(&list, 2);

		if (!list.ok || (type == NAME_HOST && (!name_is_fit(&name) || h->server_name.len)))
			return broken;
		if (type == NAME_HOST)
			h->server_name = (struct str){(const char *)name.p, name.len};
	}
	if (str_ends(h->server_name, STR(".")))
		h->server_name.len--;
	return NULL;
}

static const char *read_alpn(struct client_hello *h, struct cursor ext)
{
	struct cursor list = cursor_vector(&ext, 2), all = list;

	if (h->alpn.len)
		return "the list of protocols comes twice";
	if (!list.ok || !list.len || ext.len)
		return "the list of protocols is broken";
	while (list.len) {
		struct cursor name = cursor_vector(&list, 1);

		if (!name.ok || !name.len)
			return "the list of protocols is broken";
	}
	h->alpn = (struct str){(const char *)all.p, all.len};
	return NULL;
}

static const char *read_extensions(struct client_hello *h, struct cursor *c)
{
	struct cursor list = cursor_vector(c, 2);
	const char *why = NULL;

	if (!list.ok || c->len)
		return "the extensions are broken";
	while (list.len && !why) {
		size_t type = cursor_number(&list, 2);
		struct cursor ext = cursor_vector(&list, 2);

		if (!ext.ok)
			return "the extensions are broken";
		if (type == EXTENSION_SERVER_NAME)
			why = read_server_name(h, ext);
		else if (type == EXTENSION_ALPN)
			why = read_alpn(h, ext);
	}
	return why;
}

static const char *read_message(struct client_hello *h, const uint8_t *p, size_t len)
{
	struct cursor c = {p, len, true};

	cursor_take(&c, 2 + 32); /* legacy_version, random */
	struct cursor session = cursor_vector(&c, 1);
	struct cursor suites = cursor_vector(&c, 2);
	struct cursor compression = cursor_vector(&c, 1);

	if (!c.ok || session.len > 32 || suites.len < 2 || suites.len % 2 || !compression.len)
		return "the ClientHello is broken";
	/* TLS 1.2 and older may come without any. */
	return c.len ? read_extensions(h, &c) : NULL;
}

static size_t message_bytes(const struct client_hello *h)
{
	const uint8_t *p = h->message->data;

	return HANDSHAKE_HEADER + ((size_t)p[1] << 16 | (size_t)p[2] << 8 | p[3]);
}

/* The header of a record is whole. */
static const char *begin_record(struct client_hello *h)
{
	const uint8_t *r = h->header;

	h->record_left = (uint32_t)r[3] << 8 | r[4];
	if (r[0] != RECORD_HANDSHAKE || r[1] != 3)
		return "it is not TLS";
	if (!h->record_left || h->record_left > RECORD_MAX)
		return "a record has a forbidden length";
	return NULL;
}

/* Bytes of a record's content. 0: whole, -EAGAIN, -EBADMSG. */
static int take_content(struct client_hello *h, const uint8_t *p, size_t n, const char **why)
{
	struct buf *b = h->message;

	assert(n <= BUF_CAPACITY - b->end);
	memcpy(b->data + b->end, p, n);
	b->end += (uint32_t)n;
	if (b->data[0] != HANDSHAKE_CLIENT_HELLO) {
		*why = "it does not begin with a ClientHello";
		return -EBADMSG;
	}
	if (b->end < HANDSHAKE_HEADER)
		return -EAGAIN;
	size_t whole = message_bytes(h);
	if (whole > BUF_CAPACITY) {
		*why = "the ClientHello is longer than 16 KiB";
		return -EBADMSG;
	}
	if (b->end < whole)
		return -EAGAIN;
	*why = read_message(h, b->data + HANDSHAKE_HEADER, whole - HANDSHAKE_HEADER);
	h->whole = !*why;
	return *why ? -EBADMSG : 0;
}

int client_hello_feed(struct client_hello *h, const uint8_t *p, size_t len, const char **why)
{
	int result = -EAGAIN;

	assert(!h->whole);
	if (!h->message && !(h->message = buf_alloc()))
		return -ENOMEM;
	while (len && result == -EAGAIN) {
		size_t n = 1;

		if (h->fed >= CLIENT_HELLO_MAX) {
			*why = "the ClientHello is longer than 16 KiB";
			return -EBADMSG;
		}
		if (h->record_left) {
			n = SL_MIN(SL_MIN(len, h->record_left), CLIENT_HELLO_MAX - h->fed);
			h->record_left -= (uint32_t)n;
			result = take_content(h, p, n, why);
		} else {
			h->header[h->header_len++] = *p;
			if (h->header_len == sizeof(h->header)) {
				h->header_len = 0;
				*why = begin_record(h);
				result = *why ? -EBADMSG : -EAGAIN;
			}
		}
		h->fed += (uint32_t)n;
		p += n;
		len -= n;
	}
	return result;
}

void client_hello_free(struct client_hello *h)
{
	buf_unref(h->message);
	*h = (struct client_hello){0};
}

bool client_hello_offers(const struct client_hello *h, struct str protocol)
{
	struct cursor list = {(const uint8_t *)h->alpn.p, h->alpn.len, true};

	while (list.len) {
		struct cursor name = cursor_vector(&list, 1);

		if (str_eq((struct str){(const char *)name.p, name.len}, protocol))
			return true;
	}
	return false;
}

bool client_hello_asks_for(const struct client_hello *h, struct str pattern)
{
	struct str name = h->server_name;

	if (!str_starts(pattern, STR("*.")))
		return str_eq_nocase(name, pattern);
	struct str suffix = str_skip(pattern, 1);
	return name.len > suffix.len &&
	       str_eq_nocase(str_skip(name, name.len - suffix.len), suffix);
}
