// SPDX-License-Identifier: Apache-2.0
// The text of a configuration: it is read, or refused with bounded errors; and its canonical form is a fixed point.
#include <stdint.h>
#include <stdlib.h>

#include "app/config.h"
#include "app/ucl.h"

#define CHECK(what)              \
	do {                     \
		if (!(what))     \
			abort(); \
	} while (0)

/* The form of a form is the same, and says the same number of things. */
static void check_format(struct str text)
{
	struct ucl_error error;
	struct ucl_node *root;
	struct arena arena;
	struct str once, twice;

	arena_init(&arena, 0);
	root = ucl_parse(text, &arena, &error);
	if (root) {
		once = ucl_format(root, &arena);
		CHECK(once.p);
		root = ucl_parse(once, &arena, &error);
		CHECK(root);
		twice = ucl_format(root, &arena);
		CHECK(str_eq(once, twice));
	} else {
		CHECK(error.at.line > 0 && error.at.column > 0 && error.text[0]);
	}
	arena_free(&arena);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct str text = {(const char *)data, size};
	struct app_config *config = NULL;
	struct app_errors errors;

	app_errors_init(&errors);
	if (app_config_parse(text, "fuzz.conf", true, NULL, &config, &errors) == 0) {
		CHECK(config && errors.count == 0 && config->listen_count > 0);
		http_config_unref(config->http);
	} else {
		CHECK(!config && errors.count > 0 && errors.count <= APP_ERRORS_MAX);
		for (unsigned i = 1; i < errors.count; i++)
			CHECK(errors.at[i - 1][0] <= errors.at[i][0]);
	}
	app_errors_free(&errors);
	check_format(text);
	return 0;
}
