// SPDX-License-Identifier: Apache-2.0
/* Opening, inheriting and accepting. */
#include "net/listener.h"

#include <fcntl.h>
#include <stdio.h>
#include <sys/resource.h>
#include <sys/stat.h>

#include "net/pair.h"

#define FDS_MAX 64

static struct {
	struct io_loop *loop;
	struct net_listener listener;
	struct net_addr addr;
	int accepted[FDS_MAX], spare;
	unsigned count, starved;
	bool stopped;
} t;

static void on_accepted(struct net_listener *l, int fd)
{
	assert_ptr_equal(l->owner, &t);
	assert_true(t.count < FDS_MAX);
	assert_true(fcntl(fd, F_GETFL) & O_NONBLOCK);
	assert_true(fcntl(fd, F_GETFD) & FD_CLOEXEC);
	t.accepted[t.count++] = fd;
}

/* Gives up a descriptor once. */
static bool on_starved(struct net_listener *l)
{
	t.starved++;
	if (t.spare < 0)
		return false;
	close(t.spare);
	t.spare = -1;
	return true;
}

static void on_stopped(struct net_listener *l)
{
	t.stopped = true;
}

static int start(void **state)
{
	static const struct net_listener_events events = {.accepted = on_accepted,
							  .starved = on_starved};
	const struct net_options options = {0};
	char why[256] = "";

	memset(&t, 0, sizeof(t));
	t.spare = -1;
	t.loop = pair_loop();
	int fd = net_listen_text(STR("127.0.0.1:0"), &options, &t.addr, why, sizeof(why));
	assert_true(fd >= 0);
	assert_true(net_addr_port(&t.addr) > 0);
	assert_int_equal(net_listener_start(&t.listener, t.loop, fd, &events, &t), 0);
	return 0;
}

static int stop(void **state)
{
	if (!t.listener.fd.closing)
		net_listener_stop(&t.listener, on_stopped);
	PAIR_UNTIL(t.loop, t.stopped);
	for (unsigned i = 0; i < t.count; i++)
		close(t.accepted[i]);
	pair_loop_free(t.loop);
	return 0;
}

static int client(void)
{
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	assert_int_equal(connect(fd, &t.addr.u.sa, t.addr.len), 0);
	return fd;
}

static void test_accepts(void **state)
{
	int clients[10];

	for (unsigned i = 0; i < 10; i++)
		clients[i] = client();
	PAIR_UNTIL(t.loop, t.count == 10);
	assert_int_equal(t.listener.accepted, 10);
	for (unsigned i = 0; i < 10; i++)
		close(clients[i]);
}

static void test_stop_takes_who_waits(void **state)
{
	int one = client(), two = client();

	net_listener_stop(&t.listener, on_stopped);
	PAIR_UNTIL(t.loop, t.stopped);
	assert_int_equal(t.count, 2);
	close(one);
	close(two);
}

/* No descriptor above the ones that are open now. */
static rlim_t limit_descriptors(void)
{
	struct rlimit limit;
	rlim_t before;
	int next = dup(0);

	assert_int_equal(getrlimit(RLIMIT_NOFILE, &limit), 0);
	before = limit.rlim_cur;
	limit.rlim_cur = (rlim_t)next;
	close(next);
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &limit), 0);
	return before;
}

static void restore_descriptors(rlim_t before)
{
	struct rlimit limit;

	assert_int_equal(getrlimit(RLIMIT_NOFILE, &limit), 0);
	limit.rlim_cur = before;
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &limit), 0);
}

static void test_out_of_descriptors_refuses(void **state)
{
	int one = client();
	rlim_t before = limit_descriptors();
	struct pair_in in = {0};

	pair_read_to_end(t.loop, one, &in);
	assert_int_equal(t.count, 0);
	assert_true(t.starved >= 1);
	assert_int_equal(t.listener.refused, 1);
	restore_descriptors(before);
	close(one);
	/* It is over when there is room. */
	one = client();
	PAIR_UNTIL(t.loop, t.count == 1);
	close(one);
	free(in.text);
}

static void test_out_of_descriptors_makes_room(void **state)
{
	int one = client();

	t.spare = open("/dev/null", O_RDONLY | O_CLOEXEC);
	rlim_t before = limit_descriptors();
	PAIR_UNTIL(t.loop, t.count == 1);
	assert_int_equal(t.starved, 1);
	assert_int_equal(t.listener.refused, 0);
	restore_descriptors(before);
	close(one);
}

/* Opening. */

