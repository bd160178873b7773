/* test_subjects.c - tokens for many subjects: one request each, and no more of them than there is room for. */
#include "unit/secret/secret_world.h"
#include "unit/secret/token_peer.h"
#include "base/err.h"
#include "base/time.h"
#include "crypto/digest.h"
#include "secret/subjects.h"

#include <stdio.h>
#include <string.h>

struct world {
    struct secret_world w;
    struct token_peer peer;
    struct secret_source *source;
    struct secret_subjects *subjects;
};

static void begin(struct world *t)
{
    *t = (struct world){.peer = {.life_s = 3600}};
    world_begin(&t->w);
    token_peer_begin(&t->peer);
    AUTO_FREE char *config = mem_printf("{'oauth2':{'token_url':'http://%s/token','grant':"
                                        "'token_exchange','subject':'caller'}}",
                                        t->peer.address);
    AUTO_JSON json_t *j = js(config);
    struct err e = {0};
    assert_int_equal(secret_source_new(t->w.all, j, SECRET_CALLERS, &t->source, &e), 0);
    t->subjects = secret_subjects_new(t->source);
}

static void end(struct world *t)
{
    time_test_reset();
    secret_subjects_free(t->subjects);
    secret_source_unref(t->source);
    token_peer_end(&t->peer);
    world_end(&t->w);
}

static void expect(struct world *t, const char *subject, const char *refused, const char *want)
{
    struct secret_value *v = NULL;
    struct err e = {0};
    if (secret_subjects_get(t->subjects, subject, strlen(subject), refused, &v, &e) < 0)
        fail_msg("%s: %s", subject, e.msg);
    assert_string_equal(secret_borrow(secret_value_secret(v)), want);
    secret_value_unref(v);
}

static int each_subject_has_a_token_of_its_own(void *arg)
{
    (void)arg;
    struct world t;
    struct err e = {0};
    struct secret_value *v = NULL;
    begin(&t);
    expect(&t, "ann", NULL, "token-1");
    expect(&t, "bob", NULL, "token-2");
    expect(&t, "ann", NULL, "token-1");
    assert_non_null(strstr(t.peer.form, "&subject_token=bob&subject_token_type="));
    assert_int_equal(t.peer.asked, 2);
    assert_int_equal(secret_subjects_count(t.subjects), 2);
    expect_failure(t.source, -EINVAL, "there is none");
    assert_int_equal(secret_subjects_get(t.subjects, "", 0, NULL, &v, &e), -EINVAL);
    AUTO_FREE char *huge = mem_zalloc(20000);
    memset(huge, 'a', 19999);
    assert_int_equal(secret_subjects_get(t.subjects, huge, 19999, NULL, &v, &e), -EINVAL);
    t.peer.status = 400;
    t.peer.body = "{'error':'invalid_grant'}";
    assert_int_equal(secret_subjects_get(t.subjects, "eve", 3, NULL, &v, &e), -EACCES);
    assert_int_equal(secret_subjects_get(t.subjects, "eve", 3, NULL, &v, &e), -EACCES);
    assert_int_equal(t.peer.asked, 3);
    t.peer.body = "{'error':'invalid_client'}";
    assert_int_equal(secret_subjects_get(t.subjects, "mallory", 7, NULL, &v, &e), -E_DENIED);
    end(&t);
    return 0;
}
ON_LOOP(each_subject_has_a_token_of_its_own)

