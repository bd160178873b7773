/* forward_caller.c - who asks, where callers have to show a token.
 *
 * Called on the request's fiber before anything of the request counts: before its body is read, a secret is fetched
 * or a server hears of it. The token is a stranger's until its signature was checked by a key of the one issuer that the
 * operator has named (oauth/jwt_check.c). What it says then takes the place of what a certificate says: one
 * identity decides whose task it is, whose call a person was asked about, whose token is exchanged, and what is
 * recorded. It is looked at with each request, so that one that has expired, or a rule that has changed, counts at
 * once; an answer that has begun goes on. Nothing of a token is ever in a log, a record or an answer; why it was not
 * taken is, in words that are the same for everybody. While the issuer's keys cannot be had nobody is let in. */
#include "tunnel/gateway/forward_internal.h"

#include <string.h>

#include "base/buf.h"
#include "base/log.h"
#include "base/metrics.h"
#include "base/str.h"
#include "base/time.h"
#include "oauth/jwks.h"
#include "oauth/jwt_check.h"
#include "tunnel/gateway/caller_keys.h"

#define CHALLENGE_MAX 8192
#define RESOURCE_MAX  400 /* bytes of a route's URL */
#define HTTPS_PORT    443

METRIC_COUNTER(n_taken, "sallyport_gateway_caller_tokens_total", "outcome=\"taken\"",
               "Requests of routes whose callers show a token, by what became of it")
METRIC_COUNTER(n_none, "sallyport_gateway_caller_tokens_total", "outcome=\"missing\"",
               "Requests of routes whose callers show a token, by what became of it")
METRIC_COUNTER(n_invalid, "sallyport_gateway_caller_tokens_total", "outcome=\"invalid\"",
               "Requests of routes whose callers show a token, by what became of it")
METRIC_COUNTER(n_scope, "sallyport_gateway_caller_tokens_total", "outcome=\"insufficient\"",
               "Requests of routes whose callers show a token, by what became of it")
METRIC_COUNTER(n_keys, "sallyport_gateway_caller_tokens_total", "outcome=\"no_keys\"",
               "Requests of routes whose callers show a token, by what became of it")

static const char rule_name[] = "callers.jwt";

/* ---- where to get one ---- */

static const char metadata_path[] = "/.well-known/oauth-protected-resource";

/* Whether a client could find the issuer by what we say of it: its name is an address, and the token goes where
 * RFC 6750 has it. */
static bool has_metadata(const struct gateway_request *q)
{
    const struct gateway_callers *c = &q->face->config->callers;
    return str_eq(c->header, "authorization") &&
           (str_starts(c->issuer, "https://") || str_starts(c->issuer, "http://")) &&
           !strpbrk(c->issuer, " \"\\");
}

/* The route as its caller writes it, without a path: what is below is the server's. The host has been compared. */
static int print_resource(const struct gateway_request *q, struct buf *out)
{
    struct host h;
    struct err e = {0};
    uint16_t port = 0;
    int r = host_parse_authority(q->head.authority.p, q->head.authority.n, 0, &h, &port, &e);
    (void)buf_addf(out, "https://%s", q->host->text);
    if (r == 0 && port && port != HTTPS_PORT)
        (void)buf_addf(out, ":%u", port);
    return buf_err(out);
}

static bool asks_for_metadata(const struct gateway_request *q)
{
    return has_metadata(q) && http_text_eq(q->head.path, metadata_path) &&
           (http_text_eq(q->head.method, "GET") || http_text_eq(q->head.method, "HEAD"));
}

static json_t *scopes_of(const char *scopes)
{
    json_t *list = json_array();
    for (const char *p = scopes; *p;) {
        const size_t n = strcspn(p, " ");
        (void)json_array_append_new(list, json_str_lossy(p, n));
        p += n + strspn(p + n, " ");
    }
    return list;
}

