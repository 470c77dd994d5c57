// SPDX-License-Identifier: Apache-2.0
// From one configuration to the next: all workers together, or none.
#include <errno.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>

#include "app/run.h"
#include "base/clock.h"
#include "base/err.h"
#include "base/log.h"

static void change_set_state(struct app_server *s, enum app_change_state state, unsigned waiting)
{
	s->change.state = state;
	s->change.waiting = waiting;
}

/* A line of the log, and of the answer to whoever asked for the reload. */
static void SL_PRINTF(3, 4)
	change_say(struct app_server *s, enum log_level level, const char *fmt, ...)
{
	char line[LOG_LINE_BYTES];
	va_list args;

	va_start(args, fmt);
	vsnprintf(line, sizeof(line), fmt, args);
	va_end(args);
	log_write(level, "%s", line);
	if (s->change.reloading)
		text_printf(&s->change.report, "%s\n", line);
}

/* The steps of a change. */

int app_change_plan(struct app_server *s, struct app_config *config)
{
	struct app_change *c = &s->change;

	c->result = 0;
	c->why[0] = '\0';
	s->next.config = config;
	int err =
		app_listens_plan(&s->now.listens, config, &s->next.listens, c->why, sizeof(c->why));
	if (!err)
		err = app_listens_number(&s->next.listens, config->http);
	if (!err)
		err = app_parts_join(&config->parts, &s->shared, s->worker_count, &config->arena);
	if (err)
		return err;
	app_limits_connections(s, config);
	if (config->status)
		*config->status = (struct status_config){.collect = app_collect, .owner = s};
	return 0;
}

int app_change_open_sockets(struct app_server *s)
{
	return app_listens_open(&s->next.listens, s->change.why, sizeof(s->change.why));
}

int app_change_open_logs(struct app_server *s)
{
	return app_access_open(&s->next.access, s->next.config, &s->now.access, s->change.why,
			       sizeof(s->change.why));
}

void app_change_undo(struct app_server *s)
{
	if (!s->next.config)
		return;
	app_listens_drop(&s->next.listens, true);
	app_access_close(&s->next.access, &s->now.access);
	http_config_unref(s->next.config->http);
	s->next.config = NULL;
}

void app_change_send(struct app_server *s)
{
	change_set_state(s, APP_CHANGE_PREPARING, app_order_all(s, APP_ORDER_PREPARE));
}

static bool change_keeps(void *context, unsigned number)
{
	return app_listens_find(context, number) != NULL;
}

static void change_commit(struct app_server *s)
{
	if (s->state == APP_STARTING)
		app_announce(s);
	app_parts_adopt(&s->next.config->parts);
	/* Who waits at an address that goes is handed to a worker before that changes. */
	app_door_close(&s->door, change_keeps, &s->next.listens);
	change_set_state(s, APP_CHANGE_COMMITTING,
			 app_order_all(s, APP_ORDER_COMMIT) + (s->door.closing > 0));
}

static void change_prepared(struct app_server *s)
{
	struct app_change *c = &s->change;

	/* The last thing that can fail, and the only one that takes effect at once. */
	if (!c->result)
		c->result = app_log_use(&s->log_file, &s->next.config->log, c->why, sizeof(c->why));
	if (!c->result) {
		change_commit(s);
		return;
	}
	change_set_state(s, APP_CHANGE_DISCARDING, app_order_all(s, APP_ORDER_DISCARD));
}

/* Socket files of addresses that are gone. */
static void change_clean(struct app_listens *before, const struct app_listens *now)
{
	for (unsigned i = 0; i < before->count; i++)
		if (!app_listens_find(now, before->slots[i].number))
			app_socket_file_remove(&before->slots[i].file);
}

static void change_committed(struct app_server *s)
{
	struct app_next before = s->now;

	s->now = s->next;
	s->next.config = NULL;
	app_accept_open_fresh(s);
	app_sampler_configure(s);
	app_listens_drop(&s->now.listens, false);
	change_clean(&before.listens, &s->now.listens);
	app_access_close(&before.access, &s->now.access);
	if (before.config)
		http_config_unref(before.config->http);
	atomic_fetch_add(&s->generation, 1);
	atomic_store(&s->loaded_unix_s, (int64_t)(clock_realtime_ns() / CLOCK_NS_PER_S));
	change_set_state(s, APP_CHANGE_NONE, 0);
	app_changed(s, 0);
}

static void change_discarded(struct app_server *s)
{
	app_change_undo(s);
	change_set_state(s, APP_CHANGE_NONE, 0);
	app_changed(s, s->change.result);
}

