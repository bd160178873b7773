/* hashicorp.c - secrets from a server with the HTTP API of HashiCorp Vault (OpenBao is one).
 *
 * Theory of operation. A `vault_server` is an address with a way to log in; sources that say the
 * same share it, its connection and its token. A source reads MOUNT/data/PATH (KV 2) or MOUNT/PATH
 * (KV 1, and every engine that answers a read), and its json_key names the member.
 *
 * The token comes from another source, read anew when it is refused, or from an AppRole login. That
 * token is renewed by a fiber when two thirds of its lease are over, for as long as the server lets
 * it; then, or when it is refused, the login is made again. One login at a time.
 *
 * A standby answers 307 with the place of the active server. The token does not follow it there: it
 * goes to addresses that the configuration names (address and peers) and to no other, and only with
 * the very path that was asked. TLS is verified, against ca_file when there is one; without TLS only
 * this host is spoken to, unless plaintext is set.
 *
 * The server decides what it answers: bounded, parsed in hashicorp_answer.c. Buffers with secrets
 * are wiped (client.h, secret_wipe_when_freed). */
#include "secret/hashicorp.h"
#include "base/log.h"
#include "base/str.h"
#include "http/client/client.h"

#include <stdio.h>
#include <string.h>

#define URL_MAX        2048
#define ANSWER_MAX     (2 * SECRET_RAW_MAX)
#define RENEW_WAIT_MS  1000  /* between tries to renew, at least */
#define RENEW_MS       30000 /* one try */
#define LOGIN_ID_MAX   1024
#define LOGIN_YOUNG_MS 60000 /* a token that is refused so soon after its login is not the reason */

/* ---- requests ---- */

static int connect_client(struct vault_server *v, struct err *e)
{
    if (v->http)
        return 0;
    v->http = http_client_new("sallyport/" SALLYPORT_VERSION, e);
    if (!v->http)
        return e->code < 0 ? e->code : -ENOMEM;
    if (v->ca_file)
        http_client_set_ca(v->http, v->ca_file);
    return 0;
}

struct ask {
    const char *method, *path, *token; /* token: NULL for a login */
    const char *body;
    size_t body_len;
};

static int ask_one(struct vault_server *v, const char *address, const struct ask *q,
                   struct client_response *ret, struct err *e)
{
    char url[URL_MAX];
    if (snprintf(url, sizeof(url), "%s%s", address, q->path) >= (int)sizeof(url))
        return err_set(e, -EINVAL, "the address is too long");
    struct client_header h[4];
    size_t n = 0;
    h[n++] = (struct client_header){"x-vault-request", "true"};
    if (q->token)
        h[n++] = (struct client_header){"x-vault-token", q->token};
    if (v->namespace)
        h[n++] = (struct client_header){"x-vault-namespace", v->namespace};
    if (q->body)
        h[n++] = (struct client_header){"content-type", "application/json"};
    struct client_request c = {.method = q->method,
                               .url = url,
                               .headers = h,
                               .n_headers = n,
                               .body = q->body,
                               .body_len = q->body_len,
                               .connect_timeout_ms = 5000,
                               .decode = true,
                               .secret = true};
    return client_fetch(v->http, &c, ANSWER_MAX, ret, e);
}

/* The next server of the configuration that a redirect leads to, or NULL with words. */
static const char *redirected(const struct vault_server *v, const struct ask *q,
                              const struct client_response *got, struct err *e)
{
    char to[URL_MAX];
    const char *location = client_response_header(got, "location", to, sizeof(to));
    for (size_t i = 0; location && i < ARRAY_LEN(v->address) && v->address[i]; i++)
        if (hashicorp_location_is(location, v->address[i], q->path))
            return v->address[i];
    (void)err_set(e, -E_DENIED,
                  "it is a standby and sends us to a server that is not in peers; the token does "
                  "not go there: name the active server, or add it to peers");
    return NULL;
}

