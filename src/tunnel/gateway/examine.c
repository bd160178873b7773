/* examine.c - what is looked at, in which order.
 *
 * On the root fiber of `sallyport gateway doctor`, which is a process of its own and ends afterwards. It goes
 * the same ways as a gateway, by the same functions, and writes nothing anywhere. What depends on something
 * that is missing is told as not looked at, with why: no finding is ever left out, and none is ok that was
 * not seen to be. */
#include "tunnel/gateway/examine_internal.h"

#include "crypto/cert.h"
#include "io/pool.h"
#include "io/resolve.h"
#include "secret/source.h"

#include <stdarg.h>

#include "base/buf.h"

#define TEXT_MAX 4096

void examine_tell(const struct examine *x, const struct finding *f, const char *fmt, ...)
{
    AUTO(buf) text = BUF_INIT(TEXT_MAX);
    struct finding whole = *f;
    va_list ap;
    va_start(ap, fmt);
    (void)buf_addv(&text, fmt, ap);
    va_end(ap);
    whole.text = buf_str(&text);
    x->o->found(x->o->arg, &whole);
}

static void look(struct examine *x)
{
    examine_files(x);
    const struct gateway_config *c = x->config;
    if (!c) {
        TELL(x, EXAMINE_EDGE, "edge", "edge", FINDING_UNTRIED, NULL, NULL,
             "there is no configuration to go by");
        TELL(x, EXAMINE_ROUTES, "routes", "routes", FINDING_UNTRIED, NULL, NULL,
             "there is no configuration to go by");
        return;
    }
    if (c->edge.host.kind != HOST_NONE)
        examine_edge(x);
    else
        TELL(x, EXAMINE_EDGE, "edge", "edge", FINDING_UNTRIED, NULL, NULL,
             "none is dialled: a connector brings callers to listen_addr, and what is in its way "
             "is not "
             "seen from here");
    examine_routes(x);
    examine_tokens(x);
}

void gateway_examine(const struct examine_options *o, struct gateway_config **ret_config)
{
    struct examine x = {.o = o};
    struct err e = {0};
    secret_wipe_when_freed();
    x.pool = pool_new("doctor", 1);
    int r =
        x.pool ? resolver_new(NULL, &x.resolver, &e) : err_set(&e, -ENOMEM, "no threads for files");
    if (r == 0)
        look(&x);
    else
        TELL(&x, EXAMINE_FILES, "start", "start", FINDING_FAIL, "nothing was looked at", NULL, "%s",
             e.msg);
    *ret_config = x.config;
    cert_identity_unref(x.identity);
    cert_identity_unref(x.shown);
    own_addresses_done(&x.own);
    resolver_free(x.resolver);
    pool_free(x.pool);
}
