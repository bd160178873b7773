/* test_source.c - one read for all, how long a value and a failure are good, what is let go when.
 *
 * The source is mostly a command that notes each run in a file and then does what a second file
 * says; a named pipe holds it up where a case needs that. The clock is stopped and moved by hand. */
#include "unit/secret/secret_world.h"
#include "base/time.h"

#include <fcntl.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#define COMMAND "'exec':'printf x >> $DIR/runs; . $DIR/do'"

static void done(struct secret_world *w)
{
    static const char *const names[] = {"runs", "do", "gate", "key"};
    time_test_reset();
    for (size_t i = 0; i < ARRAY_LEN(names); i++)
        (void)unlink(world_path(w, names[i]));
    world_end(w);
}

#define RUNS(w) world_bytes((w), "runs")

static void stop_clock(void)
{
    time_test_set(time_mono_ns(), time_real_us());
}

/* ---- one read for all ---- */

struct waiter {
    struct secret_source *source;
    struct secret_value *value;
    int result;
    bool done;
};

static int wait_for_value(void *arg)
{
    struct waiter *x = arg;
    struct err e = {0};
    x->result = secret_source_get(x->source, &x->value, &e);
    x->done = true;
    return 0;
}

/* Lets the others run until the command has noted its run. */
static void until_runs(struct secret_world *w, size_t n)
{
    for (int i = 0; i < 1000 && RUNS(w) < n; i++)
        assert_int_equal(fiber_sleep_ms(5), 0);
    assert_int_equal(RUNS(w), n);
}

static void open_gate(struct secret_world *w)
{
    int fd = open(world_path(w, "gate"), O_RDWR | O_CLOEXEC | O_NONBLOCK);
    assert_true(fd >= 0);
    assert_int_equal(write(fd, "hunter2\n", 8), 8);
    /* The reader takes a line; the pipe stays open until it has it. */
    for (int i = 0; i < 1000 && world_bytes(w, "took") == 0; i++)
        assert_int_equal(fiber_sleep_ms(2), 0);
    (void)close(fd);
}

static int one_read_serves_all_who_wait(void *arg)
{
    (void)arg;
    struct secret_world w;
    struct scope scope;
    world_begin(&w);
    assert_int_equal(mkfifo(world_path(&w, "gate"), 0600), 0);
    struct secret_source *s = world_source(&w, "{'exec':'printf x >> $DIR/runs; read line < "
                                               "$DIR/gate; printf t > $DIR/took; echo $line'}");
    struct waiter waiters[20] = {0};
    struct fiber *fibers[20];
    scope_init(&scope);
    for (size_t i = 0; i < ARRAY_LEN(waiters); i++) {
        waiters[i].source = s;
        assert_int_equal(fiber_spawn(&scope, "waiter", wait_for_value, &waiters[i], &fibers[i]), 0);
    }
    until_runs(&w, 1);
    for (size_t i = 0; i < 5; i++) /* the first began the read; it goes on without it */
        fiber_cancel(fibers[i]);
    while (!waiters[4].done)
        assert_int_equal(fiber_yield(), 0);
    open_gate(&w);
    assert_int_equal(scope_join(&scope), 0);
    scope_done(&scope);
    for (size_t i = 0; i < ARRAY_LEN(waiters); i++) {
        assert_int_equal(waiters[i].result, i < 5 ? -ECANCELED : 0);
        if (i < 5)
            continue;
        assert_ptr_equal(waiters[i].value, waiters[5].value);
        assert_string_equal(secret_borrow(secret_value_secret(waiters[i].value)), "hunter2");
        secret_value_unref(waiters[i].value);
    }
    assert_int_equal(RUNS(&w), 1);
    secret_source_unref(s);
    assert_int_equal(unlink(world_path(&w, "took")), 0);
    done(&w);
    return 0;
}
ON_LOOP(one_read_serves_all_who_wait)

