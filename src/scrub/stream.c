/* stream.c - the stream: what may go on, what is held, what is replaced.
 *
 * Theory of operation: called by whoever moves a body, on the loop's thread, with each piece as
 * it comes. The semantics are those of the whole stream, however it is cut: of all occurrences
 * (in the text and in its lanes) the one that begins first wins, of those the longest, and the
 * next begins behind it. An occurrence is decided on when nothing that began at or before its
 * beginning can still grow: everything before the first such *partial* is final. A peer controls
 * the text; what it can make us hold is bounded (scrub_stats.hold_max), and so is the work.
 * Positions are relative to the first byte that is still there; `held` is empty between calls
 * for nearly all streams, so an idle one costs nothing. Most text is searched where the caller
 * has it. */
#include "base/err.h"
#include "scrub/escape.h"
#include "scrub/lanes.h"

#include <string.h>

#define SLICE_BYTES (64u << 10) /* searched at once: stays in the second-level cache */
#define JOIN_BYTES  (4u << 10)  /* put behind what is held, to get past it */
#define HELD_STAYS  256u        /* bytes of `held` that are not given back */

void scrub_begin(struct scrub_stream *s, struct scrub_table *t, enum scrub_quoting q,
                 bool find_only)
{
    *s = (struct scrub_stream){.table = scrub_table_ref(t), .quoting = q, .find_only = find_only};
    buf_init(&s->held, SIZE_MAX / 2); /* by hold_max */
}

static void drop_held(struct scrub_stream *s)
{
    secret_wipe(s->held.data, s->held.cap);
    buf_done(&s->held);
    buf_init(&s->held, SIZE_MAX / 2);
}

void scrub_stream_done(struct scrub_stream *s)
{
    if (!s || !s->table)
        return;
    drop_held(s);
    free(s->by_pair);
    scrub_table_unref(s->table);
    *s = (struct scrub_stream){0};
}

void scrub_change_table(struct scrub_stream *s, struct scrub_table *t)
{
    scrub_table_ref(t);
    scrub_table_unref(s->table);
    s->table = t;
    free(s->by_pair);
    s->by_pair = NULL;
}

void scrub_table_stats(const struct scrub_table *t, struct scrub_stats *ret)
{
    *ret = (struct scrub_stats){
        .needles = t->exact.n + t->folded.n,
        .needle_bytes = t->needle_bytes,
        .longest = t->longest,
        .step = t->step,
        .hold_max = t->forms & SCRUB_ESCAPES
                        ? LANES_STRETCH * t->longest + LANES_SLACK + LANES_CONTEXT_MAX
                        : t->longest,
    };
    for (size_t i = 0; i < t->area.n; i++)
        ret->locked_bytes += t->area.rooms[i].map_bytes;
}

/* ---- what is written in the place of an occurrence ---- */

static unsigned quoting_family(enum scrub_quoting q)
{
    switch (q) {
    case SCRUB_QUOTE_PERCENT:
        return ESCAPE_PERCENT;
    case SCRUB_QUOTE_JSON:
        return ESCAPE_BACKSLASH;
    case SCRUB_QUOTE_MARKUP:
        return ESCAPE_ENTITY;
    case SCRUB_QUOTE_NONE:
    case SCRUB_QUOTE_COUNTED:
        break;
    }
    return 0;
}

struct place_in {
    struct buf *out;
    unsigned family, times;
};

static int put(const struct place_in *w, const uint8_t *p, size_t n)
{
    return escape_add(w->out, p, n, w->family, w->times);
}

/* The edge character keeps the bits of the neighbour. */
static int put_edge(const struct place_in *w, uint8_t was, uint8_t ours, uint8_t mask, bool url)
{
    unsigned v =
        ((unsigned)base64_value(was) & ~(unsigned)mask) | ((unsigned)base64_value(ours) & mask);
    uint8_t c = (uint8_t)base64_char(v & 63, url);
    return put(w, &c, 1);
}

static bool is_url(uint8_t c)
{
    return c == '-' || c == '_';
}

