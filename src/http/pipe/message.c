/* message.c - the fields of a head: a growing array in its arena.
 *
 * Called by the readers and writers of both versions and by all that look at or change a message on
 * its way, on the fiber of its exchange. What a stranger controls is how many fields there are, which
 * HTTP_FIELDS_MAX bounds, and their bytes, which the readers have checked. Arrays that became too
 * small stay in the arena: it doubles, so that is at most as much again. Blocks of arenas are kept for
 * the next head of the thread: an ordinary message costs no malloc. */
#include "http/pipe/message.h"

#include <string.h>

#include "base/err.h"
#include "base/str.h"

#define FIELDS_FIRST 16

static __thread struct spare blocks;

struct http_text http_text_of(const char *s)
{
    return (struct http_text){s, s ? strlen(s) : 0};
}

bool http_text_eq(struct http_text a, const char *s)
{
    size_t n = strlen(s);
    return a.p && a.n == n && memcmp(a.p, s, n) == 0;
}

bool http_text_ieq(struct http_text a, const char *s)
{
    return a.p && str_ieq_n(a.p, a.n, s, strlen(s));
}

void http_head_init(struct http_head *h)
{
    *h = (struct http_head){.status = 0};
}

void http_head_done(struct http_head *h)
{
    if (!h)
        return;
    arena_done(&h->arena, &blocks);
    http_head_init(h);
}

void *http_head_alloc(struct http_head *h, size_t n)
{
    return arena_alloc(&h->arena, &blocks, n);
}

struct http_text http_head_copy(struct http_head *h, const void *p, size_t n)
{
    char *copy = arena_alloc(&h->arena, &blocks, n + 1);
    if (n)
        memcpy(copy, p, n);
    copy[n] = '\0';
    return (struct http_text){copy, n};
}

int http_head_add(struct http_head *h, struct http_text name, struct http_text value)
{
    struct http_fields *fs = &h->fields;
    if (fs->n == HTTP_FIELDS_MAX)
        return -E_LIMIT;
    if (fs->n == fs->room) {
        size_t room = fs->room ? 2 * fs->room : FIELDS_FIRST;
        struct http_field *items = arena_alloc(&h->arena, &blocks, room * sizeof(*items));
        if (fs->n)
            memcpy(items, fs->items, fs->n * sizeof(*items));
        fs->items = items;
        fs->room = room;
    }
    fs->items[fs->n++] = (struct http_field){.name = name, .value = value};
    return 0;
}

/* As it was sent, when that is the same name: old peers look at the case. */
struct http_text http_field_spelled(const struct http_field *f)
{
    if (f->as_sent && str_ieq_n(f->as_sent, f->name.n, f->name.p, f->name.n))
        return (struct http_text){f->as_sent, f->name.n};
    return f->name;
}

struct http_field *http_fields_get(const struct http_fields *fs, const char *name,
                                   const struct http_field *after)
{
    size_t n = strlen(name);
    for (size_t i = after ? (size_t)(after - fs->items) + 1 : 0; i < fs->n; i++) {
        struct http_field *f = &fs->items[i];
        if (f->name.n == n && memcmp(f->name.p, name, n) == 0)
            return f;
    }
    return NULL;
}

size_t http_fields_remove(struct http_fields *fs, const char *name)
{
    size_t kept = 0;
    for (size_t i = 0; i < fs->n; i++)
        if (!http_text_eq(fs->items[i].name, name))
            fs->items[kept++] = fs->items[i];
    size_t removed = fs->n - kept;
    fs->n = kept;
    return removed;
}

bool http_field_is_framing(struct http_text name)
{
    static const struct http_text framing[] = {
        HTTP_TEXT("connection"),
        HTTP_TEXT("content-length"),
        HTTP_TEXT("expect"),
        HTTP_TEXT("host"),
        HTTP_TEXT("http2-settings"),
        HTTP_TEXT("keep-alive"),
        HTTP_TEXT("te"),
        HTTP_TEXT("proxy-connection"),
        HTTP_TEXT("trailer"),
        HTTP_TEXT("transfer-encoding"),
        HTTP_TEXT("upgrade"),
    };
    /* Most names have another length than any of these. */
    static const uint32_t lengths =
        1u << 2 | 1u << 4 | 1u << 6 | 1u << 7 | 1u << 10 | 1u << 14 | 1u << 16 | 1u << 17;
    if (name.n >= 32 || !(lengths >> name.n & 1))
        return false;
    for (size_t i = 0; i < ARRAY_LEN(framing); i++)
        if (name.n == framing[i].n && memcmp(name.p, framing[i].p, name.n) == 0)
            return true;
    return false;
}
