/* zygote.c - the only process that clones sandboxes.
 *
 * Single-threaded and small on purpose: a sandbox starts as a copy of this process, without exec.
 * It holds no secrets, talks to the worker alone, and lives in the template's mount namespace,
 * where the host's files are not. A create request is checked, turned into descriptors (bind
 * sources), and cloned; the zygote then writes the id maps, which needs rights that the clone must
 * not have, and lets it go. Building the sandbox happens in the clone, so a slow one does not hold
 * up the next.
 *
 * As root every sandbox gets a host uid of its own. As an ordinary user the zygote first moves into
 * a user namespace, and the sandboxes' ids all map to that user.
 *
 * Nothing outlives it: clones die with it (PDEATHSIG, a look at its pidfd once that is set, and
 * init exits when its channel closes), and it ends when the worker's socket closes. */
#include "sandbox/zygote/zygote.h"

#include <fcntl.h>
#include <linux/sched.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <string.h>
#include <sys/pidfd.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/err.h"
#include "base/json.h"
#include "base/list.h"
#include "base/log.h"
#include "base/str.h"
#include "sandbox/cgroup/cgroup.h"
#include "sandbox/build/enter.h"
#include "sandbox/guard/guard.h"
#include "sandbox/zygote/answer.h"
#include "sandbox/zygote/chroot.h"
#include "sandbox/zygote/file_limit.h"
#include "sandbox/zygote/idmap.h"
#include "sandbox/zygote/making.h"
#include "sandbox/zygote/own_layer.h"
#include "sandbox/mounts.h"
#include "sandbox/quotas.h"
#include "sandbox/zygote/rights.h"
#include "sandbox/zygote/template.h"
#include "sandbox/zygote/sealed.h"
#include "sandbox/spec.h"
#include "sandbox/zygote/uids.h"

#define NAMESPACES (CLONE_NEWUSER | CLONE_NEWNS | CLONE_NEWPID | CLONE_NEWIPC | CLONE_NEWUTS)
/* Above the sum of the limits: the memory of init itself, and processes that it still starts when
 * the shell's share is used up. */
#define CGROUP_SPARE_BYTES     (32u << 20)
#define CGROUP_SPARE_PROCESSES 24
#define STOCK_QUIET_MS         10
#define BUSY_GROUP_MS          500   /* until a group that still had processes is looked at again */
#define OOM_SCORE_ADJ          "500" /* sandboxes go before the worker when memory runs out */

struct zygote {
    int ctl, sigfd, proc; /* proc: the host's procfs, verified */
    int self;             /* a pidfd of this process, or -1 */
    bool root;            /* each sandbox gets its own uid */
    bool time_ns;         /* the kernel has time namespaces */
    bool single;          /* nothing is made ahead, after one sandbox it ends, and its client is
                           * woken by the answer alone */
    bool made;            /* a sandbox has been */
    bool deaf;            /* the worker does not read */
    struct quotas quotas; /* of the ordinary user whose the sandboxes are */
    struct uids uids;
    struct rootfs rootfs;
    struct cgroup_root cgroups;
    struct stock stock;
    struct own_layer own_layer;
    struct list live;
};

struct live {
    struct list link;
    pid_t pid;    /* 0: ended, but its cgroup could not be removed yet */
    int uid_lock; /* -1 as an ordinary user */
    struct cgroup cgroup;
    struct sweeps sweeps;
};

/* ---- one sandbox ---- */

/* Which ids the sandbox gets. As root a range of its own, so that it can be root and others inside;
 * where uids are few, and as an ordinary user, the one user it runs as. */
static int choose_ids(struct zygote *z, struct making *m, struct err *e)
{
    const uint32_t inside = m->spec.user == SANDBOX_USER_ROOT ? 0 : SANDBOX_UID;
    m->map = (struct idmap){.inside = inside, .outside = SANDBOX_UID, .count = 1};
    m->host_uid = SANDBOX_UID;
    if (!z->root)
        return 0;
    int r = stock_take_uids(&z->stock, &m->map.outside, &m->uid_lock, e);
    if (r < 0)
        return r;
    m->host_uid = m->map.outside;
    if (z->uids.step > SANDBOX_UID) {
        m->map.inside = 0;
        m->map.count = z->uids.step;
        m->host_uid += inside;
    }
    return 0;
}

