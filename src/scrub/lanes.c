/* lanes.c - text without its escapes, where that could show a secret.
 *
 * Theory of operation: a *lane* is text with all its units (escape.h) replaced by what they stand
 * for. Lane 1 is made from the text, lane 2 from lane 1, lane 3 from lane 2; each knows for each of
 * its places where that is in the text below. In each of them all needles are searched for, so any
 * mixture of escapes, in up to three layers, is seen: "\u0073k-", "%73%6b-", "&#x73;k-",
 * "%5Cu0073k-".
 *
 * Lanes are made for *segments* only: what lies around escapes that could be part of an
 * occurrence (wake.c), as far to both sides as the longest needle reaches, or to a byte that no
 * needle has. The semantics are those of lanes of the whole stream; for them to be the same, a
 * segment begins where no unit of any layer goes on from before.
 *
 * A peer controls all of the text. Work is at most four times that of the plain search, and the
 * memory of lanes is bounded by that of the text they are made from. */
#include "scrub/escape.h"
#include "scrub/lanes.h"
#include "scrub/wake.h"

#include <string.h>

#define NEAR      16u
#define SHORT_RUN 32u /* bytes */

struct unit {
    uint32_t at, src; /* in the lane; in the text below */
    uint8_t n, src_n;
};

struct segment {
    size_t from, to; /* lane 1 shows the text between them */
    size_t quiet;    /* from here on there is no unit in it, of any layer */
    bool open;       /* its lanes do not end where they do for good */
};

/* How far one lane got. */
struct reading {
    const struct scrub_table *t;
    struct buf *bytes, *units;
    size_t to;   /* everything before is in the lane */
    size_t wake; /* lane 1: behind the last unit, or the last byte that could have begun one */
    size_t next; /* lane 1: where to look for the next escape */
    bool open;   /* the text ends here, and more will come */
    bool incomplete;
};

static const struct unit *units_of(const struct buf *b, size_t *ret_n)
{
    *ret_n = b->len / sizeof(struct unit);
    return (const struct unit *)(const void *)b->data;
}

/* Of the text below: where the thing begins, or (`end`) ends, that is at, or ends at, `at` of
 * the lane. */
static size_t below(const struct buf *units, size_t at, bool end)
{
    size_t n, lo = 0;
    const struct unit *u = units_of(units, &n);
    for (size_t hi = n; lo < hi;) {
        size_t mid = lo + (hi - lo) / 2;
        if (u[mid].at <= at)
            lo = mid + 1;
        else
            hi = mid;
    }
    if (lo == 0)
        return at;
    u += lo - 1;
    if (at >= u->at + (size_t)u->n)
        return u->src + (size_t)u->src_n + (at - u->at - u->n);
    return end && at > u->at ? u->src + (size_t)u->src_n : u->src;
}

/* The other way round; `src` lies within no unit. */
static size_t above(const struct buf *units, size_t src)
{
    size_t n, lo = 0;
    const struct unit *u = units_of(units, &n);
    for (size_t hi = n; lo < hi;) {
        size_t mid = lo + (hi - lo) / 2;
        if (u[mid].src + (size_t)u[mid].src_n <= src)
            lo = mid + 1;
        else
            hi = mid;
    }
    if (lo == 0)
        return src;
    u += lo - 1;
    return u->at + (size_t)u->n + (src - u->src - u->src_n);
}

/* In a segment: could a needle, or a unit of the next layer, have one of these bytes? */
static bool matters(const struct scrub_table *t, const uint8_t *p, size_t n)
{
    for (size_t i = 0; i < n; i++)
        if (t->inside[p[i]] || (p[i] > ' ' && p[i] < 0x7f)) /* units are made of printable ASCII */
            return true;
    return false;
}

/* Room for `n` bytes in an empty buffer. What it had is wiped before it grows: growing would
 * copy it. */
static int make_room(struct buf *b, size_t n)
{
    buf_reset(b);
    if (b->cap <= n) {
        size_t max = b->max;
        secret_wipe(b->data, b->cap);
        buf_done(b);
        buf_init(b, max);
    }
    return buf_room(b, n) ? 0 : buf_err(b);
}

/* Copies a short run by its full width; both sides have that much. */
static inline void copy(uint8_t *to, const uint8_t *p, size_t n, size_t readable)
{
    if (n <= SHORT_RUN && readable >= SHORT_RUN)
        memcpy(to, p, SHORT_RUN);
    else
        memcpy(to, p, n);
}

/* Makes a lane of p[from..n). With `walls`: as a segment that was woken at `wake`; without: all
 * of it. */
