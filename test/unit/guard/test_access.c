// SPDX-License-Identifier: Apache-2.0
/* Access lists: the longest prefix decides, files are read and read anew, wrong ones are refused with the cure. */
#include "guard/access.h"

#include <arpa/inet.h>
#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/compiler.h"
#include "base/log.h"
#include "random.h"
#include "unit.h"

#define PREFIXES_MAX 400

static char folder[] = "/tmp/sluice-access-XXXXXX";
static char path[2][64];

static struct net_addr addr(const char *text)
{
	struct net_addr a = {0};
	struct sockaddr_in *v4 = (struct sockaddr_in *)&a.u.storage;
	struct sockaddr_in6 *v6 = (struct sockaddr_in6 *)&a.u.storage;

	if (inet_pton(AF_INET, text, &v4->sin_addr) == 1) {
		v4->sin_family = AF_INET;
		a.len = sizeof(*v4);
	} else {
		assert_int_equal(inet_pton(AF_INET6, text, &v6->sin6_addr), 1);
		v6->sin6_family = AF_INET6;
		a.len = sizeof(*v6);
	}
	return a;
}

static void put(unsigned file, const char *text)
{
	char fresh[80];

	snprintf(fresh, sizeof(fresh), "%s.new", path[file]);
	FILE *f = fopen(fresh, "w");
	assert_non_null(f);
	fputs(text, f);
	assert_int_equal(fclose(f), 0);
	assert_int_equal(rename(fresh, path[file]), 0);
}

/* Lists as one text each, prefixes apart by spaces; NULL: none. */
static int make(const char *allow, const char *deny, bool deny_others, struct guard_access **a,
		char why[512])
{
	static struct str v[2][PREFIXES_MAX];
	unsigned n[2] = {0, 0};
	const char *lists[2] = {allow, deny};
	struct str text;

	for (unsigned i = 0; i < 2; i++) {
		for (text = str_from(lists[i]); str_next(&text, ' ', &v[i][n[i]]);)
			n[i]++;
	}
	const struct guard_access_config config = {.name = STR("test"),
						   .allow = v[0],
						   .deny = v[1],
						   .allow_count = n[0],
						   .deny_count = n[1],
						   .deny_others = deny_others};
	why[0] = '\0';
	return guard_access_new(&config, a, why, 512);
}

static int make_files(struct guard_access **a, char why[512])
{
	const struct str allow = str_from(path[0]), deny = str_from(path[1]);
	const struct guard_access_config config = {.name = STR("test"),
						   .allow_files = &allow,
						   .deny_files = &deny,
						   .allow_file_count = 1,
						   .deny_file_count = 1,
						   .deny_others = true};
	why[0] = '\0';
	return guard_access_new(&config, a, why, 512);
}

static bool allows(struct guard_access *a, const char *text)
{
	struct net_addr x = addr(text);

	return guard_access_allows(a, &x);
}

static void test_longest_decides(void **state)
{
	struct guard_access *a;
	char why[512];

	assert_int_equal(make("10.0.0.0/8 10.1.2.0/24 2001:db8::/32 192.0.2.7",
			      "10.1.0.0/16 2001:db8:1::/48 0.0.0.0/1", true, &a, why),
			 0);
	assert_true(allows(a, "10.0.0.0"));
	assert_true(allows(a, "10.255.255.255"));
	assert_false(allows(a, "9.255.255.255"));
	assert_false(allows(a, "11.0.0.0"));
	assert_true(allows(a, "10.0.255.255"));
	assert_false(allows(a, "10.1.0.0"));
	assert_false(allows(a, "10.1.1.255"));
	assert_true(allows(a, "10.1.2.0"));
	assert_true(allows(a, "10.1.2.255"));
	assert_false(allows(a, "10.1.3.0"));
	assert_true(allows(a, "10.2.0.0"));
	assert_false(allows(a, "255.255.255.255"));
	assert_false(allows(a, "192.0.2.6"));
	assert_true(allows(a, "192.0.2.7"));
	assert_false(allows(a, "192.0.2.8"));
	/* IPv4 in IPv6 is IPv4. */
	assert_true(allows(a, "::ffff:10.1.2.3"));
	assert_false(allows(a, "::ffff:10.1.3.3"));
	assert_true(allows(a, "2001:db8::"));
	assert_true(allows(a, "2001:db8:0:ffff:ffff:ffff:ffff:ffff"));
	assert_false(allows(a, "2001:db8:1::1"));
	assert_true(allows(a, "2001:db8:2::"));
	assert_true(allows(a, "2001:db8:ffff:ffff:ffff:ffff:ffff:ffff"));
	assert_false(allows(a, "2001:db9::"));
	assert_false(allows(a, "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff"));
	guard_access_unref(guard_access_ref(a));
	guard_access_unref(a);
	guard_access_unref(NULL);
}

