/* standalone.c - from an executed process to init.
 *
 * In a container the isolation is there already: namespaces, root, ids, capabilities, limits and a
 * first system call filter are the OCI runtime's work, done to the letter of a config.json that the
 * worker wrote (box/oci/config.c). Here the descriptors are put in order, our own filter goes on
 * top (it also compares arguments, which a config.json cannot say for ioctl, and it is there when
 * the runtime has ignored its seccomp section), and the kernel is asked whether everything took. A
 * runtime that has left something out shows up as a sandbox that does not start.
 *
 * The checks are system calls, not /proc: the root may be any image's, and the kernel may be
 * gVisor's.
 *
 * Without a sandbox there is no pid namespace whose end would end everything. Two processes stand
 * in for it: init proper, and above it a supervisor that is the subreaper of all that is started.
 * When init ends, however it ends, or the worker asks (SIGTERM), or dies, the supervisor ends all
 * processes that are left and exits. Nothing here isolates: programs run as the worker's user. */
#include "sandbox/init/standalone.h"

#include <fcntl.h>
#include <grp.h>
#include <linux/keyctl.h>
#include <net/if.h>
#include <netinet/in.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/err.h"
#include "base/str.h"
#include "sandbox/frame.h"
#include "sandbox/guard/guard.h"
#include "sandbox/init/init.h"
#include "sandbox/lock/capability.h"
#include "sandbox/lock/landlock.h"
#include "sandbox/paths.h"
#include "sandbox/init/procs.h"
#include "sandbox/sandbox.h"
#include "sandbox/lock/seccomp.h"

#define CHANNEL_FD 3

static NORETURN void fail(const struct err *e)
{
    AUTO_JSON json_t *o = json_object();
    json_put_bool(o, "ready", false);
    json_put_str(o, "error", e->msg);
    json_put_int(o, "code", -e->code);
    (void)!frame_send_blocking(CHANNEL_FD, o);
    _exit(1);
}

/* The channel to CHANNEL_FD, /dev/null to 0, 1 and 2, everything else closed. False when standard
 * input is no channel. */
static bool tidy_descriptors(void)
{
    int type = 0;
    socklen_t len = sizeof(type);
    if (getsockopt(0, SOL_SOCKET, SO_TYPE, &type, &len) < 0 || type != SOCK_STREAM)
        return false;
    if (dup3(0, CHANNEL_FD, O_CLOEXEC) < 0 || close_range(CHANNEL_FD + 1, ~0u, 0) < 0)
        return false;
    int null = open("/dev/null", O_RDWR | O_CLOEXEC);
    struct stat st;
    if (null < 0 || fstat(null, &st) < 0 || !S_ISCHR(st.st_mode))
        return false;
    for (int fd = 0; fd < 3; fd++)
        if (dup2(null, fd) < 0)
            return false;
    close(null);
    return true;
}

/* The worker's first message. A worker that dies ends the wait. */
static int read_begin(json_t **ret, struct err *e)
{
    AUTO(buf) in = BUF_INIT(SANDBOX_SPEC_MAX + 65536u);
    for (;;) {
        int r = frame_next(&in, ret, e);
        if (r < 0)
            return r;
        if (r > 0)
            break;
        char *room = buf_room(&in, 16384);
        ssize_t n = room ? read(CHANNEL_FD, room, 16384) : -1;
        if (n < 0 && (errno == EAGAIN || errno == EINTR)) {
            struct pollfd p = {.fd = CHANNEL_FD, .events = POLLIN};
            (void)poll(&p, 1, -1);
            continue;
        }
        if (n <= 0)
            _exit(0); /* nobody to tell */
        buf_commit(&in, (size_t)n);
    }
    if (in.len > 0 || !str_eq(json_get_str(*ret, "op"), "begin"))
        return err_set(e, -E_PROTO, "the worker's first message was not one \"begin\"");
    return 0;
}

/* ---- in a container ---- */

