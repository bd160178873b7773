/* model.c - what all providers share: printing a request, releasing a result, and the meaning of a
 * status.
 *
 * Called by providers and by the turn, on the fiber that asked; model_print alone suspends: a
 * conversation has up to LIMIT_MODEL_CONTEXT_BYTES, and nobody else may wait for it to be printed.
 * Its thread ends by itself when there is nothing to print. The status comes from the
 * peer that answers at the provider's address, so every number has a meaning here: a status that is
 * not known as a client's mistake counts as trouble that may pass. */
#include "brain/model.h"

#include "io/pool.h"

#define PRINT_HERE_BYTES (64u << 10)

struct printing {
    const json_t *j;
    char *text;
    size_t n;
    void (*also)(void *arg, const char *text, size_t n);
    void *arg;
};

static int print(void *arg)
{
    struct printing *p = arg;
    p->text = json_text(p->j, &p->n);
    if (p->also)
        p->also(p->arg, p->text, p->n);
    return 0;
}

char *model_print(const json_t *j, size_t *ret_len,
                  void (*also)(void *arg, const char *text, size_t n), void *arg)
{
    static struct pool *printer; /* for the life of the process */
    struct printing p = {.j = j, .also = also, .arg = arg};
    if (json_weight(j, PRINT_HERE_BYTES) < PRINT_HERE_BYTES) {
        (void)print(&p);
    } else {
        if (!printer)
            printer = pool_new("print", 1);
        (void)pool_call(printer, print, &p);
    }
    *ret_len = p.n;
    return p.text;
}

void model_result_done(struct model_result *r)
{
    if (!r)
        return;
    json_decref(r->content);
    json_decref(r->stop_details);
    r->content = r->stop_details = NULL;
}

enum model_error model_error_of_status(int status)
{
    switch (status) {
    case 401:
    case 403:
        return MODEL_UNAUTHORIZED;
    case 402:
        return MODEL_BILLING;
    case 408:
    case 409:
        return MODEL_FAILED; /* a timeout or a conflict on their side: may be tried again */
    case 413:
        return MODEL_TOO_LONG;
    case 429:
        return MODEL_RATE_LIMITED;
    case 529:
        return MODEL_OVERLOADED;
    }
    return status >= 400 && status < 500 ? MODEL_REJECTED : MODEL_FAILED;
}