static void test_others(void **state)
{
	struct net_addr path_addr = {.len = sizeof(sa_family_t), .u.un.sun_family = AF_UNIX},
			none = {0};
	struct guard_access *a;
	char why[512];

	assert_int_equal(make("", "", false, &a, why), 0);
	assert_true(allows(a, "0.0.0.0") && allows(a, "::") && allows(a, "255.255.255.255"));
	guard_access_unref(a);
	assert_int_equal(make("", "", true, &a, why), 0);
	assert_false(allows(a, "0.0.0.0") || allows(a, "::") || allows(a, "255.255.255.255"));
	assert_true(guard_access_allows(a, &path_addr));
	assert_false(guard_access_allows(a, &none));
	guard_access_unref(a);
	assert_int_equal(make("all ::ffff:1.2.3.0/120", "1.2.0.0/16 ::/1", true, &a, why), 0);
	assert_true(allows(a, "0.0.0.0") && allows(a, "8000::") && allows(a, "1.2.3.4"));
	assert_false(allows(a, "7fff::1") || allows(a, "1.2.4.4"));
	guard_access_unref(a);
	/* The same one twice is no contradiction. */
	assert_int_equal(make("10.0.0.0/8 10.0.0.0/8 all all", "", true, &a, why), 0);
	guard_access_unref(a);
}

static void refused(const char *prefix, const char *because)
{
	struct guard_access *a;
	char why[512];

	assert_int_equal(make(prefix, NULL, true, &a, why), -EINVAL);
	if (!strstr(why, because) || !strstr(why, prefix))
		fail_msg("%s: %s", prefix, why);
}

static void test_refused(void **state)
{
	refused("10.0.0.0/33", "up to 32");
	refused("10.0.0.0/", "up to 32");
	refused("10.0.0.0/+8", "up to 32");
	refused("::1/129", "up to 128");
	refused("10.0.0/8", "write \"10.0.0.0/8\"");
	refused("example.com", "is not a prefix");
	refused("/8", "is not a prefix");
	refused("10.0.0.1/8", "write \"10.0.0.0/8\"");
	refused("10.255.255.255/31", "write \"10.255.255.254/31\"");
	refused("1.0.0.0/0", "write \"0.0.0.0/0\"");
	refused("2001:db8::1/32", "write \"2001:db8::/32\"");
	refused("8000::/0", "write \"::/0\"");
	refused("fe80::1%eth0", "is not a prefix");
	refused("127.0.0.01", "is not a prefix");
	struct guard_access *a;
	char why[512];
	assert_int_equal(make("10.0.0.0/8 1.2.3.4", "9.9.9.9 1.2.3.4/32", true, &a, why), -EINVAL);
	assert_non_null(strstr(why, "same prefix is"));
	assert_non_null(strstr(why, "in the configuration"));
}

static void test_files(void **state)
{
	struct guard_access *a;
	char why[512];

	put(0, "# who may\r\n\n  10.0.0.0/8 # inside\r\n\t2001:db8::/32\n192.0.2.1");
	put(1, "10.9.0.0/16\n");
	assert_int_equal(make_files(&a, why), 0);
	assert_true(allows(a, "10.8.0.1") && allows(a, "2001:db8::1") && allows(a, "192.0.2.1"));
	assert_false(allows(a, "10.9.0.1") || allows(a, "192.0.2.2"));
	assert_false(guard_access_refresh(a));
	put(1, "10.8.0.0/16\n");
	assert_true(guard_access_refresh(a));
	assert_false(guard_access_refresh(a));
	assert_true(allows(a, "10.9.0.1"));
	assert_false(allows(a, "10.8.0.1"));
	/* What is wrong keeps the old ones. */
	put(1, "10.8.0.0/16\n10.7.0.0/160\n");
	assert_false(guard_access_refresh(a));
	assert_false(allows(a, "10.8.0.1"));
	assert_true(allows(a, "10.7.0.1"));
	assert_int_equal(unlink(path[0]), 0);
	assert_false(guard_access_refresh(a));
	assert_true(allows(a, "10.7.0.1"));
	put(0, "10.7.0.0/16\n");
	put(1, "10.8.0.0/16\n");
	assert_true(guard_access_refresh(a));
	assert_true(allows(a, "10.7.0.1"));
	assert_false(allows(a, "10.6.0.1"));
	guard_access_unref(a);
}

