/* cgroup.c - a run's groups and the limits of each sandbox.
 *
 * Called by the zygote, which is single-threaded and has the rights to write here; sandboxes never
 * see a cgroup file system. For each controller there is one base directory (our own group on
 * version 1, what base.c finds on version 2); in it the run's directory, in that one directory per
 * sandbox. Controllers that share a hierarchy share the directories: then the descriptors in `dir`
 * are the same number, and code that must run once per directory asks distinct().
 *
 * A run is alive while its abstract socket is bound, and while its directories are locked by
 * flock(2): sockets have a name per network namespace, and a process in another one may share these
 * groups. Both end with the process, however it dies. A local user who binds such a name only keeps
 * a dead run's empty directories from being removed. Nothing here writes release_agent or
 * notify_on_release (CVE-2022-0492), and every limit is read back after it was written. */
#include "sandbox/cgroup/cgroup.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/err.h"
#include "base/log.h"
#include "base/rng.h"
#include "base/str.h"
#include "sandbox/cgroup/base.h"
#include "sandbox/cgroup/file.h"
#include "sandbox/cgroup/find.h"

#define PREFIX     "sallyport-"
#define HEX_DIGITS 16
#define MAX_TEXT   (4u << 20) /* of /proc/self/mountinfo; hosts with thousands of containers */
#define PERIOD_US  100000u    /* the kernel's default: short enough that nobody sees the pauses */
#define LONG_US    1000000u   /* its longest: for less than a hundredth of a processor */
#define MIN_MEMORY (1u << 20) /* less could not hold a process that is to start */
#define MAX_MILLI  10000000u  /* ten thousand processors; the kernel's arithmetic ends later */

static const char *const controllers[CGROUP_KINDS] = {"memory", "cpu", "pids"};

/* True for the first kind that uses its directory. */
static bool distinct(const struct cgroup_root *r, size_t kind)
{
    if (r->dir[kind] < 0)
        return false;
    for (size_t i = 0; i < kind; i++)
        if (r->dir[i] == r->dir[kind])
            return false;
    return true;
}

/* ---- runs and their locks ---- */

static bool run_name(const char *s)
{
    size_t n = strlen(PREFIX);
    return strncmp(s, PREFIX, n) == 0 && strlen(s) == n + HEX_DIGITS &&
           strspn(s + n, "0123456789abcdef") == HEX_DIGITS;
}

/* Binds the abstract socket of that name: a descriptor, or -EADDRINUSE while the run lives. */
static int take_name(const char *name)
{
    AUTO_CLOSE int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return -errno;
    struct sockaddr_un a = {.sun_family = AF_UNIX};
    size_t n = strlen(name);
    memcpy(a.sun_path + 1, name, n);
    socklen_t len = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + 1 + n);
    return bind(fd, (struct sockaddr *)&a, len) < 0 ? -errno : TAKE_FD(fd);
}

static int sweep_one(void *arg, const char *name)
{
    int base = *(const int *)arg;
    if (!run_name(name))
        return 0;
    AUTO_CLOSE int lock = take_name(name);
    AUTO_CLOSE int dir = lock < 0 ? -1 : cgroup_dir_below(base, name);
    struct stat st;
    if (dir < 0 || fstat(dir, &st) < 0 || st.st_uid != geteuid() ||
        flock(dir, LOCK_EX | LOCK_NB) < 0)
        return 0;
    int r = cgroup_remove_tree(base, name);
    if (r < 0)
        log_warn("groups of a dead run could not be removed", "run=%s error=%s", name, err_name(r));
    else
        log_info("groups of a dead run removed", "run=%s", name);
    return 0;
}

static int make_run(struct cgroup_root *r, int base, const char *path, int *ret, struct err *e)
{
    if (cgroup_each_group(base, sweep_one, &base) < 0)
        log_debug("groups could not be listed", "group=%s", log_q(path));
    if (mkdirat(base, r->name, 0755) < 0)
        return err_set(e, -errno, "no group can be made in %s (%m)", path);
    AUTO_CLOSE int dir = cgroup_dir_below(base, r->name);
    /* Between these two calls a sweep from another network namespace may have come by. */
    struct stat st;
    if (dir < 0 || flock(dir, LOCK_EX | LOCK_NB) < 0 || fstatat(base, r->name, &st, 0) < 0) {
        (void)unlinkat(base, r->name, AT_REMOVEDIR);
        return err_set(e, -EAGAIN, "the new group %s%s%s was taken away", path,
                       str_ends(path, "/") ? "" : "/", r->name);
    }
    *ret = TAKE_FD(dir);
    return 0;
}

