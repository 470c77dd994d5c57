// SPDX-License-Identifier: Apache-2.0
/* ClientHellos made by hand, cut and broken in every way, and those of openssl. */
#include "net/client_hello.h"

#include <stdio.h>
#include <sys/wait.h>

#include "net/pair.h"

/* A message under construction. */
struct bytes {
	uint8_t at[70000];
	size_t len;
};

static void put(struct bytes *b, const void *p, size_t n)
{
	assert_true(b->len + n <= sizeof(b->at));
	memcpy(b->at + b->len, p, n);
	b->len += n;
}

static void put_number(struct bytes *b, unsigned width, size_t v)
{
	while (width--) {
		uint8_t byte = (uint8_t)(v >> (8 * width));
		put(b, &byte, 1);
	}
}

static void put_vector(struct bytes *b, unsigned width, const void *p, size_t n)
{
	put_number(b, width, n);
	put(b, p, n);
}

static void put_extension(struct bytes *list, unsigned type, const struct bytes *ext)
{
	put_number(list, 2, type);
	put_vector(list, 2, ext->at, ext->len);
}

static void put_server_name(struct bytes *list, const char *name)
{
	struct bytes one = {.len = 0}, ext = {.len = 0};

	put_number(&one, 1, 0);
	put_vector(&one, 2, name, strlen(name));
	put_vector(&ext, 2, one.at, one.len);
	put_extension(list, 0, &ext);
}

/* "h2,http/1.1" */
static void put_alpn(struct bytes *list, const char *names)
{
	struct bytes all = {.len = 0}, ext = {.len = 0};
	struct str rest = str_from(names), name;

	while (str_next(&rest, ',', &name))
		put_vector(&all, 1, name.p, name.len);
	put_vector(&ext, 2, all.at, all.len);
	put_extension(list, 16, &ext);
}

/* The handshake message with these extensions; NULL: without any. */
static struct bytes hello(const struct bytes *extensions)
{
	static const uint8_t filler[64];
	struct bytes body = {.len = 0}, message = {.len = 0};

	put_number(&body, 2, 0x0303);
	put(&body, filler, 32);
	put_vector(&body, 1, filler, 32);
	put_vector(&body, 2, "\x13\x01\x13\x02", 4);
	put_vector(&body, 1, filler, 1);
	if (extensions)
		put_vector(&body, 2, extensions->at, extensions->len);
	put_number(&message, 1, 1);
	put_vector(&message, 3, body.at, body.len);
	return message;
}

/* In records of at most `most` bytes of content. */
static struct bytes records(const struct bytes *message, size_t most)
{
	struct bytes out = {.len = 0};

	for (size_t at = 0; at < message->len; at += most) {
		put(&out, "\x16\x03\x01", 3);
		put_vector(&out, 2, message->at + at, SL_MIN(most, message->len - at));
	}
	return out;
}

static int feed(struct client_hello *h, const struct bytes *b, size_t piece, const char **why)
{
	int result = -EAGAIN;

	*h = (struct client_hello){0};
	*why = NULL;
	for (size_t at = 0; at < b->len && result == -EAGAIN; at += piece)
		result = client_hello_feed(h, b->at + at, SL_MIN(piece, b->len - at), why);
	return result;
}

static struct bytes usual(void)
{
	struct bytes ext = {.len = 0}, other = {.len = 0};

	put_number(&other, 1, 7);
	put_extension(&ext, 0x2a2a, &other);
	put_server_name(&ext, "www.Example.com");
	put_extension(&ext, 43, &other);
	put_alpn(&ext, "h2,http/1.1");
	return hello(&ext);
}

static void test_name_and_protocols(void **state)
{
	struct bytes message = usual();
	struct client_hello h;
	const char *why;

	for (size_t most = 1; most <= message.len; most += most < 10 ? 1 : 61) {
		struct bytes raw = records(&message, most);

		for (size_t piece = 1; piece <= raw.len; piece += piece < 10 ? 1 : 97) {
			assert_int_equal(feed(&h, &raw, piece, &why), 0);
			assert_true(str_eq(h.server_name, STR("www.Example.com")));
			assert_true(client_hello_offers(&h, STR("h2")));
			assert_true(client_hello_offers(&h, STR("http/1.1")));
			assert_false(client_hello_offers(&h, STR("http/1")));
			assert_false(client_hello_offers(&h, STR("")));
			client_hello_free(&h);
		}
		/* Not before its last byte. */
		raw.len--;
		assert_int_equal(feed(&h, &raw, raw.len, &why), -EAGAIN);
		client_hello_free(&h);
	}
}

