/* enter.c - the birth of a sandbox, in the order in which it happens.
 *
 * Everything here runs in one process: the clone that the zygote has made in new user, mount, pid,
 * IPC, UTS and (but for one made ahead) network namespaces, and that becomes init. Its mount
 * namespace is a locked copy of the template, so no host file system is in sight, and nothing
 * untrusted runs before init does. "Capabilities" are those in the new user namespace; the process
 * never has any elsewhere.
 *
 *   stage      capabilities   what it makes                          what cannot be undone
 *   1 alone    all; no id     a row of descriptors: /dev/null,       every other descriptor of
 *                             init's channel, what init keeps,       the zygote is closed
 *                             what the stages need
 *   2 builder  all; root of   waits for the id maps; session,        supplementary groups are
 *              the namespace  keyring, cgroup namespace, host name,  gone, where the namespace
 *              or the one id  processors, umask                      allows it (lockdown.c)
 *   3 root     the same       scratch tmpfs, root (root.c), /proc,   the template's root is
 *                             /tmp, /workspace, binds (contents.c)   detached: no way back
 *   4 user     all; sandbox's brings lo up and opens the doors,      nothing: who has all
 *              user           where they are wanted and not          capabilities could go back
 *                             there already
 *   5 locked   none           limits, empty bounding set, empty      all of it (lockdown.c): the
 *                             sets, not dumpable, PDEATHSIG,         kernel is then asked
 *                             no_new_privs, Landlock, guard, seccomp whether it took
 *   6 serving  none           init's loop; programs are born here    the descriptors of the
 *                                                                    building are closed
 *
 * The zygote, outside, writes the id maps and sends the byte that lets stage 2 begin; it needs
 * rights for that which this process must not have. A mount is made in stage 3 or never: locking
 * takes the capability, and the filter the calls. A stage that fails is told to the worker in one
 * sentence and ends the process; so does a zygote that dies. */
#include "sandbox/build/enter.h"

#include <fcntl.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/err.h"
#include "base/str.h"
#include "sandbox/build/contents.h"
#include "sandbox/build/root.h"
#include "sandbox/build/size_files.h"
#include "sandbox/frame.h"
#include "sandbox/guard/guard.h"
#include "sandbox/init/init.h"
#include "sandbox/lock/lockdown.h"
#include "sandbox/mounts.h"
#include "sandbox/net/capture.h"
#include "sandbox/sandbox.h"

#define CHANNEL_FD 3
#define KEPT_MAX   6 /* descriptors that init keeps, in a row from the channel on */

/* ---- 1: alone, with the descriptors that are ours ---- */

/* Moves descriptors out of the way, then puts them down in a row from `first` on. The number after
 * the last one, or -errno; the descriptors are good then, too, so that the failure can be told. */
static int place_in_row(int *const *fds, int n, int first)
{
    for (int i = 0; i < n; i++)
        if (*fds[i] >= 0) {
            int moved = fcntl(*fds[i], F_DUPFD_CLOEXEC, first + n);
            if (moved < 0)
                return -errno;
            *fds[i] = moved;
        }
    int next = first;
    for (int i = 0; i < n; i++)
        if (*fds[i] >= 0) {
            if (dup3(*fds[i], next, O_CLOEXEC) < 0)
                return -errno;
            *fds[i] = next++;
        }
    return close_range((unsigned)next, ~0u, 0) < 0 ? -errno : next;
}

/* Standard descriptors on /dev/null; the channel at 3 and behind it what init will keep; the job's
 * own above; everything else is closed. */
static int stage_alone(struct enter_args *j, struct err *e)
{
    int *ours[KEPT_MAX + 6 + SANDBOX_BINDS_MAX] = {
        &j->channel_fd,  &j->oom_fd,      &j->stat_fd, &j->entry.fd[0],
        &j->entry.fd[1], &j->entry.fd[2], &j->go_fd,   &j->workspace_fd,
        &j->root_fd,     &j->usr_fd,      &j->own_fd,  &j->zygote_fd};
    int n = KEPT_MAX + 6;
    for (size_t i = 0; i < j->spec->n_binds; i++)
        ours[n++] = &j->bind_fds[i];
    int r = place_in_row(ours, n, CHANNEL_FD);
    if (r < 0)
        return err_set(e, r, "could not place descriptors: %s", err_text(r));
    int null = open("/dev/null", O_RDWR | O_CLOEXEC);
    if (null < 0)
        return err_set(e, -errno, "could not open /dev/null: %m");
    for (int fd = 0; fd < 3; fd++)
        if (dup2(null, fd) < 0)
            return err_set(e, -errno, "could not open /dev/null: %m");
    close(null);
    return 0;
}

/* ---- 2: the builder: ids, and what is not a file ---- */

static int wait_for_maps(int go_fd, struct err *e)
{
    char c;
    ssize_t n;
    do
        n = read(go_fd, &c, 1);
    while (n < 0 && errno == EINTR);
    return n == 1 ? 0 : err_set(e, -E_CLOSED, "the zygote gave up on this sandbox");
}

/* With an id range the builder is its root, else the one user there is. */
static int stage_builder(const struct enter_args *j, struct err *e)
{
    int r = wait_for_maps(j->go_fd, e);
    if (r >= 0)
        r = lockdown_become(j->id_range ? 0 : enter_args_uid(j), e);
    if (r < 0)
        return r;
    if (unshare(CLONE_NEWCGROUP) < 0)
        return err_set(e, -errno, "could not make a cgroup namespace: %m");
    if (sethostname("sandbox", 7) < 0)
        return err_set(e, -errno, "could not set the host name: %m");
    r = size_files_set_affinity(&j->spec->limits);
    if (r < 0)
        return err_set(e, r, "could not choose processors: %s", err_text(r));
    umask(022);
    return 0;
}

