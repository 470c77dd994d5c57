// SPDX-License-Identifier: Apache-2.0
// The chunked decoder: every body here is decoded whole, byte by byte, and split at every position.
#include <stdio.h>
#include <stdlib.h>

#include "http/h1/parse.h"
#include "unit.h"

/* Feeds one piece; returns the bytes taken of it. */
static size_t feed(struct h1_chunked *c, const char *piece, size_t n, FILE *data_out,
		   enum h1_chunk *result)
{
	/* Just as large as what is fed, so that a sanitizer sees a byte too many. */
	uint8_t *copy = malloc(n ? n : 1);
	size_t at = 0;

	assert_non_null(copy);
	memcpy(copy, piece, n);
	do {
		const uint8_t *data = NULL;
		size_t len = n - at, data_len = 0;

		*result = h1_chunked_next(c, copy + at, &len, &data, &data_len);
		at += len;
		if (*result == H1_CHUNK_DATA) {
			assert_true(data_len > 0);
			fwrite(data, 1, data_len, data_out);
		}
	} while (*result == H1_CHUNK_DATA);
	free(copy);
	return at;
}

/* What a body decodes to: its data, the bytes taken, why it was refused and the trailers, as text. */
static char *decode(struct str in, size_t cut, size_t step, bool trailers, enum h1_chunk *result)
{
	struct h1_chunked c = {.state = 0};
	struct arena arena;
	char *text = NULL;
	size_t len, at, fed = cut;
	FILE *f = open_memstream(&text, &len);

	assert_non_null(f);
	arena_init(&arena, 0);
	c.arena = trailers ? &arena : NULL;
	at = feed(&c, in.p, fed, f, result);
	while (*result == H1_CHUNK_MORE && fed < in.len) {
		assert_int_equal(at, fed);
		fed = in.len - fed < step ? in.len : fed + step;
		at += feed(&c, in.p + at, fed - at, f, result);
	}
	fprintf(f, "|%zu %s", at, c.why ? c.why : "-");
	for (unsigned i = 0; c.trailers && i < c.trailers->count; i++)
		fprintf(f, "|%.*s=%.*s", STR_ARG(c.trailers->v[i].name),
			STR_ARG(c.trailers->v[i].value));
	fclose(f);
	arena_free(&arena);
	return text;
}

static void expect_result(enum h1_chunk expected, struct str in, bool trailers, const char *text)
{
	enum h1_chunk result;
	char *whole = decode(in, in.len, 1, trailers, &result);

	if (result != expected || (text && strcmp(whole, text) != 0))
		print_error("%.*s: %d, %s\n", (int)(in.len < 100 ? in.len : 100), in.p, result,
			    whole);
	assert_int_equal(result, expected);
	if (text)
		assert_string_equal(whole, text);
	for (size_t cut = 0; cut <= in.len; cut++) {
		/* 0 stands for byte by byte; large bodies are cut in a few places. */
		enum h1_chunk split_result;
		char *split;

		if (in.len > 1000 && cut > 1 && cut % 997)
			continue;
		split = decode(in, cut, cut ? in.len : 1, trailers, &split_result);
		assert_int_equal(split_result, result);
		assert_string_equal(split, whole);
		free(split);
	}
	free(whole);
}

#define expect_end(literal, text) expect_result(H1_CHUNK_END, STR(literal), true, text)
#define expect_bad(literal) expect_result(H1_CHUNK_BAD, STR(literal), true, NULL)
#define expect_more(literal) expect_result(H1_CHUNK_MORE, STR(literal), true, NULL)

static void test_bodies(void **state)
{
	expect_end("0\r\n\r\n", "|5 -");
	expect_end("000\r\n\r\n", "|7 -");
	expect_end("5\r\nhello\r\n0\r\n\r\n", "hello|15 -");
	expect_end("5\r\nhello\r\n1\r\n \r\n5;x=y\r\nworld\r\n0;z\r\n\r\n", "hello world|37 -");
	expect_end("0a\r\n\r\n0\r\n\r\n\r\n0\r\n0\r\n\r\n", "\r\n0\r\n\r\n\r\n0|21 -");
	expect_end("A\r\n0123456789\r\na\r\n0123456789\r\n0\r\n\r\n", "01234567890123456789|35 -");
}

static void test_what_follows_the_body_is_left_alone(void **state)
{
	expect_end("1\r\nx\r\n0\r\n\r\nGET / HTTP/1.1\r\n", "x|11 -");
}

