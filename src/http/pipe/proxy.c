/* proxy.c - one question to an HTTP proxy, and what its answer means.
 *
 * Called on the fiber of the connection that is dialled (egress: proxy/dial.c). The operator has named
 * the proxy; what it answers is nevertheless read as a stranger's (answer.c). Words of a refusal do not
 * repeat what the proxy said. The header with the password is built in memory that is wiped. */
#include "http/pipe/proxy.h"

#include <string.h>

#include "base/buf.h"
#include "base/enc.h"
#include "base/err.h"
#include "base/secret.h"
#include "http/pipe/answer.h"
#include "io/stream.h"

#define PASSWORD_MAX 4096

/* "Proxy-Authorization: Basic ..." (RFC 7617 2). The buffer never grows, so no copy is left behind. */
static int add_credentials(struct buf *out, const struct http_proxy *proxy,
                           const struct secret *password, struct err *e)
{
    size_t user = strlen(proxy->user), n = user + 1 + password->len;
    if (password->len > PASSWORD_MAX)
        return err_set(e, -E_LIMIT, "the password of %s has more than %d bytes", proxy->word,
                       PASSWORD_MAX);
    struct secret pair = {0};
    int r = secret_room(&pair, n);
    if (r < 0)
        return err_set(e, r, "no memory for the password of %s", proxy->word);
    memcpy(pair.data, proxy->user, user);
    pair.data[user] = ':';
    memcpy(pair.data + user + 1, secret_borrow(password), password->len);
    (void)buf_adds(out, "Proxy-Authorization: Basic ");
    (void)enc_base64(out, pair.data, n);
    (void)buf_adds(out, "\r\n");
    secret_done(&pair);
    return buf_err(out);
}

static int send_question(struct stream *s, const struct http_proxy *proxy, const char *authority,
                         const struct secret *password, struct err *e)
{
    AUTO(buf) b = BUF_INIT(16384);
    int r = 0;
    if (!buf_room(&b, 16000))
        return err_set(e, -ENOMEM, "no memory for a request to %s", proxy->word);
    (void)buf_addf(&b, "CONNECT %s HTTP/1.1\r\nHost: %s\r\n", authority, authority);
    if (proxy->user)
        r = add_credentials(&b, proxy, password, e);
    (void)buf_adds(&b, "\r\n");
    if (r == 0)
        r = buf_err(&b);
    if (r == 0 && (r = stream_write(s, b.data, b.len)) < 0)
        (void)err_set(e, r, "asking %s %s: %s", proxy->word, proxy->name, err_text(r));
    secret_wipe(b.data, b.cap);
    return r;
}

static int no_answer(const struct http_proxy *proxy, int r, const char *why, const char **ret_error,
                     struct err *e)
{
    const char *word = proxy->word, *name = proxy->name;
    if (r == -ETIMEDOUT) {
        *ret_error = "http_response_timeout";
        return err_set(e, r, "%s %s did not answer in time", word, name);
    }
    if (r == -ECANCELED)
        return err_set(e, r, "asking %s %s was cancelled", word, name);
    if (r == -E_PARSE || r == -E_LIMIT || r == -E_PROTO) {
        *ret_error = "http_protocol_error";
        return err_set(e, -E_PROTO, "%s %s does not answer as a proxy does%s%s", word, name,
                       *why ? ": " : "", why);
    }
    *ret_error = "http_response_incomplete";
    return err_set(e, r, "%s %s ended the connection without an answer: %s", word, name,
                   err_text(r));
}

static int refused(const struct http_proxy *proxy, const char *authority, int status,
                   const char **ret_error, struct err *e)
{
    const char *word = proxy->word, *name = proxy->name;
    switch (status) {
    case 407:
        *ret_error = "proxy_configuration_error";
        return proxy->user ? err_set(e, -EACCES, "%s %s refuses the user and password of %s (407)",
                                     word, name, proxy->user_source)
                           : err_set(e, -EACCES, "%s %s wants a user (407); %s", word, name,
                                     proxy->user_advice);
    case 403:
    case 401:
        *ret_error = "connection_refused";
        return err_set(e, -EACCES, "%s %s does not allow %s (%d)", word, name, authority, status);
    case 504:
        *ret_error = "connection_timeout";
        return err_set(e, -ETIMEDOUT, "%s %s could not reach %s in time (504)", word, name,
                       authority);
    case 502:
    case 503:
        *ret_error = "destination_unavailable";
        return err_set(e, -EHOSTUNREACH, "%s %s could not reach %s (%d)", word, name, authority,
                       status);
    default:
        *ret_error = "proxy_configuration_error";
        return err_set(e, -E_PROTO, "%s %s answers %d to CONNECT %s", word, name, status,
                       authority);
    }
}

int http_proxy_connect(struct stream *s, const struct http_proxy *proxy, const char *authority,
                       const struct secret *password, int *ret_status, const char **ret_error,
                       struct err *e)
{
    *ret_status = 0;
    *ret_error = "proxy_configuration_error";
    if (proxy->user && !password)
        return err_set(e, -EACCES, "the password of %s %s is not known", proxy->word, proxy->name);
    int r = send_question(s, proxy, authority, password, e);
    if (r < 0) {
        *ret_error = r == -ETIMEDOUT ? "connection_write_timeout" : "connection_terminated";
        return r;
    }
    AUTO(http_answer) a;
    http_answer_init(&a);
    const char *why;
    r = http_answer_read(s, H1_ASKED_CONNECT, &a, &why);
    if (r < 0)
        return no_answer(proxy, r, why, ret_error, e);
    *ret_status = a.head.status;
    if (a.head.status < 200)
        return no_answer(proxy, -E_PROTO, "", ret_error, e);
    if (a.head.status >= 300)
        return refused(proxy, authority, a.head.status, ret_error, e);
    *ret_error = NULL;
    return 0;
}