/* Who asks after a hangup does not get what a read from before it brings. */
static int a_read_from_before_a_change_serves_nobody_after_it(void *arg)
{
    (void)arg;
    struct secret_world w;
    struct scope scope;
    world_begin(&w);
    assert_int_equal(mkfifo(world_path(&w, "gate"), 0600), 0);
    struct secret_source *s =
        world_source(&w, "{'exec':'printf x >> $DIR/runs; if [ -e $DIR/took ]; then echo second; "
                         "exit; fi; read line < $DIR/gate; printf t > $DIR/took; echo $line'}");
    struct waiter before = {.source = s}, after[2] = {{.source = s}, {.source = s}};
    scope_init(&scope);
    assert_int_equal(fiber_spawn(&scope, "before", wait_for_value, &before, NULL), 0);
    until_runs(&w, 1);
    secret_sources_expire(w.all);
    assert_int_equal(fiber_spawn(&scope, "after", wait_for_value, &after[0], NULL), 0);
    assert_int_equal(fiber_spawn(&scope, "after", wait_for_value, &after[1], NULL), 0);
    open_gate(&w);
    assert_int_equal(scope_join(&scope), 0);
    scope_done(&scope);
    assert_string_equal(secret_borrow(secret_value_secret(before.value)), "hunter2");
    assert_string_equal(secret_borrow(secret_value_secret(after[0].value)), "second");
    assert_ptr_equal(after[0].value, after[1].value);
    assert_int_equal(RUNS(&w), 2);
    secret_value_unref(before.value);
    secret_value_unref(after[0].value);
    secret_value_unref(after[1].value);
    secret_source_unref(s);
    assert_int_equal(unlink(world_path(&w, "took")), 0);
    done(&w);
    return 0;
}
ON_LOOP(a_read_from_before_a_change_serves_nobody_after_it)

static int a_waiters_deadline_is_not_the_reads(void *arg)
{
    (void)arg;
    struct secret_world w;
    world_begin(&w);
    assert_int_equal(mkfifo(world_path(&w, "gate"), 0600), 0);
    struct secret_source *s = world_source(&w, "{'exec':'printf x >> $DIR/runs; read line < "
                                               "$DIR/gate; printf t > $DIR/took; echo $line'}");
    struct secret_value *v = NULL;
    struct err e = {0};
    struct fiber_deadline d = fiber_deadline_push_ms(50);
    int r = secret_source_get(s, &v, &e);
    fiber_deadline_pop(&d);
    assert_int_equal(r, -ETIMEDOUT);
    assert_non_null(strstr(e.msg, "not read in time"));
    until_runs(&w, 1);
    open_gate(&w);
    expect_got(s, "hunter2");
    assert_int_equal(RUNS(&w), 1); /* the read that the first waiter began */
    secret_source_unref(s);
    assert_int_equal(unlink(world_path(&w, "took")), 0);
    done(&w);
    return 0;
}
ON_LOOP(a_waiters_deadline_is_not_the_reads)

static int the_end_ends_reads_in_flight(void *arg)
{
    (void)arg;
    struct secret_world w;
    struct scope scope;
    world_begin(&w);
    struct secret_source *s = world_source(&w, "{'exec':'printf x >> $DIR/runs; sleep 1000'}");
    struct waiter x = {.source = s};
    scope_init(&scope);
    assert_int_equal(fiber_spawn(&scope, "waiter", wait_for_value, &x, NULL), 0);
    until_runs(&w, 1);
    scope_done(&scope);
    assert_int_equal(x.result, -ECANCELED);
    secret_source_unref(s); /* the read holds the last reference */
    done(&w);
    return 0;
}
ON_LOOP(the_end_ends_reads_in_flight)

/* ---- how long ---- */

