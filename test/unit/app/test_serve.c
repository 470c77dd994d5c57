// SPDX-License-Identifier: Apache-2.0
// The whole server in a thread of this process, asked by its admin socket and over HTTP.
#include "app/server.h"

#include <arpa/inet.h>
#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "app/admin.h"
#include "app/run.h"
#include "base/thread.h"
#include "unit.h"

#define PORTS_MAX 4

static struct fixture {
	char folder[64], text[2048], why[512];
	struct net_addr admin;
	pthread_t thread;
	pthread_mutex_t lock;
	pthread_cond_t ready;
	unsigned ports[PORTS_MAX], port_count;
	bool over;
	int result;
} f;

static int load(void *owner, struct app_config **made, struct app_errors *errors)
{
	char text[sizeof(f.text)];

	/* After a signal nothing else says that it was written before. */
	pthread_mutex_lock(&f.lock);
	memcpy(text, f.text, sizeof(text));
	pthread_mutex_unlock(&f.lock);
	return app_config_parse(str_from(text), "test.conf", true, NULL, made, errors);
}

static void ready(void *owner, const struct app_config *config, const struct net_addr *bound,
		  unsigned count)
{
	pthread_mutex_lock(&f.lock);
	for (unsigned i = 0; i < count && i < PORTS_MAX; i++)
		f.ports[i] = net_addr_port(&bound[i]);
	f.port_count = count;
	pthread_cond_signal(&f.ready);
	pthread_mutex_unlock(&f.lock);
}

static void *serve(void *arg)
{
	static const struct app_reload reload = {.load = load, .ready = ready};
	struct app_config *config = arg;
	int result = app_serve(config, &reload, f.why, sizeof(f.why));

	base_thread_exit();
	pthread_mutex_lock(&f.lock);
	f.over = true;
	f.result = result;
	pthread_cond_signal(&f.ready);
	pthread_mutex_unlock(&f.lock);
	return NULL;
}

/* The text of a configuration around one site; the folder's name stands for %s. */
static void configure(const char *top, const char *listens, const char *body)
{
	pthread_mutex_lock(&f.lock);
	snprintf(f.text, sizeof(f.text),
		 "%s\nlog { level = off; }\nadmin { listen = \"unix:%s/admin\"; }\n"
		 "site \"*\" { listen = [%s]; route / { respond { body = \"%s\"; } }\n"
		 "  route /status { status = true; } }\n",
		 top, f.folder, listens, body);
	pthread_mutex_unlock(&f.lock);
}

static void start(void)
{
	struct app_config *config = NULL;
	struct app_errors errors;

	app_errors_init(&errors);
	if (load(NULL, &config, &errors))
		fail_msg("%s", errors.lines[0].p);
	app_errors_free(&errors);
	assert_int_equal(pthread_create(&f.thread, NULL, serve, config), 0);
	pthread_mutex_lock(&f.lock);
	while (!f.port_count && !f.over)
		pthread_cond_wait(&f.ready, &f.lock);
	pthread_mutex_unlock(&f.lock);
}

static void end(int result)
{
	assert_int_equal(pthread_join(f.thread, NULL), 0);
	if (f.result != result)
		fail_msg("%d: %s", f.result, f.why);
}

/* The answer, in static storage. */
static const char *admin(const char *command, int result)
{
	static char text[8192];
	struct arena arena;
	struct str answer = STR("");
	int err;

	arena_init(&arena, 0);
	/* It listens from before `ready`, and answers from a moment after it. */
	err = app_admin_request(&f.admin, command, &arena, &answer);
	snprintf(text, sizeof(text), "%.*s", STR_ARG(answer));
	arena_free(&arena);
	if (err != result)
		fail_msg("%s: %d, not %d: %s", command, err, result, text);
	return text;
}

