// SPDX-License-Identifier: Apache-2.0
#include "app/process.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/log.h"
#include "unit.h"

static char folder[64], why[512];

static int setup(void **state)
{
	snprintf(folder, sizeof(folder), "/tmp/sluice-process-XXXXXX");
	return mkdtemp(folder) ? 0 : -1;
}

static int teardown(void **state)
{
	return rmdir(folder);
}

static struct str in_folder(char *text, size_t len, const char *name)
{
	snprintf(text, len, "%s/%s", folder, name);
	return str_from(text);
}

/* What the file holds; empty when there is none. */
static const char *content(const char *path)
{
	static char text[4096];
	int fd = open(path, O_RDONLY);
	ssize_t n = fd < 0 ? 0 : read(fd, text, sizeof(text) - 1);

	text[n < 0 ? 0 : n] = '\0';
	if (fd >= 0)
		close(fd);
	return text;
}

static void test_a_pid_file_is_one_server(void **state)
{
	char path[128], mine[32];
	struct str name = in_folder(path, sizeof(path), "pid");
	struct app_pid_file first, second;

	/* A stale one, of a process that even runs. */
	FILE *stale = fopen(path, "we");
	assert_non_null(stale);
	fprintf(stale, "1\nmore\n");
	fclose(stale);

	assert_int_equal(app_pid_file_make(&first, name, why, sizeof(why)), 0);
	snprintf(mine, sizeof(mine), "%d\n", (int)getpid());
	assert_string_equal(content(path), mine);

	assert_int_equal(app_pid_file_make(&second, name, why, sizeof(why)), -EEXIST);
	assert_non_null(strstr(why, "stop"));
	assert_string_equal(content(path), mine);
	app_pid_file_remove(&second);

	app_pid_file_remove(&first);
	assert_int_equal(access(path, F_OK), -1);
	assert_int_equal(app_pid_file_make(&second, name, why, sizeof(why)), 0);
	app_pid_file_remove(&second);
}

static void test_a_pid_file_that_cannot_be_made(void **state)
{
	char path[128];
	struct app_pid_file file;

	assert_int_equal(app_pid_file_make(&file, in_folder(path, sizeof(path), "no/pid"), why,
					   sizeof(why)),
			 -ENOENT);
	assert_non_null(strstr(why, "folder"));
	app_pid_file_remove(&file);
	assert_int_equal(app_pid_file_make(&file, STR(""), why, sizeof(why)), 0);
	assert_int_equal(file.fd, -1);
	app_pid_file_remove(&file);
}

static void test_the_log_goes_to_its_file(void **state)
{
	char path[128], other[128], moved[128];
	struct app_log_file file = APP_LOG_FILE_NONE;
	struct app_log log = {.level = LOG_INFO, .file = in_folder(path, sizeof(path), "log")};
	struct app_log next = {.level = LOG_WARN, .file = in_folder(other, sizeof(other), "next")};

	in_folder(moved, sizeof(moved), "moved");
	assert_int_equal(app_log_use(&file, &log, why, sizeof(why)), 0);
	int fd = file.fd;
	log_info("one");
	assert_int_equal(rename(path, moved), 0);
	log_info("two");
	app_log_reopen(&file, &log);
	log_info("three");
	assert_non_null(strstr(content(moved), "one\n"));
	assert_non_null(strstr(content(moved), "two\n"));
	assert_null(strstr(content(moved), "three\n"));
	assert_non_null(strstr(content(path), "three\n"));

	/* Another file and another level; the descriptor that threads write to has the same number. */
	assert_int_equal(app_log_use(&file, &next, why, sizeof(why)), 0);
	assert_int_equal(file.fd, fd);
	log_info("four");
	log_warn("five");
	assert_null(strstr(content(other), "four\n"));
	assert_non_null(strstr(content(other), "five\n"));
	app_log_leave(&file);
	unlink(path);
	unlink(moved);
	unlink(other);
}

static void test_a_log_that_cannot_be_opened_leaves_the_old_one(void **state)
{
	char path[128], bad[128];
	struct app_log_file file = APP_LOG_FILE_NONE;
	struct app_log log = {.level = LOG_INFO, .file = in_folder(path, sizeof(path), "log")};
	struct app_log wrong = {.level = LOG_OFF, .file = in_folder(bad, sizeof(bad), "no/log")};

	assert_int_equal(app_log_use(&file, &log, why, sizeof(why)), 0);
	assert_int_equal(app_log_use(&file, &wrong, why, sizeof(why)), -ENOENT);
	assert_non_null(strstr(why, bad));
	log_info("still here");
	assert_non_null(strstr(content(path), "still here\n"));

	/* A rotation into a folder that is gone. */
	free(file.path);
	file.path = strdup(bad);
	app_log_reopen(&file, &log);
	log_info("and here");
	assert_non_null(strstr(content(path), "cannot be opened again"));
	assert_non_null(strstr(content(path), "and here\n"));
	app_log_leave(&file);
	unlink(path);
}

static int listen_datagrams(const char *path)
{
	struct sockaddr_un addr = {.sun_family = AF_UNIX};
	size_t len = strlen(path);
	int fd = socket(AF_UNIX, SOCK_DGRAM, 0);

	memcpy(addr.sun_path, path, len);
	if (path[0] == '@')
		addr.sun_path[0] = '\0';
	assert_int_equal(
		bind(fd, (struct sockaddr *)&addr,
		     (socklen_t)(offsetof(struct sockaddr_un, sun_path) + len + (path[0] != '@'))),
		0);
	return fd;
}