/* ---- 3: a root of its own ---- */

static int stage_root(const struct enter_args *j, struct err *e)
{
    AUTO(root) made = ROOT_NONE;
    int r = root_build(j, &made, e);
    if (r >= 0)
        r = contents_mount(&made, j, e);
    if (r >= 0)
        r = root_enter(&made, e);
    if (r < 0)
        return r;
    /* Not by path: the directory must be the one that was mounted, and inside this root. */
    AUTO_CLOSE int home = mounts_open(made.top, &SANDBOX_HOME[1], O_PATH | O_DIRECTORY);
    return home < 0 || fchdir(home) < 0
               ? err_set(e, home < 0 ? home : -errno, "could not enter " SANDBOX_HOME)
               : 0;
}

/* ---- 4: the sandbox's user ---- */

/* Opens the doors and gives them away: nothing of ours holds one when programs run. */
static int open_doors(const struct enter_args *j, struct err *e)
{
    const struct sandbox_spec *s = j->spec;
    struct capture_doors doors = {.n = 0};
    int r = s->n_doors ? capture_open(s->doors, s->n_doors, &doors, e) : 0;
    if (r < 0 || !s->n_doors)
        return r;
    AUTO_JSON json_t *o = json_object();
    json_put_int(o, "doors", (int64_t)doors.n);
    r = frame_send_fds(j->channel_fd, o, doors.fd, doors.n);
    capture_doors_close(&doors);
    return r < 0 ? err_set(e, r, "could not hand over the doors: %s", err_text(r)) : 0;
}

static int stage_user(const struct enter_args *j, struct err *e)
{
    int r = lockdown_become(enter_args_uid(j), e);
    if (r < 0 || j->spec->network != SANDBOX_NET_LOOPBACK || j->net_ready)
        return r;
    r = capture_network_up();
    if (r < 0)
        return err_set(e, r, "could not bring up the loopback interface: %s", err_text(r));
    if (r > 0 && j->spec->n_doors)
        return err_set(e, -ENOTSUP,
                       "this kernel takes no route for synthetic addresses, so what programs send "
                       "cannot be caught");
    return open_doors(j, e);
}

/* ---- 5: locked ---- */

/* *ret_notes: what a filter that reports has seen, else -1. */
static int stage_locked(const struct enter_args *j, int *ret_notes, struct err *e)
{
    int r = lockdown_finish(j->spec, e);
    if (r >= 0)
        r = guard_begin(j->spec, j->filter, true, ret_notes, e);
    return r < 0 ? r : lockdown_check(enter_args_uid(j), e);
}

/* ---- 6: serving ---- */

/* PDEATHSIG tells of deaths that come after it was set. */
static void end_without_zygote(int zygote_fd)
{
    struct pollfd p = {.fd = zygote_fd, .events = POLLIN};
    if (poll(&p, 1, 0) != 0)
        _exit(1);
}

/* What is left for init: the channel, what its cgroup counts and the doors into it, where there are
 * any, and what a filter that reports has seen. */
static int keep_for_init(const struct enter_args *j, int *notes, struct err *e)
{
    const int kept[KEPT_MAX] = {j->channel_fd,  j->oom_fd,      j->stat_fd,
                                j->entry.fd[0], j->entry.fd[1], j->entry.fd[2]};
    int next = CHANNEL_FD;
    for (size_t i = 0; i < KEPT_MAX; i++)
        next += kept[i] >= 0;
    if (*notes >= 0) {
        if (*notes != next && dup3(*notes, next, O_CLOEXEC) < 0)
            return err_set(e, -errno, "could not place descriptors: %m");
        *notes = next++;
    }
    return close_range((unsigned)next, ~0u, 0) < 0
               ? err_set(e, -errno, "could not close descriptors: %m")
               : 0;
}

static NORETURN void report_failure(int channel_fd, const struct err *e)
{
    AUTO_JSON json_t *o = json_object();
    json_put_bool(o, "ready", false);
    json_put_str(o, "error", e->msg);
    json_put_int(o, "code", -e->code);
    (void)!frame_send_blocking(channel_fd, o);
    _exit(1);
}

static NORETURN void stage_serving(const struct enter_args *j, int notes)
{
    struct err e = {.code = 0};
    end_without_zygote(j->zygote_fd);
    if (keep_for_init(j, &notes, &e) < 0)
        report_failure(j->channel_fd, &e);
    const struct init_args init = {.channel_fd = j->channel_fd,
                                   .oom_fd = j->oom_fd,
                                   .stat_fd = j->stat_fd,
                                   .entry = j->entry,
                                   .notes_fd = notes,
                                   .spec = j->spec};
    init_run(&init);
}

void enter_sandbox(const struct enter_args *args)
{
    struct enter_args j = *args;
    struct err e = {.code = 0};
    int notes = -1;
    prctl(PR_SET_NAME, "sallyport-init");
    int r = stage_alone(&j, &e);
    if (r >= 0)
        r = stage_builder(&j, &e);
    if (r >= 0)
        r = stage_root(&j, &e);
    if (r >= 0)
        r = stage_user(&j, &e);
    if (r >= 0)
        r = stage_locked(&j, &notes, &e);
    if (r < 0)
        report_failure(j.channel_fd, &e);
    stage_serving(&j, notes);
}