static int a_value_is_used_for_its_ttl(void *arg)
{
    (void)arg;
    struct secret_world w;
    world_begin(&w);
    stop_clock();
    world_write(&w, "do", "echo one");
    struct secret_source *s = world_source(&w, "{" COMMAND ",'ttl':'60s'}");
    expect_got(s, "one");
    world_write(&w, "do", "echo two");
    time_test_advance(60 * NS_PER_S - 1);
    expect_got(s, "one");
    assert_int_equal(RUNS(&w), 1);
    time_test_advance(1);
    expect_got(s, "two");
    expect_got(s, "two");
    assert_int_equal(RUNS(&w), 2);
    secret_source_unref(s);
    done(&w);
    return 0;
}
ON_LOOP(a_value_is_used_for_its_ttl)

static int without_a_ttl_every_get_reads(void *arg)
{
    (void)arg;
    struct secret_world w;
    world_begin(&w);
    world_write(&w, "do", "echo one");
    struct secret_source *s = world_source(&w, "{" COMMAND ",'ttl':0}");
    expect_got(s, "one");
    world_write(&w, "do", "echo two");
    expect_got(s, "two");
    assert_int_equal(RUNS(&w), 2);
    secret_source_unref(s);
    done(&w);
    return 0;
}
ON_LOOP(without_a_ttl_every_get_reads)

static int a_failure_is_remembered_for_its_ttl(void *arg)
{
    (void)arg;
    struct secret_world w;
    world_begin(&w);
    stop_clock();
    world_write(&w, "do", "exit 1");
    struct secret_source *s = world_source(&w, "{" COMMAND ",'failure_ttl':'5s'}");
    expect_failure(s, -EIO, "status 1");
    world_write(&w, "do", "echo one");
    time_test_advance(5 * NS_PER_S - 1);
    expect_failure(s, -EIO, "status 1");
    assert_int_equal(RUNS(&w), 1);
    time_test_advance(1);
    expect_got(s, "one");
    assert_int_equal(RUNS(&w), 2);
    secret_source_unref(s);
    done(&w);
    return 0;
}
ON_LOOP(a_failure_is_remembered_for_its_ttl)

static int while_it_cannot_be_read_the_old_value_is_used_for_a_while(void *arg)
{
    (void)arg;
    struct secret_world w;
    world_begin(&w);
    stop_clock();
    world_write(&w, "do", "echo one");
    struct secret_source *s =
        world_source(&w, "{" COMMAND ",'ttl':'60s','failure_ttl':'5s','stale_ttl':'30s'}");
    expect_got(s, "one");
    world_write(&w, "do", "exit 1");
    time_test_advance(60 * NS_PER_S);
    struct secret_status status;
    secret_source_status(s, &status);
    assert_true(status.has_value && !status.fresh && status.reads == 1 && !status.failure[0]);
    expect_got(s, "one"); /* the read failed */
    assert_int_equal(RUNS(&w), 2);
    secret_source_status(s, &status);
    assert_true(status.has_value && !status.fresh && status.reads == 2);
    assert_non_null(strstr(status.failure, "status 1"));
    expect_got(s, "one"); /* and is not tried again yet */
    assert_int_equal(RUNS(&w), 2);
    time_test_advance(30 * NS_PER_S - 1);
    expect_got(s, "one");
    assert_int_equal(RUNS(&w), 3);
    time_test_advance(1);
    expect_failure(s, -EIO, "status 1");
    world_write(&w, "do", "echo two");
    expect_failure(s, -EIO, "status 1"); /* remembered, and the value is gone */
    secret_source_status(s, &status);
    assert_false(status.has_value);
    time_test_advance(5 * NS_PER_S);
    expect_got(s, "two");
    secret_source_status(s, &status);
    assert_true(status.has_value && status.fresh && status.reads == 4 && !status.failure[0]);
    secret_source_unref(s);
    done(&w);
    return 0;
}
ON_LOOP(while_it_cannot_be_read_the_old_value_is_used_for_a_while)

