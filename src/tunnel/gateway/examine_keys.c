/* examine_keys.c - whether callers could be told from strangers, where they show tokens.
 *
 * Called by the doctor, which reads the operator's files and is its user. A file is read as the gateway reads it; an
 * issuer is asked as the keeper asks it (caller_fetch), and what it answers is read as the gateway reads it: bounded, and
 * in a process that keeps none of it. Nothing of a key is shown but how many there are. */
#include "base/buf.h"
#include "base/time.h"
#include "io/pool.h"
#include "oauth/jwks.h"
#include "tunnel/gateway/caller_fetch.h"
#include "tunnel/gateway/caller_keys.h"
#include "tunnel/gateway/examine_internal.h"
#include "tunnel/gateway/face.h"

static const char lost_file[] = "the gateway does not start";
static const char lost_url[] = "nobody is let in";

struct reading {
    const struct gateway_config *config;
    struct caller_keys *ret;
    struct err err;
};

/* On a thread. */
static int read_file(void *arg)
{
    struct reading *d = arg;
    return face_caller_keys(d->config, &d->ret, &d->err);
}

static void look_at_file(const struct examine *x)
{
    struct reading d = {.config = x->config};
    int r = pool_call(x->pool, read_file, &d);
    if (r < 0)
        TELL(x, EXAMINE_FILES, "caller_keys", "callers' keys", FINDING_FAIL, lost_file,
             "name a file with the issuer's public keys (a JSON Web Key Set), as it publishes them",
             "%s", d.err.msg);
    else
        TELL(x, EXAMINE_FILES, "caller_keys", "callers' keys", FINDING_OK, NULL, NULL,
             "%s: a caller's token has to be signed by one that is in it",
             x->config->callers.jwks_file);
    caller_keys_unref(d.ret);
}

static const char *fix_for(int code)
{
    switch (code) {
    case -E_TLS:
        return "callers.jwt.ca_file: FILE, when the issuer's authority is your own; or a "
               "certificate for this name";
    case -E_PROTO:
    case -E_PARSE:
    case -E_LIMIT:
    case -EMSGSIZE:
        return "callers.jwt.jwks_url: the address of the issuer's keys, as its metadata say "
               "(jwks_uri)";
    default:
        return "is the issuer running, and may this machine reach callers.jwt.jwks_url?";
    }
}

static void look_at_url(const struct examine *x)
{
    const struct gateway_callers *c = &x->config->callers;
    const int64_t began_ns = time_mono_ns();
    struct client_response got = {0};
    struct jwks *set = NULL;
    struct err e = {0};
    int r = caller_keys_fetch(c->jwks_url, c->ca_file, &got, &e);
    const double took_ms = (double)((time_mono_ns() - began_ns) / 1000) / 1000;
    if (r == 0)
        r = jwks_parse(buf_str(&got.body), got.body.len, &set, &e);
    if (r < 0)
        TELL(x, EXAMINE_FILES, "caller_keys", "callers' keys", FINDING_FAIL, lost_url, fix_for(r),
             "%s", e.msg[0] ? e.msg : err_text(r));
    else
        TELL(x, EXAMINE_FILES, "caller_keys", "callers' keys", FINDING_OK, NULL, NULL,
             "the issuer publishes %zu that can be used, after %.1f ms", jwks_count(set), took_ms);
    jwks_unref(set);
    client_response_done(&got);
}

void examine_keys(struct examine *x)
{
    if (x->config->callers.jwks_file)
        look_at_file(x);
    else if (x->config->callers.jwks_url)
        look_at_url(x);
}
