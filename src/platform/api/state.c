/* state.c - making and releasing what the API keeps in memory between calls.
 *
 * Made on the first call, on the loop thread; only that thread uses it. It can be lost at any
 * time: keys are looked up again, times of last use are hints, and idempotent calls that run
 * hold their own references. */
#include "platform/api/state.h"

#include "crypto/es256.h"
#include "io/pool.h"

struct platform_state *platform_state(struct platform *p)
{
    if (!p->state) {
        p->state = mem_new(struct platform_state);
        map_init(&p->state->api_keys);
        map_init(&p->state->last_used);
        map_init(&p->state->inflight);
    }
    return p->state;
}

int platform_off_loop(struct platform *p, int (*fn)(void *arg), void *arg)
{
    struct platform_state *s = platform_state(p);
    if (!s->parser)
        s->parser = pool_new("parse", 1);
    return pool_call(s->parser, fn, arg);
}

static void free_values(struct map *m)
{
    size_t pos = 0;
    const char *key;
    void *value;
    while (map_next(m, &pos, &key, &value))
        free(value);
    map_done(m);
}

void platform_state_free(struct platform_state *s)
{
    if (!s)
        return;
    free_values(&s->api_keys);
    free_values(&s->last_used);
    pool_free(s->parser);
    accounts_free(s->accounts);
    secret_done(&s->token_key);
    es256_free(s->identity);
    MUST(s->inflight.n == 0);
    map_done(&s->inflight);
    free(s);
}
