/* test_find.c - texts of /proc as different hosts and containers show them. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <string.h>

#include "base/str.h"
#include "sandbox/cgroup/find.h"

/* A hybrid host: controllers on version 1, version 2 mounted beside them without any. */
#define PLAIN_SELF                                                                                 \
    "9:name=systemd:/\n8:pids:/\n4:memory:/process_api/0c7e\n2:cpuacct:/\n1:cpu:/\n0::/\n"
#define PLAIN_MOUNTS                                                                               \
    "22 27 0:21 / /proc rw,relatime - proc proc rw\n"                                              \
    "31 23 0:28 / /sys/fs/cgroup rw,relatime - tmpfs tmpfs rw,mode=755\n"                          \
    "32 31 0:29 / /sys/fs/cgroup/cpu rw,relatime - cgroup cgroup rw,cpu\n"                         \
    "33 31 0:30 / /sys/fs/cgroup/cpuacct rw,relatime - cgroup cgroup rw,cpuacct\n"                 \
    "35 31 0:32 / /sys/fs/cgroup/memory rw,relatime - cgroup cgroup rw,memory\n"                   \
    "39 31 0:36 / /sys/fs/cgroup/pids rw,relatime - cgroup cgroup rw,pids\n"                       \
    "41 31 0:38 / /sys/fs/cgroup/unified rw,relatime - cgroup2 cgroup2 rw\n"

/* Debian 10, systemd's hybrid layout. */
#define HYBRID_SELF                                                                                \
    "11:pids:/user.slice/user-0.slice/session-2.scope\n"                                           \
    "6:memory:/user.slice/user-0.slice/session-2.scope\n5:cpu,cpuacct:/user.slice\n"               \
    "1:name=systemd:/user.slice/user-0.slice/session-2.scope\n"                                    \
    "0::/user.slice/user-0.slice/session-2.scope\n"
#define HYBRID_MOUNTS                                                                              \
    "29 22 0:25 / /sys/fs/cgroup ro,nosuid,nodev,noexec shared:9 - tmpfs tmpfs ro,mode=755\n"      \
    "30 29 0:26 / /sys/fs/cgroup/unified rw,nosuid shared:10 - cgroup2 cgroup2 rw,nsdelegate\n"    \
    "31 29 0:27 / /sys/fs/cgroup/systemd rw,nosuid shared:11 - cgroup cgroup "                     \
    "rw,xattr,name=systemd\n"                                                                      \
    "36 29 0:32 / /sys/fs/cgroup/memory rw,nosuid shared:17 - cgroup cgroup rw,memory\n"           \
    "37 29 0:33 / /sys/fs/cgroup/cpu,cpuacct rw,nosuid shared:18 - cgroup cgroup "                 \
    "rw,cpu,cpuacct\n"

/* Docker on version 1 without a cgroup namespace: the mounts show the container's part only. */
#define DOCKER1_SELF "9:pids:/docker/5f0d\n6:memory:/docker/5f0d\n3:cpu,cpuacct:/docker/5f0d\n"
#define DOCKER1_MOUNTS                                                                             \
    "801 800 0:61 / /sys/fs/cgroup rw,nosuid - tmpfs tmpfs rw,mode=755\n"                          \
    "802 801 0:32 /docker/5f0d /sys/fs/cgroup/memory ro,nosuid master:17 - cgroup cgroup "         \
    "rw,memory\n"                                                                                  \
    "803 801 0:33 /docker/5f0d /sys/fs/cgroup/cpu,cpuacct rw master:18 - cgroup cgroup "           \
    "rw,cpu,cpuacct\n"                                                                             \
    "804 801 0:34 /docker/other /sys/fs/cgroup/pids rw - cgroup cgroup rw,pids\n"

/* Docker and rootless podman on version 2 with a cgroup namespace. */
#define DOCKER2_MOUNTS                                                                             \
    "612 611 0:27 / /sys/fs/cgroup ro,nosuid,nodev,noexec - cgroup2 cgroup rw,nsdelegate\n"