static int put_base64(const struct place_in *w, const struct found *f)
{
    const struct needle *nd = f->needle;
    bool url = nd->form == FORM_BASE64URL || is_url(f->head) || is_url(f->tail);
    const uint8_t *p = nd->rep, *end = nd->rep + nd->rep_n;
    int r = 0;
    if (nd->head_mask) {
        r = f->head ? put_edge(w, f->head, *p, nd->head_mask, url) : 0;
        p++;
    }
    if (nd->tail_mask)
        end--;
    /* A needle that is the same in both alphabets: the characters at its edges may tell. */
    bool other = url && nd->form == FORM_BASE64;
    for (; other && r == 0 && p < end; p++) {
        uint8_t c = (uint8_t)base64_char((unsigned)base64_value(*p), true);
        r = put(w, &c, 1);
    }
    if (r == 0 && p < end)
        r = put(w, p, (size_t)(end - p));
    if (r == 0 && f->tail)
        r = put_edge(w, f->tail, *end, nd->tail_mask, url);
    return r;
}

static int put_hex(const struct place_in *w, const struct found *f)
{
    int r = 0;
    for (size_t i = 0; i < f->needle->rep_n && r == 0; i++) {
        uint8_t c = f->needle->rep[i];
        if (f->upper && c >= 'a')
            c &= (uint8_t)~0x20;
        r = put(w, &c, 1);
    }
    return r;
}

static int put_replacement(struct scrub_stream *s, const struct found *f, struct buf *out)
{
    struct place_in w = {.out = out, .family = f->family, .times = f->level};
    if (f->level == 0) {
        w.times = 1;
        if (f->needle->form == FORM_PLAIN)
            w.family = quoting_family(s->quoting);
        else if (f->needle->form == FORM_PLUS)
            w.family = ESCAPE_PERCENT;
    }
    switch ((enum scrub_form)f->needle->form) {
    case FORM_BASE64:
    case FORM_BASE64URL:
        return put_base64(&w, f);
    case FORM_HEX:
        return put_hex(&w, f);
    case FORM_PLAIN:
    case FORM_PLUS:
        break;
    }
    return put(&w, f->needle->rep, f->needle->rep_n);
}

/* Likewise, in exactly `room` bytes. Cut, a placeholder is of no more use to who sends it back, but
 * what comes behind can be read. The last character of base64 stays the last: some of its bits are
 * the neighbour's. */
static int put_counted(struct scrub_stream *s, const struct found *f, size_t room, struct buf *out)
{
    AUTO(buf) whole = BUF_INIT(SIZE_MAX / 2); /* by the placeholder's length and three escapes */
    int r = put_replacement(s, f, &whole);
    const size_t edge = f->tail && f->level == 0 && whole.len > 0 && room > 0;
    const size_t own = r == 0 ? whole.len - edge : 0, place = room - edge;
    const enum scrub_form form = (enum scrub_form)f->needle->form;
    const bool base64 = form == FORM_BASE64 || form == FORM_BASE64URL;
    if (r == 0)
        r = buf_add(out, whole.data, own < place ? own : place);
    for (size_t n = own; r == 0 && n < place; n++)
        r = buf_addc(out, base64 ? 'A' : form == FORM_HEX ? '0' : '.');
    if (r == 0 && edge)
        r = buf_add(out, whole.data + own, edge);
    return r;
}

/* ---- deciding ---- */

static int by_place(const void *x, const void *y)
{
    const struct found *a = x, *b = y;
    if (a->start != b->start)
        return a->start < b->start ? -1 : 1;
    if (a->end != b->end)
        return a->end > b->end ? -1 : 1;
    if (a->level != b->level)
        return a->level < b->level ? -1 : 1;
    return a->needle->rank < b->needle->rank ? -1 : a->needle->rank > b->needle->rank;
}

static int by_size(const void *x, const void *y)
{
    const size_t *a = x, *b = y;
    return *a < *b ? -1 : *a > *b;
}

/* One look at a piece of text that begins where reading may begin. */
struct piece {
    struct scrub_stream *s;
    const uint8_t *p;
    size_t n;
    bool last;
    struct buf *out;
};

