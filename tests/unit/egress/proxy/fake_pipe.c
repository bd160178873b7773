/* fake_pipe.c - a list of what the peer says, and a text of what was said to it.
 *
 * Called by the exchange through the pipe, and by the test on its own fiber. A read takes the next
 * saying and waits while there is none; a send appends. `flushed` tells what would be on the wire: a
 * test that waits for text sees only that, so a head or an event that is held back too long fails it. */
#include "unit/egress/proxy/fake_pipe.h"

#include <stdio.h>
#include <string.h>

#include "base/err.h"
#include "base/str.h"
#include "unit/unit.h"

enum kind { HEAD, BODY, END, FAIL };
struct saying {
    struct list in;
    enum kind kind;
    char *text;
    size_t n, at;
    bool idle;
    int code;
};

static struct fake_pipe *of(struct http_pipe *p)
{
    return CONTAINER_OF(p, struct fake_pipe, pipe);
}

static void say(struct fake_pipe *p, enum kind kind, const void *text, size_t n, bool idle,
                int code)
{
    struct saying *s = mem_new(struct saying);
    *s = (struct saying){.kind = kind, .n = n, .idle = idle, .code = code};
    s->text = mem_strndup(text ? text : "", 0);
    free(s->text);
    s->text = mem_zalloc(n + 1);
    if (n)
        memcpy(s->text, text, n);
    list_push_back(&p->says, &s->in);
    waitq_wake_all(&p->said);
}

static void saying_free(struct saying *s)
{
    list_remove(&s->in);
    free(s->text);
    free(s);
}

/* The next thing the peer says, of that kind or an error. NULL with *ret_r. */
static struct saying *next(struct fake_pipe *p, int *ret_r)
{
    while (list_empty(&p->says) && !p->reset) {
        *ret_r = waitq_wait(&p->said);
        if (*ret_r < 0)
            return NULL;
    }
    *ret_r = -ECANCELED;
    return p->reset ? NULL : LIST_ENTRY(p->says.next, struct saying, in);
}

static struct http_text word(struct http_head *h, const char **line)
{
    size_t n = strcspn(*line, " \n");
    struct http_text t = http_head_copy(h, *line, n);
    *line += n + ((*line)[n] == ' ');
    return t;
}

static int number(const char *from, const char *end, uint64_t *ret)
{
    return str_to_u64(from, (size_t)(end - from), UINT64_MAX, ret);
}

static void special(struct http_head *h, const char *line)
{
    uint64_t n = 0;
    const char *end = strchr(line, ']');
    if (strncmp(line, "[length ", 8) == 0) {
        assert_int_equal(number(line + 8, end, &n), 0);
        h->body = HTTP_BODY_LENGTH;
        h->has_length = true;
        h->length = n;
    } else if (strncmp(line, "[has ", 5) == 0) {
        assert_int_equal(number(line + 5, end, &n), 0);
        h->has_length = true;
        h->length = n;
    } else if (strncmp(line, "[stream]", 8) == 0) {
        h->body = HTTP_BODY_STREAM;
    } else if (strncmp(line, "[expect]", 8) == 0) {
        h->expect_continue = true;
    } else if (strncmp(line, "[protocol ", 10) == 0) {
        h->protocol = http_head_copy(h, line + 10, (size_t)(end - line - 10));
    } else {
        fail_msg("%s", line);
    }
}

static void parse(struct http_head *h, const char *text)
{
    if (*text >= '0' && *text <= '9') {
        uint64_t n;
        assert_int_equal(number(text, text + strcspn(text, "\n"), &n), 0);
        h->status = (int)n;
    } else {
        h->method = word(h, &text);
        h->path = word(h, &text);
        h->authority = word(h, &text);
    }
    text += strcspn(text, "\n");
    while (*text == '\n' && text[1]) {
        text++;
        size_t n = strcspn(text, "\n");
        if (*text == '[') {
            special(h, text);
        } else {
            const char *colon = strstr(text, ": ");
            assert_non_null(colon);
            struct http_text name = http_head_copy(h, text, (size_t)(colon - text));
            struct http_text value = http_head_copy(h, colon + 2, n - (size_t)(colon + 2 - text));
            assert_int_equal(http_head_add(h, name, value), 0);
        }
        text += n;
    }
}

