// SPDX-License-Identifier: Apache-2.0
/* The resolver, against a name server that says good and bad things. */
#include "net/resolve.h"

#include "build_config.h"
#include "net/dns.h"

#define TIMEOUT_MS 15000
#define SHORT_MS 60
#define NOISES 400

struct asked {
	struct resolve_query query;
	unsigned done;
	int result;
	unsigned count;
	uint32_t ttl_s;
	bool partial;
	char why[128];
	char found[2048]; /* "PRIORITY/WEIGHT ADDRESS, ..." */
};

static struct {
	struct io_loop *loop;
	struct resolver *resolver;
	struct asked asked;
} t;

static void on_done(struct resolve_query *query, const struct resolve_answer *answer)
{
	struct asked *a = SL_CONTAINER(query, struct asked, query);
	size_t len = 0;

	a->done++;
	a->result = answer->result;
	a->count = answer->count;
	a->ttl_s = answer->ttl_s;
	a->partial = answer->partial;
	snprintf(a->why, sizeof(a->why), "%s", answer->why);
	a->found[0] = '\0';
	for (unsigned i = 0; i < answer->count && len < sizeof(a->found) - 160; i++) {
		char text[NET_ADDR_TEXT];

		net_addr_print(&answer->found[i].addr, text);
		len += (size_t)snprintf(a->found + len, sizeof(a->found) - len, "%s%u/%u %s",
					i ? ", " : "", answer->found[i].priority,
					answer->found[i].weight, text);
	}
}

static int start(void **state)
{
	char why[128];

	memset(&t, 0, sizeof(t));
	t.loop = pair_loop();
	dns_open();
	assert_int_equal(resolver_new(t.loop, dns.servers, &t.resolver, why, sizeof(why)), 0);
	return 0;
}

static int stop(void **state)
{
	resolver_free(t.resolver);
	pair_loop_free(t.loop);
	dns_close();
	return 0;
}

static void begin(struct asked *a, enum resolve_kind kind, const char *name, uint32_t timeout_ms)
{
	memset(a, 0, sizeof(*a));
	a->query.done = on_done;
	resolve_start(t.resolver, &a->query, kind, str_from(name), 80, timeout_ms);
	/* Never from inside. */
	assert_int_equal(a->done, 0);
}

static struct asked *ask(enum resolve_kind kind, const char *name)
{
	begin(&t.asked, kind, name, TIMEOUT_MS);
	PAIR_UNTIL(t.loop, (dns_serve(), t.asked.done));
	assert_int_equal(t.asked.done, 1);
	return &t.asked;
}

static void test_finds_addresses_in_one_order(void **state)
{
	struct asked *a;

	dns_add("app.test", DNS_A, 300, "10.0.0.2");
	dns_add("app.test", DNS_AAAA, 60, "fd00::1");
	dns_add("app.test", DNS_A, 300, "10.0.0.1");
	dns_add("app.test", DNS_A, 300, "10.0.0.1");
	a = ask(RESOLVE_ADDRESS, "app.test");
	assert_int_equal(a->result, 0);
	assert_string_equal(a->found, "0/1 10.0.0.1:80, 0/1 10.0.0.2:80, 0/1 [fd00::1]:80");
	assert_int_equal(a->ttl_s, 60);
	assert_false(a->partial);
}

static void test_brings_the_ttl_into_bounds(void **state)
{
	dns_add("long.test", DNS_A, 1000000, "10.0.0.1");
	dns_add("short.test", DNS_A, 1, "10.0.0.1");
	dns_add("never.test", DNS_A, 0, "10.0.0.1");
	assert_int_equal(ask(RESOLVE_ADDRESS, "long.test")->ttl_s, RESOLVE_TTL_MAX_S);
	assert_int_equal(ask(RESOLVE_ADDRESS, "short.test")->ttl_s, 1);
	assert_int_equal(ask(RESOLVE_ADDRESS, "never.test")->ttl_s, RESOLVE_TTL_NONE_S);
}