/* RFC 9728: who gives tokens for this route. For everybody, since nobody has one before. */
static void answer_metadata(struct gateway_request *q)
{
    AUTO_JSON json_t *j = json_new_object();
    AUTO(buf) resource = BUF_INIT(RESOURCE_MAX);
    json_t *issuers = json_array(), *methods = json_array();
    (void)print_resource(q, &resource);
    (void)json_array_append_new(issuers, json_string(q->face->config->callers.issuer));
    (void)json_array_append_new(methods, json_string("header"));
    json_put_str(j, "resource", buf_str(&resource));
    json_put(j, "authorization_servers", issuers);
    json_put(j, "bearer_methods_supported", methods);
    if (q->route->callers.scopes)
        json_put(j, "scopes_supported", scopes_of(q->route->callers.scopes));
    q->outcome = HEALTH_ANSWERED;
    q->verdict = "allow";
    q->reason = NULL;
    forward_count_answer();
    forward_refuse(q, 200, j);
}

/* ---- saying no ---- */

/* A parameter of the challenge. Words are ours: printable, without quotes. */
static void add_parameter(struct buf *out, const char *name, const char *value)
{
    (void)buf_addf(out, "%s%s=\"%s\"", out->len > strlen("Bearer") ? ", " : " ", name, value);
}

/* RFC 6750 3. In the memory of the head, whose life is the request's. */
static const char *challenge(struct gateway_request *q, const char *error, const char *words)
{
    AUTO(buf) out = BUF_INIT(CHALLENGE_MAX);
    (void)buf_adds(&out, "Bearer");
    if (error) {
        add_parameter(&out, "error", error);
        add_parameter(&out, "error_description", words);
    }
    if (error && str_eq(error, "insufficient_scope") && q->route->callers.scopes)
        add_parameter(&out, "scope", q->route->callers.scopes);
    AUTO(buf) resource = BUF_INIT(RESOURCE_MAX);
    if (has_metadata(q) && print_resource(q, &resource) == 0 &&
        buf_adds(&resource, metadata_path) == 0)
        add_parameter(&out, "resource_metadata", buf_str(&resource));
    if (buf_err(&out) < 0)
        return "Bearer";
    return http_head_copy(&q->head, buf_str(&out), out.len).p;
}

static int refuse(struct gateway_request *q, int status, const char *error, const char *words)
{
    q->challenge = challenge(q, error, words);
    forward_note_refusal(q, status, rule_name, words);
    AUTO_JSON json_t *j = forward_failure_json(q, POLICY, NULL, -32000, rule_name, words);
    forward_refuse(q, status, j);
    return -E_DENIED;
}

static int refuse_token(struct gateway_request *q, const char *words)
{
    metric_add(&n_invalid, 1);
    return refuse(q, 401, "invalid_token", words);
}

static int refuse_without(struct gateway_request *q)
{
    metric_add(&n_none, 1);
    if (str_eq(q->face->config->callers.header, "authorization"))
        return refuse(q, 401, NULL,
                      "callers of this route show a token: send one as Authorization: Bearer");
    return refuse(q, 401, NULL, "callers of this route show a token, in a field of its own");
}

static int fail_without_keys(struct gateway_request *q, const char *why)
{
    metric_add(&n_keys, 1);
    forward_fail(q, 503, CALLER_KEYS, why);
    return -E_DENIED;
}

/* ---- the token ---- */

/* A token and nothing else (RFC 6750 2.1). */
static bool is_b64token(struct http_text t)
{
    for (size_t i = 0; i < t.n; i++)
        if (t.p[i] <= ' ' || t.p[i] > '~' || t.p[i] == ',' || t.p[i] == '"')
            return false;
    return t.n > 0;
}

/* The token that the request shows: in one field, once. False: there is none. */
static bool find_token(const struct gateway_request *q, struct http_text *ret)
{
    static const char scheme[] = "bearer ";
    const size_t n = sizeof(scheme) - 1;
    const char *name = q->face->config->callers.header;
    const struct http_fields *fs = &q->head.fields;
    const struct http_field *f = http_fields_get(fs, name, NULL);
    if (!f || http_fields_get(fs, name, f))
        return false;
    *ret = f->value;
    const bool has_scheme =
        f->value.n > n && http_text_ieq((struct http_text){f->value.p, n}, scheme);
    if (has_scheme)
        *ret = (struct http_text){f->value.p + n, f->value.n - n};
    else if (str_eq(name, "authorization"))
        return false;
    while (has_scheme && ret->n > 0 && ret->p[0] == ' ') {
        ret->p++;
        ret->n--;
    }
    return is_b64token(*ret);
}