static void test_which_names_a_pattern_means(void **state)
{
	struct client_hello h = {.server_name = STR("www.example.com")}, none = {0};

	assert_true(client_hello_asks_for(&h, STR("www.example.com")));
	assert_true(client_hello_asks_for(&h, STR("WWW.example.COM")));
	assert_true(client_hello_asks_for(&h, STR("*.example.com")));
	assert_true(client_hello_asks_for(&h, STR("*.COM")));
	assert_false(client_hello_asks_for(&h, STR("example.com")));
	assert_false(client_hello_asks_for(&h, STR("*.www.example.com")));
	assert_false(client_hello_asks_for(&h, STR("*.ample.com")));
	assert_false(client_hello_asks_for(&none, STR("*.example.com")));
	assert_false(client_hello_asks_for(&none, STR("example.com")));
}

static void test_without_extensions_and_with_a_dot(void **state)
{
	struct bytes message = hello(NULL), ext = {.len = 0}, raw = records(&message, 16384);
	struct client_hello h;
	const char *why;

	assert_int_equal(feed(&h, &raw, raw.len, &why), 0);
	assert_int_equal(h.server_name.len + h.alpn.len, 0);
	assert_false(client_hello_offers(&h, STR("h2")));
	client_hello_free(&h);
	put_server_name(&ext, "example.com.");
	message = hello(&ext);
	raw = records(&message, 16384);
	/* What the client sends right after it is none of our business. */
	put(&raw, "\x17\x03\x03\x00\x01x", 6);
	assert_int_equal(feed(&h, &raw, raw.len, &why), 0);
	assert_true(str_eq(h.server_name, STR("example.com")));
	client_hello_free(&h);
}

static void refused(const struct bytes *raw, const char *reason)
{
	struct client_hello h;
	const char *why, *cut_why;

	assert_int_equal(feed(&h, raw, raw->len, &why), -EBADMSG);
	assert_string_equal(why, reason);
	client_hello_free(&h);
	assert_int_equal(feed(&h, raw, 1, &cut_why), -EBADMSG);
	assert_ptr_equal(why, cut_why);
	client_hello_free(&h);
}

static void refused_with(const struct bytes *extensions, const char *reason)
{
	struct bytes message = hello(extensions), raw = records(&message, 16384);

	refused(&raw, reason);
}

static struct bytes literal(const char *p, size_t len)
{
	struct bytes b = {.len = 0};

	put(&b, p, len);
	return b;
}
#define LITERAL(s) literal(s, sizeof(s) - 1)

static void test_what_is_no_hello(void **state)
{
	struct bytes b;

	b = LITERAL("GET / HTTP/1.1\r\n");
	refused(&b, "it is not TLS");
	/* SSL 2. */
	b = LITERAL("\x80\x2e\x01\x03\x01");
	refused(&b, "it is not TLS");
	b = LITERAL("\x16\x03\x01\x00\x00");
	refused(&b, "a record has a forbidden length");
	b = LITERAL("\x16\x03\x01\x40\x01");
	refused(&b, "a record has a forbidden length");
	/* A ServerHello. */
	b = LITERAL("\x16\x03\x01\x00\x04\x02");
	refused(&b, "it does not begin with a ClientHello");
	/* Another record in the middle of the message. */
	b = LITERAL("\x16\x03\x01\x00\x01\x01\x15\x03\x01\x00\x02");
	refused(&b, "it is not TLS");
	b = LITERAL("\x16\x03\x01\x00\x05\x01\x00\x00\x01\x00");
	refused(&b, "the ClientHello is broken");
}

static void test_broken_extensions(void **state)
{
	struct bytes ext = {.len = 0}, one = {.len = 0};

	put_number(&ext, 2, 0);
	refused_with(&ext, "the extensions are broken");
	ext.len = 0;
	put_server_name(&ext, "");
	refused_with(&ext, "the server_name extension is broken");
	ext.len = 0;
	put_server_name(&ext, "a b");
	refused_with(&ext, "the server_name extension is broken");
	ext.len = 0;
	put_server_name(&ext, "a");
	put_server_name(&ext, "b");
	refused_with(&ext, "server_name comes twice");
	ext.len = 0;
	put_extension(&ext, 0, &one);
	refused_with(&ext, "the server_name extension is broken");
	ext.len = 0;
	put_alpn(&ext, "h2");
	put_alpn(&ext, "h2");
	refused_with(&ext, "the list of protocols comes twice");
	ext.len = 0;
	put_vector(&one, 2, "\x00", 1);
	put_extension(&ext, 16, &one);
	refused_with(&ext, "the list of protocols is broken");
	ext.len = 0;
	one.len = 0;
	put_vector(&one, 2, "\x03h2", 3);
	put_extension(&ext, 16, &one);
	refused_with(&ext, "the list of protocols is broken");
}

