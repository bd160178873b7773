/* try.c - what a keeper would say of a policy, without being one.
 *
 * Called by people's commands (`egress check`), and by those that start a keeper when it has refused
 * a policy and the words shall name the file's lines. The same functions as at a start decide, so
 * that there is one opinion; no secret is read, no variable taken, no process started. On a fiber:
 * sources are made in its scope. The author of the policy controls it. */
#include "egress/keeper/try.h"

#include "egress/keeper/internal.h"
#include "fiber/fiber.h"
#include "io/tls.h"

int egress_try_files(const struct policy *p, struct err *e)
{
    const struct policy_settings *s = policy_settings(p);
    fiber_excuse_hold(); /* OpenSSL is opened for it, and the files are read here */
    int r = s->ca_file ? tls_trust_check(s->ca_file, e) : 0;
    if (r < 0)
        return err_wrap(e, r, "egress.ca_file");
    r = s->otlp && s->otlp->ca_file ? tls_trust_check(s->otlp->ca_file, e) : 0;
    return r < 0 ? err_wrap(e, r, "egress.audit.otlp.ca_file") : 0;
}

int egress_try_policy(const struct policy *p, struct err *e)
{
    struct keeper *k = mem_new(struct keeper);
    k->only_check = true;
    map_init(&k->secrets);
    map_init(&k->old_secrets);
    k->sources = secret_sources_new(&(struct secret_options){.only_check = true});
    int r = egress_try_files(p, e);
    if (r >= 0)
        r = exporter_check(p, e);
    if (r >= 0)
        r = secrets_take_policy(k, p, e);
    secrets_done(k);
    map_done(&k->secrets);
    secret_sources_free(k->sources);
    free(k);
    return r;
}

int egress_try_file(const char *path, struct policy **ret, struct err *e)
{
    struct policy *p = NULL;
    int r = policy_read_file(path, &p, e);
    if (r < 0)
        return r;
    r = egress_try_policy(p, e);
    if (r < 0) {
        policy_unref(p);
        return err_wrap(e, r, "%.200s", path);
    }
    *ret = p;
    return 0;
}
