/* oauth2.c - a token from an authorization server, in place of a secret that lives long.
 *
 * Theory of operation. A source of the kind `oauth2` is read when a request needs a token (source.c): one
 * request to the token endpoint for all who wait, on a fiber of its own and under the source's timeout. Who we
 * are comes from another source (a secret, or a key that an assertion is signed with), and so does what is
 * exchanged: a refresh token, an assertion, another token. Half a minute before its end a token is asked for
 * anew while the one of before still serves.
 *
 * The endpoint is where the configuration says, over verified TLS; only this host is spoken to without. No
 * redirect is followed, and the body with the secret goes out once. The answer is bounded, and read in
 * oauth2_answer.c. Forms and headers lie in buffers that do not move and are wiped.
 *
 * A refresh token may be replaced by each answer (RFC 6749 6): the newer one is kept in memory, and in a file where one is
 * named (oauth2_kept.c), until the source has another one than it grew from. */
#include "secret/oauth2.h"

#include "base/enc.h"
#include "base/log.h"
#include "base/str.h"
#include "crypto/es256.h"
#include "http/client/client.h"
#include "oauth/form.h"
#include "oauth/jwt.h"

#include <string.h>

#define ANSWER_MAX     (256u << 10)
#define FORM_MAX       (192u << 10)
#define HEADER_MAX     (16u << 10)
#define CONNECT_MS     5000
#define CLOCK_S        60 /* no server minds less */
#define ASSERTION_TYPE "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"

static const char *const grants[] = {
    [OAUTH2_CLIENT_CREDENTIALS] = "client_credentials",
    [OAUTH2_REFRESH_TOKEN] = "refresh_token",
    [OAUTH2_JWT_BEARER] = "urn:ietf:params:oauth:grant-type:jwt-bearer",
    [OAUTH2_TOKEN_EXCHANGE] = "urn:ietf:params:oauth:grant-type:token-exchange",
};

/* Of one request: they do not move. */
struct ask {
    struct buf form, authorization;
};

static void wipe(struct buf *b)
{
    if (b->data)
        secret_wipe(b->data, b->cap);
    buf_done(b);
}

static void ask_done(struct ask *q)
{
    wipe(&q->form);
    wipe(&q->authorization);
}

static int ask_begin(struct ask *q)
{
    *q = (struct ask){BUF_INIT(FORM_MAX), BUF_INIT(HEADER_MAX)};
    return buf_room(&q->form, FORM_MAX - 1) && buf_room(&q->authorization, HEADER_MAX - 1)
               ? 0
               : -ENOMEM;
}

/* ---- what is said ---- */

static int get(struct secret_source *s, const char *what, struct secret_value **ret, struct err *e)
{
    int r = secret_source_get(s, ret, e);
    return r < 0 ? err_wrap(e, r, "its %s", what) : 0;
}

/* The value of a source as a parameter. Nothing without a source. */
static int put_value(struct buf *form, const char *name, struct secret_source *s, struct err *e)
{
    struct secret_value *v = NULL;
    int r = s ? get(s, name, &v, e) : 0;
    if (r == 0 && v && (r = auth_form_put(form, name, secret_borrow(secret_value_secret(v)))) < 0)
        (void)err_set(e, r, "its %s is too long", name);
    secret_value_unref(v);
    return r;
}

static int say_basic(const struct oauth2 *x, const struct secret *secret, struct buf *ret)
{
    struct buf pair = BUF_INIT(HEADER_MAX);
    int r = buf_room(&pair, HEADER_MAX - 1) ? 0 : -ENOMEM;
    if (r == 0)
        r = auth_form_escape(&pair, x->client_id);
    if (r == 0)
        r = buf_addc(&pair, ':');
    if (r == 0)
        r = auth_form_escape(&pair, secret_borrow(secret));
    if (r == 0)
        r = buf_adds(ret, "Basic ");
    if (r == 0)
        r = enc_base64(ret, pair.data, pair.len);
    wipe(&pair);
    return r;
}

static int say_secret(const struct oauth2 *x, struct ask *q, struct err *e)
{
    struct secret_value *v = NULL;
    int r = get(x->client_secret, "client_secret", &v, e);
    if (r < 0)
        return r;
    if (x->secret_in_form) {
        r = auth_form_put(&q->form, "client_id", x->client_id);
        if (r == 0)
            r = auth_form_put(&q->form, "client_secret", secret_borrow(secret_value_secret(v)));
    } else {
        r = say_basic(x, secret_value_secret(v), &q->authorization);
    }
    secret_value_unref(v);
    return r < 0 ? err_set(e, r, "its client_secret is too long") : 0;
}

