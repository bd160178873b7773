/* reply.c - answers, without the secrets of a table.
 *
 * Called on the fiber that moves an answer, after the origin's head has come. The origin controls all of
 * it. Whether this exchange carried a secret does not matter: an origin can remember one. Heads are
 * searched as a whole, and field by field only when something was found. A body is searched as a stream;
 * in front of that a content coding is undone, in pieces of PLAIN_BYTES, so that a bomb meets a caller who
 * empties the buffer. What cannot be looked into is refused, never passed on. */
#include "scrub/http/reply.h"

#include <string.h>

#include "base/buf.h"
#include "base/err.h"
#include "base/secret.h"
#include "scrub/http/content.h"
#include "scrub/http/gather.h"

#define PLAIN_BYTES (16u << 10)
#define SLICE_BYTES (64u << 10)
#define VALUE_MAX   (4u << 20) /* of one field: a head, each secret of it become a long placeholder */

int reply_ask(struct http_head *request)
{
    static const char *const off[] = {"accept-encoding",
                                      "grpc-accept-encoding",
                                      "connect-accept-encoding",
                                      "range",
                                      "if-range",
                                      "a-im",
                                      "accept-charset",
                                      "sec-websocket-extensions"};
    for (size_t i = 0; i < ARRAY_LEN(off); i++)
        (void)http_fields_remove(&request->fields, off[i]);
    return http_head_add(request, HTTP_TEXT("accept-encoding"), HTTP_TEXT("identity"));
}

void reply_init(struct reply *r, struct scrub_table *t)
{
    *r = (struct reply){.table = t ? scrub_table_ref(t) : NULL};
}

void reply_change_table(struct reply *r, struct scrub_table *t)
{
    if (!r->table)
        return;
    scrub_table_ref(t);
    scrub_table_unref(r->table);
    r->table = t;
    if (r->scrub.table)
        scrub_change_table(&r->scrub, t);
}

static void drop_plain(struct reply *r)
{
    secret_wipe(r->plain, PLAIN_BYTES);
    free(r->plain);
    r->plain = NULL;
}

void reply_done(struct reply *r)
{
    if (!r)
        return;
    scrub_stream_done(&r->scrub);
    inflate_free(r->inflate);
    if (r->plain)
        drop_plain(r);
    scrub_table_unref(r->table);
    *r = (struct reply){.table = NULL};
}

/* ---- heads ---- */

static uint64_t fields_hits(struct scrub_table *t, const struct http_fields *fs, int *ret_r)
{
    uint64_t hits = 0;
    struct gather g; /* its bytes are not read before they are written */
    g.table = t;
    g.hits = 0;
    g.error = 0;
    g.n = 0;
    for (size_t i = 0; i < fs->n; i++) {
        gather_add(&g, http_field_spelled(&fs->items[i]));
        gather_add(&g, fs->items[i].value);
    }
    *ret_r = gather_end(&g, &hits);
    return hits;
}

/* The value without secrets. A name with one in it is not mended: the field goes. */
static int scrub_field(struct reply *r, struct http_head *h, struct http_field *f, bool *ret_goes)
{
    uint64_t in_name = 0, in_value = 0;
    AUTO(buf) out = BUF_INIT(VALUE_MAX);
    const struct http_text name = http_field_spelled(f);
    int c = scrub_text(r->table, name.p, name.n, SCRUB_QUOTE_NONE, NULL, &in_name);
    if (c == 0 && f->value.n)
        c = scrub_text(r->table, f->value.p, f->value.n, SCRUB_QUOTE_NONE, &out, &in_value);
    if (c < 0)
        return c;
    r->head_hits += in_name + in_value;
    *ret_goes = in_name > 0;
    if (in_value)
        f->value = http_head_copy(h, out.data, out.len);
    return 0;
}