static void test_files_refused(void **state)
{
	struct guard_access *a;
	char why[512], begin[128];

	put(0, "10.0.0.0/8\n\n# x\n 10.0.0.0/40 # y\n");
	put(1, "");
	assert_int_equal(make_files(&a, why), -EINVAL);
	snprintf(begin, sizeof(begin), "%s:4: \"10.0.0.0/40\" has a length", path[0]);
	assert_ptr_equal(strstr(why, begin), why);
	put(0, "10.0.0.0/8\n1.1.1.1\n");
	put(1, "2.2.2.2\n\n10.0.0.0/8\n");
	assert_int_equal(make_files(&a, why), -EINVAL);
	assert_non_null(strstr(why, "the same prefix"));
	snprintf(begin, sizeof(begin), "%s:1", path[0]);
	assert_non_null(strstr(why, begin));
	snprintf(begin, sizeof(begin), "%s:3", path[1]);
	assert_non_null(strstr(why, begin));
	assert_int_equal(unlink(path[1]), 0);
	assert_int_equal(make_files(&a, why), -ENOENT);
	assert_ptr_equal(strstr(why, path[1]), why);
	assert_int_equal(mkdir(path[1], 0700), 0);
	assert_int_equal(make_files(&a, why), -EINVAL);
	assert_non_null(strstr(why, "not a regular file"));
	assert_int_equal(rmdir(path[1]), 0);
	put(1, "");
	assert_int_equal(truncate(path[1], (off_t)GUARD_ACCESS_FILE_MAX + 1), 0);
	assert_int_equal(make_files(&a, why), -EINVAL);
	assert_non_null(strstr(why, "larger than 64 MiB"));
	put(1, "10.0.0.0/8");
}

/* As many entries as there may be, and one more. */
static void test_entries_max(void **state)
{
	struct guard_access *a;
	char why[512];
	FILE *f = fopen(path[0], "w");

	assert_non_null(f);
	for (unsigned i = 0; i < GUARD_ACCESS_ENTRIES_MAX; i++)
		fprintf(f, "%u.%u.%u.0/25\n", 1 + (i >> 16), i >> 8 & 255, i & 255);
	assert_int_equal(fclose(f), 0);
	put(1, "");
	assert_int_equal(make_files(&a, why), 0);
	assert_true(allows(a, "1.0.0.127") && allows(a, "16.66.63.1"));
	assert_false(allows(a, "1.0.0.128") || allows(a, "16.66.64.1"));
	guard_access_unref(a);
	put(1, "::1");
	assert_int_equal(make_files(&a, why), -EINVAL);
	assert_non_null(strstr(why, "more than 1000000 prefixes"));
}

/* The property: what a list of prefixes says when each is looked at. */
struct prefix {
	uint8_t ip[16];
	unsigned bits;
	bool v6, allow;
};

static bool prefix_holds(const struct prefix *p, const uint8_t *ip)
{
	for (unsigned i = 0; i < p->bits; i++)
		if ((p->ip[i / 8] ^ ip[i / 8]) & 0x80 >> i % 8)
			return false;
	return true;
}

static bool naive(const struct prefix *v, unsigned n, const uint8_t *ip, bool v6, bool others)
{
	int longest = -1;
	bool verdict = others;

	for (unsigned i = 0; i < n; i++)
		if (v[i].v6 == v6 && (int)v[i].bits > longest && prefix_holds(&v[i], ip)) {
			longest = (int)v[i].bits;
			verdict = v[i].allow;
		}
	return verdict;
}

/* Few different bits, so that prefixes nest and touch. */
static void random_ip(struct random *r, uint8_t *ip)
{
	unsigned style = (unsigned)random_below(r, 4);

	for (unsigned i = 0; i < 16; i++)
		ip[i] = style == 0 ? (uint8_t)random_u64(r)
		      : style == 1 ? (random_u64(r) & 1 ? 0xff : 0)
				   : (uint8_t)(random_below(r, 2) << random_below(r, 8));
}

static void random_prefix(struct random *r, struct prefix *p)
{
	random_ip(r, p->ip);
	p->v6 = random_u64(r) & 1;
	p->allow = random_u64(r) & 1;
	p->bits = (unsigned)random_below(r, p->v6 ? 129 : 33);
	for (unsigned i = p->bits; i < 128; i++)
		p->ip[i / 8] &= (uint8_t) ~(0x80 >> i % 8);
	/* What is IPv4 in IPv6 is left to the tests above. */
	if (p->v6)
		p->ip[0] |= p->bits ? 0x80 : 0;
}