static void test_asks_nobody_for_numbers_and_hosts(void **state)
{
	assert_string_equal(ask(RESOLVE_ADDRESS, "192.0.2.7")->found, "0/1 192.0.2.7:80");
	assert_string_equal(ask(RESOLVE_ADDRESS, "2001:db8::7")->found, "0/1 [2001:db8::7]:80");
	assert_int_equal(t.asked.ttl_s, RESOLVE_TTL_MAX_S);
	assert_int_equal(ask(RESOLVE_ADDRESS, "localhost")->result, 0);
	assert_non_null(strstr(t.asked.found, "127.0.0.1:80"));
	assert_int_equal(dns.questions, 0);
}

static void test_tells_failures_apart(void **state)
{
	dns_rule("fails.test", DNS_SERVFAIL, DNS_ANSWER);
	dns_rule("refuses.test", DNS_REFUSED, DNS_ANSWER);
	dns_add("text.test", DNS_CNAME, 60, "other.test");
	assert_int_equal(ask(RESOLVE_ADDRESS, "none.test")->result, -ENOENT);
	assert_string_equal(t.asked.why, "no such name");
	assert_int_equal(ask(RESOLVE_ADDRESS, "text.test")->result, -ENOENT);
	assert_string_equal(t.asked.why, "the name has no address");
	assert_int_equal(ask(RESOLVE_ADDRESS, "fails.test")->result, -ECONNREFUSED);
	assert_non_null(strstr(t.asked.why, "all of them fail"));
	assert_int_equal(ask(RESOLVE_ADDRESS, "refuses.test")->result, -ECONNREFUSED);
	assert_int_equal(ask(RESOLVE_ADDRESS, "")->result, -ENOENT);
	assert_int_equal(ask(RESOLVE_ADDRESS, "a..b")->result, -ENOENT);
	assert_string_equal(t.asked.why, "that is not a name");
}

static void test_refuses_a_name_that_is_too_long(void **state)
{
	char name[RESOLVE_NAME_MAX + 2];

	memset(name, 'a', sizeof(name));
	name[sizeof(name) - 1] = '\0';
	assert_int_equal(ask(RESOLVE_ADDRESS, name)->result, -ENOENT);
	assert_int_equal(dns.questions, 0);
}

static void test_gives_up_in_its_time(void **state)
{
	dns_rule("silent.test", DNS_OK, DNS_SILENT);
	dns_rule("false.test", DNS_OK, DNS_FALSE_ID);
	dns_add("false.test", DNS_A, 60, "10.0.0.1");
	begin(&t.asked, RESOLVE_ADDRESS, "silent.test", SHORT_MS);
	PAIR_UNTIL(t.loop, (dns_serve(), t.asked.done));
	assert_int_equal(t.asked.result, -ETIMEDOUT);
	/* An answer to another question is none. */
	begin(&t.asked, RESOLVE_ADDRESS, "false.test", SHORT_MS);
	PAIR_UNTIL(t.loop, (dns_serve(), t.asked.done));
	assert_int_equal(t.asked.result, -ETIMEDOUT);
	assert_true(dns.questions >= 2);
}

static void test_takes_no_garbage_for_an_answer(void **state)
{
	dns_rule("garbage.test", DNS_OK, DNS_GARBAGE);
	dns_rule("cut.test", DNS_OK, DNS_CUT);
	dns_rule("_cut._tcp.test", DNS_OK, DNS_CUT);
	dns_add("cut.test", DNS_A, 60, "10.0.0.1");
	dns_add("_cut._tcp.test", DNS_SRV, 60, "1 1 80 a.test");
	begin(&t.asked, RESOLVE_ADDRESS, "garbage.test", SHORT_MS);
	PAIR_UNTIL(t.loop, (dns_serve(), t.asked.done));
	assert_true(t.asked.result < 0);
	assert_true(ask(RESOLVE_ADDRESS, "cut.test")->result < 0);
	assert_int_equal(t.asked.count, 0);
	assert_int_equal(ask(RESOLVE_SRV, "_cut._tcp.test")->result, -EIO);
	assert_string_equal(t.asked.why, "a malformed answer from the name server");
}