void app_change_answered(struct app_server *s, int result)
{
	struct app_change *c = &s->change;

	if (result && !c->result) {
		c->result = result;
		snprintf(c->why, sizeof(c->why), "a worker cannot take the configuration: %s",
			 err_text(result));
	}
	if (--c->waiting)
		return;
	switch (c->state) {
	case APP_CHANGE_PREPARING:
		change_prepared(s);
		break;
	case APP_CHANGE_COMMITTING:
		change_committed(s);
		break;
	case APP_CHANGE_DISCARDING:
		change_discarded(s);
		break;
	case APP_CHANGE_NONE:
		break;
	}
}

/* Reload: where the change comes from, and who hears of it. */

static void reload_say_errors(struct app_server *s, const struct app_errors *errors)
{
	for (unsigned i = 0; i < errors->count; i++)
		change_say(s, LOG_ERROR, "%.*s", STR_ARG(errors->lines[i]));
	if (errors->more)
		change_say(s, LOG_ERROR, "and %u more", errors->more);
}

/* What a running server cannot change in itself. */
static void reload_warn_of_restart(struct app_server *s, const struct app_config *config)
{
	const struct app_config *first = &s->first;
	const struct {
		const char *name;
		bool same;
	} keys[] = {
		{"engine", config->engine == first->engine},
		{"workers", config->workers == first->workers},
		{"pin", config->pin == first->pin},
		{"accept", config->accept == first->accept},
		{"user", str_eq(config->user, first->user)},
		{"group", str_eq(config->group, first->group)},
		{"pid", str_eq(config->pid_file, first->pid_file)},
		{"resolver", str_eq(config->resolver, first->resolver)},
		{"admin",
		 config->admin.len == first->admin.len &&
			 (!config->admin.len || net_addr_eq(&config->admin, &first->admin))},
	};

	for (unsigned i = 0; i < SL_ARRAY_SIZE(keys); i++)
		if (!keys[i].same)
			change_say(s, LOG_WARN,
				   "`%s` is another now: it takes effect when the server is "
				   "restarted",
				   keys[i].name);
}

static void reload_warn_of_options(struct app_server *s, const struct app_config *config)
{
	for (unsigned i = 0; i < s->next.listens.count; i++)
		if (!s->next.listens.slots[i].fresh &&
		    !app_options_eq(&s->next.listens.slots[i].options, &config->listens[i].options))
			change_say(
				s, LOG_WARN,
				"the options of listen \"%.*s\" are others now: they take effect "
				"when the server is restarted",
				STR_ARG(config->listens[i].text));
}

static int reload_apply(struct app_server *s, struct app_config *config)
{
	int err = app_change_plan(s, config);

	if (!err) {
		for (unsigned i = 0; i < config->warning_count; i++)
			change_say(s, LOG_WARN, "%.*s", STR_ARG(config->warnings[i]));
		reload_warn_of_restart(s, config);
		reload_warn_of_options(s, config);
		err = app_change_open_sockets(s);
	}
	if (!err)
		err = app_change_open_logs(s);
	if (!err)
		app_change_send(s);
	else
		app_change_undo(s);
	return err;
}

static int reload_load(struct app_server *s)
{
	struct app_config *config = NULL;
	struct app_errors errors;

	if (!s->reload || !s->reload->load) {
		snprintf(s->change.why, sizeof(s->change.why),
			 "this server has no file of configuration: restart it");
		return -ENOTSUP;
	}
	app_errors_init(&errors);
	int err = s->reload->load(s->reload->owner, &config, &errors);
	if (err)
		reload_say_errors(s, &errors);
	app_errors_free(&errors);
	return err ? err : reload_apply(s, config);
}

void app_reload_begin(struct app_server *s)
{
	struct app_change *c = &s->change;

	if (s->state >= APP_DRAINING) {
		log_warn("the server is stopping: it does not reload");
		c->round++;
		app_admin_reloaded(s, -ESHUTDOWN);
		return;
	}
	if (c->state != APP_CHANGE_NONE) {
		c->again = true;
		return;
	}
	c->round++;
	c->reloading = true;
	c->result = 0;
	c->why[0] = '\0';
	text_init(&c->report, APP_REPORT_BYTES);
	app_notify_send(&s->notify, "RELOADING=1\nMONOTONIC_USEC=%" PRIu64,
			clock_monotonic_ns() / 1000);
	int err = reload_load(s);
	if (err)
		app_reload_end(s, err);
}

void app_reload_end(struct app_server *s, int result)
{
	struct app_change *c = &s->change;

	if (result) {
		if (c->why[0])
			change_say(s, LOG_ERROR, "%s", c->why);
		else if (!c->report.len)
			change_say(s, LOG_ERROR, "%s", err_text(result));
		log_error("not reloaded: the server goes on with the configuration that it had");
	} else {
		log_info("reloaded: configuration %" PRIu64, atomic_load(&s->generation));
	}
	app_notify_send(&s->notify, "READY=1\nSTATUS=%s",
			result ? "The last reload was refused: see the log" : "Serving");
	app_admin_reloaded(s, result);
	text_free(&c->report);
	c->reloading = false;
}
