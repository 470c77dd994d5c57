// SPDX-License-Identifier: Apache-2.0
// Reading a tree of UCL by the table of keys: what is known, what fits, where it is stored.
#include "app/schema.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>

#include "base/escape.h"

#define WHY_BYTES 160
/* How much of a wrong value is shown in a message. */
#define SHOWN_BYTES_MAX 60

struct schema_shown schema_show(struct str s)
{
	struct schema_shown out;
	size_t n = escape_put(out.text, sizeof(out.text) - sizeof("..."),
			      str_head(s, SHOWN_BYTES_MAX), ESCAPE_TEXT, NULL);

	memcpy(out.text + n, s.len > SHOWN_BYTES_MAX ? "..." : "", s.len > SHOWN_BYTES_MAX ? 4 : 1);
	return out;
}

void schema_guess(struct schema_guess *guess, struct str wrong, const char *candidate)
{
	struct str right = str_from(candidate);
	unsigned distance = str_distance(wrong, right);
	unsigned most = wrong.len < 4 ? 1 : wrong.len < 9 ? 2 : (unsigned)(wrong.len / 3);

	if (distance > most || distance >= wrong.len || distance >= right.len)
		return;
	if (!guess->best || distance < guess->distance)
		*guess = (struct schema_guess){candidate, distance};
}

void app_errors_init(struct app_errors *errors)
{
	memset(errors, 0, sizeof(*errors));
	arena_init(&errors->arena, 0);
}

void app_errors_free(struct app_errors *errors)
{
	arena_free(&errors->arena);
	errors->count = 0;
}

const struct ucl_node *schema_member(const struct ucl_node *block, const char *key)
{
	for (const struct ucl_node *n = block->first; n; n = n->next)
		if (str_eq(n->key, str_from(key)))
			return n;
	return NULL;
}

static struct str error_line(struct schema_run *run, struct ucl_pos at, const char *message)
{
	struct arena *arena = &run->errors->arena;

	if (at.line == 0)
		return arena_printf(arena, "%s: %s", run->file, message);
	return arena_printf(arena, "%s:%u:%u: %s", run->file, at.line, at.column, message);
}

void schema_error(struct schema_run *run, struct ucl_pos at, const char *fmt, ...)
{
	struct app_errors *errors = run->errors;
	char message[1024];
	struct str line;
	unsigned i;
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(message, sizeof(message), fmt, ap);
	va_end(ap);
	/* In the order of the file, and of equal places in the order of finding. */
	for (i = errors->count; i > 0; i--)
		if (errors->at[i - 1][0] < at.line ||
		    (errors->at[i - 1][0] == at.line && errors->at[i - 1][1] <= at.column))
			break;
	if (errors->count == APP_ERRORS_MAX) {
		errors->more++;
		if (i == APP_ERRORS_MAX)
			return;
		errors->count--;
	}
	line = error_line(run, at, message);
	memmove(&errors->lines[i + 1], &errors->lines[i],
		(errors->count - i) * sizeof(errors->lines[0]));
	memmove(&errors->at[i + 1], &errors->at[i], (errors->count - i) * sizeof(errors->at[0]));
	errors->lines[i] = line.p ? line : STR("out of memory");
	errors->at[i][0] = at.line;
	errors->at[i][1] = at.column;
	errors->count++;
}

void schema_wrong(struct schema_run *run, const struct ucl_node *node, const char *key,
		  const char *fmt, ...)
{
	char why[512];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(why, sizeof(why), fmt, ap);
	va_end(ap);
	schema_error(run, node->value_at, "\"%s\" for \"%s\"%s: %s", schema_show(node->value).text,
		     key, run->where, why);
}

struct str schema_path(struct schema_run *run, struct str path)
{
	if (path.len > 0 && path.p[0] == '/')
		return arena_dup(run->arena, path);
	if (path.len == 0 || str_eq(path, STR(".")))
		return arena_dup(run->arena, run->folder);
	return arena_printf(run->arena, "%.*s%s%.*s", STR_ARG(run->folder),
			    str_ends(run->folder, STR("/")) ? "" : "/", STR_ARG(path));
}

struct unit {
	const char *name;
	uint64_t factor;
};

