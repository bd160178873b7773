/* none.c - no isolation: tools run as the worker's own user.
 *
 * For machines where nothing else works, and for people who have said that they understand
 * (cmd/worker.c). Each session has a directory below the state directory with its home and its
 * outputs; a supervisor process (sandbox/init/standalone.c) ends what the session has started when
 * the box is closed or the worker dies. Programs can read and write whatever the worker can, and
 * can get away from the supervisor if they mean to: docs/isolation.md says so. */
#include <fcntl.h>
#include <signal.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/log.h"
#include "base/str.h"
#include "io/proc.h"
#include "io/sock.h"
#include "sandbox/spec.h"
#include "box/engine.h"

/* What a specification asks for and only a sandbox can give. */
static int refuse(const struct sandbox_spec *s, struct err *e)
{
    const char *what = s->n_binds                       ? "--bind"
                       : s->rootfs_dir                  ? "--rootfs"
                       : s->user == SANDBOX_USER_ROOT   ? "--sandbox-user root"
                       : s->network == SANDBOX_NET_NONE ? "--sandbox-network none"
                       : s->limits.cpu_milli            ? "--sandbox-cpus"
                                                        : NULL;
    if (s->n_doors)
        return err_set(
            e, -EINVAL,
            "isolation \"none\" cannot catch what programs send: there is no boundary, so "
            "no egress policy and no secrets; choose another isolation");
    return what ? err_set(e, -EINVAL, "isolation \"none\" cannot do %s: there is no sandbox", what)
                : 0;
}

static int none_start(struct box_host *h, const struct box_host_config *cfg, struct err *e)
{
    if (!h->have_state)
        return err_set(e, -EINVAL, "isolation \"none\" needs a state directory");
    int r = cfg->warm_spec ? refuse(cfg->warm_spec, e) : 0;
    if (r < 0)
        return r;
    log_warn("isolation is off: tools run as the user of this worker", "uid=%u", geteuid());
    return 0;
}

static void none_stop(struct box_host *h)
{
    (void)h;
}

static int start_init(struct box *b, int theirs, struct err *e)
{
    static const char *const argv[] = {"sallyport", "init", "none", NULL};
    static const char *const envp[] = {NULL};
    struct proc_spec spec = {.path = "/proc/self/exe",
                             .argv = argv,
                             .envp = envp,
                             .stdin_fd = theirs,
                             .stdout_fd = -1,
                             .stderr_fd = -1,
                             .own_session = true};
    struct proc *p = mem_new(struct proc);
    int r = proc_start(p, &spec, e);
    if (r < 0) {
        free(p);
        return r;
    }
    b->own = p;
    b->kill_signal = SIGTERM; /* the supervisor cleans up behind the others */
    AUTO_CLOSE int fd = fcntl(p->pidfd.fd, F_DUPFD_CLOEXEC, 3);
    return fd < 0 ? err_set(e, -errno, "could not watch init: %m")
                  : box_attach_pidfd(b, &fd, (int)p->pid, e);
}

static int none_open(struct box *b, const struct sandbox_spec *spec, struct err *e)
{
    int r = refuse(spec, e);
    if (r < 0)
        return r;
    if (!b->dir)
        b->dir = state_make(&b->host->state, e);
    if (!b->dir)
        return e->code;
    if (strchr(b->dir, '\''))
        return err_set(
            e, -EINVAL,
            "isolation \"none\" needs a --state-dir without a quote character in its path");
    b->home = mem_printf("%s/workspace", b->dir);
    AUTO_FREE char *spool = mem_printf("%s/outputs", b->dir);
    if (mkdir(b->home, 0700) < 0)
        return err_set(e, -errno, "could not make %s: %m", b->home);
    int pair[2];
    r = sock_pair(SOCK_STREAM, pair);
    if (r < 0)
        return err_set(e, r, "could not make a socket: %s", err_text(r));
    AUTO_CLOSE int ours = pair[0], theirs = pair[1];
    r = start_init(b, theirs, e);
    return r < 0 ? r : box_attach_foreign(b, &ours, spec, b->home, spool, e);
}

static void none_clean(struct box *b)
{
    struct proc *p = b->own;
    if (!p)
        return;
    proc_done(p); /* it has ended, or has outstayed its time */
    free(p);
    b->own = NULL;
}

const struct box_engine box_none = {.name = "none",
                                    .warning = "a session runs without isolation",
                                    .start = none_start,
                                    .stop = none_stop,
                                    .open = none_open,
                                    .clean = none_clean};
