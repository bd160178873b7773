/* test_file.c - nothing but a regular file is opened, what is made is whole, durable and of the mode
 * asked for, never over another one; a file that others may read is not private. */
#include "unit/unit.h"
#include "base/err.h"
#include "base/str.h"
#include "io/file.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

struct place {
    char top[64];
    char *file, *link, *fifo;
};

static int set_up(void **state)
{
    struct place *p = mem_new(struct place);
    str_copy(p->top, sizeof(p->top), "/tmp/sallyport-file-XXXXXX");
    if (!mkdtemp(p->top))
        return -1;
    p->file = mem_printf("%s/file", p->top);
    p->link = mem_printf("%s/link", p->top);
    p->fifo = mem_printf("%s/fifo", p->top);
    *state = p;
    return symlink("/dev/zero", p->link) < 0 || mkfifo(p->fifo, 0600) < 0 ? -1 : 0;
}

static int tear_down(void **state)
{
    struct place *p = *state;
    (void)unlink(p->file);
    (void)unlink(p->link);
    (void)unlink(p->fifo);
    int r = rmdir(p->top);
    free(p->file);
    free(p->link);
    free(p->fifo);
    free(p);
    return r;
}

static void opens_regular_files_only(void **state)
{
    const struct place *p = *state;
    struct err e = {0};
    assert_int_equal(file_open(p->file, O_RDONLY, &e), -ENOENT);
    assert_string_equal(e.msg, ""); /* the caller's to tell */
    assert_int_equal(file_open(p->link, O_RDONLY, &e), -ELOOP);
    assert_non_null(strstr(e.msg, "/link: it is a link; name the file itself"));
    assert_int_equal(file_open(p->fifo, O_RDONLY, &e), -EINVAL); /* and does not wait */
    assert_non_null(strstr(e.msg, "/fifo is no regular file"));
    assert_int_equal(file_open(p->top, O_RDONLY, &e), -EINVAL);
    assert_int_equal(file_open("/dev/zero", O_RDONLY, NULL), -EINVAL);
}

