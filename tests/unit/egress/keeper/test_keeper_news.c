/* test_keeper_news.c - a secret that has changed: told to every proxy before one of them gets it. */
#include "unit/egress/keeper/keeper_world.h"
#include "unit/secret/secret_world.h"
#include "unit/loop.h"
#include "base/str.h"
#include "base/time.h"
#include "io/sock.h"

#include <signal.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#define OLD   "sk-old-7Qm2vX9pLrT4wZ8n"
#define FRESH "sk-new-8Hn3uX0qMsU5xA9oC4"

struct peer { /* a proxy, seen from itself */
    struct ctl *ctl;
    unsigned told, knows; /* knows: it has said so */
    unsigned ms;          /* that it takes to */
    int code;             /* what it says */
    char value[64];
};

static int hear_secret(void *arg, const char *op, const json_t *o, struct ctl_fds *fds,
                       struct ctl_answer *answer, struct err *e)
{
    struct peer *p = arg;
    (void)fds;
    (void)e;
    assert_non_null(answer);
    assert_string_equal(op, "secret");
    assert_string_equal(json_get_str(o, "credential"), "A");
    str_copy(p->value, sizeof(p->value), secret_borrow(answer->came));
    p->told++;
    int r = fiber_sleep_ms(p->ms);
    p->knows += r == 0;
    return r < 0 ? r : p->code;
}

static void add_proxy(struct keeper *k, struct peer *ret)
{
    int pair[2];
    struct proxy *p = &k->proxies[k->n_proxies++];
    assert_int_equal(sock_pair(SOCK_SEQPACKET, pair), 0);
    *p = (struct proxy){.k = k, .number = (unsigned)k->n_proxies, .ready = true};
    p->ctl = ctl_new(pair[0], proxy_hear, p);
    *ret = (struct peer){.told = 0};
    ret->ctl = ctl_new(pair[1], hear_secret, ret);
    ctl_take_tails(ret->ctl);
}

/* Asks, and expects this. Notices that came before the answer have been taken. */
static void expect_secret(struct peer *p, const char *question, const char *want)
{
    struct secret value = {0};
    struct err e = {.code = 0};
    AUTO_JSON json_t *o = js(question), *answer = NULL;
    if (ctl_ask(p->ctl, o, NULL, 0, &answer, NULL, &value, &e) < 0)
        fail_msg("%s", e.msg);
    assert_true(secret_eq(&value, want, strlen(want)));
    secret_done(&value);
    for (int i = 0; i < 5; i++)
        assert_int_equal(fiber_yield(), 0);
}

#define VALUE "{'op':'value','credential':'A'}"
#define LOOK  "{'op':'value','credential':'A','look':true}"

static void news_begin(struct secret_world *w, struct keeper *k)
{
    struct err e = {.code = 0};
    world_begin(w);
    world_write(w, "a", OLD);
    k->sources = w->all;
    AUTO_FREE char *text =
        mem_printf("{'allow':[{'host':'a.test'}],'credentials':[{'name':'A','hosts':['a.test'],"
                   "'inject':{'header':['x']},'source':{'file':'%s/a'}}]}",
                   w->dir);
    k->policy = policy_of(text);
    assert_int_equal(secrets_take_policy(k, k->policy, &e), 0);
}

static void news_end(struct secret_world *w, struct keeper *k)
{
    for (size_t i = 0; i < k->n_proxies; i++)
        ctl_free(k->proxies[i].ctl);
    secrets_done(k);
    policy_unref(k->policy);
    world_end(w);
    free(k);
}

/* Whoever asked, and for what: those who have streams open know what origins are given. */
static int all_proxies_know_a_new_value(void *arg)
{
    (void)arg;
    struct secret_world w;
    struct peer x, y;
    struct keeper *k = keeper_new();
    news_begin(&w, k);
    add_proxy(k, &x);
    add_proxy(k, &y);
    expect_secret(&x, LOOK, OLD); /* for a record */
    assert_true(x.told == 0 && y.told == 0);
    expect_secret(&x, VALUE, OLD);
    assert_true(x.told == 1 && y.told == 1);
    expect_secret(&y, VALUE, OLD);
    assert_true(x.told == 1 && y.told == 1); /* no news */
    world_swap(&w, "a", FRESH);
    expect_secret(&x, LOOK, FRESH);
    assert_true(x.told == 1 && y.told == 1);
    x.ms = 30;
    expect_secret(&y, VALUE, FRESH); /* for an origin, which may say it to the other one at once */
    assert_true(x.knows == 2 && y.knows == 2);
    assert_string_equal(x.value, FRESH);
    world_swap(&w, "a", OLD);
    expect_secret(&x, VALUE, OLD);
    assert_true(x.knows == 3 && y.knows == 3);
    assert_string_equal(y.value, OLD);
    ctl_free(x.ctl);
    ctl_free(y.ctl);
    news_end(&w, k);
    return 0;
}
ON_LOOP(all_proxies_know_a_new_value)

