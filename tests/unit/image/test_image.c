/* test_image.c - the directory images are kept in.
 *
 * Other processes are children of the test: one that holds an image, one that imports, one that is
 * killed while it does. */
#include "unit/image/image_maker.h"

#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <sys/file.h>
#include <sys/mount.h>
#include <sys/wait.h>

static int import_small(const char *name, const char *text, bool replace, struct err *e)
{
    AUTO(buf) tar = BUF_INIT(TAR_MAX);
    AUTO_JSON json_t *record = NULL;
    tar_file(&tar, "usr/f", text);
    tar_end(&tar);
    struct image_import in = import_of(name, -1);
    in.replace = replace;
    return import_bytes(&in, &tar, &record, e);
}

static void only_plain_names_are_taken(void **state)
{
    (void)state;
    static const char *const bad[] = {
        "",
        ".",
        "..",
        "a/b",
        "../a",
        "A",
        ".a",
        "-a",
        "_a",
        "a b",
        "a\n",
        "\xc3\xa9",
        "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"};
    static const char *const good[] = {
        "a", "0", "python-3.12_slim",
        "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"};
    struct image image;
    for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
        struct err e = {0};
        assert_false(image_name_ok(bad[i]));
        assert_int_equal(import_small(bad[i], "1", false, &e), -EINVAL);
        assert_int_equal(image_find(data_dir, bad[i], &image, &e), -EINVAL);
        assert_int_equal(image_remove(data_dir, bad[i], &e), -EINVAL);
    }
    for (size_t i = 0; i < ARRAY_LEN(good); i++)
        assert_true(image_name_ok(good[i]));
}

static void an_image_in_use_is_not_replaced(void **state)
{
    (void)state;
    struct err e = {0};
    struct image image;
    assert_int_equal(image_find(data_dir, "a", &image, &e), -ENOENT);
    assert_non_null(strstr(e.msg, "rootfs import"));
    assert_int_equal(image_remove(data_dir, "a", &e), -ENOENT);
    assert_int_equal(import_small("a", "1", false, &e), 0);
    assert_int_equal(import_small("a", "2", false, &e), -EEXIST);
    assert_non_null(strstr(e.msg, "--replace"));
    check_tree("a", "d755 usr\nf644 usr/f=1\n");
    assert_int_equal(import_small("a", "2", true, &e), 0);
    check_tree("a", "d755 usr\nf644 usr/f=2\n");
    check_store("a\n");
    assert_int_equal(import_small("new", "1", true, &e), 0); /* nothing to replace is fine */

    struct image second;
    assert_int_equal(image_find(data_dir, "a", &image, &e), 0);
    assert_int_equal(image_find(data_dir, "a", &second, &e), 0); /* any number of users */
    image_done(&second);
    assert_int_equal(import_small("a", "3", true, &e), -EBUSY);
    assert_non_null(strstr(e.msg, "in use"));
    assert_int_equal(image_remove(data_dir, "a", &e), -EBUSY);
    check_tree("a", "d755 usr\nf644 usr/f=2\n");
    image_done(&image);
    image_done(&image); /* twice is harmless */
    assert_int_equal(image_remove(data_dir, "a", &e), 0);
    assert_int_equal(image_find(data_dir, "a", &image, &e), -ENOENT);
    assert_non_null(strstr(e.msg, "there is: new"));
    check_store("new\n");
}

static void a_damaged_record_is_told_and_removed(void **state)
{
    (void)state;
    struct err e = {0};
    struct image image;
    AUTO_JSON json_t *all = NULL;
    size_t damaged;
    assert_int_equal(import_small("a", "1", false, &e), 0);
    char *record = mem_printf("%s/rootfs/a/image.json", data_dir);
    int fd = open(record, O_WRONLY | O_TRUNC | O_CLOEXEC);
    assert_int_equal(write(fd, "{\"na", 4), 4);
    close(fd);
    free(record);
    assert_int_equal(image_find(data_dir, "a", &image, &e), -E_CORRUPT);
    assert_non_null(strstr(e.msg, "import it again"));
    assert_int_equal(image_list(data_dir, &all, &damaged, &e), 0);
    assert_int_equal(json_array_size(all), 0);
    assert_int_equal(damaged, 1);
    assert_int_equal(image_remove(data_dir, "a", &e), 0);
    check_store("");
}