static int pass_on(struct piece *x, size_t to)
{
    struct scrub_stream *s = x->s;
    if (s->released >= to)
        return 0;
    int r = x->out ? buf_add(x->out, x->p + s->released, to - s->released) : 0;
    s->released = to;
    return r;
}

static const char *form_name(enum scrub_form form)
{
    switch (form) {
    case FORM_PLAIN:
        return "plain";
    case FORM_PLUS:
        return "plus";
    case FORM_BASE64:
        return "base64";
    case FORM_BASE64URL:
        return "base64url";
    case FORM_HEX:
        break;
    }
    return "hex";
}

static int decide(struct piece *x, const struct found *f)
{
    struct scrub_stream *s = x->s;
    int r = pass_on(x, f->start);
    if (r == 0 && x->out && !s->find_only)
        r = s->quoting == SCRUB_QUOTE_COUNTED ? put_counted(s, f, f->end - s->released, x->out)
                                              : put_replacement(s, f, x->out);
    if (r == 0 && s->find_only)
        r = pass_on(x, f->end);
    s->released = s->floor = f->end;
    s->hits++;
    s->latest =
        (struct scrub_hit){f->needle->pair, form_name((enum scrub_form)f->needle->form), f->level};
    if (!s->by_pair)
        s->by_pair = mem_array(s->table->pairs, sizeof(*s->by_pair));
    if (s->by_pair[f->needle->pair] < UINT32_MAX)
        s->by_pair[f->needle->pair]++;
    return r;
}

/* The first partial that no hit covers; n: none. */
static size_t first_partial(const struct piece *x, const size_t *at, size_t n, size_t *i)
{
    while (*i < n && at[*i] < x->s->floor)
        (*i)++;
    return *i < n ? at[*i] : x->n;
}

static int decide_all(struct piece *x, size_t *ret_partial)
{
    struct scratch *w = &x->s->table->scratch;
    struct found *f = (struct found *)(void *)w->found.data;
    size_t *at = (size_t *)(void *)w->partial.data;
    size_t n = w->found.len / sizeof(*f), k = w->partial.len / sizeof(*at), next = 0;
    if (n > 1)
        qsort(f, n, sizeof(*f), by_place);
    if (k > 1)
        qsort(at, k, sizeof(*at), by_size);
    for (size_t i = 0; i < n; i++) {
        /* What was passed on whole was none yet: the table has changed since. */
        if (f[i].start < x->s->floor || f[i].end <= x->s->released)
            continue;
        if (first_partial(x, at, k, &next) <= f[i].start)
            break;
        int r = decide(x, &f[i]);
        if (r < 0)
            return r;
    }
    *ret_partial = first_partial(x, at, k, &next);
    return pass_on(x, *ret_partial);
}

/* Decides on as much as can be; `ret_kept`: from where on the text is still needed. */
static int look(struct piece *x, size_t *ret_kept)
{
    struct scrub_table *t = x->s->table;
    struct scratch *w = &t->scratch;
    struct hits hits = {.found = &w->found, .partial = &w->partial};
    buf_reset(hits.found);
    buf_reset(hits.partial);
    buf_reset(&w->segments);
    size_t partial = x->n;
    int r = search_flat(t, x->p, x->n, x->last, &hits);
    if (r == 0 && t->forms & SCRUB_ESCAPES && t->exact.n)
        r = lanes_search(t, x->p, x->n, x->last, &hits);
    if (r == 0)
        r = decide_all(x, &partial);
    if (r < 0)
        return r;
    size_t kept = partial;
    if (t->forms & SCRUB_ESCAPES && t->exact.n)
        kept = lanes_boundary(t, x->p, x->n, x->last, partial);
    x->s->open = partial - kept;
    x->s->released -= kept;
    x->s->floor = x->s->floor > kept ? x->s->floor - kept : 0;
    *ret_kept = kept;
    return 0;
}

