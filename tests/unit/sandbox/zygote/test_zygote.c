/* test_zygote.c - the program itself in the role of the zygote: it runs from a sealed copy, has
 * dropped what it does not need, and its sandboxes work. Expects the program's path in
 * SALLYPORT_BIN. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/base.h"
#include "base/buf.h"
#include "base/enc.h"
#include "base/err.h"
#include "base/rng.h"
#include "base/str.h"
#include "unit/sandbox/cgroup/cgroup_kit.h"
#include "unit/outside.h"
#include "unit/sandbox/harness.h"
#include "sandbox/zygote/idmap.h"

static int setup(void **state)
{
    (void)state;
    const char *program = getenv("SALLYPORT_BIN");
    if (!program) {
        print_error("SALLYPORT_BIN is not set\n");
        return -1;
    }
    host_start_program(&host, program);
    return 0;
}

static void runs_from_a_sealed_copy(void **state)
{
    (void)state;
    AUTO_FREE char *exe = mem_printf("/proc/%d/exe", (int)host.pid);
    char target[256] = "";
    if (readlink(exe, target, sizeof(target) - 1) < 0) {
        assert_int_equal(errno, EACCES); /* not even that is visible to an ordinary user */
        return;
    }
    assert_true(str_starts(target, "/memfd:sallyport"));
    int fd = open(exe, O_WRONLY | O_CLOEXEC);
    assert_int_equal(fd, -1);
    fd = open(exe, O_RDONLY | O_CLOEXEC);
    assert_true(fd >= 0);
    int seals = fcntl(fd, F_GET_SEALS);
    assert_int_equal(seals & (F_SEAL_SEAL | F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE),
                     F_SEAL_SEAL | F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE);
    close(fd);
}

static void has_dropped_privileges(void **state)
{
    (void)state;
    AUTO_FREE char *path = mem_printf("/proc/%d/status", (int)host.pid);
    FILE *f = fopen(path, "re");
    assert_non_null(f);
    char line[256];
    unsigned long long effective = ~0ull, bounding = ~0ull;
    int no_new_privs = 0;
    while (fgets(line, sizeof(line), f)) {
        (void)sscanf(line, "CapEff: %llx", &effective);
        (void)sscanf(line, "CapBnd: %llx", &bounding);
        (void)sscanf(line, "NoNewPrivs: %d", &no_new_privs);
    }
    fclose(f);
    assert_int_equal(no_new_privs, 1);
    /* chown, dac_override, dac_read_search, fowner, kill, setgid, setuid, net_bind_service,
     * net_admin, sys_chroot, sys_admin */
    const unsigned long long may = 1ull << 0 | 1ull << 1 | 1ull << 2 | 1ull << 3 | 1ull << 5 |
                                   1ull << 6 | 1ull << 7 | 1ull << 10 | 1ull << 12 | 1ull << 18 |
                                   1ull << 21;
    assert_int_equal(effective & ~may, 0);
    assert_int_equal(bounding & ~may, 0);
}

static void its_sandboxes_work(void **state)
{
    (void)state;
    struct sbx b;
    sbx_open_default(&host, &b);
    expect_bash(
        &b, "id -u; tr '\\0' ' ' < /proc/1/cmdline; echo; cat /proc/1/environ 2>/dev/null | wc -c",
        "1000\nsallyport zygote \n0");
    sbx_close(&b);
}

/* A sanitized program is not linked with "-z now": looking up a function when it is first called
 * saves the vector registers, with what was copied last, on the stack. */
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define SEES_STACK false
#else
#define SEES_STACK true
#endif