static void random_round(struct random *r)
{
	static struct prefix v[PREFIXES_MAX];
	static char text[PREFIXES_MAX][64];
	struct str lists[2][PREFIXES_MAX];
	unsigned n = 0, counts[2] = {0, 0}, want = (unsigned)random_below(r, PREFIXES_MAX);
	bool others = random_u64(r) & 1;
	char ip[INET6_ADDRSTRLEN], why[512];
	struct guard_access *a;

	while (n < want) {
		random_prefix(r, &v[n]);
		for (unsigned i = 0; i < n; i++)
			if (v[i].v6 == v[n].v6 && v[i].bits == v[n].bits &&
			    memcmp(v[i].ip, v[n].ip, 16) == 0)
				v[n].allow = v[i].allow;
		inet_ntop(v[n].v6 ? AF_INET6 : AF_INET, v[n].ip, ip, sizeof(ip));
		snprintf(text[n], sizeof(text[n]), "%s/%u", ip, v[n].bits);
		lists[v[n].allow][counts[v[n].allow]++] = str_from(text[n]);
		n++;
	}
	const struct guard_access_config config = {.allow = lists[1],
						   .deny = lists[0],
						   .allow_count = counts[1],
						   .deny_count = counts[0],
						   .deny_others = !others};
	assert_int_equal(guard_access_new(&config, &a, why, sizeof(why)), 0);
	for (unsigned i = 0; i < 2000; i++) {
		uint8_t x[16];
		bool v6 = random_u64(r) & 1;
		random_ip(r, x);
		if (n && random_u64(r) & 1) {
			/* The edges of a prefix. */
			const struct prefix *p = &v[random_below(r, n)];
			memcpy(x, p->ip, 16);
			v6 = p->v6;
			if (random_u64(r) & 1)
				for (unsigned bit = p->bits; bit < 128; bit++)
					x[bit / 8] |= (uint8_t)(0x80 >> bit % 8);
			x[v6 ? 15 : 3] += (uint8_t)(random_below(r, 3) - 1);
		}
		if (v6)
			x[0] |= 0x80;
		inet_ntop(v6 ? AF_INET6 : AF_INET, x, ip, sizeof(ip));
		if (allows(a, ip) != naive(v, n, x, v6, others))
			fail_msg("%s among %u prefixes", ip, n);
	}
	guard_access_unref(a);
}

static void test_as_the_naive_one(void **state)
{
	struct random r = random_start("access");

	for (unsigned i = 0; i < 60; i++)
		random_round(&r);
}

/* Lookups while the lists change. */
static struct guard_access *shared;
static atomic_bool over;
static atomic_uint wrong, looked;

static void *look_up(void *unused)
{
	while (!atomic_load(&over)) {
		/* Always allowed, always denied, and either. */
		if (!allows(shared, "10.0.0.1") || allows(shared, "11.0.0.1"))
			atomic_fetch_add(&wrong, 1);
		(void)allows(shared, "12.0.0.1");
		atomic_fetch_add(&looked, 1);
	}
	return NULL;
}

static void test_lookups_while_lists_change(void **state)
{
	pthread_t threads[3];
	char why[512];

	put(0, "10.0.0.0/8\n");
	put(1, "");
	assert_int_equal(make_files(&shared, why), 0);
	for (unsigned i = 0; i < SL_ARRAY_SIZE(threads); i++)
		assert_int_equal(pthread_create(&threads[i], NULL, look_up, NULL), 0);
	while (atomic_load(&looked) < 100)
		sched_yield();
	for (unsigned i = 0; i < 200; i++) {
		put(0, i & 1 ? "10.0.0.0/8\n" : "10.0.0.0/8\n12.0.0.0/8 # and this\n");
		assert_true(guard_access_refresh(shared));
	}
	atomic_store(&over, true);
	for (unsigned i = 0; i < SL_ARRAY_SIZE(threads); i++)
		assert_int_equal(pthread_join(threads[i], NULL), 0);
	assert_int_equal(atomic_load(&wrong), 0);
	guard_access_unref(shared);
}

static int begin(void **state)
{
	log_setup(2, LOG_OFF, LOG_TEXT);
	if (!mkdtemp(folder))
		return -1;
	snprintf(path[0], sizeof(path[0]), "%s/allow", folder);
	snprintf(path[1], sizeof(path[1]), "%s/deny", folder);
	return 0;
}

static int end(void **state)
{
	unlink(path[0]);
	unlink(path[1]);
	return rmdir(folder);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_longest_decides),
		cmocka_unit_test(test_others),
		cmocka_unit_test(test_refused),
		cmocka_unit_test(test_files),
		cmocka_unit_test(test_files_refused),
		cmocka_unit_test(test_entries_max),
		cmocka_unit_test(test_as_the_naive_one),
		cmocka_unit_test(test_lookups_while_lists_change),
	};

	return cmocka_run_group_tests(tests, begin, end);
}