static bool not_there(int r)
{
    return r == -ECONNREFUSED || r == -EHOSTUNREACH;
}

/* Asks the first server that is there, and the one that it leads to. */
static int ask(struct vault_server *v, const struct ask *q, struct client_response *ret,
               struct err *e)
{
    int r = connect_client(v, e);
    if (r < 0)
        return r;
    r = -EHOSTUNREACH;
    for (size_t i = 0; not_there(r) && i < ARRAY_LEN(v->address) && v->address[i]; i++)
        r = ask_one(v, v->address[i], q, ret, e);
    if (r < 0 || ret->status != 307)
        return r;
    const char *next = redirected(v, q, ret, e);
    client_response_done(ret);
    if (!next)
        return -E_DENIED;
    r = ask_one(v, next, q, ret, e);
    if (r == 0 && ret->status == 307) {
        client_response_done(ret);
        return err_set(e, -E_PROTO, "its servers send us to each other; none of them is active");
    }
    return r;
}

static struct hashicorp_answer answer_of(const struct client_response *r)
{
    return (
        struct hashicorp_answer){.status = r->status, .body = buf_str(&r->body), .n = r->body.len};
}

/* ---- tokens ---- */

static int borrow(struct secret_source *s, const char *what, struct secret_value **ret,
                  struct err *e)
{
    int r = secret_source_get(s, ret, e);
    return r < 0 ? err_wrap(e, r, "its %s", what) : 0;
}

/* What a login may be made of: it goes into JSON as it is. */
static int check_id(const char *s, const char *what, struct err *e)
{
    size_t n = strlen(s);
    bool fine = n > 0 && n <= LOGIN_ID_MAX;
    for (size_t i = 0; fine && i < n; i++)
        fine = s[i] > ' ' && s[i] <= '~' && s[i] != '"' && s[i] != '\\';
    return fine ? 0 : err_set(e, -EINVAL, "its %s is not what a vault gives out", what);
}

static int login_with(struct vault_server *v, const char *role, const char *id, bool *ret_refused,
                      struct err *e)
{
    AUTO(secret) body = {0};
    char path[URL_MAX] = "/v1/auth/";
    int r = check_id(role, "role_id", e);
    if (r == 0)
        r = check_id(id, "secret_id", e);
    if (r == 0 && (r = secret_room(&body, strlen(role) + strlen(id) + 64)) < 0)
        (void)err_set(e, r, "no memory for a login");
    if (r < 0)
        return r;
    int n = snprintf(body.data, body.len, "{\"role_id\":\"%s\",\"secret_id\":\"%s\"}", role, id);
    MUST(n > 0 && (size_t)n < body.len);
    MUST(hashicorp_url_add(path, sizeof(path), v->approle_mount));
    MUST(hashicorp_url_add(path, sizeof(path), "/login"));
    struct ask q = {.method = "POST", .path = path, .body = body.data, .body_len = (size_t)n};
    struct client_response got = {0};
    r = ask(v, &q, &got, e);
    if (r < 0)
        return r;
    struct hashicorp_answer a = answer_of(&got);
    AUTO(hashicorp_login) login = {0};
    r = got.status == 200 ? hashicorp_login_read(&a, &login, e)
                          : hashicorp_refusal(&a, id, ret_refused, e);
    client_response_done(&got);
    if (r < 0)
        return err_wrap(e, r, "the AppRole login");
    hashicorp_login_done(&v->login);
    v->login = login;
    login = (struct hashicorp_login){0};
    v->good_until_ns =
        v->login.lease_ms ? time_mono_ns() + v->login.lease_ms * NS_PER_MS : FIBER_NO_DEADLINE;
    v->logins++;
    v->login_at_ns = time_mono_ns();
    return 0;
}

static int keeper_fiber(void *arg);

