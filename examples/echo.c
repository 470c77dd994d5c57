/* An echo server: what comes goes back, at the pace at which it is read. */
#include <signal.h>
#include <stdio.h>

#include <sluice/net.h>

static struct sl_loop *loop;

static void stop(int signal)
{
	(void)signal;
	sl_loop_stop(loop);
}

static void on_data(struct sl_conn *conn, const void *data, size_t len)
{
	sl_conn_send(conn, data, len);
}

static const struct sl_conn_events echo = {.on_data = on_data};

static void accepted(struct sl_conn *conn, void *owner)
{
	sl_conn_start(conn, &echo, owner);
}

int main(int argc, char **argv)
{
	char why[256], address[128];

	loop = sl_loop_new(NULL, why, sizeof(why));
	if (!loop) {
		fprintf(stderr, "echo: %s\n", why);
		return 1;
	}
	struct sl_listener *listener = sl_listen(loop, argc > 1 ? argv[1] : "127.0.0.1:7007",
						 accepted, NULL, why, sizeof(why));
	if (!listener) {
		fprintf(stderr, "echo: %s\n", why);
		return 1;
	}
	signal(SIGINT, stop);
	signal(SIGTERM, stop);
	sl_listener_address(listener, address, sizeof(address));
	printf("echo on %s, engine %s\n", address, sl_loop_engine(loop));
	fflush(stdout);
	int err = sl_loop_run(loop);
	sl_listener_close(listener);
	return err ? 1 : 0;
}
