// SPDX-License-Identifier: Apache-2.0
#include <time.h>

#include "base/compiler.h"
#include "base/json.h"
#include "handler/files.h"
#include "handler/files/listing.h"
#include "http/path.h"

/* What could not be escaped for want of memory must not be missing in silence. */
static void add(struct text *text, struct str s)
{
	if (!s.p)
		text->full = true;
	text_put(text, s);
}

/* --- the page --- */

static const char page_style[] =
	":root{color-scheme:light dark;--bg:#fbfbfa;--fg:#1d2126;--dim:#69727d;--line:#e4e6e8;"
	"--link:#0b57b0;--row:#f0f3f6;--fold:#d9952b}"
	"@media(prefers-color-scheme:dark){:root{--bg:#14171a;--fg:#e6e8ea;--dim:#929ba5;"
	"--line:#2a2f35;--link:#8ab8ff;--row:#1d2227;--fold:#e3ab52}}"
	"*{box-sizing:border-box}body{margin:0;background:var(--bg);color:var(--fg);"
	"font:16px/1.45 system-ui,-apple-system,'Segoe UI',Roboto,sans-serif}"
	"main{max-width:60rem;margin:0 auto;padding:1.2rem 1rem 3rem}"
	"nav{font-size:1.25rem;font-weight:600;overflow-wrap:anywhere}"
	"nav i{font-style:normal;color:var(--dim);padding:0 .3rem}"
	"a{color:var(--link);text-decoration:none}a:hover{text-decoration:underline}"
	"a:focus-visible{outline:2px solid var(--link);outline-offset:2px;border-radius:4px}"
	"p{color:var(--dim);margin:.2rem 0 1rem;font-size:.9rem}"
	"table{width:100%;border-collapse:collapse}tr{border-bottom:1px solid var(--line)}"
	"th,td{padding:0 .5rem;text-align:left}th{padding:.4rem .5rem;font-size:.8rem}"
	"th a{color:var(--dim)}tbody tr:hover{background:var(--row)}"
	"td.n a{display:flex;align-items:center;gap:.6rem;padding:.6rem 0;overflow-wrap:anywhere}"
	"svg{flex:none;width:1.15rem;height:1.15rem;fill:var(--dim)}svg.d{fill:var(--fold)}"
	"svg[hidden]{display:none}td.s,td.t{white-space:nowrap;color:var(--dim);font-size:.9rem;"
	"font-variant-numeric:tabular-nums}.s{text-align:right}.t{width:11rem}"
	"@media(max-width:36rem){thead tr{display:flex;justify-content:space-between}.t{width:auto}"
	"tbody tr{display:grid;grid-template-columns:1fr auto;align-items:center}td.n{grid-row:1/3}"
	"td.n:only-child{grid-column:1/3}td.t{text-align:right;font-size:.8rem}"
	"td.s:empty{display:none}td.s:empty+td.t{grid-row:1/3}}";

static const char page_shapes[] =
	"<svg hidden aria-hidden=\"true\"><symbol id=\"d\" viewBox=\"0 0 16 16\"><path d=\"M1.5 2.5h4.6l1.6 "
	"1.8h6.8c.6 0 1 .4 1 1v7.7c0 .6-.4 1-1 1h-13c-.6 0-1-.4-1-1V3.5c0-.6.4-1 1-1z\"/></symbol>"
	"<symbol id=\"f\" viewBox=\"0 0 16 16\"><path d=\"M3.5 1h6L13.5 5v9c0 .6-.4 1-1 1h-9c-.6 0-1-.4-1-1V2c0"
	"-.6.4-1 1-1zm5.3 1.5v3.2H12z\"/></symbol><symbol id=\"u\" viewBox=\"0 0 16 16\"><path d=\"M8 2.2l5 5"
	"-1.3 1.3-2.8-2.8V14H7.1V5.7L4.3 8.5 3 7.2z\"/></symbol></svg>";