static int http_connect(unsigned port)
{
	struct sockaddr_in in = {.sin_family = AF_INET,
				 .sin_port = htons((uint16_t)port),
				 .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	int fd = socket(AF_INET, SOCK_STREAM, 0);

	if (connect(fd, (struct sockaddr *)&in, sizeof(in))) {
		close(fd);
		return -1;
	}
	return fd;
}

/* One request on a connection that stays; the response up to where `until` ends it, in static storage. */
static const char *http_ask(int fd, const char *path, const char *until)
{
	static char text[8192];
	size_t len = 0;
	int n = snprintf(text, sizeof(text), "GET %s HTTP/1.1\r\nHost: a\r\n\r\n", path);

	assert_int_equal(send(fd, text, (size_t)n, MSG_NOSIGNAL), n);
	text[0] = '\0';
	while (!strstr(text, until)) {
		ssize_t got = recv(fd, text + len, sizeof(text) - 1 - len, 0);
		if (got <= 0)
			fail_msg("closed after: %s", text);
		len += (size_t)got;
		text[len] = '\0';
	}
	return text;
}

static bool http_closed(int fd)
{
	char byte;

	return recv(fd, &byte, 1, 0) <= 0;
}

static int setup(void **state)
{
	sigset_t set;

	f = (struct fixture){.lock = PTHREAD_MUTEX_INITIALIZER, .ready = PTHREAD_COND_INITIALIZER};
	snprintf(f.folder, sizeof(f.folder), "/tmp/sluice-serve-XXXXXX");
	/* Signals are for the server's thread, as in the program. */
	sigemptyset(&set);
	sigaddset(&set, SIGTERM);
	sigaddset(&set, SIGHUP);
	sigaddset(&set, SIGUSR1);
	pthread_sigmask(SIG_BLOCK, &set, NULL);
	if (!mkdtemp(f.folder))
		return -1;
	char text[128];
	snprintf(text, sizeof(text), "unix:%s/admin", f.folder);
	return net_addr_parse(str_from(text), &f.admin, f.why, sizeof(f.why));
}

static int teardown(void **state)
{
	/* The admin socket's file is gone with the server. */
	return rmdir(f.folder);
}

static void test_status_and_stop(void **state)
{
	configure("workers = 2;", "\"127.0.0.1:0\"", "one");
	start();
	int fd = http_connect(f.ports[0]);
	assert_non_null(strstr(http_ask(fd, "/", "one"), " 200 "));
	assert_non_null(strstr(http_ask(fd, "/status", "responses_5xx"), "\nconnections 1\n"));
	const char *text = admin("status", 0);
	assert_non_null(strstr(text, "\nworkers 2\n"));
	assert_non_null(strstr(text, "\nrequests 2\n"));
	assert_non_null(strstr(text, "\nconfig_generation 1\n"));
	assert_non_null(strstr(admin("status json", 0), "\"requests\":2"));
	assert_non_null(strstr(admin("nonsense", -EREMOTEIO), "expected status"));
	assert_string_equal(admin("stop", 0), "");
	assert_true(http_closed(fd));
	close(fd);
	end(0);
}

static void test_a_reload_keeps_connections(void **state)
{
	configure("workers = 2;", "\"127.0.0.1:0\", \"127.0.0.2:0\"", "one");
	start();
	int stays = http_connect(f.ports[0]), fd;
	http_ask(stays, "/", "one");

	/* The order of addresses changes: a connection finds its own all the same. */
	configure("workers = 2;", "\"127.0.0.3:0\", \"127.0.0.1:0\"", "two");
	assert_string_equal(admin("reload", 0), "");
	http_ask(stays, "/", "two");
	fd = http_connect(f.ports[0]);
	http_ask(fd, "/", "two");
	close(fd);
	const char *text = admin("status", 0);
	assert_non_null(strstr(text, "\nconfig_generation 2\n"));
	assert_non_null(strstr(text, "\nrequests 3\n"));

	/* An address that is gone: what is open is told so, and closed. */
	configure("workers = 2;", "\"127.0.0.3:0\"", "three");
	assert_string_equal(admin("reload", 0), "");
	text = http_ask(stays, "/", "\r\n\r\n");
	assert_non_null(strstr(text, " 421 "));
	assert_non_null(strstr(text, "Connection: close"));
	close(stays);
	assert_int_equal(http_connect(f.ports[0]), -1);
	admin("stop", 0);
	end(0);
}

static void test_a_bad_reload_changes_nothing(void **state)
{
	configure("workers = 1;", "\"127.0.0.1:0\"", "one");
	start();
	int fd = http_connect(f.ports[0]);
	http_ask(fd, "/", "one");

	configure("wrokers = 1;", "\"127.0.0.1:0\"", "two");
	assert_non_null(strstr(admin("reload", -EREMOTEIO), "did you mean \"workers\""));
	http_ask(fd, "/", "one");

	/* An address that is taken, beside one that is free. */
	int other = socket(AF_INET, SOCK_STREAM, 0);
	struct sockaddr_in in = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(0x7f000004)};
	socklen_t len = sizeof(in);
	char listens[128];
	assert_int_equal(bind(other, (struct sockaddr *)&in, sizeof(in)), 0);
	assert_int_equal(listen(other, 1), 0);
	assert_int_equal(getsockname(other, (struct sockaddr *)&in, &len), 0);
	snprintf(listens, sizeof(listens), "\"127.0.0.1:0\", \"127.0.0.5:0\", \"127.0.0.4:%u\"",
		 ntohs(in.sin_port));
	configure("workers = 1;", listens, "two");
	assert_non_null(strstr(admin("reload", -EREMOTEIO), "in use"));
	http_ask(fd, "/", "one");
	assert_non_null(strstr(admin("status", 0), "\nconfig_generation 1\n"));

	/* What takes a restart is said, and the rest is done. */
	close(other);
	configure("workers = 3; pin = on;", listens, "two");
	const char *text = admin("reload", 0);
	assert_non_null(strstr(text, "`workers`"));
	assert_non_null(strstr(text, "`pin`"));
	http_ask(fd, "/", "two");
	assert_non_null(strstr(admin("status", 0), "\nworkers 1\n"));
	close(fd);
	admin("stop", 0);
	end(0);
}