#define PODMAN_MOUNTS                                                                              \
    "612 611 0:27 / /sys/fs/cgroup rw,nosuid,nodev,noexec - cgroup2 cgroup2 "                      \
    "rw,nsdelegate,memory_recursiveprot\n"
#define UNIFIED "28 23 0:26 / /sys/fs/cgroup rw,nosuid shared:9 - cgroup2 cgroup2 rw,nsdelegate\n"
#define UNIT    "/system.slice/sallyport.service"

static void our_group_is_found_on_every_kind_of_host(void **state)
{
    (void)state;
    static const struct {
        const char *name, *mounts, *self, *controller;
        int version;
        const char *mount, *group;
        bool read_only;
        unsigned minor;
        const char *why; /* part of it */
    } table[] = {
        {"memory here", PLAIN_MOUNTS, PLAIN_SELF, "memory", 1, "/sys/fs/cgroup/memory",
         "process_api/0c7e", false, 32, NULL},
        {"cpu here, not cpuacct", PLAIN_MOUNTS, PLAIN_SELF, "cpu", 1, "/sys/fs/cgroup/cpu", "",
         false, 29, NULL},
        {"hybrid memory", HYBRID_MOUNTS, HYBRID_SELF, "memory", 1, "/sys/fs/cgroup/memory",
         "user.slice/user-0.slice/session-2.scope", false, 32, NULL},
        {"two controllers on one hierarchy", HYBRID_MOUNTS, HYBRID_SELF, "cpu", 1,
         "/sys/fs/cgroup/cpu,cpuacct", "user.slice", false, 33, NULL},
        {"bound to version 1, not mounted", HYBRID_MOUNTS, HYBRID_SELF, "pids", 0, NULL, NULL,
         false, 0, "version 1 hierarchy with the pids controller is not mounted"},
        {"docker 1, read-only", DOCKER1_MOUNTS, DOCKER1_SELF, "memory", 1, "/sys/fs/cgroup/memory",
         "", true, 32, NULL},
        {"docker 1, writable", DOCKER1_MOUNTS, DOCKER1_SELF, "cpu", 1, "/sys/fs/cgroup/cpu,cpuacct",
         "", false, 33, NULL},
        {"somebody else's part", DOCKER1_MOUNTS, DOCKER1_SELF, "pids", 0, NULL, NULL, false, 0,
         "is not below what is mounted"},
        {"docker 2", DOCKER2_MOUNTS, "0::/\n", "memory", 2, "/sys/fs/cgroup", "", true, 27, NULL},
        {"podman", PODMAN_MOUNTS, "0::/\n", "cpu", 2, "/sys/fs/cgroup", "", false, 27, NULL},
        {"a unit", UNIFIED, "0::" UNIT "\n", "pids", 2, "/sys/fs/cgroup",
         "system.slice/sallyport.service", false, 26, NULL},
        {"a root that only begins alike", "1 1 0:5 /docker/5f /c rw - cgroup2 c rw\n",
         "0::/docker/5f0d\n", "cpu", 0, NULL, NULL, false, 0, "not below what is mounted"},
        {"a group further down", "1 1 0:5 /docker/5f /c rw - cgroup2 c rw\n", "0::/docker/5f/a/b\n",
         "cpu", 2, "/c", "a/b", false, 5, NULL},
        {"writable one preferred", DOCKER2_MOUNTS "700 1 0:27 / /host rw - cgroup2 c rw\n",
         "0::/\n", "cpu", 2, "/host", "", false, 27, NULL},
        {"and kept", "700 1 0:27 / /host rw - cgroup2 c rw\n" DOCKER2_MOUNTS, "0::/\n", "cpu", 2,
         "/host", "", false, 27, NULL},
        {"hidden by a mount on it", UNIFIED "90 28 0:70 / /sys/fs/cgroup rw - tmpfs t rw\n",
         "0::/\n", "cpu", 0, NULL, NULL, false, 0, "no cgroup2 file system is mounted"},
        {"hidden by a mount above it", UNIFIED "90 28 0:70 / /sys rw - sysfs t rw\n", "0::/\n",
         "cpu", 0, NULL, NULL, false, 0, "no cgroup2 file system is mounted"},
        {"not hidden by its neighbour", UNIFIED "90 28 0:70 / /sys/fs/cg rw - tmpfs t rw\n",
         "0::/\n", "cpu", 2, "/sys/fs/cgroup", "", false, 26, NULL},
        {"a mount point with a space", "1 1 0:5 / /a\\040b rw - cgroup2 c rw\n", "0::/\n", "cpu", 2,
         "/a b", "", false, 5, NULL},
        {"outside of the namespace", UNIFIED, "0::/../other\n", "cpu", 0, NULL, NULL, false, 0,
         "outside of our cgroup namespace"},
        {"mount from outside of it", "1 1 0:5 /.. /c rw - cgroup2 c rw\n", "0::/\n", "cpu", 0, NULL,
         NULL, false, 0, "not below what is mounted"},
        {"no controller", "", "3:cpu:/\n", "memory", 0, NULL, NULL, false, 0,
         "no hierarchy with the memory controller is mounted"},
        {"nothing at all", "", "", "memory", 0, NULL, NULL, false, 0,
         "or the kernel has no such controller"},
        {"not mounted", "", "0::/\n", "memory", 0, NULL, NULL, false, 0,
         "no cgroup2 file system is mounted"},
        {"nonsense is skipped", "x\n1 2\n\n- - - -\n5 5 0:1 / /c rw cgroup2\n" UNIFIED,
         "nonsense\n0:\n0::\n::/x\n0::/\n", "memory", 2, "/sys/fs/cgroup", "", false, 26, NULL},
        {"a device that is none", "1 1 0x5 / /c rw - cgroup2 c rw\n", "0::/\n", "cpu", 0, NULL,
         NULL, false, 0, "not below what is mounted"},
    };
    for (size_t i = 0; i < ARRAY_LEN(table); i++) {
        AUTO(cgroup_where) w;
        cgroup_find(table[i].mounts, table[i].self, table[i].controller, &w);
        if (w.version != table[i].version)
            print_error("%s: version %d, %s\n", table[i].name, w.version, w.why ? w.why : "");
        assert_int_equal(w.version, table[i].version);
        if (table[i].version == 0) {
            assert_non_null(w.why);
            if (!strstr(w.why, table[i].why))
                print_error("%s: %s\n", table[i].name, w.why);
            assert_non_null(strstr(w.why, table[i].why));
            continue;
        }
        assert_null(w.why);
        assert_string_equal(w.mount, table[i].mount);
        assert_string_equal(w.group, table[i].group);
        assert_int_equal(w.read_only, table[i].read_only);
        assert_int_equal(w.dev_major, 0);
        assert_int_equal(w.dev_minor, table[i].minor);
    }
}