static int sign(const struct oauth2 *x, const char *subject, struct buf *ret, struct err *e)
{
    struct secret_value *v = NULL;
    struct es256 *key = NULL;
    const struct auth_jwt_words words = {
        .key_id = x->key_id,
        .issuer = x->client_id,
        .subject = subject,
        .audience = x->audience_of_jwt ? x->audience_of_jwt : x->url,
    };
    int r = get(x->client_key, "client_key", &v, e);
    if (r == 0) {
        const struct secret *pem = secret_value_secret(v);
        r = es256_of_pem(secret_borrow(pem), pem->len, &key, e);
        if (r < 0)
            r = err_wrap(e, r, "its client_key");
    }
    if (r == 0 && (r = auth_jwt_assert(key, &words, ret)) < 0)
        (void)err_set(e, r, "its assertion is too long");
    es256_free(key);
    secret_value_unref(v);
    return r;
}

static int say_client(const struct oauth2 *x, struct ask *q, struct err *e)
{
    if (!x->client_id)
        return 0;
    if (x->client_secret)
        return say_secret(x, q, e);
    int r = auth_form_put(&q->form, "client_id", x->client_id);
    if (r < 0 || !x->client_key)
        return r;
    AUTO(buf) jwt = BUF_INIT(AUTH_JWT_MAX);
    r = sign(x, x->client_id, &jwt, e);
    if (r < 0)
        return r;
    r = auth_form_put(&q->form, "client_assertion_type", ASSERTION_TYPE);
    return r < 0 ? r : auth_form_put(&q->form, "client_assertion", buf_str(&jwt));
}

static int say_assertion(const struct oauth2 *x, struct ask *q, struct err *e)
{
    if (x->assertion)
        return put_value(&q->form, "assertion", x->assertion, e);
    AUTO(buf) jwt = BUF_INIT(AUTH_JWT_MAX);
    int r = sign(x, x->sub ? x->sub : x->client_id, &jwt, e);
    return r < 0 ? r : auth_form_put(&q->form, "assertion", buf_str(&jwt));
}

/* The newest of those that grew from the one of the source. */
static int say_refresh(const struct secret_source *s, struct oauth2 *x, struct ask *q,
                       struct err *e)
{
    struct secret_value *v = NULL;
    int r = get(x->refresh_token, "refresh_token", &v, e);
    if (r < 0)
        return r;
    if (v != x->rotated_from) {
        secret_done(&x->rotated);
        secret_value_unref(TAKE(x->rotated_from));
        if (x->keep_in)
            r = oauth2_kept_read(s, secret_value_secret(v), &x->rotated, e);
        if (r < 0) {
            secret_value_unref(v);
            return r;
        }
        x->rotated_from = secret_value_ref(v);
    }
    const struct secret *t = x->rotated.len ? &x->rotated : secret_value_secret(v);
    r = auth_form_put(&q->form, "refresh_token", secret_borrow(t));
    secret_value_unref(v);
    return r < 0 ? err_set(e, r, "its refresh_token is too long") : 0;
}

static int say_subject(const struct secret_source *s, const struct oauth2 *x, struct ask *q,
                       struct err *e)
{
    int r = x->of_caller ? auth_form_put(&q->form, "subject_token", secret_borrow(&s->subject))
                         : put_value(&q->form, "subject_token", x->subject, e);
    if (r == 0)
        r = auth_form_put(&q->form, "subject_token_type", x->subject_type);
    if (r == 0)
        r = put_value(&q->form, "actor_token", x->actor, e);
    if (r == 0 && x->actor)
        r = auth_form_put(&q->form, "actor_token_type", x->actor_type);
    return r < 0 ? r : auth_form_put(&q->form, "requested_token_type", x->requested_type);
}

static int say_grant(const struct secret_source *s, struct oauth2 *x, struct ask *q, struct err *e)
{
    int r = auth_form_put(&q->form, "grant_type", grants[x->grant]);
    if (r == 0 && x->grant == OAUTH2_REFRESH_TOKEN)
        r = say_refresh(s, x, q, e);
    if (r == 0 && x->grant == OAUTH2_JWT_BEARER)
        r = say_assertion(x, q, e);
    if (r == 0 && x->grant == OAUTH2_TOKEN_EXCHANGE)
        r = say_subject(s, x, q, e);
    if (r == 0)
        r = auth_form_put(&q->form, "scope", x->scope);
    if (r == 0)
        r = auth_form_put(&q->form, "audience", x->audience);
    for (size_t i = 0; r == 0 && i < x->n_resources; i++)
        r = auth_form_put(&q->form, "resource", x->resources[i]);
    return r;
}

