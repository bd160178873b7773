/* fetch.c - one request of the authorization, with bounds.
 *
 * Runs on the fiber that wants a token. The peer is whoever the metadata names: status, headers and body are
 * its. Redirects are not followed, the body has a ceiling, the whole a time, JSON a number of values; the
 * answer is wiped when it is dropped. Connections belong to the object, so to one MCP server, and are
 * shared with nobody. Words of failures name what was asked and never what was sent or said. */
#include "base/err.h"
#include "base/str.h"
#include "mcp/auth/auth_internal.h"

#include <string.h>

void auth_answer_done(struct auth_answer *r)
{
    json_decref(r->json);
    *r = (struct auth_answer){0};
}

void auth_buf_wipe(struct buf *b)
{
    if (b->data)
        secret_wipe(b->data, b->cap);
    buf_done(b);
}

static int make_client(struct mcp_auth *a, struct err *e)
{
    if (a->http)
        return 0;
    a->http = http_client_new("sallyport/" SALLYPORT_VERSION, e);
    if (!a->http)
        return e->code;
    if (a->o.ca_file)
        http_client_set_ca(a->http, a->o.ca_file);
    return a->o.connect_to ? http_client_set_connect_to(a->http, a->o.connect_to, e) : 0;
}

static int fetch(struct mcp_auth *a, const char *what, const struct client_request *q,
                 struct auth_answer *ret, struct err *e)
{
    *ret = (struct auth_answer){0};
    if (a->o.connect_to && !str_starts(q->url, "https://"))
        return err_set(e, -EINVAL,
                       "%s is asked without TLS, which --connect-to would send elsewhere", what);
    int r = make_client(a, e);
    if (r < 0)
        return r;
    AUTO(client_response) answer = {0};
    bool less = a->o.request_ms > 0 && a->o.request_ms < AUTH_REQUEST_MS;
    struct fiber_deadline d = fiber_deadline_push_ms(less ? a->o.request_ms : AUTH_REQUEST_MS);
    r = client_fetch(a->http, q, AUTH_ANSWER_MAX, &answer, e);
    fiber_deadline_pop(&d);
    if (r < 0)
        return err_wrap(e, r, "%s", what);
    ret->status = answer.status;
    (void)client_response_header(&answer, "dpop-nonce", ret->nonce, sizeof(ret->nonce));
    if (answer.status >= 300 && answer.status < 400)
        return err_set(e, -E_PROTO, "%s sends to another address (HTTP %d), which is not followed",
                       what, answer.status);
    if (json_parse_few(buf_str(&answer.body), answer.body.len, AUTH_VALUES_MAX, &ret->json, NULL) <
        0)
        ret->json = NULL;
    return 0;
}

int auth_fetch(struct mcp_auth *a, const char *what, const char *url, struct auth_answer *ret,
               struct err *e)
{
    const struct client_header rows[] = {{"Accept", "application/json"}};
    const struct client_request q = {
        .method = "GET", .url = url, .headers = rows, .n_headers = ARRAY_LEN(rows), .decode = true};
    return fetch(a, what, &q, ret, e);
}

int auth_send(struct mcp_auth *a, const struct auth_post *p, struct auth_answer *ret, struct err *e)
{
    struct client_header rows[4] = {{"Accept", "application/json"}, {"Content-Type", p->type}};
    size_t n = 2;
    if (p->authorization && *p->authorization)
        rows[n++] = (struct client_header){"Authorization", p->authorization};
    if (p->proof && *p->proof)
        rows[n++] = (struct client_header){"DPoP", p->proof};
    const struct client_request q = {.method = "POST",
                                     .url = p->url,
                                     .headers = rows,
                                     .n_headers = n,
                                     .body = p->body->data,
                                     .body_len = p->body->len,
                                     .once = true, /* a person took minutes: what was open is not */
                                     .secret = true};
    return fetch(a, p->what, &q, ret, e);
}