/* The other limits have a second line (rlimits, init's looks); this one has none. */
static int check_cpu(const struct zygote *z, const struct cgroup_limits *l, struct err *e)
{
    if (!l->cpu_milli || z->cgroups.version[CGROUP_CPU])
        return 0;
    return err_set(e, -ENOTSUP,
                   "limits: a limit on processors needs a control group; sallyport doctor says "
                   "how to get one. %s",
                   z->cgroups.why_not ? z->cgroups.why_not : "There is none.");
}

/* Everything charged to the sandbox: what its programs may use and what may lie in its file systems
 * in memory. Init watches the programs' part alone. */
static int make_cgroup(struct zygote *z, struct making *m, struct err *e)
{
    const struct sandbox_limits *l = &m->spec.limits;
    const struct cgroup_limits c = {
        .memory_bytes = l->memory_bytes + sandbox_tmpfs_bytes(l->tmp_bytes) + CGROUP_SPARE_BYTES +
                        (m->spec.workspace_dir ? 0 : sandbox_tmpfs_bytes(l->workspace_bytes)),
        .cpu_milli = l->cpu_milli,
        .processes = l->processes + CGROUP_SPARE_PROCESSES,
    };
    int r = check_cpu(z, &c, e);
    if (r >= 0)
        r = stock_take_group(&z->stock, &c, &m->group, e);
    if (r >= 0 || !z->single)
        return r;
    /* Nobody has tried yet what this kernel can. */
    r = cgroup_root_try(&z->cgroups, e);
    if (r >= 0)
        r = check_cpu(z, &c, e);
    return r < 0 ? r : stock_take_group(&z->stock, &c, &m->group, e);
}

static bool has_ended(int pidfd)
{
    struct pollfd p = {.fd = pidfd, .events = POLLIN};
    return poll(&p, 1, 0) == 1;
}

/* Lets the clone out: the id maps are in place. One that has ended already, for want of descriptors
 * for instance, has said why on its channel, and is no failure here. */
static int prepare_clone(struct zygote *z, const struct making *m, pid_t pid, struct err *e)
{
    int r = idmap_apply(z->proc, pid, &m->map, e);
    if (r >= 0)
        r = idmap_write_proc(z->proc, pid, "oom_score_adj", OOM_SCORE_ADJ, e);
    if (r >= 0 && write(m->go[1], "", 1) != 1)
        r = err_set(e, -EPIPE, "the sandbox ended during its start");
    return r < 0 && has_ended(m->pidfd) ? 0 : r;
}

/* What to look at when the kernel makes no process, or none in new namespaces. */
static const char *clone_advice(int code)
{
    return code == EPERM    ? " (are user namespaces enabled? see user.max_user_namespaces)"
           : code == ENOSPC ? " (too many namespaces; see user.max_*_namespaces)"
           : code == EAGAIN ? " (too many processes; see ulimit -u, and pids.max of the worker's "
                              "control group)"
                            : "";
}

/* clone3, as the user who will be root of the sandbox's ids. What the kernel counts for the maker
 * of a user namespace (namespaces, inotify, queues, signals that wait) is that user's then, and so
 * the sandbox's own; root of the machine would have it taken by any of them. */
static long clone_as_owner(const struct zygote *z, const struct making *m, struct clone_args *args)
{
    if (z->root && seteuid(m->map.outside) < 0)
        return -1;
    long pid = syscall(SYS_clone3, args, sizeof(*args));
    const int code = errno;
    if (pid != 0)
        MUST(!z->root || seteuid(0) == 0); /* the capabilities come back with it */
    errno = code;
    return pid;
}

