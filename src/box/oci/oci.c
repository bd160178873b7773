/* oci.c - sandboxes that an OCI runtime makes.
 *
 *   worker --launch--> RUNTIME run --detach --> init in the container
 *      |               (gone when the            ^
 *      |                container runs)          |
 *      `-- stream socket, init's standard input -'
 *
 * All that belongs to a run of the worker lies in its state directory:
 *   run-XXXX/runtime      path of the runtime, for a later run that cleans up
 *   run-XXXX/program/     this program and its libraries, bound into every container
 *   run-XXXX/state/       the runtime's own (--root)
 *   run-XXXX/root-N/      roots, one per specification
 *   run-XXXX/sallyport-*  bundles, named like their container
 *
 * A container ends with its init, and init when its channel closes, so nothing runs on behind a
 * killed worker (a runtime at work is let finish: init then finds its channel closed); what is left
 * then are files and empty cgroups, which the next start removes (oci_sweep). The runtime is
 * trusted as the program that an operator named; it runs with an empty environment but PATH, and
 * what it prints is shown in one sentence.
 *
 * The process id in the pid file is turned into a pidfd after init has spoken, and init must still
 * be there afterwards: so the number cannot have become somebody else's in between. */
#include <dirent.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/pidfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/list.h"
#include "base/log.h"
#include "base/str.h"
#include "base/time.h"
#include "io/proc.h"
#include "io/sock.h"
#include "sandbox/sandbox.h"
#include "sandbox/spec.h"
#include "sandbox/zygote/uids.h"
#include "box/doors.h"
#include "box/engine.h"
#include "box/oci/network.h"
#include "box/oci/oci.h"

#define PLACES    "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
#define RUN_MS    30000 /* for the runtime to start a container */
#define DELETE_MS 10000
#define ROOTS_MAX 64 /* different specifications of one run; a worker has one */
#define WHOLE_IDS 65536u

/* A root directory and what it was made for. */
struct oci_root {
    struct list link;
    char *key, *dir;
    json_t *mounts;
};

struct oci_host {
    char *runtime; /* absolute path */
    char *program_dir, *state_dir;
    struct list roots;
    size_t n_roots;
    uint64_t next;
    bool root; /* ids are mapped, cgroups written */
    struct uids uids;
    struct fmutex making; /* of a root directory */
};

struct oci_box {
    char *id, *bundle;
    bool started; /* the runtime was asked to make it */
    int uid_lock[2];
    struct oci_ids ids;
    struct oci_network network; /* until the container is there */
};

/* ---- the runtime ---- */

/* An absolute path when `path` names a regular file that can be executed. */
static char *program_at(const char *path)
{
    AUTO_CLOSE int fd = open(path, O_PATH | O_CLOEXEC);
    struct stat st;
    if (fd < 0 || fstat(fd, &st) < 0)
        return NULL;
    if (!S_ISREG(st.st_mode) || !(st.st_mode & 0111)) {
        errno = EACCES;
        return NULL;
    }
    return realpath(path, NULL);
}

static char *find_program(const char *name, const char *search, struct err *e)
{
    if (strchr(name, '/')) {
        char *path = program_at(name);
        if (!path)
            err_set(e, -ENOENT, "--oci-runtime %s: %s", name, err_text(-errno));
        return path;
    }
    const char *paths[] = {search, PLACES};
    for (size_t i = 0; i < ARRAY_LEN(paths); i++)
        for (const char *p = paths[i]; p && *p;) {
            size_t n = strcspn(p, ":");
            AUTO_FREE char *path = mem_printf("%.*s/%s", (int)n, p, name);
            char *found = n > 0 && path[0] == '/' ? program_at(path) : NULL;
            if (found)
                return found;
            p += n + (p[n] == ':');
        }
    err_set(e, -ENOENT,
            "--oci-runtime %s: there is no such program in PATH; install it or name another (crun "
            "and runc are packages of most distributions)",
            name);
    return NULL;
}