/* So many as a configuration may have, and all of them others after the reload. */
static void test_every_address_changes(void **state)
{
	static const char *const accepts[] = {"reuseport", "main"};
	char listens[APP_LISTENS_MAX * 20], top[64];

	for (unsigned a = 0; a < SL_ARRAY_SIZE(accepts); a++) {
		snprintf(top, sizeof(top), "workers = 2; accept = %s;", accepts[a]);
		f.port_count = 0;
		for (unsigned round = 0; round < 3; round++) {
			size_t len = 0;
			for (unsigned i = 0; i < APP_LISTENS_MAX; i++)
				len += (size_t)snprintf(listens + len, sizeof(listens) - len,
							"%s\"127.0.%u.%u:0\"", i ? "," : "", round,
							i + 1);
			configure(top, listens, "one");
			if (round == 0)
				start();
			else
				assert_string_equal(admin("reload", 0), "");
		}
		assert_int_equal(f.port_count, APP_LISTENS_MAX);
		assert_non_null(strstr(admin("status", 0), "\nconfig_generation 3\n"));
		admin("stop", 0);
		end(0);
		f.over = false;
	}
}

static void test_the_main_thread_accepts(void **state)
{
	configure("workers = 2; accept = main;", "\"127.0.0.1:0\"", "one");
	start();
	int fds[6];
	for (unsigned i = 0; i < SL_ARRAY_SIZE(fds); i++) {
		fds[i] = http_connect(f.ports[0]);
		http_ask(fds[i], "/", "one");
	}
	/* The least loaded: so each worker has its half. */
	const char *text = admin("status json", 0);
	const char *workers = strstr(text, "\"workers\":");
	assert_non_null(workers);
	assert_non_null(strstr(workers, "\"connections_active\":3"));
	assert_non_null(strstr(strstr(workers, "\"connections_active\":3") + 1,
			       "\"connections_active\":3"));

	configure("workers = 2; accept = main;", "\"127.0.0.2:0\"", "two");
	admin("reload", 0);
	assert_int_equal(http_connect(f.ports[0]), -1);
	for (unsigned i = 0; i < SL_ARRAY_SIZE(fds); i++)
		close(fds[i]);
	admin("stop", 0);
	end(0);
}

static void test_signals(void **state)
{
	configure("workers = 1;", "\"127.0.0.1:0\"", "one");
	start();
	int fd = http_connect(f.ports[0]);
	http_ask(fd, "/", "one");
	configure("workers = 1;", "\"127.0.0.1:0\"", "two");
	kill(getpid(), SIGUSR1);
	kill(getpid(), SIGHUP);
	while (!strstr(admin("status", 0), "\nconfig_generation 2\n"))
		usleep(1000);
	http_ask(fd, "/", "two");
	kill(getpid(), SIGTERM);
	assert_true(http_closed(fd));
	close(fd);
	end(0);
}

