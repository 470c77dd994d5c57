// SPDX-License-Identifier: Apache-2.0
#include <errno.h>
#include <stdlib.h>

#include "http/h1/parse.h"
#include "unit.h"

static void expect_printed(const struct http_head *head, const char *expected)
{
	size_t len = strlen(expected);

	/* Into memory that is just large enough; whatever is less is too little, and nothing is written behind it. */
	for (size_t cap = 0; cap <= len; cap++) {
		uint8_t *out = malloc(cap + 1);

		assert_non_null(out);
		out[cap] = '!';
		assert_int_equal(h1_print_head(head, out, cap), cap < len ? -ENOBUFS : (int)len);
		assert_int_equal(out[cap], '!');
		if (cap == len)
			assert_memory_equal(out, expected, len);
		free(out);
	}
}

static void test_status_lines(void **state)
{
	struct http_head head = {.status = 200};

	expect_printed(&head, "HTTP/1.1 200 OK\r\n");
	head.status = 103;
	expect_printed(&head, "HTTP/1.1 103 Early Hints\r\n");
	head.status = 431;
	expect_printed(&head, "HTTP/1.1 431 Request Header Fields Too Large\r\n");
	/* A code without a name has an empty reason, and its space (RFC 9112 section 4). */
	head.status = 299;
	expect_printed(&head, "HTTP/1.1 299 \r\n");
	head.status = 999;
	expect_printed(&head, "HTTP/1.1 999 \r\n");
}

static void test_block_and_fields(void **state)
{
	const struct http_block block = {.h1 = STR("Server: sluice\r\nETag: \"a\"\r\n")};
	struct http_head head = {.status = 404, .block = &block};
	struct arena arena;

	arena_init(&arena, 0);
	expect_printed(&head, "HTTP/1.1 404 Not Found\r\nServer: sluice\r\nETag: \"a\"\r\n");
	assert_int_equal(http_fields_add(&head.fields, &arena, HTTP_CONTENT_LENGTH, STR("13")), 0);
	assert_int_equal(http_fields_add_named(&head.fields, &arena, STR("x-Mine"), STR("")), 0);
	expect_printed(&head, "HTTP/1.1 404 Not Found\r\nServer: sluice\r\nETag: \"a\"\r\n"
			      "Content-Length: 13\r\nx-Mine: \r\n");
	head.block = NULL;
	expect_printed(&head, "HTTP/1.1 404 Not Found\r\nContent-Length: 13\r\nx-Mine: \r\n");
	arena_free(&arena);
}

static void test_values_of_every_length(void **state)
{
	char value[100], expected[256];

	for (size_t len = 0; len < sizeof(value); len++) {
		struct http_head head = {.status = 200};
		struct arena arena;

		arena_init(&arena, 0);
		for (size_t i = 0; i < len; i++)
			value[i] = (char)('a' + i % 26);
		assert_int_equal(http_fields_add_named(&head.fields, &arena, STR("A"),
						       (struct str){value, len}),
				 0);
		strcpy(expected, "HTTP/1.1 200 OK\r\nA: ");
		strncat(expected, value, len);
		strcat(expected, "\r\n");
		expect_printed(&head, expected);
		arena_free(&arena);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_status_lines),
		cmocka_unit_test(test_block_and_fields),
		cmocka_unit_test(test_values_of_every_length),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