/* What was written to `runtime_stderr`, as one sentence: the last words count. */
static char *last_words(int runtime_stderr)
{
    char text[2048];
    struct stat st;
    off_t from = fstat(runtime_stderr, &st) == 0 && st.st_size > (off_t)sizeof(text) - 1
                     ? st.st_size - (off_t)sizeof(text) + 1
                     : 0;
    ssize_t n = pread(runtime_stderr, text, sizeof(text) - 1, from);
    text[n > 0 ? n : 0] = '\0';
    return oci_words(text);
}

static int new_runtime_stderr(struct err *e)
{
    int fd = memfd_create("runtime-stderr", MFD_CLOEXEC);
    return fd < 0 ? err_set(e, -errno, "could not make a file for the runtime's messages: %m") : fd;
}

/* A runtime that is killed in the middle leaves a container that it does not know of itself. So it
 * is let finish, also when the caller has been cancelled meanwhile; only `until` ends it. */
static int wait_program(struct proc *p, int64_t until, int *ret_status)
{
    int r;
    {
        AUTO(fiber_deadline) d = fiber_deadline_push(until);
        r = proc_wait(p, ret_status);
    }
    if (r < 0 && time_mono_ns() < until) {
        AUTO(fiber_shield) s = fiber_shield_begin((until - time_mono_ns()) / NS_PER_MS);
        (void)!proc_wait(p, ret_status);
    }
    return r;
}

/* Runs `argv` to its end. `io_fd` becomes its standard input and output (-1: /dev/null),
 * `runtime_stderr` its standard error, which a container inherits until init has begun. 0, or a
 * negative code with the program's words. Suspends. */
static int run_program(const char *const *argv, int io_fd, int runtime_stderr, int64_t ms,
                       struct err *e)
{
    static const char *const envp[] = {"PATH=" PLACES, NULL};
    struct proc_spec spec = {.path = "/proc/self/exe",
                             .argv = argv,
                             .envp = envp,
                             .stdin_fd = io_fd,
                             .stdout_fd = io_fd,
                             .stderr_fd = runtime_stderr,
                             .own_session = true};
    int64_t until = time_mono_ns() + ms * NS_PER_MS;
    AUTO(proc) p = {.pidfd = IO_FD_NONE};
    int status = 0, r = proc_start(&p, &spec, e);
    if (r < 0)
        return r;
    r = wait_program(&p, until, &status);
    if (r == -ETIMEDOUT && time_mono_ns() >= until)
        return err_set(e, r, "the runtime did not finish within %lld s", (long long)ms / 1000);
    if (r < 0 || (WIFEXITED(status) && WEXITSTATUS(status) == 0))
        return r;
    AUTO_FREE char *words = last_words(runtime_stderr);
    return err_set(e, -EIO, "%s", words);
}

static int delete_container(const char *runtime, const char *state_dir, const char *id,
                            struct err *e)
{
    const char *const argv[] = {"sallyport", "launch", "-",       runtime, "--root",
                                state_dir,   "delete", "--force", id,      NULL};
    AUTO_CLOSE int runtime_stderr = new_runtime_stderr(e);
    return runtime_stderr < 0 ? runtime_stderr
                              : run_program(argv, -1, runtime_stderr, DELETE_MS, e);
}

/* ---- what a dead worker has left ---- */

static void sweep_run(const char *run_dir)
{
    AUTO_FREE char *file = mem_printf("%s/runtime", run_dir);
    AUTO_FREE char *state_dir = mem_printf("%s/state", run_dir);
    AUTO_CLOSE int fd = open(file, O_RDONLY | O_NOFOLLOW | O_CLOEXEC);
    AUTO_FREE char *runtime = mem_array(PATH_MAX, 1);
    ssize_t n = fd < 0 ? -1 : read(fd, runtime, PATH_MAX - 1);
    if (n <= 0)
        return;
    runtime[n] = '\0';
    DIR *d = opendir(run_dir);
    for (struct dirent *de; d && (de = readdir(d));) {
        if (!str_starts(de->d_name, "sallyport-"))
            continue;
        AUTO_FREE char *id = mem_strdup(de->d_name);
        struct err e = {.code = 0};
        int r = delete_container(runtime, state_dir, id, &e);
        log_info("removed a container that an earlier run left", "id=%s result=%s", log_q(id),
                 r < 0 ? log_q(e.msg) : "ok");
    }
    if (d)
        closedir(d);
}

