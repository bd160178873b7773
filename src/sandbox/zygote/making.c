/* making.c - what the zygote opens for one sandbox, and closes when it is on its way.
 *
 * Called by zygote.c, once for each request, in the template's mount namespace; a look at the host's
 * files is template.c's. Paths come from the worker and have passed spec.c, what lies at them may be
 * anything. The clone has copies of all of this and closes what is not its own (build/enter.c). */
#include "sandbox/zygote/making.h"

#include <errno.h>
#include <unistd.h>

#include "base/err.h"
#include "base/log.h"
#include "sandbox/build/root.h"
#include "sandbox/zygote/own_layer.h"
#include "sandbox/zygote/template.h"

void making_done(struct making *m)
{
    int *fds[] = {&m->channel[0], &m->channel[1], &m->go[0], &m->go[1],    &m->workspace,
                  &m->root,       &m->usr,        &m->own,   &m->uid_lock, &m->pidfd};
    for (size_t i = 0; i < ARRAY_LEN(fds); i++)
        fd_cleanup_close(fds[i]);
    for (size_t i = 0; m->binds && i < m->spec.n_binds; i++)
        fd_cleanup_close(&m->binds[i]);
    free(m->binds);
    sweeps_done(&m->sweeps);
    stock_group_close(&m->group);
    capture_doors_close(&m->doors);
    if (m->have_spec)
        sandbox_spec_done(&m->spec);
}

/* The layers of a root whose files belong to the sandbox's own ids. */
static int open_layers(struct making *m, const struct rootfs *host, int proc, struct err *e)
{
    const struct idmap *map = m->map.count > 1 ? &m->map : NULL;
    if (m->spec.rootfs_dir) {
        const struct rootfs_tree how = {.give_to = -1, .owner_is = -1, .map = map, .proc = proc};
        m->root = rootfs_host_tree(host, m->spec.rootfs_dir, &how, e);
        return m->root < 0 ? err_wrap(e, m->root, "rootfs") : 0;
    }
    if (m->spec.user == SANDBOX_USER_ROOT && map) {
        int r = m->root = rootfs_template_tree("/etc", map, proc, e);
        if (r >= 0)
            r = m->usr = rootfs_template_tree("/usr", map, proc, e);
        if (r >= 0 || r != -EINVAL)
            return r;
        /* tmpfs before Linux 6.3 cannot translate owners: then root inside owns nothing of the
         * system and changes nothing of it. */
        log_info("root in this sandbox does not own the system's files", "error=%s", log_q(e->msg));
        fd_cleanup_close(&m->root);
    }
    if (!root_has_own_etc(&m->spec))
        return 0; /* nothing of the template lies below anything */
    m->root = rootfs_template_tree("/etc", NULL, proc, e); /* to lie below its own */
    return m->root;
}

int making_open_sources(struct making *m, const struct rootfs *host, struct own_layer *own,
                        int proc, bool as_root, struct err *e)
{
    int r = open_layers(m, host, proc, e);
    if (r >= 0 && own_layer_fits(&m->spec))
        r = m->own = own_layer_open(own, &m->spec, e);
    if (r < 0)
        return r;
    if (m->spec.workspace_dir) {
        const struct rootfs_tree how = {
            .write = true, .give_to = as_root ? (int64_t)m->host_uid : -1, .owner_is = -1};
        m->workspace = rootfs_host_tree(host, m->spec.workspace_dir, &how, e);
        if (m->workspace < 0)
            return m->workspace;
    }
    m->binds = mem_array(m->spec.n_binds, sizeof(int));
    for (size_t i = 0; i < m->spec.n_binds; i++)
        m->binds[i] = -1;
    for (size_t i = 0; i < m->spec.n_binds; i++) {
        const struct sandbox_bind *b = &m->spec.binds[i];
        const struct rootfs_tree how = {.write = b->write,
                                        .socket = b->socket,
                                        .give_to = -1,
                                        .owner_is = as_root ? (int64_t)m->host_uid : -1,
                                        .proc = proc};
        m->binds[i] = rootfs_host_tree(host, b->source, &how, e);
        if (m->binds[i] < 0)
            return m->binds[i];
    }
    return 0;
}
