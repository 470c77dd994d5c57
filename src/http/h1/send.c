// SPDX-License-Identifier: Apache-2.0
#include "http/h1/send.h"

#include <errno.h>

#include "http/fields.h"
#include "http/h1/put.h"

/* 16 digits + "\r\n", rounded up */
#define CHUNK_LINE 20

int h1_send_text(struct conn *conn, struct str text)
{
	uint8_t *p = conn_reserve(conn, text.len);

	if (!p)
		return conn->error ? conn->error : -ENOMEM;
	memcpy(p, text.p, text.len);
	conn_commit(conn, text.len);
	return 0;
}

int h1_send_chunk(struct pump *pump, struct seg s)
{
	char line[CHUNK_LINE];
	unsigned n = str_put_hex(line, s.len);

	memcpy(line + n, "\r\n", 2);
	int err = h1_send_text(pump->conn, (struct str){line, n + 2});
	if (err) {
		seg_release(&s);
		return err;
	}
	err = conn_send(pump->conn, s);
	return err ? err : h1_send_text(pump->conn, STR("\r\n"));
}

static int send_trailer(struct conn *conn, const struct http_field *f)
{
	size_t len = f->name.len + f->value.len + 4;
	uint8_t *p = len <= CONN_RESERVE_MAX ? conn_reserve(conn, len) : NULL;

	if (!p)
		return -ENOMEM;
	p = h1_put(h1_put(h1_put(p, f->name), STR(": ")), f->value);
	memcpy(p, "\r\n", 2);
	conn_commit(conn, len);
	return 0;
}

int h1_send_last_chunk(struct conn *conn, struct source *source)
{
	const struct http_fields *trailers =
		source->ops->trailers ? source->ops->trailers(source) : NULL;
	int err = h1_send_text(conn, STR("0\r\n"));

	for (unsigned i = 0; trailers && i < trailers->count && !err; i++)
		err = send_trailer(conn, &trailers->v[i]);
	return err ? err : h1_send_text(conn, STR("\r\n"));
}
