/* test_etc_known.c - lists of packages as dpkg keeps them, odd ones, and a host without any. */
#include "unit/unit.h"

#include "unit/sandbox/build/made_dir.h"
#include "sandbox/build/etc_known.h"

static void lists_say_what_packages_bring(void **state)
{
    (void)state;
    char *dir =
        made_dir("printf '/.\n/etc\n/etc/maven\n/etc/maven/settings.xml\n/usr/etc/no\n' > a.list; "
                 "printf '/etc/php/8.2/cli' > b.list; printf '/etc/x\n' > c.conffiles; "
                 "mkdir d.list; mkfifo e.list; ln -s /etc/passwd f.list; "
                 "head -c 20000 /dev/zero | tr '\\0' x > g.list");
    struct etc_known *k = etc_known_new(dir, "/nowhere");
    assert_true(etc_known_packaged(k, "maven"));
    assert_true(etc_known_packaged(k, "maven/not/listed"));
    assert_true(etc_known_listed(k, "maven/settings.xml"));
    assert_false(etc_known_listed(k, "maven/not"));
    assert_true(etc_known_packaged(k, "php/7.4"));
    assert_false(etc_known_packaged(k, "x"));
    assert_false(etc_known_packaged(k, "no"));
    assert_false(etc_known_packaged(k, "mave"));
    assert_false(etc_known_packaged(k, ""));
    etc_known_free(k);
    made_dir_gone(dir);
}

static void without_lists_a_directory_of_usr_counts(void **state)
{
    (void)state;
    char *dir = made_dir("mkdir -p share/maven lib/php; touch share/file");
    struct etc_known *k = etc_known_new("/nowhere", dir);
    assert_true(etc_known_packaged(k, "maven/settings.xml"));
    assert_true(etc_known_packaged(k, "php"));
    assert_false(etc_known_packaged(k, "file"));
    assert_false(etc_known_packaged(k, "myapp/config.yml"));
    assert_false(etc_known_packaged(k, ".."));
    assert_false(etc_known_listed(k, "maven/settings.xml"));
    etc_known_free(k);
    made_dir_gone(dir);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(lists_say_what_packages_bring),
        cmocka_unit_test(without_lists_a_directory_of_usr_counts),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
