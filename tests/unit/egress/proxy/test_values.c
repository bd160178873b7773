/* test_values.c - what a proxy knows of secrets over time: the value of now, those of before, and the
 * policies that gave them. The keeper at the other end is the test; the clock is too. */
#include "unit/unit.h"
#include "unit/loop.h"
#include "unit/egress/policy/load.h"
#include "base/buf.h"
#include "base/str.h"
#include "base/time.h"
#include "egress/ctl/messages.h"
#include "egress/proxy/former.h"
#include "egress/proxy/redact.h"
#include "egress/proxy/values.h"
#include "io/ctl.h"
#include "io/sock.h"

struct desk {
    struct ctl *keeper, *proxy;
    struct values *values;
    char secret[64];
    unsigned asked;
    struct waitq held; /* questions of "HELD" */
    bool let_go;
};

static int answer(void *arg, const char *op, const json_t *o, struct ctl_fds *fds,
                  struct ctl_answer *answer, struct err *e)
{
    struct desk *d = arg;
    (void)fds;
    assert_string_equal(op, "value");
    d->asked++;
    const char *name = json_get_str(o, "credential");
    if (str_eq(name, "SLOW"))
        return err_set(e, -ETIMEDOUT, "no answer within 5000 ms");
    if (str_eq(name, "GONE"))
        return err_set(e, -ENOENT, "the file is not there");
    char text[128];
    const int n = snprintf(text, sizeof(text), "%s-%s-7Qm2vX9pLrT4wZ8n", name, d->secret);
    while (str_eq(name, "HELD") && !d->let_go)
        if (waitq_wait(&d->held) < 0)
            return err_set(e, -ECANCELED, "cancelled");
    return secret_set(&answer->tail, text, (size_t)n);
}

static void open_desk(struct desk *d)
{
    int pair[2];
    time_test_set(time_mono_ns(), 0);
    *d = (struct desk){.secret = "0"};
    waitq_init(&d->held);
    assert_int_equal(sock_pair(SOCK_SEQPACKET, pair), 0);
    d->keeper = ctl_new(pair[0], answer, d);
    d->proxy = ctl_new(pair[1], answer, d);
    d->values = values_new(d->proxy, VALUES_USED);
}

static void close_desk(struct desk *d)
{
    values_free(d->values);
    ctl_free(d->proxy);
    ctl_free(d->keeper);
    time_test_reset();
}

static void rotate(struct desk *d, const char *name, const char *secret)
{
    struct value *v;
    struct err e;
    str_copy(d->secret, sizeof(d->secret), secret);
    time_test_advance(EGRESS_VALUE_MS * NS_PER_MS);
    assert_int_equal(values_get(d->values, name, &v, &e), 0);
    value_unref(v);
}

/* "A:2,1 B:0": of each credential the value of now first. */
static const char *known(const struct desk *d)
{
    static char text[512];
    AUTO_FREE struct values_known *all = NULL;
    const size_t n = values_known(d->values, &all);
    text[0] = '\0';
    for (size_t i = 0; i < n; i++) {
        const char *s = strchr(secret_borrow(value_secret(all[i].value)), '-') + 1;
        const size_t at = strlen(text);
        const bool more = i > 0 && str_eq(all[i].credential, all[i - 1].credential);
        (void)snprintf(text + at, sizeof(text) - at, "%s%s%.*s",
                       more ? ","
                       : at ? " "
                            : "",
                       more ? "" : all[i].credential, (int)(strchr(s, '-') - s), s);
    }
    return text;
}

static int four_values_are_remembered(void *arg)
{
    (void)arg;
    struct desk d;
    open_desk(&d);
    static const char *const turns[] = {"0", "1", "2", "3", "4"};
    for (size_t i = 0; i < ARRAY_LEN(turns); i++)
        rotate(&d, "A", turns[i]);
    assert_string_equal(known(&d), "A4,3,2,1,0");
    rotate(&d, "A", "5");
    assert_string_equal(known(&d), "A5,4,3,2,1");
    rotate(&d, "A", "5"); /* read again, and the same */
    assert_string_equal(known(&d), "A5,4,3,2,1");
    rotate(&d, "A", "3"); /* back, and it pushes nothing out */
    assert_string_equal(known(&d), "A3,5,4,3,2");
    rotate(&d, "A", "5");
    assert_string_equal(known(&d), "A5,3,5,4,2");
    close_desk(&d);
    return 0;
}

