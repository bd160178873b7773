/* sandbox.c - one sandbox as a proxy knows it: its sockets, whose it is, what it may, what is searched
 * for in what it sends and gets.
 *
 * Made when the keeper says so, on the channel's fiber; served on a fiber of its own, on which it is
 * also freed, after its last connection. Tables are made again when a secret has become known or has
 * changed: at the next request, not before, so that a sandbox that sends nothing costs nothing. */
#include "egress/proxy/world.h"

#include <unistd.h>

#include "base/err.h"
#include "base/log.h"
#include "base/str.h"
#include "egress/inject/limits.h"
#include "scrub/http/reply.h"
#include "secret/placeholder.h"

struct sandbox *sandbox_new(struct world *w, const char *id)
{
    struct sandbox *s = mem_new(struct sandbox);
    s->w = w;
    str_copy(s->id, sizeof(s->id), id);
    list_init(&s->relays);
    exchange_sandbox_init(&s->x, s->id, w->policy);
    s->x.session = s->session;
    s->x.call = s->call;
    s->x.placeholders = w->placeholders;
    s->x.limits = inject_limits_new();
    s->doors = mem_array(2 * 64, sizeof(*s->doors));
    return s;
}

void sandbox_drop_doors(struct sandbox *s)
{
    for (size_t i = 0; i < s->n_doors; i++)
        fd_cleanup_close(&s->doors[i].fd);
    s->n_doors = 0;
}

void sandbox_free(struct sandbox *s)
{
    sandbox_drop_doors(s);
    free(s->doors);
    front_binding_free(s->front);
    origins_close_binding(s->w->origins, s->id);
    placeholders_forget(s->w->placeholders, s->id);
    inject_watch_unref(s->x.watch);
    inject_limits_free(s->x.limits);
    scrub_table_unref(s->table);
    exchange_sandbox_done(&s->x);
    free(s);
}

int sandbox_serve(void *arg)
{
    struct sandbox *s = arg;
    struct err e = {.code = 0};
    const size_t n = s->n_doors;
    s->n_doors = 0; /* taken over, in every case */
    int r = front_binding_new(s->w->front, s->id, s->x.policy, s->doors, n, s, &s->front, &e);
    if (r < 0)
        log_error("a sandbox's sockets cannot be served", "sandbox=%s error=%s", s->id,
                  log_q(e.msg));
    else if (s->released)
        r = 0;
    else
        r = front_binding_run(s->front);
    map_remove(&s->w->sandboxes, s->id);
    sandbox_free(s);
    return r == -ECANCELED ? r : 0;
}

void sandbox_release(struct sandbox *s)
{
    if (!s->serving) {
        map_remove(&s->w->sandboxes, s->id);
        sandbox_free(s);
        return;
    }
    s->released = true;
    if (s->front)
        front_binding_stop(s->front);
}

void sandbox_set_policy(struct sandbox *s, struct policy *p)
{
    size_t cut = exchange_set_policy(&s->x, p);
    relays_check(s, p);
    if (s->front)
        front_binding_set_policy(s->front, p);
    origins_close_binding(s->w->origins, s->id);
    if (cut)
        log_info("requests were cut off by a new policy", "sandbox=%s n=%zu", s->id, cut);
}

/* Those that are known: of the policy's credentials, all of which are every sandbox's, and what they were. */
static struct inject_secret *known_secrets(const struct world *w, size_t *ret_n)
{
    AUTO_FREE struct values_known *known = NULL;
    *ret_n = values_known(w->values, &known);
    struct inject_secret *secrets = mem_array(*ret_n + 1, sizeof(*secrets));
    for (size_t i = 0; i < *ret_n; i++)
        secrets[i] = (struct inject_secret){known[i].credential, value_secret(known[i].value)};
    return secrets;
}

int sandbox_refresh(struct sandbox *s, struct err *e)
{
    const uint64_t generation = values_generation(s->w->values);
    if (s->generation == generation)
        return 0;
    size_t n;
    AUTO_FREE struct inject_secret *secrets = known_secrets(s->w, &n);
    struct inject_watch *watch = NULL;
    struct scrub_table *table = NULL;
    int r = inject_watch_new(s->w->placeholders, s->id, secrets, n, &watch, e);
    if (r >= 0 && n > 0)
        r = inject_reply_table(s->w->placeholders, s->id, secrets, n, &table, e);
    if (r < 0) {
        inject_watch_unref(watch);
        return r;
    }
    inject_watch_unref(s->x.watch);
    scrub_table_unref(s->table);
    s->x.watch = watch;
    s->table = table;
    s->generation = generation;
    return 0;
}

void sandbox_forget(struct sandbox *s)
{
    if (!list_empty(&s->x.open)) /* it is made anew when more comes of an answer */
        return;
    inject_watch_unref(s->x.watch);
    scrub_table_unref(s->table);
    s->x.watch = NULL;
    s->table = NULL;
    s->generation = 0;
}