/* A tool that complains about the value that it has printed an hour ago. */
static int words_do_not_repeat_the_value_of_before(void *arg)
{
    (void)arg;
    struct secret_world w;
    world_begin(&w);
    world_write(&w, "do", "echo correct-horse");
    struct secret_source *s = world_source(&w, "{" COMMAND ",'ttl':0,'stale_ttl':0}");
    expect_got(s, "correct-horse");
    world_write(&w, "do", "echo expired: correct-horse >&2; exit 1");
    struct secret_value *v = NULL;
    struct err e = {0};
    assert_int_equal(secret_source_get(s, &v, &e), -EIO);
    assert_non_null(strstr(e.msg, "status 1"));
    assert_null(strstr(e.msg, "correct"));
    secret_source_unref(s);
    done(&w);
    return 0;
}
ON_LOOP(words_do_not_repeat_the_value_of_before)

static int a_stale_ttl_of_zero_uses_nothing_old(void *arg)
{
    (void)arg;
    struct secret_world w;
    world_begin(&w);
    stop_clock();
    world_write(&w, "do", "echo one");
    struct secret_source *s = world_source(&w, "{" COMMAND ",'ttl':'60s','stale_ttl':0}");
    expect_got(s, "one");
    world_write(&w, "do", "exit 1");
    time_test_advance(60 * NS_PER_S);
    expect_failure(s, -EIO, "status 1");
    secret_source_unref(s);
    done(&w);
    return 0;
}
ON_LOOP(a_stale_ttl_of_zero_uses_nothing_old)

/* The command answers, but with what cannot be a secret: that is a no, and nothing old is used. */
static int what_is_no_secret_withdraws_the_old_one(void *arg)
{
    (void)arg;
    struct secret_world w;
    world_begin(&w);
    stop_clock();
    world_write(&w, "do", "echo one");
    struct secret_source *s = world_source(&w, "{" COMMAND ",'ttl':'60s'}");
    expect_got(s, "one");
    world_write(&w, "do", "echo a; echo b");
    time_test_advance(60 * NS_PER_S);
    expect_failure(s, -E_PARSE, "more than one line");
    secret_source_unref(s);

    world_write(&w, "key", "one");
    s = world_source(&w, "{'file':'$DIR/key'}");
    expect_got(s, "one");
    assert_int_equal(unlink(world_path(&w, "key")), 0);
    expect_failure(s, -ENOENT, "no such file");
    secret_source_unref(s);
    done(&w);
    return 0;
}
ON_LOOP(what_is_no_secret_withdraws_the_old_one)

static int a_hangup_makes_all_be_read_again(void *arg)
{
    (void)arg;
    struct secret_world w;
    world_begin(&w);
    stop_clock();
    world_write(&w, "do", "echo one");
    struct secret_source *s = world_source(&w, "{" COMMAND "}");
    expect_got(s, "one");
    world_write(&w, "do", "exit 1");
    secret_sources_expire(w.all);
    expect_got(s, "one"); /* cannot be read: stale */
    assert_int_equal(RUNS(&w), 2);
    world_write(&w, "do", "echo two");
    secret_sources_expire(w.all); /* forgets the failure, too */
    expect_got(s, "two");
    expect_got(s, "two");
    assert_int_equal(RUNS(&w), 3);
    secret_source_unref(s);
    done(&w);
    return 0;
}
ON_LOOP(a_hangup_makes_all_be_read_again)

/* ---- values ---- */

static bool mapped(const void *p)
{
    unsigned char there;
    return mincore((void *)((uintptr_t)p & ~(uintptr_t)4095), 1, &there) == 0;
}