static int what_was_is_forgotten_after_an_hour(void *arg)
{
    (void)arg;
    struct desk d;
    open_desk(&d);
    rotate(&d, "A", "0");
    rotate(&d, "A", "1");
    time_test_advance(EGRESS_REMEMBER_MS / 2 * NS_PER_MS);
    rotate(&d, "A", "2");
    assert_false(values_forget(d.values));
    assert_string_equal(known(&d), "A2,1,0");
    uint64_t before = values_generation(d.values);
    time_test_advance(EGRESS_REMEMBER_MS / 2 * NS_PER_MS);
    assert_true(values_forget(d.values));
    assert_string_equal(known(&d), "A2,1");
    assert_true(values_generation(d.values) != before);
    time_test_advance(EGRESS_REMEMBER_MS * NS_PER_MS);
    assert_true(values_forget(d.values));
    assert_false(values_forget(d.values));
    assert_string_equal(known(&d), "A2"); /* what it is now stays */
    close_desk(&d);
    return 0;
}

static const char two[] =
    "allow: [{host: a.test}]\n"
    "credentials:\n"
    "- {name: A, source: {file: /a}, hosts: [a.test], inject: {header: [authorization]}}\n"
    "- {name: B, source: {exec: [b]}, hosts: [b.test], inject: {header: [authorization]}}\n";
static const char one[] =
    "allow: [{host: a.test}]\n"
    "credentials:\n"
    "- {name: B, source: {exec: [b]}, hosts: [b.test], inject: {header: [authorization]}}\n";

static int what_a_policy_takes_away_is_remembered(void *arg)
{
    (void)arg;
    struct desk d;
    struct value *v;
    struct err e;
    struct policy *more = load(two), *less = load(one);
    open_desk(&d);
    rotate(&d, "A", "0");
    rotate(&d, "B", "0");
    const uint64_t before = values_generation(d.values);
    values_take_policy(d.values, less);
    assert_false(values_has(d.values, "A"));
    assert_true(values_has(d.values, "B"));
    assert_true(values_generation(d.values) != before);
    assert_non_null(strstr(known(&d), "A0"));
    assert_int_equal(values_get(d.values, "A", &v, &e), -ENOENT);
    values_take_policy(d.values, more); /* it comes back */
    rotate(&d, "A", "1");
    assert_non_null(strstr(known(&d), "A1,0"));
    values_take_policy(d.values, less);
    assert_non_null(strstr(known(&d), "A1,0"));
    time_test_advance(EGRESS_REMEMBER_MS * NS_PER_MS);
    assert_true(values_forget(d.values));
    assert_string_equal(known(&d), "B0");
    policy_unref(more);
    policy_unref(less);
    close_desk(&d);
    return 0;
}

static void a_host_that_had_a_credential_is_known_for_an_hour(void **state)
{
    (void)state;
    struct former f = {.n = 0};
    struct host a, c;
    struct err e;
    struct policy *more = load(two), *none = load("allow: [{host: a.test}]\n");
    assert_int_equal(host_parse("a.test", 6, 0, &a, &e), 0);
    assert_int_equal(host_parse("c.test", 6, 0, &c, &e), 0);
    const struct policy_query q = {.host = &a, .port = 443, .transport = POLICY_TLS};
    const struct policy_query other = {.host = &c, .port = 443, .transport = POLICY_TLS};
    time_test_set(time_mono_ns(), 0);
    former_add(&f, none);
    assert_int_equal(f.n, 0); /* it gave nobody anything */
    for (size_t i = 0; i < 3; i++)
        former_add(&f, more);
    assert_int_equal(f.n, 1);
    assert_true(former_gave(&f, &q));
    assert_false(former_gave(&f, &other));
    for (unsigned i = 0; i < FORMER_MAX; i++) {
        char text[256];
        (void)snprintf(text, sizeof(text),
                       "allow: [{host: a.test}]\ncredentials:\n- {name: C%u, source: {file: /c}, "
                       "hosts: [h%u.test], inject: {header: [authorization]}}\n",
                       i, i);
        struct policy *p = load(text);
        assert_true(former_gave(&f, &q));
        former_add(&f, p);
        policy_unref(p);
    }
    assert_int_equal(f.n, FORMER_MAX);
    assert_false(former_gave(&f, &q)); /* the oldest has gone */
    former_add(&f, more);
    time_test_advance(EGRESS_REMEMBER_MS * NS_PER_MS - 1);
    former_forget(&f);
    assert_true(former_gave(&f, &q));
    time_test_advance(1);
    former_forget(&f);
    assert_int_equal(f.n, 0);
    time_test_reset();
    policy_unref(more);
    policy_unref(none);
}

