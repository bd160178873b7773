/* body.c - bodies on their way out, in two steps: looked through, then written into.
 *
 * Called on the fiber that moves the body, with each piece as it comes; the secrets were fetched before.
 * The sandbox controls all bytes and how they are cut. First the watch looks for real secrets and all
 * placeholders of the session, in every form; it holds back what may be the beginning of one, so a secret
 * is noticed before anything of it goes on. It looks at what the sandbox sent, never at what was written.
 * What it lets go is searched for the placeholders that have a place here, plain or with escapes, and
 * those become secrets, escaped as the text around asks for. Bodies without such a place skip this step.
 * Input is taken in slices, because a placeholder may become something a thousand times as long. */
#include "egress/inject/body.h"

#include <string.h>

#include "base/buf.h"
#include "base/err.h"
#include "egress/inject/kind.h"

#define SLICE_LOOKED  (64u << 10)
#define SLICE_SWAPPED (4u << 10)
#define ENOUGH        (64u << 10)
#define BETWEEN_MAX   (16u << 20) /* a slice and what the watch may hold */

/* ---- beginning ---- */

/* Whether the placeholder of a use is replaced by swaps[which]. */
static bool is_swapped(const struct inject_body *b, const struct inject_use *u, unsigned which)
{
    if (!u->placeholder)
        return false;
    if (!b->frames)
        return which == 0 && u->body;
    return which == 0 ? u->first_frame : u->all_frames;
}

static int make_swap(struct inject_body *b, const struct secret *const values[], unsigned which,
                     enum scrub_quoting quoting)
{
    struct scrub_pair pairs[POLICY_CANDIDATES_MAX];
    struct inject_swap *s = &b->swaps[which];
    struct scrub_table *t;
    size_t n = 0;
    for (size_t i = 0; i < b->plan->n_uses; i++) {
        const struct inject_use *u = &b->plan->uses[i];
        if (!is_swapped(b, u, which))
            continue;
        s->use_of[n] = i;
        pairs[n] = (struct scrub_pair){u->credential->name, u->placeholder, strlen(u->placeholder),
                                       "-", 1};
        if (!b->wrong[i]) {
            pairs[n].placeholder = secret_borrow(values[i]);
            pairs[n].placeholder_bytes = values[i]->len;
        }
        n++;
    }
    if (n == 0)
        return 0;
    int r = scrub_table_new(pairs, n, SCRUB_PLAIN | SCRUB_ESCAPES, &t, NULL);
    if (r < 0)
        return r;
    scrub_begin(&s->stream, t, quoting, false);
    scrub_table_unref(t); /* the stream has it */
    return 0;
}

static void look_at_values(struct inject_body *b, const struct secret *const values[])
{
    for (size_t i = 0; i < b->plan->n_uses; i++)
        b->wrong[i] = !values || !values[i] || !values[i]->data ? "could not be had from its source"
                                                                : value_wrong(values[i], false);
}

int inject_body_begin(struct inject_body *b, const struct inject_plan *p,
                      const struct secret *const values[], struct http_head *h)
{
    struct http_text type = {NULL, 0};
    *b = (struct inject_body){.plan = p, .watch = inject_watch_ref(p->watch)};
    b->frames = http_text_ieq(h->protocol, "websocket");
    buf_init(&b->between, BETWEEN_MAX);
    scrub_begin(&b->look, p->watch->table, SCRUB_QUOTE_NONE, true);
    look_at_values(b, values);
    if (content_type(h, &type) < 0)
        type.p = NULL; /* the plan has no body then */
    int r = make_swap(b, values, 0, content_quoting(type));
    if (r == 0)
        r = make_swap(b, values, 1, SCRUB_QUOTE_NONE);
    if (r < 0) {
        inject_body_done(b);
        return r;
    }
    if (b->frames || !b->swaps[0].stream.table)
        return 0;
    b->swap = &b->swaps[0];
    h->body = HTTP_BODY_STREAM;
    h->length = 0;
    h->has_length = false;
    content_drop_digests(&h->fields);
    return 0;
}

