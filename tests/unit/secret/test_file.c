/* test_file.c - files: seen to change, half written, not to be trusted, not files at all. */
#include "unit/secret/secret_world.h"
#include "base/log.h"
#include "base/time.h"

#include <fcntl.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

static int a_change_is_seen_at_once(void *arg)
{
    (void)arg;
    struct secret_world w;
    world_begin(&w);
    world_write(&w, "key", "one\n");
    struct secret_source *s = world_source(&w, "{'file':'$DIR/key'}");
    expect_got(s, "one");
    world_write(&w, "key", "two\n"); /* the same size, perhaps within one tick of the clock */
    expect_got(s, "two");
    world_swap(&w, "key", "three");
    expect_got(s, "three");
    assert_int_equal(unlink(world_path(&w, "key")), 0);
    expect_failure(s, -ENOENT, "there is no such file");
    world_write(&w, "key", "four"); /* a failure is not remembered across a change */
    expect_got(s, "four");
    secret_source_unref(s);
    assert_int_equal(unlink(world_path(&w, "key")), 0);
    world_end(&w);
    return 0;
}
ON_LOOP(a_change_is_seen_at_once)

/* What kubernetes does to a mounted secret: key -> ..data/key, ..data -> ..1, then ..2. */
static int a_link_that_leads_elsewhere_is_a_change(void *arg)
{
    (void)arg;
    struct secret_world w;
    world_begin(&w);
    assert_int_equal(mkdir(world_path(&w, "..1"), 0700), 0);
    assert_int_equal(mkdir(world_path(&w, "..2"), 0700), 0);
    world_write(&w, "..1/key", "old");
    world_write(&w, "..2/key", "new");
    assert_int_equal(symlink("..1", world_path(&w, "..data")), 0);
    assert_int_equal(symlink("..data/key", world_path(&w, "key")), 0);
    struct secret_source *s = world_source(&w, "{'file':'$DIR/key'}");
    expect_got(s, "old");
    assert_int_equal(symlink("..2", world_path(&w, "..tmp")), 0);
    assert_int_equal(rename(world_path(&w, "..tmp"), world_path(&w, "..data")), 0);
    expect_got(s, "new");
    secret_source_unref(s);
    assert_int_equal(unlink(world_path(&w, "..1/key")), 0);
    assert_int_equal(unlink(world_path(&w, "..2/key")), 0);
    world_end(&w);
    return 0;
}
ON_LOOP(a_link_that_leads_elsewhere_is_a_change)

/* How many bytes this process has read, by the kernel's count, in calls of read. */
static unsigned long read_calls(void)
{
    FILE *f = fopen("/proc/self/io", "re");
    assert_non_null(f);
    char line[128];
    unsigned long n = 0;
    while (fgets(line, sizeof(line), f))
        (void)sscanf(line, "syscr: %lu", &n);
    (void)fclose(f);
    return n;
}

static int a_file_is_not_read_again_while_it_is_the_same(void *arg)
{
    (void)arg;
    struct secret_world w;
    world_begin(&w);
    world_write(&w, "key", "one");
    struct stat st;
    assert_int_equal(stat(world_path(&w, "key"), &st), 0);
    /* A second after the file was written, by our clock: within a tick of the coarsest clock it may
     * have been written again, and is read each time. */
    time_test_set(time_mono_ns(), (st.st_ctim.tv_sec + 1) * US_PER_S);
    struct secret_source *s = world_source(&w, "{'file':'$DIR/key'}");
    expect_got(s, "one");
    unsigned long before = read_calls(), cost = read_calls() - before;
    before = read_calls();
    expect_got(s, "one");
    assert_true(read_calls() - before > cost);
    /* Ten seconds after it there is no doubt: one read more, and then none. */
    time_test_set(time_mono_ns(), (st.st_ctim.tv_sec + 10) * US_PER_S);
    expect_got(s, "one");
    before = read_calls();
    for (int i = 0; i < 100; i++)
        expect_got(s, "one");
    assert_int_equal(read_calls() - before, cost);
    assert_int_equal(chmod(world_path(&w, "key"), 0400), 0); /* another ctime: it is read */
    before = read_calls();
    expect_got(s, "one");
    assert_true(read_calls() - before > cost);
    secret_source_unref(s);
    time_test_reset();
    assert_int_equal(unlink(world_path(&w, "key")), 0);
    world_end(&w);
    return 0;
}
ON_LOOP(a_file_is_not_read_again_while_it_is_the_same)

static int what_is_no_file_is_refused_without_waiting(void *arg)
{
    (void)arg;
    struct secret_world w;
    world_begin(&w);
    assert_int_equal(mkfifo(world_path(&w, "pipe"), 0600), 0);
    assert_int_equal(mkdir(world_path(&w, "dir"), 0700), 0);
    int sock = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    struct sockaddr_un a = {.sun_family = AF_UNIX};
    (void)snprintf(a.sun_path, sizeof(a.sun_path), "%s", world_path(&w, "sock"));
    assert_int_equal(bind(sock, (struct sockaddr *)&a, sizeof(a)), 0);
    assert_int_equal(symlink("pipe", world_path(&w, "link")), 0);
    assert_int_equal(symlink("loop", world_path(&w, "loop")), 0);
    static const struct {
        const char *config;
        int code;
        const char *words;
    } rows[] = {
        {"{'file':'$DIR/pipe'}", -EINVAL, "a named pipe"},
        {"{'file':'$DIR/link'}", -EINVAL, "a named pipe"},
        {"{'file':'$DIR/dir'}", -EINVAL, "a directory"},
        {"{'file':'$DIR/sock'}", -ENXIO, "cannot be opened"},
        {"{'file':'/dev/zero'}", -EINVAL, "a device"},
        {"{'file':'$DIR/loop'}", -ELOOP, "cannot be opened"},
        {"{'file':'$DIR/none'}", -ENOENT, "there is no such file"},
        {"{'file':'$DIR/pipe/x'}", -ENOTDIR, "there is no such file"},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct secret_source *s = world_source(&w, rows[i].config);
        expect_failure(s, rows[i].code, rows[i].words);
        secret_source_unref(s);
    }
    (void)close(sock);
    static const char *const made[] = {"pipe", "sock", "link", "loop"};
    for (size_t i = 0; i < ARRAY_LEN(made); i++)
        assert_int_equal(unlink(world_path(&w, made[i])), 0);
    world_end(&w);
    return 0;
}
ON_LOOP(what_is_no_file_is_refused_without_waiting)