/* Looks at the caller's own bytes; `ret_kept` of them are still needed in the end. */
static int feed_direct(struct scrub_stream *s, const uint8_t *p, size_t n, struct buf *out,
                       size_t *ret_kept)
{
    size_t slice = SLICE_BYTES;
    while (n > 0) {
        struct piece x = {.s = s, .p = p, .n = n < slice ? n : slice, .out = out};
        size_t kept;
        int r = look(&x, &kept);
        if (r < 0)
            return r;
        bool all = x.n == n;
        p += kept;
        n -= kept;
        if (all)
            break;
        slice = kept ? SLICE_BYTES : 2 * slice; /* one secret is longer than a slice */
    }
    *ret_kept = n;
    return 0;
}

/* Holds these bytes and nothing else. A small allocation stays, a large one would be that of
 * 10,000 idle streams. */
static int keep(struct scrub_stream *s, const uint8_t *p, size_t n)
{
    if (n >= s->held.cap || s->held.cap > HELD_STAYS) {
        drop_held(s);
    } else {
        secret_wipe(s->held.data, s->held.len);
        buf_reset(&s->held);
    }
    return n ? buf_add(&s->held, p, n) : 0;
}

/* Puts bytes behind what is held until nothing of that is needed. `ret_used` of the caller's
 * bytes are done with. */
static int feed_held(struct scrub_stream *s, const uint8_t *p, size_t n, struct buf *out,
                     size_t *ret_used)
{
    struct buf *join = &s->table->scratch.join;
    size_t old = s->held.len, used = 0, more = old > JOIN_BYTES ? old : JOIN_BYTES;
    buf_reset(join);
    int r = buf_add(join, s->held.data, s->held.len);
    while (r == 0 && used < n) {
        size_t k = n - used < more ? n - used : more, kept;
        r = buf_add(join, p + used, k);
        used += k;
        struct piece x = {.s = s, .p = (const uint8_t *)join->data, .n = join->len, .out = out};
        if (r == 0)
            r = look(&x, &kept);
        if (r < 0)
            break;
        if (kept >= old && used < n) {
            used -= join->len - kept; /* what is left of `join` is the caller's */
            join->len = 0;
            break;
        }
        old = old > kept ? old - kept : 0;
        buf_consume(join, kept);
        more *= 2;
    }
    *ret_used = used;
    return r < 0 ? r : keep(s, (const uint8_t *)join->data, join->len);
}

int scrub_feed(struct scrub_stream *s, const void *p, size_t n, struct buf *out)
{
    const uint8_t *at = p;
    if (s->held.len) {
        size_t used;
        int r = feed_held(s, at, n, out, &used);
        if (r < 0 || s->held.len)
            return r;
        at += used;
        n -= used;
    }
    size_t kept = 0;
    int r = feed_direct(s, at, n, out, &kept);
    return r < 0 || kept == 0 ? r : keep(s, at + n - kept, kept);
}

int scrub_idle(struct scrub_stream *s, struct buf *out)
{
    /* What counts is where it began, not what is left: else a secret could be dripped out. */
    if (s->held.len - s->open > s->table->idle_max)
        return 0;
    struct piece x = {.s = s, .p = (const uint8_t *)s->held.data, .n = s->held.len, .out = out};
    return pass_on(&x, x.n);
}

int scrub_end(struct scrub_stream *s, struct buf *out)
{
    struct piece x = {
        .s = s, .p = (const uint8_t *)s->held.data, .n = s->held.len, .last = true, .out = out};
    size_t kept;
    int r = x.n ? look(&x, &kept) : 0;
    drop_held(s);
    s->open = s->released = s->floor = 0;
    return r;
}

int scrub_whole(struct scrub_stream *s, const void *p, size_t n, struct buf *out)
{
    struct piece x = {.s = s, .p = p, .n = n, .last = true, .out = out};
    size_t kept;
    MUST(s->held.len == 0);
    int r = n ? look(&x, &kept) : 0;
    s->open = s->released = s->floor = 0;
    return r;
}

int scrub_text(struct scrub_table *t, const void *p, size_t n, enum scrub_quoting q,
               struct buf *out, uint64_t *ret_hits)
{
    AUTO(scrub_stream) s = {0};
    scrub_begin(&s, t, q, out == NULL);
    int r = scrub_whole(&s, p, n, out);
    if (r == 0 && ret_hits)
        *ret_hits = s.hits;
    return r;
}