/* Every byte of the message in turn is another one: found whole or refused, but never read beyond. */
static void test_a_changed_byte(void **state)
{
	struct bytes message = usual(), raw = records(&message, 16384);
	struct client_hello h;
	const char *why;
	unsigned refusals = 0;

	for (size_t i = 0; i < raw.len; i++) {
		for (unsigned change = 1; change < 256; change += 51) {
			raw.at[i] ^= (uint8_t)change;
			refusals += feed(&h, &raw, raw.len, &why) == -EBADMSG;
			client_hello_free(&h);
			raw.at[i] ^= (uint8_t)change;
		}
	}
	assert_in_range(refusals, 50, raw.len * 5);
}

static void test_at_the_limit(void **state)
{
	struct bytes ext = {.len = 0}, padding = {.len = 0}, message, raw;
	struct client_hello h;
	const char *why;

	/* As much as a buffer takes, in one record. */
	put_server_name(&ext, "example.com");
	padding.len = CLIENT_HELLO_MAX - 5 - hello(&ext).len - 4;
	put_extension(&ext, 21, &padding);
	message = hello(&ext);
	raw = records(&message, 16384);
	assert_int_equal(raw.len, CLIENT_HELLO_MAX);
	assert_int_equal(feed(&h, &raw, raw.len, &why), 0);
	assert_true(str_eq(h.server_name, STR("example.com")));
	client_hello_free(&h);

	/* The same in records that make it longer than is read. */
	raw = records(&message, 1000);
	refused(&raw, "the ClientHello is longer than 16 KiB");

	ext.len = 0;
	padding.len++;
	put_server_name(&ext, "example.com");
	put_extension(&ext, 21, &padding);
	refused_with(&ext, "the ClientHello is longer than 16 KiB");
}

/* What openssl says first to a server that only listens. */
static struct bytes openssl_says(const char *options)
{
	struct sockaddr_in a = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	socklen_t len = sizeof(a);
	int listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), fd;
	struct bytes b = {.len = 0};
	char command[256];

	assert_int_equal(bind(listener, (struct sockaddr *)&a, len), 0);
	assert_int_equal(listen(listener, 1), 0);
	assert_int_equal(getsockname(listener, (struct sockaddr *)&a, &len), 0);
	snprintf(command, sizeof(command),
		 "timeout 10 openssl s_client -connect 127.0.0.1:%u %s >/dev/null 2>&1 </dev/null",
		 ntohs(a.sin_port), options);
	FILE *p = popen(command, "r");
	assert_non_null(p);
	fd = accept(listener, NULL, NULL);
	assert_true(fd >= 0);
	ssize_t n = recv(fd, b.at, 4096, 0);
	assert_true(n > 0);
	b.len = (size_t)n;
	close(fd);
	close(listener);
	pclose(p);
	return b;
}

static void test_openssl(void **state)
{
	struct client_hello h;
	const char *why;
	struct bytes raw;

	if (system("openssl version >/dev/null 2>&1") != 0) {
		print_message("skipped: openssl is not installed\n");
		skip();
	}
	raw = openssl_says("-servername db.example.org -alpn postgresql,h2");
	assert_int_equal(feed(&h, &raw, 100, &why), 0);
	assert_true(client_hello_asks_for(&h, STR("db.example.org")));
	assert_true(client_hello_offers(&h, STR("postgresql")));
	assert_true(client_hello_offers(&h, STR("h2")));
	client_hello_free(&h);
	raw = openssl_says("-noservername -tls1_2");
	assert_int_equal(feed(&h, &raw, 3, &why), 0);
	assert_int_equal(h.server_name.len + h.alpn.len, 0);
	client_hello_free(&h);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_name_and_protocols),
		cmocka_unit_test(test_which_names_a_pattern_means),
		cmocka_unit_test(test_without_extensions_and_with_a_dot),
		cmocka_unit_test(test_what_is_no_hello),
		cmocka_unit_test(test_broken_extensions),
		cmocka_unit_test(test_a_changed_byte),
		cmocka_unit_test(test_at_the_limit),
		cmocka_unit_test(test_openssl),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