static int clone_sandbox(struct zygote *z, struct making *m, struct err *e)
{
    /* From taking to cloning nothing may come between: see stock_take_net. */
    m->net_ready =
        m->spec.network == SANDBOX_NET_LOOPBACK && stock_take_net(&z->stock, m->spec.n_doors > 0);
    int r = m->net_ready ? capture_open(m->spec.doors, m->spec.n_doors, &m->doors, e) : 0;
    if (r < 0)
        return r;
    struct clone_args args = {
        .flags = NAMESPACES | CLONE_PIDFD | (z->time_ns ? CLONE_NEWTIME : 0u) |
                 (m->net_ready ? 0u : CLONE_NEWNET),
        .pidfd = (uint64_t)(uintptr_t)&m->pidfd,
        .exit_signal = SIGCHLD,
    };
    long pid = clone_as_owner(z, m, &args);
    if (pid == 0) {
        close(m->go[1]);
        struct enter_args birth = {.spec = &m->spec,
                                   .filter = m->filter,
                                   .go_fd = m->go[0],
                                   .channel_fd = m->channel[1],
                                   .workspace_fd = m->workspace,
                                   .root_fd = m->root,
                                   .usr_fd = m->usr,
                                   .own_fd = m->own,
                                   .oom_fd = m->group.oom_fd,
                                   .stat_fd = m->group.stat_fd,
                                   .zygote_fd = z->self,
                                   .entry = m->group.entry,
                                   .bind_fds = m->binds,
                                   .id_range = m->map.count > 1,
                                   .net_ready = m->net_ready,
                                   .quotas = z->root ? NULL : &z->quotas};
        enter_sandbox(&birth);
    }
    if (pid < 0)
        return err_set(e, -errno, "could not clone a sandbox: %m%s", clone_advice(errno));
    return (int)pid;
}

static int create(struct zygote *z, const json_t *request, struct making *m, struct err *e)
{
    int r = sandbox_spec_parse(json_object_get(request, "spec"), &m->spec, e);
    if (r < 0)
        return r;
    m->have_spec = true;
    m->filter = guard_filter_for(&m->spec, e);
    if (!m->filter)
        return e->code;
    r = choose_ids(z, m, e);
    if (r >= 0)
        r = making_open_sources(m, &z->rootfs, &z->own_layer, z->proc, z->root, e);
    if (r >= 0)
        r = sweeps_open(&z->rootfs, &m->spec, &m->sweeps, e);
    if (r >= 0)
        r = make_cgroup(z, m, e);
    if (r < 0)
        return r;
    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, m->channel) < 0 ||
        pipe2(m->go, O_CLOEXEC) < 0)
        return err_set(e, -errno, "could not make descriptors for the sandbox: %m");
    pid_t pid = clone_sandbox(z, m, e);
    if (pid < 0)
        return pid;
    struct live *l = mem_new(struct live);
    l->pid = pid;
    l->uid_lock = TAKE_FD(m->uid_lock);
    l->cgroup = m->group.cgroup;
    m->group.cgroup = (struct cgroup){.name = ""}; /* l's now */
    l->sweeps = m->sweeps;
    m->sweeps = (struct sweeps){.all = NULL}; /* likewise */
    list_push_back(&z->live, &l->link);
    z->made = true;
    r = prepare_clone(z, m, pid, e);
    if (r < 0)
        kill(pid, SIGKILL); /* reaped like any other */
    return r < 0 ? r : pid;
}

static void handle_create(struct zygote *z, const json_t *request)
{
    AUTO(making) m = MAKING_NONE;
    struct err e = {.code = 0};
    int r = create(z, request, &m, &e);
    if (m.group.cgroup.name[0]) /* still ours: nothing has joined it */
        (void)cgroup_remove(&z->cgroups, &m.group.cgroup);
    AUTO_JSON json_t *reply = json_object();
    json_put_int(reply, "seq", json_get_int(request, "seq", 0));
    json_put_bool(reply, "ok", r >= 0);
    if (z->single)
        answer_add_ready(reply, z->cgroups.why_not);
    if (r < 0) {
        json_put_str(reply, "error", e.msg);
        json_put_int(reply, "code", -e.code);
        answer_send(z->ctl, reply, NULL, 0);
    } else {
        json_put_int(reply, "pid", r);
        int fds[ANSWER_FDS_MAX] = {m.channel[0], m.pidfd};
        memcpy(&fds[2], m.doors.fd, m.doors.n * sizeof(int));
        json_put_bool(reply, "doors", m.spec.n_doors > 0 && m.net_ready);
        answer_send(z->ctl, reply, fds, 2 + m.doors.n);
    }
}

/* Gives back what a sandbox held. False when its cgroup still has
 * processes that are about to go. */