static int scrub_fields(struct reply *r, struct http_head *h, struct http_fields *fs)
{
    int c = 0;
    if (fields_hits(r->table, fs, &c) == 0 || c < 0)
        return c;
    h->arena.secret = true;
    size_t kept = 0;
    for (size_t i = 0; i < fs->n; i++) {
        bool goes = false;
        c = scrub_field(r, h, &fs->items[i], &goes);
        if (c < 0)
            return c;
        if (!goes)
            fs->items[kept++] = fs->items[i];
    }
    fs->n = kept;
    return 0;
}

/* ---- codings ---- */

/* The coding of a body: 1 with *ret, 0 when there is none. */
static int coding_of(const struct http_head *h, enum inflate_coding *ret, struct err *e)
{
    const struct http_field *f = NULL, *one = NULL;
    while ((f = http_fields_get(&h->fields, "content-encoding", f))) {
        if (f->value.n == 0 || http_text_ieq(f->value, "identity"))
            continue;
        if (one)
            return err_set(e, -E_DENIED,
                           "the origin has compressed its answer more than once, so it cannot be "
                           "kept free of secrets");
        one = f;
    }
    if (!one)
        return 0;
    if (inflate_coding_named(one->value.p, one->value.n, ret) < 0)
        return err_set(e, -E_DENIED,
                       "the origin has compressed its answer in a way that cannot be undone here "
                       "(gzip, deflate, br and zstd can), so it cannot be kept free of secrets");
    return 1;
}

/* gRPC, and Connect in its streams, compress each message within the body. A server may do so unasked,
 * when the messages it got were. */
static int refuse_coded_messages(const struct http_head *h, struct err *e)
{
    static const char *const names[] = {"grpc-encoding", "connect-content-encoding"};
    for (size_t i = 0; i < ARRAY_LEN(names); i++)
        for (const struct http_field *f = http_fields_get(&h->fields, names[i], NULL); f;
             f = http_fields_get(&h->fields, names[i], f))
            if (f->value.n && !http_text_ieq(f->value, "identity"))
                return err_set(e, -E_DENIED,
                               "the origin has compressed the messages of its answer one by one, "
                               "so they cannot be kept free of secrets; send it messages that are "
                               "not compressed");
    return 0;
}

/* RFC 9110 8.8.3: what comes now is another representation. */
static void weaken_etags(struct http_head *h)
{
    struct http_field *f = NULL;
    while ((f = http_fields_get(&h->fields, "etag", f))) {
        if (f->value.n >= 2 && memcmp(f->value.p, "W/", 2) == 0)
            continue;
        char *weak = arena_alloc(&h->arena, NULL, f->value.n + 3);
        memcpy(weak, "W/", 2);
        if (f->value.n)
            memcpy(weak + 2, f->value.p, f->value.n);
        weak[f->value.n + 2] = '\0';
        f->value = (struct http_text){weak, f->value.n + 2};
    }
}

static int undo_coding(struct reply *r, struct http_head *h, struct err *e)
{
    enum inflate_coding coding;
    int c = coding_of(h, &coding, e);
    if (c < 0)
        return c;
    (void)http_fields_remove(&h->fields, "content-encoding");
    if (c == 0)
        return 0;
    weaken_etags(h);
    content_drop_digests(&h->fields);
    h->has_length = false; /* of an answer to HEAD: that of the coded body */
    if (h->body == HTTP_BODY_NONE)
        return 0;
    c = inflate_new(coding, &r->inflate, e);
    if (c < 0)
        return c == -ENOENT ? -E_DENIED : c;
    r->plain = mem_array(PLAIN_BYTES, 1);
    return 0;
}

static int head_of_body(struct reply *r, struct http_head *h, struct err *e)
{
    struct http_text type;
    if (h->status == 206)
        return err_set(e, -E_DENIED,
                       "the origin has sent a part of its answer although no range was asked for; "
                       "parts cannot be kept free of secrets");
    int c = h->body == HTTP_BODY_NONE ? 0 : refuse_coded_messages(h, e);
    if (c == 0)
        c = undo_coding(r, h, e);
    if (c < 0 || h->body == HTTP_BODY_NONE)
        return c;
    if (content_type(h, &type) < 0)
        type.p = NULL; /* two: written as it is */
    const enum scrub_quoting q =
        content_is_counted(type) ? SCRUB_QUOTE_COUNTED : content_quoting(type);
    scrub_begin(&r->scrub, r->table, q, false);
    h->body = HTTP_BODY_STREAM;
    h->length = 0;
    h->has_length = false;
    return 0;
}