static bool sees(struct redact *r, const char *text)
{
    return redact_sees(r, text, strlen(text));
}

static int nothing_is_written_down_with_a_secret(void *arg)
{
    (void)arg;
    struct desk d;
    struct policy *p = load(two);
    open_desk(&d);
    struct redact *r = redact_new(d.proxy, d.values);
    assert_true(sees(r, "/path")); /* nobody has looked yet */
    redact_prepare(r, p);
    assert_int_equal(d.asked, 1); /* a program is not run for a record */
    assert_false(sees(r, "/path"));
    assert_true(sees(r, "/x/A-0-7Qm2vX9pLrT4wZ8n/y"));
    assert_true(sees(r, "a-0-7qm2vx9plrt4wz8n.evil.test")); /* as a host has it */
    assert_true(sees(r, "/QS0wLTdRbTJ2WDlwTHJUNHdaOG4="));
    assert_false(sees(r, "/x/B-0-7Qm2vX9pLrT4wZ8n"));
    rotate(&d, "B", "0"); /* a request has used it */
    assert_true(sees(r, "/x/B-0-7Qm2vX9pLrT4wZ8n"));
    redact_prepare(r, p);
    assert_int_equal(d.asked, 2); /* all is fresh */
    rotate(&d, "B", "1");
    time_test_advance(10 * NS_PER_S);
    redact_prepare(r, p);
    assert_int_equal(d.asked, 4);
    assert_true(sees(r, "/x/A-1-7Qm2vX9pLrT4wZ8n"));
    assert_true(sees(r, "/x/A-0-7Qm2vX9pLrT4wZ8n")); /* as it was */
    assert_true(redact_text(r, "/x", 2).n == 2 && redact_text(r, NULL, 0).p == NULL);
    redact_free(r);
    policy_unref(p);
    close_desk(&d);
    return 0;
}

static const char slow_one[] =
    "allow: [{host: a.test}]\n"
    "credentials:\n"
    "- {name: SLOW, source: {file: /s}, hosts: [a.test], inject: {header: [authorization]}}\n"
    "- {name: C, source: {file: /c}, hosts: [b.test], inject: {header: [authorization]}}\n";

static int prepare_slow_one(void *arg)
{
    struct policy *p = load(slow_one);
    redact_prepare(arg, p);
    policy_unref(p);
    return 0;
}

static int a_new_policy_is_gone_through_before_anything_is_written_down(void *arg)
{
    (void)arg;
    struct desk d;
    struct policy *p = load(two);
    AUTO(scope) s;
    scope_init(&s);
    open_desk(&d);
    struct redact *r = redact_new(d.proxy, d.values);
    redact_prepare(r, p);
    assert_false(sees(r, "/path"));
    assert_int_equal(fiber_spawn(&s, "prepare", prepare_slow_one, r, NULL), 0);
    assert_int_equal(fiber_yield(), 0);
    assert_true(sees(r, "/path")); /* it is being asked for */
    assert_int_equal(scope_join(&s), 0);
    assert_int_equal(d.asked, 3);
    assert_false(sees(r, "/path")); /* also when a source has no answer in its own time */
    assert_true(sees(r, "/x/C-0-7Qm2vX9pLrT4wZ8n"));
    redact_free(r);
    policy_unref(p);
    close_desk(&d);
    return 0;
}

