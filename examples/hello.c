/* An HTTP server with one handler of its own. */
#include <signal.h>
#include <stdio.h>
#include <string.h>

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

static void hello(struct sl_request *request, void *owner)
{
	char body[256];
	struct sl_str path = sl_request_path(request);
	int len = snprintf(body, sizeof(body), "%s, %.*s!\n", (const char *)owner,
			   (int)(path.len - 1), path.p + 1);

	sl_response_field(request, "Cache-Control", "no-store");
	sl_respond(request, 200, "text/plain; charset=utf-8", body, strnlen(body, (size_t)len));
}

int main(int argc, char **argv)
{
	char why[256] = "out of memory", address[128];
	struct sl_http *http = NULL;

	loop = sl_loop_new(NULL, why, sizeof(why));
	if (loop)
		http = sl_http_new(loop);
	if (!http || sl_http_route(http, "/", hello, "Hello") ||
	    sl_http_start(http, argc > 1 ? argv[1] : "127.0.0.1:7080", why, sizeof(why))) {
		fprintf(stderr, "hello: %s\n", why);
		return 1;
	}
	signal(SIGINT, stop);
	signal(SIGTERM, stop);
	sl_http_address(http, address, sizeof(address));
	printf("http://%s/world\n", address);
	fflush(stdout);
	int err = sl_loop_run(loop);
	/* Once more, until what is in hand is finished. */
	sl_http_stop(http, stopped, NULL);
	sl_loop_run(loop);
	return err || sl_loop_free(loop) ? 1 : 0;
}
