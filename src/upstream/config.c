// SPDX-License-Identifier: Apache-2.0
// What a group is before anything is said about it, and what a server may be called.
#include "upstream/config.h"

#include <errno.h>
#include <stdio.h>

/* RFC 1035 section 2.3.4, without the last dot. */
#define HOST_BYTES_MAX 253
#define LABEL_BYTES_MAX 63

void upstream_config_init(struct upstream_config *config)
{
	*config = (struct upstream_config){
		.name = STR(""),
		.balance = UPSTREAM_ROUND_ROBIN,
		.key = UPSTREAM_KEY_ADDRESS,
		.queue_max = 100,
		.queue_timeout_ms = 5000,
		.health = {.http = true,
			   .every_ms = 5000,
			   .timeout_ms = 2000,
			   .jitter_percent = 10,
			   .rise = 2,
			   .fall = 3,
			   .path = STR("/"),
			   .status_min = 200,
			   .status_max = 399},
		.outlier = {.consecutive = 5,
			    .requests_min = 20,
			    .window_ms = 10000,
			    .eject_ms = 10000,
			    .ejected_max_percent = 50},
		.breaker = {.requests_min = 20,
			    .window_ms = 10000,
			    .slow_percent = 50,
			    .open_ms = 15000,
			    .probes = 3},
		.retry = {.max = 1,
			  .on = UPSTREAM_RETRY_CONNECT | UPSTREAM_RETRY_RESET,
			  .budget_percent = 20,
			  .backoff_ms = 25,
			  .backoff_max_ms = 1000},
		.timeouts = {.connect_ms = 3000, .first_byte_ms = 30000, .between_ms = 30000},
		.keepalive = {.idle_max = 64, .idle_timeout_ms = 60000},
	};
	config->group_breaker = config->breaker;
}

static bool is_host_byte(char c)
{
	return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
	       c == '-' || c == '_';
}

/* Letters, digits, '-' and '_' (of SRV names) between single dots, and no number at the end: that is an address. */
static bool is_host(struct str host)
{
	size_t label = 0;
	bool digits = true;

	if (host.len > 0 && host.p[host.len - 1] == '.')
		host.len--;
	if (host.len == 0 || host.len > HOST_BYTES_MAX)
		return false;
	for (size_t i = 0; i < host.len; i++) {
		bool dot = host.p[i] == '.';

		if ((dot && label == 0) || (!dot && !is_host_byte(host.p[i])) ||
		    label == LABEL_BYTES_MAX + 1)
			return false;
		digits = dot || (digits && host.p[i] >= '0' && host.p[i] <= '9');
		label = dot ? 0 : label + 1;
	}
	return label > 0 && label <= LABEL_BYTES_MAX && !digits;
}

static int refuse(char *why, size_t why_len, const char *reason)
{
	snprintf(
		why, why_len,
		"%s: expected \"10.0.0.1:8080\", \":8080\" (of this machine), "
		"\"app.example.com:8080\", \"unix:/run/app.sock\" or \"srv:_http._tcp.example.com\"",
		reason);
	return -EINVAL;
}

static int parse_scheme(struct str text, char *why, size_t why_len)
{
	if (str_starts_nocase(text, STR("https://"))) {
		snprintf(why, why_len, "servers are reached without TLS in this version");
		return -EINVAL;
	}
	if (str_starts_nocase(text, STR("http://"))) {
		struct str rest = str_skip(text, 7);
		ptrdiff_t slash = str_find_byte(rest, '/');

		if (slash >= 0)
			rest.len = (size_t)slash;
		snprintf(why, why_len, "a server is an address, not a URL: write \"%.*s\"",
			 STR_ARG(rest));
		return -EINVAL;
	}
	return 0;
}

static int parse_name(struct upstream_server_config *server, char *why, size_t why_len)
{
	ptrdiff_t colon = -1;
	uint64_t port;

	for (size_t i = 0; i < server->text.len; i++)
		if (server->text.p[i] == ':')
			colon = (ptrdiff_t)i;
	if (colon < 0)
		return refuse(why, why_len, "the port is missing");
	if (str_to_u64(str_skip(server->text, (size_t)colon + 1), UINT16_MAX, &port) < 0 ||
	    port == 0)
		return refuse(why, why_len, "the port is not a number up to 65535");
	server->host = str_head(server->text, (size_t)colon);
	server->port = (uint16_t)port;
	server->kind = UPSTREAM_SERVER_NAME;
	return is_host(server->host) ? 0 : refuse(why, why_len, "not a server");
}

/* ":8080" and "8080" listen everywhere and are reached here. */
static int parse_port(struct upstream_server_config *server, struct str port, char *why,
		      size_t why_len)
{
	char text[32];
	int n = snprintf(text, sizeof(text), "127.0.0.1:%.*s", STR_ARG(port));

	if (n >= (int)sizeof(text) ||
	    net_addr_parse((struct str){text, (size_t)n}, &server->addr, why, why_len) < 0)
		return refuse(why, why_len, "the port is not a number up to 65535");
	return 0;
}

static bool is_number(struct str s)
{
	for (size_t i = 0; i < s.len; i++)
		if (s.p[i] < '0' || s.p[i] > '9')
			return false;
	return s.len > 0;
}

static int parse_addr(struct upstream_server_config *server, char *why, size_t why_len)
{
	struct str text = server->text;

	server->kind = UPSTREAM_SERVER_ADDR;
	if (str_starts(text, STR(":")) || is_number(text))
		return parse_port(server, text.p[0] == ':' ? str_skip(text, 1) : text, why,
				  why_len);
	if (str_starts(text, STR("*")) || net_addr_parse(text, &server->addr, why, why_len) < 0)
		return -EAGAIN;
	return 0;
}

int upstream_server_parse(struct str text, struct upstream_server_config *server, char *why,
			  size_t why_len)
{
	int err = parse_scheme(text, why, why_len);

	*server = (struct upstream_server_config){.text = text, .weight = 1};
	if (err < 0)
		return err;
	if (text.len == 0)
		return refuse(why, why_len, "empty");
	if (str_starts(text, STR("srv:"))) {
		server->kind = UPSTREAM_SERVER_SRV;
		server->host = str_skip(text, 4);
		return is_host(server->host) ? 0 : refuse(why, why_len, "not a name");
	}
	err = parse_addr(server, why, why_len);
	if (err == -EAGAIN && str_starts(text, STR("unix:")))
		return -EINVAL;
	if (err == -EAGAIN)
		err = parse_name(server, why, why_len);
	if (err == 0 && server->kind == UPSTREAM_SERVER_ADDR &&
	    server->addr.u.sa.sa_family != AF_UNIX && net_addr_port(&server->addr) == 0)
		return refuse(why, why_len, "port 0");
	return err;
}

static const char *const balance_names[] = {
	[UPSTREAM_ROUND_ROBIN] = "round_robin", [UPSTREAM_WEIGHTED] = "weighted",
	[UPSTREAM_RANDOM] = "random",           [UPSTREAM_P2C] = "p2c",
	[UPSTREAM_LEAST] = "least_conn",        [UPSTREAM_ADDRESS] = "ip_hash",
	[UPSTREAM_CONSISTENT] = "consistent",
};

const char *upstream_balance_name(enum upstream_balance balance)
{
	return balance_names[balance];
}