static int read_head(struct http_pipe *hp, struct http_head *ret, struct err *e)
{
    struct fake_pipe *p = of(hp);
    int r;
    p->reads++;
    struct saying *s = next(p, &r);
    if (!s)
        return r;
    if (s->kind == FAIL) {
        if (s->code == -E_PARSE || s->code == -E_LIMIT)
            (void)!err_set(e, s->code, "words about the head");
        return s->code;
    }
    assert_int_equal(s->kind, HEAD);
    parse(ret, s->text);
    saying_free(s);
    return 0;
}

static ssize_t read_body(struct http_pipe *hp, void *to, size_t room, bool *ret_idle)
{
    struct fake_pipe *p = of(hp);
    int r;
    p->reads++;
    p->last_room = room;
    if (room > p->most_room)
        p->most_room = room;
    struct saying *s = next(p, &r);
    if (!s)
        return r;
    if (s->kind == FAIL)
        return s->code;
    if (s->kind == END) {
        struct http_head h;
        http_head_init(&h);
        h.arena = p->arena;
        char lines[512];
        (void)snprintf(lines, sizeof(lines), "200\n%s", s->text);
        parse(&h, lines);
        p->trailers = h.fields;
        p->arena = h.arena;
        p->in_ended = true;
        return 0;
    }
    assert_int_equal(s->kind, BODY);
    size_t n = s->n - s->at < room ? s->n - s->at : room;
    memcpy(to, s->text + s->at, n);
    s->at += n;
    bool all = s->at == s->n;
    bool more = !all || (s->in.next != &p->says);
    if (ret_idle)
        *ret_idle = !more && s->idle;
    if (all)
        saying_free(s);
    return (ssize_t)n;
}

static const struct http_fields *trailers(struct http_pipe *hp)
{
    return &of(hp)->trailers;
}

static int may_send(struct fake_pipe *p)
{
    while (p->stuck && !p->reset) {
        int r = waitq_wait(&p->hears);
        if (r < 0)
            return r;
    }
    return p->reset ? -ECANCELED : p->send_error;
}

static void out(struct fake_pipe *p)
{
    if (p->flushed != p->heard.len || p->deaf)
        p->writes++;
    p->flushed = p->heard.len;
    waitq_wake_all(&p->hears);
}

static int send_head(struct http_pipe *hp, const struct http_head *h)
{
    struct fake_pipe *p = of(hp);
    int r = may_send(p);
    if (r < 0)
        return r;
    struct buf *b = &p->heard;
    if (h->status)
        (void)buf_addf(b, "%d\n", h->status);
    else
        (void)buf_addf(b, "%.*s %.*s %.*s\n", (int)h->method.n, h->method.p, (int)h->path.n,
                       h->path.p, (int)h->authority.n, h->authority.p);
    for (size_t i = 0; i < h->fields.n; i++) {
        const struct http_field *f = &h->fields.items[i];
        (void)buf_addf(b, "%.*s: %.*s\n", (int)f->name.n, f->name.p, (int)f->value.n, f->value.p);
    }
    if (h->body == HTTP_BODY_LENGTH)
        (void)buf_addf(b, "[length %llu]\n", (unsigned long long)h->length);
    if (h->body == HTTP_BODY_STREAM)
        (void)buf_adds(b, "[stream]\n");
    if (h->body == HTTP_BODY_NONE && h->has_length)
        (void)buf_addf(b, "[has %llu]\n", (unsigned long long)h->length);
    if (h->expect_continue)
        (void)buf_adds(b, "[expect]\n");
    if (h->protocol.p)
        (void)buf_addf(b, "[protocol %.*s]\n", (int)h->protocol.n, h->protocol.p);
    (void)buf_adds(b, "\n");
    p->counts = h->body == HTTP_BODY_LENGTH;
    p->left = h->length;
    bool interim = h->status >= 100 && h->status < 200;
    if (!interim && h->body == HTTP_BODY_NONE && !(h->protocol.p))
        p->out_ended = true;
    p->head_sent = true;
    if (p->out_ended || interim || h->expect_continue)
        out(p);
    else
        waitq_wake_all(&p->hears);
    return 0;
}

static int send_body(struct http_pipe *hp, const void *from, size_t n, bool more)
{
    struct fake_pipe *p = of(hp);
    int r = may_send(p);
    if (r < 0)
        return r;
    if (p->counts) {
        if (n > p->left)
            return -EINVAL;
        p->left -= n;
    }
    p->bytes_heard += n;
    if (!p->deaf && n)
        (void)buf_add(&p->heard, from, n);
    if (!more)
        out(p);
    return 0;
}

