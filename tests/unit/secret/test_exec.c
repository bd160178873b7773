/* test_exec.c - commands: what they get, what may come of them, how they end. */
#include "unit/secret/secret_world.h"
#include "base/time.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

static int a_command_prints_the_value(void *arg)
{
    (void)arg;
    static const struct {
        const char *config, *want;
    } rows[] = {
        {"{'exec':['/bin/echo','hunter2']}", "hunter2"},
        {"{'exec':['echo','hunter2']}", "hunter2"},
        {"{'exec':'echo hunter2'}", "hunter2"},
        {"{'exec':'printf hunter2'}", "hunter2"},
        {"{'exec':['printf','%s','a b  c']}", "a b  c"},
        {"{'exec':'echo hunter2; echo warning >&2'}", "hunter2"},
        {"{'exec':['echo','{\\\"a\\\":{\\\"b\\\":5}}'],'json_key':'a.b'}", "5"},
        {"{'exec':'cat; echo end'}", "end"},
        {"{'exec':'pwd >/dev/null; ls /proc/self/fd | wc -l'}", "4"},
    };
    struct secret_world w;
    world_begin(&w);
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct secret_source *s = world_source(&w, rows[i].config);
        expect_got(s, rows[i].want);
        secret_source_unref(s);
    }
    world_end(&w);
    return 0;
}
ON_LOOP(a_command_prints_the_value)

static int its_environment_is_what_was_named(void *arg)
{
    (void)arg;
    struct secret_world w;
    world_begin(&w);
    world_write(&w, "token", "t0ken\n");
    struct secret_source *s =
        world_source(&w, "{'exec':'env | sort | grep -v ^_= | grep -v ^PWD= | grep -v ^SHLVL= | tr "
                         "\\\"\\\\n\\\" \\\",\\\"',"
                         "'environment':{'PROFILE':'prod','TOKEN':{'file':'$DIR/token'}}}");
    expect_got(s, "LANG=C.UTF-8,PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin,"
                  "PROFILE=prod,TOKEN=t0ken,");
    secret_source_unref(s);
    s = world_source(&w, "{'exec':['true'],'environment':{'TOKEN':{'file':'$DIR/none'}}}");
    expect_failure(s, -ENOENT, "command true: its variable TOKEN: file ");
    secret_source_unref(s);
    assert_int_equal(unlink(world_path(&w, "token")), 0);
    world_end(&w);
    return 0;
}
ON_LOOP(its_environment_is_what_was_named)

static int a_failure_says_why_and_holds_no_value(void *arg)
{
    (void)arg;
    static const struct {
        const char *config;
        int code;
        const char *words;
    } rows[] = {
        {"{'exec':'exit 3'}", -EIO, "shell command: it ended with status 3"},
        {"{'exec':'echo first >&2; echo profile prod is unknown >&2; exit 1'}", -EIO,
         "it ended with status 1: profile prod is unknown"},
        {"{'exec':['no-such-program']}", -ENOENT, "command no-such-program: the program was not"},
        {"{'exec':['/no/such']}", -ENOENT, "cannot start /no/such"},
        {"{'exec':'kill -9 $$'}", -EIO, "ended by signal 9"},
        {"{'exec':'true'}", -E_PARSE, "it is empty"},
        {"{'exec':'echo a; echo b'}", -E_PARSE, "more than one line"},
        {"{'exec':'head -c 70000 /dev/zero | tr \\\\\\\\000 k'}", -EFBIG,
         "printed more than 65537"},
        {"{'exec':'yes'}", -EFBIG, "printed more than"},
        {"{'exec':'yes >&2 & sleep 100','timeout':'200ms'}", -ETIMEDOUT, "no answer within 200 ms"},
        {"{'exec':'trap \\\"\\\" TERM; sleep 100','timeout':'200ms'}", -ETIMEDOUT,
         "no answer within"},
        /* What was printed, and what is in the environment, is not quoted; nor what looks so. */
        {"{'exec':'echo hunter2-x; echo bad hunter2-x >&2; exit 1'}", -EIO, "status 1"},
        {"{'exec':'echo bad $K >&2; exit 1','environment':{'K':{'file':'$DIR/k'}}}", -EIO,
         "status 1"},
        {"{'exec':'echo got hunter2hunter2hunter2 >&2; exit 1'}", -EIO, "status 1: got [...]"},
        {"{'exec':['echo hunter2; false']}", -ENOENT, "was not found"},
    };
    struct secret_world w;
    world_begin(&w);
    world_write(&w, "k", "hunter2");
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct secret_source *s = world_source(&w, rows[i].config);
        struct secret_value *v = NULL;
        struct err e = {0};
        int r = secret_source_get(s, &v, &e);
        if (r != rows[i].code || !strstr(e.msg, rows[i].words))
            fail_msg("%s: %d %s", rows[i].config, r, e.msg);
        if (i != ARRAY_LEN(rows) - 1) /* there it is the name of the program */
            assert_null(strstr(e.msg, "hunter2"));
        secret_source_unref(s);
    }
    assert_int_equal(unlink(world_path(&w, "k")), 0);
    world_end(&w);
    return 0;
}
ON_LOOP(a_failure_says_why_and_holds_no_value)