static void test_incomplete_bodies_want_more(void **state)
{
	expect_more("");
	expect_more("5");
	expect_more("5\r\nhell");
	expect_more("5\r\nhello");
	expect_more("5\r\nhello\r\n0\r\n");
	expect_more("0\r\nA: b\r\n");
	expect_more("0\r\n\r");
}

static void test_nothing_is_taken_after_the_end_or_a_refusal(void **state)
{
	static const struct {
		const char *text;
		enum h1_chunk result;
	} table[] = {{"0\r\n\r\n", H1_CHUNK_END}, {"x", H1_CHUNK_BAD}};

	for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++) {
		struct h1_chunked c = {.state = 0};
		const uint8_t *in = (const uint8_t *)table[i].text, *data;
		size_t len = strlen(table[i].text), data_len;

		assert_int_equal(h1_chunked_next(&c, in, &len, &data, &data_len), table[i].result);
		len = strlen(table[i].text);
		assert_int_equal(h1_chunked_next(&c, in, &len, &data, &data_len), table[i].result);
		assert_int_equal(len, 0);
	}
}

static void test_rule_9_sizes(void **state)
{
	expect_more("fffffffffffff\r\n");
	expect_end("0000000000000\r\n\r\n", NULL);
	expect_bad("00000000000000\r\n\r\n");
	expect_bad("fffffffffffffff");
	expect_bad("\r\n");
	expect_bad(" 5\r\n");
	expect_bad("5 \r\n");
	expect_bad("5 ;x\r\n");
	expect_bad("+5\r\n");
	expect_bad("-5\r\n");
	expect_bad("0x5\r\n");
	expect_bad("5g\r\n");
	expect_bad("5h\r\nhello\r\n");
	expect_bad(";x\r\n");
	expect_bad("\x85\r\n");
}

static void test_rule_9_line_ends(void **state)
{
	expect_bad("5\nhello\r\n0\r\n\r\n");
	expect_bad("5\rhello\r\n0\r\n\r\n");
	expect_bad("5\r\r\nhello\r\n0\r\n\r\n");
	expect_bad("5\r\nhello\n0\r\n\r\n");
	expect_bad("5\r\nhello\r0\r\n\r\n");
	expect_bad("5\r\nhello!\r\n0\r\n\r\n");
	expect_bad("5\r\nhell\r\n0\r\n\r\n");
	expect_bad("0\n\r\n");
	expect_bad("0\r\n\n");
	expect_bad("0\r\n\rx");
	expect_bad("5;x\nhello\r\n0\r\n\r\n");
	expect_bad("5;x\ry\r\nhello\r\n0\r\n\r\n");
	expect_bad("5;x\x7f\r\nhello\r\n0\r\n\r\n");
	expect_result(H1_CHUNK_BAD, (struct str){"5;\0\r\nhello", 10}, true, NULL);
}

/* `chunks` of one byte, each with an extension of `ext` bytes, its ';' counted, and the end. */
static struct str with_extensions(unsigned chunks, unsigned ext)
{
	char filler[H1_CHUNK_EXT_MAX + 1];
	char *text = NULL;
	size_t len;
	FILE *f = open_memstream(&text, &len);

	assert_non_null(f);
	memset(filler, 'x', sizeof(filler));
	for (unsigned i = 0; i < chunks; i++)
		fprintf(f, "1;%.*s\r\nx\r\n", (int)ext - 1, filler);
	fprintf(f, "0\r\n\r\n");
	fclose(f);
	return (struct str){text, len};
}

static void test_rule_9_extensions_at_the_limits(void **state)
{
	static const struct {
		unsigned chunks, ext;
		enum h1_chunk result;
	} table[] = {
		{1, H1_CHUNK_EXT_MAX, H1_CHUNK_END},
		{1, H1_CHUNK_EXT_MAX + 1, H1_CHUNK_BAD},
		{H1_CHUNK_EXT_SUM_MAX / H1_CHUNK_EXT_MAX, H1_CHUNK_EXT_MAX, H1_CHUNK_END},
		{H1_CHUNK_EXT_SUM_MAX / H1_CHUNK_EXT_MAX + 1, H1_CHUNK_EXT_MAX, H1_CHUNK_BAD},
		{H1_CHUNK_EXT_SUM_MAX / 2, 2, H1_CHUNK_END},
		{H1_CHUNK_EXT_SUM_MAX / 2 + 1, 2, H1_CHUNK_BAD},
		{H1_CHUNK_EXT_SUM_MAX, 1, H1_CHUNK_END},
		{H1_CHUNK_EXT_SUM_MAX + 1, 1, H1_CHUNK_BAD},
	};

	for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++) {
		struct str text = with_extensions(table[i].chunks, table[i].ext);

		expect_result(table[i].result, text, true, NULL);
		free((char *)text.p);
	}
}

