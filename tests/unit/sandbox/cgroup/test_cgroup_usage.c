/* test_cgroup_usage.c - what counts against a sandbox's memory: the texts, and real programs that
 * hold memory in ways that no process list shows. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <string.h>

#include "base/base.h"
#include "base/str.h"
#include "unit/sandbox/harness.h"
#include "sandbox/cgroup/cgroup.h"
#include "sandbox/init/ipc.h"

static void memory_is_read_from_the_texts_of_both_versions(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        bool ok;
        uint64_t anonymous, shared;
    } table[] = {
        {"anon 4096\nfile 8192\nkernel 1\nshmem 12288\n", true, 4096, 12288},
        {"cache 7\nrss 1\nshmem 2\ntotal_cache 9\ntotal_rss 40\ntotal_shmem 50\n", true, 40, 50},
        {"anon 4096\nfile 8192\n", false, 0, 0},
        {"anon x\nshmem 1\n", false, 0, 0},
        {"anonymous 1\nshmem_thp 2\n", false, 0, 0},
        {"", false, 0, 0},
    };
    for (size_t i = 0; i < ARRAY_LEN(table); i++) {
        struct cgroup_memory m = {0, 0};
        assert_int_equal(cgroup_parse_memory(table[i].text, &m), table[i].ok);
        assert_int_equal(m.anonymous_bytes, table[i].anonymous);
        assert_int_equal(m.shared_bytes, table[i].shared);
    }
}

static void only_whole_segment_lines_are_read(void **state)
{
    (void)state;
    int id = -1;
    uint64_t bytes = 1;
    static const char shm[] =
        "         0          3   600              8388608    41     0      0  1000  "
        "1000  1000  1000          0          0 1700000000              4194304"
        "                     0\n";
    assert_true(ipc_parse_line(IPC_SHM, shm, &id, &bytes));
    assert_int_equal(id, 3);
    assert_int_equal(bytes, 4194304);
    assert_true(
        ipc_parse_line(IPC_SEM, "  0   7   600   250  1000 1000 1000 1000 0 17\n", &id, &bytes));
    assert_int_equal(id, 7);
    assert_int_equal(bytes, 0);
    assert_false(
        ipc_parse_line(IPC_SHM, "       key      shmid perms       size  cpid\n", &id, &bytes));
    assert_false(ipc_parse_line(IPC_SHM, "0 3 600\n", &id, &bytes));
    assert_false(ipc_parse_line(IPC_MSG, "", &id, &bytes));
    assert_false(ipc_parse_line(IPC_MSG, "0 99999999999 0\n", &id, &bytes));
}

/* Programs that take 200 MiB without a byte of anonymous memory. */
static void hidden_memory(uid_t uid)
{
    struct host h;
    host_start(&h, uid);
    struct sandbox_spec s;
    sandbox_spec_init(&s);
    s.limits.memory_bytes = 64u << 20;
    struct sbx b;
    AUTO_FREE char *error = sbx_open(&h, &s, &b);
    if (error)
        fail_msg("%s", error);
    static const char segment[] = "python3 -c 'import ctypes, time\nl = "
                                  "ctypes.CDLL(None)\nl.shmat.restype = ctypes.c_void_p\n"
                                  "i = l.shmget(0, 200 << 20, 0o1600)\np = l.shmat(i, None, 0)\n"
                                  "ctypes.memset(p, 1, 200 << 20)\ntime.sleep(30)'";
    /* Half of what there may be, and nobody attached to it; and a little more than
     * the other half. */
    static const char left[] = "python3 -c 'import ctypes\nl = "
                               "ctypes.CDLL(None)\nl.shmat.restype = ctypes.c_void_p\n"
                               "i = l.shmget(0, 36 << 20, 0o1600)\np = l.shmat(i, None, 0)\n"
                               "ctypes.memset(p, 1, 36 << 20)'";
    static const char more[] = "python3 -c 'import time\na = b\"x\" * (40 << 20)\n"
                               "time.sleep(30)'";
    static const char memfd[] = "python3 -c 'import os, time\nf = os.memfd_create(\"x\")\n"
                                "for i in range(200): os.write(f, b\"x\" * (1 << 20))\n"
                                "time.sleep(30)'";
    struct result r = sbx_bash_ms(&b, segment, 20000);
    assert_true(r.is_error);
    expect_contains(r.text, "64 MiB");
    result_done(&r);
    /* The segment has gone with everything else: nothing is over the limit any more. */
    expect_bash(&b, "grep -c . /proc/sysvipc/shm; sleep 0.3; echo fine", "1\nfine");
    expect_bash(&b, left, "(no output)");
    expect_bash(&b, "grep -c . /proc/sysvipc/shm; sleep 0.3; echo fine", "2\nfine");
    r = sbx_bash_ms(&b, more, 20000);
    assert_true(r.is_error);
    expect_contains(r.text, "64 MiB");
    result_done(&r);
    expect_bash(&b, "grep -c . /proc/sysvipc/shm; sleep 0.3; echo fine", "1\nfine");
    if (test_is_root() && uid == 0) { /* what memfds hold is only seen by a cgroup */
        r = sbx_bash_ms(&b, memfd, 20000);
        assert_true(r.is_error);
        expect_contains(r.text, "64 MiB");
        result_done(&r);
        expect_bash(&b, "echo fine", "fine");
    }
    /* Files in /tmp do not count as the programs' memory. */
    expect_bash(&b, "head -c 150M /dev/zero > /tmp/big; sleep 0.3; ls -s /tmp/big | cut -d' ' -f1",
                "153600");
    sbx_close(&b);
    sandbox_spec_done(&s);
    assert_int_equal(host_stop(&h), 0);
}

static void hidden_memory_counts_with_a_cgroup(void **state)
{
    (void)state;
    hidden_memory(0);
}

static void hidden_memory_counts_without_a_cgroup(void **state)
{
    (void)state;
    hidden_memory(test_is_root() ? 65534 : 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(memory_is_read_from_the_texts_of_both_versions),
        cmocka_unit_test(only_whole_segment_lines_are_read),
        cmocka_unit_test(hidden_memory_counts_with_a_cgroup),
        cmocka_unit_test(hidden_memory_counts_without_a_cgroup),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