static int check_ids(const struct sandbox_spec *spec, struct err *e)
{
    const id_t want = spec->user == SANDBOX_USER_ROOT ? 0 : SANDBOX_UID;
    uid_t u[3];
    gid_t g[3];
    if (getresuid(&u[0], &u[1], &u[2]) < 0 || getresgid(&g[0], &g[1], &g[2]) < 0)
        return err_set(e, -errno, "could not ask for user ids: %m");
    for (int i = 0; i < 3; i++)
        if (u[i] != want || g[i] != want)
            return err_set(e, -E_DENIED, "uid %u gid %u are not the %u that was asked for", u[i],
                           g[i], want);
    /* -1: more than none. As an ordinary user's container the host's groups cannot be dropped;
     * they are all nogroup then. */
    gid_t groups[64];
    int n = getgroups(ARRAY_LEN(groups), groups);
    for (int i = 0; i < n; i++)
        if (groups[i] != 65534 && groups[i] != want)
            return err_set(e, -E_DENIED, "supplementary group %u was not dropped", groups[i]);
    return n < 0 ? err_set(e, -E_DENIED, "could not ask for supplementary groups: %m") : 0;
}

static int check_network(const struct sandbox_spec *spec, struct err *e)
{
    AUTO_CLOSE int s = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    if (spec->network == SANDBOX_NET_NONE)
        return s < 0 && (errno == EPERM || errno == ENOSYS)
                   ? 0
                   : err_set(e, -E_DENIED,
                             "Internet sockets are allowed, but they must be refused");
    if (s < 0)
        return 0; /* a kernel without IPv4 */
    struct ifreq found[16];
    struct ifconf c = {.ifc_len = sizeof(found), .ifc_req = found};
    if (ioctl(s, SIOCGIFCONF, &c) < 0)
        return err_set(e, -errno, "could not list network interfaces: %m");
    for (size_t i = 0; i < (size_t)c.ifc_len / sizeof(found[0]); i++)
        if (strncmp(found[i].ifr_name, "lo", IFNAMSIZ) != 0)
            return err_set(e, -E_DENIED, "there is an unexpected network interface %.*s", IFNAMSIZ,
                           found[i].ifr_name);
    return 0;
}

int standalone_check(const struct sandbox_spec *spec, struct err *e)
{
    int verdict = -E_DENIED;
    int r = check_ids(spec, e);
    if (r >= 0)
        r = capability_check_none(e);
    if (r >= 0)
        r = check_network(spec, e);
    if (r < 0)
        return r;
    if (prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0) != 1)
        return err_set(e, verdict, "no_new_privs is not set");
    if (prctl(PR_GET_SECCOMP) != 2)
        return err_set(e, verdict, "no system call filter is active");
    if (getpid() != 1)
        return err_set(e, verdict, "this is process %d of its pid namespace, not the first",
                       (int)getpid());
    verdict = 0;
    return verdict;
}

static int lock_down(const struct sandbox_spec *spec, struct err *e)
{
    (void)setsid(); /* fails when it leads a session already */
    umask(022);
    /* Keyrings are not namespaced. -EPERM: the runtime's filter, ours to be, refuses the call; then
     * the programs cannot use a keyring either. */
    if (syscall(SYS_keyctl, KEYCTL_JOIN_SESSION_KEYRING, NULL) < 0 && errno != ENOSYS &&
        errno != EPERM)
        return err_set(e, -errno, "could not start a session keyring: %m");
    if (prctl(PR_SET_DUMPABLE, 0) < 0 || prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0)
        return err_set(e, -errno, "could not set process attributes: %m");
    int r = landlock_apply(spec, e);
    if (r < 0)
        return r;
    struct seccomp_filter *f =
        seccomp_filter_new(seccomp_can_ask()
                               ? (guard_filter(spec) & SECCOMP_LOCKS) | SECCOMP_HOST_FILES
                               : SECCOMP_ALONE | SECCOMP_HOST_FILES,
                           e);
    int notes;
    return f ? guard_begin(spec, f, false, &notes, e) : e->code;
}

static NORETURN void run_init(const struct sandbox_spec *spec)
{
    const struct init_args program = {.channel_fd = CHANNEL_FD,
                                      .oom_fd = -1,
                                      .stat_fd = -1,
                                      .entry = CGROUP_ENTRY_NONE,
                                      .notes_fd = -1,
                                      .spec = spec};
    init_run(&program);
}

/* A runtime that has put us into another network than the one made for us, or that has a network of
 * its own (gVisor), leaves doors that nobody can reach. So one connection is made; the engine takes
 * it before it gives the box away (box/oci/oci.c). */