static void test_trailers(void **state)
{
	expect_end("0\r\nA: b\r\n\r\n", "|11 -|A=b");
	expect_end("1\r\nx\r\n0\r\nA: b\r\nETag:  \"c\" \t\r\nD:\r\n\r\n",
		   "x|35 -|A=b|ETag=\"c\"|D=");
	expect_result(H1_CHUNK_END, STR("0\r\nA: b\r\n\r\n"), false, "|11 -");
}

static void test_rule_10_names_that_are_dropped(void **state)
{
	static const char *const names[] = {
		"Transfer-Encoding",
		"content-length",
		"Host",
		"Trailer",
		"Connection",
		"TE",
		"Authorization",
		"Cookie",
		"Set-Cookie",
		"Forwarded",
		"X-Forwarded-For",
		"X-Forwarded-Any",
		"Content-Type",
		"Max-Forwards",
		"If-Match",
		"a_b",
		"Proxy-Authenticate",
		"Proxy-Authorization",
		"Range",
		"Expect",
	};
	char text[128], expected[32];

	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
		snprintf(text, sizeof(text), "0\r\n%s: 5\r\nA: b\r\n\r\n", names[i]);
		snprintf(expected, sizeof(expected), "|%zu -|A=b", strlen(text));
		expect_result(H1_CHUNK_END, str_from(text), true, expected);
	}
}

static void test_trailers_that_are_none(void **state)
{
	static const char *const lines[] = {" A: b",   "\tA: b",   "A : b",  "A",
					    ": b",     "A b: c",   "A: b\n", "A: b\rc",
					    "A: \x01", "A\x80: b", "A: \x7f"};
	char text[64];

	for (size_t i = 0; i < sizeof(lines) / sizeof(lines[0]); i++) {
		snprintf(text, sizeof(text), "0\r\n%s\r\n\r\n", lines[i]);
		expect_result(H1_CHUNK_BAD, str_from(text), true, NULL);
		expect_result(H1_CHUNK_BAD, str_from(text), false, NULL);
	}
	expect_bad("0\r\nA: b\r\n c\r\n\r\n");
}

static void test_rule_10_trailers_at_the_limits(void **state)
{
	char *text = malloc(H1_TRAILERS_MAX + 64);

	assert_non_null(text);
	for (size_t bytes = H1_TRAILERS_MAX; bytes <= H1_TRAILERS_MAX + 1; bytes++) {
		enum h1_chunk expected = bytes > H1_TRAILERS_MAX ? H1_CHUNK_BAD : H1_CHUNK_END;

		memset(text, 'x', bytes + 3);
		memcpy(text, "0\r\nA: ", 6);
		strcpy(text + 3 + bytes - 2, "\r\n\r\n");
		expect_result(expected, str_from(text), true, NULL);
		expect_result(expected, str_from(text), false, NULL);
	}
	free(text);
}

static void test_trailers_are_counted(void **state)
{
	char text[1024] = "0\r\n";

	for (unsigned i = 0; i < HTTP_FIELDS_MAX; i++)
		strcat(text, "A:b\r\n");
	size_t len = strlen(text);

	strcat(text, "\r\n");
	expect_result(H1_CHUNK_END, str_from(text), true, NULL);
	strcpy(text + len, "A:b\r\n\r\n");
	expect_result(H1_CHUNK_BAD, str_from(text), true, NULL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_bodies),
		cmocka_unit_test(test_what_follows_the_body_is_left_alone),
		cmocka_unit_test(test_incomplete_bodies_want_more),
		cmocka_unit_test(test_nothing_is_taken_after_the_end_or_a_refusal),
		cmocka_unit_test(test_rule_9_sizes),
		cmocka_unit_test(test_rule_9_line_ends),
		cmocka_unit_test(test_rule_9_extensions_at_the_limits),
		cmocka_unit_test(test_trailers),
		cmocka_unit_test(test_rule_10_names_that_are_dropped),
		cmocka_unit_test(test_trailers_that_are_none),
		cmocka_unit_test(test_rule_10_trailers_at_the_limits),
		cmocka_unit_test(test_trailers_are_counted),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
