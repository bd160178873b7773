/* hashicorp_answer.c - reads answers of a HashiCorp-compatible vault, and makes its paths.
 *
 * Theory of operation: called by hashicorp.c with whole, bounded answers, and by the fuzzer. The
 * server is trusted with secrets, but not with our memory and our log: everything is JSON through
 * json_parse, and its own words pass hush.c. Numbers out of range count as absent. Never
 * suspends. */
#include "secret/hashicorp_answer.h"
#include "base/buf.h"
#include "base/err.h"
#include "base/json.h"
#include "base/str.h"
#include "base/time.h"
#include "secret/hush.h"

#include <string.h>

#define SAID_MAX 4096
/* A year; longer is as good as for ever. */
#define LEASE_MAX_S 31536000

/* The texts of {"errors": [...]} in one line. */
static void join_errors(const json_t *j, struct buf *out)
{
    size_t i;
    json_t *v;
    json_array_foreach (json_object_get(j, "errors"), i, v) {
        const char *s = json_string_value(v);
        if (!s)
            continue;
        if (out->len)
            (void)buf_adds(out, "; ");
        (void)buf_adds(out, s);
    }
}

/* A version of KV 2 that was deleted or destroyed answers 404, and tells so. */
static const char *deleted(const json_t *j)
{
    const json_t *meta = json_object_get(json_object_get(j, "data"), "metadata");
    const char *when = json_get_str(meta, "deletion_time");
    if (json_get_bool(meta, "destroyed", false))
        return "this version was destroyed; name another, or write the secret again";
    if (when && *when)
        return "this version was deleted; undelete it, or write the secret again";
    return NULL;
}

struct meaning {
    int status, code;
    bool refused;
    const char *words;
};
static const struct meaning meanings[] = {
    {400, -EINVAL, true, "it does not accept the request"},
    {403, -E_DENIED, true,
     "permission denied; see that the token's policy allows to read this path"},
    {404, -ENOENT, true, "there is no such secret; check mount, path and kv"},
    {405, -EINVAL, true, "this path cannot be read; check mount, path and kv"},
    {412, -EAGAIN, false, "it has not caught up with its primary yet"},
    {429, -EAGAIN, false, "it is a standby, or a quota is used up"},
    {472, -EAGAIN, false, "it is a recovery replica; name an active server in address or peers"},
    {473, -EAGAIN, false, "it is a performance standby; name an active server in address or peers"},
    {501, -EAGAIN, false, "it is not initialised"},
    {503, -EAGAIN, false, "it is sealed or under maintenance; unseal it"},
};

int hashicorp_refusal(const struct hashicorp_answer *a, const char *token, bool *ret_refused,
                      struct err *e)
{
    struct meaning m = {a->status, -E_PROTO, a->status < 500, "an answer that means nothing here"};
    for (size_t i = 0; i < ARRAY_LEN(meanings); i++)
        if (meanings[i].status == a->status)
            m = meanings[i];
    if (a->status >= 500 && m.code == -E_PROTO)
        m = (struct meaning){a->status, -EAGAIN, false, "it fails"};

    AUTO_JSON json_t *j = NULL;
    AUTO(buf) said = BUF_INIT(SAID_MAX);
    char quote[HUSH_MAX + 8] = "";
    if (json_parse(a->body, a->n, &j, NULL) == 0) {
        join_errors(j, &said);
        if (a->status == 404 && deleted(j))
            m.words = deleted(j);
    }
    (void)hush_quote(buf_str(&said), said.len, false, token, strlen(token), quote);
    secret_wipe(said.data, said.cap);
    *ret_refused = m.refused;
    return err_set(e, m.code, "%s (HTTP %d%s%s)", m.words, a->status, quote[0] ? ": " : "", quote);
}

static int64_t seconds_of(const json_t *o, const char *name)
{
    int64_t s = json_get_int(o, name, 0);
    return s > 0 && s <= LEASE_MAX_S ? s : 0;
}

static int parse(const struct hashicorp_answer *a, json_t **ret, struct err *e)
{
    int r = json_parse(a->body, a->n, ret, e);
    if (r < 0)
        return err_set(e, -E_PROTO,
                       "the answer is not JSON; is address that of a vault, without a path?");
    if (json_is_object(*ret))
        return 0;
    json_decref(*ret);
    *ret = NULL;
    return err_set(e, -E_PROTO, "the answer is not an object");
}

int hashicorp_lease(const struct hashicorp_answer *a, int64_t *ret_ms, struct err *e)
{
    AUTO_JSON json_t *j = NULL;
    int r = parse(a, &j, e);
    if (r < 0)
        return r;
    const char *lease = json_get_str(j, "lease_id");
    int64_t ms = seconds_of(j, "lease_duration") * 1000;
    *ret_ms = lease && *lease ? ms / 3 * 2 : ms;
    return 0;
}

void hashicorp_login_done(struct hashicorp_login *l)
{
    secret_done(&l->token);
}

int hashicorp_login_read(const struct hashicorp_answer *a, struct hashicorp_login *ret,
                         struct err *e)
{
    AUTO_JSON json_t *j = NULL;
    int r = parse(a, &j, e);
    if (r < 0)
        return r;
    const json_t *auth = json_object_get(j, "auth");
    const char *token = json_get_str(auth, "client_token");
    if (!token || !*token || strpbrk(token, "\r\n"))
        return err_set(e, -E_PROTO,
                       "the login brought no token; a second factor cannot be given here");
    r = secret_set(&ret->token, token, strlen(token));
    if (r < 0)
        return err_set(e, r, "no memory for the token");
    ret->lease_ms = seconds_of(auth, "lease_duration") * 1000;
    ret->renewable = json_get_bool(auth, "renewable", false);
    return 0;
}

/* ---- paths ---- */

bool hashicorp_url_add(char *url, size_t cap, const char *path)
{
    static const char hex[] = "0123456789ABCDEF";
    static const char fine[] =
        "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-._~/";
    size_t n = strlen(url);
    for (; *path; path++) {
        if (n + 4 > cap)
            return false;
        if (strchr(fine, *path)) {
            url[n++] = *path;
        } else {
            url[n++] = '%';
            url[n++] = hex[(unsigned char)*path >> 4];
            url[n++] = hex[(unsigned char)*path & 15];
        }
    }
    if (n + 1 > cap)
        return false;
    url[n] = '\0';
    return true;
}

bool hashicorp_path_is(const char *path)
{
    for (const char *p = path;; p++) {
        size_t n = strcspn(p, "/");
        if (n == 0 || (n == 1 && p[0] == '.') || (n == 2 && p[0] == '.' && p[1] == '.'))
            return false;
        p += n;
        if (!*p)
            return true;
    }
}

bool hashicorp_location_is(const char *location, const char *origin, const char *path)
{
    size_t n = strlen(origin);
    return strlen(location) > n && str_ieq_n(location, n, origin, n) &&
           strcmp(location + n, path) == 0;
}
