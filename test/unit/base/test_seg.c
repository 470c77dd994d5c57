// SPDX-License-Identifier: Apache-2.0
#include "base/seg.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>

#include "base/slab.h"
#include "base/thread.h"
#include "random.h"
#include "unit.h"

struct counted {
	struct seg_owner owner;
	unsigned freed;
};

static void count_free(struct seg_owner *o)
{
	SL_CONTAINER(o, struct counted, owner)->freed++;
}

static void test_the_last_reference_frees(void **state)
{
	struct counted c = {.owner = {1, count_free}};
	struct seg a = seg_mem("abc", 3, &c.owner);
	struct seg b = seg_file(3, 100, 50, seg_owner_ref(&c.owner));

	seg_advance(&a, 1);
	assert_int_equal(a.len, 2);
	assert_int_equal(a.u.mem[0], 'b');
	seg_advance(&b, 50);
	assert_int_equal(b.len, 0);
	assert_int_equal(b.u.file.off, 150);
	seg_release(&a);
	assert_int_equal(c.freed, 0);
	seg_release(&b);
	assert_int_equal(c.freed, 1);
	/* Released twice is released once. */
	seg_release(&b);
	assert_int_equal(c.freed, 1);
	assert_null(seg_owner_ref(NULL));
}

static void test_bytes_that_continue_are_merged(void **state)
{
	struct counted c = {.owner = {1, count_free}}, other = {.owner = {1, count_free}};
	struct seg_chain chain = {0};
	static const uint8_t bytes[100];
	unsigned nodes = 0;

	assert_int_equal(seg_chain_append(&chain, seg_mem(bytes, 10, &c.owner)), 0);
	assert_int_equal(seg_chain_append(&chain, seg_mem(bytes + 10, 20, seg_owner_ref(&c.owner))),
			 0);
	assert_int_equal(c.owner.refs, 1);
	/* Not the next byte; another owner; another kind. */
	assert_int_equal(seg_chain_append(&chain, seg_mem(bytes + 31, 9, seg_owner_ref(&c.owner))),
			 0);
	assert_int_equal(seg_chain_append(&chain, seg_mem(bytes + 40, 10, &other.owner)), 0);
	assert_int_equal(seg_chain_append(&chain, seg_file(3, 0, 10, seg_owner_ref(&other.owner))),
			 0);
	assert_int_equal(seg_chain_append(&chain, seg_file(3, 10, 10, seg_owner_ref(&other.owner))),
			 0);
	/* An empty one leaves at once. */
	assert_int_equal(seg_chain_append(&chain, seg_mem(bytes, 0, seg_owner_ref(&c.owner))), 0);
	for (struct seg_node *n = chain.head; n; n = n->next)
		nodes++;
	assert_int_equal(nodes, 5);
	assert_int_equal(chain.bytes, 69);
	assert_int_equal(c.owner.refs, 2);
	seg_chain_clear(&chain);
	assert_null(chain.head);
	assert_null(chain.tail);
	assert_int_equal(c.freed, 1);
	assert_int_equal(other.freed, 1);
}