static bool release(struct zygote *z, struct live *l)
{
    if (l->cgroup.name[0] && cgroup_remove(&z->cgroups, &l->cgroup) == -EBUSY)
        return false;
    list_remove(&l->link);
    fd_cleanup_close(&l->uid_lock);
    free(l);
    return true;
}

static void tell_moved(void *arg, const json_t *moved)
{
    AUTO_JSON json_t *o = json_object();
    json_put(o, "moved", json_incref((json_t *)(uintptr_t)moved));
    struct zygote *z = arg;
    answer_send_patiently(z->ctl, o, &z->deaf);
}

static void tell_ended(const struct zygote *z, pid_t pid, int status)
{
    AUTO_JSON json_t *o = json_object();
    json_put_int(o, "ended", pid);
    json_put_int(o, "status", status);
    answer_send(z->ctl, o, NULL, 0);
}

static void ended(struct zygote *z, pid_t pid, int status)
{
    LIST_FOREACH_SAFE (l, &z->live, struct live, link) {
        if (l->pid != pid)
            continue;
        sweeps_run(&l->sweeps, tell_moved, z);
        if (!z->single)
            tell_ended(z, pid, status);
        l->pid = 0;
        release(z, l);
        return;
    }
}

/* Collects dead clones, and what earlier ones could not give back at once. True when some of that
 * is left. */
static bool reap(struct zygote *z)
{
    int status;
    bool left = false;
    for (pid_t pid; (pid = waitpid(-1, &status, WNOHANG)) > 0;)
        ended(z, pid, status);
    LIST_FOREACH_SAFE (l, &z->live, struct live, link)
        if (l->pid == 0)
            left |= !release(z, l);
    return left;
}

/* ---- the process ---- */

/* Handles one datagram. False when the worker is gone. */
static bool receive(struct zygote *z)
{
    AUTO_FREE char *text = mem_array(SANDBOX_SPEC_MAX, 1);
    ssize_t n = recv(z->ctl, text, SANDBOX_SPEC_MAX, MSG_TRUNC | MSG_DONTWAIT);
    if (n < 0 && (errno == EAGAIN || errno == EINTR))
        return true;
    if (n <= 0)
        return false;
    AUTO_JSON json_t *o = NULL;
    struct err e = {.code = 0};
    if (n > (ssize_t)SANDBOX_SPEC_MAX || json_parse(text, (size_t)n, &o, &e) < 0 ||
        !str_eq(json_get_str(o, "op"), "create")) {
        log_error("bad request from the worker", "bytes=%zd error=%s", n, log_q(e.msg));
        return false;
    }
    handle_create(z, o);
    explicit_bzero(text, (size_t)n);
    return true;
}

static int prepare(struct zygote *z, struct err *e)
{
    sigset_t mask;
    sigemptyset(&mask);
    sigaddset(&mask, SIGCHLD);
    sigprocmask(SIG_SETMASK, &mask, NULL);
    signal(SIGPIPE, SIG_IGN);
    z->sigfd = signalfd(-1, &mask, SFD_CLOEXEC | SFD_NONBLOCK);
    z->proc = open("/proc", O_PATH | O_DIRECTORY | O_CLOEXEC);
    z->self = pidfd_open(getpid(), 0); /* -1 where a filter refuses it */
    if (z->sigfd < 0 || z->proc < 0)
        return err_set(e, -errno, "could not open descriptors: %m");
    int r = mounts_is_procfs(z->proc);
    if (r < 0)
        return err_set(e, r, "/proc is not a procfs");
    r = chroot_check(e);
    if (r < 0)
        return r;
    const uid_t user = geteuid(); /* in a namespace of our own it would be another number */
    z->root = user == 0;
    /* With the host's view, and before the ids change. */
    r = z->single ? cgroup_root_open_untried(&z->cgroups, e) : cgroup_root_open(&z->cgroups, e);
    if (r >= 0)
        r = z->root ? uids_read(&z->uids, e) : rights_own_namespace(z->proc, &z->quotas, e);
    if (r < 0)
        return r;
    const struct file_limit limit = file_limit_lift();
    signal(SIGXFSZ, SIG_IGN); /* an error of write is enough */
    r = rootfs_build(user, &z->rootfs, e);
    signal(SIGXFSZ, SIG_DFL);
    file_limit_restore(&limit);
    if (r < 0)
        return r;
    r = stock_init(&z->stock, z->root ? &z->uids : NULL, &z->cgroups, e);
    if (r < 0)
        return r;
    z->stock.proc = z->proc;
    AUTO_CLOSE int time_ns = openat(z->proc, "self/ns/time", O_PATH | O_NOFOLLOW | O_CLOEXEC);
    z->time_ns = time_ns >= 0;
    return rights_drop(z->root, e);
}