/* Whatever an answer says: each lookup ends, with addresses or with a reason. */
static void test_survives_noise(void **state)
{
	unsigned found = 0, failed = 0;

	dns.random = random_start(__func__);
	dns_rule("app.test", DNS_OK, DNS_NOISE);
	dns_rule("_http._tcp.test", DNS_OK, DNS_NOISE);
	dns_add("app.test", DNS_A, 60, "10.0.0.1");
	dns_add("app.test", DNS_AAAA, 60, "fd00::1");
	for (unsigned i = 0; i < 3; i++)
		dns_add("_http._tcp.test", DNS_SRV, 60, "10 1 80 app.test");
	for (unsigned i = 0; i < NOISES; i++) {
		struct asked *a = ask(i % 2 ? RESOLVE_SRV : RESOLVE_ADDRESS,
				      i % 2 ? "_http._tcp.test" : "app.test");

		assert_true(a->result < 0 || (a->count > 0 && a->ttl_s <= RESOLVE_TTL_MAX_S));
		*(a->result < 0 ? &failed : &found) += 1;
	}
	assert_true(found > 0 && failed > 0);
}

static void test_asks_again_over_tcp(void **state)
{
	static char texts[200][16];

	dns_rule("big.test", DNS_OK, DNS_TCP_ONLY);
	for (unsigned i = 0; i < 200; i++) {
		snprintf(texts[i], sizeof(texts[i]), "10.0.1.%u", i);
		dns_add("big.test", DNS_A, 60, texts[i]);
	}
	assert_int_equal(ask(RESOLVE_ADDRESS, "big.test")->result, 0);
	assert_int_equal(t.asked.count, 200);
	assert_true(dns.over_tcp >= 1);
}

static void test_cuts_what_is_over_its_limit(void **state)
{
	static char texts[RESOLVE_ADDRS_MAX + 4][16];

	dns_rule("huge.test", DNS_OK, DNS_TCP_ONLY);
	for (unsigned i = 0; i < RESOLVE_ADDRS_MAX + 4; i++) {
		snprintf(texts[i], sizeof(texts[i]), "10.0.%u.%u", i / 250, i % 250);
		dns_add("huge.test", DNS_A, 60, texts[i]);
	}
	assert_int_equal(ask(RESOLVE_ADDRESS, "huge.test")->count, RESOLVE_ADDRS_MAX);
}

static void test_finds_services(void **state)
{
	dns_add("_http._tcp.test", DNS_SRV, 600, "20 0 8082 b.test");
	dns_add("_http._tcp.test", DNS_SRV, 600, "10 5 8080 a.test");
	dns_add("_http._tcp.test", DNS_SRV, 600, "10 7 8081 a.test");
	dns_add("a.test", DNS_A, 30, "10.0.0.1");
	dns_add("b.test", DNS_AAAA, 90, "fd00::2");
	assert_int_equal(ask(RESOLVE_SRV, "_http._tcp.test")->result, 0);
	assert_string_equal(t.asked.found,
			    "10/5 10.0.0.1:8080, 10/7 10.0.0.1:8081, 20/0 [fd00::2]:8082");
	assert_int_equal(t.asked.ttl_s, 30);
	assert_false(t.asked.partial);
}

static void test_a_service_without_servers_is_not_there(void **state)
{
	dns_add("_none._tcp.test", DNS_SRV, 600, "0 0 0 .");
	dns_add("_lost._tcp.test", DNS_SRV, 600, "0 0 80 gone.test");
	assert_int_equal(ask(RESOLVE_SRV, "_none._tcp.test")->result, -ENOENT);
	assert_string_equal(t.asked.why, "the service has no servers");
	assert_int_equal(ask(RESOLVE_SRV, "_lost._tcp.test")->result, -ENOENT);
	assert_int_equal(ask(RESOLVE_SRV, "_other._tcp.test")->result, -ENOENT);
}

static void test_says_when_targets_are_missing(void **state)
{
	dns_add("_part._tcp.test", DNS_SRV, 600, "10 1 80 good.test");
	dns_add("_part._tcp.test", DNS_SRV, 600, "10 1 80 bad.test");
	dns_add("_part._tcp.test", DNS_SRV, 600, "10 1 80 gone.test");
	dns_add("good.test", DNS_A, 30, "10.0.0.1");
	dns_rule("bad.test", DNS_SERVFAIL, DNS_ANSWER);
	assert_int_equal(ask(RESOLVE_SRV, "_part._tcp.test")->result, 0);
	assert_string_equal(t.asked.found, "10/1 10.0.0.1:80");
	assert_true(t.asked.partial);
}

