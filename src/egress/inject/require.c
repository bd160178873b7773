/* require.c - "require: true": no request to a bound host without the placeholder.
 *
 * What it is for: a sandbox that has a login of its own for an allowed host (an attacker's token, in an
 * instruction it was given) could write there whatever it has read. So a request with any other login,
 * or one that could write, is refused when it does not use the credential.
 *
 * What passes all the same is the question that git and registries ask before they send a login (RFC
 * 9110 11.6.1 has no other way for a client to learn the scheme): GET .../info/refs?service=git-upload-pack
 * or git-receive-pack; GET and HEAD of /v2/; GET and HEAD of a manifest, HEAD of a blob (containerd asks
 * there first). It must be without a body and without a login in any field that is known to hold one, and
 * without another query. It can read what the origin shows to everyone, nothing else: no state is changed
 * by it (RFC 9110 9.2.1), and nothing of ours is in it. Whatever the origin answers is passed on, its 401
 * whole. */
#include "egress/inject/kind.h"

#include <string.h>

static bool has_prefix(struct http_text t, const char *s)
{
    size_t n = strlen(s);
    return t.n >= n && memcmp(t.p, s, n) == 0;
}

static bool has_suffix(struct http_text t, const char *s)
{
    size_t n = strlen(s);
    return t.n >= n && memcmp(t.p + t.n - n, s, n) == 0;
}

static bool is_question_of_git(struct http_text path, struct http_text query)
{
    return has_suffix(path, "/info/refs") && (http_text_eq(query, "service=git-upload-pack") ||
                                              http_text_eq(query, "service=git-receive-pack"));
}

/* containerd names the registry that is meant when it asks a mirror: "ns=docker.io". */
static bool is_namespace(struct http_text query)
{
    return query.n == 0 || (has_prefix(query, "ns=") && !memchr(query.p, '&', query.n));
}

/* OCI distribution, 4.1 (end-1 to end-3). */
static bool is_question_of_registry(struct http_text path, struct http_text query, bool head)
{
    if (!has_prefix(path, "/v2") || !is_namespace(query))
        return false;
    if (http_text_eq(path, "/v2/") || http_text_eq(path, "/v2"))
        return true;
    return path.p[3] == '/' && (memmem(path.p, path.n, "/manifests/", 11) ||
                                (head && memmem(path.p, path.n, "/blobs/sha", 10)));
}

static bool has_login(const struct planner *pl, const struct policy_credential *c)
{
    static const char *const logins[] = {
        "authorization", "proxy-authorization", "cookie",       "x-api-key",
        "private-token", "job-token",           "deploy-token", "x-registry-auth",
    };
    const struct http_fields *fields = &pl->head->fields;
    for (size_t i = 0; i < ARRAY_LEN(logins); i++)
        if (http_fields_get(fields, logins[i], NULL))
            return true;
    for (size_t i = 0; i < c->n_places; i++)
        if (c->places[i].kind == INJECT_HEADER && http_fields_get(fields, c->places[i].name, NULL))
            return true;
    return false;
}

static bool is_first_request(const struct planner *pl, const struct policy_credential *c)
{
    const struct http_head *h = pl->head;
    bool head = http_text_eq(h->method, "HEAD");
    if ((!head && !http_text_eq(h->method, "GET")) || h->body != HTTP_BODY_NONE || h->protocol.p ||
        !h->path.n || has_login(pl, c))
        return false;
    const char *mark = memchr(h->path.p, '?', h->path.n);
    struct http_text path = {h->path.p, mark ? (size_t)(mark - h->path.p) : h->path.n};
    struct http_text query = {"", 0};
    if (mark)
        query = (struct http_text){mark + 1, h->path.n - path.n - 1};
    return (!head && is_question_of_git(path, query)) || is_question_of_registry(path, query, head);
}

/* In the head, or perhaps in what follows, which inject_body_end checks. */
static bool is_used(const struct inject_plan *p, const struct policy_credential *c)
{
    for (size_t i = 0; i < p->n_uses; i++)
        if (p->uses[i].credential == c)
            return true;
    return false;
}

static int refuse(struct planner *pl, const struct policy_candidate *c)
{
    const char *name = c->credential->name;
    if (c->fit == POLICY_FIT_PLAINTEXT)
        return inject_refuse(pl->no, INJECT_PLAINTEXT, name,
                             "requests to %.120s must use %.64s, which is sent over verified TLS "
                             "only; use https",
                             pl->to->host->text, name);
    return inject_refuse(pl->no, INJECT_MISSING, name,
                         "requests to %.120s must use %.64s: send the value of that variable, as "
                         "it is, where the secret would stand",
                         pl->to->host->text, name);
}

int require_check(struct planner *pl)
{
    const struct policy_decision *d = pl->decision;
    for (size_t i = 0; i < d->n_candidates; i++) {
        const struct policy_candidate *c = &d->candidates[i];
        if (!c->credential->require || is_used(pl->plan, c->credential) ||
            (c->fit != POLICY_FIT && c->fit != POLICY_FIT_PLAINTEXT))
            continue;
        if (c->fit != POLICY_FIT || !is_first_request(pl, c->credential))
            return refuse(pl, c);
        pl->plan->unauthenticated = true;
    }
    return 0;
}
