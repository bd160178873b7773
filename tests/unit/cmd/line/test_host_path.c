/* test_host_path.c - paths where a sandbox may have been at work: links, pipes and what is meant. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/err.h"
#include "base/str.h"
#include "cmd/line/host_path.h"

static char dir[] = "/tmp/sallyport-path-XXXXXX";

/* A project with what a run may have left in it. */
static int make_project(void **state)
{
    (void)state;
    if (!mkdtemp(dir))
        return -1;
    AUTO_FREE char *make = mem_printf(
        "cd %s && mkdir -p project/real/deep secret && echo s >secret/key && cd project && "
        "ln -s real below && ln -s real/deep/../deep crooked && ln -s ../secret away && "
        "ln -s %s/secret absolute && ln -s . self && ln -s / root && ln -s loop loop && "
        "ln -s nothing dangling && ln -s ../../../secret real/deep/nested && "
        "ln -s real/deep/nested through && echo f >file && ln -s file link && "
        "ln -s ../secret/key stolen && mkfifo pipe && ln -s pipe piped && "
        "python3 -c 'import socket;socket.socket(socket.AF_UNIX).bind(\"sock\")'",
        dir, dir);
    return system(make) == 0 ? 0 : -1; /* lint-allow: banned a fixed text of ours */
}

static int remove_project(void **state)
{
    (void)state;
    AUTO_FREE char *text = mem_printf("rm -rf %s", dir);
    return system(text); /* lint-allow: banned a fixed text of ours */
}

static void a_link_is_followed_only_where_nothing_is_gained(void **state)
{
    (void)state;
    static const struct {
        const char *path;
        int to_read, to_write; /* 0, or the code */
        const char *place;     /* below the directory */
    } table[] = {
        {"project", 0, 0, "/project"},
        {"project/", 0, 0, "/project"},
        {"project/real/./deep/..//deep", 0, 0, "/project/real/deep"},
        {"project/../secret", 0, 0, "/secret"}, /* the caller's own words */
        {"project/file", 0, 0, "/project/file"},
        {"project/below", 0, -ELOOP, "/project/real"},
        {"project/below/deep", 0, -ELOOP, "/project/real/deep"},
        {"project/crooked", 0, -ELOOP, "/project/real/deep"},
        {"project/self/real", 0, -ELOOP, "/project/real"},
        {"project/link", 0, -ELOOP, "/project/file"},
        {"project/away", -ELOOP, -ELOOP, NULL},
        {"project/away/key", -ELOOP, -ELOOP, NULL},
        {"project/absolute", -ELOOP, -ELOOP, NULL},
        {"project/root", -ELOOP, -ELOOP, NULL},
        {"project/root/etc", -ELOOP, -ELOOP, NULL},
        {"project/loop", -ELOOP, -ELOOP, NULL},
        {"project/through", -ELOOP, -ELOOP, NULL},
        {"project/real/deep/nested", -ELOOP, -ELOOP, NULL},
        {"project/below/../../secret", 0, -ELOOP, "/secret"},
        {"project/dangling", -ELOOP, -ELOOP, NULL},
        {"project/none", -ENOENT, -ENOENT, NULL},
        {"project/file/", -ENOTDIR, -ENOTDIR, NULL},
        {"project/file/x", -ENOTDIR, -ENOTDIR, NULL},
        {"", -ENOENT, -ENOENT, NULL},
    };
    for (size_t i = 0; i < 2 * ARRAY_LEN(table); i++) {
        const bool write = i % 2;
        const int want = write ? table[i / 2].to_write : table[i / 2].to_read;
        const char *given = table[i / 2].path;
        AUTO_FREE char *path = given[0] ? mem_printf("%s/%s", dir, given) : mem_strdup("");
        AUTO_FREE char *real = NULL;
        struct err e = {.code = 0};
        int r = host_path_resolve(path, write, &real, &e);
        if (r != want)
            fail_msg("%s (write %d) gave %d: %s", given, write, r, e.msg);
        if (r < 0) {
            assert_true(e.msg[0]);
            continue;
        }
        AUTO_FREE char *place = mem_printf("%s%s", dir, table[i / 2].place);
        assert_string_equal(real, place);
    }
}

static void the_sentence_names_the_place(void **state)
{
    (void)state;
    AUTO_FREE char *path = mem_printf("%s/project/away", dir);
    AUTO_FREE char *place = mem_printf("name the place itself, %s/secret", dir);
    AUTO_FREE char *real = NULL;
    struct err e = {.code = 0};
    assert_int_equal(host_path_resolve(path, false, &real, &e), -ELOOP);
    assert_non_null(strstr(e.msg, place));
}