/* ---- opening ---- */

static char *read_proc(const char *path)
{
    AUTO_CLOSE int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY);
    AUTO(buf) b = BUF_INIT(MAX_TEXT);
    while (fd >= 0) {
        char *room = buf_room(&b, 16384);
        ssize_t n = room ? read(fd, room, 16384) : 0;
        if (n <= 0)
            break;
        buf_commit(&b, (size_t)n);
    }
    return buf_take(&b, NULL);
}

/* "memory and pids limits: no group can be made in / (Permission denied)". One sentence for all
 * kinds with the same reason. */
static char *sentences(char *const why[CGROUP_KINDS], bool swap)
{
    AUTO(buf) b = BUF_INIT(8192);
    for (size_t i = 0; i < CGROUP_KINDS; i++) {
        bool told = !why[i];
        for (size_t k = 0; k < i; k++)
            told |= str_eq(why[k], why[i]);
        if (told)
            continue;
        if (b.len > 0)
            buf_adds(&b, " ");
        buf_addf(&b, "No %s", controllers[i]);
        for (size_t k = i + 1; k < CGROUP_KINDS; k++)
            if (str_eq(why[k], why[i]))
                buf_addf(&b, "/%s", controllers[k]);
        buf_addf(&b, " limits by cgroup: %s.", why[i]);
    }
    if (swap)
        buf_addf(&b,
                 "%sMemory limits do not cover swap: this machine swaps and its kernel does not "
                 "count it (boot with swapaccount=1).",
                 b.len > 0 ? " " : "");
    return b.len > 0 ? buf_take(&b, NULL) : NULL;
}

/* The kernel can swap, and has no file to limit that per group. */
static bool swap_uncounted(const struct cgroup_root *r)
{
    if (r->dir[CGROUP_MEMORY] < 0)
        return false;
    const char *file =
        r->version[CGROUP_MEMORY] == 2 ? "memory.swap.max" : "memory.memsw.limit_in_bytes";
    struct stat st;
    AUTO_FREE char *swaps = read_proc("/proc/swaps"); /* a headline, then one line for each */
    const char *second = strchr(swaps, '\n');
    return second && second[1] && fstatat(r->dir[CGROUP_MEMORY], file, &st, 0) < 0;
}

static void use_v1(struct cgroup_root *r, size_t kind, const struct cgroup_where *all,
                   char **ret_why)
{
    const struct cgroup_where *w = &all[kind];
    for (size_t i = 0; i < kind; i++)
        if (r->version[i] == 1 && all[i].dev_major == w->dev_major &&
            all[i].dev_minor == w->dev_minor) {
            r->dir[kind] = r->dir[i];
            r->version[kind] = 1;
            return;
        }
    struct err e = {0};
    AUTO_CLOSE int base = cgroup_dir_open(w->mount, w->group, w->dev_major, w->dev_minor, &e);
    if (base < 0 || make_run(r, base, w->path, &r->dir[kind], &e) < 0)
        *ret_why = mem_strdup(e.msg);
    else
        r->version[kind] = 1;
}

static int use_v2(struct cgroup_root *r, const struct cgroup_where *all, char **why)
{
    const char *want[CGROUP_KINDS];
    size_t kind[CGROUP_KINDS], n = 0;
    for (size_t i = 0; i < CGROUP_KINDS; i++)
        if (all[i].version == 2 && !why[i]) {
            kind[n] = i;
            want[n++] = controllers[i];
        }
    if (n == 0)
        return 0;
    struct err e = {0};
    bool on[CGROUP_KINDS] = {false};
    char *reasons[CGROUP_KINDS] = {NULL};
    const struct cgroup_where *w = &all[kind[0]];
    AUTO_CLOSE int base = cgroup_base_open(w, want, n, on, reasons, &e);
    AUTO_CLOSE int dir = -1;
    int ok = base < 0 ? base : make_run(r, base, w->path, &dir, &e);
    for (size_t i = 0; ok == 0 && i < n; i++) {
        char text[24];
        snprintf(text, sizeof(text), "+%s", want[i]);
        int w_ok = on[i] ? cgroup_write(dir, "cgroup.subtree_control", text) : 0;
        if (on[i] && (w_ok < 0 || !cgroup_has_word(dir, "cgroup.subtree_control", want[i]))) {
            on[i] = false;
            reasons[i] = mem_printf("the run's group does not take +%s (%s)", want[i],
                                    err_text(w_ok < 0 ? w_ok : -EIO));
        }
    }
    bool any = false;
    for (size_t i = 0; i < n; i++) {
        bool used = ok == 0 && on[i];
        any |= used;
        r->dir[kind[i]] = used ? dir : -1;
        r->version[kind[i]] = used ? 2 : 0;
        if (!used)
            why[kind[i]] = reasons[i] ? TAKE(reasons[i]) : mem_strdup(e.msg);
        free(reasons[i]);
    }
    if (any)
        (void)TAKE_FD(dir);
    else if (dir >= 0 && unlinkat(base, r->name, AT_REMOVEDIR) < 0)
        return -errno;
    return 0;
}