static void test_in_use(void **state)
{
	const struct net_options options = {0};
	char why[256] = "", text[NET_ADDR_TEXT];

	net_addr_print(&t.addr, text);
	assert_int_equal(net_listen(&t.addr, &options, why, sizeof(why)), -EADDRINUSE);
	assert_non_null(strstr(why, text));
	assert_non_null(strstr(why, "in use"));
	assert_int_equal(net_listen_text(STR("192.0.2.1:0"), &options, &(struct net_addr){0}, why,
					 sizeof(why)),
			 -EADDRNOTAVAIL);
	assert_int_equal(net_listen_text(STR("nowhere:0"), &options, &(struct net_addr){0}, why,
					 sizeof(why)),
			 -EINVAL);
}

static void test_options_are_set(void **state)
{
	const struct net_options options = {.reuseport = true, .keepalive_s = 77, .backlog = 5};
	struct net_addr addr;
	char why[256] = "";
	int value = 0;
	socklen_t len = sizeof(value);
	int one = net_listen_text(STR("127.0.0.1:0"), &options, &addr, why, sizeof(why));
	int two = net_listen(&addr, &options, why, sizeof(why));

	assert_true(one >= 0 && two >= 0);
	assert_int_equal(getsockopt(one, SOL_SOCKET, SO_KEEPALIVE, &value, &len), 0);
	assert_int_equal(value, 1);
	assert_true(fcntl(one, F_GETFD) & FD_CLOEXEC);
	close(one);
	close(two);
}

static void test_unix_sockets(void **state)
{
	const struct net_options options = {.unix_mode = 0600};
	char folder[] = "/tmp/sluice-test-XXXXXX", text[64], why[256] = "";
	struct net_addr addr;
	struct stat st;

	assert_non_null(mkdtemp(folder));
	snprintf(text, sizeof(text), "unix:%s/s", folder);
	int first = net_listen_text(str_from(text), &options, &addr, why, sizeof(why));
	assert_true(first >= 0);
	assert_int_equal(stat(text + 5, &st), 0);
	assert_int_equal(st.st_mode & 0777, 0600);
	/* One that answers is left alone, what a crash left is replaced. */
	assert_int_equal(net_listen(&addr, &options, why, sizeof(why)), -EADDRINUSE);
	close(first);
	int second = net_listen(&addr, &options, why, sizeof(why));
	assert_true(second >= 0);
	close(second);
	unlink(text + 5);
	/* Any other file is left alone too. */
	int file = open(text + 5, O_CREAT | O_WRONLY | O_CLOEXEC, 0600);
	assert_int_equal(net_listen(&addr, &options, why, sizeof(why)), -EADDRINUSE);
	assert_int_equal(stat(text + 5, &st), 0);
	close(file);
	unlink(text + 5);
	rmdir(folder);
}

/* systemd's protocol wants descriptor 3: whatever is there is put aside. */
static void test_inherited(void **state)
{
	const struct net_options options = {0};
	struct net_addr addr, other = t.addr;
	char why[256] = "", pid[20];
	int fd = net_listen_text(STR("127.0.0.1:0"), &options, &addr, why, sizeof(why));
	int aside = fcntl(3, F_DUPFD_CLOEXEC, 100);

	assert_true(fd >= 0);
	if (fd != 3)
		assert_int_equal(dup2(fd, 3), 3);
	snprintf(pid, sizeof(pid), "%d", (int)getpid());
	setenv("LISTEN_FDS", "1", 1);
	setenv("LISTEN_PID", "1", 1);
	assert_int_equal(net_inherited(&addr), -ENOENT);
	setenv("LISTEN_PID", pid, 1);
	assert_int_equal(net_inherited(&other), -ENOENT);
	assert_int_equal(net_inherited(&addr), 3);
	assert_true(fcntl(3, F_GETFL) & O_NONBLOCK);
	assert_true(fcntl(3, F_GETFD) & FD_CLOEXEC);
	/* Once. */
	assert_int_equal(net_inherited(&addr), -ENOENT);
	unsetenv("LISTEN_FDS");
	unsetenv("LISTEN_PID");
	if (aside >= 0) {
		dup2(aside, 3);
		close(aside);
	}
	if (fd != 3)
		close(fd);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, start, stop)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_accepts),
		TEST(test_stop_takes_who_waits),
		TEST(test_out_of_descriptors_refuses),
		TEST(test_out_of_descriptors_makes_room),
		TEST(test_in_use),
		TEST(test_options_are_set),
		TEST(test_unix_sockets),
	};
	/* A descriptor is handed out once in a process. */
	const struct CMUnitTest once[] = {TEST(test_inherited)};

	return RUN_OVER_ENGINES(tests) + cmocka_run_group_tests_name("inherited", once, NULL, NULL);
}
