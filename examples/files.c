/* A file server in a few lines: files [FOLDER [ADDRESS]]. */
#include <signal.h>
#include <stdio.h>

#include <sluice/http.h>

static struct sl_loop *loop;

static void stop(int signal)
{
	(void)signal;
	sl_loop_stop(loop);
}

static void stopped(void *owner)
{
	(void)owner;
	sl_loop_stop(loop);
}

int main(int argc, char **argv)
{
	char why[256] = "out of memory", address[128];
	const char *folder = argc > 1 ? argv[1] : ".";
	struct sl_http *http = NULL;

	loop = sl_loop_new(NULL, why, sizeof(why));
	if (loop)
		http = sl_http_new(loop);
	if (!http || sl_http_files(http, "/", folder) ||
	    sl_http_start(http, argc > 2 ? argv[2] : "127.0.0.1:7080", why, sizeof(why))) {
		fprintf(stderr, "files: %s\n", why);
		return 1;
	}
	signal(SIGINT, stop);
	signal(SIGTERM, stop);
	sl_http_address(http, address, sizeof(address));
	printf("%s at http://%s/\n", folder, address);
	fflush(stdout);
	int err = sl_loop_run(loop);
	sl_http_stop(http, stopped, NULL);
	sl_loop_run(loop);
	return err || sl_loop_free(loop) ? 1 : 0;
}
