// SPDX-License-Identifier: Apache-2.0
#include "app/services.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/err.h"
#include "net/conn.h"
#include "net/proxy_header.h"

/* A connection whose PROXY header is read. */
struct greeting {
	struct list link;
	struct app_services *services;
	unsigned number;
	struct proxy_reader reader;
};

void app_services_init(struct app_services *s)
{
	list_init(&s->present);
	list_init(&s->prepared);
	list_init(&s->ending);
	list_init(&s->greetings);
	pthread_mutex_init(&s->lock, NULL);
}

bool app_services_idle(const struct app_services *s)
{
	return list_empty(&s->present) && list_empty(&s->ending) && s->greeting_count == 0;
}

static void tell_if_drained(struct app_services *s)
{
	if (s->draining && app_services_idle(s))
		s->drained(s);
}

/* Counts. */

static const struct relay_counts *service_counts(const struct app_service *service)
{
	return service->tcp ? tcp_service_counts(service->tcp) : udp_service_counts(service->udp);
}

static struct app_service *find_present(struct app_services *s, const struct app_service *like)
{
	for (struct list *l = s->present.next; l != &s->present; l = l->next) {
		struct app_service *other = SL_CONTAINER(l, struct app_service, link);

		if (!other->tcp == !like->tcp && str_eq(other->what->name, like->what->name))
			return other;
	}
	return NULL;
}

/* Counters only rise: those of one that has ended go on in the one that followed. */
static void service_free(struct app_service *service)
{
	struct app_services *s = service->owner;
	struct app_service *next;

	pthread_mutex_lock(&s->lock);
	list_del(&service->link);
	next = find_present(s, service);
	if (next) {
		status_relay_add(&next->past, &service->past);
		status_relay_read(&next->past, service_counts(service));
	}
	pthread_mutex_unlock(&s->lock);
	if (service->tcp)
		tcp_service_free(service->tcp);
	else
		udp_service_free(service->udp);
	http_config_unref(service->config);
	free(service);
}

static void service_drained(void *owner)
{
	struct app_service *service = owner;
	struct app_services *s = service->owner;

	service_free(service);
	tell_if_drained(s);
}

static void service_end(struct app_service *service)
{
	struct app_services *s = service->owner;

	pthread_mutex_lock(&s->lock);
	list_del(&service->link);
	list_add(&s->ending, &service->link);
	pthread_mutex_unlock(&s->lock);
	if (service->tcp)
		tcp_service_drain(service->tcp, service_drained, service);
	else
		udp_service_drain(service->udp, service_drained, service);
}

/* The steps of a change. */

static struct app_service *service_new(struct app_services *s, struct app_config *config,
				       const struct app_service_config *what)
{
	struct app_service *service = calloc(1, sizeof(*service));

	if (!service)
		return NULL;
	service->owner = s;
	service->what = what;
	service->fd = -1;
	service->config = http_config_ref(config->http);
	list_init(&service->link);
	return service;
}

static void service_drop(struct app_service *service)
{
	http_config_unref(service->config);
	free(service);
}

/* The TCP service of a block, made once for all of its addresses. */
static struct app_service *prepare_tcp(struct app_services *s, struct app_config *config,
				       const struct app_service_config *what)
{
	struct app_service *service;

	for (struct list *l = s->prepared.next; l != &s->prepared; l = l->next) {
		service = SL_CONTAINER(l, struct app_service, link);
		if (service->what == what)
			return service;
	}
	service = service_new(s, config, what);
	if (!service)
		return NULL;
	service->tcp = tcp_service_new(what->tcp, s->loop);
	if (!service->tcp) {
		service_drop(service);
		return NULL;
	}
	pthread_mutex_lock(&s->lock);
	list_add(&s->prepared, &service->link);
	pthread_mutex_unlock(&s->lock);
	return service;
}

