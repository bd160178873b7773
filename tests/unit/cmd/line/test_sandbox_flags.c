/* test_sandbox_flags.c - texts of flags to a sandbox's specification. */
#include "unit/unit.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/err.h"
#include "base/str.h"
#include "cmd/line/sandbox_flags.h"
#include "box/state.h"
#include "image/image.h"

static void binds(void **state)
{
    (void)state;
    char dir[] = "/tmp/sallyport-flags-XXXXXX";
    assert_non_null(mkdtemp(dir));
    AUTO_FREE char *link = mem_printf("%s/link", dir);
    assert_int_equal(symlink("/usr", link), 0);
    AUTO_FREE char *mapped = mem_printf("%s:/mnt/x:rw", dir);
    AUTO_FREE char *plain_rw = mem_printf("%s:rw", dir);
    const struct {
        const char *text;
        bool plain_too;
        const char *source, *target; /* NULL: refused */
        bool write;
    } table[] = {
        {dir, true, dir, dir, false},
        {plain_rw, true, dir, dir, true},
        {mapped, true, dir, "/mnt/x", true},
        {mapped, false, dir, "/mnt/x", true},
        {link, true, "/usr", link, false}, /* seen where it was named, resolved once */
        {dir, false, NULL, NULL, false},
        {"/no/such/dir", true, NULL, NULL, false},
        {"usr:/mnt/x", false, NULL, NULL, false},
        {"/usr:relative", true, NULL, NULL, false},
        {"/usr:/", true, NULL, NULL, false},
        {"/usr:/mnt/../etc", true, NULL, NULL, false},
        {"", true, NULL, NULL, false},
        {":rw", true, NULL, NULL, false},
    };
    for (size_t i = 0; i < ARRAY_LEN(table); i++) {
        struct sandbox_spec s;
        struct err e = {.code = 0};
        sandbox_spec_init(&s);
        int r = sandbox_flags_bind(&s, table[i].text, table[i].plain_too, &e);
        if ((r == 0) != (table[i].source != NULL))
            fail_msg("\"%s\" gave %d: %s", table[i].text, r, e.msg);
        if (r == 0) {
            assert_string_equal(s.binds[0].source, table[i].source);
            assert_string_equal(s.binds[0].target, table[i].target);
            assert_int_equal(s.binds[0].write, table[i].write);
        } else {
            assert_true(str_starts(e.msg, "--bind "));
        }
        sandbox_spec_done(&s);
    }
    unlink(link);
    rmdir(dir);
}

static void cores(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        uint64_t milli; /* 0: refused */
    } table[] = {
        {"1", 1000}, {"0.5", 500},  {"1.25", 1250}, {"0.01", 10}, {"0.009", 0}, {"1024", 1024000},
        {"0", 0},    {"0.0", 0},    {"", 0},        {".5", 0},    {"1.", 0},    {"1.2345", 0},
        {"1025", 0}, {"1024.1", 0}, {"-1", 0},      {"1e3", 0},   {"1.-1", 0},  {"half", 0},
    };
    for (size_t i = 0; i < ARRAY_LEN(table); i++) {
        uint64_t milli = 0;
        int r = sandbox_flags_cpus("--cpus", table[i].text, &milli, NULL);
        if ((r == 0) != (table[i].milli != 0) || (r == 0 && milli != table[i].milli))
            fail_msg("\"%s\" gave %d, %llu", table[i].text, r, (unsigned long long)milli);
    }
}

static void network(void **state)
{
    (void)state;
    static const char *const good[] = {"example.com",     "example.com:443",   "*.example.com:1",
                                       "192.0.2.1:65535", "[2001:db8::1]:443", "[::1]"};
    static const char *const bad[] = {"",
                                      "http://example.com",
                                      "example.com:",
                                      "a:0",
                                      "a:65536",
                                      "a b",
                                      "-x",
                                      ".x",
                                      "[::1",
                                      "[]",
                                      "a:443:1",
                                      "a/b",
                                      "[::1]443",
                                      "x:4x"};
    for (size_t i = 0; i < ARRAY_LEN(good); i++)
        if (sandbox_flags_allow(good[i], NULL) < 0)
            fail_msg("%s was refused", good[i]);
    for (size_t i = 0; i < ARRAY_LEN(bad); i++)
        if (sandbox_flags_allow(bad[i], NULL) == 0)
            fail_msg("%s was taken", bad[i]);
    assert_int_equal(sandbox_flags_secret("TOKEN=env:X@api.example.com", NULL), 0);
    assert_int_equal(sandbox_flags_secret("TOKEN=file:/a@b@api.example.com:443", NULL), 0);
    static const char *const not_secret[] = {"TOKEN", "TOKEN=x", "=x@h", "1T=x@h", "T=@h", "T=x@"};
    for (size_t i = 0; i < ARRAY_LEN(not_secret); i++)
        if (sandbox_flags_secret(not_secret[i], NULL) == 0)
            fail_msg("%s was taken", not_secret[i]);
}

