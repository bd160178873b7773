/* stock.c - a stock of one.
 *
 * Single-threaded, called by the zygote: prepare when no request is waiting, take while one is
 * served. The network namespace is made by moving the zygote itself into a new one, so that a clone
 * without CLONE_NEWNET is born there. That must never happen twice, so `in_fresh_net` is cleared by
 * the taking, before the clone. It belongs to the zygote's user namespace: what runs in the sandbox
 * has no rights over it.
 *
 * uids are reserved by names in the machine's network namespace (uids.c), where other zygotes see
 * them; so that is entered first. */
#include "sandbox/zygote/stock.h"

#include <fcntl.h>
#include <sched.h>
#include <string.h>
#include <unistd.h>

#include "base/err.h"
#include "base/log.h"
#include "base/str.h"
#include "sandbox/mounts.h"
#include "sandbox/net/capture.h"
#include "sandbox/sandbox.h"

int stock_init(struct stock *a, const struct uids *uids, struct cgroup_root *cgroups, struct err *e)
{
    *a = (struct stock){.uids = uids,
                        .cgroups = cgroups,
                        .proc = -1,
                        .host_net = -1,
                        .uid_lock = -1,
                        .group = STOCK_GROUP_NONE};
    if (!uids)
        return 0;
    a->host_net = open("/proc/self/ns/net", O_RDONLY | O_CLOEXEC);
    a->can_return = a->host_net >= 0 && setns(a->host_net, CLONE_NEWNET) == 0;
    return a->host_net < 0 ? err_set(e, -errno, "could not open /proc/self/ns/net: %m") : 0;
}

void stock_group_close(struct stock_group *g)
{
    fd_cleanup_close(&g->oom_fd);
    fd_cleanup_close(&g->stat_fd);
    cgroup_entry_done(&g->entry);
    g->oom_fd = g->stat_fd = -1;
    g->entry = CGROUP_ENTRY_NONE;
}

static int make_group(struct stock *a, const struct cgroup_limits *l, struct stock_group *ret,
                      struct err *e)
{
    struct stock_group g = STOCK_GROUP_NONE;
    int r = cgroup_make(a->cgroups, l, &g.cgroup, e);
    if (r < 0)
        return r;
    r = cgroup_open_doors(a->cgroups, &g.cgroup, &g.entry, e);
    if (r < 0) {
        (void)cgroup_remove(a->cgroups, &g.cgroup);
        return r;
    }
    g.oom_fd = cgroup_oom_fd(a->cgroups, &g.cgroup);
    g.stat_fd = cgroup_stat_fd(a->cgroups, &g.cgroup);
    *ret = g;
    return 0;
}

static void drop_group(struct stock *a)
{
    stock_group_close(&a->group);
    if (a->group.cgroup.name[0] && cgroup_remove(a->cgroups, &a->group.cgroup) < 0)
        log_warn("an unused group could not be removed", "group=%s", a->group.cgroup.name);
    a->group = STOCK_GROUP_NONE;
}

void stock_done(struct stock *a)
{
    if (!a->cgroups)
        return;
    drop_group(a);
    fd_cleanup_close(&a->uid_lock);
    fd_cleanup_close(&a->host_net);
}

/* Back to where uids are reserved; whatever namespace we were in is given up. */
static int enter_host_net(struct stock *a, struct err *e)
{
    if (!a->can_return) /* then it was never left */
        return 0;
    a->in_fresh_net = false;
    return setns(a->host_net, CLONE_NEWNET) < 0
               ? err_set(e, -errno, "could not enter the machine's network namespace: %m")
               : 0;
}

int stock_take_uids(struct stock *a, uint32_t *ret_first, int *ret_lock, struct err *e)
{
    if (a->uid_lock >= 0) {
        *ret_first = a->first_uid;
        *ret_lock = TAKE_FD(a->uid_lock);
        return 0;
    }
    int r = enter_host_net(a, e);
    return r < 0 ? r : uids_take(a->uids, ret_first, ret_lock, e);
}

bool stock_take_net(struct stock *a, bool routes)
{
    bool fresh = a->in_fresh_net && (a->has_routes || !routes);
    a->in_fresh_net = false;
    return fresh;
}

int stock_take_group(struct stock *a, const struct cgroup_limits *l, struct stock_group *ret,
                     struct err *e)
{
    bool same = a->have_limits && memcmp(&a->limits, l, sizeof(*l)) == 0;
    if (!same)
        drop_group(a);
    a->limits = *l;
    a->have_limits = true;
    if (!a->group.cgroup.name[0])
        return make_group(a, l, ret, e);
    *ret = a->group;
    a->group = STOCK_GROUP_NONE;
    return 0;
}

/* As in contents.c. The namespace is nobody's yet: all groups that a sandbox can have. */
static void allow_ping(const struct stock *a)
{
    AUTO_FREE char *range =
        a->uids ? mem_strdup("0 2147483647\n") : mem_printf("%u %u\n", SANDBOX_UID, SANDBOX_UID);
    AUTO_CLOSE int fd =
        a->proc < 0 ? -1 : mounts_open(a->proc, "sys/net/ipv4/ping_group_range", O_WRONLY);
    if (fd >= 0 && mounts_is_procfs(fd) == 0)
        (void)!write(fd, range, strlen(range));
}

void stock_prepare(struct stock *a)
{
    struct err e = {.code = 0};
    if (a->uids && a->uid_lock < 0) {
        int r = enter_host_net(a, &e);
        if (r >= 0 && (r = uids_take(a->uids, &a->first_uid, &a->uid_lock, &e)) < 0)
            a->uid_lock = -1;
        if (r < 0)
            log_debug("no uids in stock", "error=%s", log_q(e.msg));
    }
    if (!a->in_fresh_net && (!a->uids || a->can_return)) {
        int up = unshare(CLONE_NEWNET) < 0 ? -errno : capture_network_up();
        a->in_fresh_net = up >= 0;
        a->has_routes = up == 0;
        if (a->in_fresh_net)
            allow_ping(a);
    }
    if (a->have_limits && !a->group.cgroup.name[0])
        (void)!make_group(a, &a->limits, &a->group, &e);
}
