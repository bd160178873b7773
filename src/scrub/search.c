/* search.c - the fast part.
 *
 * Theory of operation: called on every byte of every answer, and on the pieces without escapes
 * that lanes.c makes. A peer controls the text and knows placeholders, but no secret.
 * `next_gram` looks at every step-th gram; the branch that leaves its loop is taken for about 3
 * % of random grams (filter.c). Then, in this order, each step throwing nearly all away: is it a
 * gram of a needle; are there needles at the places that it stands for (a binary search by the
 * first eight bytes, then by all). Bound: for n bytes of text at most n / step grams, each with
 * as many binary searches as the gram has places (nearly always 1), each of log2(needles)
 * comparisons of at most the longest needle; comparisons go on only as far as text and needle
 * agree, and long needles do not repeat themselves (table.c), so long agreements do not overlap. */
#include "scrub/search.h"

#include <string.h>

/* The first place >= `at`, in steps, whose gram may be in the table; more than `end` when there
 * is none. Grams may begin at `end` at most. */
static size_t next_gram(const struct scrub_table *t, const uint8_t *p, size_t at, size_t end)
{
    const uint8_t *bits = t->sampled.bits;
    const unsigned shift = t->sampled.shift;
    const size_t step = t->step;
#define HIT(i)                                                                                     \
    ({                                                                                             \
        uint32_t h_ = gram_hash(gram_at(p + at + (i)*step), shift);                                \
        (unsigned)bits[h_ >> 3] >> (h_ & 7) & 1u;                                                  \
    })
    for (; at + 7 * step <= end; at += 8 * step) {
        unsigned any = HIT(0) | HIT(1) << 1 | HIT(2) << 2 | HIT(3) << 3 | HIT(4) << 4 |
                       HIT(5) << 5 | HIT(6) << 6 | HIT(7) << 7;
        if (any)
            return at + (size_t)__builtin_ctz(any) * step;
    }
    for (; at <= end; at += step)
        if (HIT(0))
            return at;
#undef HIT
    return at;
}

/* memcmp of a needle and a text, as far as both go. */
static int compare(const struct needle *nd, const uint8_t *p, size_t n, bool folded)
{
    size_t k = nd->n < n ? nd->n : n;
    if (!folded)
        return memcmp(nd->bytes, p, k);
    for (size_t i = 0; i < k; i++) {
        int d = nd->bytes[i] - fold_hex(p[i]);
        if (d)
            return d;
    }
    return 0;
}

/* The first needle of the set that is greater than the text; needles that the text begins with
 * are not. */
static size_t upper(const struct needle_set *s, const uint8_t *p, size_t n, bool folded)
{
    uint8_t first[8] = {0};
    for (size_t i = 0; i < 8 && i < n; i++)
        first[i] = folded ? fold_hex(p[i]) : p[i];
    uint64_t key;
    memcpy(&key, first, sizeof(key));
    key = __builtin_bswap64(key);
    size_t lo = 0, hi = s->n;
    while (lo < hi) {
        size_t mid = lo + (hi - lo) / 2;
        bool greater;
        if (s->keys[mid] != key) {
            greater = s->keys[mid] > key;
        } else {
            int c = compare(&s->needles[mid], p, n, folded);
            greater = c > 0 || (c == 0 && s->needles[mid].n > n);
        }
        if (greater)
            hi = mid;
        else
            lo = mid + 1;
    }
    return lo;
}

/* Does a needle go on behind the text? */
static bool begins(const struct needle_set *s, const uint8_t *p, size_t n, bool folded)
{
    size_t i = upper(s, p, n, folded);
    return i < s->n && s->needles[i].n > n && compare(&s->needles[i], p, n, folded) == 0;
}

struct look {
    const struct scrub_table *t;
    const uint8_t *p;
    size_t n;
    bool last;
    struct hits *ret;
};

static int add_partial(struct look *l, size_t at)
{
    return buf_add(l->ret->partial, &at, sizeof(at));
}

static bool edge(uint8_t c, uint8_t mask, uint8_t bits)
{
    int v = base64_value(c);
    return v >= 0 && (v & mask) == bits;
}