/* As many as a policy may have, each of which was another one before, in both stocks. */
static int all_of_a_large_policy_is_known(void *arg)
{
    (void)arg;
    struct desk d;
    AUTO(buf) text = BUF_INIT(1 << 20);
    (void)buf_adds(&text, "allow: [{host: a.test}]\ncredentials:\n");
    for (unsigned i = 0; i < 1024; i++)
        (void)buf_addf(
            &text, "- {name: N%u, source: {file: /n}, hosts: [h%u.test], inject: {header: [x]}}\n",
            i, i);
    struct policy *p = load(buf_str(&text));
    open_desk(&d);
    struct redact *r = redact_new(d.proxy, d.values);
    for (unsigned turn = 0; turn < 4; turn++) {
        char name[16], value[16];
        (void)snprintf(value, sizeof(value), "%u", turn);
        for (unsigned i = 0; turn % 2 == 0 && i < 1024; i++) {
            (void)snprintf(name, sizeof(name), "N%u", i);
            rotate(&d, name, value);
        }
        str_copy(d.secret, sizeof(d.secret), value);
        time_test_advance(10 * NS_PER_S);
        redact_prepare(r, p);
    }
    assert_false(sees(r, "/path"));
    assert_true(sees(r, "/N0-0-7Qm2vX9pLrT4wZ8n"));
    assert_true(sees(r, "/N1023-2-7Qm2vX9pLrT4wZ8n"));
    assert_true(sees(r, "/N1023-3-7Qm2vX9pLrT4wZ8n"));
    assert_true(sees(r, "n512-3-7qm2vx9plrt4wz8n.test"));
    assert_false(sees(r, "/N1024-3-7Qm2vX9pLrT4wZ8n"));
    redact_free(r);
    policy_unref(p);
    close_desk(&d);
    return 0;
}

static int a_keeper_that_is_gone_leaves_nothing_to_be_written_down(void *arg)
{
    (void)arg;
    struct desk d;
    struct policy *p = load(two);
    open_desk(&d);
    struct redact *r = redact_new(d.proxy, d.values);
    ctl_free(d.keeper);
    d.keeper = NULL;
    redact_prepare(r, p);
    assert_true(sees(r, "/path"));
    redact_free(r);
    policy_unref(p);
    close_desk(&d);
    return 0;
}

static int get_held(void *arg)
{
    struct desk *d = arg;
    struct value *v = NULL;
    struct err e;
    int r = values_get(d->values, "HELD", &v, &e);
    value_unref(v);
    return r;
}

static void learn(struct desk *d, const char *name, const char *secret)
{
    char text[128];
    struct secret s = {0};
    struct err e;
    const int n = snprintf(text, sizeof(text), "%s-%s-7Qm2vX9pLrT4wZ8n", name, secret);
    assert_int_equal(secret_set(&s, text, (size_t)n), 0);
    assert_int_equal(values_learn(d->values, name, &s, &e), 0);
    secret_done(&s);
}

/* The keeper answers a question only when all proxies know the value, this one included. */
static int a_value_is_learned_while_it_is_asked_for(void *arg)
{
    (void)arg;
    struct desk d;
    AUTO(scope) s;
    scope_init(&s);
    open_desk(&d);
    assert_int_equal(fiber_spawn(&s, "get", get_held, &d, NULL), 0);
    while (d.asked == 0)
        assert_int_equal(fiber_yield(), 0);
    learn(&d, "HELD", "1");
    assert_string_equal(known(&d), "HELD1");
    d.let_go = true;
    waitq_wake_all(&d.held);
    assert_int_equal(scope_join(&s), 0);
    assert_string_equal(known(&d), "HELD0,1"); /* what was asked for before it changed */
    assert_int_equal(d.asked, 1);
    close_desk(&d);
    return 0;
}

/* Another proxy may not know it yet. */
static int a_value_that_was_told_is_not_used_before_it_was_asked_for(void *arg)
{
    (void)arg;
    struct desk d;
    struct value *v = NULL;
    struct err e;
    open_desk(&d);
    learn(&d, "A", "0");
    str_copy(d.secret, sizeof(d.secret), "0");
    assert_int_equal(values_get(d.values, "A", &v, &e), 0);
    value_unref(v);
    assert_int_equal(d.asked, 1);
    assert_int_equal(values_get(d.values, "A", &v, &e), 0); /* 20 ms are not over */
    value_unref(v);
    learn(&d, "A", "0"); /* no news */
    assert_int_equal(values_get(d.values, "A", &v, &e), 0);
    value_unref(v);
    assert_int_equal(d.asked, 1);
    learn(&d, "A", "1");
    str_copy(d.secret, sizeof(d.secret), "1");
    assert_int_equal(values_get(d.values, "A", &v, &e), 0);
    value_unref(v);
    assert_int_equal(d.asked, 1);
    assert_string_equal(known(&d), "A0,1");
    rotate(&d, "A", "1");
    assert_int_equal(d.asked, 2);
    assert_string_equal(known(&d), "A1,0");
    learn(&d, "A", "2"); /* and is not asked for here */
    learn(&d, "A", "3");
    assert_string_equal(known(&d), "A1,3,2,0");
    time_test_advance(2 * EGRESS_REMEMBER_MS * NS_PER_MS);
    assert_true(values_forget(d.values));
    assert_string_equal(known(&d), "A1,3"); /* an origin may get it any time */
    close_desk(&d);
    return 0;
}

