/* h1_message.c - heads of HTTP/1.1 become messages: what frames them is taken off and said in members.
 *
 * Called by the readers when the scanner has accepted a head; nothing here suspends. The peer has
 * written all of it: texts are copied once into the head's arena, because the buffer they came in
 * goes back. What belongs to one connection does not go on: the fields that are known to, and those
 * that Connection names (RFC 9110 7.6.1), of which there may be OPTIONS_MAX.
 *
 * An upgrade is passed on only in the one form that has one reading: GET without a body, one Upgrade
 * field with one token. Never h2c (RFC 9113 3.1 has taken it back): behind it requests would come
 * that nobody looks at. */
#include "http/pipe/h1_conn.h"

#include "base/err.h"
#include "base/str.h"
#include "http/wire/h1_class.h"

#include <string.h>

#define OPTIONS_MAX 64 /* that Connection may name: bounds the work */
#define FIELDS_MORE 8  /* that may be added on the way without a larger array */

/* A try that cannot succeed yet costs a walk over all there is: made when an empty line has come,
 * when there is twice as much (so that garbage is refused early), or at the ceiling. */
bool h1_may_end(const char *p, size_t n, size_t seen, size_t tried, size_t max)
{
    if (tried == 0 || n >= 2 * tried || n >= max)
        return true;
    size_t at = seen > 2 ? seen - 2 : 0; /* the line's LF may have come before */
    const char *lf;
    while (at < n && (lf = memchr(p + at, '\n', n - at))) {
        at = (size_t)(lf - p) + 1;
        if (at < n && (p[at] == '\n' || (n - at >= 2 && p[at] == '\r' && p[at + 1] == '\n')))
            return true;
    }
    return false;
}

static struct http_text text_at(const char *base, struct h1_part v)
{
    return (struct http_text){base + v.at, v.n};
}

/* The options of Connection. 0, or -E_LIMIT. */
static int list_options(const char *p, const struct h1_head *h, struct h1_part *ret, size_t *ret_n)
{
    size_t n = 0;
    for (size_t i = 0; i < h->n_fields; i++) {
        struct h1_part name = h1_field_name(&h->field[i]), v = h1_field_value(&h->field[i]), part;
        if (name.n != 10 || !h1_part_is(p, name, "connection"))
            continue;
        for (size_t at = 0; h1_list_next(p + v.at, v.n, &at, &part);) {
            if (part.n == 0)
                continue;
            if (n == OPTIONS_MAX)
                return -E_LIMIT;
            ret[n++] = (struct h1_part){part.at + v.at, part.n};
        }
    }
    *ret_n = n;
    return 0;
}

static bool is_named(const char *p, struct h1_part name, const struct h1_part *options, size_t n)
{
    for (size_t i = 0; i < n; i++)
        if (str_ieq_n(p + name.at, name.n, p + options[i].at, options[i].n))
            return true;
    return false;
}

/* The fields that go on. `text` is the copy of p[0..n) in the arena. 0, or -E_LIMIT. */
static int take_fields(const char *p, const char *text, const struct h1_head *h,
                       struct http_head *ret)
{
    struct h1_part options[OPTIONS_MAX];
    size_t n_options = 0, names = 0;
    int r = h->options ? list_options(p, h, options, &n_options) : 0;
    if (r < 0)
        return r;
    for (size_t i = 0; i < h->n_fields; i++)
        names += h->field[i].name_n;
    size_t room = h->n_fields + FIELDS_MORE;
    struct http_field *items = http_head_alloc(ret, room * sizeof(*items));
    char *lower = http_head_alloc(ret, names);
    size_t n = 0;
    for (size_t i = 0; i < h->n_fields; i++) {
        struct h1_part name = h1_field_name(&h->field[i]);
        for (size_t k = 0; k < name.n; k++)
            lower[k] = str_lower_c(text[name.at + k]);
        struct http_text called = {lower, name.n};
        if (http_field_is_framing(called) || is_named(p, name, options, n_options))
            continue;
        items[n++] = (struct http_field){.name = called,
                                         .value = text_at(text, h1_field_value(&h->field[i])),
                                         .as_sent = text + name.at};
        lower += name.n;
    }
    ret->fields = (struct http_fields){.items = items, .n = n, .room = room};
    return 0;
}

/* The one value of the one Upgrade field, when it may go on. */
static bool upgrade_of(const char *p, const struct h1_head *h, struct h1_part *ret)
{
    if (!h->upgrade || h->n_upgrade != 1 || h->minor == 0)
        return false;
    for (size_t i = 0; i < h->n_fields; i++)
        if (h1_part_is(p, h1_field_name(&h->field[i]), "upgrade"))
            *ret = h1_field_value(&h->field[i]);
    if (ret->n == 0 || ret->n >= H1_PROTOCOL_MAX || h1_part_is(p, *ret, "h2c"))
        return false;
    for (size_t i = 0; i < ret->n; i++)
        if (!h1_is(p[ret->at + i], H1_TOKEN))
            return false;
    return true;
}

/* RFC 9110 10.1.4. */
static bool takes_trailers(const char *p, const struct h1_head *h)
{
    for (size_t i = 0; i < h->n_fields; i++) {
        struct h1_part name = h1_field_name(&h->field[i]), v = h1_field_value(&h->field[i]), part;
        if (name.n != 2 || !h1_part_is(p, name, "te"))
            continue;
        for (size_t at = 0; h1_list_next(p + v.at, v.n, &at, &part);)
            if (h1_part_is(p + v.at, part, "trailers"))
                return true;
    }
    return false;
}

