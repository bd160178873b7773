/* forward_metadata.c - what a route's server says about authorization, on its way to the caller.
 *
 * Called on the request's fiber. A server that asks for tokens of its own (a route with pass_authorization) tells
 * its callers where to get them: a challenge names its metadata, the metadata names the server and those who
 * give tokens, each by a URL of the private network. Through the tunnel a client would follow them nowhere,
 * and has to refuse metadata of another resource than the one it uses. Here they become the tunnel's
 * (public_url), and so does where an answer points to (Location), since a login goes from page to page. Only documents at their well-known places are touched, which are JSON and collected as a whole,
 * bounded like any message; nothing else of an answer's body is looked into for this. */
#include "tunnel/gateway/forward_internal.h"

#include "base/buf.h"
#include "tunnel/gateway/public_url.h"

#define VALUE_MAX (32u << 10)

static struct public_url seen_by_caller(const struct gateway_request *q)
{
    return (struct public_url){
        .config = q->face->config, .route = q->route, .authority = q->head.authority};
}

bool forward_asks_for_metadata(const struct gateway_request *q)
{
    return http_text_eq(q->head.method, "GET") && public_url_is_metadata(q->head.path);
}

bool forward_is_metadata(const struct gateway_request *q, const struct http_head *h)
{
    return h->status == 200 && h->body != HTTP_BODY_NONE && forward_asks_for_metadata(q) &&
           !forward_is_events(h) && !http_fields_get(&h->fields, "content-encoding", NULL);
}

int forward_metadata(const struct gateway_request *q, struct buf *text, struct err *e)
{
    struct buf other = BUF_INIT(text->max);
    const struct public_url p = seen_by_caller(q);
    int r = public_url_metadata(&p, buf_str(text), text->len, &other);
    if (r <= 0) {
        buf_done(&other);
        return r == 0 ? 0 : err_set(e, r, "no memory, or no room, for the server's metadata");
    }
    buf_done(text);
    *text = other;
    return 0;
}

/* The value of one field as callers use it. 1, 0: it stays, or the error of `out`. */
static int renew_value(const struct public_url *p, const struct http_field *f, struct buf *out)
{
    if (http_text_eq(f->name, "www-authenticate"))
        return public_url_challenge(p, f->value, out);
    if (http_text_eq(f->name, "location"))
        return public_url_own(p, f->value.p, f->value.n, out) ? 1 : buf_err(out);
    return 0;
}

int forward_own_urls(const struct gateway_request *q, struct http_head *h, struct err *e)
{
    const struct public_url p = seen_by_caller(q);
    for (size_t i = 0; i < h->fields.n; i++) {
        struct http_field *f = &h->fields.items[i];
        AUTO(buf) value = BUF_INIT(VALUE_MAX);
        int r = renew_value(&p, f, &value);
        if (r < 0)
            return err_set(e, r, "no memory, or no room, for where the server points to");
        if (r > 0)
            f->value = http_head_copy(h, value.data, value.len);
    }
    return 0;
}