/* With and without the character before: that may belong to an occurrence which ends there. */
static int add_found(struct look *l, const struct needle *nd, size_t at)
{
    struct found f = {.start = at, .end = at + nd->n, .needle = nd};
    bool head = nd->head_mask && at > 0 && edge(l->p[at - 1], nd->head_mask, nd->head_bits);
    if (nd->tail_mask && f.end == l->n && !l->last) { /* the next byte decides */
        int r = head ? add_partial(l, at - 1) : 0;
        return r < 0 ? r : add_partial(l, at);
    }
    if (nd->tail_mask && f.end < l->n && edge(l->p[f.end], nd->tail_mask, nd->tail_bits))
        f.tail = l->p[f.end++];
    for (size_t i = 0; nd->form == FORM_HEX && i < nd->n && !f.upper; i++)
        f.upper = l->p[at + i] >= 'A' && l->p[at + i] <= 'F';
    int r = buf_add(l->ret->found, &f, sizeof(f));
    if (r < 0 || !head)
        return r;
    f.head = l->p[--f.start];
    return buf_add(l->ret->found, &f, sizeof(f));
}

/* All needles of the set that begin at `at`. */
static int needles_at(struct look *l, const struct needle_set *s, size_t at, bool folded)
{
    size_t i = upper(s, l->p + at, l->n - at, folded);
    if (i == 0)
        return 0;
    /* What the text begins with is the needle before, or what that begins with. */
    for (int32_t k = (int32_t)i - 1; k >= 0; k = s->needles[k].parent) {
        const struct needle *nd = &s->needles[k];
        if (nd->n > l->n - at || compare(nd, l->p + at, l->n - at, folded) != 0)
            continue;
        int r = add_found(l, nd, at);
        if (r < 0)
            return r;
    }
    return 0;
}

static int at_gram(struct look *l, size_t at)
{
    const struct scrub_table *t = l->t;
    for (uint32_t i = filter_slot(t, gram_at(l->p + at))->first; i; i = t->places[i].next) {
        size_t offset = t->places[i].at / 2;
        bool folded = t->places[i].at % 2;
        if (offset > at)
            continue;
        int r = needles_at(l, folded ? &t->folded : &t->exact, at - offset, folded);
        if (r < 0)
            return r;
    }
    return 0;
}

static bool may_begin(const struct scrub_table *t, const uint8_t *p, size_t n)
{
    if (n >= GRAM_BYTES) {
        if (!gram_in(&t->first_grams, gram_at(p)))
            return false;
    } else if (!t->first[p[0]]) {
        return false;
    }
    return begins(&t->exact, p, n, false) || begins(&t->folded, p, n, true);
}

/* A character that may be a head is where the needle behind it begins; whether it is this
 * needle's is not asked: too much held for a moment changes nothing. */
static int search_end(struct look *l)
{
    const struct scrub_table *t = l->t;
    size_t at = l->n >= t->longest ? l->n - t->longest + 1 : 0;
    for (; at < l->n; at++) {
        if (!may_begin(t, l->p + at, l->n - at))
            continue;
        int r = at > 0 && t->head[l->p[at - 1]] ? add_partial(l, at - 1) : 0;
        if (r == 0)
            r = add_partial(l, at);
        if (r < 0)
            return r;
    }
    return l->n > 0 && t->head[l->p[l->n - 1]] ? add_partial(l, l->n - 1) : 0;
}

int search_flat(const struct scrub_table *t, const uint8_t *p, size_t n, bool last,
                struct hits *ret)
{
    if (t->exact.n == 0)
        return 0;
    struct look l = {.t = t, .p = p, .n = n, .last = last, .ret = ret};
    if (n >= t->shortest) {
        size_t end = n - GRAM_BYTES;
        for (size_t at = 0; (at = next_gram(t, p, at, end)) <= end; at += t->step) {
            int r = at_gram(&l, at);
            if (r < 0)
                return r;
        }
    }
    return last ? 0 : search_end(&l);
}
