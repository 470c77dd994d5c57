// SPDX-License-Identifier: Apache-2.0
// From a file, from memory, or from the command line alone to a configuration.
#include "app/config.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "app/config_spec.h"
#include "base/err.h"

/* Bounds what a tree may take: about 200 bytes a node, and a node takes at least two bytes of the text. */
#define TREE_BYTES_MAX (256u << 20)
#define QUICK_LISTEN ":8080"

void spec_list_add(struct spec_list *list, void *item)
{
	if (list->last)
		*(void **)list->last = item;
	else
		list->first = item;
	list->last = item;
	list->count++;
}

struct spec_site *spec_site_new(struct schema_run *run, struct spec *spec, struct str name,
				struct ucl_pos at)
{
	struct spec_site *site = arena_zalloc(run->arena, sizeof(*site));

	if (!site) {
		schema_error(run, at, "out of memory");
		return NULL;
	}
	site->at = at;
	site->name = arena_dup(run->arena, name);
	spec_list_add(&spec->sites, site);
	return site;
}

struct spec_route *spec_route_new(struct schema_run *run, struct spec_site *site, struct str path,
				  struct ucl_pos at)
{
	struct spec_route *route = arena_zalloc(run->arena, sizeof(*route));

	if (!route) {
		schema_error(run, at, "out of memory");
		return NULL;
	}
	route->at = at;
	route->route.path = arena_dup(run->arena, path);
	route->route.body_max = SPEC_BODY_MAX_INHERITED;
	route->route.log = true;
	files_config_init(&route->files.config);
	/* To be given, not the current folder. */
	route->files.config.root = STR("");
	spec_list_add(&site->routes, route);
	return route;
}

struct spec_listen *spec_listen_new(struct schema_run *run, struct spec_list *list, struct str text,
				    struct ucl_pos at)
{
	struct spec_listen *listen = arena_zalloc(run->arena, sizeof(*listen));
	char why[192] = "";

	if (!listen) {
		schema_error(run, at, "out of memory");
		return NULL;
	}
	listen->at = at;
	listen->text = arena_dup(run->arena, text);
	if (net_addr_parse(text, &listen->addr, why, sizeof(why)) < 0) {
		schema_error(run, at, "%slisten \"%s\": %s", at.line ? "" : "--",
			     schema_show(text).text, why);
		return listen;
	}
	for (const struct spec_listen *l = list->first; l; l = l->next) {
		if (!net_addr_eq(&l->addr, &listen->addr))
			continue;
		schema_error(run, at, "%slisten \"%s\" is given already", at.line ? "" : "--",
			     schema_show(text).text);
		return listen;
	}
	spec_list_add(list, listen);
	return listen;
}

void config_override(struct schema_run *run, struct spec *spec, const struct app_overrides *o)
{
	struct spec_list listens = {NULL};

	for (unsigned i = 0; i < o->listen_count; i++)
		spec_listen_new(run, &listens, str_from(o->listens[i]), (struct ucl_pos){0, 0});
	for (struct spec_site *s = spec->sites.first; s && o->listen_count > 0; s = s->next)
		s->listens = listens;
	/* A relay of the command line alone. */
	if (spec->sites.count == 0 && spec->services.count == 1 && o->listen_count > 0)
		((struct spec_service *)spec->services.first)->listens = listens;
	if (o->workers >= 0)
		spec->app.workers = (unsigned)o->workers;
	if (o->engine >= 0)
		spec->app.engine = (enum io_engine)o->engine;
	if (o->log_level >= 0)
		spec->app.log.level = (enum log_level)o->log_level;
	if (o->access_format >= 0)
		spec->app.access_log =
			(struct app_access_log){(enum app_access_format)o->access_format, STR("")};
}

static const struct app_overrides no_overrides = {
	.workers = -1, .engine = -1, .access_format = -1, .log_level = -1};

void config_begin(struct schema_run *run, struct spec *spec, const char *file,
		  const struct app_overrides *overrides, struct app_errors *errors)
{
	memset(spec, 0, sizeof(*spec));
	arena_init_shared(&spec->app.arena);
	*run = (struct schema_run){
		.arena = &spec->app.arena,
		.errors = errors,
		.file = file,
		.overrides = overrides ? overrides : &no_overrides,
		.where = "",
	};
}

/* The folder of the file, or the current one, as an absolute path. */
static struct str folder_of(struct arena *arena, const char *file)
{
	const char *slash = strrchr(file, '/');
	struct str folder = {file, slash ? (size_t)(slash - file) : 0};
	char cwd[PATH_MAX];

