/* base.c - version 2: finding, preparing and arranging the group that was delegated to us.
 *
 * Called by cgroup_root_open when a zygote starts. Version 2 has two rules that shape this file. A
 * group that hands controllers to the groups below it (cgroup.subtree_control) may have no
 * processes of its own, unless it is the root. And the tree has one manager, mostly systemd, which
 * rearranges what it has not handed over: limits set in a unit without Delegate=yes can vanish on
 * the next `systemctl daemon-reload`. So a group is used only with a sign that it is ours to
 * arrange:
 *
 *   it is the root of the hierarchy,                 nobody is above us, or a container was given
 *   or of our cgroup namespace                       a writable hierarchy on purpose
 *
 *   its xattr trusted.delegate or user.delegate      systemd's Delegate=yes
 *   is "1"
 *
 *   its directory is ours and what limits it         delegated by hand or by an older systemd
 *   is not                                           (cgroup-v2.rst, "Model of Delegation")
 *
 *   it has no unit's name                            whoever made it is not systemd
 *
 * Moving the processes is the one thing here that reaches beyond our own groups. It is undone when
 * the controllers cannot be had after all. */
#include "sandbox/cgroup/base.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "base/err.h"
#include "base/log.h"
#include "base/str.h"
#include "sandbox/cgroup/file.h"

#define MOVE_PASSES 16 /* processes may fork while they are moved */

/* Every group has this file but the root of the whole hierarchy. */
static bool is_hierarchy_root(int dir)
{
    struct stat st;
    return fstatat(dir, "cgroup.type", &st, 0) < 0 && errno == ENOENT;
}

static bool xattr_says(int dir, const char *name)
{
    char v[8];
    ssize_t n = fgetxattr(dir, name, v, sizeof(v));
    return n == 1 && v[0] == '1';
}

/* Of delegated groups only cgroup.procs, cgroup.threads and cgroup.subtree_control change hands. */
static bool handed_over(int dir)
{
    struct stat d, procs, control, kept;
    uid_t me = geteuid();
    return me != 0 && fstat(dir, &d) == 0 && fstatat(dir, "cgroup.procs", &procs, 0) == 0 &&
           fstatat(dir, "cgroup.subtree_control", &control, 0) == 0 &&
           fstatat(dir, "cgroup.max.depth", &kept, 0) == 0 && d.st_uid == me &&
           procs.st_uid == me && control.st_uid == me && kept.st_uid != me;
}

static bool delegated(int dir)
{
    return xattr_says(dir, "trusted.delegate") || xattr_says(dir, "user.delegate") ||
           handed_over(dir);
}

/* ---- moving processes out of the way ---- */

struct move {
    int to;
    size_t moved;
};

static int move_one(void *arg, uint64_t pid)
{
    struct move *m = arg;
    if (pid == 0)
        return -EREMOTE; /* writing 0 would move ourselves */
    char text[24];
    snprintf(text, sizeof(text), "%llu", (unsigned long long)pid);
    int r = cgroup_write(m->to, "cgroup.procs", text);
    if (r == 0)
        m->moved++;
    return r == -ESRCH ? 0 : r; /* it has ended */
}

static int move_all(int from, int to)
{
    for (int pass = 0; pass < MOVE_PASSES; pass++) {
        struct move m = {.to = to};
        int r = cgroup_each_pid(from, move_one, &m);
        if (r < 0)
            return r;
        if (m.moved == 0)
            return 0;
    }
    return -EAGAIN;
}

/* ---- handing controllers down ---- */

static int enable(int dir, const char *controller)
{
    char text[24];
    if (cgroup_has_word(dir, "cgroup.subtree_control", controller))
        return 0;
    snprintf(text, sizeof(text), "+%s", controller);
    int r = cgroup_write(dir, "cgroup.subtree_control", text);
    if (r == 0 && !cgroup_has_word(dir, "cgroup.subtree_control", controller))
        r = -EIO;
    return r;
}

/* How many of the controllers the groups below `dir` have now. */
static size_t enable_all(int dir, const char *path, const char *const *want, size_t n, bool *ret_on,
                         char **ret_why)
{
    size_t on = 0;
    for (size_t i = 0; i < n; i++) {
        free(TAKE(ret_why[i]));
        int r =
            cgroup_has_word(dir, "cgroup.controllers", want[i]) ? enable(dir, want[i]) : -ENODEV;
        ret_on[i] = r == 0;
        on += r == 0;
        if (r == -ENODEV)
            ret_why[i] = mem_printf("the group %s was not given this controller (systemd: "
                                    "Delegate=yes; otherwise enable it in the "
                                    "cgroup.subtree_control of the group above)",
                                    path);
        else if (r < 0)
            ret_why[i] = mem_printf("%s/cgroup.subtree_control does not take +%s (%s)", path,
                                    want[i], err_text(r));
    }
    return on;
}