static int read_lane(struct reading *r, const uint8_t *p, size_t from, size_t n, bool last,
                     bool walls)
{
    size_t reach = walls ? r->t->longest + 2 * (size_t)NEAR : n, at = from;
    if (make_room(r->bytes, n - from + SHORT_RUN) < 0 ||
        make_room(r->units, ((n - from) / 2 + 1) * sizeof(struct unit)) < 0)
        return buf_err(r->bytes) ? buf_err(r->bytes) : buf_err(r->units);
    uint8_t *to = (uint8_t *)r->bytes->data, *start = to;
    struct unit *first = (struct unit *)(void *)r->units->data, *unit = first;
    r->open = r->incomplete = false;
    for (;;) {
        size_t end = n - r->wake > reach ? r->wake + reach : n, x = escape_next(p, at, end), k;
        uint8_t bytes[4];
        copy(to, p + at, x - at, n - at);
        to += x - at;
        r->to = r->next = x;
        if (x == end) {
            r->open = x == n && !last;
            break;
        }
        int length = escape_unit(p + x, n - x, ESCAPE_FAMILIES, last, bytes, &k);
        if (length == ESCAPE_INCOMPLETE) {
            r->open = r->incomplete = true;
            r->next = n;
            break;
        }
        at = x + (size_t)(length ? length : 1);
        r->wake = at;
        if (length == 0) {
            *to++ = p[x];
            continue;
        }
        if (walls && !matters(r->t, bytes, k)) {
            r->next = at;
            break;
        }
        *unit++ = (struct unit){(uint32_t)(to - start), (uint32_t)(x - from), (uint8_t)k,
                                (uint8_t)length};
        memcpy(to, bytes, k);
        to += k;
    }
    buf_commit(r->bytes, (size_t)(to - start));
    buf_commit(r->units, (size_t)(unit - first) * sizeof(*unit));
    return 0;
}

/* ---- from places in a lane to places in the text ---- */

struct maps {
    const struct scrub_table *t;
    size_t from; /* of the segment */
    unsigned level;
};

static size_t in_text(const struct maps *m, size_t at, bool end)
{
    for (unsigned i = m->level; i-- > 0;)
        at = below(&m->t->scratch.units[i], at, end);
    return m->from + at;
}

/* The family of the first unit of lane 1 in the occurrence; 0: there is none. */
static uint8_t family_of(const struct maps *m, const uint8_t *p, const struct found *f)
{
    size_t n;
    const struct unit *u = units_of(&m->t->scratch.units[0], &n);
    size_t lo = 0;
    for (size_t hi = n; lo < hi;) {
        size_t mid = lo + (hi - lo) / 2;
        if (m->from + u[mid].src < f->start)
            lo = mid + 1;
        else
            hi = mid;
    }
    if (lo == n || m->from + u[lo].src >= f->end)
        return 0;
    switch (p[m->from + u[lo].src]) {
    case '%':
        return ESCAPE_PERCENT;
    case '&':
        return ESCAPE_ENTITY;
    default:
        return ESCAPE_BACKSLASH;
    }
}

/* What was found in a lane, from the given lengths of the results on, becomes places of the
 * text. What has no escape in it is dropped: the search of the text has it. */
static void translate(const struct maps *m, const uint8_t *p, size_t n, struct hits *ret,
                      size_t found, size_t partial)
{
    struct found *f = (struct found *)(void *)ret->found->data;
    size_t kept = found / sizeof(*f);
    for (size_t i = kept; i < ret->found->len / sizeof(*f); i++) {
        struct found x = f[i];
        x.start = in_text(m, f[i].start, false);
        x.end = in_text(m, f[i].end, true);
        x.level = (uint8_t)m->level;
        x.family = family_of(m, p, &x);
        if (x.family && x.end - x.start <= (size_t)LANES_STRETCH * x.needle->n + LANES_SLACK)
            f[kept++] = x;
    }
    ret->found->len = kept * sizeof(*f);
    size_t *at = (size_t *)(void *)ret->partial->data;
    kept = partial / sizeof(*at);
    for (size_t i = kept; i < ret->partial->len / sizeof(*at); i++) {
        size_t x = in_text(m, at[i], false);
        if (n - x <= LANES_STRETCH * m->t->longest + LANES_SLACK)
            at[kept++] = x;
    }
    ret->partial->len = kept * sizeof(*at);
}

