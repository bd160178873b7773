/* open.c - one sandbox made from nothing.
 *
 * Called on fibers, by host.c for a session and by warm.c ahead of one. A directory of the state
 * directory for the workspace, where one is asked for, and then it is the engine's: it makes the
 * sandbox and attaches the box to it. Whatever fails on the way, closing the box undoes what there
 * is. Nothing that comes out of a sandbox is looked at here. */
#include "box/open.h"

#include <string.h>

#include "base/str.h"
#include "box/engine.h"
#include "crypto/cert_hash.h"
#include "sandbox/spec.h"

/* The hash of a certificate, which is the same one for all sandboxes of a worker: found out once. */
static int hash_of(const char *pem, char ret[CERT_HASH_BYTES], struct err *e)
{
    static char *last, hash[CERT_HASH_BYTES];
    if (!str_eq(last, pem)) {
        int r = cert_hash_of_pem(pem, hash, e);
        if (r < 0)
            return r;
        free(last);
        last = mem_strdup(pem);
    }
    memcpy(ret, hash, sizeof(hash));
    return 0;
}

/* A shallow copy of `plain` goes to the engine: the hash is only ours to set. */
static int open_engine(struct box *b, const struct sandbox_spec *plain, struct err *e)
{
    char hash[CERT_HASH_BYTES];
    struct sandbox_spec spec = *plain;
    int r = sandbox_spec_check(&spec, e);
    if (r >= 0 && spec.ca_pem && !spec.ca_hash) {
        r = hash_of(spec.ca_pem, hash, e); /* not the cache's: another may be asked for meanwhile */
        spec.ca_hash = hash;
    }
    return r < 0 ? r : b->host->engine->open(b, &spec, e);
}

/* A sandbox with a way out: made with what whoever holds that asks for. */
static int open_outside(struct box *b, const struct sandbox_spec *plain, struct err *e)
{
    const struct box_outside *o = b->host->outside;
    AUTO_JSON json_t *text = sandbox_spec_json(plain);
    AUTO(sandbox_spec) spec = {.env = NULL};
    int r = sandbox_spec_parse(text, &spec, e);
    if (r >= 0)
        r = o->grant(o->arg, &spec, b->outside, e);
    if (r >= 0)
        r = open_engine(b, &spec, e);
    if (r < 0)
        return r;
    size_t n;
    const struct box_door *doors = box_doors(b, &n);
    return o->bind(o->arg, b->outside, doors, n, e);
}

static int open_with(struct box *b, const struct box_spec *spec, struct err *e)
{
    struct box_host *h = b->host;
    struct sandbox_spec chosen;
    sandbox_spec_init(&chosen);
    /* A shallow copy: only workspace_dir is ours to set, and to take out again. */
    if (spec->sandbox)
        chosen = *spec->sandbox;
    if (spec->disk_workspace) {
        if (!h->have_state)
            return err_set(e, -EINVAL, "a workspace on disk needs a state directory");
        b->dir = state_make(&h->state, e);
        if (!b->dir)
            return e->code;
        chosen.workspace_dir = b->dir;
    }
    return h->outside ? open_outside(b, &chosen, e) : open_engine(b, &chosen, e);
}

int box_open_cold(struct box_host *h, const struct box_spec *spec, struct box **ret, struct err *e)
{
    struct box *b = box_new(h);
    int r = open_with(b, spec, e);
    if (r < 0) {
        box_close(b);
        return r;
    }
    *ret = b;
    return 0;
}