static int knock(const struct sandbox_spec *spec, struct err *e)
{
    const struct sandbox_door *d = sandbox_doors_first(spec->doors, spec->n_doors);
    if (!d)
        return 0;
    struct sockaddr_storage address;
    socklen_t n = sandbox_door_address(d, AF_INET, &address);
    struct sockaddr_in *in = (struct sockaddr_in *)(void *)&address;
    if (!d->address[0])
        in->sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    AUTO_CLOSE int s = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (s < 0 || connect(s, (struct sockaddr *)&address, n) < 0)
        return err_set(
            e, -ENOTSUP,
            "the runtime has not put the container into the network that was made for it, "
            "so what programs send cannot be caught: %m");
    return 0;
}

static NORETURN void run_in_container(const struct sandbox_spec *spec)
{
    struct err e = {.code = 0};
    int r = knock(spec, &e);
    if (r >= 0)
        r = lock_down(spec, &e);
    if (r >= 0)
        r = standalone_check(spec, &e);
    if (r >= 0 && chdir(paths()->home) < 0)
        r = err_set(&e, -errno, "could not enter %s: %m", paths()->home);
    if (r < 0)
        fail(&e);
    run_init(spec);
}

/* ---- without a sandbox ---- */

static void lower(int resource, rlim_t n)
{
    struct rlimit l;
    if (getrlimit((__rlimit_resource_t)resource, &l) < 0)
        return;
    l.rlim_max = l.rlim_max < n ? l.rlim_max : n;
    l.rlim_cur = l.rlim_max;
    (void)setrlimit((__rlimit_resource_t)resource, &l);
}

static NORETURN void run_unconfined(const struct sandbox_spec *spec, pid_t supervisor)
{
    const struct sandbox_limits *l = &spec->limits;
    if (prctl(PR_SET_PDEATHSIG, SIGKILL) < 0 || getppid() != supervisor ||
        prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0) < 0)
        _exit(1);
    lower(RLIMIT_CORE, 0);
    lower(RLIMIT_NOFILE, l->open_files);
    if (l->file_bytes)
        lower(RLIMIT_FSIZE, l->file_bytes);
    umask(077);
    run_init(spec);
}

static void reap_all(void *arg)
{
    (void)arg;
    while (waitpid(-1, NULL, WNOHANG) > 0)
        ;
}

static int supervise(const struct sandbox_spec *spec)
{
    sigset_t mask;
    sigemptyset(&mask);
    sigaddset(&mask, SIGCHLD);
    sigaddset(&mask, SIGTERM);
    sigprocmask(SIG_SETMASK, &mask, NULL);
    struct err e = {.code = 0};
    if (prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0) < 0 || prctl(PR_SET_PDEATHSIG, SIGTERM) < 0 ||
        prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0) {
        err_set(&e, -errno, "could not set process attributes: %m");
        fail(&e);
    }
    pid_t self = getpid(), child = fork();
    if (child < 0) {
        err_set(&e, -errno, "could not start init: %m");
        fail(&e);
    }
    if (child == 0)
        run_unconfined(spec, self);
    close(CHANNEL_FD); /* its end of file tells init, and with that us, that the worker is gone */
    for (bool done = false; !done;) {
        int sig = sigwaitinfo(&mask, NULL);
        done = sig == SIGTERM;
        for (pid_t pid; (pid = waitpid(-1, NULL, WNOHANG)) > 0;)
            done = done || pid == child;
    }
    procs_kill_all(reap_all, NULL);
    return 0;
}

int standalone_main(const char *kind)
{
    bool container = str_eq(kind, "oci");
    if ((!container && !str_eq(kind, "none")) || !tidy_descriptors()) {
        fprintf(stderr, "sallyport: init is started by sallyport worker, not by hand\n");
        return 2;
    }
    prctl(PR_SET_NAME, "sallyport-init");
    struct err e = {.code = 0};
    AUTO_JSON json_t *begin = NULL;
    struct sandbox_spec spec;
    int r = read_begin(&begin, &e);
    if (r >= 0)
        r = sandbox_spec_parse(json_object_get(begin, "spec"), &spec, &e);
    const char *home = json_get_str(begin, "home"), *spool = json_get_str(begin, "spool");
    if (r >= 0 && (!sandbox_path_ok(home) || !sandbox_path_ok(spool)))
        r = err_set(&e, -EINVAL, "home and spool must be absolute paths");
    if (r < 0)
        fail(&e);
    paths_set(home, spool, !container);
    if (container)
        run_in_container(&spec);
    return supervise(&spec);
}
