/* answer.c - reads a response head byte by byte, so that nothing behind it is taken out of the stream: what
 * comes there belongs to who speaks next (c-anchors failure class 12). The peer is a stranger: parsed
 * strictly, within a size, interim answers counted. */
#include "http/pipe/answer.h"

#include "base/err.h"
#include "base/str.h"
#include "io/stream.h"

#include <string.h>

#define INTERIM_MAX 4

void http_answer_init(struct http_answer *a)
{
    buf_init(&a->bytes, HTTP_ANSWER_MAX);
    a->head.n_fields = 0;
}

void http_answer_done(struct http_answer *a)
{
    buf_done(&a->bytes);
}

static int read_head(struct stream *s, enum h1_asked asked, struct http_answer *a,
                     const char **ret_why)
{
    static const struct h1_limits limits = {.bytes = HTTP_ANSWER_MAX, .fields = H1_FIELDS_MAX};
    enum h1_framing framing;
    struct buf *b = &a->bytes;
    buf_reset(b);
    for (;;) {
        char c;
        ssize_t n = stream_read(s, &c, 1);
        if (n <= 0)
            return n == 0 ? -E_CLOSED : (int)n;
        if (buf_addc(b, c) < 0)
            return -E_LIMIT;
        if (c != '\n')
            continue;
        n = h1_response_scan(b->data, b->len, &limits, asked, &a->head, &framing, ret_why);
        if (n >= 0)
            return (size_t)n == b->len ? 0 : -E_PROTO;
        if (n != -EAGAIN)
            return (int)n;
    }
}

int http_answer_read(struct stream *s, enum h1_asked asked, struct http_answer *a,
                     const char **ret_why)
{
    *ret_why = "";
    for (int i = 0; i <= INTERIM_MAX; i++) {
        int r = read_head(s, asked, a, ret_why);
        if (r < 0 || a->head.status >= 200 || a->head.status == 101)
            return r;
    }
    return -E_PROTO;
}

static bool lists(const char *p, size_t n, const char *word)
{
    size_t len = strlen(word);
    for (size_t at = 0; at < n;) {
        size_t k = 0;
        while (at + k < n && p[at + k] != ',' && p[at + k] != ' ' && p[at + k] != '\t')
            k++;
        if (k == len && str_ieq_n(p + at, k, word, len))
            return true;
        at += k + 1;
    }
    return false;
}

static const struct h1_field *field(const struct http_answer *a, const char *name, size_t from)
{
    for (size_t i = from; i < a->head.n_fields; i++) {
        const struct h1_field *f = &a->head.field[i];
        if (str_ieq_n(a->bytes.data + f->name_at, f->name_n, name, strlen(name)))
            return f;
    }
    return NULL;
}

bool http_answer_lists(const struct http_answer *a, const char *name, const char *word)
{
    for (const struct h1_field *f = field(a, name, 0); f;
         f = field(a, name, (size_t)(f - a->head.field) + 1)) {
        struct h1_part v = h1_field_value(f);
        if (lists(a->bytes.data + v.at, v.n, word))
            return true;
    }
    return false;
}

int64_t http_answer_retry_after_ms(const struct http_answer *a)
{
    const struct h1_field *f = field(a, "retry-after", 0);
    uint64_t s;
    if (!f)
        return -1;
    struct h1_part v = h1_field_value(f);
    if (v.n == 0 || str_to_u64(a->bytes.data + v.at, v.n, 86400, &s) < 0)
        return -1;
    return (int64_t)s * 1000;
}