/* How often `needle` occurs in what process `pid` may write to. */
static size_t count_in_memory(pid_t pid, const char *needle)
{
    char path[64], line[512];
    snprintf(path, sizeof(path), "/proc/%d/maps", (int)pid);
    FILE *maps = fopen(path, "re");
    assert_non_null(maps);
    snprintf(path, sizeof(path), "/proc/%d/mem", (int)pid);
    AUTO_CLOSE int mem = open(path, O_RDONLY | O_CLOEXEC);
    assert_true(mem >= 0);
    const size_t len = strlen(needle), chunk = 1u << 20;
    AUTO_FREE char *bytes = mem_array(chunk, 1);
    size_t found = 0, read_bytes = 0;
    while (fgets(line, sizeof(line), maps)) {
        uint64_t from, to;
        char *dash = strchr(line, '-'), *space = strchr(line, ' ');
        if (!SEES_STACK && strstr(line, "[stack]"))
            continue;
        /* What is over 1 GiB are the sanitizers' shadows. */
        if (!dash || !space || strncmp(space, " rw", 3) != 0 ||
            str_hex_to_u64(line, (size_t)(dash - line), &from) < 0 ||
            str_hex_to_u64(dash + 1, (size_t)(space - dash - 1), &to) < 0 || to - from > 1u << 30)
            continue;
        for (uint64_t at = from; at < to; at += chunk - len) {
            size_t want = to - at < chunk ? (size_t)(to - at) : chunk;
            ssize_t n = pread(mem, bytes, want, (off_t)at);
            for (char *p = bytes; n > 0 && (p = memmem(p, (size_t)(bytes + n - p), needle, len));
                 p++)
                found++;
            read_bytes += n > 0 ? (size_t)n : 0;
        }
    }
    fclose(maps);
    assert_true(read_bytes > 0);
    return found;
}

/* The zygote dies right after it has let a sandbox go, most of which is still to be built. */
static void a_zygote_killed_early_leaves_no_sandbox(void **state)
{
    (void)state;
    for (int i = 0; i < 10; i++) {
        struct host h;
        struct sbx b;
        host_start_program(&h, getenv("SALLYPORT_BIN"));
        struct sandbox_spec s;
        sandbox_spec_init(&s);
        AUTO_FREE char *error = sbx_clone(&h, &s, &b);
        assert_null(error);
        assert_int_equal(kill(h.pid, SIGKILL), 0);
        waitpid(h.pid, NULL, 0);
        close(h.ctl);
        struct pollfd p = {.fd = b.pidfd, .events = POLLIN};
        assert_int_equal(poll(&p, 1, 10000), 1); /* though nobody has closed its channel */
        sbx_close(&b);
        sandbox_spec_done(&s);
    }
}

/* The process that exists for an id map shares the descriptors of the zygote, among them the socket
 * whose end tells the worker that the zygote is gone. Killed at any moment, it leaves nobody. */
static void a_zygote_killed_while_mapping_leaves_nobody(void **state)
{
    (void)state;
    AUTO_CLOSE int proc = open("/proc", O_PATH | O_DIRECTORY | O_CLOEXEC);
    const struct idmap own = {.inside = geteuid(), .outside = geteuid(), .count = 1};
    for (int i = 0; i < 200; i++) {
        int held[2];
        char c;
        assert_int_equal(pipe2(held, O_CLOEXEC), 0);
        pid_t pid = fork();
        assert_true(pid >= 0);
        if (pid == 0) {
            if (write(held[1], "", 1) != 1)
                _exit(1);
            for (;;) {
                struct err e;
                int fd = idmap_userns(proc, &own, &own, &e);
                if (fd >= 0)
                    close(fd);
            }
        }
        close(held[1]);
        assert_int_equal(read(held[0], &c, 1), 1);
        usleep((useconds_t)rng_below(2000)); /* a moment of its round, whichever */
        assert_int_equal(kill(pid, SIGKILL), 0);
        assert_int_equal(waitpid(pid, NULL, 0), pid);
        struct pollfd p = {.fd = held[0], .events = POLLIN};
        assert_int_equal(poll(&p, 1, 5000), 1);
        assert_int_equal(read(held[0], &c, 1), 0);
        close(held[0]);
    }
}