/* Such a value has no user, here or elsewhere. */
static int a_value_that_cannot_be_found_is_not_learned(void *arg)
{
    (void)arg;
    struct desk d;
    struct secret s = {0};
    struct err e;
    open_desk(&d);
    assert_int_equal(secret_set(&s, "short", 5), 0);
    assert_int_equal(values_learn(d.values, "A", &s, &e), 0);
    assert_string_equal(known(&d), "");
    secret_done(&s);
    close_desk(&d);
    return 0;
}

/* A source with `ttl: 0` may have another value each time, and take longer than one is used for. */
static int one_question_is_enough_however_long_it_takes(void *arg)
{
    (void)arg;
    struct desk d;
    AUTO(scope) s;
    scope_init(&s);
    open_desk(&d);
    assert_int_equal(fiber_spawn(&s, "get", get_held, &d, NULL), 0);
    while (d.asked == 0)
        assert_int_equal(fiber_yield(), 0);
    time_test_advance(10 * EGRESS_VALUE_MS * NS_PER_MS);
    d.let_go = true;
    waitq_wake_all(&d.held);
    assert_int_equal(scope_join(&s), 0);
    assert_int_equal(d.asked, 1);
    close_desk(&d);
    return 0;
}

/* A client that comes again and again does not leave a question each time. */
static int who_gives_up_leaves_one_question(void *arg)
{
    (void)arg;
    struct desk d;
    open_desk(&d);
    for (int i = 0; i < 20; i++) {
        struct scope s;
        scope_init(&s);
        assert_int_equal(fiber_spawn(&s, "get", get_held, &d, NULL), 0);
        while (d.asked == 0)
            assert_int_equal(fiber_yield(), 0);
        assert_int_equal(fiber_yield(), 0);
        scope_done(&s);
    }
    for (int i = 0; i < 10; i++)
        assert_int_equal(fiber_yield(), 0);
    assert_int_equal(d.asked, 1);
    close_desk(&d);
    return 0;
}

ON_LOOP(four_values_are_remembered)
ON_LOOP(a_value_is_learned_while_it_is_asked_for)
ON_LOOP(a_value_that_was_told_is_not_used_before_it_was_asked_for)
ON_LOOP(a_value_that_cannot_be_found_is_not_learned)
ON_LOOP(one_question_is_enough_however_long_it_takes)
ON_LOOP(who_gives_up_leaves_one_question)
ON_LOOP(what_was_is_forgotten_after_an_hour)
ON_LOOP(what_a_policy_takes_away_is_remembered)
ON_LOOP(nothing_is_written_down_with_a_secret)
ON_LOOP(a_new_policy_is_gone_through_before_anything_is_written_down)
ON_LOOP(all_of_a_large_policy_is_known)
ON_LOOP(a_keeper_that_is_gone_leaves_nothing_to_be_written_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(case_four_values_are_remembered),
        cmocka_unit_test(case_what_was_is_forgotten_after_an_hour),
        CASE(a_value_is_learned_while_it_is_asked_for),
        CASE(a_value_that_was_told_is_not_used_before_it_was_asked_for),
        CASE(a_value_that_cannot_be_found_is_not_learned),
        CASE(one_question_is_enough_however_long_it_takes),
        CASE(who_gives_up_leaves_one_question),
        cmocka_unit_test(case_what_a_policy_takes_away_is_remembered),
        cmocka_unit_test(a_host_that_had_a_credential_is_known_for_an_hour),
        cmocka_unit_test(case_nothing_is_written_down_with_a_secret),
        CASE(a_new_policy_is_gone_through_before_anything_is_written_down),
        CASE(all_of_a_large_policy_is_known),
        cmocka_unit_test(case_a_keeper_that_is_gone_leaves_nothing_to_be_written_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
