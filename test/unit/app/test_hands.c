// SPDX-License-Identifier: Apache-2.0
// The way of connections from the main thread to a worker, with both ends in this thread.
#include <stdlib.h>

#include "app/worker.h"
#include "unit.h"

static unsigned posts;

static void posted(struct io_loop *loop, struct io_msg *msg)
{
	posts++;
}

static void test_hands_are_full_at_their_limit(void **state)
{
	const struct io_options options = {.engine = IO_ENGINE_EPOLL};
	struct app_worker *w = calloc(1, sizeof(*w));
	char why[128];

	assert_non_null(w);
	w->hands = calloc(1, sizeof(*w->hands));
	assert_non_null(w->hands);
	w->hands->owner = w;
	w->hands->msg.run = posted;
	assert_int_equal(io_loop_new(&options, &w->loop, why, sizeof(why)), 0);

	/* Also where the numbers of places overflow. */
	uint32_t start = UINT32_MAX - APP_HANDS_MAX / 2;
	atomic_store(&w->hands->head, start);
	atomic_store(&w->hands->tail, start);
	assert_int_equal(app_worker_waiting(w), 0);
	for (unsigned i = 0; i < APP_HANDS_MAX; i++)
		assert_true(app_worker_hand(w, (int)i, i % 7));
	assert_int_equal(app_worker_waiting(w), APP_HANDS_MAX);
	assert_int_equal(app_worker_load(w), APP_HANDS_MAX);
	assert_false(app_worker_hand(w, 1, 1));
	for (unsigned i = 0; i < APP_HANDS_MAX; i++) {
		uint32_t at = (start + i) % APP_HANDS_MAX;
		assert_int_equal(w->hands->ring[at].fd, i);
		assert_int_equal(w->hands->ring[at].number, i % 7);
	}
	/* One place is free again: one more fits. */
	atomic_fetch_add(&w->hands->tail, 1);
	assert_true(app_worker_hand(w, 1, 1));
	assert_false(app_worker_hand(w, 1, 1));

	/* However many there are, the worker is told once. */
	assert_int_equal(io_loop_turn(w->loop, 0), 0);
	assert_int_equal(posts, 1);
	io_loop_free(w->loop);
	free(w->hands);
	free(w);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_hands_are_full_at_their_limit),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