/* Gives one controller up: closes and removes its directory unless another kind uses it, too. */
static int drop(struct cgroup_root *r, size_t kind)
{
    int dir = TAKE_FD(r->dir[kind]);
    r->version[kind] = 0;
    for (size_t i = 0; i < CGROUP_KINDS; i++)
        if (r->dir[i] == dir)
            return 0;
    AUTO_CLOSE int base = openat(dir, "..", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    close(dir);
    return base < 0 ? -errno : cgroup_remove_tree(base, r->name);
}

/* Sets each kind of limit once, so that a kernel that lacks it (CONFIG_CFS_BANDWIDTH, an emulation
 * of Linux) is known now and not when the first sandbox is to start. */
static int try_limits(struct cgroup_root *r, char **why)
{
    static const struct cgroup_limits trial[CGROUP_KINDS] = {
        [CGROUP_MEMORY] = {.memory_bytes = 64u << 20},
        [CGROUP_CPU] = {.cpu_milli = 1000},
        [CGROUP_PIDS] = {.processes = 64},
    };
    struct cgroup_limits all = {.memory_bytes = 0};
    for (size_t i = 0; i < CGROUP_KINDS; i++) {
        all.memory_bytes += trial[i].memory_bytes;
        all.cpu_milli += trial[i].cpu_milli;
        all.processes += trial[i].processes;
    }
    struct cgroup g;
    struct err e = {0};
    if (cgroup_make(r, &all, &g, &e) == 0) /* nearly always: making groups is not cheap */
        return cgroup_remove(r, &g);
    for (size_t i = 0; i < CGROUP_KINDS; i++) { /* which is it? */
        e = (struct err){0};
        if (!r->version[i])
            continue;
        int res = cgroup_make(r, &trial[i], &g, &e);
        if (res == 0) {
            res = cgroup_remove(r, &g);
            if (res < 0)
                return res;
            continue;
        }
        why[i] = mem_strdup(e.msg);
        res = drop(r, i);
        if (res < 0)
            return res;
    }
    return 0;
}

static int open_root(struct cgroup_root *ret, bool try, struct err *e)
{
    struct cgroup_root r = CGROUP_ROOT_NONE;
    snprintf(r.name, sizeof(r.name), PREFIX "%016llx", (unsigned long long)rng_u64());
    *ret = CGROUP_ROOT_NONE;
    r.lock = take_name(r.name);
    if (r.lock < 0)
        return err_set(e, r.lock, "could not bind the socket of this run's groups: %s",
                       err_text(r.lock));
    AUTO_FREE char *self = read_proc("/proc/self/cgroup");
    AUTO_FREE char *mounts = read_proc("/proc/self/mountinfo");
    struct cgroup_where where[CGROUP_KINDS];
    char *why[CGROUP_KINDS] = {NULL};
    for (size_t i = 0; i < CGROUP_KINDS; i++) {
        cgroup_find(mounts, self, controllers[i], &where[i]);
        if (!where[i].version)
            why[i] = TAKE(where[i].why);
        else if (where[i].read_only)
            why[i] = mem_printf("%s is mounted read-only", where[i].mount);
    }
    for (size_t i = 0; i < CGROUP_KINDS; i++)
        if (where[i].version == 1 && !why[i])
            use_v1(&r, i, where, &why[i]);
    int res = use_v2(&r, where, why);
    if (res == 0 && try)
        res = try_limits(&r, why);
    r.why_not = sentences(why, swap_uncounted(&r));
    for (size_t i = 0; i < CGROUP_KINDS; i++) {
        cgroup_where_done(&where[i]);
        free(why[i]);
    }
    if (res < 0) {
        cgroup_root_done(&r);
        return err_set(e, res, "could not remove the group %s again: %s", r.name, err_text(res));
    }
    *ret = r;
    return 0;
}

int cgroup_root_open(struct cgroup_root *ret, struct err *e)
{
    return open_root(ret, true, e);
}

int cgroup_root_open_untried(struct cgroup_root *ret, struct err *e)
{
    return open_root(ret, false, e);
}

int cgroup_root_try(struct cgroup_root *r, struct err *e)
{
    char *why[CGROUP_KINDS] = {NULL};
    int res = try_limits(r, why);
    AUTO_FREE char *more = sentences(why, false);
    for (size_t i = 0; i < CGROUP_KINDS; i++)
        free(why[i]);
    if (more) {
        AUTO_FREE char *before = r->why_not;
        r->why_not = before ? mem_printf("%s %s", before, more) : TAKE(more);
    }
    return res < 0
               ? err_set(e, res, "could not remove the group %s again: %s", r->name, err_text(res))
               : 0;
}

void cgroup_root_done(struct cgroup_root *r)
{
    for (size_t i = 0; i < CGROUP_KINDS; i++) {
        if (!distinct(r, i))
            continue;
        AUTO_CLOSE int base = openat(r->dir[i], "..", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        int left = base < 0 ? -errno : cgroup_remove_tree(base, r->name);
        if (left < 0)
            log_warn("groups of this run could not be removed", "run=%s controller=%s error=%s",
                     r->name, controllers[i], err_name(left));
    }
    for (size_t i = CGROUP_KINDS; i-- > 0;)
        if (distinct(r, i))
            close(r->dir[i]);
    if (r->lock >= 0)
        close(r->lock);
    free(r->why_not);
    *r = CGROUP_ROOT_NONE;
}

/* ---- one sandbox ---- */

/* Writes a limit and reads it back. `may_lack`: a kernel without this file is fine. */
static int set(int dir, const char *file, const char *text, bool may_lack, struct err *e)
{
    char back[128];
    int r = cgroup_set(dir, file, text, back, sizeof(back));
    if (r == -ENOENT && may_lack)
        return 0;
    if (r < 0)
        return err_set(e, r, "the kernel does not take %s for %s: %s", text, file, err_text(r));
    if (!str_eq(back, text))
        return err_set(e, -EIO, "%s was set to %s and is %s", file, text, back);
    return 0;
}

/* A number of bytes: the kernel may round down to whole pages. */
static int set_bytes(int dir, const char *file, uint64_t bytes, bool may_lack, struct err *e)
{
    uint64_t page = (uint64_t)sysconf(_SC_PAGESIZE);
    char text[24];
    snprintf(text, sizeof(text), "%llu", (unsigned long long)(bytes - bytes % page));
    return set(dir, file, text, may_lack, e);
}

static int set_number(int dir, const char *file, uint64_t n, struct err *e)
{
    char text[24];
    snprintf(text, sizeof(text), "%llu", (unsigned long long)n);
    return set(dir, file, text, false, e);
}

static int limit_memory(int dir, int version, uint64_t bytes, struct err *e)
{
    int r;
    if (version == 2) {
        r = set_bytes(dir, "memory.max", bytes, false, e);
        if (r == 0)
            r = set(dir, "memory.swap.max", "0", true, e);
        return r < 0 ? r : set(dir, "memory.oom.group", "0", true, e);
    }
    r = set_bytes(dir, "memory.limit_in_bytes", bytes, false, e);
    if (r == 0) /* memory and swap together, hence never below the limit of memory alone */
        r = set_bytes(dir, "memory.memsw.limit_in_bytes", bytes, true, e);
    if (r == 0)
        r = set(dir, "memory.swappiness", "0", true, e);
    /* TCP's buffers are counted apart, and not at all before there is a limit. */
    if (r == 0)
        r = set_bytes(dir, "memory.kmem.tcp.limit_in_bytes", bytes, true, e);
    /* Inherited; with it a group at its limit would hang rather than have a process killed. */
    if (r == 0 && cgroup_write(dir, "memory.oom_control", "0") < 0)
        r = err_set(e, -EIO, "the kernel does not take 0 for memory.oom_control");
    return r;
}

static int limit_cpu(int dir, int version, uint64_t milli, struct err *e)
{
    uint64_t period = milli < 10 ? LONG_US : PERIOD_US; /* a quota is 1 ms or more */
    uint64_t quota = milli * (period / 1000);
    if (milli > MAX_MILLI)
        return err_set(e, -ERANGE, "a cpu limit of %llu thousandths is more than any machine has",
                       (unsigned long long)milli);
    if (version == 2) {
        char text[48];
        snprintf(text, sizeof(text), "%llu %llu", (unsigned long long)quota,
                 (unsigned long long)period);
        return set(dir, "cpu.max", text, false, e);
    }
    int r = set_number(dir, "cpu.cfs_period_us", period, e);
    if (r == 0)
        r = set_number(dir, "cpu.cfs_quota_us", quota, e);
    /* Both numbers are in range, so this is version 1's other reason: it refuses a share above that
     * of a group further up. That one holds for ours, too. */
    return r == -EINVAL ? 0 : r;
}

static int limit(int dir, size_t kind, int version, const struct cgroup_limits *l, struct err *e)
{
    switch ((enum cgroup_kind)kind) {
    case CGROUP_MEMORY:
        return l->memory_bytes ? limit_memory(dir, version, l->memory_bytes, e) : 0;
    case CGROUP_CPU:
        return l->cpu_milli ? limit_cpu(dir, version, l->cpu_milli, e) : 0;
    case CGROUP_PIDS:
        return l->processes ? set_number(dir, "pids.max", l->processes, e) : 0;
    case CGROUP_KINDS:
        break;
    }
    MUST(kind != CGROUP_KINDS);
    return -EINVAL;
}

int cgroup_make(struct cgroup_root *r, const struct cgroup_limits *l, struct cgroup *ret,
                struct err *e)
{
    if (l->memory_bytes && l->memory_bytes < MIN_MEMORY)
        return err_set(e, -ERANGE,
                       "a memory limit of %llu bytes is less than the %u a sandbox "
                       "needs to start",
                       (unsigned long long)l->memory_bytes, MIN_MEMORY);
    struct cgroup g = {.name = ""};
    snprintf(g.name, sizeof(g.name), "%llu", (unsigned long long)r->next++);
    int res = 0;
    bool any = false;
    for (size_t i = 0; res == 0 && i < CGROUP_KINDS; i++) {
        if (r->dir[i] < 0)
            continue;
        if (distinct(r, i) && mkdirat(r->dir[i], g.name, 0755) < 0) {
            res = err_set(e, -errno, "could not make a %s group: %m", controllers[i]);
            break;
        }
        any = true;
        AUTO_CLOSE int dir = cgroup_dir_below(r->dir[i], g.name);
        res = dir < 0 ? err_set(e, dir, "could not open the new %s group: %s", controllers[i],
                                err_text(dir))
                      : limit(dir, i, r->version[i], l, e);
    }
    if (res < 0) {
        (void)cgroup_remove(r, &g);
        return res;
    }
    *ret = any ? g : (struct cgroup){.name = ""};
    return 0;
}

/* On version 1 a single thread moves without waiting: a whole process (cgroup.procs) has to wait
 * for every processor to pass a quiet point, some ten milliseconds when nobody has moved lately.
 * Version 2 moves no single thread into a group that limits memory. */
static const char *door_name(int version)
{
    return version == 1 ? "tasks" : "cgroup.procs";
}

int cgroup_open_doors(const struct cgroup_root *r, const struct cgroup *g, struct cgroup_entry *ret,
                      struct err *e)
{
    AUTO(cgroup_entry) d = CGROUP_ENTRY_NONE;
    for (size_t i = 0; g->name[0] && i < CGROUP_KINDS; i++) {
        if (!distinct(r, i))
            continue;
        AUTO_CLOSE int dir = cgroup_dir_below(r->dir[i], g->name);
        int fd = dir < 0 ? dir : cgroup_file_open(dir, door_name(r->version[i]), O_WRONLY);
        if (fd < 0)
            return err_set(e, fd, "the %s group of a sandbox cannot be opened: %s", controllers[i],
                           err_text(fd));
        d.fd[i] = fd;
    }
    *ret = d;
    d = CGROUP_ENTRY_NONE;
    return 0;
}

/* A file of the sandbox's memory group, for reading only. */
static int open_memory_file(const struct cgroup_root *r, const struct cgroup *g, const char *name)
{
    if (r->dir[CGROUP_MEMORY] < 0 || !g->name[0])
        return -1;
    AUTO_CLOSE int dir = cgroup_dir_below(r->dir[CGROUP_MEMORY], g->name);
    return dir < 0 ? -1 : openat(dir, name, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
}

int cgroup_oom_fd(const struct cgroup_root *r, const struct cgroup *g)
{
    return open_memory_file(
        r, g, r->version[CGROUP_MEMORY] == 2 ? "memory.events" : "memory.oom_control");
}

int cgroup_stat_fd(const struct cgroup_root *r, const struct cgroup *g)
{
    return open_memory_file(r, g, "memory.stat");
}

int cgroup_remove(const struct cgroup_root *r, const struct cgroup *g)
{
    int res = 0;
    for (size_t i = 0; g->name[0] && i < CGROUP_KINDS; i++) {
        int one = distinct(r, i) ? cgroup_remove_tree(r->dir[i], g->name) : 0;
        if (one < 0 && res == 0)
            res = one;
    }
    return res;
}