static int an_old_value_lives_until_its_last_borrower_lets_go(void *arg)
{
    (void)arg;
    struct secret_world w;
    world_begin(&w);
    struct secret_source *s = world_source(&w, "{'vault':'K'}");
    struct secret_value *a = NULL, *same = NULL, *b = NULL;
    assert_int_equal(secret_source_push(s, "one", 3, NULL), 0);
    assert_int_equal(secret_source_get(s, &a, NULL), 0);
    assert_int_equal(secret_source_push(s, "one\n", 4, NULL), 0);
    assert_int_equal(secret_source_get(s, &same, NULL), 0);
    assert_ptr_equal(a, same); /* the same bytes are the same object */
    assert_int_equal(secret_source_push(s, "two", 3, NULL), 0);
    assert_int_equal(secret_source_get(s, &b, NULL), 0);
    assert_ptr_not_equal(a, b);
    const char *bytes = secret_borrow(secret_value_secret(a));
    assert_string_equal(bytes, "one");
    secret_value_unref(a);
    assert_string_equal(bytes, "one"); /* borrowed once more */
    secret_value_unref(same);
    assert_false(mapped(bytes));
    bytes = secret_borrow(secret_value_secret(b));
    secret_source_unref(s); /* the source goes, the borrowed value stays */
    assert_string_equal(bytes, "two");
    secret_value_unref(secret_value_ref(b));
    secret_value_unref(b);
    secret_value_unref(NULL);
    world_end(&w);
    return 0;
}
ON_LOOP(an_old_value_lives_until_its_last_borrower_lets_go)

static int a_pushed_value_is_checked_and_can_be_withdrawn(void *arg)
{
    (void)arg;
    struct secret_world w;
    world_begin(&w);
    stop_clock();
    struct secret_source *s = world_source(&w, "{'vault':'K','ttl':'60s','stale_ttl':'5s'}");
    struct err e = {0};
    expect_failure(s, -ENOENT, "it was not delivered; attach the vault");
    assert_int_equal(secret_source_push(s, "a\r\nb", 4, &e), -E_PARSE);
    assert_non_null(strstr(e.msg, "credential K of the session's vault: it has a carriage return"));
    assert_int_equal(secret_source_push(s, "hunter2", 7, &e), 0);
    expect_got(s, "hunter2");
    secret_sources_expire(w.all); /* it is not ours to read again */
    expect_got(s, "hunter2");
    time_test_advance(60 * NS_PER_S);
    expect_got(s, "hunter2"); /* stale */
    time_test_advance(5 * NS_PER_S);
    expect_failure(s, -ENOENT, "not delivered anew");
    assert_int_equal(secret_source_push(s, "hunter3", 7, &e), 0);
    expect_got(s, "hunter3");
    secret_source_withdraw(s);
    expect_failure(s, -ENOENT, "it was not delivered");
    secret_source_unref(s);
    done(&w);
    return 0;
}
ON_LOOP(a_pushed_value_is_checked_and_can_be_withdrawn)

static int a_private_key_may_have_lines(void *arg)
{
    (void)arg;
    struct secret_world w;
    world_begin(&w);
    world_write(&w, "key", "-----BEGIN-----\nabc\n-----END-----\n");
    AUTO_FREE char *config = mem_printf("{'file':'%s'}", world_path(&w, "key"));
    AUTO_JSON json_t *j = js(config);
    struct secret_source *s = NULL;
    assert_int_equal(secret_source_new(w.all, j, SECRET_LINES, &s, NULL), 0);
    expect_got(s, "-----BEGIN-----\nabc\n-----END-----");
    secret_source_unref(s);
    done(&w);
    return 0;
}
ON_LOOP(a_private_key_may_have_lines)

/* ---- kept by another process ---- */

struct keeper {
    const char *value; /* NULL: it refuses */
    int asked;
    bool slow;
};

static int ask(void *arg, const struct secret_question *q, struct secret *ret, struct err *e)
{
    struct keeper *k = arg;
    assert_string_equal(json_get_str(q->config, "file"), "/run/key");
    k->asked++;
    if (k->slow && fiber_sleep_ms(20) < 0)
        return -ECANCELED;
    return k->value ? secret_set(ret, k->value, strlen(k->value))
                    : err_set(e, -EACCES, "file /run/key: nobody may read it");
}