static int ask_in_vain(void *arg)
{
    struct secret value = {0};
    struct err e;
    AUTO_JSON json_t *o = js(VALUE), *answer = NULL;
    assert_true(ctl_ask(arg, o, NULL, 0, &answer, NULL, &value, &e) < 0);
    assert_null(value.data);
    return 0;
}

static int expect_old(void *arg)
{
    expect_secret(arg, VALUE, OLD);
    return 0;
}

/* What its keeping fiber does when the channel has ended. */
static void bury(struct proxy *p)
{
    proc_done(&p->proc);
    p->ending = false;
    p->life++;
    waitq_wake_all(&p->k->changed);
}

/* One that says no, and one that says nothing for five seconds: whoever asks waits until it is gone. */
static int a_proxy_that_does_not_take_a_value_is_ended(void *arg)
{
    (void)arg;
    for (int late = 0; late < 2; late++) {
        struct secret_world w;
        struct peer x, y;
        struct keeper *k = keeper_new();
        int status = 0;
        AUTO(scope) s;
        scope_init(&s);
        news_begin(&w, k);
        add_proxy(k, &x);
        add_proxy(k, &y);
        struct proxy *p = &k->proxies[1];
        give_process(p);
        y.ms = late ? 60000 : 0;
        y.code = -ETIMEDOUT; /* a word of the other end */
        time_test_set(time_mono_ns(), 0);
        assert_int_equal(fiber_spawn(&s, "ask", expect_old, &x, NULL), 0);
        while (x.knows == 0 || y.told == 0)
            assert_int_equal(fiber_yield(), 0);
        if (late)
            time_test_advance(6 * NS_PER_S);
        assert_int_equal(proc_wait(&p->proc, &status), 0);
        time_test_reset();
        assert_true(WIFSIGNALED(status));
        for (int i = 0; i < 10; i++)
            assert_int_equal(fiber_yield(), 0);
        assert_int_equal(s.n_children, 1);
        bury(p);
        assert_int_equal(scope_join(&s), 0);
        assert_int_equal(x.told, 1);
        ctl_free(x.ctl);
        ctl_free(y.ctl);
        news_end(&w, k);
    }
    return 0;
}
ON_LOOP(a_proxy_that_does_not_take_a_value_is_ended)

/* Its connections live as long as the process, which ends by itself: its last records are not cut off. */
static int a_proxy_that_ends_is_waited_for(void *arg)
{
    (void)arg;
    for (int before = 0; before < 2; before++) {
        struct secret_world w;
        struct peer x, y;
        struct keeper *k = keeper_new();
        AUTO(scope) s;
        scope_init(&s);
        news_begin(&w, k);
        add_proxy(k, &x);
        add_proxy(k, &y);
        struct proxy *p = &k->proxies[1];
        give_process(p);
        p->ending = before;
        ctl_free(y.ctl);
        if (before)
            ctl_free(TAKE(p->ctl));
        assert_int_equal(fiber_spawn(&s, "ask", expect_old, &x, NULL), 0);
        while (x.knows == 0)
            assert_int_equal(fiber_sleep_ms(1), 0);
        assert_int_equal(fiber_sleep_ms(10), 0);
        assert_int_equal(s.n_children, 1);
        assert_int_equal(kill(p->proc.pid, 0), 0);
        if (!before)
            ctl_free(TAKE(p->ctl));
        bury(p);
        assert_int_equal(scope_join(&s), 0);
        ctl_free(x.ctl);
        news_end(&w, k);
    }
    return 0;
}
ON_LOOP(a_proxy_that_ends_is_waited_for)