/* The number before the unit, times it. -EAGAIN: the unit is none of these. */
static int scale(struct str text, const struct unit *units, uint64_t *out, struct str *number)
{
	struct str digits = text;
	uint64_t n;

	digits.len = 0;
	while (digits.len < text.len && digits.p[digits.len] >= '0' && digits.p[digits.len] <= '9')
		digits.len++;
	*number = digits;
	if (str_to_u64(digits, INT64_MAX, &n) < 0)
		return -EINVAL;
	for (const struct unit *u = units; u->name; u++) {
		if (!str_eq_nocase(str_skip(text, digits.len), str_from(u->name)))
			continue;
		return __builtin_mul_overflow(n, u->factor, out) ? -EINVAL : 0;
	}
	return -EAGAIN;
}

int schema_duration(struct str text, uint64_t *ms, char *why, size_t why_len)
{
	static const struct unit units[] = {{"ms", 1},         {"s", 1000},         {"min", 60000},
					    {"h", 60 * 60000}, {"d", 1440 * 60000}, {NULL, 0}};
	struct str number;
	int err = scale(text, units, ms, &number);
	struct str unit = str_skip(text, number.len);

	if (err == 0 || str_eq(text, STR("0"))) {
		if (err < 0)
			*ms = 0;
		return 0;
	}
	if (err == -EAGAIN && str_eq_nocase(unit, STR("m")))
		snprintf(why, why_len, "\"m\" could be minutes or millions: write %.*smin",
			 STR_ARG(number));
	else if (err == -EAGAIN && unit.len == 0)
		snprintf(why, why_len, "a duration needs its unit: write %.*ss for seconds",
			 STR_ARG(number));
	else
		snprintf(why, why_len, "expected a duration as 500ms, 30s, 10min, 2h or 1d");
	return -EINVAL;
}

int schema_size(struct str text, uint64_t *bytes, char *why, size_t why_len)
{
	static const struct unit units[] = {{"", 1},
					    {"kb", 1ull << 10},
					    {"mb", 1ull << 20},
					    {"gb", 1ull << 30},
					    {"tb", 1ull << 40},
					    {NULL, 0}};
	struct str number;
	int err = scale(text, units, bytes, &number);
	struct str unit = str_skip(text, number.len);

	if (err == 0)
		return 0;
	if (err == -EAGAIN && unit.len == 1 && strchr("kmgtKMGT", unit.p[0]))
		snprintf(why, why_len, "\"%c\" could be of 1,000 or of 1,024: write %.*s%cb",
			 unit.p[0], STR_ARG(number), unit.p[0] | 0x20);
	else
		snprintf(why, why_len, "expected a size as 512, 16kb, 10mb or 1gb");
	return -EINVAL;
}

int schema_percent(struct str text, bool tenths, uint64_t *parts, char *why, size_t why_len)
{
	struct str number = text, digit = STR("0");
	uint64_t whole, tenth = 0;
	ptrdiff_t point;

	number.len -= str_ends(text, STR("%"));
	if (number.len == text.len && str_to_u64(text, UINT32_MAX, &whole) == 0) {
		snprintf(why, why_len, "a share needs its sign: write %.*s%%", STR_ARG(text));
		return -EINVAL;
	}
	point = tenths ? str_find_byte(number, '.') : -1;
	if (point >= 0) {
		digit = str_skip(number, (size_t)point + 1);
		number.len = (size_t)point;
	}
	snprintf(why, why_len, "expected a share as %s", tenths ? "10% or 0.5%" : "20%");
	if (!str_ends(text, STR("%")) || str_to_u64(number, UINT32_MAX, &whole) < 0 ||
	    digit.len != 1 || str_to_u64(digit, 9, &tenth) < 0)
		return -EINVAL;
	*parts = tenths ? whole * 10 + tenth : whole;
	return 0;
}

static bool is_scalar(const struct ucl_node *node)
{
	return node->kind == UCL_WORD || node->kind == UCL_STRING;
}