/* What a sandbox was given is not in the memory that the next one is copied from. */
static void zygote_forgets(void **state)
{
    (void)state;
    struct host h;
    struct sbx b[2];
    host_start_program(&h, getenv("SALLYPORT_BIN"));
    struct sandbox_spec s;
    sandbox_spec_init(&s);
    char needle[33];
    unsigned char random[16];
    rng_bytes(random, sizeof(random));
    enc_hex(random, sizeof(random), needle);
    struct err e;
    assert_int_equal(sandbox_spec_add_env(&s, "TOKEN", needle, &e), 0);
    for (int i = 1; i < 30; i++) { /* of all sizes, so that the next request cannot cover all */
        AUTO_FREE char *name = mem_printf("N%d", i);
        AUTO_FREE char *value = mem_printf("%*s%s", i * 16, "", needle);
        assert_int_equal(sandbox_spec_add_env(&s, name, value, &e), 0);
    }
    AUTO(buf) large = BUF_INIT(8192); /* what grows while it is copied leaves pieces behind */
    while (large.len < 5000)
        buf_adds(&large, needle);
    assert_int_equal(sandbox_spec_add_env(&s, "LARGE", buf_str(&large), &e), 0);
    AUTO_FREE char *error = sbx_open(&h, &s, &b[0]);
    assert_null(error);
    if (!outside_sees(b[0].pid)) {
        sbx_close(&b[0]);
        sandbox_spec_done(&s);
        assert_int_equal(host_stop(&h), 0);
        skip();
    }
    expect_bash(&b[0], "echo $TOKEN", needle);
    sbx_open_default(&h, &b[1]); /* so that the first request has been put away */
    assert_int_equal(count_in_memory(h.pid, needle), 0);
    assert_true(count_in_memory(b[0].pid, needle) > 0); /* who can be found at all */
    if (SEES_STACK) /* the guard's thread has a stack, too, and that one has no name to leave it out */
        assert_int_equal(count_in_memory(b[1].pid, needle), 0);
    for (size_t i = 0; i < ARRAY_LEN(b); i++)
        sbx_close(&b[i]);
    sandbox_spec_done(&s);
    assert_int_equal(host_stop(&h), 0);
}

/* The directory of the pids group that a child of `pid` is in, NULL when there is none to find. */
static char *group_of_child(pid_t pid)
{
    pid_t child;
    assert_int_equal(outside_children(pid, &child, 1), 1);
    AUTO_FREE char *groups = mem_printf("/proc/%d/cgroup", (int)child);
    char line[512], *dir = NULL;
    FILE *f = fopen(groups, "re");
    assert_non_null(f);
    while (!dir && fgets(line, sizeof(line), f)) {
        const char *path = strstr(line, ":pids:");
        line[strcspn(line, "\n")] = '\0';
        if (path)
            dir = mem_printf("/sys/fs/cgroup/pids%s", path + strlen(":pids:"));
    }
    fclose(f);
    return dir;
}

/* A group that was busy when its sandbox ended goes as soon as it can, also when the zygote has
 * nothing else to do. */
static void busy_group_goes(void **state)
{
    (void)state;
    struct host h;
    struct sbx b;
    pid_t guest = kit_sleeper(); /* first, so that it has no socket of the others */
    host_start_program(&h, getenv("SALLYPORT_BIN"));
    sbx_open_default(&h, &b);
    expect_bash(&b, "echo up", "up");
    AUTO_FREE char *dir = group_of_child(b.pid);
    AUTO_FREE char *procs = mem_printf("%s/cgroup.procs", dir ? dir : "");
    AUTO_CLOSE int fd = dir ? open(procs, O_WRONLY | O_CLOEXEC) : -1;
    if (fd >= 0) {
        AUTO_FREE char *text = mem_printf("%d", (int)guest);
        assert_int_equal(write(fd, text, strlen(text)), (ssize_t)strlen(text));
        sbx_close(&b);
        poll(NULL, 0, 100); /* the zygote has tried, and rests */
        assert_int_equal(access(dir, F_OK), 0);
        kit_kill(guest);
        for (int i = 0; i < 500 && access(dir, F_OK) == 0; i++)
            poll(NULL, 0, 10);
        assert_int_equal(access(dir, F_OK), -1);
    } else { /* another version, or not ours to write */
        kit_kill(guest);
        sbx_close(&b);
    }
    assert_int_equal(host_stop(&h), 0);
    if (fd < 0)
        skip();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(runs_from_a_sealed_copy),
        cmocka_unit_test(has_dropped_privileges),
        cmocka_unit_test(its_sandboxes_work),
        cmocka_unit_test(a_zygote_killed_early_leaves_no_sandbox),
        cmocka_unit_test(a_zygote_killed_while_mapping_leaves_nobody),
        cmocka_unit_test(zygote_forgets),
        cmocka_unit_test(busy_group_goes),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