void inject_body_done(struct inject_body *b)
{
    if (!b || !b->watch)
        return;
    scrub_stream_done(&b->look);
    for (size_t i = 0; i < ARRAY_LEN(b->swaps); i++)
        scrub_stream_done(&b->swaps[i].stream);
    buf_done(&b->between);
    inject_watch_unref(b->watch);
    *b = (struct inject_body){0};
}

bool inject_body_wants_whole(const struct inject_plan *p, const struct http_head *h)
{
    if (h->body != HTTP_BODY_LENGTH || h->length > INJECT_WHOLE_MAX)
        return false;
    for (size_t i = 0; i < p->n_uses; i++)
        if (p->uses[i].body)
            return true;
    return false;
}

void inject_body_set_length(struct http_head *h, uint64_t bytes)
{
    h->body = HTTP_BODY_LENGTH;
    h->length = bytes;
}

/* ---- refusing ---- */

/* Takes back what was appended since `was`: it is part of a slice that does not go out. */
static int cut(struct inject_body *b, struct buf *out, size_t was)
{
    if (out->len > was)
        secret_wipe(out->data + was, out->len - was);
    out->len = was;
    b->cut = true;
    return -E_DENIED;
}

static int refuse_secret(struct inject_refusal *no, const char *name)
{
    return inject_refuse(no, INJECT_SECRET_SEEN, name,
                         "its body holds the real secret of %.64s, which this sandbox should not "
                         "know",
                         name);
}

static int refuse_unwritten(const struct inject_body *b, struct inject_refusal *no, size_t use)
{
    const char *name = b->plan->uses[use].credential->name;
    return inject_refuse(
        no, INJECT_UNSUBSTITUTED, name,
        "the placeholder of %.64s in its body could not be replaced: the secret %s", name,
        b->wrong[use]);
}

static int check_look(struct inject_body *b, uint64_t hits, struct buf *out, size_t was,
                      struct inject_refusal *no)
{
    const char *name = b->look.hits > hits ? watch_secret_found(b->watch, &b->look) : NULL;
    if (!name)
        return 0;
    (void)refuse_secret(no, name);
    return cut(b, out, was);
}

static int check_swap(struct inject_body *b, uint64_t hits, struct buf *out, size_t was,
                      struct inject_refusal *no)
{
    const struct inject_swap *s = b->swap;
    size_t n = s->stream.hits > hits ? scrub_table_pairs(s->stream.table) : 0;
    for (size_t i = 0; i < n; i++) {
        if (!s->stream.by_pair[i] || !b->wrong[s->use_of[i]])
            continue;
        (void)refuse_unwritten(b, no, s->use_of[i]);
        return cut(b, out, was);
    }
    return 0;
}

/* ---- moving ---- */

enum what { FEED, IDLE, END };

static int work(struct scrub_stream *s, enum what what, const void *p, size_t n, struct buf *out)
{
    int r = n ? scrub_feed(s, p, n, out) : 0;
    if (r == 0 && what == IDLE)
        r = scrub_idle(s, out);
    return r == 0 && what == END ? scrub_end(s, out) : r;
}

static int slice(struct inject_body *b, enum what what, const void *p, size_t n, struct buf *out,
                 struct inject_refusal *no)
{
    size_t was = out->len;
    uint64_t seen = b->look.hits;
    struct buf *to = b->swap ? &b->between : out;
    if (b->swap)
        buf_reset(&b->between);
    int r = work(&b->look, what, p, n, to);
    if (r == 0)
        r = check_look(b, seen, out, was, no);
    if (r < 0 || !b->swap)
        return r;
    uint64_t swapped = b->swap->stream.hits;
    /* In a pause the beginning of a placeholder stays: once it were out, the rest of it would become
     * the secret, and the origin would see both. */
    r = work(&b->swap->stream, what == IDLE ? FEED : what, b->between.data, b->between.len, out);
    return r < 0 ? r : check_swap(b, swapped, out, was, no);
}

/* A message in JSON is seen by its first byte; there is no content type to tell. */
static void look_at_quoting(struct inject_body *b, const uint8_t *p, size_t n)
{
    for (size_t i = 0; i < n && b->quoting_open; i++) {
        if (p[i] == ' ' || p[i] == '\t' || p[i] == '\r' || p[i] == '\n')
            continue;
        bool json = p[i] == '{' || p[i] == '[' || p[i] == '"';
        b->swap->stream.quoting = json ? SCRUB_QUOTE_JSON : SCRUB_QUOTE_NONE;
        b->quoting_open = false;
    }
}