static void start_keeper(struct vault_server *v)
{
    if (v->keeper || !v->login.renewable || !v->login.lease_ms)
        return;
    /* Without one the login is made again when the token has ended. */
    (void)!fiber_spawn(&v->all->scope, "vault-token", keeper_fiber, v, &v->keeper);
}

static int login(struct vault_server *v, bool *ret_refused, struct err *e)
{
    struct secret_value *role = NULL, *id = NULL;
    int r = v->role_source ? borrow(v->role_source, "role_id", &role, e) : 0;
    if (r == 0)
        r = borrow(v->secret_source, "secret_id", &id, e);
    if (r == 0)
        r = login_with(v, role ? secret_borrow(secret_value_secret(role)) : v->role_id,
                       secret_borrow(secret_value_secret(id)), ret_refused, e);
    secret_value_unref(role);
    secret_value_unref(id);
    if (r == 0)
        start_keeper(v);
    return r;
}

/* The token for one request: a copy, since the server's may be exchanged while the request runs.
 * `not`: the number of a token that was refused (0: none). */
static int token_for(struct vault_server *v, uint64_t not, struct secret *ret, uint64_t *ret_which,
                     bool *ret_refused, struct err *e)
{
    if (v->token_source) {
        struct secret_value *t = NULL;
        int r = borrow(v->token_source, "token", &t, e);
        if (r == 0) {
            const struct secret *s = secret_value_secret(t);
            r = secret_set(ret, s->data, s->len);
            secret_value_unref(t);
        }
        return r;
    }
    int r = fmutex_lock(&v->login_lock);
    if (r < 0)
        return err_set(e, r, "not read in time");
    bool good = v->login.token.data && v->logins != not &&time_mono_ns() < v->good_until_ns;
    if (!good)
        r = login(v, ret_refused, e);
    if (r == 0 && (r = secret_set(ret, v->login.token.data, v->login.token.len)) < 0)
        (void)err_set(e, r, "no memory for the token");
    *ret_which = v->logins;
    fmutex_unlock(&v->login_lock);
    return r;
}

/* Under the lock. */
static int renew(struct vault_server *v, struct err *e)
{
    AUTO(secret) token = {0};
    int r = secret_set(&token, v->login.token.data, v->login.token.len);
    if (r < 0)
        return err_set(e, r, "no memory for the token");
    struct ask q = {.method = "POST",
                    .path = "/v1/auth/token/renew-self",
                    .token = token.data,
                    .body = "{}",
                    .body_len = 2};
    struct client_response got = {0};
    r = ask(v, &q, &got, e);
    if (r < 0)
        return r;
    struct hashicorp_answer a = answer_of(&got);
    AUTO(hashicorp_login) login = {0};
    bool refused = false;
    r = got.status == 200 ? hashicorp_login_read(&a, &login, e)
                          : hashicorp_refusal(&a, token.data, &refused, e);
    client_response_done(&got);
    if (r < 0)
        return refused ? -E_DENIED : r;
    v->login.lease_ms = login.lease_ms;
    v->login.renewable = login.renewable;
    v->good_until_ns =
        login.lease_ms ? time_mono_ns() + login.lease_ms * NS_PER_MS : FIBER_NO_DEADLINE;
    return 0;
}

/* Keeps the token of the login alive; ends when that is not to be had any more. */
static int keep_token(struct vault_server *v)
{
    for (;;) {
        int64_t left_ms = (v->good_until_ns - time_mono_ns()) / NS_PER_MS;
        int64_t wait_ms = left_ms - v->login.lease_ms / 3;
        int r = fiber_sleep_ms(wait_ms > RENEW_WAIT_MS ? wait_ms : RENEW_WAIT_MS);
        if (r == 0)
            r = fmutex_lock(&v->login_lock);
        if (r < 0)
            return r;
        struct err e = {0};
        struct fiber_deadline d = fiber_deadline_push_ms(RENEW_MS);
        r = renew(v, &e);
        fiber_deadline_pop(&d);
        fmutex_unlock(&v->login_lock);
        if (r == -ECANCELED)
            return r;
        bool over = time_mono_ns() >= v->good_until_ns || r == -E_DENIED;
        if (r < 0 && over)
            log_warn("the token of a vault was not renewed, a new login is made when it is needed",
                     "address=%s err=%s", log_q(v->address[0]), log_q(e.msg));
        if (over || !v->login.renewable || !v->login.lease_ms)
            return 0;
    }
}

