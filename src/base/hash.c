// SPDX-License-Identifier: Apache-2.0
#include "base/hash.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/auxv.h>
#include <sys/random.h>

#include "base/compiler.h"

#define SLOTS_MIN 8u
#define SLOTS_MAX (1u << 31)

/*
 * SipHash-1-3 (Aumasson and Bernstein, 2012, with the rounds that Rust, Python and the BSDs use for hash tables):
 * a keyed pseudo-random function, so that who does not know the key cannot choose what collides.
 */
struct sip {
	uint64_t v0, v1, v2, v3;
};

static uint64_t process_key[2];

__attribute__((constructor)) static void draw_process_key(void)
{
	if (getrandom(process_key, sizeof(process_key), 0) == (ssize_t)sizeof(process_key))
		return;
	/* Forbidden by a filter: the kernel gave every process 16 random bytes at its start. */
	memcpy(process_key, (const void *)getauxval(AT_RANDOM), sizeof(process_key));
}

static inline uint64_t rotl(uint64_t v, unsigned n)
{
	return v << n | v >> (64 - n);
}

static inline void sip_round(struct sip *s)
{
	s->v0 += s->v1;
	s->v1 = rotl(s->v1, 13) ^ s->v0;
	s->v0 = rotl(s->v0, 32);
	s->v2 += s->v3;
	s->v3 = rotl(s->v3, 16) ^ s->v2;
	s->v0 += s->v3;
	s->v3 = rotl(s->v3, 21) ^ s->v0;
	s->v2 += s->v1;
	s->v1 = rotl(s->v1, 17) ^ s->v2;
	s->v2 = rotl(s->v2, 32);
}

static inline void sip_word(struct sip *s, uint64_t word)
{
	s->v3 ^= word;
	sip_round(s);
	s->v0 ^= word;
}

static inline uint64_t load_le64(const uint8_t *p)
{
	uint64_t v;

	memcpy(&v, p, 8);
	return __BYTE_ORDER__ == __ORDER_BIG_ENDIAN__ ? __builtin_bswap64(v) : v;
}

/* The last 0 to 7 bytes, the first of them lowest. */
static inline uint64_t load_tail(const uint8_t *p, size_t n)
{
	uint64_t v = 0;

	for (size_t i = 0; i < n; i++)
		v |= (uint64_t)p[i] << 8 * i;
	return v;
}

static inline uint64_t sip13(const uint8_t *p, size_t n, uint64_t k0, uint64_t k1)
{
	struct sip s = {
		k0 ^ 0x736f6d6570736575,
		k1 ^ 0x646f72616e646f6d,
		k0 ^ 0x6c7967656e657261,
		k1 ^ 0x7465646279746573,
	};
	uint64_t length = (uint64_t)n << 56;

	for (; n >= 8; p += 8, n -= 8)
		sip_word(&s, load_le64(p));
	sip_word(&s, length | load_tail(p, n));
	s.v2 ^= 0xff;
	sip_round(&s);
	sip_round(&s);
	sip_round(&s);
	return s.v0 ^ s.v1 ^ s.v2 ^ s.v3;
}

uint64_t hash_bytes(const void *p, size_t n)
{
	return sip13(p, n, process_key[0], process_key[1]);
}

uint64_t hash_bytes_fixed(const void *p, size_t n, uint64_t key)
{
	return sip13(p, n, key, 0);
}

void hash_init(struct hash *h, uint32_t count_max)
{
	*h = (struct hash){.count_max = count_max};
}

void hash_destroy(struct hash *h)
{
	free(h->slots);
	*h = (struct hash){.count_max = h->count_max};
}

/* Zero marks a free slot, so no entry may have it. */
static inline uint64_t slot_hash(uint64_t hash)
{
	return hash ? hash : 1;
}

/* The entry's slot, or the free one where it would be put. */
static struct hash_slot *find(const struct hash *h, struct str key, uint64_t hash)
{
	for (uint32_t i = (uint32_t)hash & h->mask;; i = (i + 1) & h->mask) {
		struct hash_slot *slot = &h->slots[i];

		if (slot->hash == 0 || (slot->hash == hash && str_eq(slot->key, key)))
			return slot;
	}
}

static int grow(struct hash *h)
{
	uint32_t n = h->slots ? (h->mask + 1) * 2 : SLOTS_MIN;
	struct hash_slot *old = h->slots, *slots;
	uint32_t old_n = old ? h->mask + 1 : 0;

	if (old_n == SLOTS_MAX)
		return -ENOMEM;
	slots = calloc(n, sizeof(*slots));
	if (!slots)
		return -ENOMEM;
	for (uint32_t i = 0; i < old_n; i++) {
		uint32_t at = (uint32_t)old[i].hash & (n - 1);

		if (!old[i].hash)
			continue;
		while (slots[at].hash)
			at = (at + 1) & (n - 1);
		slots[at] = old[i];
	}
	free(old);
	h->slots = slots;
	h->mask = n - 1;
	return 0;
}

void *hash_get_hashed(const struct hash *h, struct str key, uint64_t hash)
{
	return h->count ? find(h, key, slot_hash(hash))->value : NULL;
}

void *hash_get(const struct hash *h, struct str key)
{
	return h->count ? hash_get_hashed(h, key, hash_bytes(key.p, key.len)) : NULL;
}

int hash_put(struct hash *h, struct str key, void *value)
{
	uint64_t hash = slot_hash(hash_bytes(key.p, key.len));
	struct hash_slot *slot = h->slots ? find(h, key, hash) : NULL;

	if (slot && slot->hash)
		return -EEXIST;
	if (h->count_max && h->count >= h->count_max)
		return -ENOSPC;
	if (!slot || (uint64_t)(h->count + 1) * 4 > ((uint64_t)h->mask + 1) * 3) {
		int error = grow(h);

		if (error)
			return error;
		slot = find(h, key, hash);
	}
	*slot = (struct hash_slot){.hash = hash, .key = key, .value = value};
	h->count++;
	return 0;
}

void *hash_del(struct hash *h, struct str key)
{
	if (h->count == 0)
		return NULL;

	struct hash_slot *slot = find(h, key, slot_hash(hash_bytes(key.p, key.len)));
	void *value = slot->value;
	uint32_t hole = (uint32_t)(slot - h->slots);

	if (!slot->hash)
		return NULL;
	/* What follows moves back into the hole, unless it would leave the run that starts at its home. */
	for (uint32_t i = (hole + 1) & h->mask; h->slots[i].hash; i = (i + 1) & h->mask) {
		uint32_t home = (uint32_t)h->slots[i].hash & h->mask;

		if (((i - home) & h->mask) < ((i - hole) & h->mask))
			continue;
		h->slots[hole] = h->slots[i];
		hole = i;
	}
	h->slots[hole] = (struct hash_slot){0};
	h->count--;
	return value;
}