static void inside(void **state)
{
    (void)state;
    struct sandbox_spec s;
    sandbox_spec_init(&s);
    assert_int_equal(sandbox_spec_add_bind(&s, "/a", "/mnt/a", false, NULL), 0);
    assert_int_equal(sandbox_spec_add_bind(&s, "/a/b/c", "/mnt/c", false, NULL), 0);
    static const struct {
        const char *dir, *want;
    } table[] = {
        {"/a", "/mnt/a"},     {"/a/x", "/mnt/a/x"}, {"/a/b/c", "/mnt/c"}, {"/a/b/c/d", "/mnt/c/d"},
        {"/a/b", "/mnt/a/b"}, {"/ab", NULL},        {"/", NULL},          {"/b", NULL},
    };
    for (size_t i = 0; i < ARRAY_LEN(table); i++) {
        AUTO_FREE char *got = sandbox_flags_inside(&s, table[i].dir);
        if (!str_eq(got, table[i].want))
            fail_msg("%s is %s", table[i].dir, got ? got : "nowhere");
    }
    sandbox_spec_done(&s);
}

static void put(const char *dir, const char *name, const char *text)
{
    AUTO_FREE char *path = mem_printf("%s/%s", dir, name);
    AUTO_CLOSE int fd = open(path, O_CREAT | O_WRONLY | O_CLOEXEC, 0644);
    assert_int_equal(write(fd, text, strlen(text)), (ssize_t)strlen(text));
}

static void roots(void **state)
{
    (void)state;
    char data[] = "/tmp/sallyport-data-XXXXXX";
    assert_non_null(mkdtemp(data));
    static const char *const parts[] = {"rootfs", "rootfs/one", "rootfs/one/rootfs"};
    for (size_t i = 0; i < ARRAY_LEN(parts); i++) {
        AUTO_FREE char *dir = mem_printf("%s/%s", data, parts[i]);
        assert_int_equal(mkdir(dir, 0700), 0);
    }
    put(data, "rootfs/one/image.json",
        "{\"name\":\"one\",\"env\":[\"PATH=/opt/bin:/usr/bin\",\"HOME=/"
        "root\",\"A=image\",\"B=image\"]}");
    struct sandbox_spec s;
    struct err e;
    sandbox_spec_init(&s);
    assert_int_equal(sandbox_flags_env(&s, "A=mine", NULL), 0);
    if (sandbox_flags_rootfs(&s, "one", data, &e) < 0)
        fail_msg("%s", e.msg);
    AUTO_FREE char *want = mem_printf("%s/rootfs/one/rootfs", data);
    assert_string_equal(s.rootfs_dir, want);
    assert_int_equal(s.n_env, 3); /* ours wins, and HOME is not the image's to say */
    assert_string_equal(s.env[0], "A=mine");
    assert_string_equal(s.env[1], "PATH=/opt/bin:/usr/bin");
    assert_string_equal(s.env[2], "B=image");
    assert_int_equal(image_remove(data, "one", &e), -EBUSY); /* as long as we live */
    sandbox_spec_done(&s);
    static const char *const bad[] = {"two", "", "..", ".", "./one", "/no/such", "/etc/passwd"};
    for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
        sandbox_spec_init(&s);
        if (sandbox_flags_rootfs(&s, bad[i], data, NULL) == 0)
            fail_msg("%s was taken", bad[i]);
        sandbox_spec_done(&s);
    }
    sandbox_spec_init(&s);
    assert_int_equal(sandbox_flags_rootfs(&s, "/usr", data, NULL), 0);
    assert_string_equal(s.rootfs_dir, "/usr");
    sandbox_spec_done(&s);
    assert_int_equal(state_remove_tree(AT_FDCWD, data), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(binds),  cmocka_unit_test(cores), cmocka_unit_test(network),
        cmocka_unit_test(inside), cmocka_unit_test(roots),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
