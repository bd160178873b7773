/* question.c - asks on a fresh connection and reads what comes back.
 *
 * On the doctor's fiber. Whoever answers is a stranger: heads are read by http/pipe, bodies have a ceiling,
 * events one each. The connection ends with the answer, also when more would come: a stream of events has no
 * end. Fields may hold a credential, which is in the pipe's memory alone, and wiped there. */
#include "tunnel/gateway/question.h"

#include "base/err.h"
#include "base/str.h"
#include "base/time.h"
#include "http/wire/sse_parser.h"
#include "io/stream.h"

#include <stdio.h>
#include <string.h>

#define BODY_MAX    (4u << 20)
#define PIECE_BYTES (16u << 10)

void answer_done(struct answer *a)
{
    buf_done(&a->body);
}

struct events {
    bool (*fits)(const char *data, size_t n);
    struct buf *to;
};

static int on_event(void *arg, const char *event, const char *id, const char *data, size_t n)
{
    struct events *v = arg;
    (void)event, (void)id;
    if (n == 0 || (v->fits && !v->fits(data, n)))
        return 0;
    int r = buf_add(v->to, data, n);
    return r < 0 ? r : 1;
}

static int read_events(struct http_pipe *p, bool (*fits)(const char *data, size_t n),
                       struct buf *to)
{
    AUTO_FREE char *piece = mem_array(PIECE_BYTES, 1);
    struct events v = {.fits = fits, .to = to};
    struct sse_parser parser;
    ssize_t n;
    size_t all = 0;
    int r = 0;
    sse_parser_init(&parser, BODY_MAX, on_event, &v);
    while (r == 0 && (n = http_read_body(p, piece, PIECE_BYTES, NULL)) != 0) {
        all += n > 0 ? (size_t)n : 0;
        r = n < 0            ? (int)n
            : all > BODY_MAX ? -EMSGSIZE
                             : sse_parser_feed(&parser, piece, (size_t)n);
    }
    sse_parser_done(&parser);
    return r > 0 ? 0 : r;
}

static int read_whole(struct http_pipe *p, struct buf *to)
{
    AUTO_FREE char *piece = mem_array(PIECE_BYTES, 1);
    ssize_t n;
    int r = 0;
    while (r == 0 && (n = http_read_body(p, piece, PIECE_BYTES, NULL)) != 0)
        r = n < 0 ? (int)n : buf_add(to, piece, (size_t)n);
    return r;
}

static void value_of(const struct http_head *h, const char *name, char ret[ANSWER_VALUE_MAX])
{
    const struct http_field *f = http_fields_get(&h->fields, name, NULL);
    ret[0] = '\0';
    if (f && f->value.n < ANSWER_VALUE_MAX) {
        memcpy(ret, f->value.p, f->value.n);
        ret[f->value.n] = '\0';
    }
}

static void take_head(const struct http_head *h, struct answer *ret)
{
    char text[ANSWER_VALUE_MAX];
    ret->status = h->status;
    value_of(h, "date", text);
    if (time_parse_http(text, &ret->date_us) < 0)
        ret->date_us = 0;
    value_of(h, "content-type", text);
    ret->events = str_starts(text, "text/event-stream");
    value_of(h, "mcp-session-id", ret->session);
}

static int send(struct http_pipe *p, const struct question *q)
{
    size_t n = q->body ? strlen(q->body) : 0;
    struct http_head h;
    http_head_init(&h);
    h.method = http_text_of(q->method);
    h.scheme = q->tls ? HTTP_TEXT("https") : HTTP_TEXT("http");
    h.authority = http_text_of(q->authority);
    h.path = http_text_of(q->path);
    h.protocol = http_text_of(q->protocol);
    h.body = q->body ? HTTP_BODY_LENGTH : HTTP_BODY_NONE;
    h.length = n;
    h.has_length = q->body;
    int r = 0;
    for (size_t i = 0; r == 0 && i < q->n_fields; i++) {
        r = http_head_add(&h, q->fields[i].name, q->fields[i].value);
        if (r == 0)
            h.fields.items[h.fields.n - 1].sensitive = q->fields[i].sensitive;
    }
    if (r == 0)
        r = http_send_head(p, &h);
    http_head_done(&h);
    if (r == 0 && q->body)
        r = http_send_body(p, q->body, n, false);
    if (r == 0 && q->body)
        r = http_send_end(p, NULL);
    return r;
}

static int hear(struct http_pipe *p, bool (*fits)(const char *data, size_t n), struct answer *ret,
                struct err *e)
{
    struct http_head h;
    int r;
    http_head_init(&h);
    do
        r = http_read_head(p, &h, e);
    while (r == 0 && h.status < 200 && h.status != 101);
    if (r == 0)
        take_head(&h, ret);
    bool body = r == 0 && h.status != 101 && h.body != HTTP_BODY_NONE;
    http_head_done(&h);
    if (body)
        r = ret->events ? read_events(p, fits, &ret->body) : read_whole(p, &ret->body);
    return r;
}

int question_ask(enum http_version version, struct stream *s, const struct question *q,
                 bool (*fits)(const char *data, size_t n), struct answer *ret, struct err *e)
{
    *ret = (struct answer){.body = BUF_INIT(BODY_MAX)};
    AUTO(scope) own;
    scope_init(&own);
    struct http_link *link = NULL;
    struct http_pipe *p = NULL;
    int r = http_link_new(version, s, &(struct http_link_options){.tls = q->tls}, &link, e);
    if (r < 0)
        return r;
    r = http_link_ask(link, &p);
    if (r == 0)
        r = send(p, q);
    /* One that takes no more may have answered all the same. */
    if (p && (r == 0 || r == -ECONNRESET || r == -EPIPE || r == -E_CLOSED))
        r = hear(p, fits, ret, e);
    if (r < 0 && !e->msg[0])
        (void)err_set(e, r, "no answer: %s",
                      r == -E_CLOSED ? "the connection was closed" : err_text(r));
    if (p) {
        http_reset(p, HTTP_RESET_CANCEL);
        http_pipe_close(p);
    }
    http_link_free(link);
    return r;
}
