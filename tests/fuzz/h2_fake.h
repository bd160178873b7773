/* h2_fake - a stream whose other end is the input of a fuzz target.
 *
 * A read gives as many bytes as the next byte of the input says, and lets other fibers run in between
 * when its highest bit is set; what is written is dropped. */
#pragma once

#include "base/time.h"
#include "http/pipe/h2.h"
#include "http/wire/h1_class.h"
#include "io/stream.h"

#include <string.h>
#include <sys/eventfd.h>

static struct {
    const uint8_t *p;
    size_t n;
    const char *first; /* comes before them, whole */
    size_t first_n;
} fake;

static ssize_t fake_read(struct stream *s, void *to, size_t room)
{
    (void)s;
    if (fake.first_n) {
        size_t n = fake.first_n < room ? fake.first_n : room;
        memcpy(to, fake.first, n);
        fake.first += n;
        fake.first_n -= n;
        return (ssize_t)n;
    }
    if (fake.n == 0)
        return 0;
    size_t n = (fake.p[0] & 0x7fu) + 1;
    if (fake.p[0] & 0x80)
        (void)!fiber_yield();
    fake.p++;
    fake.n--;
    if (n > fake.n)
        n = fake.n;
    if (n > room)
        n = room;
    if (n == 0)
        return 0;
    memcpy(to, fake.p, n);
    fake.p += n;
    fake.n -= n;
    return (ssize_t)n;
}
static ssize_t fake_write(struct stream *s, const void *p, size_t n)
{
    (void)s, (void)p;
    return (ssize_t)n;
}
static int fake_finish(struct stream *s)
{
    (void)s;
    return 0;
}
static const struct stream_ops fake_ops = {fake_read, fake_write, fake_finish, NULL};

/* Runs `fn` on a loop, with time standing still. */
static inline void fake_run(fiber_fn *fn, const uint8_t *p, size_t n, const char *first,
                            size_t first_n)
{
    static bool ready;
    if (!ready)
        MUST(loop_init() == 0);
    ready = true;
    time_test_set(1000 * NS_PER_S, 0);
    fake.p = p;
    fake.n = n;
    fake.first = first;
    fake.first_n = first_n;
    MUST(loop_run(fn, NULL) == 0);
}
static inline void fake_stream(struct stream *s)
{
    MUST(stream_from_fd(s, eventfd(0, EFD_CLOEXEC)) == 0);
    s->ops = &fake_ops;
}

/* ---- what holds of every head and every field that is let in ---- */

static inline void check_fields(const struct http_fields *fs)
{
    MUST(fs->n <= HTTP_FIELDS_MAX);
    for (size_t i = 0; i < fs->n; i++) {
        const struct http_field *f = &fs->items[i];
        MUST(f->name.n > 0 && !http_field_is_framing(f->name));
        for (size_t k = 0; k < f->name.n; k++)
            MUST(h1_is(f->name.p[k], H1_TOKEN) && !(f->name.p[k] >= 'A' && f->name.p[k] <= 'Z'));
        for (size_t k = 0; k < f->value.n; k++)
            MUST(h1_is(f->value.p[k], H1_VALUE));
    }
}
static inline void check_head(const struct http_head *h, bool request)
{
    check_fields(&h->fields);
    MUST(request == (h->status == 0));
    MUST(h->body != HTTP_BODY_LENGTH || h->has_length);
    if (!request) {
        MUST(h->status >= 100 && h->status < 600 && h->status != 101);
        return;
    }
    MUST(h->method.n > 0 && h->authority.n > 0);
    MUST(!memchr(h->authority.p, '@', h->authority.n) &&
         !memchr(h->authority.p, '/', h->authority.n));
    for (size_t i = 0; i < h->path.n; i++)
        MUST(h->path.p[i] > ' ' && h->path.p[i] != '#' && h->path.p[i] != 0x7f);
    MUST(h->path.n == 0 || h->path.p[0] == '/' || http_text_eq(h->method, "OPTIONS"));
    MUST(h->path.n > 0 || http_text_eq(h->method, "CONNECT"));
    struct http_field *cookie = http_fields_get(&h->fields, "cookie", NULL);
    MUST(!cookie || !http_fields_get(&h->fields, "cookie", cookie));
}
