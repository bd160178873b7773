/* test_cgroup.c - groups as the kernel of this machine applies them. What version is there decides
 * what is tested: tools/vm-test runs the same program on the other ones. A test that needs groups
 * where none can be made says so and is skipped. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <dirent.h>
#include <sched.h>
#include <sys/mount.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <time.h>

#include "base/log.h"
#include "base/str.h"
#include "unit/sandbox/cgroup/cgroup_kit.h"
#include "sandbox/cgroup/find.h"

#define MIB (1u << 20)

static struct cgroup_root root = CGROUP_ROOT_NONE;

static int open_root(void **state)
{
    (void)state;
    struct err e;
    return cgroup_root_open(&root, &e);
}

static int close_root(void **state)
{
    (void)state;
    cgroup_root_done(&root);
    return 0;
}

static void need(enum cgroup_kind kind)
{
    if (root.version[kind])
        return;
    print_message("skipped: %s\n", root.why_not ? root.why_not : "no such controller");
    skip();
}

static struct cgroup make(const struct cgroup_limits *l)
{
    struct cgroup g;
    struct err e = {0};
    int r = cgroup_make(&root, l, &g, &e);
    if (r < 0)
        print_error("%s\n", e.msg);
    assert_int_equal(r, 0);
    return g;
}

/* Directories in `dir`, or -1 when it is gone. */
static int count(int dir)
{
    int fd = openat(dir, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    DIR *d = fd < 0 ? NULL : fdopendir(fd);
    int n = 0;
    for (struct dirent *de; d && (de = readdir(d));)
        n += de->d_type == DT_DIR && de->d_name[0] != '.';
    if (d)
        closedir(d);
    return d ? n : -1;
}

static const char *value(enum cgroup_kind kind, const struct cgroup *g, const char *v1,
                         const char *v2)
{
    char path[128];
    snprintf(path, sizeof(path), "%s/%s", g->name, root.version[kind] == 1 ? v1 : v2);
    return kit_read(root.dir[kind], path);
}

/* ---- limits ---- */

static void limits_are_set(void **state)
{
    (void)state;
    struct cgroup g = make(&(struct cgroup_limits){64 * MIB + 1, 1500, 77});
    struct cgroup tiny = make(&(struct cgroup_limits){.cpu_milli = 2});
    struct cgroup free_of = make(&(struct cgroup_limits){.memory_bytes = 0});
    if (root.version[CGROUP_MEMORY]) {
        assert_string_equal(value(CGROUP_MEMORY, &g, "memory.limit_in_bytes", "memory.max"),
                            "67108864");
        if (root.version[CGROUP_MEMORY] == 1)
            assert_string_equal(value(CGROUP_MEMORY, &g, "memory.swappiness", ""), "0");
    }
    if (root.version[CGROUP_CPU] == 1) {
        assert_string_equal(value(CGROUP_CPU, &g, "cpu.cfs_quota_us", ""), "150000");
        assert_string_equal(value(CGROUP_CPU, &tiny, "cpu.cfs_quota_us", ""), "2000");
        assert_string_equal(value(CGROUP_CPU, &tiny, "cpu.cfs_period_us", ""), "1000000");
        assert_string_equal(value(CGROUP_CPU, &free_of, "cpu.cfs_quota_us", ""), "-1");
    } else if (root.version[CGROUP_CPU] == 2) {
        assert_string_equal(value(CGROUP_CPU, &g, "", "cpu.max"), "150000 100000");
        assert_string_equal(value(CGROUP_CPU, &tiny, "", "cpu.max"), "2000 1000000");
        assert_string_equal(value(CGROUP_CPU, &free_of, "", "cpu.max"), "max 100000");
    }
    if (root.version[CGROUP_PIDS]) {
        assert_string_equal(value(CGROUP_PIDS, &g, "pids.max", "pids.max"), "77");
        assert_string_equal(value(CGROUP_PIDS, &free_of, "pids.max", "pids.max"), "max");
    }
    assert_int_equal(cgroup_remove(&root, &g), 0);
    assert_int_equal(cgroup_remove(&root, &tiny), 0);
    assert_int_equal(cgroup_remove(&root, &free_of), 0);
}

/* What cannot be set is refused with words, and no group is left behind in any hierarchy. */
static void impossible_limits_are_refused_and_leave_nothing(void **state)
{
    (void)state;
    static const struct {
        enum cgroup_kind kind;
        struct cgroup_limits l;
        const char *words;
    } table[] = {
        {CGROUP_KINDS, {.memory_bytes = 4096}, "less than"},
        {CGROUP_KINDS, {.memory_bytes = 1}, "less than"},
        {CGROUP_MEMORY, {.memory_bytes = UINT64_MAX}, "memory."},
        {CGROUP_CPU, {.memory_bytes = 64 * MIB, .cpu_milli = UINT64_MAX}, "cpu limit"},
        {CGROUP_CPU, {.memory_bytes = 64 * MIB, .cpu_milli = UINT64_MAX / 1000}, "cpu"},
        {CGROUP_PIDS, {.memory_bytes = 64 * MIB, .processes = UINT64_MAX}, "pids.max"},
    };
    for (size_t i = 0; i < ARRAY_LEN(table); i++) {
        if (table[i].kind != CGROUP_KINDS && !root.version[table[i].kind])
            continue;
        struct cgroup g = {.name = "untouched"};
        struct err e = {0};
        int r = cgroup_make(&root, &table[i].l, &g, &e);
        if (r >= 0 || !strstr(e.msg, table[i].words))
            print_error("%zu: %d %s\n", i, r, e.msg);
        assert_true(r < 0);
        assert_non_null(strstr(e.msg, table[i].words));
        assert_string_equal(g.name, "untouched");
        for (size_t k = 0; k < CGROUP_KINDS; k++)
            if (root.dir[k] >= 0)
                assert_int_equal(count(root.dir[k]), 0);
    }
}

static void memory_is_capped(void **state)
{
    (void)state;
    need(CGROUP_MEMORY);
    struct cgroup g = make(&(struct cgroup_limits){.memory_bytes = 32 * MIB});
    struct cgroup other = make(&(struct cgroup_limits){.memory_bytes = 512 * MIB});
    int fd = cgroup_oom_fd(&root, &g), fd2 = cgroup_oom_fd(&root, &other);
    assert_true(fd >= 0 && fd2 >= 0);
    size_t little = 4 * MIB, much = 256 * MIB;
    assert_int_equal(kit_child_in(&root, &g, kit_hog, &little), 0);
    assert_int_equal(cgroup_oom_kills(fd), 0);
    for (uint64_t i = 1; i <= 3; i++) {
        assert_int_equal(kit_child_in(&root, &g, kit_hog, &much), SIGKILL);
        assert_int_equal(cgroup_oom_kills(fd), i);
    }
    assert_int_equal(kit_child_in(&root, &other, kit_hog, &much), 0);
    assert_int_equal(cgroup_oom_kills(fd2), 0);
    /* The descriptor tells a number and takes nothing. */
    assert_int_equal(write(fd, "1", 1), -1);
    assert_int_equal(cgroup_remove(&root, &g), 0);
    assert_int_equal(cgroup_oom_kills(fd), 0); /* gone: cannot be read */
    assert_int_equal(cgroup_remove(&root, &other), 0);
    close(fd);
    close(fd2);
    assert_int_equal(cgroup_oom_kills(-1), 0);
}

/* How many children it could have at once. */
static int fork_until_refused(void *arg)
{
    (void)arg;
    int n = 0, why = 0;
    for (; n < 50; n++) {
        pid_t pid = fork();
        if (pid < 0) {
            why = errno;
            break;
        }
        if (pid == 0)
            for (;;)
                pause();
    }
    (void)signal(SIGTERM, SIG_IGN);
    return why == EAGAIN ? n : 97; /* the children die below */
}

/* pid 1 of a pid namespace, so that nothing survives it. */
static int forks_in_namespace(void *arg)
{
    if (unshare(CLONE_NEWPID) < 0)
        return 96;
    pid_t pid = fork();
    if (pid == 0)
        _exit(fork_until_refused(arg));
    int status;
    return pid > 0 && waitpid(pid, &status, 0) == pid && WIFEXITED(status) ? WEXITSTATUS(status)
                                                                           : 95;
}

static void processes_are_capped(void **state)
{
    (void)state;
    need(CGROUP_PIDS);
    if (geteuid() != 0)
        skip(); /* needs a pid namespace, so that nothing of it can survive */
    struct cgroup g = make(&(struct cgroup_limits){.processes = 10});
    int status = kit_child_in(&root, &g, forks_in_namespace, NULL);
    assert_true(WIFEXITED(status));
    assert_int_equal(WEXITSTATUS(status), 8); /* ten with the two above them */
    assert_int_equal(cgroup_remove(&root, &g), 0);
}

static int64_t now_ms(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

static uint64_t throttled(const struct cgroup *g)
{
    char path[64];
    snprintf(path, sizeof(path), "%s/cpu.stat", g->name);
    int fd = openat(root.dir[CGROUP_CPU], path, O_RDONLY | O_CLOEXEC);
    char text[1024];
    ssize_t n = read(fd, text, sizeof(text) - 1);
    close(fd);
    assert_true(n > 0);
    text[n] = '\0';
    const char *p = strstr(text, "nr_throttled ");
    assert_non_null(p);
    p += strlen("nr_throttled ");
    uint64_t v;
    assert_int_equal(str_to_u64(p, strcspn(p, "\n"), UINT64_MAX, &v), 0);
    return v;
}

/* Spins for 1.5 s of wall time, and on until `throttle` (may be NULL), a group this process is in,
 * was held back. Gives the processor time it had in that, in percent. */
static int spin(void *throttle)
{
    int64_t began = now_ms(), took;
    while ((took = now_ms() - began) < 1500 ||
           (throttle && throttled(throttle) == 0 && took < 60000))
        ;
    struct rusage u;
    getrusage(RUSAGE_SELF, &u);
    int64_t used = u.ru_utime.tv_sec * 1000 + u.ru_utime.tv_usec / 1000 + u.ru_stime.tv_sec * 1000 +
                   u.ru_stime.tv_usec / 1000;
    return (int)(100 * used / took);
}

/* The share may be less on a busy machine, never more; that the limit was what held is in cpu.stat.
 * It is so small that a busy machine gives that much as well. */
static void processor_is_capped(void **state)
{
    (void)state;
    need(CGROUP_CPU);
    struct cgroup g = make(&(struct cgroup_limits){.cpu_milli = 50});
    int status = kit_child_in(&root, &g, spin, &g);
    assert_true(WIFEXITED(status));
    print_message("50 milli: %d %% of wall time, throttled %d times\n", WEXITSTATUS(status),
                  (int)throttled(&g));
    assert_in_range(WEXITSTATUS(status), 1, 15);
    assert_true(throttled(&g) > 0);
    assert_int_equal(cgroup_remove(&root, &g), 0);
}

/* ---- joining and removing ---- */

/* What a child of init does. */
static int enter(const struct cgroup_root *r, const struct cgroup *g)
{
    struct err e;
    struct cgroup_entry d = CGROUP_ENTRY_NONE;
    int res = cgroup_open_doors(r, g, &d, &e);
    if (res >= 0)
        res = cgroup_enter(&d);
    cgroup_entry_done(&d);
    return res;
}

static void joining_fails_when_process_or_group_is_gone(void **state)
{
    (void)state;
    need(CGROUP_MEMORY);
    struct cgroup g = make(&(struct cgroup_limits){.memory_bytes = 64 * MIB});
    struct err e = {0};
    pid_t pid = fork();
    if (pid == 0)
        _exit(0);
    assert_int_equal(waitpid(pid, NULL, 0), pid);
    assert_int_equal(kit_join(&root, &g, pid, &e), -ESRCH);
    assert_string_equal(value(CGROUP_MEMORY, &g, "cgroup.procs", "cgroup.procs"), "");
    assert_int_equal(cgroup_remove(&root, &g), 0);
    pid = kit_sleeper();
    assert_true(kit_join(&root, &g, pid, &e) < 0); /* the group is gone */
    kit_kill(pid);
}

static void a_group_without_processes_is_removed_with_those_inside(void **state)
{
    (void)state;
    need(CGROUP_MEMORY);
    struct cgroup g = make(&(struct cgroup_limits){.processes = 8});
    struct err e;
    pid_t pid = kit_sleeper();
    assert_int_equal(kit_join(&root, &g, pid, &e), 0);
    assert_int_equal(cgroup_remove(&root, &g), -EBUSY);
    kit_kill(pid);
    assert_int_equal(cgroup_remove(&root, &g), 0);
    assert_int_equal(cgroup_remove(&root, &g), 0); /* again */
    /* Groups that somebody made inside go with it, those beside each other and below each other. */
    g = make(&(struct cgroup_limits){.processes = 8});
    static const char *const inner[] = {"a", "a/b", "a/b/c", "a/d", "e", "f"};
    for (size_t i = 0; i < ARRAY_LEN(inner); i++) {
        char path[64];
        snprintf(path, sizeof(path), "%s/%s", g.name, inner[i]);
        assert_int_equal(mkdirat(root.dir[CGROUP_MEMORY], path, 0755), 0);
    }
    assert_int_equal(cgroup_remove(&root, &g), 0);
    for (size_t k = 0; k < CGROUP_KINDS; k++)
        if (root.dir[k] >= 0)
            assert_int_equal(count(root.dir[k]), 0);
}

static void six_hundred_groups_come_and_go(void **state)
{
    (void)state;
    need(CGROUP_MEMORY);
    static struct cgroup g[600];
    for (size_t i = 0; i < ARRAY_LEN(g); i++)
        g[i] = make(&(struct cgroup_limits){64 * MIB, 1000, 64});
    assert_int_equal(count(root.dir[CGROUP_MEMORY]), 600);
    for (size_t i = 0; i < ARRAY_LEN(g); i++)
        assert_int_equal(cgroup_remove(&root, &g[i]), 0);
    assert_int_equal(count(root.dir[CGROUP_MEMORY]), 0);
}

/* ---- runs ---- */

/* The run's directory, seen from the one of another run beside it. */
static bool run_exists(enum cgroup_kind kind, const char *name)
{
    char path[64];
    struct stat st;
    snprintf(path, sizeof(path), "../%s", name);
    return fstatat(root.dir[kind], path, &st, 0) == 0;
}

/* A run with three groups, a group in one of them and, when arg is not NULL, process *arg in
 * another. Tells its name and waits to be killed. */
struct owner {
    int out;
    pid_t inside;
};

static int own(void *arg)
{
    struct owner *o = arg;
    struct cgroup_root r;
    struct cgroup g;
    struct err e;
    CHECK(cgroup_root_open(&r, &e) == 0);
    for (int i = 0; i < 3; i++)
        CHECK(cgroup_make(&r, &(struct cgroup_limits){64 * MIB, 100, 10}, &g, &e) == 0);
    char nested[64];
    snprintf(nested, sizeof(nested), "%s/nested", g.name);
    CHECK(mkdirat(r.dir[CGROUP_MEMORY], nested, 0755) == 0);
    CHECK(o->inside <= 0 || kit_join(&r, &g, o->inside, &e) == 0);
    CHECK(write(o->out, r.name, sizeof(r.name)) == sizeof(r.name));
    for (;;)
        pause();
}

/* Starts one and learns its name. */
static pid_t start_owner(pid_t inside, char name[40])
{
    int p[2];
    assert_int_equal(pipe2(p, O_CLOEXEC), 0);
    pid_t pid = fork();
    if (pid == 0) {
        (void)prctl(PR_SET_PDEATHSIG, SIGKILL);
        struct owner o = {p[1], inside};
        _exit(own(&o));
    }
    close(p[1]);
    assert_int_equal(read(p[0], name, 40), 40);
    close(p[0]);
    return pid;
}

static void reopen(void)
{
    struct err e;
    cgroup_root_done(&root);
    assert_int_equal(cgroup_root_open(&root, &e), 0);
}

static void dead_runs_are_swept(void **state)
{
    (void)state;
    need(CGROUP_MEMORY);
    char name[40];
    pid_t pid = start_owner(0, name);
    assert_string_not_equal(name, root.name);
    reopen(); /* a sweep while it lives leaves it alone */
    for (size_t k = 0; k < CGROUP_KINDS; k++)
        if (root.dir[k] >= 0)
            assert_true(run_exists((enum cgroup_kind)k, name));
    kit_kill(pid);
    assert_true(run_exists(CGROUP_MEMORY, name));
    reopen();
    for (size_t k = 0; k < CGROUP_KINDS; k++)
        if (root.dir[k] >= 0)
            assert_false(run_exists((enum cgroup_kind)k, name));
}

/* A process that outlived its run is told about and left alone; the rest goes. */
static void a_sweep_tells_of_busy_groups(void **state)
{
    (void)state;
    need(CGROUP_MEMORY);
    char name[40], path[64], line[1024] = "";
    pid_t inside = kit_sleeper();
    kit_kill(start_owner(inside, name));
    int p[2];
    assert_int_equal(pipe2(p, O_CLOEXEC), 0);
    log_test_set_fd(p[1]);
    reopen();
    log_test_set_fd(2);
    close(p[1]);
    assert_true(read(p[0], line, sizeof(line) - 1) > 0);
    close(p[0]);
    assert_non_null(strstr(line, "groups of a dead run could not be removed"));
    assert_non_null(strstr(line, name));
    assert_non_null(strstr(line, "error=EBUSY"));
    assert_int_equal(kill(inside, 0), 0);
    snprintf(path, sizeof(path), "../%s", name);
    int dir = openat(root.dir[CGROUP_MEMORY], path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    assert_int_equal(count(dir), 1);
    close(dir);
    kit_kill(inside);
    reopen();
    assert_false(run_exists(CGROUP_MEMORY, name));
}

/* Who holds a name's socket in another network namespace is still seen by the lock. */
static void a_run_in_another_network_namespace_is_not_swept(void **state)
{
    (void)state;
    need(CGROUP_MEMORY);
    if (geteuid() != 0)
        skip();
    char name[40];
    int p[2];
    assert_int_equal(pipe2(p, O_CLOEXEC), 0);
    pid_t pid = fork();
    if (pid == 0) {
        (void)prctl(PR_SET_PDEATHSIG, SIGKILL);
        struct owner o = {p[1], 0};
        _exit(unshare(CLONE_NEWNET) < 0 ? 1 : own(&o));
    }
    close(p[1]);
    assert_int_equal(read(p[0], name, 40), 40);
    close(p[0]);
    reopen();
    assert_true(run_exists(CGROUP_MEMORY, name));
    kit_kill(pid);
    reopen();
    assert_false(run_exists(CGROUP_MEMORY, name));
}

static void closed_runs_leave_nothing(void **state)
{
    (void)state;
    need(CGROUP_MEMORY);
    struct cgroup_root r;
    struct err e;
    struct cgroup g;
    assert_int_equal(cgroup_root_open(&r, &e), 0);
    assert_int_equal(cgroup_make(&r, &(struct cgroup_limits){.processes = 3}, &g, &e), 0);
    assert_true(run_exists(CGROUP_MEMORY, r.name));
    char name[40];
    memcpy(name, r.name, sizeof(name));
    cgroup_root_done(&r);
    assert_false(run_exists(CGROUP_MEMORY, name));
    cgroup_root_done(&r); /* it is CGROUP_ROOT_NONE now */
}

/* ---- hosts without ---- */

/* No limits, and all the calls still work as if there were nothing to do. */
static int without(const char *words)
{
    struct cgroup_root r;
    struct cgroup g;
    struct err e = {0};
    CHECK(cgroup_root_open(&r, &e) == 0);
    CHECK(!r.version[CGROUP_MEMORY] && !r.version[CGROUP_CPU] && !r.version[CGROUP_PIDS]);
    CHECK(r.why_not);
    if (!strstr(r.why_not, words))
        fprintf(stderr, "why_not: %s\n", r.why_not);
    CHECK(strstr(r.why_not, words));
    CHECK(r.dir[0] == -1 && r.dir[1] == -1 && r.dir[2] == -1);
    CHECK(cgroup_make(&r, &(struct cgroup_limits){64 * MIB, 100, 10}, &g, &e) == 0);
    CHECK(g.name[0] == '\0');
    CHECK(enter(&r, &g) == 0);
    CHECK(cgroup_oom_fd(&r, &g) == -1);
    CHECK(cgroup_remove(&r, &g) == 0);
    cgroup_root_done(&r);
    return 0;
}

static int own_mounts(void)
{
    return unshare(CLONE_NEWNS) == 0 && mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) == 0 ? 0
                                                                                               : -1;
}

static int unmounted(void *arg)
{
    (void)arg;
    CHECK(own_mounts() == 0);
    CHECK(umount2("/sys/fs/cgroup", MNT_DETACH) == 0);
    return without("mounted");
}

static int covered(void *arg)
{
    (void)arg;
    CHECK(own_mounts() == 0);
    CHECK(mount("t", "/sys/fs/cgroup", "tmpfs", 0, NULL) == 0);
    return without("mounted");
}

static int read_only(void *arg)
{
    (void)arg;
    struct mount_attr ro = {.attr_set = MOUNT_ATTR_RDONLY};
    CHECK(own_mounts() == 0);
    CHECK(syscall(SYS_mount_setattr, AT_FDCWD, "/sys/fs/cgroup", AT_RECURSIVE, &ro, sizeof(ro)) ==
          0);
    return without("read-only");
}

/* One hierarchy is hidden: the others still serve. */
static int one_hidden(void *arg)
{
    (void)arg;
    struct cgroup_root r;
    struct cgroup g;
    struct err e = {0};
    CHECK(own_mounts() == 0);
    CHECK(umount2("/sys/fs/cgroup/cpu", MNT_DETACH) == 0 ||
          umount2("/sys/fs/cgroup/cpu,cpuacct", MNT_DETACH) == 0);
    CHECK(cgroup_root_open(&r, &e) == 0);
    CHECK(r.version[CGROUP_MEMORY] == 1 && r.version[CGROUP_CPU] == 0);
    CHECK(r.why_not && strstr(r.why_not, "No cpu limits by cgroup: the version 1 hierarchy with "
                                         "the cpu controller is not mounted."));
    CHECK(!strstr(r.why_not, "memory"));
    CHECK(cgroup_make(&r, &(struct cgroup_limits){32 * MIB, 100, 10}, &g, &e) == 0);
    size_t much = 128 * MIB;
    CHECK(kit_child_in(&r, &g, kit_hog, &much) == SIGKILL);
    CHECK(cgroup_remove(&r, &g) == 0);
    cgroup_root_done(&r);
    return 0;
}

/* Nothing was handed over to this user. */
static int nobody(void *arg)
{
    (void)arg;
    CHECK(setgid(65534) == 0 && setuid(65534) == 0);
    return without("no group can be made in");
}

static void hosts_without_groups_are_told_and_still_work(void **state)
{
    (void)state;
    need(CGROUP_MEMORY);
    if (geteuid() != 0)
        skip();
    assert_int_equal(kit_child(unmounted, NULL), 0);
    assert_int_equal(kit_child(covered, NULL), 0);
    assert_int_equal(kit_child(read_only, NULL), 0);
    assert_int_equal(kit_child(nobody, NULL), 0);
    if (root.version[CGROUP_CPU] == 1 && root.dir[CGROUP_CPU] != root.dir[CGROUP_MEMORY])
        assert_int_equal(kit_child(one_hidden, NULL), 0);
}

/* Version 1 refuses a share above that of a group further up: that one holds then. */
static int in_tight_group(void *arg)
{
    (void)arg;
    struct cgroup_root r;
    struct cgroup g;
    struct err e = {0};
    char pid[24];
    snprintf(pid, sizeof(pid), "%d", (int)getpid());
    CHECK(mkdirat(root.dir[CGROUP_CPU], "tight", 0755) == 0);
    CHECK(kit_write(root.dir[CGROUP_CPU], "tight/cpu.cfs_quota_us", "20000") == 0);
    CHECK(kit_write(root.dir[CGROUP_CPU], "tight/cgroup.procs", pid) == 0);
    CHECK(cgroup_root_open(&r, &e) == 0);
    CHECK(r.version[CGROUP_CPU] == 1);
    CHECK(cgroup_make(&r, &(struct cgroup_limits){.cpu_milli = 800}, &g, &e) == 0);
    int status = kit_child_in(&r, &g, spin, NULL);
    CHECK(WIFEXITED(status) && WEXITSTATUS(status) >= 1 && WEXITSTATUS(status) <= 40);
    CHECK(cgroup_remove(&r, &g) == 0);
    cgroup_root_done(&r);
    return 0;
}

static void a_tighter_group_above_still_holds(void **state)
{
    (void)state;
    if (root.version[CGROUP_CPU] != 1)
        skip(); /* version 2 takes the smaller of the two by itself */
    assert_int_equal(kit_child(in_tight_group, NULL), 0);
    assert_int_equal(unlinkat(root.dir[CGROUP_CPU], "tight", AT_REMOVEDIR), 0);
}

/* ---- a place of our own ---- */

/* Runs are made below the own group of who makes them, and whoever opens a root there sweeps them
 * all: other tests and programs of this machine would take away what is looked at here. So this
 * process moves into groups of its own. On version 2 only an empty group can pass controllers on,
 * which is why it stays where it is there. */
static int outer[CGROUP_KINDS] = {-1, -1, -1};
static char own_group[32];

static void go_to(int dir, const char *group)
{
    char path[64];
    snprintf(path, sizeof(path), "%scgroup.procs", group);
    assert_int_equal(kit_write(dir, path, "0"), 0);
}

static int move_in(void **state)
{
    (void)state;
    if (geteuid() != 0)
        return 0; /* nor will there be groups to test, on version 1 */
    static const char *const controllers[CGROUP_KINDS] = {"memory", "cpu", "pids"};
    AUTO_FREE char *mounts = kit_text("/proc/self/mountinfo"),
                   *self = kit_text("/proc/self/cgroup");
    snprintf(own_group, sizeof(own_group), "test-cgroup-%d/", (int)getpid());
    for (size_t k = 0; k < CGROUP_KINDS; k++) {
        struct cgroup_where w;
        cgroup_find(mounts, self, controllers[k], &w);
        AUTO_FREE char *path = w.version == 1 ? mem_printf("%s/%s", w.mount, w.group) : NULL;
        cgroup_where_done(&w);
        outer[k] = path ? open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC) : -1;
        if (outer[k] < 0)
            continue;
        if (mkdirat(outer[k], own_group, 0755) == 0 || errno == EEXIST) {
            go_to(outer[k], own_group);
        } else { /* read-only, as in some containers */
            close(outer[k]);
            outer[k] = -1;
        }
    }
    return 0;
}

static int move_out(void **state)
{
    (void)state;
    for (size_t k = 0; k < CGROUP_KINDS; k++) {
        if (outer[k] < 0)
            continue;
        go_to(outer[k], "");
        assert_true(unlinkat(outer[k], own_group, AT_REMOVEDIR) == 0 || errno == ENOENT);
        close(outer[k]);
    }
    return 0;
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, open_root, close_root)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(limits_are_set),
        TEST(impossible_limits_are_refused_and_leave_nothing),
        TEST(memory_is_capped),
        TEST(processes_are_capped),
        TEST(processor_is_capped),
        TEST(joining_fails_when_process_or_group_is_gone),
        TEST(a_group_without_processes_is_removed_with_those_inside),
        TEST(six_hundred_groups_come_and_go),
        TEST(dead_runs_are_swept),
        TEST(a_sweep_tells_of_busy_groups),
        TEST(a_run_in_another_network_namespace_is_not_swept),
        TEST(closed_runs_leave_nothing),
        TEST(hosts_without_groups_are_told_and_still_work),
        TEST(a_tighter_group_above_still_holds),
    };
    log_init("test", LOG_WARN);
    return cmocka_run_group_tests(tests, move_in, move_out);
}
