/* test_dirs.c - missing parents are made, what is there is left alone, a file in the way is named.
 * */
#include "unit/unit.h"
#include "base/err.h"
#include "base/str.h"
#include "io/dirs.h"

#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static void makes_what_is_missing(void **state)
{
    (void)state;
    char top[] = "/tmp/sallyport-dirs-XXXXXX";
    assert_non_null(mkdtemp(top));
    assert_int_equal(chmod(top, 0755), 0);
    AUTO_FREE char *ab = mem_printf("%s/a/b", top), *a = mem_printf("%s/a", top),
                   *file = mem_printf("%s/file", top), *below = mem_printf("%s/file/c", top),
                   *slash = mem_printf("%s/a//b/", top);
    struct stat st;
    struct err e = {0};
    assert_int_equal(dirs_make(ab, &e), 0);
    assert_int_equal(stat(a, &st), 0);
    assert_int_equal(st.st_mode & 07777, 0700);
    assert_int_equal(dirs_make(slash, &e), 0);
    assert_int_equal(stat(top, &st), 0);
    assert_int_equal(st.st_mode & 07777, 0755);

    AUTO_CLOSE int fd = open(file, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
    assert_true(fd >= 0);
    assert_int_equal(dirs_make(file, &e), -ENOTDIR);
    assert_int_equal(dirs_make(below, &e), -ENOTDIR);
    assert_non_null(strstr(e.msg, "/file is not a directory"));
    assert_int_equal(dirs_make(below, NULL), -ENOTDIR);
    assert_int_equal(dirs_make("", &e), -EINVAL);
    assert_true(dirs_make("/proc/none/a", &e) < 0);

    unlink(file);
    rmdir(ab);
    rmdir(a);
    rmdir(top);
}

static void takes_back_what_it_made_and_no_more(void **state)
{
    (void)state;
    char top[] = "/tmp/sallyport-dirs-XXXXXX";
    assert_non_null(mkdtemp(top));
    AUTO_FREE char *abc = mem_printf("%s/a//b/c/", top), *a = mem_printf("%s/a", top),
                   *b = mem_printf("%s/a/b", top), *file = mem_printf("%s/a/file", top);
    struct stat st;
    size_t made = 99;
    assert_int_equal(dirs_make_counted(abc, &made, NULL), 0);
    assert_int_equal(made, 3);
    dirs_unmake(abc, made);
    assert_true(stat(a, &st) < 0);
    assert_int_equal(stat(top, &st), 0); /* was there */

    assert_int_equal(mkdir(a, 0700), 0);
    assert_int_equal(dirs_make_counted(abc, &made, NULL), 0);
    assert_int_equal(made, 2);
    AUTO_CLOSE int fd = open(file, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
    dirs_unmake(abc, 3); /* one of them is not empty */
    assert_true(stat(b, &st) < 0);
    assert_int_equal(stat(file, &st), 0);
    dirs_unmake(a, 0);
    assert_int_equal(dirs_make_counted(file, &made, NULL), -ENOTDIR);
    assert_int_equal(made, 0);
    unlink(file);
    rmdir(a);
    rmdir(top);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(makes_what_is_missing),
        cmocka_unit_test(takes_back_what_it_made_and_no_more),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
