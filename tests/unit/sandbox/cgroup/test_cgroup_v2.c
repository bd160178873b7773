/* test_cgroup_v2.c - delegation on version 2: whose group may be used, and what becomes of the
 * processes in it. Needs root and a machine that has its controllers on version 2 and no limits on
 * its root; on any other it says so and is skipped. `tools/vm-test` boots one:
 *   tools/vm-test build/tests/unit/sandbox/test_sandbox_cgroup_cgroup_v2 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <sched.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/xattr.h>

#include "base/log.h"
#include "base/str.h"
#include "unit/sandbox/cgroup/cgroup_kit.h"

#define MIB  (1u << 20)
#define USER 1000u

static int top = -1; /* /sys/fs/cgroup */

static int begin(void **state)
{
    (void)state;
    int fd = open("/sys/fs/cgroup", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (geteuid() != 0 || fd < 0 || !strstr(kit_read(fd, "cgroup.controllers"), "memory") ||
        kit_write(fd, "cgroup.subtree_control", "+memory +cpu +pids") < 0)
        print_message("no root of a version 2 hierarchy that is ours: all tests are skipped\n");
    else
        top = fd;
    return 0;
}

static void need_top(void)
{
    if (top < 0)
        skip();
}

/* A group at the top for the test, without processes. */
static int group(const char *name)
{
    assert_int_equal(mkdirat(top, name, 0755), 0);
    int fd = openat(top, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    assert_true(fd >= 0);
    return fd;
}

static void rmgroup(const char *name, int fd)
{
    (void)unlinkat(fd, "sallyport-main", AT_REMOVEDIR);
    close(fd);
    assert_int_equal(unlinkat(top, name, AT_REMOVEDIR), 0);
}

static void hand_over(int dir)
{
    assert_int_equal(fchown(dir, USER, USER), 0);
    static const char *const files[] = {"cgroup.procs", "cgroup.threads", "cgroup.subtree_control"};
    for (size_t i = 0; i < ARRAY_LEN(files); i++)
        assert_int_equal(fchownat(dir, files[i], USER, USER, 0), 0);
}

static int enter(int dir)
{
    char pid[24];
    snprintf(pid, sizeof(pid), "%d", (int)getpid());
    return kit_write(dir, "cgroup.procs", pid);
}

static int become_user(void)
{
    return setgid(USER) == 0 && setuid(USER) == 0 ? 0 : -1;
}

static bool exists(int dir, const char *name)
{
    struct stat st;
    return fstatat(dir, name, &st, 0) == 0;
}

/* All three limits, enforced, below `dir`. */
static int works_below(int dir)
{
    struct cgroup_root r;
    struct cgroup g;
    struct err e = {0};
    CHECK(cgroup_root_open(&r, &e) == 0);
    if (r.why_not)
        fprintf(stderr, "why_not: %s\n", r.why_not);
    CHECK(!r.why_not);
    for (int i = 0; i < CGROUP_KINDS; i++)
        CHECK(r.version[i] == 2 && r.dir[i] == r.dir[0]);
    CHECK(exists(dir, r.name));
    CHECK(cgroup_make(&r, &(struct cgroup_limits){32 * MIB, 500, 16}, &g, &e) == 0);
    char path[128];
    snprintf(path, sizeof(path), "%s/%s/memory.max", r.name, g.name);
    CHECK(str_eq(kit_read(dir, path), "33554432"));
    snprintf(path, sizeof(path), "%s/%s/memory.swap.max", r.name, g.name);
    CHECK(str_eq(kit_read(dir, path), "0"));
    int fd = cgroup_oom_fd(&r, &g);
    size_t much = 128 * MIB;
    int status = kit_child_in(&r, &g, kit_hog, &much);
    CHECK(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
    CHECK(cgroup_oom_kills(fd) == 1);
    close(fd);
    CHECK(cgroup_remove(&r, &g) == 0);
    char name[40];
    memcpy(name, r.name, sizeof(name));
    cgroup_root_done(&r);
    CHECK(!exists(dir, name));
    return 0;
}

static int refused(const char *words)
{
    struct cgroup_root r;
    struct err e = {0};
    CHECK(cgroup_root_open(&r, &e) == 0);
    CHECK(!r.version[0] && !r.version[1] && !r.version[2] && r.why_not);
    if (!strstr(r.why_not, words))
        fprintf(stderr, "why_not: %s\n", r.why_not);
    CHECK(strstr(r.why_not, words));
    cgroup_root_done(&r);
    return 0;
}

/* ---- an ordinary user ---- */

static int user_twice(void *arg)
{
    int dir = *(int *)arg;
    CHECK(enter(dir) == 0 && become_user() == 0);
    pid_t beside = kit_sleeper(); /* a second process of the unit: it has to move, too */
    CHECK(works_below(dir) == 0);
    char pid[24];
    snprintf(pid, sizeof(pid), "%d", (int)getpid());
    CHECK(str_eq(kit_read(dir, "cgroup.procs"), ""));
    CHECK(str_eq(kit_read(dir, "sallyport-main/cgroup.procs"), pid));
    CHECK(str_eq(kit_read(dir, "cgroup.subtree_control"), "cpu memory pids"));
    /* Now our own group is the leaf; the next run finds the delegated one above it. */
    CHECK(works_below(dir) == 0);
    CHECK(!exists(dir, "sallyport-main/sallyport-main"));
    kit_kill(beside);
    return 0;
}

static void a_user_may_use_a_delegated_group(void **state)
{
    (void)state;
    need_top();
    int dir = group("unit.service");
    hand_over(dir);
    assert_int_equal(kit_child(user_twice, &dir), 0);
    rmgroup("unit.service", dir);
}

static int user_plain(void *arg)
{
    CHECK(enter(*(int *)arg) == 0 && become_user() == 0);
    return refused("belongs to systemd and is not delegated to us: give the unit Delegate=yes, or "
                   "start with systemd-run --user --scope");
}

/* Everything in it is the user's, as in groups that a user's own systemd made: not handed over. */
static void what_a_users_systemd_made_is_not_delegated(void **state)
{
    (void)state;
    need_top();
    int dir = group("app.scope");
    hand_over(dir);
    assert_int_equal(fchownat(dir, "cgroup.max.depth", USER, USER, 0), 0);
    assert_int_equal(kit_child(user_plain, &dir), 0);
    rmgroup("app.scope", dir);
}

static int user_unwritable(void *arg)
{
    CHECK(enter(*(int *)arg) == 0 && become_user() == 0);
    return refused("(Permission denied)");
}

static void a_group_that_is_not_the_users_is_refused(void **state)
{
    (void)state;
    need_top();
    int dir = group("plain");
    assert_int_equal(kit_child(user_unwritable, &dir), 0);
    assert_false(exists(dir, "sallyport-main"));
    rmgroup("plain", dir);
}

/* ---- root in a unit ---- */

static int root_in_unit(void *arg)
{
    int dir = *(int *)arg;
    CHECK(enter(dir) == 0);
    CHECK(refused("our group /daemon.service belongs to systemd and is not delegated") == 0);
    CHECK(!exists(dir, "sallyport-main"));
    CHECK(str_eq(kit_read(dir, "cgroup.subtree_control"), ""));
    /* systemd's own sign */
    CHECK(fsetxattr(dir, "trusted.delegate", "0", 1, 0) == 0);
    CHECK(refused("not delegated") == 0);
    CHECK(fsetxattr(dir, "trusted.delegate", "1", 1, 0) == 0);
    CHECK(works_below(dir) == 0);
    CHECK(exists(dir, "sallyport-main"));
    return 0;
}

static void a_unit_of_root_needs_delegation(void **state)
{
    (void)state;
    need_top();
    int dir = group("daemon.service");
    assert_int_equal(kit_child(root_in_unit, &dir), 0);
    rmgroup("daemon.service", dir);
}

static int in_subgroup(void *arg)
{
    int dir = *(int *)arg;
    int sub = openat(dir, "main", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    CHECK(enter(sub) == 0);
    CHECK(works_below(dir) == 0);
    CHECK(!exists(dir, "sallyport-main") && !exists(sub, "sallyport-main"));
    return 0;
}

/* DelegateSubgroup=main: nothing has to move. */
static void in_a_delegated_subgroup_nothing_moves(void **state)
{
    (void)state;
    need_top();
    int dir = group("sub.service");
    assert_int_equal(fsetxattr(dir, "user.delegate", "1", 1, 0), 0);
    assert_int_equal(mkdirat(dir, "main", 0755), 0);
    assert_int_equal(kit_child(in_subgroup, &dir), 0);
    assert_int_equal(unlinkat(dir, "main", AT_REMOVEDIR), 0);
    rmgroup("sub.service", dir);
}

static int in_scope_below(void *arg)
{
    int sub = openat(*(int *)arg, "run-1.scope", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    CHECK(enter(sub) == 0);
    return refused("run-1.scope belongs to systemd");
}

/* A unit below user@1000.service: what is delegated above it is the user's systemd's. */
static void a_unit_below_a_delegated_one_is_refused(void **state)
{
    (void)state;
    need_top();
    int dir = group("user@1000.service");
    assert_int_equal(fsetxattr(dir, "trusted.delegate", "1", 1, 0), 0);
    assert_int_equal(mkdirat(dir, "run-1.scope", 0755), 0);
    assert_int_equal(kit_child(in_scope_below, &dir), 0);
    assert_int_equal(unlinkat(dir, "run-1.scope", AT_REMOVEDIR), 0);
    rmgroup("user@1000.service", dir);
}

static int in_by_hand(void *arg)
{
    CHECK(enter(*(int *)arg) == 0);
    return works_below(*(int *)arg);
}

static void a_group_made_by_hand_can_be_used(void **state)
{
    (void)state;
    need_top();
    int dir = group("by-hand");
    assert_int_equal(kit_child(in_by_hand, &dir), 0);
    rmgroup("by-hand", dir);
}

static int at_top(void *arg)
{
    (void)arg;
    CHECK(works_below(top) == 0);
    CHECK(!exists(top, "sallyport-main")); /* the root may have processes */
    return 0;
}

static void the_root_of_the_hierarchy_can_be_used(void **state)
{
    (void)state;
    need_top();
    assert_int_equal(kit_child(at_top, NULL), 0);
}

/* ---- containers ---- */

static int in_container(void *arg)
{
    int dir = *(int *)arg;
    CHECK(enter(dir) == 0);
    CHECK(unshare(CLONE_NEWCGROUP | CLONE_NEWNS) == 0);
    CHECK(mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) == 0);
    /* The old mount shows the whole tree from outside of the namespace: it cannot be used. */
    CHECK(refused("not below what is mounted") == 0);
    CHECK(umount2("/sys/fs/cgroup", MNT_DETACH) == 0);
    CHECK(mount("cgroup2", "/sys/fs/cgroup", "cgroup2", MS_RDONLY, NULL) == 0);
    CHECK(refused("/sys/fs/cgroup is mounted read-only") == 0);
    CHECK(mount(NULL, "/sys/fs/cgroup", NULL, MS_REMOUNT | MS_BIND, NULL) == 0 ||
          mount(NULL, "/sys/fs/cgroup", NULL, MS_REMOUNT, NULL) == 0);
    return works_below(dir);
}

static void a_container_needs_a_writable_mount_of_its_own(void **state)
{
    (void)state;
    need_top();
    int dir = group("docker-5f0d.scope"); /* no sign of delegation but the namespace */
    assert_int_equal(kit_child(in_container, &dir), 0);
    rmgroup("docker-5f0d.scope", dir);
}

/* ---- what cannot be had ---- */

static int some_controllers(void *arg)
{
    (void)arg;
    int dir = openat(top, "half/inner", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    struct cgroup_root r;
    struct cgroup g;
    struct err e = {0};
    CHECK(enter(dir) == 0);
    CHECK(cgroup_root_open(&r, &e) == 0);
    CHECK(r.version[CGROUP_MEMORY] == 0 && r.dir[CGROUP_MEMORY] == -1);
    CHECK(r.version[CGROUP_CPU] == 0 && r.version[CGROUP_PIDS] == 2);
    CHECK(r.why_not &&
          strstr(r.why_not, "No memory/cpu limits by cgroup: the group /half/inner was "
                            "not given this controller"));
    CHECK(cgroup_make(&r, &(struct cgroup_limits){32 * MIB, 500, 16}, &g, &e) == 0);
    CHECK(cgroup_oom_fd(&r, &g) == -1);
    char path[64];
    snprintf(path, sizeof(path), "%s/pids.max", g.name);
    CHECK(str_eq(kit_read(r.dir[CGROUP_PIDS], path), "16"));
    CHECK(cgroup_remove(&r, &g) == 0);
    cgroup_root_done(&r);
    return 0;
}

static void missing_controllers_cost_only_their_limits(void **state)
{
    (void)state;
    need_top();
    int dir = group("half");
    assert_int_equal(kit_write(dir, "cgroup.subtree_control", "+pids"), 0);
    assert_int_equal(mkdirat(dir, "inner", 0755), 0);
    assert_int_equal(kit_child(some_controllers, NULL), 0);
    (void)unlinkat(dir, "inner/sallyport-main", AT_REMOVEDIR);
    assert_int_equal(unlinkat(dir, "inner", AT_REMOVEDIR), 0);
    rmgroup("half", dir);
}

static int inner_namespace(void *arg)
{
    (void)arg;
    return refused("cannot be moved to a leaf");
}

static int with_outsider(void *arg)
{
    int dir = *(int *)arg;
    CHECK(enter(dir) == 0);
    pid_t outside = kit_sleeper();
    CHECK(unshare(CLONE_NEWPID) == 0);
    pid_t pid = fork();
    if (pid == 0)
        _exit(inner_namespace(NULL));
    int status;
    CHECK(pid > 0 && waitpid(pid, &status, 0) == pid && status == 0);
    /* Whatever was moved before is back. */
    CHECK(!exists(dir, "sallyport-main"));
    CHECK(kit_read(dir, "cgroup.procs")[0]);
    kit_kill(outside);
    return 0;
}

/* A process of another pid namespace has no number to move it by. */
static void a_process_of_another_namespace_prevents_the_move(void **state)
{
    (void)state;
    need_top();
    int dir = group("shared");
    assert_int_equal(kit_child(with_outsider, &dir), 0);
    rmgroup("shared", dir);
}

static int in_threaded(void *arg)
{
    int dir = *(int *)arg;
    CHECK(enter(dir) == 0);
    CHECK(mkdirat(dir, "t", 0755) == 0);
    CHECK(kit_write(dir, "t/cgroup.type", "threaded") == 0);
    CHECK(refused("cannot be moved to a leaf of it (Operation not supported)") == 0);
    CHECK(!exists(dir, "sallyport-main"));
    return unlinkat(dir, "t", AT_REMOVEDIR) == 0 ? 0 : 1;
}

static void a_threaded_group_is_refused(void **state)
{
    (void)state;
    need_top();
    int dir = group("threads");
    assert_int_equal(kit_child(in_threaded, &dir), 0);
    rmgroup("threads", dir);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_user_may_use_a_delegated_group),
        cmocka_unit_test(what_a_users_systemd_made_is_not_delegated),
        cmocka_unit_test(a_group_that_is_not_the_users_is_refused),
        cmocka_unit_test(a_unit_of_root_needs_delegation),
        cmocka_unit_test(in_a_delegated_subgroup_nothing_moves),
        cmocka_unit_test(a_unit_below_a_delegated_one_is_refused),
        cmocka_unit_test(a_group_made_by_hand_can_be_used),
        cmocka_unit_test(the_root_of_the_hierarchy_can_be_used),
        cmocka_unit_test(a_container_needs_a_writable_mount_of_its_own),
        cmocka_unit_test(missing_controllers_cost_only_their_limits),
        cmocka_unit_test(a_process_of_another_namespace_prevents_the_move),
        cmocka_unit_test(a_threaded_group_is_refused),
    };
    log_init("test", LOG_WARN);
    return cmocka_run_group_tests(tests, begin, NULL); /* tools/check counts the skipped ones */
}