static int send_end(struct http_pipe *hp, const struct http_fields *t)
{
    struct fake_pipe *p = of(hp);
    int r = may_send(p);
    if (r < 0)
        return r;
    if (p->counts && p->left)
        return -EINVAL;
    (void)buf_adds(&p->heard, "<end");
    for (size_t i = 0; t && i < t->n; i++)
        (void)buf_addf(&p->heard, " %.*s: %.*s", (int)t->items[i].name.n, t->items[i].name.p,
                       (int)t->items[i].value.n, t->items[i].value.p);
    (void)buf_adds(&p->heard, ">");
    p->out_ended = true;
    out(p);
    return 0;
}

static void reset(struct http_pipe *hp, enum http_reset why)
{
    struct fake_pipe *p = of(hp);
    if (p->reset)
        return;
    p->reset = true;
    (void)buf_addf(&p->heard, "<reset %d>", (int)why);
    waitq_wake_all(&p->said);
    out(p);
}

static void close_pipe(struct http_pipe *hp)
{
    struct fake_pipe *p = of(hp);
    assert_false(p->closed);
    p->closed = true;
    if (!p->reset && !p->out_ended)
        (void)buf_adds(&p->heard, "<cut>");
    out(p);
}

static bool ready(struct http_pipe *hp)
{
    const struct fake_pipe *p = of(hp);
    return p->reset || !list_empty(&p->says);
}

static bool gone(struct http_pipe *hp)
{
    return of(hp)->gone;
}

static const struct http_pipe_ops ops = {.read_head = read_head,
                                         .read_body = read_body,
                                         .trailers = trailers,
                                         .send_head = send_head,
                                         .send_body = send_body,
                                         .send_end = send_end,
                                         .reset = reset,
                                         .close = close_pipe,
                                         .ready = ready,
                                         .gone = gone};

void fake_init(struct fake_pipe *p, bool asks, enum http_version v)
{
    *p = (struct fake_pipe){.pipe = {&ops, v}, .asks = asks, .heard = BUF_INIT(64 << 20)};
    list_init(&p->says);
    waitq_init(&p->said);
    waitq_init(&p->hears);
}

void fake_done(struct fake_pipe *p)
{
    while (!list_empty(&p->says))
        saying_free(LIST_ENTRY(p->says.next, struct saying, in));
    buf_done(&p->heard);
    arena_done(&p->arena, NULL);
}

void fake_say_head(struct fake_pipe *p, const char *text)
{
    say(p, HEAD, text, strlen(text), true, 0);
}

void fake_say(struct fake_pipe *p, const char *body)
{
    say(p, BODY, body, strlen(body), true, 0);
}

void fake_say_bytes(struct fake_pipe *p, const void *body, size_t n, bool idle)
{
    say(p, BODY, body, n, idle, 0);
}

void fake_say_end(struct fake_pipe *p, const char *t)
{
    say(p, END, t, t ? strlen(t) : 0, true, 0);
}

void fake_say_error(struct fake_pipe *p, int code)
{
    say(p, FAIL, NULL, 0, true, code);
}

bool fake_heard(const struct fake_pipe *p, const char *text)
{
    return p->flushed && memmem(p->heard.data, p->flushed, text, strlen(text));
}

static void await(struct fake_pipe *p, const char *what,
                  bool (*there)(const struct fake_pipe *p, const char *what))
{
    struct fiber_deadline d = fiber_deadline_push_ms(10000);
    int r = 0;
    while (!there(p, what) && r == 0)
        r = waitq_wait(&p->hears);
    fiber_deadline_pop(&d);
    if (r < 0)
        fail_msg("waited for %s; heard (%zu of %zu bytes gone out):\n%s", what, p->flushed,
                 p->heard.len, buf_str(&p->heard));
}

void fake_await(struct fake_pipe *p, const char *text)
{
    await(p, text, fake_heard);
}

static bool is_reset(const struct fake_pipe *p, const char *what)
{
    (void)what;
    return p->reset;
}

void fake_await_reset(struct fake_pipe *p)
{
    await(p, "a reset", is_reset);
}

static bool is_closed(const struct fake_pipe *p, const char *what)
{
    (void)what;
    return p->closed;
}

void fake_await_closed(struct fake_pipe *p)
{
    await(p, "the end", is_closed);
}