/* What log lines say while `s` is read. */
static void logged(struct secret_source *s, char *ret, size_t cap)
{
    int fd = memfd_create("log", MFD_CLOEXEC);
    log_test_set_fd(fd);
    expect_got(s, "x");
    log_test_set_fd(STDERR_FILENO);
    ssize_t n = pread(fd, ret, cap - 1, 0);
    ret[n > 0 ? n : 0] = '\0';
    (void)close(fd);
}

static int who_may_write_or_read_the_file_matters(void *arg)
{
    (void)arg;
    static const struct {
        mode_t mode;
        bool refused, told;
    } rows[] = {
        {0600, false, false}, {0400, false, false}, {0640, false, false}, {0440, false, false},
        {0644, false, true},  {0444, false, true},  {0660, true, false},  {0602, true, false},
        {0666, true, false},  {0622, true, false},
    };
    struct secret_world w;
    world_begin(&w);
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        world_write(&w, "key", "x");
        assert_int_equal(chmod(world_path(&w, "key"), rows[i].mode), 0);
        struct secret_source *s = world_source(&w, "{'file':'$DIR/key'}");
        char text[1000];
        if (rows[i].refused) {
            expect_failure(s, -EPERM, "others than its owner may write it");
        } else {
            logged(s, text, sizeof(text));
            assert_int_equal(strstr(text, "read by every user") != NULL, rows[i].told);
            world_swap(&w, "key", "x");
            assert_int_equal(chmod(world_path(&w, "key"), rows[i].mode), 0);
            logged(s, text, sizeof(text)); /* once is enough */
            assert_null(strstr(text, "read by every user"));
        }
        secret_source_unref(s);
        assert_int_equal(unlink(world_path(&w, "key")), 0);
    }
    if (geteuid() == 0) {
        world_write(&w, "key", "x");
        assert_int_equal(chown(world_path(&w, "key"), 12345, 12345), 0);
        struct secret_source *s = world_source(&w, "{'file':'$DIR/key'}");
        char text[1000];
        logged(s, text, sizeof(text));
        assert_non_null(strstr(text, "belongs to another user"));
        secret_source_unref(s);
        assert_int_equal(unlink(world_path(&w, "key")), 0);
    }
    world_end(&w);
    return 0;
}
ON_LOOP(who_may_write_or_read_the_file_matters)

/* Somebody truncates, and writes a moment later. */
static int write_later(void *arg)
{
    struct secret_world *w = arg;
    int r = fiber_sleep_ms(30);
    world_write(w, "key", "whole");
    return r;
}

static int a_file_caught_empty_is_read_again(void *arg)
{
    (void)arg;
    struct secret_world w;
    struct scope scope;
    world_begin(&w);
    scope_init(&scope);
    world_write(&w, "key", "");
    struct secret_source *s = world_source(&w, "{'file':'$DIR/key'}");
    assert_int_equal(fiber_spawn(&scope, "writer", write_later, &w, NULL), 0);
    expect_got(s, "whole");
    scope_done(&scope);
    world_write(&w, "key", "\n");
    expect_failure(s, -E_PARSE, "it is empty");
    secret_source_unref(s);
    assert_int_equal(unlink(world_path(&w, "key")), 0);
    world_end(&w);
    return 0;
}
ON_LOOP(a_file_caught_empty_is_read_again)

static int a_large_file_is_refused_and_a_document_is_looked_into(void *arg)
{
    (void)arg;
    struct secret_world w;
    world_begin(&w);
    world_write(&w, "big", "x");
    assert_int_equal(truncate(world_path(&w, "big"), 300000), 0);
    world_write(&w, "doc", "{\"data\":{\"token\":\"hunter2\"}}\n");
    struct secret_source *s = world_source(&w, "{'file':'$DIR/big'}");
    expect_failure(s, -EFBIG, "larger than");
    secret_source_unref(s);
    s = world_source(&w, "{'file':'$DIR/doc','json_key':'data.token'}");
    expect_got(s, "hunter2");
    secret_source_unref(s);
    s = world_source(&w, "{'systemd':'doc','json_key':'data.tokn'}");
    expect_failure(s, -ENOENT, "systemd credential doc: its JSON has no member \"tokn\"");
    secret_source_unref(s);
    assert_int_equal(unlink(world_path(&w, "big")), 0);
    assert_int_equal(unlink(world_path(&w, "doc")), 0);
    world_end(&w);
    return 0;
}
ON_LOOP(a_large_file_is_refused_and_a_document_is_looked_into)

int main(void)
{
    const struct CMUnitTest tests[] = {
        CASE(a_change_is_seen_at_once),
        CASE(a_link_that_leads_elsewhere_is_a_change),
        CASE(a_file_is_not_read_again_while_it_is_the_same),
        CASE(what_is_no_file_is_refused_without_waiting),
        CASE(who_may_write_or_read_the_file_matters),
        CASE(a_file_caught_empty_is_read_again),
        CASE(a_large_file_is_refused_and_a_document_is_looked_into),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