int reply_head(struct reply *r, struct http_head *h, struct err *e)
{
    if (!r->table)
        return 0;
    int c = scrub_fields(r, h, &h->fields);
    if (c < 0)
        return err_set(e, c, "no memory, or no room, for the head of the answer");
    if (h->status < 200)
        return 0;
    (void)http_fields_remove(&h->fields, "accept-ranges");
    return head_of_body(r, h, e);
}

bool reply_wants_whole(const struct reply *r, const struct http_head *h)
{
    return r->table && h->status >= 200 && h->body == HTTP_BODY_LENGTH &&
           h->length <= REPLY_WHOLE_MAX && !http_fields_get(&h->fields, "content-encoding", NULL);
}

void reply_set_length(const struct reply *r, struct http_head *h, uint64_t bytes)
{
    h->body = HTTP_BODY_LENGTH;
    h->length = bytes;
    if (r->scrub.hits)
        content_drop_digests(&h->fields);
}

/* ---- bodies ---- */

static int feed_coded(struct reply *r, const uint8_t **p, size_t *n, struct buf *out, struct err *e)
{
    size_t got = 0;
    int c = inflate_step(r->inflate, p, n, r->plain, PLAIN_BYTES, &got, e);
    if (c < 0)
        return c;
    r->more = got == PLAIN_BYTES;
    c = got ? scrub_feed(&r->scrub, r->plain, got, out) : 0;
    return c < 0 ? c : *n > 0 || r->more;
}

int reply_feed(struct reply *r, const uint8_t **p, size_t *n, struct buf *out, struct err *e)
{
    size_t k = *n < SLICE_BYTES ? *n : SLICE_BYTES;
    if (r->inflate)
        return *n > 0 || r->more ? feed_coded(r, p, n, out, e) : 0;
    int c = k == 0 ? 0 : r->scrub.table ? scrub_feed(&r->scrub, *p, k, out) : buf_add(out, *p, k);
    if (c < 0)
        return c;
    *p += k;
    *n -= k;
    return *n > 0;
}

int reply_idle(struct reply *r, struct buf *out)
{
    return r->scrub.table ? scrub_idle(&r->scrub, out) : 0;
}

int reply_end(struct reply *r, struct buf *out, struct err *e)
{
    int c = r->scrub.table ? scrub_end(&r->scrub, out) : 0;
    if (c < 0)
        return err_set(e, c, "no memory, or no room, for the end of the answer");
    return r->inflate ? inflate_end(r->inflate, e) : 0;
}

int reply_trailers(struct reply *r, struct http_head *h, const struct http_fields *from,
                   struct http_fields *ret)
{
    struct http_fields copy = {.n = from->n, .room = from->n};
    if (from->n) {
        copy.items = arena_alloc(&h->arena, NULL, from->n * sizeof(*copy.items));
        memcpy(copy.items, from->items, from->n * sizeof(*copy.items));
    }
    int c = r->table ? scrub_fields(r, h, &copy) : 0;
    if (c == 0 && r->table && (r->scrub.hits || r->inflate))
        content_drop_digests(&copy);
    if (c == 0)
        *ret = copy;
    return c;
}

/* ---- messages ---- */

void reply_message(struct reply *r)
{
    if (r->table && !r->scrub.table)
        scrub_begin(&r->scrub, r->table, SCRUB_QUOTE_NONE, false);
}

int reply_control(struct reply *r, const void *p, size_t n, struct buf *out)
{
    uint64_t hits = 0;
    if (!r->table || n == 0)
        return n ? buf_add(out, p, n) : 0;
    int c = scrub_text(r->table, p, n, SCRUB_QUOTE_NONE, out, &hits);
    r->head_hits += hits;
    return c;
}

uint64_t reply_hits(const struct reply *r)
{
    return r->head_hits + r->scrub.hits;
}
