/* test_size_files.c - the texts that tell a sandbox's size, and what Landlock is asked for. Pure.
 * */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <fcntl.h>
#include <linux/landlock.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/base.h"
#include "sandbox/lock/landlock.h"
#include "box/state.h"
#include "sandbox/build/size_files.h"

static void meminfo_shows_the_memory_limit(void **state)
{
    (void)state;
    AUTO_FREE char *text = size_files_meminfo(512u << 20);
    assert_non_null(strstr(text, "MemTotal:         524288 kB\n"));
    assert_non_null(strstr(text, "MemAvailable:     524288 kB\n"));
    assert_non_null(strstr(text, "SwapTotal:             0 kB\n"));
}

static void cpuinfo_shows_no_more_processors_than_allowed(void **state)
{
    (void)state;
    static const char three[] = "processor: 0\nx: y\n\nprocessor: 1\n\nprocessor: 2\n\n";
    static const struct {
        unsigned n;
        const char *want;
    } table[] = {
        {1, "processor: 0\nx: y\n\n"},
        {2, "processor: 0\nx: y\n\nprocessor: 1\n\n"},
        {3, three},
        {9, three},
    };
    for (size_t i = 0; i < ARRAY_LEN(table); i++) {
        AUTO_FREE char *text = size_files_cpuinfo(three, table[i].n);
        assert_string_equal(text, table[i].want);
    }
}

static void processors_are_rounded_up(void **state)
{
    (void)state;
    static const struct {
        uint64_t milli;
        unsigned want;
    } table[] = {{0, 0}, {1, 1}, {500, 1}, {1000, 1}, {1001, 2}, {3999, 4}};
    for (size_t i = 0; i < ARRAY_LEN(table); i++) {
        struct sandbox_limits l = {.cpu_milli = table[i].milli};
        assert_int_equal(size_files_cpus(&l), table[i].want);
    }
}

static void expect_file(int dir, const char *name, const char *want)
{
    char text[64] = "";
    AUTO_CLOSE int fd = openat(dir, name, O_RDONLY | O_CLOEXEC);
    if (!want) {
        assert_int_equal(fd, -1);
        return;
    }
    assert_true(read(fd, text, sizeof(text) - 1) >= 0);
    assert_string_equal(text, want);
}

static void size_files_follow_the_limits_and_overwrite_nothing(void **state)
{
    (void)state;
    char path[] = "/tmp/sallyport-visible-XXXXXX";
    assert_non_null(mkdtemp(path));
    AUTO_CLOSE int dir = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    struct sandbox_limits l = {.memory_bytes = 64u << 20};
    assert_int_equal(size_files_write(dir, &l, "processor: 0\n\n"), 0);
    expect_file(dir, "cpuinfo", NULL); /* without a limit the kernel's own stays */
    assert_int_equal(unlinkat(dir, "meminfo", 0), 0);
    l.cpu_milli = 2500;
    assert_int_equal(size_files_write(dir, &l, "processor: 0\n\n"), 0);
    expect_file(dir, "cpuinfo", "processor: 0\n\n");
    expect_file(dir, "cpu/online", "0-2\n");
    assert_int_equal(size_files_write(dir, &l, NULL), -EEXIST); /* never over something */
    assert_int_equal(state_remove_tree(AT_FDCWD, path), 0);
}

static void affinity_keeps_to_the_processor_limit(void **state)
{
    (void)state;
    pid_t pid = fork();
    if (pid == 0) {
        struct sandbox_limits l = {.cpu_milli = 700};
        cpu_set_t set;
        bool ok = size_files_set_affinity(&l) == 0 &&
                  sched_getaffinity(0, sizeof(set), &set) == 0 && CPU_COUNT(&set) == 1;
        _exit(ok ? 0 : 1);
    }
    int status = -1;
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_int_equal(status, 0);
}

static void landlock_is_asked_what_its_version_knows(void **state)
{
    (void)state;
    struct sandbox_spec open_net, no_net;
    sandbox_spec_init(&open_net);
    sandbox_spec_init(&no_net);
    no_net.network = SANDBOX_NET_NONE;
    for (int abi = 0; abi <= 9; abi++) {
        struct landlock_plan p = landlock_plan(abi, &open_net), q = landlock_plan(abi, &no_net);
        assert_int_equal(p.files != 0, abi >= 2); /* version 1 would refuse every rename */
        assert_int_equal((p.files & LANDLOCK_ACCESS_FS_MAKE_BLOCK) != 0, abi >= 2);
        assert_int_equal((p.files >> 15) & 1, abi >= 5);
        assert_int_equal(p.tcp, 0);
        assert_int_equal(q.tcp, abi >= 4 ? 3 : 0);
        assert_int_equal(p.scoped, abi >= 6 ? 3 : 0);
        /* what makes every open(2) walk to the root is never asked for */
        assert_int_equal(
            p.files & (LANDLOCK_ACCESS_FS_READ_FILE | LANDLOCK_ACCESS_FS_READ_DIR | 1ull << 14), 0);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(meminfo_shows_the_memory_limit),
        cmocka_unit_test(cpuinfo_shows_no_more_processors_than_allowed),
        cmocka_unit_test(processors_are_rounded_up),
        cmocka_unit_test(size_files_follow_the_limits_and_overwrite_nothing),
        cmocka_unit_test(affinity_keeps_to_the_processor_limit),
        cmocka_unit_test(landlock_is_asked_what_its_version_knows),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
