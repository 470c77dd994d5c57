// SPDX-License-Identifier: Apache-2.0
#include "handler/files/compress.h"

#include <errno.h>
#include <limits.h>
#include <stdlib.h>
#include <unistd.h>

#include "build_config.h"
#include "handler/files/body.h"
#include "handler/files/mime.h"

#if SLUICE_HAVE_ZLIB
#include <zlib.h>
#endif
#if SLUICE_HAVE_BROTLI
#include <brotli/encode.h>
#endif
#if SLUICE_HAVE_ZSTD
#include <zstd.h>
#endif

const struct str files_compress_types[] = {
	{"text/", 5},
	{"application/javascript", 22},
	{"application/json", 16},
	{"application/geo+json", 20},
	{"application/ld+json", 19},
	{"application/manifest+json", 25},
	{"application/x-ndjson", 20},
	{"application/xml", 15},
	{"application/atom+xml", 20},
	{"application/rss+xml", 19},
	{"application/xhtml+xml", 21},
	{"application/wasm", 16},
	{"application/yaml", 16},
	{"application/toml", 16},
	{"application/sql", 15},
	{"image/svg+xml", 13},
	{"image/bmp", 9},
	{"image/vnd.microsoft.icon", 24},
	{"font/ttf", 8},
	{"font/otf", 8},
};
const unsigned files_compress_type_count = SL_ARRAY_SIZE(files_compress_types);

/* What a coding takes; 0 chooses standard. */
static int pick_level(int level, int standard, int max)
{
	return level <= 0 ? standard : SL_MIN(level, max);
}

#if SLUICE_HAVE_ZLIB
#define GZIP_WINDOW_BITS (15 + 16) /* 16: with gzip's header and trailer */

static int compress_gzip(int level, const uint8_t *in, size_t len, uint8_t *out, size_t *out_len)
{
	z_stream z = {0};

	if (len > UINT_MAX)
		return -ENOSPC;
	if (deflateInit2(&z, pick_level(level, 6, 9), Z_DEFLATED, GZIP_WINDOW_BITS, 8,
			 Z_DEFAULT_STRATEGY) != Z_OK)
		return -ENOMEM;
	z.next_in = (Bytef *)in;
	z.avail_in = (uInt)len;
	z.next_out = out;
	z.avail_out = (uInt)*out_len;
	int result = deflate(&z, Z_FINISH);

	*out_len = z.total_out;
	deflateEnd(&z);
	return result == Z_STREAM_END ? 0 : -ENOSPC;
}
#endif

#if SLUICE_HAVE_BROTLI
static int compress_br(int level, const uint8_t *in, size_t len, uint8_t *out, size_t *out_len)
{
	int quality = pick_level(level, 5, BROTLI_MAX_QUALITY);

	return BrotliEncoderCompress(quality, BROTLI_DEFAULT_WINDOW, BROTLI_MODE_GENERIC, len, in,
				     out_len, out)
		     ? 0
		     : -ENOSPC;
}
#endif

#if SLUICE_HAVE_ZSTD
/* Above it the window grows over the 8 MiB that RFC 9659 lets clients refuse. */
#define ZSTD_LEVEL_MAX 19

static int compress_zstd(int level, const uint8_t *in, size_t len, uint8_t *out, size_t *out_len)
{
	size_t n = ZSTD_compress(out, *out_len, in, len, pick_level(level, 3, ZSTD_LEVEL_MAX));

	if (ZSTD_isError(n))
		return -ENOSPC;
	*out_len = n;
	return 0;
}
#endif

unsigned files_compress_codings(void)
{
	unsigned codings = 0;

	codings |= SLUICE_HAVE_ZLIB ? 1u << HTTP_GZIP : 0;
	codings |= SLUICE_HAVE_BROTLI ? 1u << HTTP_BR : 0;
	codings |= SLUICE_HAVE_ZSTD ? 1u << HTTP_ZSTD : 0;
	return codings;
}

static int compress_into(enum http_coding coding, int level, const uint8_t *in, size_t len,
			 uint8_t *out, size_t *out_len)
{
	switch (coding) {
#if SLUICE_HAVE_ZLIB
	case HTTP_GZIP:
		return compress_gzip(level, in, len, out, out_len);
#endif
#if SLUICE_HAVE_BROTLI
	case HTTP_BR:
		return compress_br(level, in, len, out, out_len);
#endif
#if SLUICE_HAVE_ZSTD
	case HTTP_ZSTD:
		return compress_zstd(level, in, len, out, out_len);
#endif
	default:
		return -EOPNOTSUPP;
	}
}

int compress_bytes(enum http_coding coding, int level, const uint8_t *in, size_t len, uint8_t **out,
		   size_t *out_len)
{
	/* Room for less than the original: a coder that runs out of it has not made it smaller. */
	size_t room = len - len / 16;
	uint8_t *bytes = malloc(room ? room : 1);

	if (!bytes)
		return -ENOMEM;
	size_t used = room;
	int error = compress_into(coding, level, in, len, bytes, &used);

	if (error < 0) {
		free(bytes);
		return error;
	}
	*out = realloc(bytes, used);
	if (!*out)
		*out = bytes;
	*out_len = used;
	return 0;
}

static int read_whole(int fd, uint8_t *bytes, size_t len)
{
	for (size_t at = 0; at < len;) {
		ssize_t n = pread(fd, bytes + at, len - at, (off_t)at);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -errno;
		if (n == 0)
			return -ESTALE;
		at += (size_t)n;
	}
	return 0;
}

int compress_rep(const struct file_rep *rep, enum http_coding coding, int level, uint8_t **out,
		 size_t *out_len)
{
	if (rep->content)
		return compress_bytes(coding, level, rep->content, rep->size, out, out_len);
	uint8_t *bytes = malloc(rep->size);

	if (!bytes)
		return -ENOMEM;
	int error = read_whole(rep->fd, bytes, rep->size);

	if (error == 0)
		error = file_rep_look(rep);
	if (error == 0)
		error = compress_bytes(coding, level, bytes, rep->size, out, out_len);
	free(bytes);
	return error;
}

unsigned compress_offered(const struct files_config *config, struct str type, uint64_t size)
{
	const struct files_compress *c = &config->compress;
	const struct str *types = c->type_count ? c->types : files_compress_types;
	unsigned count = c->type_count ? c->type_count : files_compress_type_count;

	/* Without a cache each request would compress anew. */
	if (!c->codings || size < c->size_min || size > c->size_max || size == 0 ||
	    config->cache.entries_max == 0 || size > config->cache.bytes_max)
		return 0;
	return mime_listed(type, types, count) ? c->codings & files_compress_codings() : 0;
}
