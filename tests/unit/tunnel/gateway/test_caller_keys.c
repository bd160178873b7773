/* test_caller_keys.c - when the issuer is asked for its keys, and when those of before count. */
#include "unit/loop.h"
#include "unit/unit.h"
#include "unit/oauth/jwt_samples.h"
#include "base/err.h"
#include "base/time.h"
#include "fiber/fiber.h"
#include "oauth/jwks.h"
#include "tunnel/gateway/caller_fetch.h"
#include "tunnel/gateway/caller_keys.h"

#include <string.h>

/* An issuer that answers as it is told. */
static struct issuer {
    size_t asked;
    int fails;         /* with this code */
    const char *text;  /* NULL: sample_keys */
    int64_t max_age_s; /* -1: not said */
    int64_t takes_ms;
} it;

static int ask(void *arg, const char *url, char **ret, size_t *ret_n, int64_t *ret_max_age_s,
               struct err *e)
{
    struct issuer *i = arg;
    assert_string_equal(url, "https://idp.example/keys");
    i->asked++;
    if (i->takes_ms && fiber_sleep_ms(i->takes_ms) < 0)
        return err_set(e, -ETIMEDOUT, "it takes too long");
    if (i->fails)
        return err_set(e, i->fails, "it is in trouble");
    *ret = mem_strdup(i->text ? i->text : sample_keys);
    *ret_n = strlen(*ret);
    *ret_max_age_s = i->max_age_s;
    return 0;
}

static struct caller_keys *begin(void)
{
    it = (struct issuer){.max_age_s = -1};
    time_test_set(NS_PER_S, US_PER_S);
    return caller_keys_of_url("https://idp.example/keys", ask, &it);
}

static void end(struct caller_keys *k)
{
    caller_keys_unref(k);
    time_test_reset();
}

static void later(int64_t ms)
{
    time_test_advance(ms * NS_PER_MS);
}

/* 0 or the code; words to `e`. */
static int get(struct caller_keys *k, struct err *e)
{
    struct jwks *set = NULL;
    *e = (struct err){0};
    int r = caller_keys_get(k, &set, e);
    assert_true((r == 0) == (set != NULL));
    jwks_unref(set);
    return r;
}

static int newer(struct caller_keys *k)
{
    struct jwks *set = NULL, *next = NULL;
    struct err e = {0};
    assert_int_equal(caller_keys_get(k, &set, &e), 0);
    int r = caller_keys_newer(k, set, &next);
    assert_true((r == 0) == (next != NULL));
    assert_true(next != set);
    jwks_unref(set);
    jwks_unref(next);
    return r;
}

static int it_is_asked_when_it_is_time(void *arg)
{
    (void)arg;
    static const struct {
        int64_t says_s, fresh_ms;
    } rows[] = {{-1, 600000},    {0, 60000},      {59, 60000},      {61, 61000},
                {3599, 3599000}, {3600, 3600000}, {86400, 3600000}, {INT64_MAX, 3600000}};
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct err e;
        struct caller_keys *k = begin();
        it.max_age_s = rows[i].says_s;
        assert_int_equal(it.asked, 0); /* nobody wanted a key yet */
        assert_int_equal(get(k, &e), 0);
        assert_int_equal(get(k, &e), 0);
        later(rows[i].fresh_ms - 1);
        assert_int_equal(get(k, &e), 0);
        assert_int_equal(it.asked, 1);
        later(1);
        assert_int_equal(get(k, &e), 0);
        assert_int_equal(it.asked, 2);
        end(k);
    }
    return 0;
}
ON_LOOP(it_is_asked_when_it_is_time)

static int a_key_that_nobody_has_is_asked_for_once_a_minute(void *arg)
{
    struct err e;
    (void)arg;
    struct caller_keys *k = begin();
    assert_int_equal(get(k, &e), 0);
    assert_int_equal(newer(k), 0); /* it may have come a moment ago */
    assert_int_equal(it.asked, 2);
    for (int i = 0; i < 100; i++)
        assert_int_equal(newer(k), -ENOENT);
    later(CALLER_KEYS_AGAIN_MS - 1);
    assert_int_equal(newer(k), -ENOENT);
    assert_int_equal(it.asked, 2);
    later(1);
    assert_int_equal(newer(k), 0);
    assert_int_equal(it.asked, 3);
    /* A question that fails is one. */
    later(CALLER_KEYS_AGAIN_MS);
    it.fails = -ETIMEDOUT;
    assert_int_equal(newer(k), -ENOENT);
    assert_int_equal(newer(k), -ENOENT);
    assert_int_equal(it.asked, 4);
    end(k);
    return 0;
}
ON_LOOP(a_key_that_nobody_has_is_asked_for_once_a_minute)

static int those_of_before_count_for_an_hour(void *arg)
{
    struct err e;
    (void)arg;
    struct caller_keys *k = begin();
    assert_int_equal(get(k, &e), 0);
    it.fails = -ECONNREFUSED;
    later(CALLER_KEYS_FRESH_MS);
    assert_int_equal(get(k, &e), 0);
    assert_int_equal(it.asked, 2);
    later(CALLER_KEYS_RETRY_MS - 1);
    assert_int_equal(get(k, &e), 0);
    assert_int_equal(it.asked, 2);
    later(1);
    assert_int_equal(get(k, &e), 0);
    assert_int_equal(it.asked, 3);
    later(CALLER_KEYS_STALE_MS - CALLER_KEYS_RETRY_MS - 1);
    assert_int_equal(get(k, &e), 0);
    later(1);
    assert_int_equal(get(k, &e), -ECONNREFUSED);
    assert_string_equal(e.msg, "those of before are too old, and it is in trouble");
    /* It is back. */
    it.fails = 0;
    later(CALLER_KEYS_RETRY_MS);
    assert_int_equal(get(k, &e), 0);
    assert_string_equal(e.msg, "");
    end(k);
    return 0;
}
ON_LOOP(those_of_before_count_for_an_hour)