static void serve(struct zygote *z)
{
    bool left = false;
    for (;;) {
        struct pollfd p[2] = {{.fd = z->ctl, .events = POLLIN}, {.fd = z->sigfd, .events = POLLIN}};
        int n = poll(p, 2, z->single && !left ? -1 : STOCK_QUIET_MS);
        if (n == 0) { /* nobody waits, and the last sandbox has had the processor to start on */
            left = reap(z);
            if (!z->single)
                stock_prepare(&z->stock);
            n = poll(p, 2, left ? BUSY_GROUP_MS : -1);
        }
        if (n < 0 && errno != EINTR)
            return;
        if (p[1].revents) {
            struct signalfd_siginfo si;
            (void)!read(z->sigfd, &si, sizeof(si));
            left = reap(z);
        }
        if (p[0].revents && !receive(z))
            return;
        if (z->single && z->made && list_empty(&z->live)) /* there will be no other */
            return;
    }
}

static void end_all(struct zygote *z)
{
    LIST_FOREACH (l, &z->live, struct live, link)
        if (l->pid > 0)
            kill(l->pid, SIGKILL);
    /* Wait: when we are gone, nothing of ours may be left. */
    LIST_FOREACH_SAFE (l, &z->live, struct live, link) {
        if (l->pid > 0)
            waitpid(l->pid, NULL, 0);
        sweeps_run(&l->sweeps, tell_moved, z);
        for (int i = 0; i < 100 && !release(z, l); i++)
            poll(NULL, 0, 10);
    }
}

static int run(int ctl_fd, bool single)
{
    struct zygote z = {.ctl = ctl_fd,
                       .single = single,
                       .sigfd = -1,
                       .proc = -1,
                       .self = -1,
                       .rootfs = ROOTFS_NONE,
                       .cgroups = CGROUP_ROOT_NONE};
    struct err e = {.code = 0};
    list_init(&z.live);
    prctl(PR_SET_NAME, "sallyport-zygote");
    /* A worker that is killed closes our socket; then there are sandboxes to end, and directories to
     * put in order. */
    prctl(PR_SET_PDEATHSIG, 0);
    json_wipe_when_freed(); /* specifications hold environments, and sandboxes are our copies */
    int r = prepare(&z, &e);
    if (r < 0 || !single)
        answer_hello(z.ctl, r < 0 ? e.msg : NULL, z.cgroups.why_not);
    if (r >= 0)
        serve(&z);
    else
        answer_linger(z.ctl);
    end_all(&z);
    stock_done(&z.stock);
    own_layer_done(&z.own_layer);
    cgroup_root_done(&z.cgroups);
    /* Nothing is left but our own end, for which a client of one sandbox does not wait. */
    close(z.ctl);
    rootfs_done(&z.rootfs);
    fd_cleanup_close(&z.proc);
    fd_cleanup_close(&z.self);
    fd_cleanup_close(&z.sigfd);
    return r < 0 ? 1 : 0;
}

int zygote_serve(int ctl_fd)
{
    return run(ctl_fd, false);
}

int zygote_main(int ctl_fd, unsigned how)
{
    log_init("zygote", how & ZYGOTE_QUIET ? LOG_ERROR : LOG_WARN);
    if (!sealed_is()) {
        struct err e;
        static char quiet[] = "quiet", single[] = "single";
        char *argv[] = {(char[]){"sallyport"}, (char[]){"zygote"}, NULL, NULL, NULL};
        size_t n = 2;
        if (how & ZYGOTE_QUIET)
            argv[n++] = quiet;
        if (how & ZYGOTE_SINGLE)
            argv[n++] = single;
        if (sealed_exec(argv, &e) < 0)
            log_error("could not start from a sealed copy", "error=%s", log_q(e.msg));
        return 1;
    }
    return run(ctl_fd, how & ZYGOTE_SINGLE);
}