/* A child that imports `name` from a pipe; ends with 0 when that succeeded, else 1. */
static pid_t importer(const char *name, int *ret_pipe)
{
    int fds[2];
    assert_int_equal(pipe2(fds, O_CLOEXEC), 0);
    pid_t pid = fork();
    assert_true(pid >= 0);
    if (pid == 0) {
        struct err e = {0};
        json_t *record = NULL;
        struct image_import in = import_of(name, fds[0]);
        close(fds[1]);
        _exit(image_import(&in, &record, &e) < 0);
    }
    close(fds[0]);
    *ret_pipe = fds[1];
    return pid;
}

/* Waits until the child has its place: it holds the lock then. */
static void wait_for_place(const char *name)
{
    char *path = mem_printf("%s/rootfs/.import-%s/rootfs", data_dir, name);
    for (int i = 0; i < 20000 && access(path, F_OK) < 0; i++)
        poll(NULL, 0, 1);
    assert_int_equal(access(path, F_OK), 0);
    free(path);
}

/* Waits until nobody holds the place any more. */
static void wait_for_lock(const char *name)
{
    char *path = mem_printf("%s/rootfs/.import-%s", data_dir, name);
    int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    assert_true(fd >= 0);
    assert_int_equal(flock(fd, LOCK_EX), 0);
    close(fd);
    free(path);
}

static void a_second_import_of_a_name_is_refused(void **state)
{
    (void)state;
    struct err e = {0};
    int in, status;
    pid_t pid = importer("a", &in);
    wait_for_place("a");
    assert_int_equal(import_small("a", "mine", false, &e), -EBUSY);
    assert_non_null(strstr(e.msg, "another import of a is running"));
    assert_int_equal(import_small("b", "mine", false, &e), 0); /* others go on */
    check_store(".import-a\nb\n");
    AUTO(buf) tar = BUF_INIT(TAR_MAX);
    tar_file(&tar, "usr/f", "theirs");
    tar_end(&tar);
    assert_int_equal(write(in, tar.data, tar.len), tar.len);
    close(in);
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_int_equal(status, 0);
    check_tree("a", "d755 usr\nf644 usr/f=theirs\n");
    check_store("a\nb\n");
}

static void a_killed_import_leaves_no_image(void **state)
{
    (void)state;
    struct err e = {0};
    int in, status;
    pid_t pid = importer("a", &in);
    wait_for_place("a");
    assert_int_equal(write(in, "x", 1), 1);
    assert_int_equal(kill(pid, SIGKILL), 0);
    assert_int_equal(waitpid(pid, &status, 0), pid);
    close(in);
    wait_for_lock("a"); /* its own child goes with it, but a moment later */
    check_store(".import-a\n");
    AUTO_JSON json_t *all = NULL;
    struct image image;
    assert_int_equal(image_list(data_dir, &all, NULL, &e), 0);
    assert_int_equal(json_array_size(all), 0);
    assert_int_equal(image_find(data_dir, "a", &image, &e), -ENOENT);
    /* The next one, of another name even, takes it away. */
    assert_int_equal(import_small("b", "1", false, &e), 0);
    check_store("b\n");
}

static bool write_proc(const char *path, const char *text)
{
    int fd = open(path, O_WRONLY | O_CLOEXEC);
    bool ok = fd >= 0 && write(fd, text, strlen(text)) == (ssize_t)strlen(text);
    if (fd >= 0)
        close(fd);
    return ok;
}

/* A mount namespace of its own; for an ordinary user in a user namespace. */
static int own_mounts(void)
{
    if (unshare(CLONE_NEWNS) == 0)
        return 0;
    char uid[32], gid[32];
    snprintf(uid, sizeof(uid), "0 %u 1", geteuid());
    snprintf(gid, sizeof(gid), "0 %u 1", getegid());
    if (unshare(CLONE_NEWUSER | CLONE_NEWNS) < 0)
        return 10;
    return write_proc("/proc/self/setgroups", "deny") && write_proc("/proc/self/uid_map", uid) &&
                   write_proc("/proc/self/gid_map", gid)
               ? 0
               : 11;
}

