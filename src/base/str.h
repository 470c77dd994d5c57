/* internal: string views, and the comparisons and numbers that protocols need. */
#ifndef SLUICE_BASE_STR_H
#define SLUICE_BASE_STR_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

/* Bytes owned by somebody else; not terminated. p may be NULL only when len is 0. */
struct str {
	const char *p;
	size_t len;
};

#define STR(literal) ((struct str){(literal), sizeof(literal) - 1})
#define STR_NONE ((struct str){NULL, 0})
/* For printf("%.*s", STR_ARG(s)). */
#define STR_ARG(s) ((int)(s).len), ((s).p ? (s).p : "")

static inline struct str str_from(const char *z)
{
	return (struct str){z, z ? strlen(z) : 0};
}

static inline bool str_eq(struct str a, struct str b)
{
	return a.len == b.len && (a.len == 0 || memcmp(a.p, b.p, a.len) == 0);
}

static inline struct str str_skip(struct str s, size_t n)
{
	return (struct str){s.p + n, s.len - n};
}

static inline struct str str_head(struct str s, size_t n)
{
	return (struct str){s.p, n < s.len ? n : s.len};
}

/* ASCII case is folded; other bytes compare as they are. */
bool str_eq_nocase(struct str a, struct str b);
bool str_starts(struct str s, struct str prefix);
bool str_ends(struct str s, struct str suffix);
bool str_starts_nocase(struct str s, struct str prefix);
/* Index of the byte or of the substring, or -1. */
ptrdiff_t str_find_byte(struct str s, char c);
ptrdiff_t str_find(struct str s, struct str what);
/* Without spaces and tabs at both ends (OWS of RFC 9110 section 5.6.3). */
struct str str_trim(struct str s);
/*
 * Cuts the next element of a list off *rest, split at `sep`, trimmed. False when nothing is left.
 * Empty elements are returned as empty.
 */
bool str_next(struct str *rest, char sep, struct str *element);

/*
 * A whole decimal number, digits only. Returns 0, -EINVAL (empty or another byte), -ERANGE
 * (over `max`). *out is untouched on failure.
 */
int str_to_u64(struct str s, uint64_t max, uint64_t *out);

/* Decimal digits of v at p, no terminator. Returns the count, at most 20. */
unsigned str_put_u64(char *p, uint64_t v);
/* Lower-case hexadecimal without leading zeros. At most 16. */
unsigned str_put_hex(char *p, uint64_t v);

/* Levenshtein distance, for "did you mean"; both sides are cut to 64 bytes. */
unsigned str_distance(struct str a, struct str b);

#endif