/* Cut anywhere, the texts are still read to their end and no further (a sanitizer
 * build sees it). */
static void texts_cut_short_are_read_to_their_end(void **state)
{
    (void)state;
    static const char mounts[] = HYBRID_MOUNTS, self[] = HYBRID_SELF;
    size_t found = 0;
    for (size_t n = 0; n <= strlen(mounts); n++) {
        AUTO_FREE char *m = mem_strndup(mounts, n);
        AUTO_FREE char *s = mem_strndup(self, n < strlen(self) ? n : strlen(self));
        AUTO(cgroup_where) w;
        cgroup_find(m, s, "cpu", &w);
        assert_true(w.version == 0 ? w.why != NULL : w.mount != NULL);
        found += w.version != 0;
    }
    assert_true(found > 0);
}

static void only_what_systemd_names_is_a_unit(void **state)
{
    (void)state;
    assert_true(cgroup_is_unit(UNIT));
    assert_true(cgroup_is_unit("/user.slice/user-1000.slice/session-3.scope"));
    assert_true(cgroup_is_unit("/user.slice"));
    assert_false(cgroup_is_unit(UNIT "/sallyport-main"));
    assert_false(cgroup_is_unit("/docker/5f0d"));
    assert_false(cgroup_is_unit("/"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(our_group_is_found_on_every_kind_of_host),
                                       cmocka_unit_test(texts_cut_short_are_read_to_their_end),
                                       cmocka_unit_test(only_what_systemd_names_is_a_unit)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