static void add_size(struct text *text, uint64_t size)
{
	static const char *const units[] = {"B", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB"};
	double value = (double)size;
	unsigned unit = 0;

	while (value >= 1023.95 && unit + 1 < SL_ARRAY_SIZE(units)) {
		value /= 1024;
		unit++;
	}
	text_printf(text, unit && value < 99.95 ? "%.1f %s" : "%.0f %s", value, units[unit]);
}

static void add_time(struct text *text, int64_t unix_s)
{
	time_t t = (time_t)unix_s;
	struct tm tm;
	char stamp[32], shown[32];

	if (!gmtime_r(&t, &tm))
		return;
	strftime(stamp, sizeof(stamp), "%Y-%m-%dT%H:%M:%SZ", &tm);
	strftime(shown, sizeof(shown), "%Y-%m-%d %H:%M", &tm);
	text_printf(text, "<time datetime=\"%s\">%s</time>", stamp, shown);
}

/* Links are relative, so that they hold behind whatever prefix a proxy adds. */
static void add_crumbs(struct text *text, const struct listing_view *view, struct arena *arena)
{
	struct str rest = str_skip(view->path, view->top), segment;
	unsigned depth = 0;

	for (size_t i = 0; i < rest.len; i++)
		depth += rest.p[i] == '/';
	depth -= depth > 0 && rest.p[0] == '/';
	add(text, STR("<nav aria-label=\"Path\"><a href=\"./"));
	for (unsigned i = 0; i < depth; i++)
		add(text, STR("../"));
	add(text, STR("\">"));
	add(text,
	    view->top > 1 ? http_html_escape(str_head(view->path, view->top), arena) : STR("Home"));
	add(text, STR("</a>"));
	while (depth > 0 && str_next(&rest, '/', &segment)) {
		if (segment.len == 0)
			continue;
		add(text, STR("<i>/</i><a href=\"./"));
		for (unsigned i = 1; i < depth; i++)
			add(text, STR("../"));
		add(text, STR("\">"));
		add(text, http_html_escape(segment, arena));
		add(text, STR("</a>"));
		depth--;
	}
	add(text, STR("</nav>"));
}

static void add_column(struct text *text, const struct listing_view *view, const char *class,
		       enum listing_sort sort, const char *key, const char *title)
{
	bool current = view->sort == sort;
	const char *arrow = !current ? "" : view->descending ? " \xe2\x86\x93" : " \xe2\x86\x91";
	const char *state = !current         ? ""
			  : view->descending ? " aria-sort=\"descending\""
					     : " aria-sort=\"ascending\"";

	text_printf(text, "<th class=\"%s\"%s><a href=\"?sort=%s%s\">%s%s</a></th>", class, state,
		    current && !view->descending ? "-" : "", key, title, arrow);
}

static void add_row(struct text *text, const struct listing_item *item, struct arena *arena)
{
	const char *slash = item->folder ? "/" : "";

	add(text, STR("<tr><td class=\"n\"><a href=\"./"));
	add(text, http_path_encode(item->name, arena));
	text_printf(text,
		    "%s\"><svg class=\"%s\" aria-hidden=\"true\"><use href=\"#%s\"/></svg><span>",
		    slash, item->folder ? "d" : "f", item->folder ? "d" : "f");
	add(text, http_html_escape(item->name, arena));
	text_printf(text, "%s</span></a></td><td class=\"s\">", slash);
	if (!item->folder)
		add_size(text, item->size);
	add(text, STR("</td><td class=\"t\">"));
	add_time(text, item->modified_s);
	add(text, STR("</td></tr>\n"));
}

static void add_summary(struct text *text, const struct listing_view *view)
{
	unsigned files = view->count - view->folders;

	text_printf(text, "<p>%u %s, %u %s", view->folders,
		    view->folders == 1 ? "folder" : "folders", files,
		    files == 1 ? "file" : "files");
	if (view->more)
		text_printf(text,
			    ". This folder holds more than %u entries; the others are not shown",
			    FILES_LISTING_MAX);
	add(text, STR("</p>"));
}

void listing_html(struct text *text, const struct listing_view *view, struct arena *arena)
{
	struct str title = http_html_escape(view->path, arena);

	add(text,
	    STR("<!doctype html>\n<html lang=\"en\"><head><meta charset=\"utf-8\">"
		"<meta name=\"viewport\" content=\"width=device-width,initial-scale=1\"><title>"));
	add(text, title);
	add(text, STR("</title><style>"));
	add(text, STR(page_style));
	add(text, STR("</style></head><body>"));
	add(text, STR(page_shapes));
	add(text, STR("<main>"));
	add_crumbs(text, view, arena);
	add_summary(text, view);
	add(text, STR("<table><thead><tr>"));
	add_column(text, view, "n", LISTING_NAME, "name", "Name");
	add_column(text, view, "s", LISTING_SIZE, "size", "Size");
	add_column(text, view, "t", LISTING_TIME, "time", "Modified (UTC)");
	add(text, STR("</tr></thead><tbody>\n"));
	if (view->path.len > view->top + 1)
		add(text,
		    STR("<tr><td class=\"n\" colspan=\"3\"><a href=\"../\"><svg aria-hidden=\"true\"><use href=\"#u\"/></svg>"
			"<span>Up</span></a></td></tr>\n"));
	for (unsigned i = 0; i < view->count; i++)
		add_row(text, &view->items[i], arena);
	add(text, STR("</tbody></table></main></body></html>\n"));
}

void listing_json(struct text *text, const struct listing_view *view)
{
	struct json json;

	json_init(&json, text);
	json_open_object(&json, NULL);
	json_str(&json, "path", view->path);
	json_bool(&json, "more", view->more);
	json_open_array(&json, "entries");
	for (unsigned i = 0; i < view->count; i++) {
		const struct listing_item *item = &view->items[i];

		json_open_object(&json, NULL);
		json_str(&json, "name", item->name);
		json_text(&json, "type", item->folder ? "folder" : "file");
		if (!item->folder)
			json_u64(&json, "size", item->size);
		json_i64(&json, "modified", item->modified_s);
		json_close(&json);
	}
	json_close(&json);
	json_close(&json);
	text_put_char(text, '\n');
}