static void links_of_the_system_are_followed(void **state)
{
    (void)state;
    AUTO_FREE char *want = realpath("/usr/bin/awk", NULL); /* by way of /etc/alternatives */
    AUTO_FREE char *real = NULL;
    struct err e = {.code = 0};
    assert_non_null(want);
    assert_int_equal(host_path_resolve("/usr/bin/awk", true, &real, &e), 0);
    assert_string_equal(real, want);
    /* Not those of procfs, which are no paths. */
    AUTO_FREE char *cwd = NULL;
    assert_int_equal(host_path_resolve("/proc/self/root", false, &cwd, &e), -ELOOP);
}

static void the_working_directory_is_where_the_caller_is(void **state)
{
    (void)state;
    AUTO_FREE char *by_link = mem_printf("%s/project/away", dir);
    AUTO_FREE char *below = mem_printf("%s/key", by_link);
    AUTO_FREE char *secret = mem_printf("%s/secret", dir), *key = mem_printf("%s/key", secret);
    AUTO_CLOSE int before = open(".", O_PATH | O_CLOEXEC);
    assert_int_equal(chdir(by_link), 0);
    const struct {
        const char *pwd, *path, *real; /* NULL: refused */
    } table[] = {
        {by_link, ".", secret}, {by_link, by_link, secret}, {by_link, below, key},
        {by_link, "key", key},  {secret, by_link, NULL},    {"/", by_link, NULL},
        {"", by_link, NULL},
    };
    for (size_t i = 0; i < ARRAY_LEN(table); i++) {
        AUTO_FREE char *real = NULL;
        struct err e = {.code = 0};
        assert_int_equal(setenv("PWD", table[i].pwd, 1), 0); /* lint-allow: banned of this test */
        int r = host_path_resolve(table[i].path, false, &real, &e);
        if ((r == 0) != (table[i].real != NULL))
            fail_msg("line %zu gave %d: %s", i, r, e.msg);
        if (r == 0)
            assert_string_equal(real, table[i].real);
    }
    assert_int_equal(fchdir(before), 0);
}

static void a_file_is_a_file(void **state)
{
    (void)state;
    static const struct {
        const char *path;
        bool reads, writes;
    } table[] = {
        {"project/file", true, true},       {"project/link", true, false},
        {"project/new", false, true},       {"project/stolen", false, false},
        {"project/pipe", false, false},     {"project/piped", false, false},
        {"project/sock", false, false},     {"project/real", false, false},
        {"project/away", false, false},     {"project/dangling", false, false},
        {"project/away/new", false, false}, {"project/below/new", false, false},
    };
    for (size_t i = 0; i < ARRAY_LEN(table); i++) {
        AUTO_FREE char *path = mem_printf("%s/%s", dir, table[i].path);
        struct err e = {.code = 0};
        AUTO_CLOSE int in = host_path_read(path, &e);
        if ((in >= 0) != table[i].reads)
            fail_msg("%s, to be read, gave %d: %s", path, in, e.msg);
        AUTO_CLOSE int out = host_path_write(path, &e);
        if ((out >= 0) != table[i].writes)
            fail_msg("%s, to be written, gave %d: %s", path, out, e.msg);
        if (out >= 0)
            assert_false(fcntl(out, F_GETFL) & O_NONBLOCK);
    }
    AUTO_FREE char *key = mem_printf("%s/secret/key", dir);
    struct stat st;
    assert_int_equal(stat(key, &st), 0);
    assert_int_equal(st.st_size, 2);
}

static void what_the_caller_has_opened_is_what_it_is(void **state)
{
    (void)state;
    int p[2];
    char c = 0;
    assert_int_equal(pipe2(p, O_CLOEXEC), 0);
    AUTO_FREE char *in = mem_printf("/dev/fd/%d", p[0]),
                   *out = mem_printf("/proc/self/fd/%d", p[1]);
    struct err e = {.code = 0};
    AUTO_CLOSE int r = host_path_read(in, &e), w = host_path_write(out, &e);
    assert_true(r >= 0 && w >= 0);
    assert_int_equal(write(w, "x", 1), 1);
    assert_int_equal(read(r, &c, 1), 1);
    assert_int_equal(c, 'x');
    close(p[0]);
    close(p[1]);
    AUTO_CLOSE int null = host_path_write("/dev/null", &e), zero = host_path_read("/dev/zero", &e);
    assert_true(null >= 0);
    assert_true(zero < 0);
    assert_true(host_path_read("/dev/fd/9999", &e) < 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_link_is_followed_only_where_nothing_is_gained),
        cmocka_unit_test(the_sentence_names_the_place),
        cmocka_unit_test(links_of_the_system_are_followed),
        cmocka_unit_test(the_working_directory_is_where_the_caller_is),
        cmocka_unit_test(a_file_is_a_file),
        cmocka_unit_test(what_the_caller_has_opened_is_what_it_is),
    };
    return cmocka_run_group_tests(tests, make_project, remove_project);
}