static int a_token_that_was_refused_is_replaced_when_it_is_not_young(void *arg)
{
    (void)arg;
    struct world t;
    char hash[DIGEST_SHA256_HEX], other[DIGEST_SHA256_HEX];
    begin(&t);
    digest_sha256_hex("token-1", 7, hash);
    digest_sha256_hex("token-9", 7, other);
    time_test_set(time_mono_ns(), time_real_us());
    expect(&t, "ann", NULL, "token-1");
    expect(&t, "ann", hash, "token-1");
    time_test_advance(SECRET_DISTRUST_MS * NS_PER_MS);
    expect(&t, "ann", other, "token-1"); /* it is about one of before */
    expect(&t, "ann", "no hash", "token-1");
    expect(&t, "ann", hash, "token-2");
    expect(&t, "ann", hash, "token-2");
    assert_int_equal(t.peer.asked, 2);
    time_test_advance(SECRET_DISTRUST_MS * NS_PER_MS);
    digest_sha256_hex("token-2", 7, hash);
    t.peer.status = 503; /* there is no other one: it may be good for something else */
    expect(&t, "ann", hash, "token-2");
    expect(&t, "ann", hash, "token-2");
    assert_int_equal(t.peer.asked, 3);
    end(&t);
    return 0;
}
ON_LOOP(a_token_that_was_refused_is_replaced_when_it_is_not_young)

/* Strangers that bring what nobody takes push each other out, and not who has a token. */
static int there_is_room_for_so_many(void *arg)
{
    (void)arg;
    struct world t;
    begin(&t);
    expect(&t, "ann", NULL, "token-1");
    t.peer.status = 400;
    t.peer.body = "{'error':'invalid_grant'}";
    for (int i = 0; i < SECRET_SUBJECTS_MAX + 20; i++) {
        char subject[32];
        struct secret_value *v = NULL;
        struct err e = {0};
        int n = snprintf(subject, sizeof(subject), "stranger-%d", i);
        assert_int_equal(secret_subjects_get(t.subjects, subject, (size_t)n, NULL, &v, &e),
                         -EACCES);
    }
    assert_int_equal(secret_subjects_count(t.subjects), SECRET_SUBJECTS_MAX);
    expect(&t, "ann", NULL, "token-1");
    t.peer.status = 0;
    t.peer.body = NULL;
    for (int i = 0; i < SECRET_SUBJECTS_MAX; i++) {
        char subject[32], want[32];
        (void)snprintf(subject, sizeof(subject), "guest-%d", i);
        (void)snprintf(want, sizeof(want), "token-%zu", t.peer.asked + 1);
        expect(&t, subject, NULL, want);
    }
    assert_int_equal(secret_subjects_count(t.subjects), SECRET_SUBJECTS_MAX);
    size_t asked = t.peer.asked;
    struct secret_value *v = NULL; /* she was the one that came longest ago */
    assert_int_equal(secret_subjects_get(t.subjects, "ann", 3, NULL, &v, NULL), 0);
    secret_value_unref(v);
    assert_int_equal(t.peer.asked, asked + 1);
    end(&t);
    return 0;
}
ON_LOOP(there_is_room_for_so_many)

/* Nobody's token lies around when it is of no use any more. */
static int what_has_ended_goes(void *arg)
{
    (void)arg;
    struct world t;
    begin(&t);
    time_test_set(time_mono_ns(), time_real_us());
    expect(&t, "ann", NULL, "token-1");
    t.peer.life_s = 60;
    expect(&t, "bob", NULL, "token-2");
    time_test_advance(59 * NS_PER_S);
    t.peer.life_s = 7200;
    expect(&t, "cat", NULL, "token-3");
    assert_int_equal(secret_subjects_count(t.subjects), 3);
    time_test_advance(3601 * NS_PER_S);
    expect(&t, "cat", NULL, "token-3");
    assert_int_equal(secret_subjects_count(t.subjects), 1);
    end(&t);
    return 0;
}
ON_LOOP(what_has_ended_goes)

struct waiter {
    struct world *t;
    int number, r;
};

static int wait_for_one(void *arg)
{
    struct waiter *x = arg;
    struct secret_value *v = NULL;
    struct err e = {0};
    char subject[32];
    int n = snprintf(subject, sizeof(subject), "guest-%d", x->number);
    x->r = secret_subjects_get(x->t->subjects, subject, (size_t)n, NULL, &v, &e);
    secret_value_unref(v);
    return 0;
}

