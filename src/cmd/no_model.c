/* no_model.c - the model of a server that was started without one.
 *
 * Called by the brain like any provider. It fails every request with the sentence an operator
 * needs; the brain turns that into a session.error. It exists so that everything else of a server
 * can be used, and tried, before a key is at hand. */
#include "cmd/no_model.h"

#include "base/err.h"

#include <string.h>

static int generate(struct model *m, const struct model_request *q, const struct model_sink *sink,
                    struct model_result *r, struct err *e)
{
    (void)m, (void)q, (void)sink;
    memset(r, 0, sizeof(*r));
    r->error = MODEL_UNAUTHORIZED;
    r->retry_after_ms = -1;
    return err_set(e, -E_DENIED,
                   "No model is configured. Start the server with ANTHROPIC_API_KEY set in its "
                   "environment, or with --script FILE for scripted answers.");
}

static void unfree(struct model *m)
{
    (void)m;
}

static const struct model_ops ops = {.generate = generate, .free = unfree};
static struct model none = {.ops = &ops, .name = "none"};

struct model *no_model(void)
{
    return &none;
}