static int without_any_nobody_is_let_in(void *arg)
{
    struct err e;
    (void)arg;
    struct caller_keys *k = begin();
    it.fails = -ECONNREFUSED;
    for (int i = 0; i < 50; i++) {
        assert_int_equal(get(k, &e), -ECONNREFUSED);
        assert_string_equal(e.msg, "it is in trouble");
    }
    assert_int_equal(it.asked, 1);
    later(CALLER_KEYS_RETRY_MS);
    it.fails = 0;
    it.text = "<html>";
    assert_int_equal(get(k, &e), -E_PARSE);
    assert_non_null(strstr(e.msg, "no JSON with one reading"));
    later(CALLER_KEYS_RETRY_MS);
    it.text = "{\"keys\":[]}";
    assert_int_equal(get(k, &e), -E_PARSE);
    assert_int_equal(it.asked, 3);
    later(CALLER_KEYS_RETRY_MS);
    it.text = NULL;
    assert_int_equal(get(k, &e), 0);
    /* What is no set changes nothing later. */
    it.text = "{}";
    later(CALLER_KEYS_FRESH_MS);
    assert_int_equal(get(k, &e), 0);
    assert_int_equal(it.asked, 5);
    end(k);
    return 0;
}
ON_LOOP(without_any_nobody_is_let_in)

struct asker {
    struct caller_keys *k;
    size_t *good;
};

static int ask_one(void *arg)
{
    struct asker *a = arg;
    struct err e;
    if (get(a->k, &e) == 0)
        ++*a->good;
    return 0;
}

static int many_ask_once(void *arg)
{
    (void)arg;
    struct caller_keys *k = begin();
    time_test_reset();
    it.takes_ms = 20;
    size_t good = 0;
    struct asker a = {k, &good};
    {
        AUTO(scope) s;
        scope_init(&s);
        for (int i = 0; i < 40; i++)
            assert_int_equal(fiber_spawn(&s, "asker", ask_one, &a, NULL), 0);
        assert_int_equal(scope_join(&s), 0);
    }
    assert_int_equal(good, 40);
    assert_int_equal(it.asked, 1);
    end(k);
    return 0;
}
ON_LOOP(many_ask_once)

/* One who comes and goes must not keep a new key from being found. */
static int who_leaves_does_not_end_the_question(void *arg)
{
    struct err e;
    (void)arg;
    struct caller_keys *k = begin();
    time_test_reset();
    it.takes_ms = 20;
    size_t good = 0;
    struct asker a = {k, &good};
    {
        AUTO(scope) s;
        scope_init(&s);
        assert_int_equal(fiber_spawn(&s, "asker", ask_one, &a, NULL), 0);
        assert_int_equal(fiber_sleep_ms(5), 0);
        assert_int_equal(it.asked, 1);
    } /* cancelled, and joined */
    it.fails = -EIO;
    assert_int_equal(get(k, &e), 0);
    assert_int_equal(it.asked, 1);
    end(k);
    return 0;
}
ON_LOOP(who_leaves_does_not_end_the_question)

static int a_file_is_asked_nothing(void *arg)
{
    struct jwks *set;
    struct err e;
    (void)arg;
    assert_int_equal(jwks_parse(sample_keys, strlen(sample_keys), &set, NULL), 0);
    struct caller_keys *k = caller_keys_of_set(set);
    time_test_set(NS_PER_S, US_PER_S);
    later((int64_t)10 * CALLER_KEYS_STALE_MS);
    assert_int_equal(get(k, &e), 0);
    assert_int_equal(newer(k), -ENOENT);
    assert_false(caller_keys_are_of(k, "https://idp.example/keys"));
    caller_keys_unref(caller_keys_ref(k));
    end(k);
    return 0;
}
ON_LOOP(a_file_is_asked_nothing)

static void how_long_keys_are_good_for(void **state)
{
    (void)state;
    static const struct {
        const char *control;
        int64_t age;
    } rows[] = {
        {NULL, -1},
        {"", -1},
        {"public", -1},
        {"max-age=300", 300},
        {"public, Max-Age=300 , must-revalidate", 300},
        {"s-maxage=10, max-age=0", 0},
        {"max-age=99999999999999999999", 86400},
        {"max-age=86401", 86400},
        {"max-age=-1", -1},
        {"max-age=", -1},
        {"max-age=\"300\"", -1},
        {"x-max-age=300", -1},
        {"no-store", 0},
        {"private,no-cache , max-age=300", 0},
        {"no-cachet", -1},
        {",,, ,", -1},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++)
        assert_int_equal(caller_keys_age(rows[i].control), rows[i].age);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        CASE(it_is_asked_when_it_is_time),
        CASE(a_key_that_nobody_has_is_asked_for_once_a_minute),
        CASE(those_of_before_count_for_an_hour),
        CASE(without_any_nobody_is_let_in),
        CASE(many_ask_once),
        CASE(who_leaves_does_not_end_the_question),
        CASE(a_file_is_asked_nothing),
        cmocka_unit_test(how_long_keys_are_good_for),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
