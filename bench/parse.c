// SPDX-License-Identifier: Apache-2.0
/*
 * What the sans-IO half of HTTP/1 costs, in nanoseconds. Instructions, which do not depend on the machine's
 * mood, are counted with one case and few rounds:
 *   valgrind --tool=callgrind --callgrind-out-file=/dev/null --toggle-collect=run_wrk bench_parse wrk 1000
 */
#include <stdio.h>
#include <stdlib.h>

#include "base/clock.h"
#include "base/compiler.h"
#include "http/h1/parse.h"
#include "http/path.h"
#include "http/router.h"

#define ROUNDS 1000000

static const char wrk[] = "GET /hello.txt HTTP/1.1\r\nHost: 127.0.0.1:8080\r\n\r\n";
static const char browser[] =
	"GET /assets/app.js?v=17 HTTP/1.1\r\n"
	"Host: www.example.com\r\n"
	"Connection: keep-alive\r\n"
	"sec-ch-ua-platform: \"Linux\"\r\n"
	"User-Agent: Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) "
	"Chrome/126.0.0.0 Safari/537.36\r\n"
	"Accept: */*\r\n"
	"Sec-Fetch-Site: same-origin\r\n"
	"Sec-Fetch-Mode: no-cors\r\n"
	"Sec-Fetch-Dest: script\r\n"
	"Referer: https://www.example.com/\r\n"
	"Accept-Encoding: gzip, deflate, br, zstd\r\n"
	"Accept-Language: en-US,en;q=0.9\r\n"
	"If-None-Match: \"65a1b2c3-1d4f\"\r\n"
	"\r\n";

/* Kept from one round to the next, as a connection keeps them. */
struct bench {
	struct arena arena;
	struct http_config *config;
	struct http_head head, answer;
	struct http_block block;
	uint8_t out[1024];
};

static int parse(struct bench *b, const char *text, size_t len)
{
	static const struct h1_options options;
	struct h1_parser parser = {.base = NULL};
	struct h1_request request;
	const char *why;
	uint8_t *at = b->arena.at;
	int r;

	memset(&b->head, 0, sizeof(b->head));
	r = h1_parse_request(&parser, &options, (const uint8_t *)text, len, &b->arena, &b->head,
			     &request, &why);
	b->arena.at = at;
	return r;
}

static int run_wrk(struct bench *b)
{
	return parse(b, wrk, sizeof(wrk) - 1);
}

static int run_browser(struct bench *b)
{
	return parse(b, browser, sizeof(browser) - 1);
}

static int run_print(struct bench *b)
{
	return h1_print_head(&b->answer, b->out, sizeof(b->out));
}

static int run_match(struct bench *b)
{
	struct http_route *route;
	uint32_t allow;

	return http_router_match(b->config->routers[0], &b->head, &route, &allow) == HTTP_MATCH;
}

static int run_path(struct bench *b)
{
	struct str out;

	return http_path_normalise(STR("/assets/images/water.jpg"), &b->arena, &out) == 0;
}

static const struct {
	const char *name;
	int (*run)(struct bench *);
} cases[] = {
	{"wrk", run_wrk},     {"browser", run_browser}, {"print", run_print},
	{"match", run_match}, {"path", run_path},
};

static void set_up(struct bench *b)
{
	static const char *const paths[] = {"/", "/api/", "/assets/", "/status"};
	static struct http_field fields[2];
	struct http_site *site = NULL;
	struct http_route *made;

	arena_init(&b->arena, 0);
	b->config = http_config_new(1);
	if (!b->config || http_router_site(b->config, 0, STR("*"), &site))
		abort();
	for (unsigned i = 0; i < SL_ARRAY_SIZE(paths); i++) {
		struct http_route route = {.path = str_from(paths[i])};

		if (http_router_route(b->config, site, &route, &made))
			abort();
	}
	b->block.h1 = STR("Content-Type: text/plain\r\nETag: \"65a1b2c3-d\"\r\n"
			  "Last-Modified: Sun, 06 Nov 1994 08:49:37 GMT\r\n"
			  "Accept-Ranges: bytes\r\nServer: sluice\r\n");
	fields[0] =
		(struct http_field){STR("Date"), STR("Sun, 06 Nov 1994 08:49:37 GMT"), HTTP_DATE};
	fields[1] = (struct http_field){STR("Content-Length"), STR("13"), HTTP_CONTENT_LENGTH};
	b->answer = (struct http_head){.status = 200, .block = &b->block};
	b->answer.fields.v = fields;
	b->answer.fields.count = b->answer.fields.cap = 2;
	/* A first block, so that parse() can wind the arena back. */
	if (!arena_alloc(&b->arena, 1) || run_wrk(b) <= 0)
		abort();
}

int main(int argc, char **argv)
{
	unsigned long rounds = argc > 2 ? strtoul(argv[2], NULL, 10) : ROUNDS;
	struct bench b;

	set_up(&b);
	for (unsigned i = 0; i < SL_ARRAY_SIZE(cases); i++) {
		uint64_t began;

		if (argc > 1 && strcmp(argv[1], cases[i].name) != 0)
			continue;
		began = clock_monotonic_ns();
		for (unsigned long n = 0; n < rounds; n++)
			if (cases[i].run(&b) <= 0)
				abort();
		printf("%-8s %7.1f ns\n", cases[i].name,
		       (double)(clock_monotonic_ns() - began) / (double)rounds);
	}
	http_config_unref(b.config);
	arena_free(&b.arena);
	return 0;
}