static const char *describe_type(enum schema_type type)
{
	static const char *const names[] = {
		[SCHEMA_STRING] = "a string",     [SCHEMA_PATH] = "a path",
		[SCHEMA_BOOL] = "true or false",  [SCHEMA_INTEGER] = "a number",
		[SCHEMA_DURATION] = "a duration", [SCHEMA_SIZE] = "a size",
		[SCHEMA_PERCENT] = "a share",     [SCHEMA_MODE] = "permissions in octal, as 0660",
		[SCHEMA_WORD] = "a word",         [SCHEMA_FLAGS] = "a list of words",
		[SCHEMA_ADDRESS] = "an address",  [SCHEMA_LIST] = "a string or a list",
		[SCHEMA_MAP] = "a block",         [SCHEMA_BLOCK] = "a block",
	};
	return names[type];
}

static const char *describe_kind(enum ucl_kind kind)
{
	return kind == UCL_LIST ? "a list" : kind == UCL_BLOCK ? "a block" : "a value";
}

static void put_number(const struct schema_key *key, void *target, uint64_t v)
{
	void *to = (char *)target + key->at;

	if (key->size == 1)
		*(uint8_t *)to = (uint8_t)v;
	else if (key->size == 2)
		*(uint16_t *)to = (uint16_t)v;
	else if (key->size == 4)
		*(uint32_t *)to = (uint32_t)v;
	else
		*(uint64_t *)to = v;
}

/* The largest value for the key; signed members hold no more than half. */
static uint64_t most(const struct schema_key *key)
{
	if (key->max > 0)
		return key->max;
	return key->size >= 8 ? INT64_MAX : (1ull << (key->size * 8 - 1)) - 1;
}

static int parse_bool(struct str s, uint64_t *v)
{
	static const struct schema_word words[] = {{"true", 1}, {"false", 0}, {"on", 1},
						   {"off", 0},  {"yes", 1},   {"no", 0}};

	for (unsigned i = 0; i < SL_ARRAY_SIZE(words); i++) {
		if (!str_eq(s, str_from(words[i].name)))
			continue;
		*v = words[i].value;
		return 0;
	}
	return -EINVAL;
}

static int parse_mode(struct str s, uint64_t *v)
{
	*v = 0;
	for (size_t i = 0; i < s.len; i++) {
		if (s.p[i] < '0' || s.p[i] > '7' || s.len > 5)
			return -EINVAL;
		*v = *v * 8 + (uint64_t)(s.p[i] - '0');
	}
	return s.len >= 3 && *v <= 0777 ? 0 : -EINVAL;
}

static int parse_word(const struct schema_key *key, struct str s, uint64_t *v, char *why,
		      size_t why_len)
{
	struct schema_guess guess = {NULL, 0};
	size_t n = (size_t)snprintf(why, why_len, "expected ");

	for (const struct schema_word *w = key->words; w->name; w++) {
		const char *between = w == key->words ? "" : w[1].name ? ", " : " or ";

		if (str_eq(s, str_from(w->name))) {
			*v = w->value;
			return 0;
		}
		schema_guess(&guess, s, w->name);
		if (n < why_len)
			n += (size_t)snprintf(why + n, why_len - n, "%s%s", between, w->name);
	}
	/* Among numbers every one is near to some other. */
	if (guess.best && n < why_len && (s.p[0] < '0' || s.p[0] > '9'))
		snprintf(why + n, why_len - n, "; did you mean \"%s\"?", guess.best);
	return -EINVAL;
}

/* A number of any type. */
static int parse_number(const struct schema_key *key, struct str s, uint64_t *v, char *why,
			size_t why_len)
{
	snprintf(why, why_len, "expected %s", describe_type(key->type));
	switch (key->type) {
	case SCHEMA_BOOL:
		return parse_bool(s, v);
	case SCHEMA_DURATION:
		return schema_duration(s, v, why, why_len);
	case SCHEMA_SIZE:
		return schema_size(s, v, why, why_len);
	case SCHEMA_PERCENT:
		return schema_percent(s, key->flags & SCHEMA_TENTHS, v, why, why_len);
	case SCHEMA_MODE:
		return parse_mode(s, v);
	case SCHEMA_WORD:
	case SCHEMA_FLAGS:
		return parse_word(key, s, v, why, why_len);
	default:
		return str_to_u64(s, UINT64_MAX, v);
	}
}