static int prepare_entries(struct app_services *s, struct app_config *config,
			   const struct app_listens *listens)
{
	for (unsigned i = 0; i < listens->count; i++) {
		const struct app_listen *listen = &config->listens[i];
		struct app_entry *entry = &s->entries_next[listens->slots[i].number];

		*entry = (struct app_entry){.kind = listen->kind, .listen = listen};
		if (listen->kind != APP_LISTEN_TCP)
			continue;
		entry->service = prepare_tcp(s, config, &config->parts.services[listen->service]);
		if (!entry->service)
			return -ENOMEM;
	}
	return 0;
}

int app_services_prepare(struct app_services *s, struct app_config *config,
			 const struct app_listens *listens)
{
	s->entry_count_next = listens->numbers;
	s->entries_next = calloc(listens->numbers + 1, sizeof(*s->entries_next));
	if (!s->entries_next)
		return -ENOMEM;
	/* Who comes late from an address that is gone is still not taken for something else. */
	for (unsigned i = 0; i < s->entry_count; i++)
		s->entries_next[i].kind = s->entries[i].kind;
	return prepare_entries(s, config, listens);
}

void app_services_discard(struct app_services *s)
{
	while (!list_empty(&s->prepared))
		service_end(SL_CONTAINER(s->prepared.next, struct app_service, link));
	free(s->entries_next);
	s->entries_next = NULL;
}

static struct app_service *find_udp(struct app_services *s, unsigned number)
{
	for (struct list *l = s->present.next; l != &s->present; l = l->next) {
		struct app_service *service = SL_CONTAINER(l, struct app_service, link);

		if (service->udp && service->number == number)
			return service;
	}
	return NULL;
}

/* The same to the last word: groups and limiters are found by name, and so are the same objects. */
static bool udp_stays(const struct app_service *service, const struct udp_config *then)
{
	const struct udp_config *now = service->what->udp;

	return str_eq(now->name, then->name) && now->group == then->group &&
	       now->idle_timeout_ms == then->idle_timeout_ms &&
	       now->sessions_max == then->sessions_max && now->responses == then->responses &&
	       now->limiter == then->limiter && !now->access && !then->access;
}

/* A socket of this worker alone: a new one, or that of the service before. */
static int udp_socket(struct app_services *s, const struct app_slot *slot,
		      const struct app_service *before)
{
	int fd;

	if (before)
		return fcntl(before->fd, F_DUPFD_CLOEXEC, 0);
	if (!slot->sockets)
		return -1;
	fd = slot->sockets[s->index];
	slot->sockets[s->index] = -1;
	return fd;
}

static void adopt_udp(struct app_services *s, struct app_config *config,
		      const struct app_listen *listen, const struct app_slot *slot)
{
	const struct app_service_config *what = &config->parts.services[listen->service];
	struct app_service *before = find_udp(s, slot->number);
	struct app_service *service;
	int fd, err = -ENOMEM;

	if (before && udp_stays(before, what->udp)) {
		list_del(&before->link);
		list_add(&s->prepared, &before->link);
		return;
	}
	service = service_new(s, config, what);
	fd = service ? udp_socket(s, slot, before) : -1;
	if (fd >= 0) {
		service->number = slot->number;
		service->fd = fd;
		err = udp_service_new(what->udp, s->loop, fd, &service->udp);
	}
	if (service && err == 0) {
		list_add(&s->prepared, &service->link);
		return;
	}
	log_error("udp \"%.*s\": worker %u cannot serve %.*s: %s", STR_ARG(what->name), s->index,
		  STR_ARG(listen->text), err_text(err));
	if (service)
		service_drop(service);
}

static void end_datagrams(struct io_timer *timer)
{
	struct app_services *s = SL_CONTAINER(timer, struct app_services, grace);

	for (struct list *l = s->ending.next; l != &s->ending; l = l->next) {
		struct app_service *service = SL_CONTAINER(l, struct app_service, link);

		if (service->udp && (service->last || s->draining))
			udp_service_abort(service->udp);
	}
}

/* A relay of before: it ends with its last connection, and datagrams soon where nobody follows. */
static void retire(struct app_services *s, struct app_service *service)
{
	service->last = service->udp && !s->entries[service->number].listen;
	if (service->last) {
		s->grace.fire = end_datagrams;
		io_timer_set(s->loop, &s->grace, APP_DATAGRAM_GRACE_MS);
	}
	service_end(service);
}