static int the_keeper_is_asked_each_time(void *arg)
{
    struct keeper k = {.value = "one"};
    struct secret_sources *all =
        secret_sources_new(&(struct secret_options){.ask = ask, .ask_arg = &k});
    struct secret_source *s;
    struct secret_value *a, *b;
    struct err e = {0};
    (void)arg;
    AUTO_JSON json_t *config = json_new_object();
    json_put_str(config, "file", "/run/key");
    json_put_str(config, "ttl", "1h");
    assert_int_equal(secret_source_new(all, config, 0, &s, &e), 0);
    assert_string_equal(secret_source_place(s), "file /run/key");
    assert_int_equal(k.asked, 0);
    assert_int_equal(secret_source_get(s, &a, &e), 0);
    assert_int_equal(secret_source_get(s, &b, &e), 0);
    assert_ptr_equal(a, b); /* the same value is the same object */
    assert_int_equal(k.asked, 2);
    secret_value_unref(b);
    k.value = "two";
    expect_got(s, "two");
    assert_true(secret_eq(secret_value_secret(a), "one", 3));
    secret_value_unref(a);
    k.value =
        NULL; /* no is no: how long it may be old is the keeper's to say, and its words are the words */
    assert_int_equal(secret_source_get(s, &a, &e), -EACCES);
    assert_string_equal(e.msg, "file /run/key: nobody may read it");
    k.value = "three"; /* nor is a failure remembered */
    expect_got(s, "three");
    secret_sources_expire(all);
    expect_got(s, "three");
    secret_source_unref(s);
    secret_sources_free(all);
    return 0;
}
ON_LOOP(the_keeper_is_asked_each_time)

static int get_one(void *arg)
{
    expect_got(arg, "one");
    return 0;
}

static int one_question_serves_all_who_came_before_it(void *arg)
{
    struct keeper k = {.value = "one", .slow = true};
    struct secret_sources *all =
        secret_sources_new(&(struct secret_options){.ask = ask, .ask_arg = &k});
    struct secret_source *s;
    struct err e = {0};
    (void)arg;
    AUTO_JSON json_t *config = json_new_object();
    json_put_str(config, "file", "/run/key");
    assert_int_equal(secret_source_new(all, config, 0, &s, &e), 0);
    {
        AUTO(scope) many;
        scope_init(&many);
        for (int i = 0; i < 50; i++)
            assert_int_equal(fiber_spawn(&many, "get", get_one, s, NULL), 0);
        assert_int_equal(scope_join(&many), 0);
    }
    assert_int_equal(k.asked, 2); /* the second one was asked when all had come */
    secret_source_unref(s);
    secret_sources_free(all);
    return 0;
}
ON_LOOP(one_question_serves_all_who_came_before_it)

int main(void)
{
    const struct CMUnitTest tests[] = {
        CASE(one_read_serves_all_who_wait),
        CASE(a_read_from_before_a_change_serves_nobody_after_it),
        CASE(a_waiters_deadline_is_not_the_reads),
        CASE(the_end_ends_reads_in_flight),
        CASE(a_value_is_used_for_its_ttl),
        CASE(without_a_ttl_every_get_reads),
        CASE(a_failure_is_remembered_for_its_ttl),
        CASE(while_it_cannot_be_read_the_old_value_is_used_for_a_while),
        CASE(words_do_not_repeat_the_value_of_before),
        CASE(a_stale_ttl_of_zero_uses_nothing_old),
        CASE(what_is_no_secret_withdraws_the_old_one),
        CASE(a_hangup_makes_all_be_read_again),
        CASE(an_old_value_lives_until_its_last_borrower_lets_go),
        CASE(a_pushed_value_is_checked_and_can_be_withdrawn),
        CASE(a_private_key_may_have_lines),
        CASE(the_keeper_is_asked_each_time),
        CASE(one_question_serves_all_who_came_before_it),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