/* Behind the bounds of a key. */
static const char *unit_of(const struct schema_key *key)
{
	switch (key->type) {
	case SCHEMA_SIZE:
		return " bytes";
	case SCHEMA_PERCENT:
		return "%";
	case SCHEMA_DURATION:
		return key->flags & SCHEMA_SECONDS ? " seconds" : "ms";
	default:
		return "";
	}
}

static void set_number(struct schema_run *run, const struct schema_key *key,
		       const struct ucl_node *node, void *target)
{
	char why[WHY_BYTES];
	uint64_t v = 0;

	if (parse_number(key, node->value, &v, why, sizeof(why)) < 0) {
		schema_wrong(run, node, key->name, "%s", why);
		return;
	}
	if (key->type == SCHEMA_DURATION && (key->flags & SCHEMA_SECONDS)) {
		if (v % 1000 != 0) {
			schema_wrong(run, node, key->name, "expected whole seconds");
			return;
		}
		v /= 1000;
	}
	if (key->type != SCHEMA_WORD && (v < key->min || v > most(key))) {
		unsigned parts = key->flags & SCHEMA_TENTHS ? 10 : 1;

		snprintf(why, sizeof(why), "expected %llu to %llu%s",
			 (unsigned long long)key->min / parts,
			 (unsigned long long)most(key) / parts, unit_of(key));
		schema_wrong(run, node, key->name, "%s", why);
		return;
	}
	put_number(key, target, v);
}

static void set_flags(struct schema_run *run, const struct schema_key *key,
		      const struct ucl_node *node, void *target)
{
	const struct ucl_node *first = node->kind == UCL_LIST ? node->first : node;
	uint32_t mask = 0;
	char why[WHY_BYTES];

	for (const struct ucl_node *n = first; n; n = n->next) {
		uint64_t v;

		if (parse_word(key, n->value, &v, why, sizeof(why)) < 0)
			schema_wrong(run, n, key->name, "%s", why);
		else
			mask |= 1u << v;
		if (node->kind != UCL_LIST)
			break;
	}
	put_number(key, target, mask);
}

static void set_string(struct schema_run *run, const struct schema_key *key,
		       const struct ucl_node *node, void *target)
{
	struct str s = key->type == SCHEMA_PATH ? schema_path(run, node->value)
						: arena_dup(run->arena, node->value);

	if (!s.p)
		schema_error(run, node->value_at, "out of memory");
	else if (memchr(s.p, '\0', s.len) || (key->type == SCHEMA_PATH && node->value.len == 0))
		schema_wrong(run, node, key->name, "expected %s", describe_type(key->type));
	else
		*(struct str *)((char *)target + key->at) = s;
}

static void set_address(struct schema_run *run, const struct schema_key *key,
			const struct ucl_node *node, void *target)
{
	char why[WHY_BYTES] = "";

	if (net_addr_parse(node->value, (struct net_addr *)((char *)target + key->at), why,
			   sizeof(why)) < 0)
		schema_wrong(run, node, key->name, "%s", why);
}

static void set_list(struct schema_run *run, const struct schema_key *key,
		     const struct ucl_node *node, void *target)
{
	const struct ucl_node *first = node->kind == UCL_LIST ? node->first : node;
	uint64_t most_items = key->max > 0 ? key->max : UINT32_MAX;
	unsigned count = 0;
	struct str *v;

	for (const struct ucl_node *n = first; n; n = node->kind == UCL_LIST ? n->next : NULL)
		count++;
	if (count > most_items) {
		schema_error(run, node->value_at, "\"%s\"%s takes at most %llu, not %u", key->name,
			     run->where, (unsigned long long)most_items, count);
		return;
	}
	v = arena_alloc(run->arena, (count + !count) * sizeof(*v));
	if (!v) {
		schema_error(run, node->value_at, "out of memory");
		return;
	}
	count = 0;
	for (const struct ucl_node *n = first; n; n = node->kind == UCL_LIST ? n->next : NULL) {
		if (key->apply)
			key->apply(run, n, target);
		v[count] = arena_dup(run->arena, n->value);
		count += v[count].p != NULL;
	}
	if (key->size == 0)
		return;
	*(const struct str **)((char *)target + key->at) = v;
	*(unsigned *)((char *)target + key->count_at) = count;
}