static int search_lane(struct scrub_table *t, const struct maps *m, const uint8_t *p, size_t n,
                       bool open, struct hits *ret)
{
    const struct buf *b = &t->scratch.bytes[m->level - 1];
    size_t found = ret->found->len, partial = ret->partial->len;
    int r = search_flat(t, (const uint8_t *)b->data, b->len, !open, ret);
    if (r == 0)
        translate(m, p, n, ret, found, partial);
    return r;
}

/* Makes the lane above one; false when that has nothing to undo. */
static bool read_above(struct scrub_table *t, unsigned level, bool open, struct reading *ret,
                       int *ret_error)
{
    const struct buf *low = &t->scratch.bytes[level - 2];
    const uint8_t *p = (const uint8_t *)low->data;
    *ret = (struct reading){
        .t = t, .bytes = &t->scratch.bytes[level - 1], .units = &t->scratch.units[level - 1]};
    *ret_error = 0;
    if (escape_next(p, 0, low->len) == low->len)
        return false;
    *ret_error = read_lane(ret, p, 0, low->len, !open, false);
    return *ret_error == 0;
}

static int search_segment(struct scrub_table *t, struct reading *r, size_t from, const uint8_t *p,
                          size_t n, bool last, struct hits *ret)
{
    struct segment s = {.from = from};
    int e = read_lane(r, p, from, n, last, true);
    s.to = r->to;
    s.quiet = r->wake + NEAR;
    s.open = r->open;
    if (e == 0)
        e = buf_add(&t->scratch.segments, &s, sizeof(s));
    if (e < 0)
        return e;
    struct reading lane = *r;
    for (unsigned level = 1;; level++) {
        struct maps m = {.t = t, .from = from, .level = level},
                    low = {.t = t, .from = from, .level = level - 1};
        t->scratch.lanes = level;
        if (lane.incomplete) {
            size_t at = level == 1 ? lane.to : in_text(&low, lane.to, false);
            e = buf_add(ret->partial, &at, sizeof(at));
        }
        if (e == 0 && (lane.units->len || lane.incomplete))
            e = search_lane(t, &m, p, n, lane.open, ret);
        if (e < 0 || level == LANES_MAX || !read_above(t, level + 1, lane.open, &lane, &e))
            return e;
    }
}

int lanes_search(struct scrub_table *t, const uint8_t *p, size_t n, bool last, struct hits *ret)
{
    struct wake s = {.t = t, .p = p, .n = n, .last = last};
    buf_reset(&t->scratch.segments);
    for (size_t at = 0; (at = escape_next(p, at, n)) < n;) {
        uint8_t bytes[4];
        size_t k;
        if (wake_wall(&s, at)) {
            at += 2;
            continue;
        }
        int length = escape_unit(p + at, n - at, ESCAPE_FAMILIES, last, bytes, &k);
        if (!wake_needed(&s, at, length, bytes, k)) {
            if (length)
                wake_pass(&s, at, length, bytes);
            at += (size_t)(length ? length : 1);
            continue;
        }
        size_t from = at > t->longest + 1 ? at - t->longest - 1 : 0;
        if (from < s.quiet)
            from = s.quiet;
        struct reading r = {
            .t = t, .bytes = &t->scratch.bytes[0], .units = &t->scratch.units[0], .wake = at};
        int e = search_segment(t, &r, from, p, n, last, ret);
        if (e < 0)
            return e;
        at = r.next;
        s.plain = r.wake;
        s.quiet = r.next > r.wake + NEAR ? r.wake + NEAR : r.next;
    }
    return 0;
}

size_t lanes_boundary(struct scrub_table *t, const uint8_t *p, size_t n, bool last, size_t at)
{
    const struct buf *b = &t->scratch.segments;
    const struct segment *s = (const struct segment *)(const void *)b->data;
    size_t low = escape_unit_around(p, n, at, last), i = b->len / sizeof(*s);
    while (i > 0 && s[i - 1].from > low)
        i--;
    if (i == 0 || s[i - 1].to < low || s[i - 1].quiet <= low)
        return low;
    s += i - 1;
    /* The lanes are those of the last segment. What is open lies in it, unless a wall is part of a
     * needle; then the beginning of the segment is right, too, only longer. */
    if (i < b->len / sizeof(*s))
        return s->from;
    size_t here = low - s->from; /* in the text of the lane below */
    for (unsigned level = 1; level < t->scratch.lanes; level++) {
        here = above(&t->scratch.units[level - 1], here);
        const struct buf *text = &t->scratch.bytes[level - 1];
        size_t u = escape_unit_around((const uint8_t *)text->data, text->len, here, !s->open);
        struct maps m = {.t = t, .from = s->from, .level = level};
        if (u < here)
            low = in_text(&m, u, false);
        here = u;
    }
    return low;
}
