/* test_etc_cache.c - the kept copy of /etc: used again, replaced when it is not true any more, kept
 * while somebody has it, and never taken from a place that others can write to. Needs the right to
 * mount. */
#include "unit/sandbox/build/made_dir.h"

#include <stdio.h>
#include <string.h>
#include <sys/mount.h>
#include <unistd.h>

#include "base/str.h"
#include "sandbox/mounts.h"
#include "sandbox/zygote/etc_cache.h"

static bool can_mount(void)
{
    AUTO_CLOSE int tree = mounts_copy("/usr", 0);
    return tree >= 0;
}

static void open_in(const char *dir, struct etc_cache *ret)
{
    AUTO_FREE char *place = mem_printf("%s/sallyport", dir);
    etc_cache_open(place, ret);
}

static char *current(const char *dir)
{
    AUTO_FREE char *link = mem_printf("%s/sallyport/etc", dir);
    char name[64] = "";
    ssize_t n = readlink(link, name, sizeof(name) - 1);
    return mem_strndup(name, n > 0 ? (size_t)n : 0);
}

static size_t copies(const char *dir)
{
    AUTO_FREE char *command = mem_printf("ls -d %s/sallyport/etc-* 2>/dev/null | wc -l", dir);
    FILE *p = popen(command, "re");
    assert_non_null(p);
    int n = -1;
    assert_int_equal(fscanf(p, "%d", &n), 1);
    pclose(p);
    return (size_t)n;
}

static void run(const char *dir, const char *script)
{
    AUTO_FREE char *command = mem_printf("set -e; cd %s/sallyport; %s", dir, script);
    if (system(command) != 0)
        fail_msg("%s", command);
}

static void a_copy_is_made_and_is_read_only(void **state)
{
    (void)state;
    if (!can_mount())
        skip();
    char *dir = made_dir("true");
    AUTO(etc_cache) c = ETC_CACHE_NONE;
    open_in(dir, &c);
    assert_true(c.tree >= 0 && c.lock >= 0);
    char text[16] = "";
    AUTO_CLOSE int f = openat(c.tree, "hostname", O_RDONLY | O_CLOEXEC);
    assert_true(f >= 0 && read(f, text, sizeof(text) - 1) > 0);
    assert_string_equal(text, "sandbox\n");
    assert_int_equal(openat(c.tree, "hostname", O_WRONLY | O_CLOEXEC), -1);
    assert_int_equal(errno, EROFS);
    AUTO_FREE char *name = current(dir);
    assert_true(str_starts(name, "etc-"));
    made_dir_gone(dir);
}

static void one_that_is_not_true_is_replaced_and_kept_while_it_is_used(void **state)
{
    (void)state;
    if (!can_mount())
        skip();
    char *dir = made_dir("true");
    AUTO(etc_cache) first = ETC_CACHE_NONE;
    open_in(dir, &first);
    assert_true(first.tree >= 0);
    AUTO_FREE char *one = current(dir);
    run(dir, "echo 1 1 nothing >> etc/seen");
    AUTO(etc_cache) second = ETC_CACHE_NONE;
    open_in(dir, &second);
    assert_true(second.tree >= 0);
    AUTO_FREE char *two = current(dir);
    assert_string_not_equal(one, two);
    assert_int_equal(copies(dir), 2); /* the first is in use */
    assert_int_equal(faccessat(first.tree, "hostname", R_OK, 0), 0);
    etc_cache_done(&first);
    etc_cache_done(&second);
    first = second = ETC_CACHE_NONE;
    run(dir, "echo 1 1 nothing >> etc/seen");
    open_in(dir, &first);
    assert_true(first.tree >= 0);
    assert_int_equal(copies(dir), 1); /* both others are gone */
    made_dir_gone(dir);
}

/* What somebody else could have put there is not looked at. */
static void odd_places_are_not_used(void **state)
{
    (void)state;
    if (!can_mount())
        skip();
    static const char *const odd[] = {
        "chmod 777 .",
        "mkdir -m 755 sallyport",
        "mkdir real; chmod 700 real; ln -s real sallyport",
        "echo x > sallyport",
        "chmod 1777 .; mkdir -m 755 sallyport",
        "mkdir -m 700 sallyport; chown 12345 sallyport",
    };
    for (size_t i = 0; i < ARRAY_LEN(odd) - (geteuid() != 0); i++) {
        char *dir = made_dir(odd[i]);
        AUTO(etc_cache) c = ETC_CACHE_NONE;
        open_in(dir, &c);
        if (c.tree >= 0)
            fail_msg("used: %s", odd[i]);
        made_dir_gone(dir);
    }
    AUTO(etc_cache) none = ETC_CACHE_NONE;
    etc_cache_open("/nowhere/at/all", &none);
    assert_int_equal(none.tree, -1);
}

/* Nor does the link lead anywhere but to a copy beside it. */
static void the_link_names_a_copy_or_nothing(void **state)
{
    (void)state;
    if (!can_mount())
        skip();
    static const char *const targets[] = {"../evil", "/etc", "etc-0123456789abcdeg",
                                          "etc-0123456789abcdef", "."};
    for (size_t i = 0; i < ARRAY_LEN(targets); i++) {
        char *dir = made_dir("mkdir -m 700 sallyport; mkdir -p evil/tree/etc");
        AUTO_FREE char *link = mem_printf("ln -s %s etc", targets[i]);
        run(dir, link);
        AUTO(etc_cache) c = ETC_CACHE_NONE;
        open_in(dir, &c);
        assert_true(c.tree >= 0);
        AUTO_FREE char *name = current(dir);
        assert_string_not_equal(name, targets[i]);
        assert_int_equal(faccessat(c.tree, "hostname", R_OK, 0), 0);
        made_dir_gone(dir);
    }
}

static void a_writable_bind_above_the_copies_is_known(void **state)
{
    (void)state;
    static const struct {
        uid_t user;
        const char *path;
        bool holds;
    } cases[] = {
        {0, "/", true},
        {0, "/run", true},
        {0, "/run/sallyport", true},
        {0, "/run/sallyport/etc-0123456789abcdef/tree", true},
        {0, "/run/sallyports", false},
        {0, "/run/user", false},
        {0, "/ru", false},
        {0, "/home", false},
        {1000, "/run", true},
        {1000, "/run/user/1000", true},
        {1000, "/run/user/1000/sallyport-1000", true},
        {1000, "/dev/shm", true},
        {1000, "/dev/shm/sallyport-1000/etc", true},
        {1000, "/dev/shm/sallyport-1001", false},
        {1000, "/tmp", false},
        {1000, "/run/user/10001", false},
        {1000, "/run/user/1000/app", false},
    };
    for (size_t i = 0; i < ARRAY_LEN(cases); i++)
        assert_int_equal(etc_cache_holds(cases[i].user, cases[i].path), cases[i].holds);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_copy_is_made_and_is_read_only),
        cmocka_unit_test(one_that_is_not_true_is_replaced_and_kept_while_it_is_used),
        cmocka_unit_test(odd_places_are_not_used),
        cmocka_unit_test(the_link_names_a_copy_or_nothing),
        cmocka_unit_test(a_writable_bind_above_the_copies_is_known),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