static pid_t pid_in(const struct secret_world *w, const char *name)
{
    FILE *f = fopen(world_path(w, name), "re");
    int pid = 0;
    assert_non_null(f);
    assert_int_equal(fscanf(f, "%d", &pid), 1);
    (void)fclose(f);
    return pid;
}

/* Waits, bounded, for a process that this one does not own to be gone (or a zombie of init's). */
static void expect_gone(pid_t pid)
{
    for (int i = 0; i < 500; i++) {
        char path[64], state = 0;
        (void)snprintf(path, sizeof(path), "/proc/%d/stat", (int)pid);
        FILE *f = fopen(path, "re");
        if (!f)
            return;
        if (fscanf(f, "%*d (%*[^)]) %c", &state) != 1)
            state = 'Z';
        (void)fclose(f);
        if (state == 'Z')
            return;
        assert_int_equal(fiber_sleep_ms(10), 0);
    }
    fail_msg("process %d is still there", (int)pid);
}

static int out_of_time_the_whole_group_is_killed(void *arg)
{
    (void)arg;
    struct secret_world w;
    world_begin(&w);
    struct secret_source *s =
        world_source(&w, "{'exec':'sleep 1000 & echo $! > $DIR/child; echo $$ > $DIR/shell; wait',"
                         "'timeout':'300ms'}");
    expect_failure(s, -ETIMEDOUT, "no answer within 300 ms");
    expect_gone(pid_in(&w, "shell"));
    expect_gone(pid_in(&w, "child"));
    secret_source_unref(s);
    assert_int_equal(unlink(world_path(&w, "shell")), 0);
    assert_int_equal(unlink(world_path(&w, "child")), 0);
    world_end(&w);
    return 0;
}
ON_LOOP(out_of_time_the_whole_group_is_killed)

/* A tool that leaves an agent behind, which holds its streams open. */
static int a_child_left_behind_is_not_waited_for(void *arg)
{
    (void)arg;
    struct secret_world w;
    world_begin(&w);
    struct secret_source *s =
        world_source(&w, "{'exec':'sleep 1000 & echo $! > $DIR/child; echo hunter2'}");
    int64_t began = time_mono_ns();
    expect_got(s, "hunter2");
    assert_true(time_mono_ns() - began < 10 * NS_PER_S);
    pid_t child = pid_in(&w, "child");
    assert_int_equal(kill(child, 0), 0); /* it lives */
    assert_int_equal(kill(child, SIGKILL), 0);
    secret_source_unref(s);
    assert_int_equal(unlink(world_path(&w, "child")), 0);
    world_end(&w);
    return 0;
}
ON_LOOP(a_child_left_behind_is_not_waited_for)

static int output_in_pieces_becomes_one_value(void *arg)
{
    (void)arg;
    struct secret_world w;
    world_begin(&w);
    struct secret_source *s = world_source(
        &w, "{'exec':'i=0; while [ $i -lt 600 ]; do printf 0123456789; i=$((i+1)); done'}");
    struct secret_value *v = NULL;
    assert_int_equal(secret_source_get(s, &v, NULL), 0);
    const struct secret *got = secret_value_secret(v);
    assert_int_equal(got->len, 6000);
    for (size_t i = 0; i < got->len; i++)
        assert_int_equal(got->data[i], '0' + (int)(i % 10));
    secret_value_unref(v);
    secret_source_unref(s);
    world_end(&w);
    return 0;
}
ON_LOOP(output_in_pieces_becomes_one_value)

int main(void)
{
    const struct CMUnitTest tests[] = {
        CASE(a_command_prints_the_value),
        CASE(its_environment_is_what_was_named),
        CASE(a_failure_says_why_and_holds_no_value),
        CASE(out_of_time_the_whole_group_is_killed),
        CASE(a_child_left_behind_is_not_waited_for),
        CASE(output_in_pieces_becomes_one_value),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