static void set_map(struct schema_run *run, const struct schema_key *key,
		    const struct ucl_node *node, void *target)
{
	unsigned count = 0;

	for (const struct ucl_node *n = node->first; n; n = n->next) {
		if (++count > SCHEMA_MAP_MAX) {
			schema_error(run, n->key_at, "%s%s has more than %d entries", key->name,
				     run->where, SCHEMA_MAP_MAX);
			return;
		}
		if (!is_scalar(n)) {
			schema_error(run, n->value_at, "\"%s\" in %s takes a string, not %s",
				     schema_show(n->key).text, key->name, describe_kind(n->kind));
			continue;
		}
		for (const struct ucl_node *other = node->first; other != n; other = other->next) {
			if (!str_eq(other->key, n->key))
				continue;
			schema_error(run, n->key_at, "\"%s\" is in %s already (line %u)",
				     schema_show(n->key).text, key->name, other->key_at.line);
			break;
		}
		key->apply(run, n, target);
	}
}

static void set_block(struct schema_run *run, const struct schema_key *key,
		      const struct ucl_node *node, void *target)
{
	const struct schema_block *block = key->block;
	bool named = key->flags & SCHEMA_NAMED;
	const char *outer = run->where;
	void *into = (char *)target + key->at;
	struct str where;

	if (named && !node->label.p) {
		schema_error(run, node->key_at, "\"%s\"%s needs a name: %s \"...\" { }", key->name,
			     run->where, key->name);
		return;
	}
	if (!named && node->label.p) {
		schema_error(run, node->value_at, "\"%s\"%s takes no name", key->name, run->where);
		return;
	}
	if (block->begin)
		into = block->begin(run, node, target);
	if (!into)
		return;
	where = named ? arena_printf(&run->errors->arena, " in %s \"%s\"", block->name,
				     schema_show(node->label).text)
		      : arena_printf(&run->errors->arena, " in %s", block->name);
	run->where = where.p ? where.p : "";
	schema_apply(run, block, node, into);
	run->where = outer;
}

/* `name = value` for a block: what its brief key would say. */
static void set_brief(struct schema_run *run, const struct schema_key *key,
		      const struct ucl_node *node, void *target)
{
	struct ucl_node member = *node;
	struct ucl_node block = {.kind = UCL_BLOCK,
				 .key = node->key,
				 .key_at = node->key_at,
				 .value_at = node->value_at,
				 .first = &member};

	member.next = NULL;
	member.key = str_from(key->block->brief);
	set_block(run, key, &block, target);
}

static bool fits(const struct schema_key *key, const struct ucl_node *node)
{
	switch (key->type) {
	case SCHEMA_MAP:
	case SCHEMA_BLOCK:
		return node->kind == UCL_BLOCK;
	case SCHEMA_LIST:
	case SCHEMA_FLAGS:
		return node->kind != UCL_BLOCK;
	default:
		return is_scalar(node);
	}
}

static void set(struct schema_run *run, const struct schema_key *key, const struct ucl_node *node,
		void *target)
{
	if (key->block && node->kind == UCL_BLOCK) {
		set_block(run, key, node, target);
		return;
	}
	if (key->type == SCHEMA_BLOCK && key->block && key->block->brief) {
		set_brief(run, key, node, target);
		return;
	}
	if (!fits(key, node)) {
		schema_error(run, node->value_at.line ? node->value_at : node->key_at,
			     "\"%s\"%s takes %s, not %s", key->name, run->where,
			     describe_type(key->type), describe_kind(node->kind));
		return;
	}
	if (key->type == SCHEMA_MAP) {
		set_map(run, key, node, target);
		return;
	}
	if (key->type == SCHEMA_LIST) {
		set_list(run, key, node, target);
		return;
	}
	if (key->size > 0) {
		if (key->type == SCHEMA_STRING || key->type == SCHEMA_PATH)
			set_string(run, key, node, target);
		else if (key->type == SCHEMA_ADDRESS)
			set_address(run, key, node, target);
		else if (key->type == SCHEMA_FLAGS)
			set_flags(run, key, node, target);
		else
			set_number(run, key, node, target);
	}
	if (key->apply)
		key->apply(run, node, target);
}