static void test_cancels(void **state)
{
	struct asked a, b, c;

	dns_rule("silent.test", DNS_OK, DNS_SILENT);
	dns_add("app.test", DNS_A, 60, "10.0.0.1");
	begin(&a, RESOLVE_ADDRESS, "app.test", TIMEOUT_MS);
	begin(&b, RESOLVE_ADDRESS, "127.0.0.1", TIMEOUT_MS);
	begin(&c, RESOLVE_ADDRESS, "silent.test", TIMEOUT_MS);
	resolve_cancel(&a.query);
	resolve_cancel(&b.query);
	resolve_cancel(&c.query);
	resolve_cancel(&c.query);
	/* The same name again, while c-ares still works on what nobody wants. */
	assert_int_equal(ask(RESOLVE_ADDRESS, "app.test")->result, 0);
	assert_int_equal(a.done + b.done + c.done, 0);
}

static void on_done_frees(struct resolve_query *query, const struct resolve_answer *answer)
{
	on_done(query, answer);
	resolver_free(t.resolver);
	t.resolver = NULL;
}

static void test_is_freed_by_an_answer(void **state)
{
	struct asked other;

	dns_rule("silent.test", DNS_OK, DNS_SILENT);
	begin(&other, RESOLVE_ADDRESS, "silent.test", TIMEOUT_MS);
	begin(&t.asked, RESOLVE_ADDRESS, "silent.test", SHORT_MS);
	t.asked.query.done = on_done_frees;
	PAIR_UNTIL(t.loop, t.asked.done);
	pair_turns(t.loop, 5);
	assert_int_equal(other.done, 0);
	/* Its owner may still cancel it. */
	resolve_cancel(&other.query);
}

static void test_bounds_its_queries(void **state)
{
	static struct asked many[RESOLVE_QUERIES_MAX];

	dns_rule("silent.test", DNS_OK, DNS_SILENT);
	for (unsigned i = 0; i < RESOLVE_QUERIES_MAX; i++)
		begin(&many[i], RESOLVE_ADDRESS, "silent.test", TIMEOUT_MS);
	assert_int_equal(ask(RESOLVE_ADDRESS, "app.test")->result, -EAGAIN);
	assert_string_equal(t.asked.why, "too many lookups at a time");
	resolver_free(t.resolver);
	t.resolver = NULL;
	for (unsigned i = 0; i < RESOLVE_QUERIES_MAX; i++)
		assert_int_equal(many[i].done, 0);
}

static void test_refuses_servers_that_are_none(void **state)
{
	struct resolver *r = NULL;
	char why[128] = "";

	assert_int_equal(resolver_new(t.loop, "nonsense", &r, why, sizeof(why)), -EINVAL);
	assert_non_null(strstr(why, "\"nonsense\" are no name servers"));
	assert_null(r);
}

static void test_says_that_it_is_not_built_in(void **state)
{
	struct resolver *r = NULL;
	char why[128] = "";

	assert_int_equal(resolver_new(NULL, NULL, &r, why, sizeof(why)), -ENOSYS);
	assert_non_null(strstr(why, "built without c-ares"));
	assert_null(r);
}

#define WITH(test) cmocka_unit_test_setup_teardown(test, start, stop)

int main(void)
{
	const struct CMUnitTest tests[] = {
		WITH(test_finds_addresses_in_one_order),
		WITH(test_brings_the_ttl_into_bounds),
		WITH(test_asks_nobody_for_numbers_and_hosts),
		WITH(test_tells_failures_apart),
		WITH(test_refuses_a_name_that_is_too_long),
		WITH(test_gives_up_in_its_time),
		WITH(test_takes_no_garbage_for_an_answer),
		WITH(test_survives_noise),
		WITH(test_asks_again_over_tcp),
		WITH(test_cuts_what_is_over_its_limit),
		WITH(test_finds_services),
		WITH(test_a_service_without_servers_is_not_there),
		WITH(test_says_when_targets_are_missing),
		WITH(test_cancels),
		WITH(test_is_freed_by_an_answer),
		WITH(test_bounds_its_queries),
		WITH(test_refuses_servers_that_are_none),
	};
	const struct CMUnitTest without[] = {cmocka_unit_test(test_says_that_it_is_not_built_in)};

	if (!SLUICE_HAVE_CARES)
		return cmocka_run_group_tests(without, NULL, NULL);
	return RUN_OVER_ENGINES(tests);
}