/* Origin form out of whatever form it came in (RFC 9112 3.2). */
static struct http_text path_of(struct http_head *ret, const char *text, const struct h1_head *h)
{
    size_t end = (size_t)h->target.at + h->target.n;
    if (h->path.n > 0)
        return (struct http_text){text + h->path.at, end - h->path.at};
    size_t query = end - h->path.at;
    if (query == 0)
        return http_text_eq(ret->method, "OPTIONS") ? HTTP_TEXT("*") : HTTP_TEXT("/");
    char *joined = http_head_alloc(ret, query + 1);
    joined[0] = '/';
    memcpy(joined + 1, text + h->path.at, query);
    return (struct http_text){joined, query + 1};
}

static int refuse(int *ret_status, const char **ret_why, int status, const char *why)
{
    *ret_status = status;
    *ret_why = why;
    return -E_PARSE;
}

int h1_message_request(struct h1_conn *c, const char *p, size_t n, const struct h1_head *h,
                       bool tls, struct http_head *ret, int *ret_status, const char **ret_why)
{
    char *text = http_head_alloc(ret, n);
    memcpy(text, p, n);
    ret->method = text_at(text, h->method);
    bool connect = http_text_eq(ret->method, "CONNECT");
    if (h->authority.n > 0 && !connect && h->target_https != tls)
        return refuse(ret_status, ret_why, 400,
                      "The request target names another scheme than that of the connection.");
    if (take_fields(p, text, h, ret) < 0)
        return refuse(ret_status, ret_why, 400, "The Connection field names too many options.");
    ret->scheme = tls ? HTTP_TEXT("https") : HTTP_TEXT("http");
    if (h->authority.n > 0)
        ret->authority = text_at(text, h->authority);
    else if (h->n_host > 0)
        ret->authority = text_at(text, h->host);
    if (!connect)
        ret->path = path_of(ret, text, h);
    ret->body = h->chunked ? HTTP_BODY_STREAM : h->n_length ? HTTP_BODY_LENGTH : HTTP_BODY_NONE;
    ret->has_length = h->n_length > 0;
    ret->length = h->length;
    ret->has_te_trailers = takes_trailers(p, h);
    c->old = h->minor == 0;
    c->keep = !h->close && (!c->old || h->keep_alive);
    bool body = h->chunked || h->length > 0;
    /* RFC 9110 10.1.1: without a body, or in HTTP/1.0, there is nothing to wait for. */
    ret->expect_continue = c->wants_continue = h->expect_continue && !c->old && body;
    if (connect)
        c->asked = H1_ASKED_CONNECT;
    else if (http_text_eq(ret->method, "HEAD"))
        c->asked = H1_ASKED_HEAD;
    struct h1_part protocol;
    if (http_text_eq(ret->method, "GET") && !body && upgrade_of(p, h, &protocol)) {
        ret->protocol = text_at(text, protocol);
        ret->body = HTTP_BODY_NONE; /* "Content-Length: 0" says no more than that */
        ret->has_length = false;
        memcpy(c->protocol, p + protocol.at, protocol.n);
        c->protocol[protocol.n] = '\0';
    }
    return 0;
}

int h1_message_response(struct h1_conn *c, const char *p, size_t n, const struct h1_head *h,
                        enum h1_framing framing, struct http_head *ret, const char **ret_why)
{
    int status;
    struct h1_part protocol;
    if (h->status == 101 &&
        (!c->protocol[0] || !upgrade_of(p, h, &protocol) || !h1_part_is(p, protocol, c->protocol)))
        return refuse(&status, ret_why, 502, "It changes to a protocol that nobody asked for.");
    char *text = http_head_alloc(ret, n);
    memcpy(text, p, n);
    if (take_fields(p, text, h, ret) < 0)
        return refuse(&status, ret_why, 502, "Its Connection field names too many options.");
    ret->status = h->status;
    if (h->status == 101)
        ret->protocol = text_at(text, protocol);
    ret->body = framing == H1_LENGTH    ? HTTP_BODY_LENGTH
                : framing == H1_NO_BODY ? HTTP_BODY_NONE
                                        : HTTP_BODY_STREAM;
    ret->has_length = h->n_length > 0 && h->status >= 200 && h->status != 204;
    ret->length = ret->has_length ? h->length : 0;
    return 0;
}

int h1_message_trailers(const char *p, size_t n, struct http_head *ret)
{
    static const struct h1_limits limits = {.bytes = UINT32_MAX, .fields = HTTP_FIELDS_MAX};
    struct h1_head h;
    struct h1_scan s;
    h1_scan_begin(&s, p, 0, n, &limits, &h);
    while (s.at < n) {
        if (h.n_fields == limits.fields)
            return -E_LIMIT;
        int r = h1_scan_field(&s, &h.field[h.n_fields]);
        if (r < 0)
            return -E_PARSE; /* the decoder has taken it, so this does not happen */
        h.n_fields++;
    }
    char *text = http_head_alloc(ret, n);
    memcpy(text, p, n);
    return take_fields(p, text, &h, ret);
}