/* A chain against one flat array of what it should hold. */
static void test_random_chains_against_a_flat_array(void **state)
{
	struct random r = random_start("chain");
	static uint8_t flat[1 << 20], store[1 << 16];
	struct seg_chain chain = {0};
	struct counted owners[3] = {
		{{1, count_free}, 0}, {{1, count_free}, 0}, {{1, count_free}, 0}};
	size_t from = 0, to = 0;

	for (unsigned i = 0; i < sizeof(store); i++)
		store[i] = (uint8_t)random_u64(&r);
	for (unsigned step = 0; step < 20000; step++) {
		if (random_below(&r, 2) && to < sizeof(flat) - 100) {
			size_t at = random_below(&r, sizeof(store) - 100), n = random_below(&r, 50);
			struct seg_owner *o = &owners[random_below(&r, 3)].owner;

			/* Half of the time, what comes next in the store under the same owner. */
			if (chain.tail && random_below(&r, 2)) {
				o = chain.tail->seg.owner;
				at = (size_t)(chain.tail->seg.u.mem - store) + chain.tail->seg.len;
				at = at + 100 > sizeof(store) ? 0 : at;
			}
			memcpy(flat + to, store + at, n);
			to += n;
			assert_int_equal(seg_chain_append(&chain,
							  seg_mem(store + at, n, seg_owner_ref(o))),
					 0);
		} else if (random_below(&r, 4)) {
			size_t n = random_below(&r, SL_MIN(to - from, 99) + 1);

			seg_chain_consume(&chain, n);
			from += n;
		} else {
			struct seg s;

			if (!seg_chain_take(&chain, &s)) {
				assert_int_equal(from, to);
				continue;
			}
			assert_memory_equal(s.u.mem, flat + from, s.len);
			from += s.len;
			seg_release(&s);
		}
		assert_int_equal(chain.bytes, to - from);
		if (chain.head)
			assert_memory_equal(chain.head->seg.u.mem, flat + from,
					    chain.head->seg.len);
	}
	seg_chain_clear(&chain);
	for (unsigned i = 0; i < 3; i++)
		assert_int_equal(owners[i].owner.refs, 1);
}

static void test_buffers(void **state)
{
	enum { MANY = 1000 };
	static struct buf *many[MANY];
	struct slab *pool = NULL;
	struct buf *b = buf_alloc();
	struct seg s;

	assert_int_equal(sizeof(struct buf) + BUF_CAPACITY, BUF_BYTES);
	assert_int_equal(b->owner.refs, 1);
	assert_int_equal(b->end, 0);
	memset(b->data, 1, BUF_CAPACITY);
	s = seg_mem(b->data, 10, seg_owner_ref(&b->owner));
	buf_unref(b);
	assert_int_equal(s.u.mem[9], 1);
	seg_release(&s);
	buf_unref(NULL);

	for (unsigned i = 0; i < MANY; i++)
		assert_non_null(many[i] = buf_alloc());
	for (struct slab *p = slab_first(); p; p = p->next)
		if (strcmp(p->name, "buf") == 0)
			pool = p;
	assert_non_null(pool);
	assert_int_equal(pool->used, MANY);
	for (unsigned i = 0; i < MANY; i++)
		buf_unref(many[i]);
	assert_int_equal(pool->used, 0);
	/* 15 to a page of 256 KiB: 256 stay ready, and the waiting ones hold at most a page more. */
	assert_true(pool->capacity <= 256 + 2 * 15);
}

static void test_without_memory_the_segment_stays_with_the_caller(void **state)
{
	struct counted c = {.owner = {1, count_free}};
	struct seg_chain chain = {0};
	struct rlimit old, tight;
	int error;

	if (SL_ASAN)
		unit_skip("AddressSanitizer needs address space of its own");
	/* The pools must be empty, or they have a node ready. */
	assert_int_equal(base_thread_exit(), 0);
	assert_int_equal(getrlimit(RLIMIT_AS, &old), 0);
	tight = old;
	tight.rlim_cur = 1;
	assert_int_equal(setrlimit(RLIMIT_AS, &tight), 0);
	error = seg_chain_append(&chain, seg_mem("abc", 3, &c.owner));
	struct buf *b = buf_alloc();
	assert_int_equal(setrlimit(RLIMIT_AS, &old), 0);
	assert_int_equal(error, -ENOMEM);
	assert_null(b);
	assert_int_equal(chain.bytes, 0);
	assert_null(chain.head);
	assert_int_equal(c.owner.refs, 1);
}

static int leave(void **state)
{
	return (int)base_thread_exit();
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_teardown(test_the_last_reference_frees, leave),
		cmocka_unit_test_teardown(test_bytes_that_continue_are_merged, leave),
		cmocka_unit_test_teardown(test_random_chains_against_a_flat_array, leave),
		cmocka_unit_test_teardown(test_buffers, leave),
		cmocka_unit_test_teardown(test_without_memory_the_segment_stays_with_the_caller,
					  leave),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