int inject_body_feed(struct inject_body *b, const uint8_t **p, size_t *n, struct buf *out,
                     struct inject_refusal *ret_no)
{
    MUST(!b->cut);
    size_t was = out->len;
    if (b->quoting_open)
        look_at_quoting(b, *p, *n);
    while (*n > 0) {
        size_t most = b->swap ? SLICE_SWAPPED : SLICE_LOOKED, k = *n < most ? *n : most;
        int r = slice(b, FEED, *p, k, out, ret_no);
        if (r < 0)
            return r;
        *p += k;
        *n -= k;
        if (*n > 0 && out->len - was >= ENOUGH)
            return 1;
    }
    return 0;
}

int inject_body_idle(struct inject_body *b, struct buf *out, struct inject_refusal *ret_no)
{
    MUST(!b->cut);
    return slice(b, IDLE, NULL, 0, out, ret_no);
}

/* That a credential must be used can be known at the end only, when it is used in bodies. */
static int check_required(struct inject_body *b, struct inject_refusal *no)
{
    for (size_t i = 0; i < b->plan->n_uses; i++) {
        const struct inject_use *u = &b->plan->uses[i];
        const char *name = u->credential->name;
        bool here = b->frames ? u->first_frame : u->body;
        if (!u->credential->require || u->head || !here || inject_body_swapped(b, i))
            continue;
        b->cut = true;
        return inject_refuse(no, INJECT_MISSING, name,
                             "its body must use %.64s: send the value of that variable where the "
                             "secret would stand",
                             name);
    }
    return 0;
}

int inject_body_end(struct inject_body *b, struct buf *out, struct inject_refusal *ret_no)
{
    MUST(!b->cut);
    int r = slice(b, END, NULL, 0, out, ret_no);
    return r < 0 ? r : check_required(b, ret_no);
}

/* ---- messages ---- */

void inject_message_begin(struct inject_body *b, bool text)
{
    struct inject_swap *s = text ? &b->swaps[b->any_text ? 1 : 0] : NULL;
    b->swap = s && s->stream.table ? s : NULL;
    b->quoting_open = b->swap != NULL;
    b->any_text = b->any_text || text;
}

int inject_control(struct inject_body *b, const void *p, size_t n, struct inject_refusal *ret_no)
{
    AUTO(scrub_stream) s = {0};
    scrub_begin(&s, b->watch->table, SCRUB_QUOTE_NONE, true);
    int r = scrub_whole(&s, p, n, NULL);
    const char *name = r == 0 ? watch_secret_found(b->watch, &s) : NULL;
    return name ? refuse_secret(ret_no, name) : r;
}

/* ---- for the audit ---- */

uint64_t inject_body_swapped(const struct inject_body *b, size_t use)
{
    uint64_t sum = 0;
    for (size_t k = 0; k < ARRAY_LEN(b->swaps); k++) {
        const struct inject_swap *s = &b->swaps[k];
        size_t n = s->stream.table && s->stream.by_pair ? scrub_table_pairs(s->stream.table) : 0;
        for (size_t i = 0; i < n; i++)
            if (s->use_of[i] == use)
                sum += s->stream.by_pair[i];
    }
    return sum;
}

static uint64_t swapped_of(const struct inject_body *b, const char *credential)
{
    for (size_t i = 0; i < b->plan->n_uses; i++)
        if (strcmp(b->plan->uses[i].credential->name, credential) == 0)
            return inject_body_swapped(b, i);
    return 0;
}

size_t inject_body_quoted(const struct inject_body *b, const char **ret, size_t room)
{
    size_t n = 0;
    for (size_t i = 0; n < room; i++) {
        i = watch_placeholder_found(b->watch, &b->look, i);
        if (i == b->watch->n_placeholders)
            break;
        const char *name = b->watch->placeholders[i].credential;
        if (b->look.by_pair[i] > swapped_of(b, name))
            ret[n++] = name;
    }
    return n;
}