static int one_is_there(void *arg, uint64_t pid)
{
    (void)arg;
    (void)pid;
    return -EBUSY;
}

/* True when there is something to hand down and processes are in the way. Asked rather than tried:
 * cpu and pids can be enabled beside processes, which turns the groups below into ones that take
 * only threads ("domain invalid"). */
static bool wants_move(int dir, const char *const *want, size_t n)
{
    bool any = false;
    for (size_t i = 0; i < n; i++)
        any |= cgroup_has_word(dir, "cgroup.controllers", want[i]);
    return any && cgroup_each_pid(dir, one_is_there, NULL) == -EBUSY;
}

/* Empties `dir` into a leaf and enables what it can. */
static int clear_and_enable(int dir, const char *path, const char *const *want, size_t n,
                            bool *ret_on, char **ret_why, struct err *e)
{
    bool made = mkdirat(dir, CGROUP_MAIN, 0755) == 0;
    if (!made && errno != EEXIST)
        return err_set(e, -errno, "no group can be made in %s (%m)", path);
    AUTO_CLOSE int leaf = cgroup_dir_below(dir, CGROUP_MAIN);
    int r = leaf < 0 ? leaf : move_all(dir, leaf);
    if (r < 0)
        (void)err_set(e, r, "the processes in %s cannot be moved to a leaf of it (%s)", path,
                      err_text(r));
    else if (enable_all(dir, path, want, n, ret_on, ret_why) > 0) {
        log_info("processes moved to make room for limits", "group=%s leaf=%s", log_q(path),
                 CGROUP_MAIN);
        return 0;
    } else
        r = err_set(e, -ENODEV, "%s", ret_why[0]);
    if (made && leaf >= 0) {
        int back = move_all(leaf, dir);
        if (back == 0 && unlinkat(dir, CGROUP_MAIN, AT_REMOVEDIR) < 0)
            back = -errno;
        if (back < 0)
            log_warn("processes could not be moved back", "group=%s error=%s", log_q(path),
                     err_name(back));
    }
    return r;
}

/* The group above our own, when ours is but a leaf of what was delegated. */
static int open_parent(const struct cgroup_where *w, char **ret_path)
{
    const char *slash = strrchr(w->group, '/');
    const char *name = slash ? slash + 1 : w->group;
    if (!name[0] || cgroup_is_unit(name)) /* units next to us would be disturbed */
        return -ENOENT;
    AUTO_FREE char *group = mem_strndup(w->group, slash ? (size_t)(slash - w->group) : 0);
    AUTO_CLOSE int dir = cgroup_dir_open(w->mount, group, w->dev_major, w->dev_minor, NULL);
    if (dir < 0)
        return dir;
    if (!str_eq(name, CGROUP_MAIN) && !delegated(dir))
        return -EPERM;
    *ret_path = mem_printf("/%s", group);
    return TAKE_FD(dir);
}

int cgroup_base_open(const struct cgroup_where *w, const char *const *want, size_t n, bool *ret_on,
                     char **ret_why, struct err *e)
{
    AUTO_FREE char *path = NULL;
    AUTO_CLOSE int dir = open_parent(w, &path);
    bool above = dir >= 0;
    if (!above) {
        path = mem_strdup(w->path);
        dir = cgroup_dir_open(w->mount, w->group, w->dev_major, w->dev_minor, e);
        if (dir < 0)
            return dir;
    }
    bool top = is_hierarchy_root(dir);
    bool ours = top || above || str_eq(path, "/") || delegated(dir) || !cgroup_is_unit(path);
    if (!ours)
        return err_set(e, -EPERM,
                       "our group %s belongs to systemd and is not delegated to us: give the unit "
                       "Delegate=yes, or start with systemd-run %s--scope -p Delegate=yes",
                       path, geteuid() ? "--user " : "");
    if (!top && wants_move(dir, want, n)) {
        int r = clear_and_enable(dir, path, want, n, ret_on, ret_why, e);
        return r < 0 ? r : TAKE_FD(dir);
    }
    if (enable_all(dir, path, want, n, ret_on, ret_why) == 0)
        return err_set(e, -ENODEV, "%s", ret_why[0]);
    return TAKE_FD(dir);
}