void app_services_adopt(struct app_services *s, struct app_config *config,
			const struct app_listens *listens)
{
	struct list before;

	pthread_mutex_lock(&s->lock);
	for (unsigned i = 0; i < listens->count; i++)
		if (config->listens[i].kind == APP_LISTEN_UDP)
			adopt_udp(s, config, &config->listens[i], &listens->slots[i]);
	list_init(&before);
	while (!list_empty(&s->present)) {
		struct list *l = s->present.next;

		list_del(l);
		list_add(&before, l);
	}
	while (!list_empty(&s->prepared)) {
		struct list *l = s->prepared.next;

		list_del(l);
		list_add(&s->present, l);
	}
	pthread_mutex_unlock(&s->lock);
	atomic_store(&s->relays, !list_empty(&s->present));
	free(s->entries);
	s->entries = s->entries_next;
	s->entry_count = s->entry_count_next;
	s->entries_next = NULL;
	while (!list_empty(&before))
		retire(s, SL_CONTAINER(before.next, struct app_service, link));
}

/* Connections. */

static void serve(struct app_services *s, struct conn *conn, unsigned number)
{
	const struct app_entry *entry = number < s->entry_count ? &s->entries[number] : NULL;

	if (!entry || entry->kind != APP_LISTEN_TCP)
		http_worker_serve(s->http, conn, number);
	else if (entry->service)
		tcp_service_take(entry->service->tcp, conn);
	else
		conn_close(conn, -ECONNRESET);
}

static void greeting_free(struct greeting *greeting)
{
	struct app_services *s = greeting->services;

	list_del(&greeting->link);
	s->greeting_count--;
	free(greeting);
	tell_if_drained(s);
}

static void greeting_done(struct proxy_reader *reader, struct conn *conn, int result)
{
	struct greeting *greeting = SL_CONTAINER(reader, struct greeting, reader);
	struct app_services *s = greeting->services;

	if (result == 0)
		serve(s, conn, greeting->number);
	else
		HTTP_COUNT(s->http->counts.refused, 1);
	greeting_free(greeting);
}

static bool is_trusted(const struct app_listen *listen, struct conn *conn)
{
	struct net_addr peer;

	if (listen->addr.u.sa.sa_family == AF_UNIX)
		return true;
	return conn_name(conn, true, &peer) == 0 &&
	       http_cidr_match(listen->trusted, listen->trusted_count, &peer);
}

static void refuse(struct app_services *s, struct conn *conn, const struct app_listen *listen,
		   const char *why)
{
	char text[NET_ADDR_TEXT] = "";
	struct net_addr peer;
	uint64_t quiet;

	HTTP_COUNT(s->http->counts.refused, 1);
	if (log_rate_allow(&s->refused_log, io_now_ns(s->loop), &quiet)) {
		if (conn_name(conn, true, &peer) == 0)
			net_addr_print_host(&peer, text);
		log_warn("%s: a connection of %s is closed: %s (%" PRIu64
			 " since the last such line)",
			 listen->text.p, text, why, quiet + 1);
	}
	conn_close(conn, -ECONNRESET);
}

static void greet(struct app_services *s, struct conn *conn, const struct app_listen *listen,
		  unsigned number)
{
	struct greeting *greeting;

	if (!is_trusted(listen, conn)) {
		refuse(s, conn, listen, "it is not trusted to write a PROXY header");
		return;
	}
	greeting = s->greeting_count < APP_GREETINGS_MAX ? calloc(1, sizeof(*greeting)) : NULL;
	if (!greeting) {
		refuse(s, conn, listen, "too many have not said who they are yet");
		return;
	}
	greeting->services = s;
	greeting->number = number;
	greeting->reader.done = greeting_done;
	greeting->reader.owner = greeting;
	list_init(&greeting->link);
	list_add(&s->greetings, &greeting->link);
	s->greeting_count++;
	proxy_reader_start(&greeting->reader, conn, (enum proxy_version)listen->proxy_protocol);
}