	if (slash == file)
		return STR("/");
	if (folder.len > 0 && folder.p[0] == '/')
		return arena_dup(arena, folder);
	if (!getcwd(cwd, sizeof(cwd)))
		return STR("/");
	if (folder.len == 0 || str_eq(folder, STR(".")))
		return arena_dup(arena, str_from(cwd));
	return arena_printf(arena, "%s/%.*s", cwd, STR_ARG(folder));
}

int config_finish(struct schema_run *run, struct spec *spec, struct app_config **made)
{
	int err;

	config_override(run, spec, run->overrides);
	err = config_build(run, spec, made);
	if (err < 0)
		arena_free(&spec->app.arena);
	return err;
}

int app_config_parse(struct str text, const char *file, bool offline,
		     const struct app_overrides *overrides, struct app_config **made,
		     struct app_errors *errors)
{
	struct schema_run run;
	struct spec spec;
	struct arena tree;
	struct ucl_error error;
	struct ucl_node *root;
	int err = -EINVAL;

	config_begin(&run, &spec, file, overrides, errors);
	run.offline = offline;
	run.folder = folder_of(run.arena, file);
	spec.app.file =
		*file == '/'
			? arena_dup(run.arena, str_from(file))
			: schema_path(&run,
				      str_from(strrchr(file, '/') ? strrchr(file, '/') + 1 : file));
	arena_init(&tree, TREE_BYTES_MAX);
	root = text.len <= APP_CONFIG_BYTES_MAX ? ucl_parse(text, &tree, &error) : NULL;
	if (root) {
		schema_apply(&run, &schema_top, root, &spec);
		err = config_finish(&run, &spec, made);
	} else {
		if (text.len > APP_CONFIG_BYTES_MAX)
			schema_error(&run, (struct ucl_pos){0, 0}, "larger than %u bytes",
				     APP_CONFIG_BYTES_MAX);
		else
			schema_error(&run, error.at, "%s", error.text);
		arena_free(&spec.app.arena);
	}
	arena_free(&tree);
	return err;
}

/* The content of the file in the arena, or -errno. */
static int read_file(const char *file, struct arena *arena, struct str *text)
{
	int fd = open(file, O_RDONLY | O_CLOEXEC);
	char *to = fd < 0 ? NULL : arena_alloc(arena, APP_CONFIG_BYTES_MAX + 1);
	size_t n = 0;
	ssize_t got = 1;
	int err = fd < 0 ? -errno : to ? 0 : -ENOMEM;

	while (err == 0 && got > 0 && n <= APP_CONFIG_BYTES_MAX) {
		got = read(fd, to + n, APP_CONFIG_BYTES_MAX + 1 - n);
		if (got > 0)
			n += (size_t)got;
		else if (got < 0 && errno != EINTR)
			err = -errno;
		else if (got < 0)
			got = 1;
	}
	if (fd >= 0)
		close(fd);
	*text = (struct str){to, n};
	return err;
}

int app_config_load(const char *file, const struct app_overrides *overrides,
		    struct app_config **made, struct app_errors *errors)
{
	struct arena arena;
	struct str text = STR("");
	int err;

	arena_init(&arena, 0);
	err = read_file(file, &arena, &text);
	if (err < 0) {
		struct schema_run run = {.errors = errors, .file = file, .where = ""};

		schema_error(&run, (struct ucl_pos){0, 0}, "%s", err_text(err));
		err = -EINVAL;
	} else {
		err = app_config_parse(text, file, false, overrides, made, errors);
	}
	arena_free(&arena);
	return err;
}

int app_config_files(const char *dir, const struct app_overrides *overrides,
		     struct app_config **made, struct app_errors *errors)
{
	const struct ucl_pos nowhere = {0, 0};
	struct schema_run run;
	struct spec spec;
	struct spec_site *site;
	struct spec_route *route = NULL;

	config_begin(&run, &spec, "sluice", overrides, errors);
	schema_defaults(&run, &schema_top, &spec);
	run.folder = folder_of(run.arena, "");
	site = spec_site_new(&run, &spec, STR("*"), nowhere);
	if (site) {
		spec_listen_new(&run, &site->listens, STR(QUICK_LISTEN), nowhere);
		route = spec_route_new(&run, site, STR("/"), nowhere);
	}
	if (!route) {
		arena_free(&spec.app.arena);
		return -ENOMEM;
	}
	route->has_files = true;
	route->files.config.root = schema_path(&run, str_from(dir));
	route->files.config.listing = true;
	config_check_folder(&run, nowhere, route->files.config.root);
	return config_finish(&run, &spec, made);
}
