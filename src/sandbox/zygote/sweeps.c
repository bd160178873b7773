/* sweeps.c - who sweeps, and when.
 *
 * The zygote does: it sees the host's directories, it knows when a sandbox's init is reaped, before
 * which the kernel has ended every other process of that sandbox, and it is there when the worker
 * has been killed. Two sandboxes that share a directory sweep it one after the other. */
#include "sandbox/zygote/sweeps.h"

#include <sys/stat.h>

#include "base/str.h"
#include "sandbox/orders/sweep.h"
#include "sandbox/spec.h"
#include "sandbox/zygote/template.h"

struct listener {
    void (*tell)(void *arg, const json_t *moved);
    void *arg;
};

static void moved(void *arg, const struct sweep_moved *m)
{
    const struct listener *l = arg;
    AUTO_JSON json_t *o = json_object();
    json_put_str(o, "dir", m->dir);
    json_put_str(o, "name", m->name);
    if (m->now)
        json_put_str(o, "now", m->now);
    json_put_bool(o, "replaced", m->replaced);
    l->tell(l->arg, o);
}

int sweeps_open(const struct rootfs *r, const struct sandbox_spec *spec, struct sweeps *ret,
                struct err *e)
{
    struct sweeps s = {.all = spec->n_binds ? mem_array(spec->n_binds, sizeof(*s.all)) : NULL};
    for (size_t i = 0; i < spec->n_binds; i++) {
        const struct sandbox_bind *b = &spec->binds[i];
        if (!b->write || b->all)
            continue;
        int dir = rootfs_host_dir(r, b->source, e);
        if (dir == -ENOTDIR)
            continue;
        int opened = dir < 0 ? dir : sweep_new(dir, b->source, spec, &s.all[s.n], e);
        if (opened < 0) {
            sweeps_done(&s);
            return opened;
        }
        s.n++;
    }
    *ret = s;
    return 0;
}

void sweeps_run(struct sweeps *s, void (*tell)(void *arg, const json_t *moved), void *arg)
{
    struct listener l = {tell, arg};
    for (size_t i = 0; i < s->n; i++)
        sweep_run(s->all[i], moved, &l);
    sweeps_done(s);
}

void sweeps_done(struct sweeps *s)
{
    for (size_t i = 0; i < s->n; i++)
        sweep_free(s->all[i]);
    free(s->all);
    *s = (struct sweeps){.all = NULL};
}