void app_services_take(struct app_services *s, struct conn *conn, unsigned number)
{
	const struct app_listen *listen =
		number < s->entry_count ? s->entries[number].listen : NULL;

	if (SL_UNLIKELY(listen && listen->proxy_protocol != PROXY_NONE))
		greet(s, conn, listen, number);
	else
		serve(s, conn, number);
}

/* The end. */

void app_services_drain(struct app_services *s)
{
	s->draining = true;
	s->grace.fire = end_datagrams;
	if (!app_services_idle(s))
		io_timer_set(s->loop, &s->grace, APP_DATAGRAM_GRACE_MS);
	for (unsigned i = 0; i < s->entry_count; i++)
		s->entries[i].service = NULL;
	while (!list_empty(&s->present))
		service_end(SL_CONTAINER(s->present.next, struct app_service, link));
}

void app_services_abort(struct app_services *s)
{
	for (struct list *l = s->greetings.next, *next; l != &s->greetings; l = next) {
		struct greeting *greeting = SL_CONTAINER(l, struct greeting, link);

		next = l->next;
		proxy_reader_cancel(&greeting->reader);
		greeting_free(greeting);
	}
	for (struct list *l = s->ending.next; l != &s->ending; l = l->next) {
		struct app_service *service = SL_CONTAINER(l, struct app_service, link);

		if (service->tcp)
			tcp_service_abort(service->tcp);
		else
			udp_service_abort(service->udp);
	}
}

void app_services_free(struct app_services *s)
{
	io_timer_stop(&s->grace);
	free(s->entries);
	s->entries = NULL;
	s->entry_count = 0;
	pthread_mutex_destroy(&s->lock);
}

/* Status, on any thread. */

static struct status_relay *find_row(struct arena *arena, struct status_relay **list,
				     unsigned *count, const struct app_service *service)
{
	struct status_relay *grown;

	for (unsigned i = 0; i < *count; i++)
		if ((*list)[i].is_udp == (service->udp != NULL) &&
		    str_eq((*list)[i].name, service->what->name))
			return &(*list)[i];
	grown = arena_zalloc(arena, (*count + 1) * sizeof(*grown));
	if (!grown)
		return NULL;
	if (*count > 0)
		memcpy(grown, *list, *count * sizeof(*grown));
	grown[*count].name = arena_dup(arena, service->what->name);
	grown[*count].is_udp = service->udp != NULL;
	*list = grown;
	return &grown[(*count)++];
}

static int add_rows(const struct list *from, struct arena *arena, struct status_relay **list,
		    unsigned *count)
{
	for (struct list *l = from->next; l != from; l = l->next) {
		struct app_service *service = SL_CONTAINER(l, struct app_service, link);
		struct status_relay *row = find_row(arena, list, count, service);

		if (!row)
			return -ENOMEM;
		status_relay_add(row, &service->past);
		status_relay_read(row, service_counts(service));
	}
	return 0;
}

int app_services_status(struct app_services *s, struct arena *arena, struct status_relay **list,
			unsigned *count)
{
	int err;

	pthread_mutex_lock(&s->lock);
	err = add_rows(&s->present, arena, list, count);
	if (err == 0)
		err = add_rows(&s->ending, arena, list, count);
	pthread_mutex_unlock(&s->lock);
	return err;
}

uint64_t app_services_active(struct app_services *s)
{
	uint64_t active = 0;

	if (!atomic_load_explicit(&s->relays, memory_order_relaxed))
		return 0;
	pthread_mutex_lock(&s->lock);
	for (struct list *l = s->present.next; l != &s->present; l = l->next) {
		struct app_service *service = SL_CONTAINER(l, struct app_service, link);

		if (service->tcp)
			active += atomic_load_explicit(&tcp_service_counts(service->tcp)->active,
						       memory_order_relaxed);
	}
	pthread_mutex_unlock(&s->lock);
	return active;
}