static struct jwt_rules rules_of(const struct gateway_request *q)
{
    const struct gateway_callers *c = &q->face->config->callers;
    return (struct jwt_rules){.algorithms = c->algorithms,
                              .issuer = c->issuer,
                              .audiences = q->route->callers.audiences,
                              .n_audiences = q->route->callers.n_audiences,
                              .type = c->type,
                              .skew_s = c->skew_s};
}

/* By the keys as they are, and if none is the token's by those that there are now. 0, or negative after the caller was
 * told. Suspends. */
static int check_signature(struct gateway_request *q, const struct jwt *t,
                           const struct jwt_rules *rules)
{
    struct caller_keys *keys = q->face->caller_keys;
    struct jwks *set = NULL, *newer = NULL;
    struct err e = {0};
    int r = caller_keys_get(keys, &set, &e);
    if (r == -ECANCELED)
        return r;
    if (r < 0)
        return fail_without_keys(q, e.msg);
    r = jwt_check_signature(t, set, rules, &e);
    if (r == -ENOENT && caller_keys_newer(keys, set, &newer) == 0) {
        e = (struct err){0};
        r = jwt_check_signature(t, newer, rules, &e);
    }
    jwks_unref(set);
    jwks_unref(newer);
    return r < 0 ? refuse_token(q, e.msg) : 0;
}

static int check_rules(struct gateway_request *q, const struct jwt *t)
{
    const struct gateway_caller_rules *c = &q->route->callers;
    const char *name;
    json_t *values;
    bool good = !c->scopes || jwt_has_scopes(t, c->scopes);
    if (!good) {
        metric_add(&n_scope, 1);
        return refuse(q, 403, "insufficient_scope", "the token has not the scope of this route");
    }
    json_object_foreach (c->claims, name, values)
        good = good && jwt_claim_is(t, name, values);
    if (good)
        return 0;
    metric_add(&n_scope, 1);
    return refuse(q, 403, "insufficient_scope",
                  "the token does not say what this route wants of one (claims)");
}

/* Who it is from now on. */
static void take_identity(struct gateway_request *q, const struct jwt *t, struct http_text token)
{
    AUTO(buf) name = BUF_INIT(4 * JWT_SUBJECT_MAX + 16);
    const char *sub = jwt_subject(t);
    str_escape(&name, sub, strlen(sub), TLS_NAME_MAX);
    char id[DIGEST_SHA256_HEX];
    jwt_identity(t, id);
    q->who = http_head_copy(&q->head, buf_str(&name), name.len).p; /* for as long as the request */
    q->who_id = http_head_copy(&q->head, id, sizeof(id) - 1).p;
    q->token = token;
    metric_add(&n_taken, 1);
}

int forward_caller(struct gateway_request *q)
{
    struct http_text token;
    struct err e = {0};
    AUTO(jwt) t = {.claims = NULL};
    if (!q->route->callers.wanted)
        return 0;
    if (asks_for_metadata(q)) {
        answer_metadata(q);
        return 1;
    }
    if (!find_token(q, &token))
        return refuse_without(q);
    const struct jwt_rules rules = rules_of(q);
    if (jwt_open(token.p, token.n, &t, &e) < 0)
        return refuse_token(q, e.msg);
    int r = check_signature(q, &t, &rules);
    if (r < 0)
        return r;
    if (jwt_check_claims(&t, &rules, time_real_us() / US_PER_S, &e) < 0)
        return refuse_token(q, e.msg);
    r = check_rules(q, &t);
    if (r == 0)
        take_identity(q, &t, token);
    return r;
}