/* The policy took it away while the one before it was told of. */
static int a_credential_that_is_gone_is_not_told(void *arg)
{
    (void)arg;
    struct secret_world w;
    struct peer x;
    struct err e = {.code = 0};
    struct keeper *k = keeper_new();
    AUTO(scope) s;
    scope_init(&s);
    news_begin(&w, k);
    add_proxy(k, &x);
    struct policy *empty = policy_of("{'allow':[{'host':'a.test'}]}");
    assert_int_equal(fmutex_lock(&k->telling), 0);
    assert_int_equal(fiber_spawn(&s, "ask", ask_in_vain, x.ctl, NULL), 0);
    assert_int_equal(fiber_sleep_ms(30), 0);
    assert_int_equal(s.n_children, 1);
    assert_int_equal(secrets_take_policy(k, empty, &e), 0);
    secrets_let_go(k);
    fmutex_unlock(&k->telling);
    assert_int_equal(scope_join(&s), 0);
    assert_int_equal(x.told, 0);
    policy_unref(empty);
    ctl_free(x.ctl);
    news_end(&w, k);
    return 0;
}
ON_LOOP(a_credential_that_is_gone_is_not_told)

/* The number of the question that is put to a proxy without a reader, or 0. */
static int64_t read_question(int fd)
{
    char text[256] = "";
    AUTO_JSON json_t *o = NULL;
    if (recv(fd, text, sizeof(text) - 1, MSG_DONTWAIT) <= 0)
        return 0;
    assert_int_equal(json_parse(text, strlen(text), &o, NULL), 0); /* a NUL, then the tail */
    assert_string_equal(json_get_str(o, "op"), "secret");
    return json_get_int(o, "ask", 0);
}

/* The one that asked is gone while another one is told. */
static int news_that_nobody_has_told_yet_are_told_by_the_next(void *arg)
{
    (void)arg;
    struct secret_world w;
    struct peer x, y;
    int64_t asked;
    char text[64];
    int pair[2];
    struct keeper *k = keeper_new();
    AUTO(scope) s;
    scope_init(&s);
    news_begin(&w, k);
    add_proxy(k, &x);
    add_proxy(k, &y);
    assert_int_equal(sock_pair(SOCK_SEQPACKET, pair), 0); /* a third one, which reads nothing yet */
    while (send(pair[0], "{\"op\":\"x\"}", 10, MSG_DONTWAIT) > 0)
        continue;
    struct proxy *third = &k->proxies[k->n_proxies++];
    *third = (struct proxy){.k = k, .number = 3, .ready = true};
    third->ctl = ctl_new(pair[0], proxy_hear, third);
    assert_int_equal(fiber_spawn(&s, "ask", ask_in_vain, x.ctl, NULL), 0);
    while (y.told == 0)
        assert_int_equal(fiber_sleep_ms(1), 0);
    ctl_free(TAKE(k->proxies[0].ctl));
    k->proxies[0].ready = false;
    assert_int_equal(scope_join(&s), 0);
    while (recv(pair[1], text, sizeof(text), MSG_DONTWAIT) == 10) /* now it reads */
        continue;
    AUTO(scope) next;
    scope_init(&next);
    assert_int_equal(fiber_spawn(&next, "ask", expect_old, &y, NULL), 0);
    while (!(asked = read_question(pair[1])))
        assert_int_equal(fiber_sleep_ms(1), 0);
    assert_int_equal(next.n_children, 1); /* who asks waits for it */
    int n = snprintf(text, sizeof(text), "{\"re\":%lld}", (long long)asked);
    assert_int_equal(send(pair[1], text, (size_t)n, 0), n);
    assert_int_equal(scope_join(&next), 0);
    assert_int_equal(y.told, 2);
    close(pair[1]);
    ctl_free(x.ctl);
    ctl_free(y.ctl);
    news_end(&w, k);
    return 0;
}
ON_LOOP(news_that_nobody_has_told_yet_are_told_by_the_next)

int main(void)
{
    const struct CMUnitTest tests[] = {
        CASE(all_proxies_know_a_new_value),
        CASE(a_proxy_that_does_not_take_a_value_is_ended),
        CASE(a_proxy_that_ends_is_waited_for),
        CASE(a_credential_that_is_gone_is_not_told),
        CASE(news_that_nobody_has_told_yet_are_told_by_the_next),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