static void notify_by(const char *path)
{
	struct app_notify notify;
	char text[64] = "";
	int fd = listen_datagrams(path);

	assert_int_equal(setenv("NOTIFY_SOCKET", path, 1), 0);
	app_notify_init(&notify);
	app_notify_send(&notify, "READY=%d", 1);
	assert_int_equal(recv(fd, text, sizeof(text) - 1, MSG_DONTWAIT), 7);
	assert_string_equal(text, "READY=1");
	app_notify_close(&notify);
	close(fd);
	unsetenv("NOTIFY_SOCKET");
}

static void test_the_service_manager_is_told(void **state)
{
	char path[128];

	in_folder(path, sizeof(path), "notify");
	notify_by(path);
	unlink(path);
	snprintf(path, sizeof(path), "@sluice-test-%d", (int)getpid());
	notify_by(path);
}

static void test_nobody_is_told_without_a_socket(void **state)
{
	const char *const paths[] = {"", "relative", "/", "@"};
	struct app_notify notify;
	char path[200];

	unsetenv("NOTIFY_SOCKET");
	app_notify_init(&notify);
	assert_int_equal(notify.fd, -1);
	app_notify_send(&notify, "READY=1");
	for (unsigned i = 0; i < SL_ARRAY_SIZE(paths); i++) {
		setenv("NOTIFY_SOCKET", paths[i], 1);
		app_notify_init(&notify);
		assert_int_equal(notify.fd, -1);
	}
	/* One byte more than a name takes. */
	memset(path, 'a', sizeof(path));
	path[0] = '/';
	path[sizeof(notify.addr.sun_path)] = '\0';
	setenv("NOTIFY_SOCKET", path, 1);
	app_notify_init(&notify);
	assert_int_equal(notify.fd, -1);
	unsetenv("NOTIFY_SOCKET");
}

static void test_the_watchdog_is_for_one_process(void **state)
{
	struct app_notify notify;
	char text[32];

	setenv("NOTIFY_SOCKET", "@sluice-nobody", 1);
	setenv("WATCHDOG_USEC", "30000000", 1);
	app_notify_init(&notify);
	assert_int_equal(notify.watchdog_ms, 30000);
	app_notify_close(&notify);
	snprintf(text, sizeof(text), "%d", (int)getpid());
	setenv("WATCHDOG_PID", text, 1);
	app_notify_init(&notify);
	assert_int_equal(notify.watchdog_ms, 30000);
	app_notify_close(&notify);
	setenv("WATCHDOG_PID", "1", 1);
	app_notify_init(&notify);
	assert_int_equal(notify.watchdog_ms, 0);
	app_notify_close(&notify);
	unsetenv("WATCHDOG_PID");
	unsetenv("WATCHDOG_USEC");
	unsetenv("NOTIFY_SOCKET");
}

static void test_users_are_found(void **state)
{
	struct app_user user;

	assert_int_equal(app_user_find(&user, STR(""), STR(""), why, sizeof(why)), 0);
	assert_false(user.wanted);
	assert_int_equal(app_user_become(&user, why, sizeof(why)), 0);
	assert_int_equal(app_user_find(&user, STR("root"), STR(""), why, sizeof(why)), 0);
	assert_int_equal(user.uid, 0);
	assert_string_equal(user.name, "root");
	assert_int_equal(app_user_find(&user, STR("4321"), STR("1234"), why, sizeof(why)), 0);
	assert_int_equal(user.uid, 4321);
	assert_int_equal(user.gid, 1234);
	assert_int_equal(app_user_find(&user, STR("no-such-user"), STR(""), why, sizeof(why)),
			 -ENOENT);
	assert_non_null(strstr(why, "adduser"));
	assert_int_equal(app_user_find(&user, STR(""), STR("no-such-group"), why, sizeof(why)),
			 -ENOENT);
	assert_non_null(strstr(why, "addgroup"));
}

/* In a process of its own: 0 when there is no way back. */
static int become_for_good(void)
{
	struct app_user user;

	if (app_user_find(&user, STR("65534"), STR("65534"), why, sizeof(why)) ||
	    app_user_become(&user, why, sizeof(why)))
		return 1;
	if (getuid() != 65534 || geteuid() != 65534 || getgid() != 65534 || getegid() != 65534)
		return 2;
	if (!setuid(0) || !seteuid(0) || prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0) != 1)
		return 3;
	/* Being it already is fine; becoming another is refused. */
	if (app_user_become(&user, why, sizeof(why)))
		return 4;
	user.uid = 65533;
	return app_user_become(&user, why, sizeof(why)) == -EPERM && strstr(why, "root") ? 0 : 5;
}

static void test_root_becomes_another_user_for_good(void **state)
{
	int status;

	if (geteuid() != 0)
		unit_skip("only root can become another user");
	pid_t child = fork();
	assert_true(child >= 0);
	if (!child)
		_exit(become_for_good());
	assert_int_equal(waitpid(child, &status, 0), child);
	assert_true(WIFEXITED(status));
	assert_int_equal(WEXITSTATUS(status), 0);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_a_pid_file_is_one_server),
		TEST(test_a_pid_file_that_cannot_be_made),
		TEST(test_the_log_goes_to_its_file),
		TEST(test_a_log_that_cannot_be_opened_leaves_the_old_one),
		TEST(test_the_service_manager_is_told),
		TEST(test_nobody_is_told_without_a_socket),
		TEST(test_the_watchdog_is_for_one_process),
		TEST(test_users_are_found),
		TEST(test_root_becomes_another_user_for_good),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