void box_oci_sweep(const char *dir)
{
    /* What is found here names a program that is executed: it must be ours. state_open says so. */
    int fd = state_open_dir(dir, NULL);
    DIR *d = fd < 0 ? NULL : fdopendir(fd);
    for (struct dirent *de; d && (de = readdir(d));) {
        size_t n = strlen(de->d_name);
        if (!str_starts(de->d_name, "run-") || !str_ends(de->d_name, ".lock"))
            continue;
        /* A process that can take the lock may clean up (box/state.c). */
        AUTO_CLOSE int lock = openat(dirfd(d), de->d_name, O_RDWR | O_NOFOLLOW | O_CLOEXEC);
        if (lock < 0 || flock(lock, LOCK_EX | LOCK_NB) < 0)
            continue;
        AUTO_FREE char *run_dir = mem_printf("%s/%.*s", dir, (int)(n - 5), de->d_name);
        sweep_run(run_dir);
    }
    if (d)
        closedir(d);
}

/* ---- the host ---- */

static int remember_runtime(const struct box_host *h, const struct oci_host *o, struct err *e)
{
    AUTO_FREE char *file = mem_printf("%s/runtime", h->state.path);
    AUTO_CLOSE int fd = open(file, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    size_t n = strlen(o->runtime);
    if (fd < 0 || write(fd, o->runtime, n) != (ssize_t)n || mkdir(o->state_dir, 0700) < 0)
        return err_set(e, -errno, "could not write to %s: %m", h->state.path);
    return 0;
}

static int prepare_ids(struct oci_host *o, const struct sandbox_spec *spec, struct err *e)
{
    o->root = geteuid() == 0;
    if (!o->root) {
        if (!spec || spec->user != SANDBOX_USER_ROOT)
            return err_set(e, -EPERM,
                           "isolation \"oci\": an ordinary user can give only one user id to a "
                           "container; add --sandbox-user root, or run the worker as root");
        if (spec->limits.cpu_milli)
            return err_set(
                e, -ENOTSUP,
                "isolation \"oci\": a limit on processors needs control groups, and an ordinary "
                "user cannot write them; leave the limit out, or run the worker as root");
        return 0;
    }
    char map[1024];
    AUTO_CLOSE int fd = open("/proc/self/uid_map", O_RDONLY | O_CLOEXEC);
    ssize_t n = fd < 0 ? -1 : read(fd, map, sizeof(map) - 1);
    if (n < 0)
        return err_set(e, -errno, "could not read /proc/self/uid_map: %m");
    map[n] = '\0';
    return uids_init(&o->uids, map, e);
}

struct copy_job {
    const char *dir;
    struct err e;
};

static int copy_program(void *arg)
{
    struct copy_job *j = arg;
    return oci_program_copy(j->dir, &j->e);
}

static void oci_host_free(struct oci_host *o)
{
    while (!list_empty(&o->roots)) {
        struct oci_root *r = LIST_ENTRY(list_pop_front(&o->roots), struct oci_root, link);
        free(r->key);
        free(r->dir);
        json_decref(r->mounts);
        free(r);
    }
    free(o->runtime);
    free(o->program_dir);
    free(o->state_dir);
    free(o);
}

static void oci_stop(struct box_host *h)
{
    oci_host_free(h->own);
    h->own = NULL;
}

static int oci_start(struct box_host *h, const struct box_host_config *cfg, struct err *e)
{
    if (!h->have_state)
        return err_set(e, -EINVAL, "isolation \"oci\" needs a state directory");
    struct oci_host *o = mem_new(struct oci_host);
    list_init(&o->roots);
    fmutex_init(&o->making);
    h->own = o;
    o->runtime = find_program(cfg->oci_runtime ? cfg->oci_runtime : "crun", cfg->search_path, e);
    o->program_dir = mem_printf("%s/program", h->state.path);
    o->state_dir = mem_printf("%s/state", h->state.path);
    int r = o->runtime ? prepare_ids(o, cfg->warm_spec, e) : -ENOENT;
    if (r >= 0)
        r = remember_runtime(h, o, e);
    if (r >= 0) {
        struct copy_job j = {.dir = o->program_dir};
        r = pool_call(h->pool, copy_program, &j);
        if (r < 0)
            *e = j.e;
    }
    if (r < 0) {
        oci_stop(h);
        return r;
    }
    h->made_by = o->runtime;
    log_info("containers are made by an OCI runtime", "runtime=%s", log_q(o->runtime));
    return 0;
}

/* ---- one container ---- */

static int take_ids(struct oci_host *o, struct oci_box *ob, struct err *e)
{
    uint32_t uid;
    if (!o->root) {
        ob->ids.map[0].outside = geteuid();
        ob->ids.map[0].count = 1;
        ob->ids.n = 1;
        return 0;
    }
    int r = uids_take(&o->uids, &uid, &ob->uid_lock[0], e);
    if (r < 0)
        return r;
    if (o->uids.step >= WHOLE_IDS) { /* a range of its own */
        ob->ids.map[0].outside = uid;
        ob->ids.map[0].count = WHOLE_IDS;
        ob->ids.n = 1;
        return 0;
    }
    ob->ids.map[1].inside = SANDBOX_UID;
    ob->ids.map[1].outside = uid;
    ob->ids.map[1].count = 1;
    r = uids_take(&o->uids, &uid, &ob->uid_lock[1], e);
    ob->ids.map[0].outside = uid;
    ob->ids.map[0].count = 1;
    ob->ids.n = 2;
    return r;
}

/* What the container's user is called on the host. */
static uint32_t host_uid(const struct oci_box *ob, const struct sandbox_spec *s)
{
    if (s->user == SANDBOX_USER_ROOT)
        return ob->ids.map[0].outside;
    return ob->ids.n == 2 ? ob->ids.map[1].outside : ob->ids.map[0].outside + SANDBOX_UID;
}

/* File system work for one container, on a thread of the pool. */
struct bundle_job {
    const struct box_host *h;
    struct oci_box *ob;
    const struct sandbox_spec *spec;
    struct oci_root *root; /* its directory is made when it has no mounts yet */
    struct err e;
};

static int write_bundle(void *arg)
{
    struct bundle_job *j = arg;
    const struct oci_host *o = j->h->own;
    if (!j->root->mounts) {
        AUTO_JSON json_t *mounts = json_array();
        int r = oci_root_make(j->root->dir, j->spec, mounts, &j->e);
        if (r < 0) {
            (void)!state_remove_tree(AT_FDCWD, j->root->dir);
            return r;
        }
        j->root->mounts = TAKE(mounts);
    }
    const char *workspace = j->spec->workspace_dir;
    uint32_t uid = host_uid(j->ob, j->spec);
    if (o->root && workspace && lchown(workspace, uid, uid) < 0)
        return err_set(&j->e, -errno, "could not give %s to uid %u: %m", workspace, uid);
    if (mkdir(j->ob->bundle, 0700) < 0)
        return err_set(&j->e, -errno, "could not make %s: %m", j->ob->bundle);
    AUTO_JSON json_t *covers = json_array();
    int r = oci_root_covers(j->spec, covers, &j->e);
    if (r < 0)
        return r;
    AUTO_FREE char *cgroup = mem_printf("/%s", j->ob->id);
    AUTO_JSON json_t *guarded = json_array();
    int guard = oci_guard(j->spec, guarded, &j->e);
    if (guard < 0)
        return guard;
    struct oci_container c = {.spec = j->spec,
                              .root = o->root ? OCI_ROOT_SHOWN : j->root->dir,
                              .mounts = j->root->mounts,
                              .covers = covers,
                              .program_dir = o->program_dir,
                              .guarded = guarded,
                              .cgroup = o->root ? cgroup : NULL,
                              .ids = j->ob->ids,
                              .network = j->ob->network.helper.pid,
                              .join_user = !o->root};
    AUTO_JSON json_t *config = oci_config(&c);
    size_t n;
    AUTO_FREE char *text = json_text(config, &n);
    AUTO_FREE char *file = mem_printf("%s/config.json", j->ob->bundle);
    AUTO_CLOSE int fd = open(file, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    if (fd < 0 || write(fd, text, n) != (ssize_t)n)
        return err_set(&j->e, fd < 0 ? -errno : -EIO, "could not write %s", file);
    return 0;
}

/* What a root depends on: the image, where binds need a place, and what is written into its /etc. */
static char *root_key(const struct sandbox_spec *s)
{
    AUTO(buf) b = BUF_INIT(SANDBOX_SPEC_MAX);
    buf_addf(&b, "%s\n%s\n%d", s->rootfs_dir ? s->rootfs_dir : "", s->ca_pem ? s->ca_pem : "",
             sandbox_doors_resolve(s->doors, s->n_doors));
    for (size_t i = 0; i < s->n_binds; i++)
        buf_addf(&b, "\n%s\n%s", s->binds[i].source, s->binds[i].target);
    return mem_strdup(buf_str(&b));
}

static struct oci_root *root_for(struct box_host *h, const struct sandbox_spec *s, struct err *e)
{
    struct oci_host *o = h->own;
    AUTO_FREE char *key = root_key(s);
    LIST_FOREACH (r, &o->roots, struct oci_root, link)
        if (str_eq(r->key, key))
            return r;
    if (o->n_roots == ROOTS_MAX) {
        err_set(e, -E_LIMIT, "more than %d different sandbox specifications in one run", ROOTS_MAX);
        return NULL;
    }
    struct oci_root *r = mem_new(struct oci_root);
    r->key = TAKE(key);
    r->dir = mem_printf("%s/root-%zu", h->state.path, o->n_roots++);
    list_push_back(&o->roots, &r->link);
    return r;
}

static int prepare(struct box *b, const struct sandbox_spec *spec, struct oci_root **ret,
                   struct err *e)
{
    struct oci_host *o = b->host->own;
    struct oci_box *ob = mem_new(struct oci_box);
    ob->uid_lock[0] = ob->uid_lock[1] = -1;
    ob->network = OCI_NETWORK_NONE;
    ob->id =
        mem_printf("sallyport-%s-%llu", b->host->state.name + 4, (unsigned long long)o->next++);
    ob->bundle = mem_printf("%s/%s", b->host->state.path, ob->id);
    b->own = ob;
    int r = take_ids(o, ob, e);
    if (r >= 0 && spec->n_doors)
        r = oci_network_make(&ob->network, spec, e);
    if (r < 0)
        return r;
    struct bundle_job j = {
        .h = b->host, .ob = ob, .spec = spec, .root = root_for(b->host, spec, e)};
    if (!j.root)
        return e->code;
    r = fmutex_lock(&o->making);
    if (r < 0)
        return r;
    r = pool_call(b->host->pool, write_bundle, &j);
    fmutex_unlock(&o->making);
    if (r < 0)
        *e = j.e;
    *ret = j.root;
    return r;
}

static int run_container(struct box *b, const struct oci_root *root, int theirs, int runtime_stderr,
                         struct err *e)
{
    const struct oci_host *o = b->host->own;
    struct oci_box *ob = b->own;
    AUTO_FREE char *pid_file = mem_printf("%s/pid", ob->bundle);
    const char *const argv[] = {"sallyport",  "launch", root->dir,  o->runtime, "--root",
                                o->state_dir, "run",    "--detach", "--bundle", ob->bundle,
                                "--pid-file", pid_file, ob->id,     NULL};
    ob->started = true;
    return run_program(argv, theirs, runtime_stderr, RUN_MS, e);
}

static int watch_container(struct box *b, struct err *e)
{
    struct oci_box *ob = b->own;
    AUTO_FREE char *file = mem_printf("%s/pid", ob->bundle);
    AUTO_CLOSE int fd = open(file, O_RDONLY | O_CLOEXEC);
    char text[32];
    ssize_t n = fd < 0 ? -1 : read(fd, text, sizeof(text) - 1);
    while (n > 0 && text[n - 1] == '\n')
        n--;
    uint64_t pid;
    if (n <= 0 || str_to_u64(text, (size_t)n, INT32_MAX, &pid) < 0 || pid < 2)
        return err_set(e, -EIO, "the runtime wrote no process id");
    AUTO_CLOSE int pidfd = pidfd_open((pid_t)pid, 0);
    if (pidfd < 0)
        return err_set(e, -errno, "could not watch the container: %m");
    char c;
    n = recv(b->channel.fd, &c, 1, MSG_PEEK | MSG_DONTWAIT);
    if (n >= 0 || errno != EAGAIN)
        return err_set(e, -E_CLOSED, "the container ended immediately after its start");
    return box_attach_pidfd(b, &pidfd, (int)pid, e);
}

static int start_container(struct box *b, const struct sandbox_spec *spec,
                           const struct oci_root *root, struct err *e)
{
    int pair[2];
    int r = sock_pair(SOCK_STREAM, pair);
    if (r < 0)
        return err_set(e, r, "could not make a socket: %s", err_text(r));
    AUTO_CLOSE int ours = pair[0], theirs = pair[1], runtime_stderr = new_runtime_stderr(e);
    r = runtime_stderr < 0 ? runtime_stderr : run_container(b, root, theirs, runtime_stderr, e);
    close(TAKE_FD(theirs)); /* so that init's end is the only one */
    if (r < 0)
        return r;
    r = box_attach_foreign(b, &ours, spec, SANDBOX_HOME, SANDBOX_SPOOL, e);
    if (r == -E_CLOSED || r == -EPIPE || r == -ECONNRESET) { /* it never became init */
        AUTO_FREE char *words = last_words(runtime_stderr);
        return err_set(e, r, "the container ended before its sandbox was ready: %s", words);
    }
    return r < 0 ? r : watch_container(b, e);
}

static int oci_open(struct box *b, const struct sandbox_spec *spec, struct err *e)
{
    struct oci_root *root = NULL;
    int r = prepare(b, spec, &root, e);
    struct oci_box *ob = b->own;
    if (r >= 0 && spec->n_doors)
        r = box_doors_take(b, spec, ob->network.fds, ob->network.n_fds, e);
    if (r >= 0)
        r = start_container(b, spec, root, e);
    if (r >= 0)
        r = box_doors_answer_knock(b, spec, e);
    oci_network_done(&ob->network);
    return r;
}

static int remove_bundle(void *arg)
{
    return state_remove_tree(AT_FDCWD, arg);
}

static void oci_clean(struct box *b)
{
    const struct oci_host *o = b->host->own;
    struct oci_box *ob = b->own;
    if (!ob)
        return;
    struct err e = {.code = 0};
    int r = ob->started ? delete_container(o->runtime, o->state_dir, ob->id, &e) : 0;
    if (r < 0)
        log_warn("the runtime could not delete a container", "id=%s why=%s", ob->id, log_q(e.msg));
    /* What cannot be deleted now keeps its bundle, by which the next start finds it. */
    if (r >= 0 && pool_call(b->host->pool, remove_bundle, ob->bundle) < 0)
        log_warn("a container's directory was not removed", "dir=%s", log_q(ob->bundle));
    fd_cleanup_close(&ob->uid_lock[0]);
    fd_cleanup_close(&ob->uid_lock[1]);
    free(ob->id);
    free(ob->bundle);
    free(ob);
    b->own = NULL;
}

const struct box_engine box_oci = {
    .name = "oci", .start = oci_start, .stop = oci_stop, .open = oci_open, .clean = oci_clean};
