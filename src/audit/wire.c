/* wire.c - messages between a client and the server of a log.
 *
 * Pure. The server reads what a process sends that talks to the whole world and may have been taken
 * over: a frame is typed and bounded, each member comes at most once, and no byte of it is left
 * over. What a record says is its client's word; that it is one record, and whose, is not. */
#include "audit/wire.h"
#include "base/buf.h"
#include "base/cursor.h"
#include "base/err.h"

#include <string.h>

static const struct member {
    size_t offset, max;
} texts[AUDIT_TEXT_COUNT] = {
#define ROW_(name, max) {offsetof(struct audit_record, name), max},
    AUDIT_TEXTS(ROW_)
#undef ROW_
};
static const size_t numbers[AUDIT_NUMBER_COUNT] = {
#define ROW_(name) offsetof(struct audit_record, name),
    AUDIT_NUMBERS(ROW_)
#undef ROW_
};

static void put_int(struct buf *out, uint64_t v, unsigned bytes)
{
    char p[8];
    for (unsigned i = 0; i < bytes; i++)
        p[i] = (char)(unsigned char)(v >> 8 * (bytes - 1 - i));
    buf_add(out, p, bytes);
}

static void put_member(struct buf *out, unsigned tag, const void *p, size_t n)
{
    put_int(out, tag, 1);
    put_int(out, n, 2);
    buf_add(out, p, n);
}

static void put_record(struct buf *out, const struct audit_frame *f)
{
    const char *record = (const char *)&f->record;
    put_int(out, f->n, 8);
    put_int(out, (uint64_t)f->at_us, 8);
    put_int(out, (unsigned)f->record.kind, 1);
    for (size_t i = 0; i < AUDIT_TEXT_COUNT; i++) {
        struct audit_text t;
        memcpy(&t, record + texts[i].offset, sizeof(t));
        /* One byte too many tells the other end that there was more. */
        size_t n = t.n <= texts[i].max ? t.n : texts[i].max + 1;
        if (n > 0)
            put_member(out, (unsigned)i + 1, t.p, n);
    }
    for (size_t i = 0; i < AUDIT_NUMBER_COUNT; i++) {
        uint64_t v;
        memcpy(&v, record + numbers[i], sizeof(v));
        if (v == 0)
            continue;
        put_int(out, AUDIT_TEXT_COUNT + i + 1, 1);
        put_int(out, 8, 2);
        put_int(out, v, 8);
    }
}

int audit_wire_put(struct buf *out, const struct audit_frame *f)
{
    size_t from = out->len;
    put_int(out, 0, 4);
    put_int(out, (unsigned)f->type, 1);
    switch (f->type) {
    case AUDIT_HELLO:
        put_int(out, f->n, 1);
        buf_add(out, f->client, sizeof(f->client));
        break;
    case AUDIT_WANT:
        put_int(out, f->n, 4);
        break;
    case AUDIT_RECORD:
        put_record(out, f);
        break;
    case AUDIT_BYE:
        break;
    case AUDIT_GRANT:
        put_int(out, f->n, 4);
        put_int(out, (unsigned)-f->code, 4);
        buf_add(out, f->words.p, f->words.n < 512 ? f->words.n : 512);
        break;
    case AUDIT_ACK:
        put_int(out, f->n, 8);
        break;
    }
    if (buf_err(out) == 0) {
        size_t n = out->len - from - 4;
        for (unsigned i = 0; i < 4; i++)
            out->data[from + i] = (char)(unsigned char)(n >> 8 * (3 - i));
    }
    return buf_err(out);
}

static int get_int(struct cursor *c, unsigned bytes, uint64_t *ret)
{
    const unsigned char *p;
    if (cursor_take(c, bytes, &p) < 0)
        return -E_PROTO;
    uint64_t v = 0;
    for (unsigned i = 0; i < bytes; i++)
        v = v << 8 | p[i];
    *ret = v;
    return 0;
}

static int get_member(struct cursor *c, struct audit_record *r, unsigned *last)
{
    uint64_t tag, n, v;
    if (get_int(c, 1, &tag) < 0 || get_int(c, 2, &n) < 0 || tag <= *last)
        return -E_PROTO;
    *last = (unsigned)tag;
    if (tag <= AUDIT_TEXT_COUNT) {
        const struct member *m = &texts[tag - 1];
        const unsigned char *p;
        if (n == 0 || n > m->max + 1 || cursor_take(c, n, &p) < 0)
            return -E_PROTO;
        struct audit_text t = {(const char *)p, n};
        memcpy((char *)r + m->offset, &t, sizeof(t));
        return 0;
    }
    tag -= AUDIT_TEXT_COUNT + 1;
    if (tag >= AUDIT_NUMBER_COUNT || n != 8 || get_int(c, 8, &v) < 0)
        return -E_PROTO;
    memcpy((char *)r + numbers[tag], &v, sizeof(v));
    return 0;
}

static int get_record(struct cursor *c, struct audit_frame *f)
{
    uint64_t at, kind;
    unsigned last = 0;
    if (get_int(c, 8, &f->n) < 0 || get_int(c, 8, &at) < 0 || get_int(c, 1, &kind) < 0 ||
        kind < AUDIT_REQUEST || kind > AUDIT_KIND_LAST_GIVEN || at > INT64_MAX)
        return -E_PROTO;
    f->at_us = (int64_t)at;
    f->record.kind = (enum audit_kind)kind;
    while (cursor_left(c) > 0)
        if (get_member(c, &f->record, &last) < 0)
            return -E_PROTO;
    return 0;
}

static int get_grant(struct cursor *c, struct audit_frame *f)
{
    uint64_t code;
    if (get_int(c, 4, &f->n) < 0 || get_int(c, 4, &code) < 0 || code > INT32_MAX)
        return -E_PROTO;
    f->code = -(int)code;
    f->words = (struct audit_text){(const char *)c->p, cursor_left(c)};
    c->p = c->end;
    return 0;
}

static int get_hello(struct cursor *c, struct audit_frame *f)
{
    const unsigned char *p;
    if (get_int(c, 1, &f->n) < 0 || cursor_take(c, AUDIT_CLIENT_BYTES, &p) < 0)
        return -E_PROTO;
    memcpy(f->client, p, AUDIT_CLIENT_BYTES);
    return 0;
}

static int get_body(struct cursor *c, struct audit_frame *f)
{
    switch (f->type) {
    case AUDIT_HELLO:
        return get_hello(c, f);
    case AUDIT_WANT:
        return get_int(c, 4, &f->n);
    case AUDIT_RECORD:
        return get_record(c, f);
    case AUDIT_BYE:
        return 0;
    case AUDIT_GRANT:
        return get_grant(c, f);
    case AUDIT_ACK:
        return get_int(c, 8, &f->n);
    }
    return -E_PROTO;
}

int audit_wire_get(const void *p, size_t n, struct audit_frame *ret)
{
    struct cursor c = cursor_of(p, n);
    uint64_t len, type;
    if (n < 4)
        return 0;
    if (get_int(&c, 4, &len) < 0 || len < 1 || len > AUDIT_FRAME_MAX - 4)
        return -E_PROTO;
    if (cursor_left(&c) < len)
        return 0;
    c.end = c.p + len;
    if (get_int(&c, 1, &type) < 0)
        return -E_PROTO;
    struct audit_frame f = {.type = (enum audit_frame_type)type};
    if (get_body(&c, &f) < 0 || cursor_left(&c) > 0)
        return -E_PROTO;
    *ret = f;
    return (int)(4 + len);
}
