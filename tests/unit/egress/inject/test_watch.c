/* test_watch.c - what a session is watched for: its placeholders, and secrets that can be guarded. */
#include "unit/egress/inject/world.h"
#include "egress/inject/watch.h"

static int watch_one(struct world *w, const void *value, size_t n, struct inject_watch **ret,
                     struct err *e)
{
    struct secret s = {0};
    assert_int_equal(secret_set(&s, value, n), 0);
    struct inject_secret one = {"TOKEN", &s};
    int r = inject_watch_new(w->placeholders, "s1", &one, 1, ret, e);
    secret_done(&s);
    return r;
}

static void a_secret_that_cannot_be_guarded_is_named(void **state)
{
    static const struct {
        const char *value;
        size_t n;
    } rows[] = {{"1234567", 7},
                {"", 0},
                {"1234\0"
                 "5678",
                 9}};
    AUTO_FREE char *same = mem_zalloc(SCRUB_SECRET_MAX + 2);
    struct inject_watch *ret = NULL;
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct err e = {0};
        assert_int_equal(watch_one(*state, rows[i].value, rows[i].n, &ret, &e), -EINVAL);
        assert_non_null(strstr(e.msg, "TOKEN"));
    }
    memset(same, 'a', SCRUB_SECRET_MAX + 1);
    struct err e = {0};
    assert_int_equal(watch_one(*state, same, 100, &ret, &e), -EINVAL);
    assert_int_equal(watch_one(*state, same, SCRUB_SECRET_MAX + 1, &ret, &e), -EINVAL);
    assert_null(ret);
}

static void a_session_may_have_nothing_yet(void **state)
{
    struct world *w = *state;
    struct inject_watch *none = NULL;
    struct err e = {0};
    assert_int_equal(inject_watch_new(w->placeholders, "s9", NULL, 0, &none, &e), 0);
    assert_null(watch_of(none, "TOKEN"));
    struct inject_watch *was = w->in.watch;
    w->in.watch = none;
    AT(state, "api.example", "GET /\nx: " P("TOKEN") "\n", "GET /\nx: " P("TOKEN") "\n");
    w->in.watch = was;
    inject_watch_unref(none);
    inject_watch_unref(NULL);
}

static void a_plan_keeps_the_watch_that_it_began_with(void **state)
{
    struct world *w = *state;
    struct inject_plan plan;
    struct inject_refusal no;
    struct http_head h;
    read_head("GET /\nx-api-key: " P("TOKEN") "\n", &h);
    struct policy_decision d = world_ask(w, "api.example", 443, POLICY_TLS, &h);
    struct inject_target to = {&w->host, 443, POLICY_TLS};
    assert_int_equal(inject_plan(&w->in, &d, &to, &h, &plan, &no), 0);
    world_tables(w); /* a secret was rotated meanwhile */
    assert_string_equal(plan.uses[0].placeholder, P("TOKEN"));
    const struct secret *values[] = {world_secret(w, "TOKEN")};
    assert_int_equal(inject_apply(&plan, values, &h, &no), 0);
    inject_plan_done(&plan);
    http_head_done(&h);
}

static void old_and_new_value_are_both_looked_for(void **state)
{
    struct world *w = *state;
    struct secret old = {0}, new = {0};
    struct err e = {0};
    assert_int_equal(secret_set(&old, "old-old-old", 11), 0);
    assert_int_equal(secret_set(&new, "new-new-new", 11), 0);
    struct inject_secret both[] = {{"TOKEN", &old}, {"TOKEN", &new}};
    struct inject_watch *was = w->in.watch;
    assert_int_equal(inject_watch_new(w->placeholders, "s1", both, 2, &w->in.watch, &e), 0);
    AT(state, "free.test", "GET /old-old-old\n", "!secret_seen 403 TOKEN");
    AT(state, "free.test", "GET /new-new-new\n", "!secret_seen 403 TOKEN");
    inject_watch_unref(w->in.watch);
    w->in.watch = was;
    secret_done(&old);
    secret_done(&new);
}

static void texts_put_together_are_apart(void **state)
{
    struct world *w = *state;
    static struct gather g; /* too large for a frame, twice */
    g = (struct gather){.table = w->watch->table};
    uint64_t hits = 9;
    gather_add(&g, http_text_of("sp_ph_TOKEN_01234"));
    gather_add(&g, http_text_of("56789abcdef"));
    gather_add(&g, http_text_of("\\"));
    gather_add(&g, http_text_of("u0073p_ph_TOKEN_0123456789abcdef"));
    gather_add(&g, http_text_of(NULL));
    gather_add(&g, http_text_of("%"));
    gather_add(&g, http_text_of("73p_ph_TOKEN_0123456789abcdef"));
    assert_int_equal(gather_end(&g, &hits), 0);
    assert_int_equal(hits, 0);
    for (size_t before = GATHER_BYTES - 60; before < GATHER_BYTES + 3; before++) {
        AUTO_FREE char *pad = mem_printf("%0*d", (int)before, 0);
        g = (struct gather){.table = w->watch->table};
        gather_add(&g, http_text_of(pad));
        gather_add(&g, http_text_of(P("TOKEN")));
        gather_add(&g, http_text_of(P("OTHER")));
        assert_int_equal(gather_end(&g, &hits), 0);
        assert_int_equal(hits, 2);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        WORLD_CASE(a_secret_that_cannot_be_guarded_is_named),
        WORLD_CASE(a_session_may_have_nothing_yet),
        WORLD_CASE(a_plan_keeps_the_watch_that_it_began_with),
        WORLD_CASE(old_and_new_value_are_both_looked_for),
        WORLD_CASE(texts_put_together_are_apart),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