static void makes_all_of_it_and_never_over_another(void **state)
{
    const struct place *p = *state;
    AUTO_FREE char *part = mem_printf("%s" FILE_STAGED, p->file);
    struct err e = {0};
    struct stat st;
    char text[16];
    mode_t before = umask(0777);
    assert_int_equal(file_write_new(p->file, 0640, "first", 5, &e), 0);
    umask(before);
    assert_int_equal(stat(p->file, &st), 0);
    assert_int_equal(st.st_mode & 07777, 0640);
    assert_int_equal(st.st_nlink, 1);

    /* What a crash has left beside it is in nobody's way. */
    AUTO_CLOSE int left = open(part, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
    assert_true(left >= 0);
    assert_int_equal(file_write_new(p->file, 0600, "second", 6, &e), -EEXIST);
    assert_true(access(part, F_OK) < 0);
    AUTO_CLOSE int fd = file_open(p->file, O_RDONLY, &e);
    assert_true(fd >= 0);
    assert_int_equal(file_read_small(fd, text, sizeof(text)), 5);
    assert_memory_equal(text, "first", 5);
    assert_int_equal(file_read_small(fd, text, 5), -EFBIG); /* there may be more */
    assert_true(file_is_named(fd, p->file));
    assert_false(file_is_named(fd, p->fifo));
}

static void says_who_may_read_it(void **state)
{
    const struct place *p = *state;
    struct err e = {0};
    assert_int_equal(file_write_new(p->file, 0600, "key", 3, &e), 0);
    AUTO_CLOSE int fd = file_open(p->file, O_RDONLY, &e);
    assert_int_equal(file_is_private(fd, p->file, &e), 0);
    static const mode_t open_to_others[] = {0640, 0604, 0620, 0601};
    for (size_t i = 0; i < ARRAY_LEN(open_to_others); i++) {
        assert_int_equal(chmod(p->file, open_to_others[i]), 0);
        e = (struct err){0};
        assert_int_equal(file_is_private(fd, p->file, &e), -EPERM);
        assert_non_null(strstr(e.msg, "chmod 600"));
    }
}

static void expect_text(const char *path, const char *text, mode_t mode)
{
    char got[16];
    struct stat st;
    AUTO_CLOSE int fd = open(path, O_RDONLY | O_CLOEXEC);
    assert_true(fd >= 0);
    assert_int_equal(file_read_small(fd, got, sizeof(got)), (int)strlen(text));
    assert_memory_equal(got, text, strlen(text));
    assert_int_equal(fstat(fd, &st), 0);
    assert_int_equal(st.st_mode & 07777, mode);
}

static void takes_the_place_of_another_with_its_mode(void **state)
{
    const struct place *p = *state;
    AUTO_FREE char *part = mem_printf("%s" FILE_STAGED, p->file);
    struct err e = {0};
    struct stat st;
    assert_int_equal(file_stage(p->file, 0640, "one", 3, &e), 0);
    assert_int_equal(lstat(p->file, &st), -1); /* not yet */
    assert_int_equal(file_publish(p->file, &e), 0);
    expect_text(p->file, "one", 0640);
    assert_int_equal(chmod(p->file, 0400), 0);
    assert_int_equal(file_stage(p->file, 0644, "first", 5, &e), 0);
    assert_int_equal(file_stage(p->file, 0644, "second", 6, &e), 0); /* after a crash */
    expect_text(p->file, "one", 0400);
    expect_text(part, "second", 0400);
    assert_int_equal(file_publish(p->file, &e), 0);
    expect_text(p->file, "second", 0400);
    assert_int_equal(lstat(part, &st), -1);
    assert_int_equal(file_stage(p->file, 0644, "third", 5, &e), 0);
    file_unstage(p->file);
    assert_int_equal(file_publish(p->file, &e), -ENOENT);
    expect_text(p->file, "second", 0400);
    assert_int_equal(file_stage(p->link, 0644, "x", 1, &e), -EINVAL);
    assert_non_null(strstr(e.msg, "is no regular file; name the file itself"));
    assert_int_equal(file_stage(p->fifo, 0644, "x", 1, &e), -EINVAL);
}

static void names_the_directory(void **state)
{
    (void)state;
    static const char *const rows[][2] = {
        {"a", "."}, {"/a", "/"}, {"a/b", "a"}, {"/a/b/c", "/a/b"}};
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        AUTO_FREE char *folder = file_folder(rows[i][0]);
        assert_string_equal(folder, rows[i][1]);
    }
}

static void tells_whether_files_can_be_made_and_leaves_none(void **state)
{
    const struct place *p = *state;
    AUTO_FREE char *none = mem_printf("%s/none", p->top);
    struct err e = {0};
    struct stat before, after;
    assert_int_equal(stat(p->top, &before), 0);
    assert_int_equal(file_can_make_in(p->top, &e), 0);
    assert_int_equal(stat(p->top, &after), 0);
    assert_int_equal(before.st_mtim.tv_nsec, after.st_mtim.tv_nsec);
    assert_int_equal(before.st_mtim.tv_sec, after.st_mtim.tv_sec);
    assert_int_equal(file_can_make_in(none, &e), -ENOENT);
    assert_non_null(strstr(e.msg, "no file can be made in"));
    assert_int_equal(chmod(p->top, 0500), 0);
    assert_int_equal(file_can_make_in(p->top, &e), geteuid() == 0 ? 0 : -EACCES);
    assert_int_equal(chmod(p->top, 0700), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(opens_regular_files_only, set_up, tear_down),
        cmocka_unit_test_setup_teardown(makes_all_of_it_and_never_over_another, set_up, tear_down),
        cmocka_unit_test_setup_teardown(says_who_may_read_it, set_up, tear_down),
        cmocka_unit_test_setup_teardown(tells_whether_files_can_be_made_and_leaves_none, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(takes_the_place_of_another_with_its_mode, set_up,
                                        tear_down),
        cmocka_unit_test(names_the_directory),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