static int keeper_fiber(void *arg)
{
    struct vault_server *v = arg;
    fiber_deadline_clear();
    (void)keep_token(v);
    v->keeper = NULL;
    waitq_wake_all(&v->keeper_gone);
    return 0;
}

/* ---- reading a secret ---- */

/* Once with one token. *ret_again: the token may have been the reason, and another may help. */
static int read_with(struct secret_source *s, uint64_t not, uint64_t *ret_which, bool *ret_again,
                     struct secret_read *ret, struct err *e)
{
    const struct vault_secret *x = s->state;
    struct vault_server *v = x->server;
    AUTO(secret) token = {0};
    int r = token_for(v, not, &token, ret_which, &ret->refused, e);
    if (r < 0)
        return r;
    struct ask q = {.method = "GET", .path = x->path, .token = token.data};
    struct client_response got = {0};
    r = ask(v, &q, &got, e);
    if (r < 0)
        return r;
    struct hashicorp_answer a = answer_of(&got);
    if (got.status != 200) {
        r = hashicorp_refusal(&a, token.data, &ret->refused, e);
    } else {
        r = hashicorp_lease(&a, &ret->lease_ms, e);
        if (r == 0 && (r = secret_set(&ret->raw, got.body.data, got.body.len)) < 0)
            (void)err_set(e, r, "no memory for it");
    }
    *ret_again = got.status == 403;
    client_response_done(&got);
    return r;
}

/* A token that was refused may be one that was replaced since it was read. */
static bool other_token(struct vault_server *v)
{
    struct secret_source *s = v->token_source;
    int64_t at = time_mono_ns();
    if (!s) /* another login, but not one for each request that the policy denies */
        return at - v->login_at_ns >= LOGIN_YOUNG_MS * NS_PER_MS;
    struct secret_value *now = NULL, *before = s->value ? secret_value_ref(s->value) : NULL;
    s->fresh_until_ns = s->fresh_until_ns < at ? s->fresh_until_ns : at;
    int r = secret_source_get(s, &now, NULL);
    bool other = r == 0 && now != before;
    secret_value_unref(now);
    secret_value_unref(before);
    return other;
}

int hashicorp_read(struct secret_source *s, struct secret_read *ret, struct err *e)
{
    const struct vault_secret *x = s->state;
    uint64_t which = 0;
    bool again = false;
    int r = read_with(s, 0, &which, &again, ret, e);
    if (!again || !other_token(x->server))
        return r;
    ret->refused = false;
    *e = (struct err){0};
    return read_with(s, which, &which, &again, ret, e);
}

/* ---- life of a server ---- */

void hashicorp_server_unref(struct vault_server *v)
{
    if (!v || --v->refs > 0)
        return;
    list_remove(&v->node);
    while (v->keeper) {
        AUTO(fiber_shield) shield = fiber_shield_begin(RENEW_MS);
        fiber_cancel(v->keeper);
        MUST(waitq_wait(&v->keeper_gone) == 0);
    }
    http_client_free(v->http);
    hashicorp_login_done(&v->login);
    secret_source_unref(v->token_source);
    secret_source_unref(v->role_source);
    secret_source_unref(v->secret_source);
    for (size_t i = 0; i < ARRAY_LEN(v->address); i++)
        free(v->address[i]);
    free(v->namespace);
    free(v->ca_file);
    free(v->approle_mount);
    free(v->role_id);
    json_decref(v->config);
    free(v);
}