static void test_many_reloads_at_once(void **state)
{
	int fds[APP_ADMIN_CLIENTS_MAX + 4];
	unsigned done = 0, busy = 0;

	configure("workers = 2;", "\"127.0.0.1:0\"", "one");
	start();
	for (unsigned i = 0; i < SL_ARRAY_SIZE(fds); i++) {
		fds[i] = socket(AF_UNIX, SOCK_STREAM, 0);
		assert_int_equal(connect(fds[i], &f.admin.u.sa, f.admin.len), 0);
	}
	for (unsigned i = 0; i < SL_ARRAY_SIZE(fds); i++)
		(void)!send(fds[i], "reload\n", 7, MSG_NOSIGNAL);
	for (unsigned i = 0; i < SL_ARRAY_SIZE(fds); i++) {
		char text[64] = "";
		ssize_t n = recv(fds[i], text, sizeof(text) - 1, 0);
		done += n == 3 && strcmp(text, "ok\n") == 0;
		busy += n > 0 && strstr(text, "too many");
		close(fds[i]);
	}
	assert_int_equal(done + busy, SL_ARRAY_SIZE(fds));
	assert_true(done >= APP_ADMIN_CLIENTS_MAX);
	admin("stop", 0);
	end(0);
}

static void test_admin_clients_are_bounded_in_length(void **state)
{
	char line[APP_ADMIN_LINE_BYTES + 1], text[64] = "";

	configure("workers = 1;", "\"127.0.0.1:0\"", "one");
	start();
	int fd = socket(AF_UNIX, SOCK_STREAM, 0);
	assert_int_equal(connect(fd, &f.admin.u.sa, f.admin.len), 0);
	memset(line, 'x', sizeof(line));
	assert_int_equal(send(fd, line, sizeof(line), MSG_NOSIGNAL), sizeof(line));
	assert_true(recv(fd, text, sizeof(text) - 1, MSG_WAITALL) > 0);
	assert_non_null(strstr(text, "error\nthe command is too long\n"));
	close(fd);
	/* One that says nothing does not hold up the end. */
	fd = socket(AF_UNIX, SOCK_STREAM, 0);
	assert_int_equal(connect(fd, &f.admin.u.sa, f.admin.len), 0);
	admin("stop", 0);
	end(0);
	close(fd);
}

static void test_what_cannot_start_says_why(void **state)
{
	configure("workers = 1; pid = \"/nonexistent/pid\";", "\"127.0.0.1:0\"", "one");
	start();
	end(-ENOENT);
	assert_non_null(strstr(f.why, "pid file"));

	f.over = false;
	configure("workers = 2;", "\"192.0.2.1:1\"", "one");
	start();
	end(-EADDRNOTAVAIL);
	assert_non_null(strstr(f.why, "192.0.2.1:1"));

	f.over = false;
	configure("workers = 2; access_log { format = json; file = \"/nonexistent/log\"; }",
		  "\"127.0.0.1:0\"", "one");
	start();
	end(-ENOENT);
	assert_non_null(strstr(f.why, "access log"));
}

static void test_lines_of_requests(void **state)
{
	char path[128], other[128], top[256], text[1024] = "";

	snprintf(path, sizeof(path), "%s/access", f.folder);
	snprintf(other, sizeof(other), "%s/other", f.folder);
	snprintf(top, sizeof(top), "workers = 2; access_log { format = common; file = \"%s\"; }",
		 path);
	configure(top, "\"127.0.0.1:0\"", "one");
	start();
	int fd = http_connect(f.ports[0]);
	http_ask(fd, "/first?q=1", "one");
	snprintf(top, sizeof(top), "workers = 2; access_log { format = json; file = \"%s\"; }",
		 other);
	configure(top, "\"127.0.0.1:0\"", "two");
	admin("reload", 0);
	http_ask(fd, "/second", "two");
	close(fd);
	admin("stop", 0);
	end(0);

	FILE *in = fopen(path, "re");
	assert_true(fread(text, 1, sizeof(text) - 1, in) > 0);
	fclose(in);
	assert_non_null(strstr(text, "127.0.0.1 - - ["));
	assert_non_null(strstr(text, "\"GET /first?q=1 HTTP/1.1\" 200 3\n"));
	assert_null(strstr(text, "second"));
	memset(text, 0, sizeof(text));
	in = fopen(other, "re");
	assert_true(fread(text, 1, sizeof(text) - 1, in) > 0);
	fclose(in);
	assert_non_null(strstr(text, "\"target\":\"/second\""));
	unlink(path);
	unlink(other);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_status_and_stop),
		TEST(test_a_reload_keeps_connections),
		TEST(test_a_bad_reload_changes_nothing),
		TEST(test_every_address_changes),
		TEST(test_the_main_thread_accepts),
		TEST(test_signals),
		TEST(test_many_reloads_at_once),
		TEST(test_admin_clients_are_bounded_in_length),
		TEST(test_what_cannot_start_says_why),
		TEST(test_lines_of_requests),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