/* Imports to a file system of 1 MiB. */
static int fill_disk(void)
{
    int r = own_mounts();
    if (r)
        return r;
    if (mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0 ||
        mount("none", data_dir, "tmpfs", 0, "size=1m,nr_inodes=100") < 0)
        return 12;
    struct err e = {0};
    AUTO_FREE char *big = mem_array(1, 2u << 20);
    AUTO(buf) tar = BUF_INIT(TAR_MAX);
    AUTO_JSON json_t *record = NULL;
    memset(big, 'x', 2u << 20);
    tar_entry(&tar, "usr/big", '0', 0644, "", big, 2u << 20);
    tar_end(&tar);
    struct image_import in = import_of("a", -1);
    if (import_bytes(&in, &tar, &record, &e) != -ENOSPC || !strstr(e.msg, "the disk is full"))
        return 13;
    check_store("");
    buf_reset(&tar);
    for (int i = 0; i < 200; i++) { /* inodes */
        char name[32];
        snprintf(name, sizeof(name), "usr/%d/f", i);
        tar_file(&tar, name, "");
    }
    tar_end(&tar);
    if (import_bytes(&in, &tar, &record, &e) != -ENOSPC || !strstr(e.msg, "the disk is full"))
        return 14;
    check_store("");
    return import_small("a", "fits", false, &e) == 0 ? 0 : 15;
}

static void a_full_disk_leaves_no_image(void **state)
{
    (void)state;
    int status;
    pid_t pid = fork();
    assert_true(pid >= 0);
    if (pid == 0)
        _exit(fill_disk());
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_true(WIFEXITED(status));
    assert_int_equal(WEXITSTATUS(status), 0);
}

/* Whoever can write there could put a tree of his own in an image's place. */
static void a_store_open_to_others_is_refused(void **state)
{
    (void)state;
    struct err e = {0};
    struct image image;
    char *dir = mem_printf("%s/rootfs", data_dir);
    assert_int_equal(import_small("a", "1", false, &e), 0);
    assert_int_equal(chmod(dir, 0770), 0);
    assert_int_equal(image_find(data_dir, "a", &image, &e), -EPERM);
    assert_int_equal(import_small("b", "1", false, &e), -EPERM);
    assert_non_null(strstr(e.msg, "chmod go-w"));
    assert_int_equal(image_remove(data_dir, "a", &e), -EPERM);
    assert_int_equal(chmod(dir, 0700), 0);
    check_store("a\n");
    free(dir);
}

static int stop_at_once(void *arg, const struct image_tally *t)
{
    (void)t;
    return ++*(int *)arg > 1 ? -ECANCELED : 0;
}

static void a_stopped_import_leaves_nothing(void **state)
{
    (void)state;
    struct maker m;
    struct err e = {0};
    int ticks = 0;
    json_t *record = NULL;
    maker_init(&m);
    make_oci(&m, "", "amd64", OCI_LAYER);
    struct image_import in = import_of("a", -1);
    in.tick = stop_at_once;
    in.tick_arg = &ticks;
    assert_int_equal(import_bytes(&in, &m.tar, &record, &e), -ECANCELED);
    check_store("");
    maker_done(&m);
}

static void a_directory_is_no_archive(void **state)
{
    (void)state;
    struct err e = {0};
    json_t *record = NULL;
    AUTO_CLOSE int fd = open(data_dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    struct image_import in = import_of("a", fd);
    assert_int_equal(image_import(&in, &record, &e), -EISDIR);
    check_store("");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(only_plain_names_are_taken),           TEST(an_image_in_use_is_not_replaced),
        TEST(a_damaged_record_is_told_and_removed), TEST(a_second_import_of_a_name_is_refused),
        TEST(a_killed_import_leaves_no_image),      TEST(a_full_disk_leaves_no_image),
        TEST(a_stopped_import_leaves_nothing),      TEST(a_directory_is_no_archive),
        TEST(a_store_open_to_others_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
