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
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/base.h"
#include "base/str.h"
#include "harness.h"

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
    /* chown, dac_override, dac_read_search, kill, setgid, setuid, net_admin, sys_chroot, sys_admin
     */
    const unsigned long long may = 1ull << 0 | 1ull << 1 | 1ull << 2 | 1ull << 5 | 1ull << 6 |
                                   1ull << 7 | 1ull << 12 | 1ull << 18 | 1ull << 21;
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

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(runs_from_a_sealed_copy),
        cmocka_unit_test(has_dropped_privileges),
        cmocka_unit_test(its_sandboxes_work),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