/* ---- the request ---- */

static int connect_client(struct oauth2 *x, struct err *e)
{
    if (x->http)
        return 0;
    x->http = http_client_new("sallyport/" SALLYPORT_VERSION, e);
    if (!x->http)
        return e->code < 0 ? e->code : -ENOMEM;
    if (x->ca_file)
        http_client_set_ca(x->http, x->ca_file);
    return 0;
}

static int post(struct oauth2 *x, const struct ask *q, struct client_response *ret, struct err *e)
{
    struct client_header rows[3] = {{"Accept", "application/json"},
                                    {"Content-Type", "application/x-www-form-urlencoded"}};
    size_t n = 2;
    if (q->authorization.len)
        rows[n++] = (struct client_header){"Authorization", buf_str(&q->authorization)};
    const struct client_request c = {.method = "POST",
                                     .url = x->url,
                                     .headers = rows,
                                     .n_headers = n,
                                     .body = q->form.data,
                                     .body_len = q->form.len,
                                     .connect_timeout_ms = CONNECT_MS,
                                     .decode = true,
                                     .no_repeat = true,
                                     .secret = true};
    int r = connect_client(x, e);
    x->asked_ns = time_mono_ns();
    return r < 0 ? r : client_fetch(x->http, &c, ANSWER_MAX, ret, e);
}

/* What is signed here has the time in it. Dates are a server's: only a difference is told. */
static void tell_clock(const struct client_response *got, struct err *e)
{
    char date[64];
    int64_t at_us = 0;
    const char *text = client_response_header(got, "date", date, sizeof(date));
    if (!text || time_parse_http(text, &at_us) < 0)
        return;
    const int64_t off_s = (time_real_us() - at_us) / US_PER_S;
    if (off_s > -CLOCK_S && off_s < CLOCK_S)
        return;
    const struct err was = *e;
    (void)err_set(e, was.code, "%s; this machine's clock is %lld s %s its own", was.msg,
                  (long long)(off_s < 0 ? -off_s : off_s), off_s < 0 ? "behind" : "ahead of");
}

static int ask_token(struct secret_source *s, struct oauth2 *x, struct secret_read *ret,
                     struct secret *refresh, struct err *e)
{
    struct ask q;
    struct client_response got = {0};
    char later[64];
    int r = ask_begin(&q);
    if (r == 0)
        r = say_grant(s, x, &q, e);
    if (r == 0)
        r = say_client(x, &q, e);
    if (r < 0 && !e->msg[0])
        (void)err_set(e, r, "what would be asked is too long");
    if (r == 0)
        r = post(x, &q, &got, e);
    ask_done(&q);
    if (r < 0)
        return r;
    const struct oauth2_answer a = {.status = got.status,
                                    .body = buf_str(&got.body),
                                    .n = got.body.len,
                                    .retry_after = client_response_header(&got, "retry-after",
                                                                          later, sizeof(later))};
    r = oauth2_answer_read(&a, x, ret, refresh, e);
    if (r == -E_DENIED && x->client_key)
        tell_clock(&got, e);
    client_response_done(&got);
    return r;
}

/* The token is good all the same; what a restart will find is not. */
static void keep(const struct secret_source *s, const struct oauth2 *x)
{
    struct err e = {0};
    if (x->keep_in &&
        oauth2_kept_write(s, secret_value_secret(x->rotated_from), &x->rotated, &e) < 0)
        log_error(
            "a refresh token that was replaced cannot be kept: after a restart the one of its "
            "source is used up",
            "source=%s why=%s", log_q(s->place), log_q(e.msg));
}

int oauth2_read(struct secret_source *s, struct secret_read *ret, struct err *e)
{
    struct oauth2 *x = s->state;
    AUTO(secret) refresh = {0};
    if (x->of_caller && !s->subject.len)
        return err_set(e, -EINVAL, "it is exchanged for a caller's token, and there is none");
    int r = ask_token(s, x, ret, &refresh, e);
    const bool old = r == -E_DENIED && x->grant == OAUTH2_REFRESH_TOKEN && x->rotated.len;
    if (old) { /* somebody else may have had the newer one; the source's may still be good */
        secret_done(&x->rotated);
        *e = (struct err){0};
        ret->refused = false;
        r = ask_token(s, x, ret, &refresh, e);
    }
    if (r == 0 && x->grant == OAUTH2_REFRESH_TOKEN && refresh.len) {
        secret_done(&x->rotated);
        x->rotated = refresh;
        refresh = (struct secret){0};
        keep(s, x);
    }
    return r;
}