/* Five routes whose callers fill them: the sixth one has room, which the others give. */
static int there_is_room_for_so_many_in_all(void *arg)
{
    (void)arg;
    struct world t;
    struct secret_subjects *more[SECRET_SUBJECTS_ALL / SECRET_SUBJECTS_MAX + 2];
    begin(&t);
    t.peer.body = "{'access_token':'of-anybody','token_type':'Bearer'}";
    for (size_t i = 0; i < ARRAY_LEN(more); i++) {
        more[i] = secret_subjects_new(t.source);
        for (int k = 0; k < SECRET_SUBJECTS_MAX; k++) {
            char subject[32];
            struct secret_value *v = NULL;
            int n = snprintf(subject, sizeof(subject), "guest-%d", k);
            assert_int_equal(secret_subjects_get(more[i], subject, (size_t)n, NULL, &v, NULL), 0);
            secret_value_unref(v);
        }
    }
    size_t all = 0;
    for (size_t i = 0; i < ARRAY_LEN(more); i++) {
        assert_true(secret_subjects_count(more[i]) > 0);
        all += secret_subjects_count(more[i]);
    }
    assert_int_equal(all, SECRET_SUBJECTS_ALL);
    expect(&t, "ann", NULL, "of-anybody");
    for (size_t i = 0; i < ARRAY_LEN(more); i++)
        secret_subjects_free(more[i]);
    end(&t);
    return 0;
}
ON_LOOP(there_is_room_for_so_many_in_all)

static int so_many_are_asked_for_at_a_time(void *arg)
{
    (void)arg;
    static struct waiter all[2 * SECRET_SUBJECTS_BUSY + 2];
    struct world t;
    struct scope s;
    begin(&t);
    t.peer.silent = true;
    scope_init(&s);
    for (size_t i = 0; i < ARRAY_LEN(all); i++) { /* two for each subject */
        all[i] = (struct waiter){.t = &t, .number = (int)i / 2, .r = 1};
        assert_int_equal(fiber_spawn(&s, "get", wait_for_one, &all[i], NULL), 0);
    }
    for (int i = 0; t.peer.asked < SECRET_SUBJECTS_BUSY && i < 5000; i++)
        assert_int_equal(fiber_sleep_ms(1), 0);
    assert_int_equal(t.peer.asked, SECRET_SUBJECTS_BUSY);
    t.peer.silent = false;
    assert_int_equal(scope_join(&s), 0);
    scope_done(&s);
    for (size_t i = 0; i < ARRAY_LEN(all); i++)
        assert_int_equal(all[i].r, i < 2 * SECRET_SUBJECTS_BUSY ? 0 : -EBUSY);
    assert_int_equal(t.peer.asked, SECRET_SUBJECTS_BUSY);
    end(&t);
    return 0;
}
ON_LOOP(so_many_are_asked_for_at_a_time)

/* Its owner goes while requests wait: they get what they came for. */
static int a_table_that_goes_takes_nobody_along(void *arg)
{
    (void)arg;
    struct world t;
    struct waiter x = {.t = &t, .r = 1};
    struct scope s;
    begin(&t);
    t.peer.silent = true;
    scope_init(&s);
    assert_int_equal(fiber_spawn(&s, "get", wait_for_one, &x, NULL), 0);
    for (int i = 0; t.peer.asked < 1 && i < 5000; i++)
        assert_int_equal(fiber_sleep_ms(1), 0);
    secret_subjects_free(t.subjects);
    secret_source_unref(t.source);
    t.peer.silent = false;
    assert_int_equal(scope_join(&s), 0);
    scope_done(&s);
    assert_int_equal(x.r, 0);
    token_peer_end(&t.peer);
    world_end(&t.w);
    return 0;
}
ON_LOOP(a_table_that_goes_takes_nobody_along)

int main(void)
{
    const struct CMUnitTest tests[] = {
        CASE(each_subject_has_a_token_of_its_own),
        CASE(a_token_that_was_refused_is_replaced_when_it_is_not_young),
        CASE(there_is_room_for_so_many),
        CASE(there_is_room_for_so_many_in_all),
        CASE(what_has_ended_goes),
        CASE(so_many_are_asked_for_at_a_time),
        CASE(a_table_that_goes_takes_nobody_along),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