static const struct schema_key *find_own(const struct schema_block *block, struct str name,
					 bool lent)
{
	for (unsigned i = 0; i < block->key_count; i++) {
		const struct schema_key *key = &block->keys[i];

		if (!(lent && (key->flags & SCHEMA_OWN)) && str_eq(name, str_from(key->name)))
			return key;
	}
	return NULL;
}

/* The block somewhere in the table that knows this key. */
static const struct schema_block *find_home(const struct schema_block *from, struct str name)
{
	for (unsigned i = 0; i < from->key_count; i++) {
		const struct schema_block *found = from->keys[i].block;

		if (found && !find_own(found, name, false))
			found = find_home(found, name);
		if (found)
			return found;
	}
	return NULL;
}

static void guess_in(struct schema_guess *guess, const struct schema_block *block, struct str name,
		     bool lent)
{
	for (unsigned i = 0; i < block->key_count; i++)
		if (!(lent && (block->keys[i].flags & SCHEMA_OWN)))
			schema_guess(guess, name, block->keys[i].name);
}

static void unknown_key(struct schema_run *run, const struct schema_block *block,
			const struct ucl_node *node)
{
	struct schema_guess guess = {NULL, 0};
	const struct schema_block *home;
	char hint[WHY_BYTES] = "";

	guess_in(&guess, block, node->key, false);
	if (block->also)
		guess_in(&guess, block->also, node->key, true);
	home = find_own(&schema_top, node->key, false) ? &schema_top
						       : find_home(&schema_top, node->key);
	if (home && home != block)
		snprintf(hint, sizeof(hint), " (it belongs %s%s)",
			 home == &schema_top ? "at the top, outside of every block" : "in ",
			 home == &schema_top ? "" : home->name);
	else if (guess.best)
		snprintf(hint, sizeof(hint), " (did you mean \"%s\"?)", guess.best);
	schema_error(run, node->key_at, "unknown key \"%s\"%s%s", schema_show(node->key).text,
		     run->where, hint);
}

void schema_defaults(struct schema_run *run, const struct schema_block *block, void *target)
{
	for (unsigned i = 0; i < block->key_count; i++) {
		struct schema_key key = block->keys[i];
		struct ucl_node node = {.kind = UCL_WORD, .value = str_from(key.def)};

		key.apply = NULL;
		if (key.block && !key.block->begin && !(key.flags & SCHEMA_NAMED))
			schema_defaults(run, key.block, (char *)target + key.at);
		else if (key.def && key.size > 0 && !key.block)
			set(run, &key, &node, target);
	}
	if (block->also)
		schema_defaults(run, block->also, (char *)target + block->also_at);
}

void schema_apply(struct schema_run *run, const struct schema_block *block,
		  const struct ucl_node *node, void *target)
{
	const struct ucl_node *own[SCHEMA_KEYS_MAX] = {NULL};
	const struct ucl_node *lent[SCHEMA_KEYS_MAX] = {NULL};

	if (!block->lent_out)
		schema_defaults(run, block, target);
	/* What comes after too many errors is not looked at. */
	for (const struct ucl_node *n = node->first; n && run->errors->more == 0; n = n->next) {
		const struct schema_key *key = find_own(block, n->key, false);
		const struct ucl_node **seen = key ? &own[key - block->keys] : NULL;
		void *into = target;

		if (!key && block->also)
			key = find_own(block->also, n->key, true);
		if (!key) {
			unknown_key(run, block, n);
			continue;
		}
		if (!seen) {
			seen = &lent[key - block->also->keys];
			into = (char *)target + block->also_at;
			block->lent(run, n, target);
		}
		if (*seen && !(key->flags & SCHEMA_REPEAT)) {
			schema_error(run, n->key_at, "\"%s\"%s is given already (line %u)",
				     key->name, run->where, (*seen)->key_at.line);
			continue;
		}
		*seen = n;
		set(run, key, n, into);
	}
	if (block->end)
		block->end(run, node, target);
}
