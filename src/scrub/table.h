/* table - a compiled table, for the files of this folder alone. */
#pragma once

#include "base/secret.h"
#include "scrub/scrub.h"

enum scrub_form {
    FORM_PLAIN,
    FORM_PLUS, /* with '+' for ' ', as in forms and queries */
    FORM_BASE64,
    FORM_BASE64URL,
    FORM_HEX, /* needle in lower case, matches any */
};

/* A byte string that is searched for. Of base64 these are the characters that hold nothing but
 * bits of the secret. The character before and the one behind may hold a few more, beside bits
 * of somebody else: `head` and `tail` say which bits, and a hit takes these characters in. */
struct needle {
    const uint8_t *bytes, *rep; /* in the table's area */
    uint32_t n, rep_n;          /* `rep` of base64 has a character for head and tail each */
    uint32_t pair, rank;        /* rank: in the order of making; the lower one wins a draw */
    int32_t parent;             /* the longest needle that this one begins with; -1: none */
    uint8_t form;
    uint8_t head_mask, head_bits, tail_mask, tail_bits; /* of six; mask 0: no such character */
};

/* Locked memory in pieces: struct secret has a ceiling. */
#define AREA_ROOMS      64u
#define AREA_ROOM_BYTES (1u << 20)
struct area {
    struct secret rooms[AREA_ROOMS];
    size_t n, used; /* rooms; bytes of the last one */
};
/* Zeroed, 8-byte aligned, for the life of the area; NULL when there is no memory, or more than 1
 * MiB is asked for. */
void *area_take(struct area *a, size_t bytes);
void area_done(struct area *a);

/* Needles sorted as memcmp does, shorter first. */
struct needle_set {
    struct needle *needles;
    uint64_t *keys; /* the first eight bytes of each, big end first: a needle has no fewer */
    size_t n;
};

/* From a gram to where in needles it is. */
struct slot {
    uint32_t gram, first; /* place; 0: an empty slot */
};
struct place {
    uint32_t at;   /* offset in the needle * 2 + (1: a folded one) */
    uint32_t next; /* 0: the last */
};

/* Whatever is only needed within a call: shared by all streams of the table. */
struct scratch {
    struct buf found, partial, join;
    struct buf bytes[3], units[3]; /* of lanes */
    struct buf segments;
    unsigned lanes; /* that were made for the last segment */
};

/* A set of grams that says "perhaps" or "no". */
struct gram_set {
    uint8_t *bits;
    unsigned shift; /* of the hash: 32 - log2 of the number of bits */
};

struct scrub_table {
    unsigned refs, forms;
    struct area area;
    struct needle_set exact, folded; /* folded: hex, compared without regard to case */
    char **names;
    size_t pairs;

    /* The filter (search.c): every step-th gram of a text is looked up in `bits`, then in
     * `slots`. */
    uint32_t step;
    struct gram_set sampled; /* those of the chosen windows */
    struct slot *slots;
    uint32_t slots_mask;
    struct place *places; /* the first is not used */

    struct gram_set first_grams; /* with which needles begin */
    struct gram_set all_grams;   /* of all needles with all their edges (lanes.c) */
    bool first[256];             /* begins a needle */
    bool head[256];              /* may be the character before a base64 needle */
    bool inside[256];
    size_t longest, shortest; /* bytes; `longest` with head and tail */
    size_t idle_max;
    size_t needle_bytes;
    struct scratch scratch;
};

#define GRAM_BYTES 4u
/* Four bytes without regard to case: hex needs that, and one filter serves all. */
static inline uint32_t gram_at(const uint8_t *p)
{
    uint32_t v;
    __builtin_memcpy(&v, p, sizeof(v));
    return v | 0x20202020u;
}
static inline uint32_t gram_hash(uint32_t gram, unsigned shift)
{
    return gram * 0x9e3779b1u >> shift;
}

/* A gram is in such a set when three of its bits are. (Not so in `sampled`: one look-up is all
 * the time there is.) */
static inline uint32_t gram_bit(const struct gram_set *s, uint32_t gram, unsigned i)
{
    static const uint32_t odd[] = {0x9e3779b1u, 0x85ebca77u, 0xc2b2ae3du};
    return gram * odd[i] >> s->shift;
}

static inline bool gram_in(const struct gram_set *s, uint32_t gram)
{
    for (unsigned i = 0; i < 3; i++) {
        uint32_t h = gram_bit(s, gram, i);
        if (!(s->bits[h >> 3] >> (h & 7) & 1))
            return false;
    }
    return true;
}

/* forms.c: adds the needles of a pair to `out` (of struct needle). -ENOMEM, -EMSGSIZE. */
int forms_add(struct scrub_table *t, size_t pair, const struct scrub_pair *p, struct buf *out);
int base64_value(uint8_t c); /* 0..63 in either alphabet, -1 */
char base64_char(unsigned value, bool url);

/* filter.c: makes the filter of the sorted needles. -ENOMEM, -E_LIMIT. */
int filter_make(struct scrub_table *t);
/* The slot of a gram, an empty one when no needle has it. */
struct slot *filter_slot(const struct scrub_table *t, uint32_t gram);

static inline uint8_t fold_hex(uint8_t c)
{
    return c >= 'A' && c <= 'F' ? (uint8_t)(c | 0x20) : c;
}
